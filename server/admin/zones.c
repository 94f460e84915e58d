/* Zones: adding (with the name servers to delegate to), checking, pausing, off-boarding. */
#include "internal.h"

#include "originca/names.h"

struct zone_state {
    struct admin_call call;
    struct store_zone zone, after;
    struct store_zone_list list;
    const struct dnscheck_result *result;
};

static json_t *zone_json(const struct store_zone *zone, bool with_evidence) {
    json_t *json = json_pack("{s:s, s:s, s:s, s:s, s:o}", "id", zone->id, "name", zone->name, "customer",
                             zone->customer, "status", store_zone_status_name(zone->status), "name_servers",
                             admin_strings(zone->name_servers, zone->name_server_count));
    admin_set_time(json, "created_at", zone->created_at);
    admin_set_time(json, "activated_at", zone->activated_at);
    admin_set_time(json, "checked_at", zone->checked_at);
    if (zone->negatives > 0)
        json_object_set_new(json, "negatives", json_integer(zone->negatives));
    if (zone->reason != NULL && *zone->reason != '\0')
        json_object_set_new(json, "reason", json_string(zone->reason));
    if (with_evidence)
        admin_set_document(json, "evidence", zone->evidence);
    return json;
}

static enum step_result create_zone(struct operation *operation) {
    struct zone_state *state = operation->state;
    const char *name = json_get_string(state->call.body, "name", &operation->error);
    char canonical[NAME_MAX_BYTES + 1];
    struct store_zone_candidates candidates;
    if (name == NULL || !name_check_zone(name, canonical, &operation->error)) {
        operation->error.code = ERROR_INVALID;
        return STEP_FAIL;
    }
    if (!zones_assign_name_servers(operation->arena, operation->worker->config, operation->worker->secrets,
                                   canonical, state->call.customer.id, &candidates, &operation->error))
        return STEP_FAIL;
    store_create_zone(operation->worker->store, operation->arena, canonical, state->call.customer.id,
                      &candidates, &state->zone, admin_done, operation);
    return STEP_WAIT;
}

static enum step_result find_zone(struct operation *operation) {
    struct zone_state *state = operation->state;
    const char *key = admin_zone_key(operation, operation->request->params[0]);
    if (key == NULL)
        return admin_refuse(operation, ERROR_INTERNAL, "out of memory");
    store_find_zone(operation->worker->store, operation->arena, key, state->call.customer.id, &state->zone,
                    admin_done, operation);
    return STEP_WAIT;
}

static void note_checked(void *context, const struct dnscheck_result *result) {
    struct operation *operation = context;
    ((struct zone_state *)operation->state)->result = result;
    operation_resume(operation);
}

static enum step_result check_dns(struct operation *operation) {
    struct zone_state *state = operation->state;
    const struct dnscheck_zone asked = {state->zone.name, state->zone.name_servers,
                                        state->zone.name_server_count, state->zone.foreign_parent};
    const struct dnscheck_request request = {.zones = &asked, .zone_count = 1};
    if (dnscheck_start(operation->worker->dnscheck, operation->arena, &request, note_checked, operation,
                       &operation->error) == NULL)
        return STEP_FAIL;
    return STEP_WAIT;
}

static enum step_result record_check(struct operation *operation) {
    struct zone_state *state = operation->state;
    const struct dnscheck_finding *finding = &state->result->zones[0];
    const char *evidence = json_to_text(operation->arena, state->result->evidence);
    if (state->result->zone_count != 1)
        return admin_refuse(operation, ERROR_INTERNAL, "the check gave no result");
    const struct store_zone_check check = {
        .zone_id = state->zone.id,
        .is_ok = finding->verdict == DNSCHECK_OK,
        .is_definite_no = finding->verdict == DNSCHECK_REFUSED,
        .reason = finding->text,
        .evidence = evidence == NULL ? "" : evidence,
        .checked_at = state->result->checked_at,
        .moved_after = operation->worker->config->zone_moved_after,
    };
    store_record_zone_check(operation->worker->store, operation->arena, &check, &state->after, admin_done,
                            operation);
    return STEP_WAIT;
}

static enum step_result reply_checked(struct operation *operation) {
    struct zone_state *state = operation->state;
    admin_reply(operation, 200, zone_json(&state->after, true));
    return STEP_REPLIED;
}

static enum step_result reply_created(struct operation *operation) {
    struct zone_state *state = operation->state;
    admin_reply(operation, 201, zone_json(&state->after, true));
    return STEP_REPLIED;
}

static const struct step create_steps[] = {
    {"read body", admin_read_body}, {"find customer", admin_find_body_customer},
    {"create zone", create_zone},   {"check DNS", check_dns},
    {"record check", record_check}, {"reply", reply_created}};
static const struct operation_kind create =
    OPERATION_KIND("create zone", create_steps, struct zone_state, admin_fail);

void admin_create_zone(struct http_request *request) {
    operation_start(request, &create);
}

static const struct step check_steps[] = {{"find customer", admin_find_query_customer},
                                          {"find zone", find_zone},
                                          {"check DNS", check_dns},
                                          {"record check", record_check},
                                          {"reply", reply_checked}};
static const struct operation_kind check =
    OPERATION_KIND("check zone", check_steps, struct zone_state, admin_fail);

void admin_check_zone(struct http_request *request) {
    operation_start(request, &check);
}

static enum step_result reply_zone(struct operation *operation) {
    struct zone_state *state = operation->state;
    admin_reply(operation, 200, zone_json(&state->zone, true));
    return STEP_REPLIED;
}

static const struct step show_steps[] = {
    {"find customer", admin_find_query_customer}, {"find zone", find_zone}, {"reply", reply_zone}};
static const struct operation_kind show =
    OPERATION_KIND("show zone", show_steps, struct zone_state, admin_fail);

void admin_show_zone(struct http_request *request) {
    operation_start(request, &show);
}

static enum step_result list_zones(struct operation *operation) {
    struct zone_state *state = operation->state;
    uint32_t limit;
    if (!admin_read_limit(operation, &limit))
        return STEP_FAIL;
    store_list_zones(operation->worker->store, operation->arena, state->call.customer.id,
                     http_query_parameter(operation->request, "cursor"), limit, &state->list, admin_done,
                     operation);
    return STEP_WAIT;
}

static enum step_result reply_list(struct operation *operation) {
    struct zone_state *state = operation->state;
    json_t *items = json_array(), *json;
    for (size_t i = 0; i < state->list.count; i++)
        json_array_append_new(items, zone_json(&state->list.items[i], false));
    json = json_pack("{s:o}", "items", items);
    admin_set_cursor(json, state->list.next_cursor);
    admin_reply(operation, 200, json);
    return STEP_REPLIED;
}

static const struct step list_steps[] = {
    {"find customer", admin_find_query_customer}, {"list zones", list_zones}, {"reply", reply_list}};
static const struct operation_kind list =
    OPERATION_KIND("list zones", list_steps, struct zone_state, admin_fail);

void admin_list_zones(struct http_request *request) {
    operation_start(request, &list);
}

static enum step_result pause_zone(struct operation *operation) {
    struct zone_state *state = operation->state;
    store_set_zone_paused(operation->worker->store, operation->arena, state->zone.id,
                          operation->request->route->data != NULL, &state->zone, admin_done, operation);
    return STEP_WAIT;
}

static const struct step pause_steps[] = {{"find customer", admin_find_query_customer},
                                          {"find zone", find_zone},
                                          {"pause zone", pause_zone},
                                          {"reply", reply_zone}};
static const struct operation_kind pause_kind =
    OPERATION_KIND("pause zone", pause_steps, struct zone_state, admin_fail);

void admin_pause_zone(struct http_request *request) {
    operation_start(request, &pause_kind);
}

static enum step_result delete_zone(struct operation *operation) {
    struct zone_state *state = operation->state;
    store_delete_zone(operation->worker->store, state->zone.id, admin_done, operation);
    return STEP_WAIT;
}

static enum step_result reply_deleted(struct operation *operation) {
    struct zone_state *state = operation->state;
    state->zone.status = ZONE_DELETED;
    admin_reply(operation, 200, zone_json(&state->zone, false));
    return STEP_REPLIED;
}

static const struct step delete_steps[] = {{"find customer", admin_find_query_customer},
                                           {"find zone", find_zone},
                                           {"delete zone", delete_zone},
                                           {"reply", reply_deleted}};
static const struct operation_kind delete_kind =
    OPERATION_KIND("delete zone", delete_steps, struct zone_state, admin_fail);

void admin_delete_zone(struct http_request *request) {
    operation_start(request, &delete_kind);
}
