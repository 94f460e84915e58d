/* Unit tests of what a reader of the ledger finds: every change of it, with its file and line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kit.h"
#include "ledger_book.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Flips each bit of the byte; each time the walk must name this file and this line. */
static size_t count_unseen(struct book *book, int fd, const char *path, size_t at, uint8_t byte,
                           size_t line) {
    const char *expected = arena_printf(book->arena, "%s, line %zu: ", path, line);
    size_t unseen = 0;
    for (unsigned bit = 0; bit < 8; bit++) {
        struct ledger_walk walk;
        struct error error = {0};
        uint8_t flipped = (uint8_t)(byte ^ 1u << bit);
        assert_int_equal(pwrite(fd, &flipped, 1, (off_t)at), 1);
        bool is_seen = !book_verify(book->folder, &walk, &error) &&
                       strncmp(error.message, expected, strlen(expected)) == 0;
        if (!is_seen)
            print_error("byte %zu, bit %u ('%c' to '%c'): expected an error in line %zu, found \"%s\"\n", at,
                        bit, byte, flipped < 32 || flipped > 126 ? '?' : flipped, line, error.message);
        unseen += !is_seen;
    }
    assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
    return unseen;
}

static void a_flipped_bit_anywhere_is_found_with_its_line(void **state) {
    struct book *book = *state;
    struct ledger *ledger = book_open(book, 1);
    size_t unseen = 0;
    book_append(ledger, 1);
    book_append(ledger, 2);
    book_sync(ledger);
    book_rotate(ledger);
    book_append(ledger, 3);
    book_append(ledger, 4);
    book_sync(ledger);
    ledger_close(ledger);
    for (int segment = 0; segment < 2; segment++) {
        const char *path = book_segment_path(book, segment);
        struct bytes whole = kit_read_file(book->arena, path);
        int fd = open(path, O_WRONLY | O_CLOEXEC);
        assert_true(fd >= 0);
        for (size_t at = 0, line = 1; at < whole.length; at++) {
            unseen += count_unseen(book, fd, path, at, whole.data[at], line);
            line += whole.data[at] == '\n';
        }
        close(fd);
    }
    assert_int_equal(unseen, 0);
    book_assert_verifies(book->folder, 6, 2);
}

/* Writes lines of `whole` in the order of `lines` (numbers from 1, 0 ends). */
static void write_lines(const char *path, struct bytes whole, const int *lines) {
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    for (; *lines != 0; lines++) {
        const uint8_t *at = whole.data, *end;
        for (int i = 1; i < *lines; i++)
            at = (const uint8_t *)strchr((const char *)at, '\n') + 1;
        end = (const uint8_t *)strchr((const char *)at, '\n') + 1;
        assert_int_equal(fwrite(at, 1, (size_t)(end - at), file), end - at);
    }
    assert_int_equal(fclose(file), 0);
}

static void lines_that_are_missing_repeated_or_moved_are_found(void **state) {
    static const struct {
        int lines[8];
        int bad_line;
    } cases[] = {{{1, 3, 4}, 2},    {{1, 2, 4}, 3},   {{1, 2, 2, 3, 4}, 3}, {{1, 3, 2, 4}, 2},
                 {{1, 1, 2, 3}, 2}, {{2, 3, 4}, 1},   {{1, 2, 4, 3}, 3},    {{1, 2, 3, 4, 2}, 5},
                 {{4, 3, 2, 1}, 1}, {{1, 2, 3, 1}, 4}};
    struct book *book = *state;
    struct ledger *ledger = book_open(book, LARGE);
    for (int i = 0; i < 3; i++)
        book_append(ledger, i);
    book_sync(ledger);
    ledger_close(ledger);
    const char *path = book_segment_path(book, 0);
    struct bytes whole = kit_read_file(book->arena, path);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct ledger_walk walk;
        struct error error = {0};
        write_lines(path, whole, cases[i].lines);
        assert_false(book_verify(book->folder, &walk, &error));
        assert_non_null(strstr(error.message, arena_printf(book->arena, "line %d: ", cases[i].bad_line)));
        assert_null(book_try_open(book->folder, HOST, LARGE, false, NULL, NULL, &error));
    }
}

/* Only the very end of the ledger can be what a crash tore. */
static void a_torn_segment_with_another_behind_it_is_found(void **state) {
    struct book *book = *state;
    struct ledger *ledger = book_open(book, 1);
    struct ledger_walk walk;
    struct error error = {0};
    book_append(ledger, 1);
    book_sync(ledger);
    book_rotate(ledger);
    ledger_close(ledger);
    const char *path = book_segment_path(book, 0);
    assert_int_equal(truncate(path, book_size_of(path) - 5), 0);
    assert_false(book_verify(book->folder, &walk, &error));
    assert_string_equal(error.message, arena_printf(book->arena, "%s, line 2: a line is not finished", path));
}

/* A crash leaves no newline behind: an over-long line that ends in one is no torn line, wherever it stands.
 */
static void an_over_long_line_is_found_and_not_cut_off(void **state) {
    struct book *book = *state;
    size_t length = 5u * 1024 * 1024;
    char *line = arena_alloc(book->arena, length);
    memset(line, 'x', length);
    line[length - 1] = '\n';
    ledger_close(book_open(book, LARGE));
    const char *path = book_segment_path(book, 0);
    struct bytes whole = kit_read_file(book->arena, path);
    for (int is_in_the_middle = 0; is_in_the_middle < 2; is_in_the_middle++) {
        struct ledger_walk walk;
        struct error error = {0};
        FILE *file = fopen(path, "we");
        assert_non_null(file);
        fwrite(whole.data, 1, whole.length, file);
        fwrite(line, 1, length, file);
        if (is_in_the_middle)
            fwrite(whole.data, 1, whole.length, file);
        assert_int_equal(fclose(file), 0);
        off_t size = book_size_of(path);
        assert_false(book_verify(book->folder, &walk, &error));
        assert_non_null(strstr(error.message, arena_printf(book->arena, "%s, line 2: ", path)));
        assert_null(book_try_open(book->folder, HOST, LARGE, false, NULL, NULL, &error));
        assert_int_equal(book_size_of(path), size);
    }
}

static void a_missing_segment_is_found_at_the_one_behind_it(void **state) {
    struct book *book = *state;
    struct ledger *ledger = book_open(book, 1);
    for (int i = 0; i < 2; i++) {
        book_append(ledger, i);
        book_sync(ledger);
        book_rotate(ledger);
    }
    ledger_close(ledger);
    book_assert_verifies(book->folder, 5, 3);
    const char *third = book_segment_path(book, 2);
    struct ledger_walk walk;
    struct error error = {0};
    unlink(book_segment_path(book, 1));
    assert_false(book_verify(book->folder, &walk, &error));
    assert_non_null(strstr(error.message, arena_printf(book->arena, "%s, line 1: ", third)));
}

/* A line that continues the chain, with any sequence and type: somebody who can write the file can do that.
 */
static void forge_line(struct book *book, const char *path, const char *json) {
    struct ledger_walk walk;
    struct error error = {0};
    uint8_t hash[LEDGER_HASH_BYTES];
    char hex[2 * LEDGER_HASH_BYTES + 1];
    struct text chained;
    assert_true(book_verify(book->folder, &walk, &error));
    text_init(&chained, book->arena);
    text_append_bytes(&chained, walk.last_hash, LEDGER_HASH_BYTES);
    text_append(&chained, json);
    sha256(chained.data, chained.length, hash);
    hex_encode(hash, sizeof hash, hex);
    FILE *file = fopen(path, "ae");
    assert_non_null(file);
    fprintf(file, "%s %s\n", hex, json);
    assert_int_equal(fclose(file), 0);
}

static void a_chained_line_that_makes_no_sense_is_found(void **state) {
    static const struct {
        const char *json, *complaint;
    } cases[] = {
        {"{\"seq\":3,\"time\":\"2026-11-21T00:00:00.000Z\",\"type\":\"intent\"}",
         "record 3 follows record 1"},
        {"{\"seq\":1,\"time\":\"2026-11-21T00:00:00.000Z\",\"type\":\"intent\"}",
         "record 1 follows record 1"},
        {"{\"seq\":1,\"time\":\"2026-11-21T00:00:00.000Z\",\"type\":\"loss-confirmed\"}", "record 1 follows"},
        {"{\"seq\":2,\"time\":\"2026-11-21T00:00:00.000Z\"}", "lacks seq, time or type"},
        {"{\"seq\":2,\"type\":\"intent\"}", "lacks seq, time or type"},
        {"{\"seq\":\"2\",\"time\":\"2026-11-21T00:00:00.000Z\",\"type\":\"intent\"}", "lacks seq"},
        {"{\"seq\":2,\"seq\":2,\"time\":\"2026-11-21T00:00:00.000Z\",\"type\":\"intent\"}", "lacks seq"},
        {"[2]", "lacks seq"},
        {"no JSON", "lacks seq"},
        {"", "not of the form"},
    };
    struct book *book = *state;
    ledger_close(book_open(book, LARGE));
    const char *path = book_segment_path(book, 0);
    struct bytes whole = kit_read_file(book->arena, path);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct ledger_walk walk;
        struct error error = {0};
        kit_write_file(path, whole.data, whole.length);
        forge_line(book, path, cases[i].json);
        assert_false(book_verify(book->folder, &walk, &error));
        if (strstr(error.message, "line 2: ") == NULL || strstr(error.message, cases[i].complaint) == NULL)
            fail_msg("%s: %s", cases[i].json, error.message);
    }
}

static void an_accepted_loss_may_skip_sequences(void **state) {
    struct book *book = *state;
    struct ledger *ledger = book_open(book, LARGE);
    struct error error = {0};
    uint64_t sequence = 0;
    ledger_skip_to(ledger, 500);
    assert_true(ledger_append(ledger, "loss-confirmed", NULL, &sequence, NULL, &error));
    assert_int_equal(sequence, 500);
    book_append(ledger, 1);
    assert_int_equal(ledger_last_sequence(ledger), 501);
    book_sync(ledger);
    ledger_close(ledger);
    book_assert_verifies(book->folder, 3, 1);
    ledger = book_open(book, LARGE);
    ledger_skip_to(ledger, 10); /* never back */
    book_append(ledger, 2);
    assert_int_equal(ledger_last_sequence(ledger), 502);
    ledger_close(ledger);
}

/* Runs `originca-server ledger verify`; what it says on either stream is in `said`. */
static int run_verify(struct book *book, const char **said) {
    const char *log = arena_printf(book->arena, "%s/said", book->folder);
    struct config config = {.ledger_directory = (char *)(uintptr_t)book->folder};
    char *arguments[] = {(char *)(uintptr_t) "verify", NULL};
    int out = dup(STDOUT_FILENO), err = dup(STDERR_FILENO);
    int fd = open(log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(out >= 0 && err >= 0 && fd >= 0);
    fflush(NULL);
    dup2(fd, STDOUT_FILENO);
    dup2(fd, STDERR_FILENO);
    int outcome = signer_ledger_command(&config, 1, arguments);
    fflush(NULL);
    dup2(out, STDOUT_FILENO);
    dup2(err, STDERR_FILENO);
    close(out);
    close(err);
    close(fd);
    *said = (const char *)kit_read_file(book->arena, log).data;
    return outcome;
}

static void the_verify_command_says_what_is_wrong_and_fails(void **state) {
    struct book *book = *state;
    struct ledger *ledger = book_open(book, LARGE);
    const char *said;
    book_append(ledger, 1);
    book_sync(ledger);
    ledger_close(ledger);
    assert_int_equal(run_verify(book, &said), 0);
    assert_non_null(strstr(said, "the chain holds"));
    assert_non_null(strstr(said, "2 records in 1 files, the last is 2"));
    assert_non_null(strstr(said, "1 without an outcome"));

    const char *path = book_segment_path(book, 0);
    struct bytes whole = kit_read_file(book->arena, path);
    char *changed = arena_strndup(book->arena, (const char *)whole.data, whole.length);
    *strstr(changed, "a-1_x") = 'b';
    kit_write_file(path, changed, whole.length);
    assert_int_equal(run_verify(book, &said), 1);
    assert_non_null(strstr(said, arena_printf(book->arena, "%s, line 2: ", path)));
    assert_null(strstr(said, "the chain holds"));

    kit_write_file(path, whole.data, whole.length - 3);
    assert_int_equal(run_verify(book, &said), 0);
    assert_non_null(strstr(said, "bytes at the end are an unfinished record"));
    unlink(path);
    assert_int_equal(run_verify(book, &said), 1);
    assert_non_null(strstr(said, "there is no ledger"));
}

static void a_line_has_one_spelling(void **state) {
    struct book *book = *state;
    uint8_t previous[LEDGER_HASH_BYTES] = {0}, hash[LEDGER_HASH_BYTES];
    struct error error = {0};
    ledger_close(book_open(book, LARGE));
    struct bytes whole = kit_read_file(book->arena, book_segment_path(book, 0));
    char *line = arena_strndup(book->arena, (const char *)whole.data, whole.length - 1);
    size_t length = whole.length - 1;
    assert_non_null(ledger_parse_line(book->arena, line, length, previous, hash, &error));
    for (size_t i = 0; i < 2 * LEDGER_HASH_BYTES; i++) {
        char was = line[i];
        if (was < 'a')
            continue;
        line[i] = (char)(was - 32);
        if (ledger_parse_line(book->arena, line, length, previous, hash, &error) != NULL)
            fail_msg("the digit %zu of the hash may be written as %c or as %c", i, was, line[i]);
        line[i] = was;
    }
    for (size_t cut = 0; cut < length; cut++)
        assert_null(ledger_parse_line(book->arena, line, cut, previous, hash, &error));
    previous[31] = 1;
    assert_null(ledger_parse_line(book->arena, line, length, previous, hash, &error));
    assert_non_null(strstr(error.message, "does not continue the chain"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, book_set_up, book_tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_flipped_bit_anywhere_is_found_with_its_line),
        TEST(lines_that_are_missing_repeated_or_moved_are_found),
        TEST(a_torn_segment_with_another_behind_it_is_found),
        TEST(an_over_long_line_is_found_and_not_cut_off),
        TEST(a_missing_segment_is_found_at_the_one_behind_it),
        TEST(a_chained_line_that_makes_no_sense_is_found),
        TEST(an_accepted_loss_may_skip_sequences),
        TEST(the_verify_command_says_what_is_wrong_and_fails),
        TEST(a_line_has_one_spelling),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
