/* The runners of this process, each with a name of its own for the leases in Redis; which job comes next is
 * the queue's word (store/scripts/lib/bulk.lua). */
#include "bulk_jobs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bulk.h"
#include "originca/log.h"
#include "originca/revocation.h"
#include "originca/store_bulk.h"

#define WITHDRAW_INTERVAL_MS 5000
#define WITHDRAW_ZONES 50 /* in one look */

struct bulk_jobs {
    struct worker *worker;
    bool is_withdrawing;
    int64_t withdrew_ms; /* when zones that were left were looked for; 0: never */
    size_t count;
    struct bulk_runner *runners[];
};

static void note_withdrawn(void *context, const struct error *error) {
    struct bulk_jobs *jobs = context;
    jobs->is_withdrawing = false;
    if (error != NULL)
        log_event(LOG_LEVEL_WARNING, "zones that were left cannot be looked for", "reason", error->message,
                  NULL);
}

/* By policy; the jobs are found like those of administrators. */
static void withdraw_zones(struct bulk_jobs *jobs) {
    const struct config *config = jobs->worker->config;
    int64_t now = clock_monotonic_ms();
    if (jobs->is_withdrawing || strcmp(config->moved_zone_certificates, "revoke") != 0 ||
        (jobs->withdrew_ms != 0 && now - jobs->withdrew_ms < WITHDRAW_INTERVAL_MS))
        return;
    jobs->withdrew_ms = now;
    jobs->is_withdrawing = true;
    store_withdraw_zones(jobs->worker->store, (int64_t)config->left_zone_revoke_after_seconds,
                         REASON_CESSATION_OF_OPERATION, config->bulk_revocations_per_second, WITHDRAW_ZONES,
                         note_withdrawn, jobs);
}

void bulk_jobs_run(struct bulk_jobs *jobs) {
    if (jobs->worker->is_draining)
        return;
    withdraw_zones(jobs);
    for (size_t i = 0; i < jobs->count; i++)
        bulk_runner_run(jobs->runners[i]);
}

static bool has_free_runner(const void *context) {
    const struct bulk_jobs *jobs = context;
    for (size_t i = 0; i < jobs->count; i++)
        if (bulk_runner_is_free(jobs->runners[i]))
            return true;
    return false;
}

struct bulk_jobs *bulk_jobs_new(struct worker *worker, struct error *error) {
    size_t count = worker->config->bulk_jobs_at_once;
    struct bulk_jobs *jobs = calloc(1, sizeof *jobs + count * sizeof *jobs->runners);
    if (jobs == NULL) {
        error_set(error, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    jobs->worker = worker;
    for (; jobs->count < count; jobs->count++) {
        char holder[160];
        snprintf(holder, sizeof holder, "%.120s-%zu", worker->instance, jobs->count);
        jobs->runners[jobs->count] = bulk_runner_new(worker, holder, has_free_runner, jobs, error);
        if (jobs->runners[jobs->count] == NULL) {
            bulk_jobs_free(jobs);
            return NULL;
        }
    }
    return jobs;
}

void bulk_jobs_free(struct bulk_jobs *jobs) {
    if (jobs == NULL)
        return;
    for (size_t i = 0; i < jobs->count; i++)
        bulk_runner_free(jobs->runners[i]);
    free(jobs);
}
