/* The worker process: its services, its listeners, its loop. */
#pragma once

#include "listeners.h"
#include "originca/http.h"
#include "originca/metrics.h"
#include "originca/worker.h"

/* Serves until SIGTERM has drained it. Tells `ready_fd` (process_tell) when requests can be served, that
 * Redis has been waited for long enough, or why it cannot start. A successor, which a reload tries, leaves
 * the gauges of its slot to the worker in force until it serves. Returns the exit status. */
int worker_main(const struct config *config, struct listeners *listeners, struct metrics *metrics,
                unsigned slot, int ready_fd, bool is_successor);

/* Adds the worker's counts since the last call to the shared metrics, and sets the gauges of its slot
 * (worker_metrics.c). */
void worker_publish_metrics(struct worker *worker, struct http_server *const *servers, size_t server_count,
                            bool with_gauges);
/* The worker of that slot is dead; `is_missed`: it should be there. */
void worker_retract_metrics(struct metrics *metrics, unsigned slot, bool is_missed);
/* What the worker in force of that slot last said of itself. */
bool worker_serves(const struct metrics *metrics, unsigned slot);
