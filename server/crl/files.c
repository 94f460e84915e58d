/* The folder of lists. One writer, the admin process; readers look at the index and map what it names. */
#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#define INDEX "index"
#define LISTS_MAX 65536

void crl_files_free(struct crl_files *files) {
    for (size_t i = 0; i < files->count; i++) {
        free(files->items[i].issuer);
        free(files->items[i].url);
    }
    free(files->items);
    files->items = NULL;
    files->count = 0;
}

static bool path_of(const struct crl_files *files, const char *name, char *out, size_t size) {
    return (size_t)snprintf(out, size, "%s/%s", files->directory, name) < size;
}

/* Names are ours: letters, digits, '-' and '.', so that an index leads nowhere else. */
static bool is_file_name(const char *name) {
    size_t length = strlen(name);
    return length > 4 && length < CRL_FILE_NAME_MAX && strspn(name, "abcdef0123456789-") == length - 4 &&
           strcmp(name + length - 4, ".crl") == 0;
}

static bool read_item(const json_t *json, struct crl_file *file) {
    json_int_t number, entries, bytes, this_update, next_update;
    const char *issuer, *url, *name;
    if (json_unpack((json_t *)(uintptr_t)json, "{s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I}", "issuer", &issuer,
                    "url", &url, "file", &name, "number", &number, "entries", &entries, "bytes", &bytes,
                    "this_update", &this_update, "next_update", &next_update) != 0 ||
        !is_file_name(name))
        return false;
    *file = (struct crl_file){.issuer = strdup(issuer),
                              .url = strdup(url),
                              .number = (uint64_t)number,
                              .entry_count = (uint64_t)entries,
                              .bytes = (uint64_t)bytes,
                              .this_update = (time_t)this_update,
                              .next_update = (time_t)next_update};
    snprintf(file->name, sizeof file->name, "%s", name);
    return file->issuer != NULL && file->url != NULL;
}

static bool read_items(struct crl_files *files, const json_t *index) {
    size_t i, count = json_array_size(index);
    const json_t *item;
    files->items = calloc(count + 1, sizeof *files->items);
    if (files->items == NULL || count > LISTS_MAX)
        return false;
    json_array_foreach(index, i, item) {
        if (!read_item(item, &files->items[files->count++]))
            return false;
    }
    return true;
}

bool crl_files_read(struct crl_files *files, const char *run_directory, struct error *error) {
    char path[320];
    json_error_t problem;
    *files = (struct crl_files){.count = 0};
    snprintf(files->directory, sizeof files->directory, "%s/crl", run_directory);
    if (!path_of(files, INDEX, path, sizeof path))
        return error_set(error, ERROR_INVALID, "run_directory is too long");
    if (access(path, F_OK) != 0 && errno == ENOENT)
        return true;
    json_t *index = json_load_file(path, 0, &problem);
    bool is_good = json_is_array(index) && read_items(files, index);
    json_decref(index);
    if (!is_good)
        crl_files_free(files);
    return is_good || error_set(error, ERROR_INVALID, "%s is no index of revocation lists", path);
}

const struct crl_file *crl_files_find(const struct crl_files *files, const char *issuer, const char *url) {
    for (size_t i = 0; i < files->count; i++)
        if (strcmp(files->items[i].issuer, issuer) == 0 && strcmp(files->items[i].url, url) == 0)
            return &files->items[i];
    return NULL;
}

/* --- damage --- */

static bool has_its_hash(const struct crl_file *file, int fd) {
    uint8_t *data = malloc(file->bytes + 1), hash[SHA256_BYTES];
    char id[17];
    size_t length = 0;
    for (ssize_t got = 1; data != NULL && got > 0 && length <= file->bytes; length += (size_t)got)
        if ((got = read(fd, data + length, file->bytes + 1 - length)) < 0)
            got = 0;
    bool is_same = data != NULL && length == file->bytes;
    if (is_same) {
        sha256(data, length, hash);
        hex_encode(hash, 8, id);
        const char *dash = strchr(file->name, '-');
        is_same = dash != NULL && strncmp(dash + 1, id, 16) == 0;
    }
    free(data);
    return is_same;
}

static bool is_whole(const struct crl_files *files, struct crl_file *file) {
    char path[320];
    struct stat is;
    int fd =
        path_of(files, file->name, path, sizeof path) ? open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW) : -1;
    if (fd < 0)
        return false;
    bool is_there = fstat(fd, &is) == 0 && (uint64_t)is.st_size == file->bytes;
    bool is_known = is_there && file->inode == is.st_ino && file->found_whole.tv_sec == is.st_mtim.tv_sec &&
                    file->found_whole.tv_nsec == is.st_mtim.tv_nsec;
    bool is_good = is_known || (is_there && has_its_hash(file, fd));
    close(fd);
    if (is_good) {
        file->inode = is.st_ino;
        file->found_whole = is.st_mtim;
    }
    return is_good;
}

const struct crl_file *crl_files_find_damaged(struct crl_files *files) {
    for (size_t i = 0; i < files->count; i++)
        if (!is_whole(files, &files->items[i]))
            return &files->items[i];
    return NULL;
}

/* Whole or not at all. What a power cut leaves of it is noticed by its hash, and Redis has the lists too. */
static bool write_file(const struct crl_files *files, const char *name, const void *data, size_t length,
                       struct error *error) {
    char path[320], draft[330];
    if (!path_of(files, name, path, sizeof path))
        return error_set(error, ERROR_INVALID, "run_directory is too long");
    snprintf(draft, sizeof draft, "%s.new", path);
    int fd = open(draft, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
    bool is_written = fd >= 0 && fchmod(fd, 0644) == 0;
    for (size_t at = 0; is_written && at < length;) {
        ssize_t written = write(fd, (const char *)data + at, length - at);
        is_written = written > 0;
        at += is_written ? (size_t)written : 0;
    }
    if (fd >= 0)
        is_written = close(fd) == 0 && is_written;
    return (is_written && rename(draft, path) == 0) ||
           error_set(error, ERROR_UNAVAILABLE, "cannot write %s: %m", path);
}

static bool write_index(const struct crl_files *files, struct error *error) {
    json_t *index = json_array();
    for (size_t i = 0; i < files->count; i++) {
        const struct crl_file *file = &files->items[i];
        json_array_append_new(
            index, json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I}", "issuer", file->issuer, "url",
                             file->url, "file", file->name, "number", (json_int_t)file->number, "entries",
                             (json_int_t)file->entry_count, "bytes", (json_int_t)file->bytes, "this_update",
                             (json_int_t)file->this_update, "next_update", (json_int_t)file->next_update));
    }
    char *text = json_dumps(index, JSON_INDENT(1));
    bool is_written = json_array_size(index) == files->count && text != NULL
                          ? write_file(files, INDEX, text, strlen(text), error)
                          : error_set(error, ERROR_INTERNAL, "out of memory");
    free(text);
    json_decref(index);
    return is_written;
}

static struct crl_file *find_or_add(struct crl_files *files, const struct crl_file *wanted) {
    struct crl_file *known = (struct crl_file *)(uintptr_t)crl_files_find(files, wanted->issuer, wanted->url);
    if (known != NULL)
        return known;
    struct crl_file *larger = realloc(files->items, (files->count + 1) * sizeof *larger);
    if (larger == NULL)
        return NULL;
    files->items = larger;
    struct crl_file fresh = {.issuer = strdup(wanted->issuer), .url = strdup(wanted->url)};
    if (fresh.issuer == NULL || fresh.url == NULL) {
        free(fresh.issuer);
        free(fresh.url);
        return NULL;
    }
    larger[files->count] = fresh;
    return &larger[files->count++];
}

bool crl_files_put(struct crl_files *files, const struct crl_file *file, struct bytes der,
                   struct error *error) {
    uint8_t hash[SHA256_BYTES];
    char id[17], former[CRL_FILE_NAME_MAX], path[320];
    struct crl_file *known = find_or_add(files, file);
    if (known == NULL)
        return error_set(error, ERROR_INTERNAL, "out of memory");
    if (known->number >= file->number)
        return true;
    sha256(der.data, der.length, hash);
    hex_encode(hash, 8, id);
    memcpy(former, known->name, sizeof former);
    const struct crl_file before = *known;
    known->number = file->number;
    known->entry_count = file->entry_count;
    known->this_update = file->this_update;
    known->next_update = file->next_update;
    known->bytes = der.length;
    snprintf(known->name, sizeof known->name, "%llx-%s.crl", (unsigned long long)file->number, id);
    if (!write_file(files, known->name, der.data, der.length, error) || !write_index(files, error)) {
        *known = before;
        return false;
    }
    if (*former != '\0' && strcmp(former, known->name) != 0 && path_of(files, former, path, sizeof path))
        unlink(path);
    return true;
}

bool crl_files_drop(struct crl_files *files, const struct crl_file *file, struct error *error) {
    struct crl_file *dropped = &files->items[file - files->items];
    char path[320];
    if (path_of(files, dropped->name, path, sizeof path))
        unlink(path);
    free(dropped->issuer);
    free(dropped->url);
    *dropped = files->items[--files->count];
    return write_index(files, error);
}

bool crl_files_note_wrong(struct crl_files *files, const char *issuer, const char *url, uint64_t count) {
    for (size_t i = 0; i < files->count; i++) {
        struct crl_file *file = &files->items[i];
        if (strcmp(file->issuer, issuer) != 0 || strcmp(file->url, url) != 0)
            continue;
        bool is_news = file->wrong_entries != count;
        file->wrong_entries = count;
        return is_news && count > 0;
    }
    return count > 0;
}
