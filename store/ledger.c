/* The fence, and the replay of ledger records (doc/ledger.md) into Redis. Sequences cross Lua as doubles:
 * exact up to 2^53, which a ledger never reaches. */
#include <string.h>

#include "call.h"
#include "link.h"
#include "originca/json.h"

/* The longest life of a certificate that any profile may give (5475 days): so long, from the latest begin
 * that the signer gives, a revocation is remembered whose certificate is unknown here. */
#define LONGEST_LIFE_SECONDS (5475LL * 86400)
#define LEDGER_NAMES_MAX 10000

static bool parse_state(struct store_call *call, struct redisReply *const *items, size_t count,
                        struct error *error) {
    struct store_ledger_state *state = call->out;
    int64_t applied = 0, highest = 0;
    if (count < 3 || !reply_number(items[1], &applied, error) || !reply_number(items[2], &highest, error))
        return error_set(error, ERROR_INTERNAL, "Redis holds a fence that is not what doc/redis.md says");
    *state = (struct store_ledger_state){.ledger_id = reply_text(call->arena, items[0], error),
                                         .applied = (uint64_t)applied,
                                         .highest = (uint64_t)(highest > applied ? highest : applied)};
    return state->ledger_id != NULL;
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
    *items = length > LEDGER_NAMES_MAX ? NULL : arena_alloc(arena, (length + 1) * sizeof **items);
    if (*items == NULL)
        return error_set(error, ERROR_INVALID, "ledger record: %s is too long", member);
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
    };
    uint8_t serial[SERIAL_BYTES];
    const char *der = get_text(record, "certificate");
    if (!hex_decode(out->serial, serial, sizeof serial))
        return error_set(error, ERROR_INVALID, "ledger record: the serial is not 32 hex digits");
    if (!base64_decode(arena, der, strlen(der), &out->der))
        return error_set(error, ERROR_INVALID, "ledger record: the certificate is not base64");
    return get_list(arena, record, "names", &out->names, &out->name_count, error) &&
           get_list(arena, record, "zones", &out->zones, &out->zone_count, error) &&
           get_time(record, "not_before", &out->not_before, error) &&
           get_time(record, "not_after", &out->not_after, error) &&
           get_time(record, "time", &out->issued_at, error);
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

struct replay {
    struct store *store;
    const char *host;
    const json_t *record;
    uint32_t fresh_seconds;
    uint64_t sequence;
    store_done *done;
    void *context;
};

static void send_issue(const struct replay *replay, enum store_script_id script) {
    const struct config *config = store_config(replay->store);
    struct store_certificate certificate;
    struct error error = {.code = ERROR_NONE};
    struct store_call *call =
        call_new(replay->store, script, NULL, NULL, NULL, replay->done, replay->context);
    if (call == NULL)
        return;
    if (!read_certificate(call->own, replay->record, &certificate, &error)) {
        call_refuse(call, error.code, error.message);
        return;
    }
    if (script == SCRIPT_APPLY_ISSUED && certificate.der.length == 0) {
        call_refuse(call, ERROR_INVALID, "ledger record: issued without a certificate");
        return;
    }
    const struct store_ledger_mark mark = {replay->host, &replay->sequence, 1};
    call_add_number(call, config->certificate_retention_seconds);
    if (script == SCRIPT_APPLY_ISSUED) {
        call_add_number(call, config->evidence_retention_seconds);
        call_add_number(call, is_fresh(replay->record, replay->fresh_seconds));
    }
    issue_add(call, &certificate, get_text(replay->record, "attempt"));
    issue_add_mark(call, &mark);
    call_send(call);
}

static void send_revocation(const struct replay *replay) {
    const struct config *config = store_config(replay->store);
    struct error error = {.code = ERROR_NONE};
    const json_t *record = replay->record, *reason = json_object_get(record, "reason");
    uint8_t serial[SERIAL_BYTES];
    time_t revoked_at, not_after = 0;
    struct store_call *call =
        call_new(replay->store, SCRIPT_REVOKE_CERTIFICATE, NULL, NULL, NULL, replay->done, replay->context);
    if (call == NULL)
        return;
    bool is_sound = get_time(record, "revoked_at", &revoked_at, &error) &&
                    get_time(record, "not_after", &not_after, &error);
    if (is_sound &&
        (!hex_decode(get_text(record, "serial"), serial, sizeof serial) || !json_is_integer(reason)))
        is_sound = error_set(&error, ERROR_INVALID, "ledger record: a revocation needs serial and reason");
    if (!is_sound) {
        call_refuse(call, error.code, error.message);
        return;
    }
    int64_t latest = clock_wall_ms() / 1000 + (int64_t)config->signer_not_before_max_ahead_hours * 3600;
    int64_t ends = not_after != 0 ? not_after : latest + LONGEST_LIFE_SECONDS;
    const struct store_ledger_mark mark = {replay->host, &replay->sequence, 1};
    call_add(call, get_text(record, "serial"));
    call_add_number(call, revoked_at);
    call_add_number(call, json_integer_value(reason));
    call_add(call, get_text(record, "by"));
    call_add_number(call, ends + config->certificate_retention_seconds);
    call_add(call, get_text(record, "issuer"));
    issue_add_mark(call, &mark);
    call_send(call);
}

static void send_mark(const struct replay *replay) {
    const struct store_ledger_mark mark = {replay->host, &replay->sequence, 1};
    struct store_call *call =
        call_new(replay->store, SCRIPT_MARK_LEDGER, NULL, NULL, NULL, replay->done, replay->context);
    if (call == NULL)
        return;
    issue_add_mark(call, &mark);
    call_send(call);
}

void store_apply_ledger_record(struct store *store, const char *host, const json_t *record,
                               uint32_t fresh_seconds, store_done *done, void *context) {
    const char *type = get_text(record, "type");
    const json_t *sequence = json_object_get(record, "seq");
    const struct replay replay = {.store = store,
                                  .host = host,
                                  .record = record,
                                  .fresh_seconds = fresh_seconds,
                                  .sequence = (uint64_t)json_integer_value(sequence),
                                  .done = done,
                                  .context = context};
    if (!json_is_integer(sequence) || json_integer_value(sequence) < 1 || *type == '\0') {
        struct store_call *call = call_new(store, SCRIPT_NONE, NULL, NULL, NULL, done, context);
        if (call != NULL)
            call_refuse(call, ERROR_INVALID, "ledger record: seq and type are missing");
    } else if (strcmp(type, "issued") == 0) {
        send_issue(&replay, SCRIPT_APPLY_ISSUED);
    } else if (strcmp(type, "void") == 0) {
        send_issue(&replay, SCRIPT_APPLY_VOID);
    } else if (strcmp(type, "revoked") == 0) {
        send_revocation(&replay);
    } else {
        send_mark(&replay);
    }
}
