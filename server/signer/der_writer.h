/* Writing DER from the end to the beginning: a length is known when its header is written, so nothing is
 * moved. */
#pragma once

#include "originca/text.h"

struct der_writer {
    uint8_t *buffer;
    size_t capacity, at; /* what is written stands at buffer[at .. capacity) */
    bool failed;
};

bool der_writer_init(struct der_writer *writer, struct arena *arena, size_t capacity) MUST_CHECK;
void der_put(struct der_writer *writer, const void *bytes, size_t length);
/* The length of what was written since `mark` (an earlier value of `at`) gets a header in front of it. */
void der_wrap(struct der_writer *writer, uint8_t tag, size_t mark);
/* A whole primitive element. */
void der_put_element(struct der_writer *writer, uint8_t tag, const void *content, size_t length);
struct bytes der_written(const struct der_writer *writer);
