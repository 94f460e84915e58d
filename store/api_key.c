/* Keys of the REST API. A key is shown once, when it is made; here lies only a hash of it, under the id that
 * is part of the key. Whoever checks a key reads it from here each time, so that ending one counts at once on
 * every worker. */
#include "call.h"

static bool read_key(struct arena *arena, const struct redisReply *id, const struct redisReply *pairs,
                     void *object, struct error *error) {
    static const struct store_field fields[] = {
        {"customer", FIELD_TEXT, offsetof(struct store_api_key, customer), NULL},
        {"kind", FIELD_TEXT, offsetof(struct store_api_key, kind), NULL},
        {"hash", FIELD_TEXT, offsetof(struct store_api_key, hash), NULL},
        {"rights", FIELD_TEXT, offsetof(struct store_api_key, rights), NULL},
        {"zones", FIELD_WORDS, offsetof(struct store_api_key, zones), NULL},
        {"name", FIELD_TEXT, offsetof(struct store_api_key, name), NULL},
        {"created", FIELD_TIME, offsetof(struct store_api_key, created_at), NULL},
        {"revoked", FIELD_TIME, offsetof(struct store_api_key, revoked_at), NULL},
    };
    _Static_assert(offsetof(struct store_api_key, zone_count) ==
                       offsetof(struct store_api_key, zones) + sizeof(const char **),
                   "FIELD_WORDS writes pointer and count");
    struct store_api_key *key = object;
    *key = (struct store_api_key){.id = reply_text(arena, id, error)};
    return key->id != NULL &&
           reply_read_fields(arena, pairs, fields, sizeof fields / sizeof *fields, key, error);
}

static bool parse_created(struct store_call *call, struct redisReply *const *items, size_t count,
                          struct error *error) {
    int64_t created = 0;
    if (count < 1 || !reply_number(items[0], &created, error))
        return false;
    *(time_t *)call->out = (time_t)created;
    return true;
}

void store_create_api_key(struct store *store, struct arena *arena, const struct store_api_key *key,
                          time_t *created_at, store_done *done, void *context) {
    struct store_call *call =
        call_new(store, SCRIPT_CREATE_API_KEY, arena, parse_created, created_at, done, context);
    if (call == NULL)
        return;
    call->is_durable = true;
    call_add(call, key->id);
    call_add(call, key->customer);
    call_add(call, key->kind);
    call_add(call, key->hash);
    call_add(call, key->rights);
    call_add_joined(call, key->zones, key->zone_count);
    call_add(call, key->name);
    call_send(call);
}

static bool parse_key(struct store_call *call, struct redisReply *const *items, size_t count,
                      struct error *error) {
    return reply_read_one(call, items, count, read_key, error);
}

void store_load_api_key(struct store *store, struct arena *arena, const char *id, struct store_api_key *out,
                        store_done *done, void *context) {
    struct store_call *call = call_new(store, SCRIPT_LOAD_API_KEY, arena, parse_key, out, done, context);
    if (call == NULL)
        return;
    call_add(call, id);
    call_send(call);
}

void store_revoke_api_key(struct store *store, const char *customer, const char *id,
                          const struct store_right *right, store_done *done, void *context) {
    struct store_call *call = call_new(store, SCRIPT_REVOKE_API_KEY, NULL, NULL, NULL, done, context);
    if (call == NULL)
        return;
    call->is_durable = true;
    call_add(call, id);
    call_add(call, customer);
    right_add(call, right);
    call_send(call);
}

static bool parse_list(struct store_call *call, struct redisReply *const *items, size_t count,
                       struct error *error) {
    struct store_api_key_list *list = call->out;
    return reply_read_page(call, items, count, read_key, sizeof *list->items, (void **)&list->items,
                           &list->count, NULL, error);
}

void store_list_api_keys(struct store *store, struct arena *arena, const char *customer,
                         struct store_api_key_list *out, store_done *done, void *context) {
    struct store_call *call = call_new(store, SCRIPT_LIST_API_KEYS, arena, parse_list, out, done, context);
    if (call == NULL)
        return;
    call_add(call, customer);
    call_send(call);
}
