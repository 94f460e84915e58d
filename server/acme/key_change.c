/* Account key rollover (RFC 8555 7.3.5): two signatures, one by each key. */
#include "internal.h"
#include "originca/url.h"

#include "originca/rights.h"

struct key_change_state {
    struct acme_post post;
    struct jws inner;
    struct jwk new_key;
    struct store_key_claim claim;
    struct store_account account;
    struct rights rights;
};

static enum step_result check_inner(struct operation *operation) {
    struct key_change_state *state = operation->state;
    enum jws_fault fault;
    if (!jws_parse(operation->reading, state->post.jws.payload, JWS_INNER_KEY_CHANGE, &state->inner, &fault,
                   &operation->error))
        return acme_refuse(operation, 400,
                           fault == JWS_FAULT_BAD_ALGORITHM ? "badSignatureAlgorithm" : "malformed",
                           "inner JWS: %s", operation->error.message);
    if (!jwk_import(operation->arena, state->inner.jwk, &state->new_key, &operation->error))
        return acme_refuse(operation, 400,
                           operation->error.code == ERROR_REFUSED ? "badPublicKey" : "malformed",
                           "new key: %s", operation->error.message);
    if (!jws_verify(&state->inner, &state->new_key, &fault, &operation->error))
        return acme_refuse(operation, 400,
                           fault == JWS_FAULT_BAD_ALGORITHM ? "badSignatureAlgorithm" : "malformed",
                           "inner JWS: %s", operation->error.message);
    if (!url_equal(operation->reading, state->inner.url, state->post.jws.url))
        return acme_refuse(operation, 400, "malformed", "inner JWS: its \"url\" differs from the outer one");
    if (state->inner.nonce != NULL)
        return acme_refuse(operation, 400, "malformed", "inner JWS: it must not have a nonce");
    return STEP_DONE;
}

static enum step_result check_request(struct operation *operation) {
    struct key_change_state *state = operation->state;
    struct jwk old_key;
    const json_t *request = json_parse(operation->reading, state->inner.payload.data,
                                       state->inner.payload.length, &operation->error);
    const char *account = request == NULL ? NULL : json_get_string(request, "account", &operation->error);
    if (account == NULL)
        return acme_refuse(operation, 400, "malformed", "key change: %s", operation->error.message);
    if (!url_equal(operation->reading, account, state->post.jws.kid))
        return acme_refuse(operation, 400, "malformed",
                           "key change: \"account\" is not the account that signed the request");
    if (!jwk_import(operation->arena, json_object_get(request, "oldKey"), &old_key, &operation->error))
        return acme_refuse(operation, 400, "malformed", "key change: \"oldKey\": %s",
                           operation->error.message);
    if (strcmp(old_key.thumbprint, state->post.account.thumbprint) != 0)
        return acme_refuse(operation, 400, "malformed", "key change: \"oldKey\" is not the account's key");
    if (strcmp(state->new_key.thumbprint, state->post.account.thumbprint) == 0) {
        /* An account has the new key: this one (RFC 8555 7.3.5). */
        state->post.location = acme_url(operation, "account/%s", state->post.account.id);
        return acme_refuse(operation, 409, "malformed", "key change: the new key is the old key");
    }
    return STEP_DONE;
}

static void note_claimed(void *context, const struct error *error) {
    struct operation *operation = context;
    struct key_change_state *state = operation->state;
    if (error != NULL && error->code == ERROR_CONFLICT) {
        state->post.location = acme_url(operation, "account/%s", state->claim.holder);
        acme_refuse(operation, 409, "malformed", "key change: %s", error->message);
        operation_fail(operation, NULL);
    } else if (error != NULL && error->code == ERROR_REFUSED) {
        acme_refuse(operation, 400, "badPublicKey", "key change: %s", error->message);
        operation_fail(operation, NULL);
    } else {
        if (error != NULL && error->code == ERROR_UNAVAILABLE)
            state->post.retry_after = state->claim.busy_seconds;
        acme_done(context, error);
    }
}

/* Whether the account may have the key is settled before the ledger says that it has it. */
static enum step_result claim_key(struct operation *operation) {
    struct key_change_state *state = operation->state;
    store_claim_account_key(operation->worker->store, operation->arena, state->post.account.id,
                            state->post.account.thumbprint, state->new_key.thumbprint,
                            state->new_key.canonical, &state->claim, note_claimed, operation);
    return STEP_WAIT;
}

static enum step_result record_key(struct operation *operation) {
    struct key_change_state *state = operation->state;
    const char *by = arena_printf(operation->arena, "account:%s", state->post.account.id);
    struct signer_change *change = rights_add(&state->rights, "account-key-changed", state->post.account.id,
                                              by == NULL ? "account" : by);
    change->name = state->new_key.thumbprint;
    change->detail = state->new_key.canonical;
    rights_record(&state->rights, operation->worker, operation->worker->signer, acme_done, operation);
    return STEP_WAIT;
}

static enum step_result change_key(struct operation *operation) {
    struct key_change_state *state = operation->state;
    store_change_account_key(operation->worker->store, state->post.account.id, state->post.account.thumbprint,
                             state->new_key.thumbprint, state->new_key.canonical, state->rights.given,
                             note_claimed, operation);
    return STEP_WAIT;
}

static enum step_result reply(struct operation *operation) {
    struct key_change_state *state = operation->state;
    log_event(LOG_LEVEL_INFO, "account key changed", "request", operation->request->id, "account",
              state->post.account.id, NULL);
    http_reply_header(operation->request, "Location",
                      acme_url(operation, "account/%s", state->post.account.id));
    acme_reply_json(operation, 200,
                    json_pack("{s:s, s:s}", "status", "valid", "orders",
                              acme_url(operation, "account/%s/orders", state->post.account.id)));
    return STEP_REPLIED;
}

static const struct step steps[] = {ACME_AUTHENTICATE,
                                    {"check inner JWS", check_inner},
                                    {"check request", check_request},
                                    {"forget the request", acme_forget_request},
                                    {"claim key", claim_key},
                                    {"record key", record_key},
                                    {"change key", change_key},
                                    {"reply", reply}};
static const struct operation_kind key_change =
    OPERATION_KIND("keyChange", steps, struct key_change_state, acme_fail);

void acme_key_change(struct http_request *request) {
    operation_start(request, &key_change);
}
