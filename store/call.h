/* What the files of the store share: one call, from its arguments over the reply to the completion.
 *
 * A public function takes a call, adds the script's arguments and sends it; the link (link.h) queues it, and
 * when the reply is there `parse` turns it into the caller's result. */
#pragma once

#include <hiredis/hiredis.h>

#include "originca/store.h"
#include "scripts.h"

#define STORE_PAGE_MAX 10000
#define STORE_CURSOR_MAX 128

struct evbuffer;
struct store_call;

/* Fills call->out from the reply: of a script what follows its "ok" (or what follows the message of another
 * status), of a plain command the whole reply as one item. Copies what it keeps into call->arena. */
typedef bool store_parse(struct store_call *call, struct redisReply *const *items, size_t count,
                         struct error *error);

struct store_call {
    struct store *store;
    struct arena *own;   /* holds the call itself and its words */
    struct arena *arena; /* the request's: for the result; may be NULL where parse is */
    enum store_script_id script;
    struct text words; /* the arguments in RESP */
    size_t word_count;
    bool is_secret; /* the words are wiped */
    bool has_bad_cursor;
    bool is_durable;          /* an acknowledged commit: waits for replicas where configured */
    struct call_group *group; /* of a transaction: what it carries */
    store_parse *parse;
    void *out, *extra;
    store_done *done;
    void *context;
    /* the link's */
    struct store_call *next;
    int64_t deadline_ms;
    uint64_t starts_at; /* position in the stream of bytes sent */
    unsigned replies_left;
    bool was_repeated, is_script_missing, must_reconnect;
    struct error outcome;
};

/* NULL only when out of memory; then `done` has been called. */
struct store_call *call_new(struct store *store, enum store_script_id script, struct arena *arena,
                            store_parse *parse, void *out, store_done *done, void *context);
void call_add_bytes(struct store_call *call, const void *bytes, size_t length);
void call_add(struct store_call *call, const char *word); /* NULL counts as "" */
void call_add_number(struct store_call *call, int64_t number);
/* Words with blanks between, as one argument. */
void call_add_joined(struct store_call *call, const char *const *words, size_t count);
void call_add_cursor(struct store_call *call,
                     const char *cursor); /* NULL: the first page; malformed: ERROR_INVALID */
void call_add_limit(struct store_call *call, uint32_t limit);
/* Takes over the call. */
void call_send(struct store_call *call);
/* Calls that go out as one transaction: Redis runs them in one go and syncs its file once. In an arena that
 * lives until all of them are completed. A script that turns out to be missing fails them all and reconnects.
 */
struct call_group {
    struct store_call **calls;
    size_t count;
    struct error failure; /* the first that Redis did not queue */
};
void call_send_group(struct store *store, struct call_group *group);
/* For the link: MULTI and each call answer before EXEC does. */
void call_note_queued(struct store_call *call, struct redisReply *reply);
/* Ends it with this error instead of sending it, from the loop. */
void call_refuse(struct store_call *call, enum error_code code, const char *message);

/* For the link. The whole command in RESP; false when out of memory. */
bool call_write(const struct store_call *call, struct evbuffer *out);
/* Reads a reply into call->outcome (code ERROR_NONE: fine) and call->out. */
void call_read_reply(struct store_call *call, struct redisReply *reply);
/* Frees the call, then completes. */
void call_complete(struct store_call *call, const struct error *error);

/* --- reading replies (reply.c) --- */
enum store_field_kind {
    FIELD_TEXT,   /* const char *, "" where absent */
    FIELD_TIME,   /* time_t, 0 where absent */
    FIELD_INT64,  /* int64_t */
    FIELD_UINT32, /* uint32_t */
    FIELD_BYTES,  /* struct bytes */
    FIELD_FLAG,   /* bool: is it there? */
    FIELD_WORDS,  /* const char ** and, behind it, a size_t */
    FIELD_ENUM,   /* int; by `names` */
};
struct store_field {
    const char *name; /* in the Redis hash */
    enum store_field_kind kind;
    size_t offset;
    const char *const *names; /* FIELD_ENUM: NULL-terminated */
};
/* Reads {field, value, ...} into `object` by the table. Unknown fields are skipped. ERROR_INTERNAL says which
 * field is not what the schema says. */
bool reply_read_fields(struct arena *arena, const struct redisReply *pairs, const struct store_field *table,
                       size_t count, void *object, struct error *error) MUST_CHECK;
bool reply_is_text(const struct redisReply *reply);
/* A copy in the arena; NULL with the error where it is no text or memory is short. */
char *reply_text(struct arena *arena, const struct redisReply *reply, struct error *error) MUST_CHECK;
/* An array of texts. */
bool reply_texts(struct arena *arena, const struct redisReply *reply, const char ***texts, size_t *count,
                 struct error *error) MUST_CHECK;
/* An integer, or text that is one. */
bool reply_number(const struct redisReply *reply, int64_t *number, struct error *error) MUST_CHECK;
bool reply_is_array(const struct redisReply *reply, size_t least, struct error *error) MUST_CHECK;
bool reply_out_of_memory(struct error *error); /* false */

/* Reads one object {id, {fields}}; the readers of the entities. */
typedef bool store_read_object(struct arena *arena, const struct redisReply *id,
                               const struct redisReply *pairs, void *object, struct error *error);
/* Reads "next cursor, {id, fields} ..." into an array of objects of `size`. */
bool reply_read_page(struct store_call *call, struct redisReply *const *items, size_t count,
                     store_read_object *read, size_t size, void **objects, size_t *object_count,
                     const char **next_cursor, struct error *error) MUST_CHECK;
/* Reads "id, {fields}" into call->out. */
bool reply_read_one(struct store_call *call, struct redisReply *const *items, size_t count,
                    store_read_object *read, struct error *error) MUST_CHECK;
/* Reads the reply of a plain HGETALL, ERROR_NOT_FOUND where it is empty; call->extra is the id. */
bool reply_read_hash(struct store_call *call, struct redisReply *const *items, size_t count,
                     store_read_object *read, const char *what, struct error *error) MUST_CHECK;
/* Reads words into a struct store_name_list; a store_parse. */
store_parse reply_read_words;
/* A plain HGETALL of "<prefix><id>"; call->extra is the id in the request's arena. */
void call_load_hash(struct store *store, struct arena *arena, const char *prefix, const char *id,
                    store_parse *parse, void *out, store_done *done, void *context);
/* Splits at blanks. */
bool reply_split(struct arena *arena, char *text, const char ***words, size_t *count,
                 struct error *error) MUST_CHECK;

/* --- entities --- */
store_read_object zone_read, order_read, certificate_read;
/* Hex SHA-256 of the SubjectPublicKeyInfo of a canonical JWK: how account keys and certificate keys are
 * compared. */
bool account_key_spki_sha256(const char *jwk, char out[2 * SHA256_BYTES + 1], struct error *error) MUST_CHECK;
/* The arguments that scripts/lib/issue.lua reads, then host and sequences. */
void issue_add(struct store_call *call, const struct store_certificate *certificate, const char *attempt);
void issue_add_mark(struct store_call *call, const struct store_ledger_mark *mark);
void issue_add_marks(struct store_call *call, const struct store_ledger_mark *mark); /* sequences alone */
/* The arguments that scripts/lib/right.lua reads. NULL: a right of now, without a record. */
/* Without host and marks, which follow. */
void right_add_head(struct store_call *call, const struct store_right *right);
void right_add(struct store_call *call, const struct store_right *right);

extern const char *const store_order_statuses[],
    *const store_zone_statuses[], *const store_account_statuses[], *const store_certificate_statuses[],
                                                                       *const store_authorization_statuses[];
