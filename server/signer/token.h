/* The PKCS#11 token (RFC 7512 URIs, GnuTLS). Only the configured module is loaded. */
#pragma once

#include <gnutls/abstract.h>

#include "originca/config.h"
#include "originca/text.h"

/* Loads module and PIN; nothing logs in. Closed and opened again it sees a token that came back or changed.
 */
bool token_open(const struct config *config, struct error *error) MUST_CHECK;
void token_close(void);
/* The PIN that token_open read. */
const char *token_pin(void);
/* A digest of which tokens there are and whether their user may log in: another one after an operator
 * initialised, unlocked or replaced a token. Failed logins do not change it, but for the one that locks. */
void token_describe(uint8_t out[SHA256_BYTES]);
/* A handle of its own for each caller: a shared one would serialise. One login at most. ERROR_REFUSED: the
 * token did not take the PIN, and another try with it may lock the token; ERROR_NOT_FOUND: it took it and has
 * no such key; ERROR_UNAVAILABLE: the token failed, which says nothing of the PIN. */
bool token_load_key(const char *uri, gnutls_privkey_t *key, struct error *error) MUST_CHECK;
/* Did the last token_load_key log in, or try to? */
bool token_was_pin_given(void);
