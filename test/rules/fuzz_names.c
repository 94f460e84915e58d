/* Fuzz target: names; what is accepted must be accepted again in its canonical form, unchanged. */
#include <stdlib.h>
#include <string.h>

#include "originca/names.h"
#include "originca/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static bool is_set_up;
    char text[600], canonical[NAME_MAX_BYTES + 1], again[NAME_MAX_BYTES + 1];
    struct error error;
    if (!is_set_up)
        is_set_up = names_load_suffixes(NULL, &error);
    if (size >= sizeof text)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    if (name_check(text, canonical, &error) &&
        (!name_check(canonical, again, &error) || strcmp(canonical, again) != 0))
        abort();
    if (name_check_host(text, canonical, &error) &&
        (!name_check_host(canonical, again, &error) || strcmp(canonical, again) != 0))
        abort();
    return 0;
}
