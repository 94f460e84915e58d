/* Finishing what others left: attempts that stay in processing are asked of the signer; an attempt that it
 * never saw is struck off there and its order goes back to ready. (A signed one is found by the fence's
 * replay.) Also: zones whose check is due, and the sweep of expired index entries. Each part runs at its own
 * pace and is bounded. */
#include "reconcile.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "originca/dnscheck.h"
#include "originca/json.h"
#include "originca/log.h"
#include "originca/metrics.h"
#include "originca/signer.h"
#include "originca/store.h"
#include "originca/zones.h"

#define ATTEMPTS_MAX 64
#define PASS_SECONDS 2 /* fence.c runs a pass so often */
#define ZONE_LEASE_SECONDS 60
#define ZONE_PASSES_MAX 10 /* at once */
#define SWEEP_ENTRIES 200
#define SWEEP_INTERVAL_MS 5000
#define CLAIM_GRACE_MS 2000

struct attempts_part {
    struct arena *arena; /* NULL: not running */
    struct store_attempt_list list;
    size_t next;
    enum signer_attempt_outcome outcome;
};

/* Zones that were due together. Silent name servers hold a pass until the deadline of their check; the next
 * passes go on meanwhile. */
struct zones_pass { /* in its own arena */
    TAILQ_ENTRY(zones_pass) entry;
    struct reconciler *reconciler;
    struct arena *arena;
    struct store_zone_list list;
    struct store_name_list names;
    size_t pending;
};

struct zone_job { /* in the pass's arena */
    struct zones_pass *pass;
    const struct store_zone *zone;
    struct store_zone after;
};

struct name_job { /* in the pass's arena: a name whose zone went */
    struct zones_pass *pass;
    const char *name;
};

struct reconciler {
    struct worker *worker;
    struct attempts_part attempts;
    TAILQ_HEAD(, zones_pass) zone_passes;
    size_t zone_pass_count;
    bool is_sweeping;
    uint64_t swept;
    int64_t swept_ms;
    struct metric *released, *zone_checks;
};

/* --- attempts --- */

static void next_attempt(struct reconciler *reconciler);

static void end_attempts(struct reconciler *reconciler) {
    arena_free(reconciler->attempts.arena);
    reconciler->attempts.arena = NULL;
}

static void note_released(void *context, const struct error *error) {
    struct reconciler *reconciler = context;
    const struct store_attempt *attempt = &reconciler->attempts.list.items[reconciler->attempts.next - 1];
    if (error == NULL)
        metric_add(reconciler->released, 1);
    log_event(LOG_LEVEL_WARNING, "an unfinished attempt was released", "order", attempt->order, "attempt",
              attempt->attempt, "problem", error == NULL ? NULL : error->message, NULL);
    next_attempt(reconciler);
}

static void note_outcome(void *context, const struct error *error) {
    struct reconciler *reconciler = context;
    const struct store_attempt *attempt = &reconciler->attempts.list.items[reconciler->attempts.next - 1];
    bool was_not_signed = reconciler->attempts.outcome == SIGNER_ATTEMPT_UNKNOWN ||
                          reconciler->attempts.outcome == SIGNER_ATTEMPT_VOID;
    if (error == NULL && was_not_signed)
        store_release_order(reconciler->worker->store, attempt->order, attempt->attempt, NULL, note_released,
                            reconciler);
    else
        next_attempt(reconciler);
}

/* Another host's attempts are that host's to finish: only its signer knows whether it signed. */
static bool is_of_this_host(const struct worker *worker, const char *attempt) {
    return strncmp(attempt, worker->instance, WORKER_HOST_TAG) == 0;
}

static void next_attempt(struct reconciler *reconciler) {
    struct attempts_part *part = &reconciler->attempts;
    while (part->next < part->list.count) {
        const struct store_attempt *attempt = &part->list.items[part->next++];
        if (!is_of_this_host(reconciler->worker, attempt->attempt))
            continue;
        signer_attempt_status(reconciler->worker->signer, part->arena, attempt->attempt, &part->outcome, NULL,
                              note_outcome, reconciler);
        return;
    }
    end_attempts(reconciler);
}

static void note_attempts(void *context, const struct error *error) {
    struct reconciler *reconciler = context;
    reconciler->attempts.next = 0;
    if (error != NULL)
        end_attempts(reconciler);
    else
        next_attempt(reconciler);
}

static void start_attempts(struct reconciler *reconciler) {
    const struct worker *worker = reconciler->worker;
    int64_t older_than =
        clock_wall_ms() - (int64_t)worker->config->claim_timeout_seconds * 1000 - CLAIM_GRACE_MS;
    if (reconciler->attempts.arena != NULL || (reconciler->attempts.arena = arena_new(0)) == NULL)
        return;
    store_stale_attempts(worker->store, reconciler->attempts.arena, older_than, ATTEMPTS_MAX,
                         &reconciler->attempts.list, note_attempts, reconciler);
}

/* --- zones --- */

static void end_pass(struct zones_pass *pass) {
    TAILQ_REMOVE(&pass->reconciler->zone_passes, pass, entry);
    pass->reconciler->zone_pass_count--;
    arena_free(pass->arena);
}

static void end_zone(struct zones_pass *pass) {
    if (--pass->pending == 0)
        end_pass(pass);
}

static void note_zone_recorded(void *context, const struct error *error) {
    struct zone_job *job = context;
    if (error != NULL)
        log_event(LOG_LEVEL_WARNING, "cannot record a zone check", "zone", job->zone->name, "reason",
                  error->message, NULL);
    else if (job->after.status != job->zone->status)
        log_event(LOG_LEVEL_INFO, "zone status changed", "zone", job->zone->name, "customer",
                  job->zone->customer, "from", store_zone_status_name(job->zone->status), "to",
                  store_zone_status_name(job->after.status), "reason", job->after.reason, NULL);
    end_zone(job->pass);
}

static void note_zone_checked(void *context, const struct dnscheck_result *result) {
    struct zone_job *job = context;
    struct reconciler *reconciler = job->pass->reconciler;
    struct arena *arena = job->pass->arena;
    const struct dnscheck_finding *finding = &result->zones[0];
    char *evidence = json_to_text(arena, result->evidence);
    const struct store_zone_check check = {
        .zone_id = job->zone->id,
        .is_ok = finding->verdict == DNSCHECK_OK,
        .is_definite_no = dnscheck_is_definite_no(finding),
        .reason = finding->text,
        .evidence = evidence == NULL ? "" : evidence,
        .checked_at = result->checked_at,
        .moved_after = reconciler->worker->config->zone_moved_after,
        .delegation = zones_delegation(finding),
    };
    metric_add(reconciler->zone_checks, 1);
    store_record_zone_check(reconciler->worker->store, arena, &check, &job->after, note_zone_recorded, job);
}

static bool start_zone(struct zones_pass *pass, const struct store_zone *zone) {
    struct zone_job *job = arena_alloc(pass->arena, sizeof *job);
    const struct dnscheck_zone asked = zones_asked(zone);
    const struct dnscheck_request request = {.zones = &asked, .zone_count = 1};
    if (job == NULL)
        return false;
    *job = (struct zone_job){.pass = pass, .zone = zone};
    return dnscheck_start(pass->reconciler->worker->dnscheck, pass->arena, &request, note_zone_checked, job,
                          NULL) != NULL;
}

/* --- names whose zones went --- */

static void note_delegation_recorded(void *context, const struct error *error) {
    struct name_job *job = context;
    if (error != NULL)
        log_event(LOG_LEVEL_WARNING, "cannot record what a name is delegated to", "name", job->name, "reason",
                  error->message, NULL);
    end_zone(job->pass);
}

static void note_name_looked_at(void *context, const struct dnscheck_result *result) {
    struct name_job *job = context;
    const struct store_delegation unknown = {.is_known = false};
    const struct store_delegation delegation =
        result->zone_count == 1 ? zones_delegation(&result->zones[0]) : unknown;
    metric_add(job->pass->reconciler->zone_checks, 1);
    store_record_delegation(job->pass->reconciler->worker->store, job->name, &delegation,
                            note_delegation_recorded, job);
}

static bool start_name(struct zones_pass *pass, const char *name) {
    struct name_job *job = arena_alloc(pass->arena, sizeof *job);
    const struct dnscheck_zone asked = {.name = name};
    const struct dnscheck_request request = {.zones = &asked, .zone_count = 1};
    if (job == NULL)
        return false;
    *job = (struct name_job){.pass = pass, .name = name};
    return dnscheck_start(pass->reconciler->worker->dnscheck, pass->arena, &request, note_name_looked_at, job,
                          NULL) != NULL;
}

static void note_due_names(void *context, const struct error *error) {
    struct zones_pass *pass = context;
    for (size_t i = 0; error == NULL && i < pass->names.count; i++)
        if (start_name(pass, pass->names.items[i]))
            pass->pending++;
    end_zone(pass);
}

static uint32_t checks_per_pass(const struct reconciler *reconciler) {
    return PASS_SECONDS * reconciler->worker->config->zone_checks_per_second;
}

/* Zones first; the names have what they leave, and one in any case. */
static void note_due_zones(void *context, const struct error *error) {
    struct zones_pass *pass = context;
    pass->pending = 1; /* ours, until all are started */
    for (size_t i = 0; error == NULL && i < pass->list.count; i++)
        if (start_zone(pass, &pass->list.items[i]))
            pass->pending++;
    uint32_t limit = checks_per_pass(pass->reconciler), zones = (uint32_t)pass->list.count;
    store_due_names(pass->reconciler->worker->store, pass->arena, zones < limit ? limit - zones : 1,
                    ZONE_LEASE_SECONDS, &pass->names, note_due_names, pass);
}

static void start_zones(struct reconciler *reconciler) {
    if (reconciler->zone_pass_count >= ZONE_PASSES_MAX)
        return;
    struct arena *arena = arena_new(0);
    struct zones_pass *pass = arena == NULL ? NULL : arena_alloc(arena, sizeof *pass);
    if (pass == NULL) {
        arena_free(arena);
        return;
    }
    *pass = (struct zones_pass){.reconciler = reconciler, .arena = arena};
    TAILQ_INSERT_TAIL(&reconciler->zone_passes, pass, entry);
    reconciler->zone_pass_count++;
    store_due_zones(reconciler->worker->store, arena, checks_per_pass(reconciler), ZONE_LEASE_SECONDS,
                    &pass->list, note_due_zones, pass);
}

/* --- sweep --- */

static void note_swept(void *context, const struct error *error) {
    (void)error; /* the next sweep comes in a moment */
    struct reconciler *reconciler = context;
    reconciler->is_sweeping = false;
    reconciler->swept_ms = clock_monotonic_ms();
}

static void start_sweep(struct reconciler *reconciler) {
    if (reconciler->is_sweeping || clock_monotonic_ms() - reconciler->swept_ms < SWEEP_INTERVAL_MS)
        return;
    reconciler->is_sweeping = true;
    store_sweep(reconciler->worker->store, SWEEP_ENTRIES, &reconciler->swept, note_swept, reconciler);
}

void reconciler_run(struct reconciler *reconciler) {
    start_attempts(reconciler);
    start_zones(reconciler);
    start_sweep(reconciler);
}

struct reconciler *reconciler_new(struct worker *worker, struct error *error) {
    struct reconciler *reconciler = calloc(1, sizeof *reconciler);
    if (reconciler == NULL) {
        error_set(error, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    reconciler->worker = worker;
    TAILQ_INIT(&reconciler->zone_passes);
    reconciler->released = metrics_counter(worker->metrics, "originca_attempts_released_total",
                                           "Unfinished attempts whose order went back to ready");
    reconciler->zone_checks =
        metrics_counter(worker->metrics, "originca_zone_checks_total", "Periodic checks of zones");
    return reconciler;
}

void reconciler_free(struct reconciler *reconciler) {
    if (reconciler == NULL)
        return;
    arena_free(reconciler->attempts.arena);
    while (!TAILQ_EMPTY(&reconciler->zone_passes))
        end_pass(TAILQ_FIRST(&reconciler->zone_passes));
    free(reconciler);
}
