/* Counting: what the perspectives saw of each zone and name, what the quorum makes of it, and how it is told.
 */
#include <stdio.h>
#include <string.h>

#include "originca/log.h"
#include "perspectives.h"

#define DISAGREES_ABOUT_MAX 20
#define TOLD_MAX 4 /* perspectives named in one text */

enum part { ZONES, NAMES };

/* NULL: it has not said. */
static const struct dnscheck_finding *seen_by(const struct opinion *opinion, enum part part, size_t index) {
    if (!opinion->is_known)
        return NULL;
    if (part == ZONES)
        return &opinion->zones[index];
    /* A name can be no better than its zone. */
    const struct dnscheck_finding *zone = &opinion->zones[opinion->job->request.names[index].zone];
    return zone->verdict != DNSCHECK_OK ? zone : &opinion->names[index];
}

static struct quorum_count count_of(const struct perspective_job *job, enum part part, size_t index) {
    const struct dnscheck_finding *findings = part == ZONES ? job->local->zones : job->local->names;
    struct quorum_count count = {.primary_agrees = findings[index].verdict == DNSCHECK_OK};
    for (size_t i = 0; i < job->set->count; i++) {
        const struct opinion *opinion = &job->opinions[i];
        const struct dnscheck_finding *seen = seen_by(opinion, part, index);
        if (opinion->is_pending)
            count.pending++;
        else if (seen != NULL && seen->verdict == DNSCHECK_OK)
            count.agreeing++;
        else
            count.disagreeing++;
    }
    return count;
}

bool verdict_is_decided(const struct perspective_job *job) {
    for (size_t i = 0; i < job->local->zone_count + job->local->name_count; i++) {
        bool is_zone = i < job->local->zone_count;
        struct quorum_count count =
            count_of(job, is_zone ? ZONES : NAMES, is_zone ? i : i - job->local->zone_count);
        if (quorum_judge(&count, job->set->allowed) == QUORUM_OPEN)
            return false;
    }
    return true;
}

bool verdict_is_all_lost(const struct dnscheck_result *result) {
    for (size_t i = 0; i < result->zone_count; i++)
        if (result->zones[i].verdict == DNSCHECK_OK)
            return false;
    for (size_t i = 0; i < result->name_count; i++)
        if (result->names[i].verdict == DNSCHECK_OK)
            return false;
    return true;
}

/* --- one finding --- */

static void tell(const struct perspective_job *job, enum part part, size_t index, struct text *text) {
    size_t told = 0, left_out = 0;
    for (size_t i = 0; i < job->set->count; i++) {
        const struct opinion *opinion = &job->opinions[i];
        const struct dnscheck_finding *seen = seen_by(opinion, part, index);
        const char *name = opinion->perspective->entry.text;
        if (seen != NULL && seen->verdict == DNSCHECK_OK)
            continue;
        if (told == TOLD_MAX) {
            left_out++;
            continue;
        }
        told++;
        if (seen == NULL)
            text_printf(text, "; %s gave no answer (%.120s)", name, opinion->failure);
        else
            text_printf(text, "; %s: %s (%.300s)", name, seen->reason,
                        *seen->text == '\0' ? "-" : seen->text);
    }
    if (left_out > 0)
        text_printf(text, "; and %zu more", left_out);
}

static void judge(const struct perspective_job *job, enum part part, size_t index,
                  struct dnscheck_finding *finding) {
    struct quorum_count count = count_of(job, part, index);
    if (finding->verdict != DNSCHECK_OK || quorum_judge(&count, job->set->allowed) == QUORUM_HOLDS)
        return;
    struct text text;
    text_init(&text, job->arena);
    text_printf(
        &text,
        "%s is in order here, but only %zu of %zu other places in the network see the same, and at most "
        "%u may differ",
        finding->name, count.agreeing, job->set->count, job->set->allowed);
    tell(job, part, index, &text);
    finding->verdict = DNSCHECK_FAILED;
    finding->reason = "quorum";
    finding->text = text.failed ? "too few perspectives agree" : text.data;
}

static struct dnscheck_finding *judge_all(const struct perspective_job *job, enum part part) {
    const struct dnscheck_result *local = job->local;
    size_t count = part == ZONES ? local->zone_count : local->name_count;
    struct dnscheck_finding *findings = arena_alloc(job->arena, (count + 1) * sizeof *findings);
    for (size_t i = 0; findings != NULL && i < count; i++) {
        findings[i] = part == ZONES ? local->zones[i] : local->names[i];
        judge(job, part, i, &findings[i]);
    }
    return findings;
}

/* --- the evidence --- */

static void describe_opinion(const struct opinion *opinion, json_t *item) {
    const struct perspective_job *job = opinion->job;
    const struct dnscheck_finding *worst = NULL;
    json_t *about = json_array();
    for (size_t i = 0; i < job->request.zone_count + job->request.name_count; i++) {
        bool is_zone = i < job->request.zone_count;
        size_t index = is_zone ? i : i - job->request.zone_count;
        const struct dnscheck_finding *seen = seen_by(opinion, is_zone ? ZONES : NAMES, index);
        if (seen == NULL || seen->verdict == DNSCHECK_OK)
            continue;
        if (worst == NULL || (worst->verdict == DNSCHECK_FAILED && seen->verdict == DNSCHECK_REFUSED))
            worst = seen;
        if (json_array_size(about) < DISAGREES_ABOUT_MAX)
            json_array_append_new(about, json_string(is_zone ? job->request.zones[index].name
                                                             : job->request.names[index].name));
    }
    const struct dnscheck_finding *last = !opinion->is_known            ? NULL
                                          : job->request.name_count > 0 ? &opinion->names[0]
                                                                        : &opinion->zones[0];
    const struct dnscheck_finding *told = worst != NULL ? worst : last;
    enum dnscheck_verdict verdict = told == NULL ? DNSCHECK_FAILED : told->verdict;
    json_object_set_new(item, "verdict", json_string(dnscheck_verdict_name(verdict)));
    json_object_set_new(item, "reason", json_string(told == NULL ? "no-answer" : told->reason));
    if (verdict != DNSCHECK_OK)
        json_object_set_new(item, "text", json_string(told == NULL ? opinion->failure : told->text));
    if (json_array_size(about) > 0)
        json_object_set(item, "disagrees_about", about);
    json_decref(about);
}

static json_t *describe_local(const struct perspective_job *job) {
    const struct dnscheck_result *local = job->local;
    const char *reason = "";
    for (size_t i = 0; i < local->zone_count; i++)
        if (*reason == '\0' || local->zones[i].verdict == local->verdict)
            reason = local->zones[i].reason;
    for (size_t i = 0; i < local->name_count; i++)
        if (local->names[i].verdict == local->verdict)
            reason = local->names[i].reason;
    return json_pack("{s:s, s:s, s:s, s:I}", "name", "local", "verdict",
                     dnscheck_verdict_name(local->verdict), "reason", reason, "ms",
                     (json_int_t)job->local_ms);
}

static void write_findings(json_t *list, const struct dnscheck_finding *findings, size_t count) {
    for (size_t i = 0; i < count; i++) {
        json_t *item = json_array_get(list, i);
        if (strcmp(findings[i].reason, "quorum") != 0)
            continue;
        json_object_set_new(item, "verdict", json_string(dnscheck_verdict_name(findings[i].verdict)));
        json_object_set_new(item, "reason", json_string(findings[i].reason));
        json_object_set_new(item, "text", json_string(findings[i].text));
    }
}

/* The document is the caller's already, by its arena; it is filled in place. */
static void write_evidence(const struct perspective_job *job, const struct dnscheck_result *result) {
    json_t *list = json_array();
    json_array_append_new(list, describe_local(job));
    for (size_t i = 0; i < job->set->count; i++) {
        const struct opinion *opinion = &job->opinions[i];
        json_t *item =
            json_pack("{s:s, s:I}", "name", opinion->perspective->entry.text, "ms", (json_int_t)opinion->ms);
        describe_opinion(opinion, item);
        json_array_append_new(list, item);
    }
    json_object_set_new(result->evidence, "perspectives", list);
    json_object_set_new(result->evidence, "verdict", json_string(dnscheck_verdict_name(result->verdict)));
    json_object_set_new(result->evidence, "duration_ms", json_integer(result->duration_ms));
    write_findings(json_object_get(result->evidence, "zones"), result->zones, result->zone_count);
    write_findings(json_object_get(result->evidence, "names"), result->names, result->name_count);
}

static bool has_quorum_failure(const struct dnscheck_finding *findings, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (strcmp(findings[i].reason, "quorum") == 0)
            return true;
    return false;
}

const struct dnscheck_result *verdict_build(const struct perspective_job *job) {
    struct dnscheck_result *result = arena_alloc(job->arena, sizeof *result);
    struct dnscheck_finding *zones = judge_all(job, ZONES), *names = judge_all(job, NAMES);
    if (result == NULL || zones == NULL || names == NULL)
        return NULL;
    *result = *job->local;
    result->zones = zones;
    result->names = names;
    result->duration_ms = (uint32_t)(clock_monotonic_ms() - job->started_ms);
    if (result->verdict == DNSCHECK_OK &&
        (has_quorum_failure(zones, result->zone_count) || has_quorum_failure(names, result->name_count)))
        result->verdict = DNSCHECK_FAILED;
    if (result->evidence != NULL)
        write_evidence(job, result);
    return result;
}
