/* DNS checks: each is asked of one worker, and of another where that one ends, is silent or is busy. */
#include "internal.h"

#include <string.h>

#define TRIES_MAX 3
#define ANSWER_MARGIN_MS 1000 /* beyond the deadline of the check itself */

struct link_check { /* in an arena of its own */
    TAILQ_ENTRY(link_check) entry;
    struct worker_link *link;
    struct arena *arena, *own; /* of the result, of this */
    struct dnscheck_request request;
    enum link_view view;
    dnscheck_callback *callback;
    void *context;
    struct link_call call;
    struct event *timer;
    time_t started;
    int64_t started_ms;
    unsigned tries;
    enum error_code outcome; /* of the last try */
};

static const char unavailable[] = "unavailable", busy[] = "busy";

static void free_check(struct link_check *check) {
    link_forget(&check->call, false);
    TAILQ_REMOVE(&check->link->checks, check, entry);
    check->link->check_count--;
    if (check->timer != NULL)
        event_free(check->timer);
    arena_free(check->own);
}

static void finish(struct link_check *check, const struct dnscheck_result *result) {
    static const struct dnscheck_result none = {.verdict = DNSCHECK_FAILED};
    dnscheck_callback *callback = check->callback;
    void *context = check->context;
    free_check(check);
    callback(context, result == NULL ? &none : result);
}

/* --- no answer --- */

static json_t *list_findings(const struct dnscheck_finding *findings, size_t count) {
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s, s:b}", "name", findings[i].name,
                                              "verdict", dnscheck_verdict_name(findings[i].verdict), "reason",
                                              findings[i].reason, "text", findings[i].text, "secure", 0));
    return list;
}

static const struct dnscheck_result *build_unanswered(const struct link_check *check) {
    const struct dnscheck_request *request = &check->request;
    struct arena *arena = check->arena;
    struct dnscheck_result *result = arena_alloc(arena, sizeof *result);
    struct dnscheck_finding *zones = arena_alloc(arena, (request->zone_count + 1) * sizeof *zones);
    struct dnscheck_finding *names = arena_alloc(arena, (request->name_count + 1) * sizeof *names);
    const struct dnscheck_finding finding = {
        .verdict = DNSCHECK_FAILED,
        .reason = check->outcome == ERROR_LIMIT ? busy : unavailable,
        .text = check->outcome == ERROR_LIMIT ? "the workers have too many DNS checks under way; try again"
                                              : "no worker answered the DNS check; try again"};
    if (result == NULL || zones == NULL || names == NULL)
        return NULL;
    for (size_t i = 0; i < request->zone_count; i++) {
        zones[i] = finding;
        zones[i].name = request->zones[i].name;
    }
    for (size_t i = 0; i < request->name_count; i++) {
        names[i] = finding;
        names[i].name = request->names[i].name;
    }
    char when[TIME_TEXT_MAX];
    *result = (struct dnscheck_result){
        .zones = zones,
        .zone_count = request->zone_count,
        .names = names,
        .name_count = request->name_count,
        .verdict = DNSCHECK_FAILED,
        .checked_at = (time_t)(clock_wall_ms() / 1000),
        .duration_ms = (uint32_t)(clock_monotonic_ms() - check->started_ms),
    };
    time_format(result->checked_at, when);
    result->evidence =
        arena_own_json(arena, json_pack("{s:s, s:s, s:o, s:o, s:i, s:I, s:[]}", "checked_at", when, "verdict",
                                        "failed", "zones", list_findings(zones, result->zone_count), "names",
                                        list_findings(names, result->name_count), "sent", 0, "duration_ms",
                                        (json_int_t)result->duration_ms, "queries"));
    return result->evidence == NULL ? NULL : result;
}

bool worker_link_is_unanswered(const struct dnscheck_result *result, struct error *error) {
    const char *reason = result->zone_count == 0 ? "" : result->zones[0].reason;
    if (strcmp(reason, busy) != 0 && strcmp(reason, unavailable) != 0)
        return false;
    error_set(error, strcmp(reason, busy) == 0 ? ERROR_LIMIT : ERROR_UNAVAILABLE, "%s",
              result->zones[0].text);
    return true;
}

/* --- asking --- */

static json_t *write_question(const struct link_call *call) {
    const struct link_check *check = call->context;
    return link_write_check(call->id, &check->request, check->view);
}

static void arm_timer(struct link_check *check) {
    uint32_t deadline =
        check->request.deadline_ms != 0 ? check->request.deadline_ms : check->link->config->dns_deadline_ms;
    uint64_t wait = (uint64_t)deadline + ANSWER_MARGIN_MS;
    const struct timeval delay = {.tv_sec = (time_t)(wait / 1000),
                                  .tv_usec = (suseconds_t)(wait % 1000 * 1000)};
    event_add(check->timer, &delay);
}

static void try_next(struct link_check *check, const struct link_peer *former) {
    if (check->tries++ == TRIES_MAX) {
        finish(check, build_unanswered(check));
        return;
    }
    arm_timer(check);
    link_ask(link_choose(check->link, former), &check->call);
}

static void take_result(struct link_check *check, const json_t *root, const struct link_peer *former) {
    struct dnscheck_result *result = arena_alloc(check->arena, sizeof *result);
    struct error error;
    if (result != NULL &&
        link_read_result(check->arena, root, &check->request, check->started, result, &error)) {
        finish(check, result);
        return;
    }
    check->outcome = ERROR_INTERNAL;
    try_next(check, former);
}

static void note_reply(struct link_call *call, const json_t *reply) {
    struct link_check *check = call->context;
    check->outcome = reply == NULL ? ERROR_UNAVAILABLE : link_read_error(reply);
    if (check->outcome == ERROR_LIMIT && check->tries >= check->link->count)
        check->tries = TRIES_MAX;
    if (check->outcome == ERROR_NONE)
        take_result(check, reply, call->asked);
    else
        try_next(check, call->asked);
}

static void on_timeout(evutil_socket_t fd, short what, void *context) {
    (void)fd;
    (void)what;
    struct link_check *check = context;
    const struct link_peer *former = check->call.peer;
    check->outcome = ERROR_UNAVAILABLE;
    /* After one silence one other worker is asked: who waits has then waited for two deadlines. */
    check->tries = check->tries == 1 && check->link->count > 1 ? TRIES_MAX - 1 : TRIES_MAX;
    link_forget(&check->call, true);
    try_next(check, former);
}

/* --- starting --- */

static const char **copy_strings(struct arena *arena, const char *const *items, size_t count) {
    const char **copy = arena_alloc(arena, (count + 1) * sizeof *copy);
    for (size_t i = 0; copy != NULL && i < count; i++)
        if ((copy[i] = arena_strdup(arena, items[i])) == NULL)
            return NULL;
    return copy;
}

static bool copy_zone(struct link_check *check, const struct dnscheck_zone *zone, struct dnscheck_zone *out) {
    *out = *zone;
    /* Findings are named by it. */
    out->name = arena_strdup(check->arena, zone->name);
    out->name_servers = copy_strings(check->own, zone->name_servers, zone->name_server_count);
    out->rivals = copy_strings(check->own, zone->rivals, zone->rival_count);
    out->zones_above = copy_strings(check->own, zone->zones_above, zone->zones_above_count);
    out->anothers = zone->anothers == NULL ? NULL : arena_strdup(check->own, zone->anothers);
    return out->name != NULL && out->name_servers != NULL && out->rivals != NULL &&
           out->zones_above != NULL && (zone->anothers == NULL || out->anothers != NULL);
}

static bool copy_name(struct link_check *check, const struct dnscheck_name *name, struct dnscheck_name *out) {
    *out = *name;
    out->name = arena_strdup(check->arena, name->name);
    out->txt_value = name->txt_value == NULL ? NULL : arena_strdup(check->own, name->txt_value);
    return out->name != NULL && (name->txt_value == NULL || out->txt_value != NULL);
}

static bool copy_request(struct link_check *check, const struct dnscheck_request *request) {
    struct dnscheck_zone *zones = arena_alloc(check->own, (request->zone_count + 1) * sizeof *zones);
    struct dnscheck_name *names = arena_alloc(check->own, (request->name_count + 1) * sizeof *names);
    bool is_good = zones != NULL && names != NULL;
    for (size_t i = 0; is_good && i < request->zone_count; i++)
        is_good = copy_zone(check, &request->zones[i], &zones[i]);
    for (size_t i = 0; is_good && i < request->name_count; i++)
        is_good = copy_name(check, &request->names[i], &names[i]);
    check->request = *request;
    check->request.zones = zones;
    check->request.names = names;
    if (is_good && request->account_uri != NULL)
        is_good = (check->request.account_uri = arena_strdup(check->own, request->account_uri)) != NULL;
    return is_good;
}

struct link_check *worker_link_check(struct worker_link *link, struct arena *arena,
                                     const struct dnscheck_request *request, enum link_view view,
                                     dnscheck_callback *callback, void *context, struct error *error) {
    if (link->check_count >= link->count * link->config->dns_max_concurrent_checks) {
        error_set(error, ERROR_LIMIT, "too many DNS checks are under way; try again");
        return NULL;
    }
    struct arena *own = arena_new(0);
    struct link_check *check = own == NULL ? NULL : arena_alloc(own, sizeof *check);
    error_set(error, ERROR_INTERNAL, "out of memory");
    if (check == NULL) {
        arena_free(own);
        return NULL;
    }
    *check = (struct link_check){.link = link,
                                 .arena = arena,
                                 .own = own,
                                 .view = view,
                                 .callback = callback,
                                 .context = context,
                                 .started = (time_t)(clock_wall_ms() / 1000),
                                 .started_ms = clock_monotonic_ms()};
    check->call = (struct link_call){.write = write_question, .replied = note_reply, .context = check};
    TAILQ_INSERT_TAIL(&link->checks, check, entry);
    link->check_count++;
    check->timer = evtimer_new(link->base, on_timeout, check);
    if (check->timer == NULL || !copy_request(check, request)) {
        free_check(check);
        return NULL;
    }
    try_next(check, NULL);
    return check;
}

void worker_link_cancel(struct link_check *check) {
    free_check(check);
}

void link_checks_free(struct worker_link *link) {
    while (!TAILQ_EMPTY(&link->checks))
        free_check(TAILQ_FIRST(&link->checks));
}
