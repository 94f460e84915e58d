/* What a server of the provider says of zones whose holders nobody told the check: any customer may have
 * added a zone of that name and been assigned the server for it, so one server's word is nobody's. A set is
 * assigned to one of them alone, so all servers of a zone together serve the one that is delegated to them:
 * each is asked, and they must say the same (doc/dns-check.md, rule 7). */
#include "internal.h"

#include <string.h>

#define DEPTH                                                                                                \
    3 /* of name servers without addresses: whatever else is looked for on the way has its own bound */

struct agreement {
    struct dnscheck_job *job;
    const struct cut *cut;
    const struct dns_server *asked;
    const char *name;
    uint16_t type;
    const struct dns_message *message;
    const char *owner;    /* of a referral; NULL: an answer */
    const char *anothers; /* each address is asked, whosever the servers are; NULL: those of the provider */
    size_t next;          /* of the cut's name servers */
    size_t pending;       /* of the addresses */
    bool is_over;
    agree_done *done;
    void *context;
};

static void ask_next(struct agreement *agreement);

/* --- the same? --- */

static bool is_same_text(const char *a, const char *b) {
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool is_same_record(const struct dns_record *a, const struct dns_record *b) {
    return a->section == b->section && a->type == b->type && strcmp(a->owner, b->owner) == 0 &&
           is_same_text(a->target, b->target) &&
           memcmp(a->address, b->address, a->type == DNS_A ? 4 : sizeof a->address) == 0 &&
           a->text.length == b->text.length &&
           (a->text.length == 0 || memcmp(a->text.data, b->text.data, a->text.length) == 0);
}

/* Does the record tell what was asked, or where it leads? */
static bool counts(const struct agreement *agreement, const struct dns_record *record) {
    if (agreement->owner != NULL)
        return record->section == DNS_AUTHORITY && record->type == DNS_NS &&
               strcmp(record->owner, agreement->owner) == 0;
    if (record->section != DNS_ANSWER)
        return false;
    return record->type == DNS_DNAME ? dns_is_below(agreement->name, record->owner)
                                     : (record->type == agreement->type || record->type == DNS_CNAME) &&
                                           strcmp(record->owner, agreement->name) == 0;
}

static bool holds(const struct dns_message *message, const struct dns_record *wanted) {
    for (size_t i = 0; i < message->count; i++)
        if (is_same_record(&message->records[i], wanted))
            return true;
    return false;
}

static bool holds_all_of(const struct agreement *agreement, const struct dns_message *a,
                         const struct dns_message *b) {
    for (size_t i = 0; i < b->count; i++)
        if (counts(agreement, &b->records[i]) && !holds(a, &b->records[i]))
            return false;
    return true;
}

static bool says_the_same(const struct agreement *agreement, const struct dns_message *other) {
    const struct dns_message *first = agreement->message;
    return other->rcode == first->rcode && other->is_authoritative == first->is_authoritative &&
           holds_all_of(agreement, first, other) && holds_all_of(agreement, other, first);
}

/* --- asking --- */

static void end(struct agreement *agreement, const char *failure) {
    agreement->is_over = true;
    agreement->done(agreement->context, failure);
}

static const char *disagreement(const struct agreement *agreement) {
    struct arena *arena = agreement->job->scratch;
    const char *zone = agreement->cut->name, *name = agreement->name;
    const char *text =
        agreement->anothers == NULL
            ? arena_printf(arena,
                           "the name servers of %s do not agree about %s, so one of them may serve somebody "
                           "else's zone of that name; wait until all serve the same zone, then try again",
                           zone, name)
            : arena_printf(
                  arena,
                  "the name servers of %s do not agree about %s, the address of a name server on the "
                  "way to %s, which another customer has here, or had lately; wait until all of "
                  "them say the same, then try again",
                  zone, name, agreement->anothers);
    return text == NULL ? "out of memory" : text;
}

/* --- each address --- */

bool agree_is_due(const struct server_list *list, size_t at, const struct dns_server *asked) {
    if (asked != NULL && is_same_server(asked, &list->items[at]))
        return false;
    for (size_t i = 0; i < at; i++)
        if (is_same_server(&list->items[i], &list->items[at]))
            return false;
    return true;
}

static void note_answered(struct agreement *agreement) {
    if (--agreement->pending == 0)
        end(agreement, NULL);
}

/* Who does not answer shows nothing. */
static void on_each(void *context, const struct dns_message *message, const struct dns_server *server,
                    const char *failure) {
    struct agreement *agreement = context;
    (void)server;
    if (agreement->is_over)
        return;
    if (message == NULL && job_is_spent(agreement->job))
        end(agreement, failure);
    else if (message == NULL || says_the_same(agreement, message))
        note_answered(agreement);
    else
        end(agreement, disagreement(agreement));
}

static void on_each_address(void *context, struct cut *cut, const char *failure) {
    struct agreement *agreement = context;
    if (cut == NULL) {
        end(agreement, failure);
        return;
    }
    const struct query_options options = {.needs_signatures = is_signed(agreement->cut),
                                          .zone = agreement->cut->name};
    agreement->pending = 1; /* none ends it before all are asked */
    for (size_t i = 0; i < cut->addresses.count; i++) {
        const struct server_list one = {.items = {cut->addresses.items[i]}, .count = 1};
        if (!agree_is_due(&cut->addresses, i, agreement->asked))
            continue;
        agreement->pending++;
        if (!transport_query(agreement->job, &one, agreement->name, agreement->type, &options, on_each,
                             agreement)) {
            end(agreement, "out of memory");
            return;
        }
    }
    note_answered(agreement);
}

/* Of servers without glue any word is taken: those that have some, or were looked for when none had, are
 * heard in any case, and servers that need each other's addresses would be looked for without end. */
static void ask_each(struct agreement *agreement) {
    if (!agree_find_servers(agreement->job, agreement->cut, NULL, on_each_address, agreement))
        end(agreement, "out of memory");
}

static void pass(struct agreement *agreement) {
    if (agreement->anothers == NULL)
        end(agreement, NULL);
    else
        ask_each(agreement);
}

/* --- each of the provider's --- */

static void on_other(void *context, const struct dns_message *message, const struct dns_server *server,
                     const char *failure) {
    struct agreement *agreement = context;
    (void)server;
    if (message == NULL)
        end(agreement, failure);
    else if (!says_the_same(agreement, message))
        end(agreement, disagreement(agreement));
    else
        ask_next(agreement);
}

static void ask_next(struct agreement *agreement) {
    struct dnscheck_job *job = agreement->job;
    const struct cut *cut = agreement->cut;
    const struct query_options options = {.needs_signatures = is_signed(cut), .zone = cut->name};
    struct server_list list;
    while (agreement->next < cut->server_count &&
           strcmp(cut->servers[agreement->next], agreement->asked->name) == 0)
        agreement->next++;
    if (agreement->next == cut->server_count) {
        pass(agreement);
        return;
    }
    const char *server = cut->servers[agreement->next++];
    list_addresses(cut, server, &list);
    if (list.count == 0)
        end(agreement, cut_why_no_address(job, cut, server, no_address(job, cut->name)));
    else if (!transport_query(job, &list, agreement->name, agreement->type, &options, on_other, agreement))
        end(agreement, "out of memory");
}

static void on_addresses(void *context, struct cut *cut, const char *failure) {
    struct agreement *agreement = context;
    if (cut == NULL) {
        end(agreement, failure);
        return;
    }
    agreement->cut = cut;
    ask_next(agreement);
}

/* Of a name server inside its own zone glue alone tells where it is: without, nobody asks it. */
static void take_server(struct cut *cut, const struct cut *from, const char *name) {
    struct server_list list;
    list_addresses(from, name, &list);
    if (list.count == 0 && dns_is_below(name, from->name))
        return;
    char *own = strcpy(cut->servers[cut->server_count++], name);
    for (size_t i = 0; i < list.count && cut->addresses.count < ADDRESSES_MAX; i++) {
        cut->addresses.items[cut->addresses.count] = list.items[i];
        cut->addresses.items[cut->addresses.count++].name = own;
    }
}

/* Glue may have told where some of them are. */
bool agree_find_servers(struct dnscheck_job *job, const struct cut *from, const char *anothers,
                        addresses_done *done, void *context) {
    struct cut *cut = arena_alloc(job->scratch, sizeof *cut);
    if (cut == NULL)
        return false;
    strcpy(cut->name, from->name);
    cut->trust = from->trust;
    for (size_t i = 0; i < from->server_count; i++)
        take_server(cut, from, from->servers[i]);
    return walk_complete_addresses(job, cut, anothers != NULL ? 1 : DEPTH, anothers, done, context);
}

static void ask_all(struct agreement *agreement) {
    if (!agree_find_servers(agreement->job, agreement->cut, NULL, on_addresses, agreement))
        end(agreement, "out of memory");
}

static void on_pool(void *context, const char *failure) {
    struct agreement *agreement = context;
    enum pool_answer answer = agree_is_needed(agreement->job, agreement->cut);
    if (answer == POOL_UNKNOWN)
        end(agreement,
            failure == NULL ? "the addresses of the provider's name servers are not kept" : failure);
    else if (answer == POOL_YES)
        ask_all(agreement);
    else
        pass(agreement);
}

/* At and above the names of its name servers the provider alone has zones; top-level domains are nobody's.
 * By address no is an answer only from what the pool's names have now: a zone may go by names of its owner's
 * with an address that the records which are kept do not know. */
enum pool_answer agree_is_needed(const struct dnscheck_job *job, const struct cut *cut) {
    const struct dnscheck *dnscheck = job->dnscheck;
    if (dnscheck->settings.name_server_pool_count == 0 || strchr(cut->name, '.') == NULL ||
        pool_find_related(dnscheck, cut->name) != NULL)
        return POOL_NO;
    for (size_t i = 0; i < cut->server_count; i++)
        if (pool_has_name(dnscheck, cut->servers[i]))
            return POOL_YES;
    enum pool_answer answer = pool_has_address(dnscheck, &cut->addresses);
    return answer == POOL_NO && !pool_is_current(job) ? POOL_UNKNOWN : answer;
}

bool agree_start(const struct question *question, agree_done *done, void *context) {
    struct dnscheck_job *job = question->job;
    struct agreement *agreement = arena_alloc(job->scratch, sizeof *agreement);
    const char *name = arena_strdup(job->scratch, question->name);
    if (agreement == NULL || name == NULL)
        return false;
    *agreement = (struct agreement){.job = job,
                                    .cut = question->cut,
                                    .asked = question->server,
                                    .name = name,
                                    .type = question->type,
                                    .message = question->message,
                                    .owner = question->owner,
                                    .anothers = question->anothers,
                                    .done = done,
                                    .context = context};
    enum pool_answer answer = agree_is_needed(job, question->cut);
    if (answer == POOL_NO)
        pass(agreement);
    else if (answer == POOL_YES || job->begin != NULL) /* who looks for the pool cannot wait for it */
        ask_all(agreement);
    else
        return pool_learn(job, on_pool, agreement);
    return true;
}
