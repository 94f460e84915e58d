/* What `originca admin top` shows, as numbers: reads the Prometheus text, subtracts the former look, takes
 * quantiles from the histograms' buckets and puts what somebody must look at into words. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin_top.h"

#define STEPS_SHOWN 6
#define STEPS_MAX 1024
#define LABELS_MAX 192

/* --- one look --- */

static json_t *parse_metrics(struct arena *arena, const char *text) {
    json_t *metrics = arena_own_json(arena, json_object());
    while (metrics != NULL && *text != '\0') {
        size_t length = strcspn(text, "\n");
        size_t name = length;
        while (name > 0 && text[name - 1] != ' ')
            name--;
        if (*text != '#' && name > 1) {
            char *end;
            double value = strtod(text + name, &end);
            if (end == text + length && isfinite(value))
                json_object_setn_new(metrics, text, name - 1, json_real(value));
        }
        text += length + (text[length] == '\n');
    }
    return metrics;
}

void top_look(struct client *client, struct look *look) {
    struct error ignored = {0};
    *look = (struct look){0};
    const char *text = client_get_text(client, "/metrics", &look->error);
    look->at_ms = clock_monotonic_ms();
    if (text == NULL)
        return;
    look->metrics = parse_metrics(client->arena, text);
    look->readiness = client_call(client, "GET", "/readyz", NULL, &look->error);
    look->stats = client_call(client, "GET", "/admin/v1/stats", NULL,
                              look->readiness == NULL ? &ignored : &look->error);
}

/* --- differences --- */

struct change {
    const struct look *before, *now;
    double seconds;
};

static double value(const json_t *metrics, const char *name) {
    return json_number_value(json_object_get(metrics, name));
}

static double growth_of(const struct change *change, const char *name) {
    double before = value(change->before->metrics, name), now = value(change->now->metrics, name);
    if (change->before->metrics == NULL)
        return 0;                              /* the server was away: what changed since is not known */
    return now >= before ? now - before : now; /* smaller: the server began anew in between */
}

static bool is_of_family(const char *name, const char *family) {
    size_t length = strlen(family);
    return strncmp(name, family, length) == 0 && (name[length] == '\0' || name[length] == '{');
}

static double growth(const struct change *change, const char *family) {
    const char *name;
    const json_t *number;
    double sum = 0;
    json_object_foreach(change->now->metrics, name, number) {
        if (is_of_family(name, family))
            sum += growth_of(change, name);
    }
    return sum;
}

static double rate(const struct change *change, const char *family) {
    return growth(change, family) / change->seconds;
}

static json_t *tidy(double number) {
    return json_real(round(number * 100) / 100);
}

/* --- latencies --- */

struct step {
    char labels[LABELS_MAX]; /* operation="...",step="..." */
    double count, p50, p95;  /* milliseconds */
};

/* Linear inside a bucket; what lies above the last bound is said to be at it. */
static double quantile(const struct change *change, const char *labels, double count, double wanted) {
    static const char *const bounds[] = {"0.0001", "0.0002", "0.0005", "0.001", "0.002", "0.005", "0.01",
                                         "0.02",   "0.05",   "0.1",    "0.2",   "0.5",   "1",     "2",
                                         "5",      "10",     "20",     "50",    "100"};
    double below = 0, former = 0;
    for (size_t i = 0; i < sizeof bounds / sizeof bounds[0]; i++) {
        char name[LABELS_MAX + 64];
        double bound = strtod(bounds[i], NULL);
        snprintf(name, sizeof name, "originca_step_seconds_bucket{%s,le=\"%s\"}", labels, bounds[i]);
        double cumulative = growth_of(change, name);
        if (cumulative >= wanted * count && cumulative > below)
            return former + (bound - former) * (wanted * count - below) / (cumulative - below);
        below = cumulative;
        former = bound;
    }
    return former;
}

static int by_p95(const void *a, const void *b) {
    const struct step *left = a, *right = b;
    return left->p95 > right->p95 ? -1 : left->p95 < right->p95;
}

static json_t *label(const char *labels, const char *name) {
    char wanted[32];
    snprintf(wanted, sizeof wanted, "%s=\"", name);
    const char *at = strstr(labels, wanted);
    if (at == NULL)
        return json_string("");
    at += strlen(wanted);
    return json_stringn(at, strcspn(at, "\""));
}

static json_t *slowest_steps(struct arena *arena, const struct change *change) {
    static const char family[] = "originca_step_seconds_count{";
    struct step *steps = arena_alloc(arena, STEPS_MAX * sizeof *steps);
    json_t *array = json_array();
    size_t count = 0;
    const char *name;
    const json_t *number;
    json_object_foreach(change->now->metrics, name, number) {
        double grown = strncmp(name, family, sizeof family - 1) == 0 ? growth_of(change, name) : 0;
        if (steps == NULL || count == STEPS_MAX || grown < 1)
            continue;
        struct step *step = &steps[count++];
        snprintf(step->labels, sizeof step->labels, "%s", name + sizeof family - 1);
        step->labels[strcspn(step->labels, "}")] = '\0';
        step->count = grown;
        step->p50 = 1000 * quantile(change, step->labels, grown, 0.5);
        step->p95 = 1000 * quantile(change, step->labels, grown, 0.95);
    }
    if (count > 0)
        qsort(steps, count, sizeof *steps, by_p95);
    for (size_t i = 0; i < count && i < STEPS_SHOWN; i++)
        json_array_append_new(
            array, json_pack("{s:o, s:o, s:I, s:o, s:o}", "operation", label(steps[i].labels, "operation"),
                             "step", label(steps[i].labels, "step"), "count", (json_int_t)steps[i].count,
                             "p50_ms", tidy(steps[i].p50), "p95_ms", tidy(steps[i].p95)));
    return array;
}

/* --- alarms --- */

static void alarm_count(json_t *alarms, struct arena *arena, double count, const char *what) {
    const char *text = arena_printf(arena, "%.0f %s", count, what);
    json_array_append_new(alarms, json_string(text == NULL ? "out of memory" : text));
}

static void alarm_readiness(json_t *alarms, struct arena *arena, const json_t *readiness) {
    static const char *const parts[] = {"redis", "ledger", "signer", "issuers", "dns", "workers"};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        const json_t *part = json_object_get(readiness, parts[i]);
        const char *text =
            arena_printf(arena, "not ready, %s: %s", parts[i], part == NULL ? "" : json_text(part, "reason"));
        if (part != NULL && !json_is_true(json_object_get(part, "ok")) && text != NULL)
            json_array_append_new(alarms, json_string(text));
    }
}

static json_int_t stat_number(const struct look *look, const char *name) {
    return json_integer_value(json_object_get(look->stats, name));
}

static json_int_t signer_number(const struct look *look, const char *name) {
    return json_integer_value(json_object_get(json_object_get(look->stats, "signer"), name));
}

static json_int_t workers_away(const struct look *look) {
    const char *name;
    const json_t *number;
    json_int_t away = 0;
    json_object_foreach(look->metrics, name, number) {
        away += is_of_family(name, "originca_worker_ready") && json_number_value(number) < 1;
    }
    return away;
}

/* A gauge that may be above zero for a moment is an alarm where both looks saw it and it did not shrink. */
static bool is_stuck(double before, double now) {
    return before > 0 && now >= before;
}

static void alarm_growth(json_t *array, struct arena *arena, const struct change *change,
                         const struct look *first) {
    static const struct {
        const char *family, *text;
        bool is_kept; /* shown from then on, not for one interval */
    } growing[] = {{"originca_child_deaths_total", "processes died and were restarted since top began", true},
                   {"originca_orphans_revoked_total",
                    "certificates were signed, never given out, and revoked since top began", true},
                   {"originca_redis_timeouts_total", "commands got no answer from Redis in time", false},
                   {"originca_http_refused_total", "connections were refused over a limit", false},
                   {"originca_metrics_overflow_total", "additions to metrics found no slot", false}};
    const struct change watched = {first, change->now, 1};
    for (size_t i = 0; i < sizeof growing / sizeof growing[0]; i++) {
        double count = growth(growing[i].is_kept ? &watched : change, growing[i].family);
        if (count > 0)
            alarm_count(array, arena, count, growing[i].text);
    }
    /* Where the server is not ready, the questions of top itself are answered so. */
    double failed = growth(change, "originca_http_replies_total{class=\"5xx\"}");
    if (failed > 0 && json_is_true(json_object_get(change->now->readiness, "ready")))
        alarm_count(array, arena, failed, "requests failed on our side (5xx)");
}

static json_t *alarms(struct arena *arena, const struct change *change, const struct look *first) {
    static const char behind[] = "originca_ledger_records_behind", open[] = "intents_without_outcome";
    const struct look *before = change->before, *now = change->now;
    const json_t *signer = json_object_get(now->stats, "signer");
    json_t *array = json_array();
    if (now->error.code != ERROR_NONE)
        json_array_append_new(array, json_string(now->error.message));
    alarm_readiness(array, arena, now->readiness);
    const char *why = json_string_value(json_object_get(signer, "reason")); /* others are said by readyz */
    if (why != NULL && strstr(why, "stopped by an operator") != NULL)
        json_array_append_new(
            array,
            json_string("the signer of this host is stopped by an admin; `originca admin signing allow "
                        "--this-host` ends it"));
    const char *stops =
        json_string_value(json_object_get(json_object_get(now->readiness, "issuance"), "reason"));
    if (stops != NULL)
        json_array_append_new(
            array, json_sprintf("%s; `originca admin signing allow` or `issuance allow` ends it", stops));
    if (is_stuck(value(before->metrics, behind), value(now->metrics, behind)))
        alarm_count(array, arena, value(now->metrics, behind), "ledger records are not in Redis yet");
    if (is_stuck((double)signer_number(before, open), (double)signer_number(now, open)))
        alarm_count(array, arena, (double)signer_number(now, open),
                    "signatures were begun by the signer and not finished");
    if (workers_away(now) > 0)
        alarm_count(array, arena, (double)workers_away(now), "workers do not serve");
    alarm_growth(array, arena, change, first);
    return array;
}

/* --- all of it --- */

static json_t *rates(const struct change *change) {
    static const struct {
        const char *name, *family;
    } shown[] = {{"certificates", "originca_signatures_total"},
                 {"revocations", "originca_revocations_total"},
                 {"requests", "originca_http_requests_total"},
                 {"replies_2xx", "originca_http_replies_total{class=\"2xx\"}"},
                 {"replies_3xx", "originca_http_replies_total{class=\"3xx\"}"},
                 {"replies_4xx", "originca_http_replies_total{class=\"4xx\"}"},
                 {"replies_5xx", "originca_http_replies_total{class=\"5xx\"}"},
                 {"malformed", "originca_http_malformed_total"},
                 {"tls_handshakes", "originca_tls_handshakes_total"},
                 {"tls_failures", "originca_tls_failures_total"},
                 {"dns_checks", "originca_dns_checks_total"},
                 {"dns_queries", "originca_dns_queries_total"},
                 {"dns_timeouts", "originca_dns_timeouts_total"},
                 {"redis_commands", "originca_redis_commands_total"}};
    json_t *json = json_object();
    for (size_t i = 0; i < sizeof shown / sizeof shown[0]; i++)
        json_object_set_new(json, shown[i].name, tidy(rate(change, shown[i].family)));
    return json;
}

json_t *top_numbers(struct arena *arena, const struct look *first, const struct look *before,
                    const struct look *now) {
    struct change change = {before, now, (double)(now->at_ms - before->at_ms) / 1000.0};
    char time_text[TIME_TEXT_MAX];
    const json_t *orders = json_object_get(now->stats, "orders_by_status");
    if (change.seconds < 0.001)
        change.seconds = 0.001;
    time_format(time(NULL), time_text);
    json_t *json = json_pack(
        "{s:s, s:o, s:b, s:o, s:o, s:o}", "time", time_text, "seconds", tidy(change.seconds), "ready",
        json_is_true(json_object_get(now->readiness, "ready")), "rates_per_second", rates(&change),
        "slowest_steps", slowest_steps(arena, &change), "alarms", alarms(arena, &change, first));
    if (now->metrics != NULL)
        json_object_set_new(json, "ledger_records_behind",
                            json_integer((json_int_t)value(now->metrics, "originca_ledger_records_behind")));
    if (now->stats == NULL)
        return arena_own_json(arena, json);
    json_object_set(json, "zones_by_status", json_object_get(now->stats, "zones_by_status"));
    json_object_set_new(json, "orders_waiting",
                        json_pack("{s:I, s:I}", "pending",
                                  json_integer_value(json_object_get(orders, "pending")), "processing",
                                  json_integer_value(json_object_get(orders, "processing"))));
    json_object_set_new(json, "customers", json_integer(stat_number(now, "customers")));
    json_object_set_new(json, "certificates", json_integer(stat_number(now, "certificates")));
    json_object_set_new(json, "certificates_revoked", json_integer(stat_number(now, "certificates_revoked")));
    json_object_set_new(json, "certificates_expiring_7d",
                        json_integer(stat_number(now, "certificates_expiring_7d")));
    json_object_set_new(json, "redis_memory_bytes", json_integer(stat_number(now, "redis_memory_bytes")));
    json_object_set_new(json, "intents_without_outcome",
                        json_integer(signer_number(now, "intents_without_outcome")));
    return arena_own_json(arena, json);
}
