/* Orders, authorizations and challenges as clients see them (RFC 8555 7.1.3 to 7.1.5). Unset members are left
 * out; evidence never appears here: some clients read JSON with grep. */
#include "internal.h"

#include <time.h>

#include "originca/names.h"

enum store_order_status acme_order_status(const struct store_order *order) {
    bool can_expire = order->status == ORDER_PENDING || order->status == ORDER_READY;
    return can_expire && order->expires_at != 0 && order->expires_at <= time(NULL) ? ORDER_INVALID
                                                                                   : order->status;
}

enum store_authorization_status acme_authorization_status(const struct store_authorization *authorization) {
    bool has_expired = authorization->expires_at != 0 && authorization->expires_at <= time(NULL);
    if (has_expired && authorization->status == AUTHORIZATION_VALID)
        return AUTHORIZATION_EXPIRED;
    return has_expired && authorization->status == AUTHORIZATION_PENDING ? AUTHORIZATION_INVALID
                                                                         : authorization->status;
}

static void set_time(json_t *json, const char *name, time_t when) {
    char text[TIME_TEXT_MAX];
    if (when == 0)
        return;
    time_format(when, text);
    json_object_set_new(json, name, json_string(text));
}

static void set_error(json_t *json, const char *text) {
    json_t *error = text == NULL || *text == '\0' ? NULL : json_loads(text, 0, NULL);
    if (error != NULL)
        json_object_set_new(json, "error", error);
}

json_t *acme_order_json(struct operation *operation, const struct store_order *order) {
    json_t *identifiers = json_array(), *authorizations = json_array();
    for (size_t i = 0; i < order->authorization_count; i++) {
        json_array_append_new(identifiers, json_pack("{s:s, s:s}", "type", "dns", "value",
                                                     order->authorizations[i].identifier));
        json_array_append_new(authorizations, json_string(acme_url(operation, "authz/%s/%zu", order->id, i)));
    }
    json_t *json =
        json_pack("{s:s, s:o, s:o, s:s}", "status", store_order_status_name(acme_order_status(order)),
                  "identifiers", identifiers, "authorizations", authorizations, "finalize",
                  acme_url(operation, "finalize/%s", order->id));
    set_time(json, "expires", order->expires_at);
    set_time(json, "notBefore", order->not_before);
    set_time(json, "notAfter", order->not_after);
    if (*order->profile != '\0')
        json_object_set_new(json, "profile", json_string(order->profile));
    if (*order->replaces != '\0')
        json_object_set_new(json, "replaces", json_string(order->replaces));
    set_error(json, order->error);
    if (order->status == ORDER_VALID && *order->serial != '\0')
        json_object_set_new(json, "certificate", json_string(acme_url(operation, "cert/%s", order->serial)));
    return json;
}

json_t *acme_challenge_json(struct operation *operation, const struct store_order *order, size_t index) {
    const struct store_authorization *authorization = &order->authorizations[index];
    const char *status = authorization->status == AUTHORIZATION_PENDING   ? "pending"
                         : authorization->status == AUTHORIZATION_INVALID ? "invalid"
                                                                          : "valid";
    json_t *json = json_pack("{s:s, s:s, s:s, s:s}", "type", "dns-01", "url",
                             acme_url(operation, "chall/%s/%zu", order->id, index), "status", status, "token",
                             authorization->token);
    if (authorization->status != AUTHORIZATION_PENDING)
        set_time(json, "validated", authorization->validated_at);
    set_error(json, authorization->error);
    return json;
}

json_t *acme_authorization_json(struct operation *operation, const struct store_order *order, size_t index) {
    const struct store_authorization *authorization = &order->authorizations[index];
    json_t *challenges = json_array();
    json_array_append_new(challenges, acme_challenge_json(operation, order, index));
    json_t *json = json_pack("{s:{s:s, s:s}, s:s, s:o}", "identifier", "type", "dns", "value",
                             name_base(authorization->identifier), "status",
                             store_authorization_status_name(acme_authorization_status(authorization)),
                             "challenges", challenges);
    set_time(json, "expires", authorization->expires_at);
    if (name_is_wildcard(authorization->name))
        json_object_set_new(json, "wildcard", json_true());
    return json;
}

void acme_reply_order(struct operation *operation, unsigned status, const struct store_order *order) {
    http_reply_header(operation->request, "Location", acme_url(operation, "order/%s", order->id));
    if (order->status == ORDER_PROCESSING)
        http_reply_header(operation->request, "Retry-After", "1");
    acme_reply_json(operation, status, acme_order_json(operation, order));
}
