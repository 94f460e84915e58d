/* Keys of the REST API: how one looks, what it may do, how it is checked.
 *
 *   service key  v1.0-<24 hex>-<146 hex>         584 random bits; clients know it by "v1.0-"
 *   token        <16 base64url><24 base64url>    144 random bits, 40 characters
 *
 * The first part is the id (12 bytes), under which Redis holds the key's hash: an HMAC-SHA256 of the whole
 * key with a key derived from the master secret, so a copy of Redis neither holds keys nor lets one be
 * tested. */
#pragma once

#include "originca/secrets.h"

#define API_KEY_ID_HEX 24
#define API_KEY_SERVICE_LENGTH 176
#define API_KEY_TOKEN_LENGTH 40
#define API_KEY_TEXT_MAX (API_KEY_SERVICE_LENGTH + 1)
#define API_KEY_HASH_HEX (2 * SHA256_BYTES)

enum api_key_kind { API_KEY_SERVICE, API_KEY_TOKEN };

enum api_key_right {
    API_KEY_CERTIFICATES_READ = 1,
    API_KEY_CERTIFICATES_EDIT = 2, /* with it, read */
    API_KEY_ZONES_READ = 4,
    API_KEY_ZONES_EDIT = 8, /* the SSL mode; with it, read */
};

/* A new key of random bytes. `text` is the only copy: wipe it. */
void api_key_make(enum api_key_kind kind, char id[API_KEY_ID_HEX + 1], char text[API_KEY_TEXT_MAX]);
/* The id inside a key; false for what has not the form of one. */
bool api_key_parse(const char *text, enum api_key_kind *kind, char id[API_KEY_ID_HEX + 1]) MUST_CHECK;
void api_key_hash(const struct secrets *secrets, const char *text, char hash[API_KEY_HASH_HEX + 1]);
/* Constant time in the contents; false for an empty `stored` (a key that has ended). */
bool api_key_matches(const struct secrets *secrets, const char *text, const char *stored);

const char *api_key_kind_name(enum api_key_kind kind); /* "service-key", "token" */
bool api_key_kind_parse(const char *name, enum api_key_kind *kind) MUST_CHECK;
/* A service key, which old clients keep in plain files, cannot change a zone unless that is asked for. */
unsigned api_key_default_rights(enum api_key_kind kind);
/* "certificates:read", "certificates:edit", "zones:read", "zones:edit" to its bit with what it includes; 0
 * for anything else. */
unsigned api_key_right_parse(const char *word);
/* Words with blanks between, to bits and back. Unknown words count for nothing. */
unsigned api_key_rights_parse(const char *words);
char *api_key_rights_text(struct arena *arena, unsigned rights);
