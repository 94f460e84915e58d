/* The chain of trust along the walk: from a zone's keys to those of the zone that it delegates (RFC 4035 5).
 * Two questions a cut: DS at the parent's servers, DNSKEY at the child's. */
#include "internal.h"

#include <string.h>

#define ROOT_TRUST_MAX_S 3600

struct chain {
    struct dnscheck_job *job;
    const struct cut *parent;
    struct cut *child;
    const struct dns_message *ds;
    unsigned depth;
    const char *anothers; /* as in walk_options */
    uint32_t valid_s;     /* of what has been verified */
    trust_done *done;
    void *context;
};

bool job_keep_trust(struct dnscheck_job *job, struct trust *trust) {
    struct kept_trust *kept = trust == NULL ? NULL : arena_alloc(job->scratch, sizeof *kept);
    if (trust == NULL)
        return true;
    if (kept == NULL) {
        trust_release(trust);
        return false;
    }
    kept->trust = trust;
    kept->next = job->kept_trust;
    job->kept_trust = kept;
    return true;
}

void job_release_trust(struct dnscheck_job *job) {
    for (struct kept_trust *kept = job->kept_trust; kept != NULL; kept = kept->next)
        trust_release(kept->trust);
    job->kept_trust = NULL;
}

bool is_signed(const struct cut *cut) {
    return cut->trust != NULL && cut->trust->is_secure;
}

static void fail(struct chain *chain, const char *failure) {
    chain->done(chain->context, failure);
}

static void succeed(struct chain *chain, struct trust *trust) {
    if (trust == NULL || !job_keep_trust(chain->job, trust)) {
        fail(chain, "out of memory");
        return;
    }
    trust->valid_s = chain->valid_s;
    chain->child->trust = trust;
    if (chain->parent == NULL) {
        struct dnscheck *dnscheck = chain->job->dnscheck;
        int64_t seconds = trust->valid_s < ROOT_TRUST_MAX_S ? trust->valid_s : ROOT_TRUST_MAX_S;
        trust_release(dnscheck->root.trust);
        dnscheck->root.trust = trust_hold(trust);
        dnscheck->root_trust_until_ms = clock_monotonic_ms() + seconds * 1000;
    }
    chain->done(chain->context, NULL);
}

static void on_keys(void *context, const struct dns_message *message, const struct dns_server *server,
                    const char *failure) {
    struct chain *chain = context;
    struct dnscheck_job *job = chain->job;
    const char *reason = NULL;
    (void)server;
    if (message == NULL) {
        fail(chain, failure);
        return;
    }
    job->signatures.valid_s = chain->valid_s;
    struct trust *trust = dnssec_take_keys(job->scratch, chain->ds, job->dnscheck->anchors, &job->signatures,
                                           message, chain->child->name, &reason);
    chain->valid_s = job->signatures.valid_s;
    if (trust == NULL)
        fail(chain, bogus(job, chain->child->name, reason));
    else
        succeed(chain, trust);
}

static void ask_keys(struct chain *chain) {
    const struct query_options options = {
        .is_shared = true, .needs_signatures = true, .zone = chain->child->name};
    if (!transport_query(chain->job, &chain->child->addresses, chain->child->name, DNS_DNSKEY, &options,
                         on_keys, chain))
        fail(chain, "out of memory");
}

static void on_addresses(void *context, struct cut *cut, const char *failure) {
    struct chain *chain = context;
    if (cut == NULL || cut->addresses.count == 0)
        fail(chain,
             cut_why_no_address(chain->job, cut, NULL,
                                failure != NULL ? failure : no_address(chain->job, chain->child->name)));
    else
        ask_keys(chain);
}

static void on_ds(void *context, const struct dns_message *message, const struct dns_server *server,
                  const char *failure) {
    struct chain *chain = context;
    struct dnscheck_job *job = chain->job;
    const char *reason = NULL;
    (void)server;
    if (message == NULL) {
        fail(chain, failure);
        return;
    }
    job->signatures.valid_s = chain->valid_s;
    enum ds_outcome outcome = dnssec_judge_ds(job->scratch, chain->parent->trust, &job->signatures, message,
                                              chain->child->name, &reason);
    chain->valid_s = job->signatures.valid_s;
    switch (outcome) {
    case DS_NO_KEYS:
    case DS_OPT_OUT:
        succeed(chain, trust_new(chain->child->name, false));
        return;
    case DS_KEYS:
        chain->ds = message;
        if (chain->child->addresses.count > 0)
            ask_keys(chain);
        else if (!walk_complete_addresses(job, chain->child, chain->depth + 1, chain->anothers, on_addresses,
                                          chain))
            fail(chain, "out of memory");
        return;
    case DS_BOGUS:
    case DS_NO_DELEGATION:
        fail(chain, bogus(job, chain->parent->name, reason));
    }
}

bool trust_establish(struct dnscheck_job *job, const struct cut *parent, struct cut *child,
                     const struct walk_options *options, trust_done *done, void *context) {
    struct chain *chain = arena_alloc(job->scratch, sizeof *chain);
    if (chain == NULL)
        return false;
    *chain = (struct chain){.job = job,
                            .parent = parent,
                            .child = child,
                            .depth = options->depth,
                            .anothers = options->anothers,
                            .valid_s = UINT32_MAX,
                            .done = done,
                            .context = context};
    if (job->dnscheck->anchors == NULL) {
        done(context, NULL);
        return true;
    }
    if (parent == NULL) {
        ask_keys(chain);
        return true;
    }
    if (!is_signed(parent)) {
        succeed(chain, trust_new(child->name, false));
        return true;
    }
    const struct query_options asked = {.is_shared = true, .needs_signatures = true, .zone = parent->name};
    return transport_query(job, &parent->addresses, child->name, DNS_DS, &asked, on_ds, chain);
}
