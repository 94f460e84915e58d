/* The sweep of zones: checks that run out of memory, and what one check leaves the others of its pass. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "bulk_jobs.h"
#include "originca/metrics.h"
#include "originca/store.h"
#include "originca/worker_link.h"
#include "reconcile.h"

#define CHECKS_MAX 4

struct check {
    struct arena *arena;
    dnscheck_callback *callback;
    void *context;
};

static struct {
    struct store_zone zones[CHECKS_MAX];
    struct store_zone names[CHECKS_MAX];
    size_t zone_count, name_count;
    struct check checks[CHECKS_MAX];
    size_t check_count, recorded_zones, recorded_names;
} world;

static const struct dnscheck_result out_of_memory = {.verdict = DNSCHECK_FAILED};
static const struct dnscheck_finding lame = {
    .name = "a.test", .verdict = DNSCHECK_REFUSED, .reason = "lame", .text = "lame"};
static const struct dnscheck_result refused = {
    .zones = &lame, .zone_count = 1, .verdict = DNSCHECK_REFUSED, .checked_at = 1};

/* Called by the linker's --wrap in place of the functions without "__wrap_" (store.h, worker_link.h). */
void __wrap_store_stale_attempts(void);
void __wrap_store_due_zones(struct store *store, struct arena *arena, uint32_t limit, uint32_t lease_seconds,
                            struct store_zone_list *out, store_done *done, void *context);
void __wrap_store_due_names(struct store *store, struct arena *arena, uint32_t limit, uint32_t lease_seconds,
                            struct store_zone_list *out, store_done *done, void *context);
void __wrap_store_record_zone_check(struct store *store, struct arena *arena,
                                    const struct store_zone_check *check, struct store_zone *out,
                                    store_done *done, void *context);
void __wrap_store_record_delegation(struct store *store, const char *name,
                                    const struct store_delegation *delegation, store_done *done,
                                    void *context);
void __wrap_store_sweep(void);
struct link_check *__wrap_worker_link_check(struct worker_link *link, struct arena *arena,
                                            const struct dnscheck_request *request, enum link_view view,
                                            dnscheck_callback *callback, void *context, struct error *error);

void __wrap_store_stale_attempts(void) {}

void __wrap_store_sweep(void) {}

/* Bulk revocations have tests of their own. */
struct bulk_jobs *__wrap_bulk_jobs_new(struct worker *worker, struct error *error);
void __wrap_bulk_jobs_run(struct bulk_jobs *runner);
void __wrap_bulk_jobs_free(struct bulk_jobs *runner);

struct bulk_jobs *__wrap_bulk_jobs_new(struct worker *worker, struct error *error) {
    (void)error;
    return (struct bulk_jobs *)worker; /* nobody looks into it */
}

void __wrap_bulk_jobs_run(struct bulk_jobs *runner) {
    (void)runner;
}

void __wrap_bulk_jobs_free(struct bulk_jobs *runner) {
    (void)runner;
}

void __wrap_store_due_zones(struct store *store, struct arena *arena, uint32_t limit, uint32_t lease_seconds,
                            struct store_zone_list *out, store_done *done, void *context) {
    (void)store, (void)arena, (void)limit, (void)lease_seconds;
    out->items = world.zones;
    out->count = world.zone_count;
    done(context, NULL);
}

void __wrap_store_due_names(struct store *store, struct arena *arena, uint32_t limit, uint32_t lease_seconds,
                            struct store_zone_list *out, store_done *done, void *context) {
    (void)store, (void)arena, (void)limit, (void)lease_seconds;
    out->items = world.names;
    out->count = world.name_count;
    done(context, NULL);
}

void __wrap_store_record_zone_check(struct store *store, struct arena *arena,
                                    const struct store_zone_check *check, struct store_zone *out,
                                    store_done *done, void *context) {
    (void)store, (void)arena;
    assert_string_equal(check->reason, "lame");
    *out = (struct store_zone){.status = ZONE_PENDING, .reason = "lame"};
    world.recorded_zones++;
    done(context, NULL);
}

void __wrap_store_record_delegation(struct store *store, const char *name,
                                    const struct store_delegation *delegation, store_done *done,
                                    void *context) {
    (void)store, (void)name, (void)delegation;
    world.recorded_names++;
    done(context, NULL);
}

struct link_check *__wrap_worker_link_check(struct worker_link *link, struct arena *arena,
                                            const struct dnscheck_request *request, enum link_view view,
                                            dnscheck_callback *callback, void *context, struct error *error) {
    (void)link, (void)view, (void)error;
    assert_int_equal(request->zone_count, 1);
    assert_true(world.check_count < CHECKS_MAX);
    struct check *check = &world.checks[world.check_count++];
    *check = (struct check){arena, callback, context};
    return (struct link_check *)check;
}

static void answer(size_t index, const struct dnscheck_result *result) {
    world.checks[index].callback(world.checks[index].context, result);
}

/* A pass over two zones and a name whose zone went, each check under way. */
static struct reconciler *start_pass(struct worker *worker, struct config *config) {
    struct error error = {.code = ERROR_NONE};
    struct metrics *metrics = metrics_new(&error);
    memset(&world, 0, sizeof world);
    world.zones[0] = (struct store_zone){.id = "1", .name = "a.test", .status = ZONE_PENDING};
    world.zones[1] = (struct store_zone){.id = "2", .name = "b.test", .status = ZONE_PENDING};
    world.zone_count = 2;
    world.names[0] = (struct store_zone){.id = "", .name = "gone.test"};
    world.name_count = 1;
    *config = (struct config){.zone_checks_per_second = 10, .claim_timeout_seconds = 60};
    *worker = (struct worker){.config = config, .metrics = metrics};
    struct reconciler *reconciler = reconciler_new(worker, &error);
    assert_non_null(reconciler);
    reconciler_run(reconciler);
    assert_int_equal(world.check_count, 3);
    return reconciler;
}

static void check_without_memory_records_nothing_and_ends(void **state) {
    (void)state;
    struct worker worker;
    struct config config;
    struct reconciler *reconciler = start_pass(&worker, &config);
    answer(0, &out_of_memory);
    answer(2, &out_of_memory);
    assert_int_equal(world.recorded_zones + world.recorded_names, 0);
    answer(1, &refused);
    assert_int_equal(world.recorded_zones, 1);
    reconciler_free(reconciler);
}

static void check_that_holds_much_leaves_the_others_theirs(void **state) {
    (void)state;
    struct worker worker;
    struct config config;
    struct reconciler *reconciler = start_pass(&worker, &config);
    while (arena_alloc(world.checks[0].arena, 4096) != NULL)
        ;
    assert_non_null(arena_alloc(world.checks[1].arena, 64 * 1024));
    assert_non_null(arena_alloc(world.checks[2].arena, 64 * 1024));
    answer(1, &refused);
    answer(2, &refused);
    assert_int_equal(world.recorded_zones, 1);
    assert_int_equal(world.recorded_names, 1);
    reconciler_free(reconciler); /* with a check under way */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(check_without_memory_records_nothing_and_ends),
        cmocka_unit_test(check_that_holds_much_leaves_the_others_theirs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
