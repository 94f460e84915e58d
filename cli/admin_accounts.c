/* `originca admin eab` and `originca admin acme-account`: keys that bind ACME accounts to customers, and the
 * accounts. */
#include "admin_accounts.h"

#include <stdio.h>
#include <string.h>

#include "admin_selection.h"
#include "originca/text.h"

/* A slip of a person is caught; a script goes on, because nobody could answer it and a thief's account must
 * not wait. */
static bool confirm(struct cli *cli, const char *what) {
    if (cli->is_sure || !selection_can_ask())
        return true;
    fprintf(stderr, "%s end for ever. Type deactivate: ", what);
    return selection_is_typed(cli, "deactivate");
}

/* --- EAB keys and accounts --- */

static void show_eab_key(const struct cli *cli, const json_t *key) {
    (void)cli;
    printf("key id    %s\nHMAC key  %s\nGive both to the customer's ACME client; they work until the key is "
           "deleted.\n",
           json_text(key, "kid"), json_text(key, "hmac"));
}

int eab_add(struct cli *cli) {
    return admin_finish(cli,
                        client_call(&cli->client, "POST",
                                    admin_path(cli, "/admin/v1/customers/%s/eab-keys", cli->operands[0]),
                                    NULL, &cli->error),
                        show_eab_key);
}

int eab_list(struct cli *cli) {
    static const char *const titles[] = {"KEY ID", "REVOKED", "CREATED"}, *const keys[] = {"kid", "revoked",
                                                                                           "created_at"};
    return admin_finish_list(
        cli, admin_fetch_list(cli, admin_path(cli, "/admin/v1/customers/%s/eab-keys", cli->operands[0])),
        titles, keys, 3);
}

/* The server ends some accounts at a call, and says whether there are more. */
static int delete_with_accounts(struct cli *cli, const char *url) {
    json_int_t count = 0;
    const char *whole = arena_printf(cli->client.arena, "%s?accounts=deactivate", url);
    json_t *reply = NULL;
    if (!confirm(cli, "The accounts that the key has bound"))
        return EXIT_REFUSED;
    do {
        reply = whole == NULL ? NULL : client_call(&cli->client, "DELETE", whole, NULL, &cli->error);
        count += json_integer_value(json_object_get(reply, "accounts_deactivated"));
    } while (json_is_true(json_object_get(reply, "has_more")));
    if (reply == NULL && count > 0)
        fprintf(stderr, "%lld accounts were deactivated before that\n", (long long)count);
    if (reply != NULL)
        json_object_set_new(reply, "accounts_deactivated", json_integer(count));
    return admin_finish(cli, reply, NULL);
}

int eab_delete(struct cli *cli) {
    if (!admin_need(cli, cli->customer, "--customer"))
        return EXIT_USAGE;
    const char *base = admin_path(cli, "/admin/v1/customers/%s/eab-keys/", cli->customer);
    const char *url =
        arena_printf(cli->client.arena, "%s%s", base, client_escape(&cli->client, cli->operands[0]));
    if (cli->with_accounts)
        return delete_with_accounts(cli, url);
    return admin_finish(cli, client_call(&cli->client, "DELETE", url, NULL, &cli->error), NULL);
}

/* --- accounts --- */

static void show_account(const struct cli *cli, const json_t *account) {
    static const struct {
        const char *label, *key;
    } lines[] = {
        {"account", "url"},      {"id", "id"},          {"customer", "customer"},  {"status", "status"},
        {"bound by", "eab_key"}, {"key", "thumbprint"}, {"created", "created_at"}, {"last used", "used_at"}};
    (void)cli;
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        selection_print_line(lines[i].label, account, lines[i].key);
    size_t i;
    const json_t *contact;
    json_array_foreach(json_object_get(account, "contact"), i, contact)
        printf("%-13s %s\n", i == 0 ? "contact" : "", json_string_value(contact));
}

int acme_account_add(struct cli *cli) {
    if (!admin_need(cli, cli->jwk_file, "--jwk") || !admin_need(cli, cli->customer, "--customer"))
        return EXIT_USAGE;
    json_t *jwk = account_key_read(cli->client.arena, cli->jwk_file, &cli->error);
    if (jwk == NULL)
        return EXIT_USAGE;
    const json_t *body = admin_own(cli, json_pack("{s:O}", "jwk", jwk));
    return admin_finish(cli,
                        client_call(&cli->client, "POST",
                                    admin_path(cli, "/admin/v1/customers/%s/acme-accounts", cli->customer),
                                    body, &cli->error),
                        show_account);
}

int acme_account_list(struct cli *cli) {
    static const char *const titles[] = {"ACCOUNT", "STATUS", "BOUND BY", "CREATED", "LAST USED", "CONTACT"},
                             *const keys[] = {"id", "status", "eab_key", "created_at", "used_at", "contact"};
    struct text url;
    if (!cli->without_customer && !admin_need(cli, cli->customer, "--customer C or --without-customer"))
        return EXIT_USAGE;
    if (cli->without_customer && (cli->customer != NULL || cli->eab_key != NULL)) {
        error_set(&cli->error, ERROR_INVALID,
                  "--without-customer is for the accounts of nobody: no binding key, no customer");
        return EXIT_USAGE;
    }
    text_init(&url, cli->client.arena);
    text_append(&url, cli->without_customer
                          ? "/admin/v1/acme-accounts"
                          : admin_path(cli, "/admin/v1/customers/%s/acme-accounts", cli->customer));
    admin_add_parameter(cli, &url, "eab_key", cli->eab_key);
    admin_add_parameter(cli, &url, "status", cli->status);
    return admin_finish_list(cli, admin_fetch_list(cli, url.data), titles, keys, 6);
}

/* An id may begin with a dash; a URL, which is what clients show, never does. */
static const char *account_path(struct cli *cli, const char *pattern) {
    const char *slash = strrchr(cli->operands[0], '/');
    return admin_path(cli, pattern, slash == NULL ? cli->operands[0] : slash + 1);
}

int acme_account_show(struct cli *cli) {
    const char *url = account_path(cli, "/admin/v1/acme-accounts/%s");
    return admin_finish(cli, client_call(&cli->client, "GET", url, NULL, &cli->error), show_account);
}

int acme_account_deactivate(struct cli *cli) {
    const char *url = account_path(cli, "/admin/v1/acme-accounts/%s/deactivate");
    if (!confirm(cli, "The account and what it may do"))
        return EXIT_REFUSED;
    return admin_finish(cli, client_call(&cli->client, "POST", url, NULL, &cli->error), show_account);
}
