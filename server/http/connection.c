/* A connection's life: handshake, read, handle, write, and again; linger when it must close on unread bytes.
 *
 * Every state has one absolute deadline; no byte that arrives moves it. Who takes a long reply gets another
 * where he took enough of it. Reading stops while a request is
 * handled, so a client cannot make us buffer more than one head and what the kernel holds. */
#include "internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_PIECE 16384
#define LINGER_MS 2000
#define LINGER_BYTES (4 * 1024 * 1024)
#define RECORD_MAX 16384
#define EMPTY_LINES_MAX 2

static void on_readable(evutil_socket_t fd, short what, void *context);

static void set_deadline(struct http_connection *connection, uint32_t milliseconds) {
    const struct timeval delay = {.tv_sec = milliseconds / 1000, .tv_usec = milliseconds % 1000 * 1000};
    event_add(connection->on_deadline, &delay);
}

static void release(struct http_connection *connection) {
    if (connection->on_readable != NULL)
        event_free(connection->on_readable);
    if (connection->on_writable != NULL)
        event_free(connection->on_writable);
    if (connection->on_deadline != NULL)
        event_free(connection->on_deadline);
    if (connection->session != NULL)
        gnutls_deinit(connection->session);
    if (connection->out != NULL)
        evbuffer_free(connection->out);
    close(connection->fd);
    free(connection->in);
    free(connection);
}

void http_connection_close(struct http_connection *connection) {
    struct http_server *server = connection->server;
    if (connection->exchange != NULL && connection->state == CONNECTION_HANDLING) {
        connection->exchange->request.has_client_left = true;
        connection->exchange->connection = NULL;
    } else if (connection->exchange != NULL) {
        http_exchange_free(connection->exchange);
    }
    room_leave(connection);
    address_table_leave(server->addresses, connection->address);
    TAILQ_REMOVE(&server->connections, connection, entry);
    server->counters.open_connections--;
    release(connection);
    http_server_check_drained(server);
}

void http_connection_evict(struct http_connection *connection) {
    connection->server->counters.closed_for_room++;
    if (connection->session != NULL && connection->state == CONNECTION_READING)
        gnutls_bye(connection->session, GNUTLS_SHUT_WR);
    http_connection_close(connection);
}

/* A close with unread bytes would reset the connection, and the client might never see the reply: so the
 * write side is closed and what still comes is read and thrown away for a bounded while (RFC 9112 9.6). */
static void begin_linger(struct http_connection *connection) {
    connection->state = CONNECTION_LINGERING;
    if (connection->session != NULL)
        gnutls_bye(connection->session, GNUTLS_SHUT_WR);
    if (connection->peer_has_ended || shutdown(connection->fd, SHUT_WR) != 0) {
        http_connection_close(connection);
        return;
    }
    event_del(connection->on_writable);
    room_enter(connection, ROOM_IDLE);
    set_deadline(connection, LINGER_MS);
    event_add(connection->on_readable, NULL);
}

static void linger(struct http_connection *connection) {
    char waste[READ_PIECE];
    for (;;) {
        ssize_t got = recv(connection->fd, waste, sizeof waste, 0);
        if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
            return;
        connection->lingered += got > 0 ? (size_t)got : 0;
        if (got <= 0 || connection->lingered > LINGER_BYTES) {
            http_connection_close(connection);
            return;
        }
    }
}

/* --- writing --- */

enum io_result { IO_DONE, IO_WAIT, IO_BROKEN };

static enum io_result write_some(struct http_connection *connection) {
    struct evbuffer *out = connection->out;
    while (evbuffer_get_length(out) > 0) {
        size_t length = evbuffer_get_length(out) < RECORD_MAX ? evbuffer_get_length(out) : RECORD_MAX;
        ssize_t sent;
        if (connection->session != NULL) {
            /* GnuTLS wants the same bytes again after AGAIN: the front of the buffer stays as it is. */
            sent = gnutls_record_send(connection->session, evbuffer_pullup(out, (ev_ssize_t)length), length);
            if (sent == GNUTLS_E_AGAIN || sent == GNUTLS_E_INTERRUPTED)
                return IO_WAIT;
        } else {
            sent = evbuffer_write_atmost(out, connection->fd, -1);
            if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
                return IO_WAIT;
        }
        if (sent <= 0)
            return IO_BROKEN;
        connection->server->counters.bytes_out += (uint64_t)sent;
        connection->taken += (uint64_t)sent;
        if (connection->session != NULL)
            evbuffer_drain(out, (size_t)sent);
    }
    return IO_DONE;
}

/* A kept connection may bring a request at any moment, also while we drain: who closes it at once drops what
 * is on its way. */
void http_connection_await_request(struct http_connection *connection) {
    const struct http_server *server = connection->server;
    uint32_t limit = server->limits.idle_timeout_ms;
    set_deadline(connection,
                 server->is_draining && server->drain_idle_ms < limit ? server->drain_idle_ms : limit);
}

/* Bytes inside GnuTLS, of which no event tells. */
static bool has_decrypted(const struct http_connection *connection) {
    return connection->session != NULL && gnutls_record_check_pending(connection->session) > 0;
}

/* A connection that reads nothing holds no more than what it has read. */
static void release_reading(struct http_connection *connection) {
    char *smaller = NULL;
    if (connection->in_length > 0 && (smaller = realloc(connection->in, connection->in_length)) == NULL)
        return;
    if (smaller == NULL)
        free(connection->in);
    connection->in = smaller;
    connection->in_capacity = connection->in_length;
}

static void read_next_request(struct http_connection *connection) {
    connection->state = CONNECTION_READING;
    connection->has_begun_request = false;
    connection->empty_lines = 0;
    room_enter(connection, connection->requests == 0 ? ROOM_UNFINISHED : ROOM_IDLE);
    if (connection->in_length == 0)
        release_reading(connection);
    http_connection_await_request(connection);
    event_add(connection->on_readable, NULL);
    /* Pipelined bytes are here already, or inside GnuTLS: no event will tell of them. Not now, though: we may
     * be deep inside a handler that was called from the reading loop, which goes on by itself. */
    bool has_more = connection->in_length > 0 || has_decrypted(connection);
    if (has_more && !connection->is_inside_read)
        event_active(connection->on_readable, EV_READ, 0);
}

static void begin_write_deadline(struct http_connection *connection) {
    connection->taken = 0;
    set_deadline(connection, connection->server->limits.write_timeout_ms);
}

/* A large reply over a slow line takes longer than one deadline. */
static bool has_taken_enough(const struct http_connection *connection) {
    const struct http_limits *limits = &connection->server->limits;
    return connection->state == CONNECTION_WRITING &&
           connection->taken * 1000 >=
               (uint64_t)limits->min_write_bytes_per_second * limits->write_timeout_ms;
}

void http_connection_send(struct http_connection *connection) {
    bool was_writing = connection->state == CONNECTION_WRITING;
    connection->state = CONNECTION_WRITING;
    switch (write_some(connection)) {
    case IO_WAIT:
        if (!was_writing) {
            begin_write_deadline(connection);
            room_enter(connection, ROOM_STALLED);
        }
        event_add(connection->on_writable, NULL);
        return;
    case IO_BROKEN:
        evbuffer_drain(connection->out, evbuffer_get_length(connection->out));
        connection->is_closing = true;
        connection->peer_has_ended = true;
        break;
    case IO_DONE:
        break;
    }
    if (!connection->is_closing && !connection->peer_has_ended) {
        read_next_request(connection);
        return;
    }
    if (connection->is_inside_read) {
        connection->is_closing = true; /* the reading loop closes when it is back */
        return;
    }
    begin_linger(connection);
}

static void on_writable(evutil_socket_t fd, short what, void *context) {
    (void)fd;
    (void)what;
    struct http_connection *connection = context;
    if (connection->state == CONNECTION_HANDSHAKE)
        on_readable(fd, EV_READ, connection);
    else if (connection->state == CONNECTION_WRITING)
        http_connection_send(connection);
    else if (write_some(connection) == IO_WAIT) /* what is left of "100 Continue": the request goes on */
        event_add(connection->on_writable, NULL);
}

/* --- reading --- */

static enum io_result read_some(struct http_connection *connection) {
    if (connection->in_capacity - connection->in_length < READ_PIECE) {
        size_t capacity = connection->in_length + READ_PIECE;
        char *larger = realloc(connection->in, capacity);
        if (larger == NULL)
            return IO_BROKEN;
        connection->in = larger;
        connection->in_capacity = capacity;
    }
    char *at = connection->in + connection->in_length;
    size_t room = connection->in_capacity - connection->in_length;
    ssize_t got;
    if (connection->session != NULL) {
        got = gnutls_record_recv(connection->session, at, room);
        if (got == GNUTLS_E_AGAIN || got == GNUTLS_E_INTERRUPTED)
            return IO_WAIT;
        if (got < 0 && gnutls_error_is_fatal((int)got) == 0)
            return IO_WAIT;
    } else {
        got = recv(connection->fd, at, room, 0);
        if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
            return IO_WAIT;
    }
    if (got < 0)
        return IO_BROKEN;
    if (got == 0) {
        connection->peer_has_ended = true;
        return IO_DONE;
    }
    connection->in_length += (size_t)got;
    connection->server->counters.bytes_in += (uint64_t)got;
    return IO_DONE;
}

static void consume(struct http_connection *connection, size_t length) {
    connection->in_length -= length;
    memmove(connection->in, connection->in + length, connection->in_length);
}

/* What the layer itself answers: in the words of the service that owns the path, where that is known. */
static void answer_failure(struct http_connection *connection, unsigned status, const char *detail) {
    struct http_exchange *exchange = connection->exchange;
    connection->state = CONNECTION_HANDLING;
    room_leave(connection);
    event_del(connection->on_readable);
    connection->is_closing = true;
    connection->server->counters.requests_in_progress++;
    if (exchange->service != NULL && exchange->request.path != NULL && exchange->service->fail != NULL) {
        exchange->request.service_context = exchange->service->context;
        exchange->service->fail(&exchange->request, status, detail);
    } else {
        http_reply(&exchange->request, status, "text/plain; charset=utf-8", detail, strlen(detail));
    }
}

static void dispatch(struct http_connection *connection) {
    struct http_exchange *exchange = connection->exchange;
    struct http_server *server = connection->server;
    unsigned status;
    exchange->request.received_ms = clock_monotonic_ms();
    exchange->request.body = (struct bytes){exchange->body, exchange->body_length};
    if (exchange->body == NULL)
        exchange->request.body.data = (const uint8_t *)"";
    connection->state = CONNECTION_HANDLING;
    room_leave(connection);
    event_del(connection->on_readable);
    event_del(connection->on_deadline);
    connection->is_closing = exchange->must_close || server->is_draining ||
                             ++connection->requests >= server->limits.max_requests_per_connection;
    server->counters.requests++;
    server->counters.requests_in_progress++;
    release_reading(connection);
    if (exchange->service == NULL) {
        static const char detail[] = "There is nothing here.\n";
        http_reply(&exchange->request, 404, "text/plain; charset=utf-8", detail, sizeof detail - 1);
        return;
    }
    exchange->request.service_context = exchange->service->context;
    if (http_route(exchange, &status))
        exchange->request.route->handle(&exchange->request);
    else
        exchange->service->fail(&exchange->request, status,
                                status == 405 ? "this method is not allowed here; see Allow"
                                              : "there is no such resource");
}

static void send_continue(struct http_connection *connection) {
    static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
    connection->exchange->wants_continue = false;
    evbuffer_add(connection->out, text, sizeof text - 1);
    /* Rarely more than the socket takes; what is left goes out with the reply. */
    if (write_some(connection) == IO_WAIT)
        event_add(connection->on_writable, NULL);
}

/* Begins an exchange once the whole head is here. */
static bool take_head(struct http_connection *connection) {
    /* RFC 9112 2.2: an empty line or two before a request is forgiven. */
    while (connection->in_length >= 2 && memcmp(connection->in, "\r\n", 2) == 0 &&
           connection->empty_lines < EMPTY_LINES_MAX) {
        connection->empty_lines++;
        consume(connection, 2);
    }
    if (connection->in_length == 0)
        return false;
    if (!connection->has_begun_request) {
        connection->has_begun_request = true;
        room_enter(connection, ROOM_UNFINISHED);
        set_deadline(connection, connection->server->limits.request_timeout_ms);
    }
    const char *end = memmem(connection->in, connection->in_length, "\r\n\r\n", 4);
    size_t length = end == NULL ? connection->in_length : (size_t)(end + 4 - connection->in);
    bool is_too_long = length > connection->server->limits.max_header_bytes;
    if (end == NULL && !is_too_long && memchr(connection->in, '\0', length) == NULL &&
        memmem(connection->in, length, "\n\n", 2) == NULL)
        return false;
    connection->exchange = http_exchange_new(connection);
    if (connection->exchange == NULL) {
        connection->is_closing = true;
        connection->peer_has_ended = true;
        return false;
    }
    unsigned status = 431;
    const char *complaint = is_too_long ? "the request head is larger than allowed"
                                        : http_head_check(connection->in, length, &status);
    if (complaint == NULL && end == NULL) {
        complaint = "the head ends with bare line feeds";
        status = 400;
    }
    if (complaint != NULL) {
        connection->server->counters.parse_errors++;
        answer_failure(connection, status, complaint);
        return false;
    }
    http_parse_begin(connection);
    return true;
}

static void parse_buffer(struct http_connection *connection) {
    while (connection->state == CONNECTION_READING && connection->in_length > 0) {
        if (connection->exchange == NULL && !take_head(connection))
            return;
        struct http_exchange *exchange = connection->exchange;
        consume(connection, http_parse_feed(connection, connection->in, connection->in_length));
        if (exchange->failure != 0) {
            connection->server->counters.parse_errors++;
            answer_failure(connection, exchange->failure, exchange->failure_detail);
        } else if (exchange->is_complete) {
            dispatch(connection);
        } else if (exchange->is_head_complete && exchange->wants_continue && exchange->body_length == 0) {
            send_continue(connection);
        }
    }
}

static void continue_handshake(struct http_connection *connection) {
    struct http_counters *counters = &connection->server->counters;
    int outcome = gnutls_handshake(connection->session);
    if (outcome == GNUTLS_E_AGAIN || outcome == GNUTLS_E_INTERRUPTED ||
        (outcome < 0 && gnutls_error_is_fatal(outcome) == 0)) {
        bool wants_write = gnutls_record_get_direction(connection->session) == 1;
        event_add(wants_write ? connection->on_writable : connection->on_readable, NULL);
        return;
    }
    if (outcome < 0) {
        counters->handshake_failures++;
        gnutls_alert_send_appropriate(connection->session, outcome);
        http_connection_close(connection);
        return;
    }
    counters->handshakes++;
    if (gnutls_session_is_resumed(connection->session) != 0)
        counters->tls_resumed++;
    event_del(connection->on_writable);
    connection->is_inside_read = false;
    read_next_request(connection);
}

static void on_readable(evutil_socket_t fd, short what, void *context) {
    (void)fd;
    (void)what;
    struct http_connection *connection = context;
    if (connection->state == CONNECTION_HANDSHAKE) {
        continue_handshake(connection);
        return;
    }
    if (connection->state == CONNECTION_LINGERING) {
        linger(connection);
        return;
    }
    connection->is_inside_read = true;
    parse_buffer(connection);
    /* One piece, then the others' turn: who sends faster than we parse would have the loop alone. */
    if (connection->state == CONNECTION_READING && !connection->peer_has_ended) {
        enum io_result result = read_some(connection);
        if (result == IO_BROKEN)
            connection->peer_has_ended = true;
        else if (result == IO_DONE)
            parse_buffer(connection);
    }
    connection->is_inside_read = false;
    /* A handler that answers later goes on by itself; the rest is settled here. */
    if (connection->state == CONNECTION_WRITING && evbuffer_get_length(connection->out) == 0)
        begin_linger(connection);
    else if (connection->state == CONNECTION_READING && connection->peer_has_ended)
        http_connection_close(connection);
    else if (connection->state == CONNECTION_READING && has_decrypted(connection))
        event_active(connection->on_readable, EV_READ, 0);
}

static void on_deadline(evutil_socket_t fd, short what, void *context) {
    (void)fd;
    (void)what;
    struct http_connection *connection = context;
    bool is_mid_request = connection->state == CONNECTION_READING && connection->has_begun_request;
    if (connection->state == CONNECTION_READING && !connection->has_begun_request) {
        begin_linger(connection); /* with close_notify: the client is to know an end from a cut */
        return;
    }
    if (has_taken_enough(connection)) {
        begin_write_deadline(connection);
        return;
    }
    connection->server->counters.timeouts++;
    if (!is_mid_request) {
        http_connection_close(connection);
        return;
    }
    if (connection->exchange == NULL)
        connection->exchange = http_exchange_new(connection);
    if (connection->exchange == NULL)
        http_connection_close(connection);
    else
        answer_failure(connection, 408, "the request did not arrive in time");
}

bool http_connection_is_idle(const struct http_connection *connection) {
    return connection->state == CONNECTION_READING && !connection->has_begun_request &&
           connection->in_length == 0;
}

static void name_peer(struct http_connection *connection) {
    const struct sockaddr_storage *peer = &connection->peer;
    if (peer->ss_family == AF_INET)
        inet_ntop(AF_INET, &((const struct sockaddr_in *)peer)->sin_addr, connection->peer_text,
                  sizeof connection->peer_text);
    else if (peer->ss_family == AF_INET6)
        inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)peer)->sin6_addr, connection->peer_text,
                  sizeof connection->peer_text);
    else {
        struct ucred credentials = {.uid = (uid_t)-1};
        socklen_t length = sizeof credentials;
        getsockopt(connection->fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length);
        snprintf(connection->peer_text, sizeof connection->peer_text, "unix:uid=%d", (int)credentials.uid);
    }
}

void http_connection_new(struct http_server *server, int fd, const struct sockaddr_storage *peer) {
    struct address_count *address = address_table_enter(server->addresses, peer);
    struct http_connection *connection = address == NULL ? NULL : calloc(1, sizeof *connection);
    if (connection == NULL) {
        address_table_leave(server->addresses, address);
        server->counters.refused_over_limit++;
        close(fd);
        return;
    }
    connection->server = server;
    connection->fd = fd;
    connection->peer = *peer;
    connection->address = address;
    name_peer(connection);
    connection->out = evbuffer_new();
    connection->on_readable = event_new(server->base, fd, EV_READ | EV_PERSIST, on_readable, connection);
    connection->on_writable = event_new(server->base, fd, EV_WRITE, on_writable, connection);
    connection->on_deadline = evtimer_new(server->base, on_deadline, connection);
    if (server->tls != NULL)
        connection->session = http_tls_start(server->tls, fd);
    bool is_made = connection->out != NULL && connection->on_readable != NULL &&
                   connection->on_writable != NULL && connection->on_deadline != NULL &&
                   (server->tls == NULL || connection->session != NULL);
    if (!is_made) {
        address_table_leave(server->addresses, address);
        release(connection);
        return;
    }
    TAILQ_INSERT_TAIL(&server->connections, connection, entry);
    server->counters.accepted++;
    server->counters.open_connections++;
    if (server->tls == NULL) {
        read_next_request(connection);
        return;
    }
    connection->state = CONNECTION_HANDSHAKE;
    room_enter(connection, ROOM_UNFINISHED);
    set_deadline(connection, server->limits.handshake_timeout_ms);
    event_add(connection->on_readable, NULL);
}
