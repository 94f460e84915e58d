/* http and https URLs in one normal form (RFC 3986 6.2.2, 6.2.3), so that two spellings of one can be
 * compared. */
#pragma once

#include "originca/arena.h"

/* Scheme and host in lower case, an internationalised host as A-labels, no default port; what follows stays
 * as it is. NULL where `text` is no such URL (another scheme, no host, a port out of bounds, user
 * information, blanks or other bytes that a URL has not), or memory is out. */
const char *url_normal_form(struct arena *arena, const char *text);
/* Is it the same URL, however it is written? */
bool url_equal(struct arena *arena, const char *a, const char *b);
