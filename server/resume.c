/* Other attempts for orders that wait for one. Each order is a job in an arena of its own that walks the same
 * path as finalize: rights and DNS afresh (recheck.h), then claim, sign and record (issue.h). What no retry
 * can change ends the order with a problem that its client's poll finds; everything else waits for longer, up
 * to the order's end. Any host may do it: an order that waits is no host's. */
#include "resume.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <time.h>

#include "originca/csr.h"
#include "originca/issue.h"
#include "originca/json.h"
#include "originca/log.h"
#include "originca/metrics.h"
#include "originca/recheck.h"

#define ACME_PREFIX "urn:ietf:params:acme:error:"
#define LEASE_MARGIN_MS 10000
#define TEXT_ENDED "No certificate could be made before the order's end; make a new order"
#define TEXT_UNFETCHED                                                                                       \
    "No certificate could be made at once, and no later request gets one (rest_retry_window_seconds = 0)"
#define TEXT_UNSIGNED                                                                                        \
    "The certificate authority refuses this certificate; ask its operator with the order's id"

struct job {
    TAILQ_ENTRY(job) entry;
    struct resumer *resumer;
    struct arena *arena;
    struct store_order order;
    struct csr csr;
    char spki_sha256[2 * SHA256_BYTES + 1];
    const char **names;
    struct recheck recheck;
    struct issue issue;
};

struct resumer {
    struct worker *worker;
    TAILQ_HEAD(, job) jobs;
    size_t job_count;
    struct arena *listing; /* NULL: no list is awaited */
    struct store_name_list list;
    struct metric *issued, *ended;
};

const char *resumer_problem_text(struct arena *arena, const struct store_order *order, const char *type,
                                 unsigned status, const char *detail) {
    const char *full = arena_printf(arena, ACME_PREFIX "%s", type);
    json_t *json =
        full == NULL ? NULL
        : strcmp(order->origin, "rest") == 0
            ? json_pack("{s:I, s:s}", "status", (json_int_t)status, "detail", detail)
            : json_pack("{s:s, s:s, s:I}", "type", full, "detail", detail, "status", (json_int_t)status);
    json_t *owned = json == NULL ? NULL : arena_own_json(arena, json);
    return owned == NULL ? NULL : json_to_text(arena, owned);
}

/* --- ends --- */

static void end_job(struct job *job) {
    TAILQ_REMOVE(&job->resumer->jobs, job, entry);
    job->resumer->job_count--;
    arena_free(job->arena);
}

/* Where Redis did not take it, the order is due again after its lease. */
static void note_released(void *context, const struct error *error) {
    struct job *job = context;
    if (error != NULL)
        log_event(LOG_LEVEL_WARNING, "cannot write down how an order waits", "order", job->order.id, "reason",
                  error->message, NULL);
    end_job(job);
}

static void postpone(struct job *job, const struct error *error) {
    log_event(LOG_LEVEL_WARNING, "an order in processing waits on", "order", job->order.id, "reason",
              error->message, NULL);
    store_release_order(job->resumer->worker->store, job->order.id, "", NULL, note_released, job);
}

static void end_order(struct job *job, const char *type, unsigned status, const char *detail) {
    const char *problem = resumer_problem_text(job->arena, &job->order, type, status, detail);
    metric_add(job->resumer->ended, 1);
    log_event(LOG_LEVEL_WARNING, "an order in processing ended without a certificate", "order", job->order.id,
              "account", job->order.account, "customer", job->order.customer, "reason", detail, NULL);
    store_release_order(job->resumer->worker->store, job->order.id, "", problem == NULL ? "{}" : problem,
                        note_released, job);
}

/* --- issuing --- */

static const char *describe_refusal(void *context, const struct error *error) {
    struct job *job = context;
    const char *problem = resumer_problem_text(job->arena, &job->order, "badCSR", 400, TEXT_UNSIGNED);
    (void)error; /* is in the log */
    return problem == NULL ? "{}" : problem;
}

static void note_recorded(void *context, const struct error *error) {
    struct job *job = context;
    bool is_in_doubt = job->issue.is_in_doubt;
    if (error == NULL && !is_in_doubt)
        metric_add(job->resumer->issued, 1);
    log_event(error == NULL ? LOG_LEVEL_INFO : LOG_LEVEL_WARNING,
              error == NULL && !is_in_doubt ? "certificate issued for an order in processing"
                                            : "an order in processing has no certificate yet",
              "order", job->order.id, "account", job->order.account, "customer", job->order.customer,
              "serial", error == NULL && !is_in_doubt ? job->issue.certificate.serial : NULL, "reason",
              error == NULL ? NULL : error->message, NULL);
    end_job(job);
}

/* What the signer refused for good, or for the moment, is written down with the order already (issue.c). */
static void note_signed(void *context, const struct error *error) {
    struct job *job = context;
    if (error != NULL)
        note_recorded(job, error);
    else
        issue_record(&job->issue, note_recorded, job);
}

static void note_claimed(void *context, const struct error *error) {
    struct job *job = context;
    if (error == NULL)
        issue_sign(&job->issue, note_signed, job);
    else if (job->issue.failure == ISSUE_BAD_KEY)
        end_order(job, "badCSR", 400, error->message);
    else if (job->issue.failure == ISSUE_REFUSED)
        end_order(job, "unauthorized", 403, error->message);
    else if (job->issue.failure == ISSUE_NOT_READY)
        end_job(job); /* somebody else was faster, or ended it */
    else
        postpone(job, error);
}

static bool set_terms(struct job *job, struct error *error) {
    job->issue = (struct issue){
        .worker = job->resumer->worker,
        .arena = job->arena,
        .request_id = job->order.id,
        .order = &job->order,
        .names = job->names,
        .spki = job->csr.key.spki,
        .csr = job->order.csr,
        .csr_sha256 = job->order.csr_sha256,
        .spki_sha256 = job->spki_sha256,
        .evidence = job->recheck.evidence,
        .checked_at = job->recheck.checked_at,
        .describe = describe_refusal,
    };
    return issue_set_terms(&job->issue, job->csr.key.kind == KEY_KIND_RSA, error);
}

static void claim(struct job *job) {
    struct error error;
    if (set_terms(job, &error))
        issue_claim(&job->issue, note_claimed, job);
    else
        postpone(job, &error);
}

/* --- before it --- */

static void note_rechecked(void *context, const struct error *error) {
    struct job *job = context;
    if (error == NULL) {
        claim(job);
        return;
    }
    switch (job->recheck.failure) {
    case RECHECK_NOT_YOURS:
    case RECHECK_REFUSED:
        end_order(job, "unauthorized", 403, error->message);
        return;
    case RECHECK_FAILED:
        if (error->code == ERROR_CONFLICT || error->code == ERROR_NOT_FOUND) {
            end_job(job); /* it has ended meanwhile */
            return;
        }
        break;
    case RECHECK_LIMITED:
    case RECHECK_UNSURE:
        break;
    }
    postpone(job, error);
}

static bool read_csr(struct job *job, struct error *error) {
    bool is_read = job->order.csr.length > 0 &&
                   csr_parse_key(job->arena, job->order.csr, &job->csr, error); /* its names were compared */
    if (is_read)
        hex_encode(job->csr.key.spki_sha256, SHA256_BYTES, job->spki_sha256);
    return is_read;
}

/* A create of the REST API was answered, and one that is sent again stands for itself. */
static bool does_nobody_fetch(const struct job *job) {
    return strcmp(job->order.origin, "rest") == 0 &&
           job->resumer->worker->config->rest_retry_window_seconds == 0;
}

static void run_job(struct job *job) {
    struct error error = {.code = ERROR_NONE, .message = ""};
    struct store_order *order = &job->order;
    job->names = arena_alloc(job->arena, (order->authorization_count + 1) * sizeof *job->names);
    if (job->names == NULL) {
        end_job(job); /* it is due again after its lease */
        return;
    }
    for (size_t i = 0; i < order->authorization_count; i++)
        job->names[i] = order->authorizations[i].name;
    if (order->expires_at <= time(NULL)) {
        end_order(job, "serverInternal", 503, TEXT_ENDED);
    } else if (does_nobody_fetch(job)) {
        end_order(job, "serverInternal", 503, TEXT_UNFETCHED);
    } else if (!read_csr(job, &error)) {
        /* Claimed by a version that kept no CSR; or a key that went onto the block list meanwhile. */
        end_order(job, "badCSR", 400,
                  order->csr.length == 0 ? "The order holds no CSR; make a new order" : error.message);
    } else if (!set_terms(job, &error)) {
        postpone(job, &error);
    } else {
        job->recheck = (struct recheck){.worker = job->resumer->worker,
                                        .arena = job->arena,
                                        .order = order,
                                        .names = job->names,
                                        .issuer = job->issue.issuer,
                                        .checker = order->account,
                                        .must_check = true};
        recheck_run(&job->recheck, note_rechecked, job);
    }
}

/* --- what is due --- */

/* An arena of its own for each: one may wait for silent name servers while the others are long done. */
static struct job *new_job(struct resumer *resumer) {
    struct arena *arena = arena_new(0);
    struct job *job = arena == NULL ? NULL : arena_alloc(arena, sizeof *job);
    if (job == NULL) {
        arena_free(arena);
        return NULL;
    }
    *job = (struct job){.resumer = resumer, .arena = arena};
    TAILQ_INSERT_TAIL(&resumer->jobs, job, entry);
    resumer->job_count++;
    return job;
}

static void note_loaded(void *context, const struct error *error) {
    struct job *job = context;
    if (error != NULL || job->order.status != ORDER_PROCESSING || *job->order.attempt != '\0')
        end_job(job);
    else
        run_job(job);
}

static void note_listed(void *context, const struct error *error) {
    struct resumer *resumer = context;
    struct arena *listing = resumer->listing;
    const struct store_name_list list = resumer->list;
    resumer->listing = NULL;
    for (size_t i = 0; error == NULL && i < list.count; i++) {
        struct job *job = new_job(resumer);
        const char *id = job == NULL ? NULL : arena_strdup(job->arena, list.items[i]);
        if (id != NULL)
            store_load_order(resumer->worker->store, job->arena, id, &job->order, note_loaded, job);
        else if (job != NULL)
            end_job(job);
    }
    arena_free(listing);
}

/* Until an attempt has surely ended or come to its claim. */
static uint32_t lease_ms(const struct config *config) {
    return config->dns_deadline_ms + config->signer_timeout_ms + 4 * config->redis_command_timeout_ms +
           LEASE_MARGIN_MS;
}

void resumer_run(struct resumer *resumer) {
    const struct config *config = resumer->worker->config;
    if (resumer->listing != NULL || resumer->job_count >= config->resume_max_orders ||
        (resumer->listing = arena_new(0)) == NULL)
        return;
    store_waiting_orders(resumer->worker->store, resumer->listing,
                         config->resume_max_orders - (uint32_t)resumer->job_count, lease_ms(config),
                         &resumer->list, note_listed, resumer);
}

struct resumer *resumer_new(struct worker *worker, struct error *error) {
    struct resumer *resumer = calloc(1, sizeof *resumer);
    if (resumer == NULL) {
        error_set(error, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    resumer->worker = worker;
    TAILQ_INIT(&resumer->jobs);
    resumer->issued = metrics_counter(worker->metrics, "originca_orders_resumed_total",
                                      "Certificates of orders that had waited in processing for an attempt");
    resumer->ended = metrics_counter(worker->metrics, "originca_orders_given_up_total",
                                     "Orders in processing that ended without a certificate");
    return resumer;
}

void resumer_free(struct resumer *resumer) {
    if (resumer == NULL)
        return;
    arena_free(resumer->listing);
    while (!TAILQ_EMPTY(&resumer->jobs))
        end_job(TAILQ_FIRST(&resumer->jobs));
    free(resumer);
}
