/* Fuzz target: a whole configuration file. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "originca/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static char path[] = "/tmp/originca-fuzz-config-XXXXXX";
    static int fd = -1;
    static FILE *nowhere;
    struct error error;
    if (fd < 0) {
        fd = mkstemp(path);
        nowhere = fopen("/dev/null", "w");
    }
    if (fd < 0 || nowhere == NULL || ftruncate(fd, 0) != 0 || pwrite(fd, data, size, 0) != (ssize_t)size)
        abort();
    config_free(config_load(path, nowhere, &error));
    return 0;
}
