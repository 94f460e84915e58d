/* Pre-signing lint. The TBS is taken apart by a strict DER reader into one plain struct; each rule is one
 * function over it. The order of the table is the order of checking; the first broken rule is named. */
#include "lint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <gnutls/x509.h>

#include "lint_parts.h"
#include "lint_url.h"
#include "originca/der.h"
#include "originca/names.h"

#define EXTENSIONS_MAX 16
#define TBS_MAX_BYTES (64 * 1024)

struct parts {
    const struct certificate_contents *wanted;
    struct bytes tbs;
    bool is_parsed, has_trailing, has_unique_ids;
    struct bytes version, serial, algorithm, issuer, not_before, not_after, subject, spki;
    uint8_t not_before_tag, not_after_tag;
    struct lint_extension extensions[EXTENSIONS_MAX];
    size_t extension_count;
};

#define SAN "\x55\x1D\x11"
#define EKU "\x55\x1D\x25"
#define KU "\x55\x1D\x0F"
#define BC "\x55\x1D\x13"
#define AKI "\x55\x1D\x23"
#define SKI "\x55\x1D\x0E"
#define CRL "\x55\x1D\x1F"
#define AIA "\x2B\x06\x01\x05\x05\x07\x01\x01"
#define SERVER_AUTH "\x06\x08\x2B\x06\x01\x05\x05\x07\x03\x01"
#define CLIENT_AUTH "\x06\x08\x2B\x06\x01\x05\x05\x07\x03\x02"
#define OCSP "\x2B\x06\x01\x05\x05\x07\x30\x01"
/* O=originca, OU=Origin CA, CN=Origin Certificate */
#define CLASSIC_SUBJECT                                                                                      \
    "\x30\x44\x31\x11\x30\x0F\x06\x03\x55\x04\x0A\x0C\x08originca"                                           \
    "\x31\x12\x30\x10\x06\x03\x55\x04\x0B\x0C\x09Origin CA"                                                  \
    "\x31\x1B\x30\x19\x06\x03\x55\x04\x03\x0C\x12Origin Certificate"

/* --- taking apart --- */

static bool split_extensions(struct parts *parts, struct bytes input) {
    struct der_item list, extension;
    if (!der_expect(&input, 0x30, &list) || input.length != 0)
        return false;
    while (list.content.length > 0) {
        if (parts->extension_count == EXTENSIONS_MAX || !der_expect(&list.content, 0x30, &extension) ||
            !lint_split_extension(extension.content, &parts->extensions[parts->extension_count++]))
            return false;
    }
    return true;
}

static bool split_validity(struct parts *parts, struct bytes input) {
    struct der_item first, second;
    if (!der_next(&input, &first) || !der_next(&input, &second) || input.length != 0)
        return false;
    parts->not_before = first.content;
    parts->not_before_tag = first.tag;
    parts->not_after = second.content;
    parts->not_after_tag = second.tag;
    return true;
}

static bool split(struct parts *parts) {
    struct bytes input = parts->tbs;
    struct der_item outer, item;
    if (!der_expect(&input, 0x30, &outer))
        return false;
    parts->has_trailing = input.length != 0;
    input = outer.content;
    if (!der_next(&input, &item))
        return false;
    if (item.tag == 0xA0) {
        parts->version = item.content;
        if (!der_next(&input, &item))
            return false;
    }
    if (item.tag != 0x02)
        return false;
    parts->serial = item.content;
    struct der_item algorithm, issuer, validity, subject, spki;
    if (!der_expect(&input, 0x30, &algorithm) || !der_expect(&input, 0x30, &issuer) ||
        !der_expect(&input, 0x30, &validity) || !der_expect(&input, 0x30, &subject) ||
        !der_expect(&input, 0x30, &spki) || !split_validity(parts, validity.content))
        return false;
    parts->algorithm = algorithm.whole;
    parts->issuer = issuer.whole;
    parts->subject = subject.whole;
    parts->spki = spki.whole;
    while (input.length > 0) {
        if (!der_next(&input, &item))
            return false;
        if (item.tag == 0xA3 && input.length == 0)
            return split_extensions(parts, item.content);
        parts->has_unique_ids = true;
    }
    return false; /* a leaf without extensions has no names */
}

/* --- rules: NULL where kept, else what is wrong --- */

static const char *is_well_formed(const struct parts *parts) {
    return parts->is_parsed ? NULL : "the TBS is not the DER of a certificate";
}

static const char *has_nothing_behind(const struct parts *parts) {
    return parts->has_trailing ? "bytes follow the TBS" : NULL;
}

static const char *is_bounded(const struct parts *parts) {
    return parts->tbs.length > TBS_MAX_BYTES ? "the certificate is larger than 64 KiB" : NULL;
}

static const char *is_version_3(const struct parts *parts) {
    return IS(parts->version, "\x02\x01\x02") ? NULL : "the version is not 3";
}

static const char *has_no_unique_ids(const struct parts *parts) {
    return parts->has_unique_ids ? "unique identifiers are present" : NULL;
}

static const char *serial_is_positive(const struct parts *parts) {
    return parts->serial.length == 0 || (parts->serial.data[0] & 0x80) != 0 || parts->serial.data[0] == 0
               ? "the serial is not positive or not minimal"
               : NULL;
}

static const char *serial_is_short_enough(const struct parts *parts) {
    return parts->serial.length > 20 ? "the serial is longer than 20 octets" : NULL;
}

static const char *serial_has_entropy(const struct parts *parts) {
    return parts->serial.length < 16 ? "the serial holds fewer than 64 random bits" : NULL;
}

static const char *serial_is_wanted(const struct parts *parts) {
    return lint_same(parts->serial, parts->wanted->serial, SERIAL_BYTES)
               ? NULL
               : "the serial is not the one of the intent";
}

static const char *algorithm_fits_issuer(const struct parts *parts) {
    struct bytes wanted = parts->wanted->issuer->signature_identifier;
    return lint_same(parts->algorithm, wanted.data, wanted.length)
               ? NULL
               : "the signature algorithm is not exactly the issuer's";
}

static const char *issuer_is_subject_of_issuer(const struct parts *parts) {
    struct bytes wanted = parts->wanted->issuer->subject;
    return lint_same(parts->issuer, wanted.data, wanted.length)
               ? NULL
               : "the issuer differs from the issuing certificate's subject";
}

static bool digits(struct bytes text, size_t at, size_t count, int *value) {
    *value = 0;
    for (size_t i = at; i < at + count; i++) {
        if (i >= text.length || text.data[i] < '0' || text.data[i] > '9')
            return false;
        *value = *value * 10 + text.data[i] - '0';
    }
    return true;
}

/* Seconds and Z are always there, fractions and offsets never (RFC 5280 4.1.2.5.1). */
static bool read_time(struct bytes text, uint8_t tag, time_t *when) {
    size_t year_digits = tag == 0x17 ? 2 : 4;
    struct tm parts = {0};
    int year;
    if (text.length != year_digits + 11 || text.data[text.length - 1] != 'Z' ||
        !digits(text, 0, year_digits, &year) || !digits(text, year_digits, 2, &parts.tm_mon) ||
        !digits(text, year_digits + 2, 2, &parts.tm_mday) ||
        !digits(text, year_digits + 4, 2, &parts.tm_hour) ||
        !digits(text, year_digits + 6, 2, &parts.tm_min) || !digits(text, year_digits + 8, 2, &parts.tm_sec))
        return false;
    if (tag == 0x17)
        year += year < 50 ? 2000 : 1900;
    parts.tm_year = year - 1900;
    parts.tm_mon -= 1;
    /* timegm turns month 13 into January: only a time that comes back as it was written is one */
    struct tm read = parts;
    *when = timegm(&read);
    return read.tm_year == parts.tm_year && read.tm_mon == parts.tm_mon && read.tm_mday == parts.tm_mday &&
           read.tm_hour == parts.tm_hour && read.tm_min == parts.tm_min && read.tm_sec == parts.tm_sec;
}

static const char *check_time_form(struct bytes text, uint8_t tag) {
    time_t when;
    struct tm parts;
    if ((tag != 0x17 && tag != 0x18) || !read_time(text, tag, &when))
        return "a time is not in the form with seconds and Z";
    gmtime_r(&when, &parts);
    bool is_late = parts.tm_year + 1900 >= 2050;
    return is_late == (tag == 0x18) ? NULL : "UTCTime ends with 2049, GeneralizedTime begins with 2050";
}

static const char *times_have_right_form(const struct parts *parts) {
    const char *complaint = check_time_form(parts->not_before, parts->not_before_tag);
    return complaint != NULL ? complaint : check_time_form(parts->not_after, parts->not_after_tag);
}

static const char *validity_is_wanted(const struct parts *parts) {
    time_t before = 0, after = 0;
    if (!read_time(parts->not_before, parts->not_before_tag, &before) ||
        !read_time(parts->not_after, parts->not_after_tag, &after))
        return "a time cannot be read";
    return before == parts->wanted->not_before && after == parts->wanted->not_after
               ? NULL
               : "the validity is not exactly what was asked for";
}

static const char *validity_is_forward(const struct parts *parts) {
    return parts->wanted->not_before < parts->wanted->not_after ? NULL
                                                                : "the certificate ends before it begins";
}

static const char *validity_is_inside_issuer(const struct parts *parts) {
    const struct issuer *issuer = parts->wanted->issuer;
    return parts->wanted->not_after <= issuer->not_after &&
                   parts->wanted->not_before >= issuer->not_before - 86400
               ? NULL
               : "the certificate outlives its issuer";
}

static const char *lifetime_is_bounded(const struct parts *parts) {
    return parts->wanted->not_after - parts->wanted->not_before <= (time_t)5475 * 86400
               ? NULL
               : "the lifetime is longer than 5475 days";
}

static const char *subject_fits_template(const struct parts *parts) {
    bool is_empty = IS(parts->subject, "\x30\x00");
    if (parts->wanted->shape != TEMPLATE_CLASSIC)
        return is_empty ? NULL : "the subject is not empty";
    return IS(parts->subject, CLASSIC_SUBJECT) ? NULL : "the subject is not the fixed one";
}

static const char *spki_is_wanted(const struct parts *parts) {
    return lint_same(parts->spki, parts->wanted->spki.data, parts->wanted->spki.length)
               ? NULL
               : "the public key is not the one of the request";
}

/* RFC 3279 2.3.1, RFC 5480 2.1.1: NULL parameters for RSA, a named curve for EC. */
static const char *spki_parameters_are_right(const struct parts *parts) {
    static const char rsa[] = "\x30\x0D\x06\x09\x2A\x86\x48\x86\xF7\x0D\x01\x01\x01\x05\x00";
    static const char *const curves[] = {"\x06\x08\x2A\x86\x48\xCE\x3D\x03\x01\x07",
                                         "\x06\x05\x2B\x81\x04\x00\x22", "\x06\x05\x2B\x81\x04\x00\x23"};
    static const size_t lengths[] = {10, 7, 7};
    struct bytes input = parts->spki;
    struct der_item outer, algorithm, oid;
    if (!der_expect(&input, 0x30, &outer) || !der_expect(&outer.content, 0x30, &algorithm))
        return "the public key is not a SubjectPublicKeyInfo";
    if (lint_same(algorithm.whole, rsa, sizeof rsa - 1))
        return parts->wanted->is_rsa ? NULL : "the key is RSA and should not be";
    input = algorithm.content;
    if (!der_expect(&input, 0x06, &oid) || !IS(oid.content, "\x2A\x86\x48\xCE\x3D\x02\x01"))
        return "the public key's algorithm is neither RSA nor EC";
    for (size_t i = 0; i < 3; i++)
        if (lint_same(input, curves[i], lengths[i]))
            return parts->wanted->is_rsa ? "the key is EC and should be RSA" : NULL;
    return "the curve is not a named one of P-256, P-384, P-521";
}

static const char *extensions_are_unique(const struct parts *parts) {
    for (size_t i = 0; i < parts->extension_count; i++)
        for (size_t k = i + 1; k < parts->extension_count; k++)
            if (lint_same(parts->extensions[i].oid, parts->extensions[k].oid.data,
                          parts->extensions[k].oid.length))
                return "an extension is present twice";
    return NULL;
}

static const char *extensions_are_known(const struct parts *parts) {
    for (size_t i = 0; i < parts->extension_count; i++) {
        struct bytes oid = parts->extensions[i].oid;
        if (!IS(oid, SAN) && !IS(oid, EKU) && !IS(oid, KU) && !IS(oid, BC) && !IS(oid, AKI) &&
            !IS(oid, SKI) && !IS(oid, CRL) && !IS(oid, AIA))
            return "an extension is present that no profile has";
    }
    return NULL;
}

static const char *defaults_are_left_out(const struct parts *parts) {
    for (size_t i = 0; i < parts->extension_count; i++)
        if (parts->extensions[i].has_explicit_default)
            return "a critical flag FALSE is written out, which DER forbids";
    return NULL;
}

static const char *names_are_critical_without_subject(const struct parts *parts) {
    const struct lint_extension *names = FIND(parts, SAN);
    if (names == NULL)
        return "there is no subjectAltName";
    return names->is_critical || parts->wanted->shape == TEMPLATE_CLASSIC
               ? NULL
               : "the subject is empty and subjectAltName is not critical";
}

static bool next_name(struct bytes *list, struct der_item *name) {
    return list->length > 0 && der_next(list, name);
}

static bool open_names(const struct parts *parts, struct bytes *list) {
    const struct lint_extension *names = FIND(parts, SAN);
    struct der_item sequence;
    if (names == NULL)
        return false;
    struct bytes input = names->value;
    if (!der_expect(&input, 0x30, &sequence) || input.length != 0)
        return false;
    *list = sequence.content;
    return true;
}

static const char *names_are_dns_names(const struct parts *parts) {
    struct bytes list;
    struct der_item name;
    if (!open_names(parts, &list) || list.length == 0)
        return "subjectAltName is empty or malformed";
    while (next_name(&list, &name))
        if (name.tag != 0x82)
            return "subjectAltName holds something other than a dNSName";
    return list.length == 0 ? NULL : "subjectAltName is malformed";
}

static const char *names_are_well_formed(const struct parts *parts) {
    struct bytes list;
    struct der_item name;
    char text[NAME_MAX_BYTES + 1], canonical[NAME_MAX_BYTES + 1];
    if (!open_names(parts, &list))
        return "subjectAltName is malformed";
    while (next_name(&list, &name)) {
        if (name.content.length > NAME_MAX_BYTES ||
            memchr(name.content.data, '\0', name.content.length) != NULL)
            return "a name is too long or holds a NUL";
        memcpy(text, name.content.data, name.content.length);
        text[name.content.length] = '\0';
        if (!name_check(text, canonical, NULL) || strcmp(text, canonical) != 0)
            return "a name is not in its canonical form";
    }
    return NULL;
}

static const char *names_are_wanted(const struct parts *parts) {
    struct bytes list;
    struct der_item name;
    size_t count = 0;
    if (!open_names(parts, &list))
        return "subjectAltName is malformed";
    for (; next_name(&list, &name); count++)
        if (count >= parts->wanted->name_count ||
            !lint_same(name.content, parts->wanted->names[count], strlen(parts->wanted->names[count])))
            return "the names are not those of the request";
    return count == parts->wanted->name_count ? NULL : "a name of the request is missing";
}

static const char *names_are_unique(const struct parts *parts) {
    for (size_t i = 0; i < parts->wanted->name_count; i++)
        for (size_t k = i + 1; k < parts->wanted->name_count; k++)
            if (strcmp(parts->wanted->names[i], parts->wanted->names[k]) == 0)
                return "a name is present twice";
    return NULL;
}

static const char *extended_key_usage_fits(const struct parts *parts) {
    const struct lint_extension *usage = FIND(parts, EKU);
    if (usage == NULL || usage->is_critical)
        return "extKeyUsage is missing or critical";
    switch (parts->wanted->shape) {
    case TEMPLATE_ORIGIN:
        return IS(usage->value, "\x30\x14" SERVER_AUTH CLIENT_AUTH)
                   ? NULL
                   : "extKeyUsage is not exactly serverAuth, clientAuth";
    case TEMPLATE_COMPACT:
        return IS(usage->value, "\x30\x0A" SERVER_AUTH) ? NULL : "extKeyUsage is not exactly serverAuth";
    case TEMPLATE_CLASSIC:
        return IS(usage->value, "\x30\x14" CLIENT_AUTH SERVER_AUTH)
                   ? NULL
                   : "extKeyUsage is not exactly clientAuth, serverAuth";
    }
    return "the template is unknown";
}

static const char *is_no_ca(const struct parts *parts) {
    const struct lint_extension *constraints = FIND(parts, BC);
    if (constraints != NULL && (!constraints->is_critical || !IS(constraints->value, "\x30\x00")))
        return "basicConstraints is not critical or not an empty sequence (cA FALSE)";
    return (constraints != NULL) == (parts->wanted->shape == TEMPLATE_CLASSIC)
               ? NULL
               : "basicConstraints does not fit the template";
}

static const char *key_usage_fits(const struct parts *parts) {
    const struct lint_extension *usage = FIND(parts, KU);
    if (parts->wanted->shape != TEMPLATE_CLASSIC)
        return usage == NULL ? NULL : "keyUsage does not belong into this template";
    if (usage == NULL || !usage->is_critical)
        return "keyUsage is missing or not critical";
    if (parts->wanted->is_rsa)
        return IS(usage->value, "\x03\x02\x05\xA0")
                   ? NULL
                   : "keyUsage is not exactly digitalSignature, keyEncipherment";
    return IS(usage->value, "\x03\x02\x07\x80") ? NULL : "keyUsage is not exactly digitalSignature";
}

static const char *authority_key_id_fits(const struct parts *parts) {
    const struct lint_extension *id = FIND(parts, AKI);
    struct der_item sequence, key;
    if (id == NULL || id->is_critical)
        return "authorityKeyIdentifier is missing or critical";
    struct bytes input = id->value, wanted = parts->wanted->issuer->key_id;
    if (!der_expect(&input, 0x30, &sequence) || input.length != 0 ||
        !der_expect(&sequence.content, 0x80, &key) || sequence.content.length != 0)
        return "authorityKeyIdentifier holds more or less than a key identifier";
    return lint_same(key.content, wanted.data, wanted.length)
               ? NULL
               : "authorityKeyIdentifier is not the issuer's subjectKeyIdentifier";
}

static const char *subject_key_id_fits(const struct parts *parts) {
    const struct lint_extension *id = FIND(parts, SKI);
    if (parts->wanted->shape != TEMPLATE_CLASSIC)
        return id == NULL ? NULL : "subjectKeyIdentifier does not belong into this template";
    uint8_t digest[SHA256_BYTES];
    sha256(parts->wanted->spki.data, parts->wanted->spki.length, digest);
    return id != NULL && !id->is_critical && id->value.length == 22 &&
                   memcmp(id->value.data, "\x04\x14", 2) == 0 && memcmp(id->value.data + 2, digest, 20) == 0
               ? NULL
               : "subjectKeyIdentifier is missing or not that of the key";
}

/* Takes off elements that each hold exactly one more; what the last one holds is in `content`. */
static bool unwrap(struct bytes input, const char *tags, struct bytes *content) {
    struct der_item item;
    for (; *tags != '\0'; tags++) {
        if (!der_expect(&input, (uint8_t)*tags, &item) || input.length != 0)
            return false;
        input = item.content;
    }
    *content = input;
    return true;
}

/* One distribution point, its fullName one URI, and nothing else. */
static bool is_only_point(const struct parts *parts, struct bytes value, const struct config_issuer *config) {
    struct bytes text;
    return unwrap(value, "\x30\x30\xA0\xA0\x86", &text) &&
           lint_url_is_filled(text, config->crl_url, config->crl_shards, parts->wanted->serial);
}

/* One description, of OCSP. */
static bool is_only_access(struct bytes value, const char *url) {
    struct bytes description;
    struct der_item method, location;
    return unwrap(value, "\x30\x30", &description) && der_expect(&description, 0x06, &method) &&
           IS(method.content, OCSP) && der_expect(&description, 0x86, &location) && description.length == 0 &&
           lint_same(location.content, url, strlen(url));
}

static const char *crl_point_fits(const struct parts *parts) {
    const struct lint_extension *points = FIND(parts, CRL);
    const struct config_issuer *config = parts->wanted->issuer->config;
    if (parts->wanted->shape == TEMPLATE_COMPACT || config->crl_url == NULL)
        return points == NULL ? NULL : "a CRL distribution point does not belong here";
    return points != NULL && !points->is_critical && is_only_point(parts, points->value, config)
               ? NULL
               : "the CRL distribution point is missing or not the configured one of the serial's shard";
}

static const char *authority_access_fits(const struct parts *parts) {
    const struct lint_extension *access = FIND(parts, AIA);
    const char *url =
        parts->wanted->shape == TEMPLATE_CLASSIC ? parts->wanted->issuer->config->ocsp_url : NULL;
    if (url == NULL)
        return access == NULL ? NULL : "authority information access does not belong here";
    return access != NULL && !access->is_critical && is_only_access(access->value, url)
               ? NULL
               : "the OCSP address is missing or not the configured one";
}

static const struct {
    struct lint_rule rule;
    const char *(*check)(const struct parts *parts);
} table[] = {
    {{"well-formed", "RFC 5280 4.1, X.690 10"}, is_well_formed},
    {{"nothing-behind", "X.690 10"}, has_nothing_behind},
    {{"size", "profile"}, is_bounded},
    {{"version", "RFC 5280 4.1.2.1"}, is_version_3},
    {{"unique-ids", "RFC 5280 4.1.2.8"}, has_no_unique_ids},
    {{"serial-positive", "RFC 5280 4.1.2.2"}, serial_is_positive},
    {{"serial-length", "RFC 5280 4.1.2.2"}, serial_is_short_enough},
    {{"serial-entropy", "profile"}, serial_has_entropy},
    {{"serial-wanted", "ledger"}, serial_is_wanted},
    {{"algorithm", "RFC 5280 4.1.1.2, RFC 5758 3.2, RFC 4055 5"}, algorithm_fits_issuer},
    {{"issuer", "RFC 5280 4.1.2.4"}, issuer_is_subject_of_issuer},
    {{"time-form", "RFC 5280 4.1.2.5"}, times_have_right_form},
    {{"validity-wanted", "profile"}, validity_is_wanted},
    {{"validity-forward", "RFC 5280 4.1.2.5"}, validity_is_forward},
    {{"validity-issuer", "profile"}, validity_is_inside_issuer},
    {{"validity-bound", "profile"}, lifetime_is_bounded},
    {{"subject", "profile"}, subject_fits_template},
    {{"spki-wanted", "profile"}, spki_is_wanted},
    {{"spki-parameters", "RFC 3279 2.3.1, RFC 5480 2.1.1"}, spki_parameters_are_right},
    {{"extension-unique", "RFC 5280 4.2"}, extensions_are_unique},
    {{"extension-known", "profile"}, extensions_are_known},
    {{"extension-default", "X.690 11.5"}, defaults_are_left_out},
    {{"san-critical", "RFC 5280 4.2.1.6"}, names_are_critical_without_subject},
    {{"san-dns", "profile"}, names_are_dns_names},
    {{"san-form", "RFC 1123 2.1, RFC 5280 4.2.1.6"}, names_are_well_formed},
    {{"san-wanted", "profile"}, names_are_wanted},
    {{"san-unique", "profile"}, names_are_unique},
    {{"eku", "RFC 5280 4.2.1.12"}, extended_key_usage_fits},
    {{"no-ca", "RFC 5280 4.2.1.9"}, is_no_ca},
    {{"key-usage", "RFC 5280 4.2.1.3"}, key_usage_fits},
    {{"aki", "RFC 5280 4.2.1.1"}, authority_key_id_fits},
    {{"ski", "RFC 5280 4.2.1.2"}, subject_key_id_fits},
    {{"crl-point", "RFC 5280 4.2.1.13"}, crl_point_fits},
    {{"aia", "RFC 5280 4.2.2.1"}, authority_access_fits},
};
#define RULES (sizeof table / sizeof table[0])

size_t lint_rules(const struct lint_rule **rules) {
    static struct lint_rule list[RULES];
    for (size_t i = 0; i < RULES; i++)
        list[i] = table[i].rule;
    *rules = list;
    return RULES;
}

bool lint_tbs(struct bytes tbs, const struct certificate_contents *wanted, struct error *error) {
    struct parts parts = {.wanted = wanted, .tbs = tbs};
    parts.is_parsed = split(&parts);
    for (size_t i = 0; i < RULES; i++) {
        const char *complaint = table[i].check(&parts);
        if (complaint != NULL)
            return error_set(error, ERROR_INTERNAL, "lint: %s: %s (%s)", table[i].rule.id, complaint,
                             table[i].rule.citation);
    }
    return true;
}

bool lint_certificate(struct bytes der, struct bytes tbs, const struct issuer *issuer, struct error *error) {
    struct der_item outer, inner, algorithm, signature;
    struct bytes input = der;
    if (!der_expect(&input, 0x30, &outer) || input.length != 0 || !der_expect(&outer.content, 0x30, &inner) ||
        !der_expect(&outer.content, 0x30, &algorithm) || !der_expect(&outer.content, 0x03, &signature) ||
        outer.content.length != 0 || signature.content.length < 2 || signature.content.data[0] != 0)
        return error_set(error, ERROR_INTERNAL,
                         "lint: certificate-form: the signed certificate is not well-formed");
    if (!lint_same(inner.whole, tbs.data, tbs.length) ||
        !lint_same(algorithm.whole, issuer->signature_identifier.data, issuer->signature_identifier.length))
        return error_set(error, ERROR_INTERNAL,
                         "lint: certificate-contents: the signed certificate differs from what was linted");
    gnutls_datum_t data = {(unsigned char *)(uintptr_t)tbs.data, (unsigned)tbs.length};
    gnutls_datum_t bits = {(unsigned char *)(uintptr_t)signature.content.data + 1,
                           (unsigned)signature.content.length - 1};
    int outcome = gnutls_pubkey_verify_data2(issuer->public_key, issuer->algorithm, 0, &data, &bits);
    return outcome >= 0 ||
           error_set(error, ERROR_UNAVAILABLE, "lint: signature: the token's signature does not verify");
}
