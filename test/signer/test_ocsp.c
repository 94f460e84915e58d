/* Unit tests of OCSP responses: good ones of every form pass the lint and read back in GnuTLS; each seeded
 * bad one is refused by the rule that it is there for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kit.h"

#include <string.h>

#include <gnutls/ocsp.h>
#include <gnutls/x509.h>

#include "../../server/signer/ocsp_lint.h"

#define NOW 1780272000 /* 2026-06-01T00:00:00Z */
#define YEAR ((time_t)365 * 86400)
#define VALIDITY 14400
#define LONGEST (VALIDITY + 300)
#define STATUSES 4

enum { ISSUER_P256, ISSUER_RSA, ISSUERS };

struct fixture {
    struct arena *arena;
    const char *folder;
    struct kit_key keys[ISSUERS], other_key;
    struct config_issuer configs[ISSUERS];
    struct issuer issuers[ISSUERS];
};

static int set_up(void **state) {
    static const enum kit_key_kind kinds[ISSUERS] = {KIT_P256, KIT_RSA};
    static const char *const names[ISSUERS] = {"ecc", "rsa"};
    static struct fixture fixture;
    fixture.arena = arena_new(0);
    fixture.folder = kit_make_folder(fixture.arena);
    for (size_t i = 0; i < ISSUERS; i++) {
        kit_make_key(fixture.arena, kinds[i], &fixture.keys[i]);
        kit_make_issuer(fixture.arena, fixture.folder, names[i], &fixture.keys[i], NOW - YEAR,
                        NOW + 20 * YEAR, &fixture.configs[i], &fixture.issuers[i]);
    }
    kit_make_key(fixture.arena, KIT_P256, &fixture.other_key);
    *state = &fixture;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *fixture = *state;
    kit_remove_folder(fixture->folder);
    arena_free(fixture->arena);
    return 0;
}

/* --- samples: what is wanted, and what the builder is told, which a test makes differ --- */

struct sample {
    struct arena *arena;
    struct issuer issuer;
    struct signer_ocsp_status statuses[STATUSES];
    uint8_t nonce[OCSP_NONCE_MAX];
    struct ocsp_contents contents;
};

static void make_sample(const struct issuer *issuer, size_t count, size_t nonce_length,
                        struct sample *sample) {
    *sample = (struct sample){.arena = arena_new(0), .issuer = *issuer};
    for (size_t i = 0; i < STATUSES; i++) {
        struct signer_ocsp_status *status = &sample->statuses[i];
        for (size_t k = 0; k < SERIAL_BYTES; k++)
            status->serial[k] = (uint8_t)(0x42 + 7 * k + i);
        status->form = (ocsp_form)i;
        status->is_revoked = i % 2 == 1;
        status->revoked_at = status->is_revoked ? NOW - 1000 : 0;
        status->reason = i == 1 ? 4 : 0;
    }
    memset(sample->nonce, 0x5A, sizeof sample->nonce);
    sample->contents = (struct ocsp_contents){.issuer = &sample->issuer,
                                              .statuses = sample->statuses,
                                              .count = count,
                                              .produced_at = NOW,
                                              .this_update = NOW - 300,
                                              .next_update = NOW + VALIDITY,
                                              .nonce = {sample->nonce, nonce_length}};
}

/* Where the builder is to be told something else. */
static void move_sample(struct sample *copy) {
    copy->contents.issuer = &copy->issuer;
    copy->contents.statuses = copy->statuses;
    copy->contents.nonce.data = copy->nonce;
}

static struct bytes build(const struct sample *sample) {
    struct bytes tbs;
    struct error error = {0};
    if (!ocsp_build_tbs(sample->arena, &sample->contents, &tbs, &error))
        fail_msg("building: %s", error.message);
    return tbs;
}

static struct bytes sign(struct fixture *fixture, const struct sample *sample, size_t key, struct bytes tbs) {
    struct bytes der;
    struct error error = {0};
    gnutls_datum_t data = {(unsigned char *)(uintptr_t)tbs.data, (unsigned)tbs.length}, signature;
    assert_int_equal(gnutls_privkey_sign_data2(fixture->keys[key].private_key, sample->issuer.algorithm, 0,
                                               &data, &signature),
                     0);
    assert_true(ocsp_assemble(sample->arena, &sample->issuer, tbs,
                              (struct bytes){signature.data, signature.size}, &der, &error));
    gnutls_free(signature.data);
    return der;
}

/* --- good ones --- */

static void check_in_gnutls(struct bytes der, const struct sample *sample) {
    gnutls_ocsp_resp_t response;
    gnutls_datum_t data = {(unsigned char *)(uintptr_t)der.data, (unsigned)der.length}, nonce = {0};
    assert_int_equal(gnutls_ocsp_resp_init(&response), 0);
    assert_int_equal(gnutls_ocsp_resp_import(response, &data), 0);
    assert_int_equal(gnutls_ocsp_resp_get_status(response), GNUTLS_OCSP_RESP_SUCCESSFUL);
    assert_int_equal(gnutls_ocsp_resp_get_produced(response), NOW);
    for (unsigned i = 0; i < sample->contents.count; i++) {
        const struct signer_ocsp_status *status = &sample->statuses[i];
        gnutls_digest_algorithm_t digest;
        gnutls_datum_t name, key, serial;
        unsigned said, reason;
        time_t from, to, revoked_at;
        assert_int_equal(gnutls_ocsp_resp_get_single(response, i, &digest, &name, &key, &serial, &said, &from,
                                                     &to, &revoked_at, &reason),
                         0);
        assert_int_equal(digest, (status->form & OCSP_SHA256) != 0 ? GNUTLS_DIG_SHA256 : GNUTLS_DIG_SHA1);
        assert_int_equal(serial.size, SERIAL_BYTES);
        assert_memory_equal(serial.data, status->serial, SERIAL_BYTES);
        assert_int_equal(said, status->is_revoked ? GNUTLS_OCSP_CERT_REVOKED : GNUTLS_OCSP_CERT_GOOD);
        assert_int_equal(from, NOW - 300);
        assert_int_equal(to, NOW + VALIDITY);
        if (status->is_revoked) {
            assert_int_equal(revoked_at, status->revoked_at);
            assert_int_equal(reason, status->reason);
        }
        gnutls_free(name.data);
        gnutls_free(key.data);
        gnutls_free(serial.data);
    }
    bool has_nonce = gnutls_ocsp_resp_get_nonce(response, NULL, &nonce) == 0;
    assert_int_equal(has_nonce ? nonce.size : 0, sample->contents.nonce.length);
    gnutls_free(nonce.data);
    gnutls_ocsp_resp_deinit(response);
}

static void good_responses_pass_and_read_back(void **state) {
    struct fixture *fixture = *state;
    static const size_t nonces[] = {0, 1, 32, 128};
    for (size_t issuer = 0; issuer < ISSUERS; issuer++)
        for (size_t count = 1; count <= STATUSES; count++)
            for (size_t i = 0; i < 4; i++) {
                struct sample sample;
                struct error error = {0};
                make_sample(&fixture->issuers[issuer], count, nonces[i], &sample);
                struct bytes tbs = build(&sample);
                if (!ocsp_lint_tbs(tbs, &sample.contents, LONGEST, &error))
                    fail_msg("%s", error.message);
                struct bytes der = sign(fixture, &sample, issuer, tbs);
                if (!ocsp_lint_response(der, tbs, &sample.issuer, &error))
                    fail_msg("%s", error.message);
                check_in_gnutls(der, &sample);
                arena_free(sample.arena);
            }
}

/* GnuTLS's own CertID of a certificate of the issuer is the issuer's. */
static void issuers_are_identified_as_gnutls_does(void **state) {
    struct fixture *fixture = *state;
    static const gnutls_digest_algorithm_t digests[] = {GNUTLS_DIG_SHA1, GNUTLS_DIG_SHA256};
    for (size_t issuer = 0; issuer < ISSUERS; issuer++)
        for (size_t which = 0; which < 2; which++) {
            gnutls_x509_crt_t certificate;
            gnutls_ocsp_req_t request;
            gnutls_datum_t file, name, key, serial, der;
            gnutls_digest_algorithm_t digest;
            struct ocsp_request read;
            struct error error = {0};
            assert_int_equal(gnutls_load_file(fixture->configs[issuer].certificate_file, &file), 0);
            gnutls_x509_crt_init(&certificate);
            assert_int_equal(gnutls_x509_crt_import(certificate, &file, GNUTLS_X509_FMT_PEM), 0);
            gnutls_ocsp_req_init(&request);
            assert_int_equal(gnutls_ocsp_req_add_cert(request, digests[which], certificate, certificate), 0);
            assert_int_equal(gnutls_ocsp_req_get_cert_id(request, 0, &digest, &name, &key, &serial), 0);
            assert_memory_equal(name.data, fixture->issuers[issuer].ocsp.name[which], name.size);
            assert_memory_equal(key.data, fixture->issuers[issuer].ocsp.key[which], key.size);
            assert_int_equal(gnutls_ocsp_req_export(request, &der), 0);
            if (!ocsp_request_parse((struct bytes){der.data, der.size}, 1, &read, &error))
                fail_msg("%s", error.message);
            assert_true(ocsp_is_of_issuer(&read.ids[0], &fixture->issuers[issuer].ocsp));
            assert_false(ocsp_is_of_issuer(&read.ids[0], &fixture->issuers[1 - issuer].ocsp));
            gnutls_datum_t *const all[] = {&file, &name, &key, &serial, &der};
            for (size_t i = 0; i < 5; i++)
                gnutls_free(all[i]->data);
            gnutls_ocsp_req_deinit(request);
            gnutls_x509_crt_deinit(certificate);
        }
}

/* --- seeded bad ones: built with something else than what is wanted, or bytes changed afterwards --- */

static void no_change(struct sample *sample) {
    (void)sample;
}
static void other_responder(struct sample *sample) {
    sample->issuer.ocsp.key[0][3] ^= 1;
}
static void other_name_hash(struct sample *sample) {
    sample->issuer.ocsp.name[0][3] ^= 1;
}
static void other_key_hash(struct sample *sample) {
    sample->issuer.ocsp.key[1][3] ^= 1;
}
static void one_fewer(struct sample *sample) {
    sample->contents.count--;
}
static void none(struct sample *sample) {
    sample->contents.count = 0;
}
static void other_form(struct sample *sample) {
    sample->statuses[0].form = OCSP_NO_PARAMETERS;
}
static void other_serial(struct sample *sample) {
    sample->statuses[0].serial[9] ^= 1;
}
static void good_for_revoked(struct sample *sample) {
    sample->statuses[1].is_revoked = false;
}
static void revoked_for_good(struct sample *sample) {
    sample->statuses[0].is_revoked = true;
    sample->statuses[0].revoked_at = NOW - 5;
}
static void other_reason(struct sample *sample) {
    sample->statuses[1].reason = 1;
}
static void reason_left_out(struct sample *sample) {
    sample->statuses[1].reason = 0;
}
static void other_revocation_time(struct sample *sample) {
    sample->statuses[1].revoked_at++;
}
static void other_produced_at(struct sample *sample) {
    sample->contents.produced_at--;
}
static void other_this_update(struct sample *sample) {
    sample->contents.this_update--;
}
static void other_next_update(struct sample *sample) {
    sample->contents.next_update++;
}
static void no_nonce(struct sample *sample) {
    sample->contents.nonce.length = 0;
}
static void other_nonce(struct sample *sample) {
    sample->nonce[5] ^= 1;
}
static void shorter_nonce(struct sample *sample) {
    sample->contents.nonce.length--;
}

static void bad_contents_are_refused_by_their_rule(void **state) {
    struct fixture *fixture = *state;
    static const struct {
        const char *rule;
        void (*change)(struct sample *sample);
    } cases[] = {{"ocsp-responder", other_responder},
                 {"ocsp-issuer", other_name_hash},
                 {"ocsp-issuer", other_key_hash},
                 {"ocsp-count", one_fewer},
                 {"ocsp-count", none},
                 {"ocsp-hash", other_form},
                 {"ocsp-serial", other_serial},
                 {"ocsp-status", good_for_revoked},
                 {"ocsp-status", revoked_for_good},
                 {"ocsp-revocation", other_reason},
                 {"ocsp-revocation", reason_left_out},
                 {"ocsp-revocation", other_revocation_time},
                 {"ocsp-window", other_produced_at},
                 {"ocsp-window", other_this_update},
                 {"ocsp-window", other_next_update},
                 {"ocsp-nonce", no_nonce},
                 {"ocsp-nonce", other_nonce},
                 {"ocsp-nonce", shorter_nonce}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sample wanted, told;
        struct error error = {0};
        make_sample(&fixture->issuers[ISSUER_P256], 2, 32, &wanted);
        told = wanted;
        move_sample(&wanted);
        move_sample(&told);
        cases[i].change(&told);
        assert_false(ocsp_lint_tbs(build(&told), &wanted.contents, LONGEST, &error));
        if (strstr(error.message, cases[i].rule) == NULL)
            fail_msg("case %zu, expected %s: %s", i, cases[i].rule, error.message);
        arena_free(wanted.arena);
    }
}

/* What is wanted can be wrong itself: then builder and request agree, and the rule alone refuses. */
static void end_after_issuer(struct sample *sample) {
    sample->issuer.not_after = NOW + 60;
}
static void lasts_too_long(struct sample *sample) {
    sample->contents.next_update = NOW + 2 * VALIDITY;
}
static void is_over(struct sample *sample) {
    sample->contents.next_update = NOW;
}
static void revoked_to_come(struct sample *sample) {
    sample->statuses[1].revoked_at = NOW + 10;
}
static void reason_of_no_certificate(struct sample *sample) {
    sample->statuses[1].reason = 6;
}
static void negative_serial(struct sample *sample) {
    sample->statuses[0].serial[0] = 0x80;
}

static void bad_wishes_are_refused_by_their_rule(void **state) {
    struct fixture *fixture = *state;
    static const struct {
        const char *rule;
        void (*change)(struct sample *sample);
    } cases[] = {{"", no_change},
                 {"ocsp-issuer-end", end_after_issuer},
                 {"ocsp-window", lasts_too_long},
                 {"ocsp-window", is_over},
                 {"ocsp-revocation", revoked_to_come},
                 {"ocsp-revocation", reason_of_no_certificate},
                 {"ocsp-serial", negative_serial}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sample wanted;
        struct error error = {0};
        make_sample(&fixture->issuers[ISSUER_P256], 2, 0, &wanted);
        move_sample(&wanted);
        cases[i].change(&wanted);
        bool passes = ocsp_lint_tbs(build(&wanted), &wanted.contents, LONGEST, &error);
        assert_int_equal(passes, *cases[i].rule == '\0');
        if (!passes && strstr(error.message, cases[i].rule) == NULL)
            fail_msg("case %zu, expected %s: %s", i, cases[i].rule, error.message);
        arena_free(wanted.arena);
    }
}

/* --- bytes changed --- */

/* The TBS with `piece` put in at `at`, and the length of each sequence that holds it, at `lengths`, grown. */
static struct bytes put_in(struct arena *arena, struct bytes tbs, size_t at, const char *piece, size_t length,
                           const size_t *lengths, size_t count) {
    uint8_t *out = arena_alloc(arena, tbs.length + length);
    memcpy(out, tbs.data, at);
    memcpy(out + at, piece, length);
    memcpy(out + at + length, tbs.data + at, tbs.length - at);
    for (size_t i = 0; i < count; i++)
        out[lengths[i]] = (uint8_t)(out[lengths[i]] + length);
    return (struct bytes){out, tbs.length + length};
}

static size_t find(struct bytes tbs, const char *piece, size_t length) {
    const uint8_t *found = memmem(tbs.data, tbs.length, piece, length);
    assert_non_null(found);
    return (size_t)(found - tbs.data);
}

static void expect_refusal(struct bytes tbs, const struct sample *sample, const char *rule) {
    struct error error = {0};
    assert_false(ocsp_lint_tbs(tbs, &sample->contents, LONGEST, &error));
    if (strstr(error.message, rule) == NULL)
        fail_msg("expected %s: %s", rule, error.message);
}

static void changed_bytes_are_refused_by_their_rule(void **state) {
    struct fixture *fixture = *state;
    struct sample sample;
    make_sample(&fixture->issuers[ISSUER_P256], 1, 0, &sample);
    struct bytes tbs = build(&sample);
    struct arena *arena = sample.arena;
    /* SEQUENCE 30 81 xx; the list stands behind responder (24 bytes) and producedAt (17). */
    assert_int_equal(tbs.data[1], 0x81);
    const size_t outer = 2, list = 3 + 24 + 17 + 1;
    assert_int_equal(tbs.data[list - 1], 0x30);
    const size_t single = list + 2;
    const size_t all[] = {outer, list, single};
    expect_refusal(put_in(arena, tbs, 3, "\xA0\x03\x02\x01\x00", 5, all, 1), &sample, "ocsp-version");
    expect_refusal(put_in(arena, tbs, tbs.length, "\xA1\x02\x30\x00", 4, all, 1), &sample, "ocsp-nonce");
    expect_refusal(put_in(arena, tbs, tbs.length, "\xA1\x02\x30\x00", 4, all, 3), &sample,
                   "ocsp-single-extensions");
    expect_refusal(put_in(arena, tbs, tbs.length, "\x05\x00", 2, all, 1), &sample, "ocsp-form");
    expect_refusal(put_in(arena, tbs, tbs.length, "\x05\x00", 2, all, 0), &sample, "ocsp-form");
    uint8_t *bytes = arena_copy(arena, tbs.data, tbs.length);
    const struct bytes changed = {bytes, tbs.length};
    bytes[find(tbs, "\x80\x00", 2)] = 0x82; /* unknown */
    expect_refusal(changed, &sample, "ocsp-status");
    memcpy(bytes, tbs.data, tbs.length);
    bytes[find(tbs, "20260601000000Z", 15) + 14] = '0';
    expect_refusal(changed, &sample, "ocsp-time");
    memcpy(bytes, tbs.data, tbs.length);
    bytes[find(tbs, "20260601000000Z", 15) + 4] = '9'; /* month 96 */
    expect_refusal(changed, &sample, "ocsp-time");
    memcpy(bytes, tbs.data, tbs.length);
    bytes[3] = 0xA1; /* byName */
    expect_refusal(changed, &sample, "ocsp-responder");
    for (size_t length = 0; length < tbs.length; length++)
        expect_refusal((struct bytes){tbs.data, length}, &sample, "ocsp-form");
    arena_free(arena);
}

/* Of the rules, only this one needs a response without nextUpdate. */
static void a_response_without_next_update_is_refused(void **state) {
    struct fixture *fixture = *state;
    struct sample sample;
    make_sample(&fixture->issuers[ISSUER_P256], 1, 0, &sample);
    struct bytes tbs = build(&sample);
    uint8_t *bytes = arena_copy(sample.arena, tbs.data, tbs.length);
    bytes[2] -= 19;
    bytes[3 + 24 + 17 + 1] -= 19;
    bytes[3 + 24 + 17 + 3] -= 19;
    expect_refusal((struct bytes){bytes, tbs.length - 19}, &sample, "ocsp-window");
    arena_free(sample.arena);
}

static void a_signed_response_is_what_was_linted_and_verifies(void **state) {
    struct fixture *fixture = *state;
    struct sample sample;
    struct error error = {0};
    make_sample(&fixture->issuers[ISSUER_P256], 1, 16, &sample);
    struct bytes tbs = build(&sample), der = sign(fixture, &sample, ISSUER_P256, tbs);
    uint8_t *bytes = arena_alloc(sample.arena, der.length + 1);
    for (size_t i = 0; i < der.length; i++) { /* any one bit */
        memcpy(bytes, der.data, der.length);
        bytes[i] ^= 1;
        assert_false(ocsp_lint_response((struct bytes){bytes, der.length}, tbs, &sample.issuer, &error));
    }
    for (size_t length = 0; length < der.length; length++)
        assert_false(ocsp_lint_response((struct bytes){der.data, length}, tbs, &sample.issuer, &error));
    memcpy(bytes, der.data, der.length);
    bytes[der.length] = 0;
    assert_false(ocsp_lint_response((struct bytes){bytes, der.length + 1}, tbs, &sample.issuer, &error));
    arena_free(sample.arena);
}

static void every_rule_has_a_bad_response(void **state) {
    (void)state;
    static const char *const tried[] = {"ocsp-form",
                                        "ocsp-version",
                                        "ocsp-responder",
                                        "ocsp-time",
                                        "ocsp-count",
                                        "ocsp-hash",
                                        "ocsp-issuer",
                                        "ocsp-serial",
                                        "ocsp-status",
                                        "ocsp-revocation",
                                        "ocsp-window",
                                        "ocsp-issuer-end",
                                        "ocsp-single-extensions",
                                        "ocsp-nonce"};
    const struct lint_rule *rules;
    size_t count = ocsp_lint_rules(&rules);
    assert_int_equal(count, sizeof tried / sizeof *tried);
    for (size_t i = 0; i < count; i++)
        assert_string_equal(rules[i].id, tried[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(good_responses_pass_and_read_back),
                                       cmocka_unit_test(issuers_are_identified_as_gnutls_does),
                                       cmocka_unit_test(bad_contents_are_refused_by_their_rule),
                                       cmocka_unit_test(bad_wishes_are_refused_by_their_rule),
                                       cmocka_unit_test(changed_bytes_are_refused_by_their_rule),
                                       cmocka_unit_test(a_response_without_next_update_is_refused),
                                       cmocka_unit_test(a_signed_response_is_what_was_linted_and_verifies),
                                       cmocka_unit_test(every_rule_has_a_bad_response)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
