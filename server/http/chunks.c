/* Chunked bodies (RFC 9112 7.1), byte by byte. http-parser, as Debian builds it, takes any two bytes for the
 * end of a line in here and forgives trailers that are no fields: whoever reads them otherwise finds another
 * request behind them. Extensions and trailers are checked, counted and dropped. */
#include "internal.h"

#include <string.h>

#define SIZE_DIGITS_MAX 15 /* so that a size never overflows; the limit of the body is far below */

enum chunks_state {
    CHUNKS_SIZE,
    CHUNKS_BLANK, /* white space between size and extension */
    CHUNKS_EXTENSION,
    CHUNKS_SIZE_LF,
    CHUNKS_DATA,
    CHUNKS_DATA_CR,
    CHUNKS_DATA_LF,
    CHUNKS_LINE, /* begin of a trailer field, or of the empty line that ends all */
    CHUNKS_NAME,
    CHUNKS_VALUE,
    CHUNKS_VALUE_LF,
    CHUNKS_END_LF
};

static int hex_value(unsigned char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    unsigned char lower = c | 0x20;
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

static bool is_text(unsigned char c) {
    return (c >= 0x20 || c == '\t') && c != 0x7F;
}

static bool fail(struct http_exchange *exchange, unsigned status, const char *detail) {
    exchange->failure = status;
    exchange->failure_detail = detail;
    return false;
}

static bool take_size(struct http_exchange *exchange, unsigned char c) {
    struct http_chunks *chunks = &exchange->chunks;
    int digit = hex_value(c);
    if (digit >= 0 && chunks->digits < SIZE_DIGITS_MAX) {
        chunks->digits++;
        chunks->left = chunks->left * 16 + (unsigned)digit;
    } else if (digit < 0 && chunks->digits > 0 && (c == ' ' || c == '\t')) {
        chunks->state = CHUNKS_BLANK;
    } else if (chunks->digits > 0 && (c == ';' || c == '\r')) {
        chunks->state = c == ';' ? CHUNKS_EXTENSION : CHUNKS_SIZE_LF;
    } else {
        return fail(exchange, 400, "a chunk size that is no number");
    }
    return true;
}

static bool begin_data(struct http_exchange *exchange) {
    struct http_chunks *chunks = &exchange->chunks;
    chunks->digits = 0;
    chunks->state = chunks->left == 0 ? CHUNKS_LINE : CHUNKS_DATA;
    return chunks->left <= exchange->body_limit - exchange->body_length ||
           fail(exchange, 413, "the body is larger than allowed");
}

/* A byte of a line: is it the one that must be here, and what comes then? */
static bool take_byte(struct http_exchange *exchange, unsigned char c) {
    struct http_chunks *chunks = &exchange->chunks;
    bool is_good = false;
    switch ((enum chunks_state)chunks->state) {
    case CHUNKS_SIZE:
        return take_size(exchange, c);
    case CHUNKS_BLANK:
        is_good = c == ' ' || c == '\t' || c == ';';
        chunks->state = c == ';' ? CHUNKS_EXTENSION : CHUNKS_BLANK;
        break;
    case CHUNKS_EXTENSION:
        is_good = is_text(c) || c == '\r';
        chunks->state = c == '\r' ? CHUNKS_SIZE_LF : CHUNKS_EXTENSION;
        break;
    case CHUNKS_SIZE_LF:
        return c == '\n' ? begin_data(exchange) : fail(exchange, 400, "a chunk size without CRLF");
    case CHUNKS_DATA: /* taken in pieces by http_chunks_feed */
        break;
    case CHUNKS_DATA_CR:
        is_good = c == '\r';
        chunks->state = CHUNKS_DATA_LF;
        break;
    case CHUNKS_DATA_LF:
        is_good = c == '\n';
        chunks->state = CHUNKS_SIZE;
        break;
    case CHUNKS_LINE:
        is_good = c == '\r' || http_is_token_character(c);
        chunks->state = c == '\r' ? CHUNKS_END_LF : CHUNKS_NAME;
        break;
    case CHUNKS_NAME:
        is_good = c == ':' || http_is_token_character(c);
        chunks->state = c == ':' ? CHUNKS_VALUE : CHUNKS_NAME;
        break;
    case CHUNKS_VALUE:
        is_good = is_text(c) || c == '\r';
        chunks->state = c == '\r' ? CHUNKS_VALUE_LF : CHUNKS_VALUE;
        break;
    case CHUNKS_VALUE_LF:
        is_good = c == '\n';
        chunks->state = CHUNKS_LINE;
        break;
    case CHUNKS_END_LF:
        is_good = exchange->is_complete = c == '\n';
        break;
    }
    return is_good || fail(exchange, 400, "a chunk or a trailer that is not well formed");
}

size_t http_chunks_feed(struct http_exchange *exchange, const char *bytes, size_t length) {
    struct http_chunks *chunks = &exchange->chunks;
    size_t used = 0;
    while (used < length && exchange->failure == 0 && !exchange->is_complete) {
        if (chunks->state == CHUNKS_DATA) {
            size_t piece = length - used < chunks->left ? length - used : (size_t)chunks->left;
            if (!http_body_append(exchange, bytes + used, piece))
                break;
            used += piece;
            chunks->left -= piece;
            chunks->state = chunks->left == 0 ? CHUNKS_DATA_CR : CHUNKS_DATA;
            continue;
        }
        unsigned char c = (unsigned char)bytes[used++];
        bool is_dropped = chunks->state == CHUNKS_BLANK || chunks->state == CHUNKS_EXTENSION ||
                          chunks->state >= CHUNKS_LINE;
        if (is_dropped && ++chunks->dropped > exchange->server->limits.max_header_bytes)
            fail(exchange, 431, "more chunk extensions and trailers than allowed");
        else
            take_byte(exchange, c);
    }
    return used;
}
