/* `originca admin import FILE`: makes the customers and zones of a file. It keeps no state: what exists
 * already counts as done, so the same command again goes on where it stopped and tries again what failed.
 * Adding a zone asks DNS, which is what takes the time, so several rows are under way at once. */
#include "admin_import.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "originca/customer_name.h"
#include "originca/names.h"

#include "customer.h"

#define WORKERS 8
#define ROW_MEMORY (16u * 1024 * 1024)
#define FILE_MEMORY (1024u * 1024 * 1024)

struct import {
    const struct cli *cli;
    const char *file;
    bool is_dry_run;
    struct import_rows rows;
    pthread_mutex_t lock; /* of all below */
    size_t next, done, customers_created, zones_created, existed;
    size_t delegated; /* of the zones created: to other name servers than ours, today */
    json_t *failed;   /* {line, customer, zone, reason} */
    json_t *seen;     /* in a dry run: what earlier rows would have made */
    bool is_server_gone;
    struct error gone;
};

/* What one row did. */
struct outcome {
    bool made_customer, made_zone;
    bool is_delegated; /* the new zone, to somebody else */
    struct error error;
};

static bool is_known(struct client *client, const char *path, struct error *error) {
    struct error missing = {0};
    if (client_call(client, "GET", path, NULL, &missing) != NULL)
        return true;
    if (missing.code != ERROR_NOT_FOUND)
        *error = missing;
    return false;
}

static const char *zone_path(struct client *client, const struct import_row *row) {
    const char *zone = client_escape(client, row->zone);
    const char *path = arena_printf(client->arena, "/admin/v1/zones/%s?customer=%s", zone,
                                    client_escape(client, row->customer));
    return path == NULL ? "" : path;
}

/* True where it was made (then `made` is not NULL) or exists. A conflict is only good where the thing is this
 * customer's. */
static bool make(struct client *client, const char *url, json_t *body, const char *existing,
                 const json_t **made, struct error *error) {
    struct error refusal = {0}, ignored = {0};
    *made = client_call(client, "POST", url, arena_own_json(client->arena, body), &refusal);
    if (*made != NULL || (refusal.code == ERROR_CONFLICT && is_known(client, existing, &ignored)))
        return true;
    *error = refusal;
    return false;
}

static bool make_row(struct client *client, const struct import_row *row, bool has_customer,
                     struct outcome *outcome) {
    const char *customer =
        arena_printf(client->arena, "/admin/v1/customers/%s", client_escape(client, row->customer));
    if (customer == NULL)
        return error_set(&outcome->error, ERROR_INTERNAL, "out of memory");
    const json_t *made = NULL;
    /* Most rows are of a customer that exists: a zone alone is then one call. */
    bool is_good =
        has_customer || make(client, "/admin/v1/customers", json_pack("{s:s}", "name", row->customer),
                             customer, &made, &outcome->error);
    outcome->made_customer = made != NULL;
    if (!is_good || row->zone == NULL)
        return is_good;
    is_good =
        make(client, "/admin/v1/zones", json_pack("{s:s, s:s}", "name", row->zone, "customer", row->customer),
             zone_path(client, row), &made, &outcome->error);
    outcome->made_zone = made != NULL;
    const json_t *delegation = json_object_get(made, "delegation");
    outcome->is_delegated = json_array_size(json_object_get(delegation, "name_servers")) > 0 &&
                            strcmp(json_text(made, "status"), "active") != 0;
    return is_good;
}

/* Says what make_row would do, and asks the server without changing anything. */
static bool plan_row(struct import *import, struct client *client, const struct import_row *row,
                     struct outcome *outcome) {
    char canonical[NAME_MAX_BYTES + 1] = "";
    const char *path =
        arena_printf(client->arena, "/admin/v1/customers/%s", client_escape(client, row->customer));
    if (!customer_name_check(row->customer, &outcome->error))
        return false;
    if (row->zone != NULL && !name_check_zone(row->zone, canonical, &outcome->error))
        return false;
    const char *pair = arena_printf(client->arena, "%s %s", row->customer, canonical);
    if (path == NULL || pair == NULL)
        return error_set(&outcome->error, ERROR_INTERNAL, "out of memory");
    bool has_customer =
        json_object_get(import->seen, row->customer) != NULL || is_known(client, path, &outcome->error);
    if (outcome->error.code != ERROR_NONE)
        return false;
    outcome->made_customer = !has_customer;
    json_object_set_new(import->seen, row->customer, json_true());
    if (row->zone == NULL || json_object_get(import->seen, pair) != NULL)
        return true;
    outcome->made_zone = outcome->made_customer || !is_known(client, zone_path(client, row), &outcome->error);
    json_object_set_new(import->seen, pair, json_true());
    return outcome->error.code == ERROR_NONE;
}

static void note_failure(struct import *import, const struct import_row *row, const char *reason) {
    json_t *failure = json_pack("{s:I, s:s, s:s}", "line", (json_int_t)row->line, "customer", row->customer,
                                "reason", reason);
    if (row->zone != NULL)
        json_object_set_new(failure, "zone", json_string(row->zone));
    json_array_append_new(import->failed, failure);
}

static void note_done(struct import *import, const struct import_row *row, const struct outcome *outcome,
                      bool is_done) {
    pthread_mutex_lock(&import->lock);
    import->customers_created += outcome->made_customer;
    import->zones_created += outcome->made_zone;
    import->delegated += outcome->is_delegated;
    if (outcome->error.code == ERROR_UNAVAILABLE) {
        import->is_server_gone = true;
        import->gone = outcome->error;
    } else if (!is_done) {
        note_failure(import, row, outcome->error.message);
    } else {
        import->existed += !outcome->made_customer && !outcome->made_zone;
    }
    if (is_done || outcome->error.code != ERROR_UNAVAILABLE)
        import->done++;
    progress_show(row->zone == NULL ? row->customer : row->zone, import->done, import->rows.count);
    pthread_mutex_unlock(&import->lock);
}

static const struct import_row *take_row(struct import *import) {
    const struct import_row *row = NULL;
    pthread_mutex_lock(&import->lock);
    if (!import->is_server_gone && import->next < import->rows.count)
        row = &import->rows.items[import->next++];
    pthread_mutex_unlock(&import->lock);
    return row;
}

static void *work(void *context) {
    struct import *import = context;
    const struct import_row *row;
    const char *last_customer = NULL;
    while ((row = take_row(import)) != NULL) {
        struct outcome outcome = {0};
        struct client client = {.socket = import->cli->client.socket, .arena = arena_new(ROW_MEMORY)};
        bool has_customer = last_customer != NULL && strcmp(row->customer, last_customer) == 0;
        bool is_done = false;
        if (row->problem != NULL)
            error_set(&outcome.error, ERROR_INVALID, "%s", row->problem);
        else if (client.arena == NULL)
            error_set(&outcome.error, ERROR_INTERNAL, "out of memory");
        else if (import->is_dry_run)
            is_done = plan_row(import, &client, row, &outcome);
        else
            is_done = make_row(&client, row, has_customer, &outcome);
        arena_free(client.arena);
        last_customer = is_done ? row->customer : last_customer;
        note_done(import, row, &outcome, is_done);
    }
    return NULL;
}

/* A dry run remembers what earlier rows would make, so it goes in order. */
static void work_all(struct import *import) {
    pthread_t threads[WORKERS];
    size_t count = 0, wanted = import->is_dry_run ? 0 : WORKERS - 1;
    while (count < wanted && count + 1 < import->rows.count &&
           pthread_create(&threads[count], NULL, work, import) == 0)
        count++;
    work(import);
    while (count > 0)
        pthread_join(threads[--count], NULL);
    progress_end();
}

static bool read_whole(struct arena *arena, const char *path, struct bytes *out, struct error *error) {
    struct text text;
    char piece[65536];
    bool is_stdin = strcmp(path, "-") == 0;
    FILE *file = is_stdin ? stdin : fopen(path, "re");
    if (file == NULL)
        return error_set(error, ERROR_INVALID, "cannot read %s: %m", path);
    text_init(&text, arena);
    text_append(&text, "");
    for (size_t got; (got = fread(piece, 1, sizeof piece, file)) > 0;)
        text_append_bytes(&text, piece, got);
    bool is_read = !ferror(file);
    if (!is_read)
        error_set(error, ERROR_INVALID, "cannot read %s: %m", path);
    if (!is_stdin)
        fclose(file);
    *out = (struct bytes){(const uint8_t *)text.data, text.length};
    return is_read && (!text.failed || error_set(error, ERROR_INTERNAL, "%s is too large: split it", path));
}

static void print_failures(const struct import *import) {
    size_t i;
    const json_t *failure;
    json_array_foreach(import->failed, i, failure) {
        fprintf(stderr, "%s:%lld: ", import->file,
                (long long)json_integer_value(json_object_get(failure, "line")));
        print_plain(stderr, json_text(failure, "customer"));
        fputs(*json_text(failure, "zone") == '\0' ? "" : " ", stderr);
        print_plain(stderr, json_text(failure, "zone"));
        fprintf(stderr, "%s%s\n", *json_text(failure, "customer") == '\0' ? "" : ": ",
                json_text(failure, "reason"));
    }
}

static int by_line(const void *a, const void *b) {
    json_int_t left = json_integer_value(json_object_get(*(json_t *const *)a, "line")),
               right = json_integer_value(json_object_get(*(json_t *const *)b, "line"));
    return left < right ? -1 : left > right;
}

/* Rows end in any order; a person looks them up in theirs. */
static void sort_failures(struct arena *arena, struct import *import) {
    size_t count = json_array_size(import->failed);
    json_t **items = arena_alloc(arena, (count + 1) * sizeof *items);
    json_t *sorted = arena_own_json(arena, json_array());
    if (items == NULL || sorted == NULL)
        return;
    for (size_t i = 0; i < count; i++)
        items[i] = json_array_get(import->failed, i);
    qsort(items, count, sizeof *items, by_line);
    for (size_t i = 0; i < count; i++)
        json_array_append(sorted, items[i]);
    import->failed = sorted;
}

static int report(struct import *import, struct arena *arena) {
    size_t failed = json_array_size(import->failed);
    sort_failures(arena, import);
    if (import->cli->as_json)
        print_json(arena_own_json(
            arena,
            json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:b, s:b, s:O}", "rows", (json_int_t)import->rows.count,
                      "done", (json_int_t)import->done - (json_int_t)failed, "customers_created",
                      (json_int_t)import->customers_created, "zones_created",
                      (json_int_t)import->zones_created, "zones_delegated_elsewhere",
                      (json_int_t)import->delegated, "existed", (json_int_t)import->existed, "dry_run",
                      import->is_dry_run, "complete", !import->is_server_gone, "failed", import->failed)));
    else
        printf("%zu of %zu rows done%s: %zu customers and %zu zones %s, %zu rows existed, %zu failed\n",
               import->done - failed, import->rows.count, import->is_dry_run ? " (dry run)" : "",
               import->customers_created, import->zones_created,
               import->is_dry_run ? "would be created" : "created", import->existed, failed);
    if (!import->cli->as_json && import->delegated > 0)
        printf("%zu of the new zones are delegated to other name servers today; \"zone show\" says which to "
               "set\n",
               import->delegated);
    fflush(stdout);
    if (!import->cli->as_json)
        print_failures(import);
    if (import->is_server_gone)
        return EXIT_NO_SERVER;
    return failed > 0 ? EXIT_REFUSED : EXIT_OK;
}

/* Zone names are checked here as the server checks them, save for the reserved top-level names: which of them
 * may be used is a setting of the server. */
static bool load_name_rules(struct error *error) {
    static const char *const special[] = {"localhost", "local",   "onion", "arpa",    "invalid",
                                          "test",      "example", "alt",   "internal"};
    return names_load_suffixes(NULL, error) &&
           (names_allow_special(special, sizeof special / sizeof special[0]) ||
            error_set(error, ERROR_INTERNAL, "out of memory"));
}

int admin_import(struct cli *cli) {
    struct import import = {.cli = cli, .file = cli->operands[0], .is_dry_run = cli->is_dry_run};
    struct arena *arena = arena_new(FILE_MEMORY);
    struct bytes text;
    enum import_format format = IMPORT_BY_CONTENT;
    int status = EXIT_FILES;
    if (cli->format != NULL && strcmp(cli->format, "csv") != 0 && strcmp(cli->format, "json") != 0) {
        error_set(&cli->error, ERROR_INVALID, "--format is csv or json");
        arena_free(arena);
        return EXIT_USAGE;
    }
    if (import.is_dry_run && !load_name_rules(&cli->error)) {
        arena_free(arena);
        return status;
    }
    if (cli->format != NULL)
        format = strcmp(cli->format, "csv") == 0 ? IMPORT_CSV : IMPORT_JSON;
    import.failed = arena_own_json(arena, json_array());
    import.seen = arena_own_json(arena, json_object());
    if (import.failed != NULL && import.seen != NULL && read_whole(arena, import.file, &text, &cli->error) &&
        import_read(arena, import.file, text, format, &import.rows, &cli->error)) {
        pthread_mutex_init(&import.lock, NULL);
        work_all(&import);
        pthread_mutex_destroy(&import.lock);
        status = report(&import, arena);
        if (import.is_server_gone) {
            cli->error = import.gone;
            error_prefix(&cli->error, "stopped; the same command goes on from here");
        }
    }
    arena_free(arena);
    return status;
}
