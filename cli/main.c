/* originca: the command line. What belongs to customers goes its own way (customer.c); here are the commands
 * of admins and `check`: finds the command in its table, parses options, runs it. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <curl/curl.h>

#include "customer.h"

#define DEFAULT_SOCKET "/run/originca/admin.sock"

static void print_help(FILE *out) {
    fputs(
        "Usage: originca COMMAND [OPTIONS]\n"
        "       originca [--json] check NAME... --name-servers A,B [OPTIONS]\n"
        "       originca [--socket PATH] [--json] admin NOUN VERB [OPERAND] [OPTIONS]\n\n"
        "  check NAME...  walk DNS from the root as the server does: is the zone delegated to the name "
        "servers\n"
        "                 that the provider assigned to you, are the names on its edge?\n"
        "                 --zone Z  --edge-prefixes P,Q  --explain  --trust-anchor FILE  --root-hints FILE\n"
        "                 --caa-mode named|strict --caa-identities D  --own-zone Z=A,B  (see "
        "originca(1))\n\n",
        out);
    customer_print_help(out);
    for (size_t i = 0; i < admin_command_count; i++) {
        const struct command *command = &admin_commands[i];
        char left[128];
        snprintf(left, sizeof left, "admin %s%s%s%s%s", command->noun, *command->verb == '\0' ? "" : " ",
                 command->verb, *command->operands == '\0' ? "" : " ", command->operands);
        fprintf(out, "  %-70s %s\n", left, command->help);
    }
    fputs("\n"
          "  SELECTION is any of --customer C --zone Z --key SPKI-SHA256 --account A --issuer I --profile P\n"
          "  --issued-since T --issued-before T --serials FILE, all of which must fit; see originca(1).\n\n"
          "  --socket PATH   admin socket (ORIGINCA_ADMIN_SOCKET, else " DEFAULT_SOCKET ")\n"
          "  --json          print data as JSON\n"
          "  --limit N, --all   how much of a list\n"
          "  --version, --help\n\n"
          "Exit status: 0 done, 1 refused, 2 wrong usage, 3 the server cannot be reached,\n"
          "4 a file cannot be read or written, 5 the reload hook failed. See originca(1).\n",
          out);
}

enum {
    OPTION_SOCKET = 256,
    OPTION_JSON,
    OPTION_CUSTOMER,
    OPTION_JWK,
    OPTION_STATUS,
    OPTION_ZONE,
    OPTION_SINCE,
    OPTION_REASON,
    OPTION_EXPIRES,
    OPTION_LIMIT,
    OPTION_ALL,
    OPTION_EXPLAIN,
    OPTION_NAME_SERVERS,
    OPTION_EDGE_PREFIX,
    OPTION_ROOT_HINTS,
    OPTION_DNS_PORT,
    OPTION_ALLOW_ADDRESSES,
    OPTION_DENY_ADDRESSES,
    OPTION_TRUST_ANCHOR,
    OPTION_CAA_MODE,
    OPTION_CAA_IDENTITY,
    OPTION_OWN_ZONE,
    OPTION_NAME_SERVER_POOL,
    OPTION_KIND,
    OPTION_NAME,
    OPTION_ZONES,
    OPTION_RIGHTS,
    OPTION_ACCOUNT_URI,
    OPTION_TXT,
    OPTION_DEADLINE,
    OPTION_TIMEOUT,
    OPTION_MAX_QUERIES,
    OPTION_FORMAT,
    OPTION_INTERVAL,
    OPTION_DRY_RUN,
    OPTION_ONCE,
    OPTION_FOR_GOOD,
    OPTION_KEY,
    OPTION_ACCOUNT,
    OPTION_ISSUER,
    OPTION_PROFILE,
    OPTION_ISSUED_SINCE,
    OPTION_ISSUED_BEFORE,
    OPTION_SERIALS,
    OPTION_PER_SECOND,
    OPTION_OVER,
    OPTION_FROM,
    OPTION_URL,
    OPTION_YES,
    OPTION_THIS_HOST,
    OPTION_EAB_KEY,
    OPTION_ACCOUNTS,
    OPTION_WITHOUT_CUSTOMER,
    OPTION_VERSION,
    OPTION_HELP
};

static const struct option options[] = {
    {"socket", required_argument, NULL, OPTION_SOCKET},
    {"json", no_argument, NULL, OPTION_JSON},
    {"customer", required_argument, NULL, OPTION_CUSTOMER},
    {"jwk", required_argument, NULL, OPTION_JWK},
    {"status", required_argument, NULL, OPTION_STATUS},
    {"zone", required_argument, NULL, OPTION_ZONE},
    {"since", required_argument, NULL, OPTION_SINCE},
    {"reason", required_argument, NULL, OPTION_REASON},
    {"expires-before", required_argument, NULL, OPTION_EXPIRES},
    {"limit", required_argument, NULL, OPTION_LIMIT},
    {"all", no_argument, NULL, OPTION_ALL},
    {"explain", no_argument, NULL, OPTION_EXPLAIN},
    {"name-servers", required_argument, NULL, OPTION_NAME_SERVERS},
    {"edge-prefixes", required_argument, NULL, OPTION_EDGE_PREFIX},
    {"root-hints", required_argument, NULL, OPTION_ROOT_HINTS},
    {"dns-port", required_argument, NULL, OPTION_DNS_PORT},
    {"allow-addresses", required_argument, NULL, OPTION_ALLOW_ADDRESSES},
    {"deny-addresses", required_argument, NULL, OPTION_DENY_ADDRESSES},
    {"trust-anchor", required_argument, NULL, OPTION_TRUST_ANCHOR},
    {"caa-mode", required_argument, NULL, OPTION_CAA_MODE},
    {"caa-identities", required_argument, NULL, OPTION_CAA_IDENTITY},
    {"own-zone", required_argument, NULL, OPTION_OWN_ZONE},
    {"name-server-pool", required_argument, NULL, OPTION_NAME_SERVER_POOL},
    {"kind", required_argument, NULL, OPTION_KIND},
    {"name", required_argument, NULL, OPTION_NAME},
    {"zones", required_argument, NULL, OPTION_ZONES},
    {"rights", required_argument, NULL, OPTION_RIGHTS},
    {"account-uri", required_argument, NULL, OPTION_ACCOUNT_URI},
    {"txt", required_argument, NULL, OPTION_TXT},
    {"deadline-ms", required_argument, NULL, OPTION_DEADLINE},
    {"query-timeout-ms", required_argument, NULL, OPTION_TIMEOUT},
    {"max-queries", required_argument, NULL, OPTION_MAX_QUERIES},
    {"format", required_argument, NULL, OPTION_FORMAT},
    {"interval", required_argument, NULL, OPTION_INTERVAL},
    {"dry-run", no_argument, NULL, OPTION_DRY_RUN},
    {"once", no_argument, NULL, OPTION_ONCE},
    {"for-good", no_argument, NULL, OPTION_FOR_GOOD},
    {"key", required_argument, NULL, OPTION_KEY},
    {"account", required_argument, NULL, OPTION_ACCOUNT},
    {"issuer", required_argument, NULL, OPTION_ISSUER},
    {"profile", required_argument, NULL, OPTION_PROFILE},
    {"issued-since", required_argument, NULL, OPTION_ISSUED_SINCE},
    {"issued-before", required_argument, NULL, OPTION_ISSUED_BEFORE},
    {"serials", required_argument, NULL, OPTION_SERIALS},
    {"per-second", required_argument, NULL, OPTION_PER_SECOND},
    {"over", required_argument, NULL, OPTION_OVER},
    {"from", required_argument, NULL, OPTION_FROM},
    {"url", required_argument, NULL, OPTION_URL},
    {"yes", no_argument, NULL, OPTION_YES},
    {"this-host", no_argument, NULL, OPTION_THIS_HOST},
    {"eab-key", required_argument, NULL, OPTION_EAB_KEY},
    {"accounts", no_argument, NULL, OPTION_ACCOUNTS},
    {"without-customer", no_argument, NULL, OPTION_WITHOUT_CUSTOMER},
    {"version", no_argument, NULL, OPTION_VERSION},
    {"help", no_argument, NULL, OPTION_HELP},
    {0},
};

#define OPTION_COUNT (sizeof options / sizeof options[0] - 1)

static bool take_option(struct cli *cli, int option, const char *value) {
    struct {
        int option;
        const char **place;
    } const texts[] = {{OPTION_SOCKET, &cli->client.socket},
                       {OPTION_CUSTOMER, &cli->customer},
                       {OPTION_JWK, &cli->jwk_file},
                       {OPTION_STATUS, &cli->status},
                       {OPTION_ZONE, &cli->zone},
                       {OPTION_SINCE, &cli->since},
                       {OPTION_REASON, &cli->reason},
                       {OPTION_EXPIRES, &cli->expires_before},
                       {OPTION_LIMIT, &cli->limit},
                       {OPTION_KIND, &cli->kind},
                       {OPTION_NAME, &cli->name},
                       {OPTION_ZONES, &cli->zones},
                       {OPTION_RIGHTS, &cli->rights},
                       {OPTION_FORMAT, &cli->format},
                       {OPTION_INTERVAL, &cli->interval},
                       {OPTION_KEY, &cli->key},
                       {OPTION_ACCOUNT, &cli->account},
                       {OPTION_ISSUER, &cli->issuer},
                       {OPTION_PROFILE, &cli->profile},
                       {OPTION_ISSUED_SINCE, &cli->issued_since},
                       {OPTION_ISSUED_BEFORE, &cli->issued_before},
                       {OPTION_SERIALS, &cli->serials},
                       {OPTION_PER_SECOND, &cli->per_second},
                       {OPTION_OVER, &cli->over},
                       {OPTION_FROM, &cli->from},
                       {OPTION_URL, &cli->url},
                       {OPTION_EAB_KEY, &cli->eab_key},
                       {OPTION_NAME_SERVERS, &cli->check.name_servers},
                       {OPTION_EDGE_PREFIX, &cli->check.edge_prefixes},
                       {OPTION_ROOT_HINTS, &cli->check.root_hints},
                       {OPTION_DNS_PORT, &cli->check.dns_port},
                       {OPTION_ALLOW_ADDRESSES, &cli->check.allow_addresses},
                       {OPTION_DENY_ADDRESSES, &cli->check.deny_addresses},
                       {OPTION_TRUST_ANCHOR, &cli->check.trust_anchor},
                       {OPTION_CAA_MODE, &cli->check.caa_mode},
                       {OPTION_CAA_IDENTITY, &cli->check.caa_identities},
                       {OPTION_NAME_SERVER_POOL, &cli->check.name_server_pool},
                       {OPTION_ACCOUNT_URI, &cli->check.account_uri},
                       {OPTION_TXT, &cli->check.txt},
                       {OPTION_DEADLINE, &cli->check.deadline},
                       {OPTION_TIMEOUT, &cli->check.timeout},
                       {OPTION_MAX_QUERIES, &cli->check.max_queries}};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (texts[i].option == option) {
            *texts[i].place = value;
            return true;
        }
    if (option == OPTION_OWN_ZONE && cli->check.own_zone_count < OWN_ZONES_MAX)
        cli->check.own_zones[cli->check.own_zone_count++] = value;
    else if (option == OPTION_JSON)
        cli->as_json = true;
    else if (option == OPTION_ALL)
        cli->wants_all = true;
    else if (option == OPTION_EXPLAIN)
        cli->wants_walk = true;
    else if (option == OPTION_DRY_RUN)
        cli->is_dry_run = true;
    else if (option == OPTION_ONCE)
        cli->is_once = true;
    else if (option == OPTION_YES)
        cli->is_sure = true;
    else if (option == OPTION_FOR_GOOD)
        cli->for_good = true;
    else if (option == OPTION_THIS_HOST)
        cli->is_this_host = true;
    else if (option == OPTION_ACCOUNTS)
        cli->with_accounts = true;
    else if (option == OPTION_WITHOUT_CUSTOMER)
        cli->without_customer = true;
    else
        return false;
    return true;
}

/* words[0] is "admin". */
static const struct command *find_command(const char *const *words, size_t count, size_t *used) {
    for (size_t i = 0; i < admin_command_count && count > 1; i++) {
        const struct command *command = &admin_commands[i];
        bool has_verb = *command->verb != '\0';
        if (strcmp(words[1], command->noun) != 0 ||
            (has_verb && (count < 3 || strcmp(words[2], command->verb) != 0)))
            continue;
        *used = has_verb ? 3 : 2;
        return command;
    }
    return NULL;
}

static int finish(const struct cli *cli, int status) {
    if (status != EXIT_OK && cli->error.code != ERROR_NONE)
        fprintf(stderr, "originca: %s\n", cli->error.message);
    return status;
}

static int run_customer_check(struct cli *cli, const char *const *words, size_t count) {
    if (count < 2) {
        fputs(
            "Usage: originca check NAME... --name-servers A,B [--zone Z] [--edge-prefixes P,Q] [--explain]\n",
            stderr);
        return EXIT_USAGE;
    }
    cli->operands = words + 1;
    cli->operand_count = count - 1;
    return finish(cli, check_command(cli));
}

/* The usage line of a command says which options it takes: "--customer C", or SELECTION for those that select
 * certificates. */
static bool takes_option(const struct command *command, const char *name) {
    static const char *const everywhere[] = {"socket", "json"}, *const lists[] = {"limit", "all"},
                             *const selection[] = {"customer",     "zone",          "key",
                                                   "account",      "issuer",        "profile",
                                                   "issued-since", "issued-before", "serials"};
    for (size_t i = 0; i < sizeof everywhere / sizeof everywhere[0]; i++)
        if (strcmp(name, everywhere[i]) == 0)
            return true;
    bool is_list = strcmp(command->verb, "list") == 0 || strcmp(command->verb, "waiting") == 0 ||
                   strcmp(command->noun, "search") == 0;
    for (size_t i = 0; is_list && i < sizeof lists / sizeof lists[0]; i++)
        if (strcmp(name, lists[i]) == 0)
            return true;
    bool has_selection = strstr(command->operands, "SELECTION") != NULL;
    for (size_t i = 0; has_selection && i < sizeof selection / sizeof selection[0]; i++)
        if (strcmp(name, selection[i]) == 0)
            return true;
    size_t length = strlen(name);
    for (const char *at = strstr(command->operands, "--"); at != NULL; at = strstr(at + 2, "--"))
        if (strncmp(at + 2, name, length) == 0 && strchr(" ]|", at[2 + length]) != NULL)
            return true;
    return false;
}

/* An option that a command does not know would be passed over, and what it was to bound with it. */
static bool judge_options(const struct command *command, const unsigned char given[OPTION_COUNT]) {
    const char *gap = *command->verb == '\0' ? "" : " ";
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if (given[i] == 0 || (given[i] == 1 && takes_option(command, options[i].name)))
            continue;
        fprintf(stderr,
                given[i] > 1
                    ? "originca: --%s was given twice\nUsage: originca admin %s%s%s %s\n"
                    : "originca: --%s is none of this command's options\nUsage: originca admin %s%s%s %s\n",
                options[i].name, command->noun, gap, command->verb, command->operands);
        return false;
    }
    return true;
}

static int run(struct cli *cli, const char *const *words, size_t count,
               const unsigned char given[OPTION_COUNT]) {
    size_t used = 0;
    if (count > 0 && strcmp(words[0], "check") == 0)
        return run_customer_check(cli, words, count);
    const struct command *command =
        count > 0 && strcmp(words[0], "admin") == 0 ? find_command(words, count, &used) : NULL;
    if (command == NULL) {
        fputs("originca: unknown command; `originca --help` lists them\n", stderr);
        return EXIT_USAGE;
    }
    if (!judge_options(command, given))
        return EXIT_USAGE;
    if (command->operand_count != ANY_OPERANDS && count - used != command->operand_count) {
        fprintf(stderr, "Usage: originca admin %s %s %s\n", command->noun, command->verb, command->operands);
        return EXIT_USAGE;
    }
    cli->operands = words + used;
    cli->operand_count = count - used;
    return finish(cli, command->run(cli));
}

int main(int argc, char **argv) {
    int customer_status;
    if (customer_main(argc, argv, &customer_status))
        return customer_status;
    struct cli cli = {.has_colour = isatty(STDOUT_FILENO) && getenv("NO_COLOR") == NULL};
    static const char **words; /* for as long as the program runs */
    const char *from_environment = getenv("ORIGINCA_ADMIN_SOCKET");
    size_t count = 0;
    if ((words = calloc((size_t)argc + 1, sizeof *words)) == NULL)
        return EXIT_REFUSED;
    cli.client.socket = from_environment != NULL ? from_environment : DEFAULT_SOCKET;
    /* Options may stand anywhere; "-" in front of the short options hands out words in between as option 1.
     */
    unsigned char given[OPTION_COUNT] = {0};
    for (int option, place; place = -1, (option = getopt_long(argc, argv, "-h", options, &place)) != -1;) {
        if (place >= 0 && given[place] < 2)
            given[place]++;
        if (option == 1) {
            words[count++] = optarg;
        } else if (option == OPTION_HELP || option == 'h') {
            print_help(stdout);
            return EXIT_OK;
        } else if (option == OPTION_VERSION) {
            puts("originca " ORIGINCA_VERSION);
            return EXIT_OK;
        } else if (!take_option(&cli, option, optarg)) {
            fputs("originca: wrong usage; `originca --help` shows it\n", stderr);
            return EXIT_USAGE;
        }
    }
    /* Behind "--" nothing is an option. */
    for (; optind < argc; optind++)
        words[count++] = argv[optind];
    cli.client.arena = arena_new(256u * 1024 * 1024);
    if (cli.client.arena == NULL || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return EXIT_REFUSED;
    int status = run(&cli, words, count, given);
    curl_global_cleanup();
    arena_free(cli.client.arena);
    return status;
}
