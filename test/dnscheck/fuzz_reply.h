/* What the name servers of the transport's fuzz target answer, right or spoilt. Each message carries a
 * number, as the address 127.0.x.y of the first additional record. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum fuzz_content {
    ANSWER,
    REFERRAL,
    NXDOMAIN,
    NODATA,
    ALIAS_TO_NOTHING, /* NXDOMAIN with an answer */
    LAME,             /* no data, and not with authority */
    FUZZ_CONTENTS
};
enum fuzz_spoil {
    IS_RIGHT,
    IS_SERVFAIL,
    IS_REFUSED,
    IS_FORMERR,
    IS_BARE_FORMERR, /* without the question */
    IS_NOTIMP,
    IS_BADVERS,
    IS_TRUNCATED,
    HAS_WRONG_ID,
    HAS_WRONG_CASE,
    HAS_WRONG_NAME,
    HAS_WRONG_TYPE,
    HAS_WRONG_CLASS,
    IS_QUERY,
    HAS_OTHER_OPCODE,
    HAS_TWO_QUESTIONS,
    HAS_NO_QUESTION,
    HAS_GARBAGE, /* at its end */
    HAS_TOO_MANY_RECORDS,
    IS_SHORT,
    IS_EMPTY,     /* TCP: the server closes */
    IS_ELSEWHERE, /* an answer to what was sent over another socket */
    GETS_REFUSED,
    GETS_UNREACHABLE,
    GETS_NOTHING,
    GETS_INTERRUPTED,
    SPOILS
};

/* The message for a query as it was sent; its length. `take` gives bytes of the input, for garbage. */
size_t fuzz_reply_write(const uint8_t *sent, enum fuzz_content content, enum fuzz_spoil spoil,
                        unsigned number, uint8_t (*take)(void), uint8_t *message);
/* The rule of dns_matches in its own words. */
bool fuzz_reply_matches(const uint8_t *sent, const uint8_t *message, size_t length, bool ignores_case);
