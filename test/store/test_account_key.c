/* The hash of an account key equals that of the SubjectPublicKeyInfo which GnuTLS makes of the same key. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <gnutls/abstract.h>

#include "call.h"

static char *member(struct arena *arena, const gnutls_datum_t *number, size_t width) {
    const uint8_t *data = number->data;
    size_t length = number->size;
    while (length > 0 && *data == 0) {
        data++;
        length--;
    }
    uint8_t padded[128] = {0};
    if (width == 0)
        return base64url_encode(arena, data, length);
    memcpy(padded + width - length, data, length);
    return base64url_encode(arena, padded, width);
}

static void check(gnutls_pk_algorithm_t algorithm, unsigned bits, const char *curve, size_t width) {
    struct arena *arena = arena_new(0);
    gnutls_privkey_t private_key;
    gnutls_pubkey_t public_key;
    gnutls_datum_t first = {0}, second = {0}, spki = {0};
    char found[65], expected[65], *jwk;
    uint8_t digest[SHA256_BYTES];
    struct error error;
    gnutls_privkey_init(&private_key);
    gnutls_pubkey_init(&public_key);
    assert_int_equal(gnutls_privkey_generate(private_key, algorithm, bits, 0), 0);
    assert_int_equal(gnutls_pubkey_import_privkey(public_key, private_key, 0, 0), 0);
    if (algorithm == GNUTLS_PK_RSA) {
        assert_int_equal(gnutls_pubkey_export_rsa_raw(public_key, &first, &second), 0);
        jwk = arena_printf(arena, "{\"e\":\"%s\",\"kty\":\"RSA\",\"n\":\"%s\"}", member(arena, &second, 0),
                           member(arena, &first, 0));
    } else {
        assert_int_equal(gnutls_pubkey_export_ecc_raw(public_key, NULL, &first, &second), 0);
        bool is_ec = algorithm == GNUTLS_PK_EC;
        jwk = arena_printf(
            arena, "{\"crv\":\"%s\",\"kty\":\"%s\",\"x\":\"%s\"%s%s%s}", curve, is_ec ? "EC" : "OKP",
            is_ec ? member(arena, &first, width) : base64url_encode(arena, first.data, first.size),
            is_ec ? ",\"y\":\"" : "", is_ec ? member(arena, &second, width) : "", is_ec ? "\"" : "");
    }
    assert_int_equal(gnutls_pubkey_export2(public_key, GNUTLS_X509_FMT_DER, &spki), 0);
    sha256(spki.data, spki.size, digest);
    hex_encode(digest, sizeof digest, expected);
    assert_true(account_key_spki_sha256(jwk, found, &error));
    assert_string_equal(found, expected);
    gnutls_free(first.data);
    gnutls_free(second.data);
    gnutls_free(spki.data);
    gnutls_pubkey_deinit(public_key);
    gnutls_privkey_deinit(private_key);
    arena_free(arena);
}

static void each_kind_of_key_hashes_as_gnutls_encodes_it(void **state) {
    (void)state;
    check(GNUTLS_PK_RSA, 2048, NULL, 0);
    check(GNUTLS_PK_RSA, 3072, NULL, 0);
    check(GNUTLS_PK_EC, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), "P-256", 32);
    check(GNUTLS_PK_EC, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP384R1), "P-384", 48);
    check(GNUTLS_PK_EC, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP521R1), "P-521", 66);
    check(GNUTLS_PK_EDDSA_ED25519, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_ED25519), "Ed25519", 32);
}

static void what_is_no_key_is_refused(void **state) {
    (void)state;
    static const char *const bad[] = {"",
                                      "{",
                                      "[]",
                                      "{}",
                                      "{\"kty\":\"oct\",\"k\":\"AAAA\"}",
                                      "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AAAA\",\"y\":\"AAAA\"}",
                                      "{\"kty\":\"EC\",\"crv\":\"P-999\",\"x\":\"AAAA\",\"y\":\"AAAA\"}",
                                      "{\"kty\":\"RSA\",\"n\":\"\",\"e\":\"AQAB\"}",
                                      "{\"kty\":\"RSA\",\"n\":1,\"e\":\"AQAB\"}",
                                      "{\"kty\":\"OKP\",\"x\":\"AAAA\"}"};
    char out[65];
    struct error error;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(account_key_spki_sha256(bad[i], out, &error));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_kind_of_key_hashes_as_gnutls_encodes_it),
        cmocka_unit_test(what_is_no_key_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
