/* Times, randomness and digests: thin layers over the kernel, GnuTLS and nettle. */
#include "originca/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include <nettle/hmac.h>
#include <nettle/memops.h>
#include <nettle/sha2.h>

void time_format(time_t when, char out[TIME_TEXT_MAX]) {
    struct tm parts;
    if (gmtime_r(&when, &parts) == NULL || strftime(out, TIME_TEXT_MAX, "%Y-%m-%dT%H:%M:%SZ", &parts) == 0)
        snprintf(out, TIME_TEXT_MAX, "1970-01-01T00:00:00Z");
}

/* "+01:00" or "Z": seconds east of UTC. */
static bool parse_offset(const char *text, long *seconds) {
    if ((text[0] == 'Z' || text[0] == 'z') && text[1] == '\0') {
        *seconds = 0;
        return true;
    }
    unsigned hours, minutes;
    int used = 0;
    if ((text[0] != '+' && text[0] != '-') || sscanf(text + 1, "%2u:%2u%n", &hours, &minutes, &used) != 2 ||
        used != 5 || text[6] != '\0' || hours > 23 || minutes > 59)
        return false;
    *seconds = (long)(hours * 3600 + minutes * 60) * (text[0] == '-' ? -1 : 1);
    return true;
}

static bool has_date_shape(const char *text) {
    static const char shape[] = "dddd-dd-ddTdd:dd:dd";
    for (size_t i = 0; shape[i] != '\0'; i++) {
        if (shape[i] == 'd' ? text[i] < '0' || text[i] > '9'
                            : text[i] != shape[i] && !(shape[i] == 'T' && text[i] == 't'))
            return false;
    }
    return true;
}

bool time_parse(const char *text, time_t *when) {
    if (!has_date_shape(text))
        return false;
    struct tm parts = {
        .tm_year = atoi((char[]){text[0], text[1], text[2], text[3], 0}) - 1900,
        .tm_mon = atoi((char[]){text[5], text[6], 0}) - 1,
        .tm_mday = atoi((char[]){text[8], text[9], 0}),
        .tm_hour = atoi((char[]){text[11], text[12], 0}),
        .tm_min = atoi((char[]){text[14], text[15], 0}),
        .tm_sec = atoi((char[]){text[17], text[18], 0}),
    };
    struct tm asked = parts;
    const char *rest = text + 19;
    if (*rest == '.') {
        const char *fraction = ++rest;
        while (*rest >= '0' && *rest <= '9')
            rest++;
        if (rest == fraction)
            return false;
    }
    long offset;
    if (!parse_offset(rest, &offset))
        return false;
    time_t result = timegm(&parts);
    /* timegm turns 31 February into March; what it changed was no date. */
    if (parts.tm_mon != asked.tm_mon || parts.tm_mday != asked.tm_mday || parts.tm_hour != asked.tm_hour ||
        parts.tm_min != asked.tm_min || asked.tm_sec > 60)
        return false;
    *when = result - offset;
    return true;
}

static int64_t read_clock_ms(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t clock_monotonic_ms(void) {
    return read_clock_ms(CLOCK_MONOTONIC);
}

int64_t clock_wall_ms(void) {
    return read_clock_ms(CLOCK_REALTIME);
}

void random_bytes(void *out, size_t length) {
    uint8_t *bytes = out;
    while (length > 0) {
        ssize_t got = getrandom(bytes, length, 0);
        if (got <= 0)
            abort();
        bytes += got;
        length -= (size_t)got;
    }
}

void sha256(const void *bytes, size_t length, uint8_t out[SHA256_BYTES]) {
    struct sha256_ctx context;
    sha256_init(&context);
    sha256_update(&context, length, bytes);
    sha256_digest(&context, SHA256_BYTES, out);
}

void hmac_sha256(const void *key, size_t key_length, const void *bytes, size_t length,
                 uint8_t out[SHA256_BYTES]) {
    struct hmac_sha256_ctx context;
    hmac_sha256_set_key(&context, key_length, key);
    hmac_sha256_update(&context, length, bytes);
    hmac_sha256_digest(&context, SHA256_BYTES, out);
    bytes_wipe(&context, sizeof context);
}

bool bytes_equal_secret(const void *a, const void *b, size_t length) {
    return memeql_sec(a, b, length) != 0;
}

void bytes_wipe(void *bytes, size_t length) {
    explicit_bzero(bytes, length);
}
