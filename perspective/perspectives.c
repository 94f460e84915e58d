/* Asking all perspectives at once, waiting as long as it pays, settling. */
#include "perspectives.h"

#include <stdlib.h>
#include <string.h>

#include "originca/log.h"

#define SCRATCH_BYTES (16u * 1024 * 1024)
/* One that did not answer in time is still asked, but nobody waits for it once the others suffice. */
#define NOT_AWAITED_MS 10000

static void free_job(struct perspective_job *job) {
    struct perspectives *set = job->set;
    if (job->local_job != NULL)
        dnscheck_cancel(job->local_job);
    for (size_t i = 0; job->opinions != NULL && i < set->count; i++) {
        struct opinion *opinion = &job->opinions[i];
        if (opinion->resolver_job != NULL)
            resolver_cancel(opinion->resolver_job);
        if (opinion->perspective != NULL && opinion->perspective->remote != NULL)
            remote_forget(opinion->perspective->remote, &opinion->call, false);
    }
    if (job->timeout != NULL)
        event_free(job->timeout);
    if (job->settler != NULL)
        event_free(job->settler);
    TAILQ_REMOVE(&set->jobs, job, entry);
    free(job->frame);
    arena_free(job->scratch);
}

/* --- settling --- */

static void count_opinions(struct perspective_job *job) {
    for (size_t i = 0; i < job->set->count; i++) {
        const struct opinion *opinion = &job->opinions[i];
        bool disagrees = !opinion->is_known;
        for (size_t j = 0; !disagrees && j < job->local->zone_count; j++)
            disagrees =
                job->local->zones[j].verdict == DNSCHECK_OK && opinion->zones[j].verdict != DNSCHECK_OK;
        for (size_t j = 0; !disagrees && j < job->local->name_count; j++)
            disagrees =
                job->local->names[j].verdict == DNSCHECK_OK && opinion->names[j].verdict != DNSCHECK_OK;
        job->set->counters.disagreements += disagrees;
        job->set->counters.unanswered += !opinion->is_known;
        if (disagrees && opinion->is_known)
            log_event(LOG_LEVEL_WARNING, "a perspective sees something else", "perspective",
                      opinion->perspective->entry.text, "zone", job->request.zones[0].name, NULL);
    }
}

static void settle(evutil_socket_t fd, short what, void *context) {
    (void)fd;
    (void)what;
    struct perspective_job *job = context;
    static const struct dnscheck_result none = {.verdict = DNSCHECK_FAILED};
    dnscheck_callback *callback = job->callback;
    void *callback_context = job->context;
    bool was_asked = !verdict_is_all_lost(job->local);
    for (size_t i = 0; i < job->set->count; i++) {
        struct opinion *opinion = &job->opinions[i];
        if (!opinion->is_pending)
            continue;
        opinion->is_pending = false;
        opinion->failure = was_asked ? "not awaited: it did not answer a moment ago"
                                     : "not awaited: the check failed here already";
        opinion->ms = (uint32_t)(clock_monotonic_ms() - job->started_ms);
    }
    const struct dnscheck_result *result = job->set->count == 0 ? job->local : verdict_build(job);
    if (was_asked)
        count_opinions(job);
    if (result != NULL && result->verdict == DNSCHECK_FAILED && job->local->verdict == DNSCHECK_OK) {
        job->set->counters.quorum_failures++;
        log_event(LOG_LEVEL_WARNING, "no quorum of perspectives", "zone", job->request.zones[0].name, NULL);
    }
    free_job(job);
    callback(callback_context, result == NULL ? &none : result);
}

/* Always from an event of its own: callers, connections and resolvers are in the middle of something. */
static void settle_if_decided(struct perspective_job *job) {
    if (job->local == NULL || job->is_settling)
        return;
    bool awaits = false;
    for (size_t i = 0; i < job->set->count; i++)
        awaits = awaits || (job->opinions[i].is_pending && job->opinions[i].is_awaited);
    if (!verdict_is_all_lost(job->local) && (awaits || !verdict_is_decided(job)))
        return;
    job->is_settling = true;
    event_active(job->settler, EV_TIMEOUT, 0);
}

static void note_local(void *context, const struct dnscheck_result *result) {
    struct perspective_job *job = context;
    job->local_job = NULL;
    job->local = result;
    job->local_ms = clock_monotonic_ms() - job->started_ms;
    settle_if_decided(job);
}

/* --- opinions --- */

static void note_opinion(struct opinion *opinion, const struct dnscheck_finding *zones,
                         const struct dnscheck_finding *names, const char *failure) {
    struct perspective_job *job = opinion->job;
    if (!opinion->is_pending)
        return;
    opinion->is_pending = false;
    opinion->is_known = zones != NULL && names != NULL;
    opinion->zones = zones;
    opinion->names = names;
    opinion->ms = (uint32_t)(clock_monotonic_ms() - job->started_ms);
    if (!opinion->is_known) {
        opinion->failure = arena_strdup(job->arena, failure == NULL ? "out of memory" : failure);
        if (opinion->failure == NULL)
            opinion->failure = "out of memory";
    }
    settle_if_decided(job);
}

static void note_reply(struct remote_call *call, const struct message_reply *reply, const char *failure) {
    note_opinion(call->context, reply == NULL ? NULL : reply->zones, reply == NULL ? NULL : reply->names,
                 failure);
}

static void note_resolved(void *context, const struct dnscheck_finding *zones,
                          const struct dnscheck_finding *names) {
    struct opinion *opinion = context;
    opinion->resolver_job = NULL;
    if (zones[0].verdict == DNSCHECK_FAILED && strcmp(zones[0].reason, "timeout") == 0)
        opinion->perspective->not_awaited_until_ms = clock_monotonic_ms() + NOT_AWAITED_MS;
    note_opinion(opinion, zones, names, NULL);
}

static void on_timeout(evutil_socket_t fd, short what, void *context) {
    (void)fd;
    (void)what;
    struct perspective_job *job = context;
    for (size_t i = 0; i < job->set->count; i++) {
        struct opinion *opinion = &job->opinions[i];
        if (!opinion->is_pending)
            continue;
        opinion->perspective->not_awaited_until_ms = clock_monotonic_ms() + NOT_AWAITED_MS;
        if (opinion->resolver_job != NULL)
            resolver_cancel(opinion->resolver_job);
        opinion->resolver_job = NULL;
        note_opinion(opinion, NULL, NULL, "timeout");
        if (opinion->perspective->remote != NULL)
            remote_forget(opinion->perspective->remote, &opinion->call, true);
    }
}

static void ask(struct opinion *opinion) {
    struct perspective_job *job = opinion->job;
    opinion->is_pending = true;
    if (opinion->perspective->resolver != NULL) {
        opinion->resolver_job =
            resolver_start(opinion->perspective->resolver, job->arena, &job->request, note_resolved, opinion);
        if (opinion->resolver_job == NULL)
            note_opinion(opinion, NULL, NULL, "out of memory");
        return;
    }
    opinion->call = (struct remote_call){.id = job->set->next_id,
                                         .frame = job->frame,
                                         .length = job->frame_length,
                                         .zone_count = job->request.zone_count,
                                         .name_count = job->request.name_count,
                                         .arena = job->arena,
                                         .done = note_reply,
                                         .context = opinion};
    remote_ask(opinion->perspective->remote, &opinion->call);
}

/* --- starting --- */

static const char **copy_strings(struct arena *arena, const char *const *items, size_t count) {
    const char **copy = arena_alloc(arena, (count + 1) * sizeof *copy);
    for (size_t i = 0; copy != NULL && i < count; i++)
        if ((copy[i] = arena_strdup(arena, items[i])) == NULL)
            return NULL;
    return copy;
}

static bool copy_request(struct perspective_job *job, const struct dnscheck_request *request) {
    struct arena *arena = job->scratch;
    struct dnscheck_zone *zones = arena_alloc(arena, (request->zone_count + 1) * sizeof *zones);
    struct dnscheck_name *names = arena_alloc(arena, (request->name_count + 1) * sizeof *names);
    bool is_good = zones != NULL && names != NULL;
    for (size_t i = 0; is_good && i < request->zone_count; i++) {
        const struct dnscheck_zone *zone = &request->zones[i];
        zones[i] = (struct dnscheck_zone){
            .name = arena_strdup(arena, zone->name),
            .name_servers = copy_strings(arena, zone->name_servers, zone->name_server_count),
            .name_server_count = zone->name_server_count,
            .zones_above = copy_strings(arena, zone->zones_above, zone->zones_above_count),
            .zones_above_count = zone->zones_above_count,
            .rivals = copy_strings(arena, zone->rivals, zone->rival_count),
            .anothers = zone->anothers == NULL ? NULL : arena_strdup(arena, zone->anothers),
            .rival_count = zone->rival_count};
        is_good = zones[i].name != NULL && zones[i].name_servers != NULL && zones[i].zones_above != NULL &&
                  zones[i].rivals != NULL && (zone->anothers == NULL || zones[i].anothers != NULL);
    }
    for (size_t i = 0; is_good && i < request->name_count; i++) {
        const char *txt = request->names[i].txt_value;
        names[i] = request->names[i];
        names[i].name = arena_strdup(arena, request->names[i].name);
        names[i].txt_value = txt == NULL ? NULL : arena_strdup(arena, txt);
        is_good = names[i].name != NULL && (txt == NULL || names[i].txt_value != NULL);
    }
    job->request = *request;
    job->request.zones = zones;
    job->request.names = names;
    return is_good;
}

static uint32_t answer_limit(const struct perspective_job *job) {
    const struct config *config = job->set->config;
    uint32_t deadline = job->request.deadline_ms != 0 ? job->request.deadline_ms : config->dns_deadline_ms;
    return deadline < config->perspective_timeout_ms ? deadline : config->perspective_timeout_ms;
}

static bool write_question(struct perspective_job *job) {
    const struct config *config = job->set->config;
    struct message_request question = {
        .id = ++job->set->next_id,
        .check = job->request,
        .caa_mode = strcmp(config->caa_mode, "strict") == 0  ? DNSCHECK_CAA_STRICT
                    : strcmp(config->caa_mode, "named") == 0 ? DNSCHECK_CAA_NAMED
                                                             : DNSCHECK_CAA_OFF,
        .caa_identities = (const char *const *)config->caa_identities.items,
        .caa_identity_count = config->caa_identities.count,
        .edge_prefixes = config->edge_prefixes,
        .edge_prefix_count = config->edge_prefix_count,
        .name_server_pool = (const char *const *)config->name_server_pool.items,
        .name_server_pool_count = config->name_server_pool.count,
    };
    /* A tenth earlier than we stop waiting, so that what it found until then still arrives. */
    question.check.deadline_ms = answer_limit(job) - answer_limit(job) / 10;
    job->frame = message_write_request(&question, &job->frame_length);
    return job->frame != NULL;
}

static struct perspective_job *new_job(struct perspectives *set, struct arena *arena,
                                       const struct dnscheck_request *request, dnscheck_callback *callback,
                                       void *context) {
    struct arena *scratch = arena_new(SCRATCH_BYTES);
    struct perspective_job *job = scratch == NULL ? NULL : arena_alloc(scratch, sizeof *job);
    if (job == NULL) {
        arena_free(scratch);
        return NULL;
    }
    *job = (struct perspective_job){.set = set,
                                    .arena = arena,
                                    .scratch = scratch,
                                    .callback = callback,
                                    .context = context,
                                    .started_ms = clock_monotonic_ms()};
    TAILQ_INSERT_TAIL(&set->jobs, job, entry);
    job->timeout = evtimer_new(set->base, on_timeout, job);
    job->settler = evtimer_new(set->base, settle, job);
    job->opinions = arena_alloc(scratch, (set->count + 1) * sizeof *job->opinions);
    if (job->timeout != NULL && job->settler != NULL && job->opinions != NULL && copy_request(job, request) &&
        (set->count == 0 || write_question(job)))
        return job;
    free_job(job);
    return NULL;
}

struct perspective_job *perspectives_start(struct perspectives *set, struct arena *arena,
                                           const struct dnscheck_request *request,
                                           dnscheck_callback *callback, void *context, struct error *error) {
    struct perspective_job *job = new_job(set, arena, request, callback, context);
    if (job == NULL) {
        error_set(error, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    job->local_job = dnscheck_start(set->dnscheck, arena, request, note_local, job, error);
    uint32_t limit = set->count == 0 ? 0 : answer_limit(job);
    const struct timeval wait = {.tv_sec = limit / 1000, .tv_usec = limit % 1000 * 1000};
    if (job->local_job == NULL || (set->count > 0 && event_add(job->timeout, &wait) != 0)) {
        free_job(job);
        return NULL;
    }
    set->counters.checks += set->count > 0;
    for (size_t i = 0; i < set->count; i++) {
        struct opinion *opinion = &job->opinions[i];
        opinion->job = job;
        opinion->perspective = &set->items[i];
        opinion->is_awaited = opinion->perspective->not_awaited_until_ms <= job->started_ms;
        ask(opinion);
    }
    return job;
}

void perspectives_cancel(struct perspective_job *job) {
    free_job(job);
}

const struct perspective_counters *perspectives_counters(const struct perspectives *set) {
    return &set->counters;
}

/* --- the set --- */

static bool add(struct perspectives *set, const char *text, struct error *error) {
    const struct config *config = set->config;
    struct perspective *item = &set->items[set->count];
    const struct resolver_settings resolver = {.query_timeout_ms = config->dns_query_timeout_ms,
                                               .tries = config->dns_tries,
                                               .max_in_flight = config->dns_max_per_server,
                                               .edge_prefixes = config->edge_prefixes,
                                               .edge_prefix_count = config->edge_prefix_count};
    if (!config_parse_perspective(text, &item->entry, error))
        return false;
    if (item->entry.kind == CONFIG_PERSPECTIVE_LOCAL)
        return true;
    if (item->entry.kind == CONFIG_PERSPECTIVE_RESOLVER) {
        item->resolver = resolver_new(set->base, &item->entry.address, &resolver, error);
    } else {
        if (set->tls == NULL)
            set->tls = stream_tls_new(config->perspective_ca_file, config->perspective_certificate_file,
                                      config->perspective_key_file, error);
        if (set->tls != NULL)
            item->remote =
                remote_new(set->base, &item->entry, set->tls, config->perspective_timeout_ms, error);
    }
    item->set = set;
    if (item->remote == NULL && item->resolver == NULL)
        return false;
    set->count++;
    return true;
}

struct perspectives *perspectives_new(struct event_base *base, const struct config *config,
                                      struct dnscheck *dnscheck, struct error *error) {
    struct perspectives *set = calloc(1, sizeof *set);
    if (set == NULL) {
        error_set(error, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    set->base = base;
    set->config = config;
    set->dnscheck = dnscheck;
    TAILQ_INIT(&set->jobs);
    for (size_t i = 0; i < config->perspectives.count; i++)
        if (!add(set, config->perspectives.items[i], error)) {
            perspectives_free(set);
            return NULL;
        }
    set->allowed = strcmp(config->perspective_disagreements, "rule") == 0
                       ? quorum_allowed(set->count)
                       : (unsigned)strtoul(config->perspective_disagreements, NULL, 10);
    return set;
}

void perspectives_free(struct perspectives *set) {
    if (set == NULL)
        return;
    for (struct perspective_job *job; (job = TAILQ_FIRST(&set->jobs)) != NULL;)
        free_job(job);
    for (size_t i = 0; i < set->count; i++) {
        remote_free(set->items[i].remote);
        resolver_free(set->items[i].resolver);
    }
    stream_tls_free(set->tls);
    free(set);
}
