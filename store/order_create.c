/* Writing a new order: one hash with its authorizations packed into two fields each (doc/redis.md). */
#include <inttypes.h>
#include <string.h>

#include "call.h"
#include "link.h"

/* The distinct zones of the authorizations, in order of appearance; number[i] is -1 where authorization i has
 * none. */
struct zone_numbers {
    const char **zones;
    size_t count;
    int *number;
};

static bool number_zones(struct arena *arena, const struct store_order *order, struct zone_numbers *out) {
    size_t count = order->authorization_count;
    *out = (struct zone_numbers){.zones = arena_alloc(arena, (count + 1) * sizeof *out->zones),
                                 .number = arena_alloc(arena, (count + 1) * sizeof *out->number)};
    if (out->zones == NULL || out->number == NULL)
        return false;
    for (size_t i = 0; i < count; i++) {
        const char *zone = order->authorizations[i].zone;
        out->number[i] = -1;
        if (zone == NULL || *zone == '\0')
            continue;
        size_t k = 0;
        while (k < out->count && strcmp(out->zones[k], zone) != 0)
            k++;
        if (k == out->count)
            out->zones[out->count++] = zone;
        out->number[i] = (int)k;
    }
    return true;
}

static void add_pair(struct store_call *call, const char *name, const char *value) {
    if (value == NULL || *value == '\0')
        return;
    call_add(call, name);
    call_add(call, value);
}

static void add_time(struct store_call *call, const char *name, int64_t value) {
    if (value == 0)
        return;
    call_add(call, name);
    call_add_number(call, value);
}

static bool add_authorization(struct store_call *call, size_t i,
                              const struct store_authorization *authorization, int zone) {
    const char *identifier = authorization->identifier, *token = authorization->token;
    bool is_same = identifier == NULL || *identifier == '\0' || strcmp(identifier, authorization->name) == 0;
    char *field = arena_printf(call->own, "%zu", i);
    char *number = zone < 0 ? arena_strdup(call->own, "-") : arena_printf(call->own, "%d", zone);
    char *state_field = arena_printf(call->own, "%zus", i);
    char *error_field = arena_printf(call->own, "%zue", i);
    char *state = arena_printf(call->own, "%s %" PRId64 " %" PRId64 " %" PRIu32,
                               store_authorization_status_name(authorization->status),
                               (int64_t)authorization->validated_at, (int64_t)authorization->expires_at,
                               authorization->tries);
    char *identity = number == NULL ? NULL
                                    : arena_printf(call->own, "%s %s %s %s", authorization->name, number,
                                                   token == NULL || *token == '\0' ? "-" : token,
                                                   is_same ? "=" : identifier);
    if (field == NULL || state_field == NULL || error_field == NULL || state == NULL || identity == NULL)
        return false;
    add_pair(call, field, identity);
    add_pair(call, state_field, state);
    add_pair(call, error_field, authorization->error);
    return true;
}

static bool add_fields(struct store_call *call, const struct store_order *order,
                       const struct zone_numbers *zones) {
    add_pair(call, "account", order->account);
    add_pair(call, "customer", order->customer);
    add_pair(call, "status", store_order_status_name(order->status));
    add_pair(call, "profile", order->profile);
    add_time(call, "not_before", order->not_before);
    add_time(call, "not_after", order->not_after);
    add_pair(call, "replaces", order->replaces);
    add_pair(call, "replaces_serial", order->replaces_serial);
    add_pair(call, "error", order->error);
    add_pair(call, "origin", order->origin);
    add_pair(call, "request", order->request);
    add_pair(call, "key", order->api_key);
    add_time(call, "created", order->created_at != 0 ? order->created_at : clock_wall_ms() / 1000);
    add_time(call, "expires", order->expires_at);
    add_time(call, "checked", order->checked_at);
    call_add(call, "count");
    call_add_number(call, (int64_t)order->authorization_count);
    if (zones->count > 0) {
        call_add(call, "zones");
        call_add_joined(call, zones->zones, zones->count);
    }
    for (size_t i = 0; i < order->authorization_count; i++)
        if (!add_authorization(call, i, &order->authorizations[i], zones->number[i]))
            return false;
    return true;
}

/* The names whose authorization is valid from the start, each with the zone it was proven in: the account
 * holds them. */
static bool add_held_names(struct store_call *call, const struct store_order *order) {
    size_t held = 0;
    for (size_t i = 0; i < order->authorization_count; i++)
        if (order->status != ORDER_REFUSED && order->authorizations[i].status == AUTHORIZATION_VALID)
            held++;
    call_add_number(call, (int64_t)held);
    for (size_t i = 0; held > 0 && i < order->authorization_count; i++) {
        if (order->authorizations[i].status != AUTHORIZATION_VALID)
            continue;
        char *name =
            arena_printf(call->own, "%s %s", order->authorizations[i].name, order->authorizations[i].zone);
        if (name == NULL)
            return false;
        call_add(call, name);
        call_add_number(call, order->authorizations[i].expires_at);
    }
    return true;
}

static void create(struct store_call *call, const struct config *config, const struct store_order *order,
                   const char *evidence, const char *retry_hash, uint32_t seconds) {
    struct zone_numbers zones;
    if (!number_zones(call->own, order, &zones)) {
        call_refuse(call, ERROR_INTERNAL, "out of memory");
        return;
    }
    call_add(call, order->id);
    call_add(call, order->account);
    call_add(call, order->customer);
    call_add(call, store_order_status_name(order->status));
    call_add_number(call, order->expires_at);
    call_add_joined(call, zones.zones, zones.count);
    call_add(call, order->replaces_serial);
    call_add(call, evidence);
    call_add_number(call, config->evidence_retention_seconds);
    call_add_number(call, config->refused_retention_seconds);
    call_add_number(call, config->max_refused_per_customer);
    call_add(call, retry_hash);
    call_add_number(call, seconds);
    call_add_number(call, strcmp(config->moved_zone_certificates, "keep") != 0);
    call_add(call, order->issuers);
    if (!add_held_names(call, order) || !add_fields(call, order, &zones)) {
        call_refuse(call, ERROR_INTERNAL, "out of memory");
        return;
    }
    call_send(call);
}

void store_create_order(struct store *store, const struct store_order *order, const char *evidence,
                        store_done *done, void *context) {
    struct store_call *call = call_new(store, SCRIPT_CREATE_ORDER, NULL, NULL, NULL, done, context);
    if (call != NULL)
        create(call, store_config(store), order, evidence, "", 0);
}

static bool parse_winner(struct store_call *call, struct redisReply *const *items, size_t count,
                         struct error *error) {
    if (count < 1)
        return error_set(error, ERROR_INTERNAL, "Redis did not say which order it is");
    *(const char **)call->out = reply_text(call->arena, items[0], error);
    return *(const char **)call->out != NULL;
}

void store_create_order_once(struct store *store, struct arena *arena, const struct store_order *order,
                             const char *evidence, const char *retry_hash, uint32_t seconds,
                             const char **order_id, store_done *done, void *context) {
    struct store_call *call =
        call_new(store, SCRIPT_CREATE_ORDER, arena, parse_winner, order_id, done, context);
    if (call != NULL)
        create(call, store_config(store), order, evidence, retry_hash, seconds == 0 ? 1 : seconds);
}

static bool parse_found(struct store_call *call, struct redisReply *const *items, size_t count,
                        struct error *error) {
    return reply_read_one(call, items, count, order_read, error);
}

void store_find_retry(struct store *store, struct arena *arena, const char *retry_hash,
                      struct store_order *out, store_done *done, void *context) {
    struct store_call *call = call_new(store, SCRIPT_FIND_RETRY, arena, parse_found, out, done, context);
    if (call == NULL)
        return;
    call_add(call, retry_hash);
    call_send(call);
}
