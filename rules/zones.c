/* Which name servers a zone gets, and the DNS check that a set of names needs. */
#include "originca/zones.h"

#include <string.h>

#include "originca/names.h"

static uint64_t draw(const uint8_t key[SECRET_BYTES], uint32_t counter) {
    uint8_t message[4] = {(uint8_t)(counter >> 24), (uint8_t)(counter >> 16), (uint8_t)(counter >> 8),
                          (uint8_t)counter},
            out[SHA256_BYTES];
    uint64_t value = 0;
    hmac_sha256(key, SECRET_BYTES, message, sizeof message, out);
    for (int i = 0; i < 8; i++)
        value = value << 8 | out[i];
    return value;
}

static bool refuse_related(const struct config_strings *names, const char *what, const char *zone,
                           struct error *error) {
    for (size_t i = 0; i < names->count; i++) {
        const char *name = names->items[i];
        if (name_is_below(zone, name) || name_is_below(name, zone))
            return error_set(error, ERROR_INVALID,
                             "%s is at, above or below %s, a name %s, so it can be no customer's zone", zone,
                             name, what);
    }
    return true;
}

/* Whoever has a zone there answers where the provider's name servers, or its other names, are. */
static bool refuse_reserved(const struct config *config, const char *zone, struct error *error) {
    return refuse_related(&config->name_server_pool, "server of the provider", zone, error) &&
           refuse_related(&config->reserved_zones, "that the provider keeps for itself", zone, error);
}

bool zones_order_name_servers(struct arena *arena, const struct config *config, const struct secrets *secrets,
                              const char *zone, const char *customer, struct store_name_server_pool *out,
                              struct error *error) {
    if (!refuse_reserved(config, zone, error))
        return false;
    size_t count = config->name_server_pool.count, per_zone = config->name_servers_per_zone;
    if (per_zone == 0 || count < per_zone)
        return error_set(error, ERROR_INTERNAL, "the pool of name servers is smaller than what a zone gets");
    uint8_t key[SECRET_BYTES];
    const char *context = arena_printf(arena, "%s/%s", zone, customer);
    const char **names = arena_copy(arena, config->name_server_pool.items, count * sizeof *names);
    if (context == NULL || names == NULL)
        return error_set(error, ERROR_INTERNAL, "out of memory");
    secrets_derive(secrets, "name-servers", context, strlen(context), key);
    for (size_t left = count; left > 1; left--) { /* Fisher and Yates */
        size_t at = (size_t)(draw(key, (uint32_t)left) % left);
        const char *name = names[at];
        names[at] = names[left - 1];
        names[left - 1] = name;
    }
    *out = (struct store_name_server_pool){.names = names, .count = count, .per_zone = per_zone};
    return true;
}

struct store_delegation zones_delegation(const struct dnscheck_finding *finding) {
    return (struct store_delegation){.is_known = finding->has_heard_parent,
                                     .name_servers = finding->delegated_to,
                                     .count = finding->delegated_to_count};
}

bool zones_delegation_meets(const struct store_delegation *delegation, const struct store_zone *zone) {
    for (size_t i = 0; i < delegation->count; i++)
        for (size_t k = 0; k < zone->name_server_count; k++)
            if (strcmp(delegation->name_servers[i], zone->name_servers[k]) == 0)
                return true;
    return false;
}

static const char *join(struct arena *arena, const char *const *names, size_t count) {
    struct text text;
    text_init(&text, arena);
    for (size_t i = 0; i < count; i++)
        text_printf(&text, "%s%s", i == 0 ? "" : ", ", names[i]);
    return text.failed || text.data == NULL ? "" : text.data;
}

const char *zones_advice(struct arena *arena, const struct store_zone *zone,
                         const struct dnscheck_finding *look) {
    const char *wanted = join(arena, zone->name_servers, zone->name_server_count), *text;
    if (!look->has_heard_parent)
        text = arena_printf(
            arena, "%s; whatever %s is delegated to now, set its name servers to %s at your registrar",
            look->text, zone->name, wanted);
    else if (look->delegated_to_count > 0)
        text = arena_printf(arena, "%s is delegated to %s; set its name servers to %s at your registrar",
                            zone->name, join(arena, look->delegated_to, look->delegated_to_count), wanted);
    else
        text = arena_printf(arena, "%s %s; set its name servers to %s at your registrar", zone->name,
                            strcmp(look->reason, "does-not-exist") == 0 ? "does not exist in DNS: register it"
                                                                        : "is not delegated",
                            wanted);
    return text == NULL ? "" : text;
}

struct dnscheck_zone zones_asked(const struct store_zone *zone) {
    return (struct dnscheck_zone){
        .name = zone->name,
        .name_servers = zone->name_servers,
        .name_server_count = zone->name_server_count,
        .zones_above = zone->zones_above,
        .zones_above_count = zone->zones_above_count,
        .rivals = zone->rivals,
        .rival_count = zone->rival_count,
        .anothers = zone->anothers == NULL || *zone->anothers == '\0' ? NULL : zone->anothers};
}

static size_t find_zone(const struct dnscheck_zone *zones, size_t count, const char *name) {
    size_t at = 0;
    while (at < count && strcmp(zones[at].name, name) != 0)
        at++;
    return at;
}

bool zones_build_check(struct arena *arena, const struct store_zone *zones, const char *const *names,
                       const char *const *txt_values, size_t count, struct dnscheck_request *out,
                       struct error *error) {
    struct dnscheck_zone *check_zones = arena_alloc(arena, (count + 1) * sizeof *check_zones);
    struct dnscheck_name *check_names = arena_alloc(arena, (count + 1) * sizeof *check_names);
    size_t zone_count = 0;
    if (check_zones == NULL || check_names == NULL)
        return error_set(error, ERROR_INTERNAL, "out of memory");
    for (size_t i = 0; i < count; i++) {
        if (zones[i].id == NULL || !name_is_below(name_base(names[i]), zones[i].name))
            return error_set(error, ERROR_INTERNAL, "the name %s is not in the zone it was matched with",
                             names[i]);
        size_t at = find_zone(check_zones, zone_count, zones[i].name);
        if (at == zone_count)
            check_zones[zone_count++] = zones_asked(&zones[i]);
        check_names[i] = (struct dnscheck_name){
            .name = names[i], .zone = at, .txt_value = txt_values == NULL ? NULL : txt_values[i]};
    }
    *out = (struct dnscheck_request){
        .zones = check_zones, .zone_count = zone_count, .names = check_names, .name_count = count};
    return true;
}
