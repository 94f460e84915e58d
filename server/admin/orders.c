/* Orders, refused attempts included, with their evidence. */
#include "internal.h"

struct orders_state {
    struct admin_call call;
    struct store_order order;
    struct store_order_list list;
    struct store_zone zone;
    const char *evidence;
};

static void set_text(json_t *json, const char *name, const char *text) {
    if (text != NULL && *text != '\0')
        json_object_set_new(json, name, json_string(text));
}

static void set_serial(json_t *json, const char *hex) {
    uint8_t serial[SERIAL_BYTES];
    char decimal[SERIAL_DECIMAL_MAX];
    if (hex == NULL || !hex_decode(hex, serial, sizeof serial))
        return;
    serial_to_decimal(serial, decimal);
    json_object_set_new(json, "serial", json_string(decimal));
}

static json_t *authorization_json(const struct store_authorization *authorization) {
    json_t *json = json_pack("{s:s, s:s}", "identifier", authorization->identifier, "status",
                             store_authorization_status_name(authorization->status));
    set_text(json, "zone", authorization->zone);
    admin_set_time(json, "validated_at", authorization->validated_at);
    admin_set_time(json, "expires_at", authorization->expires_at);
    if (authorization->tries > 0)
        json_object_set_new(json, "tries", json_integer(authorization->tries));
    admin_set_document(json, "error", authorization->error);
    return json;
}

static json_t *order_json(const struct store_order *order) {
    json_t *identifiers = json_array(), *authorizations = json_array();
    for (size_t i = 0; i < order->authorization_count; i++) {
        json_array_append_new(identifiers, json_string(order->authorizations[i].identifier));
        json_array_append_new(authorizations, authorization_json(&order->authorizations[i]));
    }
    json_t *json = json_pack("{s:s, s:s, s:o, s:o, s:s}", "id", order->id, "status",
                             store_order_status_name(order->status), "identifiers", identifiers,
                             "authorizations", authorizations, "profile", order->profile);
    set_text(json, "account", order->account);
    set_text(json, "customer", order->customer);
    set_text(json, "origin", order->origin);
    set_text(json, "replaces", order->replaces);
    set_text(json, "attempt", order->status == ORDER_PROCESSING ? order->attempt : "");
    set_serial(json, order->serial);
    admin_set_time(json, "created_at", order->created_at);
    admin_set_time(json, "expires_at", order->expires_at);
    admin_set_time(json, "checked_at", order->checked_at);
    admin_set_document(json, "error", order->error);
    return json;
}

static enum step_result load_order(struct operation *operation) {
    struct orders_state *state = operation->state;
    store_load_order(operation->worker->store, operation->arena, operation->request->params[0], &state->order,
                     admin_done, operation);
    return STEP_WAIT;
}

static void note_evidence(void *context, const struct error *error) {
    admin_done(context, error != NULL && error->code == ERROR_NOT_FOUND ? NULL : error);
}

static enum step_result load_evidence(struct operation *operation) {
    struct orders_state *state = operation->state;
    store_load_evidence(operation->worker->store, operation->arena, state->order.id, &state->evidence,
                        note_evidence, operation);
    return STEP_WAIT;
}

static enum step_result reply_order(struct operation *operation) {
    struct orders_state *state = operation->state;
    json_t *json = order_json(&state->order);
    admin_set_document(json, "evidence", state->evidence);
    admin_reply(operation, 200, json);
    return STEP_REPLIED;
}

static const struct step show_steps[] = {{"require Redis", admin_require_ready},
                                         {"load order", load_order},
                                         {"load evidence", load_evidence},
                                         {"reply", reply_order}};
static const struct operation_kind show =
    OPERATION_KIND("show order", show_steps, struct orders_state, admin_fail);

void admin_show_order(struct http_request *request) {
    operation_start(request, &show);
}

static enum step_result find_zone(struct operation *operation) {
    struct orders_state *state = operation->state;
    const char *zone = http_query_parameter(operation->request, "zone");
    if (zone == NULL || *zone == '\0')
        return STEP_DONE;
    zone = admin_zone_key(operation, zone);
    if (zone == NULL)
        return admin_refuse(operation, ERROR_INTERNAL, "out of memory");
    store_find_zone(operation->worker->store, operation->arena, zone, state->call.customer.id, &state->zone,
                    admin_done, operation);
    return STEP_WAIT;
}

static enum step_result list_orders(struct operation *operation) {
    struct orders_state *state = operation->state;
    struct store_order_filter filter = {
        .status = -1, .zone = state->zone.id, .customer = state->call.customer.id};
    const char *status = http_query_parameter(operation->request, "status"),
               *since = http_query_parameter(operation->request, "since");
    if (status != NULL && *status != '\0' && !store_order_status_parse(status, &filter.status))
        return admin_refuse(operation, ERROR_INVALID,
                            "status must be pending, ready, processing, valid, invalid or refused");
    if (since != NULL && *since != '\0' && !time_parse(since, &filter.since))
        return admin_refuse(operation, ERROR_INVALID, "since must be an RFC 3339 time");
    if (!admin_read_limit(operation, &filter.limit))
        return STEP_FAIL;
    filter.cursor = http_query_parameter(operation->request, "cursor");
    store_list_orders(operation->worker->store, operation->arena, &filter, &state->list, admin_done,
                      operation);
    return STEP_WAIT;
}

static enum step_result reply_list(struct operation *operation) {
    struct orders_state *state = operation->state;
    json_t *items = json_array(), *json;
    for (size_t i = 0; i < state->list.count; i++)
        json_array_append_new(items, order_json(&state->list.items[i]));
    json = json_pack("{s:o}", "items", items);
    admin_set_cursor(json, state->list.next_cursor);
    admin_reply(operation, 200, json);
    return STEP_REPLIED;
}

static const struct step list_steps[] = {{"find customer", admin_find_query_customer},
                                         {"find zone", find_zone},
                                         {"list orders", list_orders},
                                         {"reply", reply_list}};
static const struct operation_kind list =
    OPERATION_KIND("list orders", list_steps, struct orders_state, admin_fail);

void admin_list_orders(struct http_request *request) {
    operation_start(request, &list);
}
