#include "issuer_bindings.h"

#include <stdlib.h>

#include <gnutls/abstract.h>
#include <gnutls/x509.h>

struct issuer_bindings {
    struct worker *worker;
    struct store_issuer *items;
    size_t count;
    struct signer_issuers_hash hash;
    uint64_t unknown; /* of the last comparison */
    store_done *done;
    void *context;
};

/* Of the DER SubjectPublicKeyInfo and of the DER Name. */
static bool digest(gnutls_x509_crt_t certificate, uint8_t out[2][SHA256_BYTES]) {
    gnutls_datum_t subject = {0}, spki = {0};
    gnutls_pubkey_t key = NULL;
    bool is_read = gnutls_x509_crt_get_raw_dn(certificate, &subject) >= 0 && gnutls_pubkey_init(&key) >= 0 &&
                   gnutls_pubkey_import_x509(key, certificate, 0) >= 0 &&
                   gnutls_pubkey_export2(key, GNUTLS_X509_FMT_DER, &spki) >= 0;
    if (is_read) {
        sha256(spki.data, spki.size, out[0]);
        sha256(subject.data, subject.size, out[1]);
    }
    if (key != NULL)
        gnutls_pubkey_deinit(key);
    gnutls_free(subject.data);
    gnutls_free(spki.data);
    return is_read;
}

static bool read_issuer(struct issuer_bindings *bindings, const struct config_issuer *config,
                        struct error *error) {
    gnutls_x509_crt_t certificate;
    uint8_t parts[2][SHA256_BYTES], whole[SHA256_BYTES];
    gnutls_datum_t file = {0};
    if (gnutls_x509_crt_init(&certificate) < 0)
        return error_set(error, ERROR_INTERNAL, "out of memory");
    bool is_read = gnutls_load_file(config->certificate_file, &file) >= 0 &&
                   gnutls_x509_crt_import(certificate, &file, GNUTLS_X509_FMT_PEM) >= 0 &&
                   digest(certificate, parts);
    gnutls_free(file.data);
    gnutls_x509_crt_deinit(certificate);
    if (!is_read)
        return error_set(error, ERROR_INVALID,
                         "cannot read the issuing certificate %s; `originca-server ca init` makes it",
                         config->certificate_file);
    signer_hash_issuer(&bindings->hash, config->name, parts[0], parts[1]);
    struct store_issuer *item = &bindings->items[bindings->count++];
    item->name = config->name;
    sha256(parts, sizeof parts, whole);
    hex_encode(whole, sizeof whole, item->digest);
    return true;
}

struct issuer_bindings *issuer_bindings_new(struct worker *worker, struct error *error) {
    const struct config *config = worker->config;
    struct issuer_bindings *bindings = calloc(1, sizeof *bindings);
    error_set(error, ERROR_INTERNAL, "out of memory");
    if (bindings == NULL)
        return NULL;
    bindings->worker = worker;
    bindings->items = calloc(config->issuer_count + 1, sizeof *bindings->items);
    bindings->unknown = config->issuer_count;
    while (bindings->items != NULL && bindings->count < config->issuer_count &&
           read_issuer(bindings, &config->issuers[bindings->count], error))
        continue;
    if (bindings->items != NULL && bindings->count == config->issuer_count)
        return bindings;
    issuer_bindings_free(bindings);
    return NULL;
}

void issuer_bindings_free(struct issuer_bindings *bindings) {
    if (bindings == NULL)
        return;
    free(bindings->items);
    free(bindings);
}

struct signer_issuers_hash issuer_bindings_hash(const struct issuer_bindings *bindings) {
    return bindings->hash;
}

bool issuer_bindings_are_known(const struct issuer_bindings *bindings) {
    return bindings->unknown == 0;
}

static void note_compared(void *context, const struct error *error) {
    struct issuer_bindings *bindings = context;
    struct error anothers;
    if (error == NULL || error->code != ERROR_CONFLICT) {
        bindings->done(bindings->context, error);
        return;
    }
    error_set(&anothers, ERROR_CONFLICT,
              "the issuer \"%.64s\" has another key or subject than on the host that Redis has it from: use "
              "that one, or give this one a name of its own (operations.md, \"Several hosts on one Redis\")",
              error->message);
    bindings->done(bindings->context, &anothers);
}

static void ask(struct issuer_bindings *bindings, bool binds, store_done *done, void *context) {
    bindings->done = done;
    bindings->context = context;
    store_compare_issuers(bindings->worker->store, bindings->items, bindings->count, binds,
                          &bindings->unknown, note_compared, bindings);
}

void issuer_bindings_compare(struct issuer_bindings *bindings, store_done *done, void *context) {
    ask(bindings, false, done, context);
}

void issuer_bindings_bind(struct issuer_bindings *bindings, store_done *done, void *context) {
    ask(bindings, true, done, context);
}
