/* Fuzz target: request bytes through the head's judge and the parser, cut at a place that the input chooses.
 */
#include <stdlib.h>
#include <string.h>

#include "../../server/http/internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void run(const char *bytes, size_t length, size_t cut) {
    struct http_server server = {.limits = {.max_body_bytes = 4096, .max_header_bytes = 4096}};
    struct http_connection connection = {.server = &server};
    unsigned status;
    const char *end = memmem(bytes, length, "\r\n\r\n", 4);
    if (end == NULL || http_head_check(bytes, (size_t)(end + 4 - bytes), &status) != NULL)
        return;
    connection.exchange = http_exchange_new(&connection);
    if (connection.exchange == NULL)
        return;
    http_parse_begin(&connection);
    size_t first = cut < length ? cut : length, used = http_parse_feed(&connection, bytes, first);
    bool goes_on = connection.exchange->failure == 0 && !connection.exchange->is_complete && used == first;
    if (goes_on && first < length)
        http_parse_feed(&connection, bytes + first, length - first);
    if (connection.exchange->is_complete && connection.exchange->body_length > 4096)
        abort();
    http_exchange_free(connection.exchange);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2)
        return 0;
    size_t cut = (size_t)data[0] << 8 | data[1];
    run((const char *)data + 2, size - 2, cut);
    return 0;
}
