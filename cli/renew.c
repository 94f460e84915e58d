/* `originca renew`: what is due is issued again, into the same files, with a new key unless told otherwise.
 *
 * When it is due is the server's word (ARI, RFC 9773: it also knows of revocations and of plans to replace
 * certificates), else the window in the state file. A hook that failed is tried again. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "customer_commands.h"
#include "issue.h"

static time_t time_of(const json_t *state, const char *member) {
    time_t when = 0;
    return time_parse(json_text(state, member), &when) ? when : 0;
}

/* The server's window; false where it has none for this certificate. */
static bool ask_server(struct customer *customer, const struct order *order, time_t *start, time_t *end) {
    struct bytes file;
    struct error ignored = {0};
    gnutls_x509_crt_t certificate = file_read(customer->arena, order->certificate_out, &file, &ignored)
                                        ? certificate_read(file, &ignored)
                                        : NULL;
    const char *id = certificate == NULL ? NULL : certificate_ari_id(customer->arena, certificate);
    gnutls_x509_crt_deinit(certificate);
    const char *path = id == NULL ? NULL : arena_printf(customer->arena, "/acme/renewal-info/%s", id);
    const char *text = path == NULL ? NULL : rest_get_plain(customer, path);
    const json_t *json = text == NULL ? NULL : json_parse(customer->arena, text, strlen(text), &ignored);
    const json_t *window = json_object_get(json, "suggestedWindow");
    *start = time_of(window, "start");
    *end = time_of(window, "end");
    return *start != 0 && *end != 0;
}

static bool is_revoked(struct customer *customer, const char *id) {
    const char *path = arena_printf(customer->arena, "/certificates/%s", rest_escape(customer, id));
    const json_t *result = path == NULL ? NULL : rest_call(customer, "GET", path, NULL);
    customer->error = (struct error){0}; /* no answer: the window decides */
    return json_is_string(json_object_get(result, "revoked_at"));
}

/* Why it is due; NULL when it is not. */
static const char *due(struct customer *customer, const json_t *state, const struct order *order) {
    time_t start, end, now = time(NULL), renew_at = time_of(state, "renew_at");
    if (customer->options.is_forced)
        return "forced";
    if (access(order->certificate_out, F_OK) < 0 ||
        (order->key_out != NULL && access(order->key_out, F_OK) < 0))
        return "a file is gone";
    if (now >= time_of(state, "not_after"))
        return "expired";
    if (ask_server(customer, order, &start, &end)) {
        if (now >= end)
            return "the server wants it replaced";
        /* Inside the server's window our own moment counts, so that a fleet does not come at once. */
        if (renew_at < start || renew_at > end)
            renew_at = start;
    } else if (is_revoked(customer, json_text(state, "id"))) {
        return "revoked";
    }
    return now >= renew_at ? "its time has come" : NULL;
}

static json_t *report(const struct order *order, const char *action, const char *reason,
                      const json_t *state) {
    return json_pack("{s:s, s:s, s:s?, s:s, s:s}", "name", order->name, "action", action, "reason", reason,
                     "renew_at", json_text(state, "renew_at"), "not_after", json_text(state, "not_after"));
}

static json_t *try_hook(struct customer *customer, const json_t *state, const struct order *order,
                        int *status) {
    bool is_done = issue_run_hook(order, json_text(state, "id"));
    if (is_done && !state_save(customer, order, json_text(state, "id"), time_of(state, "not_before"),
                               time_of(state, "not_after"), false))
        *status = customer_exit(customer);
    if (!is_done && *status == EXIT_OK)
        *status = EXIT_HOOK;
    return report(order, is_done ? "hook-done" : "hook-failed", "the hook had failed", state);
}

static json_t *renew_one(struct customer *customer, const char *name, int *status) {
    struct order order;
    json_t *summary = NULL;
    customer->error = (struct error){0};
    const json_t *state = state_load(customer, name);
    if (state == NULL || !state_order(customer, state, &order)) {
        *status = customer_exit(customer);
        return json_pack("{s:s, s:s, s:s}", "name", name, "action", "failed", "error",
                         customer->error.message);
    }
    struct options *options = &customer->options;
    const char *given_url = options->api_url, *given_ca = options->ca_file;
    if (options->api_url == NULL)
        options->api_url = json_string_value(json_object_get(state, "api_url"));
    if (options->ca_file == NULL)
        options->ca_file = json_string_value(json_object_get(state, "ca_file"));
    if (options->reload_hook != NULL)
        order.reload_hook = options->reload_hook;
    if (options->keeps_key)
        order.kept_key = order.key_out;
    json_t *result;
    const char *reason = rest_open(customer) ? due(customer, state, &order) : NULL;
    if (customer->error.code != ERROR_NONE) {
        *status = customer_exit(customer);
        result =
            json_pack("{s:s, s:s, s:s}", "name", name, "action", "failed", "error", customer->error.message);
    } else if (reason == NULL && json_is_true(json_object_get(state, "hook_failed")) &&
               !options->is_dry_run) {
        result = try_hook(customer, state, &order, status);
    } else if (reason == NULL || options->is_dry_run) {
        result = report(&order, reason == NULL ? "not-due" : "would-renew", reason, state);
    } else if (issue_certificate(customer, &order, &summary)) {
        const json_t *fresh = state_load(customer, name);
        result = report(&order, "renewed", reason, fresh == NULL ? state : fresh);
        json_object_update_missing(result, summary);
        if (strcmp(json_text(summary, "hook"), "failed") == 0 && *status == EXIT_OK)
            *status = EXIT_HOOK;
    } else {
        *status = customer_exit(customer);
        result = report(&order, "failed", reason, state);
        json_object_set_new(result, "error", json_string(customer->error.message));
    }
    if (given_url == NULL || given_ca == NULL) { /* the next one may have another server */
        options->api_url = given_url;
        options->ca_file = given_ca;
        rest_close(customer);
        customer->rest = (struct rest){0};
    }
    return result;
}

static void print_report(const json_t *result) {
    const char *error = json_text(result, "error"), *reason = json_text(result, "reason");
    const char *action = json_text(result, "action"), *name = json_text(result, "name");
    if (*error != '\0')
        fprintf(stderr, "%-11s %s: %s\n", action, name, error);
    else if (*reason != '\0')
        printf("%-11s %s  %s\n", action, name, reason);
    else
        printf("%-11s %s  renewal at %s\n", action, name, json_text(result, "renew_at"));
}

int renew_command(struct customer *customer) {
    int status = EXIT_OK;
    size_t i;
    const json_t *name;
    json_t *names = arena_own_json(customer->arena, json_array()),
           *results = arena_own_json(customer->arena, json_array());
    if (names == NULL || results == NULL || customer->options.wants_all == (customer->operand_count > 0)) {
        error_set(&customer->error, ERROR_INVALID, "which? Names, or --all");
        return EXIT_USAGE;
    }
    if (!state_lock(customer))
        return customer_exit(customer);
    for (size_t n = 0; n < customer->operand_count; n++)
        json_array_append_new(names, json_string(customer->operands[n]));
    if (customer->options.wants_all)
        names = state_names(customer);
    json_array_foreach(names, i, name) {
        progress_show(json_string_value(name), i, json_array_size(names));
        json_t *result = renew_one(customer, json_string_value(name), &status);
        progress_end();
        if (!customer->options.as_json)
            print_report(result);
        json_array_append_new(results, result);
    }
    customer->error = (struct error){0}; /* each was said above */
    if (customer->options.as_json)
        print_json(results);
    return status;
}
