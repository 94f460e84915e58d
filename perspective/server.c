/* Connections, each with its checks under way; limits; the end. */
#include "server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <event2/listener.h>

#include "originca/log.h"
#include "stream.h"

#define ACCEPT_PAUSE_MS 100
#define CHECK_ARENA_BYTES (16u * 1024 * 1024)
#define REPLIES_UNSENT_MAX (1024u * 1024)

struct connection;

struct check {
    TAILQ_ENTRY(check) entry;
    struct connection *connection;
    struct arena *arena; /* the check lives in it */
    struct message_request request;
    struct dnscheck_job *job;
};

struct connection {
    TAILQ_ENTRY(connection) entry;
    struct server *server;
    struct stream *stream;
    struct event *idle;
    char peer[96];
    TAILQ_HEAD(, check) checks;
};

struct server {
    struct event_base *base;
    const struct options *options;
    struct stream_tls *tls;
    struct views *views;
    struct evconnlistener *listeners[32];
    size_t listener_count, connection_count, check_count;
    struct event *accept_again;
    TAILQ_HEAD(connection_list, connection) connections;
    bool is_draining, is_freeing;
    void (*drained)(void *context);
    void *drained_context;
};

/* --- checks --- */

static void tell_if_drained(struct server *server) {
    if (server->is_draining && !server->is_freeing && server->connection_count == 0)
        server->drained(server->drained_context);
}

static void arm_idle(struct connection *connection) {
    uint32_t limit = connection->server->options->idle_timeout_ms;
    const struct timeval delay = {.tv_sec = limit / 1000, .tv_usec = limit % 1000 * 1000};
    if (TAILQ_EMPTY(&connection->checks))
        event_add(connection->idle, &delay);
    else
        event_del(connection->idle);
}

static void free_check(struct check *check) {
    struct connection *connection = check->connection;
    if (check->job != NULL)
        dnscheck_cancel(check->job);
    TAILQ_REMOVE(&connection->checks, check, entry);
    connection->server->check_count--;
    arena_free(check->arena);
}

static void reply(struct connection *connection, const struct message_reply *message) {
    size_t length = 0;
    uint8_t *frame = message_write_reply(message, &length);
    if (frame == NULL || !stream_send(connection->stream, frame, length))
        log_event(LOG_LEVEL_ERROR, "a reply cannot be sent", "peer", connection->peer, "reason",
                  "out of memory or too long", NULL);
    free(frame);
}

static void reply_error(struct connection *connection, uint64_t id, const struct error *error) {
    const char *word = error->code == ERROR_LIMIT     ? "busy"
                       : error->code == ERROR_INVALID ? "invalid"
                                                      : "internal";
    reply(connection, &(struct message_reply){.id = id, .error = word, .error_text = error->message});
    log_event(LOG_LEVEL_WARNING, "a request is not answered", "peer", connection->peer, "client",
              stream_peer_name(connection->stream), "reason", error->message, NULL);
}

static void note_checked(void *context, const struct dnscheck_result *result) {
    struct check *check = context;
    struct connection *connection = check->connection;
    char duration[16];
    check->job = NULL;
    snprintf(duration, sizeof duration, "%u", result->duration_ms);
    log_event(LOG_LEVEL_INFO, "checked", "peer", connection->peer, "client",
              stream_peer_name(connection->stream), "zone", check->request.check.zones[0].name, "verdict",
              dnscheck_verdict_name(result->verdict), "ms", duration, NULL);
    if (result->zone_count != check->request.check.zone_count ||
        result->name_count != check->request.check.name_count) /* out of memory */
        reply(connection, &(struct message_reply){
                              .id = check->request.id, .error = "internal", .error_text = "out of memory"});
    else
        reply(connection, &(struct message_reply){.id = check->request.id,
                                                  .zones = result->zones,
                                                  .names = result->names,
                                                  .zone_count = result->zone_count,
                                                  .name_count = result->name_count,
                                                  .queries = result->queries,
                                                  .duration_ms = result->duration_ms});
    free_check(check);
    arm_idle(connection);
    if (connection->server->is_draining && TAILQ_EMPTY(&connection->checks))
        stream_finish(connection->stream);
}

static bool start_check(struct connection *connection, struct check *check, struct error *error) {
    struct server *server = connection->server;
    struct dnscheck_request *request = &check->request.check;
    if (server->check_count > server->options->max_checks)
        return error_set(error, ERROR_LIMIT, "%u checks are under way", server->options->max_checks);
    struct dnscheck *dnscheck = views_find(server->views, &check->request, error);
    if (dnscheck == NULL)
        return false;
    if (request->deadline_ms == 0 || request->deadline_ms > server->options->max_deadline_ms)
        request->deadline_ms = server->options->max_deadline_ms;
    check->job = dnscheck_start(dnscheck, check->arena, request, note_checked, check, error);
    return check->job != NULL;
}

static void on_frame(void *context, struct bytes payload) {
    struct connection *connection = context;
    if (connection->server->is_draining)
        return; /* the client asks again when this connection has ended */
    struct arena *arena = arena_new(CHECK_ARENA_BYTES);
    struct check *check = arena == NULL ? NULL : arena_alloc(arena, sizeof *check);
    struct error error;
    if (check == NULL) {
        arena_free(arena);
        stream_finish(connection->stream);
        return;
    }
    *check = (struct check){.connection = connection, .arena = arena};
    TAILQ_INSERT_TAIL(&connection->checks, check, entry);
    connection->server->check_count++;
    bool is_read = message_read_request(arena, payload, &check->request, &error);
    if (!is_read || !start_check(connection, check, &error)) {
        uint64_t id = check->request.id;
        if (id == 0)
            log_event(LOG_LEVEL_WARNING, "a frame that is no request", "peer", connection->peer, "client",
                      stream_peer_name(connection->stream), "reason", error.message, NULL);
        else
            reply_error(connection, id, &error);
        free_check(check);
        if (id == 0)
            stream_finish(connection->stream); /* there is nothing to answer to */
    }
    arm_idle(connection);
}

/* --- connections --- */

static void free_connection(struct connection *connection) {
    struct server *server = connection->server;
    for (struct check *check; (check = TAILQ_FIRST(&connection->checks)) != NULL;)
        free_check(check);
    TAILQ_REMOVE(&server->connections, connection, entry);
    server->connection_count--;
    stream_free(connection->stream);
    if (connection->idle != NULL)
        event_free(connection->idle);
    free(connection);
    tell_if_drained(server);
}

static void on_closed(void *context, const char *why) {
    struct connection *connection = context;
    log_event(LOG_LEVEL_INFO, "closed", "peer", connection->peer, "reason", why, NULL);
    free_connection(connection);
}

static bool is_welcome(const struct connection *connection) {
    const struct config_strings *names = &connection->server->options->client_names;
    for (size_t i = 0; i < names->count; i++)
        if (stream_peer_is(connection->stream, names->items[i]))
            return true;
    return names->count == 0;
}

static void on_opened(void *context) {
    struct connection *connection = context;
    bool is_fine = is_welcome(connection);
    log_event(is_fine ? LOG_LEVEL_INFO : LOG_LEVEL_WARNING, is_fine ? "connected" : "a client is not welcome",
              "peer", connection->peer, "client", stream_peer_name(connection->stream), NULL);
    if (!is_fine || connection->server->is_draining)
        free_connection(connection);
    else
        arm_idle(connection);
}

static void on_idle(evutil_socket_t fd, short what, void *context) {
    (void)fd;
    (void)what;
    on_closed(context, "idle");
}

static void describe_peer(const struct sockaddr *address, char out[96]) {
    char host[INET6_ADDRSTRLEN] = "";
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)address;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)address;
    if (address->sa_family == AF_INET)
        snprintf(out, 96, "%s:%u", inet_ntop(AF_INET, &v4->sin_addr, host, sizeof host), ntohs(v4->sin_port));
    else if (address->sa_family == AF_INET6)
        snprintf(out, 96, "[%s]:%u", inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof host),
                 ntohs(v6->sin6_port));
    else
        snprintf(out, 96, "unix");
}

/* Strangers must not keep clients out: who has not shown a certificate yet makes room first. */
static bool make_room(struct server *server) {
    struct connection *connection;
    if (server->connection_count < server->options->max_connections)
        return true;
    TAILQ_FOREACH(connection, &server->connections, entry) {
        if (stream_is_open(connection->stream))
            continue;
        on_closed(connection, "others want to connect");
        return true;
    }
    return false;
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *address,
                      int length, void *context) {
    (void)listener;
    (void)length;
    static const struct stream_events events = {on_opened, on_frame, on_closed};
    struct server *server = context;
    const struct options *options = server->options;
    const struct stream_settings settings = {.max_frame = options->max_frame_bytes,
                                             .handshake_ms = options->handshake_timeout_ms,
                                             .frame_ms = options->frame_timeout_ms,
                                             .write_ms = options->write_timeout_ms,
                                             .max_unsent = REPLIES_UNSENT_MAX};
    int one = 1;
    char peer[96];
    describe_peer(address, peer);
    if (!make_room(server)) {
        log_event(LOG_LEVEL_WARNING, "too many connections", "peer", peer, NULL);
        close(fd);
        return;
    }
    struct connection *connection = calloc(1, sizeof *connection);
    if (connection == NULL) {
        close(fd);
        return;
    }
    if (address->sa_family != AF_UNIX) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
    }
    connection->server = server;
    snprintf(connection->peer, sizeof connection->peer, "%s", peer);
    TAILQ_INIT(&connection->checks);
    TAILQ_INSERT_TAIL(&server->connections, connection, entry);
    server->connection_count++;
    connection->idle = evtimer_new(server->base, on_idle, connection);
    connection->stream = stream_new(server->base, fd, server->tls, NULL, &settings, &events, connection);
    if (connection->stream == NULL || connection->idle == NULL)
        free_connection(connection);
}

/* --- listening --- */

static void on_accept_error(struct evconnlistener *listener, void *context) {
    struct server *server = context;
    const struct timeval pause = {.tv_usec = ACCEPT_PAUSE_MS * 1000};
    log_event(LOG_LEVEL_ERROR, "cannot accept connections", "reason", strerror(errno), NULL);
    evconnlistener_disable(listener);
    event_add(server->accept_again, &pause);
}

static void accept_again(evutil_socket_t fd, short what, void *context) {
    (void)fd;
    (void)what;
    struct server *server = context;
    for (size_t i = 0; i < server->listener_count; i++)
        evconnlistener_enable(server->listeners[i]);
}

static bool listen_on(struct server *server, const struct config_address *address, struct error *error) {
    bool is_unix = address->address.ss_family == AF_UNIX;
    int one = 1, fd = socket(address->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const char *path = ((const struct sockaddr_un *)&address->address)->sun_path;
    if (fd < 0)
        return error_set(error, ERROR_INTERNAL, "cannot open a socket: %m");
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (is_unix)
        unlink(path); /* a predecessor's */
    if (bind(fd, (const struct sockaddr *)&address->address, address->length) != 0 ||
        (is_unix && chmod(path, server->options->socket_mode) != 0)) {
        error_set(error, ERROR_INVALID, "cannot listen on %s: %m", address->text);
        close(fd);
        return false;
    }
    struct evconnlistener *listener = evconnlistener_new(
        server->base, on_accept, server, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 128, fd);
    if (listener == NULL) {
        error_set(error, ERROR_INTERNAL, "cannot listen on %s: %m", address->text);
        close(fd);
        return false;
    }
    evconnlistener_set_error_cb(listener, on_accept_error);
    server->listeners[server->listener_count++] = listener;
    log_event(LOG_LEVEL_INFO, "listening", "address", address->text, NULL);
    return true;
}

static void stop_listening(struct server *server) {
    for (size_t i = 0; i < server->listener_count; i++)
        evconnlistener_free(server->listeners[i]);
    server->listener_count = 0;
    event_del(server->accept_again);
}

bool server_reload(struct server *server, struct error *error) {
    const struct options *options = server->options;
    struct stream_tls *tls =
        stream_tls_new(options->client_ca_file, options->certificate_file, options->key_file, error);
    if (tls == NULL)
        return false;
    stream_tls_free(server->tls);
    server->tls = tls;
    return true;
}

struct server *server_new(struct event_base *base, const struct options *options, struct error *error) {
    struct server *server = calloc(1, sizeof *server);
    error_set(error, ERROR_INTERNAL, "out of memory");
    if (server == NULL)
        return NULL;
    TAILQ_INIT(&server->connections);
    server->base = base;
    server->options = options;
    server->accept_again = evtimer_new(base, accept_again, server);
    bool is_up = server->accept_again != NULL && server_reload(server, error) &&
                 (server->views = views_new(base, options, error)) != NULL;
    for (size_t i = 0; is_up && i < options->listen_count; i++)
        is_up = listen_on(server, &options->listen[i], error);
    if (is_up)
        return server;
    server_free(server);
    return NULL;
}

void server_drain(struct server *server, void (*drained)(void *context), void *context) {
    struct connection *next;
    if (server->is_draining)
        return;
    stop_listening(server);
    server->drained = drained;
    server->drained_context = context;
    server->is_draining = true;
    for (struct connection *connection = TAILQ_FIRST(&server->connections); connection != NULL;
         connection = next) {
        next = TAILQ_NEXT(connection, entry);
        if (!stream_is_open(connection->stream))
            free_connection(connection);
        else if (TAILQ_EMPTY(&connection->checks))
            stream_finish(connection->stream);
        /* Else its last reply ends it. */
    }
    tell_if_drained(server);
}

void server_free(struct server *server) {
    if (server == NULL)
        return;
    server->is_freeing = true;
    if (server->accept_again != NULL)
        stop_listening(server);
    for (struct connection *connection; (connection = TAILQ_FIRST(&server->connections)) != NULL;)
        free_connection(connection);
    views_free(server->views);
    stream_tls_free(server->tls);
    if (server->accept_again != NULL)
        event_free(server->accept_again);
    free(server);
}
