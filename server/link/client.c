/* A connection to each worker, with the questions that wait for its answers. */
#include "internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>

#include "originca/log.h"

#define RECONNECT_FIRST_MS 20
#define RECONNECT_LAST_MS 1000
#define DISTRUST_MS 1000    /* how long nothing is asked of who broke the protocol */
#define SILENT_FOR_MS 10000 /* others are preferred so long to who left a question unanswered */
#define REPLY_MEMORY (64u * 1024 * 1024)

static void set_timer(struct event *timer, uint32_t after_ms) {
    const struct timeval delay = {.tv_sec = after_ms / 1000, .tv_usec = after_ms % 1000 * 1000};
    event_add(timer, &delay);
}

static void remove_call(struct link_call *call) {
    TAILQ_REMOVE(&call->peer->calls, call, entry);
    call->peer->call_count--;
    call->peer = NULL;
}

/* Those that were sent: their outcome is not known. The others wait for the next connection. */
static void lose_sent(struct link_peer *peer) {
    TAILQ_HEAD(, link_call) lost = TAILQ_HEAD_INITIALIZER(lost);
    for (struct link_call *call = TAILQ_FIRST(&peer->calls), *next; call != NULL; call = next) {
        next = TAILQ_NEXT(call, entry);
        if (call->sent_ms == 0)
            continue;
        remove_call(call);
        TAILQ_INSERT_TAIL(&lost, call, entry);
    }
    for (struct link_call *call; (call = TAILQ_FIRST(&lost)) != NULL;) {
        TAILQ_REMOVE(&lost, call, entry);
        call->replied(call, NULL);
    }
}

static void drop_connection(struct link_peer *peer, uint32_t pause_ms) {
    if (peer->connection != NULL)
        bufferevent_free(peer->connection);
    peer->connection = NULL;
    peer->is_connected = peer->is_proven = false;
    peer->owed = 0;
    set_timer(peer->reconnect, pause_ms);
    lose_sent(peer);
}

static void distrust(struct link_peer *peer, const char *why) {
    char slot[16];
    snprintf(slot, sizeof slot, "%u", peer->slot);
    log_event(LOG_LEVEL_WARNING, "the connection to a worker is given up", "worker", slot, "reason", why,
              NULL);
    peer->failed_ms = clock_monotonic_ms();
    drop_connection(peer, DISTRUST_MS);
}

static void send_call(struct link_peer *peer, struct link_call *call) {
    struct evbuffer *out = bufferevent_get_output(peer->connection);
    call->sent_ms = clock_monotonic_ms();
    /* What cannot be written stays unanswered, until its time is over. */
    if (link_frame_put(out, call->write(call), peer->link->config->worker_answer_max_bytes))
        peer->owed++;
    else
        log_event(LOG_LEVEL_ERROR, "a question to a worker cannot be written", "reason",
                  "out of memory or too long", NULL);
}

static void send_waiting(struct link_peer *peer) {
    struct link_call *call;
    TAILQ_FOREACH(call, &peer->calls, entry) {
        if (call->sent_ms == 0)
            send_call(peer, call);
    }
}

static struct link_call *find_call(struct link_peer *peer, uint64_t id) {
    struct link_call *call;
    TAILQ_FOREACH(call, &peer->calls, entry) {
        if (call->id == id && call->sent_ms != 0)
            return call;
    }
    return NULL; /* nobody waits for it any more */
}

static void take_reply(struct link_peer *peer, struct bytes payload) {
    struct error error;
    uint64_t id;
    if (peer->owed == 0) {
        distrust(peer, "it answers what nobody asked");
        return;
    }
    struct arena *scratch = arena_new(REPLY_MEMORY);
    const json_t *root = scratch == NULL ? NULL : link_parse(scratch, payload, &id, &error);
    if (root == NULL || id == 0) {
        distrust(peer, scratch == NULL ? "out of memory"
                       : root == NULL  ? error.message
                                       : "an answer without an id");
    } else {
        peer->owed--;
        peer->is_proven = true;
        peer->heard_ms = clock_monotonic_ms();
        struct link_call *call = find_call(peer, id);
        if (call != NULL) {
            remove_call(call);
            call->replied(call, root);
        }
    }
    arena_free(scratch);
}

static void on_bytes(struct bufferevent *connection, void *context) {
    struct link_peer *peer = context;
    struct bytes payload;
    while (peer->connection == connection) {
        enum link_frame outcome = link_frame_take(bufferevent_get_input(connection),
                                                  peer->link->config->worker_answer_max_bytes, &payload);
        if (outcome == LINK_FRAME_BROKEN)
            distrust(peer, "a frame of impossible length");
        if (outcome != LINK_FRAME_WHOLE)
            return;
        take_reply(peer, payload);
        free((void *)payload.data);
    }
}

static void on_event(struct bufferevent *connection, short what, void *context) {
    (void)connection;
    struct link_peer *peer = context;
    if ((what & BEV_EVENT_CONNECTED) != 0) {
        peer->is_connected = true;
        peer->connected_ms = clock_monotonic_ms();
        link_ask(peer, &peer->hello);
        send_waiting(peer);
    } else if ((what & (BEV_EVENT_EOF | BEV_EVENT_ERROR | BEV_EVENT_TIMEOUT)) != 0) {
        bool was_steady =
            peer->is_connected && clock_monotonic_ms() - peer->connected_ms >= RECONNECT_LAST_MS;
        uint32_t pause = was_steady ? RECONNECT_FIRST_MS : peer->pause_ms;
        peer->pause_ms = pause * 2 < RECONNECT_LAST_MS ? pause * 2 : RECONNECT_LAST_MS;
        drop_connection(peer, pause);
    }
}

static void connect_now(evutil_socket_t fd, short what, void *context) {
    (void)fd;
    (void)what;
    struct link_peer *peer = context;
    if (peer->connection != NULL)
        return;
    peer->connection = bufferevent_socket_new(peer->link->base, -1, BEV_OPT_CLOSE_ON_FREE);
    if (peer->connection == NULL) {
        set_timer(peer->reconnect, RECONNECT_LAST_MS);
        return;
    }
    bufferevent_setcb(peer->connection, on_bytes, NULL, on_event, peer);
    /* No more is read ahead than one answer. */
    bufferevent_setwatermark(peer->connection, EV_READ, 0,
                             (size_t)peer->link->config->worker_answer_max_bytes + 4);
    bufferevent_enable(peer->connection, EV_READ | EV_WRITE);
    if (bufferevent_socket_connect(peer->connection, (struct sockaddr *)&peer->address,
                                   sizeof peer->address) != 0)
        drop_connection(peer, RECONNECT_LAST_MS);
}

void link_ask(struct link_peer *peer, struct link_call *call) {
    call->peer = call->asked = peer;
    call->id = ++peer->link->next_id;
    call->sent_ms = 0;
    TAILQ_INSERT_TAIL(&peer->calls, call, entry);
    peer->call_count++;
    if (peer->is_connected)
        send_call(peer, call);
}

void link_forget(struct link_call *call, bool is_late) {
    struct link_peer *peer = call->peer;
    if (peer == NULL)
        return;
    bool is_silent = call->sent_ms != 0 && peer->heard_ms < call->sent_ms;
    remove_call(call);
    if (is_late && is_silent)
        distrust(peer, "it is silent");
}

static bool is_better(const struct link_peer *a, const struct link_peer *b, int64_t now) {
    bool is_a_good = a->failed_ms == 0 || now - a->failed_ms > SILENT_FOR_MS;
    bool is_b_good = b->failed_ms == 0 || now - b->failed_ms > SILENT_FOR_MS;
    if (is_a_good != is_b_good)
        return is_a_good;
    if (a->is_proven != b->is_proven)
        return a->is_proven;
    return a->call_count < b->call_count;
}

struct link_peer *link_choose(struct worker_link *link, const struct link_peer *except) {
    int64_t now = clock_monotonic_ms();
    struct link_peer *best = NULL;
    link->turn++;
    for (size_t i = 0; i < link->count; i++) {
        struct link_peer *peer = &link->peers[(link->turn + i) % link->count];
        if (peer != except && (best == NULL || is_better(peer, best, now)))
            best = peer;
    }
    return best != NULL ? best : &link->peers[0];
}

static json_t *write_hello(const struct link_call *call) {
    return link_write_question(call->id, "publish");
}

static void note_hello(struct link_call *call, const json_t *reply) {
    (void)call, (void)reply; /* that there is a reply says it all */
}

static bool set_up_peer(struct worker_link *link, unsigned slot) {
    struct link_peer *peer = &link->peers[slot];
    *peer = (struct link_peer){.link = link, .slot = slot, .pause_ms = RECONNECT_FIRST_MS};
    TAILQ_INIT(&peer->calls);
    peer->hello = (struct link_call){.write = write_hello, .replied = note_hello};
    peer->address.sun_family = AF_UNIX;
    int length = snprintf(peer->address.sun_path, sizeof peer->address.sun_path, "%s/worker-%u.sock",
                          link->config->run_directory, slot);
    peer->reconnect = evtimer_new(link->base, connect_now, peer);
    if (length < 0 || (size_t)length >= sizeof peer->address.sun_path || peer->reconnect == NULL)
        return false;
    event_active(peer->reconnect, EV_TIMEOUT, 0);
    return true;
}

struct worker_link *worker_link_new(struct event_base *base, const struct config *config,
                                    struct error *error) {
    struct worker_link *link = calloc(1, sizeof *link);
    error_set(error, ERROR_INTERNAL, "out of memory");
    if (link == NULL)
        return NULL;
    link->base = base;
    link->config = config;
    TAILQ_INIT(&link->checks);
    TAILQ_INIT(&link->gathers);
    link->peers = calloc(config->workers, sizeof *link->peers);
    for (unsigned slot = 0; link->peers != NULL && slot < config->workers; slot++) {
        link->count++;
        if (!set_up_peer(link, slot)) {
            worker_link_free(link);
            return NULL;
        }
    }
    if (link->count > 0)
        return link;
    worker_link_free(link);
    return NULL;
}

void worker_link_free(struct worker_link *link) {
    if (link == NULL)
        return;
    link_checks_free(link);
    link_gathers_free(link);
    for (size_t i = 0; i < link->count; i++) {
        struct link_peer *peer = &link->peers[i];
        if (peer->connection != NULL)
            bufferevent_free(peer->connection);
        if (peer->reconnect != NULL)
            event_free(peer->reconnect);
    }
    free(link->peers);
    free(link);
}
