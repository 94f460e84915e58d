/* One look at a time: a page of candidates, what the ledger knows of them, a job for each that is proven. */
#include "left_zones.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "originca/bulk_plan.h"
#include "originca/bulk_seal.h"
#include "originca/log.h"
#include "originca/metrics.h"
#include "originca/revocation.h"
#include "originca/signer.h"

#define LOOK_INTERVAL_MS 5000
#define LOOK_ZONES 50
#define TELL_INTERVAL_MS 3600000

struct left_zones {
    struct worker *worker;
    struct metric *unproven_gauge;
    int64_t looked_ms;   /* monotonic; 0: never */
    struct arena *arena; /* of the look; NULL: none is under way */
    struct store_left_zones found;
    int64_t *left_ms; /* of each, by the ledger */
    size_t at;
    uint32_t skip;                    /* those of the round that stay where they are */
    size_t unproven, unproven_before; /* of this round, of the one before */
    char example[64];
    int64_t told_ms;
    struct store_bulk job;
    struct bulk_plan plan;
    char seal[STORE_SEAL_MAX], progress_seal[STORE_SEAL_MAX];
};

static void go_on(struct left_zones *zones);

static bool fail(struct left_zones *zones, const char *step, const struct error *error) {
    if (error == NULL)
        return false;
    log_event(LOG_LEVEL_WARNING, "zones that were left cannot be looked for", "step", step, "reason",
              error->message, NULL);
    arena_free(zones->arena);
    zones->arena = NULL;
    return true;
}

/* Once a second round has found them too: what another host has just recorded is told by then. */
static void end_round(struct left_zones *zones) {
    int64_t now = clock_monotonic_ms();
    char count[24];
    metric_set(zones->unproven_gauge, zones->unproven);
    if (zones->unproven > 0 && zones->unproven_before > 0 &&
        (zones->told_ms == 0 || now - zones->told_ms >= TELL_INTERVAL_MS)) {
        zones->told_ms = now;
        snprintf(count, sizeof count, "%zu", zones->unproven);
        log_event(LOG_LEVEL_ERROR,
                  "Redis says that zones were left which by the ledger are not, or not that long: their "
                  "certificates are not revoked; find out who writes into Redis (doc/revocation.md)",
                  "zone", zones->example, "zones", count, NULL);
    }
    zones->unproven_before = zones->unproven;
    zones->unproven = 0;
    zones->skip = 0;
}

static void end_look(struct left_zones *zones) {
    if (zones->found.looked < LOOK_ZONES)
        end_round(zones);
    arena_free(zones->arena);
    zones->arena = NULL;
}

/* --- a job --- */

static void note_kept(void *context, const struct error *error) {
    struct left_zones *zones = context;
    if (fail(zones, "note", error))
        return;
    zones->at++;
    go_on(zones);
}

static void keep(struct left_zones *zones) {
    store_note_left_zone(zones->worker->store, &zones->found.items[zones->at], note_kept, zones);
}

static void note_created(void *context, const struct error *error) {
    struct left_zones *zones = context;
    if (!fail(zones, "create", error))
        keep(zones);
}

static void note_planned(void *context, const struct error *error) {
    struct left_zones *zones = context;
    struct store_bulk *job = &zones->job;
    if (fail(zones, "count", error))
        return;
    if (zones->plan.selected.count == 0) {
        keep(zones);
        return;
    }
    job->selection.cut_off = zones->plan.selected.cut_off;
    job->total = zones->plan.selected.count;
    job->created_at = time(NULL);
    job->plan = zones->plan.id;
    job->seal = zones->seal;
    job->progress_seal = zones->progress_seal;
    bulk_seal_job(zones->worker, job, zones->seal);
    bulk_seal_progress(zones->worker, job, zones->progress_seal);
    store_create_bulk(zones->worker->store, job, note_created, zones);
}

static void make_job(struct left_zones *zones, const struct store_left_zone *zone) {
    const struct error error = {ERROR_INTERNAL, "out of memory"};
    zones->job = (struct store_bulk){.id = zone->job,
                                     .selection.zone = zone->id,
                                     .reason = REASON_CESSATION_OF_OPERATION,
                                     .rate = zones->worker->config->bulk_revocations_per_second};
    zones->job.by = arena_printf(zones->arena, "admin:policy zone-left bulk:%s", zone->job);
    if (zones->job.by == NULL) {
        (void)fail(zones, "count", &error);
        return;
    }
    zones->plan = (struct bulk_plan){.worker = zones->worker, .selection = &zones->job.selection};
    bulk_plan_start(&zones->plan, note_planned, zones);
}

/* --- candidates --- */

static bool is_proven(const struct left_zones *zones, size_t at) {
    int64_t hold_ms = (int64_t)zones->worker->config->left_zone_revoke_after_seconds * 1000;
    return zones->left_ms[at] != 0 && zones->left_ms[at] <= clock_wall_ms() - hold_ms;
}

static void go_on(struct left_zones *zones) {
    for (; zones->at < zones->found.count && !is_proven(zones, zones->at); zones->at++) {
        zones->skip++;
        zones->unproven++;
        snprintf(zones->example, sizeof zones->example, "%s", zones->found.items[zones->at].id);
    }
    if (zones->at < zones->found.count)
        make_job(zones, &zones->found.items[zones->at]);
    else
        end_look(zones);
}

static void note_proof(void *context, const struct error *error) {
    struct left_zones *zones = context;
    if (!fail(zones, "ledger", error))
        go_on(zones);
}

static void note_found(void *context, const struct error *error) {
    struct left_zones *zones = context;
    const struct error memory = {ERROR_INTERNAL, "out of memory"};
    size_t count = zones->found.count;
    if (fail(zones, "look", error))
        return;
    const char **ids = arena_alloc(zones->arena, (count + 1) * sizeof *ids);
    zones->left_ms = arena_alloc(zones->arena, (count + 1) * sizeof *zones->left_ms);
    if (ids == NULL || zones->left_ms == NULL) {
        (void)fail(zones, "look", &memory);
        return;
    }
    for (size_t i = 0; i < count; i++)
        ids[i] = zones->found.items[i].id;
    zones->at = 0;
    if (count == 0)
        end_look(zones);
    else
        signer_find_left(zones->worker->operator_signer, ids, count, zones->left_ms, note_proof, zones);
}

void left_zones_run(struct left_zones *zones) {
    const struct config *config = zones->worker->config;
    int64_t now = clock_monotonic_ms();
    if (zones->arena != NULL || strcmp(config->moved_zone_certificates, "revoke") != 0 ||
        zones->worker->operator_key == NULL ||
        (zones->looked_ms != 0 && now - zones->looked_ms < LOOK_INTERVAL_MS) ||
        (zones->arena = arena_new(0)) == NULL)
        return;
    zones->looked_ms = now;
    store_left_zones(zones->worker->store, zones->arena, (int64_t)config->left_zone_revoke_after_seconds,
                     zones->skip, LOOK_ZONES, &zones->found, note_found, zones);
}

struct left_zones *left_zones_new(struct worker *worker, struct error *error) {
    struct left_zones *zones = calloc(1, sizeof *zones);
    if (zones == NULL) {
        error_set(error, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    zones->worker = worker;
    zones->unproven_gauge =
        metrics_gauge(worker->metrics, "originca_left_zones_unproven",
                      "Zones that were left by what Redis says and not by this host's ledger");
    return zones;
}

void left_zones_free(struct left_zones *zones) {
    if (zones == NULL)
        return;
    arena_free(zones->arena);
    free(zones);
}
