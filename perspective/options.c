/* One table for the file (libConfuse), the command line (getopt_long) and the help text. */
#include "options.h"

#include <confuse.h>
#include <getopt.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "originca/addresses.h"
#include "originca/log.h"

#define LIST_MAX 32

enum kind { TEXT, NUMBER, OCTAL, LIST };

struct option_row {
    const char *name; /* with "-" for "_" on the command line */
    enum kind kind;
    size_t offset; /* of a TEXT or NUMBER */
    const char *fallback;
    uint32_t min, max;
    const char *help;
};

#define AT(member) offsetof(struct options, member)
#define NUMBER_ROW(member, fallback, min, max, help)                                                         \
    { #member, NUMBER, AT(member), fallback, min, max, help }

enum { ROW_LISTEN, ROW_CLIENT_NAMES, ROW_ALLOW_ADDRESSES, ROW_DENY_ADDRESSES };
static const struct option_row rows[] = {
    [ROW_LISTEN] = {"listen", LIST, 0, NULL, 0, 0, "address:port, [address]:port or unix:/path; required"},
    [ROW_CLIENT_NAMES] = {"client_names", LIST, 0, NULL, 0, 0,
                          "names a client's certificate must be for, one of them; default: any"},
    [ROW_ALLOW_ADDRESSES] = {"allow_addresses", LIST, 0, NULL, 0, 0,
                             "CIDR blocks of name servers that are asked although they are special-purpose"},
    [ROW_DENY_ADDRESSES] = {"deny_addresses", LIST, 0, NULL, 0, 0,
                            "CIDR blocks of name servers that are not asked"},
    {"certificate_file", TEXT, AT(certificate_file), NULL, 0, 0, "certificate chain, PEM; required"},
    {"key_file", TEXT, AT(key_file), NULL, 0, 0, "its private key, PEM; required"},
    {"client_ca_file", TEXT, AT(client_ca_file), NULL, 0, 0, "CA of the clients' certificates; required"},
    {"root_hints_file", TEXT, AT(root_hints_file), "/usr/share/dns/root.hints", 0, 0,
     "addresses of the root servers"},
    {"trust_anchor_file", TEXT, AT(trust_anchor_file), NULL, 0, 0,
     "DS or DNSKEY records of the root; without: no DNSSEC"},
    NUMBER_ROW(dns_port, "53", 1, 65535, "port of every name server"),
    {"socket_mode", OCTAL, AT(socket_mode), "0660", 0, 0777, "permissions of unix sockets"},
    NUMBER_ROW(max_connections, "64", 1, 100000, "connections at once"),
    NUMBER_ROW(max_checks, "200", 1, 100000, "checks at once; more are answered \"busy\""),
    NUMBER_ROW(max_frame_bytes, "1048576", 1024, 2097152, "longest request"),
    NUMBER_ROW(handshake_timeout_ms, "5000", 100, 60000, "deadline of the TLS handshake"),
    NUMBER_ROW(frame_timeout_ms, "5000", 100, 60000, "deadline of a request, from its first byte"),
    NUMBER_ROW(write_timeout_ms, "10000", 100, 60000, "deadline of taking a reply"),
    NUMBER_ROW(idle_timeout_ms, "600000", 100, 86400000, "a connection without requests is closed"),
    NUMBER_ROW(max_deadline_ms, "30000", 100, 120000, "longest deadline a client may ask for"),
    NUMBER_ROW(query_timeout_ms, "1500", 10, 60000, "deadline of one DNS query"),
    NUMBER_ROW(max_queries, "100", 10, 10000, "DNS queries one check may send"),
    NUMBER_ROW(tries, "2", 1, 10, "rounds over all servers of a zone"),
    NUMBER_ROW(max_cname, "8", 0, 32, "CNAME and DNAME hops followed"),
    NUMBER_ROW(max_per_server, "200", 1, 100000, "DNS queries in flight to one server"),
    NUMBER_ROW(referral_cache_entries, "10000", 0, 10000000, "referrals remembered"),
    NUMBER_ROW(referral_max_ttl, "300", 0, 86400, "longest time a referral is remembered, seconds"),
    NUMBER_ROW(drain_seconds, "10", 1, 600, "how long checks may go on after TERM"),
    {"log_file", TEXT, AT(log_file), NULL, 0, 0, "default: standard error"},
    {"log_level", TEXT, AT(log_level), "info", 0, 0, "error, warning, info or debug"},
};
#define ROWS (sizeof rows / sizeof rows[0])

struct given { /* what was said, by row */
    char *words[ROWS][LIST_MAX];
    size_t count[ROWS];
};

static char *command_line_name(const char *name) {
    char *copy = strdup(name);
    for (char *p = copy; p != NULL && *p != '\0'; p++)
        if (*p == '_')
            *p = '-';
    return copy;
}

static void print_help(FILE *out) {
    fputs("Usage: originca-perspective [-c FILE] [--OPTION VALUE ...]\n\n"
          "Checks DNS for an originca-server elsewhere and answers over mutually authenticated TLS.\n\n"
          "  -c, --config FILE             settings, \"name = value\", lists in braces\n"
          "      --check-config            say what is wrong with the settings and exit\n"
          "      --version, --help\n\n"
          "Each setting can stand in the file (with _) or here:\n\n",
          out);
    for (size_t i = 0; i < ROWS; i++) {
        char *name = command_line_name(rows[i].name);
        fprintf(out, "      --%-24s %s", name == NULL ? "" : name, rows[i].help);
        if (rows[i].fallback != NULL)
            fprintf(out, " (default %s)", rows[i].fallback);
        fputc('\n', out);
        free(name);
    }
    fputs("\nLists are given by repeating the option. See originca-perspective(8).\n", out);
}

static bool give(struct given *given, size_t row, const char *word) {
    bool is_list = rows[row].kind == LIST;
    if (given->count[row] == (is_list ? LIST_MAX : 1)) {
        fprintf(stderr, "originca-perspective: %s is given %s\n", rows[row].name,
                is_list ? "too often" : "twice");
        return false;
    }
    given->words[row][given->count[row]] = strdup(word);
    return given->words[row][given->count[row]++] != NULL;
}

/* --- the file --- */

__attribute__((format(printf, 2, 0))) static void print_parse_error(cfg_t *cfg, const char *format,
                                                                    va_list arguments) {
    fprintf(stderr, "%s:%d: ", cfg->filename == NULL ? "?" : cfg->filename, cfg->line);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
}

/* What the command line said already stays. */
static bool read_file(const char *path, struct given *given) {
    cfg_opt_t options[ROWS + 1];
    bool is_good = true;
    for (size_t i = 0; i < ROWS; i++) {
        cfg_opt_t list = CFG_STR_LIST(rows[i].name, NULL, CFGF_NODEFAULT);
        cfg_opt_t text = CFG_STR(rows[i].name, NULL, CFGF_NODEFAULT);
        options[i] = rows[i].kind == LIST ? list : text;
    }
    cfg_opt_t end = CFG_END();
    options[ROWS] = end;
    cfg_t *cfg = cfg_init(options, CFGF_NONE);
    if (cfg == NULL)
        return false;
    cfg_set_error_function(cfg, print_parse_error);
    int outcome = cfg_parse(cfg, path);
    if (outcome == CFG_FILE_ERROR)
        fprintf(stderr, "originca-perspective: cannot read %s\n", path);
    for (size_t i = 0; outcome == CFG_SUCCESS && is_good && i < ROWS; i++) {
        bool was_given = given->count[i] > 0;
        for (unsigned j = 0; !was_given && is_good && j < cfg_size(cfg, rows[i].name); j++) {
            const char *word = cfg_getnstr(cfg, rows[i].name, j);
            is_good = word == NULL || give(given, i, word);
        }
    }
    cfg_free(cfg);
    return outcome == CFG_SUCCESS && is_good;
}

/* --- values --- */

static bool set_number(const struct option_row *row, const char *word, uint32_t *out) {
    char *end = NULL;
    unsigned long value = strtoul(word, &end, row->kind == OCTAL ? 8 : 10);
    if (*word < '0' || *word > '9' || *end != '\0' || value < row->min || value > row->max) {
        fprintf(stderr,
                row->kind == OCTAL ? "originca-perspective: %s: \"%s\" is no mode from %o to %o\n"
                                   : "originca-perspective: %s: \"%s\" is no number from %u to %u\n",
                row->name, word, row->min, row->max);
        return false;
    }
    *out = (uint32_t)value;
    return true;
}

static bool set_prefixes(const struct given *given, size_t row, struct config_prefix **out, size_t *count) {
    struct error error;
    *out = calloc(LIST_MAX, sizeof **out);
    if (*out == NULL)
        return false;
    for (size_t i = 0; i < given->count[row]; i++, (*count)++)
        if (!config_parse_prefix(given->words[row][i], &(*out)[i], &error)) {
            fprintf(stderr, "originca-perspective: %s: %s\n", rows[row].name, error.message);
            return false;
        }
    return true;
}

/* Takes the words of client_names out of `given`. */
static bool set_lists(struct given *given, struct options *out) {
    struct error error;
    out->listen = calloc(LIST_MAX, sizeof *out->listen);
    out->client_names.items = calloc(LIST_MAX, sizeof *out->client_names.items);
    if (out->listen == NULL || out->client_names.items == NULL)
        return false;
    for (size_t i = 0; i < given->count[ROW_LISTEN]; i++, out->listen_count++)
        if (!config_parse_address(given->words[ROW_LISTEN][i], &out->listen[i], &error)) {
            fprintf(stderr, "originca-perspective: listen: %s\n", error.message);
            return false;
        }
    for (size_t i = 0; i < given->count[ROW_CLIENT_NAMES]; i++) {
        out->client_names.items[out->client_names.count++] = given->words[ROW_CLIENT_NAMES][i];
        given->words[ROW_CLIENT_NAMES][i] = NULL;
    }
    struct address_rules *rules = &out->address_rules;
    return set_prefixes(given, ROW_ALLOW_ADDRESSES, &rules->allowed, &rules->allowed_count) &&
           set_prefixes(given, ROW_DENY_ADDRESSES, &rules->denied, &rules->denied_count);
}

static bool set_values(struct given *given, struct options *out) {
    bool is_good = set_lists(given, out);
    for (size_t i = 0; i < ROWS; i++) {
        const struct option_row *row = &rows[i];
        const char *word = given->count[i] > 0 ? given->words[i][0] : row->fallback;
        void *place = (char *)out + row->offset;
        if (row->kind == LIST || word == NULL)
            continue;
        if (row->kind == TEXT)
            is_good = (*(char **)place = strdup(word)) != NULL && is_good;
        else
            is_good = set_number(row, word, place) && is_good;
    }
    return is_good;
}

static bool is_readable(const char *name, const char *path) {
    if (path != NULL && access(path, R_OK) == 0)
        return true;
    fprintf(stderr, "originca-perspective: %s: %s%s\n", name, path == NULL ? "is required" : "cannot read ",
            path == NULL ? "" : path);
    return false;
}

static bool check(const struct options *options) {
    enum log_level level;
    struct error error;
    bool is_good = options->listen_count > 0;
    if (!is_good)
        fputs("originca-perspective: listen: is required\n", stderr);
    is_good = is_readable("certificate_file", options->certificate_file) && is_good;
    is_good = is_readable("key_file", options->key_file) && is_good;
    is_good = is_readable("client_ca_file", options->client_ca_file) && is_good;
    if (!root_hints_read(options->root_hints_file, &options->address_rules, NULL, NULL, &error)) {
        fprintf(stderr, "originca-perspective: root_hints_file: %s\n", error.message);
        is_good = false;
    }
    if (!log_level_parse(options->log_level, &level)) {
        fprintf(stderr, "originca-perspective: log_level: \"%s\" is none of error, warning, info, debug\n",
                options->log_level);
        is_good = false;
    }
    return is_good;
}

/* --- the command line --- */

enum { OPTION_CHECK = 256, OPTION_VERSION, OPTION_ROW };

static enum options_outcome read_command_line(int argc, char **argv, struct option *list, struct given *given,
                                              const char **path) {
    enum options_outcome outcome = OPTIONS_RUN;
    for (int option; (option = getopt_long(argc, argv, "c:h", list, NULL)) != -1;) {
        if (option == 'c') {
            *path = optarg;
        } else if (option == 'h') {
            print_help(stdout);
            return OPTIONS_DONE;
        } else if (option == OPTION_VERSION) {
            puts("originca-perspective " ORIGINCA_VERSION);
            return OPTIONS_DONE;
        } else if (option == OPTION_CHECK) {
            outcome = OPTIONS_CHECK;
        } else if (option < OPTION_ROW || !give(given, (size_t)(option - OPTION_ROW), optarg)) {
            fputs("Try originca-perspective --help\n", stderr);
            return OPTIONS_WRONG;
        }
    }
    if (optind == argc)
        return outcome;
    fprintf(stderr, "originca-perspective: \"%s\" is no option\n", argv[optind]);
    return OPTIONS_WRONG;
}

enum options_outcome options_read(int argc, char **argv, struct options *out) {
    struct option list[ROWS + 5] = {{"config", required_argument, NULL, 'c'},
                                    {"help", no_argument, NULL, 'h'},
                                    {"check-config", no_argument, NULL, OPTION_CHECK},
                                    {"version", no_argument, NULL, OPTION_VERSION}};
    struct given given;
    const char *path = NULL;
    memset(&given, 0, sizeof given);
    memset(out, 0, sizeof *out);
    for (size_t i = 0; i < ROWS; i++)
        list[4 + i] =
            (struct option){command_line_name(rows[i].name), required_argument, NULL, OPTION_ROW + (int)i};
    enum options_outcome outcome = read_command_line(argc, argv, list, &given, &path);
    if (outcome == OPTIONS_RUN || outcome == OPTIONS_CHECK) {
        bool is_read = path == NULL || read_file(path, &given);
        if (!is_read || !set_values(&given, out) || !check(out))
            outcome = OPTIONS_WRONG;
    }
    for (size_t i = 0; i < ROWS; i++) {
        free((char *)(uintptr_t)list[4 + i].name);
        for (size_t j = 0; j < given.count[i]; j++)
            free(given.words[i][j]);
    }
    return outcome;
}

void options_free(struct options *options) {
    free(options->listen);
    free(options->address_rules.allowed);
    free(options->address_rules.denied);
    for (size_t i = 0; i < options->client_names.count; i++)
        free(options->client_names.items[i]);
    free(options->client_names.items);
    for (size_t i = 0; i < ROWS; i++)
        if (rows[i].kind == TEXT)
            free(*(char **)(void *)((char *)options + rows[i].offset));
}
