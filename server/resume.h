/* Orders in processing whose attempt gave no certificate: DNS is checked afresh, and another attempt made
 * (doc/architecture.md, "The reconciler"). */
#pragma once

#include "originca/store.h"
#include "originca/worker.h"

struct resumer;

struct resumer *resumer_new(struct worker *worker, struct error *error);
void resumer_free(struct resumer *resumer); /* drops what is under way: the next process takes it up */
/* Takes up what is due, while fewer than resume_max_orders are under way. */
void resumer_run(struct resumer *resumer);
/* The problem that an order keeps, as its client finds it; NULL: out of memory. `type` without the prefix. */
const char *resumer_problem_text(struct arena *arena, const struct store_order *order, const char *type,
                                 unsigned status, const char *detail);
