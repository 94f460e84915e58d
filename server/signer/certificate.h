/* Building leaf certificates (RFC 5280) byte by byte: every bit of them is decided here. doc/certificates.md.
 */
#pragma once

#include <gnutls/abstract.h>

#include "originca/signer.h"

enum certificate_template { TEMPLATE_ORIGIN, TEMPLATE_COMPACT, TEMPLATE_CLASSIC };

/* SHA-256 of an issuer's DER SubjectPublicKeyInfo and of its DER Name: what a renewed certificate keeps. */
struct issuer_identity {
    uint8_t spki[SHA256_BYTES], subject[SHA256_BYTES];
};

struct issuer {
    const struct config_issuer *config;
    gnutls_pubkey_t public_key;
    gnutls_sign_algorithm_t algorithm;
    struct bytes subject;              /* DER Name, as it stands in the issuing certificate */
    struct bytes key_id;               /* its SubjectKeyIdentifier */
    struct bytes signature_identifier; /* DER AlgorithmIdentifier of its signatures */
    struct ocsp_issuer_id ocsp;        /* what requests call it */
    struct issuer_identity identity;
    time_t not_before, not_after;
};

struct certificate_contents {
    enum certificate_template shape;
    const struct issuer *issuer;
    const uint8_t *serial; /* SERIAL_BYTES */
    const char *const *names;
    size_t name_count;
    struct bytes spki;
    bool is_rsa;
    time_t not_before, not_after;
};

bool certificate_template_parse(const char *name, enum certificate_template *out) MUST_CHECK;
/* Random, first byte 0x01 to 0x7F: positive, always 16 bytes in DER, so ARI's certID has one spelling. */
void certificate_make_serial(uint8_t serial[SERIAL_BYTES]);
/* The DER TBSCertificate. */
bool certificate_build_tbs(struct arena *arena, const struct certificate_contents *contents,
                           struct bytes *tbs, struct error *error) MUST_CHECK;
/* Certificate ::= SEQUENCE { tbs, signatureAlgorithm, signature }. */
bool certificate_assemble(struct arena *arena, const struct issuer *issuer, struct bytes tbs,
                          struct bytes signature, struct bytes *der, struct error *error) MUST_CHECK;
/* Reads a PEM issuing certificate; what the issuer holds lives in the arena. */
bool issuer_load(struct arena *arena, const struct config_issuer *config, struct issuer *issuer,
                 struct error *error) MUST_CHECK;
/* A tiny self-signed issuing certificate for a key in the token (ca_init.c). */
bool certificate_build_issuing(struct arena *arena, const char *common_name, gnutls_pubkey_t key,
                               gnutls_privkey_t signing_key, time_t not_before, time_t not_after,
                               struct bytes *der, struct error *error) MUST_CHECK;
