/* Unit tests of certificate revocation lists: which list a certificate belongs to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kit.h"

#include <stdio.h>
#include <string.h>

#include "originca/crl.h"

#define BEGIN 1780272000 /* 2026-06-01T00:00:00Z */
#define DAY 86400
#define URL "http://crl.example.net/ca.crl"

struct fixture {
    struct arena *arena;
    const char *folder;
    struct kit_key issuer_key, key;
    struct config_issuer config;
    struct issuer issuer;
};

static int set_up(void **state) {
    static struct fixture fixture;
    fixture.arena = arena_new(0);
    fixture.folder = kit_make_folder(fixture.arena);
    kit_make_key(fixture.arena, KIT_P256, &fixture.issuer_key);
    kit_make_key(fixture.arena, KIT_P256, &fixture.key);
    kit_make_issuer(fixture.arena, fixture.folder, "ecc", &fixture.issuer_key, BEGIN,
                    BEGIN + 900 * (time_t)DAY, &fixture.config, &fixture.issuer);
    *state = &fixture;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *fixture = *state;
    kit_remove_folder(fixture->folder);
    arena_free(fixture->arena);
    return 0;
}

static struct bytes make_certificate(struct fixture *fixture, struct arena *arena,
                                     enum certificate_template shape, const char *url) {
    static const char *const names[] = {"www.example.com"};
    static const uint8_t serial[SERIAL_BYTES] = {0x42, 1}, bits[] = {0x30, 0x00};
    struct bytes tbs, der;
    struct error error = {0};
    fixture->config.crl_url = (char *)(uintptr_t)url;
    const struct certificate_contents contents = {.shape = shape,
                                                  .issuer = &fixture->issuer,
                                                  .serial = serial,
                                                  .names = names,
                                                  .name_count = 1,
                                                  .spki = fixture->key.spki,
                                                  .not_before = BEGIN,
                                                  .not_after = BEGIN + DAY};
    assert_true(certificate_build_tbs(arena, &contents, &tbs, &error));
    assert_true(
        certificate_assemble(arena, &fixture->issuer, tbs, (struct bytes){bits, sizeof bits}, &der, &error));
    return der;
}

static void the_list_of_a_certificate_is_the_url_in_it(void **state) {
    struct arena *arena = arena_new(0);
    struct bytes origin = make_certificate(*state, arena, TEMPLATE_ORIGIN, URL),
                 classic = make_certificate(*state, arena, TEMPLATE_CLASSIC, URL);
    assert_string_equal(crl_url_of_certificate(arena, origin), URL);
    assert_string_equal(crl_url_of_certificate(arena, classic), URL);
    arena_free(arena);
}

static void a_certificate_without_distribution_point_is_in_no_list(void **state) {
    struct arena *arena = arena_new(0);
    struct bytes compact = make_certificate(*state, arena, TEMPLATE_COMPACT, URL),
                 none = make_certificate(*state, arena, TEMPLATE_ORIGIN, NULL);
    assert_string_equal(crl_url_of_certificate(arena, compact), "");
    assert_string_equal(crl_url_of_certificate(arena, none), "");
    assert_string_equal(crl_url_of_certificate(arena, (struct bytes){0}), "");
    arena_free(arena);
}

/* Cut or changed anywhere: never more than the arena's text, and never a URL that is none. */
static void damaged_certificates_have_a_good_list_or_none(void **state) {
    struct arena *arena = arena_new(0);
    struct bytes whole = make_certificate(*state, arena, TEMPLATE_CLASSIC, URL);
    for (size_t length = 0; length < whole.length; length++) {
        const struct bytes cut = {arena_copy(arena, whole.data, length), length};
        assert_string_equal(crl_url_of_certificate(arena, cut), "");
    }
    uint8_t *changed = arena_copy(arena, whole.data, whole.length);
    for (size_t at = 0; at < whole.length; at++)
        for (unsigned bit = 0; bit < 8; bit++) {
            changed[at] ^= (uint8_t)(1u << bit);
            const char *url = crl_url_of_certificate(arena, (struct bytes){changed, whole.length});
            assert_true(*url == '\0' || crl_url_is_good(url));
            changed[at] ^= (uint8_t)(1u << bit);
        }
    arena_free(arena);
}

static void urls_that_no_record_can_hold_are_none(void **state) {
    (void)state;
    char longest[CRL_URL_MAX + 2];
    memset(longest, 'a', sizeof longest - 1);
    memcpy(longest, "http://", 7);
    longest[CRL_URL_MAX + 1] = '\0';
    assert_false(crl_url_is_good(longest));
    longest[CRL_URL_MAX] = '\0';
    assert_true(crl_url_is_good(longest));
    static const char *const bad[] = {"",           "http://",      "https://a/b", "ldap://a/b",
                                      "http://a b", "http://a/\"b", "http://a\\b", "http://a/\x7f"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(crl_url_is_good(bad[i]));
}

static void a_template_is_filled_with_the_shard_and_with_nothing_else(void **state) {
    (void)state;
    static const char form[] = "http://a.test/e{shard}.crl";
    struct arena *arena = arena_new(0);
    uint32_t shard;
    assert_string_equal(crl_url_fill(arena, form, 0), "http://a.test/e0.crl");
    assert_string_equal(crl_url_fill(arena, form, 65535), "http://a.test/effff.crl");
    assert_string_equal(crl_url_fill(arena, URL, 3), URL);
    assert_true(crl_url_is_fill("http://a.test/ef.crl", form, 16, &shard) && shard == 15);
    assert_true(crl_url_is_fill("http://a.test/effff.crl", form, 65536, &shard) && shard == 65535);
    assert_true(crl_url_is_fill(URL, URL, 16, &shard) && shard == 0);
    static const char *const others[] = {
        "http://a.test/e10.crl",      "http://a.test/e01.crl", "http://a.test/eF.crl",
        "http://a.test/e.crl",        "http://a.test/ef.crl/", "http://a.test/ef",
        "http://a.test/e{shard}.crl", "http://b.test/ef.crl",  "",
        "http://a.test/e-1.crl"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        assert_false(crl_url_is_fill(others[i], form, 16, NULL));
    assert_false(crl_url_is_fill("http://a.test/e10000.crl", form, CRL_SHARDS_MAX, NULL));
    arena_free(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_list_of_a_certificate_is_the_url_in_it),
        cmocka_unit_test(a_certificate_without_distribution_point_is_in_no_list),
        cmocka_unit_test(damaged_certificates_have_a_good_list_or_none),
        cmocka_unit_test(a_template_is_filled_with_the_shard_and_with_nothing_else),
        cmocka_unit_test(urls_that_no_record_can_hold_are_none),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
