/* Answers that checks share: what many ask at once is asked once, and a yes stands for a moment. A no is for
 * those alone who waited for it: whoever mended DNS and tries again is asked for anew. A fixed number of
 * places; the one whose users are gone longest makes room. */
#include "internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PLACES 1024
#define PROBES 8

struct share_table {
    struct shared_answer places[PLACES];
    uint64_t seed;
};

struct share_table *share_table_new(void) {
    struct share_table *table = calloc(1, sizeof *table);
    if (table == NULL)
        return NULL;
    random_bytes(&table->seed, sizeof table->seed);
    return table;
}

void share_table_free(struct share_table *table) {
    for (size_t i = 0; table != NULL && i < PLACES; i++)
        free(table->places[i].wire);
    free(table);
}

static uint64_t mix(uint64_t hash, const void *data, size_t length) {
    for (const uint8_t *at = data, *end = at + length; at < end; at++)
        hash = (hash ^ *at) * 0x100000001b3u;
    return hash;
}

/* Scattered (as splitmix64 does), for these are summed up: mixed alone, 192.0.2.1 and .2 are .0 and .3. */
static uint64_t hash_server(uint64_t seed, const struct dns_server *server) {
    uint64_t hash = server->address.any.sa_family == AF_INET ? mix(seed, &server->address.v4.sin_addr, 4)
                                                             : mix(seed, &server->address.v6.sin6_addr, 16);
    hash = (hash ^ hash >> 30) * 0xbf58476d1ce4e5b9u;
    hash = (hash ^ hash >> 27) * 0x94d049bb133111ebu;
    return hash ^ hash >> 31;
}

static uint64_t hash_servers(uint64_t seed, const struct server_list *servers) {
    uint64_t sum = seed; /* the same set in another order is the same */
    for (size_t i = 0; i < servers->count; i++)
        sum += hash_server(seed, &servers->items[i]);
    return sum;
}

static bool is_free(const struct shared_answer *place) {
    return place->users == 0;
}

struct shared_answer *share_get(struct share_table *table, const struct server_list *servers,
                                const char *zone, const char *name, uint16_t type) {
    uint64_t group = hash_servers(table->seed, servers);
    if (zone != NULL) /* what is lame for one is a referral for another above */
        group = mix(group, zone, strlen(zone) + 1);
    uint64_t hash = mix(mix(table->seed ^ group, name, strlen(name)), &type, sizeof type);
    struct shared_answer *oldest = NULL;
    for (size_t i = 0; i < PROBES; i++) {
        struct shared_answer *place = &table->places[(hash ^ hash >> 32) % PLACES ^ i];
        if (place->type == type && place->servers == group && strcmp(place->name, name) == 0) {
            place->users++;
            return place;
        }
        if (is_free(place) && (oldest == NULL || place->stands_from_ms < oldest->stands_from_ms))
            oldest = place;
    }
    if (oldest == NULL)
        return NULL;
    free(oldest->wire);
    oldest->wire = NULL;
    oldest->stands_from_ms = 0;
    oldest->leader = NULL;
    TAILQ_INIT(&oldest->followers);
    oldest->type = type;
    oldest->servers = group;
    strcpy(oldest->name, name);
    oldest->users = 1;
    return oldest;
}

void share_release(struct shared_answer *answer) {
    answer->users--;
}

static bool is_yes(const struct dns_message *message) {
    if (message->rcode != DNS_NOERROR)
        return false;
    for (size_t i = 0; i < message->count; i++)
        if (message->records[i].section == DNS_ANSWER ||
            (message->records[i].section == DNS_AUTHORITY && message->records[i].type == DNS_NS))
            return true;
    return false;
}

bool share_keep(struct shared_answer *answer, const struct dns_message *message,
                const struct dns_server *server) {
    uint8_t *copy = malloc(message->wire.length);
    if (copy == NULL)
        return false;
    memcpy(copy, message->wire.data, message->wire.length);
    free(answer->wire);
    answer->wire = copy;
    answer->length = message->wire.length;
    answer->stands_from_ms = is_yes(message) ? clock_monotonic_ms() : 0;
    answer->server = *server;
    snprintf(answer->server_name, sizeof answer->server_name, "%s", server->name);
    answer->server.name = answer->server_name;
    return true;
}
