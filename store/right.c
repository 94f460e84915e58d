/* The right that a script gives or takes away: the arguments that scripts/lib/right.lua reads. */
#include "call.h"
#include "originca/text.h"

void right_add_head(struct store_call *call, const struct store_right *right) {
    call_add(call, right->kind);
    call_add(call, right->subject);
    call_add(call, right->name);
    call_add(call, right->customer);
    call_add(call, right->detail);
    call_add_number(call, right->at_ms);
    call_add(call, right->by);
    call_add(call, right->seal);
}

/* Never twice the same: a later word counts. */
static int64_t next_moment(void) {
    static int64_t last;
    int64_t now = clock_wall_ms();
    last = now > last ? now : last + 1;
    return last;
}

void right_add(struct store_call *call, const struct store_right *right) {
    struct store_right none = {.at_ms = 0};
    if (right == NULL) {
        none.at_ms = next_moment();
        right = &none;
    }
    right_add_head(call, right);
    call_add(call, right->mark.count > 0 ? right->mark.host : "");
    call_add_number(call, (int64_t)right->mark.count);
    issue_add_marks(call, &right->mark);
}

/* --- what hosts tell each other --- */

static bool read_told(struct arena *arena, const struct redisReply *entry, struct store_right *right,
                      struct error *error) {
    const char **texts;
    size_t count;
    int64_t at_ms = 0;
    if (!reply_texts(arena, entry, &texts, &count, error))
        return false;
    if (count != 6)
        return error_set(error, ERROR_INTERNAL, "Redis told a right in another shape than expected");
    if (!reply_number(entry->element[4], &at_ms, error))
        at_ms = 0; /* its seal will not fit */
    *right = (struct store_right){.kind = texts[0],
                                  .subject = texts[1],
                                  .name = texts[2],
                                  .customer = texts[3],
                                  .at_ms = at_ms,
                                  .seal = texts[5]};
    return true;
}

static bool parse_told(struct store_call *call, struct redisReply *const *items, size_t count,
                       struct error *error) {
    struct store_right_list *list = call->out;
    *list = (struct store_right_list){.last = count == 0 ? NULL : reply_text(call->arena, items[0], error),
                                      .items = arena_alloc(call->arena, (count + 1) * sizeof *list->items)};
    if (list->last == NULL || list->items == NULL)
        return error_set(error, ERROR_INTERNAL, "Redis did not say what was told of rights");
    for (size_t i = 1; i < count; i++)
        if (!read_told(call->arena, items[i], &list->items[list->count++], error))
            return false;
    return true;
}

void store_load_rights(struct store *store, struct arena *arena, const char *host, uint32_t limit,
                       struct store_right_list *out, store_done *done, void *context) {
    struct store_call *call = call_new(store, SCRIPT_LOAD_RIGHTS, arena, parse_told, out, done, context);
    if (call == NULL)
        return;
    call_add(call, host);
    call_add_limit(call, limit);
    call_send(call);
}

void store_note_rights(struct store *store, const struct store_ledger_mark *mark, const char *last,
                       store_done *done, void *context) {
    struct store_call *call = call_new(store, SCRIPT_NOTE_RIGHTS, NULL, NULL, NULL, done, context);
    if (call == NULL)
        return;
    call_add(call, mark->host);
    call_add(call, last);
    issue_add_marks(call, mark);
    call_send(call);
}
