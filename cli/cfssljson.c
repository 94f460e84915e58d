/* `originca json -bare NAME`: writes the files that cfssljson writes, from the JSON of cfssl or of genkey.
 * One thing differs: a file that exists is kept unless --overwrite is given, for it may be the only copy of a
 * key. */
#include <stdio.h>
#include <string.h>

#include "customer_commands.h"
#include "json_place.h"

struct part {
    const char *members[2]; /* the first that is there */
    const char *suffix;
    mode_t mode;
    bool is_base64;
};

static const struct part parts[] = {
    {{"cert", "certificate"}, ".pem", 0644, false},    {{"key", "private_key"}, "-key.pem", 0600, false},
    {{"encrypted_key", NULL}, "-key.enc", 0600, true}, {{"csr", "certificate_request"}, ".csr", 0644, false},
    {{"bundle", NULL}, "-bundle.pem", 0644, false},    {{"ocspResponse", NULL}, "-response.der", 0644, true},
};
#define PART_COUNT (sizeof parts / sizeof parts[0])

static bool part_of(struct customer *customer, const json_t *json, const struct part *part,
                    struct bytes *out) {
    const json_t *value = json_object_get(json, part->members[0]);
    if (value == NULL && part->members[1] != NULL)
        value = json_object_get(json, part->members[1]);
    if (json_is_object(value)) /* `bundle` of cfssl bundle is an object that holds it */
        value = json_object_get(value, "bundle");
    const char *text = json_string_value(value);
    *out = (struct bytes){(const uint8_t *)text, text == NULL ? 0 : strlen(text)};
    if (out->length == 0 || !part->is_base64)
        return true;
    return base64_decode(customer->arena, text, out->length, out) ||
           error_set(&customer->error, ERROR_INVALID, "\"%s\" is not base64", part->members[0]);
}

static json_t *unwrap(struct customer *customer, json_t *json) {
    if (customer->options.is_bare)
        return json;
    if (!json_is_true(json_object_get(json, "success"))) {
        const json_t *problem = json_array_get(json_object_get(json, "errors"), 0);
        const char *message = json_string_value(json_object_get(problem, "message"));
        error_set(&customer->error, ERROR_REFUSED, "the answer says no success: %s%s",
                  message != NULL ? message : "is it without an envelope? then add -bare",
                  message != NULL && json_object_get(json, "success") == NULL ? "; or add -bare" : "");
        return NULL;
    }
    return json_object_get(json, "result");
}

static bool write_parts(struct customer *customer, const json_t *json, const char *name, json_t *written) {
    struct output files[PART_COUNT] = {0};
    bool is_done = true;
    /* All are staged before the first is put in place: all or none. */
    for (size_t i = 0; is_done && i < PART_COUNT; i++) {
        struct bytes content;
        const char *path = arena_printf(customer->arena, "%s%s", name, parts[i].suffix);
        is_done = path != NULL && part_of(customer, json, &parts[i], &content);
        if (!is_done || content.length == 0)
            continue;
        is_done = output_stage(customer->arena, &files[i], path, content.data, content.length, parts[i].mode,
                               NULL, customer->options.may_overwrite, &customer->error);
        json_array_append_new(written, json_string(path));
    }
    for (size_t i = 0; is_done && i < PART_COUNT; i++)
        is_done = files[i].temporary == NULL || output_place(&files[i], &customer->error);
    for (size_t i = 0; i < PART_COUNT; i++)
        output_discard(&files[i]);
    return is_done;
}

static int print_parts(struct customer *customer, const json_t *json) {
    for (size_t i = 0; i < PART_COUNT; i++) {
        struct bytes content;
        if (!part_of(customer, json, &parts[i], &content))
            return EXIT_USAGE;
        if (content.length > 0)
            fwrite(content.data, 1, content.length, stdout);
    }
    return EXIT_OK;
}

int json_command(struct customer *customer) {
    const struct options *options = &customer->options;
    const char *path = options->input == NULL ? "-" : options->input;
    const char *name = customer->operand_count == 0 ? "cert" : customer->operands[0];
    struct bytes text;
    json_t *written = arena_own_json(customer->arena, json_array());
    if (customer->operand_count > 1 || written == NULL) {
        error_set(&customer->error, ERROR_INVALID, "usage: originca json [-bare] [-f FILE] [NAME]");
        return EXIT_USAGE;
    }
    if (!file_read(customer->arena, path, &text, &customer->error))
        return EXIT_USAGE;
    json_t *json = json_parse_file(customer->arena, strcmp(path, "-") == 0 ? "standard input" : path, text,
                                   &customer->error);
    json = json == NULL ? NULL : unwrap(customer, json);
    if (json == NULL)
        return customer->error.code == ERROR_NONE ? EXIT_REFUSED : customer_exit(customer);
    if (options->to_stdout)
        return print_parts(customer, json);
    if (!write_parts(customer, json, name, written))
        return customer_exit(customer);
    if (json_array_size(written) == 0) {
        error_set(&customer->error, ERROR_INVALID,
                  "the JSON holds no cert, key, csr, bundle or ocspResponse");
        return EXIT_USAGE;
    }
    if (options->as_json)
        print_json(written);
    return EXIT_OK;
}
