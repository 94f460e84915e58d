/* Fuzz target: the whole check - walk, lookups, DNSSEC, CAA, evidence - with a transport that this file
 * brings.
 *
 * Each query is answered by the honest tree of fuzz_world.c, bent as the input says: records dropped,
 * changed, repeated, replayed from other questions, raw bytes, failures. The name servers' operators may be
 * the enemy (every signature verifies), or somebody on the path (what is not as signed does not), or the keys
 * are real garbage for ldns's own eyes. Against the one on the path the target knows the truth and holds the
 * check to it: no name of a signed zone is proven that is not proxied. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <ldns/ldns.h>

#include "../../dnscheck/internal.h"
#include "fuzz_world.h"

#define UNSEEN __attribute__((no_sanitize("coverage")))
#define MUST(condition)                                                                                      \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            fprintf(stderr, "does not hold: %s (line %d)\n", #condition, __LINE__);                          \
            if (current.result != NULL && current.result->evidence != NULL)                                  \
                json_dumpf(current.result->evidence, stderr, JSON_INDENT(1));                                \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

enum enemy { ON_THE_PATH, ZONE_OWNER, REAL_KEYS };

static struct {
    const uint8_t *data;
    size_t size;
    bool has_anchors, is_bent, has_txt, answers_latest, has_other_zones;
    enum enemy enemy;
    enum dnscheck_caa_mode caa_mode;
    struct fuzz_world world;
    unsigned ends_after; /* answers; then deadline or cancel */
    bool is_cancelled_then;
    uint64_t random;
    int64_t now_ms;
    const struct dnscheck_result *result;
    unsigned results;
} current;
static struct event_base *base;
static char hints_path[64], anchor_path[64];

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static uint8_t take(void) {
    if (current.size == 0)
        return 0;
    current.size--;
    return *current.data++;
}

/* --- what the check gets from outside: time, chance, signatures --- */

int64_t __wrap_clock_monotonic_ms(void);
int64_t __wrap_clock_wall_ms(void);
void __wrap_random_bytes(void *out, size_t length);
ldns_status __real_ldns_verify_rrsig_keylist_notime(const ldns_rr_list *set, const ldns_rr *signature,
                                                    const ldns_rr_list *keys, ldns_rr_list *good);
ldns_status __wrap_ldns_verify_rrsig_keylist_notime(const ldns_rr_list *set, const ldns_rr *signature,
                                                    const ldns_rr_list *keys, ldns_rr_list *good);
bool __real_ldns_rr_compare_ds(const ldns_rr *a, const ldns_rr *b);
bool __wrap_ldns_rr_compare_ds(const ldns_rr *a, const ldns_rr *b);

int64_t __wrap_clock_monotonic_ms(void) {
    return current.now_ms;
}

int64_t __wrap_clock_wall_ms(void) {
    return 1700000000000;
}

void __wrap_random_bytes(void *out, size_t length) {
    for (size_t i = 0; i < length; i++) {
        current.random = current.random * 6364136223846793005u + 1442695040888963407u;
        ((uint8_t *)out)[i] = (uint8_t)(current.random >> 56);
    }
}

UNSEEN static uint64_t sum_data(const ldns_rr *rr, size_t count) {
    uint64_t sum = 0;
    for (size_t i = 0; i < count && i < ldns_rr_rd_count(rr); i++)
        sum = fuzz_world_sum(ldns_rdf_data(ldns_rr_rdf(rr, i)), ldns_rdf_size(ldns_rr_rdf(rr, i)), sum);
    return sum == 0 ? fuzz_world_sum(NULL, 0, 0) : sum;
}

UNSEEN static uint64_t sum_owner(const ldns_rr *rr, unsigned labels) {
    const ldns_rdf *owner = ldns_rr_owner(rr);
    const uint8_t *at = ldns_rdf_data(owner);
    unsigned count = ldns_dname_label_count(owner);
    if (labels >= count)
        return fuzz_world_sum(at, ldns_rdf_size(owner), 0);
    size_t skipped = 0;
    for (; count > labels; count--)
        skipped += 1u + at[skipped];
    return fuzz_world_sum(at + skipped, ldns_rdf_size(owner) - skipped,
                          fuzz_world_sum((const uint8_t *)"\1*", 2, 0));
}

UNSEEN ldns_status __wrap_ldns_verify_rrsig_keylist_notime(const ldns_rr_list *set, const ldns_rr *signature,
                                                           const ldns_rr_list *keys, ldns_rr_list *good) {
    const ldns_rr *key = ldns_rr_list_rr(keys, 0);
    if (current.enemy == REAL_KEYS)
        return __real_ldns_verify_rrsig_keylist_notime(set, signature, keys, good);
    if (current.enemy == ZONE_OWNER)
        return LDNS_STATUS_OK;
    const ldns_rdf *seal = ldns_rr_rdf(signature, 8);
    uint64_t records = 0, has;
    for (size_t i = 0; i < ldns_rr_list_rr_count(set); i++)
        records += sum_data(ldns_rr_list_rr(set, i), 100);
    uint64_t wanted = fuzz_world_seal(
        sum_data(key, 100), sum_data(signature, 8),
        sum_owner(ldns_rr_list_rr(set, 0), ldns_rdf2native_int8(ldns_rr_rdf(signature, 2))), records);
    if (ldns_rdf_size(seal) != 64)
        return LDNS_STATUS_CRYPTO_BOGUS;
    memcpy(&has, ldns_rdf_data(seal) + 1, sizeof has);
    return has == wanted ? LDNS_STATUS_OK : LDNS_STATUS_CRYPTO_BOGUS;
}

UNSEEN bool __wrap_ldns_rr_compare_ds(const ldns_rr *a, const ldns_rr *b) {
    if (current.enemy == REAL_KEYS)
        return __real_ldns_rr_compare_ds(a, b);
    const ldns_rdf *digest = ldns_rr_rdf(a, 3);
    uint64_t has, wanted = sum_data(b, 100);
    if (ldns_rdf_size(digest) < 8)
        return false;
    has = 0;
    for (size_t i = 0; i < 8; i++)
        has |= (uint64_t)ldns_rdf_data(digest)[i] << i * 8;
    return current.enemy == ZONE_OWNER || has == wanted;
}

/* --- bending an answer --- */

static const char *const names[] = {
    "",
    "test",
    "shop.test",
    "www.shop.test",
    "*.shop.test",
    "provider.test",
    "ns1.provider.test",
    "ns2.provider.test",
    "edge.provider.test",
    "plain.test",
    "elsewhere.test",
    "ns1.foreign.plain.test",
    "a.b.shop.test",
    "b.shop.test",
    "alias.shop.test",
    "old.shop.test",
    "gray.shop.test",
    "*.wild.shop.test",
    "real.wild.shop.test",
    "sub.shop.test",
    "www.sub.shop.test",
    "locked.shop.test",
    "www.elsewhere.test",
    "missing.shop.test",
};
#define NAMES (sizeof names / sizeof names[0])

static void choose_name(char out[FUZZ_NAME_MAX], const char *question) {
    uint8_t choice = take();
    if (choice < NAMES) {
        snprintf(out, FUZZ_NAME_MAX, "%s", names[choice]);
        return;
    }
    switch (choice) {
    case NAMES:
        snprintf(out, FUZZ_NAME_MAX, "%s", question);
        break;
    case NAMES + 1:
        snprintf(out, FUZZ_NAME_MAX, "x.%.250s", question);
        break;
    case NAMES + 2:
        snprintf(out, FUZZ_NAME_MAX, "*.%.250s", question);
        break;
    case NAMES + 3:
        snprintf(out, FUZZ_NAME_MAX, "%s", strchr(question, '.') == NULL ? "" : strchr(question, '.') + 1);
        break;
    case NAMES + 4: /* as long as names get */
        memset(out, 'a', 250);
        for (size_t i = 50; i < 250; i += 50)
            out[i] = '.';
        out[250] = '\0';
        break;
    default: /* any bytes, in one label or two */
        for (size_t i = 0; i < choice % 24u; i++)
            out[i] = (char)take();
        snprintf(out + choice % 24u, FUZZ_NAME_MAX - 24, ".%s", names[take() % NAMES]);
    }
}

static uint16_t choose_type(void) {
    static const uint16_t types[] = {DNS_A,  DNS_NS,    DNS_CNAME, DNS_SOA,    DNS_TXT,   DNS_AAAA, DNS_DNAME,
                                     DNS_DS, DNS_RRSIG, DNS_NSEC,  DNS_DNSKEY, DNS_NSEC3, DNS_CAA};
    uint8_t choice = take();
    return choice < sizeof types / sizeof types[0] ? types[choice] : choice;
}

static uint8_t choose_server(void) {
    static const uint8_t servers[] = {1, 2, 11, 12, 21};
    return servers[take() % sizeof servers];
}

/* A record of the input's own making: its data are names and bytes. */
static void make_record(struct fuzz_record *record, const char *question) {
    char name[FUZZ_NAME_MAX];
    memset(record, 0, sizeof *record);
    record->section = take() % 3;
    record->type = choose_type();
    record->ttl = take() * 16u;
    choose_name(record->owner, question);
    uint8_t before = take() % 32, after = take() % 64;
    for (size_t i = 0; i < before; i++)
        record->data[record->length++] = take();
    if ((take() & 1) != 0) {
        choose_name(name, question);
        record->length += (uint16_t)fuzz_world_put_name(record->data + record->length, 255, name);
    }
    for (size_t i = 0; i < after && record->length < FUZZ_RDATA_MAX; i++)
        record->data[record->length++] = take();
}

static void add_record(struct fuzz_answer *answer, const char *question) {
    bool is_first = (take() & 1) != 0;
    struct fuzz_record *place = is_first ? answer->records : answer->records + answer->count;
    if (answer->count == FUZZ_RECORDS_MAX)
        return;
    memmove(place + 1, place, (size_t)(answer->records + answer->count - place) * sizeof *place);
    make_record(place, question);
    answer->count++;
}

static void replay(struct fuzz_answer *answer) {
    static struct fuzz_answer other;
    char name[FUZZ_NAME_MAX];
    choose_name(name, "x.shop.test");
    uint16_t type = choose_type();
    uint8_t section = take();
    other.count = 0;
    fuzz_world_resolve(&current.world, choose_server(), name, type, &other);
    for (size_t i = 0; i < other.count && answer->count < FUZZ_RECORDS_MAX; i++) {
        answer->records[answer->count] = other.records[i];
        if (section % 4 < 3)
            answer->records[answer->count].section = section % 4;
        answer->count++;
    }
}

static void bend_record(struct fuzz_answer *answer, uint8_t how, const char *question) {
    struct fuzz_record *record = answer->count == 0 ? NULL : &answer->records[take() % answer->count];
    if (record == NULL)
        return;
    switch (how) {
    case 0:
        memmove(record, record + 1, (size_t)(answer->records + --answer->count - record) * sizeof *record);
        break;
    case 1:
        choose_name(record->owner, question);
        break;
    case 2:
        record->type = choose_type();
        break;
    case 3: {
        uint8_t place = take(), value = take();
        if (place < record->length)
            record->data[place] = value;
        break;
    }
    case 4: {
        uint8_t length = take();
        record->length = length < record->length ? length : record->length;
        break;
    }
    case 5:
        record->repeat = take();
        break;
    default:
        record->section = take() % 3;
    }
}

static void bend(struct fuzz_answer *answer, const char *question) {
    uint8_t how = take();
    if (how % 10 == 8)
        add_record(answer, question);
    else if (how % 10 == 9)
        replay(answer);
    else if (how % 10 == 7) {
        answer->rcode = how >> 4;
        answer->is_authoritative = (take() & 1) != 0;
        answer->is_truncated = take() == 255;
    } else
        bend_record(answer, how % 10, question);
}

/* --- the transport --- */

struct query {
    TAILQ_ENTRY(query) entry;
    struct dnscheck_job *job;
    struct server_list servers;
    char name[DNS_NAME_MAX];
    uint16_t type;
    bool takes_any_rcode, is_over_budget;
    query_done *done;
    void *context;
};

TAILQ_HEAD(open_query_list, query); /* a job's list has no name of its own */

struct server_table {
    int nothing;
};

struct server_table *server_table_new(void) {
    return calloc(1, sizeof(struct server_table));
}

void server_table_free(struct server_table *table) {
    free(table);
}

bool transport_query(struct dnscheck_job *job, const struct server_list *servers, const char *name,
                     uint16_t type, const struct query_options *options, query_done *done, void *context) {
    struct query *query = arena_alloc(job->scratch, sizeof *query);
    if (query == NULL || strlen(name) >= sizeof query->name)
        return false;
    query->job = job;
    query->servers = *servers;
    strcpy(query->name, name);
    query->type = type;
    query->takes_any_rcode = options != NULL && options->takes_any_rcode;
    query->done = done;
    query->context = context;
    query->is_over_budget = job->queries >= job->max_queries;
    if (!query->is_over_budget && servers->count > 0)
        job->queries++;
    TAILQ_INSERT_TAIL(&job->open_queries, query, entry);
    return true;
}

void transport_cancel_all(struct dnscheck_job *job) {
    TAILQ_INIT(&job->open_queries);
}

static uint8_t address_of(const struct dns_server *server) {
    const uint8_t *bytes = (const uint8_t *)&server->address.v4.sin_addr;
    return server->address.any.sa_family == AF_INET ? bytes[3] : 0;
}

static struct dns_message *make_message(const struct query *query, const struct dns_server *server) {
    static struct fuzz_answer answer;
    static uint8_t wire[FUZZ_WIRE_MAX];
    uint8_t control = take();
    size_t length;
    current.is_bent = current.is_bent || control != 0;
    answer = (struct fuzz_answer){.count = 0, .is_authoritative = true};
    if (control < 0xE0)
        fuzz_world_resolve(&current.world, address_of(server), query->name, query->type, &answer);
    for (unsigned i = 0; i < control % 8u; i++)
        bend(&answer, query->name);
    length = fuzz_world_write(&answer, query->name, query->type, wire);
    if (control >= 0xF0 && length > 0) /* whatever it is, after a true question */
        for (size_t size = take(); size > 0 && length < sizeof wire; size--)
            wire[length++] = take();
    return length == 0 ? NULL : dns_parse(query->job->scratch, wire, length);
}

/* What transport.c makes of an answer, without its retries. */
static void answer_query(struct query *query) {
    const struct dns_server *server = query->servers.count == 0 ? NULL : &query->servers.items[0];
    struct dns_message *message = NULL;
    const char *failure = NULL;
    TAILQ_REMOVE(&query->job->open_queries, query, entry);
    if (query->is_over_budget || server == NULL) {
        query->done(query->context, NULL, NULL, "no server could be asked");
        return;
    }
    if (current.size > 0 && *current.data == 0xDF) {
        current.is_bent = take() != 0;
        failure = "timeout";
    } else if ((message = make_message(query, server)) == NULL) {
        failure = "malformed answer";
    } else if (message->is_truncated) {
        failure = "truncated, over TCP too";
    } else if (message->rcode != DNS_NOERROR && message->rcode != DNS_NXDOMAIN && !query->takes_any_rcode) {
        failure = failure_error_answer(query->job->scratch, server->name, query->name, message->rcode);
    }
    evidence_add(query->job, server, "udp", query->name, query->type, message, failure, 1);
    query->done(query->context, failure == NULL ? message : NULL, failure == NULL ? server : NULL, failure);
}

/* --- the check --- */

static const struct {
    const char *name;
    bool is_proxied, has_txt;
} asked_names[16] = {{"www.shop.test", true, true},         {"*.shop.test", true, false},
                     {"a.b.shop.test", true, false},        {"b.shop.test", false, false},
                     {"alias.shop.test", true, false},      {"out.shop.test", true, false},
                     {"dead.shop.test", false, false},      {"a.old.shop.test", true, false},
                     {"gray.shop.test", false, false},      {"x.wild.shop.test", true, false},
                     {"real.wild.shop.test", false, false}, {"www.sub.shop.test", false, false},
                     {"locked.shop.test", true, false},     {"ours.shop.test", true, false},
                     {"missing.shop.test", false, false},   {"*.gray.shop.test", false, false}};

static bool may_be_proven(unsigned index) {
    bool is_locked = index == 12 && current.caa_mode == DNSCHECK_CAA_STRICT;
    bool is_for_another = index == 13 && current.caa_mode != DNSCHECK_CAA_OFF && current.has_txt;
    return asked_names[index].is_proxied && !is_locked && !is_for_another &&
           (!current.has_txt || asked_names[index].has_txt);
}

static void note_result(void *context, const struct dnscheck_result *result) {
    (void)context;
    current.result = result;
    current.results++;
}

static void judge_findings(const struct dnscheck_finding *findings, size_t count) {
    for (size_t i = 0; i < count; i++) {
        MUST(findings[i].name != NULL && findings[i].reason != NULL && findings[i].text != NULL);
        MUST(findings[i].verdict <= DNSCHECK_FAILED);
        MUST(!findings[i].is_secure || current.has_anchors);
        MUST(findings[i].verdict == DNSCHECK_OK || current.result->verdict != DNSCHECK_OK);
    }
}

static void judge(const struct dnscheck_request *request, const unsigned indexes[2], uint32_t max_queries) {
    const struct dnscheck_result *result = current.result;
    bool is_held = current.has_anchors && current.enemy == ON_THE_PATH;
    MUST(current.results == 1 && result->evidence != NULL && result->queries <= max_queries);
    MUST(result->zone_count == request->zone_count && result->name_count == request->name_count);
    judge_findings(result->zones, result->zone_count);
    judge_findings(result->names, result->name_count);
    for (size_t i = 0; i < result->name_count; i++)
        MUST(result->names[i].verdict != DNSCHECK_OK ||
             result->zones[request->names[i].zone].verdict == DNSCHECK_OK);
    for (size_t i = 0; i < result->name_count && request->names[i].zone == 0; i++) {
        bool is_proven = result->names[i].verdict == DNSCHECK_OK;
        if (is_held && current.world.is_shop_signed)
            MUST(!is_proven || may_be_proven(indexes[i]));
        if (is_held && !current.world.is_shop_signed)
            MUST(!result->names[i].is_secure);
        if (!current.is_bent && current.ends_after == 0 && current.enemy != REAL_KEYS)
            MUST(is_proven == may_be_proven(indexes[i]) && result->names[i].verdict != DNSCHECK_FAILED);
    }
    if (is_held && current.world.is_shop_signed) /* a signed zone cannot be passed off as unsigned */
        MUST(result->zones[0].verdict != DNSCHECK_OK || result->zones[0].is_secure);
    if (is_held && result->zone_count > 1)
        MUST(result->zones[1].verdict != DNSCHECK_OK); /* elsewhere.test is signed, and others' */
    char *text = json_dumps(result->evidence, 0);
    MUST(text != NULL);
    free(text);
}

/* Answers until the check ends by itself; false: it was cancelled. */
/* Of the check, else of the job that looks for the pool's addresses, which it may wait for. */
static struct query *next_query(struct dnscheck_job *job) {
    struct dnscheck_job *other;
    struct query *query = current.answers_latest ? TAILQ_LAST(&job->open_queries, open_query_list)
                                                 : TAILQ_FIRST(&job->open_queries);
    TAILQ_FOREACH(other, &job->dnscheck->jobs, entry)
    if (query == NULL)
        query = TAILQ_FIRST(&other->open_queries);
    return query;
}

static bool drive(struct dnscheck_job *job) {
    for (unsigned answers = 1;; answers++) {
        event_base_loop(base, EVLOOP_NONBLOCK);
        if (current.results > 0)
            return true;
        if (answers == current.ends_after && current.is_cancelled_then) {
            dnscheck_cancel(job);
            return false;
        }
        if (answers == current.ends_after) {
            event_active(job->deadline, EV_TIMEOUT, 0);
            continue;
        }
        struct query *query = next_query(job);
        MUST(query != NULL); /* else it would hang until the deadline */
        answer_query(query);
    }
}

static void run_check(struct dnscheck *dnscheck, const unsigned indexes[2]) {
    static const char *const servers[] = {"ns1.provider.test", "ns2.provider.test"};
    static const struct dnscheck_zone zones[] = {
        {"shop.test", servers, 2}, {"elsewhere.test", servers, 2}, {"plain.test", servers, 2}};
    const char *txt = current.has_txt ? "right" : NULL;
    struct dnscheck_name wanted[4] = {{asked_names[indexes[0]].name, 0, txt}};
    size_t count = 1;
    if (indexes[1] != indexes[0])
        wanted[count++] = (struct dnscheck_name){asked_names[indexes[1]].name, 0, txt};
    if (current.has_other_zones) {
        wanted[count++] = (struct dnscheck_name){"www.elsewhere.test", 1, txt};
        wanted[count++] = (struct dnscheck_name){"www.plain.test", 2, txt};
    }
    const struct dnscheck_request request = {.zones = zones,
                                             .zone_count = current.has_other_zones ? 3 : 1,
                                             .names = wanted,
                                             .name_count = count,
                                             .account_uri = "https://ca.test/account/1",
                                             .method = current.has_txt ? "dns-01" : "ca-delegation"};
    struct arena *arena = arena_new(0);
    current.results = 0;
    current.result = NULL;
    struct dnscheck_job *job = dnscheck_start(dnscheck, arena, &request, note_result, NULL, NULL);
    MUST(job != NULL);
    uint32_t max_queries = job->max_queries;
    if (drive(job))
        judge(&request, indexes, max_queries);
    MUST(dnscheck_counters(dnscheck)->checks_in_progress <= 1); /* that other job */
    arena_free(arena);
}

static void write_file(char path[64], const char *text) {
    int fd = memfd_create("fuzz", 0);
    if (fd < 0 || write(fd, text, strlen(text)) < 0)
        abort();
    snprintf(path, 64, "/proc/self/fd/%d", fd);
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    uint8_t ds[FUZZ_RDATA_MAX];
    char anchor[256];
    (void)argc;
    (void)argv;
    base = event_base_new();
    size_t length = fuzz_world_ds("", ds);
    int at = snprintf(anchor, sizeof anchor, ". IN DS %u 13 2 ", ds[0] << 8 | ds[1]);
    for (size_t i = 4; i < length; i++)
        at += snprintf(anchor + at, sizeof anchor - (size_t)at, "%02x", ds[i]);
    strcat(anchor, "\n");
    write_file(hints_path, ". 60 NS a.root.\na.root. 60 A 192.0.2.1\n");
    write_file(anchor_path, anchor);
    return base == NULL ? 1 : 0;
}

static void take_options(unsigned indexes[2]) {
    uint8_t options = take(), ending = take(), chosen = take();
    static const enum enemy enemies[] = {ON_THE_PATH, ON_THE_PATH, ZONE_OWNER, REAL_KEYS};
    static const enum dnscheck_caa_mode modes[] = {DNSCHECK_CAA_OFF, DNSCHECK_CAA_NAMED, DNSCHECK_CAA_STRICT,
                                                   DNSCHECK_CAA_STRICT};
    current.has_anchors = (options & 1) != 0;
    current.enemy = enemies[options >> 1 & 3];
    current.caa_mode = modes[options >> 3 & 3];
    current.has_txt = (options & 0x20) != 0;
    current.answers_latest = (options & 0x40) != 0;
    current.has_other_zones = (options & 0x80) != 0;
    current.world.is_shop_signed = (ending & 1) == 0;
    current.world.has_nsec3 = (ending & 2) != 0;
    current.world.has_opt_out = (ending & 4) != 0;
    current.is_cancelled_then = (ending & 8) != 0;
    current.ends_after = (ending & 0x10) != 0 ? take() : 0;
    indexes[0] = chosen & 15;
    indexes[1] = chosen >> 4;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const identities[] = {"ca.provider.test"};
    static const char *const pool[] = {"ns1.provider.test", "ns2.provider.test", "ns3.provider.test"};
    static const struct config_prefix edge[] = {
        {.family = AF_INET, .bits = 24, .bytes = {203, 0, 113}},
        {.family = AF_INET6, .bits = 32, .bytes = {0x20, 1, 0xd, 0xb8}}};
    static struct config_prefix documentation = {.family = AF_INET, .bits = 24, .bytes = {192, 0, 2}};
    unsigned indexes[2];
    struct error error;
    memset(&current, 0, sizeof current);
    current.data = data;
    current.size = size;
    current.now_ms = 1000000;
    take_options(indexes);
    const struct dnscheck_settings settings = {
        .trust_anchor_file = current.has_anchors ? anchor_path : NULL,
        .caa_mode = current.caa_mode,
        .caa_identities = identities,
        .caa_identity_count = 1,
        .name_server_pool = pool,
        .name_server_pool_count = 3,
        .root_hints_file = hints_path,
        .port = 53,
        .edge_prefixes = edge,
        .edge_prefix_count = 2,
        .address_rules = {.allowed = &documentation, .allowed_count = 1},
        .deadline_ms = 100000,
        .query_timeout_ms = 1000,
        .max_queries = 60,
        .tries = 2,
        .max_cname = 8,
        .referral_cache_entries = 8,
        .referral_max_ttl = 300,
        .max_concurrent_checks = 2,
        .max_per_server = 100};
    struct dnscheck *dnscheck = dnscheck_new(base, &settings, &error);
    MUST(dnscheck != NULL);
    run_check(dnscheck, indexes);
    if (current.size > 0) { /* again, with a warm cache */
        current.now_ms += take() * 2000;
        run_check(dnscheck, indexes);
    }
    dnscheck_free(dnscheck);
    return 0;
}
