/* Connections in a ring; frames are taken from their input buffers when a batch is made. */
#include "links.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>

#include "originca/log.h"

#define CALL_ARENA_BYTES (8u * 1024 * 1024)
/* A batch is a short one whatever is in it: a request of a thousand names takes as long to judge as a hundred
 * usual ones, and others wait for it. */
#define BATCH_MAX 256
#define BATCH_BYTES_MAX SIGNER_FRAME_MAX
/* Of one worker's connection, also while the engine holds calls back. */
#define UNDER_WAY_MAX 256
#define UNDER_WAY_BYTES_MAX SIGNER_FRAME_MAX
#define ANY_PROCESS (-1)
#define SPARE_CONNECTIONS 16

struct link {
    TAILQ_ENTRY(link) entry;
    struct links *links;
    struct bufferevent *connection; /* NULL: closed, and calls of it are still under way */
    enum signer_link kind;
    pid_t pid;
    uint64_t heard_at;        /* when it last had a request, counted in requests of all */
    int64_t blocked_since_ms; /* it does not read its replies; 0: it does */
    struct crl_work *crl;     /* the revocation list that comes over it */
    size_t calls, call_bytes; /* with the engine, or held back */
    bool is_full;             /* nothing is read: its input buffer holds more than a frame */
};

struct links {
    struct event_base *base;
    const struct config *config;
    const struct signer_sockets *sockets;
    struct event *listeners[SIGNER_LINKS];
    struct metric *closed_total;
    void (*wake)(void *context);
    void *context;
    uint64_t requests;
    TAILQ_HEAD(ring, link) ring; /* the next whose turn it is comes first */
};

static void free_if_gone(struct link *link) {
    if (link->connection == NULL && link->calls == 0) {
        crl_work_free(link->crl);
        free(link);
    }
}

static void close_link(struct link *link) {
    TAILQ_REMOVE(&link->links->ring, link, entry);
    bufferevent_free(link->connection);
    link->connection = NULL;
    free_if_gone(link);
}

static void close_for(struct link *link, const char *why) {
    metric_add(link->links->closed_total, 1);
    log_event(LOG_LEVEL_ERROR, "the signer closes a connection", "link",
              link->kind == SIGNER_LINK_OPERATOR ? "operator" : "worker", "reason", why, NULL);
    close_link(link);
}

/* --- frames --- */

static size_t unread_of(const struct link *link) {
    return evbuffer_get_length(bufferevent_get_output(link->connection));
}

static bool is_blocked(const struct link *link) {
    return unread_of(link) > link->links->config->signer_unread_bytes;
}

enum frame { FRAME_NONE, FRAME_WHOLE, FRAME_BROKEN };

static enum frame look(const struct link *link, size_t *length) {
    struct evbuffer *in = bufferevent_get_input(link->connection);
    uint8_t head[4];
    if (evbuffer_copyout(in, head, 4) != 4)
        return FRAME_NONE;
    *length = (size_t)head[0] << 24 | (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3];
    if (*length < FRAME_HEAD - 4 || *length > SIGNER_FRAME_MAX)
        return FRAME_BROKEN;
    return evbuffer_get_length(in) >= 4 + *length ? FRAME_WHOLE : FRAME_NONE;
}

/* Not by libevent's watermark, which calls back again and again while a full buffer is left as it is. */
static void read_or_not(struct link *link) {
    bool is_full = evbuffer_get_length(bufferevent_get_input(link->connection)) >= 4 + SIGNER_FRAME_MAX;
    if (is_full == link->is_full)
        return;
    link->is_full = is_full;
    if (is_full)
        bufferevent_disable(link->connection, EV_READ);
    else
        bufferevent_enable(link->connection, EV_READ);
}

static struct engine_call *take_frame(struct link *link, size_t length) {
    struct evbuffer *in = bufferevent_get_input(link->connection);
    struct arena *arena = arena_new(CALL_ARENA_BYTES);
    struct engine_call *call = arena == NULL ? NULL : arena_alloc(arena, sizeof *call);
    uint8_t *frame = call == NULL ? NULL : arena_alloc(arena, length);
    if (frame == NULL) {
        arena_free(arena);
        return NULL;
    }
    evbuffer_drain(in, 4);
    evbuffer_remove(in, frame, length);
    read_or_not(link);
    struct wire_reader reader = {.arena = arena, .rest = {frame, length}};
    *call = (struct engine_call){.arena = arena, .client = link, .link = link->kind, .crl = &link->crl};
    call->id = wire_get_u64(&reader);
    call->type = wire_get_u8(&reader);
    call->fields = reader.rest;
    link->calls++;
    link->call_bytes += call->fields.length;
    link->heard_at = ++link->links->requests;
    return call;
}

/* One request of this connection, if it has one and its turn is to be used. */
static struct engine_call *take_turn(struct link *link) {
    size_t length = 0;
    bool has_enough = link->kind == SIGNER_LINK_WORKER &&
                      (link->calls >= UNDER_WAY_MAX || link->call_bytes >= UNDER_WAY_BYTES_MAX);
    if (has_enough || is_blocked(link))
        return NULL;
    enum frame frame = look(link, &length);
    struct engine_call *call = frame == FRAME_WHOLE ? take_frame(link, length) : NULL;
    if (frame == FRAME_BROKEN)
        close_for(link, "a frame of impossible length");
    else if (frame == FRAME_WHOLE && call == NULL)
        close_for(link, "out of memory");
    return call;
}

/* Whoever comes from `first` on has the next turn. */
static void turn_ring(struct links *links, const struct link *first) {
    struct ring before = TAILQ_HEAD_INITIALIZER(before);
    for (struct link *at; (at = TAILQ_FIRST(&links->ring)) != first;) {
        TAILQ_REMOVE(&links->ring, at, entry);
        TAILQ_INSERT_TAIL(&before, at, entry);
    }
    TAILQ_CONCAT(&links->ring, &before, entry);
}

bool links_take(struct links *links, struct engine_call **first) {
    struct engine_call **last = first;
    struct link *next = NULL;
    size_t count = 0, bytes = 0;
    bool has_more = true, is_full = false;
    *first = NULL;
    while (has_more && !is_full) {
        has_more = false;
        for (struct link *link = TAILQ_FIRST(&links->ring); link != NULL && !is_full; link = next) {
            next = TAILQ_NEXT(link, entry);
            *last = take_turn(link);
            if (*last == NULL)
                continue;
            bytes += (*last)->fields.length;
            last = &(*last)->next;
            has_more = true;
            is_full = ++count == BATCH_MAX || bytes >= BATCH_BYTES_MAX;
        }
    }
    if (is_full && next != NULL)
        turn_ring(links, next);
    return !is_full;
}

void links_finish(struct links *links, struct engine_call *call) {
    struct link *link = call->client;
    (void)links;
    link->calls--;
    link->call_bytes -= call->fields.length;
    if (link->connection != NULL && call->reply != NULL)
        bufferevent_write(link->connection, call->reply, call->reply_length);
    free_if_gone(link);
    arena_free(call->arena); /* the call itself lives in it */
}

void links_tick(struct links *links) {
    int64_t now = clock_monotonic_ms(), limit = (int64_t)links->config->signer_unread_seconds * 1000;
    for (struct link *link = TAILQ_FIRST(&links->ring), *next; link != NULL; link = next) {
        next = TAILQ_NEXT(link, entry);
        if (!is_blocked(link))
            link->blocked_since_ms = 0;
        else if (link->blocked_since_ms == 0)
            link->blocked_since_ms = now;
        else if (now - link->blocked_since_ms >= limit)
            close_for(link, "it does not read its replies");
    }
}

/* --- connections --- */

static void on_bytes(struct bufferevent *connection, void *context) {
    struct link *link = context;
    (void)connection;
    read_or_not(link);
    link->links->wake(link->links->context);
}

/* Its replies are gone: what it asked meanwhile may be waiting. */
static void on_drained(struct bufferevent *connection, void *context) {
    struct link *link = context;
    if (link->blocked_since_ms != 0 || evbuffer_get_length(bufferevent_get_input(connection)) > 0)
        link->links->wake(link->links->context);
}

static void on_end(struct bufferevent *connection, short what, void *context) {
    (void)connection;
    if ((what & (BEV_EVENT_EOF | BEV_EVENT_ERROR)) != 0)
        close_link(context);
}

static size_t count_links(const struct links *links, enum signer_link kind, pid_t pid) {
    size_t count = 0;
    for (const struct link *link = TAILQ_FIRST(&links->ring); link != NULL; link = TAILQ_NEXT(link, entry))
        count += link->kind == kind && (pid == ANY_PROCESS || link->pid == pid);
    return count;
}

/* Of a full socket the one that has asked nothing for the longest time makes room: a worker that serves asks
 * every two seconds, and connects again. */
static bool make_room(struct links *links, enum signer_link kind) {
    struct link *quiet = NULL;
    uint32_t most = links->config->signer_connections;
    if (most == 0)
        most = 2 * links->config->workers + SPARE_CONNECTIONS;
    if (count_links(links, kind, ANY_PROCESS) < most)
        return true;
    for (struct link *link = TAILQ_FIRST(&links->ring); link != NULL; link = TAILQ_NEXT(link, entry))
        if (link->kind == kind && link->calls == 0 && (quiet == NULL || link->heard_at < quiet->heard_at))
            quiet = link;
    if (quiet != NULL)
        close_for(quiet, "another one takes its place: signer_connections are open");
    return quiet != NULL;
}

static const char *judge_peer(struct links *links, enum signer_link kind, int fd, pid_t *pid) {
    struct ucred peer = {.uid = (uid_t)-1};
    socklen_t length = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0 ||
        peer.uid != links->sockets->users[kind])
        return "it is of another user";
    *pid = peer.pid;
    if (count_links(links, kind, peer.pid) >= links->config->signer_connections_per_process)
        return "its process has signer_connections_per_process already";
    return make_room(links, kind) ? NULL : "signer_connections are open";
}

static void add_link(struct links *links, enum signer_link kind, int fd, pid_t pid) {
    struct link *link = calloc(1, sizeof *link);
    struct bufferevent *connection =
        link == NULL ? NULL : bufferevent_socket_new(links->base, fd, BEV_OPT_CLOSE_ON_FREE);
    if (connection == NULL) {
        close(fd);
        free(link);
        return;
    }
    *link = (struct link){
        .links = links, .connection = connection, .kind = kind, .pid = pid, .heard_at = links->requests};
    TAILQ_INSERT_TAIL(&links->ring, link, entry);
    bufferevent_priority_set(connection, 0);
    bufferevent_setcb(connection, on_bytes, on_drained, on_end, link);
    bufferevent_enable(connection, EV_READ | EV_WRITE);
}

static void accept_from(struct links *links, enum signer_link kind) {
    pid_t pid = 0;
    int fd = accept4(links->sockets->fds[kind], NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        if (errno == EMFILE || errno == ENFILE)
            log_out_of_descriptors("accepting a connection to the signer");
        return;
    }
    const char *fault = judge_peer(links, kind, fd, &pid);
    if (fault == NULL) {
        add_link(links, kind, fd, pid);
        return;
    }
    log_event(LOG_LEVEL_ERROR, "a connection to the signer was refused", "link",
              kind == SIGNER_LINK_OPERATOR ? "operator" : "worker", "reason", fault, NULL);
    metric_add(links->closed_total, 1);
    close(fd);
}

static void accept_worker(evutil_socket_t fd, short what, void *context) {
    (void)fd;
    (void)what;
    accept_from(context, SIGNER_LINK_WORKER);
}

static void accept_operator(evutil_socket_t fd, short what, void *context) {
    (void)fd;
    (void)what;
    accept_from(context, SIGNER_LINK_OPERATOR);
}

/* --- */

struct links *links_new(struct event_base *base, const struct config *config,
                        const struct signer_sockets *sockets, struct metrics *metrics,
                        void (*wake)(void *context), void *context) {
    static const event_callback_fn accepts[SIGNER_LINKS] = {accept_worker, accept_operator};
    struct links *links = calloc(1, sizeof *links);
    if (links == NULL)
        return NULL;
    *links =
        (struct links){.base = base, .config = config, .sockets = sockets, .wake = wake, .context = context};
    TAILQ_INIT(&links->ring);
    links->closed_total =
        metrics_counter(metrics, "originca_signer_connections_closed_total",
                        "Connections that the signer refused or closed: another user, too many, malformed "
                        "frames, replies not read");
    for (int kind = 0; kind < SIGNER_LINKS; kind++) {
        struct event *listener =
            event_new(base, sockets->fds[kind], EV_READ | EV_PERSIST, accepts[kind], links);
        links->listeners[kind] = listener;
        if (listener == NULL || event_priority_set(listener, 0) != 0 || event_add(listener, NULL) != 0) {
            links_free(links);
            return NULL;
        }
    }
    return links;
}

void links_stop_accepting(struct links *links) {
    for (int kind = 0; kind < SIGNER_LINKS; kind++)
        event_del(links->listeners[kind]);
}

void links_free(struct links *links) {
    if (links == NULL)
        return;
    for (struct link *link; (link = TAILQ_FIRST(&links->ring)) != NULL;)
        close_link(link);
    for (int kind = 0; kind < SIGNER_LINKS; kind++)
        if (links->listeners[kind] != NULL)
            event_free(links->listeners[kind]);
    free(links);
}
