/* What a revocation says of the certificate's key (doc/rights.md, "Compromised keys"). `by` is who revoked,
 * as the ledger has it: "certificate-key" (signed by that key: proof that somebody else may have it),
 * "admin:…", "account:ID[ customer:ID]", "api-key:ID", "recovery". store/scripts/lib/key.lua judges the same
 * text. */
#pragma once

#include <stdint.h>

#define REASON_KEY_COMPROMISE 1 /* RFC 5280 5.3.1 */

/* A later revocation replaces the reason of an earlier one only where its rank is higher. */
enum revocation_rank {
    REVOCATION_OF_CERTIFICATE, /* nothing of the key */
    REVOCATION_OF_KEY,         /* keyCompromise without proof: blocked for those alone who said it */
    REVOCATION_OF_KEY_PROVEN,  /* with proof, or by an admin: blocked for everybody */
};
enum revocation_rank revocation_rank(uint32_t reason, const char *by);
