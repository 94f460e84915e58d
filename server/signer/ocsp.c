/* OCSP responses byte by byte, from their end to their beginning. */
#include "ocsp.h"

#include "der_writer.h"

enum {
    TAG_INTEGER = 2,
    TAG_BIT_STRING = 3,
    TAG_OCTET_STRING = 4,
    TAG_OID = 6,
    TAG_ENUMERATED = 0x0A,
    TAG_GENERALIZED_TIME = 0x18,
    TAG_SEQUENCE = 0x30,
    TAG_GOOD = 0x80,    /* [0] IMPLICIT NULL */
    TAG_REVOKED = 0xA1, /* [1] IMPLICIT RevokedInfo */
    TAG_EXPLICIT_0 = 0xA0,
    TAG_EXPLICIT_1 = 0xA1,
    TAG_BY_KEY = 0xA2,
};

#define SINGLE_RESPONSE_MAX 224 /* with SHA-256 and a reason 192 bytes */
#define KEY_HASH_BYTES 20       /* SHA-1, whatever the request has (RFC 6960 4.2.1) */

static const uint8_t oid_basic[] = {0x2B, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x01},
                     oid_nonce[] = {0x2B, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x02};

static bool finish(const struct der_writer *out, struct bytes *der, struct error *error) {
    *der = der_written(out);
    return !out->failed || error_set(error, ERROR_INTERNAL, "the OCSP response does not fit its buffer");
}

/* GeneralizedTime without fractions, whatever the year (RFC 6960 4.2.2.1, RFC 5280 4.1.2.5.2). */
static void put_time(struct der_writer *out, time_t when) {
    struct tm parts;
    char text[24];
    gmtime_r(&when, &parts);
    size_t length = strftime(text, sizeof text, "%Y%m%d%H%M%SZ", &parts);
    der_put_element(out, TAG_GENERALIZED_TIME, text, length);
}

static void put_revoked(struct der_writer *out, const struct signer_ocsp_status *status) {
    const uint8_t reason = (uint8_t)status->reason;
    size_t mark = out->at;
    if (reason != 0) {
        size_t reason_mark = out->at;
        der_put_element(out, TAG_ENUMERATED, &reason, 1);
        der_wrap(out, TAG_EXPLICIT_0, reason_mark);
    }
    put_time(out, status->revoked_at);
    der_wrap(out, TAG_REVOKED, mark);
}

static void put_cert_id(struct der_writer *out, const struct issuer *issuer,
                        const struct signer_ocsp_status *status) {
    size_t mark = out->at, length = ocsp_hash_bytes(status->form), which = status->form & OCSP_SHA256;
    struct bytes algorithm = ocsp_hash_identifier(status->form);
    der_put_element(out, TAG_INTEGER, status->serial, SERIAL_BYTES);
    der_put_element(out, TAG_OCTET_STRING, issuer->ocsp.key[which], length);
    der_put_element(out, TAG_OCTET_STRING, issuer->ocsp.name[which], length);
    der_put(out, algorithm.data, algorithm.length);
    der_wrap(out, TAG_SEQUENCE, mark);
}

static void put_response(struct der_writer *out, const struct ocsp_contents *contents,
                         const struct signer_ocsp_status *status) {
    size_t mark = out->at;
    put_time(out, contents->next_update);
    der_wrap(out, TAG_EXPLICIT_0, mark);
    put_time(out, contents->this_update);
    if (status->is_revoked)
        put_revoked(out, status);
    else
        der_wrap(out, TAG_GOOD, out->at);
    put_cert_id(out, contents->issuer, status);
    der_wrap(out, TAG_SEQUENCE, mark);
}

static void put_nonce(struct der_writer *out, struct bytes nonce) {
    size_t mark = out->at;
    der_put_element(out, TAG_OCTET_STRING, nonce.data, nonce.length);
    der_wrap(out, TAG_OCTET_STRING, mark);
    der_put_element(out, TAG_OID, oid_nonce, sizeof oid_nonce);
    der_wrap(out, TAG_SEQUENCE, mark);
    der_wrap(out, TAG_SEQUENCE, mark);
    der_wrap(out, TAG_EXPLICIT_1, mark);
}

static void put_responder(struct der_writer *out, const struct issuer *issuer) {
    size_t mark = out->at;
    der_put_element(out, TAG_OCTET_STRING, issuer->ocsp.key[0], KEY_HASH_BYTES);
    der_wrap(out, TAG_BY_KEY, mark);
}

bool ocsp_build_tbs(struct arena *arena, const struct ocsp_contents *contents, struct bytes *tbs,
                    struct error *error) {
    struct der_writer out;
    if (!der_writer_init(&out, arena, 128 + contents->nonce.length + contents->count * SINGLE_RESPONSE_MAX))
        return error_set(error, ERROR_INTERNAL, "out of memory");
    size_t mark = out.at;
    if (contents->nonce.length > 0)
        put_nonce(&out, contents->nonce);
    size_t list = out.at;
    for (size_t i = contents->count; i-- > 0;)
        put_response(&out, contents, &contents->statuses[i]);
    der_wrap(&out, TAG_SEQUENCE, list);
    put_time(&out, contents->produced_at);
    put_responder(&out, contents->issuer);
    der_wrap(&out, TAG_SEQUENCE, mark);
    return finish(&out, tbs, error);
}

bool ocsp_assemble(struct arena *arena, const struct issuer *issuer, struct bytes tbs, struct bytes signature,
                   struct bytes *der, struct error *error) {
    static const uint8_t no_unused_bits = 0, successful = 0;
    struct der_writer out;
    if (!der_writer_init(&out, arena, tbs.length + signature.length + 96))
        return error_set(error, ERROR_INTERNAL, "out of memory");
    size_t mark = out.at;
    der_put(&out, signature.data, signature.length);
    der_put(&out, &no_unused_bits, 1);
    der_wrap(&out, TAG_BIT_STRING, mark);
    der_put(&out, issuer->signature_identifier.data, issuer->signature_identifier.length);
    der_put(&out, tbs.data, tbs.length);
    der_wrap(&out, TAG_SEQUENCE, mark); /* BasicOCSPResponse */
    der_wrap(&out, TAG_OCTET_STRING, mark);
    der_put_element(&out, TAG_OID, oid_basic, sizeof oid_basic);
    der_wrap(&out, TAG_SEQUENCE, mark);
    der_wrap(&out, TAG_EXPLICIT_0, mark);
    der_put_element(&out, TAG_ENUMERATED, &successful, 1);
    der_wrap(&out, TAG_SEQUENCE, mark);
    return finish(&out, der, error);
}
