/* A worker: sets up its services in the order of their dependencies, listens, runs the loop, drains. */
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "issuer_files.h"
#include "originca/acme.h"
#include "originca/crl_service.h"
#include "originca/dnscheck.h"
#include "originca/fence.h"
#include "originca/log.h"
#include "originca/ocsp_service.h"
#include "originca/perspective.h"
#include "originca/rest.h"
#include "originca/secrets.h"
#include "originca/signer.h"
#include "originca/store.h"
#include "originca/worker_link.h"
#include "serving.h"

#define SERVICES_MAX 4

struct worker_process {
    struct serving serving; /* first: it holds the worker */
    struct secrets *secrets;
    struct http_tls *tls;
    struct acme *acme;
    struct rest *rest;
    struct issuer_files *issuer_files;
    struct ocsp *ocsp;
    struct crl_service *crls;
    struct fence *fence;
    struct http_service public_services[SERVICES_MAX], plain_services[SERVICES_MAX];
};

static void answer_plainly(struct http_request *request, unsigned status, const char *detail) {
    http_reply(request, status, "text/plain; charset=utf-8", detail, strlen(detail));
}

/* What no service owns: the dashboard has this place later. */
static struct http_service fallback_service(struct worker_process *process) {
    return (struct http_service){.prefix = "", .fail = answer_plainly, .context = process};
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

static bool set_up_services(struct worker_process *process, struct error *error) {
    struct worker *worker = &process->serving.worker;
    const struct config *config = worker->config;
    uint8_t ticket_key[SECRET_BYTES];
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
           (process->fence = fence_new(worker, FENCE_WATCHES, error)) != NULL &&
           (process->acme = acme_new(worker, error)) != NULL &&
           (process->rest = rest_new(worker, error)) != NULL &&
           (process->issuer_files = issuer_files_new(worker, error)) != NULL &&
           (process->ocsp = ocsp_new(worker, error)) != NULL &&
           (process->crls = crl_service_new(worker, error)) != NULL;
}

static bool listen_on(struct worker_process *process, const struct listener *listener, struct error *error) {
    if (listener->kind == LISTENER_HTTPS)
        return serving_listen(&process->serving, listener, process->tls, process->public_services, 4, error);
    return listener->kind != LISTENER_HTTP ||
           serving_listen(&process->serving, listener, NULL, process->plain_services, 4, error);
}

static bool listen_on_all(struct serving *serving, struct error *error) {
    struct worker_process *process = (struct worker_process *)serving;
    const struct http_service fallback = fallback_service(process);
    process->public_services[0] = *acme_service(process->acme);
    process->public_services[1] = *rest_service(process->rest);
    process->public_services[2] = *issuer_files_service(process->issuer_files);
    process->public_services[3] = fallback;
    process->plain_services[0] = *issuer_files_service(process->issuer_files);
    process->plain_services[1] = *ocsp_service(process->ocsp);
    process->plain_services[2] = *crl_service_http(process->crls);
    process->plain_services[3] = fallback;
    for (size_t i = 0; i < serving->listeners->count; i++)
        if (!listen_on(process, &serving->listeners->items[i], error))
            return false;
    return true;
}

/* At once: the admin process asks how the worker is. */
static bool answer_admin(struct serving *serving, struct error *error) {
    for (size_t i = 0; i < serving->listeners->count; i++) {
        const struct listener *listener = &serving->listeners->items[i];
        if (listener->kind != LISTENER_LINK)
            continue;
        if (!listener_listen(listener, error))
            return false;
        serving->link = link_service_new(&serving->worker, listener->fd, error);
    }
    return serving->link != NULL;
}

int worker_main(const struct config *config, struct listeners *listeners, struct metrics *metrics,
                unsigned slot, int ready_fd, bool is_successor) {
    struct error error = {.message = "out of memory"};
    struct worker_process *process = calloc(1, sizeof *process);
    char who[16];
    if (process == NULL)
        return 1;
    snprintf(who, sizeof who, "%u", slot);
    process->serving.listeners = listeners;
    process->serving.is_successor = is_successor;
    bool is_up = serving_set_up(&process->serving, who, config, metrics, ready_fd, &error);
    process->serving.worker.slot = slot;
    is_up = is_up && set_up_services(process, &error) && answer_admin(&process->serving, &error) &&
            serving_listen_when_connected(&process->serving, listen_on_all, &error);
    if (is_up && is_successor)
        serving_tell_dns(&process->serving);
    if (is_up)
        is_up = serving_run(&process->serving);
    else
        serving_tell_failure(&process->serving, &error);
    return is_up ? 0 : 1;
}
