/* URLs of certificate revocation lists: their form, and the template with which a certificate's is made. */
#include "originca/crl.h"

#include <stdio.h>
#include <string.h>

bool crl_url_is_good(const char *url) {
    size_t length = strlen(url);
    if (strncmp(url, "http://", 7) != 0 || length == 7 || length > CRL_URL_MAX)
        return false;
    for (size_t i = 0; i < length; i++)
        if (url[i] <= 0x20 || url[i] >= 0x7F || url[i] == '"' || url[i] == '\\')
            return false;
    return true;
}

uint32_t crl_shard_of(const uint8_t serial[SERIAL_BYTES], uint32_t shards) {
    return ((uint32_t)serial[SERIAL_BYTES - 2] << 8 | serial[SERIAL_BYTES - 1]) % shards;
}

uint32_t crl_url_count(const char *url_template, uint32_t shards) {
    return strstr(url_template, CRL_SHARD_MARK) == NULL ? 1 : shards;
}

const char *crl_url_fill(struct arena *arena, const char *url_template, uint32_t shard) {
    const char *mark = strstr(url_template, CRL_SHARD_MARK);
    if (mark == NULL)
        return arena_strdup(arena, url_template);
    return arena_printf(arena, "%.*s%x%s", (int)(mark - url_template), url_template, shard,
                        mark + strlen(CRL_SHARD_MARK));
}

/* Exactly `length` lower-case digits without leading zeros. */
static bool read_shard(const char *digits, size_t length, uint32_t *shard) {
    char again[16];
    *shard = 0;
    if (length == 0 || length > 5)
        return false;
    for (size_t i = 0; i < length; i++) {
        const char *all = "0123456789abcdef", *found = memchr(all, digits[i], 16);
        if (found == NULL)
            return false;
        *shard = *shard << 4 | (uint32_t)(found - all);
    }
    return snprintf(again, sizeof again, "%x", *shard) == (int)length;
}

bool crl_url_is_fill(const char *url, const char *url_template, uint32_t shards, uint32_t *shard) {
    const char *mark = strstr(url_template, CRL_SHARD_MARK);
    uint32_t found = 0;
    if (shard != NULL)
        *shard = 0;
    if (mark == NULL)
        return strcmp(url, url_template) == 0;
    const char *tail = mark + strlen(CRL_SHARD_MARK);
    size_t before = (size_t)(mark - url_template), behind = strlen(tail), length = strlen(url);
    if (length < before + behind || strncmp(url, url_template, before) != 0 ||
        strcmp(url + length - behind, tail) != 0 ||
        !read_shard(url + before, length - before - behind, &found) || found >= shards)
        return false;
    if (shard != NULL)
        *shard = found;
    return true;
}
