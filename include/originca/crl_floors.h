/* Below which number no revocation list may come again: what this host's signer has signed last of each, by
 * its ledger. Redis and the run directory may both have gone back; the ledger has not (doc/revocation.md). */
#pragma once

#include "originca/store.h"
#include "originca/worker.h"

struct crl_floors;
struct crl_floors *crl_floors_new(struct worker *worker);
void crl_floors_free(struct crl_floors *floors);
/* Reads them from the signer, over the operators' link, and tells Redis. One at a time. */
void crl_floors_update(struct crl_floors *floors, store_done *done, void *context);
/* As of the last update that succeeded; 0: this signer signed none. */
uint64_t crl_floors_find(const struct crl_floors *floors, const char *issuer, const char *url);
/* Has this signer signed one of which it was said that its unproven entries are bounded? */
bool crl_floors_are_bounded(const struct crl_floors *floors, const char *issuer, const char *url) MUST_CHECK;
/* The highest number that a list may have now, by this host's clock: what says more is planted. */
uint64_t crl_number_ceiling(const struct config *config);
