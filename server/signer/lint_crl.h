/* The last look at a revocation list before its signature: a table of rules over the bytes that are about to
 * be signed, written without any code of the builder. doc/certificates.md lists the rules.
 *
 * A list is looked at as it is made: head and tail, then its entries in pieces, then what they come to. */
#pragma once

#include "crl_build.h"
#include "lint.h"

struct lint_crl {
    const struct crl_contents *wanted;
    uint8_t last_serial[SERIAL_BYTES];
    uint64_t entries, bytes; /* that were looked at */
};

/* ERROR_INTERNAL names the first rule that is broken: "lint: crl-ID: ...". */
bool lint_crl_begin(struct lint_crl *lint, const struct crl_frame *frame, const struct crl_contents *wanted,
                    struct error *error) MUST_CHECK;
/* `der` is exactly these entries. */
bool lint_crl_entries(struct lint_crl *lint, struct bytes der, const struct crl_entry *wanted, size_t count,
                      struct error *error) MUST_CHECK;
bool lint_crl_end(const struct lint_crl *lint, struct error *error) MUST_CHECK;
/* All of it at once. */
bool lint_crl_tbs(struct bytes tbs, const struct crl_contents *wanted, const struct crl_entry *entries,
                  size_t count, struct error *error) MUST_CHECK;
/* The table, for documents and tests. */
size_t lint_crl_rules(const struct lint_rule **rules);
