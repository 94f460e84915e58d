/* Customers: who owns zones, keys and accounts. */
#include "call.h"

#include "originca/customer_name.h"

static bool read_customer(struct arena *arena, const struct redisReply *id, const struct redisReply *pairs,
                          void *object, struct error *error) {
    static const struct store_field fields[] = {
        {"name", FIELD_TEXT, offsetof(struct store_customer, name), NULL},
        {"created", FIELD_TIME, offsetof(struct store_customer, created_at), NULL},
        {"suspended", FIELD_TIME, offsetof(struct store_customer, suspended_at), NULL},
        {"right_at", FIELD_INT64, offsetof(struct store_customer, right_at_ms), NULL},
    };
    struct store_customer *customer = object;
    *customer = (struct store_customer){.id = reply_text(arena, id, error)};
    return customer->id != NULL &&
           reply_read_fields(arena, pairs, fields, sizeof fields / sizeof *fields, customer, error);
}

static bool parse_created(struct store_call *call, struct redisReply *const *items, size_t count,
                          struct error *error) {
    struct store_customer *customer = call->out, *made = call->extra;
    int64_t created = 0;
    if (count < 1 || !reply_number(items[0], &created, error))
        return false;
    *customer = *made;
    customer->created_at = (time_t)created;
    return true;
}

void store_create_customer(struct store *store, struct arena *arena, const char *name,
                           struct store_customer *out, store_done *done, void *context) {
    struct store_call *call =
        call_new(store, SCRIPT_CREATE_CUSTOMER, arena, parse_created, out, done, context);
    if (call == NULL)
        return;
    struct store_customer *made = arena_alloc(call->own, sizeof *made);
    char *id = random_hex(arena, CUSTOMER_ID_LENGTH / 2);
    char *copy = arena_strdup(arena, name);
    if (made == NULL || id == NULL || copy == NULL) {
        call_refuse(call, ERROR_INTERNAL, "out of memory");
        return;
    }
    *made = (struct store_customer){.id = id, .name = copy};
    call->extra = made;
    call_add(call, id);
    call_add(call, name);
    call_send(call);
}

static bool parse_customer(struct store_call *call, struct redisReply *const *items, size_t count,
                           struct error *error) {
    return reply_read_one(call, items, count, read_customer, error);
}

void store_find_customer(struct store *store, struct arena *arena, const char *id_or_name,
                         struct store_customer *out, store_done *done, void *context) {
    struct store_call *call =
        call_new(store, SCRIPT_FIND_CUSTOMER, arena, parse_customer, out, done, context);
    if (call == NULL)
        return;
    call_add(call, id_or_name);
    call_send(call);
}

static bool parse_loaded(struct store_call *call, struct redisReply *const *items, size_t count,
                         struct error *error) {
    return reply_read_hash(call, items, count, read_customer, "customer", error);
}

void store_load_customer(struct store *store, struct arena *arena, const char *id, struct store_customer *out,
                         store_done *done, void *context) {
    call_load_hash(store, arena, "customer:", id, parse_loaded, out, done, context);
}

void store_set_customer_suspended(struct store *store, struct arena *arena, const char *id, bool is_suspended,
                                  struct store_customer *out, const struct store_right *right,
                                  store_done *done, void *context) {
    struct store_call *call =
        call_new(store, SCRIPT_SUSPEND_CUSTOMER, arena, parse_customer, out, done, context);
    if (call == NULL)
        return;
    call->is_durable = true;
    call_add(call, id);
    call_add_number(call, is_suspended);
    right_add(call, right);
    call_send(call);
}

static bool parse_list(struct store_call *call, struct redisReply *const *items, size_t count,
                       struct error *error) {
    struct store_customer_list *list = call->out;
    return reply_read_page(call, items, count, read_customer, sizeof *list->items, (void **)&list->items,
                           &list->count, &list->next_cursor, error);
}

void store_list_customers(struct store *store, struct arena *arena, const char *cursor, uint32_t limit,
                          struct store_customer_list *out, store_done *done, void *context) {
    struct store_call *call = call_new(store, SCRIPT_LIST_CUSTOMERS, arena, parse_list, out, done, context);
    if (call == NULL)
        return;
    call_add_cursor(call, cursor);
    call_add_limit(call, limit);
    call_send(call);
}
