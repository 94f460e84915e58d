/* Unit tests of the builder and of the lint before and after signing: good certificates of every template
 * pass, each bad one of lint_cases.c is refused by the rule that it is there for and by no other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lint_all.h"
#include "lint_cases.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <gnutls/x509.h>

#include "originca/crl.h"
#include "originca/names.h"

#define YEAR_2026 1767225600
#define BEGIN 1780272000 /* 2026-06-01T00:00:00Z */
#define DAY 86400
#define ISSUER_END (YEAR_2026 + (time_t)50 * 365 * DAY)
#define SERIALS 100000

enum { ISSUER_P256, ISSUER_RSA, ISSUER_P384, ISSUERS };

struct fixture {
    struct arena *arena;
    const char *folder;
    struct kit_key issuer_keys[ISSUERS], other_issuer_key, keys[KIT_P521 + 1];
    struct config_issuer configs[ISSUERS];
    struct issuer issuers[ISSUERS];
};

static int set_up(void **state) {
    static const enum kit_key_kind kinds[ISSUERS] = {KIT_P256, KIT_RSA, KIT_P384};
    static const char *const names[ISSUERS] = {"ecc", "rsa", "ecc384"};
    static struct fixture fixture;
    struct error error = {0};
    if (!names_load_suffixes(NULL, &error))
        fail_msg("%s", error.message);
    fixture.arena = arena_new(0);
    fixture.folder = kit_make_folder(fixture.arena);
    for (size_t i = 0; i < ISSUERS; i++) {
        kit_make_key(fixture.arena, kinds[i], &fixture.issuer_keys[i]);
        kit_make_issuer(fixture.arena, fixture.folder, names[i], &fixture.issuer_keys[i], YEAR_2026,
                        ISSUER_END, &fixture.configs[i], &fixture.issuers[i]);
    }
    kit_make_key(fixture.arena, KIT_P256, &fixture.other_issuer_key);
    for (size_t i = 0; i <= KIT_P521; i++)
        kit_make_key(fixture.arena, (enum kit_key_kind)i, &fixture.keys[i]);
    *state = &fixture;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *fixture = *state;
    kit_remove_folder(fixture->folder);
    arena_free(fixture->arena);
    return 0;
}

/* --- samples --- */

static void make_sample(struct fixture *fixture, struct arena *arena, enum certificate_template shape,
                        size_t issuer, enum kit_key_kind key, struct sample *sample) {
    *sample = (struct sample){.arena = arena,
                              .issuer = fixture->issuers[issuer],
                              .config = fixture->configs[issuer],
                              .names = {"www.example.com", "*.example.com", "example.com"}};
    for (size_t i = 0; i < SERIAL_BYTES; i++)
        sample->serial[i] = (uint8_t)(0x42 + 7 * i);
    sample->config.crl_url = (char *)(uintptr_t) "http://crl.example.net/c{shard}";
    sample->config.crl_shards = 16; /* and the serial's is b */
    sample->config.ocsp_url = (char *)(uintptr_t) "http://ocsp.example.net/";
    sample->issuer.config = &sample->config;
    sample->wanted = (struct certificate_contents){.shape = shape,
                                                   .issuer = &sample->issuer,
                                                   .serial = sample->serial,
                                                   .names = sample->names,
                                                   .name_count = 3,
                                                   .spki = fixture->keys[key].spki,
                                                   .is_rsa = fixture->keys[key].is_rsa,
                                                   .not_before = BEGIN,
                                                   .not_after = BEGIN + 90 * DAY};
}

static struct bytes build(struct sample *sample) {
    struct bytes tbs;
    struct error error = {0};
    if (!certificate_build_tbs(sample->arena, &sample->wanted, &tbs, &error))
        fail_msg("building: %s", error.message);
    return tbs;
}

static void assert_passes(struct bytes tbs, const struct sample *sample, const char *what) {
    struct error error = {0};
    char broken[LINT_LIST_MAX];
    lint_all(tbs, &sample->wanted, broken);
    if (!lint_tbs(tbs, &sample->wanted, &error))
        fail_msg("%s: %s; broken in all: %s", what, error.message, broken);
    assert_string_equal(broken, "");
}

/* --- good certificates --- */

static void a_good_certificate_of_every_template_issuer_and_key_passes(void **state) {
    static const enum certificate_template shapes[] = {TEMPLATE_ORIGIN, TEMPLATE_COMPACT, TEMPLATE_CLASSIC};
    for (size_t shape = 0; shape < 3; shape++)
        for (size_t issuer = 0; issuer < ISSUERS; issuer++)
            for (size_t key = 0; key <= KIT_P521; key++)
                for (int addresses = 0; addresses < 4; addresses++) {
                    struct arena *arena = arena_new(0);
                    struct sample sample;
                    make_sample(*state, arena, shapes[shape], issuer, (enum kit_key_kind)key, &sample);
                    if ((addresses & 1) != 0)
                        sample.config.crl_url = NULL;
                    if ((addresses & 2) != 0)
                        sample.config.ocsp_url = NULL;
                    assert_passes(build(&sample), &sample,
                                  arena_printf(arena, "template %zu, issuer %zu, key %zu, addresses %d",
                                               shape, issuer, key, addresses));
                    arena_free(arena);
                }
}

static void certificates_at_the_bounds_pass(void **state) {
    const struct {
        const char *fact;
        time_t not_before, not_after;
    } bounds[] = {{"one second", BEGIN, BEGIN + 1},
                  {"5475 days", BEGIN, BEGIN + (time_t)5475 * DAY},
                  {"ends with its issuer", ISSUER_END - 90 * DAY, ISSUER_END},
                  {"begins a day before its issuer", YEAR_2026 - DAY, YEAR_2026 + DAY},
                  {"the last second of UTCTime", 2524607999 - DAY, 2524607999},
                  {"the first second of GeneralizedTime", 2524607999, 2524608000},
                  {"GeneralizedTime alone", 2524608000, 2524608000 + DAY}};
    for (size_t i = 0; i < sizeof bounds / sizeof bounds[0]; i++) {
        struct arena *arena = arena_new(0);
        struct sample sample;
        make_sample(*state, arena, TEMPLATE_CLASSIC, ISSUER_P256, KIT_P256, &sample);
        sample.wanted.not_before = bounds[i].not_before;
        sample.wanted.not_after = bounds[i].not_after;
        assert_passes(build(&sample), &sample, bounds[i].fact);
        arena_free(arena);
    }
}

/* A length of 128 or more takes another form in DER, on each of the levels around the address. */
static void addresses_of_any_usual_length_pass(void **state) {
    for (size_t length = 100; length <= 300; length++) {
        struct arena *arena = arena_new(0);
        struct sample sample;
        char url[301];
        make_sample(*state, arena, TEMPLATE_CLASSIC, ISSUER_P256, KIT_P256, &sample);
        memset(url, 'a', length);
        memcpy(url, "http://crl.example.net/", 23);
        url[length] = '\0';
        sample.config.crl_url = sample.config.ocsp_url = url;
        assert_passes(build(&sample), &sample, arena_printf(arena, "an address of %zu bytes", length));
        arena_free(arena);
    }
}

static void a_serial_of_every_shard_passes(void **state) {
    static const uint32_t counts[] = {1, 2, 10, 16, 17, 256, 4096, 65536};
    static const char *const templates[] = {"http://c.example/e{shard}", "http://{shard}.c.example/list",
                                            "http://c.example/{shard}.crl"};
    struct arena *arena = arena_new(0);
    struct sample sample;
    make_sample(*state, arena, TEMPLATE_ORIGIN, ISSUER_P256, KIT_P256, &sample);
    for (size_t count = 0; count < sizeof counts / sizeof counts[0]; count++)
        for (uint32_t last = 0; last < 65536; last += 251) {
            struct arena *scratch = arena_new(0);
            sample.arena = scratch;
            sample.serial[SERIAL_BYTES - 2] = (uint8_t)(last >> 8);
            sample.serial[SERIAL_BYTES - 1] = (uint8_t)last;
            sample.config.crl_shards = counts[count];
            sample.config.crl_url = (char *)(uintptr_t)templates[last % 3];
            struct bytes tbs = build(&sample);
            assert_passes(tbs, &sample, "a shard");
            const char *url = crl_url_of_tbs(scratch, tbs);
            uint32_t shard = UINT32_MAX;
            assert_true(crl_url_is_fill(url, templates[last % 3], counts[count], &shard));
            assert_int_equal(shard, last % counts[count]);
            arena_free(scratch);
        }
    arena_free(arena);
}

/* GnuTLS reads what was built: the builder is checked by software that it shares nothing with. */
static void gnutls_reads_a_certificate_as_it_was_meant(void **state) {
    struct fixture *fixture = *state;
    struct arena *arena = arena_new(0);
    struct sample sample;
    struct bytes der;
    struct error error = {0};
    gnutls_x509_crt_t certificate;
    uint8_t serial[64];
    size_t length = sizeof serial;
    char name[256];
    make_sample(fixture, arena, TEMPLATE_CLASSIC, ISSUER_P256, KIT_RSA, &sample);
    uint8_t bits[] = {0x30, 0x00};
    assert_true(certificate_assemble(arena, &sample.issuer, build(&sample), (struct bytes){bits, sizeof bits},
                                     &der, &error));
    const gnutls_datum_t data = {(unsigned char *)(uintptr_t)der.data, (unsigned)der.length};
    assert_int_equal(gnutls_x509_crt_init(&certificate), 0);
    assert_int_equal(gnutls_x509_crt_import(certificate, &data, GNUTLS_X509_FMT_DER), 0);
    assert_int_equal(gnutls_x509_crt_get_version(certificate), 3);
    assert_int_equal(gnutls_x509_crt_get_serial(certificate, serial, &length), 0);
    assert_int_equal(length, SERIAL_BYTES);
    assert_memory_equal(serial, sample.serial, SERIAL_BYTES);
    assert_int_equal(gnutls_x509_crt_get_activation_time(certificate), BEGIN);
    assert_int_equal(gnutls_x509_crt_get_expiration_time(certificate), BEGIN + 90 * DAY);
    assert_int_equal(gnutls_x509_crt_get_ca_status(certificate, NULL), 0);
    for (unsigned i = 0; i < 3; i++) {
        length = sizeof name;
        assert_int_equal(gnutls_x509_crt_get_subject_alt_name(certificate, i, name, &length, NULL),
                         GNUTLS_SAN_DNSNAME);
        assert_string_equal(name, sample.names[i]);
    }
    gnutls_x509_crt_deinit(certificate);
    arena_free(arena);
}

/* --- bad certificates --- */

/* True where exactly this rule, and what the case lists beside it, is broken. */
static bool check_case(struct fixture *fixture, const struct lint_case *one) {
    struct arena *arena = arena_new(0);
    struct sample sample;
    struct error error = {0};
    char broken[LINT_LIST_MAX];
    make_sample(fixture, arena, one->shape, one->has_rsa_issuer ? ISSUER_RSA : ISSUER_P256, one->key,
                &sample);
    assert_passes(build(&sample), &sample, one->fact);
    if (one->name != NULL)
        sample.names[0] = one->name;
    if (one->wish != NULL)
        one->wish(&sample);
    struct bytes bad = lint_case_apply(one, &sample, build(&sample));
    const char *prefix = arena_printf(arena, "lint: %s: ", one->rule);
    const char *expected = one->also == NULL ? one->rule : arena_printf(arena, "%s %s", one->rule, one->also);
    lint_all(bad, &sample.wanted, broken);
    bool is_found = !lint_tbs(bad, &sample.wanted, &error) &&
                    strncmp(error.message, prefix, strlen(prefix)) == 0 && error.code == ERROR_INTERNAL &&
                    strcmp(broken, expected) == 0;
    if (!is_found)
        print_error("%s: %s: broken are \"%s\", not \"%s\": %s\n", one->rule, one->fact, broken, expected,
                    error.message);
    arena_free(arena);
    return is_found;
}

static void each_bad_certificate_is_refused_by_its_rule_and_by_no_other(void **state) {
    size_t failures = 0;
    for (size_t i = 0; i < lint_case_count; i++)
        failures += !check_case(*state, &lint_cases[i]);
    assert_int_equal(failures, 0);
}

static void no_rule_of_the_table_lacks_a_case(void **state) {
    const struct lint_rule *rules;
    size_t count = lint_rules(&rules);
    (void)state;
    assert_int_equal(count, 34);
    for (size_t i = 0; i < count; i++) {
        size_t cases = 0;
        for (size_t k = 0; k < lint_case_count; k++)
            cases += strcmp(lint_cases[k].rule, rules[i].id) == 0;
        if (cases == 0)
            fail_msg("the rule %s has no case", rules[i].id);
        assert_true(rules[i].citation[0] != '\0');
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(rules[i].id, rules[k].id);
    }
}

static void every_beginning_of_a_certificate_is_not_well_formed(void **state) {
    struct arena *arena = arena_new(0);
    struct sample sample;
    make_sample(*state, arena, TEMPLATE_CLASSIC, ISSUER_P256, KIT_P256, &sample);
    struct bytes good = build(&sample);
    for (size_t length = 0; length < good.length; length++) {
        struct error error = {0};
        /* a copy of just this size: reading behind it is seen by the address sanitizer */
        uint8_t *copy = malloc(length + 1);
        memcpy(copy, good.data, length);
        assert_false(lint_tbs((struct bytes){copy, length}, &sample.wanted, &error));
        assert_memory_equal(error.message, "lint: well-formed:", 18);
        free(copy);
    }
    arena_free(arena);
}

/* How many bits of this byte can change unseen. */
static size_t count_unseen(uint8_t *byte, struct bytes tbs, const struct sample *sample) {
    size_t unseen = 0;
    for (unsigned bit = 0; bit < 8; bit++) {
        *byte ^= (uint8_t)(1u << bit);
        unseen += lint_tbs(tbs, &sample->wanted, NULL);
        *byte ^= (uint8_t)(1u << bit);
    }
    return unseen;
}

/* Every bit of a certificate is decided by the template or by what was asked for, so none can change unseen.
 */
static void no_bit_of_a_certificate_can_change_unseen(void **state) {
    static const enum certificate_template shapes[] = {TEMPLATE_ORIGIN, TEMPLATE_COMPACT, TEMPLATE_CLASSIC};
    size_t failures = 0;
    for (size_t shape = 0; shape < 3; shape++) {
        struct arena *arena = arena_new(0);
        struct sample sample;
        make_sample(*state, arena, shapes[shape], ISSUER_RSA, KIT_P256, &sample);
        struct bytes good = build(&sample);
        uint8_t *copy = arena_copy(arena, good.data, good.length);
        for (size_t at = 0; at < good.length; at++) {
            size_t begin = at;
            while (at < good.length &&
                   count_unseen(&copy[at], (struct bytes){copy, good.length}, &sample) > 0)
                at++;
            if (at > begin)
                print_error("template %zu: bytes %zu to %zu can change unseen\n", shape, begin, at - 1);
            failures += at - begin;
        }
        arena_free(arena);
    }
    assert_int_equal(failures, 0);
}

/* --- after signing --- */

static struct bytes sign(struct arena *arena, const struct kit_key *key, const struct issuer *issuer,
                         struct bytes tbs) {
    gnutls_datum_t data = {(unsigned char *)(uintptr_t)tbs.data, (unsigned)tbs.length}, signature;
    struct bytes der;
    struct error error = {0};
    assert_int_equal(gnutls_privkey_sign_data2(key->private_key, issuer->algorithm, 0, &data, &signature), 0);
    assert_true(certificate_assemble(arena, issuer, tbs, (struct bytes){signature.data, signature.size}, &der,
                                     &error));
    gnutls_free(signature.data);
    return der;
}

static void a_signed_certificate_passes_for_every_issuer(void **state) {
    struct fixture *fixture = *state;
    for (size_t issuer = 0; issuer < ISSUERS; issuer++) {
        struct arena *arena = arena_new(0);
        struct sample sample;
        struct error error = {0};
        make_sample(fixture, arena, TEMPLATE_ORIGIN, issuer, KIT_P256, &sample);
        struct bytes tbs = build(&sample);
        struct bytes der = sign(arena, &fixture->issuer_keys[issuer], &sample.issuer, tbs);
        if (!lint_certificate(der, tbs, &sample.issuer, &error))
            fail_msg("issuer %zu: %s", issuer, error.message);
        arena_free(arena);
    }
}

static void assert_refused(struct bytes der, struct bytes tbs, const struct issuer *issuer,
                           const char *complaint) {
    struct error error = {0};
    assert_false(lint_certificate(der, tbs, issuer, &error));
    if (strncmp(error.message, complaint, strlen(complaint)) != 0)
        fail_msg("expected \"%s\", found \"%s\"", complaint, error.message);
}

static void a_signed_certificate_that_differs_is_refused(void **state) {
    struct fixture *fixture = *state;
    struct arena *arena = arena_new(0);
    struct sample sample;
    make_sample(fixture, arena, TEMPLATE_ORIGIN, ISSUER_P256, KIT_P256, &sample);
    struct bytes tbs = build(&sample);
    const struct issuer *issuer = &sample.issuer;
    struct bytes der = sign(arena, &fixture->issuer_keys[ISSUER_P256], issuer, tbs);
    sample.serial[15] ^= 1;
    struct bytes other = build(&sample);
    assert_refused(der, other, issuer, "lint: certificate-contents:");
    assert_refused(sign(arena, &fixture->other_issuer_key, issuer, tbs), tbs, issuer, "lint: signature:");
    assert_refused(der, tbs, &fixture->issuers[ISSUER_P384], "lint: certificate-contents:");

    struct der_node *tree = der_read(arena, der);
    tree->parts[0] = der_raw(arena, other);
    assert_refused(der_write(arena, tree), other, issuer, "lint: signature:");
    der_insert(arena, tree, 3, der_raw(arena, (struct bytes)LITERAL("\x05\x00")));
    assert_refused(der_write(arena, tree), other, issuer, "lint: certificate-form:");
    der_remove(tree, 3);
    der_remove(tree, 2);
    assert_refused(der_write(arena, tree), other, issuer, "lint: certificate-form:");
    der_insert(arena, tree, 2, der_raw(arena, (struct bytes)LITERAL("\x03\x02\x01\x80")));
    assert_refused(der_write(arena, tree), other, issuer, "lint: certificate-form:");
    der_remove(tree, 2);
    der_insert(arena, tree, 2, der_raw(arena, (struct bytes)LITERAL("\x03\x01\x00")));
    assert_refused(der_write(arena, tree), other, issuer, "lint: certificate-form:");
    arena_free(arena);
}

static void no_bit_of_a_signed_certificate_can_change_unseen(void **state) {
    struct fixture *fixture = *state;
    for (size_t issuer = 0; issuer < ISSUERS; issuer++) {
        struct arena *arena = arena_new(0);
        struct sample sample;
        make_sample(fixture, arena, TEMPLATE_COMPACT, issuer, KIT_P256, &sample);
        struct bytes tbs = build(&sample);
        struct bytes der = sign(arena, &fixture->issuer_keys[issuer], &sample.issuer, tbs);
        uint8_t *bad = arena_copy(arena, der.data, der.length + 0);
        for (size_t bit = 0; bit < der.length * 8; bit++) {
            bad[bit / 8] ^= (uint8_t)(1 << bit % 8);
            if (lint_certificate((struct bytes){bad, der.length}, tbs, &sample.issuer, NULL))
                fail_msg("issuer %zu: bit %zu of byte %zu is flipped and nothing was found", issuer, bit % 8,
                         bit / 8);
            bad[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
        assert_false(lint_certificate((struct bytes){der.data, der.length - 1}, tbs, &sample.issuer, NULL));
        arena_free(arena);
    }
}

/* --- serials --- */

static int compare_serials(const void *a, const void *b) {
    return memcmp(a, b, SERIAL_BYTES);
}

static int compare_halves(const void *a, const void *b) {
    return memcmp(a, b, 8);
}

/* Of n fair bits the ones are within six standard deviations of n / 2, but for one case in 10^9. */
static bool is_fair(size_t ones) {
    double off = (double)ones - SERIALS / 2.0;
    return off * off <= 36.0 * SERIALS / 4;
}

static uint8_t (*make_serials(void))[SERIAL_BYTES] {
    uint8_t(*serials)[SERIAL_BYTES] = malloc(SERIALS * sizeof *serials);
    assert_non_null(serials);
    for (size_t i = 0; i < SERIALS; i++)
        certificate_make_serial(serials[i]);
    return serials;
}

static void a_hundred_thousand_serials_are_positive_and_differ(void **state) {
    uint8_t(*serials)[SERIAL_BYTES] = make_serials();
    (void)state;
    /* 1 to 7F in front: positive and minimal as a DER INTEGER, so its length is exactly this, of 20 allowed
     */
    assert_true(SERIAL_BYTES <= 20);
    for (size_t i = 0; i < SERIALS; i++)
        assert_in_range(serials[i][0], 0x01, 0x7F);
    qsort(serials, SERIALS, sizeof *serials, compare_serials);
    for (size_t i = 1; i < SERIALS; i++)
        assert_memory_not_equal(serials[i - 1], serials[i], SERIAL_BYTES);
    free(serials);
}

/* At least 64 bits that are fair, differ fairly from those of the serial before (so nothing counts up), and
 * come from a space in which 10^5 draws do not meet. */
static void serials_hold_at_least_64_random_bits(void **state) {
    uint8_t(*serials)[SERIAL_BYTES] = make_serials();
    size_t fair = 0;
    (void)state;
    for (size_t bit = 0; bit < 8 * SERIAL_BYTES; bit++) {
        size_t ones = 0, changes = 0;
        for (size_t i = 0; i < SERIALS; i++) {
            unsigned value = serials[i][bit / 8] >> bit % 8 & 1;
            unsigned before = serials[i == 0 ? SERIALS - 1 : i - 1][bit / 8] >> bit % 8 & 1;
            ones += value;
            changes += value != before;
        }
        fair += is_fair(ones) && is_fair(changes);
    }
    assert_true(fair >= 64);
    assert_true(fair >= 8 * (SERIAL_BYTES - 1)); /* all but the first byte, in fact */
    for (size_t half = 0; half < 2; half++) {
        uint8_t(*halves)[8] = malloc(SERIALS * sizeof *halves);
        assert_non_null(halves);
        for (size_t i = 0; i < SERIALS; i++)
            memcpy(halves[i], serials[i] + half * 8, 8);
        qsort(halves, SERIALS, sizeof *halves, compare_halves);
        for (size_t i = 1; i < SERIALS; i++)
            assert_memory_not_equal(halves[i - 1], halves[i], 8);
        free(halves);
    }
    free(serials);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_certificate_of_every_template_issuer_and_key_passes),
        cmocka_unit_test(certificates_at_the_bounds_pass),
        cmocka_unit_test(addresses_of_any_usual_length_pass),
        cmocka_unit_test(a_serial_of_every_shard_passes),
        cmocka_unit_test(gnutls_reads_a_certificate_as_it_was_meant),
        cmocka_unit_test(each_bad_certificate_is_refused_by_its_rule_and_by_no_other),
        cmocka_unit_test(no_rule_of_the_table_lacks_a_case),
        cmocka_unit_test(every_beginning_of_a_certificate_is_not_well_formed),
        cmocka_unit_test(no_bit_of_a_certificate_can_change_unseen),
        cmocka_unit_test(a_signed_certificate_passes_for_every_issuer),
        cmocka_unit_test(a_signed_certificate_that_differs_is_refused),
        cmocka_unit_test(no_bit_of_a_signed_certificate_can_change_unseen),
        cmocka_unit_test(a_hundred_thousand_serials_are_positive_and_differ),
        cmocka_unit_test(serials_hold_at_least_64_random_bits),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
