/* The signer process: its loop, batches for the engine, start and end.
 *
 * All sockets that have something are read before a batch runs (event priorities), so requests that arrive
 * together share the ledger's two syncs. Connections are links.c's. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "engine.h"
#include "links.h"
#include "originca/log.h"

#define HELD_MAX 4096

struct signer_process {
    const struct config *config;
    struct event_base *base;
    struct engine *engine;
    struct links *links;
    struct event *on_batch, *on_tick, *on_term, *on_usr1;
    struct engine_call *held, **held_last; /* until the engine takes them */
    size_t held_count;
    bool is_stopping, has_failed;
};

static void finish_calls(struct signer_process *process, struct engine_call *calls) {
    for (struct engine_call *next; calls != NULL; calls = next) {
        next = calls->next;
        links_finish(process->links, calls);
    }
}

static void end_process(struct signer_process *process) {
    /* Replies that are still in buffers go out first. */
    const struct timeval grace = {.tv_usec = 200 * 1000};
    event_base_loopexit(process->base, &grace);
}

static void run_calls(struct signer_process *process, struct engine_call *calls) {
    bool goes_on = engine_run(process->engine, calls);
    finish_calls(process, calls);
    if (!goes_on) {
        process->has_failed = true;
        end_process(process);
    }
}

/* A signer that has just started answers in a moment: better late than "try again". */
static struct engine_call *hold_back(struct signer_process *process, struct engine_call *calls) {
    struct engine_call *rest = NULL, **last = &rest;
    for (struct engine_call *call = calls, *next; call != NULL; call = next) {
        next = call->next;
        call->next = NULL;
        if (process->held_count < HELD_MAX && engine_must_hold(process->engine, call->type)) {
            *process->held_last = call;
            process->held_last = &call->next;
            process->held_count++;
        } else {
            *last = call;
            last = &call->next;
        }
    }
    return rest;
}

/* Those that the engine takes by now are put in front of what waits. */
static void let_go(struct signer_process *process) {
    struct engine_call *held = process->held;
    process->held = NULL;
    process->held_last = &process->held;
    process->held_count = 0;
    struct engine_call *ready = hold_back(process, held);
    if (ready != NULL)
        run_calls(process, ready);
}

static void wake(void *context) {
    struct signer_process *process = context;
    event_active(process->on_batch, EV_TIMEOUT, 0);
}

/* True where more waits than a batch takes. */
static bool run_batch(struct signer_process *process) {
    struct engine_call *calls = NULL;
    if (process->has_failed)
        return false; /* nothing more is written */
    bool was_all = links_take(process->links, &calls);
    calls = hold_back(process, calls);
    if (calls != NULL)
        run_calls(process, calls);
    if (process->held != NULL && !process->has_failed)
        let_go(process);
    return !was_all;
}

static void on_batch(evutil_socket_t fd, short what, void *context) {
    (void)fd;
    (void)what;
    if (run_batch(context))
        wake(context);
}

static void tick(evutil_socket_t fd, short what, void *context) {
    (void)fd;
    (void)what;
    struct signer_process *process = context;
    if (!engine_tick(process->engine)) {
        process->has_failed = true;
        event_base_loopbreak(process->base);
        return;
    }
    if (process->held != NULL && !process->has_failed)
        let_go(process);
    links_tick(process->links);
    wake(process); /* a connection that was kept waiting has its turn again */
    const struct timeval pause = {.tv_usec = engine_tick_ms(process->engine) * 1000};
    event_add(process->on_tick, &pause);
}

/* What was read is finished; what comes later waits in the sockets for the next signer. */
static void stop(evutil_socket_t fd, short what, void *context) {
    (void)fd;
    (void)what;
    struct signer_process *process = context;
    if (process->is_stopping)
        return;
    process->is_stopping = true;
    links_stop_accepting(process->links);
    while (!process->has_failed && run_batch(process))
        continue;
    end_process(process);
}

static void reopen_log(evutil_socket_t fd, short what, void *context) {
    (void)fd;
    (void)what;
    struct signer_process *process = context;
    struct error error;
    if (process->config->log_file != NULL && !log_open_file(process->config->log_file, &error))
        log_event(LOG_LEVEL_ERROR, "cannot reopen the log", "reason", error.message, NULL);
}

static bool set_up(struct signer_process *process, const struct signer_sockets *sockets,
                   struct metrics *metrics) {
    process->base = event_base_new();
    if (process->base == NULL || event_base_priority_init(process->base, 2) != 0)
        return false;
    process->on_batch = evtimer_new(process->base, on_batch, process);
    process->on_tick = evtimer_new(process->base, tick, process);
    process->on_term = evsignal_new(process->base, SIGTERM, stop, process);
    process->on_usr1 = evsignal_new(process->base, SIGUSR1, reopen_log, process);
    process->links = links_new(process->base, process->config, sockets, metrics, wake, process);
    if (process->links == NULL || process->on_batch == NULL || process->on_tick == NULL ||
        process->on_term == NULL || process->on_usr1 == NULL)
        return false;
    event_priority_set(process->on_batch, 1);
    event_active(process->on_tick, EV_TIMEOUT, 0);
    return event_add(process->on_term, NULL) == 0 && event_add(process->on_usr1, NULL) == 0;
}

static void tear_down(struct signer_process *process) {
    finish_calls(process, process->held);
    links_free(process->links);
    struct event *const events[] = {process->on_batch, process->on_tick, process->on_term, process->on_usr1};
    for (size_t i = 0; i < sizeof events / sizeof events[0]; i++)
        if (events[i] != NULL)
            event_free(events[i]);
    if (process->base != NULL)
        event_base_free(process->base);
    engine_free(process->engine);
}

int signer_main(const struct config *config, const struct signer_sockets *sockets, struct metrics *metrics) {
    struct signer_process process = {.config = config};
    struct error error = {.message = "out of memory"};
    process.held_last = &process.held;
    process.engine = engine_new(config, metrics, &error);
    bool is_up = process.engine != NULL && set_up(&process, sockets, metrics);
    if (is_up)
        event_base_dispatch(process.base);
    else
        log_event(LOG_LEVEL_ERROR, "the signer cannot start", "reason", error.message, NULL);
    tear_down(&process);
    return is_up && !process.has_failed ? 0 : 1;
}
