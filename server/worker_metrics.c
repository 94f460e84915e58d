/* A worker's own counts, added to the shared ones: counters by what came since the last time, so they go on
 * over reloads and deaths; gauges by worker. */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "originca/dnscheck.h"
#include "originca/http.h"
#include "originca/metrics.h"
#include "originca/perspective.h"
#include "originca/store.h"
#include "originca/worker.h"
#include "worker_main.h"

struct counted {
    const char *name, *help;
    uint64_t value;
};

static struct http_counters sum_of(struct http_server *const *servers, size_t count) {
    struct http_counters sum = {0};
    for (size_t i = 0; i < count; i++) {
        const struct http_counters *one = http_server_counters(servers[i]);
        sum.accepted += one->accepted;
        sum.handshakes += one->handshakes;
        sum.handshake_failures += one->handshake_failures;
        sum.tls_resumed += one->tls_resumed;
        sum.requests += one->requests;
        sum.refused_over_limit += one->refused_over_limit;
        sum.closed_for_room += one->closed_for_room;
        sum.timeouts += one->timeouts;
        sum.parse_errors += one->parse_errors;
        sum.bytes_in += one->bytes_in;
        sum.bytes_out += one->bytes_out;
        sum.open_connections += one->open_connections;
        sum.requests_in_progress += one->requests_in_progress;
        for (size_t class = 0; class < 6; class ++)
            sum.replies_by_class[class] += one->replies_by_class[class];
    }
    return sum;
}

enum { OPEN_CONNECTIONS, REQUESTS, DNS_CHECKS, REDIS_PENDING, READY, HEAP, OCSP_KEPT, GAUGES };
static const struct {
    const char *family, *help;
} gauges[GAUGES] = {
    [OPEN_CONNECTIONS] = {"originca_http_open_connections", "Connections now"},
    [REQUESTS] = {"originca_http_requests_in_progress", "Requests now"},
    [DNS_CHECKS] = {"originca_dns_checks_in_progress", "DNS checks now"},
    [REDIS_PENDING] = {"originca_redis_pending", "Redis commands in flight"},
    [READY] = {"originca_worker_ready", "1 where the worker serves"},
    [HEAP] = {"originca_worker_heap_bytes", "Memory that the worker has allocated"},
    [OCSP_KEPT] = {"originca_ocsp_kept_bytes", "Memory of the worker for OCSP answers that it keeps"},
};

static struct metric *gauge(struct metrics *metrics, const char *who, unsigned which) {
    char name[METRIC_NAME_MAX];
    snprintf(name, sizeof name, "%s{worker=\"%s\"}", gauges[which].family, who);
    return metrics_gauge(metrics, name, gauges[which].help);
}

/* The admin process serves no customer and asks no name server. */
static bool has_gauge(const char *who, unsigned which) {
    return strcmp(who, "admin") != 0 || (which != READY && which != DNS_CHECKS && which != OCSP_KEPT);
}

bool worker_serves(const struct metrics *metrics, unsigned slot) {
    char name[METRIC_NAME_MAX];
    snprintf(name, sizeof name, "%s{worker=\"%u\"}", gauges[READY].family, slot);
    return metrics_value(metrics, name) == 1;
}

void worker_publish_metrics(struct worker *worker, const char *who, struct http_server *const *servers,
                            size_t server_count, bool with_gauges) {
    static const struct dnscheck_counters no_dns;
    static const struct perspective_counters no_views;
    const struct http_counters http = sum_of(servers, server_count);
    const struct dnscheck_counters *dns =
        worker->dnscheck == NULL ? &no_dns : dnscheck_counters(worker->dnscheck);
    const struct perspective_counters *views =
        worker->perspectives == NULL ? &no_views : perspectives_counters(worker->perspectives);
    const struct store_counters *store = store_counters(worker->store);
    const struct counted counters[] = {
        {"originca_http_connections_total", "Connections accepted", http.accepted},
        {"originca_http_refused_total", "Connections refused over a limit", http.refused_over_limit},
        {"originca_http_made_room_total", "Connections closed to make room for another",
         http.closed_for_room},
        {"originca_http_timeouts_total", "Connections cut at a deadline", http.timeouts},
        {"originca_http_malformed_total", "Requests that are no HTTP", http.parse_errors},
        {"originca_http_requests_total", "Requests handled", http.requests},
        {"originca_http_replies_total{class=\"2xx\"}", "Replies by class", http.replies_by_class[2]},
        {"originca_http_replies_total{class=\"3xx\"}", "Replies by class", http.replies_by_class[3]},
        {"originca_http_replies_total{class=\"4xx\"}", "Replies by class", http.replies_by_class[4]},
        {"originca_http_replies_total{class=\"5xx\"}", "Replies by class", http.replies_by_class[5]},
        {"originca_http_bytes_total{direction=\"in\"}", "Bytes of requests and replies", http.bytes_in},
        {"originca_http_bytes_total{direction=\"out\"}", "Bytes of requests and replies", http.bytes_out},
        {"originca_tls_handshakes_total", "TLS handshakes done", http.handshakes},
        {"originca_tls_resumed_total", "TLS handshakes that resumed a session", http.tls_resumed},
        {"originca_tls_failures_total", "TLS handshakes that failed", http.handshake_failures},
        {"originca_dns_checks_total", "DNS checks started", dns->checks},
        {"originca_dns_queries_total", "DNS queries sent", dns->queries},
        {"originca_dns_tcp_queries_total", "DNS queries over TCP", dns->tcp_queries},
        {"originca_dns_timeouts_total", "DNS queries without an answer in time", dns->timeouts},
        {"originca_dns_mismatches_total", "Datagrams that did not match their question", dns->mismatches},
        {"originca_dns_cache_hits_total", "Referrals taken from the cache", dns->cache_hits},
        {"originca_dns_shared_total", "Answers taken from another check", dns->shared},
        {"originca_perspective_checks_total", "DNS checks that asked other perspectives", views->checks},
        {"originca_perspective_quorum_failures_total", "DNS checks without a quorum", views->quorum_failures},
        {"originca_perspective_disagreements_total", "Perspectives that disagreed or did not answer",
         views->disagreements},
        {"originca_perspective_unanswered_total", "Perspectives that did not answer", views->unanswered},
        {"originca_redis_commands_total", "Redis commands sent", store->commands},
        {"originca_redis_timeouts_total", "Redis commands without an answer in time", store->timeouts},
        {"originca_redis_reconnects_total", "Connections made to Redis", store->reconnects},
    };
    enum { COUNT = sizeof counters / sizeof counters[0] };
    static uint64_t published[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        metric_add(metrics_counter(worker->metrics, counters[i].name, counters[i].help),
                   counters[i].value - published[i]);
        published[i] = counters[i].value;
    }
    if (!with_gauges)
        return;
    const struct mallinfo2 heap = mallinfo2();
    const int64_t values[GAUGES] = {[OPEN_CONNECTIONS] = http.open_connections,
                                    [REQUESTS] = http.requests_in_progress,
                                    [DNS_CHECKS] = dns->checks_in_progress,
                                    [REDIS_PENDING] = (int64_t)store->pending,
                                    [READY] = worker->is_ready,
                                    [OCSP_KEPT] = (int64_t)worker->ocsp_kept_bytes,
                                    [HEAP] = (int64_t)(heap.uordblks + heap.hblkhd)};
    for (unsigned i = 0; i < GAUGES; i++)
        if (has_gauge(who, i))
            metric_set(gauge(worker->metrics, who, i), values[i]);
}

void worker_retract_metrics(struct metrics *metrics, const char *who, bool is_missed) {
    for (unsigned i = 0; i < GAUGES; i++)
        if (has_gauge(who, i))
            metric_hide(gauge(metrics, who, i));
    if (is_missed && has_gauge(who, READY))
        metric_set(gauge(metrics, who, READY), 0);
}
