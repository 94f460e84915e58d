/* `originca admin cert revoke` of many, and what goes on of it. The job is the server's: this only watches.
 */
#include "admin_selection.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "customer.h"
#include "originca/revocation.h"

#define LOOK_INTERVAL_US 300000
#define AWAY_LOOKS_MAX 200 /* a minute without a server */
#define EXIT_INTERRUPTED 130

static volatile sig_atomic_t was_interrupted;

static void on_interrupt(int signal) {
    (void)signal;
    was_interrupted = 1;
}

static void print_job(const struct cli *cli, const json_t *job) {
    (void)cli;
    selection_print_line("job", job, "id");
    selection_print_line("state", job, "state");
    selection_print_line("turn", job, "turn");
    selection_print_chosen(job);
    selection_print_line("reason", job, "reason");
    selection_print_line("certificates", job, "total");
    selection_print_line("revoked", job, "done");
    selection_print_line("failed", job, "failed");
    selection_print_line("skipped", job, "skipped");
    selection_print_line("a second", job, "per_second");
    selection_print_line("host", job, "host");
    selection_print_line("problem", job, "problem");
    selection_print_line("by", job, "by");
    selection_print_line("cancelled by", job, "cancelled_by");
    selection_print_line("begun", job, "created_at");
    selection_print_line("ended", job, "ended_at");
}

int revocation_list(struct cli *cli) {
    static const char *const titles[] = {"ID",    "STATE",   "TURN",   "REASON",
                                         "TOTAL", "REVOKED", "FAILED", "BEGUN"},
                             *const keys[] = {"id",    "state", "turn",   "reason",
                                              "total", "done",  "failed", "created_at"};
    return admin_finish_list(cli, admin_fetch_list(cli, "/admin/v1/revocations"), titles, keys, 8);
}

int revocation_show(struct cli *cli) {
    const char *url = admin_path(cli, "/admin/v1/revocations/%s", cli->operands[0]);
    return admin_finish(cli, client_call(&cli->client, "GET", url, NULL, &cli->error), print_job);
}

int revocation_cancel(struct cli *cli) {
    const char *url = admin_path(cli, "/admin/v1/revocations/%s/cancel", cli->operands[0]);
    return admin_finish(cli, client_call(&cli->client, "POST", url, NULL, &cli->error), print_job);
}

/* One look, in an arena of its own: there may be very many. NULL: nobody answered, or there is no such job.
 */
static json_t *look(struct cli *cli, const char *url) {
    struct client client = {.socket = cli->client.socket, .arena = arena_new(1024u * 1024)};
    if (client.arena == NULL)
        return NULL;
    json_t *job = client_call(&client, "GET", url, NULL, &cli->error), *copy = json_deep_copy(job);
    cli->client.status = client.status;
    arena_free(client.arena);
    return copy;
}

static bool is_running(const json_t *job) {
    return strcmp(json_text(job, "state"), "running") == 0;
}

static void show_progress(const json_t *job) {
    json_int_t done =
        json_integer_value(json_object_get(job, "done")) + json_integer_value(json_object_get(job, "failed"));
    progress_show(*json_text(job, "problem") == '\0' ? "revoked" : json_text(job, "problem"), (size_t)done,
                  (size_t)json_integer_value(json_object_get(job, "total")));
}

/* The last look at the job; a server that restarts meanwhile is waited for. NULL with the error. */
static json_t *watch(struct cli *cli, const char *url) {
    const struct sigaction action = {.sa_handler = on_interrupt};
    json_t *job = NULL;
    unsigned away = 0;
    sigaction(SIGINT, &action, NULL);
    while (!was_interrupted) {
        json_t *now = look(cli, url);
        bool is_refused = now == NULL && cli->error.code != ERROR_UNAVAILABLE && cli->client.status != 503;
        away = now == NULL ? away + 1 : 0;
        if (now != NULL) {
            json_decref(job);
            job = now;
            show_progress(job);
        }
        if (is_refused || away > AWAY_LOOKS_MAX) {
            json_decref(job);
            job = NULL;
            break;
        }
        if (now != NULL && !is_running(job))
            break;
        usleep(LOOK_INTERVAL_US);
    }
    progress_end();
    return job == NULL ? NULL : admin_own(cli, job);
}

static int wait_for(struct cli *cli, const char *id) {
    const json_t *job = watch(cli, admin_path(cli, "/admin/v1/revocations/%s", id));
    if (was_interrupted) {
        fprintf(stderr,
                "The job goes on. `originca admin revocation wait %s` watches it, `originca admin revocation "
                "cancel %s` stops it.\n",
                id, id);
        return EXIT_INTERRUPTED;
    }
    int status = admin_finish(cli, job, print_job);
    if (job != NULL && strcmp(json_text(job, "state"), "failed") == 0)
        error_set(&cli->error, ERROR_CONFLICT, "the job has failed: %s", json_text(job, "problem"));
    bool is_whole = strcmp(json_text(job, "state"), "done") == 0 &&
                    json_integer_value(json_object_get(job, "failed")) == 0;
    return status == EXIT_OK && !is_whole ? EXIT_REFUSED : status;
}

int revocation_wait(struct cli *cli) {
    return wait_for(cli, cli->operands[0]);
}

static bool add_wishes(struct cli *cli, json_t *body) {
    if (cli->per_second == NULL)
        return true;
    char *end;
    long number = strtol(cli->per_second, &end, 10);
    if (*cli->per_second == '\0' || *end != '\0' || number < 1 || number > 1000000)
        return error_set(&cli->error, ERROR_INVALID, "--per-second is a number from 1 to 1000000");
    json_object_set_new(body, "per_second", json_integer(number));
    return true;
}

static int begin(struct cli *cli, json_t *body, const json_t *dry_run) {
    selection_set_confirmed(body, dry_run);
    const json_t *job = client_call(&cli->client, "POST", "/admin/v1/revocations", body, &cli->error);
    if (job == NULL)
        return admin_finish(cli, NULL, NULL);
    if (!cli->as_json)
        printf("job %s\n", json_text(job, "id"));
    fflush(stdout);
    if (cli->key != NULL || cli->issuer != NULL)
        fputs("What is issued from now on is not revoked by it: stop issuing first (`originca admin signing "
              "stop`) where the key is not to be trusted.\n",
              stderr);
    return wait_for(cli, json_text(job, "id"));
}

/* An admin's word counts as proof (doc/rights.md, "Compromised keys"). */
static bool blocks_keys(const struct cli *cli) {
    uint32_t reason;
    return cli->reason != NULL && revocation_reason_parse(cli->reason, &reason) &&
           reason == REASON_KEY_COMPROMISE;
}

static void warn_of_blocking(const struct cli *cli, const char *keys) {
    if (blocks_keys(cli))
        fprintf(stderr,
                "WARNING: keyCompromise also blocks %s, for everybody and for ever: no certificate and no "
                "account can have it any more\n",
                keys);
}

/* A slip of a person is caught; a script that names one certificate goes on, because nobody could answer it
 * and a key that leaked must not wait. */
static bool confirm_blocking(struct cli *cli) {
    if (!blocks_keys(cli) || cli->is_sure || !selection_can_ask())
        return true;
    fputs("To revoke it and block its key, type keyCompromise: ", stderr);
    return selection_is_typed(cli, "keyCompromise");
}

int revoke_one(struct cli *cli) {
    const char *serial = serial_decimal(cli->client.arena, cli->operands[0], &cli->error);
    if (serial == NULL)
        return EXIT_USAGE;
    warn_of_blocking(cli, "its key");
    if (!confirm_blocking(cli))
        return EXIT_REFUSED;
    if (cli->reason == NULL)
        fputs("no --reason was given: it is revoked as unspecified\n", stderr);
    const json_t *body =
        admin_own(cli, json_pack("{s:s}", "reason", cli->reason == NULL ? "unspecified" : cli->reason));
    const char *url = admin_path(cli, "/admin/v1/certificates/%s/revoke", serial);
    return admin_finish(cli, client_call(&cli->client, "POST", url, body, &cli->error), print_certificate);
}

int revoke_many(struct cli *cli) {
    int status;
    if (!cli->is_dry_run && !admin_need(cli, cli->reason, "--reason"))
        return EXIT_USAGE;
    json_t *body = selection_body(cli, &status);
    if (body == NULL)
        return status;
    if (!add_wishes(cli, body))
        return EXIT_USAGE;
    if (cli->reason != NULL)
        json_object_set_new(body, "reason", json_string(cli->reason));
    json_object_set_new(body, "dry_run", json_true());
    const json_t *dry_run = client_call(&cli->client, "POST", "/admin/v1/revocations", body, &cli->error);
    if (dry_run == NULL || (cli->is_dry_run && cli->as_json))
        return admin_finish(cli, dry_run, NULL);
    json_int_t count = json_integer_value(json_object_get(dry_run, "count"));
    if (!cli->as_json)
        selection_print(cli, dry_run);
    if (count > 0)
        warn_of_blocking(cli, "the key of each of them");
    if (cli->is_dry_run)
        return EXIT_OK;
    if (count == 0) {
        error_set(&cli->error, ERROR_NOT_FOUND, "no valid certificate is selected");
        return EXIT_REFUSED;
    }
    return selection_confirm(cli, "revoke", count, &status) ? begin(cli, body, dry_run) : status;
}
