/* Accounts (RFC 8555 7.3): creation with external binding, reading, update, deactivation, their orders. */
#include "internal.h"
#include "originca/limits.h"
#include "originca/rights.h"
#include "originca/url.h"

#include <strings.h>

#include "originca/secrets.h"

#define CONTACT_MAX 320

struct account_state {
    struct acme_post post;
    struct jws binding;
    struct jwk bound;
    struct store_eab_key eab_key;
    struct store_account account;
    struct store_id_list orders;
    const char *contacts; /* that are asked for */
    bool has_agreed_terms, was_created, is_to_deactivate;
    struct limits limits;
    struct rights rights;
};

static json_t *account_json(struct operation *operation, const struct store_account *account) {
    json_t *contacts = json_loads(account->contacts, 0, NULL);
    json_t *json = json_pack("{s:s, s:s}", "status", store_account_status_name(account->status), "orders",
                             acme_url(operation, "account/%s/orders", account->id));
    if (json_array_size(contacts) > 0)
        json_object_set(json, "contact", contacts);
    json_decref(contacts);
    if (account->has_agreed_terms)
        json_object_set_new(json, "termsOfServiceAgreed", json_true());
    return json;
}

static enum step_result reply_account(struct operation *operation, unsigned status,
                                      const struct store_account *account) {
    http_reply_header(operation->request, "Location", acme_url(operation, "account/%s", account->id));
    acme_reply_json(operation, status, account_json(operation, account));
    return STEP_REPLIED;
}

/* --- contacts --- */

static const char *judge_contact(const char *contact) {
    if (strncasecmp(contact, "mailto:", 7) != 0)
        return "unsupportedContact";
    const char *address = contact + 7, *at = strchr(address, '@');
    if (strlen(contact) > CONTACT_MAX || at == NULL || at == address || strchr(at + 1, '@') != NULL ||
        strpbrk(address, "?, ;<>\"\\") != NULL || at[1] == '\0' || at[1] == '.')
        return "invalidContact";
    for (const char *p = address; *p != '\0'; p++)
        if ((unsigned char)*p <= 0x20 || (unsigned char)*p >= 0x7F)
            return "invalidContact";
    return NULL;
}

const char *acme_read_contacts(struct operation *operation, const json_t *payload) {
    const json_t *contacts = json_object_get(payload, "contact"), *contact;
    size_t i;
    if (contacts == NULL || json_is_null(contacts))
        return "[]";
    if (!json_is_array(contacts)) {
        acme_refuse(operation, 400, "malformed", "\"contact\" must be an array of strings");
        return NULL;
    }
    if (json_array_size(contacts) > operation->worker->config->max_contacts) {
        acme_refuse(operation, 400, "invalidContact", "There are more than %u contacts",
                    operation->worker->config->max_contacts);
        return NULL;
    }
    json_array_foreach(contacts, i, contact) {
        const char *text = json_string_value(contact),
                   *type = text == NULL ? "invalidContact" : judge_contact(text);
        if (type != NULL) {
            acme_refuse(operation, 400, type, "Contact %zu is no mailto: URL with one address (RFC 8555 7.3)",
                        i + 1);
            return NULL;
        }
    }
    const char *text = json_to_text(operation->arena, contacts);
    if (text == NULL)
        error_set(&operation->error, ERROR_INTERNAL, "out of memory");
    return text;
}

/* --- newAccount --- */

static bool get_flag(const json_t *payload, const char *name) {
    return json_is_true(json_object_get(payload, name));
}

static bool asks_to_bind(const json_t *payload) {
    const json_t *binding = json_object_get(payload, "externalAccountBinding");
    return binding != NULL && !json_is_null(binding) && !get_flag(payload, "onlyReturnExisting");
}

/* A key has one account. Whoever binds it for another customer is told so, instead of getting an account that
 * cannot order what is that customer's. */
static enum step_result reply_as_customers(struct operation *operation, unsigned status,
                                           const struct store_account *account) {
    const struct account_state *state = operation->state;
    if (state->eab_key.customer != NULL && strcmp(account->customer, state->eab_key.customer) != 0)
        return acme_refuse(
            operation, 403, "unauthorized",
            "externalAccountBinding: the account of this key is not bound to the customer of this "
            "key id, and a key has one account; make a new account key");
    return reply_account(operation, status, account);
}

static enum step_result answer_existing(struct operation *operation) {
    struct account_state *state = operation->state;
    if (state->post.payload == NULL)
        return acme_refuse(operation, 400, "malformed", "newAccount needs a payload");
    if (state->post.account.id != NULL)
        return asks_to_bind(state->post.payload) ? STEP_DONE
                                                 : reply_account(operation, 200, &state->post.account);
    if (get_flag(state->post.payload, "onlyReturnExisting"))
        return acme_refuse(operation, 400, "accountDoesNotExist", "There is no account with this key");
    const char *terms = operation->worker->config->terms_of_service;
    if (terms != NULL && !get_flag(state->post.payload, "termsOfServiceAgreed")) {
        const char *link = arena_printf(operation->arena, "<%s>;rel=\"terms-of-service\"", terms); /* 7.3.3 */
        if (link != NULL)
            http_reply_header(operation->request, "Link", link);
        return acme_refuse(operation, 403, "userActionRequired", "Agree to the terms of service first: %s",
                           terms);
    }
    return STEP_DONE;
}

static enum step_result read_contacts(struct operation *operation) {
    struct account_state *state = operation->state;
    if (state->post.account.id != NULL)
        return acme_forget_request(operation);
    state->contacts = acme_read_contacts(operation, state->post.payload);
    state->has_agreed_terms = get_flag(state->post.payload, "termsOfServiceAgreed");
    return state->contacts == NULL ? STEP_FAIL : acme_forget_request(operation);
}

static enum step_result parse_binding(struct operation *operation) {
    struct account_state *state = operation->state;
    const json_t *json = json_object_get(state->post.payload, "externalAccountBinding");
    enum jws_fault fault;
    if (json == NULL || json_is_null(json)) {
        if (operation->worker->config->external_account_required)
            return acme_refuse(operation, 403, "externalAccountRequired",
                               "This server wants an external account binding: ask your provider for a key "
                               "id and an HMAC key and give "
                               "both to your client, or have the operator register your client's key");
        return STEP_DONE;
    }
    char *text = json_to_text(operation->reading, json);
    if (text == NULL || !jws_parse(operation->arena, (struct bytes){(const uint8_t *)text, strlen(text)},
                                   JWS_INNER_EAB, &state->binding, &fault, &operation->error))
        return acme_refuse(operation, 400, "malformed", "externalAccountBinding: %s",
                           operation->error.message);
    if (!url_equal(operation->reading, state->binding.url, state->post.jws.url))
        return acme_refuse(operation, 400, "malformed",
                           "externalAccountBinding: its \"url\" is not that of the request");
    jws_forget_header(&state->binding);
    const json_t *key = json_parse(operation->reading, state->binding.payload.data,
                                   state->binding.payload.length, &operation->error);
    if (key == NULL || !jwk_import(operation->arena, key, &state->bound, &operation->error) ||
        strcmp(state->bound.thumbprint, state->post.key.thumbprint) != 0)
        return acme_refuse(operation, 400, "malformed",
                           "externalAccountBinding: its payload is not the account's key");
    if (strlen(state->binding.kid) > STORE_ID_MAX)
        return acme_refuse(operation, 403, "unauthorized", "externalAccountBinding: the key id is unknown");
    return STEP_DONE;
}

/* An account that exists is returned with whatever binding is not good any more (7.3.1): clients send the one
 * of their settings again. */
static enum step_result read_binding(struct operation *operation) {
    const struct account_state *state = operation->state;
    enum step_result result = parse_binding(operation);
    return result == STEP_FAIL && state->post.account.id != NULL
               ? reply_account(operation, 200, &state->post.account)
               : result;
}

static void note_eab_key(void *context, const struct error *error) {
    struct operation *operation = context;
    struct account_state *state = operation->state;
    if (error != NULL && error->code == ERROR_NOT_FOUND && state->post.account.id != NULL) {
        state->binding.kid = NULL;
        operation_resume(operation);
        return;
    }
    if (error != NULL && error->code == ERROR_NOT_FOUND) {
        acme_refuse(
            operation, 403, "unauthorized",
            "externalAccountBinding: the key id is unknown or was revoked; ask your provider for a new one");
        operation_fail(operation, NULL);
        return;
    }
    acme_done(context, error);
}

static enum step_result load_binding_key(struct operation *operation) {
    struct account_state *state = operation->state;
    if (state->binding.kid == NULL)
        return STEP_DONE;
    store_load_eab_key(operation->worker->store, operation->arena, state->binding.kid, &state->eab_key,
                       note_eab_key, operation);
    return STEP_WAIT;
}

static enum step_result verify_binding(struct operation *operation) {
    struct account_state *state = operation->state;
    uint8_t key[SECRET_BYTES];
    enum jws_fault fault;
    if (state->binding.kid == NULL)
        return STEP_DONE;
    if (state->eab_key.is_revoked)
        return acme_refuse(
            operation, 403, "unauthorized",
            "externalAccountBinding: the key id is unknown or was revoked; ask your provider for a new one");
    secrets_derive_eab_key(operation->worker->secrets, state->eab_key.kid, key);
    bool is_good = jws_verify_hmac(&state->binding, key, sizeof key, &fault, &operation->error);
    bytes_wipe(key, sizeof key);
    if (!is_good)
        return acme_refuse(operation, 403, "unauthorized", "externalAccountBinding: %s",
                           operation->error.message);
    return STEP_DONE;
}

static enum step_result judge_binding(struct operation *operation) {
    const struct account_state *state = operation->state;
    enum step_result result = verify_binding(operation);
    if (state->post.account.id == NULL)
        return result;
    return result == STEP_FAIL || state->binding.kid == NULL
               ? reply_account(operation, 200, &state->post.account)
               : reply_as_customers(operation, 200, &state->post.account);
}

static void note_created(void *context, const struct error *error) {
    struct operation *operation = context;
    if (error != NULL && error->code == ERROR_REFUSED) {
        acme_refuse(operation, 400, "badPublicKey", "This key cannot be an account's: %s", error->message);
        operation_fail(operation, NULL);
        return;
    }
    acme_done(context, error);
}

static enum step_result take_limits(struct operation *operation) {
    struct account_state *state = operation->state;
    bool is_built = limits_for_account(operation->arena, operation->worker->config, &operation->request->peer,
                                       &state->limits);
    return acme_take_limits(operation, is_built, &state->limits);
}

static enum step_result judge_limits(struct operation *operation) {
    struct account_state *state = operation->state;
    return acme_judge_limits(operation, &state->limits);
}

static enum step_result create_account(struct operation *operation) {
    struct account_state *state = operation->state;
    const struct store_account new_account = {
        .customer = state->binding.kid == NULL ? "" : state->eab_key.customer,
        .status = ACCOUNT_VALID,
        .jwk = state->post.key.canonical,
        .thumbprint = state->post.key.thumbprint,
        .contacts = state->contacts,
        .eab_kid = state->binding.kid == NULL ? "" : state->eab_key.kid,
        .has_agreed_terms = state->has_agreed_terms,
        .created_at = time(NULL),
    };
    store_create_account(operation->worker->store, operation->arena, &new_account, &state->account,
                         &state->was_created, note_created, operation);
    return STEP_WAIT;
}

static enum step_result reply_new_account(struct operation *operation) {
    struct account_state *state = operation->state;
    if (!state->was_created) /* by another request of this key */
        return reply_as_customers(operation, 200, &state->account);
    log_event(LOG_LEVEL_INFO, "account created", "request", operation->request->id, "account",
              state->account.id, "customer", state->account.customer, "peer", operation->request->peer_text,
              NULL);
    return reply_account(operation, 201, &state->account);
}

static const struct step new_account_steps[] = {
    {"await Redis", operation_await_ready}, {"parse", acme_parse_with_jwk},
    {"load account", acme_load_account},    {"verify", acme_verify},
    {"answer existing", answer_existing},   {"read binding", read_binding},
    {"read contacts", read_contacts},       {"load binding key", load_binding_key},
    {"judge binding", judge_binding},       {"take limits", take_limits},
    {"judge limits", judge_limits},         {"create account", create_account},
    {"reply", reply_new_account},
};
static const struct operation_kind new_account =
    OPERATION_KIND("newAccount", new_account_steps, struct account_state, acme_fail);

void acme_new_account(struct http_request *request) {
    operation_start(request, &new_account);
}

/* --- the account itself --- */

static enum step_result require_own(struct operation *operation) {
    if (strcmp(operation->request->params[0], acme_post_of(operation)->account.id) != 0)
        return acme_refuse(operation, 403, "unauthorized", "This is not the account that signed the request");
    return STEP_DONE;
}

static enum step_result read_change(struct operation *operation) {
    struct account_state *state = operation->state;
    const json_t *payload = state->post.payload;
    state->account = state->post.account;
    if (payload == NULL)
        return STEP_DONE;
    const json_t *status = json_object_get(payload, "status");
    state->is_to_deactivate = json_is_string(status) && strcmp(json_string_value(status), "deactivated") == 0;
    if (status != NULL && !state->is_to_deactivate &&
        strcmp(json_is_string(status) ? json_string_value(status) : "", "valid") != 0)
        return acme_refuse(operation, 400, "malformed", "\"status\" can only be set to \"deactivated\"");
    if (json_object_get(payload, "contact") != NULL &&
        (state->contacts = acme_read_contacts(operation, payload)) == NULL)
        return STEP_FAIL;
    state->has_agreed_terms = get_flag(payload, "termsOfServiceAgreed");
    return acme_forget_request(operation);
}

/* What ends a right is in the ledger before it is done. */
static enum step_result record_end(struct operation *operation) {
    struct account_state *state = operation->state;
    const char *by = arena_printf(operation->arena, "account:%s", state->account.id);
    if (!state->is_to_deactivate)
        return STEP_DONE;
    rights_add(&state->rights, "account-deactivated", state->account.id, by == NULL ? "account" : by);
    rights_record(&state->rights, operation->worker, operation->worker->signer, acme_done, operation);
    return STEP_WAIT;
}

static enum step_result change_account(struct operation *operation) {
    struct account_state *state = operation->state;
    if (state->contacts == NULL && !state->has_agreed_terms && !state->is_to_deactivate)
        return STEP_DONE; /* RFC 8555 7.3.2: what is unknown is ignored */
    log_event(LOG_LEVEL_INFO, state->is_to_deactivate ? "account deactivated" : "account updated", "request",
              operation->request->id, "account", state->account.id, NULL);
    store_update_account(operation->worker->store, operation->arena, state->account.id, state->contacts,
                         state->has_agreed_terms, state->is_to_deactivate, &state->account,
                         state->rights.count == 0 ? NULL : state->rights.given, acme_done, operation);
    return STEP_WAIT;
}

static enum step_result reply_changed(struct operation *operation) {
    struct account_state *state = operation->state;
    return reply_account(operation, 200, &state->account);
}

static const struct step account_steps[] = {
    ACME_AUTHENTICATE,          {"require own", require_own},       {"read change", read_change},
    {"record end", record_end}, {"change account", change_account}, {"reply", reply_changed}};
static const struct operation_kind account =
    OPERATION_KIND("account", account_steps, struct account_state, acme_fail);

void acme_account(struct http_request *request) {
    operation_start(request, &account);
}

/* --- its orders (7.1.2.1) --- */

static enum step_result list_orders(struct operation *operation) {
    struct account_state *state = operation->state;
    store_list_account_orders(operation->worker->store, operation->arena, state->post.account.id,
                              http_query_parameter(operation->request, "cursor"),
                              operation->worker->config->orders_page_size, &state->orders, acme_done,
                              operation);
    return STEP_WAIT;
}

static enum step_result reply_orders(struct operation *operation) {
    struct account_state *state = operation->state;
    json_t *orders = json_array();
    for (size_t i = 0; i < state->orders.count; i++)
        json_array_append_new(orders, json_string(acme_url(operation, "order/%s", state->orders.ids[i])));
    if (state->orders.next_cursor != NULL) {
        const char *next = acme_url(operation, "account/%s/orders?cursor=%s", state->post.account.id,
                                    state->orders.next_cursor);
        const char *link = arena_printf(operation->arena, "<%s>;rel=\"next\"", next);
        if (link != NULL)
            http_reply_header(operation->request, "Link", link);
    }
    acme_reply_json(operation, 200, json_pack("{s:o}", "orders", orders));
    return STEP_REPLIED;
}

static const struct step orders_steps[] = {ACME_AUTHENTICATE,
                                           {"require empty", acme_require_empty},
                                           {"require own", require_own},
                                           {"list orders", list_orders},
                                           {"reply", reply_orders}};
static const struct operation_kind account_orders =
    OPERATION_KIND("orders", orders_steps, struct account_state, acme_fail);

void acme_account_orders(struct http_request *request) {
    operation_start(request, &account_orders);
}
