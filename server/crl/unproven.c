/* Entries of a list that is being made which no ledger is known to have: neither this host's, which its
 * signer has looked into, nor another's, which would have sealed a proof. They are listed as long as they are
 * few, since a host whose admin process is away still revokes; beyond that whoever can write Redis could have
 * any number of certificates on a list.
 *
 * The bound holds from when all hosts have gone through the list's unproven entries once and these were not
 * more: an installation of before there were proofs may have those of a host that is gone for good. That it
 * holds stands in the ledger, so that nothing in Redis ends it. After each start, and when Redis may have
 * gone back, proofs are looked for once more before anything is left out. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "keeper.h"
#include "originca/log.h"

#define QUEUE_PAGE 1000
#define WAIT_MS 60000      /* for hosts to look, before a list with more is made all the same */
#define PATIENCE_MS 120000 /* what is proven later than that is no ordinary delay */
#define LINGER_MS 5000     /* for proofs of what another host revokes just now */
#define LINGER_STEP_MS 250
#define NO_LINGER_MS 60000   /* after that was in vain */
#define REMEMBERED 10000     /* unproven entries of a list */
#define MAKE_AGAIN_MS 300000 /* one that left entries out */

struct waiting_entry {
    uint8_t serial[SERIAL_BYTES];
    int64_t since_ms; /* clock_monotonic_ms */
};

struct crl_watch { /* of a list that this process has made */
    char *issuer, *url;
    bool is_through, is_bounded;
    int64_t queued_ms;  /* clock of Redis, since when its first unproven entries wait; 0: there were none */
    int64_t refused_ms; /* when it was not made for them at first; 0: it always was */
    size_t left_out;    /* of the list that was made last */
    int64_t made_ms;
    uint64_t told; /* so many were left out, or beyond the bound, when that was told last */
    struct waiting_entry *entries;
    size_t count;
};

/* --- what is known of the list --- */

static struct crl_watch *find_watch(struct crl_keeper *keeper) {
    const char *issuer = keeper->claim.issuer, *url = keeper->claim.url;
    for (size_t i = 0; i < keeper->watch_count; i++)
        if (strcmp(keeper->watches[i].url, url) == 0 && strcmp(keeper->watches[i].issuer, issuer) == 0)
            return &keeper->watches[i];
    struct crl_watch *larger = realloc(keeper->watches, (keeper->watch_count + 1) * sizeof *larger);
    if (larger == NULL)
        return NULL;
    keeper->watches = larger;
    struct crl_watch fresh = {.issuer = strdup(issuer), .url = strdup(url)};
    if (fresh.issuer == NULL || fresh.url == NULL) {
        free(fresh.issuer);
        free(fresh.url);
        return NULL;
    }
    larger[keeper->watch_count] = fresh;
    return &larger[keeper->watch_count++];
}

void crl_unproven_free(struct crl_keeper *keeper) {
    for (size_t i = 0; i < keeper->watch_count; i++) {
        free(keeper->watches[i].issuer);
        free(keeper->watches[i].url);
        free(keeper->watches[i].entries);
    }
    if (keeper->linger != NULL)
        event_free(keeper->linger);
    free(keeper->watches);
    keeper->watches = NULL;
    keeper->watch_count = 0;
}

void crl_unproven_restart(struct crl_keeper *keeper) {
    crl_proofs_restart(keeper->proofs);
    for (size_t i = 0; i < keeper->watch_count; i++) {
        keeper->watches[i].is_through = false;
        keeper->watches[i].queued_ms = keeper->watches[i].refused_ms = 0;
    }
}

/* --- entries --- */

static bool is_unproven(const struct crl_keeper *keeper, size_t row) {
    return keeper->unknown[row] != 0 && !crl_proofs_has(keeper->proofs, keeper->rows[row].serial);
}

static size_t count_unproven(const struct crl_keeper *keeper) {
    size_t count = 0;
    for (size_t i = 0; i < keeper->row_count; i++)
        count += is_unproven(keeper, i);
    return count;
}

static int by_serial(const void *a, const void *b) {
    return memcmp(a, b, SERIAL_BYTES);
}

/* Since when each is unproven, as far as this process has seen it. */
static void remember(struct crl_keeper *keeper, struct crl_watch *watch, size_t count) {
    int64_t now = clock_monotonic_ms();
    size_t most = count < REMEMBERED ? count : REMEMBERED, taken = 0;
    struct waiting_entry *entries = most == 0 ? NULL : calloc(most, sizeof *entries);
    for (size_t i = 0; entries != NULL && i < keeper->row_count && taken < most; i++) {
        if (!is_unproven(keeper, i))
            continue;
        const struct waiting_entry *before = watch->count == 0
                                                 ? NULL
                                                 : bsearch(keeper->rows[i].serial, watch->entries,
                                                           watch->count, sizeof *watch->entries, by_serial);
        memcpy(entries[taken].serial, keeper->rows[i].serial, SERIAL_BYTES);
        entries[taken++].since_ms = before == NULL ? now : before->since_ms;
    }
    free(watch->entries);
    watch->entries = entries;
    watch->count = taken;
}

static uint64_t count_waiting(const struct crl_keeper *keeper, const struct crl_watch *watch, int64_t now) {
    uint64_t count = 0;
    for (size_t i = 0; i < watch->count; i++)
        count += now - watch->entries[i].since_ms >= PATIENCE_MS &&
                 !crl_proofs_has(keeper->proofs, watch->entries[i].serial);
    return count;
}

void crl_unproven_publish(struct crl_keeper *keeper) {
    int64_t now = clock_monotonic_ms();
    uint64_t most = crl_proofs_waiting(keeper->proofs);
    char count[24];
    for (size_t i = 0; i < keeper->watch_count; i++) {
        uint64_t waiting = count_waiting(keeper, &keeper->watches[i], now);
        most = waiting > most ? waiting : most;
    }
    metric_set(keeper->unproven, (int64_t)most);
    if (most == keeper->told_unproven ||
        (most > 0 && keeper->told_unproven_ms != 0 && now - keeper->told_unproven_ms < CRL_UNPROVEN_TELL_MS))
        return;
    keeper->told_unproven = most;
    keeper->told_unproven_ms = now;
    snprintf(count, sizeof count, "%llu", (unsigned long long)most);
    if (most > 0)
        log_event(LOG_LEVEL_ERROR,
                  "Redis has revocations that no host's ledger has (originca admin crl drop-unproven)",
                  "count", count, NULL);
}

/* Not all are remembered where there are many: such a list is made anew from time to time. */
static bool may_have_proven(const struct crl_keeper *keeper, const struct crl_watch *watch) {
    if (watch->left_out > 0 && clock_monotonic_ms() - watch->made_ms >= MAKE_AGAIN_MS)
        return true;
    for (size_t i = 0; watch->left_out > 0 && i < watch->count; i++)
        if (crl_proofs_has(keeper->proofs, watch->entries[i].serial))
            return true;
    return false;
}

size_t crl_unproven_count_watches(const struct crl_keeper *keeper) {
    return keeper->watch_count;
}

bool crl_unproven_take_proven(struct crl_keeper *keeper, size_t at, struct store_crl_name *list) {
    struct crl_watch *watch = &keeper->watches[at];
    if (watch->left_out > 0)
        crl_proofs_read_whole(keeper->proofs);
    if (!may_have_proven(keeper, watch))
        return false;
    watch->left_out = 0;
    *list = (struct store_crl_name){watch->issuer, watch->url};
    return true;
}

/* --- what becomes of the list --- */

static void tell_bound(struct crl_watch *watch, size_t count, size_t left_out) {
    char all[24], out[24];
    if (watch->told == count)
        return;
    watch->told = count;
    if (count == 0)
        return;
    snprintf(all, sizeof all, "%zu", count);
    snprintf(out, sizeof out, "%zu", left_out);
    log_event(
        LOG_LEVEL_ERROR,
        left_out > 0
            ? "a revocation list has more entries that no ledger is known to have than crl_max_unproven: "
              "the others are left out until a host proves them"
            : "a revocation list has more entries that no ledger is known to have than crl_max_unproven: "
              "they are listed, since they never were less or a host has not looked yet",
        "issuer", watch->issuer, "list", watch->url, "unproven", all, "left_out", out, NULL);
}

static void finish(struct crl_keeper *keeper, struct crl_watch *watch, size_t count, size_t left_out) {
    size_t most = keeper->worker->config->crl_max_unproven;
    keeper->request.unproven = count;
    keeper->request.is_bounded = watch->is_bounded;
    keeper->unlisted = watch->left_out = left_out;
    watch->made_ms = clock_monotonic_ms();
    tell_bound(watch, count > most ? count : 0, left_out);
}

struct choice {
    uint32_t revoked_at;
    size_t row;
};

static int by_time(const void *a, const void *b) {
    const struct choice *x = a, *y = b;
    int order = (x->revoked_at > y->revoked_at) - (x->revoked_at < y->revoked_at);
    return order != 0 ? order : (x->row > y->row) - (x->row < y->row);
}

/* Those stay that were revoked first. */
static bool leave_out(struct crl_keeper *keeper, size_t count) {
    size_t most = keeper->worker->config->crl_max_unproven, kept = 0, at = 0;
    struct choice *choices = calloc(count, sizeof *choices);
    if (choices == NULL)
        return false;
    for (size_t i = 0; i < keeper->row_count && at < count; i++)
        if (is_unproven(keeper, i))
            choices[at++] = (struct choice){keeper->rows[i].revoked_at, i};
    qsort(choices, count, sizeof *choices, by_time);
    memset(keeper->unknown, 0, keeper->row_count); /* from here on: is it to go? */
    for (size_t i = most; i < count; i++)
        keeper->unknown[choices[i].row] = 1;
    for (size_t i = 0; i < keeper->row_count; i++)
        if (keeper->unknown[i] == 0)
            keeper->rows[kept++] = keeper->rows[i];
    keeper->row_count = keeper->request.count = kept;
    free(choices);
    return true;
}

static void note_given_again(void *context, const struct error *error) {
    struct crl_keeper *keeper = context;
    if (error != NULL)
        crl_keeper_fail_making(keeper, "give", error);
    else
        crl_keeper_sign_given(keeper);
}

static bool have_all_looked(const struct crl_keeper *keeper, const struct crl_watch *watch) {
    const struct crl_provers *provers = crl_proofs_provers(keeper->proofs);
    return provers->is_known && !crl_proofs_is_behind(keeper->proofs) && watch->queued_ms != 0 &&
           provers->passed_ms > watch->queued_ms;
}

static bool may_wait(struct crl_watch *watch) {
    int64_t now = clock_monotonic_ms();
    if (watch->refused_ms == 0)
        watch->refused_ms = now;
    return now - watch->refused_ms < WAIT_MS;
}

static void note_followed_again(void *context, const struct error *error);

static void look_again(evutil_socket_t fd, short what, void *context) {
    struct crl_keeper *keeper = context;
    (void)fd;
    (void)what;
    crl_proofs_follow(keeper->proofs, note_followed_again, keeper);
}

/* Another host that revokes many seals them a moment later: a list that waits so long has them. */
static bool lingers(struct crl_keeper *keeper) {
    static const struct timeval step = {.tv_usec = LINGER_STEP_MS * 1000};
    int64_t now = clock_monotonic_ms();
    if (keeper->linger_until_ms == 0) {
        keeper->linger_until_ms = now + LINGER_MS;
        crl_proofs_read_whole(keeper->proofs);
    }
    bool was_in_vain = keeper->lingered_ms != 0 && now - keeper->lingered_ms < NO_LINGER_MS;
    if (!was_in_vain && now >= keeper->linger_until_ms)
        keeper->lingered_ms = now;
    if (was_in_vain || now >= keeper->linger_until_ms)
        return false;
    if (keeper->linger == NULL)
        keeper->linger = evtimer_new(keeper->worker->base, look_again, keeper);
    return keeper->linger != NULL && event_add(keeper->linger, &step) == 0;
}

static void decide(struct crl_keeper *keeper, size_t count) {
    const struct error unlooked = {ERROR_REFUSED,
                                   "Redis has more entries that this host's ledger does not have than "
                                   "crl_max_unproven, and not every host has looked yet which are its own"};
    const struct error no_memory = {ERROR_UNAVAILABLE, "out of memory"};
    size_t most = keeper->worker->config->crl_max_unproven;
    struct crl_watch *watch = find_watch(keeper);
    if (watch == NULL) {
        crl_keeper_fail_making(keeper, "prove", &no_memory);
        return;
    }
    if (keeper->queued_ms != 0 && watch->queued_ms == 0)
        watch->queued_ms = keeper->queued_ms;
    watch->is_through = watch->is_through || count == 0 || have_all_looked(keeper, watch);
    watch->is_bounded = watch->is_bounded ||
                        crl_floors_are_bounded(keeper->floors, watch->issuer, watch->url) ||
                        (watch->is_through && count <= most);
    remember(keeper, watch, count);
    if (count > most && !watch->is_through && may_wait(watch)) {
        crl_keeper_fail_making(keeper, "prove", &unlooked);
        return;
    }
    bool is_bound = count > most && watch->is_bounded;
    if (is_bound && lingers(keeper))
        return;
    finish(keeper, watch, count, is_bound ? count - most : 0);
    if (!is_bound)
        crl_keeper_sign_given(keeper);
    else if (!leave_out(keeper, count))
        crl_keeper_fail_making(keeper, "prove", &no_memory);
    else
        signer_give_crl(keeper->worker->operator_signer, &keeper->request, note_given_again, keeper);
}

/* --- proofs that came meanwhile, and entries that nobody was asked about --- */

static void note_followed_again(void *context, const struct error *error) {
    struct crl_keeper *keeper = context;
    if (error != NULL)
        crl_keeper_fail_making(keeper, "prove", error);
    else
        decide(keeper, count_unproven(keeper));
}

static void queue_next(struct crl_keeper *keeper);

static void note_queued(void *context, const struct error *error) {
    struct crl_keeper *keeper = context;
    if (error != NULL)
        crl_keeper_fail_making(keeper, "prove", error);
    else
        queue_next(keeper);
}

static void queue_next(struct crl_keeper *keeper) {
    const struct error no_memory = {ERROR_UNAVAILABLE, "out of memory"};
    arena_free(keeper->page_arena);
    keeper->page_arena = arena_new(0);
    const char **serials = keeper->page_arena == NULL
                               ? NULL
                               : arena_alloc(keeper->page_arena, (QUEUE_PAGE + 1) * sizeof *serials);
    size_t count = 0;
    for (; serials != NULL && keeper->next_queued < keeper->row_count && count < QUEUE_PAGE;
         keeper->next_queued++) {
        if (!is_unproven(keeper, keeper->next_queued))
            continue;
        char *hex = arena_alloc(keeper->page_arena, SERIAL_HEX_MAX);
        if (hex == NULL)
            serials = NULL;
        else
            hex_encode(keeper->rows[keeper->next_queued].serial, SERIAL_BYTES, hex);
        if (serials != NULL)
            serials[count++] = hex;
    }
    if (serials == NULL)
        crl_keeper_fail_making(keeper, "prove", &no_memory);
    else if (count > 0)
        store_queue_unproven(keeper->worker->store, keeper->claim.id, keeper->are_many, serials, count,
                             &keeper->queued_ms, note_queued, keeper);
    else
        crl_proofs_follow(keeper->proofs, note_followed_again, keeper);
}

static void note_followed(void *context, const struct error *error) {
    struct crl_keeper *keeper = context;
    size_t count = error == NULL ? count_unproven(keeper) : 0;
    if (error != NULL) {
        crl_keeper_fail_making(keeper, "prove", error);
        return;
    }
    keeper->linger_until_ms = 0;
    keeper->next_queued = 0;
    keeper->queued_ms = 0;
    keeper->are_many = count > keeper->worker->config->crl_max_unproven;
    if (count > 0 && crl_proofs_can_tell(keeper->proofs))
        queue_next(keeper);
    else if (count > 0)
        crl_keeper_sign_given(keeper); /* other hosts' entries, and nothing to know them by */
    else
        decide(keeper, 0);
}

void crl_unproven_judge(struct crl_keeper *keeper) {
    if (count_unproven(keeper) == 0)
        decide(keeper, 0);
    else
        crl_proofs_follow(keeper->proofs, note_followed, keeper);
}
