/* The engine's state, its records in the ledger, and when it may sign. */
#pragma once

#include <pthread.h>

#include "access.h"
#include "checkpoint.h"
#include "crl_lists.h"
#include "engine.h"
#include "issuer_names.h"
#include "zones.h"

enum engine_phase {
    ENGINE_READING, /* the ledger, in a thread: nothing but its progress is told */
    ENGINE_WAITING, /* for a worker to show what Redis has applied: nothing is written */
    ENGINE_RUNNING
};

/* A thread that reads the ledger: at start, or behind the start's back from its beginning. */
struct engine_reader {
    pthread_t thread;
    bool is_started;
    atomic_bool is_done, is_cancelled;
    _Atomic uint64_t bytes_read, bytes_total;
    bool is_good;
    struct error error;
};

struct engine_saver { /* writes a checkpoint */
    pthread_t thread;
    bool is_started;
    atomic_bool is_done;
    uint8_t *bytes;
    size_t length;
    bool is_good;
    struct error error;
};

struct token_wait { /* while the token cannot be used */
    bool is_pin_refused;
    char reason[512];
    int64_t next_ms; /* when it is looked at again */
    unsigned failures;
};

struct engine {
    const struct config *config;
    struct arena *arena; /* of issuers */
    struct issuer *issuers;
    size_t issuer_count;
    gnutls_privkey_t *keys; /* [thread * issuer_count + issuer] */
    unsigned thread_count;
    bool is_token_usable;
    struct token_wait token;
    enum engine_phase phase;
    int64_t waiting_since_ms;
    struct ledger *ledger; /* NULL while it is read */
    struct attempts *attempts;
    struct revoked *revoked;
    struct crl_lists *lists;
    struct issuer_names *names;
    uint32_t foreign_lists,
        foreign_counted_of; /* of so many lists, and one: counted anew when there are more */
    struct zones *zones;
    struct access access;
    uint64_t told_highest; /* of the position that an operator's link compared last; 0: none */
    json_t *open_intents;  /* attempt -> sequence, until they are voided */
    uint8_t key[CHECKPOINT_KEY_BYTES];
    bool has_key, was_read_whole, is_verified_again;
    struct engine_reader reader, verifier;
    struct ledger_position verified_to;
    struct engine_saver saver;
    uint64_t saved_sequence; /* of the last checkpoint */
    int64_t saved_ms;
    char ledger_fault[ERROR_MESSAGE_MAX]; /* found by the verifier; "" */
    int64_t issuers_looked_ms;
    char issuer_fault[ERROR_MESSAGE_MAX]; /* an issuer is not the one that the ledger knows; "" */
    struct signer_status status;
    bool is_stopped; /* by an operator */
    bool is_token_lost;
    bool is_issuer_end_told;
    int64_t clock_offset_ms; /* wall clock less monotonic clock */
    bool has_clock_jumped;
    int64_t room_looked_ms; /* 0: never */
    uint64_t room_bytes;    /* left on the ledger's disk then */
    struct metric *crl_signatures_total, *crl_missing_total;
    struct metric *ocsp_signatures_total, *ocsp_refused_total;
    struct metric *signatures_total, *revocations_total, *open_gauge, *token_gauge, *login_total;
};

bool engine_may_sign(struct engine *engine, struct error *error) MUST_CHECK;
/* Of the issuers that ACME or REST issue with. */
bool engine_has_issuers_in_force(const struct engine *engine, struct error *error) MUST_CHECK;
/* Sign statements about certificates: also while issuance is stopped and the ledger's disk is full. */
bool engine_may_vouch(struct engine *engine, struct error *error) MUST_CHECK;
/* Of records other than those that take a right away: false while Redis's position is not known. */
bool engine_may_write(const struct engine *engine, struct error *error) MUST_CHECK;
/* Is there room in the ledger's disk: for certificates, and for anything at all (engine_room.c)? */
bool engine_has_room_to_sign(struct engine *engine, struct error *error) MUST_CHECK;
bool engine_has_room(struct engine *engine, struct error *error) MUST_CHECK;
bool engine_append_void(struct engine *engine, const json_t *intent, uint64_t intent_sequence,
                        const char *reason, struct error *error) MUST_CHECK;
/* Notes a revocation or void serial of the ledger, and since when its lists have to have what it says. */
bool engine_put_revoked(struct engine *engine, const uint8_t serial[SERIAL_BYTES],
                        const struct revoked_serial *entry, time_t noted_at, struct error *error) MUST_CHECK;
/* `out` holds the first revocation's time where there was one, else 0. */
bool engine_append_revoked(struct engine *engine, const struct signer_revocation *asked,
                           struct revoked_serial *out, uint8_t hash[LEDGER_HASH_BYTES],
                           struct error *error) MUST_CHECK;
bool engine_set_signing(struct engine *engine, bool is_allowed, const char *by,
                        struct error *error) MUST_CHECK;
bool engine_confirm_loss(struct engine *engine, uint64_t sequence, const char *by,
                         struct error *error) MUST_CHECK;
/* Compares with the ledger; the first of an operator's link that fits lets the signer write. */
bool engine_check_position(struct engine *engine, const struct signer_position *position,
                           enum signer_link link, bool *are_issuers_recorded, struct error *error) MUST_CHECK;
/* Rotation, checkpoint and metrics; false when the process must end. */
bool engine_end_batch(struct engine *engine);

/* --- calls (engine_calls.c, engine_rights.c) --- */
void engine_reply_error(struct engine_call *call, const struct error *error);
void engine_begin_reply(struct engine_call *call, struct wire_writer *writer);
void engine_end_reply(struct engine_call *call, struct wire_writer *writer);
/* All but MESSAGE_SIGN, of a type that access_allows let through. */
void engine_answer(struct engine *engine, struct engine_call *call);
void engine_run_change_rights(struct engine *engine, struct engine_call *call);
void engine_run_crl(struct engine *engine, struct engine_call *call);
/* engine_revoked.c: must the list have the serial at that moment (seconds)? One whose certificate has ended
 * by then may have left, and of one whose end is not known either may be true. */
bool engine_must_list(const struct engine *engine, uint32_t list, bool is_complete, const uint8_t *serial,
                      const struct revoked_serial *entry, int64_t at) MUST_CHECK;
void engine_list_revoked(struct engine *engine, struct engine_call *call);
/* What a record of rights in the ledger means; others change nothing. */
bool engine_read_right(struct engine *engine, const struct ledger_record *record,
                       struct error *error) MUST_CHECK;

/* --- whose key an issuer's name stands for (engine_issuers.c) --- */

/* Once the ledger is read: a configured issuer of another key or subject than the ledger's is a fault, with
 * which nothing is signed; revocations are recorded all the same. */
void engine_judge_issuers(struct engine *engine);
/* Such a fault ends with the process, once the files are right: false. */
bool engine_watch_issuers(struct engine *engine) MUST_CHECK;
/* ERROR_UNAVAILABLE: who asks has others, and the ledger does not know all of the signer's own. The signer of
 * before a reload has others too, but recorded ones. */
bool engine_may_serve_issuers(const struct engine *engine, const struct signer_issuers_hash *hash,
                              struct error *error) MUST_CHECK;
/* Are its issuers these, and does the ledger not know others? */
bool engine_has_issuers(const struct engine *engine, const struct signer_issuers_hash *hash);
/* Records those that the ledger does not know yet. */
bool engine_bind_issuers(struct engine *engine, struct error *error) MUST_CHECK;

/* --- of an attempt that was signed (engine.c) --- */
void engine_put_attempt(struct wire_writer *writer, const struct attempt *attempt, struct bytes der,
                        const uint8_t hashes[2][LEDGER_HASH_BYTES]);
bool engine_read_certificate(struct engine *engine, struct arena *arena, const struct attempt *attempt,
                             struct bytes *der, uint8_t hashes[2][LEDGER_HASH_BYTES],
                             struct error *error) MUST_CHECK;

/* Runs `work` for each number below `count`, in the signing threads; `thread` says whose keys to use
 * (engine.c). */
typedef void engine_work(void *context, size_t at, unsigned thread);
void engine_share_work(const struct engine *engine, size_t count, engine_work *work, void *context);
/* Answers the batch's calls of MESSAGE_SIGN_OCSP, once its revocations are known (engine_ocsp.c). */
void engine_run_ocsp(struct engine *engine, struct engine_call *calls);

/* What the rules on names and keys read: suffixes, blocked keys. */
bool engine_load_rules(const struct config *config, struct error *error) MUST_CHECK;

/* --- reading the ledger (engine_read.c) --- */
bool engine_start_reading(struct engine *engine, struct error *error) MUST_CHECK;
/* Takes what the threads have done; false when the ledger cannot be opened. */
bool engine_watch_readers(struct engine *engine) MUST_CHECK;
void engine_save_if_due(struct engine *engine);
/* Ends the threads and writes a last checkpoint. */
void engine_stop_reading(struct engine *engine);

/* --- the token (engine_token.c) --- */
bool engine_load_issuers(struct engine *engine, struct error *error) MUST_CHECK;
/* Looks whether the token can be used, now or when it is time; never a login that was refused before. */
void engine_try_token(struct engine *engine);
/* For a process that only tries: ERROR_REFUSED where the PIN is, or was before; then nothing is tried. */
bool engine_log_in_once(struct engine *engine, struct error *error) MUST_CHECK;
bool engine_retry_token(struct engine *engine, const char *by, struct error *error) MUST_CHECK;
void engine_free_token(struct engine *engine);
