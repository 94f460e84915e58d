/* The provider's name servers, by name and by address: zones may be delegated to names of their owner's with
 * the addresses of those. The addresses come from DNS, asked for by a job of its own when a check first needs
 * them, and stand for the records' TTL. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

#define LANES 8 /* names that are looked up at once */
#define ADDRESSES_OF_POOL_MAX 4096
#define KEPT_AT_LEAST_S 5

struct waiting {
    TAILQ_ENTRY(waiting) entry;
    struct dnscheck_job *job;
    pool_done *done;
    void *context;
};

struct pool {
    struct dns_server *addresses;
    size_t count;
    int64_t until_ms; /* 0: they were never known */
    int64_t known_ms; /* since when */
    TAILQ_HEAD(, waiting) waiting;
    struct arena *arena; /* of the job that looks for them; NULL: none does */
    struct dns_server *found;
    size_t found_count, next_name, lanes;
    uint32_t ttl;
    const char *failure;
};

struct lane {
    struct dnscheck_job *job;
    const char *server;
    unsigned pending;
};

struct pool *pool_new(void) {
    struct pool *pool = calloc(1, sizeof *pool);
    if (pool != NULL)
        TAILQ_INIT(&pool->waiting);
    return pool;
}

void pool_free(struct pool *pool) {
    if (pool == NULL)
        return;
    arena_free(pool->arena);
    free(pool->addresses);
    free(pool->found);
    free(pool);
}

/* --- by name --- */

bool pool_has_name(const struct dnscheck *dnscheck, const char *server) {
    return name_list_has(dnscheck->settings.name_server_pool, dnscheck->settings.name_server_pool_count,
                         server);
}

const char *pool_find_related(const struct dnscheck *dnscheck, const char *name) {
    for (size_t i = 0; i < dnscheck->settings.name_server_pool_count; i++) {
        const char *server = dnscheck->settings.name_server_pool[i];
        if (dns_is_below(name, server) || dns_is_below(server, name))
            return server;
    }
    return NULL;
}

/* --- by address --- */

enum pool_answer pool_has_address(const struct dnscheck *dnscheck, const struct server_list *servers) {
    const struct pool *pool = dnscheck->pool;
    if (dnscheck->settings.name_server_pool_count == 0)
        return POOL_NO;
    if (pool->until_ms <= clock_monotonic_ms())
        return POOL_UNKNOWN;
    for (size_t i = 0; i < servers->count; i++)
        for (size_t k = 0; k < pool->count; k++)
            if (is_same_server(&servers->items[i], &pool->addresses[k]))
                return POOL_YES;
    return POOL_NO;
}

enum pool_answer pool_find_name(const struct dnscheck *dnscheck, const struct dns_server *server,
                                const char **name) {
    const struct pool *pool = dnscheck->pool;
    const struct server_list one = {.items = {*server}, .count = 1};
    *name = pool_has_name(dnscheck, server->name) ? server->name : NULL;
    enum pool_answer answer = *name != NULL ? POOL_YES : pool_has_address(dnscheck, &one);
    for (size_t i = 0; answer == POOL_YES && *name == NULL && i < pool->count; i++)
        if (is_same_server(server, &pool->addresses[i]))
            *name = pool->addresses[i].name;
    return answer;
}

bool pool_is_current(const struct dnscheck_job *job) {
    const struct pool *pool = job->dnscheck->pool;
    return job->dnscheck->settings.name_server_pool_count == 0 ||
           (pool->until_ms != 0 && pool->known_ms >= job->started_ms);
}

static void look_up_next(struct lane *lane);

static void keep_addresses(struct pool *pool) {
    uint32_t seconds = pool->ttl < KEPT_AT_LEAST_S ? KEPT_AT_LEAST_S : pool->ttl;
    free(pool->addresses);
    pool->addresses = pool->found;
    pool->count = pool->found_count;
    pool->found = NULL;
    pool->known_ms = clock_monotonic_ms();
    pool->until_ms = pool->known_ms + (int64_t)seconds * 1000;
}

static void on_learned(void *context, const struct dnscheck_result *result) {
    struct dnscheck *dnscheck = context;
    struct pool *pool = dnscheck->pool;
    struct arena *arena = pool->arena;
    const char *failure = pool->failure == NULL && pool->lanes > 0 ? "no answer in time" : pool->failure;
    (void)result;
    if (failure == NULL)
        keep_addresses(pool);
    free(pool->found);
    pool->found = NULL;
    pool->arena = NULL; /* who is told of a failure may ask again */
    TAILQ_HEAD(, waiting) told = TAILQ_HEAD_INITIALIZER(told);
    TAILQ_CONCAT(&told, &pool->waiting, entry);
    for (struct waiting *waiting; (waiting = TAILQ_FIRST(&told)) != NULL;) {
        TAILQ_REMOVE(&told, waiting, entry);
        waiting->done(waiting->context, failure);
    }
    arena_free(arena);
}

static void fail(struct lane *lane, const char *failure) {
    struct pool *pool = lane->job->dnscheck->pool;
    if (pool->failure == NULL)
        pool->failure = arena_strdup(pool->arena, failure);
    if (pool->failure == NULL)
        pool->failure = "out of memory";
}

/* One that is not asked is nobody's who answers. */
static bool add_address(struct lane *lane, const struct dns_record *record) {
    struct dnscheck *dnscheck = lane->job->dnscheck;
    struct pool *pool = dnscheck->pool;
    struct dns_server *more = pool->found_count == ADDRESSES_OF_POOL_MAX
                                  ? NULL
                                  : realloc(pool->found, (pool->found_count + 1) * sizeof *more);
    struct cut cut = {.addresses.count = 0};
    if (more == NULL)
        return false;
    pool->found = more;
    cut_add_address(dnscheck, &cut, lane->server, record->type == DNS_A ? AF_INET : AF_INET6,
                    record->address);
    if (cut.addresses.count > 0)
        pool->found[pool->found_count++] = cut.addresses.items[0];
    return true;
}

static void on_address(void *context, const struct lookup_result *result) {
    struct lane *lane = context;
    struct pool *pool = lane->job->dnscheck->pool;
    const char *fault = lookup_fault(result);
    if (fault != NULL)
        fail(lane, fault);
    for (size_t i = 0; pool->failure == NULL && i < result->count; i++) {
        pool->ttl = result->records[i]->ttl < pool->ttl ? result->records[i]->ttl : pool->ttl;
        if (!add_address(lane, result->records[i]))
            fail(lane, "there are too many");
    }
    if (--lane->pending == 0)
        look_up_next(lane);
}

/* A name that does not exist has no address that anybody could use. */
static void on_cut(void *context, const struct walk_result *result) {
    struct lane *lane = context;
    struct dnscheck_job *job = lane->job;
    if (result->is_nxdomain) {
        look_up_next(lane);
        return;
    }
    if (result->cut == NULL || result->cut->addresses.count == 0) {
        fail(lane, result->failure != NULL ? result->failure : "no server of their zone has an address");
        look_up_next(lane);
        return;
    }
    lane->pending = 3;
    if (!lookup_start(job, NULL, result->cut, result->server, lane->server, DNS_A, on_address, lane) ||
        !lookup_start(job, NULL, result->cut, result->server, lane->server, DNS_AAAA, on_address, lane))
        fail(lane, "out of memory");
    static const struct lookup_result nothing = {.count = 0};
    on_address(lane, &nothing);
}

static void look_up_next(struct lane *lane) {
    static const struct walk_options options = {.kind = WALK_CACHED};
    struct dnscheck *dnscheck = lane->job->dnscheck;
    struct pool *pool = dnscheck->pool;
    if (pool->failure != NULL || pool->next_name == dnscheck->settings.name_server_pool_count) {
        if (--pool->lanes == 0)
            job_end(lane->job);
        return;
    }
    lane->server = dnscheck->settings.name_server_pool[pool->next_name++];
    if (!walk_find_cut(lane->job, lane->server, &options, on_cut, lane)) {
        fail(lane, "out of memory");
        look_up_next(lane);
    }
}

static void begin(struct dnscheck_job *job) {
    struct lane *lanes = arena_alloc(job->scratch, LANES * sizeof *lanes);
    for (size_t i = 0; lanes != NULL && i < LANES; i++) {
        lanes[i].job = job;
        look_up_next(&lanes[i]);
    }
    if (lanes == NULL)
        job_end(job);
}

static bool start(struct dnscheck *dnscheck) {
    struct pool *pool = dnscheck->pool;
    if (pool->arena != NULL)
        return true;
    pool->arena = arena_new(0);
    pool->found_count = pool->next_name = 0;
    pool->ttl = dnscheck->settings.referral_max_ttl;
    pool->failure = NULL;
    pool->lanes = LANES; /* until the job has begun and ended */
    if (pool->arena != NULL && job_start(dnscheck, pool->arena, dnscheck->settings.name_server_pool_count,
                                         begin, on_learned, dnscheck) != NULL)
        return true;
    arena_free(pool->arena);
    pool->arena = NULL;
    return false;
}

bool pool_learn(struct dnscheck_job *job, pool_done *done, void *context) {
    struct waiting *waiting = arena_alloc(job->scratch, sizeof *waiting);
    if (waiting == NULL || !start(job->dnscheck))
        return false;
    *waiting = (struct waiting){.job = job, .done = done, .context = context};
    TAILQ_INSERT_TAIL(&job->dnscheck->pool->waiting, waiting, entry);
    return true;
}

void pool_forget(struct dnscheck_job *job) {
    struct pool *pool = job->dnscheck->pool;
    for (struct waiting *waiting = TAILQ_FIRST(&pool->waiting), *next; waiting != NULL; waiting = next) {
        next = TAILQ_NEXT(waiting, entry);
        if (waiting->job == job)
            TAILQ_REMOVE(&pool->waiting, waiting, entry);
    }
}
