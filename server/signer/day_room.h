/* What the workers of a host may still have revoked of a day's worth: a bucket that fills evenly, so that
 * twice as many at most are revoked within 24 hours. It outlives the signer in a small file beside the
 * ledger: whoever brings a signer to start again has gained what was revoked since the file was written, no
 * more. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "originca/metrics.h"

struct day_room {
    const char *directory; /* of the file; NULL: it is not kept */
    uint64_t parts, full;  /* a revocation is DAY_ROOM_PART of them, which fill by `a day's worth` each ms */
    int64_t filled_ms;     /* monotonic */
    int64_t saved_ms;
    bool has_changed; /* since it was saved */
    struct metric *left_gauge;
};

/* As the file says, and full where there is none that can be read. */
void day_room_begin(struct day_room *room, const char *directory, uint32_t a_day, struct metrics *metrics);
/* False where there is no room for one more. */
bool day_room_take(struct day_room *room, uint32_t a_day);
/* Now and then: the gauge, and the file. */
void day_room_tick(struct day_room *room, uint32_t a_day);
void day_room_end(struct day_room *room);
