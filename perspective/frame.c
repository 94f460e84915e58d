#include "frame.h"

#include <stdlib.h>
#include <string.h>

#define CAPACITY_FIRST 4096u

static void drop_taken(struct frame_reader *reader) {
    if (reader->taken == 0)
        return;
    memmove(reader->data, reader->data + reader->taken, reader->length - reader->taken);
    reader->length -= reader->taken;
    reader->taken = 0;
}

bool frame_reader_add(struct frame_reader *reader, const void *bytes, size_t length) {
    drop_taken(reader);
    size_t needed = reader->length + length, capacity = reader->capacity;
    if (length == 0)
        return true;
    while (capacity < needed)
        capacity = capacity == 0 ? CAPACITY_FIRST : capacity * 2;
    if (capacity != reader->capacity) {
        uint8_t *larger = realloc(reader->data, capacity);
        if (larger == NULL)
            return false;
        reader->data = larger;
        reader->capacity = capacity;
    }
    memcpy(reader->data + reader->length, bytes, length);
    reader->length = needed;
    return true;
}

enum frame_outcome frame_reader_next(struct frame_reader *reader, struct bytes *payload) {
    drop_taken(reader);
    if (reader->length < FRAME_HEAD)
        return FRAME_NEEDS_MORE;
    const uint8_t *head = reader->data;
    size_t length = (size_t)head[0] << 24 | (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3];
    if (length == 0 || length > reader->max || length > FRAME_MAX)
        return FRAME_IMPOSSIBLE;
    if (reader->length < FRAME_HEAD + length)
        return FRAME_NEEDS_MORE;
    *payload = (struct bytes){reader->data + FRAME_HEAD, length};
    reader->taken = FRAME_HEAD + length;
    return FRAME_WHOLE;
}

bool frame_reader_is_inside(const struct frame_reader *reader) {
    return reader->length > reader->taken;
}

void frame_reader_clear(struct frame_reader *reader) {
    free(reader->data);
    *reader = (struct frame_reader){.max = reader->max};
}

void frame_put_head(uint8_t head[FRAME_HEAD], size_t length) {
    head[0] = (uint8_t)(length >> 24);
    head[1] = (uint8_t)(length >> 16);
    head[2] = (uint8_t)(length >> 8);
    head[3] = (uint8_t)length;
}
