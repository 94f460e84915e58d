/* `originca admin ...`: one function a command, one table for all of them. */
#include <stdio.h>
#include <string.h>

#include "admin_accounts.h"
#include "admin_calls.h"
#include "admin_selection.h"

const char *admin_path(struct cli *cli, const char *pattern, const char *operand) {
    const char *place = strstr(pattern, "%s");
    const char *made = arena_printf(cli->client.arena, "%.*s%s%s", (int)(place - pattern), pattern,
                                    client_escape(&cli->client, operand), place + 2);
    return made == NULL ? "" : made;
}

void admin_add_parameter(struct cli *cli, struct text *query, const char *name, const char *value) {
    if (value != NULL)
        text_printf(query, "%c%s=%s", strchr(query->data, '?') == NULL ? '?' : '&', name,
                    client_escape(&cli->client, value));
}

json_t *admin_own(struct cli *cli, json_t *json) {
    return arena_own_json(cli->client.arena, json);
}

int admin_finish(struct cli *cli, const json_t *json,
                 void (*print)(const struct cli *cli, const json_t *json)) {
    if (json == NULL)
        return cli->error.code == ERROR_UNAVAILABLE ? EXIT_NO_SERVER : EXIT_REFUSED;
    if (cli->as_json || print == NULL)
        print_json(json);
    else
        print(cli, json);
    return EXIT_OK;
}

/* Pages through a list: one page, or all of them with --all. */
json_t *admin_fetch_list(struct cli *cli, const char *first) {
    json_t *items = admin_own(cli, json_array());
    const char *cursor = NULL;
    do {
        struct text url;
        text_init(&url, cli->client.arena);
        text_append(&url, first);
        admin_add_parameter(cli, &url, "limit",
                            cli->limit != NULL ? cli->limit
                            : cli->wants_all   ? "1000"
                                               : "100");
        admin_add_parameter(cli, &url, "cursor", cursor);
        const json_t *page = client_call(&cli->client, "GET", url.data, NULL, &cli->error);
        if (page == NULL)
            return NULL;
        json_array_extend(items, json_object_get(page, "items"));
        cursor = json_string_value(json_object_get(page, "cursor"));
    } while (cursor != NULL && (cli->wants_all || json_array_size(items) == 0));
    if (cursor != NULL && !cli->as_json)
        fprintf(stderr, "There are more; --all shows them.\n");
    return items;
}

int admin_finish_list(struct cli *cli, const json_t *items, const char *const *titles,
                      const char *const *keys, size_t columns) {
    if (items != NULL && !cli->as_json) {
        print_table(items, titles, keys, columns);
        return EXIT_OK;
    }
    return admin_finish(cli, items, NULL);
}

bool admin_need(struct cli *cli, const char *value, const char *option) {
    return value != NULL || error_set(&cli->error, ERROR_INVALID, "%s is needed", option);
}

/* --- customers --- */

static void show_customer(const struct cli *cli, const json_t *customer) {
    (void)cli;
    print_customer(customer);
}

static int customer_add(struct cli *cli) {
    const json_t *body = admin_own(cli, json_pack("{s:s}", "name", cli->operands[0]));
    return admin_finish(cli, client_call(&cli->client, "POST", "/admin/v1/customers", body, &cli->error),
                        show_customer);
}

static int customer_list(struct cli *cli) {
    static const char *const titles[] = {"ID", "NAME", "CREATED"}, *const keys[] = {"id", "name",
                                                                                    "created_at"};
    return admin_finish_list(cli, admin_fetch_list(cli, "/admin/v1/customers"), titles, keys, 3);
}

static int customer_show(struct cli *cli) {
    return admin_finish(cli,
                        client_call(&cli->client, "GET",
                                    admin_path(cli, "/admin/v1/customers/%s", cli->operands[0]), NULL,
                                    &cli->error),
                        show_customer);
}

static int customer_suspend(struct cli *cli) {
    const char *url = admin_path(cli, "/admin/v1/customers/%s/suspend", cli->operands[0]);
    return admin_finish(cli, client_call(&cli->client, "POST", url, NULL, &cli->error), show_customer);
}

static int customer_resume(struct cli *cli) {
    const char *url = admin_path(cli, "/admin/v1/customers/%s/resume", cli->operands[0]);
    return admin_finish_allowed(cli, client_call(&cli->client, "POST", url, NULL, &cli->error),
                                show_customer);
}

/* --- zones --- */

static const char *zone_path(struct cli *cli, const char *suffix) {
    struct text url;
    text_init(&url, cli->client.arena);
    text_append(&url, admin_path(cli, "/admin/v1/zones/%s", cli->operands[0]));
    text_append(&url, suffix);
    admin_add_parameter(cli, &url, "customer", cli->customer);
    return url.data;
}

static int zone_add(struct cli *cli) {
    if (!admin_need(cli, cli->customer, "--customer"))
        return EXIT_USAGE;
    const json_t *body =
        admin_own(cli, json_pack("{s:s, s:s}", "name", cli->operands[0], "customer", cli->customer));
    return admin_finish(cli, client_call(&cli->client, "POST", "/admin/v1/zones", body, &cli->error),
                        print_zone);
}

static int zone_list(struct cli *cli) {
    static const char *const titles[] = {"NAME", "STATUS", "CUSTOMER", "NAME SERVERS", "CHECKED"},
                             *const keys[] = {"name", "status", "customer", "name_servers", "checked_at"};
    struct text url;
    text_init(&url, cli->client.arena);
    text_append(&url, "/admin/v1/zones");
    admin_add_parameter(cli, &url, "customer", cli->customer);
    return admin_finish_list(cli, admin_fetch_list(cli, url.data), titles, keys, 5);
}

static int zone_show(struct cli *cli) {
    return admin_finish(cli, client_call(&cli->client, "GET", zone_path(cli, ""), NULL, &cli->error),
                        print_zone);
}

static int zone_check(struct cli *cli) {
    return admin_finish(cli, client_call(&cli->client, "POST", zone_path(cli, "/check"), NULL, &cli->error),
                        print_zone);
}

static int zone_pause(struct cli *cli) {
    return admin_finish(cli, client_call(&cli->client, "POST", zone_path(cli, "/pause"), NULL, &cli->error),
                        print_zone);
}

static int zone_resume(struct cli *cli) {
    const char *url = zone_path(cli, "/resume");
    return admin_finish_allowed(cli, client_call(&cli->client, "POST", url, NULL, &cli->error), print_zone);
}

static int zone_delete(struct cli *cli) {
    return admin_finish(cli, client_call(&cli->client, "DELETE", zone_path(cli, ""), NULL, &cli->error),
                        print_zone);
}

/* --- keys of the REST API --- */

static json_t *split_commas(const char *text) {
    json_t *array = json_array();
    while (*text != '\0') {
        size_t length = strcspn(text, ",");
        if (length > 0)
            json_array_append_new(array, json_stringn(text, length));
        text += length + strspn(text + length, ",");
    }
    return array;
}

static void show_api_key(const struct cli *cli, const json_t *key) {
    (void)cli;
    printf("id    %s\nkind  %s\nkey   %s\nThe key is shown this once; it works until it is deleted.\n",
           json_text(key, "id"), json_text(key, "kind"), json_text(key, "key"));
}

static int key_add(struct cli *cli) {
    json_t *body = admin_own(cli, json_pack("{s:s}", "kind", cli->kind == NULL ? "token" : cli->kind));
    if (cli->name != NULL)
        json_object_set_new(body, "name", json_string(cli->name));
    if (cli->zones != NULL)
        json_object_set_new(body, "zones", split_commas(cli->zones));
    if (cli->rights != NULL)
        json_object_set_new(body, "rights", split_commas(cli->rights));
    return admin_finish(cli,
                        client_call(&cli->client, "POST",
                                    admin_path(cli, "/admin/v1/customers/%s/api-keys", cli->operands[0]),
                                    body, &cli->error),
                        show_api_key);
}

static int key_list(struct cli *cli) {
    static const char *const titles[] = {"ID", "KIND", "NAME", "RIGHTS", "ZONES", "REVOKED", "CREATED"},
                             *const keys[] = {"id",    "kind",    "name",      "rights",
                                              "zones", "revoked", "created_at"};
    return admin_finish_list(
        cli, admin_fetch_list(cli, admin_path(cli, "/admin/v1/customers/%s/api-keys", cli->operands[0])),
        titles, keys, 7);
}

static int key_delete(struct cli *cli) {
    if (!admin_need(cli, cli->customer, "--customer"))
        return EXIT_USAGE;
    const char *base = admin_path(cli, "/admin/v1/customers/%s/api-keys/", cli->customer);
    const char *url =
        arena_printf(cli->client.arena, "%s%s", base, client_escape(&cli->client, cli->operands[0]));
    return admin_finish(cli, client_call(&cli->client, "DELETE", url, NULL, &cli->error), NULL);
}

/* --- orders and certificates --- */

static int order_list(struct cli *cli) {
    static const char *const titles[] = {"ORDER", "STATUS", "IDENTIFIERS", "CUSTOMER", "CREATED"},
                             *const keys[] = {"id", "status", "identifiers", "customer", "created_at"};
    struct text url;
    text_init(&url, cli->client.arena);
    text_append(&url, "/admin/v1/orders");
    admin_add_parameter(cli, &url, "status", cli->status);
    admin_add_parameter(cli, &url, "zone", cli->zone);
    admin_add_parameter(cli, &url, "customer", cli->customer);
    admin_add_parameter(cli, &url, "since", cli->since);
    return admin_finish_list(cli, admin_fetch_list(cli, url.data), titles, keys, 5);
}

static int order_show(struct cli *cli) {
    return admin_finish(cli,
                        client_call(&cli->client, "GET",
                                    admin_path(cli, "/admin/v1/orders/%s", cli->operands[0]), NULL,
                                    &cli->error),
                        print_order);
}

static int cert_list(struct cli *cli) {
    static const char *const titles[] = {"SERIAL", "STATUS", "NAMES", "NOT AFTER", "CUSTOMER"},
                             *const keys[] = {"serial", "status", "names", "not_after", "customer"};
    struct text url;
    text_init(&url, cli->client.arena);
    text_append(&url, "/admin/v1/certificates");
    admin_add_parameter(cli, &url, "status", cli->status);
    admin_add_parameter(cli, &url, "zone", cli->zone);
    admin_add_parameter(cli, &url, "customer", cli->customer);
    admin_add_parameter(cli, &url, "expires_before", cli->expires_before);
    return admin_finish_list(cli, admin_fetch_list(cli, url.data), titles, keys, 5);
}

static int cert_show(struct cli *cli) {
    const char *serial = serial_decimal(cli->client.arena, cli->operands[0], &cli->error);
    if (serial == NULL)
        return EXIT_USAGE;
    const char *url = admin_path(cli, "/admin/v1/certificates/%s", serial);
    return admin_finish(cli, client_call(&cli->client, "GET", url, NULL, &cli->error), print_certificate);
}

/* One certificate is named by its serial; several, or a selection, show their number first.
 */
#define CERT_REVOKE_OPERANDS "SERIAL... | SELECTION --reason R [--per-second N] [--dry-run | --yes]"

static int cert_revoke(struct cli *cli) {
    bool is_one = cli->operand_count == 1 && !selection_is_given(cli) && !cli->is_dry_run;
    if (cli->operand_count == 0 && !selection_is_given(cli) && cli->reason == NULL) {
        fputs("Usage: originca admin cert revoke " CERT_REVOKE_OPERANDS "\n", stderr);
        return EXIT_USAGE;
    }
    if (!is_one)
        return revoke_many(cli);
    return revoke_one(cli);
}

/* --- the service itself --- */

static int stats(struct cli *cli) {
    return admin_finish(cli, client_call(&cli->client, "GET", "/admin/v1/stats", NULL, &cli->error), NULL);
}

static bool is_stopped(const json_t *health) {
    return json_object_get(health, "issuance") != NULL;
}

static void show_health(const struct cli *cli, const json_t *health) {
    static const char *const parts[] = {"redis", "ledger", "signer", "issuers", "dns", "workers"};
    (void)cli;
    printf("%s\n", json_is_true(json_object_get(health, "ready")) ? "ready" : "NOT READY");
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        const json_t *part = json_object_get(health, parts[i]);
        printf("  %-7s %s\n", parts[i],
               json_is_true(json_object_get(part, "ok")) ? "ok" : json_text(part, "reason"));
    }
    if (is_stopped(health))
        printf("  %s\n", json_text(json_object_get(health, "issuance"), "reason"));
}

static int health(struct cli *cli) {
    const json_t *json = client_call(&cli->client, "GET", "/readyz", NULL, &cli->error);
    int status = admin_finish(cli, json, show_health);
    bool is_well = json_is_true(json_object_get(json, "ready")) && !is_stopped(json);
    return status == EXIT_OK && !is_well ? EXIT_REFUSED : status;
}

static int metrics(struct cli *cli) {
    const char *text = client_get_text(&cli->client, "/metrics", &cli->error);
    if (text == NULL)
        return EXIT_NO_SERVER;
    fputs(text, stdout);
    return EXIT_OK;
}

static int token_retry(struct cli *cli) {
    return admin_finish(cli, client_call(&cli->client, "POST", "/admin/v1/token/retry", NULL, &cli->error),
                        NULL);
}

static int confirm_loss(struct cli *cli) {
    const json_t *body = admin_own(cli, json_object());
    return admin_finish(
        cli, client_call(&cli->client, "POST", "/admin/v1/ledger/confirm-loss", body, &cli->error), NULL);
}

static int accept_empty(struct cli *cli) {
    return admin_finish(
        cli, client_call(&cli->client, "POST", "/admin/v1/ledger/accept-empty", NULL, &cli->error), NULL);
}

static int accept_secrets(struct cli *cli) {
    return admin_finish(
        cli, client_call(&cli->client, "POST", "/admin/v1/ledger/accept-secrets", NULL, &cli->error), NULL);
}

static int ledger_hosts(struct cli *cli) {
    static const char *const titles[] = {"HOST", "MISSING"}, *const keys[] = {"host", "missing"};
    const json_t *json = client_call(&cli->client, "GET", "/admin/v1/ledger/hosts", NULL, &cli->error);
    return admin_finish_list(cli, json_object_get(json, "items"), titles, keys, 2);
}

static int crl_list(struct cli *cli) {
    static const char *const titles[] = {"ISSUER",  "URL",         "ENTRIES", "UNPROVEN", "BYTES",
                                         "AGE (S)", "NEXT UPDATE", "NUMBER",  "PROBLEM"},
                             *const keys[] = {"issuer",      "url",         "entries", "unproven", "bytes",
                                              "age_seconds", "next_update", "number",  "problem"};
    const json_t *json = client_call(&cli->client, "GET", "/admin/v1/crls", NULL, &cli->error);
    return admin_finish_list(cli, json_object_get(json, "items"), titles, keys, 9);
}

static void show_dropped(const struct cli *cli, const json_t *json) {
    const json_t *sample = json_object_get(json, "sample");
    bool is_dry_run = json_is_true(json_object_get(json, "dry_run"));
    (void)cli;
    printf("%lld serials that no ledger has, %lld entries of lists%s\n",
           (long long)json_integer_value(json_object_get(json, "serials")),
           (long long)json_integer_value(json_object_get(json, "entries")), is_dry_run ? "" : " taken off");
    for (size_t i = 0; is_dry_run && i < json_array_size(sample); i++)
        printf("  %s\n", json_string_value(json_array_get(sample, i)));
    if (is_dry_run && json_integer_value(json_object_get(json, "serials")) > 0)
        puts("Also what only a ledger had that is lost now is among them, unless its host had proven it.");
    if (json_integer_value(json_object_get(json, "valid_again")) > 0)
        printf("%lld certificates are valid again in Redis\n",
               (long long)json_integer_value(json_object_get(json, "valid_again")));
    if (json_integer_value(json_object_get(json, "still_revoked")) > 0)
        printf("%lld stay revoked in Redis: it does not have the certificates themselves\n",
               (long long)json_integer_value(json_object_get(json, "still_revoked")));
    if (json_integer_value(json_object_get(json, "waiting")) > 0)
        printf("%lld came later than a host has looked: do it again in a moment\n",
               (long long)json_integer_value(json_object_get(json, "waiting")));
}

static int crl_drop_unproven(struct cli *cli) {
    static const char *const url = "/admin/v1/crls/drop-unproven";
    const json_t *body = admin_own(cli, json_pack("{s:b}", "dry_run", 1));
    const json_t *dry_run = client_call(&cli->client, "POST", url, body, &cli->error);
    json_int_t count = json_integer_value(json_object_get(dry_run, "serials"));
    int status;
    if (dry_run == NULL || cli->is_dry_run || count == 0)
        return admin_finish(cli, dry_run, show_dropped);
    if (!cli->as_json)
        show_dropped(cli, dry_run);
    if (!selection_confirm(cli, "drop", count, &status))
        return status;
    return admin_finish(cli, client_call(&cli->client, "POST", url, NULL, &cli->error), show_dropped);
}

static int ledger_excuse(struct cli *cli) {
    const json_t *body = admin_own(cli, json_pack("{s:b}", "for_good", cli->for_good));
    return admin_finish(cli,
                        client_call(&cli->client, "POST",
                                    admin_path(cli, "/admin/v1/ledger/hosts/%s/excuse", cli->operands[0]),
                                    body, &cli->error),
                        NULL);
}

const struct command admin_commands[] = {
    {"customer", "add", "NAME", 1, "add a customer", customer_add},
    {"customer", "list", "", 0, "list customers", customer_list},
    {"customer", "show", "NAME", 1, "show a customer", customer_show},
    {"customer", "suspend", "NAME", 1, "issue nothing for a customer until he is resumed", customer_suspend},
    {"customer", "resume", "NAME", 1, "issue for a customer again", customer_resume},
    {"zone", "add", "NAME --customer C", 1, "add a zone and show the name servers to delegate it to",
     zone_add},
    {"zone", "list", "[--customer C]", 0, "list zones", zone_list},
    {"zone", "show", "NAME [--customer C]", 1, "show a zone with the evidence of its last check", zone_show},
    {"zone", "check", "NAME [--customer C]", 1, "check its delegation now", zone_check},
    {"zone", "pause", "NAME [--customer C]", 1, "issue nothing for it until resumed", zone_pause},
    {"zone", "resume", "NAME [--customer C]", 1, "issue for it again", zone_resume},
    {"zone", "delete", "NAME [--customer C]", 1, "off-board it: nothing is issued for it any more",
     zone_delete},
    {"eab", "add", "CUSTOMER", 1, "make a key for external account binding", eab_add},
    {"eab", "list", "CUSTOMER", 1, "list a customer's binding keys", eab_list},
    {"eab", "delete", "KID --customer C [--accounts [--yes]]", 1,
     "revoke a binding key; with --accounts also end the accounts that it has bound", eab_delete},
    {"key", "add", "CUSTOMER [--kind service-key|token] [--name N] [--zones A,B] [--rights R,S]", 1,
     "make a key of the REST API and show it once", key_add},
    {"key", "list", "CUSTOMER", 1, "list a customer's API keys", key_list},
    {"key", "delete", "ID --customer C", 1, "end an API key at once", key_delete},
    {"acme-account", "add", "--jwk FILE --customer C", 0, "bind the key of a client that knows no binding",
     acme_account_add},
    {"acme-account", "list", "--customer C [--eab-key KID] [--status S] | --without-customer", 0,
     "list ACME accounts: a customer's, or those of nobody", acme_account_list},
    {"acme-account", "show", "ID|URL", 1, "show an ACME account", acme_account_show},
    {"acme-account", "deactivate", "ID|URL [--yes]", 1, "end an ACME account for ever",
     acme_account_deactivate},
    {"order", "list", "[--status S] [--zone Z] [--customer C] [--since T]", 0,
     "list orders and refused attempts", order_list},
    {"order", "show", "ID", 1, "show an order with its DNS evidence", order_show},
    {"cert", "list", "[--status S] [--zone Z] [--customer C] [--expires-before T]", 0, "list certificates",
     cert_list},
    {"cert", "show", "SERIAL", 1, "show a certificate", cert_show},
    {"cert", "revoke", CERT_REVOKE_OPERANDS, ANY_OPERANDS,
     "revoke certificates for ever; one of them as unspecified without --reason", cert_revoke},
    {"crl", "list", "", 0, "the revocation lists, their ages and entries", crl_list},
    {"crl", "drop-unproven", "[--dry-run | --yes]", 0, "take entries off the lists that no host's ledger has",
     crl_drop_unproven},
    {"revocation", "list", "", 0, "list what revokes many certificates", revocation_list},
    {"revocation", "show", "ID", 1, "how far it is", revocation_show},
    {"revocation", "wait", "ID", 1, "show its progress until it ends", revocation_wait},
    {"revocation", "cancel", "ID", 1, "begin nothing more of it", revocation_cancel},
    {"replacement", "list", "", 0, "list mass replacements", replacement_list},
    {"replacement", "show", "ID", 1, "how many have replaced their certificates", replacement_show},
    {"replacement", "waiting", "ID", 1, "list the certificates that are not replaced yet",
     replacement_waiting},
    {"replacement", "cancel", "ID", 1, "ask for no renewal before its time any more", replacement_cancel},
    {"replace", "", "SELECTION --over DURATION [--from TIME] [--url U] [--dry-run | --yes]", 0,
     "have certificates renewed now, spread over a time", replace_certificates},
    {"import", "", "FILE [--format csv|json] [--dry-run]", 1, "make the customers and zones of a file",
     admin_import},
    {"search", "", "TEXT", 1, "find orders and certificates: host name, serial, order, account, customer",
     admin_search},
    {"top", "", "[--interval S] [--once]", 0, "an overview that renews itself", admin_top},
    {"stats", "", "", 0, "counts for an overview", stats},
    {"health", "", "", 0, "is everything usable? exit 1 if not", health},
    {"metrics", "", "", 0, "Prometheus text", metrics},
    {"signing", "stop", "[--this-host]", 0, "stop issuing for everybody, until allowed again", signing_stop},
    {"signing", "allow", "[--this-host]", 0, "allow issuing again", signing_allow},
    {"issuance", "stop", "[--issuer I | --customer C | --zone Z]", 0,
     "stop issuing for everybody, or for one", issuance_stop},
    {"issuance", "allow", "[--issuer I | --customer C | --zone Z]", 0, "allow it again", issuance_allow},
    {"issuance", "show", "", 0, "what is stopped, since when and by whom", issuance_show},
    {"token", "retry", "", 0, "try the token again with the PIN that it refused", token_retry},
    {"ledger", "confirm-loss", "", 0, "accept that ledger records are lost", confirm_loss},
    {"ledger", "accept-empty", "", 0, "go on with a Redis that lost data, with what the ledger holds of it",
     accept_empty},
    {"ledger", "accept-secrets", "", 0, "go on with other secret files: API and EAB keys of before end",
     accept_secrets},
    {"ledger", "hosts", "", 0, "which hosts have compared their ledgers with this Redis", ledger_hosts},
    {"ledger", "excuse", "HOST [--for-good]", 1, "go on without what a host's ledger may hold",
     ledger_excuse},
};
const size_t admin_command_count = sizeof admin_commands / sizeof admin_commands[0];
