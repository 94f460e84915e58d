/* The log: one write(2) an event, so lines of several processes never mix. */
#include "originca/log.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_BYTES 8192
#define DESCRIPTORS_SAID_SECONDS 60

static enum log_level lowest = LOG_LEVEL_INFO;
static char process_name[32] = "originca";
static int descriptor = STDERR_FILENO;

static const char *const level_names[] = {"error", "warning", "info", "debug"};

void log_set_process(const char *process) {
    snprintf(process_name, sizeof process_name, "%s", process);
}

void log_set_level(enum log_level level) {
    lowest = level;
}

bool log_level_parse(const char *name, enum log_level *level) {
    for (size_t i = 0; i < sizeof level_names / sizeof level_names[0]; i++)
        if (strcmp(name, level_names[i]) == 0) {
            *level = (enum log_level)i;
            return true;
        }
    return false;
}

bool log_open_file(const char *path, struct error *error) {
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
    if (fd < 0)
        return error_set(error, ERROR_INVALID, "cannot open the log file %s: %m", path);
    if (descriptor != STDERR_FILENO)
        close(descriptor);
    descriptor = fd;
    return true;
}

struct line {
    char bytes[LINE_MAX_BYTES];
    size_t length;
};

static void put(struct line *line, char c) {
    if (line->length < sizeof line->bytes - 1)
        line->bytes[line->length++] = c;
}

static void put_text(struct line *line, const char *text) {
    while (*text != '\0')
        put(line, *text++);
}

static bool is_plain(const char *value) {
    if (*value == '\0')
        return false;
    for (; *value != '\0'; value++) {
        char c = *value;
        bool is_word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!is_word && strchr("._:/@+-", c) == NULL)
            return false;
    }
    return true;
}

static void put_value(struct line *line, const char *value) {
    static const char digits[] = "0123456789abcdef";
    if (is_plain(value)) {
        put_text(line, value);
        return;
    }
    put(line, '"');
    for (; *value != '\0'; value++) {
        unsigned char c = (unsigned char)*value;
        if (c < 0x20 || c >= 0x7F) {
            put(line, '\\');
            put(line, 'x');
            put(line, digits[c >> 4]);
            put(line, digits[c & 15]);
        } else {
            if (c == '"' || c == '\\')
                put(line, '\\');
            put(line, (char)c);
        }
    }
    put(line, '"');
}

static void put_time(struct line *line) {
    struct timespec now;
    struct tm parts;
    char text[40];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &parts);
    size_t length = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
    snprintf(text + length, sizeof text - length, ".%03ldZ ", now.tv_nsec / 1000000);
    put_text(line, text);
}

void log_event(enum log_level level, const char *event, ...) {
    if (level > lowest)
        return;
    struct line line;
    line.length = 0;
    put_time(&line);
    put_text(&line, level_names[level]);
    put(&line, ' ');
    put_text(&line, process_name);
    put_text(&line, " event=");
    put_value(&line, event);
    va_list pairs;
    va_start(pairs, event);
    for (const char *key = va_arg(pairs, const char *); key != NULL; key = va_arg(pairs, const char *)) {
        const char *value = va_arg(pairs, const char *);
        if (value == NULL)
            continue;
        put(&line, ' ');
        put_text(&line, key);
        put(&line, '=');
        put_value(&line, value);
    }
    va_end(pairs);
    line.bytes[line.length++] = '\n';
    /* A log that cannot be written must not stop the service; there is nowhere to say so. */
    ssize_t written = write(descriptor, line.bytes, line.length);
    (void)written;
}

void log_out_of_descriptors(const char *where) {
    static time_t said;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (said != 0 && now.tv_sec - said < DESCRIPTORS_SAID_SECONDS)
        return;
    said = now.tv_sec;
    log_event(LOG_LEVEL_ERROR,
              "out of file descriptors: raise the limit of open files or lower http.max_connections", "where",
              where, NULL);
}
