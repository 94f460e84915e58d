/* DER, back to front. */
#include "der_writer.h"

#include <string.h>

bool der_writer_init(struct der_writer *writer, struct arena *arena, size_t capacity) {
    *writer =
        (struct der_writer){.buffer = arena_alloc(arena, capacity), .capacity = capacity, .at = capacity};
    return writer->buffer != NULL;
}

void der_put(struct der_writer *writer, const void *bytes, size_t length) {
    if (writer->failed || length > writer->at) {
        writer->failed = true;
        return;
    }
    writer->at -= length;
    memcpy(writer->buffer + writer->at, bytes, length);
}

void der_wrap(struct der_writer *writer, uint8_t tag, size_t mark) {
    uint8_t head[6];
    size_t length = mark - writer->at, used = 0;
    head[used++] = tag;
    if (length < 0x80) {
        head[used++] = (uint8_t)length;
    } else {
        size_t octets = length < 0x100 ? 1 : length < 0x10000 ? 2 : 3;
        head[used++] = (uint8_t)(0x80 | octets);
        for (size_t i = octets; i-- > 0;)
            head[used++] = (uint8_t)(length >> (8 * i));
    }
    der_put(writer, head, used);
}

void der_put_element(struct der_writer *writer, uint8_t tag, const void *content, size_t length) {
    size_t mark = writer->at;
    der_put(writer, content, length);
    der_wrap(writer, tag, mark);
}

struct bytes der_written(const struct der_writer *writer) {
    return (struct bytes){writer->buffer + writer->at, writer->capacity - writer->at};
}
