/* What renew knows of a certificate: a JSON file that holds the order it came from, the files it is in, and
 * when to renew it. No secret is in it. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "issue.h"

#define ROOT_DIRECTORY "/var/lib/originca-client"

const char *state_directory(struct customer *customer) {
    const char *base = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    if (customer->options.state_dir != NULL)
        return customer->options.state_dir;
    if (geteuid() == 0)
        return ROOT_DIRECTORY;
    const char *made = base != NULL && *base != '\0' ? arena_printf(customer->arena, "%s/originca", base)
                       : home != NULL ? arena_printf(customer->arena, "%s/.local/state/originca", home)
                                      : NULL;
    return made == NULL ? ".originca" : made;
}

bool state_name_check(const char *name, struct error *error) {
    if (*name == '\0' || *name == '.' || *name == '-' || strchr(name, '/') != NULL || strlen(name) > 200)
        return error_set(error, ERROR_INVALID,
                         "\"%.100s\" cannot be part of a file name; --name and --key-out "
                         "and --certificate-out choose others",
                         name);
    return true;
}

static const char *path_of(struct customer *customer, const char *name) {
    const char *path = arena_printf(customer->arena, "%s/%s.json", state_directory(customer), name);
    return path == NULL ? "" : path;
}

bool state_prepare(struct customer *customer) {
    return file_make_directory(customer->arena, state_directory(customer), 0700, &customer->error);
}

static json_t *absolute(struct arena *arena, const char *path) {
    char here[PATH_MAX];
    if (path == NULL)
        return NULL;
    if (*path == '/' || getcwd(here, sizeof here) == NULL)
        return json_string(path);
    const char *whole = arena_printf(arena, "%s/%s", here, path);
    return json_string(whole == NULL ? path : whole);
}

void state_window(const char *id, time_t not_before, time_t not_after, time_t *start, time_t *end) {
    uint8_t digest[SHA256_BYTES];
    time_t life = not_after - not_before;
    sha256(id, strlen(id), digest);
    time_t jitter = (time_t)(digest[0] << 8 | digest[1]) * (life / 12) / 65536;
    *start = not_after - life / 3 + jitter;
    *end = *start + (life / 12 > 0 ? life / 12 : 1);
}

static void set_time(json_t *json, const char *member, time_t when) {
    char text[TIME_TEXT_MAX];
    time_format(when, text);
    json_object_set_new(json, member, json_string(text));
}

bool state_save(struct customer *customer, const struct order *order, const char *id, time_t not_before,
                time_t not_after, bool has_hook_failed) {
    struct arena *arena = customer->arena;
    time_t start, end;
    uint16_t random;
    json_t *json = arena_own_json(
        arena,
        json_pack(
            "{s:i, s:s, s:O, s:i, s:s, s:i, s:s, s:s, s:s, s:s?, s:s?, s:o*, s:o*, s:o*, s:o*, s:s?, s:o*}",
            "version", 1, "name", order->name, "hostnames", order->hostnames, "days", (int)order->days,
            "key_type", order->choice.is_ecdsa ? "ecdsa" : "rsa", "key_size", (int)order->choice.bits,
            "key_format", order->key_format, "request_type", order->request_type, "format", order->format,
            "key_group", order->key_group, "reload_hook", order->reload_hook, "key_out",
            absolute(arena, order->key_out), "certificate_out", absolute(arena, order->certificate_out),
            "issuer_file", absolute(arena, order->issuer_file), "csr", absolute(arena, order->csr), "api_url",
            customer->rest.base, "ca_file", absolute(arena, customer->options.ca_file)));
    if (json == NULL)
        return error_set(&customer->error, ERROR_INTERNAL, "out of memory");
    state_window(id, not_before, not_after, &start, &end);
    random_bytes(&random, sizeof random);
    json_object_set_new(json, "id", json_string(id));
    set_time(json, "not_before", not_before);
    set_time(json, "not_after", not_after);
    set_time(json, "window_start", start);
    set_time(json, "window_end", end);
    set_time(json, "renew_at", start + (end - start) * random / 65536);
    json_object_set_new(json, "hook_failed", json_boolean(has_hook_failed));
    char *text = json_dumps(json, JSON_INDENT(2));
    struct output output;
    bool is_saved = text != NULL &&
                    output_stage(arena, &output, path_of(customer, order->name), text, strlen(text), 0600,
                                 NULL, true, &customer->error) &&
                    output_place(&output, &customer->error);
    free(text);
    return is_saved;
}

json_t *state_load(struct customer *customer, const char *name) {
    struct bytes file;
    const char *path = path_of(customer, name);
    if (!state_name_check(name, &customer->error))
        return NULL;
    if (access(path, F_OK) < 0) {
        error_set(&customer->error, ERROR_NOT_FOUND, "nothing is known of \"%s\" in %s", name,
                  state_directory(customer));
        return NULL;
    }
    if (!file_read(customer->arena, path, &file, &customer->error))
        return NULL;
    json_t *json = json_parse(customer->arena, file.data, file.length, &customer->error);
    if (json == NULL)
        error_prefix(&customer->error, "%s", path);
    return json;
}

static const char *optional(const json_t *json, const char *member) {
    return json_string_value(json_object_get(json, member));
}

bool state_order(struct customer *customer, const json_t *state, struct order *order) {
    *order = (struct order){.name = json_text(state, "name"),
                            .hostnames = json_object_get(state, "hostnames"),
                            .days = (unsigned)json_integer_value(json_object_get(state, "days")),
                            .key_format = json_text(state, "key_format"),
                            .request_type = json_text(state, "request_type"),
                            .format = json_text(state, "format"),
                            .key_out = optional(state, "key_out"),
                            .certificate_out = optional(state, "certificate_out"),
                            .key_group = optional(state, "key_group"),
                            .reload_hook = optional(state, "reload_hook"),
                            .issuer_file = optional(state, "issuer_file"),
                            .csr = optional(state, "csr"),
                            .may_replace = true,
                            .has_state = true};
    order->choice.is_ecdsa = strcmp(json_text(state, "key_type"), "ecdsa") == 0;
    order->choice.bits = (unsigned)json_integer_value(json_object_get(state, "key_size"));
    if (json_integer_value(json_object_get(state, "version")) != 1 || order->certificate_out == NULL ||
        (order->key_out == NULL && order->csr == NULL) || json_array_size(order->hostnames) == 0)
        return error_set(&customer->error, ERROR_INVALID, "%s is not a state file of this version",
                         path_of(customer, order->name));
    return true;
}

static int is_state_file(const struct dirent *entry) {
    size_t length = strlen(entry->d_name);
    return entry->d_name[0] != '.' && length > 5 && strcmp(entry->d_name + length - 5, ".json") == 0;
}

static int by_name(const struct dirent **a, const struct dirent **b) {
    return strcmp((*a)->d_name, (*b)->d_name);
}

json_t *state_names(struct customer *customer) {
    struct dirent **entries = NULL;
    json_t *array = arena_own_json(customer->arena, json_array());
    int count = scandir(state_directory(customer), &entries, is_state_file, by_name);
    for (int i = 0; i < count; i++) {
        json_array_append_new(array, json_stringn(entries[i]->d_name, strlen(entries[i]->d_name) - 5));
        free(entries[i]);
    }
    free(entries);
    return array;
}

bool state_lock(struct customer *customer) {
    const char *path = arena_printf(customer->arena, "%s/.lock", state_directory(customer));
    if (path == NULL || !state_prepare(customer))
        return false;
    int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (file < 0)
        return error_set(&customer->error, ERROR_CONFLICT, "cannot open %s: %m", path);
    if (flock(file, LOCK_EX | LOCK_NB) == 0)
        return true; /* held until the process ends */
    close(file);
    return error_set(&customer->error, ERROR_CONFLICT, "another `originca renew` is at work (%s)", path);
}
