/* Fuzz target: a checkpoint whose MAC was right, in full and applied. */
#include "../../server/signer/checkpoint.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct checkpoint checkpoint;
    struct error error;
    if (!checkpoint_parse(data, size, &checkpoint, &error))
        return 0;
    const struct checkpoint_memories memories = {attempts_new(64), revoked_new(), zones_new(),
                                                 crl_lists_new(1000), issuer_names_new()};
    struct revoked_serial found;
    uint8_t serial[SERIAL_BYTES];
    if (checkpoint_apply(&checkpoint, &memories, &error))
        for (size_t i = 0; i < revoked_count(memories.revoked); i++) {
            revoked_get(memories.revoked, i, serial, &found);
            if (!revoked_find(memories.revoked, serial, &found))
                __builtin_trap();
        }
    attempts_free(memories.attempts);
    revoked_free(memories.revoked);
    zones_free(memories.zones);
    crl_lists_free(memories.lists);
    issuer_names_free(memories.names);
    return 0;
}
