/* One connection to the signer, calls that carry an id, deadlines in order of sending (they are all equally
 * long). */
#include "originca/signer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>

#include "client.h"
#include "originca/json.h"
#include "originca/log.h"

#define RECONNECT_FIRST_MS 20
#define RECONNECT_LAST_MS 1000
#define PENDING_MAX 10000

struct signer_client {
    struct event_base *base;
    struct sockaddr_un address;
    char instance[40];
    uint32_t timeout_ms, pause_ms;
    struct bufferevent *connection;
    struct event *reconnect, *deadline;
    bool is_connected;
    void (*connected)(void *context);
    void *connected_context;
    uint64_t next_id;
    size_t pending;
    TAILQ_HEAD(, client_call) calls;
};

static void connect_now(struct signer_client *client);

static void finish(struct signer_client *client, struct client_call *call, const struct error *error) {
    TAILQ_REMOVE(&client->calls, call, entry);
    client->pending--;
    signer_done *done = call->done;
    void *context = call->context;
    free(call);
    done(context, error);
}

static void arm_deadline(struct signer_client *client) {
    struct client_call *first = TAILQ_FIRST(&client->calls);
    if (first == NULL) {
        event_del(client->deadline);
        return;
    }
    int64_t wait = first->deadline_ms - clock_monotonic_ms();
    if (wait < 0)
        wait = 0;
    const struct timeval delay = {.tv_sec = wait / 1000, .tv_usec = wait % 1000 * 1000};
    event_add(client->deadline, &delay);
}

static void fail_all(struct signer_client *client, const struct error *error) {
    TAILQ_HEAD(, client_call) calls = TAILQ_HEAD_INITIALIZER(calls);
    TAILQ_CONCAT(&calls, &client->calls, entry);
    /* Completions may start new calls: those go to the emptied list. */
    for (struct client_call *call; (call = TAILQ_FIRST(&calls)) != NULL;) {
        TAILQ_REMOVE(&calls, call, entry);
        client->pending--;
        signer_done *done = call->done;
        void *context = call->context;
        free(call);
        done(context, error);
    }
}

static void drop_connection(struct signer_client *client, const char *why) {
    struct error error;
    if (client->connection != NULL)
        bufferevent_free(client->connection);
    client->connection = NULL;
    client->is_connected = false;
    const struct timeval delay = {.tv_sec = client->pause_ms / 1000,
                                  .tv_usec = client->pause_ms % 1000 * 1000};
    event_add(client->reconnect, &delay);
    client->pause_ms = client->pause_ms * 2 < RECONNECT_LAST_MS ? client->pause_ms * 2 : RECONNECT_LAST_MS;
    error_set(&error, ERROR_UNKNOWN, "the connection to the signer broke: %s", why);
    fail_all(client, &error);
}

static void on_deadline(evutil_socket_t fd, short what, void *context) {
    (void)fd;
    (void)what;
    struct signer_client *client = context;
    struct error error;
    error_set(&error, ERROR_UNKNOWN, "the signer did not answer in time");
    int64_t now = clock_monotonic_ms();
    for (struct client_call *call; (call = TAILQ_FIRST(&client->calls)) != NULL && call->deadline_ms <= now;)
        finish(client, call, &error);
    arm_deadline(client);
}

static struct client_call *find_call(struct signer_client *client, uint64_t id) {
    struct client_call *call;
    TAILQ_FOREACH(call, &client->calls, entry) {
        if (call->id == id)
            return call;
    }
    return NULL; /* it has timed out */
}

static void take_reply(struct signer_client *client, struct bytes frame) {
    struct arena *scratch = arena_new(2 * SIGNER_FRAME_MAX);
    struct wire_reader reader = {.arena = scratch, .rest = frame};
    struct error error = {.code = ERROR_NONE};
    uint64_t id = wire_get_u64(&reader);
    uint8_t code = wire_get_u8(&reader);
    struct client_call *call = scratch == NULL ? NULL : find_call(client, id);
    if (call != NULL) {
        if (code != ERROR_NONE)
            error_set(&error, code <= ERROR_STOPPED ? (enum error_code)code : ERROR_INTERNAL, "%s",
                      wire_get_string(&reader));
        else if (call->arena != NULL)
            reader.arena = call->arena;
        if (code == ERROR_NONE && call->take != NULL && (!call->take(call, &reader) || reader.failed))
            error_set(&error, ERROR_INTERNAL, "the signer's answer cannot be read");
        finish(client, call, error.code == ERROR_NONE ? NULL : &error);
    }
    arena_free(scratch);
}

static void on_reply(struct bufferevent *connection, void *context) {
    struct signer_client *client = context;
    struct evbuffer *in = bufferevent_get_input(connection);
    uint8_t head[4];
    while (client->connection == connection && evbuffer_copyout(in, head, 4) == 4) {
        size_t length = (size_t)head[0] << 24 | (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3];
        if (length < FRAME_HEAD - 4 || length > SIGNER_FRAME_MAX) {
            drop_connection(client, "a frame of impossible length");
            return;
        }
        if (evbuffer_get_length(in) < 4 + length)
            return;
        evbuffer_drain(in, 4);
        uint8_t *frame = malloc(length);
        if (frame == NULL || evbuffer_remove(in, frame, length) != (int)length) {
            free(frame);
            drop_connection(client, "out of memory");
            return;
        }
        take_reply(client, (struct bytes){frame, length});
        free(frame);
    }
    if (client->connection == connection)
        arm_deadline(client);
}

static void on_event(struct bufferevent *connection, short what, void *context) {
    (void)connection;
    struct signer_client *client = context;
    if ((what & BEV_EVENT_CONNECTED) != 0) {
        client->is_connected = true;
        client->pause_ms = RECONNECT_FIRST_MS;
        if (client->connected != NULL)
            client->connected(client->connected_context);
        return;
    }
    if ((what & (BEV_EVENT_EOF | BEV_EVENT_ERROR | BEV_EVENT_TIMEOUT)) != 0)
        drop_connection(client, (what & BEV_EVENT_EOF) != 0 ? "it ended" : strerror(errno));
}

static void connect_now(struct signer_client *client) {
    client->connection = bufferevent_socket_new(client->base, -1, BEV_OPT_CLOSE_ON_FREE);
    if (client->connection == NULL) {
        drop_connection(client, "out of memory");
        return;
    }
    bufferevent_setcb(client->connection, on_reply, NULL, on_event, client);
    bufferevent_enable(client->connection, EV_READ | EV_WRITE);
    if (bufferevent_socket_connect(client->connection, (struct sockaddr *)&client->address,
                                   sizeof client->address) != 0)
        drop_connection(client, "cannot connect");
}

void signer_client_on_connected(struct signer_client *client, void (*connected)(void *context),
                                void *context) {
    client->connected = connected;
    client->connected_context = context;
}

static void on_reconnect(evutil_socket_t fd, short what, void *context) {
    (void)fd;
    (void)what;
    struct signer_client *client = context;
    if (client->connection == NULL)
        connect_now(client);
}

const char *signer_socket_name(enum signer_link link) {
    return link == SIGNER_LINK_OPERATOR ? "signer-operator.sock" : "signer.sock";
}

struct signer_client *signer_client_new(struct event_base *base, const struct config *config,
                                        enum signer_link link, const char *instance, struct error *error) {
    struct signer_client *client = calloc(1, sizeof *client);
    error_set(error, ERROR_INTERNAL, "out of memory");
    if (client == NULL)
        return NULL;
    TAILQ_INIT(&client->calls);
    client->base = base;
    client->timeout_ms = config->signer_timeout_ms;
    client->pause_ms = RECONNECT_FIRST_MS;
    client->address.sun_family = AF_UNIX;
    snprintf(client->instance, sizeof client->instance, "%s", instance);
    int length = snprintf(client->address.sun_path, sizeof client->address.sun_path, "%s/%s",
                          config->run_directory, signer_socket_name(link));
    client->reconnect = evtimer_new(base, on_reconnect, client);
    client->deadline = evtimer_new(base, on_deadline, client);
    if (length < 0 || (size_t)length >= sizeof client->address.sun_path || client->reconnect == NULL ||
        client->deadline == NULL) {
        signer_client_free(client);
        return NULL;
    }
    connect_now(client);
    return client;
}

void signer_client_free(struct signer_client *client) {
    if (client == NULL)
        return;
    struct error error;
    error_set(&error, ERROR_UNKNOWN, "this process is ending");
    if (client->connection != NULL)
        bufferevent_free(client->connection);
    client->connection = NULL;
    client->is_connected = false;
    fail_all(client, &error);
    if (client->reconnect != NULL)
        event_free(client->reconnect);
    if (client->deadline != NULL)
        event_free(client->deadline);
    free(client);
}

bool signer_client_is_connected(const struct signer_client *client) {
    return client->is_connected;
}

/* --- calls --- */

struct late_failure {
    struct event *event;
    struct error error;
    signer_done *done;
    void *context;
};

static void fail_late(evutil_socket_t fd, short what, void *context) {
    (void)fd;
    (void)what;
    struct late_failure *failure = context;
    struct late_failure copy = *failure;
    event_free(failure->event);
    free(failure);
    copy.done(copy.context, &copy.error);
}

/* Completions never run inside the call that starts them. */
static void fail_soon(struct signer_client *client, enum error_code code, const char *message,
                      signer_done *done, void *context) {
    struct late_failure *failure = calloc(1, sizeof *failure);
    if (failure != NULL)
        failure->event = evtimer_new(client->base, fail_late, failure);
    if (failure == NULL || failure->event == NULL) {
        struct error error = {.code = ERROR_INTERNAL, .message = "out of memory"};
        free(failure);
        done(context, &error);
        return;
    }
    error_set(&failure->error, code, "%s", message);
    failure->done = done;
    failure->context = context;
    event_active(failure->event, EV_TIMEOUT, 0);
}

struct arena *client_begin_call(struct signer_client *client, struct wire_writer *writer, uint8_t type) {
    struct arena *scratch = arena_new(2 * SIGNER_FRAME_MAX);
    if (scratch != NULL)
        wire_begin(writer, scratch, ++client->next_id, type);
    return scratch;
}

void client_send_call(struct signer_client *client, struct arena *scratch, struct wire_writer *writer,
                      const struct client_call *template) {
    size_t length = 0;
    const char *frame = scratch == NULL ? NULL : wire_finish(writer, &length);
    struct client_call *call = frame == NULL ? NULL : malloc(sizeof *call);
    if (call == NULL) {
        fail_soon(client, ERROR_INTERNAL, "out of memory", template->done, template->context);
    } else if (!client->is_connected || client->pending >= PENDING_MAX) {
        fail_soon(client, ERROR_UNAVAILABLE,
                  client->is_connected ? "too many requests wait for the signer" : "the signer is away",
                  template->done, template->context);
        free(call);
    } else {
        *call = *template;
        call->id = client->next_id;
        call->deadline_ms = clock_monotonic_ms() + client->timeout_ms;
        TAILQ_INSERT_TAIL(&client->calls, call, entry);
        client->pending++;
        bufferevent_write(client->connection, frame, length);
        if (client->pending == 1)
            arm_deadline(client);
    }
    arena_free(scratch);
}
