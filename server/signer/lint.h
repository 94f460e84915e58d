/* The last look at a certificate before its signature: a table of rules over the bytes that are about to be
 * signed, written without any code of the builder. doc/certificates.md lists the rules. */
#pragma once

#include "certificate.h"

struct lint_rule {
    const char *id, *citation;
};

/* Checks the TBS against what was asked for. ERROR_INTERNAL names the first rule that is broken: "lint: ID:
 * ...". */
bool lint_tbs(struct bytes tbs, const struct certificate_contents *wanted, struct error *error) MUST_CHECK;
/* After signing: the certificate is exactly tbs, the issuer's algorithm and a signature that its key
 * verifies. */
bool lint_certificate(struct bytes der, struct bytes tbs, const struct issuer *issuer,
                      struct error *error) MUST_CHECK;
/* The table, for documents and tests. */
size_t lint_rules(const struct lint_rule **rules);
