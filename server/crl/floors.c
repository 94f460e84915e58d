/* Page by page from the signer to Redis; a table of all of them is kept, sorted by issuer and URL. */
#include "originca/crl_floors.h"

#include <stdlib.h>
#include <string.h>

#include "originca/log.h"
#include "originca/signer.h"

#define PAGE 500

struct crl_floors {
    struct worker *worker;
    struct arena *arena; /* of `known` and its texts */
    struct store_crl_floor *known;
    size_t count;
    /* of the update under way */
    struct arena *next_arena;
    struct store_crl_floor *next;
    size_t next_count, next_capacity, sent; /* `sent` are in Redis */
    struct signer_crl_list page;
    uint64_t older, older_of_page;
    store_done *done;
    void *context;
};

uint64_t crl_number_ceiling(const struct config *config) {
    return (uint64_t)clock_wall_ms() + (uint64_t)config->crl_max_ahead_seconds * 1000;
}

static int compare(const void *a, const void *b) {
    const struct store_crl_floor *x = a, *y = b;
    int order = strcmp(x->issuer, y->issuer);
    return order != 0 ? order : strcmp(x->url, y->url);
}

uint64_t crl_floors_find(const struct crl_floors *floors, const char *issuer, const char *url) {
    const struct store_crl_floor wanted = {.issuer = issuer, .url = url};
    const struct store_crl_floor *found =
        floors->count == 0 ? NULL : bsearch(&wanted, floors->known, floors->count, sizeof wanted, compare);
    return found == NULL ? 0 : found->number;
}

bool crl_floors_are_bounded(const struct crl_floors *floors, const char *issuer, const char *url) {
    const struct store_crl_floor wanted = {.issuer = issuer, .url = url};
    const struct store_crl_floor *found =
        floors->count == 0 ? NULL : bsearch(&wanted, floors->known, floors->count, sizeof wanted, compare);
    return found != NULL && found->is_bounded;
}

static void end(struct crl_floors *floors, const struct error *error) {
    if (error == NULL) {
        arena_free(floors->arena);
        free(floors->known);
        floors->arena = floors->next_arena;
        floors->known = floors->next;
        floors->count = floors->next_count;
        if (floors->count > 0)
            qsort(floors->known, floors->count, sizeof *floors->known, compare);
    } else {
        arena_free(floors->next_arena);
        free(floors->next);
    }
    floors->next_arena = NULL;
    floors->next = NULL;
    floors->done(floors->context, error);
}

static void tell_older(const struct crl_floors *floors) {
    char count[24];
    if (floors->older == 0)
        return;
    snprintf(count, sizeof count, "%llu", (unsigned long long)floors->older);
    log_event(LOG_LEVEL_WARNING, "Redis has older revocation lists than were signed here: they are made anew",
              "lists", count, NULL);
}

static void read_page(struct crl_floors *floors);

static void note_told(void *context, const struct error *error) {
    struct crl_floors *floors = context;
    if (error != NULL) {
        end(floors, error);
        return;
    }
    floors->older += floors->older_of_page;
    floors->sent = floors->next_count;
    if (floors->page.next_cursor != 0) {
        read_page(floors);
        return;
    }
    tell_older(floors);
    end(floors, NULL);
}

static bool take_page(struct crl_floors *floors) {
    size_t needed = floors->next_count + floors->page.count;
    if (needed > floors->next_capacity) {
        size_t capacity = needed + needed / 2;
        struct store_crl_floor *larger = realloc(floors->next, capacity * sizeof *larger);
        if (larger == NULL)
            return false;
        floors->next = larger;
        floors->next_capacity = capacity;
    }
    for (size_t i = 0; i < floors->page.count; i++) {
        const struct signer_crl_number *item = &floors->page.items[i];
        if (item->last_number > 0)
            floors->next[floors->next_count++] =
                (struct store_crl_floor){item->issuer, item->url, item->last_number, item->is_bounded};
    }
    return true;
}

static void note_page(void *context, const struct error *error) {
    struct crl_floors *floors = context;
    const struct error no_memory = {ERROR_UNAVAILABLE, "out of memory"};
    if (error == NULL && !take_page(floors))
        error = &no_memory;
    if (error != NULL)
        end(floors, error);
    else if (floors->next_count == floors->sent)
        note_told(floors, NULL); /* a page of lists none of which was signed yet */
    else
        store_floor_crls(floors->worker->store, floors->next + floors->sent,
                         floors->next_count - floors->sent, crl_number_ceiling(floors->worker->config),
                         &floors->older_of_page, note_told, floors);
}

static void read_page(struct crl_floors *floors) {
    uint32_t cursor = floors->page.next_cursor;
    floors->older_of_page = 0;
    signer_list_crls(floors->worker->operator_signer, floors->next_arena, cursor, PAGE, &floors->page,
                     note_page, floors);
}

void crl_floors_update(struct crl_floors *floors, store_done *done, void *context) {
    const struct error no_memory = {ERROR_UNAVAILABLE, "out of memory"};
    floors->done = done;
    floors->context = context;
    floors->page = (struct signer_crl_list){.next_cursor = 0};
    floors->next_count = floors->next_capacity = floors->sent = 0;
    floors->older = 0;
    floors->next_arena = arena_new(0);
    if (floors->next_arena == NULL)
        end(floors, &no_memory);
    else
        read_page(floors);
}

struct crl_floors *crl_floors_new(struct worker *worker) {
    struct crl_floors *floors = calloc(1, sizeof *floors);
    if (floors != NULL)
        floors->worker = worker;
    return floors;
}

void crl_floors_free(struct crl_floors *floors) {
    if (floors == NULL)
        return;
    arena_free(floors->arena);
    arena_free(floors->next_arena);
    free(floors->known);
    free(floors->next);
    free(floors);
}
