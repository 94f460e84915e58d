/* The ownership check: does DNS, walked from the root, show that a zone is delegated to the assigned name
 * servers and that names in it are proxied by the edge? Asynchronous on the worker's loop; knows nothing of
 * HTTP, ACME or Redis.
 *
 * ldns builds and parses packets; transport and walk are ours (doc/dns-check.md). */
#pragma once

#include <event2/event.h>

#include "originca/config.h"
#include "originca/text.h"

struct dnscheck;
struct dnscheck_job;

enum dnscheck_verdict {
    DNSCHECK_OK,      /* proven */
    DNSCHECK_REFUSED, /* a definite no: the owner must change DNS */
    DNSCHECK_FAILED,  /* DNS could not be asked or contradicts itself: trying later may help */
};

struct dnscheck_zone {
    const char *name;                /* canonical */
    const char *const *name_servers; /* assigned, canonical, without final dot */
    size_t name_server_count;
    /* Sets of the name servers above, each with commas between: others may have been told to delegate to them
     * too. A delegation to no more than one of these proves nothing. May be none. */
    const char *const *rivals;
    size_t rival_count;
    /* The closest name, at the zone or above, that somebody else has as his active zone, or had lately; NULL:
     * none. Down to it every server that answers must show each delegation on the way: one that lags behind
     * shows the former holder's. */
    const char *anothers;
    /* The zones above that anybody has, "NAME=OWN!CONTESTED|SET|SET", lists of servers with commas between,
     * of which each may be missing. OWN is assigned to this customer for his zone of that name: below one
     * that DNS shows to be his, the servers of both need no referral. CONTESTED have several customers' zones
     * of that name: no word of theirs counts. A SET is assigned to another customer for his: the word of one
     * of these counts only where the name is delegated to no others. No referral at or below one of the names
     * comes from the cache (doc/dns-check.md). */
    const char *const *zones_above;
    size_t zones_above_count;
};

struct dnscheck_name {
    const char *name; /* canonical; "*.x" checks the wildcard rule */
    size_t zone;      /* index into the request's zones */
    /* dns-01 (RFC 8555 8.4): where not NULL, the TXT record set of _acme-challenge.<base> must hold this
     * value too */
    const char *txt_value;
};

struct dnscheck_request { /* copied by dnscheck_start */
    const struct dnscheck_zone *zones;
    size_t zone_count;
    const struct dnscheck_name *names; /* may be none: only the delegations are checked then */
    size_t name_count;
    uint32_t deadline_ms; /* 0: the setting */
    /* For CAA (RFC 8657): who asks, and how names are proven ("dns-01", "ca-delegation"); may be NULL */
    const char *account_uri;
    const char *method; /* a constant */
};

struct dnscheck_finding { /* about one zone or one name */
    const char *name;
    enum dnscheck_verdict verdict;
    const char
        *reason; /* stable word: "delegated-elsewhere", "gray", "lame", "timeout" ... (doc/dns-check.md) */
    const char *text; /* for the owner: what was expected, what was seen at which server, what to change */
    bool is_secure;   /* DNSSEC-validated to the trust anchor */
    /* Of a zone: did its parent tell what it is delegated to, and to what (none: it is not delegated)? */
    bool has_heard_parent;
    const char *const *delegated_to;
    size_t delegated_to_count;
};

struct dnscheck_result { /* in the arena given to dnscheck_start */
    /* As many and in the order of the request; none, and FAILED, where memory ran out: look at the count. */
    const struct dnscheck_finding *zones;
    size_t zone_count;
    const struct dnscheck_finding *names; /* likewise; a name of a failed zone carries the zone's finding */
    size_t name_count;
    enum dnscheck_verdict verdict; /* the worst: REFUSED before FAILED before OK */
    time_t checked_at; /* when it began: what it says may be as old as that, however long it took */
    uint32_t queries, duration_ms;
    json_t *evidence; /* {"checked_at", "zones":[finding], "names":[finding], "queries":[{server, transport,
                         question, answer:[...], rcode, flags, ms}]}; owned by the arena */
};

/* Called once from the loop, never from inside dnscheck_start. Not called after dnscheck_cancel. */
typedef void dnscheck_callback(void *context, const struct dnscheck_result *result);

enum dnscheck_caa_mode {
    DNSCHECK_CAA_OFF,
    DNSCHECK_CAA_NAMED, /* only sets that name one of our identities bind */
    DNSCHECK_CAA_STRICT /* RFC 8659 as for a public CA */
};

struct dnscheck_settings {
    const char *trust_anchor_file; /* NULL: DNSSEC is not looked at */
    enum dnscheck_caa_mode caa_mode;
    const char *const *caa_identities;
    size_t caa_identity_count;
    /* All name servers of the provider: each serves the zones of several customers, so an answer of theirs
     * that is not a referral shows no delegation. Canonical; they must outlive the check. */
    const char *const *name_server_pool;
    size_t name_server_pool_count;
    const char *root_hints_file;
    uint16_t port;
    const struct config_prefix *edge_prefixes;
    size_t edge_prefix_count;
    struct address_rules address_rules; /* which addresses are asked: include/originca/addresses.h */
    uint32_t deadline_ms, query_timeout_ms, max_queries, tries, max_cname;
    uint32_t referral_cache_entries, referral_max_ttl;
    uint32_t max_concurrent_checks, max_per_server;
    uint32_t share_ms; /* how long a parent's referral stands for other checks; 0: each asks */
};

struct dnscheck_counters {
    uint64_t checks, queries, tcp_queries, timeouts, mismatches, cache_hits, shared;
    uint32_t checks_in_progress;
};

struct dnscheck *dnscheck_new(struct event_base *base, const struct dnscheck_settings *settings,
                              struct error *error);
void dnscheck_free(struct dnscheck *dnscheck); /* cancels what is pending */
/* NULL only when over max_concurrent_checks (ERROR_LIMIT) or out of memory. Result and evidence go to
 * `arena`. */
struct dnscheck_job *dnscheck_start(struct dnscheck *dnscheck, struct arena *arena,
                                    const struct dnscheck_request *request, dnscheck_callback *callback,
                                    void *context, struct error *error);
void dnscheck_cancel(struct dnscheck_job *job);
const struct dnscheck_counters *dnscheck_counters(const struct dnscheck *dnscheck);
/* The one of the zone's rivals within which a delegation to these servers lies; NULL: none. */
const char *dnscheck_find_rival(const struct dnscheck_zone *zone, const char *const *servers, size_t count);
/* Is any root server answering? An answer of at most this age is taken again. Same callback rules. */
void dnscheck_probe(struct dnscheck *dnscheck, int64_t max_age_ms,
                    void (*callback)(void *context, bool is_usable, const char *reason), void *context);
const char *dnscheck_verdict_name(enum dnscheck_verdict verdict); /* "ok", "refused", "failed" */
/* Will it stay so until somebody changes something? For a zone's status: what could not be asked is no reason
 * to end it. */
bool dnscheck_is_definite_no(const struct dnscheck_finding *finding);
