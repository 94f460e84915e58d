/* Keeps the lists: sorts what is on none yet, makes those that are due, copies those that were published.
 *
 * One thing at a time, each step followed by the next; a tick a second begins anew when nothing is to be
 * done. Nothing is made while this process does not serve: Redis may then have forgotten revocations. */
#include "originca/crl_service.h"

#include <stdlib.h>
#include <string.h>

#include "files.h"
#include "originca/crl.h"
#include "originca/log.h"
#include "originca/metrics.h"
#include "originca/signer.h"
#include "originca/store.h"

#define TICK_MS 1000
#define COMPARE_TICKS 30 /* between looks at all lists, not at those alone that were published last */
#define SCAN_ENTRIES 4000
#define LISTS_MAX 10000
#define LEASE_MS 30000 /* one that could not be made waits as long */
#define ADOPT_PAGE 500
#define COMPLAIN_MS 60000

struct crl_keeper {
    struct worker *worker;
    struct event *timer;
    struct crl_files files;
    struct metric *made, *failed, *unsorted, *oldest, *entries, *lists;
    struct arena *arena; /* of the step at work; NULL: idle */
    bool is_registered, is_adopted;
    unsigned ticks; /* until all lists are compared */
    int64_t complained_ms;
    /* copying */
    uint64_t seen; /* sequence of the newest publication that was copied */
    bool compares_all;
    struct store_crl_list published;
    size_t next_published;
    struct bytes der;
    /* making */
    struct store_crl_claim claim;
    size_t next_unsorted;
    struct store_certificate certificate;
    struct arena *page_arena;
    struct store_crl_page page;
    struct crl_entry *rows;
    size_t row_count, row_capacity;
    struct signer_crl_request request;
    struct signer_crl made_list;
    struct store_crl made_crl;
};

static void claim_next(struct crl_keeper *keeper);
static void copy_published(struct crl_keeper *keeper);

static void end_step(struct crl_keeper *keeper, int64_t pause_ms) {
    const struct timeval pause = {.tv_sec = pause_ms / 1000, .tv_usec = pause_ms % 1000 * 1000};
    arena_free(keeper->page_arena);
    arena_free(keeper->arena);
    free(keeper->rows);
    free(keeper->made_list.der);
    keeper->page_arena = keeper->arena = NULL;
    keeper->rows = NULL;
    keeper->made_list.der = NULL;
    keeper->claim = (struct store_crl_claim){.id = NULL}; /* its texts went with the arena */
    keeper->row_count = keeper->row_capacity = 0;
    event_add(keeper->timer, &pause);
}

/* The same trouble once a minute. What failed is tried again with the next tick. */
static void fail_step(struct crl_keeper *keeper, const char *what, const struct error *error) {
    int64_t now = clock_monotonic_ms();
    if (keeper->complained_ms == 0 || now - keeper->complained_ms > COMPLAIN_MS) {
        log_event(LOG_LEVEL_WARNING, "revocation lists are behind", "step", what, "list", keeper->claim.url,
                  "reason", error->message, NULL);
        keeper->complained_ms = now;
    }
    metric_add(keeper->failed, 1);
    end_step(keeper, TICK_MS);
}

/* --- making --- */

static int by_serial(const void *a, const void *b) {
    const struct crl_entry *x = a, *y = b;
    int order = memcmp(x->serial, y->serial, SERIAL_BYTES);
    /* Of a serial that came twice the one with a reason: it was given later. */
    return order != 0 ? order : (x->reason < y->reason) - (x->reason > y->reason);
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
        fail_step(keeper, "publish", error);
        return;
    }
    if (error == NULL) {
        metric_add(keeper->made, 1);
        log_event(LOG_LEVEL_DEBUG, "revocation list published", "issuer", keeper->made_crl.issuer, "url",
                  keeper->made_crl.url, NULL);
    }
    keeper->complained_ms = 0;
    end_step(keeper, error == NULL ? 0 : TICK_MS);
}

static void note_list_signed(void *context, const struct error *error) {
    struct crl_keeper *keeper = context;
    if (error != NULL) {
        fail_step(keeper, "sign", error);
        return;
    }
    keeper->made_crl = (struct store_crl){.issuer = keeper->claim.issuer,
                                          .url = keeper->claim.url,
                                          .number = keeper->request.number,
                                          .this_update = keeper->request.this_update,
                                          .next_update = keeper->request.next_update,
                                          .entry_count = keeper->row_count};
    const struct bytes der = {keeper->made_list.der, keeper->made_list.length};
    const struct store_ledger_mark mark = {keeper->worker->config->host_name, &keeper->made_list.sequence, 1,
                                           keeper->made_list.hash};
    store_publish_crl(keeper->worker->store, &keeper->made_crl, der, keeper->claim.begun_us,
                      keeper->claim.run, &mark, note_list_published, keeper);
}

/* Higher than any before, whatever clocks did meanwhile: what Redis knows, and what was served here. */
static uint64_t choose_number(const struct crl_keeper *keeper) {
    const struct crl_file *file = crl_files_find(&keeper->files, keeper->claim.issuer, keeper->claim.url);
    uint64_t number = (uint64_t)(keeper->claim.begun_us / 1000);
    if (number <= keeper->claim.number)
        number = keeper->claim.number + 1;
    return file != NULL && number <= file->number ? file->number + 1 : number;
}

static void sign_list(struct crl_keeper *keeper) {
    const struct config *config = keeper->worker->config;
    time_t now = (time_t)(keeper->claim.begun_us / 1000000);
    sort_rows(keeper);
    keeper->request = (struct signer_crl_request){
        .issuer = keeper->claim.issuer,
        .url = keeper->claim.url,
        .number = choose_number(keeper),
        .this_update = now - (time_t)config->backdate_seconds,
        .next_update = now + (time_t)config->crl_lifetime_hours * 3600,
        .entries = keeper->rows,
        .count = keeper->row_count,
    };
    signer_sign_crl(keeper->worker->operator_signer, &keeper->request, &keeper->made_list, note_list_signed,
                    keeper);
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
    for (size_t i = 0; i < keeper->page.count; i++) {
        const struct store_crl_entry *entry = &keeper->page.entries[i];
        struct crl_entry *row = &keeper->rows[keeper->row_count++];
        memcpy(row->serial, entry->serial, SERIAL_BYTES);
        row->revoked_at = (uint32_t)entry->revoked_at;
        row->reason = (uint8_t)entry->reason;
    }
    return true;
}

static void scan(struct crl_keeper *keeper, const char *cursor);

static void note_page(void *context, const struct error *error) {
    struct crl_keeper *keeper = context;
    const struct error no_memory = {ERROR_UNAVAILABLE, "out of memory"};
    if (error == NULL && !take_page(keeper))
        error = &no_memory;
    if (error != NULL)
        fail_step(keeper, "read entries", error);
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
        end_step(keeper, TICK_MS);
        return;
    }
    store_scan_crl(keeper->worker->store, keeper->page_arena, keeper->claim.id, from, SCAN_ENTRIES,
                   &keeper->page, note_page, keeper);
}

/* --- sorting what only a certificate itself tells --- */

static void sort_next(struct crl_keeper *keeper);

static void note_sorted(void *context, const struct error *error) {
    struct crl_keeper *keeper = context;
    if (error != NULL)
        fail_step(keeper, "sort", error);
    else
        sort_next(keeper);
}

static void note_certificate(void *context, const struct error *error) {
    struct crl_keeper *keeper = context;
    const char *serial = keeper->claim.unsorted[keeper->next_unsorted - 1], *url = "";
    if (error != NULL && error->code != ERROR_NOT_FOUND) {
        fail_step(keeper, "sort", error);
        return;
    }
    if (error == NULL && keeper->certificate.der.length > 0)
        url = crl_url_of_certificate(keeper->arena, keeper->certificate.der);
    store_sort_revocation(keeper->worker->store, serial, url, note_sorted, keeper);
}

static void sort_next(struct crl_keeper *keeper) {
    if (keeper->next_unsorted == keeper->claim.unsorted_count) {
        end_step(keeper, 0);
        return;
    }
    store_load_certificate(keeper->worker->store, keeper->arena,
                           keeper->claim.unsorted[keeper->next_unsorted++], &keeper->certificate,
                           note_certificate, keeper);
}

static void note_claimed(void *context, const struct error *error) {
    struct crl_keeper *keeper = context;
    if (error != NULL) {
        fail_step(keeper, "claim", error);
        return;
    }
    metric_set(keeper->unsorted, (int64_t)keeper->claim.unsorted_count);
    keeper->next_unsorted = 0;
    if (keeper->claim.unsorted_count > 0)
        sort_next(keeper);
    else if (keeper->claim.id != NULL)
        scan(keeper, "0");
    else
        end_step(keeper, TICK_MS);
}

static void claim_next(struct crl_keeper *keeper) {
    const struct config *config = keeper->worker->config;
    store_claim_crl(keeper->worker->store, keeper->arena, (int64_t)config->crl_delay_ms, LEASE_MS,
                    config->host_name, config->crl_complete, &keeper->claim, note_claimed, keeper);
}

/* --- copying what was published --- */

static void publish_metrics(struct crl_keeper *keeper) {
    time_t oldest = 0;
    uint64_t entries = 0;
    for (size_t i = 0; i < keeper->files.count; i++) {
        const struct crl_file *file = &keeper->files.items[i];
        if (oldest == 0 || file->this_update < oldest)
            oldest = file->this_update;
        entries += file->entry_count;
    }
    metric_set(keeper->lists, (int64_t)keeper->files.count);
    metric_set(keeper->entries, (int64_t)entries);
    metric_set(keeper->oldest, oldest == 0 ? 0 : (int64_t)(time(NULL) - oldest));
}

/* Then all are compared anew. */
static void note_forgotten_published(void *context, const struct error *error) {
    struct crl_keeper *keeper = context;
    keeper->ticks = 0;
    if (error != NULL && error->code != ERROR_CONFLICT)
        fail_step(keeper, "publish again", error);
    else
        end_step(keeper, error == NULL ? 0 : TICK_MS);
}

static bool read_whole(struct crl_keeper *keeper, const struct crl_file *file, struct bytes *der) {
    char path[320];
    uint8_t *data = arena_alloc(keeper->arena, file->bytes + 1);
    snprintf(path, sizeof path, "%s/%s", keeper->files.directory, file->name);
    FILE *stream = data == NULL ? NULL : fopen(path, "re");
    *der = (struct bytes){data, stream == NULL ? 0 : fread(data, 1, file->bytes + 1, stream)};
    if (stream != NULL)
        fclose(stream);
    return stream != NULL && der->length == file->bytes;
}

/* A Redis that went back has forgotten the newest lists that were served here: their numbers must not come
 * again, and other hosts must not fall behind them. */
static bool publish_forgotten(struct crl_keeper *keeper) {
    for (size_t i = 0; i < keeper->files.count; i++) {
        struct crl_file *file = &keeper->files.items[i];
        uint64_t known = 0;
        for (size_t j = 0; j < keeper->published.count && known == 0; j++)
            if (strcmp(keeper->published.items[j].url, file->url) == 0 &&
                strcmp(keeper->published.items[j].issuer, file->issuer) == 0)
                known = keeper->published.items[j].number;
        if (known >= file->number || !read_whole(keeper, file, &keeper->der))
            continue;
        keeper->made_crl = (struct store_crl){.issuer = file->issuer,
                                              .url = file->url,
                                              .number = file->number,
                                              .this_update = file->this_update,
                                              .next_update = file->next_update,
                                              .entry_count = file->entry_count};
        return true;
    }
    return false;
}

static void note_der(void *context, const struct error *error) {
    struct crl_keeper *keeper = context;
    const struct store_crl *crl = &keeper->published.items[keeper->next_published - 1];
    struct error problem;
    const struct crl_file file = {.issuer = (char *)(uintptr_t)crl->issuer,
                                  .url = (char *)(uintptr_t)crl->url,
                                  .number = crl->number,
                                  .entry_count = crl->entry_count,
                                  .this_update = crl->this_update,
                                  .next_update = crl->next_update};
    if (error == NULL && !crl_files_put(&keeper->files, &file, keeper->der, &problem))
        error = &problem;
    if (error != NULL)
        fail_step(keeper, "copy", error);
    else
        copy_published(keeper);
}

static void end_copying(struct crl_keeper *keeper) {
    publish_metrics(keeper);
    if (keeper->compares_all && publish_forgotten(keeper)) {
        store_publish_crl(keeper->worker->store, &keeper->made_crl, keeper->der, 0, "", NULL,
                          note_forgotten_published, keeper);
        return;
    }
    keeper->compares_all = false;
    claim_next(keeper);
}

/* Those that are newer than what is served here. */
static void copy_published(struct crl_keeper *keeper) {
    while (keeper->next_published < keeper->published.count) {
        const struct store_crl *crl = &keeper->published.items[keeper->next_published++];
        const struct crl_file *file = crl_files_find(&keeper->files, crl->issuer, crl->url);
        if (crl->sequence > keeper->seen)
            keeper->seen = crl->sequence;
        if (file != NULL && file->number >= crl->number)
            continue;
        store_load_crl(keeper->worker->store, keeper->arena, crl->id, &keeper->der, note_der, keeper);
        return;
    }
    end_copying(keeper);
}

static void note_published(void *context, const struct error *error) {
    struct crl_keeper *keeper = context;
    if (error != NULL) {
        fail_step(keeper, "look", error);
        return;
    }
    keeper->next_published = 0;
    copy_published(keeper);
}

static void look(struct crl_keeper *keeper) {
    if (keeper->ticks == 0) {
        keeper->compares_all = true;
        keeper->seen = 0;
        keeper->ticks = COMPARE_TICKS;
    }
    keeper->ticks--;
    store_list_crls(keeper->worker->store, keeper->arena, keeper->seen, LISTS_MAX, &keeper->published,
                    note_published, keeper);
}

/* --- before the first list --- */

static void prepare(struct crl_keeper *keeper);

static void note_adopted(void *context, const struct error *error) {
    struct crl_keeper *keeper = context;
    if (error != NULL)
        fail_step(keeper, "adopt", error);
    else
        prepare(keeper);
}

static void note_registered(void *context, const struct error *error) {
    struct crl_keeper *keeper = context;
    if (error != NULL) {
        fail_step(keeper, "register", error);
        return;
    }
    keeper->is_registered = true;
    prepare(keeper);
}

static uint32_t count_shards(const struct config_issuer *issuer) {
    return issuer->crl_url == NULL ? 0 : crl_url_count(issuer->crl_url, issuer->crl_shards);
}

/* Every list that a certificate issued from now on may name. */
static void register_lists(struct crl_keeper *keeper) {
    const struct config *config = keeper->worker->config;
    size_t count = 0, most = config->issuer_count;
    for (size_t i = 0; i < config->issuer_count; i++)
        most += count_shards(&config->issuers[i]);
    struct store_crl_name *names = arena_alloc(keeper->arena, most * sizeof *names);
    for (size_t i = 0; names != NULL && i < config->issuer_count; i++) {
        const struct config_issuer *issuer = &config->issuers[i];
        names[count++] = (struct store_crl_name){issuer->name, ""};
        for (uint32_t shard = 0; shard < count_shards(issuer); shard++)
            names[count++] =
                (struct store_crl_name){issuer->name, crl_url_fill(keeper->arena, issuer->crl_url, shard)};
    }
    store_register_crls(keeper->worker->store, names, count, note_registered, keeper);
}

static void prepare(struct crl_keeper *keeper) {
    if (!keeper->is_registered)
        register_lists(keeper);
    else if (!keeper->is_adopted)
        store_adopt_revocations(keeper->worker->store, ADOPT_PAGE, &keeper->is_adopted, note_adopted, keeper);
    else
        look(keeper);
}

static void start_tick(evutil_socket_t fd, short what, void *context) {
    (void)fd;
    (void)what;
    struct crl_keeper *keeper = context;
    if (keeper->arena != NULL)
        return;
    if (!keeper->worker->is_ready || keeper->worker->is_draining) {
        /* Redis may be another one when it is back. */
        keeper->is_registered = keeper->is_adopted = false;
        keeper->ticks = 0;
        end_step(keeper, TICK_MS);
        return;
    }
    keeper->arena = arena_new(0);
    if (keeper->arena == NULL)
        end_step(keeper, TICK_MS);
    else
        prepare(keeper);
}

struct crl_keeper *crl_keeper_new(struct worker *worker, struct error *error) {
    struct crl_keeper *keeper = calloc(1, sizeof *keeper);
    struct metrics *metrics = worker->metrics;
    if (keeper == NULL || (keeper->timer = evtimer_new(worker->base, start_tick, keeper)) == NULL) {
        free(keeper);
        error_set(error, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    keeper->worker = worker;
    keeper->made = metrics_counter(metrics, "originca_crls_published_total", "Revocation lists published");
    keeper->failed = metrics_counter(metrics, "originca_crl_failures_total",
                                     "Times that a revocation list could not be made, copied or published");
    keeper->unsorted = metrics_gauge(metrics, "originca_crl_unsorted",
                                     "Revocations whose list is not known yet; none is made meanwhile");
    keeper->oldest =
        metrics_gauge(metrics, "originca_crl_age_seconds", "Age of the oldest revocation list served here");
    keeper->entries = metrics_gauge(metrics, "originca_crl_entries", "Entries of all revocation lists");
    keeper->lists = metrics_gauge(metrics, "originca_crls", "Revocation lists served here");
    if (!crl_files_read(&keeper->files, worker->config->run_directory, error)) {
        log_event(LOG_LEVEL_WARNING, "revocation lists are fetched anew", "reason", error->message, NULL);
    }
    end_step(keeper, 0);
    return keeper;
}

void crl_keeper_free(struct crl_keeper *keeper) {
    if (keeper == NULL)
        return;
    event_free(keeper->timer);
    crl_files_free(&keeper->files);
    arena_free(keeper->page_arena);
    arena_free(keeper->arena);
    free(keeper->rows);
    free(keeper->made_list.der);
    free(keeper);
}
