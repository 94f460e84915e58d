/* Keeps the lists: sorts what is on none yet, makes those that are due, copies those that were published.
 *
 * One thing at a time, each step followed by the next; a tick a second begins anew when nothing is to be
 * done. Nothing is made while this process does not serve: Redis may then have forgotten revocations. */
#include "keeper.h"

#include <stdlib.h>
#include <string.h>

#include "originca/crl.h"
#include "originca/log.h"
#include "originca/revocation.h"

#define SCAN_ENTRIES 4000
#define ADOPT_PAGE 500
#define COMPLAIN_MS 60000

void crl_keeper_end_step(struct crl_keeper *keeper, int64_t pause_ms) {
    const struct timeval pause = {.tv_sec = pause_ms / 1000, .tv_usec = pause_ms % 1000 * 1000};
    arena_free(keeper->page_arena);
    arena_free(keeper->arena);
    free(keeper->rows);
    free(keeper->unknown);
    free(keeper->made_list.der);
    keeper->page_arena = keeper->arena = NULL;
    keeper->rows = NULL;
    keeper->unknown = NULL;
    keeper->made_list.der = NULL;
    keeper->claim = (struct store_crl_claim){.id = NULL}; /* its texts went with the arena */
    keeper->row_count = keeper->row_capacity = keeper->left_out = keeper->corrected = 0;
    keeper->lacks_entries = false;
    event_add(keeper->timer, &pause);
}

/* The same trouble once a minute. What failed is tried again with the next tick. */
void crl_keeper_complain(struct crl_keeper *keeper, const char *what, const struct error *error) {
    int64_t now = clock_monotonic_ms();
    if (keeper->complained_ms == 0 || now - keeper->complained_ms > COMPLAIN_MS) {
        log_event(LOG_LEVEL_WARNING, "revocation lists are behind", "step", what, "issuer",
                  keeper->claim.issuer, "list", keeper->claim.url, "reason", error->message, NULL);
        keeper->complained_ms = now;
    }
    metric_add(keeper->failed, 1);
}

void crl_keeper_fail_step(struct crl_keeper *keeper, const char *what, const struct error *error) {
    crl_keeper_complain(keeper, what, error);
    crl_keeper_end_step(keeper, CRL_TICK_MS);
}

bool crl_keeper_is_passing(const struct error *error) {
    return error->code == ERROR_UNAVAILABLE || error->code == ERROR_UNKNOWN;
}

/* The list itself waits for its lease to end, the others do not. */
static void note_failure_told(void *context, const struct error *error) {
    struct crl_keeper *keeper = context;
    bool is_of_list =
        error == NULL && keeper->failure != ERROR_UNAVAILABLE && keeper->failure != ERROR_UNKNOWN;
    if (is_of_list && keeper->lacks_entries)
        crl_keeper_mend(keeper);
    else
        crl_keeper_end_step(keeper, is_of_list ? 0 : CRL_TICK_MS);
}

void crl_keeper_fail_making(struct crl_keeper *keeper, const char *what, const struct error *error) {
    struct error told = *error;
    keeper->failure = error->code;
    crl_keeper_complain(keeper, what, error);
    crl_metrics_count_failure(keeper, keeper->claim.issuer, keeper->claim.url);
    error_prefix(&told, "%s", what);
    store_fail_crl(keeper->worker->store, keeper->claim.id, keeper->worker->config->host_name, told.message,
                   note_failure_told, keeper);
}

/* --- making --- */

/* Of a serial that came twice: keyCompromise is the last word, and a reason was given later than none. */
static unsigned weight(const struct crl_entry *entry) {
    return entry->reason == REASON_KEY_COMPROMISE ? UINT8_MAX : entry->reason;
}

static int by_serial(const void *a, const void *b) {
    const struct crl_entry *x = a, *y = b;
    int order = memcmp(x->serial, y->serial, SERIAL_BYTES);
    return order != 0 ? order : (int)weight(y) - (int)weight(x);
}

static void sort_rows(struct crl_keeper *keeper) {
    size_t kept = 0;
    if (keeper->row_count == 0)
        return;
    qsort(keeper->rows, keeper->row_count, sizeof *keeper->rows, by_serial);
    for (size_t i = 0; i < keeper->row_count; i++)
        if (kept == 0 || memcmp(keeper->rows[kept - 1].serial, keeper->rows[i].serial, SERIAL_BYTES) != 0)
            keeper->rows[kept++] = keeper->rows[i];
    keeper->row_count = kept;
}

static void note_list_published(void *context, const struct error *error) {
    struct crl_keeper *keeper = context;
    if (error != NULL && error->code != ERROR_CONFLICT) {
        crl_keeper_fail_making(keeper, "publish", error);
        return;
    }
    if (error == NULL) {
        metric_add(keeper->made, 1);
        log_event(LOG_LEVEL_DEBUG, "revocation list published", "issuer", keeper->made_crl.issuer, "url",
                  keeper->made_crl.url, NULL);
    }
    keeper->complained_ms = 0;
    crl_keeper_end_step(keeper, error == NULL ? 0 : CRL_TICK_MS);
}

/* What Redis names as the last number counts only where one of ours may have it: else it would be known to
 * all, and the signer would make no list until the clock has come there. */
static bool is_number_refused(const struct crl_keeper *keeper) {
    const struct store_crl_claim *claim = &keeper->claim;
    uint64_t ahead_ms = (uint64_t)keeper->worker->config->crl_max_ahead_seconds * 1000;
    return claim->number >= (uint64_t)(claim->begun_us / 1000) + ahead_ms ||
           crl_keeper_has_refused(keeper, claim->issuer, claim->url, claim->number);
}

static uint64_t refused_number(const struct crl_keeper *keeper) {
    return is_number_refused(keeper) ? keeper->claim.number : 0;
}

uint64_t crl_keeper_floor(const struct crl_keeper *keeper, const char *issuer, const char *url,
                          uint64_t in_redis) {
    uint64_t own = crl_floors_find(keeper->floors, issuer, url);
    bool is_possible = in_redis <= crl_number_ceiling(keeper->worker->config);
    return is_possible && in_redis > own ? in_redis : own;
}

/* Higher than any before, whatever clocks did meanwhile: what Redis knows, what was served here and what any
 * signer is known to have signed. */
static uint64_t choose_number(const struct crl_keeper *keeper) {
    const struct store_crl_claim *claim = &keeper->claim;
    const struct crl_file *file = crl_files_find(&keeper->files, claim->issuer, claim->url);
    uint64_t number = (uint64_t)(claim->begun_us / 1000),
             floor = crl_keeper_floor(keeper, claim->issuer, claim->url, claim->floor);
    if (number <= floor)
        number = floor + 1;
    if (number <= claim->number && !is_number_refused(keeper))
        number = claim->number + 1;
    return file != NULL && number <= file->number ? file->number + 1 : number;
}

static void note_list_signed(void *context, const struct error *error) {
    struct crl_keeper *keeper = context;
    if (error != NULL) {
        if (error->code == ERROR_CONFLICT) /* it has signed a higher one, which was not published */
            keeper->is_floored = false;
        keeper->lacks_entries = error->code == ERROR_NOT_FOUND;
        crl_keeper_fail_making(keeper, "sign", error);
        return;
    }
    keeper->made_crl = (struct store_crl){.issuer = keeper->claim.issuer,
                                          .url = keeper->claim.url,
                                          .number = keeper->request.number,
                                          .this_update = keeper->request.this_update,
                                          .next_update = keeper->request.next_update,
                                          .entry_count = keeper->row_count,
                                          .unproven = keeper->request.unproven,
                                          .left_out = keeper->unlisted};
    crl_metrics_count_signature(keeper, keeper->claim.issuer, keeper->claim.url);
    const struct bytes der = {keeper->made_list.der, keeper->made_list.length};
    const struct store_ledger_mark mark = {keeper->worker->config->host_name, &keeper->made_list.sequence, 1,
                                           keeper->made_list.hash};
    store_publish_crl(keeper->worker->store, &keeper->made_crl, der, keeper->claim.changes, keeper->claim.run,
                      refused_number(keeper), crl_number_ceiling(keeper->worker->config), &mark,
                      note_list_published, keeper);
}

static void tell_wrong_entries(struct crl_keeper *keeper) {
    char left_out[24], corrected[24];
    if (!crl_files_note_wrong(&keeper->files, keeper->claim.issuer, keeper->claim.url,
                              keeper->left_out + keeper->corrected))
        return;
    snprintf(left_out, sizeof left_out, "%zu", keeper->left_out);
    snprintf(corrected, sizeof corrected, "%zu", keeper->corrected);
    log_event(LOG_LEVEL_ERROR, "Redis has entries that a revocation list cannot have", "issuer",
              keeper->claim.issuer, "url", keeper->claim.url, "left_out", left_out,
              "listed_with_another_time_or_reason", corrected, NULL);
}

/* Later than that of the list before, whatever clocks did meanwhile: whoever asks by date must not keep an
 * older one. Where that lies ahead of this host's clock, nothing can be done. */
static time_t choose_this_update(const struct crl_keeper *keeper, time_t now) {
    const struct crl_file *file = crl_files_find(&keeper->files, keeper->claim.issuer, keeper->claim.url);
    time_t begun = now - (time_t)keeper->worker->config->backdate_seconds;
    bool has_fallen = file != NULL && begun <= file->this_update && file->this_update < time(NULL);
    return has_fallen ? file->this_update + 1 : begun;
}

void crl_keeper_sign_given(struct crl_keeper *keeper) {
    signer_sign_given_crl(keeper->worker->operator_signer, &keeper->request, &keeper->made_list,
                          note_list_signed, keeper);
}

static void note_list_given(void *context, const struct error *error) {
    struct crl_keeper *keeper = context;
    if (error != NULL)
        note_list_signed(keeper, error);
    else
        crl_unproven_judge(keeper);
}

static void sign_list(struct crl_keeper *keeper) {
    const struct error no_memory = {ERROR_UNAVAILABLE, "out of memory"};
    const struct config *config = keeper->worker->config;
    time_t now = (time_t)(keeper->claim.begun_us / 1000000);
    tell_wrong_entries(keeper);
    sort_rows(keeper);
    keeper->unlisted = 0;
    keeper->unknown = calloc(keeper->row_count + 1, 1);
    if (keeper->unknown == NULL) {
        crl_keeper_fail_making(keeper, "sign", &no_memory);
        return;
    }
    keeper->request = (struct signer_crl_request){
        .issuer = keeper->claim.issuer,
        .url = keeper->claim.url,
        .number = choose_number(keeper),
        .this_update = choose_this_update(keeper, now),
        .next_update = now + (time_t)config->crl_lifetime_hours * 3600,
        .entries = keeper->rows,
        .count = keeper->row_count,
        .unknown = keeper->unknown,
    };
    signer_give_crl(keeper->worker->operator_signer, &keeper->request, note_list_given, keeper);
}

/* One entry that cannot stand in a list must not keep the others from it; and what is wrong in it but for its
 * serial must not keep it from it either: it is revoked. */
static void take_entry(struct crl_keeper *keeper, const struct store_crl_entry *entry) {
    int64_t now = keeper->claim.begun_us / 1000000;
    bool is_known = revocation_reason_is_known((int64_t)entry->reason),
         is_past = entry->revoked_at >= 0 && entry->revoked_at <= now + CRL_ENTRY_AHEAD_SECONDS;
    struct crl_entry *row = &keeper->rows[keeper->row_count];
    memcpy(row->serial, entry->serial, SERIAL_BYTES);
    row->revoked_at = (uint32_t)(is_past ? entry->revoked_at : now);
    row->reason = is_known ? (uint8_t)entry->reason : REASON_UNSPECIFIED;
    bool is_good = crl_entry_is_good(row);
    keeper->row_count += is_good;
    keeper->left_out += !is_good;
    keeper->corrected += is_good && !(is_known && is_past);
}

static bool take_page(struct crl_keeper *keeper) {
    size_t needed = keeper->row_count + keeper->page.count;
    if (needed > keeper->row_capacity) {
        size_t capacity = needed + needed / 2 + SCAN_ENTRIES;
        struct crl_entry *larger = realloc(keeper->rows, capacity * sizeof *larger);
        if (larger == NULL)
            return false;
        keeper->rows = larger;
        keeper->row_capacity = capacity;
    }
    keeper->left_out += keeper->page.left_out;
    for (size_t i = 0; i < keeper->page.count; i++)
        take_entry(keeper, &keeper->page.entries[i]);
    return true;
}

static void scan(struct crl_keeper *keeper, const char *cursor);

static void note_page(void *context, const struct error *error) {
    struct crl_keeper *keeper = context;
    const struct error no_memory = {ERROR_UNAVAILABLE, "out of memory"};
    if (error == NULL && !take_page(keeper))
        error = &no_memory;
    if (error != NULL)
        crl_keeper_fail_making(keeper, "read entries", error);
    else if (strcmp(keeper->page.next_cursor, "0") == 0)
        sign_list(keeper);
    else
        scan(keeper, keeper->page.next_cursor);
}

static void scan(struct crl_keeper *keeper, const char *cursor) {
    char from[32];
    snprintf(from, sizeof from, "%s", cursor); /* it lives in the page's arena */
    arena_free(keeper->page_arena);
    keeper->page_arena = arena_new(0);
    if (keeper->page_arena == NULL) {
        crl_keeper_end_step(keeper, CRL_TICK_MS);
        return;
    }
    store_scan_crl(keeper->worker->store, keeper->page_arena, keeper->claim.id, from, SCAN_ENTRIES,
                   &keeper->page, note_page, keeper);
}

/* --- the list that is due --- */

static void note_claimed(void *context, const struct error *error) {
    struct crl_keeper *keeper = context;
    if (error != NULL) {
        crl_keeper_fail_step(keeper, "claim", error);
        return;
    }
    crl_keeper_tell_unsorted(keeper);
    if (keeper->claim.unsorted_count > 0)
        crl_keeper_sort(keeper);
    else if (keeper->claim.id != NULL)
        scan(keeper, "0");
    else
        crl_keeper_end_step(keeper, CRL_TICK_MS);
}

int64_t crl_keeper_lease_ms(const struct crl_keeper *keeper) {
    return (int64_t)keeper->worker->config->crl_lease_seconds * 1000;
}

void crl_keeper_claim_next(struct crl_keeper *keeper) {
    const struct config *config = keeper->worker->config;
    const struct error no_memory = {ERROR_UNAVAILABLE, "out of memory"};
    const char **issuers = arena_alloc(keeper->arena, (config->issuer_count + 1) * sizeof *issuers);
    if (issuers == NULL) {
        crl_keeper_fail_step(keeper, "claim", &no_memory);
        return;
    }
    for (size_t i = 0; i < config->issuer_count; i++)
        issuers[i] = config->issuers[i].name;
    store_claim_crl(keeper->worker->store, keeper->arena, (int64_t)config->crl_delay_ms,
                    crl_keeper_lease_ms(keeper), config->host_name, config->crl_complete, issuers,
                    config->issuer_count, &keeper->claim, note_claimed, keeper);
}

/* --- looking for what was published --- */

static void note_published(void *context, const struct error *error) {
    struct crl_keeper *keeper = context;
    if (error != NULL)
        crl_keeper_fail_step(keeper, "look", error);
    else
        crl_keeper_copy(keeper);
}

static void look(struct crl_keeper *keeper) {
    if (keeper->ticks == 0) {
        keeper->compares_all = true;
        keeper->seen = 0;
        keeper->ticks = keeper->worker->config->crl_compare_seconds; /* a tick each */
    }
    keeper->ticks--;
    store_list_crls(keeper->worker->store, keeper->arena, keeper->seen, CRL_LISTS_MAX, &keeper->published,
                    note_published, keeper);
}

/* --- before the first list --- */

static void prepare(struct crl_keeper *keeper);

static void note_adopted(void *context, const struct error *error) {
    struct crl_keeper *keeper = context;
    if (error != NULL)
        crl_keeper_fail_step(keeper, "adopt", error);
    else
        prepare(keeper);
}

static void note_registered(void *context, const struct error *error) {
    struct crl_keeper *keeper = context;
    if (error != NULL) {
        crl_keeper_fail_step(keeper, "register", error);
        return;
    }
    keeper->is_registered = true;
    prepare(keeper);
}

static uint32_t count_shards(const struct config_issuer *issuer) {
    return issuer->crl_url == NULL ? 0 : crl_url_count(issuer->crl_url, issuer->crl_shards);
}

struct store_crl_name *crl_keeper_names(const struct crl_keeper *keeper, size_t *count) {
    const struct config *config = keeper->worker->config;
    size_t most = config->issuer_count + 1;
    for (size_t i = 0; i < config->issuer_count; i++)
        most += count_shards(&config->issuers[i]);
    struct store_crl_name *names = arena_alloc(keeper->arena, most * sizeof *names);
    *count = 0;
    for (size_t i = 0; names != NULL && i < config->issuer_count; i++) {
        const struct config_issuer *issuer = &config->issuers[i];
        names[(*count)++] = (struct store_crl_name){issuer->name, ""};
        for (uint32_t shard = 0; shard < count_shards(issuer); shard++) {
            const char *url = crl_url_fill(keeper->arena, issuer->crl_url, shard);
            if (url == NULL)
                return NULL;
            names[(*count)++] = (struct store_crl_name){issuer->name, url};
        }
    }
    return names;
}

const struct config_issuer *crl_keeper_issuer(const struct crl_keeper *keeper, const char *name) {
    const struct config *config = keeper->worker->config;
    for (size_t i = 0; i < config->issuer_count; i++)
        if (strcmp(config->issuers[i].name, name) == 0)
            return &config->issuers[i];
    return NULL;
}

static void register_lists(struct crl_keeper *keeper) {
    size_t count;
    const struct store_crl_name *names = crl_keeper_names(keeper, &count);
    const struct error no_memory = {ERROR_UNAVAILABLE, "out of memory"};
    if (names == NULL)
        crl_keeper_fail_step(keeper, "register", &no_memory);
    else
        store_register_crls(keeper->worker->store, names, count, note_registered, keeper);
}

static void note_floored(void *context, const struct error *error) {
    struct crl_keeper *keeper = context;
    if (error != NULL) {
        crl_keeper_fail_step(keeper, "ask the signer for numbers", error);
        return;
    }
    keeper->is_floored = true;
    prepare(keeper);
}

/* The signer may be away: what was published is copied all the same. */
static void note_compared(void *context, const struct error *error) {
    struct crl_keeper *keeper = context;
    if (error != NULL && !crl_keeper_is_passing(error))
        crl_keeper_complain(keeper, "compare", error);
    look(keeper);
}

static void note_proven(void *context, const struct error *error) {
    struct crl_keeper *keeper = context;
    if (error != NULL && !crl_keeper_is_passing(error))
        crl_keeper_complain(keeper, "prove", error);
    crl_compare_work(keeper->compare, note_compared, keeper);
}

static void prepare(struct crl_keeper *keeper) {
    if (!keeper->is_floored)
        crl_floors_update(keeper->floors, note_floored, keeper);
    else if (!keeper->is_registered)
        register_lists(keeper);
    else if (!keeper->is_adopted)
        store_adopt_revocations(keeper->worker->store, ADOPT_PAGE, &keeper->is_adopted, note_adopted, keeper);
    else
        crl_proofs_work(keeper->proofs, note_proven, keeper);
}

static void start_tick(evutil_socket_t fd, short what, void *context) {
    (void)fd;
    (void)what;
    struct crl_keeper *keeper = context;
    if (keeper->arena != NULL)
        return;
    crl_metrics_publish(keeper); /* ages go on where nothing else does */
    crl_unproven_publish(keeper);
    if (!keeper->worker->is_ready || keeper->worker->is_draining) {
        /* Redis may be another one when it is back. */
        keeper->is_floored = keeper->is_registered = keeper->is_adopted = false;
        keeper->ticks = 0;
        crl_unproven_restart(keeper);
        crl_compare_restart(keeper->compare);
        crl_keeper_end_step(keeper, CRL_TICK_MS);
        return;
    }
    keeper->arena = arena_new(0);
    if (keeper->arena == NULL)
        crl_keeper_end_step(keeper, CRL_TICK_MS);
    else
        prepare(keeper);
}

struct crl_keeper *crl_keeper_new(struct worker *worker, struct error *error) {
    struct crl_keeper *keeper = calloc(1, sizeof *keeper);
    if (keeper == NULL || (keeper->floors = crl_floors_new(worker)) == NULL ||
        (keeper->proofs = crl_proofs_new(worker)) == NULL ||
        (keeper->compare = crl_compare_new(worker)) == NULL ||
        (keeper->timer = evtimer_new(worker->base, start_tick, keeper)) == NULL) {
        if (keeper != NULL) {
            crl_floors_free(keeper->floors);
            crl_proofs_free(keeper->proofs);
            crl_compare_free(keeper->compare);
        }
        free(keeper);
        error_set(error, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    keeper->worker = worker;
    crl_metrics_register(keeper);
    if (!crl_files_read(&keeper->files, worker->config->run_directory, error)) {
        log_event(LOG_LEVEL_WARNING, "revocation lists are fetched anew", "reason", error->message, NULL);
    }
    crl_keeper_drop_damaged(keeper);
    crl_keeper_end_step(keeper, 0);
    return keeper;
}

void crl_keeper_free(struct crl_keeper *keeper) {
    if (keeper == NULL)
        return;
    event_free(keeper->timer);
    crl_files_free(&keeper->files);
    crl_keeper_free_refused(keeper);
    crl_floors_free(keeper->floors);
    crl_proofs_free(keeper->proofs);
    crl_compare_free(keeper->compare);
    crl_unproven_free(keeper);
    arena_free(keeper->page_arena);
    arena_free(keeper->arena);
    free(keeper->rows);
    free(keeper->unknown);
    free(keeper->made_list.der);
    free(keeper);
}
