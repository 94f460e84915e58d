/* Rights: from what is asked to the ledger's record, and from that to what the store is given. */
#include "originca/rights.h"

#include <stdio.h>
#include <string.h>

#include "originca/secrets.h"

void rights_clear(struct rights *rights) {
    rights->count = 0;
}

struct signer_change *rights_add(struct rights *rights, const char *kind, const char *subject,
                                 const char *by) {
    if (rights->count == RIGHTS_MAX)
        return NULL;
    struct signer_change *change = &rights->changes[rights->count++];
    *change = (struct signer_change){.kind = kind, .subject = subject, .by = by};
    return change;
}

void rights_set_after(struct signer_change *change, int64_t known_ms) {
    if (change != NULL && known_ms >= clock_wall_ms())
        change->at_ms = known_ms + 1;
}

static void give(struct rights *rights, size_t i) {
    const struct signer_change *change = &rights->changes[i];
    struct store_right *right = &rights->given[i];
    *right = (struct store_right){.kind = change->kind,
                                  .subject = change->subject,
                                  .name = change->name,
                                  .customer = change->customer,
                                  .detail = change->detail,
                                  .at_ms = change->at_ms,
                                  .by = change->by,
                                  .seal = rights->seals[i]};
    if (change->sequence != 0)
        right->mark = (struct store_ledger_mark){.host = rights->worker->config->host_name,
                                                 .sequences = &change->sequence,
                                                 .count = 1,
                                                 .hashes = change->hash};
    rights_seal(rights->worker, right, rights->seals[i]);
}

static void note_recorded(void *context, const struct error *error) {
    struct rights *rights = context;
    for (size_t i = 0; error == NULL && i < rights->count; i++)
        give(rights, i);
    rights->done(rights->context, error);
}

void rights_record(struct rights *rights, struct worker *worker, struct signer_client *signer,
                   signer_done *done, void *context) {
    rights->worker = worker;
    rights->done = done;
    rights->context = context;
    signer_change_rights(signer, rights->changes, rights->count, note_recorded, rights);
}

/* --- seals --- */

bool rights_load_key(const struct config *config, uint8_t key[SHA256_BYTES], struct error *error) {
    struct secrets *secrets = secrets_load(config->operator_secret_file, error);
    if (secrets == NULL)
        return false;
    secrets_derive(secrets, "rights", NULL, 0, key);
    secrets_free(secrets);
    return true;
}

void seal_add(uint8_t digest[SHA256_BYTES], const uint8_t key[SHA256_BYTES], const char *text) {
    uint8_t block[2 * SHA256_BYTES];
    memcpy(block, digest, SHA256_BYTES);
    sha256(text == NULL ? "" : text, text == NULL ? 0 : strlen(text), block + SHA256_BYTES);
    hmac_sha256(key, SHA256_BYTES, block, sizeof block, digest);
}

void rights_seal(const struct worker *worker, const struct store_right *right, char out[STORE_SEAL_MAX]) {
    uint8_t digest[SHA256_BYTES] = {0};
    char moment[24];
    *out = '\0';
    if (worker->operator_key == NULL)
        return;
    snprintf(moment, sizeof moment, "%lld", (long long)right->at_ms);
    const char *const fields[] = {right->kind, right->subject, right->name, right->customer, moment};
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        seal_add(digest, worker->operator_key, fields[i]);
    hex_encode(digest, SHA256_BYTES, out);
}

bool rights_seal_is_good(const struct worker *worker, const struct store_right *right) {
    char good[STORE_SEAL_MAX];
    rights_seal(worker, right, good);
    return *good != '\0' && right->seal != NULL && strlen(right->seal) == strlen(good) &&
           bytes_equal_secret(right->seal, good, strlen(good));
}
