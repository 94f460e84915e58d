/* Certificates byte by byte. Extensions are written last to first, because DER is written from its end. */
#include "certificate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <gnutls/x509.h>

#include "der_writer.h"
#include "originca/crl.h"

#define CERTIFICATE_FILE_MAX 65536

enum {
    TAG_BOOLEAN = 1,
    TAG_INTEGER = 2,
    TAG_BIT_STRING = 3,
    TAG_OCTET_STRING = 4,
    TAG_OID = 6,
    TAG_UTF8 = 0x0C,
    TAG_UTC_TIME = 0x17,
    TAG_GENERALIZED_TIME = 0x18,
    TAG_SEQUENCE = 0x30,
    TAG_SET = 0x31,
    TAG_VERSION = 0xA0,
    TAG_EXTENSIONS = 0xA3,
};

static const uint8_t oid_key_usage[] = {0x55, 0x1D, 0x0F}, oid_basic_constraints[] = {0x55, 0x1D, 0x13},
                     oid_alternative_name[] = {0x55, 0x1D, 0x11}, oid_key_id[] = {0x55, 0x1D, 0x0E},
                     oid_authority_key_id[] = {0x55, 0x1D, 0x23},
                     oid_extended_key_usage[] = {0x55, 0x1D, 0x25}, oid_crl_points[] = {0x55, 0x1D, 0x1F},
                     oid_authority_access[] = {0x2B, 0x06, 0x01, 0x05, 0x05, 0x07, 0x01, 0x01},
                     oid_ocsp[] = {0x2B, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01},
                     oid_server_auth[] = {0x2B, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01},
                     oid_client_auth[] = {0x2B, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x02};

static const uint8_t ecdsa_sha256[] = {0x30, 0x0A, 0x06, 0x08, 0x2A, 0x86,
                                       0x48, 0xCE, 0x3D, 0x04, 0x03, 0x02},
                     ecdsa_sha384[] = {0x30, 0x0A, 0x06, 0x08, 0x2A, 0x86,
                                       0x48, 0xCE, 0x3D, 0x04, 0x03, 0x03},
                     rsa_sha256[] = {0x30, 0x0D, 0x06, 0x09, 0x2A, 0x86, 0x48, 0x86,
                                     0xF7, 0x0D, 0x01, 0x01, 0x0B, 0x05, 0x00};

bool certificate_template_parse(const char *name, enum certificate_template *out) {
    static const char *const names[] = {"origin", "compact", "classic"};
    for (size_t i = 0; i < 3; i++)
        if (strcmp(name, names[i]) == 0) {
            *out = (enum certificate_template)i;
            return true;
        }
    return false;
}

void certificate_make_serial(uint8_t serial[SERIAL_BYTES]) {
    do
        random_bytes(serial, SERIAL_BYTES);
    while (serial[0] == 0 || serial[0] > 0x7F);
}

static bool out_of_memory(struct error *error) {
    return error_set(error, ERROR_INTERNAL, "out of memory");
}

/* Closes an extension whose value was written since `mark`. */
static void end_extension(struct der_writer *out, const uint8_t *oid, size_t oid_length, bool is_critical,
                          size_t mark) {
    static const uint8_t yes = 0xFF;
    der_wrap(out, TAG_OCTET_STRING, mark);
    if (is_critical)
        der_put_element(out, TAG_BOOLEAN, &yes, 1);
    der_put_element(out, TAG_OID, oid, oid_length);
    der_wrap(out, TAG_SEQUENCE, mark);
}

/* RFC 5280 4.2.1.6: critical where the subject is empty. */
static void put_alternative_names(struct der_writer *out, const struct certificate_contents *contents,
                                  bool is_critical) {
    size_t mark = out->at;
    for (size_t i = contents->name_count; i-- > 0;)
        der_put_element(out, 0x82, contents->names[i], strlen(contents->names[i]));
    der_wrap(out, TAG_SEQUENCE, mark);
    end_extension(out, oid_alternative_name, sizeof oid_alternative_name, is_critical, mark);
}

static void put_extended_key_usage(struct der_writer *out, enum certificate_template shape) {
    size_t mark = out->at;
    if (shape == TEMPLATE_CLASSIC)
        der_put_element(out, TAG_OID, oid_server_auth, sizeof oid_server_auth);
    if (shape != TEMPLATE_COMPACT)
        der_put_element(out, TAG_OID, oid_client_auth, sizeof oid_client_auth);
    if (shape != TEMPLATE_CLASSIC)
        der_put_element(out, TAG_OID, oid_server_auth, sizeof oid_server_auth);
    der_wrap(out, TAG_SEQUENCE, mark);
    end_extension(out, oid_extended_key_usage, sizeof oid_extended_key_usage, false, mark);
}

static void put_authority_key_id(struct der_writer *out, const struct issuer *issuer) {
    size_t mark = out->at;
    der_put_element(out, 0x80, issuer->key_id.data, issuer->key_id.length);
    der_wrap(out, TAG_SEQUENCE, mark);
    end_extension(out, oid_authority_key_id, sizeof oid_authority_key_id, false, mark);
}

static void put_crl_point(struct der_writer *out, const char *url) {
    size_t mark = out->at;
    der_put_element(out, 0x86, url, strlen(url));
    der_wrap(out, 0xA0, mark); /* fullName */
    der_wrap(out, 0xA0, mark); /* distributionPoint */
    der_wrap(out, TAG_SEQUENCE, mark);
    der_wrap(out, TAG_SEQUENCE, mark);
    end_extension(out, oid_crl_points, sizeof oid_crl_points, false, mark);
}

static void put_ocsp_access(struct der_writer *out, const char *url) {
    size_t mark = out->at;
    der_put_element(out, 0x86, url, strlen(url));
    der_put_element(out, TAG_OID, oid_ocsp, sizeof oid_ocsp);
    der_wrap(out, TAG_SEQUENCE, mark);
    der_wrap(out, TAG_SEQUENCE, mark);
    end_extension(out, oid_authority_access, sizeof oid_authority_access, false, mark);
}

/* digitalSignature; keyEncipherment too for RSA keys. BIT STRINGs drop trailing zero bits (X.690 11.2.2). */
static void put_key_usage(struct der_writer *out, bool is_rsa) {
    const uint8_t bits[2] = {is_rsa ? 5 : 7, is_rsa ? 0xA0 : 0x80};
    size_t mark = out->at;
    der_put_element(out, TAG_BIT_STRING, bits, sizeof bits);
    end_extension(out, oid_key_usage, sizeof oid_key_usage, true, mark);
}

/* cA FALSE is the default value, which DER leaves out: an empty sequence. */
static void put_basic_constraints(struct der_writer *out) {
    size_t mark = out->at;
    der_wrap(out, TAG_SEQUENCE, mark);
    end_extension(out, oid_basic_constraints, sizeof oid_basic_constraints, true, mark);
}

/* RFC 7093 method 4: the leftmost 160 bits of the SHA-256 of the key's bits; issuing keys use 8 bytes of it.
 */
static void key_id_of(struct bytes spki, uint8_t id[SHA256_BYTES]) {
    sha256(spki.data, spki.length, id);
}

static void put_key_id(struct der_writer *out, struct bytes spki, size_t length) {
    uint8_t id[SHA256_BYTES];
    size_t mark = out->at;
    key_id_of(spki, id);
    der_put_element(out, TAG_OCTET_STRING, id, length);
    end_extension(out, oid_key_id, sizeof oid_key_id, false, mark);
}

static void put_extensions(struct der_writer *out, const struct certificate_contents *contents,
                           const char *crl_url) {
    const struct config_issuer *config = contents->issuer->config;
    bool is_classic = contents->shape == TEMPLATE_CLASSIC;
    size_t mark = out->at;
    if (*crl_url != '\0')
        put_crl_point(out, crl_url);
    put_alternative_names(out, contents, !is_classic);
    if (is_classic && config->ocsp_url != NULL)
        put_ocsp_access(out, config->ocsp_url);
    put_authority_key_id(out, contents->issuer);
    if (is_classic)
        put_key_id(out, contents->spki, 20);
    if (is_classic)
        put_basic_constraints(out);
    put_extended_key_usage(out, contents->shape);
    if (is_classic)
        put_key_usage(out, contents->is_rsa);
    der_wrap(out, TAG_SEQUENCE, mark);
    der_wrap(out, TAG_EXTENSIONS, mark);
}

static void put_attribute(struct der_writer *out, uint8_t type, const char *value) {
    const uint8_t oid[] = {0x55, 0x04, type};
    size_t mark = out->at;
    der_put_element(out, TAG_UTF8, value, strlen(value));
    der_put_element(out, TAG_OID, oid, sizeof oid);
    der_wrap(out, TAG_SEQUENCE, mark);
    der_wrap(out, TAG_SET, mark);
}

static void put_subject(struct der_writer *out, enum certificate_template shape) {
    size_t mark = out->at;
    if (shape == TEMPLATE_CLASSIC) {
        put_attribute(out, 3, "Origin Certificate");
        put_attribute(out, 11, "Origin CA");
        put_attribute(out, 10, "originca");
    }
    der_wrap(out, TAG_SEQUENCE, mark);
}

/* RFC 5280 4.1.2.5: UTCTime through 2049, GeneralizedTime from 2050 on. */
static void put_time(struct der_writer *out, time_t when) {
    struct tm parts;
    char text[24];
    gmtime_r(&when, &parts);
    bool is_utc = parts.tm_year + 1900 < 2050;
    size_t length = strftime(text, sizeof text, "%Y%m%d%H%M%SZ", &parts), skip = is_utc ? 2 : 0;
    der_put_element(out, is_utc ? TAG_UTC_TIME : TAG_GENERALIZED_TIME, text + skip, length - skip);
}

static void put_validity(struct der_writer *out, time_t not_before, time_t not_after) {
    size_t mark = out->at;
    put_time(out, not_after);
    put_time(out, not_before);
    der_wrap(out, TAG_SEQUENCE, mark);
}

static void put_version_3(struct der_writer *out) {
    static const uint8_t version = 2;
    size_t mark = out->at;
    der_put_element(out, TAG_INTEGER, &version, 1);
    der_wrap(out, TAG_VERSION, mark);
}

/* "" where the certificate names no list. */
static const char *fill_crl_url(struct arena *arena, const struct certificate_contents *contents) {
    const struct config_issuer *config = contents->issuer->config;
    if (contents->shape == TEMPLATE_COMPACT || config->crl_url == NULL)
        return "";
    return crl_url_fill(arena, config->crl_url, crl_shard_of(contents->serial, config->crl_shards));
}

static size_t estimate_size(const struct certificate_contents *contents) {
    size_t size = 2048 + contents->spki.length + contents->issuer->subject.length;
    for (size_t i = 0; i < contents->name_count; i++)
        size += strlen(contents->names[i]) + 4;
    return size;
}

bool certificate_build_tbs(struct arena *arena, const struct certificate_contents *contents,
                           struct bytes *tbs, struct error *error) {
    struct der_writer out;
    const char *crl_url = fill_crl_url(arena, contents);
    if (crl_url == NULL || !der_writer_init(&out, arena, estimate_size(contents)))
        return out_of_memory(error);
    size_t mark = out.at;
    put_extensions(&out, contents, crl_url);
    der_put(&out, contents->spki.data, contents->spki.length);
    put_subject(&out, contents->shape);
    put_validity(&out, contents->not_before, contents->not_after);
    der_put(&out, contents->issuer->subject.data, contents->issuer->subject.length);
    der_put(&out, contents->issuer->signature_identifier.data, contents->issuer->signature_identifier.length);
    der_put_element(&out, TAG_INTEGER, contents->serial, SERIAL_BYTES);
    put_version_3(&out);
    der_wrap(&out, TAG_SEQUENCE, mark);
    *tbs = der_written(&out);
    return !out.failed || error_set(error, ERROR_INTERNAL, "the certificate does not fit its buffer");
}

static bool assemble(struct arena *arena, struct bytes identifier, struct bytes tbs, struct bytes signature,
                     struct bytes *der, struct error *error) {
    struct der_writer out;
    static const uint8_t no_unused_bits = 0;
    if (!der_writer_init(&out, arena, tbs.length + signature.length + 64))
        return out_of_memory(error);
    size_t mark = out.at;
    der_put(&out, signature.data, signature.length);
    der_put(&out, &no_unused_bits, 1);
    der_wrap(&out, TAG_BIT_STRING, mark);
    der_put(&out, identifier.data, identifier.length);
    der_put(&out, tbs.data, tbs.length);
    der_wrap(&out, TAG_SEQUENCE, mark);
    *der = der_written(&out);
    return !out.failed || error_set(error, ERROR_INTERNAL, "the certificate does not fit its buffer");
}

bool certificate_assemble(struct arena *arena, const struct issuer *issuer, struct bytes tbs,
                          struct bytes signature, struct bytes *der, struct error *error) {
    return assemble(arena, issuer->signature_identifier, tbs, signature, der, error);
}

/* --- issuing certificates --- */

/* The size of a key out of a token is not always told: the curve is. */
static bool has_curve(gnutls_pubkey_t key, gnutls_ecc_curve_t wanted) {
    gnutls_ecc_curve_t curve;
    return gnutls_pubkey_export_ecc_raw2(key, &curve, NULL, NULL, 0) >= 0 && curve == wanted;
}

static bool choose_algorithm(gnutls_pubkey_t key, gnutls_sign_algorithm_t *algorithm,
                             struct bytes *identifier, struct error *error) {
    int type = gnutls_pubkey_get_pk_algorithm(key, NULL);
    if (type == GNUTLS_PK_RSA) {
        *algorithm = GNUTLS_SIGN_RSA_SHA256;
        *identifier = (struct bytes){rsa_sha256, sizeof rsa_sha256};
    } else if (type == GNUTLS_PK_ECDSA && has_curve(key, GNUTLS_ECC_CURVE_SECP256R1)) {
        *algorithm = GNUTLS_SIGN_ECDSA_SHA256;
        *identifier = (struct bytes){ecdsa_sha256, sizeof ecdsa_sha256};
    } else if (type == GNUTLS_PK_ECDSA && has_curve(key, GNUTLS_ECC_CURVE_SECP384R1)) {
        *algorithm = GNUTLS_SIGN_ECDSA_SHA384;
        *identifier = (struct bytes){ecdsa_sha384, sizeof ecdsa_sha384};
    } else {
        return error_set(error, ERROR_INVALID, "issuing keys must be RSA, P-256 or P-384");
    }
    return true;
}

static void drop_public_key(void *object) {
    gnutls_pubkey_deinit(object);
}

static bool identify(struct issuer *issuer, struct error *error) {
    gnutls_datum_t spki = {0};
    bool is_known =
        gnutls_pubkey_export2(issuer->public_key, GNUTLS_X509_FMT_DER, &spki) >= 0 &&
        ocsp_identify_issuer(issuer->subject, (struct bytes){spki.data, spki.size}, &issuer->ocsp);
    if (is_known) {
        sha256(spki.data, spki.size, issuer->identity.spki);
        sha256(issuer->subject.data, issuer->subject.length, issuer->identity.subject);
    }
    gnutls_free(spki.data);
    return is_known || error_set(error, ERROR_INVALID, "its key cannot be read");
}

static bool read_issuing(struct arena *arena, gnutls_x509_crt_t certificate, struct issuer *issuer,
                         struct error *error) {
    gnutls_datum_t subject;
    uint8_t key_id[64];
    size_t key_id_length = sizeof key_id;
    unsigned critical, is_ca = 0;
    if (gnutls_x509_crt_get_basic_constraints(certificate, &critical, &is_ca, NULL) < 0 || is_ca == 0)
        return error_set(error, ERROR_INVALID, "it is no CA certificate");
    if (gnutls_x509_crt_get_subject_key_id(certificate, key_id, &key_id_length, &critical) < 0)
        return error_set(error, ERROR_INVALID, "it has no subject key identifier");
    if (gnutls_pubkey_init(&issuer->public_key) < 0)
        return out_of_memory(error);
    if (!arena_defer(arena, drop_public_key, issuer->public_key))
        return out_of_memory(error);
    if (gnutls_pubkey_import_x509(issuer->public_key, certificate, 0) < 0 ||
        gnutls_x509_crt_get_raw_dn(certificate, &subject) < 0)
        return error_set(error, ERROR_INVALID, "it cannot be read");
    issuer->subject = (struct bytes){arena_copy(arena, subject.data, subject.size), subject.size};
    issuer->key_id = (struct bytes){arena_copy(arena, key_id, key_id_length), key_id_length};
    gnutls_free(subject.data);
    issuer->not_before = gnutls_x509_crt_get_activation_time(certificate);
    issuer->not_after = gnutls_x509_crt_get_expiration_time(certificate);
    if (issuer->subject.data == NULL || issuer->key_id.data == NULL)
        return out_of_memory(error);
    return identify(issuer, error) &&
           choose_algorithm(issuer->public_key, &issuer->algorithm, &issuer->signature_identifier, error);
}

bool issuer_load(struct arena *arena, const struct config_issuer *config, struct issuer *issuer,
                 struct error *error) {
    gnutls_x509_crt_t certificate;
    gnutls_datum_t pem = {0};
    *issuer = (struct issuer){.config = config};
    if (gnutls_load_file(config->certificate_file, &pem) < 0 || pem.size > CERTIFICATE_FILE_MAX) {
        gnutls_free(pem.data);
        return error_set(error, ERROR_INVALID,
                         "cannot read the issuing certificate %s; `originca-server ca init` makes it",
                         config->certificate_file);
    }
    if (gnutls_x509_crt_init(&certificate) < 0) {
        gnutls_free(pem.data);
        return out_of_memory(error);
    }
    bool is_good = gnutls_x509_crt_import(certificate, &pem, GNUTLS_X509_FMT_PEM) >= 0
                       ? read_issuing(arena, certificate, issuer, error)
                       : error_set(error, ERROR_INVALID, "it is no PEM certificate");
    if (!is_good)
        error_prefix(error, "issuing certificate %s", config->certificate_file);
    gnutls_x509_crt_deinit(certificate);
    gnutls_free(pem.data);
    return is_good;
}

static void put_issuing_extensions(struct der_writer *out, struct bytes spki) {
    /* cA TRUE, pathLenConstraint 0; keyCertSign and cRLSign. */
    static const uint8_t constraints[] = {0x30, 0x06, 0x01, 0x01, 0xFF, 0x02, 0x01, 0x00};
    static const uint8_t usage[] = {0x03, 0x02, 0x01, 0x06};
    size_t mark = out->at, inner;
    put_key_id(out, spki, 8);
    inner = out->at;
    der_put(out, constraints, sizeof constraints);
    end_extension(out, oid_basic_constraints, sizeof oid_basic_constraints, true, inner);
    inner = out->at;
    der_put(out, usage, sizeof usage);
    end_extension(out, oid_key_usage, sizeof oid_key_usage, true, inner);
    der_wrap(out, TAG_SEQUENCE, mark);
    der_wrap(out, TAG_EXTENSIONS, mark);
}

bool certificate_build_issuing(struct arena *arena, const char *common_name, gnutls_pubkey_t key,
                               gnutls_privkey_t signing_key, time_t not_before, time_t not_after,
                               struct bytes *der, struct error *error) {
    struct der_writer out;
    struct bytes identifier;
    gnutls_sign_algorithm_t algorithm;
    gnutls_datum_t spki, signature;
    uint8_t serial[SERIAL_BYTES];
    if (!choose_algorithm(key, &algorithm, &identifier, error))
        return false;
    if (gnutls_pubkey_export2(key, GNUTLS_X509_FMT_DER, &spki) < 0 || !der_writer_init(&out, arena, 8192))
        return out_of_memory(error);
    certificate_make_serial(serial);
    size_t mark = out.at;
    put_issuing_extensions(&out, (struct bytes){spki.data, spki.size});
    der_put(&out, spki.data, spki.size);
    for (int twice = 0; twice < 2; twice++) { /* subject, and after the validity the same name as issuer */
        size_t name = out.at;
        put_attribute(&out, 3, common_name);
        der_wrap(&out, TAG_SEQUENCE, name);
        if (twice == 0)
            put_validity(&out, not_before, not_after);
    }
    der_put(&out, identifier.data, identifier.length);
    der_put_element(&out, TAG_INTEGER, serial, sizeof serial);
    put_version_3(&out);
    der_wrap(&out, TAG_SEQUENCE, mark);
    gnutls_free(spki.data);
    struct bytes tbs = der_written(&out);
    gnutls_datum_t data = {(unsigned char *)(uintptr_t)tbs.data, (unsigned)tbs.length};
    int outcome = gnutls_privkey_sign_data2(signing_key, algorithm, 0, &data, &signature);
    if (outcome < 0)
        return error_set(error, ERROR_UNAVAILABLE, "the token does not sign: %s", gnutls_strerror(outcome));
    bool is_good =
        assemble(arena, identifier, tbs, (struct bytes){signature.data, signature.size}, der, error);
    gnutls_free(signature.data);
    return is_good;
}
