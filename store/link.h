/* One connection to Redis: connecting and again with back-off, set-up, the queue of calls that wait for
 * replies and their deadline. A store has one, and a second one for commits where these wait for replicas
 * (WAIT would hold up everything behind it). */
#pragma once

#include "call.h"

struct link;

struct link *link_new(struct store *store, bool waits_for_replicas, struct error *error);
/* Pending calls get ERROR_UNKNOWN, or ERROR_UNAVAILABLE where nothing of them was sent. */
/* Uses this connection no more, and connects again once what was asked is answered: its set-up judges whether
 * the server may be used. */
void link_leave(struct link *, const char *reason);
void link_free(struct link *link);
bool link_is_ready(const struct link *link);
/* Why not; "" when ready. */
const char *link_reason(const struct link *link);
/* The link must be ready. */
void link_send(struct link *link, struct store_call *call);
size_t link_pending(const struct link *link);

/* For the link: the store's parts it works on. */
struct store_redis_address {
    struct sockaddr_storage address;
    socklen_t length;
};
struct event_base *store_base(const struct store *store);
const struct config *store_config(const struct store *store);
const struct store_redis_address *store_address(const struct store *store);
struct store_counters *store_edit_counters(struct store *store);
void store_leave(struct store *, const char *reason); /* link_leave of all */
void store_link_changed(struct store *store);         /* readiness of a link may have changed */
/* Completes from the loop, later. */
void store_complete_later(struct store *store, struct store_call *call, const struct error *error);
void store_call_send(struct store *store, struct store_call *call);
