/* Does Redis hold what the ledger proves was there? And what follows from a no. */
#include "call.h"

struct traces {
    struct store_trace *items;
    size_t count;
};

static bool parse_lost(struct store_call *call, struct redisReply *const *items, size_t count,
                       struct error *error) {
    struct traces *traces = call->extra;
    int64_t number = 0;
    if (count < 1 || !reply_number(items[0], &number, error))
        return error_set(error, ERROR_INTERNAL, "Redis did not say what it lacks");
    *(bool *)call->out = number != 0;
    for (size_t i = 1; i < count; i++) {
        if (!reply_number(items[i], &number, error) || number < 0 || (uint64_t)number >= traces->count)
            return error_set(error, ERROR_INTERNAL, "Redis lacks something that it was not asked for");
        traces->items[number].is_lost = true;
    }
    return true;
}

void store_find_lost(struct store *store, const char *host, struct store_trace *traces, size_t count,
                     bool *is_untold, store_done *done, void *context) {
    struct store_call *call = call_new(store, SCRIPT_FIND_LOST, NULL, parse_lost, is_untold, done, context);
    struct traces *asked = call == NULL ? NULL : arena_alloc(call->own, sizeof *asked);
    if (call == NULL)
        return;
    if (asked == NULL || count > STORE_TRACES_MAX) {
        call_refuse(call, ERROR_INTERNAL, "too much to look for at once");
        return;
    }
    *asked = (struct traces){traces, count};
    call->extra = asked;
    call_add(call, host);
    for (size_t i = 0; i < count; i++) {
        traces[i].is_lost = false;
        call_add(call, traces[i].kind);
        call_add(call, traces[i].id);
        call_add(call, traces[i].name);
        call_add(call, traces[i].customer);
    }
    call_send(call);
}

void store_note_lost(struct store *store, const char *host, const char *lost, store_done *done,
                     void *context) {
    struct store_call *call = call_new(store, SCRIPT_NOTE_LOST, NULL, NULL, NULL, done, context);
    if (call == NULL)
        return;
    call_add(call, host);
    call_add(call, lost);
    call_send(call);
}

void store_begin_replay(struct store *store, const char *host, uint64_t last, store_done *done,
                        void *context) {
    struct store_call *call = call_new(store, SCRIPT_BEGIN_REPLAY, NULL, NULL, NULL, done, context);
    if (call == NULL)
        return;
    call_add(call, host);
    call_add_number(call, (int64_t)last);
    call_send(call);
}
