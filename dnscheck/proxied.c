/* Do all addresses of a name lie on the edge? And, without external binding, is the dns-01 record there?
 * (doc/dns-check.md, rules 2 and 3) */
#include "internal.h"

#include <arpa/inet.h>
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

/* --- dns-01 (RFC 8555 8.4) --- */

static void on_text(void *context, const struct lookup_result *result) {
    struct name_check *name = context;
    const char *base = name_base(name->name.name), *value = name->name.txt_value;
    if (name->is_decided)
        return;
    if (result->failure != NULL) {
        check_decide_name(name, DNSCHECK_FAILED, is_bogus(result->failure) ? "bogus" : "txt-failed",
                          "The TXT records of _acme-challenge.%s cannot be asked: %s; try again later", base,
                          result->failure);
        return;
    }
    for (size_t i = 0; i < result->count; i++) {
        struct bytes text = result->records[i]->text;
        if (text.length == strlen(value) && memcmp(text.data, value, text.length) == 0) {
            name->is_secure = name->is_secure && result->is_secure;
            check_decide_name(name, DNSCHECK_OK, "proven", "%s is on the edge and its dns-01 record is there",
                              name->name.name);
            return;
        }
    }
    check_decide_name(name, DNSCHECK_REFUSED, result->count == 0 ? "no-txt" : "wrong-txt",
                      result->count == 0
                          ? "There is no TXT record at _acme-challenge.%s; it must hold \"%s\""
                          : "The TXT records at _acme-challenge.%s hold other values; one must be \"%s\"",
                      base, value);
}

static void on_caa(void *context) {
    struct name_check *name = context;
    struct zone_check *zone = zone_of(name);
    if (name->is_decided)
        return;
    if (name->name.txt_value == NULL) {
        check_decide_name(name, DNSCHECK_OK, "proxied", "%s is on the edge", name->name.name);
        return;
    }
    const char *host = arena_printf(name->job->scratch, "_acme-challenge.%s", name_base(name->name.name));
    if (host == NULL || !lookup_start(name->job, zone, zone->cut, name->server, host, DNS_TXT, on_text, name))
        check_decide_name(name, DNSCHECK_FAILED, "internal", "out of memory");
}

static void prove(struct name_check *name) {
    name->is_secure = name->results[0].is_secure && name->results[1].is_secure;
    if (name->job->dnscheck->settings.caa_mode == DNSCHECK_CAA_OFF)
        on_caa(name);
    else if (!caa_check_name(name, on_caa, name))
        check_decide_name(name, DNSCHECK_FAILED, "internal", "out of memory");
}

/* --- addresses --- */

/* The random label that finds a wildcard tells nobody anything. */
static const char *told(const struct name_check *name) {
    return name->tried_wildcard ? name->asked : name->name.name;
}

static bool refuse_chain(struct name_check *name, const struct lookup_result *result) {
    if (result->is_subzone)
        check_decide_name(
            name, DNSCHECK_REFUSED, "sub-zone",
            "%s belongs to the zone %s, which is delegated away from %s; add %s as a zone of its own",
            name->name.name, result->subzone, zone_of(name)->zone.name, result->subzone);
    else if (result->is_chain_too_long)
        check_decide_name(name, DNSCHECK_REFUSED, "cname-chain",
                          "%s leads through more than %u aliases; point it at the edge directly", told(name),
                          name->job->dnscheck->settings.max_cname);
    else if (result->has_too_many)
        check_decide_name(name, DNSCHECK_REFUSED, "too-many-addresses",
                          "%s has more addresses than are looked at; leave a few", told(name));
    else if (result->failure != NULL)
        check_decide_name(name, DNSCHECK_FAILED, is_bogus(result->failure) ? "bogus" : "lookup-failed",
                          "The addresses of %s cannot be asked: %s; try again later", told(name),
                          result->failure);
    return name->is_decided;
}

static bool refuse_gray(struct name_check *name, const struct lookup_result *result) {
    char address[INET6_ADDRSTRLEN];
    for (size_t i = 0; i < result->count; i++) {
        const struct dns_record *record = result->records[i];
        if (is_on_edge(name->job->dnscheck, record))
            continue;
        inet_ntop(record->type == DNS_A ? AF_INET : AF_INET6, record->address, address, sizeof address);
        check_decide_name(name, DNSCHECK_REFUSED, "gray",
                          "%s points to %s (seen at %s), which is not an address of the edge; turn its proxy "
                          "on, or leave the name out",
                          told(name), address, result->server);
        return true;
    }
    return false;
}

static void refuse_absent(struct name_check *name, const char *target) {
    bool is_nxdomain = name->results[0].is_nxdomain && name->results[1].is_nxdomain;
    const char *reason = is_nxdomain ? "does-not-exist" : "no-address";
    const char *what = is_nxdomain ? "does not exist in DNS" : "has no address in DNS";
    if (target != NULL)
        check_decide_name(name, DNSCHECK_REFUSED, reason, "%s leads to %s, which %s; point it at the edge",
                          told(name), target, what);
    else
        check_decide_name(name, DNSCHECK_REFUSED, reason, "%s %s; make a proxied record for it first",
                          told(name), what);
}

static void judge(struct name_check *name) {
    const char *target = name->results[0].final_name; /* of an alias */
    if (target != NULL && strcmp(target, name->asked) == 0)
        target = NULL;
    for (size_t i = 0; i < 2; i++)
        if (refuse_chain(name, &name->results[i]))
            return;
    for (size_t i = 0; i < 2; i++)
        if (refuse_gray(name, &name->results[i]))
            return;
    if (name->results[0].count + name->results[1].count > 0) {
        prove(name);
        return;
    }
    if (name_is_wildcard(name->name.name) && !name->tried_wildcard && target == NULL) {
        /* No wildcard in DNS: the certificate's wildcard is for names made one by one, so its base must be
         * ours. */
        name->tried_wildcard = true;
        ask(name, name_base(name->name.name));
        return;
    }
    refuse_absent(name, target);
}

static void on_addresses(struct name_check *name, size_t which, const struct lookup_result *result) {
    name->results[which] = *result;
    if (--name->pending == 0 && !name->is_decided)
        judge(name);
}

static void on_v4(void *context, const struct lookup_result *result) {
    on_addresses(context, 0, result);
}

static void on_v6(void *context, const struct lookup_result *result) {
    on_addresses(context, 1, result);
}

static void ask_addresses(struct name_check *name) {
    struct zone_check *zone = zone_of(name);
    name->pending = 2;
    if (!lookup_start(name->job, zone, zone->cut, name->server, name->asked, DNS_A, on_v4, name) ||
        !lookup_start(name->job, zone, zone->cut, name->server, name->asked, DNS_AAAA, on_v6, name))
        check_decide_name(name, DNSCHECK_FAILED, "internal", "out of memory");
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
    name->server = result->server;
    if (result->cut == NULL) {
        const struct lookup_result failed = {.failure = result->failure};
        refuse_chain(name, &failed);
    } else if (strcmp(result->cut->name, zone_of(name)->zone.name) != 0) {
        const struct lookup_result away = {.is_subzone = true, .subzone = result->cut->name};
        refuse_chain(name, &away);
    } else if (result->own_zone != NULL) {
        refuse_stray(name, result);
    } else if (result->is_nxdomain) {
        name->results[0] = name->results[1] = (struct lookup_result){.is_nxdomain = true};
        judge(name);
    } else {
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
        const char *label = random_hex(name->job->scratch, 8);
        host = label == NULL ? NULL
                             : arena_printf(name->job->scratch, "%s.%s", label, name_base(name->name.name));
    }
    if (host == NULL || strlen(host) >= DNS_NAME_MAX)
        check_decide_name(name, DNSCHECK_FAILED, "internal", "the name is too long to be asked");
    else
        ask(name, host);
}
