/* The one path on which a certificate is revoked, for ACME, the REST API, administrators and recovery alike:
 * the ledger, which is the point of no return; then Redis; then whoever must know (lists, responders, edges:
 * what the store's script leaves for them). doc/revocation.md.
 *
 * Once the ledger has it nothing undoes the revocation: the fence brings it to Redis, wherever it was made.
 * It is a success when Redis has it too, which all hosts, lists and responders read: until then others may
 * still tell the certificate as good. */
#pragma once

#include "originca/revocation.h"
#include "originca/signer.h"
#include "originca/store.h"
#include "originca/worker.h"

struct revoke {
    /* the caller's; texts must live until `done` */
    struct worker *worker;
    struct arena *arena;
    const char *request_id; /* for the log; NULL: recovery */
    const struct store_certificate
        *certificate; /* serial and issuer; DER and not_after where they are known */
    const char *by;   /* revocation.h */
    uint32_t reason;  /* RFC 5280 5.3.1: 0, 1, 3, 4, 5, 9 */
    /* Records of the same certificate that Redis notes as applied with it, and their hashes; at most
     * REVOKE_MARKS_MAX. */
    const uint64_t *sequences;
    const uint8_t *hashes; /* SHA256_BYTES each */
    size_t sequence_count;
    /* results */
    time_t revoked_at;          /* of the first revocation */
    uint32_t known_reason;      /* that counts from now on */
    bool was_revoked_before;    /* by the ledger */
    enum error_code store_code; /* why Redis does not have it; ERROR_NONE: it has */
    /* revoke.c's own */
    struct signer_revocation word;
    signer_done *done;
    void *context;
    struct store_ledger_mark mark;
    unsigned tries;
    uint64_t marked[3];
    uint8_t marked_hashes[3][SHA256_BYTES];
};

#define REVOKE_MARKS_MAX 2

/* The same word of the same party about a certificate that is revoked by it, and that nobody was told of as a
 * success: who was answered ERROR_PENDING comes again. It is to be answered as the first time. */
bool revoke_is_repetition(const struct store_certificate *certificate, uint32_t reason, const char *by);

/* `done` runs once, from the loop or at once: NULL; the signer's error; or ERROR_PENDING: the ledger has it,
 * and Redis does not, or did not say so in time. `store_code` tells which, and the results are set. */
void revoke_start(struct revoke *revoke, signer_done *done, void *context);
