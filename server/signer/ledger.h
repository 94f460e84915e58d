/* The ledger: an append-only, hash-chained file in segments (doc/ledger.md). The signer is its only writer.
 */
#pragma once

#include "originca/signer.h"

#define LEDGER_HASH_BYTES SHA256_BYTES
#define LEDGER_LINE_MAX (4u * 1024 * 1024) /* with its newline; longer ones are neither written nor read */

struct ledger;

/* Opens for appending: locks the directory, checks the last segment's chain, cuts off a torn last line,
 * begins the ledger where there is none and `may_begin`. Calls `visit` for every record of the last segment,
 * oldest first. */
struct ledger *ledger_open(const char *directory, const char *host, uint32_t segment_bytes, bool may_begin,
                           bool (*visit)(void *context, const json_t *record, struct error *error),
                           void *context, struct error *error);
void ledger_close(struct ledger *ledger);

/* Adds "seq" and "time" in front, the chain, and appends; not durable before ledger_sync. Takes no reference.
 */
bool ledger_append(struct ledger *ledger, const char *type, const json_t *fields, uint64_t *sequence,
                   struct error *error) MUST_CHECK;
/* The next record gets at least this sequence (an operator accepted a loss). */
void ledger_skip_to(struct ledger *ledger, uint64_t sequence);
/* fdatasync. After a failure the ledger refuses everything: what is durable is not known (fsyncgate). */
bool ledger_sync(struct ledger *ledger, struct error *error) MUST_CHECK;
/* Begins a new segment where the current one is full; only while no intent is open. */
bool ledger_rotate_if_full(struct ledger *ledger, const json_t *state, struct error *error) MUST_CHECK;
/* A JSON array text of records from `from` on: at most `max` of them and about `max_bytes`. */
char *ledger_read(struct ledger *ledger, struct arena *arena, uint64_t from, uint32_t max, size_t max_bytes,
                  struct error *error);

uint64_t ledger_last_sequence(const struct ledger *ledger);
const char *ledger_id(const struct ledger *ledger);
int64_t ledger_last_time_ms(const struct ledger *ledger);

/* --- reading without a lock: tools and tests (ledger_scan.c) --- */

struct ledger_walk {
    uint64_t last_sequence, records, segments;
    uint8_t last_hash[LEDGER_HASH_BYTES];
    char ledger_id[33], host[65];
    int64_t last_time_ms;
    /* of the last segment */
    char last_path[4096];
    uint64_t last_size;  /* bytes that are whole, chained records */
    uint64_t torn_bytes; /* behind them, at the very end */
};

/* Parses one line "<hash> <json>" without its newline and checks its hash. The record belongs to `arena`. */
json_t *ledger_parse_line(struct arena *arena, const char *line, size_t length,
                          const uint8_t previous[LEDGER_HASH_BYTES], uint8_t hash[LEDGER_HASH_BYTES],
                          struct error *error);
/* Segment files in order; the count, or -1. The list is freed by ledger_free_segments. */
int ledger_list_segments(const char *directory, char ***paths, struct error *error);
void ledger_free_segments(char **paths, int count);
/* Walks segments[from..count), checking chain, sequence and header of each; `visit` may be NULL. A torn tail
 * of the very last segment is reported in `walk`, anything else wrong is an error that names file and line.
 */
bool ledger_walk(char **segments, int from, int count, struct ledger_walk *walk,
                 bool (*visit)(void *context, const json_t *record, uint64_t offset, struct error *error),
                 void *context, struct error *error) MUST_CHECK;
