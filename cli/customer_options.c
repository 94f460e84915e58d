/* Every option of the customer's commands, once: its flag, whether it is a setting too, who takes it, and the
 * line of --help. Flags are read as Go reads them, with one hyphen or two: cfca and cfssl are called so. */
#include <getopt.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "customer.h"

#define TEXT(member) offsetof(struct options, member), false
#define FLAG(member) offsetof(struct options, member), true
#define MAKES_KEY (FOR_GETCERT | FOR_SELFSIGN)

const struct rule option_rules[] = {
    {"hostnames", TEXT(hostnames), false, FOR_GETCERT | FOR_SELFSIGN, "A,*.A,B",
     "the names of the certificate"},
    {"from-file", TEXT(from_file), false, FOR_GETCERT, "FILE",
     "one certificate for each line of hostnames (- is standard input)"},
    {"days", TEXT(days), true, MAKES_KEY, "N", "7, 30, 90, 365, 730, 1095 or 5475 (" DAYS_DEFAULT ")"},
    {"key-type", TEXT(key_type), true, MAKES_KEY, "rsa|ecdsa", "kind of the key (ecdsa; cfca: rsa)"},
    {"key-size", TEXT(key_size), true, MAKES_KEY, "N", "2048, 3072, 4096; 256, 384"},
    {"key-format", TEXT(key_format), true, MAKES_KEY, "F", "pkcs8, traditional (RSA/EC PRIVATE KEY), der"},
    {"key-out", TEXT(key_out), false, MAKES_KEY, "FILE", "the private key (FIRST-NAME.key)"},
    {"key-group", TEXT(key_group), true, MAKES_KEY, "GROUP", "may read the key: mode 0640 instead of 0600"},
    {"certificate-out", TEXT(certificate_out), false, MAKES_KEY, "FILE",
     "the certificate (FIRST-NAME.pem, by format)"},
    {"format", TEXT(format), true, FOR_GETCERT, "F", "pem, der, p7b or chain (leaf and issuer in PEM)"},
    {"out-dir", TEXT(out_dir), true, FOR_GETCERT, "DIR", "where derived file names lie (.)"},
    {"csr", TEXT(csr), false, FOR_GETCERT | FOR_CERTINFO, "FILE", "a certification request"},
    {"request-type", TEXT(request_type), true, FOR_GETCERT, "T", "origin-rsa or origin-ecc (as the key)"},
    {"issuer-file", TEXT(issuer_file), true, FOR_GETCERT | FOR_RENEW, "FILE",
     "the issuing certificate, for p7b and chain"},
    {"name", TEXT(name), false, FOR_GETCERT, "NAME", "what renew calls the certificate (FIRST-NAME)"},
    {"no-state", FLAG(has_no_state), false, FOR_GETCERT, NULL, "do not remember it for renew"},
    {"reload-hook", TEXT(reload_hook), true, FOR_GETCERT | FOR_RENEW, "COMMAND",
     "shell command to run after files have changed"},
    {"overwrite", FLAG(may_overwrite), false, FOR_GETCERT | FOR_SELFSIGN | FOR_JSON, NULL,
     "replace existing files"},
    {"state-dir", TEXT(state_dir), true, FOR_GETCERT | FOR_RENEW, "DIR",
     "what renew knows, a file a certificate"},
    {"all", FLAG(wants_all), false, FOR_RENEW, NULL, "every certificate that is due"},
    {"force", FLAG(is_forced), false, FOR_RENEW, NULL, "due or not"},
    {"dry-run", FLAG(is_dry_run), false, FOR_RENEW, NULL, "say what would be renewed"},
    {"reuse-key", FLAG(keeps_key), false, FOR_RENEW, NULL, "keep the key instead of making a new one"},
    {"zone", TEXT(zone), false, FOR_LIST, "ZONE", "name or id of the zone to list"},
    {"missing-revocation", FLAG(only_unrevocable), false, FOR_LIST, NULL,
     "only those that name no CRL and no OCSP server"},
    {"yes", FLAG(is_sure), false, FOR_REVOKE, NULL, "do not ask"},
    {"reason", TEXT(reason), false, FOR_REVOKE, "R",
     "keyCompromise, superseded, cessationOfOperation, ... or its number; else unspecified"},
    {"certificate", TEXT(certificate), false, FOR_REVOKE | FOR_SHOW, "FILE",
     "the certificate instead of its id"},
    {"f", TEXT(input), false, FOR_JSON, "FILE", "read this instead of standard input"},
    {"bare", FLAG(is_bare), false, FOR_JSON, NULL, "the input has no success/errors/result around it"},
    {"stdout", FLAG(to_stdout), false, FOR_JSON, NULL, "print the parts instead of writing files"},
    {"cert", TEXT(certificate), false, FOR_CERTINFO, "FILE", "a certificate (- is standard input)"},
    {"api-url", TEXT(api_url), true, FOR_SERVER, "URL", "the API, https://HOST/client/v4"},
    {"ca-file", TEXT(ca_file), true, FOR_SERVER, "FILE", "trust these instead of the system's authorities"},
    {"token", TEXT(api_token), false, FOR_SERVER, "TOKEN", "same as --api-token"},
    {"api-token", TEXT(api_token), true, FOR_SERVER, "TOKEN", "API token (others may see it in ps)"},
    {"api-token-file", TEXT(api_token_file), true, FOR_SERVER, "FILE", "holds the API token"},
    {"service-key", TEXT(service_key), true, FOR_SERVER, "KEY", "Origin CA key, v1.0-..."},
    {"service-key-file", TEXT(service_key_file), true, FOR_SERVER, "FILE", "holds the Origin CA key"},
    {"api-key", TEXT(api_key), true, FOR_SERVER, "KEY", "account key, with --api-email"},
    {"api-email", TEXT(api_email), true, FOR_SERVER, "ADDRESS", "of the account"},
    {"debug-requests", FLAG(shows_requests), false, FOR_SERVER, NULL,
     "print requests and answers, credentials left out"},
    {"json", FLAG(as_json), false, FOR_ALL, NULL, "print data as JSON"},
    {"help", FLAG(wants_help), false, FOR_ALL, NULL, "print this"},
    {"h", FLAG(wants_help), false, FOR_ALL, NULL, NULL},
};
const size_t option_rule_count = sizeof option_rules / sizeof option_rules[0];

#define RULES_MAX 64
_Static_assert(sizeof option_rules / sizeof option_rules[0] < RULES_MAX, "RULES_MAX is too small");

bool options_read(struct customer *customer, const struct customer_command *command, int argc, char **argv) {
    struct option table[RULES_MAX + 1] = {0};
    size_t used = 0;
    char *base = (char *)&customer->options;
    for (size_t i = 0; i < option_rule_count; i++)
        if ((option_rules[i].commands & command->bit) != 0)
            table[used++] = (struct option){option_rules[i].name,
                                            option_rules[i].is_flag ? no_argument : required_argument, NULL,
                                            (int)(256 + i)};
    optind = 0; /* glibc: begin anew */
    for (int option; (option = getopt_long_only(argc, argv, "", table, NULL)) != -1;) {
        if (option < 256)
            return error_set(&customer->error, ERROR_INVALID, "wrong usage; `%s --help` shows it", argv[0]);
        const struct rule *rule = &option_rules[option - 256];
        if (rule->is_flag)
            *(bool *)(void *)(base + rule->offset) = true;
        else
            *(const char **)(void *)(base + rule->offset) = optarg;
    }
    customer->operands = (const char *const *)&argv[optind];
    customer->operand_count = (size_t)(argc - optind);
    return true;
}

void options_print_help(const struct customer_command *command, FILE *out) {
    fprintf(out, "Usage: originca %s %s\n\n%s\n\n", command->name, command->usage, command->help);
    for (size_t i = 0; i < option_rule_count; i++) {
        const struct rule *rule = &option_rules[i];
        char left[64];
        if ((rule->commands & command->bit) == 0 || rule->help == NULL)
            continue;
        snprintf(left, sizeof left, "%s%s%s%s", strlen(rule->name) == 1 ? "-" : "--", rule->name,
                 rule->is_flag ? "" : " ", rule->is_flag ? "" : rule->value);
        fprintf(out, "  %-28s %s\n", left, rule->help);
    }
}
