/* The signer: the only process with the token's PIN, the only writer of the ledger. This header is the
 * worker's side (an asynchronous client on the worker's loop) and the entry points of the process and its
 * tools.
 *
 * Workers reach it through a unix stream socket in the run directory that the supervisor binds and listens on
 * before the signer starts, so a restarted signer finds waiting connections; SO_PEERCRED must show the
 * server's own user. Frames: 4 bytes length (big-endian, at most SIGNER_FRAME_MAX), then fields in the form
 * of server/signer/wire.h.
 *
 * What the signer checks by itself, whatever a worker says: profile and its bounds, names (names.h), key
 * (keys.h), one piece of evidence a name and none too old, claim not older than claim_timeout_seconds, serial
 * unused, leaf inside its issuer's validity, and every rule of its pre-signing lint. Order of writes: INTENT
 * synced -> sign -> verify -> ISSUED synced -> reply (DESIGN 6). */
#pragma once

#include <event2/event.h>

#include "originca/config.h"
#include "originca/text.h"

#define SIGNER_FRAME_MAX (1024 * 1024)

struct signer_client;
struct metrics;

struct signer_evidence { /* the proof for one name */
    const char *name;    /* canonical */
    time_t checked_at;
    const char *method; /* "dns-delegation" or "dns-01" */
};

struct signer_certificate_request {                   /* copied into the frame at once */
    const char *attempt, *order, *account, *customer; /* account or customer may be "" */
    const char *const *names;                         /* canonical, in the order they get in the SAN */
    size_t name_count;
    const char *const *zones; /* zone ids */
    size_t zone_count;
    struct bytes spki;         /* DER SubjectPublicKeyInfo */
    const char *profile;       /* name of a configured profile */
    const char *issuer;        /* name of a configured issuer */
    time_t not_before;         /* 0: now less the back-date setting */
    uint32_t validity_seconds; /* exact: notAfter - notBefore */
    int64_t claimed_at_ms;     /* wall clock of the claim */
    const struct signer_evidence *evidence;
    size_t evidence_count;
    uint8_t evidence_sha256[SHA256_BYTES]; /* of the evidence document kept in Redis */
    const char *request_id;
};

struct signer_certificate {
    struct bytes der;
    uint8_t serial[SERIAL_BYTES];
    time_t not_before, not_after;
    uint64_t intent_sequence, issued_sequence; /* ledger records, for the fence */
    uint8_t hashes[2][SHA256_BYTES];           /* of these */
};

struct signer_revocation { /* input and result of signer_revoke */
    uint8_t serial[SERIAL_BYTES];
    const char *issuer;
    uint32_t reason;            /* RFC 5280 5.3.1: 0,1,3,4,5,9 */
    const char *by;             /* revocation.h */
    time_t revoked_at;          /* out: of the first revocation when it was revoked before */
    uint64_t sequence;          /* out */
    uint8_t hash[SHA256_BYTES]; /* out: of that record; zeros where it is long past */
    bool was_revoked_before;    /* out */
};

struct signer_status {
    char ledger_id[33], host[65];
    uint64_t last_sequence;
    uint64_t signatures, intents, voids, revocations; /* since the process began */
    uint64_t intents_without_outcome;                 /* alarm when not 0 for long */
    uint64_t revoked_serials;
    bool is_ledger_read; /* else what is said above of the ledger is empty, and `reason` tells the progress */
    bool is_token_usable;
    bool is_signing_allowed;
    char reason[512]; /* why not */
};

/* What Redis has applied of this host's ledger (struct store_ledger_state). */
struct signer_position {
    char ledger_id[33]; /* "": it knows none */
    uint64_t applied, highest;
    char applied_hash[2 * SHA256_BYTES + 1], highest_hash[2 * SHA256_BYTES + 1]; /* "": it has none */
};

enum signer_attempt_outcome {
    SIGNER_ATTEMPT_UNKNOWN,
    SIGNER_ATTEMPT_SIGNING,
    SIGNER_ATTEMPT_ISSUED,
    SIGNER_ATTEMPT_VOID
};

/* Completions get NULL or the error. ERROR_UNKNOWN: the connection broke after sending; ask
 * signer_attempt_status. ERROR_UNAVAILABLE: nothing was sent. ERROR_REFUSED: a check failed; the message says
 * which. */
typedef void signer_done(void *context, const struct error *error);

/* Connects in the background and again with back-off. */
struct signer_client *signer_client_new(struct event_base *base, const struct config *config,
                                        const char *instance, struct error *error);
void signer_client_free(struct signer_client *client); /* pending calls get ERROR_UNKNOWN */
/* At each connection: the signer behind it may be a new one. */
void signer_client_on_connected(struct signer_client *client, void (*connected)(void *context),
                                void *context);
bool signer_client_is_connected(const struct signer_client *client);

/* `out` and what it points to live in `arena`; both must outlive the call (they belong to the waiting
 * request). */
void signer_sign_certificate(struct signer_client *client, struct arena *arena,
                             const struct signer_certificate_request *request, struct signer_certificate *out,
                             signer_done *done, void *context);
void signer_revoke(struct signer_client *client, struct signer_revocation *revocation, signer_done *done,
                   void *context);
/* An attempt the signer does not know is struck off: a request for it that arrives later is refused. So
 * UNKNOWN means the order can go back to ready. ISSUED fills `out` (may be NULL). */
void signer_attempt_status(struct signer_client *client, struct arena *arena, const char *attempt,
                           enum signer_attempt_outcome *outcome, struct signer_certificate *out,
                           signer_done *done, void *context);
/* Up to `max` ledger records from `from` on, as a JSON array of the records of doc/ledger.md. Frame-sized:
 * there may be fewer; an empty array means there are none. */
void signer_read_ledger(struct signer_client *client, struct arena *arena, uint64_t from, uint32_t max,
                        json_t **records, signer_done *done, void *context);
void signer_get_status(struct signer_client *client, struct signer_status *out, signer_done *done,
                       void *context);
/* Compares with the ledger. A signer that has just started writes nothing, not even what a crash left to be
 * said, before one position has fitted; revocations wait for `position_wait_seconds` at most. ERROR_CONFLICT:
 * records are lost; nothing follows from it but the answer. `found_hash` gets the ledger's hash of record
 * `applied`, "" where it has none. */
void signer_check_position(struct signer_client *client, const struct signer_position *position,
                           char found_hash[2 * SHA256_BYTES + 1], signer_done *done, void *context);
/* The token refused the PIN, and an operator wants it tried again as it is. ERROR_CONFLICT with the reason.
 */
void signer_retry_token(struct signer_client *client, const char *by, signer_done *done, void *context);
/* Stops or allows signing until changed (kept in the ledger); `confirm_loss` also writes that the operator
 * accepts that records after `sequence` are lost (Redis was ahead of the ledger). */
void signer_set_signing(struct signer_client *client, bool is_allowed, const char *by, signer_done *done,
                        void *context);
void signer_confirm_loss(struct signer_client *client, uint64_t redis_sequence, const char *by,
                         signer_done *done, void *context);

/* The process: serves connections accepted from `listen_fd` until SIGTERM; the exit status. */
int signer_main(const struct config *config, int listen_fd, struct metrics *metrics);
/* `originca-server -c FILE ca init [--force-new-keys]`: makes the keys of the configured issuers in the token
 * (initialising nothing: the token must exist), their self-signed issuing certificates, the secret file, the
 * ledger. Idempotent. */
int signer_ca_init(const struct config *config, int argc, char **argv);
/* `originca-server -c FILE ledger verify|show|replay [...]`. */
int signer_ledger_command(const struct config *config, int argc, char **argv);
