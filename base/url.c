/* URLs in normal form. */
#include "originca/url.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <gnutls/gnutls.h>

#include "originca/text.h"

#define HOST_MAX 1000 /* as written: U-labels are longer in UTF-8 */

static const char *lower(struct arena *arena, const char *text, size_t length) {
    char *copy = arena_alloc(arena, length + 1);
    for (size_t i = 0; copy != NULL && i < length; i++)
        copy[i] = (char)tolower((unsigned char)text[i]);
    return copy;
}

static bool is_host(const char *host) {
    size_t label = 0, length = strlen(host);
    for (size_t i = 0; i <= length; i++) {
        if (host[i] == '.' || host[i] == '\0') {
            if (label == 0 || label > 63 || host[i - 1] == '-')
                return false;
            label = 0;
            continue;
        }
        bool is_letter = islower((unsigned char)host[i]) || isdigit((unsigned char)host[i]);
        if (!is_letter && (host[i] != '-' || label == 0))
            return false;
        label++;
    }
    return length <= 253;
}

static const char *normal_host(struct arena *arena, const char *text, size_t length) {
    struct in6_addr address;
    gnutls_datum_t ascii = {0};
    if (length == 0 || length > HOST_MAX)
        return NULL;
    const char *host = lower(arena, text, length);
    if (host == NULL)
        return NULL;
    if (host[0] == '[' && host[length - 1] == ']') {
        char written[INET6_ADDRSTRLEN];
        const char *inner = arena_strndup(arena, host + 1, length - 2);
        return inner != NULL && inet_pton(AF_INET6, inner, &address) == 1 &&
                       inet_ntop(AF_INET6, &address, written, sizeof written) != NULL
                   ? arena_printf(arena, "[%s]", written)
                   : NULL;
    }
    if (gnutls_idna_map(host, (unsigned)length, &ascii, 0) < 0)
        return NULL;
    const char *mapped = lower(arena, (const char *)ascii.data, ascii.size);
    gnutls_free(ascii.data);
    return mapped != NULL && is_host(mapped) ? mapped : NULL;
}

/* ":443/path" or "/path": the port, 0 for none; `*rest` is what follows it. */
static bool take_port(const char *text, unsigned *port, const char **rest) {
    *port = 0;
    *rest = text;
    if (*text != ':')
        return true;
    char *end;
    if (!isdigit((unsigned char)text[1]))
        return false;
    unsigned long value = strtoul(text + 1, &end, 10);
    *port = (unsigned)value;
    *rest = end;
    return value >= 1 && value <= 65535;
}

static bool is_tail(const char *text) {
    if (*text != '\0' && strchr("/?#", *text) == NULL)
        return false;
    for (; *text != '\0'; text++)
        if (*text <= 0x20 || *text >= 0x7F || strchr("\"<>\\^`{|}", *text) != NULL)
            return false;
    return true;
}

const char *url_normal_form(struct arena *arena, const char *text) {
    bool is_https = strncasecmp(text, "https://", 8) == 0;
    if (!is_https && strncasecmp(text, "http://", 7) != 0)
        return NULL;
    const char *authority = text + (is_https ? 8 : 7);
    size_t length = *authority == '[' ? strcspn(authority, "]") + 1 : strcspn(authority, ":/?#");
    if (length > strlen(authority))
        return NULL;
    unsigned port;
    const char *rest, *host = normal_host(arena, authority, length);
    if (host == NULL || !take_port(authority + length, &port, &rest) || !is_tail(rest))
        return NULL;
    const char *scheme = is_https ? "https" : "http";
    if (port == 0 || port == (is_https ? 443 : 80))
        return arena_printf(arena, "%s://%s%s", scheme, host, rest);
    return arena_printf(arena, "%s://%s:%u%s", scheme, host, port, rest);
}

bool url_equal(struct arena *arena, const char *a, const char *b) {
    if (strcmp(a, b) == 0)
        return true;
    const char *left = url_normal_form(arena, a), *right = url_normal_form(arena, b);
    return left != NULL && right != NULL && strcmp(left, right) == 0;
}
