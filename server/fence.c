/* The fence: this worker serves only once Redis holds everything that the host's ledger holds.
 *
 * One pass: load what Redis has applied, ask the signer where the ledger stands, then either declare the
 * worker ready, replay the records in between, or stay shut with a reason an operator can act on. A pass runs
 * at each (re)connect to Redis and, in slot 0, every few seconds, where it also finds issuances that somebody
 * began and did not finish (reconcile.c). */
#include "originca/fence.h"

#include <stdlib.h>
#include <string.h>

#include "originca/log.h"
#include "originca/metrics.h"
#include "originca/signer.h"
#include "originca/store.h"
#include "reconcile.h"

#define PASS_INTERVAL_MS 2000
#define RETRY_INTERVAL_MS 300 /* while not ready */
#define REPLAY_BATCH 64

struct fence {
    struct worker *worker;
    struct reconciler *reconciler;
    struct event *timer;
    struct metric *behind, *replayed, *orphans;
    bool is_running;
    uint64_t last_behind_at; /* `applied` of the former pass where it was behind the ledger */
    uint64_t applied_before; /* of the former pass; only a Redis that lost something moves it back */
    /* of the running pass */
    struct arena *arena;
    struct store_ledger_state state;
    struct signer_status status;
    json_t *records;
    size_t next_record;
    uint64_t replay_from;
    struct signer_revocation revocation;
    uint64_t revoked_sequence;
    struct store_ledger_mark mark;
};

static void schedule(struct fence *fence, int64_t after_ms) {
    const struct timeval delay = {.tv_sec = after_ms / 1000, .tv_usec = after_ms % 1000 * 1000};
    event_add(fence->timer, &delay);
}

static void set_ready(struct fence *fence, bool is_ready, const char *reason) {
    struct worker *worker = fence->worker;
    bool has_changed = worker->is_ready != is_ready || strcmp(worker->not_ready_reason, reason) != 0;
    worker->is_ready = is_ready;
    snprintf(worker->not_ready_reason, sizeof worker->not_ready_reason, "%s", reason);
    if (!has_changed)
        return;
    log_event(is_ready ? LOG_LEVEL_INFO : LOG_LEVEL_WARNING, is_ready ? "serving" : "not serving", "reason",
              is_ready ? NULL : reason, NULL);
    worker->publish_metrics(worker); /* alarms hang on originca_worker_ready */
}

static void end_pass(struct fence *fence) {
    arena_free(fence->arena);
    fence->arena = NULL;
    fence->is_running = false;
    schedule(fence, fence->worker->is_ready ? PASS_INTERVAL_MS : RETRY_INTERVAL_MS);
}

/* A worker that serves keeps serving when one pass fails: Redis being away is noticed by the store itself. */
static void fail_pass(struct fence *fence, const char *what, const struct error *error) {
    char reason[256];
    snprintf(reason, sizeof reason, "%s: %.200s", what, error->message);
    if (fence->worker->is_ready)
        log_event(LOG_LEVEL_WARNING, "fence pass failed", "reason", reason, NULL);
    else
        set_ready(fence, false, reason);
    end_pass(fence);
}

static void apply_next(struct fence *fence);

static void note_revocation_recorded(void *context, const struct error *error) {
    struct fence *fence = context;
    if (error != NULL) {
        fail_pass(fence, "cannot record the revocation of an orphan", error);
        return;
    }
    apply_next(fence);
}

static void note_orphan_revoked(void *context, const struct error *error) {
    struct fence *fence = context;
    char serial[SERIAL_HEX_MAX];
    if (error != NULL) {
        fail_pass(fence, "cannot revoke an orphan", error);
        return;
    }
    const json_t *record = json_array_get(fence->records, fence->next_record - 1);
    uint64_t issued = (uint64_t)json_integer_value(json_object_get(record, "seq"));
    uint64_t *sequences = arena_alloc(fence->arena, 2 * sizeof *sequences);
    hex_encode(fence->revocation.serial, SERIAL_BYTES, serial);
    if (sequences == NULL) {
        end_pass(fence);
        return;
    }
    sequences[0] = fence->revocation.sequence;
    sequences[1] = issued;
    fence->mark = (struct store_ledger_mark){fence->worker->config->host_name, sequences, 2};
    metric_add(fence->orphans, 1);
    store_revoke_certificate(fence->worker->store, serial, fence->revocation.revoked_at,
                             fence->revocation.reason, "recovery", &fence->mark, note_revocation_recorded,
                             fence);
}

/* A signed certificate that must not be used: its order, account or zone is gone. Nobody outside ever had it.
 */
static void revoke_orphan(struct fence *fence, const json_t *record, const struct error *why) {
    const char *serial = json_string_value(json_object_get(record, "serial"));
    const char *issuer = json_string_value(json_object_get(record, "issuer"));
    fence->revocation = (struct signer_revocation){.issuer = issuer, .reason = 5, .by = "recovery"};
    if (serial == NULL || issuer == NULL || !hex_decode(serial, fence->revocation.serial, SERIAL_BYTES)) {
        const struct error broken = {ERROR_INTERNAL, "an issued record holds no serial"};
        fail_pass(fence, "replay", &broken);
        return;
    }
    log_event(LOG_LEVEL_WARNING, "revoking a certificate that was signed and never given out", "serial",
              serial, "reason", why->message, NULL);
    signer_revoke(fence->worker->signer, &fence->revocation, note_orphan_revoked, fence);
}

static void note_applied(void *context, const struct error *error) {
    struct fence *fence = context;
    if (error == NULL) {
        metric_add(fence->replayed, 1);
        apply_next(fence);
    } else if (error->code == ERROR_CONFLICT) {
        revoke_orphan(fence, json_array_get(fence->records, fence->next_record - 1), error);
    } else {
        fail_pass(fence, "replay", error);
    }
}

static void note_records(void *context, const struct error *error) {
    struct fence *fence = context;
    if (error != NULL) {
        fail_pass(fence, "cannot read the ledger", error);
        return;
    }
    fence->next_record = 0;
    apply_next(fence);
}

static void read_records(struct fence *fence) {
    signer_read_ledger(fence->worker->signer, fence->arena, fence->replay_from, REPLAY_BATCH, &fence->records,
                       note_records, fence);
}

static void apply_next(struct fence *fence) {
    if (fence->next_record < json_array_size(fence->records)) {
        const json_t *record = json_array_get(fence->records, fence->next_record++);
        fence->replay_from = (uint64_t)json_integer_value(json_object_get(record, "seq")) + 1;
        store_apply_ledger_record(fence->worker->store, fence->worker->config->host_name, record,
                                  fence->worker->config->evidence_max_age_seconds, note_applied, fence);
        return;
    }
    if (json_array_size(fence->records) > 0 && fence->replay_from <= fence->status.last_sequence) {
        read_records(fence);
        return;
    }
    /* Done: a new pass in a moment looks once more and declares the worker ready. */
    end_pass(fence);
    schedule(fence, 0);
}

/* Records of issuances under way in other workers are behind for a moment; only what stays behind needs a
 * replay. */
static bool must_replay(struct fence *fence) {
    if (fence->state.applied >= fence->status.last_sequence) {
        fence->last_behind_at = UINT64_MAX;
        return false;
    }
    bool is_stuck = fence->last_behind_at == fence->state.applied;
    fence->last_behind_at = fence->state.applied;
    return !fence->worker->is_ready || is_stuck;
}

static void judge(struct fence *fence) {
    char reason[256];
    bool has_moved_back = fence->state.applied < fence->applied_before;
    fence->applied_before = fence->state.applied;
    if (has_moved_back)
        set_ready(fence, false, "Redis is older than it was: replaying the ledger into Redis");
    if (fence->state.highest > fence->status.last_sequence) {
        snprintf(
            reason, sizeof reason,
            "Redis has applied ledger record %llu but the ledger ends at %llu: records are lost. Restore the "
            "ledger, or accept the loss with `originca admin ledger confirm-loss`",
            (unsigned long long)fence->state.highest, (unsigned long long)fence->status.last_sequence);
        set_ready(fence, false, reason);
        end_pass(fence);
        return;
    }
    metric_set(fence->behind, (int64_t)(fence->status.last_sequence - fence->state.applied));
    if (must_replay(fence)) {
        if (!fence->worker->is_ready)
            set_ready(fence, false, "replaying the ledger into Redis");
        fence->replay_from = fence->state.applied + 1;
        read_records(fence);
        return;
    }
    set_ready(fence, true, "");
    end_pass(fence);
    if (fence->worker->slot == 0 && !fence->worker->is_draining)
        reconciler_run(fence->reconciler);
}

static void note_reset(void *context, const struct error *error) {
    struct fence *fence = context;
    if (error != NULL) {
        fail_pass(fence, "cannot introduce the ledger to Redis", error);
        return;
    }
    end_pass(fence);
    schedule(fence, 0);
}

static void note_status(void *context, const struct error *error) {
    struct fence *fence = context;
    if (error != NULL) {
        fail_pass(fence, "the signer is away", error);
        return;
    }
    if (*fence->state.ledger_id == '\0') {
        set_ready(fence, false,
                  "Redis knows no ledger of this host, it is new or was emptied: replaying the ledger");
        store_reset_ledger_state(fence->worker->store, fence->worker->config->host_name,
                                 fence->status.ledger_id, 0, note_reset, fence);
        return;
    }
    if (strcmp(fence->state.ledger_id, fence->status.ledger_id) != 0) {
        set_ready(fence, false,
                  "Redis knows another ledger of this host: the ledger was replaced. Restore it, or accept "
                  "the loss "
                  "with `originca admin ledger confirm-loss`");
        end_pass(fence);
        return;
    }
    judge(fence);
}

static void note_state(void *context, const struct error *error) {
    struct fence *fence = context;
    if (error != NULL)
        fail_pass(fence, "cannot read the fence", error);
    else
        signer_get_status(fence->worker->signer, &fence->status, note_status, fence);
}

/* Redis is read before the signer is asked: whatever was applied then is at or before the end of the ledger
 * now, while other workers go on issuing. So "Redis ahead" always means a lost ledger. */
static void start_pass(evutil_socket_t fd, short what, void *context) {
    (void)fd;
    (void)what;
    struct fence *fence = context;
    const char *reason;
    if (fence->is_running)
        return;
    if (!store_is_ready(fence->worker->store, &reason)) {
        set_ready(fence, false, reason);
        schedule(fence, RETRY_INTERVAL_MS);
        return;
    }
    fence->arena = arena_new(0);
    if (fence->arena == NULL) {
        schedule(fence, RETRY_INTERVAL_MS);
        return;
    }
    fence->is_running = true;
    store_load_ledger_state(fence->worker->store, fence->arena, fence->worker->config->host_name,
                            &fence->state, note_state, fence);
}

static void note_store(void *context, bool is_ready, const char *reason) {
    struct fence *fence = context;
    if (!is_ready) {
        set_ready(fence, false, reason);
        return;
    }
    fence->last_behind_at = UINT64_MAX;
    schedule(fence, 0);
}

struct fence *fence_new(struct worker *worker, struct error *error) {
    struct fence *fence = calloc(1, sizeof *fence);
    if (fence == NULL) {
        error_set(error, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    fence->worker = worker;
    fence->last_behind_at = UINT64_MAX;
    fence->behind = metrics_gauge(worker->metrics, "originca_ledger_records_behind",
                                  "Ledger records that Redis has not applied yet");
    fence->replayed =
        metrics_counter(worker->metrics, "originca_ledger_replayed_total", "Ledger records replayed");
    fence->orphans = metrics_counter(worker->metrics, "originca_orphans_revoked_total",
                                     "Certificates signed, never given out, and revoked by recovery");
    fence->timer = evtimer_new(worker->base, start_pass, fence);
    fence->reconciler = reconciler_new(worker, error);
    if (fence->timer == NULL || fence->reconciler == NULL) {
        fence_free(fence);
        return NULL;
    }
    store_on_ready(worker->store, note_store, fence);
    schedule(fence, 0);
    return fence;
}

void fence_free(struct fence *fence) {
    if (fence == NULL)
        return;
    if (fence->timer != NULL)
        event_free(fence->timer);
    reconciler_free(fence->reconciler);
    arena_free(fence->arena);
    free(fence);
}
