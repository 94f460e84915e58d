/* Which certificates an operator means: writing it for the scripts, lists of serials, counting. */
#include "selection.h"
#include "link.h"

void selection_add(struct store_call *call, const struct store_selection *selection) {
    call_add(call, selection->customer);
    call_add(call, selection->zone);
    call_add(call, selection->account);
    call_add(call, selection->issuer);
    call_add(call, selection->profile);
    call_add(call, selection->key);
    call_add_number(call, selection->issued_since);
    call_add_number(call, selection->issued_before);
    call_add(call, selection->serials);
    call_add_number(call, (int64_t)selection->cut_off);
}

static bool parse_total(struct store_call *call, struct redisReply *const *items, size_t count,
                        struct error *error) {
    int64_t total = 0;
    if (count < 1)
        return error_set(error, ERROR_INTERNAL, "Redis did not say how many serials a list has");
    if (!reply_number(items[0], &total, error))
        return false;
    *(uint64_t *)call->out = (uint64_t)total;
    return true;
}

void store_add_serials(struct store *store, const char *id, bool is_new, const char *const *serials,
                       size_t count, uint64_t *total, store_done *done, void *context) {
    struct store_call *call = call_new(store, SCRIPT_ADD_SERIALS, NULL, parse_total, total, done, context);
    if (call == NULL)
        return;
    call_add(call, id);
    call_add_number(call, is_new);
    call_add_number(call, store_config(store)->serial_list_max);
    for (size_t i = 0; i < count; i++)
        call_add(call, serials[i]);
    call_send(call);
}

static bool parse_selected(struct store_call *call, struct redisReply *const *items, size_t count,
                           struct error *error) {
    struct store_selected *selected = call->out;
    int64_t found = 0, last_end = 0, cut_off = 0;
    if (count < 5)
        return error_set(error, ERROR_INTERNAL, "Redis did not say how many certificates are selected");
    char *cursor = reply_text(call->arena, items[0], error);
    if (cursor == NULL || !reply_number(items[1], &found, error) ||
        !reply_number(items[2], &last_end, error) || !reply_number(items[3], &cut_off, error))
        return false;
    selected->serials = reply_text(call->arena, items[4], error);
    if (selected->serials == NULL)
        return false;
    for (size_t i = 5; i < count && selected->sample_count < STORE_SAMPLE_MAX; i++) {
        struct store_certificate *place = &selected->sample[selected->sample_count];
        if (!reply_is_array(items[i], 2, error) ||
            !certificate_read(call->arena, items[i]->element[0], items[i]->element[1], place, error))
            return false;
        selected->sample_count++;
    }
    selected->cut_off = (uint64_t)cut_off;
    selected->count += (uint64_t)found;
    selected->last_end = last_end > selected->last_end ? (time_t)last_end : selected->last_end;
    selected->cursor = *cursor == '\0' ? NULL : cursor;
    return true;
}

void store_count_selected(struct store *store, struct arena *arena, const struct store_selection *selection,
                          struct store_selected *selected, store_done *done, void *context) {
    struct store_call *call =
        call_new(store, SCRIPT_COUNT_SELECTED, arena, parse_selected, selected, done, context);
    if (call == NULL)
        return;
    struct store_selection counted = *selection;
    if (selected->cut_off != 0)
        counted.cut_off = selected->cut_off;
    selection_add(call, &counted);
    call_add_cursor(call, selected->cursor);
    call_add_number(call, (int64_t)(STORE_SAMPLE_MAX - selected->sample_count));
    call_add_number(call, selected->wants_serials);
    call_send(call);
}
