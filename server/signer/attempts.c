/* A ring of attempts with an open-addressing index over it. */
#include "attempts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct attempts {
    struct attempt *ring;
    size_t capacity, next, filled;
    uint32_t *index; /* ring position + 1; 0: free */
    size_t index_size;
};

static size_t hash(const uint8_t id[SHA256_BYTES]) {
    size_t value;
    memcpy(&value, id, sizeof value);
    return value;
}

struct attempts *attempts_new(size_t capacity) {
    struct attempts *attempts = calloc(1, sizeof *attempts);
    if (attempts == NULL)
        return NULL;
    attempts->capacity = capacity;
    for (attempts->index_size = 16; attempts->index_size < capacity * 2; attempts->index_size *= 2) {
    }
    attempts->ring = calloc(capacity, sizeof *attempts->ring);
    attempts->index = calloc(attempts->index_size, sizeof *attempts->index);
    if (attempts->ring == NULL || attempts->index == NULL) {
        attempts_free(attempts);
        return NULL;
    }
    /* Touched now: what the signer needs is seen when it starts, not under load. */
    for (size_t i = 0; i < capacity; i++)
        attempts->ring[i].outcome = SIGNER_ATTEMPT_UNKNOWN;
    return attempts;
}

void attempts_free(struct attempts *attempts) {
    if (attempts == NULL)
        return;
    free(attempts->ring);
    free(attempts->index);
    free(attempts);
}

static struct attempt *find(struct attempts *attempts, const uint8_t id[SHA256_BYTES]) {
    for (size_t at = hash(id) & (attempts->index_size - 1); attempts->index[at] != 0;
         at = (at + 1) & (attempts->index_size - 1)) {
        struct attempt *attempt = &attempts->ring[attempts->index[at] - 1];
        if (memcmp(attempt->id, id, SHA256_BYTES) == 0)
            return attempt;
    }
    return NULL;
}

struct attempt *attempts_find(struct attempts *attempts, const char *name) {
    uint8_t id[SHA256_BYTES];
    sha256(name, strlen(name), id);
    return find(attempts, id);
}

static void put_in_index(struct attempts *attempts, size_t position) {
    size_t at = hash(attempts->ring[position].id) & (attempts->index_size - 1);
    while (attempts->index[at] != 0)
        at = (at + 1) & (attempts->index_size - 1);
    attempts->index[at] = (uint32_t)position + 1;
}

/* Removing from open addressing: what follows without a gap is put in again. */
static void drop_from_index(struct attempts *attempts, size_t position) {
    size_t mask = attempts->index_size - 1, at = hash(attempts->ring[position].id) & mask;
    while (attempts->index[at] != position + 1)
        at = (at + 1) & mask;
    attempts->index[at] = 0;
    for (at = (at + 1) & mask; attempts->index[at] != 0; at = (at + 1) & mask) {
        size_t moved = attempts->index[at] - 1;
        attempts->index[at] = 0;
        put_in_index(attempts, moved);
    }
}

static struct attempt *take_place(struct attempts *attempts, const struct attempt *first) {
    size_t position = attempts->next;
    if (attempts->filled == attempts->capacity)
        drop_from_index(attempts, position);
    else
        attempts->filled++;
    attempts->ring[position] = *first;
    put_in_index(attempts, position);
    attempts->next = (position + 1) % attempts->capacity;
    return &attempts->ring[position];
}

struct attempt *attempts_add(struct attempts *attempts, const char *name) {
    struct attempt attempt = {.outcome = SIGNER_ATTEMPT_UNKNOWN};
    sha256(name, strlen(name), attempt.id);
    return take_place(attempts, &attempt);
}

void attempts_restore(struct attempts *attempts, const struct attempt *attempt) {
    if (find(attempts, attempt->id) == NULL)
        take_place(attempts, attempt);
}

const struct attempt *attempts_get(const struct attempts *attempts, size_t at) {
    if (at >= attempts->filled)
        return NULL;
    size_t oldest = attempts->filled < attempts->capacity ? 0 : attempts->next;
    return &attempts->ring[(oldest + at) % attempts->capacity];
}

const struct attempt *attempts_find_serial(const struct attempts *attempts,
                                           const uint8_t serial[SERIAL_BYTES]) {
    for (size_t at = 0; at < attempts->filled; at++)
        if (memcmp(attempts->ring[at].serial, serial, SERIAL_BYTES) == 0)
            return &attempts->ring[at];
    return NULL;
}
