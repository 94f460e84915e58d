/* Mass replacements: making, listing and ending them, how far they are, and what they mean for one
 * certificate's renewal information. */
#include "selection.h"

static bool read_replacement(struct arena *arena, const struct redisReply *id, const struct redisReply *pairs,
                             void *object, struct error *error) {
    static const struct store_field fields[] = {
        SELECTION_FIELDS(struct store_replacement, selection),
        {"starts", FIELD_TIME, offsetof(struct store_replacement, starts_at), NULL},
        {"over", FIELD_UINT32, offsetof(struct store_replacement, over_seconds), NULL},
        {"url", FIELD_TEXT, offsetof(struct store_replacement, explanation_url), NULL},
        {"by", FIELD_TEXT, offsetof(struct store_replacement, by), NULL},
        {"total", FIELD_INT64, offsetof(struct store_replacement, total), NULL},
        {"created", FIELD_TIME, offsetof(struct store_replacement, created_at), NULL},
        {"ends", FIELD_TIME, offsetof(struct store_replacement, ends_at), NULL},
        {"cancelled", FIELD_TIME, offsetof(struct store_replacement, cancelled_at), NULL},
        {"cancelled_by", FIELD_TEXT, offsetof(struct store_replacement, cancelled_by), NULL},
    };
    struct store_replacement *replacement = object;
    *replacement = (struct store_replacement){.id = reply_text(arena, id, error)};
    return replacement->id != NULL &&
           reply_read_fields(arena, pairs, fields, sizeof fields / sizeof *fields, replacement, error);
}

void store_create_replacement(struct store *store, const struct store_replacement *replacement,
                              store_done *done, void *context) {
    struct store_call *call = call_new(store, SCRIPT_CREATE_REPLACEMENT, NULL, NULL, NULL, done, context);
    if (call == NULL)
        return;
    call->is_durable = true;
    call_add(call, replacement->id);
    call_add_number(call, replacement->starts_at);
    call_add_number(call, replacement->over_seconds);
    call_add(call, replacement->explanation_url);
    call_add(call, replacement->by);
    call_add_number(call, (int64_t)replacement->total);
    call_add_number(call, replacement->ends_at);
    call_add_number(call, STORE_REPLACEMENTS_MAX);
    selection_add(call, &replacement->selection);
    call_send(call);
}

static bool parse_loaded(struct store_call *call, struct redisReply *const *items, size_t count,
                         struct error *error) {
    return reply_read_hash(call, items, count, read_replacement, "replacement", error);
}

void store_load_replacement(struct store *store, struct arena *arena, const char *id,
                            struct store_replacement *out, store_done *done, void *context) {
    call_load_hash(store, arena, "replacement:", id, parse_loaded, out, done, context);
}

static bool parse_list(struct store_call *call, struct redisReply *const *items, size_t count,
                       struct error *error) {
    struct store_replacement_list *list = call->out;
    return reply_read_page(call, items, count, read_replacement, sizeof *list->items, (void **)&list->items,
                           &list->count, &list->next_cursor, error);
}

void store_list_replacements(struct store *store, struct arena *arena, const char *cursor, uint32_t limit,
                             struct store_replacement_list *out, store_done *done, void *context) {
    struct store_call *call =
        call_new(store, SCRIPT_LIST_REPLACEMENTS, arena, parse_list, out, done, context);
    if (call == NULL)
        return;
    call_add_cursor(call, cursor);
    call_add_limit(call, limit);
    call_send(call);
}

static bool parse_one(struct store_call *call, struct redisReply *const *items, size_t count,
                      struct error *error) {
    return reply_read_one(call, items, count, read_replacement, error);
}

void store_cancel_replacement(struct store *store, struct arena *arena, const char *id, const char *by,
                              struct store_replacement *out, store_done *done, void *context) {
    struct store_call *call =
        call_new(store, SCRIPT_CANCEL_REPLACEMENT, arena, parse_one, out, done, context);
    if (call == NULL)
        return;
    call->is_durable = true;
    call_add(call, id);
    call_add(call, by);
    call_send(call);
}

static bool parse_progress(struct store_call *call, struct redisReply *const *items, size_t count,
                           struct error *error) {
    struct store_replacement_progress *progress = call->out;
    int64_t numbers[3] = {0};
    if (count < 4)
        return error_set(error, ERROR_INTERNAL, "Redis did not say how far a replacement is");
    char *cursor = reply_text(call->arena, items[0], error);
    progress->items = arena_alloc(call->arena, count * sizeof *progress->items);
    progress->count = 0;
    if (cursor == NULL)
        return false;
    if (progress->items == NULL)
        return reply_out_of_memory(error);
    for (size_t i = 0; i < 3; i++)
        if (!reply_number(items[i + 1], &numbers[i], error))
            return false;
    for (size_t i = 4; i < count; i++)
        if (!reply_is_array(items[i], 2, error) ||
            !certificate_read(call->arena, items[i]->element[0], items[i]->element[1],
                              &progress->items[progress->count++], error))
            return false;
    progress->replaced += (uint64_t)numbers[0];
    progress->ended += (uint64_t)numbers[1];
    progress->waiting += (uint64_t)numbers[2];
    progress->cursor = *cursor == '\0' ? NULL : cursor;
    return true;
}

void store_page_replacement(struct store *store, struct arena *arena, const char *id, bool wants_waiting,
                            uint32_t limit, struct store_replacement_progress *progress, store_done *done,
                            void *context) {
    struct store_call *call =
        call_new(store, SCRIPT_PAGE_REPLACEMENT, arena, parse_progress, progress, done, context);
    if (call == NULL)
        return;
    call_add(call, id);
    call_add_cursor(call, progress->cursor);
    call_add_number(call, wants_waiting);
    call_add_limit(call, limit);
    call_send(call);
}

struct renewal_places {
    struct store_certificate *certificate;
    struct store_renewal *renewal;
};

static bool parse_renewal(struct store_call *call, struct redisReply *const *items, size_t count,
                          struct error *error) {
    struct renewal_places *places = call->extra;
    int64_t from = 0, over = 0;
    if (count < 5)
        return error_set(error, ERROR_INTERNAL, "Redis answered less than a certificate's renewal");
    if (!certificate_read(call->arena, items[0], items[1], places->certificate, error) ||
        !reply_number(items[2], &from, error) || !reply_number(items[3], &over, error))
        return false;
    *places->renewal = (struct store_renewal){.from = (time_t)from,
                                              .over_seconds = (uint32_t)over,
                                              .explanation_url = reply_text(call->arena, items[4], error)};
    return places->renewal->explanation_url != NULL;
}

void store_load_renewal(struct store *store, struct arena *arena, const char *serial_hex,
                        struct store_certificate *out, struct store_renewal *renewal, store_done *done,
                        void *context) {
    const struct renewal_places places = {out, renewal};
    struct store_call *call = call_new(store, SCRIPT_LOAD_RENEWAL, arena, parse_renewal, NULL, done, context);
    if (call == NULL)
        return;
    call->extra = arena_copy(call->own, &places, sizeof places);
    if (call->extra == NULL) {
        call_refuse(call, ERROR_INTERNAL, "out of memory");
        return;
    }
    call_add(call, serial_hex);
    call_send(call);
}
