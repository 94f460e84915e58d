/* The store as a whole: its links, its readiness, and where a call goes. Calls that cannot be sent are
 * refused at once, but their completion too runs from the loop. */
#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "link.h"
#include "originca/log.h"
#include "watch.h"

struct store {
    struct event_base *base;
    const struct config *config;
    struct store_redis_address address;
    struct link *links[2]; /* [1] for commits, where these wait for replicas */
    size_t link_count;
    struct store_counters counters;
    void (*changed)(void *context, bool is_ready, const char *reason);
    void *changed_context;
    bool was_ready, is_closing;
    struct event *refused_event;
    struct store_call *refused; /* to be completed from the loop */
    struct store_call **refused_end;
    struct watch *watch;
};

struct event_base *store_base(const struct store *store) {
    return store->base;
}

const struct config *store_config(const struct store *store) {
    return store->config;
}

const struct store_redis_address *store_address(const struct store *store) {
    return &store->address;
}

struct store_counters *store_edit_counters(struct store *store) {
    return &store->counters;
}

static bool set_unix_address(struct store_redis_address *address, const char *path, struct error *error) {
    struct sockaddr_un *name = (struct sockaddr_un *)&address->address;
    if (strlen(path) >= sizeof name->sun_path)
        return error_set(error, ERROR_INVALID, "redis_socket is longer than a socket's path may be: %s",
                         path);
    name->sun_family = AF_UNIX;
    memcpy(name->sun_path, path, strlen(path) + 1);
    address->length = sizeof *name;
    return true;
}

/* At start only: nothing may block later. */
static bool set_host_address(struct store_redis_address *address, const char *host, uint32_t port,
                             struct error *error) {
    char service[8];
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *list = NULL;
    snprintf(service, sizeof service, "%u", (unsigned)port);
    int failure = getaddrinfo(host, service, &hints, &list);
    if (failure != 0)
        return error_set(error, ERROR_UNAVAILABLE, "redis_host %s has no address: %s", host,
                         gai_strerror(failure));
    memcpy(&address->address, list->ai_addr, list->ai_addrlen);
    address->length = list->ai_addrlen;
    freeaddrinfo(list);
    return true;
}

static void complete_refused(evutil_socket_t fd, short what, void *context) {
    (void)fd;
    (void)what;
    struct store *store = context;
    struct store_call *list = store->refused;
    store->refused = NULL;
    store->refused_end = &store->refused;
    for (struct store_call *next; list != NULL; list = next) {
        next = list->next;
        struct error error = list->outcome;
        call_complete(list, &error);
    }
}

void store_complete_later(struct store *store, struct store_call *call, const struct error *error) {
    call->outcome = *error;
    call->next = NULL;
    *store->refused_end = call;
    store->refused_end = &call->next;
    store->counters.errors++;
    event_active(store->refused_event, EV_TIMEOUT, 0);
}

struct store *store_new(struct event_base *base, const struct config *config, struct error *error) {
    struct store *store = calloc(1, sizeof *store);
    if (store == NULL) {
        error_set(error, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    *store = (struct store){.base = base, .config = config, .refused_end = &store->refused};
    store->refused_event = evtimer_new(base, complete_refused, store);
    bool has_address = config->redis_socket != NULL
                           ? set_unix_address(&store->address, config->redis_socket, error)
                           : set_host_address(&store->address, config->redis_host, config->redis_port, error);
    size_t wanted = config->redis_wait_replicas > 0 ? 2 : 1;
    while (has_address && store->link_count < wanted) {
        store->links[store->link_count] = link_new(store, store->link_count == 1, error);
        if (store->links[store->link_count] == NULL)
            break;
        store->link_count++;
    }
    store->watch = watch_new(store, error);
    if (store->refused_event == NULL || store->watch == NULL || store->link_count < wanted) {
        if (error != NULL && error->code == ERROR_NONE)
            error_set(error, ERROR_INTERNAL, "out of memory");
        store_free(store);
        return NULL;
    }
    return store;
}

void store_free(struct store *store) {
    if (store == NULL)
        return;
    store->is_closing = true;
    for (size_t i = 0; i < store->link_count; i++)
        link_free(store->links[i]);
    while (store->refused != NULL)
        complete_refused(-1, 0, store);
    if (store->refused_event != NULL)
        event_free(store->refused_event);
    watch_free(store->watch);
    free(store);
}

void store_leave(struct store *store, const char *reason) {
    for (size_t i = 0; i < store->link_count; i++)
        link_leave(store->links[i], reason);
}

bool store_is_ready(const struct store *store, const char **reason) {
    for (size_t i = 0; i < store->link_count; i++)
        if (!link_is_ready(store->links[i])) {
            if (reason != NULL)
                *reason = link_reason(store->links[i]);
            return false;
        }
    if (reason != NULL)
        *reason = "";
    return true;
}

void store_link_changed(struct store *store) {
    const char *reason = "";
    bool is_ready = store_is_ready(store, &reason) && store->link_count > 0;
    store->counters.is_connected = is_ready;
    if (is_ready == store->was_ready || store->is_closing)
        return;
    store->was_ready = is_ready;
    log_event(is_ready ? LOG_LEVEL_INFO : LOG_LEVEL_WARNING, is_ready ? "redis is ready" : "redis is away",
              "reason", is_ready ? NULL : reason, NULL);
    if (store->changed != NULL)
        store->changed(store->changed_context, is_ready, reason);
}

void store_on_ready(struct store *store, void (*changed)(void *context, bool is_ready, const char *reason),
                    void *context) {
    store->changed = changed;
    store->changed_context = context;
}

const struct store_counters *store_counters(const struct store *store) {
    return &store->counters;
}

void store_call_send(struct store *store, struct store_call *call) {
    const char *reason;
    char message[ERROR_MESSAGE_MAX];
    if (store->is_closing || !store_is_ready(store, &reason)) {
        snprintf(message, sizeof message, "Redis is not usable: %.400s",
                 store->is_closing ? "the program stops" : reason);
        call_refuse(call, ERROR_UNAVAILABLE, message);
        return;
    }
    struct link *link = store->links[call->is_durable ? store->link_count - 1 : 0];
    if (link_pending(link) >= store->config->redis_max_pending) {
        call_refuse(call, ERROR_UNAVAILABLE, "too many commands wait for Redis already (redis_max_pending)");
        return;
    }
    link_send(link, call);
}
