/* Addresses of name servers: those that came with a referral, and looking for the others. */
#include "walk.h"

#include <stdio.h>
#include <string.h>

#define QUERIES_PER_AGREED_HOST 60 /* as for a zone on the way, and A and AAAA */

struct completion {
    struct dnscheck_job *job;
    struct cut *cut;
    size_t next;
    unsigned depth, pending;
    bool lacks_glue, is_private;
    struct cut host; /* what is found of the current server, kept in the cache by its key */
    uint32_t ttl;
    const char *failure;
    const char *anothers;      /* as in walk_options */
    const char *contradiction; /* there is no address that all tell */
    addresses_done *done;
    void *context;
};

static void complete_next(struct completion *completion);

/* "@host" in `key`, or "" for one of 253 bytes, whose key would not fit: part of it could be another's. */
static void host_key(char key[DNS_NAME_MAX], const char *server) {
    if (snprintf(key, DNS_NAME_MAX, "@%s", server) >= DNS_NAME_MAX)
        *key = '\0';
}

/* Who takes a name from another customer needs every server's word: none crowds out the next. */
static void use_host(struct completion *completion, const struct cut *host) {
    struct cut *cut = completion->cut;
    size_t limit = completion->anothers == NULL ? ADDRESSES_MAX : shown_place(cut->server_count);
    cut_take_addresses(cut, cut->servers[completion->next], host, limit);
}

/* What contradicts leaves out nobody's address: who is left would decide alone. */
static void end(struct completion *completion) {
    if (completion->contradiction != NULL)
        completion->done(completion->context, NULL, completion->contradiction);
    else
        completion->done(completion->context, completion->cut, completion->failure);
}

static void note_failure(struct completion *completion, const char *failure) {
    completion->failure = failure;
    if (completion->anothers != NULL && !is_silence(failure))
        completion->contradiction = failure;
}

static void on_host_address(void *context, const struct lookup_result *result) {
    struct completion *completion = context;
    const char *fault = lookup_fault(result);
    for (size_t i = 0; fault == NULL && i < result->count; i++) {
        const struct dns_record *record = result->records[i];
        cut_add_address(completion->job->dnscheck, &completion->host, completion->host.name,
                        record->type == DNS_A ? AF_INET : AF_INET6, record->address);
        completion->ttl = record->ttl < completion->ttl ? record->ttl : completion->ttl;
    }
    if (fault == NULL && result->is_nxdomain && completion->anothers != NULL)
        fault = no_such_server(completion->job, completion->cut->servers[completion->next],
                               completion->cut->name);
    if (fault != NULL)
        note_failure(completion, fault);
    if (--completion->pending > 0)
        return;
    if (completion->contradiction != NULL) {
        end(completion);
        return;
    }
    if (completion->host.addresses.count > 0 && !completion->is_private && *completion->host.name != '\0')
        referral_cache_put(completion->job->dnscheck->cache, &completion->host, completion->ttl);
    use_host(completion, &completion->host);
    completion->next++;
    complete_next(completion);
}

static bool start_lookup(struct completion *completion, const struct cut *cut,
                         const struct dns_server *server, const char *host, uint16_t type) {
    struct dnscheck_job *job = completion->job;
    return completion->anothers != NULL
               ? lookup_start_agreed(job, completion->anothers, cut, host, type, on_host_address, completion)
               : lookup_start(job, NULL, cut, server, host, type, on_host_address, completion);
}

static void ask_for_host(struct completion *completion, const struct cut *cut,
                         const struct dns_server *server) {
    const char *host = completion->cut->servers[completion->next];
    completion->pending = 2;
    completion->is_private = cut->is_private;
    completion->host.until_ms = cut->until_ms;
    completion->host.is_agreed = completion->anothers != NULL;
    if (!start_lookup(completion, cut, server, host, DNS_A) ||
        !start_lookup(completion, cut, server, host, DNS_AAAA))
        completion->done(completion->context, NULL, "out of memory");
}

static void on_host_cut(void *context, const struct walk_result *result) {
    struct completion *completion = context;
    const char *failure = result->failure;
    bool is_denied = result->is_nxdomain && completion->anothers == NULL; /* else all are to say so */
    if (result->cut == NULL || is_denied) {
        note_failure(completion, failure != NULL ? failure
                                                 : no_such_server(completion->job,
                                                                  completion->cut->servers[completion->next],
                                                                  completion->cut->name));
        completion->next++;
        complete_next(completion);
        return;
    }
    ask_for_host(completion, result->cut, result->server);
}

/* A server that answers for parent and child alike need not add addresses to the child's NS set. */
static void ask_parent_for_host(struct completion *completion) {
    struct cut *cut = arena_copy(completion->job->scratch, completion->cut, sizeof *cut);
    if (cut == NULL) {
        completion->done(completion->context, NULL, "out of memory");
        return;
    }
    const struct cut *parent = completion->cut->parent;
    cut->addresses = parent->addresses;
    cut->server_count = parent->server_count;
    memcpy(cut->servers, parent->servers, sizeof cut->servers);
    ask_for_host(completion, cut, NULL);
}

/* For what asking all servers takes; not where the budget has been used up, for what was not heard since
 * would count as silence. */
static void allow_queries(struct completion *completion) {
    struct dnscheck_job *job = completion->job;
    if (completion->anothers == NULL || job->agreed_hosts_left == 0 || job_is_spent(job))
        return;
    job->agreed_hosts_left--;
    job->max_queries += QUERIES_PER_AGREED_HOST;
}

static void complete_next(struct completion *completion) {
    struct cut *cut = completion->cut;
    struct dnscheck_job *job = completion->job;
    for (; completion->next < cut->server_count && completion->contradiction == NULL; completion->next++) {
        const char *server = cut->servers[completion->next];
        char key[DNS_NAME_MAX];
        if (cut_has_address(cut, server))
            continue;
        host_key(key, server);
        const struct cut *known = *key == '\0' ? NULL : referral_cache_find(job->dnscheck->cache, key);
        if (known != NULL && (known->is_agreed || completion->anothers == NULL)) {
            use_host(completion, known);
            continue;
        }
        if (completion->lacks_glue && !cut->is_own_answer) {
            completion->failure = no_glue(job, cut->name);
            break;
        }
        if (job->hosts_left == 0) {
            note_failure(completion,
                         "more name servers without addresses than a check looks for; name fewer, "
                         "or such as have glue");
            break;
        }
        job->hosts_left--;
        allow_queries(completion);
        completion->host = (struct cut){.server_count = 0};
        strcpy(completion->host.name, key);
        completion->ttl = job->dnscheck->settings.referral_max_ttl;
        const struct walk_options options = {
            .kind = WALK_CACHED, .depth = completion->depth, .anothers = completion->anothers};
        if (completion->lacks_glue)
            ask_parent_for_host(completion);
        else if (!walk_find_cut(job, server, &options, on_host_cut, completion))
            completion->done(completion->context, NULL, "out of memory");
        return;
    }
    end(completion);
}

bool walk_complete_addresses(struct dnscheck_job *job, struct cut *cut, unsigned depth, const char *anothers,
                             addresses_done *done, void *context) {
    struct completion *completion = arena_alloc(job->scratch, sizeof *completion);
    if (completion == NULL)
        return false;
    completion->job = job;
    completion->cut = cut;
    completion->depth = depth;
    completion->anothers = anothers;
    completion->lacks_glue = cut_lacks_glue(cut);
    completion->done = done;
    completion->context = context;
    complete_next(completion);
    return true;
}
