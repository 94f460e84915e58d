/* Fuzz target: a certification request. */
#include "originca/csr.h"
#include "originca/names.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const special[] = {"test"};
    static bool is_set_up;
    struct error error;
    struct csr csr;
    if (!is_set_up)
        is_set_up = names_load_suffixes(NULL, &error) && names_allow_special(special, 1);
    struct arena *arena = arena_new(0);
    bool is_parsed = csr_parse(arena, (struct bytes){data, size}, 100, &csr, &error);
    (void)is_parsed;
    arena_free(arena);
    return 0;
}
