/* Stops of issuance: of everything or of an issuer, and what is stopped at all. */
#include <string.h>

#include "call.h"

void store_set_issuer_stopped(struct store *store, const char *issuer, bool is_stopped,
                              const struct store_right *right, store_done *done, void *context) {
    struct store_call *call = call_new(store, SCRIPT_STOP_ISSUANCE, NULL, NULL, NULL, done, context);
    if (call == NULL)
        return;
    call->is_durable = true;
    call_add(call, issuer);
    call_add_number(call, is_stopped);
    right_add(call, right);
    call_send(call);
}

static bool read_stop(struct arena *arena, const struct redisReply *item, struct store_stop *out,
                      struct error *error) {
    const char **texts;
    size_t count;
    if (!reply_texts(arena, item, &texts, &count, error))
        return false;
    if (count != 6)
        return error_set(error, ERROR_INTERNAL, "Redis told a stop in another shape than expected");
    *out = (struct store_stop){.of = texts[0], .id = texts[1], .name = texts[2], .by = texts[4]};
    out->is_stopped = strcmp(texts[5], "1") == 0;
    return reply_number(item->element[3], &out->since_ms, error);
}

static bool parse_stops(struct store_call *call, struct redisReply *const *items, size_t count,
                        struct error *error) {
    struct store_stop_list *list = call->out;
    int64_t customers, zones;
    if (count < 2 || !reply_number(items[0], &customers, error) || !reply_number(items[1], &zones, error))
        return error_set(error, ERROR_INTERNAL, "Redis did not say what is stopped");
    *list = (struct store_stop_list){.items = arena_alloc(call->arena, count * sizeof *list->items),
                                     .customers = (uint64_t)customers,
                                     .zones = (uint64_t)zones};
    if (list->items == NULL)
        return reply_out_of_memory(error);
    for (size_t i = 2; i < count; i++)
        if (!read_stop(call->arena, items[i], &list->items[list->count++], error))
            return false;
    return true;
}

void store_load_stops(struct store *store, struct arena *arena, uint32_t limit, struct store_stop_list *out,
                      store_done *done, void *context) {
    struct store_call *call = call_new(store, SCRIPT_LOAD_STOPS, arena, parse_stops, out, done, context);
    if (call == NULL)
        return;
    call_add_number(call, limit);
    call_send(call);
}
