/* TLS by GnuTLS: credentials that listeners share. A server holds a reference until its last session has
 * ended, however early the caller frees its own. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

/* TLS 1.2 only with forward secrecy and AEAD. A renegotiation that a client asks for is not done, but the
 * extension that makes one safe must be there: OpenSSL 3 refuses servers without it. */
#define PRIORITIES                                                                                           \
    "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:-RSA:-DHE-RSA:-AES-128-CBC:-AES-256-CBC:-AES-128-CCM:-AES-"  \
    "256-CCM:"                                                                                               \
    "-SHA1"

struct http_tls {
    unsigned references;
    gnutls_certificate_credentials_t credentials;
    gnutls_priority_t priorities;
    gnutls_datum_t ticket_key;
};

struct http_tls *http_tls_new(const char *certificate_file, const char *key_file,
                              const uint8_t ticket_key[32], struct error *error) {
    struct http_tls *tls = calloc(1, sizeof *tls);
    const char *where = NULL;
    if (tls == NULL) {
        error_set(error, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    tls->references = 1;
    /* GnuTLS wants 64 bytes and derives a new key from them every few hours, the same in every process. */
    int outcome = gnutls_session_ticket_key_generate(&tls->ticket_key);
    if (outcome >= 0) {
        for (unsigned filled = 0, block = 0; filled < tls->ticket_key.size; block++) {
            uint8_t label = (uint8_t)block, piece[SHA256_BYTES];
            unsigned take =
                tls->ticket_key.size - filled < SHA256_BYTES ? tls->ticket_key.size - filled : SHA256_BYTES;
            hmac_sha256(ticket_key, 32, &label, 1, piece);
            memcpy(tls->ticket_key.data + filled, piece, take);
            bytes_wipe(piece, sizeof piece);
            filled += take;
        }
        outcome = gnutls_certificate_allocate_credentials(&tls->credentials);
    }
    if (outcome >= 0)
        outcome = gnutls_priority_init(&tls->priorities, PRIORITIES, &where);
    if (outcome >= 0)
        outcome = gnutls_certificate_set_x509_key_file(tls->credentials, certificate_file, key_file,
                                                       GNUTLS_X509_FMT_PEM);
    if (outcome >= 0)
        return tls;
    error_set(error, ERROR_INVALID, "cannot use the certificate %s with the key %s: %s", certificate_file,
              key_file, gnutls_strerror(outcome));
    http_tls_free(tls);
    return NULL;
}

void http_tls_hold(struct http_tls *tls) {
    tls->references++;
}

void http_tls_free(struct http_tls *tls) {
    if (tls == NULL || --tls->references > 0)
        return;
    if (tls->credentials != NULL)
        gnutls_certificate_free_credentials(tls->credentials);
    if (tls->priorities != NULL)
        gnutls_priority_deinit(tls->priorities);
    if (tls->ticket_key.data != NULL)
        bytes_wipe(tls->ticket_key.data, tls->ticket_key.size);
    gnutls_free(tls->ticket_key.data);
    free(tls);
}

gnutls_session_t http_tls_start(struct http_tls *tls, int fd) {
    static const gnutls_datum_t protocol = {(unsigned char *)(uintptr_t) "http/1.1", 8};
    gnutls_session_t session;
    if (gnutls_init(&session, GNUTLS_SERVER | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL) < 0)
        return NULL;
    if (gnutls_priority_set(session, tls->priorities) < 0 ||
        gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, tls->credentials) < 0 ||
        gnutls_session_ticket_enable_server(session, &tls->ticket_key) < 0 ||
        gnutls_alpn_set_protocols(session, &protocol, 1, 0) < 0) {
        gnutls_deinit(session);
        return NULL;
    }
    gnutls_certificate_server_set_request(session, GNUTLS_CERT_IGNORE);
    gnutls_handshake_set_timeout(session, 0); /* the deadline is ours */
    gnutls_transport_set_int(session, fd);
    return session;
}
