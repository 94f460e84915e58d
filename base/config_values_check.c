/* Values that are well-formed and yet cannot be meant: URLs, names, addresses and blocks. */
#include "config_check.h"

#include <string.h>
#include <strings.h>
#include <sys/un.h>

#include <arpa/inet.h>
#include <netinet/in.h>

#include "originca/crl.h"
#include "originca/url.h"

/* A block so large is no provider's network: everybody's addresses would be the edge, or none be special. */
#define EDGE_BITS_MIN_V4 8
#define EDGE_BITS_MIN_V6 16
#define ALLOWED_BITS_MIN_V4 8
#define ALLOWED_BITS_MIN_V6 7 /* fc00::/7 is all of unique local */

/* --- URLs --- */

static void check_base_url(const struct config *config, struct config_complaints *complaints,
                           struct arena *arena) {
    const char *text = config->base_url, *normal = text == NULL ? NULL : url_normal_form(arena, text);
    if (normal == NULL || strncmp(normal, "https://", 8) != 0 || strpbrk(normal + 8, "/?#") != NULL)
        config_complain(complaints, 0, "server", "base_url",
                        "must be the https:// origin that clients use, without a path: https://ca.example");
    else if (strcmp(normal, text) != 0)
        config_complain(complaints, 0, "server", "base_url",
                        "\"%s\" is not the form in which clients write it: set it to \"%s\"", text, normal);
}

static void check_url(struct config_complaints *complaints, struct arena *arena, const char *section,
                      const char *key, const char *text, bool is_plain_only) {
    const char *normal = text == NULL ? NULL : url_normal_form(arena, text);
    if (text == NULL || (normal != NULL && (!is_plain_only || strncmp(normal, "http://", 7) == 0)))
        return;
    config_complain(complaints, 0, section, key, "\"%s\" is no %s", text,
                    is_plain_only
                        ? "http:// URL (whoever verifies a certificate fetches it before he can trust "
                          "https): expected http://crl.provider.example/..."
                        : "URL: expected https://...");
}

static bool share_a_url(const struct config_issuer *a, const struct config_issuer *b, struct arena *arena) {
    if (a->crl_url == NULL || b->crl_url == NULL)
        return false;
    uint32_t shards = crl_url_count(a->crl_url, a->crl_shards);
    for (uint32_t shard = 0; shard < shards; shard++) {
        const char *url = crl_url_fill(arena, a->crl_url, shard);
        if (url == NULL || crl_url_is_fill(url, b->crl_url, b->crl_shards, NULL))
            return url != NULL;
    }
    return false;
}

/* The one with the longest URL is that of a shard with the most digits; the first is 0. */
static void check_crl_template(const struct config *config, const struct config_issuer *issuer,
                               struct config_complaints *complaints, struct arena *arena) {
    const char *text = issuer->crl_url, *mark = text == NULL ? NULL : strstr(text, CRL_SHARD_MARK);
    if (text == NULL)
        return;
    if (mark != NULL && strstr(mark + 1, CRL_SHARD_MARK) != NULL) {
        config_complain(complaints, 0, "issuer", "crl_url", "\"%s\" has " CRL_SHARD_MARK " twice", text);
        return;
    }
    const char *longest = crl_url_fill(arena, text, issuer->crl_shards - 1);
    check_url(complaints, arena, "issuer", "crl_url", longest, true);
    if (longest != NULL && strlen(longest) > CRL_URL_MAX)
        config_complain(complaints, 0, "issuer", "crl_url", "is longer than %d bytes", CRL_URL_MAX);
    for (const struct config_issuer *other = config->issuers; other < issuer; other++)
        if (share_a_url(other, issuer, arena))
            config_complain(complaints, 0, "issuer", "crl_url",
                            "\"%s\" is the address of a list of issuer \"%s\" too: each has its own", text,
                            other->name);
}

static void check_urls(const struct config *config, struct config_complaints *complaints) {
    struct arena *arena = arena_new(0);
    if (arena == NULL)
        return;
    check_base_url(config, complaints, arena);
    check_url(complaints, arena, "acme", "terms_of_service", config->terms_of_service, false);
    check_url(complaints, arena, "acme", "website", config->website, false);
    for (size_t i = 0; i < config->issuer_count; i++) {
        complaints->title = config->issuers[i].name;
        check_crl_template(config, &config->issuers[i], complaints, arena);
        check_url(complaints, arena, "issuer", "ocsp_url", config->issuers[i].ocsp_url, true);
    }
    complaints->title = NULL;
    arena_free(arena);
}

/* --- names --- */

static bool is_domain(const char *name) {
    size_t label = 0, length = strlen(name);
    for (size_t i = 0; i <= length; i++) {
        char c = name[i];
        bool is_end = c == '.' || c == '\0';
        if (is_end && (label == 0 || label > 63))
            return false;
        if (!is_end && strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_", c) == NULL)
            return false;
        label = is_end ? 0 : label + 1;
    }
    return length <= 253;
}

static bool is_repeated(const struct config_strings *names, size_t at) {
    for (size_t i = 0; i < at; i++)
        if (strcasecmp(names->items[i], names->items[at]) == 0)
            return true;
    return false;
}

static void check_domains(const struct config_strings *names, struct config_complaints *complaints,
                          const char *section, const char *key) {
    struct in_addr address;
    for (size_t i = 0; i < names->count; i++) {
        const char *name = names->items[i];
        if (!is_domain(name) || inet_pton(AF_INET, name, &address) == 1)
            config_complain(
                complaints, 0, section, key,
                "\"%s\" is no domain name: expected such as ca.provider.example, without scheme or "
                "final dot, other alphabets as xn--",
                name);
        else if (is_repeated(names, i))
            config_complain(complaints, 0, section, key, "names \"%s\" twice", name);
    }
}

/* It is part of URLs, file names and ledger records. */
static void check_issuer_names(const struct config *config, struct config_complaints *complaints) {
    for (size_t i = 0; i < config->issuer_count; i++) {
        const char *name = config->issuers[i].name;
        if (*name == '\0' || strlen(name) > 64 ||
            name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")] != '\0')
            config_complain(complaints, 0, "signer", "issuer",
                            "\"%s\" is no name of an issuer: 1 to 64 letters, digits, dots and hyphens",
                            name);
    }
}

void config_check_names(const struct config *config, struct config_complaints *complaints) {
    check_urls(config, complaints);
    check_domains(&config->caa_identities, complaints, "acme", "caa_identities");
    check_domains(&config->name_server_pool, complaints, "dns", "name_server_pool");
    for (size_t i = 0; i < config->name_server_pool.count; i++)
        if (strchr(config->name_server_pool.items[i], '.') == NULL)
            config_complain(complaints, 0, "dns", "name_server_pool",
                            "\"%s\" is no full name: expected such as ns1.provider.example",
                            config->name_server_pool.items[i]);
    check_domains(&config->reserved_zones, complaints, "dns", "reserved_zones");
    check_issuer_names(config, complaints);
}

/* --- addresses --- */

static bool is_same_address(const struct config_address *a, const struct config_address *b) {
    if (a->address.ss_family != b->address.ss_family)
        return false;
    const struct sockaddr_in *a4 = (const struct sockaddr_in *)&a->address,
                             *b4 = (const struct sockaddr_in *)&b->address;
    const struct sockaddr_in6 *a6 = (const struct sockaddr_in6 *)&a->address,
                              *b6 = (const struct sockaddr_in6 *)&b->address;
    switch (a->address.ss_family) {
    case AF_INET:
        return a4->sin_port == b4->sin_port && a4->sin_addr.s_addr == b4->sin_addr.s_addr;
    case AF_INET6:
        return a6->sin6_port == b6->sin6_port && memcmp(&a6->sin6_addr, &b6->sin6_addr, 16) == 0;
    default:
        return strcmp(((const struct sockaddr_un *)&a->address)->sun_path,
                      ((const struct sockaddr_un *)&b->address)->sun_path) == 0;
    }
}

static void check_listener(const struct config *config, struct config_complaints *complaints, const char *key,
                           const struct config_address *address) {
    const struct {
        const char *key;
        const struct config_address *items;
        size_t count;
    } lists[] = {{"https_listen", config->https_listen, config->https_listen_count},
                 {"http_listen", config->http_listen, config->http_listen_count},
                 {"admin_listen", &config->admin_listen, 1}};
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&address->address;
    if (v6->sin6_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr))
        config_complain(complaints, 0, "server", key, "\"%s\" is an IPv4 address: write it as one",
                        address->text);
    if (v6->sin6_family != AF_UNIX && v6->sin6_port == 0) /* at the same place in both families */
        config_complain(complaints, 0, "server", key, "\"%s\" needs a port: each worker would choose its own",
                        address->text);
    for (size_t list = 0; list < sizeof lists / sizeof lists[0]; list++)
        for (size_t i = 0; i < lists[list].count; i++) {
            if (&lists[list].items[i] == address)
                return; /* the later one of two is named */
            if (is_same_address(&lists[list].items[i], address)) {
                config_complain(complaints, 0, "server", key,
                                "\"%s\" is an address of %s already: a connection would reach either",
                                address->text, lists[list].key);
                return;
            }
        }
}

static void check_block(struct config_complaints *complaints, const char *key,
                        const struct config_prefix *block, unsigned v4_min, unsigned v6_min,
                        const char *why) {
    char text[INET6_ADDRSTRLEN] = "";
    unsigned min = block->family == AF_INET ? v4_min : v6_min;
    if (block->bits >= min)
        return;
    inet_ntop(block->family, block->bytes, text, sizeof text);
    config_complain(complaints, 0, "dns", key, "%s/%u is too large, at least /%u is expected: %s", text,
                    block->bits, min, why);
}

void config_check_addresses(const struct config *config, struct config_complaints *complaints) {
    for (size_t i = 0; i < config->https_listen_count; i++)
        check_listener(config, complaints, "https_listen", &config->https_listen[i]);
    for (size_t i = 0; i < config->http_listen_count; i++)
        check_listener(config, complaints, "http_listen", &config->http_listen[i]);
    check_listener(config, complaints, "admin_listen", &config->admin_listen);
    for (size_t i = 0; i < config->edge_prefix_count; i++)
        check_block(complaints, "edge_prefixes", &config->edge_prefixes[i], EDGE_BITS_MIN_V4,
                    EDGE_BITS_MIN_V6, "names that point to anybody would count as proxied");
    for (size_t i = 0; i < config->address_rules.allowed_count; i++)
        check_block(complaints, "allow_addresses", &config->address_rules.allowed[i], ALLOWED_BITS_MIN_V4,
                    ALLOWED_BITS_MIN_V6, "name servers could have the server ask any inner address");
}
