/* Redis has lost entries of a list, or somebody took them: the signer lets out none without them, and this
 * host's ledger has them. They are put back page by page. */
#include <stdio.h>
#include <string.h>

#include "keeper.h"
#include "originca/log.h"

static void ask(struct crl_keeper *keeper, uint64_t cursor);

static void end(struct crl_keeper *keeper) {
    char count[24];
    snprintf(count, sizeof count, "%llu", (unsigned long long)keeper->restored_total);
    log_event(LOG_LEVEL_ERROR, "Redis had lost entries of a revocation list: they are back from the ledger",
              "issuer", keeper->claim.issuer, "list", keeper->claim.url, "entries", count, NULL);
    crl_keeper_end_step(keeper, 0);
}

static void note_restored(void *context, const struct error *error) {
    struct crl_keeper *keeper = context;
    if (error != NULL) {
        crl_keeper_fail_step(keeper, "restore entries", error);
        return;
    }
    keeper->restored_total += keeper->restored;
    if (keeper->lost.next_cursor != 0)
        ask(keeper, keeper->lost.next_cursor);
    else
        end(keeper);
}

struct store_crl_lost *crl_lost_from(struct arena *arena, const struct signer_revoked *items, size_t count) {
    struct store_crl_lost *entries = arena_alloc(arena, (count + 1) * sizeof *entries);
    for (size_t i = 0; entries != NULL && i < count; i++) {
        entries[i] = (struct store_crl_lost){
            .revoked_at = items[i].revoked_at, .not_after = items[i].not_after, .reason = items[i].reason};
        memcpy(entries[i].serial, items[i].serial, SERIAL_BYTES);
    }
    return entries;
}

static void note_lost(void *context, const struct error *error) {
    struct crl_keeper *keeper = context;
    const struct error no_memory = {ERROR_UNAVAILABLE, "out of memory"};
    struct store_crl_lost *entries =
        error != NULL ? NULL : crl_lost_from(keeper->page_arena, keeper->lost.items, keeper->lost.count);
    if (entries == NULL) {
        crl_keeper_fail_step(keeper, "ask the ledger for entries", error == NULL ? &no_memory : error);
        return;
    }
    store_restore_crl(keeper->worker->store, keeper->claim.issuer, keeper->claim.url, entries,
                      keeper->lost.count, &keeper->restored, note_restored, keeper);
}

static void ask(struct crl_keeper *keeper, uint64_t cursor) {
    arena_free(keeper->page_arena);
    keeper->page_arena = arena_new(0);
    if (keeper->page_arena == NULL)
        crl_keeper_end_step(keeper, CRL_TICK_MS);
    else
        signer_list_revoked(keeper->worker->operator_signer, keeper->page_arena, keeper->claim.issuer,
                            keeper->claim.url, cursor, &keeper->lost, note_lost, keeper);
}

void crl_keeper_mend(struct crl_keeper *keeper) {
    keeper->restored_total = 0;
    ask(keeper, 0);
}
