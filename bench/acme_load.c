/* acme-load: issues certificates through the whole ACME path as fast as the server allows and says what it
 * cost.
 *
 * Each thread has an account and a connection and repeats: newOrder, finalize, certificate. Latencies are
 * kept for each step and printed as percentiles. The server's CPU (supervisor's children: workers and signer;
 * and Redis) is read from /proc before and after, so the cost of one issuance is the server's alone, whatever
 * this program uses. */
#include <dirent.h>
#include <getopt.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "load.h"

enum step_kind { STEP_CONNECT, STEP_NEW_ORDER, STEP_FINALIZE, STEP_CERTIFICATE, STEP_WHOLE, STEP_KINDS };
static const char *const step_names[STEP_KINDS] = {"connect", "newOrder", "finalize", "certificate", "whole"};

struct options {
    const char *directory, *ca_bundle, *kid, *hmac, *zone, *key_type;
    unsigned concurrency, count, names, accounts;
    bool reuse_connection, as_json;
    pid_t server_pid, redis_pid;
};

struct samples {
    double *values; /* milliseconds */
    size_t count, capacity;
};

struct load {
    struct options options;
    struct bench_target target;
    struct bench_account *accounts;
    gnutls_x509_privkey_t key; /* of every certificate: making keys is the client's business */
    atomic_uint started, succeeded, failed;
};

struct runner {
    struct load *load;
    unsigned number;
    struct samples samples[STEP_KINDS];
    char first_error[ERROR_MESSAGE_MAX];
};

static void add_sample(struct samples *samples, double value) {
    if (samples->count == samples->capacity) {
        samples->capacity = samples->capacity == 0 ? 1024 : samples->capacity * 2;
        samples->values = realloc(samples->values, samples->capacity * sizeof *samples->values);
        if (samples->values == NULL)
            abort();
    }
    samples->values[samples->count++] = value;
}

/* A CSR for the names, base64url, signed by the one key of this run. */
static char *make_csr(struct arena *arena, gnutls_x509_privkey_t key, char **names, unsigned count) {
    gnutls_datum_t der;
    if (!load_make_csr(key, names, count, GNUTLS_X509_FMT_DER, &der))
        return NULL;
    char *text = base64url_encode(arena, der.data, der.size);
    gnutls_free(der.data);
    return text;
}

static char **make_names(struct arena *arena, const struct load *load, unsigned serial) {
    char **names = arena_alloc(arena, load->options.names * sizeof *names);
    for (unsigned i = 0; names != NULL && i < load->options.names; i++)
        names[i] = arena_printf(arena, "b%u-%u-%u.%s", (unsigned)getpid(), serial, i, load->options.zone);
    return names;
}

static char *make_order(struct arena *arena, char **names, unsigned count) {
    struct text text;
    text_init(&text, arena);
    text_append(&text, "{\"identifiers\":[");
    for (unsigned i = 0; i < count; i++)
        text_printf(&text, "%s{\"type\":\"dns\",\"value\":\"%s\"}", i == 0 ? "" : ",", names[i]);
    text_append(&text, "]}");
    return text.data;
}

static bool post_expecting(struct bench_connection *connection, struct arena *arena,
                           const struct bench_account *account, const char *url, const char *payload,
                           unsigned status, struct bench_reply *reply, struct samples *samples,
                           struct error *error) {
    double started = load_now_ms();
    if (!bench_post(connection, arena, account, url, payload, reply, error))
        return false;
    add_sample(samples, load_now_ms() - started);
    return reply->status == status ||
           error_set(error, ERROR_REFUSED, "%s: %u %.300s", url, reply->status, reply->body);
}

static bool issue_one(struct runner *runner, struct bench_connection *connection, struct arena *arena,
                      unsigned serial, struct error *error) {
    struct load *load = runner->load;
    const struct bench_account *account = &load->accounts[runner->number % load->options.accounts];
    struct bench_reply reply;
    char **names = make_names(arena, load, serial);
    char *csr = names == NULL ? NULL : make_csr(arena, load->key, names, load->options.names);
    char *order_request = names == NULL ? NULL : make_order(arena, names, load->options.names);
    if (csr == NULL || order_request == NULL)
        return error_set(error, ERROR_INTERNAL, "cannot make a CSR");
    if (!post_expecting(connection, arena, account, load->target.new_order, order_request, 201, &reply,
                        &runner->samples[STEP_NEW_ORDER], error))
        return false;
    json_t *order = json_parse(arena, reply.body, reply.length, error);
    const char *finalize = order == NULL ? NULL : json_get_string(order, "finalize", error);
    if (finalize == NULL ||
        !post_expecting(connection, arena, account, finalize, arena_printf(arena, "{\"csr\":\"%s\"}", csr),
                        200, &reply, &runner->samples[STEP_FINALIZE], error))
        return false;
    order = json_parse(arena, reply.body, reply.length, error);
    const char *certificate = order == NULL ? NULL : json_get_string(order, "certificate", error);
    return certificate != NULL && post_expecting(connection, arena, account, certificate, NULL, 200, &reply,
                                                 &runner->samples[STEP_CERTIFICATE], error);
}

static bool ensure_connected(struct runner *runner, struct bench_connection *connection,
                             struct error *error) {
    if (connection->session != NULL)
        return true;
    double started = load_now_ms();
    if (!bench_connect(connection, &runner->load->target, error))
        return false;
    add_sample(&runner->samples[STEP_CONNECT], load_now_ms() - started);
    return true;
}

static void *run(void *argument) {
    struct runner *runner = argument;
    struct load *load = runner->load;
    struct bench_connection *connection = bench_connection_new();
    if (connection == NULL)
        abort();
    for (;;) {
        unsigned serial = atomic_fetch_add(&load->started, 1);
        if (serial >= load->options.count)
            break;
        struct error error = {0};
        struct arena *arena = arena_new(0);
        double started = load_now_ms();
        if (ensure_connected(runner, connection, &error) &&
            issue_one(runner, connection, arena, serial, &error)) {
            add_sample(&runner->samples[STEP_WHOLE], load_now_ms() - started);
            atomic_fetch_add(&load->succeeded, 1);
        } else {
            if (atomic_fetch_add(&load->failed, 1) == 0)
                snprintf(runner->first_error, sizeof runner->first_error, "%s", error.message);
            bench_disconnect(connection);
        }
        if (!load->options.reuse_connection)
            bench_disconnect(connection);
        arena_free(arena);
    }
    bench_connection_free(connection);
    return NULL;
}

/* --- the server's CPU and memory, from /proc --- */

struct process_use {
    double cpu_ms;
    long resident_kb;
};

static bool read_stat(pid_t pid, pid_t *parent, double *cpu_ms, long *resident_kb) {
    char path[64], line[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return false;
    bool is_read = fgets(line, sizeof line, file) != NULL;
    fclose(file);
    char *rest = is_read ? strrchr(line, ')') : NULL;
    unsigned long user = 0, kernel = 0;
    int ppid = 0;
    long pages = 0;
    if (rest == NULL ||
        sscanf(rest + 2,
               "%*c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %*d %*d %*d %*d %*d %*d %*u %*u %ld",
               &ppid, &user, &kernel, &pages) != 4)
        return false;
    *parent = ppid;
    *cpu_ms = (double)(user + kernel) * 1000.0 / (double)sysconf(_SC_CLK_TCK);
    *resident_kb = pages * sysconf(_SC_PAGESIZE) / 1024;
    return true;
}

/* Nanoseconds where the kernel has them, not ticks of 10 ms, of all threads: /proc/PID/schedstat is the first
 * one's alone. */
static double precise_cpu_ms(pid_t pid, double otherwise) {
    char path[300];
    double sum = 0;
    bool is_read = false;
    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    DIR *tasks = opendir(path);
    for (struct dirent *entry; tasks != NULL && (entry = readdir(tasks)) != NULL;) {
        unsigned long long nanoseconds;
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "/proc/%d/task/%s/schedstat", (int)pid, entry->d_name);
        FILE *file = fopen(path, "re");
        if (file != NULL && fscanf(file, "%llu", &nanoseconds) == 1) {
            sum += (double)nanoseconds / 1e6;
            is_read = true;
        }
        if (file != NULL)
            fclose(file);
    }
    if (tasks != NULL)
        closedir(tasks);
    return is_read ? sum : otherwise;
}

static struct process_use children_of(pid_t supervisor) {
    struct process_use use = {0};
    DIR *proc = opendir("/proc");
    for (struct dirent *entry; proc != NULL && (entry = readdir(proc)) != NULL;) {
        pid_t pid = atoi(entry->d_name), parent;
        double cpu;
        long resident;
        if (pid > 0 && read_stat(pid, &parent, &cpu, &resident) &&
            (parent == supervisor || pid == supervisor)) {
            use.cpu_ms += precise_cpu_ms(pid, cpu);
            use.resident_kb += resident;
        }
    }
    if (proc != NULL)
        closedir(proc);
    return use;
}

static struct process_use one_process(pid_t pid) {
    struct process_use use = {0};
    pid_t parent;
    if (pid > 0 && read_stat(pid, &parent, &use.cpu_ms, &use.resident_kb))
        use.cpu_ms = precise_cpu_ms(pid, use.cpu_ms);
    return use;
}

/* --- report --- */

static void merge(struct samples *all, const struct runner *runners, unsigned count, int kind) {
    for (unsigned i = 0; i < count; i++)
        for (size_t k = 0; k < runners[i].samples[kind].count; k++)
            add_sample(all, runners[i].samples[kind].values[k]);
    load_sort(all->values, all->count);
}

static json_t *report_steps(const struct runner *runners, const struct options *options) {
    json_t *steps = json_object();
    if (!options->as_json)
        printf("%-12s %8s %9s %9s %9s %9s %9s\n", "step", "count", "p50 ms", "p90 ms", "p99 ms", "p99.9 ms",
               "max ms");
    for (int kind = 0; kind < STEP_KINDS; kind++) {
        struct samples all = {0};
        merge(&all, runners, options->concurrency, kind);
        static const double shares[] = {0.5, 0.9, 0.99, 0.999, 1};
        double p[5];
        for (size_t i = 0; i < 5; i++)
            p[i] = load_percentile(all.values, all.count, shares[i]);
        if (!options->as_json)
            printf("%-12s %8zu %9.2f %9.2f %9.2f %9.2f %9.2f\n", step_names[kind], all.count, p[0], p[1],
                   p[2], p[3], p[4]);
        json_object_set_new(steps, step_names[kind],
                            json_pack("{s:I, s:f, s:f, s:f, s:f, s:f}", "count", (json_int_t)all.count,
                                      "p50_ms", p[0], "p90_ms", p[1], "p99_ms", p[2], "p999_ms", p[3],
                                      "max_ms", p[4]));
        free(all.values);
    }
    return steps;
}

static void report(const struct load *load, const struct runner *runners, double wall_ms,
                   struct process_use server, struct process_use redis, long resident_growth_kb) {
    unsigned done = load->succeeded > 0 ? load->succeeded : 1;
    double server_us = server.cpu_ms * 1000 / done, redis_us = redis.cpu_ms * 1000 / done;
    json_t *steps = report_steps(runners, &load->options);
    if (load->options.as_json) {
        json_t *json =
            json_pack("{s:I, s:I, s:f, s:f, s:f, s:f, s:I, s:o}", "issued", (json_int_t)load->succeeded,
                      "failed", (json_int_t)load->failed, "seconds", wall_ms / 1000, "per_second",
                      load->succeeded * 1000.0 / wall_ms, "server_cpu_us", server_us, "redis_cpu_us",
                      redis_us, "resident_growth_kb", (json_int_t)resident_growth_kb, "steps", steps);
        json_dumpf(json, stdout, JSON_INDENT(2));
        putchar('\n');
        json_decref(json);
        return;
    }
    json_decref(steps);
    printf("\n%u certificates in %.2f s: %.1f a second; %u failed\n", load->succeeded, wall_ms / 1000,
           load->succeeded * 1000.0 / wall_ms, load->failed);
    if (load->options.server_pid > 0)
        printf("CPU of one issuance: %.0f us server (workers and signer), %.0f us Redis; resident memory "
               "%+ld kB\n",
               server_us, redis_us, resident_growth_kb);
}

/* --- setting up --- */

static bool make_key(struct load *load, struct error *error) {
    bool is_rsa = strncmp(load->options.key_type, "rsa", 3) == 0;
    unsigned bits = is_rsa ? (unsigned)atoi(load->options.key_type + 3)
                           : GNUTLS_CURVE_TO_BITS(strcmp(load->options.key_type, "p384") == 0
                                                      ? GNUTLS_ECC_CURVE_SECP384R1
                                                      : GNUTLS_ECC_CURVE_SECP256R1);
    gnutls_x509_privkey_init(&load->key);
    if (gnutls_x509_privkey_generate(load->key, is_rsa ? GNUTLS_PK_RSA : GNUTLS_PK_ECDSA, bits, 0) < 0)
        return error_set(error, ERROR_INVALID, "cannot make a key of type %s (rsa2048, rsa4096, p256, p384)",
                         load->options.key_type);
    return true;
}

static bool register_accounts(struct load *load, struct arena *arena, struct error *error) {
    struct bench_connection *connection = bench_connection_new();
    bool is_good = connection != NULL && bench_connect(connection, &load->target, error);
    load->accounts = calloc(load->options.accounts, sizeof *load->accounts);
    for (unsigned i = 0; is_good && load->accounts != NULL && i < load->options.accounts; i++)
        is_good = bench_account_init(&load->accounts[i], arena, error) &&
                  bench_account_register(connection, &load->accounts[i], arena, load->options.kid,
                                         load->options.hmac, error);
    bench_connection_free(connection);
    return is_good && load->accounts != NULL;
}

static int measure(struct load *load) {
    struct runner *runners = calloc(load->options.concurrency, sizeof *runners);
    double wall_ms;
    if (runners == NULL)
        return 1;
    struct process_use server_before = children_of(load->options.server_pid),
                       redis_before = one_process(load->options.redis_pid);
    for (unsigned i = 0; i < load->options.concurrency; i++)
        runners[i] = (struct runner){.load = load, .number = i};
    if (!load_run_threads(run, runners, sizeof *runners, load->options.concurrency, &wall_ms))
        return 1;
    struct process_use server = children_of(load->options.server_pid),
                       redis = one_process(load->options.redis_pid);
    long growth = server.resident_kb - server_before.resident_kb;
    server.cpu_ms -= server_before.cpu_ms;
    redis.cpu_ms -= redis_before.cpu_ms;
    report(load, runners, wall_ms, server, redis, growth);
    for (unsigned i = 0; i < load->options.concurrency; i++)
        if (runners[i].first_error[0] != '\0')
            fprintf(stderr, "first failure of thread %u: %s\n", i, runners[i].first_error);
    return load->failed == 0 ? 0 : 1;
}

static void usage(FILE *out) {
    fputs("Usage: acme-load --directory URL --ca FILE --zone ZONE [--eab-kid K --eab-hmac H] [options]\n"
          "  --count N        certificates in all (1000)\n"
          "  --concurrency N  threads, each with a connection (8)\n"
          "  --accounts N     accounts shared by the threads (8)\n"
          "  --names N        names in an order (1)\n"
          "  --key TYPE       p256, p384, rsa2048, rsa4096 (p256)\n"
          "  --reuse          keep the connection between issuances (a new one each otherwise)\n"
          "  --server-pid P --redis-pid P   whose CPU to count\n"
          "  --json\n",
          out);
}

static bool parse_options(int argc, char **argv, struct options *options) {
    static const struct option table[] = {
        {"directory", 1, NULL, 'd'},   {"ca", 1, NULL, 'c'},       {"zone", 1, NULL, 'z'},
        {"eab-kid", 1, NULL, 'k'},     {"eab-hmac", 1, NULL, 'h'}, {"count", 1, NULL, 'n'},
        {"concurrency", 1, NULL, 'j'}, {"accounts", 1, NULL, 'a'}, {"names", 1, NULL, 'm'},
        {"key", 1, NULL, 't'},         {"reuse", 0, NULL, 'r'},    {"server-pid", 1, NULL, 's'},
        {"redis-pid", 1, NULL, 'p'},   {"json", 0, NULL, 'o'},     {0},
    };
    *options =
        (struct options){.key_type = "p256", .concurrency = 8, .count = 1000, .names = 1, .accounts = 8};
    for (int option; (option = getopt_long(argc, argv, "", table, NULL)) != -1;) {
        unsigned number = optarg == NULL ? 0 : (unsigned)strtoul(optarg, NULL, 10);
        switch (option) {
        case 'd':
            options->directory = optarg;
            break;
        case 'c':
            options->ca_bundle = optarg;
            break;
        case 'z':
            options->zone = optarg;
            break;
        case 'k':
            options->kid = optarg;
            break;
        case 'h':
            options->hmac = optarg;
            break;
        case 'n':
            options->count = number;
            break;
        case 'j':
            options->concurrency = number;
            break;
        case 'a':
            options->accounts = number;
            break;
        case 'm':
            options->names = number;
            break;
        case 't':
            options->key_type = optarg;
            break;
        case 'r':
            options->reuse_connection = true;
            break;
        case 's':
            options->server_pid = (pid_t)number;
            break;
        case 'p':
            options->redis_pid = (pid_t)number;
            break;
        case 'o':
            options->as_json = true;
            break;
        default:
            return false;
        }
    }
    return options->directory != NULL && options->ca_bundle != NULL && options->zone != NULL &&
           options->concurrency > 0 && options->accounts > 0 && options->names > 0;
}

int main(int argc, char **argv) {
    struct load load = {0};
    struct error error = {0};
    if (!parse_options(argc, argv, &load.options)) {
        usage(stderr);
        return 2;
    }
    struct arena *arena = arena_new(0);
    if (arena == NULL ||
        !bench_target_init(&load.target, load.options.directory, load.options.ca_bundle, &error) ||
        !make_key(&load, &error) || !register_accounts(&load, arena, &error)) {
        fprintf(stderr, "acme-load: %s\n", error.message);
        return 1;
    }
    int status = measure(&load);
    arena_free(arena);
    return status;
}
