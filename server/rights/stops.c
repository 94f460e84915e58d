/* What is stopped, for operators: gauges and a sentence, renewed by each pass of the fence and by whoever
 * changes it. */
#include "originca/stops.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "originca/log.h"
#include "originca/metrics.h"

struct stops_watch {
    struct worker *worker;
    struct arena *arena; /* NULL: nothing is asked */
    struct store_stop_list list;
};

static void set_gauge(struct worker *worker, const char *by, uint64_t count) {
    char name[METRIC_NAME_MAX];
    snprintf(name, sizeof name, "originca_issuance_stopped{by=\"%s\"}", by);
    metric_set(metrics_gauge(worker->metrics, name, "Stops of issuance that are in force"), (int64_t)count);
}

static bool is_of(const struct store_stop *stop, const char *kind) {
    return stop->is_stopped && strcmp(stop->of, kind) == 0;
}

static void describe(const struct store_stop *stop, struct text *out) {
    char since[TIME_TEXT_MAX];
    time_format((time_t)(stop->since_ms / 1000), since);
    text_printf(out, "%s %s%s since %s by %s", out->length > 0 ? ";" : "issuance is stopped",
                *stop->name == '\0' ? "for everybody" : "for the issuer ", stop->name, since, stop->by);
}

void stops_note(struct worker *worker, const struct store_stop_list *list) {
    uint64_t global = 0, issuers = 0;
    struct arena *arena = arena_new(0);
    struct text text;
    if (arena == NULL)
        return;
    text_init(&text, arena);
    for (size_t i = 0; i < list->count; i++) {
        bool is_global = is_of(&list->items[i], "global"), is_issuer = is_of(&list->items[i], "issuer");
        global += is_global;
        issuers += is_issuer;
        if (is_global || is_issuer)
            describe(&list->items[i], &text);
    }
    snprintf(worker->issuance_stopped, sizeof worker->issuance_stopped, "%s",
             text.length == 0 || text.failed ? "" : text.data);
    arena_free(arena);
    set_gauge(worker, "global", global);
    set_gauge(worker, "issuer", issuers);
    set_gauge(worker, "customer", list->customers);
    set_gauge(worker, "zone", list->zones);
}

static void note_loaded(void *context, const struct error *error) {
    struct stops_watch *watch = context;
    if (error == NULL)
        stops_note(watch->worker, &watch->list);
    arena_free(watch->arena);
    watch->arena = NULL;
}

void stops_watch_run(struct stops_watch *watch) {
    if (watch->arena == NULL && (watch->arena = arena_new(0)) != NULL)
        store_load_stops(watch->worker->store, watch->arena, 0, &watch->list, note_loaded, watch);
}

struct stops_watch *stops_watch_new(struct worker *worker, struct error *error) {
    struct stops_watch *watch = calloc(1, sizeof *watch);
    if (watch == NULL)
        error_set(error, ERROR_INTERNAL, "out of memory");
    else
        watch->worker = worker;
    return watch;
}

void stops_watch_free(struct stops_watch *watch) {
    if (watch == NULL)
        return;
    arena_free(watch->arena);
    free(watch);
}
