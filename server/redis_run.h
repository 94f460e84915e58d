/* May this run of Redis be served? Redis that was started again, or another one that took over, may hold
 * older data than the one before, and every host can only tell for its own ledger. So nobody serves a run
 * before all hosts have compared their ledgers with it (store_verify_ledger), or an operator has excused
 * those that do not come. And a Redis that knows nothing of a ledger that holds more than its beginning has
 * lost everything: nobody fills it but an operator's word. */
#pragma once

#include "originca/signer.h"
#include "originca/store.h"

#define KNOWN_HOSTS_MAX 64

/* The hosts that were there in the run that was seen last: an older copy may not have heard of them. */
struct known_hosts {
    char run[64];
    char *names[KNOWN_HOSTS_MAX];
    size_t count;
};

/* Keeps what `state` tells, where it is of the run that is known already or has been verified by this host.
 */
void known_hosts_note(struct known_hosts *known, const struct store_ledger_state *state);
void known_hosts_free(struct known_hosts *known);

/* False with the reason: hosts are missing, the others may not have heard of this one, or nonces of before
 * would still be taken. The host itself has
 * verified the run. */
bool redis_run_is_whole(const struct store_ledger_state *state, char *reason, size_t size);
/* The reason why a Redis that knows nothing of this ledger is not filled from it. */
void redis_run_tell_emptied(const struct store_ledger_state *state, const struct signer_status *ledger,
                            const char *host, char *reason, size_t size);

/* Does the ledger hold more than its own beginning: a certificate, a revocation, a right? It looks no further
 * than to the first such record. `arena` and `proves` outlive the call. */
void ledger_find_proof(struct signer_client *signer, struct arena *arena, bool *proves, signer_done *done,
                       void *context);
