/* Rate limits: which there are, and what a client is told. One mechanism for ACME and the REST API, kept in
 * Redis and shared by all workers and hosts (doc/limits.md).
 *
 * Build the list of what a request takes, give it to limits_take, and refuse with limits_text where one is
 * exceeded. Whatever asks DNS for a client takes the limits of its checks first and calls
 * limits_note_failures with the result; nothing exempts from these. */
#pragma once

#include <sys/socket.h>

#include "originca/arena.h"
#include "originca/config.h"
#include "originca/dnscheck.h"
#include "originca/store.h"

struct worker;

struct limits {
    struct store_limit *items; /* in the arena */
    size_t count;
    const char *due_serial; /* see limits_order; NULL: none */
    struct store_limit_outcome outcome;
};

/* Who asks for what. */
struct limits_order {
    const char *orderer; /* whose orders count: the customer, without one the account */
    const char *checker; /* whose DNS checks count: the customer, without one limits_address */
    const char *const *names;
    const struct store_zone *zones; /* as many as names, id NULL where there is none */
    size_t count;
    bool is_checked; /* DNS is asked at once, not by a challenge later */
    /* The certificate whose renewal is due, NULL: none. Once it lets an order pass that takes nothing for
     * itself and for the names of the certificate (take_limits.lua). */
    const struct store_certificate *due;
};

/* The client, IPv6 by its /64; NULL without memory; "" for a unix socket. */
const char *limits_address(struct arena *arena, const struct sockaddr_storage *peer);

/* All of these: false is out of memory. */

/* newAccount: by address; unix sockets have none. */
bool limits_for_account(struct arena *arena, const struct config *config, const struct sockaddr_storage *peer,
                        struct limits *out) MUST_CHECK;
/* A new order: orders, names by zone, the pauses of its names and, where DNS is asked, limits_for_check. */
bool limits_for_order(struct arena *arena, const struct config *config, const struct limits_order *order,
                      struct limits *out) MUST_CHECK;
/* A check of the names for an order that is there already. */
bool limits_for_check(struct arena *arena, const struct config *config, const struct limits_order *order,
                      struct limits *out) MUST_CHECK;
/* A REST request of a key. */
bool limits_for_key(struct arena *arena, const struct config *config, const char *key_id,
                    struct limits *out) MUST_CHECK;

/* An OCSP request that needs a signature of its own: by address. */
bool limits_for_ocsp(struct arena *arena, const struct config *config, const struct sockaddr_storage *peer,
                     struct limits *out) MUST_CHECK;

/* A revocation by a client: by whose certificate it is. What all workers of a host may revoke is the signer's
 * guard, and no customer uses it up alone. */
bool limits_for_revocation(struct arena *arena, const struct config *config,
                           const struct store_certificate *certificate, struct limits *out) MUST_CHECK;

/* Fills limits->outcome; `done` is not called where this returns false: there is nothing to take. */
bool limits_take(struct worker *worker, struct limits *limits, store_done *done, void *context) MUST_CHECK;
/* Which limit it was, and what to do. */
const char *limits_text(struct arena *arena, const struct limits *limits);

/* After a check: names that failed pause and count for the checker, and an exemption that `taken` holds is
 * given back. `done` as with limits_take: called (with no error: the answer stands without the note, which is
 * logged) only after true. */
bool limits_note_failures(struct worker *worker, struct arena *arena, const struct limits *taken,
                          const struct limits_order *order, const struct dnscheck_result *result,
                          store_done *done, void *context) MUST_CHECK;
