/* Zones: adding (with the name servers to delegate to), checking, pausing, off-boarding. */
#include "internal.h"

#include "originca/names.h"

#define ZONE_ID_BYTES 16

struct zone_state {
    struct admin_call call;
    struct store_zone zone, after;
    struct store_zone_list list;
    const struct dnscheck_result *result;
    struct store_name_server_pool pool; /* for a new zone */
    struct store_delegation delegation;
    struct rights rights;
    struct error problem;          /* why Redis did not take what the ledger says */
    char name[NAME_MAX_BYTES + 1]; /* of a new zone, canonical */
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

static enum step_result find_zone(struct operation *operation) {
    struct zone_state *state = operation->state;
    const char *key = admin_zone_key(operation, http_path_parameter(operation->request, 0));
    if (key == NULL)
        return admin_refuse(operation, ERROR_INTERNAL, "out of memory");
    store_find_zone(operation->worker->store, operation->arena, key, state->call.customer.id, &state->zone,
                    admin_done, operation);
    return STEP_WAIT;
}

static void note_checked(void *context, const struct dnscheck_result *result) {
    struct operation *operation = context;
    ((struct zone_state *)operation->state)->result = result;
    if (worker_link_is_unanswered(result, &operation->error))
        operation_fail(operation, NULL);
    else
        operation_resume(operation);
}

static enum step_result start_check(struct operation *operation, const struct dnscheck_zone *asked) {
    const struct dnscheck_request request = {.zones = asked, .zone_count = 1};
    if (worker_link_check(operation->worker->link, operation->arena, &request, LINK_OWN_VIEW, note_checked,
                          operation, &operation->error) == NULL)
        return STEP_FAIL;
    return STEP_WAIT;
}

static enum step_result check_dns(struct operation *operation) {
    struct zone_state *state = operation->state;
    const struct dnscheck_zone asked = zones_asked(&state->zone);
    return start_check(operation, &asked);
}

static void note_absent(void *context, const struct error *error) {
    struct operation *operation = context;
    if (error == NULL) {
        admin_refuse(operation, ERROR_CONFLICT, "the customer has this zone already");
        operation_fail(operation, NULL);
    } else if (error->code != ERROR_NOT_FOUND) {
        operation_fail(operation, error);
    } else {
        operation_resume(operation);
    }
}

/* Before DNS is asked: an import that is run again passes over what exists. */
static enum step_result require_absence(struct operation *operation) {
    struct zone_state *state = operation->state;
    const char *name = json_get_string(state->call.body, "name", &operation->error);
    if (name == NULL || !name_check_zone(name, state->name, &operation->error)) {
        operation->error.code = ERROR_INVALID;
        return STEP_FAIL;
    }
    operation_forget_request(operation);
    store_find_zone(operation->worker->store, operation->arena, state->name, state->call.customer.id,
                    &state->zone, note_absent, operation);
    return STEP_WAIT;
}

static enum step_result find_above(struct operation *operation) {
    struct zone_state *state = operation->state;
    store_zones_above(operation->worker->store, operation->arena, state->name, state->call.customer.id,
                      &state->zone, admin_done, operation);
    return STEP_WAIT;
}

/* What a new zone is delegated to, before it is assigned name servers. */
static enum step_result look_at_delegation(struct operation *operation) {
    return check_dns(operation);
}

/* What Redis would refuse is asked before the ledger says that there is a zone. */
static enum step_result plan_zone(struct operation *operation) {
    struct zone_state *state = operation->state;
    if (state->result->zone_count != 1)
        return admin_refuse(operation, ERROR_INTERNAL, "the look at the delegation gave no result");
    state->delegation = zones_delegation(&state->result->zones[0]);
    if (!zones_order_name_servers(operation->arena, operation->worker->config, operation->worker->secrets,
                                  state->name, state->call.customer.id, &state->pool, &operation->error))
        return STEP_FAIL;
    store_plan_zone(operation->worker->store, operation->arena, state->name, state->call.customer.id,
                    &state->pool, &state->delegation, &state->zone, admin_done, operation);
    return STEP_WAIT;
}

static enum step_result record_zone(struct operation *operation) {
    struct zone_state *state = operation->state;
    const char *id = random_hex(operation->arena, ZONE_ID_BYTES);
    struct signer_change *change = rights_add(&state->rights, "zone-added", id, admin_by(operation));
    if (id == NULL || change == NULL)
        return admin_refuse(operation, ERROR_INTERNAL, "out of memory");
    change->name = state->name;
    change->customer = state->call.customer.id;
    return admin_record_rights(operation, &state->rights);
}

static void note_taken_back(void *context, const struct error *error) {
    struct operation *operation = context;
    struct zone_state *state = operation->state;
    if (error != NULL)
        log_event(LOG_LEVEL_WARNING, "the ledger keeps a zone that was not made", "zone", state->name,
                  "reason", error->message, NULL);
    operation_fail(operation, &state->problem);
}

/* Refused after all: somebody else was quicker since it was planned. The ledger's zone ends at once. */
static void note_created(void *context, const struct error *error) {
    struct operation *operation = context;
    struct zone_state *state = operation->state;
    if (error == NULL || error->code == ERROR_UNKNOWN || error->code == ERROR_UNAVAILABLE) {
        admin_done(context, error);
        return;
    }
    const char *id = state->rights.changes[0].subject;
    state->problem = *error;
    rights_clear(&state->rights);
    rights_add(&state->rights, "zone-ended", id, admin_by(operation));
    rights_record(&state->rights, operation->worker, operation->worker->operator_signer, note_taken_back,
                  operation);
}

static enum step_result create_zone(struct operation *operation) {
    struct zone_state *state = operation->state;
    store_create_zone(operation->worker->store, operation->arena, state->name, state->call.customer.id,
                      &state->pool, &state->delegation, &state->zone, state->rights.given, note_created,
                      operation);
    return STEP_WAIT;
}

/* The look is the check of a zone that is delegated to none of its name servers: only its advice is another.
 */
static enum step_result check_new(struct operation *operation) {
    struct zone_state *state = operation->state;
    struct dnscheck_finding *finding =
        arena_copy(operation->arena, &state->result->zones[0], sizeof *finding);
    struct dnscheck_result *result = arena_copy(operation->arena, state->result, sizeof *result);
    if (finding == NULL || result == NULL)
        return admin_refuse(operation, ERROR_INTERNAL, "out of memory");
    const struct store_delegation delegation = zones_delegation(finding);
    if (zones_delegation_meets(&delegation, &state->zone))
        return check_dns(operation);
    finding->text = zones_advice(operation->arena, &state->zone, finding);
    json_object_set_new(json_array_get(json_object_get(result->evidence, "zones"), 0), "text",
                        json_string(finding->text));
    result->zones = finding;
    state->result = result;
    return STEP_DONE;
}

static enum step_result record_check(struct operation *operation) {
    struct zone_state *state = operation->state;
    if (state->result->zone_count != 1)
        return admin_refuse(operation, ERROR_INTERNAL, "the check gave no result");
    const struct dnscheck_finding *finding = &state->result->zones[0];
    const char *evidence = json_to_text(operation->arena, state->result->evidence);
    const struct store_zone_check check = {
        .zone_id = state->zone.id,
        .is_ok = finding->verdict == DNSCHECK_OK,
        .is_definite_no = dnscheck_is_definite_no(finding),
        .is_inferred = finding->verdict != DNSCHECK_REFUSED,
        .reason = finding->text,
        .evidence = evidence == NULL ? "" : evidence,
        .checked_at = state->result->checked_at,
        .moved_after = operation->worker->config->zone_moved_after,
        .delegation = zones_delegation(finding),
    };
    rights_record_zone_check(operation->worker, operation->worker->operator_signer, operation->arena, &check,
                             &state->after, admin_done, operation);
    return STEP_WAIT;
}

/* With what the zone is delegated to now and what to do about it. */
static void reply_with_delegation(struct operation *operation, unsigned status) {
    struct zone_state *state = operation->state;
    const struct dnscheck_finding *finding = &state->result->zones[0];
    json_t *json = zone_json(&state->after, true);
    json_object_set_new(json, "delegation",
                        json_pack("{s:s, s:o, s:s}", "status", finding->reason, "name_servers",
                                  admin_strings(finding->delegated_to, finding->delegated_to_count), "text",
                                  finding->text));
    admin_reply(operation, status, json);
}

static enum step_result reply_checked(struct operation *operation) {
    reply_with_delegation(operation, 200);
    return STEP_REPLIED;
}

static enum step_result reply_created(struct operation *operation) {
    reply_with_delegation(operation, 201);
    return STEP_REPLIED;
}

static const struct step create_steps[] = {{"read body", admin_read_body},
                                           {"require secrets", admin_require_secrets},
                                           {"find customer", admin_find_body_customer},
                                           {"require absence", require_absence},
                                           {"find zones above", find_above},
                                           {"look at delegation", look_at_delegation},
                                           {"plan zone", plan_zone},
                                           {"record zone", record_zone},
                                           {"create zone", create_zone},
                                           {"check DNS", check_new},
                                           {"record check", record_check},
                                           {"reply", reply_created}};
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

static bool is_to_pause(const struct operation *operation) {
    return ((const struct admin_route *)operation->request->route->data)->is_stop;
}

static enum step_result record_pause(struct operation *operation) {
    struct zone_state *state = operation->state;
    bool is_so = (state->zone.status == ZONE_PAUSED) == is_to_pause(operation);
    if (state->zone.status == ZONE_DELETED || (is_so && admin_may_trust_redis(operation)))
        return STEP_DONE;
    struct signer_change *change =
        rights_add(&state->rights, is_to_pause(operation) ? "zone-paused" : "zone-resumed", state->zone.id,
                   admin_by(operation));
    rights_set_after(change, state->zone.right_at_ms);
    return admin_record_rights(operation, &state->rights);
}

static enum step_result pause_zone(struct operation *operation) {
    struct zone_state *state = operation->state;
    if (state->zone.status == ZONE_DELETED)
        return admin_refuse(operation, ERROR_NOT_FOUND, "no such zone");
    if (state->rights.count == 0) /* it is so already */
        return STEP_DONE;
    store_set_zone_paused(operation->worker->store, operation->arena, state->zone.id, is_to_pause(operation),
                          &state->zone, state->rights.given, admin_done_recorded, operation);
    return STEP_WAIT;
}

static const struct step pause_steps[] = {{"find customer", admin_find_query_customer},
                                          {"find zone", find_zone},
                                          {"record pause", record_pause},
                                          {"pause zone", pause_zone},
                                          {"reply", reply_zone}};
static const struct operation_kind pause_kind =
    OPERATION_KIND("pause zone", pause_steps, struct zone_state, admin_fail);

void admin_pause_zone(struct http_request *request) {
    operation_start(request, &pause_kind);
}

static enum step_result record_end(struct operation *operation) {
    struct zone_state *state = operation->state;
    if (state->zone.status == ZONE_DELETED)
        return STEP_DONE;
    rights_add(&state->rights, "zone-ended", state->zone.id, admin_by(operation));
    return admin_record_rights(operation, &state->rights);
}

static enum step_result delete_zone(struct operation *operation) {
    struct zone_state *state = operation->state;
    store_delete_zone(operation->worker->store, state->zone.id,
                      state->rights.count == 0 ? NULL : state->rights.given,
                      state->rights.count == 0 ? admin_done : admin_done_recorded, operation);
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
                                           {"record end", record_end},
                                           {"delete zone", delete_zone},
                                           {"reply", reply_deleted}};
static const struct operation_kind delete_kind =
    OPERATION_KIND("delete zone", delete_steps, struct zone_state, admin_fail);

void admin_delete_zone(struct http_request *request) {
    operation_start(request, &delete_kind);
}
