/* An issuer's name stands for one key and one subject for ever: who is configured under it is compared with
 * the ledger, and recorded there where the ledger does not know the name. One that was written before there
 * were such records tells by the last certificate that was issued under the name. */
#include <string.h>

#include "engine_state.h"
#include "lint.h"
#include "originca/der.h"
#include "originca/json.h"
#include "originca/log.h"

#define LOOK_MS 1000

/* --- of before there were records --- */

/* TBSCertificate ::= SEQUENCE { [0] version, serialNumber, signature, issuer, ... } */
static bool split(struct bytes der, struct der_item *tbs, struct der_item *name) {
    struct der_item outer, skipped;
    if (!der_expect(&der, 0x30, &outer) || !der_expect(&outer.content, 0x30, tbs))
        return false;
    struct bytes rest = tbs->content;
    return der_expect(&rest, 0xA0, &skipped) && der_expect(&rest, 0x02, &skipped) &&
           der_expect(&rest, 0x30, &skipped) && der_expect(&rest, 0x30, name);
}

/* What cannot be read proves nothing. */
static bool judge_issued(const struct issuer *issuer, struct bytes der, struct error *error) {
    struct der_item tbs, name;
    struct error other;
    if (!split(der, &tbs, &name))
        return true;
    if (name.whole.length != issuer->subject.length ||
        memcmp(name.whole.data, issuer->subject.data, name.whole.length) != 0)
        return issuer_name_is_anothers(issuer, "subject", error);
    return lint_certificate(der, tbs.whole, issuer, &other) || issuer_name_is_anothers(issuer, "key", error);
}

static struct bytes read_issued(struct engine *engine, struct arena *arena, uint64_t sequence) {
    struct error ignored;
    const char *text = ledger_read(engine->ledger, arena, sequence, 1, LEDGER_LINE_MAX, &ignored);
    const json_t *records = text == NULL ? NULL : json_parse(arena, text, strlen(text), &ignored);
    const char *encoded = json_string_value(json_object_get(json_array_get(records, 0), "certificate"));
    struct bytes der = {0};
    return encoded != NULL && base64_decode(arena, encoded, strlen(encoded), &der) ? der : (struct bytes){0};
}

static bool judge_last_issued(struct engine *engine, const struct issuer *issuer, uint64_t sequence,
                              struct error *error) {
    struct arena *arena = arena_new(2 * SIGNER_FRAME_MAX);
    bool is_good = arena == NULL || judge_issued(issuer, read_issued(engine, arena, sequence), error);
    arena_free(arena);
    return is_good;
}

/* --- the configured ones --- */

static bool judge(struct engine *engine, const struct issuer *issuer, struct error *error) {
    const struct issuer_name *known = issuer_names_find(engine->names, issuer->config->name);
    if (known != NULL && !known->is_bound && known->issued != 0)
        return judge_last_issued(engine, issuer, known->issued, error);
    return issuer_names_judge(engine->names, issuer, error);
}

void engine_judge_issuers(struct engine *engine) {
    struct error error;
    for (size_t i = 0; i < engine->issuer_count; i++) {
        if (judge(engine, &engine->issuers[i], &error))
            continue;
        snprintf(engine->issuer_fault, sizeof engine->issuer_fault, "%s", error.message);
        log_event(LOG_LEVEL_ERROR, "an issuer has another key than before: nothing is signed", "issuer",
                  engine->issuers[i].config->name, "reason", error.message, NULL);
        return;
    }
}

/* Reads the certificates anew: what is in force was loaded at the start. */
static bool are_files_good(struct engine *engine) {
    struct arena *arena = arena_new(0);
    struct issuer issuer;
    struct error ignored;
    bool are_good = arena != NULL;
    for (size_t i = 0; are_good && i < engine->issuer_count; i++)
        are_good = issuer_load(arena, engine->issuers[i].config, &issuer, &ignored) &&
                   judge(engine, &issuer, &ignored);
    arena_free(arena);
    return are_good;
}

bool engine_watch_issuers(struct engine *engine) {
    int64_t now = clock_monotonic_ms();
    if (*engine->issuer_fault == '\0' || now - engine->issuers_looked_ms < LOOK_MS)
        return true;
    engine->issuers_looked_ms = now;
    if (!are_files_good(engine))
        return true;
    log_event(LOG_LEVEL_WARNING, "the issuers are those of the ledger again: the signer starts anew", NULL);
    return false;
}

static bool record_issuer(struct engine *engine, const struct issuer *issuer, struct error *error) {
    const char *name = issuer->config->name;
    json_t *fields = issuer_name_describe(name, &issuer->identity);
    bool is_written = fields != NULL ? ledger_append(engine->ledger, "issuer", fields, NULL, NULL, error)
                                     : error_set(error, ERROR_INTERNAL, "out of memory");
    if (is_written)
        log_event(LOG_LEVEL_INFO, "the ledger records whose key the issuer's name stands for", "issuer", name,
                  "spki_sha256", json_string_value(json_object_get(fields, "spki_sha256")), NULL);
    json_decref(fields);
    return is_written && issuer_names_bind(engine->names, name, &issuer->identity, error);
}

bool engine_has_issuers(const struct engine *engine, const struct signer_issuers_hash *hash) {
    struct signer_issuers_hash mine = {0};
    for (size_t i = 0; i < engine->issuer_count; i++) {
        const struct issuer *issuer = &engine->issuers[i];
        signer_hash_issuer(&mine, issuer->config->name, issuer->identity.spki, issuer->identity.subject);
    }
    return *engine->issuer_fault == '\0' && memcmp(&mine, hash, sizeof mine) == 0;
}

static bool is_recorded(const struct engine *engine, const struct issuer *issuer) {
    const struct issuer_name *known = issuer_names_find(engine->names, issuer->config->name);
    return known != NULL && known->is_bound;
}

bool engine_may_serve_issuers(const struct engine *engine, const struct signer_issuers_hash *hash,
                              struct error *error) {
    static const struct signer_issuers_hash none;
    if (memcmp(hash, &none, sizeof none) == 0 || *engine->issuer_fault != '\0' ||
        engine_has_issuers(engine, hash))
        return true;
    for (size_t i = 0; i < engine->issuer_count; i++)
        if (!is_recorded(engine, &engine->issuers[i]))
            return error_set(error, ERROR_UNAVAILABLE,
                             "it has an issuer \"%.64s\" of another configuration: reload",
                             engine->issuers[i].config->name);
    return true;
}

bool engine_bind_issuers(struct engine *engine, struct error *error) {
    for (size_t i = 0; i < engine->issuer_count; i++) {
        const struct issuer *issuer = &engine->issuers[i];
        if (!is_recorded(engine, issuer) && !record_issuer(engine, issuer, error))
            return false;
    }
    return true;
}
