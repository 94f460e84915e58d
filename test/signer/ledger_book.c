/* Short forms over a ledger in a private folder. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kit.h"
#include "ledger_book.h"

#include <string.h>
#include <sys/stat.h>

int book_set_up(void **state) {
    static struct book book;
    book.arena = arena_new(256u * 1024 * 1024);
    book.folder = kit_make_folder(book.arena);
    *state = &book;
    return 0;
}

int book_tear_down(void **state) {
    struct book *book = *state;
    kit_remove_folder(book->folder);
    arena_free(book->arena);
    return 0;
}

struct showing {
    book_visit *visit;
    void *context;
};

static bool show(void *context, const struct ledger_record *record, struct error *error) {
    const struct showing *showing = context;
    if (showing->visit == NULL)
        return true;
    json_t *json = json_loadb(record->json, record->length, 0, NULL);
    assert_non_null(json);
    assert_int_equal(json_integer_value(json_object_get(json, "seq")), record->sequence);
    bool is_good = showing->visit(showing->context, json, error);
    json_decref(json);
    return is_good;
}

struct ledger *book_try_open(const char *folder, const char *host, uint32_t segment_bytes, bool may_begin,
                             book_visit *visit, void *context, struct error *error) {
    struct showing showing = {visit, context};
    const struct ledger_options options = {.directory = folder,
                                           .host = host,
                                           .segment_bytes = segment_bytes,
                                           .may_begin = may_begin,
                                           .visit = show,
                                           .context = &showing};
    return ledger_open(&options, error);
}

struct ledger *book_open(const struct book *book, uint32_t segment_bytes) {
    struct error error = {0};
    struct ledger *ledger = book_try_open(book->folder, HOST, segment_bytes, true, NULL, NULL, &error);
    if (ledger == NULL)
        fail_msg("opening: %s", error.message);
    return ledger;
}

void book_append(struct ledger *ledger, int number) {
    struct error error = {0};
    uint64_t sequence = 0, expected = ledger_last_sequence(ledger) + 1;
    json_t *fields = json_pack("{s:i, s:s}", "n", number, "attempt", "a-1_x");
    if (!ledger_append(ledger, "intent", fields, &sequence, NULL, &error))
        fail_msg("appending: %s", error.message);
    json_decref(fields);
    assert_int_equal(sequence, expected);
}

void book_sync(struct ledger *ledger) {
    struct error error = {0};
    if (!ledger_sync(ledger, &error))
        fail_msg("syncing: %s", error.message);
}

void book_rotate(struct ledger *ledger) {
    struct error error = {0};
    json_t *state = json_pack("{s:b}", "allowed", 1);
    if (!ledger_rotate_if_full(ledger, state, &error))
        fail_msg("rotating: %s", error.message);
    json_decref(state);
}

json_t *book_read(struct book *book, struct ledger *ledger, uint64_t from, uint32_t max, size_t max_bytes) {
    struct error error = {0};
    const char *text = ledger_read(ledger, book->arena, from, max, max_bytes, &error);
    if (text == NULL)
        fail_msg("reading: %s", error.message);
    json_t *records = arena_own_json(book->arena, json_loads(text, 0, NULL));
    assert_true(json_is_array(records));
    return records;
}

bool book_verify(const char *folder, struct ledger_walk *walk, struct error *error) {
    char **segments;
    int count = ledger_list_segments(folder, &segments, error);
    assert_true(count >= 0);
    bool is_good = ledger_walk(segments, 0, count, walk, NULL, NULL, error);
    ledger_free_segments(segments, count);
    return is_good;
}

void book_assert_verifies(const char *folder, uint64_t records, uint64_t segments) {
    struct ledger_walk walk;
    struct error error = {0};
    if (!book_verify(folder, &walk, &error))
        fail_msg("verifying: %s", error.message);
    assert_int_equal(walk.records, records);
    assert_int_equal(walk.segments, segments);
    assert_int_equal(walk.torn_bytes, 0);
}

/* The path of the segment at `at`; -1: the last. */
const char *book_segment_path(struct book *book, int at) {
    char **segments;
    struct error error = {0};
    int count = ledger_list_segments(book->folder, &segments, &error);
    assert_true(count > 0 && at < count);
    const char *path = arena_strdup(book->arena, segments[at < 0 ? count - 1 : at]);
    ledger_free_segments(segments, count);
    return path;
}

off_t book_size_of(const char *path) {
    struct stat status;
    assert_int_equal(stat(path, &status), 0);
    return status.st_size;
}

size_t book_count_lines(struct bytes text) {
    size_t lines = 0;
    for (size_t i = 0; i < text.length; i++)
        lines += text.data[i] == '\n';
    return lines;
}
