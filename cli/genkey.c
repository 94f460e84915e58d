/* `originca genkey` and `selfsign`: what cfssl's commands of these names do, without a server. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "csr_json.h"
#include "customer_commands.h"

#define SELFSIGN_DAYS 91 /* cfssl's 2190 hours */

/* Printed by hand: a JSON library would leave copies of the key in memory that nobody wipes. */
static void print_member(const char *name, const char *text, size_t length, bool is_first) {
    printf("%s\"%s\":\"", is_first ? "{" : ",", name);
    for (size_t i = 0; i < length; i++)
        if (text[i] == '\n')
            fputs("\\n", stdout);
        else if (text[i] != '\r')
            putchar(text[i]);
    putchar('"');
}

static bool print_key_member(gnutls_x509_privkey_t key, struct error *error) {
    gnutls_datum_t text = {0};
    if (!key_write(key, KEY_FORMAT_TRADITIONAL, &text, error))
        return false;
    print_member("key", (const char *)text.data, text.size, false);
    puts("}");
    fflush(stdout);
    bytes_wipe(text.data, text.size);
    gnutls_free(text.data);
    return true;
}

static int print_pair(struct customer *customer, const struct csr_json *template, unsigned selfsigned_days) {
    struct arena *arena = customer->arena;
    struct error *error = &customer->error;
    customer->has_log_lines = true; /* cfssl's lines, byte for byte */
    customer_log(customer, "generate received request");
    customer_log(customer, "received CSR");
    customer_log(customer, "generating key: %s", key_choice_name(arena, template->key));
    gnutls_x509_privkey_t key = key_make(template->key, error);
    const char *csr = key == NULL ? NULL : request_make(arena, key, &template->names, error);
    if (csr != NULL)
        customer_log(customer, "encoded CSR");
    const char *certificate = csr == NULL || selfsigned_days == 0
                                  ? NULL
                                  : selfsign_make(arena, key, &template->names, selfsigned_days, error);
    bool is_done = csr != NULL && (certificate != NULL || selfsigned_days == 0);
    if (is_done) {
        if (certificate != NULL)
            print_member("cert", certificate, strlen(certificate), true);
        print_member("csr", csr, strlen(csr), certificate == NULL);
        is_done = print_key_member(key, error);
    }
    gnutls_x509_privkey_deinit(key);
    return is_done ? EXIT_OK : customer_exit(customer);
}

int genkey_command(struct customer *customer) {
    struct csr_json template;
    if (customer->operand_count != 1) {
        error_set(&customer->error, ERROR_INVALID, "usage: originca genkey CSRJSON (- is standard input)");
        return EXIT_USAGE;
    }
    if (!csr_json_read(customer->arena, customer->operands[0], &template, &customer->error))
        return EXIT_USAGE;
    return print_pair(customer, &template, 0);
}

/* --- selfsign --- */

static json_t *split(struct arena *arena, const char *list) {
    json_t *hosts = arena_own_json(arena, json_array());
    while (*list != '\0') {
        size_t length = strcspn(list, ", ");
        if (length > 0)
            json_array_append_new(hosts, json_stringn(list, length));
        list += length + strspn(list + length, ", ");
    }
    return hosts;
}

static const char *or_else(const char *value, const char *otherwise) {
    return value == NULL ? otherwise : value;
}

static bool write_pair(struct customer *customer, gnutls_x509_privkey_t key, const char *certificate,
                       const char *key_path, const char *certificate_path) {
    const struct options *options = &customer->options;
    enum key_format format;
    gnutls_datum_t text = {0};
    struct output key_file = {0}, certificate_file = {0};
    struct error *error = &customer->error;
    bool is_done = key_format_parse(or_else(options->key_format, "pkcs8"), &format, error) &&
                   key_write(key, format, &text, error) &&
                   output_stage(customer->arena, &key_file, key_path, text.data, text.size,
                                options->key_group == NULL ? 0600 : 0640, options->key_group,
                                options->may_overwrite, error) &&
                   output_stage(customer->arena, &certificate_file, certificate_path, certificate,
                                strlen(certificate), 0644, NULL, options->may_overwrite, error) &&
                   output_place(&key_file, error) && output_place(&certificate_file, error);
    if (text.data != NULL)
        bytes_wipe(text.data, text.size);
    gnutls_free(text.data);
    output_discard(&key_file);
    output_discard(&certificate_file);
    return is_done;
}

static int selfsign_files(struct customer *customer) {
    const struct options *options = &customer->options;
    struct request_names names = {.hosts = split(customer->arena, options->hostnames)};
    struct key_choice choice;
    const char *first = json_string_value(json_array_get(names.hosts, 0));
    unsigned long days = strtoul(or_else(options->days, "91"), NULL, 10);
    if (first == NULL || *first == '.' || *first == '-' || strchr(first, '/') != NULL || days < 1 ||
        days > 36500) {
        error_set(&customer->error, ERROR_INVALID,
                  "--hostnames needs a name and --days a number up to 36500");
        return EXIT_USAGE;
    }
    names.common_name = strlen(first) <= 64 ? first : NULL;
    const char *base = *first == '*' ? arena_printf(customer->arena, "_%s", first + 1) : first;
    const char *key_path = or_else(options->key_out, arena_printf(customer->arena, "%s.key", base)),
               *certificate_path =
                   or_else(options->certificate_out, arena_printf(customer->arena, "%s.pem", base));
    if (!key_choose(or_else(options->key_type, "ecdsa"), options->key_size, false, &choice,
                    &customer->error) ||
        !output_check(key_path, options->may_overwrite, &customer->error) ||
        !output_check(certificate_path, options->may_overwrite, &customer->error))
        return customer_exit(customer);
    gnutls_x509_privkey_t key = key_make(choice, &customer->error);
    const char *pem =
        key == NULL ? NULL : selfsign_make(customer->arena, key, &names, (unsigned)days, &customer->error);
    bool is_done = pem != NULL && write_pair(customer, key, pem, key_path, certificate_path);
    gnutls_x509_privkey_deinit(key);
    if (!is_done)
        return customer_exit(customer);
    if (options->as_json)
        print_json(
            arena_own_json(customer->arena, json_pack("{s:s, s:s, s:O}", "certificate_file", certificate_path,
                                                      "key_file", key_path, "hostnames", names.hosts)));
    else
        printf("Self-signed for %s\n  certificate  %s\n  private key  %s\nIn Full mode the edge takes it; in "
               "Strict "
               "mode it does not: `originca getcert` is for that.\n",
               options->hostnames, certificate_path, key_path);
    return EXIT_OK;
}

int selfsign_command(struct customer *customer) {
    struct csr_json template;
    if (customer->options.hostnames != NULL && customer->operand_count == 0)
        return selfsign_files(customer);
    if (customer->operand_count != 2) {
        error_set(&customer->error, ERROR_INVALID,
                  "usage: originca selfsign HOSTNAME CSRJSON, or originca selfsign --hostnames A,B");
        return EXIT_USAGE;
    }
    if (!csr_json_read(customer->arena, customer->operands[1], &template, &customer->error))
        return EXIT_USAGE;
    if (*customer->operands[0] != '\0')
        template.names.hosts = split(customer->arena, customer->operands[0]);
    fputs(
        "*** WARNING ***\n\nA self-signed certificate proves nothing about who made it: for tests, and for\n"
        "Full mode, which does not check.\n\n*** WARNING ***\n",
        stderr);
    return print_pair(customer, &template, SELFSIGN_DAYS);
}
