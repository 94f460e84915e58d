/* The connections of each client address: a chained hash table keyed with random bytes. */
#include "internal.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

struct address_table *address_table_new(void) {
    struct address_table *table = calloc(1, sizeof *table);
    if (table == NULL)
        return NULL;
    random_bytes(&table->seed, sizeof table->seed);
    for (size_t i = 0; i < CROWD_LEVELS; i++)
        TAILQ_INIT(&table->crowds[i]);
    return table;
}

void address_table_free(struct address_table *table) {
    if (table == NULL)
        return;
    for (size_t i = 0; i < ADDRESS_BUCKETS; i++)
        for (struct address_count *count = table->buckets[i], *next; count != NULL; count = next) {
            next = count->next;
            free(count);
        }
    free(table);
}

/* An IPv6 host usually has a whole /64: counting single addresses would count nothing. */
static void make_key(const struct sockaddr_storage *peer, uint8_t key[17]) {
    memset(key, 0, 17);
    key[0] = (uint8_t)peer->ss_family;
    if (peer->ss_family == AF_INET)
        memcpy(key + 1, &((const struct sockaddr_in *)peer)->sin_addr, 4);
    else if (peer->ss_family == AF_INET6)
        memcpy(key + 1, &((const struct sockaddr_in6 *)peer)->sin6_addr, 8);
}

static uint32_t hash(uint64_t seed, const uint8_t key[17]) {
    uint64_t value = seed ^ 0xcbf29ce484222325u;
    for (size_t i = 0; i < 17; i++)
        value = (value ^ key[i]) * 0x100000001b3u;
    return (uint32_t)((value ^ value >> 32) % ADDRESS_BUCKETS);
}

struct address_count *address_table_find(const struct address_table *table,
                                         const struct sockaddr_storage *peer) {
    uint8_t key[17];
    make_key(peer, key);
    struct address_count *count = table->buckets[hash(table->seed, key)];
    while (count != NULL && memcmp(count->key, key, sizeof key) != 0)
        count = count->next;
    return count;
}

struct address_count *address_table_enter(struct address_table *table, const struct sockaddr_storage *peer) {
    struct address_count *count = address_table_find(table, peer);
    if (count != NULL) {
        count->count++;
        return count;
    }
    count = calloc(1, sizeof *count);
    if (count == NULL)
        return NULL;
    make_key(peer, count->key);
    TAILQ_INIT(&count->unfinished);
    TAILQ_INIT(&count->idle);
    count->bucket = hash(table->seed, count->key);
    count->count = 1;
    count->next = table->buckets[count->bucket];
    table->buckets[count->bucket] = count;
    return count;
}

void address_table_leave(struct address_table *table, struct address_count *count) {
    if (count == NULL || --count->count > 0)
        return;
    struct address_count **place = &table->buckets[count->bucket];
    while (*place != count)
        place = &(*place)->next;
    *place = count->next;
    free(count);
}
