/* --check-config's second half, and what a start looks at before it becomes one: a process for each kind of
 * the server's, as that one's user, reads what it would read at its start, and goes on after a mistake. The
 * token is tried with one login at most; that it is away is no mistake, the signer waits for it. */
#include "check_files.h"

#include <elf.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <event2/event.h>
#include <gnutls/x509.h>

#include "originca/dnscheck.h"
#include "originca/http.h"
#include "originca/keys.h"
#include "originca/names.h"
#include "originca/secrets.h"
#include "originca/signer.h"

#define PASSWORD_MAX 1024
#define PIN_MAX 128
#define LINES_MAX 128

struct check {
    const struct config *config;
    enum check_extent extent;
    const char *user; /* in whose view */
    FILE *out;
    unsigned mistakes;
};

static void say(struct check *check, const char *section, const char *title, const char *key,
                const char *kind, const char *message) {
    int line = config_line_of(check->config, section, title, key);
    char where[16] = "";
    if (line > 0)
        snprintf(where, sizeof where, ":%d", line);
    fprintf(check->out, "%s%s: %s.%s: %s%s [as user %s]\n", check->config->path, where, section, key, kind,
            message, check->user);
}

static bool note(struct check *check, bool is_good, const char *section, const char *title, const char *key,
                 const struct error *error) {
    if (is_good)
        return true;
    check->mistakes++;
    say(check, section, title, key, "", error->message);
    return false;
}

/* A file that its process looks for again, so that a start without it comes right by itself. */
static bool note_awaited(struct check *check, bool is_good, const char *section, const char *title,
                         const char *key, const struct error *error) {
    if (check->extent == CHECK_ALL)
        return note(check, is_good, section, title, key, error);
    if (!is_good)
        say(check, section, title, key, "warning: the server will wait for it: ", error->message);
    return is_good;
}

/* --- single files --- */

static bool is_secret_good(const char *path, size_t max, struct error *error) {
    char *text = config_read_secret(path, max, error);
    bool is_good = text != NULL && *text != '\0';
    if (text != NULL && !is_good)
        error_set(error, ERROR_INVALID, "%s is empty", path);
    if (text != NULL)
        bytes_wipe(text, strlen(text));
    free(text);
    return is_good;
}

static void check_master_secret(struct check *check) {
    struct error error;
    struct secrets *secrets = secrets_load(check->config->secret_file, &error);
    note(check, secrets != NULL, "server", "", "secret_file", &error);
    secrets_free(secrets);
}

static void check_operator_secret(struct check *check) {
    struct error error;
    const char *path = check->config->operator_secret_file;
    if (path == NULL)
        return;
    struct secrets *secrets = secrets_load(path, &error);
    note(check, secrets != NULL, "server", "", "operator_secret_file", &error);
    secrets_free(secrets);
}

static void check_redis_password(struct check *check) {
    struct error error;
    const char *path = check->config->redis_password_file;
    if (path != NULL)
        note_awaited(check, is_secret_good(path, PASSWORD_MAX, &error), "redis", "", "redis_password_file",
                     &error);
}

static void check_rules(struct check *check) {
    struct error error;
    note(check, names_load_suffixes(check->config->public_suffix_file, &error), "acme", "",
         "public_suffix_file", &error);
    note(check, keys_load_blocklist(check->config->key_blocklist_file, &error), "acme", "",
         "key_blocklist_file", &error);
}

static bool read_issuer_times(const char *path, time_t *begin, time_t *end) {
    gnutls_datum_t file = {0};
    gnutls_x509_crt_t certificate;
    if (gnutls_load_file(path, &file) < 0)
        return false;
    bool is_read = gnutls_x509_crt_init(&certificate) >= 0;
    if (is_read) {
        is_read = gnutls_x509_crt_import(certificate, &file, GNUTLS_X509_FMT_PEM) >= 0;
        if (is_read) {
            *begin = gnutls_x509_crt_get_activation_time(certificate);
            *end = gnutls_x509_crt_get_expiration_time(certificate);
        }
        gnutls_x509_crt_deinit(certificate);
    }
    gnutls_free(file.data);
    return is_read;
}

/* One that only its lists and answers are still signed with may have ended. */
static bool check_issuer_times(struct check *check, const struct config_issuer *issuer) {
    struct error error;
    time_t begin, end, now = time(NULL), longest = 0;
    char text[TIME_TEXT_MAX], message[600];
    if (!config_issues_with(check->config, issuer->name) ||
        !read_issuer_times(issuer->certificate_file, &begin, &end))
        return true;
    time_format(end, text);
    if (end <= now)
        return note(check,
                    error_set(&error, ERROR_INVALID,
                              "the issuing certificate in %s has ended (%s): nothing can be issued with it; "
                              "put a new one in its place",
                              issuer->certificate_file, text),
                    "issuer", issuer->name, "certificate_file", &error);
    for (size_t i = 0; i < check->config->profile_count; i++)
        if ((time_t)check->config->profiles[i].default_days * 86400 > longest)
            longest = (time_t)check->config->profiles[i].default_days * 86400;
    *message = '\0';
    if (begin > now) {
        time_format(begin, text);
        snprintf(message, sizeof message,
                 "the issuing certificate in %s begins only at %s: until then nothing can be issued with it",
                 issuer->certificate_file, text);
    } else if (end < now + longest)
        snprintf(message, sizeof message,
                 "the issuing certificate in %s ends %s: certificates are cut short to that end; replace it",
                 issuer->certificate_file, text);
    if (*message != '\0')
        say(check, "issuer", issuer->name, "certificate_file", "warning: ", message);
    return true;
}

static bool check_issuers(struct check *check) {
    struct error error;
    bool are_good = true;
    for (size_t i = 0; i < check->config->issuer_count; i++) {
        const struct config_issuer *issuer = &check->config->issuers[i];
        if (issuer->certificate_file != NULL)
            are_good = note(check, signer_try_issuer(issuer, &error), "issuer", issuer->name,
                            "certificate_file", &error) &&
                       check_issuer_times(check, issuer) && are_good;
    }
    return are_good;
}

/* What a start takes and clients do not. */
static void warn_of_certificate(struct check *check) {
    gnutls_datum_t file = {0};
    gnutls_x509_crt_t *chain = NULL;
    unsigned count = 0;
    char host[256], message[400];
    if (gnutls_load_file(check->config->tls_certificate_file, &file) < 0)
        return;
    if (gnutls_x509_crt_list_import2(&chain, &count, &file, GNUTLS_X509_FMT_PEM, 0) >= 0 && count > 0) {
        const char *base = check->config->base_url + strlen("https://");
        bool is_v6 = *base == '[';
        snprintf(host, sizeof host, "%.*s", (int)strcspn(base + is_v6, is_v6 ? "]" : ":/"), base + is_v6);
        if (gnutls_x509_crt_get_expiration_time(chain[0]) < time(NULL)) {
            snprintf(message, sizeof message, "the certificate in %s has expired",
                     check->config->tls_certificate_file);
            say(check, "server", "", "tls_certificate_file", "warning: ", message);
        }
        if (gnutls_x509_crt_check_hostname(chain[0], host) == 0) {
            snprintf(message, sizeof message, "the certificate in %s is not for %s, the host of base_url",
                     check->config->tls_certificate_file, host);
            say(check, "server", "", "tls_certificate_file", "warning: ", message);
        }
        for (unsigned i = 0; i < count; i++)
            gnutls_x509_crt_deinit(chain[i]);
        gnutls_free(chain);
    }
    gnutls_free(file.data);
}

static void check_tls(struct check *check) {
    static const uint8_t no_ticket_key[SECRET_BYTES];
    struct error error;
    struct http_tls *tls =
        http_tls_new(check->config->tls_certificate_file, check->config->tls_key_file, no_ticket_key, &error);
    if (note(check, tls != NULL, "server", "", "tls_certificate_file", &error))
        warn_of_certificate(check);
    http_tls_free(tls);
}

static bool has_remote_perspectives(const struct config *config) {
    for (size_t i = 0; i < config->perspectives.count; i++)
        if (strncmp(config->perspectives.items[i], "tls:", 4) == 0 ||
            strncmp(config->perspectives.items[i], "unix:", 5) == 0)
            return true;
    return false;
}

static void check_perspective_files(struct check *check) {
    const struct config *config = check->config;
    gnutls_certificate_credentials_t credentials;
    struct error error;
    if (!has_remote_perspectives(config) || gnutls_certificate_allocate_credentials(&credentials) < 0)
        return;
    int outcome =
        gnutls_certificate_set_x509_trust_file(credentials, config->perspective_ca_file, GNUTLS_X509_FMT_PEM);
    if (outcome <= 0)
        note(check,
             error_set(&error, ERROR_INVALID, "cannot use the CA certificates in %s: %s",
                       config->perspective_ca_file,
                       outcome == 0 ? "there are none" : gnutls_strerror(outcome)),
             "dns", "", "perspective_ca_file", &error);
    outcome = gnutls_certificate_set_x509_key_file(credentials, config->perspective_certificate_file,
                                                   config->perspective_key_file, GNUTLS_X509_FMT_PEM);
    if (outcome < 0)
        note(check,
             error_set(&error, ERROR_INVALID, "cannot use the certificate %s with the key %s: %s",
                       config->perspective_certificate_file, config->perspective_key_file,
                       gnutls_strerror(outcome)),
             "dns", "", "perspective_certificate_file", &error);
    gnutls_certificate_free_credentials(credentials);
}

static bool try_dns(const struct config *config, const char *trust_anchor_file, struct error *error) {
    struct event_base *base = event_base_new();
    const struct dnscheck_settings settings = {
        .root_hints_file = config->root_hints_file,
        .trust_anchor_file = trust_anchor_file,
        .name_server_pool = (const char *const *)config->name_server_pool.items,
        .name_server_pool_count = config->name_server_pool.count,
        .port = (uint16_t)config->dns_port,
        .address_rules = config->address_rules,
        .deadline_ms = config->dns_deadline_ms,
        .query_timeout_ms = config->dns_query_timeout_ms,
        .max_queries = config->dns_max_queries,
        .tries = config->dns_tries,
        .max_concurrent_checks = 1,
        .max_per_server = 1,
    };
    error_set(error, ERROR_INTERNAL, "out of memory");
    struct dnscheck *dnscheck = base == NULL ? NULL : dnscheck_new(base, &settings, error);
    bool is_good = dnscheck != NULL;
    if (is_good)
        dnscheck_free(dnscheck);
    if (base != NULL)
        event_base_free(base);
    return is_good;
}

static void check_dns_files(struct check *check) {
    struct error error;
    const char *anchors = check->config->trust_anchor_file;
    if (note(check, try_dns(check->config, NULL, &error), "dns", "", "root_hints_file", &error) &&
        anchors != NULL)
        note(check, try_dns(check->config, anchors, &error), "dns", "", "trust_anchor_file", &error);
}

/* --- by process --- */

/* Each process opens it again after a rotation. */
static void check_log(struct check *check) {
    struct error error;
    const char *path = check->config->log_file;
    struct stat status;
    if (path == NULL || (stat(path, &status) != 0 && geteuid() != 0))
        return; /* the supervisor makes it */
    FILE *file = fopen(path, "ae");
    if (file == NULL)
        error_set(&error, ERROR_INVALID, "cannot write %s: %m", path);
    note_awaited(check, file != NULL, "server", "", "log_file", &error);
    if (file != NULL)
        fclose(file);
}

static void check_worker(struct check *check) {
    check_log(check);
    check_master_secret(check);
    check_tls(check);
    check_rules(check);
    check_redis_password(check);
    check_dns_files(check);
    check_perspective_files(check);
    check_issuers(check);
}

static void check_admin(struct check *check) {
    check_log(check);
    check_master_secret(check);
    check_operator_secret(check);
    check_rules(check);
    check_redis_password(check);
    check_issuers(check);
}

static void check_token(struct check *check) {
    struct error error;
    const char *first = check->config->issuer_count == 0 ? "" : check->config->issuers[0].name;
    if (signer_try_token(check->config, NULL, &error))
        return;
    if (error.code == ERROR_INVALID)
        note(check, false, "issuer", first, "certificate_file", &error);
    else
        say(check, "signer", "", "pkcs11_pin_file",
            "warning: the signer will wait for its token: ", error.message);
}

/* What the dynamic linker could load. */
static bool is_module_good(const char *path, struct error *error) {
    Elf64_Ehdr header;
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return error_set(error, ERROR_INVALID, "cannot read %s: %m", path);
    bool is_module = fread(&header, sizeof header, 1, file) == 1 &&
                     memcmp(header.e_ident, ELFMAG, SELFMAG) == 0 && header.e_type == ET_DYN;
    fclose(file);
    return is_module ||
           error_set(error, ERROR_INVALID, "%s is no shared object, which a PKCS#11 module is", path);
}

/* Of a ledger that cannot be read as yet the signer says it, and signs nothing with another key. */
static bool check_issuer_names(struct check *check) {
    const struct config_issuer *anothers;
    struct error error;
    if (signer_try_issuer_names(check->config, &anothers, &error))
        return true;
    return anothers == NULL ? note_awaited(check, false, "signer", "", "ledger_directory", &error)
                            : note(check, false, "issuer", anothers->name, "certificate_file", &error);
}

static void check_signer(struct check *check) {
    const struct config *config = check->config;
    struct error error;
    check_log(check);
    check_rules(check);
    bool is_good =
        note(check, is_module_good(config->pkcs11_module, &error), "signer", "", "pkcs11_module", &error);
    is_good = note_awaited(check, is_secret_good(config->pkcs11_pin_file, PIN_MAX, &error), "signer", "",
                           "pkcs11_pin_file", &error) &&
              is_good;
    bool has_ledger =
        note_awaited(check, signer_try_ledger(config, &error), "signer", "", "ledger_directory", &error);
    is_good = check_issuers(check) && has_ledger && is_good;
    is_good = (!has_ledger || check_issuer_names(check)) && is_good;
    if (is_good && check->extent == CHECK_ALL)
        check_token(check);
}

/* --- as whom --- */

static bool become(const char *name, struct error *error) {
    if (geteuid() != 0 || name == NULL)
        return true;
    const struct passwd *user = getpwnam(name);
    if (user == NULL)
        return error_set(error, ERROR_INVALID, "there is no user \"%s\"", name);
    return (initgroups(name, user->pw_gid) == 0 && setgid(user->pw_gid) == 0 && setuid(user->pw_uid) == 0) ||
           error_set(error, ERROR_INTERNAL, "cannot become user \"%s\": %m", name);
}

struct role {
    const char *name, *setting, *user;
    void (*check)(struct check *check);
};

static _Noreturn void look(const struct config *config, enum check_extent extent, const struct role *role,
                           const char *user, int fd) {
    struct error error;
    struct check check = {.config = config, .extent = extent, .user = user, .out = fdopen(fd, "w")};
    if (check.out == NULL)
        _exit(255);
    if (note(&check, become(role->user, &error), "server", "", role->setting, &error))
        role->check(&check);
    fflush(check.out);
    _exit(check.mistakes < 100 ? (int)check.mistakes : 100); /* the PKCS#11 module's own end is not awaited */
}

/* Lines that somebody with the same view has printed are left out. */
struct printed {
    char *lines[LINES_MAX];
    size_t count;
};

static bool is_printed(struct printed *printed, const char *line) {
    for (size_t i = 0; i < printed->count; i++)
        if (strcmp(printed->lines[i], line) == 0)
            return true;
    if (printed->count < LINES_MAX && (printed->lines[printed->count] = strdup(line)) != NULL)
        printed->count++;
    return false;
}

static size_t run_role(const struct config *config, enum check_extent extent, const struct role *role,
                       const char *user, struct printed *printed, FILE *out) {
    int ends[2], status = 0;
    char line[2048];
    size_t repeated = 0;
    if (pipe(ends) != 0)
        return 1;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        close(ends[0]);
        look(config, extent, role, user, ends[1]);
    }
    close(ends[1]);
    FILE *in = fdopen(ends[0], "r");
    while (in != NULL && fgets(line, sizeof line, in) != NULL) {
        if (!is_printed(printed, line))
            fputs(line, out);
        else if (strstr(line, ": warning: ") == NULL)
            repeated++;
    }
    if (in != NULL)
        fclose(in);
    if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status) == 255) {
        fprintf(out, "%s: the files of the %s could not be checked\n", config->path, role->name);
        return 1;
    }
    size_t mistakes = (size_t)WEXITSTATUS(status);
    return mistakes > repeated ? mistakes - repeated : 0;
}

size_t check_files(const struct config *config, enum check_extent extent, FILE *out, char *views,
                   size_t size) {
    const struct role roles[] = {
        {"workers", "user", config->user, check_worker},
        {"admin", "admin_user", config->admin_user != NULL ? config->admin_user : config->user, check_admin},
        {"signer", "signer_user", config->signer_user != NULL ? config->signer_user : config->user,
         check_signer},
    };
    struct printed printed = {.count = 0};
    const struct passwd *self = getpwuid(geteuid());
    char current[64];
    snprintf(current, sizeof current, "%.60s", self == NULL ? "without a name" : self->pw_name);
    size_t mistakes = 0, length = 0;
    views[0] = '\0';
    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++) {
        const char *user = geteuid() == 0 && roles[i].user != NULL ? roles[i].user : current;
        mistakes += run_role(config, extent, &roles[i], user, &printed, out);
        if (length < size)
            length += (size_t)snprintf(views + length, size - length, "%s%s as %s", i == 0 ? "" : ", ",
                                       roles[i].name, user);
    }
    for (size_t i = 0; i < printed.count; i++)
        free(printed.lines[i]);
    return mistakes;
}
