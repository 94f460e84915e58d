/* From path to handler: services by prefix, routes by whole segments. */
#include "internal.h"

#include <stdio.h>
#include <string.h>

const struct http_service *http_find_service(const struct http_server *server, const char *path) {
    for (size_t i = 0; i < server->service_count; i++)
        if (strncmp(path, server->services[i].prefix, strlen(server->services[i].prefix)) == 0)
            return &server->services[i];
    return NULL;
}

const char *http_checked_path(const struct http_service *service, const char *path) {
    size_t prefix = service == NULL ? 0 : strlen(service->prefix);
    return prefix > 0 && service->takes_any_tail && path[prefix] == '/' ? "/" : path;
}

/* ":name" matches one segment that is not empty, "*" all that is left; anything else matches itself. */
static bool match(struct http_exchange *exchange, const char *pattern) {
    const char *path = exchange->request.path;
    size_t params = 0;
    const char *values[HTTP_PARAMS_MAX];
    size_t lengths[HTTP_PARAMS_MAX];
    while (*pattern != '\0') {
        if (*pattern == '*' && params < HTTP_PARAMS_MAX) {
            values[params] = path;
            lengths[params++] = strlen(path);
            path += strlen(path);
            break;
        }
        if (*pattern != ':') {
            if (*pattern++ != *path++)
                return false;
            continue;
        }
        pattern += strcspn(pattern, "/");
        size_t length = strcspn(path, "/");
        if (length == 0 || params == HTTP_PARAMS_MAX)
            return false;
        values[params] = path;
        lengths[params++] = length;
        path += length;
    }
    if (*path != '\0')
        return false;
    for (size_t i = 0; i < params; i++)
        if ((exchange->request.params[i] = arena_strndup(exchange->request.arena, values[i], lengths[i])) ==
            NULL)
            return false;
    return true;
}

const char *http_method_names(unsigned methods, char *out, size_t size) {
    static const char *const names[] = {"GET", "HEAD", "POST", "DELETE", "PUT", "PATCH"};
    size_t length = 0;
    out[0] = '\0';
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if ((methods & 1u << i) != 0 && length < size)
            length +=
                (size_t)snprintf(out + length, size - length, "%s%s", length == 0 ? "" : ", ", names[i]);
    return out;
}

bool http_route(struct http_exchange *exchange, unsigned *status) {
    unsigned allowed = 0;
    char names[64];
    for (size_t i = 0; i < exchange->service->route_count; i++) {
        const struct http_route *route = &exchange->service->routes[i];
        if (!match(exchange, route->pattern))
            continue;
        unsigned methods = route->methods | ((route->methods & HTTP_METHOD_GET) != 0 ? HTTP_METHOD_HEAD : 0);
        if ((methods & exchange->request.method) != 0) {
            exchange->request.route = route;
            return true;
        }
        allowed |= methods;
    }
    *status = allowed == 0 ? 404 : 405;
    if (allowed != 0)
        http_reply_header(&exchange->request, "Allow", http_method_names(allowed, names, sizeof names));
    return false;
}
