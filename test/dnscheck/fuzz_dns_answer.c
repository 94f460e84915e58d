/* Fuzz target: an answer of a name server, parsed and looked through. */
#include "../../dnscheck/packet.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint8_t query[DNS_QUERY_MAX];
    struct arena *arena = arena_new(0);
    size_t length = dns_build_query(query, 0x1234, "www.shop.test", DNS_A, true, false);
    (void)dns_matches(query, length, data, size, false);
    (void)dns_matches(query, length, data, size, true);
    const struct dns_message *message = dns_parse(arena, data, size);
    for (size_t i = 0; message != NULL && i < message->count; i++)
        (void)dns_find(message, DNS_ANSWER, message->records[i].owner, DNS_CNAME, NULL);
    arena_free(arena);
    return 0;
}
