/* What was good when a connection was made may have been changed since: settings that decide whether Redis
 * keeps what it acknowledges, and its memory, are looked at again every redis_check_seconds. */
#pragma once

#include "call.h"

struct watch;

/* NULL with the error out of memory. With redis_check_seconds = 0 it does nothing. */
struct watch *watch_new(struct store *store, struct error *error);
void watch_free(struct watch *watch);

/* Of INFO and `CONFIG GET appendfsync`; call->out is a struct durability. */
store_parse watch_parse_info, watch_parse_appendfsync;
