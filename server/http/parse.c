/* The glue to http-parser: fields of the head, limits and bytes of the body. The head was judged by head.c
 * before; a chunked body is read by chunks.c. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static int fail(struct http_exchange *exchange, unsigned status, const char *detail) {
    exchange->failure = status;
    exchange->failure_detail = detail;
    return -1;
}

static struct http_exchange *exchange_of(http_parser *parser) {
    return ((struct http_connection *)parser->data)->exchange;
}

/* http-parser may cut a piece anywhere; the pieces of one name or value follow each other. */
static const char *append(struct arena *arena, const char *before, const char *at, size_t length) {
    if (before == NULL)
        return arena_strndup(arena, at, length);
    return arena_printf(arena, "%s%.*s", before, (int)length, at);
}

static int on_url(http_parser *parser, const char *at, size_t length) {
    struct http_exchange *exchange = exchange_of(parser);
    exchange->request.path = append(exchange->request.arena, exchange->request.path, at, length);
    return exchange->request.path == NULL ? fail(exchange, 503, "out of memory") : 0;
}

static int on_header_field(http_parser *parser, const char *at, size_t length) {
    struct http_exchange *exchange = exchange_of(parser);
    struct http_field *last =
        exchange->header_count == 0 ? NULL : &exchange->headers[exchange->header_count - 1];
    if (last == NULL || last->value != NULL) {
        if (exchange->header_count == HTTP_HEADERS_MAX)
            return fail(exchange, 431, "too many header fields");
        last = &exchange->headers[exchange->header_count++];
        *last = (struct http_field){0};
    }
    last->name = append(exchange->request.arena, last->name, at, length);
    return last->name == NULL ? fail(exchange, 503, "out of memory") : 0;
}

static int on_header_value(http_parser *parser, const char *at, size_t length) {
    struct http_exchange *exchange = exchange_of(parser);
    if (exchange->header_count == 0)
        return 0;
    struct http_field *last = &exchange->headers[exchange->header_count - 1];
    while (last->value == NULL && length > 0 && (*at == ' ' || *at == '\t')) {
        at++;
        length--;
    }
    last->value = append(exchange->request.arena, last->value, at, length);
    return last->value == NULL ? fail(exchange, 503, "out of memory") : 0;
}

static bool take_method(struct http_exchange *exchange, unsigned method) {
    static const struct {
        unsigned theirs;
        enum http_request_method ours;
    } methods[] = {{HTTP_GET, HTTP_METHOD_GET},   {HTTP_HEAD, HTTP_METHOD_HEAD},
                   {HTTP_POST, HTTP_METHOD_POST}, {HTTP_DELETE, HTTP_METHOD_DELETE},
                   {HTTP_PUT, HTTP_METHOD_PUT},   {HTTP_PATCH, HTTP_METHOD_PATCH}};
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++)
        if (methods[i].theirs == method) {
            exchange->request.method = methods[i].ours;
            return true;
        }
    return false;
}

static bool split_target(struct http_exchange *exchange) {
    struct http_request *request = &exchange->request;
    const char *mark = strchr(request->path, '?');
    request->query = mark == NULL ? "" : mark + 1;
    if (mark != NULL)
        request->path = arena_strndup(request->arena, request->path, (size_t)(mark - request->path));
    return request->path != NULL;
}

static int on_headers_complete(http_parser *parser) {
    struct http_exchange *exchange = exchange_of(parser);
    struct http_request *request = &exchange->request;
    exchange->is_head_complete = true;
    exchange->must_close = !http_should_keep_alive(parser) || parser->http_minor == 0;
    if (request->path == NULL || !split_target(exchange))
        return fail(exchange, 503, "out of memory");
    const struct http_service *service = http_find_service(exchange->server, request->path);
    const char *complaint = http_path_check(http_checked_path(service, request->path));
    if (complaint != NULL)
        return fail(exchange, 400, complaint);
    exchange->service = service;
    if (!take_method(exchange, parser->method))
        return fail(exchange, 501, "this method is not implemented");
    if (parser->upgrade || http_header(request, "Upgrade") != NULL)
        parser->upgrade = 0; /* an upgrade is an offer that a server may ignore (RFC 9110 7.8) */
    exchange->body_limit = exchange->server->limits.max_body_bytes;
    if (exchange->service != NULL && exchange->service->max_body_bytes != 0)
        exchange->body_limit = exchange->service->max_body_bytes;
    bool has_length = parser->content_length != UINT64_MAX && parser->content_length > 0;
    if (has_length && parser->content_length > exchange->body_limit)
        return fail(exchange, 413, "the body is larger than allowed");
    exchange->body_announced = has_length ? (size_t)parser->content_length : 0;
    const char *expect = http_header(request, "Expect");
    if (expect != NULL && strcasecmp(expect, "100-continue") != 0)
        return fail(exchange, 417, "only 100-continue can be expected");
    exchange->is_chunked = (parser->flags & F_CHUNKED) != 0;
    exchange->wants_continue =
        expect != NULL && parser->http_minor >= 1 && (has_length || exchange->is_chunked);
    return exchange->is_chunked ? 1 : 0; /* 1: http-parser is not to look for a body */
}

bool http_body_append(struct http_exchange *exchange, const char *at, size_t length) {
    if (length > exchange->body_limit - exchange->body_length) {
        fail(exchange, 413, "the body is larger than allowed");
        return false;
    }
    if (exchange->body_length + length + 1 > exchange->body_capacity) {
        size_t capacity = exchange->body_capacity * 2;
        if (capacity < exchange->body_length + length + 1)
            capacity = exchange->body_length + length + 1;
        if (capacity < exchange->body_announced + 1)
            capacity = exchange->body_announced + 1;
        size_t growth = capacity - exchange->body_capacity;
        bool is_allowed = arena_charge(exchange->request.arena, growth);
        uint8_t *larger = is_allowed ? realloc(exchange->body, capacity) : NULL;
        if (larger == NULL) {
            if (is_allowed)
                arena_credit(exchange->request.arena, growth);
            fail(exchange, 503, "out of memory");
            return false;
        }
        exchange->body = larger;
        exchange->body_capacity = capacity;
    }
    memcpy(exchange->body + exchange->body_length, at, length);
    exchange->body_length += length;
    exchange->body[exchange->body_length] = '\0';
    return true;
}

static int on_body(http_parser *parser, const char *at, size_t length) {
    return http_body_append(exchange_of(parser), at, length) ? 0 : -1;
}

static int on_message_complete(http_parser *parser) {
    exchange_of(parser)->is_complete = !exchange_of(parser)->is_chunked;
    http_parser_pause(parser, 1); /* what follows is the next request */
    return 0;
}

static const http_parser_settings settings = {
    .on_url = on_url,
    .on_header_field = on_header_field,
    .on_header_value = on_header_value,
    .on_headers_complete = on_headers_complete,
    .on_body = on_body,
    .on_message_complete = on_message_complete,
};

void http_parse_begin(struct http_connection *connection) {
    http_parser_init(&connection->parser, HTTP_REQUEST);
    connection->parser.data = connection;
}

size_t http_parse_feed(struct http_connection *connection, const char *bytes, size_t length) {
    struct http_exchange *exchange = connection->exchange;
    size_t used = 0;
    if (!exchange->is_chunked) {
        used = http_parser_execute(&connection->parser, &settings, bytes, length);
        enum http_errno problem = HTTP_PARSER_ERRNO(&connection->parser);
        if (exchange->failure == 0 && problem != HPE_OK && problem != HPE_PAUSED)
            fail(exchange, 400, http_errno_description(problem));
    }
    if (exchange->is_chunked && exchange->failure == 0)
        used += http_chunks_feed(exchange, bytes + used, length - used);
    return used;
}
