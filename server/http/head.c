/* What a request head may look like (RFC 9112), judged on the raw bytes before http-parser sees them.
 * http-parser forgives shapes that two parsers read differently, which is how requests are smuggled; here
 * they are all refused. */
#include "internal.h"

#include <string.h>
#include <strings.h>

bool http_is_token_character(unsigned char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

/* Every LF follows a CR, every CR comes before an LF; no other control characters but HTAB in values. */
static const char *check_characters(const char *head, size_t length) {
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)head[i];
        if (c == '\r') {
            if (i + 1 == length || head[i + 1] != '\n')
                return "a bare CR in the head";
        } else if (c == '\n') {
            if (i == 0 || head[i - 1] != '\r')
                return "a bare LF in the head";
        } else if ((c < 0x20 && c != '\t') || c == 0x7F) {
            return "a control character in the head";
        }
    }
    return NULL;
}

static const char *check_request_line(const char *line, size_t length, unsigned *status) {
    size_t method = 0;
    while (method < length && http_is_token_character((unsigned char)line[method]))
        method++;
    if (method == 0 || method == length || line[method] != ' ')
        return "no request line";
    const char *target = line + method + 1;
    const char *space = memchr(target, ' ', length - method - 1);
    if (space == NULL || length - (size_t)(space + 1 - line) != 8)
        return "no HTTP version in the request line";
    if (strncmp(space + 1, "HTTP/1.1", 8) != 0 && strncmp(space + 1, "HTTP/1.0", 8) != 0) {
        *status = 505;
        return "only HTTP/1.1 is spoken here";
    }
    for (const char *p = target; p < space; p++)
        if ((unsigned char)*p <= 0x20 || (unsigned char)*p >= 0x7F)
            return "a character in the target that must be percent-encoded";
    if (*target != '/')
        return "the target must begin with a slash";
    return NULL;
}

static bool is_digits(const char *text, size_t length) {
    for (size_t i = 0; i < length; i++)
        if (text[i] < '0' || text[i] > '9')
            return false;
    return length > 0 && length <= 15;
}

/* RFC 9112 3.2: a value that is no host must be refused. We never use it, but a proxy before us may. */
static bool is_host(const char *text, size_t length) {
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        bool is_alphanumeric = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!is_alphanumeric && strchr("-._~%!$&'()*+;=:[]", c) == NULL)
            return false;
    }
    return true;
}

struct field_counts {
    unsigned host, content_length, transfer_encoding;
};

static const char *check_field(const char *line, size_t length, struct field_counts *counts) {
    size_t name = 0;
    if (line[0] == ' ' || line[0] == '\t')
        return "a folded header field";
    while (name < length && http_is_token_character((unsigned char)line[name]))
        name++;
    if (name == 0 || name == length || line[name] != ':')
        return "a header field without a proper name";
    const char *value = line + name + 1;
    size_t left = length - name - 1;
    while (left > 0 && (*value == ' ' || *value == '\t')) {
        value++;
        left--;
    }
    while (left > 0 && (value[left - 1] == ' ' || value[left - 1] == '\t'))
        left--;
    if (name == 4 && strncasecmp(line, "Host", 4) == 0) {
        if (counts->host++ > 0)
            return "two Host fields";
        if (!is_host(value, left))
            return "a Host that is no host";
    }
    if (name == 14 && strncasecmp(line, "Content-Length", 14) == 0) {
        if (counts->content_length++ > 0)
            return "two Content-Length fields";
        if (!is_digits(value, left))
            return "a Content-Length that is no number";
    }
    if (name == 17 && strncasecmp(line, "Transfer-Encoding", 17) == 0) {
        if (counts->transfer_encoding++ > 0 || left != 7 || strncasecmp(value, "chunked", 7) != 0)
            return "a Transfer-Encoding other than chunked";
    }
    return NULL;
}

const char *http_head_check(const char *head, size_t length, unsigned *status) {
    struct field_counts counts = {0};
    bool is_http_1_0 = false;
    *status = 400;
    const char *complaint = check_characters(head, length);
    if (complaint != NULL)
        return complaint;
    const char *line = head, *end = head + length;
    for (unsigned number = 0; line < end; number++) {
        const char *stop = memmem(line, (size_t)(end - line), "\r\n", 2);
        if (stop == NULL)
            return "an unfinished line";
        size_t size = (size_t)(stop - line);
        if (size == 0 && number > 0)
            break;
        complaint = number == 0 ? check_request_line(line, size, status) : check_field(line, size, &counts);
        if (complaint != NULL)
            return complaint;
        if (number == 0)
            is_http_1_0 = line[size - 1] == '0';
        if (number > HTTP_HEADERS_MAX) {
            *status = 431;
            return "too many header fields";
        }
        line = stop + 2;
    }
    if (counts.host == 0 && !is_http_1_0)
        return "no Host field";
    if (counts.content_length > 0 && counts.transfer_encoding > 0)
        return "both Content-Length and Transfer-Encoding";
    if (counts.transfer_encoding > 0 && is_http_1_0)
        return "Transfer-Encoding in HTTP/1.0";
    return NULL;
}

/* No empty or dot segments, no encoded slash, NUL or dot: one path has one spelling. */
const char *http_path_check(const char *path) {
    for (const char *p = path; *p != '\0'; p++) {
        if (*p == '/' && p[1] == '/')
            return "an empty path segment";
        if (*p == '/' && p[1] == '.' &&
            (p[2] == '/' || p[2] == '\0' || (p[2] == '.' && (p[3] == '/' || p[3] == '\0'))))
            return "a dot segment in the path";
        if (*p == '\\' || *p == '#')
            return "a character in the path that does not belong there";
        if (*p != '%')
            continue;
        uint8_t byte;
        char digits[3] = {p[1], p[1] == '\0' ? '\0' : p[2], '\0'};
        if (!hex_decode(digits, &byte, 1))
            return "a broken percent-encoding in the path";
        if (byte < 0x20 || byte == 0x7F || byte == '/' || byte == '\\' || byte == '.')
            return "an encoded character in the path that must not be encoded";
    }
    return NULL;
}
