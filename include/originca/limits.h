/* Rate limits: which there are, and what a client is told. One mechanism for ACME and the REST API, kept in
 * Redis and shared by all workers and hosts (doc/limits.md).
 *
 * Build the list of what a request takes, give it to store_take_limits, and refuse with limits_text where one
 * is exceeded. Renewals inside their ARI window take none. */
#pragma once

#include <sys/socket.h>

#include "originca/arena.h"
#include "originca/config.h"
#include "originca/store.h"

struct worker;

struct limits {
    struct store_limit *items; /* in the arena */
    size_t count;
    struct store_limit_outcome outcome;
};

/* newAccount: by address, IPv6 by its /64; unix sockets have none. False: out of memory. */
bool limits_for_account(struct arena *arena, const struct config *config, const struct sockaddr_storage *peer,
                        struct limits *out) MUST_CHECK;
/* An order: the customer's (or account's) orders, names by zone, and the back-off of names whose checks
 * failed. `zones` are as many as names, id NULL where there is none. */
bool limits_for_order(struct arena *arena, const struct config *config, const char *orderer,
                      const char *const *names, const struct store_zone *zones, size_t count,
                      struct limits *out) MUST_CHECK;
/* A REST request of a key. */
bool limits_for_key(struct arena *arena, const struct config *config, const char *key_id,
                    struct limits *out) MUST_CHECK;
/* Which limit it was, and what to do. */
const char *limits_text(struct arena *arena, const struct limits *limits);
/* After a check: names whose check failed wait, names that are good do not any more. */
void limits_note_checks(struct worker *worker, struct arena *arena, const char *orderer,
                        const char *const *names, const bool *has_failed, size_t count, store_done *done,
                        void *context);
