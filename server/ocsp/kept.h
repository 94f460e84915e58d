/* Answers that were signed, kept in the worker's memory to be given out again: a bounded number of bytes in
 * all, the one that was not asked for the longest goes first.
 *
 * Each stands beside the state of the certificate that it was made of. It is found only by whoever says, from
 * Redis, what the state is now; so nothing has to be dropped when a certificate is revoked, and nothing can
 * be forgotten to be. */
#pragma once

#include <time.h>

#include "originca/ocsp.h"

#define OCSP_STATE_MAX 32 /* of struct store_ocsp, with its end */

struct ocsp_answer {
    struct bytes der; /* empty: none */
    time_t this_update, next_update;
};

/* Which answer: the certificate, how its CertID is written, and what Redis says of it. */
struct ocsp_kept_key {
    uint8_t serial[SERIAL_BYTES];
    ocsp_form form;
    const char *state; /* a longer one than OCSP_STATE_MAX is never kept */
};

struct ocsp_kept;

/* `max_bytes` is for everything, the table too; 0: nothing is kept. NULL: out of memory. */
struct ocsp_kept *ocsp_kept_new(size_t max_bytes);
void ocsp_kept_free(struct ocsp_kept *kept);
/* The answer is copied into `arena`. False: there is none that may be given out at `now_ms` (monotonic). */
bool ocsp_kept_find(struct ocsp_kept *kept, struct arena *arena, const struct ocsp_kept_key *key,
                    int64_t now_ms, struct ocsp_answer *out) MUST_CHECK;
/* In place of one of the same certificate and form. Without memory nothing is kept. */
void ocsp_kept_put(struct ocsp_kept *kept, const struct ocsp_kept_key *key, const struct ocsp_answer *answer,
                   int64_t until_ms);
size_t ocsp_kept_bytes(const struct ocsp_kept *kept); /* in use now */
