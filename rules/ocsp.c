/* How OCSP names issuers: hashes of their name and of their key's bits. */
#include "originca/ocsp.h"

#include <string.h>

#include <gnutls/crypto.h>

#include "originca/der.h"

#define SHA1_BYTES 20

static const uint8_t identifiers[OCSP_FORMS][15] = {
    {0x30, 0x09, 0x06, 0x05, 0x2B, 0x0E, 0x03, 0x02, 0x1A, 0x05, 0x00},
    {0x30, 0x0D, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00},
    {0x30, 0x07, 0x06, 0x05, 0x2B, 0x0E, 0x03, 0x02, 0x1A},
    {0x30, 0x0B, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01},
};

size_t ocsp_hash_bytes(ocsp_form form) {
    return (form & OCSP_SHA256) != 0 ? SHA256_BYTES : SHA1_BYTES;
}

struct bytes ocsp_hash_identifier(ocsp_form form) {
    const uint8_t *identifier = identifiers[form % OCSP_FORMS];
    return (struct bytes){identifier, 2u + identifier[1]};
}

static bool hash_twice(struct bytes input, uint8_t out[2][SHA256_BYTES]) {
    return gnutls_hash_fast(GNUTLS_DIG_SHA1, input.data, input.length, out[0]) >= 0 &&
           gnutls_hash_fast(GNUTLS_DIG_SHA256, input.data, input.length, out[1]) >= 0;
}

bool ocsp_identify_issuer(struct bytes subject, struct bytes spki, struct ocsp_issuer_id *out) {
    struct der_item info, algorithm, key;
    *out = (struct ocsp_issuer_id){.name = {{0}}};
    if (!der_expect(&spki, 0x30, &info) || spki.length != 0 || !der_expect(&info.content, 0x30, &algorithm) ||
        !der_expect(&info.content, 0x03, &key) || info.content.length != 0 || key.content.length < 2 ||
        key.content.data[0] != 0)
        return false;
    struct bytes bits = {key.content.data + 1, key.content.length - 1};
    return hash_twice(subject, out->name) && hash_twice(bits, out->key);
}

bool ocsp_is_of_issuer(const struct ocsp_cert_id *id, const struct ocsp_issuer_id *issuer) {
    if (id->form >= OCSP_FORMS)
        return false;
    size_t length = ocsp_hash_bytes(id->form), which = id->form & OCSP_SHA256;
    return id->issuer_name_hash.length == length && id->issuer_key_hash.length == length &&
           memcmp(id->issuer_name_hash.data, issuer->name[which], length) == 0 &&
           memcmp(id->issuer_key_hash.data, issuer->key[which], length) == 0;
}
