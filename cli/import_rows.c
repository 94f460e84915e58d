/* Reads CSV (RFC 4180, with a header, comments and blank lines) and JSON ([{"customer", "zones": [...]}])
 * into rows that know their line. jansson keeps no positions, so a second walk over the same text finds them.
 */
#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "admin_import.h"

#define COLUMNS_MAX 64

static bool add_row(struct arena *arena, struct import_rows *rows, struct import_row row) {
    if (rows->count == rows->room) {
        size_t room = rows->room == 0 ? 256 : 2 * rows->room;
        struct import_row *items = arena_alloc(arena, room * sizeof *items);
        if (items == NULL)
            return false;
        if (rows->count > 0)
            memcpy(items, rows->items, rows->count * sizeof *items);
        rows->items = items;
        rows->room = room;
    }
    rows->items[rows->count++] = row;
    return true;
}

static bool out_of_memory(struct error *error) {
    return error_set(error, ERROR_INTERNAL, "out of memory: split the file");
}

/* --- CSV --- */

struct csv {
    struct arena *arena;
    const char *at, *end;
    size_t line, begin; /* of what stands at `at`, and of the record */
    const char *fields[COLUMNS_MAX];
    size_t count;
    const char *problem;
};

static bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\r';
}

static void read_quoted(struct csv *csv, struct text *field) {
    for (csv->at++; csv->at < csv->end; csv->at++) {
        if (*csv->at == '"' && (csv->at + 1 == csv->end || csv->at[1] != '"')) {
            csv->at++;
            while (csv->at < csv->end && is_blank(*csv->at))
                csv->at++;
            if (csv->at < csv->end && *csv->at != ',' && *csv->at != '\n')
                csv->problem = "after a closing quote a comma or the end of the line is needed";
            return;
        }
        csv->at += *csv->at == '"';
        csv->line += *csv->at == '\n';
        text_append_bytes(field, csv->at, 1);
    }
    csv->problem = "the quote that opens a field of this row is never closed";
}

static void read_field(struct csv *csv) {
    struct text field;
    text_init(&field, csv->arena);
    text_append(&field, "");
    while (csv->at < csv->end && is_blank(*csv->at))
        csv->at++;
    if (csv->at < csv->end && *csv->at == '"')
        read_quoted(csv, &field);
    const char *rest = csv->at;
    while (csv->at < csv->end && *csv->at != ',' && *csv->at != '\n')
        csv->at++;
    size_t length = (size_t)(csv->at - rest);
    while (length > 0 && is_blank(rest[length - 1]))
        length--;
    text_append_bytes(&field, rest, length);
    if (memchr(field.data == NULL ? "" : field.data, '\0', field.length) != NULL)
        csv->problem = "the row holds a zero byte";
    json_t *string = json_stringn(field.data == NULL ? "" : field.data, field.length);
    if (string == NULL)
        csv->problem = "the row is not UTF-8";
    json_decref(string);
    if (csv->count < COLUMNS_MAX)
        csv->fields[csv->count++] = field.failed ? "" : field.data;
    else
        csv->problem = "the row has too many fields";
}

/* The next record that is neither blank nor a comment. */
static bool read_record(struct csv *csv) {
    for (;;) {
        while (csv->at < csv->end && (is_blank(*csv->at) || *csv->at == '\n'))
            csv->line += *csv->at++ == '\n';
        if (csv->at == csv->end)
            return false;
        if (*csv->at != '#')
            break;
        while (csv->at < csv->end && *csv->at != '\n')
            csv->at++;
    }
    csv->count = 0;
    csv->problem = NULL;
    csv->begin = csv->line;
    for (;;) {
        read_field(csv);
        if (csv->at == csv->end || *csv->at == '\n')
            return true;
        csv->at++;
    }
}

static bool find_column(const struct csv *header, const char *name, size_t *at) {
    for (*at = 0; *at < header->count; (*at)++)
        if (strcasecmp(header->fields[*at], name) == 0)
            return true;
    return false;
}

static bool read_csv(struct arena *arena, const char *name, struct bytes text, struct import_rows *rows,
                     struct error *error) {
    struct csv csv = {.arena = arena, .at = (const char *)text.data, .line = 1};
    size_t customer, zone;
    csv.end = csv.at + text.length;
    if (!read_record(&csv) || csv.problem != NULL || !find_column(&csv, "customer", &customer) ||
        !find_column(&csv, "zone", &zone))
        return error_set(
            error, ERROR_INVALID,
            "%s: the first row must be a header that names the columns \"customer\" and \"zone\"", name);
    size_t columns = csv.count;
    while (read_record(&csv)) {
        struct import_row row = {.line = csv.begin, .customer = "", .problem = csv.problem};
        if (row.problem == NULL && csv.count != columns)
            row.problem = arena_printf(arena, "the row has %zu fields, the header %zu", csv.count, columns);
        if (row.problem == NULL) {
            row.customer = csv.fields[customer];
            row.zone = *csv.fields[zone] == '\0' ? NULL : csv.fields[zone];
        }
        if (row.problem == NULL && *row.customer == '\0')
            row.problem = "the customer is missing";
        if (!add_row(arena, rows, row))
            return out_of_memory(error);
    }
    return true;
}

/* --- JSON --- */

/* Walks over valid JSON from one place of interest to the next: the elements of the outermost array (depth 1)
 * and the strings three deep, which are the zones of an element that has nothing but its two members. */
struct walk {
    const char *at, *end;
    size_t line;
    unsigned depth;
    bool is_element; /* of the place found last */
};

static void skip_string(struct walk *walk) {
    for (walk->at++; walk->at < walk->end && *walk->at != '"'; walk->at++)
        walk->at += *walk->at == '\\';
    walk->at++;
}

/* The line of the next place; 0 at the end. */
static size_t next_place(struct walk *walk) {
    while (walk->at < walk->end) {
        char c = *walk->at;
        bool is_word = isalnum((unsigned char)c) || c == '-';
        bool is_open = c == '[' || c == '{';
        walk->is_element = walk->depth == 1 && (is_word || is_open || c == '"');
        bool is_place = walk->is_element || (walk->depth == 3 && c == '"');
        if (c == '"')
            skip_string(walk);
        else
            walk->at++;
        while (is_word && walk->at < walk->end && strchr(",]} \t\r\n", *walk->at) == NULL)
            walk->at++;
        walk->line += c == '\n';
        walk->depth += is_open;
        walk->depth -= c == ']' || c == '}';
        if (is_place)
            return walk->line;
    }
    return 0;
}

static const char *problem_of(const json_t *entry) {
    const char *key;
    const json_t *value, *zone;
    size_t i;
    if (!json_is_object(entry))
        return "an entry must be an object {\"customer\": \"...\", \"zones\": [\"...\"]}";
    json_object_foreach((json_t *)entry, key, value) {
        if (strcmp(key, "customer") != 0 && strcmp(key, "zones") != 0)
            return "an entry has the members \"customer\" and \"zones\" and no other";
    }
    if (json_string_length(json_object_get(entry, "customer")) == 0)
        return "\"customer\" must be a string that is not empty";
    const json_t *zones = json_object_get(entry, "zones");
    if (zones != NULL && !json_is_array(zones))
        return "\"zones\" must be an array of strings";
    json_array_foreach(zones, i, zone) {
        if (!json_is_string(zone))
            return "\"zones\" must hold strings and nothing else";
    }
    return NULL;
}

/* `walk` has just found the entry. */
static bool add_entry(struct arena *arena, struct import_rows *rows, const json_t *entry, struct walk *walk) {
    const json_t *zones = json_object_get(entry, "zones"), *zone;
    struct import_row row = {.line = walk->line, .customer = "", .problem = problem_of(entry)};
    size_t i;
    if (row.problem != NULL)
        return add_row(arena, rows, row);
    row.customer = json_string_value(json_object_get(entry, "customer"));
    if (json_array_size(zones) == 0)
        return add_row(arena, rows, row);
    json_array_foreach(zones, i, zone) {
        row.line = next_place(walk);
        row.zone = json_string_value(zone);
        row.problem = *row.zone == '\0' ? "the zone's name is empty" : NULL;
        if (!add_row(arena, rows, row))
            return false;
    }
    return true;
}

static bool read_json(struct arena *arena, const char *name, struct bytes text, struct import_rows *rows,
                      struct error *error) {
    const json_t *entries = json_parse(arena, text.data, text.length, error), *entry;
    struct walk walk = {.at = (const char *)text.data, .line = 1};
    size_t i;
    if (entries == NULL) {
        error_prefix(error, "%s", name);
        return false;
    }
    if (!json_is_array(entries))
        return error_set(error, ERROR_INVALID,
                         "%s must hold an array of {\"customer\": \"...\", \"zones\": [\"...\"]}", name);
    walk.end = walk.at + text.length;
    json_array_foreach(entries, i, entry) {
        do
            next_place(&walk);
        while (!walk.is_element && walk.at < walk.end);
        if (!add_entry(arena, rows, entry, &walk))
            return out_of_memory(error);
    }
    return true;
}

static enum import_format look_at(const char *name, struct bytes text) {
    const char *dot = strrchr(name, '.');
    if (dot != NULL && strcasecmp(dot, ".json") == 0)
        return IMPORT_JSON;
    if (dot != NULL && strcasecmp(dot, ".csv") == 0)
        return IMPORT_CSV;
    for (size_t i = 0; i < text.length; i++)
        if (!isspace(text.data[i]))
            return text.data[i] == '[' || text.data[i] == '{' ? IMPORT_JSON : IMPORT_CSV;
    return IMPORT_CSV;
}

bool import_read(struct arena *arena, const char *name, struct bytes text, enum import_format format,
                 struct import_rows *rows, struct error *error) {
    if (text.length >= 3 && memcmp(text.data, "\xEF\xBB\xBF", 3) == 0) /* what spreadsheets begin with */
        text = (struct bytes){text.data + 3, text.length - 3};
    if (format == IMPORT_BY_CONTENT)
        format = look_at(name, text);
    return format == IMPORT_JSON ? read_json(arena, name, text, rows, error)
                                 : read_csv(arena, name, text, rows, error);
}
