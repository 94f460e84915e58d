/* One record set of one name: asked of the zone's own servers, CNAME and DNAME followed, targets outside
 * walked from the root. An answer counts for names of the asked zone only; what a server says about other
 * zones is not believed. */
#include "internal.h"

#include <string.h>

#define RECORDS_TAKEN 64

struct lookup {
    struct dnscheck_job *job;
    const char *zone;
    struct server_list servers;
    char name[DNS_NAME_MAX];
    uint16_t type;
    unsigned hops;
    bool is_away; /* followed a target out of the first zone */
    lookup_done *done;
    void *context;
};

static void ask(struct lookup *lookup);

static void finish(struct lookup *lookup, struct lookup_result *result) {
    result->final_name = lookup->name;
    lookup->done(lookup->context, result);
}

static void fail(struct lookup *lookup, const char *failure) {
    struct lookup_result result = {.failure = failure};
    finish(lookup, &result);
}

static void on_target_cut(void *context, const struct cut *cut, bool is_nxdomain, const char *failure) {
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
    lookup->zone = cut->name;
    lookup->servers = cut->addresses;
    if (lookup->servers.count == 0)
        fail(lookup, "the name servers of a CNAME's target have no addresses");
    else
        ask(lookup);
}

/* Follows CNAMEs through the answer; true when the name changed. */
static bool follow_chain(struct lookup *lookup, const struct dns_message *message) {
    bool has_moved = false;
    const struct dns_record *alias;
    while (lookup->hops <= lookup->job->dnscheck->settings.max_cname &&
           dns_is_below(lookup->name, lookup->zone) &&
           (alias = dns_find(message, DNS_ANSWER, lookup->name, DNS_CNAME, NULL)) != NULL &&
           strlen(alias->target) < DNS_NAME_MAX) {
        strcpy(lookup->name, alias->target);
        lookup->hops++;
        has_moved = true;
    }
    return has_moved;
}

static bool take_records(struct lookup *lookup, const struct dns_message *message,
                         struct lookup_result *result) {
    result->records = arena_alloc(lookup->job->scratch, RECORDS_TAKEN * sizeof *result->records);
    if (result->records == NULL)
        return false;
    for (const struct dns_record *record = NULL;
         result->count < RECORDS_TAKEN &&
         (record = dns_find(message, DNS_ANSWER, lookup->name, lookup->type, record)) != NULL;)
        result->records[result->count++] = record;
    return true;
}

/* A referral to below the zone we asked: the name belongs to a further cut. */
static const char *find_subzone(const struct lookup *lookup, const struct dns_message *message) {
    for (size_t i = 0; i < message->count; i++) {
        const struct dns_record *record = &message->records[i];
        if (record->section == DNS_AUTHORITY && record->type == DNS_NS &&
            strcmp(record->owner, lookup->zone) != 0 && dns_is_below(record->owner, lookup->zone) &&
            dns_is_below(lookup->name, record->owner))
            return record->owner;
    }
    return NULL;
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
    if (result.subzone != NULL) {
        result.is_subzone = true;
        finish(lookup, &result);
        return;
    }
    if (!message->is_authoritative) {
        fail(lookup, "a name server does not answer for its zone (lame)");
        return;
    }
    bool has_moved = follow_chain(lookup, message);
    if (lookup->hops > lookup->job->dnscheck->settings.max_cname) {
        result.is_chain_too_long = true;
        finish(lookup, &result);
        return;
    }
    bool is_inside = dns_is_below(lookup->name, lookup->zone);
    if (!is_inside) {
        lookup->is_away = true;
        if (!walk_find_cut(lookup->job, lookup->name, false, 0, on_target_cut, lookup))
            fail(lookup, "out of memory");
        return;
    }
    if (!take_records(lookup, message, &result)) {
        fail(lookup, "out of memory");
        return;
    }
    if (result.count == 0 && has_moved) {
        ask(lookup); /* the server gave the alias alone */
        return;
    }
    result.is_nxdomain = result.count == 0 && message->rcode == DNS_NXDOMAIN;
    finish(lookup, &result);
}

static void ask(struct lookup *lookup) {
    if (!transport_query(lookup->job, &lookup->servers, lookup->name, lookup->type, NULL, on_answer, lookup))
        fail(lookup, "out of memory");
}

bool lookup_start(struct dnscheck_job *job, const char *zone, const struct server_list *servers,
                  const char *name, uint16_t type, lookup_done *done, void *context) {
    struct lookup *lookup = arena_alloc(job->scratch, sizeof *lookup);
    if (lookup == NULL || strlen(name) >= sizeof lookup->name)
        return false;
    *lookup = (struct lookup){
        .job = job, .zone = zone, .servers = *servers, .type = type, .done = done, .context = context};
    strcpy(lookup->name, name);
    return transport_query(job, servers, name, type, NULL, on_answer, lookup);
}
