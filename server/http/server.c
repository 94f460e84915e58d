/* A listening socket and its connections: accepting within limits, draining, counting. */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <netinet/in.h>
#include <netinet/tcp.h>

#include "originca/log.h"

#define ACCEPTS_PER_EVENT 64
#define ACCEPT_PAUSE_MS 100

/* Every server of the process: descriptors are the process's. */
static TAILQ_HEAD(, http_server) servers = TAILQ_HEAD_INITIALIZER(servers);

static struct http_server *most_crowded(void) {
    struct http_server *most = NULL, *server;
    TAILQ_FOREACH(server, &servers, process_entry) {
        bool has_room = !TAILQ_EMPTY(&server->waiting) || !TAILQ_EMPTY(&server->stalled);
        if (has_room && (most == NULL || server->counters.open_connections > most->counters.open_connections))
            most = server;
    }
    return most;
}

static bool evict(struct http_connection *connection) {
    if (connection == NULL)
        return false;
    http_connection_evict(connection);
    return true;
}

/* DNS, Redis and the signer need descriptors too. The lowest free number is given out first, so a high one
 * means that as many are in use. */
static bool is_reserved(const struct http_server *server, int fd) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
        return false;
    rlim_t reserved = server->limits.reserved_descriptors;
    if (reserved > limit.rlim_cur / 4)
        reserved = limit.rlim_cur / 4;
    return (rlim_t)fd >= limit.rlim_cur - reserved;
}

/* To the number that has just become free: one that stayed high would hold a reserved place for long. */
static void move_down(int *fd) {
    int lower = fcntl(*fd, F_DUPFD_CLOEXEC, 0);
    if (lower < 0)
        return;
    close(*fd);
    *fd = lower;
}

/* Whoever waits longest makes room for the one that comes: an idle connection costs its client a new one, a
 * refused one costs the service. False where all the others have a request in work. */
static bool make_room(struct http_server *server, const struct sockaddr_storage *peer, int *fd) {
    const struct http_limits *limits = &server->limits;
    bool is_unix = peer->ss_family != AF_INET && peer->ss_family != AF_INET6;
    const struct address_count *address = is_unix ? NULL : address_table_find(server->addresses, peer);
    bool is_full = server->counters.open_connections >= limits->max_connections;
    if (address != NULL && address->count >= limits->max_connections_per_address)
        return evict(room_find_of_address(address));
    if (is_full)
        return evict(room_find(server));
    if (!is_reserved(server, *fd))
        return true;
    log_out_of_descriptors("accepting a client: what is left is kept for DNS, Redis and the signer");
    struct http_server *most = most_crowded();
    if (most == NULL || !evict(room_find(most)))
        return false;
    move_down(fd);
    return true;
}

/* Out of descriptors the listening socket stays readable for ever: give one up to accept and refuse the
 * client. */
static bool refuse_one(struct http_server *server) {
    if (server->spare_fd < 0)
        server->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (server->spare_fd < 0)
        return false;
    close(server->spare_fd);
    int fd = accept4(server->fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd >= 0) {
        close(fd);
        server->counters.refused_over_limit++;
    }
    server->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return fd >= 0;
}

/* What accept cannot take now (no memory, nothing to give up) it cannot take at once either: the loop would
 * spin. */
static void pause_accepting(struct http_server *server) {
    const struct timeval pause = {.tv_usec = ACCEPT_PAUSE_MS * 1000};
    event_del(server->on_connection);
    event_add(server->on_accept_again, &pause);
}

static void accept_again(evutil_socket_t fd, short what, void *context) {
    (void)fd;
    (void)what;
    struct http_server *server = context;
    event_add(server->on_connection, NULL);
}

/* False where accepting must wait. */
static bool recover(struct http_server *server, int reason) {
    if (reason == EAGAIN || reason == EWOULDBLOCK || reason == EINTR || reason == ECONNABORTED)
        return true;
    if (reason != EMFILE && reason != ENFILE)
        return false;
    log_out_of_descriptors("accepting a client");
    struct http_server *most = most_crowded();
    return (most != NULL && evict(room_find(most))) || refuse_one(server);
}

static bool is_stranger(const struct http_server *server, int fd) {
    struct ucred peer = {.uid = (uid_t)-1};
    socklen_t length = sizeof peer;
    return server->limits.has_stranger && (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0 ||
                                           peer.uid == server->limits.stranger);
}

static void accept_some(evutil_socket_t listener, short what, void *context) {
    (void)what;
    struct http_server *server = context;
    for (int i = 0; i < ACCEPTS_PER_EVENT; i++) {
        struct sockaddr_storage peer = {0};
        socklen_t length = sizeof peer;
        int fd = accept4(listener, (struct sockaddr *)&peer, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (!recover(server, errno))
                pause_accepting(server);
            return;
        }
        if (is_stranger(server, fd) || !make_room(server, &peer, &fd)) {
            server->counters.refused_over_limit++;
            close(fd);
            continue;
        }
        int one = 1;
        if (peer.ss_family == AF_INET || peer.ss_family == AF_INET6)
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        http_connection_new(server, fd, &peer);
    }
}

struct http_exchange *http_exchange_new(struct http_connection *connection) {
    uint8_t id[8];
    struct arena *arena = arena_new(connection->server->limits.max_request_memory_bytes);
    struct http_exchange *exchange = arena == NULL ? NULL : arena_alloc(arena, sizeof *exchange);
    if (exchange == NULL) {
        arena_free(arena);
        return NULL;
    }
    random_bytes(id, sizeof id);
    hex_encode(id, sizeof id, exchange->request.id);
    arena_count_json(arena);
    exchange->request.arena = arena;
    exchange->request.query = "";
    exchange->request.peer = connection->peer;
    memcpy(exchange->request.peer_text, connection->peer_text, sizeof exchange->request.peer_text);
    exchange->request.is_tls = connection->session != NULL;
    exchange->connection = connection;
    exchange->server = connection->server;
    return exchange;
}

void http_forget_body(struct http_request *request) {
    struct http_exchange *exchange = (struct http_exchange *)request;
    arena_credit(request->arena, exchange->body_capacity);
    free(exchange->body);
    exchange->body = NULL;
    exchange->body_length = exchange->body_capacity = 0;
    request->body = (struct bytes){(const uint8_t *)"", 0};
}

void http_exchange_free(struct http_exchange *exchange) {
    free(exchange->body);
    arena_free(exchange->request.arena);
}

static void release(struct http_server *server) {
    TAILQ_REMOVE(&servers, server, process_entry);
    address_table_free(server->addresses);
    if (server->on_connection != NULL)
        event_free(server->on_connection);
    if (server->on_drained != NULL)
        event_free(server->on_drained);
    if (server->on_accept_again != NULL)
        event_free(server->on_accept_again);
    if (server->spare_fd >= 0)
        close(server->spare_fd);
    http_tls_free(server->tls);
    free(server);
}

static void tell_drained(evutil_socket_t fd, short what, void *context) {
    (void)fd;
    (void)what;
    struct http_server *server = context;
    server->drained(server->drained_context);
}

void http_server_check_drained(struct http_server *server) {
    bool is_empty = server->counters.open_connections == 0 && server->counters.requests_in_progress == 0;
    if (server->is_freed && is_empty) {
        release(server);
        return;
    }
    if (!server->is_draining || server->has_drained || !is_empty)
        return;
    server->has_drained = true;
    event_active(server->on_drained, EV_TIMEOUT, 0);
}

struct http_server *http_server_new(struct event_base *base, int listen_fd, struct http_tls *tls,
                                    const struct http_service *services, size_t service_count,
                                    const struct http_limits *limits, struct error *error) {
    struct http_server *server = calloc(1, sizeof *server);
    error_set(error, ERROR_INTERNAL, "out of memory");
    if (server == NULL)
        return NULL;
    TAILQ_INIT(&server->connections);
    TAILQ_INIT(&server->waiting);
    TAILQ_INIT(&server->stalled);
    TAILQ_INSERT_TAIL(&servers, server, process_entry);
    server->base = base;
    server->fd = listen_fd;
    server->services = services;
    server->service_count = service_count;
    server->limits = *limits;
    server->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (tls != NULL)
        http_tls_hold(tls);
    server->tls = tls;
    server->addresses = address_table_new();
    server->on_connection = event_new(base, listen_fd, EV_READ | EV_PERSIST, accept_some, server);
    server->on_drained = evtimer_new(base, tell_drained, server);
    server->on_accept_again = evtimer_new(base, accept_again, server);
    if (server->addresses == NULL || server->on_connection == NULL || server->on_drained == NULL ||
        server->on_accept_again == NULL || event_add(server->on_connection, NULL) != 0) {
        release(server);
        return NULL;
    }
    http_parser_set_max_header_size(limits->max_header_bytes);
    return server;
}

void http_server_drain(struct http_server *server, uint32_t idle_ms, void (*drained)(void *context),
                       void *context) {
    server->is_draining = true;
    server->drain_idle_ms = idle_ms;
    server->drained = drained;
    server->drained_context = context;
    event_del(server->on_connection);
    event_del(server->on_accept_again);
    struct http_connection *connection;
    TAILQ_FOREACH(connection, &server->connections, entry)
    if (http_connection_is_idle(connection))
        http_connection_await_request(connection);
    http_server_check_drained(server);
}

const struct http_counters *http_server_counters(const struct http_server *server) {
    return &server->counters;
}

void http_server_free(struct http_server *server) {
    if (server == NULL)
        return;
    server->is_draining = false;
    for (struct http_connection *connection = TAILQ_FIRST(&server->connections), *next; connection != NULL;
         connection = next) {
        next = TAILQ_NEXT(connection, entry);
        http_connection_close(connection);
    }
    event_del(server->on_connection);
    event_del(server->on_accept_again);
    server->is_freed = true;
    http_server_check_drained(server);
}
