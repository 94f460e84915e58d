/* EAB keys: the HMAC key derives from the master secret and the key id, so it is stored nowhere. Ending one
 * may also end the accounts that it has bound. */
#include "internal.h"

struct eab_state {
    struct admin_call call;
    struct store_eab_key key;
    struct store_eab_key_list keys;
    struct rights rights;
    bool with_accounts;
    struct admin_account_ends ends;
};

static enum step_result create_key(struct operation *operation) {
    struct eab_state *state = operation->state;
    store_create_eab_key(operation->worker->store, operation->arena, state->call.customer.id, &state->key,
                         admin_done, operation);
    return STEP_WAIT;
}

static enum step_result reply_key(struct operation *operation) {
    struct eab_state *state = operation->state;
    uint8_t hmac[SECRET_BYTES];
    secrets_derive_eab_key(operation->worker->secrets, state->key.kid, hmac);
    const char *text = base64url_encode(operation->arena, hmac, sizeof hmac);
    bytes_wipe(hmac, sizeof hmac);
    http_reply_header(operation->request, "Cache-Control", "no-store");
    admin_reply(operation, 201,
                json_pack("{s:s, s:s}", "kid", state->key.kid, "hmac", text == NULL ? "" : text));
    return STEP_REPLIED;
}

static const struct step create_key_steps[] = {{"read body", admin_read_body},
                                               {"require secrets", admin_require_secrets},
                                               {"find customer", admin_find_path_customer},
                                               {"create key", create_key},
                                               {"reply", reply_key}};
static const struct operation_kind create_eab_key =
    OPERATION_KIND("create EAB key", create_key_steps, struct eab_state, admin_fail);

void admin_create_eab_key(struct http_request *request) {
    operation_start(request, &create_eab_key);
}

static enum step_result list_keys(struct operation *operation) {
    struct eab_state *state = operation->state;
    store_list_eab_keys(operation->worker->store, operation->arena, state->call.customer.id, &state->keys,
                        admin_done, operation);
    return STEP_WAIT;
}

static enum step_result reply_keys(struct operation *operation) {
    struct eab_state *state = operation->state;
    json_t *items = json_array();
    for (size_t i = 0; i < state->keys.count; i++) {
        const struct store_eab_key *key = &state->keys.items[i];
        json_t *item = json_pack("{s:s, s:s, s:b}", "kid", key->kid, "customer", key->customer, "revoked",
                                 key->is_revoked);
        admin_set_time(item, "created_at", key->created_at);
        json_array_append_new(items, item);
    }
    admin_reply(operation, 200, json_pack("{s:o}", "items", items));
    return STEP_REPLIED;
}

static const struct step list_keys_steps[] = {{"require Redis", admin_require_ready},
                                              {"find customer", admin_find_path_customer},
                                              {"list keys", list_keys},
                                              {"reply", reply_keys}};
static const struct operation_kind list_eab_keys =
    OPERATION_KIND("list EAB keys", list_keys_steps, struct eab_state, admin_fail);

void admin_list_eab_keys(struct http_request *request) {
    operation_start(request, &list_eab_keys);
}

static enum step_result read_extent(struct operation *operation) {
    struct eab_state *state = operation->state;
    const char *accounts = http_query_parameter(operation->request, "accounts");
    state->with_accounts = accounts != NULL && strcmp(accounts, "deactivate") == 0;
    if (accounts != NULL && !state->with_accounts)
        return admin_refuse(operation, ERROR_INVALID, "accounts must be deactivate; without it they stay");
    return admin_require_ready(operation);
}

static enum step_result load_key(struct operation *operation) {
    struct eab_state *state = operation->state;
    store_load_eab_key(operation->worker->store, operation->arena, operation->request->params[1], &state->key,
                       admin_done, operation);
    return STEP_WAIT;
}

static enum step_result record_end(struct operation *operation) {
    struct eab_state *state = operation->state;
    if (strcmp(state->key.customer, state->call.customer.id) != 0)
        return admin_refuse(operation, ERROR_NOT_FOUND, "the customer has no binding key of this id");
    if (state->key.is_revoked)
        return STEP_DONE;
    rights_add(&state->rights, "eab-key-ended", state->key.kid, admin_by(operation));
    return admin_record_rights(operation, &state->rights);
}

static enum step_result delete_key(struct operation *operation) {
    struct eab_state *state = operation->state;
    if (state->rights.count == 0) /* it has ended already */
        return STEP_DONE;
    store_revoke_eab_key(operation->worker->store, state->call.customer.id, state->key.kid,
                         state->rights.given, admin_done_recorded, operation);
    return STEP_WAIT;
}

/* Behind the key's own end: no account is bound by it any more. */
static enum step_result end_accounts(struct operation *operation) {
    struct eab_state *state = operation->state;
    if (!state->with_accounts)
        return STEP_DONE;
    admin_end_accounts(operation, &state->ends, state->call.customer.id, state->key.kid);
    return STEP_WAIT;
}

static enum step_result reply_deleted(struct operation *operation) {
    const struct eab_state *state = operation->state;
    json_t *json = json_pack("{s:s, s:b}", "kid", operation->request->params[1], "revoked", 1);
    if (state->with_accounts) {
        json_object_set_new(json, "accounts_deactivated", json_integer((json_int_t)state->ends.count));
        json_object_set_new(json, "has_more", json_boolean(state->ends.has_more));
    }
    admin_reply(operation, 200, json);
    return STEP_REPLIED;
}

static const struct step delete_key_steps[] = {
    {"read extent", read_extent}, {"find customer", admin_find_path_customer},
    {"load key", load_key},       {"record end", record_end},
    {"delete key", delete_key},   {"end accounts", end_accounts},
    {"reply", reply_deleted}};
static const struct operation_kind delete_eab_key =
    OPERATION_KIND("delete EAB key", delete_key_steps, struct eab_state, admin_fail);

void admin_delete_eab_key(struct http_request *request) {
    operation_start(request, &delete_eab_key);
}
