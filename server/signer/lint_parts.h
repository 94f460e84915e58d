/* What the lints of certificates, revocation lists and OCSP responses take apart alike. Of the lints alone:
 * no code of the builders is here, and none of it is theirs. */
#pragma once

#include "originca/error.h"
#include "originca/text.h"

struct lint_extension {
    struct bytes oid, value;
    bool is_critical, has_explicit_default;
};

bool lint_same(struct bytes a, const void *b, size_t length) MUST_CHECK;
#define IS(bytes, text) lint_same(bytes, text, sizeof(text) - 1)
/* The content of an Extension (RFC 5280 4.1). */
bool lint_split_extension(struct bytes input, struct lint_extension *out) MUST_CHECK;
const struct lint_extension *lint_find_extension(const struct lint_extension *extensions, size_t count,
                                                 const char *oid, size_t length);
/* Of a struct with `extensions` and `extension_count`; the OID is a literal. */
#define FIND(parts, oid)                                                                                     \
    lint_find_extension((parts)->extensions, (parts)->extension_count, oid, sizeof(oid) - 1)
