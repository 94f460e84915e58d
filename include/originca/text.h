/* Small things that every module needs: growing text, base64url, hex, times, random bytes, digests. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "originca/arena.h"
#include "originca/error.h"

/* A view of foreign bytes; not NUL-terminated. */
struct bytes {
    const uint8_t *data;
    size_t length;
};

/* Text that grows in an arena. A failed allocation sets `failed` and makes later appends do nothing: check
 * once. */
struct text {
    struct arena *arena;
    char *data; /* NUL-terminated once anything was appended; NULL before */
    size_t length;
    size_t capacity;
    bool failed;
};
void text_init(struct text *text, struct arena *arena);
void text_append(struct text *text, const char *piece);
void text_append_bytes(struct text *text, const void *bytes, size_t length);
void text_printf(struct text *text, const char *format, ...) PRINTF_LIKE(2, 3);

/* base64url without padding (RFC 4648 5, RFC 7515 2). Decoding is strict: no padding, no white space, no
 * foreign alphabet, no length 1 mod 4, no non-zero trailing bits; so each byte string has exactly one
 * spelling. */
char *base64url_encode(struct arena *arena, const void *bytes, size_t length);
bool base64url_decode(struct arena *arena, const char *text, size_t length, struct bytes *out) MUST_CHECK;
/* Standard alphabet (RFC 4648 4), for PEM and DER in JSON. Decoding skips CR, LF, space and tab. */
char *base64_encode(struct arena *arena, const void *bytes, size_t length);
bool base64_decode(struct arena *arena, const char *text, size_t length, struct bytes *out) MUST_CHECK;

/* Lower-case hex. Decoding takes both cases and needs exactly 2 * out_length digits. `out` of hex_encode
 * holds 2 * length + 1. */
void hex_encode(const void *bytes, size_t length, char *out);
bool hex_decode(const char *text, void *out, size_t out_length) MUST_CHECK;

/* PEM block of the given label with 64-column lines and a final newline. */
char *pem_encode(struct arena *arena, const char *label, const void *der, size_t length);
/* The first block with that label, in any line length, LF or CRLF; text before it is skipped. */
bool pem_decode(struct arena *arena, const char *label, const char *text, size_t length,
                struct bytes *der) MUST_CHECK;

/* "2026-11-21T02:03:04Z" (RFC 3339, UTC); `out` holds TIME_TEXT_MAX. */
#define TIME_TEXT_MAX 32
void time_format(time_t when, char out[TIME_TEXT_MAX]);
/* RFC 3339 with Z or offset, fraction ignored. */
bool time_parse(const char *text, time_t *when) MUST_CHECK;
int64_t clock_monotonic_ms(void);
int64_t clock_wall_ms(void); /* since the epoch */

/* Random bytes from the kernel; the process ends if it has none: nothing here can work without. */
void random_bytes(void *out, size_t length);
/* `bytes` random bytes as lower-case hex. */
char *random_hex(struct arena *arena, size_t bytes);
/* 128 random bits as 22 characters of base64url, of which the first is no hyphen: ids are arguments on
 * command lines. NULL when out of memory. */
char *random_id(struct arena *arena);

#define SHA256_BYTES 32
void sha256(const void *bytes, size_t length, uint8_t out[SHA256_BYTES]);
void hmac_sha256(const void *key, size_t key_length, const void *bytes, size_t length,
                 uint8_t out[SHA256_BYTES]);
/* Constant time in the contents. */
bool bytes_equal_secret(const void *a, const void *b, size_t length);
/* Overwrites memory in a way the compiler keeps. */
void bytes_wipe(void *bytes, size_t length);

/* Serial numbers: 16 bytes; decimal outside, hex inside. `decimal` holds SERIAL_DECIMAL_MAX. */
#define SERIAL_BYTES 16
#define SERIAL_HEX_MAX (2 * SERIAL_BYTES + 1)
#define SERIAL_DECIMAL_MAX 40
void serial_to_decimal(const uint8_t serial[SERIAL_BYTES], char decimal[SERIAL_DECIMAL_MAX]);
/* Decimal, or hex as people have it: with 0x, as openssl says it ("serial=0A1B…"), with colons between bytes,
 * or bare where its length or a letter shows what it is; in either case, with leading zeros or without. False
 * for anything that is not a 1 to 16 byte number; SERIAL_FORMS tells a person what is one. */
#define SERIAL_COLON_BYTES_MAX 32 /* with leading zeros */
#define SERIAL_FORMS                                                                                         \
    "a serial is a decimal number, or hex as 0x0a1b..., 0a:1b:..., serial=0A1B... or 32 digits"
bool serial_parse(const char *text, uint8_t serial[SERIAL_BYTES]) MUST_CHECK;
/* The same, with an ERROR_INVALID that shows what was given and the forms that there are. */
bool serial_read(const char *text, uint8_t serial[SERIAL_BYTES], struct error *error) MUST_CHECK;
