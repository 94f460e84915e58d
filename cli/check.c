/* `originca check`: the ownership check itself, run from here: no server, no account. It walks DNS from the
 * root just as the server does and prints what it saw. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "cli.h"
#include "originca/dnscheck.h"
#include "originca/names.h"

#define NAMES_MAX 100
#define SERVERS_MAX 16
#define POOL_MAX 256
#define PREFIXES_MAX 64

struct check {
    struct cli *cli;
    struct arena *arena;
    struct event_base *base;
    const char *names[NAMES_MAX], *servers[SERVERS_MAX], *identities[SERVERS_MAX], *pool[POOL_MAX],
        *own_zones[OWN_ZONES_MAX];
    struct config_prefix prefixes[PREFIXES_MAX], allowed[PREFIXES_MAX], denied[PREFIXES_MAX];
    size_t name_count, server_count, prefix_count, identity_count, pool_count, own_zone_count, allowed_count,
        denied_count;
    const struct dnscheck_result *result;
};

static bool take_names(struct check *check, const char *list, const char **out, size_t max, size_t *count) {
    char *copy = arena_strdup(check->arena, list), canonical[NAME_MAX_BYTES + 1], *save = NULL;
    for (char *word = copy == NULL ? NULL : strtok_r(copy, ", ", &save); word != NULL;
         word = strtok_r(NULL, ", ", &save)) {
        if (*count == max)
            return error_set(&check->cli->error, ERROR_INVALID, "more than %zu names", max);
        if (!name_check_host(word, canonical, &check->cli->error))
            return false;
        out[(*count)++] = arena_strdup(check->arena, canonical);
    }
    return true;
}

/* "NAME=SERVER,SERVER" */
static bool take_own_zone(struct check *check, const char *text) {
    const char *servers[SERVERS_MAX], *names[1], *equals = strchr(text, '=');
    size_t server_count = 0, name_count = 0;
    char *name = equals == NULL ? NULL : arena_strndup(check->arena, text, (size_t)(equals - text));
    struct text joined;
    if (name == NULL || !take_names(check, name, names, 1, &name_count) || name_count != 1 ||
        !take_names(check, equals + 1, servers, SERVERS_MAX, &server_count) || server_count == 0)
        return error_set(
            &check->cli->error, ERROR_INVALID,
            "--own-zone is a zone of yours above with the name servers that the provider assigned "
            "to you there: NAME=SERVER,SERVER; not \"%.100s\"",
            text);
    text_init(&joined, check->arena);
    text_printf(&joined, "%s=", names[0]);
    for (size_t i = 0; i < server_count; i++)
        text_printf(&joined, "%s%s", i == 0 ? "" : ",", servers[i]);
    check->own_zones[check->own_zone_count++] = joined.data;
    return !joined.failed || error_set(&check->cli->error, ERROR_INTERNAL, "out of memory");
}

/* The provider's name servers, at least those assigned; one inside the zone is the customer's own name for
 * one. */
static bool take_pool(struct check *check, const char *zone) {
    if (check->cli->check.name_server_pool != NULL)
        return take_names(check, check->cli->check.name_server_pool, check->pool, POOL_MAX,
                          &check->pool_count);
    for (size_t i = 0; i < check->server_count; i++)
        if (!name_is_below(check->servers[i], zone))
            check->pool[check->pool_count++] = check->servers[i];
    return true;
}

static bool take_prefixes(struct check *check, const char *list, struct config_prefix *out, size_t *count) {
    char *copy = list == NULL ? NULL : arena_strdup(check->arena, list), *save = NULL;
    for (char *word = copy == NULL ? NULL : strtok_r(copy, ", ", &save); word != NULL;
         word = strtok_r(NULL, ", ", &save)) {
        if (*count == PREFIXES_MAX)
            return error_set(&check->cli->error, ERROR_INVALID, "more than %d prefixes", PREFIXES_MAX);
        if (!config_parse_prefix(word, &out[(*count)++], &check->cli->error))
            return false;
    }
    return true;
}

static uint32_t number(const char *text, uint32_t otherwise) {
    return text == NULL ? otherwise : (uint32_t)strtoul(text, NULL, 10);
}

static bool fill_settings(struct check *check, struct dnscheck_settings *settings) {
    struct cli *cli = check->cli;
    const char *mode = cli->check.caa_mode == NULL ? "off" : cli->check.caa_mode;
    if (strcmp(mode, "off") != 0 && strcmp(mode, "named") != 0 && strcmp(mode, "strict") != 0)
        return error_set(&cli->error, ERROR_INVALID, "--caa-mode is off, named or strict");
    *settings = (struct dnscheck_settings){
        .root_hints_file =
            cli->check.root_hints == NULL ? "/usr/share/dns/root.hints" : cli->check.root_hints,
        .trust_anchor_file = cli->check.trust_anchor,
        .name_server_pool = check->pool,
        .name_server_pool_count = check->pool_count,
        .port = (uint16_t)number(cli->check.dns_port, 53),
        .caa_mode = strcmp(mode, "strict") == 0  ? DNSCHECK_CAA_STRICT
                    : strcmp(mode, "named") == 0 ? DNSCHECK_CAA_NAMED
                                                 : DNSCHECK_CAA_OFF,
        .caa_identities = check->identities,
        .caa_identity_count = check->identity_count,
        .edge_prefixes = check->prefixes,
        .edge_prefix_count = check->prefix_count,
        .address_rules = {check->allowed, check->denied, check->allowed_count, check->denied_count},
        .deadline_ms = number(cli->check.deadline, 10000),
        .query_timeout_ms = number(cli->check.timeout, 1500),
        .max_queries = number(cli->check.max_queries, 100),
        .tries = 2,
        .max_cname = 8,
        .referral_cache_entries = 1000,
        .referral_max_ttl = 300,
        .max_concurrent_checks = 10,
        .max_per_server = 200,
    };
    return true;
}

static void note_result(void *context, const struct dnscheck_result *result) {
    struct check *check = context;
    check->result = result;
    event_base_loopbreak(check->base);
}

static bool run_check(struct check *check) {
    struct cli *cli = check->cli;
    struct dnscheck_settings settings;
    struct dnscheck_name names[NAMES_MAX];
    /* Without the edge's prefixes only the delegation can be judged. */
    size_t name_count = check->prefix_count > 0 ? check->name_count : 0;
    char zone_name[NAME_MAX_BYTES + 1];
    const char *zone_text = cli->zone != NULL ? cli->zone : name_base(check->names[0]),
               *zone_ascii = name_to_ascii(check->arena, zone_text);
    if (!name_check_host(zone_ascii == NULL ? zone_text : zone_ascii, zone_name, &cli->error) ||
        !take_pool(check, zone_name) || !fill_settings(check, &settings))
        return false;
    for (size_t i = 0; i < name_count; i++)
        names[i] = (struct dnscheck_name){.name = check->names[i], .txt_value = cli->check.txt};
    const struct dnscheck_zone zone = {.name = zone_name,
                                       .name_servers = check->servers,
                                       .name_server_count = check->server_count,
                                       .zones_above = check->own_zones,
                                       .zones_above_count = check->own_zone_count};
    const struct dnscheck_request request = {.zones = &zone,
                                             .zone_count = 1,
                                             .names = names,
                                             .name_count = name_count,
                                             .account_uri = cli->check.account_uri,
                                             .method = cli->check.txt == NULL ? "ca-delegation" : "dns-01"};
    check->base = event_base_new();
    struct dnscheck *dnscheck =
        check->base == NULL ? NULL : dnscheck_new(check->base, &settings, &cli->error);
    bool is_started = dnscheck != NULL && dnscheck_start(dnscheck, check->arena, &request, note_result, check,
                                                         &cli->error) != NULL;
    if (is_started)
        event_base_dispatch(check->base);
    dnscheck_free(dnscheck);
    if (check->base != NULL)
        event_base_free(check->base);
    return check->result != NULL;
}

static const char *canonical_name(struct check *check, const char *name) {
    char base[NAME_MAX_BYTES + 1];
    const char *ascii = name_to_ascii(check->arena, name_base(name));
    if (!name_check_host(ascii == NULL ? name_base(name) : ascii, base, &check->cli->error))
        return NULL;
    return name_is_wildcard(name) ? arena_printf(check->arena, "*.%s", base)
                                  : arena_strdup(check->arena, base);
}

int check_command(struct cli *cli) {
    struct check check = {.cli = cli, .arena = cli->client.arena};
    if (cli->check.name_servers == NULL) {
        error_set(
            &cli->error, ERROR_INVALID,
            "--name-servers is needed: the ones that the provider assigned to you, with commas between");
        return EXIT_USAGE;
    }
    if (cli->operand_count > NAMES_MAX) {
        error_set(&cli->error, ERROR_INVALID, "at most %d names can be checked at once", NAMES_MAX);
        return EXIT_USAGE;
    }
    for (size_t i = 0; i < cli->operand_count; i++)
        if ((check.names[check.name_count++] = canonical_name(&check, cli->operands[i])) == NULL)
            return EXIT_USAGE;
    if (!take_names(&check, cli->check.name_servers, check.servers, SERVERS_MAX, &check.server_count) ||
        !take_prefixes(&check, cli->check.edge_prefixes, check.prefixes, &check.prefix_count) ||
        !take_prefixes(&check, cli->check.allow_addresses, check.allowed, &check.allowed_count) ||
        !take_prefixes(&check, cli->check.deny_addresses, check.denied, &check.denied_count) ||
        (cli->check.caa_identities != NULL && !take_names(&check, cli->check.caa_identities, check.identities,
                                                          SERVERS_MAX, &check.identity_count)))
        return EXIT_USAGE;
    for (size_t i = 0; i < cli->check.own_zone_count; i++)
        if (!take_own_zone(&check, cli->check.own_zones[i]))
            return EXIT_USAGE;
    if (!run_check(&check))
        return EXIT_USAGE;
    cli->error = (struct error){.code = ERROR_NONE}; /* the verdict is no error of ours */
    if (cli->as_json)
        print_json(check.result->evidence);
    else
        print_evidence(cli, check.result->evidence, cli->wants_walk);
    return check.result->verdict == DNSCHECK_OK ? EXIT_OK : EXIT_REFUSED;
}
