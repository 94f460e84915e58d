/* What the files of the quorum share: the set of perspectives, a check under way, each one's opinion. */
#pragma once

#include <sys/queue.h>

#include "originca/perspective.h"
#include "quorum.h"
#include "remote.h"
#include "resolver.h"

struct perspective { /* one besides local */
    struct perspectives *set;
    struct config_perspective entry;
    struct remote *remote; /* or */
    struct resolver *resolver;
    int64_t not_awaited_until_ms; /* it was silent a moment ago */
};

struct perspectives {
    struct event_base *base;
    const struct config *config;
    struct dnscheck *dnscheck;
    struct stream_tls *tls;
    struct perspective items[CONFIG_PERSPECTIVES_MAX];
    size_t count;
    unsigned allowed;
    uint64_t next_id;
    struct perspective_counters counters;
    TAILQ_HEAD(, perspective_job) jobs;
};

struct opinion {
    struct perspective_job *job;
    struct perspective *perspective;
    struct remote_call call;
    struct resolver_job *resolver_job;
    bool is_pending, is_awaited, is_known; /* known: the findings are there */
    const char *failure;                   /* why they are not */
    const struct dnscheck_finding *zones, *names;
    uint32_t ms;
};

struct perspective_job {
    TAILQ_ENTRY(perspective_job) entry;
    struct perspectives *set;
    struct arena *arena;   /* the caller's */
    struct arena *scratch; /* the job lives in it */
    struct dnscheck_request request;
    dnscheck_callback *callback;
    void *context;
    struct dnscheck_job *local_job; /* NULL: done */
    const struct dnscheck_result *local;
    int64_t started_ms, local_ms;
    struct event *timeout, *settler;
    uint8_t *frame;
    size_t frame_length;
    struct opinion *opinions;
    bool is_settling;
};

/* --- verdict.c --- */
/* The result as the quorum leaves it, in the caller's arena; NULL: out of memory. */
const struct dnscheck_result *verdict_build(const struct perspective_job *job);
/* Is there anything left that an answer could change? */
bool verdict_is_decided(const struct perspective_job *job);
bool verdict_is_all_lost(const struct dnscheck_result *result); /* the primary found nothing in order */
