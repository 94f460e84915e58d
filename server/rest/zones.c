/* Zones as clients read them, their SSL mode, and the check of a token. */
#include "internal.h"

#include "originca/names.h"

struct zones_state {
    struct rest_call call;
    struct store_customer customer;
    struct rest_paging paging;
    struct store_zone zone;
    struct store_zone_list list;
    uint64_t total;
    const char *mode;
};

static enum step_result require_read(struct operation *operation) {
    return rest_require(operation, API_KEY_ZONES_READ);
}

static enum step_result require_edit(struct operation *operation) {
    return rest_require(operation, API_KEY_ZONES_EDIT);
}

static enum step_result find_customer(struct operation *operation) {
    struct zones_state *state = operation->state;
    store_load_customer(operation->worker->store, operation->arena, state->call.key.customer,
                        &state->customer, rest_done, operation);
    return STEP_WAIT;
}

/* --- as JSON --- */

static void set_time(json_t *json, const char *name, time_t when) {
    char text[TIME_TEXT_MAX];
    time_format(when, text);
    json_object_set_new(json, name, when == 0 ? json_null() : json_string(text));
}

static time_t latest(const struct store_zone *zone) {
    time_t when = zone->created_at;
    if (zone->activated_at > when)
        when = zone->activated_at;
    return zone->ssl_changed_at > when ? zone->ssl_changed_at : when;
}

static json_t *zone_json(const struct store_zone *zone, const struct store_customer *customer) {
    bool is_paused = zone->status == ZONE_PAUSED;
    const char *status = !is_paused               ? store_zone_status_name(zone->status)
                         : *zone->resumes != '\0' ? zone->resumes
                                                  : "pending";
    json_t *servers = json_array(),
           *account = json_pack("{s:s, s:s}", "id", customer->id, "name", customer->name);
    for (size_t i = 0; i < zone->name_server_count; i++)
        json_array_append_new(servers, json_string(zone->name_servers[i]));
    json_t *json =
        json_pack("{s:s, s:s, s:s, s:b, s:s, s:i, s:o, s:n, s:n, s:n}", "id", zone->id, "name", zone->name,
                  "status", status, "paused", is_paused, "type", "full", "development_mode", 0,
                  "name_servers", servers, "original_name_servers", "original_registrar", "original_dnshost");
    if (json == NULL)
        return NULL;
    set_time(json, "created_on", zone->created_at);
    set_time(json, "modified_on", latest(zone));
    set_time(json, "activated_on", zone->activated_at);
    json_object_set_new(json, "account", account);
    json_object_set_new(json, "owner",
                        json_pack("{s:s, s:s, s:n}", "id", customer->id, "type", "organization", "email"));
    json_object_set_new(json, "permissions", json_pack("[s, s]", "#zone:read", "#ssl:edit"));
    json_object_set_new(json, "meta",
                        json_pack("{s:i, s:b, s:i, s:b}", "step", 2, "cdn_only", 0, "page_rule_quota", 0,
                                  "phishing_detected", 0));
    json_object_set_new(json, "plan",
                        json_pack("{s:s, s:s, s:i, s:b}", "id", "originca", "name", "originca", "price", 0,
                                  "is_subscribed", 1));
    return json;
}

/* --- list --- */

static enum step_result list(struct operation *operation) {
    struct zones_state *state = operation->state;
    char canonical[NAME_MAX_BYTES + 1];
    struct error ignored;
    const char *name = http_query_parameter(operation->request, "name"),
               *status = http_query_parameter(operation->request, "status");
    if (!rest_read_paging(operation, &state->paging))
        return STEP_FAIL;
    if (status != NULL && *status != '\0' && strcmp(status, "active") != 0 &&
        strcmp(status, "pending") != 0 && strcmp(status, "moved") != 0 &&
        strcmp(status, "initializing") != 0 && strcmp(status, "deactivated") != 0)
        return rest_refuse(operation, 400, REST_API_ERROR,
                           "Invalid value for status: active, pending and moved are known");
    /* A name that cannot be a zone's finds nothing; an empty one is no filter. */
    bool has_name = name != NULL && *name != '\0';
    const char *ascii = has_name ? name_to_ascii(operation->arena, name) : NULL;
    const struct store_zone_filter filter = {
        .customer = state->call.key.customer,
        .name = !has_name                                                      ? NULL
                : ascii != NULL && name_check_host(ascii, canonical, &ignored) ? canonical
                                                                               : "-",
        .status = status,
        .zones = state->call.key.zones,
        .zone_count = state->call.key.zone_count,
        .offset = state->paging.offset,
        .limit = state->paging.limit,
    };
    store_page_zones(operation->worker->store, operation->arena, &filter, &state->list, &state->total,
                     rest_done, operation);
    return STEP_WAIT;
}

static enum step_result reply_list(struct operation *operation) {
    struct zones_state *state = operation->state;
    json_t *items = json_array();
    for (size_t i = 0; i < state->list.count; i++)
        json_array_append_new(items, zone_json(&state->list.items[i], &state->customer));
    return rest_reply(operation, items, rest_result_info(&state->paging, state->list.count, state->total));
}

static const struct step list_steps[] = {REST_AUTHENTICATE,
                                         {"require right", require_read},
                                         {"find customer", find_customer},
                                         {"list", list},
                                         {"reply", reply_list}};
static const struct operation_kind list_kind =
    OPERATION_KIND("REST list zones", list_steps, struct zones_state, rest_fail);

void rest_list_zones(struct http_request *request) {
    operation_start(request, &list_kind);
}

/* --- one --- */

static enum step_result refuse_absent(struct operation *operation) {
    return rest_refuse(operation, 404, REST_NO_OBJECT,
                       "Could not route to %.120s, perhaps your object identifier is invalid?",
                       operation->request->path);
}

static void note_zone(void *context, const struct error *error) {
    struct operation *operation = context;
    struct zones_state *state = operation->state;
    if (error != NULL && error->code != ERROR_NOT_FOUND) {
        operation_fail(operation, error);
    } else if (error != NULL || state->zone.status == ZONE_DELETED ||
               strcmp(state->zone.customer, state->call.key.customer) != 0 ||
               !rest_may_use_zone(&state->call, state->zone.id)) {
        refuse_absent(operation);
        operation_fail(operation, NULL);
    } else {
        operation_resume(operation);
    }
}

static enum step_result load(struct operation *operation) {
    struct zones_state *state = operation->state;
    const char *id = operation->request->params[0];
    if (strlen(id) != 32 || strspn(id, "0123456789abcdef") != 32)
        return refuse_absent(operation);
    store_load_zone(operation->worker->store, operation->arena, id, &state->zone, note_zone, operation);
    return STEP_WAIT;
}

static enum step_result reply_one(struct operation *operation) {
    struct zones_state *state = operation->state;
    return rest_reply(operation, zone_json(&state->zone, &state->customer), NULL);
}

static const struct step get_steps[] = {REST_AUTHENTICATE,
                                        {"require right", require_read},
                                        {"load", load},
                                        {"find customer", find_customer},
                                        {"reply", reply_one}};
static const struct operation_kind get_kind =
    OPERATION_KIND("REST get zone", get_steps, struct zones_state, rest_fail);

void rest_get_zone(struct http_request *request) {
    operation_start(request, &get_kind);
}

/* --- how the edge speaks to the origin --- */

static enum step_result reply_ssl(struct operation *operation) {
    const struct zones_state *state = operation->state;
    const char *mode = *state->zone.ssl_mode == '\0' ? "flexible" : state->zone.ssl_mode;
    json_t *json = json_pack("{s:s, s:s, s:b}", "id", "ssl", "value", mode, "editable",
                             (state->call.rights & API_KEY_ZONES_EDIT) != 0);
    set_time(json, "modified_on", state->zone.ssl_changed_at);
    return rest_reply(operation, json, NULL);
}

static enum step_result read_mode(struct operation *operation) {
    static const char *const modes[] = {"off", "flexible", "full", "strict"};
    struct zones_state *state = operation->state;
    json_t *body = rest_read_body(operation);
    if (body == NULL)
        return STEP_FAIL;
    const char *value = json_string_value(json_object_get(body, "value"));
    for (size_t i = 0; value != NULL && i < sizeof modes / sizeof *modes; i++)
        if (strcmp(value, modes[i]) == 0)
            state->mode = modes[i];
    operation_forget_request(operation);
    return state->mode != NULL
               ? STEP_DONE
               : rest_refuse(operation, 400, 1007,
                             "Invalid value for zone setting ssl: off, flexible, full and strict are known");
}

static enum step_result set_mode(struct operation *operation) {
    struct zones_state *state = operation->state;
    store_set_zone_ssl(operation->worker->store, operation->arena, state->zone.id, state->mode, &state->zone,
                       note_zone, operation);
    return STEP_WAIT;
}

static enum step_result reply_set(struct operation *operation) {
    const struct zones_state *state = operation->state;
    log_event(LOG_LEVEL_INFO, "zone setting changed", "request", operation->request->id, "zone",
              state->zone.name, "ssl", state->mode, "customer", state->call.key.customer, "key",
              state->call.key.id, NULL);
    return reply_ssl(operation);
}

static const struct step get_ssl_steps[] = {
    REST_AUTHENTICATE, {"require right", require_read}, {"load", load}, {"reply", reply_ssl}};
static const struct operation_kind get_ssl =
    OPERATION_KIND("REST get SSL mode", get_ssl_steps, struct zones_state, rest_fail);

void rest_get_ssl(struct http_request *request) {
    operation_start(request, &get_ssl);
}

static const struct step set_ssl_steps[] = {REST_AUTHENTICATE, {"require right", require_edit},
                                            {"load", load},    {"read mode", read_mode},
                                            {"set", set_mode}, {"reply", reply_set}};
static const struct operation_kind set_ssl =
    OPERATION_KIND("REST set SSL mode", set_ssl_steps, struct zones_state, rest_fail);

void rest_set_ssl(struct http_request *request) {
    operation_start(request, &set_ssl);
}

/* --- is this token good? The one answer that carries a message: its clients expect it. --- */

static enum step_result reply_verified(struct operation *operation) {
    const struct zones_state *state = operation->state;
    if (state->call.form != REST_AUTH_BEARER)
        return rest_refuse(operation, 400, REST_AUTHENTICATION, "Authentication error");
    return rest_reply_messages(operation,
                               json_pack("{s:s, s:s}", "id", state->call.key.id, "status", "active"),
                               json_pack("[{s:i, s:s, s:n}]", "code", 10000, "message",
                                         "This API Token is valid and active", "type"));
}

/* A token that is not good has another answer here than elsewhere. */
static void fail_verification(struct operation *operation) {
    if (rest_call_of(operation)->code == REST_AUTHENTICATION)
        rest_refuse(operation, 401, REST_API_ERROR, "Invalid API Token");
    rest_fail(operation);
}

static const struct step verify_steps[] = {REST_AUTHENTICATE, {"reply", reply_verified}};
static const struct operation_kind verify =
    OPERATION_KIND("REST verify token", verify_steps, struct zones_state, fail_verification);

void rest_verify_token(struct http_request *request) {
    operation_start(request, &verify);
}
