/* Reads a list with the strict DER reader and asks GnuTLS for nothing but the signature: its own reader of
 * lists is slow with many entries. */
#include "verify.h"

#include <stdio.h>
#include <string.h>

#include <gnutls/abstract.h>
#include <gnutls/x509.h>

#include "originca/crl.h"
#include "originca/der.h"

#define SEQUENCE 0x30
#define INTEGER 0x02
#define BIT_STRING 0x03
#define OBJECT_ID 0x06
#define UTC_TIME 0x17
#define GENERALIZED_TIME 0x18

struct parts {
    struct bytes tbs, algorithm, inner_algorithm, issuer, signature, extensions;
    struct bytes number, point; /* values of these extensions; empty where there is none */
    struct crl_facts facts;
};

static bool is_same(struct bytes a, struct bytes b) {
    return a.length == b.length && (a.length == 0 || memcmp(a.data, b.data, a.length) == 0);
}

/* YYMMDDHHMMSSZ before 2050, else with four digits of the year (RFC 5280 5.1.2.4). */
static bool read_time(struct bytes *input, time_t *out) {
    struct der_item item;
    char text[16] = "20";
    struct tm parts = {0};
    if (!der_next(input, &item) || (item.tag != UTC_TIME && item.tag != GENERALIZED_TIME) ||
        item.content.length != (item.tag == UTC_TIME ? 13u : 15u))
        return false;
    memcpy(text + (item.tag == UTC_TIME ? 2 : 0), item.content.data, item.content.length);
    text[15] = '\0';
    if (strspn(text, "0123456789") != 14 || text[14] != 'Z' ||
        sscanf(text, "%4d%2d%2d%2d%2d%2d", &parts.tm_year, &parts.tm_mon, &parts.tm_mday, &parts.tm_hour,
               &parts.tm_min, &parts.tm_sec) != 6)
        return false;
    parts.tm_year -= 1900;
    parts.tm_mon -= 1;
    *out = timegm(&parts);
    return *out != (time_t)-1;
}

static bool count_entries(struct bytes entries, uint64_t *count) {
    struct der_item entry;
    for (*count = 0; entries.length > 0; ++*count)
        if (!der_expect(&entries, SEQUENCE, &entry))
            return false;
    return true;
}

static bool split_tbs(struct bytes tbs, struct parts *parts) {
    struct der_item version, algorithm, issuer, entries, extensions, list;
    if (!der_expect(&tbs, INTEGER, &version) || version.content.length != 1 || version.content.data[0] != 1 ||
        !der_expect(&tbs, SEQUENCE, &algorithm) || !der_expect(&tbs, SEQUENCE, &issuer) ||
        !read_time(&tbs, &parts->facts.this_update) || !read_time(&tbs, &parts->facts.next_update))
        return false;
    parts->inner_algorithm = algorithm.whole;
    parts->issuer = issuer.whole;
    if (tbs.length > 0 && tbs.data[0] == SEQUENCE &&
        (!der_expect(&tbs, SEQUENCE, &entries) || !count_entries(entries.content, &parts->facts.entry_count)))
        return false;
    if (!der_expect(&tbs, 0xA0, &extensions) || tbs.length != 0 ||
        !der_expect(&extensions.content, SEQUENCE, &list) || extensions.content.length != 0)
        return false;
    parts->extensions = list.content;
    return true;
}

/* Extension ::= SEQUENCE { OID, critical BOOLEAN DEFAULT FALSE, OCTET STRING } */
static bool take_extension(struct bytes input, struct parts *parts) {
    static const uint8_t number[] = {0x55, 0x1D, 0x14}, point[] = {0x55, 0x1D, 0x1C};
    struct der_item oid, critical, value;
    if (!der_expect(&input, OBJECT_ID, &oid))
        return false;
    if (input.length > 0 && input.data[0] == 0x01 && !der_next(&input, &critical))
        return false;
    if (!der_expect(&input, 0x04, &value) || input.length != 0)
        return false;
    if (is_same(oid.content, (struct bytes){number, sizeof number}))
        parts->number = value.content;
    if (is_same(oid.content, (struct bytes){point, sizeof point}))
        parts->point = value.content;
    return true;
}

static bool split(struct bytes der, struct parts *parts) {
    struct der_item whole, tbs, algorithm, signature, extension;
    *parts = (struct parts){.facts = {.number = 0}};
    if (!der_expect(&der, SEQUENCE, &whole) || der.length != 0 ||
        !der_expect(&whole.content, SEQUENCE, &tbs) || !der_expect(&whole.content, SEQUENCE, &algorithm) ||
        !der_expect(&whole.content, BIT_STRING, &signature) || whole.content.length != 0 ||
        signature.content.length < 2 || signature.content.data[0] != 0 || !split_tbs(tbs.content, parts))
        return false;
    parts->tbs = tbs.whole;
    parts->algorithm = algorithm.whole;
    parts->signature = (struct bytes){signature.content.data + 1, signature.content.length - 1};
    while (parts->extensions.length > 0)
        if (!der_expect(&parts->extensions, SEQUENCE, &extension) ||
            !take_extension(extension.content, parts))
            return false;
    return true;
}

static bool read_number(struct bytes value, uint64_t *number) {
    struct der_item item;
    if (!der_expect(&value, INTEGER, &item) || value.length != 0 || item.content.length == 0 ||
        item.content.length > 8 || item.content.data[0] >= 0x80)
        return false;
    *number = 0;
    for (size_t i = 0; i < item.content.length; i++)
        *number = *number << 8 | item.content.data[i];
    return true;
}

/* IssuingDistributionPoint { [0] { [0] fullName { [6] URL } } where there is a URL, [1] TRUE } (RFC 5280
 * 5.2.5) */
static bool is_point_of(struct bytes value, const char *url) {
    static const uint8_t users_alone[] = {0x81, 0x01, 0xFF};
    struct der_item point, name, full, uri = {.content = {.length = 0}};
    if (!der_expect(&value, SEQUENCE, &point) || value.length != 0)
        return false;
    if (*url != '\0' &&
        (!der_expect(&point.content, 0xA0, &name) || !der_expect(&name.content, 0xA0, &full) ||
         name.content.length != 0 || !der_expect(&full.content, 0x86, &uri) || full.content.length != 0))
        return false;
    return is_same(uri.content, (struct bytes){(const uint8_t *)url, strlen(url)}) &&
           is_same(point.content, (struct bytes){users_alone, sizeof users_alone});
}

/* --- the issuer --- */

static const struct {
    gnutls_sign_algorithm_t algorithm;
    struct bytes identifier;
} algorithms[] = {
    {GNUTLS_SIGN_RSA_SHA256,
     {(const uint8_t *)"\x30\x0D\x06\x09\x2A\x86\x48\x86\xF7\x0D\x01\x01\x0B\x05\x00", 15}},
    {GNUTLS_SIGN_ECDSA_SHA256, {(const uint8_t *)"\x30\x0A\x06\x08\x2A\x86\x48\xCE\x3D\x04\x03\x02", 12}},
    {GNUTLS_SIGN_ECDSA_SHA384, {(const uint8_t *)"\x30\x0A\x06\x08\x2A\x86\x48\xCE\x3D\x04\x03\x03", 12}},
};

static bool is_signed_by(gnutls_pubkey_t key, const struct parts *parts) {
    if (parts->tbs.length > UINT32_MAX || !is_same(parts->algorithm, parts->inner_algorithm))
        return false;
    for (size_t i = 0; i < sizeof algorithms / sizeof *algorithms; i++) {
        if (!is_same(parts->algorithm, algorithms[i].identifier))
            continue;
        const gnutls_datum_t data = {(unsigned char *)(uintptr_t)parts->tbs.data,
                                     (unsigned)parts->tbs.length};
        const gnutls_datum_t signature = {(unsigned char *)(uintptr_t)parts->signature.data,
                                          (unsigned)parts->signature.length};
        return gnutls_pubkey_verify_data2(key, algorithms[i].algorithm, 0, &data, &signature) >= 0;
    }
    return false;
}

static bool is_of(gnutls_x509_crt_t certificate, const struct parts *parts, struct error *error) {
    gnutls_datum_t subject = {0};
    gnutls_pubkey_t key = NULL;
    bool is_named = gnutls_x509_crt_get_raw_dn(certificate, &subject) >= 0 &&
                    is_same(parts->issuer, (struct bytes){subject.data, subject.size});
    bool is_signed = is_named && gnutls_pubkey_init(&key) >= 0 &&
                     gnutls_pubkey_import_x509(key, certificate, 0) >= 0 && is_signed_by(key, parts);
    gnutls_free(subject.data);
    if (key != NULL)
        gnutls_pubkey_deinit(key);
    if (!is_named)
        return error_set(error, ERROR_INVALID, "it names another issuer");
    return is_signed || error_set(error, ERROR_INVALID, "the issuer's key has not signed it");
}

static bool is_of_issuer(const struct config_issuer *issuer, const struct parts *parts, struct error *error) {
    gnutls_x509_crt_t certificate;
    gnutls_datum_t file = {0};
    if (gnutls_x509_crt_init(&certificate) < 0)
        return error_set(error, ERROR_INTERNAL, "out of memory");
    bool is_read = gnutls_load_file(issuer->certificate_file, &file) >= 0 &&
                   gnutls_x509_crt_import(certificate, &file, GNUTLS_X509_FMT_PEM) >= 0;
    bool is_good = is_read ? is_of(certificate, parts, error)
                           : error_set(error, ERROR_UNAVAILABLE, "cannot read the issuing certificate %s",
                                       issuer->certificate_file);
    gnutls_free(file.data);
    gnutls_x509_crt_deinit(certificate);
    return is_good;
}

bool crl_verify(const struct config_issuer *issuer, const char *url, struct bytes der,
                struct crl_facts *facts, struct error *error) {
    struct parts parts;
    if (!split(der, &parts) || !read_number(parts.number, &parts.facts.number))
        return error_set(error, ERROR_INVALID, "it is no revocation list");
    if (!is_point_of(parts.point, url))
        return error_set(error, ERROR_INVALID, "its issuingDistributionPoint is of another list");
    *facts = parts.facts;
    return is_of_issuer(issuer, &parts, error);
}

bool crl_judge_facts(const struct config *config, const struct crl_facts *facts, int64_t now_ms,
                     struct error *error) {
    const int64_t now = now_ms / 1000, ahead = (int64_t)config->crl_max_ahead_seconds;
    if (facts->number > (uint64_t)(now_ms + ahead * 1000))
        return error_set(error, ERROR_INVALID,
                         "its number %llu is more than %u seconds (crl_max_ahead_seconds) ahead of the clock",
                         (unsigned long long)facts->number, config->crl_max_ahead_seconds);
    if (facts->this_update > now + ahead)
        return error_set(error, ERROR_INVALID, "its thisUpdate is in the future");
    if (facts->next_update <= facts->this_update ||
        facts->next_update - facts->this_update > (time_t)config->crl_max_days * 86400)
        return error_set(
            error, ERROR_INVALID,
            "its nextUpdate is before its thisUpdate, or more than %u days (crl_max_days) behind it",
            config->crl_max_days);
    return true;
}
