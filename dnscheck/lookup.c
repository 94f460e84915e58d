/* One record set of one name: asked of the zone's own servers, or of one of them, CNAME and DNAME followed,
 * targets outside walked from the root. An answer counts for names of the asked zone only; what a server says
 * about other zones is not believed. In a signed zone every set that is used, and every absence, is
 * validated. An alias stands alone at its name (RFC 1034 3.6.2), else nobody can say where the name leads. */
#include "internal.h"

#include <stdio.h>
#include <string.h>

#define ADDRESSES_TAKEN 64 /* of a name; of other types as many as a message holds (packet.c) */

struct lookup {
    struct dnscheck_job *job;
    const struct zone_check *zone;     /* on whose behalf; NULL: on that of name servers */
    const char *anothers;              /* every server must say so (as in walk_options); NULL: any may */
    const struct cut *cut, *home;      /* home: where it began */
    const char *only;                  /* the server whose view it is: asked at home; NULL: any */
    const struct dns_server *wanted;   /* of the cut's servers; NULL: any */
    const struct dns_server *answerer; /* of the last answer */
    struct journey *journey;           /* that this one makes for others */
    char name[DNS_NAME_MAX];
    uint16_t type;
    unsigned hops;
    bool is_alias;                     /* the first name is one */
    const struct dns_message *message; /* the last answer; may hold what stands behind an alias too */
    bool is_behind_alias;              /* in that answer */
    struct lookup *next_waiting;       /* for the same target */
    bool is_secure;
    lookup_done *done;
    void *context;
};

static void ask(struct lookup *lookup);
static void take_answer(struct lookup *lookup);
static void come_home(struct lookup *lookup);

static void finish(struct lookup *lookup, struct lookup_result *result) {
    result->final_name = lookup->name;
    result->is_alias = lookup->is_alias;
    result->is_secure = lookup->is_secure && result->failure == NULL;
    lookup->done(lookup->context, result);
}

static void fail(struct lookup *lookup, const char *failure) {
    struct lookup_result result = {.failure = failure};
    finish(lookup, &result);
}

/* Addresses of a customer's names and CAA records matter as everybody sees them; what names a server or
 * proves an account must be of whom the zone belongs to. */
static bool takes_unanimous(const struct lookup *lookup) {
    return lookup->zone != NULL && lookup->type != DNS_TXT;
}

/* Each view is of its own server, and all are heard. */
static bool is_view_at_home(const struct lookup *lookup) {
    return lookup->only != NULL && lookup->cut == lookup->home;
}

/* Behind an alias the answer at hand counts only where it is of the server that was found to have no other
 * zone there; a view is of its own server, whatever that has. */
static bool has_answer_of(const struct lookup *lookup, const struct walk_result *result, bool is_view) {
    bool is_agreed = is_view || takes_unanimous(lookup) ||
                     (lookup->anothers == NULL && agree_is_needed(lookup->job, lookup->cut) == POOL_NO);
    return is_agreed && strcmp(result->cut->name, lookup->cut->name) == 0 &&
           (is_view || result->server == NULL || is_same_server(result->server, lookup->answerer));
}

static void on_target_cut(void *context, const struct walk_result *result) {
    struct lookup *lookup = context;
    if (result->cut == NULL) {
        fail(lookup, result->failure);
        return;
    }
    bool is_home = strcmp(result->cut->name, lookup->home->name) == 0;
    bool is_view = is_home && lookup->only != NULL;
    if (is_home && lookup->journey != NULL) {
        come_home(lookup);
    } else if (result->is_nxdomain && !is_view &&
               lookup->anothers == NULL) { /* else another server of the zone said so */
        struct lookup_result nothing = {.is_nxdomain = true};
        finish(lookup, &nothing);
    } else if (has_answer_of(lookup, result, is_view)) {
        take_answer(lookup);
    } else {
        lookup->cut = is_view ? lookup->home : result->cut;
        lookup->wanted = lookup->anothers == NULL ? result->server : NULL;
        ask(lookup);
    }
}

/* --- validation --- */

static const char *check_set(struct lookup *lookup, const struct dns_message *message, const char *owner,
                             uint16_t type) {
    struct dnscheck_job *job = lookup->job;
    bool is_opt_out;
    if (!is_signed(lookup->cut)) {
        lookup->is_secure = false;
        return NULL;
    }
    const char *reason = dnssec_check_set(job->scratch, lookup->cut->trust, &job->signatures, message,
                                          DNS_ANSWER, owner, type, &is_opt_out);
    lookup->is_secure = lookup->is_secure && !is_opt_out;
    return reason == NULL ? NULL : bogus(job, lookup->cut->name, reason);
}

static const char *check_absence(struct lookup *lookup, const struct dns_message *message, bool is_nxdomain) {
    struct dnscheck_job *job = lookup->job;
    bool is_opt_out = false;
    if (!is_signed(lookup->cut)) {
        lookup->is_secure = false;
        return NULL;
    }
    const char *reason = dnssec_check_absence(job->scratch, lookup->cut->trust, &job->signatures, message,
                                              lookup->name, lookup->type, is_nxdomain, &is_opt_out);
    lookup->is_secure = lookup->is_secure && !is_opt_out;
    return reason == NULL ? NULL : bogus(job, lookup->cut->name, reason);
}

/* --- aliases --- */

enum alias { ALIAS_NONE, ALIAS_FOLLOWED, ALIAS_BROKEN };

/* What may stand beside an alias (RFC 4034 4, RFC 2181 10.1). */
static bool may_be_beside(uint16_t type) {
    return type == DNS_RRSIG || type == DNS_NSEC;
}

/* A record of the answer that must not be there with that alias to `target`; NULL where all is well. The
 * alias is a CNAME of the name or a DNAME above it, below which there is nothing but what it makes (RFC
 * 6672 2.4). */
static const struct dns_record *find_beside(const struct dns_message *message, const struct dns_record *alias,
                                            const char *name, const char *target) {
    for (size_t i = 0; i < message->count; i++) {
        const struct dns_record *record = &message->records[i];
        bool is_dname = alias->type == DNS_DNAME, is_at_alias = strcmp(record->owner, alias->owner) == 0;
        if (record->section != DNS_ANSWER || may_be_beside(record->type))
            continue;
        if (is_at_alias && record->type == alias->type && strcmp(record->target, alias->target) != 0)
            return record;
        if (is_at_alias && (is_dname ? record->type == DNS_CNAME : record->type != DNS_CNAME))
            return record;
        if (is_dname && !is_at_alias && dns_is_below(name, record->owner) &&
            dns_is_below(record->owner, alias->owner) &&
            !(record->type == DNS_CNAME && strcmp(record->owner, name) == 0 &&
              strcmp(record->target, target) == 0))
            return record;
    }
    return NULL;
}

/* Signatures first: in a signed zone somebody on the way could put a record there. */
static enum alias refuse_alias(struct lookup *lookup, const struct dns_record *alias,
                               const struct dns_record *beside, struct lookup_result *result) {
    struct arena *arena = lookup->job->scratch;
    if (beside != NULL)
        result->failure = check_set(lookup, lookup->message, beside->owner, beside->type);
    if (result->failure != NULL)
        return ALIAS_BROKEN;
    const char *owner = alias->owner, *kind = dns_type_name(alias->type);
    if (beside == NULL)
        result->bad_alias = arena_printf(arena, "a %s at the zone's own name %s", kind, owner);
    else if (strcmp(beside->owner, owner) != 0)
        result->bad_alias = arena_printf(arena, "%s records at %s, below the DNAME of %s",
                                         dns_type_name(beside->type), beside->owner, owner);
    else if (beside->type == alias->type)
        result->bad_alias = arena_printf(arena, "two %s records at %s", kind, owner);
    else
        result->bad_alias =
            arena_printf(arena, "%s records beside the %s of %s", dns_type_name(beside->type), kind, owner);
    if (result->bad_alias == NULL)
        result->failure = "out of memory";
    return ALIAS_BROKEN;
}

/* RFC 6672 2.2: the part above the DNAME's owner is put before its target. */
static enum alias follow_dname(struct lookup *lookup, struct lookup_result *result) {
    const struct dns_message *message = lookup->message;
    const struct dns_record *record = dns_find_dname(message, lookup->cut->name, lookup->name);
    if (record == NULL)
        return ALIAS_NONE;
    size_t owner = strlen(record->owner), own = strlen(lookup->name);
    result->failure = check_set(lookup, message, record->owner, DNS_DNAME);
    size_t prefix = owner == 0 ? own : own - owner - 1; /* without its final dot */
    if (result->failure == NULL && prefix + 1 + strlen(record->target) >= DNS_NAME_MAX)
        result->failure = "a DNAME makes the name too long";
    if (result->failure != NULL)
        return ALIAS_BROKEN;
    char target[DNS_NAME_MAX];
    snprintf(target, sizeof target, "%.*s%s%s", (int)prefix, lookup->name, *record->target == '\0' ? "" : ".",
             record->target);
    const struct dns_record *beside = find_beside(message, record, lookup->name, target);
    if (beside != NULL)
        return refuse_alias(lookup, record, beside, result);
    strcpy(lookup->name, target);
    return ALIAS_FOLLOWED;
}

static enum alias follow_cname(struct lookup *lookup, struct lookup_result *result) {
    const struct dns_record *alias = dns_find(lookup->message, DNS_ANSWER, lookup->name, DNS_CNAME, NULL);
    if (alias == NULL)
        return ALIAS_NONE;
    result->failure = strlen(alias->target) >= DNS_NAME_MAX
                          ? "an alias leads to a name that is too long"
                          : check_set(lookup, lookup->message, lookup->name, DNS_CNAME);
    if (result->failure != NULL)
        return ALIAS_BROKEN;
    const struct dns_record *beside = find_beside(lookup->message, alias, lookup->name, alias->target);
    if (beside != NULL || strcmp(lookup->name, lookup->cut->name) == 0)
        return refuse_alias(lookup, alias, beside, result);
    strcpy(lookup->name, alias->target);
    return ALIAS_FOLLOWED;
}

/* Where a target inside a zone lies. Asked once a check: A, AAAA and CAA of many names may lead there. */
struct target {
    struct target *next;
    const char *zone, *name;
    const struct dns_server *server; /* that is asked first; NULL: any, for views */
    const char *anothers;
    bool takes_unanimous, is_known;
    struct walk_result result;
    struct lookup *waiting;
};

static void on_inner_cut(void *context, const struct walk_result *result) {
    struct target *target = context;
    target->is_known = true;
    target->result = *result;
    for (struct lookup *lookup = target->waiting, *next; lookup != NULL; lookup = next) {
        next = lookup->next_waiting;
        on_target_cut(lookup, result);
    }
}

/* What a view says is its own server's word in any case. */
static const struct dns_server *first_server(const struct lookup *lookup) {
    return lookup->only != NULL ? NULL : lookup->answerer;
}

static bool is_of(const struct target *target, const struct lookup *lookup) {
    const struct dns_server *server = first_server(lookup);
    bool is_same = target->server == NULL || server == NULL ? target->server == server
                                                            : is_same_server(target->server, server);
    return is_same && strcmp(target->name, lookup->name) == 0 &&
           strcmp(target->zone, lookup->cut->name) == 0 &&
           target->takes_unanimous == takes_unanimous(lookup) && target->anothers == lookup->anothers;
}

static struct target *find_asked(const struct lookup *lookup) {
    struct target *target = lookup->job->targets;
    while (target != NULL && !is_of(target, lookup))
        target = target->next;
    return target;
}

static bool ask_target(struct lookup *lookup) {
    struct dnscheck_job *job = lookup->job;
    struct target *target = arena_alloc(job->scratch, sizeof *target);
    if (target == NULL)
        return false;
    *target = (struct target){.next = job->targets,
                              .zone = lookup->cut->name,
                              .name = arena_strdup(job->scratch, lookup->name),
                              .server = first_server(lookup),
                              .anothers = lookup->anothers,
                              .takes_unanimous = takes_unanimous(lookup),
                              .waiting = lookup};
    if (target->name == NULL)
        return false;
    job->targets = target;
    const struct walk_options options = {.kind = WALK_TARGET,
                                         .zone = lookup->zone,
                                         .takes_unanimous = target->takes_unanimous,
                                         .anothers = lookup->anothers};
    return walk_find_cut_of_target(job, lookup->cut, target->server, target->name, &options, on_inner_cut,
                                   target);
}

/* From home to where a target outside leads. Made once a check for all views: every server of the zone is
 * asked for the alias, and names share targets. */
struct journey {
    struct journey *next;
    const struct cut *home;
    const char *name;
    uint16_t type;
    bool is_over;
    struct lookup *traveller, *waiting;
    const char *back_at; /* a name of the zone where it began: each asks its own server for that */
    struct lookup_result result;
};

static void refuse_chain(struct lookup *lookup) {
    struct lookup_result result = {.is_chain_too_long = true};
    finish(lookup, &result);
}

static bool has_hops_left(const struct lookup *lookup) {
    return lookup->hops <= lookup->job->dnscheck->settings.max_cname;
}

static void follow_journey(struct lookup *lookup, const struct journey *journey) {
    struct lookup_result result = journey->result;
    lookup->hops += journey->traveller->hops;
    lookup->is_secure = lookup->is_secure && journey->traveller->is_secure;
    strcpy(lookup->name, journey->traveller->name);
    if (!has_hops_left(lookup))
        refuse_chain(lookup);
    else if (journey->back_at != NULL)
        ask(lookup);
    else
        finish(lookup, &result);
}

static void end_journey(struct journey *journey) {
    journey->is_over = true;
    for (struct lookup *lookup = journey->waiting, *next; lookup != NULL; lookup = next) {
        next = lookup->next_waiting;
        follow_journey(lookup, journey);
    }
}

static void come_home(struct lookup *lookup) {
    lookup->journey->back_at = lookup->name;
    end_journey(lookup->journey);
}

static void on_arrival(void *context, const struct lookup_result *result) {
    struct journey *journey = context;
    journey->result = *result;
    end_journey(journey);
}

static struct journey *find_journey(const struct lookup *lookup) {
    struct journey *journey = lookup->job->journeys;
    while (journey != NULL && (journey->type != lookup->type || journey->home != lookup->home ||
                               strcmp(journey->name, lookup->name) != 0))
        journey = journey->next;
    return journey;
}

static bool find_outside(struct lookup *lookup) {
    const struct walk_options options = {.kind = WALK_CACHED,
                                         .zone = lookup->zone,
                                         .takes_unanimous = takes_unanimous(lookup),
                                         .anothers = lookup->anothers};
    return walk_find_cut(lookup->job, lookup->name, &options, on_target_cut, lookup);
}

static bool start_journey(struct lookup *lookup) {
    struct dnscheck_job *job = lookup->job;
    struct journey *journey = arena_alloc(job->scratch, sizeof *journey);
    struct lookup *traveller = arena_copy(job->scratch, lookup, sizeof *lookup);
    const char *name = arena_strdup(job->scratch, lookup->name);
    if (journey == NULL || traveller == NULL || name == NULL)
        return false;
    *journey = (struct journey){.next = job->journeys,
                                .home = lookup->home,
                                .name = name,
                                .type = lookup->type,
                                .traveller = traveller,
                                .waiting = lookup};
    job->journeys = journey;
    traveller->journey = journey;
    traveller->hops = 0;
    traveller->only = NULL;
    traveller->wanted = NULL;
    traveller->is_secure = true;
    traveller->done = on_arrival;
    traveller->context = journey;
    return find_outside(traveller);
}

static bool travel(struct lookup *lookup) {
    struct journey *journey = find_journey(lookup);
    if (journey == NULL)
        return start_journey(lookup);
    if (journey->is_over) {
        follow_journey(lookup, journey);
    } else {
        lookup->next_waiting = journey->waiting;
        journey->waiting = lookup;
    }
    return true;
}

/* A target inside the zone may lie below a further cut: its server may have that zone too, and add to the
 * answer what only the zone below can say. */
static bool find_inside(struct lookup *lookup) {
    struct target *target = find_asked(lookup);
    if (target == NULL)
        return ask_target(lookup);
    if (target->is_known) {
        on_target_cut(lookup, &target->result);
    } else {
        lookup->next_waiting = target->waiting;
        target->waiting = lookup;
    }
    return true;
}

static void find_target(struct lookup *lookup) {
    bool is_started;
    lookup->next_waiting = NULL;
    if (dns_is_below(lookup->name, lookup->cut->name))
        is_started = find_inside(lookup);
    else if (is_view_at_home(lookup))
        is_started = travel(lookup);
    else
        is_started = find_outside(lookup);
    if (!is_started)
        fail(lookup, "out of memory");
}

/* --- answers --- */

static const struct dns_record *next_record(const struct lookup *lookup, const struct dns_record *after) {
    return dns_find(lookup->message, DNS_ANSWER, lookup->name, lookup->type, after);
}

static bool take_records(struct lookup *lookup, struct lookup_result *result) {
    bool is_address = lookup->type == DNS_A || lookup->type == DNS_AAAA;
    size_t count = 0;
    for (const struct dns_record *record = NULL; (record = next_record(lookup, record)) != NULL;)
        count++;
    result->has_too_many = is_address && count > ADDRESSES_TAKEN;
    count = result->has_too_many ? ADDRESSES_TAKEN : count;
    result->records = arena_alloc(lookup->job->scratch, count * sizeof *result->records);
    for (const struct dns_record *record = NULL; result->records != NULL && result->count < count;)
        result->records[result->count++] = record = next_record(lookup, record);
    return result->records != NULL || count == 0;
}

static void take_answer(struct lookup *lookup) {
    const struct dns_message *message = lookup->message;
    struct lookup_result result = {.server = lookup->answerer->name};
    enum alias alias = follow_dname(lookup, &result);
    if (alias == ALIAS_NONE)
        alias = follow_cname(lookup, &result);
    if (alias == ALIAS_FOLLOWED) {
        lookup->is_behind_alias = true;
        lookup->is_alias = lookup->is_alias || lookup->hops == 0;
        lookup->hops++;
        if (has_hops_left(lookup))
            find_target(lookup);
        else
            refuse_chain(lookup);
        return;
    }
    if (alias == ALIAS_NONE && !take_records(lookup, &result))
        result.failure = "out of memory";
    if (alias == ALIAS_BROKEN || result.failure != NULL) {
        finish(lookup, &result);
        return;
    }
    if (result.count == 0 && lookup->is_behind_alias) {
        ask(lookup); /* the server gave the alias alone */
        return;
    }
    result.is_nxdomain = result.count == 0 && message->rcode == DNS_NXDOMAIN;
    result.failure = result.count > 0 ? check_set(lookup, message, lookup->name, lookup->type)
                                      : check_absence(lookup, message, result.is_nxdomain);
    finish(lookup, &result);
}

static void on_agreed(void *context, const char *failure) {
    struct lookup *lookup = context;
    if (failure != NULL)
        fail(lookup, failure);
    else
        take_answer(lookup);
}

static void ask_whether_all_agree(struct lookup *lookup) {
    const struct question question = {.job = lookup->job,
                                      .cut = lookup->cut,
                                      .server = lookup->answerer,
                                      .name = lookup->name,
                                      .type = lookup->type,
                                      .message = lookup->message,
                                      .anothers = lookup->anothers};
    if (!agree_start(&question, on_agreed, lookup))
        fail(lookup, "out of memory");
}

static void on_answer(void *context, const struct dns_message *message, const struct dns_server *server,
                      const char *failure) {
    struct lookup *lookup = context;
    struct lookup_result result = {0};
    if (message == NULL) {
        fail(lookup, failure);
        return;
    }
    lookup->message = message;
    lookup->answerer = server;
    result.server = server->name;
    lookup->is_behind_alias = false;
    /* To below the zone we asked: the name belongs to a further cut. */
    const struct dns_record *referral = dns_take_referral(message, lookup->cut->name, lookup->name);
    if (referral != NULL) {
        result.subzone = referral->owner;
        result.is_subzone = true;
        finish(lookup, &result);
    } else if (!message->is_authoritative) {
        fail(lookup, failure_lame(lookup->job->scratch, server->name, lookup->cut->name));
    } else if (takes_unanimous(lookup) || is_view_at_home(lookup)) {
        take_answer(lookup);
    } else {
        ask_whether_all_agree(lookup);
    }
}

static bool start_query(struct lookup *lookup) {
    const struct query_options options = {.needs_signatures = is_signed(lookup->cut),
                                          .zone = lookup->cut->name};
    const struct server_list *servers = &lookup->cut->addresses;
    struct server_list one = {.count = 0};
    if (is_view_at_home(lookup)) {
        list_addresses(lookup->cut, lookup->only, &one);
        servers = &one;
    } else if (lookup->wanted !=
               NULL) { /* as often as a pair is asked: a lost datagram or two prove nothing */
        one.items[0] = one.items[1] = *lookup->wanted;
        one.count = 2;
        servers = &one;
    }
    return transport_query(lookup->job, servers, lookup->name, lookup->type, &options, on_answer, lookup);
}

static void ask(struct lookup *lookup) {
    if (!start_query(lookup))
        fail(lookup, "out of memory");
}

static bool start(const struct lookup *begun, const char *name) {
    struct lookup *lookup = arena_copy(begun->job->scratch, begun, sizeof *begun);
    if (lookup == NULL || strlen(name) >= sizeof lookup->name)
        return false;
    lookup->home = lookup->cut;
    lookup->is_secure = true;
    strcpy(lookup->name, name);
    return start_query(lookup);
}

bool lookup_start(struct dnscheck_job *job, const struct zone_check *zone, const struct cut *cut,
                  const struct dns_server *server, const char *name, uint16_t type, lookup_done *done,
                  void *context) {
    const struct lookup begun = {.job = job,
                                 .zone = zone,
                                 .cut = cut,
                                 .wanted = server,
                                 .type = type,
                                 .done = done,
                                 .context = context};
    return start(&begun, name);
}

bool lookup_start_agreed(struct dnscheck_job *job, const char *anothers, const struct cut *cut,
                         const char *name, uint16_t type, lookup_done *done, void *context) {
    const struct lookup begun = {
        .job = job, .anothers = anothers, .cut = cut, .type = type, .done = done, .context = context};
    return start(&begun, name);
}

bool lookup_start_view(struct dnscheck_job *job, const struct zone_check *zone, const struct cut *cut,
                       const char *server, const char *name, uint16_t type, lookup_done *done,
                       void *context) {
    const struct lookup begun = {
        .job = job, .zone = zone, .cut = cut, .only = server, .type = type, .done = done, .context = context};
    return start(&begun, name);
}

const char *lookup_fault(const struct lookup_result *result) {
    return result->failure != NULL     ? result->failure
           : result->bad_alias != NULL ? result->bad_alias
           : result->is_chain_too_long ? "it leads through too many aliases"
           : result->has_too_many      ? "it has too many records"
           : result->is_subzone        ? "a further zone is delegated there"
                                       : NULL;
}
