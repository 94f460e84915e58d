/* What became of recent attempts: a bounded memory, oldest forgotten first. An attempt older than the claim
 * timeout is refused by its age, so forgetting it is safe. */
#pragma once

#include "originca/signer.h"

struct attempts;

struct attempt {
    char id[130];
    enum signer_attempt_outcome outcome; /* VOID also for one that was struck off */
    struct bytes der;                    /* issued: malloc'd */
    uint8_t serial[SERIAL_BYTES];
    time_t not_before, not_after;
    uint64_t intent_sequence, issued_sequence;
};

struct attempts *attempts_new(size_t capacity);
void attempts_free(struct attempts *attempts);
struct attempt *attempts_find(struct attempts *attempts, const char *id);
/* Adds one in state UNKNOWN; NULL when out of memory. The pointer holds until `capacity` more are added. */
struct attempt *attempts_add(struct attempts *attempts, const char *id);
bool attempt_set_certificate(struct attempt *attempt, struct bytes der) MUST_CHECK;
/* Calls `visit` for every attempt that is still SIGNING (at start: intents without an outcome). */
void attempts_each_open(struct attempts *attempts, void (*visit)(void *context, struct attempt *attempt),
                        void *context);
