/* Listening sockets. The supervisor owns them, one a worker slot and address (SO_REUSEPORT), so that a
 * connection waiting in a socket's queue survives the death or the reload of the worker that would have taken
 * it. */
#pragma once

#include "originca/config.h"
#include "originca/signer.h"

enum listener_kind { LISTENER_HTTPS, LISTENER_HTTP, LISTENER_ADMIN };

struct listener {
    enum listener_kind kind;
    struct config_address address;
    unsigned slot; /* of the worker that serves it; the admin socket is served by all */
    int fd;
    bool is_wanted;
};

struct listeners {
    struct listener *items;
    size_t count;
};

/* Opens what `config` names, keeping sockets that are open already (a reload); what is no longer named is
 * closed by listeners_close_unwanted, once the new workers serve. */
bool listeners_open(struct listeners *listeners, const struct config *config, struct error *error) MUST_CHECK;
void listeners_close_unwanted(struct listeners *listeners);
void listeners_close_all(struct listeners *listeners);
/* In a worker: closes what other slots serve. */
void listeners_keep_slot(struct listeners *listeners, unsigned slot);
/* The signer's sockets in the run directory, each the user's alone whose processes may connect. */
bool listeners_open_signer(const struct config *config, struct signer_sockets *out,
                           struct error *error) MUST_CHECK;
