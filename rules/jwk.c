/* JSON Web Keys (RFC 7517, RFC 7518 6, RFC 8037 2): import, canonical form, thumbprint (RFC 7638). */
#include "originca/jose.h"

#include <string.h>

#include "originca/json.h"

static void drop_key(void *object) {
    gnutls_pubkey_deinit(object);
}

static bool take_bytes(struct arena *arena, const json_t *json, const char *member, size_t exact,
                       struct bytes *out, struct error *error) {
    const char *text = json_get_string(json, member, error);
    if (text == NULL)
        return false;
    if (!base64url_decode(arena, text, strlen(text), out) || out->length == 0)
        return error_set(error, ERROR_INVALID, "the JWK's \"%s\" is not base64url without padding", member);
    if (exact != 0 && out->length != exact)
        return error_set(error, ERROR_INVALID, "the JWK's \"%s\" has %zu bytes; expected %zu", member,
                         out->length, exact);
    return true;
}

static gnutls_datum_t datum(struct bytes bytes) {
    return (gnutls_datum_t){(unsigned char *)(uintptr_t)bytes.data, (unsigned)bytes.length};
}

static bool import_rsa(struct arena *arena, const json_t *json, struct jwk *jwk, struct error *error) {
    struct bytes n, e;
    if (!take_bytes(arena, json, "n", 0, &n, error) || !take_bytes(arena, json, "e", 0, &e, error))
        return false;
    /* RFC 7518 2: no leading zero octets, so each key has one thumbprint. */
    if (n.data[0] == 0 || e.data[0] == 0)
        return error_set(error, ERROR_INVALID, "the JWK's numbers must not begin with zero octets");
    if (n.length > 1024 || e.length > 8)
        return error_set(error, ERROR_REFUSED, "the RSA key is too large; at most 8192 bits are allowed");
    gnutls_datum_t modulus = datum(n), exponent = datum(e);
    if (gnutls_pubkey_import_rsa_raw(jwk->key, &modulus, &exponent) < 0)
        return error_set(error, ERROR_INVALID, "the JWK is no RSA key");
    jwk->canonical = arena_printf(arena, "{\"e\":\"%s\",\"kty\":\"RSA\",\"n\":\"%s\"}",
                                  json_string_value(json_object_get(json, "e")),
                                  json_string_value(json_object_get(json, "n")));
    return true;
}

static bool import_ec(struct arena *arena, const json_t *json, struct jwk *jwk, struct error *error) {
    static const struct {
        const char *name;
        gnutls_ecc_curve_t id;
        size_t length;
    } curves[] = {{"P-256", GNUTLS_ECC_CURVE_SECP256R1, 32},
                  {"P-384", GNUTLS_ECC_CURVE_SECP384R1, 48},
                  {"P-521", GNUTLS_ECC_CURVE_SECP521R1, 66}};
    const char *name = json_get_string(json, "crv", error);
    struct bytes x, y;
    if (name == NULL)
        return false;
    for (size_t i = 0; i < sizeof curves / sizeof curves[0]; i++) {
        if (strcmp(name, curves[i].name) != 0)
            continue;
        if (!take_bytes(arena, json, "x", curves[i].length, &x, error) ||
            !take_bytes(arena, json, "y", curves[i].length, &y, error))
            return false;
        gnutls_datum_t x_datum = datum(x), y_datum = datum(y);
        if (gnutls_pubkey_import_ecc_raw(jwk->key, curves[i].id, &x_datum, &y_datum) < 0)
            return error_set(error, ERROR_INVALID, "the JWK is no key on %s", name);
        jwk->canonical = arena_printf(arena, "{\"crv\":\"%s\",\"kty\":\"EC\",\"x\":\"%s\",\"y\":\"%s\"}",
                                      name, json_string_value(json_object_get(json, "x")),
                                      json_string_value(json_object_get(json, "y")));
        return true;
    }
    return error_set(error, ERROR_REFUSED, "the curve is none of P-256, P-384, P-521");
}

static bool import_okp(struct arena *arena, const json_t *json, struct jwk *jwk, struct error *error) {
    const char *name = json_get_string(json, "crv", error);
    struct bytes x;
    if (name == NULL)
        return false;
    if (strcmp(name, "Ed25519") != 0)
        return error_set(error, ERROR_REFUSED, "the curve of an OKP key must be Ed25519");
    if (!take_bytes(arena, json, "x", 32, &x, error))
        return false;
    gnutls_datum_t x_datum = datum(x);
    if (gnutls_pubkey_import_ecc_raw(jwk->key, GNUTLS_ECC_CURVE_ED25519, &x_datum, NULL) < 0)
        return error_set(error, ERROR_INVALID, "the JWK is no Ed25519 key");
    jwk->canonical = arena_printf(arena, "{\"crv\":\"Ed25519\",\"kty\":\"OKP\",\"x\":\"%s\"}",
                                  json_string_value(json_object_get(json, "x")));
    return true;
}

static bool set_thumbprint(struct arena *arena, struct jwk *jwk) {
    uint8_t digest[SHA256_BYTES];
    if (jwk->canonical == NULL)
        return false;
    sha256(jwk->canonical, strlen(jwk->canonical), digest);
    const char *text = base64url_encode(arena, digest, sizeof digest);
    if (text == NULL)
        return false;
    memcpy(jwk->thumbprint, text, sizeof jwk->thumbprint);
    return true;
}

bool jwk_import(struct arena *arena, const json_t *json, struct jwk *jwk, struct error *error) {
    *jwk = (struct jwk){0};
    if (!json_is_object(json))
        return error_set(error, ERROR_INVALID, "the JWK must be an object");
    const char *type = json_get_string(json, "kty", error);
    if (type == NULL)
        return false;
    if (json_object_get(json, "d") != NULL || json_object_get(json, "k") != NULL)
        return error_set(error, ERROR_INVALID,
                         "the JWK holds a private or symmetric key; send the public key alone and treat that "
                         "key as leaked");
    if (gnutls_pubkey_init(&jwk->key) < 0)
        return error_set(error, ERROR_INTERNAL, "out of memory");
    if (!arena_defer(arena, drop_key, jwk->key))
        return error_set(error, ERROR_INTERNAL, "out of memory");
    bool is_imported = strcmp(type, "RSA") == 0  ? import_rsa(arena, json, jwk, error)
                       : strcmp(type, "EC") == 0 ? import_ec(arena, json, jwk, error)
                       : strcmp(type, "OKP") == 0
                           ? import_okp(arena, json, jwk, error)
                           : error_set(error, ERROR_REFUSED,
                                       "keys of type \"%.20s\" are not supported; use RSA, EC or OKP", type);
    if (!is_imported)
        return false;
    if (!set_thumbprint(arena, jwk))
        return error_set(error, ERROR_INTERNAL, "out of memory");
    return key_judge(arena, jwk->key, KEY_USE_ACCOUNT, &jwk->facts, error);
}
