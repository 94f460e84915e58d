/* A recursive resolver as a perspective: does it see the assigned name servers and the edge's addresses? It
 * answers from its cache, cannot be asked for delegation and zone apart, and CAA is not asked of it
 * (doc/perspectives.md), so it is a weaker witness than originca-perspective. */
#pragma once

#include "originca/dnscheck.h"

struct resolver;
struct resolver_job;

struct resolver_settings {
    uint32_t query_timeout_ms, tries, max_in_flight;
    const struct config_prefix *edge_prefixes;
    size_t edge_prefix_count;
};

struct resolver *resolver_new(struct event_base *base, const struct config_address *address,
                              const struct resolver_settings *settings, struct error *error);
void resolver_free(struct resolver *resolver); /* cancels what is pending */

/* Findings in the arena, as many and in the order of the request. Once, from the loop. */
typedef void resolver_done(void *context, const struct dnscheck_finding *zones,
                           const struct dnscheck_finding *names);
/* The request must outlive the job; its deadline is the caller's. NULL: out of memory. */
struct resolver_job *resolver_start(struct resolver *resolver, struct arena *arena,
                                    const struct dnscheck_request *request, resolver_done *done,
                                    void *context);
void resolver_cancel(struct resolver_job *job);
