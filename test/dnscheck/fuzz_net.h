/* An event loop and a network for the fuzz target of the transport. Time stands until the target moves it,
 * and a socket has what the target put there. The functions stand in for those of libevent and the kernel;
 * callbacks run in the order in which their events became active, as libevent runs them. */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/time.h>

#define FUZZ_SOCKETS_MAX 96
#define FUZZ_SENT_MAX 514
#define FUZZ_INCOMING_MAX 8192
#define FUZZ_LATEST_SENT 8

enum fuzz_fault { /* the next calls that fail */
                  FUZZ_SOCKET_FAILS,
                  FUZZ_CONNECT_FAILS,
                  FUZZ_SEND_FAILS,
                  FUZZ_SEND_IS_SHORT,
                  FUZZ_EVENT_FAILS, /* event_new */
                  FUZZ_MALLOC_FAILS,
                  FUZZ_CALLOC_FAILS,
                  FUZZ_FAULTS
};

struct event;
struct fuzz_socket {
    bool is_open, is_stream;
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } peer;
    uint8_t sent[FUZZ_SENT_MAX];
    size_t sent_length;
    uint8_t incoming[FUZZ_INCOMING_MAX];
    size_t length, at, allowed; /* a stream gives `allowed` bytes more */
    bool has_datagram;
    int error;    /* of the next recv; 0: none */
    unsigned tag; /* the target's, of what is incoming */
};

struct fuzz_net {
    int64_t now_ms;
    uint8_t fails[FUZZ_FAULTS];
    unsigned failed[FUZZ_FAULTS]; /* how often */
    unsigned connects, open_sockets;
    unsigned read_tag; /* of what was read to its end last; 0: nothing */
    struct fuzz_socket sockets[FUZZ_SOCKETS_MAX];
    struct { /* what was sent last, over any socket, without the length of TCP */
        uint8_t wire[FUZZ_SENT_MAX];
        size_t length;
    } latest[FUZZ_LATEST_SENT];
    unsigned sent;
};
extern struct fuzz_net fuzz_net;

void fuzz_net_start(void);
struct fuzz_socket *fuzz_net_socket_of(int fd); /* NULL: not open */
/* The socket's event becomes active, if it waits for that. */
void fuzz_net_wake(int fd, short what);
bool fuzz_net_run_one(void);           /* false: nothing is active */
void fuzz_net_activate_timeouts(void); /* those that are due */
int64_t fuzz_net_next_timeout(void);   /* -1: there is none */
size_t fuzz_net_events(void);          /* that exist */
bool fuzz_net_will_run(const struct event *event);
int64_t fuzz_net_due_ms(const struct event *event); /* -1: it has no timeout */
bool fuzz_net_waits_for(int fd, short what);

int fuzz_socket(int family, int type, int protocol);
int fuzz_connect(int fd, const struct sockaddr *address, socklen_t length);
ssize_t fuzz_send(int fd, const void *bytes, size_t length, int flags);
ssize_t fuzz_recv(int fd, void *out, size_t room, int flags);
int fuzz_close(int fd);
void *fuzz_malloc(size_t size);
void *fuzz_calloc(size_t count, size_t size);
struct event *fuzz_event_new(void *base, int fd, short what, void (*callback)(int, short, void *),
                             void *context);
int fuzz_event_add(struct event *event, const struct timeval *delay);
void fuzz_event_active(struct event *event, int what, short calls);
void fuzz_event_free(struct event *event);
