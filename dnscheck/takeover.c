/* The way to a name that another customer has, or had lately. One server's word is enough elsewhere, but here
 * one that lags behind, or is in other hands, would give the name back to its former holder with every other
 * check. So every address of each zone's name servers is asked, at each cut down to that name: what is below
 * one that is believed goes by it. Who does not answer shows nothing. The root's servers are taken by their
 * word (doc/dns-check.md, rule 1). */
#include "walk.h"

#include <string.h>

struct takeover {
    struct walk *walk;
    const struct dns_message *message;
    enum dns_section section;
    const char *owner;
    const struct dns_server *asked; /* gave the message; NULL: nobody knows */
    bool is_private, is_over;
    size_t pending;
};

static bool is_watched(const struct walk_options *options) {
    return options->kind == WALK_DELEGATION && options->zone->zone.anothers != NULL;
}

static bool is_top_level(const char *name) {
    return strchr(name, '.') == NULL;
}

bool takeover_is_step(const struct walk *walk, const char *owner) {
    if (!is_watched(&walk->options) || is_top_level(owner))
        return false;
    const char *anothers = walk->options.zone->zone.anothers;
    return strcmp(walk->cut->name, anothers) != 0 && dns_is_below(anothers, walk->cut->name);
}

bool takeover_may_begin_at(const struct walk_options *options, const struct cut *cut) {
    return !is_watched(options) || cut->is_agreed || is_top_level(cut->name);
}

/* --- the same? --- */

static bool is_delegation(const struct takeover *takeover, const struct dns_record *record) {
    return record->type == DNS_NS && (record->section == DNS_AUTHORITY || record->section == DNS_ANSWER) &&
           strcmp(record->owner, takeover->owner) == 0;
}

static bool names(const struct takeover *takeover, const struct dns_message *message, const char *server) {
    for (size_t i = 0; i < message->count; i++)
        if (is_delegation(takeover, &message->records[i]) && strcmp(message->records[i].target, server) == 0)
            return true;
    return false;
}

static bool names_all_of(const struct takeover *takeover, const struct dns_message *a,
                         const struct dns_message *b) {
    for (size_t i = 0; i < b->count; i++)
        if (is_delegation(takeover, &b->records[i]) && !names(takeover, a, b->records[i].target))
            return false;
    return true;
}

/* By the name servers alone: one may refer, with AA or without, and the next have the zone as well. */
static bool shows_the_same(const struct takeover *takeover, const struct dns_message *message) {
    return message->rcode == DNS_NOERROR && names_all_of(takeover, message, takeover->message) &&
           names_all_of(takeover, takeover->message, message);
}

/* --- asking --- */

static void end(struct takeover *takeover, const char *failure) {
    takeover->is_over = true;
    if (failure != NULL)
        walk_end(takeover->walk, false, failure);
    else
        walk_take_cut(takeover->walk, takeover->message, takeover->section, takeover->owner,
                      takeover->is_private);
}

static const char *disagreement(const struct takeover *takeover) {
    const struct walk *walk = takeover->walk;
    const char *text = arena_printf(
        walk->job->scratch,
        "the name servers of %s do not agree about %s, and another customer has %s here, or had it lately; "
        "wait until all of them show the same delegation, then try again",
        walk->cut->name, takeover->owner, walk->options.zone->zone.anothers);
    return text == NULL ? "out of memory" : text;
}

static void note_answered(struct takeover *takeover) {
    if (--takeover->pending == 0)
        end(takeover, NULL);
}

static void on_answer(void *context, const struct dns_message *message, const struct dns_server *server,
                      const char *failure) {
    struct takeover *takeover = context;
    (void)failure;
    if (takeover->is_over)
        return;
    if (message == NULL || shows_the_same(takeover, message) ||
        ground_may_be_strangers(takeover->walk, server, message, takeover->owner))
        note_answered(takeover);
    else
        end(takeover, disagreement(takeover));
}

static bool is_due(const struct takeover *takeover, const struct server_list *list, size_t at) {
    if (takeover->asked != NULL && is_same_server(takeover->asked, &list->items[at]))
        return false;
    for (size_t i = 0; i < at; i++)
        if (is_same_server(&list->items[i], &list->items[at]))
            return false;
    return true;
}

/* All at once: some may be silent. */
static void on_servers(void *context, struct cut *cut, const char *failure) {
    struct takeover *takeover = context;
    struct walk *walk = takeover->walk;
    if (cut == NULL) {
        end(takeover, failure);
        return;
    }
    const struct query_options options = {.needs_signatures = is_signed(walk->cut), .zone = walk->cut->name};
    takeover->pending = 1; /* none ends it before all are asked */
    for (size_t i = 0; i < cut->addresses.count; i++) {
        const struct server_list one = {.items = {cut->addresses.items[i]}, .count = 1};
        if (!is_due(takeover, &cut->addresses, i))
            continue;
        takeover->pending++;
        if (!transport_query(walk->job, &one, takeover->owner, DNS_NS, &options, on_answer, takeover)) {
            end(takeover, "out of memory");
            return;
        }
    }
    note_answered(takeover);
}

void takeover_start(struct walk *walk, const struct dns_message *message, enum dns_section section,
                    const char *owner, bool is_private) {
    struct takeover *takeover = arena_alloc(walk->job->scratch, sizeof *takeover);
    bool is_asked = section == DNS_AUTHORITY && walk->at >= 0;
    if (takeover != NULL)
        *takeover = (struct takeover){.walk = walk,
                                      .message = message,
                                      .section = section,
                                      .owner = owner,
                                      .asked = is_asked ? &walk->cut->addresses.items[walk->at] : NULL,
                                      .is_private = is_private};
    if (takeover == NULL || !agree_find_servers(walk->job, walk->cut, on_servers, takeover))
        walk_end(walk, false, "out of memory");
}
