/* Judging public keys. Sizes come first: nothing costly is done for a key that is too large or too small. */
#include "originca/keys.h"

#include <string.h>

#include <gnutls/x509.h>

#include "rules_internal.h"

#define RSA_BITS_MIN 2048
#define RSA_BITS_MAX 8192
#define FERMAT_ROUNDS 100

const char *key_kind_name(enum key_kind kind) {
    static const char *const names[] = {"rsa", "p256", "p384", "p521", "ed25519"};
    return names[kind];
}

/* Product of the primes below 752 (threats: a factor there means a broken generator). */
static bool has_small_factor(const mpz_t modulus) {
    for (unsigned long candidate = 3; candidate < 752; candidate += 2) {
        bool is_prime = true;
        for (unsigned long divisor = 3; divisor * divisor <= candidate && is_prime; divisor += 2)
            is_prime = candidate % divisor != 0;
        if (is_prime && mpz_divisible_ui_p(modulus, candidate))
            return true;
    }
    return false;
}

/* Fermat's method finds factors that lie close together within a few rounds: n = a^2 - b^2. */
static bool has_close_factors(const mpz_t modulus) {
    mpz_t a, b;
    bool is_found = false;
    mpz_inits(a, b, NULL);
    mpz_sqrt(a, modulus);
    mpz_mul(b, a, a);
    if (mpz_cmp(b, modulus) < 0)
        mpz_add_ui(a, a, 1);
    for (int round = 0; round < FERMAT_ROUNDS && !is_found; round++) {
        mpz_mul(b, a, a);
        mpz_sub(b, b, modulus);
        is_found = mpz_perfect_square_p(b) != 0;
        mpz_add_ui(a, a, 1);
    }
    mpz_clears(a, b, NULL);
    return is_found;
}

static bool judge_modulus(const mpz_t n, struct error *error) {
    if (mpz_even_p(n))
        return error_set(error, ERROR_REFUSED, "the RSA modulus is even; make a new key");
    if (has_small_factor(n))
        return error_set(error, ERROR_REFUSED,
                         "the RSA modulus has a small prime factor; make a new key with other software");
    if (mpz_perfect_power_p(n))
        return error_set(error, ERROR_REFUSED,
                         "the RSA modulus is a power; make a new key with other software");
    if (has_close_factors(n))
        return error_set(error, ERROR_REFUSED,
                         "the RSA primes lie so close together that anybody can find them; make a new key "
                         "with other software");
    if (key_has_roca_fingerprint(n))
        return error_set(error, ERROR_REFUSED,
                         "the RSA key comes from a broken generator (ROCA, CVE-2017-15361); make a new key "
                         "with other software");
    return true;
}

static bool judge_rsa(gnutls_pubkey_t key, struct key_facts *facts, struct error *error) {
    gnutls_datum_t modulus, exponent;
    if (gnutls_pubkey_export_rsa_raw2(key, &modulus, &exponent, GNUTLS_EXPORT_FLAG_NO_LZ) < 0)
        return error_set(error, ERROR_REFUSED, "the RSA key cannot be read");
    static const uint8_t f4[] = {1, 0, 1};
    bool is_good = false;
    size_t bits = 0;
    mpz_t n;
    mpz_init(n);
    if (modulus.size * 8u > RSA_BITS_MAX) {
        error_set(error, ERROR_REFUSED, "the RSA key has more than %d bits; 2048 to 4096 are usual",
                  RSA_BITS_MAX);
        goto done;
    }
    mpz_import(n, modulus.size, 1, 1, 1, 0, modulus.data);
    bits = mpz_sizeinbase(n, 2);
    if (bits < RSA_BITS_MIN || bits % 8 != 0) {
        error_set(error, ERROR_REFUSED, "the RSA key has %zu bits; expected %d to %d in multiples of 8", bits,
                  RSA_BITS_MIN, RSA_BITS_MAX);
        goto done;
    }
    if (exponent.size != sizeof f4 || memcmp(exponent.data, f4, sizeof f4) != 0) {
        error_set(error, ERROR_REFUSED, "the RSA public exponent must be 65537");
        goto done;
    }
    is_good = judge_modulus(n, error);
    facts->kind = KEY_KIND_RSA;
    facts->bits = (unsigned)bits;
done:
    mpz_clear(n);
    gnutls_free(modulus.data);
    gnutls_free(exponent.data);
    return is_good;
}

struct curve {
    gnutls_ecc_curve_t id;
    enum key_kind kind;
    unsigned bits;
    const char *prime, *b; /* y^2 = x^3 - 3x + b mod p (FIPS 186-4 D.1.2) */
};

static const struct curve curves[] = {
    {GNUTLS_ECC_CURVE_SECP256R1, KEY_KIND_P256, 256,
     "ffffffff00000001000000000000000000000000ffffffffffffffffffffffff",
     "5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604b"},
    {GNUTLS_ECC_CURVE_SECP384R1, KEY_KIND_P384, 384,
     "fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffeffffffff0000000000000000ffffffff",
     "b3312fa7e23ee7e4988e056be3f82d19181d9c6efe8141120314088f5013875ac656398d8a2ed19d2a85c8edd3ec2aef"},
    {GNUTLS_ECC_CURVE_SECP521R1, KEY_KIND_P521, 521,
     "01fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"
     "fffffffffffffffffffffffffff"
     "ff",
     "0051953eb9618e1c9a1f929a21a0b68540eea2da725b99b315f3b8b489918ef109e156193951ec7e937b1652c0bd3bb1bf07357"
     "3df883d2c34f1ef451fd46b50"
     "3f00"},
};

static bool is_on_curve(const struct curve *curve, const gnutls_datum_t *x_bytes,
                        const gnutls_datum_t *y_bytes) {
    mpz_t p, b, x, y, left, right;
    mpz_inits(p, b, x, y, left, right, NULL);
    mpz_set_str(p, curve->prime, 16);
    mpz_set_str(b, curve->b, 16);
    mpz_import(x, x_bytes->size, 1, 1, 1, 0, x_bytes->data);
    mpz_import(y, y_bytes->size, 1, 1, 1, 0, y_bytes->data);
    bool is_on = mpz_cmp(x, p) < 0 && mpz_cmp(y, p) < 0;
    mpz_mul(left, y, y);
    mpz_mod(left, left, p);
    mpz_mul(right, x, x);
    mpz_sub_ui(right, right, 3);
    mpz_mul(right, right, x);
    mpz_add(right, right, b);
    mpz_mod(right, right, p);
    is_on = is_on && mpz_cmp(left, right) == 0;
    mpz_clears(p, b, x, y, left, right, NULL);
    return is_on;
}

static bool judge_ec(gnutls_pubkey_t key, struct key_facts *facts, struct error *error) {
    gnutls_ecc_curve_t id;
    gnutls_datum_t x, y;
    if (gnutls_pubkey_export_ecc_raw2(key, &id, &x, &y, GNUTLS_EXPORT_FLAG_NO_LZ) < 0)
        return error_set(error, ERROR_REFUSED, "the elliptic-curve key cannot be read");
    bool is_good = error_set(error, ERROR_REFUSED, "the elliptic curve is none of P-256, P-384, P-521");
    for (size_t i = 0; i < sizeof curves / sizeof curves[0]; i++) {
        if (curves[i].id != id)
            continue;
        facts->kind = curves[i].kind;
        facts->bits = curves[i].bits;
        is_good =
            is_on_curve(&curves[i], &x, &y) ||
            error_set(error, ERROR_REFUSED, "the public point does not lie on its curve; the key is damaged");
    }
    gnutls_free(x.data);
    gnutls_free(y.data);
    return is_good;
}

static bool export_spki(struct arena *arena, gnutls_pubkey_t key, struct key_facts *facts,
                        struct error *error) {
    gnutls_datum_t der;
    if (gnutls_pubkey_export2(key, GNUTLS_X509_FMT_DER, &der) < 0)
        return error_set(error, ERROR_REFUSED, "the public key cannot be encoded");
    void *copy = arena_copy(arena, der.data, der.size);
    facts->spki = (struct bytes){copy, der.size};
    gnutls_free(der.data);
    if (copy == NULL)
        return error_set(error, ERROR_INTERNAL, "out of memory");
    sha256(facts->spki.data, facts->spki.length, facts->spki_sha256);
    return true;
}

bool key_judge(struct arena *arena, gnutls_pubkey_t key, enum key_use use, struct key_facts *facts,
               struct error *error) {
    unsigned bits = 0;
    int algorithm = gnutls_pubkey_get_pk_algorithm(key, &bits);
    bool is_good;
    if (algorithm == GNUTLS_PK_RSA)
        is_good = judge_rsa(key, facts, error);
    else if (algorithm == GNUTLS_PK_ECDSA)
        is_good = judge_ec(key, facts, error);
    else if (algorithm == GNUTLS_PK_EDDSA_ED25519 && use == KEY_USE_ACCOUNT) {
        facts->kind = KEY_KIND_ED25519;
        facts->bits = 256;
        is_good = true;
    } else
        is_good =
            error_set(error, ERROR_REFUSED,
                      "keys of type %s are not supported; use RSA 2048 to 4096 or ECDSA P-256 or P-384%s",
                      gnutls_pk_get_name(algorithm), use == KEY_USE_ACCOUNT ? " or Ed25519" : "");
    if (!is_good || !export_spki(arena, key, facts, error))
        return false;
    if (key_is_blocked(facts->spki_sha256))
        return error_set(error, ERROR_REFUSED, "this key is known to be compromised; make a new one");
    return true;
}
