/* The judgement of a Redis server's durability settings (threats.md 5.1, 5.5): a replica, one that evicts,
 * and one that acknowledges before it has synced are each refused with the setting to change. */
#include "durability.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void read_value(const char *info, size_t length, const char *key, char *out, size_t size) {
    size_t key_length = strlen(key);
    for (const char *line = info, *end = info + length; line < end;) {
        const char *stop = memchr(line, '\n', (size_t)(end - line));
        size_t line_length = (size_t)((stop == NULL ? end : stop) - line);
        if (line_length > key_length && memcmp(line, key, key_length) == 0 && line[key_length] == ':') {
            const char *value = line + key_length + 1;
            size_t value_length = line_length - key_length - 1;
            while (value_length > 0 && value[value_length - 1] == '\r')
                value_length--;
            if (value_length >= size)
                value_length = size - 1;
            memcpy(out, value, value_length);
            out[value_length] = '\0';
            return;
        }
        line += line_length + 1;
    }
}

static uint64_t read_number(const char *info, size_t length, const char *key) {
    char text[24] = "";
    read_value(info, length, key, text, sizeof text);
    return strtoull(text, NULL, 10);
}

/* What Redis itself compares with maxmemory: without the buffers of replicas and of the append-only file. */
static void read_memory(struct durability *facts, const char *info, size_t length) {
    uint64_t used = read_number(info, length, "used_memory"),
             other = read_number(info, length, "mem_not_counted_for_evict");
    facts->max_bytes = read_number(info, length, "maxmemory");
    facts->used_bytes = used > other ? used - other : 0;
}

void durability_read_info(struct durability *facts, const char *info, size_t length) {
    char flag[4] = "";
    read_value(info, length, "role", facts->role, sizeof facts->role);
    read_value(info, length, "maxmemory_policy", facts->policy, sizeof facts->policy);
    read_value(info, length, "aof_last_write_status", facts->last_write, sizeof facts->last_write);
    read_value(info, length, "loading", flag, sizeof flag);
    facts->is_loading = strcmp(flag, "1") == 0;
    flag[0] = '\0';
    read_value(info, length, "aof_enabled", flag, sizeof flag);
    facts->has_aof = strcmp(flag, "1") == 0;
    facts->replicas = read_number(info, length, "connected_slaves");
    read_memory(facts, info, length);
    facts->knows_info = *facts->role != '\0' && *facts->policy != '\0' && *flag != '\0';
}

/* The settings that an operator may overrule, first one found. */
static bool is_safe(const struct durability *facts, struct error *error) {
    if (!facts->has_aof)
        return error_set(
            error, ERROR_UNAVAILABLE,
            "Redis keeps no append-only file, so it forgets what it acknowledged: set `appendonly yes`");
    if (facts->knows_appendfsync && strcmp(facts->appendfsync, "always") != 0)
        return error_set(error, ERROR_UNAVAILABLE,
                         "Redis acknowledges before it has synced (appendfsync %s): set `appendfsync always`",
                         facts->appendfsync);
    if (strcmp(facts->policy, "noeviction") != 0)
        return error_set(error, ERROR_UNAVAILABLE,
                         "Redis may drop keys when memory is short (%s): set `maxmemory-policy noeviction`",
                         facts->policy);
    return true;
}

bool durability_judge(const struct durability *facts, bool allow_unsafe, char *remark, struct error *error) {
    *remark = '\0';
    if (!facts->knows_info)
        return error_set(error, ERROR_UNAVAILABLE,
                         "Redis does not tell its role, persistence and memory settings: allow the user INFO "
                         "(doc/redis.md)");
    if (facts->is_loading)
        return error_set(error, ERROR_UNAVAILABLE, "Redis is loading its data");
    if (strcmp(facts->role, "master") != 0)
        return error_set(error, ERROR_UNAVAILABLE,
                         "this Redis is a replica (role %s): connect to the primary", facts->role);
    if (facts->has_aof && *facts->last_write != '\0' && strcmp(facts->last_write, "ok") != 0)
        return error_set(error, ERROR_UNAVAILABLE,
                         "Redis could not write its append-only file: look at its disk and its log");
    if (facts->max_bytes != 0 && facts->used_bytes >= facts->max_bytes)
        return error_set(error, ERROR_UNAVAILABLE,
                         "Redis has no memory left (%llu bytes used, maxmemory %llu): raise `maxmemory`",
                         (unsigned long long)facts->used_bytes, (unsigned long long)facts->max_bytes);
    struct error unsafe = {.code = ERROR_NONE};
    if (!is_safe(facts, &unsafe)) {
        if (!allow_unsafe) {
            *error = unsafe;
            return false;
        }
        snprintf(remark, ERROR_MESSAGE_MAX, "%s", unsafe.message);
    } else if (!facts->knows_appendfsync) {
        snprintf(remark, ERROR_MESSAGE_MAX,
                 "appendfsync could not be checked because CONFIG GET is forbidden to this user: see that it "
                 "is `always`");
    }
    return true;
}
