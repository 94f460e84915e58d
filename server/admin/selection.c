/* Which certificates a call means: read strictly, because a member that is misspelled and passed over would
 * select more than was meant. */
#include "selection.h"

#include <ctype.h>
#include <stdarg.h>

#define LIST_ID_BYTES 16
#define TEXT_LENGTH_MAX 255

static const char *const members[] = {"customer", "zone",         "account",       "issuer",  "profile",
                                      "key",      "issued_since", "issued_before", "serials", "serial_list"};

static bool refuse(struct operation *operation, const char *format, ...) PRINTF_LIKE(2, 3);
static bool refuse(struct operation *operation, const char *format, ...) {
    char message[ERROR_MESSAGE_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    (void)admin_refuse(operation, ERROR_INVALID, "%s", message);
    return false;
}

static bool is_member(const char *key) {
    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        if (strcmp(members[i], key) == 0)
            return true;
    return false;
}

/* Of the request's arena: the document does not live so long. */
static bool read_text(struct operation *operation, const json_t *object, const char *key, const char **out) {
    const json_t *value = json_object_get(object, key);
    const char *text = json_string_value(value);
    if (value == NULL)
        return true;
    if (text == NULL || *text == '\0' || strlen(text) > TEXT_LENGTH_MAX)
        return refuse(operation, "%s must be a text that is not empty", key);
    *out = arena_strdup(operation->arena, text);
    return *out != NULL || refuse(operation, "out of memory");
}

static bool read_hex(struct operation *operation, const json_t *object, const char *key, size_t bytes,
                     const char **out) {
    const char *text = NULL;
    if (!read_text(operation, object, key, &text))
        return false;
    if (text == NULL)
        return true;
    char *hex = arena_strdup(operation->arena, text);
    if (hex == NULL || strlen(hex) != 2 * bytes)
        return refuse(operation, "%s must be hex of the right length", key);
    for (char *c = hex; *c != '\0'; c++) {
        if (!isxdigit((unsigned char)*c))
            return refuse(operation, "%s must be hex of the right length", key);
        *c = (char)tolower((unsigned char)*c);
    }
    *out = hex;
    return true;
}

bool admin_read_time(struct operation *operation, const json_t *object, const char *key, time_t *out) {
    const json_t *value = json_object_get(object, key);
    const char *text = json_string_value(value);
    return value == NULL || (text != NULL && time_parse(text, out)) ||
           refuse(operation, "%s must be an RFC 3339 time", key);
}

/* What an earlier count gave; a JSON number, as it is far below 2^53. */
static bool read_cut_off(struct operation *operation) {
    struct selection_call *state = operation->state;
    const json_t *value = json_object_get(state->call.body, "cut_off");
    if (value != NULL && (!json_is_integer(value) || json_integer_value(value) < 1))
        return refuse(operation, "cut_off must be the number that a dry run gave");
    state->selection.cut_off = (uint64_t)json_integer_value(value);
    return true;
}

bool admin_read_number(struct operation *operation, const char *key, uint32_t least, uint32_t most,
                       uint32_t *out) {
    const struct admin_call *call = operation->state;
    const json_t *value = json_object_get(call->body, key);
    json_int_t number = json_integer_value(value);
    if (value == NULL)
        return true;
    if (!json_is_integer(value) || number < least || number > most) {
        (void)admin_refuse(operation, ERROR_INVALID, "%s must be a number from %u to %u", key, least, most);
        return false;
    }
    *out = (uint32_t)number;
    return true;
}

bool admin_read_serials(struct operation *operation, const json_t *array) {
    struct selection_call *state = operation->state;
    size_t count = json_array_size(array);
    if (!json_is_array(array) || count < 1 || count > SERIALS_MAX) {
        (void)admin_refuse(operation, ERROR_INVALID, "serials must be an array of 1 to %d serials",
                           SERIALS_MAX);
        return false;
    }
    state->serials = arena_alloc(operation->arena, count * sizeof *state->serials);
    for (size_t i = 0; state->serials != NULL && i < count; i++) {
        const char *text = json_string_value(json_array_get(array, i));
        uint8_t serial[SERIAL_BYTES];
        char *hex = arena_alloc(operation->arena, SERIAL_HEX_MAX);
        if (!serial_read(text == NULL ? "what is no text" : text, serial, &operation->error))
            return false;
        if (hex == NULL)
            break;
        hex_encode(serial, sizeof serial, hex);
        state->serials[state->serial_count++] = hex;
    }
    return state->serial_count == count || refuse(operation, "out of memory");
}

static bool read_members(struct operation *operation, const json_t *object) {
    struct selection_call *state = operation->state;
    struct store_selection *selection = &state->selection;
    const json_t *serials = json_object_get(object, "serials");
    return read_text(operation, object, "customer", &state->customer) &&
           read_text(operation, object, "zone", &state->zone_name) &&
           read_text(operation, object, "account", &selection->account) &&
           read_text(operation, object, "issuer", &selection->issuer) &&
           read_text(operation, object, "profile", &selection->profile) &&
           read_hex(operation, object, "key", SHA256_BYTES, &selection->key) &&
           read_hex(operation, object, "serial_list", LIST_ID_BYTES, &selection->serials) &&
           admin_read_time(operation, object, "issued_since", &selection->issued_since) &&
           admin_read_time(operation, object, "issued_before", &selection->issued_before) &&
           (serials == NULL || admin_read_serials(operation, serials)) && read_cut_off(operation);
}

bool admin_has_issuer(const struct operation *operation, const char *name) {
    const struct config *config = operation->worker->config;
    for (size_t i = 0; i < config->issuer_count; i++)
        if (strcmp(config->issuers[i].name, name) == 0)
            return true;
    return false;
}

enum step_result admin_refuse_issuer(struct operation *operation, enum error_code code, const char *name) {
    const struct config *config = operation->worker->config;
    struct text known;
    text_init(&known, operation->arena);
    text_append(&known, "");
    for (size_t i = 0; i < config->issuer_count; i++)
        text_printf(&known, "%s%s", i == 0 ? "" : ", ", config->issuers[i].name);
    return admin_refuse(operation, code, "there is no issuer %.60s, but %.300s", name, known.data);
}

/* One that is not configured any more may still have certificates; one that has none is a slip. */
static bool check_profile(struct operation *operation) {
    const struct selection_call *state = operation->state;
    const struct config *config = operation->worker->config;
    const char *name = state->selection.profile;
    struct text known;
    if (name == NULL || state->selected.count > 0 || config_find_profile(config, name) != NULL)
        return true;
    text_init(&known, operation->arena);
    text_append(&known, "");
    for (size_t i = 0; i < config->profile_count; i++)
        text_printf(&known, "%s%s", i == 0 ? "" : ", ", config->profiles[i].name);
    return refuse(operation, "there is no profile %.60s and no valid certificate of it, but %.300s", name,
                  known.data);
}

bool admin_read_selection(struct operation *operation) {
    struct selection_call *state = operation->state;
    json_t *object = json_object_get(state->call.body, "selection"), *value;
    const char *key;
    if (!json_is_object(object) || json_object_size(object) == 0)
        return refuse(operation, "selection must be an object with at least one of %s",
                      "customer, zone, account, issuer, profile, key, issued_since, issued_before, serials, "
                      "serial_list");
    json_object_foreach(object, key, value) {
        if (!is_member(key))
            return refuse(operation, "selection has no member %.60s", key);
    }
    if (!read_members(operation, object))
        return false;
    if (state->serial_count > 0 && state->selection.serials != NULL)
        return refuse(operation, "selection must have serials or a serial_list, not both");
    const char *issuer = state->selection.issuer;
    return issuer == NULL || admin_has_issuer(operation, issuer) ||
           admin_refuse_issuer(operation, ERROR_INVALID, issuer) != STEP_FAIL;
}

enum step_result admin_find_selected_customer(struct operation *operation) {
    struct selection_call *state = operation->state;
    if (state->customer == NULL)
        return STEP_DONE;
    store_find_customer(operation->worker->store, operation->arena, state->customer, &state->call.customer,
                        admin_done, operation);
    return STEP_WAIT;
}

/* A zone that is gone is found by its id: its certificates are there as long as they live. */
enum step_result admin_find_selected_zone(struct operation *operation) {
    struct selection_call *state = operation->state;
    state->selection.customer = state->call.customer.id;
    if (state->zone_name == NULL)
        return STEP_DONE;
    const char *name = admin_zone_key(operation, state->zone_name);
    if (name == NULL)
        return admin_refuse(operation, ERROR_INTERNAL, "out of memory");
    store_find_only_zone(operation->worker->store, operation->arena, name, state->call.customer.id,
                         &state->zone, admin_done, operation);
    return STEP_WAIT;
}

enum step_result admin_keep_serials(struct operation *operation) {
    struct selection_call *state = operation->state;
    state->selection.zone = state->zone.id;
    if (state->serial_count == 0)
        return STEP_DONE;
    bool is_new = state->selection.serials == NULL;
    if (is_new)
        state->selection.serials = random_hex(operation->arena, LIST_ID_BYTES);
    if (state->selection.serials == NULL)
        return admin_refuse(operation, ERROR_INTERNAL, "out of memory");
    store_add_serials(operation->worker->store, state->selection.serials, is_new, state->serials,
                      state->serial_count, &state->list_total, admin_done, operation);
    return STEP_WAIT;
}

static void count_page(struct operation *operation);

static void note_page(void *context, const struct error *error) {
    struct operation *operation = context;
    const struct selection_call *state = operation->state;
    if (error == NULL && state->selected.cursor != NULL)
        count_page(operation);
    else if (error == NULL && !check_profile(operation))
        operation_fail(operation, NULL);
    else
        admin_done(operation, error);
}

static void count_page(struct operation *operation) {
    struct selection_call *state = operation->state;
    store_count_selected(operation->worker->store, operation->arena, &state->selection, &state->selected,
                         note_page, operation);
}

enum step_result admin_count_selected(struct operation *operation) {
    count_page(operation);
    return STEP_WAIT;
}

static void set_text(json_t *json, const char *key, const char *text) {
    if (text != NULL && *text != '\0')
        json_object_set_new(json, key, json_string(text));
}

enum step_result admin_confirm_count(struct operation *operation, uint32_t confirmed) {
    struct selection_call *state = operation->state;
    uint64_t count = state->selected.count;
    if (count == 0)
        return admin_refuse(operation, ERROR_NOT_FOUND, "no valid certificate is selected");
    if (count != confirmed)
        return admin_refuse(operation, ERROR_CONFLICT, "%llu certificates are selected, not %u: look again",
                            (unsigned long long)count, confirmed);
    state->selection.cut_off = state->selected.cut_off;
    return STEP_DONE;
}

enum step_result admin_reply_dry_run(struct operation *operation) {
    const struct selection_call *state = operation->state;
    const struct store_selected *selected = &state->selected;
    admin_reply(operation, 200,
                json_pack("{s:b, s:I, s:I, s:o, s:o}", "dry_run", true, "count", (json_int_t)selected->count,
                          "cut_off", (json_int_t)selected->cut_off, "selection",
                          admin_selection_json(&state->selection), "sample",
                          admin_sample_json(selected->sample, selected->sample_count)));
    return STEP_REPLIED;
}

json_t *admin_selection_json(const struct store_selection *selection) {
    json_t *json = json_object();
    set_text(json, "customer", selection->customer);
    set_text(json, "zone", selection->zone);
    set_text(json, "account", selection->account);
    set_text(json, "issuer", selection->issuer);
    set_text(json, "profile", selection->profile);
    set_text(json, "key", selection->key);
    set_text(json, "serial_list", selection->serials);
    admin_set_time(json, "issued_since", selection->issued_since);
    admin_set_time(json, "issued_before", selection->issued_before);
    return json;
}

json_t *admin_sample_json(const struct store_certificate *items, size_t count) {
    json_t *array = json_array();
    for (size_t i = 0; i < count; i++) {
        uint8_t serial[SERIAL_BYTES];
        char decimal[SERIAL_DECIMAL_MAX] = "";
        if (hex_decode(items[i].serial, serial, sizeof serial))
            serial_to_decimal(serial, decimal);
        json_t *json = json_pack("{s:s, s:o, s:s, s:s}", "serial", decimal, "names",
                                 admin_strings(items[i].names, items[i].name_count), "issuer",
                                 items[i].issuer, "customer", items[i].customer);
        set_text(json, "account", items[i].account);
        admin_set_time(json, "not_after", items[i].not_after);
        json_array_append_new(array, json);
    }
    return array;
}
