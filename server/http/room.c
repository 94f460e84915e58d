/* Who makes room when there is none: every connection that may be closed stands in queues, longest wait
 * first.
 *
 * One that waits for its client (a handshake, a request, a half-sent one) stands in the server's `waiting`
 * and in its address's `unfinished` or `idle`; one whose reply is not taken stands in `stalled`. One whose
 * request is in work stands nowhere. Addresses are sorted by how many unfinished ones they have. So entering,
 * leaving and finding cost the same however many connections there are. */
#include "internal.h"

#include <sys/ioctl.h>

#define LOOKED_AT_MAX 8

static void count_unfinished(struct address_table *table, struct address_count *address, int change) {
    uint32_t before = address->unfinished_count, after = before + (uint32_t)change;
    uint32_t old_level = before < CROWD_LEVELS ? before : CROWD_LEVELS - 1,
             level = after < CROWD_LEVELS ? after : CROWD_LEVELS - 1;
    address->unfinished_count = after;
    if (old_level == level)
        return;
    if (old_level > 0)
        TAILQ_REMOVE(&table->crowds[old_level], address, crowd_entry);
    if (level > 0)
        TAILQ_INSERT_TAIL(&table->crowds[level], address, crowd_entry);
    if (level > table->highest)
        table->highest = level;
    while (table->highest > 0 && TAILQ_EMPTY(&table->crowds[table->highest]))
        table->highest--;
}

void room_leave(struct http_connection *connection) {
    struct http_server *server = connection->server;
    struct address_count *address = connection->address;
    switch (connection->room) {
    case ROOM_NONE:
        return;
    case ROOM_UNFINISHED:
        TAILQ_REMOVE(&server->waiting, connection, room_entry);
        TAILQ_REMOVE(&address->unfinished, connection, address_entry);
        count_unfinished(server->addresses, address, -1);
        break;
    case ROOM_IDLE:
        TAILQ_REMOVE(&server->waiting, connection, room_entry);
        TAILQ_REMOVE(&address->idle, connection, address_entry);
        break;
    case ROOM_STALLED:
        TAILQ_REMOVE(&server->stalled, connection, room_entry);
        break;
    }
    connection->room = ROOM_NONE;
}

void room_enter(struct http_connection *connection, enum room room) {
    struct http_server *server = connection->server;
    struct address_count *address = connection->address;
    room_leave(connection);
    connection->room = room;
    if (room == ROOM_STALLED) {
        TAILQ_INSERT_TAIL(&server->stalled, connection, room_entry);
        return;
    }
    TAILQ_INSERT_TAIL(&server->waiting, connection, room_entry);
    if (room == ROOM_UNFINISHED) {
        TAILQ_INSERT_TAIL(&address->unfinished, connection, address_entry);
        count_unfinished(server->addresses, address, 1);
    } else {
        TAILQ_INSERT_TAIL(&address->idle, connection, address_entry);
    }
}

/* A request that is on its way and not read yet is in work as far as its client can tell: the first one of a
 * connection too. */
static bool has_unread(const struct http_connection *connection) {
    int unread = 0;
    return ioctl(connection->fd, FIONREAD, &unread) == 0 && unread > 0;
}

struct http_connection *room_find(struct http_server *server) {
    struct address_table *table = server->addresses;
    struct address_count *crowd = TAILQ_FIRST(&table->crowds[table->highest]);
    if (crowd != NULL && crowd->unfinished_count >= server->limits.crowd_connections)
        return TAILQ_FIRST(&crowd->unfinished);
    struct http_connection *found = TAILQ_FIRST(&server->waiting);
    for (unsigned i = 0; found != NULL && i < LOOKED_AT_MAX && has_unread(found); i++)
        found = TAILQ_NEXT(found, room_entry);
    return found != NULL ? found : TAILQ_FIRST(&server->stalled);
}

struct http_connection *room_find_of_address(const struct address_count *address) {
    struct http_connection *first = TAILQ_FIRST(&address->unfinished);
    return first != NULL ? first : TAILQ_FIRST(&address->idle);
}
