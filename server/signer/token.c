/* Opening the token. p11-kit's own configuration is not read: it would load every module of the system. */
#include "token.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <gnutls/pkcs11.h>

static char *pin;
static bool was_pin_given; /* since the last key was asked for */

/* One try: a wrong PIN tried again would lock the token. */
static int give_pin(void *context, int attempt, const char *url, const char *label, unsigned flags, char *out,
                    size_t size) {
    (void)context;
    (void)url;
    (void)label;
    if (attempt > 0 || (flags & GNUTLS_PIN_WRONG) != 0 || pin == NULL || strlen(pin) >= size)
        return -1;
    strcpy(out, pin);
    was_pin_given = true;
    return 0;
}

bool token_open(const struct config *config, struct error *error) {
    pin = config_read_secret(config->pkcs11_pin_file, 128, error); /* token_close forgot a former one */
    if (pin == NULL) {
        error_prefix(error, "signer.pkcs11_pin_file");
        return false;
    }
    if (mlock(pin, strlen(pin)) != 0 || madvise(pin, strlen(pin), MADV_DONTDUMP) != 0) {
        /* hardening only */
    }
    int outcome = gnutls_pkcs11_init(GNUTLS_PKCS11_FLAG_MANUAL, NULL);
    if (outcome >= 0)
        outcome = gnutls_pkcs11_add_provider(config->pkcs11_module, NULL);
    if (outcome < 0)
        return error_set(error, ERROR_UNAVAILABLE, "cannot load the PKCS#11 module %s: %s",
                         config->pkcs11_module, gnutls_strerror(outcome));
    gnutls_pkcs11_set_pin_function(give_pin, NULL);
    return true;
}

void token_close(void) {
    if (pin != NULL)
        bytes_wipe(pin, strlen(pin));
    free(pin);
    pin = NULL;
    gnutls_pkcs11_deinit();
}

const char *token_pin(void) {
    return pin == NULL ? "" : pin;
}

void token_describe(uint8_t out[SHA256_BYTES]) {
    static const unsigned telling = GNUTLS_PKCS11_TOKEN_INITIALIZED | GNUTLS_PKCS11_TOKEN_USER_PIN_LOCKED |
                                    GNUTLS_PKCS11_TOKEN_USER_PIN_INITIALIZED;
    struct arena *arena = arena_new(0);
    struct text all;
    char *url = NULL;
    text_init(&all, arena);
    for (unsigned i = 0; gnutls_pkcs11_token_get_url(i, GNUTLS_PKCS11_URL_GENERIC, &url) >= 0; i++) {
        unsigned flags = 0;
        gnutls_pkcs11_token_get_flags(url, &flags);
        text_append(&all, arena_printf(arena, "%s %x\n", url, flags & telling));
        gnutls_free(url);
    }
    sha256(all.data == NULL ? "" : all.data, all.length, out);
    arena_free(arena);
}

/* The token counted a wrong PIN since the last good one, whoever gave it, and may lock. */
static bool has_few_tries(const char *uri) {
    static const unsigned few = GNUTLS_PKCS11_TOKEN_USER_PIN_COUNT_LOW |
                                GNUTLS_PKCS11_TOKEN_USER_PIN_FINAL_TRY | GNUTLS_PKCS11_TOKEN_USER_PIN_LOCKED;
    unsigned flags = 0;
    return gnutls_pkcs11_token_get_flags(uri, &flags) >= 0 && (flags & few) != 0;
}

/* A module that names its refusal in its own way must not cost the token: what a login failed of counts as
 * refused also where the token itself says that its tries run out. */
static enum error_code judge(int outcome, const char *uri) {
    if (outcome == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE ||
        outcome == GNUTLS_E_PKCS11_REQUESTED_OBJECT_NOT_AVAILBLE)
        return ERROR_NOT_FOUND;
    bool is_about_pin = outcome == GNUTLS_E_PKCS11_PIN_ERROR || outcome == GNUTLS_E_PKCS11_PIN_EXPIRED ||
                        outcome == GNUTLS_E_PKCS11_PIN_LOCKED || outcome == GNUTLS_E_PKCS11_USER_ERROR;
    return is_about_pin || (was_pin_given && has_few_tries(uri)) ? ERROR_REFUSED : ERROR_UNAVAILABLE;
}

bool token_was_pin_given(void) {
    return was_pin_given;
}

bool token_load_key(const char *uri, gnutls_privkey_t *key, struct error *error) {
    if (gnutls_privkey_init(key) < 0)
        return error_set(error, ERROR_INTERNAL, "out of memory");
    gnutls_privkey_set_pin_function(*key, give_pin, NULL);
    was_pin_given = false;
    int outcome = gnutls_privkey_import_url(*key, uri, GNUTLS_PKCS11_OBJ_FLAG_LOGIN);
    if (outcome >= 0)
        return true;
    gnutls_privkey_deinit(*key);
    *key = NULL;
    switch (judge(outcome, uri)) {
    case ERROR_REFUSED:
        return error_set(error, ERROR_REFUSED, "%s",
                         outcome == GNUTLS_E_PKCS11_PIN_LOCKED    ? "its PIN is locked"
                         : outcome == GNUTLS_E_PKCS11_PIN_EXPIRED ? "its PIN has expired"
                                                                  : gnutls_strerror(outcome));
    case ERROR_NOT_FOUND:
        return error_set(error, ERROR_NOT_FOUND, "the key %s is not there (is it the right token?)", uri);
    default:
        return error_set(error, ERROR_UNAVAILABLE, "the key %s cannot be used: %s (is the token there?)", uri,
                         gnutls_strerror(outcome));
    }
}
