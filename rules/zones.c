/* Which name servers a zone gets, and the DNS check that a set of names needs. */
#include "originca/zones.h"

#include <stdlib.h>
#include <string.h>

#include "originca/names.h"

#define SETS_MAX 64
#define PER_ZONE_MAX 8

/* The k-th combination is met by walking: draw names by the keyed hash, skip draws that gave the same set
 * before. */
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

static int compare_indexes(const void *a, const void *b) {
    return (int)*(const unsigned *)a - (int)*(const unsigned *)b;
}

static void draw_set(const uint8_t key[SECRET_BYTES], uint32_t *counter, size_t pool, size_t per_zone,
                     unsigned set[PER_ZONE_MAX]) {
    for (size_t have = 0; have < per_zone;) {
        unsigned index = (unsigned)(draw(key, (*counter)++) % pool);
        bool is_new = true;
        for (size_t i = 0; i < have && is_new; i++)
            is_new = set[i] != index;
        if (is_new)
            set[have++] = index;
    }
    qsort(set, per_zone, sizeof *set, compare_indexes);
}

static size_t count_combinations(size_t pool, size_t per_zone) {
    size_t count = 1;
    for (size_t i = 0; i < per_zone; i++) {
        count = count * (pool - i) / (i + 1);
        if (count > SETS_MAX)
            return SETS_MAX;
    }
    return count;
}

bool zones_assign_name_servers(struct arena *arena, const struct config *config,
                               const struct secrets *secrets, const char *zone, const char *customer,
                               struct store_zone_candidates *out, struct error *error) {
    size_t pool = config->name_server_pool.count, per_zone = config->name_servers_per_zone;
    if (per_zone == 0 || per_zone > PER_ZONE_MAX || pool < per_zone)
        return error_set(error, ERROR_INTERNAL, "the pool of name servers is smaller than what a zone gets");
    size_t wanted = count_combinations(pool, per_zone), found = 0;
    uint8_t key[SECRET_BYTES];
    const char *context = arena_printf(arena, "%s/%s", zone, customer);
    const char **names = arena_alloc(arena, wanted * per_zone * sizeof *names);
    unsigned(*sets)[PER_ZONE_MAX] = arena_alloc(arena, wanted * sizeof *sets);
    if (context == NULL || names == NULL || sets == NULL)
        return error_set(error, ERROR_INTERNAL, "out of memory");
    secrets_derive(secrets, "name-servers", context, strlen(context), key);
    for (uint32_t counter = 0; found < wanted && counter < 100000;) {
        draw_set(key, &counter, pool, per_zone, sets[found]);
        bool is_new = true;
        for (size_t i = 0; i < found && is_new; i++)
            is_new = memcmp(sets[i], sets[found], per_zone * sizeof **sets) != 0;
        for (size_t i = 0; is_new && i < per_zone; i++)
            names[found * per_zone + i] = config->name_server_pool.items[sets[found][i]];
        found += is_new ? 1 : 0;
    }
    *out = (struct store_zone_candidates){.name_servers = names, .per_zone = per_zone, .count = found};
    return true;
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
            check_zones[zone_count++] = (struct dnscheck_zone){
                zones[i].name, zones[i].name_servers, zones[i].name_server_count, zones[i].foreign_parent};
        check_names[i] = (struct dnscheck_name){
            .name = names[i], .zone = at, .txt_value = txt_values == NULL ? NULL : txt_values[i]};
    }
    *out = (struct dnscheck_request){
        .zones = check_zones, .zone_count = zone_count, .names = check_names, .name_count = count};
    return true;
}
