/* One module judges public keys: account keys (JWK) and certificate keys (CSR) alike.
 *
 * Rules: sizes before any big-number work; RSA 2048 to 8192 bits in multiples of 8, public exponent 65537,
 * odd modulus, no factor below 752, not a prime power, not Fermat-close (100 rounds), no ROCA fingerprint
 * (CVE-2017-15361), not on the block list (SHA-256 of SubjectPublicKeyInfo). EC: P-256, P-384, P-521 as named
 * curves, point on the curve and not infinity (GnuTLS accepts an off-curve point on import: checked here).
 * Ed25519 for account keys only. */
#pragma once

#include <gnutls/abstract.h>

#include "originca/text.h"

enum key_use { KEY_USE_ACCOUNT, KEY_USE_CERTIFICATE };
enum key_kind { KEY_KIND_RSA, KEY_KIND_P256, KEY_KIND_P384, KEY_KIND_P521, KEY_KIND_ED25519 };

struct key_facts {
    enum key_kind kind;
    unsigned bits;
    struct bytes spki;                 /* DER SubjectPublicKeyInfo, in the arena */
    uint8_t spki_sha256[SHA256_BYTES]; /* the identity of the key everywhere in the program */
};

/* ERROR_REFUSED with the broken rule. `facts` is filled on success. */
bool key_judge(struct arena *arena, gnutls_pubkey_t key, enum key_use use, struct key_facts *facts,
               struct error *error) MUST_CHECK;

/* Reads the block list: a file with one hex SHA-256 a line, '#' comments. Replaces the former list. NULL
 * empties. */
bool keys_load_blocklist(const char *path, struct error *error) MUST_CHECK;

const char *key_kind_name(enum key_kind kind); /* "rsa", "p256", "p384", "p521", "ed25519" */
