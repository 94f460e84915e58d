/* The steps of a check before issuing, one function a step; each ends in finish or in the next. */
#include "originca/recheck.h"

#include <string.h>

#include "originca/json.h"
#include "originca/perspective.h"
#include "originca/worker_link.h"
#include "originca/zones.h"

static void succeed(struct recheck *recheck) {
    recheck->done(recheck->context, NULL);
}

static void fail(struct recheck *recheck, enum recheck_failure failure, const struct error *error) {
    recheck->failure = failure;
    recheck->done(recheck->context, error);
}

static void run_out_of_memory(struct recheck *recheck) {
    error_set(&recheck->error, ERROR_UNAVAILABLE, "out of memory");
    fail(recheck, RECHECK_FAILED, &recheck->error);
}

/* When the oldest of the proofs was made. Without external binding each name was proven by itself. */
static time_t oldest_proof(const struct store_order *order) {
    time_t oldest = order->checked_at;
    for (size_t i = 0; *order->customer == '\0' && i < order->authorization_count; i++)
        if (order->authorizations[i].validated_at < oldest)
            oldest = order->authorizations[i].validated_at;
    return oldest;
}

/* --- the last check is fresh --- */

/* The ledger names the evidence by its hash; a fresh check's lies with the order. */
static void note_evidence(void *context, const struct error *error) {
    struct recheck *recheck = context;
    if (error != NULL && error->code != ERROR_NOT_FOUND)
        fail(recheck, RECHECK_FAILED, error);
    else
        succeed(recheck);
}

static void take_last_check(struct recheck *recheck) {
    recheck->checked_at = oldest_proof(recheck->order);
    store_load_evidence(recheck->worker->store, recheck->arena, recheck->order->id, &recheck->evidence,
                        note_evidence, recheck);
}

/* --- DNS --- */

static void note_recorded(void *context, const struct error *error) {
    struct recheck *recheck = context;
    if (error != NULL)
        fail(recheck, RECHECK_FAILED, error);
    else
        succeed(recheck);
}

static void note_failures_noted(void *context, const struct error *error) {
    struct recheck *recheck = context;
    (void)error; /* limits.h: the answer stands without the note */
    recheck->done(recheck->context, &recheck->error);
}

/* A definite no is told before one that a later try may turn. */
static const struct dnscheck_finding *find_worst(const struct dnscheck_result *result) {
    const struct dnscheck_finding *worst = NULL;
    for (size_t i = 0; i < result->name_count; i++) {
        const struct dnscheck_finding *finding = &result->names[i];
        if (finding->verdict != DNSCHECK_OK &&
            (worst == NULL || (worst->verdict != DNSCHECK_REFUSED && finding->verdict == DNSCHECK_REFUSED)))
            worst = finding;
    }
    return worst;
}

static void note_checked(void *context, const struct dnscheck_result *result) {
    struct recheck *recheck = context;
    const struct dnscheck_finding *worst = find_worst(result);
    if (worker_link_is_unanswered(result, &recheck->error)) { /* that says nothing about anybody's DNS */
        fail(recheck, RECHECK_FAILED, &recheck->error);
        return;
    }
    recheck->result = result;
    if (worst == NULL && result->verdict == DNSCHECK_OK &&
        result->name_count == recheck->order->authorization_count) {
        recheck->evidence = json_to_text(recheck->arena, result->evidence);
        recheck->checked_at = result->checked_at;
        if (recheck->evidence == NULL)
            run_out_of_memory(recheck);
        else
            store_record_recheck(recheck->worker->store, recheck->order->id, recheck->checked_at,
                                 recheck->evidence, note_recorded, recheck);
        return;
    }
    bool is_refused = worst != NULL && worst->verdict == DNSCHECK_REFUSED;
    recheck->failure = is_refused ? RECHECK_REFUSED : RECHECK_UNSURE;
    error_set(&recheck->error, is_refused ? ERROR_REFUSED : ERROR_UNAVAILABLE, "%s",
              worst == NULL ? "DNS could not be checked again" : worst->text);
    if (!limits_note_failures(recheck->worker, recheck->arena, &recheck->limits, &recheck->asked, result,
                              note_failures_noted, recheck))
        recheck->done(recheck->context, &recheck->error);
}

/* A worker asks for itself, the admin process asks a worker. */
static bool ask_dns(struct recheck *recheck, const struct dnscheck_request *request) {
    const struct worker *worker = recheck->worker;
    if (worker->link != NULL)
        return worker_link_check(worker->link, recheck->arena, request, LINK_ALL_VIEWS, note_checked, recheck,
                                 &recheck->error) != NULL;
    return perspectives_start(worker->perspectives, recheck->arena, request, note_checked, recheck,
                              &recheck->error) != NULL;
}

/* CAA may name the account (RFC 8657); orders of the REST API have none. */
static void check_dns(struct recheck *recheck) {
    const struct config *config = recheck->worker->config;
    const struct store_order *order = recheck->order;
    struct dnscheck_request request;
    if (!zones_build_check(recheck->arena, recheck->zones, recheck->names, NULL, order->authorization_count,
                           &request, &recheck->error)) {
        fail(recheck, RECHECK_FAILED, &recheck->error);
        return;
    }
    bool is_acme = *order->account != '\0';
    if (is_acme && (request.account_uri = arena_printf(recheck->arena, "%s/acme/account/%s", config->base_url,
                                                       order->account)) == NULL) {
        run_out_of_memory(recheck);
        return;
    }
    request.method = is_acme && !config->external_account_required ? "dns-01" : "ca-delegation";
    if (!ask_dns(recheck, &request)) {
        recheck->error.code = ERROR_UNAVAILABLE;
        fail(recheck, RECHECK_FAILED, &recheck->error);
    }
}

/* --- zones and limits --- */

static void note_limits(void *context, const struct error *error) {
    struct recheck *recheck = context;
    if (error != NULL) {
        fail(recheck, RECHECK_FAILED, error);
    } else if (recheck->limits.outcome.exceeded != 0) {
        error_set(&recheck->error, ERROR_LIMIT, "%s", limits_text(recheck->arena, &recheck->limits));
        fail(recheck, RECHECK_LIMITED, &recheck->error);
    } else {
        check_dns(recheck);
    }
}

static void take_limits(struct recheck *recheck) {
    const struct store_order *order = recheck->order;
    const char *checker = *order->customer != '\0' ? order->customer : recheck->checker;
    recheck->asked = (struct limits_order){.orderer = checker,
                                           .checker = checker,
                                           .names = recheck->names,
                                           .zones = recheck->zones,
                                           .count = order->authorization_count};
    if (!limits_for_check(recheck->arena, recheck->worker->config, &recheck->asked, &recheck->limits))
        run_out_of_memory(recheck);
    else if (!limits_take(recheck->worker, &recheck->limits, note_limits, recheck))
        check_dns(recheck);
}

static void note_zones(void *context, const struct error *error) {
    struct recheck *recheck = context;
    const struct store_order *order = recheck->order;
    if (error != NULL) {
        fail(recheck, RECHECK_FAILED, error);
        return;
    }
    for (size_t i = 0; i < order->authorization_count; i++) {
        if (recheck->zones[i].id == NULL ||
            strcmp(recheck->zones[i].id, order->authorizations[i].zone) != 0) {
            error_set(&recheck->error, ERROR_REFUSED, "The zone of %s is no longer yours", recheck->names[i]);
            fail(recheck, RECHECK_NOT_YOURS, &recheck->error);
            return;
        }
    }
    take_limits(recheck);
}

void recheck_run(struct recheck *recheck, recheck_done *done, void *context) {
    const struct store_order *order = recheck->order;
    const char *customer = *order->customer == '\0' ? NULL : order->customer;
    time_t fresh_seconds = (time_t)recheck->worker->config->recheck_after_seconds;
    recheck->done = done;
    recheck->context = context;
    if (!recheck->must_check && time(NULL) - oldest_proof(order) < fresh_seconds) {
        take_last_check(recheck);
        return;
    }
    recheck->zones = arena_alloc(recheck->arena, order->authorization_count * sizeof *recheck->zones);
    if (recheck->zones == NULL)
        run_out_of_memory(recheck);
    else
        store_zones_of_names(recheck->worker->store, recheck->arena, customer, recheck->issuer,
                             recheck->names, order->authorization_count, recheck->zones, note_zones, recheck);
}

enum step_result recheck_start_step(struct operation *operation, const struct dnscheck_request *request,
                                    dnscheck_callback *note) {
    if (perspectives_start(operation->worker->perspectives, operation->arena, request, note, operation,
                           &operation->error) != NULL)
        return STEP_WAIT;
    operation->error.code = ERROR_UNAVAILABLE;
    return STEP_FAIL;
}
