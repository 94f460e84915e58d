/* Between the admin process, which has no socket to the network, and the workers: DNS checks and how the
 * workers are, asked over a unix socket for each slot (RUN_DIRECTORY/worker-N.sock, bound by the supervisor
 * and kept over restarts and reloads). Frames: 4 bytes length (big-endian, at most
 * `worker_answer_max_bytes`), then a JSON document (server/link/message.h).
 *
 * A worker's answer is read as foreign input: bounded in size, number and time, about nothing but what was
 * asked. So a worker in foreign hands can lie in its own answers and do nothing else here. */
#pragma once

#include <event2/event.h>

#include "originca/config.h"
#include "originca/dnscheck.h"

/* --- the admin process's side --- */

struct worker_link;
struct link_check;

/* Connects in the background, and again with back-off. The configuration must outlive it. */
struct worker_link *worker_link_new(struct event_base *base, const struct config *config,
                                    struct error *error);
void worker_link_free(struct worker_link *link); /* what is pending is forgotten */

enum link_view {
    LINK_OWN_VIEW, /* the worker's own check: dnscheck_start */
    LINK_ALL_VIEWS /* with the configured perspectives and their quorum: perspectives_start */
};

/* As dnscheck_start, with its contract for arena, request and callback; result and evidence are the worker's.
 * Where a worker ends, is silent or is at its limit, another one is asked. A check that nobody answers comes
 * back FAILED with the reason "unavailable", or "busy" where the workers are at their limits.
 * NULL: ERROR_LIMIT where more are under way than all workers together take, or out of memory. */
struct link_check *worker_link_check(struct worker_link *link, struct arena *arena,
                                     const struct dnscheck_request *request, enum link_view view,
                                     dnscheck_callback *callback, void *context, struct error *error);
void worker_link_cancel(struct link_check *check);
/* Is it such a result that nobody gave? `error` gets what to tell the caller: ERROR_LIMIT or
 * ERROR_UNAVAILABLE. */
bool worker_link_is_unanswered(const struct dnscheck_result *result, struct error *error);

enum link_part {
    LINK_PART_REDIS,
    LINK_PART_LEDGER,
    LINK_PART_SIGNER,
    LINK_PART_ISSUERS,
    LINK_PART_DNS,
    LINK_PARTS
};
const char *link_part_name(enum link_part part); /* "redis", ... */

struct link_readiness { /* of one worker */
    bool has_answered;
    struct {
        bool is_ok;
        char reason[512]; /* where it is not; printable */
    } parts[LINK_PARTS];
};

typedef void link_done(void *context);

/* Asks every worker; `out` has an element for each slot and must live until `done`, which comes from the loop
 * after `readiness_timeout_ms` at the latest. ERROR_INTERNAL: out of memory, and `done` does not come. */
bool worker_link_ask_readiness(struct worker_link *link, struct link_readiness *out, link_done *done,
                               void *context, struct error *error) MUST_CHECK;
/* Has every worker add its counts to the shared metrics; as above. */
bool worker_link_publish(struct worker_link *link, link_done *done, void *context,
                         struct error *error) MUST_CHECK;

/* --- a worker's side --- */

struct worker;
struct link_service;

/* Answers on the listening socket, which it closes when it drains: a successor accepts there. Only the admin
 * process's user is let in. */
struct link_service *link_service_new(struct worker *worker, int listen_fd, struct error *error);
/* Takes no more questions; `drained` comes once those under way are answered, perhaps from inside. */
void link_service_drain(struct link_service *service, void (*drained)(void *context), void *context);
void link_service_free(struct link_service *service);
