/* Stops of issuance (doc/rights.md, "Stops") as the admin process tells them: in its metrics, /readyz and
 * /healthz. What is refused because of them is decided where it is done: in Redis's scripts and the signer.
 */
#pragma once

#include "originca/store.h"
#include "originca/worker.h"

struct stops_watch;
struct stops_watch *stops_watch_new(struct worker *worker, struct error *error);
void stops_watch_free(struct stops_watch *watch);
/* Asks Redis once what is stopped and notes it; nothing where the former question is not answered yet. */
void stops_watch_run(struct stops_watch *watch);

/* Sets the gauges originca_issuance_stopped{by="..."} and worker->issuance_stopped by what was just read. */
void stops_note(struct worker *worker, const struct store_stop_list *list);
