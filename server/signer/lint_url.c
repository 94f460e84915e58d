/* Compares byte by byte, from the left: text of the template, digits where it has its mark, text again. */
#include "lint_url.h"

#include <string.h>

static const char mark[] = {'{', 's', 'h', 'a', 'r', 'd', '}'};

static bool begins_with_mark(const char *text) {
    return strlen(text) >= sizeof mark && memcmp(text, mark, sizeof mark) == 0;
}

/* Takes the digits of `shard` off the URL, the most significant first. */
static bool take_digits(struct bytes *url, unsigned shard) {
    unsigned place = 1;
    while (shard / place >= 16)
        place *= 16;
    for (; place > 0; place /= 16) {
        unsigned digit = shard / place % 16;
        uint8_t expected = (uint8_t)(digit < 10 ? '0' + digit : 'a' + (digit - 10));
        if (url->length == 0 || *url->data != expected)
            return false;
        url->data++;
        url->length--;
    }
    return true;
}

bool lint_url_is_filled(struct bytes url, const char *url_template, uint32_t shards,
                        const uint8_t serial[SERIAL_BYTES]) {
    if (shards == 0)
        return false;
    unsigned shard = (serial[14] * 256u + serial[15]) % shards;
    while (*url_template != '\0') {
        if (begins_with_mark(url_template)) {
            if (!take_digits(&url, shard))
                return false;
            url_template += sizeof mark;
            continue;
        }
        if (url.length == 0 || *url.data != (uint8_t)*url_template)
            return false;
        url.data++;
        url.length--;
        url_template++;
    }
    return url.length == 0;
}
