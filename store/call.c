/* A call: its arguments in RESP, the meaning of its reply, its completion. Every script answers {"ok", ...}
 * or {status, message, ...}; Redis's own errors are told apart into those where nothing happened and those
 * that are our fault. */
#include "call.h"

#include <event2/buffer.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "link.h"

/* Orders with very many names or long evidence; a request's body is bounded far below. */
#define CALL_BYTES_MAX (32u * 1024 * 1024)

struct store_call *call_new(struct store *store, enum store_script_id script, struct arena *arena,
                            store_parse *parse, void *out, store_done *done, void *context) {
    struct arena *own = arena_new(CALL_BYTES_MAX);
    struct store_call *call = own == NULL ? NULL : arena_alloc(own, sizeof *call);
    if (call == NULL) {
        const struct error error = {ERROR_INTERNAL, "out of memory"};
        arena_free(own);
        done(context, &error);
        return NULL;
    }
    *call = (struct store_call){.store = store,
                                .own = own,
                                .arena = arena,
                                .script = script,
                                .parse = parse,
                                .out = out,
                                .done = done,
                                .context = context};
    text_init(&call->words, own);
    return call;
}

void call_add_bytes(struct store_call *call, const void *bytes, size_t length) {
    char head[24];
    int head_length = snprintf(head, sizeof head, "$%zu\r\n", length);
    text_append_bytes(&call->words, head, (size_t)head_length);
    text_append_bytes(&call->words, bytes, length);
    text_append_bytes(&call->words, "\r\n", 2);
    call->word_count++;
}

void call_add(struct store_call *call, const char *word) {
    if (word == NULL)
        word = "";
    call_add_bytes(call, word, strlen(word));
}

void call_add_number(struct store_call *call, int64_t number) {
    char text[24];
    int length = snprintf(text, sizeof text, "%" PRId64, number);
    call_add_bytes(call, text, (size_t)length);
}

void call_add_joined(struct store_call *call, const char *const *words, size_t count) {
    struct text joined;
    text_init(&joined, call->own);
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            text_append(&joined, " ");
        text_append(&joined, words[i]);
    }
    if (joined.failed)
        call->words.failed = true;
    call_add_bytes(call, joined.data == NULL ? "" : joined.data, joined.length);
}

/* "score,member": digits, a comma, an id. Anything else would only confuse a script. */
static bool is_cursor(const char *cursor) {
    size_t digits = strspn(cursor, "0123456789");
    if (digits == 0 || digits > 17 || cursor[digits] != ',' || strlen(cursor) >= STORE_CURSOR_MAX)
        return false;
    const char *member = cursor + digits + 1;
    size_t length = strspn(member, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_");
    return length > 0 && member[length] == '\0';
}

void call_add_cursor(struct store_call *call, const char *cursor) {
    call->has_bad_cursor = cursor != NULL && *cursor != '\0' && !is_cursor(cursor);
    call_add(call, cursor);
}

void call_add_limit(struct store_call *call, uint32_t limit) {
    call_add_number(call, limit == 0 ? 1 : limit > STORE_PAGE_MAX ? STORE_PAGE_MAX : limit);
}

void call_send(struct store_call *call) {
    if (call->words.failed)
        call_refuse(call, ERROR_INTERNAL, "out of memory");
    else if (call->has_bad_cursor)
        call_refuse(call, ERROR_INVALID,
                    "the cursor is not one that a former page gave: begin again without one");
    else
        store_call_send(call->store, call);
}

static void end_group(void *context, const struct error *error) {
    struct call_group *group = context;
    /* The last completion may free the group. */
    for (size_t i = 0, count = group->count; i < count; i++) {
        struct store_call *call = group->calls[i];
        const struct error outcome = error != NULL ? *error : call->outcome;
        call_complete(call, outcome.code == ERROR_NONE ? NULL : &outcome);
    }
}

void call_send_group(struct store *store, struct call_group *group) {
    struct store_call *call = call_new(store, SCRIPT_NONE, NULL, NULL, NULL, end_group, group);
    if (call == NULL)
        return;
    group->failure.code = ERROR_NONE;
    call->group = group;
    call_send(call);
}

void call_refuse(struct store_call *call, enum error_code code, const char *message) {
    struct error error;
    error_set(&error, code, "%s", message);
    store_complete_later(call->store, call, &error);
}

void call_complete(struct store_call *call, const struct error *error) {
    store_done *done = call->done;
    void *context = call->context;
    struct error copy = {.code = ERROR_NONE};
    if (call->is_secret && call->words.length > 0)
        bytes_wipe(call->words.data, call->words.length);
    if (error != NULL)
        copy = *error;
    arena_free(call->own);
    done(context, copy.code == ERROR_NONE ? NULL : &copy);
}

static bool write_group(const struct call_group *group, struct evbuffer *out) {
    bool is_written = evbuffer_add_printf(out, "*1\r\n$5\r\nMULTI\r\n") > 0;
    for (size_t i = 0; is_written && i < group->count; i++)
        is_written = call_write(group->calls[i], out);
    return is_written && evbuffer_add_printf(out, "*1\r\n$4\r\nEXEC\r\n") > 0;
}

bool call_write(const struct store_call *call, struct evbuffer *out) {
    int written;
    if (call->group != NULL)
        return write_group(call->group, out);
    if (call->script == SCRIPT_NONE)
        written = evbuffer_add_printf(out, "*%zu\r\n", call->word_count);
    else
        written = evbuffer_add_printf(out, "*%zu\r\n$7\r\nEVALSHA\r\n$40\r\n%s\r\n$1\r\n0\r\n",
                                      call->word_count + 3, store_scripts[call->script].sha1);
    return written > 0 &&
           (call->words.length == 0 || evbuffer_add(out, call->words.data, call->words.length) == 0);
}

static bool starts_with(const struct redisReply *reply, const char *prefix) {
    size_t length = strlen(prefix);
    return (size_t)reply->len >= length && memcmp(reply->str, prefix, length) == 0;
}

/* Redis checks these before a script's first write, so nothing has happened. Some say that this is not, or
 * not yet, the server to talk to. */
static const struct {
    const char *prefix;
    bool must_reconnect;
} refusals[] = {{"READONLY", true},    {"LOADING", true},  {"MASTERDOWN", true},
                {"NOAUTH", true},      {"MISCONF", false}, {"OOM", true},
                {"NOREPLICAS", false}, {"BUSY", false},    {"NOPERM", false}};

static void read_error(struct store_call *call, const struct redisReply *reply) {
    const char *what = call->script == SCRIPT_NONE ? "command" : store_scripts[call->script].name;
    call->is_script_missing = call->script != SCRIPT_NONE && starts_with(reply, "NOSCRIPT");
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++)
        if (starts_with(reply, refusals[i].prefix)) {
            call->must_reconnect = refusals[i].must_reconnect;
            error_set(&call->outcome, ERROR_UNAVAILABLE, "Redis refuses: %s", reply->str);
            return;
        }
    /* Found at one line of a script: those before it have been carried out. */
    bool is_forbidden = strstr(reply->str, "The user executing the script can't") != NULL;
    error_set(&call->outcome, is_forbidden ? ERROR_UNKNOWN : ERROR_INTERNAL, "Redis failed %s: %s", what,
              reply->str);
}

static const struct {
    const char *status;
    enum error_code code;
} statuses[] = {{"conflict", ERROR_CONFLICT},       {"notfound", ERROR_NOT_FOUND}, {"refused", ERROR_REFUSED},
                {"unavailable", ERROR_UNAVAILABLE}, {"stopped", ERROR_STOPPED},    {"limit", ERROR_LIMIT}};

/* {status, message, ...}: the rest, where there is one, is parsed all the same. */
static void read_status(struct store_call *call, const struct redisReply *reply) {
    struct error *outcome = &call->outcome;
    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++) {
        if (strcmp(reply->element[0]->str, statuses[i].status) != 0)
            continue;
        if (reply->elements < 2 || !reply_is_text(reply->element[1]))
            break;
        if (reply->elements > 2 && call->parse != NULL &&
            !call->parse(call, reply->element + 2, reply->elements - 2, outcome))
            return;
        error_set(outcome, statuses[i].code, "%s", reply->element[1]->str);
        return;
    }
    error_set(outcome, ERROR_INTERNAL, "script %s gave an answer of another shape than expected",
              store_scripts[call->script].name);
}

void call_note_queued(struct store_call *call, struct redisReply *reply) {
    if (reply->type != REDIS_REPLY_ERROR || call->group->failure.code != ERROR_NONE)
        return;
    read_error(call, reply);
    call->group->failure = call->outcome;
}

static void read_group(struct store_call *call, struct redisReply *reply) {
    struct call_group *group = call->group;
    if (group->failure.code != ERROR_NONE) {
        call->outcome = group->failure;
        return;
    }
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != group->count) {
        error_set(&call->outcome, ERROR_INTERNAL, "Redis did not carry out a transaction: %s",
                  reply->type == REDIS_REPLY_ERROR ? reply->str : "unexpected answer");
        return;
    }
    for (size_t i = 0; i < group->count; i++) {
        call_read_reply(group->calls[i], reply->element[i]);
        if (group->calls[i]->is_script_missing || group->calls[i]->must_reconnect) {
            call->must_reconnect = true;
            error_set(&call->outcome, ERROR_UNAVAILABLE, "%s", group->calls[i]->outcome.message);
        }
    }
}

void call_read_reply(struct store_call *call, struct redisReply *reply) {
    call->outcome.code = ERROR_NONE;
    if (call->group != NULL) {
        read_group(call, reply);
        return;
    }
    if (reply->type == REDIS_REPLY_ERROR) {
        read_error(call, reply);
        return;
    }
    if (call->script == SCRIPT_NONE) {
        if (call->parse != NULL)
            (void)!call->parse(call, &reply, 1, &call->outcome);
        return;
    }
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements == 0 || !reply_is_text(reply->element[0])) {
        error_set(&call->outcome, ERROR_INTERNAL, "script %s gave an answer of another shape than expected",
                  store_scripts[call->script].name);
        return;
    }
    if (strcmp(reply->element[0]->str, "ok") != 0) {
        read_status(call, reply);
        return;
    }
    if (call->parse != NULL)
        (void)!call->parse(call, reply->element + 1, reply->elements - 1, &call->outcome);
}
