/* How a reload ended, for `originca-server reload`: a file in the run directory, one line a field
 * ("begun MS", "outcome good|failed", "reason TEXT"). It is written when a reload is over. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "originca/error.h"

struct reload_outcome {
    int64_t begun_ms; /* monotonic clock, before the configuration was read */
    bool is_good;
    char reason[ERROR_MESSAGE_MAX]; /* as read */
};

/* Whole or not at all. */
bool reload_outcome_write(const char *run_directory, const struct reload_outcome *outcome, const char *reason,
                          struct error *error) MUST_CHECK;
/* False where there is none, or nothing that reload_outcome_write wrote. */
bool reload_outcome_read(const char *run_directory, struct reload_outcome *out) MUST_CHECK;
