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

static size_t hash(const char *id) {
    size_t value = 1469598103934665603u;
    for (; *id != '\0'; id++)
        value = (value ^ (unsigned char)*id) * 1099511628211u;
    return value ^ value >> 29;
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
    if (attempts->ring != NULL && attempts->index != NULL)
        return attempts;
    attempts_free(attempts);
    return NULL;
}

void attempts_free(struct attempts *attempts) {
    if (attempts == NULL)
        return;
    for (size_t i = 0; attempts->ring != NULL && i < attempts->filled; i++)
        free((void *)(uintptr_t)attempts->ring[i].der.data);
    free(attempts->ring);
    free(attempts->index);
    free(attempts);
}

struct attempt *attempts_find(struct attempts *attempts, const char *id) {
    for (size_t at = hash(id) & (attempts->index_size - 1); attempts->index[at] != 0;
         at = (at + 1) & (attempts->index_size - 1)) {
        struct attempt *attempt = &attempts->ring[attempts->index[at] - 1];
        if (strcmp(attempt->id, id) == 0)
            return attempt;
    }
    return NULL;
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

struct attempt *attempts_add(struct attempts *attempts, const char *id) {
    struct attempt *attempt = &attempts->ring[attempts->next];
    if (strlen(id) >= sizeof attempt->id)
        return NULL;
    if (attempts->filled == attempts->capacity) {
        drop_from_index(attempts, attempts->next);
        free((void *)(uintptr_t)attempt->der.data);
    } else {
        attempts->filled++;
    }
    *attempt = (struct attempt){.outcome = SIGNER_ATTEMPT_UNKNOWN};
    strcpy(attempt->id, id);
    put_in_index(attempts, attempts->next);
    attempts->next = (attempts->next + 1) % attempts->capacity;
    return attempt;
}

bool attempt_set_certificate(struct attempt *attempt, struct bytes der) {
    uint8_t *copy = malloc(der.length == 0 ? 1 : der.length);
    if (copy == NULL)
        return false;
    memcpy(copy, der.data, der.length);
    free((void *)(uintptr_t)attempt->der.data);
    attempt->der = (struct bytes){copy, der.length};
    attempt->outcome = SIGNER_ATTEMPT_ISSUED;
    return true;
}

void attempts_each_open(struct attempts *attempts, void (*visit)(void *context, struct attempt *attempt),
                        void *context) {
    for (size_t i = 0; i < attempts->filled; i++)
        if (attempts->ring[i].outcome == SIGNER_ATTEMPT_SIGNING)
            visit(context, &attempts->ring[i]);
}
