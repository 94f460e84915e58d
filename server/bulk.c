/* The work on a job: load a page, revoke what is in it, several at once and no faster than the job's rate,
 * note the page, load the next.
 *
 * A job is held by a lease. Whoever lost it, whose fence is shut or who drains begins nothing more and drops
 * the page: its revocations are told by who revoked them (`by` names the job), so the page is counted once,
 * by the one who notes it. What fails for the moment is tried again; what cannot be revoked is counted as
 * failed.
 *
 * Redis is no proof of what an operator wants: a job that has no good seal, at the claim or with any page,
 * has failed, and nothing more of it is begun (bulk_seal.h). What it is, is what was claimed. */
#include "bulk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "originca/bulk_seal.h"
#include "originca/log.h"
#include "originca/metrics.h"
#include "originca/revoke.h"
#include "originca/store_bulk.h"

#define LEASE_MS 10000
#define TICK_MS 5
#define PAUSE_MS 1000 /* after what failed for the moment */

enum entry_state { ENTRY_WAITS, ENTRY_RUNS, ENTRY_ENDED };
struct entry {
    struct bulk_runner *runner;
    struct revoke revoke;
    enum entry_state state;
};

struct bulk_runner {
    struct worker *worker;
    char *holder;
    bool (*has_room)(const void *context);
    const void *room_context;
    struct event *timer;
    struct metric *revoked, *failed, *unsealed;
    struct store_bulk_lease lease;
    bool is_asking;  /* a claim or a renewal is under way */
    bool is_loading; /* a page is being loaded or noted */
    bool is_pumping;
    int64_t asked_ms, leased_until_ms; /* monotonic: of the last claim or renewal; what it gave */
    struct arena *arena;               /* of the job; NULL: there is none */
    struct store_bulk job;
    bool is_lost; /* it is not this process's any more, or has ended */
    struct arena *page_arena;
    struct store_bulk_page page;
    struct entry *entries; /* NULL: no page */
    size_t next, running, ended;
    uint64_t done, not_done;             /* of the page */
    struct store_bulk_progress progress; /* the job's, by the page */
    char progress_seal[STORE_SEAL_MAX];
    bool has_yielded; /* to a job that waited */
    char problem[ERROR_MESSAGE_MAX];
    int64_t resumes_ms; /* not before */
    double room;        /* revocations that may begin now */
    int64_t room_counted_ms;
};

static void pump(struct bulk_runner *runner);

static void schedule(struct bulk_runner *runner, int64_t after_ms) {
    const struct timeval delay = {.tv_sec = after_ms / 1000, .tv_usec = after_ms % 1000 * 1000};
    event_add(runner->timer, &delay);
}

static bool may_go_on(const struct bulk_runner *runner) {
    const struct worker *worker = runner->worker;
    return !runner->is_lost && worker->is_ready && !worker->is_draining &&
           clock_monotonic_ms() < runner->leased_until_ms;
}

static void drop_page(struct bulk_runner *runner) {
    arena_free(runner->page_arena);
    runner->page_arena = NULL;
    runner->entries = NULL;
}

static void drop_job(struct bulk_runner *runner) {
    drop_page(runner);
    arena_free(runner->arena);
    runner->arena = NULL;
    runner->is_lost = true;
    runner->problem[0] = '\0';
}

static void note_problem(struct bulk_runner *runner, const char *serial, const struct error *error) {
    snprintf(runner->problem, sizeof runner->problem, "%s%s%.300s", serial, *serial == '\0' ? "" : ": ",
             error->message);
}

/* --- the rate --- */

/* What was not used in a tenth of a second does not come later in one burst. */
static void count_room(struct bulk_runner *runner) {
    int64_t now = clock_monotonic_ms();
    double rate = runner->job.rate, most = rate / 10 < 1 ? 1 : rate / 10;
    runner->room += rate * (double)(now - runner->room_counted_ms) / 1000;
    runner->room = runner->room > most ? most : runner->room;
    runner->room_counted_ms = now;
}

/* A page of about a second's work, so that progress is seen. */
static uint32_t page_size(const struct bulk_runner *runner) {
    return runner->job.rate < STORE_BULK_PIECE ? runner->job.rate : STORE_BULK_PIECE;
}

/* --- what is no operator's word --- */

static void note_put_aside(void *context, const struct error *error) {
    struct bulk_runner *runner = context;
    runner->is_loading = false;
    if (error != NULL)
        log_event(LOG_LEVEL_WARNING, "a bulk revocation is not put aside yet", "job", runner->job.id,
                  "reason", error->message, NULL);
    runner->is_lost = true;
    pump(runner);
    if (error == NULL && runner->arena == NULL) /* there may be another one */
        bulk_runner_run(runner);
}

static void put_aside(struct bulk_runner *runner, const char *fault) {
    metric_add(runner->unsealed, 1);
    log_event(LOG_LEVEL_ERROR,
              "a bulk revocation in Redis is not what an operator confirmed and is not carried out: find out "
              "who writes into Redis, and begin again what was meant",
              "job", runner->job.id, "by", runner->job.by, "fault", fault, NULL);
    runner->is_loading = true;
    store_fail_bulk(runner->worker->store, runner->job.id, &runner->lease, fault, runner->job.is_unreadable,
                    note_put_aside, runner);
}

/* --- pages --- */

static void note_page_noted(void *context, const struct error *error) {
    struct bulk_runner *runner = context;
    runner->is_loading = false;
    bool is_last = runner->progress.is_last;
    metric_add(runner->revoked, error == NULL ? runner->done : 0);
    metric_add(runner->failed, error == NULL ? runner->not_done : 0);
    if (error == NULL) {
        runner->job.position = runner->progress.position;
        runner->job.done = runner->progress.done;
        runner->job.failed = runner->progress.failed;
    }
    if (error == NULL && is_last)
        log_event(LOG_LEVEL_INFO, "all of a bulk revocation is done", "job", runner->job.id, NULL);
    else if (error != NULL)
        log_event(LOG_LEVEL_WARNING, "a page of a bulk revocation was not counted", "job", runner->job.id,
                  "reason", error->message, NULL);
    runner->is_lost = runner->is_lost || error != NULL || is_last || runner->has_yielded;
    drop_page(runner);
    pump(runner);
    if (error == NULL && runner->arena == NULL) /* there may be another one */
        bulk_runner_run(runner);
}

static void finish_page(struct bulk_runner *runner) {
    struct store_bulk after = runner->job;
    runner->done += runner->page.repeated;
    after.position += runner->page.span;
    after.done += runner->done;
    after.failed += runner->not_done;
    bulk_seal_progress(runner->worker, &after, runner->progress_seal);
    runner->progress = (struct store_bulk_progress){.before = runner->job.position,
                                                    .position = after.position,
                                                    .done = after.done,
                                                    .failed = after.failed,
                                                    .is_last = after.position == after.total,
                                                    .seal = runner->progress_seal,
                                                    .problem = runner->problem,
                                                    .may_wait = !runner->has_room(runner->room_context)};
    runner->has_yielded = false;
    runner->is_loading = true;
    store_note_bulk(runner->worker->store, runner->job.id, &runner->lease, &runner->progress,
                    &runner->has_yielded, note_page_noted, runner);
}

/* Is Redis's job still the one that was claimed? One that stands where it stood before, in a Redis that went
 * back, is claimed again and does that again. */
static const char *page_fault(struct bulk_runner *runner) {
    const char *fault = bulk_seal_fault(runner->worker, &runner->page.job);
    runner->is_lost = runner->is_lost || runner->page.job.position != runner->job.position;
    return fault != NULL || runner->is_lost ? fault
                                            : bulk_page_fault(runner->worker, &runner->job, &runner->page);
}

static void note_page_loaded(void *context, const struct error *error) {
    struct bulk_runner *runner = context;
    const char *fault = error == NULL ? page_fault(runner) : NULL;
    runner->is_loading = false;
    if (fault != NULL) {
        put_aside(runner, fault);
        return;
    }
    if (error == NULL) {
        runner->entries = arena_alloc(runner->page_arena, (runner->page.count + 1) * sizeof *runner->entries);
        runner->next = runner->running = runner->ended = 0;
        runner->done = runner->not_done = 0;
        for (size_t i = 0; runner->entries != NULL && i < runner->page.count; i++)
            runner->entries[i] = (struct entry){.runner = runner};
    } else {
        log_event(LOG_LEVEL_WARNING, "a page of a bulk revocation cannot be loaded", "job", runner->job.id,
                  "reason", error->message, NULL);
        runner->is_lost = true;
    }
    if (runner->entries == NULL)
        drop_page(runner);
    pump(runner);
}

static void load_page(struct bulk_runner *runner) {
    runner->page_arena = arena_new(0);
    if (runner->page_arena == NULL) {
        runner->is_lost = true;
        return;
    }
    runner->is_loading = true;
    runner->page = (struct store_bulk_page){.limit = page_size(runner)};
    store_page_bulk(runner->worker->store, runner->page_arena, &runner->job, &runner->lease, &runner->page,
                    note_page_loaded, runner);
}

/* --- one certificate --- */

/* What the ledger has and Redis does not is no success: it is tried again as well. */
static bool is_for_the_moment(enum error_code code) {
    return code == ERROR_UNAVAILABLE || code == ERROR_UNKNOWN || code == ERROR_LIMIT;
}

static void note_revoked(void *context, const struct error *error) {
    struct entry *entry = context;
    struct bulk_runner *runner = entry->runner;
    runner->running--;
    entry->state = ENTRY_ENDED;
    if (error != NULL &&
        is_for_the_moment(error->code == ERROR_PENDING ? entry->revoke.store_code : error->code)) {
        entry->state = ENTRY_WAITS;
        runner->resumes_ms = clock_monotonic_ms() + PAUSE_MS;
        runner->next = 0;
    } else if (error != NULL) {
        runner->not_done++;
    } else {
        runner->done++;
    }
    if (entry->state == ENTRY_ENDED)
        runner->ended++;
    if (error != NULL)
        note_problem(runner, entry->revoke.certificate->serial, error);
    pump(runner);
}

static struct entry *next_entry(struct bulk_runner *runner) {
    while (runner->next < runner->page.count && runner->entries[runner->next].state != ENTRY_WAITS)
        runner->next++;
    return runner->next == runner->page.count ? NULL : &runner->entries[runner->next];
}

/* It is logged by the signer; here 100,000 lines would say no more than the job does. */
static void start_entry(struct bulk_runner *runner, struct entry *entry) {
    const struct store_certificate *certificate = &runner->page.items[entry - runner->entries];
    entry->state = ENTRY_RUNS;
    entry->revoke = (struct revoke){.worker = runner->worker,
                                    .arena = runner->page_arena,
                                    .certificate = certificate,
                                    .reason = runner->job.reason,
                                    .by = runner->job.by};
    runner->running++;
    runner->room--;
    revoke_start(&entry->revoke, note_revoked, entry);
}

static void start_entries(struct bulk_runner *runner) {
    struct entry *entry;
    count_room(runner);
    while (runner->running < runner->worker->config->bulk_revocations_at_once && runner->room >= 1 &&
           clock_monotonic_ms() >= runner->resumes_ms && (entry = next_entry(runner)) != NULL)
        start_entry(runner, entry);
    if (next_entry(runner) != NULL)
        schedule(runner, TICK_MS);
}

/* Whatever completes comes here; a completion that comes at once, while entries are started, is seen by the
 * loop that starts them. */
static void pump(struct bulk_runner *runner) {
    if (runner->is_pumping || runner->arena == NULL)
        return;
    runner->is_pumping = true;
    if (!may_go_on(runner)) {
        if (runner->running == 0 && !runner->is_loading && !runner->is_asking)
            drop_job(runner);
    } else if (!runner->is_loading) {
        if (runner->entries == NULL)
            load_page(runner);
        else if (runner->ended < runner->page.count)
            start_entries(runner);
        if (runner->entries != NULL && !runner->is_loading && runner->ended == runner->page.count)
            finish_page(runner);
    }
    runner->is_pumping = false;
}

static void on_timer(evutil_socket_t fd, short events, void *context) {
    (void)fd, (void)events;
    pump(context);
}

/* --- the lease --- */

static void note_claimed(void *context, const struct error *error) {
    struct bulk_runner *runner = context;
    runner->is_asking = false;
    if (error != NULL || runner->job.id == NULL) {
        drop_job(runner);
        return;
    }
    runner->is_lost = false;
    runner->leased_until_ms = runner->asked_ms + LEASE_MS;
    runner->room = 0;
    runner->room_counted_ms = clock_monotonic_ms();
    runner->resumes_ms = 0;
    const char *fault = bulk_seal_fault(runner->worker, &runner->job);
    if (fault != NULL) {
        put_aside(runner, fault);
        return;
    }
    log_event(runner->job.position == 0 ? LOG_LEVEL_INFO : LOG_LEVEL_DEBUG, "working on a bulk revocation",
              "job", runner->job.id, "by", runner->job.by, NULL);
    pump(runner);
}

static void note_renewed(void *context, const struct error *error) {
    struct bulk_runner *runner = context;
    runner->is_asking = false;
    if (error == NULL)
        runner->leased_until_ms = runner->asked_ms + LEASE_MS;
    else if (error->code == ERROR_CONFLICT)
        runner->is_lost = true;
    pump(runner);
}

void bulk_runner_run(struct bulk_runner *runner) {
    struct worker *worker = runner->worker;
    if (runner->is_asking || worker->is_draining)
        return;
    runner->asked_ms = clock_monotonic_ms();
    if (runner->arena != NULL) {
        runner->is_asking = true;
        store_renew_bulk(worker->store, runner->job.id, &runner->lease, runner->problem, note_renewed,
                         runner);
    } else if ((runner->arena = arena_new(0)) != NULL) {
        runner->is_asking = true;
        store_claim_bulk(worker->store, runner->arena, &runner->lease, &runner->job, note_claimed, runner);
    }
}

bool bulk_runner_is_free(const struct bulk_runner *runner) {
    return runner->arena == NULL;
}

struct bulk_runner *bulk_runner_new(struct worker *worker, const char *holder,
                                    bool (*has_room)(const void *context), const void *context,
                                    struct error *error) {
    struct bulk_runner *runner = calloc(1, sizeof *runner);
    if (runner == NULL || (runner->holder = strdup(holder)) == NULL ||
        (runner->timer = evtimer_new(worker->base, on_timer, runner)) == NULL) {
        if (runner != NULL)
            free(runner->holder);
        free(runner);
        error_set(error, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    runner->worker = worker;
    runner->has_room = has_room;
    runner->room_context = context;
    runner->is_lost = true;
    runner->lease = (struct store_bulk_lease){
        .holder = runner->holder, .host = worker->config->host_name, .lease_ms = LEASE_MS};
    runner->revoked = metrics_counter(worker->metrics, "originca_bulk_revoked_total",
                                      "Certificates revoked by jobs of administrators");
    runner->failed = metrics_counter(worker->metrics, "originca_bulk_failed_total",
                                     "Certificates that such a job could not revoke");
    runner->unsealed = metrics_counter(worker->metrics, "originca_bulk_unsealed_total",
                                       "Jobs in Redis that are not what an operator confirmed");
    return runner;
}

void bulk_runner_free(struct bulk_runner *runner) {
    if (runner == NULL)
        return;
    event_free(runner->timer);
    drop_job(runner);
    free(runner->holder);
    free(runner);
}
