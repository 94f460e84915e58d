#include "ledger_lease.h"

#include <stdlib.h>

#include "originca/ledger_writer.h"
#include "originca/log.h"

#define RENEW_SECONDS 2

struct ledger_lease {
    struct worker *worker;
    struct event *timer;
    bool is_held, is_renewing;
    store_done *done; /* of who takes it */
    void *context;
};

static void hold(struct ledger_lease *lease, store_done *done) {
    store_hold_ledger(lease->worker->store, lease->worker->config->host_name, ledger_writer_mine(),
                      LEDGER_LEASE_SECONDS, done, lease);
}

/* Redis being away is no reason to give up: the fence sees whom Redis knows when it is back. */
static void note_renewed(void *context, const struct error *error) {
    struct ledger_lease *lease = context;
    lease->is_renewing = false;
    if (error != NULL && error->code == ERROR_CONFLICT)
        lease->is_held = false;
}

static void renew(evutil_socket_t fd, short what, void *context) {
    (void)fd;
    (void)what;
    struct ledger_lease *lease = context;
    const char *reason;
    if (!lease->is_held || lease->is_renewing || !store_is_ready(lease->worker->store, &reason))
        return;
    lease->is_renewing = true;
    hold(lease, note_renewed);
}

static void note_taken(void *context, const struct error *error) {
    struct ledger_lease *lease = context;
    lease->is_held = error == NULL;
    lease->done(lease->context, error);
}

void ledger_lease_take(struct ledger_lease *lease, store_done *done, void *context) {
    lease->done = done;
    lease->context = context;
    hold(lease, note_taken);
}

bool ledger_lease_is_held(const struct ledger_lease *lease) {
    return lease->is_held;
}

void ledger_lease_leave(struct ledger_lease *lease) {
    lease->is_held = false;
}

struct ledger_lease *ledger_lease_new(struct worker *worker) {
    const struct timeval interval = {.tv_sec = RENEW_SECONDS};
    struct ledger_lease *lease = calloc(1, sizeof *lease);
    if (lease == NULL)
        return NULL;
    lease->worker = worker;
    lease->timer = event_new(worker->base, -1, EV_PERSIST, renew, lease);
    if (lease->timer == NULL || event_add(lease->timer, &interval) != 0) {
        ledger_lease_free(lease);
        return NULL;
    }
    return lease;
}

void ledger_lease_free(struct ledger_lease *lease) {
    if (lease == NULL)
        return;
    if (lease->timer != NULL)
        event_free(lease->timer);
    free(lease);
}
