/* Orders: reading the hash that holds an order with its authorizations, evidence, claiming, releasing,
 * listing. */
#include <string.h>

#include "call.h"
#include "link.h"

/* What the hash holds beside the order's own members. */
struct order_hash {
    struct store_order order;
    const char **zones; /* distinct; the authorizations name them by number */
    size_t zone_count;
    uint32_t count;
};

static const struct store_field order_fields[] = {
    {"account", FIELD_TEXT, offsetof(struct order_hash, order.account), NULL},
    {"customer", FIELD_TEXT, offsetof(struct order_hash, order.customer), NULL},
    {"status", FIELD_ENUM, offsetof(struct order_hash, order.status), store_order_statuses},
    {"profile", FIELD_TEXT, offsetof(struct order_hash, order.profile), NULL},
    {"not_before", FIELD_TIME, offsetof(struct order_hash, order.not_before), NULL},
    {"not_after", FIELD_TIME, offsetof(struct order_hash, order.not_after), NULL},
    {"replaces", FIELD_TEXT, offsetof(struct order_hash, order.replaces), NULL},
    {"replaces_serial", FIELD_TEXT, offsetof(struct order_hash, order.replaces_serial), NULL},
    {"error", FIELD_TEXT, offsetof(struct order_hash, order.error), NULL},
    {"serial", FIELD_TEXT, offsetof(struct order_hash, order.serial), NULL},
    {"attempt", FIELD_TEXT, offsetof(struct order_hash, order.attempt), NULL},
    {"claimed", FIELD_INT64, offsetof(struct order_hash, order.claimed_at_ms), NULL},
    {"csr", FIELD_TEXT, offsetof(struct order_hash, order.csr_sha256), NULL},
    {"csr_der", FIELD_BYTES, offsetof(struct order_hash, order.csr), NULL},
    {"origin", FIELD_TEXT, offsetof(struct order_hash, order.origin), NULL},
    {"request", FIELD_TEXT, offsetof(struct order_hash, order.request), NULL},
    {"key", FIELD_TEXT, offsetof(struct order_hash, order.api_key), NULL},
    {"created", FIELD_TIME, offsetof(struct order_hash, order.created_at), NULL},
    {"expires", FIELD_TIME, offsetof(struct order_hash, order.expires_at), NULL},
    {"checked", FIELD_TIME, offsetof(struct order_hash, order.checked_at), NULL},
    {"outdated", FIELD_UINT32, offsetof(struct order_hash, order.is_outdated), NULL},
    {"zones", FIELD_WORDS, offsetof(struct order_hash, zones), NULL},
    {"count", FIELD_UINT32, offsetof(struct order_hash, count), NULL},
};

#define AUTHORIZATIONS_MAX 10000

static bool is_broken(struct error *error) {
    return error_set(error, ERROR_INTERNAL,
                     "Redis holds an authorization that is not what doc/redis.md says");
}

/* "name zone-number token identifier", where the identifier is "=" when it is spelt as the name. */
static bool read_identity(struct arena *arena, const struct order_hash *hash, const struct redisReply *value,
                          struct store_authorization *authorization, struct error *error) {
    char *rest = reply_text(arena, value, error);
    if (rest == NULL)
        return false;
    const char *name = strsep(&rest, " "), *zone = strsep(&rest, " "), *token = strsep(&rest, " ");
    if (zone == NULL || token == NULL || rest == NULL)
        return is_broken(error);
    struct redisReply number = {.type = REDIS_REPLY_STRING, .str = (char *)zone, .len = strlen(zone)};
    int64_t zone_number = -1;
    if (strcmp(zone, "-") != 0 && !reply_number(&number, &zone_number, error))
        return false;
    if (zone_number >= (int64_t)hash->zone_count)
        return is_broken(error);
    authorization->name = name;
    authorization->zone = zone_number < 0 ? "" : hash->zones[zone_number];
    authorization->token = strcmp(token, "-") == 0 ? "" : token;
    authorization->identifier = strcmp(rest, "=") == 0 ? name : rest;
    return true;
}

/* "status validated expires tries" */
static bool read_state(struct arena *arena, const struct redisReply *value,
                       struct store_authorization *authorization, struct error *error) {
    char *text = reply_text(arena, value, error);
    const char **words;
    size_t count;
    int64_t numbers[3] = {0};
    if (text == NULL || !reply_split(arena, text, &words, &count, error))
        return false;
    if (count != 4)
        return is_broken(error);
    for (size_t i = 0; i < 3; i++) {
        struct redisReply number = {
            .type = REDIS_REPLY_STRING, .str = (char *)words[i + 1], .len = strlen(words[i + 1])};
        if (!reply_number(&number, &numbers[i], error))
            return false;
    }
    for (int i = 0; store_authorization_statuses[i] != NULL; i++) {
        if (strcmp(store_authorization_statuses[i], words[0]) != 0)
            continue;
        authorization->status = (enum store_authorization_status)i;
        authorization->validated_at = (time_t)numbers[0];
        authorization->expires_at = (time_t)numbers[1];
        authorization->tries = (uint32_t)numbers[2];
        return true;
    }
    return is_broken(error);
}

/* The fields of authorization i are "<i>", "<i>s" (state) and "<i>e" (error). */
static bool read_authorizations(struct arena *arena, const struct redisReply *pairs, struct order_hash *hash,
                                struct error *error) {
    struct store_order *order = &hash->order;
    if (hash->count > AUTHORIZATIONS_MAX)
        return is_broken(error);
    order->authorization_count = hash->count;
    order->authorizations = arena_alloc(arena, (hash->count + 1) * sizeof *order->authorizations);
    if (order->authorizations == NULL)
        return reply_out_of_memory(error);
    for (size_t i = 0; i < hash->count; i++)
        order->authorizations[i] =
            (struct store_authorization){.identifier = "", .name = "", .zone = "", .token = "", .error = ""};
    for (size_t k = 0; k + 1 < pairs->elements; k += 2) {
        const char *field = pairs->element[k]->str;
        const struct redisReply *value = pairs->element[k + 1];
        size_t index = 0, digits = 0;
        while (field[digits] >= '0' && field[digits] <= '9' && digits < 6)
            index = index * 10 + (size_t)(field[digits++] - '0');
        if (digits == 0 || index >= hash->count)
            continue;
        struct store_authorization *authorization = &order->authorizations[index];
        if (field[digits] == '\0' && !read_identity(arena, hash, value, authorization, error))
            return false;
        if (field[digits] == 's' && !read_state(arena, value, authorization, error))
            return false;
        if (field[digits] == 'e' && (authorization->error = reply_text(arena, value, error)) == NULL)
            return false;
    }
    return true;
}

/* Nothing runs when a time passes: what has expired is seen here (RFC 8555 7.1.6), and refused by each
 * script. */
static void note_expiry(struct store_order *order) {
    time_t now = (time_t)(clock_wall_ms() / 1000);
    bool is_open = order->status == ORDER_PENDING || order->status == ORDER_READY;
    bool has_expired = is_open && order->expires_at <= now;
    if (has_expired)
        order->status = ORDER_INVALID;
    for (size_t i = 0; i < order->authorization_count; i++) {
        struct store_authorization *authorization = &order->authorizations[i];
        bool is_live =
            authorization->status == AUTHORIZATION_VALID || authorization->status == AUTHORIZATION_PENDING;
        bool has_ended = authorization->expires_at != 0 && authorization->expires_at <= now;
        if (is_live && (has_ended || (has_expired && authorization->status == AUTHORIZATION_PENDING)))
            authorization->status = AUTHORIZATION_EXPIRED;
    }
}

bool order_read(struct arena *arena, const struct redisReply *id, const struct redisReply *pairs,
                void *object, struct error *error) {
    _Static_assert(offsetof(struct order_hash, zone_count) ==
                       offsetof(struct order_hash, zones) + sizeof(const char **),
                   "FIELD_WORDS writes pointer and count");
    struct order_hash hash = {.order = {.id = reply_text(arena, id, error)}};
    if (hash.order.id == NULL ||
        !reply_read_fields(arena, pairs, order_fields, sizeof order_fields / sizeof *order_fields, &hash,
                           error) ||
        !read_authorizations(arena, pairs, &hash, error))
        return false;
    note_expiry(&hash.order);
    *(struct store_order *)object = hash.order;
    return true;
}

/* --- loading --- */

static bool parse_loaded(struct store_call *call, struct redisReply *const *items, size_t count,
                         struct error *error) {
    return reply_read_hash(call, items, count, order_read, "order", error);
}

void store_load_order(struct store *store, struct arena *arena, const char *order_id, struct store_order *out,
                      store_done *done, void *context) {
    call_load_hash(store, arena, "order:", order_id, parse_loaded, out, done, context);
}

/* {"all": text} gives the text; single authorizations' newer pieces beside it give a JSON array of all texts.
 */
static bool parse_evidence(struct store_call *call, struct redisReply *const *items, size_t count,
                           struct error *error) {
    struct text array;
    if (count != 1 || !reply_is_array(items[0], 0, error))
        return false;
    if (items[0]->elements < 2)
        return error_set(error, ERROR_NOT_FOUND, "no evidence is kept for this order");
    text_init(&array, call->arena);
    bool is_single = items[0]->elements == 2;
    for (size_t i = 0; i + 1 < items[0]->elements; i += 2) {
        const struct redisReply *value = items[0]->element[i + 1];
        if (!reply_is_text(value))
            return error_set(error, ERROR_INTERNAL, "Redis holds evidence that is no text");
        if (!is_single)
            text_append(&array, i == 0 ? "[" : ",");
        text_append_bytes(&array, value->str, value->len);
    }
    if (!is_single)
        text_append(&array, "]");
    *(const char **)call->out = array.data;
    return !array.failed || reply_out_of_memory(error);
}

void store_load_evidence(struct store *store, struct arena *arena, const char *order_id,
                         const char **json_text, store_done *done, void *context) {
    call_load_hash(store, arena, "evidence:", order_id, parse_evidence, json_text, done, context);
}

/* --- claim and release --- */

static bool parse_order(struct store_call *call, struct redisReply *const *items, size_t count,
                        struct error *error) {
    return reply_read_one(call, items, count, order_read, error);
}

void store_claim_order(struct store *store, struct arena *arena, const char *order_id, const char *attempt,
                       int64_t claimed_at_ms, const char *csr_sha256, const char *spki_sha256,
                       struct bytes csr, const char *issuer, struct store_order *out, store_done *done,
                       void *context) {
    struct store_call *call = call_new(store, SCRIPT_CLAIM_ORDER, arena, parse_order, out, done, context);
    if (call == NULL)
        return;
    call->is_durable = true;
    call_add(call, order_id);
    call_add(call, attempt);
    call_add_number(call, claimed_at_ms);
    call_add(call, csr_sha256);
    call_add(call, spki_sha256);
    call_add_bytes(call, csr.data, csr.length);
    call_add(call, issuer);
    call_send(call);
}

void store_release_order(struct store *store, const char *order_id, const char *attempt, const char *problem,
                         store_done *done, void *context) {
    const struct config *config = store_config(store);
    struct store_call *call = call_new(store, SCRIPT_RELEASE_ORDER, NULL, NULL, NULL, done, context);
    if (call == NULL)
        return;
    call_add(call, order_id);
    call_add(call, attempt);
    call_add_number(call, problem != NULL);
    call_add(call, problem);
    call_add_number(call, config->refused_retention_seconds);
    call_add_number(call, (int64_t)config->resume_first_seconds * 1000);
    call_add_number(call, (int64_t)config->resume_longest_seconds * 1000);
    call_send(call);
}

void store_waiting_orders(struct store *store, struct arena *arena, uint32_t limit, uint32_t lease_ms,
                          struct store_name_list *out, store_done *done, void *context) {
    struct store_call *call =
        call_new(store, SCRIPT_WAITING_ORDERS, arena, reply_read_words, out, done, context);
    if (call == NULL)
        return;
    call_add_number(call, limit);
    call_add_number(call, lease_ms);
    call_send(call);
}

static bool parse_attempts(struct store_call *call, struct redisReply *const *items, size_t count,
                           struct error *error) {
    struct store_attempt_list *list = call->out;
    list->count = 0;
    list->items = arena_alloc(call->arena, (count + 1) * sizeof *list->items);
    if (list->items == NULL)
        return reply_out_of_memory(error);
    for (size_t i = 0; i < count; i++) {
        struct store_attempt *attempt = &list->items[i];
        int64_t expires = 0;
        if (!reply_is_array(items[i], 4, error) || !reply_number(items[i]->element[3], &expires, error))
            return false;
        attempt->expires_at = (time_t)expires;
        attempt->order = reply_text(call->arena, items[i]->element[0], error);
        attempt->attempt =
            attempt->order == NULL ? NULL : reply_text(call->arena, items[i]->element[1], error);
        if (attempt->attempt == NULL || !reply_number(items[i]->element[2], &attempt->claimed_at_ms, error))
            return false;
    }
    list->count = count;
    return true;
}

void store_stale_attempts(struct store *store, struct arena *arena, int64_t older_than_ms, uint32_t limit,
                          const char *host, time_t ended_before, struct store_attempt_list *out,
                          store_done *done, void *context) {
    struct store_call *call =
        call_new(store, SCRIPT_STALE_ATTEMPTS, arena, parse_attempts, out, done, context);
    if (call == NULL)
        return;
    call_add_number(call, older_than_ms);
    call_add_limit(call, limit);
    call_add(call, host);
    call_add_number(call, ended_before);
    call_send(call);
}

/* --- lists --- */

static bool parse_list(struct store_call *call, struct redisReply *const *items, size_t count,
                       struct error *error) {
    struct store_order_list *list = call->out;
    return reply_read_page(call, items, count, order_read, sizeof *list->items, (void **)&list->items,
                           &list->count, &list->next_cursor, error);
}

void store_list_orders(struct store *store, struct arena *arena, const struct store_order_filter *filter,
                       struct store_order_list *out, store_done *done, void *context) {
    struct store_call *call = call_new(store, SCRIPT_LIST_ORDERS, arena, parse_list, out, done, context);
    if (call == NULL)
        return;
    call_add(call,
             filter->status < 0 ? "" : store_order_status_name((enum store_order_status)filter->status));
    call_add(call, filter->zone);
    call_add(call, filter->customer);
    call_add_number(call, filter->since);
    call_add_cursor(call, filter->cursor);
    call_add_limit(call, filter->limit);
    call_send(call);
}
