/* The master secret and what derives from it. Its memory is locked, kept out of core dumps and wiped. */
#include "originca/secrets.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "originca/config.h"

struct secrets {
    uint8_t master[SECRET_BYTES];
};

static struct secrets *allocate(void) {
    struct secrets *secrets =
        mmap(NULL, sizeof *secrets, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (secrets == MAP_FAILED)
        return NULL;
    /* Both are hardening only: a system without them still works. */
    if (mlock(secrets, sizeof *secrets) != 0 || madvise(secrets, sizeof *secrets, MADV_DONTDUMP) != 0)
        return secrets;
    return secrets;
}

struct secrets *secrets_load(const char *path, struct error *error) {
    char *text = config_read_secret(path, 256, error);
    if (text == NULL)
        return NULL;
    struct secrets *secrets = allocate();
    bool is_good = secrets != NULL && hex_decode(text, secrets->master, SECRET_BYTES);
    bytes_wipe(text, strlen(text));
    free(text);
    if (is_good)
        return secrets;
    error_set(error, secrets == NULL ? ERROR_INTERNAL : ERROR_INVALID,
              "%s must hold 64 hex digits (`originca-server ca init` makes it)", path);
    secrets_free(secrets);
    return NULL;
}

bool secrets_create(const char *path, struct error *error) {
    uint8_t master[SECRET_BYTES];
    char text[2 * SECRET_BYTES + 2];
    random_bytes(master, sizeof master);
    hex_encode(master, sizeof master, text);
    bytes_wipe(master, sizeof master);
    text[2 * SECRET_BYTES] = '\n';
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    bool is_good = fd >= 0 && write(fd, text, 2 * SECRET_BYTES + 1) == 2 * SECRET_BYTES + 1 && fsync(fd) == 0;
    bytes_wipe(text, sizeof text);
    if (!is_good)
        error_set(error, ERROR_INVALID, "cannot write the secret file %s: %m", path);
    if (fd >= 0)
        close(fd);
    return is_good;
}

void secrets_free(struct secrets *secrets) {
    if (secrets == NULL)
        return;
    bytes_wipe(secrets, sizeof *secrets);
    munmap(secrets, sizeof *secrets);
}

void secrets_derive(const struct secrets *secrets, const char *label, const void *context, size_t length,
                    uint8_t out[SECRET_BYTES]) {
    /* Contexts are key ids and names: short. A longer one is hashed first, so every length is safe. */
    uint8_t message[512], digest[SHA256_BYTES];
    size_t label_length = strlen(label) + 1;
    if (length > sizeof message - label_length) {
        sha256(context, length, digest);
        context = digest;
        length = sizeof digest;
    }
    memcpy(message, label, label_length);
    if (length > 0)
        memcpy(message + label_length, context, length);
    hmac_sha256(secrets->master, SECRET_BYTES, message, label_length + length, out);
}

void secrets_derive_eab_key(const struct secrets *secrets, const char *kid, uint8_t out[SECRET_BYTES]) {
    secrets_derive(secrets, "eab", kid, strlen(kid), out);
    out[0] &= 0x7F;
}
