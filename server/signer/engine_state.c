/* Starting the engine (token, ledger, what a crash left) and the records it writes beside certificates. */
#include "engine_state.h"

#include <stdlib.h>
#include <string.h>

#include "originca/keys.h"
#include "originca/log.h"
#include "originca/names.h"
#include "token.h"

#define ATTEMPTS_REMEMBERED 50000
#define CLOCK_BEHIND_LEDGER_MS 60000

/* --- may it sign? --- */

/* A certificate's times come from the wall clock: where that jumped, nothing is signed until somebody looked.
 */
static bool is_clock_sane(struct engine *engine, struct error *error) {
    int64_t wall = clock_wall_ms(), offset = wall - clock_monotonic_ms(),
            jump = offset - engine->clock_offset_ms;
    int64_t allowed = (int64_t)engine->config->clock_jump_seconds * 1000;
    if (engine->has_clock_jumped || jump > allowed || jump < -allowed) {
        engine->has_clock_jumped = true;
        return error_set(error, ERROR_UNAVAILABLE,
                         "the clock jumped by more than %u seconds; check it and restart the server",
                         engine->config->clock_jump_seconds);
    }
    engine->clock_offset_ms = offset; /* slow corrections by NTP are fine */
    if (wall < ledger_last_time_ms(engine->ledger) - CLOCK_BEHIND_LEDGER_MS)
        return error_set(error, ERROR_UNAVAILABLE,
                         "the clock is behind the ledger's last record; set it right");
    return true;
}

bool engine_may_sign(struct engine *engine, struct error *error) {
    if (engine->is_stopped)
        return error_set(error, ERROR_UNAVAILABLE, "signing is stopped by an operator; try again later");
    if (engine->is_token_lost)
        return error_set(error, ERROR_UNAVAILABLE, "the token is lost");
    return is_clock_sane(engine, error);
}

/* --- records --- */

bool engine_append_void(struct engine *engine, const json_t *intent, uint64_t intent_sequence,
                        const char *reason, struct error *error) {
    static const char *const kept[] = {"serial",    "attempt", "order",   "account",
                                       "customer",  "names",   "zones",   "not_before",
                                       "not_after", "issuer",  "profile", "spki_sha256"};
    json_t *fields = json_object();
    for (size_t i = 0; fields != NULL && i < sizeof kept / sizeof kept[0]; i++)
        json_object_set(fields, kept[i], json_object_get(intent, kept[i]));
    json_object_set_new(fields, "intent_seq", json_integer((json_int_t)intent_sequence));
    json_object_set_new(fields, "reason", json_string(reason));
    bool is_written = fields != NULL && ledger_append(engine->ledger, "void", fields, NULL, error);
    json_decref(fields);
    return is_written;
}

bool engine_find_revoked(const struct engine *engine, const uint8_t *serial, struct revoked_serial *out) {
    char hex[SERIAL_HEX_MAX];
    hex_encode(serial, SERIAL_BYTES, hex);
    const json_t *found = json_object_get(engine->revoked, hex);
    if (found == NULL)
        return false;
    out->revoked_at = (time_t)json_integer_value(json_array_get(found, 0));
    out->sequence = (uint64_t)json_integer_value(json_array_get(found, 1));
    out->rank = (enum revocation_rank)json_integer_value(json_array_get(found, 2));
    return true;
}

static void remember_revoked(struct engine *engine, const char *serial, time_t revoked_at, uint64_t sequence,
                             enum revocation_rank rank) {
    const json_t *known = json_object_get(engine->revoked, serial);
    if (known == NULL || (json_int_t)rank > json_integer_value(json_array_get(known, 2)))
        json_object_set_new(
            engine->revoked, serial,
            json_pack("[I, I, I]", (json_int_t)revoked_at, (json_int_t)sequence, (json_int_t)rank));
}

bool engine_append_revoked(struct engine *engine, const uint8_t *serial, const char *issuer, uint32_t reason,
                           const char *by, struct revoked_serial *out, struct error *error) {
    char hex[SERIAL_HEX_MAX], when[TIME_TEXT_MAX];
    hex_encode(serial, SERIAL_BYTES, hex);
    if (out->revoked_at == 0) /* else: its reason becomes keyCompromise, its time stays */
        out->revoked_at = (time_t)(clock_wall_ms() / 1000);
    out->rank = revocation_rank(reason, by);
    time_format(out->revoked_at, when);
    json_t *fields = json_pack("{s:s, s:s, s:I, s:s, s:s}", "serial", hex, "issuer", issuer, "reason",
                               (json_int_t)reason, "revoked_at", when, "by", by);
    bool is_written = fields != NULL ? ledger_append(engine->ledger, "revoked", fields, &out->sequence, error)
                                     : error_set(error, ERROR_INTERNAL, "out of memory");
    json_decref(fields);
    if (is_written) {
        remember_revoked(engine, hex, out->revoked_at, out->sequence, out->rank);
        engine->status.revocations++;
        metric_add(engine->revocations_total, 1);
        log_event(LOG_LEVEL_INFO, "certificate revoked", "serial", hex, "by", by, NULL);
    }
    return is_written;
}

bool engine_set_signing(struct engine *engine, bool is_allowed, const char *by, struct error *error) {
    json_t *fields = json_pack("{s:b, s:s}", "allowed", is_allowed, "by", by);
    bool is_written = fields != NULL && ledger_append(engine->ledger, "signing", fields, NULL, error);
    json_decref(fields);
    if (is_written) {
        engine->is_stopped = !is_allowed;
        log_event(LOG_LEVEL_WARNING, is_allowed ? "signing is allowed again" : "signing is stopped", "by", by,
                  NULL);
    }
    return is_written;
}

bool engine_confirm_loss(struct engine *engine, uint64_t sequence, const char *by, struct error *error) {
    json_t *fields = json_pack("{s:I, s:s}", "redis_seq", (json_int_t)sequence, "by", by);
    ledger_skip_to(engine->ledger, sequence + 1);
    bool is_written = fields != NULL && ledger_append(engine->ledger, "loss-confirmed", fields, NULL, error);
    json_decref(fields);
    if (is_written)
        log_event(LOG_LEVEL_WARNING, "an operator accepted that ledger records are lost", "by", by, NULL);
    return is_written;
}

/* --- start --- */

static void read_issued(struct engine *engine, const char *id, const json_t *record) {
    struct attempt *attempt = attempts_find(engine->attempts, id);
    const char *serial = json_string_value(json_object_get(record, "serial"));
    const char *before = json_string_value(json_object_get(record, "not_before")),
               *after = json_string_value(json_object_get(record, "not_after"));
    if (attempt == NULL)
        attempt = attempts_add(engine->attempts, id);
    if (serial != NULL && before != NULL && after != NULL &&
        hex_decode(serial, attempt->serial, SERIAL_BYTES) && time_parse(before, &attempt->not_before) &&
        time_parse(after, &attempt->not_after)) {
        attempt->outcome = SIGNER_ATTEMPT_ISSUED;
        attempt->intent_sequence = (uint64_t)json_integer_value(json_object_get(record, "intent_seq"));
        attempt->issued_sequence = (uint64_t)json_integer_value(json_object_get(record, "seq"));
    }
}

static bool read_record(void *context, const json_t *record, struct error *error) {
    struct engine *engine = context;
    const char *type = json_string_value(json_object_get(record, "type"));
    const char *attempt = json_string_value(json_object_get(record, "attempt"));
    const char *serial = json_string_value(json_object_get(record, "serial"));
    const json_t *allowed = json_object_get(record, "allowed");
    if (strcmp(type, "intent") == 0 && attempt != NULL) {
        if (json_object_set_new(engine->open_intents, attempt, json_deep_copy(record)) != 0)
            return error_set(error, ERROR_INTERNAL, "out of memory");
    } else if (strcmp(type, "issued") == 0 && attempt != NULL) {
        json_object_del(engine->open_intents, attempt);
        read_issued(engine, attempt, record);
    } else if (strcmp(type, "void") == 0 && attempt != NULL) {
        json_object_del(engine->open_intents, attempt);
        struct attempt *known = attempts_find(engine->attempts, attempt);
        if (known == NULL)
            known = attempts_add(engine->attempts, attempt);
        known->outcome = SIGNER_ATTEMPT_VOID;
    } else if (strcmp(type, "revoked") == 0 && serial != NULL) {
        time_t when = 0;
        const char *text = json_string_value(json_object_get(record, "revoked_at"));
        const char *by = json_string_value(json_object_get(record, "by"));
        uint32_t reason = (uint32_t)json_integer_value(json_object_get(record, "reason"));
        if (text != NULL && time_parse(text, &when))
            remember_revoked(engine, serial, when,
                             (uint64_t)json_integer_value(json_object_get(record, "seq")),
                             revocation_rank(reason, by == NULL ? "" : by));
    } else if (json_is_boolean(allowed)) { /* "signing", and the header of a segment */
        engine->is_stopped = json_is_false(allowed);
    }
    return true;
}

/* An intent without an outcome: a signature may or may not have been made; nobody has it. Its serial is dead
 * for ever. */
static bool void_open_intents(struct engine *engine, struct error *error) {
    const char *id;
    json_t *intent;
    json_object_foreach(engine->open_intents, id, intent) {
        uint64_t sequence = (uint64_t)json_integer_value(json_object_get(intent, "seq"));
        log_event(LOG_LEVEL_WARNING, "voiding an intent that a crash left without an outcome", "attempt", id,
                  "order", json_string_value(json_object_get(intent, "order")), NULL);
        struct attempt *attempt = attempts_find(engine->attempts, id);
        if (attempt == NULL)
            attempt = attempts_add(engine->attempts, id);
        attempt->outcome = SIGNER_ATTEMPT_VOID;
        if (!engine_append_void(engine, intent, sequence, "the signer ended between intent and outcome",
                                error))
            return false;
        engine->status.voids++;
    }
    json_decref(engine->open_intents);
    engine->open_intents = NULL;
    return ledger_sync(engine->ledger, error);
}

static bool load_issuers(struct engine *engine, struct error *error) {
    const struct config *config = engine->config;
    engine->arena = arena_new(0);
    engine->issuer_count = config->issuer_count;
    engine->thread_count = config->signer_threads;
    engine->issuers = engine->arena == NULL
                          ? NULL
                          : arena_alloc(engine->arena, config->issuer_count * sizeof *engine->issuers);
    engine->keys = calloc(config->issuer_count * engine->thread_count, sizeof *engine->keys);
    if (engine->issuers == NULL || engine->keys == NULL)
        return error_set(error, ERROR_INTERNAL, "out of memory");
    for (size_t i = 0; i < config->issuer_count; i++)
        if (!issuer_load(engine->arena, &config->issuers[i], &engine->issuers[i], error))
            return false;
    for (unsigned thread = 0; thread < engine->thread_count; thread++)
        for (size_t i = 0; i < config->issuer_count; i++)
            if (!token_load_key(config->issuers[i].key_uri, &engine->keys[thread * config->issuer_count + i],
                                error))
                return false;
    return true;
}

/* A key that does not fit its certificate would sign what nobody can verify: found at start, not by a
 * customer. */
static bool try_keys(struct engine *engine, struct error *error) {
    static const unsigned char text[] = "originca";
    const gnutls_datum_t data = {(unsigned char *)(uintptr_t)text, sizeof text};
    for (size_t i = 0; i < engine->issuer_count; i++) {
        const struct issuer *issuer = &engine->issuers[i];
        gnutls_datum_t signature = {0};
        int outcome = gnutls_privkey_sign_data2(engine->keys[i], issuer->algorithm, 0, &data, &signature);
        if (outcome >= 0)
            outcome = gnutls_pubkey_verify_data2(issuer->public_key, issuer->algorithm, 0, &data, &signature);
        gnutls_free(signature.data);
        if (outcome < 0)
            return error_set(error, ERROR_UNAVAILABLE, "the key of issuer \"%s\" does not sign for %s: %s",
                             issuer->config->name, issuer->config->certificate_file,
                             gnutls_strerror(outcome));
    }
    return true;
}

static bool load_rules(const struct config *config, struct error *error) {
    return names_load_suffixes(config->public_suffix_file, error) &&
           (names_allow_special((const char *const *)config->allowed_special_names.items,
                                config->allowed_special_names.count) ||
            error_set(error, ERROR_INTERNAL, "out of memory")) &&
           keys_load_blocklist(config->key_blocklist_file, error);
}

struct engine *engine_new(const struct config *config, struct metrics *metrics, struct error *error) {
    struct engine *engine = calloc(1, sizeof *engine);
    error_set(error, ERROR_INTERNAL, "out of memory");
    if (engine == NULL)
        return NULL;
    engine->config = config;
    engine->clock_offset_ms = clock_wall_ms() - clock_monotonic_ms();
    engine->attempts = attempts_new(ATTEMPTS_REMEMBERED);
    engine->open_intents = json_object();
    engine->revoked = json_object();
    engine->signatures_total = metrics_counter(metrics, "originca_signatures_total", "Certificates signed");
    engine->revocations_total =
        metrics_counter(metrics, "originca_revocations_total", "Revocations recorded");
    engine->open_gauge = metrics_gauge(metrics, "originca_intents_without_outcome",
                                       "Intents that have no outcome: alarm when it stays");
    bool is_up = engine->attempts != NULL && engine->open_intents != NULL && engine->revoked != NULL &&
                 load_rules(config, error) && token_open(config, error) && load_issuers(engine, error) &&
                 try_keys(engine, error) &&
                 (engine->ledger =
                      ledger_open(config->ledger_directory, config->host_name, config->ledger_segment_bytes,
                                  false, read_record, engine, error)) != NULL &&
                 void_open_intents(engine, error);
    if (is_up)
        return engine;
    engine_free(engine);
    return NULL;
}

void engine_free(struct engine *engine) {
    if (engine == NULL)
        return;
    for (size_t i = 0; engine->keys != NULL && i < engine->issuer_count * engine->thread_count; i++)
        if (engine->keys[i] != NULL)
            gnutls_privkey_deinit(engine->keys[i]);
    free(engine->keys);
    ledger_close(engine->ledger);
    attempts_free(engine->attempts);
    json_decref(engine->open_intents);
    json_decref(engine->revoked);
    arena_free(engine->arena);
    token_close();
    free(engine);
}

bool engine_end_batch(struct engine *engine) {
    struct error error;
    metric_set(engine->open_gauge, (int64_t)engine->status.intents_without_outcome);
    if (engine->is_token_lost)
        return false;
    json_t *state = json_pack("{s:b}", "allowed", !engine->is_stopped);
    bool is_good = state != NULL && ledger_rotate_if_full(engine->ledger, state, &error);
    json_decref(state);
    if (!is_good)
        log_event(LOG_LEVEL_ERROR, "the ledger cannot begin a new segment", "reason", error.message, NULL);
    return is_good;
}
