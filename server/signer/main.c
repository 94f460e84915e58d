/* The signer process: sockets to frames, frames to batches, batches to the engine.
 *
 * All sockets that have something are read before a batch runs (event priorities), so requests that arrive
 * together share the ledger's two syncs. */
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>

#include "engine.h"
#include "originca/log.h"

#define CALL_ARENA_BYTES (8u * 1024 * 1024)
#define BATCH_MAX 256
#define HELD_MAX 4096

struct client {
    TAILQ_ENTRY(client) entry;
    struct signer_process *process;
    struct bufferevent *connection;
};

struct signer_process {
    const struct config *config;
    struct event_base *base;
    struct engine *engine;
    struct event *on_client, *on_batch, *on_tick, *on_term, *on_usr1;
    struct engine_call *first, **last;
    size_t queued;
    struct engine_call *held, **held_last; /* until the engine takes them */
    size_t held_count;
    bool is_stopping, has_failed;
    TAILQ_HEAD(, client) clients;
};

static void free_calls(struct engine_call *calls) {
    for (struct engine_call *next; calls != NULL; calls = next) {
        next = calls->next;
        arena_free(calls->arena); /* the call itself lives in it */
    }
}

static void drop_client(struct client *client) {
    struct signer_process *process = client->process;
    for (struct engine_call *call = process->first; call != NULL; call = call->next)
        if (call->client == client)
            call->client = NULL;
    for (struct engine_call *call = process->held; call != NULL; call = call->next)
        if (call->client == client)
            call->client = NULL;
    TAILQ_REMOVE(&process->clients, client, entry);
    bufferevent_free(client->connection);
    free(client);
}

static void end_process(struct signer_process *process) {
    /* Replies that are still in buffers go out first. */
    const struct timeval grace = {.tv_usec = 200 * 1000};
    event_base_loopexit(process->base, &grace);
}

static void run_calls(struct signer_process *process, struct engine_call *calls) {
    bool goes_on = engine_run(process->engine, calls);
    for (struct engine_call *call = calls; call != NULL; call = call->next) {
        struct client *client = call->client;
        if (client != NULL && call->reply != NULL)
            bufferevent_write(client->connection, call->reply, call->reply_length);
    }
    free_calls(calls);
    if (!goes_on) {
        process->has_failed = true;
        end_process(process);
    }
}

/* A signer that has just started answers in a moment: better late than "try again". */
static struct engine_call *hold_back(struct signer_process *process, struct engine_call *calls) {
    struct engine_call *rest = NULL, **last = &rest;
    for (struct engine_call *call = calls, *next; call != NULL; call = next) {
        next = call->next;
        call->next = NULL;
        if (process->held_count < HELD_MAX && engine_must_hold(process->engine, call->type)) {
            *process->held_last = call;
            process->held_last = &call->next;
            process->held_count++;
        } else {
            *last = call;
            last = &call->next;
        }
    }
    return rest;
}

/* Those that the engine takes by now are put in front of what waits. */
static void let_go(struct signer_process *process) {
    struct engine_call *held = process->held;
    process->held = NULL;
    process->held_last = &process->held;
    process->held_count = 0;
    struct engine_call *ready = hold_back(process, held);
    if (ready != NULL)
        run_calls(process, ready);
}

static void run_batch(evutil_socket_t fd, short what, void *context) {
    (void)fd;
    (void)what;
    struct signer_process *process = context;
    struct engine_call *calls = process->first;
    process->first = NULL;
    process->last = &process->first;
    process->queued = 0;
    calls = hold_back(process, calls);
    if (calls != NULL)
        run_calls(process, calls);
    if (process->held != NULL)
        let_go(process);
}

static void tick(evutil_socket_t fd, short what, void *context) {
    (void)fd;
    (void)what;
    struct signer_process *process = context;
    if (!engine_tick(process->engine)) {
        process->has_failed = true;
        event_base_loopbreak(process->base);
        return;
    }
    if (process->held != NULL)
        let_go(process);
    const struct timeval pause = {.tv_usec = engine_tick_ms(process->engine) * 1000};
    event_add(process->on_tick, &pause);
}

static bool queue_call(struct client *client, struct evbuffer *in, size_t length) {
    struct signer_process *process = client->process;
    struct arena *arena = arena_new(CALL_ARENA_BYTES);
    struct engine_call *call = arena == NULL ? NULL : arena_alloc(arena, sizeof *call);
    uint8_t *frame = call == NULL ? NULL : arena_alloc(arena, length);
    if (frame == NULL) {
        arena_free(arena);
        return false;
    }
    evbuffer_drain(in, 4);
    evbuffer_remove(in, frame, length);
    struct wire_reader reader = {.arena = arena, .rest = {frame, length}};
    *call = (struct engine_call){.arena = arena, .client = client};
    call->id = wire_get_u64(&reader);
    call->type = wire_get_u8(&reader);
    call->fields = reader.rest;
    *process->last = call;
    process->last = &call->next;
    process->queued++;
    return true;
}

static void on_bytes(struct bufferevent *connection, void *context) {
    struct client *client = context;
    struct signer_process *process = client->process;
    struct evbuffer *in = bufferevent_get_input(connection);
    uint8_t head[4];
    while (evbuffer_copyout(in, head, 4) == 4) {
        size_t length = (size_t)head[0] << 24 | (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3];
        if (length < FRAME_HEAD - 4 || length > SIGNER_FRAME_MAX) {
            log_event(LOG_LEVEL_ERROR, "a worker sent a frame of impossible length", NULL);
            drop_client(client);
            return;
        }
        if (evbuffer_get_length(in) < 4 + length)
            break;
        if (!queue_call(client, in, length)) {
            drop_client(client);
            return;
        }
    }
    if (process->queued >= BATCH_MAX)
        run_batch(-1, 0, process);
    else if (process->queued > 0)
        event_active(process->on_batch, EV_TIMEOUT, 0);
}

static void on_client_event(struct bufferevent *connection, short what, void *context) {
    (void)connection;
    if ((what & (BEV_EVENT_EOF | BEV_EVENT_ERROR)) != 0)
        drop_client(context);
}

static bool is_allowed_peer(const struct signer_process *process, int fd) {
    struct ucred peer = {.uid = (uid_t)-1};
    socklen_t length = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0)
        return false;
    const struct passwd *user = process->config->user == NULL ? NULL : getpwnam(process->config->user);
    return peer.uid == geteuid() || (user != NULL && peer.uid == user->pw_uid);
}

static void accept_client(evutil_socket_t listener, short what, void *context) {
    (void)what;
    struct signer_process *process = context;
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return;
    struct client *client = is_allowed_peer(process, fd) ? calloc(1, sizeof *client) : NULL;
    if (client == NULL) {
        log_event(LOG_LEVEL_ERROR, "a connection to the signer was refused", NULL);
        close(fd);
        return;
    }
    client->process = process;
    client->connection = bufferevent_socket_new(process->base, fd, BEV_OPT_CLOSE_ON_FREE);
    if (client->connection == NULL) {
        close(fd);
        free(client);
        return;
    }
    TAILQ_INSERT_TAIL(&process->clients, client, entry);
    bufferevent_priority_set(client->connection, 0);
    bufferevent_setcb(client->connection, on_bytes, NULL, on_client_event, client);
    bufferevent_enable(client->connection, EV_READ | EV_WRITE);
}

/* What is queued is finished; what comes later waits in the sockets for the next signer. */
static void stop(evutil_socket_t fd, short what, void *context) {
    (void)fd;
    (void)what;
    struct signer_process *process = context;
    if (process->is_stopping)
        return;
    process->is_stopping = true;
    event_del(process->on_client);
    run_batch(-1, 0, process);
    end_process(process);
}

static void reopen_log(evutil_socket_t fd, short what, void *context) {
    (void)fd;
    (void)what;
    struct signer_process *process = context;
    struct error error;
    if (process->config->log_file != NULL && !log_open_file(process->config->log_file, &error))
        log_event(LOG_LEVEL_ERROR, "cannot reopen the log", "reason", error.message, NULL);
}

static bool set_up(struct signer_process *process, int listen_fd) {
    process->base = event_base_new();
    if (process->base == NULL || event_base_priority_init(process->base, 2) != 0)
        return false;
    process->on_client = event_new(process->base, listen_fd, EV_READ | EV_PERSIST, accept_client, process);
    process->on_batch = evtimer_new(process->base, run_batch, process);
    process->on_tick = evtimer_new(process->base, tick, process);
    process->on_term = evsignal_new(process->base, SIGTERM, stop, process);
    process->on_usr1 = evsignal_new(process->base, SIGUSR1, reopen_log, process);
    if (process->on_client == NULL || process->on_batch == NULL || process->on_tick == NULL ||
        process->on_term == NULL || process->on_usr1 == NULL)
        return false;
    event_priority_set(process->on_client, 0);
    event_priority_set(process->on_batch, 1);
    event_active(process->on_tick, EV_TIMEOUT, 0);
    return event_add(process->on_client, NULL) == 0 && event_add(process->on_term, NULL) == 0 &&
           event_add(process->on_usr1, NULL) == 0;
}

static void tear_down(struct signer_process *process) {
    for (struct client *client; (client = TAILQ_FIRST(&process->clients)) != NULL;)
        drop_client(client);
    free_calls(process->first);
    free_calls(process->held);
    struct event *const events[] = {process->on_client, process->on_batch, process->on_tick, process->on_term,
                                    process->on_usr1};
    for (size_t i = 0; i < sizeof events / sizeof events[0]; i++)
        if (events[i] != NULL)
            event_free(events[i]);
    if (process->base != NULL)
        event_base_free(process->base);
    engine_free(process->engine);
}

int signer_main(const struct config *config, int listen_fd, struct metrics *metrics) {
    struct signer_process process = {.config = config};
    struct error error = {.message = "out of memory"};
    process.last = &process.first;
    process.held_last = &process.held;
    TAILQ_INIT(&process.clients);
    process.engine = engine_new(config, metrics, &error);
    bool is_up = process.engine != NULL && set_up(&process, listen_fd);
    if (is_up)
        event_base_dispatch(process.base);
    else
        log_event(LOG_LEVEL_ERROR, "the signer cannot start", "reason", error.message, NULL);
    tear_down(&process);
    return is_up && !process.has_failed ? 0 : 1;
}
