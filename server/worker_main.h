/* The processes that serve: workers and the admin process, each with its services, its listeners, its loop.
 */
#pragma once

#include "listeners.h"
#include "originca/http.h"
#include "originca/metrics.h"
#include "originca/worker.h"

/* Both serve until SIGTERM has drained them. They tell `ready_fd` (process_tell) when requests can be served,
 * that Redis has been waited for long enough, or why they cannot start. A successor, which a reload tries,
 * leaves its gauges to the process in force until it serves. The exit status is returned. */
int worker_main(const struct config *config, struct listeners *listeners, struct metrics *metrics,
                unsigned slot, int ready_fd, bool is_successor);
/* Admin API, metrics and health, fence and reconciler. Its sockets: admin clients, Redis, signer, workers. */
int admin_main(const struct config *config, struct listeners *listeners, struct metrics *metrics,
               int ready_fd, bool is_successor);

/* Adds the process's counts since the last call to the shared metrics, and sets its gauges
 * (worker_metrics.c). `who` labels those: a worker's slot, or "admin". */
void worker_publish_metrics(struct worker *worker, const char *who, struct http_server *const *servers,
                            size_t server_count, bool with_gauges);
/* That process is dead; `is_missed`: it should be there. */
void worker_retract_metrics(struct metrics *metrics, const char *who, bool is_missed);
/* What the worker in force of that slot last said of itself. */
bool worker_serves(const struct metrics *metrics, unsigned slot);
