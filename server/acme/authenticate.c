/* Who asks? (RFC 8555 6.2 to 6.5) Parse the JWS and check everything that needs no store; spend the nonce and
 * load the account in one store call; check status and signature. */
#include "internal.h"
#include "originca/url.h"

#include <strings.h>

static enum step_result refuse_fault(struct operation *operation, enum jws_fault fault) {
    struct acme_post *post = acme_post_of(operation);
    post->status = 400;
    post->type = fault == JWS_FAULT_BAD_ALGORITHM ? "badSignatureAlgorithm"
                 : fault == JWS_FAULT_BAD_KEY     ? "badPublicKey"
                                                  : "malformed";
    return STEP_FAIL;
}

static bool is_jose(const char *content_type) {
    static const char wanted[] = "application/jose+json";
    size_t length = sizeof wanted - 1;
    return content_type != NULL && strncasecmp(content_type, wanted, length) == 0 &&
           (content_type[length] == '\0' || content_type[length] == ';' || content_type[length] == ' ');
}

enum step_result acme_require_ready(struct operation *operation) {
    if (operation->worker->is_ready)
        return STEP_DONE;
    error_set(&operation->error, ERROR_UNAVAILABLE,
              "The server cannot work at the moment (%.200s); try again",
              operation->worker->not_ready_reason);
    return STEP_FAIL;
}

static enum step_result parse(struct operation *operation, bool takes_jwk, bool takes_kid) {
    struct acme_post *post = acme_post_of(operation);
    struct http_request *request = operation->request;
    enum jws_fault fault;
    post->acme = request->service_context;
    if (!is_jose(http_header(request, "Content-Type")))
        return acme_refuse(operation, 415, "malformed", "The Content-Type must be application/jose+json");
    if (http_header(request, "Replay-Nonce") != NULL)
        return acme_refuse(operation, 400, "malformed",
                           "A request must not have a Replay-Nonce header field");
    if (!jws_parse(operation->reading, request->body, JWS_OUTER, &post->jws, &fault, &operation->error))
        return refuse_fault(operation, fault);
    http_forget_body(request); /* the JWS holds copies */
    if ((post->jws.jwk != NULL && !takes_jwk) || (post->jws.kid != NULL && !takes_kid))
        return acme_refuse(operation, 400, "malformed",
                           "This resource wants the account's %s in the protected header",
                           takes_kid ? "URL (\"kid\")" : "key (\"jwk\")");
    /* Our own name for this resource, never the Host field: a proxy may have changed that. */
    const char *url = arena_printf(operation->arena, "%s%s%s%s", operation->worker->config->base_url,
                                   request->path, *request->query == '\0' ? "" : "?", request->query);
    if (url == NULL || !url_equal(operation->reading, url, post->jws.url))
        return acme_refuse(operation, 401, "unauthorized",
                           "The \"url\" of the protected header is not the URL that was asked: %s",
                           url == NULL ? "" : url);
    /* RFC 8555 6.5.2: what is no base64url is malformed, not a bad nonce. */
    struct bytes ignored;
    if (!base64url_decode(operation->reading, post->jws.nonce, strlen(post->jws.nonce), &ignored))
        return acme_refuse(operation, 400, "malformed", "The nonce must be base64url without padding");
    if (acme_require_ready(operation) == STEP_FAIL) /* who cannot get another nonce now is not told to */
        return STEP_FAIL;
    if (!nonce_check(&post->acme->nonces, post->jws.nonce, &post->nonce, &operation->error))
        return acme_refuse(operation, 400, "badNonce",
                           "JWS has an invalid anti-replay nonce: %s; try again with the nonce of this reply",
                           operation->error.message);
    if (post->jws.jwk != NULL && !jwk_import(operation->arena, post->jws.jwk, &post->key, &operation->error))
        return refuse_fault(operation,
                            operation->error.code == ERROR_REFUSED ? JWS_FAULT_BAD_KEY : JWS_FAULT_MALFORMED);
    jws_forget_header(&post->jws);
    return STEP_DONE;
}

enum step_result acme_parse_with_kid(struct operation *operation) {
    return parse(operation, false, true);
}

enum step_result acme_parse_with_jwk(struct operation *operation) {
    return parse(operation, true, false);
}

enum step_result acme_parse_with_either(struct operation *operation) {
    return parse(operation, true, true);
}

static void note_account(void *context, const struct error *error) {
    struct operation *operation = context;
    if (error != NULL && error->code == ERROR_CONFLICT) {
        acme_refuse(operation, 400, "badNonce",
                    "JWS has an invalid anti-replay nonce: %s; try again with the nonce of this reply",
                    error->message);
        operation_fail(operation, NULL);
        return;
    }
    /* Redis was lost on the way: every client sends again what was refused for its nonce, few what got a 503.
     */
    if (error != NULL && error->code == ERROR_UNKNOWN) {
        log_event(LOG_LEVEL_WARNING, "it is not known whether a nonce was spent", "request",
                  operation->request->id, "reason", error->message, NULL);
        acme_refuse(operation, 400, "badNonce",
                    "The nonce could not be checked; try again with the nonce of this reply");
        operation_fail(operation, NULL);
        return;
    }
    acme_done(context, error);
}

enum step_result acme_load_account(struct operation *operation) {
    struct acme_post *post = acme_post_of(operation);
    const char *id = NULL, *thumbprint = NULL;
    if (post->jws.kid != NULL) {
        const char *prefix = acme_url(operation, "account/");
        const char *kid = url_normal_form(operation->arena, post->jws.kid);
        size_t length = strlen(prefix);
        if (kid == NULL || strncmp(kid, prefix, length) != 0 || kid[length] == '\0' ||
            strchr(kid + length, '/') != NULL)
            return acme_refuse(operation, 400, "accountDoesNotExist",
                               "The \"kid\" is no account URL of this server; those begin with %s", prefix);
        id = kid + length;
    } else {
        thumbprint = post->key.thumbprint;
    }
    store_authenticate(operation->worker->store, operation->arena, &post->nonce, id, thumbprint,
                       &post->account, note_account, operation);
    return STEP_WAIT;
}

static enum step_result import_account_key(struct operation *operation) {
    struct acme_post *post = acme_post_of(operation);
    const json_t *json =
        json_parse(operation->reading, post->account.jwk, strlen(post->account.jwk), &operation->error);
    if (json == NULL)
        return acme_refuse(operation, 500, "serverInternal", "the stored account key cannot be read");
    /* A key that went onto the block list after registration ends here. */
    if (!jwk_import(operation->arena, json, &post->key, &operation->error))
        return refuse_fault(operation, JWS_FAULT_BAD_KEY);
    return STEP_DONE;
}

enum step_result acme_verify(struct operation *operation) {
    struct acme_post *post = acme_post_of(operation);
    enum jws_fault fault;
    if (post->jws.kid != NULL) {
        if (post->account.id == NULL)
            return acme_refuse(operation, 400, "accountDoesNotExist",
                               "There is no such account; register again");
        if (import_account_key(operation) == STEP_FAIL)
            return STEP_FAIL;
    }
    if (!jws_verify(&post->jws, &post->key, &fault, &operation->error))
        return refuse_fault(operation, fault);
    if (post->account.id != NULL && post->account.status != ACCOUNT_VALID)
        return acme_refuse(operation, 401, "unauthorized", "The account is %s",
                           store_account_status_name(post->account.status));
    if (post->jws.payload.length == 0)
        return acme_forget_request(operation);
    post->payload =
        json_parse(operation->reading, post->jws.payload.data, post->jws.payload.length, &operation->error);
    if (post->payload == NULL || !json_is_object(post->payload))
        return acme_refuse(operation, 400, "malformed", "The payload must be a JSON object or empty: %s",
                           post->payload == NULL ? operation->error.message : "it is something else");
    return STEP_DONE;
}

enum step_result acme_forget_request(struct operation *operation) {
    struct acme_post *post = acme_post_of(operation);
    post->payload = NULL;
    post->jws = (struct jws){0};
    return operation_forget_request(operation);
}

enum step_result acme_require_empty(struct operation *operation) {
    if (acme_post_of(operation)->payload != NULL)
        return acme_refuse(operation, 400, "malformed",
                           "This resource is read by POST-as-GET: the payload must be empty (RFC 8555 6.3)");
    return STEP_DONE;
}
