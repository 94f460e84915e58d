/* Parsing of single setting values. Each parser allocates with malloc what config_clear_value frees. */
#include "config_internal.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

bool setting_is_list(const struct setting *setting) {
    return setting->kind == SETTING_STRINGS || setting->kind == SETTING_ADDRESSES ||
           setting->kind == SETTING_PREFIXES;
}

static void *member(const struct setting *setting, void *owner) {
    return (char *)owner + setting->offset;
}

static size_t *member_count(const struct setting *setting, void *owner) {
    return (size_t *)(void *)((char *)owner + setting->count_offset);
}

static bool set_string(char **place, const char *text, struct error *error) {
    free(*place);
    *place = strdup(text);
    return *place != NULL || error_set(error, ERROR_INTERNAL, "out of memory");
}

static bool set_path(char **place, const char *directory, const char *text, struct error *error) {
    if (text[0] == '/')
        return set_string(place, text, error);
    if (text[0] == '\0')
        return error_set(error, ERROR_INVALID, "is empty: expected a path");
    free(*place);
    if (asprintf(place, "%s/%s", directory, text) < 0) {
        *place = NULL;
        return error_set(error, ERROR_INTERNAL, "out of memory");
    }
    return true;
}

static bool parse_number(const char *text, int base, uint32_t min, uint32_t max, uint32_t *out,
                         struct error *error) {
    char *end;
    if (text[0] < '0' || text[0] > '9')
        return error_set(error, ERROR_INVALID, "\"%s\" is not a number; expected %u to %u", text, min, max);
    unsigned long long value = strtoull(text, &end, base);
    if (*end != '\0')
        return error_set(error, ERROR_INVALID, "\"%s\" is not a number; expected %u to %u", text, min, max);
    if (value < min || value > max)
        return error_set(error, ERROR_INVALID, "%s is out of bounds; expected %u to %u", text, min, max);
    *out = (uint32_t)value;
    return true;
}

static bool parse_bool(const char *text, bool *out, struct error *error) {
    *out = strcmp(text, "true") == 0;
    if (*out || strcmp(text, "false") == 0)
        return true;
    return error_set(error, ERROR_INVALID, "\"%s\" is neither true nor false", text);
}

static bool parse_unix_address(const char *path, struct config_address *out, struct error *error) {
    struct sockaddr_un *address = (struct sockaddr_un *)&out->address;
    if (strlen(path) >= sizeof address->sun_path || path[0] != '/')
        return error_set(error, ERROR_INVALID, "\"unix:%s\": expected an absolute path of at most %zu bytes",
                         path, sizeof address->sun_path - 1);
    address->sun_family = AF_UNIX;
    strcpy(address->sun_path, path);
    out->length = sizeof *address;
    return true;
}

/* "127.0.0.1:443", "[::1]:443" or "unix:/path". No names: what we listen on must not depend on DNS. */
bool config_parse_address(const char *text, struct config_address *out, struct error *error) {
    char host[64];
    uint32_t port;
    memset(out, 0, sizeof *out);
    if (strlen(text) >= sizeof out->text)
        return error_set(error, ERROR_INVALID, "\"%.40s...\" is too long for an address", text);
    strcpy(out->text, text);
    if (strncmp(text, "unix:", 5) == 0)
        return parse_unix_address(text + 5, out, error);
    const char *colon = strrchr(text, ':');
    size_t length = colon == NULL ? 0 : (size_t)(colon - text);
    if (length == 0 || length >= sizeof host)
        return error_set(error, ERROR_INVALID, "\"%s\": expected address:port, [address]:port or unix:/path",
                         text);
    memcpy(host, text, length);
    host[length] = '\0';
    if (!parse_number(colon + 1, 10, 0, 65535, &port, error))
        return false;
    struct sockaddr_in *v4 = (struct sockaddr_in *)&out->address;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&out->address;
    if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons((uint16_t)port);
        out->length = sizeof *v4;
        return true;
    }
    if (host[0] == '[' && host[length - 1] == ']') {
        host[length - 1] = '\0';
        if (inet_pton(AF_INET6, host + 1, &v6->sin6_addr) == 1) {
            v6->sin6_family = AF_INET6;
            v6->sin6_port = htons((uint16_t)port);
            out->length = sizeof *v6;
            return true;
        }
    }
    return error_set(error, ERROR_INVALID, "\"%s\" holds no IPv4 or [IPv6] address", text);
}

/* ::ffff:0:0/96 */
static const uint8_t mapped[12] = {[10] = 0xFF, [11] = 0xFF};

bool config_parse_prefix(const char *text, struct config_prefix *out, struct error *error) {
    char host[64];
    uint32_t bits;
    memset(out, 0, sizeof *out);
    const char *slash = strchr(text, '/');
    size_t length = slash == NULL ? 0 : (size_t)(slash - text);
    if (length == 0 || length >= sizeof host)
        return error_set(error, ERROR_INVALID, "\"%s\": expected a CIDR block such as 203.0.113.0/24", text);
    memcpy(host, text, length);
    host[length] = '\0';
    out->family = strchr(host, ':') != NULL ? AF_INET6 : AF_INET;
    if (inet_pton(out->family, host, out->bytes) != 1)
        return error_set(error, ERROR_INVALID, "\"%s\" holds no IP address", text);
    if (!parse_number(slash + 1, 10, 0, out->family == AF_INET ? 32 : 128, &bits, error)) {
        error_prefix(error, "\"%s\"", text);
        return false;
    }
    if (out->family == AF_INET6 && bits >= 96 && memcmp(out->bytes, mapped, sizeof mapped) == 0)
        return error_set(error, ERROR_INVALID, "\"%s\" is a block of IPv4 addresses: write it as one", text);
    out->bits = bits;
    for (unsigned bit = bits; bit < (out->family == AF_INET ? 32u : 128u); bit++)
        if (out->bytes[bit / 8] & (0x80 >> bit % 8))
            return error_set(error, ERROR_INVALID, "\"%s\" has bits set behind its prefix of %u bits", text,
                             bits);
    return true;
}

bool config_prefix_holds_address(const struct config_prefix *prefix, int family, const uint8_t *address) {
    unsigned whole = prefix->bits / 8, rest = prefix->bits % 8;
    if (prefix->family != family || memcmp(prefix->bytes, address, whole) != 0)
        return false;
    return rest == 0 || ((prefix->bytes[whole] ^ address[whole]) & (0xFF << (8 - rest) & 0xFF)) == 0;
}

bool config_prefixes_hold_address(const struct config_prefix *prefixes, size_t count, int family,
                                  const uint8_t *address) {
    if (family == AF_INET6 && memcmp(address, mapped, sizeof mapped) == 0) {
        family = AF_INET;
        address += sizeof mapped;
    }
    for (size_t i = 0; i < count; i++)
        if (config_prefix_holds_address(&prefixes[i], family, address))
            return true;
    return false;
}

static bool set_strings(struct config_strings *strings, const char *const *words, size_t count,
                        struct error *error) {
    strings->items = calloc(count + 1, sizeof *strings->items);
    if (strings->items == NULL)
        return error_set(error, ERROR_INTERNAL, "out of memory");
    for (size_t i = 0; i < count; i++, strings->count++)
        if (!set_string(&strings->items[i], words[i], error))
            return false;
    return true;
}

static bool set_array(void **place, size_t *place_count, size_t size, bool is_prefix,
                      const char *const *words, size_t count, struct error *error) {
    char *array = calloc(count + 1, size);
    if (array == NULL)
        return error_set(error, ERROR_INTERNAL, "out of memory");
    *place = array;
    *place_count = count;
    for (size_t i = 0; i < count; i++) {
        void *item = array + i * size;
        if (is_prefix ? !config_parse_prefix(words[i], item, error)
                      : !config_parse_address(words[i], item, error))
            return false;
    }
    return true;
}

void config_clear_value(const struct setting *setting, void *owner) {
    struct config_strings *strings = member(setting, owner);
    char **pointer = member(setting, owner);
    switch (setting->kind) {
    case SETTING_STRINGS:
        for (size_t i = 0; i < strings->count; i++)
            free(strings->items[i]);
        free(strings->items);
        *strings = (struct config_strings){0};
        break;
    case SETTING_ADDRESSES:
    case SETTING_PREFIXES:
        *member_count(setting, owner) = 0;
        free(*pointer);
        *pointer = NULL;
        break;
    case SETTING_STRING:
    case SETTING_PATH:
        free(*pointer);
        *pointer = NULL;
        break;
    case SETTING_NUMBER:
    case SETTING_OCTAL:
    case SETTING_BOOL:
    case SETTING_ADDRESS:
        break;
    }
}

bool config_set_value(const struct setting *setting, const char *directory, void *owner,
                      const char *const *words, size_t count, struct error *error) {
    void *place = member(setting, owner);
    config_clear_value(setting, owner);
    switch (setting->kind) {
    case SETTING_STRING:
        return set_string(place, words[0], error);
    case SETTING_PATH:
        return set_path(place, directory, words[0], error);
    case SETTING_NUMBER:
        return parse_number(words[0], 10, setting->min, setting->max, place, error);
    case SETTING_OCTAL:
        return parse_number(words[0], 8, setting->min, setting->max, place, error);
    case SETTING_BOOL:
        return parse_bool(words[0], place, error);
    case SETTING_ADDRESS:
        return config_parse_address(words[0], place, error);
    case SETTING_STRINGS:
        return set_strings(place, words, count, error);
    case SETTING_ADDRESSES:
        return set_array(place, member_count(setting, owner), sizeof(struct config_address), false, words,
                         count, error);
    case SETTING_PREFIXES:
        return set_array(place, member_count(setting, owner), sizeof(struct config_prefix), true, words,
                         count, error);
    }
    return error_set(error, ERROR_INTERNAL, "setting %s has an unknown kind", setting->name);
}

bool setting_equal(const struct setting *setting, void *a, void *b) {
    const void *left = member(setting, a), *right = member(setting, b);
    if (setting->kind == SETTING_NUMBER)
        return *(const uint32_t *)left == *(const uint32_t *)right;
    if (setting->kind != SETTING_STRING && setting->kind != SETTING_PATH)
        return false;
    const char *left_text = *(char *const *)left, *right_text = *(char *const *)right;
    if (left_text == NULL || right_text == NULL)
        return left_text == right_text;
    return strcmp(left_text, right_text) == 0;
}
