/* Writes a valid ledger of any size in seconds: what starts and replays are measured with (doc/ledger.md).
 *
 *     make-ledger FOLDER HOST MIB [REVOKED_PERCENT [SEGMENT_MIB [ZONES]]]
 *
 * Goes on where the folder has a ledger of that host already. ZONES are added first, then MIB of
 * certificates. Each certificate is an intent and an issued
 * record as the signer writes them, with bytes of a certificate's size that are none. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../server/signer/ledger.h"

#define CERTIFICATE_BYTES 480
#define ZONES 1000 /* of certificates, where none are added */
#define CUSTOMERS 1000
#define SYNC_EVERY 2000

struct maker {
    struct ledger *ledger;
    struct arena *arena;
    uint64_t bytes, certificates, revocations;
    uint64_t zones; /* added; 0: none */
    unsigned revoked_percent;
};

static void fail(const char *what, const struct error *error) {
    fprintf(stderr, "make-ledger: %s: %s\n", what, error->message);
    exit(1);
}

static void random_digits(size_t bytes, char *out) {
    uint8_t raw[SHA256_BYTES];
    random_bytes(raw, bytes);
    hex_encode(raw, bytes, out);
}

static void name_zone(uint64_t number, char id[33], char name[64]) {
    snprintf(id, 33, "%032llx", (unsigned long long)number);
    snprintf(name, 64, "zone-%llu.test", (unsigned long long)number);
}

static json_t *describe(const struct maker *maker, uint64_t number, const char *serial) {
    char attempt[64], order[33], digest[2 * SHA256_BYTES + 1], name[96], zone[33], zone_name[64];
    char before[TIME_TEXT_MAX], after[TIME_TEXT_MAX];
    time_t now = (time_t)(clock_wall_ms() / 1000);
    random_digits(16, order);
    order[22] = '\0';
    random_digits(SHA256_BYTES, digest);
    snprintf(attempt, sizeof attempt, "%.32s-%llu", digest, (unsigned long long)number);
    name_zone(number % (maker->zones > 0 ? maker->zones : ZONES), zone, zone_name);
    snprintf(name, sizeof name, "host-%llu.%s", (unsigned long long)number, zone_name);
    time_format(now, before);
    time_format(now + 90 * 86400, after);
    return json_pack(
        "{s:s, s:s, s:s, s:s, s:s, s:[s], s:[s], s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:[{s:s, s:s, s:s}], "
        "s:s}",
        "serial", serial, "attempt", attempt, "order", order, "account", "", "customer",
        "00000000000000000000000000000001", "names", name, "zones", zone, "profile", "classic", "issuer",
        "ecc", "spki_sha256", digest, "not_before", before, "not_after", after, "evidence_sha256", digest,
        "claimed_at_ms", (json_int_t)clock_wall_ms(), "evidence", "name", name, "checked_at", before,
        "method", "dns-delegation", "tbs_sha256", digest);
}

static void append(struct maker *maker, const char *type, json_t *fields) {
    struct error error;
    if (!ledger_append(maker->ledger, type, fields, NULL, NULL, &error))
        fail("appending", &error);
}

static void add_zone(struct maker *maker, uint64_t number) {
    char id[33], name[64], customer[33];
    name_zone(number, id, name);
    snprintf(customer, sizeof customer, "%032llx", (unsigned long long)number % CUSTOMERS);
    json_t *fields = json_pack("{s:s, s:s, s:s, s:I, s:s}", "zone", id, "name", name, "customer", customer,
                               "at_ms", (json_int_t)clock_wall_ms(), "by", "admin:uid=0");
    append(maker, "zone-added", fields);
    json_decref(fields);
}

static void revoke(struct maker *maker, const char *serial) {
    char when[TIME_TEXT_MAX];
    time_format((time_t)(clock_wall_ms() / 1000), when);
    json_t *fields = json_pack("{s:s, s:s, s:i, s:s, s:s}", "serial", serial, "issuer", "ecc", "reason", 4,
                               "revoked_at", when, "by", "admin");
    append(maker, "revoked", fields);
    json_decref(fields);
    maker->revocations++;
}

static void issue(struct maker *maker) {
    uint8_t der[CERTIFICATE_BYTES];
    char serial[SERIAL_HEX_MAX];
    struct arena *arena = arena_new(0);
    random_digits(SERIAL_BYTES, serial);
    serial[0] = '1'; /* positive */
    json_t *fields = describe(maker, maker->certificates++, serial);
    append(maker, "intent", fields);
    random_bytes(der, sizeof der);
    json_object_set_new(fields, "intent_seq", json_integer((json_int_t)ledger_last_sequence(maker->ledger)));
    json_object_set_new(fields, "certificate", json_string(base64_encode(arena, der, sizeof der)));
    append(maker, "issued", fields);
    json_decref(fields);
    arena_free(arena);
    if (maker->certificates % 100 < maker->revoked_percent)
        revoke(maker, serial);
}

static uint64_t size_so_far(struct maker *maker, uint64_t *segment_before, uint64_t *closed) {
    struct ledger_position position;
    ledger_get_position(maker->ledger, &position);
    if (position.segment != *segment_before) {
        *closed += maker->bytes;
        *segment_before = position.segment;
    }
    maker->bytes = position.offset;
    return *closed + position.offset;
}

static void write_out(struct maker *maker, const json_t *state) {
    struct error error;
    if (!ledger_sync(maker->ledger, &error) || !ledger_rotate_if_full(maker->ledger, state, &error))
        fail("writing", &error);
}

int main(int argc, char **argv) {
    struct error error;
    struct maker maker = {.revoked_percent = argc > 4 ? (unsigned)atoi(argv[4]) : 1,
                          .zones = argc > 6 ? strtoull(argv[6], NULL, 10) : 0};
    if (argc < 4) {
        fputs("Usage: make-ledger FOLDER HOST MIB [REVOKED_PERCENT [SEGMENT_MIB [ZONES]]]\n", stderr);
        return 2;
    }
    const struct ledger_options options = {.directory = argv[1],
                                           .host = argv[2],
                                           .segment_bytes =
                                               (argc > 5 ? (uint32_t)atoi(argv[5]) : 64) * 1024u * 1024,
                                           .may_begin = true};
    uint64_t wanted = strtoull(argv[3], NULL, 10) * 1024 * 1024, segment = 0, closed = 0;
    json_t *state = json_pack("{s:b}", "allowed", 1);
    if ((maker.ledger = ledger_open(&options, &error)) == NULL)
        fail("opening", &error);
    for (uint64_t i = 0; i < maker.zones; i++) {
        add_zone(&maker, i);
        if (i % SYNC_EVERY == SYNC_EVERY - 1 || i + 1 == maker.zones)
            write_out(&maker, state);
    }
    while (size_so_far(&maker, &segment, &closed) < wanted) {
        for (int i = 0; i < SYNC_EVERY; i++)
            issue(&maker);
        write_out(&maker, state);
    }
    printf("%llu records, %llu certificates, %llu revocations\n",
           (unsigned long long)ledger_last_sequence(maker.ledger), (unsigned long long)maker.certificates,
           (unsigned long long)maker.revocations);
    json_decref(state);
    ledger_close(maker.ledger);
    return 0;
}
