/* What people read: aligned columns, UTC times, an order's DNS evidence as one would debug it. */
#include <stdio.h>
#include <string.h>

#include "cli.h"

void print_json(const json_t *json) {
    json_dumpf(json, stdout, JSON_INDENT(2));
    putchar('\n');
}

const char *json_text(const json_t *json, const char *key) {
    const char *text = json_string_value(json_object_get(json, key));
    return text == NULL ? "" : text;
}

/* C0, DEL, and C1 in UTF-8 (U+0080 to U+009F). */
static size_t control_length(const char *text) {
    const unsigned char *at = (const unsigned char *)text;
    if (at[0] == 0xC2 && at[1] >= 0x80 && at[1] < 0xA0)
        return 2;
    return at[0] < ' ' || at[0] == 0x7F ? 1 : 0;
}

void text_make_plain(char *text) {
    char *to = text;
    while (*text != '\0') {
        size_t length = control_length(text);
        *to++ = length == 0 ? *text : '?';
        text += length == 0 ? 1 : length;
    }
    *to = '\0';
}

void print_plain(FILE *out, const char *text) {
    while (*text != '\0') {
        size_t length = control_length(text);
        fputc(length == 0 ? *text : '?', out);
        text += length == 0 ? 1 : length;
    }
}

static void cell(const json_t *value, char *out, size_t size) {
    out[0] = '\0';
    if (json_is_string(value))
        snprintf(out, size, "%s", json_string_value(value));
    else if (json_is_integer(value))
        snprintf(out, size, "%lld", (long long)json_integer_value(value));
    else if (json_is_boolean(value))
        snprintf(out, size, "%s", json_is_true(value) ? "yes" : "no");
    else if (json_is_array(value)) {
        size_t used = 0, i;
        const json_t *item;
        json_array_foreach(value, i, item) {
            if (used + 1 < size)
                used += (size_t)snprintf(out + used, size - used, "%s%s", i == 0 ? "" : ",",
                                         json_string_value(item));
        }
    }
    text_make_plain(out);
}

void print_table(const json_t *items, const char *const *titles, const char *const *keys, size_t columns) {
    size_t widths[12], i;
    char text[512];
    const json_t *item;
    for (size_t c = 0; c < columns; c++)
        widths[c] = strlen(titles[c]);
    json_array_foreach(items, i, item) {
        for (size_t c = 0; c < columns; c++) {
            cell(json_object_get(item, keys[c]), text, sizeof text);
            widths[c] = strlen(text) > widths[c] ? strlen(text) : widths[c];
        }
    }
    for (size_t c = 0; c < columns; c++)
        printf("%-*s%s", c + 1 < columns ? (int)widths[c] : 0, titles[c], c + 1 < columns ? "  " : "\n");
    json_array_foreach(items, i, item) {
        for (size_t c = 0; c < columns; c++) {
            cell(json_object_get(item, keys[c]), text, sizeof text);
            printf("%-*s%s", c + 1 < columns ? (int)widths[c] : 0, text, c + 1 < columns ? "  " : "\n");
        }
    }
}

static void line(const char *label, const json_t *json, const char *key) {
    char text[1024];
    cell(json_object_get(json, key), text, sizeof text);
    if (text[0] != '\0')
        printf("%-13s %s\n", label, text);
}

static const char *colour_of(const struct cli *cli, const char *status) {
    if (!cli->has_colour)
        return "";
    if (strcmp(status, "valid") == 0 || strcmp(status, "active") == 0 || strcmp(status, "ok") == 0)
        return "\033[32m";
    if (strcmp(status, "refused") == 0 || strcmp(status, "invalid") == 0 || strcmp(status, "moved") == 0 ||
        strcmp(status, "revoked") == 0)
        return "\033[31m";
    return "\033[33m";
}

static void status_line(const struct cli *cli, const json_t *json) {
    const char *status = json_text(json, "status");
    printf("%-13s %s%s%s\n", "status", colour_of(cli, status), status, cli->has_colour ? "\033[0m" : "");
}

void print_customer(const json_t *customer) {
    line("id", customer, "id");
    line("name", customer, "name");
    line("created", customer, "created_at");
    line("suspended", customer, "suspended_at");
}

static void print_query(const json_t *query) {
    size_t i;
    const json_t *record;
    const char *note = json_text(query, "note");
    if (*note != '\0') {
        printf("    %s\n", note);
        return;
    }
    printf("    %s asked for %s (%lld ms): %s%s%s\n", json_text(query, "server"),
           json_text(query, "question"), (long long)json_integer_value(json_object_get(query, "ms")),
           json_text(query, "rcode"),
           json_is_true(json_object_get(query, "authoritative")) ? ", authoritative" : "",
           json_text(query, "failure"));
    json_array_foreach(json_object_get(query, "answer"), i, record)
        printf("        %s\n", json_string_value(record));
}

static void print_findings(const struct cli *cli, const json_t *findings) {
    size_t i;
    const json_t *finding;
    json_array_foreach(findings, i, finding) {
        const char *verdict = json_text(finding, "verdict");
        printf("    %s%s%s  %s: %s%s\n", colour_of(cli, verdict), verdict, cli->has_colour ? "\033[0m" : "",
               json_text(finding, "reason"), json_text(finding, "text"),
               json_is_true(json_object_get(finding, "secure")) ? " (validated by DNSSEC)" : "");
    }
}

void print_evidence(const struct cli *cli, const json_t *evidence, bool with_walk) {
    size_t i;
    const json_t *query;
    if (!json_is_object(evidence))
        return;
    printf("DNS check at %s (%lld queries, %lld ms)\n", json_text(evidence, "checked_at"),
           (long long)json_integer_value(json_object_get(evidence, "sent")),
           (long long)json_integer_value(json_object_get(evidence, "duration_ms")));
    print_findings(cli, json_object_get(evidence, "zones"));
    print_findings(cli, json_object_get(evidence, "names"));
    if (!with_walk) {
        printf("  (--explain shows what each server said)\n");
        return;
    }
    printf("  what was asked\n");
    json_array_foreach(json_object_get(evidence, "queries"), i, query) print_query(query);
}

void print_zone(const struct cli *cli, const json_t *zone) {
    line("name", zone, "name");
    line("id", zone, "id");
    line("customer", zone, "customer");
    status_line(cli, zone);
    line("name servers", zone, "name_servers");
    line("active since", zone, "activated_at");
    line("checked", zone, "checked_at");
    line("delegated to", json_object_get(zone, "delegation"), "name_servers");
    line("because", zone, "reason");
    if (strcmp(json_text(zone, "status"), "pending") == 0) {
        char servers[512];
        cell(json_object_get(zone, "name_servers"), servers, sizeof servers);
        printf("To activate it, set the name servers of %s at its registrar to %s.\n",
               json_text(zone, "name"), servers);
    }
    print_evidence(cli, json_object_get(zone, "evidence"), cli->wants_walk);
}

void print_order(const struct cli *cli, const json_t *order) {
    line("order", order, "id");
    status_line(cli, order);
    line("identifiers", order, "identifiers");
    line("customer", order, "customer");
    line("account", order, "account");
    line("profile", order, "profile");
    line("serial", order, "serial");
    line("created", order, "created_at");
    line("expires", order, "expires_at");
    line("replaces", order, "replaces");
    const json_t *error = json_object_get(order, "error");
    if (json_is_object(error))
        printf("%-13s %s\n%-13s %s\n", "error", json_text(error, "type"), "", json_text(error, "detail"));
    print_evidence(cli, json_object_get(order, "evidence"), true);
}

void print_certificate(const struct cli *cli, const json_t *certificate) {
    line("serial", certificate, "serial");
    status_line(cli, certificate);
    line("names", certificate, "names");
    line("key SHA-256", certificate, "spki_sha256");
    line("issuer", certificate, "issuer");
    line("profile", certificate, "profile");
    line("not before", certificate, "not_before");
    line("not after", certificate, "not_after");
    line("revoked", certificate, "revoked_at");
    line("reason", certificate, "reason");
    line("revoked by", certificate, "revoked_by");
    print_revocation_places(json_text(certificate, "pem"), json_object_get(certificate, "crl"));
    line("order", certificate, "order");
    line("account", certificate, "account");
    line("customer", certificate, "customer");
    line("replaced by", certificate, "replaced_by");
    fputs(json_text(certificate, "pem"), stdout);
}
