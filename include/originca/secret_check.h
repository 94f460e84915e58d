/* Do the secret files of this host fit the data in Redis? API keys, EAB keys, nonces and the seals of rights
 * rest on them, and a host with others would refuse every customer while it seems well. Redis keeps a value
 * of each (store_bind_secrets) that only tells two of them apart. */
#pragma once

#include "originca/store.h"
#include "originca/worker.h"

/* Of the files that this process read; the operators' is "" where it has none. */
void secret_check_derive(const struct worker *worker, struct store_secret_checks *out);
/* False with the reason: Redis knows others. */
bool secret_check_fits(const struct worker *worker, const struct store_ledger_state *state, char *reason,
                       size_t size);
/* Does Redis know each of those that this process has? */
bool secret_check_is_bound(const struct worker *worker, const struct store_ledger_state *state);
