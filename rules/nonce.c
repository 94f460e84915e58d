/* Nonces that carry their own proof: a block, an index in it, the time, a MAC. */
#include "originca/nonce.h"

#include <string.h>

#include "originca/text.h"

#define BODY_BYTES 20
#define MAC_BYTES 16

static void put_u32(uint8_t *out, uint32_t value) {
    for (int i = 0; i < 4; i++)
        out[i] = (uint8_t)(value >> (24 - 8 * i));
}

static uint32_t get_u32(const uint8_t *in) {
    return (uint32_t)in[0] << 24 | (uint32_t)in[1] << 16 | (uint32_t)in[2] << 8 | in[3];
}

static void begin_block(struct nonce_issuer *issuer) {
    random_bytes(issuer->block, sizeof issuer->block);
    issuer->next_index = 0;
    issuer->block_started_ms = clock_monotonic_ms();
}

void nonce_issuer_init(struct nonce_issuer *issuer, const struct secrets *secrets,
                       uint32_t lifetime_seconds) {
    secrets_derive(secrets, "nonce", NULL, 0, issuer->key);
    issuer->lifetime_seconds = lifetime_seconds;
    begin_block(issuer);
}

void nonce_issue(struct nonce_issuer *issuer, char out[NONCE_TEXT_LENGTH + 1]) {
    uint8_t bytes[BODY_BYTES + SHA256_BYTES];
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    if (issuer->next_index == NONCE_BLOCK_SIZE ||
        clock_monotonic_ms() - issuer->block_started_ms > NONCE_BLOCK_SECONDS * 1000)
        begin_block(issuer);
    memcpy(bytes, issuer->block, 12);
    put_u32(bytes + 12, issuer->next_index++);
    put_u32(bytes + 16, (uint32_t)(clock_wall_ms() / 1000));
    hmac_sha256(issuer->key, sizeof issuer->key, bytes, BODY_BYTES, bytes + BODY_BYTES);
    /* 36 bytes are 12 whole groups: no arena, no padding. */
    for (size_t i = 0; i < BODY_BYTES + MAC_BYTES; i += 3) {
        uint32_t group = (uint32_t)bytes[i] << 16 | (uint32_t)bytes[i + 1] << 8 | bytes[i + 2];
        for (int k = 0; k < 4; k++)
            *out++ = alphabet[group >> (18 - 6 * k) & 63];
    }
    *out = '\0';
}

bool nonce_check(const struct nonce_issuer *issuer, const char *text, struct nonce *nonce,
                 struct error *error) {
    uint8_t mac[SHA256_BYTES];
    struct bytes bytes;
    struct arena *arena = arena_new(4096);
    bool is_ours = arena != NULL && strlen(text) == NONCE_TEXT_LENGTH &&
                   base64url_decode(arena, text, NONCE_TEXT_LENGTH, &bytes);
    if (is_ours) {
        hmac_sha256(issuer->key, sizeof issuer->key, bytes.data, BODY_BYTES, mac);
        is_ours = bytes_equal_secret(mac, bytes.data + BODY_BYTES, MAC_BYTES) &&
                  get_u32(bytes.data + 12) < NONCE_BLOCK_SIZE;
    }
    if (is_ours) {
        hex_encode(bytes.data, 12, nonce->block_hex);
        nonce->index = get_u32(bytes.data + 12);
        nonce->issued_at = get_u32(bytes.data + 16);
        nonce->expires_at = nonce->issued_at + issuer->lifetime_seconds;
    }
    arena_free(arena);
    if (!is_ours)
        return error_set(error, ERROR_INVALID, "this server did not make that nonce");
    if (nonce->expires_at < clock_wall_ms() / 1000)
        return error_set(error, ERROR_INVALID, "the nonce is too old");
    return true;
}
