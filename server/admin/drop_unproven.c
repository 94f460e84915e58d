/* Taking entries off revocation lists that no ledger has (doc/revocation.md): what waits for a proof since
 * every other host has looked, has no good one, and is unknown to this host's signer. First all of these are
 * found, then each list is gone through, and at the end the certificates. */
#include "../crl/serial_set.h"
#include "internal.h"
#include "originca/crl_proofs.h"
#include "originca/store_bulk.h"

#define LISTS_MAX 10000
#define PAGE 500
#define LIST_PAGE 2000
#define PAGE_BYTES (16 << 20)
#define SAMPLE 10

struct drop_state {
    struct admin_call call;
    bool is_dry_run;
    struct crl_proofs *proofs;
    struct serial_set *found;
    struct store_prover_list provers;
    struct store_crl_list lists;
    int64_t until_ms; /* clock of Redis; 0: not known yet */
    uint64_t seen, waiting;
    char cursor[32];
    struct arena *page_arena;
    /* finding them */
    struct store_unproven_page page;
    uint8_t *serials;
    size_t serial_count;
    bool *is_revoked;
    /* taking them off */
    size_t next_list, next_place;
    struct store_member_page members;
    int64_t dropped, entries;
    struct store_forgotten forgotten;
    int64_t restored, kept;
};

static void free_drop(void *object) {
    struct drop_state *state = object;
    crl_proofs_free(state->proofs);
    serial_set_free(state->found);
    arena_free(state->page_arena);
}

static void fail_memory(struct operation *operation) {
    const struct error no_memory = {ERROR_INTERNAL, "out of memory"};
    operation_fail(operation, &no_memory);
}

/* Of a page; false: the operation has failed. */
static bool begin_page(struct operation *operation) {
    struct drop_state *state = operation->state;
    arena_free(state->page_arena);
    state->page_arena = arena_new(PAGE_BYTES);
    if (state->page_arena == NULL)
        fail_memory(operation);
    return state->page_arena != NULL;
}

static bool keep_cursor(struct drop_state *state, const char *cursor) {
    snprintf(state->cursor, sizeof state->cursor, "%s", cursor);
    return strcmp(state->cursor, "0") != 0;
}

static enum step_result begin(struct operation *operation) {
    struct drop_state *state = operation->state;
    const json_t *dry_run = json_object_get(state->call.body, "dry_run");
    if (dry_run != NULL && !json_is_boolean(dry_run))
        return admin_refuse(operation, ERROR_INVALID, "\"dry_run\" must be true or false");
    state->is_dry_run = json_is_true(dry_run);
    if (!arena_defer(operation->arena, free_drop, state) ||
        (state->proofs = crl_proofs_new(operation->worker)) == NULL ||
        (state->found = serial_set_new()) == NULL)
        return admin_refuse(operation, ERROR_INTERNAL, "out of memory");
    snprintf(state->cursor, sizeof state->cursor, "0");
    return operation_forget_request(operation);
}

/* --- who has looked --- */

static enum step_result load_hosts(struct operation *operation) {
    struct drop_state *state = operation->state;
    static const struct store_prover nobody = {"", 0, ""};
    store_note_provers(operation->worker->store, operation->arena, &nobody, &state->provers, admin_done,
                       operation);
    return STEP_WAIT;
}

static enum step_result judge_hosts(struct operation *operation) {
    struct drop_state *state = operation->state;
    crl_proofs_take_provers(state->proofs, &state->provers);
    const struct crl_provers *provers = crl_proofs_provers(state->proofs);
    if (!crl_proofs_can_tell(state->proofs))
        return admin_refuse(operation, ERROR_CONFLICT,
                            "several hosts share this Redis and there is no operator_secret_file: no host "
                            "can tell another what its ledger has");
    if (provers->others_ms == 0)
        return admin_refuse(operation, ERROR_CONFLICT,
                            "host %s has not looked which entries its ledger has: wait for it, or excuse it",
                            provers->slowest);
    state->until_ms = provers->others_ms == INT64_MAX ? 0 : provers->others_ms;
    return STEP_DONE;
}

static void follow_on(struct operation *operation);

/* What is not read is not known to be proven. */
static void note_followed(void *context, const struct error *error) {
    struct operation *operation = context;
    struct drop_state *state = operation->state;
    if (error == NULL && crl_proofs_is_behind(state->proofs))
        follow_on(operation);
    else
        admin_done(operation, error);
}

static void follow_on(struct operation *operation) {
    crl_proofs_follow(((struct drop_state *)operation->state)->proofs, note_followed, operation);
}

static enum step_result follow(struct operation *operation) {
    follow_on(operation);
    return STEP_WAIT;
}

static enum step_result load_lists(struct operation *operation) {
    struct drop_state *state = operation->state;
    store_list_crls(operation->worker->store, operation->arena, 0, LISTS_MAX, &state->lists, admin_done,
                    operation);
    return STEP_WAIT;
}

/* --- what no ledger has --- */

static void find_next(struct operation *operation);

static void note_asked(void *context, const struct error *error) {
    struct operation *operation = context;
    struct drop_state *state = operation->state;
    if (error != NULL) {
        operation_fail(operation, error);
        return;
    }
    for (size_t i = 0; i < state->serial_count; i++)
        if (!state->is_revoked[i] && !serial_set_add(state->found, state->serials + i * SERIAL_BYTES)) {
            fail_memory(operation);
            return;
        }
    if (keep_cursor(state, state->page.next_cursor))
        find_next(operation);
    else
        operation_resume(operation);
}

static void note_waiting(void *context, const struct error *error) {
    struct operation *operation = context;
    struct drop_state *state = operation->state;
    if (error != NULL) {
        operation_fail(operation, error);
        return;
    }
    if (state->until_ms == 0)
        state->until_ms = state->page.now_ms;
    state->waiting = state->page.waiting;
    state->seen += state->page.count;
    state->serials = arena_alloc(state->page_arena, state->page.count * SERIAL_BYTES + 1);
    state->is_revoked = arena_alloc(state->page_arena, state->page.count + 1);
    state->serial_count = 0;
    if (state->serials == NULL || state->is_revoked == NULL) {
        fail_memory(operation);
        return;
    }
    for (size_t i = 0; i < state->page.count; i++) {
        uint8_t *serial = state->serials + state->serial_count * SERIAL_BYTES;
        state->serial_count += hex_decode(state->page.serials[i], serial, SERIAL_BYTES) &&
                               !crl_proofs_has(state->proofs, serial);
    }
    signer_find_revoked(operation->worker->operator_signer, state->serials, state->serial_count,
                        state->is_revoked, note_asked, operation);
}

static void find_next(struct operation *operation) {
    struct drop_state *state = operation->state;
    if (begin_page(operation))
        store_page_unproven(operation->worker->store, state->page_arena, state->cursor, PAGE, 0,
                            state->until_ms, &state->page, note_waiting, operation);
}

static enum step_result find(struct operation *operation) {
    find_next(operation);
    return STEP_WAIT;
}

/* All that waits was put there since a host looked last. */
static enum step_result judge_found(struct operation *operation) {
    struct drop_state *state = operation->state;
    if (state->seen > 0 || state->waiting == 0)
        return STEP_DONE;
    return admin_refuse(operation, ERROR_CONFLICT,
                        "host %s has not looked yet which of %llu entries its ledger has: wait for it, or "
                        "excuse it",
                        crl_proofs_provers(state->proofs)->slowest, (unsigned long long)state->waiting);
}

/* --- taking them off --- */

static void drop_next(struct operation *operation);

static void note_dropped(void *context, const struct error *error) {
    struct operation *operation = context;
    struct drop_state *state = operation->state;
    if (error != NULL) {
        operation_fail(operation, error);
        return;
    }
    state->entries += state->dropped;
    if (!keep_cursor(state, state->members.next_cursor))
        state->next_list++;
    drop_next(operation);
}

static size_t choose_members(struct drop_state *state) {
    size_t count = 0;
    for (size_t i = 0; i < state->members.count; i++) {
        char hex[SERIAL_HEX_MAX] = "";
        uint8_t serial[SERIAL_BYTES];
        snprintf(hex, sizeof hex, "%s", state->members.members[i]);
        if (hex_decode(hex, serial, SERIAL_BYTES) && serial_set_has(state->found, serial))
            state->members.members[count++] = state->members.members[i];
    }
    return count;
}

static void note_members(void *context, const struct error *error) {
    struct operation *operation = context;
    struct drop_state *state = operation->state;
    if (error != NULL) {
        operation_fail(operation, error);
        return;
    }
    size_t count = choose_members(state);
    state->dropped = (int64_t)count;
    if (count == 0 || state->is_dry_run)
        note_dropped(operation, NULL);
    else
        store_drop_entries(operation->worker->store, state->lists.items[state->next_list].id, state->until_ms,
                           state->members.members, count, &state->dropped, note_dropped, operation);
}

static void drop_next(struct operation *operation) {
    struct drop_state *state = operation->state;
    if (state->next_list == state->lists.count || serial_set_count(state->found) == 0)
        operation_resume(operation);
    else if (begin_page(operation))
        store_find_unproven(operation->worker->store, state->page_arena,
                            state->lists.items[state->next_list].id, state->cursor, LIST_PAGE,
                            state->until_ms, &state->members, note_members, operation);
}

static enum step_result drop(struct operation *operation) {
    drop_next(operation);
    return STEP_WAIT;
}

/* --- their certificates --- */

static void forget_next(struct operation *operation);

static void note_forgotten(void *context, const struct error *error) {
    struct operation *operation = context;
    struct drop_state *state = operation->state;
    if (error != NULL) {
        operation_fail(operation, error);
        return;
    }
    state->restored += state->forgotten.restored;
    state->kept += state->forgotten.kept;
    forget_next(operation);
}

/* The next `most` of them, in the arena; NULL: out of memory. */
static const char **name_serials(struct drop_state *state, struct arena *arena, size_t most, size_t *count) {
    const char **names = arena_alloc(arena, (most + 1) * sizeof *names);
    *count = 0;
    for (; names != NULL && *count < most && state->next_place < serial_set_places(state->found);
         state->next_place++) {
        const uint8_t *serial = serial_set_get(state->found, state->next_place);
        char *hex = serial == NULL ? NULL : arena_alloc(arena, SERIAL_HEX_MAX);
        if (serial != NULL && hex == NULL)
            return NULL;
        if (serial != NULL) {
            hex_encode(serial, SERIAL_BYTES, hex);
            names[(*count)++] = hex;
        }
    }
    return names;
}

static void forget_next(struct operation *operation) {
    struct drop_state *state = operation->state;
    size_t count = 0;
    if (!begin_page(operation))
        return;
    const char **names = name_serials(state, state->page_arena, PAGE, &count);
    if (names == NULL)
        fail_memory(operation);
    else if (count == 0)
        operation_resume(operation);
    else
        store_forget_unproven(operation->worker->store, state->until_ms, names, count, &state->forgotten,
                              note_forgotten, operation);
}

static enum step_result forget(struct operation *operation) {
    if (((struct drop_state *)operation->state)->is_dry_run)
        return STEP_DONE;
    forget_next(operation);
    return STEP_WAIT;
}

static json_t *sample(struct operation *operation) {
    struct drop_state *state = operation->state;
    json_t *array = json_array();
    size_t count = 0;
    state->next_place = 0;
    const char **names = name_serials(state, operation->arena, SAMPLE, &count);
    for (size_t i = 0; names != NULL && i < count; i++) {
        uint8_t serial[SERIAL_BYTES];
        char decimal[SERIAL_DECIMAL_MAX];
        if (hex_decode(names[i], serial, SERIAL_BYTES)) {
            serial_to_decimal(serial, decimal);
            json_array_append_new(array, json_string(decimal));
        }
    }
    return array;
}

static void tell(struct operation *operation) {
    struct drop_state *state = operation->state;
    char serials[24], entries[24], restored[24];
    if (state->is_dry_run || state->entries == 0)
        return;
    snprintf(serials, sizeof serials, "%zu", serial_set_count(state->found));
    snprintf(entries, sizeof entries, "%lld", (long long)state->entries);
    snprintf(restored, sizeof restored, "%lld", (long long)state->restored);
    log_event(LOG_LEVEL_WARNING, "entries that no ledger has were taken off revocation lists", "serials",
              serials, "entries", entries, "certificates_valid_again", restored, "by", admin_by(operation),
              NULL);
}

static enum step_result reply(struct operation *operation) {
    struct drop_state *state = operation->state;
    uint64_t unlooked = state->waiting > state->seen ? state->waiting - state->seen : 0;
    tell(operation);
    admin_reply(operation, 200,
                json_pack("{s:b, s:I, s:I, s:I, s:I, s:I, s:o}", "dry_run", state->is_dry_run, "serials",
                          (json_int_t)serial_set_count(state->found), "entries", (json_int_t)state->entries,
                          "waiting", (json_int_t)unlooked, "valid_again", (json_int_t)state->restored,
                          "still_revoked", (json_int_t)state->kept, "sample", sample(operation)));
    return STEP_REPLIED;
}

static const struct step drop_steps[] = {{"read body", admin_read_body},
                                         {"require Redis", admin_require_ready},
                                         {"begin", begin},
                                         {"load hosts", load_hosts},
                                         {"judge hosts", judge_hosts},
                                         {"read proofs", follow},
                                         {"load lists", load_lists},
                                         {"find them", find},
                                         {"judge them", judge_found},
                                         {"take them off", drop},
                                         {"certificates", forget},
                                         {"reply", reply}};
static const struct operation_kind drop_kind =
    OPERATION_KIND("drop unproven entries", drop_steps, struct drop_state, admin_fail);

void admin_drop_unproven(struct http_request *request) {
    operation_start(request, &drop_kind);
}
