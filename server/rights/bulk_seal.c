/* A seal is a chain: each field's hash goes into the next HMAC, after the kind of seal, so that no two lists
 * of fields are alike. */
#include "originca/bulk_seal.h"

#include <stdio.h>
#include <string.h>

#include "originca/rights.h"

struct chain {
    uint8_t key[SHA256_BYTES], digest[SHA256_BYTES];
};

static bool begin(struct chain *chain, const struct worker *worker, const char *kind, const char *id) {
    *chain = (struct chain){.key = {0}};
    if (worker->operator_key == NULL)
        return false;
    hmac_sha256(worker->operator_key, SHA256_BYTES, "bulk", strlen("bulk"), chain->key);
    seal_add(chain->digest, chain->key, kind);
    seal_add(chain->digest, chain->key, id);
    return true;
}

static void add_number(struct chain *chain, int64_t number) {
    char text[24];
    snprintf(text, sizeof text, "%lld", (long long)number);
    seal_add(chain->digest, chain->key, text);
}

static void end(struct chain *chain, char *out) {
    hex_encode(chain->digest, SHA256_BYTES, out);
    bytes_wipe(chain, sizeof *chain);
}

void bulk_seal_job(const struct worker *worker, const struct store_bulk *job, char *out) {
    const struct store_selection *selection = &job->selection;
    const char *const texts[] = {selection->customer,
                                 selection->zone,
                                 selection->account,
                                 selection->issuer,
                                 selection->profile,
                                 selection->key,
                                 selection->serials,
                                 job->by,
                                 job->plan};
    const int64_t numbers[] = {selection->issued_since,
                               selection->issued_before,
                               (int64_t)selection->cut_off,
                               job->reason,
                               job->rate,
                               (int64_t)job->total,
                               job->created_at};
    struct chain chain;
    *out = '\0';
    if (!begin(&chain, worker, "job", job->id))
        return;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        seal_add(chain.digest, chain.key, texts[i]);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        add_number(&chain, numbers[i]);
    end(&chain, out);
}

void bulk_seal_piece(const struct worker *worker, const char *plan, uint64_t piece, const char *serials,
                     char *out) {
    struct chain chain;
    *out = '\0';
    if (!begin(&chain, worker, "piece", plan))
        return;
    add_number(&chain, (int64_t)piece);
    seal_add(chain.digest, chain.key, serials);
    end(&chain, out);
}

void bulk_seal_progress(const struct worker *worker, const struct store_bulk *job, char *out) {
    struct chain chain;
    *out = '\0';
    if (!begin(&chain, worker, "progress", job->id))
        return;
    add_number(&chain, (int64_t)job->position);
    add_number(&chain, (int64_t)job->done);
    add_number(&chain, (int64_t)job->failed);
    end(&chain, out);
}

static bool is_same(const char *seal, const char *good) {
    return *good != '\0' && seal != NULL && strlen(seal) == strlen(good) &&
           bytes_equal_secret(seal, good, strlen(good));
}

const char *bulk_seal_fault(const struct worker *worker, const struct store_bulk *job) {
    char good[STORE_SEAL_MAX];
    if (job->is_unreadable)
        return "somebody put it into Redis, and it is no job; nothing is revoked";
    if (worker->operator_key == NULL)
        return "this server has no operator_secret_file and cannot tell whether an operator confirmed it";
    bulk_seal_job(worker, job, good);
    if (!is_same(job->seal, good))
        return "it is not what an operator confirmed: somebody put it into Redis or changed it there, or it "
               "was made with another operator_secret_file; nothing more of it is revoked";
    bulk_seal_progress(worker, job, good);
    if (!is_same(job->progress_seal, good) || job->position > job->total ||
        (job->state == BULK_DONE && job->position != job->total))
        return "somebody changed in Redis how far it is; nothing more of it is revoked: look at its "
               "certificates, and begin it again";
    return NULL;
}

const char *bulk_page_fault(const struct worker *worker, const struct store_bulk *job,
                            struct store_bulk_page *page) {
    uint64_t piece = job->position / STORE_BULK_PIECE, left = job->total - piece * STORE_BULK_PIECE;
    size_t from = job->position % STORE_BULK_PIECE,
           in_piece = left < STORE_BULK_PIECE ? left : STORE_BULK_PIECE;
    char good[STORE_SEAL_MAX];
    if (*page->piece == '\0')
        return "the list of its certificates is not in Redis any more: begin it again";
    bulk_seal_piece(worker, job->plan, piece, page->piece, good);
    if (strlen(page->piece) != in_piece * STORE_SERIAL_HEX || !is_same(page->piece_seal, good))
        return "somebody changed the list of its certificates in Redis; nothing more of it is revoked: begin "
               "it again";
    page->span = in_piece - from < page->limit ? in_piece - from : page->limit;
    size_t at = from, end = from + page->span;
    for (size_t i = 0; i < page->count; i++, at++) {
        while (at < end &&
               strncmp(page->piece + at * STORE_SERIAL_HEX, page->items[i].serial, STORE_SERIAL_HEX) != 0)
            at++;
        if (at == end)
            return "Redis gave a certificate that is not on its list; nothing more of it is revoked";
    }
    return NULL;
}
