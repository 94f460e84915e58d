/* What the signer's tests share: a private folder, keys made in memory, and issuers that were written and
 * read back by the product's own functions. */
#pragma once

#include "../../server/signer/certificate.h"

enum kit_key_kind { KIT_RSA, KIT_P256, KIT_P384, KIT_P521, KIT_RSA_1024, KIT_ED25519, KIT_KEY_KINDS };

struct kit_key {
    gnutls_privkey_t private_key;
    gnutls_pubkey_t public_key;
    struct bytes spki; /* in the arena */
    bool is_rsa;
};

/* A new folder below $TMPDIR or /tmp; the path lives in the arena. */
const char *kit_make_folder(struct arena *arena);
/* With all that is in it. */
void kit_remove_folder(const char *folder);

/* A new key; it goes with the arena. */
void kit_make_key(struct arena *arena, enum kit_key_kind kind, struct kit_key *key);
/* A self-signed issuing certificate in the folder, and the issuer that issuer_load reads from it. */
void kit_make_issuer(struct arena *arena, const char *folder, const char *name, const struct kit_key *key,
                     time_t not_before, time_t not_after, struct config_issuer *config,
                     struct issuer *issuer);

/* Whole files; the bytes live in the arena and have a NUL behind them. */
struct bytes kit_read_file(struct arena *arena, const char *path);
void kit_write_file(const char *path, const void *bytes, size_t length);
