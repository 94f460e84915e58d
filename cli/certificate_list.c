/* `originca list`, `show`, `revoke`: the certificates as the server knows them. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "customer_commands.h"
#include "keymaker.h"
#include "originca/revocation.h"

#define PER_PAGE 100
#define ALREADY_REVOKED 1014

/* Pages until one is empty: total_pages is not to be relied on with every server of this API. */
static bool fetch_pages(struct customer *customer, const char *path, json_t *all) {
    for (unsigned page = 1; page < 100000; page++) {
        const char *target = arena_printf(customer->arena, "%s%cpage=%u&per_page=%d", path,
                                          strchr(path, '?') == NULL ? '?' : '&', page, PER_PAGE);
        json_t *items = target == NULL ? NULL : rest_call(customer, "GET", target, NULL);
        if (items == NULL)
            return false;
        if (json_array_size(items) == 0)
            return true;
        json_array_extend(all, items);
        if (json_array_size(items) < PER_PAGE &&
            json_integer_value(json_object_get(customer->rest.result_info, "per_page")) == PER_PAGE)
            return true;
    }
    return true;
}

static bool is_zone_id(const char *text) {
    return strlen(text) == 32 && strspn(text, "0123456789abcdef") == 32;
}

/* Ids of the zones to list: the one that was named, or all that the credentials reach. */
static json_t *fetch_zones(struct customer *customer) {
    const char *zone = customer->options.zone, *path = "/zones";
    json_t *zones = arena_own_json(customer->arena, json_array());
    if (zone != NULL && is_zone_id(zone)) {
        json_array_append_new(zones, json_pack("{s:s}", "id", zone));
        return zones;
    }
    if (zone != NULL)
        path = arena_printf(customer->arena, "/zones?name=%s", rest_escape(customer, zone));
    if (zones == NULL || path == NULL || !fetch_pages(customer, path, zones))
        return NULL;
    if (json_array_size(zones) == 0) {
        error_set(&customer->error, ERROR_NOT_FOUND,
                  zone == NULL ? "there are no zones%s" : "there is no zone \"%s\"",
                  zone == NULL ? "" : zone);
        return NULL;
    }
    return zones;
}

static gnutls_x509_crt_t parse_item(const json_t *item) {
    const char *pem = json_text(item, "certificate");
    return certificate_read((struct bytes){(const uint8_t *)pem, strlen(pem)}, NULL);
}

static bool names_revocation(const json_t *item) {
    gnutls_x509_crt_t certificate = parse_item(item);
    char url[512];
    size_t size = sizeof url;
    unsigned reasons;
    gnutls_datum_t ocsp = {0};
    if (certificate == NULL)
        return true;
    bool has_crl = gnutls_x509_crt_get_crl_dist_points(certificate, 0, url, &size, &reasons, NULL) !=
                   GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE;
    bool has_ocsp =
        gnutls_x509_crt_get_authority_info_access(certificate, 0, GNUTLS_IA_OCSP_URI, &ocsp, NULL) >= 0;
    gnutls_free(ocsp.data);
    gnutls_x509_crt_deinit(certificate);
    return has_crl || has_ocsp;
}

static const char *status_of(const json_t *item) {
    if (json_is_string(json_object_get(item, "revoked_at")))
        return "revoked";
    gnutls_x509_crt_t certificate = parse_item(item);
    bool has_expired = certificate != NULL && gnutls_x509_crt_get_expiration_time(certificate) < time(NULL);
    gnutls_x509_crt_deinit(certificate);
    return has_expired ? "expired" : "valid";
}

/* A certificate over several zones is in the list of each. */
static void add_once(json_t *out, json_t *seen, json_t *item, bool only_unrevocable) {
    const char *id = json_text(item, "id");
    if (json_object_get(seen, id) != NULL || (only_unrevocable && names_revocation(item)))
        return;
    json_object_set_new(seen, id, json_true());
    json_object_set_new(item, "status", json_string(status_of(item)));
    json_array_append(out, item);
}

int list_command(struct customer *customer) {
    static const char *const titles[] = {"ID", "STATUS", "HOSTNAMES", "EXPIRES", "TYPE"}, *const keys[] = {
                                                                                              "id", "status",
                                                                                              "hostnames",
                                                                                              "expires_on",
                                                                                              "request_type"};
    json_t *out = arena_own_json(customer->arena, json_array()),
           *seen = arena_own_json(customer->arena, json_object());
    size_t i, n;
    const json_t *zone;
    json_t *item;
    const json_t *zones = fetch_zones(customer);
    if (zones == NULL)
        return customer_exit(customer);
    json_array_foreach(zones, i, zone) {
        json_t *items = arena_own_json(customer->arena, json_array());
        const char *path = arena_printf(customer->arena, "/certificates?zone_id=%s",
                                        rest_escape(customer, json_text(zone, "id")));
        progress_show(json_text(zone, "name"), i, json_array_size(zones));
        if (items == NULL || path == NULL || !fetch_pages(customer, path, items)) {
            progress_end();
            return customer_exit(customer);
        }
        json_array_foreach(items, n, item) add_once(out, seen, item, customer->options.only_unrevocable);
    }
    progress_end();
    if (customer->options.as_json)
        print_json(out);
    else
        print_table(out, titles, keys, 5);
    return EXIT_OK;
}

/* Other servers of this API have longer ones, in decimal too. */
static const char *read_id(struct customer *customer, const char *text) {
    bool is_decimal = *text != '\0' && text[strspn(text, "0123456789")] == '\0';
    uint8_t serial[SERIAL_BYTES];
    return is_decimal && !serial_parse(text, serial)
               ? text
               : serial_decimal(customer->arena, text, &customer->error);
}

/* The id is the serial in decimal, so a certificate at hand says its own. */
static const char *find_id(struct customer *customer) {
    struct bytes file;
    const char *path = customer->options.certificate;
    if ((path == NULL) == (customer->operand_count == 0) || customer->operand_count > 1) {
        error_set(&customer->error, ERROR_INVALID, "which one? An id, or --certificate FILE");
        return NULL;
    }
    if (path == NULL)
        return read_id(customer, customer->operands[0]);
    if (!file_read(customer->arena, path, &file, &customer->error))
        return NULL;
    gnutls_x509_crt_t certificate = certificate_read(file, &customer->error);
    const char *id = certificate == NULL ? NULL : certificate_serial(customer->arena, certificate);
    gnutls_x509_crt_deinit(certificate);
    return id;
}

static const char *path_of(struct customer *customer, const char *id) {
    return arena_printf(customer->arena, "/certificates/%s", rest_escape(customer, id));
}

static void print_line(const char *label, const char *value) {
    if (*value != '\0')
        printf("%-13s %s\n", label, value);
}

static void print_item(const struct customer *customer, const json_t *item) {
    const char *status = status_of(item);
    const char *colour = strcmp(status, "valid") == 0 ? "\033[32m" : "\033[31m";
    size_t i;
    const json_t *name;
    print_line("id", json_text(item, "id"));
    printf("%-13s %s%s%s\n", "status", customer->has_colour ? colour : "", status,
           customer->has_colour ? "\033[0m" : "");
    json_array_foreach(json_object_get(item, "hostnames"), i, name)
        print_line(i == 0 ? "hostnames" : "", json_string_value(name));
    print_line("expires", json_text(item, "expires_on"));
    print_line("revoked", json_text(item, "revoked_at"));
    const json_t *revocation = json_object_get(item, "revocation");
    print_line("reason", json_text(json_is_object(revocation) ? revocation : item,
                                   json_is_object(revocation) ? "reason" : "revocation_reason"));
    print_line("revoked by", json_text(revocation, "revoked_by"));
    print_revocation_places(json_text(item, "certificate"), json_object_get(revocation, "crl"));
    print_line("type", json_text(item, "request_type"));
    printf("%-13s %lld days\n", "validity",
           (long long)json_integer_value(json_object_get(item, "requested_validity")));
    fputs(json_text(item, "certificate"), stdout);
}

/* What other servers of this API pass over. */
static const char *show_path(struct customer *customer, const char *id) {
    return arena_printf(customer->arena, "%s?revocation=true", path_of(customer, id));
}

int show_command(struct customer *customer) {
    const char *id = find_id(customer);
    json_t *item = id == NULL ? NULL : rest_call(customer, "GET", show_path(customer, id), NULL);
    if (item == NULL)
        return customer_exit(customer);
    if (customer->options.as_json)
        print_json(item);
    else
        print_item(customer, item);
    return EXIT_OK;
}

static bool confirm(struct customer *customer, const char *id, bool blocks_key) {
    char answer[16];
    if (customer->options.is_sure)
        return true;
    if (!isatty(STDIN_FILENO))
        return error_set(&customer->error, ERROR_INVALID, "revocation cannot be undone; --yes confirms it");
    fprintf(stderr, "Revoke %s for ever%s? The edge refuses it within seconds. [y/N] ", id,
            blocks_key ? " and block its key" : "");
    if (fgets(answer, sizeof answer, stdin) != NULL && (answer[0] == 'y' || answer[0] == 'Y'))
        return true;
    return error_set(&customer->error, ERROR_REFUSED, "not revoked");
}

int revoke_command(struct customer *customer) {
    const char *id = find_id(customer), *reason = customer->options.reason;
    uint32_t number = REASON_UNSPECIFIED;
    if (reason != NULL && !revocation_reason_parse(reason, &number)) {
        error_set(&customer->error, ERROR_INVALID, "--reason is " REVOCATION_REASON_NAMES ", or its number");
        return customer_exit(customer);
    }
    if (id == NULL || !confirm(customer, id, number == REASON_KEY_COMPROMISE))
        return customer_exit(customer);
    const json_t *body =
        reason == NULL
            ? NULL
            : arena_own_json(customer->arena, json_pack("{s:s}", "reason", revocation_reason_name(number)));
    const json_t *result = rest_call(customer, "DELETE", path_of(customer, id), body);
    bool was_revoked = result == NULL && customer->rest.code == ALREADY_REVOKED;
    if (result == NULL && !was_revoked)
        return customer_exit(customer);
    if (was_revoked)
        result = arena_own_json(customer->arena, json_pack("{s:s, s:b}", "id", id, "already_revoked", 1));
    if (customer->options.as_json)
        print_json(result);
    else
        printf(was_revoked ? "Was revoked already: %s\n"
                           : "Revoked %s as %s; get another one for the server that used it\n",
               id, revocation_reason_name(number));
    return EXIT_OK;
}
