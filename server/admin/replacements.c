/* Mass replacement: the renewal information of many certificates asks for them before their time (RFC 9773),
 * and who has come. */
#include "selection.h"

#include "originca/url.h"

#define REPLACEMENT_ID_BYTES 16
#define PAST_SECONDS 3600 /* that a start may have passed: of a command that waited for its confirmation */
#define OVER_MAX (366u * 86400)

struct replacement_state {
    struct selection_call selection; /* first */
    struct store_replacement replacement;
    struct store_replacement_list list;
    struct store_replacement_progress progress;
    bool is_dry_run, is_confirmed;
    uint32_t confirmed;
};

static json_t *replacement_json(const struct store_replacement *replacement) {
    bool has_ended = replacement->ends_at <= time(NULL);
    json_t *json = json_pack("{s:s, s:s, s:o, s:I, s:I, s:s}", "id", replacement->id, "state",
                             replacement->cancelled_at != 0 ? "cancelled"
                             : has_ended                    ? "ended"
                                                            : "running",
                             "selection", admin_selection_json(&replacement->selection), "over_seconds",
                             (json_int_t)replacement->over_seconds, "total", (json_int_t)replacement->total,
                             "by", replacement->by);
    admin_set_time(json, "created_at", replacement->created_at);
    admin_set_time(json, "starts_at", replacement->starts_at);
    admin_set_time(json, "cancelled_at", replacement->cancelled_at);
    if (replacement->explanation_url != NULL && *replacement->explanation_url != '\0')
        json_object_set_new(json, "explanation_url", json_string(replacement->explanation_url));
    return json;
}

static bool read_url(struct operation *operation, const json_t *body, const char **out) {
    const json_t *value = json_object_get(body, "explanation_url");
    const char *text = json_string_value(value);
    bool is_http = text != NULL && (strncmp(text, "https://", 8) == 0 || strncmp(text, "http://", 7) == 0);
    *out = "";
    if (value == NULL)
        return true;
    for (const char *c = text; is_http && *c != '\0'; c++)
        is_http = *c > ' ' && *c < 0x7f && *c != '"' && *c != '\\';
    if (!is_http || strlen(text) > 500) {
        (void)admin_refuse(operation, ERROR_INVALID, "explanation_url must be an http or https URL");
        return false;
    }
    *out = arena_strdup(operation->arena, text);
    return *out != NULL;
}

/* One long past would have all renewed at once, whatever they were to be spread over. */
static bool is_start_good(struct operation *operation, time_t starts_at) {
    if (starts_at + PAST_SECONDS >= time(NULL))
        return true;
    (void)admin_refuse(operation, ERROR_INVALID, "starts_at has passed; leave it out to begin now");
    return false;
}

static enum step_result read_wish(struct operation *operation) {
    struct replacement_state *state = operation->state;
    const json_t *body = state->selection.call.body, *dry = json_object_get(body, "dry_run");
    struct store_replacement *replacement = &state->replacement;
    replacement->starts_at = time(NULL);
    if (dry != NULL && !json_is_boolean(dry))
        return admin_refuse(operation, ERROR_INVALID, "dry_run must be true or false");
    state->is_dry_run = json_is_true(dry);
    state->is_confirmed = json_object_get(body, "confirm") != NULL;
    if (!state->is_dry_run && json_object_get(body, "over_seconds") == NULL)
        return admin_refuse(operation, ERROR_INVALID,
                            "over_seconds is needed: over how long the renewals are spread");
    if (!admin_read_number(operation, "over_seconds", 0, OVER_MAX, &replacement->over_seconds) ||
        !admin_read_number(operation, "confirm", 0, UINT32_MAX, &state->confirmed) ||
        !admin_read_time(operation, body, "starts_at", &replacement->starts_at) ||
        !is_start_good(operation, replacement->starts_at) ||
        !read_url(operation, body, &replacement->explanation_url) || !admin_read_selection(operation))
        return STEP_FAIL;
    return operation_forget_request(operation);
}

static enum step_result reply_dry_run(struct operation *operation) {
    const struct replacement_state *state = operation->state;
    return state->is_dry_run ? admin_reply_dry_run(operation) : STEP_DONE;
}

static enum step_result create(struct operation *operation) {
    struct replacement_state *state = operation->state;
    struct store_replacement *replacement = &state->replacement;
    uint32_t count = (uint32_t)state->selection.selected.count;
    if (admin_confirm_count(operation, state->is_confirmed ? state->confirmed : count) == STEP_FAIL)
        return STEP_FAIL;
    if (replacement->starts_at >= state->selection.selected.last_end)
        return admin_refuse(operation, ERROR_INVALID,
                            "starts_at is past the end of the last of these certificates");
    replacement->id = random_hex(operation->arena, REPLACEMENT_ID_BYTES);
    if (replacement->id == NULL)
        return admin_refuse(operation, ERROR_INTERNAL, "out of memory");
    replacement->by = admin_by(operation);
    replacement->selection = state->selection.selection;
    replacement->total = state->selection.selected.count;
    replacement->ends_at = state->selection.selected.last_end;
    store_create_replacement(operation->worker->store, replacement, admin_done, operation);
    return STEP_WAIT;
}

static enum step_result load_created(struct operation *operation) {
    struct replacement_state *state = operation->state;
    store_load_replacement(operation->worker->store, operation->arena, state->replacement.id,
                           &state->replacement, admin_done, operation);
    return STEP_WAIT;
}

static enum step_result reply_created(struct operation *operation) {
    const struct replacement_state *state = operation->state;
    admin_reply(operation, 201, replacement_json(&state->replacement));
    return STEP_REPLIED;
}

static const struct step create_steps[] = {{"read body", admin_read_body},
                                           {"read selection", read_wish},
                                           {"find customer", admin_find_selected_customer},
                                           {"find zone", admin_find_selected_zone},
                                           {"keep serials", admin_keep_serials},
                                           {"count", admin_count_selected},
                                           {"reply to a dry run", reply_dry_run},
                                           {"create", create},
                                           {"load", load_created},
                                           {"reply", reply_created}};
static const struct operation_kind create_kind =
    OPERATION_KIND("replace certificates", create_steps, struct replacement_state, admin_fail);

void admin_create_replacement(struct http_request *request) {
    operation_start(request, &create_kind);
}

/* --- reading and ending --- */

static enum step_result load(struct operation *operation) {
    struct replacement_state *state = operation->state;
    store_load_replacement(operation->worker->store, operation->arena, operation->request->params[0],
                           &state->replacement, admin_done, operation);
    return STEP_WAIT;
}

static void measure_page(struct operation *operation);

static void note_page(void *context, const struct error *error) {
    struct operation *operation = context;
    const struct replacement_state *state = operation->state;
    if (error != NULL || state->progress.cursor == NULL)
        admin_done(operation, error);
    else
        measure_page(operation);
}

static void measure_page(struct operation *operation) {
    struct replacement_state *state = operation->state;
    store_page_replacement(operation->worker->store, operation->arena, state->replacement.id, false, 1,
                           &state->progress, note_page, operation);
}

static enum step_result measure(struct operation *operation) {
    measure_page(operation);
    return STEP_WAIT;
}

static enum step_result reply_measured(struct operation *operation) {
    const struct replacement_state *state = operation->state;
    json_t *json = replacement_json(&state->replacement);
    json_object_set_new(json, "replaced", json_integer((json_int_t)state->progress.replaced));
    json_object_set_new(json, "waiting", json_integer((json_int_t)state->progress.waiting));
    json_object_set_new(json, "ended", json_integer((json_int_t)state->progress.ended));
    admin_reply(operation, 200, json);
    return STEP_REPLIED;
}

static const struct step show_steps[] = {
    {"require Redis", admin_require_ready}, {"load", load}, {"measure", measure}, {"reply", reply_measured}};
static const struct operation_kind show_kind =
    OPERATION_KIND("show replacement", show_steps, struct replacement_state, admin_fail);

void admin_show_replacement(struct http_request *request) {
    operation_start(request, &show_kind);
}

static enum step_result load_waiting(struct operation *operation) {
    struct replacement_state *state = operation->state;
    uint32_t limit;
    if (!admin_read_limit(operation, &limit))
        return STEP_FAIL;
    state->progress.cursor = http_query_parameter(operation->request, "cursor");
    store_page_replacement(operation->worker->store, operation->arena, operation->request->params[0], true,
                           limit, &state->progress, admin_done, operation);
    return STEP_WAIT;
}

static enum step_result reply_waiting(struct operation *operation) {
    const struct replacement_state *state = operation->state;
    json_t *json =
        json_pack("{s:o}", "items", admin_sample_json(state->progress.items, state->progress.count));
    admin_set_cursor(json, state->progress.cursor);
    admin_reply(operation, 200, json);
    return STEP_REPLIED;
}

static const struct step waiting_steps[] = {
    {"require Redis", admin_require_ready}, {"load", load_waiting}, {"reply", reply_waiting}};
static const struct operation_kind waiting_kind =
    OPERATION_KIND("list who has not replaced", waiting_steps, struct replacement_state, admin_fail);

void admin_list_waiting(struct http_request *request) {
    operation_start(request, &waiting_kind);
}

static enum step_result cancel(struct operation *operation) {
    struct replacement_state *state = operation->state;
    store_cancel_replacement(operation->worker->store, operation->arena, operation->request->params[0],
                             admin_by(operation), &state->replacement, admin_done, operation);
    return STEP_WAIT;
}

static enum step_result reply_one(struct operation *operation) {
    const struct replacement_state *state = operation->state;
    admin_reply(operation, 200, replacement_json(&state->replacement));
    return STEP_REPLIED;
}

static const struct step cancel_steps[] = {
    {"require Redis", admin_require_ready}, {"cancel", cancel}, {"reply", reply_one}};
static const struct operation_kind cancel_kind =
    OPERATION_KIND("cancel replacement", cancel_steps, struct replacement_state, admin_fail);

void admin_cancel_replacement(struct http_request *request) {
    operation_start(request, &cancel_kind);
}

static enum step_result list(struct operation *operation) {
    struct replacement_state *state = operation->state;
    uint32_t limit;
    if (!admin_read_limit(operation, &limit))
        return STEP_FAIL;
    store_list_replacements(operation->worker->store, operation->arena,
                            http_query_parameter(operation->request, "cursor"), limit, &state->list,
                            admin_done, operation);
    return STEP_WAIT;
}

static enum step_result reply_list(struct operation *operation) {
    const struct replacement_state *state = operation->state;
    json_t *items = json_array(), *json;
    for (size_t i = 0; i < state->list.count; i++)
        json_array_append_new(items, replacement_json(&state->list.items[i]));
    json = json_pack("{s:o}", "items", items);
    admin_set_cursor(json, state->list.next_cursor);
    admin_reply(operation, 200, json);
    return STEP_REPLIED;
}

static const struct step list_steps[] = {
    {"require Redis", admin_require_ready}, {"list", list}, {"reply", reply_list}};
static const struct operation_kind list_kind =
    OPERATION_KIND("list replacements", list_steps, struct replacement_state, admin_fail);

void admin_list_replacements(struct http_request *request) {
    operation_start(request, &list_kind);
}
