/* The measuring client: sockets, GnuTLS, a minimal HTTP/1.1 reader and JWS signing. */
#include "client.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const char *path_of(const char *url) {
    const char *host = strstr(url, "://");
    const char *path = host == NULL ? NULL : strchr(host + 3, '/');
    return path == NULL ? "/" : path;
}

static bool split_url(struct bench_target *target, const char *url) {
    const char *host = strstr(url, "://");
    if (host == NULL)
        return false;
    host += 3;
    size_t length = strcspn(host, ":/");
    if (length == 0 || length >= sizeof target->host)
        return false;
    memcpy(target->host, host, length);
    target->host[length] = '\0';
    snprintf(target->port, sizeof target->port, "%.5s", host[length] == ':' ? host + length + 1 : "443");
    target->port[strcspn(target->port, "/")] = '\0';
    return true;
}

static int open_socket(const struct bench_target *target) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
    if (getaddrinfo(target->host, target->port, &hints, &found) != 0)
        return -1;
    int fd = -1, one = 1;
    for (struct addrinfo *each = found; each != NULL && fd < 0; each = each->ai_next) {
        fd = socket(each->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd >= 0 && connect(fd, each->ai_addr, each->ai_addrlen) != 0) {
            close(fd);
            fd = -1;
        }
    }
    freeaddrinfo(found);
    if (fd >= 0)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

struct bench_connection *bench_connection_new(void) {
    struct bench_connection *connection = calloc(1, sizeof *connection);
    if (connection != NULL)
        connection->fd = -1;
    return connection;
}

void bench_connection_free(struct bench_connection *connection) {
    if (connection == NULL)
        return;
    bench_disconnect(connection);
    if (connection->credentials != NULL)
        gnutls_certificate_free_credentials(connection->credentials);
    free(connection);
}

bool bench_connect(struct bench_connection *connection, const struct bench_target *target,
                   struct error *error) {
    struct timeval timeout = {.tv_sec = 30};
    connection->target = target;
    connection->used = 0;
    connection->fd = open_socket(target);
    if (connection->fd < 0)
        return error_set(error, ERROR_UNAVAILABLE, "cannot connect to %s:%s: %m", target->host, target->port);
    setsockopt(connection->fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    if (connection->credentials == NULL) {
        gnutls_certificate_allocate_credentials(&connection->credentials);
        if (gnutls_certificate_set_x509_trust_file(connection->credentials, target->ca_bundle,
                                                   GNUTLS_X509_FMT_PEM) < 0)
            return error_set(error, ERROR_INVALID, "cannot read %s", target->ca_bundle);
    }
    gnutls_init(&connection->session, GNUTLS_CLIENT);
    gnutls_set_default_priority(connection->session);
    gnutls_credentials_set(connection->session, GNUTLS_CRD_CERTIFICATE, connection->credentials);
    gnutls_session_set_verify_cert(connection->session, target->host, 0);
    gnutls_server_name_set(connection->session, GNUTLS_NAME_DNS, target->host, strlen(target->host));
    gnutls_transport_set_int(connection->session, connection->fd);
    int outcome;
    do
        outcome = gnutls_handshake(connection->session);
    while (outcome < 0 && gnutls_error_is_fatal(outcome) == 0);
    return outcome >= 0 || error_set(error, ERROR_UNAVAILABLE, "TLS handshake: %s", gnutls_strerror(outcome));
}

void bench_disconnect(struct bench_connection *connection) {
    if (connection->session != NULL) {
        gnutls_bye(connection->session, GNUTLS_SHUT_WR);
        gnutls_deinit(connection->session);
    }
    connection->session = NULL;
    if (connection->fd >= 0)
        close(connection->fd);
    connection->fd = -1;
}

static bool send_all(struct bench_connection *connection, const char *data, size_t length) {
    while (length > 0) {
        ssize_t sent = gnutls_record_send(connection->session, data, length);
        if (sent == GNUTLS_E_AGAIN || sent == GNUTLS_E_INTERRUPTED)
            continue;
        if (sent <= 0)
            return false;
        data += sent;
        length -= (size_t)sent;
    }
    return true;
}

static bool receive_more(struct bench_connection *connection) {
    if (connection->used == sizeof connection->buffer - 1)
        return false;
    ssize_t got;
    do
        got = gnutls_record_recv(connection->session, connection->buffer + connection->used,
                                 sizeof connection->buffer - 1 - connection->used);
    while (got == GNUTLS_E_AGAIN || got == GNUTLS_E_INTERRUPTED);
    if (got <= 0)
        return false;
    connection->used += (size_t)got;
    connection->buffer[connection->used] = '\0';
    return true;
}

static bool find_header(const char *head, const char *name, char *out, size_t size) {
    size_t length = strlen(name);
    for (const char *line = strstr(head, "\r\n"); line != NULL; line = strstr(line, "\r\n")) {
        line += 2;
        if (strncasecmp(line, name, length) != 0 || line[length] != ':')
            continue;
        const char *value = line + length + 1 + strspn(line + length + 1, " ");
        snprintf(out, size, "%.*s", (int)strcspn(value, "\r"), value);
        return true;
    }
    return false;
}

static bool read_reply(struct bench_connection *connection, struct arena *arena, bool is_head,
                       struct bench_reply *reply) {
    char *end, length_text[32] = "0";
    while ((end = connection->used == 0 ? NULL : strstr(connection->buffer, "\r\n\r\n")) == NULL)
        if (!receive_more(connection))
            return false;
    end[2] = '\0';
    reply->status = (unsigned)atoi(connection->buffer + 9);
    reply->location[0] = '\0';
    find_header(connection->buffer, "Location", reply->location, sizeof reply->location);
    find_header(connection->buffer, "Replay-Nonce", connection->nonce, sizeof connection->nonce);
    find_header(connection->buffer, "Content-Length", length_text, sizeof length_text);
    reply->length = is_head ? 0 : (size_t)atol(length_text);
    size_t head = (size_t)(end + 4 - connection->buffer);
    while (connection->used < head + reply->length)
        if (!receive_more(connection))
            return false;
    reply->body = arena_strndup(arena, connection->buffer + head, reply->length);
    connection->used -= head + reply->length;
    memmove(connection->buffer, connection->buffer + head + reply->length, connection->used);
    connection->buffer[connection->used] = '\0';
    return reply->body != NULL;
}

bool bench_request(struct bench_connection *connection, struct arena *arena, const char *method,
                   const char *url, const char *body, struct bench_reply *reply, struct error *error) {
    const char *headers = connection->target->headers != NULL ? connection->target->headers
                                                              : "Content-Type: application/jose+json\r\n";
    char *request =
        body == NULL
            ? arena_printf(arena, "%s %s HTTP/1.1\r\nHost: %s:%s\r\nUser-Agent: originca-bench\r\n\r\n",
                           method, path_of(url), connection->target->host, connection->target->port)
            : arena_printf(arena,
                           "%s %s HTTP/1.1\r\nHost: %s:%s\r\nUser-Agent: originca-bench\r\n%s"
                           "Content-Length: %zu\r\n\r\n%s",
                           method, path_of(url), connection->target->host, connection->target->port, headers,
                           strlen(body), body);
    if (request == NULL || !send_all(connection, request, strlen(request)) ||
        !read_reply(connection, arena, strcmp(method, "HEAD") == 0, reply))
        return error_set(error, ERROR_UNAVAILABLE, "%s %s: the connection broke", method, url);
    return true;
}

static char *sign(struct arena *arena, gnutls_privkey_t key, const char *input) {
    gnutls_datum_t data = {(unsigned char *)(uintptr_t)input, (unsigned)strlen(input)}, signature, r, s;
    uint8_t raw[64] = {0};
    if (gnutls_privkey_sign_data2(key, GNUTLS_SIGN_ECDSA_SHA256, 0, &data, &signature) < 0)
        return NULL;
    if (gnutls_decode_rs_value(&signature, &r, &s) < 0) {
        gnutls_free(signature.data);
        return NULL;
    }
    /* Both numbers are signed in DER: a leading zero octet may be there, leading zero octets may be missing.
     */
    const gnutls_datum_t *halves[2] = {&r, &s};
    for (size_t i = 0; i < 2; i++) {
        size_t skip = halves[i]->size > 32 ? halves[i]->size - 32 : 0;
        size_t length = halves[i]->size - skip;
        memcpy(raw + 32 * (i + 1) - length, halves[i]->data + skip, length);
    }
    gnutls_free(signature.data);
    gnutls_free(r.data);
    gnutls_free(s.data);
    return base64url_encode(arena, raw, sizeof raw);
}

static char *make_jws(struct arena *arena, const struct bench_account *account, const char *nonce,
                      const char *url, const char *payload, bool with_jwk) {
    char *header =
        with_jwk ? arena_printf(arena, "{\"alg\":\"ES256\",\"jwk\":%s,\"nonce\":\"%s\",\"url\":\"%s\"}",
                                account->jwk, nonce, url)
                 : arena_printf(arena, "{\"alg\":\"ES256\",\"kid\":\"%s\",\"nonce\":\"%s\",\"url\":\"%s\"}",
                                account->url, nonce, url);
    char *protected = header == NULL ? NULL : base64url_encode(arena, header, strlen(header));
    char *body =
        base64url_encode(arena, payload == NULL ? "" : payload, payload == NULL ? 0 : strlen(payload));
    char *input = protected == NULL || body == NULL ? NULL : arena_printf(arena, "%s.%s", protected, body);
    char *signature = input == NULL ? NULL : sign(arena, account->key, input);
    return signature == NULL
               ? NULL
               : arena_printf(arena, "{\"protected\":\"%s\",\"payload\":\"%s\",\"signature\":\"%s\"}",
                              protected, body, signature);
}

static bool post(struct bench_connection *connection, struct arena *arena,
                 const struct bench_account *account, const char *url, const char *payload, bool with_jwk,
                 struct bench_reply *reply, struct error *error) {
    if (connection->nonce[0] == '\0' &&
        !bench_request(connection, arena, "HEAD", connection->target->new_nonce, NULL, reply, error))
        return false;
    char *jws = make_jws(arena, account, connection->nonce, url, payload, with_jwk);
    connection->nonce[0] = '\0';
    if (jws == NULL)
        return error_set(error, ERROR_INTERNAL, "cannot sign");
    return bench_request(connection, arena, "POST", url, jws, reply, error);
}

bool bench_post(struct bench_connection *connection, struct arena *arena, const struct bench_account *account,
                const char *url, const char *payload, struct bench_reply *reply, struct error *error) {
    return post(connection, arena, account, url, payload, false, reply, error);
}

static char *take_url(const json_t *directory, const char *key) {
    const char *url = json_string_value(json_object_get(directory, key));
    return url == NULL ? NULL : strdup(url);
}

bool bench_target_init(struct bench_target *target, const char *directory_url, const char *ca_bundle,
                       struct error *error) {
    struct bench_connection *connection = bench_connection_new();
    struct arena *arena = arena_new(0);
    struct bench_reply reply = {0};
    *target = (struct bench_target){.ca_bundle = ca_bundle, .directory_url = directory_url};
    bool is_read = connection != NULL && arena != NULL && split_url(target, directory_url) &&
                   bench_connect(connection, target, error) &&
                   bench_request(connection, arena, "GET", directory_url, NULL, &reply, error);
    json_t *directory = is_read ? json_parse(arena, reply.body, reply.length, error) : NULL;
    if (directory != NULL) {
        target->new_nonce = take_url(directory, "newNonce");
        target->new_account = take_url(directory, "newAccount");
        target->new_order = take_url(directory, "newOrder");
    }
    bench_connection_free(connection);
    arena_free(arena);
    return target->new_order != NULL || error_set(error, ERROR_INVALID, "%s is no directory", directory_url);
}

bool bench_target_init_plain(struct bench_target *target, const char *url, const char *ca_bundle,
                             const char *headers, struct error *error) {
    *target = (struct bench_target){.ca_bundle = ca_bundle, .headers = headers};
    return split_url(target, url) || error_set(error, ERROR_INVALID, "%s is no URL", url);
}

bool bench_account_init(struct bench_account *account, struct arena *arena, struct error *error) {
    gnutls_ecc_curve_t curve;
    gnutls_datum_t x, y;
    uint8_t point[64] = {0}, digest[SHA256_BYTES];
    gnutls_privkey_init(&account->key);
    if (gnutls_privkey_generate(account->key, GNUTLS_PK_ECDSA,
                                GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0) < 0 ||
        gnutls_privkey_export_ecc_raw2(account->key, &curve, &x, &y, NULL, GNUTLS_EXPORT_FLAG_NO_LZ) < 0)
        return error_set(error, ERROR_INTERNAL, "cannot make an account key");
    memcpy(point + 32 - x.size, x.data, x.size);
    memcpy(point + 64 - y.size, y.data, y.size);
    gnutls_free(x.data);
    gnutls_free(y.data);
    account->jwk = arena_printf(arena, "{\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\"%s\",\"y\":\"%s\"}",
                                base64url_encode(arena, point, 32), base64url_encode(arena, point + 32, 32));
    if (account->jwk == NULL)
        return error_set(error, ERROR_INTERNAL, "out of memory");
    sha256(account->jwk, strlen(account->jwk), digest);
    account->thumbprint = base64url_encode(arena, digest, sizeof digest);
    return true;
}

static char *make_binding(struct arena *arena, const struct bench_account *account, const char *url,
                          const char *kid, const char *hmac) {
    struct bytes key;
    uint8_t mac[SHA256_BYTES];
    char *header = arena_printf(arena, "{\"alg\":\"HS256\",\"kid\":\"%s\",\"url\":\"%s\"}", kid, url);
    if (header == NULL || !base64url_decode(arena, hmac, strlen(hmac), &key))
        return NULL;
    char *protected = base64url_encode(arena, header, strlen(header));
    char *payload = base64url_encode(arena, account->jwk, strlen(account->jwk));
    char *input = arena_printf(arena, "%s.%s", protected, payload);
    hmac_sha256(key.data, key.length, input, strlen(input), mac);
    return arena_printf(arena, "{\"protected\":\"%s\",\"payload\":\"%s\",\"signature\":\"%s\"}", protected,
                        payload, base64url_encode(arena, mac, sizeof mac));
}

bool bench_account_register(struct bench_connection *connection, struct bench_account *account,
                            struct arena *arena, const char *kid, const char *hmac, struct error *error) {
    struct bench_reply reply;
    const char *url = connection->target->new_account;
    char *payload = arena_strdup(arena, "{\"termsOfServiceAgreed\":true}");
    if (kid != NULL)
        payload = arena_printf(arena, "{\"termsOfServiceAgreed\":true,\"externalAccountBinding\":%s}",
                               make_binding(arena, account, url, kid, hmac));
    if (!post(connection, arena, account, url, payload, true, &reply, error))
        return false;
    if (reply.status != 201 && reply.status != 200)
        return error_set(error, ERROR_REFUSED, "newAccount: %u %.300s", reply.status, reply.body);
    account->url = arena_strdup(arena, reply.location);
    return account->url != NULL || error_set(error, ERROR_INTERNAL, "out of memory");
}
