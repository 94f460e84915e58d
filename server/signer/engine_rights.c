/* Rights given and taken away: who may say so, what is new of it, one record each (doc/ledger.md, "Rights").
 */
#include <string.h>

#include "engine_state.h"
#include "originca/log.h"
#include "rights.h"

struct asked { /* one change of a call */
    struct signer_change change;
    enum right_kind kind;
    json_t *details;
};

/* --- reading the ledger --- */

bool engine_read_right(struct engine *engine, const struct ledger_record *record, struct error *error) {
    char subject[160] = "", name[256] = "", customer[160] = "";
    uint64_t at_ms;
    enum right_kind kind;
    if (!right_kind_of(record->type, &kind))
        return true;
    const char *member = right_form(kind)->subject_member;
    if ((member != NULL && !ledger_record_text(record, member, subject, sizeof subject)) ||
        !ledger_record_number(record, "at_ms", &at_ms) || at_ms > (uint64_t)ZONES_TIME_MAX ||
        (kind == RIGHT_ZONE_ADDED && (!ledger_record_text(record, "name", name, sizeof name) ||
                                      !ledger_record_text(record, "customer", customer, sizeof customer))))
        return error_set(error, ERROR_INVALID, "a record of type %s lacks one of its members", record->type);
    return right_apply(engine->zones, kind, subject, name, customer, (int64_t)at_ms) ||
           error_set(error, ERROR_INTERNAL, "out of memory");
}

/* --- asking --- */

static bool judge_asked(struct engine *engine, struct engine_call *call, struct asked *asked,
                        struct error *error) {
    struct zone_state zone;
    if (!right_kind_of(asked->change.kind, &asked->kind))
        return error_set(error, ERROR_INVALID, "the signer knows no such change of rights");
    const struct right_form *form = right_form(asked->kind);
    if (call->link == SIGNER_LINK_WORKER && (!form->is_for_workers || asked->change.at_ms != 0))
        return access_refuse(&engine->access, call,
                             form->is_for_workers ? "tell another host's change" : form->type, error);
    if (!right_judge(call->arena, &asked->change, asked->kind, &asked->details, error))
        return false;
    if (asked->kind == RIGHT_ZONE_ADDED && zones_find(engine->zones, asked->change.subject, &zone) &&
        zone.is_known &&
        (strcmp(zone.name, asked->change.name) != 0 || strcmp(zone.customer, asked->change.customer) != 0))
        return error_set(error, ERROR_CONFLICT, "the ledger knows zone %s with another name or customer",
                         asked->change.subject);
    return true;
}

static struct asked *read_asked(struct engine *engine, struct engine_call *call, size_t *count,
                                struct error *error) {
    struct wire_reader reader = {.arena = call->arena, .rest = call->fields};
    *count = wire_get_count(&reader, 6 * 4 + 8);
    error_set(error, ERROR_INVALID, "malformed changes of rights");
    if (*count == 0 || *count > SIGNER_CHANGES_MAX)
        return NULL;
    struct asked *asked = arena_alloc(call->arena, *count * sizeof *asked);
    for (size_t i = 0; asked != NULL && i < *count; i++) {
        struct signer_change *change = &asked[i].change;
        *change = (struct signer_change){.kind = wire_get_string(&reader)};
        change->subject = wire_get_string(&reader);
        change->name = wire_get_string(&reader);
        change->customer = wire_get_string(&reader);
        change->detail = wire_get_string(&reader);
        change->by = wire_get_string(&reader);
        change->at_ms = (int64_t)wire_get_u64(&reader);
    }
    if (asked == NULL || !wire_is_complete(&reader))
        return NULL;
    for (size_t i = 0; i < *count; i++)
        if (!judge_asked(engine, call, &asked[i], error))
            return NULL;
    return asked;
}

static bool is_stop(enum right_kind kind) {
    return kind == RIGHT_ISSUANCE_STOPPED || kind == RIGHT_ISSUER_STOPPED;
}

static const char *stopped_issuer(const struct asked *asked) {
    bool is_of_one = asked->kind == RIGHT_ISSUER_STOPPED || asked->kind == RIGHT_ISSUER_ALLOWED;
    return is_of_one ? asked->change.subject : ZONES_EVERY_ISSUER;
}

/* What is known of the object of a change: since when, and whether it is what the change says, for good. */
struct known {
    int64_t at_ms;
    bool is_settled; /* nothing that is said of it changes it any more */
    bool is_same;
};

static struct known find_known(const struct engine *engine, const struct asked *asked) {
    struct known known = {0};
    struct zone_state zone;
    struct customer_state customer;
    struct stop_state stop;
    struct left_state left;
    switch (asked->kind) {
    case RIGHT_ZONES_KNOWN:
        known.is_settled = zones_are_known(engine->zones);
        break;
    case RIGHT_ZONE_ADDED:
        known.is_settled = zones_find(engine->zones, asked->change.subject, &zone) && zone.is_known;
        known.at_ms = zone.at_ms;
        break;
    case RIGHT_ZONE_ENDED:
    case RIGHT_ZONE_PAUSED:
    case RIGHT_ZONE_RESUMED:
        known.is_settled = zones_find(engine->zones, asked->change.subject, &zone) && zone.is_ended;
        known.at_ms = zone.at_ms;
        known.is_same = zone.is_paused == (asked->kind == RIGHT_ZONE_PAUSED);
        break;
    case RIGHT_ZONE_MOVED:
    case RIGHT_ZONE_RETURNED:
        known.is_settled = zones_find(engine->zones, asked->change.subject, &zone) && zone.is_ended;
        zones_find_left(engine->zones, asked->change.subject, &left);
        known.at_ms = left.word_ms;
        known.is_same = left.has_left == (asked->kind == RIGHT_ZONE_MOVED);
        break;
    case RIGHT_CUSTOMER_SUSPENDED:
    case RIGHT_CUSTOMER_RESUMED:
        zones_find_customer(engine->zones, asked->change.subject, &customer);
        known.at_ms = customer.at_ms;
        known.is_same = customer.is_suspended == (asked->kind == RIGHT_CUSTOMER_SUSPENDED);
        break;
    case RIGHT_ACCOUNT_DEACTIVATED:
        known.at_ms = zones_account_end(engine->zones, asked->change.subject);
        known.is_settled = known.at_ms != 0;
        break;
    case RIGHT_ISSUANCE_STOPPED:
    case RIGHT_ISSUANCE_ALLOWED:
    case RIGHT_ISSUER_STOPPED:
    case RIGHT_ISSUER_ALLOWED:
        zones_find_stop(engine->zones, stopped_issuer(asked), &stop);
        known.at_ms = stop.at_ms;
        known.is_same = stop.is_stopped == is_stop(asked->kind);
        break;
    default:
        break;
    }
    return known;
}

static bool takes_away(enum right_kind kind) {
    return kind != RIGHT_ZONE_MOVED && kind != RIGHT_ZONE_RESUMED && kind != RIGHT_CUSTOMER_RESUMED &&
           kind != RIGHT_ISSUANCE_ALLOWED && kind != RIGHT_ISSUER_ALLOWED;
}

/* Sets the moment; false where nothing is to be written. One's own word always counts: another host's clock
 * may be ahead, so it is put behind what is known. Another host's word counts by its moment; of two in one
 * millisecond the one that takes away. */
static bool is_news(const struct engine *engine, struct asked *asked) {
    struct known known = find_known(engine, asked);
    int64_t told = asked->change.at_ms, now = clock_wall_ms();
    bool is_old =
        told != 0 && asked->kind != RIGHT_ZONE_ENDED && asked->kind != RIGHT_ZONE_ADDED &&
        (told < known.at_ms || (told == known.at_ms && (known.is_same || !takes_away(asked->kind))));
    if (known.is_settled || is_old) {
        asked->change.at_ms = known.at_ms;
        return false;
    }
    if (told == 0)
        asked->change.at_ms = now <= known.at_ms ? known.at_ms + 1 : now;
    return true;
}

static bool write_asked(struct engine *engine, struct asked *asked, struct error *error) {
    struct signer_change *change = &asked->change;
    if (!is_news(engine, asked))
        return true;
    json_t *fields = right_describe(change, asked->kind, asked->details);
    bool is_written = fields != NULL ? ledger_append(engine->ledger, right_form(asked->kind)->type, fields,
                                                     &change->sequence, change->hash, error)
                                     : error_set(error, ERROR_INTERNAL, "out of memory");
    json_decref(fields);
    if (!is_written)
        return false;
    log_event(LOG_LEVEL_INFO, right_form(asked->kind)->words, "subject", change->subject, "by", change->by,
              NULL);
    return right_apply(engine->zones, asked->kind, change->subject, change->name, change->customer,
                       change->at_ms) ||
           error_set(error, ERROR_INTERNAL, "out of memory");
}

static void reply_asked(struct engine_call *call, const struct asked *asked, size_t count) {
    struct wire_writer writer;
    engine_begin_reply(call, &writer);
    wire_put_u32(&writer, (uint32_t)count);
    for (size_t i = 0; i < count; i++) {
        wire_put_u64(&writer, asked[i].change.sequence);
        wire_put_u64(&writer, (uint64_t)asked[i].change.at_ms);
        wire_put_bytes(&writer, asked[i].change.hash, SHA256_BYTES);
    }
    engine_end_reply(call, &writer);
}

/* What stops issuance is written also while Redis's position is not known (doc/ledger.md): it only takes
 * away.
 */
static bool may_write_now(const struct engine *engine, const struct asked *asked, size_t count,
                          struct error *error) {
    bool are_stops = engine->phase == ENGINE_WAITING;
    for (size_t i = 0; are_stops && i < count; i++)
        are_stops = is_stop(asked[i].kind);
    return are_stops || engine_may_write(engine, error);
}

void engine_run_change_rights(struct engine *engine, struct engine_call *call) {
    struct error error;
    size_t count = 0;
    bool is_read = engine->phase != ENGINE_READING || engine_may_write(engine, &error);
    struct asked *asked =
        is_read && engine_has_room(engine, &error) ? read_asked(engine, call, &count, &error) : NULL;
    bool is_done = asked != NULL && may_write_now(engine, asked, count, &error) &&
                   access_take(&engine->access, call, RATE_CHANGES, count, &error);
    for (size_t i = 0; is_done && i < count; i++)
        is_done = write_asked(engine, &asked[i], &error);
    if (is_done)
        reply_asked(call, asked, count);
    else
        engine_reply_error(call, &error);
}
