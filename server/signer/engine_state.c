/* When the engine may write and sign, the records it writes beside certificates, its start and end. */
#include "engine_state.h"

#include <stdlib.h>
#include <string.h>

#include "originca/json.h"
#include "originca/keys.h"
#include "originca/log.h"
#include "originca/names.h"

#define CLOCK_BEHIND_LEDGER_MS 60000
#define SEQUENCE_MAX ((uint64_t)1 << 52) /* Redis's scripts count in doubles */
/* A ledger that lost its end lost less than this; whoever writes a number into Redis must not bring the
 * ledger near its last one. */
#define LOSS_MAX ((uint64_t)1 << 40)
#define LOSS_MARGIN 4096 /* records that Redis may have applied since the comparison */

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

static unsigned percent_read(const struct engine_reader *reader) {
    uint64_t read = atomic_load(&reader->bytes_read), total = atomic_load(&reader->bytes_total);
    return total == 0 ? 0 : (unsigned)(read * 100 / total);
}

bool engine_may_write(const struct engine *engine, struct error *error) {
    if (engine->phase == ENGINE_READING)
        return error_set(error, ERROR_UNAVAILABLE, "the signer reads its ledger: %u %% of it is read",
                         percent_read(&engine->reader));
    if (engine->phase == ENGINE_WAITING)
        return error_set(
            error, ERROR_UNAVAILABLE,
            "the signer waits to hear which ledger records Redis has applied: it writes nothing before");
    return true;
}

bool engine_may_vouch(struct engine *engine, struct error *error) {
    if (!engine_may_write(engine, error))
        return false;
    if (*engine->ledger_fault != '\0')
        return error_set(error, ERROR_UNAVAILABLE, "the ledger is damaged: %.200s", engine->ledger_fault);
    if (*engine->issuer_fault != '\0')
        return error_set(error, ERROR_UNAVAILABLE, "%s", engine->issuer_fault);
    if (engine->is_token_lost || !engine->is_token_usable)
        return error_set(error, ERROR_UNAVAILABLE, "the token cannot be used");
    return is_clock_sane(engine, error);
}

bool engine_may_sign(struct engine *engine, struct error *error) {
    /* This is why it waits on, and what somebody must mend. */
    if (engine->phase == ENGINE_WAITING && !engine_has_room(engine, error))
        return false;
    if (!engine_may_write(engine, error))
        return false;
    if (*engine->ledger_fault != '\0')
        return error_set(error, ERROR_UNAVAILABLE, "the ledger is damaged: %.200s", engine->ledger_fault);
    if (*engine->issuer_fault != '\0')
        return error_set(error, ERROR_UNAVAILABLE, "%s", engine->issuer_fault);
    if (engine->is_stopped)
        return error_set(error, ERROR_UNAVAILABLE, "signing is stopped by an operator; try again later");
    if (engine->is_token_lost)
        return error_set(error, ERROR_UNAVAILABLE, "the token is lost");
    if (!engine->is_token_usable)
        return error_set(error, ERROR_UNAVAILABLE, "%s", engine->token.reason);
    return engine_has_room_to_sign(engine, error) && is_clock_sane(engine, error);
}

/* --- records --- */

static const char *text_of(const json_t *fields, const char *name) {
    const char *text = json_string_value(json_object_get(fields, name));
    return text == NULL ? "" : text;
}

bool engine_put_revoked(struct engine *engine, const uint8_t serial[SERIAL_BYTES],
                        const struct revoked_serial *entry, time_t noted_at, struct error *error) {
    crl_lists_note_revoked(engine->lists, entry->list, noted_at);
    return revoked_put(engine->revoked, serial, entry) || error_set(error, ERROR_INTERNAL, "out of memory");
}

/* As engine_read.c reads it back. */
static bool note_void(struct engine *engine, const json_t *fields, uint64_t sequence, struct error *error) {
    uint8_t serial[SERIAL_BYTES];
    struct revoked_serial entry = {
        .sequence = sequence, .is_void = true, .revoked_at = (time_t)(clock_wall_ms() / 1000)};
    if (!hex_decode(text_of(fields, "serial"), serial, sizeof serial))
        return true;
    if (!time_parse(text_of(fields, "not_after"), &entry.not_after))
        entry.not_after = 0;
    entry.list = crl_lists_add(engine->lists, text_of(fields, "issuer"), text_of(fields, "crl"));
    return engine_put_revoked(engine, serial, &entry, entry.revoked_at, error);
}

bool engine_append_void(struct engine *engine, const json_t *intent, uint64_t intent_sequence,
                        const char *reason, struct error *error) {
    static const char *const kept[] = {"serial",  "attempt",     "order",      "account",   "customer",
                                       "names",   "zones",       "not_before", "not_after", "issuer",
                                       "profile", "spki_sha256", "crl"};
    json_t *fields = json_object();
    for (size_t i = 0; fields != NULL && i < sizeof kept / sizeof kept[0]; i++)
        json_object_set(fields, kept[i], json_object_get(intent, kept[i]));
    json_object_set_new(fields, "intent_seq", json_integer((json_int_t)intent_sequence));
    json_object_set_new(fields, "reason", json_string(reason));
    uint64_t sequence = 0;
    bool is_written = fields != NULL &&
                      ledger_append(engine->ledger, "void", fields, &sequence, NULL, error) &&
                      note_void(engine, fields, sequence, error);
    json_decref(fields);
    return is_written;
}

static json_t *describe_revoked(const struct signer_revocation *asked, const char *serial,
                                time_t revoked_at) {
    char when[TIME_TEXT_MAX], end[TIME_TEXT_MAX];
    time_format(revoked_at, when);
    json_t *fields = json_pack("{s:s, s:s, s:I, s:s, s:s}", "serial", serial, "issuer", asked->issuer,
                               "reason", (json_int_t)asked->reason, "revoked_at", when, "by", asked->by);
    if (asked->not_after != 0) {
        time_format(asked->not_after, end);
        json_object_set_new(fields, "not_after", json_string(end));
    }
    if (*asked->crl_url != '\0')
        json_object_set_new(fields, "crl", json_string(asked->crl_url));
    return fields;
}

bool engine_append_revoked(struct engine *engine, const struct signer_revocation *asked,
                           struct revoked_serial *out, uint8_t hash[LEDGER_HASH_BYTES], struct error *error) {
    char hex[SERIAL_HEX_MAX];
    if (!engine_has_room(engine, error))
        return false;
    hex_encode(asked->serial, SERIAL_BYTES, hex);
    if (out->revoked_at == 0) /* else: its reason becomes keyCompromise, its time stays */
        out->revoked_at = (time_t)(clock_wall_ms() / 1000);
    out->rank = revocation_rank(asked->reason, asked->by);
    out->reason = asked->reason;
    if (out->not_after == 0)
        out->not_after = asked->not_after;
    if (out->list == 0)
        out->list = crl_lists_add(engine->lists, asked->issuer, asked->crl_url);
    json_t *fields = describe_revoked(asked, hex, out->revoked_at);
    bool is_written = fields != NULL
                          ? ledger_append(engine->ledger, "revoked", fields, &out->sequence, hash, error)
                          : error_set(error, ERROR_INTERNAL, "out of memory");
    json_decref(fields);
    if (!is_written)
        return false;
    if (!engine_put_revoked(engine, asked->serial, out, (time_t)(clock_wall_ms() / 1000), error))
        return false;
    engine->status.revocations++;
    metric_add(engine->revocations_total, 1);
    log_event(LOG_LEVEL_INFO, "certificate revoked", "serial", hex, "by", asked->by, NULL);
    return true;
}

bool engine_set_signing(struct engine *engine, bool is_allowed, const char *by, struct error *error) {
    if (!engine_has_room(engine, error))
        return false;
    json_t *fields = json_pack("{s:b, s:s}", "allowed", is_allowed, "by", by);
    bool is_written = fields != NULL && ledger_append(engine->ledger, "signing", fields, NULL, NULL, error);
    json_decref(fields);
    if (is_written) {
        engine->is_stopped = !is_allowed;
        log_event(LOG_LEVEL_WARNING, is_allowed ? "signing is allowed again" : "signing is stopped", "by", by,
                  NULL);
    }
    return is_written;
}

/* --- Redis's position --- */

/* An intent without an outcome: a signature may or may not have been made; nobody has it. Its serial is dead
 * for ever. */
static bool void_intent(struct engine *engine, const char *id, uint64_t sequence, struct error *error) {
    struct arena *arena = arena_new(2 * SIGNER_FRAME_MAX);
    const char *text =
        arena == NULL ? NULL : ledger_read(engine->ledger, arena, sequence, 1, LEDGER_LINE_MAX, error);
    json_t *records = text == NULL ? NULL : json_parse(arena, text, strlen(text), error);
    const json_t *intent = json_array_get(records, 0);
    bool is_voided = false;
    if (intent != NULL) {
        log_event(LOG_LEVEL_WARNING, "voiding an intent that a crash left without an outcome", "attempt", id,
                  "order", json_string_value(json_object_get(intent, "order")), NULL);
        is_voided = engine_append_void(engine, intent, sequence,
                                       "the signer ended between intent and outcome", error);
    } else {
        error_set(error, ERROR_INTERNAL, "the ledger does not give back record %llu",
                  (unsigned long long)sequence);
    }
    arena_free(arena);
    struct attempt *attempt = attempts_find(engine->attempts, id);
    if (attempt == NULL)
        attempt = attempts_add(engine->attempts, id);
    attempt->outcome = SIGNER_ATTEMPT_VOID;
    engine->status.voids += is_voided;
    return is_voided;
}

static bool begin_writing(struct engine *engine, struct error *error) {
    const char *id;
    json_t *sequence;
    if (!engine_has_room(engine, error))
        return false;
    json_object_foreach(engine->open_intents, id, sequence) {
        if (!void_intent(engine, id, (uint64_t)json_integer_value(sequence), error))
            return false;
    }
    json_object_clear(engine->open_intents);
    engine->status.intents_without_outcome = 0;
    engine->phase = ENGINE_RUNNING;
    log_event(LOG_LEVEL_INFO, "the signer is ready", "ledger", engine->config->ledger_directory, NULL);
    return ledger_sync(engine->ledger, error);
}

/* Redis has applied record `sequence` with this hash: so it is in the ledger, and by the chain all before it.
 */
static bool holds_record(struct engine *engine, uint64_t sequence, const char *expected,
                         struct error *error) {
    uint8_t hash[LEDGER_HASH_BYTES];
    char found[2 * LEDGER_HASH_BYTES + 1];
    if (*expected == '\0' || sequence == 0)
        return true;
    if (!ledger_find_hash(engine->ledger, sequence, hash))
        return error_set(
            error, ERROR_CONFLICT,
            "Redis has applied ledger record %llu but the ledger has none of that number: records are "
            "lost",
            (unsigned long long)sequence);
    hex_encode(hash, sizeof hash, found);
    return strcmp(found, expected) == 0 || error_set(error, ERROR_CONFLICT,
                                                     "Redis has applied another ledger record %llu than the "
                                                     "ledger holds: records are lost and others "
                                                     "stand in their place",
                                                     (unsigned long long)sequence);
}

/* Whoever tells a wrong position is told so, and that is all: it cannot stop the signer for the others. A
 * worker's position is compared for the worker; whether Redis and ledger belong together is not its word. */
bool engine_check_position(struct engine *engine, const struct signer_position *position,
                           enum signer_link link, bool *are_issuers_recorded, struct error *error) {
    uint64_t last = ledger_last_sequence(engine->ledger);
    bool is_operator = link == SIGNER_LINK_OPERATOR;
    *are_issuers_recorded = false;
    if (is_operator)
        engine->told_highest = position->highest;
    if (*position->ledger_id != '\0') {
        if (strcmp(position->ledger_id, ledger_id(engine->ledger)) != 0)
            return error_set(error, ERROR_CONFLICT,
                             "Redis knows another ledger of this host: the ledger was replaced");
        if (position->highest > last)
            return error_set(
                error, ERROR_CONFLICT,
                "Redis has applied ledger record %llu but the ledger ends at %llu: records are lost",
                (unsigned long long)position->highest, (unsigned long long)last);
        if (!holds_record(engine, position->highest, position->highest_hash, error) ||
            !holds_record(engine, position->applied, position->applied_hash, error))
            return false;
    }
    if (!is_operator)
        return true;
    if (!engine_may_serve_issuers(engine, &position->issuers, error) ||
        (engine->phase != ENGINE_RUNNING && !begin_writing(engine, error)))
        return false;
    *are_issuers_recorded = engine_has_issuers(engine, &position->issuers);
    return !*are_issuers_recorded || engine_bind_issuers(engine, error);
}

static bool is_a_loss(const struct engine *engine, uint64_t sequence, struct error *error) {
    uint64_t last = ledger_last_sequence(engine->ledger), known = engine->told_highest;
    if (known < last)
        known = last;
    if (sequence >= SEQUENCE_MAX || sequence > last + LOSS_MAX)
        return error_set(error, ERROR_INVALID, "no ledger that lost its end had a record of that number");
    return sequence <= known + LOSS_MARGIN ||
           error_set(error, ERROR_INVALID,
                     "nobody has seen ledger record %llu: the ledger ends at %llu, Redis has applied %llu",
                     (unsigned long long)sequence, (unsigned long long)last,
                     (unsigned long long)engine->told_highest);
}

bool engine_confirm_loss(struct engine *engine, uint64_t sequence, const char *by, struct error *error) {
    if (!is_a_loss(engine, sequence, error))
        return false;
    json_t *fields = json_pack("{s:I, s:s}", "redis_seq", (json_int_t)sequence, "by", by);
    ledger_skip_to(engine->ledger, sequence + 1);
    bool is_written =
        fields != NULL && ledger_append(engine->ledger, "loss-confirmed", fields, NULL, NULL, error);
    json_decref(fields);
    if (!is_written)
        return false;
    log_event(LOG_LEVEL_WARNING, "an operator accepted that ledger records are lost", "by", by, NULL);
    return engine->phase == ENGINE_RUNNING || begin_writing(engine, error);
}

/* --- start and end --- */

bool engine_load_rules(const struct config *config, struct error *error) {
    return names_load_suffixes(config->public_suffix_file, error) &&
           (names_allow_special((const char *const *)config->allowed_special_names.items,
                                config->allowed_special_names.count) ||
            error_set(error, ERROR_INTERNAL, "out of memory")) &&
           keys_load_blocklist(config->key_blocklist_file, error);
}

bool engine_has_issuers_in_force(const struct engine *engine, struct error *error) {
    const time_t now = time(NULL);
    char when[TIME_TEXT_MAX], which[128] = "no issuing certificate is in force";
    const struct issuer *lacking = NULL;
    size_t in_force = 0;
    for (size_t i = 0; i < engine->issuer_count; i++) {
        const struct issuer *issuer = &engine->issuers[i];
        if (!config_issues_with(engine->config, issuer->config->name))
            continue;
        if (issuer->not_before <= now && now < issuer->not_after)
            in_force++;
        else
            lacking = issuer;
    }
    if (lacking == NULL)
        return in_force > 0 || error_set(error, ERROR_UNAVAILABLE, "no issuer is there to issue with");
    if (in_force > 0)
        snprintf(which, sizeof which, "nothing can be signed by the issuer %.60s", lacking->config->name);
    bool has_ended = lacking->not_after <= now;
    time_format(has_ended ? lacking->not_after : lacking->not_before, when);
    return error_set(error, ERROR_UNAVAILABLE, "%s: the certificate in %s %s %s", which,
                     lacking->config->certificate_file, has_ended ? "ended" : "begins only", when);
}

static void show_issuer_ends(const struct engine *engine, struct metrics *metrics) {
    char name[METRIC_NAME_MAX];
    for (size_t i = 0; i < engine->issuer_count; i++) {
        snprintf(name, sizeof name, "originca_issuer_not_after_seconds{issuer=\"%s\"}",
                 engine->issuers[i].config->name);
        metric_set(metrics_gauge(metrics, name, "When the issuing certificate ends"),
                   (int64_t)engine->issuers[i].not_after);
    }
}

static void tell_issuer_end(struct engine *engine) {
    struct error error;
    bool is_lacking = !engine_has_issuers_in_force(engine, &error);
    if (is_lacking && !engine->is_issuer_end_told)
        log_event(LOG_LEVEL_ERROR, "an issuer cannot sign", "reason", error.message, NULL);
    engine->is_issuer_end_told = is_lacking;
}

struct engine *engine_new(const struct config *config, struct metrics *metrics, struct error *error) {
    struct engine *engine = calloc(1, sizeof *engine);
    error_set(error, ERROR_INTERNAL, "out of memory");
    if (engine == NULL)
        return NULL;
    engine->config = config;
    engine->clock_offset_ms = clock_wall_ms() - clock_monotonic_ms();
    engine->signatures_total = metrics_counter(metrics, "originca_signatures_total", "Certificates signed");
    engine->revocations_total =
        metrics_counter(metrics, "originca_revocations_total", "Revocations recorded");
    engine->open_gauge = metrics_gauge(metrics, "originca_intents_without_outcome",
                                       "Intents that have no outcome: alarm when it stays");
    engine->token_gauge =
        metrics_gauge(metrics, "originca_token_usable", "1 while the signer can use its token");
    engine->login_total = metrics_counter(metrics, "originca_token_logins_total",
                                          "Times that the signer tried to log in to its token");
    engine->crl_signatures_total =
        metrics_counter(metrics, "originca_signer_crl_signatures_total", "Revocation lists signed");
    engine->crl_missing_total =
        metrics_counter(metrics, "originca_signer_crl_missing_total",
                        "Revocation lists refused because a revocation of the signer's own ledger was "
                        "missing: alarm");
    engine->ocsp_signatures_total =
        metrics_counter(metrics, "originca_signer_ocsp_signatures_total", "OCSP responses signed");
    engine->ocsp_refused_total =
        metrics_counter(metrics, "originca_signer_ocsp_refused_total",
                        "OCSP responses that the signer's own rules or ledger refused");
    access_begin(&engine->access, config, metrics);
    snprintf(engine->token.reason, sizeof engine->token.reason, "the token is not opened yet");
    if (engine_load_rules(config, error) && engine_load_issuers(engine, error) &&
        engine_start_reading(engine, error)) {
        show_issuer_ends(engine, metrics);
        return engine;
    }
    engine_free(engine);
    return NULL;
}

void engine_free(struct engine *engine) {
    if (engine == NULL)
        return;
    engine_stop_reading(engine);
    day_room_end(&engine->access.day);
    engine_free_token(engine);
    arena_free(engine->arena);
    free(engine);
}

bool engine_must_hold(const struct engine *engine, uint8_t type) {
    bool waits_long = clock_monotonic_ms() - engine->waiting_since_ms >=
                      (int64_t)engine->config->position_wait_seconds * 1000;
    if (type == MESSAGE_STATUS || engine->phase == ENGINE_RUNNING)
        return false;
    if (engine->phase == ENGINE_READING)
        return true;
    return !waits_long && (type == MESSAGE_SIGN || type == MESSAGE_REVOKE || type == MESSAGE_ATTEMPT ||
                           type == MESSAGE_SET_SIGNING || type == MESSAGE_CHANGE_RIGHTS);
}

bool engine_tick(struct engine *engine) {
    if (!engine_watch_readers(engine) || !engine_watch_issuers(engine))
        return false;
    engine_try_token(engine);
    tell_issuer_end(engine);
    engine_save_if_due(engine);
    day_room_tick(&engine->access.day, engine->config->signer_worker_revocations_per_day);
    return true;
}

uint32_t engine_tick_ms(const struct engine *engine) {
    return engine->phase == ENGINE_READING ? 5 : 100;
}

static bool begin_next_segment(struct engine *engine, struct error *error) {
    json_t *issuers = issuer_names_describe(engine->names);
    json_t *state =
        issuers == NULL ? NULL : json_pack("{s:b, s:o}", "allowed", !engine->is_stopped, "issuers", issuers);
    bool is_begun = state != NULL ? ledger_rotate_if_full(engine->ledger, state, error)
                                  : error_set(error, ERROR_INTERNAL, "out of memory");
    json_decref(state);
    return is_begun;
}

bool engine_end_batch(struct engine *engine) {
    struct error error;
    metric_set(engine->open_gauge, (int64_t)engine->status.intents_without_outcome);
    if (engine->is_token_lost)
        return false;
    if (engine->phase != ENGINE_RUNNING)
        return true;
    bool is_good = !ledger_is_full(engine->ledger) || begin_next_segment(engine, &error);
    if (!is_good)
        log_event(LOG_LEVEL_ERROR, "the ledger cannot begin a new segment", "reason", error.message, NULL);
    engine_save_if_due(engine);
    return is_good;
}
