/* Open addressing, at most half of the places taken. A place whose first byte is 0 is free: no serial of ours
 * begins with it. */
#include "serial_set.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_PLACES 1024

struct serial_set {
    uint8_t *serials;
    size_t count, places;
    uint64_t secret[2]; /* whoever chooses serials must not choose their places */
};

struct serial_set *serial_set_new(void) {
    struct serial_set *set = calloc(1, sizeof *set);
    if (set == NULL)
        return NULL;
    random_bytes(set->secret, sizeof set->secret);
    set->places = FIRST_PLACES;
    set->serials = calloc(set->places, SERIAL_BYTES);
    if (set->serials == NULL) {
        free(set);
        return NULL;
    }
    return set;
}

void serial_set_free(struct serial_set *set) {
    if (set == NULL)
        return;
    free(set->serials);
    free(set);
}

/* Its own, or the free one where it belongs. */
static uint8_t *find(const struct serial_set *set, const uint8_t serial[SERIAL_BYTES]) {
    uint64_t a, b;
    memcpy(&a, serial, sizeof a);
    memcpy(&b, serial + sizeof a, sizeof b);
    uint64_t mixed = (a ^ set->secret[0]) * 0x9e3779b97f4a7c15u;
    mixed = (mixed ^ mixed >> 32 ^ b ^ set->secret[1]) * 0xd6e8feb86659fd93u;
    size_t place = (size_t)(mixed ^ mixed >> 32) & (set->places - 1);
    while (set->serials[place * SERIAL_BYTES] != 0 &&
           memcmp(set->serials + place * SERIAL_BYTES, serial, SERIAL_BYTES) != 0)
        place = (place + 1) & (set->places - 1);
    return set->serials + place * SERIAL_BYTES;
}

static bool grow(struct serial_set *set) {
    struct serial_set larger = *set;
    larger.places *= 2;
    larger.serials = calloc(larger.places, SERIAL_BYTES);
    if (larger.serials == NULL)
        return false;
    for (size_t place = 0; place < set->places; place++) {
        const uint8_t *serial = serial_set_get(set, place);
        if (serial != NULL)
            memcpy(find(&larger, serial), serial, SERIAL_BYTES);
    }
    free(set->serials);
    *set = larger;
    return true;
}

bool serial_set_add(struct serial_set *set, const uint8_t serial[SERIAL_BYTES]) {
    if (serial[0] == 0 || serial_set_has(set, serial))
        return true;
    if (set->count >= set->places / 2 && !grow(set))
        return false;
    memcpy(find(set, serial), serial, SERIAL_BYTES);
    set->count++;
    return true;
}

bool serial_set_has(const struct serial_set *set, const uint8_t serial[SERIAL_BYTES]) {
    return serial[0] != 0 && *find(set, serial) != 0;
}

size_t serial_set_count(const struct serial_set *set) {
    return set->count;
}

size_t serial_set_places(const struct serial_set *set) {
    return set->places;
}

const uint8_t *serial_set_get(const struct serial_set *set, size_t place) {
    const uint8_t *serial = set->serials + place * SERIAL_BYTES;
    return *serial == 0 ? NULL : serial;
}
