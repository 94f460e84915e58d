/* Page by page: counted, the serials put together in pieces, each full piece sealed and kept. */
#include "originca/bulk_plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "originca/bulk_seal.h"

#define PIECE_BYTES ((size_t)STORE_BULK_PIECE * STORE_SERIAL_HEX)

static void go_on(struct bulk_plan *plan);

static void end_plan(struct bulk_plan *plan, const struct error *error) {
    arena_free(plan->arena);
    plan->arena = NULL;
    free(plan->piece);
    plan->piece = NULL;
    plan->done(plan->context, error);
}

static void note_kept(void *context, const struct error *error) {
    struct bulk_plan *plan = context;
    plan->length = 0;
    plan->pieces++;
    if (error != NULL)
        end_plan(plan, error);
    else
        go_on(plan);
}

static void keep_piece(struct bulk_plan *plan) {
    char seal[STORE_SEAL_MAX];
    plan->piece[plan->length] = '\0';
    bulk_seal_piece(plan->worker, plan->id, plan->pieces, plan->piece, seal);
    store_add_bulk_piece(plan->worker->store, plan->id, plan->pieces, seal, plan->piece, note_kept, plan);
}

static void note_counted(void *context, const struct error *error) {
    struct bulk_plan *plan = context;
    const char *cursor = plan->selected.cursor;
    if (error != NULL) {
        end_plan(plan, error);
        return;
    }
    plan->rest = plan->selected.serials;
    snprintf(plan->cursor, sizeof plan->cursor, "%s", cursor == NULL ? "" : cursor);
    go_on(plan);
}

static void count_page(struct bulk_plan *plan) {
    const struct error error = {ERROR_INTERNAL, "out of memory"};
    arena_free(plan->arena);
    plan->arena = arena_new(0);
    plan->rest = "";
    plan->selected.cursor = plan->cursor;
    if (plan->arena == NULL)
        end_plan(plan, &error);
    else
        store_count_selected(plan->worker->store, plan->arena, plan->selection, &plan->selected, note_counted,
                             plan);
}

static void go_on(struct bulk_plan *plan) {
    size_t left = strlen(plan->rest), room = PIECE_BYTES - plan->length, taken = left < room ? left : room;
    memcpy(plan->piece + plan->length, plan->rest, taken);
    plan->length += taken;
    plan->rest += taken;
    bool is_last = *plan->rest == '\0' && *plan->cursor == '\0';
    if (plan->length == PIECE_BYTES || (is_last && plan->length > 0))
        keep_piece(plan);
    else if (is_last)
        end_plan(plan, NULL);
    else
        count_page(plan);
}

void bulk_plan_start(struct bulk_plan *plan, store_done *done, void *context) {
    const struct error error = {ERROR_INTERNAL, "out of memory"};
    uint8_t id[(STORE_BULK_PLAN_MAX - 1) / 2];
    random_bytes(id, sizeof id);
    hex_encode(id, sizeof id, plan->id);
    plan->done = done;
    plan->context = context;
    plan->selected = (struct store_selected){.wants_serials = true, .sample_count = STORE_SAMPLE_MAX};
    plan->piece = malloc(PIECE_BYTES + 1);
    plan->length = 0;
    plan->pieces = 0;
    *plan->cursor = '\0';
    if (plan->piece == NULL)
        done(context, &error);
    else
        count_page(plan);
}
