/* The identity of an account key among certificate keys: SHA-256 of its SubjectPublicKeyInfo (RFC 5280 4.1),
 * built from the canonical JWK (RFC 7517, RFC 7518 6, RFC 8037 2) by hand, since the key was judged before
 * and only the hash is needed. */
#include <string.h>

#include "call.h"
#include "originca/json.h"

/* AlgorithmIdentifier and all that stands before the key's bytes; fixed for each curve. */
static const struct curve {
    const char *name;
    uint8_t coordinate_bytes, prefix_length;
    uint8_t prefix[30];
} curves[] = {
    {"P-256", 32, 27, {0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06,
                       0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04}},
    {"P-384", 48, 24, {0x30, 0x76, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02,
                       0x01, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22, 0x03, 0x62, 0x00, 0x04}},
    {"P-521", 66, 26, {0x30, 0x81, 0x9b, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02,
                       0x01, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23, 0x03, 0x81, 0x86, 0x00, 0x04}},
};
static const uint8_t ed25519_prefix[] = {0x30, 0x2a, 0x30, 0x05, 0x06, 0x03,
                                         0x2b, 0x65, 0x70, 0x03, 0x21, 0x00};
static const uint8_t rsa_algorithm[] = {0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86,
                                        0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00};

static bool get_bytes(struct arena *arena, const json_t *jwk, const char *member, struct bytes *out) {
    const char *text = json_string_value(json_object_get(jwk, member));
    return text != NULL && base64url_decode(arena, text, strlen(text), out) && out->length > 0 &&
           out->length < 4096;
}

static void append(struct text *der, struct bytes bytes) {
    text_append_bytes(der, bytes.data, bytes.length);
}

/* DER tag and length, definite form. */
static void append_header(struct text *der, uint8_t tag, size_t length) {
    uint8_t header[4] = {tag};
    size_t used = 1;
    if (length < 0x80) {
        header[used++] = (uint8_t)length;
    } else if (length < 0x100) {
        header[used++] = 0x81;
        header[used++] = (uint8_t)length;
    } else {
        header[used++] = 0x82;
        header[used++] = (uint8_t)(length >> 8);
        header[used++] = (uint8_t)length;
    }
    text_append_bytes(der, header, used);
}

static void append_integer(struct text *der, struct bytes number) {
    while (number.length > 1 && number.data[0] == 0) {
        number.data++;
        number.length--;
    }
    bool needs_zero = (number.data[0] & 0x80) != 0;
    append_header(der, 0x02, number.length + needs_zero);
    if (needs_zero)
        text_append_bytes(der, "", 1);
    append(der, number);
}

static bool build_rsa(struct arena *arena, const json_t *jwk, struct text *der) {
    struct bytes n, e;
    struct text numbers, key, body;
    if (!get_bytes(arena, jwk, "n", &n) || !get_bytes(arena, jwk, "e", &e))
        return false;
    text_init(&numbers, arena);
    text_init(&key, arena);
    text_init(&body, arena);
    append_integer(&numbers, n);
    append_integer(&numbers, e);
    append_header(&key, 0x30, numbers.length);
    text_append_bytes(&key, numbers.data, numbers.length);
    text_append_bytes(&body, rsa_algorithm, sizeof rsa_algorithm);
    append_header(&body, 0x03, key.length + 1);
    text_append_bytes(&body, "", 1);
    text_append_bytes(&body, key.data, key.length);
    append_header(der, 0x30, body.length);
    text_append_bytes(der, body.data, body.length);
    return !numbers.failed && !key.failed && !body.failed;
}

static bool build_ec(struct arena *arena, const json_t *jwk, struct text *der) {
    struct bytes x, y;
    const char *name = json_string_value(json_object_get(jwk, "crv"));
    if (name == NULL || !get_bytes(arena, jwk, "x", &x) || !get_bytes(arena, jwk, "y", &y))
        return false;
    for (size_t i = 0; i < sizeof curves / sizeof curves[0]; i++) {
        const struct curve *curve = &curves[i];
        if (strcmp(curve->name, name) != 0)
            continue;
        if (x.length != curve->coordinate_bytes || y.length != curve->coordinate_bytes)
            return false;
        text_append_bytes(der, curve->prefix, curve->prefix_length);
        append(der, x);
        append(der, y);
        return true;
    }
    return false;
}

static bool build_ed25519(struct arena *arena, const json_t *jwk, struct text *der) {
    struct bytes x;
    if (!get_bytes(arena, jwk, "x", &x) || x.length != 32)
        return false;
    text_append_bytes(der, ed25519_prefix, sizeof ed25519_prefix);
    append(der, x);
    return true;
}

static bool build(struct arena *arena, const char *text, struct text *der, struct error *error) {
    const json_t *jwk = json_parse(arena, text, strlen(text), error);
    if (jwk == NULL)
        return false;
    const char *type = json_string_value(json_object_get(jwk, "kty"));
    bool is_built = type != NULL && ((strcmp(type, "EC") == 0 && build_ec(arena, jwk, der)) ||
                                     (strcmp(type, "RSA") == 0 && build_rsa(arena, jwk, der)) ||
                                     (strcmp(type, "OKP") == 0 && build_ed25519(arena, jwk, der)));
    if (!is_built || der->failed)
        return error_set(error, ERROR_INVALID, "the account key is not one that is known here");
    return true;
}

bool account_key_spki_sha256(const char *jwk, char out[2 * SHA256_BYTES + 1], struct error *error) {
    struct arena *arena = arena_new(0);
    if (arena == NULL)
        return reply_out_of_memory(error);
    struct text der;
    uint8_t digest[SHA256_BYTES];
    text_init(&der, arena);
    bool is_built = build(arena, jwk, &der, error);
    if (is_built) {
        sha256(der.data, der.length, digest);
        hex_encode(digest, sizeof digest, out);
    }
    arena_free(arena);
    return is_built;
}
