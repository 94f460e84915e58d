/* The text of a configuration file, with its comments blanked out and its braces counted. */
#pragma once

#include "config_check.h"

/* Reads the file; line numbers stay as they are. libConfuse 3.3 counts a comment as three lines and takes a
 * section that is not closed for a whole one: neither reaches it. malloc'd; NULL where the file cannot be
 * read. */
char *config_read_source(const char *path, struct config_complaints *complaints, struct error *error);
/* Complains about every setting that is assigned twice in one section, with both lines; "+=" is no second
 * time. */
void config_find_repeats(const char *source, struct config_complaints *complaints);
