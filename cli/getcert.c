/* `originca getcert` and `cfca getcert`: one certificate from flags, or many from a file of hostnames. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "customer_commands.h"
#include "issue.h"

static const char *or_else(const char *value, const char *otherwise) {
    return value == NULL ? otherwise : value;
}

static void add_hostnames(json_t *array, const char *text, size_t length) {
    static const char separators[] = ", \t\r\n";
    for (size_t at = 0; at < length;) {
        size_t word = 0;
        while (at + word < length && strchr(separators, text[at + word]) == NULL)
            word++;
        if (word > 0)
            json_array_append_new(array, json_stringn(text + at, word));
        at += word + 1;
    }
}

static bool take_days(struct customer *customer, unsigned *days) {
    const char *text = or_else(customer->options.days, DAYS_DEFAULT);
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    *days = (unsigned)value;
    return (*text >= '0' && *text <= '9' && *end == '\0' && value > 0 && value < 100000) ||
           error_set(&customer->error, ERROR_INVALID, "--days is a number of days, not \"%s\"", text);
}

static const char *extension(const char *format) {
    return strcmp(format, "der") == 0 ? "der" : strcmp(format, "p7b") == 0 ? "p7b" : "pem";
}

/* The request type names the family that signs; by default that of the key. */
static bool fill_request_type(struct customer *customer, struct order *order) {
    const char *type = customer->options.request_type;
    struct bytes file;
    gnutls_x509_crq_t request;
    if (type == NULL && order->csr != NULL) {
        unsigned bits;
        if (!file_read(customer->arena, order->csr, &file, &customer->error))
            return false;
        gnutls_datum_t datum = {(unsigned char *)file.data, (unsigned)file.length};
        if (gnutls_x509_crq_init(&request) < 0)
            return error_set(&customer->error, ERROR_INTERNAL, "out of memory");
        order->choice.is_ecdsa = gnutls_x509_crq_import(request, &datum, GNUTLS_X509_FMT_PEM) >= 0 &&
                                 gnutls_x509_crq_get_pk_algorithm(request, &bits) == GNUTLS_PK_ECDSA;
        gnutls_x509_crq_deinit(request);
    }
    order->request_type = or_else(type, order->choice.is_ecdsa ? "origin-ecc" : "origin-rsa");
    return strcmp(order->request_type, "origin-ecc") == 0 || strcmp(order->request_type, "origin-rsa") == 0 ||
           error_set(&customer->error, ERROR_INVALID,
                     "the request type is origin-rsa or origin-ecc, not \"%s\"", order->request_type);
}

/* Everything but the hostnames, which may be many sets. */
static bool fill_common(struct customer *customer, struct order *order) {
    const struct options *options = &customer->options;
    enum key_format format;
    order->key_format = or_else(options->key_format, "pkcs8");
    order->format = or_else(options->format, "pem");
    order->key_group = options->key_group;
    order->reload_hook = options->reload_hook;
    order->issuer_file = options->issuer_file;
    order->csr = options->csr;
    order->may_replace = options->may_overwrite;
    order->has_state = !options->has_no_state && !customer->has_log_lines;
    if (strstr("|pem|der|p7b|chain|", order->format) == NULL || strchr(order->format, '|') != NULL)
        return error_set(&customer->error, ERROR_INVALID, "the format is pem, der, p7b or chain, not \"%s\"",
                         order->format);
    return take_days(customer, &order->days) &&
           key_choose(or_else(options->key_type, "ecdsa"), options->key_size, false, &order->choice,
                      &customer->error) &&
           key_format_parse(order->key_format, &format, &customer->error) &&
           fill_request_type(customer, order);
}

/* Files are called by the first name; "*" would be a trap in a shell, so it becomes "_". */
static bool fill_names(struct customer *customer, struct order *order) {
    const struct options *options = &customer->options;
    size_t i;
    const json_t *host;
    if (json_array_size(order->hostnames) == 0)
        return error_set(&customer->error, ERROR_INVALID,
                         "no hostnames; --hostnames example.com,*.example.com");
    json_array_foreach(order->hostnames, i, host) {
        const char *text = json_string_value(host);
        if (text == NULL || *text == '-' || strlen(text) > 253)
            return error_set(&customer->error, ERROR_INVALID, "\"%.80s\" is not a hostname",
                             text == NULL ? "" : text);
    }
    const char *first = json_string_value(json_array_get(order->hostnames, 0));
    const char *base = *first == '*' ? arena_printf(customer->arena, "_%s", first + 1)
                                     : arena_strdup(customer->arena, first);
    const char *directory = or_else(options->out_dir, ".");
    bool is_here = strcmp(directory, ".") == 0;
    bool is_derived = options->name == NULL || options->certificate_out == NULL || options->key_out == NULL;
    if (base == NULL || (is_derived && !state_name_check(base, &customer->error)) ||
        (options->name != NULL && !state_name_check(options->name, &customer->error)))
        return false;
    order->name = or_else(options->name, base);
    order->certificate_out = options->certificate_out != NULL
                                 ? options->certificate_out
                                 : arena_printf(customer->arena, "%s%s%s.%s", is_here ? "" : directory,
                                                is_here ? "" : "/", base, extension(order->format));
    order->key_out =
        order->csr != NULL ? NULL
        : options->key_out != NULL
            ? options->key_out
            : arena_printf(customer->arena, "%s%s%s.key", is_here ? "" : directory, is_here ? "" : "/", base);
    if (order->key_out != NULL && strcmp(order->key_out, order->certificate_out) == 0)
        return error_set(&customer->error, ERROR_INVALID, "key and certificate cannot be one file: %s",
                         order->key_out);
    return true;
}

static bool check_name_is_free(struct customer *customer, const struct order *order) {
    if (!order->has_state || order->may_replace)
        return true;
    const json_t *known = state_load(customer, order->name);
    if (known == NULL) {
        customer->error = (struct error){0};
        return true;
    }
    const char *file = json_text(known, "certificate_out");
    char *here = realpath(order->certificate_out, NULL);
    bool is_same = here != NULL && strcmp(here, file) == 0;
    free(here);
    return is_same || access(file, F_OK) < 0 ||
           error_set(
               &customer->error, ERROR_CONFLICT,
               "renew knows \"%s\" already, in %s; --name chooses another name, --overwrite replaces it",
               order->name, file);
}

static void print_summary(struct customer *customer, const json_t *summary, bool has_state) {
    size_t i;
    const json_t *name;
    const char *colour = customer->has_colour ? "\033[32m" : "",
               *plain = customer->has_colour ? "\033[0m" : "";
    if (customer->has_log_lines)
        return;
    printf("%sIssued%s for", colour, plain);
    json_array_foreach(json_object_get(summary, "hostnames"), i, name)
        printf("%s %s", i == 0 ? "" : ",", json_string_value(name));
    printf("\n  id           %s\n  certificate  %s\n", json_text(summary, "id"),
           json_text(summary, "certificate_file"));
    if (json_is_string(json_object_get(summary, "key_file")))
        printf("  private key  %s\n", json_text(summary, "key_file"));
    printf("  valid until  %s\n", json_text(summary, "not_after"));
    if (has_state)
        printf("  renewal      `originca renew %s` when due, or originca-renew.timer\n",
               json_text(summary, "name"));
}

static int one(struct customer *customer, struct order *order) {
    json_t *summary = NULL;
    if (!fill_names(customer, order) || !check_name_is_free(customer, order) ||
        !issue_certificate(customer, order, &summary))
        return customer_exit(customer);
    if (customer->options.as_json)
        print_json(summary);
    else
        print_summary(customer, summary, order->has_state);
    return strcmp(json_text(summary, "hook"), "failed") == 0 ? EXIT_HOOK : EXIT_OK;
}

/* --- many --- */

/* Array of arrays; "#" begins a comment. */
static json_t *read_sets(struct customer *customer, const char *path) {
    struct bytes file;
    json_t *sets = arena_own_json(customer->arena, json_array());
    if (sets == NULL || !file_read(customer->arena, path, &file, &customer->error))
        return NULL;
    for (size_t at = 0; at < file.length;) {
        const uint8_t *begin = file.data + at, *newline = memchr(begin, '\n', file.length - at);
        size_t line = newline == NULL ? file.length - at : (size_t)(newline - begin);
        const uint8_t *comment = memchr(begin, '#', line);
        json_t *set = json_array();
        add_hostnames(set, (const char *)begin, comment == NULL ? line : (size_t)(comment - begin));
        if (json_array_size(set) > 0)
            json_array_append(sets, set);
        json_decref(set);
        at += line + 1;
    }
    if (json_array_size(sets) == 0)
        error_set(&customer->error, ERROR_INVALID, "%s holds no hostnames", path);
    return json_array_size(sets) == 0 ? NULL : sets;
}

static json_t *one_of_many(struct customer *customer, const struct order *common, json_t *set, int *status) {
    struct order order = *common;
    json_t *summary = NULL;
    order.hostnames = set;
    customer->error = (struct error){0};
    bool is_named = fill_names(customer, &order);
    if (is_named && !order.may_replace && access(order.certificate_out, F_OK) == 0)
        return json_pack("{s:s, s:O, s:s}", "status", "skipped", "hostnames", set, "certificate_file",
                         order.certificate_out);
    if (is_named && check_name_is_free(customer, &order) && issue_certificate(customer, &order, &summary)) {
        if (strcmp(json_text(summary, "hook"), "failed") == 0 && *status == EXIT_OK)
            *status = EXIT_HOOK;
        return json_incref(summary);
    }
    *status = customer_exit(customer);
    return json_pack("{s:s, s:O, s:s}", "status", "failed", "hostnames", set, "error",
                     customer->error.message);
}

static void print_one_of_many(const json_t *result) {
    const char *status = json_text(result, "status");
    const char *first = json_string_value(json_array_get(json_object_get(result, "hostnames"), 0));
    bool is_issued = strcmp(status, "issued") == 0;
    fprintf(is_issued ? stdout : stderr, "%-8s %s  %s%s\n", status, first == NULL ? "" : first,
            json_text(result, "certificate_file"),
            is_issued                             ? ""
            : *json_text(result, "error") != '\0' ? json_text(result, "error")
                                                  : " exists");
}

static int many(struct customer *customer, const struct order *common) {
    const struct options *options = &customer->options;
    int status = EXIT_OK;
    size_t i, failed = 0;
    json_t *set;
    if (options->hostnames != NULL || customer->operand_count > 0 || options->key_out != NULL ||
        options->certificate_out != NULL || options->csr != NULL || options->name != NULL) {
        error_set(&customer->error, ERROR_INVALID,
                  "--from-file derives every name: --hostnames, --name, --csr, --key-out and "
                  "--certificate-out do not go with it");
        return EXIT_USAGE;
    }
    json_t *sets = read_sets(customer, options->from_file),
           *results = arena_own_json(customer->arena, json_array());
    if (sets == NULL || results == NULL)
        return EXIT_USAGE;
    json_array_foreach(sets, i, set) {
        progress_show(json_string_value(json_array_get(set, 0)), i, json_array_size(sets));
        json_t *result = one_of_many(customer, common, set, &status);
        progress_end();
        failed += strcmp(json_text(result, "status"), "failed") == 0;
        if (!options->as_json)
            print_one_of_many(result);
        json_array_append_new(results, result);
        if (customer->error.code == ERROR_UNAVAILABLE) /* the rest would fail the same way, slowly */
            break;
    }
    if (options->as_json)
        print_json(results);
    if (failed > 0)
        error_set(&customer->error, ERROR_REFUSED, "%zu of %zu certificates failed; the same command goes on",
                  json_array_size(sets) - json_array_size(results) + failed, json_array_size(sets));
    return status;
}

int getcert_command(struct customer *customer) {
    struct order order = {.hostnames = arena_own_json(customer->arena, json_array())};
    if (order.hostnames == NULL || !fill_common(customer, &order))
        return EXIT_USAGE;
    if (customer->options.from_file != NULL)
        return many(customer, &order);
    if (customer->options.hostnames != NULL)
        add_hostnames(order.hostnames, customer->options.hostnames, strlen(customer->options.hostnames));
    for (size_t i = 0; i < customer->operand_count; i++)
        add_hostnames(order.hostnames, customer->operands[i], strlen(customer->operands[i]));
    return one(customer, &order);
}
