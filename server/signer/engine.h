/* The signer's state and what it does with a batch of requests. One file handles the sockets (main.c), this
 * the work. */
#pragma once

#include "attempts.h"
#include "ledger.h"
#include "originca/metrics.h"
#include "policy.h"
#include "wire.h"

struct engine;
struct crl_work;

/* One request of a batch. The reply is a whole frame in the arena; a NULL reply means: out of memory, drop
 * the client. */
struct engine_call {
    struct engine_call *next;
    struct arena *arena;
    uint64_t id;
    uint8_t type;
    struct bytes fields; /* in the arena */
    enum signer_link link;
    void *client;          /* the socket layer's */
    struct crl_work **crl; /* the list that is under way on its connection; NULL there: none */
    const char *reply;
    size_t reply_length;
};

/* Begins to read the ledger, in a thread. */
struct engine *engine_new(const struct config *config, struct metrics *metrics, struct error *error);
void engine_free(struct engine *engine);
/* Of a connection that ends. */
void crl_work_free(struct crl_work *work);
/* Answers all calls of the list: intents, one sync, signatures, one sync. False when the process must end
 * after the replies are sent: the ledger cannot be written or the token is lost; only a new process recovers
 * from either. */
bool engine_run(struct engine *engine, struct engine_call *calls);
/* Is such a call to be kept back for now? It will be answered in a moment: the ledger is read, or Redis's
 * position comes. */
bool engine_must_hold(const struct engine *engine, uint8_t type);
/* What goes on besides calls, to be run so often; false when the process must end. */
bool engine_tick(struct engine *engine);
uint32_t engine_tick_ms(const struct engine *engine);
