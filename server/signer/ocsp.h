/* Building OCSP responses (RFC 6960 4.2) byte by byte: the smallest form there is, signed by the issuing key
 * itself, named by the hash of that key, without certificates. doc/ocsp.md. */
#pragma once

#include "certificate.h"

struct ocsp_contents {
    const struct issuer *issuer;
    const struct signer_ocsp_status *statuses;
    size_t count;
    time_t produced_at, this_update, next_update;
    struct bytes nonce; /* length 0: none */
};

/* The DER ResponseData, which is what gets signed. */
bool ocsp_build_tbs(struct arena *arena, const struct ocsp_contents *contents, struct bytes *tbs,
                    struct error *error) MUST_CHECK;
/* The whole OCSPResponse, successful. */
bool ocsp_assemble(struct arena *arena, const struct issuer *issuer, struct bytes tbs, struct bytes signature,
                   struct bytes *der, struct error *error) MUST_CHECK;
