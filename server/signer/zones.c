/* Four pools of packed entries, zones, holders (customers, and accounts that ended; their ids differ in
 * form), issuers, and zones whose delegation was seen elsewhere, each with an open-addressing index over it.
 * An entry: flags (1 byte), moment (6), link (4: of a zone, to its customer's entry), lengths of key and text
 * (1 each), key, NUL, text, NUL. Numbers are big-endian, links are offsets, so a pool is saved as it lies. */
#include "zones.h"

#include <stdlib.h>
#include <string.h>

#define HEAD_BYTES 13
#define FIRST_INDEX 1024
#define SAVED_HEAD 33 /* known, lengths of the pools */
#define KEY_MAX 128
#define TEXT_MAX 255

enum flag {
    FLAG_ENDED = 1, /* a zone, an account */
    FLAG_HELD = 2,  /* a zone paused, a customer suspended, an issuer stopped, a zone moved */
    FLAG_NAMED = 4, /* a zone was added, not only heard of */
    FLAG_DEAD = 8,  /* another entry stands for it */
    FLAGS_ALL = 15
};

struct pool {
    uint8_t *bytes;
    uint32_t *index; /* offset of the entry + 1; 0: free */
    size_t length, capacity, index_size, count;
    uint64_t secret;
};

struct zones {
    struct pool zones, holders, issuers, moved;
    size_t living;
    bool is_known;
};

/* --- entries --- */

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

static const char *key_of(const uint8_t *entry) {
    return (const char *)entry + HEAD_BYTES;
}

static const char *text_of(const uint8_t *entry) {
    return (const char *)entry + HEAD_BYTES + entry[11] + 1;
}

static size_t length_of(const uint8_t *entry) {
    return HEAD_BYTES + (size_t)entry[11] + 1 + entry[12] + 1;
}

static int64_t moment_of(const uint8_t *entry) {
    return (int64_t)get_number(entry + 1, 6);
}

static void set_moment(uint8_t *entry, int64_t at_ms) {
    put_number(entry + 1, (uint64_t)at_ms, 6);
}

/* An older word changes nothing. */
static void set_flag(uint8_t *entry, enum flag flag, bool is_set, int64_t at_ms) {
    if (at_ms < moment_of(entry))
        return;
    entry[0] = (uint8_t)(is_set ? entry[0] | flag : entry[0] & ~flag);
    set_moment(entry, at_ms);
}

/* --- pools --- */

static bool pool_begin(struct pool *pool) {
    random_bytes(&pool->secret, sizeof pool->secret);
    pool->index_size = FIRST_INDEX;
    pool->index = calloc(pool->index_size, sizeof *pool->index);
    return pool->index != NULL;
}

static void pool_end(struct pool *pool) {
    free(pool->bytes);
    free(pool->index);
}

static uint64_t mix(uint64_t a) {
    a *= 0x9e3779b97f4a7c15u;
    return a ^ a >> 32;
}

static size_t place_of(const struct pool *pool, const char *key) {
    uint64_t mixed = pool->secret;
    for (size_t length = strlen(key), at = 0; at < length; at += 8) {
        uint64_t piece = 0;
        memcpy(&piece, key + at, length - at < 8 ? length - at : 8);
        mixed = mix(mixed ^ piece);
    }
    return (size_t)mix(mixed) & (pool->index_size - 1);
}

/* Of the key's entry, or the free one where it belongs. */
static size_t find_place(const struct pool *pool, const char *key) {
    size_t at = place_of(pool, key);
    while (pool->index[at] != 0 && strcmp(key_of(pool->bytes + pool->index[at] - 1), key) != 0)
        at = (at + 1) & (pool->index_size - 1);
    return at;
}

static uint8_t *find_entry(const struct pool *pool, const char *key) {
    uint32_t found = pool->index[find_place(pool, key)];
    return found == 0 ? NULL : pool->bytes + found - 1;
}

static bool index_all(struct pool *pool) {
    pool->count = 0;
    for (size_t at = 0; at < pool->length; at += length_of(pool->bytes + at)) {
        if ((pool->bytes[at] & FLAG_DEAD) != 0)
            continue;
        size_t place = find_place(pool, key_of(pool->bytes + at));
        if (pool->index[place] != 0)
            return false; /* twice */
        pool->index[place] = (uint32_t)at + 1;
        pool->count++;
    }
    return true;
}

/* At most three quarters of the index are taken. */
static bool make_index(struct pool *pool, size_t wanted) {
    size_t size = pool->index_size;
    while (size / 4 * 3 < wanted)
        size *= 2;
    if (size == pool->index_size)
        return true;
    uint32_t *index = calloc(size, sizeof *index);
    if (index == NULL)
        return false;
    free(pool->index);
    pool->index = index;
    pool->index_size = size;
    return index_all(pool);
}

static bool make_room(struct pool *pool, size_t bytes) {
    size_t wanted = pool->length + bytes;
    if (wanted >= UINT32_MAX)
        return false;
    if (wanted > pool->capacity) {
        size_t capacity = pool->capacity + pool->capacity / 4 + 4096;
        if (capacity < wanted)
            capacity = wanted;
        uint8_t *larger = realloc(pool->bytes, capacity);
        if (larger == NULL)
            return false;
        pool->bytes = larger;
        pool->capacity = capacity;
    }
    return make_index(pool, pool->count + 1);
}

/* A new entry in the place of one with that key, if there is one; NULL when out of memory. */
static uint8_t *put_entry(struct pool *pool, const char *key, const char *text, uint32_t link, uint8_t flags,
                          int64_t at_ms) {
    size_t key_length = strlen(key), text_length = strlen(text);
    if (key_length > KEY_MAX || text_length > TEXT_MAX ||
        !make_room(pool, HEAD_BYTES + key_length + text_length + 2))
        return NULL;
    size_t place = find_place(pool, key);
    uint8_t *entry = pool->bytes + pool->length;
    entry[0] = flags;
    set_moment(entry, at_ms);
    put_number(entry + 7, link, 4);
    entry[11] = (uint8_t)key_length;
    entry[12] = (uint8_t)text_length;
    memcpy(entry + HEAD_BYTES, key, key_length + 1);
    memcpy(entry + HEAD_BYTES + key_length + 1, text, text_length + 1);
    if (pool->index[place] != 0)
        pool->bytes[pool->index[place] - 1] |= FLAG_DEAD;
    else
        pool->count++;
    pool->index[place] = (uint32_t)pool->length + 1;
    pool->length += length_of(entry);
    return entry;
}

static uint8_t *get_entry(struct pool *pool, const char *key, int64_t at_ms) {
    uint8_t *entry = find_entry(pool, key);
    return entry != NULL ? entry : put_entry(pool, key, "", 0, 0, at_ms);
}

/* --- zones --- */

struct zones *zones_new(void) {
    struct zones *zones = calloc(1, sizeof *zones);
    if (zones != NULL && pool_begin(&zones->zones) && pool_begin(&zones->holders) &&
        pool_begin(&zones->issuers) && pool_begin(&zones->moved))
        return zones;
    zones_free(zones);
    return NULL;
}

void zones_free(struct zones *zones) {
    if (zones == NULL)
        return;
    pool_end(&zones->zones);
    pool_end(&zones->holders);
    pool_end(&zones->issuers);
    pool_end(&zones->moved);
    free(zones);
}

static bool is_living(const uint8_t *entry) {
    return (entry[0] & (FLAG_NAMED | FLAG_ENDED | FLAG_DEAD)) == FLAG_NAMED;
}

static void describe_zone(const struct zones *zones, const uint8_t *entry, struct zone_state *out) {
    uint32_t link = (uint32_t)get_number(entry + 7, 4);
    const uint8_t *customer = link == 0 ? NULL : zones->holders.bytes + link - 1;
    *out = (struct zone_state){.id = key_of(entry), .name = text_of(entry), .customer = ""};
    out->is_known = (entry[0] & FLAG_NAMED) != 0;
    out->is_ended = (entry[0] & FLAG_ENDED) != 0;
    out->is_paused = (entry[0] & FLAG_HELD) != 0;
    out->at_ms = moment_of(entry);
    if (customer != NULL) {
        out->customer = key_of(customer);
        out->is_suspended = (customer[0] & FLAG_HELD) != 0;
    }
}

bool zones_find(const struct zones *zones, const char *id, struct zone_state *out) {
    const uint8_t *entry = find_entry(&zones->zones, id);
    *out = (struct zone_state){.id = "", .name = "", .customer = ""};
    if (entry != NULL)
        describe_zone(zones, entry, out);
    return entry != NULL;
}

/* By places of the index: one that grew has others, so the cursor means something as long as it does not. */
size_t zones_walk(const struct zones *zones, uint64_t *cursor, size_t max, struct zone_state *out) {
    const struct pool *pool = &zones->zones;
    size_t count = 0;
    uint64_t at = *cursor;
    for (; at < pool->index_size && count < max; at++) {
        const uint8_t *entry = pool->index[at] == 0 ? NULL : pool->bytes + pool->index[at] - 1;
        if (entry != NULL && is_living(entry))
            describe_zone(zones, entry, &out[count++]);
    }
    *cursor = at < pool->index_size ? at : 0;
    return count;
}

void zones_find_customer(const struct zones *zones, const char *id, struct customer_state *out) {
    const uint8_t *entry = find_entry(&zones->holders, id);
    *out = (struct customer_state){.at_ms = entry == NULL ? 0 : moment_of(entry)};
    out->is_suspended = entry != NULL && (entry[0] & FLAG_HELD) != 0;
}

void zones_find_stop(const struct zones *zones, const char *issuer, struct stop_state *out) {
    const uint8_t *entry = find_entry(&zones->issuers, issuer);
    *out = (struct stop_state){.at_ms = entry == NULL ? 0 : moment_of(entry)};
    out->is_stopped = entry != NULL && (entry[0] & FLAG_HELD) != 0;
}

bool zones_are_known(const struct zones *zones) {
    return zones->is_known;
}

void zones_set_known(struct zones *zones) {
    zones->is_known = true;
}

size_t zones_count_living(const struct zones *zones) {
    return zones->living;
}

size_t zones_memory(const struct zones *zones) {
    const struct pool *const pools[] = {&zones->zones, &zones->holders, &zones->issuers, &zones->moved};
    size_t bytes = 0;
    for (size_t i = 0; i < sizeof pools / sizeof pools[0]; i++)
        bytes += pools[i]->capacity + pools[i]->index_size * sizeof(uint32_t);
    return bytes;
}

/* What was heard of it before it was added still counts. */
bool zones_add(struct zones *zones, const char *id, const char *name, const char *customer, int64_t at_ms) {
    const uint8_t *before = find_entry(&zones->zones, id);
    uint8_t flags = before == NULL ? 0 : before[0];
    if ((flags & FLAG_NAMED) != 0)
        return true;
    if (before != NULL && moment_of(before) > at_ms)
        at_ms = moment_of(before);
    const uint8_t *owner = get_entry(&zones->holders, customer, 0);
    if (owner == NULL)
        return false;
    uint32_t link = (uint32_t)(owner - zones->holders.bytes) + 1;
    const uint8_t *entry = put_entry(&zones->zones, id, name, link, (uint8_t)(flags | FLAG_NAMED), at_ms);
    zones->living += entry != NULL && is_living(entry);
    return entry != NULL;
}

bool zones_end(struct zones *zones, const char *id, int64_t at_ms) {
    uint8_t *entry = get_entry(&zones->zones, id, at_ms);
    if (entry == NULL)
        return false;
    zones->living -= is_living(entry);
    entry[0] |= FLAG_ENDED;
    if (moment_of(entry) < at_ms)
        set_moment(entry, at_ms);
    return true;
}

bool zones_set_paused(struct zones *zones, const char *id, bool is_paused, int64_t at_ms) {
    uint8_t *entry = get_entry(&zones->zones, id, at_ms);
    if (entry != NULL)
        set_flag(entry, FLAG_HELD, is_paused, at_ms);
    return entry != NULL;
}

bool zones_set_suspended(struct zones *zones, const char *customer, bool is_suspended, int64_t at_ms) {
    uint8_t *entry = get_entry(&zones->holders, customer, at_ms);
    if (entry != NULL)
        set_flag(entry, FLAG_HELD, is_suspended, at_ms);
    return entry != NULL;
}

bool zones_end_account(struct zones *zones, const char *id, int64_t at_ms) {
    uint8_t *entry = get_entry(&zones->holders, id, at_ms);
    if (entry != NULL)
        entry[0] |= FLAG_ENDED;
    return entry != NULL;
}

int64_t zones_account_end(const struct zones *zones, const char *id) {
    const uint8_t *entry = find_entry(&zones->holders, id);
    if (entry == NULL || (entry[0] & FLAG_ENDED) == 0)
        return 0;
    return moment_of(entry) == 0 ? 1 : moment_of(entry);
}

bool zones_set_stopped(struct zones *zones, const char *issuer, bool is_stopped, int64_t at_ms) {
    uint8_t *entry = get_entry(&zones->issuers, issuer, at_ms);
    if (entry != NULL)
        set_flag(entry, FLAG_HELD, is_stopped, at_ms);
    return entry != NULL;
}

bool zones_set_moved(struct zones *zones, const char *id, bool has_moved, int64_t at_ms) {
    uint8_t *entry = get_entry(&zones->moved, id, at_ms);
    if (entry != NULL)
        set_flag(entry, FLAG_HELD, has_moved, at_ms);
    return entry != NULL;
}

void zones_find_left(const struct zones *zones, const char *id, struct left_state *out) {
    const uint8_t *moved = find_entry(&zones->moved, id), *entry = find_entry(&zones->zones, id);
    *out = (struct left_state){.word_ms = moved == NULL ? 0 : moment_of(moved)};
    if (moved != NULL && (moved[0] & FLAG_HELD) != 0)
        *out = (struct left_state){true, moment_of(moved), moment_of(moved)};
    else if (entry != NULL && (entry[0] & FLAG_ENDED) != 0) {
        out->has_left = true;
        out->at_ms = moment_of(entry);
    }
}

/* --- the checkpoint --- */

size_t zones_saved_length(const struct zones *zones) {
    return SAVED_HEAD + zones->holders.length + zones->issuers.length + zones->moved.length +
           zones->zones.length;
}

static uint8_t *save_pool(const struct pool *pool, uint8_t *out) {
    if (pool->length > 0)
        memcpy(out, pool->bytes, pool->length);
    return out + pool->length;
}

void zones_save(const struct zones *zones, uint8_t *out) {
    out[0] = zones->is_known;
    put_number(out + 1, zones->holders.length, 8);
    put_number(out + 9, zones->issuers.length, 8);
    put_number(out + 17, zones->zones.length, 8);
    put_number(out + 25, zones->moved.length, 8);
    out = save_pool(&zones->holders, out + SAVED_HEAD);
    out = save_pool(&zones->zones, save_pool(&zones->issuers, out));
    save_pool(&zones->moved, out);
}

static bool is_text(const uint8_t *at, size_t length) {
    return memchr(at, '\0', length + 1) == at + length;
}

/* Are these whole entries, and how many? */
static bool check_entries(const uint8_t *bytes, size_t length, size_t *count) {
    size_t at = 0;
    for (*count = 0; at < length; ++*count) {
        const uint8_t *entry = bytes + at;
        if (length - at < HEAD_BYTES || length - at < length_of(entry) || (entry[0] & ~FLAGS_ALL) != 0 ||
            entry[11] == 0 || entry[11] > KEY_MAX || !is_text(entry + HEAD_BYTES, entry[11]) ||
            !is_text(entry + HEAD_BYTES + entry[11] + 1, entry[12]))
            return false;
        at += length_of(entry);
    }
    return true;
}

static bool load_pool(struct pool *pool, const uint8_t *bytes, size_t length) {
    size_t count = 0;
    if (pool->length != 0 || !check_entries(bytes, length, &count) || !make_room(pool, length) ||
        !make_index(pool, count + 1))
        return false;
    if (length > 0)
        memcpy(pool->bytes, bytes, length);
    pool->length = length;
    return index_all(pool);
}

/* One bit for each byte of the pool: does an entry begin there? */
static uint8_t *map_entries(const struct pool *pool) {
    uint8_t *map = calloc(1, pool->length / 8 + 1);
    for (size_t at = 0; map != NULL && at < pool->length; at += length_of(pool->bytes + at))
        map[at / 8] |= (uint8_t)(1u << at % 8);
    return map;
}

/* A zone's customer is an entry that begins there. */
static bool check_links(struct zones *zones) {
    const struct pool *pool = &zones->zones;
    uint8_t *holders = map_entries(&zones->holders);
    bool is_good = holders != NULL;
    zones->living = 0;
    for (size_t at = 0; is_good && at < pool->length; at += length_of(pool->bytes + at)) {
        const uint8_t *entry = pool->bytes + at;
        uint64_t link = get_number(entry + 7, 4);
        bool is_named = (entry[0] & FLAG_NAMED) != 0;
        is_good = is_named == (link != 0) && link <= zones->holders.length &&
                  (link == 0 || (holders[(link - 1) / 8] >> (link - 1) % 8 & 1) != 0);
        zones->living += is_living(entry);
    }
    free(holders);
    return is_good;
}

bool zones_load(struct zones *zones, const uint8_t *bytes, size_t length) {
    if (length < SAVED_HEAD || bytes[0] > 1)
        return false;
    uint64_t holders = get_number(bytes + 1, 8), issuers = get_number(bytes + 9, 8);
    uint64_t own = get_number(bytes + 17, 8), moved = get_number(bytes + 25, 8), rest = length - SAVED_HEAD;
    if (holders > rest || issuers > rest - holders || own > rest - holders - issuers ||
        moved != rest - holders - issuers - own)
        return false;
    zones->is_known = bytes[0] == 1;
    bytes += SAVED_HEAD;
    return load_pool(&zones->holders, bytes, (size_t)holders) &&
           load_pool(&zones->issuers, bytes + holders, (size_t)issuers) &&
           load_pool(&zones->zones, bytes + holders + issuers, (size_t)own) &&
           load_pool(&zones->moved, bytes + holders + issuers + own, (size_t)moved) && check_links(zones);
}
