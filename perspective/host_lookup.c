#include "host_lookup.h"

#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct host_lookup {
    struct event *event;
    int fd;
    host_lookup_done *done;
    void *context;
};

struct task { /* the thread's own: the lookup may be cancelled before it ends */
    char host[256];
    uint16_t port;
    int fd;
};

static void *look_up(void *context) {
    struct task *task = context;
    struct host_address found[HOST_ADDRESSES_MAX];
    struct addrinfo *list = NULL, hints = {.ai_socktype = SOCK_STREAM};
    char port[8];
    size_t count = 0;
    memset(found, 0, sizeof found);
    snprintf(port, sizeof port, "%u", task->port);
    if (getaddrinfo(task->host, port, &hints, &list) == 0)
        for (struct addrinfo *each = list; each != NULL && count < HOST_ADDRESSES_MAX; each = each->ai_next)
            if (each->ai_addrlen <= sizeof found[0].address) {
                memcpy(&found[count].address, each->ai_addr, each->ai_addrlen);
                found[count++].length = each->ai_addrlen;
            }
    if (list != NULL)
        freeaddrinfo(list);
    /* One datagram; nobody may be there any more. */
    ssize_t sent = send(task->fd, found, count * sizeof found[0], MSG_NOSIGNAL);
    (void)sent;
    close(task->fd);
    free(task);
    return NULL;
}

static bool start_thread(struct task *task) {
    pthread_t thread;
    pthread_attr_t attributes;
    if (pthread_attr_init(&attributes) != 0)
        return false;
    bool is_started = pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED) == 0 &&
                      pthread_create(&thread, &attributes, look_up, task) == 0;
    pthread_attr_destroy(&attributes);
    return is_started;
}

static void on_found(evutil_socket_t fd, short what, void *context) {
    (void)what;
    struct host_lookup *lookup = context;
    struct host_address found[HOST_ADDRESSES_MAX];
    host_lookup_done *done = lookup->done;
    void *done_context = lookup->context;
    ssize_t got = recv(fd, found, sizeof found, 0);
    host_lookup_cancel(lookup);
    done(done_context, found, got < 0 ? 0 : (size_t)got / sizeof found[0]);
}

struct host_lookup *host_lookup_start(struct event_base *base, const char *host, uint16_t port,
                                      host_lookup_done *done, void *context) {
    int ends[2];
    struct host_lookup *lookup = calloc(1, sizeof *lookup);
    struct task *task = calloc(1, sizeof *task);
    if (lookup == NULL || task == NULL ||
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0) {
        free(lookup);
        free(task);
        return NULL;
    }
    snprintf(task->host, sizeof task->host, "%s", host);
    task->port = port;
    task->fd = ends[1];
    *lookup = (struct host_lookup){.fd = ends[0], .done = done, .context = context};
    lookup->event = event_new(base, lookup->fd, EV_READ, on_found, lookup);
    if (lookup->event == NULL || event_add(lookup->event, NULL) != 0 || !start_thread(task)) {
        close(ends[1]);
        free(task);
        host_lookup_cancel(lookup);
        return NULL;
    }
    return lookup;
}

void host_lookup_cancel(struct host_lookup *lookup) {
    if (lookup == NULL)
        return;
    if (lookup->event != NULL)
        event_free(lookup->event);
    close(lookup->fd);
    free(lookup);
}
