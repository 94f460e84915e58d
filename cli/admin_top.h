/* Two looks at the server's counters and what changed between them, for `originca admin top`. */
#pragma once

#include "cli.h"

/* One look. A part that could not be had is NULL, with the reason in `error`. */
struct look {
    json_t *metrics; /* "name{labels}": number */
    const json_t *stats, *readiness;
    int64_t at_ms; /* monotonic */
    struct error error;
};

void top_look(struct client *client, struct look *look);
/* The numbers of the screen as one document (doc of `--json`): rates over the time between the looks, states
 * of the later one, and "alarms" as sentences. `first` is the look that top began with. Belongs to the arena.
 */
json_t *top_numbers(struct arena *arena, const struct look *first, const struct look *before,
                    const struct look *now);
