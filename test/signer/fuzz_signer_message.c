/* Fuzz target: what a worker that was taken over puts into a frame. First as changes of rights, read and
 * judged as the signer does; then field by field, in an order that the input chooses. */
#include "../../server/signer/rights.h"
#include "../../server/signer/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void judge_change(struct arena *arena, struct wire_reader *reader) {
    struct error error;
    enum right_kind kind;
    json_t *details;
    struct signer_change change = {.kind = wire_get_string(reader)};
    change.subject = wire_get_string(reader);
    change.name = wire_get_string(reader);
    change.customer = wire_get_string(reader);
    change.detail = wire_get_string(reader);
    change.by = wire_get_string(reader);
    change.at_ms = (int64_t)wire_get_u64(reader);
    if (reader->failed || !right_kind_of(change.kind, &kind) ||
        !right_judge(arena, &change, kind, &details, &error))
        return;
    json_t *record = right_describe(&change, kind, details); /* what was judged good can be written */
    struct zones *zones = zones_new();
    if (record == NULL || zones == NULL ||
        !right_apply(zones, kind, change.subject, change.name, change.customer, change.at_ms))
        __builtin_trap();
    zones_free(zones);
    json_decref(record);
}

static void read_changes(const uint8_t *data, size_t size) {
    struct arena *arena = arena_new(0);
    struct wire_reader reader = {.arena = arena, .rest = {data, size}};
    for (uint32_t count = wire_get_count(&reader, 32); count > 0 && !reader.failed; count--)
        judge_change(arena, &reader);
    arena_free(arena);
}

static void read_any_fields(const uint8_t *data, size_t size) {
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
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    read_changes(data, size);
    read_any_fields(data, size);
    return 0;
}
