/* Taking comments out of a configuration and checking that every brace and quote is closed. */
#include "config_source.h"

#include <stdlib.h>
#include <string.h>

#define FILE_MAX_BYTES (1024 * 1024)
#define DEPTH_MAX 16

struct scan {
    char *at;
    int line, depth;
    int opened[DEPTH_MAX]; /* line of each open brace */
    struct config_complaints *complaints;
};

/* Blanks up to (not with) the next newline. */
static void blank_line_comment(struct scan *scan) {
    while (*scan->at != '\0' && *scan->at != '\n')
        *scan->at++ = ' ';
}

static void blank_block_comment(struct scan *scan) {
    int begun = scan->line;
    const char *end = strstr(scan->at + 2, "*/");
    if (end == NULL)
        config_complain(scan->complaints, begun, "root", "",
                        "a comment that begins here is not closed with */");
    for (; *scan->at != '\0' && (end == NULL || scan->at < end + 2); scan->at++) {
        if (*scan->at == '\n')
            scan->line++;
        else
            *scan->at = ' ';
    }
}

static void skip_string(struct scan *scan) {
    char quote = *scan->at++;
    int begun = scan->line;
    for (; *scan->at != '\0' && *scan->at != quote; scan->at++) {
        if (*scan->at == '\\' && scan->at[1] != '\0')
            scan->at++;
        if (*scan->at == '\n')
            scan->line++;
    }
    if (*scan->at == '\0')
        config_complain(scan->complaints, begun, "root", "",
                        "a string that begins here has no closing quote");
    else
        scan->at++;
}

static void count_brace(struct scan *scan) {
    if (*scan->at == '{') {
        if (scan->depth < DEPTH_MAX)
            scan->opened[scan->depth] = scan->line;
        scan->depth++;
    } else if (--scan->depth < 0) {
        config_complain(scan->complaints, scan->line, "root", "",
                        "a closing brace that nothing was opened for");
        scan->depth = 0;
    }
}

static void clean(char *text, struct config_complaints *complaints) {
    struct scan scan = {.at = text, .line = 1, .complaints = complaints};
    while (*scan.at != '\0') {
        bool is_comment = *scan.at == '#' || (scan.at[0] == '/' && scan.at[1] == '/');
        if (is_comment) {
            blank_line_comment(&scan);
        } else if (scan.at[0] == '/' && scan.at[1] == '*') {
            blank_block_comment(&scan);
        } else if (*scan.at == '"' || *scan.at == '\'') {
            skip_string(&scan);
        } else {
            if (*scan.at == '{' || *scan.at == '}')
                count_brace(&scan);
            scan.line += *scan.at == '\n' ? 1 : 0;
            scan.at++;
        }
    }
    if (scan.depth > 0 && scan.depth <= DEPTH_MAX)
        config_complain(complaints, scan.opened[scan.depth - 1], "root", "",
                        "a brace that is opened here is not closed");
}

char *config_read_source(const char *path, struct config_complaints *complaints, struct error *error) {
    FILE *file = fopen(path, "re");
    char *text = file == NULL ? NULL : calloc(1, FILE_MAX_BYTES + 1);
    size_t length = text == NULL ? 0 : fread(text, 1, FILE_MAX_BYTES, file);
    if (file == NULL || text == NULL || ferror(file) || length == FILE_MAX_BYTES ||
        memchr(text, '\0', length) != NULL) {
        error_set(error, ERROR_INVALID, "cannot read %s as a text of less than 1 MiB: %m", path);
        free(text);
        text = NULL;
    }
    if (file != NULL)
        fclose(file);
    if (text != NULL)
        clean(text, complaints);
    return text;
}
