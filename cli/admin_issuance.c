/* `originca admin issuance stop|allow|show` and `signing stop|allow`: the stops of issuance, of everything,
 * of an issuer, of a customer, of a zone, of this host's signer. */
#include <stdio.h>
#include <string.h>

#include "admin_calls.h"

#define STOPS_URL "/admin/v1/issuance?limit=1000"

static void say_count(const json_t *json, const char *what, const char *prefix, FILE *out) {
    json_int_t count = json_integer_value(json_object_get(json, what));
    if (count > 0)
        fprintf(out, "%s%s stopped: %lld\n", prefix, what, (long long)count);
}

static void say_lifted_by(const char *what, const char *name, const char *how) {
    fprintf(stderr, "still stopped %s%s: `originca admin %s%s` lifts it\n", what, name, how,
            strcmp(what, "for everybody") == 0 || strstr(how, "--this-host") != NULL ? "" : name);
}

/* How it is lifted. Of customers that one alone is named whose zone is allowed again: there may be many. */
static void say_stop(const json_t *stop, const char *customer) {
    const char *of = json_text(stop, "of"), *id = json_text(stop, "id");
    if (strcmp(of, "global") == 0)
        say_lifted_by("for everybody", "", "issuance allow");
    else if (strcmp(of, "issuer") == 0)
        say_lifted_by("for the issuer ", id, "issuance allow --issuer ");
    else if (strcmp(of, "this-host") == 0)
        say_lifted_by("at the signer of this host, ", json_text(stop, "name"), "signing allow --this-host");
    else if (strcmp(of, "customer") == 0 && strcmp(id, customer) == 0)
        say_lifted_by("for its customer ", id, "issuance allow --customer ");
}

int admin_finish_allowed(struct cli *cli, const json_t *reply,
                         void (*print)(const struct cli *cli, const json_t *json)) {
    struct error ignored = {.code = ERROR_NONE};
    int status = admin_finish(cli, reply, print);
    fflush(stdout);
    if (status != EXIT_OK)
        return status;
    const json_t *json = client_call(&cli->client, "GET", STOPS_URL, NULL, &ignored), *stop;
    size_t i;
    json_array_foreach(json_object_get(json, "items"), i, stop) say_stop(stop, json_text(reply, "customer"));
    say_count(json, "customers", "still, ", stderr);
    say_count(json, "zones", "still, ", stderr);
    return EXIT_OK;
}

static int set_stop(struct cli *cli, const char *url, const json_t *body, bool is_stop) {
    const json_t *reply = client_call(&cli->client, "POST", url, body, &cli->error);
    return is_stop ? admin_finish(cli, reply, NULL) : admin_finish_allowed(cli, reply, NULL);
}

static int set_signing(struct cli *cli, bool is_allowed) {
    json_t *body = json_pack("{s:b}", "allowed", is_allowed);
    if (cli->is_this_host)
        json_object_set_new(body, "only", json_string("this-host"));
    return set_stop(cli, "/admin/v1/signing", admin_own(cli, body), !is_allowed);
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
    return set_stop(cli, url, NULL, is_stop);
}

int issuance_stop(struct cli *cli) {
    return change_stop(cli, true);
}

int issuance_allow(struct cli *cli) {
    return change_stop(cli, false);
}

int issuance_show(struct cli *cli) {
    static const char *const titles[] = {"STOP", "NAME", "ID", "SINCE", "BY"}, *const keys[] = {"of", "name",
                                                                                                "id", "since",
                                                                                                "by"};
    const json_t *json = client_call(&cli->client, "GET", STOPS_URL, NULL, &cli->error);
    const json_t *items = json_object_get(json, "items");
    if (json == NULL || cli->as_json)
        return admin_finish(cli, json, NULL);
    const char *unknown = json_text(json, "signer_unknown");
    if (json_array_size(items) > 0)
        print_table(items, titles, keys, 5);
    else
        puts(*unknown == '\0' ? "nothing is stopped" : "nothing is stopped that Redis knows");
    say_count(json, "customers", "", stdout);
    say_count(json, "zones", "", stdout);
    if (*unknown != '\0')
        printf("whether the signer of this host is stopped is not known: %s\n", unknown);
    return EXIT_OK;
}
