/* Customers, their EAB keys, and ACME accounts bound by hand for clients that know no EAB. */
#include "internal.h"

#include "originca/customer_name.h"
#include "originca/jose.h"

struct customer_state {
    struct admin_call call;
    struct store_customer created;
    struct store_customer_list list;
    struct store_eab_key key;
    struct store_eab_key_list keys;
    struct jwk jwk;
    struct store_account account;
    bool was_created;
    struct rights rights;
};

static json_t *customer_json(const struct store_customer *customer) {
    json_t *json = json_pack("{s:s, s:s}", "id", customer->id, "name", customer->name);
    admin_set_time(json, "created_at", customer->created_at);
    admin_set_time(json, "suspended_at", customer->suspended_at);
    return json;
}

/* --- customers --- */

static enum step_result create(struct operation *operation) {
    struct customer_state *state = operation->state;
    const char *name = json_get_string(state->call.body, "name", &operation->error);
    if (name == NULL || !customer_name_check(name, &operation->error))
        return STEP_FAIL;
    name = arena_strdup(operation->arena, name);
    operation_forget_request(operation);
    if (name == NULL)
        return admin_refuse(operation, ERROR_INTERNAL, "out of memory");
    store_create_customer(operation->worker->store, operation->arena, name, &state->created, admin_done,
                          operation);
    return STEP_WAIT;
}

static enum step_result reply_created(struct operation *operation) {
    struct customer_state *state = operation->state;
    admin_reply(operation, 201, customer_json(&state->created));
    return STEP_REPLIED;
}

static const struct step create_steps[] = {
    {"read body", admin_read_body}, {"create", create}, {"reply", reply_created}};
static const struct operation_kind create_customer =
    OPERATION_KIND("create customer", create_steps, struct customer_state, admin_fail);

void admin_create_customer(struct http_request *request) {
    operation_start(request, &create_customer);
}

static enum step_result list(struct operation *operation) {
    struct customer_state *state = operation->state;
    uint32_t limit;
    if (!admin_read_limit(operation, &limit))
        return STEP_FAIL;
    store_list_customers(operation->worker->store, operation->arena,
                         http_query_parameter(operation->request, "cursor"), limit, &state->list, admin_done,
                         operation);
    return STEP_WAIT;
}

static enum step_result reply_list(struct operation *operation) {
    struct customer_state *state = operation->state;
    json_t *items = json_array(), *json;
    for (size_t i = 0; i < state->list.count; i++)
        json_array_append_new(items, customer_json(&state->list.items[i]));
    json = json_pack("{s:o}", "items", items);
    admin_set_cursor(json, state->list.next_cursor);
    admin_reply(operation, 200, json);
    return STEP_REPLIED;
}

static const struct step list_steps[] = {
    {"require Redis", admin_require_ready}, {"list", list}, {"reply", reply_list}};
static const struct operation_kind list_customers =
    OPERATION_KIND("list customers", list_steps, struct customer_state, admin_fail);

void admin_list_customers(struct http_request *request) {
    operation_start(request, &list_customers);
}

static enum step_result reply_shown(struct operation *operation) {
    struct customer_state *state = operation->state;
    admin_reply(operation, 200, customer_json(&state->call.customer));
    return STEP_REPLIED;
}

static const struct step show_steps[] = {{"require Redis", admin_require_ready},
                                         {"find customer", admin_find_path_customer},
                                         {"reply", reply_shown}};
static const struct operation_kind show_customer =
    OPERATION_KIND("show customer", show_steps, struct customer_state, admin_fail);

void admin_show_customer(struct http_request *request) {
    operation_start(request, &show_customer);
}

/* --- the stop switch --- */

static bool is_to_suspend(const struct operation *operation) {
    return ((const struct admin_route *)operation->request->route->data)->is_stop;
}

static enum step_result record_suspension(struct operation *operation) {
    struct customer_state *state = operation->state;
    const struct store_customer *customer = &state->call.customer;
    bool is_so = (customer->suspended_at != 0) == is_to_suspend(operation);
    if (is_so && admin_may_trust_redis(operation))
        return STEP_DONE;
    struct signer_change *change =
        rights_add(&state->rights, is_to_suspend(operation) ? "customer-suspended" : "customer-resumed",
                   customer->id, admin_by(operation));
    rights_set_after(change, customer->right_at_ms);
    return admin_record_rights(operation, &state->rights);
}

static enum step_result suspend(struct operation *operation) {
    struct customer_state *state = operation->state;
    if (state->rights.count == 0) /* it is so already */
        return STEP_DONE;
    store_set_customer_suspended(operation->worker->store, operation->arena, state->call.customer.id,
                                 is_to_suspend(operation), &state->call.customer, state->rights.given,
                                 admin_done_recorded, operation);
    return STEP_WAIT;
}

static const struct step suspend_steps[] = {{"require Redis", admin_require_ready},
                                            {"find customer", admin_find_path_customer},
                                            {"record suspension", record_suspension},
                                            {"suspend", suspend},
                                            {"reply", reply_shown}};
static const struct operation_kind suspend_customer =
    OPERATION_KIND("suspend customer", suspend_steps, struct customer_state, admin_fail);

void admin_suspend_customer(struct http_request *request) {
    operation_start(request, &suspend_customer);
}

/* --- EAB keys: the HMAC key derives from the master secret and the key id, so it is stored nowhere --- */

static enum step_result create_key(struct operation *operation) {
    struct customer_state *state = operation->state;
    store_create_eab_key(operation->worker->store, operation->arena, state->call.customer.id, &state->key,
                         admin_done, operation);
    return STEP_WAIT;
}

static enum step_result reply_key(struct operation *operation) {
    struct customer_state *state = operation->state;
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
    OPERATION_KIND("create EAB key", create_key_steps, struct customer_state, admin_fail);

void admin_create_eab_key(struct http_request *request) {
    operation_start(request, &create_eab_key);
}

static enum step_result list_keys(struct operation *operation) {
    struct customer_state *state = operation->state;
    store_list_eab_keys(operation->worker->store, operation->arena, state->call.customer.id, &state->keys,
                        admin_done, operation);
    return STEP_WAIT;
}

static enum step_result reply_keys(struct operation *operation) {
    struct customer_state *state = operation->state;
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
    OPERATION_KIND("list EAB keys", list_keys_steps, struct customer_state, admin_fail);

void admin_list_eab_keys(struct http_request *request) {
    operation_start(request, &list_eab_keys);
}

static enum step_result load_key(struct operation *operation) {
    struct customer_state *state = operation->state;
    store_load_eab_key(operation->worker->store, operation->arena, operation->request->params[1], &state->key,
                       admin_done, operation);
    return STEP_WAIT;
}

static enum step_result record_end(struct operation *operation) {
    struct customer_state *state = operation->state;
    if (strcmp(state->key.customer, state->call.customer.id) != 0)
        return admin_refuse(operation, ERROR_NOT_FOUND, "the customer has no binding key of this id");
    if (state->key.is_revoked)
        return STEP_DONE;
    rights_add(&state->rights, "eab-key-ended", state->key.kid, admin_by(operation));
    return admin_record_rights(operation, &state->rights);
}

static enum step_result delete_key(struct operation *operation) {
    struct customer_state *state = operation->state;
    if (state->rights.count == 0) /* it has ended already */
        return STEP_DONE;
    store_revoke_eab_key(operation->worker->store, state->call.customer.id, state->key.kid,
                         state->rights.given, admin_done_recorded, operation);
    return STEP_WAIT;
}

static enum step_result reply_deleted(struct operation *operation) {
    admin_reply(operation, 200, json_pack("{s:s, s:b}", "kid", operation->request->params[1], "revoked", 1));
    return STEP_REPLIED;
}

static const struct step delete_key_steps[] = {{"require Redis", admin_require_ready},
                                               {"find customer", admin_find_path_customer},
                                               {"load key", load_key},
                                               {"record end", record_end},
                                               {"delete key", delete_key},
                                               {"reply", reply_deleted}};
static const struct operation_kind delete_eab_key =
    OPERATION_KIND("delete EAB key", delete_key_steps, struct customer_state, admin_fail);

void admin_delete_eab_key(struct http_request *request) {
    operation_start(request, &delete_eab_key);
}

/* --- accounts bound by hand --- */

static enum step_result create_account(struct operation *operation) {
    struct customer_state *state = operation->state;
    const json_t *jwk = json_object_get(state->call.body, "jwk");
    if (!json_is_object(jwk))
        return admin_refuse(operation, ERROR_INVALID,
                            "\"jwk\" must be the account's public key as a JWK object");
    if (!jwk_import(operation->arena, jwk, &state->jwk, &operation->error)) {
        operation->error.code = ERROR_INVALID;
        return STEP_FAIL;
    }
    operation_forget_request(operation);
    const struct store_account account = {
        .customer = state->call.customer.id,
        .status = ACCOUNT_VALID,
        .jwk = state->jwk.canonical,
        .thumbprint = state->jwk.thumbprint,
        .contacts = "[]",
        .eab_kid = "",
        .has_agreed_terms = true,
        .created_at = time(NULL),
    };
    store_create_account(operation->worker->store, operation->arena, &account, &state->account,
                         &state->was_created, admin_done, operation);
    return STEP_WAIT;
}

static enum step_result reply_account(struct operation *operation) {
    struct customer_state *state = operation->state;
    if (strcmp(state->account.customer, state->call.customer.id) != 0)
        return admin_refuse(operation, ERROR_CONFLICT, "this key has an account of another customer already");
    json_t *json = json_pack(
        "{s:s, s:s, s:s, s:s, s:s}", "id", state->account.id, "customer", state->account.customer, "status",
        store_account_status_name(state->account.status), "thumbprint", state->account.thumbprint, "url",
        arena_printf(operation->arena, "%s/acme/account/%s", operation->worker->config->base_url,
                     state->account.id));
    admin_reply(operation, state->was_created ? 201 : 200, json);
    return STEP_REPLIED;
}

static const struct step account_steps[] = {{"read body", admin_read_body},
                                            {"find customer", admin_find_path_customer},
                                            {"create account", create_account},
                                            {"reply", reply_account}};
static const struct operation_kind create_acme_account =
    OPERATION_KIND("create ACME account", account_steps, struct customer_state, admin_fail);

void admin_create_account(struct http_request *request) {
    operation_start(request, &create_acme_account);
}
