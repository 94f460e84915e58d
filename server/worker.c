/* A worker: sets up its services in the order of their dependencies, listens, runs the loop, drains. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>

#include "issuer_files.h"
#include "originca/acme.h"
#include "originca/admin.h"
#include "originca/dnscheck.h"
#include "originca/fence.h"
#include "originca/http.h"
#include "originca/keys.h"
#include "originca/log.h"
#include "originca/names.h"
#include "originca/perspective.h"
#include "originca/rest.h"
#include "originca/secrets.h"
#include "originca/signer.h"
#include "originca/store.h"
#include "originca/worker.h"
#include "process.h"
#include "worker_main.h"

#define SERVERS_MAX 64
#define SERVICES_MAX 4
#define STOP_IDLE_MS 250
#define READY_POLL_MS 50
#define PUBLISH_SECONDS 1

struct worker_process {
    struct worker worker; /* first: publish_metrics gets from it to the process */
    struct secrets *secrets;
    struct http_tls *tls;
    struct acme *acme;
    struct rest *rest;
    struct admin *admin;
    struct issuer_files *issuer_files;
    struct fence *fence;
    struct http_service public_services[SERVICES_MAX], plain_services[SERVICES_MAX],
        admin_services[SERVICES_MAX];
    struct http_server *servers[SERVERS_MAX];
    int listening[SERVERS_MAX];
    size_t server_count, drained_count;
    struct event *on_term, *on_retire, *on_usr1, *ready_timer, *drain_timer, *publish_timer;
    int ready_fd;
    bool is_successor, has_waited;
    char told_reason[256]; /* the last one */
    int64_t started_ms;
};

static void answer_plainly(struct http_request *request, unsigned status, const char *detail) {
    http_reply(request, status, "text/plain; charset=utf-8", detail, strlen(detail));
}

/* What no service owns: the dashboard has this place later. */
static struct http_service fallback_service(struct worker_process *process) {
    return (struct http_service){.prefix = "", .fail = answer_plainly, .context = process};
}

static void note_drained(void *context) {
    struct worker_process *process = context;
    if (++process->drained_count == process->server_count)
        event_base_loopexit(process->worker.base, NULL);
}

static void give_up_draining(evutil_socket_t fd, short what, void *context) {
    (void)fd;
    (void)what;
    struct worker_process *process = context;
    log_event(LOG_LEVEL_WARNING, "drain time is over, closing what is left", NULL);
    event_base_loopexit(process->worker.base, NULL);
}

/* SIGUSR2 retires a worker that has a successor: clients with kept connections have a while to use them once
 * more, and hear "close" then. SIGTERM ends the service: only what is on its way is awaited. */
static void start_draining(evutil_socket_t number, short what, void *context) {
    (void)what;
    struct worker_process *process = context;
    const struct config *config = process->worker.config;
    uint32_t idle_ms = number == SIGTERM ? STOP_IDLE_MS : config->retire_idle_seconds * 1000;
    if (process->worker.is_draining && number != SIGTERM)
        return;
    if (!process->worker.is_draining) {
        struct timeval limit = {.tv_sec = config->drain_seconds};
        event_add(process->drain_timer, &limit);
    }
    for (size_t i = 0; i < process->server_count; i++) {
        http_server_drain(process->servers[i], idle_ms, note_drained, process);
        if (!process->worker.is_draining)
            close(process->listening[i]); /* the supervisor keeps its own while somebody else is to accept */
    }
    process->worker.is_draining = true;
}

static void reopen_log(evutil_socket_t fd, short what, void *context) {
    (void)fd;
    (void)what;
    struct worker_process *process = context;
    struct error error;
    const char *path = process->worker.config->log_file;
    if (path != NULL && !log_open_file(path, &error))
        log_event(LOG_LEVEL_ERROR, "cannot reopen the log", "reason", error.message, NULL);
}

/* A worker whose Redis is away still serves: it says 503. */
static void tell_when_ready(evutil_socket_t fd, short what, void *context) {
    (void)fd;
    (void)what;
    struct worker_process *process = context;
    const struct worker *worker = &process->worker;
    int64_t wait_ms = (int64_t)worker->config->ready_wait_seconds * 1000;
    if (worker->is_ready) {
        process_tell(process->ready_fd, PROCESS_SERVES, "");
        close(process->ready_fd);
        process->ready_fd = -1;
        event_del(process->ready_timer);
        return;
    }
    if (strcmp(process->told_reason, worker->not_ready_reason) != 0) {
        snprintf(process->told_reason, sizeof process->told_reason, "%s", worker->not_ready_reason);
        process_tell(process->ready_fd, PROCESS_LACKS, process->told_reason);
    }
    if (!process->has_waited && clock_monotonic_ms() - process->started_ms >= wait_ms) {
        process->has_waited = true;
        process_tell(process->ready_fd, PROCESS_WAITED, "");
    }
}

/* Until it is decided which of the two stays, a slot's gauges are those of the worker that serves. */
static bool owns_gauges(const struct worker_process *process) {
    bool is_decided = clock_monotonic_ms() - process->started_ms >
                      2 * (int64_t)process->worker.config->ready_wait_seconds * 1000;
    return !process->worker.is_draining && (!process->is_successor || process->worker.is_ready || is_decided);
}

static void publish_metrics(struct worker *worker) {
    struct worker_process *process = (struct worker_process *)worker;
    if (worker->is_ready)
        process->is_successor = false;
    worker_publish_metrics(worker, process->servers, process->server_count, owns_gauges(process));
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

static struct dnscheck *make_dnscheck(struct event_base *base, const struct config *config,
                                      struct error *error) {
    const struct dnscheck_settings settings = {
        .root_hints_file = config->root_hints_file,
        .trust_anchor_file = config->trust_anchor_file,
        .caa_mode = strcmp(config->caa_mode, "strict") == 0  ? DNSCHECK_CAA_STRICT
                    : strcmp(config->caa_mode, "named") == 0 ? DNSCHECK_CAA_NAMED
                                                             : DNSCHECK_CAA_OFF,
        .caa_identities = (const char *const *)config->caa_identities.items,
        .caa_identity_count = config->caa_identities.count,
        .name_server_pool = (const char *const *)config->name_server_pool.items,
        .name_server_pool_count = config->name_server_pool.count,
        .port = (uint16_t)config->dns_port,
        .edge_prefixes = config->edge_prefixes,
        .edge_prefix_count = config->edge_prefix_count,
        .address_rules = config->address_rules,
        .deadline_ms = config->dns_deadline_ms,
        .query_timeout_ms = config->dns_query_timeout_ms,
        .max_queries = config->dns_max_queries,
        .tries = config->dns_tries,
        .max_cname = config->dns_max_cname,
        .referral_cache_entries = config->dns_referral_cache_entries,
        .referral_max_ttl = config->dns_referral_max_ttl,
        .max_concurrent_checks = config->dns_max_concurrent_checks,
        .max_per_server = config->dns_max_per_server,
        .share_ms = config->dns_share_ms,
    };
    return dnscheck_new(base, &settings, error);
}

static bool load_rules(const struct config *config, struct error *error) {
    return names_load_suffixes(config->public_suffix_file, error) &&
           (names_allow_special((const char *const *)config->allowed_special_names.items,
                                config->allowed_special_names.count) ||
            error_set(error, ERROR_INTERNAL, "out of memory")) &&
           keys_load_blocklist(config->key_blocklist_file, error);
}

static bool set_up_services(struct worker_process *process, struct error *error) {
    struct worker *worker = &process->worker;
    const struct config *config = worker->config;
    uint8_t ticket_key[SECRET_BYTES];
    if (!load_rules(config, error))
        return false;
    process->secrets = secrets_load(config->secret_file, error);
    if (process->secrets == NULL)
        return false;
    worker->secrets = process->secrets;
    secrets_derive(process->secrets, "ticket", NULL, 0, ticket_key);
    process->tls = http_tls_new(config->tls_certificate_file, config->tls_key_file, ticket_key, error);
    bytes_wipe(ticket_key, sizeof ticket_key);
    return process->tls != NULL && (worker->store = store_new(worker->base, config, error)) != NULL &&
           (worker->dnscheck = make_dnscheck(worker->base, config, error)) != NULL &&
           (worker->perspectives = perspectives_new(worker->base, config, worker->dnscheck, error)) != NULL &&
           (worker->signer = signer_client_new(worker->base, config, SIGNER_LINK_WORKER, worker->instance,
                                               error)) != NULL &&
           (worker->operator_signer = signer_client_new(worker->base, config, SIGNER_LINK_OPERATOR,
                                                        worker->instance, error)) != NULL &&
           (process->fence = fence_new(worker, error)) != NULL &&
           (process->acme = acme_new(worker, error)) != NULL &&
           (process->rest = rest_new(worker, error)) != NULL &&
           (process->admin = admin_new(worker, error)) != NULL &&
           (process->issuer_files = issuer_files_new(worker, error)) != NULL;
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
        .max_header_bytes = config->max_header_bytes,
        .max_body_bytes = config->max_body_bytes,
        .max_request_memory_bytes = config->max_request_memory_bytes,
        .max_requests_per_connection = config->max_requests_per_connection,
    };
}

static bool listen_on(struct worker_process *process, const struct listeners *listeners,
                      struct error *error) {
    const struct http_service fallback = fallback_service(process);
    const struct http_limits limits = limits_of(process->worker.config);
    process->public_services[0] = *acme_service(process->acme);
    process->public_services[1] = *rest_service(process->rest);
    process->public_services[2] = *issuer_files_service(process->issuer_files);
    process->public_services[3] = fallback;
    process->plain_services[0] = *issuer_files_service(process->issuer_files);
    process->plain_services[1] = fallback;
    process->admin_services[0] = *admin_service(process->admin);
    for (size_t i = 0; i < listeners->count; i++) {
        const struct listener *listener = &listeners->items[i];
        const struct http_service *services = listener->kind == LISTENER_HTTPS  ? process->public_services
                                              : listener->kind == LISTENER_HTTP ? process->plain_services
                                                                                : process->admin_services;
        size_t count = listener->kind == LISTENER_HTTPS ? 4 : listener->kind == LISTENER_HTTP ? 2 : 1;
        if (process->server_count == SERVERS_MAX)
            return error_set(error, ERROR_INVALID, "more than %d listening addresses", SERVERS_MAX);
        if (!listener_listen(listener, error))
            return false;
        struct http_server *server = http_server_new(process->worker.base, listener->fd,
                                                     listener->kind == LISTENER_HTTPS ? process->tls : NULL,
                                                     services, count, &limits, error);
        if (server == NULL)
            return false;
        process->listening[process->server_count] = listener->fd;
        process->servers[process->server_count++] = server;
    }
    return true;
}

static bool watch_signals(struct worker_process *process, struct error *error) {
    struct event_base *base = process->worker.base;
    const struct timeval poll = {.tv_usec = READY_POLL_MS * 1000};
    process->on_term = evsignal_new(base, SIGTERM, start_draining, process);
    process->on_retire = evsignal_new(base, SIGUSR2, start_draining, process);
    process->on_usr1 = evsignal_new(base, SIGUSR1, reopen_log, process);
    const struct timeval publish = {.tv_sec = PUBLISH_SECONDS};
    process->publish_timer = event_new(base, -1, EV_PERSIST, publish_regularly, process);
    process->worker.publish_metrics = publish_metrics;
    process->ready_timer = event_new(base, -1, EV_PERSIST, tell_when_ready, process);
    process->drain_timer = evtimer_new(base, give_up_draining, process);
    if (process->on_term == NULL || process->on_retire == NULL || event_add(process->on_retire, NULL) != 0 ||
        process->on_usr1 == NULL || process->ready_timer == NULL || process->drain_timer == NULL ||
        process->publish_timer == NULL || event_add(process->publish_timer, &publish) != 0 ||
        event_add(process->on_term, NULL) != 0 || event_add(process->on_usr1, NULL) != 0 ||
        event_add(process->ready_timer, &poll) != 0)
        return error_set(error, ERROR_INTERNAL, "cannot set up events");
    return true;
}

int worker_main(const struct config *config, struct listeners *listeners, struct metrics *metrics,
                unsigned slot, int ready_fd, bool is_successor) {
    struct error error = {.message = "out of memory"};
    struct worker_process *process = calloc(1, sizeof *process);
    if (process == NULL)
        return 1;
    process->ready_fd = ready_fd;
    process->is_successor = is_successor;
    process->started_ms = clock_monotonic_ms();
    process->worker = (struct worker){.config = config, .metrics = metrics, .slot = slot};
    make_instance(&process->worker);
    snprintf(process->worker.not_ready_reason, sizeof process->worker.not_ready_reason, "starting");
    process->worker.base = event_base_new();
    bool is_up = process->worker.base != NULL && watch_signals(process, &error) &&
                 set_up_services(process, &error) && listen_on(process, listeners, &error);
    if (is_up) {
        event_base_dispatch(process->worker.base);
        publish_metrics(&process->worker);
    } else {
        log_event(LOG_LEVEL_ERROR, "the worker cannot start", "reason", error.message, NULL);
        process_tell(ready_fd, PROCESS_FAILED, error.message);
    }
    for (size_t i = 0; i < process->server_count; i++)
        http_server_free(process->servers[i]);
    return is_up ? 0 : 1;
}
