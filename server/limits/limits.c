/* The list of what a request takes from which limit. */
#include "originca/limits.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include <netinet/in.h>

#include "originca/worker.h"

#define ACCOUNTS "accounts"
#define ORDERS "orders"
#define NAMES "names"
#define REQUESTS "requests"
#define FAILED "failed-checks"

static bool add(struct limits *limits, const char *kind, const char *subject, uint32_t cost, uint32_t allowed,
                uint32_t window) {
    if (subject == NULL)
        return false;
    if (allowed > 0 || window == 0)
        limits->items[limits->count++] = (struct store_limit){kind, subject, cost, allowed, window};
    return true;
}

static bool make_room(struct arena *arena, struct limits *out, size_t count) {
    *out = (struct limits){.items = arena_alloc(arena, (count + 1) * sizeof *out->items)};
    return out->items != NULL;
}

static const char *subject_of(struct arena *arena, const struct sockaddr_storage *peer) {
    char text[INET6_ADDRSTRLEN];
    if (peer->ss_family == AF_INET)
        inet_ntop(AF_INET, &((const struct sockaddr_in *)peer)->sin_addr, text, sizeof text);
    else {
        struct in6_addr network = ((const struct sockaddr_in6 *)peer)->sin6_addr;
        memset(network.s6_addr + 8, 0, 8);
        inet_ntop(AF_INET6, &network, text, sizeof text);
    }
    return arena_strdup(arena, text);
}

bool limits_for_account(struct arena *arena, const struct config *config, const struct sockaddr_storage *peer,
                        struct limits *out) {
    if (!make_room(arena, out, 1))
        return false;
    if (peer->ss_family != AF_INET && peer->ss_family != AF_INET6)
        return true;
    return add(out, ACCOUNTS, subject_of(arena, peer), 1, config->accounts_per_address,
               config->accounts_window_seconds);
}

static bool add_names(struct arena *arena, const struct config *config, const struct store_zone *zones,
                      size_t count, struct limits *out) {
    for (size_t i = 0; i < count; i++) {
        uint32_t names = 0;
        bool is_first = zones[i].id != NULL;
        for (size_t k = 0; is_first && k < count; k++) {
            bool is_same = zones[k].id != NULL && strcmp(zones[k].id, zones[i].id) == 0;
            is_first = !(is_same && k < i);
            names += is_same ? 1 : 0;
        }
        if (is_first && !add(out, NAMES, arena_strdup(arena, zones[i].id), names, config->names_per_zone,
                             config->names_window_seconds))
            return false;
    }
    return true;
}

static const char *check_subject(struct arena *arena, const char *orderer, const char *name) {
    return arena_printf(arena, "%s:%s", orderer, name);
}

bool limits_for_order(struct arena *arena, const struct config *config, const char *orderer,
                      const char *const *names, const struct store_zone *zones, size_t count,
                      struct limits *out) {
    if (!make_room(arena, out, 1 + 2 * count) ||
        !add(out, ORDERS, orderer, 1, config->orders_per_customer, config->orders_window_seconds) ||
        !add_names(arena, config, zones, count, out))
        return false;
    for (size_t i = 0; config->failed_check_pause_seconds > 0 && i < count; i++)
        if (!add(out, FAILED, check_subject(arena, orderer, names[i]), 0, 0, 0))
            return false;
    return true;
}

bool limits_for_key(struct arena *arena, const struct config *config, const char *key_id,
                    struct limits *out) {
    return make_room(arena, out, 1) &&
           add(out, REQUESTS, key_id, 1, config->requests_per_key, config->requests_window_seconds);
}

const char *limits_text(struct arena *arena, const struct limits *limits) {
    const struct store_limit *limit = &limits->items[limits->outcome.exceeded - 1];
    uint32_t wait = limits->outcome.retry_after_seconds;
    const char *text;
    if (strcmp(limit->kind, FAILED) == 0)
        text = arena_printf(arena, "The last check of %s failed; correct it, and try again in %u seconds",
                            strchr(limit->subject, ':') + 1, wait);
    else
        text = arena_printf(arena, "The limit of %u %s in %u seconds is reached; try again in %u seconds",
                            limit->allowed,
                            strcmp(limit->kind, ACCOUNTS) == 0 ? "new accounts from one address"
                            : strcmp(limit->kind, ORDERS) == 0 ? "orders of one customer"
                            : strcmp(limit->kind, NAMES) == 0  ? "names ordered below one zone"
                                                               : "requests of one API key",
                            limit->window_seconds, wait);
    return text == NULL ? "a rate limit is reached; try again later" : text;
}

void limits_note_checks(struct worker *worker, struct arena *arena, const char *orderer,
                        const char *const *names, const bool *has_failed, size_t count, store_done *done,
                        void *context) {
    const struct config *config = worker->config;
    struct store_check_outcome *outcomes = arena_alloc(arena, (count + 1) * sizeof *outcomes);
    for (size_t i = 0; outcomes != NULL && i < count; i++) {
        outcomes[i].subject = check_subject(arena, orderer, names[i]);
        outcomes[i].has_failed = has_failed[i];
        if (outcomes[i].subject == NULL)
            outcomes = NULL;
    }
    store_note_failures(worker->store, outcomes, outcomes == NULL ? 0 : count,
                        config->failed_check_pause_seconds, config->failed_check_longest_pause_seconds, done,
                        context);
}
