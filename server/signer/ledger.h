/* The ledger: an append-only, hash-chained file in segments (doc/ledger.md). The signer is its only writer.
 */
#pragma once

#include <stdatomic.h>

#include "originca/signer.h"

#define LEDGER_HASH_BYTES SHA256_BYTES
#define LEDGER_LINE_MAX (4u * 1024 * 1024) /* with its newline; longer ones are neither written nor read */
#define LEDGER_FORMAT 1                    /* of genesis and segment records; 1 where they say nothing */

struct ledger;

/* A record that a walk has checked: its text is chained to the one before. */
struct ledger_member;
struct ledger_record {
    uint64_t sequence, offset; /* where its line begins in its segment */
    const char *type, *json;
    size_t length;
    const uint8_t *hash;
    int64_t time_ms;
    const struct ledger_member *members; /* of a record in the usual form */
    size_t member_count;
};
/* Members of the record's own object; false where there is none of that form. */
bool ledger_record_text(const struct ledger_record *record, const char *name, char *out,
                        size_t size) MUST_CHECK;
bool ledger_record_number(const struct ledger_record *record, const char *name, uint64_t *out) MUST_CHECK;
/* 1: true, 0: false, -1: not there. */
int ledger_record_flag(const struct ledger_record *record, const char *name);

typedef bool ledger_visit(void *context, const struct ledger_record *record, struct error *error);

/* A place behind a record; everything up to it is known by whoever holds it. */
struct ledger_position {
    char ledger_id[33], host[65];
    uint64_t segment;      /* the first sequence of its file */
    uint64_t line, offset; /* where the record's line begins and ends */
    uint64_t sequence;
    uint8_t hash[LEDGER_HASH_BYTES];
    int64_t time_ms;
};

struct ledger_options {
    const char *directory, *host;
    uint32_t segment_bytes;
    bool may_begin; /* where there is no ledger */
    /* What is read, oldest first, each record shown to `visit` (may be NULL): what follows `from`, else the
     * whole ledger, else only the last segment. */
    const struct ledger_position *from;
    bool is_whole;
    ledger_visit *visit;
    void *context;
    /* For others to look at meanwhile; may be NULL. */
    _Atomic uint64_t *bytes_read, *bytes_total;
    const atomic_bool *is_cancelled;
};

/* Opens for appending: locks the directory, checks the chain of what it reads, cuts off a torn last line. */
struct ledger *ledger_open(const struct ledger_options *options, struct error *error);
void ledger_close(struct ledger *ledger);

/* Adds "seq" and "time" in front, the chain, and appends; not durable before ledger_sync. Takes no reference.
 * `hash` may be NULL. */
bool ledger_append(struct ledger *ledger, const char *type, const json_t *fields, uint64_t *sequence,
                   uint8_t hash[LEDGER_HASH_BYTES], struct error *error) MUST_CHECK;
/* The next record gets at least this sequence (an operator accepted a loss). */
void ledger_skip_to(struct ledger *ledger, uint64_t sequence);
/* Looks whether the file is still what was written, writes and syncs. After a failure the ledger refuses
 * everything: what is durable is not known (fsyncgate). */
bool ledger_sync(struct ledger *ledger, struct error *error) MUST_CHECK;
/* Looks likewise, while nothing waits to be written. */
bool ledger_is_in_place(struct ledger *ledger, struct error *error) MUST_CHECK;
bool ledger_is_full(const struct ledger *ledger);
/* Begins a new segment where the current one is full; only while no intent is open. */
bool ledger_rotate_if_full(struct ledger *ledger, const json_t *state, struct error *error) MUST_CHECK;
/* A JSON array text of records from `from` on, each with its "hash" in front: at most `max` of them and about
 * `max_bytes`. */
char *ledger_read(struct ledger *ledger, struct arena *arena, uint64_t from, uint32_t max, size_t max_bytes,
                  struct error *error);
/* The hash of a durable record; false where there is none of that sequence. */
bool ledger_find_hash(struct ledger *ledger, uint64_t sequence, uint8_t hash[LEDGER_HASH_BYTES]) MUST_CHECK;

uint64_t ledger_last_sequence(const struct ledger *ledger);
const char *ledger_id(const struct ledger *ledger);
int64_t ledger_last_time_ms(const struct ledger *ledger);
bool ledger_is_broken(const struct ledger *ledger);
/* Behind the last record; only while everything is synced. */
void ledger_get_position(const struct ledger *ledger, struct ledger_position *position);

/* --- reading without a lock: tools and tests (ledger_scan.c) --- */

struct ledger_walk {
    uint64_t last_sequence, records, segments;
    uint8_t last_hash[LEDGER_HASH_BYTES];
    char ledger_id[33], host[65];
    int64_t last_time_ms;
    /* of the last segment */
    char last_path[4096];
    uint64_t last_line;  /* where its last record begins */
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
uint64_t ledger_sequence_of_path(const char *path);

struct ledger_scan {
    char **segments;
    int from, count;
    const struct ledger_position *start; /* in segments[from]; NULL: at its beginning */
    const struct ledger_position *until; /* nothing behind it is read, and the chain must meet its hash */
    bool parses;                         /* every record in full */
    ledger_visit *visit;
    void *context;
    _Atomic uint64_t *bytes_read;
    const atomic_bool *is_cancelled; /* ends it, as if it had failed */
};
/* Walks segments[from..count), checking chain, sequence and header of each. A torn tail of the very last
 * segment is reported in `walk`, anything else wrong is an error that names file and line. */
bool ledger_scan(const struct ledger_scan *scan, struct ledger_walk *walk, struct error *error) MUST_CHECK;
/* The same with every record parsed. */
bool ledger_walk(char **segments, int from, int count, struct ledger_walk *walk,
                 bool (*visit)(void *context, const json_t *record, uint64_t offset, struct error *error),
                 void *context, struct error *error) MUST_CHECK;
