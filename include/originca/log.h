/* Structured log: one line an event, `key=value`, foreign bytes escaped.
 *
 * Levels: error = somebody must act, warning = somebody should look, info = what an auditor wants, debug =
 * the rest. Values are quoted where they hold anything but [A-Za-z0-9._:/@+-]; control characters, quotes and
 * non-ASCII come as \xHH, so one event is always one line. Lines over 8 KiB are cut. Secrets are never passed
 * here. */
#pragma once

#include "originca/error.h"

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* `process` ("worker-0", "signer") goes into every line. The log goes to standard error (journald adds the
 * time) or, with log_open_file, to a file opened for appending; reopening after rotation is calling it again.
 */
void log_set_process(const char *process);
void log_set_level(enum log_level level);
bool log_level_parse(const char *name, enum log_level *level) MUST_CHECK;
bool log_open_file(const char *path, struct error *error) MUST_CHECK;

/* log_event(LOG_LEVEL_INFO, "order created", "request", id, "order", order_id, NULL);
 * key, value, key, value ..., NULL. A NULL value leaves its pair out. Pairs are const char *. */
void log_event(enum log_level level, const char *event, ...) __attribute__((sentinel));

/* "out of file descriptors", once a minute a process at most: they run out for every client that comes. */
void log_out_of_descriptors(const char *where);
