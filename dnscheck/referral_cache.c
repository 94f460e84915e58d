/* Referrals that checks share: a hash table with a list in order of use. A zone's own answers are never kept
 * here. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

#define BUCKETS 4096

struct cached {
    TAILQ_ENTRY(cached) use;
    struct cached *next;
    struct cut cut;
    uint32_t bucket;
};

struct referral_cache {
    struct cached *buckets[BUCKETS];
    TAILQ_HEAD(use_list, cached) by_use; /* most recent first */
    size_t count, limit;
    uint64_t seed;
};

struct referral_cache *referral_cache_new(size_t entries) {
    struct referral_cache *cache = calloc(1, sizeof *cache);
    if (cache == NULL)
        return NULL;
    TAILQ_INIT(&cache->by_use);
    cache->limit = entries;
    random_bytes(&cache->seed, sizeof cache->seed);
    return cache;
}

static uint32_t bucket_of(const struct referral_cache *cache, const char *name) {
    uint64_t hash = cache->seed ^ 0xcbf29ce484222325u;
    for (; *name != '\0'; name++)
        hash = (hash ^ (unsigned char)*name) * 0x100000001b3u;
    return (uint32_t)((hash ^ hash >> 32) % BUCKETS);
}

static void drop(struct referral_cache *cache, struct cached *entry) {
    struct cached **place = &cache->buckets[entry->bucket];
    while (*place != entry)
        place = &(*place)->next;
    *place = entry->next;
    TAILQ_REMOVE(&cache->by_use, entry, use);
    cache->count--;
    trust_release(entry->cut.trust);
    free(entry);
}

void referral_cache_free(struct referral_cache *cache) {
    if (cache == NULL)
        return;
    for (struct cached *entry; (entry = TAILQ_FIRST(&cache->by_use)) != NULL;)
        drop(cache, entry);
    free(cache);
}

static struct cached *find(struct referral_cache *cache, const char *name) {
    for (struct cached *entry = cache->buckets[bucket_of(cache, name)]; entry != NULL; entry = entry->next)
        if (strcmp(entry->cut.name, name) == 0)
            return entry;
    return NULL;
}

const struct cut *referral_cache_find(struct referral_cache *cache, const char *name) {
    struct cached *entry = find(cache, name);
    if (entry == NULL)
        return NULL;
    if (entry->cut.until_ms <= clock_monotonic_ms()) {
        drop(cache, entry);
        return NULL;
    }
    TAILQ_REMOVE(&cache->by_use, entry, use);
    TAILQ_INSERT_HEAD(&cache->by_use, entry, use);
    return &entry->cut;
}

void referral_cache_put(struct referral_cache *cache, const struct cut *cut, uint32_t ttl) {
    struct cached *entry = find(cache, cut->name);
    if (ttl == 0 || cache->limit == 0)
        return;
    if (entry == NULL) {
        if (cache->count >= cache->limit)
            drop(cache, TAILQ_LAST(&cache->by_use, use_list));
        entry = calloc(1, sizeof *entry);
        if (entry == NULL)
            return;
        entry->bucket = bucket_of(cache, cut->name);
        memcpy(entry->cut.name, cut->name, sizeof entry->cut.name);
        entry->next = cache->buckets[entry->bucket];
        cache->buckets[entry->bucket] = entry;
        TAILQ_INSERT_HEAD(&cache->by_use, entry, use);
        cache->count++;
    }
    trust_release(entry->cut.trust);
    cut_copy(&entry->cut, cut);
    entry->cut.trust = trust_hold(cut->trust);
    entry->cut.parent = NULL;
    entry->cut.until_ms = cut_earlier_ms(cut->until_ms, clock_monotonic_ms() + (int64_t)ttl * 1000);
}
