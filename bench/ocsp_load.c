/* ocsp-load: sends OCSP requests to a responder over plain HTTP, as fast as it answers, and counts what comes
 * back.
 *
 * The requests are lines of hex digits in a file; they are sent in turn, over and over, until --count are
 * sent. */
#include <getopt.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "load.h"
#include "originca/text.h"

#define REQUEST_MAX 1024
#define REPLY_MAX 16384
#define ERROR_BYTES 5 /* of an answer without a signature: 30 03 0A 01 xx */

struct options {
    const char *host, *port, *requests;
    unsigned concurrency, count;
};

struct load {
    struct options options;
    char **messages; /* whole HTTP requests */
    size_t *lengths;
    size_t message_count;
    double *latencies; /* milliseconds */
    atomic_uint started, is_signed, outcomes[8], failed;
};

/* --- requests --- */

static bool add_message(struct load *load, const char *hex) {
    uint8_t der[REQUEST_MAX];
    char head[256];
    size_t length = hex == NULL ? 0 : strlen(hex) / 2, at = load->message_count;
    if (length == 0 || length > sizeof der || !hex_decode(hex, der, length))
        return false;
    int used = snprintf(head, sizeof head,
                        "POST /ocsp HTTP/1.1\r\nHost: %s\r\nContent-Type: application/ocsp-request\r\n"
                        "Content-Length: %zu\r\n\r\n",
                        load->options.host, length);
    char **messages = realloc(load->messages, (at + 1) * sizeof *messages);
    size_t *lengths = realloc(load->lengths, (at + 1) * sizeof *lengths);
    if (messages != NULL)
        load->messages = messages;
    if (lengths != NULL)
        load->lengths = lengths;
    char *message = malloc((size_t)used + length);
    if (messages == NULL || lengths == NULL || message == NULL)
        return false;
    memcpy(message, head, (size_t)used);
    memcpy(message + used, der, length);
    messages[at] = message;
    lengths[at] = (size_t)used + length;
    load->message_count++;
    return true;
}

static bool read_requests(struct load *load) {
    char line[2 * REQUEST_MAX + 3];
    FILE *file = fopen(load->options.requests, "re");
    bool is_good = file != NULL;
    while (is_good && fgets(line, sizeof line, file) != NULL)
        is_good = add_message(load, strtok(line, "\n"));
    if (file != NULL)
        fclose(file);
    return is_good && load->message_count > 0;
}

/* --- one connection --- */

static int open_socket(const struct options *options) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
    const struct timeval timeout = {.tv_sec = 30};
    int one = 1;
    if (getaddrinfo(options->host, options->port, &hints, &found) != 0)
        return -1;
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, found->ai_addr, found->ai_addrlen) != 0) {
        close(fd);
        fd = -1;
    }
    freeaddrinfo(found);
    if (fd >= 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    }
    return fd;
}

/* Reads one reply; the bytes of its body, NULL where there is none. */
static const uint8_t *receive(int fd, char buffer[REPLY_MAX + 1], size_t *body_length) {
    size_t used = 0;
    while (used < REPLY_MAX) {
        ssize_t got = recv(fd, buffer + used, REPLY_MAX - used, 0);
        if (got <= 0)
            return NULL;
        used += (size_t)got;
        buffer[used] = '\0';
        const char *end = strstr(buffer, "\r\n\r\n"), *length = strstr(buffer, "Content-Length: ");
        if (end == NULL || length == NULL || length > end)
            continue;
        *body_length = strtoul(length + 16, NULL, 10);
        if (used >= (size_t)(end + 4 - buffer) + *body_length)
            return strncmp(buffer, "HTTP/1.1 200", 12) == 0 ? (const uint8_t *)end + 4 : NULL;
    }
    return NULL;
}

static bool ask(struct load *load, int fd, unsigned number) {
    char buffer[REPLY_MAX + 1];
    size_t which = number % load->message_count, length = 0;
    if (send(fd, load->messages[which], load->lengths[which], MSG_NOSIGNAL) != (ssize_t)load->lengths[which])
        return false;
    const uint8_t *body = receive(fd, buffer, &length);
    if (body == NULL || length < ERROR_BYTES)
        return false;
    if (length == ERROR_BYTES)
        load->outcomes[body[4] & 7]++;
    else
        load->is_signed++;
    return true;
}

static void *run(void *argument) {
    struct load *load = *(struct load **)argument;
    int fd = -1;
    for (unsigned number; (number = atomic_fetch_add(&load->started, 1)) < load->options.count;) {
        double began = load_now_ms();
        if (fd < 0)
            fd = open_socket(&load->options);
        if (fd < 0 || !ask(load, fd, number)) {
            load->failed++;
            if (fd >= 0)
                close(fd);
            fd = -1;
        }
        load->latencies[number] = load_now_ms() - began;
    }
    if (fd >= 0)
        close(fd);
    return NULL;
}

/* --- */

static int measure(struct load *load) {
    unsigned count = load->options.count, threads = load->options.concurrency;
    struct load **runners = calloc(threads, sizeof *runners);
    double wall_ms = 0;
    load->latencies = calloc(count, sizeof *load->latencies);
    if (runners == NULL || load->latencies == NULL)
        return 1;
    for (unsigned i = 0; i < threads; i++)
        runners[i] = load;
    bool is_run = load_run_threads(run, runners, sizeof *runners, threads, &wall_ms);
    free(runners);
    load_sort(load->latencies, count);
    printf("{\"answered\": %u, \"signed\": %u, \"unauthorized\": %u, \"try_later\": %u, \"failed\": %u, "
           "\"per_second\": %.0f, \"p50_ms\": %.3f, \"p99_ms\": %.3f}\n",
           count - load->failed, load->is_signed, load->outcomes[6], load->outcomes[3], load->failed,
           (count - load->failed) * 1e3 / wall_ms, load_percentile(load->latencies, count, 0.5),
           load_percentile(load->latencies, count, 0.99));
    return is_run && load->failed == 0 ? 0 : 1;
}

static bool parse_options(int argc, char **argv, struct options *options) {
    static const struct option table[] = {{"host", 1, NULL, 'h'},     {"port", 1, NULL, 'p'},
                                          {"requests", 1, NULL, 'r'}, {"concurrency", 1, NULL, 'j'},
                                          {"count", 1, NULL, 'n'},    {0}};
    *options = (struct options){.host = "127.0.0.1", .concurrency = 16, .count = 1000};
    for (int option; (option = getopt_long(argc, argv, "", table, NULL)) != -1;) {
        if (option == 'h')
            options->host = optarg;
        else if (option == 'p')
            options->port = optarg;
        else if (option == 'r')
            options->requests = optarg;
        else if (option == 'j')
            options->concurrency = (unsigned)strtoul(optarg, NULL, 10);
        else if (option == 'n')
            options->count = (unsigned)strtoul(optarg, NULL, 10);
        else
            return false;
    }
    return options->port != NULL && options->requests != NULL && options->concurrency > 0 &&
           options->count > 0;
}

int main(int argc, char **argv) {
    struct load load = {.started = 0};
    if (!parse_options(argc, argv, &load.options)) {
        fputs("Usage: ocsp-load --port PORT --requests FILE [--host ADDRESS] [--count N] [--concurrency N]\n",
              stderr);
        return 2;
    }
    if (!read_requests(&load)) {
        fprintf(stderr, "ocsp-load: %s holds no requests\n", load.options.requests);
        return 1;
    }
    return measure(&load);
}
