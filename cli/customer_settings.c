/* Where a setting that no flag gave comes from: the environment, the user's file, the machine's file.
 *
 * Credentials are taken from one place only: the first of these that holds any. So a token in the environment
 * is never sent together with a key that an old file still holds. */
#include <confuse.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "customer.h"

#define MACHINE_FILE "/etc/originca/client.conf"
#define SETTINGS_MAX 64

static const char **place(struct options *options, const struct rule *rule) {
    return (const char **)(void *)((char *)options + rule->offset);
}

static bool has_credentials(const struct options *options) {
    return options->api_token != NULL || options->api_token_file != NULL || options->service_key != NULL ||
           options->service_key_file != NULL || options->api_key != NULL;
}

/* --- environment --- */

static void name_in_environment(const char *flag, char *out, size_t size) {
    int used = snprintf(out, size, "ORIGINCA_%s", flag);
    for (int i = 0; i < used && (size_t)i < size; i++)
        out[i] = out[i] == '-' ? '_' : out[i] >= 'a' && out[i] <= 'z' ? (char)(out[i] - 'a' + 'A') : out[i];
}

static const char *environment(const char *name) {
    const char *value = getenv(name);
    return value == NULL || *value == '\0' ? NULL : value;
}

static const char *first_of(const char *a, const char *b, const char *c) {
    const char *value = environment(a);
    if (value == NULL && b != NULL)
        value = environment(b);
    return value == NULL && c != NULL ? environment(c) : value;
}

static void read_environment(struct options *out) {
    for (size_t i = 0; i < option_rule_count; i++) {
        char name[64];
        name_in_environment(option_rules[i].name, name, sizeof name);
        if (option_rules[i].is_setting)
            *place(out, &option_rules[i]) = environment(name);
    }
    if (has_credentials(out))
        return;
    /* What other clients of this API read. A key that begins with v1.0- is an Origin CA key, by whatever
     * name. */
    out->api_token = first_of("CF_API_TOKEN", "CLOUDFLARE_API_TOKEN", NULL);
    out->service_key = environment("CLOUDFLARE_API_USER_SERVICE_KEY");
    const char *key = first_of("CF_API_KEY", "CLOUDFLARE_API_KEY", NULL);
    if (key != NULL && strncmp(key, "v1.0-", 5) == 0)
        out->service_key = key;
    else
        out->api_key = key;
    if (out->api_email == NULL)
        out->api_email = first_of("CF_API_EMAIL", "CLOUDFLARE_EMAIL", "CLOUDFLARE_API_EMAIL");
}

void settings_hide_secrets(void) {
    static const char *const names[] = {"ORIGINCA_API_TOKEN", "ORIGINCA_SERVICE_KEY",
                                        "ORIGINCA_API_KEY",   "CF_API_TOKEN",
                                        "CF_API_KEY",         "CLOUDFLARE_API_TOKEN",
                                        "CLOUDFLARE_API_KEY", "CLOUDFLARE_API_USER_SERVICE_KEY"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        unsetenv(names[i]);
}

/* --- files --- */

__attribute__((format(printf, 2, 0))) static void complain(cfg_t *cfg, const char *format,
                                                           va_list arguments) {
    fprintf(stderr, "originca: %s, line %d: ", cfg->filename == NULL ? "configuration" : cfg->filename,
            cfg->line);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
}

static void warn_if_readable(const char *path, const struct options *options) {
    struct stat found;
    bool has_secret = options->api_token != NULL || options->service_key != NULL || options->api_key != NULL;
    if (has_secret && stat(path, &found) == 0 && (found.st_mode & 077) != 0)
        fprintf(stderr, "originca: %s holds a credential and others may read it; chmod 600 %s\n", path, path);
}

static bool read_file(struct customer *customer, const char *path, struct options *out) {
    static char names[SETTINGS_MAX][40];
    cfg_opt_t table[SETTINGS_MAX + 1];
    size_t used = 0;
    if (access(path, F_OK) < 0)
        return true;
    for (size_t i = 0; i < option_rule_count && used < SETTINGS_MAX; i++) {
        if (!option_rules[i].is_setting)
            continue;
        snprintf(names[used], sizeof names[used], "%s", option_rules[i].name);
        for (char *at = names[used]; *at != '\0'; at++)
            *at = *at == '-' ? '_' : *at;
        table[used] = (cfg_opt_t)CFG_STR(names[used], NULL, CFGF_NODEFAULT);
        used++;
    }
    table[used] = (cfg_opt_t)CFG_END();
    cfg_t *cfg = cfg_init(table, CFGF_NONE);
    if (cfg == NULL)
        return error_set(&customer->error, ERROR_INTERNAL, "out of memory");
    cfg_set_error_function(cfg, complain);
    int outcome = cfg_parse(cfg, path);
    for (size_t i = 0, n = 0; outcome == CFG_SUCCESS && i < option_rule_count; i++)
        if (option_rules[i].is_setting) {
            const char *text = cfg_size(cfg, names[n]) == 0 ? NULL : cfg_getstr(cfg, names[n]);
            *place(out, &option_rules[i]) = text == NULL ? NULL : arena_strdup(customer->arena, text);
            n++;
        }
    cfg_free(cfg);
    warn_if_readable(path, out);
    return outcome == CFG_SUCCESS ||
           error_set(&customer->error, ERROR_INVALID,
                     outcome == CFG_FILE_ERROR ? "cannot read %s" : "%s is not a valid configuration", path);
}

static const char *user_file(struct customer *customer) {
    const char *named = environment("ORIGINCA_CONFIG"), *base = environment("XDG_CONFIG_HOME"),
               *home = environment("HOME");
    if (named != NULL)
        return named;
    if (base != NULL)
        return arena_printf(customer->arena, "%s/originca/config", base);
    return home == NULL ? NULL : arena_printf(customer->arena, "%s/.config/originca/config", home);
}

/* --- all of them --- */

static void merge(struct options *options, struct options *layer, bool takes_credentials) {
    for (size_t i = 0; i < option_rule_count; i++) {
        const struct rule *rule = &option_rules[i];
        struct options probe = {0};
        if (!rule->is_setting || *place(layer, rule) == NULL || *place(options, rule) != NULL)
            continue;
        *place(&probe, rule) = *place(layer, rule);
        if (takes_credentials || !has_credentials(&probe))
            *place(options, rule) = *place(layer, rule);
    }
}

/* A line break at the end of a secret makes a header that no server takes: it came from `echo`, never from a
 * key. */
static bool clean_secret(struct customer *customer, const char *file, const char **secret) {
    struct bytes content;
    if (*secret == NULL && file != NULL) {
        if (!file_read(customer->arena, file, &content, &customer->error))
            return false;
        *secret = arena_strndup(customer->arena, (const char *)content.data, content.length);
    }
    if (*secret == NULL)
        return true;
    size_t length = strlen(*secret);
    while (length > 0 && strchr("\r\n \t", (*secret)[length - 1]) != NULL)
        length--;
    for (size_t i = 0; i < length; i++)
        if ((*secret)[i] <= ' ' || (*secret)[i] > '~')
            return error_set(&customer->error, ERROR_INVALID,
                             "the credential has a blank or a control character at position %zu", i + 1);
    *secret = arena_strndup(customer->arena, *secret, length);
    return *secret != NULL &&
           (length > 0 || error_set(&customer->error, ERROR_INVALID, "the credential is empty"));
}

bool settings_load(struct customer *customer, struct options *options) {
    struct options layers[3] = {0};
    const char *own = user_file(customer);
    read_environment(&layers[0]);
    if ((own != NULL && !read_file(customer, own, &layers[1])) ||
        !read_file(customer, MACHINE_FILE, &layers[2]))
        return false;
    for (size_t i = 0; i < 3; i++)
        merge(options, &layers[i], !has_credentials(options));
    return clean_secret(customer, options->api_token_file, &options->api_token) &&
           clean_secret(customer, options->service_key_file, &options->service_key) &&
           clean_secret(customer, NULL, &options->api_key);
}
