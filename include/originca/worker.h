/* What a process that serves requests holds, a worker or the admin process: one event loop and the services
 * its handlers use. Plain data, set up once by worker.c or admin_process.c. */
#pragma once

#include <event2/event.h>

#include "originca/config.h"

struct store;
struct dnscheck;
struct perspectives;
struct signer_client;
struct metrics;
struct secrets;
struct fence;
struct worker_link;

#define WORKER_HOST_TAG 8 /* leading characters of `instance` that stand for the host */

struct worker {
    struct event_base *base;
    const struct config *config;
    struct store *store;
    /* Of workers; NULL in the admin process, which has no socket to the network. */
    struct dnscheck *dnscheck;         /* this host's own view */
    struct perspectives *perspectives; /* what issuance asks */
    struct worker_link *link;          /* of the admin process: it asks the workers for DNS checks */
    struct signer_client *signer;
    struct signer_client
        *operator_signer;    /* the same, of the admin process: stop, allow, ledger, rights; else NULL */
    struct crl_keeper *crls; /* of the admin process: the revocation lists (crl_service.h) */
    struct metrics *metrics;
    const struct secrets *secrets;
    const uint8_t
        *operator_key; /* of the admin process: SECRET_BYTES (rights.h); NULL: rights are not sealed */
    unsigned slot;     /* 0 .. workers-1; nothing in the admin process */
    char instance[33]; /* random hex of this process, part of every attempt id */
    uint64_t next_attempt;
    bool is_draining;
    int64_t not_ready_since_ms; /* monotonic; while not ready */
    uint32_t waiting_requests;  /* that wait for it to be ready again (operation_await_ready) */
    uint64_t
        applied_at_least; /* records of this host's ledger that Redis had applied when it was last compared */
    size_t ocsp_kept_bytes;     /* memory for OCSP answers that are kept */
    bool is_ready;              /* Redis scripts loaded, ledger replayed, signer answered */
    bool has_other_secrets;     /* than those that the data in Redis rest on (secret_check.h) */
    char not_ready_reason[256]; /* for /readyz and for the 503 of every request that needs the store */
    char issuance_stopped[512]; /* of the admin process: the stops of all and of issuers in words; ""
                                   (stops.h) */
    /* Adds this worker's counts to the shared metrics; runs every second and before /metrics is answered. */
    void (*publish_metrics)(struct worker *worker);
};
