/* The way to a name that another customer has, or had lately. One server's word is enough elsewhere, but here
 * one that lags behind, or is in other hands, would give the name back to its former holder with every other
 * check. So every address of each zone's name servers is asked, at each cut down to that name: what is below
 * one that is believed goes by it. Who does not answer shows nothing. The root's servers are taken by their
 * word (doc/dns-check.md, rule 1). */
#include "walk.h"

#include <string.h>

struct takeover {
    struct walk *walk;
    struct shown shown;
    const struct dns_server *asked; /* gave the first message; NULL: nobody knows */
    bool is_private, is_over;
    size_t pending;
};

static bool is_top_level(const char *name) {
    return strchr(name, '.') == NULL;
}

/* Walks to the address of a name server go all the way so. */
static bool is_above_anothers(const struct walk_options *options, const char *name) {
    return options->kind != WALK_DELEGATION ||
           (strcmp(name, options->anothers) != 0 && dns_is_below(options->anothers, name));
}

bool takeover_is_step(const struct walk *walk, const char *owner) {
    return walk->options.anothers != NULL && !is_top_level(owner) &&
           is_above_anothers(&walk->options, walk->cut->name);
}

bool takeover_may_begin_at(const struct walk_options *options, const struct cut *cut) {
    return options->anothers == NULL || cut->is_agreed || is_top_level(cut->name);
}

/* --- the same? --- */

static bool is_own(const struct takeover *takeover, const struct dns_message *message) {
    return dns_find(message, DNS_ANSWER, takeover->shown.owner, DNS_NS, NULL) != NULL;
}

/* By the name servers alone: one may refer, with AA or without, and the next have the zone as well. A zone's
 * own set often differs from its parent's for good: on the way all servers in both are asked what is below.
 */
static bool shows_the_same(const struct takeover *takeover, const struct dns_message *message) {
    const struct shown *shown = &takeover->shown;
    const struct dns_message *first = shown->messages[0];
    size_t more, fewer, common = shown_count_common(shown, first, message, &more);
    shown_count_common(shown, message, first, &fewer);
    bool may_differ = is_above_anothers(&takeover->walk->options, shown->owner) &&
                      (is_own(takeover, first) || is_own(takeover, message));
    return message->rcode == DNS_NOERROR && (may_differ ? common > 0 : more + fewer == 0);
}

/* Some deny every NS below the zone's own, and refer whoever asks for an address. */
static bool is_evasive(const struct takeover *takeover, const struct dns_message *message) {
    return message->rcode == DNS_NOERROR && message->is_authoritative && !is_own(takeover, message) &&
           dns_take_referral(message, takeover->walk->cut->name, takeover->shown.owner) == NULL;
}

/* --- asking --- */

static const char *disagreement(const struct takeover *takeover) {
    const struct walk *walk = takeover->walk;
    const char *text = arena_printf(
        walk->job->scratch,
        "the name servers of %s do not agree about %s, and another customer has %s here, or had it lately; "
        "wait until all of them show the same delegation, then try again",
        walk->cut->name, takeover->shown.owner, walk->options.anothers);
    return text == NULL ? "out of memory" : text;
}

static void end(struct takeover *takeover, const char *failure) {
    const struct shown *shown = &takeover->shown;
    bool fits = false;
    takeover->is_over = true;
    const struct dns_message *all =
        failure != NULL ? NULL : shown_unite(takeover->walk->job->scratch, shown, &fits);
    if (all != NULL && fits)
        walk_take_cut(takeover->walk, all, shown->section, shown->owner, takeover->is_private);
    else
        walk_end(takeover->walk, false,
                 failure != NULL ? failure
                 : all == NULL   ? "out of memory"
                                 : disagreement(takeover));
}

static void note_answered(struct takeover *takeover) {
    if (--takeover->pending == 0)
        end(takeover, NULL);
}

static void note_shown(struct takeover *takeover, const struct dns_message *message) {
    takeover->shown.messages[takeover->shown.count++] = message;
    note_answered(takeover);
}

static bool ask_one(struct takeover *takeover, const struct dns_server *server, uint16_t type,
                    query_done *done) {
    const struct walk *walk = takeover->walk;
    const struct server_list one = {.items = {*server}, .count = 1};
    const struct query_options options = {.needs_signatures = is_signed(walk->cut), .zone = walk->cut->name};
    return transport_query(walk->job, &one, takeover->shown.owner, type, &options, done, takeover);
}

static void on_address(void *context, const struct dns_message *message, const struct dns_server *server,
                       const char *failure) {
    struct takeover *takeover = context;
    (void)server, (void)failure;
    if (takeover->is_over)
        return;
    if (message != NULL && shows_the_same(takeover, message))
        note_shown(takeover, message);
    else
        end(takeover, disagreement(takeover));
}

static void on_answer(void *context, const struct dns_message *message, const struct dns_server *server,
                      const char *failure) {
    struct takeover *takeover = context;
    if (takeover->is_over)
        return;
    if (message == NULL && job_is_spent(takeover->walk->job))
        end(takeover, failure);
    else if (message == NULL ||
             ground_may_be_strangers(takeover->walk, server, message, takeover->shown.owner))
        note_answered(takeover);
    else if (shows_the_same(takeover, message))
        note_shown(takeover, message);
    else if (!is_evasive(takeover, message))
        end(takeover, disagreement(takeover));
    else if (!ask_one(takeover, server, DNS_A, on_address))
        end(takeover, "out of memory");
}

/* All at once: some may be silent. */
static void on_servers(void *context, struct cut *cut, const char *failure) {
    struct takeover *takeover = context;
    if (cut == NULL) {
        end(takeover, failure);
        return;
    }
    takeover->pending = 1; /* none ends it before all are asked */
    for (size_t i = 0; i < cut->addresses.count; i++) {
        if (!agree_is_due(&cut->addresses, i, takeover->asked))
            continue;
        takeover->pending++;
        if (!ask_one(takeover, &cut->addresses.items[i], DNS_NS, on_answer)) {
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
    if (takeover == NULL) {
        walk_end(walk, false, "out of memory");
        return;
    }
    takeover->walk = walk;
    takeover->shown.zone = walk->cut->name;
    takeover->shown.owner = owner;
    takeover->shown.section = section;
    takeover->shown.messages[takeover->shown.count++] = message;
    takeover->asked = is_asked ? &walk->cut->addresses.items[walk->at] : NULL;
    takeover->is_private = is_private;
    const char *anothers = walk->options.kind == WALK_DELEGATION ? walk->options.anothers : NULL;
    if (!agree_find_servers(walk->job, walk->cut, anothers, on_servers, takeover))
        walk_end(walk, false, "out of memory");
}
