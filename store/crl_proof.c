/* Entries of revocation lists in Redis that a host's ledger has, as it says under its seal, and those of
 * which no host has said so. */
#include "call.h"

#include <stdlib.h>

static bool parse_proofs(struct store_call *call, struct redisReply *const *items, size_t count,
                         struct error *error) {
    struct store_proof_list *list = call->out;
    const char **texts;
    size_t text_count;
    *list = (struct store_proof_list){.last = NULL};
    if (count < 3 || !reply_number(items[1], &list->has_more, error) ||
        !reply_texts(call->arena, items[2], &texts, &text_count, error) ||
        (list->last = reply_text(call->arena, items[0], error)) == NULL)
        return error_set(error, ERROR_INTERNAL, "Redis answered no proofs of revocations");
    list->items = arena_alloc(call->arena, (text_count / 2 + 1) * sizeof *list->items);
    if (list->items == NULL)
        return reply_out_of_memory(error);
    for (; list->count < text_count / 2; list->count++)
        list->items[list->count] =
            (struct store_proof){.seal = texts[2 * list->count], .serials = texts[2 * list->count + 1]};
    return true;
}

void store_load_proofs(struct store *store, struct arena *arena, const char *after, uint32_t limit,
                       struct store_proof_list *out, store_done *done, void *context) {
    struct store_call *call = call_new(store, SCRIPT_LOAD_PROOFS, arena, parse_proofs, out, done, context);
    if (call == NULL)
        return;
    call_add(call, after);
    call_add_limit(call, limit);
    call_send(call);
}

void store_drop_proofs(struct store *store, const struct store_proof *proofs, size_t count, store_done *done,
                       void *context) {
    struct store_call *call = call_new(store, SCRIPT_DROP_PROOFS, NULL, NULL, NULL, done, context);
    if (call == NULL)
        return;
    for (size_t i = 0; i < count; i++) {
        call_add(call, proofs[i].seal);
        call_add(call, proofs[i].serials);
    }
    call_send(call);
}

static bool parse_unproven(struct store_call *call, struct redisReply *const *items, size_t count,
                           struct error *error) {
    struct store_unproven_page *page = call->out;
    int64_t waiting;
    *page = (struct store_unproven_page){.next_cursor = NULL};
    if (count < 4 || !reply_number(items[1], &page->now_ms, error) ||
        !reply_number(items[2], &waiting, error) ||
        !reply_texts(call->arena, items[3], &page->serials, &page->count, error) ||
        (page->next_cursor = reply_text(call->arena, items[0], error)) == NULL)
        return error_set(error, ERROR_INTERNAL, "Redis answered no page of unproven entries");
    page->waiting = (uint64_t)waiting;
    return true;
}

void store_page_unproven(struct store *store, struct arena *arena, const char *cursor, uint32_t limit,
                         int64_t patience_ms, int64_t until_ms, struct store_unproven_page *out,
                         store_done *done, void *context) {
    struct store_call *call =
        call_new(store, SCRIPT_PAGE_UNPROVEN, arena, parse_unproven, out, done, context);
    if (call == NULL)
        return;
    call_add(call, cursor);
    call_add_limit(call, limit);
    call_add_number(call, patience_ms);
    call_add_number(call, until_ms);
    call_send(call);
}

static void add_all(struct store_call *call, const char *const *words, size_t count) {
    for (size_t i = 0; i < count; i++)
        call_add(call, words[i]);
}

void store_prove_entries(struct store *store, const struct store_proof *proof, store_done *done,
                         void *context) {
    struct store_call *call = call_new(store, SCRIPT_PROVE_ENTRIES, NULL, NULL, NULL, done, context);
    if (call == NULL)
        return;
    call_add(call, proof->seal);
    call_add(call, proof->serials);
    call_send(call);
}

static bool parse_clock(struct store_call *call, struct redisReply *const *items, size_t count,
                        struct error *error) {
    return (count > 0 && reply_number(items[0], call->out, error)) ||
           error_set(error, ERROR_INTERNAL, "Redis did not say what time it is");
}

void store_queue_unproven(struct store *store, const char *list, bool are_many, const char *const *serials,
                          size_t count, int64_t *now_ms, store_done *done, void *context) {
    struct store_call *call =
        call_new(store, SCRIPT_QUEUE_UNPROVEN, NULL, parse_clock, now_ms, done, context);
    if (call == NULL)
        return;
    call_add(call, list);
    call_add_number(call, are_many);
    add_all(call, serials, count);
    call_send(call);
}

static bool parse_provers(struct store_call *call, struct redisReply *const *items, size_t count,
                          struct error *error) {
    struct store_prover_list *list = call->out;
    const char **texts;
    size_t text_count;
    *list = (struct store_prover_list){.items = NULL};
    if (count < 1 || !reply_texts(call->arena, items[0], &texts, &text_count, error))
        return error_set(error, ERROR_INTERNAL, "Redis answered no hosts");
    list->items = arena_alloc(call->arena, (text_count / 3 + 1) * sizeof *list->items);
    if (list->items == NULL)
        return reply_out_of_memory(error);
    for (; list->count < text_count / 3; list->count++)
        list->items[list->count] =
            (struct store_prover){texts[3 * list->count], strtoll(texts[3 * list->count + 1], NULL, 10),
                                  texts[3 * list->count + 2]};
    return true;
}

void store_note_provers(struct store *store, struct arena *arena, const struct store_prover *own,
                        struct store_prover_list *out, store_done *done, void *context) {
    struct store_call *call = call_new(store, SCRIPT_NOTE_PROVERS, arena, parse_provers, out, done, context);
    if (call == NULL)
        return;
    call_add(call, own->host);
    call_add_number(call, own->began_ms);
    call_add(call, own->seal);
    call_send(call);
}

/* --- taking them off --- */

static bool parse_members(struct store_call *call, struct redisReply *const *items, size_t count,
                          struct error *error) {
    struct store_member_page *page = call->out;
    *page = (struct store_member_page){.next_cursor = NULL};
    return (count >= 2 && reply_texts(call->arena, items[1], &page->members, &page->count, error) &&
            (page->next_cursor = reply_text(call->arena, items[0], error)) != NULL) ||
           error_set(error, ERROR_INTERNAL, "Redis answered no page of a list");
}

void store_find_unproven(struct store *store, struct arena *arena, const char *list, const char *cursor,
                         uint32_t limit, int64_t until_ms, struct store_member_page *out, store_done *done,
                         void *context) {
    struct store_call *call = call_new(store, SCRIPT_FIND_UNPROVEN, arena, parse_members, out, done, context);
    if (call == NULL)
        return;
    call_add(call, list);
    call_add(call, cursor);
    call_add_limit(call, limit);
    call_add_number(call, until_ms);
    call_send(call);
}

void store_drop_entries(struct store *store, const char *list, int64_t until_ms, const char *const *members,
                        size_t count, int64_t *dropped, store_done *done, void *context) {
    struct store_call *call = call_new(store, SCRIPT_DROP_ENTRIES, NULL, parse_clock, dropped, done, context);
    if (call == NULL)
        return;
    call_add(call, list);
    call_add_number(call, until_ms);
    add_all(call, members, count);
    call_send(call);
}

static bool parse_forgotten(struct store_call *call, struct redisReply *const *items, size_t count,
                            struct error *error) {
    struct store_forgotten *forgotten = call->out;
    return (count >= 2 && reply_number(items[0], &forgotten->restored, error) &&
            reply_number(items[1], &forgotten->kept, error)) ||
           error_set(error, ERROR_INTERNAL, "Redis did not say which certificates are valid again");
}

void store_forget_unproven(struct store *store, int64_t until_ms, const char *const *serials, size_t count,
                           struct store_forgotten *out, store_done *done, void *context) {
    struct store_call *call =
        call_new(store, SCRIPT_FORGET_UNPROVEN, NULL, parse_forgotten, out, done, context);
    if (call == NULL)
        return;
    call_add_number(call, until_ms);
    add_all(call, serials, count);
    call_send(call);
}
