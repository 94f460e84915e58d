/* `originca admin replace` and `originca admin replacement`: renewals before their time, spread over one that
 * the operator gives. */
#include "admin_selection.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A number with s, m, h or d behind it. */
static bool read_duration(const char *text, json_int_t *seconds) {
    static const struct {
        char letter;
        json_int_t seconds;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
    char *end;
    long number = strtol(text, &end, 10);
    if (*text < '0' || *text > '9' || number > 366L * 86400)
        return false;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (end[0] == units[i].letter && end[1] == '\0') {
            *seconds = number * units[i].seconds;
            return true;
        }
    return false;
}

static void print_replacement(const struct cli *cli, const json_t *replacement) {
    (void)cli;
    selection_print_line("replacement", replacement, "id");
    selection_print_line("state", replacement, "state");
    selection_print_chosen(replacement);
    selection_print_line("starts", replacement, "starts_at");
    selection_print_line("seconds", replacement, "over_seconds");
    selection_print_line("explained at", replacement, "explanation_url");
    selection_print_line("certificates", replacement, "total");
    selection_print_line("replaced", replacement, "replaced");
    selection_print_line("waiting", replacement, "waiting");
    selection_print_line("ended", replacement, "ended");
    selection_print_line("by", replacement, "by");
    selection_print_line("cancelled", replacement, "cancelled_at");
}

static int begin(struct cli *cli, json_t *body, const json_t *dry_run) {
    selection_set_confirmed(body, dry_run);
    const json_t *replacement =
        client_call(&cli->client, "POST", "/admin/v1/replacements", body, &cli->error);
    return admin_finish(cli, replacement, print_replacement);
}

static bool add_wishes(struct cli *cli, json_t *body) {
    json_int_t seconds = 0;
    if (cli->over != NULL && !read_duration(cli->over, &seconds))
        return error_set(&cli->error, ERROR_INVALID,
                         "--over is a number with s, m, h or d behind it, such as 12h");
    if (cli->over != NULL)
        json_object_set_new(body, "over_seconds", json_integer(seconds));
    if (cli->from != NULL)
        json_object_set_new(body, "starts_at", json_string(cli->from));
    if (cli->url != NULL)
        json_object_set_new(body, "explanation_url", json_string(cli->url));
    return true;
}

int replace_certificates(struct cli *cli) {
    int status;
    if (!cli->is_dry_run && !admin_need(cli, cli->over, "--over"))
        return EXIT_USAGE;
    json_t *body = selection_body(cli, &status);
    if (body == NULL)
        return status;
    if (!add_wishes(cli, body))
        return EXIT_USAGE;
    json_object_set_new(body, "dry_run", json_true());
    const json_t *dry_run = client_call(&cli->client, "POST", "/admin/v1/replacements", body, &cli->error);
    if (dry_run == NULL || (cli->is_dry_run && cli->as_json))
        return admin_finish(cli, dry_run, NULL);
    if (!cli->as_json)
        selection_print(cli, dry_run);
    if (cli->is_dry_run)
        return EXIT_OK;
    json_int_t count = json_integer_value(json_object_get(dry_run, "count"));
    return selection_confirm(cli, "replace", count, &status) ? begin(cli, body, dry_run) : status;
}

int replacement_list(struct cli *cli) {
    static const char *const titles[] = {"ID", "STATE", "CERTIFICATES", "STARTS", "BY"}, *const keys[] = {
                                                                                             "id", "state",
                                                                                             "total",
                                                                                             "starts_at",
                                                                                             "by"};
    return admin_finish_list(cli, admin_fetch_list(cli, "/admin/v1/replacements"), titles, keys, 5);
}

int replacement_show(struct cli *cli) {
    const char *url = admin_path(cli, "/admin/v1/replacements/%s", cli->operands[0]);
    return admin_finish(cli, client_call(&cli->client, "GET", url, NULL, &cli->error), print_replacement);
}

int replacement_waiting(struct cli *cli) {
    static const char *const titles[] = {"SERIAL", "NAMES", "CUSTOMER", "ACCOUNT", "NOT AFTER"},
                             *const keys[] = {"serial", "names", "customer", "account", "not_after"};
    const char *url = admin_path(cli, "/admin/v1/replacements/%s/waiting", cli->operands[0]);
    return admin_finish_list(cli, admin_fetch_list(cli, url), titles, keys, 5);
}

int replacement_cancel(struct cli *cli) {
    const char *url = admin_path(cli, "/admin/v1/replacements/%s/cancel", cli->operands[0]);
    return admin_finish(cli, client_call(&cli->client, "POST", url, NULL, &cli->error), print_replacement);
}
