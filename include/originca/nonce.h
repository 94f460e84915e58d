/* Anti-replay nonces (RFC 8555 6.5): issued without any store access, spent with one.
 *
 * A nonce is base64url of 36 bytes: 12 bytes block | 4 bytes index | 4 bytes issue time (seconds, big-endian)
 * | 16 bytes of HMAC-SHA256 over the first 20. 36 bytes have exactly one spelling of 48 characters, which
 * matters to certbot. The key derives from the master secret, so each worker and each host accepts every
 * other's nonces and restarts change nothing. A worker counts `index` up inside a random block that it renews
 * every NONCE_BLOCK_SECONDS or NONCE_BLOCK_SIZE nonces; spending sets bit `index` of the Redis string
 * "nonce:<block>", so a spent nonce costs one bit until it expires. */
#pragma once

#include "originca/secrets.h"

#define NONCE_TEXT_LENGTH 48
#define NONCE_BLOCK_SIZE 65536
#define NONCE_BLOCK_SECONDS 600

struct nonce_issuer {
    uint8_t key[SECRET_BYTES];
    uint8_t block[12];
    uint32_t next_index;
    int64_t block_started_ms; /* monotonic */
    uint32_t lifetime_seconds;
};

struct nonce { /* one that we made: what the store needs to spend it */
    char block_hex[25];
    uint32_t index;
    int64_t issued_at, expires_at; /* seconds since the epoch */
};

void nonce_issuer_init(struct nonce_issuer *issuer, const struct secrets *secrets, uint32_t lifetime_seconds);
void nonce_issue(struct nonce_issuer *issuer, char out[NONCE_TEXT_LENGTH + 1]);
/* ERROR_INVALID where we did not make it, or it is too old. Spending it is the store's part. */
bool nonce_check(const struct nonce_issuer *issuer, const char *text, struct nonce *nonce,
                 struct error *error) MUST_CHECK;
