/* /healthz and /readyz: what each worker says of itself, put together, and whether issuance is stopped. */
#include "internal.h"

struct readiness_state {
    struct admin_call call;
    struct link_readiness *workers;
    size_t count;
};

static void note_workers(void *context) {
    operation_resume(context);
}

static enum step_result ask_workers(struct operation *operation) {
    struct readiness_state *state = operation->state;
    state->count = operation->worker->config->workers;
    state->workers = arena_alloc(operation->arena, state->count * sizeof *state->workers);
    if (state->workers == NULL)
        return admin_refuse(operation, ERROR_INTERNAL, "out of memory");
    return worker_link_ask_readiness(operation->worker->link, state->workers, note_workers, operation,
                                     &operation->error)
               ? STEP_WAIT
               : STEP_FAIL;
}

static size_t count_answers(const struct readiness_state *state) {
    size_t answers = 0;
    for (size_t i = 0; i < state->count; i++)
        answers += state->workers[i].has_answered;
    return answers;
}

/* --- health: does anybody live? --- */

/* Said where there is one, and no reason to take a host out of service: revoking, OCSP, CRLs and downloads go
 * on under each stop. */
static void add_stops(const struct operation *operation, json_t *json) {
    const char *stops = operation->worker->issuance_stopped;
    if (*stops != '\0')
        json_object_set_new(json, "issuance", json_pack("{s:b, s:s}", "ok", 0, "reason", stops));
}

static enum step_result reply_health(struct operation *operation) {
    const struct readiness_state *state = operation->state;
    bool is_alive = count_answers(state) > 0;
    json_t *json = is_alive ? json_pack("{s:s}", "status", "ok")
                            : json_pack("{s:s, s:s}", "status", "failed", "reason", "no worker answers");
    add_stops(operation, json);
    http_reply_json(operation->request, is_alive ? 200 : 503, arena_own_json(operation->arena, json));
    return STEP_REPLIED;
}

static const struct step health_steps[] = {{"ask workers", ask_workers}, {"reply", reply_health}};
static const struct operation_kind health =
    OPERATION_KIND("healthz", health_steps, struct readiness_state, admin_fail);

void admin_health(struct http_request *request) {
    operation_start(request, &health);
}

/* --- readiness: can each of them issue? --- */

static const char *failure_of(const struct link_readiness *worker, enum link_part part) {
    if (!worker->has_answered)
        return NULL;
    return worker->parts[part].is_ok ? NULL : worker->parts[part].reason;
}

/* The first reason, and which workers say that the part is not well. Of the ledger the admin process knows
 * more: it is the one who replays. */
static json_t *judge_part(const struct operation *operation, enum link_part part, bool *is_ready) {
    const struct readiness_state *state = operation->state;
    const char *reason = NULL;
    if (count_answers(state) == 0) {
        *is_ready = false;
        return json_pack("{s:b, s:s}", "ok", 0, "reason", "no worker answers");
    }
    json_t *slots = json_array();
    for (size_t i = 0; i < state->count; i++) {
        const char *failure = failure_of(&state->workers[i], part);
        if (failure == NULL)
            continue;
        json_array_append_new(slots, json_integer((json_int_t)i));
        reason = reason == NULL ? failure : reason;
    }
    /* Workers have no operator secret to compare. */
    if (part == LINK_PART_LEDGER && operation->worker->has_other_secrets)
        reason = operation->worker->not_ready_reason;
    if (reason == NULL) {
        json_decref(slots);
        return json_pack("{s:b}", "ok", 1);
    }
    if (part == LINK_PART_LEDGER && !operation->worker->is_ready)
        reason = operation->worker->not_ready_reason;
    *is_ready = false;
    return json_pack("{s:b, s:s, s:o}", "ok", 0, "reason", reason, "workers", slots);
}

static json_t *judge_workers(const struct readiness_state *state, bool *is_ready) {
    json_t *slots = json_array();
    for (size_t i = 0; i < state->count; i++)
        if (!state->workers[i].has_answered)
            json_array_append_new(slots, json_integer((json_int_t)i));
    if (json_array_size(slots) == 0) {
        json_decref(slots);
        return json_pack("{s:b}", "ok", 1);
    }
    *is_ready = false;
    return json_pack("{s:b, s:s, s:o}", "ok", 0, "reason",
                     json_array_size(slots) == state->count ? "no worker answers"
                                                            : "some workers do not answer",
                     "workers", slots);
}

static enum step_result reply_readiness(struct operation *operation) {
    bool is_ready = true;
    json_t *json = json_pack("{s:b}", "ready", 0);
    for (enum link_part part = 0; part < LINK_PARTS; part++)
        json_object_set_new(json, link_part_name(part), judge_part(operation, part, &is_ready));
    json_object_set_new(json, "workers", judge_workers(operation->state, &is_ready));
    add_stops(operation, json);
    json_object_set_new(json, "ready", json_boolean(is_ready));
    http_reply_json(operation->request, is_ready ? 200 : 503, arena_own_json(operation->arena, json));
    return STEP_REPLIED;
}

static const struct step readiness_steps[] = {{"ask workers", ask_workers}, {"reply", reply_readiness}};
static const struct operation_kind readiness =
    OPERATION_KIND("readyz", readiness_steps, struct readiness_state, admin_fail);

void admin_readiness(struct http_request *request) {
    operation_start(request, &readiness);
}
