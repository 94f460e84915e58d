/* What reading requests and replies shares. */
#pragma once

#include "message.h"
#include "originca/json.h"

/* The document, the arena's, with its id taken and its version checked; NULL with the error set. */
json_t *message_parse(struct arena *arena, struct bytes payload, uint64_t *id, struct error *error);
bool message_take_list(const json_t *root, const char *key, size_t max, const json_t **out,
                       struct error *error) MUST_CHECK;
bool message_take_number(const json_t *root, const char *key, uint32_t *out, struct error *error) MUST_CHECK;
bool message_take_caa_mode(const char *word, enum dnscheck_caa_mode *out, struct error *error) MUST_CHECK;
