/* Which entries of revocation lists a ledger has (doc/revocation.md, "Entries that no ledger has"). Redis
 * says what is on a list, and whoever can write there may say anything. So each host's admin process asks its
 * own signer about the entries that wait in Redis for a proof, and seals those that its ledger has, with a
 * key of `operator_secret_file`; every other host believes that seal. A proof is for good: what a ledger has
 * revoked, or void, stays so. It is of the serial alone, because time and reason may differ between ledgers
 * that both have it. */
#pragma once

#include "originca/store.h"
#include "originca/worker.h"

struct crl_proofs;

/* What hosts have said of having gone through all that waits for a proof. */
struct crl_provers {
    bool is_known;     /* Redis was asked */
    size_t hosts;      /* that have ledgers, but for those that are excused */
    int64_t passed_ms; /* clock of Redis: each has looked at all that waited then; 0: one has not */
    int64_t others_ms; /* the same of all hosts but this one; INT64_MAX: there are none */
    char slowest[65];  /* the host that was last to look; "" */
};

struct crl_proofs *crl_proofs_new(struct worker *worker);
void crl_proofs_free(struct crl_proofs *proofs);
/* One of these at a time. Reads what other hosts have sealed since. */
void crl_proofs_follow(struct crl_proofs *proofs, store_done *done, void *context);
/* The same, and seals what this host's ledger has: some pages of what waits. */
void crl_proofs_work(struct crl_proofs *proofs, store_done *done, void *context);
/* Redis may be another one from here on: all is read again. What was proven stays so. */
void crl_proofs_restart(struct crl_proofs *proofs);
/* The next to be read is all of them once more, where that was not done in the last minute: whoever can write
 * Redis can give a proof a number that was read before. */
void crl_proofs_read_whole(struct crl_proofs *proofs);
bool crl_proofs_has(const struct crl_proofs *proofs, const uint8_t serial[SERIAL_BYTES]) MUST_CHECK;
/* Is there more sealed than was read? */
bool crl_proofs_is_behind(const struct crl_proofs *proofs) MUST_CHECK;
/* Can an entry of another host be proven here: there is no other, or there is a key. */
bool crl_proofs_can_tell(const struct crl_proofs *proofs) MUST_CHECK;
/* How many entries wait longer than proving takes; 0 until every host has looked once. */
uint64_t crl_proofs_waiting(const struct crl_proofs *proofs);
const struct crl_provers *crl_proofs_provers(const struct crl_proofs *proofs);
void crl_proofs_take_provers(struct crl_proofs *proofs, const struct store_prover_list *list);
