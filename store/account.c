/* ACME accounts, and the script that opens every ACME request: nonce and account in one call. */
#include <string.h>

#include "call.h"
#include "link.h"

static bool account_read(struct arena *arena, const struct redisReply *id, const struct redisReply *pairs,
                         void *object, struct error *error) {
    static const struct store_field fields[] = {
        {"customer", FIELD_TEXT, offsetof(struct store_account, customer), NULL},
        {"status", FIELD_ENUM, offsetof(struct store_account, status), store_account_statuses},
        {"jwk", FIELD_TEXT, offsetof(struct store_account, jwk), NULL},
        {"thumbprint", FIELD_TEXT, offsetof(struct store_account, thumbprint), NULL},
        {"contacts", FIELD_TEXT, offsetof(struct store_account, contacts), NULL},
        {"eab", FIELD_TEXT, offsetof(struct store_account, eab_kid), NULL},
        {"terms", FIELD_FLAG, offsetof(struct store_account, has_agreed_terms), NULL},
        {"created", FIELD_TIME, offsetof(struct store_account, created_at), NULL},
        {"used", FIELD_TIME, offsetof(struct store_account, used_at), NULL},
    };
    struct store_account *account = object;
    *account = (struct store_account){.id = reply_text(arena, id, error), .contacts = ""};
    if (account->id == NULL)
        return false;
    if (!reply_read_fields(arena, pairs, fields, sizeof fields / sizeof *fields, account, error))
        return false;
    if (*account->contacts == '\0')
        account->contacts = "[]";
    return true;
}

static bool parse_account(struct store_call *call, struct redisReply *const *items, size_t count,
                          struct error *error) {
    return reply_read_one(call, items, count, account_read, error);
}

/* --- authenticate --- */

static bool parse_authenticated(struct store_call *call, struct redisReply *const *items, size_t count,
                                struct error *error) {
    struct store_account *account = call->out;
    if (count < 2 || !reply_is_text(items[0]))
        return error_set(error, ERROR_INTERNAL, "Redis answered no account id");
    if (items[0]->len > 0)
        return account_read(call->arena, items[0], items[1], account, error);
    if (account != NULL)
        *account = (struct store_account){.id = NULL};
    return true;
}

void store_authenticate(struct store *store, struct arena *arena, const struct nonce *nonce,
                        const char *account_id, const char *thumbprint, struct store_account *out,
                        store_done *done, void *context) {
    struct store_call *call =
        call_new(store, SCRIPT_AUTHENTICATE, arena, parse_authenticated, out, done, context);
    if (call == NULL)
        return;
    call_add(call, nonce->block_hex);
    call_add_number(call, nonce->index);
    /* A block gives nonces out for NONCE_BLOCK_SECONDS: this covers the newest it can still give. */
    call_add_number(call, nonce->expires_at + NONCE_BLOCK_SECONDS);
    call_add(call, account_id);
    call_add(call, thumbprint);
    call_add_number(call, store_config(store)->account_idle_seconds);
    call_add_number(call, nonce->issued_at);
    call_send(call);
}

/* --- create --- */

static bool parse_created(struct store_call *call, struct redisReply *const *items, size_t count,
                          struct error *error) {
    int64_t was_created = 0;
    if (count < 3 || !reply_number(items[0], &was_created, error))
        return false;
    *(bool *)call->extra = was_created == 1;
    return account_read(call->arena, items[1], items[2], call->out, error);
}

static void add_pair(struct store_call *call, const char *name, const char *value) {
    if (value == NULL || *value == '\0')
        return;
    call_add(call, name);
    call_add(call, value);
}

void store_create_account(struct store *store, struct arena *arena, const struct store_account *account,
                          struct store_account *out, bool *was_created, store_done *done, void *context) {
    struct store_call *call =
        call_new(store, SCRIPT_CREATE_ACCOUNT, arena, parse_created, out, done, context);
    if (call == NULL)
        return;
    char spki[2 * SHA256_BYTES + 1];
    struct error error = {.code = ERROR_NONE};
    char *id = random_id(call->own);
    if (id == NULL || !account_key_spki_sha256(account->jwk, spki, &error)) {
        call_refuse(call, id == NULL ? ERROR_INTERNAL : error.code,
                    id == NULL ? "out of memory" : error.message);
        return;
    }
    call->extra = was_created;
    call_add(call, id);
    call_add_number(call, store_config(store)->account_idle_seconds);
    call_add(call, account->thumbprint);
    call_add(call, spki);
    call_add(call, account->customer);
    call_add(call, account->eab_kid);
    add_pair(call, "status", store_account_status_name(account->status));
    add_pair(call, "customer", account->customer);
    add_pair(call, "jwk", account->jwk);
    add_pair(call, "thumbprint", account->thumbprint);
    add_pair(call, "spki", spki);
    if (account->contacts != NULL && strcmp(account->contacts, "[]") != 0)
        add_pair(call, "contacts", account->contacts);
    add_pair(call, "eab", account->eab_kid);
    add_pair(call, "terms", account->has_agreed_terms ? "1" : NULL);
    call_add(call, "created");
    call_add_number(call, account->created_at != 0 ? account->created_at : clock_wall_ms() / 1000);
    call_send(call);
}

/* --- load and change --- */

static bool parse_loaded(struct store_call *call, struct redisReply *const *items, size_t count,
                         struct error *error) {
    return reply_read_hash(call, items, count, account_read, "account", error);
}

void store_load_account(struct store *store, struct arena *arena, const char *account_id,
                        struct store_account *out, store_done *done, void *context) {
    call_load_hash(store, arena, "account:", account_id, parse_loaded, out, done, context);
}

static bool parse_list(struct store_call *call, struct redisReply *const *items, size_t count,
                       struct error *error) {
    struct store_account_list *list = call->out;
    return reply_read_page(call, items, count, account_read, sizeof *list->items, (void **)&list->items,
                           &list->count, &list->next_cursor, error);
}

void store_list_accounts(struct store *store, struct arena *arena, const struct store_account_filter *filter,
                         struct store_account_list *out, store_done *done, void *context) {
    struct store_call *call = call_new(store, SCRIPT_LIST_ACCOUNTS, arena, parse_list, out, done, context);
    if (call == NULL)
        return;
    call_add(call, filter->customer);
    call_add(call, filter->eab_kid);
    call_add(call,
             filter->status < 0 ? "" : store_account_status_name((enum store_account_status)filter->status));
    call_add_cursor(call, filter->cursor);
    call_add_limit(call, filter->limit);
    call_send(call);
}

void store_update_account(struct store *store, struct arena *arena, const char *account_id,
                          const char *contacts, bool agree_terms, bool deactivate, struct store_account *out,
                          const struct store_right *right, store_done *done, void *context) {
    struct store_call *call =
        call_new(store, SCRIPT_UPDATE_ACCOUNT, arena, parse_account, out, done, context);
    if (call == NULL)
        return;
    call_add(call, account_id);
    call_add_number(call, contacts != NULL);
    call_add(call, contacts);
    call_add_number(call, agree_terms);
    call_add_number(call, deactivate);
    right_add(call, right);
    call->is_durable = deactivate;
    call_send(call);
}

static bool parse_holder(struct store_call *call, struct redisReply *const *items, size_t count,
                         struct error *error) {
    struct store_key_claim *claim = call->out;
    int64_t seconds = 0;
    if (count == 0)
        return true;
    if (count != 2 || (claim->holder = reply_text(call->arena, items[0], error)) == NULL)
        return error_set(error, ERROR_INTERNAL, "Redis did not say who holds the account key");
    if (items[1]->len > 0 && !reply_number(items[1], &seconds, error))
        return false;
    claim->busy_seconds = seconds > 0 && seconds <= UINT32_MAX ? (uint32_t)seconds : 0;
    return true;
}

static void send_key_change(struct store_call *call, const char *account_id, const char *old_thumbprint,
                            const char *new_thumbprint, const char *new_jwk, const char *step,
                            const struct store_right *right) {
    char spki[2 * SHA256_BYTES + 1];
    struct error error = {.code = ERROR_NONE};
    if (!account_key_spki_sha256(new_jwk, spki, &error)) {
        call_refuse(call, error.code, error.message);
        return;
    }
    call_add(call, account_id);
    call_add(call, old_thumbprint);
    call_add(call, new_thumbprint);
    call_add(call, new_jwk);
    call_add(call, spki);
    call_add_number(call, store_config(call->store)->account_idle_seconds);
    call_add(call, step);
    call_add_number(call, store_config(call->store)->key_change_seconds);
    right_add(call, right);
    call_send(call);
}

void store_claim_account_key(struct store *store, struct arena *arena, const char *account_id,
                             const char *old_thumbprint, const char *new_thumbprint, const char *new_jwk,
                             struct store_key_claim *claim, store_done *done, void *context) {
    struct store_call *call =
        call_new(store, SCRIPT_CHANGE_ACCOUNT_KEY, arena, parse_holder, claim, done, context);
    *claim = (struct store_key_claim){.holder = ""};
    if (call != NULL)
        send_key_change(call, account_id, old_thumbprint, new_thumbprint, new_jwk, "claim", NULL);
}

void store_change_account_key(struct store *store, const char *account_id, const char *old_thumbprint,
                              const char *new_thumbprint, const char *new_jwk,
                              const struct store_right *right, store_done *done, void *context) {
    struct store_call *call = call_new(store, SCRIPT_CHANGE_ACCOUNT_KEY, NULL, NULL, NULL, done, context);
    if (call == NULL)
        return;
    call->is_durable = true;
    send_key_change(call, account_id, old_thumbprint, new_thumbprint, new_jwk, "act", right);
}

/* --- its orders, its names --- */

static bool parse_ids(struct store_call *call, struct redisReply *const *items, size_t count,
                      struct error *error) {
    struct store_id_list *list = call->out;
    char *cursor = count == 0 ? NULL : reply_text(call->arena, items[0], error);
    const char **ids = arena_alloc(call->arena, (count + 1) * sizeof *ids);
    if (cursor == NULL || ids == NULL)
        return error_set(error, ERROR_INTERNAL, "Redis answered a page without a cursor");
    for (size_t i = 1; i < count; i++)
        if ((ids[i - 1] = reply_text(call->arena, items[i], error)) == NULL)
            return false;
    *list = (struct store_id_list){
        .ids = ids, .count = count - 1, .next_cursor = *cursor == '\0' ? NULL : cursor};
    return true;
}

void store_list_account_orders(struct store *store, struct arena *arena, const char *account_id,
                               const char *cursor, uint32_t limit, struct store_id_list *out,
                               store_done *done, void *context) {
    struct store_call *call =
        call_new(store, SCRIPT_LIST_ACCOUNT_ORDERS, arena, parse_ids, out, done, context);
    if (call == NULL)
        return;
    call_add(call, account_id);
    call_add_cursor(call, cursor);
    call_add_limit(call, limit);
    call_send(call);
}
