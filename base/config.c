/* Reading the configuration: libConfuse parses the file, the table of settings gives it meaning, and every
 * mistake is reported with file, line and key before anything is decided.
 *
 * All values are taken as strings and judged here, because libConfuse stops at the first wrong one. An
 * unknown key stops it too: the file is then read again with that key known and ignored, so that the next
 * mistake is found as well. */
#include "config_internal.h"

#include <confuse.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config_check.h"
#include "config_source.h"
#include "originca/log.h"
#include "originca/text.h"

#define UNKNOWN_MAX 32
#define SECTION_OPTIONS_MAX 64
/* Tells a list that is absent from one that is empty: libConfuse calls nobody for `{}`. */
#define ABSENT_LIST "originca-absent"

struct seen_line {
    const cfg_opt_t *option;
    int line;
};

struct reading {
    struct config_complaints *complaints;
    struct seen_line seen[256];
    size_t seen_count;
    char *unknown[UNKNOWN_MAX];
    size_t unknown_count;
    bool has_new_unknown;
};

/* libConfuse hands its callbacks no context; a configuration is read by one thread at a time, at start and
 * reload. */
static struct reading *current;

static int line_of(const struct reading *reading, const cfg_opt_t *option) {
    for (size_t i = 0; i < reading->seen_count; i++)
        if (reading->seen[i].option == option)
            return reading->seen[i].line;
    return 0;
}

/* Called for each value: of a list several times. The first line counts. */
static int note_line(cfg_t *section, cfg_opt_t *option) {
    if (current != NULL && line_of(current, option) == 0 &&
        current->seen_count < sizeof current->seen / sizeof current->seen[0])
        current->seen[current->seen_count++] = (struct seen_line){option, section->line};
    return 0;
}

__attribute__((format(printf, 2, 0))) static void on_parse_error(cfg_t *cfg, const char *format,
                                                                 va_list arguments) {
    char message[256];
    const char *key = "";
    if (format == NULL)
        return;
    va_list again;
    va_copy(again, arguments);
    vsnprintf(message, sizeof message, format, arguments);
    if (strncmp(format, "no such option", 14) == 0 && current->unknown_count < UNKNOWN_MAX) {
        key = va_arg(again, const char *);
        current->unknown[current->unknown_count++] = strdup(key);
        current->has_new_unknown = true;
        snprintf(message, sizeof message, "is no setting of this section; see originca.conf(5)");
    }
    va_end(again);
    config_complain(current->complaints, cfg->line, cfg->name, key, "%s", message);
}

/* The options of one section, from the table, plus the unknown keys to pass by, plus `extra` subsections. */
static void fill_options(cfg_opt_t options[SECTION_OPTIONS_MAX], const char *section,
                         const struct reading *reading, const cfg_opt_t *extra) {
    size_t used = 0;
    for (size_t i = 0; i < config_setting_count; i++) {
        const struct setting *setting = &config_settings[i];
        if (strcmp(setting->section, section) != 0)
            continue;
        cfg_opt_t option = CFG_STR(setting->name, NULL, CFGF_NODEFAULT);
        cfg_opt_t list = CFG_STR_LIST(setting->name, "{" ABSENT_LIST "}", CFGF_NONE);
        options[used] = setting_is_list(setting) ? list : option;
        options[used++].validcb = note_line;
    }
    for (size_t i = 0; i < reading->unknown_count && used < SECTION_OPTIONS_MAX - 2; i++) {
        cfg_opt_t option = CFG_STR_LIST(reading->unknown[i], NULL, CFGF_NODEFAULT);
        options[used++] = option;
    }
    if (extra != NULL)
        options[used++] = *extra;
    cfg_opt_t end = CFG_END();
    options[used] = end;
}

static const struct setting *find_setting(const char *section, const char *name) {
    for (size_t i = 0; i < config_setting_count; i++)
        if (strcmp(config_settings[i].section, section) == 0 && strcmp(config_settings[i].name, name) == 0)
            return &config_settings[i];
    return NULL;
}

static void take_value(const struct reading *reading, const char *directory, cfg_opt_t *option,
                       const struct setting *setting, void *owner) {
    const char *words[1024];
    size_t count = cfg_opt_size(option);
    struct error error;
    if (count > sizeof words / sizeof words[0])
        count = sizeof words / sizeof words[0];
    for (size_t i = 0; i < count; i++)
        words[i] = cfg_opt_getnstr(option, (unsigned)i);
    if (!setting_is_list(setting) && (count == 0 || words[0] == NULL))
        return;
    if (!config_set_value(setting, directory, owner, words, count, &error))
        config_complain(reading->complaints, line_of(reading, option), setting->section, setting->name, "%s",
                        error.message);
}

static void remember_line(struct config *config, const struct setting *setting, const char *title, int line) {
    struct config_line *larger = realloc(config->lines, (config->line_count + 1) * sizeof *larger);
    char *copy = strdup(title == NULL ? "" : title);
    if (larger != NULL)
        config->lines = larger;
    if (larger == NULL || copy == NULL) {
        free(copy); /* a message will lack its line */
        return;
    }
    larger[config->line_count++] =
        (struct config_line){.section = setting->section, .key = setting->name, .title = copy, .line = line};
}

int config_line_of(const struct config *config, const char *section, const char *title, const char *key) {
    for (size_t i = 0; i < config->line_count; i++)
        if (strcmp(config->lines[i].section, section) == 0 && strcmp(config->lines[i].key, key) == 0 &&
            (title == NULL || strcmp(config->lines[i].title, title) == 0))
            return config->lines[i].line;
    return 0;
}

static bool is_empty_list(const struct setting *setting, cfg_opt_t *option) {
    return setting_is_list(setting) && cfg_opt_size(option) == 0;
}

static void take_section(const struct reading *reading, const char *directory, cfg_t *section,
                         const char *name, void *owner, struct config *config) {
    for (unsigned i = 0; i < cfg_num(section); i++) {
        cfg_opt_t *option = cfg_getnopt(section, i);
        const struct setting *setting = option == NULL ? NULL : find_setting(name, option->name);
        if (setting == NULL || (line_of(reading, option) == 0 && !is_empty_list(setting, option)))
            continue;
        remember_line(config, setting, cfg_title(section), line_of(reading, option));
        take_value(reading, directory, option, setting, owner);
    }
}

static bool set_defaults(const char *section, void *owner, struct error *error) {
    for (size_t i = 0; i < config_setting_count; i++) {
        const struct setting *setting = &config_settings[i];
        if (strcmp(setting->section, section) != 0 || setting->fallback == NULL)
            continue;
        const char *word = setting->fallback;
        if (!config_set_value(setting, "/", owner, &word, 1, error)) {
            error_prefix(error, "default of %s", setting->name);
            return false;
        }
    }
    return true;
}

static bool take_profiles(const struct reading *reading, const char *directory, cfg_t *root,
                          struct config *config, struct error *error) {
    size_t count = cfg_size(root, "profile");
    config->profiles = calloc(count + 1, sizeof *config->profiles);
    if (config->profiles == NULL)
        return error_set(error, ERROR_INTERNAL, "out of memory");
    for (size_t i = 0; i < count; i++) {
        cfg_t *section = cfg_getnsec(root, "profile", (unsigned)i);
        struct config_profile *profile = &config->profiles[config->profile_count++];
        if (!set_defaults("profile", profile, error))
            return false;
        take_section(reading, directory, section, "profile", profile, config);
        profile->name = strdup(cfg_title(section));
        if (profile->template_name == NULL)
            profile->template_name = strdup(cfg_title(section));
    }
    return true;
}

static bool take_issuers(const struct reading *reading, const char *directory, cfg_t *signer,
                         struct config *config, struct error *error) {
    size_t count = signer == NULL ? 0 : cfg_size(signer, "issuer");
    config->issuers = calloc(count + 1, sizeof *config->issuers);
    if (config->issuers == NULL)
        return error_set(error, ERROR_INTERNAL, "out of memory");
    for (size_t i = 0; i < count; i++) {
        cfg_t *section = cfg_getnsec(signer, "issuer", (unsigned)i);
        struct config_issuer *issuer = &config->issuers[config->issuer_count++];
        if (!set_defaults("issuer", issuer, error))
            return false;
        take_section(reading, directory, section, "issuer", issuer, config);
        issuer->name = strdup(cfg_title(section));
    }
    return true;
}

static const char *const plain_sections[] = {"server",     "http", "acme",  "limits", "ocsp",
                                             "revocation", "rest", "redis", "dns",    "signer"};
#define PLAIN_SECTIONS (sizeof plain_sections / sizeof plain_sections[0])

struct option_tables {
    cfg_opt_t plain[PLAIN_SECTIONS][SECTION_OPTIONS_MAX];
    cfg_opt_t profile[SECTION_OPTIONS_MAX], issuer[SECTION_OPTIONS_MAX];
    cfg_opt_t root[PLAIN_SECTIONS + 2 + UNKNOWN_MAX];
};

static cfg_t *make_parser(struct option_tables *tables, const struct reading *reading) {
    size_t used = 0;
    fill_options(tables->profile, "profile", reading, NULL);
    fill_options(tables->issuer, "issuer", reading, NULL);
    cfg_opt_t issuers = CFG_SEC("issuer", tables->issuer, CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES);
    for (size_t i = 0; i < PLAIN_SECTIONS; i++) {
        bool is_signer = strcmp(plain_sections[i], "signer") == 0;
        fill_options(tables->plain[i], plain_sections[i], reading, is_signer ? &issuers : NULL);
        cfg_opt_t section = CFG_SEC(plain_sections[i], tables->plain[i], CFGF_NONE);
        tables->root[used++] = section;
    }
    cfg_opt_t profiles = CFG_SEC("profile", tables->profile, CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES);
    tables->root[used++] = profiles;
    for (size_t i = 0; i < reading->unknown_count; i++) {
        cfg_opt_t option = CFG_STR_LIST(reading->unknown[i], NULL, CFGF_NODEFAULT);
        tables->root[used++] = option;
    }
    cfg_opt_t end = CFG_END();
    tables->root[used] = end;
    cfg_t *cfg = cfg_init(tables->root, CFGF_NONE);
    if (cfg != NULL)
        cfg_set_error_function(cfg, on_parse_error);
    return cfg;
}

static cfg_t *parse_source(const char *source, struct option_tables *tables, struct reading *reading,
                           struct error *error) {
    for (;;) {
        cfg_t *cfg = make_parser(tables, reading);
        if (cfg == NULL) {
            error_set(error, ERROR_INTERNAL, "out of memory");
            return NULL;
        }
        reading->seen_count = 0;
        reading->has_new_unknown = false;
        current = reading;
        /* A parse error has been complained about; what was read before it is still judged. */
        int outcome = cfg_parse_buf(cfg, source);
        (void)outcome;
        current = NULL;
        if (!reading->has_new_unknown)
            return cfg;
        cfg_free(cfg);
    }
}

static bool fill_config(struct config *config, const struct reading *reading, cfg_t *cfg,
                        const char *directory, struct error *error) {
    for (size_t i = 0; i < PLAIN_SECTIONS; i++) {
        if (!set_defaults(plain_sections[i], config, error))
            return false;
        cfg_t *section = cfg_size(cfg, plain_sections[i]) > 0 ? cfg_getsec(cfg, plain_sections[i]) : NULL;
        if (section != NULL)
            take_section(reading, directory, section, plain_sections[i], config, config);
    }
    cfg_t *signer = cfg_size(cfg, "signer") > 0 ? cfg_getsec(cfg, "signer") : NULL;
    return take_profiles(reading, directory, cfg, config, error) &&
           take_issuers(reading, directory, signer, config, error) && config_complete(config, error);
}

static bool read_config(struct config *config, const char *path, struct reading *reading,
                        struct error *error) {
    struct option_tables *tables = calloc(1, sizeof *tables);
    char *copy = strdup(path);
    char *source = config_read_source(path, reading->complaints, error);
    if (source != NULL)
        config_find_repeats(source, reading->complaints);
    cfg_t *cfg = tables != NULL && copy != NULL && source != NULL
                     ? parse_source(source, tables, reading, error)
                     : NULL;
    bool is_read = cfg != NULL && fill_config(config, reading, cfg, dirname(copy), error);
    if (is_read) {
        reading->complaints->config = config;
        config_check(config, reading->complaints);
    }
    if (cfg != NULL)
        cfg_free(cfg);
    free(tables);
    free(copy);
    free(source);
    return is_read;
}

static struct config *load(const char *path, FILE *complaints, bool takes_mistakes, struct error *error) {
    struct config *config = calloc(1, sizeof *config);
    struct reading *reading = calloc(1, sizeof *reading);
    char absolute[PATH_MAX];
    struct config_complaints list = {.path = path, .out = complaints};
    bool is_good = false;
    error_set(error, ERROR_INTERNAL, "out of memory");
    if (config == NULL || reading == NULL)
        goto done;
    if (realpath(path, absolute) == NULL) {
        error_set(error, ERROR_INVALID, "cannot read the configuration %s: %m", path);
        goto done;
    }
    reading->complaints = &list;
    config->path = strdup(absolute);
    is_good = config->path != NULL && read_config(config, absolute, reading, error);
    if (is_good && list.count > 0 && !takes_mistakes)
        is_good = error_set(error, ERROR_INVALID, "%s has %zu mistake%s, first: %s", path, list.count,
                            list.count == 1 ? "" : "s", list.first);
done:
    if (reading != NULL)
        for (size_t i = 0; i < reading->unknown_count; i++)
            free(reading->unknown[i]);
    free(reading);
    if (is_good)
        return config;
    config_free(config);
    return NULL;
}

struct config *config_load(const char *path, FILE *complaints, struct error *error) {
    return load(path, complaints, false, error);
}

struct config *config_load_with_mistakes(const char *path, FILE *complaints, struct error *error) {
    return load(path, complaints, true, error);
}

static void clear_section(const char *section, void *owner) {
    for (size_t i = 0; i < config_setting_count; i++)
        if (strcmp(config_settings[i].section, section) == 0)
            config_clear_value(&config_settings[i], owner);
}

void config_free(struct config *config) {
    if (config == NULL)
        return;
    for (size_t i = 0; i < PLAIN_SECTIONS; i++)
        clear_section(plain_sections[i], config);
    for (size_t i = 0; i < config->profile_count; i++) {
        clear_section("profile", &config->profiles[i]);
        free(config->profiles[i].name);
    }
    for (size_t i = 0; i < config->issuer_count; i++) {
        clear_section("issuer", &config->issuers[i]);
        free(config->issuers[i].name);
    }
    for (size_t i = 0; i < config->line_count; i++)
        free(config->lines[i].title);
    free(config->lines);
    free(config->profiles);
    free(config->issuers);
    free(config->path);
    free(config);
}

bool config_issues_with(const struct config *config, const char *name) {
    return strcmp(name, config->acme_ecc_issuer) == 0 || strcmp(name, config->acme_rsa_issuer) == 0 ||
           strcmp(name, config->rest_ecc_issuer) == 0 || strcmp(name, config->rest_rsa_issuer) == 0;
}

const struct config_profile *config_find_profile(const struct config *config, const char *name) {
    for (size_t i = 0; i < config->profile_count; i++)
        if (strcmp(config->profiles[i].name, name) == 0)
            return &config->profiles[i];
    return NULL;
}

static bool section_equal(const char *section, void *a, void *b) {
    for (size_t i = 0; i < config_setting_count; i++)
        if (strcmp(config_settings[i].section, section) == 0 && !setting_equal(&config_settings[i], a, b))
            return false;
    return true;
}

static bool text_equal(const char *a, const char *b) {
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool strings_equal(const struct config_strings *a, const struct config_strings *b) {
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (strcmp(a->items[i], b->items[i]) != 0)
            return false;
    return true;
}

/* Of other sections: what the signer judges names and keys by, and how it logs. */
static bool shared_equal(const struct config *a, const struct config *b) {
    return text_equal(a->public_suffix_file, b->public_suffix_file) &&
           text_equal(a->key_blocklist_file, b->key_blocklist_file) &&
           strings_equal(&a->allowed_special_names, &b->allowed_special_names) &&
           text_equal(a->log_level, b->log_level) && text_equal(a->log_file, b->log_file);
}

bool config_signer_differs(const struct config *a, const struct config *b) {
    if (!shared_equal(a, b) || a->issuer_count != b->issuer_count || a->profile_count != b->profile_count ||
        a->external_account_required != b->external_account_required || a->workers != b->workers ||
        !section_equal("signer", (void *)(uintptr_t)a, (void *)(uintptr_t)b))
        return true;
    for (size_t i = 0; i < a->issuer_count; i++)
        if (strcmp(a->issuers[i].name, b->issuers[i].name) != 0 ||
            !section_equal("issuer", &a->issuers[i], &b->issuers[i]))
            return true;
    for (size_t i = 0; i < a->profile_count; i++)
        if (strcmp(a->profiles[i].name, b->profiles[i].name) != 0 ||
            !section_equal("profile", &a->profiles[i], &b->profiles[i]))
            return true;
    return false;
}

char *config_read_secret(const char *path, size_t max, struct error *error) {
    struct stat status;
    char *text = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) != 0) {
        error_set(error, ERROR_INVALID, "cannot read %s: %m", path);
        goto done;
    }
    /* Two processes of different users share the master secret by a group: who is not its owner reads by
     * that. */
    mode_t allowed = S_IRWXU | (status.st_uid == geteuid() ? 0 : S_IRGRP);
    if ((status.st_mode & 0777 & ~allowed) != 0)
        log_event(LOG_LEVEL_WARNING, "a secret file is readable by others; chmod it to 0600", "file", path,
                  NULL);
    text = calloc(1, max + 2);
    ssize_t length = text == NULL ? -1 : read(fd, text, max + 1);
    if (length < 0 || (size_t)length > max) {
        error_set(error, ERROR_INVALID, "%s cannot be read or is longer than %zu bytes", path, max);
        if (text != NULL)
            bytes_wipe(text, max + 1);
        free(text);
        text = NULL;
        goto done;
    }
    text[strcspn(text, "\r\n")] = '\0';
done:
    if (fd >= 0)
        close(fd);
    return text;
}
