/* The fence between Redis and this host's ledger (doc/architecture.md): nothing is served while Redis is
 * behind the ledger (it is replayed) and nothing is signed while Redis is ahead (ledger lost: an operator
 * must confirm).
 *
 * Also the reconciler: attempts that stay in processing are asked of the signer and rolled forward, or made
 * once more; zones due for a check are checked; indexes are swept. One worker of a host (slot 0) does the
 * periodic work. */
#pragma once

#include "originca/worker.h"

struct fence *fence_new(struct worker *worker, struct error *error);
void fence_free(struct fence *fence);
