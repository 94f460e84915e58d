/* Has a signer that runs sign a revocation list of so many made-up entries, over its operators' socket as the
 * admin process does: what building one costs on both sides.
 *
 *     make-crl CONFIG ISSUER URL COUNT FILE
 *
 * Prints its own CPU time and largest memory; scripts/bench-crl adds the signer's. Every second entry has a
 * reason. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <event2/event.h>

#include "../server/crl/verify.h"
#include "originca/signer.h"

struct run {
    const struct config *config;
    struct event_base *base;
    struct signer_client *client;
    struct signer_crl_request request;
    struct signer_crl list;
    double began, connected;
    int status;
};

static double cpu_seconds(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static int compare(const void *a, const void *b) {
    return memcmp(a, b, SERIAL_BYTES);
}

static struct crl_entry *make_entries(size_t count, uint32_t now) {
    struct crl_entry *entries = calloc(count + 1, sizeof *entries);
    for (size_t i = 0; entries != NULL && i < count; i++) {
        random_bytes(entries[i].serial, SERIAL_BYTES);
        entries[i].serial[0] = (uint8_t)(1 + entries[i].serial[0] % 0x7F);
        entries[i].revoked_at = now - (uint32_t)(i % 10000000);
        entries[i].reason = i % 2 == 0 ? 0 : 4;
    }
    if (entries != NULL)
        qsort(entries, count, sizeof *entries, compare);
    return entries;
}

static void end(struct run *run, int status) {
    run->status = status;
    event_base_loopbreak(run->base);
}

/* What each host does with it before it serves it. */
static void report_verifying(const struct run *run) {
    struct crl_facts facts;
    struct error error = {.message = "no such issuer"};
    double began = cpu_seconds();
    bool is_good = false;
    for (size_t i = 0; i < run->config->issuer_count; i++)
        if (strcmp(run->config->issuers[i].name, run->request.issuer) == 0)
            is_good = crl_verify(&run->config->issuers[i], run->request.url,
                                 (struct bytes){run->list.der, run->list.length}, &facts, &error);
    printf("verified %s verify_ms %.0f\n",
           is_good && facts.entry_count == run->request.count ? "yes" : error.message,
           (cpu_seconds() - began) * 1000);
}

static void on_list(void *context, const struct error *error) {
    struct run *run = context;
    struct rusage usage;
    if (error != NULL) {
        fprintf(stderr, "make-crl: %s\n", error->message);
        end(run, 1);
        return;
    }
    getrusage(RUSAGE_SELF, &usage);
    printf("entries %zu bytes %zu cpu_ms %.0f wall_ms %.0f memory_kib %ld\n", run->request.count,
           run->list.length, (cpu_seconds() - run->began) * 1000,
           (double)clock_monotonic_ms() - run->connected, usage.ru_maxrss);
    report_verifying(run);
    end(run, 0);
}

static void on_connected(void *context) {
    struct run *run = context;
    run->began = cpu_seconds();
    run->connected = (double)clock_monotonic_ms();
    run->request.number = (uint64_t)clock_wall_ms();
    signer_sign_crl(run->client, &run->request, &run->list, on_list, run);
}

static bool write_list(const struct signer_crl *list, const char *path) {
    FILE *file = fopen(path, "we");
    bool is_written = file != NULL && fwrite(list->der, 1, list->length, file) == list->length;
    return file != NULL && fclose(file) == 0 && is_written;
}

int main(int argc, char **argv) {
    struct run run = {.status = 1};
    struct error error = {.message = "usage: make-crl CONFIG ISSUER URL COUNT FILE"};
    struct config *config = argc == 6 ? config_load(argv[1], stderr, &error) : NULL;
    if (config == NULL) {
        fprintf(stderr, "make-crl: %s\n", error.message);
        return 1;
    }
    run.config = config;
    time_t now = (time_t)(clock_wall_ms() / 1000);
    size_t count = strtoul(argv[4], NULL, 10);
    struct crl_entry *entries = make_entries(count, (uint32_t)now);
    run.request = (struct signer_crl_request){.issuer = argv[2],
                                              .url = argv[3],
                                              .this_update = now - 300,
                                              .next_update = now + 7 * 86400,
                                              .entries = entries,
                                              .count = count};
    run.base = event_base_new();
    run.client = run.base == NULL || entries == NULL
                     ? NULL
                     : signer_client_new(run.base, config, SIGNER_LINK_OPERATOR, "make-crl", &error);
    if (run.client != NULL) {
        signer_client_on_connected(run.client, on_connected, &run);
        event_base_dispatch(run.base);
        if (run.status == 0 && !write_list(&run.list, argv[5]))
            run.status = 1;
        signer_client_free(run.client);
    }
    event_base_free(run.base);
    free(run.list.der);
    free(entries);
    config_free(config);
    return run.status;
}
