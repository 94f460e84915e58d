/* The envelope of every answer: {success, errors, messages, result[, result_info]}. `messages` stays empty:
 * some clients decode it as strings, others as objects. An error always has at least one element. */
#include "internal.h"

#include <stdarg.h>
#include <stdlib.h>

#define RETRY_SECONDS 2
#define OFFSET_MAX 1000000000u
#define PAGE_SIZE_MAX 500u

void rest_add_headers(struct http_request *request) {
    char ray[HTTP_REQUEST_ID_BYTES + 4];
    snprintf(ray, sizeof ray, "%.16s-OCA", request->id);
    http_reply_header(request, "CF-Ray", ray);
    http_reply_header(request, "X-Request-Id", request->id);
    http_reply_header(request, "Cache-Control", "no-store");
}

static json_t *error_json(enum rest_code code, const char *message) {
    return json_pack("{s:i, s:s}", "code", (int)code, "message", message);
}

void rest_send_error(struct http_request *request, unsigned status, enum rest_code code, const char *message,
                     const json_t *more) {
    json_t *errors = json_array();
    json_array_append_new(errors, error_json(code, message));
    if (more != NULL)
        json_array_extend(errors, (json_t *)(uintptr_t)more);
    rest_add_headers(request);
    if (status == 401)
        http_reply_header(request, "WWW-Authenticate", "Bearer");
    if (status == 500) /* a mistake of ours: clients must not make it three times */
        http_reply_header(request, "x-should-retry", "false");
    json_t *json = json_pack("{s:b, s:o, s:[], s:n}", "success", 0, "errors", errors, "messages", "result");
    http_reply_json(request, status, arena_own_json(request->arena, json));
}

enum step_result rest_refuse(struct operation *operation, unsigned status, enum rest_code code,
                             const char *format, ...) {
    char message[ERROR_MESSAGE_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    rest_call_of(operation)->status = status;
    rest_call_of(operation)->code = code;
    error_set(&operation->error, ERROR_REFUSED, "%s", message);
    return STEP_FAIL;
}

static void choose_meaning(struct rest_call *call, enum error_code code) {
    static const unsigned statuses[] = {
        [ERROR_NONE] = 500,     [ERROR_INVALID] = 400, [ERROR_NOT_FOUND] = 404,   [ERROR_CONFLICT] = 409,
        [ERROR_REFUSED] = 403,  [ERROR_LIMIT] = 429,   [ERROR_UNAVAILABLE] = 503, [ERROR_UNKNOWN] = 503,
        [ERROR_INTERNAL] = 500, [ERROR_STOPPED] = 503, [ERROR_PENDING] = 503};
    call->status = statuses[code];
    call->code = code == ERROR_NOT_FOUND ? REST_NOT_FOUND
                 : code == ERROR_STOPPED ? REST_STOPPED
                                         : REST_API_ERROR;
}

/* What a step said on purpose stays; everything has the id to ask with. */
static const char *outward_text(struct operation *operation, bool is_from_inside) {
    const char *text = is_from_inside ? operation_outward_text(operation, operation->error.code) : NULL;
    const char *whole = is_from_inside ? arena_printf(operation->arena, "API errors encountered: %s", text)
                                       : arena_printf(operation->arena, "%s (request %s)",
                                                      operation->error.message, operation->request->id);
    return whole == NULL ? "API errors encountered: out of memory" : whole;
}

void rest_fail(struct operation *operation) {
    struct rest_call *call = rest_call_of(operation);
    const char *message = operation->error.message;
    char status[16], code[16];
    bool is_chosen = call->code != 0;
    if (!is_chosen)
        choose_meaning(call, operation->error.code);
    /* Which stop of issuance it is, Redis and the signer say in words for clients. */
    bool is_from_inside = call->code == REST_API_ERROR || (!is_chosen && call->code != REST_STOPPED);
    snprintf(status, sizeof status, "%u", call->status);
    snprintf(code, sizeof code, "%d", (int)call->code);
    log_event(call->status >= 500 ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO, "request refused", "request",
              operation->request->id, "operation", operation->kind->name, "step",
              operation->kind->steps[operation->at].name, "status", status, "code", code, "key", call->key.id,
              "customer", call->key.customer, "peer", operation->request->peer_text, "detail", message, NULL);
    if (call->status >= 500)
        message = outward_text(operation, is_from_inside);
    if (call->code == REST_STOPPED && call->retry_after == 0)
        call->retry_after = operation->worker->config->stop_retry_after_seconds;
    if (call->status == 503 || call->status == 429 || call->retry_after != 0) {
        snprintf(status, sizeof status, "%u", call->retry_after != 0 ? call->retry_after : RETRY_SECONDS);
        http_reply_header(operation->request, "Retry-After", status);
    }
    rest_send_error(operation->request, call->status, call->code, message, call->errors);
}

static enum step_result reply(struct operation *operation, json_t *result, json_t *messages, json_t *info) {
    json_t *json =
        json_pack("{s:b, s:[], s:o, s:o}", "success", 1, "errors", "messages", messages, "result", result);
    if (json != NULL && info != NULL)
        json_object_set_new(json, "result_info", info);
    rest_add_headers(operation->request);
    http_reply_json(operation->request, 200, arena_own_json(operation->arena, json));
    return STEP_REPLIED;
}

enum step_result rest_reply(struct operation *operation, json_t *result, json_t *info) {
    return reply(operation, result, json_array(), info);
}

enum step_result rest_reply_messages(struct operation *operation, json_t *result, json_t *messages) {
    return reply(operation, result, messages, NULL);
}

void rest_done(void *context, const struct error *error) {
    if (error != NULL)
        operation_fail(context, error);
    else
        operation_resume(context);
}

/* --- pages --- */

/* "2" or "2.0": Go and Python clients hold numbers of pages as floats. */
static bool read_number(struct operation *operation, const char *name, uint32_t least, bool *is_there,
                        uint32_t *out) {
    const char *text = http_query_parameter(operation->request, name);
    *is_there = text != NULL && *text != '\0';
    if (!*is_there)
        return true;
    size_t digits = strspn(text, "0123456789");
    const char *rest = text + digits;
    if (*rest == '.' && rest[1] == '0')
        rest += 1 + strspn(rest + 1, "0");
    unsigned long value = digits == 0 || digits > 10 ? OFFSET_MAX + 1ul : strtoul(text, NULL, 10);
    if (*rest != '\0' || value > OFFSET_MAX || value < least) {
        rest_refuse(operation, 400, REST_API_ERROR,
                    "Invalid value for %s: a whole number from %u on is needed", name, least);
        return false;
    }
    *out = (uint32_t)value;
    return true;
}

bool rest_read_paging(struct operation *operation, struct rest_paging *paging) {
    bool has_page, has_size, has_offset, has_limit;
    uint32_t page = 1, size = operation->worker->config->rest_page_size, offset = 0, limit = size;
    if (!read_number(operation, "page", 1, &has_page, &page) ||
        !read_number(operation, "per_page", 1, &has_size, &size) ||
        !read_number(operation, "offset", 0, &has_offset, &offset) ||
        !read_number(operation, "limit", 1, &has_limit, &limit))
        return false;
    if (has_offset || has_limit) { /* they win over page and per_page */
        paging->limit = limit > PAGE_SIZE_MAX ? PAGE_SIZE_MAX : limit;
        paging->offset = offset;
        paging->page = offset / paging->limit + 1;
        return true;
    }
    paging->limit = size > PAGE_SIZE_MAX ? PAGE_SIZE_MAX : size;
    uint64_t first = (uint64_t)(page - 1) * paging->limit;
    paging->offset = first > OFFSET_MAX ? OFFSET_MAX : (uint32_t)first;
    paging->page = page;
    return true;
}

json_t *rest_result_info(const struct rest_paging *paging, size_t count, uint64_t total) {
    return json_pack("{s:I, s:I, s:I, s:I, s:I}", "page", (json_int_t)paging->page, "per_page",
                     (json_int_t)paging->limit, "count", (json_int_t)count, "total_count", (json_int_t)total,
                     "total_pages", (json_int_t)((total + paging->limit - 1) / paging->limit));
}
