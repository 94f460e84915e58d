/* Looking up, connecting, calls, and what happens to calls when the connection goes. */
#include "remote.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host_lookup.h"
#include "originca/log.h"

#define PAUSE_FIRST_MS 100
#define PAUSE_LAST_MS 10000
#define SENDINGS_MAX 2 /* a check asked twice does no harm; a perspective that dies of it should be left */
#define REPLY_BYTES_MAX (8u * 1024 * 1024)
#define REFUSED_WITHIN_MS 2000 /* a connection that was opened and is not wanted ends sooner */
#define REQUESTS_UNSENT_MAX (4u * 1024 * 1024)

struct remote {
    struct event_base *base;
    struct config_perspective entry;
    struct stream_tls *tls;
    struct stream_settings settings;
    struct host_lookup *lookup;
    struct stream *stream;
    struct event *retry;
    uint32_t pause_ms;
    unsigned attempts;  /* to connect, for choosing one of several addresses */
    bool is_good;       /* this connection has brought a reply, or stood without being asked */
    bool is_known_down; /* said in the log; calls fail at once while it is not connected */
    size_t owed;        /* replies that this connection has still to bring, forgotten calls' included */
    int64_t opened_ms;  /* 0: it is not open */
    int64_t heard_ms;   /* when it last said something */
    char failure[256];  /* of the last attempt */
    TAILQ_HEAD(, remote_call) calls;
};

static void connect_now(struct remote *remote);

static void finish(struct remote *remote, struct remote_call *call, const struct message_reply *reply,
                   const char *failure) {
    TAILQ_REMOVE(&remote->calls, call, entry);
    call->is_pending = false;
    call->done(call, reply, failure);
}

/* --- losing and making the connection --- */

static void wait_and_retry(struct remote *remote) {
    uint8_t dice;
    random_bytes(&dice, 1);
    uint32_t pause = remote->pause_ms + remote->pause_ms * dice / 1024; /* many hosts, one perspective */
    const struct timeval delay = {.tv_sec = pause / 1000, .tv_usec = pause % 1000 * 1000};
    event_add(remote->retry, &delay);
    remote->pause_ms = remote->pause_ms * 2 < PAUSE_LAST_MS ? remote->pause_ms * 2 : PAUSE_LAST_MS;
}

/* Calls that were on their way are asked once more over the next connection, unless that cannot be had. */
static void settle_calls(struct remote *remote, bool may_retry) {
    struct remote_call *next;
    for (struct remote_call *call = TAILQ_FIRST(&remote->calls); call != NULL; call = next) {
        next = TAILQ_NEXT(call, entry);
        if (may_retry && call->sendings < SENDINGS_MAX)
            call->sent_ms = 0;
        else
            finish(remote, call, NULL, remote->failure);
    }
}

static void lose(struct remote *remote, const char *why) {
    bool was_good = remote->is_good;
    snprintf(remote->failure, sizeof remote->failure, "%s", why);
    stream_free(remote->stream);
    remote->stream = NULL;
    remote->is_good = false;
    remote->owed = 0;
    remote->opened_ms = 0;
    if (!remote->is_known_down && !was_good)
        log_event(LOG_LEVEL_WARNING, "a perspective cannot be reached", "perspective", remote->entry.text,
                  "reason", why, NULL);
    if (was_good)
        log_event(LOG_LEVEL_INFO, "the connection to a perspective ended", "perspective", remote->entry.text,
                  "reason", why, NULL);
    remote->is_known_down = !was_good;
    settle_calls(remote, was_good);
    if (was_good) {
        /* Restarted, most likely: its successor may listen already. */
        remote->pause_ms = PAUSE_FIRST_MS;
        const struct timeval soon = {.tv_usec = 20000};
        event_add(remote->retry, &soon);
    } else {
        wait_and_retry(remote);
    }
}

/* What it does is no reason for a second sending or a quick reconnect. */
static void distrust(struct remote *remote, const char *why) {
    remote->is_good = false;
    lose(remote, why);
}

static void send_call(struct remote *remote, struct remote_call *call) {
    if (stream_unsent(remote->stream) > REQUESTS_UNSENT_MAX) {
        finish(remote, call, NULL, "it leaves requests unread");
        return;
    }
    call->sent_ms = clock_monotonic_ms();
    call->sendings++;
    if (stream_send(remote->stream, call->frame, call->length))
        remote->owed++;
    else
        finish(remote, call, NULL, "out of memory");
}

static void on_opened(void *context) {
    struct remote *remote = context;
    struct remote_call *next;
    remote->opened_ms = clock_monotonic_ms();
    for (struct remote_call *call = TAILQ_FIRST(&remote->calls); call != NULL; call = next) {
        next = TAILQ_NEXT(call, entry);
        send_call(remote, call);
    }
}

/* One that nothing was asked of is closed for that alone: it is not away. */
static void on_closed(void *context, const char *why) {
    struct remote *remote = context;
    if (remote->opened_ms != 0 && remote->owed == 0 &&
        clock_monotonic_ms() - remote->opened_ms >= REFUSED_WITHIN_MS)
        remote->is_good = true;
    lose(remote, why);
}

static struct remote_call *find_call(struct remote *remote, uint64_t id) {
    struct remote_call *call;
    TAILQ_FOREACH(call, &remote->calls, entry) {
        if (call->id == id)
            return call;
    }
    return NULL; /* nobody waits for it any more */
}

/* Into the call's arena goes only what is as large as was asked for. */
static void take_reply(struct remote *remote, struct remote_call *call, struct bytes payload,
                       struct message_reply *reply) {
    struct error error;
    if (reply->error != NULL) {
        char why[256];
        snprintf(why, sizeof why, "%s: %.200s", reply->error, reply->error_text);
        finish(remote, call, NULL, why);
    } else if (reply->zone_count != call->zone_count || reply->name_count != call->name_count) {
        finish(remote, call, NULL, "its reply is about other names");
    } else if (!message_read_reply(call->arena, payload, reply, &error)) {
        finish(remote, call, NULL, "out of memory");
    } else {
        finish(remote, call, reply, NULL);
    }
}

static void note_good(struct remote *remote) {
    if (!remote->is_good)
        log_event(LOG_LEVEL_INFO, "a perspective answers", "perspective", remote->entry.text, NULL);
    remote->is_good = true;
    remote->is_known_down = false;
    remote->pause_ms = PAUSE_FIRST_MS;
}

static void on_frame(void *context, struct bytes payload) {
    struct remote *remote = context;
    struct message_reply reply;
    struct error error;
    remote->heard_ms = clock_monotonic_ms();
    if (remote->owed == 0) {
        distrust(remote, "it answers what nobody asked");
        return;
    }
    struct arena *scratch = arena_new(REPLY_BYTES_MAX);
    if (scratch == NULL || !message_read_reply(scratch, payload, &reply, &error)) {
        char why[256];
        snprintf(why, sizeof why, "a reply that cannot be read: %.200s",
                 scratch == NULL ? "out of memory" : error.message);
        arena_free(scratch);
        distrust(remote, why);
        return;
    }
    remote->owed--;
    note_good(remote);
    struct remote_call *call = find_call(remote, reply.id);
    if (call != NULL)
        take_reply(remote, call, payload, &reply);
    arena_free(scratch);
}

static bool open_socket(struct remote *remote, const struct sockaddr *address, socklen_t length) {
    static const struct stream_events events = {on_opened, on_frame, on_closed};
    int one = 1, fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    if (address->sa_family != AF_UNIX) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
    }
    /* A unix socket with a full queue says EAGAIN and nothing would tell when to go on. */
    if (connect(fd, address, length) != 0 && errno != EINPROGRESS) {
        int problem = errno;
        close(fd);
        errno = problem;
        return false;
    }
    remote->stream = stream_new(remote->base, fd, remote->tls, remote->entry.certificate_name,
                                &remote->settings, &events, remote);
    errno = ENOMEM;
    return remote->stream != NULL;
}

static void on_addresses(void *context, const struct host_address *addresses, size_t count) {
    struct remote *remote = context;
    remote->lookup = NULL;
    if (count == 0) {
        lose(remote, "its name has no address");
        return;
    }
    const struct host_address *chosen = &addresses[remote->attempts % count];
    if (!open_socket(remote, (const struct sockaddr *)&chosen->address, chosen->length))
        lose(remote, strerror(errno));
}

static void connect_now(struct remote *remote) {
    const struct config_address *address = &remote->entry.address;
    remote->attempts++;
    if (address->length == 0) {
        remote->lookup =
            host_lookup_start(remote->base, remote->entry.host, remote->entry.port, on_addresses, remote);
        if (remote->lookup == NULL)
            lose(remote, "its name cannot be looked up");
    } else if (!open_socket(remote, (const struct sockaddr *)&address->address, address->length)) {
        lose(remote, strerror(errno));
    }
}

static void on_retry(evutil_socket_t fd, short what, void *context) {
    (void)fd;
    (void)what;
    struct remote *remote = context;
    if (remote->stream == NULL && remote->lookup == NULL)
        connect_now(remote);
}

/* --- for the asker --- */

struct remote *remote_new(struct event_base *base, const struct config_perspective *entry,
                          struct stream_tls *tls, uint32_t timeout_ms, struct error *error) {
    struct remote *remote = calloc(1, sizeof *remote);
    if (remote != NULL)
        remote->retry = evtimer_new(base, on_retry, remote);
    if (remote == NULL || remote->retry == NULL) {
        free(remote);
        error_set(error, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    remote->base = base;
    remote->entry = *entry;
    remote->tls = tls;
    remote->pause_ms = PAUSE_FIRST_MS;
    remote->settings = (struct stream_settings){
        .max_frame = FRAME_MAX, .handshake_ms = timeout_ms, .frame_ms = timeout_ms, .write_ms = timeout_ms};
    TAILQ_INIT(&remote->calls);
    event_active(remote->retry, EV_TIMEOUT, 0);
    return remote;
}

void remote_free(struct remote *remote) {
    if (remote == NULL)
        return;
    stream_free(remote->stream);
    host_lookup_cancel(remote->lookup);
    event_free(remote->retry);
    free(remote);
}

void remote_ask(struct remote *remote, struct remote_call *call) {
    bool is_open = remote->stream != NULL && stream_is_open(remote->stream);
    call->sent_ms = 0;
    call->sendings = 0;
    call->is_pending = true;
    TAILQ_INSERT_TAIL(&remote->calls, call, entry);
    if (is_open)
        send_call(remote, call);
    else if (remote->is_known_down)
        finish(remote, call, NULL, remote->failure);
}

void remote_forget(struct remote *remote, struct remote_call *call, bool is_late) {
    if (!call->is_pending)
        return;
    TAILQ_REMOVE(&remote->calls, call, entry);
    call->is_pending = false;
    bool is_silent = call->sent_ms != 0 && remote->heard_ms < call->sent_ms;
    if (is_late && is_silent && remote->stream != NULL && stream_is_open(remote->stream)) {
        distrust(remote, "it is silent");
    }
}
