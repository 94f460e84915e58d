/* Two plain commands and a judgement, the same as at a connect (link.c). Where it says no, the connections
 * are left: they come back when the server may be used again, and until then the reason stands in readyz.
 * Then a script that writes: a Redis that may be read and takes no change serves on, and is not ready. */
#include "watch.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "durability.h"
#include "link.h"
#include "originca/log.h"

struct watch {
    struct store *store;
    struct event *timer;
    char reason[ERROR_MESSAGE_MAX]; /* that the log has */
};

/* One look. */
struct look {
    struct store *store;
    struct durability facts;
    store_done *done; /* NULL: nobody asks */
    void *context;
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

static void end_look(struct look *look, const struct error *error) {
    store_done *done = look->done;
    void *context = look->context;
    free(look);
    if (done != NULL)
        done(context, error);
}

static void note_probe(void *context, const struct error *error) {
    end_look(context, error);
}

static bool has_replicas(const struct look *look, struct error *error) {
    uint32_t wanted = store_config(look->store)->redis_wait_replicas;
    return look->facts.replicas >= wanted ||
           error_set(error, ERROR_UNAVAILABLE,
                     "Redis has %llu of the %u replicas that must have a change (redis_wait_replicas)",
                     (unsigned long long)look->facts.replicas, (unsigned)wanted);
}

static void judge(struct look *look) {
    char remark[ERROR_MESSAGE_MAX];
    struct error error = {.code = ERROR_NONE};
    bool may_be_unsafe = store_config(look->store)->redis_allow_unsafe_durability;
    if (!durability_judge(&look->facts, may_be_unsafe, remark, &error)) {
        store_leave(look->store, error.message);
        end_look(look, &error);
        return;
    }
    if (!has_replicas(look, &error)) {
        end_look(look, &error);
        return;
    }
    struct store_call *call = call_new(look->store, SCRIPT_PROBE, NULL, NULL, NULL, note_probe, look);
    if (call != NULL)
        call_send(call);
}

static void note_setting(void *context, const struct error *error) {
    (void)error; /* forbidden to this user: it was said at the connect */
    judge(context);
}

static void ask_setting(struct look *look) {
    struct store_call *call =
        call_new(look->store, SCRIPT_NONE, NULL, watch_parse_appendfsync, &look->facts, note_setting, look);
    if (call == NULL)
        return;
    call_add(call, "CONFIG");
    call_add(call, "GET");
    call_add(call, "appendfsync");
    call_send(call);
}

static void note_info(void *context, const struct error *error) {
    struct look *look = context;
    if (error != NULL)
        end_look(look, error); /* the connection itself is the matter */
    else
        ask_setting(look);
}

void store_look(struct store *store, store_done *done, void *context) {
    struct error error = {.code = ERROR_INTERNAL, .message = "out of memory"};
    struct look *look = calloc(1, sizeof *look);
    if (look == NULL) {
        if (done != NULL)
            done(context, &error);
        return;
    }
    *look = (struct look){.store = store, .done = done, .context = context};
    struct store_call *call =
        call_new(store, SCRIPT_NONE, NULL, watch_parse_info, &look->facts, note_info, look);
    if (call == NULL)
        return;
    call_add(call, "INFO");
    call_send(call);
}

static void note_look(void *context, const struct error *error) {
    struct watch *watch = context;
    const char *reason = error == NULL ? "" : error->message;
    if (error != NULL && store_is_ready(watch->store, NULL) && strcmp(watch->reason, reason) != 0)
        log_event(LOG_LEVEL_ERROR, "redis takes no changes", "reason", reason, NULL);
    snprintf(watch->reason, sizeof watch->reason, "%s", reason);
}

static void look(evutil_socket_t fd, short what, void *context) {
    (void)fd;
    (void)what;
    struct watch *watch = context;
    if (store_is_ready(watch->store, NULL))
        store_look(watch->store, note_look, watch);
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
