/* Redis: customers, zones, keys, accounts, orders, certificates, revocations; each state change one Lua
 * script.
 *
 * Asynchronous on the worker's loop (hiredis). A call takes the arena its result lives in, a place for the
 * result and a completion; arena and place belong to a request that waits, so they outlive the call. The
 * completion runs once, from the loop, with NULL or an error: ERROR_NOT_FOUND, ERROR_CONFLICT (wrong state;
 * where noted the result is filled all the same), ERROR_UNAVAILABLE (nothing was sent, or Redis refused
 * writes), ERROR_UNKNOWN (sent, no answer in time: the change may or may not have happened; every script is
 * idempotent by its attempt or object id, so read or repeat), ERROR_INTERNAL (a script failed). Knows nothing
 * of HTTP or ACME. Schema: doc/redis.md.
 *
 * Lists: a cursor is a former page's `next_cursor` or NULL (ERROR_INVALID for any other text). A page may be
 * short, even empty, and still have a next one: each looks at a bounded number of entries. A filter's zone
 * and customer are ids. Orders and authorizations past their end read as invalid and expired. */
#pragma once

#include <event2/event.h>

#include "originca/config.h"
#include "originca/nonce.h"
#include "originca/text.h"

struct store;
typedef void store_done(void *context, const struct error *error);

#define STORE_ID_MAX 64

/* --- connection (store/connection.c) --- */
struct store_counters {
    uint64_t commands, errors, timeouts, reconnects;
    uint32_t pending;
    bool is_connected;
};

/* Connects in the background; reconnects with back-off; loads the scripts; checks durability settings
 * (appendonly, appendfsync always, noeviction) at each connect and stays "not ready" with the reason where
 * they are unsafe. */
struct store *store_new(struct event_base *base, const struct config *config, struct error *error);
void store_free(struct store *store); /* pending completions get ERROR_UNKNOWN */
/* Called at each change of readiness: connected and scripts loaded, or lost. */
void store_on_ready(struct store *store, void (*changed)(void *context, bool is_ready, const char *reason),
                    void *context);
bool store_is_ready(const struct store *store, const char **reason);
/* Looks whether changes can be recorded now: settings, memory, replicas, what the user may do, and a write of
 * its own. ERROR_UNAVAILABLE with the reason for an operator, or as of any call. */
void store_look(struct store *store, store_done *done, void *context);
const struct store_counters *store_counters(const struct store *store);

/* --- what of the ledger a script carries out (store/right.c, scripts/lib/ledger.lua, right.lua) --- */
struct store_ledger_mark { /* these records are applied by it */
    const char *host;
    const uint64_t *sequences;
    size_t count;
    const uint8_t *hashes; /* SHA256_BYTES each, zeros where one is not known; NULL: none is */
};
/* A right that a ledger record gives or takes away (doc/ledger.md, "Rights"; signer.h, struct signer_change).
 * Of the rights of one object the newest counts, in whatever order they come. Functions that take one do what
 * it says, mark its record and tell the other hosts, all in one script; NULL is a right of now without a
 * record (tests, and what no ledger knows). */
#define STORE_SEAL_MAX 65
struct store_right {
    const char *kind, *subject, *name, *customer, *detail; /* NULL is "" */
    int64_t at_ms;                                         /* when it counts as happened */
    const char *by;                /* whose word it is; not sealed, and not told to other hosts */
    const char *seal;              /* for the other hosts; "" or NULL: they are not told (rights.h) */
    struct store_ledger_mark mark; /* count 0 where the ledger knew it before */
};

/* --- customers (store/customer.c) --- */
struct store_customer {
    const char *id, *name;
    time_t created_at;
    time_t suspended_at; /* 0: it is not */
    int64_t right_at_ms; /* when it was last suspended or resumed; 0: never */
};
/* Stops issuing for it, or lets it go on. Both may be repeated. */
void store_set_customer_suspended(struct store *, struct arena *, const char *id, bool is_suspended,
                                  struct store_customer *out, const struct store_right *, store_done *,
                                  void *);
/* ERROR_CONFLICT where the name exists. Ids are CUSTOMER_ID_LENGTH hex digits (customer_name.h), made here.
 */
void store_create_customer(struct store *, struct arena *, const char *name, struct store_customer *out,
                           store_done *, void *);
/* By id or by name, for what people write; ERROR_CONFLICT where the word is the id of one and the name of
 * another (names of before their form was checked). */
void store_find_customer(struct store *, struct arena *, const char *id_or_name, struct store_customer *out,
                         store_done *, void *);
/* By id alone, for ids that the store gave. */
void store_load_customer(struct store *, struct arena *, const char *id, struct store_customer *out,
                         store_done *, void *);
struct store_customer_list {
    struct store_customer *items;
    size_t count;
    const char *next_cursor; /* NULL at the end */
};
void store_list_customers(struct store *, struct arena *, const char *cursor, uint32_t limit,
                          struct store_customer_list *out, store_done *, void *);

/* --- stops of issuance (store/stop.c), beside suspended customers and paused zones --- */
#define STORE_EVERY_ISSUER "*"
void store_set_issuer_stopped(struct store *, const char *issuer, bool is_stopped, const struct store_right *,
                              store_done *, void *);
struct store_stop {
    const char *of;        /* "global", "issuer", "customer", "zone" */
    const char *id, *name; /* "" of the global one; an issuer's name is both */
    const char *by;        /* whose word it is; "" where a former version did not keep it */
    int64_t since_ms;
    bool is_stopped; /* false of the global one and issuers alone: allowed again, since then */
};
struct store_stop_list {
    struct store_stop *items; /* the global one, issuers, then `limit` customers and zones at most */
    size_t count;
    uint64_t customers, zones; /* all of them */
};
void store_load_stops(struct store *, struct arena *, uint32_t limit, struct store_stop_list *out,
                      store_done *, void *);

/* --- external account binding keys (store/eab.c); the HMAC key itself derives from the master secret --- */
struct store_eab_key {
    const char *kid, *customer;
    time_t created_at;
    bool is_revoked;
};
void store_create_eab_key(struct store *, struct arena *, const char *customer, struct store_eab_key *out,
                          store_done *, void *);
void store_load_eab_key(struct store *, struct arena *, const char *kid, struct store_eab_key *out,
                        store_done *, void *);
/* Marks it revoked; accounts bound with it stay. ERROR_NOT_FOUND where it is not that customer's. */
void store_revoke_eab_key(struct store *, const char *customer, const char *kid, const struct store_right *,
                          store_done *, void *);
struct store_eab_key_list {
    struct store_eab_key *items;
    size_t count;
};
void store_list_eab_keys(struct store *, struct arena *, const char *customer, struct store_eab_key_list *out,
                         store_done *, void *);

/* --- keys of the REST API (store/api_key.c); only a hash of a key is kept --- */
struct store_api_key {
    const char *id; /* 24 hex digits; part of the key itself */
    const char *customer;
    const char *kind;   /* "service-key" or "token" */
    const char *hash;   /* hex, of the whole key (api_key.h); "" once it has ended */
    const char *rights; /* words with blanks between (api_key.h) */
    const char **zones; /* ids it is limited to; none: all zones of the customer */
    size_t zone_count;
    const char *name; /* for people; "" */
    time_t created_at, revoked_at;
};
/* The caller makes id and hash, so repeating the call is safe. */
void store_create_api_key(struct store *, struct arena *, const struct store_api_key *key, time_t *created_at,
                          store_done *, void *);
/* ERROR_UNAVAILABLE where Redis is empty. */
void store_load_api_key(struct store *, struct arena *, const char *id, struct store_api_key *out,
                        store_done *, void *);
/* Ends it; what was issued with it stays. ERROR_NOT_FOUND where it is not that customer's. */
void store_revoke_api_key(struct store *, const char *customer, const char *id, const struct store_right *,
                          store_done *, void *);
struct store_api_key_list {
    struct store_api_key *items;
    size_t count;
};
/* Newest first, ended ones too. */
void store_list_api_keys(struct store *, struct arena *, const char *customer, struct store_api_key_list *out,
                         store_done *, void *);

/* --- zones (store/zone.c) --- */
enum store_zone_status { ZONE_PENDING, ZONE_ACTIVE, ZONE_MOVED, ZONE_PAUSED, ZONE_DELETED };
struct store_zone {
    const char *id, *name, *customer;
    enum store_zone_status status;
    const char **name_servers;
    size_t name_server_count;
    time_t created_at, activated_at, checked_at; /* 0: never */
    uint32_t negatives;                          /* definite negatives in a row */
    const char *reason;                          /* of the last check, a sentence; "" */
    const char *evidence;                        /* JSON text of the last check; "" */
    const char *resumes;                         /* of a paused zone: the status that it goes on with; "" */
    /* Of a zone that is not active: sets of its name servers (each with commas between) that somebody else
     * was assigned as well, or that the name was seen delegated to for somebody else: a delegation to no more
     * than one of them is no proof. Not in pages of zones, nor from store_load_zone. */
    const char **rivals;
    size_t rival_count;
    /* The closest name, at the zone or above, that somebody else has as his active zone, or had lately; "":
     * none. Like the zones above, whoever has them, as dnscheck_zone wants it. Not in pages of zones. */
    const char *anothers;
    const char **zones_above;
    size_t zones_above_count;
    int64_t right_at_ms;  /* when it was last paused or resumed; 0: never */
    const char *ssl_mode; /* "off", "flexible", "full", "strict"; "" where it was never set */
    time_t ssl_changed_at;
};
/* What the parent was seen to delegate a name to. */
struct store_delegation {
    bool is_known; /* false: DNS could not be asked */
    const char *const *name_servers;
    size_t count; /* 0: it is not delegated */
};
/* Several customers may add one name (each with other name servers); (name, customer) is unique:
 * ERROR_CONFLICT fills `out` with the existing zone. The zone gets `per_zone` of the pool, which is in order
 * of preference, so that neither the delegation of today nor one that another customer may have left behind
 * would prove it; a former holder of the name gets what he had. ERROR_LIMIT says how large the pool would
 * have to be. */
struct store_name_server_pool {
    const char *const *names;
    size_t count, per_zone;
};
void store_create_zone(struct store *, struct arena *, const char *name, const char *customer,
                       const struct store_name_server_pool *, const struct store_delegation *,
                       struct store_zone *out, const struct store_right *, store_done *, void *);
/* Would it be created? Changes nothing; `out` is filled with ERROR_CONFLICT alone. */
void store_plan_zone(struct store *, struct arena *, const char *name, const char *customer,
                     const struct store_name_server_pool *, const struct store_delegation *,
                     struct store_zone *out, store_done *, void *);
void store_load_zone(struct store *, struct arena *, const char *zone_id, struct store_zone *out,
                     store_done *, void *);
/* What lies above a name that the customer ("": nobody) has no zone of: a zone without id, with its name and
 * the zones above alone. */
void store_zones_above(struct store *, struct arena *, const char *name, const char *customer,
                       struct store_zone *out, store_done *, void *);
/* By name (or id): where several customers have it, the active one, else ERROR_CONFLICT unless `customer`
 * says which. */
void store_find_zone(struct store *, struct arena *, const char *name_or_id, const char *customer,
                     struct store_zone *out, store_done *, void *);
/* Likewise, but the active one is not preferred: what is done to its certificates may be meant for those of
 * who had the name before: ERROR_CONFLICT where several zones of the name have certificates, also one that
 * was deleted lately. */
void store_find_only_zone(struct store *, struct arena *, const char *name_or_id, const char *customer,
                          struct store_zone *out, store_done *, void *);
/* For each canonical name (wildcards by their base): the zone of longest suffix of that customer, or with
 * customer NULL the longest suffix that is an active zone of anybody. out[i] has id NULL where there is none.
 * ERROR_STOPPED where issuance is stopped for the customer, for one of the zones or for all of `issuers`
 * (with blanks between; "": not known). */
void store_zones_of_names(struct store *, struct arena *, const char *customer, const char *issuers,
                          const char *const *names, size_t count, struct store_zone *out, store_done *,
                          void *);
struct store_zone_list {
    struct store_zone *items;
    size_t count;
    const char *next_cursor;
};
void store_list_zones(struct store *, struct arena *, const char *customer, const char *cursor,
                      uint32_t limit, struct store_zone_list *out, store_done *, void *);
/* Records a check: evidence, reason, and the new status by the rule pending/moved -> active on ok; active ->
 * moved when `is_definite_no` was seen `moved_after` times in a row. Becoming active moves another customer's
 * active zone of that name to moved. `out` is the zone after it. */
struct store_needed_rights {
    const char **words; /* kind, zone, kind, zone ... */
    size_t count;       /* of words */
};
struct store_zone_check {
    const char *zone_id;
    bool is_ok, is_definite_no;
    bool is_inferred; /* the no: it follows from what servers do not show, so it takes no certificate away */
    const char *reason, *evidence;
    time_t checked_at;
    uint32_t moved_after;
    struct store_delegation delegation;
    /* What moves away or comes back stands in the ledger first: where `rights` lacks what the check leads to,
     * nothing is changed and `needed` says what to record. NULL: no ledger is asked. */
    const struct store_right *rights;
    size_t right_count;
    struct store_needed_rights *needed;
};
void store_record_zone_check(struct store *, struct arena *, const struct store_zone_check *,
                             struct store_zone *out, store_done *, void *);
void store_set_zone_paused(struct store *, struct arena *, const char *zone_id, bool is_paused,
                           struct store_zone *out, const struct store_right *, store_done *, void *);
/* How the edge speaks to the zone's origins: one of the four modes. */
void store_set_zone_ssl(struct store *, struct arena *, const char *zone_id, const char *mode,
                        struct store_zone *out, store_done *, void *);
/* Numbered pages, for clients that know no cursor (store/page.c). `total` counts what the filter lets through
 * of the newest 10,000. */
struct store_zone_filter {
    const char *customer, *name, *status; /* name and status may be NULL */
    const char *const *zones;             /* ids it is limited to; none: all */
    size_t zone_count;
    uint32_t offset, limit;
};
void store_page_zones(struct store *, struct arena *, const struct store_zone_filter *,
                      struct store_zone_list *out, uint64_t *total, store_done *, void *);
/* Off-boards: nothing is issued for it any more, orders of it that are not valid become invalid. */
void store_delete_zone(struct store *, const char *zone_id, const struct store_right *, store_done *, void *);
/* Up to `limit` zones whose check is due, leased to the caller for `lease_seconds` so that workers and hosts
 * share. */
void store_due_zones(struct store *, struct arena *, uint32_t limit, uint32_t lease_seconds,
                     struct store_zone_list *out, store_done *, void *);

/* Likewise up to `limit` names whose zones went, and what was seen of their delegation: their name servers
 * stay taken as long as it may come back (doc/dns-check.md, "Name servers stay taken"). Each as a zone that
 * nobody has: no id, only its name and the zones above. */
void store_due_names(struct store *, struct arena *, uint32_t limit, uint32_t lease_seconds,
                     struct store_zone_list *out, store_done *, void *);
void store_record_delegation(struct store *, const char *name, const struct store_delegation *, store_done *,
                             void *);

/* --- ACME accounts (store/account.c) --- */
enum store_account_status { ACCOUNT_VALID, ACCOUNT_DEACTIVATED, ACCOUNT_REVOKED };
struct store_account {
    const char *id;       /* 22 characters base64url of random bytes: part of the account URL */
    const char *customer; /* "" without external binding */
    enum store_account_status status;
    const char *jwk; /* canonical JWK text */
    const char *thumbprint;
    const char *contacts; /* JSON array text */
    const char *eab_kid;  /* "" */
    bool has_agreed_terms;
    time_t created_at, used_at; /* the last use as it was noted, once a day at most */
};
/* Spends the nonce and loads the account, by id or by thumbprint (one of them NULL; both NULL only spends):
 * one script. ERROR_CONFLICT: the nonce was spent before, or it is older than a change of Redis that may have
 * forgotten so (nothing else is done). ERROR_UNAVAILABLE: the account is unknown because Redis is empty. An
 * absent account is no error: id is NULL. Refreshes the account's idle life. */
void store_authenticate(struct store *, struct arena *, const struct nonce *, const char *account_id,
                        const char *thumbprint, struct store_account *out, store_done *, void *);
/* Creates, or returns the existing account with that thumbprint (`was_created` false). `new_account->id` is
 * ignored. ERROR_REFUSED: the key is known as a certificate's key. */
void store_create_account(struct store *, struct arena *, const struct store_account *new_account,
                          struct store_account *out, bool *was_created, store_done *, void *);
void store_load_account(struct store *, struct arena *, const char *account_id, struct store_account *out,
                        store_done *, void *);
/* NULL members stay as they are. Deactivating also makes its pending orders and its authorizations
 * invalid/deactivated for every later step (they check the account's status in their scripts). */
void store_update_account(struct store *, struct arena *, const char *account_id, const char *contacts,
                          bool agree_terms, bool deactivate, struct store_account *out,
                          const struct store_right *, store_done *, void *);
struct store_account_filter {
    const char *customer; /* "": the accounts without one */
    const char *eab_kid;  /* bound by this key; NULL: any */
    int status;           /* -1: any */
    const char *cursor;
    uint32_t limit;
};
struct store_account_list {
    struct store_account *items;
    size_t count;
    const char *next_cursor;
};
/* Newest first. ERROR_UNAVAILABLE: accounts of a version that had no such lists are still missing in them. */
void store_list_accounts(struct store *, struct arena *, const struct store_account_filter *,
                         struct store_account_list *out, store_done *, void *);
struct store_key_claim {
    const char *holder;    /* id of the account that has the new key; "": none */
    uint32_t busy_seconds; /* when another change has passed at the latest; 0: the next request may tell */
};
/* Compare-and-set on the old thumbprint, in two steps: the claim judges and keeps others from changing the
 * key meanwhile, for `key_change_seconds`; the same change may claim again. Between them comes the ledger,
 * after which nothing is judged any more: the newest record counts. ERROR_CONFLICT: the new key has an
 * account, in claim->holder. ERROR_REFUSED: the new key is a certificate's or blocked. ERROR_UNAVAILABLE:
 * another change is under way, or the account is another than the request saw. */
void store_claim_account_key(struct store *, struct arena *, const char *account_id,
                             const char *old_thumbprint, const char *new_thumbprint, const char *new_jwk,
                             struct store_key_claim *claim, store_done *, void *);
void store_change_account_key(struct store *, const char *account_id, const char *old_thumbprint,
                              const char *new_thumbprint, const char *new_jwk, const struct store_right *,
                              store_done *, void *);
/* Newest first; `cursor` from the former page or NULL. */
struct store_id_list {
    const char **ids;
    size_t count;
    const char *next_cursor;
};
void store_list_account_orders(struct store *, struct arena *, const char *account_id, const char *cursor,
                               uint32_t limit, struct store_id_list *out, store_done *, void *);

/* --- orders and their authorizations: one Redis hash (store/order.c) --- */
enum store_order_status {
    ORDER_PENDING,
    ORDER_READY,
    ORDER_PROCESSING,
    ORDER_VALID,
    ORDER_INVALID,
    ORDER_REFUSED /* admins only */
};
enum store_authorization_status {
    AUTHORIZATION_PENDING,
    AUTHORIZATION_VALID,
    AUTHORIZATION_INVALID,
    AUTHORIZATION_DEACTIVATED,
    AUTHORIZATION_EXPIRED,
    AUTHORIZATION_REVOKED
};
struct store_authorization { /* number i of an order: URL .../authz/<order>/<i> */
    const char *identifier;  /* as sent, with "*." where it is a wildcard */
    const char *name;        /* canonical */
    const char *zone;        /* zone id, or "" */
    enum store_authorization_status status;
    const char *token; /* of its one dns-01 challenge, base64url of 32 bytes */
    time_t validated_at, expires_at;
    const char *error; /* JSON problem of the challenge, or "" */
    uint32_t tries;    /* of a pending dns-01 challenge */
};
struct store_order {
    const char *id;                 /* 22 characters base64url */
    const char *account, *customer; /* customer "" without external binding; account "" for REST */
    enum store_order_status status;
    struct store_authorization *authorizations;
    size_t authorization_count; /* one an identifier, same order */
    const char *profile;
    time_t not_before, not_after; /* asked for, or 0 */
    const char *replaces;         /* ARI certID, or "" ; replaces_serial its serial in hex */
    const char *replaces_serial;
    const char *error;  /* JSON problem or "" */
    const char *serial; /* hex of the certificate, or "" */
    const char *attempt;
    int64_t claimed_at_ms;  /* while processing */
    const char *csr_sha256; /* hex, of the finalize that claimed it; "" */
    struct bytes csr;       /* DER, while processing */
    const char *origin;     /* "acme", "rest", "admin" */
    const char *request; /* of REST: JSON of what was asked; the certificate keeps it. NULL and "" are none */
    const char *api_key; /* of REST: the key's id; the order ends with it. NULL and "" are none */
    time_t created_at, expires_at, checked_at; /* checked_at: the oldest proof it rests on */
    uint32_t is_outdated;                      /* said by a claim alone, see store_claim_order */
    /* Of an order to be created: which issuers its certificate may come from, with blanks between, so that it
     * is refused where issuance is stopped for all of them. Not kept; NULL and "" are not known. */
    const char *issuers;
};
/* `order->id` is set by the caller (random_id), so repeating the call after ERROR_UNKNOWN is safe.
 * Checks in the script: account and API key may still act, and the names are still the customer's by these
 * zones (doc/rights.md; ERROR_REFUSED), issuance is not stopped (ERROR_STOPPED); `replaces_serial` not
 * replaced by another live order (ERROR_CONFLICT). Stores evidence beside it. The check behind a ready order
 * makes zones active that wait for it. An order with status ORDER_REFUSED is a kept attempt: it never changes
 * and is capped per customer.
 */
void store_create_order(struct store *, const struct store_order *, const char *evidence, store_done *,
                        void *);
/* Like it, for a request that may be sent again: while `retry_hash` (hex) is known, for `seconds`, and its
 * order is open or valid with a certificate that is not revoked, nothing is created and *order_id is that
 * order's; else it is order->id. */
void store_create_order_once(struct store *, struct arena *, const struct store_order *, const char *evidence,
                             const char *retry_hash, uint32_t seconds, const char **order_id, store_done *,
                             void *);
/* That order, if there is one: ERROR_NOT_FOUND. */
void store_find_retry(struct store *, struct arena *, const char *retry_hash, struct store_order *out,
                      store_done *, void *);
void store_load_order(struct store *, struct arena *, const char *order_id, struct store_order *out,
                      store_done *, void *);
void store_load_evidence(struct store *, struct arena *, const char *order_id, const char **json_text,
                         store_done *, void *);
/* Sets authorization `index`: valid (with checked_at and evidence), invalid (with the problem), deactivated,
 * or still pending with tries + 1. The order follows: all valid -> ready; one invalid or deactivated ->
 * invalid (unless the order is valid already). `out` is the order after it. ERROR_CONFLICT where the state
 * does not allow it. */
struct store_authorization_change {
    const char *order_id;
    size_t index;
    enum store_authorization_status status;
    const char *error, *evidence;
    time_t checked_at, expires_at;
    bool count_try;
};
void store_change_authorization(struct store *, struct arena *, const struct store_authorization_change *,
                                struct store_order *out, store_done *, void *);
/* A check at finalize that held: newer checked_at and evidence; its zones become active where they wait. */
void store_record_recheck(struct store *, const char *order_id, time_t checked_at, const char *evidence,
                          store_done *, void *);
enum { STORE_OUTDATED_DENIED = 1, STORE_OUTDATED_LOST = 2 };
/* ready -> processing with this attempt; exactly one winner. Likewise an order in processing that waits for
 * an attempt with this CSR. Checks the rights of store_create_order and expiry again, and that `spki_sha256`
 * (hex) is no account key and not blocked (ERROR_REFUSED, each); issuance by `issuer` ("": not known yet) and
 * otherwise must not be stopped (ERROR_STOPPED). ERROR_CONFLICT: not ready, expired, the
 * attempt was released before, or (`is_outdated`) a zone's check that began no earlier than checked_at did
 * not hold, or (STORE_OUTDATED_LOST) Redis went back after checked_at, of an order with a customer.
 * The order keeps the CSR (DER) while it is processing. `out` is the order as it is, in each case. */
void store_claim_order(struct store *, struct arena *, const char *order_id, const char *attempt,
                       int64_t claimed_at_ms, const char *csr_sha256, const char *spki_sha256,
                       struct bytes csr, const char *issuer, struct store_order *out, store_done *, void *);
/* Nothing was signed by this attempt: the order, still processing, waits for another one, after a pause that
 * doubles from resume_first_seconds to resume_longest_seconds; or, where `error` is not NULL, becomes invalid
 * with it. An `attempt` of "" is that of an order that waits: it waits longer, or ends. */
void store_release_order(struct store *, const char *order_id, const char *attempt, const char *error,
                         store_done *, void *);
/* For the reconciler: attempts in processing since before `older_than_ms` (wall clock) whose id begins with
 * `host`, or whose order's life ended before `ended_before`. */
struct store_attempt {
    const char *order, *attempt;
    int64_t claimed_at_ms;
    time_t expires_at; /* of the order */
};
struct store_attempt_list {
    struct store_attempt *items;
    size_t count;
};
void store_stale_attempts(struct store *, struct arena *, int64_t older_than_ms, uint32_t limit,
                          const char *host, time_t ended_before, struct store_attempt_list *out, store_done *,
                          void *);
/* Ids of orders in processing that wait for an attempt and are due; leased for so long. */
struct store_name_list {
    const char **items;
    size_t count;
};
void store_waiting_orders(struct store *, struct arena *, uint32_t limit, uint32_t lease_ms,
                          struct store_name_list *out, store_done *, void *);
/* For each canonical name the active zone by whose valid, unexpired authorization the account holds it now
 * (doc/rights.md); out[i] has id NULL where there is none. */
void store_zones_held(struct store *, struct arena *, const char *account_id, const char *const *names,
                      size_t count, struct store_zone *out, store_done *, void *);
struct store_order_filter {
    int status; /* enum store_order_status or -1 */
    const char *zone, *customer;
    time_t since;
    const char *cursor;
    uint32_t limit;
};
struct store_order_list {
    struct store_order *items;
    size_t count;
    const char *next_cursor;
};
void store_list_orders(struct store *, struct arena *, const struct store_order_filter *,
                       struct store_order_list *out, store_done *, void *);

/* --- certificates (store/certificate.c) --- */
enum store_certificate_status {
    CERTIFICATE_VALID,
    CERTIFICATE_REVOKED,
    CERTIFICATE_VOID /* intent without certificate */,
    CERTIFICATE_EXPIRED /* only in filters and answers */
};
struct store_certificate {
    const char *serial; /* 32 hex digits */
    struct bytes der;   /* empty for void */
    enum store_certificate_status status;
    const char *order, *account, *customer, *profile, *issuer;
    const char **names;
    size_t name_count;
    const char **zones;
    size_t zone_count;
    const char *spki_sha256; /* hex */
    time_t not_before, not_after, issued_at;
    const char *crl_url; /* to be recorded: the list that it names, "" for none, "?" where only DER tells */
    const char *crl;     /* id of that list, "" where it is not known */
    int64_t listed_ms;   /* since when a list has to have it; 0: none */
    time_t revoked_at;
    uint32_t reason;
    const char *by;          /* who revoked it (doc/ledger.md), or "" */
    bool is_told;            /* and heard that it was a success */
    const char *replaced_by; /* order id, or "" */
    const char *request; /* of REST: JSON of what was asked, or ""; the order's, where a commit gives it */
};
/* Commit: certificate + order valid + indexes + edge event + ledger sequences applied, only if the order is
 * still this attempt's (or attempt_of_valid equals: repeated call) and the rights of the order still hold:
 * else ERROR_CONFLICT with the reason, and the caller revokes: the certificate is known as void meanwhile,
 * and its revocation frees the order. */
void store_commit_certificate(struct store *, const struct store_certificate *, const char *attempt,
                              const struct store_ledger_mark *, store_done *, void *);
void store_load_certificate(struct store *, struct arena *, const char *serial_hex,
                            struct store_certificate *out, store_done *, void *);
/* Set once: a second call keeps time and reason (only what says more of the key replaces it, revocation.h)
 * and succeeds. keyCompromise blocks the key for those that `by` speaks for. Adds the edge event. */
struct store_revocation {
    const char *serial; /* 32 hex digits */
    const char *by;
    time_t revoked_at, not_after; /* the latter of its certificate; 0: not known */
    uint32_t reason;
    const char *crl_url; /* as in its certificate; "" where there is none, or it is not known */
};
void store_revoke_certificate(struct store *, const struct store_revocation *,
                              const struct store_ledger_mark *, store_done *, void *);
/* Who revoked it is being told that it holds (struct store_certificate, `is_told`). */
void store_note_told(struct store *, const char *serial_hex, store_done *, void *);
/* Is this key (hex SHA-256 of SPKI) blocked by a keyCompromise revocation, for everybody or for this customer
 * ("": for this account), or an account key? */
void store_key_status(struct store *, const char *spki_sha256, const char *customer, const char *account,
                      bool *is_blocked, bool *is_account_key, store_done *, void *);
struct store_certificate_filter {
    const char *zone, *customer;
    int status; /* or -1 */
    time_t expires_before;
    const char *cursor;
    uint32_t limit;
};
struct store_certificate_list {
    struct store_certificate *items;
    size_t count;
    const char *next_cursor;
};
void store_list_certificates(struct store *, struct arena *, const struct store_certificate_filter *,
                             struct store_certificate_list *out, store_done *, void *);

/* A numbered page of a zone's certificates, newest first, revoked and expired ones too (store/page.c). */
void store_page_certificates(struct store *, struct arena *, const char *zone_id, uint32_t offset,
                             uint32_t limit, struct store_certificate_list *out, uint64_t *total,
                             store_done *, void *);

/* --- certificate revocation lists (store/crl.c; doc/revocation.md) --- */
struct store_crl_name {       /* a list is known by the issuer and the URL in its certificates */
    const char *issuer, *url; /* "": the issuer's complete list, which no certificate names */
};
struct store_crl {
    const char *id, *issuer, *url;
    uint64_t number;
    time_t this_update, next_update;
    uint64_t entry_count, bytes;
    uint64_t unproven,
        left_out;      /* entries that no ledger was known to have; so many of these are not in it */
    time_t issuer_end; /* of the complete list: when the issuer's last certificate ends; 0: none is known */
    uint64_t floor;    /* what a signer is known to have signed last, as Redis says; 0: nothing is known */
    const char *problem, *problem_host; /* why it could not be made since, and who tried; "" */
    uint64_t sequence; /* of its publication: later ones have higher ones, while Redis does not go back */
};
struct store_crl_list {
    struct store_crl *items;
    size_t count;
};
struct store_crl_entry {
    uint8_t serial[SERIAL_BYTES];
    time_t revoked_at;
    uint32_t reason;
};
/* Lists that certificates will name: they are there from now on, empty ones too. */
void store_register_crls(struct store *, const struct store_crl_name *, size_t count, store_done *, void *);
/* Puts some of what was revoked before there were lists on them. */
void store_adopt_revocations(struct store *, uint32_t limit, bool *is_done, store_done *, void *);
struct store_crl_claim {
    const char **unsorted; /* serials whose list only their DER tells: store_sort_revocation comes first */
    size_t unsorted_count;
    uint64_t set_aside;            /* serials whose list cannot be read: looked at again once an hour */
    const char *id, *issuer, *url; /* NULL: none is due */
    uint64_t number, floor;        /* as of struct store_crl */
    int64_t begun_us;              /* clock of Redis */
    const char *changes;           /* of the list, as counted so far */
    const char *run;               /* of Redis */
};
/* The list of these issuers that waits longest, at least `delay_ms`, for this host alone while the lease
 * lasts. One that it could not make is left to the other hosts for two leases. */
void store_claim_crl(struct store *, struct arena *, int64_t delay_ms, int64_t lease_ms, const char *host,
                     bool with_complete, const char *const *issuers, size_t issuer_count,
                     struct store_crl_claim *out, store_done *, void *);
void store_sort_revocation(struct store *, const char *serial, const char *url, store_done *, void *);
/* It cannot be sorted now: it keeps no list waiting, and is not forgotten. */
void store_set_aside_revocation(struct store *, const char *serial, store_done *, void *);
struct store_crl_page {
    struct store_crl_entry *entries;
    size_t count, left_out;  /* left_out: members that are no entries */
    const char *next_cursor; /* "0": that was all */
};
/* Entries in no order; some may come twice, one whose reason changes meanwhile with both. */
void store_scan_crl(struct store *, struct arena *, const char *id, const char *cursor, uint32_t limit,
                    struct store_crl_page *out, store_done *, void *);
/* ERROR_CONFLICT: a newer one is there, or Redis is another run than its entries were read from. `changes`
 * is as claimed; "": it was published before and this Redis has forgotten it; it is then due at once. A newer
 * one does not count where it has `refused_number`: the caller has found that it is none of ours. Nor does a
 * floor that is above `ceiling`; below another one it is a conflict too. */
void store_publish_crl(struct store *, const struct store_crl *, struct bytes der, const char *changes,
                       const char *run, uint64_t refused_number, uint64_t ceiling,
                       const struct store_ledger_mark *, store_done *, void *);
/* Lists that are missing, unusable or much too old are due now, whatever Redis says. */
void store_renew_crls(struct store *, int64_t delay_ms, int64_t lease_ms, const struct store_crl_name *,
                      size_t count, store_done *, void *);
/* What this host's signer has signed last of each list. Nothing below is published or served from now on, and
 * where Redis has an older list it is due. `older` counts these; numbers above `ceiling` make no floor. */
struct store_crl_floor {
    const char *issuer, *url;
    uint64_t number;
    bool is_bounded; /* for the caller: Redis is not told */
};
void store_floor_crls(struct store *, const struct store_crl_floor *, size_t count, uint64_t ceiling,
                      uint64_t *older, store_done *, void *);
/* Entries that a ledger has and Redis has lost. `restored` counts them; where there are any the list is due.
 */
struct store_crl_lost {
    uint8_t serial[SERIAL_BYTES];
    time_t revoked_at, not_after;
    uint32_t reason;
};
void store_restore_crl(struct store *, const char *issuer, const char *url, const struct store_crl_lost *,
                       size_t count, uint64_t *restored, store_done *, void *);
/* The same of revocations that a ledger has, wherever Redis has lost them: on that list, and, with the URL
 * "", in what it says of the certificates. */
struct store_compared {
    int64_t entries, certificates; /* that were put back */
};
void store_compare_revoked(struct store *, const char *issuer, const char *url, const struct store_crl_lost *,
                           size_t count, struct store_compared *, store_done *, void *);
/* Why it could not be made; stays until it is published. */
void store_fail_crl(struct store *, const char *id, const char *host, const char *reason, store_done *,
                    void *);
/* By sequence of their publication; with `after` 0 also those that never were published, at the end. */
void store_list_crls(struct store *, struct arena *, uint64_t after, uint32_t limit,
                     struct store_crl_list *out, store_done *, void *);
void store_find_crl(struct store *, struct arena *, const char *id, struct store_crl *out, store_done *,
                    void *);
struct store_crl_loaded {
    uint64_t number; /* as Redis says */
    struct bytes der;
};
void store_load_crl(struct store *, struct arena *, const char *id, struct store_crl_loaded *out,
                    store_done *, void *);

/* --- which host's ledger has an entry (store/crl_proof.c; doc/revocation.md) --- */
struct store_proof {
    const char *seal, *serials; /* hex, nothing between them */
};
struct store_proof_list {
    struct store_proof *items;
    size_t count;
    const char *last; /* to go on from */
    int64_t has_more; /* or may have */
};
/* Those behind `after`, "" at first. */
void store_load_proofs(struct store *, struct arena *, const char *after, uint32_t limit,
                       struct store_proof_list *out, store_done *, void *);
struct store_unproven_page {
    const char **serials;
    size_t count;
    const char *next_cursor; /* "0": that was all */
    int64_t now_ms;          /* clock of Redis */
    uint64_t waiting;        /* of all, for longer than `patience_ms` */
};
/* Entries that wait for a proof, in no order; with `until_ms` those alone that wait since then or longer. */
void store_page_unproven(struct store *, struct arena *, const char *cursor, uint32_t limit,
                         int64_t patience_ms, int64_t until_ms, struct store_unproven_page *out, store_done *,
                         void *);
/* Somebody has put these there. */
void store_drop_proofs(struct store *, const struct store_proof *proofs, size_t count, store_done *, void *);
/* A ledger has these: for all hosts to know; with the seal "" this host alone does. They wait no longer. */
void store_prove_entries(struct store *, const struct store_proof *, store_done *, void *);
/* They wait for a proof from now on, or do already. `are_many`: a proof makes the list due. */
void store_queue_unproven(struct store *, const char *list, bool are_many, const char *const *serials,
                          size_t count, int64_t *now_ms, store_done *, void *);
struct store_prover {
    const char *host;
    int64_t began_ms; /* clock of Redis, when it began to go through all that waits, to the end; 0: never */
    const char *seal;
};
struct store_prover_list {
    struct store_prover *items; /* hosts that have ledgers, but for those that are excused */
    size_t count;
};
void store_note_provers(struct store *, struct arena *, const struct store_prover *own,
                        struct store_prover_list *out, store_done *, void *);
struct store_member_page {
    const char **members; /* as Redis has them */
    size_t count;
    const char *next_cursor;
};
/* Entries of a list that wait since `until_ms` or longer. What has begun to wait anew since is not dropped.
 */
void store_find_unproven(struct store *, struct arena *, const char *list, const char *cursor, uint32_t limit,
                         int64_t until_ms, struct store_member_page *out, store_done *, void *);
void store_drop_entries(struct store *, const char *list, int64_t until_ms, const char *const *members,
                        size_t count, int64_t *dropped, store_done *, void *);
struct store_forgotten {
    int64_t restored, kept; /* certificates that are valid again; that stay revoked in Redis */
};
void store_forget_unproven(struct store *, int64_t until_ms, const char *const *serials, size_t count,
                           struct store_forgotten *out, store_done *, void *);

/* --- OCSP (store/ocsp.c) --- */
enum store_ocsp_status { STORE_OCSP_UNKNOWN, STORE_OCSP_GOOD, STORE_OCSP_REVOKED };
struct store_ocsp {
    const char *serial;            /* in: 32 hex digits */
    const char *issuer;            /* out: name, "" where it is unknown */
    enum store_ocsp_status status; /* what was never given out is revoked */
    time_t revoked_at;
    uint32_t reason;
    const char *state; /* all of it as one text, to be compared with */
};
struct store_ocsp_list {
    struct store_ocsp *items;
    size_t count;
    uint64_t applied; /* out: records of the host's ledger that this Redis has applied */
};
/* Statuses and the watermark of `host` are read in one script. */
void store_load_ocsp(struct store *, struct arena *, const char *host, struct store_ocsp_list *, store_done *,
                     void *);
/* May an answer that was signed of this list be given out? ERROR_CONFLICT: something of it has changed since
 * it was loaded. */
void store_confirm_ocsp(struct store *, const struct store_ocsp_list *, store_done *, void *);

/* --- the fence (store/ledger.c): what of this host's ledger Redis has applied --- */
#define STORE_FORMAT 1 /* of what Redis holds (doc/redis.md); 1 where it says nothing */
/* Values that tell two secret files apart and nothing else: hex; "" where not known. */
#define STORE_SECRET_CHECK_MAX 17
struct store_secret_checks {
    char secret[STORE_SECRET_CHECK_MAX], operator_secret[STORE_SECRET_CHECK_MAX];
};
/* A server that says that it writes the ledger of a host name (ledger_writer.h). */
struct store_ledger_writer {
    char run[33], place[33];  /* hex; "" where not known */
    char about[128];          /* in words: its machine, process and start */
    int64_t seen_seconds_ago; /* when it said so last; -1: never */
};
struct store_ledger_state {
    const char *ledger_id;                   /* "" where Redis knows no ledger of this host */
    uint64_t applied;                        /* every record up to here is applied */
    uint64_t highest;                        /* the highest applied one; those between may be missing */
    uint64_t ahead;                          /* how many above `applied` are */
    const char *applied_hash, *highest_hash; /* hex; "" where not known */
    uint64_t format;
    const char *run;      /* id of this run of Redis: another process, or one started again, has another */
    const char *verified; /* the run that this host has verified; "" */
    const char **hosts;   /* that have a ledger */
    size_t host_count;
    const char **missing; /* of these, hosts that have not verified this run, nor are excused */
    size_t missing_count;
    uint32_t nonces_wait_seconds; /* so long nonces are refused as being of before the run */
    const char *lost;  /* what the host's admin process found missing of what the ledger proves; "" */
    uint64_t replayed; /* up to here a replay has applied records: who they speak of may be gone */
    int64_t looked_seconds_ago; /* and found nothing missing; -1: never */
    int64_t joined_seconds_ago; /* since the host is one of `hosts`; -1: it is not */
    struct store_ledger_writer writer;
    struct store_secret_checks secrets; /* of the files that the data rest on */
    int64_t now_ms;                     /* clock of Redis */
};
void store_load_ledger_state(struct store *, struct arena *, const char *host, struct store_ledger_state *out,
                             store_done *, void *);
/* First contact, or after the operator confirmed a loss. */
void store_reset_ledger_state(struct store *, const char *host, const char *ledger_id, uint64_t applied,
                              store_done *, void *);
/* Keeps them where none are known of that file; `replaces`: in place of what is known too. */
void store_bind_secrets(struct store *, const struct store_secret_checks *, bool replaces, store_done *,
                        void *context);
/* Whose key and subject an issuer's name is (server/issuer_bindings.h). */
#define STORE_ISSUER_DIGEST_MAX (2 * SHA256_BYTES + 1)
struct store_issuer {
    const char *name;
    char digest[STORE_ISSUER_DIGEST_MAX]; /* hex */
};
/* `binds`: those that are not known are kept. `unknown`: how many are not, then. ERROR_CONFLICT, with the
 * name as message: another digest is known under it. */
void store_compare_issuers(struct store *, const struct store_issuer *, size_t count, bool binds,
                           uint64_t *unknown, store_done *, void *);
/* ERROR_CONFLICT: another server, at another place, has said so within the lease. */
void store_hold_ledger(struct store *, const char *host, const struct store_ledger_writer *,
                       uint32_t lease_seconds, store_done *, void *context);
/* Of the record `applied`, where Redis knows none. */
void store_adopt_ledger_hash(struct store *, const char *host, const char *ledger_id, uint64_t applied,
                             const char *hash, store_done *, void *);
/* This run of Redis holds all that the host's ledger holds. The first host that says so of a run ends the
 * nonces of before, and names the hosts that it knew. ERROR_CONFLICT: it is another run by now. */
void store_verify_ledger(struct store *, const char *host, const char *run, const char *const *known_hosts,
                         size_t known_count, store_done *, void *);
/* The data went back in time under the same run: all hosts have to verify it again, nonces of before end. */
void store_doubt_ledgers(struct store *, store_done *, void *);
/* Something that the ledger proves was in Redis (store/lost.c). The name is a zone's, or the serial of the
 * certificate that proves it; NULL is "". */
struct store_trace {
    /* zone, certificate, account, customer, order, API key, EAB key, API key of order, EAB key of account */
    const char *kind;
    const char *id, *name, *customer;
    bool is_lost; /* out: neither there with its indexes, nor known to be gone since a replay */
};
#define STORE_TRACES_MAX 10000
/* `is_untold`: other hosts ended rights that this host's signer was not told of; a zone may be among them. */
void store_find_lost(struct store *, const char *host, struct store_trace *traces, size_t count,
                     bool *is_untold, store_done *, void *);
/* For this host's workers, and for the other hosts, which wait for it; "": nothing is missing. */
void store_note_lost(struct store *, const char *host, const char *lost, store_done *, void *);
/* Before a replay up to record `last`. */
void store_begin_replay(struct store *, const char *host, uint64_t last, store_done *, void *);
/* An operator (`by`) goes on without the ledger of a host that does not come to verify this run; `for_good`:
 * nor any later one, until the host comes back. ERROR_NOT_FOUND, ERROR_CONFLICT: it is not missing. */
void store_excuse_host(struct store *, const char *host, const char *by, bool for_good, store_done *, void *);
/* Applies ledger records (doc/ledger.md; with their "hash") during replay, oldest first, all in one round
 * trip; idempotent. For "issued" without a commit: rolls the order forward when it is still that attempt's,
 * evidence is younger than `fresh_seconds` and its rights are there; else a conflict: the caller revokes it
 * through the signer (the record is not marked). Where the commit may have been there and was lost (Redis
 * does not know the attempt, or `may_have_lost_commits`), somebody may have the certificate: it is rolled
 * forward whatever became of proof and rights. "void" lets the order wait for another attempt. */
struct store_replay {
    const char *host;
    const json_t *records; /* an array */
    uint64_t after;        /* the record before the first */
    uint32_t fresh_seconds;
    bool may_have_lost_commits; /* this run of Redis may be older than the ledger: nobody compared it yet */
    /* Seals a right for the other hosts (rights.h); NULL: they are not told. */
    void (*seal)(void *context, const struct store_right *right, char out[STORE_SEAL_MAX]);
    void *seal_context;
    const json_t **conflicts; /* out, in the arena */
    size_t conflict_count;
    size_t unreadable_count; /* out: what makes no sense was logged, passed over and marked as applied */
};
void store_replay(struct store *, struct arena *, struct store_replay *, store_done *, void *);
/* The certificate of a record "issued"; what it points to belongs to the arena and the record. */
bool store_read_issued(struct arena *, const json_t *record, struct store_certificate *out) MUST_CHECK;
/* What other hosts, and this one, told of rights since the host looked last; in the order of the telling. */
struct store_right_list {
    struct store_right *items; /* with their seals, without marks */
    size_t count;
    const char *last; /* of the last one; "" where there is none */
};
void store_load_rights(struct store *, struct arena *, const char *host, uint32_t limit,
                       struct store_right_list *out, store_done *, void *);
/* The host's signer knows all up to `last` ("": nothing of the list), and wrote the marked records for it. */
void store_note_rights(struct store *, const struct store_ledger_mark *mark, const char *last, store_done *,
                       void *);
/* One of them. ERROR_CONFLICT: see there. ERROR_INVALID: it makes no sense. */
void store_apply_ledger_record(struct store *store, const char *host, const json_t *record,
                               uint32_t fresh_seconds, store_done *, void *);

/* --- rate limits (include/originca/limits.h says which there are) --- */
enum store_limit_mode {
    STORE_LIMIT_TAKE,  /* a rate, taken from */
    STORE_LIMIT_ROOM,  /* a rate that must have room for the cost: store_note_failures takes it */
    STORE_LIMIT_PAUSE, /* of a name whose check failed, kept by store_note_failures */
};
struct store_limit {
    const char *kind, *subject;
    enum store_limit_mode mode;
    uint32_t cost, exempt_cost;
    uint32_t allowed; /* in the window; the longest pause in seconds */
    uint32_t window_seconds;
};
struct store_limit_outcome {
    size_t exceeded; /* number of the limit, from 1; 0: all were taken */
    uint32_t retry_after_seconds;
    bool is_exempt; /* the certificate's one exemption is held for this request */
};
/* All or none. `due_serial` (or NULL) is the certificate whose renewal is due: once, it lets an order pass at
 * the exempt costs; the exemption is held so long and used up by the order that is made. */
void store_take_limits(struct store *, const struct store_limit *limits, size_t count, const char *due_serial,
                       uint32_t hold_ms, struct store_limit_outcome *out, store_done *, void *);
struct store_failures {
    const char **subjects; /* what pauses: one a name */
    size_t count;
    uint32_t first_pause_seconds, longest_pause_seconds; /* first 0: no pause */
    struct store_limit limit;                            /* that they count in; allowed 0: none */
    const char *exempt_serial;                           /* whose exemption is given back; NULL: none */
};
void store_note_failures(struct store *, const struct store_failures *, store_done *, void *);

/* --- overview and housekeeping --- */
struct store_stats {
    uint64_t customers, zones, zones_by_status[5], accounts, orders, orders_by_status[6], certificates,
        certificates_revoked, certificates_expiring_7d, redis_memory_bytes, edge_sequence;
};
void store_load_stats(struct store *, struct arena *, struct store_stats *out, store_done *, void *);
/* Trims index entries whose objects have expired: bounded work, called every few seconds by one worker. */
void store_sweep(struct store *, uint32_t max_entries, uint64_t *removed, store_done *, void *);

const char *store_order_status_name(enum store_order_status);
const char *store_authorization_status_name(enum store_authorization_status);
const char *store_account_status_name(enum store_account_status);
const char *store_zone_status_name(enum store_zone_status);
const char *store_certificate_status_name(enum store_certificate_status);
bool store_order_status_parse(const char *, int *out) MUST_CHECK;
bool store_account_status_parse(const char *, int *out) MUST_CHECK;
bool store_zone_status_parse(const char *, int *out) MUST_CHECK;
bool store_certificate_status_parse(const char *, int *out) MUST_CHECK;
