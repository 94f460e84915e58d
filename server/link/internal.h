/* The admin process's side: connections to the workers (client.c), checks (checks.c), questions to all of
 * them at once (gather.c). */
#pragma once

#include <sys/queue.h>
#include <sys/un.h>

#include <event2/bufferevent.h>

#include "message.h"

struct link_call;

/* `reply` or NULL: the connection broke after the question was sent. The call is forgotten by then; who owns
 * it may ask again from here. */
typedef void link_replied(struct link_call *call, const json_t *reply);

struct link_call { /* the asker's memory */
    TAILQ_ENTRY(link_call) entry;
    struct link_peer *peer;  /* NULL: not asked */
    struct link_peer *asked; /* the last one */
    uint64_t id;
    json_t *(*write)(const struct link_call *call); /* the question, when there is a connection */
    link_replied *replied;
    void *context;
    int64_t sent_ms; /* 0: waits for the connection */
};

struct link_peer { /* one worker */
    struct worker_link *link;
    unsigned slot;
    struct sockaddr_un address;
    struct bufferevent *connection;
    /* The supervisor's socket takes connections also while no worker accepts them: only a first answer proves
     * that one is there. */
    bool is_connected, is_proven;
    struct link_call hello;
    struct event *reconnect;
    uint32_t pause_ms;
    int64_t connected_ms;
    int64_t heard_ms, failed_ms; /* its last word; when it last left a question unanswered */
    size_t owed;                 /* questions sent and not answered, forgotten ones included */
    size_t call_count;
    TAILQ_HEAD(, link_call) calls;
};

struct worker_link {
    struct event_base *base;
    const struct config *config;
    struct link_peer *peers;
    size_t count;
    unsigned turn; /* of equally good workers, who is next */
    uint64_t next_id;
    size_t check_count;
    TAILQ_HEAD(, link_check) checks;
    TAILQ_HEAD(, link_gather) gathers;
};

/* Asks; completions come from the loop. */
void link_ask(struct link_peer *peer, struct link_call *call);
/* Forgets the call; `is_late`: its time is over, so the connection may be dead without a word. */
void link_forget(struct link_call *call, bool is_late);
/* The worker with the fewest questions open, one that answers before one that was silent; not `except`, where
 * there is another. */
struct link_peer *link_choose(struct worker_link *link, const struct link_peer *except);

void link_checks_free(struct worker_link *link);
void link_gathers_free(struct worker_link *link);
