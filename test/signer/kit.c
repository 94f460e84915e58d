/* Folder, keys and issuers of the signer's tests. Everything asserts: a test has no use for half a kit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kit.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *kit_make_folder(struct arena *arena) {
    const char *above = getenv("TMPDIR");
    char *folder = arena_printf(arena, "%s/originca-signer-XXXXXX", above == NULL ? "/tmp" : above);
    assert_non_null(folder);
    assert_non_null(mkdtemp(folder));
    return folder;
}

static int remove_entry(const char *path, const struct stat *status, int kind, struct FTW *where) {
    (void)status;
    (void)kind;
    (void)where;
    return remove(path);
}

void kit_remove_folder(const char *folder) {
    nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static void drop_private(void *object) {
    gnutls_privkey_deinit(object);
}

static void drop_public(void *object) {
    gnutls_pubkey_deinit(object);
}

void kit_make_key(struct arena *arena, enum kit_key_kind kind, struct kit_key *key) {
    static const struct {
        gnutls_pk_algorithm_t algorithm;
        unsigned bits;
    } kinds[KIT_KEY_KINDS] = {
        [KIT_RSA] = {GNUTLS_PK_RSA, 2048},
        [KIT_P256] = {GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1)},
        [KIT_P384] = {GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP384R1)},
        [KIT_P521] = {GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP521R1)},
        [KIT_RSA_1024] = {GNUTLS_PK_RSA, 1024},
        [KIT_ED25519] = {GNUTLS_PK_EDDSA_ED25519, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_ED25519)},
    };
    gnutls_datum_t der;
    assert_int_equal(gnutls_privkey_init(&key->private_key), 0);
    assert_true(arena_defer(arena, drop_private, key->private_key));
    assert_int_equal(gnutls_pubkey_init(&key->public_key), 0);
    assert_true(arena_defer(arena, drop_public, key->public_key));
    assert_int_equal(gnutls_privkey_generate(key->private_key, kinds[kind].algorithm, kinds[kind].bits, 0),
                     0);
    assert_int_equal(gnutls_pubkey_import_privkey(key->public_key, key->private_key, 0, 0), 0);
    assert_int_equal(gnutls_pubkey_export2(key->public_key, GNUTLS_X509_FMT_DER, &der), 0);
    key->spki = (struct bytes){arena_copy(arena, der.data, der.size), der.size};
    gnutls_free(der.data);
    assert_non_null(key->spki.data);
    key->is_rsa = kinds[kind].algorithm == GNUTLS_PK_RSA;
}

void kit_make_issuer(struct arena *arena, const char *folder, const char *name, const struct kit_key *key,
                     time_t not_before, time_t not_after, struct config_issuer *config,
                     struct issuer *issuer) {
    struct bytes der;
    struct error error = {0};
    if (!certificate_build_issuing(arena, name, key->public_key, key->private_key, not_before, not_after,
                                   &der, &error))
        fail_msg("issuing certificate: %s", error.message);
    const char *pem = pem_encode(arena, "CERTIFICATE", der.data, der.length);
    *config = (struct config_issuer){.name = arena_strdup(arena, name),
                                     .crl_shards = 16,
                                     .certificate_file = arena_printf(arena, "%s/%s.pem", folder, name)};
    assert_non_null(pem);
    kit_write_file(config->certificate_file, pem, strlen(pem));
    if (!issuer_load(arena, config, issuer, &error))
        fail_msg("issuer: %s", error.message);
}

struct bytes kit_read_file(struct arena *arena, const char *path) {
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    long length = ftell(file);
    assert_true(length >= 0);
    uint8_t *bytes = arena_alloc(arena, (size_t)length + 1);
    assert_non_null(bytes);
    rewind(file);
    assert_int_equal(fread(bytes, 1, (size_t)length, file), length);
    fclose(file);
    return (struct bytes){bytes, (size_t)length};
}

void kit_write_file(const char *path, const void *bytes, size_t length) {
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, length, file), length);
    assert_int_equal(fclose(file), 0);
}
