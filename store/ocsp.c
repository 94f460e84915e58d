/* What OCSP says of certificates. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "call.h"

#define HEAD 1 /* what a reply holds before the certificates */

/* "good", "revoked:TIME:REASON" or "" (lib/ocsp.lua). */
static bool read_state(struct store_ocsp *item, struct error *error) {
    unsigned long long when = 0;
    unsigned reason = 0;
    int used = 0;
    if (*item->state == '\0') {
        item->status = STORE_OCSP_UNKNOWN;
    } else if (strcmp(item->state, "good") == 0) {
        item->status = STORE_OCSP_GOOD;
    } else if (sscanf(item->state, "revoked:%12llu:%3u%n", &when, &reason, &used) == 2 &&
               item->state[used] == '\0') {
        item->status = STORE_OCSP_REVOKED;
        item->revoked_at = (time_t)when;
        item->reason = reason;
    } else {
        return error_set(error, ERROR_INTERNAL, "Redis holds a revocation without a time");
    }
    return true;
}

static bool read_item(struct arena *arena, const struct redisReply *reply, struct store_ocsp *item,
                      struct error *error) {
    if (!reply_is_array(reply, 2, error))
        return false;
    item->issuer = reply_text(arena, reply->element[0], error);
    item->state = item->issuer == NULL ? NULL : reply_text(arena, reply->element[1], error);
    return item->state != NULL && read_state(item, error);
}

static bool parse_loaded(struct store_call *call, struct redisReply *const *items, size_t count,
                         struct error *error) {
    struct store_ocsp_list *list = call->out;
    int64_t applied;
    if (count != HEAD + list->count)
        return error_set(error, ERROR_INTERNAL, "Redis answered about other certificates");
    if (!reply_number(items[0], &applied, error))
        return false;
    list->applied = (uint64_t)applied;
    for (size_t i = 0; i < list->count; i++)
        if (!read_item(call->arena, items[HEAD + i], &list->items[i], error))
            return false;
    return true;
}

void store_load_ocsp(struct store *store, struct arena *arena, const char *host, struct store_ocsp_list *list,
                     store_done *done, void *context) {
    struct store_call *call = call_new(store, SCRIPT_LOAD_OCSP, arena, parse_loaded, list, done, context);
    if (call == NULL)
        return;
    call_add(call, host);
    for (size_t i = 0; i < list->count; i++)
        call_add(call, list->items[i].serial);
    call_send(call);
}

void store_confirm_ocsp(struct store *store, const struct store_ocsp_list *list, store_done *done,
                        void *context) {
    struct store_call *call = call_new(store, SCRIPT_CONFIRM_OCSP, NULL, NULL, NULL, done, context);
    if (call == NULL)
        return;
    for (size_t i = 0; i < list->count; i++) {
        call_add(call, list->items[i].serial);
        call_add(call, list->items[i].state);
    }
    call_send(call);
}
