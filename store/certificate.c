/* Certificates: reading, listing, revoking; whether a key may be used. Committing one is in issue.c. */
#include "call.h"
#include "link.h"

bool certificate_read(struct arena *arena, const struct redisReply *id, const struct redisReply *pairs,
                      void *object, struct error *error) {
    static const struct store_field fields[] = {
        {"der", FIELD_BYTES, offsetof(struct store_certificate, der), NULL},
        {"status", FIELD_ENUM, offsetof(struct store_certificate, status), store_certificate_statuses},
        {"order", FIELD_TEXT, offsetof(struct store_certificate, order), NULL},
        {"account", FIELD_TEXT, offsetof(struct store_certificate, account), NULL},
        {"customer", FIELD_TEXT, offsetof(struct store_certificate, customer), NULL},
        {"profile", FIELD_TEXT, offsetof(struct store_certificate, profile), NULL},
        {"issuer", FIELD_TEXT, offsetof(struct store_certificate, issuer), NULL},
        {"names", FIELD_WORDS, offsetof(struct store_certificate, names), NULL},
        {"zones", FIELD_WORDS, offsetof(struct store_certificate, zones), NULL},
        {"spki", FIELD_TEXT, offsetof(struct store_certificate, spki_sha256), NULL},
        {"not_before", FIELD_TIME, offsetof(struct store_certificate, not_before), NULL},
        {"not_after", FIELD_TIME, offsetof(struct store_certificate, not_after), NULL},
        {"issued", FIELD_TIME, offsetof(struct store_certificate, issued_at), NULL},
        {"crl", FIELD_TEXT, offsetof(struct store_certificate, crl), NULL},
        {"listed_ms", FIELD_INT64, offsetof(struct store_certificate, listed_ms), NULL},
        {"revoked", FIELD_TIME, offsetof(struct store_certificate, revoked_at), NULL},
        {"reason", FIELD_UINT32, offsetof(struct store_certificate, reason), NULL},
        {"by", FIELD_TEXT, offsetof(struct store_certificate, by), NULL},
        {"told", FIELD_FLAG, offsetof(struct store_certificate, is_told), NULL},
        {"replaced_by", FIELD_TEXT, offsetof(struct store_certificate, replaced_by), NULL},
        {"request", FIELD_TEXT, offsetof(struct store_certificate, request), NULL},
    };
    _Static_assert(offsetof(struct store_certificate, name_count) ==
                           offsetof(struct store_certificate, names) + sizeof(const char **) &&
                       offsetof(struct store_certificate, zone_count) ==
                           offsetof(struct store_certificate, zones) + sizeof(const char **),
                   "FIELD_WORDS writes pointer and count");
    struct store_certificate *certificate = object;
    *certificate = (struct store_certificate){.serial = reply_text(arena, id, error)};
    if (certificate->serial == NULL ||
        !reply_read_fields(arena, pairs, fields, sizeof fields / sizeof *fields, certificate, error))
        return false;
    if (certificate->status == CERTIFICATE_VALID && certificate->not_after < clock_wall_ms() / 1000)
        certificate->status = CERTIFICATE_EXPIRED;
    return true;
}

static bool parse_loaded(struct store_call *call, struct redisReply *const *items, size_t count,
                         struct error *error) {
    return reply_read_hash(call, items, count, certificate_read, "certificate", error);
}

void store_load_certificate(struct store *store, struct arena *arena, const char *serial_hex,
                            struct store_certificate *out, store_done *done, void *context) {
    call_load_hash(store, arena, "certificate:", serial_hex, parse_loaded, out, done, context);
}

void store_revoke_certificate(struct store *store, const struct store_revocation *revocation,
                              const struct store_ledger_mark *mark, store_done *done, void *context) {
    struct store_call *call = call_new(store, SCRIPT_REVOKE_CERTIFICATE, NULL, NULL, NULL, done, context);
    if (call == NULL)
        return;
    call->is_durable = true;
    call_add(call, revocation->serial);
    call_add_number(call, revocation->revoked_at);
    call_add_number(call, revocation->reason);
    call_add(call, revocation->by);
    call_add(call, ""); /* no tombstone: it must be known */
    call_add(call, "");
    call_add(call, revocation->crl_url);
    call_add_number(call, revocation->not_after);
    issue_add_mark(call, mark);
    call_send(call);
}

void store_note_told(struct store *store, const char *serial_hex, store_done *done, void *context) {
    struct store_call *call = call_new(store, SCRIPT_NOTE_TOLD, NULL, NULL, NULL, done, context);
    if (call == NULL)
        return;
    call_add(call, serial_hex);
    call_send(call);
}

struct key_status {
    bool *is_blocked, *is_account_key;
};

static bool parse_key_status(struct store_call *call, struct redisReply *const *items, size_t count,
                             struct error *error) {
    const struct key_status *places = call->extra;
    int64_t blocked = 0, account = 0;
    if (count < 2 || !reply_number(items[0], &blocked, error) || !reply_number(items[1], &account, error))
        return error_set(error, ERROR_INTERNAL, "Redis answered no key status");
    *places->is_blocked = blocked != 0;
    *places->is_account_key = account != 0;
    return true;
}

void store_key_status(struct store *store, const char *spki_sha256, const char *customer, const char *account,
                      bool *is_blocked, bool *is_account_key, store_done *done, void *context) {
    const struct key_status places = {is_blocked, is_account_key};
    struct store_call *call = call_new(store, SCRIPT_KEY_STATUS, NULL, parse_key_status, NULL, done, context);
    if (call == NULL)
        return;
    call->extra = arena_copy(call->own, &places, sizeof places);
    if (call->extra == NULL) {
        call_refuse(call, ERROR_INTERNAL, "out of memory");
        return;
    }
    call_add(call, spki_sha256);
    call_add(call, customer);
    call_add(call, account);
    call_send(call);
}

static bool parse_list(struct store_call *call, struct redisReply *const *items, size_t count,
                       struct error *error) {
    struct store_certificate_list *list = call->out;
    return reply_read_page(call, items, count, certificate_read, sizeof *list->items, (void **)&list->items,
                           &list->count, &list->next_cursor, error);
}

void store_list_certificates(struct store *store, struct arena *arena,
                             const struct store_certificate_filter *filter,
                             struct store_certificate_list *out, store_done *done, void *context) {
    struct store_call *call =
        call_new(store, SCRIPT_LIST_CERTIFICATES, arena, parse_list, out, done, context);
    if (call == NULL)
        return;
    call_add(call, filter->zone);
    call_add(call, filter->customer);
    call_add(call, filter->status < 0
                       ? ""
                       : store_certificate_status_name((enum store_certificate_status)filter->status));
    call_add_number(call, filter->expires_before);
    call_add_cursor(call, filter->cursor);
    call_add_limit(call, filter->limit);
    call_send(call);
}
