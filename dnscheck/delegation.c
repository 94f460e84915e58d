/* Is the zone delegated to the assigned name servers, and do they answer for it? (doc/dns-check.md, rule 1)
 */
#include "internal.h"

#include <string.h>

#define RCODE_DEFINITE_MAX 10

struct server_check {
    struct zone_check *zone;
    const char *server;
};

bool name_list_has(const char *const *names, size_t count, const char *name) {
    for (size_t i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

const char *join_names(struct arena *arena, const char *const *names, size_t count) {
    struct text text;
    text_init(&text, arena);
    for (size_t i = 0; i < count; i++)
        text_printf(&text, "%s%s", i == 0 ? "" : ", ", names[i]);
    return text.failed || text.data == NULL ? "none" : text.data;
}

static const char *wanted(const struct zone_check *zone) {
    return join_names(zone->job->scratch, zone->zone.name_servers, zone->zone.name_server_count);
}

static void decide_ok(void *context) {
    struct zone_check *zone = context;
    const char *seen[SERVERS_MAX] = {NULL};
    for (size_t i = 0; i < zone->cut->server_count; i++)
        seen[i] = zone->cut->servers[i];
    check_decide_zone(zone, DNSCHECK_OK, "delegated", "%s is delegated to %s", zone->zone.name,
                      join_names(zone->job->scratch, seen, zone->cut->server_count));
}

static void judge_signature(struct zone_check *zone, const char *server, const struct dns_message *message) {
    struct dnscheck_job *job = zone->job;
    bool is_opt_out, is_there = dns_find(message, DNS_ANSWER, zone->zone.name, DNS_NS, NULL) != NULL;
    const char *reason = is_there
                             ? dnssec_check_set(job->scratch, zone->cut->trust, &job->signatures, message,
                                                DNS_ANSWER, zone->zone.name, DNS_NS, &is_opt_out)
                             : dnssec_check_absence(job->scratch, zone->cut->trust, &job->signatures, message,
                                                    zone->zone.name, DNS_NS, false, &is_opt_out);
    if (reason != NULL)
        check_decide_zone(zone, DNSCHECK_FAILED, "bogus", "The answer of %s about %s cannot be trusted: %s",
                          server, zone->zone.name, bogus(job, zone->zone.name, reason));
}

/* The zone's own NS set, from one of its servers: authoritative, not empty, assigned ones only. */
static void judge_own_set(struct zone_check *zone, const char *server, const struct dns_message *message) {
    size_t found = 0;
    if (zone->cut->trust != NULL)
        judge_signature(zone, server, message);
    if (!zone->is_decided && dns_find(message, DNS_ANSWER, zone->zone.name, DNS_CNAME, NULL) != NULL)
        check_decide_zone(
            zone, DNSCHECK_REFUSED, "bad-alias",
            "There is a CNAME record at %s, the zone's own name (seen at %s), where none can be "
            "(RFC 1034 3.6.2); put addresses in its place",
            zone->zone.name, server);
    if (zone->is_decided)
        return;
    for (const struct dns_record *record = NULL;
         (record = dns_find(message, DNS_ANSWER, zone->zone.name, DNS_NS, record)) != NULL; found++)
        if (!name_list_has(zone->zone.name_servers, zone->zone.name_server_count, record->target)) {
            check_decide_zone(
                zone, DNSCHECK_REFUSED, "foreign-in-zone",
                "The zone %s itself names %s as a name server (seen at %s); its NS records must be among %s",
                zone->zone.name, record->target, server, wanted(zone));
            return;
        }
    if (found == 0)
        check_decide_zone(zone, DNSCHECK_REFUSED, "lame",
                          "The name server %s has no NS records for %s; is the zone set up there?", server,
                          zone->zone.name);
}

/* Does the server say for sure whether it serves the zone, or has it trouble of its own? (FORMERR, NOTIMP,
 * SERVFAIL; BADVERS, BADCOOKIE and whatever else is beyond RFC 2136's) */
static bool is_definite(uint16_t rcode) {
    return rcode != DNS_FORMERR && rcode != DNS_NOTIMP && rcode != DNS_SERVFAIL &&
           rcode <= RCODE_DEFINITE_MAX;
}

static void on_server_answer(void *context, const struct dns_message *message,
                             const struct dns_server *server, const char *failure) {
    struct server_check *check = context;
    struct zone_check *zone = check->zone;
    char rcode[16];
    (void)server;
    if (zone->is_decided)
        return;
    if (message == NULL)
        check_decide_zone(zone, DNSCHECK_FAILED, "unreachable",
                          "The name servers of %s must all answer, but there is %s", zone->zone.name,
                          failure);
    else if (!is_definite(message->rcode))
        check_decide_zone(zone, DNSCHECK_FAILED, "servfail",
                          "The name server %s cannot answer for %s (%s); try again later", check->server,
                          zone->zone.name, dns_rcode_name(message->rcode, rcode));
    else if (message->rcode != DNS_NOERROR || !message->is_authoritative)
        check_decide_zone(zone, DNSCHECK_REFUSED, "lame", "The name server %s does not serve %s (%s%s)",
                          check->server, zone->zone.name, dns_rcode_name(message->rcode, rcode),
                          message->is_authoritative ? "" : ", not authoritative");
    else
        judge_own_set(zone, check->server, message);
    if (zone->is_decided || --zone->pending_servers > 0)
        return;
    if (zone->job->dnscheck->settings.caa_mode == DNSCHECK_CAA_OFF || zone->job->name_count == 0)
        decide_ok(zone);
    else if (!caa_climb_zone(zone, decide_ok, zone))
        check_decide_zone(zone, DNSCHECK_FAILED, "internal", "out of memory");
}

void list_addresses(const struct cut *cut, const char *server, struct server_list *list) {
    list->count = 0;
    for (size_t i = 0; i < cut->addresses.count; i++)
        if (strcmp(cut->addresses.items[i].name, server) == 0)
            list->items[list->count++] = cut->addresses.items[i];
}

static bool ask_server(struct zone_check *zone, const char *name) {
    const struct query_options any = {.takes_any_rcode = true, .needs_signatures = is_signed(zone->cut)};
    struct server_check *check = arena_alloc(zone->job->scratch, sizeof *check);
    struct server_list list;
    if (check == NULL)
        return false;
    list_addresses(zone->cut, name, &list);
    *check = (struct server_check){zone, name};
    if (list.count == 0) {
        check_decide_zone(zone, DNSCHECK_FAILED, "no-address",
                          "The name server %s of %s has no address that can be asked: %s", name,
                          zone->zone.name,
                          cut_why_no_address(zone->job, zone->cut, name,
                                             "there is none in DNS; ask the provider, whose it is"));
        return true;
    }
    return transport_query(zone->job, &list, zone->zone.name, DNS_NS, &any, on_server_answer, check);
}

static void on_trust(void *context, const char *failure) {
    struct zone_check *zone = context;
    if (zone->is_decided)
        return;
    if (failure != NULL) {
        check_decide_zone(zone, DNSCHECK_FAILED, is_bogus(failure) ? "bogus" : "keys-failed",
                          is_bogus(failure) ? "The keys of %s cannot be trusted: %s"
                                            : "The keys of %s cannot be had: %s",
                          zone->zone.name, failure);
        return;
    }
    zone->pending_servers = zone->cut->server_count;
    for (size_t i = 0; i < zone->cut->server_count && !zone->is_decided; i++)
        if (!ask_server(zone, zone->cut->servers[i]))
            check_decide_zone(zone, DNSCHECK_FAILED, "internal", "out of memory");
}

static void on_addresses(void *context, struct cut *cut, const char *failure) {
    struct zone_check *zone = context;
    if (cut == NULL || cut->addresses.count == 0) {
        check_decide_zone(
            zone, DNSCHECK_FAILED, "no-address",
            "The addresses of the name servers of %s cannot be found: %s", zone->zone.name,
            cut_why_no_address(zone->job, cut, NULL,
                               failure != NULL ? failure : no_address(zone->job, zone->zone.name)));
        return;
    }
    zone->cut = cut;
    static const struct walk_options options = {.depth = 0};
    if (!trust_establish(zone->job, cut->parent, cut, &options, on_trust, zone))
        check_decide_zone(zone, DNSCHECK_FAILED, "internal", "out of memory");
}

static bool comma_list_has(const char *list, const char *name) {
    for (size_t length = strlen(name); list != NULL; list = strchr(list, ',')) {
        list += *list == ',' ? 1 : 0;
        if (strncmp(list, name, length) == 0 && (list[length] == '\0' || list[length] == ','))
            return true;
    }
    return false;
}

const char *dnscheck_find_rival(const struct dnscheck_zone *zone, const char *const *servers, size_t count) {
    for (size_t i = 0; i < zone->rival_count; i++) {
        size_t within = 0;
        while (within < count && comma_list_has(zone->rivals[i], servers[within]))
            within++;
        if (within == count)
            return zone->rivals[i];
    }
    return NULL;
}

/* The servers are assigned, but somebody else may have been told to delegate to them as well. */
static void refuse_ambiguous(struct zone_check *zone, const char *seen, const char *rival) {
    bool is_whole = true;
    for (size_t i = 0; i < zone->zone.name_server_count; i++)
        is_whole = is_whole && comma_list_has(rival, zone->zone.name_servers[i]);
    if (is_whole)
        check_decide_zone(
            zone, DNSCHECK_REFUSED, "ambiguous",
            "%s is delegated to %s, which may be what another customer left behind: nobody could look at "
            "the delegation before these name servers were assigned; delete the zone here and add it "
            "again to be given others",
            zone->zone.name, seen);
    else
        check_decide_zone(
            zone, DNSCHECK_REFUSED, "ambiguous",
            "%s is delegated to %s, which does not show whose it is: other customers were told to use them "
            "as well; set its name servers to all of %s at your registrar",
            zone->zone.name, seen, wanted(zone));
}

static void judge_referral(struct zone_check *zone, const struct cut *cut) {
    const char *seen[SERVERS_MAX] = {NULL};
    size_t ours = 0;
    for (size_t i = 0; i < cut->server_count; i++) {
        seen[i] = cut->servers[i];
        ours += name_list_has(zone->zone.name_servers, zone->zone.name_server_count, seen[i]) ? 1 : 0;
    }
    const char *list = join_names(zone->job->scratch, seen, cut->server_count);
    if (cut->server_count == 0 || ours == 0)
        check_decide_zone(zone, DNSCHECK_REFUSED, "delegated-elsewhere",
                          "%s is delegated to %s; set its name servers to %s at your registrar",
                          zone->zone.name, list, wanted(zone));
    else if (ours < cut->server_count || cut->has_more_servers)
        check_decide_zone(
            zone, DNSCHECK_REFUSED, "partly-delegated",
            "%s is delegated to %s, which are not all yours here; leave only %s at your registrar",
            zone->zone.name, list, wanted(zone));
    const char *rival = dnscheck_find_rival(&zone->zone, seen, cut->server_count);
    if (rival != NULL)
        refuse_ambiguous(zone, list, rival);
}

/* Every server of the zone above has it as well, or a zone on the way. */
static void decide_hidden(struct zone_check *zone, const struct walk_result *result) {
    check_decide_zone(
        zone, DNSCHECK_FAILED, "hidden",
        "The name servers of %s have %s as well and show no delegation of it, which they would do "
        "for any customer who added it. Have it delegated by %s and ask the provider for name "
        "servers that do not serve %s; or, if %s is yours, add it here and set its name servers "
        "to those assigned to you",
        result->ground, result->own_zone, result->ground, result->ground, result->ground);
}

static void decide_no_cut(struct zone_check *zone, const struct walk_result *result) {
    const char *above = *result->cut->name == '\0' ? "the root" : result->cut->name, *name = zone->zone.name;
    if (result->is_nxdomain)
        check_decide_zone(
            zone, DNSCHECK_REFUSED, "does-not-exist",
            "%s does not exist in DNS (asked at %s); register it and set its name servers to %s", name, above,
            wanted(zone));
    else
        check_decide_zone(
            zone, DNSCHECK_REFUSED, "not-delegated",
            "%s is not delegated: %s answers for it; set its name servers to %s at your registrar", name,
            above, wanted(zone));
}

/* Also one that was added before the pool had that name server. */
static bool refuse_reserved(struct zone_check *zone) {
    const char *server = pool_find_related(zone->job->dnscheck, zone->zone.name);
    if (server == NULL)
        return false;
    check_decide_zone(
        zone, DNSCHECK_REFUSED, "reserved",
        "%s is at, above or below %s, a name server of the provider, so it can be no customer's zone",
        zone->zone.name, server);
    return true;
}

static void on_cut(void *context, const struct walk_result *result) {
    struct zone_check *zone = context;
    if (zone->is_decided)
        return;
    if (result->is_hidden) {
        decide_hidden(zone, result);
        return;
    }
    if (result->cut == NULL) {
        check_decide_zone(zone, DNSCHECK_FAILED, is_bogus(result->failure) ? "bogus" : "walk-failed",
                          "The delegation of %s cannot be found: %s", zone->zone.name, result->failure);
        return;
    }
    zone->has_heard_parent = true;
    if (result->is_nxdomain || strcmp(result->cut->name, zone->zone.name) != 0) {
        decide_no_cut(zone, result);
        return;
    }
    zone->referral = result->cut;
    judge_referral(zone, result->cut);
    if (zone->is_decided)
        return;
    if (!walk_complete_addresses(zone->job, result->cut, 0, NULL, on_addresses, zone))
        check_decide_zone(zone, DNSCHECK_FAILED, "internal", "out of memory");
}

void delegation_start(struct zone_check *zone) {
    const struct walk_options options = {
        .kind = WALK_DELEGATION, .zone = zone, .anothers = zone->zone.anothers};
    if (refuse_reserved(zone))
        return;
    if (!walk_find_cut(zone->job, zone->zone.name, &options, on_cut, zone))
        check_decide_zone(zone, DNSCHECK_FAILED, "internal", "out of memory");
}
