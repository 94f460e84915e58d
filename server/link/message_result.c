/* What a check found: written by a worker, read by the admin process as foreign input. */
#include "message.h"

#include <string.h>

#define REASON_MAX 40
#define TEXT_MAX 1024
#define DELEGATED_TO_MAX 64
#define NAME_TEXT_MAX 1100 /* a DNS name as text, every byte escaped */

static json_t *list_findings(const struct dnscheck_finding *findings, size_t count) {
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) {
        const struct dnscheck_finding *finding = &findings[i];
        json_t *delegated_to = json_array();
        for (size_t j = 0; j < finding->delegated_to_count; j++)
            json_array_append_new(delegated_to, json_string(finding->delegated_to[j]));
        json_array_append_new(
            list, json_pack("{s:s, s:s, s:s, s:b, s:b, s:o}", "verdict",
                            dnscheck_verdict_name(finding->verdict), "reason", finding->reason, "text",
                            finding->text == NULL ? "" : finding->text, "secure", finding->is_secure,
                            "heard_parent", finding->has_heard_parent, "delegated_to", delegated_to));
    }
    return list;
}

static json_t *shorten(const json_t *evidence) {
    json_t *copy = json_copy((json_t *)evidence);
    json_object_set_new(copy, "queries", json_pack("[{s:s}]", "note", "too long to be listed"));
    return copy;
}

json_t *link_write_result(uint64_t id, const struct dnscheck_result *result, bool with_queries) {
    json_t *evidence = with_queries ? json_incref(result->evidence) : shorten(result->evidence);
    return json_pack("{s:I, s:o, s:o, s:I, s:I, s:I, s:o*}", "id", (json_int_t)id, "zones",
                     list_findings(result->zones, result->zone_count), "names",
                     list_findings(result->names, result->name_count), "checked_at",
                     (json_int_t)result->checked_at, "queries", (json_int_t)result->queries, "duration_ms",
                     (json_int_t)result->duration_ms, "evidence", evidence);
}

static bool take_verdict(const char *word, enum dnscheck_verdict *out, struct error *error) {
    for (enum dnscheck_verdict verdict = DNSCHECK_OK; verdict <= DNSCHECK_FAILED; verdict++)
        if (strcmp(word, dnscheck_verdict_name(verdict)) == 0) {
            *out = verdict;
            return true;
        }
    return error_set(error, ERROR_INVALID, "a verdict is none of ok, refused, failed");
}

static bool take_reason(struct arena *arena, const char *word, const char **out, struct error *error) {
    if (*word == '\0' || strlen(word) > REASON_MAX ||
        word[strspn(word, "abcdefghijklmnopqrstuvwxyz0123456789-")] != '\0')
        return error_set(error, ERROR_INVALID, "a reason is no word");
    *out = arena_strdup(arena, word);
    return *out != NULL || error_set(error, ERROR_INTERNAL, "out of memory");
}

/* It goes to customers and logs. */
static const char *clean_text(struct arena *arena, const char *text) {
    char *copy = arena_strndup(arena, text, strnlen(text, TEXT_MAX));
    for (char *c = copy; c != NULL && *c != '\0'; c++)
        if ((unsigned char)*c < 0x20 || (unsigned char)*c >= 0x7F)
            *c = '?';
    return copy;
}

static bool is_name_text(const char *text) {
    size_t length = text == NULL ? NAME_TEXT_MAX : strnlen(text, NAME_TEXT_MAX);
    for (size_t i = 0; i < length && length < NAME_TEXT_MAX; i++)
        if (text[i] < 0x21 || text[i] > 0x7E)
            return false;
    return length < NAME_TEXT_MAX;
}

static bool take_delegated_to(struct arena *arena, const json_t *item, struct dnscheck_finding *out,
                              struct error *error) {
    const json_t *list = json_object_get(item, "delegated_to");
    size_t count = json_array_size(list);
    const char **names = arena_alloc(arena, (count + 1) * sizeof *names);
    if (!json_is_array(list) || count > DELEGATED_TO_MAX)
        return error_set(error, ERROR_INVALID, "delegated_to is no list of at most %d", DELEGATED_TO_MAX);
    for (size_t i = 0; names != NULL && i < count; i++) {
        const char *text = json_string_value(json_array_get(list, i));
        if (!is_name_text(text))
            return error_set(error, ERROR_INVALID, "delegated_to holds what is no name");
        if ((names[i] = arena_strdup(arena, text)) == NULL)
            names = NULL;
    }
    out->delegated_to = names;
    out->delegated_to_count = count;
    return names != NULL || error_set(error, ERROR_INTERNAL, "out of memory");
}

static bool take_finding(struct arena *arena, const json_t *item, struct dnscheck_finding *out,
                         struct error *error) {
    const char *verdict = json_get_string(item, "verdict", error), *reason, *text;
    if (verdict == NULL || (reason = json_get_string(item, "reason", error)) == NULL ||
        (text = json_get_string(item, "text", error)) == NULL ||
        !take_verdict(verdict, &out->verdict, error) || !take_reason(arena, reason, &out->reason, error) ||
        !take_delegated_to(arena, item, out, error))
        return false;
    out->is_secure = json_is_true(json_object_get(item, "secure"));
    out->has_heard_parent = json_is_true(json_object_get(item, "heard_parent"));
    out->text = clean_text(arena, text);
    return out->text != NULL || error_set(error, ERROR_INTERNAL, "out of memory");
}

static struct dnscheck_finding *take_findings(struct arena *arena, const json_t *root, const char *key,
                                              size_t count, struct error *error) {
    const json_t *list = json_object_get(root, key);
    struct dnscheck_finding *findings = arena_alloc(arena, (count + 1) * sizeof *findings);
    if (findings == NULL || json_array_size(list) != count) {
        error_set(error, findings == NULL ? ERROR_INTERNAL : ERROR_INVALID,
                  findings == NULL ? "out of memory" : "the answer is about other %s", key);
        return NULL;
    }
    for (size_t i = 0; i < count; i++)
        if (!take_finding(arena, json_array_get(list, i), &findings[i], error))
            return NULL;
    return findings;
}

static enum dnscheck_verdict worst_of(const struct dnscheck_finding *findings, size_t count,
                                      enum dnscheck_verdict worst) {
    for (size_t i = 0; i < count; i++)
        if (findings[i].verdict == DNSCHECK_REFUSED || worst == DNSCHECK_OK)
            worst = findings[i].verdict == DNSCHECK_OK ? worst : findings[i].verdict;
    return worst;
}

static uint32_t number_of(const json_t *root, const char *key) {
    json_int_t value = json_integer_value(json_object_get(root, key));
    return value > 0 && value <= UINT32_MAX ? (uint32_t)value : 0;
}

static time_t time_between(json_int_t value, time_t started) {
    time_t now = (time_t)(clock_wall_ms() / 1000);
    return value < started ? started : value > now ? now : (time_t)value;
}

bool link_read_result(struct arena *arena, const json_t *root, const struct dnscheck_request *request,
                      time_t started, struct dnscheck_result *out, struct error *error) {
    json_t *evidence = json_object_get(root, "evidence");
    struct dnscheck_finding *zones = take_findings(arena, root, "zones", request->zone_count, error);
    struct dnscheck_finding *names =
        zones == NULL ? NULL : take_findings(arena, root, "names", request->name_count, error);
    if (names == NULL)
        return false;
    if (!json_is_object(evidence))
        return error_set(error, ERROR_INVALID, "the answer has no evidence");
    for (size_t i = 0; i < request->zone_count; i++)
        zones[i].name = request->zones[i].name;
    for (size_t i = 0; i < request->name_count; i++)
        names[i].name = request->names[i].name;
    *out = (struct dnscheck_result){
        .zones = zones,
        .zone_count = request->zone_count,
        .names = names,
        .name_count = request->name_count,
        .verdict = worst_of(names, request->name_count, worst_of(zones, request->zone_count, DNSCHECK_OK)),
        .checked_at = time_between(json_integer_value(json_object_get(root, "checked_at")), started),
        .queries = number_of(root, "queries"),
        .duration_ms = number_of(root, "duration_ms"),
        .evidence = arena_own_json(arena, json_incref(evidence)),
    };
    return out->evidence != NULL || error_set(error, ERROR_INTERNAL, "out of memory");
}
