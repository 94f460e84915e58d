/* A few names in an array. Saved: for each one its name (64 bytes), 1 where it is bound, the hashes of key
 * and subject, the number of its newest certificate's record (8 bytes). */
#include "issuer_names.h"

#include <stdlib.h>
#include <string.h>

#include "originca/json.h"

#define SAVED_BYTES (ISSUER_NAME_MAX + 1 + 2 * SHA256_BYTES + 8)
#define RECORD_ARENA_BYTES ((size_t)LEDGER_LINE_MAX * 4)

struct issuer_names {
    struct issuer_name *items;
    size_t count, capacity;
};

struct issuer_names *issuer_names_new(void) {
    return calloc(1, sizeof(struct issuer_names));
}

void issuer_names_free(struct issuer_names *names) {
    if (names == NULL)
        return;
    free(names->items);
    free(names);
}

static struct issuer_name *find(const struct issuer_names *names, const char *name) {
    for (size_t i = 0; i < names->count; i++)
        if (strcmp(names->items[i].name, name) == 0)
            return &names->items[i];
    return NULL;
}

const struct issuer_name *issuer_names_find(const struct issuer_names *names, const char *name) {
    return find(names, name);
}

/* The one that is there, or a new one. */
static struct issuer_name *get(struct issuer_names *names, const char *name) {
    struct issuer_name *known = find(names, name);
    if (known != NULL)
        return known;
    if (names->count == names->capacity) {
        size_t capacity = names->capacity == 0 ? 4 : names->capacity * 2;
        struct issuer_name *larger = realloc(names->items, capacity * sizeof *larger);
        if (larger == NULL)
            return NULL;
        names->items = larger;
        names->capacity = capacity;
    }
    known = &names->items[names->count++];
    *known = (struct issuer_name){.is_bound = false};
    snprintf(known->name, sizeof known->name, "%s", name);
    return known;
}

static bool is_name(const char *name) {
    return name != NULL && *name != '\0' && strlen(name) <= ISSUER_NAME_MAX;
}

static bool is_same(const struct issuer_identity *a, const struct issuer_identity *b) {
    return memcmp(a->spki, b->spki, sizeof a->spki) == 0 &&
           memcmp(a->subject, b->subject, sizeof a->subject) == 0;
}

bool issuer_names_bind(struct issuer_names *names, const char *name, const struct issuer_identity *identity,
                       struct error *error) {
    if (!is_name(name))
        return error_set(error, ERROR_INVALID, "a record of an issuer without its name");
    struct issuer_name *known = get(names, name);
    if (known == NULL)
        return error_set(error, ERROR_INTERNAL, "out of memory");
    if (known->is_bound && !is_same(&known->identity, identity))
        return error_set(error, ERROR_INVALID, "the issuer \"%s\" has two keys or subjects", name);
    known->is_bound = true;
    known->identity = *identity;
    return true;
}

bool issuer_names_note_issued(struct issuer_names *names, const char *name, uint64_t sequence) {
    struct issuer_name *known = is_name(name) ? get(names, name) : NULL;
    if (known != NULL && !known->is_bound)
        known->issued = sequence;
    return known != NULL || !is_name(name);
}

/* --- as records --- */

json_t *issuer_name_describe(const char *name, const struct issuer_identity *identity) {
    char spki[2 * SHA256_BYTES + 1], subject[2 * SHA256_BYTES + 1];
    hex_encode(identity->spki, SHA256_BYTES, spki);
    hex_encode(identity->subject, SHA256_BYTES, subject);
    return json_pack("{s:s, s:s, s:s}", "issuer", name, "spki_sha256", spki, "subject_sha256", subject);
}

json_t *issuer_names_describe(const struct issuer_names *names) {
    json_t *all = json_array();
    for (size_t i = 0; all != NULL && i < names->count; i++) {
        const struct issuer_name *item = &names->items[i];
        if (item->is_bound && json_array_append_new(all, issuer_name_describe(item->name, &item->identity))) {
            json_decref(all);
            return NULL;
        }
    }
    return all;
}

static bool read_one(struct issuer_names *names, const json_t *fields, struct error *error) {
    struct issuer_identity identity;
    const char *name = json_string_value(json_object_get(fields, "issuer")),
               *spki = json_string_value(json_object_get(fields, "spki_sha256")),
               *subject = json_string_value(json_object_get(fields, "subject_sha256"));
    if (spki == NULL || subject == NULL || !hex_decode(spki, identity.spki, SHA256_BYTES) ||
        !hex_decode(subject, identity.subject, SHA256_BYTES))
        return error_set(error, ERROR_INVALID, "a record of an issuer without its key or subject");
    return issuer_names_bind(names, name, &identity, error);
}

static bool is_about_issuers(const char *type) {
    return type != NULL && (strcmp(type, "issuer") == 0 || strcmp(type, "segment") == 0);
}

bool issuer_names_take(struct issuer_names *names, const json_t *record, struct error *error) {
    const char *type = json_string_value(json_object_get(record, "type"));
    const json_t *item;
    size_t i;
    if (!is_about_issuers(type))
        return true;
    if (strcmp(type, "issuer") == 0)
        return read_one(names, record, error);
    json_array_foreach(json_object_get(record, "issuers"), i, item) {
        if (!read_one(names, item, error))
            return false;
    }
    return true;
}

bool issuer_names_read(struct issuer_names *names, const struct ledger_record *record, struct error *error) {
    if (!is_about_issuers(record->type))
        return true;
    struct arena *arena = arena_new(RECORD_ARENA_BYTES);
    const json_t *parsed = arena == NULL ? NULL : json_parse(arena, record->json, record->length, error);
    bool is_read = arena == NULL ? error_set(error, ERROR_INTERNAL, "out of memory")
                                 : parsed != NULL && issuer_names_take(names, parsed, error);
    arena_free(arena);
    return is_read;
}

/* --- the configured ones --- */

bool issuer_name_is_anothers(const struct issuer *issuer, const char *what, struct error *error) {
    return error_set(
        error, ERROR_CONFLICT,
        "%s: the ledger knows another %s under the issuer name \"%s\": certificates, lists and OCSP "
        "answers of before need that one. Put it back; a new key gets an issuer name of its own "
        "(operations.md, \"Another issuing key\")",
        issuer->config->certificate_file, what, issuer->config->name);
}

bool issuer_names_judge(const struct issuer_names *names, const struct issuer *issuer, struct error *error) {
    const struct issuer_name *known = find(names, issuer->config->name);
    if (known == NULL || !known->is_bound || is_same(&known->identity, &issuer->identity))
        return true;
    bool has_other_key = memcmp(known->identity.spki, issuer->identity.spki, SHA256_BYTES) != 0;
    return issuer_name_is_anothers(issuer, has_other_key ? "key" : "subject", error);
}

/* --- a ledger that is not opened --- */

static bool take_record(void *context, const struct ledger_record *record, struct error *error) {
    return issuer_names_read(context, record, error);
}

/* A segment that is being begun has no head yet. */
static bool scan_end(struct issuer_names *names, char **segments, int count, struct error *error) {
    struct ledger_walk walk;
    for (int from = count - 1; from >= 0; from--) {
        const struct ledger_scan scan = {
            .segments = segments, .from = from, .count = count, .visit = take_record, .context = names};
        if (!ledger_scan(&scan, &walk, error))
            return false;
        if (walk.records > 0)
            break;
    }
    return true;
}

bool issuer_names_load_ledger(struct issuer_names *names, const char *directory, struct error *error) {
    char **segments = NULL;
    int count = ledger_list_segments(directory, &segments, error);
    bool is_read = count >= 0 && scan_end(names, segments, count, error);
    ledger_free_segments(segments, count > 0 ? count : 0);
    return is_read;
}

/* --- the checkpoint --- */

size_t issuer_names_saved_length(const struct issuer_names *names) {
    return names->count * SAVED_BYTES;
}

void issuer_names_save(const struct issuer_names *names, uint8_t *out) {
    for (size_t i = 0; i < names->count; i++, out += SAVED_BYTES) {
        const struct issuer_name *item = &names->items[i];
        uint8_t *at = out + ISSUER_NAME_MAX;
        memset(out, 0, ISSUER_NAME_MAX);
        memcpy(out, item->name, strlen(item->name));
        *at++ = item->is_bound;
        memcpy(at, item->identity.spki, SHA256_BYTES);
        memcpy(at + SHA256_BYTES, item->identity.subject, SHA256_BYTES);
        at += 2 * SHA256_BYTES;
        for (size_t byte = 0; byte < 8; byte++)
            at[byte] = (uint8_t)(item->issued >> (8 * (7 - byte)));
    }
}

static bool load_one(struct issuer_names *names, const uint8_t *at) {
    char name[ISSUER_NAME_MAX + 1] = "";
    memcpy(name, at, ISSUER_NAME_MAX);
    at += ISSUER_NAME_MAX;
    if (!is_name(name) || find(names, name) != NULL || at[0] > 1)
        return false;
    struct issuer_name *item = get(names, name);
    if (item == NULL)
        return false;
    item->is_bound = *at++ == 1;
    memcpy(item->identity.spki, at, SHA256_BYTES);
    memcpy(item->identity.subject, at + SHA256_BYTES, SHA256_BYTES);
    at += 2 * SHA256_BYTES;
    for (size_t byte = 0; byte < 8; byte++)
        item->issued = item->issued << 8 | at[byte];
    return true;
}

bool issuer_names_load(struct issuer_names *names, const uint8_t *bytes, size_t length) {
    for (size_t at = 0; at < length; at += SAVED_BYTES)
        if (length - at < SAVED_BYTES || !load_one(names, bytes + at))
            return false;
    return true;
}
