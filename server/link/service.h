/* The worker's side: connections of the admin process (service.c), how this worker is (readiness.c). */
#pragma once

#include <sys/queue.h>

#include <event2/bufferevent.h>

#include "message.h"
#include "originca/worker.h"

struct link_readiness_probe;

/* `readiness` lives until the call returns. */
typedef void link_told(void *context, const struct link_readiness *readiness);

struct link_readiness_probe *link_readiness_probe_new(struct worker *worker, struct error *error);
void link_readiness_probe_free(struct link_readiness_probe *probe);
/* Tells how the worker is as soon as signer and DNS have answered it, or when most of `readiness_timeout_ms`
 * is over; from the loop. At most one question to each is open, however many ask. */
struct link_waiter;
struct link_waiter *link_readiness_ask(struct link_readiness_probe *probe, link_told *told, void *context);
void link_readiness_cancel(struct link_waiter *waiter);
