/* The periodic work of a host, in its admin process: stale attempts, zones due for a check, index sweeps. */
#pragma once

#include "originca/worker.h"

struct reconciler;

struct reconciler *reconciler_new(struct worker *worker, struct error *error);
void reconciler_free(struct reconciler *reconciler);
/* Starts what is due, within bounds on what runs at once. */
void reconciler_run(struct reconciler *reconciler);
