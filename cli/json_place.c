/* Positions in JSON text, and the mistakes people make in it. */
#include "json_place.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct scan {
    const char *begin, *at, *end;
};

static const char *place_of(struct arena *arena, const char *begin, const char *at) {
    unsigned line = 1, column = 1;
    for (const char *p = begin; p < at; p++) {
        if (*p == '\n') {
            line++;
            column = 1;
        } else if (((unsigned char)*p & 0xC0) != 0x80) {
            column++; /* continuation bytes of UTF-8 are no characters */
        }
    }
    const char *text = arena_printf(arena, "line %u, column %u", line, column);
    return text == NULL ? "" : text;
}

struct trap {
    const char *bytes, *name;
};

static const struct trap traps[] = {
    {"\xE2\x80\x9C", "the typographic quote \xE2\x80\x9C (U+201C) where a plain \" belongs"},
    {"\xE2\x80\x9D", "the typographic quote \xE2\x80\x9D (U+201D) where a plain \" belongs"},
    {"\xE2\x80\x9E", "the typographic quote \xE2\x80\x9E (U+201E) where a plain \" belongs"},
    {"\xC2\xAB", "the quote \xC2\xAB (U+00AB) where a plain \" belongs"},
    {"\xE2\x80\x98", "the typographic quote \xE2\x80\x98 (U+2018) where a plain \" belongs"},
    {"\xE2\x80\x99", "the typographic quote \xE2\x80\x99 (U+2019) where a plain \" belongs"},
    {"\xEF\xBC\x82", "the full-width quote (U+FF02) where a plain \" belongs"},
    {"\xC2\xA0", "a no-break space (U+00A0) where a plain blank belongs"},
    {"\xE2\x80\x8B", "a zero-width space (U+200B), which cannot be seen"},
    {"\xEF\xBB\xBF", "a byte order mark (U+FEFF); save the file as UTF-8 without it"},
    {"'", "a single quote where a plain \" belongs"},
    {"//", "a comment; JSON has none"},
    {"/*", "a comment; JSON has none"},
    {"#", "a comment; JSON has none"},
};

static bool starts(const char *at, const char *end, const char *bytes) {
    size_t length = strlen(bytes);
    return (size_t)(end - at) >= length && memcmp(at, bytes, length) == 0;
}

/* A string that an opening plain quote began and a typographic one was meant to close runs to the end of its
 * line: JSON strings have no line breaks. */
static const char *skip_string(const char *at, const char *end) {
    for (at++; at < end && *at != '"' && *at != '\n'; at++)
        if (*at == '\\' && at + 1 < end)
            at++;
    return at;
}

static bool fail_at(struct arena *arena, const char *name, struct bytes text, const char *at,
                    const char *what, struct error *error) {
    return error_set(error, ERROR_INVALID, "%s: %s: %s", name, place_of(arena, (const char *)text.data, at),
                     what);
}

static const char *closing_quote(const char *from, const char *to) {
    for (const char *p = from; p < to; p++)
        for (size_t i = 0; i < 6; i++)
            if (starts(p, to, traps[i].bytes))
                return p;
    return NULL;
}

static bool look_for_traps(struct arena *arena, const char *name, struct bytes text, struct error *error) {
    const char *begin = (const char *)text.data, *end = begin + text.length, *comma = NULL;
    for (const char *at = begin; at < end; at++) {
        if (*at == '"') {
            const char *string = at;
            at = skip_string(at, end);
            comma = NULL;
            if (at < end && *at == '"')
                continue;
            const char *quote = closing_quote(string, at);
            return fail_at(arena, name, text, quote != NULL ? quote : string,
                           quote != NULL
                               ? "the string is closed by a typographic quote; a plain \" belongs here"
                               : "the string that begins here is not closed on its line",
                           error);
        }
        for (size_t i = 0; i < sizeof traps / sizeof traps[0]; i++)
            if (starts(at, end, traps[i].bytes)) {
                const char *what = arena_printf(arena, "here is %s", traps[i].name);
                return fail_at(arena, name, text, at, what == NULL ? "" : what, error);
            }
        if ((*at == '}' || *at == ']') && comma != NULL)
            return fail_at(arena, name, text, comma, "a comma with nothing after it", error);
        if (!isspace((unsigned char)*at))
            comma = *at == ',' ? at : NULL;
    }
    return true;
}

json_t *json_parse_file(struct arena *arena, const char *name, struct bytes text, struct error *error) {
    if (!look_for_traps(arena, name, text, error))
        return NULL;
    json_t *json = json_parse(arena, text.data, text.length, error);
    if (json != NULL)
        return json;
    if (strncmp(error->message, "not valid JSON: ", 16) == 0)
        memmove(error->message, error->message + 16, strlen(error->message + 16) + 1);
    error_prefix(error, "%s", name);
    return NULL;
}

/* --- finding a value in text that has been parsed --- */

static void skip_blank(struct scan *scan) {
    while (scan->at < scan->end && isspace((unsigned char)*scan->at))
        scan->at++;
}

static void skip_value(struct scan *scan) {
    unsigned depth = 0;
    skip_blank(scan);
    while (scan->at < scan->end) {
        char c = *scan->at;
        if (c == '"') {
            scan->at = skip_string(scan->at, scan->end);
        } else if (c == '{' || c == '[') {
            depth++;
        } else if (c == '}' || c == ']') {
            if (depth == 0)
                return;
            depth--;
        } else if (c == ',' && depth == 0) {
            return;
        }
        scan->at++;
    }
}

/* Inside an object or array: moves to the value of the member or index; false where it has none. */
static bool enter(struct scan *scan, const char *step) {
    bool is_object = scan->at < scan->end && *scan->at == '{';
    if (!is_object && (scan->at >= scan->end || *scan->at != '['))
        return false;
    scan->at++;
    for (unsigned long index = 0;; index++) {
        bool is_it = !is_object && index == strtoul(step, NULL, 10);
        skip_blank(scan);
        if (scan->at >= scan->end || *scan->at == '}' || *scan->at == ']')
            return false;
        if (is_object) {
            const char *key = scan->at + 1;
            scan->at = skip_string(scan->at, scan->end);
            size_t length = (size_t)(scan->at - key);
            is_it = strlen(step) == length && strncasecmp(step, key, length) == 0;
            while (scan->at < scan->end && *scan->at != ':')
                scan->at++;
            scan->at += scan->at < scan->end;
        }
        skip_blank(scan);
        if (is_it)
            return true;
        skip_value(scan);
        if (scan->at >= scan->end || *scan->at != ',')
            return false;
        scan->at++;
    }
}

const char *json_place(struct arena *arena, struct bytes text, const char *const *path) {
    struct scan scan = {(const char *)text.data, (const char *)text.data,
                        (const char *)text.data + text.length};
    skip_blank(&scan);
    for (; *path != NULL; path++)
        if (!enter(&scan, *path))
            return "";
    return place_of(arena, scan.begin, scan.at);
}
