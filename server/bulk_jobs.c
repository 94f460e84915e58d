/* The runners of this process, each with a name of its own for the leases in Redis; which job comes next is
 * the queue's word (store/scripts/lib/bulk.lua). */
#include "bulk_jobs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bulk.h"
#include "left_zones.h"

struct bulk_jobs {
    struct worker *worker;
    struct left_zones *left;
    size_t count;
    struct bulk_runner *runners[];
};

void bulk_jobs_run(struct bulk_jobs *jobs) {
    if (jobs->worker->is_draining)
        return;
    left_zones_run(jobs->left);
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
    jobs->left = left_zones_new(worker, error);
    if (jobs->left == NULL) {
        bulk_jobs_free(jobs);
        return NULL;
    }
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
    left_zones_free(jobs->left);
    free(jobs);
}
