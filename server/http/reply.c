/* Replies: fields, body, and the end of the exchange. */
#include "internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "originca/json.h"
#include "originca/log.h"

#define DATE_TEXT_MAX 40

static const char *reason_of(unsigned status) {
    static const struct {
        unsigned status;
        const char *reason;
    } reasons[] = {{200, "OK"},
                   {201, "Created"},
                   {204, "No Content"},
                   {301, "Moved Permanently"},
                   {302, "Found"},
                   {304, "Not Modified"},
                   {400, "Bad Request"},
                   {401, "Unauthorized"},
                   {403, "Forbidden"},
                   {404, "Not Found"},
                   {405, "Method Not Allowed"},
                   {408, "Request Timeout"},
                   {409, "Conflict"},
                   {413, "Content Too Large"},
                   {415, "Unsupported Media Type"},
                   {417, "Expectation Failed"},
                   {429, "Too Many Requests"},
                   {431, "Request Header Fields Too Large"},
                   {500, "Internal Server Error"},
                   {501, "Not Implemented"},
                   {503, "Service Unavailable"},
                   {505, "HTTP Version Not Supported"}};
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++)
        if (reasons[i].status == status)
            return reasons[i].reason;
    return "Status";
}

static void format_date(time_t when, char text[DATE_TEXT_MAX]) {
    struct tm parts;
    gmtime_r(&when, &parts);
    strftime(text, DATE_TEXT_MAX, HTTP_DATE_FORMAT, &parts);
}

/* The date changes once a second; every reply carries it (RFC 9110 6.6.1). */
static const char *current_date(void) {
    static time_t formatted_for;
    static char text[DATE_TEXT_MAX];
    time_t now = time(NULL);
    if (now != formatted_for) {
        format_date(now, text);
        formatted_for = now;
    }
    return text;
}

const char *http_header(const struct http_request *request, const char *name) {
    const struct http_exchange *exchange = (const struct http_exchange *)request;
    for (size_t i = 0; i < exchange->header_count; i++)
        if (exchange->headers[i].name != NULL && strcasecmp(exchange->headers[i].name, name) == 0)
            return exchange->headers[i].value == NULL ? "" : exchange->headers[i].value;
    return NULL;
}

static char *decode_percent(struct arena *arena, const char *text, size_t length, char plus) {
    char *out = arena_strndup(arena, text, length), *write = out;
    for (const char *read = out; out != NULL && *read != '\0';) {
        char digits[3] = {read[0] == '%' ? read[1] : '\0', read[0] == '%' && read[1] != '\0' ? read[2] : '\0',
                          '\0'};
        uint8_t byte;
        if (read[0] == '%' && hex_decode(digits, &byte, 1) && byte != 0) {
            *write++ = (char)byte;
            read += 3;
        } else {
            *write++ = *read == '+' ? plus : *read;
            read++;
        }
    }
    if (write != NULL)
        *write = '\0';
    return out;
}

const char *http_query_parameter(const struct http_request *request, const char *name) {
    size_t name_length = strlen(name);
    for (const char *pair = request->query; *pair != '\0';) {
        size_t length = strcspn(pair, "&");
        if (length >= name_length && strncmp(pair, name, name_length) == 0 &&
            (pair[name_length] == '=' || length == name_length)) {
            size_t skip = length == name_length ? name_length : name_length + 1;
            return decode_percent(request->arena, pair + skip, length - skip, ' ');
        }
        pair += length + (pair[length] == '&' ? 1 : 0);
    }
    return NULL;
}

const char *http_path_parameter(const struct http_request *request, size_t at) {
    const char *text = request->params[at];
    const char *decoded = text == NULL ? NULL : decode_percent(request->arena, text, strlen(text), '+');
    return decoded == NULL ? "" : decoded;
}

void http_reply_header(struct http_request *request, const char *name, const char *value) {
    struct http_exchange *exchange = (struct http_exchange *)request;
    if (strpbrk(value, "\r\n") != NULL || exchange->reply_header_count == HTTP_REPLY_HEADERS_MAX) {
        log_event(LOG_LEVEL_ERROR, "a reply header was dropped", "request", request->id, "name", name, NULL);
        return;
    }
    struct http_field field = {arena_strdup(request->arena, name), arena_strdup(request->arena, value)};
    if (field.name != NULL && field.value != NULL)
        exchange->reply_headers[exchange->reply_header_count++] = field;
}

void http_reply_date(struct http_request *request, const char *name, time_t when) {
    char text[DATE_TEXT_MAX];
    format_date(when, text);
    http_reply_header(request, name, text);
}

static void write_head(struct http_exchange *exchange, unsigned status, const char *content_type,
                       size_t length) {
    struct http_connection *connection = exchange->connection;
    struct evbuffer *out = connection->out;
    evbuffer_add_printf(out, "HTTP/1.1 %u %s\r\nDate: %s\r\n", status, reason_of(status), current_date());
    if (status != 204 && status != 304)
        evbuffer_add_printf(out, "Content-Length: %zu\r\n", length);
    if (content_type != NULL)
        evbuffer_add_printf(out, "Content-Type: %s\r\n", content_type);
    for (size_t i = 0; i < exchange->reply_header_count; i++)
        evbuffer_add_printf(out, "%s: %s\r\n", exchange->reply_headers[i].name,
                            exchange->reply_headers[i].value);
    if (connection->session != NULL)
        evbuffer_add_printf(out, "Strict-Transport-Security: max-age=31536000\r\n");
    evbuffer_add_printf(out, "X-Content-Type-Options: nosniff\r\n%s\r\n",
                        connection->is_closing ? "Connection: close\r\n" : "");
}

/* The exchange ends; the body is what `add` puts behind the head. */
static void reply_with(struct http_request *request, unsigned status, const char *content_type, size_t length,
                       void (*add)(struct evbuffer *out, const void *context), const void *context) {
    struct http_exchange *exchange = (struct http_exchange *)request;
    struct http_connection *connection = exchange->connection;
    struct http_server *server = exchange->server;
    server->counters.requests_in_progress--;
    server->counters.replies_by_class[status / 100 < 6 ? status / 100 : 5]++;
    if (connection != NULL) {
        if (server->is_draining)
            connection->is_closing = true;
        write_head(exchange, status, content_type, length);
        if (request->method != HTTP_METHOD_HEAD && status != 204 && status != 304)
            add(connection->out, context);
        connection->exchange = NULL;
    }
    http_exchange_free(exchange);
    if (connection != NULL)
        http_connection_send(connection);
    else
        http_server_check_drained(server);
}

static void add_copy(struct evbuffer *out, const void *context) {
    const struct bytes *body = context;
    evbuffer_add(out, body->data, body->length);
}

void http_reply(struct http_request *request, unsigned status, const char *content_type, const void *body,
                size_t length) {
    const struct bytes whole = {body, length};
    reply_with(request, status, content_type, length, add_copy, &whole);
}

struct reference {
    struct bytes body;
    void (*release)(void *context);
    void *context;
    bool *is_held;
};

static void let_go(const void *data, size_t length, void *context) {
    struct reference *reference = context;
    (void)data;
    (void)length;
    reference->release(reference->context);
    free(reference);
}

static void add_reference(struct evbuffer *out, const void *context) {
    const struct reference *given = context;
    struct reference *reference = malloc(sizeof *reference);
    if (reference == NULL)
        return;
    *reference = *given;
    if (evbuffer_add_reference(out, given->body.data, given->body.length, let_go, reference) == 0)
        *given->is_held = true;
    else
        free(reference);
}

void http_reply_reference(struct http_request *request, unsigned status, const char *content_type,
                          struct bytes body, void (*release)(void *context), void *context) {
    bool is_held = false;
    const struct reference reference = {body, release, context, &is_held};
    reply_with(request, status, content_type, body.length, add_reference, &reference);
    if (!is_held)
        release(context);
}

void http_reply_json(struct http_request *request, unsigned status, const json_t *json) {
    char *text = json == NULL ? NULL : json_to_text(request->arena, json);
    if (text == NULL) {
        static const char failure[] = "{\"error\":\"out of memory\"}";
        http_reply(request, 500, "application/json", failure, sizeof failure - 1);
        return;
    }
    http_reply(request, status, "application/json", text, strlen(text));
}
