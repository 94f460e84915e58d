/* GnuTLS behind a stream: credentials, sessions that verify, and who the other side is. */
#pragma once

#include <gnutls/gnutls.h>

#include "stream.h"

struct stream_peer {
    gnutls_typed_vdata_st expected[2]; /* what GnuTLS verifies; must live as long as the handshake */
    char server_name[256];
    char name[256];
};

struct stream_tls *stream_tls_hold(struct stream_tls *tls);
/* `server_name` NULL: a server's session. */
gnutls_session_t stream_tls_start(struct stream_tls *tls, int fd, const char *server_name,
                                  struct stream_peer *peer);
/* Why the other side's certificate was refused. */
void stream_tls_explain(gnutls_session_t session, char *out, size_t size);
void stream_tls_read_peer(gnutls_session_t session, struct stream_peer *peer);
bool stream_tls_peer_is(gnutls_session_t session, const char *name);
