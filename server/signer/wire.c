/* Writing and strict reading of message fields. */
#include "wire.h"

#include <string.h>

#include "originca/signer.h"

static void put_number(struct wire_writer *writer, uint64_t value, int bytes) {
    uint8_t out[8];
    for (int i = 0; i < bytes; i++)
        out[i] = (uint8_t)(value >> (8 * (bytes - 1 - i)));
    text_append_bytes(&writer->text, out, (size_t)bytes);
}

void wire_begin(struct wire_writer *writer, struct arena *arena, uint64_t call, uint8_t type) {
    text_init(&writer->text, arena);
    put_number(writer, 0, 4);
    put_number(writer, call, 8);
    put_number(writer, type, 1);
}

void wire_put_u8(struct wire_writer *writer, uint8_t value) {
    put_number(writer, value, 1);
}

void wire_put_u32(struct wire_writer *writer, uint32_t value) {
    put_number(writer, value, 4);
}

void wire_put_u64(struct wire_writer *writer, uint64_t value) {
    put_number(writer, value, 8);
}

void wire_put_bytes(struct wire_writer *writer, const void *bytes, size_t length) {
    put_number(writer, length, 4);
    text_append_bytes(&writer->text, bytes, length);
}

void wire_put_string(struct wire_writer *writer, const char *text) {
    wire_put_bytes(writer, text == NULL ? "" : text, text == NULL ? 0 : strlen(text));
}

const char *wire_finish(struct wire_writer *writer, size_t *length) {
    struct text *text = &writer->text;
    if (text->failed || text->length > SIGNER_FRAME_MAX)
        return NULL;
    size_t rest = text->length - 4;
    for (int i = 0; i < 4; i++)
        text->data[i] = (char)(rest >> (24 - 8 * i));
    *length = text->length;
    return text->data;
}

static const uint8_t *take(struct wire_reader *reader, size_t length) {
    if (reader->failed || length > reader->rest.length) {
        reader->failed = true;
        return NULL;
    }
    const uint8_t *at = reader->rest.data;
    reader->rest.data += length;
    reader->rest.length -= length;
    return at;
}

static uint64_t get_number(struct wire_reader *reader, size_t bytes) {
    const uint8_t *at = take(reader, bytes);
    uint64_t value = 0;
    for (size_t i = 0; at != NULL && i < bytes; i++)
        value = value << 8 | at[i];
    return value;
}

uint8_t wire_get_u8(struct wire_reader *reader) {
    return (uint8_t)get_number(reader, 1);
}

uint32_t wire_get_u32(struct wire_reader *reader) {
    return (uint32_t)get_number(reader, 4);
}

uint64_t wire_get_u64(struct wire_reader *reader) {
    return get_number(reader, 8);
}

struct bytes wire_get_bytes(struct wire_reader *reader) {
    uint32_t length = wire_get_u32(reader);
    const uint8_t *at = take(reader, length);
    return at == NULL ? (struct bytes){(const uint8_t *)"", 0} : (struct bytes){at, length};
}

const char *wire_get_string(struct wire_reader *reader) {
    struct bytes bytes = wire_get_bytes(reader);
    if (memchr(bytes.data, '\0', bytes.length) != NULL)
        reader->failed = true;
    const char *copy =
        reader->failed ? NULL : arena_strndup(reader->arena, (const char *)bytes.data, bytes.length);
    if (copy == NULL)
        reader->failed = true;
    return copy == NULL ? "" : copy;
}

uint32_t wire_get_count(struct wire_reader *reader, size_t item_min) {
    uint32_t count = wire_get_u32(reader);
    if (count > reader->rest.length / item_min) {
        reader->failed = true;
        return 0;
    }
    return count;
}

bool wire_is_complete(const struct wire_reader *reader) {
    return !reader->failed && reader->rest.length == 0;
}
