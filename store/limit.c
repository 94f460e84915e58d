/* Rate limits, shared by all workers and hosts. */
#include "call.h"

static bool parse_outcome(struct store_call *call, struct redisReply *const *items, size_t count,
                          struct error *error) {
    struct store_limit_outcome *out = call->out;
    int64_t number = 0, milliseconds = 0;
    if (count < 2 || !reply_number(items[0], &number, error) || !reply_number(items[1], &milliseconds, error))
        return error_set(error, ERROR_INTERNAL, "Redis answered no outcome of limits");
    out->exceeded = (size_t)number;
    out->retry_after_seconds = (uint32_t)((milliseconds + 999) / 1000);
    return true;
}

void store_take_limits(struct store *store, const struct store_limit *limits, size_t count,
                       struct store_limit_outcome *out, store_done *done, void *context) {
    struct store_call *call = call_new(store, SCRIPT_TAKE_LIMITS, NULL, parse_outcome, out, done, context);
    if (call == NULL)
        return;
    for (size_t i = 0; i < count; i++) {
        const char *key = arena_printf(call->own, "%s:%s", limits[i].kind, limits[i].subject);
        if (key == NULL) {
            call_refuse(call, ERROR_INTERNAL, "out of memory");
            return;
        }
        call_add(call, key);
        call_add_number(call, limits[i].cost);
        call_add_number(call, limits[i].allowed);
        call_add_number(call, limits[i].window_seconds);
    }
    call_send(call);
}

void store_note_failures(struct store *store, const struct store_check_outcome *outcomes, size_t count,
                         uint32_t first_pause_seconds, uint32_t longest_pause_seconds, store_done *done,
                         void *context) {
    struct store_call *call = call_new(store, SCRIPT_NOTE_FAILURES, NULL, NULL, NULL, done, context);
    if (call == NULL)
        return;
    call_add_number(call, first_pause_seconds);
    call_add_number(call, longest_pause_seconds);
    for (size_t i = 0; i < count; i++) {
        call_add(call, outcomes[i].subject);
        call_add_number(call, outcomes[i].has_failed);
    }
    call_send(call);
}
