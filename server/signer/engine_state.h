/* The engine's state, its records in the ledger, and when it may sign. */
#pragma once

#include "engine.h"
#include "originca/revocation.h"

struct revoked_serial {
    time_t revoked_at;
    uint64_t sequence;
    enum revocation_rank rank;
};

struct engine {
    const struct config *config;
    struct arena *arena; /* of issuers */
    struct issuer *issuers;
    size_t issuer_count;
    gnutls_privkey_t *keys; /* [thread * issuer_count + issuer] */
    unsigned thread_count;
    struct ledger *ledger;
    struct attempts *attempts;
    json_t *open_intents; /* by attempt, only while the ledger is read at start */
    json_t *revoked;      /* serial hex -> [revoked_at, seq, rank]; of the segments read */
    struct signer_status status;
    bool is_stopped; /* by an operator */
    bool is_token_lost;
    int64_t clock_offset_ms; /* wall clock less monotonic clock */
    bool has_clock_jumped;
    struct metric *signatures_total, *revocations_total, *open_gauge;
};

bool engine_may_sign(struct engine *engine, struct error *error) MUST_CHECK;
bool engine_append_void(struct engine *engine, const json_t *intent, uint64_t intent_sequence,
                        const char *reason, struct error *error) MUST_CHECK;
bool engine_find_revoked(const struct engine *engine, const uint8_t *serial,
                         struct revoked_serial *out) MUST_CHECK;
bool engine_append_revoked(struct engine *engine, const uint8_t *serial, const char *issuer, uint32_t reason,
                           const char *by, struct revoked_serial *out, struct error *error) MUST_CHECK;
bool engine_set_signing(struct engine *engine, bool is_allowed, const char *by,
                        struct error *error) MUST_CHECK;
bool engine_confirm_loss(struct engine *engine, uint64_t sequence, const char *by,
                         struct error *error) MUST_CHECK;
/* Rotation and metrics; false when the process must end. */
bool engine_end_batch(struct engine *engine);
