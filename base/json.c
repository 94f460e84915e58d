/* Strict JSON in, compact JSON out. jansson parses; depth is bounded before it recurses, and its memory while
 * it does. */
#include "originca/json.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 32

/* Counts brackets outside strings: jansson's own bound is 2,048 levels, far more than a request has a use
 * for. */
static bool is_depth_bounded(const char *text, size_t length) {
    unsigned depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < length; i++) {
        char c = text[i];
        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            if (++depth > DEPTH_MAX)
                return false;
        } else if ((c == '}' || c == ']') && depth > 0) {
            depth--;
        }
    }
    return true;
}

/* jansson takes 190 bytes for the two of "{}". Its allocations are counted while a document is parsed, when
 * all that it frees is of that document too; at any other time they are the heap's. Blocks stay the heap's,
 * so a tree may outlive its arena by a reference, and what json_dumps gives goes to free(). */
static _Thread_local struct {
    size_t used, limit;
    bool is_on, has_refused;
} count;

static void *take(size_t size) {
    if (!count.is_on)
        return malloc(size);
    if (count.used > count.limit || size > count.limit - count.used) {
        count.has_refused = true;
        return NULL;
    }
    void *block = malloc(size);
    count.used += block == NULL ? 0 : malloc_usable_size(block);
    return block;
}

static void give(void *block) {
    if (count.is_on && block != NULL)
        count.used -= malloc_usable_size(block);
    free(block);
}

/* Before main: what was allocated by one pair of functions must not meet the other. */
__attribute__((constructor)) static void count_allocations(void) {
    json_set_alloc_funcs(take, give);
}

/* A parsed document and what it counts for in its arena. */
struct document {
    struct arena *arena;
    json_t *json;
    size_t size;
};

static void drop_document(void *object) {
    struct document *document = object;
    json_decref(document->json);
    arena_credit(document->arena, document->size);
}

/* `size`: what it counts for. */
static bool own(struct arena *arena, json_t *json, size_t size) {
    if (!arena_charge(arena, size)) {
        json_decref(json);
        return false;
    }
    struct document *document = arena_alloc(arena, sizeof *document);
    if (document == NULL) {
        json_decref(json);
        arena_credit(arena, size);
        return false;
    }
    *document = (struct document){arena, json, size};
    return arena_defer(arena, drop_document, document);
}

json_t *json_parse(struct arena *arena, const void *bytes, size_t length, struct error *error) {
    if (!is_depth_bounded(bytes, length)) {
        error_set(error, ERROR_INVALID, "the JSON is nested deeper than %d levels", DEPTH_MAX);
        return NULL;
    }
    json_error_t problem;
    count.used = 0;
    count.limit = arena_left_for_json(arena);
    count.has_refused = false;
    count.is_on = true;
    json_t *json = json_loadb(bytes, length, JSON_REJECT_DUPLICATES, &problem);
    count.is_on = false;
    if (json == NULL && !count.has_refused) {
        error_set(error, ERROR_INVALID, "not valid JSON: line %d, column %d: %s", problem.line,
                  problem.column, problem.text);
        return NULL;
    }
    if (json == NULL || !own(arena, json, count.limit == SIZE_MAX ? 0 : count.used)) {
        error_set(error, ERROR_INVALID,
                  "the JSON holds more values than fit into the memory of a request; send fewer");
        return NULL;
    }
    return json;
}

const char *json_get_string(const json_t *object, const char *key, struct error *error) {
    const json_t *value = json_object_get(object, key);
    if (value == NULL) {
        error_set(error, ERROR_INVALID, "\"%s\" is missing; it must be a string", key);
        return NULL;
    }
    if (!json_is_string(value)) {
        error_set(error, ERROR_INVALID, "\"%s\" must be a string", key);
        return NULL;
    }
    return json_string_value(value);
}

bool json_get_optional_string(const json_t *object, const char *key, const char **value,
                              struct error *error) {
    const json_t *found = json_object_get(object, key);
    *value = NULL;
    if (found == NULL || json_is_null(found))
        return true;
    if (!json_is_string(found))
        return error_set(error, ERROR_INVALID, "\"%s\" must be a string", key);
    *value = json_string_value(found);
    return true;
}

struct sink {
    struct text text;
};

static int append(const char *piece, size_t length, void *data) {
    struct sink *sink = data;
    text_append_bytes(&sink->text, piece, length);
    return sink->text.failed ? -1 : 0;
}

char *json_to_text(struct arena *arena, const json_t *json) {
    struct sink sink;
    text_init(&sink.text, arena);
    if (json_dump_callback(json, append, &sink, JSON_COMPACT | JSON_ENCODE_ANY) != 0)
        return NULL;
    return sink.text.data;
}
