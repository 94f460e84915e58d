/* The runner of operations. The service context that a route's handler gets begins with a pointer to the
 * worker: every service of this program has `struct worker *worker` as its first member, and operation_start
 * reads it from there. */
#include "originca/operation.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "originca/log.h"
#include "originca/metrics.h"
#include "originca/worker.h"

#define METRICS_CACHED 1024
#define READY_POLL_MS 50

static int64_t now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* A step's histogram is looked up once a process: steps are constants, so their address names them. */
static struct metric *metric_of(struct worker *worker, const struct operation_kind *kind,
                                const struct step *step) {
    static struct {
        const struct operation_kind *kind;
        const struct step *step;
        struct metric *metric;
    } cache[METRICS_CACHED];
    if (worker == NULL || worker->metrics == NULL)
        return NULL;
    size_t start = ((uintptr_t)kind * 31 + (uintptr_t)step / sizeof *step) % METRICS_CACHED;
    for (size_t i = 0; i < METRICS_CACHED; i++) {
        size_t at = (start + i) % METRICS_CACHED;
        if (cache[at].step == step && cache[at].kind == kind)
            return cache[at].metric;
        if (cache[at].step != NULL)
            continue;
        char name[METRIC_NAME_MAX];
        snprintf(name, sizeof name, "originca_step_seconds{operation=\"%s\",step=\"%s\"}", kind->name,
                 step->name);
        cache[at].metric = metrics_histogram(worker->metrics, name, "Time of each step of each operation");
        cache[at].kind = kind;
        cache[at].step = step;
        return cache[at].metric;
    }
    return NULL;
}

static void end_step(struct operation *operation) {
    int64_t now = now_us();
    struct metric *metric =
        metric_of(operation->worker, operation->kind, &operation->kind->steps[operation->at]);
    if (metric != NULL)
        metric_observe_us(metric, now - operation->step_started_us);
    operation->step_started_us = now;
}

static void fail_operation(struct operation *operation) {
    if (operation->error.code == ERROR_NONE)
        error_set(&operation->error, ERROR_INTERNAL, "the step \"%s\" failed without saying why",
                  operation->kind->steps[operation->at].name);
    operation->kind->fail(operation);
}

/* Runs until a step waits or the operation ends. A completion that arrives while a step still runs only
 * leaves a mark. */
static void run(struct operation *operation) {
    for (;;) {
        if (operation->at == operation->kind->step_count) {
            error_set(&operation->error, ERROR_INTERNAL, "the operation ended without a reply");
            operation->at--;
            fail_operation(operation);
            return;
        }
        operation->is_running = true;
        operation->was_resumed = false;
        operation->has_failed = false;
        enum step_result result = operation->kind->steps[operation->at].run(operation);
        if (result == STEP_REPLIED)
            return; /* the request, and with it the operation, is gone */
        operation->is_running = false;
        if (result == STEP_WAIT && !operation->was_resumed && !operation->has_failed)
            return;
        end_step(operation);
        if (result == STEP_FAIL || operation->has_failed) {
            fail_operation(operation);
            return;
        }
        operation->at++;
    }
}

void operation_start(struct http_request *request, const struct operation_kind *kind) {
    struct operation *operation = arena_alloc(request->arena, sizeof *operation);
    void *state = arena_alloc(request->arena, kind->state_size);
    struct arena *reading = arena_branch(request->arena);
    if (operation == NULL || state == NULL || reading == NULL) {
        static const char text[] = "out of memory";
        http_reply(request, 503, "text/plain", text, sizeof text - 1);
        return;
    }
    operation->request = request;
    operation->arena = request->arena;
    operation->reading = reading;
    operation->worker = *(struct worker **)request->service_context;
    operation->kind = kind;
    operation->state = state;
    operation->started_us = operation->step_started_us = now_us();
    run(operation);
}

enum step_result operation_forget_request(struct operation *operation) {
    http_forget_body(operation->request);
    arena_free(operation->reading);
    operation->reading = arena_branch(operation->arena); /* for who still reads, though there is nothing */
    return STEP_DONE;
}

void operation_resume(struct operation *operation) {
    if (operation->is_running) {
        operation->was_resumed = true;
        return;
    }
    end_step(operation);
    operation->at++;
    run(operation);
}

void operation_fail(struct operation *operation, const struct error *error) {
    if (error != NULL)
        operation->error = *error;
    if (operation->is_running) {
        operation->has_failed = true;
        return;
    }
    end_step(operation);
    fail_operation(operation);
}

const char *operation_outward_text(struct operation *operation, enum error_code code) {
    const char *sentence = "The server made a mistake; ask its operator with the id of this request";
    if (code == ERROR_UNAVAILABLE)
        sentence = "The server cannot do this at the moment; send the same request again";
    else if (code == ERROR_UNKNOWN)
        sentence = "The server did not finish this in time; see what has become of it, or send the same "
                   "request again";
    else if (code == ERROR_PENDING)
        sentence =
            "This is recorded and will take effect, but it does not hold everywhere yet; send the same "
            "request again until it is confirmed";
    else if (code == ERROR_STOPPED)
        sentence = "Issuance is stopped by the operator of this server; send the same request later";
    else if (code == ERROR_REFUSED || code == ERROR_INVALID)
        sentence =
            "The certificate authority does not make this certificate; ask its operator with the id of "
            "this request";
    const char *text = arena_printf(operation->arena, "%s (request %s)", sentence, operation->request->id);
    return text == NULL ? sentence : text;
}

/* --- an outage of Redis --- */

struct ready_wait {
    struct operation *operation;
    struct event *timer;
};

static bool is_worth_waiting(const struct worker *worker) {
    return !worker->is_ready && !worker->is_draining &&
           clock_monotonic_ms() - worker->not_ready_since_ms < (int64_t)worker->config->outage_wait_ms;
}

static void look_again(evutil_socket_t fd, short what, void *context) {
    (void)fd;
    (void)what;
    struct ready_wait *wait = context;
    struct worker *worker = wait->operation->worker;
    const struct timeval pause = {.tv_usec = READY_POLL_MS * 1000};
    if (is_worth_waiting(worker) && event_add(wait->timer, &pause) == 0)
        return;
    worker->waiting_requests--;
    operation_resume(wait->operation);
}

static void free_timer(void *timer) {
    event_free(timer);
}

enum step_result operation_await_ready(struct operation *operation) {
    struct worker *worker = operation->worker;
    const struct timeval pause = {.tv_usec = READY_POLL_MS * 1000};
    if (!is_worth_waiting(worker) || worker->waiting_requests >= worker->config->outage_max_requests)
        return STEP_DONE;
    struct ready_wait *wait = arena_alloc(operation->arena, sizeof *wait);
    if (wait == NULL)
        return STEP_DONE;
    wait->operation = operation;
    wait->timer = evtimer_new(worker->base, look_again, wait);
    if (wait->timer == NULL || !arena_defer(operation->arena, free_timer, wait->timer) ||
        event_add(wait->timer, &pause) != 0)
        return STEP_DONE;
    worker->waiting_requests++;
    return STEP_WAIT;
}
