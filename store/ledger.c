/* The fence, and the replay of ledger records (doc/ledger.md) into Redis. Sequences cross Lua as doubles:
 * exact up to 2^53, which a ledger never reaches. */
#include <stdio.h>
#include <string.h>

#include "call.h"
#include "link.h"
#include "originca/json.h"
#include "originca/log.h"

/* The longest life of a certificate that any profile may give (5475 days): so long, from the latest begin
 * that the signer gives, a revocation is remembered whose certificate is unknown here. */
#define LONGEST_LIFE_SECONDS (5475LL * 86400)
#define LEDGER_NAMES_MAX 10000

static void copy_text(const struct redisReply *item, char *out, size_t size) {
    snprintf(out, size, "%s", item->type == REDIS_REPLY_STRING ? item->str : "");
}

static bool parse_state(struct store_call *call, struct redisReply *const *items, size_t count,
                        struct error *error) {
    struct store_ledger_state *state = call->out;
    int64_t applied = 0, highest = 0, format = 0, wait = 0, replayed = 0, looked = 0, joined = 0, written = 0,
            ahead = 0, now = 0;
    if (count < 23 || !reply_number(items[22], &now, error) || !reply_number(items[21], &ahead, error) ||
        !reply_number(items[20], &written, error) || !reply_number(items[14], &joined, error) ||
        !reply_number(items[12], &replayed, error) || !reply_number(items[13], &looked, error) ||
        !reply_number(items[1], &applied, error) || !reply_number(items[3], &highest, error) ||
        !reply_number(items[5], &format, error) || !reply_number(items[8], &wait, error))
        return error_set(error, ERROR_INTERNAL, "Redis holds a fence that is not what doc/redis.md says");
    *state = (struct store_ledger_state){.ledger_id = reply_text(call->arena, items[0], error),
                                         .applied = (uint64_t)applied,
                                         .highest = (uint64_t)(highest > applied ? highest : applied),
                                         .ahead = (uint64_t)ahead,
                                         .applied_hash = reply_text(call->arena, items[2], error),
                                         .highest_hash = reply_text(call->arena, items[4], error),
                                         .format = (uint64_t)format,
                                         .run = reply_text(call->arena, items[6], error),
                                         .verified = reply_text(call->arena, items[7], error),
                                         .lost = reply_text(call->arena, items[11], error),
                                         .replayed = (uint64_t)replayed,
                                         .looked_seconds_ago = looked,
                                         .joined_seconds_ago = joined,
                                         .now_ms = now,
                                         .nonces_wait_seconds = (uint32_t)wait};
    if (state->ledger_id == NULL || state->applied_hash == NULL || state->highest_hash == NULL ||
        state->run == NULL || state->verified == NULL || state->lost == NULL ||
        !reply_texts(call->arena, items[9], &state->hosts, &state->host_count, error) ||
        !reply_texts(call->arena, items[10], &state->missing, &state->missing_count, error))
        return false;
    copy_text(items[15], state->secrets.secret, sizeof state->secrets.secret);
    copy_text(items[16], state->secrets.operator_secret, sizeof state->secrets.operator_secret);
    copy_text(items[17], state->writer.run, sizeof state->writer.run);
    copy_text(items[18], state->writer.place, sizeof state->writer.place);
    copy_text(items[19], state->writer.about, sizeof state->writer.about);
    state->writer.seen_seconds_ago = written;
    if (highest <= applied)
        state->highest_hash = state->applied_hash;
    return true;
}

void store_load_ledger_state(struct store *store, struct arena *arena, const char *host,
                             struct store_ledger_state *out, store_done *done, void *context) {
    struct store_call *call =
        call_new(store, SCRIPT_LOAD_LEDGER_STATE, arena, parse_state, out, done, context);
    if (call == NULL)
        return;
    call_add(call, host);
    call_send(call);
}

void store_reset_ledger_state(struct store *store, const char *host, const char *ledger_id, uint64_t applied,
                              store_done *done, void *context) {
    struct store_call *call = call_new(store, SCRIPT_RESET_LEDGER_STATE, NULL, NULL, NULL, done, context);
    if (call == NULL)
        return;
    call_add(call, host);
    call_add(call, ledger_id);
    call_add_number(call, (int64_t)applied);
    call_add_number(call, STORE_FORMAT);
    call_send(call);
}

void store_hold_ledger(struct store *store, const char *host, const struct store_ledger_writer *writer,
                       uint32_t lease_seconds, store_done *done, void *context) {
    struct store_call *call = call_new(store, SCRIPT_HOLD_LEDGER, NULL, NULL, NULL, done, context);
    if (call == NULL)
        return;
    call_add(call, host);
    call_add(call, writer->run);
    call_add(call, writer->place);
    call_add(call, writer->about);
    call_add_number(call, lease_seconds);
    call_send(call);
}

void store_bind_secrets(struct store *store, const struct store_secret_checks *checks, bool replaces,
                        store_done *done, void *context) {
    struct store_call *call = call_new(store, SCRIPT_BIND_SECRETS, NULL, NULL, NULL, done, context);
    if (call == NULL)
        return;
    call->is_durable = replaces;
    call_add(call, checks->secret);
    call_add(call, checks->operator_secret);
    call_add_number(call, replaces);
    call_send(call);
}

static bool parse_unknown(struct store_call *call, struct redisReply *const *items, size_t count,
                          struct error *error) {
    int64_t unknown = 0;
    if (count < 1 || !reply_number(items[0], &unknown, error))
        return error_set(error, ERROR_INTERNAL, "Redis did not say how many issuers it does not know");
    *(uint64_t *)call->out = (uint64_t)unknown;
    return true;
}

void store_compare_issuers(struct store *store, const struct store_issuer *issuers, size_t count, bool binds,
                           uint64_t *unknown, store_done *done, void *context) {
    struct store_call *call =
        call_new(store, SCRIPT_COMPARE_ISSUERS, NULL, parse_unknown, unknown, done, context);
    if (call == NULL)
        return;
    call_add_number(call, binds);
    for (size_t i = 0; i < count; i++) {
        call_add(call, issuers[i].name);
        call_add(call, issuers[i].digest);
    }
    call_send(call);
}

void store_adopt_ledger_hash(struct store *store, const char *host, const char *ledger_id, uint64_t applied,
                             const char *hash, store_done *done, void *context) {
    struct store_call *call = call_new(store, SCRIPT_ADOPT_LEDGER_HASH, NULL, NULL, NULL, done, context);
    if (call == NULL)
        return;
    call_add(call, host);
    call_add(call, ledger_id);
    call_add_number(call, (int64_t)applied);
    call_add(call, hash);
    call_add_number(call, STORE_FORMAT);
    call_send(call);
}

void store_verify_ledger(struct store *store, const char *host, const char *run,
                         const char *const *known_hosts, size_t known_count, store_done *done,
                         void *context) {
    struct store_call *call = call_new(store, SCRIPT_VERIFY_LEDGER, NULL, NULL, NULL, done, context);
    if (call == NULL)
        return;
    call_add(call, host);
    call_add(call, run);
    for (size_t i = 0; i < known_count; i++)
        call_add(call, known_hosts[i]);
    call_send(call);
}

void store_doubt_ledgers(struct store *store, store_done *done, void *context) {
    struct store_call *call = call_new(store, SCRIPT_DOUBT_LEDGERS, NULL, NULL, NULL, done, context);
    if (call != NULL)
        call_send(call);
}

void store_excuse_host(struct store *store, const char *host, const char *by, bool for_good, store_done *done,
                       void *context) {
    struct store_call *call = call_new(store, SCRIPT_EXCUSE_HOST, NULL, NULL, NULL, done, context);
    if (call == NULL)
        return;
    call->is_durable = true;
    call_add(call, host);
    call_add(call, by);
    call_add_number(call, for_good);
    call_send(call);
}

/* --- records --- */

/* A member as text; absent gives "". */
static const char *get_text(const json_t *record, const char *member) {
    const char *text = json_string_value(json_object_get(record, member));
    return text == NULL ? "" : text;
}

/* RFC 3339 text or a number of seconds; absent gives 0. */
static bool get_time(const json_t *record, const char *member, time_t *when, struct error *error) {
    const json_t *value = json_object_get(record, member);
    *when = 0;
    if (value == NULL)
        return true;
    if (json_is_integer(value)) {
        *when = (time_t)json_integer_value(value);
        return true;
    }
    if (json_is_string(value) && time_parse(json_string_value(value), when))
        return true;
    return error_set(error, ERROR_INVALID, "ledger record: %s is not a time", member);
}

static bool get_list(struct arena *arena, const json_t *record, const char *member, const char ***items,
                     size_t *count, struct error *error) {
    const json_t *array = json_object_get(record, member);
    size_t length = json_array_size(array);
    *count = 0;
    if (length > LEDGER_NAMES_MAX)
        return error_set(error, ERROR_INVALID, "ledger record: %s is too long", member);
    if ((*items = arena_alloc(arena, (length + 1) * sizeof **items)) == NULL)
        return reply_out_of_memory(error);
    for (size_t i = 0; i < length; i++) {
        const char *text = json_string_value(json_array_get(array, i));
        if (text == NULL)
            return error_set(error, ERROR_INVALID, "ledger record: %s holds something else than text",
                             member);
        (*items)[(*count)++] = text;
    }
    return true;
}

static bool read_certificate(struct arena *arena, const json_t *record, struct store_certificate *out,
                             struct error *error) {
    *out = (struct store_certificate){
        .serial = get_text(record, "serial"),
        .order = get_text(record, "order"),
        .account = get_text(record, "account"),
        .customer = get_text(record, "customer"),
        .profile = get_text(record, "profile"),
        .issuer = get_text(record, "issuer"),
        .spki_sha256 = get_text(record, "spki_sha256"),
        .crl_url = json_object_get(record, "crl") == NULL ? "?" : get_text(record, "crl"),
    };
    uint8_t serial[SERIAL_BYTES];
    const char *der = get_text(record, "certificate");
    if (!hex_decode(out->serial, serial, sizeof serial))
        return error_set(error, ERROR_INVALID, "ledger record: the serial is not 32 hex digits");
    if (!base64_decode(arena, der, strlen(der), &out->der)) /* want of memory is no fault of the record */
        return arena_alloc(arena, strlen(der) + 3) == NULL
                   ? reply_out_of_memory(error)
                   : error_set(error, ERROR_INVALID, "ledger record: the certificate is not base64");
    return get_list(arena, record, "names", &out->names, &out->name_count, error) &&
           get_list(arena, record, "zones", &out->zones, &out->zone_count, error) &&
           get_time(record, "not_before", &out->not_before, error) &&
           get_time(record, "not_after", &out->not_after, error) &&
           get_time(record, "time", &out->issued_at, error);
}

bool store_read_issued(struct arena *arena, const json_t *record, struct store_certificate *out) {
    struct error ignored;
    return read_certificate(arena, record, out, &ignored) && out->der.length > 0 && *out->issuer != '\0';
}

/* The oldest proof decides; no proof is not fresh. */
static bool is_fresh(const json_t *record, uint32_t fresh_seconds) {
    const json_t *evidence = json_object_get(record, "evidence");
    time_t oldest_allowed = (time_t)(clock_wall_ms() / 1000) - (time_t)fresh_seconds;
    struct error ignored;
    for (size_t i = 0; i < json_array_size(evidence); i++) {
        time_t checked_at;
        if (!get_time(json_array_get(evidence, i), "checked_at", &checked_at, &ignored) ||
            checked_at < oldest_allowed)
            return false;
    }
    return json_array_size(evidence) > 0;
}

/* Records that change nothing but the watermark are marked together with the next one that does. */
#define MARKS_MAX 64

struct batch;

struct job { /* one call of a batch */
    struct batch *batch;
    const json_t *record; /* NULL: marks alone */
    const json_t *marked[MARKS_MAX];
    uint64_t after[MARKS_MAX];
    size_t mark_count;
    bool is_unreadable;
};

struct batch {
    struct store *store;
    struct arena *arena;
    struct store_replay *replay;
    struct call_group group;
    size_t pending;
    struct error error; /* the first failure that is no conflict */
    store_done *done;
    void *context;
};

static uint64_t sequence_of(const json_t *record) {
    return (uint64_t)json_integer_value(json_object_get(record, "seq"));
}

/* "sequence:hash:after"; `after` only where it is not the number before. */
static void add_replay_mark(struct store_call *call, const json_t *record, uint64_t after) {
    char text[48 + 2 * SHA256_BYTES + 1];
    uint8_t hash[SHA256_BYTES];
    const char *hex = get_text(record, "hash");
    uint64_t sequence = sequence_of(record);
    int length = snprintf(text, sizeof text, "%llu:%s", (unsigned long long)sequence,
                          hex_decode(hex, hash, sizeof hash) ? hex : "");
    if (after + 1 != sequence)
        snprintf(text + length, sizeof text - (size_t)length, ":%llu", (unsigned long long)after);
    call_add(call, text);
}

static void add_marks(struct store_call *call, const struct job *job) {
    call_add(call, job->batch->replay->host);
    for (size_t i = 0; i < job->mark_count; i++)
        add_replay_mark(call, job->marked[i], job->after[i]);
}

static void end_job(struct batch *batch) {
    if (--batch->pending > 0)
        return;
    const struct error error = batch->error;
    batch->done(batch->context, error.code == ERROR_NONE ? NULL : &error);
}

static void pass_over(struct job *job, const struct error *error);

static void note_job(void *context, const struct error *error) {
    struct job *job = context;
    struct batch *batch = job->batch;
    struct store_replay *replay = batch->replay;
    if (error != NULL && job->is_unreadable) {
        pass_over(job, error);
        return;
    }
    if (error != NULL && error->code == ERROR_CONFLICT && job->record != NULL)
        replay->conflicts[replay->conflict_count++] = job->record;
    else if (error != NULL && batch->error.code == ERROR_NONE)
        batch->error = *error;
    end_job(batch);
}

static void refuse_record(struct job *job, struct store_call *call, const struct error *error) {
    job->is_unreadable = error->code == ERROR_INVALID;
    call_refuse(call, error->code, error->message);
}

/* Trying it again would end as before and keep all that follow from Redis: it is marked as applied, and told.
 */
static void pass_over(struct job *job, const struct error *error) {
    struct batch *batch = job->batch;
    char sequence[24];
    snprintf(sequence, sizeof sequence, "%llu", (unsigned long long)sequence_of(job->record));
    log_event(LOG_LEVEL_ERROR, "a ledger record makes no sense and is passed over", "host",
              batch->replay->host, "seq", sequence, "type", get_text(job->record, "type"), "reason",
              error->message, NULL);
    batch->replay->unreadable_count++;
    job->is_unreadable = false;
    job->record = NULL;
    struct store_call *call = call_new(batch->store, SCRIPT_MARK_LEDGER, NULL, NULL, NULL, note_job, job);
    if (call == NULL)
        return;
    add_marks(call, job);
    if (call->words.failed)
        call_refuse(call, ERROR_INTERNAL, "out of memory");
    else
        call_send(call);
}

static void add_call(struct batch *batch, struct store_call *call) {
    if (call->words.failed)
        call_refuse(call, ERROR_INTERNAL, "out of memory");
    else
        batch->group.calls[batch->group.count++] = call;
}

static void send_issue(struct job *job, enum store_script_id script) {
    struct store *store = job->batch->store;
    const struct config *config = store_config(store);
    const json_t *record = job->record;
    struct store_certificate certificate;
    struct error error = {.code = ERROR_NONE};
    struct store_call *call = call_new(store, script, NULL, NULL, NULL, note_job, job);
    if (call == NULL)
        return;
    bool is_read = read_certificate(call->own, record, &certificate, &error);
    if (is_read && script == SCRIPT_APPLY_ISSUED && certificate.der.length == 0)
        is_read = error_set(&error, ERROR_INVALID, "ledger record: issued without a certificate");
    if (!is_read) {
        refuse_record(job, call, &error);
        return;
    }
    call_add_number(call, config->certificate_retention_seconds);
    if (script == SCRIPT_APPLY_ISSUED) {
        call_add_number(call, config->evidence_retention_seconds);
        const struct store_replay *replay = job->batch->replay;
        call_add(call, replay->may_have_lost_commits             ? "lost"
                       : is_fresh(record, replay->fresh_seconds) ? "fresh"
                                                                 : "stale");
    }
    issue_add(call, &certificate, get_text(record, "attempt"));
    add_marks(call, job);
    add_call(job->batch, call);
}

static void send_revocation(struct job *job) {
    struct store *store = job->batch->store;
    const struct config *config = store_config(store);
    struct error error = {.code = ERROR_NONE};
    const json_t *record = job->record, *reason = json_object_get(record, "reason");
    uint8_t serial[SERIAL_BYTES];
    time_t revoked_at, not_after = 0;
    struct store_call *call = call_new(store, SCRIPT_REVOKE_CERTIFICATE, NULL, NULL, NULL, note_job, job);
    if (call == NULL)
        return;
    bool is_sound = get_time(record, "revoked_at", &revoked_at, &error) &&
                    get_time(record, "not_after", &not_after, &error);
    if (is_sound &&
        (!hex_decode(get_text(record, "serial"), serial, sizeof serial) || !json_is_integer(reason)))
        is_sound = error_set(&error, ERROR_INVALID, "ledger record: a revocation needs serial and reason");
    if (!is_sound) {
        refuse_record(job, call, &error);
        return;
    }
    int64_t latest = clock_wall_ms() / 1000 + (int64_t)config->signer_not_before_max_ahead_hours * 3600;
    int64_t ends = not_after != 0 ? not_after : latest + LONGEST_LIFE_SECONDS;
    call_add(call, get_text(record, "serial"));
    call_add_number(call, revoked_at);
    call_add_number(call, json_integer_value(reason));
    call_add(call, get_text(record, "by"));
    call_add_number(call, ends + config->certificate_retention_seconds);
    call_add(call, get_text(record, "issuer"));
    call_add(call, get_text(record, "crl"));
    call_add_number(call, not_after);
    add_marks(call, job);
    add_call(job->batch, call);
}

static void send_marks(struct job *job) {
    struct store_call *call =
        call_new(job->batch->store, SCRIPT_MARK_LEDGER, NULL, NULL, NULL, note_job, job);
    if (call == NULL)
        return;
    add_marks(call, job);
    add_call(job->batch, call);
}

/* Records of rights, and the member that holds the subject of each; "": it has none. */
static const struct {
    const char *type, *subject;
} rights[] = {{"zone-added", "zone"},
              {"zone-ended", "zone"},
              {"zone-paused", "zone"},
              {"zone-resumed", "zone"},
              {"zone-moved", "zone"},
              {"zone-returned", "zone"},
              {"customer-suspended", "customer"},
              {"customer-resumed", "customer"},
              {"issuance-stopped", ""},
              {"issuance-allowed", ""},
              {"issuer-stopped", "issuer"},
              {"issuer-allowed", "issuer"},
              {"api-key-ended", "key"},
              {"eab-key-ended", "kid"},
              {"account-deactivated", "account"},
              {"account-key-changed", "account"}};

static const char *subject_member(const char *type) {
    for (size_t i = 0; i < sizeof rights / sizeof rights[0]; i++)
        if (strcmp(type, rights[i].type) == 0)
            return rights[i].subject;
    return NULL;
}

/* The new key of an account: its canonical text, and the hash of its SubjectPublicKeyInfo. */
static bool read_key(struct store_call *call, const json_t *record, const char **jwk,
                     char spki[2 * SHA256_BYTES + 1], struct error *error) {
    const json_t *key = json_object_get(record, "jwk");
    *jwk = "";
    *spki = '\0';
    if (key == NULL)
        return true;
    *jwk = json_to_text(call->own, key);
    return (*jwk != NULL || reply_out_of_memory(error)) && account_key_spki_sha256(*jwk, spki, error);
}

static void send_right(struct job *job) {
    struct store *store = job->batch->store;
    const struct config *config = store_config(store);
    const struct store_replay *replay = job->batch->replay;
    const json_t *record = job->record;
    const char *type = get_text(record, "type"), *jwk;
    char spki[2 * SHA256_BYTES + 1], seal[STORE_SEAL_MAX] = "";
    struct error error = {.code = ERROR_NONE};
    struct store_call *call = call_new(store, SCRIPT_APPLY_RIGHT, NULL, NULL, NULL, note_job, job);
    if (call == NULL)
        return;
    if (!read_key(call, record, &jwk, spki, &error)) {
        refuse_record(job, call, &error);
        return;
    }
    struct store_right right = {.kind = type,
                                .subject = get_text(record, subject_member(type)),
                                .name = get_text(record, *jwk != '\0' ? "thumbprint" : "name"),
                                .customer = get_text(record, "customer"),
                                .detail = jwk,
                                .at_ms = json_integer_value(json_object_get(record, "at_ms")),
                                .by = get_text(record, "by"),
                                .seal = seal};
    if (strncmp(type, "customer-", 9) == 0)
        right.customer = "";
    if (replay->seal != NULL)
        replay->seal(replay->seal_context, &right, seal);
    call_add_number(call, config->evidence_retention_seconds);
    call_add_number(call, config->name_server_look_seconds);
    call_add_number(call, config->refused_retention_seconds);
    call_add_number(call, config->account_idle_seconds);
    call_add_number(call, strcmp(config->moved_zone_certificates, "keep") != 0);
    call_add(call, spki);
    right_add_head(call, &right);
    call_add(call, replay->host);
    call_add_number(call, (int64_t)job->mark_count);
    for (size_t i = 0; i < job->mark_count; i++)
        add_replay_mark(call, job->marked[i], job->after[i]);
    add_call(job->batch, call);
}

static bool is_sound(const json_t *record) {
    return json_is_integer(json_object_get(record, "seq")) && sequence_of(record) >= 1 &&
           sequence_of(record) <= INT64_MAX && *get_text(record, "type") != '\0';
}

static bool changes_something(const json_t *record) {
    const char *type = get_text(record, "type");
    return strcmp(type, "issued") == 0 || strcmp(type, "void") == 0 || strcmp(type, "revoked") == 0 ||
           subject_member(type) != NULL;
}

static void send_job(struct job *job) {
    const char *type = get_text(job->record, "type");
    job->batch->pending++;
    if (job->record == NULL)
        send_marks(job);
    else if (strcmp(type, "issued") == 0)
        send_issue(job, SCRIPT_APPLY_ISSUED);
    else if (strcmp(type, "void") == 0)
        send_issue(job, SCRIPT_APPLY_VOID);
    else if (subject_member(type) != NULL)
        send_right(job);
    else
        send_revocation(job);
}

static struct job *new_job(struct batch *batch) {
    struct job *job = arena_alloc(batch->arena, sizeof *job);
    if (job != NULL)
        *job = (struct job){.batch = batch};
    else if (batch->error.code == ERROR_NONE)
        error_set(&batch->error, ERROR_INTERNAL, "out of memory");
    return job;
}

static void send_jobs(struct batch *batch) {
    uint64_t after = batch->replay->after;
    struct job *job = NULL;
    size_t i;
    json_t *record;
    json_array_foreach(batch->replay->records, i, record) {
        if (!is_sound(record)) {
            error_set(&batch->error, ERROR_INVALID, "ledger record: seq and type are missing");
            break;
        }
        if (job == NULL && (job = new_job(batch)) == NULL)
            return;
        job->after[job->mark_count] = after;
        job->marked[job->mark_count++] = record;
        after = sequence_of(record);
        if (!changes_something(record) && job->mark_count < MARKS_MAX)
            continue;
        job->record = changes_something(record) ? record : NULL;
        send_job(job);
        job = NULL;
    }
    if (job != NULL)
        send_job(job);
}

static void send_calls(struct batch *batch) {
    if (batch->group.count == 1)
        call_send(batch->group.calls[0]);
    else if (batch->group.count > 1)
        call_send_group(batch->store, &batch->group);
}

void store_replay(struct store *store, struct arena *arena, struct store_replay *replay, store_done *done,
                  void *context) {
    struct batch *batch = arena_alloc(arena, sizeof *batch);
    size_t count = json_array_size(replay->records);
    replay->conflicts = arena_alloc(arena, (count + 1) * sizeof *replay->conflicts);
    replay->conflict_count = replay->unreadable_count = 0;
    struct store_call **calls = arena_alloc(arena, (count + 1) * sizeof(struct store_call *));
    if (batch == NULL || calls == NULL || replay->conflicts == NULL) {
        const struct error error = {ERROR_INTERNAL, "out of memory"};
        done(context, &error);
        return;
    }
    *batch = (struct batch){
        .store = store, .arena = arena, .replay = replay, .pending = 1, .done = done, .context = context};
    batch->group.calls = calls;
    send_jobs(batch);
    send_calls(batch);
    if (batch->pending > 1 || batch->error.code == ERROR_NONE) {
        end_job(batch);
        return;
    }
    struct store_call *call = call_new(store, SCRIPT_NONE, NULL, NULL, NULL, done, context);
    if (call != NULL) /* completions come from the loop */
        call_refuse(call, batch->error.code, batch->error.message);
}

struct single {
    struct arena *arena;
    struct store_replay replay;
    store_done *done;
    void *context;
};

static void note_single(void *context, const struct error *error) {
    struct single *single = context;
    struct error outcome = {.code = ERROR_NONE};
    store_done *done = single->done;
    void *done_context = single->context;
    if (error != NULL)
        outcome = *error;
    else if (single->replay.unreadable_count > 0)
        error_set(&outcome, ERROR_INVALID, "the record makes no sense");
    else if (single->replay.conflict_count > 0)
        error_set(&outcome, ERROR_CONFLICT, "the certificate must not be used");
    json_decref((json_t *)(uintptr_t)single->replay.records);
    arena_free(single->arena);
    done(done_context, outcome.code == ERROR_NONE ? NULL : &outcome);
}

void store_apply_ledger_record(struct store *store, const char *host, const json_t *record,
                               uint32_t fresh_seconds, store_done *done, void *context) {
    struct arena *arena = arena_new(0);
    struct single *single = arena == NULL ? NULL : arena_alloc(arena, sizeof *single);
    json_t *records = json_array();
    if (single == NULL || json_array_append(records, (json_t *)(uintptr_t)record) != 0) {
        const struct error error = {ERROR_INTERNAL, "out of memory"};
        json_decref(records);
        arena_free(arena);
        done(context, &error);
        return;
    }
    *single = (struct single){.arena = arena,
                              .replay = {.host = host,
                                         .records = records,
                                         .after = sequence_of(record) - 1,
                                         .fresh_seconds = fresh_seconds},
                              .done = done,
                              .context = context};
    store_replay(store, arena, &single->replay, note_single, single);
}
