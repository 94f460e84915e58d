/* The rows of a file that `originca admin import` takes: which customer gets which zone, and where it says
 * so. */
#pragma once

#include "cli.h"

enum import_format { IMPORT_BY_CONTENT, IMPORT_CSV, IMPORT_JSON };

struct import_row {
    size_t line;          /* counted from 1 */
    const char *customer; /* "" where the row is not readable */
    const char *zone;     /* NULL: the customer alone */
    const char *problem;  /* why the row cannot be read; NULL where it can */
};

struct import_rows {
    struct import_row *items;
    size_t count, room;
};

/* Rows and texts live in the arena. False with the reason where the file as a whole makes no sense (no
 * header, no JSON); a row that makes none is a row with a problem. */
bool import_read(struct arena *arena, const char *name, struct bytes text, enum import_format format,
                 struct import_rows *rows, struct error *error) MUST_CHECK;
