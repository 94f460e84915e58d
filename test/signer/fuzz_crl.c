/* Fuzz target: the builder of revocation lists and its lint. What the input says of a list and its entries is
 * put into their bounds, as the signer's judgement does, and built: the lint must find nothing wrong with it,
 * and something once any byte is another. Then the lint reads the input itself. */
#include <stdlib.h>
#include <string.h>

#include "../../server/signer/lint_crl.h"

#define HEAD 24
#define ENTRY 21
#define ENTRIES_MAX 512

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t number_at(const uint8_t *data, size_t bytes) {
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; i++)
        value = value << 8 | data[i];
    return value;
}

static int compare(const void *a, const void *b) {
    return memcmp(a, b, SERIAL_BYTES);
}

static size_t read_entries(const uint8_t *data, size_t size, struct crl_entry entries[ENTRIES_MAX]) {
    static const uint8_t reasons[] = {0, 1, 3, 4, 5, 9};
    size_t count = 0, kept = 0;
    for (; size >= ENTRY && count < ENTRIES_MAX; count++, data += ENTRY, size -= ENTRY) {
        memcpy(entries[count].serial, data, SERIAL_BYTES);
        entries[count].serial[0] = (uint8_t)(1 + data[0] % 0x7F);
        entries[count].revoked_at = (uint32_t)number_at(data + SERIAL_BYTES, 4);
        entries[count].reason = reasons[data[ENTRY - 1] % 6];
    }
    qsort(entries, count, sizeof *entries, compare);
    for (size_t i = 0; i < count; i++)
        if (kept == 0 || compare(&entries[kept - 1], &entries[i]) != 0)
            entries[kept++] = entries[i];
    return kept;
}

static void read_contents(const uint8_t *data, struct crl_contents *contents) {
    static const uint8_t name[] = {0x30, 0x0D, 0x31, 0x0B, 0x30, 0x09, 0x06, 0x03,
                                   0x55, 0x04, 0x03, 0x0C, 0x02, 'C',  'A'},
                         key_id[] = {1, 2, 3, 4, 5, 6, 7, 8},
                         algorithm[] = {0x30, 0x0A, 0x06, 0x08, 0x2A, 0x86,
                                        0x48, 0xCE, 0x3D, 0x04, 0x03, 0x02};
    uint32_t this_update = (uint32_t)number_at(data + 8, 4), length = (uint32_t)number_at(data + 12, 4);
    static char url[CRL_URL_MAX + 1];
    size_t url_length = number_at(data + 16, 2) % (CRL_URL_MAX - 7);
    memset(url, 'a' + data[18] % 26, sizeof url);
    memcpy(url, "http://", 7);
    url[url_length == 0 ? 0 : 7 + url_length] = '\0';
    if (this_update == UINT32_MAX)
        this_update--;
    *contents = (struct crl_contents){.issuer = {name, sizeof name},
                                      .key_id = {key_id, 1 + data[19] % sizeof key_id},
                                      .signature_identifier = {algorithm, sizeof algorithm},
                                      .url = url,
                                      .number = number_at(data, 8),
                                      .this_update = (time_t)this_update,
                                      .next_update = (time_t)this_update + 1 +
                                                     (time_t)(length % (UINT32_MAX - this_update))};
}

static void build(const uint8_t *data, size_t size) {
    struct arena *arena = arena_new(0);
    static struct crl_entry entries[ENTRIES_MAX];
    struct crl_contents contents;
    struct crl_frame frame;
    struct error error;
    struct bytes tbs;
    size_t length, count = read_entries(data + HEAD, size - HEAD, entries);
    read_contents(data, &contents);
    contents.entry_bytes = crl_entries_length(entries, count);
    if (!crl_build_frame(arena, &contents, &frame, &error))
        __builtin_trap();
    uint8_t *der =
        crl_assemble(&frame, entries, count, contents.signature_identifier, contents.key_id, &length, &tbs);
    if (der == NULL || !lint_crl_tbs(tbs, &contents, entries, count, &error))
        __builtin_trap();
    uint8_t *changed = (uint8_t *)(uintptr_t)tbs.data + number_at(data + 20, 3) % tbs.length;
    *changed ^= data[23] == 0 ? 1 : data[23];
    if (lint_crl_tbs(tbs, &contents, entries, count, &error))
        __builtin_trap();
    (void)lint_crl_tbs((struct bytes){data, size}, &contents, entries, count, &error);
    free(der);
    arena_free(arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size >= HEAD)
        build(data, size);
    return 0;
}
