/* What operators say of the ledgers: start from nothing but the ledger, go on without a host's; each stands
 * in the ledger before it is done. (That records of a ledger are lost is confirmed in health.c.) */
#include "internal.h"
#include "originca/log.h"
#include "originca/secret_check.h"

#define HOST_NAME_MAX_LENGTH 64

struct ledger_state {
    struct admin_call call;
    struct store_ledger_state ledger;
    struct signer_status signer;
    struct signer_position_found found;
    bool is_for_good;
    struct rights rights;
};

static enum step_result load_state(struct operation *operation) {
    struct ledger_state *state = operation->state;
    store_load_ledger_state(operation->worker->store, operation->arena, operation->worker->config->host_name,
                            &state->ledger, admin_done, operation);
    return STEP_WAIT;
}

/* --- which hosts have compared their ledgers with this Redis --- */

static bool is_missing(const struct store_ledger_state *ledger, const char *host) {
    for (size_t i = 0; i < ledger->missing_count; i++)
        if (strcmp(ledger->missing[i], host) == 0)
            return true;
    return false;
}

static enum step_result reply_hosts(struct operation *operation) {
    const struct store_ledger_state *ledger = &((struct ledger_state *)operation->state)->ledger;
    json_t *items = json_array();
    for (size_t i = 0; i < ledger->host_count; i++)
        json_array_append_new(items, json_pack("{s:s, s:b}", "host", ledger->hosts[i], "missing",
                                               is_missing(ledger, ledger->hosts[i])));
    admin_reply(operation, 200, json_pack("{s:o}", "items", items));
    return STEP_REPLIED;
}

static const struct step hosts_steps[] = {
    {"require Redis", admin_require_ready}, {"load state", load_state}, {"reply", reply_hosts}};
static const struct operation_kind hosts_kind =
    OPERATION_KIND("list ledger hosts", hosts_steps, struct ledger_state, admin_fail);

void admin_list_ledger_hosts(struct http_request *request) {
    operation_start(request, &hosts_kind);
}

/* --- a host that does not come --- */

static enum step_result read_host(struct operation *operation) {
    struct ledger_state *state = operation->state;
    const char *host = http_path_parameter(operation->request, 0);
    const json_t *for_good = json_object_get(state->call.body, "for_good");
    if (strlen(host) > HOST_NAME_MAX_LENGTH)
        return admin_refuse(operation, ERROR_INVALID, "a host's name has at most %d bytes",
                            HOST_NAME_MAX_LENGTH);
    if (for_good != NULL && !json_is_boolean(for_good))
        return admin_refuse(operation, ERROR_INVALID, "\"for_good\" must be true or false");
    if (strcmp(host, operation->worker->config->host_name) == 0)
        return admin_refuse(operation, ERROR_CONFLICT, "this is %s: its own ledger is not excused", host);
    state->is_for_good = json_is_true(for_good);
    operation_forget_request(operation);
    return STEP_DONE;
}

static bool is_known(const struct store_ledger_state *ledger, const char *host) {
    for (size_t i = 0; i < ledger->host_count; i++)
        if (strcmp(ledger->hosts[i], host) == 0)
            return true;
    return false;
}

/* What Redis would refuse is no record. */
static enum step_result record_excuse(struct operation *operation) {
    struct ledger_state *state = operation->state;
    const char *host = http_path_parameter(operation->request, 0);
    if (!is_known(&state->ledger, host))
        return admin_refuse(operation, ERROR_NOT_FOUND, "Redis knows no host %s", host);
    if (!state->is_for_good && !is_missing(&state->ledger, host))
        return admin_refuse(operation, ERROR_CONFLICT,
                            "nobody waits for %s: it has compared its ledger with this Redis", host);
    struct signer_change *change = rights_add(&state->rights, "host-excused", host, admin_by(operation));
    if (change != NULL)
        change->detail = state->is_for_good ? "for good" : "for this run of Redis";
    return admin_record_rights(operation, &state->rights);
}

static enum step_result excuse(struct operation *operation) {
    struct ledger_state *state = operation->state;
    store_excuse_host(operation->worker->store, http_path_parameter(operation->request, 0),
                      operation->request->peer_text, state->is_for_good, admin_done, operation);
    return STEP_WAIT;
}

/* So that the fence does not wait for the record. */
static enum step_result mark_record(struct operation *operation) {
    struct ledger_state *state = operation->state;
    store_note_rights(operation->worker->store, &state->rights.given[0].mark, "", admin_done, operation);
    return STEP_WAIT;
}

static enum step_result reply_excused(struct operation *operation) {
    struct ledger_state *state = operation->state;
    admin_reply(operation, 200,
                json_pack("{s:s, s:b, s:b}", "host", http_path_parameter(operation->request, 0), "excused", 1,
                          "for_good", state->is_for_good));
    return STEP_REPLIED;
}

static const struct step excuse_steps[] = {{"read body", admin_read_body},         {"read host", read_host},
                                           {"require Redis", admin_require_ready}, {"load state", load_state},
                                           {"record it", record_excuse},           {"excuse", excuse},
                                           {"mark record", mark_record},           {"reply", reply_excused}};
static const struct operation_kind excuse_kind =
    OPERATION_KIND("excuse host", excuse_steps, struct ledger_state, admin_fail);

void admin_excuse_host(struct http_request *request) {
    operation_start(request, &excuse_kind);
}

/* --- other secret files than Redis knows --- */

/* The signer of a server that does not serve for its secrets may have just started: it writes nothing before.
 */
static enum step_result compare(struct operation *operation) {
    struct ledger_state *state = operation->state;
    char reason[256];
    if (admin_require_own_ledger(operation, &state->ledger) == STEP_FAIL)
        return STEP_FAIL;
    if (secret_check_fits(operation->worker, &state->ledger, reason, sizeof reason))
        return admin_refuse(operation, ERROR_CONFLICT,
                            "nothing to accept: the data in Redis rest on the secret files of this host");
    const struct signer_position position = admin_position_of(&state->ledger);
    signer_check_position(operation->worker->operator_signer, &position, &state->found, admin_done,
                          operation);
    return STEP_WAIT;
}

static bool is_other(const char *mine, const char *known) {
    return *mine != '\0' && *known != '\0' && strcmp(mine, known) != 0;
}

static enum step_result record_secrets(struct operation *operation) {
    struct ledger_state *state = operation->state;
    const struct worker *worker = operation->worker;
    struct store_secret_checks checks;
    secret_check_derive(worker, &checks);
    bool is_first = is_other(checks.secret, state->ledger.secrets.secret);
    bool is_second = is_other(checks.operator_secret, state->ledger.secrets.operator_secret);
    struct signer_change *change = rights_add(&state->rights, "secrets-accepted", NULL, admin_by(operation));
    if (change != NULL)
        change->detail = is_first && is_second ? "secret_file and operator_secret_file"
                         : is_first            ? "secret_file"
                                               : "operator_secret_file";
    return admin_record_rights(operation, &state->rights);
}

static enum step_result accept_secrets(struct operation *operation) {
    struct store_secret_checks checks;
    log_event(LOG_LEVEL_WARNING, "other secret files are accepted", "by", operation->request->peer_text,
              NULL);
    secret_check_derive(operation->worker, &checks);
    store_bind_secrets(operation->worker->store, &checks, true, admin_done, operation);
    return STEP_WAIT;
}

static enum step_result reply_secrets(struct operation *operation) {
    admin_reply(operation, 200, json_pack("{s:b}", "accepted", 1));
    return STEP_REPLIED;
}

static const struct step secrets_steps[] = {{"require Redis", admin_require_ready},
                                            {"load state", load_state},
                                            {"compare with the ledger", compare},
                                            {"record it", record_secrets},
                                            {"accept secrets", accept_secrets},
                                            {"mark record", mark_record},
                                            {"reply", reply_secrets}};
static const struct operation_kind secrets_kind =
    OPERATION_KIND("accept secrets", secrets_steps, struct ledger_state, admin_fail);

void admin_accept_secrets(struct http_request *request) {
    operation_start(request, &secrets_kind);
}

/* --- a Redis that lost all of its data, or a part --- */

static enum step_result ask_signer(struct operation *operation) {
    struct ledger_state *state = operation->state;
    signer_get_status(operation->worker->signer, &state->signer, admin_done, operation);
    return STEP_WAIT;
}

static enum step_result record_acceptance(struct operation *operation) {
    struct ledger_state *state = operation->state;
    if (admin_require_own_ledger(operation, &state->ledger) == STEP_FAIL)
        return STEP_FAIL;
    bool knows_ledger = *state->ledger.ledger_id != '\0';
    if (knows_ledger && *state->ledger.lost == '\0')
        return admin_refuse(operation, ERROR_CONFLICT,
                            "Redis is not empty: it knows the ledger of this host, and nothing was found to "
                            "be missing");
    if (!state->signer.is_ledger_read)
        return admin_refuse(operation, ERROR_UNAVAILABLE, "the signer is not there yet: %s",
                            state->signer.reason);
    struct signer_change *change = rights_add(&state->rights, "emptied-accepted", NULL, admin_by(operation));
    if (change != NULL)
        change->detail = knows_ledger ? state->ledger.lost : "Redis knew nothing of this ledger";
    return admin_record_rights(operation, &state->rights);
}

/* The fence replays the whole ledger. */
static enum step_result introduce(struct operation *operation) {
    struct ledger_state *state = operation->state;
    store_reset_ledger_state(operation->worker->store, operation->worker->config->host_name,
                             state->signer.ledger_id, 0, admin_done, operation);
    return STEP_WAIT;
}

static enum step_result reply_accepted(struct operation *operation) {
    struct ledger_state *state = operation->state;
    admin_reply(operation, 200,
                json_pack("{s:s, s:I}", "ledger", state->signer.ledger_id, "last_sequence",
                          (json_int_t)state->rights.changes[0].sequence));
    return STEP_REPLIED;
}

static const struct step empty_steps[] = {
    {"require Redis", admin_require_ready},   {"load state", load_state}, {"ask signer", ask_signer},
    {"record acceptance", record_acceptance}, {"introduce", introduce},   {"reply", reply_accepted}};
static const struct operation_kind empty_kind =
    OPERATION_KIND("accept empty Redis", empty_steps, struct ledger_state, admin_fail);

void admin_accept_empty(struct http_request *request) {
    operation_start(request, &empty_kind);
}
