/* The public half of an account key, from the file a client keeps: certbot's private_key.json, acme-tiny's
 * and lego's PEM. Private members are read past and never sent. */
#include <string.h>

#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

#include "cli.h"

#define KEY_FILE_MAX 65536

static json_t *public_members(struct arena *arena, const json_t *jwk) {
    static const char *const members[] = {"kty", "crv", "x", "y", "n", "e"};
    json_t *out = arena_own_json(arena, json_object());
    for (size_t i = 0; out != NULL && i < sizeof members / sizeof members[0]; i++)
        if (json_is_string(json_object_get(jwk, members[i])))
            json_object_set(out, members[i], json_object_get(jwk, members[i]));
    return out;
}

static void set_bytes(struct arena *arena, json_t *jwk, const char *member, const gnutls_datum_t *datum,
                      size_t width) {
    uint8_t padded[1024] = {0};
    size_t skip = datum->size > width && width != 0 ? datum->size - width : 0;
    while (width == 0 && skip + 1 < datum->size && datum->data[skip] == 0)
        skip++;
    size_t length = datum->size - skip, pad = width > length ? width - length : 0;
    if (pad + length > sizeof padded)
        return;
    memcpy(padded + pad, datum->data + skip, length);
    json_object_set_new(jwk, member, json_string(base64url_encode(arena, padded, pad + length)));
}

static json_t *rsa_jwk(struct arena *arena, gnutls_pubkey_t key) {
    gnutls_datum_t n, e;
    json_t *jwk = arena_own_json(arena, json_pack("{s:s}", "kty", "RSA"));
    if (jwk == NULL || gnutls_pubkey_export_rsa_raw(key, &n, &e) < 0)
        return NULL;
    set_bytes(arena, jwk, "n", &n, 0);
    set_bytes(arena, jwk, "e", &e, 0);
    gnutls_free(n.data);
    gnutls_free(e.data);
    return jwk;
}

static json_t *ec_jwk(struct arena *arena, gnutls_pubkey_t key) {
    gnutls_ecc_curve_t curve;
    gnutls_datum_t x = {0}, y = {0};
    if (gnutls_pubkey_export_ecc_raw(key, &curve, &x, &y) < 0)
        return NULL;
    const char *name = curve == GNUTLS_ECC_CURVE_SECP256R1   ? "P-256"
                       : curve == GNUTLS_ECC_CURVE_SECP384R1 ? "P-384"
                       : curve == GNUTLS_ECC_CURVE_SECP521R1 ? "P-521"
                       : curve == GNUTLS_ECC_CURVE_ED25519   ? "Ed25519"
                                                             : NULL;
    json_t *jwk = NULL;
    if (name != NULL) {
        bool is_edwards = curve == GNUTLS_ECC_CURVE_ED25519;
        size_t width = is_edwards ? 32 : ((size_t)gnutls_ecc_curve_get_size(curve));
        jwk = arena_own_json(arena, json_pack("{s:s, s:s}", "kty", is_edwards ? "OKP" : "EC", "crv", name));
        set_bytes(arena, jwk, "x", &x, width);
        if (!is_edwards)
            set_bytes(arena, jwk, "y", &y, width);
    }
    gnutls_free(x.data);
    gnutls_free(y.data);
    return jwk;
}

static bool load_public(const gnutls_datum_t *pem, gnutls_pubkey_t key) {
    gnutls_privkey_t private_key;
    if (gnutls_pubkey_import(key, pem, GNUTLS_X509_FMT_PEM) >= 0)
        return true;
    if (gnutls_privkey_init(&private_key) < 0)
        return false;
    bool is_loaded = gnutls_privkey_import_x509_raw(private_key, pem, GNUTLS_X509_FMT_PEM, NULL, 0) >= 0 &&
                     gnutls_pubkey_import_privkey(key, private_key, 0, 0) >= 0;
    gnutls_privkey_deinit(private_key);
    return is_loaded;
}

static json_t *read_pem(struct arena *arena, const gnutls_datum_t *pem) {
    gnutls_pubkey_t key;
    json_t *jwk = NULL;
    if (gnutls_pubkey_init(&key) < 0)
        return NULL;
    if (load_public(pem, key)) {
        int type = gnutls_pubkey_get_pk_algorithm(key, NULL);
        jwk = type == GNUTLS_PK_RSA ? rsa_jwk(arena, key) : ec_jwk(arena, key);
    }
    gnutls_pubkey_deinit(key);
    return jwk;
}

json_t *account_key_read(struct arena *arena, const char *path, struct error *error) {
    gnutls_datum_t file = {0};
    if (gnutls_load_file(path, &file) < 0 || file.size > KEY_FILE_MAX) {
        gnutls_free(file.data);
        error_set(error, ERROR_INVALID, "cannot read %s", path);
        return NULL;
    }
    json_t *jwk = memmem(file.data, file.size, "-----BEGIN", 10) != NULL
                      ? read_pem(arena, &file)
                      : public_members(arena, json_parse(arena, file.data, file.size, NULL));
    bytes_wipe(file.data, file.size);
    gnutls_free(file.data);
    if (jwk == NULL || json_object_size(jwk) < 2) {
        error_set(error, ERROR_INVALID,
                  "%s is neither a JWK nor a PEM key (RSA, P-256, P-384, P-521, Ed25519)", path);
        return NULL;
    }
    return jwk;
}
