/* What workers and the admin process have in common: the loop, signals, draining, saying when they serve. */
#pragma once

#include "worker_main.h"

#define SERVERS_MAX 64

struct link_service;

struct serving {
    struct worker worker; /* first: publish_metrics gets from it to the rest */
    char who[16];         /* "0", "1", ... or "admin", in the metrics */
    const struct listeners *listeners;
    struct http_server *servers[SERVERS_MAX];
    int listening[SERVERS_MAX];
    struct link_service *link; /* a worker's; drained like a server */
    size_t server_count, drained_count;
    bool (*listen_all)(struct serving *serving, struct error *error); /* NULL: done */
    bool has_failed;
    struct event *listen_timer;
    struct event *on_term, *on_retire, *on_usr1, *on_hup, *ready_timer, *drain_timer, *publish_timer;
    int ready_fd;
    bool is_successor, has_waited;
    char told_reason[256]; /* the last one */
    int64_t started_ms;
};

/* Makes the loop and its events; names, public suffixes and blocked keys are loaded. */
bool serving_set_up(struct serving *serving, const char *who, const struct config *config,
                    struct metrics *metrics, int ready_fd, struct error *error) MUST_CHECK;
/* Serves on the socket, in clear where `tls` is NULL; the services must outlive it. */
bool serving_listen(struct serving *serving, const struct listener *listener, struct http_tls *tls,
                    const struct http_service *services, size_t count, struct error *error) MUST_CHECK;
/* Calls `listen_all`, which calls serving_listen, as soon as Redis can be used, or after `accept_wait_ms`:
 * until then connections wait in the sockets' queues, where the predecessor of a reload takes them, rather
 * than be told that Redis is not connected yet. What fails ends the process. */
bool serving_listen_when_connected(struct serving *serving,
                                   bool (*listen_all)(struct serving *serving, struct error *error),
                                   struct error *error) MUST_CHECK;
/* Asks DNS and tells the supervisor whether it can be used: what a reload compares. SIGHUP does the same. */
void serving_tell_dns(struct serving *serving);
/* Why it cannot start: to the log and the supervisor. */
void serving_tell_failure(struct serving *serving, const struct error *error);
/* Until it is drained. False: it could not listen. */
bool serving_run(struct serving *serving);
