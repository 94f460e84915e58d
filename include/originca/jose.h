/* JSON Web Signatures as ACME uses them (RFC 7515, RFC 7517, RFC 7518, RFC 7638, RFC 8037; RFC 8555 6.2).
 *
 * Checked strictly: flattened JSON serialisation only, exactly the members protected, payload, signature;
 * protected header with alg, nonce, url and exactly one of jwk and kid; no crit, no unprotected header, no
 * duplicate members; alg is RS256, ES256, ES384, ES512 or EdDSA (Ed25519) and fits the key; HS256 only in an
 * external account binding. */
#pragma once

#include <gnutls/abstract.h>

#include "originca/keys.h"

enum jws_algorithm { JWS_RS256, JWS_ES256, JWS_ES384, JWS_ES512, JWS_EDDSA, JWS_HS256 };

struct jwk { /* a public key; its gnutls handle is freed with the arena */
    gnutls_pubkey_t key;
    struct key_facts facts;
    char thumbprint[44]; /* RFC 7638, SHA-256, base64url */
    char *canonical;     /* the key's required members alone, as JSON text: what is stored */
};

/* `json` is the JWK object. Judged by keys.h as an account key. ERROR_INVALID: malformed; ERROR_REFUSED: bad
 * key. */
bool jwk_import(struct arena *arena, const json_t *json, struct jwk *jwk, struct error *error) MUST_CHECK;

struct jws {
    enum jws_algorithm algorithm;
    const char *nonce; /* NULL where the header has none (inner JWS) */
    const char *url;
    const char *kid;            /* or NULL */
    const json_t *jwk;          /* or NULL, also after jws_forget_header */
    struct bytes payload;       /* decoded; empty for POST-as-GET */
    struct bytes signing_input; /* protected "." payload, as received */
    struct bytes signature;
    struct arena *header; /* holds jwk; a branch of the arena that jws_parse was given */
};

/* What a problem document's type comes from. */
enum jws_fault {
    JWS_FAULT_NONE,
    JWS_FAULT_MALFORMED,
    JWS_FAULT_BAD_ALGORITHM,
    JWS_FAULT_BAD_KEY,
    JWS_FAULT_BAD_SIGNATURE
};

enum jws_place { JWS_OUTER, JWS_INNER_KEY_CHANGE, JWS_INNER_EAB };

bool jws_parse(struct arena *arena, struct bytes text, enum jws_place place, struct jws *jws,
               enum jws_fault *fault, struct error *error) MUST_CHECK;
/* Frees the parsed header once `jwk` was imported; the other members stay. */
void jws_forget_header(struct jws *jws);
/* The algorithm is decided by the key; the header's must equal it. Signature lengths are exact. */
bool jws_verify(const struct jws *jws, const struct jwk *key, enum jws_fault *fault,
                struct error *error) MUST_CHECK;
/* HS256, constant time. */
bool jws_verify_hmac(const struct jws *jws, const uint8_t *key, size_t key_length, enum jws_fault *fault,
                     struct error *error) MUST_CHECK;
/* The five signature algorithms, for badSignatureAlgorithm's "algorithms" member (RFC 8555 6.2). */
json_t *jws_supported_algorithms(void);
