/* Which server writes the ledger of a host name? Two that do so, as a machine and its clone, would both issue
 * and both lose what the other's ledger has not. So the admin process says in Redis that its server writes
 * (store_hold_ledger), again and again; a server that finds another one there serves nobody.
 *
 * A server is known by its run (of the supervisor) and its place: the boot of the machine and the ledger's
 * folder. Of one place only one signer can write, because it locks the folder; so a server that is started
 * again there need not wait for the lease to end. */
#pragma once

#include "originca/store.h"
#include "originca/worker.h"

#define LEDGER_LEASE_SECONDS 10

/* Of this process and all that it forks. */
void ledger_writer_begin(const struct config *config);
const struct store_ledger_writer *ledger_writer_mine(void);
bool ledger_writer_is_mine(const struct store_ledger_state *state);
/* True with the reason: another server has said within the lease that it writes. */
bool ledger_writer_is_another(const struct worker *worker, const struct store_ledger_state *state,
                              char *reason, size_t size);
