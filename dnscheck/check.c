/* The check as a whole: zones first, then the names of the zones that hold, all within one deadline and one
 * budget of queries. Every zone and name is decided exactly once; when all are, the result goes to the
 * caller. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

#define SCRATCH_BYTES (32u * 1024 * 1024)
#define QUERIES_PER_NAME 12
#define QUERIES_PER_SERVER                                                                                   \
    3 /* for each name: A, AAAA, TXT of each name server of the zone beyond the first */
#define QUERIES_PER_TAKEOVER 60 /* all servers of the zones on the way, at each address (takeover.c) */
#define HOSTS_PER_CHECK 40      /* referrals in the cache need no query: the budget of queries is no bound */
#define HOSTS_PER_NAME 4
#define HOSTS_PER_TAKEOVER SERVERS_MAX /* for which the budget of queries grows (hosts.c) */
#define SIGNATURES_PER_CHECK 100
#define SIGNATURES_PER_NAME 40 /* NSEC3: three for each label that is not there, asked for NS and for CAA */
#define HASHES_PER_CHECK 1000
#define HASHES_PER_NAME 50
#define SIGNATURES_PER_SERVER 12 /* as QUERIES_PER_SERVER */
#define HASHES_PER_SERVER 15

static void free_job(struct dnscheck_job *job) {
    transport_cancel_all(job);
    pool_forget(job);
    TAILQ_REMOVE(&job->dnscheck->jobs, job, entry);
    job->dnscheck->counters.checks_in_progress--;
    if (job->deadline != NULL)
        event_free(job->deadline);
    if (job->starter != NULL)
        event_free(job->starter);
    job_release_trust(job);
    arena_free(job->scratch); /* the job lives in it */
}

const char *dnscheck_verdict_name(enum dnscheck_verdict verdict) {
    static const char *const names[] = {"ok", "refused", "failed"};
    return names[verdict];
}

/* Every server of the zone above was asked, and each has a zone that nobody is shown to have delegated. */
bool dnscheck_is_definite_no(const struct dnscheck_finding *finding) {
    return finding->verdict == DNSCHECK_REFUSED || strcmp(finding->reason, "hidden") == 0;
}

/* --- the end --- */

static enum dnscheck_verdict worse(enum dnscheck_verdict a, enum dnscheck_verdict b) {
    if (a == DNSCHECK_REFUSED || b == DNSCHECK_REFUSED)
        return DNSCHECK_REFUSED;
    return a == DNSCHECK_FAILED || b == DNSCHECK_FAILED ? DNSCHECK_FAILED : DNSCHECK_OK;
}

static void tell_delegation(struct dnscheck_job *job, const struct zone_check *zone,
                            struct dnscheck_finding *finding) {
    const struct cut *cut = zone->referral;
    const char **names =
        cut == NULL ? NULL : arena_alloc(job->arena, (cut->server_count + 1) * sizeof *names);
    finding->has_heard_parent = zone->has_heard_parent && (cut == NULL || names != NULL);
    for (size_t i = 0; names != NULL && i < cut->server_count; i++) {
        names[i] = arena_strdup(job->arena, cut->servers[i]);
        finding->has_heard_parent = finding->has_heard_parent && names[i] != NULL;
    }
    finding->delegated_to = names;
    finding->delegated_to_count = finding->has_heard_parent && cut != NULL ? cut->server_count : 0;
}

static void build_result(struct dnscheck_job *job, struct dnscheck_result *result) {
    struct dnscheck_finding *zones = arena_alloc(job->arena, (job->zone_count + 1) * sizeof *zones);
    struct dnscheck_finding *names = arena_alloc(job->arena, (job->name_count + 1) * sizeof *names);
    result->verdict = zones == NULL || names == NULL ? DNSCHECK_FAILED : DNSCHECK_OK;
    for (size_t i = 0; zones != NULL && i < job->zone_count; i++) {
        zones[i] = job->zones[i].finding;
        zones[i].name = arena_strdup(job->arena, job->zones[i].zone.name);
        tell_delegation(job, &job->zones[i], &zones[i]);
        const struct cut *cut = job->zones[i].cut;
        zones[i].is_secure = cut != NULL && cut->trust != NULL && cut->trust->is_secure;
        result->verdict = worse(result->verdict, zones[i].verdict);
    }
    for (size_t i = 0; names != NULL && i < job->name_count; i++) {
        names[i] = job->names[i].finding;
        names[i].name = arena_strdup(job->arena, job->names[i].name.name);
        names[i].is_secure = job->names[i].is_secure && names[i].verdict != DNSCHECK_FAILED;
        result->verdict = worse(result->verdict, names[i].verdict);
    }
    result->zones = zones;
    result->zone_count = zones == NULL ? 0 : job->zone_count;
    result->names = names;
    result->name_count = names == NULL ? 0 : job->name_count;
    result->checked_at = job->begun_at;
    result->queries = job->queries;
    result->duration_ms = (uint32_t)(clock_monotonic_ms() - job->started_ms);
    result->evidence = arena_own_json(job->arena, evidence_document(job, result));
    if (result->evidence == NULL)
        result->verdict = worse(result->verdict, DNSCHECK_FAILED);
}

/* Deferred to its own event: whoever decided last may still be deep inside the job's memory. */
static void finish(struct dnscheck_job *job) {
    struct dnscheck_result *result = arena_alloc(job->arena, sizeof *result);
    static const struct dnscheck_result none = {.verdict = DNSCHECK_FAILED};
    dnscheck_callback *callback = job->callback;
    void *context = job->context;
    if (result != NULL)
        build_result(job, result);
    free_job(job);
    callback(context, result != NULL ? result : &none);
}

static void note_decided(struct dnscheck_job *job) {
    if (--job->undecided == 0 && !job->is_ended) {
        job->is_ended = true;
        event_active(job->starter, EV_TIMEOUT, 0);
    }
}

bool job_is_spent(const struct dnscheck_job *job) {
    return job->queries >= job->max_queries;
}

void job_end(struct dnscheck_job *job) {
    note_decided(job);
}

/* --- decisions --- */

__attribute__((format(printf, 5, 0))) static void
set_finding(struct dnscheck_job *job, struct dnscheck_finding *finding, enum dnscheck_verdict verdict,
            const char *reason, const char *format, va_list arguments) {
    char text[768];
    vsnprintf(text, sizeof text, format, arguments);
    const char *copy = arena_strdup(job->arena, text);
    *finding =
        (struct dnscheck_finding){.verdict = verdict, .reason = reason, .text = copy == NULL ? "" : copy};
}

void check_decide_name(struct name_check *name, enum dnscheck_verdict verdict, const char *reason,
                       const char *format, ...) {
    va_list arguments;
    if (name->is_decided)
        return;
    name->is_decided = true;
    va_start(arguments, format);
    set_finding(name->job, &name->finding, verdict, reason, format, arguments);
    va_end(arguments);
    note_decided(name->job);
}

static void continue_with_names(struct zone_check *zone) {
    struct dnscheck_job *job = zone->job;
    size_t index = (size_t)(zone - job->zones);
    for (size_t i = 0; i < job->name_count; i++) {
        struct name_check *name = &job->names[i];
        if (name->name.zone != index || name->is_decided)
            continue;
        if (zone->finding.verdict == DNSCHECK_OK)
            proxied_start(name);
        else
            check_decide_name(name, zone->finding.verdict, zone->finding.reason, "%s", zone->finding.text);
    }
}

void check_decide_zone(struct zone_check *zone, enum dnscheck_verdict verdict, const char *reason,
                       const char *format, ...) {
    va_list arguments;
    if (zone->is_decided)
        return;
    zone->is_decided = true;
    va_start(arguments, format);
    set_finding(zone->job, &zone->finding, verdict, reason, format, arguments);
    va_end(arguments);
    continue_with_names(zone);
    note_decided(zone->job);
}

static void on_deadline(evutil_socket_t fd, short what, void *context) {
    (void)fd;
    (void)what;
    struct dnscheck_job *job = context;
    transport_cancel_all(job);
    for (size_t i = 0; i < job->zone_count; i++)
        check_decide_zone(&job->zones[i], DNSCHECK_FAILED, "deadline",
                          "The check of %s did not end in time; try again later", job->zones[i].zone.name);
    for (size_t i = 0; i < job->name_count; i++)
        check_decide_name(&job->names[i], DNSCHECK_FAILED, "deadline",
                          "The check of %s did not end in time; try again later", job->names[i].name.name);
    if (job->begin != NULL)
        job_end(job);
}

static void on_starter(evutil_socket_t fd, short what, void *context) {
    (void)fd;
    (void)what;
    struct dnscheck_job *job = context;
    if (job->is_ended) {
        finish(job);
        return;
    }
    if (job->begin != NULL) {
        job->begin(job);
        return;
    }
    /* One for the job itself, so that it cannot end while zones are still being started. */
    for (size_t i = 0; i < job->zone_count; i++)
        delegation_start(&job->zones[i]);
    note_decided(job);
}

/* --- starting --- */

static const char **copy_names(struct arena *arena, const char *const *names, size_t count) {
    const char **copy = arena_alloc(arena, (count + 1) * sizeof *copy);
    for (size_t i = 0; copy != NULL && i < count; i++)
        if ((copy[i] = arena_strdup(arena, names[i])) == NULL)
            return NULL;
    return copy;
}

static bool copy_request(struct dnscheck_job *job, const struct dnscheck_request *request) {
    job->zones = arena_alloc(job->scratch, (request->zone_count + 1) * sizeof *job->zones);
    job->names = arena_alloc(job->scratch, (request->name_count + 1) * sizeof *job->names);
    if (job->zones == NULL || job->names == NULL)
        return false;
    for (size_t i = 0; i < request->zone_count; i++) {
        const struct dnscheck_zone *zone = &request->zones[i];
        job->zones[i].job = job;
        job->zones[i].zone.name = arena_strdup(job->scratch, zone->name);
        job->zones[i].zone.name_servers =
            copy_names(job->scratch, zone->name_servers, zone->name_server_count);
        job->zones[i].zone.name_server_count = zone->name_server_count;
        job->zones[i].zone.rivals = copy_names(job->scratch, zone->rivals, zone->rival_count);
        job->zones[i].zone.rival_count = zone->rival_count;
        job->zones[i].zone.anothers =
            zone->anothers == NULL ? NULL : arena_strdup(job->scratch, zone->anothers);
        job->zones[i].zone.zones_above = copy_names(job->scratch, zone->zones_above, zone->zones_above_count);
        job->zones[i].zone.zones_above_count = zone->zones_above_count;
        if (job->zones[i].zone.name == NULL || job->zones[i].zone.name_servers == NULL ||
            job->zones[i].zone.rivals == NULL || job->zones[i].zone.zones_above == NULL ||
            (zone->anothers != NULL && job->zones[i].zone.anothers == NULL))
            return false;
    }
    for (size_t i = 0; i < request->name_count; i++) {
        const struct dnscheck_name *name = &request->names[i];
        job->names[i].job = job;
        job->names[i].name = *name;
        job->names[i].name.name = arena_strdup(job->scratch, name->name);
        job->names[i].name.txt_value =
            name->txt_value == NULL ? NULL : arena_strdup(job->scratch, name->txt_value);
        if (name->zone >= request->zone_count || job->names[i].name.name == NULL ||
            (name->txt_value != NULL && job->names[i].name.txt_value == NULL))
            return false;
    }
    job->zone_count = request->zone_count;
    job->name_count = request->name_count;
    job->undecided = request->zone_count + request->name_count + 1;
    return true;
}

/* Beyond the first of each name's zone. */
static uint32_t count_further_servers(const struct dnscheck_request *request) {
    uint32_t count = 0;
    for (size_t i = 0; i < request->name_count; i++) {
        size_t zone = request->names[i].zone;
        size_t servers = zone < request->zone_count ? request->zones[zone].name_server_count : 0;
        count += servers < 2 ? 0 : (uint32_t)(servers < SERVERS_MAX ? servers : SERVERS_MAX) - 1;
    }
    return count;
}

static uint32_t count_takeovers(const struct dnscheck_request *request) {
    uint32_t count = 0;
    for (size_t i = 0; i < request->zone_count; i++)
        count += request->zones[i].anothers != NULL ? 1 : 0;
    return count;
}

/* For so many names, and name servers of theirs beyond the first; its deadline runs. */
static struct dnscheck_job *new_job(struct dnscheck *dnscheck, struct arena *arena, size_t names,
                                    uint32_t further, uint32_t deadline_ms, dnscheck_callback *callback,
                                    void *context) {
    struct arena *scratch = arena_new(SCRATCH_BYTES);
    struct dnscheck_job *job = scratch == NULL ? NULL : arena_alloc(scratch, sizeof *job);
    if (job == NULL) {
        arena_free(scratch);
        return NULL;
    }
    job->dnscheck = dnscheck;
    job->arena = arena;
    job->scratch = scratch;
    job->callback = callback;
    job->context = context;
    job->started_ms = clock_monotonic_ms();
    job->begun_at = (time_t)(clock_wall_ms() / 1000);
    job->max_queries =
        dnscheck->settings.max_queries + QUERIES_PER_NAME * (uint32_t)names + QUERIES_PER_SERVER * further;
    job->hosts_left = HOSTS_PER_CHECK + HOSTS_PER_NAME * (uint32_t)names;
    job->signatures = (struct dnssec_budget){
        .now = (time_t)(clock_wall_ms() / 1000),
        .signatures_left =
            SIGNATURES_PER_CHECK + SIGNATURES_PER_NAME * (unsigned)names + SIGNATURES_PER_SERVER * further,
        .hashes_left = HASHES_PER_CHECK + HASHES_PER_NAME * (unsigned)names + HASHES_PER_SERVER * further};
    job->method = "";
    job->undecided = 1;
    job->evidence_end = &job->evidence;
    job->deadline = evtimer_new(dnscheck->base, on_deadline, job);
    job->starter = evtimer_new(dnscheck->base, on_starter, job);
    TAILQ_INIT(&job->open_queries);
    TAILQ_INSERT_TAIL(&dnscheck->jobs, job, entry);
    dnscheck->counters.checks_in_progress++;
    const struct timeval deadline = {.tv_sec = deadline_ms / 1000, .tv_usec = deadline_ms % 1000 * 1000};
    if (job->deadline != NULL && job->starter != NULL && event_add(job->deadline, &deadline) == 0)
        return job;
    free_job(job);
    return NULL;
}

struct dnscheck_job *job_start(struct dnscheck *dnscheck, struct arena *arena, size_t names,
                               void (*begin)(struct dnscheck_job *job), dnscheck_callback *callback,
                               void *context) {
    struct dnscheck_job *job =
        new_job(dnscheck, arena, names, 0, dnscheck->settings.deadline_ms, callback, context);
    if (job == NULL)
        return NULL;
    job->begin = begin;
    event_active(job->starter, EV_TIMEOUT, 0);
    return job;
}

struct dnscheck_job *dnscheck_start(struct dnscheck *dnscheck, struct arena *arena,
                                    const struct dnscheck_request *request, dnscheck_callback *callback,
                                    void *context, struct error *error) {
    if (dnscheck->counters.checks_in_progress >= dnscheck->settings.max_concurrent_checks) {
        error_set(error, ERROR_LIMIT, "too many DNS checks are under way; try again in a moment");
        return NULL;
    }
    uint32_t limit = request->deadline_ms != 0 ? request->deadline_ms : dnscheck->settings.deadline_ms;
    struct dnscheck_job *job = new_job(dnscheck, arena, request->name_count, count_further_servers(request),
                                       limit, callback, context);
    error_set(error, ERROR_INTERNAL, "out of memory");
    if (job == NULL)
        return NULL;
    job->max_queries += QUERIES_PER_TAKEOVER * count_takeovers(request);
    job->agreed_hosts_left = HOSTS_PER_TAKEOVER * count_takeovers(request);
    job->account_uri = request->account_uri == NULL ? NULL : arena_strdup(job->scratch, request->account_uri);
    job->method = request->method == NULL ? "" : request->method;
    if (!copy_request(job, request)) {
        free_job(job);
        return NULL;
    }
    dnscheck->counters.checks++;
    event_active(job->starter, EV_TIMEOUT, 0);
    return job;
}

void dnscheck_cancel(struct dnscheck_job *job) {
    free_job(job);
}

const struct dnscheck_counters *dnscheck_counters(const struct dnscheck *dnscheck) {
    return &dnscheck->counters;
}

struct dnscheck *dnscheck_new(struct event_base *base, const struct dnscheck_settings *settings,
                              struct error *error) {
    struct dnscheck *dnscheck = calloc(1, sizeof *dnscheck);
    error_set(error, ERROR_INTERNAL, "out of memory");
    if (dnscheck == NULL)
        return NULL;
    TAILQ_INIT(&dnscheck->jobs);
    dnscheck->base = base;
    dnscheck->settings = *settings;
    dnscheck->cache = referral_cache_new(settings->referral_cache_entries);
    dnscheck->servers = server_table_new();
    dnscheck->share = share_table_new();
    dnscheck->pool = pool_new();
    bool has_anchors = true;
    if (settings->trust_anchor_file != NULL) {
        dnscheck->anchors = dnssec_load_anchors(settings->trust_anchor_file, error);
        has_anchors = dnscheck->anchors != NULL;
    }
    if (has_anchors && dnscheck->cache != NULL && dnscheck->servers != NULL && dnscheck->share != NULL &&
        dnscheck->pool != NULL && root_load(dnscheck, error))
        return dnscheck;
    dnscheck_free(dnscheck);
    return NULL;
}

void dnscheck_free(struct dnscheck *dnscheck) {
    if (dnscheck == NULL)
        return;
    for (struct dnscheck_job *job; (job = TAILQ_FIRST(&dnscheck->jobs)) != NULL;)
        free_job(job);
    referral_cache_free(dnscheck->cache);
    trust_release(dnscheck->root.trust);
    dnssec_free_anchors(dnscheck->anchors);
    server_table_free(dnscheck->servers);
    share_table_free(dnscheck->share);
    pool_free(dnscheck->pool);
    free(dnscheck);
}
