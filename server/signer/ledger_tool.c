/* `originca-server ledger verify|show|replay`: reading the ledger offline, also a copy of it, without any
 * lock. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "issuer_names.h"
#include "originca/json.h"
#include "rights.h"

struct show {
    uint64_t from;
    const char *type, *serial;
    bool as_json, only_applicable;
    uint64_t intents, issued, voids, revoked, rights, shown;
    json_t *open; /* attempts with an intent and no outcome */
    struct zones *zones;
    struct issuer_names *issuers;
};

static const char *text_of(const json_t *record, const char *key) {
    const char *text = json_string_value(json_object_get(record, key));
    return text == NULL ? "" : text;
}

/* A zone is added once, and nothing is said of one that has ended. */
static bool check_right(struct show *show, const json_t *record, enum right_kind kind, struct error *error) {
    const char *member = right_form(kind)->subject_member,
               *subject = member == NULL ? "" : text_of(record, member);
    const json_t *at_ms = json_object_get(record, "at_ms");
    struct zone_state zone;
    show->rights++;
    if ((member != NULL && *subject == '\0') || *text_of(record, "by") == '\0' || !json_is_integer(at_ms))
        return error_set(error, ERROR_INVALID, "a record of type %s lacks one of its members",
                         text_of(record, "type"));
    if (member != NULL && strcmp(member, "zone") == 0 && zones_find(show->zones, subject, &zone)) {
        if (zone.is_ended)
            return error_set(error, ERROR_INVALID, "zone %s has ended before", subject);
        if (kind == RIGHT_ZONE_ADDED && zone.is_known)
            return error_set(error, ERROR_INVALID, "zone %s is added twice", subject);
    }
    return right_apply(show->zones, kind, subject, text_of(record, "name"), text_of(record, "customer"),
                       json_integer_value(at_ms)) ||
           error_set(error, ERROR_INTERNAL, "out of memory");
}

/* Beside the chain: an outcome needs its intent, an intent has one outcome. */
static bool check_sense(struct show *show, const json_t *record, struct error *error) {
    const char *type = text_of(record, "type"), *attempt = text_of(record, "attempt");
    if (strcmp(type, "intent") == 0) {
        show->intents++;
        if (json_object_get(show->open, attempt) != NULL)
            return error_set(error, ERROR_INVALID, "attempt %s has two intents", attempt);
        json_object_set_new(show->open, attempt, json_true());
    } else if (strcmp(type, "issued") == 0 || strcmp(type, "void") == 0) {
        *(type[0] == 'i' ? &show->issued : &show->voids) += 1;
        if (json_object_del(show->open, attempt) != 0)
            return error_set(error, ERROR_INVALID, "attempt %s has an outcome without an intent", attempt);
    } else if (strcmp(type, "revoked") == 0) {
        show->revoked++;
    }
    enum right_kind kind;
    if (!issuer_names_take(show->issuers, record, error))
        return false;
    return !right_kind_of(type, &kind) || check_right(show, record, kind, error);
}

static bool verify_record(void *context, const json_t *record, uint64_t offset, struct error *error) {
    (void)offset;
    return check_sense(context, record, error);
}

static bool is_wanted(const struct show *show, const json_t *record) {
    uint64_t sequence = (uint64_t)json_integer_value(json_object_get(record, "seq"));
    const char *type = text_of(record, "type");
    if (sequence < show->from || (show->type != NULL && strcmp(show->type, type) != 0) ||
        (show->serial != NULL && strcmp(show->serial, text_of(record, "serial")) != 0))
        return false;
    enum right_kind kind;
    return !show->only_applicable || strcmp(type, "issued") == 0 || strcmp(type, "void") == 0 ||
           strcmp(type, "revoked") == 0 || right_kind_of(type, &kind);
}

static void print_names(const json_t *record) {
    const json_t *name;
    size_t i;
    json_array_foreach(json_object_get(record, "names"), i, name)
        printf("%s%s", i == 0 ? " " : ",", json_string_value(name));
}

static void print_start(const json_t *record) {
    printf("%8lld  %s  %-9s  ", (long long)json_integer_value(json_object_get(record, "seq")),
           text_of(record, "time"), text_of(record, "type"));
}

/* "zone-added  zone added: 5f3a, shop.example of customer acme  by admin:0" */
static void print_right(const json_t *record, enum right_kind kind) {
    const struct right_form *form = right_form(kind);
    print_start(record);
    printf("%s", form->words);
    if (form->subject_member != NULL)
        printf(": %s", text_of(record, form->subject_member));
    if (kind == RIGHT_ZONE_ADDED)
        printf(", %s of customer %s", text_of(record, "name"), text_of(record, "customer"));
    if (*text_of(record, "thumbprint") != '\0')
        printf(", now %s", text_of(record, "thumbprint"));
    if (*text_of(record, "detail") != '\0')
        printf("  (%s)", text_of(record, "detail"));
    printf("  by %s\n", text_of(record, "by"));
}

static void print_line(const json_t *record) {
    char decimal[SERIAL_DECIMAL_MAX] = "-";
    uint8_t serial[SERIAL_BYTES];
    if (hex_decode(text_of(record, "serial"), serial, SERIAL_BYTES))
        serial_to_decimal(serial, decimal);
    print_start(record);
    printf("%s", decimal);
    print_names(record);
    if (*text_of(record, "order") != '\0')
        printf("  order %s", text_of(record, "order"));
    if (json_is_integer(json_object_get(record, "reason")))
        printf("  reason %lld", (long long)json_integer_value(json_object_get(record, "reason")));
    else if (*text_of(record, "reason") != '\0')
        printf("  (%s)", text_of(record, "reason"));
    if (*text_of(record, "by") != '\0')
        printf("  by %s", text_of(record, "by"));
    putchar('\n');
}

/* "issuer  ecc  key 9a0c...  subject 5f01..." */
static void print_issuer(const json_t *record) {
    print_start(record);
    printf("%s  key %s  subject %s\n", text_of(record, "issuer"), text_of(record, "spki_sha256"),
           text_of(record, "subject_sha256"));
}

static bool show_record(void *context, const json_t *record, uint64_t offset, struct error *error) {
    struct show *show = context;
    (void)offset;
    (void)error;
    if (!is_wanted(show, record))
        return true;
    show->shown++;
    enum right_kind kind;
    if (!show->as_json && right_kind_of(text_of(record, "type"), &kind)) {
        print_right(record, kind);
        return true;
    }
    if (!show->as_json) {
        if (strcmp(text_of(record, "type"), "issuer") == 0)
            print_issuer(record);
        else
            print_line(record);
        return true;
    }
    json_dumpf(record, stdout, JSON_COMPACT);
    putchar('\n');
    return true;
}

/* Beside those of rights. */
static const char *const plain_types[] = {"genesis", "segment", "issuer", "intent",  "issued",
                                          "void",    "revoked", "crl",    "signing", "loss-confirmed"};

static int usage(void) {
    fputs(
        "Usage: originca-server [-c FILE] ledger verify [--json]\n"
        "       originca-server [-c FILE] ledger show [--from SEQ] [--type TYPE] [--serial SERIAL] [--json]\n"
        "       originca-server [-c FILE] ledger replay [--from SEQ]\n"
        "Types:",
        stderr);
    for (size_t i = 0; i < sizeof plain_types / sizeof *plain_types; i++)
        fprintf(stderr, " %s", plain_types[i]);
    for (size_t i = 0; i < RIGHT_KINDS; i++)
        fprintf(stderr, " %s", right_form((enum right_kind)i)->type);
    fputs(".\n--directory DIR reads another ledger.\n", stderr);
    return 2;
}

static bool read_type(const char *text, struct error *error) {
    enum right_kind kind;
    for (size_t i = 0; i < sizeof plain_types / sizeof *plain_types; i++)
        if (strcmp(plain_types[i], text) == 0)
            return true;
    return right_kind_of(text, &kind) ||
           error_set(error, ERROR_INVALID, "no record has the type %.60s; --help names the types", text);
}

static bool read_sequence(const char *text, uint64_t *sequence, struct error *error) {
    char *end;
    errno = 0;
    *sequence = strtoull(text, &end, 10);
    return (*text >= '0' && *text <= '9' && *end == '\0' && errno == 0) ||
           error_set(error, ERROR_INVALID, "--from %.60s is no sequence number of a record", text);
}

/* False for wrong usage: with the error where a value is wrong. */
static bool parse_options(int argc, char **argv, struct show *show, const char **directory,
                          char serial_hex[SERIAL_HEX_MAX], struct error *error) {
    static const struct option table[] = {{"from", required_argument, NULL, 'f'},
                                          {"type", required_argument, NULL, 't'},
                                          {"serial", required_argument, NULL, 's'},
                                          {"json", no_argument, NULL, 'j'},
                                          {"directory", required_argument, NULL, 'd'},
                                          {"help", no_argument, NULL, 'h'},
                                          {0}};
    uint8_t serial[SERIAL_BYTES];
    optind = 1;
    for (int option; (option = getopt_long(argc, argv, "", table, NULL)) != -1;) {
        switch (option) {
        case 'f':
            if (!read_sequence(optarg, &show->from, error))
                return false;
            break;
        case 't':
            if (!read_type(optarg, error))
                return false;
            show->type = optarg;
            break;
        case 's':
            if (!serial_read(optarg, serial, error))
                return false;
            hex_encode(serial, SERIAL_BYTES, serial_hex);
            show->serial = serial_hex;
            break;
        case 'j':
            show->as_json = true;
            break;
        case 'd':
            *directory = optarg;
            break;
        default:
            return false;
        }
    }
    return optind == argc;
}

static void print_verdict(const struct show *show, const struct ledger_walk *walk) {
    size_t open = json_object_size(show->open);
    if (show->as_json) {
        json_t *verdict = json_pack(
            "{s:b, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "ok", 1, "ledger",
            walk->ledger_id, "host", walk->host, "segments", (json_int_t)walk->segments, "records",
            (json_int_t)walk->records, "last_sequence", (json_int_t)walk->last_sequence, "intents",
            (json_int_t)show->intents, "issued", (json_int_t)show->issued, "voids", (json_int_t)show->voids,
            "revoked", (json_int_t)show->revoked, "rights", (json_int_t)show->rights, "zones",
            (json_int_t)zones_count_living(show->zones), "intents_without_outcome", (json_int_t)open,
            "torn_bytes", (json_int_t)walk->torn_bytes);
        json_dumpf(verdict, stdout, JSON_COMPACT);
        putchar('\n');
        json_decref(verdict);
        return;
    }
    printf("ledger %s of host %s: the chain holds\n", walk->ledger_id, walk->host);
    printf("%llu records in %llu files, the last is %llu\n", (unsigned long long)walk->records,
           (unsigned long long)walk->segments, (unsigned long long)walk->last_sequence);
    printf("%llu intents, %llu issued, %llu void, %llu revoked, %zu without an outcome\n",
           (unsigned long long)show->intents, (unsigned long long)show->issued,
           (unsigned long long)show->voids, (unsigned long long)show->revoked, open);
    printf("%llu changes of rights, %zu zones that live\n", (unsigned long long)show->rights,
           zones_count_living(show->zones));
    if (walk->torn_bytes > 0)
        printf("%llu bytes at the end are an unfinished record; the signer cuts them off when it starts\n",
               (unsigned long long)walk->torn_bytes);
}

static void free_show(const struct show *show) {
    json_decref(show->open);
    zones_free(show->zones);
    issuer_names_free(show->issuers);
}

int signer_ledger_command(const struct config *config, int argc, char **argv) {
    struct show show = {.open = json_object(), .zones = zones_new(), .issuers = issuer_names_new()};
    struct ledger_walk walk;
    struct error error = {.code = ERROR_NONE};
    const char *directory = config->ledger_directory;
    char serial_hex[SERIAL_HEX_MAX], **segments = NULL;
    bool is_verify = strcmp(argv[0], "verify") == 0, is_replay = strcmp(argv[0], "replay") == 0;
    if ((!is_verify && !is_replay && strcmp(argv[0], "show") != 0) ||
        !parse_options(argc, argv, &show, &directory, serial_hex, &error)) {
        free_show(&show);
        if (error.code == ERROR_NONE)
            return usage();
        fprintf(stderr, "originca-server: ledger %s: %s\n", argv[0], error.message);
        return 2;
    }
    if (is_replay)
        show.as_json = show.only_applicable = true;
    int count = ledger_list_segments(directory, &segments, &error);
    bool is_good = count > 0 && show.zones != NULL && show.issuers != NULL;
    if (show.zones == NULL || show.issuers == NULL)
        error_set(&error, ERROR_INTERNAL, "out of memory");
    else if (count == 0)
        error_set(&error, ERROR_NOT_FOUND, "there is no ledger in %s", directory);
    if (is_good)
        is_good =
            ledger_walk(segments, 0, count, &walk, is_verify ? verify_record : show_record, &show, &error);
    if (is_good && is_verify)
        print_verdict(&show, &walk);
    if (!is_good)
        fprintf(stderr, "originca-server: ledger %s: %s\n", argv[0], error.message);
    ledger_free_segments(segments, count > 0 ? count : 0);
    free_show(&show);
    return is_good ? 0 : 1;
}
