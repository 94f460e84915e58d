/* One question to a recursive resolver: UDP with a fresh socket, port, id and random letter case for each
 * attempt, TCP where the answer is cut or strangers answer. */
#pragma once

#include <sys/queue.h>

#include "../dnscheck/packet.h"
#include "originca/config.h"
#include "resolver.h"

struct resolver_query;
TAILQ_HEAD(resolver_queries, resolver_query);

struct resolver {
    struct event_base *base;
    struct config_address address;
    struct resolver_settings settings;
    struct resolver_queries waiting;
    uint32_t in_flight;
    TAILQ_HEAD(, resolver_job) jobs;
};

/* `message` NULL: no usable answer, `failure` says why. Runs from the loop. The query frees itself after. */
typedef void resolver_answer(void *context, const struct dns_message *message, const char *failure);

struct resolver_query {
    TAILQ_ENTRY(resolver_query) entry;      /* of its job */
    TAILQ_ENTRY(resolver_query) wait_entry; /* of the resolver's queue */
    struct resolver *resolver;
    struct resolver_queries *owner;
    struct arena *arena; /* messages live there */
    const char *name;
    uint16_t type;
    resolver_answer *answer;
    void *context;
    unsigned attempts, mismatches;
    bool is_waiting, is_tcp, is_sent;
    int fd;
    struct event *event;
    int64_t until_ms;
    uint8_t wire[DNS_QUERY_MAX + 2];
    size_t wire_length;
    uint8_t *stream;
    size_t stream_length;
    const char *failure;
};

/* `name` must outlive the query. */
bool resolver_ask(struct resolver *resolver, struct resolver_queries *owner, struct arena *arena,
                  const char *name, uint16_t type, resolver_answer *answer, void *context) MUST_CHECK;
void resolver_forget_all(struct resolver_queries *owner);
