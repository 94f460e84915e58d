/* `originca admin issuance stop|allow|show` and `signing stop|allow`: the stops of issuance, of everything,
 * of an issuer, of a customer, of a zone. */
#include <stdio.h>

#include "admin_calls.h"

static int set_signing(struct cli *cli, bool is_allowed) {
    json_t *body = json_pack("{s:b}", "allowed", is_allowed);
    if (cli->is_this_host)
        json_object_set_new(body, "only", json_string("this-host"));
    return admin_finish(
        cli, client_call(&cli->client, "POST", "/admin/v1/signing", admin_own(cli, body), &cli->error), NULL);
}

int signing_stop(struct cli *cli) {
    return set_signing(cli, false);
}

int signing_allow(struct cli *cli) {
    return set_signing(cli, true);
}

/* A zone's name may be several customers': --customer says whose, and is no second stop then. */
static const char *stop_url(struct cli *cli, bool is_stop) {
    struct arena *arena = cli->client.arena;
    struct client *client = &cli->client;
    if (cli->issuer != NULL)
        return arena_printf(arena, "/admin/v1/issuers/%s/%s", client_escape(client, cli->issuer),
                            is_stop ? "stop" : "allow");
    if (cli->zone != NULL)
        return arena_printf(arena, "/admin/v1/zones/%s/%s%s%s", client_escape(client, cli->zone),
                            is_stop ? "pause" : "resume", cli->customer == NULL ? "" : "?customer=",
                            cli->customer == NULL ? "" : client_escape(client, cli->customer));
    if (cli->customer != NULL)
        return arena_printf(arena, "/admin/v1/customers/%s/%s", client_escape(client, cli->customer),
                            is_stop ? "suspend" : "resume");
    return is_stop ? "/admin/v1/issuance/stop" : "/admin/v1/issuance/allow";
}

static int change_stop(struct cli *cli, bool is_stop) {
    if (cli->issuer != NULL && (cli->zone != NULL || cli->customer != NULL)) {
        error_set(&cli->error, ERROR_INVALID, "--issuer goes with neither --zone nor --customer");
        return EXIT_USAGE;
    }
    const char *url = stop_url(cli, is_stop);
    if (url == NULL) {
        error_set(&cli->error, ERROR_INTERNAL, "out of memory");
        return EXIT_REFUSED;
    }
    return admin_finish(cli, client_call(&cli->client, "POST", url, NULL, &cli->error), NULL);
}

int issuance_stop(struct cli *cli) {
    return change_stop(cli, true);
}

int issuance_allow(struct cli *cli) {
    return change_stop(cli, false);
}

static void say_more(const json_t *json, const char *what) {
    json_int_t count = json_integer_value(json_object_get(json, what));
    if (count > 0)
        printf("%s stopped: %lld\n", what, (long long)count);
}

int issuance_show(struct cli *cli) {
    static const char *const titles[] = {"STOP", "NAME", "ID", "SINCE", "BY"}, *const keys[] = {"of", "name",
                                                                                                "id", "since",
                                                                                                "by"};
    const json_t *json = client_call(&cli->client, "GET", "/admin/v1/issuance?limit=1000", NULL, &cli->error);
    const json_t *items = json_object_get(json, "items");
    if (json == NULL || cli->as_json)
        return admin_finish(cli, json, NULL);
    if (json_array_size(items) == 0) {
        puts("nothing is stopped");
        return EXIT_OK;
    }
    print_table(items, titles, keys, 5);
    say_more(json, "customers");
    say_more(json, "zones");
    return EXIT_OK;
}
