/* A dense array of packed entries and an open-addressing index over it. */
#include "revoked.h"

#include <stdlib.h>
#include <string.h>

#include "originca/signer.h"

#define FIRST_INDEX 1024
#define TIME_BYTES 5
#define SEQUENCE_BYTES 6
#define END_BYTES 4
#define LIST_BYTES 3
#define AT_TIME SERIAL_BYTES
#define AT_SEQUENCE (AT_TIME + TIME_BYTES)
#define AT_KIND (AT_SEQUENCE + SEQUENCE_BYTES) /* reason, whether it is void, rank: 4, 1, 2 bits */
#define AT_END (AT_KIND + 1)
#define AT_LIST (AT_END + END_BYTES)
#define VOID 4
_Static_assert(AT_LIST + LIST_BYTES == REVOKED_ENTRY_BYTES, "the fields are the entry");

struct revoked {
    uint8_t *entries;
    uint32_t *index; /* number of the entry + 1; 0: free */
    size_t count, capacity, index_size, void_count;
    uint64_t secret[2]; /* a worker chooses the serials it revokes: it must not choose their places */
};

static void put_number(uint8_t *out, uint64_t value, size_t bytes) {
    for (size_t i = 0; i < bytes; i++)
        out[i] = (uint8_t)(value >> (8 * (bytes - 1 - i)));
}

static uint64_t get_number(const uint8_t *at, size_t bytes) {
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; i++)
        value = value << 8 | at[i];
    return value;
}

static uint8_t *entry_at(const struct revoked *revoked, size_t at) {
    return revoked->entries + at * REVOKED_ENTRY_BYTES;
}

static size_t place_of(const struct revoked *revoked, const uint8_t serial[SERIAL_BYTES]) {
    uint64_t a, b;
    memcpy(&a, serial, sizeof a);
    memcpy(&b, serial + sizeof a, sizeof b);
    uint64_t mixed = (a ^ revoked->secret[0]) * 0x9e3779b97f4a7c15u;
    mixed = (mixed ^ mixed >> 32 ^ b ^ revoked->secret[1]) * 0xd6e8feb86659fd93u;
    return (size_t)(mixed ^ mixed >> 32) & (revoked->index_size - 1);
}

/* Of the serial's entry, or the free one where it belongs. */
static size_t find_place(const struct revoked *revoked, const uint8_t serial[SERIAL_BYTES]) {
    size_t at = place_of(revoked, serial);
    while (revoked->index[at] != 0 &&
           memcmp(entry_at(revoked, revoked->index[at] - 1), serial, SERIAL_BYTES) != 0)
        at = (at + 1) & (revoked->index_size - 1);
    return at;
}

struct revoked *revoked_new(void) {
    struct revoked *revoked = calloc(1, sizeof *revoked);
    if (revoked == NULL)
        return NULL;
    random_bytes(revoked->secret, sizeof revoked->secret);
    revoked->index_size = FIRST_INDEX;
    revoked->index = calloc(revoked->index_size, sizeof *revoked->index);
    if (revoked->index == NULL) {
        free(revoked);
        return NULL;
    }
    return revoked;
}

void revoked_free(struct revoked *revoked) {
    if (revoked == NULL)
        return;
    free(revoked->entries);
    free(revoked->index);
    free(revoked);
}

/* At most three quarters of the index are taken. */
static bool make_index(struct revoked *revoked, size_t wanted) {
    size_t size = revoked->index_size;
    while (size / 4 * 3 < wanted)
        size *= 2;
    if (size == revoked->index_size)
        return true;
    uint32_t *index = calloc(size, sizeof *index);
    if (index == NULL)
        return false;
    free(revoked->index);
    revoked->index = index;
    revoked->index_size = size;
    for (size_t i = 0; i < revoked->count; i++)
        revoked->index[find_place(revoked, entry_at(revoked, i))] = (uint32_t)i + 1;
    return true;
}

static bool make_room(struct revoked *revoked, size_t wanted) {
    if (wanted > UINT32_MAX - 1)
        return false;
    if (wanted > revoked->capacity) {
        size_t capacity = revoked->capacity + revoked->capacity / 4 + 256;
        if (capacity < wanted)
            capacity = wanted;
        uint8_t *larger = realloc(revoked->entries, capacity * REVOKED_ENTRY_BYTES);
        if (larger == NULL)
            return false;
        revoked->entries = larger;
        revoked->capacity = capacity;
    }
    return make_index(revoked, wanted);
}

static void pack(uint8_t *out, const uint8_t *serial, const struct revoked_serial *entry) {
    memcpy(out, serial, SERIAL_BYTES);
    put_number(out + AT_TIME, (uint64_t)entry->revoked_at, TIME_BYTES);
    put_number(out + AT_SEQUENCE, entry->sequence, SEQUENCE_BYTES);
    out[AT_KIND] = (uint8_t)(entry->reason << 4 | (entry->is_void ? VOID : 0) | (uint32_t)entry->rank);
    put_number(out + AT_END, entry->not_after > UINT32_MAX ? UINT32_MAX : (uint64_t)entry->not_after,
               END_BYTES);
    put_number(out + AT_LIST, entry->list, LIST_BYTES);
}

/* What counts of two words about one serial. */
static struct revoked_serial merge(const struct revoked_serial *before, const struct revoked_serial *entry) {
    bool is_revoked_now = before->is_void && !entry->is_void;
    struct revoked_serial merged = is_revoked_now ? *entry : *before;
    if (!before->is_void && !entry->is_void && entry->rank > before->rank) {
        merged.rank = entry->rank;
        merged.reason = entry->reason;
        merged.sequence = entry->sequence;
    }
    /* The first word on the certificate counts: a void one's is the signer's own. */
    merged.not_after = before->not_after != 0 ? before->not_after : entry->not_after;
    merged.list = before->list != 0 ? before->list : entry->list;
    return merged;
}

bool revoked_put(struct revoked *revoked, const uint8_t serial[SERIAL_BYTES],
                 const struct revoked_serial *entry) {
    struct revoked_serial before;
    if (revoked_find(revoked, serial, &before)) {
        bool was_void = before.is_void;
        before = merge(&before, entry);
        revoked->void_count -= was_void && !before.is_void;
        pack(entry_at(revoked, revoked->index[find_place(revoked, serial)] - 1), serial, &before);
        return true;
    }
    if (!make_room(revoked, revoked->count + 1))
        return false;
    size_t place = find_place(revoked, serial);
    pack(entry_at(revoked, revoked->count), serial, entry);
    revoked->index[place] = (uint32_t)++revoked->count;
    revoked->void_count += entry->is_void;
    return true;
}

bool revoked_find(const struct revoked *revoked, const uint8_t serial[SERIAL_BYTES],
                  struct revoked_serial *out) {
    uint32_t found = revoked->index[find_place(revoked, serial)];
    uint8_t same[SERIAL_BYTES];
    if (found != 0)
        revoked_get(revoked, found - 1, same, out);
    return found != 0;
}

bool revoked_place(const struct revoked *revoked, const uint8_t serial[SERIAL_BYTES], size_t *at) {
    uint32_t found = revoked->index[find_place(revoked, serial)];
    *at = found == 0 ? 0 : found - 1;
    return found != 0;
}

size_t revoked_count(const struct revoked *revoked) {
    return revoked->count;
}

size_t revoked_count_void(const struct revoked *revoked) {
    return revoked->void_count;
}

void revoked_get(const struct revoked *revoked, size_t at, uint8_t serial[SERIAL_BYTES],
                 struct revoked_serial *out) {
    const uint8_t *entry = entry_at(revoked, at);
    memcpy(serial, entry, SERIAL_BYTES);
    out->revoked_at = (time_t)get_number(entry + AT_TIME, TIME_BYTES);
    out->sequence = get_number(entry + AT_SEQUENCE, SEQUENCE_BYTES);
    out->rank = (enum revocation_rank)(entry[AT_KIND] & 3);
    out->is_void = (entry[AT_KIND] & VOID) != 0;
    out->reason = entry[AT_KIND] >> 4;
    out->not_after = (time_t)get_number(entry + AT_END, END_BYTES);
    out->list = (uint32_t)get_number(entry + AT_LIST, LIST_BYTES);
}

const uint8_t *revoked_entries(const struct revoked *revoked) {
    return revoked->entries;
}

bool revoked_load(struct revoked *revoked, const uint8_t *entries, size_t count) {
    if (revoked->count != 0 || !make_room(revoked, count))
        return false;
    for (size_t i = 0; i < count; i++) {
        const uint8_t *entry = entries + i * REVOKED_ENTRY_BYTES;
        size_t place = find_place(revoked, entry);
        uint8_t kind = entry[AT_KIND];
        if (revoked->index[place] != 0 || (kind & 3) > REVOCATION_OF_KEY_PROVEN || (kind & 8) != 0)
            return false; /* twice, or no rank */
        revoked->void_count += (kind & VOID) != 0;
        memcpy(entry_at(revoked, i), entry, REVOKED_ENTRY_BYTES);
        revoked->index[place] = (uint32_t)i + 1;
        revoked->count = i + 1;
    }
    return true;
}
