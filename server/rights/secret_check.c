#include "originca/secret_check.h"

#include <stdio.h>
#include <string.h>

#include "originca/secrets.h"

#define LABEL "check"

static void tell_apart(const uint8_t digest[SECRET_BYTES], char out[STORE_SECRET_CHECK_MAX]) {
    hex_encode(digest, (STORE_SECRET_CHECK_MAX - 1) / 2, out);
}

void secret_check_derive(const struct worker *worker, struct store_secret_checks *out) {
    uint8_t digest[SECRET_BYTES];
    *out = (struct store_secret_checks){0};
    secrets_derive(worker->secrets, LABEL, NULL, 0, digest);
    tell_apart(digest, out->secret);
    if (worker->operator_key == NULL)
        return;
    hmac_sha256(worker->operator_key, SECRET_BYTES, LABEL, strlen(LABEL), digest);
    tell_apart(digest, out->operator_secret);
}

static bool fits(const char *mine, const char *known) {
    return *mine == '\0' || *known == '\0' || strcmp(mine, known) == 0;
}

bool secret_check_fits(const struct worker *worker, const struct store_ledger_state *state, char *reason,
                       size_t size) {
    struct store_secret_checks mine;
    secret_check_derive(worker, &mine);
    bool is_first = !fits(mine.secret, state->secrets.secret);
    if (!is_first && fits(mine.operator_secret, state->secrets.operator_secret))
        return true;
    snprintf(reason, size,
             "%s is another one than the data in Redis rest on: put the one of the other hosts or of before "
             "there, "
             "or change to this one for good by `originca admin ledger accept-secrets`",
             is_first ? "secret_file" : "operator_secret_file");
    return false;
}

bool secret_check_is_bound(const struct worker *worker, const struct store_ledger_state *state) {
    struct store_secret_checks mine;
    secret_check_derive(worker, &mine);
    return *state->secrets.secret != '\0' &&
           (*mine.operator_secret == '\0' || *state->secrets.operator_secret != '\0');
}
