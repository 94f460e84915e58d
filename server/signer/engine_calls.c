/* Replies, and the calls beside signing: each reads its fields strictly, does its work and replies. What they
 * write is durable with the batch's sync, before which no reply goes out (engine.c). */
#include <stdio.h>
#include <string.h>

#include "engine_state.h"
#include "originca/crl.h"
#include "originca/json.h"
#include "originca/log.h"
#include "originca/revocation.h"

#define LAST_SECOND 253402300799u /* of the year 9999: RFC 5280 4.1.2.5 */

void engine_reply_error(struct engine_call *call, const struct error *error) {
    struct wire_writer writer;
    wire_begin(&writer, call->arena, call->id, (uint8_t)error->code);
    wire_put_string(&writer, error->message);
    call->reply = wire_finish(&writer, &call->reply_length);
}

void engine_begin_reply(struct engine_call *call, struct wire_writer *writer) {
    wire_begin(writer, call->arena, call->id, ERROR_NONE);
}

void engine_end_reply(struct engine_call *call, struct wire_writer *writer) {
    call->reply = wire_finish(writer, &call->reply_length);
}

static const struct config_issuer *find_issuer(const struct engine *engine, const char *name) {
    for (size_t i = 0; i < engine->config->issuer_count; i++)
        if (strcmp(engine->config->issuers[i].name, name) == 0)
            return &engine->config->issuers[i];
    return NULL;
}

/* Each list that a record names is made and served for good: a worker begins none that no certificate of ours
 * can name. Of what is not known here, as another host's former template, Redis reads the list in the
 * certificate itself. */
static void forget_invented_list(const struct engine *engine, struct signer_revocation *asked) {
    const struct config_issuer *issuer = find_issuer(engine, asked->issuer);
    if (issuer == NULL && crl_lists_find(engine->lists, asked->issuer, "") == 0)
        asked->issuer = asked->crl_url = "";
    bool is_filled = issuer != NULL && issuer->crl_url != NULL &&
                     crl_url_is_fill(asked->crl_url, issuer->crl_url,
                                     crl_url_count(issuer->crl_url, issuer->crl_shards), NULL);
    if (!is_filled && crl_lists_find(engine->lists, asked->issuer, asked->crl_url) == 0)
        asked->crl_url = "";
}

/* Later than any certificate that is issued now: an entry would stand on its lists for as long. */
static bool is_end_possible(const struct engine *engine, time_t not_after) {
    uint32_t days = 0;
    for (size_t i = 0; i < engine->config->profile_count; i++)
        if (engine->config->profiles[i].max_days > days)
            days = engine->config->profiles[i].max_days;
    return not_after <= (time_t)(clock_wall_ms() / 1000) + (time_t)days * 86400;
}

static void forget_inventions(const struct engine *engine, struct signer_revocation *asked) {
    forget_invented_list(engine, asked);
    if (!is_end_possible(engine, asked->not_after))
        asked->not_after = 0;
}

static bool read_revocation(const struct engine *engine, struct engine_call *call,
                            struct signer_revocation *out) {
    struct wire_reader reader = {.arena = call->arena, .rest = call->fields};
    struct bytes serial = wire_get_bytes(&reader);
    out->issuer = wire_get_string(&reader);
    out->reason = wire_get_u32(&reader);
    out->by = wire_get_string(&reader);
    uint64_t not_after = wire_get_u64(&reader);
    out->crl_url = wire_get_string(&reader);
    if (!wire_is_complete(&reader) || serial.length != SERIAL_BYTES || out->reason > UINT8_MAX ||
        strlen(out->by) > SIGNER_BY_MAX || strlen(out->issuer) > 64)
        return false;
    /* The ledger keeps it for good: what no list could carry must not get there. */
    struct crl_entry entry = {.reason = (uint8_t)out->reason};
    memcpy(entry.serial, serial.data, SERIAL_BYTES);
    if (!crl_entry_is_good(&entry))
        return false;
    /* What is only known of the certificate never stands in the way of its revocation. */
    out->not_after = not_after <= LAST_SECOND ? (time_t)not_after : 0;
    if (!crl_url_is_good(out->crl_url))
        out->crl_url = "";
    memcpy(out->serial, serial.data, SERIAL_BYTES);
    if (call->link == SIGNER_LINK_WORKER)
        forget_inventions(engine, out);
    return true;
}

/* Issuer and list of a serial by the ledger, where it is among the recent ones or void. */
static bool find_facts(struct engine *engine, struct engine_call *call, const struct signer_revocation *asked,
                       const struct revoked_serial *known, struct crl_list *out) {
    struct error error;
    if (known->is_void && crl_lists_get(engine->lists, known->list, out))
        return true;
    const struct attempt *attempt = attempts_find_serial(engine->attempts, asked->serial);
    const char *text = attempt == NULL || attempt->outcome != SIGNER_ATTEMPT_ISSUED
                           ? NULL
                           : ledger_read(engine->ledger, call->arena, attempt->issued_sequence, 1,
                                         SIGNER_FRAME_MAX / 2, &error);
    const json_t *record =
        text == NULL ? NULL : json_array_get(json_parse(call->arena, text, strlen(text), &error), 0);
    out->issuer = json_string_value(json_object_get(record, "issuer"));
    out->url = json_string_value(json_object_get(record, "crl"));
    if (out->url == NULL)
        out->url = "";
    return out->issuer != NULL;
}

/* What the ledger has issued it knows better than who revokes: else another issuer's lists would have to have
 * the serial, and its own would be let out without. */
static void correct_by_facts(struct engine *engine, struct engine_call *call,
                             const struct revoked_serial *known, struct signer_revocation *asked) {
    struct crl_list facts;
    char hex[SERIAL_HEX_MAX];
    if (!find_facts(engine, call, asked, known, &facts))
        return;
    if (strcmp(facts.issuer, asked->issuer) != 0) {
        hex_encode(asked->serial, SERIAL_BYTES, hex);
        log_event(LOG_LEVEL_ERROR,
                  "a revocation names another issuer than the ledger: it is recorded under the ledger's",
                  "serial", hex, "named", asked->issuer, "issuer", facts.issuer, "by", asked->by, NULL);
    }
    asked->issuer = facts.issuer;
    asked->crl_url = facts.url;
}

static void run_revoke(struct engine *engine, struct engine_call *call) {
    struct error error = {0};
    struct revoked_serial revoked = {0};
    struct signer_revocation asked = {0};
    if (!read_revocation(engine, call, &asked)) {
        error_set(&error, ERROR_INVALID, "malformed revocation");
        engine_reply_error(call, &error);
        return;
    }
    if (call->link == SIGNER_LINK_WORKER && !access_is_workers_word(asked.by, asked.reason)) {
        access_refuse(&engine->access, call, "revoke in a name or for a reason that is no worker's", &error);
        engine_reply_error(call, &error);
        return;
    }
    uint8_t hash[LEDGER_HASH_BYTES] = {0};
    bool was_revoked = revoked_find(engine->revoked, asked.serial, &revoked) && !revoked.is_void;
    if (!was_revoked)
        correct_by_facts(engine, call, &revoked, &asked);
    if (!was_revoked)
        revoked = (struct revoked_serial){0};
    /* Only what says more of the key than was known makes a revocation worse than it was. */
    bool is_worse = was_revoked && revocation_rank(asked.reason, asked.by) > revoked.rank;
    bool is_new = !was_revoked || is_worse;
    if (is_new &&
        (!access_take(&engine->access, call, access_rate_of_revocation(call, asked.by), 1, &error) ||
         !engine_append_revoked(engine, &asked, &revoked, hash, &error))) {
        engine_reply_error(call, &error);
        return;
    }
    struct wire_writer writer;
    engine_begin_reply(call, &writer);
    wire_put_u64(&writer, (uint64_t)revoked.revoked_at);
    wire_put_u64(&writer, is_new ? revoked.sequence : 0);
    wire_put_u8(&writer, was_revoked);
    wire_put_u32(&writer, revoked.reason);
    wire_put_bytes(&writer, hash, sizeof hash);
    engine_end_reply(call, &writer);
}

static void run_attempt(struct engine *engine, struct engine_call *call) {
    struct wire_reader reader = {.arena = call->arena, .rest = call->fields};
    const char *id = wire_get_string(&reader);
    struct error error;
    /* While records may be lost, "not known" could be a lie that costs an order a second certificate. */
    if (!engine_may_write(engine, &error)) {
        engine_reply_error(call, &error);
        return;
    }
    if (!wire_is_complete(&reader) || *id == '\0' || strlen(id) > 128) {
        error_set(&error, ERROR_INVALID, "malformed attempt id");
        engine_reply_error(call, &error);
        return;
    }
    struct attempt *attempt = attempts_find(engine->attempts, id);
    struct bytes der = {0};
    uint8_t hashes[2][LEDGER_HASH_BYTES];
    bool is_issued = attempt != NULL && attempt->outcome == SIGNER_ATTEMPT_ISSUED;
    if (is_issued && !engine_read_certificate(engine, call->arena, attempt, &der, hashes, &error)) {
        engine_reply_error(call, &error);
        return;
    }
    struct wire_writer writer;
    engine_begin_reply(call, &writer);
    wire_put_u8(&writer, (uint8_t)(attempt == NULL ? SIGNER_ATTEMPT_UNKNOWN : attempt->outcome));
    if (is_issued)
        engine_put_attempt(&writer, attempt, der, hashes);
    if (attempt == NULL)
        attempts_add(engine->attempts, id)->outcome =
            SIGNER_ATTEMPT_VOID; /* struck off: a late request for it is refused */
    engine_end_reply(call, &writer);
}

static void run_read(struct engine *engine, struct engine_call *call) {
    struct wire_reader reader = {.arena = call->arena, .rest = call->fields};
    struct error error = {.code = ERROR_INVALID, .message = "malformed read"};
    uint64_t from = wire_get_u64(&reader);
    uint32_t max = wire_get_u32(&reader);
    const char *text = wire_is_complete(&reader)
                           ? ledger_read(engine->ledger, call->arena, from, max, SIGNER_FRAME_MAX / 2, &error)
                           : NULL;
    if (text == NULL) {
        engine_reply_error(call, &error);
        return;
    }
    struct wire_writer writer;
    engine_begin_reply(call, &writer);
    wire_put_string(&writer, text);
    engine_end_reply(call, &writer);
}

static void run_status(struct engine *engine, struct engine_call *call) {
    struct signer_status *status = &engine->status;
    struct wire_writer writer;
    struct error why = {0};
    bool may_sign = engine_may_sign(engine, &why);
    bool is_in_force = engine_has_issuers_in_force(engine, may_sign ? &why : NULL),
         is_read = engine->phase != ENGINE_READING;
    engine_begin_reply(call, &writer);
    wire_put_string(&writer, is_read ? ledger_id(engine->ledger) : "");
    wire_put_string(&writer, engine->config->host_name);
    wire_put_u64(&writer, is_read ? ledger_last_sequence(engine->ledger) : 0);
    wire_put_u64(&writer, status->signatures);
    wire_put_u64(&writer, status->intents);
    wire_put_u64(&writer, status->voids);
    wire_put_u64(&writer, status->revocations);
    wire_put_u64(&writer, status->intents_without_outcome);
    wire_put_u64(&writer, is_read ? revoked_count(engine->revoked) - revoked_count_void(engine->revoked) : 0);
    wire_put_u64(&writer, is_read ? zones_count_living(engine->zones) : 0);
    wire_put_u8(&writer, is_read && zones_are_known(engine->zones));
    wire_put_u8(&writer, is_read);
    wire_put_u8(&writer, engine->is_token_usable && !engine->is_token_lost);
    wire_put_u8(&writer, may_sign);
    wire_put_u8(&writer, is_in_force);
    wire_put_string(&writer, may_sign && is_in_force ? "" : why.message);
    engine_end_reply(call, &writer);
}

/* What operators gave to whom, for a comparison with what Redis holds. */
static void run_list_zones(struct engine *engine, struct engine_call *call) {
    struct wire_reader reader = {.arena = call->arena, .rest = call->fields};
    struct error error = {.code = ERROR_INVALID, .message = "malformed list of zones"};
    uint64_t cursor = wire_get_u64(&reader);
    uint32_t max = wire_get_u32(&reader);
    bool is_good = wire_is_complete(&reader) && max > 0 && max <= SIGNER_ZONES_MAX;
    struct zone_state *zones = is_good ? arena_alloc(call->arena, max * sizeof *zones) : NULL;
    struct wire_writer writer;
    if (zones == NULL) {
        engine_reply_error(call, &error);
        return;
    }
    size_t count = zones_walk(engine->zones, &cursor, max, zones);
    engine_begin_reply(call, &writer);
    wire_put_u64(&writer, cursor);
    wire_put_u32(&writer, (uint32_t)count);
    for (size_t i = 0; i < count; i++) {
        wire_put_string(&writer, zones[i].id);
        wire_put_string(&writer, zones[i].name);
        wire_put_string(&writer, zones[i].customer);
    }
    engine_end_reply(call, &writer);
}

/* The revocation lists that the ledger names, and what was signed last of each. */
static void run_list_crls(struct engine *engine, struct engine_call *call) {
    struct wire_reader reader = {.arena = call->arena, .rest = call->fields};
    struct error error = {.code = ERROR_INVALID, .message = "malformed list of revocation lists"};
    uint32_t cursor = wire_get_u32(&reader), max = wire_get_u32(&reader),
             last = crl_lists_count(engine->lists);
    struct wire_writer writer;
    struct crl_list list;
    if (!wire_is_complete(&reader) || max == 0 || max > SIGNER_CRLS_MAX) {
        engine_reply_error(call, &error);
        return;
    }
    uint32_t count = cursor >= last ? 0 : last - cursor < max ? last - cursor : max;
    engine_begin_reply(call, &writer);
    wire_put_u32(&writer, cursor + count < last ? cursor + count : 0);
    wire_put_u32(&writer, count);
    for (uint32_t i = 1; i <= count && crl_lists_get(engine->lists, cursor + i, &list); i++) {
        wire_put_string(&writer, list.issuer);
        wire_put_string(&writer, list.url);
        wire_put_u64(&writer, list.last_number);
        wire_put_u64(&writer, list.listed < list.changes ? (uint64_t)list.revoked_at : 0);
        wire_put_u8(&writer, list.is_bounded);
    }
    engine_end_reply(call, &writer);
}

/* Which of these the ledger has revoked, or void: one byte each. */
static void run_find_revoked(struct engine *engine, struct engine_call *call) {
    struct wire_reader reader = {.arena = call->arena, .rest = call->fields};
    struct error error = {.code = ERROR_INVALID, .message = "malformed question about serials"};
    struct bytes serials = wire_get_bytes(&reader);
    size_t count = serials.length / SERIAL_BYTES;
    uint8_t *found = count <= SIGNER_SERIALS_MAX ? arena_alloc(call->arena, count + 1) : NULL;
    struct wire_writer writer;
    size_t at;
    if (found == NULL || !wire_is_complete(&reader) || serials.length % SERIAL_BYTES != 0 ||
        !engine_may_vouch(engine, &error)) {
        engine_reply_error(call, &error);
        return;
    }
    for (size_t i = 0; i < count; i++)
        found[i] = revoked_place(engine->revoked, serials.data + i * SERIAL_BYTES, &at);
    engine_begin_reply(call, &writer);
    wire_put_bytes(&writer, found, count);
    engine_end_reply(call, &writer);
}

static void run_find_left(struct engine *engine, struct engine_call *call) {
    struct wire_reader reader = {.arena = call->arena, .rest = call->fields};
    struct error error = {.code = ERROR_INVALID, .message = "malformed question about zones"};
    uint32_t count = wire_get_count(&reader, 4);
    const char **ids = count <= SIGNER_ZONES_MAX ? arena_alloc(call->arena, (count + 1) * sizeof *ids) : NULL;
    for (uint32_t i = 0; ids != NULL && i < count; i++)
        ids[i] = wire_get_string(&reader);
    if (ids == NULL || !wire_is_complete(&reader)) {
        engine_reply_error(call, &error);
        return;
    }
    struct wire_writer writer;
    engine_begin_reply(call, &writer);
    wire_put_u32(&writer, count);
    for (uint32_t i = 0; i < count; i++) {
        struct left_state left;
        zones_find_left(engine->zones, ids[i], &left);
        wire_put_u64(&writer, left.has_left ? (uint64_t)left.at_ms : 0);
    }
    engine_end_reply(call, &writer);
}

static void reply_done(struct engine_call *call, bool is_done, const struct error *error) {
    struct wire_writer writer;
    if (!is_done) {
        engine_reply_error(call, error);
        return;
    }
    engine_begin_reply(call, &writer);
    engine_end_reply(call, &writer);
}

static void run_set_signing(struct engine *engine, struct engine_call *call) {
    struct wire_reader reader = {.arena = call->arena, .rest = call->fields};
    struct error error = {.code = ERROR_INVALID, .message = "malformed call"};
    bool is_allowed = wire_get_u8(&reader) != 0;
    const char *by = wire_get_string(&reader);
    bool is_so = is_allowed != engine->is_stopped;
    reply_done(call,
               wire_is_complete(&reader) && strlen(by) <= SIGNER_BY_MAX &&
                   (is_so || ((!is_allowed || engine_may_write(engine, &error)) &&
                              engine_set_signing(engine, is_allowed, by, &error))),
               &error);
}

static void run_confirm_loss(struct engine *engine, struct engine_call *call) {
    struct wire_reader reader = {.arena = call->arena, .rest = call->fields};
    struct error error = {.code = ERROR_INVALID, .message = "malformed call"};
    uint64_t sequence = wire_get_u64(&reader);
    const char *by = wire_get_string(&reader);
    reply_done(call,
               wire_is_complete(&reader) && strlen(by) <= SIGNER_BY_MAX &&
                   engine_confirm_loss(engine, sequence, by, &error),
               &error);
}

static void run_check_position(struct engine *engine, struct engine_call *call) {
    struct wire_reader reader = {.arena = call->arena, .rest = call->fields};
    struct error error = {.code = ERROR_INVALID, .message = "malformed call"};
    struct signer_position position = {0};
    uint8_t hash[LEDGER_HASH_BYTES];
    bool are_recorded;
    struct wire_writer writer;
    snprintf(position.ledger_id, sizeof position.ledger_id, "%s", wire_get_string(&reader));
    position.applied = wire_get_u64(&reader);
    snprintf(position.applied_hash, sizeof position.applied_hash, "%s", wire_get_string(&reader));
    position.highest = wire_get_u64(&reader);
    snprintf(position.highest_hash, sizeof position.highest_hash, "%s", wire_get_string(&reader));
    struct bytes issuers = wire_get_bytes(&reader);
    if (issuers.length == SHA256_BYTES)
        memcpy(position.issuers.bytes, issuers.data, SHA256_BYTES);
    if (!wire_is_complete(&reader) || issuers.length != SHA256_BYTES ||
        !engine_check_position(engine, &position, call->link, &are_recorded, &error)) {
        engine_reply_error(call, &error);
        return;
    }
    bool has_hash = ledger_find_hash(engine->ledger, position.applied, hash);
    engine_begin_reply(call, &writer);
    wire_put_u8(&writer, are_recorded);
    wire_put_bytes(&writer, hash, has_hash ? sizeof hash : 0);
    engine_end_reply(call, &writer);
}

static void run_retry_token(struct engine *engine, struct engine_call *call) {
    struct wire_reader reader = {.arena = call->arena, .rest = call->fields};
    struct error error = {.code = ERROR_INVALID, .message = "malformed call"};
    const char *by = wire_get_string(&reader);
    reply_done(call,
               wire_is_complete(&reader) && strlen(by) <= SIGNER_BY_MAX &&
                   engine_retry_token(engine, by, &error),
               &error);
}

void engine_answer(struct engine *engine, struct engine_call *call) {
    static void (*const handlers[MESSAGE_TYPES])(struct engine *, struct engine_call *) = {
        [MESSAGE_REVOKE] = run_revoke,
        [MESSAGE_ATTEMPT] = run_attempt,
        [MESSAGE_READ] = run_read,
        [MESSAGE_STATUS] = run_status,
        [MESSAGE_SET_SIGNING] = run_set_signing,
        [MESSAGE_CONFIRM_LOSS] = run_confirm_loss,
        [MESSAGE_CHECK_POSITION] = run_check_position,
        [MESSAGE_RETRY_TOKEN] = run_retry_token,
        [MESSAGE_CHANGE_RIGHTS] = engine_run_change_rights,
        [MESSAGE_LIST_ZONES] = run_list_zones,
        [MESSAGE_LIST_CRLS] = run_list_crls,
        [MESSAGE_FIND_LEFT] = run_find_left,
        [MESSAGE_LIST_REVOKED] = engine_list_revoked,
        [MESSAGE_FIND_REVOKED] = run_find_revoked,
        [MESSAGE_CRL_BEGIN] = engine_run_crl,
        [MESSAGE_CRL_ENTRIES] = engine_run_crl,
        [MESSAGE_CRL_SIGN] = engine_run_crl,
    };
    struct error error;
    if (engine->phase == ENGINE_READING && call->type != MESSAGE_STATUS) {
        (void)!engine_may_write(engine, &error);
        engine_reply_error(call, &error);
        return;
    }
    handlers[call->type](engine, call);
}
