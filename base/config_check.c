/* What a single value cannot show: settings that are missing, contradict each other or name things that do
 * not exist. */
#include "config_check.h"
#include "config_internal.h"

#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "originca/addresses.h"
#include "originca/log.h"

void config_complain(struct config_complaints *complaints, int line, const char *section, const char *key,
                     const char *format, ...) {
    char message[512], where[64] = "";
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    if (line == 0 && complaints->config != NULL && section != NULL)
        line = config_line_of(complaints->config, section, complaints->title, key);
    if (line > 0)
        snprintf(where, sizeof where, ":%d", line);
    bool is_root = section == NULL || strcmp(section, "root") == 0;
    const char *dot = is_root || *key == '\0' ? "" : ".";
    if (complaints->count++ == 0)
        snprintf(complaints->first, sizeof complaints->first, "%s%s%s: %.180s", is_root ? "" : section, dot,
                 key, message);
    if (complaints->out != NULL)
        fprintf(complaints->out, "%s%s: %s%s%s%s%s\n", complaints->path, where, is_root ? "" : section, dot,
                key, is_root && *key == '\0' ? "" : ": ", message);
}

static bool add_builtin_profile(struct config *config, const char *name, const char *description) {
    if (config_find_profile(config, name) != NULL)
        return true;
    struct config_profile *larger = realloc(config->profiles, (config->profile_count + 1) * sizeof *larger);
    if (larger == NULL)
        return false;
    config->profiles = larger;
    larger[config->profile_count++] = (struct config_profile){
        .name = strdup(name),
        .template_name = strdup(name),
        .description = strdup(description),
        .default_days = 90,
        .max_days = 5475,
    };
    return true;
}

/* DNS answers come in lower case, without the final dot. */
static void canonicalise(struct config_strings *names) {
    for (size_t i = 0; i < names->count; i++) {
        char *name = names->items[i];
        size_t length = strlen(name);
        for (size_t at = 0; at < length; at++)
            name[at] = (char)(name[at] >= 'A' && name[at] <= 'Z' ? name[at] + 32 : name[at]);
        if (length > 1 && name[length - 1] == '.')
            name[length - 1] = '\0';
    }
}

/* A change of the password file shows at the next start or reload: all processes see the same. */
static struct config_user find_user(const char *name) {
    if (name == NULL)
        return (struct config_user){.is_known = true, .uid = geteuid(), .gid = getegid()};
    const struct passwd *entry = getpwnam(name);
    if (entry == NULL)
        return (struct config_user){.name = name, .uid = (uid_t)-1, .gid = (gid_t)-1};
    return (struct config_user){.name = name, .is_known = true, .uid = entry->pw_uid, .gid = entry->pw_gid};
}

static void find_users(struct config *config) {
    config->run_as[CONFIG_WORKERS] = find_user(config->user);
    config->run_as[CONFIG_ADMIN] = find_user(config->admin_user != NULL ? config->admin_user : config->user);
    config->run_as[CONFIG_SIGNER] =
        find_user(config->signer_user != NULL ? config->signer_user : config->user);
}

bool config_complete(struct config *config, struct error *error) {
    canonicalise(&config->name_server_pool);
    canonicalise(&config->reserved_zones);
    find_users(config);
    char host[65] = "";
    if (config->host_name == NULL && gethostname(host, sizeof host - 1) == 0)
        config->host_name = strdup(host);
    if (config->workers == 0) {
        long cores = sysconf(_SC_NPROCESSORS_ONLN);
        config->workers = cores > 0 && cores < 256 ? (uint32_t)cores : 1;
    }
    bool is_complete =
        add_builtin_profile(config, "origin", "Empty subject, serverAuth and clientAuth: the usual choice") &&
        add_builtin_profile(config, "compact", "The smallest handshake: serverAuth alone") &&
        add_builtin_profile(config, "classic", "Fixed subject, key usage, OCSP and CRL addresses");
    return is_complete || error_set(error, ERROR_INTERNAL, "out of memory");
}

static void require(struct config_complaints *complaints, const void *value, const char *section,
                    const char *key) {
    if (value == NULL)
        config_complain(complaints, 0, section, key, "is required and not set");
}

static void require_readable(struct config_complaints *complaints, const char *path, const char *section,
                             const char *key) {
    if (path == NULL)
        config_complain(complaints, 0, section, key, "is required and not set");
    else if (access(path, R_OK) != 0)
        config_complain(complaints, 0, section, key, "cannot read %s: %m", path);
}

static void check_server(const struct config *config, struct config_complaints *complaints) {
    enum log_level level;
    if (config->https_listen_count == 0)
        config_complain(complaints, 0, "server", "https_listen", "needs at least one address");
    require_readable(complaints, config->tls_certificate_file, "server", "tls_certificate_file");
    require_readable(complaints, config->tls_key_file, "server", "tls_key_file");
    if (!log_level_parse(config->log_level, &level))
        config_complain(complaints, 0, "server", "log_level", "\"%s\" is none of error, warning, info, debug",
                        config->log_level);
    if (config->admin_listen.address.ss_family != AF_UNIX)
        config_complain(complaints, 0, "server", "admin_listen", "must be a unix socket: unix:/path");
    if (strlen(config->run_directory) > 80)
        config_complain(complaints, 0, "server", "run_directory",
                        "is longer than 80 bytes: its sockets would not fit");
    if (config->host_name == NULL || *config->host_name == '\0' || strlen(config->host_name) > 64 ||
        config->host_name[strspn(config->host_name,
                                 "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_")])
        config_complain(complaints, 0, "signer", "host_name",
                        "must be 1 to 64 letters, digits, dots and hyphens");
}

static const struct config_issuer *find_issuer(const struct config *config, const char *name) {
    for (size_t i = 0; i < config->issuer_count; i++)
        if (strcmp(config->issuers[i].name, name) == 0)
            return &config->issuers[i];
    return NULL;
}

static void check_issuers(const struct config *config, struct config_complaints *complaints) {
    if (config->issuer_count == 0)
        config_complain(complaints, 0, "signer", "issuer", "at least one issuer NAME { } section is needed");
    for (size_t i = 0; i < config->issuer_count; i++) {
        const struct config_issuer *issuer = &config->issuers[i];
        complaints->title = issuer->name;
        if (*issuer->name == '\0' || strlen(issuer->name) > 64)
            config_complain(complaints, 0, "issuer", "certificate_file",
                            "of \"%.80s\": an issuer's name has 1 to 64 characters", issuer->name);
        require(complaints, issuer->certificate_file, "issuer", "certificate_file");
        if (issuer->key_uri == NULL || strncmp(issuer->key_uri, "pkcs11:", 7) != 0)
            config_complain(complaints, 0, "issuer", "key_uri",
                            "of \"%s\" must be a PKCS#11 URI: pkcs11:token=...", issuer->name);
        else if (strstr(issuer->key_uri, "pin-value=") != NULL)
            config_complain(complaints, 0, "issuer", "key_uri",
                            "of \"%s\" holds the PIN, and URIs are logged: put it into the file that "
                            "signer.pkcs11_pin_file names",
                            issuer->name);
    }
    complaints->title = NULL;
    if (config->issuer_count > 0 && find_issuer(config, config->acme_ecc_issuer) == NULL)
        config_complain(complaints, 0, "acme", "acme_ecc_issuer", "no issuer is named \"%s\"",
                        config->acme_ecc_issuer);
    if (config->issuer_count > 0 && find_issuer(config, config->acme_rsa_issuer) == NULL)
        config_complain(complaints, 0, "acme", "acme_rsa_issuer", "no issuer is named \"%s\"",
                        config->acme_rsa_issuer);
    /* The defaults may be absent: then ACME's issuers serve the REST API too. */
    if (find_issuer(config, config->rest_ecc_issuer) == NULL && strcmp(config->rest_ecc_issuer, "ecc") != 0)
        config_complain(complaints, 0, "rest", "rest_ecc_issuer", "no issuer is named \"%s\"",
                        config->rest_ecc_issuer);
    if (find_issuer(config, config->rest_rsa_issuer) == NULL && strcmp(config->rest_rsa_issuer, "rsa") != 0)
        config_complain(complaints, 0, "rest", "rest_rsa_issuer", "no issuer is named \"%s\"",
                        config->rest_rsa_issuer);
}

static void check_profiles(const struct config *config, struct config_complaints *complaints) {
    for (size_t i = 0; i < config->profile_count; i++) {
        const struct config_profile *profile = &config->profiles[i];
        const char *shape = profile->template_name;
        complaints->title = profile->name;
        if (strcmp(shape, "origin") != 0 && strcmp(shape, "compact") != 0 && strcmp(shape, "classic") != 0)
            config_complain(complaints, 0, "profile", "template",
                            "of \"%s\" is \"%s\"; expected origin, compact or classic", profile->name, shape);
        if (profile->default_days > profile->max_days)
            config_complain(complaints, 0, "profile", "default_days", "of \"%s\" is more than its max_days",
                            profile->name);
    }
    complaints->title = NULL;
    if (config_find_profile(config, config->default_profile) == NULL)
        config_complain(complaints, 0, "acme", "default_profile", "no profile is named \"%s\"",
                        config->default_profile);
    if (config_find_profile(config, config->rest_profile) == NULL)
        config_complain(complaints, 0, "rest", "rest_profile", "no profile is named \"%s\"",
                        config->rest_profile);
}

static void check_dns(const struct config *config, struct config_complaints *complaints) {
    struct error error;
    struct stat status;
    bool is_device = stat(config->root_hints_file, &status) == 0 && !S_ISREG(status.st_mode);
    if (!is_device && !root_hints_read(config->root_hints_file, &config->address_rules, NULL, NULL, &error))
        config_complain(complaints, 0, "dns", "root_hints_file", "%s", error.message);
    if (config->name_server_pool.count < config->name_servers_per_zone)
        config_complain(complaints, 0, "dns", "name_server_pool", "has %zu names; a zone gets %u of them",
                        config->name_server_pool.count, config->name_servers_per_zone);
    if (config->edge_prefix_count == 0)
        config_complain(complaints, 0, "dns", "edge_prefixes",
                        "needs at least one CIDR block: where proxied names point");
    if (strcmp(config->moved_zone_certificates, "keep") != 0 &&
        strcmp(config->moved_zone_certificates, "withdraw") != 0 &&
        strcmp(config->moved_zone_certificates, "revoke") != 0)
        config_complain(complaints, 0, "dns", "moved_zone_certificates",
                        "\"%s\" is none of keep, withdraw, revoke", config->moved_zone_certificates);
    if (strcmp(config->moved_zone_certificates, "revoke") == 0 && config->operator_secret_file == NULL)
        config_complain(complaints, 0, "dns", "moved_zone_certificates",
                        "\"revoke\" needs server.operator_secret_file, which seals the jobs");
    if (strcmp(config->caa_mode, "off") != 0 && strcmp(config->caa_mode, "named") != 0 &&
        strcmp(config->caa_mode, "strict") != 0)
        config_complain(complaints, 0, "dns", "caa_mode", "\"%s\" is none of off, named, strict",
                        config->caa_mode);
    if (strcmp(config->caa_mode, "strict") == 0 && config->caa_identities.count == 0)
        config_complain(complaints, 0, "dns", "caa_mode",
                        "strict needs caa_identities in section acme: no CAA record could name this CA");
}

/* A device or a FIFO would be read without end. The log may be one. */
static void check_regular(const struct setting *setting, const void *owner,
                          struct config_complaints *complaints) {
    const char *path = *(char *const *)(const void *)((const char *)owner + setting->offset);
    size_t length = strlen(setting->name);
    struct stat status;
    bool is_read = setting->kind == SETTING_PATH && strcmp(setting->name, "log_file") != 0 &&
                   ((length > 5 && strcmp(setting->name + length - 5, "_file") == 0) ||
                    strcmp(setting->name, "pkcs11_module") == 0);
    if (is_read && path != NULL && stat(path, &status) == 0 && !S_ISREG(status.st_mode))
        config_complain(complaints, 0, setting->section, setting->name, "%s is no regular file", path);
}

static void check_files(const struct config *config, struct config_complaints *complaints) {
    for (size_t at = 0; at < config_setting_count; at++) {
        const struct setting *setting = &config_settings[at];
        if (setting->kind != SETTING_PATH)
            continue;
        if (strcmp(setting->section, "issuer") != 0)
            check_regular(setting, config, complaints);
        else
            for (size_t i = 0; i < config->issuer_count; i++) {
                complaints->title = config->issuers[i].name;
                check_regular(setting, &config->issuers[i], complaints);
            }
        complaints->title = NULL;
    }
}

void config_check(const struct config *config, struct config_complaints *complaints) {
    check_server(config, complaints);
    check_issuers(config, complaints);
    check_profiles(config, complaints);
    check_files(config, complaints);
    check_dns(config, complaints);
    config_check_addresses(config, complaints);
    config_check_names(config, complaints);
    config_check_perspectives(config, complaints);
    if ((config->redis_socket == NULL) == (config->redis_host == NULL))
        config_complain(complaints, 0, "redis", "redis_socket", "set either redis_socket or redis_host");
    if (config->redis_socket != NULL && strlen(config->redis_socket) > 107)
        config_complain(complaints, 0, "redis", "redis_socket",
                        "is longer than the 107 bytes of a socket's path");
    if (config->failed_check_pause_seconds > config->failed_check_longest_pause_seconds)
        config_complain(complaints, 0, "limits", "failed_check_pause_seconds",
                        "is more than failed_check_longest_pause_seconds");
    if (config->max_body_bytes > config->max_request_memory_bytes)
        config_complain(complaints, 0, "http", "max_body_bytes",
                        "is more than max_request_memory_bytes, which the body is part of");
    if (config->redis_reconnect_min_ms > config->redis_reconnect_max_ms)
        config_complain(complaints, 0, "redis", "redis_reconnect_min_ms",
                        "is more than redis_reconnect_max_ms");
    if (config->ocsp_max_age_seconds > config->ocsp_validity_seconds / 2)
        config_complain(
            complaints, 0, "ocsp", "ocsp_max_age_seconds",
            "is more than half of signer.ocsp_validity_seconds: caches would give out what has ended");
    if (config->evidence_max_age_seconds < config->recheck_after_seconds)
        config_complain(
            complaints, 0, "signer", "evidence_max_age_seconds",
            "is less than acme.recheck_after_seconds: the signer would refuse what workers hold for fresh");
    if (config->signer_not_before_max_ahead_hours < config->not_before_max_ahead_hours)
        config_complain(
            complaints, 0, "signer", "signer_not_before_max_ahead_hours",
            "is less than acme.not_before_max_ahead_hours: the signer would refuse what orders may ask for");
}
