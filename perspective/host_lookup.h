/* Looking up a host's addresses without blocking the loop: getaddrinfo in a thread of its own. */
#pragma once

#include <event2/event.h>
#include <sys/socket.h>

#define HOST_ADDRESSES_MAX 8

struct host_address {
    struct sockaddr_storage address;
    socklen_t length;
};
struct host_lookup;
/* Once, from the loop; count 0: not found. */
typedef void host_lookup_done(void *context, const struct host_address *addresses, size_t count);
/* NULL: out of memory or threads. */
struct host_lookup *host_lookup_start(struct event_base *base, const char *host, uint16_t port,
                                      host_lookup_done *done, void *context);
void host_lookup_cancel(struct host_lookup *lookup);
