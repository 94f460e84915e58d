/* Reads what was sealed, page by page; then takes pages of what waits, asks the signer, seals what it has.
 * Going through all that waits may take several ticks; the next time begins when the last has ended. */
#include "originca/crl_proofs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "originca/log.h"
#include "originca/metrics.h"
#include "originca/rights.h"
#include "originca/signer.h"
#include "originca/store_bulk.h"
#include "serial_set.h"

#define LOAD_PAGES 500
#define LOAD_ROUNDS 100
#define LOAD_BYTES (64 << 20)
#define PAGE 500
#define PAGES_PER_TICK 20
#define PATIENCE_MS 120000
#define COMPLAIN_MS 60000
#define READ_WHOLE_MS 60000
#define NOTE_MS 2000
#define SEAL_MAX (2 * SHA256_BYTES + 1)

struct crl_proofs {
    struct worker *worker;
    struct serial_set *proven;
    struct metric *unsealed;
    int64_t complained_ms;
    char last[64]; /* of what was read */
    bool is_behind;
    int64_t read_whole_ms; /* when it was begun again last */
    struct crl_provers provers;
    uint64_t waiting;
    /* going through what waits */
    char cursor[32];
    int64_t began_ms, passed_ms, noted_ms; /* this pass, the last whole one; when Redis was told */
    bool has_found;                        /* anything, in this pass */
    /* at work */
    struct arena *arena;
    bool proves;
    unsigned rounds;
    struct store_proof_list sealed;
    struct store_proof *planted; /* of those */
    size_t planted_count;
    struct store_unproven_page page;
    uint8_t *asked; /* those that are not proven yet */
    size_t asked_count;
    const char **asked_names, **known; /* and those that are */
    size_t known_count;
    bool *is_revoked;
    struct store_proof proof;
    struct store_prover own;
    struct store_prover_list list;
    char seal[SEAL_MAX];
    store_done *done;
    void *context;
};

static void end(struct crl_proofs *proofs, const struct error *error) {
    arena_free(proofs->arena);
    proofs->arena = NULL;
    proofs->done(proofs->context, error);
}

static bool begin_page(struct crl_proofs *proofs) {
    const struct error no_memory = {ERROR_UNAVAILABLE, "out of memory"};
    arena_free(proofs->arena);
    proofs->arena = arena_new(LOAD_BYTES);
    if (proofs->arena == NULL)
        end(proofs, &no_memory);
    return proofs->arena != NULL;
}

static void fail_memory(struct crl_proofs *proofs) {
    const struct error no_memory = {ERROR_UNAVAILABLE, "out of memory"};
    end(proofs, &no_memory);
}

/* --- seals --- */

/* "" without a key. */
static void make_seal(const struct crl_proofs *proofs, const char *kind, const char *first,
                      const char *second, char out[SEAL_MAX]) {
    uint8_t key[SHA256_BYTES], digest[SHA256_BYTES] = {0};
    *out = '\0';
    if (proofs->worker->operator_key == NULL)
        return;
    hmac_sha256(proofs->worker->operator_key, SHA256_BYTES, "crl", strlen("crl"), key);
    seal_add(digest, key, kind);
    seal_add(digest, key, first);
    seal_add(digest, key, second);
    hex_encode(digest, SHA256_BYTES, out);
    bytes_wipe(key, sizeof key);
}

static bool is_sealed(const struct crl_proofs *proofs, const char *kind, const char *first,
                      const char *second, const char *seal) {
    char good[SEAL_MAX];
    make_seal(proofs, kind, first, second, good);
    return *good != '\0' && strlen(seal) == strlen(good) && bytes_equal_secret(seal, good, strlen(good));
}

/* --- what was sealed --- */

static void tell_unsealed(struct crl_proofs *proofs) {
    int64_t now = clock_monotonic_ms();
    metric_add(proofs->unsealed, 1);
    if (proofs->complained_ms != 0 && now - proofs->complained_ms < COMPLAIN_MS)
        return;
    proofs->complained_ms = now;
    log_event(
        LOG_LEVEL_ERROR,
        "Redis has a proof of revocations without a good seal: somebody has put it there, or it was made "
        "with another operator_secret_file; it is taken away",
        NULL);
}

/* False when out of memory. */
static bool take_proof(struct crl_proofs *proofs, const struct store_proof *proof) {
    size_t length = strlen(proof->serials);
    if (proofs->worker->operator_key == NULL)
        return true;
    if (!is_sealed(proofs, "entries", proof->serials, "", proof->seal) || length % STORE_SERIAL_HEX != 0) {
        tell_unsealed(proofs);
        proofs->planted[proofs->planted_count++] = *proof;
        return true;
    }
    for (size_t at = 0; at < length; at += STORE_SERIAL_HEX) {
        char hex[SERIAL_HEX_MAX] = "";
        uint8_t serial[SERIAL_BYTES];
        memcpy(hex, proof->serials + at, STORE_SERIAL_HEX);
        if (hex_decode(hex, serial, SERIAL_BYTES) && !serial_set_add(proofs->proven, serial))
            return false;
    }
    return true;
}

static bool take_page(struct crl_proofs *proofs) {
    proofs->planted_count = 0;
    proofs->planted = arena_alloc(proofs->arena, (proofs->sealed.count + 1) * sizeof *proofs->planted);
    bool is_taken = proofs->planted != NULL;
    for (size_t i = 0; is_taken && i < proofs->sealed.count; i++)
        is_taken = take_proof(proofs, &proofs->sealed.items[i]);
    return is_taken;
}

static void load(struct crl_proofs *proofs);
static void go_through(struct crl_proofs *proofs);

static void read_on(struct crl_proofs *proofs) {
    if (proofs->is_behind && ++proofs->rounds < LOAD_ROUNDS) {
        load(proofs);
    } else if (proofs->proves) {
        proofs->rounds = 0;
        go_through(proofs);
    } else {
        end(proofs, NULL);
    }
}

static void note_dropped(void *context, const struct error *error) {
    struct crl_proofs *proofs = context;
    if (error != NULL)
        end(proofs, error);
    else
        read_on(proofs);
}

/* Numbers alone tell what was read. Those that somebody has put there stand for nothing: he may have chosen
 * the number of a good one, which would be passed over with them. So they are taken away, and the page is
 * read again without them. */
static void note_sealed(void *context, const struct error *error) {
    struct crl_proofs *proofs = context;
    if (error != NULL) {
        end(proofs, error);
    } else if (!take_page(proofs)) {
        fail_memory(proofs);
    } else {
        proofs->is_behind = proofs->sealed.has_more != 0;
        if (proofs->planted_count > 0) {
            store_drop_proofs(proofs->worker->store, proofs->planted, proofs->planted_count, note_dropped,
                              proofs);
            return;
        }
        snprintf(proofs->last, sizeof proofs->last, "%s", proofs->sealed.last);
        read_on(proofs);
    }
}

static void load(struct crl_proofs *proofs) {
    if (begin_page(proofs))
        store_load_proofs(proofs->worker->store, proofs->arena, proofs->last, LOAD_PAGES, &proofs->sealed,
                          note_sealed, proofs);
}

/* --- who has gone through all --- */

void crl_proofs_take_provers(struct crl_proofs *proofs, const struct store_prover_list *list) {
    struct crl_provers provers = {.is_known = true, .hosts = list->count, .others_ms = INT64_MAX};
    for (size_t i = 0; i < list->count; i++) {
        const struct store_prover *prover = &list->items[i];
        char moment[24];
        snprintf(moment, sizeof moment, "%lld", (long long)prover->began_ms);
        bool is_own = strcmp(prover->host, proofs->worker->config->host_name) == 0,
             is_good = is_sealed(proofs, "pass", prover->host, moment, prover->seal);
        int64_t passed = is_good ? prover->began_ms : 0;
        if (is_own || passed >= provers.others_ms)
            continue;
        provers.others_ms = passed;
        snprintf(provers.slowest, sizeof provers.slowest, "%s", prover->host);
    }
    provers.passed_ms = proofs->passed_ms < provers.others_ms ? proofs->passed_ms : provers.others_ms;
    proofs->provers = provers;
}

static void note_provers(void *context, const struct error *error) {
    struct crl_proofs *proofs = context;
    if (error == NULL)
        crl_proofs_take_provers(proofs, &proofs->list);
    end(proofs, error);
}

static void end_pass(struct crl_proofs *proofs) {
    char moment[24];
    int64_t now = clock_monotonic_ms();
    proofs->passed_ms = proofs->began_ms;
    bool is_due = proofs->has_found || proofs->noted_ms == 0 || now - proofs->noted_ms >= NOTE_MS;
    proofs->has_found = false;
    if (!is_due) {
        end(proofs, NULL);
        return;
    }
    proofs->noted_ms = now;
    snprintf(moment, sizeof moment, "%lld", (long long)proofs->passed_ms);
    make_seal(proofs, "pass", proofs->worker->config->host_name, moment, proofs->seal);
    proofs->own = (struct store_prover){proofs->worker->config->host_name, proofs->passed_ms, proofs->seal};
    store_note_provers(proofs->worker->store, proofs->arena, &proofs->own, &proofs->list, note_provers,
                       proofs);
}

/* --- what waits --- */

static void go_on(struct crl_proofs *proofs) {
    snprintf(proofs->cursor, sizeof proofs->cursor, "%s", proofs->page.next_cursor);
    if (strcmp(proofs->cursor, "0") == 0)
        end_pass(proofs);
    else if (++proofs->rounds < PAGES_PER_TICK)
        go_through(proofs);
    else
        end(proofs, NULL);
}

static void note_proven(void *context, const struct error *error) {
    struct crl_proofs *proofs = context;
    if (error != NULL)
        end(proofs, error);
    else
        go_on(proofs);
}

static void append(char *serials, size_t *length, const char *serial) {
    memcpy(serials + *length, serial, STORE_SERIAL_HEX);
    *length += STORE_SERIAL_HEX;
}

/* Also what is known to be proven: it waits where Redis has lost the proof. */
static void prove(struct crl_proofs *proofs) {
    char *serials = arena_alloc(proofs->arena, proofs->page.count * STORE_SERIAL_HEX + 1);
    size_t length = 0;
    if (serials == NULL) {
        fail_memory(proofs);
        return;
    }
    for (size_t i = 0; i < proofs->known_count; i++)
        append(serials, &length, proofs->known[i]);
    for (size_t i = 0; i < proofs->asked_count; i++)
        if (proofs->is_revoked[i])
            append(serials, &length, proofs->asked_names[i]);
    if (length == 0) {
        go_on(proofs);
        return;
    }
    make_seal(proofs, "entries", serials, "", proofs->seal);
    proofs->proof = (struct store_proof){proofs->seal, serials};
    store_prove_entries(proofs->worker->store, &proofs->proof, note_proven, proofs);
}

static void note_asked(void *context, const struct error *error) {
    struct crl_proofs *proofs = context;
    if (error != NULL)
        end(proofs, error);
    else
        prove(proofs);
}

static bool sort_page(struct crl_proofs *proofs) {
    const struct store_unproven_page *page = &proofs->page;
    proofs->asked = arena_alloc(proofs->arena, page->count * SERIAL_BYTES + 1);
    proofs->asked_names = arena_alloc(proofs->arena, (page->count + 1) * sizeof *proofs->asked_names);
    proofs->known = arena_alloc(proofs->arena, (page->count + 1) * sizeof *proofs->known);
    proofs->is_revoked = arena_alloc(proofs->arena, (page->count + 1) * sizeof *proofs->is_revoked);
    proofs->asked_count = proofs->known_count = 0;
    if (proofs->asked == NULL || proofs->asked_names == NULL || proofs->known == NULL ||
        proofs->is_revoked == NULL)
        return false;
    for (size_t i = 0; i < page->count; i++) {
        uint8_t *serial = proofs->asked + proofs->asked_count * SERIAL_BYTES;
        if (!hex_decode(page->serials[i], serial, SERIAL_BYTES))
            continue;
        if (serial_set_has(proofs->proven, serial))
            proofs->known[proofs->known_count++] = page->serials[i];
        else
            proofs->asked_names[proofs->asked_count++] = page->serials[i];
    }
    return true;
}

static void note_page(void *context, const struct error *error) {
    struct crl_proofs *proofs = context;
    if (error != NULL) {
        end(proofs, error);
        return;
    }
    if (strcmp(proofs->cursor, "0") == 0)
        proofs->began_ms = proofs->page.now_ms;
    proofs->waiting = proofs->page.waiting;
    proofs->has_found = proofs->has_found || proofs->page.count > 0;
    if (!sort_page(proofs))
        fail_memory(proofs);
    else if (proofs->asked_count == 0)
        prove(proofs);
    else
        signer_find_revoked(proofs->worker->operator_signer, proofs->asked, proofs->asked_count,
                            proofs->is_revoked, note_asked, proofs);
}

static void go_through(struct crl_proofs *proofs) {
    if (begin_page(proofs))
        store_page_unproven(proofs->worker->store, proofs->arena, proofs->cursor, PAGE, PATIENCE_MS, 0,
                            &proofs->page, note_page, proofs);
}

/* --- the whole --- */

static void start(struct crl_proofs *proofs, bool proves, store_done *done, void *context) {
    proofs->proves = proves;
    proofs->done = done;
    proofs->context = context;
    proofs->rounds = 0;
    load(proofs);
}

void crl_proofs_follow(struct crl_proofs *proofs, store_done *done, void *context) {
    start(proofs, false, done, context);
}

void crl_proofs_work(struct crl_proofs *proofs, store_done *done, void *context) {
    start(proofs, true, done, context);
}

void crl_proofs_read_whole(struct crl_proofs *proofs) {
    int64_t now = clock_monotonic_ms();
    if (proofs->read_whole_ms != 0 && now - proofs->read_whole_ms < READ_WHOLE_MS)
        return;
    proofs->read_whole_ms = now;
    proofs->is_behind = true;
    *proofs->last = '\0';
}

void crl_proofs_restart(struct crl_proofs *proofs) {
    *proofs->last = '\0';
    snprintf(proofs->cursor, sizeof proofs->cursor, "0");
    proofs->is_behind = true;
    proofs->has_found = false;
    proofs->noted_ms = proofs->passed_ms = 0;
    proofs->provers = (struct crl_provers){.is_known = false};
}

bool crl_proofs_has(const struct crl_proofs *proofs, const uint8_t serial[SERIAL_BYTES]) {
    return serial_set_has(proofs->proven, serial);
}

bool crl_proofs_is_behind(const struct crl_proofs *proofs) {
    return proofs->is_behind;
}

bool crl_proofs_can_tell(const struct crl_proofs *proofs) {
    return proofs->worker->operator_key != NULL || (proofs->provers.is_known && proofs->provers.hosts <= 1);
}

uint64_t crl_proofs_waiting(const struct crl_proofs *proofs) {
    bool have_all_looked = proofs->provers.is_known && proofs->provers.passed_ms > 0;
    return have_all_looked && crl_proofs_can_tell(proofs) ? proofs->waiting : 0;
}

const struct crl_provers *crl_proofs_provers(const struct crl_proofs *proofs) {
    return &proofs->provers;
}

struct crl_proofs *crl_proofs_new(struct worker *worker) {
    struct crl_proofs *proofs = calloc(1, sizeof *proofs);
    if (proofs == NULL || (proofs->proven = serial_set_new()) == NULL) {
        free(proofs);
        return NULL;
    }
    proofs->worker = worker;
    proofs->unsealed = metrics_counter(worker->metrics, "originca_crl_proofs_unsealed_total",
                                       "Proofs of revocations in Redis without a good seal; taken away");
    crl_proofs_restart(proofs);
    return proofs;
}

void crl_proofs_free(struct crl_proofs *proofs) {
    if (proofs == NULL)
        return;
    arena_free(proofs->arena);
    serial_set_free(proofs->proven);
    free(proofs);
}
