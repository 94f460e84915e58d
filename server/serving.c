/* The loop, its signals and timers, and how a serving process ends. */
#include "serving.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "originca/dnscheck.h"
#include "originca/keys.h"
#include "originca/log.h"
#include "originca/names.h"
#include "originca/store.h"
#include "originca/text.h"
#include "originca/worker_link.h"
#include "process.h"

#define STOP_IDLE_MS 250
#define READY_POLL_MS 50
#define LISTEN_POLL_MS 10
#define PUBLISH_SECONDS 1

static void note_drained(void *context) {
    struct serving *serving = context;
    if (++serving->drained_count == serving->server_count + (serving->link != NULL))
        event_base_loopexit(serving->worker.base, NULL);
}

static void give_up_draining(evutil_socket_t fd, short what, void *context) {
    (void)fd;
    (void)what;
    struct serving *serving = context;
    log_event(LOG_LEVEL_WARNING, "drain time is over, closing what is left", NULL);
    event_base_loopexit(serving->worker.base, NULL);
}

/* SIGUSR2 retires a worker that has a successor: clients with kept connections have a while to use them once
 * more, and hear "close" then. SIGTERM ends the service: only what is on its way is awaited. */
static void start_draining(evutil_socket_t number, short what, void *context) {
    (void)what;
    struct serving *serving = context;
    const struct config *config = serving->worker.config;
    uint32_t idle_ms = number == SIGTERM ? STOP_IDLE_MS : config->retire_idle_seconds * 1000;
    if (serving->worker.is_draining && number != SIGTERM)
        return;
    if (!serving->worker.is_draining) {
        struct timeval limit = {.tv_sec = config->drain_seconds};
        event_add(serving->drain_timer, &limit);
    }
    for (size_t i = 0; i < serving->server_count; i++) {
        http_server_drain(serving->servers[i], idle_ms, note_drained, serving);
        if (!serving->worker.is_draining)
            close(serving->listening[i]); /* the supervisor keeps its own while somebody else is to accept */
    }
    serving->worker.is_draining = true;
    if (serving->link != NULL)
        link_service_drain(serving->link, note_drained, serving);
    if (serving->listen_all != NULL) /* nobody was accepted yet */
        event_base_loopexit(serving->worker.base, NULL);
}

static void reopen_log(evutil_socket_t fd, short what, void *context) {
    (void)fd;
    (void)what;
    struct serving *serving = context;
    struct error error;
    const char *path = serving->worker.config->log_file;
    if (path != NULL && !log_open_file(path, &error))
        log_event(LOG_LEVEL_ERROR, "cannot reopen the log", "reason", error.message, NULL);
}

/* One whose Redis is away still serves: it says 503. */
static void tell_when_ready(evutil_socket_t fd, short what, void *context) {
    (void)fd;
    (void)what;
    struct serving *serving = context;
    const struct worker *worker = &serving->worker;
    int64_t wait_ms = (int64_t)worker->config->ready_wait_seconds * 1000;
    if (worker->is_ready && serving->listen_all == NULL) {
        process_tell(serving->ready_fd, PROCESS_SERVES, "");
        event_del(serving->ready_timer);
        return;
    }
    if (strcmp(serving->told_reason, worker->not_ready_reason) != 0) {
        snprintf(serving->told_reason, sizeof serving->told_reason, "%s", worker->not_ready_reason);
        process_tell(serving->ready_fd, PROCESS_LACKS, serving->told_reason);
    }
    if (!serving->has_waited && clock_monotonic_ms() - serving->started_ms >= wait_ms) {
        serving->has_waited = true;
        process_tell(serving->ready_fd, PROCESS_WAITED, "");
    }
}

static void tell_dns(void *context, bool is_usable, const char *reason) {
    struct serving *serving = context;
    process_tell(serving->ready_fd, PROCESS_DNS,
                 is_usable           ? ""
                 : reason[0] == '\0' ? "DNS cannot be used"
                                     : reason);
}

void serving_tell_dns(struct serving *serving) {
    dnscheck_probe(serving->worker.dnscheck, 0, tell_dns, serving);
}

/* A reload has begun: how DNS is for this generation decides whether it counts against the next one. */
static void note_reload(evutil_socket_t fd, short what, void *context) {
    (void)fd;
    (void)what;
    struct serving *serving = context;
    if (serving->worker.dnscheck != NULL)
        serving_tell_dns(serving);
}

/* Until it is decided which of the two stays, a slot's gauges are those of the worker that serves. */
static bool owns_gauges(const struct serving *serving) {
    bool is_decided = clock_monotonic_ms() - serving->started_ms >
                      2 * (int64_t)serving->worker.config->ready_wait_seconds * 1000;
    return !serving->worker.is_draining && (!serving->is_successor || serving->worker.is_ready || is_decided);
}

static void publish_metrics(struct worker *worker) {
    struct serving *serving = (struct serving *)worker;
    if (worker->is_ready)
        serving->is_successor = false;
    worker_publish_metrics(worker, serving->who, serving->servers, serving->server_count,
                           owns_gauges(serving));
}

static void publish_regularly(evutil_socket_t fd, short what, void *context) {
    (void)fd;
    (void)what;
    publish_metrics(context);
}

/* The host's tag comes first, so that a reconciler can tell its own host's attempts from others'. */
static void make_instance(struct worker *worker) {
    uint8_t digest[SHA256_BYTES], random[12];
    sha256(worker->config->host_name, strlen(worker->config->host_name), digest);
    random_bytes(random, sizeof random);
    hex_encode(digest, WORKER_HOST_TAG / 2, worker->instance);
    hex_encode(random, sizeof random, worker->instance + WORKER_HOST_TAG);
}

static bool load_rules(const struct config *config, struct error *error) {
    return names_load_suffixes(config->public_suffix_file, error) &&
           (names_allow_special((const char *const *)config->allowed_special_names.items,
                                config->allowed_special_names.count) ||
            error_set(error, ERROR_INTERNAL, "out of memory")) &&
           keys_load_blocklist(config->key_blocklist_file, error);
}

static struct http_limits limits_of(const struct config *config) {
    return (struct http_limits){
        .max_connections = config->max_connections,
        .max_connections_per_address = config->max_connections_per_address,
        .crowd_connections = config->crowd_connections,
        .reserved_descriptors = config->reserved_descriptors,
        .handshake_timeout_ms = config->handshake_timeout_ms,
        .request_timeout_ms = config->request_timeout_ms,
        .idle_timeout_ms = config->idle_timeout_ms,
        .write_timeout_ms = config->write_timeout_ms,
        .min_write_bytes_per_second = config->min_write_bytes_per_second,
        .max_header_bytes = config->max_header_bytes,
        .max_body_bytes = config->max_body_bytes,
        .max_request_memory_bytes = config->max_request_memory_bytes,
        .max_requests_per_connection = config->max_requests_per_connection,
    };
}

static bool watch_signals(struct serving *serving, struct error *error) {
    struct event_base *base = serving->worker.base;
    const struct timeval poll = {.tv_usec = READY_POLL_MS * 1000};
    serving->on_term = evsignal_new(base, SIGTERM, start_draining, serving);
    serving->on_retire = evsignal_new(base, SIGUSR2, start_draining, serving);
    serving->on_usr1 = evsignal_new(base, SIGUSR1, reopen_log, serving);
    serving->on_hup = evsignal_new(base, SIGHUP, note_reload, serving);
    const struct timeval publish = {.tv_sec = PUBLISH_SECONDS};
    serving->publish_timer = event_new(base, -1, EV_PERSIST, publish_regularly, serving);
    serving->worker.publish_metrics = publish_metrics;
    serving->ready_timer = event_new(base, -1, EV_PERSIST, tell_when_ready, serving);
    serving->drain_timer = evtimer_new(base, give_up_draining, serving);
    if (serving->on_term == NULL || serving->on_retire == NULL || event_add(serving->on_retire, NULL) != 0 ||
        serving->on_usr1 == NULL || serving->on_hup == NULL || event_add(serving->on_hup, NULL) != 0 ||
        serving->ready_timer == NULL || serving->drain_timer == NULL || serving->publish_timer == NULL ||
        event_add(serving->publish_timer, &publish) != 0 || event_add(serving->on_term, NULL) != 0 ||
        event_add(serving->on_usr1, NULL) != 0 || event_add(serving->ready_timer, &poll) != 0)
        return error_set(error, ERROR_INTERNAL, "cannot set up events");
    return true;
}

bool serving_set_up(struct serving *serving, const char *who, const struct config *config,
                    struct metrics *metrics, int ready_fd, struct error *error) {
    struct worker *worker = &serving->worker;
    serving->ready_fd = ready_fd;
    serving->started_ms = clock_monotonic_ms();
    snprintf(serving->who, sizeof serving->who, "%s", who);
    *worker =
        (struct worker){.config = config, .metrics = metrics, .not_ready_since_ms = serving->started_ms};
    make_instance(worker);
    snprintf(worker->not_ready_reason, sizeof worker->not_ready_reason, "starting");
    worker->base = event_base_new();
    if (worker->base == NULL)
        return error_set(error, ERROR_INTERNAL, "out of memory");
    return watch_signals(serving, error) && load_rules(config, error);
}

bool serving_listen(struct serving *serving, const struct listener *listener, struct http_tls *tls,
                    const struct http_service *services, size_t count, struct error *error) {
    struct http_limits limits = limits_of(serving->worker.config);
    const struct config_user *users = serving->worker.config->run_as;
    /* Whatever the permissions of the admin socket: a worker in foreign hands is no administrator. */
    limits.has_stranger = listener->kind == LISTENER_ADMIN && users[CONFIG_WORKERS].name != NULL &&
                          users[CONFIG_WORKERS].uid != users[CONFIG_ADMIN].uid;
    limits.stranger = users[CONFIG_WORKERS].uid;
    if (!listener_listen(listener, error))
        return false;
    if (serving->server_count == SERVERS_MAX)
        return error_set(error, ERROR_INVALID, "more than %d listening addresses", SERVERS_MAX);
    struct http_server *server =
        http_server_new(serving->worker.base, listener->fd, tls, services, count, &limits, error);
    if (server == NULL)
        return false;
    serving->listening[serving->server_count] = listener->fd;
    serving->servers[serving->server_count++] = server;
    return true;
}

static void listen_if_connected(evutil_socket_t fd, short what, void *context) {
    (void)fd;
    (void)what;
    struct serving *serving = context;
    struct error error;
    const char *reason;
    const uint32_t limit = serving->worker.config->accept_wait_ms;
    if (!store_is_ready(serving->worker.store, &reason) && clock_monotonic_ms() - serving->started_ms < limit)
        return;
    event_del(serving->listen_timer);
    bool (*listen_all)(struct serving * serving, struct error * error) = serving->listen_all;
    serving->listen_all = NULL;
    if (listen_all == NULL || listen_all(serving, &error))
        return;
    serving_tell_failure(serving, &error);
    serving->has_failed = true;
    event_base_loopexit(serving->worker.base, NULL);
}

bool serving_listen_when_connected(struct serving *serving,
                                   bool (*listen_all)(struct serving *serving, struct error *error),
                                   struct error *error) {
    const struct timeval poll = {.tv_usec = LISTEN_POLL_MS * 1000};
    serving->listen_all = listen_all;
    serving->listen_timer = event_new(serving->worker.base, -1, EV_PERSIST, listen_if_connected, serving);
    return (serving->listen_timer != NULL && event_add(serving->listen_timer, &poll) == 0) ||
           error_set(error, ERROR_INTERNAL, "out of memory");
}

void serving_tell_failure(struct serving *serving, const struct error *error) {
    log_event(LOG_LEVEL_ERROR, "the process cannot start", "reason", error->message, NULL);
    process_tell(serving->ready_fd, PROCESS_FAILED, error->message);
}

bool serving_run(struct serving *serving) {
    event_base_dispatch(serving->worker.base);
    publish_metrics(&serving->worker);
    for (size_t i = 0; i < serving->server_count; i++)
        http_server_free(serving->servers[i]);
    link_service_free(serving->link);
    return !serving->has_failed;
}
