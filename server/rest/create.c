/* Creating a certificate: the same rules, DNS check, writes and ledger as an ACME order (issue.h), in one
 * request.
 *
 * A create that is sent again (same key, CSR, names, type and lifetime, within rest_retry_window_seconds)
 * joins the order of the first: it waits for it, takes over what it left ready, or answers with its
 * certificate, which the reconciler makes where the signer was away. So clients may retry after any failure,
 * and a lost reply never costs a second certificate. */
#include "internal.h"

#include <event2/event.h>

#include "originca/csr.h"
#include "originca/issue.h"
#include "originca/recheck.h"
#include "originca/zones.h"

#define SHORTEST_ORDER_SECONDS 60
#define JOIN_POLL_MS 50
#define ERRORS_MAX 20

struct create_state {
    struct rest_call call;
    struct rest_create request;
    struct csr csr;
    char csr_sha256[2 * SHA256_BYTES + 1], spki_sha256[2 * SHA256_BYTES + 1],
        retry_hash[2 * SHA256_BYTES + 1];
    struct store_zone *zones;
    struct store_order order; /* ours, or the one that is joined */
    const char *order_id, *evidence;
    time_t checked_at;
    struct issue issue;
    struct store_certificate certificate;
    struct limits_order asked;
    const struct dnscheck_result *result; /* of the DNS check */
    bool was_refused;                     /* kept for admins, then answered */
    bool has_joined, is_settled;
    int64_t join_until_ms;
    struct event *join_timer;
};

static enum step_result refuse_out_of_memory(struct operation *operation) {
    error_set(&operation->error, ERROR_UNAVAILABLE, "API errors encountered: out of memory");
    return STEP_FAIL;
}

/* --- the request --- */

/* What makes two requests the same one. The customer's key is part of it, so nobody joins a stranger's. */
static bool hash_request(struct operation *operation) {
    struct create_state *state = operation->state;
    struct text text;
    uint8_t digest[SHA256_BYTES];
    text_init(&text, operation->arena);
    text_printf(&text, "%s\n%s\n%s\n%u\n", state->call.key.id, state->csr_sha256, state->request.request_type,
                state->request.validity_days);
    for (size_t i = 0; i < state->request.name_count; i++)
        text_printf(&text, "%s\n", state->request.names[i]);
    if (text.failed)
        return false;
    sha256(text.data, text.length, digest);
    hex_encode(digest, sizeof digest, state->retry_hash);
    return true;
}

static enum step_result read_request(struct operation *operation) {
    struct create_state *state = operation->state;
    uint8_t digest[SHA256_BYTES];
    struct error error;
    if (rest_require(operation, API_KEY_CERTIFICATES_EDIT) == STEP_FAIL || !rest_check_format(operation))
        return STEP_FAIL;
    json_t *body = rest_read_body(operation);
    if (body == NULL || rest_read_create(operation, body, &state->request) != STEP_DONE)
        return STEP_FAIL;
    if (!csr_parse_key(operation->arena, state->request.csr_der, &state->csr, &error))
        return rest_refuse(operation, 400, REST_BAD_CSR, "Failed to parse CSR: %s", error.message);
    operation_forget_request(operation);
    sha256(state->request.csr_der.data, state->request.csr_der.length, digest);
    hex_encode(digest, sizeof digest, state->csr_sha256);
    hex_encode(state->csr.key.spki_sha256, SHA256_BYTES, state->spki_sha256);
    return hash_request(operation) ? STEP_DONE : refuse_out_of_memory(operation);
}

/* --- an earlier request of the same content --- */

static void join(struct operation *operation);

static void note_certificate(void *context, const struct error *error) {
    struct operation *operation = context;
    struct create_state *state = operation->state;
    state->is_settled = error == NULL;
    rest_done(context, error);
}

static void note_joined_order(void *context, const struct error *error) {
    struct operation *operation = context;
    if (error != NULL)
        operation_fail(operation, error);
    else
        join(operation);
}

static void poll_again(evutil_socket_t fd, short what, void *context) {
    (void)fd;
    (void)what;
    struct operation *operation = context;
    struct create_state *state = operation->state;
    store_load_order(operation->worker->store, operation->arena, state->order.id, &state->order,
                     note_joined_order, operation);
}

static void free_timer(void *timer) {
    event_free(timer);
}

static void wait_a_moment(struct operation *operation) {
    struct create_state *state = operation->state;
    const struct timeval pause = {.tv_usec = JOIN_POLL_MS * 1000};
    if (state->join_timer == NULL) {
        const struct config *config = operation->worker->config;
        state->join_until_ms =
            clock_monotonic_ms() + config->signer_timeout_ms + config->redis_command_timeout_ms;
        state->join_timer = evtimer_new(operation->worker->base, poll_again, operation);
        if (state->join_timer != NULL && !arena_defer(operation->arena, free_timer, state->join_timer))
            state->join_timer = NULL;
    }
    if (state->join_timer == NULL || clock_monotonic_ms() > state->join_until_ms ||
        event_add(state->join_timer, &pause) != 0) {
        rest_refuse(operation, 503, REST_NOT_WRITTEN,
                    "Failed to write certificate to Database: it is still being made; send the same request "
                    "again to get it");
        operation_fail(operation, NULL);
    }
}

/* Follows the order that stands for this request to its end. Resumes with is_settled where there is a
 * certificate, without where there is something left to do. */
static void join(struct operation *operation) {
    struct create_state *state = operation->state;
    state->has_joined = true;
    if (state->order.status == ORDER_PROCESSING) {
        wait_a_moment(operation);
    } else if (state->order.status == ORDER_VALID) {
        store_load_certificate(operation->worker->store, operation->arena, state->order.serial,
                               &state->certificate, note_certificate, operation);
    } else if (state->order.status == ORDER_READY && state->issue.worker == NULL) {
        operation_resume(operation);
    } else {
        rest_refuse(operation, 503, REST_CA_FAILED,
                    "CA signing failure: the request that came first has failed; send this one again");
        operation_fail(operation, NULL);
    }
}

static void note_earlier(void *context, const struct error *error) {
    struct operation *operation = context;
    if (error != NULL && error->code == ERROR_NOT_FOUND)
        operation_resume(operation);
    else if (error != NULL)
        operation_fail(operation, error);
    else
        join(operation);
}

static enum step_result find_earlier(struct operation *operation) {
    struct create_state *state = operation->state;
    if (operation->worker->config->rest_retry_window_seconds == 0)
        return STEP_DONE;
    store_find_retry(operation->worker->store, operation->arena, state->retry_hash, &state->order,
                     note_earlier, operation);
    return STEP_WAIT;
}

/* --- who may have these names --- */

/* Before limits and DNS, as newOrder does: the same request is good when there is an issuer again. */
static enum step_result require_issuer(struct operation *operation) {
    const struct create_state *state = operation->state;
    const char *name = issue_rest_issuer(operation->worker->config, state->request.request_type);
    const struct rest_issuer *issuer = rest_find_issuer(state->call.rest, name);
    const time_t now = time(NULL);
    if (state->is_settled || (issuer != NULL && issuer->not_before <= now && now < issuer->not_after))
        return STEP_DONE;
    return rest_refuse(operation, 503, REST_CA_FAILED,
                       "CA signing failure: nothing can be signed at the moment; try again later");
}

static enum step_result find_zones(struct operation *operation) {
    struct create_state *state = operation->state;
    if (state->is_settled)
        return STEP_DONE;
    state->zones = arena_alloc(operation->arena, state->request.name_count * sizeof *state->zones);
    if (state->zones == NULL)
        return refuse_out_of_memory(operation);
    store_zones_of_names(operation->worker->store, operation->arena, state->call.key.customer,
                         issue_rest_issuer(operation->worker->config, state->request.request_type),
                         state->request.names, state->request.name_count, state->zones, rest_done, operation);
    return STEP_WAIT;
}

static void add_hostname_error(struct operation *operation, const char *name, const char *why) {
    struct create_state *state = operation->state;
    if (!state->was_refused) {
        rest_refuse(operation, 400, REST_BAD_HOSTNAME, "Failed to validate requested hostname %s: %s", name,
                    why);
        state->was_refused = true;
        return;
    }
    if (state->call.errors == NULL)
        state->call.errors = arena_own_json(operation->arena, json_array());
    char *message = arena_printf(operation->arena, "Failed to validate requested hostname %s: %s", name, why);
    if (state->call.errors != NULL && message != NULL && json_array_size(state->call.errors) < ERRORS_MAX)
        json_array_append_new(state->call.errors,
                              json_pack("{s:i, s:s}", "code", REST_BAD_HOSTNAME, "message", message));
}

static enum step_result match_zones(struct operation *operation) {
    struct create_state *state = operation->state;
    for (size_t i = 0; !state->is_settled && i < state->request.name_count; i++) {
        const struct store_zone *zone = &state->zones[i];
        if (zone->id == NULL || !rest_may_use_zone(&state->call, zone->id))
            add_hostname_error(operation, state->request.names[i], TEXT_ZONE_UNKNOWN);
    }
    return STEP_DONE;
}

static enum step_result take_limits(struct operation *operation) {
    struct create_state *state = operation->state;
    if (state->is_settled || state->was_refused)
        return STEP_DONE;
    state->asked = (struct limits_order){.orderer = state->call.key.customer,
                                         .checker = state->call.key.customer,
                                         .names = state->request.names,
                                         .zones = state->zones,
                                         .count = state->request.name_count,
                                         .is_checked = true};
    return rest_take_order_limits(operation, &state->asked, !state->has_joined);
}

/* A definite no is named before one that a later try may turn. */
static void describe_findings(struct operation *operation, const struct dnscheck_result *result) {
    struct create_state *state = operation->state;
    for (int round = 0; round < 2; round++)
        for (size_t i = 0; i < result->name_count; i++) {
            const struct dnscheck_finding *finding = &result->names[i];
            bool is_definite = finding->verdict == DNSCHECK_REFUSED;
            if (finding->verdict != DNSCHECK_OK && is_definite == (round == 0))
                add_hostname_error(operation, state->request.names[i], finding->text);
        }
    if (!state->was_refused)
        add_hostname_error(operation, state->request.names[0], "DNS does not show that it is yours");
    if (result->verdict == DNSCHECK_FAILED)
        state->call.retry_after = 30;
}

static void note_checked(void *context, const struct dnscheck_result *result) {
    struct operation *operation = context;
    struct create_state *state = operation->state;
    state->result = result;
    state->evidence = json_to_text(operation->arena, result->evidence);
    state->checked_at = result->checked_at;
    if (result->verdict != DNSCHECK_OK || result->name_count != state->request.name_count)
        describe_findings(operation, result);
    operation_resume(operation);
}

static enum step_result check_dns(struct operation *operation) {
    struct create_state *state = operation->state;
    struct dnscheck_request request;
    if (state->is_settled || state->was_refused)
        return STEP_DONE;
    if (!zones_build_check(operation->arena, state->zones, state->request.names, NULL,
                           state->request.name_count, &request, &operation->error))
        return STEP_FAIL;
    request.method = "ca-delegation";
    return recheck_start_step(operation, &request, note_checked);
}

/* Names whose check failed wait before the next one: a check costs other people's servers something. */
static enum step_result note_failures(struct operation *operation) {
    const struct create_state *state = operation->state;
    return rest_note_failures(operation, &state->asked, state->result);
}

/* --- the order --- */

static char *request_text(struct operation *operation) {
    const struct create_state *state = operation->state;
    json_t *json = arena_own_json(
        operation->arena, json_pack("{s:s, s:s, s:I, s:s}", "csr", state->request.csr_text, "request_type",
                                    state->request.request_type, "requested_validity",
                                    (json_int_t)state->request.validity_days, "key", state->call.key.id));
    return json == NULL ? NULL : json_to_text(operation->arena, json);
}

static const char *problem_text(struct operation *operation, int code, const char *detail) {
    json_t *json = arena_own_json(
        operation->arena, json_pack("{s:i, s:i, s:s}", "status", 400, "code", code, "detail", detail));
    const char *text = json == NULL ? NULL : json_to_text(operation->arena, json);
    return text == NULL ? "" : text;
}

/* As long as a repeated request finds it: what nobody fetches need not be made. */
static time_t order_seconds(const struct config *config) {
    return config->rest_retry_window_seconds > SHORTEST_ORDER_SECONDS
               ? (time_t)config->rest_retry_window_seconds
               : SHORTEST_ORDER_SECONDS;
}

static bool fill_order(struct operation *operation) {
    struct create_state *state = operation->state;
    size_t count = state->request.name_count;
    struct store_order order = {
        .id = random_id(operation->arena),
        .account = "",
        .customer = state->call.key.customer,
        .status = state->was_refused ? ORDER_REFUSED : ORDER_READY,
        .authorizations = arena_alloc(operation->arena, count * sizeof *order.authorizations),
        .authorization_count = count,
        .profile = operation->worker->config->rest_profile,
        .error =
            state->was_refused ? problem_text(operation, REST_BAD_HOSTNAME, operation->error.message) : "",
        .origin = "rest",
        .request = request_text(operation),
        .api_key = state->call.key.id,
        .created_at = time(NULL),
        .expires_at = time(NULL) + order_seconds(operation->worker->config),
        .checked_at = state->checked_at,
        .replaces = "",
        .replaces_serial = "",
        .serial = "",
        .attempt = "",
        .csr_sha256 = "",
        .issuers = issue_rest_issuer(operation->worker->config, state->request.request_type),
    };
    if (order.id == NULL || order.authorizations == NULL || order.request == NULL)
        return false;
    for (size_t i = 0; i < count; i++)
        order.authorizations[i] = (struct store_authorization){
            .identifier = state->request.names[i],
            .name = state->request.names[i],
            .zone = state->zones[i].id == NULL ? "" : state->zones[i].id,
            .status = state->was_refused ? AUTHORIZATION_INVALID : AUTHORIZATION_VALID,
            .token = "",
            .validated_at = state->checked_at,
            .expires_at = order.expires_at,
            .error = "",
        };
    state->order = order;
    return true;
}

/* Keeping a refused attempt is for admins; that it failed must not change the answer. */
static void note_refusal_kept(void *context, const struct error *error) {
    struct operation *operation = context;
    if (error != NULL)
        log_event(LOG_LEVEL_WARNING, "a refused attempt was not kept", "request", operation->request->id,
                  "reason", error->message, NULL);
    operation_fail(operation, NULL);
}

static void note_created(void *context, const struct error *error) {
    struct operation *operation = context;
    struct create_state *state = operation->state;
    if (error != NULL && (error->code == ERROR_REFUSED || error->code == ERROR_NOT_FOUND)) {
        rest_refuse(operation, 400, REST_BAD_HOSTNAME, "Failed to validate requested hostname %s: %s",
                    state->request.names[0], error->message);
        operation_fail(operation, NULL);
    } else if (error != NULL) {
        operation_fail(operation, error);
    } else if (strcmp(state->order_id, state->order.id) == 0) {
        operation_resume(operation);
    } else {
        store_load_order(operation->worker->store, operation->arena, state->order_id, &state->order,
                         note_joined_order, operation);
    }
}

static enum step_result create_order(struct operation *operation) {
    struct create_state *state = operation->state;
    uint32_t window = operation->worker->config->rest_retry_window_seconds;
    const char *evidence = state->evidence == NULL ? "" : state->evidence;
    if (state->is_settled || (state->has_joined && !state->was_refused))
        return STEP_DONE;
    if (!fill_order(operation))
        return refuse_out_of_memory(operation);
    if (state->was_refused)
        store_create_order(operation->worker->store, &state->order, evidence, note_refusal_kept, operation);
    else
        store_create_order_once(operation->worker->store, operation->arena, &state->order, evidence,
                                window == 0 ? "" : state->retry_hash, window, &state->order_id, note_created,
                                operation);
    return STEP_WAIT;
}

/* Claimed by the other request meanwhile: the claim finds that out and joins again. */
static void note_check_recorded(void *context, const struct error *error) {
    rest_done(context, error != NULL && error->code == ERROR_CONFLICT ? NULL : error);
}

/* A joined order gets the check that was just made: its own may be too old for the signer. */
static enum step_result record_check(struct operation *operation) {
    struct create_state *state = operation->state;
    if (state->is_settled || !state->has_joined)
        return STEP_DONE;
    store_record_recheck(operation->worker->store, state->order.id, state->checked_at,
                         state->evidence == NULL ? "" : state->evidence, note_check_recorded, operation);
    return STEP_WAIT;
}

/* --- issuing --- */

static const char *describe_refusal(void *context, const struct error *error) {
    return problem_text(context, REST_CA_REFUSED, operation_outward_text(context, error->code));
}

static void note_issue_step(void *context, const struct error *error) {
    struct operation *operation = context;
    struct create_state *state = operation->state;
    if (error == NULL) {
        operation_resume(operation);
        return;
    }
    operation->error = *error;
    if (error->code == ERROR_STOPPED) {
        operation_fail(operation, error);
        return;
    }
    /* Redis went back while this request's DNS check was under way. */
    if (state->issue.failure == ISSUE_OUTDATED && state->order.is_outdated == STORE_OUTDATED_LOST) {
        rest_refuse(operation, 503, REST_CA_FAILED, "CA signing failure: %s", error->message);
        operation_fail(operation, NULL);
        return;
    }
    switch (state->issue.failure) {
    case ISSUE_NOT_READY: /* the same request was faster on its way here */
        join(operation);
        return;
    case ISSUE_REFUSED:
    case ISSUE_OUTDATED:
    case ISSUE_WITHDRAWN:
        rest_refuse(operation, 400, REST_BAD_HOSTNAME, "Failed to validate requested hostname %s: %s",
                    state->request.names[0], error->message);
        break;
    case ISSUE_BAD_KEY:
        rest_refuse(operation, 400, REST_BAD_CSR, "Failed to parse CSR: %s", error->message);
        break;
    case ISSUE_UNSIGNED:
        rest_refuse(operation, 400, REST_CA_REFUSED, "Failed to generate CA request: %s",
                    operation_outward_text(operation, error->code));
        break;
    case ISSUE_POSTPONED:
        rest_refuse(operation, 503, REST_CA_FAILED,
                    "CA signing failure: nothing can be signed at the moment; send the same request again");
        break;
    case ISSUE_FAILED:
        break;
    }
    operation_fail(operation, NULL);
}

/* The signer refuses it too, but its words are not for clients. */
static bool outlives_issuer(const struct operation *operation) {
    const struct create_state *state = operation->state;
    const struct rest_issuer *issuer = rest_find_issuer(state->call.rest, state->issue.issuer);
    time_t start = time(NULL) - (time_t)operation->worker->config->backdate_seconds;
    return issuer != NULL && start + (time_t)state->issue.validity_seconds > issuer->not_after;
}

static enum step_result claim_order(struct operation *operation) {
    struct create_state *state = operation->state;
    if (state->is_settled)
        return STEP_DONE;
    state->issue = (struct issue){
        .worker = operation->worker,
        .arena = operation->arena,
        .request_id = operation->request->id,
        .order = &state->order,
        .names = state->request.names,
        .spki = state->csr.key.spki,
        .csr = state->request.csr_der,
        .csr_sha256 = state->csr_sha256,
        .spki_sha256 = state->spki_sha256,
        .evidence = state->evidence,
        .checked_at = state->checked_at,
        .describe = describe_refusal,
        .is_only_attempt = operation->worker->config->rest_retry_window_seconds == 0,
    };
    if (!issue_set_terms(&state->issue, false, &operation->error))
        return STEP_FAIL;
    if (outlives_issuer(operation))
        return rest_refuse(operation, 400, REST_BAD_VALIDITY,
                           "The certificate would outlive its issuer; ask for a shorter requested_validity");
    issue_claim(&state->issue, note_issue_step, operation);
    return STEP_WAIT;
}

static enum step_result sign_certificate(struct operation *operation) {
    struct create_state *state = operation->state;
    if (state->is_settled)
        return STEP_DONE;
    issue_sign(&state->issue, note_issue_step, operation);
    return STEP_WAIT;
}

static enum step_result record_certificate(struct operation *operation) {
    struct create_state *state = operation->state;
    if (state->is_settled)
        return STEP_DONE;
    issue_record(&state->issue, note_issue_step, operation);
    return STEP_WAIT;
}

static enum step_result reply(struct operation *operation) {
    struct create_state *state = operation->state;
    const struct store_certificate *certificate =
        state->is_settled ? &state->certificate : &state->issue.certificate;
    if (!state->is_settled && state->issue.is_in_doubt)
        return rest_refuse(operation, 503, REST_NOT_WRITTEN,
                           "Failed to write certificate to Database: its outcome is not known yet; send the "
                           "same request again to get it");
    log_event(LOG_LEVEL_INFO, state->is_settled ? "certificate given out again" : "certificate issued",
              "request", operation->request->id, "order", state->order.id, "customer",
              state->call.key.customer, "key", state->call.key.id, "serial", certificate->serial, "name",
              state->request.names[0], NULL);
    bool as_strings = strcmp(state->request.request_type, "keyless-certificate") == 0 &&
                      state->call.form == REST_AUTH_KEY_ALONE;
    return rest_reply_certificate(operation, certificate, state->request.csr_text, as_strings, NULL);
}

static const struct step steps[] = {
    REST_AUTHENTICATE,
    {"read request", read_request},
    {"find an earlier one", find_earlier},
    {"require issuer", require_issuer},
    {"find zones", find_zones},
    {"match zones", match_zones},
    {"take limits", take_limits},
    {"judge limits", rest_judge_limits},
    {"check DNS", check_dns},
    {"note failed checks", note_failures},
    {"create order", create_order},
    {"record check", record_check},
    {"claim the order", claim_order}, /* ready -> processing, one winner */
    {"sign", sign_certificate},       /* ledger: intent, signature, certificate */
    {"record", record_certificate},   /* order -> valid, edge event */
    {"reply", reply},
};
static const struct operation_kind create =
    OPERATION_KIND("REST create certificate", steps, struct create_state, rest_fail);

void rest_create_certificate(struct http_request *request) {
    operation_start(request, &create);
}
