/* The worker process: its services, its listeners, its loop. */
#pragma once

#include "listeners.h"
#include "originca/http.h"
#include "originca/metrics.h"
#include "originca/worker.h"

/* Serves until SIGTERM has drained it. Writes one byte to `ready_fd` once requests can be served (or Redis
 * has been waited for long enough), then closes it. Returns the exit status. */
int worker_main(const struct config *config, struct listeners *listeners, struct metrics *metrics,
                unsigned slot, int ready_fd);

/* Adds the worker's counts since the last call to the shared metrics (worker_metrics.c). */
void worker_publish_metrics(struct worker *worker, struct http_server *const *servers, size_t server_count);
/* The worker of that slot is dead; `is_missed`: it should be there. */
void worker_retract_metrics(struct metrics *metrics, unsigned slot, bool is_missed);
