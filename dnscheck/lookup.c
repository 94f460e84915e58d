/* One record set of one name: asked of the zone's own servers, CNAME and DNAME followed, targets outside
 * walked from the root. An answer counts for names of the asked zone only; what a server says about other
 * zones is not believed. In a signed zone every set that is used, and every absence, is validated. */
#include "internal.h"

#include <string.h>

#define RECORDS_TAKEN 64

struct lookup {
    struct dnscheck_job *job;
    const struct zone_check *zone; /* on whose behalf; NULL: on that of name servers */
    const struct cut *cut;
    const struct dns_server *wanted;   /* of the cut's servers; NULL: any */
    const struct dns_server *answerer; /* of the last answer */
    char name[DNS_NAME_MAX];
    uint16_t type;
    unsigned hops;
    const struct dns_message *message; /* the last answer; may hold what stands behind an alias too */
    bool is_behind_alias;              /* in that answer */
    struct lookup *next_waiting;       /* for the same target */
    bool is_secure;
    lookup_done *done;
    void *context;
};

static void ask(struct lookup *lookup);
static void take_answer(struct lookup *lookup);

static void finish(struct lookup *lookup, struct lookup_result *result) {
    result->final_name = lookup->name;
    result->is_secure = lookup->is_secure && result->failure == NULL;
    lookup->done(lookup->context, result);
}

static void fail(struct lookup *lookup, const char *failure) {
    struct lookup_result result = {.failure = failure};
    finish(lookup, &result);
}

/* Behind an alias the answer at hand counts only where it is of the server that was found to have no other
 * zone there. */
static bool has_answer_of(const struct lookup *lookup, const struct walk_result *result) {
    return strcmp(result->cut->name, lookup->cut->name) == 0 &&
           (result->server == NULL || is_same_server(result->server, lookup->answerer));
}

static void on_target_cut(void *context, const struct walk_result *result) {
    struct lookup *lookup = context;
    if (result->cut == NULL) {
        fail(lookup, result->failure);
    } else if (result->is_nxdomain) {
        struct lookup_result nothing = {.is_nxdomain = true};
        finish(lookup, &nothing);
    } else if (has_answer_of(lookup, result)) {
        take_answer(lookup);
    } else if (result->cut->addresses.count == 0) {
        fail(lookup, cut_why_no_address(lookup->job, result->cut, NULL,
                                        "the name servers of a CNAME's target have no addresses"));
    } else {
        lookup->cut = result->cut;
        lookup->wanted = result->server;
        ask(lookup);
    }
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
    const struct dns_record *record = dns_find_dname(message, lookup->cut->name, lookup->name);
    if (record == NULL)
        return ALIAS_NONE;
    size_t owner = strlen(record->owner), own = strlen(lookup->name);
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

static enum alias follow_cname(struct lookup *lookup, const struct dns_message *message,
                               const char **failure) {
    const struct dns_record *alias = dns_find(message, DNS_ANSWER, lookup->name, DNS_CNAME, NULL);
    if (alias == NULL)
        return ALIAS_NONE;
    *failure = strlen(alias->target) >= DNS_NAME_MAX ? "an alias leads to a name that is too long"
                                                     : check_set(lookup, message, lookup->name, DNS_CNAME);
    if (*failure != NULL)
        return ALIAS_BROKEN;
    strcpy(lookup->name, alias->target);
    return ALIAS_FOLLOWED;
}

/* Where a target inside a zone lies. Asked once a check: A, AAAA and CAA of many names may lead there. */
struct target {
    struct target *next;
    const char *zone, *name;
    const struct dns_server *server; /* that is asked first */
    bool takes_unanimous, is_known;
    struct walk_result result;
    struct lookup *waiting;
};

/* Addresses of a customer's names and CAA records matter as everybody sees them; what names a server or
 * proves an account must be of whom the zone belongs to. */
static bool takes_unanimous(const struct lookup *lookup) {
    return lookup->zone != NULL && lookup->type != DNS_TXT;
}

static void on_inner_cut(void *context, const struct walk_result *result) {
    struct target *target = context;
    target->is_known = true;
    target->result = *result;
    for (struct lookup *lookup = target->waiting, *next; lookup != NULL; lookup = next) {
        next = lookup->next_waiting;
        on_target_cut(lookup, result);
    }
}

static bool is_of(const struct target *target, const struct lookup *lookup) {
    return strcmp(target->name, lookup->name) == 0 && strcmp(target->zone, lookup->cut->name) == 0 &&
           target->takes_unanimous == takes_unanimous(lookup) &&
           is_same_server(target->server, lookup->answerer);
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
                              .server = lookup->answerer,
                              .takes_unanimous = takes_unanimous(lookup),
                              .waiting = lookup};
    if (target->name == NULL)
        return false;
    job->targets = target;
    const struct walk_options options = {
        .kind = WALK_TARGET, .zone = lookup->zone, .takes_unanimous = target->takes_unanimous};
    return walk_find_cut_of_target(job, lookup->cut, lookup->answerer, target->name, &options, on_inner_cut,
                                   target);
}

/* A target inside the zone may lie below a further cut: its server may have that zone too, and add to the
 * answer what only the zone below can say. */
static void find_target(struct lookup *lookup) {
    const struct walk_options options = {
        .kind = WALK_CACHED, .zone = lookup->zone, .takes_unanimous = takes_unanimous(lookup)};
    bool is_inside = dns_is_below(lookup->name, lookup->cut->name), is_started = true;
    struct target *target = is_inside ? find_asked(lookup) : NULL;
    lookup->next_waiting = NULL;
    if (target != NULL && target->is_known) {
        on_target_cut(lookup, &target->result);
    } else if (target != NULL) {
        lookup->next_waiting = target->waiting;
        target->waiting = lookup;
    } else if (is_inside) {
        is_started = ask_target(lookup);
    } else {
        is_started = walk_find_cut(lookup->job, lookup->name, &options, on_target_cut, lookup);
    }
    if (!is_started)
        fail(lookup, "out of memory");
}

/* --- answers --- */

static bool take_records(struct lookup *lookup, struct lookup_result *result) {
    result->records = arena_alloc(lookup->job->scratch, RECORDS_TAKEN * sizeof *result->records);
    if (result->records == NULL)
        return false;
    for (const struct dns_record *record = NULL;
         (record = dns_find(lookup->message, DNS_ANSWER, lookup->name, lookup->type, record)) != NULL;) {
        result->has_too_many = result->count == RECORDS_TAKEN;
        if (result->has_too_many)
            break;
        result->records[result->count++] = record;
    }
    return true;
}

static void take_answer(struct lookup *lookup) {
    const struct dns_message *message = lookup->message;
    const char *failure = NULL;
    struct lookup_result result = {.server = lookup->answerer->name};
    enum alias alias = follow_dname(lookup, message, &failure);
    if (alias == ALIAS_NONE)
        alias = follow_cname(lookup, message, &failure);
    if (alias == ALIAS_FOLLOWED) {
        lookup->is_behind_alias = true;
        result.is_chain_too_long = ++lookup->hops > lookup->job->dnscheck->settings.max_cname;
        if (result.is_chain_too_long)
            finish(lookup, &result);
        else
            find_target(lookup);
        return;
    }
    if (alias == ALIAS_NONE && !take_records(lookup, &result))
        failure = "out of memory";
    if (failure != NULL) {
        fail(lookup, failure);
        return;
    }
    if (result.count == 0 && lookup->is_behind_alias) {
        ask(lookup); /* the server gave the alias alone */
        return;
    }
    result.is_nxdomain = result.count == 0 && message->rcode == DNS_NXDOMAIN;
    failure = result.count > 0 ? check_set(lookup, message, lookup->name, lookup->type)
                               : check_absence(lookup, message, result.is_nxdomain);
    if (failure != NULL)
        fail(lookup, failure);
    else
        finish(lookup, &result);
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
    const struct dns_record *referral =
        message->is_authoritative ? NULL : dns_find_referral(message, lookup->cut->name, lookup->name);
    if (referral != NULL) {
        result.subzone = referral->owner;
        result.is_subzone = true;
        finish(lookup, &result);
    } else if (!message->is_authoritative) {
        fail(lookup, "a name server does not answer for its zone (lame)");
    } else {
        take_answer(lookup);
    }
}

static bool start_query(struct lookup *lookup) {
    const struct query_options options = {.zone = lookup->cut->name};
    const struct server_list *servers = &lookup->cut->addresses;
    struct server_list one;
    if (lookup->wanted != NULL) { /* as often as a pair is asked: a lost datagram or two prove nothing */
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

bool lookup_start(struct dnscheck_job *job, const struct zone_check *zone, const struct cut *cut,
                  const struct dns_server *server, const char *name, uint16_t type, lookup_done *done,
                  void *context) {
    struct lookup *lookup = arena_alloc(job->scratch, sizeof *lookup);
    if (lookup == NULL || strlen(name) >= sizeof lookup->name)
        return false;
    *lookup = (struct lookup){.job = job,
                              .zone = zone,
                              .cut = cut,
                              .wanted = server,
                              .type = type,
                              .is_secure = true,
                              .done = done,
                              .context = context};
    strcpy(lookup->name, name);
    return start_query(lookup);
}
