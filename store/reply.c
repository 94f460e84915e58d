/* Reading replies. Redis is believed to be ours but its answers are checked like anybody's: a wrong type, a
 * missing field or a number that is none is an error that says which, never a crash. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "call.h"

bool reply_out_of_memory(struct error *error) {
    return error_set(error, ERROR_INTERNAL, "out of memory for an answer of Redis");
}

bool reply_is_text(const struct redisReply *reply) {
    return reply != NULL && (reply->type == REDIS_REPLY_STRING || reply->type == REDIS_REPLY_STATUS) &&
           reply->str != NULL;
}

bool reply_is_array(const struct redisReply *reply, size_t least, struct error *error) {
    if (reply != NULL && reply->type == REDIS_REPLY_ARRAY && reply->elements >= least)
        return true;
    return error_set(error, ERROR_INTERNAL, "Redis answered something else than a list of %zu", least);
}

char *reply_text(struct arena *arena, const struct redisReply *reply, struct error *error) {
    if (!reply_is_text(reply)) {
        error_set(error, ERROR_INTERNAL, "Redis answered something else than text");
        return NULL;
    }
    char *text = arena_strndup(arena, reply->str, (size_t)reply->len);
    if (text == NULL)
        (void)!reply_out_of_memory(error);
    return text;
}

bool reply_texts(struct arena *arena, const struct redisReply *reply, const char ***texts, size_t *count,
                 struct error *error) {
    *count = 0;
    if (!reply_is_array(reply, 0, error))
        return false;
    *texts = arena_alloc(arena, (reply->elements + 1) * sizeof **texts);
    if (*texts == NULL)
        return reply_out_of_memory(error);
    for (size_t i = 0; i < reply->elements; i++)
        if (((*texts)[i] = reply_text(arena, reply->element[i], error)) == NULL)
            return false;
    *count = reply->elements;
    return true;
}

bool reply_number(const struct redisReply *reply, int64_t *number, struct error *error) {
    if (reply != NULL && reply->type == REDIS_REPLY_INTEGER) {
        *number = reply->integer;
        return true;
    }
    char *end = NULL;
    errno = 0;
    if (reply_is_text(reply) && reply->len > 0)
        *number = strtoll(reply->str, &end, 10);
    if (end != NULL && *end == '\0' && errno == 0)
        return true;
    return error_set(error, ERROR_INTERNAL, "Redis answered something else than a number");
}

bool reply_split(struct arena *arena, char *text, const char ***words, size_t *count, struct error *error) {
    size_t blanks = 0;
    for (const char *c = text; *c != '\0'; c++)
        if (*c == ' ')
            blanks++;
    *count = 0;
    *words = arena_alloc(arena, (blanks + 1) * sizeof **words);
    if (*words == NULL)
        return reply_out_of_memory(error);
    for (char *rest = text, *word; (word = strsep(&rest, " ")) != NULL;)
        if (*word != '\0')
            (*words)[(*count)++] = word;
    return true;
}

static bool read_enum(const struct store_field *field, const struct redisReply *value, int *out,
                      struct error *error) {
    for (int i = 0; field->names[i] != NULL; i++)
        if (strcmp(field->names[i], value->str) == 0) {
            *out = i;
            return true;
        }
    return error_set(error, ERROR_INTERNAL, "Redis holds a state that is unknown here: %s", value->str);
}

static bool read_value(struct arena *arena, const struct store_field *field, const struct redisReply *value,
                       void *place, struct error *error) {
    int64_t number = 0;
    char *text;
    switch (field->kind) {
    case FIELD_TEXT:
        return (*(const char **)place = reply_text(arena, value, error)) != NULL;
    case FIELD_BYTES:
        *(struct bytes *)place =
            (struct bytes){arena_copy(arena, value->str, (size_t)value->len), (size_t)value->len};
        return ((struct bytes *)place)->data != NULL || reply_out_of_memory(error);
    case FIELD_WORDS:
        text = reply_text(arena, value, error);
        return text != NULL && reply_split(arena, text, place, (size_t *)((const char ***)place + 1), error);
    case FIELD_ENUM:
        return read_enum(field, value, place, error);
    case FIELD_FLAG:
        *(bool *)place = true;
        return true;
    case FIELD_TIME:
    case FIELD_INT64:
    case FIELD_UINT32:
        break;
    }
    if (!reply_number(value, &number, error))
        return false;
    if (field->kind == FIELD_TIME)
        *(time_t *)place = (time_t)number;
    if (field->kind == FIELD_INT64)
        *(int64_t *)place = number;
    if (field->kind == FIELD_UINT32)
        *(uint32_t *)place = (uint32_t)number;
    return true;
}

bool reply_read_fields(struct arena *arena, const struct redisReply *pairs, const struct store_field *table,
                       size_t count, void *object, struct error *error) {
    if (!reply_is_array(pairs, 0, error))
        return false;
    for (size_t i = 0; i < count; i++)
        if (table[i].kind == FIELD_TEXT)
            *(const char **)((char *)object + table[i].offset) = "";
    for (size_t i = 0; i + 1 < pairs->elements; i += 2) {
        const struct redisReply *name = pairs->element[i], *value = pairs->element[i + 1];
        if (!reply_is_text(name) || !reply_is_text(value))
            return error_set(error, ERROR_INTERNAL, "Redis answered something else than fields with values");
        for (size_t k = 0; k < count; k++) {
            if (strcmp(table[k].name, name->str) != 0)
                continue;
            if (!read_value(arena, &table[k], value, (char *)object + table[k].offset, error)) {
                error_prefix(error, "field %s", table[k].name);
                return false;
            }
        }
    }
    return true;
}

bool reply_read_page(struct store_call *call, struct redisReply *const *items, size_t count,
                     store_read_object *read, size_t size, void **objects, size_t *object_count,
                     const char **next_cursor, struct error *error) {
    if (count == 0)
        return error_set(error, ERROR_INTERNAL, "Redis answered a page without a cursor");
    char *cursor = reply_text(call->arena, items[0], error);
    char *array = arena_alloc(call->arena, count * size);
    if (cursor == NULL)
        return false;
    if (array == NULL)
        return reply_out_of_memory(error);
    for (size_t i = 1; i < count; i++) {
        if (!reply_is_array(items[i], 2, error))
            return false;
        if (!read(call->arena, items[i]->element[0], items[i]->element[1], array + (i - 1) * size, error))
            return false;
    }
    *objects = array;
    *object_count = count - 1;
    if (next_cursor != NULL)
        *next_cursor = *cursor == '\0' ? NULL : cursor;
    return true;
}

bool reply_read_one(struct store_call *call, struct redisReply *const *items, size_t count,
                    store_read_object *read, struct error *error) {
    if (count < 2)
        return error_set(error, ERROR_INTERNAL, "Redis answered less than one object");
    return read(call->arena, items[0], items[1], call->out, error);
}

bool reply_read_hash(struct store_call *call, struct redisReply *const *items, size_t count,
                     store_read_object *read, const char *what, struct error *error) {
    if (count != 1 || !reply_is_array(items[0], 0, error))
        return false;
    if (items[0]->elements == 0)
        return error_set(error, ERROR_NOT_FOUND, "no such %s", what);
    const char *id_text = call->extra;
    struct redisReply id = {.type = REDIS_REPLY_STRING, .str = call->extra, .len = strlen(id_text)};
    return read(call->arena, &id, items[0], call->out, error);
}

void call_load_hash(struct store *store, struct arena *arena, const char *prefix, const char *id,
                    store_parse *parse, void *out, store_done *done, void *context) {
    struct store_call *call = call_new(store, SCRIPT_NONE, arena, parse, out, done, context);
    if (call == NULL)
        return;
    char *key = arena_printf(call->own, "%s%s", prefix, id);
    call->extra = arena_strdup(call->own, id);
    if (key == NULL || call->extra == NULL) {
        call_refuse(call, ERROR_INTERNAL, "out of memory");
        return;
    }
    call_add(call, "HGETALL");
    call_add(call, key);
    call_send(call);
}

bool reply_read_words(struct store_call *call, struct redisReply *const *items, size_t count,
                      struct error *error) {
    struct store_name_list *list = call->out;
    list->items = arena_alloc(call->arena, (count + 1) * sizeof *list->items);
    list->count = count;
    if (list->items == NULL)
        return reply_out_of_memory(error);
    for (size_t i = 0; i < count; i++)
        if ((list->items[i] = reply_text(call->arena, items[i], error)) == NULL)
            return false;
    return true;
}
