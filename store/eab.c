/* External account binding keys (RFC 8555 7.3.4): only their ids live here, the keys derive from the master
 * secret. */
#include "call.h"

#define EAB_KEY_ID_BYTES 16

static bool read_key(struct arena *arena, const struct redisReply *id, const struct redisReply *pairs,
                     void *object, struct error *error) {
    static const struct store_field fields[] = {
        {"customer", FIELD_TEXT, offsetof(struct store_eab_key, customer), NULL},
        {"created", FIELD_TIME, offsetof(struct store_eab_key, created_at), NULL},
        {"revoked", FIELD_FLAG, offsetof(struct store_eab_key, is_revoked), NULL},
    };
    struct store_eab_key *key = object;
    *key = (struct store_eab_key){.kid = reply_text(arena, id, error)};
    return key->kid != NULL &&
           reply_read_fields(arena, pairs, fields, sizeof fields / sizeof *fields, key, error);
}

static bool parse_created(struct store_call *call, struct redisReply *const *items, size_t count,
                          struct error *error) {
    struct store_eab_key *key = call->out, *made = call->extra;
    int64_t created = 0;
    if (count < 1 || !reply_number(items[0], &created, error))
        return false;
    *key = *made;
    key->created_at = (time_t)created;
    return true;
}

void store_create_eab_key(struct store *store, struct arena *arena, const char *customer,
                          struct store_eab_key *out, store_done *done, void *context) {
    struct store_call *call =
        call_new(store, SCRIPT_CREATE_EAB_KEY, arena, parse_created, out, done, context);
    if (call == NULL)
        return;
    struct store_eab_key *made = arena_alloc(call->own, sizeof *made);
    char *kid = random_hex(arena, EAB_KEY_ID_BYTES);
    char *copy = arena_strdup(arena, customer);
    if (made == NULL || kid == NULL || copy == NULL) {
        call_refuse(call, ERROR_INTERNAL, "out of memory");
        return;
    }
    *made = (struct store_eab_key){.kid = kid, .customer = copy};
    call->extra = made;
    call_add(call, kid);
    call_add(call, customer);
    call_send(call);
}

static bool parse_key(struct store_call *call, struct redisReply *const *items, size_t count,
                      struct error *error) {
    return reply_read_hash(call, items, count, read_key, "external account binding key", error);
}

void store_load_eab_key(struct store *store, struct arena *arena, const char *kid, struct store_eab_key *out,
                        store_done *done, void *context) {
    call_load_hash(store, arena, "eab:", kid, parse_key, out, done, context);
}

void store_revoke_eab_key(struct store *store, const char *customer, const char *kid,
                          const struct store_right *right, store_done *done, void *context) {
    struct store_call *call = call_new(store, SCRIPT_REVOKE_EAB_KEY, NULL, NULL, NULL, done, context);
    if (call == NULL)
        return;
    call->is_durable = true;
    call_add(call, kid);
    call_add(call, customer);
    right_add(call, right);
    call_send(call);
}

static bool parse_list(struct store_call *call, struct redisReply *const *items, size_t count,
                       struct error *error) {
    struct store_eab_key_list *list = call->out;
    return reply_read_page(call, items, count, read_key, sizeof *list->items, (void **)&list->items,
                           &list->count, NULL, error);
}

void store_list_eab_keys(struct store *store, struct arena *arena, const char *customer,
                         struct store_eab_key_list *out, store_done *done, void *context) {
    struct store_call *call = call_new(store, SCRIPT_LIST_EAB_KEYS, arena, parse_list, out, done, context);
    if (call == NULL)
        return;
    call_add(call, customer);
    call_send(call);
}
