/* A check (struct dnscheck) for each set of edge prefixes and CAA rules that clients ask with: those are
 * settings of the check, and a client sends its own. Few clients, so few views; idle ones make room. */
#pragma once

#include "message.h"
#include "options.h"

struct views;
struct views *views_new(struct event_base *base, const struct options *options, struct error *error);
void views_free(struct views *views);
/* NULL with ERROR_LIMIT: all are busy. The check is good until the next call while no job runs in it. */
struct dnscheck *views_find(struct views *views, const struct message_request *request, struct error *error);
