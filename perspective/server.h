/* The listening side of originca-perspective. */
#pragma once

#include "options.h"
#include "views.h"

struct server;
/* Listens. `options` must outlive it. */
struct server *server_new(struct event_base *base, const struct options *options, struct error *error);
void server_free(struct server *server); /* cancels what is under way */
/* Certificates again from their files; new connections get them. On failure the old ones stay. */
bool server_reload(struct server *server, struct error *error) MUST_CHECK;
/* Accepts and reads no more; `drained` runs once every check that was under way is answered. */
void server_drain(struct server *server, void (*drained)(void *context), void *context);
