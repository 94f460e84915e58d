/* Reading the ledger: lines, chain, segments. */
#include "ledger.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "originca/json.h"

json_t *ledger_parse_line(struct arena *arena, const char *line, size_t length,
                          const uint8_t previous[LEDGER_HASH_BYTES], uint8_t hash[LEDGER_HASH_BYTES],
                          struct error *error) {
    char expected[2 * LEDGER_HASH_BYTES + 1];
    if (length < 2 * LEDGER_HASH_BYTES + 3 || line[2 * LEDGER_HASH_BYTES] != ' ') {
        error_set(error, ERROR_INVALID, "not of the form \"<hash> <record>\"");
        return NULL;
    }
    const char *json = line + 2 * LEDGER_HASH_BYTES + 1;
    size_t json_length = length - 2 * LEDGER_HASH_BYTES - 1;
    uint8_t *chained = arena_alloc(arena, LEDGER_HASH_BYTES + json_length);
    if (chained == NULL) {
        error_set(error, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    memcpy(chained, previous, LEDGER_HASH_BYTES);
    memcpy(chained + LEDGER_HASH_BYTES, json, json_length);
    sha256(chained, LEDGER_HASH_BYTES + json_length, hash);
    hex_encode(hash, LEDGER_HASH_BYTES, expected);
    /* As text: upper-case digits would be a second spelling, a change that nothing shows. */
    if (memcmp(line, expected, 2 * LEDGER_HASH_BYTES) != 0) {
        error_set(error, ERROR_INVALID,
                  "the hash does not continue the chain: the record or one before it was changed");
        return NULL;
    }
    json_t *record = json_parse(arena, json, json_length, error);
    if (record == NULL || !json_is_integer(json_object_get(record, "seq")) ||
        !json_is_string(json_object_get(record, "type")) ||
        !json_is_string(json_object_get(record, "time"))) {
        error_set(error, ERROR_INVALID, "the record lacks seq, time or type");
        return NULL;
    }
    return record;
}

static int compare_paths(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool is_segment(const char *name) {
    return strlen(name) == 7 + 20 + 6 && strncmp(name, "ledger-", 7) == 0 &&
           strspn(name + 7, "0123456789") == 20 && strcmp(name + 27, ".jsonl") == 0;
}

int ledger_list_segments(const char *directory, char ***paths, struct error *error) {
    DIR *folder = opendir(directory);
    size_t count = 0, capacity = 0;
    *paths = NULL;
    if (folder == NULL) {
        error_set(error, ERROR_UNAVAILABLE, "cannot open the ledger directory %s: %m", directory);
        return -1;
    }
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        if (!is_segment(entry->d_name))
            continue;
        if (count == capacity) {
            capacity = capacity == 0 ? 16 : capacity * 2;
            char **larger = realloc(*paths, capacity * sizeof **paths);
            if (larger == NULL)
                break;
            *paths = larger;
        }
        if (asprintf(&(*paths)[count], "%s/%s", directory, entry->d_name) < 0)
            break;
        count++;
    }
    closedir(folder);
    if (count > 0)
        qsort(*paths, count, sizeof **paths, compare_paths);
    return (int)count;
}

void ledger_free_segments(char **paths, int count) {
    for (int i = 0; i < count; i++)
        free(paths[i]);
    free(paths);
}

uint64_t ledger_sequence_of_path(const char *path) {
    const char *name = strrchr(path, '/');
    return strtoull((name == NULL ? path : name + 1) + 7, NULL, 10);
}

/* --- members of a record, without a tree of it --- */

#define MEMBERS_MAX 32

struct ledger_member {
    const char *name, *value;
    size_t name_length, value_length;
};

/* Behind the string that begins at `at`; NULL where it does not end. */
static const char *skip_string(const char *at, const char *end) {
    for (at++; at < end; at++) {
        const char *quote = memchr(at, '"', (size_t)(end - at));
        if (quote == NULL)
            return NULL;
        const char *escape = memchr(at, '\\', (size_t)(quote - at));
        if (escape == NULL)
            return quote + 1;
        at = escape + 1;
    }
    return NULL;
}

static const char *skip_nested(const char *at, const char *end) {
    unsigned depth = 0;
    while (at < end) {
        if (*at == '"') {
            if ((at = skip_string(at, end)) == NULL)
                return NULL;
            continue;
        }
        if (*at == '{' || *at == '[')
            depth++;
        else if (*at == '}' || *at == ']')
            depth--;
        at++;
        if (depth == 0)
            return at;
    }
    return NULL;
}

static const char *skip_value(const char *at, const char *end) {
    if (at == end)
        return NULL;
    if (*at == '"')
        return skip_string(at, end);
    if (*at == '{' || *at == '[')
        return skip_nested(at, end);
    const char *from = at;
    while (at < end && *at != ',' && *at != '}' && (unsigned char)*at > ' ')
        at++;
    return at == from ? NULL : at;
}

static bool is_known(const struct ledger_member *members, size_t count, const char *name, size_t length) {
    for (size_t i = 0; i < count; i++)
        if (members[i].name_length == length && memcmp(members[i].name, name, length) == 0)
            return true;
    return false;
}

/* The members of an object in the form in which the signer writes it: no blanks, no member twice. 0 for
 * anything else, which whoever asks parses in full. */
static size_t split(const char *json, size_t length, struct ledger_member members[MEMBERS_MAX]) {
    const char *at = json + 1, *end = json + length;
    if (length < 2 || *json != '{')
        return 0;
    for (size_t count = 0; count < MEMBERS_MAX; at++) {
        const char *name = at + 1, *value = at < end && *at == '"' ? skip_string(at, end) : NULL;
        if (value == NULL || value == end || *value != ':')
            return 0;
        size_t name_length = (size_t)(value - name) - 1;
        const char *behind = skip_value(++value, end);
        if (behind == NULL || behind == end || is_known(members, count, name, name_length))
            return 0;
        members[count++] = (struct ledger_member){name, value, name_length, (size_t)(behind - value)};
        if (*behind == '}')
            return behind + 1 == end ? count : 0;
        if (*behind != ',')
            return 0;
        at = behind;
    }
    return 0;
}

static const struct ledger_member *find_member(const struct ledger_member *members, size_t count,
                                               const char *name) {
    size_t length = strlen(name);
    for (size_t i = 0; i < count; i++)
        if (members[i].name_length == length && memcmp(members[i].name, name, length) == 0)
            return &members[i];
    return NULL;
}

/* A text without escapes; others are long or strange, and nothing that is asked for here has one. */
static bool copy_text(const struct ledger_member *member, char *out, size_t size) {
    if (member == NULL || member->value_length < 2 || member->value_length - 1 > size ||
        *member->value != '"' || memchr(member->value, '\\', member->value_length) != NULL)
        return false;
    memcpy(out, member->value + 1, member->value_length - 2);
    out[member->value_length - 2] = '\0';
    return true;
}

static bool copy_number(const struct ledger_member *member, uint64_t *out) {
    char digits[24];
    if (member == NULL || member->value_length == 0 || member->value_length > 19)
        return false;
    memcpy(digits, member->value, member->value_length);
    digits[member->value_length] = '\0';
    if (strspn(digits, "0123456789") != member->value_length)
        return false;
    *out = strtoull(digits, NULL, 10);
    return true;
}

static json_t *parse(const struct ledger_record *record, struct arena **arena) {
    struct error ignored;
    *arena = arena_new(LEDGER_LINE_MAX * 4);
    return *arena == NULL ? NULL : json_parse(*arena, record->json, record->length, &ignored);
}

bool ledger_record_text(const struct ledger_record *record, const char *name, char *out, size_t size) {
    if (record->member_count > 0)
        return copy_text(find_member(record->members, record->member_count, name), out, size);
    struct arena *arena;
    const char *text = json_string_value(json_object_get(parse(record, &arena), name));
    bool is_there = text != NULL && strlen(text) < size;
    if (is_there)
        strcpy(out, text);
    arena_free(arena);
    return is_there;
}

bool ledger_record_number(const struct ledger_record *record, const char *name, uint64_t *out) {
    if (record->member_count > 0)
        return copy_number(find_member(record->members, record->member_count, name), out);
    struct arena *arena;
    const json_t *number = json_object_get(parse(record, &arena), name);
    bool is_there = json_is_integer(number) && json_integer_value(number) >= 0;
    if (is_there)
        *out = (uint64_t)json_integer_value(number);
    arena_free(arena);
    return is_there;
}

int ledger_record_flag(const struct ledger_record *record, const char *name) {
    if (record->member_count > 0) {
        const struct ledger_member *found = find_member(record->members, record->member_count, name);
        if (found != NULL && found->value_length == 4 && memcmp(found->value, "true", 4) == 0)
            return 1;
        return found != NULL && found->value_length == 5 && memcmp(found->value, "false", 5) == 0 ? 0 : -1;
    }
    struct arena *arena;
    const json_t *flag = json_object_get(parse(record, &arena), name);
    int value = json_is_boolean(flag) ? json_is_true(flag) : -1;
    arena_free(arena);
    return value;
}

/* --- walking --- */

#define TYPE_MAX 32

struct segment_walk {
    const struct ledger_scan *scan;
    struct ledger_walk *walk;
    const char *path;
    bool is_last, is_first_of_walk;
    struct error *error;
};

/* The first record of a segment carries the hash that its chain begins with, so a walk may begin at any
 * segment. */
static bool begin_segment(struct segment_walk *segment, const char *line, size_t length) {
    struct ledger_walk *walk = segment->walk;
    struct arena *arena = arena_new(LEDGER_LINE_MAX * 2);
    uint8_t previous[LEDGER_HASH_BYTES] = {0};
    struct error ignored;
    const json_t *record = length > 65 ? json_parse(arena, line + 65, length - 65, &ignored) : NULL;
    const char *type = json_string_value(json_object_get(record, "type"));
    const char *before = json_string_value(json_object_get(record, "previous"));
    const char *id = json_string_value(json_object_get(record, "ledger")),
               *host = json_string_value(json_object_get(record, "host"));
    const json_int_t format = json_integer_value(json_object_get(record, "format"));
    bool is_genesis = type != NULL && strcmp(type, "genesis") == 0;
    bool is_header = id != NULL && host != NULL &&
                     (is_genesis || (type != NULL && strcmp(type, "segment") == 0 && before != NULL &&
                                     hex_decode(before, previous, sizeof previous)));
    if (is_header) {
        snprintf(walk->ledger_id, sizeof walk->ledger_id, "%s", id);
        snprintf(walk->host, sizeof walk->host, "%s", host);
        if (segment->is_first_of_walk) {
            memcpy(walk->last_hash, previous, sizeof previous);
            walk->last_sequence = (uint64_t)json_integer_value(json_object_get(record, "seq")) - 1;
        }
    }
    arena_free(arena);
    if (!is_header)
        return error_set(segment->error, ERROR_INVALID, "the segment does not begin with its header");
    return format <= LEDGER_FORMAT ||
           error_set(
               segment->error, ERROR_INVALID,
               "the ledger has format %lld and this originca knows formats up to %d: a newer one wrote it; "
               "use that one",
               (long long)format, LEDGER_FORMAT);
}

/* Sequences count up by one; an accepted loss may skip some. */
static bool check_sequence(struct ledger_walk *walk, const struct ledger_record *record,
                           struct error *error) {
    bool may_skip = strcmp(record->type, "loss-confirmed") == 0;
    if (record->sequence != walk->last_sequence + 1 && !(may_skip && record->sequence > walk->last_sequence))
        return error_set(error, ERROR_INVALID, "record %llu follows record %llu",
                         (unsigned long long)record->sequence, (unsigned long long)walk->last_sequence);
    return true;
}

static int64_t time_of(const char *text) {
    time_t when;
    if (!time_parse(text, &when))
        return 0;
    const char *dot = strchr(text, '.');
    return (int64_t)when * 1000 + (dot == NULL ? 0 : atoi(dot + 1));
}

/* The hash that is written there against that of `previous` and the record, for which the line's own bytes
 * are used: the record follows. */
static bool check_hash(char *line, size_t length, const uint8_t previous[LEDGER_HASH_BYTES],
                       uint8_t hash[LEDGER_HASH_BYTES], struct error *error) {
    char expected[2 * LEDGER_HASH_BYTES + 1], found[2 * LEDGER_HASH_BYTES];
    if (length < 2 * LEDGER_HASH_BYTES + 3 || line[2 * LEDGER_HASH_BYTES] != ' ')
        return error_set(error, ERROR_INVALID, "not of the form \"<hash> <record>\"");
    memcpy(found, line, sizeof found);
    memcpy(line + LEDGER_HASH_BYTES + 1, previous, LEDGER_HASH_BYTES);
    sha256(line + LEDGER_HASH_BYTES + 1, length - LEDGER_HASH_BYTES - 1, hash);
    hex_encode(hash, LEDGER_HASH_BYTES, expected);
    return memcmp(found, expected, sizeof found) == 0 ||
           error_set(error, ERROR_INVALID,
                     "the hash does not continue the chain: the record or one before it was changed");
}

/* Sequence, time and type. Parsed in full where that was asked for or the text is not in the usual form. */
static bool read_head(struct segment_walk *segment, struct ledger_record *record, char type[TYPE_MAX],
                      struct ledger_member members[MEMBERS_MAX]) {
    char when[40];
    record->type = type;
    record->members = members;
    record->member_count = segment->scan->parses ? 0 : split(record->json, record->length, members);
    size_t count = record->member_count;
    if (copy_number(find_member(members, count, "seq"), &record->sequence) &&
        copy_text(find_member(members, count, "time"), when, sizeof when) &&
        copy_text(find_member(members, count, "type"), type, TYPE_MAX)) {
        record->time_ms = time_of(when);
        return true;
    }
    record->member_count = 0;
    struct arena *arena;
    const json_t *json = parse(record, &arena), *sequence = json_object_get(json, "seq");
    const char *type_text = json_string_value(json_object_get(json, "type")),
               *time_text = json_string_value(json_object_get(json, "time"));
    bool has_head = json_is_integer(sequence) && type_text != NULL && time_text != NULL;
    if (has_head) {
        record->sequence = (uint64_t)json_integer_value(sequence);
        record->time_ms = time_of(time_text);
        snprintf(type, TYPE_MAX, "%s", type_text);
    }
    arena_free(arena);
    return has_head || error_set(segment->error, ERROR_INVALID, "the record lacks seq, time or type");
}

static bool take_line(struct segment_walk *segment, char *line, size_t length, uint64_t offset) {
    struct ledger_walk *walk = segment->walk;
    uint8_t hash[LEDGER_HASH_BYTES];
    char type[TYPE_MAX];
    struct ledger_member members[MEMBERS_MAX];
    if (offset == 0 && !begin_segment(segment, line, length))
        return false;
    struct ledger_record record = {.offset = offset, .hash = hash};
    if (!check_hash(line, length, walk->last_hash, hash, segment->error))
        return false;
    record.json = line + 2 * LEDGER_HASH_BYTES + 1;
    record.length = length - 2 * LEDGER_HASH_BYTES - 1;
    if (!read_head(segment, &record, type, members) || !check_sequence(walk, &record, segment->error) ||
        (segment->scan->visit != NULL &&
         !segment->scan->visit(segment->scan->context, &record, segment->error)))
        return false;
    memcpy(walk->last_hash, hash, sizeof hash);
    walk->last_sequence = record.sequence;
    walk->last_time_ms = record.time_ms;
    walk->last_line = offset;
    walk->records++;
    return true;
}

/* A crash leaves a beginning of what was written. A record that is whole but for its newline, with another
 * byte in the newline's place, is something else: somebody or something changed it. */
static bool has_changed_end(const struct ledger_walk *walk, const char *line, size_t length) {
    uint8_t hash[LEDGER_HASH_BYTES];
    struct error ignored;
    struct arena *arena = arena_new(LEDGER_LINE_MAX * 4);
    bool is_changed =
        arena != NULL && ledger_parse_line(arena, line, length - 1, walk->last_hash, hash, &ignored) != NULL;
    arena_free(arena);
    return is_changed;
}

static bool is_cancelled(const struct ledger_scan *scan) {
    return scan->is_cancelled != NULL && atomic_load_explicit(scan->is_cancelled, memory_order_relaxed);
}

/* A line without newline at the very end of the very last segment is a write that a crash cut short. It was
 * never acknowledged: acknowledging waits for the sync of the whole line. */
static bool walk_lines(struct segment_walk *segment, FILE *file, uint64_t offset) {
    const struct ledger_scan *scan = segment->scan;
    uint64_t until = segment->is_last && scan->until != NULL ? scan->until->offset : UINT64_MAX;
    uint64_t first = offset, number = 0;
    char *line = NULL;
    size_t capacity = 0;
    bool is_good = true;
    segment->walk->torn_bytes = 0;
    for (ssize_t length; offset < until && (length = getline(&line, &capacity, file)) > 0;) {
        number++;
        bool is_ended = line[length - 1] == '\n', is_short = (size_t)length <= LEDGER_LINE_MAX;
        is_good = is_ended && is_short && take_line(segment, line, (size_t)length - 1, offset);
        if (is_good) {
            offset += (uint64_t)length;
            if (scan->bytes_read != NULL)
                atomic_fetch_add_explicit(scan->bytes_read, (uint64_t)length, memory_order_relaxed);
            if (is_cancelled(scan))
                break;
            continue;
        }
        /* without a newline this is the end of the file */
        if (segment->is_last && !is_ended && !has_changed_end(segment->walk, line, (size_t)length)) {
            segment->walk->torn_bytes = (uint64_t)length;
            is_good = true;
            break;
        }
        if (!is_ended || !is_short)
            error_set(segment->error, ERROR_INVALID,
                      is_ended ? "a line is too long" : "a line is not finished");
        if (first == 0)
            error_prefix(segment->error, "%s, line %llu", segment->path, (unsigned long long)number);
        else
            error_prefix(segment->error, "%s, the line at byte %llu", segment->path,
                         (unsigned long long)offset);
        break;
    }
    free(line);
    segment->walk->last_size = offset;
    return is_good;
}

/* Goes on behind a record that the caller knows: is it there? */
static bool take_start(struct segment_walk *segment, FILE *file) {
    const struct ledger_position *start = segment->scan->start;
    struct ledger_walk *walk = segment->walk;
    char expected[2 * LEDGER_HASH_BYTES + 1], found[2 * LEDGER_HASH_BYTES], end;
    hex_encode(start->hash, LEDGER_HASH_BYTES, expected);
    bool is_there = start->line < start->offset && fseeko(file, (off_t)start->line, SEEK_SET) == 0 &&
                    fread(found, sizeof found, 1, file) == 1 && memcmp(found, expected, sizeof found) == 0 &&
                    fseeko(file, (off_t)start->offset - 1, SEEK_SET) == 0 && fread(&end, 1, 1, file) == 1 &&
                    end == '\n';
    if (!is_there)
        return error_set(segment->error, ERROR_INVALID, "%s does not hold record %llu where it was",
                         segment->path, (unsigned long long)start->sequence);
    snprintf(walk->ledger_id, sizeof walk->ledger_id, "%s", start->ledger_id);
    snprintf(walk->host, sizeof walk->host, "%s", start->host);
    memcpy(walk->last_hash, start->hash, sizeof walk->last_hash);
    walk->last_sequence = start->sequence;
    walk->last_time_ms = start->time_ms;
    walk->last_line = start->line;
    return true;
}

static bool walk_segment(struct segment_walk *segment) {
    FILE *file = fopen(segment->path, "re");
    if (file == NULL)
        return error_set(segment->error, ERROR_UNAVAILABLE, "cannot read %s: %m", segment->path);
    bool has_start = segment->is_first_of_walk && segment->scan->start != NULL;
    snprintf(segment->walk->last_path, sizeof segment->walk->last_path, "%s", segment->path);
    bool is_good = (!has_start || take_start(segment, file)) &&
                   walk_lines(segment, file, has_start ? segment->scan->start->offset : 0);
    fclose(file);
    if (is_good)
        segment->walk->segments++;
    return is_good;
}

bool ledger_scan(const struct ledger_scan *scan, struct ledger_walk *walk, struct error *error) {
    memset(walk, 0, sizeof *walk);
    for (int i = scan->from; i < scan->count; i++) {
        struct segment_walk segment = {.scan = scan,
                                       .walk = walk,
                                       .path = scan->segments[i],
                                       .is_last = i == scan->count - 1,
                                       .is_first_of_walk = i == scan->from,
                                       .error = error};
        if (!walk_segment(&segment))
            return false;
        if (is_cancelled(scan))
            return error_set(error, ERROR_UNAVAILABLE, "the walk was ended");
    }
    const struct ledger_position *until = scan->until;
    if (until != NULL && (walk->last_size != until->offset || walk->last_sequence != until->sequence ||
                          memcmp(walk->last_hash, until->hash, LEDGER_HASH_BYTES) != 0))
        return error_set(error, ERROR_INVALID, "%s does not lead to record %llu, with which the signer began",
                         walk->last_path, (unsigned long long)until->sequence);
    return true;
}

struct parsing {
    bool (*visit)(void *context, const json_t *record, uint64_t offset, struct error *error);
    void *context;
};

static bool show_parsed(void *context, const struct ledger_record *record, struct error *error) {
    const struct parsing *parsing = context;
    struct arena *arena = arena_new(LEDGER_LINE_MAX * 4);
    const json_t *json = arena == NULL ? NULL : json_parse(arena, record->json, record->length, error);
    bool is_good = json != NULL && parsing->visit(parsing->context, json, record->offset, error);
    arena_free(arena);
    return is_good;
}

bool ledger_walk(char **segments, int from, int count, struct ledger_walk *walk,
                 bool (*visit)(void *context, const json_t *record, uint64_t offset, struct error *error),
                 void *context, struct error *error) {
    struct parsing parsing = {visit, context};
    const struct ledger_scan scan = {.segments = segments,
                                     .from = from,
                                     .count = count,
                                     .parses = true,
                                     .visit = visit == NULL ? NULL : show_parsed,
                                     .context = &parsing};
    return ledger_scan(&scan, walk, error);
}
