/* Statistics and metrics; trying the token again, and accepting a lost ledger. */
#include "internal.h"

struct health_state {
    struct admin_call call;
    struct store_stats stats;
    struct signer_status signer;
    bool is_signer_there;
    struct error signer_error;
    struct store_ledger_state ledger;
    struct signer_position_found found;
    struct error comparison; /* of the ledger with what Redis has applied */
};

/* --- the signer --- */

static void note_signer(void *context, const struct error *error) {
    struct operation *operation = context;
    struct health_state *state = operation->state;
    state->is_signer_there = error == NULL;
    if (error != NULL)
        state->signer_error = *error;
    operation_resume(operation);
}

static enum step_result ask_signer(struct operation *operation) {
    struct health_state *state = operation->state;
    signer_get_status(operation->worker->signer, &state->signer, note_signer, operation);
    return STEP_WAIT;
}

/* --- statistics --- */

static void note_counts(void *context) {
    operation_resume(context);
}

/* So that what was counted before the question is in the answer; who does not answer is counted later. */
static enum step_result ask_for_counts(struct operation *operation) {
    operation->worker->publish_metrics(operation->worker);
    return worker_link_publish(operation->worker->link, note_counts, operation, &operation->error)
               ? STEP_WAIT
               : STEP_FAIL;
}

static enum step_result load_stats(struct operation *operation) {
    struct health_state *state = operation->state;
    store_load_stats(operation->worker->store, operation->arena, &state->stats, admin_done, operation);
    return STEP_WAIT;
}

static json_t *count_by(const uint64_t *counts, size_t kinds, const char *(*name)(size_t kind)) {
    json_t *json = json_object();
    for (size_t i = 0; i < kinds; i++)
        json_object_set_new(json, name(i), json_integer((json_int_t)counts[i]));
    return json;
}

static const char *zone_status(size_t kind) {
    return store_zone_status_name((enum store_zone_status)kind);
}

static const char *order_status(size_t kind) {
    return store_order_status_name((enum store_order_status)kind);
}

static json_t *signer_json(const struct health_state *state) {
    const struct signer_status *signer = &state->signer;
    if (!state->is_signer_there)
        return json_pack("{s:b, s:s}", "ok", 0, "reason", state->signer_error.message);
    return json_pack(
        "{s:b, s:b, s:b, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:b}", "ok", signer->is_token_usable,
        "signing_allowed", signer->is_signing_allowed, "issuer_in_force", signer->are_issuers_in_force,
        "reason", signer->reason, "ledger", signer->ledger_id, "host", signer->host, "last_sequence",
        (json_int_t)signer->last_sequence, "signatures", (json_int_t)signer->signatures, "revocations",
        (json_int_t)signer->revocations, "revoked_serials", (json_int_t)signer->revoked_serials,
        "intents_without_outcome", (json_int_t)signer->intents_without_outcome, "zones",
        (json_int_t)signer->zones, "knows_zones", signer->knows_zones);
}

static enum step_result reply_stats(struct operation *operation) {
    struct health_state *state = operation->state;
    const struct store_stats *stats = &state->stats;
    json_t *json = json_pack(
        "{s:I, s:I, s:o, s:I, s:I, s:o, s:I, s:I, s:I, s:I, s:I}", "customers", (json_int_t)stats->customers,
        "zones", (json_int_t)stats->zones, "zones_by_status",
        count_by(stats->zones_by_status, 4, zone_status), "accounts", (json_int_t)stats->accounts, "orders",
        (json_int_t)stats->orders, "orders_by_status", count_by(stats->orders_by_status, 6, order_status),
        "certificates", (json_int_t)stats->certificates, "certificates_revoked",
        (json_int_t)stats->certificates_revoked, "certificates_expiring_7d",
        (json_int_t)stats->certificates_expiring_7d, "redis_memory_bytes",
        (json_int_t)stats->redis_memory_bytes, "edge_sequence", (json_int_t)stats->edge_sequence);
    json_object_set_new(json, "signer", signer_json(state));
    const struct metrics *metrics = operation->worker->metrics;
    json_object_set_new(json, "dns",
                        json_pack("{s:I, s:I, s:I}", "checks",
                                  (json_int_t)metrics_value(metrics, "originca_dns_checks_total"), "queries",
                                  (json_int_t)metrics_value(metrics, "originca_dns_queries_total"),
                                  "timeouts",
                                  (json_int_t)metrics_value(metrics, "originca_dns_timeouts_total")));
    admin_reply(operation, 200, json);
    return STEP_REPLIED;
}

static const struct step stats_steps[] = {{"require Redis", admin_require_ready},
                                          {"load stats", load_stats},
                                          {"ask signer", ask_signer},
                                          {"ask workers", ask_for_counts},
                                          {"reply", reply_stats}};
static const struct operation_kind stats_kind =
    OPERATION_KIND("stats", stats_steps, struct health_state, admin_fail);

void admin_show_stats(struct http_request *request) {
    operation_start(request, &stats_kind);
}

static enum step_result reply_metrics(struct operation *operation) {
    char *text = metrics_render(operation->worker->metrics, operation->arena);
    http_reply(operation->request, text == NULL ? 503 : 200, "text/plain; version=0.0.4",
               text == NULL ? "" : text, text == NULL ? 0 : strlen(text));
    return STEP_REPLIED;
}

static const struct step metrics_steps[] = {{"ask workers", ask_for_counts}, {"reply", reply_metrics}};
static const struct operation_kind metrics_kind =
    OPERATION_KIND("metrics", metrics_steps, struct health_state, admin_fail);

void admin_metrics(struct http_request *request) {
    operation_start(request, &metrics_kind);
}

/* --- the token --- */

static enum step_result retry_token(struct operation *operation) {
    signer_retry_token(operation->worker->operator_signer, operation->request->peer_text, admin_done,
                       operation);
    return STEP_WAIT;
}

static enum step_result reply_retried(struct operation *operation) {
    admin_reply(operation, 200, json_pack("{s:b}", "usable", 1));
    return STEP_REPLIED;
}

static const struct step retry_steps[] = {{"retry token", retry_token}, {"reply", reply_retried}};
static const struct operation_kind retry =
    OPERATION_KIND("retry token", retry_steps, struct health_state, admin_fail);

void admin_retry_token(struct http_request *request) {
    operation_start(request, &retry);
}

/* --- a lost ledger --- */

static enum step_result load_ledger(struct operation *operation) {
    struct health_state *state = operation->state;
    store_load_ledger_state(operation->worker->store, operation->arena, operation->worker->config->host_name,
                            &state->ledger, admin_done, operation);
    return STEP_WAIT;
}

static void note_compared(void *context, const struct error *error) {
    struct operation *operation = context;
    struct health_state *state = operation->state;
    state->comparison = error == NULL ? (struct error){.code = ERROR_NONE} : *error;
    operation_resume(operation);
}

static enum step_result compare(struct operation *operation) {
    struct health_state *state = operation->state;
    const struct signer_position position = admin_position_of(&state->ledger);
    signer_check_position(operation->worker->operator_signer, &position, &state->found, note_compared,
                          operation);
    return STEP_WAIT;
}

static enum step_result confirm(struct operation *operation) {
    struct health_state *state = operation->state;
    if (admin_require_own_ledger(operation, &state->ledger) == STEP_FAIL)
        return STEP_FAIL;
    if (!state->is_signer_there || !state->signer.is_ledger_read)
        return admin_refuse(operation, ERROR_UNAVAILABLE, "the signer is away: %s",
                            state->is_signer_there ? state->signer.reason : state->signer_error.message);
    if (state->comparison.code == ERROR_NONE)
        return admin_refuse(operation, ERROR_CONFLICT, "nothing is lost: Redis is not ahead of the ledger");
    if (state->comparison.code != ERROR_CONFLICT)
        return admin_refuse(operation, ERROR_UNAVAILABLE, "the signer does not say what is lost: %s",
                            state->comparison.message);
    signer_confirm_loss(operation->worker->operator_signer, state->ledger.highest,
                        operation->request->peer_text, admin_done, operation);
    return STEP_WAIT;
}

/* From the beginning: what the ledger holds after the point at which records were lost must reach Redis too,
 * and nobody can say where that was. */
static enum step_result reset_ledger(struct operation *operation) {
    struct health_state *state = operation->state;
    store_reset_ledger_state(operation->worker->store, operation->worker->config->host_name,
                             state->signer.ledger_id, 0, admin_done, operation);
    return STEP_WAIT;
}

static enum step_result reply_confirmed(struct operation *operation) {
    struct health_state *state = operation->state;
    admin_reply(operation, 200,
                json_pack("{s:s, s:I}", "ledger", state->signer.ledger_id, "last_sequence",
                          (json_int_t)state->signer.last_sequence));
    return STEP_REPLIED;
}

static const struct step loss_steps[] = {{"require Redis", admin_require_ready},
                                         {"load ledger state", load_ledger},
                                         {"ask signer", ask_signer},
                                         {"compare", compare},
                                         {"confirm", confirm},
                                         {"ask signer again", ask_signer},
                                         {"reset", reset_ledger},
                                         {"reply", reply_confirmed}};
static const struct operation_kind loss =
    OPERATION_KIND("confirm loss", loss_steps, struct health_state, admin_fail);

void admin_confirm_loss(struct http_request *request) {
    operation_start(request, &loss);
}
