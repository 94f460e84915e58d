/* What a revocation says of the certificate's key (doc/rights.md, "Compromised keys"). `by` is who revoked,
 * as the ledger has it: "certificate-key" (signed by that key: proof that somebody else may have it),
 * "admin:…", "account:ID[ customer:ID]", "api-key:ID", "recovery". store/scripts/lib/key.lua judges the same
 * text. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "originca/error.h"

/* RFC 5280 5.3.1: those that a certificate of a server may be revoked for. */
enum revocation_reason {
    REASON_UNSPECIFIED = 0,
    REASON_KEY_COMPROMISE = 1,
    REASON_AFFILIATION_CHANGED = 3,
    REASON_SUPERSEDED = 4,
    REASON_CESSATION_OF_OPERATION = 5,
    REASON_PRIVILEGE_WITHDRAWN = 9,
};
#define REVOCATION_REASON_NAMES                                                                              \
    "unspecified, keyCompromise, affiliationChanged, superseded, cessationOfOperation or privilegeWithdrawn"

bool revocation_reason_is_known(int64_t reason) MUST_CHECK;
/* As RFC 5280 calls it; "unspecified" for what is not known. */
const char *revocation_reason_name(uint32_t reason);
/* By name or number: "superseded", "4". */
bool revocation_reason_parse(const char *name, uint32_t *reason) MUST_CHECK;
/* Of a document: the name or the number; NULL is unspecified. */
bool revocation_reason_read(const json_t *value, uint32_t *reason) MUST_CHECK;

/* A later revocation replaces the reason of an earlier one only where its rank is higher. */
enum revocation_rank {
    REVOCATION_OF_CERTIFICATE, /* nothing of the key */
    REVOCATION_OF_KEY,         /* keyCompromise without proof: blocked for those alone who said it */
    REVOCATION_OF_KEY_PROVEN,  /* with proof, or by an admin: blocked for everybody */
};
enum revocation_rank revocation_rank(uint32_t reason, const char *by);
