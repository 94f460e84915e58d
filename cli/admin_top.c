/* `originca admin top`: an overview that renews itself on a terminal, and plain blocks of text (or a JSON
 * document a line) elsewhere. What it shows is worked out in top_numbers.c. */
#include "admin_top.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LOOK_MEMORY (64u * 1024 * 1024)
#define DEFAULT_INTERVAL 2.0 /* each worker adds its counters to the common ones once a second */
#define CLEAR_SCREEN "\033[H\033[2J"

static bool read_interval(const struct cli *cli, double *seconds) {
    char *end;
    *seconds = DEFAULT_INTERVAL;
    if (cli->interval == NULL)
        return true;
    *seconds = strtod(cli->interval, &end);
    return end != cli->interval && *end == '\0' && *seconds >= 0.1 && *seconds <= 3600;
}

static void wait_for(double seconds) {
    struct timespec left = {.tv_sec = (time_t)seconds};
    left.tv_nsec = (long)((seconds - floor(seconds)) * 1e9);
    while (nanosleep(&left, &left) != 0)
        continue;
}

static double number(const json_t *json, const char *key) {
    return json_number_value(json_object_get(json, key));
}

static void print_rates(const json_t *rates) {
    printf("certificates  %9.2f/s   revocations %.2f/s\n", number(rates, "certificates"),
           number(rates, "revocations"));
    printf("requests      %9.2f/s   2xx %.2f  3xx %.2f  4xx %.2f  5xx %.2f  malformed %.2f\n",
           number(rates, "requests"), number(rates, "replies_2xx"), number(rates, "replies_3xx"),
           number(rates, "replies_4xx"), number(rates, "replies_5xx"), number(rates, "malformed"));
    printf("TLS           %9.2f/s   failed %.2f\n", number(rates, "tls_handshakes"),
           number(rates, "tls_failures"));
    printf("DNS checks    %9.2f/s   queries %.2f  without answer %.2f\n", number(rates, "dns_checks"),
           number(rates, "dns_queries"), number(rates, "dns_timeouts"));
    printf("Redis         %9.2f/s\n", number(rates, "redis_commands"));
}

static void print_steps(const json_t *steps) {
    size_t i;
    const json_t *step;
    if (json_array_size(steps) == 0)
        return;
    printf("\n%-44s %7s %10s %10s\n", "slowest steps", "count", "p50 ms", "p95 ms");
    json_array_foreach(steps, i, step) {
        char name[128];
        snprintf(name, sizeof name, "%s: %s", json_text(step, "operation"), json_text(step, "step"));
        printf("  %-42.42s %7.0f %10.2f %10.2f\n", name, number(step, "count"), number(step, "p50_ms"),
               number(step, "p95_ms"));
    }
}

static void print_state(const json_t *numbers) {
    const json_t *zones = json_object_get(numbers, "zones_by_status"),
                 *waiting = json_object_get(numbers, "orders_waiting"), *count;
    const char *status;
    if (zones == NULL)
        return;
    printf("\nzones         ");
    json_object_foreach((json_t *)zones, status, count)
        printf(" %s %lld ", status, (long long)json_integer_value(count));
    printf("\norders         pending %.0f  processing %.0f\n", number(waiting, "pending"),
           number(waiting, "processing"));
    printf("certificates   all %.0f  revoked %.0f  expiring in 7 days %.0f\n",
           number(numbers, "certificates"), number(numbers, "certificates_revoked"),
           number(numbers, "certificates_expiring_7d"));
    printf("ledger         %.0f records behind, %.0f intents without outcome\n",
           number(numbers, "ledger_records_behind"), number(numbers, "intents_without_outcome"));
    printf("Redis memory   %.1f MiB\n", number(numbers, "redis_memory_bytes") / 1048576);
}

static void print_screen(const struct cli *cli, const json_t *numbers) {
    const json_t *alarms = json_object_get(numbers, "alarms"), *alarm;
    bool is_ready = json_is_true(json_object_get(numbers, "ready"));
    const char *red = cli->has_colour ? "\033[31m" : "", *plain = cli->has_colour ? "\033[0m" : "";
    size_t i;
    printf("originca  %s  %s%s%s  over %.1f s\n\n", json_text(numbers, "time"), is_ready ? "" : red,
           is_ready ? "ready" : "NOT READY", is_ready ? "" : plain, number(numbers, "seconds"));
    print_rates(json_object_get(numbers, "rates_per_second"));
    print_steps(json_object_get(numbers, "slowest_steps"));
    print_state(numbers);
    printf("\n%s\n", json_array_size(alarms) == 0 ? "no alarms" : "ALARMS");
    json_array_foreach(alarms, i, alarm) printf("  %s%s%s\n", red, json_string_value(alarm), plain);
}

static void show(const struct cli *cli, const json_t *numbers, bool is_first) {
    if (cli->as_json && cli->is_once) {
        print_json(numbers);
    } else if (cli->as_json) {
        json_dumpf(numbers, stdout, JSON_COMPACT);
        putchar('\n');
    } else {
        if (isatty(STDOUT_FILENO) && !cli->is_once)
            fputs(CLEAR_SCREEN, stdout);
        else if (!is_first)
            putchar('\n');
        print_screen(cli, numbers);
    }
}

/* A server that goes away is an alarm of the screen; one that was never there ends the program. */
int admin_top(struct cli *cli) {
    double seconds;
    if (!read_interval(cli, &seconds)) {
        error_set(&cli->error, ERROR_INVALID, "--interval is a number of seconds from 0.1 to 3600");
        return EXIT_USAGE;
    }
    struct look first, before, now;
    struct client client = {.socket = cli->client.socket, .arena = arena_new(LOOK_MEMORY)};
    struct arena *first_arena = client.arena;
    int status = EXIT_NO_SERVER;
    bool is_first = true;
    top_look(&client, &first);
    if (first.metrics == NULL) {
        cli->error = first.error;
        arena_free(client.arena);
        return EXIT_NO_SERVER;
    }
    before = first;
    do {
        struct arena *former = client.arena;
        wait_for(seconds);
        client.arena = arena_new(LOOK_MEMORY);
        top_look(&client, &now);
        status = now.metrics == NULL ? EXIT_NO_SERVER : EXIT_OK;
        if (status != EXIT_OK && cli->is_once)
            cli->error = now.error;
        else
            show(cli, top_numbers(client.arena, &first, &before, &now), is_first);
        if (former != first_arena)
            arena_free(former);
        before = now;
        is_first = false;
    } while (!cli->is_once && fflush(stdout) == 0);
    arena_free(client.arena);
    arena_free(first_arena);
    return status;
}
