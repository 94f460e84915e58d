/* bench-dns-check: how many ownership checks one event loop does, what each costs, and what checks of zones
 * whose name servers are silent do to the others.
 *
 * One loop as a worker has it, no HTTP, no Redis: checks of z0.test ... against name servers that
 * scripts/bench-dns runs. `--silent N` first starts N checks of s0.test ..., which stay pending all the
 * while. `--silent-zone ZONE --name-servers A,B --names N` makes them checks of N names of that zone, and
 * `--count 0` stops there: the memory of a check that waits. Prints JSON. */
#include <getopt.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <event2/event.h>

#include "originca/dnscheck.h"

#define SETTLE_MS 1000 /* without a query sent, then every silent check waits for its answer */
#define SETTLE_ROUNDS 40
#define SERVERS_MAX 8
#define NAMES_MAX 100

struct options {
    const char *hints, *anchor, *silent_zone;
    const char *servers[SERVERS_MAX];
    unsigned server_count, names;
    unsigned port, zones, count, concurrency, silent, cache, deadline_ms, query_timeout_ms, share_ms;
};

struct bench {
    struct options options;
    struct event_base *base;
    struct dnscheck *dnscheck;
    double *latencies_ms;
    unsigned started, done, good, failed, queries, silent_ended;
};

struct running {
    struct bench *bench;
    struct arena *arena;
    int64_t started_us;
    bool is_silent;
};

static int64_t clock_us(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static bool start_one(struct bench *bench, unsigned number, bool is_silent);

static void on_result(void *context, const struct dnscheck_result *result) {
    struct running *running = context;
    struct bench *bench = running->bench;
    if (running->is_silent) {
        bench->silent_ended++;
    } else {
        bench->latencies_ms[bench->done++] = (double)(clock_us(CLOCK_MONOTONIC) - running->started_us) / 1000;
        bench->good += result->verdict == DNSCHECK_OK ? 1 : 0;
        bench->queries += result->queries;
        if (result->verdict != DNSCHECK_OK && bench->failed++ == 0)
            fprintf(stderr, "bench-dns-check: %s: %s\n",
                    result->zone_count == 0 ? "out of memory" : result->zones[0].text,
                    result->name_count == 0 ? "out of memory" : result->names[0].text);
    }
    arena_free(running->arena);
    bool was_silent = running->is_silent;
    free(running);
    if (!was_silent && bench->started < bench->options.count)
        (void)start_one(bench, bench->started++, false);
    if (bench->done == bench->options.count)
        event_base_loopbreak(bench->base);
}

static bool start_check(struct bench *bench, const struct dnscheck_zone *zone, unsigned name_count,
                        bool is_silent) {
    char hosts[NAMES_MAX][300];
    struct dnscheck_name names[NAMES_MAX];
    struct error error;
    for (unsigned i = 0; i < name_count; i++) {
        snprintf(hosts[i], sizeof hosts[i], "www%s%.0u.%s", i == 0 ? "" : "-", i, zone->name);
        names[i] = (struct dnscheck_name){.name = hosts[i]};
    }
    const struct dnscheck_request request = {
        .zones = zone, .zone_count = 1, .names = names, .name_count = name_count, .method = "ca-delegation"};
    struct running *running = calloc(1, sizeof *running);
    if (running == NULL)
        return false;
    *running = (struct running){bench, arena_new(0), clock_us(CLOCK_MONOTONIC), is_silent};
    if (running->arena != NULL &&
        dnscheck_start(bench->dnscheck, running->arena, &request, on_result, running, &error) != NULL)
        return true;
    fprintf(stderr, "bench-dns-check: %s\n", error.message);
    arena_free(running->arena);
    free(running);
    return false;
}

static bool start_one(struct bench *bench, unsigned number, bool is_silent) {
    static const char *const good_servers[] = {"ns1.provider.test", "ns2.provider.test"};
    static const char *const silent_servers[] = {"ns1.silent.test", "ns2.silent.test", "ns3.silent.test",
                                                 "ns4.silent.test", "ns5.silent.test"};
    const struct options *options = &bench->options;
    char zone_name[32];
    unsigned index = is_silent ? number : number % bench->options.zones;
    snprintf(zone_name, sizeof zone_name, "%c%u.test", is_silent ? 's' : 'z', index);
    const struct dnscheck_zone zone = {zone_name, is_silent ? silent_servers : good_servers,
                                       is_silent ? 5 : 2};
    const struct dnscheck_zone given = {options->silent_zone, options->servers, options->server_count};
    return start_check(bench, is_silent && options->silent_zone != NULL ? &given : &zone,
                       is_silent ? options->names : 1, is_silent);
}

static void run_for(struct bench *bench, long milliseconds) {
    const struct timeval delay = {.tv_sec = milliseconds / 1000, .tv_usec = milliseconds % 1000 * 1000};
    event_base_loopexit(bench->base, &delay);
    event_base_dispatch(bench->base);
}

static void settle(struct bench *bench) {
    uint64_t before = UINT64_MAX;
    for (int i = 0; i < SETTLE_ROUNDS && before != dnscheck_counters(bench->dnscheck)->queries; i++) {
        before = dnscheck_counters(bench->dnscheck)->queries;
        run_for(bench, SETTLE_MS);
    }
}

static bool start_silent(struct bench *bench, double *bytes_each) {
    unsigned count = bench->options.silent, first = 0;
    if (count == 0)
        return true;
    if (bench->options.silent_zone != NULL && count > 1) { /* the others know its parents, as in a worker */
        if (!start_one(bench, first++, true))
            return false;
        settle(bench);
    }
    size_t before = mallinfo2().uordblks;
    for (unsigned i = first; i < count; i++)
        if (!start_one(bench, i, true))
            return false;
    settle(bench);
    *bytes_each = (double)(mallinfo2().uordblks - before) / (count - first);
    return true;
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print_result(struct bench *bench, int64_t elapsed_us, int64_t cpu_us, double bytes_each) {
    unsigned count = bench->done;
    if (count == 0) {
        printf("{\"silent_pending\": %u, \"pending_bytes\": %.0f}\n",
               bench->options.silent - bench->silent_ended, bytes_each);
        return;
    }
    qsort(bench->latencies_ms, count, sizeof *bench->latencies_ms, compare);
    printf("{\"checks\": %u, \"good\": %u, \"per_second\": %.0f, \"cpu_us\": %.1f, \"queries\": %.2f, "
           "\"p50_ms\": "
           "%.3f, \"p99_ms\": %.3f, \"max_ms\": %.3f, \"silent_pending\": %u, \"pending_bytes\": %.0f}\n",
           count, bench->good, (double)count * 1e6 / (double)elapsed_us, (double)cpu_us / count,
           (double)bench->queries / count, bench->latencies_ms[count / 2],
           bench->latencies_ms[count * 99 / 100], bench->latencies_ms[count - 1],
           bench->options.silent - bench->silent_ended, bytes_each);
}

static bool run(struct bench *bench) {
    double bytes_each = 0;
    const struct options *options = &bench->options;
    bench->latencies_ms = calloc(options->count + 1, sizeof *bench->latencies_ms);
    if (bench->latencies_ms == NULL || !start_silent(bench, &bytes_each))
        return false;
    int64_t started = clock_us(CLOCK_MONOTONIC), cpu = clock_us(CLOCK_PROCESS_CPUTIME_ID);
    while (bench->started < options->concurrency && bench->started < options->count)
        if (!start_one(bench, bench->started++, false))
            return false;
    if (options->count > 0)
        event_base_dispatch(bench->base);
    if (bench->done < options->count)
        return false;
    print_result(bench, clock_us(CLOCK_MONOTONIC) - started, clock_us(CLOCK_PROCESS_CPUTIME_ID) - cpu,
                 bytes_each);
    return true;
}

static void split(char *text, struct options *options) {
    options->server_count = 0;
    for (char *rest, *one = strtok_r(text, ",", &rest); one != NULL && options->server_count < SERVERS_MAX;
         one = strtok_r(NULL, ",", &rest))
        options->servers[options->server_count++] = one;
}

static bool parse_options(int argc, char **argv, struct options *options) {
    static const struct option table[] = {{"root-hints", 1, NULL, 'h'},  {"trust-anchor", 1, NULL, 'a'},
                                          {"port", 1, NULL, 'p'},        {"zones", 1, NULL, 'z'},
                                          {"count", 1, NULL, 'n'},       {"concurrency", 1, NULL, 'c'},
                                          {"silent", 1, NULL, 's'},      {"cache", 1, NULL, 'r'},
                                          {"share-ms", 1, NULL, 'm'},    {"query-timeout-ms", 1, NULL, 't'},
                                          {"silent-zone", 1, NULL, 'Z'}, {"name-servers", 1, NULL, 'S'},
                                          {"names", 1, NULL, 'N'},       {0}};
    *options = (struct options){.zones = 1,
                                .count = 1000,
                                .concurrency = 1,
                                .cache = 10000,
                                .deadline_ms = 60000,
                                .query_timeout_ms = 60000,
                                .names = 1};
    for (int option; (option = getopt_long(argc, argv, "", table, NULL)) != -1;) {
        unsigned number = optarg == NULL ? 0 : (unsigned)strtoul(optarg, NULL, 10);
        if (option == 'h')
            options->hints = optarg;
        else if (option == 'a')
            options->anchor = optarg;
        else if (option == 'p')
            options->port = number;
        else if (option == 'z')
            options->zones = number;
        else if (option == 'n')
            options->count = number;
        else if (option == 'c')
            options->concurrency = number;
        else if (option == 's')
            options->silent = number;
        else if (option == 'r')
            options->cache = number;
        else if (option == 't')
            options->query_timeout_ms = number;
        else if (option == 'm')
            options->share_ms = number;
        else if (option == 'Z')
            options->silent_zone = optarg;
        else if (option == 'N')
            options->names = number;
        else if (option == 'S')
            split(optarg, options);
        else
            return false;
    }
    return options->hints != NULL && options->port > 0 && options->zones > 0 && options->concurrency > 0 &&
           options->names <= NAMES_MAX && (options->count > 0 || options->silent > 0) &&
           (options->silent_zone == NULL || options->server_count > 0);
}

int main(int argc, char **argv) {
    static struct config_prefix loopback = {.family = AF_INET, .bytes = {127}, .bits = 8};
    static const struct config_prefix edge = {.family = AF_INET, .bytes = {203, 0, 113}, .bits = 24};
    struct bench bench = {0};
    struct error error;
    if (!parse_options(argc, argv, &bench.options)) {
        fputs("Usage: bench-dns-check --root-hints FILE --port N [--trust-anchor FILE] [--zones N] [--count "
              "N]\n"
              "       [--concurrency N] [--silent N [--silent-zone ZONE --name-servers A,B] [--names N]]\n"
              "       [--cache ENTRIES] [--share-ms N] [--query-timeout-ms N]\n",
              stderr);
        return 2;
    }
    const struct dnscheck_settings settings = {.trust_anchor_file = bench.options.anchor,
                                               .root_hints_file = bench.options.hints,
                                               .port = (uint16_t)bench.options.port,
                                               .edge_prefixes = &edge,
                                               .edge_prefix_count = 1,
                                               .address_rules = {.allowed = &loopback, .allowed_count = 1},
                                               .deadline_ms = bench.options.deadline_ms,
                                               .query_timeout_ms = bench.options.query_timeout_ms,
                                               .max_queries = 100,
                                               .tries = 2,
                                               .max_cname = 8,
                                               .referral_cache_entries = bench.options.cache,
                                               .referral_max_ttl = 300,
                                               .max_concurrent_checks = 100000,
                                               .max_per_server = 200,
                                               .share_ms = bench.options.share_ms};
    bench.base = event_base_new();
    bench.dnscheck = bench.base == NULL ? NULL : dnscheck_new(bench.base, &settings, &error);
    bool is_good = bench.dnscheck != NULL && run(&bench);
    if (bench.dnscheck == NULL)
        fprintf(stderr, "bench-dns-check: %s\n", error.message);
    dnscheck_free(bench.dnscheck);
    free(bench.latencies_ms);
    if (bench.base != NULL)
        event_base_free(bench.base);
    return is_good && bench.failed == 0 ? 0 : 1;
}
