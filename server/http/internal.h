/* What the files of the HTTP layer share: connection and exchange. */
#pragma once

#include <event2/buffer.h>
#include <event2/event.h>
#include <gnutls/gnutls.h>
#include <http_parser.h>
#include <sys/queue.h>

#include "originca/http.h"

#define HTTP_HEADERS_MAX 64
#define HTTP_REPLY_HEADERS_MAX 16
#define HTTP_DATE_FORMAT "%a, %d %b %Y %H:%M:%S GMT" /* IMF-fixdate (RFC 9110 5.6.7) */

struct http_field {
    const char *name, *value;
};

/* Where a chunked body stands (chunks.c). */
struct http_chunks {
    unsigned state, digits;
    uint64_t left;  /* of the chunk's data */
    size_t dropped; /* bytes of extensions and trailers */
};

/* A request with what the layer keeps beside it; lives in its own arena until http_reply. */
struct http_exchange {
    struct http_request request;        /* first: the two are converted into each other */
    struct http_connection *connection; /* NULL once the client has left */
    struct http_server *server;
    struct http_field headers[HTTP_HEADERS_MAX];
    size_t header_count;
    struct http_field reply_headers[HTTP_REPLY_HEADERS_MAX];
    size_t reply_header_count;
    const struct http_service *service;
    uint8_t *body;
    size_t body_length, body_capacity, body_limit, body_announced;
    struct http_chunks chunks;
    bool wants_continue, is_head_complete, is_chunked, is_complete, must_close;
    unsigned failure; /* status that parsing decided on; 0: none */
    const char *failure_detail;
};

enum connection_state {
    CONNECTION_HANDSHAKE,
    CONNECTION_READING,  /* idle between requests, or inside one */
    CONNECTION_HANDLING, /* a handler has the request; nothing is read */
    CONNECTION_WRITING,
    CONNECTION_LINGERING, /* reply sent, write side closed: what still comes is thrown away for a moment */
};

/* Where a connection stands among those that may be closed to make room (room.c). */
enum room {
    ROOM_NONE,       /* its request is in work: never closed */
    ROOM_UNFINISHED, /* a handshake, a half-sent request, or no finished request yet */
    ROOM_IDLE,       /* between requests */
    ROOM_STALLED,    /* its reply is not taken */
};

struct http_connection {
    struct http_server *server;
    TAILQ_ENTRY(http_connection) entry;
    enum room room;
    TAILQ_ENTRY(http_connection) room_entry, address_entry;
    int fd;
    enum connection_state state;
    gnutls_session_t session;
    struct event *on_readable, *on_writable, *on_deadline;
    char *in; /* bytes read and not parsed; freed while empty */
    size_t in_length, in_capacity;
    struct evbuffer *out;
    http_parser parser;
    struct http_exchange *exchange; /* being read or handled */
    struct address_count *address;
    char peer_text[64];
    struct sockaddr_storage peer;
    uint32_t requests;
    unsigned empty_lines; /* before the request that is awaited */
    size_t lingered;
    uint64_t taken; /* bytes of the reply since its deadline was set */
    bool is_closing, has_begun_request, is_inside_read, peer_has_ended;
};

struct http_server {
    struct event_base *base;
    int fd, spare_fd;
    struct event *on_connection, *on_drained, *on_accept_again;
    struct http_tls *tls; /* a reference; outlives every connection */
    const struct http_service *services;
    size_t service_count;
    struct http_limits limits;
    struct http_counters counters;
    struct address_table *addresses;
    TAILQ_HEAD(connections, http_connection) connections;
    struct connections waiting, stalled; /* those that may be closed; the longest wait first */
    TAILQ_ENTRY(http_server) process_entry;
    bool is_draining, is_freed, has_drained;
    uint32_t drain_idle_ms;
    void (*drained)(void *context);
    void *drained_context;
};

/* addresses.c: connections of each client address (IPv6: of each /64) */
#define ADDRESS_BUCKETS 1024
#define CROWD_LEVELS 257 /* crowd_connections is at most 256 */

struct address_count {
    struct address_count *next;
    uint8_t key[17]; /* family and address */
    uint32_t bucket, count;
    TAILQ_HEAD(, http_connection) unfinished, idle; /* of them; the longest wait first */
    uint32_t unfinished_count;
    TAILQ_ENTRY(address_count) crowd_entry;
};

struct address_table {
    uint64_t seed;
    struct address_count *buckets[ADDRESS_BUCKETS];
    TAILQ_HEAD(, address_count) crowds[CROWD_LEVELS]; /* by unfinished_count; 0 is not kept */
    uint32_t highest;                                 /* level that holds an address; 0: none */
};

struct address_table *address_table_new(void);
void address_table_free(struct address_table *table);
/* NULL where the address holds no connection. */
struct address_count *address_table_find(const struct address_table *table,
                                         const struct sockaddr_storage *peer);
/* Counts one more; NULL when memory is out. */
struct address_count *address_table_enter(struct address_table *table, const struct sockaddr_storage *peer);
void address_table_leave(struct address_table *table, struct address_count *count);

/* room.c: who is closed when there is no room */
void room_enter(struct http_connection *connection, enum room room); /* behind those who wait longer */
void room_leave(struct http_connection *connection);
/* The oldest unfinished connection of the address that has the most, where it has crowd_connections of them;
 * else the one that waits longest. NULL where every connection has a request in work. */
struct http_connection *room_find(struct http_server *server);
struct http_connection *room_find_of_address(const struct address_count *address);

/* tls.c */
void http_tls_hold(struct http_tls *tls);
gnutls_session_t http_tls_start(struct http_tls *tls, int fd);

/* head.c: judges the raw bytes of a request head, up to and with the empty line. NULL where they are fine,
 * else what is wrong; *status is 400, 431 or 505. */
const char *http_head_check(const char *head, size_t length, unsigned *status);
/* The same for the target's path. */
const char *http_path_check(const char *path);

/* A character of a method or a field's name (RFC 9110 5.6.2). */
bool http_is_token_character(unsigned char c);

/* chunks.c: takes bytes of a chunked body; returns how many were used, none behind its end. Sets is_complete
 * or failure on the exchange. */
size_t http_chunks_feed(struct http_exchange *exchange, const char *bytes, size_t length);

/* parse.c */
/* False where the body gets too large or memory is out: the failure is set. */
bool http_body_append(struct http_exchange *exchange, const char *at, size_t length);
void http_parse_begin(struct http_connection *connection);
/* Feeds bytes; returns how many were used. Sets is_complete or failure on the exchange. */
size_t http_parse_feed(struct http_connection *connection, const char *bytes, size_t length);

/* router.c: finds service and route, fills params. False where nothing matches: *status is 404 or 405 (Allow
 * is set). */
const struct http_service *http_find_service(const struct http_server *server, const char *path);
/* What of the path has to be one: nothing behind the prefix of a service that takes_any_tail. */
const char *http_checked_path(const struct http_service *service, const char *path);
bool http_route(struct http_exchange *exchange, unsigned *status);
const char *http_method_names(unsigned methods, char *out, size_t size);

/* connection.c */
void http_connection_new(struct http_server *server, int fd, const struct sockaddr_storage *peer);
void http_connection_close(struct http_connection *connection);
/* Closes it for another; a TLS client is told that this is the end. */
void http_connection_evict(struct http_connection *connection);
/* The reply is in `out`: send it, then go on or close. */
void http_connection_send(struct http_connection *connection);
bool http_connection_is_idle(const struct http_connection *connection);
/* Sets the deadline by which the next request must begin. */
void http_connection_await_request(struct http_connection *connection);

/* server.c */
struct http_exchange *http_exchange_new(struct http_connection *connection);
/* Called when a connection is gone or a reply was given: tells `drained` when it was the last. */
void http_server_check_drained(struct http_server *server);
void http_exchange_free(struct http_exchange *exchange);
