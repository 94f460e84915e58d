/* The checkpoint: what the signer would know after reading the ledger up to a record, beside the ledger's
 * segments, so that a start reads only what follows. Authenticated by a key that the signer alone holds,
 * bound to that record's hash; one that is missing, damaged or of another ledger means that all is read
 * (doc/ledger.md). */
#pragma once

#include "attempts.h"
#include "crl_lists.h"
#include "issuer_names.h"
#include "ledger.h"
#include "revoked.h"
#include "zones.h"

#define CHECKPOINT_KEY_BYTES SHA256_BYTES

/* Parsed, not yet applied: the lists lie in the file's bytes. */
struct checkpoint {
    struct ledger_position position;
    bool is_stopped; /* by an operator */
    const uint8_t *attempts, *revoked;
    size_t attempt_count, revoked_count;
    struct bytes zones, lists, names;
};

/* What it saves, and gives back. */
struct checkpoint_memories {
    struct attempts *attempts;
    struct revoked *revoked;
    struct zones *zones;
    struct crl_lists *lists;
    struct issuer_names *names;
};

/* The key beside the ledger: a file, because the signer starts without its token too; it is worth as much as
 * the ledger's own protection. ERROR_NOT_FOUND where there is none. */
bool checkpoint_load_key(const char *directory, uint8_t key[CHECKPOINT_KEY_BYTES],
                         struct error *error) MUST_CHECK;
bool checkpoint_make_key(const char *directory, uint8_t key[CHECKPOINT_KEY_BYTES],
                         struct error *error) MUST_CHECK;

/* The file's bytes without their MAC, to be freed with free(); NULL when out of memory. */
uint8_t *checkpoint_make(const struct ledger_position *position, bool is_stopped,
                         const struct checkpoint_memories *memories, size_t *length);
/* Adds the MAC, for which `bytes` has room, and puts the file in place durably. */
bool checkpoint_save(const char *directory, const uint8_t key[CHECKPOINT_KEY_BYTES], uint8_t *bytes,
                     size_t length, struct error *error) MUST_CHECK;

/* The file's bytes after their MAC was checked, to be freed; NULL with ERROR_NOT_FOUND where there is none.
 */
uint8_t *checkpoint_read(const char *directory, const uint8_t key[CHECKPOINT_KEY_BYTES], size_t *length,
                         struct error *error);
/* Points into `bytes`. */
bool checkpoint_parse(const uint8_t *bytes, size_t length, struct checkpoint *out,
                      struct error *error) MUST_CHECK;
/* Into empty memories; false where they do not take it. */
bool checkpoint_apply(const struct checkpoint *checkpoint, const struct checkpoint_memories *memories,
                      struct error *error) MUST_CHECK;
