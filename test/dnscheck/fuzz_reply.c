/* A reply is one record of content and the number; then its head or its end is spoilt. */
#include "fuzz_reply.h"

#include <string.h>

#include "../../dnscheck/packet.h"

#pragma clang attribute push(__attribute__((no_sanitize("coverage"))), apply_to = function)

static size_t put_record(uint8_t *out, bool at_root, uint16_t type, const void *data, uint8_t length) {
    const uint8_t owner[] = {0xC0, 12}; /* the question's name */
    const uint8_t head[] = {(uint8_t)(type >> 8), (uint8_t)type, 0, 1, 0, 0, 0, 60, 0, length};
    size_t at = at_root ? 1 : 2;
    memcpy(out, owner, 2);
    if (at_root)
        out[0] = 0;
    memcpy(out + at, head, sizeof head);
    memcpy(out + at + sizeof head, data, length);
    return at + sizeof head + length;
}

static size_t put_content(uint8_t *message, size_t at, enum fuzz_content content) {
    static const uint8_t soa[24] = {0xC0, 12, 0xC0, 12, [23] = 60};
    if (content == ANSWER || content == ALIAS_TO_NOTHING) {
        message[7] = 1;
        return at + put_record(message + at, false, content == ANSWER ? DNS_TXT : DNS_CNAME, "\1x",
                               content == ANSWER ? 2 : 3);
    }
    message[9] = 1;
    return at + (content == REFERRAL ? put_record(message + at, false, DNS_NS, "\xC0\x0C", 2)
                                     : put_record(message + at, false, DNS_SOA, soa, sizeof soa));
}

static size_t spoil_end(uint8_t *message, size_t at, enum fuzz_spoil spoil, uint8_t (*take)(void)) {
    static const uint8_t badvers[] = {0, 0, 41, 4, 0xD0, 1, 0, 0, 0, 0, 0};
    if (spoil == IS_BADVERS) {
        message[11]++;
        memcpy(message + at, badvers, sizeof badvers);
        at += sizeof badvers;
    } else if (spoil == HAS_TOO_MANY_RECORDS) {
        message[10] = 1;
        for (unsigned i = 1; i < 257; i++)
            at += put_record(message + at, true, DNS_A, "\177\0\0\1", 4);
    } else if (spoil == HAS_GARBAGE) {
        message[11] += take() % 8;
        for (size_t left = take() % 64; left > 0; left--)
            message[at++] = take();
    } else if (spoil == IS_SHORT) {
        at = take() % 12;
    } else if (spoil == IS_EMPTY) {
        at = 0;
    }
    return at;
}

static void spoil_head(uint8_t *message, size_t question_end, enum fuzz_spoil spoil) {
    static const uint8_t rcodes[] = {[IS_SERVFAIL] = DNS_SERVFAIL,
                                     [IS_REFUSED] = DNS_REFUSED,
                                     [IS_FORMERR] = DNS_FORMERR,
                                     [IS_BARE_FORMERR] = DNS_FORMERR,
                                     [IS_NOTIMP] = DNS_NOTIMP};
    if (spoil >= IS_SERVFAIL && spoil <= IS_NOTIMP)
        message[3] = rcodes[spoil];
    else if (spoil == IS_BADVERS)
        message[3] = 0;
    message[2] |= spoil == IS_TRUNCATED ? 2 : spoil == HAS_OTHER_OPCODE ? 0x28 : 0;
    message[2] &= spoil == IS_QUERY ? 0x7F : 0xFF;
    message[1] ^= spoil == HAS_WRONG_ID;
    message[13] ^= spoil == HAS_WRONG_CASE ? 0x20 : spoil == HAS_WRONG_NAME; /* of the root: its type */
    message[question_end - 3] ^= spoil == HAS_WRONG_TYPE;
    message[question_end - 1] ^= spoil == HAS_WRONG_CLASS ? 2 : 0;
    message[5] = spoil == IS_BARE_FORMERR || spoil == HAS_NO_QUESTION ? 0
                 : spoil == HAS_TWO_QUESTIONS                         ? 2
                                                                      : 1;
}

size_t fuzz_reply_write(const uint8_t *sent, enum fuzz_content content, enum fuzz_spoil spoil,
                        unsigned number, uint8_t (*take)(void), uint8_t *message) {
    const uint8_t address[4] = {127, 0, (uint8_t)(number >> 8), (uint8_t)number};
    size_t at = 12;
    while (sent[at] != 0)
        at += 1u + sent[at];
    at += 5;
    memcpy(message, sent, at);
    memset(message + 4, 0, 8);
    message[2] = content == REFERRAL || content == LAME ? 0x80 : 0x84;
    message[3] = content == NXDOMAIN || content == ALIAS_TO_NOTHING ? DNS_NXDOMAIN : 0;
    spoil_head(message, at, spoil);
    if (spoil == IS_BARE_FORMERR || spoil == HAS_NO_QUESTION)
        at = 12;
    else
        at = put_content(message, at, content);
    message[11] = 1;
    at += put_record(message + at, true, DNS_A, address, 4);
    return spoil_end(message, at, spoil, take);
}

static bool is_letter(uint8_t byte) {
    return (byte | 0x20) >= 'a' && (byte | 0x20) <= 'z';
}

static bool is_same_question(const uint8_t *a, const uint8_t *b, size_t length, bool ignores_case) {
    for (size_t i = 0; i < length; i++)
        if (a[i] != b[i] && !(ignores_case && is_letter(a[i]) && (a[i] ^ b[i]) == 0x20))
            return false;
    return true;
}

bool fuzz_reply_matches(const uint8_t *sent, const uint8_t *message, size_t length, bool ignores_case) {
    size_t end = 12;
    while (sent[end] != 0)
        end += 1u + sent[end];
    if (length < 12 || (message[2] & 0xF8) != 0x80 || memcmp(sent, message, 2) != 0)
        return false;
    unsigned questions = (unsigned)message[4] << 8 | message[5], rcode = message[3] & 15;
    if (questions == 0)
        return rcode == DNS_FORMERR || rcode == DNS_NOTIMP;
    return questions == 1 && length >= end + 5 &&
           is_same_question(sent + 12, message + 12, end + 5 - 12, ignores_case);
}
#pragma clang attribute pop
