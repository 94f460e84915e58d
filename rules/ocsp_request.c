/* Reading an OCSPRequest (RFC 6960 4.1.1):
 *
 *   OCSPRequest ::= SEQUENCE { tbsRequest, [0] optionalSignature OPTIONAL }
 *   TBSRequest  ::= SEQUENCE { [0] version DEFAULT v1, [1] requestorName OPTIONAL, requestList SEQUENCE OF
 * Request, [2] requestExtensions OPTIONAL } Request     ::= SEQUENCE { reqCert CertID, [0]
 * singleRequestExtensions OPTIONAL }
 */
#include <stdio.h>
#include <string.h>

#include "originca/der.h"
#include "originca/ocsp.h"

#define EXTENSIONS_MAX 16

static bool malformed(struct error *error, const char *what) {
    return error_set(error, ERROR_INVALID, "%s", what);
}

static bool same(struct bytes a, struct bytes b) {
    return a.length == b.length && memcmp(a.data, b.data, a.length) == 0;
}

/* Takes the next item where it has this tag; absent is fine, broken is not. */
static bool take_optional(struct bytes *input, uint8_t tag, struct der_item *item, bool *is_there) {
    *is_there = input->length > 0 && input->data[0] == tag;
    return !*is_there || der_expect(input, tag, item);
}

/* --- extensions --- */

struct extension {
    struct bytes oid, value;
    bool is_critical;
};

static bool read_extension(struct bytes *list, struct extension *out) {
    struct der_item whole, oid, critical, value;
    bool has_critical;
    if (!der_expect(list, 0x30, &whole) || !der_expect(&whole.content, 0x06, &oid) ||
        !take_optional(&whole.content, 0x01, &critical, &has_critical) ||
        (has_critical && critical.content.length != 1) || !der_expect(&whole.content, 0x04, &value) ||
        whole.content.length != 0)
        return false;
    *out = (struct extension){oid.content, value.content, has_critical && critical.content.data[0] != 0};
    return true;
}

/* RFC 9654 2.1: an OCTET STRING of 1 to 128 octets inside the extension's. */
static bool read_nonce(struct bytes value, struct ocsp_request *out, struct error *error) {
    struct der_item nonce;
    if (!der_expect(&value, 0x04, &nonce) || value.length != 0)
        return malformed(error, "the nonce is no OCTET STRING");
    if (nonce.content.length == 0 || nonce.content.length > OCSP_NONCE_MAX)
        return malformed(error, "the nonce has not 1 to 128 octets");
    out->nonce = nonce.content;
    out->has_nonce = true;
    return true;
}

/* `wrapped` is the content of the explicit tag. Only a request as a whole has a nonce. */
static bool read_extensions(struct bytes wrapped, bool is_of_request, struct ocsp_request *out,
                            struct error *error) {
    static const uint8_t nonce_oid[] = {0x2B, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x02};
    const struct bytes nonce = {nonce_oid, sizeof nonce_oid};
    struct bytes seen[EXTENSIONS_MAX];
    struct der_item list;
    if (!der_expect(&wrapped, 0x30, &list) || wrapped.length != 0 || list.content.length == 0)
        return malformed(error, "its extensions are no list");
    for (size_t count = 0; list.content.length > 0; count++) {
        struct extension extension;
        if (count == EXTENSIONS_MAX || !read_extension(&list.content, &extension))
            return malformed(error, "an extension cannot be read");
        for (size_t i = 0; i < count; i++)
            if (same(seen[i], extension.oid))
                return malformed(error, "an extension stands there twice");
        seen[count] = extension.oid;
        if (is_of_request && same(extension.oid, nonce)) {
            if (!read_nonce(extension.value, out, error))
                return false;
        } else if (extension.is_critical) {
            return malformed(error, "a critical extension is not known");
        }
    }
    return true;
}

/* --- CertID --- */

/* The AlgorithmIdentifiers of the forms are compared whole: there is nothing in them to read. */
static ocsp_form form_of(struct bytes algorithm) {
    ocsp_form form = 0;
    while (form < OCSP_FORMS && !same(algorithm, ocsp_hash_identifier(form)))
        form++;
    return form;
}

/* X.690 8.3.2: the first nine bits are neither all zeros nor all ones. */
static bool is_shortest(struct bytes integer) {
    const uint8_t *at = integer.data;
    return integer.length > 0 && !(integer.length > 1 && ((at[0] == 0x00 && (at[1] & 0x80) == 0) ||
                                                          (at[0] == 0xFF && (at[1] & 0x80) != 0)));
}

static bool read_cert_id(struct bytes *input, struct ocsp_cert_id *out) {
    struct der_item whole, algorithm, name, key, serial, oid;
    if (!der_expect(input, 0x30, &whole) || !der_expect(&whole.content, 0x30, &algorithm) ||
        !der_expect(&whole.content, 0x04, &name) || !der_expect(&whole.content, 0x04, &key) ||
        !der_expect(&whole.content, 0x02, &serial) || whole.content.length != 0 ||
        !is_shortest(serial.content) || !der_expect(&algorithm.content, 0x06, &oid))
        return false;
    *out = (struct ocsp_cert_id){form_of(algorithm.whole), name.content, key.content, serial.content};
    return true;
}

static bool read_request(struct bytes *list, struct ocsp_request *out, struct error *error) {
    struct der_item whole, extensions;
    bool has_extensions;
    if (!der_expect(list, 0x30, &whole) || !read_cert_id(&whole.content, &out->ids[out->count]) ||
        !take_optional(&whole.content, 0xA0, &extensions, &has_extensions) || whole.content.length != 0)
        return malformed(error, "a single request cannot be read");
    out->count++;
    return !has_extensions || read_extensions(extensions.content, false, out, error);
}

/* --- the request --- */

static bool read_list(struct bytes list, size_t max, struct ocsp_request *out, struct error *error) {
    if (list.length == 0)
        return malformed(error, "it asks for no certificate");
    while (list.length > 0) {
        if (out->count == max || out->count == OCSP_REQUESTS_MAX)
            return malformed(error, "it asks for more certificates than ocsp_max_requests");
        if (!read_request(&list, out, error))
            return false;
    }
    return true;
}

/* Version 1, which DER would leave out. */
static bool is_version_1(struct bytes wrapped) {
    struct der_item number;
    return der_expect(&wrapped, 0x02, &number) && wrapped.length == 0 && number.content.length == 1 &&
           number.content.data[0] == 0;
}

bool ocsp_request_parse(struct bytes der, size_t max_requests, struct ocsp_request *out,
                        struct error *error) {
    struct der_item whole, tbs, version, requestor, list, extensions, signature;
    bool has_version, has_requestor, has_extensions, has_signature;
    out->count = 0;
    out->has_nonce = false;
    out->nonce = (struct bytes){0};
    if (!der_expect(&der, 0x30, &whole) || der.length != 0 || !der_expect(&whole.content, 0x30, &tbs) ||
        !take_optional(&whole.content, 0xA0, &signature, &has_signature) || whole.content.length != 0)
        return malformed(error, "it is no OCSPRequest");
    if (!take_optional(&tbs.content, 0xA0, &version, &has_version) ||
        (has_version && !is_version_1(version.content)))
        return malformed(error, "it is of another version");
    if (!take_optional(&tbs.content, 0xA1, &requestor, &has_requestor) ||
        !der_expect(&tbs.content, 0x30, &list) ||
        !take_optional(&tbs.content, 0xA2, &extensions, &has_extensions) || tbs.content.length != 0)
        return malformed(error, "it is no TBSRequest");
    return read_list(list.content, max_requests, out, error) &&
           (!has_extensions || read_extensions(extensions.content, true, out, error));
}

/* --- GET --- */

/* In place, "+" stays "+": this is a path, not a form. 0 where an encoding is broken. */
static size_t decode_percent(char *text) {
    char *write = text;
    for (const char *read = text; *read != '\0';) {
        const char digits[3] = {read[0] == '%' ? read[1] : '\0',
                                read[0] == '%' && read[1] != '\0' ? read[2] : '\0', '\0'};
        if (*read != '%') {
            *write++ = *read++;
        } else if (hex_decode(digits, write, 1)) {
            write++;
            read += 3;
        } else {
            return 0;
        }
    }
    return (size_t)(write - text);
}

bool ocsp_request_decode(struct arena *arena, const char *path, size_t max, struct bytes *der) {
    size_t length = strlen(path);
    if (length / 3 / 4 * 3 > max + 3) /* all of it encoded: three characters a digit */
        return false;
    char *text = arena_alloc(arena, length + 4);
    if (text == NULL)
        return false;
    memcpy(text, path, length);
    length = decode_percent(text);
    for (size_t padding = 0; padding < 2 && length > 0 && text[length - 1] == '='; padding++)
        length--;
    if (length == 0 ||
        strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/") < length)
        return false;
    size_t digits = length;
    while (length % 4 != 0)
        text[length++] = '=';
    return digits % 4 != 1 && base64_decode(arena, text, length, der) && der->length <= max;
}
