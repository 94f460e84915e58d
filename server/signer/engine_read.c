/* What the signer knows of its ledger: from the checkpoint and what follows it, or from all of it, read by a
 * thread at start; then the whole chain once more behind its back; and the checkpoints it leaves. */
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine_state.h"
#include "originca/log.h"
#include "state_file.h"

#define ATTEMPTS_REMEMBERED 50000

/* --- one record --- */

static struct attempt *get_attempt(struct engine *engine, const char *name) {
    struct attempt *known = attempts_find(engine->attempts, name);
    return known != NULL ? known : attempts_add(engine->attempts, name);
}

static bool read_issued(struct engine *engine, const char *name, const struct ledger_record *record,
                        struct error *error) {
    struct attempt *attempt = get_attempt(engine, name);
    char serial[SERIAL_HEX_MAX], before[TIME_TEXT_MAX], after[TIME_TEXT_MAX], issuer[ISSUER_NAME_MAX + 1];
    if (ledger_record_text(record, "serial", serial, sizeof serial) &&
        ledger_record_text(record, "not_before", before, sizeof before) &&
        ledger_record_text(record, "not_after", after, sizeof after) &&
        ledger_record_number(record, "intent_seq", &attempt->intent_sequence) &&
        hex_decode(serial, attempt->serial, SERIAL_BYTES) && time_parse(before, &attempt->not_before) &&
        time_parse(after, &attempt->not_after)) {
        attempt->outcome = SIGNER_ATTEMPT_ISSUED;
        attempt->issued_sequence = record->sequence;
    }
    return !ledger_record_text(record, "issuer", issuer, sizeof issuer) ||
           issuer_names_note_issued(engine->names, issuer, record->sequence) ||
           error_set(error, ERROR_INTERNAL, "out of memory");
}

static uint32_t add_list(struct engine *engine, const struct ledger_record *record) {
    char issuer[65], url[CRL_URL_MAX + 1];
    if (!ledger_record_text(record, "issuer", issuer, sizeof issuer))
        return 0;
    if (!ledger_record_text(record, "crl", url, sizeof url))
        *url = '\0';
    return crl_lists_add(engine->lists, issuer, url);
}

/* What the record says of the certificate's end and list. */
static void read_list(struct engine *engine, const struct ledger_record *record,
                      struct revoked_serial *entry) {
    char end[TIME_TEXT_MAX];
    if (!ledger_record_text(record, "not_after", end, sizeof end) || !time_parse(end, &entry->not_after))
        entry->not_after = 0;
    entry->list = add_list(engine, record);
}

static bool read_void(struct engine *engine, const struct ledger_record *record, struct error *error) {
    char serial[SERIAL_HEX_MAX];
    uint8_t bytes[SERIAL_BYTES];
    struct revoked_serial entry = {
        .sequence = record->sequence, .is_void = true, .revoked_at = (time_t)(record->time_ms / 1000)};
    if (!ledger_record_text(record, "serial", serial, sizeof serial) ||
        !hex_decode(serial, bytes, SERIAL_BYTES))
        return true; /* of an intent without serial there is nothing to keep from being used */
    read_list(engine, record, &entry);
    return engine_put_revoked(engine, bytes, &entry, (time_t)(record->time_ms / 1000), error);
}

static void read_crl(struct engine *engine, const struct ledger_record *record) {
    char issuer[65], url[CRL_URL_MAX + 1];
    uint64_t number = 0;
    if (!ledger_record_text(record, "issuer", issuer, sizeof issuer) ||
        !ledger_record_text(record, "url", url, sizeof url) ||
        !ledger_record_number(record, "number", &number))
        return;
    uint32_t list = crl_lists_add(engine->lists, issuer, url);
    crl_lists_note_number(engine->lists, list, number);
    if (ledger_record_flag(record, "bounded") > 0)
        crl_lists_note_bounded(engine->lists, list);
}

static bool read_revoked(struct engine *engine, const struct ledger_record *record, struct error *error) {
    char serial[SERIAL_HEX_MAX], when[TIME_TEXT_MAX], by[SIGNER_BY_MAX + 1];
    uint8_t bytes[SERIAL_BYTES];
    uint64_t reason = 0;
    struct revoked_serial entry = {.sequence = record->sequence};
    if (!ledger_record_text(record, "serial", serial, sizeof serial) ||
        !hex_decode(serial, bytes, SERIAL_BYTES) ||
        !ledger_record_text(record, "revoked_at", when, sizeof when) ||
        !time_parse(when, &entry.revoked_at) || !ledger_record_number(record, "reason", &reason))
        return error_set(error, ERROR_INVALID, "a revocation without serial, time or reason");
    if (!ledger_record_text(record, "by", by, sizeof by))
        *by = '\0'; /* nobody's word: proof of nothing */
    entry.rank = revocation_rank((uint32_t)reason, by);
    entry.reason = (uint32_t)reason;
    read_list(engine, record, &entry);
    return engine_put_revoked(engine, bytes, &entry, (time_t)(record->time_ms / 1000), error);
}

static bool read_record(void *context, const struct ledger_record *record, struct error *error) {
    struct engine *engine = context;
    char attempt[160];
    bool has_attempt = ledger_record_text(record, "attempt", attempt, sizeof attempt);
    if (strcmp(record->type, "intent") == 0 && has_attempt) {
        if (json_object_set_new(engine->open_intents, attempt, json_integer((json_int_t)record->sequence)) !=
            0)
            return error_set(error, ERROR_INTERNAL, "out of memory");
        (void)add_list(engine, record); /* also of a former template: a worker may name it */
    } else if (strcmp(record->type, "issued") == 0 && has_attempt) {
        json_object_del(engine->open_intents, attempt);
        return read_issued(engine, attempt, record, error);
    } else if (strcmp(record->type, "void") == 0 && has_attempt) {
        json_object_del(engine->open_intents, attempt);
        get_attempt(engine, attempt)->outcome = SIGNER_ATTEMPT_VOID;
        return read_void(engine, record, error);
    } else if (strcmp(record->type, "revoked") == 0) {
        return read_revoked(engine, record, error);
    } else if (strcmp(record->type, "crl") == 0) {
        read_crl(engine, record);
    } else {
        int allowed = ledger_record_flag(record, "allowed"); /* "signing", and the header of a segment */
        if (allowed >= 0)
            engine->is_stopped = allowed == 0;
        return issuer_names_read(engine->names, record, error) && engine_read_right(engine, record, error);
    }
    return true;
}

/* --- opening --- */

static bool make_memories(struct engine *engine) {
    attempts_free(engine->attempts);
    revoked_free(engine->revoked);
    zones_free(engine->zones);
    crl_lists_free(engine->lists);
    issuer_names_free(engine->names);
    json_decref(engine->open_intents);
    engine->names = issuer_names_new();
    engine->lists = crl_lists_new(engine->config->crl_max_lists);
    engine->zones = zones_new();
    engine->attempts = attempts_new(ATTEMPTS_REMEMBERED);
    engine->revoked = revoked_new();
    engine->open_intents = json_object();
    engine->is_stopped = false;
    return engine->attempts != NULL && engine->revoked != NULL && engine->zones != NULL &&
           engine->lists != NULL && engine->names != NULL && engine->open_intents != NULL;
}

static bool open_ledger(struct engine *engine, const struct ledger_position *from, struct error *error) {
    const struct config *config = engine->config;
    const struct ledger_options options = {.directory = config->ledger_directory,
                                           .host = config->host_name,
                                           .segment_bytes = config->ledger_segment_bytes,
                                           .from = from,
                                           .is_whole = true,
                                           .visit = read_record,
                                           .context = engine,
                                           .bytes_read = &engine->reader.bytes_read,
                                           .bytes_total = &engine->reader.bytes_total,
                                           .is_cancelled = &engine->reader.is_cancelled};
    atomic_store(&engine->reader.bytes_read, 0);
    atomic_store(&engine->reader.bytes_total, 0);
    engine->ledger = ledger_open(&options, error);
    return engine->ledger != NULL;
}

static struct checkpoint_memories get_memories(const struct engine *engine) {
    return (struct checkpoint_memories){.attempts = engine->attempts,
                                        .revoked = engine->revoked,
                                        .zones = engine->zones,
                                        .lists = engine->lists,
                                        .names = engine->names};
}

static bool open_from_checkpoint(struct engine *engine, struct error *error) {
    const char *directory = engine->config->ledger_directory;
    const struct checkpoint_memories memories = get_memories(engine);
    struct checkpoint checkpoint;
    size_t length = 0;
    uint8_t *bytes = checkpoint_read(directory, engine->key, &length, error);
    bool is_open = bytes != NULL && checkpoint_parse(bytes, length, &checkpoint, error) &&
                   checkpoint_apply(&checkpoint, &memories, error);
    if (is_open) {
        engine->is_stopped = checkpoint.is_stopped;
        engine->verified_to = checkpoint.position;
        is_open = open_ledger(engine, &checkpoint.position, error);
    }
    free(bytes);
    return is_open;
}

static void *read_ledger(void *context) {
    struct engine *engine = context;
    struct engine_reader *reader = &engine->reader;
    const char *directory = engine->config->ledger_directory;
    struct error why = {.code = ERROR_NONE};
    engine->has_key = checkpoint_load_key(directory, engine->key, &why);
    if (engine->has_key && open_from_checkpoint(engine, &why)) {
        reader->is_good = true;
    } else if (make_memories(engine)) { /* emptied of what a bad checkpoint left */
        if (engine->has_key && why.code != ERROR_NOT_FOUND)
            log_event(LOG_LEVEL_WARNING, "the checkpoint cannot be used: reading the whole ledger", "reason",
                      why.message, NULL);
        engine->was_read_whole = true;
        reader->is_good = open_ledger(engine, NULL, &reader->error);
    } else {
        error_set(&reader->error, ERROR_INTERNAL, "out of memory");
    }
    if (reader->is_good && !engine->has_key)
        engine->has_key = checkpoint_make_key(directory, engine->key, &why);
    atomic_store(&reader->is_done, true);
    return NULL;
}

static bool start_thread(pthread_t *thread, void *(*run)(void *), void *context) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are the main thread's */
    bool is_started = pthread_create(thread, NULL, run, context) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return is_started;
}

bool engine_start_reading(struct engine *engine, struct error *error) {
    engine->phase = ENGINE_READING;
    engine->reader.is_started =
        make_memories(engine) && start_thread(&engine->reader.thread, read_ledger, engine);
    return engine->reader.is_started || error_set(error, ERROR_INTERNAL, "out of memory");
}

/* --- the whole chain, behind the start's back --- */

static void *verify_ledger(void *context) {
    struct engine *engine = context;
    struct engine_reader *verifier = &engine->verifier;
    const struct sched_param lowest = {0};
    char **segments = NULL;
    struct ledger_walk walk;
    (void)!sched_setscheduler(0, SCHED_IDLE, &lowest);
    int listed = ledger_list_segments(engine->config->ledger_directory, &segments, &verifier->error),
        count = 0;
    while (count < listed && ledger_sequence_of_path(segments[count]) <= engine->verified_to.segment)
        count++;
    const struct ledger_scan scan = {.segments = segments,
                                     .count = count,
                                     .until = &engine->verified_to,
                                     .bytes_read = &verifier->bytes_read,
                                     .is_cancelled = &verifier->is_cancelled};
    verifier->is_good = listed >= 0 && ledger_scan(&scan, &walk, &verifier->error);
    ledger_free_segments(segments, listed > 0 ? listed : 0);
    atomic_store(&verifier->is_done, true);
    return NULL;
}

static bool start_verifier(struct engine *engine) {
    atomic_store(&engine->verifier.is_done, false);
    atomic_store(&engine->verifier.bytes_read, 0);
    return start_thread(&engine->verifier.thread, verify_ledger, engine);
}

/* A ledger that was taken away, or put in the place of another, while it was read says nothing of its chain:
 * the signer ends as at a write, and the next one begins with what is there. One that is back is read once
 * more. */
static bool take_fault(struct engine *engine) {
    struct engine_reader *verifier = &engine->verifier;
    struct error error;
    if (!ledger_is_in_place(engine->ledger, &error)) {
        log_event(LOG_LEVEL_ERROR, "the ledger cannot be verified", "reason", error.message, NULL);
        return false;
    }
    if (verifier->error.code == ERROR_UNAVAILABLE && !engine->is_verified_again) {
        log_event(LOG_LEVEL_WARNING, "the ledger could not be read: it is verified once more", "reason",
                  verifier->error.message, NULL);
        engine->is_verified_again = true;
        verifier->is_started = start_verifier(engine);
        return verifier->is_started;
    }
    snprintf(engine->ledger_fault, sizeof engine->ledger_fault, "%s", verifier->error.message);
    log_event(LOG_LEVEL_ERROR, "the ledger is damaged: signing stops", "reason", engine->ledger_fault, NULL);
    state_file_remove(engine->config->ledger_directory,
                      "checkpoint"); /* the next start reads all and says the same */
    return true;
}

/* False: the process must end. */
static bool take_verdict(struct engine *engine) {
    struct engine_reader *verifier = &engine->verifier;
    if (!verifier->is_started || !atomic_load(&verifier->is_done) || engine->saver.is_started)
        return true; /* a checkpoint that is being written would come back after its removal */
    pthread_join(verifier->thread, NULL);
    verifier->is_started = false;
    if (!verifier->is_good)
        return atomic_load(&verifier->is_cancelled) || take_fault(engine);
    log_event(LOG_LEVEL_INFO, "the whole ledger is verified", NULL);
    return true;
}

static void note_read(struct engine *engine) {
    char records[24], open[24];
    snprintf(records, sizeof records, "%llu", (unsigned long long)ledger_last_sequence(engine->ledger));
    snprintf(open, sizeof open, "%zu", json_object_size(engine->open_intents));
    engine->phase = ENGINE_WAITING;
    engine->waiting_since_ms = clock_monotonic_ms();
    engine->saved_sequence = engine->was_read_whole ? 0 : engine->verified_to.sequence;
    engine->saved_ms = engine->waiting_since_ms;
    engine->status.intents_without_outcome = json_object_size(engine->open_intents);
    log_event(LOG_LEVEL_INFO, "the ledger is read", "last", records, "open_intents", open, "from",
              engine->was_read_whole ? "its beginning" : "the checkpoint", NULL);
    if (!engine->was_read_whole)
        engine->verifier.is_started = start_verifier(engine);
}

static void take_saved(struct engine *engine) {
    struct engine_saver *saver = &engine->saver;
    pthread_join(saver->thread, NULL);
    saver->is_started = false;
    free(saver->bytes);
    saver->bytes = NULL;
    if (!saver->is_good)
        log_event(LOG_LEVEL_ERROR, "cannot write a checkpoint: the next start takes longer", "reason",
                  saver->error.message, NULL);
}

bool engine_watch_readers(struct engine *engine) {
    struct engine_reader *reader = &engine->reader;
    if (reader->is_started && atomic_load(&reader->is_done)) {
        pthread_join(reader->thread, NULL);
        reader->is_started = false;
        if (!reader->is_good) {
            log_event(LOG_LEVEL_ERROR, "the signer cannot start", "reason", reader->error.message, NULL);
            return false;
        }
        note_read(engine);
        engine_judge_issuers(engine);
    }
    if (engine->saver.is_started && atomic_load(&engine->saver.is_done))
        take_saved(engine);
    return take_verdict(engine);
}

/* --- checkpoints --- */

static bool make_checkpoint(struct engine *engine) {
    struct engine_saver *saver = &engine->saver;
    struct ledger_position position;
    ledger_get_position(engine->ledger, &position);
    const struct checkpoint_memories memories = get_memories(engine);
    saver->bytes = checkpoint_make(&position, engine->is_stopped, &memories, &saver->length);
    engine->saved_sequence = position.sequence;
    engine->saved_ms = clock_monotonic_ms();
    return saver->bytes != NULL;
}

static void *save_checkpoint(void *context) {
    struct engine *engine = context;
    struct engine_saver *saver = &engine->saver;
    saver->is_good = checkpoint_save(engine->config->ledger_directory, engine->key, saver->bytes,
                                     saver->length, &saver->error);
    atomic_store(&saver->is_done, true);
    return NULL;
}

/* Between batches no intent is open and everything is synced. What the verifier finds wrong must not be
 * passed over by the next start: then no checkpoint says that it was read. */
static bool may_save(const struct engine *engine) {
    return engine->phase == ENGINE_RUNNING && engine->has_key && *engine->ledger_fault == '\0' &&
           engine->status.intents_without_outcome == 0 && !ledger_is_broken(engine->ledger) &&
           ledger_last_sequence(engine->ledger) > engine->saved_sequence;
}

void engine_save_if_due(struct engine *engine) {
    struct engine_saver *saver = &engine->saver;
    if (saver->is_started || !may_save(engine))
        return;
    uint64_t records = ledger_last_sequence(engine->ledger) - engine->saved_sequence;
    int64_t age_ms = clock_monotonic_ms() - engine->saved_ms;
    bool is_due = records >= engine->config->checkpoint_records ||
                  age_ms >= (int64_t)engine->config->checkpoint_seconds * 1000;
    if (!is_due || !make_checkpoint(engine))
        return;
    atomic_store(&saver->is_done, false);
    saver->is_started = start_thread(&saver->thread, save_checkpoint, engine);
    if (!saver->is_started) {
        free(saver->bytes);
        saver->bytes = NULL;
    }
}

void engine_stop_reading(struct engine *engine) {
    atomic_store(&engine->verifier.is_cancelled, true);
    atomic_store(&engine->reader.is_cancelled, true);
    if (engine->verifier.is_started)
        pthread_join(engine->verifier.thread, NULL);
    if (engine->reader.is_started)
        pthread_join(engine->reader.thread, NULL);
    if (engine->saver.is_started)
        take_saved(engine);
    if (engine->ledger != NULL && may_save(engine) && make_checkpoint(engine)) {
        save_checkpoint(engine);
        free(engine->saver.bytes);
    }
    ledger_close(engine->ledger);
    attempts_free(engine->attempts);
    revoked_free(engine->revoked);
    zones_free(engine->zones);
    crl_lists_free(engine->lists);
    issuer_names_free(engine->names);
    json_decref(engine->open_intents);
}
