/* Revoking many certificates: a dry run, a job that is made only by the count that the dry run showed, and
 * what became of it. The work is done elsewhere (server/bulk.c), whichever host has time. */
#include "originca/bulk_plan.h"
#include "originca/bulk_seal.h"
#include "originca/revocation.h"
#include "selection.h"

#define JOB_ID_BYTES 16

struct bulk_state {
    struct selection_call selection; /* first */
    struct store_bulk job;
    struct store_bulk_list list;
    bool is_dry_run, is_confirmed;
    uint32_t confirmed;
    struct bulk_plan plan;
    char seal[STORE_SEAL_MAX], progress_seal[STORE_SEAL_MAX];
};

/* --- lists of serials --- */

static enum step_result read_list(struct operation *operation) {
    struct selection_call *state = operation->state;
    const char *id = json_string_value(json_object_get(state->call.body, "serial_list"));
    uint8_t bytes[JOB_ID_BYTES];
    if (id != NULL && !hex_decode(id, bytes, sizeof bytes))
        return admin_refuse(operation, ERROR_INVALID, "serial_list is the id that an earlier call gave");
    if (id != NULL && (state->selection.serials = arena_strdup(operation->arena, id)) == NULL)
        return admin_refuse(operation, ERROR_INTERNAL, "out of memory");
    if (!admin_read_serials(operation, json_object_get(state->call.body, "serials")))
        return STEP_FAIL;
    return operation_forget_request(operation);
}

static enum step_result reply_with_list(struct operation *operation) {
    const struct selection_call *state = operation->state;
    admin_reply(operation, 201,
                json_pack("{s:s, s:I}", "serial_list", state->selection.serials, "count",
                          (json_int_t)state->list_total));
    return STEP_REPLIED;
}

static const struct step list_steps[] = {{"read body", admin_read_body},
                                         {"read serials", read_list},
                                         {"keep serials", admin_keep_serials},
                                         {"reply", reply_with_list}};
static const struct operation_kind add_serials =
    OPERATION_KIND("add serials", list_steps, struct selection_call, admin_fail);

void admin_add_serials(struct http_request *request) {
    operation_start(request, &add_serials);
}

/* --- a job --- */

/* A process that died works on it, for others, until its lease is over. */
static bool is_worked_on(const struct store_bulk *job) {
    return *job->holder != '\0' && job->leased_until_ms > clock_wall_ms();
}

/* What Redis says of a job counts only under the operators' seal. */
static struct store_bulk judged(const struct worker *worker, const struct store_bulk *said) {
    struct store_bulk job = *said;
    const char *fault = bulk_seal_fault(worker, said);
    bool is_told = job.state == BULK_FAILED && *job.problem != '\0';
    if (fault != NULL && !is_told)
        job.problem = fault;
    if (fault != NULL && job.state != BULK_CANCELLED)
        job.state = BULK_FAILED;
    return job;
}

static json_t *job_json(const struct worker *worker, const struct store_bulk *said) {
    const struct store_bulk known = judged(worker, said), *job = &known;
    uint64_t handled = job->done + job->failed;
    bool has_ended = job->state != BULK_RUNNING;
    json_t *json =
        json_pack("{s:s, s:s, s:o, s:s, s:I, s:I, s:I, s:I, s:i, s:s}", "id", job->id, "state",
                  store_bulk_state_name(job->state), "selection", admin_selection_json(&job->selection),
                  "reason", revocation_reason_name(job->reason), "total", (json_int_t)job->total, "done",
                  (json_int_t)job->done, "failed", (json_int_t)job->failed, "skipped",
                  (json_int_t)(job->state == BULK_DONE && job->total > handled ? job->total - handled : 0),
                  "per_second", (int)job->rate, "by", job->by);
    json_object_set_new(json, "urgent", json_boolean(job->reason == REASON_KEY_COMPROMISE));
    if (!has_ended)
        json_object_set_new(json, "turn", json_string(is_worked_on(job) ? "working" : "waiting"));
    admin_set_time(json, "created_at", job->created_at);
    if (has_ended)
        admin_set_time(json, "ended_at", job->ended_at);
    if (*job->owner != '\0')
        json_object_set_new(json, "host", json_string(job->owner));
    if (*job->problem != '\0')
        json_object_set_new(json, "problem", json_string(job->problem));
    if (*job->ended_by != '\0')
        json_object_set_new(json, "cancelled_by", json_string(job->ended_by));
    return json;
}

static enum step_result read_wish(struct operation *operation) {
    struct bulk_state *state = operation->state;
    const json_t *body = state->selection.call.body, *dry = json_object_get(body, "dry_run");
    state->job.rate = operation->worker->config->bulk_revocations_per_second;
    state->is_confirmed = json_object_get(body, "confirm") != NULL;
    if (dry != NULL && !json_is_boolean(dry))
        return admin_refuse(operation, ERROR_INVALID, "dry_run must be true or false");
    state->is_dry_run = json_is_true(dry);
    if (!state->is_dry_run && json_object_get(body, "reason") == NULL)
        return admin_refuse(operation, ERROR_INVALID, "reason is needed: " REVOCATION_REASON_NAMES);
    if (!revocation_reason_read(json_object_get(body, "reason"), &state->job.reason))
        return admin_refuse(operation, ERROR_INVALID,
                            "reason must be " REVOCATION_REASON_NAMES ", or its number");
    if (!admin_read_number(operation, "per_second", 1, 1000000, &state->job.rate) ||
        !admin_read_number(operation, "confirm", 0, UINT32_MAX, &state->confirmed) ||
        !admin_read_selection(operation))
        return STEP_FAIL;
    if (!state->is_dry_run && !state->is_confirmed)
        return admin_refuse(operation, ERROR_INVALID,
                            "confirm must be the count that a call with dry_run gives");
    return operation_forget_request(operation);
}

/* Redis may lack certificates that the ledger holds: the count would be wrong, and so would be the job. */
static enum step_result require_comparison(struct operation *operation) {
    return admin_may_trust_redis(operation)
               ? STEP_DONE
               : admin_refuse(operation, ERROR_UNAVAILABLE,
                              "Redis may lack what the ledger holds (%.200s); try again",
                              operation->worker->not_ready_reason);
}

static enum step_result reply_dry_run(struct operation *operation) {
    const struct bulk_state *state = operation->state;
    return state->is_dry_run ? admin_reply_dry_run(operation) : STEP_DONE;
}

static enum step_result count(struct operation *operation) {
    struct bulk_state *state = operation->state;
    if (state->is_dry_run)
        return admin_count_selected(operation);
    if (operation->worker->operator_key == NULL)
        return admin_refuse(
            operation, ERROR_CONFLICT,
            "this server has no operator_secret_file, so its jobs could not be told from what "
            "others put into Redis: set it, let `originca-server ca init` make it, and reload");
    state->job.id = random_hex(operation->arena, JOB_ID_BYTES);
    state->job.by = arena_printf(operation->arena, "%s bulk:%s", admin_by(operation), state->job.id);
    if (state->job.id == NULL || state->job.by == NULL)
        return admin_refuse(operation, ERROR_INTERNAL, "out of memory");
    state->plan = (struct bulk_plan){.worker = operation->worker, .selection = &state->selection.selection};
    bulk_plan_start(&state->plan, admin_done, operation);
    return STEP_WAIT;
}

static enum step_result create_job(struct operation *operation) {
    struct bulk_state *state = operation->state;
    state->selection.selected = state->plan.selected;
    if (admin_confirm_count(operation, state->confirmed) == STEP_FAIL)
        return STEP_FAIL;
    state->job.selection = state->selection.selection;
    state->job.total = state->selection.selected.count;
    state->job.created_at = time(NULL);
    state->job.plan = state->plan.id;
    state->job.seal = state->seal;
    state->job.progress_seal = state->progress_seal;
    bulk_seal_job(operation->worker, &state->job, state->seal);
    bulk_seal_progress(operation->worker, &state->job, state->progress_seal);
    store_create_bulk(operation->worker->store, &state->job, admin_done, operation);
    return STEP_WAIT;
}

static enum step_result load_created(struct operation *operation) {
    struct bulk_state *state = operation->state;
    store_load_bulk(operation->worker->store, operation->arena, state->job.id, &state->job, admin_done,
                    operation);
    return STEP_WAIT;
}

static enum step_result reply_created(struct operation *operation) {
    const struct bulk_state *state = operation->state;
    admin_reply(operation, 202, job_json(operation->worker, &state->job));
    return STEP_REPLIED;
}

static const struct step create_steps[] = {{"read body", admin_read_body},
                                           {"read selection", read_wish},
                                           {"require comparison", require_comparison},
                                           {"find customer", admin_find_selected_customer},
                                           {"find zone", admin_find_selected_zone},
                                           {"keep serials", admin_keep_serials},
                                           {"count", count},
                                           {"reply to a dry run", reply_dry_run},
                                           {"create job", create_job},
                                           {"load job", load_created},
                                           {"reply", reply_created}};
static const struct operation_kind create_kind =
    OPERATION_KIND("revoke many certificates", create_steps, struct bulk_state, admin_fail);

void admin_create_revocation(struct http_request *request) {
    operation_start(request, &create_kind);
}

/* --- reading and ending jobs --- */

static enum step_result load(struct operation *operation) {
    struct bulk_state *state = operation->state;
    store_load_bulk(operation->worker->store, operation->arena, operation->request->params[0], &state->job,
                    admin_done, operation);
    return STEP_WAIT;
}

static enum step_result reply_one(struct operation *operation) {
    const struct bulk_state *state = operation->state;
    admin_reply(operation, 200, job_json(operation->worker, &state->job));
    return STEP_REPLIED;
}

static const struct step show_steps[] = {
    {"require Redis", admin_require_ready}, {"load", load}, {"reply", reply_one}};
static const struct operation_kind show_kind =
    OPERATION_KIND("show revocations", show_steps, struct bulk_state, admin_fail);

void admin_show_revocation(struct http_request *request) {
    operation_start(request, &show_kind);
}

static enum step_result cancel(struct operation *operation) {
    struct bulk_state *state = operation->state;
    store_cancel_bulk(operation->worker->store, operation->arena, operation->request->params[0],
                      admin_by(operation), &state->job, admin_done, operation);
    return STEP_WAIT;
}

static const struct step cancel_steps[] = {
    {"require Redis", admin_require_ready}, {"cancel", cancel}, {"reply", reply_one}};
static const struct operation_kind cancel_kind =
    OPERATION_KIND("cancel revocations", cancel_steps, struct bulk_state, admin_fail);

void admin_cancel_revocation(struct http_request *request) {
    operation_start(request, &cancel_kind);
}

static enum step_result list(struct operation *operation) {
    struct bulk_state *state = operation->state;
    uint32_t limit;
    if (!admin_read_limit(operation, &limit))
        return STEP_FAIL;
    store_list_bulks(operation->worker->store, operation->arena,
                     http_query_parameter(operation->request, "cursor"), limit, &state->list, admin_done,
                     operation);
    return STEP_WAIT;
}

static enum step_result reply_list(struct operation *operation) {
    const struct bulk_state *state = operation->state;
    json_t *items = json_array(), *json;
    for (size_t i = 0; i < state->list.count; i++)
        json_array_append_new(items, job_json(operation->worker, &state->list.items[i]));
    json = json_pack("{s:o}", "items", items);
    admin_set_cursor(json, state->list.next_cursor);
    admin_reply(operation, 200, json);
    return STEP_REPLIED;
}

static const struct step list_all_steps[] = {
    {"require Redis", admin_require_ready}, {"list", list}, {"reply", reply_list}};
static const struct operation_kind list_kind =
    OPERATION_KIND("list revocations", list_all_steps, struct bulk_state, admin_fail);

void admin_list_revocations(struct http_request *request) {
    operation_start(request, &list_kind);
}
