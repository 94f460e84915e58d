/* The fence between Redis and this host's ledger (doc/architecture.md): nothing is served while Redis is
 * behind the ledger (it is replayed) and nothing is signed while Redis is ahead (ledger lost: an operator
 * must confirm).
 *
 * Workers only watch: each compares for itself and serves or not. The admin process keeps: it replays, and
 * runs the reconciler: attempts that stay in processing are asked of the signer and rolled forward, or made
 * once more; zones due for a check are checked; indexes are swept. */
#pragma once

#include "originca/worker.h"

enum fence_role { FENCE_WATCHES, FENCE_KEEPS };

struct fence *fence_new(struct worker *worker, enum fence_role role, struct error *error);
void fence_free(struct fence *fence);
