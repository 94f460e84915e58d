/* Fuzz target: asking servers and sharing their answers - transport.c and share.c, on the loop and the
 * network of fuzz_net.c.
 *
 * The input is a list of steps: jobs ask overlapping sets of servers the same few questions, servers answer
 * rightly or not, time passes, calls fail, jobs are cancelled and end. Every answer carries a number by which
 * the target knows who was asked what, where and when, and holds the transport to it: each query is done
 * once, with an answer to its own question from a server of its own, given to it or to one it waited with, or
 * a yes that still stands. The two files are included, for their tables are looked into after each step. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>

#include "../../dnscheck/internal.h"
#include "fuzz_net.h"
#include "fuzz_reply.h"

#define socket(family, type, protocol) fuzz_socket(family, type, protocol)
#define connect(fd, address, length) fuzz_connect(fd, address, length)
#define send(fd, bytes, length, flags) fuzz_send(fd, bytes, length, flags)
#define recv(fd, out, room, flags) fuzz_recv(fd, out, room, flags)
#define close(fd) fuzz_close(fd)
#define malloc(size) fuzz_malloc(size)
#define calloc(count, size) fuzz_calloc(count, size)
#define event_new(base, fd, what, callback, context) fuzz_event_new(base, fd, what, callback, context)
#define event_add(event, delay) fuzz_event_add(event, delay)
#define event_active(event, what, calls) fuzz_event_active(event, what, calls)
#define event_free(event) fuzz_event_free(event)
#include "../../dnscheck/share.c"
#include "../../dnscheck/transport.c"

#define JOBS 4
#define ASKED_MAX 96
#define GIVEN_MAX 512
#define SERVERS 8
#define SMALL_ARENA 16384 /* a few queries and answers fill it */
#define MUST(condition)                                                                                      \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            fprintf(stderr, "does not hold: %s (%s line %d)\n", #condition, __func__, __LINE__);             \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)
#pragma clang attribute push(__attribute__((no_sanitize("coverage"))), apply_to = function)

enum how { IS_SHARED = 1, TAKES_ANY = 2, THEN = 12, IS_REVERSED = 16, HAS_TWICE = 32, ZONE = 64 /* times */ };
#define NEEDS_SIGNATURES(how) ((how) % 4 == IS_SHARED) /* as the parents of signed zones are asked */
enum then { NOTHING, ASK_AGAIN = 4, CANCEL_JOB = 8, END_JOB = 12 }; /* within `done` */

struct asked {
    struct query *query;
    struct dnscheck_job *job;
    unsigned job_index, question, sequence, done_sequence;
    uint8_t servers, how;
    int64_t at_ms;
    bool is_open, is_exhausted, is_edns_refused /* by the latest answer */;
    unsigned answer;   /* a number of `given`; 0: none */
    unsigned attempts; /* that were noted */
};

struct given {
    const struct asked *asker;
    unsigned server, taken_sequence;
    uint16_t rcode;
    enum fuzz_content content;
    bool has_content, is_match, is_yes, is_truncated, must_finish, is_taken;
    int64_t taken_ms;
};

static struct {
    const uint8_t *data;
    size_t size;
    uint64_t random;
    bool is_asking;
    unsigned sequence;
    uint8_t latest_question, latest_servers, latest_how;
    struct dnscheck_job *jobs[JOBS];
    bool is_small[JOBS];
    size_t asked_count, given_count, place_count;
    struct asked asked[ASKED_MAX];
    struct given given[GIVEN_MAX];
    struct shared_answer *places[ASKED_MAX];
    const struct asked *open[ASKED_MAX];
    size_t open_count;
} current;
static struct dnscheck dnscheck;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t take(void) {
    if (current.size == 0)
        return 0;
    current.size--;
    return *current.data++;
}

/* --- what the transport gets from outside --- */

int64_t __wrap_clock_monotonic_ms(void);
void __wrap_random_bytes(void *out, size_t length);

int64_t __wrap_clock_monotonic_ms(void) {
    return fuzz_net.now_ms;
}

void __wrap_random_bytes(void *out, size_t length) {
    for (size_t i = 0; i < length; i++) {
        current.random = current.random * 6364136223846793005u + 1442695040888963407u;
        ((uint8_t *)out)[i] = (uint8_t)(current.random >> 56);
    }
}

static const char *const names[] = {
    "test",
    "shop.test",
    "www.shop.test",
    "",
    "b.shop.test",
    /* as long as names get, one more, and one that is never asked for */
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa."
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa."
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa."
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.test",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa."
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa."
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa."
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.test",
    "back\\.slash.test",
};

static const char *const zones[] = {NULL, "", "test", "shop.test"};

static const char *name_at(unsigned question) {
    return names[question % 8];
}

static uint16_t type_at(unsigned question) {
    static const uint16_t types[] = {DNS_NS, DNS_DS, DNS_A, DNS_DNSKEY};
    return types[question / 8 % 4];
}

/* Four neighbours, one elsewhere, three of IPv6, of which two share a bucket of the servers' table with the
 * second neighbour, as does the last, who is never asked. */
static struct dns_server server_at(unsigned index) {
    static const uint8_t ends[] = {1, 0x90, 0x4f, 0xd6}, befores[] = {0, 3, 6, 9};
    struct dns_server server = {.name = "ns"};
    if (index < 5) {
        const uint8_t neighbour[4] = {192, 0, 2, (uint8_t)index}, other[4] = {198, 51, 100, 7};
        server.address.v4.sin_family = AF_INET;
        server.address.v4.sin_port = htons(53);
        memcpy(&server.address.v4.sin_addr, index < 4 ? neighbour : other, 4);
    } else {
        const uint8_t address[16] = {0x20, 1, 0xd, 0xb8, [14] = befores[index - 5], [15] = ends[index - 5]};
        server.address.v6.sin6_family = AF_INET6;
        server.address.v6.sin6_port = htons(53);
        memcpy(&server.address.v6.sin6_addr, address, sizeof address);
    }
    return server;
}

static unsigned index_of(const struct sockaddr *address) {
    for (unsigned i = 0; i < SERVERS; i++) {
        const struct dns_server server = server_at(i);
        size_t length = address->sa_family == AF_INET ? sizeof server.address.v4 : sizeof server.address.v6;
        const uint8_t *a = (const uint8_t *)&server.address, *b = (const uint8_t *)address;
        while (length > 0 && *a == *b) { /* libFuzzer looks into every memcmp */
            a++;
            b++;
            length--;
        }
        if (length == 0)
            return i;
    }
    MUST(false); /* an address of nobody */
    return SERVERS;
}

/* Whose server it is: the list is the query's own. */
static struct asked *asked_with(const struct dns_server *server) {
    for (size_t i = 0; i < current.asked_count; i++)
        if (current.asked[i].is_open && server >= current.asked[i].query->servers.items &&
            server < current.asked[i].query->servers.items + current.asked[i].query->servers.count)
            return &current.asked[i];
    return current.is_asking ? &current.asked[current.asked_count - 1] : NULL;
}

void evidence_add(struct dnscheck_job *job, const struct dns_server *server, const char *transport,
                  const char *name, uint16_t type, const struct dns_message *message, const char *failure,
                  int64_t milliseconds) {
    MUST(job != NULL && server != NULL && strcmp(server->name, "ns") == 0 && milliseconds >= 0);
    MUST(name != NULL && type != 0 && (message == NULL || failure == NULL));
    struct asked *asked = strcmp(transport, "shared") == 0 ? NULL : asked_with(server);
    if (asked == NULL)
        return;
    asked->attempts++;
    asked->is_edns_refused = failure != NULL && strcmp(failure, "the server refuses EDNS") == 0;
}

/* --- what must hold between any two steps --- */

static void check_socket(const struct query *query, const struct asked *asked) {
    const struct fuzz_socket *each = fuzz_net_socket_of(query->fd);
    MUST(each != NULL && query->state != NULL);
    MUST((asked->servers >> index_of(&each->peer.any) & 1) != 0);
    if (each->sent_length == 0)
        return;
    MUST(query->step != STEP_UDP_PLAIN || !NEEDS_SIGNATURES(asked->how) || asked->is_edns_refused);
    const uint8_t *at = each->sent + (each->is_stream ? 2 : 0) + 12;
    const char *name = name_at(asked->question);
    for (; *at != 0; at++) { /* a length reads as the dot before its label */
        for (uint8_t left = *at; left > 0; left--, name++)
            MUST((*++at | (*name >= 'a' ? 0x20 : 0)) == *name);
        name += *name == '.' ? 1 : 0;
    }
    MUST(*name == '\0' && (at[1] << 8 | at[2]) == type_at(asked->question));
}

/* Someone will call it: its socket, its event, the place it waits for, or the leader it follows. */
static void check_progress(const struct query *query) {
    if (query->event == NULL)
        MUST(query->is_follower || fuzz_net.failed[FUZZ_EVENT_FAILS] > 0);
    else
        MUST(fuzz_net_will_run(query->event) || (query->waits_for != NULL && !query->has_place));
    int64_t due_ms = query->event == NULL ? -1 : fuzz_net_due_ms(query->event);
    MUST(due_ms <= query->started_ms + dnscheck.settings.query_timeout_ms || due_ms <= fuzz_net.now_ms + 1);
    MUST(!query->is_follower ||
         (query->shared != NULL && query->shared->leader != NULL && query->shared->leader != query));
}

struct use { /* of a server */
    const struct server_state *state;
    size_t places, waiting;
};

static struct use *use_of(struct use uses[SERVERS], const struct server_state *state) {
    size_t i = 0;
    while (i < SERVERS && uses[i].state != NULL && uses[i].state != state)
        i++;
    MUST(i < SERVERS);
    uses[i].state = state;
    return &uses[i];
}

static void check_servers(void) {
    struct use uses[SERVERS] = {{.state = NULL}};
    const struct query *query;
    uint32_t most = dnscheck.settings.max_per_server;
    for (size_t i = 0; i < current.open_count; i++) {
        query = current.open[i]->query;
        if (query->state != NULL)
            use_of(uses, query->state)->places++;
        if (query->waits_for != NULL && query->has_place)
            use_of(uses, query->waits_for)->places++;
        if (query->waits_for != NULL && !query->has_place)
            use_of(uses, query->waits_for)->waiting++;
    }
    for (size_t i = 0; i < SERVERS && uses[i].state != NULL; i++) {
        MUST(uses[i].places == uses[i].state->in_flight && uses[i].places <= most);
        MUST(uses[i].waiting == 0 || uses[i].places == most);
        TAILQ_FOREACH(query, &uses[i].state->waiting, waiting_entry) {
            MUST(query->waits_for == uses[i].state && !query->has_place && uses[i].waiting > 0);
            uses[i].waiting--;
        }
        MUST(uses[i].waiting == 0);
    }
}

static void check_place(const struct shared_answer *place) {
    const struct asked *first = NULL;
    size_t users = 0, followers = 0;
    bool has_leader = false;
    for (size_t i = 0; i < current.open_count; i++) {
        const struct asked *asked = current.open[i];
        if (asked->query->shared != place)
            continue;
        first = first == NULL ? asked : first;
        MUST((asked->how & IS_SHARED) != 0 && asked->servers == first->servers &&
             asked->how / ZONE == first->how / ZONE);
        MUST(strcmp(place->name, name_at(asked->question)) == 0 && place->type == type_at(asked->question));
        users++;
        followers += asked->query->is_follower;
        has_leader = has_leader || place->leader == asked->query;
        MUST(place->leader == asked->query || (asked->query->fd < 0 && asked->query->waits_for == NULL));
    }
    MUST(place->users == users && has_leader == (place->leader != NULL));
    const struct query *query;
    TAILQ_FOREACH(query, &place->followers, follower_entry) {
        MUST(query->shared == place && query->is_follower);
        followers--;
    }
    MUST(followers == 0 && (has_leader || TAILQ_EMPTY(&place->followers)));
}

static void check_state(void) {
    unsigned sockets = 0;
    current.open_count = 0;
    for (size_t i = 0; i < current.asked_count; i++)
        if (current.asked[i].is_open)
            current.open[current.open_count++] = &current.asked[i];
    for (size_t i = 0; i < current.open_count; i++) {
        const struct asked *asked = current.open[i];
        const struct query *query = asked->query;
        MUST(query->context == asked && query->job == asked->job);
        check_progress(query);
        if (query->fd >= 0) {
            check_socket(query, asked);
            sockets++;
        }
    }
    MUST(sockets == fuzz_net.open_sockets);
    check_servers();
    for (size_t i = 0; i < current.place_count; i++)
        check_place(current.places[i]);
    size_t listed = 0;
    const struct query *query;
    for (unsigned i = 0; i < JOBS; i++) {
        MUST(current.jobs[i]->queries <= current.jobs[i]->max_queries);
        TAILQ_FOREACH(query, &current.jobs[i]->open_queries, entry)
        listed++;
    }
    MUST(listed == current.open_count);
}

/* --- jobs and their queries --- */

static void ask(unsigned job_index, uint8_t question, uint8_t servers, uint8_t how);

static void start_job(unsigned index, uint8_t budget, bool is_small) {
    struct arena *arena = arena_new(is_small ? SMALL_ARENA : 0);
    struct dnscheck_job *job = arena == NULL ? NULL : arena_alloc(arena, sizeof *job);
    MUST(job != NULL);
    job->dnscheck = &dnscheck;
    job->scratch = arena;
    job->started_ms = fuzz_net.now_ms;
    job->max_queries = budget == 0 ? 1000 : budget;
    TAILQ_INIT(&job->open_queries);
    current.jobs[index] = job;
    current.is_small[index] = is_small;
}

static void cancel_job(unsigned index) {
    for (size_t i = 0; i < current.asked_count; i++)
        if (current.asked[i].job == current.jobs[index])
            current.asked[i].is_open = false;
    transport_cancel_all(current.jobs[index]);
    MUST(TAILQ_EMPTY(&current.jobs[index]->open_queries));
}

static void end_job(unsigned index) {
    cancel_job(index);
    for (size_t i = 0; i < current.asked_count; i++)
        if (current.asked[i].job == current.jobs[index])
            current.asked[i].job = NULL; /* the next one may lie where it lay */
    arena_free(current.jobs[index]->scratch);
    current.jobs[index] = NULL;
}

static bool is_same_question(const struct asked *a, const struct asked *b) {
    return a->question == b->question && a->servers == b->servers && a->how / ZONE == b->how / ZONE;
}

static bool has_tried_all(const struct asked *asked) {
    const struct query *query = asked->query;
    if (fuzz_net.failed[FUZZ_CALLOC_FAILS] > 0) /* servers that no memory is left for are passed over */
        return true;
    for (size_t i = 0; i < query->servers.count; i++)
        if (query->asked[i] < dnscheck.settings.tries)
            return false;
    return asked->attempts >= query->servers.count * dnscheck.settings.tries;
}

static void check_failure(const struct asked *asked, const char *failure) {
    MUST(failure != NULL && *failure != '\0');
    if (asked->job->queries >= asked->job->max_queries || current.is_small[asked->job_index])
        return;
    if (asked->query->is_exhausted) {
        MUST(asked->is_exhausted);
        return;
    }
    for (size_t i = 0; i < current.asked_count; i++) { /* one it waited with found no server that answers */
        const struct asked *leader = &current.asked[i];
        if (leader->is_exhausted && is_same_question(leader, asked) &&
            leader->done_sequence > asked->sequence && (leader->how & IS_SHARED) != 0 &&
            (asked->how & IS_SHARED) != 0)
            return;
    }
    MUST(false); /* no reason to fail */
}

static unsigned number_of(const struct dns_message *message) {
    for (size_t i = 0; i < message->count; i++) {
        const struct dns_record *record = &message->records[i];
        if (record->section == DNS_ADDITIONAL && record->type == DNS_A)
            return record->address[0] == 127 ? (unsigned)record->address[2] << 8 | record->address[3] : 0;
    }
    return 0;
}

/* Referrals of this target are to the name that is asked for. */
static bool is_lame_for(const struct asked *asked, enum fuzz_content content) {
    const char *zone = zones[asked->how / ZONE], *name = name_at(asked->question);
    if (content == REFERRAL)
        return zone != NULL && (strcmp(name, zone) == 0 || !dns_is_below(name, zone));
    return content == LAME && zone != NULL;
}

static void check_shared(const struct asked *asked, const struct given *given) {
    const struct asked *leader = given->asker;
    MUST((asked->how & IS_SHARED) != 0 && (leader->how & IS_SHARED) != 0 && dnscheck.settings.share_ms > 0);
    MUST(is_same_question(asked, leader) && given->is_taken && asked->query->wire_length == 0);
    bool has_waited = asked->sequence < given->taken_sequence;
    MUST(has_waited ||
         (given->is_yes && asked->at_ms - given->taken_ms < (int64_t)dnscheck.settings.share_ms));
}

static void check_answer(struct asked *asked, const struct dns_message *message,
                         const struct dns_server *server) {
    asked->answer = number_of(message);
    MUST(asked->answer != 0 && asked->answer < current.given_count);
    struct given *given = &current.given[asked->answer];
    MUST(given->is_match && !given->is_truncated && given->rcode == message->rcode);
    MUST(!given->has_content || !is_lame_for(asked, given->content));
    MUST(message->rcode == DNS_NOERROR || message->rcode == DNS_NXDOMAIN || (asked->how & TAKES_ANY) != 0);
    MUST(server != NULL && index_of(&server->address.any) == given->server);
    MUST((asked->servers >> given->server & 1) != 0 && strcmp(server->name, "ns") == 0);
    if (given->asker != asked) {
        check_shared(asked, given);
        return;
    }
    MUST(!given->is_taken);
    given->is_taken = true;
    given->taken_ms = fuzz_net.now_ms;
    given->taken_sequence = asked->done_sequence;
}

static void on_done(void *context, const struct dns_message *message, const struct dns_server *server,
                    const char *failure) {
    struct asked *asked = context;
    MUST(!current.is_asking && asked->is_open && asked->done_sequence == 0);
    asked->is_open = false;
    asked->done_sequence = ++current.sequence;
    asked->is_exhausted = message == NULL && asked->query->is_exhausted && has_tried_all(asked);
    if (message == NULL)
        check_failure(asked, failure);
    else
        check_answer(asked, message, server);
    switch (asked->how & THEN) {
    case ASK_AGAIN:
        ask(asked->job_index, (uint8_t)asked->question, asked->servers, asked->how & (uint8_t)~THEN);
        break;
    case CANCEL_JOB:
        cancel_job(asked->job_index);
        break;
    case END_JOB:
        end_job(asked->job_index);
        start_job(asked->job_index, 0, false);
    }
}

static void list_servers(struct arena *arena, uint8_t chosen, uint8_t how, struct server_list *out) {
    for (unsigned i = 0; i < SERVERS; i++) {
        unsigned index = (how & IS_REVERSED) != 0 ? SERVERS - 1 - i : i;
        if ((chosen >> index & 1) == 0)
            continue;
        out->items[out->count] = server_at(index);
        out->items[out->count++].name = arena_strdup(arena, "ns"); /* ends with the job */
        if ((how & HAS_TWICE) != 0 && out->count == 1)             /* two names, one address */
            out->items[out->count++] = out->items[0];
    }
}

static void ask(unsigned job_index, uint8_t question, uint8_t servers, uint8_t how) {
    struct dnscheck_job *job = current.jobs[job_index];
    struct server_list list = {.count = 0};
    const struct query_options options = {.is_shared = (how & IS_SHARED) != 0,
                                          .takes_any_rcode = (how & TAKES_ANY) != 0,
                                          .needs_signatures = NEEDS_SIGNATURES(how),
                                          .zone = zones[how / ZONE]};
    list_servers(job->scratch, servers, how, &list);
    if (current.asked_count == ASKED_MAX || (list.count > 0 && list.items[list.count - 1].name == NULL))
        return;
    struct asked *asked = &current.asked[current.asked_count++];
    *asked = (struct asked){.job = job,
                            .job_index = job_index,
                            .question = question % 32,
                            .sequence = ++current.sequence,
                            .servers = servers,
                            .how = how,
                            .at_ms = fuzz_net.now_ms};
    current.is_asking = true;
    asked->is_open = transport_query(job, &list, name_at(asked->question), type_at(asked->question), &options,
                                     on_done, asked);
    current.is_asking = false;
    MUST(asked->is_open || current.is_small[job_index] || strlen(name_at(asked->question)) >= DNS_NAME_MAX);
    if (!asked->is_open)
        return;
    TAILQ_FOREACH(asked->query, &job->open_queries, entry)
    if (asked->query->context == asked)
        break;
    MUST(asked->query != NULL);
    for (size_t i = 0; i < current.place_count; i++)
        if (current.places[i] == asked->query->shared)
            return;
    if (asked->query->shared != NULL)
        current.places[current.place_count++] = asked->query->shared;
}

/* --- what servers answer --- */

static void put_message(const struct query *query, struct fuzz_socket *each, enum fuzz_content content,
                        enum fuzz_spoil spoil, uint8_t how_long) {
    const struct asked *asked = query->context;
    unsigned number = (unsigned)current.given_count;
    size_t head = each->is_stream ? 2 : 0;
    const uint8_t *sent = each->sent + head, *other = sent;
    if (spoil == IS_ELSEWHERE && fuzz_net.sent > 0)
        other =
            fuzz_net.latest[take() % (fuzz_net.sent < FUZZ_LATEST_SENT ? fuzz_net.sent : FUZZ_LATEST_SENT)]
                .wire;
    if (number == GIVEN_MAX)
        return;
    uint8_t *message = each->incoming + head;
    size_t length = fuzz_reply_write(other, content, spoil, number, take, message);
    struct given *given = &current.given[current.given_count++];
    bool is_rcode = spoil >= IS_SERVFAIL && spoil <= IS_NOTIMP;
    *given = (struct given){.asker = asked,
                            .server = index_of(&each->peer.any),
                            .rcode = spoil == IS_BADVERS ? DNS_BADVERS
                                     : length < 4        ? 0
                                                         : message[3] & 15,
                            .content = content,
                            .has_content = spoil != IS_BARE_FORMERR && spoil != HAS_NO_QUESTION,
                            .is_match = fuzz_reply_matches(sent, message, length, each->is_stream),
                            .is_yes = !is_rcode && spoil != IS_BADVERS &&
                                      (content == ANSWER || content == REFERRAL),
                            .is_truncated = spoil == IS_TRUNCATED};
    given->must_finish = spoil == IS_RIGHT && !is_lame_for(asked, content) && query->stream_length == 0 &&
                         how_long == 0 && !current.is_small[asked->job_index];
    size_t says = length + (how_long == 1 ? 1 : 0) - (how_long == 2 && length > 0 ? 1 : 0);
    if (each->is_stream) {
        each->incoming[0] = (uint8_t)(says >> 8);
        each->incoming[1] = (uint8_t)says;
    }
    each->length = length + head;
    each->at = 0;
    each->has_datagram = true;
    each->tag = number;
}

static void answer(const struct query *query, uint8_t kind) {
    static const int errors[] = {ECONNREFUSED, ENETUNREACH, EAGAIN, EINTR};
    struct fuzz_socket *each = fuzz_net_socket_of(query->fd);
    enum fuzz_spoil spoil = kind % 32 < SPOILS ? kind % 32 : IS_RIGHT;
    if (fuzz_net_waits_for(query->fd, EV_WRITE)) {
        fuzz_net_wake(query->fd, EV_WRITE);
        return;
    }
    if (each->sent_length == 0)
        return; /* its event could not be made */
    uint8_t shape = each->is_stream ? take() : 0;
    if (spoil >= GETS_REFUSED)
        each->error = errors[spoil - GETS_REFUSED];
    else if (spoil == IS_EMPTY && each->is_stream)
        each->error = -1;
    else if (!each->is_stream || each->at == each->length)
        put_message(query, each, kind / 32 % FUZZ_CONTENTS, spoil, shape >> 6);
    each->allowed = shape % 64 == 0 ? each->length : shape % 64;
    fuzz_net_wake(query->fd, EV_READ);
}

/* --- the steps --- */

static bool run_one(void) {
    fuzz_net.read_tag = 0;
    if (!fuzz_net_run_one())
        return false;
    const struct given *given = &current.given[fuzz_net.read_tag];
    MUST(fuzz_net.read_tag == 0 || !given->must_finish || given->is_taken);
    check_state();
    return true;
}

static void run_all(void) {
    fuzz_net_activate_timeouts();
    while (run_one()) {
    }
}

static void pass_time(uint8_t choice) {
    int64_t next = fuzz_net_next_timeout();
    const int64_t steps[] = {1,
                             next > fuzz_net.now_ms ? next - fuzz_net.now_ms : 0,
                             (int64_t)dnscheck.settings.share_ms - 1,
                             dnscheck.settings.share_ms,
                             dnscheck.settings.query_timeout_ms,
                             BACKOFF_MS,
                             choice / 8 * 8,
                             50};
    fuzz_net.now_ms += steps[choice % 8] > 0 ? steps[choice % 8] : 0;
}

/* The chosen one of the queries that have a socket; `all`: each of them. */
static void answer_some(bool all) {
    uint8_t choice = all ? 0 : take(), kind = take();
    const struct query *with_socket[ASKED_MAX];
    size_t count = 0;
    for (size_t i = 0; i < current.asked_count; i++)
        if (current.asked[i].is_open && current.asked[i].query->fd >= 0)
            with_socket[count++] = current.asked[i].query;
    for (size_t i = 0; i < count; i++)
        if (all || i == choice % count)
            answer(with_socket[i], kind);
}

static void step(void) {
    uint8_t code = take(), choice;
    switch (code % 16) {
    case 0:
    case 1:
        current.latest_question = take();
        current.latest_servers = take();
        current.latest_how = take();
        ask(code / 16 % JOBS, current.latest_question, current.latest_servers, current.latest_how);
        break;
    case 2:
    case 3:
        ask(code / 16 % JOBS, current.latest_question, current.latest_servers, current.latest_how);
        break;
    case 4:
    case 5:
    case 6:
        answer_some(false);
        break;
    case 7:
        answer_some(true);
        break;
    case 8:
    case 9:
        pass_time(take());
        break;
    case 10:
        cancel_job(code / 16 % JOBS);
        break;
    case 11:
        choice = take();
        end_job(code / 16 % JOBS);
        start_job(code / 16 % JOBS, choice % 16, choice >= 0xC0);
        break;
    case 12:
        run_one();
        break;
    case 13:
        choice = take();
        if (choice % 8 < FUZZ_FAULTS)
            fuzz_net.fails[choice % 8] = choice / 8 % 8;
    }
    check_state();
    if (code < 128) /* else all at once with what comes next */
        run_all();
}

/* --- the end --- */

static bool run_to_the_end(void) {
    for (int64_t next = fuzz_net.now_ms; next >= 0; next = fuzz_net_next_timeout()) {
        fuzz_net.now_ms = next > fuzz_net.now_ms ? next : fuzz_net.now_ms;
        run_all();
    }
    size_t lost = 0, open = 0;
    for (size_t i = 0; i < current.asked_count; i++)
        if (current.asked[i].is_open) {
            open++;
            lost += current.asked[i].query->event == NULL && !current.asked[i].query->is_follower;
        }
    MUST(open == 0 || lost > 0); /* those whose event could not be made: their jobs' deadlines end them */
    for (size_t i = 0; lost > 0 && i < current.asked_count; i++)
        if (current.asked[i].is_open && current.asked[i].query->event == NULL &&
            !current.asked[i].query->is_follower) {
            cancel_job(current.asked[i].job_index);
            check_state();
        }
    return open == 0;
}

static void finish_run(void) {
    memset(fuzz_net.fails, 0, sizeof fuzz_net.fails);
    while (!run_to_the_end()) {
    }
    check_state();
    for (unsigned i = 0; i < JOBS; i++)
        end_job(i);
    MUST(fuzz_net.open_sockets == 0 && fuzz_net_events() == 0);
    MUST(fuzz_net.connects == dnscheck.counters.queries);
    for (size_t i = 0; i < SERVER_BUCKETS; i++)
        for (struct server_state *state = dnscheck.servers->buckets[i]; state != NULL; state = state->next)
            MUST(state->in_flight == 0 && TAILQ_EMPTY(&state->waiting));
    fuzz_net.now_ms += PLAIN_MS + 1;
    const struct dns_server stranger = server_at(SERVERS);
    MUST(find_state(dnscheck.servers, &stranger)->next == NULL); /* the others made room */
    server_table_free(dnscheck.servers);
    for (size_t i = 0; i < current.place_count; i++) {
        struct shared_answer *place = current.places[i];
        MUST(place->users == 0 && place->leader == NULL);
        MUST(place->servers == 0 || TAILQ_EMPTY(&place->followers));
        free(place->wire);
        memset(place, 0, sizeof *place);
    }
}

/* One place of eight is free, or two: questions push each other out. */
static void crowd(struct share_table *table, size_t left, unsigned users) {
    for (size_t i = 0; i < PLACES; i++)
        if (i % PROBES >= left)
            table->places[i].users = users;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const uint32_t share_ms[] = {200, 0, 1000, 10000};
    memset(&current, 0, sizeof current);
    memset(&dnscheck.counters, 0, sizeof dnscheck.counters);
    current.data = data;
    current.size = size;
    current.given_count = 1;
    fuzz_net_start();
    if (dnscheck.share == NULL) /* large: one for all runs */
        dnscheck.share = share_table_new();
    dnscheck.servers = server_table_new();
    MUST(dnscheck.share != NULL && dnscheck.servers != NULL);
    uint8_t options = take(), budgets[2];
    const uint8_t seed = take();
    current.random = seed;
    budgets[0] = take();
    budgets[1] = take();
    dnscheck.settings = (struct dnscheck_settings){.share_ms = share_ms[options % 4],
                                                   .tries = 1 + options / 4 % 2,
                                                   .max_per_server = 1 + options / 8 % 4,
                                                   .query_timeout_ms = 1000};
    dnscheck.anchors = (options & 32) != 0 ? (struct ldns_struct_rr_list *)&dnscheck : NULL;
    random_bytes(&dnscheck.share->seed, sizeof dnscheck.share->seed);
    if ((options & 64) != 0)
        crowd(dnscheck.share, 1 + seed % 2, ASKED_MAX);
    for (unsigned i = 0; i < JOBS; i++)
        start_job(i, (uint8_t)(budgets[i / 2] >> i % 2 * 4 & 15), (options & 128) != 0 && i == 0);
    while (current.size > 0)
        step();
    finish_run();
    if ((options & 64) != 0)
        crowd(dnscheck.share, 1 + seed % 2, 0);
    return 0;
}
#pragma clang attribute pop
