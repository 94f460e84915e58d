/* What this host's signer must know of zones and customers: those that Redis holds when a ledger has none yet
 * (an upgrade, a host that joins), once; then what other hosts tell, sealed by their admin processes
 * (rights.h). Both become records of this host's ledger. */
#pragma once

#include "originca/worker.h"

struct rights_sync;

struct rights_sync *rights_sync_new(struct worker *worker, struct error *error);
void rights_sync_free(struct rights_sync *sync);
/* While the process serves: looks at once what was told, and takes over what is there where the signer knows
 * no zones. `hosts` have a ledger. Does nothing where it is at work. */
void rights_sync_run(struct rights_sync *sync, bool knows_zones, size_t hosts);
