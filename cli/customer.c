/* `originca getcert`, `renew`, `list` ...: the commands of customers, and cfca, which is getcert by another
 * name. */
#include "customer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <curl/curl.h>

#include "customer_commands.h"

const struct customer_command customer_commands[] = {
    {"getcert", FOR_GETCERT, "[OPTIONS] [HOSTNAME...]",
     "Make a key here, have its certificate issued, and write both to files.", getcert_command},
    {"renew", FOR_RENEW, "[OPTIONS] NAME... | --all", "Renew what getcert has written, when it is time.",
     renew_command},
    {"list", FOR_LIST, "[--zone ZONE]", "List the certificates of a zone, or of all your zones.",
     list_command},
    {"show", FOR_SHOW, "ID | --certificate FILE", "Show a certificate as the server knows it.", show_command},
    {"revoke", FOR_REVOKE, "ID | --certificate FILE", "Revoke a certificate for ever.", revoke_command},
    {"genkey", FOR_GENKEY, "CSRJSON", "Make a key and a CSR from cfssl's csr.json; print both as JSON.",
     genkey_command},
    {"json", FOR_JSON, "[-bare] [-f FILE] [NAME]",
     "Write NAME.pem, NAME-key.pem, NAME.csr from the JSON of genkey or cfssl.", json_command},
    {"selfsign", FOR_SELFSIGN, "HOSTNAME CSRJSON | --hostnames A,B",
     "Make a key and a certificate that it signs itself (Full mode; Strict refuses it).", selfsign_command},
    {"certinfo", FOR_CERTINFO, "[FILE|-] [-csr FILE]", "Print what a certificate or a CSR holds.",
     certinfo_command},
};
const size_t customer_command_count = sizeof customer_commands / sizeof customer_commands[0];

void customer_print_help(FILE *out) {
    for (size_t i = 0; i < customer_command_count; i++)
        fprintf(out, "  %-9s %s\n", customer_commands[i].name, customer_commands[i].help);
    fputs("            originca COMMAND --help shows the options\n\n", out);
}

int customer_exit(const struct customer *customer) {
    switch (customer->error.code) {
    case ERROR_INVALID:
        return EXIT_USAGE;
    case ERROR_UNAVAILABLE:
    case ERROR_UNKNOWN:
        return EXIT_NO_SERVER;
    case ERROR_CONFLICT:
    case ERROR_INTERNAL:
        return EXIT_FILES;
    default:
        return EXIT_REFUSED;
    }
}

void customer_log(const struct customer *customer, const char *format, ...) {
    char stamp[32];
    time_t now = time(NULL);
    struct tm parts;
    va_list arguments;
    if (!customer->has_log_lines)
        return;
    strftime(stamp, sizeof stamp, "%Y/%m/%d %H:%M:%S", localtime_r(&now, &parts));
    fprintf(stderr, "%s [INFO] ", stamp);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
}

static const struct customer_command *find(const char *word) {
    for (size_t i = 0; i < customer_command_count; i++)
        if (strcmp(customer_commands[i].name, word) == 0)
            return &customer_commands[i];
    return NULL;
}

static int finish(const struct customer *customer, int status) {
    if (customer->error.code != ERROR_NONE && status != EXIT_OK)
        fprintf(stderr, "%s: %s\n", customer->program, customer->error.message);
    return status;
}

static int run(struct customer *customer, const struct customer_command *command, int argc, char **argv) {
    if (!options_read(customer, command, argc, argv))
        return EXIT_USAGE;
    if (customer->options.wants_help) {
        options_print_help(command, stdout);
        return EXIT_OK;
    }
    if (!settings_load(customer, &customer->options))
        return finish(customer, EXIT_USAGE);
    return finish(customer, command->run(customer));
}

/* cfca's own defaults: what its users' scripts rely on. */
static void become_cfca(struct customer *customer) {
    customer->program = "cfca";
    customer->has_log_lines = true;
    if (getenv("ORIGINCA_KEY_TYPE") == NULL)
        setenv("ORIGINCA_KEY_TYPE", "rsa", 1);
    if (getenv("ORIGINCA_KEY_FORMAT") == NULL)
        setenv("ORIGINCA_KEY_FORMAT", "traditional", 1);
}

static int start(bool is_cfca, const struct customer_command *command, int argc, char **argv) {
    struct rlimit no_core = {0, 0};
    struct customer customer = {.program = "originca",
                                .has_colour = isatty(STDOUT_FILENO) && getenv("NO_COLOR") == NULL};
    setrlimit(RLIMIT_CORE, &no_core); /* a dump would hold the private key */
    customer.arena = arena_new(256u * 1024 * 1024);
    if (customer.arena == NULL || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        arena_free(customer.arena);
        return EXIT_FILES;
    }
    if (is_cfca)
        become_cfca(&customer);
    argv[0] = arena_printf(customer.arena, "%s %s", customer.program, command->name);
    int status = run(&customer, command, argc, argv);
    rest_close(&customer);
    curl_global_cleanup();
    arena_free(customer.arena);
    if (fflush(stdout) != 0 && status == EXIT_OK)
        status = EXIT_FILES;
    return status;
}

bool customer_main(int argc, char **argv, int *status) {
    const char *slash = argc > 0 ? strrchr(argv[0], '/') : NULL;
    bool is_cfca = argc > 0 && strcmp(slash == NULL ? argv[0] : slash + 1, "cfca") == 0;
    int at = 1;
    while (at < argc && argv[at][0] == '-' && strcmp(argv[at], "-") != 0)
        at +=
            strcmp(argv[at], "--socket") == 0 ? 2 : 1; /* the one option with a value that may stand first */
    const struct customer_command *command = at < argc ? find(argv[at]) : NULL;
    if (is_cfca && (command == NULL || command->bit != FOR_GETCERT)) {
        bool is_asked = argc > 1 && (strstr(argv[1], "help") != NULL || strcmp(argv[1], "-h") == 0);
        options_print_help(find("getcert"), is_asked ? stdout : stderr);
        *status = is_asked ? EXIT_OK : EXIT_USAGE;
        return true;
    }
    if (command == NULL)
        return false;
    memmove(&argv[at], &argv[at + 1], sizeof argv[0] * (size_t)(argc - at));
    *status = start(is_cfca, command, argc - 1, argv);
    return true;
}
