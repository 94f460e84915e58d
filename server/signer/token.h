/* The PKCS#11 token (RFC 7512 URIs, GnuTLS). Only the configured module is loaded. */
#pragma once

#include <gnutls/abstract.h>

#include "originca/config.h"

/* Loads module and PIN; once a process. */
bool token_open(const struct config *config, struct error *error) MUST_CHECK;
void token_close(void);
/* A handle of its own for each caller: a shared one would serialise. */
bool token_load_key(const char *uri, gnutls_privkey_t *key, struct error *error) MUST_CHECK;
