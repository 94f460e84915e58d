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
#include "state_file.h"

#define INDEX_EVERY 64 /* records between two remembered places */

struct place {
    uint64_t sequence, segment, offset; /* of a line; a segment is named by its first sequence */
};

struct ledger {
    char *directory, *path;
    int lock_fd, fd;
    uint32_t segment_bytes;
    struct ledger_walk at; /* last sequence, hash, id, host, time */
    uint64_t size;         /* of the file, with what waits */
    /* What the file must look like before the next write: its size, and the hash at the beginning of its last
     * line. */
    uint64_t written_size, written_line;
    uint8_t written_hash[LEDGER_HASH_BYTES];
    char *waiting;
    size_t waiting_length, waiting_capacity;
    uint64_t skip_to;
    struct place *index; /* by sequence: of what was written or read back so far, not of all */
    size_t index_count, index_capacity;
    /* Where the last reader stopped, so that the next one goes on there: replays read from end to end. */
    struct {
        uint64_t segment, sequence, offset;
    } cursor;
    struct {
        uint64_t sequence;
        uint8_t hash[LEDGER_HASH_BYTES];
    } found; /* the last hash that a file was searched for */
    bool is_broken;
};

static bool out_of_memory(struct error *error) {
    return error_set(error, ERROR_INTERNAL, "out of memory");
}

/* How many places are at or before the sequence. */
static size_t count_places(const struct ledger *ledger, uint64_t sequence) {
    size_t low = 0;
    for (size_t high = ledger->index_count; low < high;) {
        size_t middle = low + (high - low) / 2;
        if (ledger->index[middle].sequence <= sequence)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool add_to_index(struct ledger *ledger, uint64_t sequence, uint64_t segment, uint64_t offset) {
    size_t at = count_places(ledger, sequence), count = ledger->index_count;
    if ((at > 0 && ledger->index[at - 1].sequence + INDEX_EVERY > sequence) ||
        (at < count && sequence + INDEX_EVERY > ledger->index[at].sequence))
        return true;
    if (count == ledger->index_capacity) {
        size_t capacity = ledger->index_capacity == 0 ? 256 : ledger->index_capacity * 2;
        struct place *larger = realloc(ledger->index, capacity * sizeof *larger);
        if (larger == NULL)
            return false;
        ledger->index = larger;
        ledger->index_capacity = capacity;
    }
    memmove(ledger->index + at + 1, ledger->index + at, (count - at) * sizeof *ledger->index);
    ledger->index[at] = (struct place){sequence, segment, offset};
    ledger->index_count++;
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
                    add_to_index(ledger, sequence, ledger_sequence_of_path(ledger->path), offset);
    }
    free(chained);
    free(line);
    if (!is_queued) {
        ledger->is_broken = true;
        return out_of_memory(error);
    }
    memcpy(ledger->at.last_hash, hash, sizeof hash);
    ledger->at.last_sequence = sequence;
    ledger->at.last_line = offset;
    return true;
}

bool ledger_append(struct ledger *ledger, const char *type, const json_t *fields, uint64_t *sequence,
                   uint8_t hash[LEDGER_HASH_BYTES], struct error *error) {
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
        if (hash != NULL)
            memcpy(hash, ledger->at.last_hash, LEDGER_HASH_BYTES);
    }
    return is_queued;
}

void ledger_skip_to(struct ledger *ledger, uint64_t sequence) {
    ledger->skip_to = sequence;
}

static void note_written(struct ledger *ledger) {
    ledger->written_size = ledger->size;
    ledger->written_line = ledger->at.last_line;
    memcpy(ledger->written_hash, ledger->at.last_hash, LEDGER_HASH_BYTES);
}

static bool refuse_file(struct ledger *ledger, const char *what, struct error *error) {
    ledger->is_broken = true;
    return error_set(
        error, ERROR_UNAVAILABLE,
        "the ledger %s %s: somebody changed it while the signer wrote it. Restore it, then restart the "
        "server",
        ledger->path, what);
}

/* A file that was moved away still takes writes, but nobody would ever find them; one that was cut or
 * restored would get records that do not continue it. */
bool ledger_is_in_place(struct ledger *ledger, struct error *error) {
    struct stat ours, named;
    char found[2 * LEDGER_HASH_BYTES], expected[2 * LEDGER_HASH_BYTES + 1], end = '\n';
    if (fstat(ledger->fd, &ours) != 0 || stat(ledger->path, &named) != 0 || ours.st_dev != named.st_dev ||
        ours.st_ino != named.st_ino)
        return refuse_file(ledger, "is not in its place any more", error);
    if ((uint64_t)ours.st_size != ledger->written_size)
        return refuse_file(
            ledger, (uint64_t)ours.st_size < ledger->written_size ? "lost its end" : "grew by itself", error);
    if (ledger->written_size == 0)
        return true;
    hex_encode(ledger->written_hash, LEDGER_HASH_BYTES, expected);
    bool is_same =
        pread(ledger->fd, found, sizeof found, (off_t)ledger->written_line) == (ssize_t)sizeof found &&
        memcmp(found, expected, sizeof found) == 0 &&
        pread(ledger->fd, &end, 1, (off_t)ledger->written_size - 1) == 1 && end == '\n';
    return is_same || refuse_file(ledger, "does not end with its last record", error);
}

bool ledger_sync(struct ledger *ledger, struct error *error) {
    if (ledger->is_broken)
        return error_set(error, ERROR_UNAVAILABLE, "the ledger cannot be written");
    if (ledger->waiting_length == 0)
        return true;
    if (!ledger_is_in_place(ledger, error))
        return false;
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
    if (fdatasync(ledger->fd) != 0) {
        ledger->is_broken = true;
        return error_set(error, ERROR_UNAVAILABLE, "the ledger %s cannot be synced: %m", ledger->path);
    }
    ledger->waiting_length = 0;
    note_written(ledger);
    return true;
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
    int fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        error_set(error, ERROR_UNAVAILABLE, "cannot make the ledger file %s: %m", path);
        free(path);
    } else {
        if (ledger->fd >= 0)
            close(ledger->fd);
        ledger->fd = fd;
        free(ledger->path);
        ledger->path = path;
        ledger->size = ledger->written_size = 0;
        is_begun = ledger_append(ledger, type, header, NULL, NULL, error) && ledger_sync(ledger, error) &&
                   (state_file_sync_directory(ledger->directory) ||
                    error_set(error, ERROR_UNAVAILABLE, "cannot sync %s: %m", ledger->directory));
    }
    json_decref(header);
    return is_begun;
}

bool ledger_is_full(const struct ledger *ledger) {
    return ledger->size >= ledger->segment_bytes;
}

bool ledger_rotate_if_full(struct ledger *ledger, const json_t *state, struct error *error) {
    if (!ledger_is_full(ledger))
        return true;
    char previous[2 * LEDGER_HASH_BYTES + 1];
    hex_encode(ledger->at.last_hash, LEDGER_HASH_BYTES, previous);
    json_t *header = json_pack("{s:i, s:s, s:s, s:s}", "format", LEDGER_FORMAT, "ledger",
                               ledger->at.ledger_id, "host", ledger->at.host, "previous", previous);
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
    return begin_segment(ledger, "genesis",
                         json_pack("{s:i, s:s, s:s, s:s}", "format", LEDGER_FORMAT, "ledger",
                                   ledger->at.ledger_id, "host", host, "created", created),
                         error);
}

struct opening {
    struct ledger *ledger;
    const struct ledger_options *options;
    uint64_t segment; /* that is read */
};

static bool visit_record(void *context, const struct ledger_record *record, struct error *error) {
    struct opening *opening = context;
    if (record->offset == 0)
        opening->segment = record->sequence;
    if (!add_to_index(opening->ledger, record->sequence, opening->segment, record->offset))
        return out_of_memory(error);
    return opening->options->visit == NULL ||
           opening->options->visit(opening->options->context, record, error);
}

static uint64_t size_of_file(const char *path) {
    struct stat status;
    return stat(path, &status) == 0 ? (uint64_t)status.st_size : 0;
}

/* The segment to begin with; -1 where there is none of that name. */
static int find_start(const struct ledger_options *options, char **segments, int count) {
    if (options->from == NULL)
        return options->is_whole ? 0 : count - 1;
    for (int i = 0; i < count; i++)
        if (ledger_sequence_of_path(segments[i]) == options->from->segment)
            return i;
    return -1;
}

static bool read_segments(struct ledger *ledger, const struct ledger_options *options, char **segments,
                          int count, struct error *error) {
    struct opening opening = {
        .ledger = ledger, .options = options, .segment = options->from == NULL ? 0 : options->from->segment};
    int first = find_start(options, segments, count);
    if (first < 0)
        return error_set(error, ERROR_INVALID, "the ledger file of record %llu is not there",
                         (unsigned long long)options->from->segment);
    for (int i = first; options->bytes_total != NULL && i < count; i++)
        atomic_fetch_add(options->bytes_total, size_of_file(segments[i]));
    if (options->from != NULL && options->bytes_read != NULL)
        atomic_fetch_add(options->bytes_read, options->from->offset);
    const struct ledger_scan scan = {.segments = segments,
                                     .from = first,
                                     .count = count,
                                     .start = options->from,
                                     .visit = visit_record,
                                     .context = &opening,
                                     .bytes_read = options->bytes_read,
                                     .is_cancelled = options->is_cancelled};
    if (!ledger_scan(&scan, &ledger->at, error))
        return false;
    bool is_empty = ledger->at.last_size == 0;
    return !is_empty ||
           error_set(error, ERROR_INVALID, "%s holds no whole record; restore it or, if it is new, remove it",
                     segments[count - 1]);
}

static bool open_last_segment(struct ledger *ledger, const char *path, struct error *error) {
    ledger->path = strdup(path);
    ledger->fd = open(path, O_RDWR | O_APPEND | O_CLOEXEC);
    if (ledger->path == NULL || ledger->fd < 0)
        return error_set(error, ERROR_UNAVAILABLE, "cannot write %s: %m", path);
    ledger->size = ledger->at.last_size;
    note_written(ledger);
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

static bool open_ledger(struct ledger *ledger, const struct ledger_options *options, struct error *error) {
    char **segments = NULL;
    int count = ledger_list_segments(options->directory, &segments, error);
    bool is_open = false;
    if (count < 0)
        return false;
    count = drop_unbegun_segment(segments, count);
    if (count > 0)
        is_open = read_segments(ledger, options, segments, count, error) &&
                  open_last_segment(ledger, segments[count - 1], error);
    else if (options->may_begin)
        is_open = begin_ledger(ledger, options->host, error);
    else
        error_set(error, ERROR_INVALID, "there is no ledger in %s; `originca-server ca init` begins one",
                  options->directory);
    ledger_free_segments(segments, count);
    if (is_open && strcmp(ledger->at.host, options->host) != 0)
        return error_set(error, ERROR_INVALID,
                         "the ledger in %s belongs to host \"%s\", not \"%s\" (signer.host_name)",
                         options->directory, ledger->at.host, options->host);
    return is_open;
}

struct ledger *ledger_open(const struct ledger_options *options, struct error *error) {
    struct ledger *ledger = calloc(1, sizeof *ledger);
    if (ledger == NULL || (ledger->directory = strdup(options->directory)) == NULL) {
        free(ledger);
        out_of_memory(error);
        return NULL;
    }
    ledger->fd = ledger->lock_fd = -1;
    ledger->segment_bytes = options->segment_bytes;
    if (take_lock(ledger, error) && open_ledger(ledger, options, error))
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

bool ledger_is_broken(const struct ledger *ledger) {
    return ledger->is_broken;
}

void ledger_get_position(const struct ledger *ledger, struct ledger_position *position) {
    *position = (struct ledger_position){.segment = ledger_sequence_of_path(ledger->path),
                                         .line = ledger->written_line,
                                         .offset = ledger->written_size,
                                         .sequence = ledger->at.last_sequence,
                                         .time_ms = ledger->at.last_time_ms};
    snprintf(position->ledger_id, sizeof position->ledger_id, "%s", ledger->at.ledger_id);
    snprintf(position->host, sizeof position->host, "%s", ledger->at.host);
    memcpy(position->hash, ledger->at.last_hash, LEDGER_HASH_BYTES);
}

/* --- reading back --- */

/* The nearest place before it that is known of its segment. */
static uint64_t find_offset(const struct ledger *ledger, uint64_t segment, uint64_t sequence) {
    size_t count = count_places(ledger, sequence);
    return count > 0 && ledger->index[count - 1].segment == segment ? ledger->index[count - 1].offset : 0;
}

/* Lines from a sequence on, over the ends of files. The chain was checked when they were read or written. */
struct reader {
    struct ledger *ledger;
    char **segments;
    int count, at;
    FILE *file;
    uint64_t segment, offset, sequence; /* of the line */
    char *line;
    size_t capacity;
    ssize_t length;
};

static bool open_segment(struct reader *reader, uint64_t offset) {
    if (reader->file != NULL)
        fclose(reader->file);
    reader->file = fopen(reader->segments[reader->at], "re");
    reader->segment = ledger_sequence_of_path(reader->segments[reader->at]);
    reader->offset = offset;
    reader->length = 0;
    return reader->file != NULL && fseeko(reader->file, (off_t)offset, SEEK_SET) == 0;
}

static bool open_reader(struct ledger *ledger, uint64_t from, struct reader *reader, struct error *error) {
    *reader = (struct reader){.ledger = ledger};
    reader->count = ledger_list_segments(ledger->directory, &reader->segments, error);
    if (reader->count <= 0)
        return reader->count == 0;
    while (reader->at + 1 < reader->count &&
           ledger_sequence_of_path(reader->segments[reader->at + 1]) <= from)
        reader->at++;
    uint64_t segment = ledger_sequence_of_path(reader->segments[reader->at]);
    bool is_next = ledger->cursor.sequence == from && ledger->cursor.segment == segment;
    (void)!open_segment(reader, is_next ? ledger->cursor.offset : find_offset(ledger, segment, from));
    return true;
}

/* The next whole line; false at the end. */
static bool read_line(struct reader *reader) {
    for (;;) {
        unsigned long long sequence;
        reader->offset += (uint64_t)reader->length;
        reader->length = reader->file == NULL ? -1 : getline(&reader->line, &reader->capacity, reader->file);
        if (reader->length >= 80 && reader->line[reader->length - 1] == '\n' &&
            sscanf(reader->line + 2 * LEDGER_HASH_BYTES + 1, "{\"seq\":%llu", &sequence) == 1) {
            reader->sequence = sequence;
            (void)!add_to_index(reader->ledger, sequence, reader->segment, reader->offset);
            return true;
        }
        reader->length = 0;
        if (reader->at + 1 >= reader->count)
            return false;
        reader->at++;
        (void)!open_segment(reader, 0);
    }
}

/* The first line of sequence `from` or later. */
static bool seek_line(struct reader *reader, uint64_t from) {
    bool is_there = read_line(reader);
    while (is_there && reader->sequence < from)
        is_there = read_line(reader);
    return is_there;
}

static void close_reader(struct reader *reader) {
    if (reader->file != NULL)
        fclose(reader->file);
    ledger_free_segments(reader->segments, reader->count > 0 ? reader->count : 0);
    free(reader->line);
}

static void note_cursor(const struct reader *reader, uint64_t sequence, uint64_t offset) {
    reader->ledger->cursor.segment = reader->segment;
    reader->ledger->cursor.sequence = sequence;
    reader->ledger->cursor.offset = offset;
}

static void add_record(struct text *text, const struct reader *reader) {
    text_append(text, text->length > 1 ? "," : "");
    text_append(text, "{\"hash\":\"");
    text_append_bytes(text, reader->line, 2 * LEDGER_HASH_BYTES);
    text_append(text, "\",");
    text_append_bytes(text, reader->line + 2 * LEDGER_HASH_BYTES + 2,
                      (size_t)reader->length - 2 * LEDGER_HASH_BYTES - 3);
}

char *ledger_read(struct ledger *ledger, struct arena *arena, uint64_t from, uint32_t max, size_t max_bytes,
                  struct error *error) {
    struct reader reader;
    struct text text;
    text_init(&text, arena);
    text_append(&text, "[");
    if (!open_reader(ledger, from, &reader, error))
        return NULL;
    bool is_there = max > 0 && seek_line(&reader, from);
    for (; is_there && max > 0; max--) {
        if (text.length > 1 && text.length + (size_t)reader.length > max_bytes)
            break;
        add_record(&text, &reader);
        note_cursor(&reader, reader.sequence + 1, reader.offset + (uint64_t)reader.length);
        is_there = read_line(&reader);
    }
    close_reader(&reader);
    text_append(&text, "]");
    if (text.failed)
        error_set(error, ERROR_INTERNAL, "out of memory");
    return text.failed ? NULL : text.data;
}

bool ledger_find_hash(struct ledger *ledger, uint64_t sequence, uint8_t hash[LEDGER_HASH_BYTES]) {
    struct reader reader;
    struct error ignored;
    if (sequence == 0 || sequence > ledger->at.last_sequence)
        return false;
    if (sequence == ledger->at.last_sequence || sequence == ledger->found.sequence) {
        memcpy(hash, sequence == ledger->found.sequence ? ledger->found.hash : ledger->at.last_hash,
               LEDGER_HASH_BYTES);
        return true;
    }
    bool is_there = open_reader(ledger, sequence, &reader, &ignored) && reader.count > 0 &&
                    seek_line(&reader, sequence) && reader.sequence == sequence;
    if (is_there) {
        reader.line[2 * LEDGER_HASH_BYTES] = '\0';
        is_there = hex_decode(reader.line, hash, LEDGER_HASH_BYTES);
    }
    close_reader(&reader);
    if (is_there) {
        ledger->found.sequence = sequence;
        memcpy(ledger->found.hash, hash, LEDGER_HASH_BYTES);
    }
    return is_there;
}
