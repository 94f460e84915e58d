/* `originca-server ca init`: what the signer needs and does not exist yet. Nothing that exists is changed. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <gnutls/pkcs11.h>

#include "issuer_names.h"
#include "originca/secrets.h"
#include "token.h"

#define ISSUER_YEARS 20

struct options {
    unsigned rsa_bits;
    const char *curve;
};

static bool is_rsa_issuer(const struct config_issuer *issuer) {
    return strncmp(issuer->name, "rsa", 3) == 0;
}

/* The URI of the token alone, and the object's label, out of the key's URI. */
static bool split_uri(const char *uri, char token[512], char label[128], struct error *error) {
    size_t token_length = 512, label_length = 128;
    const char *name = strstr(uri, "object=");
    if (name == NULL || strcspn(name + 7, ";?") == 0 || strcspn(name + 7, ";?") >= 128 ||
        strpbrk(name, "%") != NULL)
        return error_set(error, ERROR_INVALID,
                         "the key URI %s must name the key: object=NAME, without percent-encoding", uri);
    snprintf(label, label_length, "%.*s", (int)strcspn(name + 7, ";?"), name + 7);
    const char *token_name = strstr(uri, "token=");
    if (token_name == NULL)
        return error_set(error, ERROR_INVALID, "the key URI %s must name the token: token=NAME", uri);
    int length = snprintf(token, token_length, "pkcs11:token=%.*s", (int)strcspn(token_name + 6, ";?"),
                          token_name + 6);
    return (length > 0 && (size_t)length < token_length) ||
           error_set(error, ERROR_INVALID, "the key URI is too long");
}

static bool generate_key(const struct config_issuer *issuer, const struct options *options,
                         struct error *error) {
    char token[512], label[128];
    uint8_t id[8];
    if (!split_uri(issuer->key_uri, token, label, error))
        return false;
    random_bytes(id, sizeof id);
    const gnutls_datum_t id_datum = {id, sizeof id};
    bool is_rsa = is_rsa_issuer(issuer);
    gnutls_ecc_curve_t curve =
        strcmp(options->curve, "p384") == 0 ? GNUTLS_ECC_CURVE_SECP384R1 : GNUTLS_ECC_CURVE_SECP256R1;
    int outcome = gnutls_pkcs11_privkey_generate3(
        token, is_rsa ? GNUTLS_PK_RSA : GNUTLS_PK_ECDSA,
        is_rsa ? options->rsa_bits : GNUTLS_CURVE_TO_BITS(curve), label, &id_datum, 0, NULL, 0,
        GNUTLS_PKCS11_OBJ_FLAG_LOGIN | GNUTLS_PKCS11_OBJ_FLAG_MARK_SENSITIVE |
            GNUTLS_PKCS11_OBJ_FLAG_MARK_PRIVATE);
    if (outcome < 0)
        return error_set(error, ERROR_UNAVAILABLE, "the token does not make the key %s: %s", issuer->key_uri,
                         gnutls_strerror(outcome));
    printf("made the key of issuer \"%s\" in the token (%s)\n", issuer->name,
           is_rsa ? "RSA" : options->curve);
    return true;
}

/* Objects of one label: the private key's URI also finds the public key, which always comes with it in the
 * token. */
static bool load_public_key(const struct config_issuer *issuer, gnutls_privkey_t key,
                            gnutls_pubkey_t *public_key, struct error *error) {
    char token[512], label[128], uri[768];
    if (!split_uri(issuer->key_uri, token, label, error))
        return false;
    snprintf(uri, sizeof uri, "%s;object=%s;type=public", token, label);
    if (gnutls_pubkey_init(public_key) < 0)
        return error_set(error, ERROR_INTERNAL, "out of memory");
    if (gnutls_pubkey_import_privkey(*public_key, key, 0, 0) >= 0 ||
        gnutls_pubkey_import_url(*public_key, uri, GNUTLS_PKCS11_OBJ_FLAG_LOGIN) >= 0)
        return true;
    gnutls_pubkey_deinit(*public_key);
    return error_set(error, ERROR_UNAVAILABLE, "the token does not show the public key of %s",
                     issuer->key_uri);
}

static bool write_new_file(const char *path, const char *text, mode_t mode, struct error *error) {
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    size_t length = strlen(text);
    bool is_written = fd >= 0 && write(fd, text, length) == (ssize_t)length && fsync(fd) == 0;
    if (!is_written)
        error_set(error, ERROR_UNAVAILABLE, "cannot write %s: %m", path);
    if (fd >= 0)
        close(fd);
    return is_written;
}

static bool make_certificate(struct arena *arena, const struct config_issuer *issuer, gnutls_privkey_t key,
                             struct error *error) {
    gnutls_pubkey_t public_key;
    struct bytes der;
    char name[96];
    time_t now = time(NULL), not_before = now - now % 3600 - 3600;
    if (!load_public_key(issuer, key, &public_key, error))
        return false;
    /* Short: each leaf holds it, in each handshake. */
    snprintf(name, sizeof name, "originca %.64s", issuer->name);
    bool is_built = certificate_build_issuing(arena, name, public_key, key, not_before,
                                              not_before + (time_t)ISSUER_YEARS * 365 * 86400, &der, error);
    gnutls_pubkey_deinit(public_key);
    const char *pem = is_built ? pem_encode(arena, "CERTIFICATE", der.data, der.length) : NULL;
    if (pem == NULL || !write_new_file(issuer->certificate_file, pem, 0644, error))
        return false;
    printf("made the issuing certificate %s\n", issuer->certificate_file);
    return true;
}

static bool check_certificate(struct arena *arena, const struct config_issuer *config, gnutls_privkey_t key,
                              const struct issuer_names *names, struct error *error) {
    static const unsigned char text[] = "originca";
    const gnutls_datum_t data = {(unsigned char *)(uintptr_t)text, sizeof text};
    struct issuer issuer;
    gnutls_datum_t signature = {0};
    if (!issuer_load(arena, config, &issuer, error) || !issuer_names_judge(names, &issuer, error))
        return false;
    int outcome = gnutls_privkey_sign_data2(key, issuer.algorithm, 0, &data, &signature);
    if (outcome >= 0)
        outcome = gnutls_pubkey_verify_data2(issuer.public_key, issuer.algorithm, 0, &data, &signature);
    gnutls_free(signature.data);
    if (outcome < 0)
        return error_set(error, ERROR_INVALID, "%s does not belong to the key %s", config->certificate_file,
                         config->key_uri);
    printf("issuer \"%s\" is ready\n", config->name);
    return true;
}

/* A new key is none of what the ledger has under this name. */
static bool may_make_key(const struct config_issuer *issuer, const struct issuer_names *names,
                         struct error *error) {
    const struct issuer_name *known = issuer_names_find(names, issuer->name);
    return known == NULL || !known->is_bound ||
           error_set(
               error, ERROR_CONFLICT,
               "the key %s is not in the token, and the ledger knows the one of issuer \"%s\": bring it "
               "back; a new key gets an issuer name of its own (operations.md, \"Another issuing key\")",
               issuer->key_uri, issuer->name);
}

static bool init_issuer(const struct config_issuer *issuer, const struct options *options,
                        const struct issuer_names *names, struct error *error) {
    struct arena *arena = arena_new(0);
    gnutls_privkey_t key = NULL;
    struct error absent;
    bool is_ready = arena != NULL;
    if (is_ready && !token_load_key(issuer->key_uri, &key, &absent)) {
        if (absent.code != ERROR_NOT_FOUND) /* a PIN that was refused must not be tried again */
            is_ready = error_set(error, absent.code, "the token cannot be used: %s", absent.message);
        else
            is_ready = may_make_key(issuer, names, error) && generate_key(issuer, options, error) &&
                       token_load_key(issuer->key_uri, &key, error);
    }
    if (is_ready && access(issuer->certificate_file, F_OK) != 0)
        is_ready = make_certificate(arena, issuer, key, error);
    is_ready = is_ready && check_certificate(arena, issuer, key, names, error);
    if (key != NULL)
        gnutls_privkey_deinit(key);
    arena_free(arena);
    return is_ready;
}

/* The ledger is the signer's alone. What root makes would be read by nobody else. */
static bool give_ledger(const struct config *config, struct error *error) {
    const struct config_user *signer = &config->run_as[CONFIG_SIGNER];
    if (geteuid() != 0 || signer->name == NULL)
        return true;
    DIR *directory = opendir(config->ledger_directory);
    bool is_given = directory != NULL && fchown(dirfd(directory), signer->uid, signer->gid) == 0;
    for (struct dirent *entry; is_given && (entry = readdir(directory)) != NULL;)
        if (entry->d_type == DT_REG)
            is_given =
                fchownat(dirfd(directory), entry->d_name, signer->uid, signer->gid, AT_SYMLINK_NOFOLLOW) == 0;
    int reason = errno;
    if (directory != NULL)
        closedir(directory);
    return is_given || error_set(error, ERROR_INVALID, "cannot give %s to user %s: %s",
                                 config->ledger_directory, signer->name, strerror(reason));
}

/* The master secret is for workers and admin process, by the group they share; the operator secret for the
 * admin process alone, whatever groups there are. */
static bool give_secret(const struct config *config, const char *path, enum config_process process,
                        struct error *error) {
    const struct config_user *user = &config->run_as[process];
    bool is_shared = process == CONFIG_WORKERS;
    if (geteuid() != 0 || user->name == NULL)
        return true;
    return (chown(path, is_shared ? 0 : user->uid, user->gid) == 0 &&
            chmod(path, is_shared ? 0640 : 0400) == 0) ||
           error_set(error, ERROR_INVALID, "cannot give %s to user %s: %m", path, user->name);
}

static bool init_ledger(const struct config *config, struct error *error) {
    char **segments;
    if (mkdir(config->ledger_directory, 0700) == 0)
        printf("made the ledger directory %s\n", config->ledger_directory);
    int count = ledger_list_segments(config->ledger_directory, &segments, error);
    if (count < 0)
        return false;
    ledger_free_segments(segments, count);
    if (count > 0) {
        printf("the ledger is there\n");
        return true;
    }
    const struct ledger_options options = {.directory = config->ledger_directory,
                                           .host = config->host_name,
                                           .segment_bytes = config->ledger_segment_bytes,
                                           .may_begin = true};
    struct ledger *ledger = ledger_open(&options, error);
    if (ledger == NULL)
        return false;
    printf("began the ledger %s of host %s\n", ledger_id(ledger), config->host_name);
    ledger_close(ledger);
    return give_ledger(config, error);
}

static bool init_secret(const struct config *config, const char *path, const char *what,
                        enum config_process process, struct error *error) {
    if (path == NULL || access(path, F_OK) == 0)
        return true;
    if (!secrets_create(path, error) || !give_secret(config, path, process, error))
        return false;
    printf("made the %s secret %s: copy it to every host, keep a backup\n", what, path);
    return true;
}

static bool init_secrets(const struct config *config, struct error *error) {
    return init_secret(config, config->secret_file, "master", CONFIG_WORKERS, error) &&
           init_secret(config, config->operator_secret_file, "operator", CONFIG_ADMIN, error);
}

/* Nothing is known where there is no ledger yet. */
static bool read_names(const struct config *config, struct issuer_names *names, struct error *error) {
    if (names == NULL)
        return error_set(error, ERROR_INTERNAL, "out of memory");
    return access(config->ledger_directory, F_OK) != 0 ||
           issuer_names_load_ledger(names, config->ledger_directory, error);
}

static bool init_issuers(const struct config *config, const struct options *options, struct error *error) {
    struct issuer_names *names = issuer_names_new();
    bool is_done = read_names(config, names, error) && token_open(config, error);
    for (size_t i = 0; is_done && i < config->issuer_count; i++)
        is_done = init_issuer(&config->issuers[i], options, names, error);
    token_close();
    issuer_names_free(names);
    return is_done;
}

static bool parse_options(int argc, char **argv, struct options *options) {
    static const struct option table[] = {{"rsa-bits", required_argument, NULL, 'b'},
                                          {"curve", required_argument, NULL, 'c'},
                                          {"help", no_argument, NULL, 'h'},
                                          {0}};
    optind = 1;
    for (int option; (option = getopt_long(argc, argv, "", table, NULL)) != -1;) {
        if (option == 'b')
            options->rsa_bits = (unsigned)strtoul(optarg, NULL, 10);
        else if (option == 'c')
            options->curve = optarg;
        else
            return false;
    }
    return optind == argc &&
           (options->rsa_bits == 2048 || options->rsa_bits == 3072 || options->rsa_bits == 4096) &&
           (strcmp(options->curve, "p256") == 0 || strcmp(options->curve, "p384") == 0);
}

int signer_ca_init(const struct config *config, int argc, char **argv) {
    struct options options = {.rsa_bits = 2048, .curve = "p256"};
    struct error error;
    if (!parse_options(argc, argv, &options)) {
        fputs("Usage: originca-server [-c FILE] ca init [--rsa-bits 2048|3072|4096] [--curve p256|p384]\n"
              "Makes what is missing: keys in the token (an issuer named \"rsa...\" gets an RSA key), "
              "issuing certificates,\n"
              "master secret, ledger.\n",
              stderr);
        return 2;
    }
    bool is_done =
        init_secrets(config, &error) && init_issuers(config, &options, &error) && init_ledger(config, &error);
    if (!is_done)
        fprintf(stderr, "originca-server: ca init: %s\n", error.message);
    return is_done ? 0 : 1;
}
