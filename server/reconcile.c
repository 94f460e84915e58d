/* Finishing what others left: attempts that stay in processing are asked of the signer; an attempt that it
 * never saw is struck off there, and its order waits for another one, which resume.c makes. (A signed one is
 * found by the fence's replay.) Also: zones whose check is due, jobs that revoke many certificates
 * (bulk_jobs.c), and the sweep of expired index entries. Each part runs at its own pace and is bounded. */
#include "reconcile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <time.h>

#include "bulk_jobs.h"
#include "originca/dnscheck.h"
#include "originca/json.h"
#include "originca/log.h"
#include "originca/metrics.h"
#include "originca/rights.h"
#include "originca/signer.h"
#include "originca/store.h"
#include "originca/worker_link.h"
#include "originca/zones.h"
#include "resume.h"

#define ATTEMPTS_MAX 64
#define PASS_SECONDS 2 /* fence.c runs a pass so often */
#define ZONE_LEASE_SECONDS 60
#define ZONE_PASSES_MAX 10 /* at once */
#define SWEEP_ENTRIES 200
#define SWEEP_INTERVAL_MS 5000
#define CLAIM_GRACE_MS 2000
#define ORDER_GRACE_SECONDS 60 /* past an order's end, for the host whose attempt it is */

struct attempts_part {
    struct arena *arena; /* NULL: not running */
    struct store_attempt_list list;
    time_t ended_before;
    size_t next;
    enum signer_attempt_outcome outcome;
};

/* Zones that were due together. Silent name servers hold a pass until the deadline of their check; the next
 * passes go on meanwhile. */
struct zones_pass { /* in its own arena */
    TAILQ_ENTRY(zones_pass) entry;
    TAILQ_HEAD(, zone_job) jobs;
    struct reconciler *reconciler;
    struct arena *arena;
    struct store_zone_list list;
    struct store_zone_list names;
    bool is_starting; /* it does not end before all its jobs are started */
};

/* In an arena of its own: a check that holds much, whatever its zone's servers send, leaves the others of its
 * pass theirs. */
struct zone_job {
    TAILQ_ENTRY(zone_job) entry;
    struct zones_pass *pass;
    struct arena *arena;
    const struct store_zone *zone; /* without id: a name whose zone went */
    struct store_zone after;
};

struct reconciler {
    struct worker *worker;
    struct resumer *resumer;
    struct bulk_jobs *bulk;
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

/* Whose orders wait now need not wait for the next pass. */
static void end_attempts(struct reconciler *reconciler) {
    arena_free(reconciler->attempts.arena);
    reconciler->attempts.arena = NULL;
    resumer_run(reconciler->resumer);
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

/* Only the host whose attempt it was knows whether it signed. One that never comes back holds its orders no
 * longer than their lives; what it signed all the same is revoked when its ledger is replayed. */
static void end_order(struct reconciler *reconciler, const struct store_attempt *attempt) {
    const struct store_order acme = {.origin = "acme"};
    const char *problem =
        resumer_problem_text(reconciler->attempts.arena, &acme, "serverInternal", 503,
                             "It is not known whether a certificate was made before the order's end; make a "
                             "new order");
    store_release_order(reconciler->worker->store, attempt->order, attempt->attempt,
                        problem == NULL ? "{}" : problem, note_released, reconciler);
}

static void next_attempt(struct reconciler *reconciler) {
    struct attempts_part *part = &reconciler->attempts;
    if (part->next < part->list.count) {
        const struct store_attempt *attempt = &part->list.items[part->next++];
        if (attempt->expires_at < part->ended_before)
            end_order(reconciler, attempt);
        else
            signer_attempt_status(reconciler->worker->signer, part->arena, attempt->attempt, &part->outcome,
                                  NULL, note_outcome, reconciler);
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
    char host[WORKER_HOST_TAG + 1];
    snprintf(host, sizeof host, "%.*s", WORKER_HOST_TAG, worker->instance);
    reconciler->attempts.ended_before = time(NULL) - ORDER_GRACE_SECONDS;
    store_stale_attempts(worker->store, reconciler->attempts.arena, older_than, ATTEMPTS_MAX, host,
                         reconciler->attempts.ended_before, &reconciler->attempts.list, note_attempts,
                         reconciler);
}

/* --- zones --- */

static void free_job(struct zone_job *job) {
    TAILQ_REMOVE(&job->pass->jobs, job, entry);
    arena_free(job->arena);
}

static void end_pass(struct zones_pass *pass) {
    while (!TAILQ_EMPTY(&pass->jobs))
        free_job(TAILQ_FIRST(&pass->jobs));
    TAILQ_REMOVE(&pass->reconciler->zone_passes, pass, entry);
    pass->reconciler->zone_pass_count--;
    arena_free(pass->arena);
}

static void end_pass_if_done(struct zones_pass *pass) {
    if (!pass->is_starting && TAILQ_EMPTY(&pass->jobs))
        end_pass(pass);
}

static void end_job(struct zone_job *job) {
    struct zones_pass *pass = job->pass;
    free_job(job);
    end_pass_if_done(pass);
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
    end_job(job);
}

static void record_zone(struct zone_job *job, const struct dnscheck_result *result) {
    struct worker *worker = job->pass->reconciler->worker;
    const struct dnscheck_finding *finding = &result->zones[0];
    const char *evidence = json_to_text(job->arena, result->evidence);
    const struct store_zone_check check = {
        .zone_id = job->zone->id,
        .is_ok = finding->verdict == DNSCHECK_OK,
        .is_definite_no = dnscheck_is_definite_no(finding),
        .is_inferred = finding->verdict != DNSCHECK_REFUSED,
        .reason = finding->text,
        .evidence = evidence == NULL ? "" : evidence,
        .checked_at = result->checked_at,
        .moved_after = worker->config->zone_moved_after,
        .delegation = zones_delegation(finding),
    };
    rights_record_zone_check(worker, worker->operator_signer, job->arena, &check, &job->after,
                             note_zone_recorded, job);
}

static void note_delegation_recorded(void *context, const struct error *error) {
    struct zone_job *job = context;
    if (error != NULL)
        log_event(LOG_LEVEL_WARNING, "cannot record what a name is delegated to", "name", job->zone->name,
                  "reason", error->message, NULL);
    end_job(job);
}

static void note_checked(void *context, const struct dnscheck_result *result) {
    struct zone_job *job = context;
    struct reconciler *reconciler = job->pass->reconciler;
    struct error error = {.message = "out of memory"};
    metric_add(reconciler->zone_checks, 1);
    if (result->zone_count != 1 || worker_link_is_unanswered(result, &error)) {
        log_event(LOG_LEVEL_WARNING, "a zone check gave no result", "zone", job->zone->name, "reason",
                  error.message, NULL);
        end_job(job); /* it is due again after its lease */
    } else if (*job->zone->id != '\0') {
        record_zone(job, result);
    } else {
        const struct store_delegation delegation = zones_delegation(&result->zones[0]);
        store_record_delegation(reconciler->worker->store, job->zone->name, &delegation,
                                note_delegation_recorded, job);
    }
}

static void start_job(struct zones_pass *pass, const struct store_zone *zone) {
    struct arena *arena = arena_new(0);
    struct zone_job *job = arena == NULL ? NULL : arena_alloc(arena, sizeof *job);
    const struct dnscheck_zone asked = zones_asked(zone);
    const struct dnscheck_request request = {.zones = &asked, .zone_count = 1};
    if (job == NULL) {
        arena_free(arena);
        return;
    }
    *job = (struct zone_job){.pass = pass, .arena = arena, .zone = zone};
    TAILQ_INSERT_TAIL(&pass->jobs, job, entry);
    if (worker_link_check(pass->reconciler->worker->link, arena, &request, LINK_OWN_VIEW, note_checked, job,
                          NULL) == NULL)
        free_job(job);
}

static void note_due_names(void *context, const struct error *error) {
    struct zones_pass *pass = context;
    for (size_t i = 0; error == NULL && i < pass->names.count; i++)
        start_job(pass, &pass->names.items[i]);
    pass->is_starting = false;
    end_pass_if_done(pass);
}

static uint32_t checks_per_pass(const struct reconciler *reconciler) {
    return PASS_SECONDS * reconciler->worker->config->zone_checks_per_second;
}

/* Zones first; the names whose zones went have what they leave, and one in any case. */
static void note_due_zones(void *context, const struct error *error) {
    struct zones_pass *pass = context;
    for (size_t i = 0; error == NULL && i < pass->list.count; i++)
        start_job(pass, &pass->list.items[i]);
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
    *pass = (struct zones_pass){.reconciler = reconciler, .arena = arena, .is_starting = true};
    TAILQ_INIT(&pass->jobs);
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
    bulk_jobs_run(reconciler->bulk);
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
    reconciler->resumer = resumer_new(worker, error);
    reconciler->bulk = reconciler->resumer == NULL ? NULL : bulk_jobs_new(worker, error);
    if (reconciler->bulk == NULL) {
        resumer_free(reconciler->resumer);
        free(reconciler);
        return NULL;
    }
    reconciler->released =
        metrics_counter(worker->metrics, "originca_attempts_released_total",
                        "Attempts that gave no certificate and whose order waits for another one");
    reconciler->zone_checks =
        metrics_counter(worker->metrics, "originca_zone_checks_total", "Periodic checks of zones");
    return reconciler;
}

void reconciler_free(struct reconciler *reconciler) {
    if (reconciler == NULL)
        return;
    resumer_free(reconciler->resumer);
    bulk_jobs_free(reconciler->bulk);
    arena_free(reconciler->attempts.arena);
    while (!TAILQ_EMPTY(&reconciler->zone_passes))
        end_pass(TAILQ_FIRST(&reconciler->zone_passes));
    free(reconciler);
}
