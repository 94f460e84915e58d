/* Strict JSON in, compact JSON out. jansson parses; depth is bounded before it recurses. */
#include "originca/json.h"

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

json_t *json_parse(struct arena *arena, const void *bytes, size_t length, struct error *error) {
    if (!is_depth_bounded(bytes, length)) {
        error_set(error, ERROR_INVALID, "the JSON is nested deeper than %d levels", DEPTH_MAX);
        return NULL;
    }
    json_error_t problem;
    json_t *json = json_loadb(bytes, length, JSON_REJECT_DUPLICATES, &problem);
    if (json == NULL) {
        error_set(error, ERROR_INVALID, "not valid JSON: line %d, column %d: %s", problem.line,
                  problem.column, problem.text);
        return NULL;
    }
    if (arena_own_json(arena, json) == NULL) {
        error_set(error, ERROR_INTERNAL, "out of memory");
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
