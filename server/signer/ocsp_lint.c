/* Pre-signing lint of OCSP responses: taken apart by the strict DER reader into one plain struct; each rule
 * is one function over it. The first broken rule of the table is named. */
#include "ocsp_lint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lint_parts.h"
#include "originca/der.h"
#include "originca/revocation.h"

struct single {
    struct bytes algorithm, name_hash, key_hash, serial;
    uint8_t status_tag;
    struct bytes status, this_update, next_update;
    bool has_next_update, has_extensions;
};

struct parts {
    const struct ocsp_contents *wanted;
    uint32_t max_seconds;
    struct bytes tbs;
    bool is_parsed, has_version, has_extensions;
    struct der_item responder;
    struct bytes produced_at, extensions;
    struct single singles[OCSP_REQUESTS_MAX];
    size_t count;
};

/* --- taking it apart --- */

static bool has_tag(struct bytes input, uint8_t tag) {
    return input.length > 0 && input.data[0] == tag;
}

/* The only item inside, of that tag. */
static bool unwrap(struct bytes outer, uint8_t tag, struct bytes *content) {
    struct der_item item;
    if (!der_expect(&outer, tag, &item) || outer.length != 0)
        return false;
    *content = item.content;
    return true;
}

static bool split_cert_id(struct bytes input, struct single *out) {
    struct der_item algorithm, name, key, serial;
    if (!der_expect(&input, 0x30, &algorithm) || !der_expect(&input, 0x04, &name) ||
        !der_expect(&input, 0x04, &key) || !der_expect(&input, 0x02, &serial) || input.length != 0)
        return false;
    out->algorithm = algorithm.whole;
    out->name_hash = name.content;
    out->key_hash = key.content;
    out->serial = serial.content;
    return true;
}

static bool split_single(struct bytes *list, struct single *out) {
    struct der_item whole, id, status, this_update, optional;
    if (!der_expect(list, 0x30, &whole) || !der_expect(&whole.content, 0x30, &id) ||
        !split_cert_id(id.content, out) || !der_next(&whole.content, &status) ||
        !der_expect(&whole.content, 0x18, &this_update))
        return false;
    out->status_tag = status.tag;
    out->status = status.content;
    out->this_update = this_update.content;
    out->has_next_update = has_tag(whole.content, 0xA0);
    if (out->has_next_update &&
        (!der_expect(&whole.content, 0xA0, &optional) || !unwrap(optional.content, 0x18, &out->next_update)))
        return false;
    out->has_extensions = has_tag(whole.content, 0xA1);
    if (out->has_extensions && !der_expect(&whole.content, 0xA1, &optional))
        return false;
    return whole.content.length == 0;
}

static bool split(struct parts *parts) {
    struct bytes input = parts->tbs;
    struct der_item whole, item;
    if (!der_expect(&input, 0x30, &whole) || input.length != 0)
        return false;
    parts->has_version = has_tag(whole.content, 0xA0);
    if (parts->has_version && !der_expect(&whole.content, 0xA0, &item))
        return false;
    if (!der_next(&whole.content, &parts->responder) || !der_expect(&whole.content, 0x18, &item))
        return false;
    parts->produced_at = item.content;
    if (!der_expect(&whole.content, 0x30, &item))
        return false;
    while (item.content.length > 0 && parts->count < OCSP_REQUESTS_MAX)
        if (!split_single(&item.content, &parts->singles[parts->count++]))
            return false;
    if (item.content.length > 0)
        return false;
    parts->has_extensions = has_tag(whole.content, 0xA1);
    if (parts->has_extensions &&
        (!der_expect(&whole.content, 0xA1, &item) || !unwrap(item.content, 0x30, &parts->extensions)))
        return false;
    return whole.content.length == 0;
}

/* YYYYMMDDHHMMSSZ; -1 for anything else. */
static time_t time_of(struct bytes text) {
    static const size_t lengths[] = {4, 2, 2, 2, 2, 2};
    int numbers[6] = {0};
    size_t at = 0;
    if (text.length != 15 || text.data[14] != 'Z')
        return -1;
    for (size_t i = 0; i < 6; i++)
        for (size_t k = 0; k < lengths[i]; k++, at++) {
            if (text.data[at] < '0' || text.data[at] > '9')
                return -1;
            numbers[i] = numbers[i] * 10 + text.data[at] - '0';
        }
    struct tm parts = {.tm_year = numbers[0] - 1900,
                       .tm_mon = numbers[1] - 1,
                       .tm_mday = numbers[2],
                       .tm_hour = numbers[3],
                       .tm_min = numbers[4],
                       .tm_sec = numbers[5]};
    struct tm again = parts;
    time_t when = timegm(&again);
    bool is_real = again.tm_mon == parts.tm_mon && again.tm_mday == parts.tm_mday &&
                   again.tm_hour == parts.tm_hour && again.tm_min == parts.tm_min &&
                   again.tm_sec == parts.tm_sec;
    return is_real ? when : -1;
}

/* --- rules: NULL, or what is wrong --- */

static const char *is_well_formed(const struct parts *parts) {
    return parts->is_parsed ? NULL : "it is no ResponseData in DER";
}

static const char *version_is_left_out(const struct parts *parts) {
    return parts->has_version ? "it has a version, which is v1 where it is left out" : NULL;
}

/* SHA-1 of the issuing key's bits, which the issuer was identified by when it was loaded. */
static const char *responder_is_issuers_key(const struct parts *parts) {
    struct bytes hash;
    if (parts->responder.tag != 0xA2 || !unwrap(parts->responder.content, 0x04, &hash))
        return "the responder is not named by its key";
    return lint_same(hash, parts->wanted->issuer->ocsp.key[0], 20) ? NULL
                                                                   : "the responder is not the issuer's key";
}

static const char *times_are_well_formed(const struct parts *parts) {
    if (time_of(parts->produced_at) < 0)
        return "producedAt is no GeneralizedTime of RFC 5280";
    for (size_t i = 0; i < parts->count; i++)
        if (time_of(parts->singles[i].this_update) < 0 ||
            (parts->singles[i].has_next_update && time_of(parts->singles[i].next_update) < 0))
            return "thisUpdate or nextUpdate is no GeneralizedTime of RFC 5280";
    return NULL;
}

static const char *count_is_wanted(const struct parts *parts) {
    return parts->count == parts->wanted->count && parts->count > 0
               ? NULL
               : "it is about more or fewer certificates";
}

/* The four AlgorithmIdentifiers once more, so that neither table can be wrong alone. */
static const char *hashes_are_wanted(const struct parts *parts) {
    for (size_t i = 0; i < parts->count && i < parts->wanted->count; i++) {
        const struct single *single = &parts->singles[i];
        ocsp_form form = parts->wanted->statuses[i].form;
        bool is_wanted =
            form == 0 ? IS(single->algorithm, "\x30\x09\x06\x05\x2B\x0E\x03\x02\x1A\x05\x00")
            : form == 1
                ? IS(single->algorithm, "\x30\x0D\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00")
            : form == 2 ? IS(single->algorithm, "\x30\x07\x06\x05\x2B\x0E\x03\x02\x1A")
            : form == 3 ? IS(single->algorithm, "\x30\x0B\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01")
                        : false;
        if (!is_wanted)
            return "a CertID has another hash algorithm than the request";
    }
    return NULL;
}

static const char *issuers_are_wanted(const struct parts *parts) {
    const struct ocsp_issuer_id *id = &parts->wanted->issuer->ocsp;
    for (size_t i = 0; i < parts->count; i++) {
        const struct single *single = &parts->singles[i];
        bool is_sha256 = single->name_hash.length == SHA256_BYTES;
        size_t length = is_sha256 ? SHA256_BYTES : 20;
        if (!lint_same(single->name_hash, id->name[is_sha256], length) ||
            !lint_same(single->key_hash, id->key[is_sha256], length))
            return "a CertID names another issuer";
    }
    return NULL;
}

static const char *serials_are_wanted(const struct parts *parts) {
    for (size_t i = 0; i < parts->count && i < parts->wanted->count; i++) {
        const struct bytes serial = parts->singles[i].serial;
        if (!lint_same(serial, parts->wanted->statuses[i].serial, SERIAL_BYTES) || serial.data[0] == 0 ||
            serial.data[0] > 0x7F)
            return "a CertID has another serial";
    }
    return NULL;
}

static const char *statuses_are_wanted(const struct parts *parts) {
    for (size_t i = 0; i < parts->count && i < parts->wanted->count; i++) {
        const struct single *single = &parts->singles[i];
        bool is_revoked = single->status_tag == 0xA1, is_good = single->status_tag == 0x80;
        if (!is_revoked && !(is_good && single->status.length == 0))
            return "a status is neither good nor revoked";
        if (is_revoked != parts->wanted->statuses[i].is_revoked)
            return "a status is another than the one wanted";
    }
    return NULL;
}

static const char *revocations_are_wanted(const struct parts *parts) {
    for (size_t i = 0; i < parts->count && i < parts->wanted->count; i++) {
        struct bytes info = parts->singles[i].status, reason;
        const struct signer_ocsp_status *wanted = &parts->wanted->statuses[i];
        struct der_item when, wrapped;
        uint32_t found = 0;
        if (parts->singles[i].status_tag != 0xA1)
            continue;
        if (!der_expect(&info, 0x18, &when) || time_of(when.content) < 0)
            return "a revocation has no time";
        if (time_of(when.content) != wanted->revoked_at || wanted->revoked_at > parts->wanted->produced_at)
            return "a revocation has another time, or one to come";
        if (info.length > 0) {
            if (!der_expect(&info, 0xA0, &wrapped) || info.length != 0 ||
                !unwrap(wrapped.content, 0x0A, &reason) || reason.length != 1 || reason.data[0] == 0)
                return "a reason is not well-formed, or unspecified, which is left out";
            found = reason.data[0];
        }
        if (found != wanted->reason || !revocation_reason_is_known(found))
            return "a revocation has another reason";
    }
    return NULL;
}

static const char *window_is_wanted(const struct parts *parts) {
    const struct ocsp_contents *wanted = parts->wanted;
    time_t produced = time_of(parts->produced_at);
    if (produced != wanted->produced_at)
        return "producedAt is another time";
    for (size_t i = 0; i < parts->count; i++) {
        const struct single *single = &parts->singles[i];
        time_t from = time_of(single->this_update), to = time_of(single->next_update);
        if (!single->has_next_update)
            return "nextUpdate is missing";
        if (from != wanted->this_update || to != wanted->next_update)
            return "thisUpdate or nextUpdate is another time";
        if (from > produced || to <= produced || to - from > (time_t)parts->max_seconds)
            return "it holds too long, or not now";
    }
    return NULL;
}

static const char *issuer_lives(const struct parts *parts) {
    const struct issuer *issuer = parts->wanted->issuer;
    for (size_t i = 0; i < parts->count; i++)
        if (time_of(parts->singles[i].next_update) > issuer->not_after)
            return "it would outlive its issuer";
    return NULL;
}

static const char *singles_have_no_extensions(const struct parts *parts) {
    for (size_t i = 0; i < parts->count; i++)
        if (parts->singles[i].has_extensions)
            return "a single response has extensions";
    return NULL;
}

static const char *nonce_is_wanted(const struct parts *parts) {
    struct bytes list = parts->extensions, inner;
    struct der_item extension, oid, value;
    if (!parts->has_extensions)
        return parts->wanted->nonce.length == 0 ? NULL : "the nonce is missing";
    if (!der_expect(&list, 0x30, &extension) || list.length != 0 ||
        !der_expect(&extension.content, 0x06, &oid) ||
        !IS(oid.content, "\x2B\x06\x01\x05\x05\x07\x30\x01\x02") ||
        !der_expect(&extension.content, 0x04, &value) || extension.content.length != 0 ||
        !unwrap(value.content, 0x04, &inner))
        return "it has other extensions than a nonce";
    return inner.length >= 1 && inner.length <= OCSP_NONCE_MAX &&
                   lint_same(inner, parts->wanted->nonce.data, parts->wanted->nonce.length)
               ? NULL
               : "the nonce is another one";
}

static const struct {
    struct lint_rule rule;
    const char *(*check)(const struct parts *parts);
} table[] = {
    {{"ocsp-form", "RFC 6960 4.2.1"}, is_well_formed},
    {{"ocsp-version", "RFC 6960 4.2.2.3, X.690 11.5"}, version_is_left_out},
    {{"ocsp-responder", "RFC 6960 4.2.2.2, RFC 5019 2.2.1"}, responder_is_issuers_key},
    {{"ocsp-time", "RFC 6960 4.2.2.1, RFC 5280 4.1.2.5.2"}, times_are_well_formed},
    {{"ocsp-count", "RFC 6960 4.2.2.3"}, count_is_wanted},
    {{"ocsp-hash", "RFC 6960 4.1.1"}, hashes_are_wanted},
    {{"ocsp-issuer", "RFC 6960 4.1.1"}, issuers_are_wanted},
    {{"ocsp-serial", "RFC 6960 4.1.1"}, serials_are_wanted},
    {{"ocsp-status", "RFC 6960 2.2"}, statuses_are_wanted},
    {{"ocsp-revocation", "RFC 6960 4.2.1, RFC 5280 5.3.1"}, revocations_are_wanted},
    {{"ocsp-window", "RFC 5019 2.2.4"}, window_is_wanted},
    {{"ocsp-issuer-end", "profile"}, issuer_lives},
    {{"ocsp-single-extensions", "RFC 5019 2.2.1"}, singles_have_no_extensions},
    {{"ocsp-nonce", "RFC 9654 2.1"}, nonce_is_wanted},
};
#define RULES (sizeof table / sizeof table[0])

size_t ocsp_lint_rules(const struct lint_rule **rules) {
    static struct lint_rule list[RULES];
    for (size_t i = 0; i < RULES; i++)
        list[i] = table[i].rule;
    *rules = list;
    return RULES;
}

bool ocsp_lint_tbs(struct bytes tbs, const struct ocsp_contents *wanted, uint32_t max_seconds,
                   struct error *error) {
    struct parts parts = {.wanted = wanted, .max_seconds = max_seconds, .tbs = tbs};
    parts.is_parsed = split(&parts);
    for (size_t i = 0; i < RULES; i++) {
        const char *complaint = table[i].check(&parts);
        if (complaint != NULL)
            return error_set(error, ERROR_INTERNAL, "lint: %s: %s (%s)", table[i].rule.id, complaint,
                             table[i].rule.citation);
    }
    return true;
}

/* Down to the BasicOCSPResponse. */
static bool open_response(struct bytes der, struct bytes *basic) {
    struct der_item whole, status, wrapped, bytes, type, octets;
    return der_expect(&der, 0x30, &whole) && der.length == 0 && der_expect(&whole.content, 0x0A, &status) &&
           lint_same(status.content, "\0", 1) && der_expect(&whole.content, 0xA0, &wrapped) &&
           whole.content.length == 0 && der_expect(&wrapped.content, 0x30, &bytes) &&
           wrapped.content.length == 0 && der_expect(&bytes.content, 0x06, &type) &&
           IS(type.content, "\x2B\x06\x01\x05\x05\x07\x30\x01\x01") &&
           der_expect(&bytes.content, 0x04, &octets) && bytes.content.length == 0 &&
           unwrap(octets.content, 0x30, basic);
}

bool ocsp_lint_response(struct bytes der, struct bytes tbs, const struct issuer *issuer,
                        struct error *error) {
    struct der_item data, algorithm, signature;
    struct bytes basic;
    if (!open_response(der, &basic) || !der_expect(&basic, 0x30, &data) ||
        !der_expect(&basic, 0x30, &algorithm) || !der_expect(&basic, 0x03, &signature) || basic.length != 0 ||
        signature.content.length < 2 || signature.content.data[0] != 0)
        return error_set(error, ERROR_INTERNAL,
                         "lint: ocsp-response: the signed response is not well-formed");
    if (!lint_same(data.whole, tbs.data, tbs.length) ||
        !lint_same(algorithm.whole, issuer->signature_identifier.data, issuer->signature_identifier.length))
        return error_set(error, ERROR_INTERNAL,
                         "lint: ocsp-response: the signed response differs from what was linted");
    gnutls_datum_t signed_data = {(unsigned char *)(uintptr_t)tbs.data, (unsigned)tbs.length};
    gnutls_datum_t bits = {(unsigned char *)(uintptr_t)signature.content.data + 1,
                           (unsigned)signature.content.length - 1};
    int outcome = gnutls_pubkey_verify_data2(issuer->public_key, issuer->algorithm, 0, &signed_data, &bits);
    return outcome >= 0 ||
           error_set(error, ERROR_UNAVAILABLE, "lint: ocsp-signature: the token's signature does not verify");
}
