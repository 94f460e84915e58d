#include "stream_tls.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <gnutls/x509.h>

/* Both ends are ours: nothing older than TLS 1.3 is needed. */
#define PRIORITIES "NORMAL:-VERS-ALL:+VERS-TLS1.3"

struct stream_tls {
    unsigned references;
    gnutls_certificate_credentials_t credentials;
    gnutls_priority_t priorities;
};

struct stream_tls *stream_tls_new(const char *ca_file, const char *certificate_file, const char *key_file,
                                  struct error *error) {
    struct stream_tls *tls = calloc(1, sizeof *tls);
    if (tls == NULL) {
        error_set(error, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    tls->references = 1;
    int outcome = gnutls_certificate_allocate_credentials(&tls->credentials);
    if (outcome >= 0)
        outcome = gnutls_priority_init(&tls->priorities, PRIORITIES, NULL);
    if (outcome >= 0) {
        outcome = gnutls_certificate_set_x509_trust_file(tls->credentials, ca_file, GNUTLS_X509_FMT_PEM);
        if (outcome <= 0) {
            error_set(error, ERROR_INVALID, "cannot use the CA certificates in %s: %s", ca_file,
                      outcome == 0 ? "there are none" : gnutls_strerror(outcome));
            stream_tls_free(tls);
            return NULL;
        }
        outcome = gnutls_certificate_set_x509_key_file(tls->credentials, certificate_file, key_file,
                                                       GNUTLS_X509_FMT_PEM);
    }
    if (outcome >= 0)
        return tls;
    error_set(error, ERROR_INVALID, "cannot use the certificate %s with the key %s: %s", certificate_file,
              key_file, gnutls_strerror(outcome));
    stream_tls_free(tls);
    return NULL;
}

struct stream_tls *stream_tls_hold(struct stream_tls *tls) {
    tls->references++;
    return tls;
}

void stream_tls_free(struct stream_tls *tls) {
    if (tls == NULL || --tls->references > 0)
        return;
    if (tls->credentials != NULL)
        gnutls_certificate_free_credentials(tls->credentials);
    if (tls->priorities != NULL)
        gnutls_priority_deinit(tls->priorities);
    free(tls);
}

static bool is_address(const char *name) {
    uint8_t bytes[16];
    return inet_pton(AF_INET, name, bytes) == 1 || inet_pton(AF_INET6, name, bytes) == 1;
}

static void expect(gnutls_session_t session, const char *server_name, struct stream_peer *peer) {
    unsigned count = 1;
    peer->expected[0] = (gnutls_typed_vdata_st){
        .type = GNUTLS_DT_KEY_PURPOSE_OID,
        .data = (unsigned char *)(uintptr_t)(server_name == NULL ? GNUTLS_KP_TLS_WWW_CLIENT
                                                                 : GNUTLS_KP_TLS_WWW_SERVER)};
    if (server_name != NULL) {
        snprintf(peer->server_name, sizeof peer->server_name, "%s", server_name);
        peer->expected[1] = (gnutls_typed_vdata_st){.type = GNUTLS_DT_DNS_HOSTNAME,
                                                    .data = (unsigned char *)peer->server_name};
        count = 2;
    }
    gnutls_session_set_verify_cert2(session, peer->expected, count, 0);
}

gnutls_session_t stream_tls_start(struct stream_tls *tls, int fd, const char *server_name,
                                  struct stream_peer *peer) {
    gnutls_session_t session;
    unsigned end = server_name == NULL ? GNUTLS_SERVER : GNUTLS_CLIENT;
    /* Connections are few and stay open: tickets would only be more to keep secret. */
    if (gnutls_init(&session, end | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL | GNUTLS_NO_TICKETS) < 0)
        return NULL;
    if (gnutls_priority_set(session, tls->priorities) < 0 ||
        gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, tls->credentials) < 0 ||
        (server_name != NULL && !is_address(server_name) &&
         gnutls_server_name_set(session, GNUTLS_NAME_DNS, server_name, strlen(server_name)) < 0)) {
        gnutls_deinit(session);
        return NULL;
    }
    if (server_name == NULL)
        gnutls_certificate_server_set_request(session, GNUTLS_CERT_REQUIRE);
    expect(session, server_name, peer);
    gnutls_handshake_set_timeout(session, 0); /* the deadline is the stream's */
    gnutls_transport_set_int(session, fd);
    return session;
}

void stream_tls_explain(gnutls_session_t session, char *out, size_t size) {
    gnutls_datum_t text = {NULL, 0};
    unsigned status = gnutls_session_get_verify_cert_status(session);
    gnutls_certificate_verification_status_print(status, GNUTLS_CRT_X509, &text, 0);
    snprintf(out, size, "its certificate is refused: %s", text.data == NULL ? "?" : (const char *)text.data);
    gnutls_free(text.data);
}

static gnutls_x509_crt_t peer_certificate(gnutls_session_t session) {
    unsigned count = 0;
    gnutls_x509_crt_t certificate;
    const gnutls_datum_t *chain = gnutls_certificate_get_peers(session, &count);
    if (chain == NULL || count == 0 || gnutls_x509_crt_init(&certificate) < 0)
        return NULL;
    if (gnutls_x509_crt_import(certificate, &chain[0], GNUTLS_X509_FMT_DER) >= 0)
        return certificate;
    gnutls_x509_crt_deinit(certificate);
    return NULL;
}

void stream_tls_read_peer(gnutls_session_t session, struct stream_peer *peer) {
    gnutls_x509_crt_t certificate = peer_certificate(session);
    size_t size = sizeof peer->name - 1;
    if (certificate == NULL)
        return;
    if (gnutls_x509_crt_get_subject_alt_name(certificate, 0, peer->name, &size, NULL) != GNUTLS_SAN_DNSNAME) {
        size = sizeof peer->name - 1;
        memset(peer->name, 0, sizeof peer->name);
        if (gnutls_x509_crt_get_dn_by_oid(certificate, GNUTLS_OID_X520_COMMON_NAME, 0, 0, peer->name, &size) <
            0)
            peer->name[0] = '\0';
    }
    gnutls_x509_crt_deinit(certificate);
}

bool stream_tls_peer_is(gnutls_session_t session, const char *name) {
    gnutls_x509_crt_t certificate = peer_certificate(session);
    bool is_it = certificate != NULL && gnutls_x509_crt_check_hostname(certificate, name) != 0;
    if (certificate != NULL)
        gnutls_x509_crt_deinit(certificate);
    return is_it;
}
