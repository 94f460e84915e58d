/* The one path on which a certificate comes into being, for ACME and the REST API alike: claim the order in
 * Redis, sign (the ledger has intent and certificate), commit in Redis; then the caller replies
 * (doc/architecture.md).
 *
 * Three calls, one a step of the caller's operation. Each runs `done` once, from the loop or at once: NULL,
 * or the error, with `failure` saying what it means to the client. Where it is not known whether the signer
 * signed, nobody waits for it a second time: `is_in_doubt` is set and the call succeeds; so it does where the
 * idempotent commit, repeated, stays unknown. The order is processing then: the ledger's replay finishes it,
 * or the reconciler makes another attempt. */
#pragma once

#include "originca/revoke.h"
#include "originca/signer.h"
#include "originca/store.h"
#include "originca/worker.h"

enum issue_failure {
    ISSUE_FAILED,    /* Redis is away, issuance is stopped, or the like: the error's code says it */
    ISSUE_NOT_READY, /* the order is in another state: `order` shows it */
    ISSUE_REFUSED,   /* account, zone or authorizations changed: nothing was signed */
    ISSUE_OUTDATED,  /* a zone's newer check did not hold, or Redis went back: DNS is to be checked before the
                        claim */
    ISSUE_BAD_KEY,   /* the key may not be used: blocked, or an account's */
    ISSUE_UNSIGNED,  /* the signer refused for good; the order is invalid now */
    /* The signer is away or busy, or issuance was stopped (the error's code says it) after the claim: the
     * order is processing, and the reconciler tries again. */
    ISSUE_POSTPONED,
    ISSUE_WITHDRAWN, /* account or zone changed while it was signed: it was revoked at once */
};

typedef void issue_done(void *context, const struct error *error);

struct issue {
    /* the caller's, in its request's arena */
    struct worker *worker;
    struct arena *arena;
    const char *request_id;
    struct store_order *order;            /* as it is, after each claim */
    const char *const *names;             /* canonical, as many as authorizations */
    struct bytes spki, csr;               /* DER */
    const char *csr_sha256, *spki_sha256; /* hex */
    const char *issuer;
    /* before issue_sign */
    const char *evidence; /* of the DNS check, JSON; or NULL */
    time_t checked_at;
    time_t not_before; /* 0: now less the back-date setting */
    uint32_t validity_seconds;
    bool is_only_attempt; /* nobody would fetch what a later one gives: the order ends where this one fails */
    /* JSON problem that the order keeps when the signer refuses for good; NULL for none */
    const char *(*describe)(void *context, const struct error *error);
    /* results */
    enum issue_failure failure;
    bool is_in_doubt;
    struct store_certificate certificate; /* after issue_record, unless in doubt */
    /* issue.c's own */
    issue_done *done;
    void *context;
    const char *attempt;
    int64_t claimed_at_ms;
    struct signer_certificate signed_certificate;
    struct error error;
    struct revoke revoke;
    struct store_ledger_mark mark;
    uint64_t sequences[2];
    uint8_t hashes[2][SHA256_BYTES]; /* of these records */
    uint8_t evidence_sha256[SHA256_BYTES];
    const char **zones; /* distinct */
    size_t zone_count;
    unsigned commit_tries;
    bool is_blocked_key, is_account_key, is_redis_in_doubt;
};

/* Sets issuer, not_before and validity_seconds by what the order asks for; `issue->order` is all it needs
 * beside worker and arena. */
/* Which issuer is asked for what: by the key that it signs with, or by the request_type of the REST API. */
const char *issue_acme_issuer(const struct config *config, bool is_rsa);
/* Both, with a blank between where they are two; NULL: out of memory. */
const char *issue_acme_issuers(const struct config *config, struct arena *arena);
const char *issue_rest_issuer(const struct config *config, const char *request_type);
bool issue_set_terms(struct issue *issue, bool is_rsa, struct error *error) MUST_CHECK;
void issue_claim(struct issue *issue, issue_done *done, void *context);
void issue_sign(struct issue *issue, issue_done *done, void *context);
void issue_record(struct issue *issue, issue_done *done, void *context);
