/* Who calls? A request may carry several keys at once (some clients send all they have): one that is good is
 * enough, whatever the others are.
 *
 *   X-Auth-User-Service-Key: <service key>
 *   Authorization: Bearer <token>
 *   X-Auth-Email: <any>, X-Auth-Key: <token or service key>
 *   X-Auth-Key: <service key>                                   (gokeyless) */
#include "internal.h"

#include <strings.h>

static void add_candidate(struct rest_call *call, enum rest_auth_form form, const char *text,
                          bool takes_service, bool takes_token) {
    struct rest_candidate *candidate = &call->candidates[call->candidate_count];
    enum api_key_kind kind;
    call->has_credentials = true;
    if (!api_key_parse(text, &kind, candidate->id) ||
        !(kind == API_KEY_SERVICE ? takes_service : takes_token))
        return;
    candidate->form = form;
    candidate->text = text;
    call->candidate_count++;
}

static const char *header(const struct http_request *request, const char *name) {
    const char *value = http_header(request, name);
    return value == NULL || *value == '\0' ? NULL : value;
}

enum step_result rest_read_credentials(struct operation *operation) {
    struct rest_call *call = rest_call_of(operation);
    const struct http_request *request = operation->request;
    const char *service = header(request, "X-Auth-User-Service-Key"),
               *authorization = header(request, "Authorization"), *email = header(request, "X-Auth-Email"),
               *key = header(request, "X-Auth-Key");
    call->rest = operation->request->service_context;
    if (service != NULL)
        add_candidate(call, REST_AUTH_SERVICE_KEY, service, true, false);
    if (authorization != NULL && strncasecmp(authorization, "Bearer ", 7) == 0)
        add_candidate(call, REST_AUTH_BEARER, authorization + 7 + strspn(authorization + 7, " "), false,
                      true);
    else if (authorization != NULL)
        call->has_credentials = true;
    if (key != NULL)
        add_candidate(call, email != NULL ? REST_AUTH_EMAIL : REST_AUTH_KEY_ALONE, key, true, email != NULL);
    else if (email != NULL)
        call->has_credentials = true;
    if (!call->has_credentials)
        return rest_refuse(operation, 401, REST_NO_AUTHORIZATION, "Request had no Authorization header");
    if (call->candidate_count == 0)
        return rest_refuse(operation, 400, REST_AUTHENTICATION, "Authentication error");
    if (!operation->worker->is_ready) {
        error_set(&operation->error, ERROR_UNAVAILABLE, "API errors encountered: not ready: %s",
                  operation->worker->not_ready_reason);
        return STEP_FAIL;
    }
    return STEP_DONE;
}

static void check_next(struct operation *operation);

static void note_key(void *context, const struct error *error) {
    struct operation *operation = context;
    struct rest_call *call = rest_call_of(operation);
    const struct rest_candidate *candidate = &call->candidates[call->next_candidate++];
    if (error != NULL && error->code != ERROR_NOT_FOUND) {
        operation_fail(operation, error);
    } else if (error == NULL && call->key.revoked_at == 0 &&
               api_key_matches(operation->worker->secrets, candidate->text, call->key.hash)) {
        call->form = candidate->form;
        call->rights = api_key_rights_parse(call->key.rights);
        operation_resume(operation);
    } else {
        call->key = (struct store_api_key){.id = NULL};
        check_next(operation);
    }
}

static void check_next(struct operation *operation) {
    struct rest_call *call = rest_call_of(operation);
    if (call->next_candidate == call->candidate_count) {
        rest_refuse(operation, 400, REST_AUTHENTICATION, "Authentication error");
        operation_fail(operation, NULL);
        return;
    }
    store_load_api_key(operation->worker->store, operation->arena, call->candidates[call->next_candidate].id,
                       &call->key, note_key, operation);
}

enum step_result rest_check_credentials(struct operation *operation) {
    check_next(operation);
    return STEP_WAIT;
}

enum step_result rest_require(struct operation *operation, enum api_key_right right) {
    if ((rest_call_of(operation)->rights & right) != 0)
        return STEP_DONE;
    return rest_refuse(operation, 403, REST_NOT_AUTHORIZED, TEXT_NOT_AUTHORIZED);
}

bool rest_may_use_zone(const struct rest_call *call, const char *zone_id) {
    for (size_t i = 0; i < call->key.zone_count; i++)
        if (strcmp(call->key.zones[i], zone_id) == 0)
            return true;
    return call->key.zone_count == 0;
}
