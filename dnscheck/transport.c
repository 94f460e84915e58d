/* Asking servers: UDP with a fresh socket, port and id for each query, random letter case, TCP where the
 * answer was cut, has lost the letter case, or strangers answer; then the next server. One that was silent
 * over UDP as often as it may be asked is asked once over TCP (RFC 7766 5). What does not match id, question,
 * letter case and address is not an answer; over TCP the handshake proves the address, and letter case proves
 * nothing more. */
#include "internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>

#define MISMATCHES_MAX 3 /* then TCP: somebody is guessing */
#define MESSAGE_MAX 65535
#define SERVER_BUCKETS 1024
#define BACKOFF_MS 5000
#define PLAIN_MS 60000  /* how long a server that dropped EDNS is asked without it */
#define STREAM_MS 60000 /* how long one that answers over TCP alone is asked so first */
#define PART                                                                                                 \
    4 /* of a query's deadline that a server is waited for at first, with what its last answer took */
#define FIRST_WAIT_MIN_MS 200
#define SLOWER 3 /* than its last answers were: then a query counts as lost */

enum query_step { STEP_UDP, STEP_UDP_PLAIN /* without EDNS */, STEP_TCP };

struct query {
    TAILQ_ENTRY(query) entry;
    struct dnscheck_job *job;
    struct { /* as many as there are: a waiting check holds many queries */
        struct dns_server *items;
        size_t count;
    } servers;
    char name[DNS_NAME_MAX];
    uint16_t type;
    struct query_options options;
    query_done *done;
    void *context;
    size_t first;                 /* of the ladder over the servers, random */
    uint8_t asked[ADDRESSES_MAX]; /* times each was asked */
    uint32_t silent;              /* when asked with EDNS over UDP, a bit each */
    uint32_t unheard;             /* over UDP, silent and nothing else */
    uint32_t wait_ms;             /* for this attempt */
    enum query_step step;
    const struct dns_server *server;
    struct server_state *state;
    struct event *event;
    int fd;
    uint8_t wire[DNS_QUERY_MAX + 2]; /* two bytes of length in front, for TCP */
    size_t wire_length;
    unsigned mismatches;
    bool without_edns; /* the server refused it, over TCP it would again */
    int64_t started_ms;
    uint8_t *stream; /* TCP: what has come */
    size_t stream_length;
    bool is_sent;
    const char *last_failure;     /* as people read it */
    struct shared_answer *shared; /* NULL: nobody else's business */
    TAILQ_ENTRY(query) follower_entry;
    bool is_follower, is_exhausted; /* exhausted: every server was asked as often as allowed */
    TAILQ_ENTRY(query) waiting_entry;
    struct server_state *waits_for; /* a busy server's next free place */
    bool has_place;                 /* it was given one */
};

/* --- what is known of servers --- */

struct server_state {
    struct server_state *next;
    uint8_t key[19];
    uint32_t in_flight /* places that were given away included */, failures;
    uint32_t takes_ms; /* over UDP, by its last answers; 0: nothing is known */
    int64_t avoid_until_ms, plain_until_ms;
    int64_t stream_until_ms; /* asked over TCP first */
    int64_t no_stream_at_ms; /* silent over TCP too: checks that run then do not ask so again */
    TAILQ_HEAD(, query) waiting;
};

struct server_table {
    struct server_state *buckets[SERVER_BUCKETS];
};

struct server_table *server_table_new(void) {
    return calloc(1, sizeof(struct server_table));
}

void server_table_free(struct server_table *table) {
    if (table == NULL)
        return;
    for (size_t i = 0; i < SERVER_BUCKETS; i++)
        for (struct server_state *state = table->buckets[i], *next; state != NULL; state = next) {
            next = state->next;
            free(state);
        }
    free(table);
}

static struct server_state *find_state(struct server_table *table, const struct dns_server *server) {
    uint8_t key[19] = {(uint8_t)server->address.any.sa_family};
    uint32_t hash = 2166136261u;
    if (server->address.any.sa_family == AF_INET)
        memcpy(key + 1, &server->address.v4.sin_addr, 4);
    else
        memcpy(key + 1, &server->address.v6.sin6_addr, 16);
    for (size_t i = 0; i < sizeof key; i++)
        hash = (hash ^ key[i]) * 16777619u;
    struct server_state **place = &table->buckets[hash % SERVER_BUCKETS];
    for (struct server_state *state = *place; state != NULL; state = state->next)
        if (memcmp(state->key, key, sizeof key) == 0)
            return state;
    /* Idle strangers of the chain make room, so the table is bounded by what is in use. */
    int64_t now = clock_monotonic_ms();
    for (struct server_state **at = place; *at != NULL;) {
        struct server_state *idle = *at;
        if (idle->in_flight == 0 && TAILQ_EMPTY(&idle->waiting) && idle->avoid_until_ms < now &&
            idle->plain_until_ms < now && idle->stream_until_ms < now) {
            *at = idle->next;
            free(idle);
        } else {
            at = &idle->next;
        }
    }
    struct server_state *state = calloc(1, sizeof *state);
    if (state == NULL)
        return NULL;
    memcpy(state->key, key, sizeof key);
    TAILQ_INIT(&state->waiting);
    state->next = *place;
    *place = state;
    return state;
}

/* --- one attempt --- */

static void on_socket(evutil_socket_t fd, short what, void *context);
static void next_attempt(struct query *query);
static void fail_later(evutil_socket_t fd, short what, void *context);

static void on_place(evutil_socket_t fd, short what, void *context) {
    (void)fd;
    (void)what;
    next_attempt(context);
}

/* Hands the place on to who waits longest, else it is free. The waiter goes on from the loop: many may wait.
 */
static void leave_place(struct server_state *state) {
    struct query *next = TAILQ_FIRST(&state->waiting);
    if (next == NULL) {
        state->in_flight--;
        return;
    }
    TAILQ_REMOVE(&state->waiting, next, waiting_entry);
    next->has_place = true;
    event_active(next->event, EV_TIMEOUT, 0);
}

static void stop_waiting(struct query *query) {
    if (query->waits_for == NULL)
        return;
    if (query->has_place)
        leave_place(query->waits_for);
    else
        TAILQ_REMOVE(&query->waits_for->waiting, query, waiting_entry);
    query->waits_for = NULL;
    query->has_place = false;
}

static void end_attempt(struct query *query) {
    stop_waiting(query);
    if (query->event != NULL)
        event_free(query->event);
    if (query->fd >= 0)
        close(query->fd);
    if (query->state != NULL)
        leave_place(query->state);
    free(query->stream);
    query->event = NULL;
    query->fd = -1;
    query->state = NULL;
    query->stream = NULL;
    query->stream_length = 0;
}

/* --- sharing --- */

static void on_shared_answer(evutil_socket_t fd, short what, void *context);

static void call_later(struct query *query, event_callback_fn callback) {
    if (query->event != NULL)
        event_free(query->event);
    query->event = evtimer_new(query->job->dnscheck->base, callback, query);
    if (query->event != NULL) /* else the job's deadline ends it */
        event_active(query->event, EV_TIMEOUT, 0);
}

static void on_promotion(evutil_socket_t fd, short what, void *context) {
    (void)fd;
    (void)what;
    next_attempt(context);
}

/* The leader has its answer (followers take it too), found no server that answers (neither would they), or
 * left for a reason of its own: then the next one asks. */
static void leave_shared(struct query *query, const struct dns_message *message, bool is_exhausted) {
    struct shared_answer *shared = query->shared;
    if (shared == NULL)
        return;
    query->shared = NULL;
    if (shared->leader == query) {
        struct query *follower;
        shared->leader = NULL;
        bool is_kept = message != NULL && share_keep(shared, message, query->server);
        while ((follower = TAILQ_FIRST(&shared->followers)) != NULL) {
            TAILQ_REMOVE(&shared->followers, follower, follower_entry);
            follower->is_follower = false;
            if (is_kept) {
                call_later(follower, on_shared_answer);
            } else if (is_exhausted) {
                follower->last_failure = query->last_failure == NULL
                                             ? NULL
                                             : arena_strdup(follower->job->scratch, query->last_failure);
                call_later(follower, fail_later);
            } else {
                shared->leader = follower;
                call_later(follower, on_promotion);
                break;
            }
        }
    } else if (query->is_follower) {
        TAILQ_REMOVE(&shared->followers, query, follower_entry);
        query->is_follower = false;
    }
    share_release(shared);
}

static void finish(struct query *query, const struct dns_message *message, const char *failure) {
    leave_shared(query, message, query->is_exhausted);
    end_attempt(query);
    TAILQ_REMOVE(&query->job->open_queries, query, entry);
    query->done(query->context, message, message != NULL ? query->server : NULL, failure);
}

static const char *asked_zone(const struct query *query) {
    return query->options.zone != NULL ? query->options.zone : query->name;
}

static void say_silence(struct query *query, const char *why) {
    query->last_failure = failure_silence(query->job->scratch, query->server->name, asked_zone(query), why);
}

static void note(struct query *query, const struct dns_message *message, const char *failure) {
    evidence_add(query->job, query->server, query->step == STEP_TCP ? "tcp" : "udp", query->name, query->type,
                 message, failure, clock_monotonic_ms() - query->started_ms);
}

static size_t place_of(const struct query *query) {
    return (size_t)(query->server - query->servers.items);
}

static uint32_t bit_of(const struct query *query) {
    return UINT32_C(1) << place_of(query);
}

static void say_silent_attempt(struct query *query, const char *failure) {
    const char *why = failure;
    bool is_stream = query->step == STEP_TCP && query->state != NULL;
    if (is_stream)
        query->state->stream_until_ms = 0;
    if (is_stream && (query->unheard & bit_of(query)) != 0) {
        query->state->no_stream_at_ms = clock_monotonic_ms();
        why = arena_printf(query->job->scratch, "no answer over UDP; over TCP: %s", failure);
    }
    say_silence(query, why != NULL ? why : failure);
}

static void fail_attempt(struct query *query, const char *failure, bool is_servers_fault) {
    note(query, NULL, failure);
    say_silent_attempt(query, failure);
    if (is_servers_fault && query->state != NULL && ++query->state->failures >= 2)
        query->state->avoid_until_ms = clock_monotonic_ms() + BACKOFF_MS;
    end_attempt(query);
    next_attempt(query);
}

/* A lost datagram is asked for again soon, but a slow server is waited for: its last answers tell how long.
 */
static uint32_t first_wait(const struct query *query) {
    uint32_t whole = query->job->dnscheck->settings.query_timeout_ms, wait = whole / PART;
    uint32_t usual = query->state->takes_ms < whole ? query->state->takes_ms * SLOWER : whole;
    wait = wait > FIRST_WAIT_MIN_MS ? wait : FIRST_WAIT_MIN_MS;
    wait = wait > usual ? wait : usual;
    return wait < whole ? wait : whole;
}

/* What the first try over UDP leaves of its time is that of TCP: silence costs what the tries would. */
static uint32_t wait_of(const struct query *query) {
    const struct dnscheck_settings *settings = &query->job->dnscheck->settings;
    uint32_t whole = settings->query_timeout_ms, left = whole - first_wait(query);
    if (query->asked[place_of(query)] > settings->tries)
        return left > whole / 2 ? left : whole / 2;
    bool is_first = query->asked[place_of(query)] == 1 && settings->tries > 1 && query->step != STEP_TCP;
    return is_first ? first_wait(query) : whole;
}

static void wait_for(struct query *query, short what) {
    int64_t left = (int64_t)query->wait_ms - (clock_monotonic_ms() - query->started_ms);
    if (left < 1)
        left = 1;
    const struct timeval delay = {.tv_sec = left / 1000, .tv_usec = left % 1000 * 1000};
    if (query->event != NULL)
        event_free(query->event);
    query->event = event_new(query->job->dnscheck->base, query->fd, what, on_socket, query);
    if (query->event != NULL)
        event_add(query->event, &delay);
}

static bool start_attempt(struct query *query, enum query_step step) {
    struct dnscheck *dnscheck = query->job->dnscheck;
    uint16_t id;
    query->step = step;
    query->mismatches = 0;
    query->without_edns = step == STEP_UDP_PLAIN || (step == STEP_TCP && query->without_edns);
    query->is_sent = false;
    query->started_ms = clock_monotonic_ms();
    query->state = find_state(dnscheck->servers, query->server);
    if (query->state == NULL)
        return false;
    if (query->has_place && query->waits_for == query->state) {
        query->waits_for = NULL; /* its place is ours */
        query->has_place = false;
    } else {
        stop_waiting(query);
        query->state->in_flight++;
    }
    if (query->event != NULL)
        event_free(query->event);
    query->event = NULL;
    query->wait_ms = wait_of(query);
    random_bytes(&id, sizeof id);
    query->wire_length = dns_build_query(query->wire + 2, id, query->name, query->type, !query->without_edns,
                                         dnscheck->anchors != NULL);
    query->wire[0] = (uint8_t)(query->wire_length >> 8);
    query->wire[1] = (uint8_t)query->wire_length;
    int type = step == STEP_TCP ? SOCK_STREAM : SOCK_DGRAM;
    query->fd = query->wire_length == 0
                    ? -1
                    : socket(query->server->address.any.sa_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (query->fd < 0)
        return false;
    socklen_t length = query->server->address.any.sa_family == AF_INET ? sizeof query->server->address.v4
                                                                       : sizeof query->server->address.v6;
    int outcome = connect(query->fd, &query->server->address.any, length);
    if (outcome != 0 && errno != EINPROGRESS)
        return false;
    dnscheck->counters.queries++;
    query->job->queries++;
    if (step == STEP_TCP) {
        dnscheck->counters.tcp_queries++;
        wait_for(query, EV_WRITE);
        return query->event != NULL;
    }
    if (send(query->fd, query->wire + 2, query->wire_length, 0) != (ssize_t)query->wire_length)
        return false;
    wait_for(query, EV_READ);
    return query->event != NULL;
}

/* The place at the server stays the query's own: who waits for one has theirs when this is over. */
static void retry_same(struct query *query, enum query_step step, const char *why) {
    struct server_state *state = query->state;
    note(query, NULL, why);
    query->state = NULL;
    end_attempt(query);
    query->waits_for = state;
    query->has_place = true;
    if (query->job->queries >= query->job->max_queries || !start_attempt(query, step)) {
        say_silence(query, why);
        end_attempt(query);
        next_attempt(query);
    }
}

/* A server that is named for the zone and does not have it. */
static bool is_lame(const struct query *query, const struct dns_message *message) {
    const char *zone = query->options.zone;
    return zone != NULL && !message->is_authoritative &&
           dns_find_referral(message, zone, query->name) == NULL;
}

static bool is_usable(const struct query *query, const struct dns_message *message) {
    return message->rcode == DNS_NOERROR || message->rcode == DNS_NXDOMAIN || query->options.takes_any_rcode;
}

static void learn(struct query *query) {
    struct server_state *state = query->state;
    int64_t now = clock_monotonic_ms();
    state->failures = 0;
    state->avoid_until_ms = 0;
    if (query->step != STEP_TCP) {
        uint32_t took = (uint32_t)(now - query->started_ms);
        state->takes_ms = took > state->takes_ms ? took : (state->takes_ms * 7 + took) / 8;
        state->stream_until_ms = 0;
    }
    if (query->without_edns && (query->silent & bit_of(query)) != 0)
        state->plain_until_ms = now + PLAIN_MS;
    if (query->step == STEP_TCP && (query->unheard & bit_of(query)) != 0)
        state->stream_until_ms = now + STREAM_MS;
}

static void refuse_large(struct query *query) {
    note(query, NULL, "too many records");
    query->last_failure = failure_too_large(query->job->scratch, query->server->name, asked_zone(query));
    end_attempt(query);
    next_attempt(query);
}

static void take_answer(struct query *query, const uint8_t *wire, size_t length) {
    struct dns_message *message = dns_parse(query->job->scratch, wire, length);
    if (message == NULL && dns_is_too_large(wire, length)) {
        refuse_large(query);
        return;
    }
    if (message == NULL) {
        fail_attempt(query, "malformed answer", true);
        return;
    }
    if (query->step != STEP_TCP)
        query->unheard &= ~bit_of(query);
    bool refuses_edns =
        message->rcode == DNS_FORMERR || message->rcode == DNS_NOTIMP || message->rcode == DNS_BADVERS;
    if (refuses_edns && !query->without_edns) {
        query->without_edns = true;
        retry_same(query, query->step == STEP_UDP ? STEP_UDP_PLAIN : STEP_TCP, "the server refuses EDNS");
        return;
    }
    if (message->is_truncated && query->step != STEP_TCP) {
        retry_same(query, STEP_TCP, "truncated");
        return;
    }
    if (message->is_truncated) {
        fail_attempt(query, "truncated, over TCP too", true);
        return;
    }
    learn(query);
    note(query, message, NULL);
    bool is_answer = is_usable(query, message);
    if (is_answer && !is_lame(query, message)) {
        finish(query, message, NULL);
        return;
    }
    query->last_failure = is_answer
                              ? failure_lame(query->job->scratch, query->server->name, asked_zone(query))
                              : failure_error_answer(query->job->scratch, query->server->name,
                                                     asked_zone(query), message->rcode);
    end_attempt(query);
    next_attempt(query);
}

static void read_datagram(struct query *query) {
    uint8_t wire[4096];
    ssize_t length = recv(query->fd, wire, sizeof wire, 0);
    if (length < 0) {
        if (errno == EAGAIN || errno == EINTR)
            wait_for(query, EV_READ);
        else {
            query->unheard |= bit_of(query);
            fail_attempt(query, errno == ECONNREFUSED ? "nothing listens there" : "unreachable", true);
        }
        return;
    }
    if (dns_matches(query->wire + 2, query->wire_length, wire, (size_t)length, false)) {
        take_answer(query, wire, (size_t)length);
        return;
    }
    query->job->dnscheck->counters.mismatches++;
    if (dns_matches(query->wire + 2, query->wire_length, wire, (size_t)length, true))
        retry_same(query, STEP_TCP, "the question's letter case was lost");
    else if (++query->mismatches >= MISMATCHES_MAX)
        retry_same(query, STEP_TCP, "answers that do not match the question");
    else
        wait_for(query, EV_READ); /* the deadline stays where it was */
}

static void read_stream(struct query *query) {
    if (query->stream == NULL && (query->stream = malloc(MESSAGE_MAX + 2)) == NULL) {
        fail_attempt(query, "out of memory", false);
        return;
    }
    ssize_t got =
        recv(query->fd, query->stream + query->stream_length, MESSAGE_MAX + 2 - query->stream_length, 0);
    if (got <= 0) {
        if (got < 0 && (errno == EAGAIN || errno == EINTR))
            wait_for(query, EV_READ);
        else
            fail_attempt(query, "the TCP connection broke", true);
        return;
    }
    query->stream_length += (size_t)got;
    size_t length = query->stream_length < 2 ? 0 : (size_t)query->stream[0] << 8 | query->stream[1];
    if (query->stream_length < 2 || query->stream_length < length + 2)
        wait_for(query, EV_READ);
    else if (dns_matches(query->wire + 2, query->wire_length, query->stream + 2, length, true))
        take_answer(query, query->stream + 2, length);
    else
        fail_attempt(query, "an answer that does not match the question", true);
}

static void write_stream(struct query *query) {
    ssize_t sent = send(query->fd, query->wire, query->wire_length + 2, MSG_NOSIGNAL);
    if (sent != (ssize_t)query->wire_length + 2) {
        fail_attempt(query, "the TCP connection was refused", true);
        return;
    }
    query->is_sent = true;
    wait_for(query, EV_READ);
}

static void on_socket(evutil_socket_t fd, short what, void *context) {
    (void)fd;
    struct query *query = context;
    if ((what & EV_TIMEOUT) != 0) {
        query->job->dnscheck->counters.timeouts++;
        if (query->step == STEP_UDP)
            query->silent |= bit_of(query);
        if (query->step != STEP_TCP)
            query->unheard |= bit_of(query);
        fail_attempt(query, "timeout", true);
    } else if (query->step != STEP_TCP) {
        read_datagram(query);
    } else if (!query->is_sent) {
        write_stream(query);
    } else {
        read_stream(query);
    }
}

/* --- the ladder over servers --- */

static void fail_later(evutil_socket_t fd, short what, void *context) {
    (void)fd;
    (void)what;
    struct query *query = context;
    finish(query, NULL, query->last_failure != NULL ? query->last_failure : "no server could be asked");
}

static void give_up(struct query *query) {
    call_later(query, fail_later);
}

/* After silence once more, over TCP. */
static unsigned tries_of(const struct query *query, size_t index, const struct server_state *state) {
    bool has_stream = (query->unheard >> index & 1) != 0 && state->no_stream_at_ms < query->job->started_ms;
    return query->job->dnscheck->settings.tries + (has_stream ? 1 : 0);
}

/* Where all of many are silent over UDP one that is asked over TCP too tells more than the rest's last tries.
 */
static unsigned round_of(const struct query *query, unsigned asked) {
    unsigned tries = query->job->dnscheck->settings.tries;
    return asked < tries ? asked : tries > 1 ? tries - 1 : 1;
}

/* The server that was asked least, a busy one only where no other is left of the round; servers that failed
 * lately come after all others. */
static const struct dns_server *choose(struct query *query, struct server_state **busy) {
    struct dnscheck *dnscheck = query->job->dnscheck;
    const struct dns_server *best = NULL;
    unsigned best_rank = UINT32_MAX;
    size_t best_index = 0;
    int64_t now = clock_monotonic_ms();
    for (size_t i = 0; i < query->servers.count; i++) {
        size_t index = (query->first + i) % query->servers.count;
        struct server_state *state = find_state(dnscheck->servers, &query->servers.items[index]);
        if (state == NULL || query->asked[index] >= tries_of(query, index, state))
            continue;
        bool is_busy = state->in_flight >= dnscheck->settings.max_per_server &&
                       !(query->has_place && query->waits_for == state);
        unsigned rank =
            (state->avoid_until_ms > now ? 1000u : 0u) + round_of(query, query->asked[index]) * 2u + is_busy;
        if (rank < best_rank) {
            best_rank = rank;
            best_index = index;
            best = &query->servers.items[index];
            *busy = is_busy ? state : NULL;
        }
    }
    if (best != NULL && *busy == NULL)
        query->asked[best_index]++;
    return best;
}

/* Waits for a place at a busy server; the job's deadline bounds it. */
static void wait_for_place(struct query *query, struct server_state *state) {
    stop_waiting(query);
    if (query->event != NULL)
        event_free(query->event);
    query->event = evtimer_new(query->job->dnscheck->base, on_place, query);
    if (query->event == NULL)
        return;
    query->waits_for = state;
    TAILQ_INSERT_TAIL(&state->waiting, query, waiting_entry);
}

/* Some servers, or what stands before them, drop what has EDNS. Signatures cannot be asked for without it. */
static enum query_step first_step(struct query *query) {
    const struct server_state *state = find_state(query->job->dnscheck->servers, query->server);
    int64_t now = clock_monotonic_ms();
    bool drops_edns = (query->silent & bit_of(query)) != 0 || (state != NULL && state->plain_until_ms > now);
    query->without_edns = false;
    if (query->asked[place_of(query)] > query->job->dnscheck->settings.tries ||
        (state != NULL && state->stream_until_ms > now))
        return STEP_TCP;
    return drops_edns && !query->options.needs_signatures ? STEP_UDP_PLAIN : STEP_UDP;
}

static void next_attempt(struct query *query) {
    for (;;) {
        struct server_state *busy = NULL;
        if (query->job->queries >= query->job->max_queries) {
            query->last_failure =
                "the check needs more queries than allowed; shorten the aliases and delegations "
                "that lead there";
            break;
        }
        query->server = choose(query, &busy);
        if (query->server == NULL) {
            query->is_exhausted = true;
            break;
        }
        if (busy != NULL) {
            wait_for_place(query, busy);
            return;
        }
        if (start_attempt(query, first_step(query)))
            return;
        say_silent_attempt(query, "unreachable");
        note(query, NULL, "unreachable");
        end_attempt(query);
    }
    end_attempt(query);
    give_up(query);
}

static void on_shared_answer(evutil_socket_t fd, short what, void *context) {
    (void)fd;
    (void)what;
    struct query *query = context;
    struct shared_answer *shared = query->shared;
    struct dns_server *server = arena_copy(query->job->scratch, &shared->server, sizeof shared->server);
    const char *name = arena_strdup(query->job->scratch, shared->server_name);
    const struct dns_message *message = dns_parse(query->job->scratch, shared->wire, shared->length);
    if (server == NULL || name == NULL || message == NULL) {
        finish(query, NULL, "out of memory");
        return;
    }
    server->name = name;
    query->server = server;
    query->job->dnscheck->counters.shared++;
    evidence_add(query->job, server, "shared", query->name, query->type, message, NULL, 0);
    finish(query, message, NULL);
}

/* True where another check's answer is taken or awaited. */
static bool join(struct query *query, const struct server_list *servers) {
    struct dnscheck *dnscheck = query->job->dnscheck;
    if (!query->options.is_shared || query->options.takes_any_rcode || dnscheck->settings.share_ms == 0)
        return false;
    struct shared_answer *shared =
        share_get(dnscheck->share, servers, query->options.zone, query->name, query->type);
    query->shared = shared;
    if (shared == NULL)
        return false;
    if (shared->leader != NULL) {
        query->is_follower = true;
        TAILQ_INSERT_TAIL(&shared->followers, query, follower_entry);
        return true;
    }
    if (shared->stands_from_ms != 0 &&
        clock_monotonic_ms() - shared->stands_from_ms < dnscheck->settings.share_ms) {
        call_later(query, on_shared_answer);
        return true;
    }
    shared->leader = query;
    return false;
}

bool transport_query(struct dnscheck_job *job, const struct server_list *servers, const char *name,
                     uint16_t type, const struct query_options *options, query_done *done, void *context) {
    struct query *query = arena_alloc(job->scratch, sizeof *query);
    uint32_t start;
    struct dns_server *items =
        arena_copy(job->scratch, servers->items, servers->count * sizeof *servers->items);
    if (query == NULL || items == NULL || strlen(name) >= sizeof query->name)
        return false;
    random_bytes(&start, sizeof start);
    query->job = job;
    query->servers.items = items;
    query->servers.count = servers->count;
    strcpy(query->name, name);
    query->type = type;
    query->options = options != NULL ? *options : (struct query_options){0};
    query->done = done;
    query->context = context;
    query->fd = -1;
    query->first = servers->count == 0 ? 0 : start % servers->count;
    TAILQ_INSERT_TAIL(&job->open_queries, query, entry);
    if (!join(query, servers))
        next_attempt(query);
    return true;
}

void transport_cancel_all(struct dnscheck_job *job) {
    for (struct query *query; (query = TAILQ_FIRST(&job->open_queries)) != NULL;) {
        leave_shared(query, NULL, false);
        end_attempt(query);
        TAILQ_REMOVE(&job->open_queries, query, entry);
    }
}
