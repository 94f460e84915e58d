/* Reading both messages. */
#include <string.h>

#include "message_internal.h"
#include "originca/names.h"

#define ZONES_MAX 1000
#define NAMES_MAX 1000
#define NAME_SERVERS_MAX 32
#define RIVALS_MAX 1024
#define IDENTITIES_MAX 64
#define POOL_MAX 1024
#define PREFIXES_MAX 1024
#define TXT_MAX 255
#define ACCOUNT_URI_MAX 1024
#define REASON_MAX 40
#define TEXT_MAX 800

/* --- a request --- */

/* In the canonical form only: two spellings of one name would be two questions. */
static const char *take_host(struct arena *arena, const json_t *value, bool may_be_wildcard,
                             struct error *error) {
    char canonical[NAME_MAX_BYTES + 1];
    const char *text = json_string_value(value);
    if (text == NULL) {
        error_set(error, ERROR_INVALID, "a name must be a string");
        return NULL;
    }
    const char *base = may_be_wildcard ? name_base(text) : text;
    if (!name_check_host(base, canonical, error))
        return NULL;
    if (strcmp(base, canonical) != 0) {
        error_set(error, ERROR_INVALID, "\"%.100s\" is not in its canonical form", text);
        return NULL;
    }
    const char *copy = arena_strdup(arena, text);
    if (copy == NULL)
        error_set(error, ERROR_INTERNAL, "out of memory");
    return copy;
}

static bool take_hosts(struct arena *arena, const json_t *list, const char *const **out, size_t *count,
                       struct error *error) {
    const char **names = arena_alloc(arena, (json_array_size(list) + 1) * sizeof *names);
    if (names == NULL)
        return error_set(error, ERROR_INTERNAL, "out of memory");
    for (size_t i = 0; i < json_array_size(list); i++)
        if ((names[i] = take_host(arena, json_array_get(list, i), false, error)) == NULL)
            return false;
    *out = names;
    *count = json_array_size(list);
    return true;
}

static bool take_text(struct arena *arena, const json_t *object, const char *key, const char **out,
                      struct error *error) {
    const char *text;
    *out = NULL;
    if (!json_get_optional_string(object, key, &text, error))
        return false;
    return text == NULL || (*out = arena_strdup(arena, text)) != NULL ||
           error_set(error, ERROR_INTERNAL, "out of memory");
}

static bool is_canonical(const char *name) {
    char canonical[NAME_MAX_BYTES + 1];
    struct error ignored;
    return name_check_host(name, canonical, &ignored) && strcmp(name, canonical) == 0;
}

static bool are_canonical(char *list) {
    bool is_good = true;
    for (char *word; is_good && (word = strsep(&list, ",")) != NULL;)
        is_good = is_canonical(word);
    return is_good;
}

/* "NAME=OWN!CONTESTED|SET|SET": lists of names in canonical form with commas between; each part but the name
 * may be missing. */
static const char *take_zone_above(struct arena *arena, const char *text, struct error *error) {
    char *rest = text == NULL ? NULL : arena_strdup(arena, text);
    const char *name = strsep(&rest, "=");
    bool is_good = name != NULL && rest != NULL && is_canonical(name);
    char *sets = is_good ? rest : NULL, *contested = strsep(&sets, "|"), *own = strsep(&contested, "!");
    is_good =
        is_good && (*own == '\0' || are_canonical(own)) && (contested == NULL || are_canonical(contested));
    for (char *set; is_good && (set = strsep(&sets, "|")) != NULL;)
        is_good = are_canonical(set);
    if (is_good)
        return arena_strdup(arena, text);
    error_set(error, ERROR_INVALID, "a zone above is not \"NAME=OWN!CONTESTED|SET\" of name servers");
    return NULL;
}

static bool take_zones_above(struct arena *arena, const json_t *item, struct dnscheck_zone *zone,
                             struct error *error) {
    const json_t *list;
    if (!message_take_list(item, "zones_above", NAME_MAX_LABELS, &list, error))
        return false;
    const char **own = arena_alloc(arena, (json_array_size(list) + 1) * sizeof *own);
    if (own == NULL)
        return error_set(error, ERROR_INTERNAL, "out of memory");
    for (size_t i = 0; i < json_array_size(list); i++)
        if ((own[i] = take_zone_above(arena, json_string_value(json_array_get(list, i)), error)) == NULL)
            return false;
    zone->zones_above = own;
    zone->zones_above_count = json_array_size(list);
    return true;
}

/* Sets of name servers, commas between. */
static bool take_rivals(struct arena *arena, const json_t *item, struct dnscheck_zone *zone,
                        struct error *error) {
    const json_t *list;
    if (!message_take_list(item, "rivals", RIVALS_MAX, &list, error))
        return false;
    const char **own = arena_alloc(arena, (json_array_size(list) + 1) * sizeof *own);
    if (own == NULL)
        return error_set(error, ERROR_INTERNAL, "out of memory");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *text = json_string_value(json_array_get(list, i));
        char *words = text == NULL ? NULL : arena_strdup(arena, text);
        own[i] = text == NULL ? NULL : arena_strdup(arena, text);
        if (own[i] == NULL || words == NULL || !are_canonical(words))
            return error_set(error, ERROR_INVALID, "a rival is no list of name servers");
    }
    zone->rivals = own;
    zone->rival_count = json_array_size(list);
    return true;
}

static bool take_zones(struct arena *arena, const json_t *root, struct dnscheck_request *check,
                       struct error *error) {
    const json_t *list, *servers;
    if (!message_take_list(root, "zones", ZONES_MAX, &list, error))
        return false;
    struct dnscheck_zone *zones = arena_alloc(arena, (json_array_size(list) + 1) * sizeof *zones);
    if (zones == NULL || json_array_size(list) == 0)
        return error_set(error, ERROR_INVALID, "at least one zone is needed");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);
        zones[i].name = take_host(arena, json_object_get(item, "name"), false, error);
        if (zones[i].name == NULL ||
            !message_take_list(item, "name_servers", NAME_SERVERS_MAX, &servers, error) ||
            !take_hosts(arena, servers, &zones[i].name_servers, &zones[i].name_server_count, error))
            return false;
        if (zones[i].name_server_count == 0)
            return error_set(error, ERROR_INVALID, "a zone needs its name servers");
        if (json_object_get(item, "zones_above") != NULL && !take_zones_above(arena, item, &zones[i], error))
            return false;
        if (json_object_get(item, "rivals") != NULL && !take_rivals(arena, item, &zones[i], error))
            return false;
    }
    check->zones = zones;
    check->zone_count = json_array_size(list);
    return true;
}

static bool take_names(struct arena *arena, const json_t *root, struct dnscheck_request *check,
                       struct error *error) {
    const json_t *list;
    uint32_t zone;
    if (!message_take_list(root, "names", NAMES_MAX, &list, error))
        return false;
    struct dnscheck_name *names = arena_alloc(arena, (json_array_size(list) + 1) * sizeof *names);
    if (names == NULL)
        return error_set(error, ERROR_INTERNAL, "out of memory");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);
        names[i].name = take_host(arena, json_object_get(item, "name"), true, error);
        if (names[i].name == NULL || !message_take_number(item, "zone", &zone, error) ||
            !take_text(arena, item, "txt", &names[i].txt_value, error))
            return false;
        names[i].zone = zone;
        if (zone >= check->zone_count || !name_is_below(name_base(names[i].name), check->zones[zone].name) ||
            (names[i].txt_value != NULL && strlen(names[i].txt_value) > TXT_MAX))
            return error_set(error, ERROR_INVALID, "%s is not in its zone, or its TXT value is too long",
                             names[i].name);
    }
    check->names = names;
    check->name_count = json_array_size(list);
    return true;
}

static bool take_prefixes(struct arena *arena, const json_t *root, struct message_request *out,
                          struct error *error) {
    const json_t *list;
    if (!message_take_list(root, "edge_prefixes", PREFIXES_MAX, &list, error))
        return false;
    struct config_prefix *prefixes = arena_alloc(arena, (json_array_size(list) + 1) * sizeof *prefixes);
    if (prefixes == NULL)
        return error_set(error, ERROR_INTERNAL, "out of memory");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *text = json_string_value(json_array_get(list, i));
        if (text == NULL)
            return error_set(error, ERROR_INVALID, "a prefix must be a string");
        if (!config_parse_prefix(text, &prefixes[i], error))
            return false;
    }
    out->edge_prefixes = prefixes;
    out->edge_prefix_count = json_array_size(list);
    return true;
}

/* dnscheck wants constants. */
static bool take_method(const json_t *root, struct dnscheck_request *check, struct error *error) {
    static const char *const methods[] = {"ca-delegation", "dns-01"};
    const char *word;
    if (!json_get_optional_string(root, "method", &word, error))
        return false;
    for (size_t i = 0; word != NULL && i < sizeof methods / sizeof methods[0]; i++)
        if (strcmp(word, methods[i]) == 0)
            check->method = methods[i];
    return word == NULL || check->method != NULL ||
           error_set(error, ERROR_INVALID, "the method is none of ca-delegation, dns-01");
}

static bool read_request(struct arena *arena, struct arena *document, struct bytes payload,
                         struct message_request *out, struct error *error) {
    const json_t *identities, *pool;
    const json_t *root = message_parse(document, payload, &out->id, error);
    const char *mode = root == NULL ? NULL : json_get_string(root, "caa_mode", error);
    struct dnscheck_request *check = &out->check;
    if (mode == NULL || !message_take_caa_mode(mode, &out->caa_mode, error) ||
        !message_take_number(root, "deadline_ms", &check->deadline_ms, error) ||
        !take_text(arena, root, "account_uri", &check->account_uri, error) ||
        !take_method(root, check, error) ||
        !message_take_list(root, "caa_identities", IDENTITIES_MAX, &identities, error) ||
        !take_hosts(arena, identities, &out->caa_identities, &out->caa_identity_count, error) ||
        !message_take_list(root, "name_server_pool", POOL_MAX, &pool, error) ||
        !take_hosts(arena, pool, &out->name_server_pool, &out->name_server_pool_count, error) ||
        !take_prefixes(arena, root, out, error) || !take_zones(arena, root, check, error) ||
        !take_names(arena, root, check, error))
        return false;
    return check->account_uri == NULL || strlen(check->account_uri) <= ACCOUNT_URI_MAX ||
           error_set(error, ERROR_INVALID, "account_uri is too long");
}

bool message_read_request(struct arena *arena, struct bytes payload, struct message_request *out,
                          struct error *error) {
    *out = (struct message_request){.id = 0};
    struct arena *document = arena_new(0);
    bool is_read = document != NULL ? read_request(arena, document, payload, out, error)
                                    : error_set(error, ERROR_INTERNAL, "out of memory");
    arena_free(document);
    return is_read;
}

/* --- a reply --- */

static bool take_verdict(const char *word, enum dnscheck_verdict *out, struct error *error) {
    for (enum dnscheck_verdict verdict = DNSCHECK_OK; verdict <= DNSCHECK_FAILED; verdict++)
        if (strcmp(word, dnscheck_verdict_name(verdict)) == 0) {
            *out = verdict;
            return true;
        }
    return error_set(error, ERROR_INVALID, "a verdict is none of ok, refused, failed");
}

/* The text goes to customers and logs. */
static const char *clean_text(struct arena *arena, const char *text) {
    char *copy = arena_strndup(arena, text, strnlen(text, TEXT_MAX));
    for (char *p = copy; p != NULL && *p != '\0'; p++)
        if ((unsigned char)*p < 0x20 || (unsigned char)*p >= 0x7F)
            *p = '?';
    return copy;
}

static bool take_reason(struct arena *arena, const char *word, const char **out, struct error *error) {
    if (*word == '\0' || strlen(word) > REASON_MAX ||
        word[strspn(word, "abcdefghijklmnopqrstuvwxyz0123456789-")] != '\0')
        return error_set(error, ERROR_INVALID, "a reason is no word");
    *out = arena_strdup(arena, word);
    return *out != NULL || error_set(error, ERROR_INTERNAL, "out of memory");
}

static bool take_findings(struct arena *arena, const json_t *root, const char *key, size_t max,
                          const struct dnscheck_finding **out, size_t *count, struct error *error) {
    const json_t *list;
    if (!message_take_list(root, key, max, &list, error))
        return false;
    struct dnscheck_finding *findings = arena_alloc(arena, (json_array_size(list) + 1) * sizeof *findings);
    if (findings == NULL)
        return error_set(error, ERROR_INTERNAL, "out of memory");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);
        const char *verdict = json_get_string(item, "verdict", error), *reason, *text;
        if (verdict == NULL || (reason = json_get_string(item, "reason", error)) == NULL ||
            !take_verdict(verdict, &findings[i].verdict, error) ||
            !take_reason(arena, reason, &findings[i].reason, error) ||
            !json_get_optional_string(item, "text", &text, error))
            return false;
        findings[i].text = clean_text(arena, text == NULL ? "" : text);
        findings[i].is_secure = json_is_true(json_object_get(item, "secure"));
        if (findings[i].text == NULL)
            return error_set(error, ERROR_INTERNAL, "out of memory");
    }
    *out = findings;
    *count = json_array_size(list);
    return true;
}

static bool read_reply(struct arena *arena, struct arena *document, struct bytes payload,
                       struct message_reply *out, struct error *error) {
    const json_t *root = message_parse(document, payload, &out->id, error);
    if (root == NULL)
        return false;
    if (json_object_get(root, "error") != NULL) {
        const char *word = json_get_string(root, "error", error);
        const char *text = json_get_string(root, "text", error);
        if (word == NULL || text == NULL || !take_reason(arena, word, &out->error, error))
            return false;
        out->error_text = clean_text(arena, text);
        return out->error_text != NULL || error_set(error, ERROR_INTERNAL, "out of memory");
    }
    return take_findings(arena, root, "zones", ZONES_MAX, &out->zones, &out->zone_count, error) &&
           take_findings(arena, root, "names", NAMES_MAX, &out->names, &out->name_count, error) &&
           message_take_number(root, "queries", &out->queries, error) &&
           message_take_number(root, "duration_ms", &out->duration_ms, error);
}

bool message_read_reply(struct arena *arena, struct bytes payload, struct message_reply *out,
                        struct error *error) {
    *out = (struct message_reply){.id = 0};
    struct arena *document = arena_new(0);
    bool is_read = document != NULL ? read_reply(arena, document, payload, out, error)
                                    : error_set(error, ERROR_INTERNAL, "out of memory");
    arena_free(document);
    return is_read;
}
