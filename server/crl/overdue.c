/* Lists that should have been made long ago, or are served here in a former state. Redis says when a list is
 * due, and may have forgotten it, or been told otherwise by somebody: so lists are looked at by their age,
 * and by the revocations of this host's own ledger, too. */
#include <string.h>

#include "keeper.h"
#include "originca/log.h"

#define COMPLAIN_MS 3600000 /* about the same thing */
#define PAGE 500

static bool is_silent(int64_t *told_ms) {
    int64_t now = clock_monotonic_ms();
    if (*told_ms != 0 && now - *told_ms < COMPLAIN_MS)
        return true;
    *told_ms = now;
    return false;
}

/* --- served here --- */

void crl_keeper_find_stale(struct crl_keeper *keeper) {
    const struct store_crl *first = NULL;
    int64_t count = 0;
    for (size_t i = 0; i < keeper->published.count; i++) {
        const struct store_crl *crl = &keeper->published.items[i];
        bool is_stale = crl_keeper_wants(keeper, crl) &&
                        !crl_keeper_has_refused(keeper, crl->issuer, crl->url, crl->number);
        first = is_stale && first == NULL ? crl : first;
        count += is_stale;
    }
    metric_set(keeper->stale, count);
    if (count == 0)
        keeper->told_stale_ms = 0;
    else if (!is_silent(&keeper->told_stale_ms))
        log_event(
            LOG_LEVEL_ERROR,
            "this host serves an older revocation list than was published: it cannot keep the newer one",
            "issuer", first->issuer, "list", first->url, NULL);
}

uint64_t crl_keeper_served(const struct crl_keeper *keeper, const char *issuer, const char *url) {
    const struct crl_file *file = crl_files_find(&keeper->files, issuer, url);
    return file == NULL ? 0 : file->number;
}

/* --- to be made --- */

/* So long it may wait, and take whoever makes it. */
static int64_t grace_ms(const struct crl_keeper *keeper) {
    return (int64_t)keeper->worker->config->crl_delay_ms + 2 * crl_keeper_lease_ms(keeper);
}

static bool is_old(const struct crl_keeper *keeper, const struct store_crl_name *name) {
    const struct crl_file *file = crl_files_find(&keeper->files, name->issuer, name->url);
    if (file == NULL)
        return true;
    int64_t due_ms = ((int64_t)file->this_update + file->next_update) * 500;
    return clock_wall_ms() > due_ms + grace_ms(keeper);
}

/* A list whose reading began so long after a revocation as the signer lets it settle has it, by whichever
 * host it was made. */
static bool lacks_revocation(const struct crl_keeper *keeper, const struct signer_crl_number *list) {
    const struct config *config = keeper->worker->config;
    int64_t needed_ms = ((int64_t)list->unlisted_at + config->crl_settle_seconds) * 1000;
    return list->unlisted_at != 0 && clock_wall_ms() > needed_ms + grace_ms(keeper) &&
           crl_keeper_served(keeper, list->issuer, list->url) < (uint64_t)needed_ms;
}

static bool is_made_here(const struct crl_keeper *keeper, const char *issuer, const char *url) {
    return crl_keeper_issuer(keeper, issuer) != NULL &&
           (*url != '\0' || keeper->worker->config->crl_complete);
}

static bool is_among(const struct store_crl_name *names, size_t count, const char *issuer, const char *url) {
    for (size_t i = 0; i < count; i++)
        if (strcmp(names[i].url, url) == 0 && strcmp(names[i].issuer, issuer) == 0)
            return true;
    return false;
}

static void add(struct crl_keeper *keeper, const char *issuer, const char *url) {
    if (is_made_here(keeper, issuer, url))
        keeper->overdue[keeper->overdue_count++] = (struct store_crl_name){issuer, url};
}

static bool make_room(struct crl_keeper *keeper, size_t more) {
    struct store_crl_name *larger =
        arena_alloc(keeper->arena, (keeper->overdue_count + more + 1) * sizeof *larger);
    if (larger != NULL && keeper->overdue_count > 0)
        memcpy(larger, keeper->overdue, keeper->overdue_count * sizeof *larger);
    keeper->overdue = larger;
    return larger != NULL;
}

/* Of those that certificates may name from now on, of those that were served, and of those that left out what
 * is proven by now. */
static bool find_old(struct crl_keeper *keeper) {
    size_t known_count;
    const struct store_crl_name *known = crl_keeper_names(keeper, &known_count);
    keeper->overdue_count = 0;
    if (known == NULL ||
        !make_room(keeper, known_count + keeper->files.count + crl_unproven_count_watches(keeper)))
        return false;
    for (size_t i = 0; i < known_count; i++)
        if (is_old(keeper, &known[i]))
            add(keeper, known[i].issuer, known[i].url);
    for (size_t i = 0; i < keeper->files.count; i++) {
        const struct crl_file *file = &keeper->files.items[i];
        const struct store_crl_name name = {file->issuer, file->url};
        if (!is_among(known, known_count, name.issuer, name.url) && is_old(keeper, &name))
            add(keeper, name.issuer, name.url);
    }
    for (size_t i = 0; i < crl_unproven_count_watches(keeper); i++) {
        struct store_crl_name name;
        if (crl_unproven_take_proven(keeper, i, &name))
            add(keeper, name.issuer, name.url);
    }
    return true;
}

static void note_renewed(void *context, const struct error *error) {
    struct crl_keeper *keeper = context;
    if (error != NULL)
        crl_keeper_fail_step(keeper, "renew", error);
    else
        crl_keeper_claim_next(keeper);
}

static void renew(struct crl_keeper *keeper) {
    store_renew_crls(keeper->worker->store, (int64_t)keeper->worker->config->crl_delay_ms,
                     crl_keeper_lease_ms(keeper), keeper->overdue, keeper->overdue_count, note_renewed,
                     keeper);
}

static void ask_signer(struct crl_keeper *keeper);

static void take_lacking(struct crl_keeper *keeper, const struct signer_crl_number *list) {
    size_t before = keeper->overdue_count;
    add(keeper, list->issuer, list->url);
    if (keeper->overdue_count == before)
        return;
    metric_add(keeper->lacking_total, 1);
    if (!is_silent(&keeper->told_lacking_ms))
        log_event(LOG_LEVEL_ERROR,
                  "a revocation list has long lacked a revocation of this host's ledger: it is made anew",
                  "issuer", list->issuer, "list", list->url, NULL);
}

static void note_recorded(void *context, const struct error *error) {
    struct crl_keeper *keeper = context;
    const struct error no_memory = {ERROR_UNAVAILABLE, "out of memory"};
    if (error == NULL && !make_room(keeper, keeper->recorded.count))
        error = &no_memory;
    if (error != NULL) {
        crl_keeper_fail_step(keeper, "ask the signer for revocations", error);
        return;
    }
    for (size_t i = 0; i < keeper->recorded.count; i++)
        if (lacks_revocation(keeper, &keeper->recorded.items[i]))
            take_lacking(keeper, &keeper->recorded.items[i]);
    if (keeper->recorded.next_cursor != 0)
        ask_signer(keeper);
    else
        renew(keeper);
}

static void ask_signer(struct crl_keeper *keeper) {
    signer_list_crls(keeper->worker->operator_signer, keeper->arena, keeper->recorded.next_cursor, PAGE,
                     &keeper->recorded, note_recorded, keeper);
}

void crl_keeper_renew_overdue(struct crl_keeper *keeper) {
    const struct error no_memory = {ERROR_UNAVAILABLE, "out of memory"};
    keeper->recorded.next_cursor = 0;
    if (find_old(keeper))
        ask_signer(keeper);
    else
        crl_keeper_fail_step(keeper, "renew", &no_memory);
}
