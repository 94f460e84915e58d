/* Files that may hold keys: written under a temporary name with their final mode, synced, and put in place in
 * one step, so that nobody ever sees half a file or a key that others can read. Without --overwrite the last
 * step fails where something exists, whenever it came to be there. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "customer.h"

#define FILE_MAX_BYTES (1024u * 1024)
#define STAGED_MAX 8

/* What a signal has to take away: keys must not stay behind under temporary names. */
static char *staged[STAGED_MAX];

static void remove_staged(int number) {
    for (size_t i = 0; i < STAGED_MAX; i++)
        if (staged[i] != NULL)
            unlink(staged[i]);
    signal(number, SIG_DFL);
    raise(number);
}

static void remember_staged(char *path) {
    static bool is_watching;
    static const int ends[] = {SIGINT, SIGTERM, SIGHUP};
    for (size_t i = 0; !is_watching && i < sizeof ends / sizeof ends[0]; i++) {
        struct sigaction old;
        if (sigaction(ends[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
            signal(ends[i], remove_staged);
    }
    is_watching = true;
    for (size_t i = 0; i < STAGED_MAX; i++)
        if (staged[i] == NULL) {
            staged[i] = path;
            return;
        }
}

static void forget_staged(const char *path) {
    for (size_t i = 0; i < STAGED_MAX; i++)
        if (staged[i] == path)
            staged[i] = NULL;
}

bool output_check(const char *path, bool may_replace, struct error *error) {
    struct stat found;
    if (lstat(path, &found) < 0) {
        if (errno == ENOENT)
            return true;
        return error_set(error, ERROR_CONFLICT, "cannot look at %s: %m", path);
    }
    if (!may_replace)
        return error_set(error, ERROR_CONFLICT, "%s exists; --overwrite replaces it", path);
    if (stat(path, &found) < 0 || !S_ISREG(found.st_mode))
        return error_set(error, ERROR_CONFLICT, "%s is not a regular file", path);
    return true;
}

static bool write_all(int file, const char *bytes, size_t length) {
    while (length > 0) {
        ssize_t count = write(file, bytes, length);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return false;
        bytes += count;
        length -= (size_t)count;
    }
    return fsync(file) == 0;
}

static bool give_to_group(int file, const char *name) {
    const struct group *group = name == NULL ? NULL : getgrnam(name);
    if (name != NULL && group == NULL)
        errno = EINVAL;
    return name == NULL || (group != NULL && fchown(file, (uid_t)-1, group->gr_gid) == 0);
}

bool output_stage(struct arena *arena, struct output *output, const char *path, const void *bytes,
                  size_t length, mode_t mode, const char *group, bool may_replace, struct error *error) {
    char target[PATH_MAX];
    *output = (struct output){.may_replace = may_replace};
    if (!output_check(path, may_replace, error))
        return false;
    /* The file behind a symbolic link is replaced, not the link. */
    output->path = arena_strdup(arena, may_replace && realpath(path, target) != NULL ? target : path);
    char *copy = output->path == NULL ? NULL : strdup(output->path);
    char *temporary = NULL;
    if (copy == NULL || asprintf(&temporary, "%s/.originca.XXXXXX", dirname(copy)) < 0) {
        free(copy);
        return error_set(error, ERROR_INTERNAL, "out of memory");
    }
    free(copy);
    int file = mkostemp(temporary, O_CLOEXEC);
    if (file < 0) {
        free(temporary);
        return error_set(error, ERROR_CONFLICT, "cannot write %s: %m", path);
    }
    output->temporary = temporary;
    remember_staged(temporary);
    bool is_written = give_to_group(file, group) && fchmod(file, mode) == 0 && write_all(file, bytes, length);
    int reason = errno;
    close(file);
    if (is_written)
        return true;
    output_discard(output);
    errno = reason;
    return error_set(error, ERROR_CONFLICT, group == NULL ? "cannot write %s: %m" : "cannot write %s%s%s: %m",
                     path, group == NULL ? "" : " for the group ", group == NULL ? "" : group);
}

static bool sync_directory(const char *path) {
    char *copy = strdup(path);
    int directory = copy == NULL ? -1 : open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool is_synced = directory >= 0 && fsync(directory) == 0;
    if (directory >= 0)
        close(directory);
    free(copy);
    return is_synced;
}

bool output_place(struct output *output, struct error *error) {
    int outcome = output->may_replace
                      ? rename(output->temporary, output->path)
                      : renameat2(AT_FDCWD, output->temporary, AT_FDCWD, output->path, RENAME_NOREPLACE);
    if (outcome < 0 && !output->may_replace && (errno == EINVAL || errno == ENOSYS)) {
        /* File systems without that flag have hard links, which do not replace either. */
        outcome = link(output->temporary, output->path);
        if (outcome == 0)
            unlink(output->temporary);
    }
    if (outcome < 0) {
        int reason = errno;
        output_discard(output);
        errno = reason;
        return error_set(error, ERROR_CONFLICT,
                         reason == EEXIST ? "%s exists; --overwrite replaces it" : "cannot write %s: %m",
                         output->path);
    }
    forget_staged(output->temporary);
    free(output->temporary);
    output->temporary = NULL;
    if (!sync_directory(output->path))
        return error_set(error, ERROR_CONFLICT, "%s is written but its folder cannot be synced: %m",
                         output->path);
    return true;
}

void output_discard(struct output *output) {
    if (output->temporary == NULL)
        return;
    unlink(output->temporary);
    forget_staged(output->temporary);
    free(output->temporary);
    output->temporary = NULL;
}

bool file_make_directory(struct arena *arena, const char *path, mode_t mode, struct error *error) {
    char *copy = arena_strdup(arena, path);
    if (copy == NULL)
        return error_set(error, ERROR_INTERNAL, "out of memory");
    for (char *at = copy + 1;; at++) {
        if (*at != '/' && *at != '\0')
            continue;
        char kept = *at;
        *at = '\0';
        if (mkdir(copy, mode) < 0 && errno != EEXIST)
            return error_set(error, ERROR_CONFLICT, "cannot make the folder %s: %m", copy);
        *at = kept;
        if (kept == '\0')
            return true;
    }
}

struct wiped {
    void *bytes;
    size_t length;
};

static void wipe(void *object) {
    struct wiped *wiped = object;
    bytes_wipe(wiped->bytes, wiped->length);
}

/* Room for the whole of a regular file; a pipe may hold as much as is allowed. */
static size_t room_for(FILE *file) {
    struct stat found;
    if (fstat(fileno(file), &found) < 0 || !S_ISREG(found.st_mode) || found.st_size > (off_t)FILE_MAX_BYTES)
        return FILE_MAX_BYTES + 1;
    return (size_t)found.st_size + 1;
}

bool file_read(struct arena *arena, const char *path, struct bytes *out, struct error *error) {
    bool is_stdin = strcmp(path, "-") == 0;
    FILE *file = is_stdin ? stdin : fopen(path, "re");
    if (file == NULL)
        return error_set(error, ERROR_INVALID, "cannot read %s: %m", path);
    size_t room = room_for(file);
    struct wiped *wiped = arena_alloc(arena, sizeof *wiped);
    uint8_t *bytes = arena_alloc(arena, room);
    setvbuf(file, NULL, _IONBF, 0); /* no second copy of a key in stdio's buffer */
    size_t length = bytes == NULL ? 0 : fread(bytes, 1, room, file);
    bool is_read = bytes != NULL && wiped != NULL && !ferror(file);
    if (!is_stdin)
        fclose(file);
    if (!is_read)
        return error_set(error, ERROR_INVALID, "cannot read %s: %m", is_stdin ? "standard input" : path);
    if (length == room)
        return error_set(error, ERROR_INVALID, "%s is longer than %u bytes, or grows while it is read", path,
                         FILE_MAX_BYTES);
    *wiped = (struct wiped){bytes, length};
    *out = (struct bytes){bytes, length};
    return arena_defer(arena, wipe, wiped) || error_set(error, ERROR_INTERNAL, "out of memory");
}
