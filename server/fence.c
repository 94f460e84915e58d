/* The fence: a worker serves only once Redis holds everything that the host's ledger holds.
 *
 * One pass: load what Redis has applied, ask the signer where the ledger stands, have it compare, then either
 * declare the process ready, replay the records in between, or stay shut with a reason an operator can act
 * on. A signer that has just started writes nothing before such a comparison has fitted. A pass runs at each
 * (re)connect to Redis and every two seconds.
 *
 * Workers run it to decide whether they serve, and change nothing. The admin process replays, in batches,
 * introduces the ledger to a new Redis, and finds issuances that somebody began and did not finish
 * (reconcile.c). */
#include "originca/fence.h"

#include <stdlib.h>
#include <string.h>

#include "issuer_bindings.h"
#include "ledger_lease.h"
#include "lost_data.h"
#include "originca/crl_floors.h"
#include "originca/ledger_writer.h"
#include "originca/log.h"
#include "originca/metrics.h"
#include "originca/revoke.h"
#include "originca/rights.h"
#include "originca/secret_check.h"
#include "originca/signer.h"
#include "originca/stops.h"
#include "originca/store.h"
#include "reconcile.h"
#include "redis_run.h"
#include "rights_sync.h"

#define PASS_INTERVAL_MS 2000
#define RETRY_INTERVAL_MS 300 /* while not ready */
#define REPLAY_BATCH 256
#define SMALL_GAP 256 /* more records than issuances under way can be */
#define PROGRESS_MS 2000
#define LOOK_FRESH_SECONDS 15 /* of the keeper, for a worker that begins */

struct fence {
    struct worker *worker;
    bool is_keeper;
    struct issuer_bindings *issuers;
    struct signer_client *signer;    /* a keeper's is an operator's link */
    struct reconciler *reconciler;   /* NULL where it is no keeper */
    struct rights_sync *rights_sync; /* likewise */
    struct lost_data *lost_data;     /* likewise */
    struct crl_floors *crl_floors;   /* likewise */
    struct ledger_lease *lease;      /* likewise */
    struct stops_watch *stops_watch; /* likewise */
    struct event *timer;
    struct metric *behind, *replayed, *unreadable, *orphans, *went_back, *hosts;
    struct known_hosts known_hosts;
    bool is_running;
    bool has_served;
    uint64_t last_behind_at; /* `applied` of the former pass where it was behind the ledger */
    uint64_t applied_before; /* of the former pass; only a Redis that lost something moves it back */
    /* A worker that does not serve waits for the record that was the last when it began to wait: while others
     * issue there is always a later one. 0: not set. */
    uint64_t target;
    int64_t told_ms; /* when progress was last logged */
    /* of the running pass */
    struct arena *arena;
    int64_t asked_ms; /* clock_wall_ms, when Redis was asked for its state */
    struct store_ledger_state state;
    struct signer_status status;
    struct signer_position position;
    struct signer_position_found found;
    bool proves_loss;    /* the ledger holds what a Redis must have known that knows nothing of it */
    struct arena *batch; /* of the records that are replayed */
    json_t *records;
    struct store_replay replay;
    uint64_t replayed_to;
    struct store_certificate orphan;
    struct revoke revoke;
    uint64_t marked; /* the orphan's record */
    uint8_t marked_hash[SHA256_BYTES];
};

static void schedule(struct fence *fence, int64_t after_ms) {
    const struct timeval delay = {.tv_sec = after_ms / 1000, .tv_usec = after_ms % 1000 * 1000};
    event_add(fence->timer, &delay);
}

static void set_ready(struct fence *fence, bool is_ready, const char *reason) {
    struct worker *worker = fence->worker;
    bool has_changed = worker->is_ready != is_ready || strcmp(worker->not_ready_reason, reason) != 0;
    if (worker->is_ready && !is_ready) {
        fence->target = 0;
        worker->not_ready_since_ms = clock_monotonic_ms();
    }
    worker->is_ready = is_ready;
    snprintf(worker->not_ready_reason, sizeof worker->not_ready_reason, "%s", reason);
    if (!has_changed)
        return;
    log_event(is_ready ? LOG_LEVEL_INFO : LOG_LEVEL_WARNING, is_ready ? "serving" : "not serving", "reason",
              is_ready ? NULL : reason, NULL);
    worker->publish_metrics(worker); /* alarms hang on originca_worker_ready */
}

static void end_pass(struct fence *fence) {
    arena_free(fence->batch);
    arena_free(fence->arena);
    fence->arena = fence->batch = NULL;
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
    schedule(fence, RETRY_INTERVAL_MS);
}

/* --- replay --- */

static void read_records(struct fence *fence);
static void settle_conflicts(struct fence *fence);

static const json_t *current_conflict(const struct fence *fence) {
    return fence->replay.conflicts[fence->replay.conflict_count - 1];
}

static void note_orphan_revoked(void *context, const struct error *error) {
    struct fence *fence = context;
    if (error != NULL) {
        fail_pass(fence, "cannot revoke an orphan", error);
        return;
    }
    metric_add(fence->orphans, 1);
    fence->replay.conflict_count--;
    settle_conflicts(fence);
}

/* A signed certificate that must not be used: its order, account or zone is gone. Nobody outside ever had it.
 */
static void revoke_orphan(struct fence *fence, const json_t *record) {
    const struct error broken = {ERROR_INTERNAL, "an issued record cannot be read back"};
    const char *hash = json_string_value(json_object_get(record, "hash"));
    if (!store_read_issued(fence->batch, record, &fence->orphan)) {
        fail_pass(fence, "replay", &broken);
        return;
    }
    fence->marked = (uint64_t)json_integer_value(json_object_get(record, "seq"));
    if (hash == NULL || !hex_decode(hash, fence->marked_hash, SHA256_BYTES))
        memset(fence->marked_hash, 0, SHA256_BYTES);
    log_event(LOG_LEVEL_WARNING, "revoking a certificate that was signed and never given out", "serial",
              fence->orphan.serial, NULL);
    fence->revoke = (struct revoke){.worker = fence->worker,
                                    .arena = fence->batch,
                                    .certificate = &fence->orphan,
                                    .reason = REASON_CESSATION_OF_OPERATION,
                                    .by = "recovery",
                                    .sequences = &fence->marked,
                                    .hashes = fence->marked_hash,
                                    .sequence_count = 1};
    revoke_start(&fence->revoke, note_orphan_revoked, fence);
}

static void tell_progress(struct fence *fence) {
    char reason[256];
    uint64_t applied = fence->replayed_to, last = fence->status.last_sequence;
    if (fence->worker->is_ready)
        return;
    snprintf(reason, sizeof reason, "replaying the ledger into Redis: %llu of %llu records are there",
             (unsigned long long)applied, (unsigned long long)last);
    int64_t now = clock_monotonic_ms();
    if (now - fence->told_ms >= PROGRESS_MS) {
        set_ready(fence, false, reason);
        fence->told_ms = now;
    } else { /* for whoever asks; not another line in the log */
        snprintf(fence->worker->not_ready_reason, sizeof fence->worker->not_ready_reason, "%s", reason);
    }
}

/* Done: a new pass in a moment looks once more and declares the worker ready. */
static void end_replay(struct fence *fence) {
    end_pass(fence);
    schedule(fence, 0);
}

static void settle_conflicts(struct fence *fence) {
    if (fence->replay.conflict_count > 0)
        revoke_orphan(fence, current_conflict(fence));
    else if (fence->replayed_to < fence->status.last_sequence)
        read_records(fence);
    else
        end_replay(fence);
}

static void note_replayed(void *context, const struct error *error) {
    struct fence *fence = context;
    size_t count = json_array_size(fence->records);
    if (error != NULL) {
        fail_pass(fence, "replay", error);
        return;
    }
    metric_add(fence->replayed, count);
    metric_add(fence->unreadable, fence->replay.unreadable_count);
    fence->replayed_to =
        (uint64_t)json_integer_value(json_object_get(json_array_get(fence->records, count - 1), "seq"));
    tell_progress(fence);
    settle_conflicts(fence);
}

static void seal(void *context, const struct store_right *right, char out[STORE_SEAL_MAX]) {
    rights_seal(context, right, out);
}

static void note_records(void *context, const struct error *error) {
    struct fence *fence = context;
    if (error != NULL) {
        fail_pass(fence, "cannot read the ledger", error);
        return;
    }
    if (json_array_size(fence->records) == 0) {
        end_replay(fence);
        return;
    }
    fence->replay =
        (struct store_replay){.host = fence->worker->config->host_name,
                              .records = fence->records,
                              .after = fence->replayed_to,
                              .fresh_seconds = fence->worker->config->evidence_max_age_seconds,
                              .may_have_lost_commits = strcmp(fence->state.verified, fence->state.run) != 0,
                              .seal = seal,
                              .seal_context = fence->worker};
    store_replay(fence->worker->store, fence->batch, &fence->replay, note_replayed, fence);
}

static void read_records(struct fence *fence) {
    arena_free(fence->batch);
    fence->batch = arena_new(0);
    if (fence->batch == NULL) {
        end_pass(fence);
        return;
    }
    signer_read_ledger(fence->signer, fence->batch, fence->replayed_to + 1, REPLAY_BATCH, &fence->records,
                       note_records, fence);
}

/* --- judging --- */

/* Records of issuances under way in other workers are behind for a moment; only what stays behind needs a
 * replay. */
static bool is_behind(struct fence *fence) {
    uint64_t applied = fence->state.applied, last = fence->status.last_sequence;
    if (!fence->worker->is_ready) {
        if (fence->target == 0 || fence->target > last)
            fence->target = last;
        return applied < fence->target;
    }
    bool is_stuck = applied < last && fence->last_behind_at == applied;
    /* More than issuances under way: the ledger was exchanged for a longer one. */
    if (is_stuck && last - applied > fence->state.ahead + SMALL_GAP)
        set_ready(fence, false,
                  "the ledger holds records that Redis never had: replaying the ledger into Redis");
    fence->last_behind_at = applied < last ? applied : UINT64_MAX;
    return is_stuck;
}

static void note_replay_begun(void *context, const struct error *error) {
    struct fence *fence = context;
    if (error != NULL)
        fail_pass(fence, "replay", error);
    else
        read_records(fence);
}

static void start_replay(struct fence *fence) {
    fence->replayed_to = fence->state.applied;
    /* What a former pass failed with stays said until a batch succeeds. */
    if (!fence->is_keeper || strncmp(fence->worker->not_ready_reason, "replay", 6) != 0)
        tell_progress(fence);
    if (!fence->is_keeper) {
        end_pass(fence);
        return;
    }
    lost_data_forget(fence->lost_data);
    store_begin_replay(fence->worker->store, fence->worker->config->host_name, fence->status.last_sequence,
                       note_replay_begun, fence);
}

static void refuse(struct fence *fence, const char *reason) {
    set_ready(fence, false, reason);
    end_pass(fence);
}

static void look_again(struct fence *fence) {
    end_pass(fence);
    schedule(fence, 0);
}

static void note_bound(void *context, const struct error *error) {
    struct fence *fence = context;
    if (error != NULL)
        fail_pass(fence, "cannot record which secrets the data in Redis rest on", error);
    else
        look_again(fence);
}

static void bind_secrets(struct fence *fence) {
    struct store_secret_checks checks;
    secret_check_derive(fence->worker, &checks);
    store_bind_secrets(fence->worker->store, &checks, false, note_bound, fence);
}

static void note_issuers_bound(void *context, const struct error *error) {
    struct fence *fence = context;
    if (error != NULL)
        fail_pass(fence, "cannot record whose keys the issuers' names are", error);
    else
        look_again(fence);
}

static void note_verified(void *context, const struct error *error) {
    struct fence *fence = context;
    if (error != NULL)
        fail_pass(fence, "cannot record that Redis holds all of the ledger", error);
    else
        look_again(fence);
}

static void note_floors(void *context, const struct error *error) {
    struct fence *fence = context;
    const struct store_ledger_state *state = &fence->state;
    if (error != NULL)
        fail_pass(fence, "cannot tell Redis which revocation lists were signed last", error);
    else
        store_verify_ledger(fence->worker->store, fence->worker->config->host_name, state->run,
                            (const char *const *)fence->known_hosts.names, fence->known_hosts.count,
                            note_verified, fence);
}

/* Redis holds all that this host's ledger holds. */
static void serve_whole(struct fence *fence) {
    const struct store_ledger_state *state = &fence->state;
    char reason[256];
    bool is_known_writer = ledger_writer_is_mine(state) || (fence->has_served && *state->writer.run == '\0');
    if (!is_known_writer && !fence->is_keeper) {
        refuse(fence, "the admin process takes over the ledger of this host_name");
        return;
    }
    if (strcmp(state->verified, state->run) != 0 && !fence->is_keeper) {
        refuse(fence, "Redis may be older than it was: the admin process compares it with the ledger");
        return;
    }
    if (fence->is_keeper && !secret_check_is_bound(fence->worker, state)) {
        bind_secrets(fence);
        return;
    }
    /* The signer may have others: of the configuration before a reload, which may fail, or by its ledger. */
    if (fence->is_keeper && fence->found.are_issuers_recorded && !issuer_bindings_are_known(fence->issuers)) {
        issuer_bindings_bind(fence->issuers, note_issuers_bound, fence);
        return;
    }
    if (strcmp(state->verified, state->run) != 0) { /* before any host serves a list that is older */
        crl_floors_update(fence->crl_floors, note_floors, fence);
        return;
    }
    if (!redis_run_is_whole(state, reason, sizeof reason)) {
        refuse(fence, reason);
        return;
    }
    size_t hosts = state->host_count;
    fence->worker->applied_at_least = fence->state.applied;
    set_ready(fence, true, "");
    fence->has_served = true;
    end_pass(fence);
    if (fence->is_keeper && !fence->worker->is_draining) {
        reconciler_run(fence->reconciler);
        rights_sync_run(fence->rights_sync, fence->status.knows_zones, hosts);
        stops_watch_run(fence->stops_watch);
    }
}

/* --- what vanished from Redis beside its watermark --- */

/* Hosts that share a Redis and cannot tell each other of zones do not know which of them ended. */
static bool knows_zones(const struct fence *fence) {
    return fence->status.knows_zones && (fence->state.host_count < 2 || fence->worker->operator_key != NULL);
}

static void note_lost(void *context, const struct error *error) {
    struct fence *fence = context;
    if (error != NULL)
        fail_pass(fence, "cannot record what Redis lacks", error);
    else
        look_again(fence);
}

static void note_looked(void *context, const struct error *error, const struct lost_data_verdict *verdict) {
    struct fence *fence = context;
    if (error != NULL) {
        fail_pass(fence, "cannot compare Redis with the ledger", error);
        return;
    }
    if (strcmp(verdict->reason, fence->state.lost) != 0) {
        store_note_lost(fence->worker->store, fence->worker->config->host_name, verdict->reason, note_lost,
                        fence);
        return;
    }
    if (*verdict->reason == '\0' && (!verdict->is_open || fence->worker->is_ready)) {
        serve_whole(fence);
        return;
    }
    refuse(fence, *verdict->reason != '\0' ? verdict->reason
                                           : "Redis lacks something of the ledger: looking for it again");
    if (!fence->worker->is_draining) /* what other hosts ended is not missing */
        rights_sync_run(fence->rights_sync, fence->status.knows_zones, fence->state.host_count);
}

static bool was_looked_at(const struct store_ledger_state *state) {
    return state->looked_seconds_ago >= 0 && state->looked_seconds_ago <= LOOK_FRESH_SECONDS;
}

/* The keeper looks, and tells the workers by Redis. A worker that served already goes on while the keeper is
 * away; one that begins does not serve what nobody has looked at. */
static void serve(struct fence *fence) {
    if (fence->is_keeper)
        lost_data_look(fence->lost_data, &fence->state, &fence->status, knows_zones(fence), note_looked,
                       fence);
    else if (*fence->state.lost != '\0')
        refuse(fence, fence->state.lost);
    else if (!fence->has_served && !was_looked_at(&fence->state))
        refuse(fence, "the admin process compares Redis with the ledger");
    else
        serve_whole(fence);
}

static void note_doubted(void *context, const struct error *error) {
    struct fence *fence = context;
    if (error != NULL) {
        fence->applied_before = UINT64_MAX; /* said again by the next pass */
        fail_pass(fence, "cannot have the hosts compare their ledgers anew", error);
        return;
    }
    metric_add(fence->went_back, 1);
    look_again(fence);
}

static void judge(struct fence *fence) {
    bool has_moved_back = fence->state.applied < fence->applied_before;
    fence->applied_before = fence->state.applied;
    if (has_moved_back) {
        set_ready(fence, false, "Redis is older than it was: replaying the ledger into Redis");
        fence->target = 0;
    } else if (strcmp(fence->state.verified, fence->state.run) != 0 && fence->worker->is_ready) {
        set_ready(fence, false, "Redis may be older than it was: comparing it with the ledger");
    }
    if (fence->is_keeper)
        metric_set(fence->behind, (int64_t)(fence->status.last_sequence - fence->state.applied));
    if (has_moved_back)
        store_doubt_ledgers(fence->worker->store, note_doubted, fence);
    else if (is_behind(fence))
        start_replay(fence);
    else
        serve(fence);
}

static void note_reset(void *context, const struct error *error) {
    struct fence *fence = context;
    if (error != NULL)
        fail_pass(fence, "cannot introduce the ledger to Redis", error);
    else
        look_again(fence);
}

static void note_proof(void *context, const struct error *error) {
    struct fence *fence = context;
    char reason[256];
    if (error != NULL) {
        fail_pass(fence, "cannot read the ledger", error);
    } else if (fence->proves_loss) {
        redis_run_tell_emptied(&fence->state, &fence->status, fence->worker->config->host_name, reason,
                               sizeof reason);
        refuse(fence, reason);
    } else {
        store_reset_ledger_state(fence->worker->store, fence->worker->config->host_name,
                                 fence->status.ledger_id, 0, note_reset, fence);
    }
}

/* Redis knows no ledger of this host: both are new, or Redis was emptied. */
static void meet(struct fence *fence) {
    if (!fence->is_keeper) {
        refuse(fence, "Redis knows no ledger of this host: the admin process looks what the ledger holds");
        return;
    }
    if (fence->worker->is_ready)
        set_ready(fence, false, "Redis knows no ledger of this host: looking what the ledger holds");
    ledger_find_proof(fence->signer, fence->arena, &fence->proves_loss, note_proof, fence);
}

static void note_adopted(void *context, const struct error *error) {
    struct fence *fence = context;
    if (error != NULL)
        fail_pass(fence, "cannot record the hash of the last applied record", error);
    else
        judge(fence);
}

/* The ledger fits what Redis knows of it. */
static void go_on(struct fence *fence) {
    const struct store_ledger_state *state = &fence->state;
    if (*state->ledger_id == '\0')
        meet(fence);
    else if (fence->is_keeper && state->applied > 0 && *state->applied_hash == '\0' &&
             *fence->found.applied_hash != '\0')
        store_adopt_ledger_hash(fence->worker->store, fence->worker->config->host_name, state->ledger_id,
                                state->applied, fence->found.applied_hash, note_adopted, fence);
    else
        judge(fence);
}

/* A Redis that takes no change takes none of anybody: what is wrong with it is said further on. */
static void note_held(void *context, const struct error *error) {
    struct fence *fence = context;
    if (error != NULL && error->code == ERROR_CONFLICT)
        refuse(fence, error->message);
    else
        go_on(fence);
}

static void note_compared(void *context, const struct error *error) {
    struct fence *fence = context;
    char reason[256];
    if (error != NULL && error->code == ERROR_CONFLICT) {
        snprintf(reason, sizeof reason,
                 "%.150s. Restore the ledger, or accept the loss with `originca admin ledger confirm-loss`",
                 error->message);
        if (fence->is_keeper)
            ledger_lease_leave(fence->lease);
        refuse(fence, reason);
    } else if (error != NULL) {
        fail_pass(fence, "the signer is away", error);
    } else if (fence->is_keeper &&
               (!ledger_lease_is_held(fence->lease) || *fence->state.writer.run == '\0')) {
        ledger_lease_take(fence->lease, note_held, fence);
    } else {
        go_on(fence);
    }
}

static void compare(struct fence *fence) {
    const struct store_ledger_state *state = &fence->state;
    struct signer_position *position = &fence->position;
    *position = (struct signer_position){.applied = state->applied, .highest = state->highest};
    snprintf(position->ledger_id, sizeof position->ledger_id, "%s", state->ledger_id);
    snprintf(position->applied_hash, sizeof position->applied_hash, "%s", state->applied_hash);
    snprintf(position->highest_hash, sizeof position->highest_hash, "%s", state->highest_hash);
    if (fence->is_keeper)
        position->issuers = issuer_bindings_hash(fence->issuers);
    signer_check_position(fence->signer, position, &fence->found, note_compared, fence);
}

static void note_status(void *context, const struct error *error) {
    struct fence *fence = context;
    char reason[256];
    if (error != NULL) {
        fail_pass(fence, "the signer is away", error);
    } else if (fence->state.format > STORE_FORMAT) {
        snprintf(reason, sizeof reason,
                 "Redis has format %llu and this originca knows formats up to %d: a newer one wrote it; use "
                 "that one",
                 (unsigned long long)fence->state.format, STORE_FORMAT);
        refuse(fence, reason);
    } else if (!fence->status.is_ledger_read) {
        const struct error reading = {.code = ERROR_UNAVAILABLE, .message = "it reads its ledger"};
        if (fence->worker->is_ready)
            fail_pass(fence, "the signer is not there yet", &reading);
        else
            refuse(fence, fence->status.reason);
    } else {
        compare(fence);
    }
}

static bool knows_secrets(struct fence *fence, char *reason, size_t size) {
    struct worker *worker = fence->worker;
    worker->has_other_secrets = !secret_check_fits(worker, &fence->state, reason, size);
    return !worker->has_other_secrets;
}

static void note_issuers(void *context, const struct error *error) {
    struct fence *fence = context;
    if (error != NULL && error->code == ERROR_CONFLICT) {
        refuse(fence, error->message);
    } else if (error != NULL) {
        fail_pass(fence, "cannot compare the issuers", error);
    } else {
        known_hosts_note(&fence->known_hosts, &fence->state);
        metric_set(fence->hosts, (int64_t)fence->known_hosts.count);
        signer_get_status(fence->signer, &fence->status, note_status, fence);
    }
}

/* Of all that two hosts, or a host and Redis, say of one name the newest counts, by their own clocks. What
 * the answer took is no difference. */
static bool is_clock_right(const struct fence *fence, char *reason, size_t size) {
    int64_t allowed = (int64_t)fence->worker->config->redis_max_clock_difference_ms;
    int64_t ahead = fence->asked_ms - fence->state.now_ms, behind = fence->state.now_ms - clock_wall_ms();
    if (ahead <= allowed && behind <= allowed)
        return true;
    snprintf(reason, size,
             "the clock of this host is %lld s %s that of Redis: let both follow the same time servers "
             "(redis_max_clock_difference_ms)",
             (long long)(ahead > behind ? ahead : behind) / 1000, ahead > behind ? "ahead of" : "behind");
    return false;
}

static void note_state(void *context, const struct error *error) {
    struct fence *fence = context;
    char reason[256];
    if (error != NULL) {
        fail_pass(fence, "cannot read the fence", error);
    } else if (!is_clock_right(fence, reason, sizeof reason)) {
        refuse(fence, reason);
    } else if (!knows_secrets(fence, reason, sizeof reason)) {
        refuse(fence, reason);
    } else if (ledger_writer_is_another(fence->worker, &fence->state, reason, sizeof reason)) {
        refuse(fence, reason);
    } else {
        issuer_bindings_compare(fence->issuers, note_issuers, fence);
    }
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
    fence->asked_ms = clock_wall_ms();
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
    fence->target = 0; /* another Redis, or older data, may lack what came since it was set */
    schedule(fence, 0);
}

/* A new signer waits for the first comparison. */
static void note_signer(void *context) {
    schedule(context, 0);
}

struct fence *fence_new(struct worker *worker, enum fence_role role, struct error *error) {
    struct fence *fence = calloc(1, sizeof *fence);
    if (fence == NULL) {
        error_set(error, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    fence->worker = worker;
    fence->is_keeper = role == FENCE_KEEPS;
    fence->signer = fence->is_keeper ? worker->operator_signer : worker->signer;
    fence->last_behind_at = UINT64_MAX;
    fence->behind = metrics_gauge(worker->metrics, "originca_ledger_records_behind",
                                  "Ledger records that Redis has not applied yet");
    fence->replayed =
        metrics_counter(worker->metrics, "originca_ledger_replayed_total", "Ledger records replayed");
    fence->unreadable = metrics_counter(worker->metrics, "originca_ledger_unreadable_total",
                                        "Ledger records that make no sense and were passed over: alarm");
    fence->orphans = metrics_counter(worker->metrics, "originca_orphans_revoked_total",
                                     "Certificates signed, never given out, and revoked by recovery");
    fence->went_back = metrics_counter(worker->metrics, "originca_redis_went_back_total",
                                       "Times that Redis was found to hold older data than before");
    fence->hosts = metrics_gauge(worker->metrics, "originca_ledger_hosts",
                                 "Hosts whose ledgers a Redis that is started again is compared with");
    fence->timer = evtimer_new(worker->base, start_pass, fence);
    fence->reconciler = fence->is_keeper ? reconciler_new(worker, error) : NULL;
    fence->rights_sync = fence->is_keeper ? rights_sync_new(worker, error) : NULL;
    fence->issuers = issuer_bindings_new(worker, error);
    fence->lost_data = fence->is_keeper ? lost_data_new(worker) : NULL;
    fence->crl_floors = fence->is_keeper ? crl_floors_new(worker) : NULL;
    fence->lease = fence->is_keeper ? ledger_lease_new(worker) : NULL;
    fence->stops_watch = fence->is_keeper ? stops_watch_new(worker, error) : NULL;
    bool has_parts = fence->reconciler != NULL && fence->lost_data != NULL && fence->rights_sync != NULL &&
                     fence->stops_watch != NULL && fence->lease != NULL && fence->crl_floors != NULL;
    if (fence->timer == NULL || fence->issuers == NULL || (fence->is_keeper && !has_parts)) {
        fence_free(fence);
        return NULL;
    }
    store_on_ready(worker->store, note_store, fence);
    signer_client_on_connected(fence->signer, note_signer, fence);
    schedule(fence, 0);
    return fence;
}

void fence_free(struct fence *fence) {
    if (fence == NULL)
        return;
    if (fence->timer != NULL)
        event_free(fence->timer);
    reconciler_free(fence->reconciler);
    stops_watch_free(fence->stops_watch);
    rights_sync_free(fence->rights_sync);
    issuer_bindings_free(fence->issuers);
    lost_data_free(fence->lost_data);
    ledger_lease_free(fence->lease);
    crl_floors_free(fence->crl_floors);
    known_hosts_free(&fence->known_hosts);
    arena_free(fence->arena);
    free(fence);
}
