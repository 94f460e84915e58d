/* Everything secret that the workers share derives from one master secret (config: secret_file), so Redis
 * holds none.
 *
 * HMAC-SHA256(master, label || 0x00 || context). Losing the file ends EAB keys, API keys and outstanding
 * nonces; nothing else. */
#pragma once

#include "originca/text.h"

#define SECRET_BYTES 32

struct secrets;

struct secrets *secrets_load(const char *path, struct error *error);
/* Makes a new file, mode 0600; refuses to overwrite. */
bool secrets_create(const char *path, struct error *error) MUST_CHECK;
void secrets_free(struct secrets *secrets); /* wipes */
/* `label` separates uses: "eab", "nonce", "ticket", "name-servers", "api-key", "check". */
void secrets_derive(const struct secrets *secrets, const char *label, const void *context, size_t length,
                    uint8_t out[SECRET_BYTES]);
/* The HMAC key of an external account binding (RFC 8555 7.3.4) from its key id. Its base64url form never
 * begins with a hyphen: clients take it as an argument on their command line. */
void secrets_derive_eab_key(const struct secrets *secrets, const char *kid, uint8_t out[SECRET_BYTES]);
