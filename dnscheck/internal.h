/* What the files of the check share: jobs, queries, referrals. */
#pragma once

#include <sys/queue.h>

#include "dnssec.h"
#include "originca/addresses.h"
#include "originca/dnscheck.h"
#include "packet.h"

#define SERVERS_MAX 16 /* name servers considered of one zone */
#define ADDRESSES_MAX 32
#define EVIDENCE_QUERIES_MAX 60

/* One address of a name server. A sockaddr_storage is four times as large, and a pending check holds many. */
struct dns_server {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } address;
    const char *name; /* of the name server; lives as long as the list */
};

struct server_list {
    struct dns_server items[ADDRESSES_MAX];
    size_t count;
};

/* A zone cut: its name servers, and the addresses known for them. */
struct cut {
    char name[DNS_NAME_MAX];
    char servers[SERVERS_MAX][DNS_NAME_MAX];
    size_t server_count;
    struct server_list addresses; /* names point into `servers` */
    struct dns_server denied;     /* an address that is not asked; `name` NULL: there is none */
    bool has_more_servers;        /* than fit here: nobody can say that they are all assigned */
    bool is_own_answer;           /* the servers of `parent` have this zone too and spoke as its own */
    bool is_one_servers;          /* of the provider's: it may have a stranger's zone (agree.c) */
    bool is_agreed;               /* all servers on the way show it, but for the root's (takeover.c); of the
                                     addresses of a name server: all servers of its zone too */
    bool is_private;              /* counts for the customer alone whose own zones prove it: never shared */
    int64_t until_ms;             /* when it must be asked for anew, with what is known from it; 0: never */
    struct trust *trust;          /* NULL: not validated (yet); a job's or the cache's reference */
    const struct cut *parent;     /* whose servers gave it; only in a job's memory, NULL: from the cache */
};

struct dnscheck {
    struct event_base *base;
    struct dnscheck_settings settings;
    struct cut root;
    struct ldns_struct_rr_list *anchors; /* NULL: no DNSSEC */
    int64_t root_trust_until_ms;
    struct referral_cache *cache;
    struct server_table *servers;
    struct share_table *share;
    struct pool *pool;
    struct dnscheck_counters counters;
    TAILQ_HEAD(, dnscheck_job) jobs;
    struct { /* last probe */
        int64_t at_ms;
        bool is_usable, is_running;
        char reason[128];
    } probe;
};

/* --- cut.c --- */
/* A cut holds addresses whose names point into it: in the copy they point into the copy. */
void cut_copy(struct cut *to, const struct cut *from);
/* Of `until_ms` and another time. */
int64_t cut_earlier_ms(int64_t bound_ms, int64_t time_ms);
bool cut_has_address(const struct cut *cut, const char *server);
/* What is not asked or does not fit is left out. */
void cut_add_address(const struct dnscheck *dnscheck, struct cut *cut, const char *server, int family,
                     const uint8_t *bytes);
/* Another cut's addresses, so many at most, become those of this cut's server. */
void cut_take_addresses(struct cut *cut, const char *server, const struct cut *from, size_t limit);
/* Why no address is known of that server (NULL: of any): it is one that is not asked, else `otherwise`. */
const char *cut_why_no_address(struct dnscheck_job *job, const struct cut *cut, const char *server,
                               const char *otherwise);

/* --- failure.c: whole sentences without their beginning, "no usable answer from ...; try again later" --- */
const char *failure_silence(struct arena *arena, const char *server, const char *zone, const char *why);
const char *failure_too_large(struct arena *arena, const char *server, const char *zone);
const char *failure_lame(struct arena *arena, const char *server, const char *zone);
const char *failure_error_answer(struct arena *arena, const char *server, const char *zone, uint16_t rcode);
const char *failure_not_asked(struct arena *arena, const char *address, const char *server);
const char *no_address(struct dnscheck_job *job, const char *zone);
const char *no_glue(struct dnscheck_job *job, const char *zone);
const char *no_such_server(struct dnscheck_job *job, const char *server, const char *zone);
/* "Somebody tampers or the zone is broken". */
const char *bogus(struct dnscheck_job *job, const char *zone, const char *reason);
/* Did the server that was asked last answer, with SERVFAIL, REFUSED or the like? */
bool is_error_answer(const char *failure);
bool is_bogus(const char *failure);
/* Did nobody say anything of what was asked, or all that there is no such thing? Not that they contradict. */
bool is_silence(const char *failure);

/* --- transport.c --- */

struct query;
/* `message` NULL: no server gave a usable answer; `failure` says who was asked, what came, and what to do
 * about it, as every failure here. `server` is the one that answered. Runs from the loop, never from within
 * transport_query. */
typedef void query_done(void *context, const struct dns_message *message, const struct dns_server *server,
                        const char *failure);

/* --- share.c --- */
struct share_table;
struct shared_answer {
    char name[DNS_NAME_MAX];
    uint16_t type;
    uint64_t servers; /* a hash of the set that is asked, and of the zone it is asked for */
    unsigned users;   /* queries that lead, follow or are about to read */
    struct query *leader;
    TAILQ_HEAD(, query) followers;
    uint8_t *wire; /* the last answer */
    size_t length;
    int64_t stands_from_ms; /* 0: for those alone who waited for it */
    struct dns_server server;
    char server_name[DNS_NAME_MAX];
};
struct share_table *share_table_new(void);
void share_table_free(struct share_table *table);
/* The place of that question to those servers of that zone (NULL: any), one more user; NULL: none is free. */
struct shared_answer *share_get(struct share_table *table, const struct server_list *servers,
                                const char *zone, const char *name, uint16_t type);
void share_release(struct shared_answer *answer);
/* False: out of memory. */
bool share_keep(struct shared_answer *answer, const struct dns_message *message,
                const struct dns_server *server) MUST_CHECK;

struct query_options {
    bool needs_signatures; /* of a signed zone: a server that is silent is not asked without EDNS */
    bool is_shared;        /* may be answered together with other checks' (dns_share_ms) */
    /* SERVFAIL, REFUSED and the like are answers too (a lame server is to be named), never shared ones. */
    bool takes_any_rcode;
    /* The one whose servers are asked: an answer without authority that is no referral below it is none, and
     * the next server is asked. NULL: not looked at. As long as the job lives. */
    const char *zone;
};

/* Asks the servers in turn, starting at a random one, until one answers. The answer lives in the job's
 * scratch arena. */
bool transport_query(struct dnscheck_job *job, const struct server_list *servers, const char *name,
                     uint16_t type, const struct query_options *options, query_done *done,
                     void *context) MUST_CHECK;
void transport_cancel_all(struct dnscheck_job *job);
struct server_table *server_table_new(void);
void server_table_free(struct server_table *table);

/* --- referral_cache.c: cuts and host addresses within their TTL (capped), bounded, least recently used goes
 * first --- */
struct referral_cache *referral_cache_new(size_t entries);
void referral_cache_free(struct referral_cache *cache);
/* The cut of exactly that name. */
const struct cut *referral_cache_find(struct referral_cache *cache, const char *name);
/* For that many seconds, but not longer than what it was learned from: a zone that lost its delegation cannot
 * live on in ever deeper ones. */
void referral_cache_put(struct referral_cache *cache, const struct cut *cut, uint32_t ttl);

/* --- walk.c, ground.c, hosts.c, root.c --- */
struct zone_check;
struct walk_result {
    /* The deepest at or above the name, in the job's memory; with addresses, but for WALK_DELEGATION and
     * WALK_FIRST_CUT. NULL: the walk failed. */
    struct cut *cut;
    /* The one of its servers that said last that there is none below; NULL: none was asked. Another one may
     * have a zone there that nobody delegated, so what is at the name is to be asked of this one. */
    const struct dns_server *server;
    bool is_nxdomain; /* the name does not exist */
    const char *failure;
    /* A zone between cut and name that servers of the cut have although nothing shows that it is delegated,
     * and one of those; NULL: none was met. `is_hidden`: every server has it, so the walk failed. */
    const char *own_zone, *own_server;
    const char *ground; /* the name of the cut whose servers were asked last */
    bool is_hidden;
};

typedef void walk_done(void *context, const struct walk_result *result);
enum walk_kind {
    WALK_CACHED,     /* whatever the cache knows */
    WALK_DELEGATION, /* a cut of exactly this name is asked of its parent, and is not validated yet */
    WALK_FIRST_CUT,  /* stops at the first cut below the start, whose it is does not matter */
    WALK_TARGET,     /* from a zone to where the target of an alias lies */
};
struct walk_options {
    enum walk_kind kind;
    unsigned depth;                /* of name servers whose names need name servers */
    const struct zone_check *zone; /* on whose behalf: the zones of its customer prove what is in them */
    /* A zone that every server has counts, and a referral that any of them gives, whoever put it there: where
     * only that matters which everybody sees. */
    bool takes_unanimous;
    /* A name of another customer's that the outcome may take from him: every server must show each cut on the
     * way (takeover.c). NULL: one server's word is enough. */
    const char *anothers;
};
bool walk_find_cut(struct dnscheck_job *job, const char *name, const struct walk_options *options,
                   walk_done *done, void *context) MUST_CHECK;
/* Is there a further cut between `start` and the name, or at it? The first one, unvalidated, or `start`. */
bool walk_find_cut_below(struct dnscheck_job *job, struct cut *start, const char *name, walk_done *done,
                         void *context) MUST_CHECK;
/* The deepest cut at or above a name of the zone `from`, validated; that zone's own where there is none.
 * `server` (NULL: any) is asked first. */
bool walk_find_cut_of_target(struct dnscheck_job *job, const struct cut *from,
                             const struct dns_server *server, const char *name,
                             const struct walk_options *options, walk_done *done, void *context) MUST_CHECK;
bool is_same_server(const struct dns_server *a, const struct dns_server *b);
/* Fills in addresses of the cut's servers that have none. With `anothers` (as in walk_options) `cut` is NULL
 * in the end where servers contradict each other about an address, else only for want of memory. */
typedef void addresses_done(void *context, struct cut *cut, const char *failure);
bool walk_complete_addresses(struct dnscheck_job *job, struct cut *cut, unsigned depth, const char *anothers,
                             addresses_done *done, void *context) MUST_CHECK;
/* All its name servers lie in it, and nobody has said where they are. */
bool cut_lacks_glue(const struct cut *cut);
bool root_load(struct dnscheck *dnscheck, struct error *error) MUST_CHECK;

/* --- pool.c: the provider's name servers, which serve the zones of several customers --- */
struct pool *pool_new(void);
void pool_free(struct pool *pool);
bool pool_has_name(const struct dnscheck *dnscheck, const char *server);
/* Of them the one whose name is the given one, above or below it; NULL: none. */
const char *pool_find_related(const struct dnscheck *dnscheck, const char *name);
enum pool_answer { POOL_UNKNOWN, POOL_NO, POOL_YES };
/* Is one of these addresses a server's of the pool? Unknown: pool_learn has to find out first. */
enum pool_answer pool_has_address(const struct dnscheck *dnscheck, const struct server_list *servers);
/* Were the addresses found since the job began? What is kept may be older than a change of the pool's. */
bool pool_is_current(const struct dnscheck_job *job);
/* Is it one of the pool, and by which of its names there? Unknown only where it goes by another. */
enum pool_answer pool_find_name(const struct dnscheck *dnscheck, const struct dns_server *server,
                                const char **name);
/* `failure` NULL: pool_has_address knows now. Never from inside. Forgotten at the end of the job. */
typedef void pool_done(void *context, const char *failure);
bool pool_learn(struct dnscheck_job *job, pool_done *done, void *context) MUST_CHECK;
void pool_forget(struct dnscheck_job *job);

/* --- agree.c --- */
/* What a server answered. */
struct question {
    struct dnscheck_job *job;
    const struct cut *cut;
    const struct dns_server *server;
    const char *name;
    uint16_t type;
    const struct dns_message *message;
    const char *owner; /* of a referral; NULL: an answer */
    /* As in walk_options: whosever servers they are, each address that answers must say so. */
    const char *anothers;
};
typedef void agree_done(void *context, const char *failure);
/* Do all of the cut's name servers say so? Without `anothers` only those of the provider are asked. `done`
 * may run from inside. */
bool agree_start(const struct question *question, agree_done *done, void *context) MUST_CHECK;
/* A copy of the cut with whatever addresses its servers have, but for those that only glue could tell.
 * `anothers`: as in walk_complete_addresses. */
bool agree_find_servers(struct dnscheck_job *job, const struct cut *from, const char *anothers,
                        addresses_done *done, void *context) MUST_CHECK;
/* Is the address at that place of the list another one than `asked` (NULL: none) and those before it? */
bool agree_is_due(const struct server_list *list, size_t at, const struct dns_server *asked);
/* Unknown: the addresses of the pool would tell. */
enum pool_answer agree_is_needed(const struct dnscheck_job *job, const struct cut *cut);

/* --- trust.c --- */
struct kept_trust {
    struct kept_trust *next;
    struct trust *trust;
};
/* The job releases it at its end; false (and released): out of memory. */
bool job_keep_trust(struct dnscheck_job *job, struct trust *trust) MUST_CHECK;
void job_release_trust(struct dnscheck_job *job);
typedef void trust_done(void *context, const char *failure);
/* Sets child->trust from parent->trust; `parent` NULL: the root, from the anchors. At once, with no trust
 * set, where there are no anchors. `done` may run from inside. */
bool trust_establish(struct dnscheck_job *job, const struct cut *parent, struct cut *child,
                     const struct walk_options *options, trust_done *done, void *context) MUST_CHECK;
/* Is what the cut's servers say to be validated? */
bool is_signed(const struct cut *cut);

/* --- lookup.c: one record set, CNAMEs followed --- */
struct lookup_result {
    const char *failure;   /* NULL where DNS answered */
    const char *bad_alias; /* what breaks RFC 1034 3.6.2: "two CNAME records at NAME" */
    bool is_nxdomain, is_subzone, is_chain_too_long, has_too_many;
    bool is_alias;          /* the name that was asked for */
    bool is_secure;         /* every answer on the way was validated */
    const char *final_name; /* after CNAMEs */
    const char *subzone;    /* name of the further cut */
    const struct dns_record **records;
    size_t count;
    const char *server; /* the one that gave the last answer */
};
typedef void lookup_done(void *context, const struct lookup_result *result);
/* Asks the cut's servers (`server` NULL: any of them) for names in its zone; targets outside are walked from
 * the root. `zone`: on whose behalf; NULL for the name servers of zones on the way. */
bool lookup_start(struct dnscheck_job *job, const struct zone_check *zone, const struct cut *cut,
                  const struct dns_server *server, const char *name, uint16_t type, lookup_done *done,
                  void *context) MUST_CHECK;
/* Addresses of a name server that lead to another customer's name (`anothers`, as in walk_options): each
 * answer on the way must be every server's. */
bool lookup_start_agreed(struct dnscheck_job *job, const char *anothers, const struct cut *cut,
                         const char *name, uint16_t type, lookup_done *done, void *context) MUST_CHECK;
/* What the server of that name (of cut->servers) says, also of further names of its zone. */
bool lookup_start_view(struct dnscheck_job *job, const struct zone_check *zone, const struct cut *cut,
                       const char *server, const char *name, uint16_t type, lookup_done *done,
                       void *context) MUST_CHECK;
/* What is wrong although there is an answer, as a failure; NULL: nothing. */
const char *lookup_fault(const struct lookup_result *result);

/* --- caa.c (RFC 8659, RFC 8657) --- */
struct caa_set { /* the relevant record set; `owner` NULL: there is none */
    const char *owner;
    const struct dns_record **records;
    size_t count;
    const char *failure, *bad_alias;
    const char *failed_at; /* the name whose records could not be had */
};
struct name_check;
/* The set for the zone's own name and what is above; fills zone->caa. */
typedef void caa_done(void *context);
bool caa_climb_zone(struct zone_check *zone, caa_done *done, void *context) MUST_CHECK;
/* Judges the name by its set; decides the name where it is refused or failed, else calls done. */
bool caa_check_name(struct name_check *name, caa_done *done, void *context) MUST_CHECK;

/* --- check.c --- */
struct zone_check {
    struct dnscheck_job *job;
    struct dnscheck_zone zone;
    struct dnscheck_finding finding;
    struct cut *cut;            /* as the parent delegates it, with addresses */
    const struct cut *referral; /* as the parent told it; NULL: it is not delegated */
    bool has_heard_parent;
    struct caa_set caa; /* of the zone's name or the closest above that has one */
    size_t pending_servers;
    bool is_decided;
};

/* What one of the zone's name servers says of a name. */
struct view {
    struct name_check *name;
    const char *server;
    struct lookup_result addresses[2]; /* A, AAAA */
    struct lookup_result text;
};

struct name_check {
    struct dnscheck_job *job;
    struct dnscheck_name name;
    struct dnscheck_finding finding;
    size_t pending, view_count;
    bool is_decided, tried_wildcard, is_secure;
    bool is_denied; /* by the server that was asked for a cut: the others are asked for A alone */
    const char *asked;
    const struct dns_server *server; /* of the zone, that has no other zone at the name; NULL: any */
    struct view *views;
};

struct dnscheck_job {
    TAILQ_ENTRY(dnscheck_job) entry;
    struct dnscheck *dnscheck;
    struct arena *arena;   /* the caller's: result and evidence */
    struct arena *scratch; /* everything else */
    dnscheck_callback *callback;
    void *context;
    struct event *deadline, *starter;
    int64_t started_ms;
    time_t begun_at; /* by the wall clock */
    uint32_t queries, max_queries;
    struct target *targets;     /* of aliases, inside their zone: lookup.c */
    struct journey *journeys;   /* of aliases, out of their zone: lookup.c */
    uint32_t hosts_left;        /* name servers whose addresses may still be looked for */
    uint32_t agreed_hosts_left; /* of them with more queries, for all servers are asked (hosts.c) */
    struct zone_check *zones;
    size_t zone_count;
    struct name_check *names;
    size_t name_count;
    size_t undecided;
    struct noted_query *evidence, **evidence_end;
    size_t evidence_count;
    bool is_ended;
    void (*begin)(struct dnscheck_job *job); /* NULL: the zones are checked */
    const char *account_uri, *method;
    struct dnssec_budget signatures;
    struct kept_trust *kept_trust;
    TAILQ_HEAD(, query) open_queries;
};

/* A job that does something else than check zones, with the budget of `names` names; as dnscheck_start, but
 * within no bound on their number. `begin` is called from the loop; job_end ends it. */
struct dnscheck_job *job_start(struct dnscheck *dnscheck, struct arena *arena, size_t names,
                               void (*begin)(struct dnscheck_job *job), dnscheck_callback *callback,
                               void *context);
void job_end(struct dnscheck_job *job);
/* Is its budget of queries used up? Who was not heard since was perhaps not asked. */
bool job_is_spent(const struct dnscheck_job *job);
/* Decide a zone or name, once; what is decided stays. */
void check_decide_zone(struct zone_check *zone, enum dnscheck_verdict verdict, const char *reason,
                       const char *format, ...) PRINTF_LIKE(4, 5);
void check_decide_name(struct name_check *name, enum dnscheck_verdict verdict, const char *reason,
                       const char *format, ...) PRINTF_LIKE(4, 5);
/* delegation.c, proxied.c */
/* The addresses of one of the cut's servers. */
void list_addresses(const struct cut *cut, const char *server, struct server_list *list);
void delegation_start(struct zone_check *zone);
void proxied_start(struct name_check *name);
/* evidence.c */
void evidence_add(struct dnscheck_job *job, const struct dns_server *server, const char *transport,
                  const char *name, uint16_t type, const struct dns_message *message, const char *failure,
                  int64_t milliseconds);
json_t *evidence_document(const struct dnscheck_job *job, const struct dnscheck_result *result);
bool name_list_has(const char *const *names, size_t count, const char *name);
const char *join_names(struct arena *arena, const char *const *names, size_t count);
