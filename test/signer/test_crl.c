/* Unit tests of certificate revocation lists: which list a certificate belongs to, building one, and the lint
 * before its signature, which refuses each bad one by the rule that it is there for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../server/signer/lint_crl.h"
#include "crl_cases.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <gnutls/x509.h>

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

/* --- building --- */

#define ENTRIES 200

static void make_entries(struct crl_entry entries[ENTRIES]) {
    static const uint8_t reasons[] = {0, 1, 3, 4, 5, 9};
    memset(entries, 0, ENTRIES * sizeof *entries);
    for (size_t i = 0; i < ENTRIES; i++) {
        entries[i].serial[0] = 0x42;
        entries[i].serial[SERIAL_BYTES - 1] = (uint8_t)i;
        entries[i].revoked_at = i % 10 == 0 ? 2524607999u + (uint32_t)i / 10 : BEGIN + (uint32_t)i * 123457;
        entries[i].reason = reasons[i % 6];
    }
}

static struct crl_contents make_contents(const struct issuer *issuer, const char *url,
                                         const struct crl_entry *entries, size_t count) {
    return (struct crl_contents){.issuer = issuer->subject,
                                 .key_id = issuer->key_id,
                                 .signature_identifier = issuer->signature_identifier,
                                 .url = url,
                                 .number = 1795858000123,
                                 .this_update = BEGIN,
                                 .next_update = BEGIN + 7 * DAY,
                                 .entry_bytes = crl_entries_length(entries, count)};
}

/* Signed as the signer does, by the key itself. */
static uint8_t *make_list(struct fixture *fixture, struct arena *arena, const struct crl_contents *contents,
                          const struct crl_entry *entries, size_t count, size_t *length, struct bytes *tbs) {
    static const uint8_t none[] = {0};
    struct crl_frame frame;
    struct error error = {0};
    gnutls_datum_t signature;
    if (!crl_build_frame(arena, contents, &frame, &error))
        fail_msg("%s", error.message);
    uint8_t *unsigned_list = crl_assemble(&frame, entries, count, contents->signature_identifier,
                                          (struct bytes){none, 1}, length, tbs);
    assert_non_null(unsigned_list);
    const gnutls_datum_t data = {(unsigned char *)(uintptr_t)tbs->data, (unsigned)tbs->length};
    assert_true(gnutls_privkey_sign_data2(fixture->issuer_key.private_key, fixture->issuer.algorithm, 0,
                                          &data, &signature) >= 0);
    uint8_t *der = crl_assemble(&frame, entries, count, contents->signature_identifier,
                                (struct bytes){signature.data, signature.size}, length, tbs);
    assert_non_null(der);
    gnutls_free(signature.data);
    free(unsigned_list);
    return der;
}

static time_t revoked_at(gnutls_x509_crl_t list, unsigned at, uint8_t serial[64], size_t *length) {
    time_t when = 0;
    *length = 64;
    assert_int_equal(gnutls_x509_crl_get_crt_serial(list, (int)at, serial, length, &when), 0);
    return when;
}

static void assert_is_signed(struct fixture *fixture, gnutls_x509_crl_t list) {
    gnutls_x509_crt_t issuer;
    gnutls_datum_t pem;
    unsigned status = 0;
    assert_int_equal(gnutls_load_file(fixture->config.certificate_file, &pem), 0);
    assert_int_equal(gnutls_x509_crt_init(&issuer), 0);
    assert_int_equal(gnutls_x509_crt_import(issuer, &pem, GNUTLS_X509_FMT_PEM), 0);
    assert_int_equal(gnutls_x509_crl_verify(list, &issuer, 1, 0, &status), 0);
    assert_int_equal(status & (GNUTLS_CERT_SIGNATURE_FAILURE | GNUTLS_CERT_SIGNER_NOT_FOUND |
                               GNUTLS_CERT_SIGNER_NOT_CA | GNUTLS_CERT_INSECURE_ALGORITHM),
                     0);
    gnutls_x509_crt_deinit(issuer);
    gnutls_free(pem.data);
}

/* GnuTLS reads what was built and verifies it: the builder shares nothing with it. */
static void gnutls_reads_and_verifies_a_list(void **state) {
    struct fixture *fixture = *state;
    static const char *const urls[] = {URL, ""};
    static const size_t counts[] = {0, 1, 2, ENTRIES};
    struct crl_entry entries[ENTRIES];
    make_entries(entries);
    for (size_t i = 0; i < 8; i++) {
        struct arena *arena = arena_new(0);
        size_t count = counts[i / 2], length;
        struct crl_contents contents = make_contents(&fixture->issuer, urls[i % 2], entries, count);
        struct bytes tbs;
        struct error error = {0};
        uint8_t *der = make_list(fixture, arena, &contents, entries, count, &length, &tbs);
        if (!lint_crl_tbs(tbs, &contents, entries, count, &error))
            fail_msg("%s", error.message);
        gnutls_x509_crl_t list;
        const gnutls_datum_t data = {der, (unsigned)length};
        assert_int_equal(gnutls_x509_crl_init(&list), 0);
        assert_int_equal(gnutls_x509_crl_import(list, &data, GNUTLS_X509_FMT_DER), 0);
        assert_int_equal(gnutls_x509_crl_get_version(list), 2);
        assert_int_equal(gnutls_x509_crl_get_this_update(list), BEGIN);
        assert_int_equal(gnutls_x509_crl_get_next_update(list), BEGIN + 7 * DAY);
        assert_int_equal(gnutls_x509_crl_get_crt_count(list), count);
        for (unsigned at = 0; at < count; at++) {
            uint8_t serial[64];
            size_t serial_length;
            assert_int_equal(revoked_at(list, at, serial, &serial_length), entries[at].revoked_at);
            assert_memory_equal(serial, entries[at].serial, SERIAL_BYTES);
        }
        assert_is_signed(fixture, list);
        gnutls_x509_crl_deinit(list);
        free(der);
        arena_free(arena);
    }
}

static void lengths_of_every_form_are_right(void **state) {
    struct fixture *fixture = *state;
    struct crl_entry entries[ENTRIES];
    make_entries(entries);
    for (size_t count = 0; count <= ENTRIES; count++) {
        struct arena *arena = arena_new(0);
        struct crl_contents contents = make_contents(&fixture->issuer, URL, entries, count);
        struct bytes tbs;
        struct error error = {0};
        size_t length;
        contents.number = (uint64_t)1 << (count % 64); /* a leading zero where the first bit is set */
        uint8_t *der = make_list(fixture, arena, &contents, entries, count, &length, &tbs);
        if (!lint_crl_tbs(tbs, &contents, entries, count, &error))
            fail_msg("%zu entries: %s", count, error.message);
        free(der);
        arena_free(arena);
    }
}

/* --- bad lists --- */

static void each_bad_list_is_refused_by_its_rule(void **state) {
    struct fixture *fixture = *state;
    size_t failures = 0;
    for (size_t i = 0; i < crl_case_count; i++) {
        const struct crl_case *one = &crl_cases[i];
        struct arena *arena = arena_new(0);
        struct error error = {0};
        char expected[64];
        struct crl_entry entries[CASE_ENTRIES];
        struct crl_contents contents;
        const struct bytes bad = crl_case_make(one, arena, &fixture->issuer, entries, &contents);
        snprintf(expected, sizeof expected, "lint: %s: ", one->rule);
        size_t count = one->is_empty ? 0 : CASE_ENTRIES;
        if (lint_crl_tbs(bad, &contents, entries, count, &error) ||
            strncmp(error.message, expected, strlen(expected)) != 0) {
            print_error("%s: %s: found \"%s\"\n", one->rule, one->fact, error.message);
            failures++;
        }
        arena_free(arena);
    }
    assert_int_equal(failures, 0);
}

static void every_rule_has_a_bad_list(void **state) {
    (void)state;
    const struct lint_rule *rules;
    size_t count = lint_crl_rules(&rules);
    for (size_t i = 0; i < count; i++) {
        size_t found = 0;
        for (size_t k = 0; k < crl_case_count; k++)
            found += strcmp(crl_cases[k].rule, rules[i].id) == 0;
        if (found == 0)
            fail_msg("no bad list for rule %s", rules[i].id);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_list_of_a_certificate_is_the_url_in_it),
        cmocka_unit_test(a_certificate_without_distribution_point_is_in_no_list),
        cmocka_unit_test(damaged_certificates_have_a_good_list_or_none),
        cmocka_unit_test(a_template_is_filled_with_the_shard_and_with_nothing_else),
        cmocka_unit_test(urls_that_no_record_can_hold_are_none),
        cmocka_unit_test(gnutls_reads_and_verifies_a_list),
        cmocka_unit_test(lengths_of_every_form_are_right),
        cmocka_unit_test(each_bad_list_is_refused_by_its_rule),
        cmocka_unit_test(every_rule_has_a_bad_list),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
