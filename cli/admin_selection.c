/* Which certificates are meant: options into the admin API's "selection", what it selects shown to a person,
 * who has to type how many there are. */
#include "admin_selection.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "customer.h"
#include "serial_list.h"

bool selection_is_given(const struct cli *cli) {
    return cli->customer != NULL || cli->zone != NULL || cli->key != NULL || cli->account != NULL ||
           cli->issuer != NULL || cli->profile != NULL || cli->issued_since != NULL ||
           cli->issued_before != NULL || cli->serials != NULL;
}

static void set_option(json_t *selection, const char *key, const char *value) {
    if (value != NULL)
        json_object_set_new(selection, key, json_string(value));
}

/* In an arena of its own: there may be many. `place`: "serial 2 of 3". */
static bool check_known(struct cli *cli, const char *decimal, const char *place) {
    struct client client = {.socket = cli->client.socket, .arena = arena_new(1024u * 1024)};
    if (client.arena == NULL)
        return error_set(&cli->error, ERROR_INTERNAL, "out of memory");
    const char *url = arena_printf(client.arena, "/admin/v1/certificates/%s", decimal);
    const json_t *certificate = client_call(&client, "GET", url, NULL, &cli->error);
    const char *status = json_text(certificate, "status");
    if (certificate == NULL && cli->error.code == ERROR_NOT_FOUND)
        error_set(&cli->error, ERROR_NOT_FOUND, "there is no certificate with this serial");
    else if (certificate != NULL && strcmp(status, "valid") != 0)
        fprintf(stderr, "%s, %s, is passed over: it is %s\n", place, decimal, status);
    arena_free(client.arena);
    return certificate != NULL;
}

/* A slip in one of them is not passed over as long as a person can see which; files are for many, of which
 * some may be gone. */
static bool read_operands(struct cli *cli, struct serial_list *list, int *status) {
    char place[64], decimal[SERIAL_DECIMAL_MAX];
    for (size_t i = 0; i < cli->operand_count; i++)
        if (!serial_list_add(list, cli->operands[i], &cli->error)) {
            error_prefix(&cli->error, "nothing was changed: serial %zu of %zu", i + 1, cli->operand_count);
            return false;
        }
    for (size_t i = 0; i < cli->operand_count; i++) {
        snprintf(place, sizeof place, "serial %zu of %zu", i + 1, cli->operand_count);
        serial_to_decimal(list->serials[i], decimal);
        if (!check_known(cli, decimal, place)) {
            error_prefix(&cli->error, "nothing was changed: %s, %.60s", place, cli->operands[i]);
            *status = cli->error.code == ERROR_UNAVAILABLE ? EXIT_NO_SERVER : EXIT_REFUSED;
            return false;
        }
    }
    return true;
}

/* Serials of the command line and of a file, all read before any is sent; false with the error and *status.
 */
static bool send_serials(struct cli *cli, char *id, size_t id_size, int *status) {
    struct serial_list list = {.count = 0};
    *status = cli->serials != NULL ? EXIT_FILES : EXIT_USAGE;
    bool is_read = read_operands(cli, &list, status);
    if (is_read && cli->serials != NULL)
        is_read = serial_list_read(&list, cli->serials, &cli->error);
    bool is_sent = is_read && serial_list_send(&list, cli, id, id_size);
    if (is_read && !is_sent)
        *status = cli->error.code == ERROR_UNAVAILABLE ? EXIT_NO_SERVER : EXIT_REFUSED;
    serial_list_free(&list);
    return is_sent;
}

json_t *selection_body(struct cli *cli, int *status) {
    json_t *selection = json_object(), *body = admin_own(cli, json_pack("{s:o}", "selection", selection));
    char list[64] = "";
    *status = EXIT_USAGE;
    if (!selection_is_given(cli) && cli->operand_count == 0) {
        error_set(&cli->error, ERROR_INVALID,
                  "which ones? Serials, or --customer, --zone, --key, --account, --issuer, --profile, "
                  "--issued-since, --issued-before, --serials FILE");
        return NULL;
    }
    if (cli->serials != NULL && cli->operand_count > 0) {
        error_set(&cli->error, ERROR_INVALID, "serials on the command line or --serials FILE, not both");
        return NULL;
    }
    set_option(selection, "customer", cli->customer);
    set_option(selection, "zone", cli->zone);
    set_option(selection, "key", cli->key);
    set_option(selection, "account", cli->account);
    set_option(selection, "issuer", cli->issuer);
    set_option(selection, "profile", cli->profile);
    set_option(selection, "issued_since", cli->issued_since);
    set_option(selection, "issued_before", cli->issued_before);
    if (cli->operand_count > 0 || cli->serials != NULL) {
        if (!send_serials(cli, list, sizeof list, status))
            return NULL;
        set_option(selection, "serial_list", list);
    }
    return body;
}

void selection_print_line(const char *label, const json_t *json, const char *key) {
    const json_t *value = json_object_get(json, key);
    if (json_is_integer(value))
        printf("%-13s %lld\n", label, (long long)json_integer_value(value));
    else if (*json_text(json, key) != '\0')
        printf("%-13s %s\n", label, json_text(json, key));
}

void selection_print_chosen(const json_t *json) {
    const json_t *value;
    const char *key;
    json_object_foreach((json_t *)json_object_get(json, "selection"), key, value)
        printf("%-13s %s\n", key, json_string_value(value));
}

void selection_print(const struct cli *cli, const json_t *dry_run) {
    static const char *const titles[] = {"SERIAL", "NAMES", "CUSTOMER", "NOT AFTER"}, *const keys[] = {
                                                                                          "serial", "names",
                                                                                          "customer",
                                                                                          "not_after"};
    const json_t *sample = json_object_get(dry_run, "sample");
    json_int_t count = json_integer_value(json_object_get(dry_run, "count"));
    if (json_array_size(sample) > 0)
        print_table(sample, titles, keys, 4);
    if (count > (json_int_t)json_array_size(sample))
        printf("... and %lld more\n", (long long)count - (long long)json_array_size(sample));
    printf("%lld valid certificate%s selected%s\n", (long long)count, count == 1 ? " is" : "s are",
           cli->is_dry_run ? "; nothing was changed" : "");
    if (cli->serial_count > (size_t)count)
        printf("%zu serials were given: the others are unknown, no more valid, or not in the selection\n",
               cli->serial_count);
    fflush(stdout);
}

void selection_set_confirmed(json_t *body, const json_t *dry_run) {
    json_object_del(body, "dry_run");
    json_object_set(body, "confirm", json_object_get(dry_run, "count"));
    json_object_set(body, "cut_off", json_object_get(dry_run, "cut_off"));
}

bool selection_can_ask(void) {
    return isatty(STDIN_FILENO) && isatty(STDERR_FILENO);
}

bool selection_is_typed(struct cli *cli, const char *wanted) {
    char typed[32];
    if (fgets(typed, sizeof typed, stdin) == NULL)
        typed[0] = '\0';
    typed[strcspn(typed, "\r\n")] = '\0';
    return strcmp(typed, wanted) == 0 ||
           error_set(&cli->error, ERROR_REFUSED, "that is not %s; nothing was changed", wanted);
}

bool selection_confirm(struct cli *cli, const char *what, json_int_t count, int *status) {
    char wanted[32];
    *status = EXIT_USAGE;
    if (cli->is_sure)
        return true;
    if (!selection_can_ask()) {
        error_set(&cli->error, ERROR_INVALID,
                  "nothing was changed: --dry-run shows what is selected, --yes %s without asking", what);
        return false;
    }
    snprintf(wanted, sizeof wanted, "%lld", (long long)count);
    fprintf(stderr, "To %s all %s, type their number: ", what, wanted);
    *status = EXIT_REFUSED;
    return selection_is_typed(cli, wanted);
}
