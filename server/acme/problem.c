/* Errors as problem documents (RFC 8555 6.7, RFC 9457). The type is what a step said, or what the error's
 * code means. */
#include <stdarg.h>

#include "internal.h"

#define PREFIX "urn:ietf:params:acme:error:"

enum step_result acme_refuse(struct operation *operation, unsigned status, const char *type,
                             const char *format, ...) {
    char message[ERROR_MESSAGE_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    acme_post_of(operation)->type = type;
    acme_post_of(operation)->status = status;
    error_set(&operation->error, ERROR_REFUSED, "%s", message);
    return STEP_FAIL;
}

enum step_result acme_refuse_absent(struct operation *operation) {
    return acme_refuse(operation, 404, "malformed", "There is nothing here that is yours");
}

enum step_result acme_refuse_for_dns(struct operation *operation, const char *text) {
    acme_post_of(operation)->retry_after = DNS_RETRY_SECONDS;
    return acme_refuse(operation, 400, "dns", "%s", text);
}

void acme_add_subproblem_for(struct operation *operation, const char *type, const char *identifier_type,
                             const char *identifier, const char *detail) {
    struct acme_post *post = acme_post_of(operation);
    char full[96];
    snprintf(full, sizeof full, PREFIX "%s", type);
    if (post->subproblems == NULL)
        post->subproblems = arena_own_json(operation->arena, json_array());
    if (post->subproblems != NULL)
        json_array_append_new(post->subproblems,
                              json_pack("{s:s, s:s, s:{s:s, s:s}}", "type", full, "detail", detail,
                                        "identifier", "type", identifier_type, "value", identifier));
}

void acme_add_subproblem(struct operation *operation, const char *type, const char *identifier,
                         const char *detail) {
    acme_add_subproblem_for(operation, type, "dns", identifier, detail);
}

static json_t *problem_json(const char *type, unsigned status, const char *detail, json_t *subproblems) {
    char full[96];
    snprintf(full, sizeof full, PREFIX "%s", type);
    json_t *problem =
        json_pack("{s:s, s:s, s:I}", "type", full, "detail", detail, "status", (json_int_t)status);
    if (problem != NULL && subproblems != NULL && json_array_size(subproblems) > 0)
        json_object_set(problem, "subproblems", subproblems);
    if (problem != NULL && strcmp(type, "badSignatureAlgorithm") == 0)
        json_object_set_new(problem, "algorithms", jws_supported_algorithms());
    return problem;
}

char *acme_problem_text(struct operation *operation, const char *type, unsigned status, const char *detail,
                        json_t *subproblems) {
    json_t *problem = arena_own_json(operation->arena, problem_json(type, status, detail, subproblems));
    return problem == NULL ? NULL : json_to_text(operation->arena, problem);
}

void acme_send_problem(struct http_request *request, struct acme *acme, unsigned status, const char *type,
                       const char *detail, json_t *subproblems) {
    json_t *problem = arena_own_json(request->arena, problem_json(type, status, detail, subproblems));
    char *text = problem == NULL ? NULL : json_to_text(request->arena, problem);
    if (text == NULL)
        text = (char *)(uintptr_t) "{\"type\":\"" PREFIX "serverInternal\",\"detail\":\"out of memory\"}";
    if (request->method == HTTP_METHOD_POST)
        acme_add_nonce(request, acme);
    http_reply_header(request, "X-Request-Id", request->id);
    http_reply(request, status, "application/problem+json", text, strlen(text));
}

struct meaning {
    unsigned status;
    const char *type;
};

static struct meaning meaning_of(enum error_code code) {
    switch (code) {
    case ERROR_INVALID:
        return (struct meaning){400, "malformed"};
    case ERROR_NOT_FOUND:
        return (struct meaning){404, "malformed"};
    case ERROR_CONFLICT:
        return (struct meaning){403, "orderNotReady"};
    case ERROR_REFUSED:
        return (struct meaning){403, "unauthorized"};
    case ERROR_LIMIT:
        return (struct meaning){429, "rateLimited"};
    case ERROR_UNAVAILABLE:
    case ERROR_UNKNOWN:
    case ERROR_PENDING:
    case ERROR_STOPPED: /* not a 4xx, and not rateLimited: clients take those for their own fault */
        return (struct meaning){503, "serverInternal"};
    case ERROR_NONE:
    case ERROR_INTERNAL:
        break;
    }
    return (struct meaning){500, "serverInternal"};
}

static void log_failure(const struct operation *operation, unsigned status, const char *type) {
    const struct acme_post *post = operation->state;
    char number[16];
    snprintf(number, sizeof number, "%u", status);
    log_event(status >= 500 ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO, "request refused", "request",
              operation->request->id, "operation", operation->kind->name, "step",
              operation->kind->steps[operation->at].name, "status", number, "type", type, "account",
              post->account.id, "peer", operation->request->peer_text, "detail", operation->error.message,
              NULL);
}

/* A step that refused says by its status alone whether trying again helps. */
static enum error_code inside_code(const struct operation *operation, unsigned status) {
    if (status != 503)
        return ERROR_INTERNAL;
    enum error_code code = operation->error.code;
    return code == ERROR_UNKNOWN || code == ERROR_PENDING ? code : ERROR_UNAVAILABLE;
}

void acme_fail(struct operation *operation) {
    struct acme_post *post = acme_post_of(operation);
    struct acme *acme = operation->request->service_context;
    struct meaning meaning = meaning_of(operation->error.code);
    const char *detail = operation->error.message;
    char text[16];
    if (post->type != NULL)
        meaning = (struct meaning){post->status, post->type};
    log_failure(operation, meaning.status, meaning.type);
    if (post->type == NULL && operation->error.code == ERROR_STOPPED)
        post->retry_after = operation->worker->config->stop_retry_after_seconds;
    else if (meaning.status >= 500)
        detail = operation_outward_text(operation, inside_code(operation, meaning.status));
    if (meaning.status == 503 || meaning.status == 429 || post->retry_after != 0) {
        snprintf(text, sizeof text, "%u",
                 post->retry_after != 0  ? post->retry_after
                 : meaning.status == 503 ? 2u
                                         : 60u);
        http_reply_header(operation->request, "Retry-After", text);
    }
    if (post->location != NULL)
        http_reply_header(operation->request, "Location", post->location);
    acme_send_problem(operation->request, acme, meaning.status, meaning.type, detail, post->subproblems);
}
