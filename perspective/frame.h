/* Frames on a connection between a server and a perspective: four bytes of length, big-endian, then that many
 * bytes of JSON. */
#pragma once

#include "originca/text.h"

#define FRAME_HEAD 4
#define FRAME_MAX (2u * 1024 * 1024) /* of the payload, whatever a setting says */

/* Collects what comes in pieces. Holds no more than one frame of `max` and what was added last. */
struct frame_reader {
    uint8_t *data;
    size_t length, capacity;
    size_t taken; /* of the front: the frame that was handed out last */
    uint32_t max;
};
enum frame_outcome {
    FRAME_NEEDS_MORE,
    FRAME_WHOLE,
    FRAME_IMPOSSIBLE, /* length 0 or over the maximum: the connection must end */
};

bool frame_reader_add(struct frame_reader *reader, const void *bytes,
                      size_t length) MUST_CHECK; /* false: out of memory */
/* The payload lives until the next call of any function here. */
enum frame_outcome frame_reader_next(struct frame_reader *reader, struct bytes *payload);
/* Has a frame begun that is not whole? */
bool frame_reader_is_inside(const struct frame_reader *reader);
void frame_reader_clear(struct frame_reader *reader);
/* Writes the head of a frame. */
void frame_put_head(uint8_t head[FRAME_HEAD], size_t length);
