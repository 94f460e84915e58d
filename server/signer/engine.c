/* A batch: judge and write intents, sync once, sign and verify, write outcomes, sync once, reply. Nobody gets
 * a reply before what it says is durable. */
#include "engine.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine_state.h"
#include "lint.h"
#include "originca/crl.h"
#include "originca/json.h"
#include "originca/log.h"

struct signing { /* a sign call on its way through the batch */
    struct engine_call *call;
    struct sign_job job;
    struct bytes tbs, der;
    json_t *fields; /* of the records; owned by the call's arena */
    uint64_t intent_sequence;
    uint8_t hashes[2][LEDGER_HASH_BYTES]; /* of intent and issued */
    struct error error;
    bool is_signed;
};

/* --- replies --- */

void engine_put_attempt(struct wire_writer *writer, const struct attempt *attempt, struct bytes der,
                        const uint8_t hashes[2][LEDGER_HASH_BYTES]) {
    wire_put_bytes(writer, der.data, der.length);
    wire_put_bytes(writer, attempt->serial, SERIAL_BYTES);
    wire_put_u64(writer, (uint64_t)attempt->not_before);
    wire_put_u64(writer, (uint64_t)attempt->not_after);
    wire_put_u64(writer, attempt->intent_sequence);
    wire_put_u64(writer, attempt->issued_sequence);
    wire_put_bytes(writer, hashes[0], LEDGER_HASH_BYTES);
    wire_put_bytes(writer, hashes[1], LEDGER_HASH_BYTES);
}

static void reply_certificate(struct engine_call *call, const struct attempt *attempt, struct bytes der,
                              const uint8_t hashes[2][LEDGER_HASH_BYTES]) {
    struct wire_writer writer;
    engine_begin_reply(call, &writer);
    engine_put_attempt(&writer, attempt, der, hashes);
    engine_end_reply(call, &writer);
}

/* Of an attempt that an earlier batch issued: asked for only where a reply was lost. */
bool engine_read_certificate(struct engine *engine, struct arena *arena, const struct attempt *attempt,
                             struct bytes *der, uint8_t hashes[2][LEDGER_HASH_BYTES], struct error *error) {
    const char *text =
        ledger_read(engine->ledger, arena, attempt->issued_sequence, 1, SIGNER_FRAME_MAX / 2, error);
    json_t *records = text == NULL ? NULL : json_parse(arena, text, strlen(text), error);
    const json_t *record = json_array_get(records, 0);
    const char *encoded = json_string_value(json_object_get(record, "certificate"));
    if (text == NULL || records == NULL)
        return false;
    return ((uint64_t)json_integer_value(json_object_get(record, "seq")) == attempt->issued_sequence &&
            encoded != NULL && base64_decode(arena, encoded, strlen(encoded), der) &&
            ledger_find_hash(engine->ledger, attempt->intent_sequence, hashes[0]) &&
            ledger_find_hash(engine->ledger, attempt->issued_sequence, hashes[1])) ||
           error_set(error, ERROR_INTERNAL, "the ledger does not give back record %llu",
                     (unsigned long long)attempt->issued_sequence);
}

/* --- signing --- */

static const char **read_strings(struct wire_reader *reader, uint32_t count) {
    const char **strings = arena_alloc(reader->arena, (count + 1) * sizeof *strings);
    for (uint32_t i = 0; strings != NULL && i < count; i++)
        strings[i] = wire_get_string(reader);
    if (strings == NULL)
        reader->failed = true;
    return strings;
}

static bool read_sign_request(struct engine_call *call, struct signer_certificate_request *request) {
    struct wire_reader reader = {.arena = call->arena, .rest = call->fields};
    request->attempt = wire_get_string(&reader);
    request->order = wire_get_string(&reader);
    request->account = wire_get_string(&reader);
    request->customer = wire_get_string(&reader);
    request->name_count = wire_get_count(&reader, 4);
    request->names = read_strings(&reader, (uint32_t)request->name_count);
    request->zone_count = wire_get_count(&reader, 4);
    request->zones = read_strings(&reader, (uint32_t)request->zone_count);
    request->spki = wire_get_bytes(&reader);
    request->profile = wire_get_string(&reader);
    request->issuer = wire_get_string(&reader);
    request->not_before = (time_t)wire_get_u64(&reader);
    request->validity_seconds = wire_get_u32(&reader);
    request->claimed_at_ms = (int64_t)wire_get_u64(&reader);
    request->evidence_count = wire_get_count(&reader, 16);
    struct signer_evidence *evidence =
        arena_alloc(call->arena, (request->evidence_count + 1) * sizeof *evidence);
    if (evidence == NULL)
        return false;
    for (size_t i = 0; i < request->evidence_count; i++) {
        evidence[i].name = wire_get_string(&reader);
        evidence[i].checked_at = (time_t)wire_get_u64(&reader);
        evidence[i].method = wire_get_string(&reader);
    }
    request->evidence = evidence;
    struct bytes digest = wire_get_bytes(&reader);
    request->request_id = wire_get_string(&reader);
    if (!wire_is_complete(&reader) || digest.length != SHA256_BYTES)
        return false;
    memcpy(request->evidence_sha256, digest.data, SHA256_BYTES);
    return true;
}

static json_t *string_array(const char *const *strings, size_t count) {
    json_t *array = json_array();
    for (size_t i = 0; array != NULL && i < count; i++)
        json_array_append_new(array, json_string(strings[i]));
    return array;
}

static json_t *describe_evidence(const struct signer_certificate_request *request) {
    json_t *array = json_array();
    for (size_t i = 0; array != NULL && i < request->evidence_count; i++) {
        char when[TIME_TEXT_MAX];
        time_format(request->evidence[i].checked_at, when);
        json_array_append_new(array, json_pack("{s:s, s:s, s:s}", "name", request->evidence[i].name,
                                               "checked_at", when, "method", request->evidence[i].method));
    }
    return array;
}

/* What INTENT and ISSUED say alike; ISSUED can rebuild everything about a certificate by itself. */
static json_t *describe(const struct sign_job *job, struct bytes tbs, const char *crl_url) {
    const struct signer_certificate_request *request = &job->request;
    char serial[SERIAL_HEX_MAX], spki[2 * SHA256_BYTES + 1], evidence[2 * SHA256_BYTES + 1],
        tbs_hash[2 * SHA256_BYTES + 1];
    char before[TIME_TEXT_MAX], after[TIME_TEXT_MAX];
    uint8_t digest[SHA256_BYTES];
    hex_encode(job->serial, SERIAL_BYTES, serial);
    sha256(job->contents.spki.data, job->contents.spki.length, digest);
    hex_encode(digest, sizeof digest, spki);
    sha256(tbs.data, tbs.length, digest);
    hex_encode(digest, sizeof digest, tbs_hash);
    hex_encode(request->evidence_sha256, SHA256_BYTES, evidence);
    time_format(job->contents.not_before, before);
    time_format(job->contents.not_after, after);
    json_t *fields = json_pack(
        "{s:s, s:s, s:s, s:s, s:s, s:o, s:o, s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:o, s:s}", "serial", serial,
        "attempt", request->attempt, "order", request->order, "account", request->account, "customer",
        request->customer, "names", string_array(request->names, request->name_count), "zones",
        string_array(request->zones, request->zone_count), "profile", request->profile, "issuer",
        request->issuer, "spki_sha256", spki, "not_before", before, "not_after", after, "evidence_sha256",
        evidence, "claimed_at_ms", (json_int_t)request->claimed_at_ms, "evidence", describe_evidence(request),
        "tbs_sha256", tbs_hash);
    if (*crl_url != '\0')
        json_object_set_new(fields, "crl", json_string(crl_url));
    return fields;
}

/* An attempt is signed once. The same request again (its reply was lost) gets the same certificate. */
static bool check_attempt(struct engine *engine, struct signing *signing, bool *is_answered) {
    struct attempt *attempt = attempts_find(engine->attempts, signing->job.request.attempt);
    *is_answered = false;
    if (attempt == NULL)
        return true;
    if (attempt->outcome == SIGNER_ATTEMPT_ISSUED) {
        struct bytes der;
        if (!engine_read_certificate(engine, signing->call->arena, attempt, &der, signing->hashes,
                                     &signing->error))
            return false;
        reply_certificate(signing->call, attempt, der, signing->hashes);
        *is_answered = true;
        return true;
    }
    return error_set(&signing->error, ERROR_CONFLICT,
                     "this attempt was used before and did not give a certificate");
}

static bool write_intent(struct engine *engine, struct signing *signing) {
    struct sign_job *job = &signing->job;
    struct arena *arena = signing->call->arena;
    struct attempt *attempt;
    if (!engine_may_sign(engine, &signing->error) ||
        !policy_judge(arena, engine->config, engine->zones, engine->issuers, engine->issuer_count,
                      clock_wall_ms(), job, &signing->error))
        return false;
    certificate_make_serial(job->serial);
    if (!certificate_build_tbs(arena, &job->contents, &signing->tbs, &signing->error) ||
        !lint_tbs(signing->tbs, &job->contents, &signing->error))
        return false;
    const char *crl_url = crl_url_of_tbs(arena, signing->tbs);
    if (crl_url != NULL)
        signing->fields = arena_own_json(arena, describe(job, signing->tbs, crl_url));
    if (signing->fields == NULL)
        return error_set(&signing->error, ERROR_INTERNAL, "out of memory");
    if (!ledger_append(engine->ledger, "intent", signing->fields, &signing->intent_sequence,
                       signing->hashes[0], &signing->error))
        return false;
    engine->status.intents++;
    engine->status.intents_without_outcome++;
    (void)crl_lists_add(engine->lists, job->request.issuer, crl_url); /* as it is read back */
    attempt = attempts_add(engine->attempts, job->request.attempt);
    attempt->outcome = SIGNER_ATTEMPT_SIGNING;
    memcpy(attempt->serial, job->serial, SERIAL_BYTES);
    attempt->not_before = job->contents.not_before;
    attempt->not_after = job->contents.not_after;
    attempt->intent_sequence = signing->intent_sequence;
    return true;
}

static void sign_one(struct engine *engine, struct signing *signing, unsigned thread) {
    const struct issuer *issuer = signing->job.issuer;
    size_t index = (size_t)(issuer - engine->issuers);
    gnutls_datum_t data = {(unsigned char *)(uintptr_t)signing->tbs.data, (unsigned)signing->tbs.length},
                   signature;
    int outcome = gnutls_privkey_sign_data2(engine->keys[thread * engine->issuer_count + index],
                                            issuer->algorithm, 0, &data, &signature);
    if (outcome < 0) {
        error_set(&signing->error, ERROR_UNAVAILABLE, "the token does not sign: %s",
                  gnutls_strerror(outcome));
        return;
    }
    struct bytes bits = {signature.data, signature.size};
    signing->is_signed = certificate_assemble(signing->call->arena, issuer, signing->tbs, bits, &signing->der,
                                              &signing->error) &&
                         lint_certificate(signing->der, signing->tbs, issuer, &signing->error);
    gnutls_free(signature.data);
}

struct shared_work {
    engine_work *work;
    void *context;
    size_t count;
    atomic_size_t next;
    atomic_uint next_thread;
};

static void *take_share(void *context) {
    struct shared_work *shared = context;
    unsigned thread = atomic_fetch_add(&shared->next_thread, 1);
    for (size_t i; (i = atomic_fetch_add(&shared->next, 1)) < shared->count;)
        shared->work(shared->context, i, thread);
    return NULL;
}

/* One thread for a local token; a network HSM, where a signature is waiting, is worth more, each with its own
 * handle. */
void engine_share_work(const struct engine *engine, size_t count, engine_work *work, void *context) {
    struct shared_work shared = {.work = work, .context = context, .count = count};
    pthread_t threads[64];
    unsigned started = 0, wanted = engine->thread_count < count ? engine->thread_count : (unsigned)count;
    while (started + 1 < wanted && pthread_create(&threads[started], NULL, take_share, &shared) == 0)
        started++;
    take_share(&shared);
    for (unsigned i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
}

struct signing_list {
    struct engine *engine;
    struct signing **items;
};

static void sign_listed(void *context, size_t at, unsigned thread) {
    const struct signing_list *list = context;
    sign_one(list->engine, list->items[at], thread);
}

static void write_outcome(struct engine *engine, struct signing *signing) {
    struct attempt *attempt = attempts_find(engine->attempts, signing->job.request.attempt);
    struct error ignored;
    engine->status.intents_without_outcome--;
    if (signing->is_signed) {
        char *text = base64_encode(signing->call->arena, signing->der.data, signing->der.length);
        uint64_t sequence = 0;
        json_object_set_new(signing->fields, "intent_seq",
                            json_integer((json_int_t)signing->intent_sequence));
        json_object_set_new(signing->fields, "certificate", json_string(text == NULL ? "" : text));
        signing->is_signed = text != NULL && attempt != NULL &&
                             ledger_append(engine->ledger, "issued", signing->fields, &sequence,
                                           signing->hashes[1], &signing->error);
        if (signing->is_signed) {
            attempt->outcome = SIGNER_ATTEMPT_ISSUED;
            attempt->issued_sequence = sequence;
            engine->status.signatures++;
            metric_add(engine->signatures_total, 1);
            return;
        }
    }
    if (signing->error.code == ERROR_NONE)
        error_set(&signing->error, ERROR_INTERNAL, "out of memory");
    if (attempt != NULL)
        attempt->outcome = SIGNER_ATTEMPT_VOID;
    if (engine_append_void(engine, signing->fields, signing->intent_sequence, signing->error.message,
                           &ignored))
        engine->status.voids++;
}

static void log_signing(const struct signing *signing) {
    char serial[SERIAL_DECIMAL_MAX], names[16];
    serial_to_decimal(signing->job.serial, serial);
    snprintf(names, sizeof names, "%zu", signing->job.request.name_count);
    log_event(signing->is_signed ? LOG_LEVEL_INFO : LOG_LEVEL_WARNING,
              signing->is_signed ? "certificate signed" : "signing refused", "request",
              signing->job.request.request_id, "order", signing->job.request.order, "serial",
              signing->is_signed ? serial : NULL, "names", names, "reason",
              signing->is_signed ? NULL : signing->error.message, NULL);
}

/* --- the batch --- */

static size_t count_calls(const struct engine_call *calls) {
    size_t count = 0;
    for (; calls != NULL; calls = calls->next)
        count++;
    return count;
}

static struct signing *begin_signing(struct engine *engine, struct engine_call *call) {
    struct signing *signing = arena_alloc(call->arena, sizeof *signing);
    struct error error = {.code = ERROR_INVALID, .message = "malformed request"};
    bool is_answered = false;
    if (signing == NULL)
        return NULL;
    signing->call = call;
    if (!read_sign_request(call, &signing->job.request)) {
        engine_reply_error(call, &error);
        return NULL;
    }
    if (check_attempt(engine, signing, &is_answered) && !is_answered &&
        access_take(&engine->access, call, RATE_SIGNATURES, 1, &signing->error) &&
        write_intent(engine, signing))
        return signing;
    if (!is_answered) {
        log_signing(signing);
        engine_reply_error(call, &signing->error);
    }
    return NULL;
}

/* These read records of this very batch, so they come after its sync; or vouch for what it does not revoke.
 */
static bool comes_last(const struct engine_call *call) {
    return call->type == MESSAGE_READ || call->type == MESSAGE_ATTEMPT || call->type == MESSAGE_SIGN_OCSP;
}

/* Whom a position lets write can be in the same batch; a right that ends is gone before what needs it. */
static bool comes_first(const struct engine_call *call) {
    return call->type == MESSAGE_CHECK_POSITION || call->type == MESSAGE_CHANGE_RIGHTS;
}

static void fail_all(struct engine_call *calls, const struct error *error) {
    for (struct engine_call *call = calls; call != NULL; call = call->next)
        engine_reply_error(call, error);
}

/* Before anything else looks at them. */
static void refuse_forbidden(struct engine *engine, struct engine_call *calls) {
    struct error error;
    for (struct engine_call *call = calls; call != NULL; call = call->next)
        if (!access_allows(&engine->access, call, &error))
            engine_reply_error(call, &error);
}

bool engine_run(struct engine *engine, struct engine_call *calls) {
    size_t count = count_calls(calls), signing_count = 0;
    struct signing **signings = calloc(count + 1, sizeof *signings);
    struct error error = {.code = ERROR_INTERNAL, .message = "out of memory"};
    if (signings == NULL) {
        fail_all(calls, &error);
        return true;
    }
    refuse_forbidden(engine, calls);
    for (struct engine_call *call = calls; call != NULL; call = call->next)
        if (call->reply == NULL && (call->type == MESSAGE_CHECK_POSITION || engine->phase == ENGINE_READING))
            engine_answer(engine, call);
    for (struct engine_call *call = calls; call != NULL; call = call->next)
        if (call->reply == NULL && call->type == MESSAGE_CHANGE_RIGHTS)
            engine_answer(engine, call);
    if (engine->phase == ENGINE_READING) {
        free(signings);
        return true;
    }
    for (struct engine_call *call = calls; call != NULL; call = call->next)
        if (call->type == MESSAGE_SIGN && call->reply == NULL &&
            (signings[signing_count] = begin_signing(engine, call)) != NULL)
            signing_count++;
    bool is_durable = ledger_sync(engine->ledger, &error);
    if (is_durable) {
        struct signing_list list = {engine, signings};
        engine_share_work(engine, signing_count, sign_listed, &list);
        for (size_t i = 0; i < signing_count; i++)
            write_outcome(engine, signings[i]);
        /* After the signatures: an attempt of this very batch is seen with its outcome. */
        for (struct engine_call *call = calls; call != NULL; call = call->next)
            if (call->reply == NULL && call->type != MESSAGE_SIGN && !comes_first(call) && !comes_last(call))
                engine_answer(engine, call);
        is_durable = ledger_sync(engine->ledger, &error);
    }
    for (size_t i = 0; is_durable && i < signing_count; i++) {
        struct signing *signing = signings[i];
        log_signing(signing);
        if (signing->is_signed) {
            reply_certificate(signing->call, attempts_find(engine->attempts, signing->job.request.attempt),
                              signing->der, signing->hashes);
        } else {
            engine->is_token_lost = engine->is_token_lost || signing->error.code == ERROR_UNAVAILABLE;
            engine_reply_error(signing->call, &signing->error);
        }
    }
    for (struct engine_call *call = calls; is_durable && call != NULL; call = call->next)
        if (call->reply == NULL && comes_last(call) && call->type != MESSAGE_SIGN_OCSP)
            engine_answer(engine, call);
    if (is_durable)
        engine_run_ocsp(engine, calls);
    if (!is_durable) {
        log_event(LOG_LEVEL_ERROR, "the ledger cannot be written", "reason", error.message, NULL);
        error.code = ERROR_UNAVAILABLE;
        fail_all(calls, &error);
    }
    free(signings);
    return is_durable && engine_end_batch(engine);
}
