/* The last look at an OCSP response before its signature: a table of rules over the bytes that are about to
 * be signed, written without any code of the builder. doc/ocsp.md lists the rules. */
#pragma once

#include "lint.h"
#include "ocsp.h"

/* Checks the ResponseData against what was asked for, `max_seconds` being the longest validity.
 * ERROR_INTERNAL names the first rule that is broken: "lint: ID: ...". */
bool ocsp_lint_tbs(struct bytes tbs, const struct ocsp_contents *wanted, uint32_t max_seconds,
                   struct error *error) MUST_CHECK;
/* After signing: the response is successful, exactly tbs, the issuer's algorithm and a signature that its key
 * verifies, and nothing else. */
bool ocsp_lint_response(struct bytes der, struct bytes tbs, const struct issuer *issuer,
                        struct error *error) MUST_CHECK;
/* The table, for documents and tests. */
size_t ocsp_lint_rules(const struct lint_rule **rules);
