/* The answer: what Redis says of the certificates, the answer that this worker keeps of it, or one that the
 * signer makes.
 *
 *   load ──▶ limits ──kept───────────────────────────────▶ reply
 *    ▲         │
 *    │         ▼
 *    │        sign ──▶ does it still hold? ──yes──▶ reply
 *    └── something changed ──┘
 *
 * Limits come after the first look (service.c): what was never issued here costs its asker none of them.
 * Whoever is told "good" is told what Redis held after the signature was made. While the process does not
 * serve (the fence: Redis may lack revocations) nothing is said but what was revoked and signed as such: that
 * never changes back. */
#include "internal.h"

#include <string.h>

#include "originca/log.h"

#define TRIES_MAX 3 /* a certificate changes twice at most: revoked, and once more for a worse reason */

static void load(struct operation *operation);

static void end(struct operation *operation, enum error_code code, const char *reason) {
    error_set(&operation->error, code, "%s", reason);
    operation_fail(operation, NULL);
}

static void reply_with(struct operation *operation, struct ocsp_answer answer) {
    ocsp_call_of(operation)->answer = answer;
    operation_resume(operation);
}

/* --- keeping --- */

/* An answer about one certificate, without a nonce. */
static bool may_keep(const struct ocsp_call *call) {
    return !call->request.has_nonce && call->list.count == 1;
}

static struct ocsp_kept_key key_of(const struct ocsp_call *call) {
    struct ocsp_kept_key key = {.form = call->statuses[0].form, .state = call->list.items[0].state};
    memcpy(key.serial, call->statuses[0].serial, SERIAL_BYTES);
    return key;
}

static bool find_kept(struct operation *operation, struct ocsp_answer *answer) {
    struct ocsp_call *call = ocsp_call_of(operation);
    const struct ocsp_kept_key key = key_of(call);
    return may_keep(call) && call->list.items[0].status != STORE_OCSP_UNKNOWN &&
           ocsp_kept_find(call->ocsp->kept, operation->arena, &key, clock_monotonic_ms(), answer);
}

static void keep(struct operation *operation, const struct ocsp_answer *answer) {
    struct ocsp_call *call = ocsp_call_of(operation);
    const struct ocsp_kept_key key = key_of(call);
    int64_t half_ms = (int64_t)operation->worker->config->ocsp_validity_seconds * 1000 / 2;
    if (!may_keep(call))
        return;
    ocsp_kept_put(call->ocsp->kept, &key, answer, call->loaded_ms + half_ms);
    operation->worker->ocsp_kept_bytes = ocsp_kept_bytes(call->ocsp->kept);
}

/* --- signing --- */

static void note_held(void *context, const struct error *error) {
    struct operation *operation = context;
    struct ocsp_call *call = ocsp_call_of(operation);
    const struct signer_ocsp_response *made = &call->signed_response;
    const struct ocsp_answer answer = {made->der, made->this_update, made->next_update};
    if (error == NULL)
        keep(operation, &answer);
    if (error != NULL && error->code == ERROR_CONFLICT && ++call->tries < TRIES_MAX)
        load(operation);
    else if (error != NULL)
        end(operation, ERROR_UNAVAILABLE, error->message);
    else if (!operation->worker->is_ready)
        end(operation, ERROR_UNAVAILABLE, operation->worker->not_ready_reason);
    else
        reply_with(operation, answer);
}

static void note_signed(void *context, const struct error *error) {
    struct operation *operation = context;
    struct ocsp_call *call = ocsp_call_of(operation);
    call->ocsp->signing--;
    if (error != NULL) { /* refused: the ledger has a revocation that Redis is about to get */
        end(operation, error->code == ERROR_INTERNAL ? ERROR_INTERNAL : ERROR_UNAVAILABLE, error->message);
        return;
    }
    metric_add(call->ocsp->signed_total, 1);
    store_confirm_ocsp(operation->worker->store, &call->list, note_held, operation);
}

static void sign(struct operation *operation) {
    struct ocsp_call *call = ocsp_call_of(operation);
    if (call->ocsp->signing >= operation->worker->config->ocsp_max_signing) {
        end(operation, ERROR_UNAVAILABLE, "ocsp_max_signing answers are being made");
        return;
    }
    for (size_t i = 0; i < call->list.count; i++) {
        const struct store_ocsp *item = &call->list.items[i];
        call->statuses[i].is_revoked = item->status == STORE_OCSP_REVOKED;
        /* By the clock of a host that is ahead it was revoked in the future: it is revoked now, as on lists.
         */
        call->statuses[i].revoked_at = item->revoked_at < call->known_at ? item->revoked_at : call->known_at;
        call->statuses[i].reason = item->reason;
    }
    const struct signer_ocsp_request request = {.issuer = call->issuer->name,
                                                .statuses = call->statuses,
                                                .count = call->list.count,
                                                .known_at = call->known_at,
                                                .nonce = call->request.has_nonce ? call->request.nonce
                                                                                 : (struct bytes){0}};
    call->ocsp->signing++;
    signer_sign_ocsp(operation->worker->signer, operation->arena, &request, &call->signed_response,
                     note_signed, operation);
}

/* --- looking --- */

/* A certificate is its issuer's by subject and key, which sections of the configuration may share. */
static bool is_issuer(const struct ocsp_call *call, const char *name) {
    for (size_t i = 0; i < call->ocsp->issuer_count; i++) {
        const struct ocsp_issuer *issuer = &call->ocsp->issuers[i];
        if (strcmp(issuer->name, name) == 0)
            return memcmp(&issuer->id, &call->issuer->id, sizeof issuer->id) == 0;
    }
    return false;
}

static bool are_issuers(const struct ocsp_call *call) {
    for (size_t i = 0; i < call->list.count; i++)
        if (call->list.items[i].status == STORE_OCSP_UNKNOWN || !is_issuer(call, call->list.items[i].issuer))
            return false;
    return true;
}

/* Also a Redis whose data went back under the connection, which the fence is about to see. */
static bool may_vouch(const struct operation *operation) {
    return operation->worker->is_ready &&
           ocsp_call_of(operation)->list.applied >= operation->worker->applied_at_least;
}

/* One that was kept, or a new one. */
static void find_answer(struct operation *operation) {
    struct ocsp_answer kept;
    if (!find_kept(operation, &kept)) {
        sign(operation);
        return;
    }
    metric_add(ocsp_call_of(operation)->ocsp->kept_total, 1);
    reply_with(operation, kept);
}

static void note_loaded(void *context, const struct error *error) {
    struct operation *operation = context;
    struct ocsp_call *call = ocsp_call_of(operation);
    struct ocsp_answer kept;
    bool is_final =
        error == NULL && call->list.items[0].status == STORE_OCSP_REVOKED && find_kept(operation, &kept);
    if (error != NULL)
        operation_fail(operation, error);
    else if (!may_vouch(operation) && !is_final)
        end(operation, ERROR_UNAVAILABLE, "Redis may lack what the ledger has");
    else if (!are_issuers(call))
        end(operation, ERROR_NOT_FOUND, "no such certificate was issued");
    else if (call->is_past_limits)
        find_answer(operation);
    else
        operation_resume(operation);
}

static void load(struct operation *operation) {
    struct ocsp_call *call = ocsp_call_of(operation);
    call->known_at = (time_t)(clock_wall_ms() / 1000);
    call->loaded_ms = clock_monotonic_ms();
    store_load_ocsp(operation->worker->store, operation->arena, operation->worker->config->host_name,
                    &call->list, note_loaded, operation);
}

enum step_result ocsp_load_statuses(struct operation *operation) {
    load(operation);
    return STEP_WAIT;
}

/* Whose nonce was passed over may be given a kept answer: that one has to fit what Redis says now. */
enum step_result ocsp_find_answer(struct operation *operation) {
    struct ocsp_call *call = ocsp_call_of(operation);
    call->is_past_limits = true;
    if (call->limits.outcome.exceeded > 0)
        load(operation);
    else
        find_answer(operation);
    return STEP_WAIT;
}
