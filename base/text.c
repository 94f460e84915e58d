/* Growing text, encodings, PEM, and serial numbers. */
#include "originca/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

void text_init(struct text *text, struct arena *arena) {
    *text = (struct text){.arena = arena};
}

void text_append_bytes(struct text *text, const void *bytes, size_t length) {
    if (text->failed)
        return;
    if (text->length + length + 1 > text->capacity) {
        size_t capacity = text->capacity == 0 ? 256 : text->capacity * 2;
        while (capacity < text->length + length + 1)
            capacity *= 2;
        char *larger = arena_alloc(text->arena, capacity);
        if (larger == NULL) {
            text->failed = true;
            return;
        }
        if (text->length > 0)
            memcpy(larger, text->data, text->length);
        text->data = larger;
        text->capacity = capacity;
    }
    if (length > 0)
        memcpy(text->data + text->length, bytes, length);
    text->length += length;
    text->data[text->length] = '\0';
}

void text_append(struct text *text, const char *piece) {
    text_append_bytes(text, piece, strlen(piece));
}

void text_printf(struct text *text, const char *format, ...) {
    char piece[512];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(piece, sizeof piece, format, arguments);
    va_end(arguments);
    if (length < 0) {
        text->failed = true;
        return;
    }
    if ((size_t)length < sizeof piece) {
        text_append_bytes(text, piece, (size_t)length);
        return;
    }
    char *longer = malloc((size_t)length + 1);
    if (longer == NULL) {
        text->failed = true;
        return;
    }
    va_start(arguments, format);
    vsnprintf(longer, (size_t)length + 1, format, arguments);
    va_end(arguments);
    text_append_bytes(text, longer, (size_t)length);
    free(longer);
}

static const char standard_alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char url_alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static size_t encode_groups(const char *alphabet, const uint8_t *in, size_t length, char *out) {
    size_t written = 0;
    for (size_t i = 0; i < length; i += 3) {
        size_t have = length - i < 3 ? length - i : 3;
        uint32_t group =
            (uint32_t)in[i] << 16 | (have > 1 ? (uint32_t)in[i + 1] << 8 : 0) | (have > 2 ? in[i + 2] : 0u);
        for (size_t k = 0; k <= have; k++)
            out[written++] = alphabet[group >> (18 - 6 * k) & 63];
    }
    return written;
}

static int sextet(char c, char plus, char slash) {
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == plus)
        return 62;
    return c == slash ? 63 : -1;
}

char *base64url_encode(struct arena *arena, const void *bytes, size_t length) {
    char *out = arena_alloc(arena, length / 3 * 4 + 5);
    if (out == NULL)
        return NULL;
    out[encode_groups(url_alphabet, bytes, length, out)] = '\0';
    return out;
}

bool base64url_decode(struct arena *arena, const char *text, size_t length, struct bytes *out) {
    if (length % 4 == 1)
        return false;
    uint8_t *bytes = arena_alloc(arena, length / 4 * 3 + 3);
    if (bytes == NULL)
        return false;
    size_t written = 0;
    uint32_t bits = 0;
    unsigned held = 0;
    for (size_t i = 0; i < length; i++) {
        int value = sextet(text[i], '-', '_');
        if (value < 0)
            return false;
        bits = bits << 6 | (uint32_t)value;
        held += 6;
        if (held >= 8) {
            held -= 8;
            bytes[written++] = (uint8_t)(bits >> held);
            bits &= (1u << held) - 1;
        }
    }
    if (bits != 0)
        return false;
    *out = (struct bytes){.data = bytes, .length = written};
    return true;
}

char *base64_encode(struct arena *arena, const void *bytes, size_t length) {
    char *out = arena_alloc(arena, (length + 2) / 3 * 4 + 1);
    if (out == NULL)
        return NULL;
    size_t written = encode_groups(standard_alphabet, bytes, length, out);
    while (written % 4 != 0)
        out[written++] = '=';
    out[written] = '\0';
    return out;
}

bool base64_decode(struct arena *arena, const char *text, size_t length, struct bytes *out) {
    uint8_t *bytes = arena_alloc(arena, length / 4 * 3 + 3);
    if (bytes == NULL)
        return false;
    size_t written = 0, digits = 0, padding = 0;
    uint32_t bits = 0;
    unsigned held = 0;
    for (size_t i = 0; i < length; i++) {
        char c = text[i];
        if (c == '\r' || c == '\n' || c == ' ' || c == '\t')
            continue;
        if (c == '=') {
            padding++;
            continue;
        }
        int value = sextet(c, '+', '/');
        if (value < 0 || padding > 0)
            return false;
        digits++;
        bits = bits << 6 | (uint32_t)value;
        held += 6;
        if (held >= 8) {
            held -= 8;
            bytes[written++] = (uint8_t)(bits >> held);
            bits &= (1u << held) - 1;
        }
    }
    if ((digits + padding) % 4 != 0 || padding > 2 || bits != 0)
        return false;
    *out = (struct bytes){.data = bytes, .length = written};
    return true;
}

void hex_encode(const void *bytes, size_t length, char *out) {
    static const char digits[] = "0123456789abcdef";
    const uint8_t *in = bytes;
    for (size_t i = 0; i < length; i++) {
        *out++ = digits[in[i] >> 4];
        *out++ = digits[in[i] & 15];
    }
    *out = '\0';
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool hex_decode(const char *text, void *out, size_t out_length) {
    uint8_t *bytes = out;
    for (size_t i = 0; i < out_length; i++) {
        int high = hex_digit(text[2 * i]);
        int low = high < 0 ? -1 : hex_digit(text[2 * i + 1]);
        if (low < 0)
            return false;
        bytes[i] = (uint8_t)(high << 4 | low);
    }
    return text[2 * out_length] == '\0';
}

char *pem_encode(struct arena *arena, const char *label, const void *der, size_t length) {
    char *body = base64_encode(arena, der, length);
    if (body == NULL)
        return NULL;
    struct text text;
    text_init(&text, arena);
    text_printf(&text, "-----BEGIN %s-----\n", label);
    for (size_t left = strlen(body); left > 0;) {
        size_t piece = left < 64 ? left : 64;
        text_append_bytes(&text, body, piece);
        text_append(&text, "\n");
        body += piece;
        left -= piece;
    }
    text_printf(&text, "-----END %s-----\n", label);
    return text.failed ? NULL : text.data;
}

bool pem_decode(struct arena *arena, const char *label, const char *text, size_t length, struct bytes *der) {
    char begin[80], end[80];
    int begin_length = snprintf(begin, sizeof begin, "-----BEGIN %s-----", label);
    int end_length = snprintf(end, sizeof end, "-----END %s-----", label);
    if (begin_length >= (int)sizeof begin || end_length >= (int)sizeof end)
        return false;
    const char *start = memmem(text, length, begin, (size_t)begin_length);
    if (start == NULL)
        return false;
    start += begin_length;
    size_t rest = length - (size_t)(start - text);
    const char *stop = memmem(start, rest, end, (size_t)end_length);
    if (stop == NULL)
        return false;
    return base64_decode(arena, start, (size_t)(stop - start), der) && der->length > 0;
}

char *random_hex(struct arena *arena, size_t bytes) {
    uint8_t *raw = arena_alloc(arena, bytes);
    char *out = arena_alloc(arena, 2 * bytes + 1);
    if (raw == NULL || out == NULL)
        return NULL;
    random_bytes(raw, bytes);
    hex_encode(raw, bytes, out);
    return out;
}

char *random_id(struct arena *arena) {
    uint8_t raw[16];
    do
        random_bytes(raw, sizeof raw);
    while (raw[0] >> 2 == 62); /* '-' */
    return base64url_encode(arena, raw, sizeof raw);
}

void serial_to_decimal(const uint8_t serial[SERIAL_BYTES], char decimal[SERIAL_DECIMAL_MAX]) {
    /* Repeated division of the 16-byte number by ten: exact and without a big-number library. */
    uint8_t rest[SERIAL_BYTES];
    char reversed[SERIAL_DECIMAL_MAX];
    size_t digits = 0;
    memcpy(rest, serial, sizeof rest);
    bool is_zero;
    do {
        unsigned remainder = 0;
        is_zero = true;
        for (size_t i = 0; i < sizeof rest; i++) {
            unsigned value = remainder << 8 | rest[i];
            rest[i] = (uint8_t)(value / 10);
            remainder = value % 10;
            is_zero = is_zero && rest[i] == 0;
        }
        reversed[digits++] = (char)('0' + remainder);
    } while (!is_zero);
    for (size_t i = 0; i < digits; i++)
        decimal[i] = reversed[digits - 1 - i];
    decimal[digits] = '\0';
}

/* Leading zeros are no part of the number: DER has one where the first bit is set, 0x may have many. */
static bool parse_hex_serial(const char *text, uint8_t serial[SERIAL_BYTES]) {
    char padded[SERIAL_HEX_MAX];
    bool is_empty = *text == '\0';
    while (*text == '0')
        text++;
    size_t length = strlen(text);
    if (is_empty || length > 2 * SERIAL_BYTES)
        return false;
    memset(padded, '0', 2 * SERIAL_BYTES);
    memcpy(padded + 2 * SERIAL_BYTES - length, text, length);
    padded[2 * SERIAL_BYTES] = '\0';
    return hex_decode(padded, serial, SERIAL_BYTES);
}

/* Bytes with colons between them: "0a:1b:…". */
static bool parse_colon_serial(const char *text, uint8_t serial[SERIAL_BYTES]) {
    char digits[2 * SERIAL_COLON_BYTES_MAX + 1];
    size_t length = strlen(text), used = 0;
    if (length % 3 != 2 || length > 3 * SERIAL_COLON_BYTES_MAX - 1)
        return false;
    for (size_t i = 0; i < length; i++) {
        bool is_colon = i % 3 == 2;
        if ((text[i] == ':') != is_colon)
            return false;
        if (!is_colon)
            digits[used++] = text[i];
    }
    digits[used] = '\0';
    return parse_hex_serial(digits, serial);
}

static bool parse_decimal_serial(const char *text, uint8_t serial[SERIAL_BYTES]) {
    if (*text == '\0' || strlen(text) >= SERIAL_DECIMAL_MAX)
        return false;
    memset(serial, 0, SERIAL_BYTES);
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9')
            return false;
        unsigned carry = (unsigned)(*text - '0');
        for (size_t i = SERIAL_BYTES; i-- > 0;) {
            unsigned value = serial[i] * 10u + carry;
            serial[i] = (uint8_t)value;
            carry = value >> 8;
        }
        if (carry != 0)
            return false;
    }
    return true;
}

/* Ours have a first byte from 01 to 7F (certificate_make_serial): 31 or 32 digits of hex, 37 to 39 decimal
 * ones. So 32 digits are hex whatever they are; fewer are only where a letter says so, and what is shorter
 * may be a decimal number with a slip in it. */
static bool is_bare_hex(const char *text) {
    size_t length = strlen(text);
    return length == 2 * SERIAL_BYTES || (length == 2 * SERIAL_BYTES - 1 && text[strspn(text, "0123456789")]);
}

bool serial_parse(const char *text, uint8_t serial[SERIAL_BYTES]) {
    if (strncasecmp(text, "0x", 2) == 0)
        return parse_hex_serial(text + 2, serial);
    if (strncasecmp(text, "serial=", 7) == 0) /* openssl x509 -serial */
        return parse_hex_serial(text + 7, serial);
    if (strchr(text, ':') != NULL)
        return parse_colon_serial(text, serial);
    return is_bare_hex(text) ? parse_hex_serial(text, serial) : parse_decimal_serial(text, serial);
}

#define SERIAL_SHOWN_MAX 61

bool serial_read(const char *text, uint8_t serial[SERIAL_BYTES], struct error *error) {
    char shown[SERIAL_SHOWN_MAX];
    if (serial_parse(text, serial))
        return true;
    snprintf(shown, sizeof shown, "%s", text);
    for (char *c = shown; *c != '\0'; c++)
        *c = *c >= ' ' && *c <= '~' ? *c : '?';
    return error_set(error, ERROR_INVALID, "%s is no serial: " SERIAL_FORMS, shown);
}
