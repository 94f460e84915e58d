/* The revocations of this host's ledger, compared with Redis all the time. Another host makes lists of what
 * Redis says, and workers answer OCSP by it; whoever can write there may take off what only this host knows,
 * and a host that comes back after it was excused finds what was dropped meanwhile. A round begins every
 * `crl_compare_seconds`; one that takes more than a step (of 4,000 revocations, a second) is followed by a
 * pause of ten times as long. */
#pragma once

#include "originca/store.h"
#include "originca/worker.h"

struct crl_compare;

struct crl_compare *crl_compare_new(struct worker *worker);
void crl_compare_free(struct crl_compare *compare);
/* The next page, where a round is under way or due. One at a time. */
void crl_compare_work(struct crl_compare *compare, store_done *done, void *context);
/* Redis may be another one: the next round begins at once. */
void crl_compare_restart(struct crl_compare *compare);
