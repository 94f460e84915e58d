/* Written beside, synced, renamed, the directory synced. */
#include "state_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_BYTES 4200
#define FILE_MAX ((uint64_t)1 << 32)

bool state_file_sync_directory(const char *directory) {
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool is_synced = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0)
        close(fd);
    return is_synced;
}

bool state_file_write(const char *directory, const char *name, const void *content, size_t length,
                      struct error *error) {
    const uint8_t *bytes = content;
    char path[PATH_BYTES], draft[PATH_BYTES];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    snprintf(draft, sizeof draft, "%s/%s.new", directory, name);
    int fd = open(draft, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool is_written = fd >= 0;
    for (size_t done = 0; is_written && done < length;) {
        ssize_t written = write(fd, bytes + done, length - done);
        if (written < 0 && errno == EINTR)
            continue;
        is_written = written > 0;
        done += written > 0 ? (size_t)written : 0;
    }
    is_written = is_written && fsync(fd) == 0;
    if (fd >= 0)
        close(fd);
    return (is_written && rename(draft, path) == 0 && state_file_sync_directory(directory)) ||
           error_set(error, ERROR_UNAVAILABLE, "cannot write %s: %m", path);
}

uint8_t *state_file_read(const char *directory, const char *name, size_t *length, struct error *error) {
    char path[PATH_BYTES];
    struct stat status;
    uint8_t *bytes = NULL;
    snprintf(path, sizeof path, "%s/%s", directory, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        error_set(error, errno == ENOENT ? ERROR_NOT_FOUND : ERROR_UNAVAILABLE, "cannot read %s: %m", path);
        return NULL;
    }
    if (fstat(fd, &status) == 0 && status.st_size >= 0 && (uint64_t)status.st_size < FILE_MAX)
        bytes = malloc((size_t)status.st_size + 1);
    *length = 0;
    while (bytes != NULL && *length < (size_t)status.st_size) {
        ssize_t got = read(fd, bytes + *length, (size_t)status.st_size - *length);
        if (got <= 0)
            break;
        *length += (size_t)got;
    }
    close(fd);
    if (bytes == NULL)
        error_set(error, ERROR_UNAVAILABLE, "cannot read %s: too large", path);
    return bytes;
}

void state_file_remove(const char *directory, const char *name) {
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    if (unlink(path) == 0)
        (void)!state_file_sync_directory(directory);
}
