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

struct segment_walk {
    struct ledger_walk *walk;
    const char *path;
    bool is_last, is_first_of_walk;
    bool (*visit)(void *context, const json_t *record, uint64_t offset, struct error *error);
    void *context;
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
    return is_header ||
           error_set(segment->error, ERROR_INVALID, "the segment does not begin with its header");
}

/* Sequences count up by one; an accepted loss may skip some. */
static bool check_sequence(struct ledger_walk *walk, const json_t *record, struct error *error) {
    uint64_t sequence = (uint64_t)json_integer_value(json_object_get(record, "seq"));
    bool may_skip = strcmp(json_string_value(json_object_get(record, "type")), "loss-confirmed") == 0;
    if (sequence != walk->last_sequence + 1 && !(may_skip && sequence > walk->last_sequence))
        return error_set(error, ERROR_INVALID, "record %llu follows record %llu",
                         (unsigned long long)sequence, (unsigned long long)walk->last_sequence);
    walk->last_sequence = sequence;
    return true;
}

static int64_t time_of(const json_t *record) {
    time_t when;
    const char *text = json_string_value(json_object_get(record, "time"));
    if (text == NULL || !time_parse(text, &when))
        return 0;
    const char *dot = strchr(text, '.');
    return (int64_t)when * 1000 + (dot == NULL ? 0 : atoi(dot + 1));
}

static bool take_line(struct segment_walk *segment, const char *line, size_t length, uint64_t offset) {
    struct ledger_walk *walk = segment->walk;
    uint8_t hash[LEDGER_HASH_BYTES];
    if (offset == 0 && !begin_segment(segment, line, length))
        return false;
    struct arena *arena = arena_new(LEDGER_LINE_MAX * 4);
    const json_t *record =
        arena == NULL ? NULL : ledger_parse_line(arena, line, length, walk->last_hash, hash, segment->error);
    bool is_good =
        record != NULL && check_sequence(walk, record, segment->error) &&
        (segment->visit == NULL || segment->visit(segment->context, record, offset, segment->error));
    if (is_good) {
        memcpy(walk->last_hash, hash, sizeof hash);
        walk->last_time_ms = time_of(record);
        walk->records++;
    }
    arena_free(arena);
    return is_good;
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

/* A line without newline at the very end of the very last segment is a write that a crash cut short. It was
 * never acknowledged: acknowledging waits for the sync of the whole line. */
static bool walk_segment(struct segment_walk *segment, FILE *file) {
    char *line = NULL;
    size_t capacity = 0;
    uint64_t offset = 0, number = 0;
    bool is_good = true;
    segment->walk->torn_bytes = 0;
    for (ssize_t length; (length = getline(&line, &capacity, file)) > 0;) {
        number++;
        bool is_ended = line[length - 1] == '\n', is_short = (size_t)length <= LEDGER_LINE_MAX;
        is_good = is_ended && is_short && take_line(segment, line, (size_t)length - 1, offset);
        if (is_good) {
            offset += (uint64_t)length;
            continue;
        }
        /* without a newline this is the end of the file */
        if (segment->is_last && !is_ended && !has_changed_end(segment->walk, line, (size_t)length)) {
            segment->walk->torn_bytes = (uint64_t)length;
            is_good = true;
        } else {
            if (!is_ended || !is_short)
                error_set(segment->error, ERROR_INVALID,
                          is_ended ? "a line is too long" : "a line is not finished");
            error_prefix(segment->error, "%s, line %llu", segment->path, (unsigned long long)number);
        }
        break;
    }
    free(line);
    segment->walk->last_size = offset;
    return is_good;
}

bool ledger_walk(char **segments, int from, int count, struct ledger_walk *walk,
                 bool (*visit)(void *context, const json_t *record, uint64_t offset, struct error *error),
                 void *context, struct error *error) {
    memset(walk, 0, sizeof *walk);
    for (int i = from; i < count; i++) {
        struct segment_walk segment = {.walk = walk,
                                       .path = segments[i],
                                       .is_last = i == count - 1,
                                       .is_first_of_walk = i == from,
                                       .visit = visit,
                                       .context = context,
                                       .error = error};
        FILE *file = fopen(segments[i], "re");
        if (file == NULL)
            return error_set(error, ERROR_UNAVAILABLE, "cannot read %s: %m", segments[i]);
        snprintf(walk->last_path, sizeof walk->last_path, "%s", segments[i]);
        bool is_good = walk_segment(&segment, file);
        fclose(file);
        if (!is_good)
            return false;
        walk->segments++;
    }
    return true;
}
