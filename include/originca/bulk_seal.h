/* What makes a job of Redis an operator's (doc/revocation.md, "In bulk"): seals, HMAC-SHA256 under a key of
 * `operator_secret_file`, which admin processes alone read. One is over the job as it was confirmed, one over
 * each piece of the list of its certificates, one over how far it came. Each holds the job's id or the
 * list's, so none means anything elsewhere; whoever can write Redis can put an older one back, and make none.
 *
 * `out` has STORE_SEAL_MAX bytes; "" without the key. */
#pragma once

#include "originca/store_bulk.h"
#include "originca/worker.h"

void bulk_seal_job(const struct worker *worker, const struct store_bulk *job, char *out);
void bulk_seal_piece(const struct worker *worker, const char *plan, uint64_t piece, const char *serials,
                     char *out);
/* Over `position`, `done` and `failed`. */
void bulk_seal_progress(const struct worker *worker, const struct store_bulk *job, char *out);

/* NULL, or what is wrong, for an operator: with the job itself, with how far it is said to be, or with its
 * end. */
const char *bulk_seal_fault(const struct worker *worker, const struct store_bulk *job);
/* Likewise of the piece `page->piece`, which a page came with: are its certificates of that part of the piece
 * that the page is of? Fills `page->span`. */
const char *bulk_page_fault(const struct worker *worker, const struct store_bulk *job,
                            struct store_bulk_page *page);
