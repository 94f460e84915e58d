/* What became of recent attempts: a bounded memory, oldest forgotten first. An attempt older than the claim
 * timeout is refused by its age, so forgetting it is safe. */
#pragma once

#include "originca/signer.h"
#include "originca/text.h"

struct attempts;

struct attempt {
    uint8_t id[SHA256_BYTES];            /* digest of its name */
    enum signer_attempt_outcome outcome; /* VOID also for one that was struck off */
    uint8_t serial[SERIAL_BYTES];
    time_t not_before, not_after;
    uint64_t intent_sequence, issued_sequence; /* the ledger holds the certificate */
};

struct attempts *attempts_new(size_t capacity);
void attempts_free(struct attempts *attempts);
struct attempt *attempts_find(struct attempts *attempts, const char *name);
/* Of all that are remembered, one by one; NULL: it is none of them. */
const struct attempt *attempts_find_serial(const struct attempts *attempts,
                                           const uint8_t serial[SERIAL_BYTES]);
/* Oldest first: `at` from 0; NULL behind the newest. */
const struct attempt *attempts_get(const struct attempts *attempts, size_t at);
/* Adds one as it was. */
void attempts_restore(struct attempts *attempts, const struct attempt *attempt);
/* Adds one in state UNKNOWN. The pointer holds until `capacity` more are added. */
struct attempt *attempts_add(struct attempts *attempts, const char *name);
