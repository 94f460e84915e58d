/* Every revoked serial of the ledger, and every void one, with time, rank, record and list: some 43 bytes
 * each, so that a million take some tens of MiB. A serial never leaves it. */
#pragma once

#include "originca/revocation.h"
#include "originca/text.h"

#define REVOKED_ENTRY_BYTES 35 /* in memory and in the checkpoint */

struct revoked;

struct revoked_serial {
    time_t revoked_at;
    uint64_t sequence;
    enum revocation_rank rank;
    uint32_t reason;  /* 0 to 10 */
    bool is_void;     /* no certificate was made of it, and it was not revoked */
    time_t not_after; /* of the certificate; 0: not known */
    uint32_t list;    /* crl_lists.h; 0: not known */
};

struct revoked *revoked_new(void);
void revoked_free(struct revoked *revoked);
/* A serial that is there keeps its time; only a higher rank replaces rank and record, a revocation one that
 * is void, and what was not known of its certificate is learned. False when out of memory. */
bool revoked_put(struct revoked *revoked, const uint8_t serial[SERIAL_BYTES],
                 const struct revoked_serial *entry) MUST_CHECK;
bool revoked_find(const struct revoked *revoked, const uint8_t serial[SERIAL_BYTES],
                  struct revoked_serial *out) MUST_CHECK;
size_t revoked_count(const struct revoked *revoked); /* with the void ones */
size_t revoked_count_void(const struct revoked *revoked);
/* The place of a serial for revoked_get; false where it is not there. */
bool revoked_place(const struct revoked *revoked, const uint8_t serial[SERIAL_BYTES], size_t *at) MUST_CHECK;
/* In the order in which they were put; `at` below the count. */
void revoked_get(const struct revoked *revoked, size_t at, uint8_t serial[SERIAL_BYTES],
                 struct revoked_serial *out);
/* All entries as they lie in memory, and back: false where they are no such entries or memory is short. */
const uint8_t *revoked_entries(const struct revoked *revoked);
bool revoked_load(struct revoked *revoked, const uint8_t *entries, size_t count) MUST_CHECK;
