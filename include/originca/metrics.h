/* Counters and latency histograms of the whole host, in memory shared by all processes (an anonymous mapping
 * made by the supervisor before it forks), so that any worker answers /metrics for all. Adding is one atomic
 * add.
 *
 * Names are registered at start by the code that counts; a name with labels is written whole:
 * originca_replies_total{service="acme",code="2xx"}. */
#pragma once

#include "originca/text.h"

struct metrics;
#define METRIC_NAME_MAX 160

/* Before any fork. */
struct metrics *metrics_new(struct error *error);
/* Finds or adds the slot; never NULL: when the table is full a common overflow slot is given. Any process,
 * any time. */
struct metric *metrics_counter(struct metrics *metrics, const char *name, const char *help);
struct metric *metrics_gauge(struct metrics *metrics, const char *name, const char *help);
/* Buckets from 100 us to 100 s, three a decade; sum and count. */
struct metric *metrics_histogram(struct metrics *metrics, const char *name, const char *help);
void metric_add(struct metric *metric, uint64_t amount);
void metric_set(struct metric *metric, int64_t value);
/* A gauge that nobody keeps up to date any more is not rendered until it is set again. */
void metric_hide(struct metric *metric);
void metric_observe_us(struct metric *metric, int64_t microseconds);
/* Prometheus text format 0.0.4. */
char *metrics_render(const struct metrics *metrics, struct arena *arena);
/* Reads back one value, for /admin/v1/stats; 0 where the name is unknown. */
int64_t metrics_value(const struct metrics *metrics, const char *name);
