/* Finalize (RFC 8555 7.4): the one path on which a certificate comes into being.
 *
 * The order of writes is doc/architecture.md's: claim in Redis, intent and certificate in the ledger, commit
 * in Redis, reply. Where an outcome is not known (a time-out), the signer is asked or the idempotent commit
 * is repeated; where it stays unknown the client is told "processing" and the reconciler finishes or undoes
 * it. */
#include "internal.h"

#include <time.h>

#include "originca/csr.h"
#include "originca/dnscheck.h"
#include "originca/zones.h"

#define NOT_BEFORE_BACK_S (2 * 86400 - 600)

struct finalize_state {
    struct acme_post post;
    struct store_order order;
    struct csr csr;
    const char *csr_sha256, *spki_sha256, *attempt, *evidence, *issuer;
    const char **names;
    struct store_zone *zones;
    uint8_t evidence_sha256[SHA256_BYTES];
    int64_t claimed_at_ms;
    time_t checked_at;
    struct signer_certificate signed_certificate;
    enum signer_attempt_outcome outcome;
    struct store_certificate certificate;
    uint64_t sequences[3];
    struct store_ledger_mark mark;
    struct signer_revocation revocation;
    struct error sign_error;
    unsigned commit_tries;
    bool is_in_doubt, is_blocked_key, is_account_key;
};

static char *hex_of(struct arena *arena, const void *bytes, size_t length) {
    char *text = arena_alloc(arena, 2 * length + 1);
    if (text != NULL)
        hex_encode(bytes, length, text);
    return text;
}

/* --- the request --- */

static enum step_result load_order(struct operation *operation) {
    struct finalize_state *state = operation->state;
    store_load_order(operation->worker->store, operation->arena, operation->request->params[0], &state->order,
                     acme_done, operation);
    return STEP_WAIT;
}

static enum step_result check_order(struct operation *operation) {
    struct finalize_state *state = operation->state;
    if (state->order.status == ORDER_REFUSED || strcmp(state->order.account, state->post.account.id) != 0)
        return acme_refuse_absent(operation);
    /* The signer dates no certificate back by more; told before the order is claimed. */
    if (state->order.not_before != 0 && state->order.not_before < time(NULL) - NOT_BEFORE_BACK_S)
        return acme_refuse(operation, 403, "orderNotReady",
                           "The order's notBefore lies too far back by now; make a new order");
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
    const char *text = json_get_string(state->post.payload, "csr", &operation->error);
    struct bytes der;
    uint8_t digest[SHA256_BYTES];
    if (text == NULL)
        return STEP_FAIL;
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

static bool is_fresh(const struct operation *operation) {
    return time(NULL) - oldest_proof(operation->state) <
           (time_t)operation->worker->config->recheck_after_seconds;
}

static enum step_result find_zones(struct operation *operation) {
    struct finalize_state *state = operation->state;
    const char *customer = *state->order.customer == '\0' ? NULL : state->order.customer;
    if (is_fresh(operation))
        return STEP_DONE;
    store_zones_of_names(operation->worker->store, operation->arena, customer, state->names,
                         state->order.authorization_count, state->zones, acme_done, operation);
    return STEP_WAIT;
}

static void note_rechecked(void *context, const struct dnscheck_result *result) {
    struct operation *operation = context;
    struct finalize_state *state = operation->state;
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
        operation_fail(operation, NULL);
        return;
    }
    state->evidence = json_to_text(operation->arena, result->evidence);
    state->checked_at = result->checked_at;
    operation_resume(operation);
}

static enum step_result recheck_dns(struct operation *operation) {
    struct finalize_state *state = operation->state;
    struct dnscheck_request request;
    if (is_fresh(operation))
        return STEP_DONE;
    for (size_t i = 0; i < state->order.authorization_count; i++)
        if (state->zones[i].id == NULL ||
            strcmp(state->zones[i].id, state->order.authorizations[i].zone) != 0)
            return acme_refuse(operation, 403, "unauthorized", "The zone of %s is no longer yours",
                               state->names[i]);
    if (!zones_build_check(operation->arena, state->zones, state->names, NULL,
                           state->order.authorization_count, &request, &operation->error))
        return STEP_FAIL;
    acme_describe_check(operation, &request);
    if (dnscheck_start(operation->worker->dnscheck, operation->arena, &request, note_rechecked, operation,
                       &operation->error) == NULL) {
        operation->error.code = ERROR_UNAVAILABLE;
        return STEP_FAIL;
    }
    return STEP_WAIT;
}

static enum step_result record_recheck(struct operation *operation) {
    struct finalize_state *state = operation->state;
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

/* --- claim --- */

/* The claim was refused: for the key of the CSR, or for the account or a zone? */
static void note_key_status(void *context, const struct error *error) {
    struct operation *operation = context;
    struct finalize_state *state = operation->state;
    bool is_key_bad = error == NULL && (state->is_blocked_key || state->is_account_key);
    acme_refuse(operation, is_key_bad ? 400 : 403, is_key_bad ? "badCSR" : "unauthorized", "%s",
                operation->error.message);
    operation_fail(operation, NULL);
}

static void note_claimed(void *context, const struct error *error) {
    struct operation *operation = context;
    struct finalize_state *state = operation->state;
    if (error != NULL && error->code == ERROR_CONFLICT) {
        /* Lost a race. With the same CSR the winner's result is ours too. */
        operation->error = *error;
        if (state->order.status == ORDER_READY)
            acme_refuse(operation, 403, "unauthorized", "%s", error->message);
        else
            refuse_not_ready(operation);
        operation_fail(operation, NULL);
    } else if (error != NULL && error->code == ERROR_REFUSED) {
        operation->error = *error;
        store_key_status(operation->worker->store, state->spki_sha256, &state->is_blocked_key,
                         &state->is_account_key, note_key_status, operation);
    } else {
        acme_done(context, error);
    }
}

static enum step_result claim_order(struct operation *operation) {
    struct finalize_state *state = operation->state;
    struct worker *worker = operation->worker;
    state->attempt = arena_printf(operation->arena, "%s-%llu", worker->instance,
                                  (unsigned long long)worker->next_attempt++);
    state->claimed_at_ms = clock_wall_ms();
    if (state->attempt == NULL)
        return acme_refuse(operation, 503, "serverInternal", "out of memory");
    store_claim_order(worker->store, operation->arena, state->order.id, state->attempt, state->claimed_at_ms,
                      state->csr_sha256, state->spki_sha256, &state->order, note_claimed, operation);
    return STEP_WAIT;
}

/* --- sign --- */

static void note_released(void *context, const struct error *error) {
    struct operation *operation = context;
    struct finalize_state *state = operation->state;
    if (error != NULL)
        log_event(LOG_LEVEL_WARNING, "an order stays claimed until the reconciler frees it", "order",
                  state->order.id, "reason", error->message, NULL);
    operation_fail(operation, &state->sign_error);
}

/* Nothing was signed. What no retry can change makes the order invalid; everything else makes it ready again.
 */
static void release_order(struct operation *operation) {
    struct finalize_state *state = operation->state;
    const char *problem = NULL;
    if (state->sign_error.code == ERROR_REFUSED || state->sign_error.code == ERROR_INVALID) {
        state->post.type = "badCSR";
        state->post.status = 400;
        problem = acme_problem_text(operation, "badCSR", 400, state->sign_error.message, NULL);
    }
    store_release_order(operation->worker->store, state->order.id, state->attempt, problem, note_released,
                        operation);
}

static void note_outcome(void *context, const struct error *error) {
    struct operation *operation = context;
    struct finalize_state *state = operation->state;
    if (error != NULL) {
        state->is_in_doubt = true; /* answered with "processing" */
        operation_resume(operation);
    } else if (state->outcome == SIGNER_ATTEMPT_ISSUED) {
        operation_resume(operation);
    } else if (state->outcome == SIGNER_ATTEMPT_SIGNING) {
        state->is_in_doubt = true;
        operation_resume(operation);
    } else {
        state->sign_error.code = ERROR_UNAVAILABLE;
        release_order(operation);
    }
}

static void note_signed(void *context, const struct error *error) {
    struct operation *operation = context;
    struct finalize_state *state = operation->state;
    if (error == NULL) {
        operation_resume(operation);
        return;
    }
    state->sign_error = *error;
    if (error->code == ERROR_UNKNOWN)
        signer_attempt_status(operation->worker->signer, operation->arena, state->attempt, &state->outcome,
                              &state->signed_certificate, note_outcome, operation);
    else
        release_order(operation);
}

static bool fill_evidence(struct operation *operation, struct signer_certificate_request *request) {
    struct finalize_state *state = operation->state;
    size_t count = state->order.authorization_count;
    struct signer_evidence *evidence = arena_alloc(operation->arena, count * sizeof *evidence);
    const char **zones = arena_alloc(operation->arena, count * sizeof *zones);
    if (evidence == NULL || zones == NULL)
        return false;
    for (size_t i = 0; i < count; i++) {
        const struct store_authorization *authorization = &state->order.authorizations[i];
        evidence[i] = (struct signer_evidence){authorization->name, state->checked_at,
                                               *state->order.customer == '\0' ? "dns-01" : "dns-delegation"};
        bool is_new = true;
        for (size_t k = 0; k < request->zone_count && is_new; k++)
            is_new = strcmp(zones[k], authorization->zone) != 0;
        if (is_new)
            zones[request->zone_count++] = authorization->zone;
    }
    request->evidence = evidence;
    request->evidence_count = count;
    request->zones = zones;
    return true;
}

static enum step_result sign_certificate(struct operation *operation) {
    struct finalize_state *state = operation->state;
    const struct config *config = operation->worker->config;
    const struct config_profile *profile = config_find_profile(config, state->order.profile);
    state->issuer = state->csr.key.kind == KEY_KIND_RSA ? config->acme_rsa_issuer : config->acme_ecc_issuer;
    struct signer_certificate_request request = {
        .attempt = state->attempt,
        .order = state->order.id,
        .account = state->order.account,
        .customer = state->order.customer,
        .names = state->names,
        .name_count = state->order.authorization_count,
        .spki = state->csr.key.spki,
        .profile = state->order.profile,
        .issuer = state->issuer,
        .not_before = state->order.not_before,
        .claimed_at_ms = state->claimed_at_ms,
        .request_id = operation->request->id,
    };
    if (state->evidence != NULL)
        sha256(state->evidence, strlen(state->evidence), state->evidence_sha256);
    memcpy(request.evidence_sha256, state->evidence_sha256, SHA256_BYTES);
    if (profile == NULL || !fill_evidence(operation, &request)) {
        error_set(&state->sign_error, profile == NULL ? ERROR_REFUSED : ERROR_UNAVAILABLE,
                  profile == NULL ? "the profile of the order does not exist any more" : "out of memory");
        release_order(operation);
        return STEP_WAIT;
    }
    time_t start =
        request.not_before != 0 ? request.not_before : time(NULL) - (time_t)config->backdate_seconds;
    /* Back-dating must not push the longest lifetime over the profile's bound. */
    time_t longest = (time_t)profile->max_days * 86400;
    if (request.not_before == 0 && state->order.not_after - start > longest)
        start = state->order.not_after - longest;
    if (state->order.not_after != 0)
        request.not_before = start; /* the end is given: fix the start as well, so that it is exact */
    request.validity_seconds = state->order.not_after != 0 ? (uint32_t)(state->order.not_after - start)
                                                           : profile->default_days * 86400u;
    signer_sign_certificate(operation->worker->signer, operation->arena, &request, &state->signed_certificate,
                            note_signed, operation);
    return STEP_WAIT;
}

/* --- commit --- */

static void commit(struct operation *operation);

static void note_orphan_recorded(void *context, const struct error *error) {
    struct operation *operation = context;
    (void)error; /* the ledger has it: the fence brings it into Redis */
    acme_refuse(operation, 403, "unauthorized",
                "The account or the zone changed while the certificate was made; it was revoked at once");
    operation_fail(operation, NULL);
}

static void note_orphan_revoked(void *context, const struct error *error) {
    struct operation *operation = context;
    struct finalize_state *state = operation->state;
    if (error != NULL) {
        note_orphan_recorded(operation, error);
        return;
    }
    state->sequences[2] = state->revocation.sequence;
    state->mark.count = 3;
    store_revoke_certificate(operation->worker->store, state->certificate.serial,
                             state->revocation.revoked_at, state->revocation.reason, "recovery", &state->mark,
                             note_orphan_recorded, operation);
}

static void note_committed(void *context, const struct error *error) {
    struct operation *operation = context;
    struct finalize_state *state = operation->state;
    if (error == NULL) {
        state->order.status = ORDER_VALID;
        state->order.serial = state->certificate.serial;
        operation_resume(operation);
    } else if (error->code == ERROR_CONFLICT) {
        log_event(LOG_LEVEL_WARNING, "revoking a certificate that could not be committed", "order",
                  state->order.id, "serial", state->certificate.serial, "reason", error->message, NULL);
        state->revocation =
            (struct signer_revocation){.issuer = state->issuer, .reason = 5, .by = "recovery"};
        memcpy(state->revocation.serial, state->signed_certificate.serial, SERIAL_BYTES);
        signer_revoke(operation->worker->signer, &state->revocation, note_orphan_revoked, operation);
    } else if (error->code == ERROR_UNKNOWN && state->commit_tries < 2) {
        commit(operation); /* idempotent by the attempt */
    } else {
        state->is_in_doubt = true;
        operation_resume(operation);
    }
}

static void commit(struct operation *operation) {
    struct finalize_state *state = operation->state;
    state->commit_tries++;
    store_commit_certificate(operation->worker->store, &state->certificate, state->attempt, &state->mark,
                             note_committed, operation);
}

static enum step_result record_certificate(struct operation *operation) {
    struct finalize_state *state = operation->state;
    const struct signer_certificate *made = &state->signed_certificate;
    const char **zones = arena_alloc(operation->arena, state->order.authorization_count * sizeof *zones);
    size_t zone_count = 0;
    if (state->is_in_doubt)
        return STEP_DONE;
    for (size_t i = 0; zones != NULL && i < state->order.authorization_count; i++) {
        bool is_new = true;
        for (size_t k = 0; k < zone_count && is_new; k++)
            is_new = strcmp(zones[k], state->order.authorizations[i].zone) != 0;
        if (is_new)
            zones[zone_count++] = state->order.authorizations[i].zone;
    }
    state->certificate = (struct store_certificate){
        .serial = hex_of(operation->arena, made->serial, SERIAL_BYTES),
        .der = made->der,
        .status = CERTIFICATE_VALID,
        .order = state->order.id,
        .account = state->order.account,
        .customer = state->order.customer,
        .profile = state->order.profile,
        .issuer = state->issuer,
        .names = state->names,
        .name_count = state->order.authorization_count,
        .zones = zones,
        .zone_count = zone_count,
        .spki_sha256 = state->spki_sha256,
        .not_before = made->not_before,
        .not_after = made->not_after,
        .issued_at = time(NULL),
        .replaced_by = "",
    };
    if (zones == NULL || state->certificate.serial == NULL) {
        state->is_in_doubt = true; /* the ledger has the certificate: the fence rolls it forward */
        return STEP_DONE;
    }
    state->sequences[0] = made->intent_sequence;
    state->sequences[1] = made->issued_sequence;
    state->mark = (struct store_ledger_mark){operation->worker->config->host_name, state->sequences, 2};
    commit(operation);
    return STEP_WAIT;
}

static enum step_result reply(struct operation *operation) {
    struct finalize_state *state = operation->state;
    if (state->is_in_doubt)
        state->order.status = ORDER_PROCESSING;
    log_event(LOG_LEVEL_INFO, state->is_in_doubt ? "order left to the reconciler" : "certificate issued",
              "request", operation->request->id, "order", state->order.id, "account", state->order.account,
              "customer", state->order.customer, "serial",
              state->is_in_doubt ? NULL : state->certificate.serial, "name", state->names[0], NULL);
    acme_reply_order(operation, 200, &state->order);
    return STEP_REPLIED;
}

static const struct step steps[] = {
    ACME_AUTHENTICATE,
    {"load order", load_order},
    {"check order", check_order},
    {"check CSR", check_csr},
    {"find zones", find_zones},
    {"check DNS again", recheck_dns},
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
