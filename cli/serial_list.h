/* Serials that an operator names, on the command line or in a file: all of them are read before the first one
 * is sent, and a list of any length goes to the server in parts. */
#pragma once

#include "admin_calls.h"

struct serial_list {
    uint8_t (*serials)[SERIAL_BYTES];
    size_t count, room;
};

/* The file's, or standard input's where it is "-": one a line, or with blanks or commas between; what follows
 * a # is a comment. The error names the line that holds something else. */
bool serial_list_read(struct serial_list *list, const char *path, struct error *error) MUST_CHECK;
bool serial_list_add(struct serial_list *list, const char *text, struct error *error) MUST_CHECK;
/* `id` (33 bytes): what the server calls it from now on. */
bool serial_list_send(const struct serial_list *list, struct cli *cli, char *id, size_t id_size) MUST_CHECK;
void serial_list_free(struct serial_list *list);
