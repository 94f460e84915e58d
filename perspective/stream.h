/* A TLS connection that carries frames, for both ends: mutual authentication, TLS 1.3, non-blocking, with a
 * deadline for everything that waits for the other side. */
#pragma once

#include <event2/event.h>

#include "frame.h"

/* Certificate, key and the CA that the other side's certificate must come from; counted references, so that a
 * reload does not pull them away from open connections. */
struct stream_tls;
struct stream_tls *stream_tls_new(const char *ca_file, const char *certificate_file, const char *key_file,
                                  struct error *error);
void stream_tls_free(struct stream_tls *tls);

struct stream_settings {
    uint32_t max_frame;
    uint32_t handshake_ms; /* connecting included */
    uint32_t frame_ms;     /* from a frame's first byte to its last */
    uint32_t write_ms;     /* without progress */
    size_t max_unsent;     /* while more waits to be sent, nothing is read; 0: reads on */
};

/* All run from the loop. After `closed` the stream does nothing more; the owner frees it, there or later. The
 * owner may free it in any of them. */
struct stream_events {
    void (*opened)(void *context);
    void (*frame)(void *context, struct bytes payload);
    void (*closed)(void *context, const char *why);
};

struct stream;
/* Takes over the socket (non-blocking). `server_name` NULL: we are the server; else we connected, the
 * connection may still be under way, and the certificate must be for that host name or address. On failure
 * the socket is closed. */
struct stream *stream_new(struct event_base *base, int fd, struct stream_tls *tls, const char *server_name,
                          const struct stream_settings *settings, const struct stream_events *events,
                          void *context);
/* Queues a whole frame, head included; false: out of memory. */
bool stream_send(struct stream *stream, const void *frame, size_t length) MUST_CHECK;
/* Reads no more, sends what is queued, then closes ("finished"). */
void stream_finish(struct stream *stream);
void stream_free(struct stream *stream);
bool stream_is_open(const struct stream *stream);
size_t stream_unsent(const struct stream *stream); /* bytes that the other side has not taken */
/* The first DNS name of the other side's certificate, or its common name; "" where it has none. */
const char *stream_peer_name(const struct stream *stream);
/* Is the other side's certificate for that host name? */
bool stream_peer_is(const struct stream *stream, const char *name);
