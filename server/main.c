/* originca-server: the command line. Without a command it runs the server in the foreground. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check_files.h"
#include "originca/config.h"
#include "originca/signer.h"
#include "process.h"
#include "reload_command.h"
#include "supervisor.h"

#define DEFAULT_CONFIG "/etc/originca/originca.conf"

static void print_help(FILE *out) {
    fputs(
        "Usage: originca-server [-c FILE] [COMMAND]\n"
        "\n"
        "  (no command)              run the server in the foreground\n"
        "  reload                    have the running server reload, wait for the outcome, print it\n"
        "  ca init                   make issuing keys in the token, issuing certificates, secret, ledger\n"
        "  ledger verify|show|replay read the ledger offline\n"
        "\n"
        "  -c, --config FILE         configuration (default " DEFAULT_CONFIG ")\n"
        "      --check-config        print each mistake of the configuration and exit\n"
        "      --print-settings      print every setting with default and meaning (Markdown) and exit\n"
        "      --version, --help\n"
        "\n"
        "Signals: HUP reloads configuration and TLS certificate, TERM drains and stops, USR1 reopens the "
        "log.\n"
        "Exit status: 0 stopped or done, 1 failed, 2 wrong usage or configuration. See originca-server(8).\n",
        out);
}

enum { OPTION_CHECK = 256, OPTION_SETTINGS, OPTION_VERSION };

static int run_offline(const struct config *config, int argc, char **argv) {
    if (strcmp(argv[0], "ca") == 0 && argc >= 2 && strcmp(argv[1], "init") == 0)
        return signer_ca_init(config, argc - 1, argv + 1);
    if (strcmp(argv[0], "ledger") == 0 && argc >= 2)
        return signer_ledger_command(config, argc - 1, argv + 1);
    fprintf(stderr, "originca-server: unknown command \"%s\"\n", argv[0]);
    print_help(stderr);
    return 2;
}

/* What the file says, and what the files that it names hold: all mistakes of both. `views` gets who read
 * them. */
static struct config *load_and_check(const char *path, enum check_extent extent, char *views, size_t size) {
    struct error error;
    struct config *config = config_load(path, stderr, &error);
    if (config == NULL) {
        fprintf(stderr, "originca-server: %s\n", error.message);
        return NULL;
    }
    if (!process_check_users(config, &error)) {
        fprintf(stderr, "originca-server: %s: %s\n", path, error.message);
        config_free(config);
        return NULL;
    }
    size_t mistakes = check_files(config, extent, stderr, views, size);
    if (mistakes == 0)
        return config;
    fprintf(stderr, "originca-server: %s has %zu mistake%s in files that it names (read by %s)\n", path,
            mistakes, mistakes == 1 ? "" : "s", views);
    config_free(config);
    return NULL;
}

static int check_config(const char *path) {
    char views[256];
    struct config *config = load_and_check(path, CHECK_ALL, views, sizeof views);
    if (config != NULL)
        printf("%s: no mistakes found (files read by %s)\n", path, views);
    bool is_good = config != NULL;
    config_free(config);
    return is_good ? 0 : 2;
}

static int start(const char *path) {
    char views[256];
    struct config *config = load_and_check(path, CHECK_START, views, sizeof views);
    return config == NULL ? 2 : supervisor_run(config);
}

static int run_command(const char *path, int argc, char **argv) {
    struct error error;
    if (argc == 1 && strcmp(argv[0], "reload") == 0)
        return reload_command(path);
    struct config *config = config_load(path, stderr, &error);
    if (config == NULL) {
        fprintf(stderr, "originca-server: %s\n", error.message);
        return 2;
    }
    int status = run_offline(config, argc, argv);
    config_free(config);
    return status;
}

int main(int argc, char **argv) {
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'},
        {"check-config", no_argument, NULL, OPTION_CHECK},
        {"print-settings", no_argument, NULL, OPTION_SETTINGS},
        {"version", no_argument, NULL, OPTION_VERSION},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    const char *path = DEFAULT_CONFIG;
    bool only_check = false;
    /* "+": options behind the command belong to the command. */
    for (int option; (option = getopt_long(argc, argv, "+c:h", options, NULL)) != -1;) {
        switch (option) {
        case 'c':
            path = optarg;
            break;
        case 'h':
            print_help(stdout);
            return 0;
        case OPTION_CHECK:
            only_check = true;
            break;
        case OPTION_SETTINGS:
            config_print_settings(stdout);
            return 0;
        case OPTION_VERSION:
            puts("originca-server " ORIGINCA_VERSION);
            return 0;
        default:
            print_help(stderr);
            return 2;
        }
    }
    if (only_check)
        return check_config(path);
    return optind < argc ? run_command(path, argc - optind, argv + optind) : start(path);
}
