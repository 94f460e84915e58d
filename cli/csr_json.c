/* Reading csr.json with the care that its author is grateful for. */
#include "csr_json.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "customer.h"
#include "json_place.h"

struct reader {
    struct arena *arena;
    const char *name; /* of the file, for messages */
    struct bytes text;
    struct error *error;
};

/* `step` ... NULL is the path to the value that is wrong. */
static bool complain(struct reader *reader, const char *const *path, const char *what) {
    return error_set(reader->error, ERROR_INVALID, "%s: %s: %s", reader->name,
                     json_place(reader->arena, reader->text, path), what);
}

/* Turns the members of `object` into the spelling of `known`; warns of others. */
static json_t *normalize(struct reader *reader, json_t *object, const char *const *known,
                         const char *const *path) {
    const char *key;
    json_t *value, *out = arena_own_json(reader->arena, json_object());
    const char *here[8] = {0};
    size_t depth = 0;
    for (; path[depth] != NULL && depth < 6; depth++)
        here[depth] = path[depth];
    json_object_foreach(object, key, value) {
        const char *const *name = known;
        while (*name != NULL && strcasecmp(*name, key) != 0)
            name++;
        here[depth] = key;
        if (*name != NULL)
            json_object_set(out, *name, value);
        else
            fprintf(stderr, "originca: %s: %s: \"%.60s\" is not a member of a csr.json; ignored\n",
                    reader->name, json_place(reader->arena, reader->text, here), key);
    }
    return out;
}

static bool read_text(struct reader *reader, const json_t *object, const char *member,
                      const char *const *path, const char **out) {
    const json_t *value = json_object_get(object, member);
    *out = json_string_value(value);
    return value == NULL || json_is_null(value) || *out != NULL ||
           complain(reader, path, "a string belongs here");
}

static bool read_key(struct reader *reader, json_t *whole, struct key_choice *choice) {
    static const char *const known[] = {"algo", "size", NULL};
    json_t *key = json_object_get(whole, "key");
    const char *algo = "ecdsa";
    char size[24];
    *choice = (struct key_choice){.is_ecdsa = true, .bits = 256};
    if (key == NULL || json_is_null(key))
        return true;
    if (!json_is_object(key))
        return complain(reader, (const char *const[]){"key", NULL},
                        "an object {\"algo\", \"size\"} belongs here");
    key = normalize(reader, key, known, (const char *const[]){"key", NULL});
    if (!read_text(reader, key, "algo", (const char *const[]){"key", "algo", NULL}, &algo))
        return false;
    const json_t *number = json_object_get(key, "size");
    if (number != NULL && !json_is_integer(number))
        return complain(reader, (const char *const[]){"key", "size", NULL}, "a number of bits belongs here");
    snprintf(size, sizeof size, "%lld", (long long)json_integer_value(number));
    struct error reason = {0};
    if (algo == NULL || (strcmp(algo, "rsa") != 0 && strcmp(algo, "ecdsa") != 0))
        return complain(reader, (const char *const[]){"key", algo == NULL ? NULL : "algo", NULL},
                        "the algorithm is \"rsa\" or \"ecdsa\"");
    if (!key_choose(algo, number == NULL ? NULL : size, true, choice, &reason))
        return complain(reader, (const char *const[]){"key", "size", NULL}, reason.message);
    return true;
}

static bool read_hosts(struct reader *reader, json_t *whole, const json_t **out) {
    json_t *hosts = json_object_get(whole, "hosts");
    size_t i;
    const json_t *host;
    *out = NULL;
    if (hosts == NULL || json_is_null(hosts))
        return true;
    if (!json_is_array(hosts))
        return complain(reader, (const char *const[]){"hosts", NULL}, "a list of strings belongs here");
    json_array_foreach(hosts, i, host) {
        char index[24];
        snprintf(index, sizeof index, "%zu", i);
        const char *text = json_string_value(host), *const path[] = {"hosts", index, NULL};
        if (text == NULL || *text == '\0')
            return complain(reader, path, "a hostname in quotes belongs here");
        if (strpbrk(text, " \t,/\"'") != NULL || strstr(text, "\xE2\x80") != NULL)
            return complain(reader, path, "a hostname has no blanks, commas, slashes or quotes");
    }
    *out = hosts;
    return true;
}

static bool read_names(struct reader *reader, json_t *whole, json_t **out) {
    static const char *const known[] = {"C", "ST", "L", "O", "OU", "SerialNumber", NULL};
    json_t *names = json_object_get(whole, "names"), *name;
    size_t i;
    *out = arena_own_json(reader->arena, json_array());
    if (names == NULL || json_is_null(names))
        return true;
    if (!json_is_array(names))
        return complain(reader, (const char *const[]){"names", NULL}, "a list of objects belongs here");
    json_array_foreach(names, i, name) {
        char index[24];
        snprintf(index, sizeof index, "%zu", i);
        if (!json_is_object(name))
            return complain(reader, (const char *const[]){"names", index, NULL},
                            "an object with C, ST, L, O, OU belongs here");
        json_t *plain = normalize(reader, name, known, (const char *const[]){"names", index, NULL});
        for (const char *const *member = known; *member != NULL; member++) {
            const char *text, *const path[] = {"names", index, *member, NULL};
            if (!read_text(reader, plain, *member, path, &text))
                return false;
            if (strcmp(*member, "C") == 0 && text != NULL && *text != '\0' && strlen(text) != 2)
                return complain(reader, path, "a country is two letters, as in \"US\"");
        }
        json_array_append(*out, plain);
    }
    return true;
}

bool csr_json_read(struct arena *arena, const char *path, struct csr_json *out, struct error *error) {
    static const char *const known[] = {"CN", "hosts", "key", "names", "serialnumber", "ca", NULL};
    struct reader reader = {
        .arena = arena, .name = strcmp(path, "-") == 0 ? "standard input" : path, .error = error};
    json_t *subject = NULL;
    *out = (struct csr_json){0};
    if (!file_read(arena, path, &reader.text, error))
        return false;
    json_t *whole = json_parse_file(arena, reader.name, reader.text, error);
    if (whole == NULL)
        return false;
    if (!json_is_object(whole))
        return complain(&reader, (const char *const[]){NULL}, "an object {...} belongs here");
    whole = normalize(&reader, whole, known, (const char *const[]){NULL});
    bool is_fine =
        read_text(&reader, whole, "CN", (const char *const[]){"CN", NULL}, &out->names.common_name) &&
        read_text(&reader, whole, "serialnumber", (const char *const[]){"serialnumber", NULL},
                  &out->names.serial_number) &&
        read_key(&reader, whole, &out->key) && read_hosts(&reader, whole, &out->names.hosts) &&
        read_names(&reader, whole, &subject);
    out->names.subject = subject;
    return is_fine;
}
