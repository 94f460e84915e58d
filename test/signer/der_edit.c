/* The DER editor of the tests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "der_edit.h"

#include <string.h>

#include "originca/der.h"

static struct der_node *read_item(struct arena *arena, const struct der_item *item) {
    struct der_node *node = arena_alloc(arena, sizeof *node);
    assert_non_null(node);
    node->tag = item->tag;
    node->content = item->content;
    if ((item->tag & 0x20) == 0)
        return node;
    struct bytes rest = item->content;
    struct der_item part;
    while (rest.length > 0) {
        assert_true(der_next(&rest, &part));
        der_insert(arena, node, node->count, read_item(arena, &part));
    }
    return node;
}

struct der_node *der_read(struct arena *arena, struct bytes input) {
    struct der_item item;
    assert_true(der_next(&input, &item));
    assert_int_equal(input.length, 0);
    return read_item(arena, &item);
}

static void put_head(struct text *out, uint8_t tag, size_t length) {
    const uint8_t bytes[3] = {(uint8_t)(length >> 16), (uint8_t)(length >> 8), (uint8_t)length};
    size_t octets = length >= 0x10000 ? 3 : length >= 0x100 ? 2 : 1;
    const uint8_t form = (uint8_t)(0x80 | octets);
    assert_true(length < 0x1000000);
    text_append_bytes(out, &tag, 1);
    if (length >= 0x80)
        text_append_bytes(out, &form, 1);
    text_append_bytes(out, bytes + 3 - octets, octets);
}

static void write_node(struct arena *arena, const struct der_node *node, struct text *out) {
    struct text inner;
    if (node->is_raw) {
        text_append_bytes(out, node->content.data, node->content.length);
        return;
    }
    text_init(&inner, arena);
    if ((node->tag & 0x20) == 0)
        text_append_bytes(&inner, node->content.data, node->content.length);
    for (size_t i = 0; i < node->count; i++)
        write_node(arena, node->parts[i], &inner);
    put_head(out, node->tag, inner.length);
    if (inner.length > 0)
        text_append_bytes(out, inner.data, inner.length);
    assert_false(inner.failed);
}

struct bytes der_write(struct arena *arena, const struct der_node *node) {
    struct text out;
    text_init(&out, arena);
    write_node(arena, node, &out);
    assert_false(out.failed);
    return (struct bytes){(const uint8_t *)out.data, out.length};
}

struct der_node *der_raw(struct arena *arena, struct bytes bytes) {
    struct der_node *node = arena_alloc(arena, sizeof *node);
    assert_non_null(node);
    node->content = bytes;
    node->is_raw = true;
    return node;
}

void der_insert(struct arena *arena, struct der_node *parent, size_t at, struct der_node *part) {
    struct der_node **parts = arena_alloc(arena, (parent->count + 1) * sizeof *parts);
    assert_non_null(parts);
    assert_true(at <= parent->count);
    for (size_t i = 0; i < parent->count; i++)
        parts[i < at ? i : i + 1] = parent->parts[i];
    parts[at] = part;
    parent->parts = parts;
    parent->count++;
}

void der_remove(struct der_node *parent, size_t at) {
    assert_true(at < parent->count);
    for (size_t i = at; i + 1 < parent->count; i++)
        parent->parts[i] = parent->parts[i + 1];
    parent->count--;
}
