/* Opening and keeping listening sockets over reloads. */
#include "listeners.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <netinet/in.h>
#include <netinet/tcp.h>

#define BACKLOG 1024

static bool set_option(int fd, int level, int option, int value) {
    return setsockopt(fd, level, option, &value, sizeof value) == 0;
}

/* A socket file left by a process that is gone refuses connections; one that answers belongs to somebody
 * alive. */
static bool remove_stale_socket(const struct config_address *address, struct error *error) {
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return error_set(error, ERROR_UNAVAILABLE, "cannot make a socket: %m");
    int outcome = connect(fd, (const struct sockaddr *)&address->address, address->length);
    int reason = errno;
    close(fd);
    if (outcome == 0)
        return error_set(error, ERROR_CONFLICT,
                         "%s is served by another process; is the server running already?", address->text);
    if (reason == ECONNREFUSED)
        unlink(((const struct sockaddr_un *)&address->address)->sun_path);
    return true;
}

static bool give_to(const struct config_address *address, const struct config_user *owner,
                    struct error *error) {
    const char *path = ((const struct sockaddr_un *)&address->address)->sun_path;
    if (owner == NULL || owner->name == NULL || chown(path, owner->uid, owner->gid) == 0)
        return true;
    return error_set(error, ERROR_UNAVAILABLE, "cannot give %s to user %s: %m", path, owner->name);
}

/* `owner`: of a unix socket; NULL: this process's user. */
static int open_socket(const struct config_address *address, mode_t mode, const struct config_user *owner,
                       struct error *error) {
    int family = address->address.ss_family;
    if (family == AF_UNIX && !remove_stale_socket(address, error))
        return -1;
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        error_set(error, ERROR_UNAVAILABLE, "cannot make a socket for %s: %m", address->text);
        return -1;
    }
    bool is_set = family == AF_UNIX || (set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1) &&
                                        set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1) &&
                                        set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1));
    if (family == AF_INET6)
        is_set = is_set && set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    /* The permissions must hold from the first moment on: umask, not a chmod afterwards. */
    mode_t before = umask(family == AF_UNIX ? (mode_t)(~mode & 0777) : 0077);
    bool is_open = is_set && bind(fd, (const struct sockaddr *)&address->address, address->length) == 0;
    umask(before);
    if (!is_open)
        error_set(error, ERROR_UNAVAILABLE, "cannot listen on %s: %m", address->text);
    if (is_open && give_to(address, owner, error))
        return fd;
    close(fd);
    return -1;
}

static struct listener *find(struct listeners *listeners, enum listener_kind kind,
                             const struct config_address *address, unsigned slot) {
    for (size_t i = 0; i < listeners->count; i++) {
        struct listener *listener = &listeners->items[i];
        if (listener->kind == kind && listener->slot == slot &&
            strcmp(listener->address.text, address->text) == 0)
            return listener;
    }
    return NULL;
}

bool listener_listen(const struct listener *listener, struct error *error) {
    return listen(listener->fd, BACKLOG) == 0 ||
           error_set(error, ERROR_UNAVAILABLE, "cannot listen on %s: %m", listener->address.text);
}

static bool want(struct listeners *listeners, enum listener_kind kind, const struct config_address *address,
                 unsigned slot, mode_t mode, const struct config_user *owner, struct error *error) {
    struct listener *listener = find(listeners, kind, address, slot);
    if (listener != NULL) {
        listener->is_next = true;
        return true;
    }
    struct listener *larger = realloc(listeners->items, (listeners->count + 1) * sizeof *larger);
    if (larger == NULL)
        return error_set(error, ERROR_INTERNAL, "out of memory");
    listeners->items = larger;
    int fd = open_socket(address, mode, owner, error);
    if (fd < 0)
        return false;
    larger[listeners->count++] =
        (struct listener){.kind = kind, .address = *address, .slot = slot, .fd = fd, .is_next = true};
    return true;
}

static bool name_in_run_directory(const struct config *config, const char *name,
                                  struct config_address *address, struct error *error) {
    struct sockaddr_un *path = (struct sockaddr_un *)&address->address;
    *address = (struct config_address){.length = sizeof(struct sockaddr_un)};
    path->sun_family = AF_UNIX;
    int length = snprintf(path->sun_path, sizeof path->sun_path, "%s/%s", config->run_directory, name);
    snprintf(address->text, sizeof address->text, "unix:%.110s", path->sun_path);
    return (length > 0 && (size_t)length < sizeof path->sun_path) ||
           error_set(error, ERROR_INVALID, "run_directory is too long for a socket path");
}

static bool want_link(struct listeners *listeners, const struct config *config, unsigned slot,
                      struct error *error) {
    struct config_address address;
    char name[32];
    snprintf(name, sizeof name, "worker-%u.sock", slot);
    return name_in_run_directory(config, name, &address, error) &&
           want(listeners, LISTENER_LINK, &address, slot, 0600, &config->run_as[CONFIG_ADMIN], error);
}

bool listeners_open_next(struct listeners *listeners, const struct config *config, struct error *error) {
    for (unsigned slot = 0; slot < config->workers; slot++) {
        for (size_t i = 0; i < config->https_listen_count; i++)
            if (!want(listeners, LISTENER_HTTPS, &config->https_listen[i], slot, 0, NULL, error))
                return false;
        for (size_t i = 0; i < config->http_listen_count; i++)
            if (!want(listeners, LISTENER_HTTP, &config->http_listen[i], slot, 0, NULL, error))
                return false;
        if (!want_link(listeners, config, slot, error))
            return false;
    }
    return want(listeners, LISTENER_ADMIN, &config->admin_listen, 0, (mode_t)config->admin_socket_mode,
                &config->run_as[CONFIG_ADMIN], error);
}

static void close_one(struct listener *listener) {
    if (listener->address.address.ss_family == AF_UNIX)
        unlink(((const struct sockaddr_un *)&listener->address.address)->sun_path);
    close(listener->fd);
}

static void close_unwanted(struct listeners *listeners) {
    size_t kept = 0;
    for (size_t i = 0; i < listeners->count; i++) {
        if (listeners->items[i].is_wanted)
            listeners->items[kept++] = listeners->items[i];
        else
            close_one(&listeners->items[i]);
    }
    listeners->count = kept;
}

void listeners_take_next(struct listeners *listeners) {
    for (size_t i = 0; i < listeners->count; i++) {
        listeners->items[i].is_wanted = listeners->items[i].is_next;
        listeners->items[i].is_next = false;
    }
    close_unwanted(listeners);
}

void listeners_drop_next(struct listeners *listeners) {
    for (size_t i = 0; i < listeners->count; i++)
        listeners->items[i].is_next = false;
    close_unwanted(listeners);
}

bool listeners_open(struct listeners *listeners, const struct config *config, struct error *error) {
    if (!listeners_open_next(listeners, config, error))
        return false;
    listeners_take_next(listeners);
    for (size_t i = 0; i < listeners->count; i++)
        if (!listener_listen(&listeners->items[i], error))
            return false;
    return true;
}

void listeners_close_all(struct listeners *listeners) {
    for (size_t i = 0; i < listeners->count; i++)
        close_one(&listeners->items[i]);
    free(listeners->items);
    *listeners = (struct listeners){0};
}

static void keep(struct listeners *listeners, bool is_admin, unsigned slot, bool is_next) {
    size_t kept = 0;
    for (size_t i = 0; i < listeners->count; i++) {
        struct listener *listener = &listeners->items[i];
        bool is_of_mine = is_next ? listener->is_next : listener->is_wanted;
        bool is_mine = is_admin ? listener->kind == LISTENER_ADMIN
                                : listener->kind != LISTENER_ADMIN && listener->slot == slot;
        if (is_of_mine && is_mine)
            listeners->items[kept++] = *listener;
        else
            close(listener->fd);
    }
    listeners->count = kept;
}

void listeners_keep_worker(struct listeners *listeners, unsigned slot, bool is_next) {
    keep(listeners, false, slot, is_next);
}

void listeners_keep_admin(struct listeners *listeners, bool is_next) {
    keep(listeners, true, 0, is_next);
}

static bool open_signer_socket(const struct config *config, enum signer_link link, struct signer_sockets *out,
                               struct error *error) {
    struct config_address address;
    const struct config_user *user =
        &config->run_as[link == SIGNER_LINK_OPERATOR ? CONFIG_ADMIN : CONFIG_WORKERS];
    if (!name_in_run_directory(config, signer_socket_name(link), &address, error))
        return false;
    out->users[link] = user->uid;
    out->fds[link] = open_socket(&address, 0600, user, error);
    if (out->fds[link] < 0)
        return false;
    return listen(out->fds[link], BACKLOG) == 0 ||
           error_set(error, ERROR_UNAVAILABLE, "cannot listen on %s: %m", address.text);
}

bool listeners_open_signer(const struct config *config, struct signer_sockets *out, struct error *error) {
    return open_signer_socket(config, SIGNER_LINK_WORKER, out, error) &&
           open_signer_socket(config, SIGNER_LINK_OPERATOR, out, error);
}
