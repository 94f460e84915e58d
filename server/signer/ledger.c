/* Writing the ledger. Records are gathered in memory and reach the file in one write before each sync; a
 * record counts only after ledger_sync has returned true. */
#include "ledger.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "originca/json.h"
#include "originca/log.h"

#define INDEX_EVERY 32 /* records between two remembered offsets */

struct place {
    uint64_t sequence, offset;
};

struct ledger {
    char *directory, *path;
    int lock_fd, fd;
    uint32_t segment_bytes;
    struct ledger_walk at; /* last sequence, hash, id, host, time */
    uint64_t size;         /* of the file, with what waits */
    char *waiting;
    size_t waiting_length, waiting_capacity;
    uint64_t skip_to;
    struct place *index;
    size_t index_count, index_capacity;
    bool is_broken;
};

static bool out_of_memory(struct error *error) {
    return error_set(error, ERROR_INTERNAL, "out of memory");
}

static bool add_to_index(struct ledger *ledger, uint64_t sequence, uint64_t offset) {
    if (ledger->index_count > 0 && sequence < ledger->index[ledger->index_count - 1].sequence + INDEX_EVERY)
        return true;
    if (ledger->index_count == ledger->index_capacity) {
        size_t capacity = ledger->index_capacity == 0 ? 256 : ledger->index_capacity * 2;
        struct place *larger = realloc(ledger->index, capacity * sizeof *larger);
        if (larger == NULL)
            return false;
        ledger->index = larger;
        ledger->index_capacity = capacity;
    }
    ledger->index[ledger->index_count++] = (struct place){sequence, offset};
    return true;
}

static void format_time_ms(int64_t when_ms, char out[40]) {
    char seconds[TIME_TEXT_MAX];
    time_format((time_t)(when_ms / 1000), seconds);
    snprintf(out, 40, "%.19s.%03dZ", seconds, (int)(when_ms % 1000));
}

static bool add_waiting(struct ledger *ledger, const char *bytes, size_t length) {
    if (ledger->waiting_length + length > ledger->waiting_capacity) {
        size_t capacity = (ledger->waiting_length + length) * 2;
        char *larger = realloc(ledger->waiting, capacity);
        if (larger == NULL)
            return false;
        ledger->waiting = larger;
        ledger->waiting_capacity = capacity;
    }
    memcpy(ledger->waiting + ledger->waiting_length, bytes, length);
    ledger->waiting_length += length;
    ledger->size += length;
    return true;
}

/* Chains and queues one line. */
static bool append_text(struct ledger *ledger, const char *json, uint64_t sequence, struct error *error) {
    size_t length = strlen(json);
    uint8_t *chained = malloc(LEDGER_HASH_BYTES + length);
    char *line = malloc(2 * LEDGER_HASH_BYTES + 1 + length + 2);
    uint8_t hash[LEDGER_HASH_BYTES];
    uint64_t offset = ledger->size;
    bool is_queued = false;
    if (chained != NULL && line != NULL) {
        memcpy(chained, ledger->at.last_hash, LEDGER_HASH_BYTES);
        memcpy(chained + LEDGER_HASH_BYTES, json, length);
        sha256(chained, LEDGER_HASH_BYTES + length, hash);
        hex_encode(hash, sizeof hash, line);
        line[2 * LEDGER_HASH_BYTES] = ' ';
        memcpy(line + 2 * LEDGER_HASH_BYTES + 1, json, length);
        line[2 * LEDGER_HASH_BYTES + 1 + length] = '\n';
        is_queued = add_waiting(ledger, line, 2 * LEDGER_HASH_BYTES + length + 2) &&
                    add_to_index(ledger, sequence, offset);
    }
    free(chained);
    free(line);
    if (!is_queued) {
        ledger->is_broken = true;
        return out_of_memory(error);
    }
    memcpy(ledger->at.last_hash, hash, sizeof hash);
    ledger->at.last_sequence = sequence;
    return true;
}

bool ledger_append(struct ledger *ledger, const char *type, const json_t *fields, uint64_t *sequence,
                   struct error *error) {
    char when[40];
    if (ledger->is_broken)
        return error_set(error, ERROR_UNAVAILABLE, "the ledger cannot be written");
    uint64_t next =
        ledger->at.last_sequence + 1 > ledger->skip_to ? ledger->at.last_sequence + 1 : ledger->skip_to;
    int64_t now = clock_wall_ms();
    format_time_ms(now, when);
    json_t *record = json_pack("{s:I, s:s, s:s}", "seq", (json_int_t)next, "time", when, "type", type);
    char *text = NULL;
    if (record != NULL && (fields == NULL || json_object_update(record, (json_t *)(uintptr_t)fields) == 0))
        text = json_dumps(record, JSON_COMPACT);
    json_decref(record);
    bool is_queued = false;
    if (text == NULL)
        out_of_memory(error);
    else if (2 * LEDGER_HASH_BYTES + 2 + strlen(text) > LEDGER_LINE_MAX)
        error_set(error, ERROR_INVALID, "the record is longer than a line of the ledger may be");
    else
        is_queued = append_text(ledger, text, next, error);
    free(text);
    if (is_queued) {
        ledger->at.last_time_ms = now;
        if (sequence != NULL)
            *sequence = next;
    }
    return is_queued;
}

void ledger_skip_to(struct ledger *ledger, uint64_t sequence) {
    ledger->skip_to = sequence;
}

/* A file that was moved or removed under us still takes writes, but nobody would ever find them. */
static bool is_in_its_place(const struct ledger *ledger) {
    struct stat ours, named;
    return fstat(ledger->fd, &ours) == 0 && stat(ledger->path, &named) == 0 && ours.st_dev == named.st_dev &&
           ours.st_ino == named.st_ino;
}

bool ledger_sync(struct ledger *ledger, struct error *error) {
    if (ledger->is_broken)
        return error_set(error, ERROR_UNAVAILABLE, "the ledger cannot be written");
    if (ledger->waiting_length > 0 && !is_in_its_place(ledger)) {
        ledger->is_broken = true;
        return error_set(error, ERROR_UNAVAILABLE, "the ledger %s is not in its place any more: restore it",
                         ledger->path);
    }
    for (size_t done = 0; done < ledger->waiting_length;) {
        ssize_t written = write(ledger->fd, ledger->waiting + done, ledger->waiting_length - done);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0) {
            ledger->is_broken = true;
            return error_set(error, ERROR_UNAVAILABLE, "the ledger %s cannot be written: %m", ledger->path);
        }
        done += (size_t)written;
    }
    if (ledger->waiting_length > 0 && fdatasync(ledger->fd) != 0) {
        ledger->is_broken = true;
        return error_set(error, ERROR_UNAVAILABLE, "the ledger %s cannot be synced: %m", ledger->path);
    }
    ledger->waiting_length = 0;
    return true;
}

static bool sync_directory(const char *directory) {
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool is_synced = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0)
        close(fd);
    return is_synced;
}

/* A new file with its header record, durable together with its name. */
static bool begin_segment(struct ledger *ledger, const char *type, json_t *header, struct error *error) {
    char *path;
    bool is_begun = false;
    if (header == NULL || asprintf(&path, "%s/ledger-%020llu.jsonl", ledger->directory,
                                   (unsigned long long)ledger->at.last_sequence + 1) < 0) {
        json_decref(header);
        return out_of_memory(error);
    }
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        error_set(error, ERROR_UNAVAILABLE, "cannot make the ledger file %s: %m", path);
        free(path);
    } else {
        if (ledger->fd >= 0)
            close(ledger->fd);
        ledger->fd = fd;
        free(ledger->path);
        ledger->path = path;
        ledger->size = 0;
        ledger->index_count = 0;
        is_begun = ledger_append(ledger, type, header, NULL, error) && ledger_sync(ledger, error) &&
                   (sync_directory(ledger->directory) ||
                    error_set(error, ERROR_UNAVAILABLE, "cannot sync %s: %m", ledger->directory));
    }
    json_decref(header);
    return is_begun;
}

bool ledger_rotate_if_full(struct ledger *ledger, const json_t *state, struct error *error) {
    if (ledger->size < ledger->segment_bytes)
        return true;
    char previous[2 * LEDGER_HASH_BYTES + 1];
    hex_encode(ledger->at.last_hash, LEDGER_HASH_BYTES, previous);
    json_t *header = json_pack("{s:s, s:s, s:s}", "ledger", ledger->at.ledger_id, "host", ledger->at.host,
                               "previous", previous);
    if (header != NULL && state != NULL)
        json_object_update(header, (json_t *)(uintptr_t)state);
    return begin_segment(ledger, "segment", header, error);
}

static bool begin_ledger(struct ledger *ledger, const char *host, struct error *error) {
    uint8_t id[16];
    char created[TIME_TEXT_MAX];
    random_bytes(id, sizeof id);
    hex_encode(id, sizeof id, ledger->at.ledger_id);
    snprintf(ledger->at.host, sizeof ledger->at.host, "%s", host);
    time_format((time_t)(clock_wall_ms() / 1000), created);
    return begin_segment(
        ledger, "genesis",
        json_pack("{s:s, s:s, s:s}", "ledger", ledger->at.ledger_id, "host", host, "created", created),
        error);
}

struct opening {
    struct ledger *ledger;
    bool (*visit)(void *context, const json_t *record, struct error *error);
    void *context;
};

static bool visit_record(void *context, const json_t *record, uint64_t offset, struct error *error) {
    struct opening *opening = context;
    uint64_t sequence = (uint64_t)json_integer_value(json_object_get(record, "seq"));
    if (!add_to_index(opening->ledger, sequence, offset))
        return out_of_memory(error);
    return opening->visit == NULL || opening->visit(opening->context, record, error);
}

static bool open_last_segment(struct ledger *ledger, char **segments, int count, struct opening *opening,
                              struct error *error) {
    if (!ledger_walk(segments, count - 1, count, &ledger->at, visit_record, opening, error))
        return false;
    if (ledger->at.records == 0)
        return error_set(error, ERROR_INVALID,
                         "%s holds no whole record; restore it or, if it is new, remove it",
                         segments[count - 1]);
    ledger->path = strdup(segments[count - 1]);
    ledger->fd = open(segments[count - 1], O_WRONLY | O_APPEND | O_CLOEXEC);
    if (ledger->path == NULL || ledger->fd < 0)
        return error_set(error, ERROR_UNAVAILABLE, "cannot write %s: %m", segments[count - 1]);
    ledger->size = ledger->at.last_size;
    if (ledger->at.torn_bytes == 0)
        return true;
    log_event(LOG_LEVEL_WARNING, "cutting off a record that a crash left unfinished", "file", ledger->path,
              NULL);
    return (ftruncate(ledger->fd, (off_t)ledger->at.last_size) == 0 && fdatasync(ledger->fd) == 0) ||
           error_set(error, ERROR_UNAVAILABLE, "cannot cut %s: %m", ledger->path);
}

/* True also where it cannot be told. */
static bool has_whole_line(const char *path) {
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return true;
    int c;
    while ((c = fgetc(file)) != EOF && c != '\n') {
    }
    bool has_line = c == '\n' || ferror(file) != 0;
    fclose(file);
    return has_line;
}

/* A crash or a full disk while a segment was begun leaves an empty file or a piece of its header: nothing in
 * it was ever acknowledged. */
static int drop_unbegun_segment(char **segments, int count) {
    if (count > 1 && !has_whole_line(segments[count - 1]) && unlink(segments[count - 1]) == 0) {
        free(segments[count - 1]);
        return count - 1;
    }
    return count;
}

static bool take_lock(struct ledger *ledger, struct error *error) {
    char *path;
    if (asprintf(&path, "%s/lock", ledger->directory) < 0)
        return out_of_memory(error);
    ledger->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    free(path);
    if (ledger->lock_fd < 0)
        return error_set(error, ERROR_UNAVAILABLE, "cannot lock the ledger directory %s: %m",
                         ledger->directory);
    if (flock(ledger->lock_fd, LOCK_EX | LOCK_NB) != 0)
        return error_set(error, ERROR_CONFLICT, "another signer writes the ledger in %s", ledger->directory);
    return true;
}

struct ledger *ledger_open(const char *directory, const char *host, uint32_t segment_bytes, bool may_begin,
                           bool (*visit)(void *context, const json_t *record, struct error *error),
                           void *context, struct error *error) {
    struct ledger *ledger = calloc(1, sizeof *ledger);
    char **segments = NULL;
    int count = 0;
    bool is_open = false;
    if (ledger == NULL || (ledger->directory = strdup(directory)) == NULL) {
        free(ledger);
        out_of_memory(error);
        return NULL;
    }
    ledger->fd = ledger->lock_fd = -1;
    ledger->segment_bytes = segment_bytes;
    struct opening opening = {ledger, visit, context};
    if (take_lock(ledger, error) && (count = ledger_list_segments(directory, &segments, error)) >= 0) {
        count = drop_unbegun_segment(segments, count);
        if (count > 0)
            is_open = open_last_segment(ledger, segments, count, &opening, error);
        else if (may_begin)
            is_open = begin_ledger(ledger, host, error);
        else
            error_set(error, ERROR_INVALID, "there is no ledger in %s; `originca-server ca init` begins one",
                      directory);
    }
    ledger_free_segments(segments, count > 0 ? count : 0);
    if (is_open && strcmp(ledger->at.host, host) != 0)
        is_open = error_set(error, ERROR_INVALID,
                            "the ledger in %s belongs to host \"%s\", not \"%s\" (signer.host_name)",
                            directory, ledger->at.host, host);
    if (is_open)
        return ledger;
    ledger_close(ledger);
    return NULL;
}

void ledger_close(struct ledger *ledger) {
    if (ledger == NULL)
        return;
    if (ledger->fd >= 0)
        close(ledger->fd);
    if (ledger->lock_fd >= 0)
        close(ledger->lock_fd);
    free(ledger->directory);
    free(ledger->path);
    free(ledger->waiting);
    free(ledger->index);
    free(ledger);
}

uint64_t ledger_last_sequence(const struct ledger *ledger) {
    return ledger->at.last_sequence;
}

const char *ledger_id(const struct ledger *ledger) {
    return ledger->at.ledger_id;
}

int64_t ledger_last_time_ms(const struct ledger *ledger) {
    return ledger->at.last_time_ms;
}

/* --- reading back --- */

static uint64_t sequence_of_path(const char *path) {
    const char *name = strrchr(path, '/');
    return strtoull(name + 8, NULL, 10);
}

static uint64_t find_offset(const struct ledger *ledger, uint64_t from) {
    uint64_t offset = 0;
    for (size_t low = 0, high = ledger->index_count; low < high;) {
        size_t middle = low + (high - low) / 2;
        if (ledger->index[middle].sequence <= from) {
            offset = ledger->index[middle].offset;
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return offset;
}

struct reading {
    struct text text;
    uint64_t from;
    uint32_t left;
    size_t max_bytes;
};

/* False when enough was read. The chain was checked when the segment was opened or written. */
static bool read_lines(struct reading *reading, FILE *file) {
    char *line = NULL;
    size_t capacity = 0;
    bool wants_more = true;
    for (ssize_t length; wants_more && (length = getline(&line, &capacity, file)) > 0;) {
        unsigned long long sequence;
        if (line[length - 1] != '\n' || length < 80 || sscanf(line + 65, "{\"seq\":%llu", &sequence) != 1)
            break;
        if (sequence < reading->from)
            continue;
        if (reading->text.length > 1 && reading->text.length + (size_t)length > reading->max_bytes) {
            wants_more = false;
            break;
        }
        text_append(&reading->text, reading->text.length > 1 ? "," : "");
        text_append_bytes(&reading->text, line + 65, (size_t)length - 66);
        wants_more = --reading->left > 0;
    }
    free(line);
    return wants_more;
}

char *ledger_read(struct ledger *ledger, struct arena *arena, uint64_t from, uint32_t max, size_t max_bytes,
                  struct error *error) {
    struct reading reading = {.from = from, .left = max, .max_bytes = max_bytes};
    char **segments;
    int count = ledger_list_segments(ledger->directory, &segments, error);
    text_init(&reading.text, arena);
    text_append(&reading.text, "[");
    if (count < 0)
        return NULL;
    int first = 0;
    while (first + 1 < count && sequence_of_path(segments[first + 1]) <= from)
        first++;
    bool wants_more = max > 0;
    for (int i = first; i < count && wants_more; i++) {
        FILE *file = fopen(segments[i], "re");
        if (file == NULL)
            break;
        bool is_current = i == count - 1;
        if (!is_current || fseek(file, (long)find_offset(ledger, from), SEEK_SET) == 0)
            wants_more = read_lines(&reading, file);
        fclose(file);
    }
    ledger_free_segments(segments, count);
    text_append(&reading.text, "]");
    if (reading.text.failed)
        error_set(error, ERROR_INTERNAL, "out of memory");
    return reading.text.failed ? NULL : reading.text.data;
}
