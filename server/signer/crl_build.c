/* Head and tail are small and written by the DER writer, which goes from end to beginning; entries are many,
 * of three forms, and written straight on. */
#include "crl_build.h"

#include <stdlib.h>
#include <string.h>

#include "der_writer.h"
#include "originca/revocation.h"

enum {
    TAG_BOOLEAN = 0x01,
    TAG_INTEGER = 0x02,
    TAG_BIT_STRING = 0x03,
    TAG_OCTET_STRING = 0x04,
    TAG_OID = 0x06,
    TAG_UTC_TIME = 0x17,
    TAG_GENERALIZED_TIME = 0x18,
    TAG_SEQUENCE = 0x30,
    TAG_EXTENSIONS = 0xA0,
};

#define HEADER_MAX 6 /* tag and length */
#define YEAR_2050 2524608000u

static const uint8_t oid_authority_key_id[] = {0x55, 0x1D, 0x23}, oid_crl_number[] = {0x55, 0x1D, 0x14},
                     oid_distribution_point[] = {0x55, 0x1D, 0x1C}, yes = 0xFF;

/* --- entries --- */

static void put_digits(uint8_t *out, unsigned value) {
    out[0] = (uint8_t)('0' + value / 10);
    out[1] = (uint8_t)('0' + value % 10);
}

/* The civil calendar of a day since 1970; gmtime takes most of a list's time otherwise. */
static void put_date(uint8_t out[8], uint32_t day) {
    uint32_t shifted = day + 719468, era = shifted / 146097, of_era = shifted % 146097;
    uint32_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    uint32_t of_year = of_era - (365 * year + year / 4 - year / 100), month = (5 * of_year + 2) / 153;
    uint32_t of_month = of_year - (153 * month + 2) / 5 + 1;
    month = month < 10 ? month + 3 : month - 9;
    year += era * 400 + (month <= 2);
    put_digits(out, year / 100);
    put_digits(out + 2, year % 100);
    put_digits(out + 4, month);
    put_digits(out + 6, of_month);
}

/* RFC 5280 5.1.2.4: UTCTime through 2049, GeneralizedTime from 2050 on; the length. */
static size_t put_time(uint8_t *out, uint32_t when) {
    uint8_t date[8];
    uint32_t second = when % 86400;
    bool is_utc = when < YEAR_2050;
    size_t skipped = is_utc ? 2 : 0, length = 8 - skipped;
    put_date(date, when / 86400);
    out[0] = is_utc ? TAG_UTC_TIME : TAG_GENERALIZED_TIME;
    out[1] = (uint8_t)(length + 7);
    out += 2;
    memcpy(out, date + skipped, length);
    put_digits(out + length, second / 3600);
    put_digits(out + length + 2, second / 60 % 60);
    put_digits(out + length + 4, second % 60);
    out[length + 6] = 'Z';
    return 2 + length + 7;
}

size_t crl_put_entry(const struct crl_entry *entry, uint8_t out[CRL_ENTRY_DER_MAX]) {
    /* crlEntryExtensions { reasonCode { ENUMERATED } }; none where it is unspecified (RFC 5280 5.3.1). */
    static const uint8_t reason_code[] = {0x30, 0x0C, 0x30, 0x0A, 0x06, 0x03, 0x55,
                                          0x1D, 0x15, 0x04, 0x03, 0x0A, 0x01};
    size_t at = 2;
    out[at++] = TAG_INTEGER;
    out[at++] = SERIAL_BYTES;
    memcpy(out + at, entry->serial, SERIAL_BYTES);
    at += SERIAL_BYTES;
    at += put_time(out + at, entry->revoked_at);
    if (entry->reason != REASON_UNSPECIFIED) {
        memcpy(out + at, reason_code, sizeof reason_code);
        at += sizeof reason_code;
        out[at++] = entry->reason;
    }
    out[0] = TAG_SEQUENCE;
    out[1] = (uint8_t)(at - 2);
    return at;
}

uint64_t crl_entries_length(const struct crl_entry *entries, size_t count) {
    uint64_t length = 0;
    for (size_t i = 0; i < count; i++) {
        uint8_t ignored[CRL_ENTRY_DER_MAX];
        length += crl_put_entry(&entries[i], ignored);
    }
    return length;
}

/* --- head and tail --- */

static size_t put_header(uint8_t out[HEADER_MAX], uint8_t tag, uint64_t length) {
    size_t octets = 0, used = 0;
    while (length >> (8 * octets) > 0)
        octets++;
    out[used++] = tag;
    if (length < 0x80) {
        out[used++] = (uint8_t)length;
        return used;
    }
    out[used++] = (uint8_t)(0x80 | octets);
    for (size_t i = octets; i-- > 0;)
        out[used++] = (uint8_t)(length >> (8 * i));
    return used;
}

static void end_extension(struct der_writer *out, const uint8_t oid[3], bool is_critical, size_t mark) {
    der_wrap(out, TAG_OCTET_STRING, mark);
    if (is_critical)
        der_put_element(out, TAG_BOOLEAN, &yes, 1);
    der_put_element(out, TAG_OID, oid, 3);
    der_wrap(out, TAG_SEQUENCE, mark);
}

/* RFC 5280 5.2.5: the URL byte for byte as in the certificates, or whoever checks one takes the list for
 * another's. */
static void put_distribution_point(struct der_writer *out, const char *url) {
    size_t mark = out->at;
    der_put_element(out, 0x81, &yes, 1); /* onlyContainsUserCerts */
    if (*url != '\0') {
        size_t point = out->at;
        der_put_element(out, 0x86, url, strlen(url));
        der_wrap(out, 0xA0, point); /* fullName */
        der_wrap(out, 0xA0, point); /* distributionPoint */
    }
    der_wrap(out, TAG_SEQUENCE, mark);
    end_extension(out, oid_distribution_point, true, mark);
}

static void put_number(struct der_writer *out, uint64_t number) {
    uint8_t bytes[9];
    size_t skipped = 0, mark = out->at;
    bytes[0] = 0;
    for (size_t i = 0; i < 8; i++)
        bytes[1 + i] = (uint8_t)(number >> (56 - 8 * i));
    while (skipped < 8 && bytes[skipped] == 0 && bytes[skipped + 1] < 0x80)
        skipped++;
    der_put_element(out, TAG_INTEGER, bytes + skipped, sizeof bytes - skipped);
    end_extension(out, oid_crl_number, false, mark);
}

static void put_authority_key_id(struct der_writer *out, struct bytes key_id) {
    size_t mark = out->at;
    der_put_element(out, 0x80, key_id.data, key_id.length);
    der_wrap(out, TAG_SEQUENCE, mark);
    end_extension(out, oid_authority_key_id, false, mark);
}

static bool build_tail(struct arena *arena, const struct crl_contents *contents, struct bytes *tail) {
    struct der_writer out;
    if (!der_writer_init(&out, arena, 128 + CRL_URL_MAX + contents->key_id.length))
        return false;
    size_t mark = out.at;
    put_distribution_point(&out, contents->url);
    put_number(&out, contents->number);
    put_authority_key_id(&out, contents->key_id);
    der_wrap(&out, TAG_SEQUENCE, mark);
    der_wrap(&out, TAG_EXTENSIONS, mark);
    *tail = der_written(&out);
    return !out.failed;
}

static void put_update(struct der_writer *out, time_t when) {
    uint8_t text[2 + 15];
    size_t length = put_time(text, (uint32_t)when);
    der_put(out, text, length);
}

/* What stands before the entries, without the header of the whole. */
static bool build_beginning(struct arena *arena, const struct crl_contents *contents,
                            struct der_writer *out) {
    static const uint8_t version_2 = 1;
    uint8_t header[HEADER_MAX];
    if (!der_writer_init(out, arena, 128 + contents->issuer.length + contents->signature_identifier.length))
        return false;
    if (contents->entry_bytes > 0) /* RFC 5280 5.1.2.6: no empty list */
        der_put(out, header, put_header(header, TAG_SEQUENCE, contents->entry_bytes));
    put_update(out, contents->next_update);
    put_update(out, contents->this_update);
    der_put(out, contents->issuer.data, contents->issuer.length);
    der_put(out, contents->signature_identifier.data, contents->signature_identifier.length);
    der_put_element(out, TAG_INTEGER, &version_2, 1);
    return !out->failed;
}

bool crl_build_frame(struct arena *arena, const struct crl_contents *contents, struct crl_frame *out,
                     struct error *error) {
    struct der_writer head;
    uint8_t header[HEADER_MAX];
    if (contents->this_update < 0 || contents->next_update > UINT32_MAX ||
        contents->entry_bytes > UINT32_MAX - 65536)
        return error_set(error, ERROR_INVALID, "the list's times or length are out of bounds");
    if (!build_tail(arena, contents, &out->tail) || !build_beginning(arena, contents, &head))
        return error_set(error, ERROR_INTERNAL, "the list's frame does not fit its buffer");
    uint64_t length = der_written(&head).length + contents->entry_bytes + out->tail.length;
    der_put(&head, header, put_header(header, TAG_SEQUENCE, length));
    out->head = der_written(&head);
    return !head.failed || error_set(error, ERROR_INTERNAL, "the list's frame does not fit its buffer");
}

/* --- the whole --- */

static uint8_t *put_bytes(uint8_t *at, struct bytes bytes) {
    memcpy(at, bytes.data, bytes.length);
    return at + bytes.length;
}

uint8_t *crl_assemble(const struct crl_frame *frame, const struct crl_entry *entries, size_t count,
                      struct bytes signature_identifier, struct bytes signature, size_t *length,
                      struct bytes *tbs) {
    uint8_t outer[HEADER_MAX], bits[HEADER_MAX];
    uint64_t entry_bytes = crl_entries_length(entries, count),
             tbs_length = frame->head.length + entry_bytes + frame->tail.length;
    size_t bits_length = put_header(bits, TAG_BIT_STRING, signature.length + 1);
    uint64_t inner = tbs_length + signature_identifier.length + bits_length + 1 + signature.length;
    size_t outer_length = put_header(outer, TAG_SEQUENCE, inner);
    uint8_t *der = inner > UINT32_MAX ? NULL : malloc(outer_length + inner + CRL_ENTRY_DER_MAX), *at = der;
    if (der == NULL)
        return NULL;
    at = put_bytes(at, (struct bytes){outer, outer_length});
    *tbs = (struct bytes){at, tbs_length};
    at = put_bytes(at, frame->head);
    for (size_t i = 0; i < count; i++)
        at += crl_put_entry(&entries[i], at);
    at = put_bytes(at, frame->tail);
    at = put_bytes(at, signature_identifier);
    at = put_bytes(at, (struct bytes){bits, bits_length});
    *at++ = 0; /* no unused bits */
    at = put_bytes(at, signature);
    *length = (size_t)(at - der);
    return der;
}
