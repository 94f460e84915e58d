/* Fuzz target: a line of the ledger. */
#include "../../server/signer/ledger.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const uint8_t previous[LEDGER_HASH_BYTES];
    uint8_t hash[LEDGER_HASH_BYTES];
    struct error error;
    struct arena *arena = arena_new(0);
    (void)ledger_parse_line(arena, (const char *)data, size, previous, hash, &error);
    arena_free(arena);
    return 0;
}
