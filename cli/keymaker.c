/* Making keys and what they sign: certification requests and self-signed certificates. */
#include "keymaker.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include <gnutls/abstract.h>

static bool fail(struct error *error, const char *what, int code) {
    return error_set(error, ERROR_INTERNAL, "%s: %s", what, gnutls_strerror(code));
}

bool key_choose(const char *type, const char *size, bool is_wide, struct key_choice *choice,
                struct error *error) {
    char *end = NULL;
    choice->is_ecdsa = strcasecmp(type, "ecdsa") == 0 || strcasecmp(type, "ec") == 0;
    if (!choice->is_ecdsa && strcasecmp(type, "rsa") != 0)
        return error_set(error, ERROR_INVALID, "the key type is rsa or ecdsa, not \"%s\"", type);
    unsigned long bits = size == NULL ? (choice->is_ecdsa ? 256 : 2048) : strtoul(size, &end, 10);
    if (size != NULL && (*size < '0' || *size > '9' || *end != '\0'))
        return error_set(error, ERROR_INVALID, "the key size is a number of bits, not \"%s\"", size);
    bool is_fine = choice->is_ecdsa ? bits == 256 || bits == 384 || (is_wide && bits == 521)
                   : is_wide        ? bits >= 2048 && bits <= 8192 && bits % 8 == 0
                                    : bits == 2048 || bits == 3072 || bits == 4096;
    if (!is_fine)
        return error_set(error, ERROR_INVALID, "the size of an %s key is %s, not %lu",
                         choice->is_ecdsa ? "ECDSA" : "RSA",
                         choice->is_ecdsa ? (is_wide ? "256, 384 or 521" : "256 or 384")
                         : is_wide        ? "2048 to 8192"
                                          : "2048, 3072 or 4096",
                         bits);
    choice->bits = (unsigned)bits;
    return true;
}

const char *key_choice_name(struct arena *arena, struct key_choice choice) {
    const char *name = arena_printf(arena, "%s-%u", choice.is_ecdsa ? "ecdsa" : "rsa", choice.bits);
    return name == NULL ? "" : name;
}

bool key_format_parse(const char *name, enum key_format *format, struct error *error) {
    if (strcmp(name, "pkcs8") == 0)
        *format = KEY_FORMAT_PKCS8;
    else if (strcmp(name, "traditional") == 0)
        *format = KEY_FORMAT_TRADITIONAL;
    else if (strcmp(name, "der") == 0)
        *format = KEY_FORMAT_DER;
    else
        return error_set(error, ERROR_INVALID, "the key format is pkcs8, traditional or der, not \"%s\"",
                         name);
    return true;
}

gnutls_x509_privkey_t key_make(struct key_choice choice, struct error *error) {
    gnutls_x509_privkey_t key = NULL;
    gnutls_ecc_curve_t curve = choice.bits == 521   ? GNUTLS_ECC_CURVE_SECP521R1
                               : choice.bits == 384 ? GNUTLS_ECC_CURVE_SECP384R1
                                                    : GNUTLS_ECC_CURVE_SECP256R1;
    int code = gnutls_x509_privkey_init(&key);
    if (code >= 0)
        code = choice.is_ecdsa
                   ? gnutls_x509_privkey_generate(key, GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(curve), 0)
                   : gnutls_x509_privkey_generate(key, GNUTLS_PK_RSA, choice.bits, 0);
    if (code >= 0)
        return key;
    gnutls_x509_privkey_deinit(key);
    fail(error, "cannot make a key", code);
    return NULL;
}

gnutls_x509_privkey_t key_read(struct bytes file, struct error *error) {
    gnutls_x509_privkey_t key = NULL;
    gnutls_datum_t datum = {(unsigned char *)file.data, (unsigned)file.length};
    bool is_pem = memmem(file.data, file.length, "-----BEGIN", 10) != NULL;
    int code = gnutls_x509_privkey_init(&key);
    if (code >= 0)
        code = gnutls_x509_privkey_import2(key, &datum, is_pem ? GNUTLS_X509_FMT_PEM : GNUTLS_X509_FMT_DER,
                                           NULL, GNUTLS_PKCS_PLAIN);
    if (code >= 0)
        return key;
    gnutls_x509_privkey_deinit(key);
    error_set(error, ERROR_INVALID, "not an unencrypted private key: %s", gnutls_strerror(code));
    return NULL;
}

bool key_write(gnutls_x509_privkey_t key, enum key_format format, gnutls_datum_t *out, struct error *error) {
    gnutls_x509_crt_fmt_t form = format == KEY_FORMAT_DER ? GNUTLS_X509_FMT_DER : GNUTLS_X509_FMT_PEM;
    int code = format == KEY_FORMAT_TRADITIONAL
                   ? gnutls_x509_privkey_export2(key, form, out)
                   : gnutls_x509_privkey_export2_pkcs8(key, form, NULL, GNUTLS_PKCS_PLAIN, out);
    return code >= 0 || fail(error, "cannot write the key", code);
}

/* cfssl's choice: a digest as strong as the key. */
static gnutls_digest_algorithm_t digest_for(gnutls_x509_privkey_t key) {
    unsigned bits = 0;
    bool is_rsa = gnutls_x509_privkey_get_pk_algorithm2(key, &bits) == GNUTLS_PK_RSA;
    if (bits >= (is_rsa ? 4096u : 521u))
        return GNUTLS_DIG_SHA512;
    return bits >= (is_rsa ? 3072u : 384u) ? GNUTLS_DIG_SHA384 : GNUTLS_DIG_SHA256;
}

/* --- names, set on a request or on a certificate --- */

struct target {
    gnutls_x509_crq_t request; /* or: */
    gnutls_x509_crt_t certificate;
};

static int set_part(struct target target, const char *oid, const char *text) {
    if (text == NULL || *text == '\0')
        return 0;
    return target.request != NULL
               ? gnutls_x509_crq_set_dn_by_oid(target.request, oid, 0, text, (unsigned)strlen(text))
               : gnutls_x509_crt_set_dn_by_oid(target.certificate, oid, 0, text, (unsigned)strlen(text));
}

static int set_subject(struct target target, const struct request_names *names) {
    static const struct {
        const char *member, *oid;
    } parts[] = {{"C", GNUTLS_OID_X520_COUNTRY_NAME},
                 {"ST", GNUTLS_OID_X520_STATE_OR_PROVINCE_NAME},
                 {"L", GNUTLS_OID_X520_LOCALITY_NAME},
                 {"O", GNUTLS_OID_X520_ORGANIZATION_NAME},
                 {"OU", GNUTLS_OID_X520_ORGANIZATIONAL_UNIT_NAME},
                 {"SerialNumber", "2.5.4.5"}};
    int code = 0;
    for (size_t p = 0; p < sizeof parts / sizeof parts[0]; p++) {
        size_t i;
        const json_t *name;
        json_array_foreach(names->subject, i, name) {
            int outcome =
                set_part(target, parts[p].oid, json_string_value(json_object_get(name, parts[p].member)));
            code = outcome < 0 ? outcome : code;
        }
    }
    int serial = set_part(target, "2.5.4.5", names->serial_number);
    int common = set_part(target, GNUTLS_OID_X520_COMMON_NAME, names->common_name);
    return code < 0 ? code : serial < 0 ? serial : common;
}

static int set_host(struct target target, gnutls_x509_subject_alt_name_t type, const void *data,
                    unsigned size) {
    return target.request != NULL
               ? gnutls_x509_crq_set_subject_alt_name(target.request, type, data, size, GNUTLS_FSAN_APPEND)
               : gnutls_x509_crt_set_subject_alt_name(target.certificate, type, data, size,
                                                      GNUTLS_FSAN_APPEND);
}

static int set_hosts(struct target target, const json_t *hosts) {
    static const gnutls_x509_subject_alt_name_t order[] = {GNUTLS_SAN_DNSNAME, GNUTLS_SAN_RFC822NAME,
                                                           GNUTLS_SAN_IPADDRESS};
    int code = 0;
    for (size_t pass = 0; pass < 3 && code >= 0; pass++) {
        size_t i;
        const json_t *host;
        json_array_foreach(hosts, i, host) {
            const char *text = json_string_value(host);
            unsigned char address[16];
            unsigned size = text == NULL                              ? 0
                            : inet_pton(AF_INET, text, address) == 1  ? 4
                            : inet_pton(AF_INET6, text, address) == 1 ? 16
                                                                      : 0;
            if (text == NULL || *text == '\0' || code < 0)
                continue;
            gnutls_x509_subject_alt_name_t type = size != 0                   ? GNUTLS_SAN_IPADDRESS
                                                  : strchr(text, '@') != NULL ? GNUTLS_SAN_RFC822NAME
                                                                              : GNUTLS_SAN_DNSNAME;
            if (type == order[pass])
                code = set_host(target, type, size != 0 ? (const void *)address : text,
                                size != 0 ? size : (unsigned)strlen(text));
        }
    }
    return code;
}

static char *take_pem(struct arena *arena, gnutls_datum_t *pem, int code, const char *what,
                      struct error *error) {
    char *copy = code < 0 ? NULL : arena_strndup(arena, (const char *)pem->data, pem->size);
    if (code < 0)
        fail(error, what, code);
    else if (copy == NULL)
        error_set(error, ERROR_INTERNAL, "out of memory");
    gnutls_free(pem->data);
    return copy;
}

char *request_make(struct arena *arena, gnutls_x509_privkey_t key, const struct request_names *names,
                   struct error *error) {
    struct target target = {0};
    gnutls_privkey_t signer = NULL;
    gnutls_datum_t der = {0};
    int code = gnutls_x509_crq_init(&target.request);
    if (code >= 0)
        code = gnutls_x509_crq_set_version(target.request, 1);
    if (code >= 0)
        code = gnutls_x509_crq_set_key(target.request, key);
    if (code >= 0)
        code = set_subject(target, names);
    if (code >= 0)
        code = set_hosts(target, names->hosts);
    if (code >= 0)
        code = gnutls_privkey_init(&signer);
    if (code >= 0)
        code = gnutls_privkey_import_x509(signer, key, 0);
    if (code >= 0)
        code = gnutls_x509_crq_privkey_sign(target.request, signer, digest_for(key), 0);
    if (code >= 0)
        code = gnutls_x509_crq_export2(target.request, GNUTLS_X509_FMT_DER, &der);
    /* GnuTLS would write NEW CERTIFICATE REQUEST, which RFC 7468 7 only lets readers accept. */
    char *text = code < 0 ? NULL : pem_encode(arena, "CERTIFICATE REQUEST", der.data, der.size);
    if (text == NULL)
        fail(error, "cannot make the certification request", code < 0 ? code : GNUTLS_E_MEMORY_ERROR);
    gnutls_free(der.data);
    gnutls_privkey_deinit(signer);
    gnutls_x509_crq_deinit(target.request);
    return text;
}

static int fill_selfsigned(gnutls_x509_crt_t certificate, gnutls_x509_privkey_t key, unsigned days) {
    unsigned char serial[16], id[64];
    size_t id_size = sizeof id;
    time_t from = time(NULL) - 300;
    random_bytes(serial, sizeof serial);
    serial[0] = (unsigned char)(serial[0] & 0x7f) | 1;
    int codes[] = {
        gnutls_x509_crt_set_version(certificate, 3),
        gnutls_x509_crt_set_key(certificate, key),
        gnutls_x509_crt_set_serial(certificate, serial, sizeof serial),
        gnutls_x509_crt_set_activation_time(certificate, from),
        gnutls_x509_crt_set_expiration_time(certificate, from + (time_t)days * 86400),
        gnutls_x509_crt_set_basic_constraints(certificate, 0, -1),
        gnutls_x509_crt_set_key_usage(certificate,
                                      GNUTLS_KEY_DIGITAL_SIGNATURE | GNUTLS_KEY_KEY_ENCIPHERMENT),
        gnutls_x509_crt_set_key_purpose_oid(certificate, GNUTLS_KP_TLS_WWW_SERVER, 0),
        gnutls_x509_crt_set_key_purpose_oid(certificate, GNUTLS_KP_TLS_WWW_CLIENT, 0),
        gnutls_x509_crt_get_key_id(certificate, GNUTLS_KEYID_USE_SHA1, id, &id_size),
        gnutls_x509_crt_set_subject_key_id(certificate, id, id_size),
    };
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
        if (codes[i] < 0)
            return codes[i];
    return 0;
}

char *selfsign_make(struct arena *arena, gnutls_x509_privkey_t key, const struct request_names *names,
                    unsigned days, struct error *error) {
    struct target target = {0};
    gnutls_datum_t pem = {0};
    int code = gnutls_x509_crt_init(&target.certificate);
    if (code >= 0)
        code = fill_selfsigned(target.certificate, key, days);
    if (code >= 0)
        code = set_subject(target, names);
    if (code >= 0)
        code = set_hosts(target, names->hosts);
    if (code >= 0)
        code = gnutls_x509_crt_sign2(target.certificate, target.certificate, key, digest_for(key), 0);
    if (code >= 0)
        code = gnutls_x509_crt_export2(target.certificate, GNUTLS_X509_FMT_PEM, &pem);
    char *text = take_pem(arena, &pem, code, "cannot make the certificate", error);
    gnutls_x509_crt_deinit(target.certificate);
    return text;
}
