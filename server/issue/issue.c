/* Claim, sign, record. The order of writes is doc/architecture.md's; every state it can stop in is one that
 * the reconciler or the replay of the ledger knows how to leave. */
#include "originca/issue.h"

#include <string.h>
#include <time.h>

#include "originca/crl.h"
#include "originca/log.h"

static void begin(struct issue *issue, issue_done *done, void *context) {
    issue->done = done;
    issue->context = context;
    issue->failure = ISSUE_FAILED;
}

static void succeed(struct issue *issue) {
    issue->done(issue->context, NULL);
}

static void fail(struct issue *issue, enum issue_failure failure, const struct error *error) {
    issue->failure = failure;
    issue->done(issue->context, error);
}

/* --- claim --- */

/* The claim was refused: for the key of the CSR, or for the account or a zone? */
static void note_key_status(void *context, const struct error *error) {
    struct issue *issue = context;
    bool is_key_bad = error == NULL && (issue->is_blocked_key || issue->is_account_key);
    fail(issue, is_key_bad ? ISSUE_BAD_KEY : ISSUE_REFUSED, &issue->error);
}

static void note_claimed(void *context, const struct error *error) {
    struct issue *issue = context;
    if (error == NULL) {
        succeed(issue);
    } else if (error->code == ERROR_CONFLICT && issue->order->is_outdated != 0) {
        fail(issue, ISSUE_OUTDATED, error);
    } else if (error->code == ERROR_CONFLICT) {
        /* Lost a race, or expired while it was ready. */
        fail(issue, issue->order->status == ORDER_READY ? ISSUE_REFUSED : ISSUE_NOT_READY, error);
    } else if (error->code == ERROR_REFUSED) {
        issue->error = *error;
        store_key_status(issue->worker->store, issue->spki_sha256, issue->order->customer,
                         issue->order->account, &issue->is_blocked_key, &issue->is_account_key,
                         note_key_status, issue);
    } else {
        fail(issue, ISSUE_FAILED, error);
    }
}

void issue_claim(struct issue *issue, issue_done *done, void *context) {
    struct worker *worker = issue->worker;
    begin(issue, done, context);
    issue->attempt =
        arena_printf(issue->arena, "%s-%llu", worker->instance, (unsigned long long)worker->next_attempt++);
    issue->claimed_at_ms = clock_wall_ms();
    if (issue->attempt == NULL) {
        error_set(&issue->error, ERROR_UNAVAILABLE, "out of memory");
        fail(issue, ISSUE_FAILED, &issue->error);
        return;
    }
    store_claim_order(worker->store, issue->arena, issue->order->id, issue->attempt, issue->claimed_at_ms,
                      issue->csr_sha256, issue->spki_sha256, issue->csr, issue->issuer, issue->order,
                      note_claimed, issue);
}

/* --- sign --- */

static void note_released(void *context, const struct error *error) {
    struct issue *issue = context;
    if (error != NULL)
        log_event(LOG_LEVEL_WARNING, "an order stays claimed until the reconciler takes it up", "order",
                  issue->order->id, "reason", error->message, NULL);
    issue->done(issue->context, &issue->error);
}

/* Nothing was signed. What no retry can change makes the order invalid; everything else leaves it to the
 * reconciler. */
static void release(struct issue *issue) {
    const char *problem = NULL;
    bool is_final = issue->error.code == ERROR_REFUSED || issue->error.code == ERROR_INVALID;
    issue->failure = is_final ? ISSUE_UNSIGNED : ISSUE_POSTPONED;
    log_event(LOG_LEVEL_WARNING, is_final ? "the signer refuses" : "signing is put off", "request",
              issue->request_id, "order", issue->order->id, "attempt", issue->attempt, "reason",
              issue->error.message, NULL);
    if ((is_final || issue->is_only_attempt) && issue->describe != NULL)
        problem = issue->describe(issue->context, &issue->error);
    store_release_order(issue->worker->store, issue->order->id, issue->attempt, problem, note_released,
                        issue);
}

/* Who was not answered in time does not wait once more: the reconciler asks the signer. */
static void note_signed(void *context, const struct error *error) {
    struct issue *issue = context;
    if (error == NULL) {
        succeed(issue);
    } else if (error->code == ERROR_UNKNOWN) {
        log_event(LOG_LEVEL_WARNING, "it is not known whether a certificate was signed", "request",
                  issue->request_id, "order", issue->order->id, "attempt", issue->attempt, "reason",
                  error->message, NULL);
        issue->is_in_doubt = true;
        succeed(issue);
    } else {
        issue->error = *error;
        release(issue);
    }
}

static bool collect_zones(struct issue *issue) {
    size_t count = issue->order->authorization_count;
    issue->zones = arena_alloc(issue->arena, count * sizeof *issue->zones);
    issue->zone_count = 0;
    for (size_t i = 0; issue->zones != NULL && i < count; i++) {
        const char *zone = issue->order->authorizations[i].zone;
        size_t k = 0;
        while (k < issue->zone_count && strcmp(issue->zones[k], zone) != 0)
            k++;
        if (k == issue->zone_count)
            issue->zones[issue->zone_count++] = zone;
    }
    return issue->zones != NULL;
}

static struct signer_evidence *make_evidence(const struct issue *issue) {
    const struct store_order *order = issue->order;
    const char *method = *order->customer == '\0' ? "dns-01" : "dns-delegation";
    struct signer_evidence *evidence =
        arena_alloc(issue->arena, order->authorization_count * sizeof *evidence);
    for (size_t i = 0; evidence != NULL && i < order->authorization_count; i++)
        evidence[i] = (struct signer_evidence){order->authorizations[i].name, issue->checked_at, method};
    return evidence;
}

void issue_sign(struct issue *issue, issue_done *done, void *context) {
    const struct store_order *order = issue->order;
    bool has_profile = config_find_profile(issue->worker->config, order->profile) != NULL;
    begin(issue, done, context);
    struct signer_evidence *evidence = make_evidence(issue);
    if (!has_profile || evidence == NULL || !collect_zones(issue)) {
        error_set(&issue->error, has_profile ? ERROR_UNAVAILABLE : ERROR_REFUSED, "%s",
                  has_profile ? "out of memory" : "the profile of the order does not exist any more");
        release(issue);
        return;
    }
    struct signer_certificate_request request = {
        .attempt = issue->attempt,
        .order = order->id,
        .account = order->account,
        .customer = order->customer,
        .names = issue->names,
        .name_count = order->authorization_count,
        .zones = issue->zones,
        .zone_count = issue->zone_count,
        .spki = issue->spki,
        .profile = order->profile,
        .issuer = issue->issuer,
        .not_before = issue->not_before,
        .validity_seconds = issue->validity_seconds,
        .claimed_at_ms = issue->claimed_at_ms,
        .evidence = evidence,
        .evidence_count = order->authorization_count,
        .request_id = issue->request_id,
    };
    if (issue->evidence != NULL)
        sha256(issue->evidence, strlen(issue->evidence), issue->evidence_sha256);
    memcpy(request.evidence_sha256, issue->evidence_sha256, SHA256_BYTES);
    signer_sign_certificate(issue->worker->signer, issue->arena, &request, &issue->signed_certificate,
                            note_signed, issue);
}

/* --- record --- */

static void commit(struct issue *issue);

static void note_orphan_revoked(void *context, const struct error *error) {
    struct issue *issue = context;
    (void)error; /* the ledger has the certificate, and its replay revokes it then */
    if (issue->is_redis_in_doubt) {
        error_set(&issue->error, ERROR_UNAVAILABLE, "Redis is compared with the ledger; try again");
        fail(issue, ISSUE_FAILED, &issue->error);
        return;
    }
    if (issue->error.code ==
        ERROR_STOPPED) { /* the order waits, as if the stop had come before the signature */
        fail(issue, ISSUE_POSTPONED, &issue->error);
        return;
    }
    error_set(&issue->error, ERROR_REFUSED,
              "The account or the zone changed while the certificate was made; it was revoked at once");
    fail(issue, ISSUE_WITHDRAWN, &issue->error);
}

/* Nobody ever had it. */
static void revoke_orphan(struct issue *issue) {
    issue->revoke = (struct revoke){.worker = issue->worker,
                                    .arena = issue->arena,
                                    .certificate = &issue->certificate,
                                    .reason = REASON_CESSATION_OF_OPERATION,
                                    .by = "recovery",
                                    .sequences = issue->sequences,
                                    .hashes = issue->hashes[0],
                                    .sequence_count = 2};
    revoke_start(&issue->revoke, note_orphan_revoked, issue);
}

static void note_committed(void *context, const struct error *error) {
    struct issue *issue = context;
    if (error == NULL) {
        issue->order->status = ORDER_VALID;
        issue->order->serial = issue->certificate.serial;
        succeed(issue);
    } else if (error->code == ERROR_CONFLICT || error->code == ERROR_STOPPED) {
        issue->error = *error;
        log_event(LOG_LEVEL_WARNING, "revoking a certificate that could not be committed", "order",
                  issue->order->id, "serial", issue->certificate.serial, "reason", error->message, NULL);
        /* A Redis that went back refuses for want of what it forgot: nothing has changed for the client. */
        issue->is_redis_in_doubt = !issue->worker->is_ready;
        revoke_orphan(issue);
    } else if (error->code == ERROR_UNKNOWN && issue->commit_tries < 2) {
        commit(issue); /* idempotent by the attempt */
    } else {
        issue->is_in_doubt = true;
        succeed(issue);
    }
}

static void commit(struct issue *issue) {
    issue->commit_tries++;
    store_commit_certificate(issue->worker->store, &issue->certificate, issue->attempt, &issue->mark,
                             note_committed, issue);
}

void issue_record(struct issue *issue, issue_done *done, void *context) {
    const struct signer_certificate *made = &issue->signed_certificate;
    const struct store_order *order = issue->order;
    char *serial = arena_alloc(issue->arena, SERIAL_HEX_MAX);
    begin(issue, done, context);
    if (issue->is_in_doubt || serial == NULL) {
        issue->is_in_doubt = true; /* the ledger has the certificate: the fence rolls it forward */
        succeed(issue);
        return;
    }
    hex_encode(made->serial, SERIAL_BYTES, serial);
    issue->certificate = (struct store_certificate){
        .serial = serial,
        .der = made->der,
        .status = CERTIFICATE_VALID,
        .order = order->id,
        .account = order->account,
        .customer = order->customer,
        .profile = order->profile,
        .issuer = issue->issuer,
        .names = (const char **)(uintptr_t)issue->names,
        .name_count = order->authorization_count,
        .zones = issue->zones,
        .zone_count = issue->zone_count,
        .spki_sha256 = issue->spki_sha256,
        .not_before = made->not_before,
        .not_after = made->not_after,
        .issued_at = time(NULL),
        .crl_url = crl_url_of_certificate(issue->arena, made->der),
        .request = order->request,
        .replaced_by = "",
    };
    issue->sequences[0] = made->intent_sequence;
    issue->sequences[1] = made->issued_sequence;
    memcpy(issue->hashes[0], made->hashes[0], SHA256_BYTES);
    memcpy(issue->hashes[1], made->hashes[1], SHA256_BYTES);
    issue->mark =
        (struct store_ledger_mark){issue->worker->config->host_name, issue->sequences, 2, issue->hashes[0]};
    commit(issue);
}
