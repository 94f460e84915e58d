/* The tree's facts, and an authoritative server's answers from them. */
#include "fuzz_world.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include <nettle/sha1.h>

#include "../../dnscheck/packet.h"

#define TTL 60
#define SUM_START 0xcbf29ce484222325u
/* The tree is not what is tested; and its sums must not be learned from comparisons, or the fuzzer would
 * forge them. */
#pragma clang attribute push(__attribute__((no_sanitize("coverage"))), apply_to = function)

struct fact {
    const char *zone, *owner;
    uint16_t type;
    const char *value;
};

static const struct fact facts[] = {
    {"", "", DNS_NS, "a.root"},
    {"", "a.root", DNS_A, "192.0.2.1"},
    {"", "test", DNS_NS, "a.nic.test"},
    {"", "a.nic.test", DNS_A, "192.0.2.2"},
    {"test", "test", DNS_NS, "a.nic.test"},
    {"test", "a.nic.test", DNS_A, "192.0.2.2"},
    {"test", "provider.test", DNS_NS, "ns1.provider.test"},
    {"test", "provider.test", DNS_NS, "ns2.provider.test"},
    {"test", "ns1.provider.test", DNS_A, "192.0.2.11"},
    {"test", "ns2.provider.test", DNS_A, "192.0.2.12"},
    {"test", "shop.test", DNS_NS, "ns1.provider.test"},
    {"test", "shop.test", DNS_NS, "ns2.provider.test"},
    {"test", "plain.test", DNS_NS, "ns1.provider.test"},
    {"test", "elsewhere.test", DNS_NS, "ns1.foreign.plain.test"},
    {"provider.test", "provider.test", DNS_NS, "ns1.provider.test"},
    {"provider.test", "provider.test", DNS_NS, "ns2.provider.test"},
    {"provider.test", "ns1.provider.test", DNS_A, "192.0.2.11"},
    {"provider.test", "ns2.provider.test", DNS_A, "192.0.2.12"},
    {"provider.test", "edge.provider.test", DNS_A, "203.0.113.1"},
    {"shop.test", "shop.test", DNS_NS, "ns1.provider.test"},
    {"shop.test", "shop.test", DNS_NS, "ns2.provider.test"},
    {"shop.test", "shop.test", DNS_A, "203.0.113.1"},
    {"shop.test", "www.shop.test", DNS_A, "203.0.113.1"},
    {"shop.test", "www.shop.test", DNS_AAAA, "2001:db8:ed9e::1"},
    {"shop.test", "_acme-challenge.www.shop.test", DNS_TXT, "right"},
    {"shop.test", "a.b.shop.test", DNS_A, "203.0.113.2"},
    {"shop.test", "alias.shop.test", DNS_CNAME, "www.shop.test"},
    {"shop.test", "out.shop.test", DNS_CNAME, "edge.provider.test"},
    {"shop.test", "dead.shop.test", DNS_CNAME, "nothing.provider.test"},
    {"shop.test", "old.shop.test", DNS_DNAME, "b.shop.test"},
    {"shop.test", "gray.shop.test", DNS_A, "198.51.100.1"},
    {"shop.test", "*.wild.shop.test", DNS_A, "203.0.113.3"},
    {"shop.test", "real.wild.shop.test", DNS_A, "198.51.100.1"},
    {"shop.test", "sub.shop.test", DNS_NS, "ns1.foreign.plain.test"},
    {"shop.test", "locked.shop.test", DNS_A, "203.0.113.4"},
    {"shop.test", "locked.shop.test", DNS_CAA, ";"},
    {"shop.test", "ours.shop.test", DNS_A, "203.0.113.4"},
    {"shop.test", "ours.shop.test", DNS_CAA, "ca.provider.test; validationmethods=ca-delegation"},
    {"plain.test", "plain.test", DNS_NS, "ns1.provider.test"},
    {"plain.test", "www.plain.test", DNS_A, "203.0.113.5"},
    {"plain.test", "ns1.foreign.plain.test", DNS_A, "192.0.2.21"},
    {"elsewhere.test", "elsewhere.test", DNS_NS, "ns1.foreign.plain.test"},
    {"elsewhere.test", "www.elsewhere.test", DNS_A, "203.0.113.6"},
    {"sub.shop.test", "sub.shop.test", DNS_NS, "ns1.foreign.plain.test"},
    {"sub.shop.test", "www.sub.shop.test", DNS_A, "203.0.113.7"},
};
#define FACTS (sizeof facts / sizeof facts[0])

static const struct {
    uint8_t server;
    const char *zone;
} hosted[] = {{1, ""},
              {2, "test"},
              {11, "provider.test"},
              {11, "shop.test"},
              {11, "plain.test"},
              {12, "provider.test"},
              {12, "shop.test"},
              {21, "elsewhere.test"},
              {21, "sub.shop.test"}};

/* libFuzzer looks into every strcmp, which costs more than the tree itself. */
static bool is_same(const char *a, const char *b) {
    while (*a != '\0' && *a == *b) {
        a++;
        b++;
    }
    return *a == *b;
}

static bool is_below(const char *name, const char *zone) {
    size_t length = strlen(name), zone_length = strlen(zone);
    return length >= zone_length && is_same(name + length - zone_length, zone) &&
           (length == zone_length || name[length - zone_length - 1] == '.');
}

/* --- wire form --- */

size_t fuzz_world_put_name(uint8_t *out, size_t room, const char *name) {
    size_t at = 0;
    while (*name != '\0') {
        size_t length = strcspn(name, ".");
        if (length == 0 || length > 63 || at + length + 2 > room || at + length + 2 > 255)
            return 0;
        out[at++] = (uint8_t)length;
        memcpy(out + at, name, length);
        at += length;
        name += length + (name[length] == '.' ? 1 : 0);
    }
    if (at == room)
        return 0;
    out[at++] = 0;
    return at;
}

static void put_number(uint8_t *out, uint32_t number, size_t bytes) {
    for (size_t i = 0; i < bytes; i++)
        out[i] = (uint8_t)(number >> 8 * (bytes - 1 - i));
}

static size_t write_record(const struct fuzz_record *record, uint8_t *out, size_t room) {
    size_t at = fuzz_world_put_name(out, room, record->owner);
    if (at == 0 || at + 10 + record->length > room)
        return 0;
    put_number(out + at, record->type, 2);
    put_number(out + at + 2, 1, 2);
    put_number(out + at + 4, record->ttl, 4);
    put_number(out + at + 8, record->length, 2);
    memcpy(out + at + 10, record->data, record->length);
    return at + 10 + record->length;
}

size_t fuzz_world_write(const struct fuzz_answer *answer, const char *name, uint16_t type,
                        uint8_t out[FUZZ_WIRE_MAX]) {
    uint16_t counts[3] = {0};
    memset(out, 0, 12);
    out[2] = (uint8_t)(0x80 | (answer->is_authoritative ? 4 : 0) | (answer->is_truncated ? 2 : 0));
    out[3] = answer->rcode & 15;
    out[5] = 1;
    size_t length = fuzz_world_put_name(out + 12, FUZZ_WIRE_MAX - 12, name), at = 12 + length + 4;
    if (length == 0)
        return 0;
    put_number(out + 12 + length, type, 2);
    put_number(out + 12 + length + 2, 1, 2);
    for (uint8_t section = 0; section < 3; section++)
        for (size_t i = 0; i < answer->count; i++)
            for (unsigned n = 0; answer->records[i].section == section && n <= answer->records[i].repeat;
                 n++) {
                size_t more = write_record(&answer->records[i], out + at, FUZZ_WIRE_MAX - at);
                at += more;
                counts[section] += more > 0 ? 1 : 0;
            }
    for (size_t i = 0; i < 3; i++)
        put_number(out + 6 + 2 * i, counts[i], 2);
    return at;
}

/* --- sums instead of signatures --- */

uint64_t fuzz_world_sum(const uint8_t *bytes, size_t length, uint64_t start) {
    uint64_t sum = start == 0 ? SUM_START : start;
    for (size_t i = 0; i < length; i++)
        sum = (sum ^ bytes[i]) * 0x100000001b3u;
    return sum;
}

uint64_t fuzz_world_seal(uint64_t key, uint64_t head, uint64_t owner, uint64_t records) {
    uint64_t parts[] = {key, head, owner, records, 0x5ea1ed};
    return fuzz_world_sum((const uint8_t *)parts, sizeof parts, 0);
}

size_t fuzz_world_key(const char *zone, uint8_t out[FUZZ_RDATA_MAX]) {
    uint64_t sum = fuzz_world_sum((const uint8_t *)zone, strlen(zone), 0);
    put_number(out, 257, 2);
    out[2] = 3;
    out[3] = 13;
    for (size_t i = 0; i < 64; i++)
        out[4 + i] = (uint8_t)(sum >> i % 8 * 8);
    return 68;
}

static uint16_t key_tag(const uint8_t *key, size_t length) {
    uint32_t sum = 0;
    for (size_t i = 0; i < length; i++)
        sum += (i & 1) != 0 ? key[i] : (uint32_t)key[i] << 8;
    return (uint16_t)(sum + (sum >> 16));
}

size_t fuzz_world_ds(const char *zone, uint8_t out[FUZZ_RDATA_MAX]) {
    uint8_t key[FUZZ_RDATA_MAX];
    size_t length = fuzz_world_key(zone, key);
    uint64_t sum = fuzz_world_sum(key, length, 0);
    put_number(out, key_tag(key, length), 2);
    out[2] = 13;
    out[3] = 2;
    for (size_t i = 0; i < 32; i++)
        out[4 + i] = (uint8_t)(sum >> i % 8 * 8);
    return 36;
}

static bool is_signed(const struct fuzz_world *world, const char *zone) {
    return !is_same(zone, "plain.test") && !is_same(zone, "sub.shop.test") &&
           (world->is_shop_signed || !is_same(zone, "shop.test"));
}

static unsigned count_labels(const char *name) {
    unsigned count = *name == '\0' ? 0 : 1;
    for (; *name != '\0'; name++)
        count += *name == '.' ? 1 : 0;
    return count;
}

/* --- putting records together --- */

static struct fuzz_record *add(struct fuzz_answer *answer, uint8_t section, const char *owner,
                               uint16_t type) {
    static struct fuzz_record spare;
    struct fuzz_record *record =
        answer->count < FUZZ_RECORDS_MAX ? &answer->records[answer->count++] : &spare;
    memset(record, 0, offsetof(struct fuzz_record, data));
    record->section = section;
    record->type = type;
    record->ttl = TTL;
    snprintf(record->owner, sizeof record->owner, "%s", owner);
    return record;
}

/* Signs the records of that owner and type; `source`: the wildcard that they were made from. */
static void sign(const struct fuzz_world *world, struct fuzz_answer *answer, uint8_t section,
                 const char *zone, const char *owner, uint16_t type, const char *source) {
    uint8_t key[FUZZ_RDATA_MAX], name[FUZZ_NAME_MAX];
    uint64_t records = 0;
    if (!is_signed(world, zone))
        return;
    for (size_t i = 0; i < answer->count; i++)
        if (answer->records[i].type == type && answer->records[i].section == section &&
            is_same(answer->records[i].owner, owner))
            records += fuzz_world_sum(answer->records[i].data, answer->records[i].length, 0);
    struct fuzz_record *signature = add(answer, section, owner, DNS_RRSIG);
    const char *as_signed = source != NULL ? source : owner;
    size_t length = fuzz_world_key(zone, key);
    put_number(signature->data, type, 2);
    signature->data[2] = 13;
    signature->data[3] = (uint8_t)(count_labels(as_signed) - (*as_signed == '*' ? 1 : 0));
    put_number(signature->data + 4, TTL, 4);
    put_number(signature->data + 8, 0x70000000, 4);
    put_number(signature->data + 12, 0x60000000, 4);
    put_number(signature->data + 16, key_tag(key, length), 2);
    size_t at = 18 + fuzz_world_put_name(signature->data + 18, 255, zone);
    size_t name_length = fuzz_world_put_name(name, sizeof name, as_signed);
    uint64_t seal = fuzz_world_seal(fuzz_world_sum(key, length, 0), fuzz_world_sum(signature->data, at, 0),
                                    fuzz_world_sum(name, name_length, 0), records);
    memset(signature->data + at, 1, 64);
    memcpy(signature->data + at + 1, &seal, sizeof seal);
    signature->length = (uint16_t)(at + 64);
}

static void set_data(struct fuzz_record *record, const char *value) {
    size_t length = strlen(value);
    switch (record->type) {
    case DNS_A:
        record->length = inet_pton(AF_INET, value, record->data) == 1 ? 4 : 0;
        break;
    case DNS_AAAA:
        record->length = inet_pton(AF_INET6, value, record->data) == 1 ? 16 : 0;
        break;
    case DNS_TXT:
        record->data[0] = (uint8_t)length;
        memcpy(record->data + 1, value, length);
        record->length = (uint16_t)(length + 1);
        break;
    case DNS_CAA:
        memcpy(record->data, "\0\5issue", 7);
        memcpy(record->data + 7, value, length);
        record->length = (uint16_t)(length + 7);
        break;
    default:
        record->length = (uint16_t)fuzz_world_put_name(record->data, FUZZ_RDATA_MAX, value);
    }
}

static bool has_fact(const char *zone, const char *owner, uint16_t type) {
    for (size_t i = 0; i < FACTS; i++)
        if (is_same(facts[i].zone, zone) && is_same(facts[i].owner, owner) &&
            (type == 0 || facts[i].type == type))
            return true;
    return false;
}

static bool is_delegation(const char *zone, const char *owner) {
    return !is_same(zone, owner) && has_fact(zone, owner, DNS_NS);
}

/* All facts of that type at `source`, given out as `owner`; false: there are none. */
static bool add_set(const struct fuzz_world *world, struct fuzz_answer *answer, uint8_t section,
                    const char *zone, const char *source, const char *owner, uint16_t type) {
    bool is_found = false, is_apex = is_same(zone, source);
    for (size_t i = 0; i < FACTS; i++)
        if (is_same(facts[i].zone, zone) && is_same(facts[i].owner, source) && facts[i].type == type) {
            set_data(add(answer, section, owner, type), facts[i].value);
            is_found = true;
        }
    if (type == DNS_DNSKEY && is_apex && is_signed(world, zone)) {
        struct fuzz_record *key = add(answer, section, owner, type);
        key->length = (uint16_t)fuzz_world_key(zone, key->data);
        is_found = true;
    }
    if (type == DNS_DS && is_delegation(zone, source) && is_signed(world, source)) {
        struct fuzz_record *ds = add(answer, section, owner, type);
        ds->length = (uint16_t)fuzz_world_ds(source, ds->data);
        is_found = true;
    }
    if (type == DNS_SOA && is_apex) {
        struct fuzz_record *soa = add(answer, section, owner, type);
        memset(soa->data, 0, 22);
        soa->length = 22;
        is_found = true;
    }
    if (is_found && !(type == DNS_NS && is_delegation(zone, source)))
        sign(world, answer, section, zone, owner, type, source);
    return is_found;
}

/* --- denials: each just about what it has to be about (RFC 4470), so the tree needs no order --- */

static size_t put_types(const struct fuzz_world *world, const char *zone, const char *owner, uint8_t *out) {
    static const uint16_t types[] = {DNS_A,    DNS_NS,    DNS_CNAME, DNS_SOA,    DNS_TXT,
                                     DNS_AAAA, DNS_DNAME, DNS_DS,    DNS_DNSKEY, DNS_CAA};
    bool is_apex = is_same(zone, owner), is_cut = is_delegation(zone, owner), has_caa = false;
    memset(out, 0, 12);
    out[1] = 8;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        bool is_there = has_fact(zone, owner, types[i]) ||
                        (is_apex && (types[i] == DNS_SOA || types[i] == DNS_DNSKEY)) ||
                        (is_cut && types[i] == DNS_DS && is_signed(world, owner));
        if (is_there && types[i] == DNS_CAA)
            has_caa = true;
        else if (is_there)
            out[2 + types[i] / 8] |= (uint8_t)(0x80 >> types[i] % 8);
    }
    out[2 + DNS_RRSIG / 8] |= 0x80 >> DNS_RRSIG % 8;
    if (!world->has_nsec3)
        out[2 + DNS_NSEC / 8] |= 0x80 >> DNS_NSEC % 8;
    if (!has_caa)
        return 10;
    out[10] = 1;
    out[11] = 1;
    out[12] = 0x40;
    return 13;
}

/* The name's first label made a little smaller or larger. */
static void neighbour(char out[FUZZ_NAME_MAX], const char *name, bool is_before) {
    size_t length = strcspn(name, ".");
    if (length == 0)
        snprintf(out, FUZZ_NAME_MAX, "%s", name);
    else if (is_before)
        snprintf(out, FUZZ_NAME_MAX, "%.*s%c~%s", (int)length - 1, name, name[length - 1] - 1, name + length);
    else
        snprintf(out, FUZZ_NAME_MAX, "%.*s!%s", (int)length, name, name + length);
}

static void hash_name(const char *name, uint8_t out[SHA1_DIGEST_SIZE]) {
    uint8_t wire[FUZZ_NAME_MAX];
    struct sha1_ctx context;
    sha1_init(&context);
    sha1_update(&context, fuzz_world_put_name(wire, sizeof wire, name), wire);
    sha1_digest(&context, SHA1_DIGEST_SIZE, out);
}

static void hash_owner(const uint8_t hash[SHA1_DIGEST_SIZE], const char *zone, char out[FUZZ_NAME_MAX]) {
    static const char letters[] = "0123456789abcdefghijklmnopqrstuv";
    char text[33] = "";
    for (size_t i = 0; i < 32; i++) {
        size_t bit = i * 5;
        unsigned two =
            (unsigned)hash[bit / 8] << 8 | (bit / 8 + 1 < SHA1_DIGEST_SIZE ? hash[bit / 8 + 1] : 0u);
        text[i] = letters[two >> (11 - bit % 8) & 31];
    }
    snprintf(out, FUZZ_NAME_MAX, "%s%s%.200s", text, *zone == '\0' ? "" : ".", zone);
}

static void add_nsec3(const struct fuzz_world *world, struct fuzz_answer *answer, const char *zone,
                      const char *name, bool is_match) {
    uint8_t hash[SHA1_DIGEST_SIZE], next[SHA1_DIGEST_SIZE];
    char owner[FUZZ_NAME_MAX];
    hash_name(name, hash);
    memcpy(next, hash, sizeof next);
    next[SHA1_DIGEST_SIZE - 1]++;
    hash[SHA1_DIGEST_SIZE - 1] -= is_match ? 0 : 1;
    hash_owner(hash, zone, owner);
    struct fuzz_record *proof = add(answer, 1, owner, DNS_NSEC3);
    memcpy(proof->data, "\1\0\0\0\0\24", 6);
    proof->data[1] = world->has_opt_out ? 1 : 0;
    memcpy(proof->data + 6, next, sizeof next);
    proof->length = 26;
    if (is_match)
        proof->length = (uint16_t)(26 + put_types(world, zone, name, proof->data + 26));
    sign(world, answer, 1, zone, owner, DNS_NSEC3, NULL);
}

/* The first fact below an empty non-terminal, NULL where the name is none. */
static const char *fact_below(const char *zone, const char *name) {
    for (size_t i = 0; i < FACTS; i++)
        if (is_same(facts[i].zone, zone) && !is_same(facts[i].owner, name) && is_below(facts[i].owner, name))
            return facts[i].owner;
    return NULL;
}

static bool exists(const char *zone, const char *name) {
    return is_same(zone, name) || has_fact(zone, name, 0) || fact_below(zone, name) != NULL;
}

static void add_nsec(const struct fuzz_world *world, struct fuzz_answer *answer, const char *zone,
                     const char *name, bool is_match) {
    char owner[FUZZ_NAME_MAX], next[FUZZ_NAME_MAX];
    const char *below = is_match && !has_fact(zone, name, 0) ? fact_below(zone, name) : NULL;
    if (is_same(name, zone))
        snprintf(next, sizeof next, *zone == '\0' ? "!" : "!.%.200s", zone);
    else
        neighbour(next, name, false);
    if (below != NULL)
        snprintf(next, sizeof next, "%s", below);
    if (is_match && below == NULL)
        snprintf(owner, sizeof owner, "%s", name);
    else
        neighbour(owner, name, true);
    struct fuzz_record *proof = add(answer, 1, owner, DNS_NSEC);
    size_t length = fuzz_world_put_name(proof->data, 255, next);
    proof->length = (uint16_t)(length + put_types(world, zone, is_match ? name : "", proof->data + length));
    sign(world, answer, 1, zone, owner, DNS_NSEC, NULL);
}

static void add_proof(const struct fuzz_world *world, struct fuzz_answer *answer, const char *zone,
                      const char *name, bool is_match) {
    if (!is_signed(world, zone) || answer->count + 8 > FUZZ_RECORDS_MAX)
        return;
    if (world->has_nsec3)
        add_nsec3(world, answer, zone, name, is_match);
    else
        add_nsec(world, answer, zone, name, is_match);
}

static void deny(const struct fuzz_world *world, struct fuzz_answer *answer, const char *zone,
                 const char *name) {
    char star[FUZZ_NAME_MAX];
    const char *closer = name, *encloser;
    add_set(world, answer, 1, zone, zone, zone, DNS_SOA);
    if (exists(zone, name)) {
        add_proof(world, answer, zone, name, true);
        return;
    }
    for (encloser = strchr(name, '.'); encloser != NULL && !exists(zone, encloser + 1);
         encloser = strchr(closer, '.'))
        closer = encloser + 1;
    encloser = encloser == NULL ? "" : encloser + 1;
    snprintf(star, sizeof star, *encloser == '\0' ? "*" : "*.%.250s", encloser);
    bool is_star = has_fact(zone, star, 0);
    answer->rcode = is_star ? DNS_NOERROR : DNS_NXDOMAIN;
    if (world->has_nsec3)
        add_proof(world, answer, zone, encloser, true);
    add_proof(world, answer, zone, closer, false);
    add_proof(world, answer, zone, star, is_star);
}

/* --- answers --- */

static void refer(const struct fuzz_world *world, struct fuzz_answer *answer, const char *zone,
                  const char *cut) {
    answer->is_authoritative = false;
    add_set(world, answer, 1, zone, cut, cut, DNS_NS);
    if (!add_set(world, answer, 1, zone, cut, cut, DNS_DS))
        add_proof(world, answer, zone, cut, true);
    for (size_t i = 0; i < FACTS; i++)
        for (size_t k = 0; facts[i].type == DNS_NS && is_same(facts[i].zone, zone) &&
                           is_same(facts[i].owner, cut) && k < FACTS;
             k++)
            if (facts[k].type == DNS_A && is_same(facts[k].zone, zone) &&
                is_same(facts[k].owner, facts[i].value))
                set_data(add(answer, 2, facts[k].owner, DNS_A), facts[k].value);
}

static bool add_wildcard(const struct fuzz_world *world, struct fuzz_answer *answer, const char *zone,
                         const char *name, uint16_t type) {
    char star[FUZZ_NAME_MAX];
    const char *closer = name, *encloser = strchr(name, '.');
    if (exists(zone, name))
        return false;
    while (encloser != NULL && !exists(zone, encloser + 1)) {
        closer = encloser + 1;
        encloser = strchr(closer, '.');
    }
    snprintf(star, sizeof star, "*.%.250s", encloser == NULL ? "" : encloser + 1);
    if (!has_fact(zone, star, type))
        return false;
    add_set(world, answer, 0, zone, star, name, type);
    add_proof(world, answer, zone, closer, false);
    return true;
}

/* The DNAME, and the CNAME that servers make of it (RFC 6672 3.1). */
static bool add_dname(const struct fuzz_world *world, struct fuzz_answer *answer, const char *zone,
                      const char *name) {
    static const char *const owner = "old.shop.test", *const target = "b.shop.test";
    size_t prefix = strlen(name) - strlen(owner);
    char made[FUZZ_NAME_MAX];
    if (!is_same(zone, "shop.test") || strlen(name) <= strlen(owner) || !is_below(name, owner))
        return false;
    add_set(world, answer, 0, zone, owner, owner, DNS_DNAME);
    snprintf(made, sizeof made, "%.*s%s", (int)prefix, name, target);
    set_data(add(answer, 0, name, DNS_CNAME), made);
    return true;
}

static void reply(const struct fuzz_world *world, struct fuzz_answer *answer, const char *zone,
                  const char *name, uint16_t type) {
    if (add_set(world, answer, 0, zone, name, name, type) ||
        add_set(world, answer, 0, zone, name, name, DNS_CNAME))
        return;
    if (add_dname(world, answer, zone, name))
        return;
    if (!add_wildcard(world, answer, zone, name, type))
        deny(world, answer, zone, name);
}

static const char *find_zone(uint8_t server, const char *name, uint16_t type) {
    const char *best = NULL;
    for (size_t i = 0; i < sizeof hosted / sizeof hosted[0]; i++) {
        const char *zone = hosted[i].zone;
        bool holds = hosted[i].server == server && (*zone == '\0' || is_below(name, zone)) &&
                     !(type == DNS_DS && is_same(zone, name));
        if (holds && (best == NULL || strlen(zone) > strlen(best)))
            best = zone;
    }
    return best;
}

void fuzz_world_resolve(const struct fuzz_world *world, uint8_t server, const char *name, uint16_t type,
                        struct fuzz_answer *answer) {
    const char *zone = find_zone(server, name, type);
    answer->is_authoritative = zone != NULL;
    if (zone == NULL) {
        answer->rcode = DNS_REFUSED;
        return;
    }
    for (size_t i = 0; i < FACTS; i++)
        if (is_same(facts[i].zone, zone) && is_delegation(zone, facts[i].owner) &&
            is_below(name, facts[i].owner) && !(type == DNS_DS && is_same(name, facts[i].owner))) {
            refer(world, answer, zone, facts[i].owner);
            return;
        }
    reply(world, answer, zone, name, type);
}

#pragma clang attribute pop
