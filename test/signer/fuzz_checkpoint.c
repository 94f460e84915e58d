/* Fuzz target: a checkpoint whose MAC was right, in full and applied. */
#include "../../server/signer/checkpoint.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct checkpoint checkpoint;
    struct error error;
    if (!checkpoint_parse(data, size, &checkpoint, &error))
        return 0;
    struct attempts *attempts = attempts_new(64);
    struct revoked *revoked = revoked_new();
    struct zones *zones = zones_new();
    struct crl_lists *lists = crl_lists_new(1000);
    struct revoked_serial found;
    uint8_t serial[SERIAL_BYTES];
    if (checkpoint_apply(&checkpoint, attempts, revoked, zones, lists, &error))
        for (size_t i = 0; i < revoked_count(revoked); i++) {
            revoked_get(revoked, i, serial, &found);
            if (!revoked_find(revoked, serial, &found))
                __builtin_trap();
        }
    attempts_free(attempts);
    revoked_free(revoked);
    zones_free(zones);
    crl_lists_free(lists);
    return 0;
}
