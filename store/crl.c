/* Certificate revocation lists in Redis: what is on each, which one is to be made anew, and what was
 * published. */
#include "call.h"
#include "originca/text.h"

#include <stdio.h>
#include <string.h>

void store_register_crls(struct store *store, const struct store_crl_name *names, size_t count,
                         store_done *done, void *context) {
    struct store_call *call = call_new(store, SCRIPT_REGISTER_CRLS, NULL, NULL, NULL, done, context);
    if (call == NULL)
        return;
    for (size_t i = 0; i < count; i++) {
        call_add(call, names[i].issuer);
        call_add(call, names[i].url);
    }
    call_send(call);
}

static bool parse_adopted(struct store_call *call, struct redisReply *const *items, size_t count,
                          struct error *error) {
    int64_t is_done = 0;
    if (count < 1 || !reply_number(items[0], &is_done, error))
        return error_set(error, ERROR_INTERNAL, "Redis did not say whether all revocations are on lists");
    *(bool *)call->out = is_done != 0;
    return true;
}

void store_adopt_revocations(struct store *store, uint32_t limit, bool *is_done, store_done *done,
                             void *context) {
    struct store_call *call =
        call_new(store, SCRIPT_ADOPT_REVOCATIONS, NULL, parse_adopted, is_done, done, context);
    if (call == NULL)
        return;
    call_add_limit(call, limit);
    call_send(call);
}

void store_sort_revocation(struct store *store, const char *serial, const char *url, store_done *done,
                           void *context) {
    struct store_call *call = call_new(store, SCRIPT_SORT_REVOCATION, NULL, NULL, NULL, done, context);
    if (call == NULL)
        return;
    call_add(call, serial);
    call_add(call, url);
    call_send(call);
}

void store_set_aside_revocation(struct store *store, const char *serial, store_done *done, void *context) {
    struct store_call *call = call_new(store, SCRIPT_SET_ASIDE_REVOCATION, NULL, NULL, NULL, done, context);
    if (call == NULL)
        return;
    call_add(call, serial);
    call_send(call);
}

static bool parse_claimed(struct store_call *call, struct redisReply *const *items, size_t count,
                          struct error *error) {
    struct store_crl_claim *claim = call->out;
    int64_t number, floor, aside;
    *claim = (struct store_crl_claim){.id = NULL};
    if (count < 2 || !reply_texts(call->arena, items[0], &claim->unsorted, &claim->unsorted_count, error) ||
        !reply_number(items[1], &aside, error))
        return error_set(error, ERROR_INTERNAL, "Redis answered no claim of a list");
    claim->set_aside = (uint64_t)aside;
    if (count == 2)
        return true;
    if (count < 10 || !reply_number(items[5], &number, error) ||
        !reply_number(items[6], &claim->begun_us, error) || !reply_number(items[8], &floor, error))
        return error_set(error, ERROR_INTERNAL, "Redis answered no claim of a list");
    claim->number = (uint64_t)number;
    claim->floor = (uint64_t)floor;
    return (claim->id = reply_text(call->arena, items[2], error)) != NULL &&
           (claim->issuer = reply_text(call->arena, items[3], error)) != NULL &&
           (claim->url = reply_text(call->arena, items[4], error)) != NULL &&
           (claim->run = reply_text(call->arena, items[7], error)) != NULL &&
           (claim->changes = reply_text(call->arena, items[9], error)) != NULL;
}

void store_claim_crl(struct store *store, struct arena *arena, int64_t delay_ms, int64_t lease_ms,
                     const char *host, bool with_complete, const char *const *issuers, size_t issuer_count,
                     struct store_crl_claim *out, store_done *done, void *context) {
    struct store_call *call = call_new(store, SCRIPT_CLAIM_CRL, arena, parse_claimed, out, done, context);
    if (call == NULL)
        return;
    call_add_number(call, delay_ms);
    call_add_number(call, lease_ms);
    call_add(call, host);
    call_add_number(call, with_complete);
    for (size_t i = 0; i < issuer_count; i++)
        call_add(call, issuers[i]);
    call_send(call);
}

/* "serial:revoked_at:reason" */
static bool read_entry(const char *text, struct store_crl_entry *entry) {
    char serial[SERIAL_HEX_MAX];
    const char *colon = strchr(text, ':');
    unsigned long long revoked_at;
    unsigned reason;
    if (colon == NULL || (size_t)(colon - text) != 2 * SERIAL_BYTES)
        return false;
    memcpy(serial, text, 2 * SERIAL_BYTES);
    serial[2 * SERIAL_BYTES] = '\0';
    if (!hex_decode(serial, entry->serial, SERIAL_BYTES) ||
        sscanf(colon, ":%12llu:%2u", &revoked_at, &reason) != 2)
        return false;
    entry->revoked_at = (time_t)revoked_at;
    entry->reason = reason;
    return true;
}

static bool parse_page(struct store_call *call, struct redisReply *const *items, size_t count,
                       struct error *error) {
    struct store_crl_page *page = call->out;
    const struct redisReply *members = count < 2 ? NULL : items[1];
    *page = (struct store_crl_page){.next_cursor = NULL};
    if (count < 2 || !reply_is_array(members, 0, error) ||
        (page->next_cursor = reply_text(call->arena, items[0], error)) == NULL)
        return error_set(error, ERROR_INTERNAL, "Redis answered no page of a list");
    page->entries = arena_alloc(call->arena, (members->elements + 1) * sizeof *page->entries);
    if (page->entries == NULL)
        return reply_out_of_memory(error);
    for (size_t i = 0; i < members->elements; i++) {
        const struct redisReply *member = members->element[i];
        if (reply_is_text(member) && read_entry(member->str, &page->entries[page->count]))
            page->count++;
        else
            page->left_out++;
    }
    return true;
}

void store_scan_crl(struct store *store, struct arena *arena, const char *id, const char *cursor,
                    uint32_t limit, struct store_crl_page *out, store_done *done, void *context) {
    struct store_call *call = call_new(store, SCRIPT_SCAN_CRL, arena, parse_page, out, done, context);
    if (call == NULL)
        return;
    call_add(call, id);
    call_add(call, cursor);
    call_add_limit(call, limit);
    call_send(call);
}

void store_publish_crl(struct store *store, const struct store_crl *crl, struct bytes der,
                       const char *changes, const char *run, uint64_t refused_number, uint64_t ceiling,
                       const struct store_ledger_mark *mark, store_done *done, void *context) {
    struct store_call *call = call_new(store, SCRIPT_PUBLISH_CRL, NULL, NULL, NULL, done, context);
    if (call == NULL)
        return;
    call_add(call, crl->issuer);
    call_add(call, crl->url);
    call_add_number(call, (int64_t)crl->number);
    call_add_number(call, crl->this_update);
    call_add_number(call, crl->next_update);
    call_add_number(call, (int64_t)crl->entry_count);
    call_add(call, changes);
    call_add(call, run);
    call_add_bytes(call, der.data, der.length);
    call_add_number(call, (int64_t)refused_number);
    call_add_number(call, (int64_t)ceiling);
    call_add_number(call, (int64_t)crl->unproven);
    call_add_number(call, (int64_t)crl->left_out);
    issue_add_mark(call, mark);
    call_send(call);
}

static bool read_crl(struct arena *arena, const struct redisReply *id, const struct redisReply *pairs,
                     void *object, struct error *error) {
    static const struct store_field fields[] = {
        {"issuer", FIELD_TEXT, offsetof(struct store_crl, issuer), NULL},
        {"url", FIELD_TEXT, offsetof(struct store_crl, url), NULL},
        {"number", FIELD_INT64, offsetof(struct store_crl, number), NULL},
        {"this_update", FIELD_TIME, offsetof(struct store_crl, this_update), NULL},
        {"next_update", FIELD_TIME, offsetof(struct store_crl, next_update), NULL},
        {"entries", FIELD_INT64, offsetof(struct store_crl, entry_count), NULL},
        {"bytes", FIELD_INT64, offsetof(struct store_crl, bytes), NULL},
        {"issuer_end", FIELD_TIME, offsetof(struct store_crl, issuer_end), NULL},
        {"floor", FIELD_INT64, offsetof(struct store_crl, floor), NULL},
        {"unproven", FIELD_INT64, offsetof(struct store_crl, unproven), NULL},
        {"left_out", FIELD_INT64, offsetof(struct store_crl, left_out), NULL},
        {"problem", FIELD_TEXT, offsetof(struct store_crl, problem), NULL},
        {"problem_host", FIELD_TEXT, offsetof(struct store_crl, problem_host), NULL},
    };
    struct store_crl *crl = object;
    *crl = (struct store_crl){.id = reply_text(arena, id, error)};
    return crl->id != NULL &&
           reply_read_fields(arena, pairs, fields, sizeof fields / sizeof *fields, crl, error);
}

static bool parse_crls(struct store_call *call, struct redisReply *const *items, size_t count,
                       struct error *error) {
    struct store_crl_list *list = call->out;
    *list = (struct store_crl_list){.items = arena_alloc(call->arena, (count + 1) * sizeof *list->items)};
    if (list->items == NULL)
        return reply_out_of_memory(error);
    for (; list->count < count; list->count++) {
        struct redisReply *const item = items[list->count];
        int64_t sequence;
        if (!reply_is_array(item, 3, error) || !reply_number(item->element[2], &sequence, error) ||
            !read_crl(call->arena, item->element[0], item->element[1], &list->items[list->count], error))
            return false;
        list->items[list->count].sequence = (uint64_t)sequence;
    }
    return true;
}

void store_list_crls(struct store *store, struct arena *arena, uint64_t after, uint32_t limit,
                     struct store_crl_list *out, store_done *done, void *context) {
    struct store_call *call = call_new(store, SCRIPT_LIST_CRLS, arena, parse_crls, out, done, context);
    if (call == NULL)
        return;
    call_add_number(call, (int64_t)after);
    call_add_limit(call, limit);
    call_send(call);
}

static bool parse_facts(struct store_call *call, struct redisReply *const *items, size_t count,
                        struct error *error) {
    return reply_read_hash(call, items, count, read_crl, "revocation list", error);
}

void store_find_crl(struct store *store, struct arena *arena, const char *id, struct store_crl *out,
                    store_done *done, void *context) {
    call_load_hash(store, arena, "crl:", id, parse_facts, out, done, context);
}

static bool parse_loaded(struct store_call *call, struct redisReply *const *items, size_t count,
                         struct error *error) {
    struct store_crl_loaded *loaded = call->out;
    int64_t number;
    if (count < 2 || !reply_number(items[0], &number, error) || !reply_is_text(items[1]))
        return error_set(error, ERROR_INTERNAL, "Redis answered no revocation list");
    loaded->number = (uint64_t)number;
    loaded->der =
        (struct bytes){arena_copy(call->arena, items[1]->str, (size_t)items[1]->len), (size_t)items[1]->len};
    return loaded->der.data != NULL || reply_out_of_memory(error);
}

void store_load_crl(struct store *store, struct arena *arena, const char *id, struct store_crl_loaded *out,
                    store_done *done, void *context) {
    struct store_call *call = call_new(store, SCRIPT_LOAD_CRL, arena, parse_loaded, out, done, context);
    if (call == NULL)
        return;
    call_add(call, id);
    call_send(call);
}

void store_renew_crls(struct store *store, int64_t delay_ms, int64_t lease_ms,
                      const struct store_crl_name *names, size_t count, store_done *done, void *context) {
    struct store_call *call = call_new(store, SCRIPT_RENEW_CRLS, NULL, NULL, NULL, done, context);
    if (call == NULL)
        return;
    call_add_number(call, delay_ms);
    call_add_number(call, lease_ms);
    for (size_t i = 0; i < count; i++) {
        call_add(call, names[i].issuer);
        call_add(call, names[i].url);
    }
    call_send(call);
}

static bool parse_count(struct store_call *call, struct redisReply *const *items, size_t count,
                        struct error *error) {
    int64_t older = 0;
    if (count < 1 || !reply_number(items[0], &older, error))
        return error_set(error, ERROR_INTERNAL, "Redis did not say how many of the lists or entries it had");
    *(uint64_t *)call->out = (uint64_t)older;
    return true;
}

void store_floor_crls(struct store *store, const struct store_crl_floor *floors, size_t count,
                      uint64_t ceiling, uint64_t *older, store_done *done, void *context) {
    struct store_call *call = call_new(store, SCRIPT_FLOOR_CRLS, NULL, parse_count, older, done, context);
    if (call == NULL)
        return;
    call_add_number(call, (int64_t)ceiling);
    for (size_t i = 0; i < count; i++) {
        call_add(call, floors[i].issuer);
        call_add(call, floors[i].url);
        call_add_number(call, (int64_t)floors[i].number);
    }
    call_send(call);
}

static void add_lost(struct store_call *call, const char *issuer, const char *url,
                     const struct store_crl_lost *entries, size_t count) {
    char serial[SERIAL_HEX_MAX];
    call_add(call, issuer);
    call_add(call, url);
    for (size_t i = 0; i < count; i++) {
        hex_encode(entries[i].serial, SERIAL_BYTES, serial);
        call_add(call, serial);
        call_add_number(call, (int64_t)entries[i].revoked_at);
        call_add_number(call, (int64_t)entries[i].reason);
        call_add_number(call, (int64_t)entries[i].not_after);
    }
}

void store_restore_crl(struct store *store, const char *issuer, const char *url,
                       const struct store_crl_lost *entries, size_t count, uint64_t *restored,
                       store_done *done, void *context) {
    struct store_call *call = call_new(store, SCRIPT_RESTORE_CRL, NULL, parse_count, restored, done, context);
    if (call == NULL)
        return;
    add_lost(call, issuer, url, entries, count);
    call_send(call);
}

static bool parse_compared(struct store_call *call, struct redisReply *const *items, size_t count,
                           struct error *error) {
    struct store_compared *compared = call->out;
    return (count >= 2 && reply_number(items[0], &compared->entries, error) &&
            reply_number(items[1], &compared->certificates, error)) ||
           error_set(error, ERROR_INTERNAL, "Redis did not say which revocations it had lost");
}

void store_compare_revoked(struct store *store, const char *issuer, const char *url,
                           const struct store_crl_lost *entries, size_t count, struct store_compared *out,
                           store_done *done, void *context) {
    struct store_call *call =
        call_new(store, SCRIPT_COMPARE_REVOKED, NULL, parse_compared, out, done, context);
    if (call == NULL)
        return;
    add_lost(call, issuer, url, entries, count);
    call_send(call);
}

void store_fail_crl(struct store *store, const char *id, const char *host, const char *reason,
                    store_done *done, void *context) {
    struct store_call *call = call_new(store, SCRIPT_FAIL_CRL, NULL, NULL, NULL, done, context);
    if (call == NULL)
        return;
    call_add(call, id);
    call_add(call, host);
    call_add(call, reason);
    call_send(call);
}
