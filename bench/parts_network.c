/* Two parts with two sides each, of which only the one that is ours is timed: the server of a TLS handshake
 * and the asker of a DNS query. Both sides live in this process, so nothing waits. */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <gnutls/gnutls.h>
#include <ldns/ldns.h>

#include "parts.h"

#define PIPE_BYTES 65536

struct pipe { /* what one side has sent and the other has not read */
    unsigned char bytes[PIPE_BYTES];
    size_t length;
};

struct side {
    struct pipe *in, *out;
    gnutls_session_t session;
};

static ssize_t push(gnutls_transport_ptr_t context, const void *data, size_t length) {
    struct pipe *pipe = ((struct side *)context)->out;
    if (pipe->length + length > PIPE_BYTES)
        return -1;
    memcpy(pipe->bytes + pipe->length, data, length);
    pipe->length += length;
    return (ssize_t)length;
}

static ssize_t pull(gnutls_transport_ptr_t context, void *data, size_t length) {
    struct side *side = context;
    struct pipe *pipe = side->in;
    if (pipe->length == 0) {
        gnutls_transport_set_errno(side->session, EAGAIN);
        return -1;
    }
    size_t taken = length < pipe->length ? length : pipe->length;
    memcpy(data, pipe->bytes, taken);
    pipe->length -= taken;
    memmove(pipe->bytes, pipe->bytes + taken, pipe->length);
    return (ssize_t)taken;
}

static int never_wait(gnutls_transport_ptr_t context, unsigned milliseconds) {
    (void)milliseconds;
    return ((struct side *)context)->in->length > 0;
}

static void open_side(struct side *side, unsigned flags, gnutls_certificate_credentials_t credentials,
                      const gnutls_datum_t *ticket_key) {
    gnutls_init(&side->session, flags | GNUTLS_NONBLOCK);
    gnutls_set_default_priority(side->session);
    gnutls_credentials_set(side->session, GNUTLS_CRD_CERTIFICATE, credentials);
    gnutls_transport_set_ptr(side->session, side);
    gnutls_transport_set_push_function(side->session, push);
    gnutls_transport_set_pull_function(side->session, pull);
    gnutls_transport_set_pull_timeout_function(side->session, never_wait);
    if (ticket_key != NULL)
        gnutls_session_ticket_enable_server(side->session, ticket_key);
}

static bool shake_hands(struct side *client, struct side *server, double *server_us) {
    int client_outcome = GNUTLS_E_AGAIN, server_outcome = GNUTLS_E_AGAIN;
    for (int turn = 0; turn < 20 && (client_outcome < 0 || server_outcome < 0); turn++) {
        if (client_outcome < 0)
            client_outcome = gnutls_handshake(client->session);
        double started = thread_cpu_us();
        if (server_outcome < 0)
            server_outcome = gnutls_handshake(server->session);
        *server_us += thread_cpu_us() - started;
    }
    if (client_outcome < 0 || server_outcome < 0)
        fprintf(stderr, "bench-parts: handshake: %s, %s\n", gnutls_strerror(client_outcome),
                gnutls_strerror(server_outcome));
    return client_outcome >= 0 && server_outcome >= 0;
}

bool measure_handshake(const char *certificate, const char *key, unsigned rounds, double *us) {
    gnutls_certificate_credentials_t for_server, for_client;
    gnutls_datum_t ticket_key;
    gnutls_certificate_allocate_credentials(&for_server);
    gnutls_certificate_allocate_credentials(&for_client);
    gnutls_session_ticket_key_generate(&ticket_key);
    if (gnutls_certificate_set_x509_key_file(for_server, certificate, key, GNUTLS_X509_FMT_PEM) < 0) {
        fprintf(stderr, "bench-parts: cannot read %s and %s\n", certificate, key);
        return false;
    }
    struct pipe *to_server = calloc(1, sizeof *to_server), *to_client = calloc(1, sizeof *to_client);
    bool is_good = to_server != NULL && to_client != NULL;
    double total = 0;
    for (unsigned i = 0; is_good && i < rounds; i++) {
        struct side client = {to_client, to_server, NULL}, server = {to_server, to_client, NULL};
        to_server->length = to_client->length = 0;
        double started = thread_cpu_us();
        open_side(&server, GNUTLS_SERVER, for_server, &ticket_key);
        total += thread_cpu_us() - started;
        open_side(&client, GNUTLS_CLIENT, for_client, NULL);
        is_good = shake_hands(&client, &server, &total);
        gnutls_deinit(client.session);
        started = thread_cpu_us();
        gnutls_deinit(server.session);
        total += thread_cpu_us() - started;
    }
    *us = total / rounds;
    free(to_server);
    free(to_client);
    gnutls_free(ticket_key.data);
    gnutls_certificate_free_credentials(for_server);
    gnutls_certificate_free_credentials(for_client);
    return is_good;
}

static int open_loopback(struct sockaddr_in *address) {
    socklen_t length = sizeof *address;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    *address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (fd < 0 || bind(fd, (struct sockaddr *)address, length) != 0 ||
        getsockname(fd, (struct sockaddr *)address, &length) != 0)
        return -1;
    return fd;
}

/* The answer is the question with one address record, made outside the timed part. */
static size_t make_answer(const uint8_t *query, size_t length, uint8_t *answer) {
    static const uint8_t record[] = {0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 203, 0, 113, 10};
    memcpy(answer, query, length);
    answer[2] |= 0x84;
    answer[7] = 1;
    memcpy(answer + length, record, sizeof record);
    return length + sizeof record;
}

static bool ask_once(int server_fd, const struct sockaddr_in *server, double *us) {
    uint8_t *query, answer[512], received[512];
    struct sockaddr_in client;
    socklen_t client_length = sizeof client;
    size_t length;
    ldns_pkt *packet = NULL, *parsed = NULL;
    double started = thread_cpu_us();
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ldns_pkt_query_new_frm_str(&packet, "www.shop.test", LDNS_RR_TYPE_A, LDNS_RR_CLASS_IN, 0);
    bool is_good = fd >= 0 && connect(fd, (const struct sockaddr *)server, sizeof *server) == 0 &&
                   packet != NULL && ldns_pkt2wire(&query, packet, &length) == LDNS_STATUS_OK &&
                   send(fd, query, length, 0) == (ssize_t)length;
    *us += thread_cpu_us() - started;
    ssize_t asked = is_good ? recvfrom(server_fd, answer, sizeof answer / 2, 0, (struct sockaddr *)&client,
                                       &client_length)
                            : -1;
    if (asked > 0) {
        size_t size = make_answer(query, (size_t)asked, answer);
        is_good = sendto(server_fd, answer, size, 0, (struct sockaddr *)&client, client_length) > 0;
        free(query);
    }
    started = thread_cpu_us();
    ssize_t got = is_good && asked > 0 ? recv(fd, received, sizeof received, 0) : -1;
    is_good = got > 0 && ldns_wire2pkt(&parsed, received, (size_t)got) == LDNS_STATUS_OK;
    ldns_pkt_free(packet);
    ldns_pkt_free(parsed);
    if (fd >= 0)
        close(fd);
    *us += thread_cpu_us() - started;
    return is_good;
}

bool measure_dns_query(unsigned rounds, double *us) {
    struct sockaddr_in server;
    int fd = open_loopback(&server);
    double total = 0;
    bool is_good = fd >= 0;
    for (unsigned i = 0; is_good && i < rounds; i++)
        is_good = ask_once(fd, &server, &total);
    *us = total / rounds;
    if (fd >= 0)
        close(fd);
    if (!is_good)
        fprintf(stderr, "bench-parts: no DNS over loopback\n");
    return is_good;
}
