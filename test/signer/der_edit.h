/* A small DER editor: bytes become a tree, the tree is changed, and becomes bytes again with right lengths.
 * Everything lives in the arena. OCTET STRINGs are leaves: what an extension wraps is edited as bytes. */
#pragma once

#include "originca/text.h"

struct der_node {
    uint8_t tag;
    struct bytes content;    /* of a leaf; of a raw node all its bytes */
    struct der_node **parts; /* of a constructed node */
    size_t count;
    bool is_raw;
};

/* Bytes written as a string literal, for tables of constants too. */
#define LITERAL(text)                                                                                        \
    { (const uint8_t *)(text), sizeof(text) - 1 }

/* The one element that `input` is. */
struct der_node *der_read(struct arena *arena, struct bytes input);
struct bytes der_write(struct arena *arena, const struct der_node *node);
/* Bytes that are written as they stand, right or wrong. */
struct der_node *der_raw(struct arena *arena, struct bytes bytes);
/* Puts `part` before the part that is at `at` now; `at` may be the count. */
void der_insert(struct arena *arena, struct der_node *parent, size_t at, struct der_node *part);
void der_remove(struct der_node *parent, size_t at);
