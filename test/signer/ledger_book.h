/* What the tests of the ledger share: a ledger in a private folder, and short forms of its functions that
 * assert that they succeed. */
#pragma once

#include "../../server/signer/ledger.h"

#include <sys/types.h>

#define HOST "ca1"
#define LARGE (64u * 1024 * 1024)

struct book {
    struct arena *arena;
    const char *folder;
};

/* For cmocka: each test has a folder of its own. */
int book_set_up(void **state);
int book_tear_down(void **state);

/* As the tests say it: the last segment is read, each of its records shown to `visit` parsed. */
typedef bool book_visit(void *context, const json_t *record, struct error *error);
struct ledger *book_try_open(const char *folder, const char *host, uint32_t segment_bytes, bool may_begin,
                             book_visit *visit, void *context, struct error *error);
/* Opens or begins. */
struct ledger *book_open(const struct book *book, uint32_t segment_bytes);
/* A record { "n": number } of type intent. */
void book_append(struct ledger *ledger, int number);
void book_sync(struct ledger *ledger);
void book_rotate(struct ledger *ledger);
/* The records as an array. */
json_t *book_read(struct book *book, struct ledger *ledger, uint64_t from, uint32_t max, size_t max_bytes);

/* Walks the whole ledger as `ledger verify` does. */
bool book_verify(const char *folder, struct ledger_walk *walk, struct error *error);
void book_assert_verifies(const char *folder, uint64_t records, uint64_t segments);
/* The path of the segment at `at`; -1: the last. */
const char *book_segment_path(struct book *book, int at);
off_t book_size_of(const char *path);
size_t book_count_lines(struct bytes text);
