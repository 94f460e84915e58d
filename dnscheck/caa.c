/* CAA (RFC 8659) with accounturi and validationmethods (RFC 8657). The set that counts is the one of the name
 * or of the closest name above it; what is above the zone is looked up once a zone. */
#include "internal.h"

#include <stdio.h>
#include <string.h>

#include "originca/names.h"

#define CRITICAL 0x80

struct climb {
    struct dnscheck_job *job;
    struct zone_check *zone;
    struct name_check *name; /* NULL: climbing from the zone's own name */
    const char *at;
    struct caa_set *out;
    caa_done *done;
    void *context;
};

static void climb_from(struct climb *climb);

/* --- judging a set --- */

static bool equals_word(const char *start, size_t length, const char *word) {
    return strlen(word) == length && strncasecmp(start, word, length) == 0;
}

static void trim(const char **start, size_t *length) {
    while (*length > 0 && (**start == ' ' || **start == '\t')) {
        (*start)++;
        (*length)--;
    }
    while (*length > 0 && ((*start)[*length - 1] == ' ' || (*start)[*length - 1] == '\t'))
        (*length)--;
}

static bool is_ours(const struct dnscheck *dnscheck, const char *domain, size_t length) {
    for (size_t i = 0; i < dnscheck->settings.caa_identity_count; i++)
        if (equals_word(domain, length, dnscheck->settings.caa_identities[i]))
            return true;
    return false;
}

static bool lists_method(const char *list, size_t length, const char *method) {
    for (const char *end = list + length; list < end;) {
        size_t piece = strcspn(list, ",") < (size_t)(end - list) ? strcspn(list, ",") : (size_t)(end - list);
        const char *start = list;
        size_t size = piece;
        trim(&start, &size);
        if (equals_word(start, size, method))
            return true;
        list += piece + 1;
    }
    return false;
}

static bool names_us(const struct dnscheck *dnscheck, struct bytes value) {
    const char *domain = (const char *)value.data;
    const char *end = value.length == 0 ? NULL : memchr(domain, ';', value.length);
    size_t length = end == NULL ? value.length : (size_t)(end - domain);
    trim(&domain, &length);
    return length > 0 && is_ours(dnscheck, domain, length);
}

/* issue-value = *WSP [issuer-domain *WSP] [";" *WSP parameters]. `is_named`: the domain is ours. */
static bool permits(const struct dnscheck_job *job, struct arena *arena, struct bytes value, bool *is_named) {
    *is_named = false;
    if (!names_us(job->dnscheck, value)) /* of many sets nothing is copied */
        return false;
    const char *text = arena_strndup(arena, (const char *)value.data, value.length);
    if (text == NULL || strlen(text) != value.length)
        return false;
    const char *rest = text + strcspn(text, ";");
    unsigned accounts = 0;
    bool is_permitted = *is_named = true;
    while (is_permitted && *rest == ';') {
        const char *tag = rest + 1;
        size_t piece = strcspn(tag, ";"), tag_length = strcspn(tag, "=");
        rest = tag + piece;
        if (tag_length >= piece) {
            size_t blank = piece;
            trim(&tag, &blank);
            is_permitted = blank == 0; /* "ca.example;" has an empty list of parameters */
            continue;
        }
        const char *parameter = tag + tag_length + 1;
        size_t parameter_length = piece - tag_length - 1;
        trim(&tag, &tag_length);
        trim(&parameter, &parameter_length);
        if (equals_word(tag, tag_length, "accounturi"))
            is_permitted = ++accounts == 1 && job->account_uri != NULL &&
                           strlen(job->account_uri) == parameter_length &&
                           strncmp(parameter, job->account_uri, parameter_length) == 0;
        else if (equals_word(tag, tag_length, "validationmethods"))
            is_permitted = lists_method(parameter, parameter_length, job->method);
    }
    return is_permitted;
}

static bool is_known_tag(const char *tag) {
    static const char *const known[] = {"issue",        "issuewild", "iodef",   "contactemail",
                                        "contactphone", "issuemail", "issuevmc"};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(tag, known[i]) == 0)
            return true;
    return false;
}

static void decide_not_permitted(struct name_check *name, const struct caa_set *set, bool names_us,
                                 const char *identity, const char *tag) {
    if (names_us)
        check_decide_name(
            name, DNSCHECK_REFUSED, "caa-restricted",
            "The CAA records of %s name \"%s\" for another account, another validation method or "
            "other names; change them to allow %s",
            set->owner, identity, name->name.name);
    else
        check_decide_name(name, DNSCHECK_REFUSED, "caa-refused",
                          "The CAA records of %s do not name \"%s\"; add: %s. CAA 0 %s \"%s\"", set->owner,
                          identity, set->owner, tag, identity);
}

static void judge(struct name_check *name, const struct caa_set *set) {
    struct dnscheck_job *job = name->job;
    bool is_wildcard = name_is_wildcard(name->name.name), has_wild = false, is_addressed = false;
    bool has_issue = false, is_permitted = false;
    const char *critical = NULL;
    for (size_t i = 0; i < set->count; i++)
        has_wild = has_wild || strcmp(set->records[i]->tag, "issuewild") == 0;
    const char *wanted = is_wildcard && has_wild ? "issuewild" : "issue";
    for (size_t i = 0; i < set->count; i++) {
        const struct dns_record *record = set->records[i];
        bool is_named = false, is_good;
        if ((record->flags & CRITICAL) != 0 && !is_known_tag(record->tag))
            critical = record->tag;
        if (strcmp(record->tag, "issue") != 0 && strcmp(record->tag, "issuewild") != 0)
            continue;
        is_good = permits(job, job->scratch, record->text, &is_named);
        is_addressed = is_addressed || is_named;
        if (strcmp(record->tag, wanted) == 0) {
            has_issue = true;
            is_permitted = is_permitted || is_good;
        }
    }
    const char *identity = job->dnscheck->settings.caa_identity_count > 0
                               ? job->dnscheck->settings.caa_identities[0]
                               : "(no identity is configured)";
    bool binds = job->dnscheck->settings.caa_mode == DNSCHECK_CAA_STRICT || is_addressed;
    if (!binds)
        return;
    if (critical != NULL)
        check_decide_name(name, DNSCHECK_REFUSED, "caa-critical",
                          "The CAA records of %s hold the critical property \"%s\", which is not known here; "
                          "remove it or its critical flag",
                          set->owner, critical);
    else if (has_issue && !is_permitted)
        decide_not_permitted(name, set, is_addressed, identity, wanted);
}

/* --- climbing --- */

static void decide_failure(struct name_check *name, const struct caa_set *set) {
    const char *at = *set->failed_at == '\0' ? "the root" : set->failed_at;
    if (set->bad_alias != NULL)
        check_decide_name(
            name, DNSCHECK_REFUSED, "bad-alias",
            "The CAA records of %s, which count for %s, cannot be had: there are %s, and an alias "
            "must stand alone (RFC 1034 3.6.2); leave one",
            at, name->name.name, set->bad_alias);
    else
        check_decide_name(name, DNSCHECK_FAILED, is_bogus(set->failure) ? "bogus" : "caa-failed",
                          "The CAA records of %s, which count for %s, cannot be had: %s", at, name->name.name,
                          set->failure);
}

static void end(struct climb *climb) {
    struct name_check *name = climb->name;
    if (name != NULL && (climb->out->failure != NULL || climb->out->bad_alias != NULL))
        decide_failure(name, climb->out);
    else if (name != NULL)
        judge(name, climb->out);
    climb->done(climb->context);
}

static void fail(struct climb *climb, const char *failure) {
    climb->out->failure = failure;
    climb->out->failed_at = climb->at;
    end(climb);
}

/* The addresses of the name were behind an alias, which counts for every type. */
static bool is_beside_alias(const struct climb *climb, const struct lookup_result *result) {
    const struct name_check *name = climb->name;
    return name != NULL && strcmp(climb->at, name->asked) == 0 && result->count > 0 && !result->is_alias &&
           name->views[0].addresses[0].is_alias;
}

static void on_records(void *context, const struct lookup_result *result) {
    struct climb *climb = context;
    climb->out->bad_alias =
        is_beside_alias(climb, result) ? "CAA records beside an alias" : result->bad_alias;
    if (climb->out->bad_alias != NULL || lookup_fault(result) != NULL) {
        fail(climb, lookup_fault(result));
        return;
    }
    if (result->count > 0) {
        climb->out->owner = climb->at;
        climb->out->records = result->records;
        climb->out->count = result->count;
        end(climb);
        return;
    }
    const char *dot = strchr(climb->at, '.');
    climb->at = dot == NULL ? "" : dot + 1;
    climb_from(climb);
}

static void look_up(struct climb *climb, const struct cut *cut, const struct dns_server *server) {
    if (!lookup_start(climb->job, climb->zone, cut, server, climb->at, DNS_CAA, on_records, climb))
        fail(climb, "out of memory");
}

static void on_cut(void *context, const struct walk_result *result) {
    struct climb *climb = context;
    static const struct lookup_result nothing = {0};
    if (result->cut == NULL)
        fail(climb, result->failure);
    else if (result->is_nxdomain)
        on_records(climb, &nothing);
    else
        look_up(climb, result->cut, result->server);
}

static void climb_from(struct climb *climb) {
    struct zone_check *zone = climb->zone;
    const struct walk_options options = {.kind = WALK_CACHED, .zone = zone, .takes_unanimous = true};
    bool is_at_zone = strcmp(climb->at, zone->zone.name) == 0;
    if (climb->name != NULL && is_at_zone) {
        *climb->out = zone->caa;
        end(climb);
    } else if (*climb->at == '\0') {
        end(climb);
    } else if (dns_is_below(climb->at, zone->zone.name)) {
        /* Of the server that was seen to have no other zone there. */
        look_up(climb, zone->cut, climb->name == NULL ? NULL : climb->name->server);
    } else if (!walk_find_cut(climb->job, climb->at, &options, on_cut, climb)) {
        fail(climb, "out of memory");
    }
}

static bool start(struct dnscheck_job *job, struct zone_check *zone, struct name_check *name, const char *at,
                  struct caa_set *out, caa_done *done, void *context) {
    struct climb *climb = arena_alloc(job->scratch, sizeof *climb);
    if (climb == NULL || out == NULL || at == NULL)
        return false;
    *climb = (struct climb){
        .job = job, .zone = zone, .name = name, .at = at, .out = out, .done = done, .context = context};
    climb_from(climb);
    return true;
}

bool caa_climb_zone(struct zone_check *zone, caa_done *done, void *context) {
    return start(zone->job, zone, NULL, zone->zone.name, &zone->caa, done, context);
}

bool caa_check_name(struct name_check *name, caa_done *done, void *context) {
    struct dnscheck_job *job = name->job;
    struct caa_set *set = arena_alloc(job->scratch, sizeof *set);
    return start(job, &job->zones[name->name.zone], name, name_base(name->name.name), set, done, context);
}
