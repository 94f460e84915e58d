/* Certification requests (PKCS#10, RFC 2986): what we take from one is its public key, the proof that the
 * sender holds the private key, and the set of names to compare with the order. Nothing of it is copied into
 * a certificate. */
#pragma once

#include "originca/keys.h"

#define CSR_MAX_BYTES 32768

struct csr {
    struct key_facts key;
    const char *
        *names; /* canonical (names.h), sorted, without duplicates; CN included where it is a host name */
    size_t name_count;
};

/* `der` is one DER CertificationRequest and nothing after it. Refused: over CSR_MAX_BYTES (before parsing),
 * bad signature, MD5 or SHA-1 signature, a key that key_judge refuses, more than `max_names` names, more than
 * 64 extensions or 32 attributes, SANs other than dNSName (e-mail, URI, IP, otherName), a CN that is not
 * among the SANs when SANs exist, several CNs, embedded NUL, basicConstraints CA:TRUE, unknown critical
 * extensions. Costs under 50 ms for any input.
 */
bool csr_parse(struct arena *arena, struct bytes der, size_t max_names, struct csr *csr,
               struct error *error) MUST_CHECK;

/* Takes the key and its proof alone: subject, names and extensions are not looked at (the REST API gets the
 * names beside the CSR). */
bool csr_parse_key(struct arena *arena, struct bytes der, struct csr *csr, struct error *error) MUST_CHECK;

/* Set equality of canonical names. ERROR_INVALID names the first difference: missing or extra. */
bool csr_check_names(const struct csr *csr, const char *const *canonical, size_t count,
                     struct error *error) MUST_CHECK;
