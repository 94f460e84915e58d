/* The admin API over its unix socket, by libcurl. */
#pragma once

#include "originca/json.h"

struct client {
    const char *socket;
    struct arena *arena;
    long status; /* of the last reply */
};

/* Sends and reads JSON; NULL where the server could not be reached or refused, with the reason a person
 * needs. A refusal is ERROR_REFUSED (or NOT_FOUND, CONFLICT ...), no server ERROR_UNAVAILABLE. `body` may be
 * NULL. */
json_t *client_call(struct client *client, const char *method, const char *path, const json_t *body,
                    struct error *error);
/* Like it, for text that is not JSON (metrics). */
char *client_get_text(struct client *client, const char *path, struct error *error);
/* Percent-encodes one path segment or query value. */
const char *client_escape(struct client *client, const char *text);
