/* ACME accounts: those bound by hand for clients that know no EAB, what an operator sees of all of them, and
 * their end, which is final (RFC 8555 7.3.6) and a ledger record before it is done. */
#include "internal.h"

#include "originca/jose.h"

#define ENDS_PER_CALL 100

struct accounts_state {
    struct admin_call call;
    struct jwk jwk;
    struct store_account account;
    struct store_account_list list;
    bool was_created;
    struct rights rights;
};

static json_t *account_json(struct operation *operation, const struct store_account *account) {
    json_t *json =
        json_pack("{s:s, s:s, s:s, s:s, s:s}", "id", account->id, "customer", account->customer, "status",
                  store_account_status_name(account->status), "thumbprint", account->thumbprint, "url",
                  arena_printf(operation->arena, "%s/acme/account/%s", operation->worker->config->base_url,
                               account->id));
    if (account->eab_kid != NULL && *account->eab_kid != '\0')
        json_object_set_new(json, "eab_key", json_string(account->eab_kid));
    admin_set_document(json, "contact", account->contacts);
    admin_set_time(json, "created_at", account->created_at);
    admin_set_time(json, "used_at", account->used_at);
    return json;
}

static enum step_result reply_account(struct operation *operation) {
    struct accounts_state *state = operation->state;
    admin_reply(operation, 200, account_json(operation, &state->account));
    return STEP_REPLIED;
}

/* --- bound by hand --- */

static enum step_result create_account(struct operation *operation) {
    struct accounts_state *state = operation->state;
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

static enum step_result reply_created(struct operation *operation) {
    struct accounts_state *state = operation->state;
    if (strcmp(state->account.customer, state->call.customer.id) != 0)
        return admin_refuse(operation, ERROR_CONFLICT, "this key has an account of another customer already");
    admin_reply(operation, state->was_created ? 201 : 200, account_json(operation, &state->account));
    return STEP_REPLIED;
}

static const struct step create_steps[] = {{"read body", admin_read_body},
                                           {"find customer", admin_find_path_customer},
                                           {"create account", create_account},
                                           {"reply", reply_created}};
static const struct operation_kind create =
    OPERATION_KIND("create ACME account", create_steps, struct accounts_state, admin_fail);

void admin_create_account(struct http_request *request) {
    operation_start(request, &create);
}

/* --- lists: a customer's, or those without one --- */

static enum step_result list_accounts(struct operation *operation) {
    struct accounts_state *state = operation->state;
    const char *customer = state->call.customer.id,
               *status = http_query_parameter(operation->request, "status");
    struct store_account_filter filter = {.customer = customer == NULL ? "" : customer,
                                          .eab_kid = http_query_parameter(operation->request, "eab_key"),
                                          .status = -1,
                                          .cursor = http_query_parameter(operation->request, "cursor")};
    if (status != NULL && *status != '\0' && !store_account_status_parse(status, &filter.status))
        return admin_refuse(operation, ERROR_INVALID, "status must be valid or deactivated");
    if (!admin_read_limit(operation, &filter.limit))
        return STEP_FAIL;
    store_list_accounts(operation->worker->store, operation->arena, &filter, &state->list, admin_done,
                        operation);
    return STEP_WAIT;
}

static enum step_result reply_list(struct operation *operation) {
    struct accounts_state *state = operation->state;
    json_t *items = json_array(), *json;
    for (size_t i = 0; i < state->list.count; i++)
        json_array_append_new(items, account_json(operation, &state->list.items[i]));
    json = json_pack("{s:o}", "items", items);
    admin_set_cursor(json, state->list.next_cursor);
    admin_reply(operation, 200, json);
    return STEP_REPLIED;
}

static const struct step customer_list_steps[] = {{"require Redis", admin_require_ready},
                                                  {"find customer", admin_find_path_customer},
                                                  {"list accounts", list_accounts},
                                                  {"reply", reply_list}};
static const struct operation_kind customer_list =
    OPERATION_KIND("list ACME accounts", customer_list_steps, struct accounts_state, admin_fail);

void admin_list_accounts(struct http_request *request) {
    operation_start(request, &customer_list);
}

static const struct step unbound_list_steps[] = {
    {"require Redis", admin_require_ready}, {"list accounts", list_accounts}, {"reply", reply_list}};
static const struct operation_kind unbound_list = OPERATION_KIND(
    "list ACME accounts without customer", unbound_list_steps, struct accounts_state, admin_fail);

void admin_list_unbound_accounts(struct http_request *request) {
    operation_start(request, &unbound_list);
}

/* --- one of them --- */

static enum step_result load_account(struct operation *operation) {
    struct accounts_state *state = operation->state;
    store_load_account(operation->worker->store, operation->arena, http_path_parameter(operation->request, 0),
                       &state->account, admin_done, operation);
    return STEP_WAIT;
}

static const struct step show_steps[] = {
    {"require Redis", admin_require_ready}, {"load account", load_account}, {"reply", reply_account}};
static const struct operation_kind show =
    OPERATION_KIND("show ACME account", show_steps, struct accounts_state, admin_fail);

void admin_show_account(struct http_request *request) {
    operation_start(request, &show);
}

/* What has ended stays so, also in a Redis that may lack something: there is nothing to record then. */
static enum step_result record_end(struct operation *operation) {
    struct accounts_state *state = operation->state;
    if (state->account.status != ACCOUNT_VALID)
        return STEP_DONE;
    rights_add(&state->rights, "account-deactivated", state->account.id, admin_by(operation));
    return admin_record_rights(operation, &state->rights);
}

static enum step_result end_account(struct operation *operation) {
    struct accounts_state *state = operation->state;
    if (state->rights.count == 0)
        return STEP_DONE;
    store_update_account(operation->worker->store, operation->arena, state->account.id, NULL, false, true,
                         &state->account, state->rights.given, admin_done_recorded, operation);
    return STEP_WAIT;
}

static const struct step deactivate_steps[] = {{"require Redis", admin_require_ready},
                                               {"load account", load_account},
                                               {"record end", record_end},
                                               {"end account", end_account},
                                               {"reply", reply_account}};
static const struct operation_kind deactivate =
    OPERATION_KIND("deactivate ACME account", deactivate_steps, struct accounts_state, admin_fail);

void admin_deactivate_account(struct http_request *request) {
    operation_start(request, &deactivate);
}

/* --- all that a binding key has bound --- */

static void load_next_page(struct operation *operation, struct admin_account_ends *ends);

static void end_next(struct operation *operation, struct admin_account_ends *ends);

static void note_ended(void *context, const struct error *error) {
    struct admin_account_ends *ends = context;
    if (error != NULL && error->code != ERROR_NOT_FOUND) {
        admin_done_recorded(ends->operation, error);
        return;
    }
    ends->count += error == NULL ? 1 : 0; /* else its life ended meanwhile */
    ends->next++;
    end_next(ends->operation, ends);
}

static void note_recorded(void *context, const struct error *error) {
    struct admin_account_ends *ends = context;
    if (error != NULL) {
        operation_fail(ends->operation, error);
        return;
    }
    store_update_account(ends->operation->worker->store, ends->operation->arena,
                         ends->page.items[ends->next].id, NULL, false, true, &ends->account,
                         ends->rights.given, note_ended, ends);
}

static void end_next(struct operation *operation, struct admin_account_ends *ends) {
    if (ends->next == ends->page.count && ends->page.next_cursor != NULL) {
        load_next_page(operation, ends);
        return;
    }
    ends->has_more = ends->next < ends->page.count && ends->count == ENDS_PER_CALL;
    if (ends->has_more || ends->next == ends->page.count) {
        operation_resume(operation);
        return;
    }
    rights_clear(&ends->rights);
    rights_add(&ends->rights, "account-deactivated", ends->page.items[ends->next].id, admin_by(operation));
    rights_record(&ends->rights, operation->worker, operation->worker->operator_signer, note_recorded, ends);
}

static void note_page(void *context, const struct error *error) {
    struct admin_account_ends *ends = context;
    ends->next = 0;
    if (error != NULL)
        operation_fail(ends->operation, error);
    else
        end_next(ends->operation, ends);
}

static void load_next_page(struct operation *operation, struct admin_account_ends *ends) {
    const struct store_account_filter filter = {.customer = ends->customer,
                                                .eab_kid = ends->eab_kid,
                                                .status = ACCOUNT_VALID,
                                                .cursor = ends->page.next_cursor,
                                                .limit = ENDS_PER_CALL};
    store_list_accounts(operation->worker->store, operation->arena, &filter, &ends->page, note_page, ends);
}

void admin_end_accounts(struct operation *operation, struct admin_account_ends *ends, const char *customer,
                        const char *eab_kid) {
    *ends = (struct admin_account_ends){.operation = operation, .customer = customer, .eab_kid = eab_kid};
    load_next_page(operation, ends);
}
