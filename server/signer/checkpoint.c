/* File: magic, format, sections {tag, length, bytes}, MAC. Numbers are big-endian. A section that is not
 * known, missing or there twice makes the file useless: whoever adds one counts the format up. */
#include "checkpoint.h"

#include <stdlib.h>
#include <string.h>

#include "state_file.h"

#define MAGIC "originca checkpoint\n"
#define MAGIC_BYTES (sizeof MAGIC - 1)
#define FORMAT 7 /* 7: also which keys the names of issuers stand for */
#define HEAD_BYTES (MAGIC_BYTES + 4)
#define SECTION_HEAD 12 /* tag, length */
#define ATTEMPT_BYTES (SHA256_BYTES + 1 + SERIAL_BYTES + 4 * 8)
#define ID_BYTES 32
#define HOST_BYTES 64
#define POSITION_BYTES (ID_BYTES + HOST_BYTES + 4 * 8 + LEDGER_HASH_BYTES + 8)

enum section {
    SECTION_POSITION,
    SECTION_SIGNING,
    SECTION_ATTEMPTS,
    SECTION_REVOKED,
    SECTION_ZONES,
    SECTION_LISTS,
    SECTION_NAMES,
    SECTION_COUNT
};
static const char *const tags[SECTION_COUNT] = {"posn", "sign", "atmp", "rvkd", "zone", "list", "issr"};

/* --- writing --- */

static uint8_t *put_number(uint8_t *at, uint64_t value, size_t bytes) {
    for (size_t i = 0; i < bytes; i++)
        at[i] = (uint8_t)(value >> (8 * (bytes - 1 - i)));
    return at + bytes;
}

static uint8_t *put_bytes(uint8_t *at, const void *bytes, size_t length) {
    if (length > 0)
        memcpy(at, bytes, length);
    return at + length;
}

static uint8_t *begin_section(uint8_t *at, enum section section, size_t length) {
    return put_number(put_bytes(at, tags[section], 4), length, 8);
}

static uint8_t *put_position(uint8_t *at, const struct ledger_position *position) {
    memset(at, 0, ID_BYTES + HOST_BYTES);
    memcpy(at, position->ledger_id, strlen(position->ledger_id));
    memcpy(at + ID_BYTES, position->host, strlen(position->host));
    at = put_number(at + ID_BYTES + HOST_BYTES, position->segment, 8);
    at = put_number(put_number(at, position->line, 8), position->offset, 8);
    at = put_bytes(put_number(at, position->sequence, 8), position->hash, LEDGER_HASH_BYTES);
    return put_number(at, (uint64_t)position->time_ms, 8);
}

static uint8_t *put_attempt(uint8_t *at, const struct attempt *attempt) {
    at = put_bytes(at, attempt->id, SHA256_BYTES);
    at = put_number(at, (uint64_t)attempt->outcome, 1);
    at = put_bytes(at, attempt->serial, SERIAL_BYTES);
    at = put_number(put_number(at, (uint64_t)attempt->not_before, 8), (uint64_t)attempt->not_after, 8);
    return put_number(put_number(at, attempt->intent_sequence, 8), attempt->issued_sequence, 8);
}

static uint8_t *put_attempts(uint8_t *at, const struct attempts *attempts, size_t count) {
    at = begin_section(at, SECTION_ATTEMPTS, count * ATTEMPT_BYTES);
    for (size_t i = 0; i < count; i++)
        at = put_attempt(at, attempts_get(attempts, i));
    return at;
}

uint8_t *checkpoint_make(const struct ledger_position *position, bool is_stopped,
                         const struct checkpoint_memories *memories, size_t *length) {
    size_t attempts = 0, revoked_bytes = revoked_count(memories->revoked) * REVOKED_ENTRY_BYTES;
    size_t zone_bytes = zones_saved_length(memories->zones),
           list_bytes = crl_lists_saved_length(memories->lists),
           name_bytes = issuer_names_saved_length(memories->names);
    while (attempts_get(memories->attempts, attempts) != NULL)
        attempts++;
    *length = HEAD_BYTES + SECTION_COUNT * SECTION_HEAD + POSITION_BYTES + 1 + attempts * ATTEMPT_BYTES +
              revoked_bytes + zone_bytes + list_bytes + name_bytes;
    uint8_t *bytes = malloc(*length + SHA256_BYTES), *at = bytes;
    if (bytes == NULL)
        return NULL;
    at = put_number(put_bytes(at, MAGIC, MAGIC_BYTES), FORMAT, 4);
    at = put_position(begin_section(at, SECTION_POSITION, POSITION_BYTES), position);
    at = put_number(begin_section(at, SECTION_SIGNING, 1), is_stopped, 1);
    at = put_attempts(at, memories->attempts, attempts);
    at = put_bytes(begin_section(at, SECTION_REVOKED, revoked_bytes), revoked_entries(memories->revoked),
                   revoked_bytes);
    at = begin_section(at, SECTION_ZONES, zone_bytes);
    zones_save(memories->zones, at);
    at = begin_section(at + zone_bytes, SECTION_LISTS, list_bytes);
    crl_lists_save(memories->lists, at);
    issuer_names_save(memories->names, begin_section(at + list_bytes, SECTION_NAMES, name_bytes));
    return bytes;
}

/* --- files --- */

bool checkpoint_save(const char *directory, const uint8_t key[CHECKPOINT_KEY_BYTES], uint8_t *bytes,
                     size_t length, struct error *error) {
    hmac_sha256(key, CHECKPOINT_KEY_BYTES, bytes, length, bytes + length);
    return state_file_write(directory, "checkpoint", bytes, length + SHA256_BYTES, error);
}

bool checkpoint_load_key(const char *directory, uint8_t key[CHECKPOINT_KEY_BYTES], struct error *error) {
    size_t length = 0;
    uint8_t *bytes = state_file_read(directory, "checkpoint.key", &length, error);
    bool is_there = bytes != NULL && length == CHECKPOINT_KEY_BYTES;
    if (is_there)
        memcpy(key, bytes, CHECKPOINT_KEY_BYTES);
    else if (bytes != NULL)
        error_set(error, ERROR_NOT_FOUND, "%s/checkpoint.key holds no key", directory);
    free(bytes);
    return is_there;
}

bool checkpoint_make_key(const char *directory, uint8_t key[CHECKPOINT_KEY_BYTES], struct error *error) {
    random_bytes(key, CHECKPOINT_KEY_BYTES);
    return state_file_write(directory, "checkpoint.key", key, CHECKPOINT_KEY_BYTES, error);
}

uint8_t *checkpoint_read(const char *directory, const uint8_t key[CHECKPOINT_KEY_BYTES], size_t *length,
                         struct error *error) {
    uint8_t mac[SHA256_BYTES];
    uint8_t *bytes = state_file_read(directory, "checkpoint", length, error);
    if (bytes == NULL)
        return NULL;
    bool is_ours = *length > HEAD_BYTES + SHA256_BYTES;
    if (is_ours) {
        *length -= SHA256_BYTES;
        hmac_sha256(key, CHECKPOINT_KEY_BYTES, bytes, *length, mac);
        is_ours = bytes_equal_secret(mac, bytes + *length, SHA256_BYTES);
    }
    if (is_ours)
        return bytes;
    free(bytes);
    error_set(error, ERROR_INVALID, "%s/checkpoint is damaged or was not written by this signer", directory);
    return NULL;
}

/* --- reading --- */

static uint64_t get_number(const uint8_t *at, size_t bytes) {
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; i++)
        value = value << 8 | at[i];
    return value;
}

static bool find_sections(const uint8_t *bytes, size_t length, struct bytes sections[SECTION_COUNT]) {
    size_t found = 0;
    for (size_t at = HEAD_BYTES; at < length; found++) {
        if (length - at < SECTION_HEAD)
            return false;
        uint64_t size = get_number(bytes + at + 4, 8);
        size_t section = 0;
        while (section < SECTION_COUNT && memcmp(tags[section], bytes + at, 4) != 0)
            section++;
        at += SECTION_HEAD;
        if (section == SECTION_COUNT || sections[section].data != NULL || size > length - at)
            return false;
        sections[section] = (struct bytes){bytes + at, (size_t)size};
        at += (size_t)size;
    }
    return found == SECTION_COUNT;
}

static bool read_position(struct bytes section, struct ledger_position *position) {
    const uint8_t *at = section.data;
    if (section.length != POSITION_BYTES)
        return false;
    memcpy(position->ledger_id, at, ID_BYTES);
    memcpy(position->host, at + ID_BYTES, HOST_BYTES);
    at += ID_BYTES + HOST_BYTES;
    position->segment = get_number(at, 8);
    position->line = get_number(at + 8, 8);
    position->offset = get_number(at + 16, 8);
    position->sequence = get_number(at + 24, 8);
    memcpy(position->hash, at + 32, LEDGER_HASH_BYTES);
    position->time_ms = (int64_t)get_number(at + 32 + LEDGER_HASH_BYTES, 8);
    return position->line < position->offset && position->offset <= INT64_MAX &&
           position->segment <= position->sequence && strlen(position->ledger_id) == ID_BYTES;
}

bool checkpoint_parse(const uint8_t *bytes, size_t length, struct checkpoint *out, struct error *error) {
    struct bytes sections[SECTION_COUNT] = {{0}};
    *out = (struct checkpoint){.is_stopped = false};
    if (length < HEAD_BYTES || memcmp(bytes, MAGIC, MAGIC_BYTES) != 0)
        return error_set(error, ERROR_INVALID, "the file is no checkpoint");
    uint64_t format = get_number(bytes + MAGIC_BYTES, 4);
    if (format != FORMAT)
        return error_set(error, ERROR_INVALID, "the checkpoint has format %llu, not %d",
                         (unsigned long long)format, FORMAT);
    if (!find_sections(bytes, length, sections) ||
        !read_position(sections[SECTION_POSITION], &out->position) || sections[SECTION_SIGNING].length != 1 ||
        sections[SECTION_SIGNING].data[0] > 1 || sections[SECTION_ATTEMPTS].length % ATTEMPT_BYTES != 0 ||
        sections[SECTION_REVOKED].length % REVOKED_ENTRY_BYTES != 0)
        return error_set(error, ERROR_INVALID, "the checkpoint's sections are not what they should be");
    out->is_stopped = sections[SECTION_SIGNING].data[0] == 1;
    out->attempts = sections[SECTION_ATTEMPTS].data;
    out->attempt_count = sections[SECTION_ATTEMPTS].length / ATTEMPT_BYTES;
    out->revoked = sections[SECTION_REVOKED].data;
    out->revoked_count = sections[SECTION_REVOKED].length / REVOKED_ENTRY_BYTES;
    out->zones = sections[SECTION_ZONES];
    out->lists = sections[SECTION_LISTS];
    out->names = sections[SECTION_NAMES];
    return true;
}

static bool read_attempt(const uint8_t *at, struct attempt *attempt) {
    *attempt = (struct attempt){.outcome = SIGNER_ATTEMPT_UNKNOWN};
    memcpy(attempt->id, at, SHA256_BYTES);
    at += SHA256_BYTES;
    if (*at > SIGNER_ATTEMPT_VOID)
        return false;
    attempt->outcome = (enum signer_attempt_outcome) * at++;
    memcpy(attempt->serial, at, SERIAL_BYTES);
    at += SERIAL_BYTES;
    attempt->not_before = (time_t)get_number(at, 8);
    attempt->not_after = (time_t)get_number(at + 8, 8);
    attempt->intent_sequence = get_number(at + 16, 8);
    attempt->issued_sequence = get_number(at + 24, 8);
    return true;
}

/* False where a revocation is of a list that the checkpoint has not. */
static bool note_lists(const struct revoked *revoked, struct crl_lists *lists) {
    for (size_t at = 0; at < revoked_count(revoked); at++) {
        uint8_t serial[SERIAL_BYTES];
        struct revoked_serial entry;
        revoked_get(revoked, at, serial, &entry);
        if (entry.list > crl_lists_count(lists))
            return false;
        crl_lists_note_revoked(lists, entry.list, entry.revoked_at);
    }
    return true;
}

bool checkpoint_apply(const struct checkpoint *checkpoint, const struct checkpoint_memories *memories,
                      struct error *error) {
    for (size_t i = 0; i < checkpoint->attempt_count; i++) {
        struct attempt attempt;
        if (!read_attempt(checkpoint->attempts + i * ATTEMPT_BYTES, &attempt))
            return error_set(error, ERROR_INVALID, "attempt %zu of the checkpoint has no known outcome", i);
        attempts_restore(memories->attempts, &attempt);
    }
    if (!revoked_load(memories->revoked, checkpoint->revoked, checkpoint->revoked_count))
        return error_set(error, ERROR_INVALID, "the checkpoint's revocations cannot be loaded");
    if (!crl_lists_load(memories->lists, checkpoint->lists.data, checkpoint->lists.length))
        return error_set(error, ERROR_INVALID, "the checkpoint's revocation lists cannot be loaded");
    if (!note_lists(memories->revoked, memories->lists))
        return error_set(error, ERROR_INVALID, "the checkpoint's revocations are of lists that it has not");
    if (!issuer_names_load(memories->names, checkpoint->names.data, checkpoint->names.length))
        return error_set(error, ERROR_INVALID, "the checkpoint's issuers cannot be loaded");
    return zones_load(memories->zones, checkpoint->zones.data, checkpoint->zones.length) ||
           error_set(error, ERROR_INVALID, "the checkpoint's zones cannot be loaded");
}
