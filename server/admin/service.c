/* The admin service: routes, errors, the steps and small helpers that its calls share. */
#include "internal.h"
#include "originca/ledger_writer.h"
#include "originca/names.h"

#include <stdarg.h>

static void enter(struct http_request *request);

/* Each route with the members of its body and the query parameters that it takes, and whether it is the
 * stopping one of two verbs. */
#define ROUTE(method, pattern, handle, members, parameters, stops)                                           \
    {                                                                                                        \
        HTTP_METHOD_##method, pattern, enter, &(const struct admin_route) {                                  \
            handle, members, parameters, stops                                                               \
        }                                                                                                    \
    }

static const struct http_route routes[] = {
    ROUTE(POST, "/admin/v1/customers", admin_create_customer, "name", "", false),
    ROUTE(GET, "/admin/v1/customers", admin_list_customers, "", "cursor limit", false),
    ROUTE(GET, "/admin/v1/customers/:id", admin_show_customer, "", "", false),
    ROUTE(POST, "/admin/v1/customers/:id/suspend", admin_suspend_customer, "", "", true),
    ROUTE(POST, "/admin/v1/customers/:id/resume", admin_suspend_customer, "", "", false),
    ROUTE(POST, "/admin/v1/customers/:id/eab-keys", admin_create_eab_key, "", "", false),
    ROUTE(GET, "/admin/v1/customers/:id/eab-keys", admin_list_eab_keys, "", "cursor limit", false),
    ROUTE(DELETE, "/admin/v1/customers/:id/eab-keys/:kid", admin_delete_eab_key, "", "accounts", false),
    ROUTE(POST, "/admin/v1/customers/:id/api-keys", admin_create_api_key, "kind name rights zones", "",
          false),
    ROUTE(GET, "/admin/v1/customers/:id/api-keys", admin_list_api_keys, "", "cursor limit", false),
    ROUTE(DELETE, "/admin/v1/customers/:id/api-keys/:key", admin_delete_api_key, "", "", false),
    ROUTE(POST, "/admin/v1/customers/:id/acme-accounts", admin_create_account, "jwk", "", false),
    ROUTE(GET, "/admin/v1/customers/:id/acme-accounts", admin_list_accounts, "",
          "eab_key status cursor limit", false),
    ROUTE(GET, "/admin/v1/acme-accounts", admin_list_unbound_accounts, "", "status cursor limit", false),
    ROUTE(GET, "/admin/v1/acme-accounts/:id", admin_show_account, "", "", false),
    ROUTE(POST, "/admin/v1/acme-accounts/:id/deactivate", admin_deactivate_account, "", "", false),
    ROUTE(POST, "/admin/v1/zones", admin_create_zone, "name customer", "", false),
    ROUTE(GET, "/admin/v1/zones", admin_list_zones, "", "customer cursor limit", false),
    ROUTE(GET, "/admin/v1/zones/:name", admin_show_zone, "", "customer", false),
    ROUTE(DELETE, "/admin/v1/zones/:name", admin_delete_zone, "", "customer", false),
    ROUTE(POST, "/admin/v1/zones/:name/check", admin_check_zone, "", "customer", false),
    ROUTE(POST, "/admin/v1/zones/:name/pause", admin_pause_zone, "", "customer", true),
    ROUTE(POST, "/admin/v1/zones/:name/resume", admin_pause_zone, "", "customer", false),
    ROUTE(GET, "/admin/v1/orders", admin_list_orders, "", "status zone customer since cursor limit", false),
    ROUTE(GET, "/admin/v1/orders/:id", admin_show_order, "", "", false),
    ROUTE(GET, "/admin/v1/certificates", admin_list_certificates, "",
          "zone customer status expires_before cursor limit", false),
    ROUTE(GET, "/admin/v1/certificates/:serial", admin_show_certificate, "", "", false),
    ROUTE(POST, "/admin/v1/certificates/:serial/revoke", admin_revoke_certificate, "reason", "", false),
    ROUTE(POST, "/admin/v1/serial-lists", admin_add_serials, "serial_list serials", "", false),
    ROUTE(POST, "/admin/v1/revocations", admin_create_revocation,
          "selection dry_run confirm reason per_second cut_off", "", false),
    ROUTE(GET, "/admin/v1/revocations", admin_list_revocations, "", "cursor limit", false),
    ROUTE(GET, "/admin/v1/revocations/:id", admin_show_revocation, "", "", false),
    ROUTE(POST, "/admin/v1/revocations/:id/cancel", admin_cancel_revocation, "", "", false),
    ROUTE(POST, "/admin/v1/replacements", admin_create_replacement,
          "selection dry_run confirm over_seconds starts_at explanation_url cut_off", "", false),
    ROUTE(GET, "/admin/v1/replacements", admin_list_replacements, "", "cursor limit", false),
    ROUTE(GET, "/admin/v1/replacements/:id", admin_show_replacement, "", "", false),
    ROUTE(GET, "/admin/v1/replacements/:id/waiting", admin_list_waiting, "", "cursor limit", false),
    ROUTE(POST, "/admin/v1/replacements/:id/cancel", admin_cancel_replacement, "", "", false),
    ROUTE(GET, "/admin/v1/stats", admin_show_stats, "", "", false),
    ROUTE(POST, "/admin/v1/signing", admin_set_signing, "allowed only", "", false),
    ROUTE(GET, "/admin/v1/issuance", admin_show_issuance, "", "limit", false),
    ROUTE(POST, "/admin/v1/issuance/stop", admin_stop_issuance, "", "", true),
    ROUTE(POST, "/admin/v1/issuance/allow", admin_stop_issuance, "", "", false),
    ROUTE(POST, "/admin/v1/issuers/:name/stop", admin_stop_issuance, "", "", true),
    ROUTE(POST, "/admin/v1/issuers/:name/allow", admin_stop_issuance, "", "", false),
    ROUTE(POST, "/admin/v1/token/retry", admin_retry_token, "", "", false),
    ROUTE(POST, "/admin/v1/ledger/confirm-loss", admin_confirm_loss, "", "", false),
    ROUTE(POST, "/admin/v1/ledger/accept-empty", admin_accept_empty, "", "", false),
    ROUTE(POST, "/admin/v1/ledger/accept-secrets", admin_accept_secrets, "", "", false),
    ROUTE(GET, "/admin/v1/crls", admin_list_crls, "", "", false),
    ROUTE(POST, "/admin/v1/crls/drop-unproven", admin_drop_unproven, "dry_run", "", false),
    ROUTE(GET, "/admin/v1/ledger/hosts", admin_list_ledger_hosts, "", "", false),
    ROUTE(POST, "/admin/v1/ledger/hosts/:host/excuse", admin_excuse_host, "for_good", "", false),
    {HTTP_METHOD_GET, "/metrics", admin_metrics, NULL}, /* whatever a probe adds */
    {HTTP_METHOD_GET, "/healthz", admin_health, NULL},
    {HTTP_METHOD_GET, "/readyz", admin_readiness, NULL},
};

static void send_error(struct http_request *request, unsigned status, const char *code, const char *message) {
    json_t *json = arena_own_json(request->arena, json_pack("{s:{s:s, s:s, s:s}}", "error", "code", code,
                                                            "message", message, "request", request->id));
    http_reply_json(request, status, json);
}

static void fail(struct http_request *request, unsigned status, const char *detail) {
    send_error(request, status,
               status == 404   ? "not-found"
               : status >= 500 ? "unavailable"
                               : "invalid",
               detail);
}

/* Is it one of the words, which stand apart by spaces? */
static bool has_word(const char *words, const char *word, size_t length) {
    for (const char *at = words; *at != '\0'; at += strspn(at, " ")) {
        size_t each = strcspn(at, " ");
        if (each == length && strncmp(at, word, length) == 0)
            return true;
        at += each;
    }
    return false;
}

static bool refuse_word(struct error *error, const char *what, const char *word, size_t length,
                        const char *taken) {
    int shown = length > 60 ? 60 : (int)length;
    return *taken == '\0' ? error_set(error, ERROR_INVALID, "unknown %s \"%.*s\": this call takes none", what,
                                      shown, word)
                          : error_set(error, ERROR_INVALID, "unknown %s \"%.*s\": this call takes %s", what,
                                      shown, word, taken);
}

/* Names are compared as they are sent: one that is percent-encoded would not be found either. */
static bool check_parameters(const struct http_request *request, struct error *error) {
    const struct admin_route *route = request->route->data;
    size_t length;
    for (const char *pair = request->query; *pair != '\0'; pair += length + (pair[length] == '&' ? 1 : 0)) {
        length = strcspn(pair, "&");
        size_t name = strcspn(pair, "=&");
        if (length == 0)
            continue;
        if (!has_word(route->parameters, pair, name))
            return refuse_word(error, "query parameter", pair, name, route->parameters);
        for (const char *at = request->query; at < pair; at += strcspn(at, "&") + 1)
            if (strcspn(at, "=&") == name && strncmp(at, pair, name) == 0)
                return error_set(error, ERROR_INVALID, "the query parameter \"%.*s\" is there twice",
                                 (int)name, pair);
    }
    return true;
}

bool admin_check_members(const struct http_request *request, const json_t *body, struct error *error) {
    const struct admin_route *route = request->route->data;
    if (!json_is_object(body))
        return error_set(error, ERROR_INVALID, "the body must be a JSON object");
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)body, key, value) {
        if (!has_word(route->members, key, strlen(key)))
            return refuse_word(error, "member", key, strlen(key), route->members);
    }
    return true;
}

/* What a call does not know must not be passed over: it would do more, or to more, than was meant. A call
 * that has members checks them where it reads its body. */
static void enter(struct http_request *request) {
    const struct admin_route *route = request->route->data;
    const struct bytes body = request->body;
    struct error error = {0};
    bool is_known = check_parameters(request, &error);
    if (is_known && *route->members == '\0' && body.length > 0) {
        const json_t *json = json_parse(request->arena, body.data, body.length, &error);
        is_known = json != NULL && admin_check_members(request, json, &error);
    }
    if (is_known)
        route->handle(request);
    else
        send_error(request, 400, error_code_name(error.code), error.message);
}

void admin_fail(struct operation *operation) {
    static const unsigned statuses[] = {
        [ERROR_NONE] = 500,     [ERROR_INVALID] = 400, [ERROR_NOT_FOUND] = 404,   [ERROR_CONFLICT] = 409,
        [ERROR_REFUSED] = 403,  [ERROR_LIMIT] = 429,   [ERROR_UNAVAILABLE] = 503, [ERROR_UNKNOWN] = 503,
        [ERROR_INTERNAL] = 500, [ERROR_STOPPED] = 503, [ERROR_PENDING] = 503};
    unsigned status = statuses[operation->error.code];
    log_event(LOG_LEVEL_WARNING, "admin call failed", "request", operation->request->id, "call",
              operation->kind->name, "step", operation->kind->steps[operation->at].name, "peer",
              operation->request->peer_text, "reason", operation->error.message, NULL);
    if (status == 503)
        http_reply_header(operation->request, "Retry-After", "2");
    send_error(operation->request, status, error_code_name(operation->error.code), operation->error.message);
}

/* What Redis lacks may be what it forgot: an operator must not take that for the truth. */
static void fail_as_not_compared(struct operation *operation, const struct error *error) {
    error_set(&operation->error, ERROR_UNAVAILABLE, "%.120s in Redis, which may lack it (%.200s); try again",
              error->message, operation->worker->not_ready_reason);
    operation_fail(operation, &operation->error);
}

void admin_done(void *context, const struct error *error) {
    struct operation *operation = context;
    if (error == NULL)
        operation_resume(operation);
    else if (error->code == ERROR_NOT_FOUND && !admin_may_trust_redis(operation))
        fail_as_not_compared(operation, error);
    else
        operation_fail(operation, error);
}

void admin_done_recorded(void *context, const struct error *error) {
    struct error pending;
    if (error == NULL || error->code == ERROR_NOT_FOUND || error->code == ERROR_CONFLICT) {
        admin_done(context, error);
        return;
    }
    error_set(
        &pending, ERROR_PENDING,
        "it is recorded in the ledger and will take effect, but Redis did not take it yet (%.200s) and it is "
        "NOT in force on other hosts, which go on as before where they have Redis: say it there too; the "
        "same call again confirms it",
        error->message);
    operation_fail(context, &pending);
}

enum step_result admin_refuse(struct operation *operation, enum error_code code, const char *format, ...) {
    char message[ERROR_MESSAGE_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    error_set(&operation->error, code, "%s", message);
    return STEP_FAIL;
}

void admin_reply(struct operation *operation, unsigned status, json_t *json) {
    if (operation->request->method != HTTP_METHOD_GET && status < 300)
        log_event(LOG_LEVEL_INFO, "admin change", "request", operation->request->id, "call",
                  operation->kind->name, "path", operation->request->path, "peer",
                  operation->request->peer_text, NULL);
    http_reply_json(operation->request, status, arena_own_json(operation->arena, json));
}

struct signer_position admin_position_of(const struct store_ledger_state *state) {
    struct signer_position position = {.applied = state->applied, .highest = state->highest};
    snprintf(position.ledger_id, sizeof position.ledger_id, "%s", state->ledger_id);
    snprintf(position.applied_hash, sizeof position.applied_hash, "%s", state->applied_hash);
    snprintf(position.highest_hash, sizeof position.highest_hash, "%s", state->highest_hash);
    return position;
}

enum step_result admin_require_own_ledger(struct operation *operation,
                                          const struct store_ledger_state *ledger) {
    char reason[256];
    return ledger_writer_is_another(operation->worker, ledger, reason, sizeof reason)
               ? admin_refuse(operation, ERROR_CONFLICT, "%s", reason)
               : STEP_DONE;
}

enum step_result admin_require_secrets(struct operation *operation) {
    return operation->worker->has_other_secrets
               ? admin_refuse(operation, ERROR_UNAVAILABLE, "%s", operation->worker->not_ready_reason)
               : STEP_DONE;
}

enum step_result admin_require_ready(struct operation *operation) {
    const char *reason = "";
    /* Admins see why: they need to work while the fence is shut, as long as Redis is there. */
    if (!store_is_ready(operation->worker->store, &reason))
        return admin_refuse(operation, ERROR_UNAVAILABLE, "Redis cannot be used: %s", reason);
    return STEP_DONE;
}

bool admin_may_trust_redis(const struct operation *operation) {
    return operation->worker->is_ready;
}

enum step_result admin_read_body(struct operation *operation) {
    struct admin_call *call = operation->state;
    struct bytes body = operation->request->body;
    if (admin_require_ready(operation) == STEP_FAIL)
        return STEP_FAIL;
    if (body.length == 0)
        return STEP_DONE;
    call->body = json_parse(operation->reading, body.data, body.length, &operation->error);
    if (call->body == NULL)
        return STEP_FAIL;
    http_forget_body(operation->request);
    return admin_check_members(operation->request, call->body, &operation->error) ? STEP_DONE : STEP_FAIL;
}

static enum step_result find_customer(struct operation *operation, const char *name) {
    struct admin_call *call = operation->state;
    store_find_customer(operation->worker->store, operation->arena, name, &call->customer, admin_done,
                        operation);
    return STEP_WAIT;
}

enum step_result admin_find_body_customer(struct operation *operation) {
    struct admin_call *call = operation->state;
    const char *name = json_get_string(call->body, "customer", &operation->error);
    return name == NULL ? STEP_FAIL : find_customer(operation, name);
}

enum step_result admin_find_path_customer(struct operation *operation) {
    return find_customer(operation, http_path_parameter(operation->request, 0));
}

enum step_result admin_find_query_customer(struct operation *operation) {
    const char *name = http_query_parameter(operation->request, "customer");
    if (admin_require_ready(operation) == STEP_FAIL)
        return STEP_FAIL;
    return name == NULL || *name == '\0' ? STEP_DONE : find_customer(operation, name);
}

bool admin_read_limit(struct operation *operation, uint32_t *limit) {
    const char *text = http_query_parameter(operation->request, "limit");
    *limit = LIST_DEFAULT;
    if (text == NULL)
        return true;
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || value < 1 || value > LIST_MAX)
        return error_set(&operation->error, ERROR_INVALID, "limit must be a number from 1 to %d", LIST_MAX);
    *limit = (uint32_t)value;
    return true;
}

const char *admin_zone_key(struct operation *operation, const char *name_or_id) {
    const char *ascii = name_to_ascii(operation->arena, name_or_id);
    char *key = arena_strdup(operation->arena, ascii == NULL ? name_or_id : ascii);
    size_t length = key == NULL ? 0 : strlen(key);
    for (char *c = key; c != NULL && *c != '\0'; c++)
        if (*c >= 'A' && *c <= 'Z')
            *c = (char)(*c + 'a' - 'A');
    if (length > 1 && key[length - 1] == '.')
        key[length - 1] = '\0';
    return key;
}

const char *admin_by(struct operation *operation) {
    const char *by = arena_printf(operation->arena, "admin:%.180s", operation->request->peer_text);
    return by == NULL ? "admin" : by;
}

enum step_result admin_record_rights(struct operation *operation, struct rights *rights) {
    rights_record(rights, operation->worker, operation->worker->operator_signer, admin_done, operation);
    return STEP_WAIT;
}

void admin_set_time(json_t *json, const char *name, time_t when) {
    char text[TIME_TEXT_MAX];
    if (when == 0)
        return;
    time_format(when, text);
    json_object_set_new(json, name, json_string(text));
}

void admin_set_document(json_t *json, const char *name, const char *text) {
    json_t *document = text == NULL || *text == '\0' ? NULL : json_loads(text, JSON_DECODE_ANY, NULL);
    if (document != NULL)
        json_object_set_new(json, name, document);
}

void admin_set_cursor(json_t *json, const char *cursor) {
    if (cursor != NULL)
        json_object_set_new(json, "cursor", json_string(cursor));
}

json_t *admin_strings(const char *const *strings, size_t count) {
    json_t *array = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(array, json_string(strings[i]));
    return array;
}

struct admin *admin_new(struct worker *worker, struct error *error) {
    struct admin *admin = calloc(1, sizeof *admin);
    if (admin == NULL) {
        error_set(error, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    admin->worker = worker;
    admin->service = (struct http_service){.prefix = "",
                                           .routes = routes,
                                           .route_count = sizeof routes / sizeof routes[0],
                                           .fail = fail,
                                           .context = admin};
    return admin;
}

void admin_free(struct admin *admin) {
    free(admin);
}

const struct http_service *admin_service(struct admin *admin) {
    return &admin->service;
}
