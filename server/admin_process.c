/* The admin process: the admin API, metrics and health on the admin socket; fence and reconciler. It opens no
 * socket to the network: what must be asked of DNS is asked of the workers (worker_link.h). */
#include <stdlib.h>

#include "originca/admin.h"
#include "originca/crl_service.h"
#include "originca/fence.h"
#include "originca/log.h"
#include "originca/rights.h"
#include "originca/secrets.h"
#include "originca/signer.h"
#include "originca/store.h"
#include "originca/worker_link.h"
#include "serving.h"

struct admin_process {
    struct serving serving; /* first: it holds the worker */
    struct secrets *secrets;
    uint8_t operator_key[SECRET_BYTES];
    struct admin *admin;
    struct fence *fence;
    struct crl_keeper *crls;
    struct http_service services[1];
};

static bool set_up_services(struct admin_process *process, struct error *error) {
    struct worker *worker = &process->serving.worker;
    const struct config *config = worker->config;
    worker->secrets = process->secrets = secrets_load(config->secret_file, error);
    if (config->operator_secret_file != NULL) {
        if (!rights_load_key(config, process->operator_key, error))
            return false;
        worker->operator_key = process->operator_key;
    }
    return process->secrets != NULL && (worker->store = store_new(worker->base, config, error)) != NULL &&
           (worker->link = worker_link_new(worker->base, config, error)) != NULL &&
           (worker->signer = worker->operator_signer = signer_client_new(
                worker->base, config, SIGNER_LINK_OPERATOR, worker->instance, error)) != NULL &&
           (process->fence = fence_new(worker, FENCE_KEEPS, error)) != NULL &&
           (process->crls = worker->crls = crl_keeper_new(worker, error)) != NULL &&
           (process->admin = admin_new(worker, error)) != NULL;
}

static bool listen_on_all(struct serving *serving, struct error *error) {
    struct admin_process *process = (struct admin_process *)serving;
    process->services[0] = *admin_service(process->admin);
    for (size_t i = 0; i < serving->listeners->count; i++)
        if (!serving_listen(serving, &serving->listeners->items[i], NULL, process->services, 1, error))
            return false;
    return true;
}

int admin_main(const struct config *config, struct listeners *listeners, struct metrics *metrics,
               int ready_fd, bool is_successor) {
    struct error error = {.message = "out of memory"};
    struct admin_process *process = calloc(1, sizeof *process);
    if (process == NULL)
        return 1;
    process->serving.listeners = listeners;
    process->serving.is_successor = is_successor;
    bool is_up = serving_set_up(&process->serving, "admin", config, metrics, ready_fd, &error) &&
                 set_up_services(process, &error) &&
                 serving_listen_when_connected(&process->serving, listen_on_all, &error);
    if (is_up)
        is_up = serving_run(&process->serving);
    else
        serving_tell_failure(&process->serving, &error);
    return is_up ? 0 : 1;
}
