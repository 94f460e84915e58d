/* Authorizations and their challenge (RFC 8555 7.5). With external binding they are valid from the start;
 * without it the one dns-01 challenge (8.4) must hold together with the delegation. A wrong answer may be
 * tried CHALLENGE_TRIES times, then the authorization is invalid: bounded, and said in doc/acme.md. */
#include "internal.h"

#include <stdlib.h>
#include <time.h>

#include "originca/issue.h"
#include "originca/limits.h"
#include "originca/recheck.h"
#include "originca/zones.h"

struct authorization_state {
    struct acme_post post;
    struct store_order order;
    size_t index;
    bool has_payload, deactivates; /* of the request */
    struct store_zone zone, held;  /* of the authorization; today's of the name */
    struct limits_order asked;
    struct limits limits;
    const struct dnscheck_result *result;
};

static enum step_result read_request(struct operation *operation) {
    struct authorization_state *state = operation->state;
    const char *status = json_string_value(json_object_get(state->post.payload, "status"));
    state->has_payload = state->post.payload != NULL;
    state->deactivates = status != NULL && strcmp(status, "deactivated") == 0;
    return acme_forget_request(operation);
}

static enum step_result load_order(struct operation *operation) {
    struct authorization_state *state = operation->state;
    store_load_order(operation->worker->store, operation->arena, operation->request->params[0], &state->order,
                     acme_done, operation);
    return STEP_WAIT;
}

static enum step_result find_authorization(struct operation *operation) {
    struct authorization_state *state = operation->state;
    const char *text = operation->request->params[1];
    char *end;
    unsigned long index = strtoul(text, &end, 10);
    bool is_number = *text >= '0' && *text <= '9' && *end == '\0' && strlen(text) < 6;
    if (!is_number || index >= state->order.authorization_count || state->order.status == ORDER_REFUSED ||
        strcmp(state->order.account, state->post.account.id) != 0)
        return acme_refuse_absent(operation);
    state->index = index;
    return STEP_DONE;
}

/* Somebody else changed it in between: what is there now is the answer. */
static void note_changed(void *context, const struct error *error) {
    acme_done(context, error != NULL && error->code == ERROR_CONFLICT ? NULL : error);
}

static enum step_result deactivate(struct operation *operation) {
    struct authorization_state *state = operation->state;
    if (!state->has_payload)
        return STEP_DONE;
    if (!state->deactivates)
        return acme_refuse(operation, 400, "malformed",
                           "The payload must be empty or {\"status\":\"deactivated\"}");
    const struct store_authorization_change change = {.order_id = state->order.id,
                                                      .index = state->index,
                                                      .status = AUTHORIZATION_DEACTIVATED,
                                                      .error = "",
                                                      .evidence = ""};
    log_event(LOG_LEVEL_INFO, "authorization deactivated", "request", operation->request->id, "order",
              state->order.id, NULL);
    store_change_authorization(operation->worker->store, operation->arena, &change, &state->order,
                               note_changed, operation);
    return STEP_WAIT;
}

static enum step_result reply_authorization(struct operation *operation) {
    struct authorization_state *state = operation->state;
    acme_reply_json(operation, 200, acme_authorization_json(operation, &state->order, state->index));
    return STEP_REPLIED;
}

static const struct step authorization_steps[] = {
    ACME_AUTHENTICATE,          {"read request", read_request},
    {"load order", load_order}, {"find authorization", find_authorization},
    {"deactivate", deactivate}, {"reply", reply_authorization}};
static const struct operation_kind authorization =
    OPERATION_KIND("authorization", authorization_steps, struct authorization_state, acme_fail);

void acme_authorization(struct http_request *request) {
    operation_start(request, &authorization);
}

/* --- the challenge --- */

static bool is_to_be_checked(const struct authorization_state *state) {
    return state->has_payload && acme_order_status(&state->order) == ORDER_PENDING &&
           acme_authorization_status(&state->order.authorizations[state->index]) == AUTHORIZATION_PENDING;
}

/* Under a stop nothing is asked of DNS, and the challenge stays pending. */
static enum step_result refuse_under_a_stop(struct operation *operation) {
    struct authorization_state *state = operation->state;
    const char *customer = *state->order.customer == '\0' ? NULL : state->order.customer;
    if (!is_to_be_checked(state))
        return STEP_DONE; /* POST-as-GET, or an answer to a challenge that is decided: both just read it */
    const char *issuers = issue_acme_issuers(operation->worker->config, operation->arena);
    if (issuers == NULL) {
        error_set(&operation->error, ERROR_UNAVAILABLE, "out of memory");
        return STEP_FAIL;
    }
    store_zones_of_names(operation->worker->store, operation->arena, customer, issuers,
                         &state->order.authorizations[state->index].name, 1, &state->held, acme_done,
                         operation);
    return STEP_WAIT;
}

static enum step_result load_zone(struct operation *operation) {
    struct authorization_state *state = operation->state;
    if (!is_to_be_checked(state))
        return STEP_DONE;
    store_find_zone(operation->worker->store, operation->arena,
                    state->order.authorizations[state->index].zone, NULL, &state->zone, acme_done, operation);
    return STEP_WAIT;
}

static enum step_result take_limits(struct operation *operation) {
    struct authorization_state *state = operation->state;
    if (!is_to_be_checked(state))
        return STEP_DONE;
    state->asked = (struct limits_order){
        .names = &state->order.authorizations[state->index].name, .zones = &state->zone, .count = 1};
    bool is_built =
        acme_set_asker(operation, &state->asked, state->order.customer) &&
        limits_for_check(operation->arena, operation->worker->config, &state->asked, &state->limits);
    return acme_take_limits(operation, is_built, &state->limits);
}

static enum step_result judge_limits(struct operation *operation) {
    struct authorization_state *state = operation->state;
    return acme_judge_limits(operation, &state->limits);
}

static void note_checked(void *context, const struct dnscheck_result *result) {
    struct operation *operation = context;
    ((struct authorization_state *)operation->state)->result = result;
    operation_resume(operation);
}

static enum step_result check_dns(struct operation *operation) {
    struct authorization_state *state = operation->state;
    if (!is_to_be_checked(state))
        return STEP_DONE;
    const struct store_authorization *subject = &state->order.authorizations[state->index];
    const char *key_authorization =
        arena_printf(operation->arena, "%s.%s", subject->token, state->post.key.thumbprint);
    uint8_t digest[SHA256_BYTES];
    struct dnscheck_request request;
    if (key_authorization == NULL) {
        error_set(&operation->error, ERROR_INTERNAL, "out of memory");
        return STEP_FAIL;
    }
    sha256(key_authorization, strlen(key_authorization), digest);
    const char *value = base64url_encode(operation->arena, digest, sizeof digest);
    if (value == NULL) { /* a check without it asks for no TXT record */
        error_set(&operation->error, ERROR_INTERNAL, "out of memory");
        return STEP_FAIL;
    }
    if (!zones_build_check(operation->arena, &state->zone, &subject->name, &value, 1, &request,
                           &operation->error))
        return STEP_FAIL;
    acme_describe_check(operation, &request);
    return recheck_start_step(operation, &request, note_checked);
}

static enum step_result note_failures(struct operation *operation) {
    struct authorization_state *state = operation->state;
    return acme_note_failures(operation, &state->limits, &state->asked, state->result);
}

static enum step_result record_check(struct operation *operation) {
    struct authorization_state *state = operation->state;
    if (state->result == NULL)
        return STEP_DONE;
    if (state->result->name_count != 1) {
        error_set(&operation->error, ERROR_INTERNAL, "out of memory");
        return STEP_FAIL;
    }
    const struct dnscheck_finding *finding = &state->result->names[0];
    bool is_ok = state->result->verdict == DNSCHECK_OK && finding->verdict == DNSCHECK_OK;
    const char *evidence = json_to_text(operation->arena, state->result->evidence);
    const char *problem =
        is_ok ? ""
              : acme_problem_text(operation, finding->verdict == DNSCHECK_FAILED ? "dns" : "unauthorized",
                                  finding->verdict == DNSCHECK_FAILED ? 400 : 403, finding->text, NULL);
    const struct store_authorization_change change = {
        .order_id = state->order.id,
        .index = state->index,
        /* At once, as clients know it: they answer a challenge once and poll until it is no longer pending.
         */
        .status = is_ok ? AUTHORIZATION_VALID : AUTHORIZATION_INVALID,
        .error = problem == NULL ? "" : problem,
        .evidence = evidence == NULL ? "" : evidence,
        .checked_at = state->result->checked_at,
        .expires_at = is_ok ? state->result->checked_at +
                                  (time_t)operation->worker->config->authorization_lifetime_seconds
                            : state->order.authorizations[state->index].expires_at,
        .count_try = !is_ok,
    };
    store_change_authorization(operation->worker->store, operation->arena, &change, &state->order,
                               note_changed, operation);
    return STEP_WAIT;
}

/* RFC 8555 7.5.1: clients go on to the authorization by this link; some follow nothing else. */
static enum step_result reply_challenge(struct operation *operation) {
    struct authorization_state *state = operation->state;
    const char *link = arena_printf(operation->arena, "<%s>;rel=\"up\"",
                                    acme_url(operation, "authz/%s/%zu", state->order.id, state->index));
    if (link != NULL)
        http_reply_header(operation->request, "Link", link);
    acme_reply_json(operation, 200, acme_challenge_json(operation, &state->order, state->index));
    return STEP_REPLIED;
}

static const struct step challenge_steps[] = {ACME_AUTHENTICATE,
                                              {"read request", read_request},
                                              {"load order", load_order},
                                              {"find authorization", find_authorization},
                                              {"refuse under a stop", refuse_under_a_stop},
                                              {"load zone", load_zone},
                                              {"take limits", take_limits},
                                              {"judge limits", judge_limits},
                                              {"check DNS", check_dns},
                                              {"note failures", note_failures},
                                              {"record check", record_check},
                                              {"reply", reply_challenge}};
static const struct operation_kind challenge =
    OPERATION_KIND("challenge", challenge_steps, struct authorization_state, acme_fail);

void acme_challenge(struct http_request *request) {
    operation_start(request, &challenge);
}
