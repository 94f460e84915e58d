/* The signer's connections: who may connect, frames, and whose turn it is.
 *
 * What a connection costs is bounded, whatever its other end does. Requests wait in its input buffer, of at
 * most one frame's size, and behind that in the socket. A batch takes from each connection in turn. While
 * more replies are unread than `signer_unread_bytes`, nothing is taken from it, and in the end it is closed.
 */
#pragma once

#include "engine.h"

struct links;

/* Accepts from now on; `wake` runs whenever a connection has something. */
struct links *links_new(struct event_base *base, const struct config *config,
                        const struct signer_sockets *sockets, struct metrics *metrics,
                        void (*wake)(void *context), void *context);
/* Calls that are still with the engine, or held back, must be gone. */
void links_free(struct links *links);
/* What comes later waits in the sockets for the next signer. */
void links_stop_accepting(struct links *links);

/* The requests of one batch, one of each connection in turn, a list by `next`; bounded in number and bytes,
 * for the batch and for what one worker's connection has under way. False where more waits than was taken. */
bool links_take(struct links *links, struct engine_call **first);
/* Sends the reply, if its connection is still there, and frees the call. */
void links_finish(struct links *links, struct engine_call *call);
/* Closes what does not read its replies. */
void links_tick(struct links *links);
