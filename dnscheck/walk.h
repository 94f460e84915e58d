/* A walk under way: what walk.c, which goes down from cut to cut, and ground.c, which judges answers that
 * show no delegation, have in common. */
#pragma once

#include "internal.h"

enum ground { GROUND_UNKNOWN, GROUND_SHARED, GROUND_FOREIGN };

/* What a signed parent says of a child that its servers have as well. */
enum parents_word {
    WORD_NONE, /* nothing yet */
    WORD_OPEN, /* it may be delegated, to whomever */
    WORD_BOGUS
};

struct walk {
    struct dnscheck_job *job;
    char name[DNS_NAME_MAX];
    struct walk_options options;
    struct cut *cut;
    uint32_t ttl; /* of the cut */
    walk_done *done;
    void *context;

    /* The way below the cut. One server is asked all the way, for each may have other zones than the next:
     * asked of several in turn, the zone that one denies and the other has would be passed unseen. */
    unsigned labels;     /* below the cut that the next query asks for */
    unsigned clear;      /* so many of them are no zone of their own at the server that is asked */
    bool is_relaxed;     /* the whole name is asked for: a server fell over a shortened one (RFC 9156 3) */
    bool all_choke;      /* every server fell over it */
    uint32_t left;       /* addresses of the cut that may still be asked, a bit each */
    int at;              /* the one that is asked; -1: the first of `left` that answers */
    uint16_t other_type; /* that is asked for where NS is answered with an error (detour.c) */
    const char *failure; /* of one that was asked */

    /* A zone below the cut that servers of the cut have without a word about a delegation (ground.c). */
    enum ground ground;
    const char *own_zone, *own_server;    /* NULL: none was met */
    const struct dns_message *own_answer; /* NULL: without name servers */
    enum parents_word word;
    bool is_believed; /* unless the parent denies */
};

/* The failure where every server has a zone that nobody is shown to have delegated. */
extern const char walk_hidden[];

/* --- walk.c --- */
void walk_end(struct walk *walk, bool is_nxdomain, const char *failure);
void walk_take_cut(struct walk *walk, const struct dns_message *message, enum dns_section section,
                   const char *owner, bool is_private);
void walk_take_denial(struct walk *walk, const struct dns_message *message, bool is_nxdomain);
/* An alias, or that there is nothing of its own: what is asked about is no cut. */
void walk_take_no_cut(struct walk *walk, const struct dns_message *message);
/* One that leaps over names which the server was not asked about, or sets AA, is judged first (ground.c). */
void walk_take_referral(struct walk *walk, const struct dns_message *message, const char *owner);
/* One that was judged. */
void walk_accept_referral(struct walk *walk, const struct dns_message *message, const char *owner);
/* Asks all servers of the cut again, but for those that were struck off. */
void walk_restart(struct walk *walk);
/* From above `name`, past what is cached of it and below. */
void walk_restart_above(struct walk *walk, const char *name);
/* The server that is asked is asked no more; true where others are left. */
bool walk_strike(struct walk *walk);

/* Within a zone that was found, whose own answers are nobody else's business? */
bool walk_is_in_zone(const struct walk *walk);
/* What is asked about: the last labels of the name, and the cut. */
const char *walk_child(const struct walk *walk);
bool walk_ask(struct walk *walk, uint16_t type, query_done *done) MUST_CHECK;
/* The one that answered is asked from now on. */
void walk_note_server(struct walk *walk, const struct dns_server *server);
const char *walk_check_absence(struct walk *walk, const struct dns_message *message, uint16_t type,
                               bool is_nxdomain);
const char *walk_check_alias(struct walk *walk, const struct dns_message *message);

/* --- takeover.c --- */
/* Would a cut of that name be a step down to a name that another customer has, or had lately? */
bool takeover_is_step(const struct walk *walk, const char *owner);
/* Is what is cached of the cut enough for a walk to such a name? */
bool takeover_may_begin_at(const struct walk_options *options, const struct cut *cut);
/* Takes the cut (walk_take_cut) that `message` shows in `section` if all servers of the walk's present one
 * that answer show the same delegation, by a referral or as their own; else the walk fails. The cut's
 * addresses are those that any of them gives, and above the other customer's name its servers those that any
 * names. */
void takeover_start(struct walk *walk, const struct dns_message *message, enum dns_section section,
                    const char *owner, bool is_private);

/* --- unite.c --- */
/* What the servers of `zone` show of the delegation of `owner`. */
struct shown {
    const char *zone, *owner;
    enum dns_section section; /* of the name servers in the outcome */
    const struct dns_message *messages[ADDRESSES_MAX + 1];
    size_t count; /* one at least */
};
bool shown_names(const struct shown *shown, const struct dns_message *message, const char *server);
/* How many of b's name servers a has, and how many it has not. */
size_t shown_count_common(const struct shown *shown, const struct dns_message *a, const struct dns_message *b,
                          size_t *others);
/* A message with every name server and address that any shows; addresses outside of `owner` only where all
 * give some. `fits`: false where they differ and there are more than a cut has place for. NULL: out of
 * memory. */
const struct dns_message *shown_unite(struct arena *arena, const struct shown *shown, bool *fits);
/* For how many addresses of each of so many servers a cut has place. */
size_t shown_place(size_t servers);

/* --- detour.c --- */
/* After every server has answered NS with an error: by other types. */
void detour_ask(struct walk *walk, const char *failure);
/* The zone on the same server that answers in the cut's place: SOA stands at a zone's own name, and beside
 * each denial. NULL: the cut's own zone does, as far as can be seen. */
const char *detour_find_zone(const struct walk *walk, const struct dns_message *message);
/* Its name servers are not known: enough for who asks whether there is a cut. */
void detour_end_at(struct walk *walk, const char *zone);

/* --- ground.c --- */
/* The server answers from a zone of its own: `message` is NULL where that names no servers. */
void ground_take_own_answer(struct walk *walk, const struct dns_message *message, const char *zone);
/* The server denies something below the cut by the SOA record of a zone below. True: the walk goes on, or
 * ends, by that; false: the server is nobody's of the pool, and this a denial as any. */
bool ground_take_denial(struct walk *walk, const struct dns_message *message, bool is_nxdomain,
                        const char *zone);
/* May the server that was asked serve a customer's zone of the cut's name that is not the one which the cut
 * is delegated to? Then nothing that it says of names below counts. */
bool ground_is_contested(const struct walk *walk);
/* Does the server, one of the provider's, say that of the child from a zone that may be a stranger's? */
bool ground_may_be_strangers(const struct walk *walk, const struct dns_server *server,
                             const struct dns_message *message, const char *child);
/* What the server says may be a stranger's word: it is contested or, of a referral (`owner`; else NULL), it
 * is unclear whether the server has a zone of its own there: where that leaps past names which it was not
 * asked about, or claims authority (AA). */
void ground_take_doubtful(struct walk *walk, const struct dns_message *message, const char *owner,
                          bool is_unclear);
/* None of the servers that were not asked yet answers. */
void ground_conclude(struct walk *walk);
/* By name alone. */
bool ground_is_pool(const struct walk *walk);
