/* Rate limits, shared by all workers and hosts. */
#include <string.h>

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

/* How many from this one on differ in nothing but their subject: the names of an order are many. */
static size_t count_alike(const struct store_limit *limits, size_t count) {
    size_t alike = 1;
    while (alike < count && strcmp(limits[alike].kind, limits->kind) == 0 &&
           limits[alike].mode == limits->mode && limits[alike].cost == limits->cost &&
           limits[alike].exempt_cost == limits->exempt_cost && limits[alike].allowed == limits->allowed &&
           limits[alike].window_seconds == limits->window_seconds)
        alike++;
    return alike;
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
    for (size_t i = 0, alike; i < count; i += alike) {
        alike = count_alike(&limits[i], count - i);
        call_add(call, limits[i].kind);
        call_add(call, modes[limits[i].mode]);
        call_add_number(call, limits[i].cost);
        call_add_number(call, limits[i].exempt_cost);
        call_add_number(call, limits[i].allowed);
        call_add_number(call, limits[i].window_seconds);
        call_add_number(call, (long long)alike);
        for (size_t k = i; k < i + alike; k++)
            call_add(call, limits[k].subject);
    }
    call_send(call);
}

void store_note_failures(struct store *store, const struct store_failures *failures, store_done *done,
                         void *context) {
    struct store_call *call = call_new(store, SCRIPT_NOTE_FAILURES, NULL, NULL, NULL, done, context);
    if (call == NULL)
        return;
    call_add(call, failures->limit.kind);
    call_add(call, failures->limit.subject);
    call_add_number(call, failures->limit.allowed);
    call_add_number(call, failures->limit.window_seconds);
    call_add(call, failures->exempt_serial);
    call_add_number(call, failures->first_pause_seconds);
    call_add_number(call, failures->longest_pause_seconds);
    for (size_t i = 0; i < failures->count; i++)
        call_add(call, failures->subjects[i]);
    call_send(call);
}
