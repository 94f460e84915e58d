/* Do all addresses of a name lie on the edge? And, without external binding, is the dns-01 record there?
 * (doc/dns-check.md, rules 2 and 4)
 *
 * Every name server of the zone is asked: visitors reach any of them, one may lag behind the others after a
 * change, and one may have been given a zone of that name by somebody else. */
#include "internal.h"

#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "originca/names.h"

static struct zone_check *zone_of(const struct name_check *name) {
    return &name->job->zones[name->name.zone];
}

static bool is_on_edge(const struct dnscheck *dnscheck, const struct dns_record *record) {
    return config_prefixes_hold_address(dnscheck->settings.edge_prefixes,
                                        dnscheck->settings.edge_prefix_count,
                                        record->type == DNS_A ? AF_INET : AF_INET6, record->address);
}

static void ask(struct name_check *name, const char *host);

/* "ns1.provider.test: on the edge; ns2.provider.test: points to 198.51.100.1" */
static const char *quote(const struct name_check *name, const char *const *said) {
    struct text text;
    text_init(&text, name->job->scratch);
    for (size_t i = 0; i < name->view_count; i++)
        text_printf(&text, "%s%s: %s", i == 0 ? "" : "; ", name->views[i].server, said[i]);
    return text.failed || text.data == NULL ? "" : text.data;
}

static void decide_disagree(struct name_check *name, const char *what, const char *const *said) {
    check_decide_name(name, DNSCHECK_FAILED, "disagree",
                      "The name servers of %s do not agree about %s (%s); wait until all of them serve the "
                      "same zone, then try again",
                      zone_of(name)->zone.name, what, quote(name, said));
}

/* --- dns-01 (RFC 8555 8.4) --- */

static bool has_text(const struct lookup_result *result, const char *value) {
    for (size_t i = 0; i < result->count; i++) {
        struct bytes text = result->records[i]->text;
        if (text.length == strlen(value) && memcmp(text.data, value, text.length) == 0)
            return true;
    }
    return false;
}

/* What there is instead of the value; NULL: it is there. */
static const char *lacks_text(const struct lookup_result *result, const char *value) {
    const char *fault = lookup_fault(result);
    return fault != NULL              ? fault
           : result->count == 0       ? "not there"
           : !has_text(result, value) ? "other values"
                                      : NULL;
}

static void refuse_text(struct name_check *name, const char *owner) {
    bool has_any = false;
    for (size_t i = 0; i < name->view_count; i++) {
        const struct lookup_result *result = &name->views[i].text;
        const char *fault = lookup_fault(result);
        has_any = has_any || result->count > 0;
        if (fault != NULL)
            check_decide_name(
                name, DNSCHECK_REFUSED, result->bad_alias != NULL ? "bad-alias" : "txt-failed",
                "The TXT records of %s lead nowhere for sure: %s; leave one record, of text or an alias",
                owner, fault);
    }
    check_decide_name(name, DNSCHECK_REFUSED, has_any ? "wrong-txt" : "no-txt",
                      has_any ? "The TXT records at %s hold other values; one must be \"%s\""
                              : "There is no TXT record at %s; it must hold \"%s\"",
                      owner, name->name.txt_value);
}

/* As with addresses: a definite no has every server behind it. */
static void judge_texts(struct name_check *name) {
    const char *said[SERVERS_MAX];
    const char *owner =
        arena_printf(name->job->scratch, NAME_CHALLENGE_PREFIX "%s", name_base(name->name.name));
    size_t good = 0;
    for (size_t i = 0; i < name->view_count; i++) {
        const struct lookup_result *result = &name->views[i].text;
        const char *lack = lacks_text(result, name->name.txt_value);
        good += lack == NULL ? 1 : 0;
        said[i] = lack == NULL ? "there" : lack;
        name->is_secure = name->is_secure && result->is_secure;
        if (result->failure != NULL)
            check_decide_name(name, DNSCHECK_FAILED, is_bogus(result->failure) ? "bogus" : "txt-failed",
                              "The TXT records of %s cannot be had: %s", owner, result->failure);
    }
    if (name->is_decided)
        return;
    if (good == name->view_count)
        check_decide_name(name, DNSCHECK_OK, "proven", "%s is on the edge and its dns-01 record is there",
                          name->name.name);
    else if (good > 0)
        decide_disagree(name, arena_printf(name->job->scratch, "the TXT record of %s", owner), said);
    else
        refuse_text(name, owner);
}

static void on_text(void *context, const struct lookup_result *result) {
    struct view *view = context;
    struct name_check *name = view->name;
    view->text = *result;
    if (--name->pending == 0 && !name->is_decided)
        judge_texts(name);
}

/* What comes through ACME or REST has been measured before (originca/names.h). */
static void refuse_length(struct name_check *name, size_t most) {
    check_decide_name(name, DNSCHECK_REFUSED, "too-long",
                      "%s is too long: DNS is asked for a name below it, so it may have at most %zu bytes",
                      name_base(name->name.name), most);
}

static void on_caa(void *context) {
    struct name_check *name = context;
    if (name->is_decided)
        return;
    if (name->name.txt_value == NULL) {
        check_decide_name(name, DNSCHECK_OK, "proxied", "%s is on the edge", name->name.name);
        return;
    }
    if (strlen(name_base(name->name.name)) > NAME_MAX_CHALLENGE_BASE_BYTES) {
        refuse_length(name, NAME_MAX_CHALLENGE_BASE_BYTES);
        return;
    }
    const char *host =
        arena_printf(name->job->scratch, NAME_CHALLENGE_PREFIX "%s", name_base(name->name.name));
    bool is_good = host != NULL;
    name->pending = name->view_count;
    for (size_t i = 0; is_good && i < name->view_count; i++)
        is_good = lookup_start_view(name->job, zone_of(name), zone_of(name)->cut, name->views[i].server, host,
                                    DNS_TXT, on_text, &name->views[i]);
    if (!is_good)
        check_decide_name(name, DNSCHECK_FAILED, "internal", "out of memory");
}

static void prove(struct name_check *name) {
    name->is_secure = true;
    for (size_t i = 0; i < name->view_count; i++)
        name->is_secure =
            name->is_secure && name->views[i].addresses[0].is_secure && name->views[i].addresses[1].is_secure;
    if (name->job->dnscheck->settings.caa_mode == DNSCHECK_CAA_OFF)
        on_caa(name);
    else if (!caa_check_name(name, on_caa, name))
        check_decide_name(name, DNSCHECK_FAILED, "internal", "out of memory");
}

/* --- addresses --- */

/* What follows from what one server says. */
struct opinion {
    enum dnscheck_verdict verdict;
    const char *reason, *text;
    const char *said; /* in few words */
    bool is_absent;   /* nothing is there, and no alias either */
};

/* The random label that finds a wildcard tells nobody anything. */
static const char *told(const struct name_check *name) {
    return name->tried_wildcard ? name->asked : name->name.name;
}

__attribute__((format(printf, 6, 7))) static bool form(struct name_check *name, struct opinion *opinion,
                                                       enum dnscheck_verdict verdict, const char *reason,
                                                       const char *said, const char *format, ...) {
    char text[700];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    const char *copy = arena_strdup(name->job->scratch, text);
    *opinion = (struct opinion){.verdict = verdict,
                                .reason = reason,
                                .text = copy == NULL ? "" : copy,
                                .said = said == NULL ? "" : said};
    return true;
}

static bool refuse_chain(struct name_check *name, const struct lookup_result *result, struct opinion *out) {
    if (result->is_subzone)
        return form(name, out, DNSCHECK_REFUSED, "sub-zone", "of a further zone",
                    "%s belongs to the zone %s, which is delegated away from %s; add %s as a zone of its own",
                    name->name.name, result->subzone, zone_of(name)->zone.name, result->subzone);
    if (result->bad_alias != NULL)
        return form(name, out, DNSCHECK_REFUSED, "bad-alias", result->bad_alias,
                    "%s leads nowhere for sure: there are %s, and an alias must stand alone (RFC 1034 "
                    "3.6.2); leave one record, of addresses or an alias",
                    told(name), result->bad_alias);
    if (result->is_chain_too_long)
        return form(name, out, DNSCHECK_REFUSED, "cname-chain", "too many aliases",
                    "%s leads through more than %u aliases; point it at the edge directly", told(name),
                    name->job->dnscheck->settings.max_cname);
    if (result->has_too_many)
        return form(name, out, DNSCHECK_REFUSED, "too-many-addresses", "too many addresses",
                    "%s has more addresses than are looked at; leave a few", told(name));
    if (result->failure != NULL)
        return form(name, out, DNSCHECK_FAILED, is_bogus(result->failure) ? "bogus" : "lookup-failed", "",
                    "The addresses of %s cannot be had: %s", told(name), result->failure);
    return false;
}

static bool refuse_gray(struct name_check *name, const struct lookup_result *result, struct opinion *out) {
    char address[INET6_ADDRSTRLEN];
    for (size_t i = 0; i < result->count; i++) {
        const struct dns_record *record = result->records[i];
        if (is_on_edge(name->job->dnscheck, record))
            continue;
        inet_ntop(record->type == DNS_A ? AF_INET : AF_INET6, record->address, address, sizeof address);
        return form(name, out, DNSCHECK_REFUSED, "gray",
                    arena_printf(name->job->scratch, "points to %s", address),
                    "%s points to %s (seen at %s), which is not an address of the edge; turn its proxy on, "
                    "or leave the name out",
                    told(name), address, result->server);
    }
    return false;
}

static void refuse_absent(struct name_check *name, const struct view *view, struct opinion *out) {
    bool is_nxdomain = view->addresses[0].is_nxdomain && view->addresses[1].is_nxdomain;
    const char *reason = is_nxdomain ? "does-not-exist" : "no-address";
    const char *what = is_nxdomain ? "does not exist in DNS" : "has no address in DNS";
    const char *said = is_nxdomain ? "does not exist" : "has no address";
    const struct lookup_result *alias =
        view->addresses[0].is_alias ? &view->addresses[0] : &view->addresses[1];
    if (alias->is_alias)
        form(name, out, DNSCHECK_REFUSED, reason, said, "%s leads to %s, which %s; point it at the edge",
             told(name), alias->final_name, what);
    else
        form(name, out, DNSCHECK_REFUSED, reason, said, "%s %s; make a proxied record for it first",
             told(name), what);
    out->is_absent = !alias->is_alias;
}

/* Seen by asking for one type, then for the other: an alias counts for every type (RFC 1034 3.6.2). */
static bool is_alias_and_host(const struct view *view) {
    const struct lookup_result *v4 = &view->addresses[0], *v6 = &view->addresses[1];
    return (v4->is_alias && !v6->is_alias && v6->count > 0) ||
           (v6->is_alias && !v4->is_alias && v4->count > 0);
}

static void judge_view(struct name_check *name, const struct view *view, struct opinion *out) {
    static const struct lookup_result both = {.bad_alias = "addresses beside an alias at this name"};
    for (size_t i = 0; i < 2; i++)
        if (refuse_chain(name, &view->addresses[i], out))
            return;
    if (is_alias_and_host(view) && refuse_chain(name, &both, out))
        return;
    for (size_t i = 0; i < 2; i++)
        if (refuse_gray(name, &view->addresses[i], out))
            return;
    if (view->addresses[0].count + view->addresses[1].count > 0)
        *out = (struct opinion){.verdict = DNSCHECK_OK, .said = "on the edge"};
    else
        refuse_absent(name, view, out);
}

/* A definite no has every server behind it. */
static void judge(struct name_check *name) {
    struct opinion opinions[SERVERS_MAX];
    const struct opinion *failed = NULL, *refused = NULL;
    const char *said[SERVERS_MAX];
    size_t good = 0, absent = 0;
    for (size_t i = 0; i < name->view_count; i++) {
        struct opinion *opinion = &opinions[i];
        judge_view(name, &name->views[i], opinion);
        said[i] = opinion->said;
        good += opinion->verdict == DNSCHECK_OK ? 1 : 0;
        absent += opinion->is_absent ? 1 : 0;
        if (opinion->verdict == DNSCHECK_FAILED && failed == NULL)
            failed = opinion;
        if (opinion->verdict == DNSCHECK_REFUSED && (refused == NULL || refused->is_absent))
            refused = opinion;
    }
    bool has_no_wildcard =
        name_is_wildcard(name->name.name) && !name->tried_wildcard && absent == name->view_count;
    if (failed != NULL)
        check_decide_name(name, DNSCHECK_FAILED, failed->reason, "%s", failed->text);
    else if (good == name->view_count)
        prove(name);
    else if (good > 0)
        decide_disagree(name, told(name), said);
    else if (!has_no_wildcard)
        check_decide_name(name, DNSCHECK_REFUSED, refused->reason, "%s", refused->text);
    else {
        /* The certificate's wildcard is for names made one by one, so its base must be ours. */
        name->tried_wildcard = true;
        ask(name, name_base(name->name.name));
    }
}

static void ask_type(struct name_check *name, size_t which);

static bool is_denied_by_all(const struct name_check *name) {
    for (size_t i = 0; i < name->view_count; i++)
        if (!name->views[i].addresses[0].is_nxdomain || name->views[i].addresses[0].is_alias)
            return false;
    return true;
}

static void on_addresses(struct view *view, size_t which, const struct lookup_result *result) {
    struct name_check *name = view->name;
    view->addresses[which] = *result;
    if (--name->pending > 0 || name->is_decided)
        return;
    if (name->is_denied && !is_denied_by_all(name)) {
        name->is_denied = false;
        ask_type(name, 1);
        return;
    }
    for (size_t i = 0; name->is_denied && i < name->view_count; i++)
        name->views[i].addresses[1] = name->views[i].addresses[0];
    judge(name);
}

static void on_v4(void *context, const struct lookup_result *result) {
    on_addresses(context, 0, result);
}

static void on_v6(void *context, const struct lookup_result *result) {
    on_addresses(context, 1, result);
}

static void ask_type(struct name_check *name, size_t which) {
    bool is_good = true;
    name->pending += name->view_count;
    for (size_t i = 0; is_good && i < name->view_count; i++)
        is_good = lookup_start_view(name->job, zone_of(name), zone_of(name)->cut, name->views[i].server,
                                    name->asked, which == 0 ? DNS_A : DNS_AAAA, which == 0 ? on_v4 : on_v6,
                                    &name->views[i]);
    if (!is_good)
        check_decide_name(name, DNSCHECK_FAILED, "internal", "out of memory");
}

static void ask_addresses(struct name_check *name) {
    const struct cut *cut = zone_of(name)->cut;
    name->views = arena_alloc(name->job->scratch, cut->server_count * sizeof *name->views);
    name->view_count = name->views == NULL ? 0 : cut->server_count;
    if (name->view_count == 0) {
        check_decide_name(name, DNSCHECK_FAILED, "internal", "out of memory");
        return;
    }
    for (size_t i = 0; i < name->view_count; i++)
        name->views[i] = (struct view){.name = name, .server = cut->servers[i]};
    ask_type(name, 0);
    if (!name->is_denied && !name->is_decided)
        ask_type(name, 1);
}

/* Some of its servers know nothing of a zone that another one has: visitors who come to that see what
 * somebody put there. */
static void refuse_stray(struct name_check *name, const struct walk_result *result) {
    const char *zone = zone_of(name)->zone.name;
    check_decide_name(
        name, DNSCHECK_REFUSED, "sub-zone",
        "The name server %s has a zone %s, which %s does not delegate, and answers for %s from it; "
        "have that zone removed there, or delegate it and add it as a zone of its own",
        result->own_server, result->own_zone, zone, told(name));
}

/* Is there a further cut between the zone and the name? The zone's servers may serve the sub-zone too and
 * would answer for it without a word about the cut, so it is asked for label by label. */
static void on_cut(void *context, const struct walk_result *result) {
    struct name_check *name = context;
    if (name->is_decided)
        return;
    struct opinion opinion;
    const struct cut *cut = result->cut;
    const struct lookup_result failed = {.failure = result->failure};
    const struct lookup_result away = {.is_subzone = true, .subzone = cut == NULL ? NULL : cut->name};
    name->server = result->server;
    if (cut == NULL || strcmp(cut->name, zone_of(name)->zone.name) != 0) {
        refuse_chain(name, cut == NULL ? &failed : &away, &opinion);
        check_decide_name(name, opinion.verdict, opinion.reason, "%s", opinion.text);
    } else if (result->own_zone != NULL) {
        refuse_stray(name, result);
    } else {
        name->is_denied = result->is_nxdomain;
        ask_addresses(name);
    }
}

static void ask(struct name_check *name, const char *host) {
    name->asked = host;
    if (!walk_find_cut_below(name->job, zone_of(name)->cut, host, on_cut, name))
        check_decide_name(name, DNSCHECK_FAILED, "internal", "out of memory");
}

/* A random label below the base finds a DNS wildcard and nothing else. */
void proxied_start(struct name_check *name) {
    const char *host = name->name.name;
    if (name_is_wildcard(host)) {
        const char *label = random_hex(name->job->scratch, NAME_PROBE_BYTES / 2);
        host = label == NULL ? NULL
                             : arena_printf(name->job->scratch, "%s.%s", label, name_base(name->name.name));
    }
    if (host == NULL)
        check_decide_name(name, DNSCHECK_FAILED, "internal", "out of memory");
    else if (strlen(host) >= DNS_NAME_MAX)
        refuse_length(name, NAME_MAX_WILDCARD_BASE_BYTES);
    else
        ask(name, host);
}
