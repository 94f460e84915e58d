/* Finalize (RFC 8555 7.4): checks the CSR and DNS, then issues (issue.h). Where the outcome stays unknown the
 * client is told "processing", and the reconciler finishes or undoes the order. */
#include "internal.h"

#include <time.h>

#include "originca/csr.h"
#include "originca/issue.h"
#include "originca/limits.h"
#include "originca/perspective.h"
#include "originca/zones.h"

#define NOT_BEFORE_BACK_S (2 * 86400 - 600)

struct finalize_state {
    struct acme_post post;
    struct store_order order;
    struct csr csr;
    const char *csr_text; /* as sent; NULL where there is none */
    const char *csr_sha256, *spki_sha256, *evidence;
    const char **names;
    struct store_zone *zones;
    time_t checked_at;
    struct limits_order asked;
    struct limits limits;
    const struct dnscheck_result *result; /* of the check made now; NULL: the order's is fresh */
    bool is_fresh, was_refused;
    struct issue issue;
};

static char *hex_of(struct arena *arena, const void *bytes, size_t length) {
    char *text = arena_alloc(arena, 2 * length + 1);
    if (text != NULL)
        hex_encode(bytes, length, text);
    return text;
}

/* --- the request --- */

static enum step_result read_request(struct operation *operation) {
    struct finalize_state *state = operation->state;
    const char *text = json_get_string(state->post.payload, "csr", &operation->error);
    state->csr_text = text == NULL ? NULL : arena_strdup(operation->arena, text);
    if (text != NULL && state->csr_text == NULL)
        return acme_refuse(operation, 503, "serverInternal", "out of memory");
    return acme_forget_request(operation);
}

static enum step_result load_order(struct operation *operation) {
    struct finalize_state *state = operation->state;
    store_load_order(operation->worker->store, operation->arena, operation->request->params[0], &state->order,
                     acme_done, operation);
    return STEP_WAIT;
}

static enum step_result check_order(struct operation *operation) {
    struct finalize_state *state = operation->state;
    uint32_t hours = operation->worker->config->not_before_max_ahead_hours;
    if (state->order.status == ORDER_REFUSED || strcmp(state->order.account, state->post.account.id) != 0)
        return acme_refuse_absent(operation);
    /* The signer dates no certificate back by more; and the bound ahead may have been lowered. Told before
     * the order is claimed. */
    if (state->order.not_before != 0 && state->order.not_before < time(NULL) - NOT_BEFORE_BACK_S)
        return acme_refuse(operation, 403, "orderNotReady",
                           "The order's notBefore lies too far back by now; make a new order");
    if (state->order.not_before > time(NULL) + (time_t)hours * 3600)
        return acme_refuse(operation, 403, "orderNotReady",
                           "The order's notBefore lies more than %u hours ahead; make a new order", hours);
    return STEP_DONE;
}

static enum step_result refuse_not_ready(struct operation *operation) {
    struct finalize_state *state = operation->state;
    enum store_order_status status = acme_order_status(&state->order);
    http_reply_header(operation->request, "Location", acme_url(operation, "order/%s", state->order.id));
    return acme_refuse(operation, 403, "orderNotReady", "The order is %s, not ready%s",
                       store_order_status_name(status),
                       status == ORDER_PROCESSING ? "; poll it until it is valid" : "");
}

/* The same CSR for a finished order is a retry whose reply was lost: it gets the order. */
static enum step_result check_csr(struct operation *operation) {
    struct finalize_state *state = operation->state;
    const char *text = state->csr_text;
    struct bytes der;
    uint8_t digest[SHA256_BYTES];
    if (text == NULL)
        return STEP_FAIL; /* with what read_request found */
    if (!base64url_decode(operation->arena, text, strlen(text), &der))
        return acme_refuse(
            operation, 400, "badCSR",
            "\"csr\" must be base64url of the DER form, without padding and without PEM lines");
    sha256(der.data, der.length, digest);
    state->csr_sha256 = hex_of(operation->arena, digest, sizeof digest);
    if (state->csr_sha256 == NULL)
        return acme_refuse(operation, 503, "serverInternal", "out of memory");
    bool is_same = strcmp(state->csr_sha256, state->order.csr_sha256) == 0;
    if (is_same && (state->order.status == ORDER_VALID || state->order.status == ORDER_PROCESSING)) {
        acme_reply_order(operation, 200, &state->order);
        return STEP_REPLIED;
    }
    if (acme_order_status(&state->order) != ORDER_READY)
        return refuse_not_ready(operation);
    if (!csr_parse(operation->arena, der, operation->worker->config->max_names, &state->csr,
                   &operation->error))
        return acme_refuse(operation, 400, "badCSR", "%s", operation->error.message);
    state->spki_sha256 = hex_of(operation->arena, state->csr.key.spki_sha256, SHA256_BYTES);
    state->names = arena_alloc(operation->arena, state->order.authorization_count * sizeof *state->names);
    state->zones = arena_alloc(operation->arena, state->order.authorization_count * sizeof *state->zones);
    if (state->spki_sha256 == NULL || state->names == NULL || state->zones == NULL)
        return acme_refuse(operation, 503, "serverInternal", "out of memory");
    for (size_t i = 0; i < state->order.authorization_count; i++)
        state->names[i] = state->order.authorizations[i].name;
    if (!csr_check_names(&state->csr, state->names, state->order.authorization_count, &operation->error))
        return acme_refuse(operation, 400, "badCSR", "%s", operation->error.message);
    if (memcmp(state->csr.key.spki_sha256, state->post.key.facts.spki_sha256, SHA256_BYTES) == 0)
        return acme_refuse(operation, 400, "badCSR",
                           "The CSR's key is the account's key; use a key of its own for the certificate");
    return STEP_DONE;
}

/* --- DNS again --- */

/* When the oldest of the proofs was made. Without external binding each name was proven by itself. */
static time_t oldest_proof(const struct finalize_state *state) {
    time_t oldest = state->order.checked_at;
    for (size_t i = 0; *state->order.customer == '\0' && i < state->order.authorization_count; i++)
        if (state->order.authorizations[i].validated_at < oldest)
            oldest = state->order.authorizations[i].validated_at;
    return oldest;
}

static enum step_result find_zones(struct operation *operation) {
    struct finalize_state *state = operation->state;
    const char *customer = *state->order.customer == '\0' ? NULL : state->order.customer;
    state->is_fresh =
        time(NULL) - oldest_proof(state) < (time_t)operation->worker->config->recheck_after_seconds;
    if (state->is_fresh)
        return STEP_DONE;
    store_zones_of_names(operation->worker->store, operation->arena, customer, state->names,
                         state->order.authorization_count, state->zones, acme_done, operation);
    return STEP_WAIT;
}

static enum step_result match_zones(struct operation *operation) {
    struct finalize_state *state = operation->state;
    for (size_t i = 0; !state->is_fresh && i < state->order.authorization_count; i++)
        if (state->zones[i].id == NULL ||
            strcmp(state->zones[i].id, state->order.authorizations[i].zone) != 0)
            return acme_refuse(operation, 403, "unauthorized", "The zone of %s is no longer yours",
                               state->names[i]);
    return STEP_DONE;
}

static enum step_result take_limits(struct operation *operation) {
    struct finalize_state *state = operation->state;
    if (state->is_fresh)
        return STEP_DONE;
    state->asked = (struct limits_order){
        .names = state->names, .zones = state->zones, .count = state->order.authorization_count};
    bool is_built =
        acme_set_asker(operation, &state->asked, state->order.customer) &&
        limits_for_check(operation->arena, operation->worker->config, &state->asked, &state->limits);
    return acme_take_limits(operation, is_built, &state->limits);
}

static enum step_result judge_limits(struct operation *operation) {
    struct finalize_state *state = operation->state;
    return acme_judge_limits(operation, &state->limits);
}

static void note_rechecked(void *context, const struct dnscheck_result *result) {
    struct operation *operation = context;
    struct finalize_state *state = operation->state;
    state->result = result;
    const struct dnscheck_finding *bad = NULL;
    for (size_t i = 0; i < result->name_count; i++) {
        const struct dnscheck_finding *finding = &result->names[i];
        if (finding->verdict == DNSCHECK_OK)
            continue;
        acme_add_subproblem(operation, finding->verdict == DNSCHECK_REFUSED ? "unauthorized" : "dns",
                            state->order.authorizations[i].identifier, finding->text);
        if (bad == NULL || (bad->verdict != DNSCHECK_REFUSED && finding->verdict == DNSCHECK_REFUSED))
            bad = finding;
    }
    if (bad != NULL || result->verdict != DNSCHECK_OK ||
        result->name_count != state->order.authorization_count) {
        bool is_refused = bad != NULL && bad->verdict == DNSCHECK_REFUSED;
        acme_refuse(operation, is_refused ? 403 : 400, is_refused ? "unauthorized" : "dns", "%s",
                    bad == NULL ? "DNS could not be checked again" : bad->text);
        state->post.retry_after = is_refused ? 0 : 30;
        state->was_refused = true;
    } else {
        state->evidence = json_to_text(operation->arena, result->evidence);
        state->checked_at = result->checked_at;
    }
    operation_resume(operation);
}

static enum step_result recheck_dns(struct operation *operation) {
    struct finalize_state *state = operation->state;
    struct dnscheck_request request;
    if (state->is_fresh)
        return STEP_DONE;
    if (!zones_build_check(operation->arena, state->zones, state->names, NULL,
                           state->order.authorization_count, &request, &operation->error))
        return STEP_FAIL;
    acme_describe_check(operation, &request);
    if (perspectives_start(operation->worker->perspectives, operation->arena, &request, note_rechecked,
                           operation, &operation->error) == NULL) {
        operation->error.code = ERROR_UNAVAILABLE;
        return STEP_FAIL;
    }
    return STEP_WAIT;
}

static enum step_result note_failures(struct operation *operation) {
    struct finalize_state *state = operation->state;
    return acme_note_failures(operation, &state->limits, &state->asked, state->result);
}

static enum step_result record_recheck(struct operation *operation) {
    struct finalize_state *state = operation->state;
    if (state->was_refused)
        return STEP_FAIL;
    if (state->evidence == NULL)
        return STEP_DONE;
    store_record_recheck(operation->worker->store, state->order.id, state->checked_at, state->evidence,
                         acme_done, operation);
    return STEP_WAIT;
}

/* The ledger names the evidence by its hash; a fresh check's lies with the order. */
static void note_evidence(void *context, const struct error *error) {
    acme_done(context, error != NULL && error->code == ERROR_NOT_FOUND ? NULL : error);
}

static enum step_result load_evidence(struct operation *operation) {
    struct finalize_state *state = operation->state;
    if (state->evidence != NULL)
        return STEP_DONE;
    state->checked_at = oldest_proof(state);
    store_load_evidence(operation->worker->store, operation->arena, state->order.id, &state->evidence,
                        note_evidence, operation);
    return STEP_WAIT;
}

/* --- issuing (issue.h) --- */

/* What the order keeps when the signer refuses it for good. */
static const char *describe_refusal(void *context, const struct error *error) {
    return acme_problem_text(context, "badCSR", 400, error->message, NULL);
}

/* A completion of each of the three steps: what a failure is called in ACME. */
static void note_issue_step(void *context, const struct error *error) {
    struct operation *operation = context;
    struct finalize_state *state = operation->state;
    enum issue_failure failure = state->issue.failure;
    if (error == NULL) {
        operation_resume(operation);
        return;
    }
    operation->error = *error;
    if (failure == ISSUE_NOT_READY)
        refuse_not_ready(operation); /* with the same CSR the winner's result is ours too: poll */
    else if (failure == ISSUE_BAD_KEY || failure == ISSUE_UNSIGNED)
        acme_refuse(operation, 400, "badCSR", "%s", error->message);
    else if (failure == ISSUE_REFUSED || failure == ISSUE_WITHDRAWN)
        acme_refuse(operation, 403, "unauthorized", "%s", error->message);
    operation_fail(operation, NULL);
}

static enum step_result claim_order(struct operation *operation) {
    struct finalize_state *state = operation->state;
    state->issue = (struct issue){
        .worker = operation->worker,
        .arena = operation->arena,
        .request_id = operation->request->id,
        .order = &state->order,
        .names = state->names,
        .spki = state->csr.key.spki,
        .csr_sha256 = state->csr_sha256,
        .spki_sha256 = state->spki_sha256,
        .evidence = state->evidence,
        .checked_at = state->checked_at,
        .describe = describe_refusal,
    };
    issue_claim(&state->issue, note_issue_step, operation);
    return STEP_WAIT;
}

/* The order may fix start and end; else the profile's default counts from now. */
static void choose_validity(struct operation *operation) {
    struct finalize_state *state = operation->state;
    const struct config *config = operation->worker->config;
    const struct config_profile *profile = config_find_profile(config, state->order.profile);
    struct issue *issue = &state->issue;
    if (profile == NULL)
        return; /* issue_sign says so */
    time_t start = state->order.not_before != 0 ? state->order.not_before
                                                : time(NULL) - (time_t)config->backdate_seconds;
    /* Back-dating must not push the longest lifetime over the profile's bound. */
    time_t longest = (time_t)profile->max_days * 86400;
    if (state->order.not_before == 0 && state->order.not_after - start > longest)
        start = state->order.not_after - longest;
    bool has_end = state->order.not_after != 0;
    /* Where the end is given the start is fixed as well, so that it is exact. */
    issue->not_before = has_end ? start : state->order.not_before;
    issue->validity_seconds =
        has_end ? (uint32_t)(state->order.not_after - start) : profile->default_days * 86400u;
}

static enum step_result sign_certificate(struct operation *operation) {
    struct finalize_state *state = operation->state;
    const struct config *config = operation->worker->config;
    state->issue.issuer =
        state->csr.key.kind == KEY_KIND_RSA ? config->acme_rsa_issuer : config->acme_ecc_issuer;
    choose_validity(operation);
    issue_sign(&state->issue, note_issue_step, operation);
    return STEP_WAIT;
}

static enum step_result record_certificate(struct operation *operation) {
    struct finalize_state *state = operation->state;
    issue_record(&state->issue, note_issue_step, operation);
    return STEP_WAIT;
}

static enum step_result reply(struct operation *operation) {
    struct finalize_state *state = operation->state;
    if (state->issue.is_in_doubt)
        state->order.status = ORDER_PROCESSING;
    log_event(
        LOG_LEVEL_INFO, state->issue.is_in_doubt ? "order left to the reconciler" : "certificate issued",
        "request", operation->request->id, "order", state->order.id, "account", state->order.account,
        "customer", state->order.customer, "serial",
        state->issue.is_in_doubt ? NULL : state->issue.certificate.serial, "name", state->names[0], NULL);
    acme_reply_order(operation, 200, &state->order);
    return STEP_REPLIED;
}

static const struct step steps[] = {
    ACME_AUTHENTICATE,
    {"read request", read_request},
    {"load order", load_order},
    {"check order", check_order},
    {"check CSR", check_csr},
    {"find zones", find_zones},
    {"match zones", match_zones},
    {"take limits", take_limits},
    {"judge limits", judge_limits},
    {"check DNS again", recheck_dns},
    {"note failures", note_failures},
    {"record check", record_recheck},
    {"load evidence", load_evidence},
    {"claim the order", claim_order}, /* ready -> processing, one winner */
    {"sign", sign_certificate},       /* ledger: intent, signature, certificate */
    {"record", record_certificate},   /* order -> valid, edge event */
    {"reply", reply},
};
static const struct operation_kind finalize =
    OPERATION_KIND("finalize", steps, struct finalize_state, acme_fail);

void acme_finalize(struct http_request *request) {
    operation_start(request, &finalize);
}
