/* How a worker is: the ledger by what it knows, Redis, the signer and DNS by asking. */
#include "service.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "originca/signer.h"
#include "originca/store.h"

#define DNS_KEPT_MS 10000

struct link_waiter {
    TAILQ_ENTRY(link_waiter) entry;
    struct link_readiness_probe *probe;
    struct event *timer;
    link_told *told;
    void *context;
};

struct link_readiness_probe {
    struct worker *worker;
    bool is_asking_redis, is_asking_signer, is_asking_dns;
    int64_t redis_asked_ms, signer_asked_ms, dns_asked_ms;
    struct error redis_error; /* of the last question; ERROR_NONE: it takes changes */
    struct signer_status status;
    struct error signer_error; /* of the last question; ERROR_NONE: `status` is its answer */
    bool is_dns_usable;
    char dns_reason[256];
    TAILQ_HEAD(waiter_list, link_waiter) waiters;
};

static void free_waiter(struct link_waiter *waiter) {
    TAILQ_REMOVE(&waiter->probe->waiters, waiter, entry);
    event_free(waiter->timer);
    free(waiter);
}

static void set_part(struct link_readiness *out, enum link_part part, bool is_ok, const char *reason) {
    out->parts[part].is_ok = is_ok;
    snprintf(out->parts[part].reason, sizeof out->parts[part].reason, "%s", is_ok ? "" : reason);
}

static void set_silent(struct link_readiness *out, enum link_part part, const char *who, int64_t asked_ms) {
    char reason[128];
    snprintf(reason, sizeof reason, "%s has not answered for %lld ms", who,
             (long long)(clock_monotonic_ms() - asked_ms));
    set_part(out, part, false, reason);
}

/* The signer gives one reason: its own comes before that of its issuers. */
static void judge_answer(const struct signer_status *status, struct link_readiness *out) {
    bool may_sign = status->is_token_usable && status->is_signing_allowed;
    set_part(out, LINK_PART_SIGNER, may_sign, status->reason);
    set_part(out, LINK_PART_ISSUERS, status->are_issuers_in_force,
             may_sign ? status->reason : "an issuing certificate is not in force");
}

static void judge_signer(const struct link_readiness_probe *probe, struct link_readiness *out) {
    set_part(out, LINK_PART_ISSUERS, false, "the signer does not say whether they can sign");
    if (probe->is_asking_signer)
        set_silent(out, LINK_PART_SIGNER, "the signer", probe->signer_asked_ms);
    else if (probe->signer_error.code != ERROR_NONE)
        set_part(out, LINK_PART_SIGNER, false, probe->signer_error.message);
    else
        judge_answer(&probe->status, out);
}

static void judge(const struct link_readiness_probe *probe, struct link_readiness *out) {
    const struct worker *worker = probe->worker;
    const char *reason = "";
    if (!store_is_ready(worker->store, &reason))
        set_part(out, LINK_PART_REDIS, false, reason);
    else if (probe->is_asking_redis)
        set_silent(out, LINK_PART_REDIS, "Redis", probe->redis_asked_ms);
    else
        set_part(out, LINK_PART_REDIS, probe->redis_error.code == ERROR_NONE, probe->redis_error.message);
    set_part(out, LINK_PART_LEDGER, worker->is_ready, worker->not_ready_reason);
    judge_signer(probe, out);
    if (probe->is_asking_dns)
        set_silent(out, LINK_PART_DNS, "DNS", probe->dns_asked_ms);
    else
        set_part(out, LINK_PART_DNS, probe->is_dns_usable, probe->dns_reason);
    out->has_answered = true;
}

static void tell(evutil_socket_t fd, short what, void *context) {
    (void)fd;
    (void)what;
    struct link_waiter *waiter = context;
    struct link_readiness readiness = {.has_answered = false};
    link_told *told = waiter->told;
    void *told_context = waiter->context;
    judge(waiter->probe, &readiness);
    free_waiter(waiter);
    told(told_context, &readiness);
}

static void tell_if_known(struct link_readiness_probe *probe) {
    struct link_waiter *waiter;
    if (probe->is_asking_redis || probe->is_asking_signer || probe->is_asking_dns)
        return;
    TAILQ_FOREACH(waiter, &probe->waiters, entry) {
        event_active(waiter->timer, EV_TIMEOUT, 0);
    }
}

static void note_redis(void *context, const struct error *error) {
    struct link_readiness_probe *probe = context;
    probe->is_asking_redis = false;
    probe->redis_error = error == NULL ? (struct error){.code = ERROR_NONE} : *error;
    tell_if_known(probe);
}

static void note_signer(void *context, const struct error *error) {
    struct link_readiness_probe *probe = context;
    probe->is_asking_signer = false;
    probe->signer_error = error == NULL ? (struct error){.code = ERROR_NONE} : *error;
    tell_if_known(probe);
}

static void note_dns(void *context, bool is_usable, const char *reason) {
    struct link_readiness_probe *probe = context;
    probe->is_asking_dns = false;
    probe->is_dns_usable = is_usable;
    snprintf(probe->dns_reason, sizeof probe->dns_reason, "%s", reason);
    tell_if_known(probe);
}

static void ask(struct link_readiness_probe *probe) {
    if (!probe->is_asking_redis) {
        probe->is_asking_redis = true;
        probe->redis_asked_ms = clock_monotonic_ms();
        store_look(probe->worker->store, note_redis, probe);
    }
    if (!probe->is_asking_signer) {
        probe->is_asking_signer = true;
        probe->signer_asked_ms = clock_monotonic_ms();
        signer_get_status(probe->worker->signer, &probe->status, note_signer, probe);
    }
    if (!probe->is_asking_dns) {
        probe->is_asking_dns = true;
        probe->dns_asked_ms = clock_monotonic_ms();
        dnscheck_probe(probe->worker->dnscheck, DNS_KEPT_MS, note_dns, probe);
    }
}

struct link_waiter *link_readiness_ask(struct link_readiness_probe *probe, link_told *told, void *context) {
    struct link_waiter *waiter = calloc(1, sizeof *waiter);
    if (waiter != NULL)
        waiter->timer = evtimer_new(probe->worker->base, tell, waiter);
    if (waiter == NULL || waiter->timer == NULL) {
        free(waiter);
        return NULL;
    }
    waiter->probe = probe;
    waiter->told = told;
    waiter->context = context;
    TAILQ_INSERT_TAIL(&probe->waiters, waiter, entry);
    uint32_t limit = probe->worker->config->readiness_timeout_ms / 10 * 7;
    const struct timeval delay = {.tv_sec = limit / 1000, .tv_usec = limit % 1000 * 1000};
    event_add(waiter->timer, &delay);
    ask(probe);
    return waiter;
}

void link_readiness_cancel(struct link_waiter *waiter) {
    free_waiter(waiter);
}

struct link_readiness_probe *link_readiness_probe_new(struct worker *worker, struct error *error) {
    struct link_readiness_probe *probe = calloc(1, sizeof *probe);
    if (probe == NULL) {
        error_set(error, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    probe->worker = worker;
    TAILQ_INIT(&probe->waiters);
    return probe;
}

void link_readiness_probe_free(struct link_readiness_probe *probe) {
    if (probe == NULL)
        return;
    while (!TAILQ_EMPTY(&probe->waiters))
        free_waiter(TAILQ_FIRST(&probe->waiters));
    free(probe);
}
