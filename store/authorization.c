/* Changes of an order's proofs: one authorization (RFC 8555 7.1.6), or the check of all names at finalize. */
#include <string.h>

#include "call.h"
#include "link.h"

static bool parse_order(struct store_call *call, struct redisReply *const *items, size_t count,
                        struct error *error) {
    return reply_read_one(call, items, count, order_read, error);
}

void store_change_authorization(struct store *store, struct arena *arena,
                                const struct store_authorization_change *change, struct store_order *out,
                                store_done *done, void *context) {
    const struct config *config = store_config(store);
    struct store_call *call =
        call_new(store, SCRIPT_CHANGE_AUTHORIZATION, arena, parse_order, out, done, context);
    if (call == NULL)
        return;
    call_add(call, change->order_id);
    call_add_number(call, (int64_t)change->index);
    call_add(call, store_authorization_status_name(change->status));
    call_add(call, change->error);
    call_add(call, change->evidence);
    call_add_number(call, change->checked_at);
    call_add_number(call, change->expires_at);
    call_add_number(call, change->count_try);
    call_add_number(call, config->evidence_retention_seconds);
    call_add_number(call, config->refused_retention_seconds);
    call_send(call);
}

void store_record_recheck(struct store *store, const char *order_id, time_t checked_at, const char *evidence,
                          store_done *done, void *context) {
    struct store_call *call = call_new(store, SCRIPT_RECORD_RECHECK, NULL, NULL, NULL, done, context);
    if (call == NULL)
        return;
    call_add(call, order_id);
    call_add_number(call, checked_at);
    call_add(call, evidence);
    call_add_number(call, strcmp(store_config(store)->moved_zone_certificates, "keep") != 0);
    call_send(call);
}
