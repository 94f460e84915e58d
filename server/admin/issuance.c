/* Stopping issuance and letting it go on, for everybody or by an issuer, and what is stopped at all
 * (doc/rights.md, "Stops"). The ledger has it first; what Redis does not take now, the fence replays into it.
 * So issuance can be stopped at this host whatever else is broken, as its signer knows it already; but
 * whoever says it is told ERROR_PENDING, because other hosts that have Redis go on. Each allows what it names
 * and nothing else. Customers and zones have calls of their own (customers.c, zones.c). */
#include "internal.h"

#include "originca/stops.h"

struct issuance_state {
    struct admin_call call;
    const char *issuer; /* or STORE_EVERY_ISSUER */
    bool is_to_stop, is_of_host /* its signer alone */, is_loaded /* `list` is what Redis has */;
    struct store_stop_list list;
    struct rights rights;
    struct signer_status signer;
    struct error signer_problem; /* why it is not known whether this host's signer is stopped */
};

static bool is_global(const struct issuance_state *state) {
    return strcmp(state->issuer, STORE_EVERY_ISSUER) == 0;
}

/* --- what is asked --- */

static enum step_result read_signing(struct operation *operation) {
    struct issuance_state *state = operation->state;
    const struct bytes body = operation->request->body;
    const char *only;
    const json_t *json = json_parse(operation->reading, body.data, body.length, &operation->error);
    if (json == NULL || !admin_check_members(operation->request, json, &operation->error))
        return STEP_FAIL;
    const json_t *allowed = json_object_get(json, "allowed");
    if (!json_is_boolean(allowed))
        return admin_refuse(operation, ERROR_INVALID, "\"allowed\" must be true or false");
    if (!json_get_optional_string(json, "only", &only, &operation->error))
        return STEP_FAIL;
    if (only != NULL && strcmp(only, "this-host") != 0)
        return admin_refuse(operation, ERROR_INVALID, "\"only\" must be \"this-host\", or be left out");
    state->issuer = STORE_EVERY_ISSUER;
    state->is_to_stop = json_is_false(allowed);
    state->is_of_host = only != NULL;
    return operation_forget_request(operation);
}

/* One that is not configured any more can still be allowed. */
static enum step_result read_path(struct operation *operation) {
    struct issuance_state *state = operation->state;
    const char *name = operation->request->params[0];
    state->is_to_stop = ((const struct admin_route *)operation->request->route->data)->is_stop;
    state->issuer = name == NULL ? STORE_EVERY_ISSUER : name;
    if (name != NULL && state->is_to_stop && !admin_has_issuer(operation, name))
        return admin_refuse_issuer(operation, ERROR_NOT_FOUND, name);
    return STEP_DONE;
}

/* --- the signer of this host alone --- */

/* Only where it was named: who allows issuance for everybody need not know why this host was taken out. */
static enum step_result set_signer(struct operation *operation) {
    struct issuance_state *state = operation->state;
    if (!state->is_of_host)
        return STEP_DONE;
    signer_set_signing(operation->worker->operator_signer, !state->is_to_stop, admin_by(operation),
                       admin_done, operation);
    return STEP_WAIT;
}

static void note_signer(void *context, const struct error *error) {
    struct operation *operation = context;
    struct issuance_state *state = operation->state;
    if (error != NULL)
        state->signer_problem = *error;
    else if (!state->signer.is_ledger_read)
        error_set(&state->signer_problem, ERROR_UNAVAILABLE, "%s", state->signer.reason);
    operation_resume(operation);
}

static enum step_result ask_signer(struct operation *operation) {
    struct issuance_state *state = operation->state;
    signer_get_status(operation->worker->operator_signer, &state->signer, note_signer, operation);
    return STEP_WAIT;
}

/* --- the stop --- */

static void note_stops(void *context, const struct error *error) {
    struct operation *operation = context;
    struct issuance_state *state = operation->state;
    state->is_loaded = error == NULL;
    operation_resume(operation);
}

static enum step_result load_stops(struct operation *operation) {
    struct issuance_state *state = operation->state;
    if (state->is_of_host)
        return STEP_DONE;
    store_load_stops(operation->worker->store, operation->arena, 0, &state->list, note_stops, operation);
    return STEP_WAIT;
}

/* For what it stops or allows; what goes on to stop beside this host's signer is told where Redis is there.
 */
static enum step_result load_again(struct operation *operation) {
    struct issuance_state *state = operation->state;
    if (!state->is_of_host)
        return load_stops(operation);
    if (state->is_to_stop)
        return STEP_DONE;
    store_load_stops(operation->worker->store, operation->arena, 0, &state->list, note_stops, operation);
    return STEP_WAIT;
}

static const struct store_stop *known_word(const struct issuance_state *state) {
    for (size_t i = 0; i < state->list.count; i++) {
        const struct store_stop *stop = &state->list.items[i];
        bool is_about_issuers = strcmp(stop->of, "global") == 0 || strcmp(stop->of, "issuer") == 0;
        if (is_about_issuers && strcmp(is_global(state) ? "" : state->issuer, stop->id) == 0)
            return stop;
    }
    return NULL;
}

static enum step_result record_stop(struct operation *operation) {
    struct issuance_state *state = operation->state;
    const struct store_stop *known = known_word(state);
    bool is_so = (known != NULL && known->is_stopped) == state->is_to_stop;
    if (state->is_of_host || (state->is_loaded && is_so && admin_may_trust_redis(operation)))
        return STEP_DONE;
    const char *kind = is_global(state) ? (state->is_to_stop ? "issuance-stopped" : "issuance-allowed")
                                        : (state->is_to_stop ? "issuer-stopped" : "issuer-allowed");
    struct signer_change *change =
        rights_add(&state->rights, kind, is_global(state) ? NULL : state->issuer, admin_by(operation));
    rights_set_after(change, known == NULL ? 0 : known->since_ms);
    return admin_record_rights(operation, &state->rights);
}

static enum step_result tell_redis(struct operation *operation) {
    struct issuance_state *state = operation->state;
    if (state->rights.count == 0)
        return STEP_DONE;
    store_set_issuer_stopped(operation->worker->store, state->issuer, state->is_to_stop, state->rights.given,
                             admin_done_recorded, operation);
    return STEP_WAIT;
}

/* --- what stops it --- */

static json_t *stop_json(const struct store_stop *stop) {
    json_t *json = json_pack("{s:s}", "of", stop->of);
    if (*stop->id != '\0')
        json_object_set_new(json, "id", json_string(stop->id));
    if (*stop->name != '\0')
        json_object_set_new(json, "name", json_string(stop->name));
    admin_set_time(json, "since", (time_t)(stop->since_ms / 1000));
    if (*stop->by != '\0')
        json_object_set_new(json, "by", json_string(stop->by));
    return json;
}

/* This host's signer is a stop beside those that Redis has. */
static json_t *stops_json(const struct operation *operation) {
    const struct issuance_state *state = operation->state;
    json_t *items = json_array();
    for (size_t i = 0; i < state->list.count; i++)
        if (state->list.items[i].is_stopped)
            json_array_append_new(items, stop_json(&state->list.items[i]));
    if (state->signer_problem.code == ERROR_NONE && !state->signer.is_signing_allowed)
        json_array_append_new(
            items, json_pack("{s:s, s:s}", "of", "this-host", "name", operation->worker->config->host_name));
    return items;
}

static void add_count(json_t *json, const char *what, uint64_t count) {
    if (count > 0)
        json_object_set_new(json, what, json_integer((json_int_t)count));
}

/* Who allows something is told what he has not named and what goes on to stop. */
static void add_remaining(json_t *json, const struct operation *operation) {
    const struct issuance_state *state = operation->state;
    json_t *items = stops_json(operation), *still = json_object();
    if (json_array_size(items) > 0)
        json_object_set(still, "items", items);
    json_decref(items);
    add_count(still, "customers", state->list.customers);
    add_count(still, "zones", state->list.zones);
    if (json_object_size(still) > 0)
        json_object_set(json, "still_stopped", still);
    json_decref(still);
}

static enum step_result ask_what_remains(struct operation *operation) {
    const struct issuance_state *state = operation->state;
    return state->is_to_stop ? STEP_DONE : ask_signer(operation);
}

/* --- the answer --- */

static enum step_result reply_stop(struct operation *operation) {
    struct issuance_state *state = operation->state;
    struct worker *worker = operation->worker;
    json_t *json = strcmp(operation->request->path, "/admin/v1/signing") == 0
                       ? json_pack("{s:b}", "allowed", !state->is_to_stop)
                   : is_global(state)
                       ? json_pack("{s:b}", "stopped", state->is_to_stop)
                       : json_pack("{s:s, s:b}", "issuer", state->issuer, "stopped", state->is_to_stop);
    if (state->is_of_host)
        json_object_set_new(json, "only", json_string("this-host"));
    else if (state->is_loaded)
        stops_note(worker, &state->list);
    if (!state->is_to_stop)
        add_remaining(json, operation);
    admin_reply(operation, 200, json);
    return STEP_REPLIED;
}

#define STOP_STEPS                                                                                           \
    {"set signer", set_signer}, {"load stops", load_stops}, {"record stop", record_stop},                    \
        {"tell Redis", tell_redis}, {"load stops again", load_again}, {"ask signer", ask_what_remains}, {    \
        "reply", reply_stop                                                                                  \
    }

static const struct step signing_steps[] = {{"read signing", read_signing}, STOP_STEPS};
static const struct operation_kind signing =
    OPERATION_KIND("signing", signing_steps, struct issuance_state, admin_fail);

void admin_set_signing(struct http_request *request) {
    operation_start(request, &signing);
}

static const struct step stop_steps[] = {{"read path", read_path}, STOP_STEPS};
static const struct operation_kind stop_kind =
    OPERATION_KIND("stop issuance", stop_steps, struct issuance_state, admin_fail);

void admin_stop_issuance(struct http_request *request) {
    operation_start(request, &stop_kind);
}

/* --- what is stopped --- */

static enum step_result list_stops(struct operation *operation) {
    struct issuance_state *state = operation->state;
    uint32_t limit;
    if (!admin_read_limit(operation, &limit))
        return STEP_FAIL;
    store_load_stops(operation->worker->store, operation->arena, limit, &state->list, admin_done, operation);
    return STEP_WAIT;
}

static bool is_stopped_for_everybody(const struct store_stop_list *list) {
    for (size_t i = 0; i < list->count; i++)
        if (list->items[i].is_stopped && strcmp(list->items[i].of, "global") == 0)
            return true;
    return false;
}

static enum step_result reply_stops(struct operation *operation) {
    struct issuance_state *state = operation->state;
    json_t *json = json_pack("{s:b, s:I, s:I, s:o}", "stopped", is_stopped_for_everybody(&state->list),
                             "customers", (json_int_t)state->list.customers, "zones",
                             (json_int_t)state->list.zones, "items", stops_json(operation));
    if (state->signer_problem.code != ERROR_NONE)
        json_object_set_new(json, "signer_unknown", json_string(state->signer_problem.message));
    admin_reply(operation, 200, json);
    return STEP_REPLIED;
}

static const struct step list_steps[] = {{"require Redis", admin_require_ready},
                                         {"list stops", list_stops},
                                         {"ask signer", ask_signer},
                                         {"reply", reply_stops}};
static const struct operation_kind show =
    OPERATION_KIND("show issuance", list_steps, struct issuance_state, admin_fail);

void admin_show_issuance(struct http_request *request) {
    operation_start(request, &show);
}
