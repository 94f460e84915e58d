/* Servers that answer NS with an error may answer other types all the same, and show by them whether there is
 * a cut. A delegation that is to be proven is shown by NS alone. */
#include "walk.h"

#include <string.h>

static query_done on_other_type;

static void ask_for(struct walk *walk, uint16_t type, const char *failure) {
    walk->other_type = type;
    walk->left = UINT32_MAX;
    walk->at = -1;
    if (walk->options.kind == WALK_DELEGATION || !is_error_answer(failure))
        walk_end(walk, false, failure);
    else if (!walk_ask(walk, type, on_other_type))
        walk_end(walk, false, "out of memory");
}

void detour_ask(struct walk *walk, const char *failure) {
    ask_for(walk, DNS_SOA, failure);
}

static bool is_strictly_inside(const char *name, const char *zone) {
    return strcmp(name, zone) != 0 && dns_is_below(name, zone);
}

const char *detour_find_zone(const struct walk *walk, const struct dns_message *message) {
    for (size_t i = 0; i < message->count; i++) {
        const struct dns_record *record = &message->records[i];
        if (record->type == DNS_SOA && record->section != DNS_ADDITIONAL &&
            is_strictly_inside(record->owner, walk->cut->name) && dns_is_below(walk->name, record->owner))
            return record->owner;
    }
    return NULL;
}

void detour_end_at(struct walk *walk, const char *zone) {
    struct cut *cut = arena_alloc(walk->job->scratch, sizeof *cut);
    if (walk->options.kind != WALK_FIRST_CUT || cut == NULL || strlen(zone) >= sizeof cut->name) {
        walk_end(walk, false,
                 "the name servers of a zone on the way do not name themselves; whoever runs them must "
                 "mend that");
        return;
    }
    strcpy(cut->name, zone);
    walk->cut = cut;
    walk->at = -1;
    walk_end(walk, false, NULL);
}

/* By the proof of what is there, also of no delegation. */
static const char *check_other_type(struct walk *walk, const struct dns_message *message) {
    const char *child = walk_child(walk);
    bool is_opt_out;
    if (dns_find(message, DNS_ANSWER, child, walk->other_type, NULL) == NULL)
        return walk_check_absence(walk, message, DNS_NS, message->rcode == DNS_NXDOMAIN);
    if (walk->cut->trust == NULL)
        return NULL;
    const char *reason = dnssec_check_set(walk->job->scratch, walk->cut->trust, &walk->job->signatures,
                                          message, DNS_ANSWER, child, walk->other_type, &is_opt_out);
    return reason == NULL ? NULL : bogus(walk->job, walk->cut->name, reason);
}

static void on_other_type(void *context, const struct dns_message *message, const struct dns_server *server,
                          const char *failure) {
    struct walk *walk = context;
    if (message == NULL && walk->other_type == DNS_SOA) {
        ask_for(walk, DNS_A, failure);
        return;
    }
    if (message == NULL) {
        walk_end(walk, false, failure);
        return;
    }
    walk_note_server(walk, server);
    const struct dns_record *referral = dns_take_referral(message, walk->cut->name, walk->name);
    const char *zone = detour_find_zone(walk, message);
    bool is_alias = dns_find(message, DNS_ANSWER, walk_child(walk), DNS_CNAME, NULL) != NULL;
    if (referral != NULL && message->rcode == DNS_NOERROR)
        walk_take_referral(walk, message, referral->owner);
    else if (!message->is_authoritative)
        walk_end(walk, false, failure_lame(walk->job->scratch, server->name, walk->cut->name));
    else if (is_alias)
        walk_end(walk, false, walk_check_alias(walk, message));
    else if (zone != NULL)
        detour_end_at(walk, zone);
    else
        walk_end(walk, message->rcode == DNS_NXDOMAIN, check_other_type(walk, message));
}
