/* By the strict DER reader. */
#include "lint_parts.h"

#include <string.h>

#include "originca/der.h"

bool lint_same(struct bytes a, const void *b, size_t length) {
    return a.length == length && memcmp(a.data, b, length) == 0;
}

bool lint_split_extension(struct bytes input, struct lint_extension *out) {
    struct der_item oid, next;
    *out = (struct lint_extension){.is_critical = false};
    if (!der_expect(&input, 0x06, &oid) || !der_next(&input, &next))
        return false;
    out->oid = oid.content;
    if (next.tag == 0x01) {
        out->is_critical = IS(next.content, "\xFF");
        out->has_explicit_default = !out->is_critical;
        if (!der_next(&input, &next))
            return false;
    }
    out->value = next.content;
    return next.tag == 0x04 && input.length == 0;
}

const struct lint_extension *lint_find_extension(const struct lint_extension *extensions, size_t count,
                                                 const char *oid, size_t length) {
    for (size_t i = 0; i < count; i++)
        if (lint_same(extensions[i].oid, oid, length))
            return &extensions[i];
    return NULL;
}
