/* Frames, questions, errors and readiness; what a check found is in message_result.c. */
#include "message.h"

#include <stdlib.h>
#include <string.h>

#define HEAD 4
#define VALUES_MAX 100000 /* a document in memory costs by its values; no message has nearly as many */

/* --- frames --- */

enum link_frame link_frame_take(struct evbuffer *in, uint32_t max, struct bytes *out) {
    uint8_t head[HEAD];
    if (evbuffer_copyout(in, head, HEAD) < HEAD)
        return LINK_FRAME_NONE;
    size_t length = (size_t)head[0] << 24 | (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3];
    if (length == 0 || length > max)
        return LINK_FRAME_BROKEN;
    if (evbuffer_get_length(in) < HEAD + length)
        return LINK_FRAME_NONE;
    uint8_t *payload = malloc(length);
    if (payload == NULL || evbuffer_drain(in, HEAD) != 0 ||
        evbuffer_remove(in, payload, length) != (int)length) {
        free(payload);
        return LINK_FRAME_BROKEN;
    }
    *out = (struct bytes){payload, length};
    return LINK_FRAME_WHOLE;
}

bool link_frame_put(struct evbuffer *out, json_t *json, uint32_t max) {
    char *text = json == NULL ? NULL : json_dumps(json, JSON_COMPACT);
    size_t length = text == NULL ? 0 : strlen(text);
    const uint8_t head[HEAD] = {(uint8_t)(length >> 24), (uint8_t)(length >> 16), (uint8_t)(length >> 8),
                                (uint8_t)length};
    json_decref(json);
    bool is_put = length > 0 && length <= max && evbuffer_add(out, head, HEAD) == 0 &&
                  evbuffer_add(out, text, length) == 0;
    free(text);
    return is_put;
}

static bool has_few_values(struct bytes payload) {
    size_t count = 0;
    for (size_t i = 0; i < payload.length; i++)
        count += payload.data[i] == ',' || payload.data[i] == '[' || payload.data[i] == '{';
    return count <= VALUES_MAX;
}

const json_t *link_parse(struct arena *arena, struct bytes payload, uint64_t *id, struct error *error) {
    *id = 0;
    if (!has_few_values(payload)) {
        error_set(error, ERROR_INVALID, "the message has more than %d values", VALUES_MAX);
        return NULL;
    }
    const json_t *root = json_parse(arena, payload.data, payload.length, error);
    const json_t *number = json_object_get(root, "id");
    if (json_is_integer(number) && json_integer_value(number) > 0)
        *id = (uint64_t)json_integer_value(number);
    return root;
}

/* --- a question --- */

static const char *const views[] = {[LINK_OWN_VIEW] = "own", [LINK_ALL_VIEWS] = "all"};

static json_t *list_strings(const char *const *items, size_t count) {
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, json_string(items[i]));
    return list;
}

json_t *link_write_check(uint64_t id, const struct dnscheck_request *request, enum link_view view) {
    json_t *zones = json_array(), *names = json_array();
    for (size_t i = 0; i < request->zone_count; i++) {
        const struct dnscheck_zone *zone = &request->zones[i];
        json_array_append_new(
            zones, json_pack("{s:s, s:s*, s:o, s:o, s:o}", "name", zone->name, "anothers", zone->anothers,
                             "name_servers", list_strings(zone->name_servers, zone->name_server_count),
                             "rivals", list_strings(zone->rivals, zone->rival_count), "zones_above",
                             list_strings(zone->zones_above, zone->zones_above_count)));
    }
    for (size_t i = 0; i < request->name_count; i++)
        json_array_append_new(names, json_pack("{s:s, s:I, s:s*}", "name", request->names[i].name, "zone",
                                               (json_int_t)request->names[i].zone, "txt",
                                               request->names[i].txt_value));
    return json_pack("{s:I, s:s, s:s, s:I, s:s*, s:s*, s:o, s:o}", "id", (json_int_t)id, "ask", "check",
                     "view", views[view], "deadline_ms", (json_int_t)request->deadline_ms, "account_uri",
                     request->account_uri, "method", request->method, "zones", zones, "names", names);
}

static bool take_strings(struct arena *arena, const json_t *object, const char *key, const char *const **out,
                         size_t *count, struct error *error) {
    const json_t *list = json_object_get(object, key);
    *count = json_array_size(list);
    const char **items = arena_alloc(arena, (*count + 1) * sizeof *items);
    if (items == NULL)
        return error_set(error, ERROR_INTERNAL, "out of memory");
    for (size_t i = 0; i < *count; i++) {
        const char *text = json_string_value(json_array_get(list, i));
        if (text == NULL)
            return error_set(error, ERROR_INVALID, "%s must be a list of strings", key);
        if ((items[i] = arena_strdup(arena, text)) == NULL)
            return error_set(error, ERROR_INTERNAL, "out of memory");
    }
    *out = items;
    return true;
}

static bool take_text(struct arena *arena, const json_t *object, const char *key, const char **out,
                      struct error *error) {
    const char *text;
    *out = NULL;
    if (!json_get_optional_string(object, key, &text, error))
        return false;
    return text == NULL || (*out = arena_strdup(arena, text)) != NULL ||
           error_set(error, ERROR_INTERNAL, "out of memory");
}

static bool take_name(struct arena *arena, const json_t *object, const char **out, struct error *error) {
    const char *name = json_get_string(object, "name", error);
    return name != NULL &&
           ((*out = arena_strdup(arena, name)) != NULL || error_set(error, ERROR_INTERNAL, "out of memory"));
}

static bool take_zones(struct arena *arena, const json_t *list, struct dnscheck_request *out,
                       struct error *error) {
    out->zone_count = json_array_size(list);
    struct dnscheck_zone *zones = arena_alloc(arena, (out->zone_count + 1) * sizeof *zones);
    if (zones == NULL || out->zone_count == 0)
        return error_set(error, ERROR_INVALID, "a check needs a zone");
    for (size_t i = 0; i < out->zone_count; i++) {
        const json_t *item = json_array_get(list, i);
        if (!take_name(arena, item, &zones[i].name, error) ||
            !take_text(arena, item, "anothers", &zones[i].anothers, error) ||
            !take_strings(arena, item, "name_servers", &zones[i].name_servers, &zones[i].name_server_count,
                          error) ||
            !take_strings(arena, item, "rivals", &zones[i].rivals, &zones[i].rival_count, error) ||
            !take_strings(arena, item, "zones_above", &zones[i].zones_above, &zones[i].zones_above_count,
                          error))
            return false;
    }
    out->zones = zones;
    return true;
}

static bool take_names(struct arena *arena, const json_t *list, struct dnscheck_request *out,
                       struct error *error) {
    out->name_count = json_array_size(list);
    struct dnscheck_name *names = arena_alloc(arena, (out->name_count + 1) * sizeof *names);
    if (names == NULL)
        return error_set(error, ERROR_INTERNAL, "out of memory");
    for (size_t i = 0; i < out->name_count; i++) {
        const json_t *item = json_array_get(list, i), *zone = json_object_get(item, "zone");
        if (!take_name(arena, item, &names[i].name, error) ||
            !take_text(arena, item, "txt", &names[i].txt_value, error))
            return false;
        if (!json_is_integer(zone) || json_integer_value(zone) < 0 ||
            (size_t)json_integer_value(zone) >= out->zone_count)
            return error_set(error, ERROR_INVALID, "a name is in no zone of the check");
        names[i].zone = (size_t)json_integer_value(zone);
    }
    out->names = names;
    return true;
}

/* dnscheck wants constants. */
static bool take_method(const json_t *root, struct dnscheck_request *out, struct error *error) {
    static const char *const methods[] = {"ca-delegation", "dns-01"};
    const char *word;
    if (!json_get_optional_string(root, "method", &word, error))
        return false;
    for (size_t i = 0; word != NULL && i < sizeof methods / sizeof methods[0]; i++)
        if (strcmp(word, methods[i]) == 0)
            out->method = methods[i];
    return word == NULL || out->method != NULL ||
           error_set(error, ERROR_INVALID, "the method is none of ca-delegation, dns-01");
}

bool link_read_check(struct arena *arena, const json_t *root, struct dnscheck_request *out,
                     enum link_view *view, struct error *error) {
    const char *word = json_get_string(root, "view", error);
    const json_t *deadline = json_object_get(root, "deadline_ms");
    *out = (struct dnscheck_request){.zones = NULL};
    if (word == NULL)
        return false;
    if (!json_is_integer(deadline) || json_integer_value(deadline) < 0 ||
        json_integer_value(deadline) > UINT32_MAX)
        return error_set(error, ERROR_INVALID, "deadline_ms must be a number");
    out->deadline_ms = (uint32_t)json_integer_value(deadline);
    *view = strcmp(word, views[LINK_ALL_VIEWS]) == 0 ? LINK_ALL_VIEWS : LINK_OWN_VIEW;
    return take_text(arena, root, "account_uri", &out->account_uri, error) && take_method(root, out, error) &&
           take_zones(arena, json_object_get(root, "zones"), out, error) &&
           take_names(arena, json_object_get(root, "names"), out, error);
}

json_t *link_write_question(uint64_t id, const char *ask) {
    return json_pack("{s:I, s:s}", "id", (json_int_t)id, "ask", ask);
}

/* --- errors --- */

json_t *link_write_error(uint64_t id, const struct error *error) {
    const char *word = error->code == ERROR_LIMIT     ? "busy"
                       : error->code == ERROR_INVALID ? "invalid"
                                                      : "internal";
    return json_pack("{s:I, s:s, s:s}", "id", (json_int_t)id, "error", word, "text", error->message);
}

enum error_code link_read_error(const json_t *root) {
    const char *word = json_string_value(json_object_get(root, "error"));
    return word == NULL                   ? ERROR_NONE
           : strcmp(word, "busy") == 0    ? ERROR_LIMIT
           : strcmp(word, "invalid") == 0 ? ERROR_INVALID
                                          : ERROR_INTERNAL;
}

/* --- readiness --- */

const char *link_part_name(enum link_part part) {
    static const char *const names[LINK_PARTS] = {
        [LINK_PART_REDIS] = "redis",     [LINK_PART_LEDGER] = "ledger", [LINK_PART_SIGNER] = "signer",
        [LINK_PART_ISSUERS] = "issuers", [LINK_PART_DNS] = "dns",
    };
    return names[part];
}

json_t *link_write_readiness(uint64_t id, const struct link_readiness *readiness) {
    json_t *root = json_pack("{s:I}", "id", (json_int_t)id);
    for (enum link_part part = 0; part < LINK_PARTS; part++)
        json_object_set_new(root, link_part_name(part),
                            json_pack("{s:b, s:s}", "ok", readiness->parts[part].is_ok, "reason",
                                      readiness->parts[part].reason));
    return root;
}

/* For people and logs. */
static void copy_printable(char *out, size_t size, const char *text) {
    snprintf(out, size, "%s", text);
    for (char *c = out; *c != '\0'; c++)
        if ((unsigned char)*c < 0x20 || (unsigned char)*c >= 0x7F)
            *c = '?';
}

bool link_read_readiness(const json_t *root, struct link_readiness *out) {
    for (enum link_part part = 0; part < LINK_PARTS; part++) {
        const json_t *item = json_object_get(root, link_part_name(part));
        const char *reason = json_string_value(json_object_get(item, "reason"));
        const json_t *ok = json_object_get(item, "ok");
        if (!json_is_boolean(ok) || reason == NULL)
            return false;
        out->parts[part].is_ok = json_is_true(ok);
        copy_printable(out->parts[part].reason, sizeof out->parts[part].reason, reason);
    }
    out->has_answered = true;
    return true;
}
