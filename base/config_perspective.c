/* The entries of `perspectives`: where else a check is run or DNS is asked (doc/perspectives.md). */
#include "config_check.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define PERSPECTIVE_FORMS "local, udp://ADDRESS:PORT, tls://HOST:PORT[#NAME] or unix:/PATH[#NAME]"

static bool is_host_name(const char *host) {
    return *host != '\0' && strlen(host) <= 253 &&
           host[strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_")] == '\0';
}

static bool set_certificate_name(struct config_perspective *out, const char *name, struct error *error) {
    uint8_t bytes[16];
    if (!is_host_name(name) && inet_pton(AF_INET6, name, bytes) != 1)
        return error_set(error, ERROR_INVALID,
                         "\"%s\": the certificate's name must be a host name or an address", out->text);
    strcpy(out->certificate_name, name);
    return true;
}

/* "HOST:PORT": an address is taken as it is, a name is looked up at each attempt to connect. */
static bool take_host(const char *text, struct config_perspective *out, struct error *error) {
    struct error ignored;
    if (config_parse_address(text, &out->address, &ignored) && out->address.address.ss_family != AF_UNIX) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&out->address.address;
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)&out->address.address;
        bool is_v6 = v6->sin6_family == AF_INET6;
        inet_ntop(is_v6 ? AF_INET6 : AF_INET,
                  is_v6 ? (const void *)&v6->sin6_addr : (const void *)&v4->sin_addr, out->host,
                  sizeof out->host);
        return (is_v6 ? v6->sin6_port : v4->sin_port) != 0 ||
               error_set(error, ERROR_INVALID, "\"%s\": the port must not be 0", out->text);
    }
    out->address.length = 0;
    const char *colon = strrchr(text, ':');
    size_t length = colon == NULL ? 0 : (size_t)(colon - text);
    char *end = NULL;
    unsigned long port = colon == NULL || colon[1] < '0' || colon[1] > '9' ? 0 : strtoul(colon + 1, &end, 10);
    if (length == 0 || length >= sizeof out->host || port < 1 || port > 65535 || *end != '\0')
        return error_set(error, ERROR_INVALID, "\"%s\": expected " PERSPECTIVE_FORMS, out->text);
    memcpy(out->host, text, length);
    out->host[length] = '\0';
    out->port = (uint16_t)port;
    return is_host_name(out->host) ||
           error_set(error, ERROR_INVALID, "\"%s\" holds neither an address nor a host name", out->text);
}

bool config_parse_perspective(const char *text, struct config_perspective *out, struct error *error) {
    char place[sizeof out->text];
    memset(out, 0, sizeof *out);
    if (strlen(text) >= sizeof out->text)
        return error_set(error, ERROR_INVALID, "\"%.40s...\" is too long for a perspective", text);
    strcpy(out->text, text);
    if (strcmp(text, "local") == 0)
        return true;
    strcpy(place, text);
    char *name = strchr(place, '#');
    if (name != NULL)
        *name++ = '\0';
    if (strncmp(place, "udp://", 6) == 0 && name == NULL) {
        out->kind = CONFIG_PERSPECTIVE_RESOLVER;
        if (!take_host(place + 6, out, error))
            return false;
        return out->address.length != 0 ||
               error_set(error, ERROR_INVALID, "\"%s\": a resolver is named by its address", text);
    }
    if (strncmp(place, "tls://", 6) == 0) {
        out->kind = CONFIG_PERSPECTIVE_TLS;
        return take_host(place + 6, out, error) &&
               set_certificate_name(out, name == NULL ? out->host : name, error);
    }
    if (strncmp(place, "unix:/", 6) == 0) {
        out->kind = CONFIG_PERSPECTIVE_UNIX;
        return config_parse_address(place, &out->address, error) &&
               set_certificate_name(out, name == NULL ? "localhost" : name, error);
    }
    return error_set(error, ERROR_INVALID, "\"%s\": expected " PERSPECTIVE_FORMS, text);
}

static void check_tls_files(const struct config *config, struct config_complaints *complaints) {
    const struct {
        const char *path, *key;
    } files[] = {{config->perspective_ca_file, "perspective_ca_file"},
                 {config->perspective_certificate_file, "perspective_certificate_file"},
                 {config->perspective_key_file, "perspective_key_file"}};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        if (files[i].path == NULL)
            config_complain(complaints, 0, "dns", files[i].key,
                            "is required by tls:// and unix: perspectives and not set");
        else if (access(files[i].path, R_OK) != 0)
            config_complain(complaints, 0, "dns", files[i].key, "cannot read %s: %m", files[i].path);
}

static void check_disagreements(const struct config *config, size_t remote_count,
                                struct config_complaints *complaints) {
    const char *text = config->perspective_disagreements;
    char *end = NULL;
    if (strcmp(text, "rule") == 0)
        return;
    unsigned long allowed = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0')
        config_complain(complaints, 0, "dns", "perspective_disagreements",
                        "\"%s\" is neither \"rule\" nor a number", text);
    else if (allowed > 0 && allowed >= remote_count)
        config_complain(complaints, 0, "dns", "perspective_disagreements",
                        "%lu of %zu perspectives besides local leave none that must agree", allowed,
                        remote_count);
}

/* However it is written, and whatever the certificate's name. */
static bool is_same_place(const struct config_perspective *a, const struct config_perspective *b) {
    if (a->kind != b->kind || a->address.length != b->address.length)
        return false;
    if (a->kind == CONFIG_PERSPECTIVE_LOCAL || a->address.length != 0)
        return memcmp(&a->address.address, &b->address.address, a->address.length) == 0;
    return strcasecmp(a->host, b->host) == 0 && a->port == b->port;
}

void config_check_perspectives(const struct config *config, struct config_complaints *complaints) {
    const struct config_strings *entries = &config->perspectives;
    struct config_perspective entry, other;
    struct error error;
    size_t local_count = 0;
    bool needs_tls = false;
    if (entries->count > CONFIG_PERSPECTIVES_MAX)
        config_complain(complaints, 0, "dns", "perspectives", "has %zu entries; at most %d are possible",
                        entries->count, CONFIG_PERSPECTIVES_MAX);
    for (size_t i = 0; i < entries->count; i++) {
        if (!config_parse_perspective(entries->items[i], &entry, &error)) {
            config_complain(complaints, 0, "dns", "perspectives", "%s", error.message);
            continue;
        }
        local_count += entry.kind == CONFIG_PERSPECTIVE_LOCAL;
        needs_tls =
            needs_tls || entry.kind == CONFIG_PERSPECTIVE_TLS || entry.kind == CONFIG_PERSPECTIVE_UNIX;
        /* One view that counts twice would be no quorum. */
        for (size_t j = 0; j < i; j++)
            if (config_parse_perspective(entries->items[j], &other, &error) && is_same_place(&entry, &other))
                config_complain(complaints, 0, "dns", "perspectives", "names \"%s\" twice",
                                entries->items[i]);
    }
    if (local_count == 0)
        config_complain(complaints, 0, "dns", "perspectives",
                        "must name \"local\": this host's own check is always one of them");
    if (needs_tls)
        check_tls_files(config, complaints);
    check_disagreements(config, entries->count - (local_count > 0), complaints);
}
