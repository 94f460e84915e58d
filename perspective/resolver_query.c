#include "resolver_query.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>

#define MISMATCHES_MAX 3 /* then TCP: somebody is guessing */
#define MESSAGE_MAX 65535
#define RECURSION_DESIRED 0x01

static void on_socket(evutil_socket_t fd, short what, void *context);
static void next_attempt(struct resolver_query *query);

static void end_attempt(struct resolver_query *query) {
    if (query->event != NULL)
        event_free(query->event);
    if (query->fd >= 0)
        close(query->fd);
    free(query->stream);
    query->event = NULL;
    query->fd = -1;
    query->stream = NULL;
    query->stream_length = 0;
}

static void start_waiting_ones(struct resolver *resolver) {
    while (resolver->in_flight < resolver->settings.max_in_flight && !TAILQ_EMPTY(&resolver->waiting)) {
        struct resolver_query *query = TAILQ_FIRST(&resolver->waiting);
        TAILQ_REMOVE(&resolver->waiting, query, wait_entry);
        query->is_waiting = false;
        resolver->in_flight++;
        next_attempt(query);
    }
}

static void leave(struct resolver_query *query) {
    struct resolver *resolver = query->resolver;
    end_attempt(query);
    TAILQ_REMOVE(query->owner, query, entry);
    if (query->is_waiting)
        TAILQ_REMOVE(&resolver->waiting, query, wait_entry);
    else
        resolver->in_flight--;
    free(query);
}

static void finish(struct resolver_query *query, const struct dns_message *message, const char *failure) {
    struct resolver *resolver = query->resolver;
    resolver_answer *answer = query->answer;
    void *context = query->context;
    leave(query);
    start_waiting_ones(resolver);
    answer(context, message, failure);
}

static bool wait_for(struct resolver_query *query, short what) {
    int64_t left = query->until_ms - clock_monotonic_ms();
    if (left < 1)
        left = 1;
    const struct timeval delay = {.tv_sec = left / 1000, .tv_usec = left % 1000 * 1000};
    if (query->event != NULL)
        event_free(query->event);
    query->event = event_new(query->resolver->base, query->fd, what, on_socket, query);
    return query->event != NULL && event_add(query->event, &delay) == 0;
}

static bool start_attempt(struct resolver_query *query, bool is_tcp) {
    const struct config_address *address = &query->resolver->address;
    uint16_t id;
    end_attempt(query);
    query->is_tcp = is_tcp;
    query->is_sent = false;
    query->mismatches = 0;
    query->until_ms = clock_monotonic_ms() + query->resolver->settings.query_timeout_ms;
    random_bytes(&id, sizeof id);
    query->wire_length = dns_build_query(query->wire + 2, id, query->name, query->type, true, false);
    if (query->wire_length == 0)
        return false;
    query->wire[2 + 2] |= RECURSION_DESIRED;
    query->wire[0] = (uint8_t)(query->wire_length >> 8);
    query->wire[1] = (uint8_t)query->wire_length;
    query->fd = socket(address->address.ss_family,
                       (is_tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (query->fd < 0 ||
        (connect(query->fd, (const struct sockaddr *)&address->address, address->length) != 0 &&
         errno != EINPROGRESS))
        return false;
    if (is_tcp)
        return wait_for(query, EV_WRITE);
    return send(query->fd, query->wire + 2, query->wire_length, 0) == (ssize_t)query->wire_length &&
           wait_for(query, EV_READ);
}

static void fail_later(evutil_socket_t fd, short what, void *context) {
    (void)fd;
    (void)what;
    struct resolver_query *query = context;
    finish(query, NULL, query->failure);
}

/* From the loop, because the asker may be in the middle of asking more. */
static void give_up(struct resolver_query *query) {
    end_attempt(query);
    query->event = evtimer_new(query->resolver->base, fail_later, query);
    if (query->event != NULL)
        event_active(query->event, EV_TIMEOUT, 0); /* else the caller's deadline ends it */
}

static void next_attempt(struct resolver_query *query) {
    while (query->attempts < query->resolver->settings.tries) {
        query->attempts++;
        if (start_attempt(query, false))
            return;
        query->failure = "unreachable";
    }
    give_up(query);
}

static void fail_attempt(struct resolver_query *query, const char *failure) {
    query->failure = failure;
    next_attempt(query);
}

static void retry_over_tcp(struct resolver_query *query, const char *why) {
    query->failure = why;
    if (!start_attempt(query, true))
        next_attempt(query);
}

static void take_answer(struct resolver_query *query, const uint8_t *wire, size_t length) {
    const struct dns_message *message = dns_parse(query->arena, wire, length);
    if (message == NULL)
        fail_attempt(query, "malformed answer");
    else if (message->is_truncated && !query->is_tcp)
        retry_over_tcp(query, "truncated");
    else if (message->is_truncated)
        fail_attempt(query, "truncated, over TCP too");
    else if (message->rcode == DNS_NOERROR || message->rcode == DNS_NXDOMAIN)
        finish(query, message, NULL);
    else
        fail_attempt(query, message->rcode == DNS_SERVFAIL  ? "servfail"
                            : message->rcode == DNS_REFUSED ? "refused"
                                                            : "error answer");
}

static void read_datagram(struct resolver_query *query) {
    uint8_t wire[4096];
    ssize_t length = recv(query->fd, wire, sizeof wire, 0);
    if (length < 0 && (errno == EAGAIN || errno == EINTR)) {
        if (!wait_for(query, EV_READ))
            fail_attempt(query, "out of memory");
    } else if (length < 0) {
        fail_attempt(query, errno == ECONNREFUSED ? "nothing listens there" : "unreachable");
    } else if (dns_matches(query->wire + 2, query->wire_length, wire, (size_t)length, false)) {
        take_answer(query, wire, (size_t)length);
    } else if (++query->mismatches >= MISMATCHES_MAX) {
        retry_over_tcp(query, "answers that do not match the question");
    } else if (!wait_for(query, EV_READ)) { /* the deadline stays where it was */
        fail_attempt(query, "out of memory");
    }
}

static void read_stream(struct resolver_query *query) {
    if (query->stream == NULL && (query->stream = malloc(MESSAGE_MAX + 2)) == NULL) {
        fail_attempt(query, "out of memory");
        return;
    }
    ssize_t got =
        recv(query->fd, query->stream + query->stream_length, MESSAGE_MAX + 2 - query->stream_length, 0);
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) {
        fail_attempt(query, "the TCP connection broke");
        return;
    }
    query->stream_length += got < 0 ? 0 : (size_t)got;
    size_t length = query->stream_length < 2 ? 0 : (size_t)query->stream[0] << 8 | query->stream[1];
    if (query->stream_length < 2 || query->stream_length < length + 2) {
        if (!wait_for(query, EV_READ))
            fail_attempt(query, "out of memory");
    } else if (dns_matches(query->wire + 2, query->wire_length, query->stream + 2, length, true)) {
        take_answer(query, query->stream + 2, length);
    } else {
        fail_attempt(query, "an answer that does not match the question");
    }
}

static void write_stream(struct resolver_query *query) {
    ssize_t sent = send(query->fd, query->wire, query->wire_length + 2, MSG_NOSIGNAL);
    query->is_sent = sent == (ssize_t)query->wire_length + 2;
    if (!query->is_sent || !wait_for(query, EV_READ))
        fail_attempt(query, "the TCP connection was refused");
}

static void on_socket(evutil_socket_t fd, short what, void *context) {
    (void)fd;
    struct resolver_query *query = context;
    if ((what & EV_TIMEOUT) != 0)
        fail_attempt(query, "timeout");
    else if (!query->is_tcp)
        read_datagram(query);
    else if (!query->is_sent)
        write_stream(query);
    else
        read_stream(query);
}

bool resolver_ask(struct resolver *resolver, struct resolver_queries *owner, struct arena *arena,
                  const char *name, uint16_t type, resolver_answer *answer, void *context) {
    struct resolver_query *query = calloc(1, sizeof *query);
    if (query == NULL)
        return false;
    *query = (struct resolver_query){.resolver = resolver,
                                     .owner = owner,
                                     .arena = arena,
                                     .name = name,
                                     .type = type,
                                     .answer = answer,
                                     .context = context,
                                     .fd = -1,
                                     .is_waiting = true};
    TAILQ_INSERT_TAIL(owner, query, entry);
    TAILQ_INSERT_TAIL(&resolver->waiting, query, wait_entry);
    start_waiting_ones(resolver);
    return true;
}

/* Others start only when all of these are gone: they must not be started and forgotten in turn. */
void resolver_forget_all(struct resolver_queries *owner) {
    struct resolver *resolver = NULL;
    for (struct resolver_query *query; (query = TAILQ_FIRST(owner)) != NULL;) {
        resolver = query->resolver;
        leave(query);
    }
    if (resolver != NULL)
        start_waiting_ones(resolver);
}
