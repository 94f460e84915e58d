/* Jobs that revoke many certificates: making, listing and ending them, and what the process that works on one
 * asks (server/bulk.c). */
#include "link.h"
#include "selection.h"

static const char *const states[] = {"running", "done", "cancelled", "failed", NULL};

const char *store_bulk_state_name(enum store_bulk_state state) {
    return states[state];
}

static bool read_fields(struct arena *arena, const struct redisReply *id, const struct redisReply *pairs,
                        void *object, struct error *error) {
    static const struct store_field fields[] = {
        SELECTION_FIELDS(struct store_bulk, selection),
        {"state", FIELD_ENUM, offsetof(struct store_bulk, state), states},
        {"reason", FIELD_UINT32, offsetof(struct store_bulk, reason), NULL},
        {"rate", FIELD_UINT32, offsetof(struct store_bulk, rate), NULL},
        {"by", FIELD_TEXT, offsetof(struct store_bulk, by), NULL},
        {"total", FIELD_INT64, offsetof(struct store_bulk, total), NULL},
        {"done", FIELD_INT64, offsetof(struct store_bulk, done), NULL},
        {"failed", FIELD_INT64, offsetof(struct store_bulk, failed), NULL},
        {"created", FIELD_TIME, offsetof(struct store_bulk, created_at), NULL},
        {"ended", FIELD_TIME, offsetof(struct store_bulk, ended_at), NULL},
        {"host", FIELD_TEXT, offsetof(struct store_bulk, owner), NULL},
        {"holder", FIELD_TEXT, offsetof(struct store_bulk, holder), NULL},
        {"lease", FIELD_INT64, offsetof(struct store_bulk, leased_until_ms), NULL},
        {"problem", FIELD_TEXT, offsetof(struct store_bulk, problem), NULL},
        {"ended_by", FIELD_TEXT, offsetof(struct store_bulk, ended_by), NULL},
        {"cursor", FIELD_INT64, offsetof(struct store_bulk, position), NULL},
        {"plan", FIELD_TEXT, offsetof(struct store_bulk, plan), NULL},
        {"seal", FIELD_TEXT, offsetof(struct store_bulk, seal), NULL},
        {"progress_seal", FIELD_TEXT, offsetof(struct store_bulk, progress_seal), NULL},
    };
    struct store_bulk *bulk = object;
    *bulk = (struct store_bulk){.id = reply_text(arena, id, error)};
    return bulk->id != NULL &&
           reply_read_fields(arena, pairs, fields, sizeof fields / sizeof *fields, bulk, error);
}

/* Whoever can write Redis can put there what is no job: it is told as that, and keeps back no other. */
static bool read_bulk(struct arena *arena, const struct redisReply *id, const struct redisReply *pairs,
                      void *object, struct error *error) {
    struct store_bulk *bulk = object;
    struct error unreadable;
    if (read_fields(arena, id, pairs, bulk, &unreadable))
        return true;
    *bulk = (struct store_bulk){.id = reply_text(arena, id, error),
                                .state = BULK_FAILED,
                                .is_unreadable = true,
                                .rate = 1,
                                .by = "",
                                .owner = "",
                                .holder = "",
                                .problem = "",
                                .ended_by = "",
                                .plan = "",
                                .seal = "",
                                .progress_seal = ""};
    return bulk->id != NULL;
}

void store_add_bulk_piece(struct store *store, const char *plan, uint64_t piece, const char *seal,
                          const char *serials, store_done *done, void *context) {
    struct store_call *call = call_new(store, SCRIPT_ADD_BULK_PIECE, NULL, NULL, NULL, done, context);
    if (call == NULL)
        return;
    call_add(call, plan);
    call_add_number(call, (int64_t)piece);
    call_add(call, seal);
    call_add(call, serials);
    call_send(call);
}

void store_create_bulk(struct store *store, const struct store_bulk *bulk, store_done *done, void *context) {
    struct store_call *call = call_new(store, SCRIPT_CREATE_BULK, NULL, NULL, NULL, done, context);
    if (call == NULL)
        return;
    call->is_durable = true;
    call_add(call, bulk->id);
    call_add_number(call, bulk->reason);
    call_add_number(call, bulk->rate);
    call_add(call, bulk->by);
    call_add_number(call, (int64_t)bulk->total);
    call_add_number(call, bulk->created_at);
    call_add(call, bulk->plan);
    call_add(call, bulk->seal);
    call_add(call, bulk->progress_seal);
    call_add_number(call, STORE_BULK_PIECE);
    selection_add(call, &bulk->selection);
    call_send(call);
}

static bool parse_left(struct store_call *call, struct redisReply *const *items, size_t count,
                       struct error *error) {
    struct store_left_zones *left = call->out;
    int64_t looked = 0;
    if (count < 1)
        return error_set(error, ERROR_INTERNAL, "Redis did not say which zones were left");
    left->items = arena_alloc(call->arena, count * sizeof *left->items);
    left->count = 0;
    if (left->items == NULL)
        return reply_out_of_memory(error);
    if (!reply_number(items[0], &looked, error))
        return false;
    left->looked = (size_t)looked;
    for (size_t i = 1; i < count; i++) {
        struct store_left_zone *zone = &left->items[left->count++];
        if (!reply_is_array(items[i], 3, error) ||
            (zone->id = reply_text(call->arena, items[i]->element[0], error)) == NULL ||
            (zone->since = reply_text(call->arena, items[i]->element[1], error)) == NULL ||
            (zone->job = reply_text(call->arena, items[i]->element[2], error)) == NULL)
            return false;
    }
    return true;
}

void store_left_zones(struct store *store, struct arena *arena, int64_t hold_seconds, uint32_t skip,
                      uint32_t limit, struct store_left_zones *out, store_done *done, void *context) {
    struct store_call *call = call_new(store, SCRIPT_LEFT_ZONES, arena, parse_left, out, done, context);
    if (call == NULL)
        return;
    call_add_number(call, hold_seconds);
    call_add_number(call, skip);
    call_add_limit(call, limit);
    call_send(call);
}

void store_note_left_zone(struct store *store, const struct store_left_zone *zone, store_done *done,
                          void *context) {
    struct store_call *call = call_new(store, SCRIPT_NOTE_LEFT_ZONE, NULL, NULL, NULL, done, context);
    if (call == NULL)
        return;
    call_add(call, zone->id);
    call_add(call, zone->since);
    call_send(call);
}

static bool parse_loaded(struct store_call *call, struct redisReply *const *items, size_t count,
                         struct error *error) {
    return reply_read_hash(call, items, count, read_bulk, "job", error);
}

void store_load_bulk(struct store *store, struct arena *arena, const char *id, struct store_bulk *out,
                     store_done *done, void *context) {
    call_load_hash(store, arena, "bulk:", id, parse_loaded, out, done, context);
}

static bool parse_list(struct store_call *call, struct redisReply *const *items, size_t count,
                       struct error *error) {
    struct store_bulk_list *list = call->out;
    return reply_read_page(call, items, count, read_bulk, sizeof *list->items, (void **)&list->items,
                           &list->count, &list->next_cursor, error);
}

void store_list_bulks(struct store *store, struct arena *arena, const char *cursor, uint32_t limit,
                      struct store_bulk_list *out, store_done *done, void *context) {
    struct store_call *call = call_new(store, SCRIPT_LIST_BULKS, arena, parse_list, out, done, context);
    if (call == NULL)
        return;
    call_add_cursor(call, cursor);
    call_add_limit(call, limit);
    call_send(call);
}

static bool parse_one(struct store_call *call, struct redisReply *const *items, size_t count,
                      struct error *error) {
    return reply_read_one(call, items, count, read_bulk, error);
}

void store_cancel_bulk(struct store *store, struct arena *arena, const char *id, const char *by,
                       struct store_bulk *out, store_done *done, void *context) {
    struct store_call *call = call_new(store, SCRIPT_CANCEL_BULK, arena, parse_one, out, done, context);
    if (call == NULL)
        return;
    call->is_durable = true;
    call_add(call, id);
    call_add(call, by);
    call_add_number(call, store_config(store)->evidence_retention_seconds);
    call_send(call);
}

/* --- for who works on a job --- */

static void add_lease(struct store_call *call, const struct store_bulk_lease *lease) {
    call_add(call, lease->holder);
    call_add(call, lease->host);
    call_add_number(call, lease->lease_ms);
}

static bool parse_claimed(struct store_call *call, struct redisReply *const *items, size_t count,
                          struct error *error) {
    *(struct store_bulk *)call->out = (struct store_bulk){.id = NULL};
    return count == 0 || parse_one(call, items, count, error);
}

void store_claim_bulk(struct store *store, struct arena *arena, const struct store_bulk_lease *lease,
                      struct store_bulk *out, store_done *done, void *context) {
    struct store_call *call = call_new(store, SCRIPT_CLAIM_BULK, arena, parse_claimed, out, done, context);
    if (call == NULL)
        return;
    add_lease(call, lease);
    call_send(call);
}

void store_renew_bulk(struct store *store, const char *id, const struct store_bulk_lease *lease,
                      const char *problem, store_done *done, void *context) {
    struct store_call *call = call_new(store, SCRIPT_RENEW_BULK, NULL, NULL, NULL, done, context);
    if (call == NULL)
        return;
    call_add(call, id);
    add_lease(call, lease);
    call_add(call, problem);
    call_send(call);
}

void store_fail_bulk(struct store *store, const char *id, const struct store_bulk_lease *lease,
                     const char *problem, bool is_unreadable, store_done *done, void *context) {
    struct store_call *call = call_new(store, SCRIPT_FAIL_BULK, NULL, NULL, NULL, done, context);
    if (call == NULL)
        return;
    call_add(call, id);
    call_add(call, lease->holder);
    call_add(call, problem);
    call_add_number(call, is_unreadable);
    call_add_number(call, store_config(store)->evidence_retention_seconds);
    call_send(call);
}

#define PAGE_HEAD 5

static bool parse_page(struct store_call *call, struct redisReply *const *items, size_t count,
                       struct error *error) {
    struct store_bulk_page *page = call->out;
    int64_t repeated = 0;
    if (count < PAGE_HEAD)
        return error_set(error, ERROR_INTERNAL, "Redis answered less than a page of a job");
    page->piece_seal = reply_text(call->arena, items[0], error);
    page->piece = reply_text(call->arena, items[1], error);
    page->count = 0;
    page->items = arena_alloc(call->arena, count * sizeof *page->items);
    if (page->piece_seal == NULL || page->piece == NULL || !reply_number(items[2], &repeated, error) ||
        !read_bulk(call->arena, items[3], items[4], &page->job, error))
        return false;
    if (page->items == NULL)
        return reply_out_of_memory(error);
    page->repeated = (uint64_t)repeated;
    for (size_t i = PAGE_HEAD; i < count; i++)
        if (!reply_is_array(items[i], 2, error) ||
            !certificate_read(call->arena, items[i]->element[0], items[i]->element[1],
                              &page->items[page->count++], error))
            return false;
    return true;
}

void store_page_bulk(struct store *store, struct arena *arena, const struct store_bulk *job,
                     const struct store_bulk_lease *lease, struct store_bulk_page *page, store_done *done,
                     void *context) {
    struct store_call *call = call_new(store, SCRIPT_PAGE_BULK, arena, parse_page, page, done, context);
    if (call == NULL)
        return;
    call_add(call, job->id);
    add_lease(call, lease);
    call_add_number(call, (int64_t)(job->position / STORE_BULK_PIECE));
    call_add_number(call, (int64_t)(job->position % STORE_BULK_PIECE));
    call_add_number(call, (int64_t)page->limit);
    call_add(call, job->by);
    call_add(call, job->plan);
    call_send(call);
}

static bool parse_noted(struct store_call *call, struct redisReply *const *items, size_t count,
                        struct error *error) {
    int64_t waits = 0;
    if (count < 1)
        return error_set(error, ERROR_INTERNAL, "Redis did not say whether a job goes on");
    if (!reply_number(items[0], &waits, error))
        return false;
    *(bool *)call->out = waits != 0;
    return true;
}

void store_note_bulk(struct store *store, const char *id, const struct store_bulk_lease *lease,
                     const struct store_bulk_progress *progress, bool *waits, store_done *done,
                     void *context) {
    struct store_call *call = call_new(store, SCRIPT_NOTE_BULK, NULL, parse_noted, waits, done, context);
    if (call == NULL)
        return;
    call->is_durable = true;
    call_add(call, id);
    call_add(call, lease->holder);
    call_add_number(call, (int64_t)progress->before);
    call_add_number(call, (int64_t)progress->position);
    call_add_number(call, (int64_t)progress->done);
    call_add_number(call, (int64_t)progress->failed);
    call_add(call, progress->seal);
    call_add_number(call, progress->is_last);
    call_add(call, progress->problem);
    call_add_number(call, store_config(store)->evidence_retention_seconds);
    call_add_number(call, progress->may_wait);
    call_send(call);
}
