/* The admin process says in Redis, every two seconds, that its server writes the host's ledger. */
#pragma once

#include "originca/store.h"
#include "originca/worker.h"

struct ledger_lease;

struct ledger_lease *ledger_lease_new(struct worker *worker); /* NULL: out of memory */
void ledger_lease_free(struct ledger_lease *lease);
bool ledger_lease_is_held(const struct ledger_lease *lease);
/* ERROR_CONFLICT: another server holds it. One call at a time. */
void ledger_lease_take(struct ledger_lease *lease, store_done *done, void *context);
/* This server's ledger does not fit: it says nothing more, so that one whose ledger fits may come. */
void ledger_lease_leave(struct ledger_lease *lease);
