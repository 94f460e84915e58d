/* Fuzz target: a frame's fields read the way the signer reads them, in an order that the input chooses. */
#include "../../server/signer/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct arena *arena = arena_new(0);
    struct wire_reader reader = {.arena = arena, .rest = {data, size}};
    while (!reader.failed && reader.rest.length > 0) {
        switch (wire_get_u8(&reader) % 5) {
        case 0:
            wire_get_u32(&reader);
            break;
        case 1:
            wire_get_u64(&reader);
            break;
        case 2:
            wire_get_bytes(&reader);
            break;
        case 3:
            wire_get_string(&reader);
            break;
        default:
            for (uint32_t count = wire_get_count(&reader, 4); count > 0 && !reader.failed; count--)
                wire_get_string(&reader);
        }
    }
    (void)wire_is_complete(&reader);
    arena_free(arena);
    return 0;
}
