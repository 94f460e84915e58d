/* A blocking ACME client for measuring: one TLS connection, ES256 account key, as little work of its own as
 * possible. */
#pragma once

#include <gnutls/abstract.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>

#include "originca/json.h"

struct bench_target {
    char host[128];
    char port[8];
    const char *ca_bundle;
    const char *directory_url;
    const char *headers; /* of requests with a body, each line with its CRLF; NULL: those of ACME */
    /* from the directory */
    char *new_nonce, *new_account, *new_order;
};

struct bench_account {
    gnutls_privkey_t key;
    char *jwk;        /* canonical JSON */
    char *thumbprint; /* base64url */
    char *url;
};

struct bench_connection {
    const struct bench_target *target;
    gnutls_certificate_credentials_t credentials;
    gnutls_session_t session;
    int fd;
    char nonce[128];
    char buffer[65536];
    size_t used;
};

struct bench_reply {
    unsigned status;
    char location[256];
    char *body; /* in the arena */
    size_t length;
};

bool bench_target_init(struct bench_target *target, const char *directory_url, const char *ca_bundle,
                       struct error *error) MUST_CHECK;
/* The host and port of a URL alone, for a server that has no directory. */
bool bench_target_init_plain(struct bench_target *target, const char *url, const char *ca_bundle,
                             const char *headers, struct error *error) MUST_CHECK;
bool bench_account_init(struct bench_account *account, struct arena *arena, struct error *error) MUST_CHECK;
/* Registers with external account binding where `kid` is not NULL; `hmac` is base64url. */
bool bench_account_register(struct bench_connection *connection, struct bench_account *account,
                            struct arena *arena, const char *kid, const char *hmac,
                            struct error *error) MUST_CHECK;

/* Not connected. NULL: out of memory. */
struct bench_connection *bench_connection_new(void);
void bench_connection_free(struct bench_connection *connection);
bool bench_connect(struct bench_connection *connection, const struct bench_target *target,
                   struct error *error) MUST_CHECK;
void bench_disconnect(struct bench_connection *connection);
/* One request; `body` NULL sends none. The nonce of the reply is kept on the connection. */
bool bench_request(struct bench_connection *connection, struct arena *arena, const char *method,
                   const char *url, const char *body, struct bench_reply *reply,
                   struct error *error) MUST_CHECK;
/* A signed POST; `payload` NULL is POST-as-GET. Fetches a nonce first where the connection has none. */
bool bench_post(struct bench_connection *connection, struct arena *arena, const struct bench_account *account,
                const char *url, const char *payload, struct bench_reply *reply,
                struct error *error) MUST_CHECK;
