/* Walking from the root: referrals, glue inside bailiwick, name servers without glue, empty non-terminals,
 * parent and child on one server. Each step asks for the next label only (RFC 9156). */
#include "internal.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 5 /* name servers whose names need name servers whose names ... */

const char walk_hidden[] = "no delegation is shown";

struct walk {
    struct dnscheck_job *job;
    char name[DNS_NAME_MAX];
    struct cut *cut;
    size_t labels; /* below the cut that the next query asks for */
    unsigned depth;
    enum walk_kind kind;
    const char *foreign_parent; /* of dnscheck_zone; "": none */
    uint16_t other_type;        /* that is asked for where NS is answered with an error */
    bool is_relaxed; /* a server fell over a shortened name: the whole one is asked for (RFC 9156 3) */
    const struct dns_message *own_answer; /* of the child's own servers, while the parent's word is awaited */
    uint32_t ttl;                         /* of the cut */
    walk_done *done;
    void *context;
};

static void step(struct walk *walk);
static void end(struct walk *walk, bool is_nxdomain, const char *failure);

/* --- cuts --- */

static struct cut *copy_to_scratch(struct dnscheck_job *job, const struct cut *from) {
    struct cut *to = arena_copy(job->scratch, from, sizeof *from);
    for (size_t i = 0; to != NULL && i < to->addresses.count; i++)
        to->addresses.items[i].name = (const char *)to + (from->addresses.items[i].name - (const char *)from);
    return to == NULL || job_keep_trust(job, trust_hold(to->trust)) ? to : NULL;
}

static void add_address(struct cut *cut, const char *server, int family, const uint8_t *bytes,
                        uint16_t port) {
    if (cut->addresses.count == ADDRESSES_MAX)
        return;
    struct dns_server *out = &cut->addresses.items[cut->addresses.count++];
    *out = (struct dns_server){.name = server};
    if (family == AF_INET) {
        out->address.v4.sin_family = AF_INET;
        out->address.v4.sin_port = htons(port);
        memcpy(&out->address.v4.sin_addr, bytes, 4);
    } else {
        out->address.v6.sin6_family = AF_INET6;
        out->address.v6.sin6_port = htons(port);
        memcpy(&out->address.v6.sin6_addr, bytes, 16);
    }
}

static bool has_address(const struct cut *cut, const char *server) {
    for (size_t i = 0; i < cut->addresses.count; i++)
        if (cut->addresses.items[i].name == server)
            return true;
    return false;
}

/* All its name servers lie in it, and nobody has said where they are. */
static bool lacks_glue(const struct cut *cut) {
    for (size_t i = 0; i < cut->server_count; i++)
        if (!dns_is_below(cut->servers[i], cut->name))
            return false;
    return cut->addresses.count == 0;
}

/* Glue counts only for names below the zone that gives it: a server may speak for its own part of the tree
 * alone. */
static void take_glue(struct walk *walk, struct cut *cut, const struct dns_message *message) {
    for (size_t i = 0; i < cut->server_count; i++) {
        if (*walk->cut->name != '\0' && !dns_is_below(cut->servers[i], walk->cut->name))
            continue;
        for (size_t k = 0; k < message->count; k++) {
            const struct dns_record *record = &message->records[k];
            if ((record->type == DNS_A || record->type == DNS_AAAA) &&
                strcmp(record->owner, cut->servers[i]) == 0)
                add_address(cut, cut->servers[i], record->type == DNS_A ? AF_INET : AF_INET6, record->address,
                            walk->job->dnscheck->settings.port);
        }
    }
}

/* Without glue a zone is found by those alone who delegate it: what is cached does not know them. */
static void keep_referral(const struct walk *walk) {
    const struct trust *trust = walk->cut->trust;
    uint32_t ttl = trust != NULL && trust->valid_s < walk->ttl ? trust->valid_s : walk->ttl;
    if (!lacks_glue(walk->cut))
        referral_cache_put(walk->job->dnscheck->cache, walk->cut, ttl);
}

static void take_cut(struct walk *walk, const struct dns_message *message, enum dns_section section,
                     const char *owner) {
    struct dnscheck *dnscheck = walk->job->dnscheck;
    struct cut *cut = arena_alloc(walk->job->scratch, sizeof *cut);
    uint32_t ttl = dnscheck->settings.referral_max_ttl;
    if (cut == NULL || strlen(owner) >= DNS_NAME_MAX) {
        walk->done(walk->context, NULL, false, "out of memory");
        return;
    }
    strcpy(cut->name, owner);
    for (const struct dns_record *record = NULL;
         (record = dns_find(message, section, owner, DNS_NS, record)) != NULL;) {
        if (cut->server_count < SERVERS_MAX && strlen(record->target) < DNS_NAME_MAX)
            strcpy(cut->servers[cut->server_count++], record->target);
        else
            cut->has_more_servers = true;
        ttl = record->ttl < ttl ? record->ttl : ttl;
    }
    take_glue(walk, cut, message);
    cut->is_own_answer = section == DNS_ANSWER;
    cut->parent = walk->cut;
    walk->cut = cut;
    walk->labels = 1;
    walk->is_relaxed = false;
    walk->ttl = ttl;
    if (dnscheck->anchors == NULL && walk->kind != WALK_FIRST_CUT)
        keep_referral(walk);
    if (walk->kind == WALK_FIRST_CUT)
        end(walk, false, NULL);
    else
        step(walk);
}

/* --- the steps --- */

/* The last `labels` labels of the name below the cut, and the cut. */
static const char *child_of(const struct walk *walk) {
    if (walk->is_relaxed)
        return walk->name;
    size_t have = 0, length = strlen(walk->name), cut_length = strlen(walk->cut->name);
    const char *end = walk->name + length - cut_length; /* the character after the dot before the cut */
    const char *at = end;
    if (cut_length > 0)
        at--; /* on the dot */
    while (at > walk->name) {
        if (at[-1] == '.' && ++have == walk->labels)
            return at;
        at--;
    }
    return walk->name;
}

/* Broken servers deny empty non-terminals or choke on NS questions: asked for the whole name they do better.
 */
static bool relax(struct walk *walk) {
    if (walk->is_relaxed || strcmp(child_of(walk), walk->name) == 0)
        return false;
    walk->is_relaxed = true;
    step(walk);
    return true;
}

static const char *check_absence(struct walk *walk, const struct dns_message *message, uint16_t type,
                                 bool is_nxdomain) {
    bool is_opt_out;
    if (walk->cut->trust == NULL)
        return NULL;
    const char *reason = dnssec_check_absence(walk->job->scratch, walk->cut->trust, &walk->job->signatures,
                                              message, child_of(walk), type, is_nxdomain, &is_opt_out);
    return reason == NULL ? NULL : bogus(walk->job, walk->cut->name, reason);
}

/* What a DNAME makes is not signed itself. */
static const char *check_alias(struct walk *walk, const struct dns_message *message) {
    const char *child = child_of(walk);
    const struct dns_record *dname = dns_find_dname(message, walk->cut->name, child);
    bool is_opt_out;
    if (walk->cut->trust == NULL)
        return NULL;
    const char *reason = dnssec_check_set(walk->job->scratch, walk->cut->trust, &walk->job->signatures,
                                          message, DNS_ANSWER, dname != NULL ? dname->owner : child,
                                          dname != NULL ? DNS_DNAME : DNS_CNAME, &is_opt_out);
    return reason == NULL ? NULL : bogus(walk->job, walk->cut->name, reason);
}

static void end(struct walk *walk, bool is_nxdomain, const char *failure) {
    walk->done(walk->context, failure == NULL ? walk->cut : NULL, failure == NULL && is_nxdomain, failure);
}

static bool is_strictly_inside(const char *name, const char *zone) {
    return strcmp(name, zone) != 0 && dns_is_below(name, zone);
}

/* Never below "", which says that there is none. */
static bool is_strictly_below(const char *name, const char *zone) {
    return *zone != '\0' && is_strictly_inside(name, zone);
}

/* Within a zone that was found, whose own answers are nobody else's business. */
static bool is_in_zone(const struct walk *walk) {
    return walk->kind == WALK_FIRST_CUT || walk->kind == WALK_TARGET;
}

static bool ask(struct walk *walk, uint16_t type, query_done *done) {
    const struct query_options options = {
        .is_shared = !is_in_zone(walk), .needs_signatures = is_signed(walk->cut), .zone = walk->cut->name};
    return transport_query(walk->job, &walk->cut->addresses, child_of(walk), type, &options, done, walk);
}

static void on_parents_word(void *context, const struct dns_message *message, const struct dns_server *server,
                            const char *failure) {
    struct walk *walk = context;
    const char *child = child_of(walk);
    (void)server;
    if (message == NULL || dns_find(message, DNS_AUTHORITY, child, DNS_SOA, NULL) != NULL)
        end(walk, false, failure);
    else if (dns_find(message, DNS_ANSWER, child, DNS_CNAME, NULL) != NULL)
        end(walk, false, check_alias(walk, message));
    else if (message->rcode == DNS_NXDOMAIN)
        end(walk, false, check_absence(walk, message, DNS_DS, true));
    else
        take_cut(walk, walk->own_answer, DNS_ANSWER, child);
}

/* Parent and child on one server, which answers as the child and says nothing of a delegation: anybody can
 * have a zone there that the owner of the parent knows nothing of. DS is the parent's to answer (RFC 4035
 * 3.1.4.1): where that says that there is no such name, or an alias, or where the child answers even this,
 * nothing is delegated. NSD finds the name by the child and says NODATA: only DNSSEC tells there. */
static void take_own_answer(struct walk *walk, const struct dns_message *message) {
    walk->own_answer = message;
    if (is_strictly_below(child_of(walk), walk->foreign_parent))
        end(walk, false, walk_hidden);
    else if (walk->kind == WALK_FIRST_CUT) /* a zone that nobody delegated stands in the way as well */
        take_cut(walk, message, DNS_ANSWER, child_of(walk));
    else if (!ask(walk, DNS_DS, on_parents_word))
        end(walk, false, "out of memory");
}

/* --- servers that answer NS with an error --- */

static void on_other_type(void *context, const struct dns_message *message, const struct dns_server *server,
                          const char *failure);

/* They may answer other types all the same, and show by them whether there is a cut. A delegation that is to
 * be proven is shown by NS alone. */
static void ask_otherwise(struct walk *walk, uint16_t type, const char *failure) {
    walk->other_type = type;
    if (walk->kind == WALK_DELEGATION || !is_error_answer(failure))
        end(walk, false, failure);
    else if (!ask(walk, type, on_other_type))
        end(walk, false, "out of memory");
}

/* The zone on the same server that answers in the cut's place: SOA stands at a zone's own name, and beside
 * each denial. NULL: the cut's own zone does, as far as can be seen. */
static const char *find_zone_below(const struct walk *walk, const struct dns_message *message) {
    for (size_t i = 0; i < message->count; i++) {
        const struct dns_record *record = &message->records[i];
        if (record->type == DNS_SOA && record->section != DNS_ADDITIONAL &&
            is_strictly_inside(record->owner, walk->cut->name) && dns_is_below(walk->name, record->owner))
            return record->owner;
    }
    return NULL;
}

/* Its name servers are not known: enough for who asks whether there is a cut. */
static void end_at_zone_below(struct walk *walk, const char *zone) {
    struct cut *cut = arena_alloc(walk->job->scratch, sizeof *cut);
    if (walk->kind != WALK_FIRST_CUT || cut == NULL || strlen(zone) >= sizeof cut->name) {
        end(walk, false,
            "the name servers of a zone on the way do not name themselves; whoever runs them must "
            "mend that");
        return;
    }
    strcpy(cut->name, zone);
    walk->cut = cut;
    end(walk, false, NULL);
}

/* By the proof of what is there, also of no delegation. */
static const char *check_other_type(struct walk *walk, const struct dns_message *message) {
    const char *child = child_of(walk);
    bool is_opt_out;
    if (dns_find(message, DNS_ANSWER, child, walk->other_type, NULL) == NULL)
        return check_absence(walk, message, DNS_NS, message->rcode == DNS_NXDOMAIN);
    if (walk->cut->trust == NULL)
        return NULL;
    const char *reason = dnssec_check_set(walk->job->scratch, walk->cut->trust, &walk->job->signatures,
                                          message, DNS_ANSWER, child, walk->other_type, &is_opt_out);
    return reason == NULL ? NULL : bogus(walk->job, walk->cut->name, reason);
}

static void on_other_type(void *context, const struct dns_message *message, const struct dns_server *server,
                          const char *failure) {
    struct walk *walk = context;
    (void)server;
    if (message == NULL && walk->other_type == DNS_SOA) {
        ask_otherwise(walk, DNS_A, failure);
        return;
    }
    if (message == NULL) {
        end(walk, false, failure);
        return;
    }
    const struct dns_record *referral = dns_find_referral(message, walk->cut->name, walk->name);
    const char *zone = find_zone_below(walk, message);
    bool is_alias = dns_find(message, DNS_ANSWER, child_of(walk), DNS_CNAME, NULL) != NULL;
    if (!message->is_authoritative && referral != NULL && message->rcode == DNS_NOERROR)
        take_cut(walk, message, DNS_AUTHORITY, referral->owner);
    else if (!message->is_authoritative)
        end(walk, false, "a name server does not answer for its zone (lame)");
    else if (is_alias)
        end(walk, false, check_alias(walk, message));
    else if (zone != NULL)
        end_at_zone_below(walk, zone);
    else
        end(walk, message->rcode == DNS_NXDOMAIN, check_other_type(walk, message));
}

static void on_answer(void *context, const struct dns_message *message, const struct dns_server *server,
                      const char *failure) {
    struct walk *walk = context;
    (void)server;
    if (message == NULL) {
        if (!relax(walk))
            ask_otherwise(walk, DNS_SOA, failure);
        return;
    }
    const char *child = child_of(walk);
    const struct dns_record *referral = dns_find_referral(message, walk->cut->name, walk->name);
    bool is_alias =
        message->is_authoritative && dns_find(message, DNS_ANSWER, child, DNS_CNAME, NULL) != NULL;
    /* With an alias it is about the target (RFC 6604 3). */
    if (message->rcode == DNS_NXDOMAIN && message->is_authoritative && !is_alias) {
        if (!relax(walk))
            end(walk, true, check_absence(walk, message, DNS_NS, true));
    } else if (message->is_authoritative && dns_find(message, DNS_ANSWER, child, DNS_NS, NULL) != NULL) {
        take_own_answer(walk, message);
    } else if (referral != NULL && !message->is_authoritative && message->rcode == DNS_NOERROR) {
        take_cut(walk, message, DNS_AUTHORITY, referral->owner);
    } else if (!message->is_authoritative) {
        if (!relax(walk))
            end(walk, false, "a name server does not answer for its zone (lame)");
    } else if (is_alias) {
        end(walk, false, check_alias(walk, message)); /* no cut here, and nothing below */
    } else if (is_in_zone(walk) && find_zone_below(walk, message) != NULL) {
        end_at_zone_below(walk, find_zone_below(walk, message)); /* where a label was passed over */
    } else {
        failure = check_absence(walk, message, DNS_NS, false);
        if (failure != NULL || strcmp(child, walk->name) == 0) {
            end(walk, false, failure);
            return;
        }
        walk->labels++; /* an empty non-terminal or a plain name: no cut here */
        step(walk);
    }
}

static void on_addresses(void *context, struct cut *cut, const char *failure) {
    struct walk *walk = context;
    if (cut == NULL || cut->addresses.count == 0)
        end(walk, false, failure != NULL ? failure : no_address(walk->job, walk->cut->name));
    else
        step(walk);
}

static void on_trust(void *context, const char *failure) {
    struct walk *walk = context;
    if (failure != NULL) {
        end(walk, false, failure);
        return;
    }
    if (walk->cut->parent != NULL)
        keep_referral(walk);
    step(walk);
}

/* Where it ends addresses are needed too: who looks for a cut asks its servers. */
static void step(struct walk *walk) {
    struct dnscheck_job *job = walk->job;
    bool has_arrived = strcmp(walk->cut->name, walk->name) == 0, is_started;
    if (has_arrived && walk->kind == WALK_DELEGATION) {
        end(walk, false, NULL);
        return;
    }
    if (job->dnscheck->anchors != NULL && walk->cut->trust == NULL) {
        is_started = trust_establish(job, walk->cut->parent, walk->cut, walk->depth, on_trust, walk);
    } else if (walk->cut->addresses.count == 0) {
        is_started = walk_complete_addresses(job, walk->cut, walk->depth + 1, on_addresses, walk);
    } else if (has_arrived) {
        end(walk, false, NULL);
        return;
    } else {
        is_started = ask(walk, DNS_NS, on_answer);
    }
    if (!is_started)
        end(walk, false, "out of memory");
}

static const char *foreign_parent_of(const struct dnscheck_job *job, const char *zone) {
    for (size_t i = 0; i < job->zone_count; i++)
        if (strcmp(job->zones[i].zone.name, zone) == 0)
            return job->zones[i].zone.foreign_parent;
    return "";
}

/* What is cached below another customer's zone may have come without a referral. */
static const struct cut *find_start(struct dnscheck_job *job, const char *name, bool asks_parent,
                                    const char *foreign_parent) {
    struct dnscheck *dnscheck = job->dnscheck;
    for (const char *suffix = name;; suffix += 1) {
        bool is_passed = (asks_parent && suffix == name) || is_strictly_below(suffix, foreign_parent);
        const struct cut *cut = is_passed ? NULL : referral_cache_find(dnscheck->cache, suffix);
        if (cut != NULL) {
            dnscheck->counters.cache_hits++;
            return cut;
        }
        suffix = strchr(suffix, '.');
        if (suffix == NULL)
            break;
    }
    if (dnscheck->root.trust != NULL && dnscheck->root_trust_until_ms <= clock_monotonic_ms()) {
        trust_release(dnscheck->root.trust);
        dnscheck->root.trust = NULL;
    }
    return &dnscheck->root;
}

static bool start(struct dnscheck_job *job, struct cut *cut, const char *name, enum walk_kind kind,
                  const char *foreign_parent, unsigned depth, walk_done *done, void *context) {
    struct walk *walk = arena_alloc(job->scratch, sizeof *walk);
    if (walk == NULL || cut == NULL || strlen(name) >= sizeof walk->name)
        return false;
    *walk = (struct walk){.job = job,
                          .cut = cut,
                          .labels = 1,
                          .depth = depth,
                          .kind = kind,
                          .foreign_parent = foreign_parent,
                          .ttl = job->dnscheck->settings.referral_max_ttl,
                          .done = done,
                          .context = context};
    strcpy(walk->name, name);
    if (depth > DEPTH_MAX)
        end(walk, false, "name servers that need each other's addresses; one of their zones needs glue");
    else if (strchr(name, '\\') != NULL) /* only a hostile zone leads there */
        end(walk, false, "the way leads to a name that no host has; change the record that names it");
    else
        step(walk);
    return true;
}

bool walk_find_cut(struct dnscheck_job *job, const char *name, enum walk_kind kind, unsigned depth,
                   walk_done *done, void *context) {
    bool asks_parent = kind == WALK_DELEGATION;
    const char *foreign_parent = asks_parent ? foreign_parent_of(job, name) : "";
    struct cut *cut = copy_to_scratch(job, find_start(job, name, asks_parent, foreign_parent));
    return start(job, cut, name, kind, foreign_parent, depth, done, context);
}

bool walk_find_cut_below(struct dnscheck_job *job, struct cut *from, const char *name, walk_done *done,
                         void *context) {
    return start(job, from, name, WALK_FIRST_CUT, "", 0, done, context);
}

bool walk_find_cut_of_target(struct dnscheck_job *job, const struct cut *from, const char *name,
                             walk_done *done, void *context) {
    return start(job, copy_to_scratch(job, from), name, WALK_TARGET, "", 0, done, context);
}

/* --- addresses of name servers without glue --- */

struct completion {
    struct dnscheck_job *job;
    struct cut *cut;
    size_t next;
    unsigned depth, pending;
    bool lacks_glue;
    struct cut host; /* what is found of the current server, kept in the cache as "@host" */
    uint32_t ttl;
    const char *failure;
    addresses_done *done;
    void *context;
};

static void complete_next(struct completion *completion);

static void use_host(struct completion *completion, const struct cut *host) {
    char *server = completion->cut->servers[completion->next];
    for (size_t i = 0; i < host->addresses.count; i++) {
        struct dns_server copy = host->addresses.items[i];
        copy.name = server;
        if (completion->cut->addresses.count < ADDRESSES_MAX)
            completion->cut->addresses.items[completion->cut->addresses.count++] = copy;
    }
}

static void on_host_address(void *context, const struct lookup_result *result) {
    struct completion *completion = context;
    const char *fault = lookup_fault(result);
    for (size_t i = 0; fault == NULL && i < result->count; i++) {
        const struct dns_record *record = result->records[i];
        add_address(&completion->host, completion->host.name, record->type == DNS_A ? AF_INET : AF_INET6,
                    record->address, completion->job->dnscheck->settings.port);
        completion->ttl = record->ttl < completion->ttl ? record->ttl : completion->ttl;
    }
    if (fault != NULL)
        completion->failure = fault;
    if (--completion->pending > 0)
        return;
    if (completion->host.addresses.count > 0)
        referral_cache_put(completion->job->dnscheck->cache, &completion->host, completion->ttl);
    use_host(completion, &completion->host);
    completion->next++;
    complete_next(completion);
}

static void ask_for_host(struct completion *completion, const struct cut *cut) {
    struct dnscheck_job *job = completion->job;
    const char *host = completion->cut->servers[completion->next];
    completion->pending = 2;
    if (!lookup_start(job, cut, NULL, host, DNS_A, on_host_address, completion) ||
        !lookup_start(job, cut, NULL, host, DNS_AAAA, on_host_address, completion))
        completion->done(completion->context, NULL, "out of memory");
}

static void on_host_cut(void *context, struct cut *cut, bool is_nxdomain, const char *failure) {
    struct completion *completion = context;
    if (cut == NULL || is_nxdomain) {
        completion->failure =
            failure != NULL ? failure
                            : no_such_server(completion->job, completion->cut->servers[completion->next],
                                             completion->cut->name);
        completion->next++;
        complete_next(completion);
        return;
    }
    ask_for_host(completion, cut);
}

/* A server that answers for parent and child alike need not add addresses to the child's NS set. */
static void ask_parent_for_host(struct completion *completion) {
    struct cut *cut = arena_copy(completion->job->scratch, completion->cut, sizeof *cut);
    if (cut == NULL) {
        completion->done(completion->context, NULL, "out of memory");
        return;
    }
    cut->addresses = completion->cut->parent->addresses;
    ask_for_host(completion, cut);
}

static void complete_next(struct completion *completion) {
    struct cut *cut = completion->cut;
    struct dnscheck_job *job = completion->job;
    for (; completion->next < cut->server_count; completion->next++) {
        const char *server = cut->servers[completion->next];
        char key[DNS_NAME_MAX + 1];
        if (has_address(cut, server))
            continue;
        snprintf(key, sizeof key, "@%s", server);
        const struct cut *known =
            strlen(key) < DNS_NAME_MAX ? referral_cache_find(job->dnscheck->cache, key) : NULL;
        if (known != NULL) {
            use_host(completion, known);
            continue;
        }
        if (completion->lacks_glue && !cut->is_own_answer) {
            completion->failure = no_glue(job, cut->name);
            break;
        }
        if (job->hosts_left == 0) {
            completion->failure = "more name servers without addresses than a check looks for; name fewer, "
                                  "or such as have glue";
            break;
        }
        job->hosts_left--;
        completion->host = (struct cut){.server_count = 0};
        snprintf(completion->host.name, sizeof completion->host.name, "@%.252s", server);
        completion->ttl = job->dnscheck->settings.referral_max_ttl;
        if (completion->lacks_glue)
            ask_parent_for_host(completion);
        else if (!walk_find_cut(job, server, WALK_CACHED, completion->depth, on_host_cut, completion))
            completion->done(completion->context, NULL, "out of memory");
        return;
    }
    completion->done(completion->context, cut, completion->failure);
}

bool walk_complete_addresses(struct dnscheck_job *job, struct cut *cut, unsigned depth, addresses_done *done,
                             void *context) {
    struct completion *completion = arena_alloc(job->scratch, sizeof *completion);
    if (completion == NULL)
        return false;
    completion->job = job;
    completion->cut = cut;
    completion->depth = depth;
    completion->lacks_glue = lacks_glue(cut);
    completion->done = done;
    completion->context = context;
    complete_next(completion);
    return true;
}

/* --- root hints --- */

static bool take_hint(struct cut *root, char *line, uint16_t port) {
    /* "NAME TTL [IN] A|AAAA|NS VALUE", as IANA's file and NSD's zones have it */
    char *words[6];
    size_t count = 0;
    line[strcspn(line, ";\r\n")] = '\0';
    for (char *word = strtok(line, " \t"); word != NULL && count < 6; word = strtok(NULL, " \t"))
        words[count++] = word;
    uint8_t bytes[16];
    if (count < 3)
        return true;
    const char *type = words[count - 2], *value = words[count - 1];
    int family = strcasecmp(type, "A") == 0 ? AF_INET : strcasecmp(type, "AAAA") == 0 ? AF_INET6 : 0;
    if (family == 0)
        return true;
    if (inet_pton(family, value, bytes) != 1 || strlen(words[0]) >= DNS_NAME_MAX)
        return false;
    char name[DNS_NAME_MAX];
    size_t length = strlen(words[0]);
    for (size_t i = 0; i <= length; i++)
        name[i] = (char)tolower((unsigned char)words[0][i]);
    if (length > 1 && name[length - 1] == '.')
        name[length - 1] = '\0';
    size_t at = 0;
    while (at < root->server_count && strcmp(root->servers[at], name) != 0)
        at++;
    if (at == SERVERS_MAX)
        return true;
    if (at == root->server_count)
        strcpy(root->servers[root->server_count++], name);
    add_address(root, root->servers[at], family, bytes, port);
    return true;
}

bool walk_load_root(struct dnscheck *dnscheck, struct error *error) {
    const char *path = dnscheck->settings.root_hints_file;
    FILE *file = fopen(path, "re");
    char line[1024];
    if (file == NULL)
        return error_set(error, ERROR_INVALID, "cannot read the root hints %s: %m", path);
    bool is_good = true;
    for (unsigned number = 1; is_good && fgets(line, sizeof line, file) != NULL; number++) {
        is_good = take_hint(&dnscheck->root, line, dnscheck->settings.port);
        if (!is_good)
            error_set(error, ERROR_INVALID, "%s:%u: expected a zone-file line with an address", path, number);
    }
    fclose(file);
    if (is_good && dnscheck->root.addresses.count == 0)
        is_good = error_set(error, ERROR_INVALID, "%s holds no address of a root server", path);
    return is_good;
}
