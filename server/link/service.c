/* A worker's answers to the admin process: connections, each with its questions under way. */
#include "service.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/buffer.h>

#include "originca/log.h"
#include "originca/perspective.h"

#define CONNECTIONS_MAX 8 /* an admin process and its successor have one each */
#define QUESTIONS_MAX 10000
#define QUESTION_MEMORY (64u * 1024 * 1024)
#define UNSENT_MAX (64u * 1024 * 1024) /* a reader that is not there must not make the worker grow */
#define ACCEPT_PAUSE_MS 100

struct question { /* in its own arena */
    TAILQ_ENTRY(question) entry;
    struct connection *connection;
    struct arena *arena;
    uint64_t id;
    struct dnscheck_job *own;
    struct perspective_job *all;
    struct link_waiter *waiter;
};

struct connection {
    TAILQ_ENTRY(connection) entry;
    struct link_service *service;
    struct bufferevent *stream;
    TAILQ_HEAD(, question) questions;
    size_t count;
};

struct link_service {
    struct worker *worker;
    struct link_readiness_probe *probe;
    int listen_fd;
    struct event *on_connection, *accept_again;
    TAILQ_HEAD(, connection) connections;
    size_t count;
    uid_t user; /* who may ask */
    bool is_draining;
    void (*drained)(void *context);
    void *drained_context;
};

/* --- ends --- */

static void free_question(struct question *question) {
    struct connection *connection = question->connection;
    if (question->own != NULL)
        dnscheck_cancel(question->own);
    if (question->all != NULL)
        perspectives_cancel(question->all);
    if (question->waiter != NULL)
        link_readiness_cancel(question->waiter);
    TAILQ_REMOVE(&connection->questions, question, entry);
    connection->count--;
    arena_free(question->arena);
}

static void tell_if_drained(struct link_service *service) {
    if (service->is_draining && service->count == 0 && service->drained != NULL) {
        void (*drained)(void *context) = service->drained;
        service->drained = NULL;
        drained(service->drained_context);
    }
}

static void close_connection(struct connection *connection) {
    struct link_service *service = connection->service;
    while (!TAILQ_EMPTY(&connection->questions))
        free_question(TAILQ_FIRST(&connection->questions));
    TAILQ_REMOVE(&service->connections, connection, entry);
    service->count--;
    bufferevent_free(connection->stream);
    free(connection);
    tell_if_drained(service);
}

/* Closed when everything is answered and sent: then the asker goes to the successor. */
static bool is_done(const struct connection *connection) {
    return connection->service->is_draining && connection->count == 0 &&
           evbuffer_get_length(bufferevent_get_output(connection->stream)) == 0;
}

static void on_sent(struct bufferevent *stream, void *context) {
    (void)stream;
    if (is_done(context))
        close_connection(context);
}

/* --- answers --- */

static bool put(struct connection *connection, json_t *json) {
    struct evbuffer *out = bufferevent_get_output(connection->stream);
    if (evbuffer_get_length(out) <= UNSENT_MAX)
        return link_frame_put(out, json, connection->service->worker->config->worker_answer_max_bytes);
    json_decref(json);
    return false;
}

static void put_error(struct connection *connection, uint64_t id, const struct error *error) {
    if (!put(connection, link_write_error(id, error)))
        log_event(LOG_LEVEL_ERROR, "an answer to the admin process cannot be written", NULL);
}

static void note_checked(void *context, const struct dnscheck_result *result) {
    static const struct error too_large = {ERROR_INTERNAL, "the result is too large, or out of memory"};
    struct question *question = context;
    struct connection *connection = question->connection;
    question->own = NULL;
    question->all = NULL;
    bool is_put = result->zone_count > 0 && (put(connection, link_write_result(question->id, result, true)) ||
                                             put(connection, link_write_result(question->id, result, false)));
    if (!is_put)
        put_error(connection, question->id, &too_large);
    free_question(question);
}

static void note_readiness(void *context, const struct link_readiness *readiness) {
    static const struct error failed = {ERROR_INTERNAL, "out of memory"};
    struct question *question = context;
    struct connection *connection = question->connection;
    question->waiter = NULL;
    if (!put(connection, link_write_readiness(question->id, readiness)))
        put_error(connection, question->id, &failed);
    free_question(question);
}

/* --- questions --- */

static bool start_check(struct question *question, const json_t *root, struct error *error) {
    const struct worker *worker = question->connection->service->worker;
    struct dnscheck_request request;
    enum link_view view;
    if (!link_read_check(question->arena, root, &request, &view, error))
        return false;
    if (view == LINK_ALL_VIEWS)
        question->all = perspectives_start(worker->perspectives, question->arena, &request, note_checked,
                                           question, error);
    else
        question->own =
            dnscheck_start(worker->dnscheck, question->arena, &request, note_checked, question, error);
    return question->all != NULL || question->own != NULL;
}

static bool start(struct question *question, const json_t *root, struct error *error) {
    struct link_service *service = question->connection->service;
    const char *ask = json_get_string(root, "ask", error);
    if (ask == NULL)
        return false;
    if (strcmp(ask, "check") == 0)
        return start_check(question, root, error);
    if (strcmp(ask, "readiness") == 0) {
        question->waiter = link_readiness_ask(service->probe, note_readiness, question);
        return question->waiter != NULL || error_set(error, ERROR_INTERNAL, "out of memory");
    }
    if (strcmp(ask, "publish") != 0)
        return error_set(error, ERROR_INVALID, "it asks for what nobody knows");
    service->worker->publish_metrics(service->worker);
    if (!put(question->connection, json_pack("{s:I}", "id", (json_int_t)question->id)))
        return error_set(error, ERROR_INTERNAL, "out of memory");
    free_question(question);
    return true;
}

/* False: the connection must end. */
static bool take(struct connection *connection, struct bytes payload) {
    struct error error;
    struct arena *arena = connection->count < QUESTIONS_MAX ? arena_new(QUESTION_MEMORY) : NULL;
    struct arena *document = arena == NULL ? NULL : arena_branch(arena);
    struct question *question = document == NULL ? NULL : arena_alloc(arena, sizeof *question);
    if (question == NULL) {
        arena_free(arena);
        return false;
    }
    *question = (struct question){.connection = connection, .arena = arena};
    TAILQ_INSERT_TAIL(&connection->questions, question, entry);
    connection->count++;
    const json_t *root = link_parse(document, payload, &question->id, &error);
    uint64_t id = root == NULL ? 0 : question->id;
    if (id == 0 || !start(question, root, &error)) {
        if (id != 0)
            put_error(connection, id, &error);
        free_question(question);
        return id != 0;
    }
    return true;
}

static void on_bytes(struct bufferevent *stream, void *context) {
    struct connection *connection = context;
    uint32_t max = connection->service->worker->config->worker_answer_max_bytes;
    struct bytes payload;
    for (;;) {
        if (connection->service->is_draining)
            return; /* it is asked of another when this connection has ended */
        enum link_frame outcome = link_frame_take(bufferevent_get_input(stream), max, &payload);
        if (outcome == LINK_FRAME_NONE)
            return;
        bool is_good = outcome == LINK_FRAME_WHOLE && take(connection, payload);
        if (outcome == LINK_FRAME_WHOLE)
            free((void *)payload.data);
        if (!is_good) {
            log_event(LOG_LEVEL_ERROR, "the admin process asks what cannot be read", NULL);
            close_connection(connection);
            return;
        }
    }
}

static void on_event(struct bufferevent *stream, short what, void *context) {
    (void)stream;
    if ((what & (BEV_EVENT_EOF | BEV_EVENT_ERROR)) != 0)
        close_connection(context);
}

/* --- connections --- */

static bool is_welcome(const struct link_service *service, int fd) {
    struct ucred peer = {.uid = (uid_t)-1};
    socklen_t length = sizeof peer;
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 && peer.uid == service->user &&
           service->count < CONNECTIONS_MAX;
}

static void add_connection(struct link_service *service, int fd) {
    struct connection *connection = is_welcome(service, fd) ? calloc(1, sizeof *connection) : NULL;
    if (connection != NULL)
        connection->stream = bufferevent_socket_new(service->worker->base, fd, BEV_OPT_CLOSE_ON_FREE);
    if (connection == NULL || connection->stream == NULL) {
        log_event(LOG_LEVEL_WARNING, "a connection to the socket of the admin process was refused", NULL);
        free(connection);
        close(fd);
        return;
    }
    connection->service = service;
    TAILQ_INIT(&connection->questions);
    TAILQ_INSERT_TAIL(&service->connections, connection, entry);
    service->count++;
    bufferevent_setcb(connection->stream, on_bytes, on_sent, on_event, connection);
    bufferevent_setwatermark(connection->stream, EV_READ, 0,
                             (size_t)service->worker->config->worker_answer_max_bytes + 4);
    bufferevent_enable(connection->stream, EV_READ | EV_WRITE);
}

static void accept_one(evutil_socket_t listener, short what, void *context) {
    (void)what;
    struct link_service *service = context;
    const struct timeval pause = {.tv_usec = ACCEPT_PAUSE_MS * 1000};
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        add_connection(service, fd);
    } else if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
        event_del(service->on_connection);
        event_add(service->accept_again, &pause);
    }
}

static void accept_again(evutil_socket_t fd, short what, void *context) {
    (void)fd;
    (void)what;
    struct link_service *service = context;
    event_add(service->on_connection, NULL);
}

struct link_service *link_service_new(struct worker *worker, int listen_fd, struct error *error) {
    struct link_service *service = calloc(1, sizeof *service);
    error_set(error, ERROR_INTERNAL, "out of memory");
    if (service == NULL)
        return NULL;
    TAILQ_INIT(&service->connections);
    service->worker = worker;
    service->listen_fd = listen_fd;
    service->user = worker->config->run_as[CONFIG_ADMIN].uid;
    service->probe = link_readiness_probe_new(worker, error);
    service->on_connection = event_new(worker->base, listen_fd, EV_READ | EV_PERSIST, accept_one, service);
    service->accept_again = evtimer_new(worker->base, accept_again, service);
    if (service->probe != NULL && service->on_connection != NULL && service->accept_again != NULL &&
        event_add(service->on_connection, NULL) == 0)
        return service;
    link_service_free(service);
    return NULL;
}

void link_service_drain(struct link_service *service, void (*drained)(void *context), void *context) {
    if (service->is_draining)
        return;
    service->is_draining = true;
    service->drained = drained;
    service->drained_context = context;
    event_del(service->on_connection);
    event_del(service->accept_again);
    close(service->listen_fd);
    service->count++; /* closing the last one must not end it under the loop's feet */
    for (struct connection *connection = TAILQ_FIRST(&service->connections), *next; connection != NULL;
         connection = next) {
        next = TAILQ_NEXT(connection, entry);
        if (is_done(connection))
            close_connection(connection);
    }
    service->count--;
    tell_if_drained(service);
}

void link_service_free(struct link_service *service) {
    if (service == NULL)
        return;
    service->is_draining = false;
    while (!TAILQ_EMPTY(&service->connections))
        close_connection(TAILQ_FIRST(&service->connections));
    link_readiness_probe_free(service->probe);
    if (service->on_connection != NULL)
        event_free(service->on_connection);
    if (service->accept_again != NULL)
        event_free(service->accept_again);
    free(service);
}
