/* `originca admin search TEXT`: orders and certificates of a host name, a serial, an order, an account or a
 * customer. The store has no index by host name, so the longest zone that is known and holds the name gives
 * the list that is filtered here; an account, and a name whose zone is unknown, take all lists. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cli.h"

#define PAGE_MEMORY (256u * 1024 * 1024)
#define DEFAULT_LIMIT 100
#define TEXT_MAX 255

/* Says whether an order or a certificate is what is looked for. */
typedef bool is_wanted(const json_t *item, const char *text);

struct search {
    struct cli *cli;
    const char *text;
    size_t limit;
    json_t *zones, *customers, *orders, *certificates;
    bool has_more;
};

static const char *call_path(struct search *search, const char *start, const char *value, const char *end) {
    struct client *client = &search->cli->client;
    const char *path = arena_printf(client->arena, "%s%s%s", start, client_escape(client, value), end);
    return path == NULL ? "" : path;
}

/* NULL both for a thing that does not exist and for an error, which is then in cli->error. A text that cannot
 * be such an id is one that does not exist. */
static json_t *find(struct search *search, const char *path) {
    struct cli *cli = search->cli;
    struct error error = {0};
    json_t *json = client_call(&cli->client, "GET", path, NULL, &error);
    if (json == NULL && cli->client.status != 404 && cli->client.status != 400 && cli->client.status != 409)
        cli->error = error;
    return json;
}

static bool has_failed(const struct search *search) {
    return search->cli->error.code != ERROR_NONE;
}

static void add(json_t *list, const char *key, json_t *item) {
    size_t i;
    const json_t *known;
    json_array_foreach(list, i, known) {
        if (strcmp(json_text(known, key), json_text(item, key)) == 0)
            return;
    }
    json_object_del(item, "evidence"); /* `order show` and `zone show` print it */
    json_object_del(item, "pem");
    json_array_append(list, item);
}

/* --- lists --- */

static bool any(const json_t *item, const char *text) {
    (void)item;
    (void)text;
    return true;
}

static bool has_account(const json_t *item, const char *text) {
    return strcmp(json_text(item, "account"), text) == 0;
}

/* The name itself, a wildcard that covers it, or a name below it. */
static bool matches(const char *name, const char *text) {
    size_t length = strlen(name), wanted = strlen(text);
    const char *dot = strchr(text, '.');
    if (strcasecmp(name, text) == 0)
        return true;
    if (strncmp(name, "*.", 2) == 0 && dot != NULL && strcasecmp(name + 1, dot) == 0)
        return true;
    return length > wanted && name[length - wanted - 1] == '.' &&
           strcasecmp(name + length - wanted, text) == 0;
}

static bool has_name(const json_t *item, const char *text) {
    const json_t *names = json_object_get(item, "names"), *name;
    size_t i;
    if (names == NULL)
        names = json_object_get(item, "identifiers");
    json_array_foreach(names, i, name) {
        if (json_is_string(name) && matches(json_string_value(name), text))
            return true;
    }
    return false;
}

/* One page, in memory of its own; "" in `cursor` at the end of the list. False where the call failed. */
static bool read_page(struct search *search, const char *url, const char *key, json_t *found,
                      is_wanted *wanted, char *cursor, size_t cursor_size) {
    struct cli *cli = search->cli;
    struct client client = {.socket = cli->client.socket, .arena = arena_new(PAGE_MEMORY)};
    const char *escaped = client.arena == NULL ? "" : client_escape(&client, cursor);
    const char *path =
        arena_printf(client.arena, "%s%climit=1000%s%s", url, strchr(url, '?') == NULL ? '?' : '&',
                     *cursor == '\0' ? "" : "&cursor=", escaped);
    const json_t *page = path == NULL ? NULL : client_call(&client, "GET", path, NULL, &cli->error);
    json_t *item;
    size_t i;
    json_array_foreach(json_object_get(page, "items"), i, item) {
        if (!wanted(item, search->text))
            continue;
        if (json_array_size(found) == search->limit) {
            search->has_more = true;
            break;
        }
        add(found, key, item);
    }
    snprintf(cursor, cursor_size, "%s", json_text(page, "cursor"));
    arena_free(client.arena);
    return page != NULL;
}

static void read_list(struct search *search, const char *url, const char *key, json_t *found,
                      is_wanted *wanted) {
    char cursor[512] = "";
    while (read_page(search, url, key, found, wanted, cursor, sizeof cursor) && *cursor != '\0' &&
           !search->has_more)
        continue;
}

static void read_both(struct search *search, const char *parameter, const char *value, is_wanted *wanted) {
    static const char *const lists[] = {"/admin/v1/orders", "/admin/v1/certificates"}, *const keys[] = {
                                                                                           "id", "serial"};
    bool has_more = false;
    for (size_t i = 0; i < 2 && !has_failed(search); i++) {
        search->has_more = false;
        const char *url =
            parameter == NULL
                ? lists[i]
                : call_path(search, arena_printf(search->cli->client.arena, "%s?%s=", lists[i], parameter),
                            value, "");
        read_list(search, url, keys[i], i == 0 ? search->orders : search->certificates, wanted);
        has_more = has_more || search->has_more;
    }
    search->has_more = has_more;
}

/* --- what the text may be --- */

static void search_order(struct search *search, const char *id) {
    json_t *order = find(search, call_path(search, "/admin/v1/orders/", id, ""));
    if (order == NULL)
        return;
    add(search->orders, "id", order);
    json_t *certificate =
        *json_text(order, "serial") == '\0'
            ? NULL
            : find(search, call_path(search, "/admin/v1/certificates/", json_text(order, "serial"), ""));
    if (certificate != NULL)
        add(search->certificates, "serial", certificate);
}

/* Also short hex, where a text may be both. */
static void search_serial(struct search *search) {
    char hex[TEXT_MAX + 3] = "0x";
    uint8_t serial[SERIAL_BYTES];
    size_t length = 2;
    const char *text = strncasecmp(search->text, "0x", 2) == 0 ? search->text + 2 : search->text;
    for (; *text != '\0'; text++)
        if (*text != ':')
            hex[length++] = *text;
    hex[length] = '\0';
    const char *const spellings[] = {search->text, hex};
    for (size_t i = 0; i < 2 && !has_failed(search); i++) {
        if (!serial_parse(spellings[i], serial))
            continue;
        char decimal[SERIAL_DECIMAL_MAX];
        serial_to_decimal(serial, decimal);
        json_t *certificate = find(search, call_path(search, "/admin/v1/certificates/", decimal, ""));
        if (certificate == NULL)
            continue;
        add(search->certificates, "serial", certificate);
        search_order(search, json_text(certificate, "order"));
    }
}

static void search_customer(struct search *search) {
    json_t *customer = find(search, call_path(search, "/admin/v1/customers/", search->text, ""));
    if (customer == NULL)
        return;
    add(search->customers, "id", customer);
    read_both(search, "customer", json_text(customer, "id"), any);
}

static bool is_zone_named(const json_t *item, const char *text) {
    return strcasecmp(json_text(item, "name"), text) == 0;
}

/* Several customers may have a zone of one name; the server then wants to know whose. */
static void find_zones(struct search *search, const char *name) {
    json_t *zone = find(search, call_path(search, "/admin/v1/zones/", name, ""));
    if (zone != NULL)
        add(search->zones, "id", zone);
    if (zone == NULL && search->cli->client.status == 409) {
        const char *text = search->text;
        search->text = name;
        read_list(search, "/admin/v1/zones", "id", search->zones, is_zone_named);
        search->text = text;
    }
}

static void search_name(struct search *search) {
    const char *name = strncmp(search->text, "*.", 2) == 0 ? search->text + 2 : search->text;
    const json_t *zone;
    size_t i;
    for (; name != NULL && strchr(name, '.') != NULL && json_array_size(search->zones) == 0 &&
           !has_failed(search);
         name = strchr(name, '.') == NULL ? NULL : strchr(name, '.') + 1)
        find_zones(search, name);
    if (json_array_size(search->zones) == 0 || search->cli->wants_all) {
        read_both(search, NULL, NULL, has_name);
        return;
    }
    json_array_foreach(search->zones, i, zone) read_both(search, "zone", json_text(zone, "id"), has_name);
}

static bool is_anything_found(const struct search *search) {
    return json_array_size(search->customers) + json_array_size(search->orders) +
               json_array_size(search->certificates) + json_array_size(search->zones) >
           0;
}

static void search_all(struct search *search) {
    search_serial(search);
    if (!has_failed(search))
        search_order(search, search->text);
    if (!has_failed(search) && !is_anything_found(search))
        search_customer(search);
    if (has_failed(search) || is_anything_found(search))
        return;
    if (strchr(search->text, '.') != NULL)
        search_name(search);
    else
        read_both(search, NULL, NULL, has_account);
}

/* --- printing --- */

static void print_found(const char *what, const json_t *items, const char *const *titles,
                        const char *const *keys, size_t columns) {
    static bool is_next;
    if (json_array_size(items) == 0)
        return;
    printf("%s%s\n", is_next ? "\n" : "", what);
    print_table(items, titles, keys, columns);
    is_next = true;
}

static void print_search(const struct search *search) {
    static const char *const customer_titles[] = {"ID", "NAME", "CREATED"}, *const customer_keys[] = {
                                                                                "id", "name", "created_at"};
    static const char *const zone_titles[] = {"ID", "NAME", "STATUS", "CUSTOMER"}, *const zone_keys[] = {
                                                                                       "id", "name", "status",
                                                                                       "customer"};
    static const char *const order_titles[] = {"ORDER",   "STATUS",   "IDENTIFIERS", "SERIAL",
                                               "ACCOUNT", "CUSTOMER", "CREATED"},
                             *const order_keys[] = {"id",      "status",   "identifiers", "serial",
                                                    "account", "customer", "created_at"};
    static const char *const titles[] = {"SERIAL", "STATUS",  "NAMES",   "NOT AFTER",
                                         "ORDER",  "ACCOUNT", "CUSTOMER"},
                             *const keys[] = {"serial", "status",  "names",   "not_after",
                                              "order",  "account", "customer"};
    print_found("customers", search->customers, customer_titles, customer_keys, 3);
    print_found("zones", search->zones, zone_titles, zone_keys, 4);
    print_found("orders", search->orders, order_titles, order_keys, 7);
    print_found("certificates", search->certificates, titles, keys, 7);
    if (search->has_more)
        fputs("There are more; --limit N or --all shows them.\n", stderr);
}

static bool read_limit(struct cli *cli, size_t *limit) {
    char *end = NULL;
    *limit = cli->wants_all ? SIZE_MAX : DEFAULT_LIMIT;
    if (cli->limit == NULL)
        return true;
    long number = strtol(cli->limit, &end, 10);
    *limit = (size_t)number;
    return (number > 0 && *end == '\0') ||
           error_set(&cli->error, ERROR_INVALID, "--limit is a number from 1 on");
}

int admin_search(struct cli *cli) {
    struct arena *arena = cli->client.arena;
    struct search search = {.cli = cli,
                            .text = cli->operands[0],
                            .zones = arena_own_json(arena, json_array()),
                            .customers = arena_own_json(arena, json_array()),
                            .orders = arena_own_json(arena, json_array()),
                            .certificates = arena_own_json(arena, json_array())};
    size_t length = strlen(search.text);
    if (!read_limit(cli, &search.limit))
        return EXIT_USAGE;
    if (length == 0 || length > TEXT_MAX) {
        error_set(&cli->error, ERROR_INVALID, "a text of 1 to %d characters is needed", TEXT_MAX);
        return EXIT_USAGE;
    }
    search_all(&search);
    if (has_failed(&search))
        return cli->error.code == ERROR_UNAVAILABLE ? EXIT_NO_SERVER : EXIT_REFUSED;
    if (cli->as_json)
        print_json(arena_own_json(arena, json_pack("{s:s, s:O, s:O, s:O, s:O, s:b}", "text", search.text,
                                                   "customers", search.customers, "zones", search.zones,
                                                   "orders", search.orders, "certificates",
                                                   search.certificates, "has_more", search.has_more)));
    else
        print_search(&search);
    if (is_anything_found(&search))
        return EXIT_OK;
    error_set(&cli->error, ERROR_NOT_FOUND, "nothing found for %s", search.text);
    return EXIT_REFUSED;
}
