/* A server's connection to one originca-perspective: kept open, made again with growing pauses, many calls at
 * once. */
#pragma once

#include <sys/queue.h>

#include "message.h"
#include "stream.h"

struct remote;
struct remote_call;

/* `reply` (in the call's arena) or, where it is NULL, why there is none. May run from inside remote_ask. */
typedef void remote_done(struct remote_call *call, const struct message_reply *reply, const char *failure);

struct remote_call { /* the asker's memory */
    TAILQ_ENTRY(remote_call) entry;
    uint64_t id; /* unique among the asker's calls */
    const uint8_t *frame;
    size_t length;
    size_t zone_count, name_count; /* the reply must be about as many */
    struct arena *arena;
    remote_done *done;
    void *context;
    int64_t sent_ms; /* 0: waits for the connection */
    unsigned sendings;
    bool is_pending;
};

struct remote *remote_new(struct event_base *base, const struct config_perspective *entry,
                          struct stream_tls *tls, uint32_t timeout_ms, struct error *error);
void remote_free(struct remote *remote); /* calls that are pending are forgotten */
void remote_ask(struct remote *remote, struct remote_call *call);
/* Forgets the call; `is_late`: its time is over, so the connection may be dead without a word. */
void remote_forget(struct remote *remote, struct remote_call *call, bool is_late);
