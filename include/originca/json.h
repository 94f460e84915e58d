/* Strict reading of foreign JSON (RFC 8259) and the getters that handlers use on it. */
#pragma once

#include "originca/arena.h"
#include "originca/text.h"

/* Parses one document: duplicates refused, nothing but white space after it, depth at most 32 (checked before
 * parsing), NUL in strings refused. The document belongs to the arena and, where the arena counts JSON,
 * counts against its limit with all that jansson allocated for it. NULL with ERROR_INVALID says line and
 * column. */
json_t *json_parse(struct arena *arena, const void *bytes, size_t length, struct error *error);

/* A string member: NULL with ERROR_INVALID where it is missing or of another type. */
const char *json_get_string(const json_t *object, const char *key, struct error *error);
/* Like it, but absent or null gives true and *value = NULL. */
bool json_get_optional_string(const json_t *object, const char *key, const char **value,
                              struct error *error) MUST_CHECK;

/* Compact, no escaped slashes, members in insertion order. */
char *json_to_text(struct arena *arena, const json_t *json);
