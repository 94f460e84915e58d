/* Takes over rights in batches: read from Redis, written to the ledger in one call, noted in Redis. One batch
 * is at work at a time; each that was full is followed by the next. */
#include "rights_sync.h"

#include <stdlib.h>
#include <string.h>

#include "originca/log.h"
#include "originca/metrics.h"
#include "originca/rights.h"

#define BATCH 400 /* zones or telling; one of them gives two changes at most */
#define CHANGES_MAX (2 * BATCH + 1)
#define LOOK_INTERVAL_MS 300
#define COMPLAIN_INTERVAL_MS 60000

struct rights_sync {
    struct worker *worker;
    struct event *timer;
    struct metric *unsealed;
    struct arena *arena; /* of the batch at work; NULL: none is */
    bool takes_over;
    bool is_catching_up; /* nobody is served, and one batch is read all the same */
    int64_t complained_ms;
    /* taking over */
    struct store_customer_list customers;
    struct store_zone_list zones;
    struct store_stop_list stops;
    bool are_stops_done, are_customers_done;
    char cursor[128];
    /* being told */
    struct store_right_list told;
    /* the batch */
    struct signer_change *changes;
    size_t count;
    bool is_full, ends_takeover;
    uint64_t *sequences;
    uint8_t *hashes;
    struct store_ledger_mark mark;
};

static void end_batch(struct rights_sync *sync, bool goes_on) {
    arena_free(sync->arena);
    sync->arena = NULL;
    const struct timeval pause = {.tv_usec = goes_on ? 0 : LOOK_INTERVAL_MS * 1000};
    event_add(sync->timer, &pause);
}

static void fail_batch(struct rights_sync *sync, const char *what, const struct error *error) {
    log_event(LOG_LEVEL_WARNING, "cannot tell the signer of zones and customers", "step", what, "reason",
              error->message, NULL);
    end_batch(sync, false);
}

/* --- writing what a batch gives --- */

static struct signer_change *add(struct rights_sync *sync, const char *kind, const char *subject,
                                 int64_t at_ms) {
    struct signer_change *change = &sync->changes[sync->count++];
    *change = (struct signer_change){.kind = kind, .subject = subject, .at_ms = at_ms, .by = "other-host"};
    return change;
}

static void note_noted(void *context, const struct error *error) {
    struct rights_sync *sync = context;
    if (error != NULL) {
        fail_batch(sync, "note", error);
        return;
    }
    if (sync->ends_takeover) {
        sync->takes_over = false;
        log_event(LOG_LEVEL_INFO, "the signer knows all zones", NULL);
    }
    end_batch(sync, sync->is_full || sync->takes_over);
}

/* The records change nothing here: they are marked, so that the fence does not wait for them. */
static void note_written(void *context, const struct error *error) {
    struct rights_sync *sync = context;
    if (error != NULL) {
        fail_batch(sync, "write", error);
        return;
    }
    sync->mark = (struct store_ledger_mark){
        .host = sync->worker->config->host_name, .sequences = sync->sequences, .hashes = sync->hashes};
    for (size_t i = 0; i < sync->count; i++)
        if (sync->changes[i].sequence != 0) {
            sync->sequences[sync->mark.count] = sync->changes[i].sequence;
            memcpy(sync->hashes + sync->mark.count++ * SHA256_BYTES, sync->changes[i].hash, SHA256_BYTES);
        }
    store_note_rights(sync->worker->store, &sync->mark, sync->takes_over ? "" : sync->told.last, note_noted,
                      sync);
}

static void write_batch(struct rights_sync *sync) {
    if (sync->count == 0)
        note_written(sync, NULL);
    else
        signer_change_rights(sync->worker->operator_signer, sync->changes, sync->count, note_written, sync);
}

/* --- taking over what Redis holds --- */

static void keep_cursor(struct rights_sync *sync, const char *cursor) {
    snprintf(sync->cursor, sizeof sync->cursor, "%s", cursor == NULL ? "" : cursor);
}

static void note_zones(void *context, const struct error *error) {
    struct rights_sync *sync = context;
    if (error != NULL) {
        fail_batch(sync, "zones", error);
        return;
    }
    for (size_t i = 0; i < sync->zones.count; i++) {
        const struct store_zone *zone = &sync->zones.items[i];
        int64_t created_ms = (int64_t)zone->created_at * 1000;
        struct signer_change *change = add(sync, "zone-added", zone->id, created_ms);
        change->name = zone->name;
        change->customer = zone->customer;
        if (zone->status == ZONE_PAUSED)
            add(sync, "zone-paused", zone->id,
                zone->right_at_ms > created_ms ? zone->right_at_ms : created_ms + 1);
    }
    keep_cursor(sync, sync->zones.next_cursor);
    sync->ends_takeover = *sync->cursor == '\0';
    if (sync->ends_takeover)
        add(sync, "zones-known", NULL, 0);
    write_batch(sync);
}

static void note_customers(void *context, const struct error *error) {
    struct rights_sync *sync = context;
    if (error != NULL) {
        fail_batch(sync, "customers", error);
        return;
    }
    for (size_t i = 0; i < sync->customers.count; i++)
        if (sync->customers.items[i].suspended_at != 0)
            add(sync, "customer-suspended", sync->customers.items[i].id,
                sync->customers.items[i].right_at_ms);
    keep_cursor(sync, sync->customers.next_cursor);
    sync->are_customers_done = *sync->cursor == '\0';
    write_batch(sync);
}

static void note_stops(void *context, const struct error *error) {
    struct rights_sync *sync = context;
    if (error != NULL) {
        fail_batch(sync, "stops", error);
        return;
    }
    for (size_t i = 0; i < sync->stops.count && i < BATCH; i++) {
        const struct store_stop *stop = &sync->stops.items[i];
        bool is_global = strcmp(stop->of, "global") == 0;
        if (stop->is_stopped)
            add(sync, is_global ? "issuance-stopped" : "issuer-stopped", stop->id, stop->since_ms);
    }
    sync->are_stops_done = true;
    write_batch(sync);
}

static void load_page(struct rights_sync *sync) {
    const char *cursor = *sync->cursor == '\0' ? NULL : sync->cursor;
    if (!sync->are_stops_done)
        store_load_stops(sync->worker->store, sync->arena, 0, &sync->stops, note_stops, sync);
    else if (sync->are_customers_done)
        store_list_zones(sync->worker->store, sync->arena, NULL, cursor, BATCH, &sync->zones, note_zones,
                         sync);
    else
        store_list_customers(sync->worker->store, sync->arena, cursor, BATCH, &sync->customers,
                             note_customers, sync);
}

/* --- being told --- */

/* Any worker may tell its own signer so, and it only takes away what an intruder could want. */
static bool needs_no_seal(const char *kind) {
    return strcmp(kind, "account-deactivated") == 0 || strcmp(kind, "zone-returned") == 0;
}

/* Of this host too: its signer knows it already, and says so. */
static bool is_for_the_signer(const char *kind) {
    static const char *const beginnings[] = {"zone-", "customer-", "issuance-", "issuer-"};
    bool is_known = needs_no_seal(kind);
    for (size_t i = 0; i < sizeof beginnings / sizeof beginnings[0]; i++)
        is_known = is_known || strncmp(kind, beginnings[i], strlen(beginnings[i])) == 0;
    return is_known;
}

static void note_told(void *context, const struct error *error) {
    struct rights_sync *sync = context;
    if (error != NULL || sync->told.count == 0) {
        if (error != NULL)
            fail_batch(sync, "read", error);
        else
            end_batch(sync, false);
        return;
    }
    sync->is_full = sync->told.count == BATCH;
    for (size_t i = 0; i < sync->told.count; i++) {
        const struct store_right *right = &sync->told.items[i];
        if (!is_for_the_signer(right->kind))
            continue;
        if (!needs_no_seal(right->kind) && !rights_seal_is_good(sync->worker, right)) {
            metric_add(sync->unsealed, 1);
            log_event(LOG_LEVEL_ERROR, "a right in Redis has no good seal and is passed over", "kind",
                      right->kind, "subject", right->subject, NULL);
            continue;
        }
        struct signer_change *change = add(sync, right->kind, right->subject, right->at_ms);
        change->name = right->name;
        change->customer = right->customer;
    }
    write_batch(sync);
}

/* --- at work --- */

static void start_batch(struct rights_sync *sync) {
    sync->arena = arena_new(0);
    sync->count = 0;
    sync->is_full = sync->ends_takeover = false;
    if (sync->arena != NULL) {
        sync->changes = arena_alloc(sync->arena, CHANGES_MAX * sizeof *sync->changes);
        sync->sequences = arena_alloc(sync->arena, CHANGES_MAX * sizeof *sync->sequences);
        sync->hashes = arena_alloc(sync->arena, (size_t)CHANGES_MAX * SHA256_BYTES);
    }
    if (sync->arena == NULL || sync->changes == NULL || sync->sequences == NULL || sync->hashes == NULL)
        end_batch(sync, false);
    else if (sync->takes_over)
        load_page(sync);
    else
        store_load_rights(sync->worker->store, sync->arena, sync->worker->config->host_name, BATCH,
                          &sync->told, note_told, sync);
}

static void on_timer(evutil_socket_t fd, short what, void *context) {
    (void)fd;
    (void)what;
    struct rights_sync *sync = context;
    if (sync->arena != NULL || sync->worker->is_draining ||
        (!sync->worker->is_ready && !sync->is_catching_up))
        return; /* the next pass of the fence begins anew */
    sync->is_catching_up = false;
    if (sync->takes_over || sync->worker->operator_key != NULL)
        start_batch(sync);
}

/* Two hosts that cannot tell each other of zones: better that their signers take the workers' word, as they
 * did, than that each refuses what was added at the other. */
static bool cannot_be_told(struct rights_sync *sync, size_t hosts) {
    if (hosts < 2 || sync->worker->operator_key != NULL)
        return false;
    int64_t now = clock_monotonic_ms();
    if (sync->complained_ms == 0 || now - sync->complained_ms >= COMPLAIN_INTERVAL_MS) {
        sync->complained_ms = now;
        log_event(LOG_LEVEL_ERROR,
                  "several hosts share this Redis and cannot tell their signers of each other's zones: set "
                  "operator_secret_file, the same file on all of them",
                  NULL);
    }
    return true;
}

void rights_sync_run(struct rights_sync *sync, bool knows_zones, size_t hosts) {
    bool is_cut_off = cannot_be_told(sync, hosts);
    if (sync->arena != NULL || event_pending(sync->timer, EV_TIMEOUT, NULL))
        return;
    if (!knows_zones && !sync->takes_over && !is_cut_off && sync->worker->is_ready) {
        sync->takes_over = true;
        sync->are_stops_done = sync->are_customers_done = false;
        *sync->cursor = '\0';
    }
    sync->is_catching_up = !sync->worker->is_ready && !sync->takes_over;
    on_timer(-1, 0, sync);
}

struct rights_sync *rights_sync_new(struct worker *worker, struct error *error) {
    struct rights_sync *sync = calloc(1, sizeof *sync);
    if (sync != NULL)
        sync->timer = evtimer_new(worker->base, on_timer, sync);
    if (sync == NULL || sync->timer == NULL) {
        error_set(error, ERROR_INTERNAL, "out of memory");
        free(sync);
        return NULL;
    }
    sync->worker = worker;
    sync->unsealed = metrics_counter(worker->metrics, "originca_rights_unsealed_total",
                                     "Rights that Redis holds without a good seal; passed over");
    return sync;
}

void rights_sync_free(struct rights_sync *sync) {
    if (sync == NULL)
        return;
    event_free(sync->timer);
    arena_free(sync->arena);
    free(sync);
}
