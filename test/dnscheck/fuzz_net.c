/* Events in three lists: all, active in order; timers are found by looking at each. */
#include "fuzz_net.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include <event2/event.h>

#define FIRST_FD 5000
#define MUST(condition)                                                                                      \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            fprintf(stderr, "does not hold: %s (%s line %d)\n", #condition, __func__, __LINE__);             \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)
/* The stage is not what is tested. */
#pragma clang attribute push(__attribute__((no_sanitize("coverage"))), apply_to = function)

struct event {
    TAILQ_ENTRY(event) entry, active_entry;
    int fd;
    short what, result; /* result 0: not active */
    void (*callback)(int, short, void *);
    void *context;
    bool is_added;
    int64_t due_ms; /* -1: no timeout */
};
TAILQ_HEAD(event_list, event);

struct fuzz_net fuzz_net;
static struct event_list all = TAILQ_HEAD_INITIALIZER(all), active = TAILQ_HEAD_INITIALIZER(active);

void fuzz_net_start(void) {
    for (size_t i = 0; i < FUZZ_SOCKETS_MAX; i++)
        fuzz_net.sockets[i].is_open = false;
    memset(fuzz_net.fails, 0, sizeof fuzz_net.fails);
    memset(fuzz_net.failed, 0, sizeof fuzz_net.failed);
    fuzz_net.now_ms = 1000000;
    fuzz_net.connects = fuzz_net.open_sockets = fuzz_net.read_tag = fuzz_net.sent = 0;
    MUST(TAILQ_EMPTY(&all) && TAILQ_EMPTY(&active));
}

static bool fails(enum fuzz_fault fault) {
    if (fuzz_net.fails[fault] == 0)
        return false;
    fuzz_net.fails[fault]--;
    fuzz_net.failed[fault]++;
    return true;
}

/* --- events --- */

static void activate(struct event *event, short what) {
    if (event->result == 0)
        TAILQ_INSERT_TAIL(&active, event, active_entry);
    event->result |= what;
}

static void deactivate(struct event *event) {
    if (event->result != 0)
        TAILQ_REMOVE(&active, event, active_entry);
    event->result = 0;
}

static struct event *event_of(int fd) {
    struct event *event;
    TAILQ_FOREACH(event, &all, entry)
    if (event->fd == fd && event->is_added)
        return event;
    return NULL;
}

bool fuzz_net_waits_for(int fd, short what) {
    const struct event *event = event_of(fd);
    return event != NULL && (event->what & what) != 0;
}

void fuzz_net_wake(int fd, short what) {
    struct event *event = event_of(fd);
    if (event != NULL && (event->what & what) != 0)
        activate(event, what);
}

bool fuzz_net_run_one(void) {
    struct event *event = TAILQ_FIRST(&active);
    if (event == NULL)
        return false;
    short result = event->result;
    deactivate(event);
    event->is_added = false;
    event->due_ms = -1;
    event->callback(event->fd, result, event->context);
    return true;
}

static struct event *earliest(void) {
    struct event *event, *first = NULL;
    TAILQ_FOREACH(event, &all, entry)
    if (event->due_ms >= 0 && (first == NULL || event->due_ms < first->due_ms))
        first = event;
    return first;
}

void fuzz_net_activate_timeouts(void) {
    for (struct event *event; (event = earliest()) != NULL && event->due_ms <= fuzz_net.now_ms;) {
        event->due_ms = -1;
        activate(event, EV_TIMEOUT);
    }
}

int64_t fuzz_net_next_timeout(void) {
    const struct event *event = earliest();
    return event == NULL ? -1 : event->due_ms;
}

size_t fuzz_net_events(void) {
    size_t count = 0;
    const struct event *event;
    TAILQ_FOREACH(event, &all, entry)
    count++;
    return count;
}

bool fuzz_net_will_run(const struct event *event) {
    return event->result != 0 || event->due_ms >= 0;
}

int64_t fuzz_net_due_ms(const struct event *event) {
    return event->due_ms;
}

struct event *fuzz_event_new(void *base, int fd, short what, void (*callback)(int, short, void *),
                             void *context) {
    (void)base;
    struct event *event = fails(FUZZ_EVENT_FAILS) ? NULL : calloc(1, sizeof *event);
    if (event == NULL)
        return NULL;
    MUST(fd < 0 || (fuzz_net_socket_of(fd) != NULL && event_of(fd) == NULL));
    event->fd = fd;
    event->what = what;
    event->callback = callback;
    event->context = context;
    event->due_ms = -1;
    TAILQ_INSERT_TAIL(&all, event, entry);
    return event;
}

int fuzz_event_add(struct event *event, const struct timeval *delay) {
    MUST(delay != NULL && delay->tv_sec >= 0 && delay->tv_usec >= 0 && delay->tv_usec < 1000000);
    event->is_added = true;
    event->due_ms = fuzz_net.now_ms + delay->tv_sec * 1000 + delay->tv_usec / 1000;
    return 0;
}

void fuzz_event_active(struct event *event, int what, short calls) {
    (void)calls;
    activate(event, (short)what);
}

void fuzz_event_free(struct event *event) {
    deactivate(event);
    TAILQ_REMOVE(&all, event, entry);
    free(event);
}

/* --- sockets --- */

struct fuzz_socket *fuzz_net_socket_of(int fd) {
    size_t index = (size_t)(fd - FIRST_FD);
    return fd < FIRST_FD || index >= FUZZ_SOCKETS_MAX || !fuzz_net.sockets[index].is_open
               ? NULL
               : &fuzz_net.sockets[index];
}

int fuzz_socket(int family, int type, int protocol) {
    MUST(family == AF_INET || family == AF_INET6);
    MUST(protocol == 0 && (type & SOCK_NONBLOCK) != 0 && (type & SOCK_CLOEXEC) != 0);
    errno = EMFILE;
    if (fails(FUZZ_SOCKET_FAILS))
        return -1;
    for (int i = 0; i < FUZZ_SOCKETS_MAX; i++) {
        struct fuzz_socket *each = &fuzz_net.sockets[i];
        if (each->is_open)
            continue;
        each->is_open = true;
        each->is_stream = (type & SOCK_STREAM) != 0;
        each->sent_length = each->length = each->at = each->allowed = 0;
        each->has_datagram = false;
        each->error = 0;
        each->tag = 0;
        memset(&each->peer, 0, sizeof each->peer);
        fuzz_net.open_sockets++;
        return FIRST_FD + i;
    }
    return -1;
}

int fuzz_connect(int fd, const struct sockaddr *address, socklen_t length) {
    struct fuzz_socket *each = fuzz_net_socket_of(fd);
    MUST(each != NULL && length <= sizeof each->peer && each->peer.any.sa_family == 0);
    memcpy(&each->peer, address, length);
    errno = ENETUNREACH;
    if (fails(FUZZ_CONNECT_FAILS))
        return -1;
    fuzz_net.connects++;
    errno = EINPROGRESS;
    return each->is_stream ? -1 : 0;
}

ssize_t fuzz_send(int fd, const void *bytes, size_t length, int flags) {
    struct fuzz_socket *each = fuzz_net_socket_of(fd);
    size_t head = each != NULL && each->is_stream ? 2 : 0;
    MUST(each != NULL && each->sent_length == 0 && length > head && length <= FUZZ_SENT_MAX);
    MUST(!each->is_stream || (flags & MSG_NOSIGNAL) != 0);
    errno = ECONNREFUSED;
    if (fails(FUZZ_SEND_FAILS))
        return -1;
    if (fails(FUZZ_SEND_IS_SHORT))
        return (ssize_t)length - 1;
    memcpy(each->sent, bytes, length);
    each->sent_length = length;
    MUST(head == 0 || ((size_t)each->sent[0] << 8 | each->sent[1]) == length - 2);
    memcpy(fuzz_net.latest[fuzz_net.sent % FUZZ_LATEST_SENT].wire, each->sent + head, length - head);
    fuzz_net.latest[fuzz_net.sent++ % FUZZ_LATEST_SENT].length = length - head;
    return (ssize_t)length;
}

static ssize_t read_datagram(struct fuzz_socket *each, void *out, size_t room) {
    if (!each->has_datagram)
        return -1;
    size_t length = each->length < room ? each->length : room;
    memcpy(out, each->incoming, length);
    each->has_datagram = false;
    fuzz_net.read_tag = each->tag;
    return (ssize_t)length;
}

static ssize_t read_stream(struct fuzz_socket *each, void *out, size_t room) {
    size_t length = each->length - each->at;
    length = length < each->allowed ? length : each->allowed;
    length = length < room ? length : room;
    if (length == 0)
        return -1;
    memcpy(out, each->incoming + each->at, length);
    each->at += length;
    each->allowed -= length;
    if (each->at == each->length)
        fuzz_net.read_tag = each->tag;
    return (ssize_t)length;
}

ssize_t fuzz_recv(int fd, void *out, size_t room, int flags) {
    struct fuzz_socket *each = fuzz_net_socket_of(fd);
    MUST(each != NULL && flags == 0);
    int error = each->error;
    each->error = 0;
    errno = error < 0 ? 0 : error;
    if (error != 0)
        return error < 0 ? 0 : -1; /* below zero: the other side closed */
    errno = EAGAIN;
    return each->is_stream ? read_stream(each, out, room) : read_datagram(each, out, room);
}

int fuzz_close(int fd) {
    struct fuzz_socket *each = fuzz_net_socket_of(fd);
    MUST(each != NULL && event_of(fd) == NULL);
    each->is_open = false;
    fuzz_net.open_sockets--;
    return 0;
}

void *fuzz_malloc(size_t size) {
    return fails(FUZZ_MALLOC_FAILS) ? NULL : malloc(size);
}

void *fuzz_calloc(size_t count, size_t size) {
    return fails(FUZZ_CALLOC_FAILS) ? NULL : calloc(count, size);
}
#pragma clang attribute pop
