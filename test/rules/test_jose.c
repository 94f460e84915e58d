/* Unit tests of keys, JWK and JWS: vectors of the RFCs, every strictness, weak keys. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <gmp.h>

#include "originca/jose.h"
#include "originca/json.h"
#include "originca/nonce.h"

static int make_arena(void **state) {
    *state = arena_new(0);
    return *state == NULL;
}

static int drop_arena(void **state) {
    arena_free(*state);
    return 0;
}

static const json_t *parse(struct arena *arena, const char *text) {
    json_t *json = json_parse(arena, text, strlen(text), NULL);
    assert_non_null(json);
    return json;
}

static void thumbprints_match_the_rfcs(void **state) {
    static const char rsa[] = /* RFC 7638 3.1 */
        "{\"kty\":\"RSA\",\"n\":"
        "\"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_"
        "BJECPebWKRXjBZCiFV4n3oknjhMs"
        "tn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_"
        "FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt"
        "-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw\",\"e\":"
        "\"AQAB\",\"alg\":\"RS256\",\"kid\":\"2011-04-29\"}";
    static const char okp[] = /* RFC 8037 A.2, A.3 */
        "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}";
    struct jwk jwk;
    struct error error = {0};
    assert_true(jwk_import(*state, parse(*state, rsa), &jwk, &error));
    assert_string_equal(jwk.thumbprint, "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    assert_true(jwk_import(*state, parse(*state, okp), &jwk, &error));
    assert_string_equal(jwk.thumbprint, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    assert_int_equal(jwk.facts.kind, KEY_KIND_ED25519);
}

#define EC_KEY                                                                                               \
    "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\",\"y\":\"x_"     \
    "FEzRu9m36HLN_tue659LNpXW6pCiRstikYjKIWI0a\"}"

static void es256_vector_verifies_and_a_changed_one_does_not(void **state) {
    /* RFC 7515 A.3: key, protected header {"alg":"ES256"}, payload, signature. */
    static const char key[] =
        "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\",\"y\":\"x_"
        "FEzRu9m36HLN_tue659LNpXW6"
        "pCyStikYjKIWI5a0\"}";
    static const char input[] =
        "eyJhbGciOiJFUzI1NiJ9."
        "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    static const char signature[] =
        "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    struct jwk jwk;
    struct error error = {0};
    enum jws_fault fault;
    assert_true(jwk_import(*state, parse(*state, key), &jwk, &error));
    struct jws jws = {.algorithm = JWS_ES256, .signing_input = {(const uint8_t *)input, strlen(input)}};
    assert_true(base64url_decode(*state, signature, strlen(signature), &jws.signature));
    assert_true(jws_verify(&jws, &jwk, &fault, &error));
    jws.signing_input.length--;
    assert_false(jws_verify(&jws, &jwk, &fault, &error));
    assert_int_equal(fault, JWS_FAULT_BAD_SIGNATURE);
    jws.signing_input.length++;
    jws.signature.length--;
    assert_false(jws_verify(&jws, &jwk, &fault, &error));
    jws.signature.length++;
    jws.algorithm = JWS_RS256; /* the key decides, not the header */
    assert_false(jws_verify(&jws, &jwk, &fault, &error));
    assert_int_equal(fault, JWS_FAULT_BAD_ALGORITHM);
}

static void hmac_is_for_bindings_alone(void **state) {
    /* RFC 7515 A.1's key and input, as an external account binding. */
    struct error error;
    enum jws_fault fault;
    struct jws jws;
    static const char header[] = "{\"alg\":\"HS256\",\"kid\":\"k\",\"url\":\"https://a/b\"}";
    char *protected = base64url_encode(*state, header, strlen(header));
    char *input = arena_printf(*state, "%s.e30", protected);
    uint8_t mac[SHA256_BYTES];
    hmac_sha256("secret", 6, input, strlen(input), mac);
    char *text = arena_printf(*state, "{\"protected\":\"%s\",\"payload\":\"e30\",\"signature\":\"%s\"}",
                              protected, base64url_encode(*state, mac, 32));
    struct bytes bytes = {(const uint8_t *)text, strlen(text)};
    assert_true(jws_parse(*state, bytes, JWS_INNER_EAB, &jws, &fault, &error));
    assert_true(jws_verify_hmac(&jws, (const uint8_t *)"secret", 6, &fault, &error));
    assert_false(jws_verify_hmac(&jws, (const uint8_t *)"Secret", 6, &fault, &error));
    assert_false(jws_parse(*state, bytes, JWS_OUTER, &jws, &fault, &error));
}

static bool parse_with(struct arena *arena, const char *header, const char *members, enum jws_fault *fault) {
    struct jws jws;
    struct error error;
    char *protected = base64url_encode(arena, header, strlen(header));
    char *text = arena_printf(arena, "{\"protected\":\"%s\"%s}", protected, members);
    return jws_parse(arena, (struct bytes){(const uint8_t *)text, strlen(text)}, JWS_OUTER, &jws, fault,
                     &error);
}

static void jws_is_strict(void **state) {
    static const char rest[] = ",\"payload\":\"e30\",\"signature\":\"AAAA\"";
    static const char *const good[] = {
        "{\"alg\":\"ES256\",\"kid\":\"k\",\"nonce\":\"n\",\"url\":\"u\"}",
        "{ \"nonce\" : \"n\", \"url\":\"u\",\n \"alg\": \"RS256\", \"kid\":\"k\" }"};
    static const char *const bad[] = {
        "{\"alg\":\"none\",\"kid\":\"k\",\"nonce\":\"n\",\"url\":\"u\"}",
        "{\"alg\":\"HS256\",\"kid\":\"k\",\"nonce\":\"n\",\"url\":\"u\"}",
        "{\"alg\":\"ES256K\",\"kid\":\"k\",\"nonce\":\"n\",\"url\":\"u\"}",
        "{\"alg\":\"ES256\",\"nonce\":\"n\",\"url\":\"u\"}",
        "{\"alg\":\"ES256\",\"kid\":\"k\",\"jwk\":{},\"nonce\":\"n\",\"url\":\"u\"}",
        "{\"alg\":\"ES256\",\"kid\":\"k\",\"url\":\"u\"}",
        "{\"alg\":\"ES256\",\"kid\":\"k\",\"nonce\":\"n\"}",
        "{\"alg\":\"ES256\",\"kid\":\"k\",\"nonce\":1,\"url\":\"u\"}",
        "{\"alg\":\"ES256\",\"kid\":\"k\",\"nonce\":\"n\",\"url\":\"u\",\"crit\":[\"b64\"]}",
        "{\"alg\":\"ES256\",\"kid\":\"k\",\"nonce\":\"n\",\"url\":\"u\",\"b64\":false}",
        "{\"alg\":\"ES256\",\"alg\":\"RS256\",\"kid\":\"k\",\"nonce\":\"n\",\"url\":\"u\"}",
        "[]",
        "not json",
    };
    enum jws_fault fault;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        assert_true(parse_with(*state, good[i], rest, &fault));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (parse_with(*state, bad[i], rest, &fault))
            fail_msg("accepted: %s", bad[i]);
    static const char *const shapes[] = {",\"payload\":\"e30\"",
                                         ",\"payload\":\"e30\",\"signature\":\"AAAA\",\"header\":{}",
                                         ",\"payload\":\"e30=\",\"signature\":\"AAAA\"",
                                         ",\"payload\":\"e30\",\"signatures\":[]",
                                         ",\"payload\":\"e30\",\"signature\":\"AAAA\",\"signature\":\"AAAA\"",
                                         ",\"payload\":\"e31\",\"signature\":1"};
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        if (parse_with(*state, good[0], shapes[i], &fault))
            fail_msg("accepted: %s", shapes[i]);
}

/* Builds an RSA JWK of any modulus. */
static bool import_modulus(struct arena *arena, const mpz_t n, const char *exponent, struct error *error) {
    uint8_t bytes[1100];
    size_t count = 0;
    struct jwk jwk;
    mpz_export(bytes, &count, 1, 1, 1, 0, n);
    char *text = arena_printf(arena, "{\"kty\":\"RSA\",\"n\":\"%s\",\"e\":\"%s\"}",
                              base64url_encode(arena, bytes, count), exponent);
    return jwk_import(arena, parse(arena, text), &jwk, error);
}

static void next_prime(mpz_t out, unsigned bits, unsigned seed) {
    gmp_randstate_t random;
    gmp_randinit_default(random);
    gmp_randseed_ui(random, seed);
    mpz_urandomb(out, random, bits);
    mpz_setbit(out, bits - 1);
    mpz_setbit(out, bits - 2);
    mpz_nextprime(out, out);
    gmp_randclear(random);
}

static void expect_refused(struct arena *arena, const mpz_t n, const char *exponent, const char *rule) {
    struct error error = {0};
    if (import_modulus(arena, n, exponent, &error))
        fail_msg("accepted a key that breaks: %s", rule);
    if (strstr(error.message, rule) == NULL)
        fail_msg("\"%s\" does not speak of %s", error.message, rule);
}

static void weak_rsa_keys_are_refused(void **state) {
    mpz_t p, q, n, m, k;
    mpz_inits(p, q, n, m, k, NULL);
    struct error error = {0};
    next_prime(p, 1024, 1);
    next_prime(q, 1024, 2);
    mpz_mul(n, p, q);
    assert_true(import_modulus(*state, n, "AQAB", &error));
    expect_refused(*state, n, "Aw", "65537");
    mpz_add_ui(m, n, 1);
    expect_refused(*state, m, "AQAB", "even");
    next_prime(p, 1016, 3);
    next_prime(q, 1016, 4);
    mpz_mul(n, p, q);
    expect_refused(*state, n, "AQAB", "bits");
    next_prime(p, 2040, 5);
    mpz_mul_ui(n, p, 251);
    expect_refused(*state, n, "AQAB", "small prime factor");
    next_prime(p, 1024, 6);
    mpz_add_ui(q, p, 1000);
    mpz_nextprime(q, q);
    mpz_mul(n, p, q);
    expect_refused(*state, n, "AQAB", "close together");
    mpz_mul(n, p, p);
    expect_refused(*state, n, "AQAB", "power");
    mpz_ui_pow_ui(n, 2, 8199); /* its size is refused before anything is computed */
    mpz_add_ui(n, n, 1);
    expect_refused(*state, n, "AQAB", "large");
    mpz_clears(p, q, n, m, k, NULL);
}

/* p = k * M + (65537^a mod M), with M the product of the first 39 primes, is what the broken library made. */
static void roca_prime(mpz_t out, unsigned seed) {
    mpz_t m, base;
    mpz_inits(m, base, NULL);
    mpz_primorial_ui(m, 167);
    mpz_set_ui(base, 65537);
    mpz_powm_ui(base, base, seed * 7919 + 3, m);
    gmp_randstate_t random;
    gmp_randinit_default(random);
    gmp_randseed_ui(random, seed);
    /* From three quarters of 2^1024 on: the product of two such primes has 2048 bits. */
    mpz_t least;
    mpz_init(least);
    mpz_ui_pow_ui(least, 2, 1022);
    mpz_mul_ui(least, least, 3);
    mpz_fdiv_q(least, least, m);
    do {
        mpz_urandomb(out, random, 1018 - (unsigned)mpz_sizeinbase(m, 2));
        mpz_add(out, out, least);
        mpz_add_ui(out, out, 1);
        mpz_mul(out, out, m);
        mpz_add(out, out, base);
    } while (!mpz_probab_prime_p(out, 20));
    gmp_randclear(random);
    mpz_clears(m, base, least, NULL);
}

static void roca_keys_are_refused(void **state) {
    mpz_t p, q, n;
    mpz_inits(p, q, n, NULL);
    roca_prime(p, 11);
    roca_prime(q, 12);
    mpz_mul(n, p, q);
    expect_refused(*state, n, "AQAB", "ROCA");
    mpz_clears(p, q, n, NULL);
}

static void bad_points_and_forms_are_refused(void **state) {
    static const char *const bad[] = {
        EC_KEY, /* off the curve */
        "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\",\"y\":"
        "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}",
        "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83O\",\"y\":\"x_FE\"}",
        "{\"kty\":\"EC\",\"crv\":\"secp256k1\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\",\"y\":"
        "\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}",
        "{\"kty\":\"oct\",\"k\":\"AAAA\"}",
        "{\"kty\":\"OKP\",\"crv\":\"X25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}",
        "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\",\"d\":"
        "\"AAAA\"}",
        "{}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct jwk jwk;
        struct error error;
        if (jwk_import(*state, parse(*state, bad[i]), &jwk, &error))
            fail_msg("accepted: %s", bad[i]);
    }
}

static void nonces_are_ours_once_and_for_a_while(void **state) {
    struct nonce_issuer issuer = {.key = {1}, .lifetime_seconds = 60},
                        other = {.key = {2}, .lifetime_seconds = 60};
    char text[NONCE_TEXT_LENGTH + 1], next[NONCE_TEXT_LENGTH + 1];
    struct nonce nonce, second;
    struct error error;
    (void)state;
    nonce_issue(&issuer, text);
    nonce_issue(&issuer, next);
    assert_int_equal(strlen(text), NONCE_TEXT_LENGTH);
    assert_true(nonce_check(&issuer, text, &nonce, &error));
    assert_true(nonce_check(&issuer, next, &second, &error));
    assert_string_equal(nonce.block_hex, second.block_hex);
    assert_int_not_equal(nonce.index, second.index);
    assert_false(nonce_check(&other, text, &nonce, &error));
    for (size_t i = 0; i < NONCE_TEXT_LENGTH; i++) {
        char changed[NONCE_TEXT_LENGTH + 1];
        strcpy(changed, text);
        changed[i] = changed[i] == 'A' ? 'B' : 'A';
        assert_false(nonce_check(&issuer, changed, &nonce, &error));
    }
    assert_false(nonce_check(&issuer, "", &nonce, &error));
    issuer.lifetime_seconds = 0;
    nonce_issue(&issuer, text);
    int64_t until = clock_wall_ms() + 1500;
    while (clock_wall_ms() < until && nonce_check(&issuer, text, &nonce, &error)) {
    }
    assert_false(nonce_check(&issuer, text, &nonce, &error));
    assert_non_null(strstr(error.message, "too old"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(thumbprints_match_the_rfcs, make_arena, drop_arena),
        cmocka_unit_test_setup_teardown(es256_vector_verifies_and_a_changed_one_does_not, make_arena,
                                        drop_arena),
        cmocka_unit_test_setup_teardown(hmac_is_for_bindings_alone, make_arena, drop_arena),
        cmocka_unit_test_setup_teardown(jws_is_strict, make_arena, drop_arena),
        cmocka_unit_test_setup_teardown(weak_rsa_keys_are_refused, make_arena, drop_arena),
        cmocka_unit_test_setup_teardown(roca_keys_are_refused, make_arena, drop_arena),
        cmocka_unit_test_setup_teardown(bad_points_and_forms_are_refused, make_arena, drop_arena),
        cmocka_unit_test(nonces_are_ours_once_and_for_a_while),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
