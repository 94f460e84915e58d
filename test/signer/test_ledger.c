/* Unit tests of writing the ledger: what is appended comes back, what a crash tore is cut off, and a record
 * counts only after its sync. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kit.h"
#include "ledger_book.h"
#include "originca/log.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static uint64_t sequence_of(const json_t *records, size_t at) {
    return (uint64_t)json_integer_value(json_object_get(json_array_get(records, at), "seq"));
}

static const char *type_of(const json_t *records, size_t at) {
    return json_string_value(json_object_get(json_array_get(records, at), "type"));
}

/* --- writing and reading --- */

static void a_ledger_begins_only_where_it_may(void **state) {
    struct book *book = *state;
    struct error error = {0};
    assert_null(book_try_open(book->folder, HOST, LARGE, false, NULL, NULL, &error));
    assert_int_equal(error.code, ERROR_INVALID);
    assert_non_null(strstr(error.message, "ca init"));
    struct ledger *ledger = book_open(book, LARGE);
    json_t *records = book_read(book, ledger, 0, 10, LARGE);
    assert_int_equal(json_array_size(records), 1);
    assert_string_equal(type_of(records, 0), "genesis");
    assert_int_equal(sequence_of(records, 0), 1);
    assert_int_equal(strlen(ledger_id(ledger)), 32);
    assert_string_equal(json_string_value(json_object_get(json_array_get(records, 0), "ledger")),
                        ledger_id(ledger));
    ledger_close(ledger);
    ledger = book_try_open(book->folder, HOST, LARGE, false, NULL, NULL, &error);
    assert_non_null(ledger);
    ledger_close(ledger);
    struct stat status;
    assert_int_equal(stat(book_segment_path(book, 0), &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
}

static void a_record_is_read_only_after_its_sync(void **state) {
    struct book *book = *state;
    struct ledger *ledger = book_open(book, LARGE);
    book_append(ledger, 7);
    assert_int_equal(json_array_size(book_read(book, ledger, 2, 10, LARGE)), 0);
    book_sync(ledger);
    json_t *records = book_read(book, ledger, 2, 10, LARGE);
    assert_int_equal(json_array_size(records), 1);
    assert_int_equal(json_integer_value(json_object_get(json_array_get(records, 0), "n")), 7);
    ledger_close(ledger);
    book_assert_verifies(book->folder, 2, 1);
}

static void reading_begins_and_ends_where_it_was_asked(void **state) {
    struct book *book = *state;
    struct ledger *ledger = book_open(book, 4000);
    for (int i = 0; i < 150; i++) {
        book_append(ledger, i);
        book_sync(ledger);
        book_rotate(ledger);
    }
    uint64_t last = ledger_last_sequence(ledger);
    for (int round = 0; round < 2; round++) {
        for (uint64_t from = 0; from <= last + 2; from++) {
            json_t *records = book_read(book, ledger, from, 1000, LARGE);
            uint64_t first = from == 0 ? 1 : from, expected = first > last ? 0 : last - first + 1;
            assert_int_equal(json_array_size(records), expected);
            for (size_t i = 0; i < expected; i++)
                assert_int_equal(sequence_of(records, i), first + i);
            assert_int_equal(json_array_size(book_read(book, ledger, from, 3, LARGE)),
                             expected < 3 ? expected : 3);
        }
        /* too few bytes for two records: one comes nevertheless, so a reader gets on */
        assert_int_equal(json_array_size(book_read(book, ledger, 5, 10, 20)), 1);
        assert_int_equal(json_array_size(book_read(book, ledger, 5, 0, LARGE)), 0);
        ledger_close(ledger);
        ledger = book_open(book, 4000);
    }
    ledger_close(ledger);
}

struct visited {
    size_t count;
    uint64_t last;
    uint64_t refuse_at;
};

static bool note_visit(void *context, const json_t *record, struct error *error) {
    struct visited *visited = context;
    visited->count++;
    visited->last = (uint64_t)json_integer_value(json_object_get(record, "seq"));
    return visited->last != visited->refuse_at || error_set(error, ERROR_INTERNAL, "not this one");
}

static void opening_again_visits_the_last_segment_and_goes_on(void **state) {
    struct book *book = *state;
    struct error error = {0};
    struct visited visited = {0};
    struct ledger *ledger = book_open(book, 1);
    book_append(ledger, 1);
    book_sync(ledger);
    book_rotate(ledger); /* genesis, 1 | segment */
    book_append(ledger, 2);
    book_sync(ledger);
    const char *id = arena_strdup(book->arena, ledger_id(ledger));
    int64_t time_ms = ledger_last_time_ms(ledger);
    ledger_close(ledger);
    ledger = book_try_open(book->folder, HOST, LARGE, false, note_visit, &visited, &error);
    assert_non_null(ledger);
    assert_int_equal(visited.count, 2);
    assert_int_equal(visited.last, 4);
    assert_int_equal(ledger_last_sequence(ledger), 4);
    assert_string_equal(ledger_id(ledger), id);
    assert_int_equal(ledger_last_time_ms(ledger), time_ms);
    book_append(ledger, 3);
    book_sync(ledger);
    ledger_close(ledger);
    book_assert_verifies(book->folder, 5, 2);
    visited.refuse_at = 4;
    assert_null(book_try_open(book->folder, HOST, LARGE, false, note_visit, &visited, &error));
    assert_non_null(strstr(error.message, "line 2: not this one"));
}

/* What would be longer than any line that is read back must not be written: the next start would take it for
 * a torn one, or stumble over it for ever. */
static void a_record_too_long_to_be_read_back_is_not_written(void **state) {
    struct book *book = *state;
    struct ledger *ledger = book_open(book, LARGE);
    struct error error = {0};
    size_t length = 5u * 1024 * 1024;
    char *long_text = arena_alloc(book->arena, length + 1);
    memset(long_text, 'x', length);
    json_t *fields = arena_own_json(book->arena, json_pack("{s:s}", "by", long_text));
    bool is_written = ledger_append(ledger, "signing", fields, NULL, NULL, &error);
    book_append(ledger, 2);
    book_sync(ledger);
    ledger_close(ledger);
    assert_false(is_written);
    assert_int_equal(error.code, ERROR_INVALID);
    book_assert_verifies(book->folder, 2, 1);
}

/* --- crashes --- */

/* Opens the ledger with its last segment cut to `length` bytes of `whole`; the records that are left. */
static size_t reopen_cut(struct book *book, const char *path, struct bytes whole, size_t length) {
    struct visited visited = {0};
    struct error error = {0};
    kit_write_file(path, whole.data, length);
    struct ledger *ledger = book_try_open(book->folder, HOST, LARGE, false, note_visit, &visited, &error);
    if (ledger == NULL)
        fail_msg("cut to %zu bytes of %zu: %s", length, whole.length, error.message);
    book_append(ledger, 99);
    book_sync(ledger);
    ledger_close(ledger);
    return visited.count;
}

static void a_tail_torn_at_any_byte_is_cut_off(void **state) {
    struct book *book = *state;
    struct ledger *ledger = book_open(book, LARGE);
    const char *path = book_segment_path(book, -1);
    size_t genesis = (size_t)book_size_of(path);
    for (int i = 0; i < 3; i++)
        book_append(ledger, i); /* one batch: one write that a crash can cut anywhere */
    book_sync(ledger);
    ledger_close(ledger);
    struct bytes whole = kit_read_file(book->arena, path);
    for (size_t length = genesis; length <= whole.length; length++) {
        size_t lines = book_count_lines((struct bytes){whole.data, length});
        assert_int_equal(reopen_cut(book, path, whole, length), lines);
        struct bytes now = kit_read_file(book->arena, path);
        /* what was whole stands as it stood, then the new record, nothing of the torn one */
        assert_int_equal(book_count_lines(now), lines + 1);
        size_t kept = length;
        while (whole.data[kept - 1] != '\n')
            kept--;
        assert_memory_equal(now.data, whole.data, kept);
        book_assert_verifies(book->folder, lines + 1, 1);
    }
}

/* Blocks that were given to the file and never written read as zeros. */
static void a_tail_of_zeros_is_cut_off(void **state) {
    struct book *book = *state;
    struct ledger *ledger = book_open(book, LARGE);
    book_append(ledger, 1);
    book_sync(ledger);
    ledger_close(ledger);
    const char *path = book_segment_path(book, -1);
    struct bytes whole = kit_read_file(book->arena, path);
    assert_int_equal(truncate(path, (off_t)whole.length + 5000), 0);
    struct ledger_walk walk;
    struct error error = {0};
    assert_true(book_verify(book->folder, &walk, &error));
    assert_int_equal(walk.torn_bytes, 5000);
    assert_int_equal(walk.last_size, whole.length);
    ledger_close(book_open(book, LARGE));
    assert_int_equal(book_size_of(path), whole.length);
    book_assert_verifies(book->folder, 2, 1);
}

/* A ledger without a whole genesis is not begun anew by itself: it may be one that was lost. */
static void a_torn_genesis_is_refused_and_left_as_it_is(void **state) {
    struct book *book = *state;
    ledger_close(book_open(book, LARGE));
    const char *path = book_segment_path(book, -1);
    struct bytes whole = kit_read_file(book->arena, path);
    for (size_t length = 0; length < whole.length; length++) {
        struct error error = {0};
        kit_write_file(path, whole.data, length);
        assert_null(book_try_open(book->folder, HOST, LARGE, true, NULL, NULL, &error));
        assert_int_equal(error.code, ERROR_INVALID);
        assert_int_equal(book_size_of(path), length);
    }
}

/* A crash in the middle of a rotation: nothing of the new segment was acknowledged, so it is begun again. */
static void a_segment_header_torn_at_any_byte_is_begun_again(void **state) {
    struct book *book = *state;
    struct ledger *ledger = book_open(book, 1);
    book_append(ledger, 1);
    book_sync(ledger);
    book_rotate(ledger);
    ledger_close(ledger);
    const char *first = book_segment_path(book, 0), *second = book_segment_path(book, 1);
    struct bytes before = kit_read_file(book->arena, first), header = kit_read_file(book->arena, second);
    for (size_t length = 0; length < header.length; length++) {
        struct visited visited = {0};
        struct error error = {0};
        kit_write_file(first, before.data, before.length);
        kit_write_file(second, header.data, length);
        ledger = book_try_open(book->folder, HOST, 1, false, note_visit, &visited, &error);
        if (ledger == NULL)
            fail_msg("a header of %zu bytes of %zu: %s", length, header.length, error.message);
        assert_int_equal(visited.last, 2);
        book_append(ledger, 2);
        book_sync(ledger);
        book_rotate(ledger);
        ledger_close(ledger);
        book_assert_verifies(book->folder, 4, 2);
        unlink(book_segment_path(book, 1));
    }
}

/* --- rotation, lock, host --- */

static void a_full_segment_is_followed_by_a_chained_one(void **state) {
    struct book *book = *state;
    struct ledger *ledger = book_open(book, 2000);
    uint64_t segments = 1;
    for (int i = 0; i < 100; i++) {
        const char *path = book_segment_path(book, -1);
        book_append(ledger, i);
        book_sync(ledger);
        bool is_full = book_size_of(path) >= 2000;
        uint64_t before = ledger_last_sequence(ledger);
        book_rotate(ledger);
        segments += is_full;
        assert_int_equal(ledger_last_sequence(ledger), before + is_full);
        assert_int_equal(strcmp(path, book_segment_path(book, -1)) != 0, is_full);
    }
    assert_true(segments > 3);
    /* the file's name is the sequence of its first record, so that files sort */
    json_t *records = book_read(book, ledger, 1, 1000, LARGE);
    for (size_t i = 0; i < json_array_size(records); i++) {
        const json_t *record = json_array_get(records, i);
        if (strcmp(type_of(records, i), "segment") != 0)
            continue;
        const char *path = arena_printf(book->arena, "%s/ledger-%020llu.jsonl", book->folder,
                                        (unsigned long long)sequence_of(records, i));
        assert_int_equal(access(path, F_OK), 0);
        assert_true(json_is_true(json_object_get(record, "allowed")));
        assert_string_equal(json_string_value(json_object_get(record, "ledger")), ledger_id(ledger));
        assert_string_equal(json_string_value(json_object_get(record, "host")), HOST);
    }
    assert_int_equal(json_array_size(records), 101 + segments - 1);
    ledger_close(ledger);
    book_assert_verifies(book->folder, 101 + segments - 1, segments);
}

static void a_walk_may_begin_at_any_segment(void **state) {
    struct book *book = *state;
    struct ledger *ledger = book_open(book, 1);
    char **segments;
    struct error error = {0};
    for (int i = 0; i < 5; i++) {
        book_append(ledger, i);
        book_sync(ledger);
        book_rotate(ledger);
    }
    uint64_t last = ledger_last_sequence(ledger);
    ledger_close(ledger);
    int count = ledger_list_segments(book->folder, &segments, &error);
    assert_int_equal(count, 6);
    for (int from = 0; from < count; from++) {
        struct ledger_walk walk;
        assert_true(ledger_walk(segments, from, count, &walk, NULL, NULL, &error));
        assert_int_equal(walk.last_sequence, last);
        assert_int_equal(walk.segments, count - from);
    }
    ledger_free_segments(segments, count);
}

static void a_second_opener_is_refused_while_the_first_has_it_open(void **state) {
    struct book *book = *state;
    struct ledger *ledger = book_open(book, LARGE);
    struct error error = {0};
    book_append(ledger, 1);
    book_sync(ledger);
    assert_null(book_try_open(book->folder, HOST, LARGE, true, NULL, NULL, &error));
    assert_int_equal(error.code, ERROR_CONFLICT);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(book_try_open(book->folder, HOST, LARGE, true, NULL, NULL, &error) == NULL &&
                      error.code == ERROR_CONFLICT
                  ? 0
                  : 1);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    book_append(ledger, 2); /* the refused ones have broken nothing */
    book_sync(ledger);
    ledger_close(ledger);
    ledger_close(book_open(book, LARGE));
    book_assert_verifies(book->folder, 3, 1);
}

/* The lock goes with its process, however that ends: no file must be removed by hand. */
static void the_lock_of_a_killed_process_is_free(void **state) {
    struct book *book = *state;
    int ready[2];
    char byte;
    ledger_close(book_open(book, LARGE));
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct error error;
        if (book_try_open(book->folder, HOST, LARGE, false, NULL, NULL, &error) == NULL ||
            write(ready[1], "x", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    close(ready[1]);
    bool is_ready = read(ready[0], &byte, 1) == 1;
    close(ready[0]);
    struct error error = {0};
    struct ledger *ledger = book_try_open(book->folder, HOST, LARGE, false, NULL, NULL, &error);
    kill(child, SIGKILL); /* before any assertion can leave it behind */
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_true(is_ready);
    assert_null(ledger);
    ledger_close(book_open(book, LARGE));
}

static void the_ledger_of_another_host_is_refused(void **state) {
    struct book *book = *state;
    struct error error = {0};
    ledger_close(book_open(book, LARGE));
    assert_null(book_try_open(book->folder, "ca2", LARGE, true, NULL, NULL, &error));
    assert_int_equal(error.code, ERROR_INVALID);
    assert_non_null(strstr(error.message, "belongs to host \"ca1\""));
    ledger_close(book_open(book, LARGE)); /* and the lock was given back */
}

/* --- a full disk: the limit on the size of a file stands for it --- */

static void limit_files(rlim_t bytes) {
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes < limit.rlim_max ? bytes : limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* After the disk was full: everything is refused, until a new process has looked at what is there. */
static void assert_refuses_everything(struct ledger *ledger) {
    struct error error = {0};
    for (int i = 0; i < 2; i++) {
        assert_false(ledger_append(ledger, "intent", NULL, NULL, NULL, &error));
        assert_int_equal(error.code, ERROR_UNAVAILABLE);
        assert_false(ledger_sync(ledger, &error));
        assert_int_equal(error.code, ERROR_UNAVAILABLE);
    }
}

static void a_disk_full_at_any_byte_of_a_batch_acknowledges_nothing(void **state) {
    struct book *book = *state;
    struct ledger *ledger = book_open(book, LARGE);
    book_append(ledger, 0);
    book_sync(ledger);
    ledger_close(ledger);
    const char *path = book_segment_path(book, -1);
    struct bytes whole = kit_read_file(book->arena, path);
    signal(SIGXFSZ, SIG_IGN);
    for (size_t room = 0;; room++) {
        struct error error = {0};
        kit_write_file(path, whole.data, whole.length);
        ledger = book_open(book, LARGE);
        for (int i = 1; i <= 3; i++)
            book_append(ledger, i);
        limit_files(whole.length + room);
        bool is_acknowledged = ledger_sync(ledger, &error);
        if (!is_acknowledged) {
            assert_int_equal(error.code, ERROR_UNAVAILABLE);
            assert_refuses_everything(ledger);
        }
        limit_files(RLIM_INFINITY);
        if (!is_acknowledged) /* room again does not bring a broken ledger back */
            assert_refuses_everything(ledger);
        ledger_close(ledger);
        struct bytes now = kit_read_file(book->arena, path);
        /* acknowledged means: all of it is there */
        assert_int_equal(is_acknowledged, book_count_lines(now) == 5);
        assert_memory_equal(now.data, whole.data, whole.length);
        /* a new process goes on behind the last whole line */
        size_t lines = book_count_lines(now);
        assert_int_equal(reopen_cut(book, path, now, now.length), lines);
        book_assert_verifies(book->folder, lines + 1, 1);
        if (is_acknowledged)
            break;
        assert_true(room < 4096);
    }
    signal(SIGXFSZ, SIG_DFL);
}

static void a_disk_full_at_any_byte_of_a_rotation_is_overcome(void **state) {
    struct book *book = *state;
    struct ledger *ledger = book_open(book, LARGE);
    book_append(ledger, 0);
    book_sync(ledger);
    ledger_close(ledger);
    const char *path = book_segment_path(book, 0);
    struct bytes whole = kit_read_file(book->arena, path);
    signal(SIGXFSZ, SIG_IGN);
    bool is_begun = false;
    for (rlim_t room = 0; !is_begun; room++) {
        struct error error = {0};
        kit_write_file(path, whole.data, whole.length);
        ledger = book_open(book, 1);
        limit_files(room);
        is_begun = ledger_rotate_if_full(ledger, NULL, &error);
        if (!is_begun) {
            assert_int_equal(error.code, ERROR_UNAVAILABLE);
            assert_refuses_everything(ledger);
        }
        limit_files(RLIM_INFINITY);
        ledger_close(ledger);
        ledger = book_try_open(book->folder, HOST, LARGE, false, NULL, NULL, &error);
        if (ledger == NULL)
            fail_msg("after a disk that was full at byte %zu of a new segment: %s", (size_t)room,
                     error.message);
        book_append(ledger, 1);
        book_sync(ledger);
        ledger_close(ledger);
        book_assert_verifies(book->folder, is_begun ? 4 : 3, is_begun ? 2 : 1);
        assert_true(room < 4096);
    }
    signal(SIGXFSZ, SIG_DFL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, book_set_up, book_tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_ledger_begins_only_where_it_may),
        TEST(a_record_is_read_only_after_its_sync),
        TEST(reading_begins_and_ends_where_it_was_asked),
        TEST(opening_again_visits_the_last_segment_and_goes_on),
        TEST(a_record_too_long_to_be_read_back_is_not_written),
        TEST(a_tail_torn_at_any_byte_is_cut_off),
        TEST(a_tail_of_zeros_is_cut_off),
        TEST(a_torn_genesis_is_refused_and_left_as_it_is),
        TEST(a_segment_header_torn_at_any_byte_is_begun_again),
        TEST(a_full_segment_is_followed_by_a_chained_one),
        TEST(a_walk_may_begin_at_any_segment),
        TEST(a_second_opener_is_refused_while_the_first_has_it_open),
        TEST(the_lock_of_a_killed_process_is_free),
        TEST(the_ledger_of_another_host_is_refused),
        TEST(a_disk_full_at_any_byte_of_a_batch_acknowledges_nothing),
        TEST(a_disk_full_at_any_byte_of_a_rotation_is_overcome),
    };
    log_set_level(LOG_LEVEL_ERROR); /* each cut tail is a warning, and there are thousands */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
