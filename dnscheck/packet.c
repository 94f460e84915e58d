/* Messages by ldns; names come out in lower case and without the final dot. */
#include "packet.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ldns/ldns.h>

#include "originca/names.h"

#define EVIDENCE_LINE_MAX 300

const char *dns_type_name(uint16_t type) {
    static const struct {
        uint16_t type;
        const char *name;
    } names[] = {{DNS_A, "A"},         {DNS_NS, "NS"},     {DNS_CNAME, "CNAME"},   {DNS_SOA, "SOA"},
                 {DNS_TXT, "TXT"},     {DNS_AAAA, "AAAA"}, {DNS_DNAME, "DNAME"},   {DNS_DS, "DS"},
                 {DNS_RRSIG, "RRSIG"}, {DNS_NSEC, "NSEC"}, {DNS_DNSKEY, "DNSKEY"}, {DNS_NSEC3, "NSEC3"},
                 {DNS_CAA, "CAA"}};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (names[i].type == type)
            return names[i].name;
    return "other";
}

const char *dns_rcode_name(uint16_t rcode, char out[16]) {
    static const char *const names[] = {"NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"};
    if (rcode < sizeof names / sizeof names[0])
        return names[rcode];
    if (rcode == DNS_NOTAUTH || rcode == DNS_BADVERS || rcode == DNS_BADCOOKIE)
        return rcode == DNS_NOTAUTH ? "NOTAUTH" : rcode == DNS_BADVERS ? "BADVERS" : "BADCOOKIE";
    snprintf(out, 16, "RCODE%u", rcode);
    return out;
}

static bool put_name(uint8_t *out, size_t *at, const char *name) {
    if (strchr(name, '\\') != NULL) /* no host has such a name: only a hostile zone leads there */
        return false;
    uint8_t coins[(DNS_NAME_MAX + 7) / 8]; /* one a character */
    size_t tossed = 0;
    random_bytes(coins, sizeof coins);
    while (*name != '\0') {
        size_t length = strcspn(name, ".");
        if (length == 0 || length > 63 || *at + length + 2 > DNS_QUERY_MAX - 32)
            return false;
        out[(*at)++] = (uint8_t)length;
        for (size_t i = 0; i < length && tossed < sizeof coins * 8; i++, tossed++) {
            bool is_upper = (coins[tossed / 8] >> (tossed % 8) & 1) != 0;
            out[(*at)++] = (uint8_t)(is_upper ? toupper((unsigned char)name[i]) : name[i]);
        }
        name += length + (name[length] == '.' ? 1 : 0);
    }
    out[(*at)++] = 0;
    return true;
}

size_t dns_build_query(uint8_t out[DNS_QUERY_MAX], uint16_t id, const char *name, uint16_t type,
                       bool with_edns, bool wants_signatures) {
    const uint8_t opt[] = {
        0, 0, 41, DNS_EDNS_SIZE >> 8, DNS_EDNS_SIZE & 255, 0, 0, wants_signatures ? 0x80 : 0, 0, 0, 0};
    size_t at = 12;
    memset(out, 0, DNS_QUERY_MAX);
    out[0] = (uint8_t)(id >> 8);
    out[1] = (uint8_t)id;
    out[5] = 1; /* one question; recursion is not asked for */
    if (!put_name(out, &at, name))
        return 0;
    out[at++] = (uint8_t)(type >> 8);
    out[at++] = (uint8_t)type;
    out[at++] = 0;
    out[at++] = 1;
    if (with_edns) {
        out[11] = 1;
        memcpy(out + at, opt, sizeof opt);
        at += sizeof opt;
    }
    return at;
}

static size_t question_length(const uint8_t *query, size_t length) {
    size_t at = 12;
    while (at < length && query[at] != 0)
        at += 1u + query[at];
    return at + 5 - 12;
}

/* Lengths of labels are below 64, where nothing has another case. */
static bool is_same(const uint8_t *a, const uint8_t *b, size_t length, bool ignores_case) {
    for (size_t i = 0; ignores_case && i < length; i++)
        if (tolower(a[i]) != tolower(b[i]))
            return false;
    return ignores_case || memcmp(a, b, length) == 0;
}

bool dns_matches(const uint8_t *query, size_t query_length, const uint8_t *answer, size_t answer_length,
                 bool ignores_case) {
    size_t question = question_length(query, query_length);
    if (answer_length < 12 || memcmp(query, answer, 2) != 0 || (answer[2] & 0xF8) != 0x80)
        return false;
    /* An error before the question was understood may leave it out (FORMERR to EDNS). */
    if (answer[4] == 0 && answer[5] == 0)
        return (answer[3] & 15) == DNS_FORMERR || (answer[3] & 15) == DNS_NOTIMP;
    return answer[4] == 0 && answer[5] == 1 && answer_length >= 12 + question &&
           is_same(query + 12, answer + 12, question, ignores_case);
}

/* What would read as more or other labels than there are is escaped (RFC 1035 5.1). ldns's own function
 * prints character by character. */
static const char *name_of(struct arena *arena, const ldns_rdf *rdf) {
    char text[LDNS_MAX_DOMAINLEN * 4 + 1];
    size_t length = 0, size = rdf == NULL ? 0 : ldns_rdf_size(rdf);
    const uint8_t *wire = rdf == NULL ? NULL : ldns_rdf_data(rdf);
    if (size == 0 || size > LDNS_MAX_DOMAINLEN)
        return NULL;
    for (size_t at = 0; wire[at] != 0;) {
        size_t end = at + 1 + wire[at];
        if (end >= size)
            return NULL;
        if (length > 0)
            text[length++] = '.';
        for (at++; at < end; at++) {
            uint8_t byte = wire[at];
            if (byte <= ' ' || byte > '~')
                length += (size_t)sprintf(text + length, "\\%03u", byte);
            else {
                if (strchr(".\\\"();@$", byte) != NULL)
                    text[length++] = '\\';
                text[length++] = (char)tolower(byte);
            }
        }
    }
    return arena_strndup(arena, text, length);
}

static bool take_text(struct arena *arena, const ldns_rr *rr, struct bytes *out) {
    struct text text;
    text_init(&text, arena);
    for (size_t i = 0; i < ldns_rr_rd_count(rr); i++) {
        const ldns_rdf *rdf = ldns_rr_rdf(rr, i);
        if (ldns_rdf_size(rdf) > 0)
            text_append_bytes(&text, ldns_rdf_data(rdf) + 1, ldns_rdf_size(rdf) - 1);
    }
    *out = (struct bytes){(const uint8_t *)(text.data == NULL ? "" : text.data), text.length};
    return !text.failed;
}

/* RFC 8659 4.1: flags, tag, value. */
static bool take_caa(struct arena *arena, const ldns_rr *rr, struct dns_record *out) {
    if (ldns_rr_rd_count(rr) != 3 || ldns_rdf_size(ldns_rr_rdf(rr, 0)) != 1)
        return false;
    const ldns_rdf *tag = ldns_rr_rdf(rr, 1), *value = ldns_rr_rdf(rr, 2);
    if (ldns_rdf_size(tag) < 2 || ldns_rdf_data(tag)[0] != ldns_rdf_size(tag) - 1)
        return false;
    char *copy = arena_strndup(arena, (const char *)ldns_rdf_data(tag) + 1, ldns_rdf_size(tag) - 1);
    for (char *p = copy; p != NULL && *p != '\0'; p++)
        *p = (char)tolower((unsigned char)*p);
    out->flags = ldns_rdf_data(ldns_rr_rdf(rr, 0))[0];
    out->tag = copy;
    out->text =
        (struct bytes){arena_copy(arena, ldns_rdf_data(value), ldns_rdf_size(value)), ldns_rdf_size(value)};
    return copy != NULL && (out->text.data != NULL || out->text.length == 0);
}

/* The usual kinds at a tenth of the cost of ldns's printing. */
static const char *plain_text_form(struct arena *arena, const struct dns_record *record) {
    char value[INET6_ADDRSTRLEN];
    bool is_address = record->type == DNS_A || record->type == DNS_AAAA;
    if (is_address)
        inet_ntop(record->type == DNS_A ? AF_INET : AF_INET6, record->address, value, sizeof value);
    else if (record->target == NULL)
        return NULL;
    char *text =
        arena_printf(arena, "%s. %" PRIu32 " IN %s %s%s", record->owner, record->ttl,
                     dns_type_name(record->type), is_address ? value : record->target, is_address ? "" : ".");
    if (text != NULL && strlen(text) > EVIDENCE_LINE_MAX)
        text[EVIDENCE_LINE_MAX] = '\0';
    return text;
}

static const char *text_form(struct arena *arena, const ldns_rr *rr) {
    char *text = ldns_rr2str(rr);
    if (text == NULL)
        return "";
    for (char *p = text; *p != '\0'; p++)
        if (*p == '\t')
            *p = ' ';
    text[strcspn(text, "\n")] = '\0';
    const char *copy = arena_strndup(arena, text, strnlen(text, EVIDENCE_LINE_MAX));
    free(text);
    return copy == NULL ? "" : copy;
}

static bool take_record(struct arena *arena, const ldns_rr *rr, enum dns_section section,
                        struct dns_record *out) {
    *out = (struct dns_record){
        .section = section, .type = (uint16_t)ldns_rr_get_type(rr), .ttl = ldns_rr_ttl(rr)};
    out->owner = name_of(arena, ldns_rr_owner(rr));
    const ldns_rdf *first = ldns_rr_rd_count(rr) > 0 ? ldns_rr_rdf(rr, 0) : NULL;
    bool is_good = out->owner != NULL;
    if (out->type == DNS_NS || out->type == DNS_CNAME || out->type == DNS_DNAME) {
        out->target = name_of(arena, first);
        is_good = is_good && out->target != NULL;
    } else if (out->type == DNS_A || out->type == DNS_AAAA) {
        size_t length = out->type == DNS_A ? 4 : 16;
        is_good = is_good && first != NULL && ldns_rdf_size(first) == length;
        if (is_good)
            memcpy(out->address, ldns_rdf_data(first), length);
    } else if (out->type == DNS_TXT) {
        is_good = is_good && take_text(arena, rr, &out->text);
    } else if (out->type == DNS_CAA) {
        is_good = is_good && take_caa(arena, rr, out);
    }
    /* Only what the evidence lists: it costs more than the rest. */
    bool is_listed = section == DNS_ANSWER || (section == DNS_AUTHORITY && out->type == DNS_NS);
    out->text_form = is_listed && is_good ? plain_text_form(arena, out) : "";
    if (out->text_form == NULL)
        out->text_form = text_form(arena, rr);
    return is_good;
}

/* False where a record cannot be taken: passed over, it would count as absent. */
static bool take_section(struct arena *arena, const ldns_rr_list *list, enum dns_section section,
                         struct dns_message *message) {
    for (size_t i = 0; i < ldns_rr_list_rr_count(list); i++) {
        const ldns_rr *rr = ldns_rr_list_rr(list, i);
        if (ldns_rr_get_class(rr) != LDNS_RR_CLASS_IN || ldns_rr_get_type(rr) == LDNS_RR_TYPE_OPT)
            continue;
        if (!take_record(arena, rr, section, &message->records[message->count]))
            return false;
        message->count++;
    }
    return true;
}

static size_t skip_name(const uint8_t *wire, size_t length, size_t at) {
    while (at < length && wire[at] != 0 && wire[at] < 0x40)
        at += 1u + wire[at];
    return at + (at < length && wire[at] != 0 ? 2 : 1); /* a pointer, or the end */
}

static unsigned number_at(const uint8_t *wire, size_t at) {
    return (unsigned)wire[at] << 8 | wire[at + 1];
}

static unsigned count_records(const uint8_t *wire) {
    return number_at(wire, 6) + number_at(wire, 8) + number_at(wire, 10);
}

bool dns_is_too_large(const uint8_t *wire, size_t length) {
    return length >= 12 && count_records(wire) > DNS_RECORDS_MAX;
}

/* Before ldns sees it: records within bounds, and no TSIG among them. Nobody asked for one, and ldns loses
 * the memory of all but the last. */
static bool is_fit_for_ldns(const uint8_t *wire, size_t length) {
    if (length < 12)
        return false;
    unsigned questions = number_at(wire, 4), records = count_records(wire);
    size_t at = 12;
    if (records > DNS_RECORDS_MAX + 1) /* one may be OPT */
        return false;
    for (unsigned i = 0; i < questions && at < length; i++)
        at = skip_name(wire, length, at) + 4;
    for (unsigned i = 0; i < records; i++) {
        at = skip_name(wire, length, at);
        if (at + 10 > length || number_at(wire, at) == LDNS_RR_TYPE_TSIG)
            return false;
        at += 10 + number_at(wire, at + 8);
    }
    return at <= length;
}

struct dns_message *dns_parse(struct arena *arena, const uint8_t *wire, size_t length) {
    ldns_pkt *packet = NULL;
    struct dns_message *message = NULL;
    if (!is_fit_for_ldns(wire, length) || ldns_wire2pkt(&packet, wire, length) != LDNS_STATUS_OK)
        return NULL;
    const ldns_rr_list *sections[] = {ldns_pkt_answer(packet), ldns_pkt_authority(packet),
                                      ldns_pkt_additional(packet)};
    size_t total = 0;
    for (size_t i = 0; i < 3; i++)
        total += ldns_rr_list_rr_count(sections[i]);
    if (total > DNS_RECORDS_MAX) { /* what lies behind a bound must not count as absent */
        ldns_pkt_free(packet);
        return NULL;
    }
    message = arena_alloc(arena, sizeof *message);
    struct dns_record *records = arena_alloc(arena, (total + 1) * sizeof *records);
    uint8_t *copy = arena_copy(arena, wire, length);
    bool is_good = message != NULL && records != NULL && copy != NULL;
    if (is_good) {
        message->wire = (struct bytes){copy, length};
        message->rcode = (uint16_t)(ldns_pkt_get_rcode(packet) | ldns_pkt_edns_extended_rcode(packet) << 4);
        message->is_authoritative = ldns_pkt_aa(packet);
        message->is_truncated = ldns_pkt_tc(packet);
        message->records = records;
        for (size_t i = 0; is_good && i < 3; i++)
            is_good = take_section(arena, sections[i], (enum dns_section)i, message);
    }
    ldns_pkt_free(packet);
    return is_good ? message : NULL;
}

const struct dns_record *dns_find(const struct dns_message *message, int section, const char *owner,
                                  uint16_t type, const struct dns_record *after) {
    for (const struct dns_record *record = after == NULL ? message->records : after + 1;
         record < message->records + message->count; record++)
        if ((int)record->section == section && record->type == type && strcmp(record->owner, owner) == 0)
            return record;
    return NULL;
}

/* The first of an owner on the way from the zone to the name, of which one end does not count. */
static const struct dns_record *find_between(const struct dns_message *message, enum dns_section section,
                                             uint16_t type, const char *zone, const char *name,
                                             const char *without) {
    for (size_t i = 0; i < message->count; i++) {
        const struct dns_record *record = &message->records[i];
        if (record->section == section && record->type == type && strcmp(record->owner, without) != 0 &&
            dns_is_below(record->owner, zone) && dns_is_below(name, record->owner))
            return record;
    }
    return NULL;
}

const struct dns_record *dns_find_dname(const struct dns_message *message, const char *zone,
                                        const char *name) {
    return find_between(message, DNS_ANSWER, DNS_DNAME, zone, name, name);
}

const struct dns_record *dns_find_referral(const struct dns_message *message, const char *zone,
                                           const char *name) {
    return find_between(message, DNS_AUTHORITY, DNS_NS, zone, name, zone);
}

static bool has_word_of_its_own(const struct dns_message *message) {
    if (message->rcode != DNS_NOERROR)
        return true;
    for (size_t i = 0; i < message->count; i++) {
        const struct dns_record *record = &message->records[i];
        if (record->section == DNS_ANSWER || (record->section == DNS_AUTHORITY && record->type == DNS_SOA))
            return true;
    }
    return false;
}

const struct dns_record *dns_take_referral(const struct dns_message *message, const char *zone,
                                           const char *name) {
    return message->is_authoritative && has_word_of_its_own(message) ? NULL
                                                                     : dns_find_referral(message, zone, name);
}

bool dns_is_below(const char *name, const char *zone) {
    size_t length = strlen(name), zone_length = strlen(zone);
    if (zone_length == 0)
        return true;
    /* An escaped dot is inside a label: "x\.shop.test" is one below "test", not below "shop.test". */
    bool is_inside_label = length >= zone_length + 2 && name[length - zone_length - 2] == '\\';
    return !is_inside_label && name_is_below(name, zone);
}
