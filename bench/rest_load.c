/* rest-load: sends certification requests to a REST signing API, one POST each, as fast as it answers.
 *
 * It speaks to originca's /client/v4/certificates and to cfssl's /api/v1/cfssl/sign, so that both sign the
 * same requests over the same TLS client. The requests are made beforehand (--write-csrs) and read from a
 * file: making them is not part of what is measured. Whose CPU was used is for the caller to read from /proc.
 */
#include <getopt.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "load.h"

struct options {
    const char *url, *ca_bundle, *header, *csrs, *zone, *write_to;
    unsigned concurrency, count, first;
    bool reuse_connection, is_cfssl;
};

struct load {
    struct options options;
    struct bench_target target;
    char **bodies;
    double *latencies; /* milliseconds, one for each body */
    atomic_uint started, failed;
};

struct runner {
    struct load *load;
    struct bench_connection *connection;
    char first_error[ERROR_MESSAGE_MAX];
};

/* --- making requests --- */

/* All by one key: making keys is the client's business. Each has a name of its own, because originca takes
 * the same create twice as one. */
static bool write_csrs(const struct options *options, struct error *error) {
    gnutls_x509_privkey_t key;
    gnutls_x509_privkey_init(&key);
    json_t *all = json_array();
    bool is_good = gnutls_x509_privkey_generate(key, GNUTLS_PK_ECDSA,
                                                GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0) >= 0;
    for (unsigned i = 0; is_good && i < options->count; i++) {
        char text[300], *name = text;
        gnutls_datum_t csr = {0};
        snprintf(text, sizeof text, "r%u.%s", i, options->zone);
        is_good = load_make_csr(key, &name, 1, GNUTLS_X509_FMT_PEM, &csr) &&
                  json_array_append_new(all, json_pack("{s:s, s:s}", "name", name, "csr", csr.data)) == 0;
        gnutls_free(csr.data);
    }
    is_good = is_good && json_dump_file(all, options->write_to, JSON_COMPACT) == 0;
    json_decref(all);
    gnutls_x509_privkey_deinit(key);
    return is_good || error_set(error, ERROR_INTERNAL, "cannot write requests to %s", options->write_to);
}

/* --- sending them --- */

static char *make_body(bool is_cfssl, const char *name, const char *csr) {
    json_t *body = is_cfssl ? json_pack("{s:s, s:[s]}", "certificate_request", csr, "hosts", name)
                            : json_pack("{s:s, s:[s], s:s, s:i}", "csr", csr, "hostnames", name,
                                        "request_type", "origin-ecc", "requested_validity", 90);
    char *text = body == NULL ? NULL : json_dumps(body, JSON_COMPACT);
    json_decref(body);
    return text;
}

static bool read_bodies(struct load *load, struct error *error) {
    const struct options *options = &load->options;
    json_t *all = json_load_file(options->csrs, 0, NULL);
    load->bodies = calloc(options->count, sizeof *load->bodies);
    load->latencies = calloc(options->count, sizeof *load->latencies);
    bool is_good = all != NULL && load->bodies != NULL && load->latencies != NULL &&
                   json_array_size(all) >= (size_t)options->first + options->count;
    for (unsigned i = 0; is_good && i < options->count; i++) {
        const char *name, *csr;
        is_good = json_unpack(json_array_get(all, options->first + i), "{s:s, s:s}", "name", &name, "csr",
                              &csr) == 0 &&
                  (load->bodies[i] = make_body(options->is_cfssl, name, csr)) != NULL;
    }
    json_decref(all);
    return is_good || error_set(error, ERROR_INVALID, "%s does not hold %u requests from number %u on",
                                options->csrs, options->count, options->first);
}

static bool issue_one(struct runner *runner, struct arena *arena, unsigned serial, struct error *error) {
    struct load *load = runner->load;
    struct bench_connection *connection = runner->connection;
    struct bench_reply reply;
    if (connection->session == NULL && !bench_connect(connection, &load->target, error))
        return false;
    if (!bench_request(connection, arena, "POST", load->options.url, load->bodies[serial], &reply, error))
        return false;
    return (reply.status == 200 && strstr(reply.body, "-----BEGIN CERTIFICATE-----") != NULL) ||
           error_set(error, ERROR_REFUSED, "%u %.300s", reply.status, reply.body);
}

static void *run(void *argument) {
    struct runner *runner = argument;
    struct load *load = runner->load;
    unsigned serial;
    while ((serial = atomic_fetch_add(&load->started, 1)) < load->options.count) {
        struct error error = {0};
        struct arena *arena = arena_new(0);
        double started = load_now_ms();
        bool is_issued = issue_one(runner, arena, serial, &error);
        load->latencies[serial] = load_now_ms() - started;
        if (!is_issued && atomic_fetch_add(&load->failed, 1) == 0)
            snprintf(runner->first_error, sizeof runner->first_error, "%s", error.message);
        if (!is_issued || !load->options.reuse_connection)
            bench_disconnect(runner->connection);
        arena_free(arena);
    }
    bench_disconnect(runner->connection);
    return NULL;
}

static int measure(struct load *load) {
    unsigned count = load->options.concurrency, done = load->options.count;
    struct runner *runners = calloc(count, sizeof *runners);
    double wall_ms = 0;
    bool is_run = runners != NULL;
    for (unsigned i = 0; is_run && i < count; i++) {
        runners[i].load = load;
        runners[i].connection = bench_connection_new();
        is_run = runners[i].connection != NULL;
    }
    is_run = is_run && load_run_threads(run, runners, sizeof *runners, count, &wall_ms);
    for (unsigned i = 0; runners != NULL && i < count; i++) {
        if (runners[i].first_error[0] != '\0')
            fprintf(stderr, "rest-load: first failure: %s\n", runners[i].first_error);
        bench_connection_free(runners[i].connection);
    }
    free(runners);
    if (!is_run)
        return 1;
    load_sort(load->latencies, done);
    printf("{\"issued\": %u, \"failed\": %u, \"per_second\": %.2f, \"p50_ms\": %.3f, \"p99_ms\": %.3f}\n",
           done - load->failed, load->failed, (done - load->failed) * 1e3 / wall_ms,
           load_percentile(load->latencies, done, 0.5), load_percentile(load->latencies, done, 0.99));
    return load->failed == 0 ? 0 : 1;
}

static void usage(FILE *out) {
    fputs("Usage: rest-load --write-csrs FILE --zone ZONE --count N\n"
          "       rest-load --url URL --ca FILE --csrs FILE [options]\n"
          "  --count N        requests in all (1000)\n"
          "  --first N        number of the first one in the file (0)\n"
          "  --concurrency N  threads, each with a connection (8)\n"
          "  --header TEXT    a header line, for the key\n"
          "  --reuse          keep the connection between requests (a new one each otherwise)\n"
          "  --cfssl          the body that cfssl's sign wants\n",
          out);
}

static bool parse_options(int argc, char **argv, struct options *options) {
    static const struct option table[] = {
        {"url", 1, NULL, 'u'},         {"ca", 1, NULL, 'c'},    {"header", 1, NULL, 'h'},
        {"csrs", 1, NULL, 'f'},        {"zone", 1, NULL, 'z'},  {"write-csrs", 1, NULL, 'w'},
        {"concurrency", 1, NULL, 'j'}, {"count", 1, NULL, 'n'}, {"first", 1, NULL, 'i'},
        {"reuse", 0, NULL, 'r'},       {"cfssl", 0, NULL, 's'}, {0},
    };
    *options = (struct options){.concurrency = 8, .count = 1000};
    const char **texts[] = {['u'] = &options->url,  ['c'] = &options->ca_bundle, ['h'] = &options->header,
                            ['f'] = &options->csrs, ['z'] = &options->zone,      ['w'] = &options->write_to};
    unsigned *numbers[] = {['j'] = &options->concurrency, ['n'] = &options->count, ['i'] = &options->first};
    for (int option; (option = getopt_long(argc, argv, "", table, NULL)) != -1;) {
        if (option == 'r')
            options->reuse_connection = true;
        else if (option == 's')
            options->is_cfssl = true;
        else if (strchr("jni", option) != NULL)
            *numbers[option] = (unsigned)strtoul(optarg, NULL, 10);
        else if (strchr("uchfzw", option) != NULL)
            *texts[option] = optarg;
        else
            return false;
    }
    bool is_complete = options->write_to != NULL
                           ? options->zone != NULL
                           : options->url != NULL && options->ca_bundle != NULL && options->csrs != NULL;
    return is_complete && options->concurrency > 0 && options->count > 0;
}

int main(int argc, char **argv) {
    struct load load = {0};
    struct error error = {0};
    if (!parse_options(argc, argv, &load.options)) {
        usage(stderr);
        return 2;
    }
    char headers[512];
    snprintf(headers, sizeof headers, "Content-Type: application/json\r\n%s%s",
             load.options.header == NULL ? "" : load.options.header,
             load.options.header == NULL ? "" : "\r\n");
    int status = 1;
    if (load.options.write_to != NULL)
        status = write_csrs(&load.options, &error) ? 0 : 1;
    else if (bench_target_init_plain(&load.target, load.options.url, load.options.ca_bundle, headers,
                                     &error) &&
             read_bodies(&load, &error))
        status = measure(&load);
    if (error.message[0] != '\0')
        fprintf(stderr, "rest-load: %s\n", error.message);
    return status;
}
