/* Unit tests of base: errors, arena, text and encodings, times, serials, JSON, metrics, secrets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "originca/json.h"
#include "originca/metrics.h"
#include "originca/secrets.h"
#include "originca/text.h"

static int make_arena(void **state) {
    *state = arena_new(0);
    return *state == NULL;
}

static int drop_arena(void **state) {
    arena_free(*state);
    return 0;
}

static void error_message_is_cut_and_free_of_control_characters(void **state) {
    (void)state;
    struct error error;
    char longer[2000];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    assert_false(error_set(&error, ERROR_INVALID, "a\nb\x7f %s", longer));
    assert_int_equal(error.code, ERROR_INVALID);
    assert_memory_equal(error.message, "a?b? x", 6);
    assert_string_equal(error.message + ERROR_MESSAGE_MAX - 4, "...");
    error_set(&error, ERROR_REFUSED, "inner");
    error_prefix(&error, "outer %d", 7);
    assert_string_equal(error.message, "outer 7: inner");
}

static void note_cleanup(void *object) {
    char **order = *(char ***)object;
    *(*order)++ = (char)((char *)object)[sizeof(char *)];
}

struct noted {
    char **order;
    char letter;
};

static void arena_runs_cleanups_in_reverse_order(void **state) {
    (void)state;
    char order[3] = "";
    char *next = order;
    struct noted first = {&next, 'a'}, second = {&next, 'b'};
    struct arena *arena = arena_new(0);
    assert_true(arena_defer(arena, note_cleanup, &first));
    assert_true(arena_defer(arena, note_cleanup, &second));
    arena_free(arena);
    assert_string_equal(order, "ba");
}

static void arena_refuses_beyond_its_limit(void **state) {
    (void)state;
    struct arena *arena = arena_new(10000);
    assert_non_null(arena_alloc(arena, 9000));
    assert_null(arena_alloc(arena, 2000));
    assert_null(arena_alloc(arena, SIZE_MAX));
    assert_null(arena_alloc(arena, SIZE_MAX - 8));
    assert_non_null(arena_alloc(arena, 100));
    arena_free(arena);
}

static void a_branch_counts_against_the_limit_until_it_is_freed(void **state) {
    (void)state;
    char order[4] = "";
    char *next = order;
    struct noted first = {&next, 'a'}, second = {&next, 'b'}, third = {&next, 'c'};
    struct arena *arena = arena_new(10000), *branch = arena_branch(arena), *twig = arena_branch(branch);
    assert_true(arena_defer(arena, note_cleanup, &first));
    assert_true(arena_defer(twig, note_cleanup, &third));
    assert_non_null(arena_alloc(branch, 6000));
    assert_non_null(arena_alloc(twig, 3000));
    assert_null(arena_alloc(arena, 2000));
    assert_null(arena_alloc(twig, 2000));
    arena_free(branch);
    assert_string_equal(order, "c");
    assert_non_null(arena_alloc(arena, 8000));
    branch = arena_branch(arena);
    assert_non_null(arena_branch(arena));
    assert_true(arena_defer(branch, note_cleanup, &second));
    arena_free(arena);
    assert_string_equal(order, "cba");
}

static void charges_count_like_pieces(void **state) {
    (void)state;
    struct arena *arena = arena_new(10000), *branch = arena_branch(arena);
    assert_true(arena_charge(branch, 9000));
    assert_false(arena_charge(arena, 2000));
    assert_null(arena_alloc(arena, 2000));
    arena_credit(branch, 9000);
    size_t left = arena_left(arena);
    assert_int_equal(left, 10000);
    assert_true(arena_charge(branch, 5000));
    arena_free(branch);
    assert_int_equal(arena_left(arena), left);
    arena_free(arena);
}

static void arena_pieces_do_not_overlap(void **state) {
    unsigned char *pieces[500];
    for (size_t i = 0; i < 500; i++) {
        size_t size = i * 37 % 6000;
        pieces[i] = arena_alloc(*state, size);
        assert_non_null(pieces[i]);
        assert_int_equal((uintptr_t)pieces[i] % 16, 0);
        memset(pieces[i], (int)(i & 255), size);
    }
    for (size_t i = 0; i < 500; i++)
        for (size_t k = 0; k < i * 37 % 6000; k++)
            assert_int_equal(pieces[i][k], i & 255);
}

static void base64url_has_one_spelling(void **state) {
    struct bytes out;
    /* RFC 4648 10 */
    assert_string_equal(base64url_encode(*state, "foobar", 6), "Zm9vYmFy");
    assert_string_equal(base64url_encode(*state, "fooba", 5), "Zm9vYmE");
    assert_string_equal(base64url_encode(*state, "\xfb\xff", 2), "-_8");
    assert_string_equal(base64url_encode(*state, "", 0), "");
    assert_true(base64url_decode(*state, "-_8", 3, &out));
    assert_int_equal(out.length, 2);
    assert_memory_equal(out.data, "\xfb\xff", 2);
    static const char *const bad[] = {"Zg==", "Zh",   "Z",        "Zm9vY", "Zm9v YmFy",
                                      "Zm+v", "Zm/v", "Zm9vYmF=", "Zm9\n"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(base64url_decode(*state, bad[i], strlen(bad[i]), &out));
}

static void base64_round_trips_every_length(void **state) {
    uint8_t in[70];
    for (size_t length = 0; length <= sizeof in; length++) {
        struct bytes out;
        random_bytes(in, length);
        char *standard = base64_encode(*state, in, length), *url = base64url_encode(*state, in, length);
        assert_true(base64_decode(*state, standard, strlen(standard), &out));
        assert_int_equal(out.length, length);
        assert_memory_equal(out.data, in, length);
        assert_true(base64url_decode(*state, url, strlen(url), &out));
        assert_int_equal(out.length, length);
        assert_memory_equal(out.data, in, length);
    }
    struct bytes out;
    assert_false(base64_decode(*state, "Zg=", 3, &out));
    assert_false(base64_decode(*state, "Zg=a", 4, &out));
    assert_false(base64_decode(*state, "====", 4, &out));
}

static void pem_is_read_with_any_line_ends(void **state) {
    uint8_t der[100];
    struct bytes out;
    random_bytes(der, sizeof der);
    char *pem = pem_encode(*state, "CERTIFICATE", der, sizeof der);
    assert_true(pem_decode(*state, "CERTIFICATE", pem, strlen(pem), &out));
    assert_int_equal(out.length, sizeof der);
    assert_memory_equal(out.data, der, sizeof der);
    assert_false(pem_decode(*state, "CERTIFICATE REQUEST", pem, strlen(pem), &out));
    struct text crlf;
    text_init(&crlf, *state);
    text_append(&crlf, "leading text\r\n");
    for (const char *p = pem; *p != '\0'; p++)
        text_append_bytes(&crlf, *p == '\n' ? "\r\n" : p, *p == '\n' ? 2 : 1);
    assert_true(pem_decode(*state, "CERTIFICATE", crlf.data, crlf.length, &out));
    assert_memory_equal(out.data, der, sizeof der);
    assert_false(pem_decode(*state, "CERTIFICATE", pem, strlen(pem) - 20, &out));
}

static void times_are_exact(void **state) {
    (void)state;
    char text[TIME_TEXT_MAX];
    time_t when;
    time_format(1795226584, text);
    assert_string_equal(text, "2026-11-21T02:03:04Z");
    assert_true(time_parse("2026-11-21T02:03:04Z", &when));
    assert_int_equal(when, 1795226584);
    assert_true(time_parse("2026-11-21T03:03:04.123456+01:00", &when));
    assert_int_equal(when, 1795226584);
    static const char *const bad[] = {"",
                                      "2026-11-21",
                                      "2026-02-30T00:00:00Z",
                                      "2026-11-21T25:00:00Z",
                                      "x",
                                      "2026-11-21T02:03:04",
                                      "2026-11-21 02:03:04Z",
                                      "2026-11-21T02:03:04+1:00",
                                      "2026-11-21T02:03:04.Z"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(time_parse(bad[i], &when));
}

static void serials_are_decimal_outside_and_hex_inside(void **state) {
    (void)state;
    uint8_t serial[SERIAL_BYTES], again[SERIAL_BYTES];
    char decimal[SERIAL_DECIMAL_MAX];
    memset(serial, 0xff, sizeof serial);
    serial_to_decimal(serial, decimal);
    assert_string_equal(decimal, "340282366920938463463374607431768211455");
    assert_true(serial_parse(decimal, again));
    assert_memory_equal(serial, again, sizeof serial);
    assert_false(serial_parse("340282366920938463463374607431768211456", again));
    assert_true(serial_parse("0x01ff", again));
    serial_to_decimal(again, decimal);
    assert_string_equal(decimal, "511");
    assert_false(serial_parse("", again));
    assert_false(serial_parse("0x", again));
    assert_false(serial_parse("12a", again));
    assert_false(serial_parse("-1", again));
    assert_false(serial_parse("0x0102030405060708090a0b0c0d0e0f1011", again));
}

static void serials_are_read_as_people_have_them(void **state) {
    (void)state;
    static const char *const good[] = {
        "13350485627155604733310936085290712897",
        "0x0a0b35c2d4e6f708192a3b4c5d6e7f41",
        "0XA0B35C2D4E6F708192A3B4C5D6E7F41",
        "0x00000a0b35c2d4e6f708192a3b4c5d6e7f41",
        "serial=0A0B35C2D4E6F708192A3B4C5D6E7F41",
        "SERIAL=a0b35c2d4e6f708192a3b4c5d6e7f41",
        "0a:0b:35:c2:d4:e6:f7:08:19:2a:3b:4c:5d:6e:7f:41",
        "00:0A:0B:35:C2:D4:E6:F7:08:19:2A:3B:4C:5D:6E:7F:41",
        "0a0b35c2d4e6f708192a3b4c5d6e7f41",
        "A0B35C2D4E6F708192A3B4C5D6E7F41",
    };
    static const char *const bad[] = {
        "0a:0b:35:",
        ":0a:0b",
        "0a::0b",
        "0a:b",
        "0a0b:35",
        "a:0b:c2",
        "serial=",
        "serial=x",
        "serial:0a",
        "0a0b",
        "0a0b35c2d4e6f708192a3b4c5d6e7f4g",
        "0a0b35c2d4e6f708192a3b4c5d6e7f4112",
        "0x:0a",
        "0x0a:0b",
        " 1",
        "1 ",
    };
    uint8_t serial[SERIAL_BYTES], expected[SERIAL_BYTES];
    assert_true(hex_decode("0a0b35c2d4e6f708192a3b4c5d6e7f41", expected, sizeof expected));
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_true(serial_parse(good[i], serial));
        assert_memory_equal(serial, expected, sizeof serial);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(serial_parse(bad[i], serial));
    assert_true(
        serial_parse("10203040506070801020304050607080", serial)); /* 32 digits: none of ours in decimal */
    assert_true(hex_decode("10203040506070801020304050607080", expected, sizeof expected));
    assert_memory_equal(serial, expected, sizeof serial);
    assert_true(serial_parse("1020304050607080102030405060708", serial)); /* 31: a number like any other */
    char decimal[SERIAL_DECIMAL_MAX];
    serial_to_decimal(serial, decimal);
    assert_string_equal(decimal, "1020304050607080102030405060708");
}

static void an_id_begins_with_no_hyphen(void **state) {
    struct arena *arena = *state;
    for (int i = 0; i < 2000; i++) {
        const char *id = random_id(arena);
        assert_int_equal(strlen(id), 22);
        assert_int_not_equal(*id, '-');
    }
    assert_string_not_equal(random_id(arena), random_id(arena));
}

static void hex_and_digests_match_their_vectors(void **state) {
    (void)state;
    char hex[65];
    uint8_t digest[SHA256_BYTES];
    sha256("abc", 3, digest); /* FIPS 180-2 B.1 */
    hex_encode(digest, sizeof digest, hex);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    hmac_sha256("Jefe", 4, "what do ya want for nothing?", 28, digest); /* RFC 4231 4.3 */
    hex_encode(digest, sizeof digest, hex);
    assert_string_equal(hex, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    uint8_t two[2];
    assert_true(hex_decode("aBcD", two, 2));
    assert_memory_equal(two, "\xab\xcd", 2);
    assert_false(hex_decode("abc", two, 2));
    assert_false(hex_decode("abcdef", two, 2));
    assert_false(hex_decode("abcg", two, 2));
}

static void json_is_strict(void **state) {
    struct error error;
    static const char *const bad[] = {
        "", "{\"a\":1,\"a\":2}", "{} x", "{\"a\":\"\\u0000\"}", "{'a':1}", "[1,]", "\xff"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        error.code = ERROR_NONE;
        assert_null(json_parse(*state, bad[i], strlen(bad[i]), &error));
        assert_int_equal(error.code, ERROR_INVALID);
    }
    char deep[100];
    memset(deep, '[', 40);
    memset(deep + 40, ']', 40);
    assert_null(json_parse(*state, deep, 80, &error));
    assert_non_null(strstr(error.message, "32"));
    const char *good = "{\"url\":\"a/b\",\"n\":null,\"i\":1}";
    json_t *json = json_parse(*state, good, strlen(good), &error);
    assert_non_null(json);
    assert_string_equal(json_get_string(json, "url", &error), "a/b");
    assert_null(json_get_string(json, "i", &error));
    const char *value = "x";
    assert_true(json_get_optional_string(json, "n", &value, &error));
    assert_null(value);
    assert_false(json_get_optional_string(json, "i", &value, &error));
    assert_string_equal(json_to_text(*state, json), good);
}

/* What 60 kB of each shape take; the largest that is anything like a request takes less than 100 kB. */
static void parsed_json_counts_against_an_arena_that_wants_it(void **state) {
    (void)state;
    static const char *const pieces[] = {"{}", "[]", "[[]]", "{\"a\":0}", "0", "\"\"", "\"\\u00e9\"", "1.5"};
    static char text[60000];
    struct error error;
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        size_t length = 1, piece = strlen(pieces[i]);
        text[0] = '[';
        while (length + piece + 2 < sizeof text) {
            memcpy(text + length, pieces[i], piece);
            text[length + piece] = ',';
            length += piece + 1;
        }
        text[length - 1] = ']';
        struct arena *small = arena_new(300000), *large = arena_new(16u * 1024 * 1024),
                     *careless = arena_new(4096);
        arena_count_json(small);
        arena_count_json(large);
        struct arena *branch = arena_branch(large);
        size_t before = arena_left(large);
        assert_null(json_parse(small, text, length, &error));
        assert_int_equal(error.code, ERROR_INVALID);
        assert_non_null(strstr(error.message, "send fewer"));
        assert_int_equal(arena_left(small), 300000);
        assert_non_null(json_parse(branch, text, length, &error));
        assert_in_range(before - arena_left(large), 300000, 8000000);
        arena_free(branch);
        assert_int_equal(arena_left(large), before);
        assert_non_null(json_parse(careless, text, length, &error));
        arena_free(small);
        arena_free(large);
        arena_free(careless);
    }
}

static void metrics_are_rendered_by_family(void **state) {
    struct metrics *metrics = metrics_new(NULL);
    metric_add(metrics_counter(metrics, "b_total{x=\"1\"}", "B"), 2);
    metric_add(metrics_counter(metrics, "b_total{x=\"2\"}", "B"), 3);
    metric_add(metrics_counter(metrics, "b_total{x=\"1\"}", "B"), 5);
    metric_set(metrics_gauge(metrics, "g", "G"), -4);
    struct metric *histogram = metrics_histogram(metrics, "h_seconds{step=\"s\"}", "H");
    metric_observe_us(histogram, 150);
    metric_observe_us(histogram, 1500000);
    char *text = metrics_render(metrics, *state);
    assert_non_null(strstr(text, "b_total{x=\"1\"} 7\n"));
    assert_non_null(strstr(text, "b_total{x=\"2\"} 3\n"));
    const char *type = strstr(text, "# TYPE b_total counter\n");
    assert_non_null(type);
    assert_null(strstr(type + 1, "# TYPE b_total"));
    assert_non_null(strstr(text, "g -4\n"));
    assert_non_null(strstr(text, "h_seconds_bucket{step=\"s\",le=\"0.0001\"} 0\n"));
    assert_non_null(strstr(text, "h_seconds_bucket{step=\"s\",le=\"0.0002\"} 1\n"));
    assert_non_null(strstr(text, "h_seconds_bucket{step=\"s\",le=\"+Inf\"} 2\n"));
    assert_non_null(strstr(text, "h_seconds_count{step=\"s\"} 2\n"));
    assert_non_null(strstr(text, "h_seconds_sum{step=\"s\"} 1.500150\n"));
    assert_int_equal(metrics_value(metrics, "b_total{x=\"1\"}"), 7);
    assert_int_equal(metrics_value(metrics, "absent"), 0);
}

static void a_hidden_gauge_is_not_rendered_until_it_is_set(void **state) {
    struct arena *arena = *state;
    struct metrics *metrics = metrics_new(NULL);
    struct metric *gauge = metrics_gauge(metrics, "g{worker=\"1\"}", "G");
    metric_set(metrics_gauge(metrics, "g{worker=\"0\"}", "G"), 7);
    metric_hide(gauge);
    assert_null(strstr(metrics_render(metrics, arena), "worker=\"1\""));
    assert_non_null(strstr(metrics_render(metrics, arena), "g{worker=\"0\"} 7\n"));
    assert_int_equal(metrics_value(metrics, "g{worker=\"1\"}"), 0);
    metric_set(gauge, 3);
    assert_non_null(strstr(metrics_render(metrics, arena), "g{worker=\"1\"} 3\n"));
}

static void secrets_differ_by_label_and_context(void **state) {
    (void)state;
    char directory[] = "/tmp/originca-base-XXXXXX", path[64];
    struct error error;
    uint8_t a[SECRET_BYTES], b[SECRET_BYTES];
    assert_non_null(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/secret", directory);
    assert_true(secrets_create(path, &error));
    assert_false(secrets_create(path, &error));
    struct stat status;
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    struct secrets *secrets = secrets_load(path, &error), *again = secrets_load(path, &error);
    assert_non_null(secrets);
    secrets_derive(secrets, "eab", "k1", 2, a);
    secrets_derive(again, "eab", "k1", 2, b);
    assert_memory_equal(a, b, sizeof a);
    secrets_derive(secrets, "eab", "k2", 2, b);
    assert_memory_not_equal(a, b, sizeof a);
    secrets_derive(secrets, "nonce", "k1", 2, b);
    assert_memory_not_equal(a, b, sizeof a);
    secrets_free(secrets);
    secrets_free(again);
    unlink(path);
    rmdir(directory);
    assert_null(secrets_load(path, &error));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(error_message_is_cut_and_free_of_control_characters),
        cmocka_unit_test(arena_runs_cleanups_in_reverse_order),
        cmocka_unit_test(arena_refuses_beyond_its_limit),
        cmocka_unit_test(a_branch_counts_against_the_limit_until_it_is_freed),
        cmocka_unit_test(charges_count_like_pieces),
        cmocka_unit_test(parsed_json_counts_against_an_arena_that_wants_it),
        cmocka_unit_test_setup_teardown(arena_pieces_do_not_overlap, make_arena, drop_arena),
        cmocka_unit_test_setup_teardown(base64url_has_one_spelling, make_arena, drop_arena),
        cmocka_unit_test_setup_teardown(base64_round_trips_every_length, make_arena, drop_arena),
        cmocka_unit_test_setup_teardown(pem_is_read_with_any_line_ends, make_arena, drop_arena),
        cmocka_unit_test(times_are_exact),
        cmocka_unit_test(serials_are_decimal_outside_and_hex_inside),
        cmocka_unit_test(serials_are_read_as_people_have_them),
        cmocka_unit_test(hex_and_digests_match_their_vectors),
        cmocka_unit_test_setup_teardown(json_is_strict, make_arena, drop_arena),
        cmocka_unit_test_setup_teardown(metrics_are_rendered_by_family, make_arena, drop_arena),
        cmocka_unit_test_setup_teardown(a_hidden_gauge_is_not_rendered_until_it_is_set, make_arena,
                                        drop_arena),
        cmocka_unit_test_setup_teardown(an_id_begins_with_no_hyphen, make_arena, drop_arena),
        cmocka_unit_test(secrets_differ_by_label_and_context),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
