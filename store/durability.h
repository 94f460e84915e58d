/* Does this Redis keep what it acknowledges, and has it room for more? Read from INFO and CONFIG GET at each
 * connect and every redis_check_seconds. */
#pragma once

#include "originca/config.h"

struct durability {
    char role[16], appendfsync[16], policy[32], last_write[8];
    bool is_loading, has_aof;
    uint64_t replicas;                  /* that follow it now */
    uint64_t used_bytes, max_bytes;     /* of maxmemory; max 0: no bound */
    bool knows_info, knows_appendfsync; /* what could be read: an ACL may forbid CONFIG */
};

/* Takes what it knows from the text of INFO. */
void durability_read_info(struct durability *facts, const char *info, size_t length);
/* False with the reason where nothing may be served. `remark` (ERROR_MESSAGE_MAX bytes) receives what an
 * admin should look at although it is served, or "". */
bool durability_judge(const struct durability *facts, bool allow_unsafe, char *remark,
                      struct error *error) MUST_CHECK;
