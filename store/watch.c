/* Two plain commands and a judgement, the same as at a connect (link.c). Where it says no, the connections
 * are left: they come back when the server may be used again, and until then the reason stands in readyz. */
#include "watch.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>

#include "durability.h"
#include "link.h"

struct watch {
    struct store *store;
    struct event *timer;
    struct durability facts;
};

bool watch_parse_info(struct store_call *call, struct redisReply *const *items, size_t count,
                      struct error *error) {
    if (count != 1 || !reply_is_text(items[0]))
        return error_set(error, ERROR_INTERNAL, "INFO gave no text");
    durability_read_info(call->out, items[0]->str, items[0]->len);
    return true;
}

bool watch_parse_appendfsync(struct store_call *call, struct redisReply *const *items, size_t count,
                             struct error *error) {
    struct durability *facts = call->out;
    if (count != 1 || !reply_is_array(items[0], 2, error) || !reply_is_text(items[0]->element[1]))
        return false;
    snprintf(facts->appendfsync, sizeof facts->appendfsync, "%s", items[0]->element[1]->str);
    facts->knows_appendfsync = true;
    return true;
}

static void judge(struct watch *watch) {
    char remark[ERROR_MESSAGE_MAX];
    struct error error = {.code = ERROR_NONE};
    bool may_be_unsafe = store_config(watch->store)->redis_allow_unsafe_durability;
    if (!durability_judge(&watch->facts, may_be_unsafe, remark, &error))
        store_leave(watch->store, error.message);
}

static void note_setting(void *context, const struct error *error) {
    struct watch *watch = context;
    (void)error; /* forbidden to this user: it was said at the connect */
    if (watch->facts.knows_info)
        judge(watch);
}

static void ask_setting(struct watch *watch) {
    struct store_call *call = call_new(watch->store, SCRIPT_NONE, NULL, watch_parse_appendfsync,
                                       &watch->facts, note_setting, watch);
    if (call == NULL)
        return;
    call_add(call, "CONFIG");
    call_add(call, "GET");
    call_add(call, "appendfsync");
    call_send(call);
}

static void note_info(void *context, const struct error *error) {
    if (error == NULL) /* else the connection itself is the matter */
        ask_setting(context);
}

static void look(evutil_socket_t fd, short what, void *context) {
    (void)fd;
    (void)what;
    struct watch *watch = context;
    watch->facts = (struct durability){.role = ""};
    if (!store_is_ready(watch->store, NULL))
        return;
    struct store_call *call =
        call_new(watch->store, SCRIPT_NONE, NULL, watch_parse_info, &watch->facts, note_info, watch);
    if (call == NULL)
        return;
    call_add(call, "INFO");
    call_send(call);
}

struct watch *watch_new(struct store *store, struct error *error) {
    struct watch *watch = calloc(1, sizeof *watch);
    const struct timeval pause = {.tv_sec = store_config(store)->redis_check_seconds};
    if (watch != NULL) {
        watch->store = store;
        watch->timer = event_new(store_base(store), -1, EV_PERSIST, look, watch);
    }
    if (watch == NULL || watch->timer == NULL || (pause.tv_sec > 0 && event_add(watch->timer, &pause) != 0)) {
        error_set(error, ERROR_INTERNAL, "out of memory");
        watch_free(watch);
        return NULL;
    }
    return watch;
}

void watch_free(struct watch *watch) {
    if (watch == NULL)
        return;
    if (watch->timer != NULL)
        event_free(watch->timer);
    free(watch);
}
