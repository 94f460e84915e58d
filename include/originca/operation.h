/* An operation is a table of named steps that reads like the RFC section it implements.
 *
 * A step is one function that returns DONE (the next step runs), WAIT (it started something whose completion
 * calls operation_resume, or operation_fail), FAIL (it called operation_fail_with; the kind's `fail` answers)
 * or REPLIED (it called http_reply: the operation ends here). A completion does three things: take the
 * result, note it in the state, resume. Everything lives in the request's arena. Each step's time is counted
 * in the metrics under "operation/step", and the step's name is what an admin sees of a waiting operation. */
#pragma once

#include "originca/http.h"

struct worker; /* worker.h: the services of this process */
struct operation;

enum step_result { STEP_DONE, STEP_WAIT, STEP_FAIL, STEP_REPLIED };

struct step {
    const char *name;
    enum step_result (*run)(struct operation *operation);
};

struct operation_kind {
    const char *name; /* "finalize" */
    const struct step *steps;
    size_t step_count;
    size_t state_size; /* zeroed memory given to the steps as operation->state */
    /* Answers the request with operation->error; called once, after which the operation is gone. */
    void (*fail)(struct operation *operation);
};

struct operation {
    struct http_request *request;
    struct arena *arena;   /* the request's */
    struct arena *reading; /* a branch for what is needed only until the request is read: parsed documents */
    struct worker *worker;
    const struct operation_kind *kind;
    void *state;
    struct error error;
    size_t at;
    int64_t step_started_us, started_us;
    bool is_running; /* inside a step: a completion that comes at once is noted and the loop goes on */
    bool was_resumed, has_failed;
};

#define OPERATION_KIND(kind_name, table, state_type, fail_function)                                          \
    {                                                                                                        \
        .name = (kind_name), .steps = (table), .step_count = sizeof(table) / sizeof((table)[0]),             \
        .state_size = sizeof(state_type), .fail = (fail_function)                                            \
    }

/* Runs the steps until one waits. `worker` is the request's service context. */
void operation_start(struct http_request *request, const struct operation_kind *kind);
/* A step for the place where all that will be needed of the request is copied: frees its body and `reading`.
 * A request that waits, for name servers or for Redis, holds neither. */
enum step_result operation_forget_request(struct operation *operation);
/* From a completion: the waiting step is done. */
void operation_resume(struct operation *operation);
/* From a completion: the waiting step has failed with operation->error (set it, or pass `error` to copy). */
void operation_fail(struct operation *operation, const struct error *error);
/* What a client is told of an error whose text is about the inside (Redis, signer, ledger, memory): a
 * sentence by its code, with the request id to ask the operator with. The text itself is for the log, which
 * has the same id. */
const char *operation_outward_text(struct operation *operation, enum error_code code);
/* A first step: while Redis is away for no longer than outage_wait_ms, the request waits for it; clients that
 * ask once and give up at a 503 get through a short outage. Done in any case: the step that needs Redis says
 * 503 where it did not come back. */
enum step_result operation_await_ready(struct operation *operation);
