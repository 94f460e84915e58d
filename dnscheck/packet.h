/* DNS messages: building queries and parsing answers once into plain structs (RFC 1035, RFC 6891). ldns stays
 * behind this. */
#pragma once

#include <netinet/in.h>

#include "originca/text.h"

#define DNS_NAME_MAX 254 /* presentation form, lower case, no final dot; "" is the root */
#define DNS_QUERY_MAX 512
#define DNS_EDNS_SIZE 1232
#define DNS_RECORDS_MAX 256 /* of a message, but for OPT */

enum dns_type {
    DNS_A = 1,
    DNS_NS = 2,
    DNS_CNAME = 5,
    DNS_SOA = 6,
    DNS_TXT = 16,
    DNS_AAAA = 28,
    DNS_DNAME = 39,
    DNS_DS = 43,
    DNS_RRSIG = 46,
    DNS_NSEC = 47,
    DNS_DNSKEY = 48,
    DNS_NSEC3 = 50,
    DNS_CAA = 257
};
enum dns_rcode {
    DNS_NOERROR = 0,
    DNS_FORMERR = 1,
    DNS_SERVFAIL = 2,
    DNS_NXDOMAIN = 3,
    DNS_NOTIMP = 4,
    DNS_REFUSED = 5,
    DNS_NOTAUTH = 9,
    DNS_BADVERS = 16,
    DNS_BADCOOKIE = 23
};
enum dns_section { DNS_ANSWER, DNS_AUTHORITY, DNS_ADDITIONAL };

struct dns_record {
    enum dns_section section;
    const char *owner; /* lower case */
    uint16_t type;
    uint32_t ttl;
    const char *target;    /* NS, CNAME, DNAME: lower case */
    uint8_t address[16];   /* A: 4 bytes, AAAA: 16 */
    struct bytes text;     /* TXT: all strings joined; CAA: the value */
    uint8_t flags;         /* CAA */
    const char *tag;       /* CAA: lower case */
    const char *text_form; /* "owner ttl type rdata", bounded, for the evidence */
};

struct dns_message {
    uint16_t rcode; /* with the extended bits */
    bool is_authoritative, is_truncated;
    struct dns_record *records;
    size_t count;
    struct bytes wire; /* a copy: signatures are verified over it */
};

/* A query with this id; letters of the name get random case (0x20). Returns the length, 0 on failure. */
size_t dns_build_query(uint8_t out[DNS_QUERY_MAX], uint16_t id, const char *name, uint16_t type,
                       bool with_edns, bool wants_signatures);
/* Is `answer` a response to exactly `query`: id, QR, opcode, one question, the same bytes? Letter case is
 * included unless `ignores_case`, which is for TCP: there the handshake has proven the address. */
bool dns_matches(const uint8_t *query, size_t query_length, const uint8_t *answer, size_t answer_length,
                 bool ignores_case);
/* NULL where it is no message, or one of too many records. */
struct dns_message *dns_parse(struct arena *arena, const uint8_t *wire, size_t length);
/* Is that why? */
bool dns_is_too_large(const uint8_t *wire, size_t length);

const char *dns_type_name(uint16_t type);
const char *dns_rcode_name(uint16_t rcode, char out[16]);
/* The record of that owner, type and section after `after` (NULL: the first). */
const struct dns_record *dns_find(const struct dns_message *message, int section, const char *owner,
                                  uint16_t type, const struct dns_record *after);
/* The DNAME in the answer, of an owner in the zone, that redirects `name` (RFC 6672 2.2). */
const struct dns_record *dns_find_dname(const struct dns_message *message, const char *zone,
                                        const char *name);
/* The first NS record of a referral to where `name` is: in the authority section, of an owner below the zone
 * whose servers were asked, above the name or at it. */
const struct dns_record *dns_find_referral(const struct dns_message *message, const char *zone,
                                           const char *name);
/* As dns_find_referral, but of a message with authority NULL where it answers or denies something itself:
 * some servers set AA in their referrals, which answer nothing and bear no SOA record (RFC 2308 2.2). */
const struct dns_record *dns_take_referral(const struct dns_message *message, const char *zone,
                                           const char *name);
/* Is `name` the zone or below it? Everything is below the root "". */
bool dns_is_below(const char *name, const char *zone);
