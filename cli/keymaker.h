/* Private keys, certification requests and certificates as files hold them, by GnuTLS. A key stays in this
 * process and in the file it is written to. */
#pragma once

#include <gnutls/x509.h>

#include "originca/json.h"

struct key_choice {
    bool is_ecdsa;
    unsigned bits;
};
enum key_format { KEY_FORMAT_PKCS8, KEY_FORMAT_TRADITIONAL, KEY_FORMAT_DER };

/* `type` "rsa" or "ecdsa", `size` NULL for 2048 or 256. RSA 2048, 3072, 4096 and P-256, P-384; with
 * `is_wide` also RSA up to 8192 and P-521, as cfssl has them. */
bool key_choose(const char *type, const char *size, bool is_wide, struct key_choice *choice,
                struct error *error) MUST_CHECK;
const char *key_choice_name(struct arena *arena, struct key_choice choice); /* "rsa-2048", "ecdsa-256" */
bool key_format_parse(const char *name, enum key_format *format, struct error *error) MUST_CHECK;

/* The caller deinits the key. NULL on failure. */
gnutls_x509_privkey_t key_make(struct key_choice choice, struct error *error);
gnutls_x509_privkey_t key_read(struct bytes file, struct error *error);
/* The caller wipes and gnutls_free()s `out`. */
bool key_write(gnutls_x509_privkey_t key, enum key_format format, gnutls_datum_t *out,
               struct error *error) MUST_CHECK;

/* Names go in as cfssl sorts them: DNS names, e-mail addresses, IP addresses. */
struct request_names {
    const char *common_name;
    const json_t *subject; /* array of objects with C, ST, L, O, OU, SerialNumber; may be NULL */
    const char *serial_number;
    const json_t *hosts; /* array of strings */
};
/* PEM, signed with the digest that fits the key. */
char *request_make(struct arena *arena, gnutls_x509_privkey_t key, const struct request_names *names,
                   struct error *error);
/* A certificate signed by its own key, for `days`. PEM. */
char *selfsign_make(struct arena *arena, gnutls_x509_privkey_t key, const struct request_names *names,
                    unsigned days, struct error *error);

/* The first certificate of PEM, DER or PKCS#7; the caller deinits it. NULL on failure. */
gnutls_x509_crt_t certificate_read(struct bytes file, struct error *error);
/* All of them; the caller deinits each and gnutls_free()s the list. 0 on failure. */
unsigned certificates_read(struct bytes file, gnutls_x509_crt_t **list, struct error *error);
char *certificate_serial(struct arena *arena, gnutls_x509_crt_t certificate); /* decimal: the API's id */
bool certificate_has_key(gnutls_x509_crt_t certificate, gnutls_x509_privkey_t key);
/* base64url(AKI).base64url(serial), RFC 9773 4.1; NULL without an AKI. */
char *certificate_ari_id(struct arena *arena, gnutls_x509_crt_t certificate);
/* `format` is pem, der, p7b or chain (leaf, then issuer); `issuer` may be NULL but for chain. */
bool certificate_render(struct arena *arena, gnutls_x509_crt_t certificate, gnutls_x509_crt_t issuer,
                        const char *format, struct bytes *out, struct error *error) MUST_CHECK;
