/* One delegation out of what all servers of the zone above show of it. What one of them adds joins what the
 * next says, so that the next step asks whoever any of them points to, and nobody's word replaces another's.
 */
#include "walk.h"

#include <string.h>

struct united {
    struct arena *arena;
    const struct shown *shown;
    struct dns_message *message;
    bool fits;
};

static bool is_delegation(const struct shown *shown, const struct dns_record *record) {
    return record->type == DNS_NS && (record->section == DNS_AUTHORITY || record->section == DNS_ANSWER) &&
           strcmp(record->owner, shown->owner) == 0;
}

bool shown_names(const struct shown *shown, const struct dns_message *message, const char *server) {
    for (size_t i = 0; i < message->count; i++)
        if (is_delegation(shown, &message->records[i]) && strcmp(message->records[i].target, server) == 0)
            return true;
    return false;
}

size_t shown_count_common(const struct shown *shown, const struct dns_message *a, const struct dns_message *b,
                          size_t *others) {
    size_t common = 0;
    *others = 0;
    for (size_t i = 0; i < b->count; i++) {
        if (!is_delegation(shown, &b->records[i]))
            continue;
        bool is_common = shown_names(shown, a, b->records[i].target);
        common += is_common ? 1 : 0;
        *others += is_common ? 0 : 1;
    }
    return common;
}

/* --- name servers --- */

static void add(struct united *united, const struct dns_record *record, enum dns_section section) {
    struct dns_record *own = &united->message->records[united->message->count++];
    *own = *record;
    own->section = section;
}

static void unite_servers(struct united *united) {
    const struct shown *shown = united->shown;
    for (size_t i = 0; i < shown->count; i++)
        for (size_t k = 0; k < shown->messages[i]->count; k++) {
            const struct dns_record *record = &shown->messages[i]->records[k];
            if (is_delegation(shown, record) && !shown_names(shown, united->message, record->target))
                add(united, record, shown->section);
        }
    size_t count = united->message->count, others;
    for (size_t i = 0; i < shown->count && count > SERVERS_MAX; i++)
        if (shown_count_common(shown, shown->messages[i], united->message, &others) < count)
            united->fits = false;
}

/* --- their addresses --- */

static bool is_address_of(const struct dns_record *record, const char *server) {
    return (record->type == DNS_A || record->type == DNS_AAAA) && strcmp(record->owner, server) == 0;
}

static bool is_same_address(const struct dns_record *a, const struct dns_record *b) {
    return a->type == b->type && memcmp(a->address, b->address, a->type == DNS_A ? 4 : 16) == 0;
}

static bool holds(const struct dns_message *message, const struct dns_record *address) {
    for (size_t i = 0; i < message->count; i++)
        if (is_address_of(&message->records[i], address->owner) &&
            is_same_address(&message->records[i], address))
            return true;
    return false;
}

static bool has_address_of(const struct dns_message *message, const char *server) {
    for (size_t i = 0; i < message->count; i++)
        if (is_address_of(&message->records[i], server))
            return true;
    return false;
}

/* Outside of the zone itself addresses may be left out, and found there: where not all have some, one of them
 * would speak for that zone. */
static bool counts(const struct shown *shown, const char *server) {
    for (size_t i = 0; i < shown->count && !dns_is_below(server, shown->owner); i++)
        if (!has_address_of(shown->messages[i], server))
            return false;
    return dns_is_below(server, shown->zone);
}

static bool all_hold(const struct shown *shown, const struct dns_record *address) {
    for (size_t i = 0; i < shown->count; i++)
        if (!holds(shown->messages[i], address))
            return false;
    return true;
}

/* As many of each as all servers have place for: no server crowds out the next. */
static void unite_addresses(struct united *united, const char *server, size_t place) {
    const struct shown *shown = united->shown;
    bool is_same = true;
    size_t count = 0;
    for (size_t i = 0; i < shown->count; i++)
        for (size_t k = 0; k < shown->messages[i]->count; k++) {
            const struct dns_record *record = &shown->messages[i]->records[k];
            if (!is_address_of(record, server) || holds(united->message, record))
                continue;
            is_same = is_same && all_hold(shown, record);
            if (count++ < place)
                add(united, record, DNS_ADDITIONAL);
        }
    united->fits = united->fits && (is_same || count <= place);
}

size_t shown_place(size_t servers) {
    return ADDRESSES_MAX / (servers == 0 ? 1 : servers > SERVERS_MAX ? SERVERS_MAX : servers);
}

static bool make_room(struct united *united) {
    size_t room = 0;
    for (size_t i = 0; i < united->shown->count; i++)
        room += united->shown->messages[i]->count;
    united->message = arena_copy(united->arena, united->shown->messages[0], sizeof *united->message);
    if (united->message == NULL)
        return false;
    united->message->count = 0;
    united->message->records = arena_alloc(united->arena, (room + 1) * sizeof *united->message->records);
    return united->message->records != NULL;
}

const struct dns_message *shown_unite(struct arena *arena, const struct shown *shown, bool *fits) {
    struct united united = {.arena = arena, .shown = shown, .fits = true};
    if (!make_room(&united))
        return NULL;
    unite_servers(&united);
    size_t servers = united.message->count;
    for (size_t i = 0; i < servers; i++)
        if (counts(shown, united.message->records[i].target))
            unite_addresses(&united, united.message->records[i].target, shown_place(servers));
    *fits = united.fits;
    return united.message;
}
