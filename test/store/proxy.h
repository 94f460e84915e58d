/* Stands between a store and Redis, on the test's own loop, and can answer in Redis's place. */
#pragma once

#include "harness.h"

struct proxy;

enum proxy_mode {
    PROXY_PASS,   /* what Redis says */
    PROXY_ANSWER, /* `bytes` for each piece that arrives from the store, Redis is not asked */
    PROXY_MUTATE, /* what Redis says with random bytes changed */
    PROXY_SILENT, /* nothing */
};

struct proxy *proxy_new(struct fixture *fixture, const char *path);
void proxy_free(struct proxy *proxy);
void proxy_set(struct proxy *proxy, enum proxy_mode mode, const void *bytes, size_t length);
unsigned proxy_connections(const struct proxy *proxy);
