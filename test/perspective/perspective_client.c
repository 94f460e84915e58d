/* The quorum as a server runs it, driven by a test: `perspective-client CONFIG` reads one JSON object a line,
 * {"zone", "name_servers", "rivals", "names", "txt", "deadline_ms"}, and writes one JSON line for each check.
 * Checks run at the same time. It ends when its input does and all are answered. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/event.h>

#include "originca/json.h"
#include "originca/perspective.h"

#define LIST_MAX 200

struct client {
    struct event_base *base;
    struct perspectives *perspectives;
    struct evbuffer *input;
    struct event *on_input;
    size_t pending;
    bool has_ended;
};

struct check {
    struct client *client;
    struct arena *arena;
    const char *tag;
    int64_t started_ms;
};

static void print_result(void *context, const struct dnscheck_result *result) {
    struct check *check = context;
    struct client *client = check->client;
    json_t *line = json_pack(
        "{s:s, s:s, s:I, s:O?}", "tag", check->tag, "verdict", dnscheck_verdict_name(result->verdict),
        "took_ms", (json_int_t)(clock_monotonic_ms() - check->started_ms), "evidence", result->evidence);
    json_t *names = json_array();
    for (size_t i = 0; i < result->name_count; i++)
        json_array_append_new(names, json_pack("[s, s]", dnscheck_verdict_name(result->names[i].verdict),
                                               result->names[i].reason));
    json_object_set_new(line, "names", names);
    json_dumpf(line, stdout, JSON_COMPACT);
    putchar('\n');
    fflush(stdout);
    json_decref(line);
    arena_free(check->arena);
    if (--client->pending == 0 && client->has_ended)
        event_base_loopexit(client->base, NULL);
}

static size_t take_list(const json_t *list, const char *out[LIST_MAX]) {
    size_t count = json_array_size(list) < LIST_MAX ? json_array_size(list) : LIST_MAX;
    for (size_t i = 0; i < count; i++)
        out[i] = json_string_value(json_array_get(list, i));
    return count;
}

static void start_check(struct client *client, const char *text) {
    struct arena *arena = arena_new(0);
    struct check *check = arena_alloc(arena, sizeof *check);
    struct error error = {.message = ""};
    const char *servers[LIST_MAX], *rivals[LIST_MAX], *words[LIST_MAX], *txt;
    struct dnscheck_name names[LIST_MAX];
    const json_t *root = json_parse(arena, text, strlen(text), &error);
    const char *zone_name = json_get_string(root, "zone", &error);
    if (zone_name == NULL || !json_get_optional_string(root, "txt", &txt, &error)) {
        fprintf(stderr, "%s\n", error.message);
        exit(2);
    }
    size_t count = take_list(json_object_get(root, "names"), words);
    for (size_t i = 0; i < count; i++)
        names[i] = (struct dnscheck_name){.name = words[i], .txt_value = txt};
    const struct dnscheck_zone zone = {.name = zone_name,
                                       .name_servers = servers,
                                       .name_server_count =
                                           take_list(json_object_get(root, "name_servers"), servers),
                                       .rivals = rivals,
                                       .rival_count = take_list(json_object_get(root, "rivals"), rivals)};
    const struct dnscheck_request request = {
        .zones = &zone,
        .zone_count = 1,
        .names = names,
        .name_count = count,
        .method = txt == NULL ? "ca-delegation" : "dns-01",
        .deadline_ms = (uint32_t)json_integer_value(json_object_get(root, "deadline_ms")),
    };
    const char *tag = json_string_value(json_object_get(root, "tag"));
    *check = (struct check){client, arena, tag == NULL ? "" : tag, clock_monotonic_ms()};
    client->pending++;
    if (perspectives_start(client->perspectives, arena, &request, print_result, check, &error) == NULL) {
        fprintf(stderr, "%s\n", error.message);
        exit(2);
    }
}

static void on_input(evutil_socket_t fd, short what, void *context) {
    (void)what;
    struct client *client = context;
    char *line;
    if (evbuffer_read(client->input, fd, -1) == 0) {
        client->has_ended = true;
        event_del(client->on_input);
        if (client->pending == 0)
            event_base_loopexit(client->base, NULL);
    }
    while ((line = evbuffer_readln(client->input, NULL, EVBUFFER_EOL_LF)) != NULL) {
        start_check(client, line);
        free(line);
    }
}

static struct dnscheck *make_dnscheck(struct event_base *base, const struct config *config,
                                      struct error *error) {
    const struct dnscheck_settings settings = {
        .root_hints_file = config->root_hints_file,
        .name_server_pool = (const char *const *)config->name_server_pool.items,
        .name_server_pool_count = config->name_server_pool.count,
        .port = (uint16_t)config->dns_port,
        .edge_prefixes = config->edge_prefixes,
        .edge_prefix_count = config->edge_prefix_count,
        .address_rules = config->address_rules,
        .deadline_ms = config->dns_deadline_ms,
        .query_timeout_ms = config->dns_query_timeout_ms,
        .max_queries = config->dns_max_queries,
        .tries = config->dns_tries,
        .max_cname = config->dns_max_cname,
        .referral_cache_entries = config->dns_referral_cache_entries,
        .referral_max_ttl = config->dns_referral_max_ttl,
        .max_concurrent_checks = config->dns_max_concurrent_checks,
        .max_per_server = config->dns_max_per_server,
    };
    return dnscheck_new(base, &settings, error);
}

int main(int argc, char **argv) {
    struct error error = {.message = "out of memory"};
    struct client client = {.base = event_base_new(), .input = evbuffer_new()};
    struct config *config = argc == 2 ? config_load(argv[1], stderr, &error) : NULL;
    struct dnscheck *dnscheck = config == NULL ? NULL : make_dnscheck(client.base, config, &error);
    client.perspectives = dnscheck == NULL ? NULL : perspectives_new(client.base, config, dnscheck, &error);
    if (client.perspectives == NULL) {
        fprintf(stderr, "perspective-client: %s\n", error.message);
        return 2;
    }
    fcntl(0, F_SETFL, fcntl(0, F_GETFL) | O_NONBLOCK);
    client.on_input = event_new(client.base, 0, EV_READ | EV_PERSIST, on_input, &client);
    event_add(client.on_input, NULL);
    event_base_dispatch(client.base);
    event_free(client.on_input);
    perspectives_free(client.perspectives);
    dnscheck_free(dnscheck);
    config_free(config);
    evbuffer_free(client.input);
    event_base_free(client.base);
    return 0;
}
