/* JSON Web Signatures: strict parsing of the flattened form, and verification with the algorithm that the key
 * decides. */
#include "originca/jose.h"

#include <string.h>

#include <gnutls/crypto.h>

#include "originca/json.h"

struct algorithm {
    const char *name;
    enum jws_algorithm id;
    gnutls_sign_algorithm_t sign;
    size_t signature_length; /* 0: the key decides */
    enum key_kind kind;
};

static const struct algorithm algorithms[] = {
    {"RS256", JWS_RS256, GNUTLS_SIGN_RSA_SHA256, 0, KEY_KIND_RSA},
    {"ES256", JWS_ES256, GNUTLS_SIGN_ECDSA_SHA256, 64, KEY_KIND_P256},
    {"ES384", JWS_ES384, GNUTLS_SIGN_ECDSA_SHA384, 96, KEY_KIND_P384},
    {"ES512", JWS_ES512, GNUTLS_SIGN_ECDSA_SHA512, 132, KEY_KIND_P521},
    {"EdDSA", JWS_EDDSA, GNUTLS_SIGN_EDDSA_ED25519, 64, KEY_KIND_ED25519},
    {"HS256", JWS_HS256, GNUTLS_SIGN_UNKNOWN, 32, KEY_KIND_RSA},
};
#define SIGNATURE_ALGORITHMS 5 /* HS256 is none */

static bool fail(enum jws_fault *fault, enum jws_fault which) {
    *fault = which;
    return false;
}

/* Exactly these members, all strings. */
static bool take_members(const json_t *object, const char *const *names, size_t count, const char **values,
                         struct error *error) {
    if (!json_is_object(object) || json_object_size(object) != count)
        return error_set(
            error, ERROR_INVALID,
            "the JWS must be an object with exactly the members protected, payload and signature");
    for (size_t i = 0; i < count; i++)
        if ((values[i] = json_get_string(object, names[i], error)) == NULL)
            return false;
    return true;
}

static bool find_algorithm(const char *name, enum jws_place place, struct jws *jws, enum jws_fault *fault,
                           struct error *error) {
    for (size_t i = 0; i < sizeof algorithms / sizeof algorithms[0]; i++) {
        bool is_hmac = algorithms[i].id == JWS_HS256;
        if (strcmp(name, algorithms[i].name) == 0 && is_hmac == (place == JWS_INNER_EAB)) {
            jws->algorithm = algorithms[i].id;
            return true;
        }
    }
    error_set(error, ERROR_INVALID,
              place == JWS_INNER_EAB
                  ? "the binding's algorithm must be HS256, not \"%.20s\""
                  : "the algorithm \"%.20s\" is not supported; use RS256, ES256, ES384, ES512 or EdDSA",
              name);
    return fail(fault, JWS_FAULT_BAD_ALGORITHM);
}

/* RFC 8555 6.2 (outer), 7.3.4 (binding) and 7.3.5 (inner of a key change) say which fields must and must not
 * be there. */
static bool check_fields(enum jws_place place, const struct jws *jws, struct error *error) {
    if ((jws->jwk != NULL) == (jws->kid != NULL))
        return error_set(error, ERROR_INVALID,
                         "the protected header must hold exactly one of \"jwk\" and \"kid\"");
    if (place == JWS_OUTER && jws->nonce == NULL)
        return error_set(error, ERROR_INVALID, "the protected header must hold \"nonce\"");
    if (place == JWS_INNER_EAB && (jws->nonce != NULL || jws->kid == NULL))
        return error_set(error, ERROR_INVALID, "the binding's header must hold \"kid\" and no \"nonce\"");
    if (place == JWS_INNER_KEY_CHANGE && jws->jwk == NULL)
        return error_set(error, ERROR_INVALID,
                         "the inner JWS of a key change must hold the new key as \"jwk\"");
    return true;
}

static bool copy(struct arena *arena, const char **text, struct error *error) {
    if (*text == NULL || (*text = arena_strdup(arena, *text)) != NULL)
        return true;
    return error_set(error, ERROR_INTERNAL, "out of memory");
}

static bool parse_header(struct arena *arena, struct bytes text, enum jws_place place, struct jws *jws,
                         enum jws_fault *fault, struct error *error) {
    *fault = JWS_FAULT_MALFORMED;
    jws->header = arena_branch(arena);
    if (jws->header == NULL)
        return error_set(error, ERROR_INTERNAL, "out of memory");
    const json_t *header = json_parse(jws->header, text.data, text.length, error);
    if (header == NULL) {
        error_prefix(error, "protected header");
        return false;
    }
    if (!json_is_object(header))
        return error_set(error, ERROR_INVALID, "the protected header must be a JSON object");
    static const char *const forbidden[] = {"crit", "b64", "zip", "jku", "x5u", "x5c"};
    for (size_t i = 0; i < sizeof forbidden / sizeof forbidden[0]; i++)
        if (json_object_get(header, forbidden[i]) != NULL)
            return error_set(error, ERROR_INVALID, "the protected header must not hold \"%s\"", forbidden[i]);
    const char *algorithm = json_get_string(header, "alg", error);
    if (algorithm == NULL || !json_get_optional_string(header, "nonce", &jws->nonce, error) ||
        !json_get_optional_string(header, "kid", &jws->kid, error) ||
        (jws->url = json_get_string(header, "url", error)) == NULL)
        return false;
    jws->jwk = json_object_get(header, "jwk");
    if (!check_fields(place, jws, error) || !copy(arena, &jws->nonce, error) ||
        !copy(arena, &jws->kid, error) || !copy(arena, &jws->url, error))
        return false;
    return find_algorithm(algorithm, place, jws, fault, error);
}

void jws_forget_header(struct jws *jws) {
    arena_free(jws->header);
    jws->header = NULL;
    jws->jwk = NULL;
}

/* The three members, out of a document that is dropped at once. */
static bool decode_members(struct arena *arena, struct bytes text, struct jws *jws, struct bytes *header,
                           struct error *error) {
    static const char *const names[] = {"protected", "payload", "signature"};
    const char *values[3];
    struct arena *reading = arena_branch(arena);
    const json_t *object = reading == NULL ? NULL : json_parse(reading, text.data, text.length, error);
    bool is_good = object != NULL && take_members(object, names, 3, values, error);
    if (reading == NULL)
        error_set(error, ERROR_INTERNAL, "out of memory");
    if (is_good && (!base64url_decode(arena, values[0], strlen(values[0]), header) ||
                    !base64url_decode(arena, values[1], strlen(values[1]), &jws->payload) ||
                    !base64url_decode(arena, values[2], strlen(values[2]), &jws->signature)))
        is_good = error_set(error, ERROR_INVALID,
                            "protected, payload and signature must be base64url without padding");
    const char *input = is_good ? arena_printf(arena, "%s.%s", values[0], values[1]) : NULL;
    if (is_good && input == NULL)
        is_good = error_set(error, ERROR_INTERNAL, "out of memory");
    if (is_good)
        jws->signing_input = (struct bytes){(const uint8_t *)input, strlen(input)};
    arena_free(reading);
    return is_good;
}

bool jws_parse(struct arena *arena, struct bytes text, enum jws_place place, struct jws *jws,
               enum jws_fault *fault, struct error *error) {
    struct bytes header;
    *jws = (struct jws){0};
    *fault = JWS_FAULT_MALFORMED;
    if (!decode_members(arena, text, jws, &header, error))
        return false;
    if (!parse_header(arena, header, place, jws, fault, error))
        return false;
    *fault = JWS_FAULT_NONE;
    return true;
}

static gnutls_datum_t datum(struct bytes bytes) {
    return (gnutls_datum_t){(unsigned char *)(uintptr_t)bytes.data, (unsigned)bytes.length};
}

static bool verify_bytes(const struct algorithm *algorithm, const struct jws *jws, const struct jwk *key) {
    gnutls_datum_t input = datum(jws->signing_input), signature = datum(jws->signature), encoded = {0};
    bool is_ecdsa = algorithm->kind == KEY_KIND_P256 || algorithm->kind == KEY_KIND_P384 ||
                    algorithm->kind == KEY_KIND_P521;
    if (is_ecdsa) {
        size_t half = algorithm->signature_length / 2;
        gnutls_datum_t r = {signature.data, (unsigned)half}, s = {signature.data + half, (unsigned)half};
        if (gnutls_encode_rs_value(&encoded, &r, &s) < 0)
            return false;
        signature = encoded;
    }
    bool is_good = gnutls_pubkey_verify_data2(key->key, algorithm->sign, 0, &input, &signature) >= 0;
    gnutls_free(encoded.data);
    return is_good;
}

bool jws_verify(const struct jws *jws, const struct jwk *key, enum jws_fault *fault, struct error *error) {
    const struct algorithm *algorithm = NULL;
    for (size_t i = 0; i < SIGNATURE_ALGORITHMS; i++)
        if (algorithms[i].kind == key->facts.kind)
            algorithm = &algorithms[i];
    if (algorithm == NULL || algorithm->id != jws->algorithm) {
        error_set(error, ERROR_INVALID,
                  "the algorithm of the header does not fit the key; this key signs with %s",
                  algorithm == NULL ? "none" : algorithm->name);
        return fail(fault, JWS_FAULT_BAD_ALGORITHM);
    }
    size_t expected = algorithm->signature_length != 0 ? algorithm->signature_length : key->facts.bits / 8;
    if (jws->signature.length != expected) {
        error_set(error, ERROR_INVALID, "the signature has %zu bytes; %s with this key gives %zu",
                  jws->signature.length, algorithm->name, expected);
        return fail(fault, JWS_FAULT_BAD_SIGNATURE);
    }
    if (!verify_bytes(algorithm, jws, key)) {
        error_set(error, ERROR_INVALID, "the JWS signature is wrong");
        return fail(fault, JWS_FAULT_BAD_SIGNATURE);
    }
    *fault = JWS_FAULT_NONE;
    return true;
}

bool jws_verify_hmac(const struct jws *jws, const uint8_t *key, size_t key_length, enum jws_fault *fault,
                     struct error *error) {
    uint8_t mac[SHA256_BYTES];
    hmac_sha256(key, key_length, jws->signing_input.data, jws->signing_input.length, mac);
    if (jws->algorithm != JWS_HS256 || jws->signature.length != sizeof mac ||
        !bytes_equal_secret(mac, jws->signature.data, sizeof mac)) {
        error_set(error, ERROR_INVALID,
                  "the external account binding is signed with another key; check the HMAC key");
        return fail(fault, JWS_FAULT_BAD_SIGNATURE);
    }
    *fault = JWS_FAULT_NONE;
    return true;
}

json_t *jws_supported_algorithms(void) {
    json_t *array = json_array();
    for (size_t i = 0; array != NULL && i < SIGNATURE_ALGORITHMS; i++)
        json_array_append_new(array, json_string(algorithms[i].name));
    return array;
}
