/* Signing revocation lists. A list comes in pieces over one connection: what it is to be, its entries in
 * order of serial, and the wish to have it signed. Each piece is encoded, linted and hashed at once, so that
 * a list of a million neither holds the others up nor is held in memory. What no union over all hosts can say
 * better is checked against the signer's own ledger: what that revoked, or voided, must be among the entries.
 */
#include <stdlib.h>
#include <string.h>

#include <gnutls/crypto.h>

#include "engine_state.h"
#include "lint_crl.h"
#include "originca/log.h"

#define SLICE 1024 /* entries that are encoded at once */
#define THIS_UPDATE_BACK_SECONDS 86400

struct crl_work {
    struct arena *arena;
    const struct issuer *issuer;
    struct crl_contents contents;
    struct crl_frame frame;
    struct lint_crl lint;
    uint32_t list;
    uint64_t wanted_count;
    uint64_t changes; /* of the list when it was begun (crl_lists.h) */
    bool has_all;     /* it has each of these */
    /* By place in engine->revoked, of those that were there when the list began. */
    uint8_t *seen;
    size_t table_count;
    gnutls_hash_hd_t sha256, other; /* the latter where the issuer signs with another hash */
    gnutls_digest_algorithm_t digest;
};

void crl_work_free(struct crl_work *work) {
    if (work == NULL)
        return;
    if (work->sha256 != NULL)
        gnutls_hash_deinit(work->sha256, NULL);
    if (work->other != NULL)
        gnutls_hash_deinit(work->other, NULL);
    free(work->seen);
    arena_free(work->arena);
    free(work);
}

static void reply(struct engine_call *call, bool is_done, const struct error *error) {
    struct wire_writer writer;
    if (!is_done) {
        engine_reply_error(call, error);
        return;
    }
    engine_begin_reply(call, &writer);
    engine_end_reply(call, &writer);
}

static void end_work(struct engine_call *call) {
    crl_work_free(*call->crl);
    *call->crl = NULL;
}

/* --- what it is to be --- */

struct wish {
    const char *issuer, *url;
    uint64_t number, this_update, next_update, count, entry_bytes;
};

static bool read_wish(struct engine_call *call, struct wish *wish) {
    struct wire_reader reader = {.arena = call->arena, .rest = call->fields};
    wish->issuer = wire_get_string(&reader);
    wish->url = wire_get_string(&reader);
    wish->number = wire_get_u64(&reader);
    wish->this_update = wire_get_u64(&reader);
    wish->next_update = wire_get_u64(&reader);
    wish->count = wire_get_u64(&reader);
    wish->entry_bytes = wire_get_u64(&reader);
    return wire_is_complete(&reader);
}

static bool judge_times(const struct engine *engine, const struct wish *wish, struct error *error) {
    uint64_t now = (uint64_t)clock_wall_ms() / 1000;
    uint64_t longest = (uint64_t)engine->config->crl_max_days * 86400;
    if (wish->this_update > now || wish->this_update + THIS_UPDATE_BACK_SECONDS < now)
        return error_set(error, ERROR_REFUSED, "thisUpdate is in the future or more than a day ago");
    return (wish->next_update > now && wish->next_update - wish->this_update <= longest) ||
           error_set(error, ERROR_REFUSED,
                     "nextUpdate has passed or is more than %u days (crl_max_days) behind thisUpdate",
                     engine->config->crl_max_days);
}

static bool judge_number(const struct engine *engine, const struct wish *wish, const struct crl_list *list,
                         struct error *error) {
    if (wish->number <= list->last_number)
        return error_set(error, ERROR_CONFLICT,
                         "the list's number %llu is not above %llu, the last that was signed",
                         (unsigned long long)wish->number, (unsigned long long)list->last_number);
    return wish->number <=
               (uint64_t)clock_wall_ms() + engine->config->crl_max_ahead_seconds * (uint64_t)1000 ||
           error_set(error, ERROR_REFUSED,
                     "the list's number is more than %u seconds (crl_max_ahead_seconds) ahead of the clock",
                     engine->config->crl_max_ahead_seconds);
}

/* Every entry takes at least so much; the header before the entries must not lie about them. */
static bool judge_size(const struct engine *engine, const struct wish *wish, struct error *error) {
    if (wish->count > engine->config->crl_max_entries)
        return error_set(error, ERROR_REFUSED, "%llu entries are more than crl_max_entries, %u",
                         (unsigned long long)wish->count, engine->config->crl_max_entries);
    return (wish->count == 0) == (wish->entry_bytes == 0) &&
                   wish->entry_bytes <= wish->count * CRL_ENTRY_DER_MAX
               ? true
               : error_set(error, ERROR_INVALID, "the entries cannot be so long");
}

static const struct issuer *find_issuer(const struct engine *engine, const char *name) {
    for (size_t i = 0; i < engine->issuer_count; i++)
        if (strcmp(engine->issuers[i].config->name, name) == 0)
            return &engine->issuers[i];
    return NULL;
}

static bool is_own_url(const struct engine *engine, const char *issuer, const char *url) {
    const struct issuer *known = find_issuer(engine, issuer);
    const struct config_issuer *config = known == NULL ? NULL : known->config;
    return *url == '\0' ||
           (config != NULL && config->crl_url != NULL &&
            crl_url_is_fill(url, config->crl_url, crl_url_count(config->crl_url, config->crl_shards), NULL));
}

static uint32_t count_foreign(const struct engine *engine) {
    uint32_t count = 0;
    struct crl_list list;
    for (uint32_t at = 1; crl_lists_get(engine->lists, at, &list); at++)
        count += !is_own_url(engine, list.issuer, list.url);
    return count;
}

/* Whoever can write Redis may name lists there that no certificate has; each would be made for good. */
static bool may_begin_list(struct engine *engine, const struct wish *wish, struct error *error) {
    if (is_own_url(engine, wish->issuer, wish->url) ||
        crl_lists_find(engine->lists, wish->issuer, wish->url) != 0)
        return true;
    uint32_t lists = crl_lists_count(engine->lists);
    if (engine->foreign_counted_of != lists + 1) {
        engine->foreign_lists = count_foreign(engine);
        engine->foreign_counted_of = lists + 1;
    }
    return engine->foreign_lists < engine->config->crl_max_foreign_lists ||
           error_set(error, ERROR_REFUSED,
                     "no certificate of this signer names the list, and there are %u such lists already "
                     "(crl_max_foreign_lists)",
                     engine->foreign_lists);
}

static bool judge(struct engine *engine, const struct wish *wish, struct crl_work *work,
                  struct error *error) {
    struct crl_list list;
    work->issuer = find_issuer(engine, wish->issuer);
    if (work->issuer == NULL)
        return error_set(error, ERROR_REFUSED, "the issuer is unknown to the signer");
    if (*wish->url != '\0' && !crl_url_is_good(wish->url))
        return error_set(error, ERROR_REFUSED, "the list's address is no http URL");
    if (!engine_may_vouch(engine, error) || !engine_has_room(engine, error) ||
        !judge_times(engine, wish, error) || !judge_size(engine, wish, error) ||
        !may_begin_list(engine, wish, error))
        return false;
    work->list = crl_lists_add(engine->lists, wish->issuer, wish->url);
    if (!crl_lists_get(engine->lists, work->list, &list))
        return error_set(error, ERROR_REFUSED, "there are %u lists already (crl_max_lists)",
                         engine->config->crl_max_lists);
    work->changes = list.changes;
    return judge_number(engine, wish, &list, error);
}

/* --- building --- */

static bool begin_hashes(struct crl_work *work) {
    work->digest = gnutls_sign_get_hash_algorithm(work->issuer->algorithm);
    return gnutls_hash_init(&work->sha256, GNUTLS_DIG_SHA256) >= 0 &&
           (work->digest == GNUTLS_DIG_SHA256 || gnutls_hash_init(&work->other, work->digest) >= 0);
}

static bool hash(struct crl_work *work, struct bytes bytes) {
    return gnutls_hash(work->sha256, bytes.data, bytes.length) >= 0 &&
           (work->other == NULL || gnutls_hash(work->other, bytes.data, bytes.length) >= 0);
}

static bool begin_building(struct engine *engine, const struct wish *wish, struct crl_work *work,
                           struct error *error) {
    work->contents = (struct crl_contents){.issuer = work->issuer->subject,
                                           .key_id = work->issuer->key_id,
                                           .signature_identifier = work->issuer->signature_identifier,
                                           .url = arena_strdup(work->arena, wish->url),
                                           .number = wish->number,
                                           .this_update = (time_t)wish->this_update,
                                           .next_update = (time_t)wish->next_update,
                                           .entry_bytes = wish->entry_bytes};
    work->wanted_count = wish->count;
    work->table_count = revoked_count(engine->revoked);
    work->seen = calloc(work->table_count / 8 + 1, 1);
    if (work->contents.url == NULL || work->seen == NULL || !begin_hashes(work))
        return error_set(error, ERROR_INTERNAL, "out of memory");
    return crl_build_frame(work->arena, &work->contents, &work->frame, error) &&
           lint_crl_begin(&work->lint, &work->frame, &work->contents, error) &&
           (hash(work, work->frame.head) || error_set(error, ERROR_INTERNAL, "cannot hash the list"));
}

static void run_begin(struct engine *engine, struct engine_call *call) {
    struct error error = {.code = ERROR_INVALID, .message = "malformed call"};
    struct wish wish;
    end_work(call); /* whoever begins another has given up the one before */
    struct crl_work *work = calloc(1, sizeof *work);
    if (work != NULL)
        work->arena = arena_new(0);
    if (work == NULL || work->arena == NULL)
        error_set(&error, ERROR_INTERNAL, "out of memory");
    bool is_begun = work != NULL && work->arena != NULL && read_wish(call, &wish) &&
                    judge(engine, &wish, work, &error) && begin_building(engine, &wish, work, &error);
    if (is_begun)
        *call->crl = work;
    else
        crl_work_free(work);
    reply(call, is_begun, &error);
}

/* --- entries --- */

/* Does this ledger have it? */
static bool mark_seen(const struct engine *engine, struct crl_work *work, const struct crl_entry *entry) {
    size_t at;
    bool is_known = revoked_place(engine->revoked, entry->serial, &at);
    if (is_known && at < work->table_count)
        work->seen[at / 8] |= (uint8_t)(1u << at % 8);
    return is_known;
}

static bool read_entry(struct wire_reader *reader, struct crl_entry *entry) {
    for (size_t i = 0; i < SERIAL_BYTES; i++)
        entry->serial[i] = wire_get_u8(reader);
    entry->revoked_at = wire_get_u32(reader);
    entry->reason = wire_get_u8(reader);
    return !reader->failed;
}

static bool judge_entry(const struct crl_work *work, const struct crl_entry *entry, const uint8_t *before,
                        struct error *error) {
    char serial[SERIAL_HEX_MAX];
    hex_encode(entry->serial, SERIAL_BYTES, serial);
    if (!crl_entry_is_good(entry))
        return error_set(error, ERROR_INVALID, "entry %s has a serial or reason that none of ours has",
                         serial);
    if (before != NULL && memcmp(before, entry->serial, SERIAL_BYTES) >= 0)
        return error_set(error, ERROR_INVALID, "entry %s stands there twice or behind a larger one", serial);
    return (int64_t)entry->revoked_at <= clock_wall_ms() / 1000 + CRL_ENTRY_AHEAD_SECONDS ||
           error_set(error, ERROR_INVALID, "entry %s of list %s is revoked in the future", serial,
                     work->contents.url);
}

/* `unknown`: a bit of each entry from its place `at` on, which is set where this ledger does not have it. */
static bool take_slice(const struct engine *engine, struct crl_work *work, struct wire_reader *reader,
                       size_t count, uint8_t *unknown, size_t at, struct error *error) {
    uint8_t der[SLICE * CRL_ENTRY_DER_MAX];
    struct crl_entry entries[SLICE];
    size_t length = 0;
    const uint8_t *before = work->lint.entries == 0 ? NULL : work->lint.last_serial;
    for (size_t i = 0; i < count; i++) {
        if (!read_entry(reader, &entries[i]))
            return error_set(error, ERROR_INVALID, "malformed entries");
        if (!judge_entry(work, &entries[i], before, error))
            return false;
        before = entries[i].serial;
        if (!mark_seen(engine, work, &entries[i]))
            unknown[(at + i) / 8] |= (uint8_t)(1u << (at + i) % 8);
        length += crl_put_entry(&entries[i], der + length);
    }
    return lint_crl_entries(&work->lint, (struct bytes){der, length}, entries, count, error) &&
           (hash(work, (struct bytes){der, length}) ||
            error_set(error, ERROR_INTERNAL, "cannot hash the list"));
}

static bool take_entries(const struct engine *engine, struct crl_work *work, struct engine_call *call,
                         struct bytes *unknown, struct error *error) {
    struct wire_reader reader = {.arena = call->arena, .rest = call->fields};
    size_t left = wire_get_count(&reader, CRL_ENTRY_WIRE_BYTES), at = 0, length = left / 8 + 1;
    uint8_t *bits = arena_alloc(call->arena, length);
    if (bits == NULL)
        return error_set(error, ERROR_INTERNAL, "out of memory");
    memset(bits, 0, length);
    *unknown = (struct bytes){bits, length};
    if (work->lint.entries + left > work->wanted_count)
        return error_set(error, ERROR_INVALID, "there are more entries than were announced");
    while (left > 0) {
        size_t count = left < SLICE ? left : SLICE;
        if (!take_slice(engine, work, &reader, count, bits, at, error))
            return false;
        left -= count;
        at += count;
    }
    return wire_is_complete(&reader) || error_set(error, ERROR_INVALID, "malformed entries");
}

static bool has_work(struct engine_call *call, struct error *error) {
    return *call->crl != NULL || error_set(error, ERROR_CONFLICT, "no list is under way on this connection");
}

static void run_entries(struct engine *engine, struct engine_call *call) {
    struct error error;
    struct bytes unknown = {.length = 0};
    struct wire_writer writer;
    if (!has_work(call, &error) || !take_entries(engine, *call->crl, call, &unknown, &error)) {
        end_work(call);
        engine_reply_error(call, &error);
        return;
    }
    engine_begin_reply(call, &writer);
    wire_put_bytes(&writer, unknown.data, unknown.length);
    engine_end_reply(call, &writer);
}

/* --- what must be in it --- */

static int64_t read_at(const struct crl_work *work) {
    return (int64_t)(work->contents.number / 1000);
}

/* One that was revoked while the entries were read may not have reached them yet. */
static bool is_due(const struct engine *engine, const struct crl_work *work,
                   const struct revoked_serial *entry) {
    return (int64_t)entry->revoked_at + engine->config->crl_settle_seconds <= read_at(work);
}

static bool is_whole(struct engine *engine, struct crl_work *work, struct error *error) {
    uint8_t serial[SERIAL_BYTES];
    struct revoked_serial entry;
    work->has_all = true;
    for (size_t at = 0; at < work->table_count; at++) {
        if ((work->seen[at / 8] >> at % 8 & 1) != 0)
            continue;
        revoked_get(engine->revoked, at, serial, &entry);
        if (!engine_must_list(engine, work->list, *work->contents.url == '\0', serial, &entry, read_at(work)))
            continue;
        work->has_all = false;
        if (!is_due(engine, work, &entry))
            continue;
        char hex[SERIAL_HEX_MAX];
        hex_encode(serial, SERIAL_BYTES, hex);
        metric_add(engine->crl_missing_total, 1);
        log_event(LOG_LEVEL_ERROR, "a revocation list was to be signed without a revocation of this ledger",
                  "serial", hex, "issuer", work->issuer->config->name, "url", work->contents.url, NULL);
        return error_set(error, ERROR_NOT_FOUND,
                         "serial %s is %s by this signer's ledger and not in the list", hex,
                         entry.is_void ? "void" : "revoked");
    }
    return true;
}

/* --- signing --- */

struct signed_list {
    uint8_t sha256[SHA256_BYTES], ledger_hash[LEDGER_HASH_BYTES];
    gnutls_datum_t signature;
    uint64_t sequence;
    uint64_t unproven; /* as the operators' connection says */
    bool is_bounded;
};

/* What is said of the entries that no ledger is known to have; a caller that says nothing knows nothing. */
static bool read_proven(struct engine_call *call, struct signed_list *out) {
    struct wire_reader reader = {.arena = call->arena, .rest = call->fields};
    if (call->fields.length == 0)
        return true;
    out->unproven = wire_get_u64(&reader);
    out->is_bounded = wire_get_u8(&reader) == 1;
    return wire_is_complete(&reader);
}

static bool sign(struct engine *engine, struct crl_work *work, struct signed_list *out, struct error *error) {
    uint8_t other[64];
    size_t index = (size_t)(work->issuer - engine->issuers);
    gnutls_hash_output(work->sha256, out->sha256);
    gnutls_datum_t digest = {out->sha256, sizeof out->sha256};
    if (work->other != NULL) {
        gnutls_hash_output(work->other, other);
        digest = (gnutls_datum_t){other, gnutls_hash_get_len(work->digest)};
    }
    int outcome =
        gnutls_privkey_sign_hash2(engine->keys[index], work->issuer->algorithm, 0, &digest, &out->signature);
    if (outcome < 0) {
        engine->is_token_lost = true;
        return error_set(error, ERROR_UNAVAILABLE, "the token does not sign: %s", gnutls_strerror(outcome));
    }
    outcome = gnutls_pubkey_verify_hash2(work->issuer->public_key, work->issuer->algorithm, 0, &digest,
                                         &out->signature);
    return outcome >= 0 ||
           error_set(error, ERROR_UNAVAILABLE, "lint: signature: the token's signature does not verify");
}

static bool record(struct engine *engine, const struct crl_work *work, struct signed_list *out,
                   struct error *error) {
    char digest[2 * SHA256_BYTES + 1], this_update[TIME_TEXT_MAX], next_update[TIME_TEXT_MAX];
    hex_encode(out->sha256, SHA256_BYTES, digest);
    time_format(work->contents.this_update, this_update);
    time_format(work->contents.next_update, next_update);
    json_t *fields = json_pack("{s:s, s:s, s:I, s:I, s:s, s:s, s:s}", "issuer", work->issuer->config->name,
                               "url", work->contents.url, "number", (json_int_t)work->contents.number,
                               "entries", (json_int_t)work->wanted_count, "tbs_sha256", digest, "this_update",
                               this_update, "next_update", next_update);
    if (fields != NULL && out->is_bounded)
        json_object_set_new(fields, "bounded", json_true());
    if (fields != NULL && out->unproven > 0)
        json_object_set_new(fields, "unproven", json_integer((json_int_t)out->unproven));
    bool is_written =
        fields != NULL ? ledger_append(engine->ledger, "crl", fields, &out->sequence, out->ledger_hash, error)
                       : error_set(error, ERROR_INTERNAL, "out of memory");
    json_decref(fields);
    return is_written;
}

static bool finish(struct engine *engine, struct crl_work *work, struct signed_list *out,
                   struct error *error) {
    struct crl_list list;
    const struct wish wish = {.number = work->contents.number}; /* another connection may have been faster */
    if (work->lint.entries != work->wanted_count || work->lint.bytes != work->contents.entry_bytes)
        return error_set(error, ERROR_INVALID, "the entries are not so many or long as was announced");
    return crl_lists_get(engine->lists, work->list, &list) && judge_number(engine, &wish, &list, error) &&
           engine_may_vouch(engine, error) && engine_has_room(engine, error) &&
           is_whole(engine, work, error) && lint_crl_end(&work->lint, error) &&
           (hash(work, work->frame.tail) || error_set(error, ERROR_INTERNAL, "cannot hash the list")) &&
           sign(engine, work, out, error) && record(engine, work, out, error);
}

static void put_signed(struct engine_call *call, const struct crl_work *work, const struct signed_list *out) {
    struct wire_writer writer;
    engine_begin_reply(call, &writer);
    wire_put_bytes(&writer, work->frame.head.data, work->frame.head.length);
    wire_put_bytes(&writer, work->frame.tail.data, work->frame.tail.length);
    wire_put_bytes(&writer, work->contents.signature_identifier.data,
                   work->contents.signature_identifier.length);
    wire_put_bytes(&writer, out->signature.data, out->signature.size);
    wire_put_bytes(&writer, out->sha256, SHA256_BYTES);
    wire_put_u64(&writer, out->sequence);
    wire_put_bytes(&writer, out->ledger_hash, LEDGER_HASH_BYTES);
    engine_end_reply(call, &writer);
}

static void log_signed(const struct crl_work *work) {
    char number[24], entries[24];
    snprintf(number, sizeof number, "%llu", (unsigned long long)work->contents.number);
    snprintf(entries, sizeof entries, "%llu", (unsigned long long)work->wanted_count);
    log_event(LOG_LEVEL_INFO, "revocation list signed", "issuer", work->issuer->config->name, "url",
              work->contents.url, "number", number, "entries", entries, NULL);
}

static void run_sign(struct engine *engine, struct engine_call *call) {
    struct error error = {.code = ERROR_INVALID, .message = "malformed call"};
    struct crl_work *work = *call->crl;
    struct signed_list out = {.sequence = 0};
    if (read_proven(call, &out) && has_work(call, &error) && finish(engine, work, &out, &error)) {
        crl_lists_note_number(engine->lists, work->list, work->contents.number);
        if (work->has_all)
            crl_lists_note_whole(engine->lists, work->list, work->changes);
        if (out.is_bounded)
            crl_lists_note_bounded(engine->lists, work->list);
        metric_add(engine->crl_signatures_total, 1);
        log_signed(work);
        put_signed(call, work, &out);
    } else {
        engine_reply_error(call, &error);
    }
    gnutls_free(out.signature.data);
    end_work(call);
}

void engine_run_crl(struct engine *engine, struct engine_call *call) {
    if (call->type == MESSAGE_CRL_BEGIN)
        run_begin(engine, call);
    else if (call->type == MESSAGE_CRL_ENTRIES)
        run_entries(engine, call);
    else
        run_sign(engine, call);
}
