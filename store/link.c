/* One connection. Only hiredis's protocol reader is used, on a libevent bufferevent: hiredis 0.14's
 * asynchronous context has no deadlines and ends the process (assert) when a server answers more than it was
 * asked. Replies come in the order of the calls, so the queue is a list; all share one time-out, so its head
 * is always the next to expire. */
#include "link.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "durability.h"
#include "originca/log.h"
#include "watch.h"

#define REPLY_ELEMENTS_MAX 65536
#define REPLY_BYTES_MAX (64u * 1024 * 1024)
#define SECRET_FILE_MAX 1024

#if HIREDIS_MAJOR >= 1
typedef size_t element_count; /* as hiredis counts what is in an array */
#else
typedef int element_count;
#endif

enum link_state {
    LINK_WAITING,
    LINK_CONNECTING,
    LINK_SETTING_UP,
    LINK_READY,
    LINK_LEAVING /* answers still come */
};

struct link {
    struct store *store;
    enum link_state state;
    bool waits_for_replicas, has_connected_before;
    char reason[ERROR_MESSAGE_MAX];
    struct bufferevent *stream;
    redisReader *reader;
    redisReplyObjectFunctions reply_functions;
    void *(*create_array)(const redisReadTask *, element_count);
    struct event *timer;    /* back-off, or the deadline of connecting */
    struct event *deadline; /* of the first call in the queue */
    struct store_call *first, **end;
    size_t pending;
    uint64_t queued; /* bytes given to the stream so far */
    unsigned failures, generation;
    struct durability facts;
    unsigned setup_left;
    bool has_sent_scripts;
    struct error setup_error;
};

static void drop(struct link *link, enum error_code code, const char *reason);

bool link_is_ready(const struct link *link) {
    return link->state == LINK_READY;
}

const char *link_reason(const struct link *link) {
    return link->reason;
}

size_t link_pending(const struct link *link) {
    return link->pending;
}

static struct timeval interval(int64_t milliseconds) {
    return (struct timeval){.tv_sec = milliseconds / 1000, .tv_usec = milliseconds % 1000 * 1000};
}

/* --- the queue --- */

static int64_t call_timeout_ms(const struct link *link) {
    const struct config *config = store_config(link->store);
    return (int64_t)config->redis_command_timeout_ms +
           (link->waits_for_replicas ? config->redis_wait_timeout_ms : 0);
}

static void watch_deadline(struct link *link) {
    if (link->first == NULL) {
        event_del(link->deadline);
        return;
    }
    int64_t left = link->first->deadline_ms - clock_monotonic_ms();
    const struct timeval delay = interval(left > 0 ? left : 0);
    event_add(link->deadline, &delay);
}

static void on_deadline(evutil_socket_t fd, short what, void *context) {
    (void)fd;
    (void)what;
    struct link *link = context;
    if (link->first != NULL && link->first->deadline_ms <= clock_monotonic_ms()) {
        store_edit_counters(link->store)->timeouts++;
        drop(link, ERROR_UNKNOWN, "Redis did not answer in time");
        return;
    }
    watch_deadline(link);
}

static void write_call(struct link *link, struct store_call *call) {
    const struct config *config = store_config(link->store);
    if (link->stream == NULL) { /* lost a moment ago, between two calls of one sequence */
        call_refuse(call, ERROR_UNAVAILABLE, link->reason);
        return;
    }
    struct evbuffer *out = bufferevent_get_output(link->stream);
    size_t before = evbuffer_get_length(out);
    call->starts_at = link->queued;
    call->replies_left = call->group == NULL ? 1 : (unsigned)call->group->count + 2;
    bool is_written = call_write(call, out);
    if (call->is_durable && link->waits_for_replicas) {
        char replicas[12], timeout[12];
        int a = snprintf(replicas, sizeof replicas, "%u", (unsigned)config->redis_wait_replicas);
        int b = snprintf(timeout, sizeof timeout, "%u", (unsigned)config->redis_wait_timeout_ms);
        is_written = is_written && evbuffer_add_printf(out, "*3\r\n$4\r\nWAIT\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n",
                                                       a, replicas, b, timeout) > 0;
        call->replies_left = 2;
    }
    link->queued += evbuffer_get_length(out) - before;
    call->deadline_ms = clock_monotonic_ms() + call_timeout_ms(link);
    call->next = NULL;
    *link->end = call;
    link->end = &call->next;
    link->pending++;
    store_edit_counters(link->store)->pending++;
    if (link->first == call)
        watch_deadline(link);
    /* Half a command in the stream would be completed by the next one: nothing but a new connection is safe.
     */
    if (!is_written)
        drop(link, ERROR_INTERNAL, "out of memory");
}

void link_send(struct link *link, struct store_call *call) {
    store_edit_counters(link->store)->commands++;
    write_call(link, call);
}

static struct store_call *take_first(struct link *link) {
    struct store_call *call = link->first;
    link->first = call->next;
    if (link->first == NULL)
        link->end = &link->first;
    link->pending--;
    store_edit_counters(link->store)->pending--;
    return call;
}

/* --- losing the connection --- */

static void close_stream(struct link *link) {
    if (link->stream != NULL)
        bufferevent_free(link->stream);
    if (link->reader != NULL)
        redisReaderFree(link->reader);
    link->stream = NULL;
    link->reader = NULL;
    link->generation++;
    event_del(link->timer);
    event_del(link->deadline);
}

/* Those of which no byte left this process have certainly not happened. */
static void end_calls(struct link *link, struct store_call *list, uint64_t written, enum error_code code) {
    struct error error;
    for (struct store_call *call = list, *next; call != NULL; call = next) {
        next = call->next;
        bool was_sent = code == ERROR_UNKNOWN && call->starts_at < written;
        error_set(&error, was_sent ? ERROR_UNKNOWN : ERROR_UNAVAILABLE, "%.300s: %s", link->reason,
                  was_sent ? "whether the change happened is not known" : "nothing was sent");
        store_edit_counters(link->store)->errors++;
        call_complete(call, &error);
    }
}

static struct store_call *take_all(struct link *link) {
    struct store_call *list = link->first;
    link->first = NULL;
    link->end = &link->first;
    store_edit_counters(link->store)->pending -= (uint32_t)link->pending;
    link->pending = 0;
    return list;
}

/* Doubling from the least to the longest pause; the upper half of each is random, so that workers do not come
 * back in step. */
static void wait_before_connecting(struct link *link) {
    const struct config *config = store_config(link->store);
    uint64_t pause = (uint64_t)config->redis_reconnect_min_ms << (link->failures < 20 ? link->failures : 20);
    if (pause > config->redis_reconnect_max_ms)
        pause = config->redis_reconnect_max_ms;
    uint32_t dice;
    random_bytes(&dice, sizeof dice);
    pause = pause / 2 + dice % (pause / 2 + 1);
    link->failures++;
    link->state = LINK_WAITING;
    const struct timeval delay = interval((int64_t)pause);
    event_add(link->timer, &delay);
}

static void drop(struct link *link, enum error_code code, const char *reason) {
    uint64_t unwritten = link->stream == NULL ? 0 : evbuffer_get_length(bufferevent_get_output(link->stream));
    uint64_t written = link->queued - unwritten;
    if (strcmp(link->reason, reason) != 0)
        log_event(LOG_LEVEL_WARNING, "redis connection lost", "reason", reason, NULL);
    snprintf(link->reason, sizeof link->reason, "%s", reason);
    close_stream(link);
    struct store_call *list = take_all(link);
    wait_before_connecting(link);
    store_link_changed(link->store);
    end_calls(link, list, written, code == ERROR_INTERNAL ? ERROR_UNKNOWN : code);
}

/* --- set-up: what says who we are and who it is, in one go; then the scripts. Redis hangs up on a stranger
 * who sends as much as a script, and the reason would be lost. --- */

static void finish_setup(struct link *link) {
    char remark[ERROR_MESSAGE_MAX] = "";
    struct error error = link->setup_error;
    if (error.code != ERROR_NONE ||
        !durability_judge(&link->facts, store_config(link->store)->redis_allow_unsafe_durability, remark,
                          &error)) {
        drop(link, ERROR_UNKNOWN, error.message);
        return;
    }
    if (*remark != '\0')
        log_event(LOG_LEVEL_WARNING, "redis durability", "remark", remark, NULL);
    event_del(link->timer);
    link->failures = 0;
    link->has_connected_before = true;
    link->state = LINK_READY;
    link->reason[0] = '\0';
    store_link_changed(link->store);
}

static void load_scripts(struct link *link);

static void note_setup(void *context, const struct error *error) {
    struct link *link = context;
    if (link->state != LINK_SETTING_UP)
        return;
    if (error != NULL && link->setup_error.code == ERROR_NONE)
        link->setup_error = *error;
    if (--link->setup_left > 0)
        return;
    if (link->setup_error.code == ERROR_NONE && !link->has_sent_scripts)
        load_scripts(link);
    else
        finish_setup(link);
}

static void note_setting(void *context, const struct error *error) {
    (void)error; /* forbidden: durability_judge says what could not be checked */
    note_setup(context, NULL);
}

static void send_setup(struct link *link, store_parse *parse, store_done *done, const char *const *words,
                       bool is_secret) {
    link->setup_left++;
    struct store_call *call = call_new(link->store, SCRIPT_NONE, NULL, parse, &link->facts, done, link);
    if (call == NULL)
        return;
    call->is_secret = is_secret;
    for (size_t i = 0; words[i] != NULL; i++)
        call_add(call, words[i]);
    write_call(link, call);
}

static bool send_auth(struct link *link, struct error *error) {
    const struct config *config = store_config(link->store);
    if (config->redis_password_file == NULL && config->redis_user == NULL)
        return true;
    char *password = NULL;
    if (config->redis_password_file != NULL &&
        (password = config_read_secret(config->redis_password_file, SECRET_FILE_MAX, error)) == NULL)
        return false;
    const char *given = password == NULL ? "" : password;
    if (config->redis_user != NULL)
        send_setup(link, NULL, note_setup, (const char *const[]){"AUTH", config->redis_user, given, NULL},
                   true);
    else
        send_setup(link, NULL, note_setup, (const char *const[]){"AUTH", given, NULL}, true);
    if (password != NULL) {
        bytes_wipe(password, strlen(password));
        free(password);
    }
    return true;
}

static void load_scripts(struct link *link) {
    unsigned generation = link->generation;
    link->has_sent_scripts = true;
    link->setup_left = 1; /* ours, until all are sent */
    for (size_t i = 0; i < SCRIPT_COUNT && link->generation == generation; i++)
        send_setup(link, NULL, note_setup,
                   (const char *const[]){"SCRIPT", "LOAD", store_scripts[i].text, NULL}, false);
    if (link->generation == generation)
        note_setup(link, NULL);
}

static void start_setup(struct link *link) {
    const struct config *config = store_config(link->store);
    unsigned generation = link->generation;
    struct error error = {.code = ERROR_NONE};
    char number[12];
    link->state = LINK_SETTING_UP;
    link->setup_left = 1; /* ours, until all are sent */
    link->setup_error.code = ERROR_NONE;
    link->has_sent_scripts = false;
    link->facts = (struct durability){.role = ""};
    if (!send_auth(link, &error)) {
        drop(link, ERROR_UNKNOWN, error.message);
        return;
    }
    snprintf(number, sizeof number, "%u", (unsigned)config->redis_database);
    if (config->redis_database != 0)
        send_setup(link, NULL, note_setup, (const char *const[]){"SELECT", number, NULL}, false);
    send_setup(link, watch_parse_info, note_setup, (const char *const[]){"INFO", NULL}, false);
    send_setup(link, watch_parse_appendfsync, note_setting,
               (const char *const[]){"CONFIG", "GET", "appendfsync", NULL}, false);
    if (link->generation == generation)
        note_setup(link, NULL);
}

/* --- leaving: answers still come --- */

static void begin_leaving(struct link *link, const char *reason) {
    if (link->state != LINK_READY)
        return;
    link->state = LINK_LEAVING;
    snprintf(link->reason, sizeof link->reason, "%s", reason);
    store_link_changed(link->store);
}

void link_leave(struct link *link, const char *reason) {
    begin_leaving(link, reason);
    if (link->state == LINK_LEAVING && link->first == NULL)
        drop(link, ERROR_UNKNOWN, reason);
}

/* --- replies --- */

static void read_wait(const struct link *link, struct store_call *call, const redisReply *reply) {
    uint32_t wanted = store_config(link->store)->redis_wait_replicas;
    if (call->outcome.code != ERROR_NONE)
        return;
    if (reply->type != REDIS_REPLY_INTEGER)
        error_set(&call->outcome, ERROR_UNKNOWN, "Redis did not wait for its replicas: %s",
                  reply->type == REDIS_REPLY_ERROR ? reply->str : "unexpected answer");
    else if (reply->integer < (long long)wanted)
        error_set(&call->outcome, ERROR_UNKNOWN, "only %lld of %u replicas have confirmed the change",
                  reply->integer, (unsigned)wanted);
}

static void ignore(void *context, const struct error *error) {
    (void)context;
    (void)error; /* the repeated call that follows will tell */
}

/* Somebody flushed the scripts: the one that is missing is loaded, and the call sent again, once. */
static void repeat_call(struct link *link, struct store_call *call) {
    call->was_repeated = true;
    call->is_script_missing = false;
    struct store_call *load = call_new(link->store, SCRIPT_NONE, NULL, NULL, NULL, ignore, NULL);
    unsigned generation = link->generation;
    if (load != NULL) {
        call_add(load, "SCRIPT");
        call_add(load, "LOAD");
        call_add(load, store_scripts[call->script].text);
        write_call(link, load);
    }
    if (link->generation == generation && link->state == LINK_READY)
        write_call(link, call);
    else
        store_complete_later(link->store, call, &call->outcome);
}

/* As against a script's own answers, like a conflict. */
static bool is_failure(enum error_code code) {
    return code == ERROR_UNAVAILABLE || code == ERROR_UNKNOWN || code == ERROR_INTERNAL;
}

static void take_reply(struct link *link, redisReply *reply) {
    struct store_call *call = link->first;
    if (call == NULL) {
        drop(link, ERROR_UNKNOWN, "Redis answered without being asked");
        return;
    }
    if (call->group != NULL && call->replies_left > 1) {
        call->replies_left--;
        call_note_queued(call, reply);
        return;
    }
    bool is_second = call->is_durable && link->waits_for_replicas && call->replies_left == 1;
    if (is_second)
        read_wait(link, call, reply);
    else
        call_read_reply(call, reply);
    if (--call->replies_left > 0)
        return;
    take_first(link);
    watch_deadline(link);
    if (call->is_script_missing && !call->was_repeated) {
        repeat_call(link, call);
        return;
    }
    if (call->must_reconnect)
        begin_leaving(link, call->outcome.message);
    if (is_failure(call->outcome.code))
        store_edit_counters(link->store)->errors++;
    struct error outcome = call->outcome;
    call_complete(call, &outcome);
}

static void read_replies(struct link *link) {
    unsigned generation = link->generation;
    void *reply = NULL;
    while (link->generation == generation) {
        if (redisReaderGetReply(link->reader, &reply) != REDIS_OK) {
            char reason[ERROR_MESSAGE_MAX];
            snprintf(reason, sizeof reason, "Redis broke the protocol: %.200s", link->reader->errstr);
            drop(link, ERROR_UNKNOWN, reason);
            return;
        }
        if (reply == NULL)
            break;
        take_reply(link, reply);
        freeReplyObject(reply);
    }
    if (link->generation != generation)
        return;
    if (link->reader->len > REPLY_BYTES_MAX)
        drop(link, ERROR_UNKNOWN, "Redis sent an answer that is too long");
    else if (link->state == LINK_LEAVING && link->first == NULL) {
        char reason[ERROR_MESSAGE_MAX];
        memcpy(reason, link->reason, sizeof reason);
        drop(link, ERROR_UNKNOWN, reason);
    }
}

static void on_read(struct bufferevent *stream, void *context) {
    struct link *link = context;
    struct evbuffer *in = bufferevent_get_input(stream);
    unsigned generation = link->generation;
    while (link->generation == generation && evbuffer_get_length(in) > 0) {
        size_t length = evbuffer_get_contiguous_space(in);
        const char *bytes = (const char *)evbuffer_pullup(in, (ev_ssize_t)length);
        /* A failed feed leaves an error in the reader, which the next read reports. */
        (void)redisReaderFeed(link->reader, bytes, length);
        evbuffer_drain(in, length);
        read_replies(link);
    }
}

/* --- connecting --- */

static void on_event(struct bufferevent *stream, short what, void *context) {
    struct link *link = context;
    char reason[ERROR_MESSAGE_MAX];
    if ((what & BEV_EVENT_CONNECTED) != 0) {
        int on = 1;
        if (store_address(link->store)->address.ss_family != AF_UNIX) {
            setsockopt(bufferevent_getfd(stream), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
            setsockopt(bufferevent_getfd(stream), SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
        }
        start_setup(link);
        return;
    }
    const char *problem = (what & BEV_EVENT_EOF) != 0 ? "Redis closed the connection"
                                                      : evutil_socket_error_to_string(EVUTIL_SOCKET_ERROR());
    snprintf(reason, sizeof reason, "%s%.200s",
             link->state == LINK_CONNECTING ? "cannot connect to Redis: " : "", problem);
    drop(link, ERROR_UNKNOWN, reason);
}

static void *create_bounded_array(const redisReadTask *task, element_count elements) {
    const struct link *link = task->privdata;
    return elements > REPLY_ELEMENTS_MAX ? NULL : link->create_array(task, elements);
}

static bool open_stream(struct link *link) {
    const struct store_redis_address *address = store_address(link->store);
    struct sockaddr_storage copy = address->address;
    link->queued = 0;
    link->stream = bufferevent_socket_new(store_base(link->store), -1, BEV_OPT_CLOSE_ON_FREE);
    link->reader = redisReaderCreate();
    if (link->stream == NULL || link->reader == NULL)
        return false;
    link->reply_functions = *link->reader->fn;
    link->create_array = link->reply_functions.createArray;
    link->reply_functions.createArray = create_bounded_array;
    link->reader->fn = &link->reply_functions;
    link->reader->privdata = link;
    bufferevent_setcb(link->stream, on_read, NULL, on_event, link);
    bufferevent_enable(link->stream, EV_READ | EV_WRITE);
    return bufferevent_socket_connect(link->stream, (struct sockaddr *)&copy, (int)address->length) == 0;
}

static void connect_now(struct link *link) {
    const struct timeval limit = interval(store_config(link->store)->redis_connect_timeout_ms);
    unsigned generation = link->generation;
    if (link->failures > 0 || link->has_connected_before)
        store_edit_counters(link->store)->reconnects++;
    link->state = LINK_CONNECTING;
    event_add(link->timer, &limit);
    if (!open_stream(link) && link->generation == generation)
        drop(link, ERROR_UNKNOWN, "cannot connect to Redis");
}

static void on_timer(evutil_socket_t fd, short what, void *context) {
    (void)fd;
    (void)what;
    struct link *link = context;
    if (link->state == LINK_WAITING)
        connect_now(link);
    else
        drop(link, ERROR_UNKNOWN, "Redis took too long to answer a new connection");
}

struct link *link_new(struct store *store, bool waits_for_replicas, struct error *error) {
    struct link *link = calloc(1, sizeof *link);
    if (link == NULL) {
        error_set(error, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    *link = (struct link){.store = store, .waits_for_replicas = waits_for_replicas, .end = &link->first};
    snprintf(link->reason, sizeof link->reason, "not connected yet");
    link->timer = evtimer_new(store_base(store), on_timer, link);
    link->deadline = evtimer_new(store_base(store), on_deadline, link);
    if (link->timer == NULL || link->deadline == NULL) {
        error_set(error, ERROR_INTERNAL, "out of memory");
        link_free(link);
        return NULL;
    }
    const struct timeval at_once = {0};
    event_add(link->timer, &at_once);
    return link;
}

void link_free(struct link *link) {
    if (link == NULL)
        return;
    snprintf(link->reason, sizeof link->reason, "the program stops");
    if (link->timer != NULL && link->deadline != NULL)
        close_stream(link);
    link->state = LINK_WAITING;
    end_calls(link, take_all(link), UINT64_MAX, ERROR_UNKNOWN);
    if (link->timer != NULL)
        event_free(link->timer);
    if (link->deadline != NULL)
        event_free(link->deadline);
    free(link);
}
