/* Between the client's connection (client.c) and its calls (client_calls.c). */
#pragma once

#include <sys/queue.h>

#include "originca/signer.h"
#include "wire.h"

struct client_call {
    TAILQ_ENTRY(client_call) entry;
    uint64_t id;
    int64_t deadline_ms;
    struct arena *arena; /* for the result; NULL where it needs none */
    /* Reads the reply; NULL where it holds nothing. False where it cannot be read. */
    bool (*take)(struct client_call *call, struct wire_reader *reader);
    void *out, *out_more;
    size_t count; /* of what `out` points to */
    signer_done *done;
    void *context;
};

/* The fields are written into the arena's frame; NULL when out of memory, which client_send_call reports. */
struct arena *client_begin_call(struct signer_client *client, struct wire_writer *writer, uint8_t type);
/* Takes the scratch arena. `template` is copied. */
void client_send_call(struct signer_client *client, struct arena *scratch, struct wire_writer *writer,
                      const struct client_call *template);
