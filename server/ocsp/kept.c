/* A table with chains, and one list of all by when they were last asked for. */
#include "kept.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#define BYTES_A_BUCKET 1024 /* about an entry each, when the table is full */
#define MALLOC_BYTES 16     /* what the allocator adds to an entry */

struct entry {
    LIST_ENTRY(entry) chained;
    TAILQ_ENTRY(entry) aged;
    int64_t until_ms;
    time_t this_update, next_update;
    size_t length;
    uint8_t serial[SERIAL_BYTES];
    ocsp_form form;
    char state[OCSP_STATE_MAX];
    uint8_t der[];
};
LIST_HEAD(chain, entry);

struct ocsp_kept {
    size_t max_bytes, bytes, bucket_count;
    TAILQ_HEAD(, entry) by_age; /* the oldest first */
    struct chain *buckets;
};

static size_t cost_of(size_t length) {
    return sizeof(struct entry) + length + MALLOC_BYTES;
}

struct ocsp_kept *ocsp_kept_new(size_t max_bytes) {
    struct ocsp_kept *kept = calloc(1, sizeof *kept);
    if (kept == NULL)
        return NULL;
    TAILQ_INIT(&kept->by_age);
    kept->max_bytes = max_bytes;
    kept->bucket_count = max_bytes / BYTES_A_BUCKET;
    if (kept->bucket_count == 0)
        return kept;
    kept->buckets = calloc(kept->bucket_count, sizeof *kept->buckets);
    kept->bytes = kept->bucket_count * sizeof *kept->buckets;
    if (kept->buckets == NULL) {
        free(kept);
        return NULL;
    }
    return kept;
}

static void drop(struct ocsp_kept *kept, struct entry *entry) {
    LIST_REMOVE(entry, chained);
    TAILQ_REMOVE(&kept->by_age, entry, aged);
    kept->bytes -= cost_of(entry->length);
    free(entry);
}

void ocsp_kept_free(struct ocsp_kept *kept) {
    if (kept == NULL)
        return;
    while (!TAILQ_EMPTY(&kept->by_age))
        drop(kept, TAILQ_FIRST(&kept->by_age));
    free(kept->buckets);
    free(kept);
}

/* Serials are random, and only those of certificates that were issued come here: nobody chooses a chain. */
static struct chain *chain_of(const struct ocsp_kept *kept, const struct ocsp_kept_key *key) {
    uint64_t number;
    memcpy(&number, key->serial + SERIAL_BYTES - sizeof number, sizeof number);
    return &kept->buckets[(number + key->form) % kept->bucket_count];
}

static struct entry *find(const struct ocsp_kept *kept, const struct ocsp_kept_key *key) {
    if (kept->bucket_count == 0)
        return NULL;
    struct entry *entry = LIST_FIRST(chain_of(kept, key));
    while (entry != NULL &&
           (entry->form != key->form || memcmp(entry->serial, key->serial, SERIAL_BYTES) != 0))
        entry = LIST_NEXT(entry, chained);
    return entry;
}

bool ocsp_kept_find(struct ocsp_kept *kept, struct arena *arena, const struct ocsp_kept_key *key,
                    int64_t now_ms, struct ocsp_answer *out) {
    struct entry *entry = find(kept, key);
    if (entry == NULL || strcmp(entry->state, key->state) != 0 || now_ms >= entry->until_ms)
        return false;
    TAILQ_REMOVE(&kept->by_age, entry, aged);
    TAILQ_INSERT_TAIL(&kept->by_age, entry, aged);
    *out = (struct ocsp_answer){.der = {arena_copy(arena, entry->der, entry->length), entry->length},
                                .this_update = entry->this_update,
                                .next_update = entry->next_update};
    return out->der.data != NULL;
}

static bool make_room(struct ocsp_kept *kept, size_t bytes) {
    while (kept->bytes + bytes > kept->max_bytes && !TAILQ_EMPTY(&kept->by_age))
        drop(kept, TAILQ_FIRST(&kept->by_age));
    return kept->bytes + bytes <= kept->max_bytes;
}

void ocsp_kept_put(struct ocsp_kept *kept, const struct ocsp_kept_key *key, const struct ocsp_answer *answer,
                   int64_t until_ms) {
    struct entry *former = find(kept, key);
    size_t cost = cost_of(answer->der.length);
    if (former != NULL)
        drop(kept, former);
    if (kept->bucket_count == 0 || strlen(key->state) >= OCSP_STATE_MAX || !make_room(kept, cost))
        return;
    struct entry *entry = calloc(1, sizeof *entry + answer->der.length);
    if (entry == NULL)
        return;
    entry->until_ms = until_ms;
    entry->this_update = answer->this_update;
    entry->next_update = answer->next_update;
    entry->length = answer->der.length;
    entry->form = key->form;
    memcpy(entry->serial, key->serial, SERIAL_BYTES);
    memcpy(entry->state, key->state, strlen(key->state) + 1);
    memcpy(entry->der, answer->der.data, answer->der.length);
    kept->bytes += cost;
    LIST_INSERT_HEAD(chain_of(kept, key), entry, chained);
    TAILQ_INSERT_TAIL(&kept->by_age, entry, aged);
}

size_t ocsp_kept_bytes(const struct ocsp_kept *kept) {
    return kept->bytes;
}
