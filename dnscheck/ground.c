/* What an answer is worth that shows no delegation. The servers of a cut may have a zone below it as well,
 * and then answer as that zone, with authority and without a word about a delegation. The servers of the
 * provider have the zones of several customers, and anybody may have added that one: from them it proves
 * nothing, unless the cut is a zone of the same customer, itself proven in this walk. So all servers of the
 * cut are asked, until one shows the referral, or that there is nothing; each by itself, all the way
 * (doc/dns-check.md). */
#include "walk.h"

#include <string.h>

/* --- whose ground it is --- */

/* What is known of the zones of that name, "OWN!CONTESTED|SET|SET"; NULL: nobody has one. */
static const char *find_above(const struct walk *walk, const char *name) {
    const struct zone_check *zone = walk->options.zone;
    size_t length = strlen(name);
    for (size_t i = 0; zone != NULL && i < zone->zone.zones_above_count; i++) {
        const char *above = zone->zone.zones_above[i];
        if (strncmp(above, name, length) == 0 && above[length] == '=')
            return above + length + 1;
    }
    return NULL;
}

/* Is the server in the list that begins here? */
static bool lists(const char *servers, const char *server) {
    size_t length = strlen(server);
    for (const char *at = servers;; at++) {
        size_t piece = strcspn(at, ",!|");
        if (piece == length && memcmp(at, server, length) == 0)
            return true;
        at += piece;
        if (*at != ',')
            return false;
    }
}

/* By which of its names the server is in the pool. Where a customer has the zone, an address tells only as
 * the pool's names have it now: he may follow the provider to a new one before the records that are kept have
 * ended, or stay with one that another server has been given since. */
static enum pool_answer find_pool_name(const struct walk *walk, const struct dns_server *server,
                                       const char **name) {
    bool is_old = find_above(walk, walk->cut->name) != NULL && !pool_is_current(walk->job);
    enum pool_answer answer = pool_find_name(walk->job->dnscheck, server, name);
    return is_old && !pool_has_name(walk->job->dnscheck, server->name) ? POOL_UNKNOWN : answer;
}

/* By the provider's name of it, whatever the cut calls it. */
static bool lists_server(const struct walk *walk, const char *servers, const char *server) {
    const struct cut *cut = walk->cut;
    bool is_listed = lists(servers, server);
    for (size_t i = 0; !is_listed && i < cut->addresses.count; i++) {
        const struct dns_server *item = &cut->addresses.items[i];
        const char *name;
        is_listed = strcmp(item->name, server) == 0 && find_pool_name(walk, item, &name) == POOL_YES &&
                    lists(servers, name);
    }
    return is_listed;
}

static bool lists_all(const struct walk *walk, const char *servers) {
    for (size_t i = 0; i < walk->cut->server_count; i++)
        if (!lists_server(walk, servers, walk->cut->servers[i]))
            return false;
    return !walk->cut->has_more_servers && walk->cut->server_count > 0;
}

/* The servers assigned to the customer for his zone of that name; NULL: he has none that counts. */
static const char *find_own(const struct walk *walk, const char *name) {
    const char *own = find_above(walk, name);
    return own == NULL || strcspn(own, "!|") == 0 ? NULL : own;
}

/* Somebody has a zone of the cut's name on the server, but nothing shows that it is the one which the cut is
 * delegated to: several customers' are there, or the cut has servers that are none of his. */
static bool serves_anybodys(const struct walk *walk, const char *above, const char *server) {
    const char *contested = strchr(above, '!');
    if (contested != NULL && lists_server(walk, contested + 1, server))
        return true;
    for (const char *set = above; set != NULL; set = strchr(set, '|'), set += set != NULL ? 1 : 0)
        if (lists_server(walk, set, server) && !lists_all(walk, set))
            return true;
    return false;
}

static const struct dns_server *asked_server(const struct walk *walk) {
    return walk->at < 0 ? NULL : &walk->cut->addresses.items[walk->at];
}

static enum pool_answer is_of_pool(const struct walk *walk, const struct dns_server *server) {
    const char *name;
    return find_pool_name(walk, server, &name);
}

bool ground_is_contested(const struct walk *walk) {
    const char *above = find_above(walk, walk->cut->name), *own = find_own(walk, walk->cut->name);
    const struct dns_server *asked = asked_server(walk);
    if (above == NULL || *above == '\0' || (own != NULL && lists_all(walk, own)))
        return false;
    enum pool_answer is_pools = asked == NULL ? POOL_UNKNOWN : is_of_pool(walk, asked);
    return is_pools == POOL_UNKNOWN || (is_pools == POOL_YES && serves_anybodys(walk, above, asked->name));
}

/* Also whoever goes by an assigned name is the provider's. */
static bool is_providers_server(const struct walk *walk, const struct dns_server *server) {
    const struct dnscheck_zone *zone = &walk->options.zone->zone;
    return name_list_has(zone->name_servers, zone->name_server_count, server->name) ||
           is_of_pool(walk, server) == POOL_YES;
}

static bool speaks_as_child(const struct walk *walk, const struct dns_message *message, const char *child) {
    const struct dns_record *soa = NULL;
    if (dns_find(message, DNS_ANSWER, child, DNS_NS, NULL) != NULL)
        return true;
    for (size_t i = 0; soa == NULL && i < message->count; i++)
        if (message->records[i].section == DNS_AUTHORITY && message->records[i].type == DNS_SOA)
            soa = &message->records[i];
    return soa != NULL && strcmp(soa->owner, walk->cut->name) != 0 &&
           dns_is_below(soa->owner, walk->cut->name);
}

bool ground_may_be_strangers(const struct walk *walk, const struct dns_server *server,
                             const struct dns_message *message, const char *child) {
    const char *above = find_above(walk, walk->cut->name), *own = find_own(walk, walk->cut->name);
    bool is_own = own != NULL && lists_all(walk, own);
    if (walk->options.zone == NULL || !is_providers_server(walk, server))
        return false; /* without a zone all must say the same (rule 7) */
    return speaks_as_child(walk, message, child) ||
           (above != NULL && *above != '\0' && !is_own && serves_anybodys(walk, above, server->name));
}

static bool holds_all(const char *servers, const struct cut *cut) {
    for (size_t i = 0; i < cut->server_count; i++)
        if (!lists(servers, cut->servers[i]))
            return false;
    return true;
}

/* The cut is a zone of this customer, and every server that it was found to have is assigned to him there. */
static bool is_own_ground(const struct walk *walk) {
    const struct cut *cut = walk->cut;
    if (walk->options.zone == NULL || cut->has_more_servers || cut->server_count == 0)
        return false;
    const struct dnscheck_zone *zone = &walk->options.zone->zone;
    const char *servers = find_own(walk, cut->name);
    if (strcmp(cut->name, zone->name) != 0)
        return servers != NULL && holds_all(servers, cut);
    for (size_t i = 0; i < cut->server_count; i++)
        if (!name_list_has(zone->name_servers, zone->name_server_count, cut->servers[i]))
            return false;
    return true;
}

/* Assigned ones are the provider's also where they have left the pool. */
bool ground_is_pool(const struct walk *walk) {
    const struct dnscheck_zone *zone = walk->options.zone == NULL ? NULL : &walk->options.zone->zone;
    bool is_pool = false;
    for (size_t i = 0; i < walk->cut->server_count && !is_pool; i++)
        is_pool = pool_has_name(walk->job->dnscheck, walk->cut->servers[i]) ||
                  (zone != NULL &&
                   name_list_has(zone->name_servers, zone->name_server_count, walk->cut->servers[i]));
    return is_pool || is_own_ground(walk);
}

static bool is_own_zone(const struct walk *walk) {
    const struct dnscheck_zone *zone = walk->options.zone == NULL ? NULL : &walk->options.zone->zone;
    return zone != NULL &&
           (strcmp(zone->name, walk->own_zone) == 0 || find_own(walk, walk->own_zone) != NULL);
}

/* Above a name server of the pool nobody but the provider has a zone (zones_assign_name_servers). */
static bool is_providers_own(const struct walk *walk) {
    const char *server = pool_find_related(walk->job->dnscheck, walk->own_zone);
    return server != NULL && strcmp(server, walk->own_zone) != 0 && dns_is_below(server, walk->own_zone);
}

static bool is_final(const struct walk *walk) {
    return walk->options.kind == WALK_DELEGATION && strcmp(walk->own_zone, walk->name) == 0;
}

/* --- all servers have it --- */

static void take_own_zone(struct walk *walk, bool is_private) {
    if (walk->own_answer != NULL && takeover_is_step(walk, walk->own_zone))
        takeover_start(walk, walk->own_answer, DNS_ANSWER, walk->own_zone, is_private);
    else
        walk_take_cut(walk, walk->own_answer, DNS_ANSWER, walk->own_zone, is_private);
}

static void take_private(struct walk *walk) {
    take_own_zone(walk, walk->ground == GROUND_SHARED && !is_providers_own(walk));
}

static const char *check_parents_word(struct walk *walk, const struct dns_message *message, bool is_alias) {
    struct dnscheck_job *job = walk->job;
    bool is_opt_out;
    if (!is_signed(walk->cut))
        return NULL;
    const char *reason = is_alias
                             ? dnssec_check_set(job->scratch, walk->cut->trust, &job->signatures, message,
                                                DNS_ANSWER, walk->own_zone, DNS_CNAME, &is_opt_out)
                             : dnssec_check_absence(job->scratch, walk->cut->trust, &job->signatures, message,
                                                    walk->own_zone, DNS_DS, true, &is_opt_out);
    return reason == NULL ? NULL : bogus(job, walk->cut->name, reason);
}

static const char *tell_silent(const struct walk *walk) {
    const char *text = arena_printf(walk->job->scratch,
                                    "those name servers of %s that answer have %s as well and show no "
                                    "delegation of it, the others do not answer: %s",
                                    walk->cut->name, walk->own_zone, walk->failure);
    return text == NULL ? "out of memory" : text;
}

static void end_unproven(struct walk *walk) {
    walk_end(walk, false, walk->failure == NULL ? walk_hidden : tell_silent(walk));
}

/* DS is the parent's to answer (RFC 4035 3.1.4.1): where that says that there is no such name, or an alias,
 * or where the child answers even this, nothing is delegated. NSD finds the name by the child and says
 * NODATA: only DNSSEC tells there. */
static void on_parents_word(void *context, const struct dns_message *message, const struct dns_server *server,
                            const char *failure) {
    struct walk *walk = context;
    (void)server;
    bool may_end = walk->is_believed || walk->options.kind == WALK_DELEGATION;
    bool is_childs =
        message != NULL && dns_find(message, DNS_AUTHORITY, walk->own_zone, DNS_SOA, NULL) != NULL;
    bool is_alias = message != NULL && dns_find(message, DNS_ANSWER, walk->own_zone, DNS_CNAME, NULL) != NULL;
    if (message == NULL)
        walk_end(walk, false, failure);
    else if (!is_childs && !is_alias && message->rcode != DNS_NXDOMAIN && walk->is_believed)
        take_private(walk);
    else if (!may_end || (!is_childs && !is_alias && message->rcode != DNS_NXDOMAIN))
        end_unproven(walk); /* and every server would answer from that zone, whatever is asked */
    else
        walk_end(walk, false, is_childs ? NULL : check_parents_word(walk, message, is_alias));
}

static void ask_parents_word(struct walk *walk, query_done *done) {
    const struct query_options options = {.is_shared = walk->options.kind != WALK_TARGET,
                                          .needs_signatures = is_signed(walk->cut),
                                          .zone = walk->cut->name};
    if (!transport_query(walk->job, &walk->cut->addresses, walk->own_zone, DNS_DS, &options, done, walk))
        walk_end(walk, false, "out of memory");
}

/* May the answers that all servers give be believed, unless the parent denies? */
static bool can_be_believed(const struct walk *walk, bool is_own) {
    bool is_unanimous = walk->options.takes_unanimous && walk->failure == NULL;
    return walk->own_answer != NULL &&
           (walk->ground != GROUND_SHARED || is_own || is_unanimous || is_providers_own(walk));
}

void ground_conclude(struct walk *walk) {
    bool is_own = is_own_ground(walk) && is_own_zone(walk);
    bool is_from_cache = walk->cut->parent == NULL && *walk->cut->name != '\0';
    walk->is_believed = can_be_believed(walk, is_own);
    if (walk->options.kind == WALK_FIRST_CUT) /* a zone that nobody delegated stands in the way as well */
        take_own_zone(walk, true);
    else if (walk->word == WORD_BOGUS)
        walk_end(walk, false, walk->failure);
    else if (walk->is_believed && is_own && is_from_cache && walk->options.kind == WALK_DELEGATION)
        walk_restart_above(walk, walk->cut->name); /* who has it now? */
    else if (walk->word != WORD_OPEN)
        ask_parents_word(walk, on_parents_word);
    else if (walk->is_believed)
        take_private(walk);
    else
        end_unproven(walk);
}

/* --- one server has it --- */

static void ask_others(struct walk *walk) {
    if (walk_strike(walk))
        walk_restart(walk);
    else
        ground_conclude(walk);
}

/* Elsewhere than on the provider's servers, where parent and child often share them, it is believed as
 * resolvers do; but what the customer's own zone depends on is asked of all. */
static void go_on_by_ground(struct walk *walk) {
    bool needs_all = walk->ground == GROUND_SHARED || is_final(walk);
    if (needs_all)
        ask_others(walk);
    else
        ground_conclude(walk);
}

static void note_pool(struct walk *walk) {
    enum pool_answer answer = pool_has_address(walk->job->dnscheck, &walk->cut->addresses);
    if (answer == POOL_NO && find_above(walk, walk->cut->name) != NULL && !pool_is_current(walk->job))
        answer = POOL_UNKNOWN;
    if (answer != POOL_UNKNOWN)
        walk->ground = answer == POOL_YES ? GROUND_SHARED : GROUND_FOREIGN;
}

static void fail_without_pool(struct walk *walk, const char *failure) {
    const char *text =
        arena_printf(walk->job->scratch,
                     "the addresses of the provider's name servers cannot be found, so nobody can say whose "
                     "the servers of %s are: %s",
                     walk->cut->name, failure == NULL ? "their records are not kept" : failure);
    walk_end(walk, false, text == NULL ? "out of memory" : text);
}

static void on_pool(void *context, const char *failure) {
    struct walk *walk = context;
    note_pool(walk);
    if (walk->ground != GROUND_UNKNOWN) {
        go_on_by_ground(walk);
        return;
    }
    fail_without_pool(walk, failure);
}

/* Who is asked for the addresses of the pool cannot wait for them. */
static bool knows_ground(struct walk *walk) {
    if (walk->ground == GROUND_UNKNOWN && ground_is_pool(walk))
        walk->ground = GROUND_SHARED;
    if (walk->ground == GROUND_UNKNOWN &&
        (walk->job->begin != NULL || (walk->own_zone != NULL && is_providers_own(walk))))
        walk->ground = GROUND_FOREIGN;
    if (walk->ground == GROUND_UNKNOWN)
        note_pool(walk);
    return walk->ground != GROUND_UNKNOWN;
}

static void judge_by_ground(struct walk *walk) {
    if (walk->options.kind == WALK_FIRST_CUT)
        ask_others(walk);
    else if (knows_ground(walk))
        go_on_by_ground(walk);
    else if (!pool_learn(walk->job, on_pool, walk))
        walk_end(walk, false, "out of memory");
}

/* In a signed zone the proof tells whether anything is delegated; to whom, only the keys. */
static void on_signed_word(void *context, const struct dns_message *message, const struct dns_server *server,
                           const char *failure) {
    struct walk *walk = context;
    struct dnscheck_job *job = walk->job;
    const char *reason = NULL;
    (void)server;
    if (message == NULL) {
        walk->word = WORD_BOGUS;
        walk->failure = failure;
        judge_by_ground(walk);
        return;
    }
    switch (
        dnssec_judge_ds(job->scratch, walk->cut->trust, &job->signatures, message, walk->own_zone, &reason)) {
    case DS_KEYS:
        walk->word = WORD_OPEN;
        if (is_final(walk) || !ground_is_pool(walk)) {
            take_own_zone(walk, false);
            return;
        }
        break;
    case DS_NO_KEYS:
    case DS_OPT_OUT:
        walk->word = WORD_OPEN;
        break;
    case DS_NO_DELEGATION:
        if (strcmp(walk->own_zone, walk->name) == 0) {
            walk_end(walk, false, NULL);
            return;
        }
        break;
    case DS_BOGUS:
        if (dns_find(message, DNS_AUTHORITY, walk->own_zone, DNS_SOA, NULL) == NULL) {
            walk->word = WORD_BOGUS;
            walk->failure = bogus(job, walk->cut->name, reason);
        }
        break;
    }
    judge_by_ground(walk);
}

void ground_take_own_answer(struct walk *walk, const struct dns_message *message, const char *zone) {
    bool is_first = walk->own_zone == NULL;
    if (is_first || walk->own_answer == NULL) {
        walk->own_zone = zone;
        walk->own_answer = message;
        walk->own_server = walk->at < 0 ? "?" : walk->cut->addresses.items[walk->at].name;
    }
    if (!is_first)
        ask_others(walk);
    else if (is_signed(walk->cut) && walk->options.kind != WALK_FIRST_CUT)
        ask_parents_word(walk, on_signed_word);
    else
        judge_by_ground(walk);
}

/* --- a denial from a zone below --- */

struct denial {
    struct walk *walk;
    const struct dns_message *message;
    bool is_nxdomain;
};

static void on_pool_for_denial(void *context, const char *failure) {
    struct denial *denial = context;
    note_pool(denial->walk);
    if (denial->walk->ground == GROUND_UNKNOWN)
        fail_without_pool(denial->walk, failure);
    else
        walk_take_denial(denial->walk, denial->message, denial->is_nxdomain);
}

bool ground_take_denial(struct walk *walk, const struct dns_message *message, bool is_nxdomain,
                        const char *zone) {
    if (knows_ground(walk)) {
        if (walk->ground == GROUND_SHARED)
            ground_take_own_answer(walk, NULL, zone);
        return walk->ground == GROUND_SHARED;
    }
    struct denial *denial = arena_alloc(walk->job->scratch, sizeof *denial);
    if (denial != NULL)
        *denial = (struct denial){walk, message, is_nxdomain};
    if (denial == NULL || !pool_learn(walk->job, on_pool_for_denial, denial))
        walk_end(walk, false, "out of memory");
    return true;
}

/* --- answers that may be a stranger's --- */

struct doubt {
    struct walk *walk;
    const struct dns_message *message;
    const char *owner; /* of a referral; NULL: there is no cut, it says */
    bool is_unclear;   /* whether the server has a zone of its own there */
};

static void pass_over(const struct doubt *doubt, const char *failure) {
    static const char is_muddled[] = "a name server of the provider shows a delegation, but claims authority "
                                     "for it (AA), so nobody can say "
                                     "whether it answers from a zone of its own";
    static const char is_unclear[] =
        "a name server of a zone on the way shows a delegation, but answers no question about names above it";
    static const char is_anybodys[] =
        "the name servers of a zone on the way may serve another customer's zone of that name than the one "
        "that is delegated to them, so nobody can say whose delegation they show; ask the provider to give "
        "several customers' zones of one name servers of their own";
    struct walk *walk = doubt->walk;
    walk->failure = failure != NULL                    ? failure
                    : ground_is_contested(walk)        ? is_anybodys
                    : doubt->message->is_authoritative ? is_muddled
                                                       : is_unclear;
    if (walk_strike(walk))
        walk_restart(walk);
    else if (walk->own_zone != NULL)
        ground_conclude(walk);
    else
        walk_end(walk, false, walk->failure);
}

static void judge_doubt(struct doubt *doubt, const char *failure) {
    struct walk *walk = doubt->walk;
    bool is_taken = walk->ground == GROUND_FOREIGN || (!doubt->is_unclear && !ground_is_contested(walk));
    if (!is_taken)
        pass_over(doubt, failure);
    else if (doubt->owner != NULL)
        walk_accept_referral(walk, doubt->message, doubt->owner);
    else
        walk_take_no_cut(walk, doubt->message);
}

static void on_pool_for_doubt(void *context, const char *failure) {
    struct doubt *doubt = context;
    if (doubt->walk->ground != GROUND_SHARED)
        note_pool(doubt->walk);
    judge_doubt(doubt, failure);
}

/* Names of the pool among the cut's do not tell whose its other servers are. */
static bool is_unknown(const struct walk *walk) {
    const struct cut *cut = walk->cut;
    if (walk->job->begin != NULL || asked_server(walk) == NULL)
        return false;
    for (size_t i = 0; i < cut->addresses.count; i++)
        if (is_of_pool(walk, &cut->addresses.items[i]) == POOL_UNKNOWN)
            return true;
    return false;
}

void ground_take_doubtful(struct walk *walk, const struct dns_message *message, const char *owner,
                          bool is_unclear) {
    struct doubt *doubt = arena_alloc(walk->job->scratch, sizeof *doubt);
    if (doubt == NULL) {
        walk_end(walk, false, "out of memory");
        return;
    }
    *doubt = (struct doubt){walk, message, owner, is_unclear};
    if (knows_ground(walk) && !is_unknown(walk))
        judge_doubt(doubt, NULL);
    else if (!pool_learn(walk->job, on_pool_for_doubt, doubt))
        walk_end(walk, false, "out of memory");
}
