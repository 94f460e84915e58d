/* The arena: chunks that grow by doubling, a list of cleanups, a limit on what a request may take; branches
 * that share the limit and end earlier. */
#include "originca/arena.h"

#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_CHUNK 4096
#define LARGEST_CHUNK (8 * 1024)
#define DEFAULT_LIMIT (16u * 1024 * 1024)

struct chunk {
    struct chunk *next;
    size_t used, size;
    alignas(max_align_t) unsigned char bytes[];
};

struct cleanup {
    struct cleanup *next;
    void (*run)(void *object);
    void *object;
};

struct arena {
    struct arena *root; /* which has the limit; itself where it is no branch */
    struct arena *branches, *next_branch, **place;
    struct chunk *chunks;
    struct cleanup *cleanups;
    size_t limit, taken, next_size; /* limit: of a root; taken: by its branches too */
    bool counts_json;
};

struct arena *arena_new(size_t limit_bytes) {
    struct arena *arena = calloc(1, sizeof *arena);
    if (arena == NULL)
        return NULL;
    arena->root = arena;
    arena->limit = limit_bytes == 0 ? DEFAULT_LIMIT : limit_bytes;
    arena->next_size = FIRST_CHUNK;
    return arena;
}

struct arena *arena_branch(struct arena *arena) {
    struct arena *branch = arena == NULL ? NULL : calloc(1, sizeof *branch);
    if (branch == NULL)
        return NULL;
    branch->root = arena->root;
    branch->next_size = FIRST_CHUNK;
    branch->next_branch = arena->branches;
    branch->place = &arena->branches;
    if (arena->branches != NULL)
        arena->branches->place = &branch->next_branch;
    arena->branches = branch;
    return branch;
}

static void leave_tree(struct arena *branch) {
    branch->root->taken -= branch->taken;
    *branch->place = branch->next_branch;
    if (branch->next_branch != NULL)
        branch->next_branch->place = branch->place;
}

void arena_count_json(struct arena *arena) {
    arena->root->counts_json = true;
}

bool arena_charge(struct arena *arena, size_t size) {
    if (size > arena_left(arena))
        return false;
    arena->root->taken += size;
    if (arena != arena->root)
        arena->taken += size;
    return true;
}

void arena_credit(struct arena *arena, size_t size) {
    arena->root->taken -= size;
    if (arena != arena->root)
        arena->taken -= size;
}

size_t arena_left(const struct arena *arena) {
    return arena->root->limit - arena->root->taken;
}

size_t arena_left_for_json(const struct arena *arena) {
    return arena->root->counts_json ? arena_left(arena) : SIZE_MAX;
}

void arena_free(struct arena *arena) {
    if (arena == NULL)
        return;
    while (arena->branches != NULL)
        arena_free(arena->branches);
    for (struct cleanup *cleanup = arena->cleanups; cleanup != NULL; cleanup = cleanup->next)
        cleanup->run(cleanup->object);
    for (struct chunk *chunk = arena->chunks, *next; chunk != NULL; chunk = next) {
        next = chunk->next;
        free(chunk);
    }
    if (arena != arena->root)
        leave_tree(arena);
    free(arena);
}

static struct chunk *add_chunk(struct arena *arena, size_t at_least) {
    size_t size = arena->next_size > at_least ? arena->next_size : at_least;
    struct chunk *chunk = malloc(sizeof *chunk + size);
    if (chunk == NULL)
        return NULL;
    chunk->used = 0;
    chunk->size = size;
    /* A piece larger than a usual chunk gets its own behind the current one, whose free rest stays in use. */
    if (size > arena->next_size && arena->chunks != NULL) {
        chunk->next = arena->chunks->next;
        arena->chunks->next = chunk;
    } else {
        chunk->next = arena->chunks;
        arena->chunks = chunk;
        if (arena->next_size < LARGEST_CHUNK)
            arena->next_size *= 2;
    }
    return chunk;
}

static void *take(struct arena *arena, size_t size) {
    /* No memory for the arena is none for what goes into it. */
    if (arena == NULL || size > arena->root->limit)
        return NULL;
    size_t rounded = (size + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
    if (rounded == 0)
        rounded = alignof(max_align_t);
    if (rounded > arena_left(arena))
        return NULL;
    struct chunk *chunk = arena->chunks;
    if (chunk == NULL || chunk->size - chunk->used < rounded) {
        chunk = add_chunk(arena, rounded);
        if (chunk == NULL)
            return NULL;
    }
    void *piece = chunk->bytes + chunk->used;
    chunk->used += rounded;
    return arena_charge(arena, rounded) ? piece : NULL;
}

void *arena_alloc(struct arena *arena, size_t size) {
    void *piece = take(arena, size);
    if (piece != NULL)
        memset(piece, 0, size);
    return piece;
}

void *arena_copy(struct arena *arena, const void *bytes, size_t length) {
    void *piece = take(arena, length);
    if (piece != NULL && length > 0)
        memcpy(piece, bytes, length);
    return piece;
}

char *arena_strndup(struct arena *arena, const char *text, size_t length) {
    char *copy = length < SIZE_MAX ? take(arena, length + 1) : NULL;
    if (copy == NULL)
        return NULL;
    memcpy(copy, text, length);
    copy[length] = '\0';
    return copy;
}

char *arena_strdup(struct arena *arena, const char *text) {
    return arena_strndup(arena, text, strlen(text));
}

char *arena_printf(struct arena *arena, const char *format, ...) {
    char short_text[256];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(short_text, sizeof short_text, format, arguments);
    va_end(arguments);
    if (length < 0)
        return NULL;
    if ((size_t)length < sizeof short_text)
        return arena_strndup(arena, short_text, (size_t)length);
    char *text = take(arena, (size_t)length + 1);
    if (text == NULL)
        return NULL;
    va_start(arguments, format);
    vsnprintf(text, (size_t)length + 1, format, arguments);
    va_end(arguments);
    return text;
}

bool arena_defer(struct arena *arena, void (*run)(void *object), void *object) {
    struct cleanup *cleanup = take(arena, sizeof *cleanup);
    if (cleanup == NULL) {
        run(object);
        return false;
    }
    *cleanup = (struct cleanup){.next = arena->cleanups, .run = run, .object = object};
    arena->cleanups = cleanup;
    return true;
}

static void drop_json(void *object) {
    json_decref(object);
}

json_t *arena_own_json(struct arena *arena, json_t *json) {
    if (json == NULL || !arena_defer(arena, drop_json, json))
        return NULL;
    return json;
}
