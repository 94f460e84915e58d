/* Finalize (RFC 8555 7.4): checks the CSR and DNS (recheck.h), then issues (issue.h). Where the signer is
 * away or did not answer in time the client is told "processing", and the reconciler finishes the order. */
#include "internal.h"

#include <time.h>

#include "originca/csr.h"
#include "originca/issue.h"
#include "originca/limits.h"
#include "originca/recheck.h"

#define NOT_BEFORE_BACK_S (2 * 86400 - 600)

struct finalize_state {
    struct acme_post post;
    struct store_order order;
    struct csr csr;
    const char *csr_text; /* as sent; NULL where there is none */
    struct bytes csr_der;
    const char *csr_sha256, *spki_sha256;
    const char **names;
    struct recheck recheck;
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
    state->csr_der = der;
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
    if (state->spki_sha256 == NULL || state->names == NULL)
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

static void describe_findings(struct operation *operation, const struct dnscheck_result *result) {
    struct finalize_state *state = operation->state;
    for (size_t i = 0; i < result->name_count; i++) {
        const struct dnscheck_finding *finding = &result->names[i];
        if (finding->verdict != DNSCHECK_OK)
            acme_add_subproblem(operation, finding->verdict == DNSCHECK_REFUSED ? "unauthorized" : "dns",
                                state->order.authorizations[i].identifier, finding->text);
    }
}

static void note_rechecked(void *context, const struct error *error) {
    struct operation *operation = context;
    struct finalize_state *state = operation->state;
    if (error == NULL) {
        operation_resume(operation);
        return;
    }
    if (state->recheck.result != NULL)
        describe_findings(operation, state->recheck.result);
    switch (state->recheck.failure) {
    case RECHECK_NOT_YOURS:
    case RECHECK_REFUSED:
        acme_refuse(operation, 403, "unauthorized", "%s", error->message);
        break;
    case RECHECK_UNSURE:
        acme_refuse_for_dns(operation, error->message);
        break;
    case RECHECK_LIMITED:
        acme_judge_limits(operation, &state->recheck.limits);
        break;
    case RECHECK_FAILED:
        acme_done(operation, error);
        return;
    }
    operation_fail(operation, NULL);
}

/* Accounts cost nothing: without a customer behind it a check counts for the address that asked. */
static enum step_result recheck_dns(struct operation *operation) {
    struct finalize_state *state = operation->state;
    struct limits_order asker;
    bool is_rsa = state->csr.key.kind == KEY_KIND_RSA;
    if (!acme_set_asker(operation, &asker, state->order.customer))
        return acme_refuse(operation, 503, "serverInternal", "out of memory");
    state->recheck = (struct recheck){.worker = operation->worker,
                                      .arena = operation->arena,
                                      .order = &state->order,
                                      .names = state->names,
                                      .issuer = issue_acme_issuer(operation->worker->config, is_rsa),
                                      .checker = asker.checker};
    recheck_run(&state->recheck, note_rechecked, operation);
    return STEP_WAIT;
}

/* --- issuing (issue.h) --- */

/* What the order keeps when the signer refuses it for good. */
static const char *describe_refusal(void *context, const struct error *error) {
    return acme_problem_text(context, "badCSR", 400, operation_outward_text(context, error->code), NULL);
}

/* A completion of each of the three steps: what a failure is called in ACME. */
static void note_issue_step(void *context, const struct error *error) {
    struct operation *operation = context;
    struct finalize_state *state = operation->state;
    enum issue_failure failure = state->issue.failure;
    if (error != NULL && failure == ISSUE_POSTPONED)
        state->issue.is_in_doubt = true;
    if (error == NULL || failure == ISSUE_POSTPONED) {
        operation_resume(operation);
        return;
    }
    operation->error = *error;
    if (failure == ISSUE_NOT_READY)
        refuse_not_ready(operation); /* with the same CSR the winner's result is ours too: poll */
    else if (failure == ISSUE_UNSIGNED)
        acme_refuse(operation, 400, "badCSR", "%s", operation_outward_text(operation, error->code));
    else if (failure == ISSUE_BAD_KEY)
        acme_refuse(operation, 400, "badCSR", "%s", error->message);
    else if (failure == ISSUE_REFUSED || failure == ISSUE_OUTDATED || failure == ISSUE_WITHDRAWN)
        acme_refuse(operation, 403, "unauthorized", "%s", error->message);
    operation_fail(operation, NULL);
}

/* A zone's newer check did not hold, or Redis went back: DNS is asked, however fresh the order's own check
 * is. */
static void note_rechecked_after_claim(void *context, const struct error *error) {
    struct operation *operation = context;
    struct finalize_state *state = operation->state;
    if (error != NULL) {
        note_rechecked(operation, error);
        return;
    }
    state->issue.evidence = state->recheck.evidence;
    state->issue.checked_at = state->recheck.checked_at;
    issue_claim(&state->issue, note_issue_step, operation);
}

static void note_claimed(void *context, const struct error *error) {
    struct operation *operation = context;
    struct finalize_state *state = operation->state;
    bool is_outdated = error != NULL && state->issue.failure == ISSUE_OUTDATED;
    if (!is_outdated || state->recheck.must_check) {
        note_issue_step(operation, error);
        return;
    }
    state->recheck.must_check = true;
    recheck_run(&state->recheck, note_rechecked_after_claim, operation);
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
        .csr = state->csr_der,
        .csr_sha256 = state->csr_sha256,
        .spki_sha256 = state->spki_sha256,
        .evidence = state->recheck.evidence,
        .checked_at = state->recheck.checked_at,
        .describe = describe_refusal,
    };
    if (!issue_set_terms(&state->issue, state->csr.key.kind == KEY_KIND_RSA, &operation->error))
        return STEP_FAIL;
    const struct acme_issuer *issuer = acme_find_issuer(state->post.acme, state->issue.issuer);
    if (!acme_issuer_is_in_force(issuer, time(NULL)))
        return acme_refuse(operation, 503, "serverInternal",
                           "No certificate can be issued at the moment; try again later");
    issue_claim(&state->issue, note_claimed, operation);
    return STEP_WAIT;
}

static enum step_result sign_certificate(struct operation *operation) {
    struct finalize_state *state = operation->state;
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
    {"check DNS again", recheck_dns},
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
