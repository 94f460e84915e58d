/* Counts for the overview, and the sweep of what has reached the end of its life. */
#include "call.h"
#include "link.h"

static bool parse_stats(struct store_call *call, struct redisReply *const *items, size_t count,
                        struct error *error) {
    struct store_stats *stats = call->out;
    uint64_t *const places[] = {
        &stats->customers,
        &stats->zones,
        &stats->zones_by_status[0],
        &stats->zones_by_status[1],
        &stats->zones_by_status[2],
        &stats->zones_by_status[3],
        &stats->zones_by_status[4],
        &stats->accounts,
        &stats->orders,
        &stats->orders_by_status[0],
        &stats->orders_by_status[1],
        &stats->orders_by_status[2],
        &stats->orders_by_status[3],
        &stats->orders_by_status[4],
        &stats->orders_by_status[5],
        &stats->certificates,
        &stats->certificates_revoked,
        &stats->certificates_expiring_7d,
        &stats->redis_memory_bytes,
        &stats->edge_sequence,
    };
    const size_t wanted = sizeof places / sizeof places[0];
    if (count != wanted)
        return error_set(error, ERROR_INTERNAL, "Redis answered %zu counts instead of %zu", count, wanted);
    for (size_t i = 0; i < wanted; i++) {
        int64_t number = 0;
        if (!reply_number(items[i], &number, error))
            return false;
        *places[i] = (uint64_t)number;
    }
    return true;
}

void store_load_stats(struct store *store, struct arena *arena, struct store_stats *out, store_done *done,
                      void *context) {
    struct store_call *call = call_new(store, SCRIPT_LOAD_STATS, arena, parse_stats, out, done, context);
    if (call != NULL)
        call_send(call);
}

static bool parse_removed(struct store_call *call, struct redisReply *const *items, size_t count,
                          struct error *error) {
    int64_t removed = 0;
    if (count < 1 || !reply_number(items[0], &removed, error))
        return false;
    if (call->out != NULL)
        *(uint64_t *)call->out = (uint64_t)removed;
    return true;
}

void store_sweep(struct store *store, uint32_t max_entries, uint64_t *removed, store_done *done,
                 void *context) {
    const struct config *config = store_config(store);
    struct store_call *call = call_new(store, SCRIPT_SWEEP, NULL, parse_removed, removed, done, context);
    if (call == NULL)
        return;
    call_add_limit(call, max_entries);
    call_add_number(call, config->certificate_retention_seconds);
    call_add_number(call, config->account_idle_seconds);
    call_send(call);
}
