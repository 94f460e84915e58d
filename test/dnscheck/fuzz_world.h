/* A small honest DNS tree for the fuzz target of the check: root, test., and zones below it, signed or not,
 * with NSEC or NSEC3. Signatures are sums that only the tree makes, so that whoever changes what is signed is
 * found out as with real keys, at a fraction of the cost. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FUZZ_RECORDS_MAX 64
#define FUZZ_RDATA_MAX 320
#define FUZZ_NAME_MAX 256
#define FUZZ_WIRE_MAX 65535

struct fuzz_record {
    uint8_t section; /* 0 answer, 1 authority, 2 additional */
    uint8_t repeat;  /* it is written 1 + this often */
    uint16_t type, length;
    uint32_t ttl;
    char owner[FUZZ_NAME_MAX];
    uint8_t data[FUZZ_RDATA_MAX];
};

struct fuzz_answer {
    struct fuzz_record records[FUZZ_RECORDS_MAX];
    size_t count;
    uint8_t rcode;
    bool is_authoritative, is_truncated;
};

struct fuzz_world {
    bool is_shop_signed, has_nsec3, has_opt_out;
};

/* What the server at 192.0.2.<server> says honestly; appended to `answer`. */
void fuzz_world_resolve(const struct fuzz_world *world, uint8_t server, const char *name, uint16_t type,
                        struct fuzz_answer *answer);
/* The message with its question; the length, 0 where it does not fit. */
size_t fuzz_world_write(const struct fuzz_answer *answer, const char *name, uint16_t type,
                        uint8_t out[FUZZ_WIRE_MAX]);
size_t fuzz_world_put_name(uint8_t *out, size_t room, const char *name); /* 0: does not fit */
/* The sum that signs a set: of the key, the RRSIG's data before the signature, the owner as signed, and the
 * sum over the records' own sums. */
uint64_t fuzz_world_sum(const uint8_t *bytes, size_t length, uint64_t start);
uint64_t fuzz_world_seal(uint64_t key, uint64_t head, uint64_t owner, uint64_t records);
/* Data of a zone's key, and the DS record's for it. */
size_t fuzz_world_key(const char *zone, uint8_t out[FUZZ_RDATA_MAX]);
size_t fuzz_world_ds(const char *zone, uint8_t out[FUZZ_RDATA_MAX]);
