/* Keys of the REST API: made here, shown once, kept only as a hash. Ending one counts at once on every
 * worker, because each request reads its key from Redis. */
#include "internal.h"

#include "originca/api_key.h"

#define ZONES_MAX 100
#define NAME_MAX_LENGTH 100

struct api_keys_state {
    struct admin_call call;
    enum api_key_kind kind;
    struct store_api_key key;
    char id[API_KEY_ID_HEX + 1], text[API_KEY_TEXT_MAX], hash[API_KEY_HASH_HEX + 1];
    const char **zone_names; /* as asked for */
    struct store_zone *zones;
    size_t next_zone;
    struct store_api_key_list list;
    struct rights rights;
};

static json_t *words_json(const char *words) {
    json_t *array = json_array();
    while (*words != '\0') {
        size_t length = strcspn(words, " ");
        json_array_append_new(array, json_stringn(words, length));
        words += length + strspn(words + length, " ");
    }
    return array;
}

static json_t *key_json(const struct store_api_key *key) {
    json_t *json = json_pack("{s:s, s:s, s:s, s:s, s:o, s:o, s:b}", "id", key->id, "customer", key->customer,
                             "kind", key->kind, "name", key->name, "rights", words_json(key->rights), "zones",
                             admin_strings(key->zones, key->zone_count), "revoked", key->revoked_at != 0);
    admin_set_time(json, "created_at", key->created_at);
    admin_set_time(json, "revoked_at", key->revoked_at);
    return json;
}

/* --- making one --- */

static bool read_rights(struct operation *operation) {
    struct api_keys_state *state = operation->state;
    const json_t *rights = json_object_get(state->call.body, "rights"), *word;
    unsigned bits = api_key_default_rights(state->kind);
    size_t i;
    if (rights != NULL && (!json_is_array(rights) || json_array_size(rights) == 0))
        return error_set(&operation->error, ERROR_INVALID,
                         "\"rights\" must be an array with one right at least");
    if (rights != NULL)
        bits = 0;
    json_array_foreach(rights, i, word) {
        unsigned bit = json_is_string(word) ? api_key_right_parse(json_string_value(word)) : 0;
        if (bit == 0)
            return error_set(&operation->error, ERROR_INVALID,
                             "a right is certificates:read, certificates:edit, zones:read or zones:edit");
        bits |= bit;
    }
    state->key.rights = api_key_rights_text(operation->arena, bits);
    return state->key.rights != NULL || error_set(&operation->error, ERROR_INTERNAL, "out of memory");
}

static bool read_zones(struct operation *operation) {
    struct api_keys_state *state = operation->state;
    const json_t *zones = json_object_get(state->call.body, "zones"), *zone;
    size_t i, count = json_array_size(zones);
    if (zones == NULL || json_is_null(zones))
        return true;
    if (!json_is_array(zones) || count == 0 || count > ZONES_MAX)
        return error_set(&operation->error, ERROR_INVALID,
                         "\"zones\" must be an array of 1 to %d zones, names or ids; leave it out for all",
                         ZONES_MAX);
    state->zone_names = arena_alloc(operation->arena, count * sizeof *state->zone_names);
    state->zones = arena_alloc(operation->arena, count * sizeof *state->zones);
    state->key.zones = arena_alloc(operation->arena, count * sizeof *state->key.zones);
    if (state->zone_names == NULL || state->zones == NULL || state->key.zones == NULL)
        return error_set(&operation->error, ERROR_INTERNAL, "out of memory");
    json_array_foreach(zones, i, zone) {
        state->zone_names[i] =
            json_is_string(zone) ? admin_zone_key(operation, json_string_value(zone)) : NULL;
        if (state->zone_names[i] == NULL || *state->zone_names[i] == '\0')
            return error_set(&operation->error, ERROR_INVALID, "each zone must be a name or an id");
    }
    state->key.zone_count = count;
    return true;
}

/* C0, DEL, and C1 in UTF-8: what a terminal obeys instead of showing it. */
static bool has_controls(const char *text) {
    for (const unsigned char *at = (const unsigned char *)text; *at != '\0'; at++)
        if (*at < ' ' || *at == 0x7F || (at[0] == 0xC2 && at[1] >= 0x80 && at[1] < 0xA0))
            return true;
    return false;
}

static enum step_result read_key(struct operation *operation) {
    struct api_keys_state *state = operation->state;
    const char *kind = json_get_string(state->call.body, "kind", &operation->error), *name;
    if (kind == NULL || !json_get_optional_string(state->call.body, "name", &name, &operation->error))
        return STEP_FAIL;
    if (!api_key_kind_parse(kind, &state->kind))
        return admin_refuse(operation, ERROR_INVALID, "\"kind\" must be service-key or token");
    if (name != NULL && strlen(name) > NAME_MAX_LENGTH)
        return admin_refuse(operation, ERROR_INVALID, "the name is longer than %d bytes", NAME_MAX_LENGTH);
    if (name != NULL && has_controls(name))
        return admin_refuse(operation, ERROR_INVALID,
                            "the name holds a control character; leave out line ends and escape sequences");
    state->key.kind = api_key_kind_name(state->kind);
    state->key.name = name == NULL ? "" : arena_strdup(operation->arena, name);
    if (state->key.name == NULL)
        return admin_refuse(operation, ERROR_INTERNAL, "out of memory");
    return read_rights(operation) && read_zones(operation) ? operation_forget_request(operation) : STEP_FAIL;
}

static void find_next_zone(struct operation *operation);

static void note_zone(void *context, const struct error *error) {
    struct operation *operation = context;
    struct api_keys_state *state = operation->state;
    const struct store_zone *zone = &state->zones[state->next_zone];
    if (error != NULL) {
        operation_fail(operation, error);
    } else if (zone->status == ZONE_DELETED || strcmp(zone->customer, state->call.customer.id) != 0) {
        admin_refuse(operation, ERROR_NOT_FOUND, "the customer has no zone %s",
                     state->zone_names[state->next_zone]);
        operation_fail(operation, NULL);
    } else {
        state->key.zones[state->next_zone++] = zone->id;
        find_next_zone(operation);
    }
}

static void find_next_zone(struct operation *operation) {
    struct api_keys_state *state = operation->state;
    if (state->next_zone == state->key.zone_count)
        operation_resume(operation);
    else
        store_find_zone(operation->worker->store, operation->arena, state->zone_names[state->next_zone],
                        state->call.customer.id, &state->zones[state->next_zone], note_zone, operation);
}

static enum step_result find_zones(struct operation *operation) {
    find_next_zone(operation);
    return STEP_WAIT;
}

static enum step_result create(struct operation *operation) {
    struct api_keys_state *state = operation->state;
    api_key_make(state->kind, state->id, state->text);
    api_key_hash(operation->worker->secrets, state->text, state->hash);
    state->key.id = state->id;
    state->key.customer = state->call.customer.id;
    state->key.hash = state->hash;
    store_create_api_key(operation->worker->store, operation->arena, &state->key, &state->key.created_at,
                         admin_done, operation);
    return STEP_WAIT;
}

static enum step_result reply_created(struct operation *operation) {
    struct api_keys_state *state = operation->state;
    json_t *json = key_json(&state->key);
    json_object_set_new(json, "key", json_string(state->text));
    bytes_wipe(state->text, sizeof state->text);
    http_reply_header(operation->request, "Cache-Control", "no-store");
    admin_reply(operation, 201, json);
    return STEP_REPLIED;
}

static const struct step create_steps[] = {{"read body", admin_read_body},
                                           {"require secrets", admin_require_secrets},
                                           {"find customer", admin_find_path_customer},
                                           {"read key", read_key},
                                           {"find zones", find_zones},
                                           {"create", create},
                                           {"reply", reply_created}};
static const struct operation_kind create_api_key =
    OPERATION_KIND("create API key", create_steps, struct api_keys_state, admin_fail);

void admin_create_api_key(struct http_request *request) {
    operation_start(request, &create_api_key);
}

/* --- list and end --- */

static enum step_result list(struct operation *operation) {
    struct api_keys_state *state = operation->state;
    store_list_api_keys(operation->worker->store, operation->arena, state->call.customer.id, &state->list,
                        admin_done, operation);
    return STEP_WAIT;
}

static enum step_result reply_list(struct operation *operation) {
    struct api_keys_state *state = operation->state;
    json_t *items = json_array();
    for (size_t i = 0; i < state->list.count; i++)
        json_array_append_new(items, key_json(&state->list.items[i]));
    admin_reply(operation, 200, json_pack("{s:o}", "items", items));
    return STEP_REPLIED;
}

static const struct step list_steps[] = {{"require Redis", admin_require_ready},
                                         {"find customer", admin_find_path_customer},
                                         {"list", list},
                                         {"reply", reply_list}};
static const struct operation_kind list_api_keys =
    OPERATION_KIND("list API keys", list_steps, struct api_keys_state, admin_fail);

void admin_list_api_keys(struct http_request *request) {
    operation_start(request, &list_api_keys);
}

static enum step_result load_key(struct operation *operation) {
    struct api_keys_state *state = operation->state;
    store_load_api_key(operation->worker->store, operation->arena, operation->request->params[1], &state->key,
                       admin_done, operation);
    return STEP_WAIT;
}

static enum step_result record_end(struct operation *operation) {
    struct api_keys_state *state = operation->state;
    if (strcmp(state->key.customer, state->call.customer.id) != 0)
        return admin_refuse(operation, ERROR_NOT_FOUND, "the customer has no API key of this id");
    if (state->key.revoked_at != 0)
        return STEP_DONE;
    rights_add(&state->rights, "api-key-ended", state->key.id, admin_by(operation));
    return admin_record_rights(operation, &state->rights);
}

static enum step_result end_key(struct operation *operation) {
    struct api_keys_state *state = operation->state;
    if (state->rights.count == 0) /* it has ended already */
        return STEP_DONE;
    store_revoke_api_key(operation->worker->store, state->call.customer.id, state->key.id,
                         state->rights.given, admin_done_recorded, operation);
    return STEP_WAIT;
}

static enum step_result reply_ended(struct operation *operation) {
    admin_reply(operation, 200, json_pack("{s:s, s:b}", "id", operation->request->params[1], "revoked", 1));
    return STEP_REPLIED;
}

static const struct step delete_steps[] = {{"require Redis", admin_require_ready},
                                           {"find customer", admin_find_path_customer},
                                           {"load key", load_key},
                                           {"record end", record_end},
                                           {"end key", end_key},
                                           {"reply", reply_ended}};
static const struct operation_kind delete_api_key =
    OPERATION_KIND("delete API key", delete_steps, struct api_keys_state, admin_fail);

void admin_delete_api_key(struct http_request *request) {
    operation_start(request, &delete_api_key);
}
