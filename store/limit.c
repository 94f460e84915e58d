/* Rate limits, shared by all workers and hosts. */
#include "call.h"

static bool parse_outcome(struct store_call *call, struct redisReply *const *items, size_t count,
                          struct error *error) {
    struct store_limit_outcome *out = call->out;
    int64_t number = 0, milliseconds = 0, is_exempt = 0;
    if (count < 3 || !reply_number(items[0], &number, error) ||
        !reply_number(items[1], &milliseconds, error) || !reply_number(items[2], &is_exempt, error))
        return error_set(error, ERROR_INTERNAL, "Redis answered no outcome of limits");
    out->exceeded = (size_t)number;
    out->retry_after_seconds = (uint32_t)((milliseconds + 999) / 1000);
    out->is_exempt = is_exempt != 0;
    return true;
}

static bool add_key(struct store_call *call, const struct store_limit *limit) {
    const char *key = arena_printf(call->own, "%s:%s", limit->kind, limit->subject);
    if (key == NULL) {
        call_refuse(call, ERROR_INTERNAL, "out of memory");
        return false;
    }
    call_add(call, key);
    return true;
}

void store_take_limits(struct store *store, const struct store_limit *limits, size_t count,
                       const char *due_serial, uint32_t hold_ms, struct store_limit_outcome *out,
                       store_done *done, void *context) {
    static const char *const modes[] = {
        [STORE_LIMIT_TAKE] = "take", [STORE_LIMIT_ROOM] = "room", [STORE_LIMIT_PAUSE] = "pause"};
    struct store_call *call = call_new(store, SCRIPT_TAKE_LIMITS, NULL, parse_outcome, out, done, context);
    if (call == NULL)
        return;
    call_add(call, due_serial);
    call_add_number(call, hold_ms);
    for (size_t i = 0; i < count; i++) {
        if (!add_key(call, &limits[i]))
            return;
        call_add(call, modes[limits[i].mode]);
        call_add_number(call, limits[i].cost);
        call_add_number(call, limits[i].exempt_cost);
        call_add_number(call, limits[i].allowed);
        call_add_number(call, limits[i].window_seconds);
    }
    call_send(call);
}

void store_note_failures(struct store *store, const struct store_failures *failures, store_done *done,
                         void *context) {
    struct store_call *call = call_new(store, SCRIPT_NOTE_FAILURES, NULL, NULL, NULL, done, context);
    if (call == NULL || !add_key(call, &failures->limit))
        return;
    call_add_number(call, failures->limit.allowed);
    call_add_number(call, failures->limit.window_seconds);
    call_add(call, failures->exempt_serial);
    call_add_number(call, failures->first_pause_seconds);
    call_add_number(call, failures->longest_pause_seconds);
    for (size_t i = 0; i < failures->count; i++)
        call_add(call, failures->subjects[i]);
    call_send(call);
}
