/* OCSP requests and issuer identifiers (RFC 6960 4.1, RFC 5019, RFC 9654): what worker and signer have in
 * common.
 *
 * A request is foreign bytes: read by a strict DER reader, its parts are views into the caller's memory. The
 * signature of a request, and who asks, are passed over. GnuTLS's reader is not used: it keeps SHA-1 and
 * SHA-256 CertIDs apart only by copies, and tells neither a broken nonce nor the critical bit of a single
 * request's extensions. */
#pragma once

#include "originca/text.h"

#define OCSP_NONCE_MAX 128   /* octets, RFC 9654 2.1 */
#define OCSP_REQUESTS_MAX 64 /* in one request, whatever the configuration says */

/* How a CertID is written, so that the answer's is the same bytes: its hash, and whether the
 * AlgorithmIdentifier has the NULL that RFC 3279 wants or none. */
typedef uint8_t ocsp_form;
#define OCSP_SHA256 1u        /* else SHA-1 */
#define OCSP_NO_PARAMETERS 2u /* else NULL */
#define OCSP_FORMS 4u         /* this and above: a hash that no issuer of ours is known by */

/* Of an issuer, by hash (SHA-1, SHA-256). */
struct ocsp_issuer_id {
    uint8_t name[2][SHA256_BYTES], key[2][SHA256_BYTES];
};
size_t ocsp_hash_bytes(ocsp_form form); /* 20 or 32 */
/* AlgorithmIdentifier in DER. */
struct bytes ocsp_hash_identifier(ocsp_form form);
/* Of the DER Name that the issuer's certificates have as their issuer, and its DER SubjectPublicKeyInfo: the
 * key's hash is over the bits of the BIT STRING (RFC 6960 4.1.1). False where that is none. */
bool ocsp_identify_issuer(struct bytes subject, struct bytes spki, struct ocsp_issuer_id *out) MUST_CHECK;

struct ocsp_cert_id {
    ocsp_form form;
    struct bytes issuer_name_hash, issuer_key_hash;
    struct bytes serial; /* content of the INTEGER, shortest form */
};

struct ocsp_request {
    struct ocsp_cert_id ids[OCSP_REQUESTS_MAX];
    size_t count; /* at least 1 */
    struct bytes nonce;
    bool has_nonce;
};

/* Is the CertID this issuer's? */
bool ocsp_is_of_issuer(const struct ocsp_cert_id *id, const struct ocsp_issuer_id *issuer) MUST_CHECK;
/* ERROR_INVALID says what makes it a malformedRequest: no DER, bytes behind its end, another version, more
 * than `max_requests`, a nonce that is empty, longer than OCSP_NONCE_MAX or no OCTET STRING, an extension
 * twice, a critical one that is not known (RFC 6960 4.4). */
bool ocsp_request_parse(struct bytes der, size_t max_requests, struct ocsp_request *out,
                        struct error *error) MUST_CHECK;
/* What stands behind "/ocsp/" in the path of a GET: base64, percent-encoded or not, with or without padding,
 * with any
 * "/" as it is (RFC 6960 A.1). `max` bounds the decoded bytes. False: it is no such text. */
bool ocsp_request_decode(struct arena *arena, const char *path, size_t max, struct bytes *der) MUST_CHECK;
