/* Metrics in shared memory: a hash table of slots that any process fills and adds to with atomics alone. */
#include "originca/metrics.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#define SLOTS 2048
#define HELP_MAX 128
#define HIDDEN INT64_MIN
#define BUCKETS 19 /* three a decade from 100 us to 100 s */

static const double bounds_us[BUCKETS] = {1e2, 2e2, 5e2, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5,
                                          2e5, 5e5, 1e6, 2e6, 5e6, 1e7, 2e7, 5e7, 1e8};

enum slot_state { SLOT_FREE, SLOT_BEING_FILLED, SLOT_READY };
enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

struct metric {
    _Atomic uint32_t state;
    enum metric_type type;
    char name[METRIC_NAME_MAX];
    char help[HELP_MAX];
    _Atomic int64_t value; /* of a histogram: the sum in microseconds */
    _Atomic uint64_t count;
    _Atomic uint64_t buckets[BUCKETS];
};

struct metrics {
    struct metric overflow;
    struct metric slots[SLOTS];
};

struct metrics *metrics_new(struct error *error) {
    struct metrics *metrics =
        mmap(NULL, sizeof *metrics, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (metrics == MAP_FAILED) {
        error_set(error, ERROR_INTERNAL, "cannot map memory for the metrics: %m");
        return NULL;
    }
    snprintf(metrics->overflow.name, METRIC_NAME_MAX, "originca_metrics_overflow_total");
    snprintf(metrics->overflow.help, HELP_MAX, "Additions to metrics that found no slot");
    atomic_store(&metrics->overflow.state, SLOT_READY);
    return metrics;
}

static uint32_t hash_name(const char *name) {
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (; *name != '\0'; name++)
        hash = (hash ^ (unsigned char)*name) * 16777619u;
    return hash;
}

/* A process that died between the two states leaves the slot half filled: pass it by after a bounded wait. */
static bool is_ready(struct metric *metric) {
    for (unsigned tries = 0; tries < 100000; tries++)
        if (atomic_load(&metric->state) == SLOT_READY)
            return true;
    return false;
}

static struct metric *find_or_add(struct metrics *metrics, const char *name, const char *help,
                                  enum metric_type type) {
    if (strlen(name) >= METRIC_NAME_MAX)
        return &metrics->overflow;
    uint32_t start = hash_name(name);
    for (uint32_t i = 0; i < SLOTS; i++) {
        struct metric *metric = &metrics->slots[(start + i) % SLOTS];
        uint32_t expected = SLOT_FREE;
        if (atomic_compare_exchange_strong(&metric->state, &expected, SLOT_BEING_FILLED)) {
            metric->type = type;
            snprintf(metric->name, METRIC_NAME_MAX, "%s", name);
            snprintf(metric->help, HELP_MAX, "%s", help);
            atomic_store(&metric->state, SLOT_READY);
            return metric;
        }
        if (is_ready(metric) && strcmp(metric->name, name) == 0)
            return metric;
    }
    return &metrics->overflow;
}

struct metric *metrics_counter(struct metrics *metrics, const char *name, const char *help) {
    return find_or_add(metrics, name, help, METRIC_COUNTER);
}

struct metric *metrics_gauge(struct metrics *metrics, const char *name, const char *help) {
    return find_or_add(metrics, name, help, METRIC_GAUGE);
}

struct metric *metrics_histogram(struct metrics *metrics, const char *name, const char *help) {
    return find_or_add(metrics, name, help, METRIC_HISTOGRAM);
}

void metric_add(struct metric *metric, uint64_t amount) {
    atomic_fetch_add_explicit(&metric->value, (int64_t)amount, memory_order_relaxed);
}

void metric_set(struct metric *metric, int64_t value) {
    atomic_store_explicit(&metric->value, value, memory_order_relaxed);
}

void metric_hide(struct metric *metric) {
    metric_set(metric, HIDDEN);
}

void metric_observe_us(struct metric *metric, int64_t microseconds) {
    atomic_fetch_add_explicit(&metric->value, microseconds, memory_order_relaxed);
    atomic_fetch_add_explicit(&metric->count, 1, memory_order_relaxed);
    for (size_t i = 0; i < BUCKETS; i++)
        if ((double)microseconds <= bounds_us[i]) {
            atomic_fetch_add_explicit(&metric->buckets[i], 1, memory_order_relaxed);
            return;
        }
}

/* "family{labels}" in its two parts; labels without braces, "" where there are none. */
static void split_name(const char *name, char family[METRIC_NAME_MAX], char labels[METRIC_NAME_MAX]) {
    size_t length = strcspn(name, "{");
    memcpy(family, name, length);
    family[length] = '\0';
    labels[0] = '\0';
    if (name[length] == '{' && name[length + 1] != '\0') {
        snprintf(labels, METRIC_NAME_MAX, "%s", name + length + 1);
        labels[strcspn(labels, "}")] = '\0';
    }
}

static void render_histogram(struct text *text, const struct metric *metric, const char *family,
                             const char *labels) {
    const char *comma = *labels != '\0' ? "," : "";
    const char *open = *labels != '\0' ? "{" : "", *close = *labels != '\0' ? "}" : "";
    uint64_t cumulative = 0;
    for (size_t i = 0; i < BUCKETS; i++) {
        cumulative += atomic_load(&metric->buckets[i]);
        text_printf(text, "%s_bucket{%s%sle=\"%g\"} %llu\n", family, labels, comma, bounds_us[i] / 1e6,
                    (unsigned long long)cumulative);
    }
    unsigned long long count = atomic_load(&metric->count);
    text_printf(text, "%s_bucket{%s%sle=\"+Inf\"} %llu\n", family, labels, comma, count);
    text_printf(text, "%s_sum%s%s%s %.6f\n", family, open, labels, close,
                (double)atomic_load(&metric->value) / 1e6);
    text_printf(text, "%s_count%s%s%s %llu\n", family, open, labels, close, count);
}

static bool is_hidden(const struct metric *metric) {
    return metric->type == METRIC_GAUGE && atomic_load(&metric->value) == HIDDEN;
}

static void render_one(struct text *text, const struct metric *metric) {
    char family[METRIC_NAME_MAX], labels[METRIC_NAME_MAX];
    split_name(metric->name, family, labels);
    if (metric->type == METRIC_HISTOGRAM)
        render_histogram(text, metric, family, labels);
    else if (!is_hidden(metric))
        text_printf(text, "%s %lld\n", metric->name, (long long)atomic_load(&metric->value));
}

static bool is_family(const struct metric *metric, const char *family) {
    size_t length = strlen(family);
    return strncmp(metric->name, family, length) == 0 &&
           (metric->name[length] == '\0' || metric->name[length] == '{');
}

/* All lines of one family stand together under one HELP and TYPE, as the format demands. */
static void render_family(struct text *text, const struct metrics *metrics, const struct metric *first) {
    static const char *const types[] = {"counter", "gauge", "histogram"};
    char family[METRIC_NAME_MAX], labels[METRIC_NAME_MAX];
    split_name(first->name, family, labels);
    for (const struct metric *before = metrics->slots; before < first; before++)
        if (atomic_load(&before->state) == SLOT_READY && is_family(before, family))
            return;
    text_printf(text, "# HELP %s %s\n# TYPE %s %s\n", family, first->help, family, types[first->type]);
    for (const struct metric *metric = first; metric < metrics->slots + SLOTS; metric++)
        if (atomic_load(&metric->state) == SLOT_READY && is_family(metric, family))
            render_one(text, metric);
}

char *metrics_render(const struct metrics *metrics, struct arena *arena) {
    struct text text;
    text_init(&text, arena);
    text_printf(&text, "# HELP %s %s\n# TYPE %s counter\n", metrics->overflow.name, metrics->overflow.help,
                metrics->overflow.name);
    render_one(&text, &metrics->overflow);
    for (size_t i = 0; i < SLOTS; i++)
        if (atomic_load(&metrics->slots[i].state) == SLOT_READY)
            render_family(&text, metrics, &metrics->slots[i]);
    return text.failed ? NULL : text.data;
}

int64_t metrics_value(const struct metrics *metrics, const char *name) {
    uint32_t start = hash_name(name);
    for (uint32_t i = 0; i < SLOTS; i++) {
        const struct metric *metric = &metrics->slots[(start + i) % SLOTS];
        if (atomic_load(&metric->state) != SLOT_READY)
            return 0;
        if (strcmp(metric->name, name) == 0)
            return is_hidden(metric) ? 0 : atomic_load(&metric->value);
    }
    return 0;
}
