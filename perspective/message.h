/* What a server asks a perspective and what that answers, as JSON (doc/perspectives.md). Each side reads the
 * other's words as foreign input: shapes, counts and lengths are checked, unknown words refused. */
#pragma once

#include "originca/dnscheck.h"

#define MESSAGE_VERSION 2

struct message_request {
    uint64_t id; /* of the asker; comes back in the reply */
    struct dnscheck_request check;
    enum dnscheck_caa_mode caa_mode;
    const char *const *caa_identities;
    size_t caa_identity_count;
    const struct config_prefix *edge_prefixes;
    size_t edge_prefix_count;
    const char *const *name_server_pool;
    size_t name_server_pool_count;
};

struct message_reply {
    uint64_t id;
    const char *error; /* NULL, or why there is no result: "busy", "invalid", ... */
    const char *error_text;
    const struct dnscheck_finding *zones, *names; /* as many and in the order of the request */
    size_t zone_count, name_count;
    uint32_t queries, duration_ms;
};

/* A whole frame, head included, malloc'd; NULL: out of memory or too long. */
uint8_t *message_write_request(const struct message_request *request, size_t *length);
uint8_t *message_write_reply(const struct message_reply *reply, size_t *length);
/* Names must be as the check wants them. What is read lives in the arena, the document itself does not: JSON
 * takes a hundred times its length, and checks last. Where the error is about the content, out->id is already
 * set (0 where it could not be read). */
bool message_read_request(struct arena *arena, struct bytes payload, struct message_request *out,
                          struct error *error) MUST_CHECK;
bool message_read_reply(struct arena *arena, struct bytes payload, struct message_reply *out,
                        struct error *error) MUST_CHECK;
