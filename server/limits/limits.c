/* The list of what a request takes from which limit. */
#include "originca/limits.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include <netinet/in.h>

#include "originca/log.h"
#include "originca/worker.h"

#define ACCOUNTS "accounts"
#define ORDERS "orders"
#define NAMES "names"
#define REQUESTS "requests"
#define PAUSE "failed-checks"
#define NAME_CHECKS "name-checks"
#define CHECKS "checks"
#define ZONE_CHECKS "zone-checks"
#define FAILURES "failures"
#define OCSP "ocsp"
#define REVOCATIONS "revocations"
#define DAYS_REVOCATIONS "revocations-day"

#define HOLD_MARGIN_MS 2000
#define DAY_SECONDS 86400

static bool make_room(struct arena *arena, struct limits *out, size_t count) {
    *out = (struct limits){.items = arena_alloc(arena, (count + 1) * sizeof *out->items)};
    return out->items != NULL;
}

static bool add(struct limits *limits, struct store_limit limit) {
    if (limit.subject == NULL)
        return false;
    if (limit.allowed > 0)
        limits->items[limits->count++] = limit;
    return true;
}

static bool add_rate(struct limits *limits, const char *kind, const char *subject, uint32_t cost,
                     uint32_t exempt_cost, uint32_t allowed, uint32_t window) {
    return add(limits, (struct store_limit){.kind = kind,
                                            .subject = subject,
                                            .mode = STORE_LIMIT_TAKE,
                                            .cost = cost,
                                            .exempt_cost = exempt_cost,
                                            .allowed = allowed,
                                            .window_seconds = window});
}

/* --- accounts and keys --- */

const char *limits_address(struct arena *arena, const struct sockaddr_storage *peer) {
    char text[INET6_ADDRSTRLEN] = "";
    if (peer->ss_family == AF_INET) {
        inet_ntop(AF_INET, &((const struct sockaddr_in *)peer)->sin_addr, text, sizeof text);
    } else if (peer->ss_family == AF_INET6) {
        struct in6_addr network = ((const struct sockaddr_in6 *)peer)->sin6_addr;
        memset(network.s6_addr + 8, 0, 8);
        inet_ntop(AF_INET6, &network, text, sizeof text);
    }
    return arena_strdup(arena, text);
}

static bool add_address(struct arena *arena, const char *kind, const struct sockaddr_storage *peer,
                        uint32_t allowed, uint32_t window, struct limits *out) {
    if (!make_room(arena, out, 1))
        return false;
    const char *address = limits_address(arena, peer);
    if (address != NULL && *address == '\0')
        return true;
    return add_rate(out, kind, address, 1, 1, allowed, window);
}

bool limits_for_ocsp(struct arena *arena, const struct config *config, const struct sockaddr_storage *peer,
                     struct limits *out) {
    return add_address(arena, OCSP, peer, config->ocsp_signed_per_address, config->ocsp_signed_window_seconds,
                       out);
}

bool limits_for_account(struct arena *arena, const struct config *config, const struct sockaddr_storage *peer,
                        struct limits *out) {
    return add_address(arena, ACCOUNTS, peer, config->accounts_per_address, config->accounts_window_seconds,
                       out);
}

bool limits_for_key(struct arena *arena, const struct config *config, const char *key_id,
                    struct limits *out) {
    return make_room(arena, out, 1) &&
           add_rate(out, REQUESTS, key_id, 1, 1, config->requests_per_key, config->requests_window_seconds);
}

bool limits_for_revocation(struct arena *arena, const struct config *config,
                           const struct store_certificate *certificate, struct limits *out) {
    const char *owner = *certificate->customer != '\0' ? certificate->customer : certificate->account;
    return make_room(arena, out, 2) &&
           add_rate(out, REVOCATIONS, owner, 1, 1, config->revocations_per_customer,
                    config->revocations_window_seconds) &&
           add_rate(out, DAYS_REVOCATIONS, owner, 1, 1, config->revocations_per_customer_day, DAY_SECONDS);
}

/* --- orders and their checks --- */

static bool is_in(const char *name, const struct store_certificate *certificate) {
    for (size_t i = 0; certificate != NULL && i < certificate->name_count; i++)
        if (strcmp(name, certificate->names[i]) == 0)
            return true;
    return false;
}

/* How many of the names lie in each zone, and how many of these are not in the certificate that is due. */
struct zone_names {
    const char *zone, *subject;
    uint32_t names, new_names;
};

/* Below a zone its customer has the zone's limits. Where anybody may order, without having proven anything,
 * strangers have theirs by the address that asks: else they would use up the customer's. */
static const char *zone_subject(struct arena *arena, const struct limits_order *order,
                                const struct store_zone *zone) {
    if (strcmp(zone->customer, order->orderer) == 0)
        return zone->id;
    return arena_printf(arena, "%s:%s", zone->id, order->checker);
}

static struct zone_names *count_by_zone(struct arena *arena, const struct limits_order *order,
                                        size_t *count) {
    struct zone_names *found = arena_alloc(arena, (order->count + 1) * sizeof *found);
    *count = 0;
    for (size_t i = 0; found != NULL && i < order->count; i++) {
        size_t at = 0;
        if (order->zones[i].id == NULL)
            continue;
        while (at < *count && strcmp(found[at].zone, order->zones[i].id) != 0)
            at++;
        if (at == *count)
            found[(*count)++] = (struct zone_names){.zone = order->zones[i].id,
                                                    .subject = zone_subject(arena, order, &order->zones[i])};
        found[at].names++;
        found[at].new_names += is_in(order->names[i], order->due) ? 0 : 1;
    }
    return found;
}

static const char *check_subject(struct arena *arena, const struct limits_order *order, const char *name) {
    return arena_printf(arena, "%s:%s", order->checker, name);
}

static bool add_pauses(struct arena *arena, const struct config *config, const struct limits_order *order,
                       struct limits *out) {
    for (size_t i = 0; config->failed_check_pause_seconds > 0 && i < order->count; i++)
        if (!add(out, (struct store_limit){.kind = PAUSE,
                                           .subject = check_subject(arena, order, order->names[i]),
                                           .mode = STORE_LIMIT_PAUSE,
                                           .allowed = config->failed_check_longest_pause_seconds}))
            return false;
    return true;
}

/* A limit that is smaller than one order's names must not shut the order out for good. */
static uint32_t at_most(size_t cost, uint32_t allowed) {
    return cost < allowed ? (uint32_t)cost : allowed;
}

static struct store_limit failures_of(const struct config *config, const struct limits_order *order) {
    uint32_t allowed = config->failed_checks_per_customer, cost = at_most(order->count, allowed);
    return (struct store_limit){.kind = FAILURES,
                                .subject = order->checker,
                                .mode = STORE_LIMIT_ROOM,
                                .cost = cost,
                                .exempt_cost = cost,
                                .allowed = allowed,
                                .window_seconds = config->failed_checks_window_seconds};
}

static bool add_checks(struct arena *arena, const struct config *config, const struct limits_order *order,
                       const struct zone_names *zones, size_t zone_count, struct limits *out) {
    uint32_t cost = at_most(order->count, config->checks_per_customer);
    if (!add(out, failures_of(config, order)) ||
        !add_rate(out, CHECKS, order->checker, cost, cost, config->checks_per_customer,
                  config->checks_window_seconds))
        return false;
    for (size_t i = 0; i < zone_count; i++) {
        cost = at_most(zones[i].names, config->checks_per_zone);
        if (!add_rate(out, ZONE_CHECKS, zones[i].subject, cost, cost, config->checks_per_zone,
                      config->checks_window_seconds))
            return false;
    }
    for (size_t i = 0; i < order->count; i++)
        if (!add_rate(out, NAME_CHECKS, check_subject(arena, order, order->names[i]), 1, 1,
                      config->checks_per_name, config->name_checks_window_seconds))
            return false;
    return true;
}

bool limits_for_order(struct arena *arena, const struct config *config, const struct limits_order *order,
                      struct limits *out) {
    size_t zone_count;
    const struct zone_names *zones = count_by_zone(arena, order, &zone_count);
    if (zones == NULL || !make_room(arena, out, 3 + 2 * zone_count + 2 * order->count) ||
        !add_rate(out, ORDERS, order->orderer, 1, 0, config->orders_per_customer,
                  config->orders_window_seconds))
        return false;
    for (size_t i = 0; i < zone_count; i++)
        if (!add_rate(out, NAMES, zones[i].subject, zones[i].names, zones[i].new_names,
                      config->names_per_zone, config->names_window_seconds))
            return false;
    if (order->due != NULL)
        out->due_serial = order->due->serial;
    return add_pauses(arena, config, order, out) &&
           (!order->is_checked || add_checks(arena, config, order, zones, zone_count, out));
}

bool limits_for_check(struct arena *arena, const struct config *config, const struct limits_order *order,
                      struct limits *out) {
    size_t zone_count;
    const struct zone_names *zones = count_by_zone(arena, order, &zone_count);
    return zones != NULL && make_room(arena, out, 2 + zone_count + 2 * order->count) &&
           add_pauses(arena, config, order, out) && add_checks(arena, config, order, zones, zone_count, out);
}

bool limits_take(struct worker *worker, struct limits *limits, store_done *done, void *context) {
    const struct config *config = worker->config;
    /* Until the order is made or its check has failed; longer only where a worker dies in between. */
    uint32_t hold_ms = config->dns_deadline_ms + 2 * config->redis_command_timeout_ms + HOLD_MARGIN_MS;
    if (limits->count == 0)
        return false;
    store_take_limits(worker->store, limits->items, limits->count, limits->due_serial, hold_ms,
                      &limits->outcome, done, context);
    return true;
}

/* --- what a client is told --- */

static const char *describe(struct arena *arena, const struct store_limit *limit) {
    static const struct {
        const char *kind, *text;
    } texts[] = {
        {ACCOUNTS, "new accounts from one address"},
        {ORDERS, "orders of one customer"},
        {NAMES, "names ordered below one zone"},
        {REQUESTS, "requests of one API key"},
        {REVOCATIONS, "revocations of one customer's certificates"},
        {DAYS_REVOCATIONS, "revocations of one customer's certificates"},
        {OCSP, "OCSP requests of one address that need a signature of their own"},
        {CHECKS, "names of one customer checked in DNS"},
        {ZONE_CHECKS, "names of one zone checked in DNS"},
        {FAILURES, "names of one customer whose DNS check failed"},
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (strcmp(limit->kind, texts[i].kind) == 0)
            return texts[i].text;
    return arena_printf(arena, "DNS checks of %s", strrchr(limit->subject, ':') + 1);
}

const char *limits_text(struct arena *arena, const struct limits *limits) {
    const struct store_limit *limit = &limits->items[limits->outcome.exceeded - 1];
    uint32_t wait = limits->outcome.retry_after_seconds;
    const char *text = NULL, *what;
    if (limit->mode == STORE_LIMIT_PAUSE)
        text = arena_printf(arena, "The last check of %s failed; correct it, and try again in %u seconds",
                            strrchr(limit->subject, ':') + 1, wait);
    else if ((what = describe(arena, limit)) != NULL)
        text = arena_printf(arena, "The limit of %u %s in %u seconds is reached; try again in %u seconds",
                            limit->allowed, what, limit->window_seconds, wait);
    return text == NULL ? "a rate limit is reached; try again later" : text;
}

/* --- after a check --- */

struct note {
    store_done *done;
    void *context;
};

static void note_noted(void *context, const struct error *error) {
    const struct note *note = context;
    if (error != NULL)
        log_event(LOG_LEVEL_WARNING, "a failed check was not noted", "reason", error->message, NULL);
    note->done(note->context, NULL);
}

/* Without names the zones alone were asked for, and stand for all of them. */
static bool has_failed(const struct dnscheck_result *result, size_t name) {
    if (result->name_count == 0)
        return result->verdict != DNSCHECK_OK;
    return name < result->name_count && result->names[name].verdict != DNSCHECK_OK;
}

bool limits_note_failures(struct worker *worker, struct arena *arena, const struct limits *taken,
                          const struct limits_order *order, const struct dnscheck_result *result,
                          store_done *done, void *context) {
    const struct config *config = worker->config;
    struct store_failures failures = {.subjects =
                                          arena_alloc(arena, (order->count + 1) * sizeof *failures.subjects),
                                      .first_pause_seconds = config->failed_check_pause_seconds,
                                      .longest_pause_seconds = config->failed_check_longest_pause_seconds,
                                      .limit = failures_of(config, order),
                                      .exempt_serial = taken->outcome.is_exempt ? taken->due_serial : NULL};
    struct note *note = arena_alloc(arena, sizeof *note);
    bool is_limited = failures.first_pause_seconds > 0 || failures.limit.allowed > 0;
    if (failures.subjects == NULL || note == NULL)
        return false;
    for (size_t i = 0; is_limited && i < order->count; i++)
        if (has_failed(result, i) &&
            (failures.subjects[failures.count] = check_subject(arena, order, order->names[i])) != NULL)
            failures.count++;
    if (failures.count == 0 && failures.exempt_serial == NULL)
        return false;
    *note = (struct note){done, context};
    store_note_failures(worker->store, &failures, note_noted, note);
    return true;
}
