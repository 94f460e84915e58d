/* The proxy: a listener on a unix socket, and a pair of bufferevents a connection. */
#include "proxy.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/listener.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct passage {
    struct proxy *proxy;
    struct bufferevent *store, *redis;
    struct passage *next;
};

struct proxy {
    struct fixture *fixture;
    struct evconnlistener *listener;
    struct passage *passages;
    enum proxy_mode mode;
    const void *bytes;
    size_t length;
    unsigned connections, dice;
    char path[96];
};

static struct sockaddr_un unix_address(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strncpy(address.sun_path, path, sizeof address.sun_path - 1);
    return address;
}

static void from_store(struct bufferevent *stream, void *context) {
    struct passage *passage = context;
    struct proxy *proxy = passage->proxy;
    struct evbuffer *in = bufferevent_get_input(stream);
    if (proxy->mode == PROXY_PASS || proxy->mode == PROXY_MUTATE) {
        bufferevent_write_buffer(passage->redis, in);
        return;
    }
    evbuffer_drain(in, evbuffer_get_length(in));
    if (proxy->mode == PROXY_ANSWER)
        bufferevent_write(stream, proxy->bytes, proxy->length);
}

static void from_redis(struct bufferevent *stream, void *context) {
    struct passage *passage = context;
    struct proxy *proxy = passage->proxy;
    struct evbuffer *in = bufferevent_get_input(stream);
    size_t length = evbuffer_get_length(in);
    unsigned char *bytes = evbuffer_pullup(in, -1);
    for (int i = 0; proxy->mode == PROXY_MUTATE && i < 3; i++) {
        proxy->dice = proxy->dice * 1103515245u + 12345u;
        bytes[(proxy->dice >> 8) % length] = (unsigned char)(proxy->dice >> 16);
    }
    bufferevent_write_buffer(passage->store, in);
}

static void on_end(struct bufferevent *stream, short what, void *context) {
    struct passage *passage = context;
    (void)stream;
    if ((what & (BEV_EVENT_EOF | BEV_EVENT_ERROR)) == 0)
        return;
    bufferevent_disable(passage->redis, EV_READ | EV_WRITE);
    bufferevent_disable(passage->store, EV_READ | EV_WRITE);
    shutdown(bufferevent_getfd(passage->store), SHUT_RDWR);
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *address,
                      int length, void *context) {
    (void)listener;
    (void)address;
    (void)length;
    struct proxy *proxy = context;
    struct sockaddr_un target = unix_address(proxy->fixture->server.socket);
    struct passage *passage = calloc(1, sizeof *passage);
    passage->proxy = proxy;
    passage->next = proxy->passages;
    proxy->passages = passage;
    proxy->connections++;
    passage->store = bufferevent_socket_new(proxy->fixture->base, fd, BEV_OPT_CLOSE_ON_FREE);
    passage->redis = bufferevent_socket_new(proxy->fixture->base, -1, BEV_OPT_CLOSE_ON_FREE);
    bufferevent_setcb(passage->store, from_store, NULL, on_end, passage);
    bufferevent_setcb(passage->redis, from_redis, NULL, on_end, passage);
    bufferevent_enable(passage->store, EV_READ | EV_WRITE);
    bufferevent_enable(passage->redis, EV_READ | EV_WRITE);
    bufferevent_socket_connect(passage->redis, (struct sockaddr *)&target, sizeof target);
}

struct proxy *proxy_new(struct fixture *fixture, const char *path) {
    struct proxy *proxy = calloc(1, sizeof *proxy);
    struct sockaddr_un address = unix_address(path);
    proxy->fixture = fixture;
    proxy->dice = 42;
    strncpy(proxy->path, path, sizeof proxy->path - 1);
    unlink(path);
    proxy->listener = evconnlistener_new_bind(fixture->base, on_accept, proxy, LEV_OPT_CLOSE_ON_FREE, 16,
                                              (struct sockaddr *)&address, sizeof address);
    assert_non_null(proxy->listener);
    return proxy;
}

void proxy_free(struct proxy *proxy) {
    for (struct passage *passage = proxy->passages, *next; passage != NULL; passage = next) {
        next = passage->next;
        bufferevent_free(passage->store);
        bufferevent_free(passage->redis);
        free(passage);
    }
    evconnlistener_free(proxy->listener);
    unlink(proxy->path);
    free(proxy);
}

void proxy_set(struct proxy *proxy, enum proxy_mode mode, const void *bytes, size_t length) {
    proxy->mode = mode;
    proxy->bytes = bytes;
    proxy->length = length;
}

unsigned proxy_connections(const struct proxy *proxy) {
    return proxy->connections;
}
