/* Fuzz target: what comes over a connection, in pieces of changing length: frames, then each as a request and
 * as a reply. What is read is written again and must be readable. */
#include <stdlib.h>

#include "../../perspective/frame.h"
#include "../../perspective/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_frame(uint8_t *frame, size_t length, bool is_request) {
    struct arena *arena = arena_new(0);
    struct frame_reader reader = {.max = FRAME_MAX};
    struct message_request request;
    struct message_reply reply;
    struct bytes payload;
    if (frame == NULL || !frame_reader_add(&reader, frame, length) ||
        frame_reader_next(&reader, &payload) != FRAME_WHOLE || payload.length + FRAME_HEAD != length ||
        !(is_request ? message_read_request(arena, payload, &request, NULL)
                     : message_read_reply(arena, payload, &reply, NULL)))
        abort();
    frame_reader_clear(&reader);
    free(frame);
    arena_free(arena);
}

static void read_payload(struct bytes payload) {
    struct arena *arena = arena_new(0);
    struct message_request request;
    struct message_reply reply;
    size_t length = 0;
    if (message_read_request(arena, payload, &request, NULL)) {
        uint8_t *frame = message_write_request(&request, &length);
        check_frame(frame, length, true);
    }
    if (message_read_reply(arena, payload, &reply, NULL)) {
        uint8_t *frame = message_write_reply(&reply, &length);
        check_frame(frame, length, false);
    }
    arena_free(arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct frame_reader reader = {.max = 65536};
    struct bytes payload;
    enum frame_outcome outcome = FRAME_NEEDS_MORE;
    for (size_t at = 0; at < size && outcome != FRAME_IMPOSSIBLE;) {
        size_t piece = 1 + data[at] % 61u;
        if (piece > size - at)
            piece = size - at;
        if (!frame_reader_add(&reader, data + at, piece))
            abort();
        at += piece;
        while ((outcome = frame_reader_next(&reader, &payload)) == FRAME_WHOLE)
            read_payload(payload);
        if (reader.length > FRAME_HEAD + 65536u)
            abort();
    }
    frame_reader_clear(&reader);
    return 0;
}
