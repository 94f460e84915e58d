/* Counting what an operator means, and keeping which certificates these are: the job that is made of it
 * revokes them and no others, whatever becomes of Redis's indexes and of what it says of certificates. */
#pragma once

#include "originca/store_bulk.h"
#include "originca/worker.h"

struct bulk_plan { /* lives until `done` */
    /* the caller's */
    struct worker *worker; /* with an operator_key */
    const struct store_selection *selection;
    /* results */
    char id[STORE_BULK_PLAN_MAX];   /* for the job: its plan */
    struct store_selected selected; /* count and cut-off; no sample */
    /* bulk_plan.c's own */
    struct arena *arena; /* of a page */
    char *piece;
    size_t length;
    const char *rest; /* serials of the page that are in no piece yet */
    uint64_t pieces;
    char cursor[STORE_BULK_CURSOR_MAX];
    store_done *done;
    void *context;
};

/* Errors are those of store_count_selected. What no job is made of is forgotten by itself. */
void bulk_plan_start(struct bulk_plan *plan, store_done *done, void *context);
