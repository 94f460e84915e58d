/* OCSP responses: what a worker asks for is judged by the signer's own ledger and clock, built here, linted,
 * signed and verified. Nothing is written, so nothing waits for the disk; the signatures are made beside
 * those of certificates. */
#include <stdio.h>
#include <string.h>

#include "engine_state.h"
#include "ocsp_lint.h"
#include "originca/log.h"
#include "originca/revocation.h"

#define AHEAD_SECONDS 5 /* clocks of one host; a revocation of another one */
#define CALLS_MAX 64    /* that the signing threads share at once */

struct ocsp_signing { /* an OCSP call on its way through the batch */
    struct engine_call *call;
    struct ocsp_contents contents;
    struct bytes tbs, der;
    struct error error;
    bool is_signed;
};

/* --- reading and judging --- */

static bool read_statuses(struct wire_reader *reader, struct ocsp_contents *contents) {
    contents->count = wire_get_count(reader, 4 + SERIAL_BYTES + 1 + 1 + 8 + 4);
    struct signer_ocsp_status *statuses =
        arena_alloc(reader->arena, (contents->count + 1) * sizeof *statuses);
    if (statuses == NULL)
        return false;
    contents->statuses = statuses;
    for (size_t i = 0; i < contents->count; i++) {
        struct bytes serial = wire_get_bytes(reader);
        if (serial.length != SERIAL_BYTES)
            return false;
        memcpy(statuses[i].serial, serial.data, SERIAL_BYTES);
        statuses[i].form = wire_get_u8(reader);
        statuses[i].is_revoked = wire_get_u8(reader) != 0;
        statuses[i].revoked_at = (time_t)wire_get_u64(reader);
        statuses[i].reason = wire_get_u32(reader);
    }
    return wire_is_complete(reader);
}

static bool read_call(const struct engine_call *call, struct ocsp_contents *contents, const char **issuer,
                      int64_t *known_at) {
    struct wire_reader reader = {.arena = call->arena, .rest = call->fields};
    *issuer = wire_get_string(&reader);
    *known_at = (int64_t)wire_get_u64(&reader);
    contents->nonce = wire_get_bytes(&reader);
    return read_statuses(&reader, contents);
}

/* A worker may be taken over: whatever it says, nobody is told that a certificate is good which this ledger
 * has revoked. */
static bool judge_status(const struct engine *engine, const struct signer_ocsp_status *status, time_t now,
                         struct error *error) {
    struct revoked_serial revoked;
    if (status->form >= OCSP_FORMS || status->serial[0] == 0 || status->serial[0] > 0x7F)
        return error_set(error, ERROR_INVALID, "no certificate of ours has such a CertID");
    if (!status->is_revoked)
        return !revoked_find(engine->revoked, status->serial, &revoked) ||
               error_set(error, ERROR_REFUSED, "the ledger has this certificate revoked, or void");
    return (revocation_reason_is_known(status->reason) && status->revoked_at > 0 &&
            status->revoked_at <= now + AHEAD_SECONDS) ||
           error_set(error, ERROR_INVALID, "no revocation has this time and reason");
}

static bool find_issuer(const struct engine *engine, const char *name, struct ocsp_contents *contents,
                        struct error *error) {
    for (size_t i = 0; i < engine->issuer_count; i++)
        if (strcmp(engine->issuers[i].config->name, name) == 0) {
            contents->issuer = &engine->issuers[i];
            return true;
        }
    return error_set(error, ERROR_REFUSED, "the issuer is unknown to the signer");
}

/* Times are the signer's own: of the worker's only the age of what it read counts. */
static bool set_window(const struct engine *engine, int64_t known_at, time_t now,
                       struct ocsp_contents *contents, struct error *error) {
    const struct config *config = engine->config;
    if (known_at > now + AHEAD_SECONDS || known_at < now - (time_t)config->claim_timeout_seconds)
        return error_set(error, ERROR_UNAVAILABLE, "what is to be said was read too long ago; try again");
    time_t moment = known_at < now ? (time_t)known_at : now;
    contents->produced_at = now;
    contents->this_update = moment - (time_t)config->backdate_seconds;
    contents->next_update = moment + (time_t)config->ocsp_validity_seconds;
    if (contents->next_update > contents->issuer->not_after)
        contents->next_update = contents->issuer->not_after;
    return contents->next_update > now ||
           error_set(error, ERROR_REFUSED, "the issuing certificate has ended");
}

static bool judge(struct engine *engine, struct ocsp_signing *signing) {
    struct ocsp_contents *contents = &signing->contents;
    struct error *error = &signing->error;
    time_t now = (time_t)(clock_wall_ms() / 1000);
    const char *issuer;
    int64_t known_at;
    if (!read_call(signing->call, contents, &issuer, &known_at) || contents->count == 0 ||
        contents->count > OCSP_REQUESTS_MAX || contents->nonce.length > OCSP_NONCE_MAX)
        return error_set(error, ERROR_INVALID, "malformed request");
    if (!engine_may_vouch(engine, error) || !find_issuer(engine, issuer, contents, error) ||
        !access_take(&engine->access, signing->call, RATE_OCSP, 1, error))
        return false;
    for (size_t i = 0; i < contents->count; i++)
        if (!judge_status(engine, &contents->statuses[i], now, error))
            return false;
    uint32_t longest = engine->config->ocsp_validity_seconds + engine->config->backdate_seconds;
    return set_window(engine, known_at, now, contents, error) &&
           ocsp_build_tbs(signing->call->arena, contents, &signing->tbs, error) &&
           ocsp_lint_tbs(signing->tbs, contents, longest, error);
}

/* --- through the batch --- */

static void refuse(struct engine *engine, const struct ocsp_signing *signing) {
    if (signing->error.code != ERROR_UNAVAILABLE) {
        metric_add(engine->ocsp_refused_total, 1);
        log_event(signing->error.code == ERROR_INTERNAL ? LOG_LEVEL_ERROR : LOG_LEVEL_DEBUG,
                  "an OCSP response was refused", "reason", signing->error.message, NULL);
    }
    engine_reply_error(signing->call, &signing->error);
}

/* NULL where the call is answered already. */
static struct ocsp_signing *begin(struct engine *engine, struct engine_call *call) {
    struct ocsp_signing *signing = arena_alloc(call->arena, sizeof *signing);
    if (signing == NULL)
        return NULL;
    signing->call = call;
    if (judge(engine, signing))
        return signing;
    refuse(engine, signing);
    return NULL;
}

static void sign(struct engine *engine, struct ocsp_signing *signing, unsigned thread) {
    const struct issuer *issuer = signing->contents.issuer;
    size_t index = (size_t)(issuer - engine->issuers);
    const gnutls_datum_t data = {(unsigned char *)(uintptr_t)signing->tbs.data,
                                 (unsigned)signing->tbs.length};
    gnutls_datum_t signature;
    int outcome = gnutls_privkey_sign_data2(engine->keys[thread * engine->issuer_count + index],
                                            issuer->algorithm, 0, &data, &signature);
    if (outcome < 0) {
        error_set(&signing->error, ERROR_UNAVAILABLE, "the token does not sign: %s",
                  gnutls_strerror(outcome));
        return;
    }
    struct bytes bits = {signature.data, signature.size};
    signing->is_signed =
        ocsp_assemble(signing->call->arena, issuer, signing->tbs, bits, &signing->der, &signing->error) &&
        ocsp_lint_response(signing->der, signing->tbs, issuer, &signing->error);
    gnutls_free(signature.data);
}

static void end(struct engine *engine, struct ocsp_signing *signing) {
    struct wire_writer writer;
    if (!signing->is_signed) {
        engine->is_token_lost = engine->is_token_lost || signing->error.code == ERROR_UNAVAILABLE;
        refuse(engine, signing);
        return;
    }
    metric_add(engine->ocsp_signatures_total, 1);
    engine_begin_reply(signing->call, &writer);
    wire_put_bytes(&writer, signing->der.data, signing->der.length);
    wire_put_u64(&writer, (uint64_t)signing->contents.this_update);
    wire_put_u64(&writer, (uint64_t)signing->contents.next_update);
    engine_end_reply(signing->call, &writer);
}

struct ocsp_list {
    struct engine *engine;
    struct ocsp_signing *items[CALLS_MAX];
    size_t count;
};

static void sign_listed(void *context, size_t at, unsigned thread) {
    struct ocsp_list *list = context;
    sign(list->engine, list->items[at], thread);
}

static void sign_list(struct ocsp_list *list) {
    engine_share_work(list->engine, list->count, sign_listed, list);
    for (size_t i = 0; i < list->count; i++)
        end(list->engine, list->items[i]);
    list->count = 0;
}

void engine_run_ocsp(struct engine *engine, struct engine_call *calls) {
    struct ocsp_list list = {.engine = engine};
    for (struct engine_call *call = calls; call != NULL; call = call->next) {
        if (call->type != MESSAGE_SIGN_OCSP || call->reply != NULL)
            continue;
        list.items[list.count] = begin(engine, call);
        list.count += list.items[list.count] != NULL;
        if (list.count == CALLS_MAX)
            sign_list(&list);
    }
    sign_list(&list);
}
