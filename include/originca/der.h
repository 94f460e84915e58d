/* A tiny strict DER reader: definite lengths in their shortest form, nothing else. For what GnuTLS does not
 * show. */
#pragma once

#include "originca/text.h"

struct der_item {
    uint8_t tag;
    struct bytes content;
    struct bytes whole; /* tag, length and content */
};

/* Takes the next item off `input`; false at the end of it or where it is not DER. */
bool der_next(struct bytes *input, struct der_item *item) MUST_CHECK;
/* Takes the next item, which must have this tag. */
bool der_expect(struct bytes *input, uint8_t tag, struct der_item *item) MUST_CHECK;
