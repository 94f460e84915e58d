/* Listening sockets. The supervisor owns them, one a worker slot and address (SO_REUSEPORT), so that a
 * connection waiting in a socket's queue survives the death or the reload of the worker that would have taken
 * it. */
#pragma once

#include "originca/config.h"
#include "originca/signer.h"

enum listener_kind { LISTENER_HTTPS, LISTENER_HTTP, LISTENER_ADMIN, LISTENER_LINK /* worker_link.h */ };

struct listener {
    enum listener_kind kind;
    struct config_address address;
    unsigned slot; /* of the worker that serves it; the admin socket is the admin process's */
    int fd;
    bool is_wanted; /* by the configuration in force */
    bool is_next;   /* by the one that a reload tries */
};

struct listeners {
    struct listener *items;
    size_t count;
};

/* Opens what `config` names. */
bool listeners_open(struct listeners *listeners, const struct config *config, struct error *error) MUST_CHECK;
/* A reload: keeps what is open already and binds the rest without listening, so that no client waits for
 * a worker that may never come. After it, also where it fails, comes one of the next two: what only the other
 * configuration names is closed. */
bool listeners_open_next(struct listeners *listeners, const struct config *config,
                         struct error *error) MUST_CHECK;
void listeners_take_next(struct listeners *listeners);
void listeners_drop_next(struct listeners *listeners);
void listeners_close_all(struct listeners *listeners);
/* In a child of the configuration in force, or of the next one: closes what others serve. */
void listeners_keep_worker(struct listeners *listeners, unsigned slot, bool is_next);
void listeners_keep_admin(struct listeners *listeners, bool is_next);
/* In a process that is about to accept. */
bool listener_listen(const struct listener *listener, struct error *error) MUST_CHECK;
/* The signer's sockets in the run directory, each the user's alone whose processes may connect. */
bool listeners_open_signer(const struct config *config, struct signer_sockets *out,
                           struct error *error) MUST_CHECK;
