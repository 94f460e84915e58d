/* Opening the token. p11-kit's own configuration is not read: it would load every module of the system. */
#include "token.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <gnutls/pkcs11.h>

#include "originca/text.h"

static char *pin;

/* One try: a wrong PIN tried again would lock the token. */
static int give_pin(void *context, int attempt, const char *url, const char *label, unsigned flags, char *out,
                    size_t size) {
    (void)context;
    (void)url;
    (void)label;
    if (attempt > 0 || (flags & GNUTLS_PIN_WRONG) != 0 || pin == NULL || strlen(pin) >= size)
        return -1;
    strcpy(out, pin);
    return 0;
}

bool token_open(const struct config *config, struct error *error) {
    pin = config_read_secret(config->pkcs11_pin_file, 128, error);
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

bool token_load_key(const char *uri, gnutls_privkey_t *key, struct error *error) {
    if (gnutls_privkey_init(key) < 0)
        return error_set(error, ERROR_INTERNAL, "out of memory");
    gnutls_privkey_set_pin_function(*key, give_pin, NULL);
    int outcome = gnutls_privkey_import_url(*key, uri, GNUTLS_PKCS11_OBJ_FLAG_LOGIN);
    if (outcome >= 0)
        return true;
    gnutls_privkey_deinit(*key);
    *key = NULL;
    return error_set(error, ERROR_UNAVAILABLE,
                     "the key %s cannot be used: %s (is the token there, is the PIN right?)", uri,
                     gnutls_strerror(outcome));
}
