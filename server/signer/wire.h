/* The form of messages between workers and signer: fields one after the other, big-endian, strings and byte
 * strings with a four-byte length. Reading is strict: a field that does not fit marks the reader as failed
 * and gives empty values. */
#pragma once

#include "originca/text.h"

enum message_type {
    MESSAGE_SIGN = 1,
    MESSAGE_REVOKE,
    MESSAGE_ATTEMPT,
    MESSAGE_READ,
    MESSAGE_STATUS,
    MESSAGE_SET_SIGNING,
    MESSAGE_CONFIRM_LOSS,
    MESSAGE_CHECK_POSITION,
    MESSAGE_RETRY_TOKEN,
    MESSAGE_CHANGE_RIGHTS,
    MESSAGE_LIST_ZONES,
    MESSAGE_CRL_BEGIN, /* a list of revocations: what it is, its entries in pieces, its signature */
    MESSAGE_CRL_ENTRIES,
    MESSAGE_CRL_SIGN,
    MESSAGE_SIGN_OCSP,
    MESSAGE_LIST_CRLS,
    MESSAGE_FIND_LEFT,
    MESSAGE_LIST_REVOKED,
    MESSAGE_FIND_REVOKED,
    MESSAGE_TYPES
};

/* Every frame: u32 length of the rest | u64 call id | u8 type | fields. Replies: the type is enum error_code;
 * where it is not ERROR_NONE one string, the message, follows. */
#define FRAME_HEAD 13

#define CRL_ENTRY_WIRE_BYTES (SERIAL_BYTES + 4 + 1) /* serial, seconds since 1970, reason */

struct wire_writer {
    struct text text;
};
void wire_begin(struct wire_writer *writer, struct arena *arena, uint64_t call, uint8_t type);
void wire_put_u8(struct wire_writer *writer, uint8_t value);
void wire_put_u32(struct wire_writer *writer, uint32_t value);
void wire_put_u64(struct wire_writer *writer, uint64_t value);
void wire_put_bytes(struct wire_writer *writer, const void *bytes, size_t length);
void wire_put_string(struct wire_writer *writer, const char *text); /* NULL is "" */
/* Fills in the length; NULL when out of memory or larger than SIGNER_FRAME_MAX. */
const char *wire_finish(struct wire_writer *writer, size_t *length);

struct wire_reader {
    struct arena *arena;
    struct bytes rest;
    bool failed;
};
uint8_t wire_get_u8(struct wire_reader *reader);
uint32_t wire_get_u32(struct wire_reader *reader);
uint64_t wire_get_u64(struct wire_reader *reader);
struct bytes wire_get_bytes(struct wire_reader *reader);
const char *wire_get_string(struct wire_reader *reader); /* copied into the arena; no NUL inside */
/* A count of items that each take at least `item_min` bytes of what is left. */
uint32_t wire_get_count(struct wire_reader *reader, size_t item_min);
/* True where everything fitted and nothing is left. */
bool wire_is_complete(const struct wire_reader *reader);
