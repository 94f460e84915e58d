/* Memory of one request: allocated in pieces, freed as a whole, in the order a stack would.
 *
 * Allocation returns NULL when the system or the arena's limit refuses; the request then ends with an
 * internal error, never the process. Not thread-safe: an arena belongs to one loop. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "originca/error.h"

struct arena;

/* `limit_bytes` bounds what the arena hands out in all; 0 means the default of 16 MiB. NULL when out of
 * memory. */
struct arena *arena_new(size_t limit_bytes);
/* Memory of the same request that ends earlier: by arena_free of the branch, or with the arena. What a branch
 * takes counts against the arena's limit until then. NULL when out of memory. */
struct arena *arena_branch(struct arena *arena);
/* Frees the branches, runs the cleanups in reverse order, then frees everything. NULL is fine. */
void arena_free(struct arena *arena);

/* For memory that is not the arena's but the request's all the same: false where the limit refuses. */
bool arena_charge(struct arena *arena, size_t size) MUST_CHECK;
void arena_credit(struct arena *arena, size_t size);
size_t arena_left(const struct arena *arena); /* until the limit */
/* From now on what json_parse builds counts against the limit (json.h): for documents of strangers. */
void arena_count_json(struct arena *arena);
size_t arena_left_for_json(const struct arena *arena); /* SIZE_MAX where it does not count */

void *arena_alloc(struct arena *arena, size_t size);                     /* zeroed, aligned for any object */
void *arena_copy(struct arena *arena, const void *bytes, size_t length); /* length 0 gives a valid pointer */
char *arena_strdup(struct arena *arena, const char *text);
char *arena_strndup(struct arena *arena, const char *text, size_t length);
char *arena_printf(struct arena *arena, const char *format, ...) PRINTF_LIKE(2, 3);

/* Calls `cleanup(object)` when the arena goes. False when out of memory: the cleanup has then run already. */
bool arena_defer(struct arena *arena, void (*cleanup)(void *object), void *object) MUST_CHECK;

/* The arena takes over the caller's reference to `json`; returns it, or NULL (and drops it) when out of
 * memory. Passing NULL returns NULL, so that arena_own_json(arena, json_pack(...)) needs one check. */
json_t *arena_own_json(struct arena *arena, json_t *json);
