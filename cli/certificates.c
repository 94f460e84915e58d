/* Reading certificates in any of the forms they come in, and writing them in the one a web server wants. */
#include <string.h>

#include <gnutls/abstract.h>
#include <gnutls/pkcs7.h>

#include "keymaker.h"

static unsigned read_pkcs7(const gnutls_datum_t *datum, gnutls_x509_crt_fmt_t form,
                           gnutls_x509_crt_t **list) {
    gnutls_pkcs7_t pkcs7;
    unsigned count = 0;
    if (gnutls_pkcs7_init(&pkcs7) < 0)
        return 0;
    int found = gnutls_pkcs7_import(pkcs7, datum, form) < 0 ? 0 : gnutls_pkcs7_get_crt_count(pkcs7);
    *list = found > 0 ? gnutls_calloc((size_t)found, sizeof **list) : NULL;
    for (int i = 0; *list != NULL && i < found; i++) {
        gnutls_datum_t der = {0};
        if (gnutls_pkcs7_get_crt_raw2(pkcs7, (unsigned)i, &der) < 0)
            continue;
        if (gnutls_x509_crt_init(&(*list)[count]) >= 0) {
            if (gnutls_x509_crt_import((*list)[count], &der, GNUTLS_X509_FMT_DER) >= 0)
                count++;
            else
                gnutls_x509_crt_deinit((*list)[count]);
        }
        gnutls_free(der.data);
    }
    gnutls_pkcs7_deinit(pkcs7);
    if (count == 0) {
        gnutls_free(*list);
        *list = NULL;
    }
    return count;
}

unsigned certificates_read(struct bytes file, gnutls_x509_crt_t **list, struct error *error) {
    gnutls_datum_t datum = {(unsigned char *)file.data, (unsigned)file.length};
    bool is_pem = memmem(file.data, file.length, "-----BEGIN", 10) != NULL;
    gnutls_x509_crt_fmt_t form = is_pem ? GNUTLS_X509_FMT_PEM : GNUTLS_X509_FMT_DER;
    unsigned count = 0;
    *list = NULL;
    int code = file.length == 0 ? GNUTLS_E_NO_CERTIFICATE_FOUND
                                : gnutls_x509_crt_list_import2(list, &count, &datum, form, 0);
    if (code >= 0 && count > 0)
        return count;
    count = file.length == 0 ? 0 : read_pkcs7(&datum, form, list);
    if (count == 0)
        error_set(error, ERROR_INVALID, "not a certificate in PEM, DER or PKCS#7: %s", gnutls_strerror(code));
    return count;
}

gnutls_x509_crt_t certificate_read(struct bytes file, struct error *error) {
    gnutls_x509_crt_t *list;
    unsigned count = certificates_read(file, &list, error);
    if (count == 0)
        return NULL;
    gnutls_x509_crt_t first = list[0];
    for (unsigned i = 1; i < count; i++)
        gnutls_x509_crt_deinit(list[i]);
    gnutls_free(list);
    return first;
}

/* Serials of other authorities have up to 20 bytes and more, so serial_to_decimal does not do. */
char *certificate_serial(struct arena *arena, gnutls_x509_crt_t certificate) {
    unsigned char serial[64];
    size_t size = sizeof serial, used = 0;
    char digits[200];
    if (gnutls_x509_crt_get_serial(certificate, serial, &size) < 0)
        return NULL;
    for (size_t first = 0; first < size && used < sizeof digits;) {
        unsigned rest = 0;
        for (size_t i = first; i < size; i++) {
            unsigned value = rest << 8 | serial[i];
            serial[i] = (unsigned char)(value / 10);
            rest = value % 10;
        }
        digits[used++] = (char)('0' + rest);
        while (first < size && serial[first] == 0)
            first++;
    }
    char *text = arena_alloc(arena, used + 1);
    for (size_t i = 0; text != NULL && i < used; i++)
        text[i] = digits[used - 1 - i];
    return text;
}

bool certificate_has_key(gnutls_x509_crt_t certificate, gnutls_x509_privkey_t key) {
    unsigned char ours[64], theirs[64];
    size_t our_size = sizeof ours, their_size = sizeof theirs;
    return gnutls_x509_crt_get_key_id(certificate, GNUTLS_KEYID_USE_SHA256, theirs, &their_size) >= 0 &&
           gnutls_x509_privkey_get_key_id(key, GNUTLS_KEYID_USE_SHA256, ours, &our_size) >= 0 &&
           our_size == their_size && memcmp(ours, theirs, our_size) == 0;
}

char *certificate_ari_id(struct arena *arena, gnutls_x509_crt_t certificate) {
    unsigned char key_id[64], serial[64];
    size_t key_id_size = sizeof key_id, serial_size = sizeof serial;
    if (gnutls_x509_crt_get_authority_key_id(certificate, key_id, &key_id_size, NULL) < 0 ||
        gnutls_x509_crt_get_serial(certificate, serial, &serial_size) < 0)
        return NULL;
    const char *left = base64url_encode(arena, key_id, key_id_size);
    const char *right = base64url_encode(arena, serial, serial_size);
    return left == NULL || right == NULL ? NULL : arena_printf(arena, "%s.%s", left, right);
}

static int export_pkcs7(gnutls_x509_crt_t certificate, gnutls_x509_crt_t issuer, gnutls_datum_t *out) {
    gnutls_pkcs7_t pkcs7;
    int code = gnutls_pkcs7_init(&pkcs7);
    if (code < 0)
        return code;
    code = gnutls_pkcs7_set_crt(pkcs7, certificate);
    if (code >= 0 && issuer != NULL)
        code = gnutls_pkcs7_set_crt(pkcs7, issuer);
    if (code >= 0)
        code = gnutls_pkcs7_export2(pkcs7, GNUTLS_X509_FMT_PEM, out);
    gnutls_pkcs7_deinit(pkcs7);
    return code;
}

bool certificate_render(struct arena *arena, gnutls_x509_crt_t certificate, gnutls_x509_crt_t issuer,
                        const char *format, struct bytes *out, struct error *error) {
    gnutls_datum_t first = {0}, second = {0};
    bool is_chain = strcmp(format, "chain") == 0;
    int code;
    if (strcmp(format, "p7b") == 0)
        code = export_pkcs7(certificate, issuer, &first);
    else
        code = gnutls_x509_crt_export2(
            certificate, strcmp(format, "der") == 0 ? GNUTLS_X509_FMT_DER : GNUTLS_X509_FMT_PEM, &first);
    if (code >= 0 && is_chain)
        code = gnutls_x509_crt_export2(issuer, GNUTLS_X509_FMT_PEM, &second);
    uint8_t *bytes = code < 0 ? NULL : arena_alloc(arena, (size_t)first.size + second.size + 1);
    if (bytes != NULL) {
        memcpy(bytes, first.data, first.size);
        if (second.size > 0)
            memcpy(bytes + first.size, second.data, second.size);
        *out = (struct bytes){bytes, (size_t)first.size + second.size};
    }
    gnutls_free(first.data);
    gnutls_free(second.data);
    return bytes != NULL ||
           error_set(error, ERROR_INTERNAL, "cannot write the certificate: %s", gnutls_strerror(code));
}
