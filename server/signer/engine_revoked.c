/* What a revocation list must have by this ledger, for whoever signs it and for whoever puts back what Redis
 * has lost. */
#include <string.h>

#include "engine_state.h"
#include "originca/crl.h"

#define LOOKED_AT_ONCE 200000 /* revocations for one page: some milliseconds */

bool engine_must_list(const struct engine *engine, uint32_t list, bool is_complete, const uint8_t *serial,
                      const struct revoked_serial *entry, int64_t at) {
    struct crl_list own;
    struct crl_entry listed = {.reason = (uint8_t)entry->reason};
    memcpy(listed.serial, serial, SERIAL_BYTES);
    if (!crl_entry_is_good(&listed)) /* of a ledger of before that was refused: no list can have it */
        return false;
    bool is_of_list = is_complete ? crl_lists_get(engine->lists, entry->list, &own) && own.complete == list
                                  : entry->list == list;
    return is_of_list && entry->not_after > at;
}

struct question {
    const char *issuer, *url;
    uint64_t cursor;
};

static bool read_question(struct engine_call *call, struct question *asked) {
    struct wire_reader reader = {.arena = call->arena, .rest = call->fields};
    asked->issuer = wire_get_string(&reader);
    asked->url = wire_get_string(&reader);
    asked->cursor = wire_get_u64(&reader);
    return wire_is_complete(&reader);
}

/* The places of up to SIGNER_REVOKED_MAX; `cursor` moves on, to 0 behind the last. */
static uint32_t find(const struct engine *engine, struct question *asked, size_t *places) {
    uint32_t list = crl_lists_find(engine->lists, asked->issuer, asked->url), count = 0;
    uint64_t all = revoked_count(engine->revoked), at = asked->cursor;
    uint64_t end = list == 0 || at >= all ? at : all - at > LOOKED_AT_ONCE ? at + LOOKED_AT_ONCE : all;
    int64_t now = clock_wall_ms() / 1000;
    uint8_t serial[SERIAL_BYTES];
    struct revoked_serial entry;
    for (; at < end && count < SIGNER_REVOKED_MAX; at++) {
        revoked_get(engine->revoked, (size_t)at, serial, &entry);
        if (engine_must_list(engine, list, *asked->url == '\0', serial, &entry, now))
            places[count++] = (size_t)at;
    }
    asked->cursor = list == 0 || at >= all ? 0 : at;
    return count;
}

static void put(struct wire_writer *writer, const struct engine *engine, size_t place) {
    uint8_t serial[SERIAL_BYTES];
    struct revoked_serial entry;
    revoked_get(engine->revoked, place, serial, &entry);
    for (size_t i = 0; i < SERIAL_BYTES; i++)
        wire_put_u8(writer, serial[i]);
    wire_put_u64(writer, (uint64_t)entry.revoked_at);
    wire_put_u64(writer, (uint64_t)entry.not_after);
    wire_put_u8(writer, (uint8_t)entry.reason);
}

void engine_list_revoked(struct engine *engine, struct engine_call *call) {
    struct error error = {.code = ERROR_INVALID, .message = "malformed question about a revocation list"};
    size_t *places = arena_alloc(call->arena, SIGNER_REVOKED_MAX * sizeof *places);
    struct question asked;
    struct wire_writer writer;
    if (places == NULL || !read_question(call, &asked)) {
        engine_reply_error(call, &error);
        return;
    }
    uint32_t count = find(engine, &asked, places);
    engine_begin_reply(call, &writer);
    wire_put_u64(&writer, asked.cursor);
    wire_put_u32(&writer, count);
    for (uint32_t i = 0; i < count; i++)
        put(&writer, engine, places[i]);
    engine_end_reply(call, &writer);
}
