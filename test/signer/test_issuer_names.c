/* Unit tests of whose key an issuer's name stands for: the first one keeps the name, a renewed certificate is
 * the same issuer, and the last segment of a ledger tells all names, whatever was recorded where. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../server/signer/issuer_names.h"
#include "kit.h"
#include "ledger_book.h"
#include "originca/log.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

static const struct issuer_identity first = {.spki = {1}, .subject = {2}};
static const struct issuer_identity other_key = {.spki = {3}, .subject = {2}};

static void append(struct ledger *ledger, const char *type, json_t *fields) {
    struct error error;
    assert_non_null(fields);
    assert_true(ledger_append(ledger, type, fields, NULL, NULL, &error));
    json_decref(fields);
    book_sync(ledger);
}

static struct issuer_names *read_back(const struct book *book) {
    struct issuer_names *names = issuer_names_new();
    struct error error = {0};
    if (!issuer_names_load_ledger(names, book->folder, &error))
        fail_msg("%s", error.message);
    return names;
}

static void assert_bound(const struct issuer_names *names, const char *name,
                         const struct issuer_identity *identity) {
    const struct issuer_name *known = issuer_names_find(names, name);
    assert_true(known != NULL && known->is_bound);
    assert_memory_equal(&known->identity, identity, sizeof *identity);
}

static void the_first_key_keeps_the_name(void **state) {
    struct issuer_names *names = issuer_names_new();
    struct error error;
    (void)state;
    assert_true(issuer_names_note_issued(names, "ecc", 7));
    assert_int_equal(issuer_names_find(names, "ecc")->issued, 7);
    assert_true(issuer_names_bind(names, "ecc", &first, &error));
    assert_true(issuer_names_bind(names, "ecc", &first, &error));
    assert_false(issuer_names_bind(names, "ecc", &other_key, &error));
    assert_true(issuer_names_bind(names, "ecc-2026", &other_key, &error));
    assert_bound(names, "ecc", &first);
    assert_false(issuer_names_bind(names, "", &first, &error));
    assert_null(issuer_names_find(names, "rsa"));
    issuer_names_free(names);
}

static void the_last_segment_tells_all_names(void **state) {
    struct book *book = *state;
    struct ledger *ledger = book_open(book, 2000);
    struct issuer_names *names = issuer_names_new();
    struct error error;
    append(ledger, "issuer", issuer_name_describe("ecc", &first));
    assert_true(issuer_names_bind(names, "ecc", &first, &error));
    for (int segment = 0; segment < 3; segment++) {
        while (!ledger_is_full(ledger))
            book_append(ledger, 1);
        book_sync(ledger);
        json_t *state_of_head =
            json_pack("{s:b, s:o}", "allowed", 1, "issuers", issuer_names_describe(names));
        assert_true(ledger_rotate_if_full(ledger, state_of_head, &error));
        json_decref(state_of_head);
    }
    append(ledger, "issuer", issuer_name_describe("rsa", &other_key));
    struct issuer_names *found = read_back(book);
    assert_bound(found, "ecc", &first);
    assert_bound(found, "rsa", &other_key);
    issuer_names_free(found);
    issuer_names_free(names);
    ledger_close(ledger);
}

/* What a signer that is about to begin a file leaves for a moment. */
static void a_file_without_its_head_is_passed_over(void **state) {
    struct book *book = *state;
    struct ledger *ledger = book_open(book, LARGE);
    append(ledger, "issuer", issuer_name_describe("ecc", &first));
    ledger_close(ledger);
    const char *path = arena_printf(book->arena, "%s/ledger-00000000000000000003.jsonl", book->folder);
    kit_write_file(path, "", 0);
    struct issuer_names *found = read_back(book);
    assert_bound(found, "ecc", &first);
    issuer_names_free(found);
    kit_write_file(path, "0123", 4);
    found = read_back(book);
    assert_bound(found, "ecc", &first);
    issuer_names_free(found);
}

static void a_ledger_with_two_keys_under_a_name_is_refused(void **state) {
    struct book *book = *state;
    struct ledger *ledger = book_open(book, LARGE);
    struct issuer_names *names = issuer_names_new();
    struct error error = {0};
    append(ledger, "issuer", issuer_name_describe("ecc", &first));
    append(ledger, "issuer", issuer_name_describe("ecc", &other_key));
    ledger_close(ledger);
    assert_false(issuer_names_load_ledger(names, book->folder, &error));
    assert_non_null(strstr(error.message, "\"ecc\" has two keys"));
    issuer_names_free(names);
}

static void a_renewed_certificate_is_the_same_issuer_and_another_key_or_subject_is_not(void **state) {
    struct book *book = *state;
    struct kit_key key, other;
    struct config_issuer config;
    struct issuer issuer;
    struct issuer_names *names = issuer_names_new();
    struct error error = {0};
    time_t now = time(NULL);
    kit_make_key(book->arena, KIT_P256, &key);
    kit_make_key(book->arena, KIT_P256, &other);
    kit_make_issuer(book->arena, book->folder, "ecc", &key, now - 100, now + 100, &config, &issuer);
    assert_true(issuer_names_judge(names, &issuer, &error)); /* nobody has the name yet */
    assert_true(issuer_names_bind(names, "ecc", &issuer.identity, &error));
    kit_make_issuer(book->arena, book->folder, "ecc", &key, now - 10, now + 1000, &config, &issuer);
    assert_true(issuer_names_judge(names, &issuer, &error));
    kit_make_issuer(book->arena, book->folder, "ecc", &other, now - 10, now + 1000, &config, &issuer);
    assert_false(issuer_names_judge(names, &issuer, &error));
    assert_int_equal(error.code, ERROR_CONFLICT);
    assert_non_null(strstr(error.message, "another key under the issuer name \"ecc\""));
    kit_make_issuer(book->arena, book->folder, "other", &key, now - 10, now + 1000, &config, &issuer);
    config.name = arena_strdup(book->arena, "ecc"); /* the section; the certificate says "other" */
    assert_false(issuer_names_judge(names, &issuer, &error));
    assert_non_null(strstr(error.message, "another subject under the issuer name \"ecc\""));
    issuer_names_free(names);
}

static void what_is_no_saved_state_is_not_loaded(void **state) {
    struct issuer_names *names = issuer_names_new(), *loaded;
    uint8_t saved[1024];
    struct error error;
    (void)state;
    assert_true(issuer_names_bind(names, "ecc", &first, &error));
    assert_true(issuer_names_bind(names, "rsa", &other_key, &error));
    size_t length = issuer_names_saved_length(names);
    assert_true(length <= sizeof saved);
    issuer_names_save(names, saved);
    for (size_t cut = 1; cut < length; cut++) {
        loaded = issuer_names_new();
        assert_int_equal(issuer_names_load(loaded, saved, cut), cut == length / 2);
        issuer_names_free(loaded);
    }
    memcpy(saved + length / 2, saved, length / 2); /* one name twice */
    loaded = issuer_names_new();
    assert_false(issuer_names_load(loaded, saved, length));
    issuer_names_free(loaded);
    issuer_names_free(names);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, book_set_up, book_tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_key_keeps_the_name),
        TEST(the_last_segment_tells_all_names),
        TEST(a_file_without_its_head_is_passed_over),
        TEST(a_ledger_with_two_keys_under_a_name_is_refused),
        TEST(a_renewed_certificate_is_the_same_issuer_and_another_key_or_subject_is_not),
        cmocka_unit_test(what_is_no_saved_state_is_not_loaded),
    };
    log_set_level(LOG_LEVEL_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
