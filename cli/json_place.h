/* Where in a JSON text something stands: jansson keeps no positions, and a person who writes csr.json wants
 * them. */
#pragma once

#include "originca/json.h"

/* First a look for what editors and web pages do to JSON (typographic quotes, no-break spaces, a byte order
 * mark, comments, single quotes, commas before a closing bracket), then the strict parser. The error begins
 * with "NAME: line L, column C: "; columns count characters. */
json_t *json_parse_file(struct arena *arena, const char *name, struct bytes text, struct error *error);

/* "line L, column C" of the value at `path`, member names and array indexes ("names", "0", "C"), NULL at its
 * end. `text` has been parsed. "" where there is none. Names match as Go matches them: without case. */
const char *json_place(struct arena *arena, struct bytes text, const char *const *path);
