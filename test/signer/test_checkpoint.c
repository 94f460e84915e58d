/* Unit tests of the checkpoint: it gives back what was put in, and one that is damaged, foreign or does not
 * fit the ledger is refused, never believed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../server/signer/checkpoint.h"
#include "../../server/signer/state_file.h"
#include "kit.h"
#include "ledger_book.h"
#include "originca/log.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const uint8_t key[CHECKPOINT_KEY_BYTES] = {1, 2, 3};

static void make_serial(int number, uint8_t serial[SERIAL_BYTES]) {
    memset(serial, 7, SERIAL_BYTES);
    memcpy(serial, &number, sizeof number);
}

static struct checkpoint_memories new_memories(void) {
    const struct checkpoint_memories memories = {attempts_new(100), revoked_new(), zones_new(),
                                                 crl_lists_new(100), issuer_names_new()};
    assert_non_null(memories.attempts);
    assert_non_null(memories.revoked);
    assert_non_null(memories.names);
    return memories;
}

static void free_memories(const struct checkpoint_memories *memories) {
    attempts_free(memories->attempts);
    revoked_free(memories->revoked);
    zones_free(memories->zones);
    crl_lists_free(memories->lists);
    issuer_names_free(memories->names);
}

static void fill(const struct checkpoint_memories *memories, int attempts, int revoked) {
    const struct issuer_identity identity = {.spki = {4, 5}, .subject = {6, 7}};
    struct error error;
    assert_true(issuer_names_note_issued(memories->names, "of-before", (uint64_t)1 << 40 | 3));
    assert_true(issuer_names_bind(memories->names, "ecc", &identity, &error));
    for (int i = 0; i < attempts; i++) {
        char name[32];
        snprintf(name, sizeof name, "attempt-%d", i);
        struct attempt *attempt = attempts_add(memories->attempts, name);
        attempt->outcome = i % 2 == 0 ? SIGNER_ATTEMPT_ISSUED : SIGNER_ATTEMPT_VOID;
        attempt->not_before = 1000 + i;
        attempt->not_after = 2000 + i;
        attempt->intent_sequence = (uint64_t)i;
        attempt->issued_sequence = (uint64_t)i + 1;
        make_serial(i, attempt->serial);
    }
    for (int i = 0; i < revoked; i++) {
        uint8_t serial[SERIAL_BYTES];
        make_serial(i, serial);
        char url[64];
        snprintf(url, sizeof url, "http://crl.test/%d", i % 40);
        const uint32_t list = crl_lists_add(memories->lists, "ecc", i % 41 == 40 ? "" : url);
        crl_lists_note_number(memories->lists, list, (uint64_t)i * 1000);
        const struct revoked_serial entry = {1700000000 + i,
                                             (uint64_t)i + 5,
                                             (enum revocation_rank)(i % 3),
                                             (uint32_t)i % 11,
                                             i % 7 == 0,
                                             i % 5 == 0 ? 0 : 1800000000 + i,
                                             list};
        assert_true(revoked_put(memories->revoked, serial, &entry));
    }
}

/* Writes a checkpoint of the ledger as it stands. */
static void save(const struct book *book, const struct ledger *ledger,
                 const struct checkpoint_memories *memories) {
    struct ledger_position position;
    struct error error;
    size_t length;
    ledger_get_position(ledger, &position);
    uint8_t *bytes = checkpoint_make(&position, true, memories, &length);
    assert_non_null(bytes);
    assert_true(checkpoint_save(book->folder, key, bytes, length, &error));
    free(bytes);
}

/* As the signer begins: true where the ledger could be opened behind the checkpoint. */
static bool begins(const struct book *book, const uint8_t *with_key, const char *host, size_t *visited,
                   struct checkpoint_memories *memories) {
    struct checkpoint checkpoint;
    struct error error = {0};
    size_t length = 0;
    *memories = new_memories();
    *visited = 0;
    uint8_t *bytes = checkpoint_read(book->folder, with_key, &length, &error);
    bool is_good = bytes != NULL && checkpoint_parse(bytes, length, &checkpoint, &error) &&
                   checkpoint_apply(&checkpoint, memories, &error);
    if (is_good) {
        const struct ledger_options options = {
            .directory = book->folder, .host = host, .segment_bytes = LARGE, .from = &checkpoint.position};
        struct ledger *ledger = ledger_open(&options, &error);
        is_good = ledger != NULL;
        if (is_good)
            *visited = ledger_last_sequence(ledger) - checkpoint.position.sequence;
        ledger_close(ledger);
    }
    free(bytes);
    return is_good;
}

static bool does_begin(const struct book *book, const uint8_t *with_key, const char *host) {
    struct checkpoint_memories memories;
    size_t visited;
    bool is_good = begins(book, with_key, host, &visited, &memories);
    free_memories(&memories);
    return is_good;
}

static void what_was_put_in_comes_back(void **state) {
    struct book *book = *state;
    struct checkpoint_memories before = new_memories(), after;
    size_t visited;
    struct ledger *ledger = book_open(book, LARGE);
    book_append(ledger, 1);
    book_sync(ledger);
    fill(&before, 150, 3000); /* more attempts than are remembered */
    save(book, ledger, &before);
    for (int i = 0; i < 3; i++)
        book_append(ledger, i);
    book_sync(ledger);
    ledger_close(ledger);
    assert_true(begins(book, key, HOST, &visited, &after));
    assert_int_equal(visited, 3);
    assert_null(attempts_find(after.attempts, "attempt-49"));
    for (int i = 50; i < 150; i++) {
        char name[32];
        snprintf(name, sizeof name, "attempt-%d", i);
        assert_memory_equal(attempts_find(before.attempts, name), attempts_find(after.attempts, name),
                            sizeof(struct attempt));
    }
    assert_int_equal(revoked_count(after.revoked), 3000);
    for (int i = 0; i < 3000; i++) {
        uint8_t serial[SERIAL_BYTES];
        struct revoked_serial found;
        make_serial(i, serial);
        assert_true(revoked_find(after.revoked, serial, &found));
        assert_int_equal(found.revoked_at, 1700000000 + i);
        assert_int_equal(found.sequence, i + 5);
        assert_int_equal(found.rank, i % 3);
        assert_int_equal(found.is_void, i % 7 == 0);
        assert_int_equal(found.not_after, i % 5 == 0 ? 0 : 1800000000 + i);
        struct revoked_serial put;
        struct crl_list list, same;
        assert_true(revoked_find(before.revoked, serial, &put) && put.list == found.list);
        assert_true(crl_lists_get(before.lists, put.list, &list) &&
                    crl_lists_get(after.lists, put.list, &same));
        assert_string_equal(list.issuer, same.issuer);
        assert_string_equal(list.url, same.url);
        assert_int_equal(list.complete, same.complete);
        assert_int_equal(list.last_number, same.last_number);
    }
    assert_int_equal(crl_lists_count(after.lists), 41);
    const struct issuer_name *name = issuer_names_find(after.names, "ecc");
    assert_true(name != NULL && name->is_bound && name->issued == 0);
    assert_memory_equal(&name->identity, &issuer_names_find(before.names, "ecc")->identity,
                        sizeof name->identity);
    name = issuer_names_find(after.names, "of-before");
    assert_true(name != NULL && !name->is_bound && name->issued == ((uint64_t)1 << 40 | 3));
    free_memories(&before);
    free_memories(&after);
}

static void a_checkpoint_changed_or_cut_at_any_byte_is_refused(void **state) {
    struct book *book = *state;
    struct checkpoint_memories memories = new_memories();
    struct ledger *ledger = book_open(book, LARGE);
    const char *path = arena_printf(book->arena, "%s/checkpoint", book->folder);
    fill(&memories, 3, 3);
    save(book, ledger, &memories);
    free_memories(&memories);
    ledger_close(ledger);
    struct bytes whole = kit_read_file(book->arena, path);
    uint8_t *changed = arena_copy(book->arena, whole.data, whole.length);
    for (size_t at = 0; at < whole.length; at++) {
        changed[at] ^= 1;
        kit_write_file(path, changed, whole.length);
        assert_false(does_begin(book, key, HOST));
        changed[at] ^= 1;
        kit_write_file(path, changed, at);
        assert_false(does_begin(book, key, HOST));
    }
    kit_write_file(path, whole.data, whole.length);
    assert_true(does_begin(book, key, HOST));
}

static void a_checkpoint_of_another_signer_host_or_ledger_is_refused(void **state) {
    struct book *book = *state;
    struct checkpoint_memories memories = new_memories();
    static const uint8_t other_key[CHECKPOINT_KEY_BYTES] = {9};
    struct ledger *ledger = book_open(book, LARGE);
    save(book, ledger, &memories);
    ledger_close(ledger);
    assert_true(does_begin(book, key, HOST));
    assert_false(does_begin(book, other_key, HOST));
    assert_false(does_begin(book, key, "ca2"));
    unlink(book_segment_path(book, 0));
    ledger_close(book_open(book, LARGE)); /* another ledger of the same host: its genesis has another id */
    assert_false(does_begin(book, key, HOST));
    free_memories(&memories);
}

static void a_checkpoint_that_is_ahead_of_its_ledger_is_refused(void **state) {
    struct book *book = *state;
    struct checkpoint_memories memories = new_memories();
    struct ledger *ledger = book_open(book, LARGE);
    for (int i = 0; i < 3; i++)
        book_append(ledger, i);
    book_sync(ledger);
    save(book, ledger, &memories);
    ledger_close(ledger);
    const char *path = book_segment_path(book, 0);
    struct bytes whole = kit_read_file(book->arena, path);
    for (size_t length = whole.length - 1; length > whole.length / 2; length--) {
        kit_write_file(path, whole.data, length);
        assert_false(does_begin(book, key, HOST));
    }
    free_memories(&memories);
}

static void a_checkpoint_over_several_segments_begins_in_the_one_it_was_made_in(void **state) {
    struct book *book = *state;
    struct checkpoint_memories memories = new_memories(), after;
    size_t visited;
    struct ledger *ledger = book_open(book, 1);
    for (int i = 0; i < 6; i++) {
        book_append(ledger, i);
        book_sync(ledger);
        book_rotate(ledger);
        if (i == 3)
            save(book, ledger, &memories);
    }
    uint64_t last = ledger_last_sequence(ledger);
    ledger_close(ledger);
    assert_true(begins(book, key, HOST, &visited, &after));
    assert_int_equal(visited, 4);
    assert_int_equal(last, 13);
    free_memories(&memories);
    free_memories(&after);
}

/* Killed at any moment of the writing, what is found is one of the two whole ones. */
static void a_kill_while_it_is_written_leaves_a_whole_one(void **state) {
    struct book *book = *state;
    struct checkpoint_memories memories = new_memories();
    struct ledger *ledger = book_open(book, LARGE);
    fill(&memories, 100, 20000);
    save(book, ledger, &memories);
    for (int round = 0; round < 20; round++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0)
            for (;;)
                save(book, ledger, &memories);
        usleep((useconds_t)(1000 + round * 700));
        kill(child, SIGKILL);
        assert_int_equal(waitpid(child, NULL, 0), child);
        struct error error = {0};
        size_t length;
        uint8_t *bytes = checkpoint_read(book->folder, key, &length, &error);
        if (bytes == NULL)
            fail_msg("round %d: %s", round, error.message);
        free(bytes);
    }
    ledger_close(ledger);
    free_memories(&memories);
}

static void only_what_says_more_of_the_key_replaces_a_revocation(void **state) {
    (void)state;
    static const struct {
        enum revocation_rank said, left;
        uint64_t record;
    } steps[] = {{REVOCATION_OF_CERTIFICATE, REVOCATION_OF_CERTIFICATE, 1},
                 {REVOCATION_OF_CERTIFICATE, REVOCATION_OF_CERTIFICATE, 1},
                 {REVOCATION_OF_KEY, REVOCATION_OF_KEY, 3},
                 {REVOCATION_OF_CERTIFICATE, REVOCATION_OF_KEY, 3},
                 {REVOCATION_OF_KEY, REVOCATION_OF_KEY, 3},
                 {REVOCATION_OF_KEY_PROVEN, REVOCATION_OF_KEY_PROVEN, 6},
                 {REVOCATION_OF_KEY, REVOCATION_OF_KEY_PROVEN, 6},
                 {REVOCATION_OF_KEY_PROVEN, REVOCATION_OF_KEY_PROVEN, 6}};
    struct revoked *revoked = revoked_new();
    uint8_t serial[SERIAL_BYTES];
    struct revoked_serial found;
    make_serial(1, serial);
    assert_false(revoked_find(revoked, serial, &found));
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        const struct revoked_serial entry = {
            .revoked_at = 100 * ((time_t)i + 1), .sequence = i + 1, .rank = steps[i].said, .reason = 1};
        assert_true(revoked_put(revoked, serial, &entry));
        assert_true(revoked_find(revoked, serial, &found));
        assert_int_equal(found.revoked_at, 100); /* since the first */
        assert_int_equal(found.rank, steps[i].left);
        assert_int_equal(found.sequence, steps[i].record);
    }
    assert_int_equal(revoked_count(revoked), 1);
    revoked_free(revoked);
}

static void a_void_serial_that_is_revoked_is_revoked(void **state) {
    (void)state;
    struct revoked *revoked = revoked_new();
    uint8_t serial[SERIAL_BYTES];
    struct revoked_serial found;
    const struct revoked_serial
        empty = {.revoked_at = 100, .sequence = 1, .is_void = true, .not_after = 900, .list = 2},
        word = {.revoked_at = 200, .sequence = 2, .reason = 4, .not_after = 500, .list = 3};
    make_serial(1, serial);
    assert_true(revoked_put(revoked, serial, &empty));
    assert_int_equal(revoked_count_void(revoked), 1);
    assert_true(revoked_put(revoked, serial, &word) && revoked_put(revoked, serial, &empty));
    assert_true(revoked_find(revoked, serial, &found));
    assert_false(found.is_void);
    assert_int_equal(found.revoked_at, 200);
    assert_int_equal(found.sequence, 2);
    assert_int_equal(found.reason, 4);
    assert_int_equal(found.not_after, 900); /* what the signer wrote of it first */
    assert_int_equal(found.list, 2);
    assert_int_equal(revoked_count(revoked), 1);
    assert_int_equal(revoked_count_void(revoked), 0);
    revoked_free(revoked);
}

static void a_rank_that_there_is_not_is_refused(void **state) {
    (void)state;
    struct revoked *revoked = revoked_new();
    uint8_t entry[REVOKED_ENTRY_BYTES] = {7};
    uint8_t *kind = &entry[SERIAL_BYTES + 5 + 6]; /* behind time and record */
    *kind = REVOCATION_OF_KEY_PROVEN + 1;
    assert_false(revoked_load(revoked, entry, 1));
    *kind = REVOCATION_OF_KEY_PROVEN;
    assert_true(revoked_load(revoked, entry, 1));
    revoked_free(revoked);
}

/* --- the file under a signer that runs --- */

static void truncate_tail(struct book *book, const char *path) {
    struct bytes whole = kit_read_file(book->arena, path);
    assert_int_equal(truncate(path, (off_t)whole.length - 100), 0);
}

static void replace_by_older(struct book *book, const char *path) {
    struct bytes whole = kit_read_file(book->arena, path);
    const char *other = arena_printf(book->arena, "%s.other", path);
    kit_write_file(other, whole.data, whole.length);
    assert_int_equal(rename(other, path), 0);
}

/* Restored by cp: the same inode, the same size, another end. */
static void overwrite_tail(struct book *book, const char *path) {
    struct bytes whole = kit_read_file(book->arena, path);
    uint8_t *changed = arena_copy(book->arena, whole.data, whole.length);
    size_t line = whole.length - 1;
    while (line > 0 && changed[line - 1] != '\n')
        line--;
    changed[line] ^= 1;
    kit_write_file(path, changed, whole.length);
}

static void let_grow(struct book *book, const char *path) {
    (void)book;
    FILE *file = fopen(path, "ae");
    fputs("x\n", file);
    fclose(file);
}

static void a_file_that_changed_under_the_signer_is_noticed_at_the_next_write(void **state) {
    static const struct {
        void (*change)(struct book *book, const char *path);
        const char *complaint;
    } cases[] = {{truncate_tail, "lost its end"},
                 {replace_by_older, "not in its place"},
                 {overwrite_tail, "does not end with its last record"},
                 {let_grow, "grew by itself"}};
    struct book *book = *state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct ledger *ledger = book_open(book, LARGE);
        struct error error = {0};
        const char *path = book_segment_path(book, 0);
        book_append(ledger, 1);
        book_sync(ledger);
        cases[i].change(book, path);
        off_t size = book_size_of(path);
        book_append(ledger, 2);
        assert_false(ledger_sync(ledger, &error));
        if (strstr(error.message, cases[i].complaint) == NULL)
            fail_msg("case %zu: %s", i, error.message);
        assert_int_equal(book_size_of(path), size); /* nothing was added to it */
        assert_false(ledger_sync(ledger, &error));
        ledger_close(ledger);
        unlink(path);
    }
}

static void the_hash_of_any_record_is_found(void **state) {
    struct book *book = *state;
    struct ledger *ledger = book_open(book, 4000);
    uint8_t hashes[200][LEDGER_HASH_BYTES], found[LEDGER_HASH_BYTES];
    struct error error = {0};
    for (int i = 0; i < 150; i++) {
        uint64_t sequence;
        uint8_t hash[LEDGER_HASH_BYTES];
        assert_true(ledger_append(ledger, "signing", NULL, &sequence, hash, &error));
        memcpy(hashes[sequence], hash, sizeof hash);
        book_sync(ledger);
        book_rotate(ledger);
    }
    uint64_t last = ledger_last_sequence(ledger);
    for (int round = 0; round < 2; round++) {
        for (uint64_t sequence = last; sequence > 1; sequence--) {
            json_t *record = json_array_get(book_read(book, ledger, sequence, 1, LARGE), 0);
            if (strcmp(json_string_value(json_object_get(record, "type")), "segment") == 0)
                continue;
            assert_true(ledger_find_hash(ledger, sequence, found));
            assert_memory_equal(found, hashes[sequence], sizeof found);
            char hex[2 * LEDGER_HASH_BYTES + 1];
            hex_encode(found, sizeof found, hex);
            assert_string_equal(json_string_value(json_object_get(record, "hash")), hex);
        }
        assert_false(ledger_find_hash(ledger, 0, found));
        assert_false(ledger_find_hash(ledger, last + 1, found));
        ledger_close(ledger);
        ledger = book_open(book, 4000);
    }
    ledger_close(ledger);
}

static void a_ledger_of_a_newer_format_is_refused(void **state) {
    struct book *book = *state;
    struct error error = {0};
    struct ledger_walk walk;
    static const char json[] =
        "{\"seq\":1,\"time\":\"2026-11-21T00:00:00.000Z\",\"type\":\"genesis\",\"format\":2,"
        "\"ledger\":\"00000000000000000000000000000000\",\"host\":\"ca1\",\"created\":\"\"}";
    uint8_t chained[LEDGER_HASH_BYTES + sizeof json] = {0}, hash[LEDGER_HASH_BYTES];
    char hex[2 * LEDGER_HASH_BYTES + 1];
    memcpy(chained + LEDGER_HASH_BYTES, json, sizeof json - 1);
    sha256(chained, LEDGER_HASH_BYTES + sizeof json - 1, hash);
    hex_encode(hash, sizeof hash, hex);
    const char *line = arena_printf(book->arena, "%s %s\n", hex, json);
    kit_write_file(arena_printf(book->arena, "%s/ledger-00000000000000000001.jsonl", book->folder), line,
                   strlen(line));
    assert_false(book_verify(book->folder, &walk, &error));
    assert_non_null(strstr(error.message, "format 2"));
    assert_null(book_try_open(book->folder, HOST, LARGE, false, NULL, NULL, &error));
    assert_non_null(strstr(error.message, "a newer one wrote it"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, book_set_up, book_tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(what_was_put_in_comes_back),
        TEST(a_checkpoint_changed_or_cut_at_any_byte_is_refused),
        TEST(a_checkpoint_of_another_signer_host_or_ledger_is_refused),
        TEST(a_checkpoint_that_is_ahead_of_its_ledger_is_refused),
        TEST(a_checkpoint_over_several_segments_begins_in_the_one_it_was_made_in),
        TEST(a_kill_while_it_is_written_leaves_a_whole_one),
        TEST(only_what_says_more_of_the_key_replaces_a_revocation),
        TEST(a_rank_that_there_is_not_is_refused),
        TEST(a_void_serial_that_is_revoked_is_revoked),
        TEST(a_file_that_changed_under_the_signer_is_noticed_at_the_next_write),
        TEST(the_hash_of_any_record_is_found),
        TEST(a_ledger_of_a_newer_format_is_refused),
    };
    log_set_level(LOG_LEVEL_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
