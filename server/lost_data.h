/* Does Redis still hold what this host's signer and ledger prove was there? Its watermark cannot tell: keys
 * may vanish while it stays (a wrong DEL, an eviction, a partial export). Each pass of the fence compares a
 * page of the signer's living zones, one page after the other, and what the newest ledger records speak of,
 * with their indexes (redis_compare_zones, redis_compare_records).
 *
 * What is missing is looked for once more when everything that was under way has arrived, and where other
 * hosts ended zones, when this host's signer knows. What a replay did not find is no news: a Redis that was
 * restored from an older copy lacks what came later, and the replay remembers that (zones-lost, `replayed`).
 */
#pragma once

#include "originca/signer.h"
#include "originca/store.h"
#include "originca/worker.h"

struct lost_data;

struct lost_data_verdict {
    char reason[224]; /* what is missing and what to do about it; "": nothing */
    bool is_open;     /* something was missed, and is looked for once more */
};

/* `verdict` lives until `done`. */
typedef void lost_data_done(void *context, const struct error *error,
                            const struct lost_data_verdict *verdict);

struct lost_data *lost_data_new(struct worker *worker);
void lost_data_free(struct lost_data *lost);
/* One look, on the keeper's side of the fence. `knows_zones`: the zones of the signer are those of Redis. */
void lost_data_look(struct lost_data *lost, const struct store_ledger_state *state,
                    const struct signer_status *status, bool knows_zones, lost_data_done *done,
                    void *context);
/* A replay begins: what was missed may come, or is known to be gone. */
void lost_data_forget(struct lost_data *lost);
