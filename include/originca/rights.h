/* Giving and taking rights (doc/rights.md, doc/ledger.md): each change is a ledger record first, which is the
 * point of no return; then the store's function that takes a struct store_right carries it out and marks the
 * record in one script; then it is answered. What a crash leaves between record and Redis is carried out by
 * the fence's replay within seconds. What Redis would refuse is asked before the record wherever it can be
 * known.
 *
 * Also what hosts tell each other of them: a seal, HMAC-SHA256 under the key that `operator_secret_file`
 * holds and admin processes alone read, over kind, subject, name, customer and moment. */
#pragma once

#include "originca/signer.h"
#include "originca/store.h"
#include "originca/worker.h"

#define RIGHTS_MAX 4

struct rights { /* in the request's state; lives until the store has acted */
    struct signer_change changes[RIGHTS_MAX];
    struct store_right given[RIGHTS_MAX]; /* for the store, once they are recorded */
    char seals[RIGHTS_MAX][STORE_SEAL_MAX];
    size_t count;
    struct worker *worker;
    signer_done *done;
    void *context;
};

void rights_clear(struct rights *rights);
/* The texts live as long as `rights`. NULL where there are RIGHTS_MAX already. The caller adds name, customer
 * and detail where the kind has them. */
struct signer_change *rights_add(struct rights *rights, const char *kind, const char *subject,
                                 const char *by);
/* An object whose right was changed at `known_ms`, by a host whose clock may be ahead: what is asked now
 * counts as later. */
void rights_set_after(struct signer_change *change, int64_t known_ms);
/* Writes them to the ledger; `given` is filled when `done` is called without an error. */
void rights_record(struct rights *rights, struct worker *worker, struct signer_client *signer,
                   signer_done *done, void *context);

/* Records a zone's check, and before it in the ledger what it leads to: a zone that moves away, one that
 * comes back. `check` and `out` live until `done`. */
void rights_record_zone_check(struct worker *worker, struct signer_client *signer, struct arena *arena,
                              const struct store_zone_check *check, struct store_zone *out, store_done *done,
                              void *context);

/* The key of the seals; false where the file cannot be read. The setting must be there. */
bool rights_load_key(const struct config *config, uint8_t key[SHA256_BYTES], struct error *error) MUST_CHECK;
/* One more field of a seal that begins with zeros; NULL is "". */
void seal_add(uint8_t digest[SHA256_BYTES], const uint8_t key[SHA256_BYTES], const char *text);
/* "" without a key: the other hosts are not told. */
void rights_seal(const struct worker *worker, const struct store_right *right, char out[STORE_SEAL_MAX]);
bool rights_seal_is_good(const struct worker *worker, const struct store_right *right);
