/* Fuzz target: what comes over the link between admin process and workers, in pieces of changing length:
 * frames, then each as a question and as every kind of answer. What is read is written again and must read
 * the same. */
#include <stdlib.h>
#include <string.h>

#include "../../server/link/message.h"

#define FRAME_MAX_BYTES 65536u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Written, put into a frame, taken out and parsed. Takes the reference. */
static const json_t *send_over(struct arena *arena, json_t *json) {
    struct evbuffer *buffer = evbuffer_new();
    struct bytes payload = {0};
    struct error error;
    uint64_t id;
    const json_t *root = NULL;
    if (buffer == NULL)
        abort();
    if (link_frame_put(buffer, json, 16 * FRAME_MAX_BYTES)) {
        if (link_frame_take(buffer, 16 * FRAME_MAX_BYTES, &payload) != LINK_FRAME_WHOLE)
            abort();
        root = link_parse(arena, payload, &id, &error);
    }
    free((void *)(uintptr_t)payload.data);
    evbuffer_free(buffer);
    return root;
}

static void answer_question(struct arena *arena, const json_t *root) {
    struct dnscheck_request request, again;
    enum link_view view, view_again;
    struct error error;
    if (!link_read_check(arena, root, &request, &view, &error))
        return;
    const json_t *sent = send_over(arena, link_write_check(7, &request, view));
    if (sent == NULL)
        return; /* escaped it is longer than a frame or holds more than a message may */
    if (!link_read_check(arena, sent, &again, &view_again, &error) || view_again != view ||
        again.zone_count != request.zone_count || again.name_count != request.name_count)
        abort();
    for (size_t i = 0; i < request.zone_count; i++)
        if (strcmp(again.zones[i].name, request.zones[i].name) != 0 ||
            again.zones[i].rival_count != request.zones[i].rival_count ||
            again.zones[i].zones_above_count != request.zones[i].zones_above_count)
            abort();
    for (size_t i = 0; i < request.name_count; i++)
        if (request.names[i].zone >= request.zone_count || again.names[i].zone != request.names[i].zone)
            abort();
}

/* The question to which a worker in foreign hands answers. */
static void read_answer(struct arena *arena, const json_t *root) {
    static const char *const servers[] = {"a.ns.test", "b.ns.test"};
    static const struct dnscheck_zone zone = {
        .name = "shop.test", .name_servers = servers, .name_server_count = 2};
    static const struct dnscheck_name names[] = {{.name = "www.shop.test"}, {.name = "*.shop.test"}};
    const time_t started = time(NULL) - 5;
    struct link_readiness readiness;
    struct error error;
    (void)link_read_error(root);
    if (link_read_readiness(root, &readiness))
        for (size_t i = 0; i < LINK_PARTS; i++)
            if (memchr(readiness.parts[i].reason, '\0', sizeof readiness.parts[i].reason) == NULL)
                abort();
    for (size_t name_count = 0; name_count <= 2; name_count += 2) {
        const struct dnscheck_request request = {
            .zones = &zone, .zone_count = 1, .names = names, .name_count = name_count};
        struct dnscheck_result result;
        if (!link_read_result(arena, root, &request, started, &result, &error))
            continue;
        if (result.zone_count != 1 || result.name_count != name_count ||
            strcmp(result.zones[0].name, zone.name) != 0 || result.checked_at < started)
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct evbuffer *in = evbuffer_new();
    enum link_frame outcome = LINK_FRAME_NONE;
    if (in == NULL)
        abort();
    for (size_t at = 0; at < size && outcome != LINK_FRAME_BROKEN;) {
        size_t piece = 1 + data[at] % 61u;
        struct bytes payload;
        if (piece > size - at)
            piece = size - at;
        evbuffer_add(in, data + at, piece);
        at += piece;
        while ((outcome = link_frame_take(in, FRAME_MAX_BYTES, &payload)) == LINK_FRAME_WHOLE) {
            struct arena *arena = arena_new(0);
            struct error error;
            uint64_t id;
            const json_t *root = link_parse(arena, payload, &id, &error);
            if (root != NULL) {
                answer_question(arena, root);
                read_answer(arena, root);
            }
            arena_free(arena);
            free((void *)(uintptr_t)payload.data);
        }
    }
    evbuffer_free(in);
    return 0;
}
