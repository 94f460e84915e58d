/* Walking from the root: referrals, glue inside bailiwick, name servers without glue, empty non-terminals,
 * parent and child on one server. Each step asks for the next label only (RFC 9156). */
#include "walk.h"

#include <string.h>

#define DEPTH_MAX 5 /* name servers whose names need name servers whose names ... */

static void step(struct walk *walk);
static query_done on_answer;

const char walk_hidden[] = "the name servers have a zone that nobody is shown to have delegated";

/* --- cuts --- */

static struct cut *copy_to_scratch(struct dnscheck_job *job, const struct cut *from) {
    struct cut *to = arena_alloc(job->scratch, sizeof *to);
    if (to != NULL)
        cut_copy(to, from);
    return to == NULL || job_keep_trust(job, trust_hold(to->trust)) ? to : NULL;
}

/* All its name servers lie in it, and nobody has said where they are. */
bool cut_lacks_glue(const struct cut *cut) {
    for (size_t i = 0; i < cut->server_count; i++)
        if (!dns_is_below(cut->servers[i], cut->name))
            return false;
    return cut->addresses.count == 0;
}

/* Glue counts only for names below the zone that gives it: a server may speak for its own part of the tree
 * alone. */
static void take_glue(struct walk *walk, struct cut *cut, const struct dns_message *message) {
    for (size_t i = 0; i < cut->server_count; i++) {
        if (*walk->cut->name != '\0' && !dns_is_below(cut->servers[i], walk->cut->name))
            continue;
        for (size_t k = 0; k < message->count; k++) {
            const struct dns_record *record = &message->records[k];
            if ((record->type == DNS_A || record->type == DNS_AAAA) &&
                strcmp(record->owner, cut->servers[i]) == 0)
                cut_add_address(walk->job->dnscheck, cut, cut->servers[i],
                                record->type == DNS_A ? AF_INET : AF_INET6, record->address);
        }
    }
}

/* Without glue a zone is found by those alone who delegate it: what is cached does not know them. What one
 * customer's zones prove is for that customer alone. */
static void keep_referral(const struct walk *walk) {
    const struct trust *trust = walk->cut->trust;
    uint32_t ttl = trust != NULL && trust->valid_s < walk->ttl ? trust->valid_s : walk->ttl;
    if (!cut_lacks_glue(walk->cut) && !walk->cut->is_private)
        referral_cache_put(walk->job->dnscheck->cache, walk->cut, ttl);
}

/* Was the check told who has zones of the cut's name? Of those above the zone that it is about. */
static bool knows_holders(const struct walk *walk) {
    const struct zone_check *zone = walk->options.zone;
    return walk->options.kind == WALK_DELEGATION || walk->options.kind == WALK_FIRST_CUT ||
           (zone != NULL && strcmp(zone->zone.name, walk->cut->name) != 0 &&
            dns_is_below(zone->zone.name, walk->cut->name));
}

/* That was asked, of several: what it refers to is for those who take any server's word. */
static bool is_one_servers(const struct walk *walk, enum dns_section section) {
    return walk->cut->is_one_servers ||
           (section == DNS_AUTHORITY && walk->options.takes_unanimous && !knows_holders(walk) &&
            agree_is_needed(walk->job, walk->cut) != POOL_NO);
}

static void reset_way(struct walk *walk) {
    walk->labels = 1;
    walk->clear = 0;
    walk->is_relaxed = walk->all_choke = false;
    walk->left = UINT32_MAX;
    walk->at = -1;
    walk->failure = NULL;
    walk->ground = GROUND_UNKNOWN;
    walk->own_zone = walk->own_server = NULL;
    walk->own_answer = NULL;
    walk->word = WORD_NONE;
    walk->is_believed = false;
}

void walk_take_cut(struct walk *walk, const struct dns_message *message, enum dns_section section,
                   const char *owner, bool is_private) {
    struct dnscheck *dnscheck = walk->job->dnscheck;
    struct cut *cut = arena_alloc(walk->job->scratch, sizeof *cut);
    uint32_t ttl = dnscheck->settings.referral_max_ttl;
    if (cut == NULL || strlen(owner) >= DNS_NAME_MAX) {
        walk_end(walk, false, "out of memory");
        return;
    }
    strcpy(cut->name, owner);
    for (const struct dns_record *record = NULL;
         message != NULL && (record = dns_find(message, section, owner, DNS_NS, record)) != NULL;) {
        if (cut->server_count < SERVERS_MAX && strlen(record->target) < DNS_NAME_MAX)
            strcpy(cut->servers[cut->server_count++], record->target);
        else
            cut->has_more_servers = true;
        ttl = record->ttl < ttl ? record->ttl : ttl;
    }
    if (message != NULL)
        take_glue(walk, cut, message);
    cut->is_own_answer = section == DNS_ANSWER;
    cut->is_private = is_private || walk->cut->is_private;
    cut->is_one_servers = is_one_servers(walk, section);
    cut->is_agreed = message != NULL && takeover_is_step(walk, owner);
    cut->parent = walk->cut;
    cut->until_ms = cut_earlier_ms(walk->cut->until_ms, clock_monotonic_ms() + (int64_t)ttl * 1000);
    walk->cut = cut;
    walk->ttl = ttl;
    reset_way(walk);
    if (walk->options.kind == WALK_FIRST_CUT) {
        walk_end(walk, false, NULL);
        return;
    }
    if (dnscheck->anchors == NULL)
        keep_referral(walk);
    step(walk);
}

/* --- the steps --- */

/* The last `labels` labels of the name below the cut, and the cut. */
const char *walk_child(const struct walk *walk) {
    if (walk->is_relaxed)
        return walk->name;
    size_t have = 0, length = strlen(walk->name), cut_length = strlen(walk->cut->name);
    const char *end = walk->name + length - cut_length; /* the character after the dot before the cut */
    const char *at = end;
    if (cut_length > 0)
        at--; /* on the dot */
    while (at > walk->name) {
        if (at[-1] == '.' && ++have == walk->labels)
            return at;
        at--;
    }
    return walk->name;
}

static unsigned labels_below(const char *name, const char *zone) {
    unsigned count = 1;
    for (const char *at = name, *end = name + strlen(name) - strlen(zone) - (*zone != '\0'); at < end; at++)
        count += *at == '.';
    return count;
}

/* Broken servers deny empty non-terminals or choke on NS questions: asked for the whole name they do better.
 */
static bool relax(struct walk *walk) {
    if (walk->is_relaxed || strcmp(walk_child(walk), walk->name) == 0)
        return false;
    walk->is_relaxed = true;
    step(walk);
    return true;
}

const char *walk_check_absence(struct walk *walk, const struct dns_message *message, uint16_t type,
                               bool is_nxdomain) {
    bool is_opt_out;
    if (walk->cut->trust == NULL)
        return NULL;
    const char *reason = dnssec_check_absence(walk->job->scratch, walk->cut->trust, &walk->job->signatures,
                                              message, walk_child(walk), type, is_nxdomain, &is_opt_out);
    return reason == NULL ? NULL : bogus(walk->job, walk->cut->name, reason);
}

/* What a DNAME makes is not signed itself. */
const char *walk_check_alias(struct walk *walk, const struct dns_message *message) {
    const char *child = walk_child(walk);
    const struct dns_record *dname = dns_find_dname(message, walk->cut->name, child);
    bool is_opt_out;
    if (walk->cut->trust == NULL)
        return NULL;
    const char *reason = dnssec_check_set(walk->job->scratch, walk->cut->trust, &walk->job->signatures,
                                          message, DNS_ANSWER, dname != NULL ? dname->owner : child,
                                          dname != NULL ? DNS_DNAME : DNS_CNAME, &is_opt_out);
    return reason == NULL ? NULL : bogus(walk->job, walk->cut->name, reason);
}

void walk_end(struct walk *walk, bool is_nxdomain, const char *failure) {
    const struct walk_result result = {
        .cut = failure == NULL ? walk->cut : NULL,
        .server = walk->at < 0 ? NULL : &walk->cut->addresses.items[walk->at],
        .is_nxdomain = failure == NULL && is_nxdomain,
        .failure = failure,
        .is_hidden = failure == walk_hidden,
        .ground = walk->cut->name,
        .own_zone = walk->own_zone,
        .own_server = walk->own_server,
    };
    walk->done(walk->context, &result);
}

/* --- which servers are asked --- */

static uint32_t all_of(const struct cut *cut) {
    return cut->addresses.count == ADDRESSES_MAX ? UINT32_MAX : (UINT32_C(1) << cut->addresses.count) - 1;
}

bool is_same_server(const struct dns_server *a, const struct dns_server *b) {
    if (a->address.any.sa_family != b->address.any.sa_family)
        return false;
    return a->address.any.sa_family == AF_INET
               ? a->address.v4.sin_addr.s_addr == b->address.v4.sin_addr.s_addr
               : memcmp(&a->address.v6.sin6_addr, &b->address.v6.sin6_addr, 16) == 0;
}

static int find_place(const struct cut *cut, const struct dns_server *server) {
    for (size_t i = 0; server != NULL && i < cut->addresses.count; i++)
        if (is_same_server(&cut->addresses.items[i], server))
            return (int)i;
    return -1;
}

void walk_note_server(struct walk *walk, const struct dns_server *server) {
    walk->at = find_place(walk->cut, server);
}

static void list_servers(const struct walk *walk, struct server_list *out) {
    out->count = 0;
    for (size_t i = 0; i < walk->cut->addresses.count; i++)
        if (walk->at < 0 ? (walk->left >> i & 1) != 0 : (size_t)walk->at == i)
            out->items[out->count++] = walk->cut->addresses.items[i];
}

/* Within a zone that was found, whose own answers are nobody else's business. */
bool walk_is_in_zone(const struct walk *walk) {
    return walk->options.kind == WALK_FIRST_CUT || walk->options.kind == WALK_TARGET;
}

bool walk_ask(struct walk *walk, uint16_t type, query_done *done) {
    const struct query_options options = {.is_shared = !walk_is_in_zone(walk),
                                          .needs_signatures = is_signed(walk->cut),
                                          .zone = walk->cut->name};
    struct server_list some;
    const struct server_list *servers = &walk->cut->addresses;
    if (walk->at >= 0 || (walk->left & all_of(walk->cut)) != all_of(walk->cut)) {
        list_servers(walk, &some);
        servers = &some;
    }
    return transport_query(walk->job, servers, walk_child(walk), type, &options, done, walk);
}

bool walk_strike(struct walk *walk) {
    walk->left = walk->at < 0 ? 0 : walk->left & all_of(walk->cut) & ~(UINT32_C(1) << walk->at);
    return walk->left != 0;
}

void walk_restart(struct walk *walk) {
    walk->at = -1;
    walk->labels = 1;
    walk->clear = 0;
    walk->is_relaxed = walk->all_choke;
    step(walk);
}

/* The server that was asked, or all that were left. */
static void take_failure(struct walk *walk, const char *failure) {
    walk->failure = failure;
    if (walk_strike(walk)) {
        walk_restart(walk);
    } else if (walk->own_zone != NULL) {
        ground_conclude(walk);
    } else if (!walk->all_choke && strcmp(walk_child(walk), walk->name) != 0) {
        walk->all_choke = true;
        walk->left = UINT32_MAX;
        walk_restart(walk);
    } else {
        detour_ask(walk, failure);
    }
}

/* --- answers --- */

/* By the SOA record of a denial it comes from a zone below the cut. */
static const char *find_own_zone(const struct walk *walk, const struct dns_message *message) {
    const char *child = walk_child(walk), *cut = walk->cut->name;
    for (size_t i = 0; i < message->count; i++) {
        const struct dns_record *record = &message->records[i];
        if (record->section == DNS_AUTHORITY && record->type == DNS_SOA && strcmp(record->owner, cut) != 0 &&
            dns_is_below(record->owner, cut) && dns_is_below(child, record->owner))
            return record->owner;
    }
    return NULL;
}

void walk_take_denial(struct walk *walk, const struct dns_message *message, bool is_nxdomain) {
    const char *own_zone = find_own_zone(walk, message);
    if (own_zone != NULL && ground_take_denial(walk, message, is_nxdomain, own_zone))
        return;
    own_zone = walk_is_in_zone(walk) ? detour_find_zone(walk, message) : NULL;
    if (own_zone != NULL) { /* where a label was passed over */
        detour_end_at(walk, own_zone);
        return;
    }
    if (!walk->is_relaxed)
        walk->clear = walk->labels;
    if (is_nxdomain && relax(walk))
        return;
    const char *failure = walk_check_absence(walk, message, DNS_NS, is_nxdomain);
    if (failure != NULL || is_nxdomain || strcmp(walk_child(walk), walk->name) == 0) {
        walk_end(walk, is_nxdomain, failure);
        return;
    }
    walk->labels++; /* an empty non-terminal or a plain name: no cut here */
    step(walk);
}

static void take_shown(struct walk *walk, const struct dns_message *message, const char *owner) {
    if (takeover_is_step(walk, owner))
        takeover_start(walk, message, DNS_AUTHORITY, owner, false);
    else
        walk_take_cut(walk, message, DNS_AUTHORITY, owner, false);
}

struct referral {
    struct walk *walk;
    const struct dns_message *message;
    const char *owner;
};

static void on_agreed(void *context, const char *failure) {
    const struct referral *referral = context;
    if (failure != NULL)
        walk_end(referral->walk, false, failure);
    else
        take_shown(referral->walk, referral->message, referral->owner);
}

static void ask_whether_all_agree(struct walk *walk, const struct dns_message *message, const char *owner) {
    struct referral *referral = arena_alloc(walk->job->scratch, sizeof *referral);
    const struct question question = {.job = walk->job,
                                      .cut = walk->cut,
                                      .server = &walk->cut->addresses.items[walk->at],
                                      .name = walk_child(walk),
                                      .type = DNS_NS,
                                      .message = message,
                                      .owner = owner};
    if (referral != NULL)
        *referral = (struct referral){walk, message, owner};
    if (referral == NULL || !agree_start(&question, on_agreed, referral))
        walk_end(walk, false, "out of memory");
}

void walk_take_referral(struct walk *walk, const struct dns_message *message, const char *owner) {
    bool is_leap = labels_below(owner, walk->cut->name) > walk->clear + 1;
    /* Within a zone whatever looks like a further cut stands in the way. */
    bool is_muddled = message->is_authoritative && walk->options.kind != WALK_FIRST_CUT;
    if (is_leap || is_muddled || ground_is_contested(walk))
        ground_take_doubtful(walk, message, owner, is_leap || is_muddled);
    else
        walk_accept_referral(walk, message, owner);
}

void walk_accept_referral(struct walk *walk, const struct dns_message *message, const char *owner) {
    if (walk->at < 0 || walk->options.takes_unanimous || knows_holders(walk))
        take_shown(walk, message, owner);
    else
        ask_whether_all_agree(walk, message, owner);
}

/* An NXDOMAIN beside an alias is about its target (RFC 6604 3). */
static bool is_denied(const struct walk *walk, const struct dns_message *message) {
    return message->rcode == DNS_NXDOMAIN &&
           dns_find(message, DNS_ANSWER, walk_child(walk), DNS_CNAME, NULL) == NULL;
}

void walk_take_no_cut(struct walk *walk, const struct dns_message *message) {
    if (dns_find(message, DNS_ANSWER, walk_child(walk), DNS_CNAME, NULL) != NULL) /* nothing is below */
        walk_end(walk, false, walk_check_alias(walk, message));
    else
        walk_take_denial(walk, message, is_denied(walk, message));
}

static void on_answer(void *context, const struct dns_message *message, const struct dns_server *server,
                      const char *failure) {
    struct walk *walk = context;
    if (message == NULL) {
        take_failure(walk, failure);
        return;
    }
    walk_note_server(walk, server);
    const char *child = walk_child(walk);
    const struct dns_record *referral = dns_take_referral(message, walk->cut->name, walk->name);
    if (referral != NULL && message->rcode == DNS_NOERROR)
        walk_take_referral(walk, message, referral->owner);
    else if (!message->is_authoritative)
        take_failure(walk, failure_lame(walk->job->scratch, server->name, walk->cut->name));
    else if (!is_denied(walk, message) && dns_find(message, DNS_ANSWER, child, DNS_NS, NULL) != NULL)
        ground_take_own_answer(walk, message, child);
    else if (ground_is_contested(walk))
        ground_take_doubtful(walk, message, NULL, false);
    else
        walk_take_no_cut(walk, message);
}

static void on_addresses(void *context, struct cut *cut, const char *failure) {
    struct walk *walk = context;
    if (cut == NULL || cut->addresses.count == 0)
        walk_end(walk, false,
                 cut_why_no_address(walk->job, cut, NULL,
                                    failure != NULL ? failure : no_address(walk->job, walk->cut->name)));
    else
        step(walk);
}

static void on_trust(void *context, const char *failure) {
    struct walk *walk = context;
    if (failure != NULL) {
        walk_end(walk, false, failure);
        return;
    }
    if (walk->cut->parent != NULL)
        keep_referral(walk);
    step(walk);
}

/* Where it ends addresses are needed too: who looks for a cut asks its servers. */
static void step(struct walk *walk) {
    struct dnscheck_job *job = walk->job;
    bool has_arrived = strcmp(walk->cut->name, walk->name) == 0, is_started;
    if (has_arrived && walk->options.kind == WALK_DELEGATION) {
        walk_end(walk, false, NULL);
        return;
    }
    if (job->dnscheck->anchors != NULL && walk->cut->trust == NULL) {
        is_started = trust_establish(job, walk->cut->parent, walk->cut, &walk->options, on_trust, walk);
    } else if (walk->cut->addresses.count == 0) {
        is_started = walk_complete_addresses(job, walk->cut, walk->options.depth + 1, walk->options.anothers,
                                             on_addresses, walk);
    } else if (has_arrived) {
        walk_end(walk, false, NULL);
        return;
    } else {
        is_started = walk_ask(walk, DNS_NS, on_answer);
    }
    if (!is_started)
        walk_end(walk, false, "out of memory");
}

/* Did enough servers say so for a walk like this? */
static bool may_begin_at(const struct cut *cut, const struct walk_options *options) {
    return (!cut->is_one_servers || options->takes_unanimous) && takeover_may_begin_at(options, cut);
}

/* `past`: at it and below nothing that is cached counts; NULL: all of it. */
static const struct cut *find_start(struct dnscheck_job *job, const char *name,
                                    const struct walk_options *options, const char *past) {
    struct dnscheck *dnscheck = job->dnscheck;
    bool asks_parent = options->kind == WALK_DELEGATION;
    for (const char *suffix = name;; suffix += 1) {
        bool is_passed = (asks_parent && suffix == name) || (past != NULL && dns_is_below(suffix, past));
        const struct cut *cut = is_passed ? NULL : referral_cache_find(dnscheck->cache, suffix);
        if (cut != NULL && may_begin_at(cut, options)) {
            dnscheck->counters.cache_hits++;
            return cut;
        }
        suffix = strchr(suffix, '.');
        if (suffix == NULL)
            break;
    }
    if (dnscheck->root.trust != NULL && dnscheck->root_trust_until_ms <= clock_monotonic_ms()) {
        trust_release(dnscheck->root.trust);
        dnscheck->root.trust = NULL;
    }
    return &dnscheck->root;
}

void walk_restart_above(struct walk *walk, const char *name) {
    struct cut *cut = copy_to_scratch(walk->job, find_start(walk->job, walk->name, &walk->options, name));
    if (cut == NULL) {
        walk_end(walk, false, "out of memory");
        return;
    }
    walk->cut = cut;
    walk->ttl = walk->job->dnscheck->settings.referral_max_ttl;
    reset_way(walk);
    step(walk);
}

static bool start(struct dnscheck_job *job, struct cut *cut, const struct dns_server *server,
                  const char *name, const struct walk_options *options, walk_done *done, void *context) {
    struct walk *walk = arena_alloc(job->scratch, sizeof *walk);
    if (walk == NULL || cut == NULL || strlen(name) >= sizeof walk->name)
        return false;
    *walk = (struct walk){.job = job,
                          .cut = cut,
                          .options = *options,
                          .ttl = job->dnscheck->settings.referral_max_ttl,
                          .done = done,
                          .context = context};
    reset_way(walk);
    walk->at = find_place(cut, server);
    strcpy(walk->name, name);
    if (options->depth > DEPTH_MAX)
        walk_end(walk, false, "name servers that need each other's addresses; one of their zones needs glue");
    else if (strchr(name, '\\') != NULL) /* only a hostile zone leads there */
        walk_end(walk, false, "the way leads to a name that no host has; change the record that names it");
    else
        step(walk);
    return true;
}

/* The topmost zone above that anybody has. What is cached of it may be older than whose it is: who sold it
 * must not delegate below it any more. */
static const char *find_top(const struct zone_check *zone, char out[DNS_NAME_MAX]) {
    size_t shortest = 0;
    for (size_t i = 0; zone != NULL && i < zone->zone.zones_above_count; i++) {
        size_t length = strcspn(zone->zone.zones_above[i], "=");
        if (length >= DNS_NAME_MAX || (shortest != 0 && length >= shortest))
            continue;
        shortest = length;
        memcpy(out, zone->zone.zones_above[i], length);
        out[length] = '\0';
    }
    return shortest == 0 ? NULL : out;
}

bool walk_find_cut(struct dnscheck_job *job, const char *name, const struct walk_options *options,
                   walk_done *done, void *context) {
    char top[DNS_NAME_MAX];
    const char *past = options->kind == WALK_DELEGATION ? find_top(options->zone, top) : NULL;
    struct cut *cut = copy_to_scratch(job, find_start(job, name, options, past));
    return start(job, cut, NULL, name, options, done, context);
}

bool walk_find_cut_below(struct dnscheck_job *job, struct cut *from, const char *name, walk_done *done,
                         void *context) {
    static const struct walk_options options = {.kind = WALK_FIRST_CUT};
    return start(job, from, NULL, name, &options, done, context);
}

bool walk_find_cut_of_target(struct dnscheck_job *job, const struct cut *from,
                             const struct dns_server *server, const char *name,
                             const struct walk_options *options, walk_done *done, void *context) {
    return start(job, copy_to_scratch(job, from), server, name, options, done, context);
}
