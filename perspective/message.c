/* Writing both messages, and what reading them has in common. */
#include "message.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "frame.h"
#include "message_internal.h"

#define TEXT_SENT_MAX 600
#define VALUES_MAX 100000

static const char *const caa_words[] = {"off", "named", "strict"};

static uint8_t *make_frame(json_t *json, size_t *length) {
    char *text = json == NULL ? NULL : json_dumps(json, JSON_COMPACT);
    size_t size = text == NULL ? 0 : strlen(text);
    uint8_t *frame = size == 0 || size > FRAME_MAX ? NULL : malloc(FRAME_HEAD + size);
    json_decref(json);
    if (frame != NULL) {
        frame_put_head(frame, size);
        memcpy(frame + FRAME_HEAD, text, size);
        *length = FRAME_HEAD + size;
    }
    free(text);
    return frame;
}

static json_t *list_strings(const char *const *items, size_t count) {
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, json_string(items[i]));
    return list;
}

static json_t *list_strings_if_any(const char *const *items, size_t count) {
    return count == 0 ? NULL : list_strings(items, count);
}

static json_t *list_prefixes(const struct message_request *request) {
    json_t *list = json_array();
    char address[INET6_ADDRSTRLEN];
    for (size_t i = 0; i < request->edge_prefix_count; i++) {
        const struct config_prefix *prefix = &request->edge_prefixes[i];
        inet_ntop(prefix->family, prefix->bytes, address, sizeof address);
        json_array_append_new(list, json_sprintf("%s/%u", address, prefix->bits));
    }
    return list;
}

uint8_t *message_write_request(const struct message_request *request, size_t *length) {
    const struct dnscheck_request *check = &request->check;
    json_t *zones = json_array(), *names = json_array();
    for (size_t i = 0; i < check->zone_count; i++) {
        const struct dnscheck_zone *zone = &check->zones[i];
        json_array_append_new(
            zones, json_pack("{s:s, s:o, s:o*, s:o*}", "name", zone->name, "name_servers",
                             list_strings(zone->name_servers, zone->name_server_count), "zones_above",
                             list_strings_if_any(zone->zones_above, zone->zones_above_count), "rivals",
                             list_strings_if_any(zone->rivals, zone->rival_count)));
    }
    for (size_t i = 0; i < check->name_count; i++)
        json_array_append_new(names,
                              json_pack("{s:s, s:I, s:s*}", "name", check->names[i].name, "zone",
                                        (json_int_t)check->names[i].zone, "txt", check->names[i].txt_value));
    return make_frame(json_pack("{s:i, s:I, s:I, s:s*, s:s*, s:s, s:o, s:o, s:o, s:o, s:o}", "version",
                                MESSAGE_VERSION, "id", (json_int_t)request->id, "deadline_ms",
                                (json_int_t)check->deadline_ms, "account_uri", check->account_uri, "method",
                                check->method, "caa_mode", caa_words[request->caa_mode], "caa_identities",
                                list_strings(request->caa_identities, request->caa_identity_count),
                                "edge_prefixes", list_prefixes(request), "name_server_pool",
                                list_strings(request->name_server_pool, request->name_server_pool_count),
                                "zones", zones, "names", names),
                      length);
}

/* The texts are for the owner of a refused name; what is fine needs none. */
static json_t *list_findings(const struct dnscheck_finding *findings, size_t count) {
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) {
        const struct dnscheck_finding *finding = &findings[i];
        json_t *item = json_pack("{s:s, s:s, s:b}", "verdict", dnscheck_verdict_name(finding->verdict),
                                 "reason", finding->reason, "secure", finding->is_secure);
        if (finding->verdict != DNSCHECK_OK && item != NULL)
            json_object_set_new(item, "text",
                                json_stringn(finding->text, strnlen(finding->text, TEXT_SENT_MAX)));
        json_array_append_new(list, item);
    }
    return list;
}

uint8_t *message_write_reply(const struct message_reply *reply, size_t *length) {
    if (reply->error != NULL)
        return make_frame(json_pack("{s:i, s:I, s:s, s:s}", "version", MESSAGE_VERSION, "id",
                                    (json_int_t)reply->id, "error", reply->error, "text", reply->error_text),
                          length);
    return make_frame(json_pack("{s:i, s:I, s:o, s:o, s:I, s:I}", "version", MESSAGE_VERSION, "id",
                                (json_int_t)reply->id, "zones",
                                list_findings(reply->zones, reply->zone_count), "names",
                                list_findings(reply->names, reply->name_count), "queries",
                                (json_int_t)reply->queries, "duration_ms", (json_int_t)reply->duration_ms),
                      length);
}

/* --- common to reading --- */

/* Values are what a document in memory costs; no message has nearly as many. */
static bool has_few_values(struct bytes payload) {
    size_t count = 0;
    for (size_t i = 0; i < payload.length; i++)
        count += payload.data[i] == ',' || payload.data[i] == '[' || payload.data[i] == '{';
    return count <= VALUES_MAX;
}

json_t *message_parse(struct arena *arena, struct bytes payload, uint64_t *id, struct error *error) {
    *id = 0;
    if (!has_few_values(payload)) {
        error_set(error, ERROR_INVALID, "the message has more than %d values", VALUES_MAX);
        return NULL;
    }
    json_t *root = json_parse(arena, payload.data, payload.length, error);
    if (root == NULL)
        return NULL;
    const json_t *version = json_object_get(root, "version"), *number = json_object_get(root, "id");
    if (!json_is_integer(number) || json_integer_value(number) < 1) {
        error_set(error, ERROR_INVALID, "the message has no id");
        return NULL;
    }
    *id = (uint64_t)json_integer_value(number);
    if (!json_is_integer(version) || json_integer_value(version) != MESSAGE_VERSION) {
        error_set(error, ERROR_INVALID, "the message is not of version %d", MESSAGE_VERSION);
        return NULL;
    }
    return root;
}

bool message_take_list(const json_t *root, const char *key, size_t max, const json_t **out,
                       struct error *error) {
    *out = json_object_get(root, key);
    return (json_is_array(*out) && json_array_size(*out) <= max) ||
           error_set(error, ERROR_INVALID, "%s must be a list of at most %zu", key, max);
}

bool message_take_number(const json_t *root, const char *key, uint32_t *out, struct error *error) {
    const json_t *value = json_object_get(root, key);
    if (!json_is_integer(value) || json_integer_value(value) < 0 || json_integer_value(value) > UINT32_MAX)
        return error_set(error, ERROR_INVALID, "%s must be a number", key);
    *out = (uint32_t)json_integer_value(value);
    return true;
}

bool message_take_caa_mode(const char *word, enum dnscheck_caa_mode *out, struct error *error) {
    for (size_t i = 0; i < sizeof caa_words / sizeof caa_words[0]; i++)
        if (strcmp(word, caa_words[i]) == 0) {
            *out = (enum dnscheck_caa_mode)i;
            return true;
        }
    return error_set(error, ERROR_INVALID, "caa_mode is none of off, named, strict");
}
