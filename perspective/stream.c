/* The state of one connection: connecting, handshake, open, closed; one timer for its nearest deadline and
 * for reading on. */
#include "stream.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <gnutls/gnutls.h>

#include "stream_tls.h"

#define RECORD_BYTES 16384
#define RECORDS_PER_TURN 16 /* then other connections have theirs */

enum stream_state { CONNECTING, HANDSHAKE, OPEN, CLOSED };

struct stream {
    enum stream_state state;
    struct event_base *base;
    int fd;
    struct stream_tls *tls;
    gnutls_session_t session;
    struct stream_settings settings;
    struct stream_events events;
    void *context;
    struct event *readable, *writable, *timer;
    struct frame_reader in;
    struct evbuffer *out;
    bool is_resending; /* GnuTLS holds a record that the socket did not take */
    bool has_more;     /* to read; the socket may not tell of it */
    bool is_paused;    /* reading, until the other side takes what it is owed */
    bool is_finishing, is_running, is_freed;
    int64_t handshake_until_ms, frame_until_ms, write_until_ms; /* 0: does not wait */
    struct stream_peer peer;
};

static void destroy(struct stream *stream) {
    if (stream->readable != NULL)
        event_free(stream->readable);
    if (stream->writable != NULL)
        event_free(stream->writable);
    if (stream->timer != NULL)
        event_free(stream->timer);
    if (stream->session != NULL)
        gnutls_deinit(stream->session);
    if (stream->out != NULL)
        evbuffer_free(stream->out);
    frame_reader_clear(&stream->in);
    stream_tls_free(stream->tls);
    if (stream->fd >= 0)
        close(stream->fd);
    free(stream);
}

static void fail(struct stream *stream, const char *why) {
    if (stream->state == CLOSED)
        return;
    stream->state = CLOSED;
    event_del(stream->readable);
    event_del(stream->writable);
    event_del(stream->timer);
    if (!stream->is_freed)
        stream->events.closed(stream->context, why);
}

static void fail_tls(struct stream *stream, int outcome) {
    char why[256];
    if (outcome == GNUTLS_E_FATAL_ALERT_RECEIVED)
        snprintf(why, sizeof why, "the other side refuses: %s",
                 gnutls_alert_get_name(gnutls_alert_get(stream->session)));
    else if (outcome == GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR)
        stream_tls_explain(stream->session, why, sizeof why);
    else
        snprintf(why, sizeof why, "TLS: %s", gnutls_strerror(outcome));
    fail(stream, why);
}

static void arm_timer(struct stream *stream) {
    const int64_t waits[] = {stream->handshake_until_ms, stream->frame_until_ms, stream->write_until_ms};
    int64_t next = stream->has_more ? 0 : INT64_MAX;
    for (size_t i = 0; i < 3; i++)
        if (waits[i] != 0 && waits[i] < next)
            next = waits[i];
    if (next == INT64_MAX) {
        event_del(stream->timer);
        return;
    }
    int64_t left = next - clock_monotonic_ms();
    if (left < 0)
        left = 0;
    const struct timeval delay = {.tv_sec = left / 1000, .tv_usec = left % 1000 * 1000};
    event_add(stream->timer, &delay);
}

static void want_write(struct stream *stream, bool wants) {
    if (wants)
        event_add(stream->writable, NULL);
    else
        event_del(stream->writable);
}

/* A frame that has begun has its time, but not while we do not read. */
static void watch_frame(struct stream *stream) {
    if (!frame_reader_is_inside(&stream->in) || stream->is_paused)
        stream->frame_until_ms = 0;
    else if (stream->frame_until_ms == 0)
        stream->frame_until_ms = clock_monotonic_ms() + stream->settings.frame_ms;
}

/* --- sending --- */

static bool has_too_much_unsent(const struct stream *stream) {
    return stream->settings.max_unsent > 0 && evbuffer_get_length(stream->out) > stream->settings.max_unsent;
}

static void pause_reading(struct stream *stream) {
    stream->is_paused = true;
    event_del(stream->readable);
    watch_frame(stream);
}

static void resume_reading(struct stream *stream) {
    stream->is_paused = false;
    stream->has_more = true;
    event_add(stream->readable, NULL);
    watch_frame(stream);
}

static void flush(struct stream *stream) {
    while (evbuffer_get_length(stream->out) > 0) {
        size_t length = evbuffer_get_length(stream->out);
        if (length > RECORD_BYTES)
            length = RECORD_BYTES;
        const uint8_t *data = evbuffer_pullup(stream->out, (ev_ssize_t)length);
        ssize_t sent = data == NULL           ? GNUTLS_E_MEMORY_ERROR
                       : stream->is_resending ? gnutls_record_send(stream->session, NULL, 0)
                                              : gnutls_record_send(stream->session, data, length);
        if (sent == GNUTLS_E_AGAIN || sent == GNUTLS_E_INTERRUPTED) {
            stream->is_resending = true;
            want_write(stream, true);
            return;
        }
        if (sent < 0) {
            fail_tls(stream, (int)sent);
            return;
        }
        stream->is_resending = false;
        evbuffer_drain(stream->out, (size_t)sent);
        stream->write_until_ms = clock_monotonic_ms() + stream->settings.write_ms;
        if (stream->is_paused && !stream->is_finishing && !has_too_much_unsent(stream))
            resume_reading(stream);
    }
    stream->write_until_ms = 0;
    want_write(stream, false);
    if (stream->is_finishing) {
        gnutls_bye(stream->session, GNUTLS_SHUT_WR);
        fail(stream, "finished");
    }
}

bool stream_send(struct stream *stream, const void *frame, size_t length) {
    if (stream->state == CLOSED)
        return true; /* the owner hears or has heard of it */
    if (evbuffer_add(stream->out, frame, length) != 0)
        return false;
    if (stream->state != OPEN)
        return true; /* sent when it opens */
    if (stream->write_until_ms == 0)
        stream->write_until_ms = clock_monotonic_ms() + stream->settings.write_ms;
    want_write(stream, true); /* from the loop: the caller may be in the middle of something */
    if (!stream->is_running)
        arm_timer(stream);
    return true;
}

void stream_finish(struct stream *stream) {
    stream->is_finishing = true;
    stream->frame_until_ms = 0;
    if (stream->state == CLOSED)
        return;
    event_del(stream->readable);
    if (stream->state == OPEN)
        want_write(stream, true);
    else
        stream->handshake_until_ms = clock_monotonic_ms();
    if (!stream->is_running)
        arm_timer(stream);
}

/* --- receiving --- */

static bool hand_out_frames(struct stream *stream) {
    struct bytes payload;
    bool has_any = false;
    while (stream->state == OPEN && !stream->is_freed && !stream->is_finishing) {
        enum frame_outcome outcome = frame_reader_next(&stream->in, &payload);
        if (outcome == FRAME_IMPOSSIBLE)
            fail(stream, "a frame of impossible length");
        if (outcome != FRAME_WHOLE)
            break;
        stream->frame_until_ms = 0;
        stream->events.frame(stream->context, payload);
        has_any = true;
    }
    watch_frame(stream);
    return has_any;
}

static void receive(struct stream *stream) {
    uint8_t bytes[RECORD_BYTES];
    for (unsigned i = 0; i < RECORDS_PER_TURN; i++) {
        if (stream->state != OPEN || stream->is_freed || stream->is_finishing || stream->is_paused)
            return;
        if (has_too_much_unsent(stream)) {
            pause_reading(stream);
            return;
        }
        ssize_t got = gnutls_record_recv(stream->session, bytes, sizeof bytes);
        if (got == GNUTLS_E_AGAIN) {
            if (gnutls_record_get_direction(stream->session) == 1)
                want_write(stream, true);
            return;
        }
        if (got == 0) {
            fail(stream, "the other side ended the connection");
            return;
        }
        if (got < 0 && gnutls_error_is_fatal((int)got)) {
            fail_tls(stream, (int)got);
            return;
        }
        if (got < 0)
            continue;
        if (!frame_reader_add(&stream->in, bytes, (size_t)got)) {
            fail(stream, "out of memory");
            return;
        }
        if (hand_out_frames(stream))
            break; /* a record may hold a thousand */
    }
    stream->has_more = true; /* GnuTLS may hold more than the socket tells of */
}

/* --- opening --- */

static void shake_hands(struct stream *stream) {
    int outcome = gnutls_handshake(stream->session);
    if (outcome == GNUTLS_E_AGAIN || outcome == GNUTLS_E_INTERRUPTED) {
        want_write(stream, gnutls_record_get_direction(stream->session) == 1);
        return;
    }
    if (outcome < 0 && !gnutls_error_is_fatal(outcome)) {
        stream->has_more = true;
        return;
    }
    if (outcome < 0) {
        if (outcome != GNUTLS_E_FATAL_ALERT_RECEIVED)
            gnutls_alert_send_appropriate(stream->session, outcome);
        fail_tls(stream, outcome);
        return;
    }
    stream->state = OPEN;
    stream->handshake_until_ms = 0;
    stream_tls_read_peer(stream->session, &stream->peer);
    stream->events.opened(stream->context);
    if (stream->state != OPEN || stream->is_freed)
        return;
    bool has_output = evbuffer_get_length(stream->out) > 0 || stream->is_finishing;
    if (has_output)
        stream->write_until_ms = clock_monotonic_ms() + stream->settings.write_ms;
    want_write(stream, has_output);
    stream->has_more = true; /* frames may have come with the handshake's last bytes */
}

static void finish_connecting(struct stream *stream) {
    int problem = 0;
    socklen_t length = sizeof problem;
    if (getsockopt(stream->fd, SOL_SOCKET, SO_ERROR, &problem, &length) != 0)
        problem = errno;
    if (problem != 0) {
        fail(stream, strerror(problem));
        return;
    }
    stream->state = HANDSHAKE;
    event_add(stream->readable, NULL);
    shake_hands(stream);
}

static void end_turn(struct stream *stream) {
    stream->is_running = false;
    if (stream->is_freed)
        destroy(stream);
    else if (stream->state != CLOSED)
        arm_timer(stream);
}

static void take_turn(struct stream *stream, short what) {
    stream->has_more = false;
    if (stream->state == CONNECTING) {
        finish_connecting(stream);
    } else if (stream->state == HANDSHAKE) {
        shake_hands(stream);
    } else if (stream->state == OPEN) {
        if ((what & EV_WRITE) != 0)
            flush(stream);
        receive(stream);
    }
}

static void on_io(evutil_socket_t fd, short what, void *context) {
    (void)fd;
    struct stream *stream = context;
    stream->is_running = true;
    take_turn(stream, what);
    end_turn(stream);
}

/* The next turn comes by the timer, too: an event that is made active from within one runs before sockets and
 * timers are looked at, so who sends without end would be all that the loop ever sees. */
static void on_timer(evutil_socket_t fd, short what, void *context) {
    (void)fd;
    (void)what;
    struct stream *stream = context;
    int64_t now = clock_monotonic_ms();
    stream->is_running = true;
    if (stream->handshake_until_ms != 0 && stream->handshake_until_ms <= now)
        fail(stream, stream->is_finishing          ? "finished"
                     : stream->state == CONNECTING ? "it did not accept the connection in time"
                                                   : "it did not finish the TLS handshake in time");
    else if (stream->frame_until_ms != 0 && stream->frame_until_ms <= now)
        fail(stream, "a frame did not come whole in time");
    else if (stream->write_until_ms != 0 && stream->write_until_ms <= now && stream->state == OPEN)
        fail(stream, "it does not take what is sent");
    else if (stream->has_more)
        take_turn(stream, EV_READ);
    end_turn(stream);
}

struct stream *stream_new(struct event_base *base, int fd, struct stream_tls *tls, const char *server_name,
                          const struct stream_settings *settings, const struct stream_events *events,
                          void *context) {
    struct stream *stream = calloc(1, sizeof *stream);
    if (stream == NULL) {
        close(fd);
        return NULL;
    }
    stream->base = base;
    stream->fd = fd;
    stream->tls = stream_tls_hold(tls);
    stream->settings = *settings;
    stream->events = *events;
    stream->context = context;
    stream->in.max = settings->max_frame;
    stream->state = server_name == NULL ? HANDSHAKE : CONNECTING;
    stream->handshake_until_ms = clock_monotonic_ms() + settings->handshake_ms;
    stream->out = evbuffer_new();
    stream->readable = event_new(base, fd, EV_READ | EV_PERSIST, on_io, stream);
    stream->writable = event_new(base, fd, EV_WRITE | EV_PERSIST, on_io, stream);
    stream->timer = evtimer_new(base, on_timer, stream);
    stream->session = stream_tls_start(tls, fd, server_name, &stream->peer);
    if (stream->out == NULL || stream->readable == NULL || stream->writable == NULL ||
        stream->timer == NULL || stream->session == NULL ||
        event_add(server_name == NULL ? stream->readable : stream->writable, NULL) != 0) {
        destroy(stream);
        return NULL;
    }
    arm_timer(stream);
    return stream;
}

void stream_free(struct stream *stream) {
    if (stream == NULL)
        return;
    stream->is_freed = true;
    if (!stream->is_running)
        destroy(stream);
}

bool stream_is_open(const struct stream *stream) {
    return stream->state == OPEN;
}

size_t stream_unsent(const struct stream *stream) {
    return evbuffer_get_length(stream->out);
}

const char *stream_peer_name(const struct stream *stream) {
    return stream->peer.name;
}

bool stream_peer_is(const struct stream *stream, const char *name) {
    return stream_tls_peer_is(stream->session, name);
}
