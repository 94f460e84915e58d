/* What a run of Redis must have shown before it is served. */
#include "redis_run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RECORDS_A_LOOK 64
#define JOIN_SECONDS 4 /* every other host has made a pass of its fence by then */

void known_hosts_free(struct known_hosts *known) {
    while (known->count > 0)
        free(known->names[--known->count]);
}

void known_hosts_note(struct known_hosts *known, const struct store_ledger_state *state) {
    bool is_trusted = strcmp(known->run, state->run) == 0 || strcmp(state->verified, state->run) == 0;
    if (!is_trusted && *known->run != '\0')
        return;
    known_hosts_free(known);
    snprintf(known->run, sizeof known->run, "%s", state->run);
    for (size_t i = 0; i < state->host_count && i < KNOWN_HOSTS_MAX; i++) {
        char *copy = strdup(state->hosts[i]);
        if (copy != NULL)
            known->names[known->count++] = copy;
    }
}

bool redis_run_is_whole(const struct store_ledger_state *state, char *reason, size_t size) {
    if (state->missing_count > 0) {
        const char *host = state->missing[0];
        snprintf(
            reason, size,
            "Redis was started again and may lack what the ledger of %.64s holds: start originca there, or "
            "go on without it by `originca admin ledger excuse %.64s`",
            host, host);
        return false;
    }
    /* A Redis that goes back now would not remember it, and neither would they. */
    if (state->host_count > 1 && state->joined_seconds_ago >= 0 && state->joined_seconds_ago < JOIN_SECONDS) {
        snprintf(reason, size, "this host is new to the others: they hear of it within %d seconds",
                 JOIN_SECONDS);
        return false;
    }
    if (state->nonces_wait_seconds > 0) {
        snprintf(reason, size, "Redis was started again: nonces of before end within a second");
        return false;
    }
    return true;
}

void redis_run_tell_emptied(const struct store_ledger_state *state, const struct signer_status *ledger,
                            const char *host, char *reason, size_t size) {
    snprintf(
        reason, size,
        "Redis %s, but the ledger of %.64s holds %llu records: restore a backup of Redis (doc/redis.md), or "
        "go on with the ledger alone by `originca admin ledger accept-empty`",
        state->host_count == 0 ? "is empty" : "knows nothing of this host", host,
        (unsigned long long)ledger->last_sequence);
}

/* --- what the ledger proves --- */

struct search { /* in the caller's arena */
    struct signer_client *signer;
    struct arena *arena; /* of one look */
    uint64_t from;
    json_t *records;
    bool *proves;
    signer_done *done;
    void *context;
};

/* What a ledger holds without anything having happened that Redis would know of. */
static bool is_beginning(const json_t *record) {
    static const char *const types[] = {"genesis",          "segment",     "signing",
                                        "loss-confirmed",   "zones-known", "emptied-accepted",
                                        "secrets-accepted", "issuer"};
    const char *type = json_string_value(json_object_get(record, "type"));
    for (size_t i = 0; type != NULL && i < sizeof types / sizeof types[0]; i++)
        if (strcmp(type, types[i]) == 0)
            return true;
    return false;
}

static void look(struct search *search);

static void end_search(struct search *search, const struct error *error) {
    arena_free(search->arena);
    search->done(search->context, error);
}

static void note_looked(void *context, const struct error *error) {
    struct search *search = context;
    const json_t *record;
    size_t i, count = error == NULL ? json_array_size(search->records) : 0;
    json_array_foreach(search->records, i, record) {
        if (error != NULL || !is_beginning(record))
            break;
        search->from = (uint64_t)json_integer_value(json_object_get(record, "seq")) + 1;
    }
    *search->proves = error == NULL && i < count;
    if (error != NULL || count == 0 || *search->proves)
        end_search(search, error);
    else
        look(search);
}

static void look(struct search *search) {
    arena_free(search->arena);
    search->records = NULL;
    search->arena = arena_new(0);
    const struct error error = {ERROR_INTERNAL, "out of memory"};
    if (search->arena == NULL)
        end_search(search, &error);
    else
        signer_read_ledger(search->signer, search->arena, search->from, RECORDS_A_LOOK, &search->records,
                           note_looked, search);
}

void ledger_find_proof(struct signer_client *signer, struct arena *arena, bool *proves, signer_done *done,
                       void *context) {
    struct search *search = arena_alloc(arena, sizeof *search);
    *proves = false;
    if (search == NULL) {
        const struct error error = {ERROR_INTERNAL, "out of memory"};
        done(context, &error);
        return;
    }
    *search =
        (struct search){.signer = signer, .from = 1, .proves = proves, .done = done, .context = context};
    look(search);
}
