/* One record set of one name: asked of the zone's own servers, CNAME and DNAME followed, targets outside
 * walked from the root. An answer counts for names of the asked zone only; what a server says about other
 * zones is not believed. In a signed zone every set that is used, and every absence, is validated. */
#include "internal.h"

#include <string.h>

#define RECORDS_TAKEN 64

struct lookup {
    struct dnscheck_job *job;
    const struct cut *cut;
    char name[DNS_NAME_MAX];
    uint16_t type;
    unsigned hops;
    bool is_secure;
    lookup_done *done;
    void *context;
};

static void ask(struct lookup *lookup);

static void finish(struct lookup *lookup, struct lookup_result *result) {
    result->final_name = lookup->name;
    result->is_secure = lookup->is_secure && result->failure == NULL;
    lookup->done(lookup->context, result);
}

static void fail(struct lookup *lookup, const char *failure) {
    struct lookup_result result = {.failure = failure};
    finish(lookup, &result);
}

static void on_target_cut(void *context, struct cut *cut, bool is_nxdomain, const char *failure) {
    struct lookup *lookup = context;
    if (cut == NULL) {
        fail(lookup, failure);
        return;
    }
    if (is_nxdomain) {
        struct lookup_result result = {.is_nxdomain = true};
        finish(lookup, &result);
        return;
    }
    lookup->cut = cut;
    if (cut->addresses.count == 0)
        fail(lookup, "the name servers of a CNAME's target have no addresses");
    else
        ask(lookup);
}

/* --- validation --- */

static const char *check_set(struct lookup *lookup, const struct dns_message *message, const char *owner,
                             uint16_t type) {
    struct dnscheck_job *job = lookup->job;
    bool is_opt_out;
    if (lookup->cut->trust == NULL || !lookup->cut->trust->is_secure) {
        lookup->is_secure = false;
        return NULL;
    }
    const char *reason = dnssec_check_set(job->scratch, lookup->cut->trust, &job->signatures, message,
                                          DNS_ANSWER, owner, type, &is_opt_out);
    lookup->is_secure = lookup->is_secure && !is_opt_out;
    return reason == NULL ? NULL : bogus(job, reason);
}

static const char *check_absence(struct lookup *lookup, const struct dns_message *message, bool is_nxdomain) {
    struct dnscheck_job *job = lookup->job;
    bool is_opt_out = false;
    if (lookup->cut->trust == NULL || !lookup->cut->trust->is_secure) {
        lookup->is_secure = false;
        return NULL;
    }
    const char *reason = dnssec_check_absence(job->scratch, lookup->cut->trust, &job->signatures, message,
                                              lookup->name, lookup->type, is_nxdomain, &is_opt_out);
    lookup->is_secure = lookup->is_secure && !is_opt_out;
    return reason == NULL ? NULL : bogus(job, reason);
}

/* --- aliases --- */

enum alias { ALIAS_NONE, ALIAS_FOLLOWED, ALIAS_BROKEN };

/* RFC 6672 2.2: the part above the DNAME's owner is put before its target. */
static enum alias follow_dname(struct lookup *lookup, const struct dns_message *message,
                               const char **failure) {
    for (size_t i = 0; i < message->count; i++) {
        const struct dns_record *record = &message->records[i];
        size_t owner = strlen(record->owner), own = strlen(lookup->name);
        if (record->section != DNS_ANSWER || record->type != DNS_DNAME || own <= owner ||
            !dns_is_below(lookup->name, record->owner) || !dns_is_below(record->owner, lookup->cut->name))
            continue;
        *failure = check_set(lookup, message, record->owner, DNS_DNAME);
        size_t prefix = owner == 0 ? own : own - owner - 1; /* without its final dot */
        if (*failure != NULL || prefix + 1 + strlen(record->target) >= DNS_NAME_MAX) {
            *failure = *failure != NULL ? *failure : "a DNAME makes the name too long";
            return ALIAS_BROKEN;
        }
        lookup->name[prefix] = '\0';
        if (*record->target != '\0') {
            lookup->name[prefix] = '.';
            strcpy(lookup->name + prefix + 1, record->target);
        }
        return ALIAS_FOLLOWED;
    }
    return ALIAS_NONE;
}

static enum alias follow_cname(struct lookup *lookup, const struct dns_message *message,
                               const char **failure) {
    const struct dns_record *alias = dns_find(message, DNS_ANSWER, lookup->name, DNS_CNAME, NULL);
    if (alias == NULL || strlen(alias->target) >= DNS_NAME_MAX)
        return ALIAS_NONE;
    *failure = check_set(lookup, message, lookup->name, DNS_CNAME);
    if (*failure != NULL)
        return ALIAS_BROKEN;
    strcpy(lookup->name, alias->target);
    return ALIAS_FOLLOWED;
}

/* Follows the aliases of this answer as far as they stay in the zone. */
static enum alias follow_chain(struct lookup *lookup, const struct dns_message *message,
                               const char **failure) {
    enum alias outcome = ALIAS_NONE;
    while (lookup->hops <= lookup->job->dnscheck->settings.max_cname &&
           dns_is_below(lookup->name, lookup->cut->name)) {
        enum alias step = follow_dname(lookup, message, failure);
        if (step == ALIAS_NONE)
            step = follow_cname(lookup, message, failure);
        if (step == ALIAS_BROKEN)
            return ALIAS_BROKEN;
        if (step == ALIAS_NONE)
            break;
        lookup->hops++;
        outcome = ALIAS_FOLLOWED;
    }
    return outcome;
}

/* --- answers --- */

static bool take_records(struct lookup *lookup, const struct dns_message *message,
                         struct lookup_result *result) {
    result->records = arena_alloc(lookup->job->scratch, RECORDS_TAKEN * sizeof *result->records);
    if (result->records == NULL)
        return false;
    for (const struct dns_record *record = NULL;
         (record = dns_find(message, DNS_ANSWER, lookup->name, lookup->type, record)) != NULL;) {
        result->has_too_many = result->count == RECORDS_TAKEN;
        if (result->has_too_many)
            break;
        result->records[result->count++] = record;
    }
    return true;
}

/* A referral to below the zone we asked: the name belongs to a further cut. */
static const char *find_subzone(const struct lookup *lookup, const struct dns_message *message) {
    for (size_t i = 0; i < message->count; i++) {
        const struct dns_record *record = &message->records[i];
        if (record->section == DNS_AUTHORITY && record->type == DNS_NS &&
            strcmp(record->owner, lookup->cut->name) != 0 && dns_is_below(record->owner, lookup->cut->name) &&
            dns_is_below(lookup->name, record->owner))
            return record->owner;
    }
    return NULL;
}

static void take_answer(struct lookup *lookup, const struct dns_message *message,
                        struct lookup_result *result) {
    const char *failure = NULL;
    enum alias alias = follow_chain(lookup, message, &failure);
    if (alias == ALIAS_BROKEN) {
        fail(lookup, failure);
        return;
    }
    if (lookup->hops > lookup->job->dnscheck->settings.max_cname) {
        result->is_chain_too_long = true;
        finish(lookup, result);
        return;
    }
    if (!dns_is_below(lookup->name, lookup->cut->name)) {
        if (!walk_find_cut(lookup->job, lookup->name, WALK_CACHED, 0, on_target_cut, lookup))
            fail(lookup, "out of memory");
        return;
    }
    if (!take_records(lookup, message, result)) {
        fail(lookup, "out of memory");
        return;
    }
    if (result->count == 0 && alias == ALIAS_FOLLOWED) {
        ask(lookup); /* the server gave the alias alone */
        return;
    }
    result->is_nxdomain = result->count == 0 && message->rcode == DNS_NXDOMAIN;
    failure = result->count > 0 ? check_set(lookup, message, lookup->name, lookup->type)
                                : check_absence(lookup, message, result->is_nxdomain);
    if (failure != NULL)
        fail(lookup, failure);
    else
        finish(lookup, result);
}

static void on_answer(void *context, const struct dns_message *message, const struct dns_server *server,
                      const char *failure) {
    struct lookup *lookup = context;
    struct lookup_result result = {0};
    if (message == NULL) {
        fail(lookup, failure);
        return;
    }
    result.server = server->name;
    result.subzone = message->is_authoritative ? NULL : find_subzone(lookup, message);
    result.is_subzone = result.subzone != NULL;
    if (result.is_subzone)
        finish(lookup, &result);
    else if (!message->is_authoritative)
        fail(lookup, "a name server does not answer for its zone (lame)");
    else
        take_answer(lookup, message, &result);
}

static void ask(struct lookup *lookup) {
    if (!transport_query(lookup->job, &lookup->cut->addresses, lookup->name, lookup->type, NULL, on_answer,
                         lookup))
        fail(lookup, "out of memory");
}

bool lookup_start(struct dnscheck_job *job, const struct cut *cut, const char *name, uint16_t type,
                  lookup_done *done, void *context) {
    struct lookup *lookup = arena_alloc(job->scratch, sizeof *lookup);
    if (lookup == NULL || strlen(name) >= sizeof lookup->name)
        return false;
    *lookup = (struct lookup){
        .job = job, .cut = cut, .type = type, .is_secure = true, .done = done, .context = context};
    strcpy(lookup->name, name);
    return transport_query(job, &cut->addresses, name, type, NULL, on_answer, lookup);
}
