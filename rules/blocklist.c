/* The list of keys that are never certified: sorted SHA-256 digests of SubjectPublicKeyInfo. */
#include "rules_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint8_t (*blocked)[SHA256_BYTES];
static size_t blocked_count;

static int compare(const void *a, const void *b) {
    return memcmp(a, b, SHA256_BYTES);
}

static bool read_line(char *line, uint8_t digest[SHA256_BYTES], bool *is_empty) {
    line[strcspn(line, "#\r\n")] = '\0';
    size_t length = strlen(line);
    while (length > 0 && (line[length - 1] == ' ' || line[length - 1] == '\t'))
        line[--length] = '\0';
    *is_empty = length == 0;
    return *is_empty || hex_decode(line, digest, SHA256_BYTES);
}

bool keys_load_blocklist(const char *path, struct error *error) {
    uint8_t(*list)[SHA256_BYTES] = NULL;
    size_t count = 0, capacity = 0;
    char line[256];
    FILE *file = path == NULL ? NULL : fopen(path, "re");
    if (path != NULL && file == NULL)
        return error_set(error, ERROR_INVALID, "cannot read the key block list %s: %m", path);
    for (unsigned number = 1; file != NULL && fgets(line, sizeof line, file) != NULL; number++) {
        bool is_empty;
        if (count == capacity) {
            capacity = capacity == 0 ? 64 : capacity * 2;
            void *larger = realloc(list, capacity * sizeof *list);
            if (larger == NULL)
                goto fail;
            list = larger;
        }
        if (!read_line(line, list[count], &is_empty)) {
            error_set(error, ERROR_INVALID,
                      "%s:%u: expected 64 hex digits (SHA-256 of a SubjectPublicKeyInfo)", path, number);
            goto fail;
        }
        count += is_empty ? 0 : 1;
    }
    if (file != NULL)
        fclose(file);
    if (count > 0)
        qsort(list, count, sizeof *list, compare);
    free(blocked);
    blocked = list;
    blocked_count = count;
    return true;
fail:
    fclose(file);
    free(list);
    return false;
}

bool key_is_blocked(const uint8_t spki_sha256[SHA256_BYTES]) {
    return blocked_count > 0 && bsearch(spki_sha256, blocked, blocked_count, SHA256_BYTES, compare) != NULL;
}
