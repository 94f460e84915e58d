/* Numbered pages, for the REST API, whose clients count pages instead of following a cursor: each page is
 * read with the number of all. */
#include <string.h>

#include "call.h"

/* "total, {id, fields} ..." */
static bool parse_page(struct store_call *call, struct redisReply *const *items, size_t count,
                       store_read_object *read, size_t size, void **objects, size_t *object_count,
                       struct error *error) {
    int64_t total = 0;
    if (count < 1 || !reply_number(items[0], &total, error))
        return error_set(error, ERROR_INTERNAL, "Redis answered a page without its total");
    char *array = arena_alloc(call->arena, count * size);
    if (array == NULL)
        return reply_out_of_memory(error);
    for (size_t i = 1; i < count; i++)
        if (!reply_is_array(items[i], 2, error) ||
            !read(call->arena, items[i]->element[0], items[i]->element[1], array + (i - 1) * size, error))
            return false;
    *(uint64_t *)call->extra = total < 0 ? 0 : (uint64_t)total;
    *objects = array;
    *object_count = count - 1;
    return true;
}

static bool parse_certificates(struct store_call *call, struct redisReply *const *items, size_t count,
                               struct error *error) {
    struct store_certificate_list *list = call->out;
    return parse_page(call, items, count, certificate_read, sizeof *list->items, (void **)&list->items,
                      &list->count, error);
}

void store_page_certificates(struct store *store, struct arena *arena, const char *zone_id, uint32_t offset,
                             uint32_t limit, struct store_certificate_list *out, uint64_t *total,
                             store_done *done, void *context) {
    struct store_call *call =
        call_new(store, SCRIPT_PAGE_CERTIFICATES, arena, parse_certificates, out, done, context);
    if (call == NULL)
        return;
    call->extra = total;
    call_add(call, zone_id);
    call_add_number(call, offset);
    call_add_limit(call, limit);
    call_send(call);
}

static bool parse_zones(struct store_call *call, struct redisReply *const *items, size_t count,
                        struct error *error) {
    struct store_zone_list *list = call->out;
    return parse_page(call, items, count, zone_read, sizeof *list->items, (void **)&list->items, &list->count,
                      error);
}

void store_page_zones(struct store *store, struct arena *arena, const struct store_zone_filter *filter,
                      struct store_zone_list *out, uint64_t *total, store_done *done, void *context) {
    struct store_call *call = call_new(store, SCRIPT_PAGE_ZONES, arena, parse_zones, out, done, context);
    if (call == NULL)
        return;
    call->extra = total;
    call_add(call, filter->customer);
    call_add(call, filter->name);
    call_add(call, filter->status);
    call_add_joined(call, filter->zones, filter->zone_count);
    call_add_number(call, filter->offset);
    call_add_limit(call, filter->limit);
    call_send(call);
}
