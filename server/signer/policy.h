/* What the signer demands of a request before anything is written, whatever the worker has checked. */
#pragma once

#include "certificate.h"
#include "zones.h"

/* A request as it came in, with strings in its arena. */
struct sign_job {
    struct signer_certificate_request request;
    const struct config_profile *profile;
    const struct issuer *issuer;
    struct certificate_contents contents;
    uint8_t serial[SERIAL_BYTES];
};

/* Fills profile, issuer and contents (all but the serial) or refuses. `now_ms` is the wall clock.
 * ERROR_REFUSED is for good; ERROR_STOPPED: by one of the four stops of issuance; ERROR_UNAVAILABLE: a zone,
 * issuer or profile is not known yet. Zones are not asked while they are not known (doc/ledger.md). */
bool policy_judge(struct arena *arena, const struct config *config, const struct zones *zones,
                  const struct issuer *issuers, size_t issuer_count, int64_t now_ms, struct sign_job *job,
                  struct error *error) MUST_CHECK;
