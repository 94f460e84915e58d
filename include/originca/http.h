/* HTTP/1.1 (RFC 9112) over TLS 1.2 and 1.3 (GnuTLS) or in clear, on non-blocking sockets and libevent events.
 *
 * The layer below the resources: connections, limits, deadlines, parsing (http-parser, strict), routing. It
 * knows nothing of ACME, Redis or DNS. A handler gets a whole request and answers it exactly once with
 * http_reply, now or later; the request and its arena live until then, even when the client has left
 * (`has_client_left` says so and the reply is dropped). So a late completion always finds its request, and
 * never a freed one. */
#pragma once

#include <event2/event.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "originca/arena.h"
#include "originca/text.h"

enum http_request_method {
    HTTP_METHOD_GET = 1,
    HTTP_METHOD_HEAD = 2,
    HTTP_METHOD_POST = 4,
    HTTP_METHOD_DELETE = 8,
    HTTP_METHOD_PUT = 16,
    HTTP_METHOD_PATCH = 32
};

#define HTTP_PARAMS_MAX 3
#define HTTP_REQUEST_ID_BYTES 33

struct http_request {
    struct arena *arena;
    char id[HTTP_REQUEST_ID_BYTES]; /* 16 hex digits, in every log line and error reply */
    enum http_request_method method;
    const char *path;  /* as sent, without the query; checked: starts with "/", no NUL, "//" or dot segments
                          (but see  takes_any_tail) */
    const char *query; /* "" where there is none */
    const char *params[HTTP_PARAMS_MAX]; /* what the ":name" pieces of the pattern matched */
    struct bytes body;                   /* whole, NUL follows; empty after http_forget_body */
    struct sockaddr_storage peer;
    char peer_text[64]; /* address without port; "unix" for the admin socket */
    bool is_tls;
    bool has_client_left;
    int64_t received_ms; /* clock_monotonic_ms when the request was whole */
    const struct http_route *route;
    void *service_context; /* of the service that owns the route */
};

/* NULL where absent; field names compare without case. A repeated field gives its first value. */
const char *http_header(const struct http_request *request, const char *name);
/* A query parameter, percent-decoded into the arena; NULL where absent. First one wins. */
const char *http_query_parameter(const struct http_request *request, const char *name);
/* What stands for the `at`th ":name" of the route, percent-decoded into the arena; params[at] is as it was
 * sent. "" without memory. */
const char *http_path_parameter(const struct http_request *request, size_t at);

/* Frees the body: who has read it does not hold it while he waits. */
void http_forget_body(struct http_request *request);

/* Reply headers: up to 16 besides those the layer writes (Date, Content-Length, Connection, HSTS under TLS).
 * Name and value are copied; CR and LF in a value drop the header and log an error. */
void http_reply_header(struct http_request *request, const char *name, const char *value);
/* The same with a time, in the form of HTTP (RFC 9110 5.6.7). */
void http_reply_date(struct http_request *request, const char *name, time_t when);
/* Sends the reply; `body` is copied. HEAD sends headers alone. The request is gone after this call. */
void http_reply(struct http_request *request, unsigned status, const char *content_type, const void *body,
                size_t length);
/* The same without a copy: `body` must stay as it is until `release` is called, also where nobody is sent it.
 */
void http_reply_reference(struct http_request *request, unsigned status, const char *content_type,
                          struct bytes body, void (*release)(void *context), void *context);
/* Does the client have it already (RFC 9110 13.2.2: If-None-Match, else If-Modified-Since)? Also sets ETag
 * and Last-Modified of the reply; `etag` is strong, with its quotes. */
bool http_is_not_modified(struct http_request *request, const char *etag, time_t last_modified) MUST_CHECK;
/* Sends `json` compactly, as application/json; NULL answers 500. Takes no reference. */
void http_reply_json(struct http_request *request, unsigned status, const json_t *json);

struct http_route {
    unsigned methods; /* OR of enum http_request_method; HEAD is served by GET handlers too */
    const char
        *pattern; /* "/acme/order/:id", "/acme/authz/:order/:index" : pieces match whole segments; a final
                   "*" the rest, whatever it is */
    void (*handle)(struct http_request *request);
    const void *data; /* for the handler, via request->route->data */
};

/* A group of routes with one form of error. `fail` answers what the layer itself refuses inside the prefix:
 * 404 no such path, 405 (Allow is set), 413, 415, 400, 408, 431, 503. It must call http_reply. */
struct http_service {
    const char *prefix; /* "/acme/"; "" matches all: put it last */
    const struct http_route *routes;
    size_t route_count;
    uint32_t max_body_bytes; /* 0: the listener's limit */
    /* What stands behind the prefix and a "/" is foreign text rather than a path: it may have empty segments
     * and encoded slashes, and a route takes all of it by a final "*". */
    bool takes_any_tail;
    void (*fail)(struct http_request *request, unsigned status, const char *detail);
    void *context;
};

struct http_limits {
    uint32_t max_connections, max_connections_per_address;
    uint32_t crowd_connections;    /* so many unfinished ones of an address go first when room is needed */
    uint32_t reserved_descriptors; /* of the process, kept free for others; at most a quarter */
    uint32_t handshake_timeout_ms, request_timeout_ms, idle_timeout_ms,
        write_timeout_ms; /* absolute deadlines; the last begins again where enough was taken until then */
    uint32_t min_write_bytes_per_second; /* that is enough */
    uint32_t max_header_bytes, max_body_bytes, max_requests_per_connection;
    /* Of a unix socket: connections of this user's processes are refused. */
    bool has_stranger;
    uid_t stranger;
    uint32_t
        max_request_memory_bytes; /* body, parsed document and all that the handler takes from the arena */
};

struct http_tls; /* server credentials: certificate chain, key, ticket key, priorities */
/* `ticket_key` are 32 bytes shared by all workers; GnuTLS rotates from it. ALPN: http/1.1. */
struct http_tls *http_tls_new(const char *certificate_file, const char *key_file,
                              const uint8_t ticket_key[32], struct error *error);
void http_tls_free(struct http_tls *tls);

struct http_counters { /* of one server, for /metrics; all since start but the two gauges */
    uint64_t accepted, handshakes, handshake_failures, requests, refused_over_limit, closed_for_room,
        timeouts, parse_errors;
    uint64_t bytes_in, bytes_out, tls_resumed;
    uint32_t open_connections, requests_in_progress; /* gauges */
    uint64_t replies_by_class[6];                    /* [2] counts 2xx */
};

struct http_server;
/* Serves `services` on an already bound and listening socket (non-blocking, not owned). `tls` NULL serves in
 * clear. `services` must outlive the server. The limits are copied. Several servers share one event_base. */
struct http_server *http_server_new(struct event_base *base, int listen_fd, struct http_tls *tls,
                                    const struct http_service *services, size_t service_count,
                                    const struct http_limits *limits, struct error *error);
/* Stops accepting. Idle connections have `idle_ms` to bring one more request; every reply says "Connection:
 * close". Calls `drained` (from the loop) once no request and no connection is left, at once where there is
 * none. A second call only changes idle_ms. */
void http_server_drain(struct http_server *server, uint32_t idle_ms, void (*drained)(void *context),
                       void *context);
const struct http_counters *http_server_counters(const struct http_server *server);
/* Closes everything at once. Requests in progress are kept until their handlers reply. */
void http_server_free(struct http_server *server);
