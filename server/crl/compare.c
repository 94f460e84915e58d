/* Goes through the lists that the signer's ledger names, and through what it must have on each. */
#include "compare.h"

#include <stdio.h>
#include <stdlib.h>

#include "keeper.h"
#include "originca/log.h"

#define LISTS 500
#define LISTS_AT_ONCE 200 /* and entries: for one step */
#define ENTRIES_AT_ONCE 4000
#define AT_ONCE 500 /* for one call of Redis */
#define PAUSES 10   /* as long as a round took */

struct crl_compare {
    struct worker *worker;
    struct metric *put_back;
    struct arena *names, *arena; /* of `lists`; of the page */
    struct signer_crl_list lists;
    size_t next_list;
    bool is_running;
    unsigned steps; /* of this round */
    int64_t due_ms; /* clock_monotonic_ms */
    /* the step */
    size_t lists_passed, entries_passed;
    /* the page */
    uint64_t cursor;
    struct signer_revoked_list page;
    struct store_crl_lost *entries;
    size_t entry_count, next_entry;
    struct store_compared found;
    int64_t entries_back, certificates_back;
    store_done *done;
    void *context;
};

static void end(struct crl_compare *compare, const struct error *error) {
    arena_free(compare->arena);
    compare->arena = NULL;
    compare->done(compare->context, error);
}

static void fail_memory(struct crl_compare *compare) {
    const struct error no_memory = {ERROR_UNAVAILABLE, "out of memory"};
    end(compare, &no_memory);
}

static void end_round(struct crl_compare *compare) {
    int64_t now = clock_monotonic_ms(), pause = (int64_t)PAUSES * (compare->steps - 1) * CRL_TICK_MS;
    int64_t least = (int64_t)compare->worker->config->crl_compare_seconds * 1000;
    compare->is_running = false;
    compare->due_ms = now + (pause > least ? pause : least);
    arena_free(compare->names);
    compare->names = NULL;
    end(compare, NULL);
}

static void tell(struct crl_compare *compare) {
    const struct signer_crl_number *list = &compare->lists.items[compare->next_list];
    char entries[24], certificates[24];
    if (compare->entries_back + compare->certificates_back == 0)
        return;
    snprintf(entries, sizeof entries, "%lld", (long long)compare->entries_back);
    snprintf(certificates, sizeof certificates, "%lld", (long long)compare->certificates_back);
    log_event(LOG_LEVEL_ERROR, "Redis had lost revocations of this host's ledger: they are there again",
              "issuer", list->issuer, "list", list->url, "entries", entries, "certificates", certificates,
              NULL);
    metric_add(compare->put_back, (uint64_t)(compare->entries_back + compare->certificates_back));
    compare->entries_back = compare->certificates_back = 0;
}

static void ask(struct crl_compare *compare);
static void find_lists(struct crl_compare *compare, uint32_t cursor);

/* --- one page of one list --- */

static void go_on(struct crl_compare *compare) {
    tell(compare);
    compare->entries_passed += compare->entry_count;
    compare->cursor = compare->page.next_cursor;
    if (compare->cursor == 0) {
        compare->next_list++;
        compare->lists_passed++;
    }
    if (compare->lists_passed < LISTS_AT_ONCE && compare->entries_passed < ENTRIES_AT_ONCE)
        ask(compare);
    else
        end(compare, NULL);
}

static void put_back(struct crl_compare *compare);

static void note_put_back(void *context, const struct error *error) {
    struct crl_compare *compare = context;
    if (error != NULL) {
        end(compare, error);
        return;
    }
    compare->entries_back += compare->found.entries;
    compare->certificates_back += compare->found.certificates;
    put_back(compare);
}

static void put_back(struct crl_compare *compare) {
    const struct signer_crl_number *list = &compare->lists.items[compare->next_list];
    size_t first = compare->next_entry, rest = compare->entry_count - first;
    size_t count = rest < AT_ONCE ? rest : AT_ONCE;
    compare->next_entry += count;
    if (count == 0)
        go_on(compare);
    else
        store_compare_revoked(compare->worker->store, list->issuer, list->url, compare->entries + first,
                              count, &compare->found, note_put_back, compare);
}

static void note_page(void *context, const struct error *error) {
    struct crl_compare *compare = context;
    time_t settled = (time_t)(clock_wall_ms() / 1000 - compare->worker->config->crl_settle_seconds);
    size_t count = 0;
    if (error != NULL) {
        end(compare, error);
        return;
    }
    for (size_t i = 0; i < compare->page.count; i++)
        if (compare->page.items[i].revoked_at < settled)
            compare->page.items[count++] = compare->page.items[i];
    compare->entries = crl_lost_from(compare->arena, compare->page.items, count);
    compare->entry_count = count;
    compare->next_entry = 0;
    if (compare->entries == NULL)
        fail_memory(compare);
    else
        put_back(compare);
}

static void ask(struct crl_compare *compare) {
    arena_free(compare->arena);
    compare->arena = arena_new(0);
    if (compare->arena == NULL) {
        fail_memory(compare);
    } else if (compare->next_list == compare->lists.count) {
        if (compare->lists.next_cursor != 0)
            find_lists(compare, compare->lists.next_cursor);
        else
            end_round(compare);
    } else {
        const struct signer_crl_number *list = &compare->lists.items[compare->next_list];
        signer_list_revoked(compare->worker->operator_signer, compare->arena, list->issuer, list->url,
                            compare->cursor, &compare->page, note_page, compare);
    }
}

/* --- a round --- */

static void note_lists(void *context, const struct error *error) {
    struct crl_compare *compare = context;
    if (error != NULL) {
        compare->is_running = false;
        end(compare, error);
        return;
    }
    compare->next_list = 0;
    compare->cursor = 0;
    ask(compare);
}

static void find_lists(struct crl_compare *compare, uint32_t cursor) {
    arena_free(compare->names);
    compare->names = arena_new(0);
    if (compare->names == NULL)
        fail_memory(compare);
    else
        signer_list_crls(compare->worker->operator_signer, compare->names, cursor, LISTS, &compare->lists,
                         note_lists, compare);
}

void crl_compare_work(struct crl_compare *compare, store_done *done, void *context) {
    int64_t now = clock_monotonic_ms();
    compare->done = done;
    compare->context = context;
    compare->lists_passed = compare->entries_passed = 0;
    compare->steps++;
    if (compare->is_running) {
        ask(compare);
    } else if (now >= compare->due_ms) {
        compare->is_running = true;
        compare->steps = 1;
        find_lists(compare, 0);
    } else {
        end(compare, NULL);
    }
}

void crl_compare_restart(struct crl_compare *compare) {
    compare->is_running = false;
    compare->due_ms = 0;
}

struct crl_compare *crl_compare_new(struct worker *worker) {
    struct crl_compare *compare = calloc(1, sizeof *compare);
    if (compare == NULL)
        return NULL;
    compare->worker = worker;
    compare->put_back = metrics_counter(
        worker->metrics, "originca_crl_put_back_total",
        "Revocations of this host's ledger that Redis had lost: entries of lists, certificates");
    return compare;
}

void crl_compare_free(struct crl_compare *compare) {
    if (compare == NULL)
        return;
    arena_free(compare->names);
    arena_free(compare->arena);
    free(compare);
}
