/* What a recursive resolver's answers mean. The reasons are the words of the check (doc/dns-check.md). */
#include "resolver.h"

#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "originca/names.h"
#include "resolver_query.h"

#define SCRATCH_BYTES (16u * 1024 * 1024)
#define ALIASES_MAX 16

struct name_view {
    struct resolver_job *job;
    const struct dnscheck_name *name;
    struct dnscheck_finding *finding;
    const char *asked;
    unsigned pending;
    size_t address_count;
    bool is_decided, tried_base, does_not_exist, is_alias;
};

struct zone_view {
    struct resolver_job *job;
    const struct dnscheck_zone *zone;
    struct dnscheck_finding *finding;
    bool is_decided;
};

struct resolver_job {
    TAILQ_ENTRY(resolver_job) entry;
    struct resolver *resolver;
    struct arena *arena, *scratch;
    const struct dnscheck_request *request;
    struct dnscheck_finding *zones, *names;
    struct zone_view *zone_views;
    struct name_view *name_views;
    struct resolver_queries queries;
    struct event *end;
    size_t undecided;
    resolver_done *done;
    void *context;
};

/* --- deciding --- */

__attribute__((format(printf, 5, 6))) static void decide(struct resolver_job *job,
                                                         struct dnscheck_finding *finding,
                                                         enum dnscheck_verdict verdict, const char *reason,
                                                         const char *format, ...) {
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    const char *copy = arena_strdup(job->arena, text);
    *finding = (struct dnscheck_finding){
        .name = finding->name, .verdict = verdict, .reason = reason, .text = copy == NULL ? "" : copy};
    if (--job->undecided == 0)
        event_active(job->end, EV_TIMEOUT, 0);
}

static const char *failure_word(const char *failure) {
    return strcmp(failure, "timeout") == 0 || strcmp(failure, "servfail") == 0 ? failure : "lookup-failed";
}

static void fail_name(struct name_view *view, const char *what, const char *failure) {
    if (view->is_decided)
        return;
    view->is_decided = true;
    decide(view->job, view->finding, DNSCHECK_FAILED, failure_word(failure),
           "The resolver did not say the %s of %s: %s", what, view->asked, failure);
}

static bool is_on_edge(const struct resolver *resolver, int family, const uint8_t *address) {
    return config_prefixes_hold_address(resolver->settings.edge_prefixes,
                                        resolver->settings.edge_prefix_count, family, address);
}

/* The owner of the records after the aliases in the answer; NULL: more aliases than are followed. */
static const char *follow_aliases(const struct dns_message *message, const char *name) {
    for (unsigned i = 0; i < ALIASES_MAX; i++) {
        const struct dns_record *alias = dns_find(message, DNS_ANSWER, name, DNS_CNAME, NULL);
        if (alias == NULL)
            return name;
        name = alias->target;
    }
    return NULL;
}

/* --- names --- */

static void ask_addresses(struct name_view *view);

static void on_text(void *context, const struct dns_message *message, const char *failure) {
    struct name_view *view = context;
    const char *value = view->name->txt_value;
    if (message == NULL) {
        fail_name(view, "TXT records", failure);
        return;
    }
    const char *owner = follow_aliases(message, view->asked);
    bool has_other = false;
    view->is_decided = true;
    for (const struct dns_record *record = NULL;
         owner != NULL && (record = dns_find(message, DNS_ANSWER, owner, DNS_TXT, record)) != NULL;) {
        if (record->text.length == strlen(value) && memcmp(record->text.data, value, strlen(value)) == 0) {
            decide(view->job, view->finding, DNSCHECK_OK, "proven", "%s", "");
            return;
        }
        has_other = true;
    }
    decide(view->job, view->finding, DNSCHECK_REFUSED, has_other ? "wrong-txt" : "no-txt",
           has_other ? "The resolver sees other TXT records at %s" : "The resolver sees no TXT record at %s",
           view->asked);
}

static void prove(struct name_view *view) {
    if (view->name->txt_value == NULL) {
        view->is_decided = true;
        decide(view->job, view->finding, DNSCHECK_OK, "proxied", "%s", "");
        return;
    }
    view->asked = arena_printf(view->job->scratch, NAME_CHALLENGE_PREFIX "%s", name_base(view->name->name));
    if (view->asked == NULL || !resolver_ask(view->job->resolver, &view->job->queries, view->job->scratch,
                                             view->asked, DNS_TXT, on_text, view)) {
        view->asked = view->name->name;
        fail_name(view, "TXT records", "out of memory");
    }
}

static void judge_addresses(struct name_view *view) {
    if (view->address_count > 0) {
        prove(view);
    } else if (name_is_wildcard(view->name->name) && !view->tried_base && !view->is_alias) {
        view->tried_base = true; /* no wildcard in DNS: its base must be on the edge, as in the check */
        view->asked = name_base(view->name->name);
        ask_addresses(view);
    } else {
        view->is_decided = true;
        decide(view->job, view->finding, DNSCHECK_REFUSED,
               view->does_not_exist ? "does-not-exist" : "no-address",
               view->does_not_exist ? "The resolver says that %s does not exist"
                                    : "The resolver sees no address of %s",
               view->asked);
    }
}

static void take_addresses(struct name_view *view, uint16_t type, const struct dns_message *message,
                           const char *failure) {
    int family = type == DNS_A ? AF_INET : AF_INET6;
    char address[INET6_ADDRSTRLEN];
    view->pending--;
    if (message == NULL)
        fail_name(view, "addresses", failure);
    if (view->is_decided)
        return;
    view->does_not_exist = message->rcode == DNS_NXDOMAIN;
    const char *owner = follow_aliases(message, view->asked);
    if (owner == NULL) {
        view->is_decided = true;
        decide(view->job, view->finding, DNSCHECK_REFUSED, "cname-chain",
               "The resolver sees more than %d aliases of %s", ALIASES_MAX - 1, view->asked);
        return;
    }
    view->is_alias = view->is_alias || strcmp(owner, view->asked) != 0;
    for (const struct dns_record *record = NULL;
         (record = dns_find(message, DNS_ANSWER, owner, type, record)) != NULL;) {
        view->address_count++;
        if (is_on_edge(view->job->resolver, family, record->address))
            continue;
        inet_ntop(family, record->address, address, sizeof address);
        view->is_decided = true;
        decide(view->job, view->finding, DNSCHECK_REFUSED, "gray",
               "The resolver sees %s at %s, which is not an address of the edge", view->asked, address);
        return;
    }
    if (view->pending == 0)
        judge_addresses(view);
}

static void on_v4(void *context, const struct dns_message *message, const char *failure) {
    take_addresses(context, DNS_A, message, failure);
}

static void on_v6(void *context, const struct dns_message *message, const char *failure) {
    take_addresses(context, DNS_AAAA, message, failure);
}

static void ask_addresses(struct name_view *view) {
    struct resolver_job *job = view->job;
    view->pending = 2;
    if (!resolver_ask(job->resolver, &job->queries, job->scratch, view->asked, DNS_A, on_v4, view) ||
        !resolver_ask(job->resolver, &job->queries, job->scratch, view->asked, DNS_AAAA, on_v6, view))
        fail_name(view, "addresses", "out of memory");
}

static void start_name(struct name_view *view) {
    view->asked = view->name->name;
    if (name_is_wildcard(view->name->name)) {
        const char *label = random_hex(view->job->scratch, 8);
        view->asked = label == NULL
                          ? NULL
                          : arena_printf(view->job->scratch, "%s.%s", label, name_base(view->name->name));
    }
    if (view->asked == NULL || strlen(view->asked) >= DNS_NAME_MAX) {
        view->asked = view->name->name;
        fail_name(view, "addresses", "it is too long to be asked");
    } else {
        ask_addresses(view);
    }
}

/* --- zones --- */

static void judge_servers(struct zone_view *view, const struct dns_message *message) {
    const struct dnscheck_zone *zone = view->zone;
    const char *foreign = NULL, **seen = arena_alloc(view->job->scratch, message->count * sizeof *seen);
    size_t ours = 0;
    for (const struct dns_record *record = NULL;
         (record = dns_find(message, DNS_ANSWER, zone->name, DNS_NS, record)) != NULL;) {
        size_t i = 0;
        while (i < zone->name_server_count && strcmp(zone->name_servers[i], record->target) != 0)
            i++;
        if (i < zone->name_server_count && seen != NULL)
            seen[ours++] = record->target;
        else
            foreign = record->target;
    }
    if (foreign != NULL)
        decide(view->job, view->finding, DNSCHECK_REFUSED,
               ours == 0 ? "delegated-elsewhere" : "partly-delegated",
               "The resolver sees the name server %s of %s, which is not assigned", foreign, zone->name);
    else if (ours > 0 && dnscheck_find_rival(zone, seen, ours) != NULL)
        decide(view->job, view->finding, DNSCHECK_REFUSED, "ambiguous",
               "The resolver sees no name servers of %s but such as other customers were told to use as well",
               zone->name);
    else if (ours > 0)
        decide(view->job, view->finding, DNSCHECK_OK, "delegated", "%s", "");
    else
        decide(view->job, view->finding, DNSCHECK_REFUSED,
               message->rcode == DNS_NXDOMAIN ? "does-not-exist" : "not-delegated",
               message->rcode == DNS_NXDOMAIN ? "The resolver says that %s does not exist"
                                              : "The resolver sees no name servers of %s",
               zone->name);
}

static void on_servers(void *context, const struct dns_message *message, const char *failure) {
    struct zone_view *view = context;
    if (message == NULL)
        decide(view->job, view->finding, DNSCHECK_FAILED, failure_word(failure),
               "The resolver did not say the name servers of %s: %s", view->zone->name, failure);
    else
        judge_servers(view, message);
}

/* --- the job --- */

static void free_job(struct resolver_job *job) {
    resolver_forget_all(&job->queries);
    TAILQ_REMOVE(&job->resolver->jobs, job, entry);
    if (job->end != NULL)
        event_free(job->end);
    arena_free(job->scratch); /* the job lives in it */
}

/* A name of a zone that is not seen as it should be cannot be fine. */
static void on_end(evutil_socket_t fd, short what, void *context) {
    (void)fd;
    (void)what;
    struct resolver_job *job = context;
    resolver_done *done = job->done;
    void *done_context = job->context;
    struct dnscheck_finding *zones = job->zones, *names = job->names;
    for (size_t i = 0; i < job->request->name_count; i++) {
        const struct dnscheck_finding *zone = &zones[job->request->names[i].zone];
        if (zone->verdict != DNSCHECK_OK && names[i].verdict == DNSCHECK_OK)
            names[i] = *zone;
    }
    free_job(job);
    done(done_context, zones, names);
}

struct resolver_job *resolver_start(struct resolver *resolver, struct arena *arena,
                                    const struct dnscheck_request *request, resolver_done *done,
                                    void *context) {
    struct arena *scratch = arena_new(SCRATCH_BYTES);
    struct resolver_job *job = scratch == NULL ? NULL : arena_alloc(scratch, sizeof *job);
    if (job == NULL) {
        arena_free(scratch);
        return NULL;
    }
    *job = (struct resolver_job){.resolver = resolver,
                                 .arena = arena,
                                 .scratch = scratch,
                                 .request = request,
                                 .done = done,
                                 .context = context,
                                 .undecided = request->zone_count + request->name_count};
    TAILQ_INIT(&job->queries);
    TAILQ_INSERT_TAIL(&resolver->jobs, job, entry);
    job->zones = arena_alloc(arena, (request->zone_count + 1) * sizeof *job->zones);
    job->names = arena_alloc(arena, (request->name_count + 1) * sizeof *job->names);
    job->zone_views = arena_alloc(scratch, (request->zone_count + 1) * sizeof *job->zone_views);
    job->name_views = arena_alloc(scratch, (request->name_count + 1) * sizeof *job->name_views);
    job->end = evtimer_new(resolver->base, on_end, job);
    if (job->zones == NULL || job->names == NULL || job->zone_views == NULL || job->name_views == NULL ||
        job->end == NULL) {
        free_job(job);
        return NULL;
    }
    for (size_t i = 0; i < request->zone_count; i++) {
        struct zone_view *view = &job->zone_views[i];
        *view = (struct zone_view){.job = job, .zone = &request->zones[i], .finding = &job->zones[i]};
        if (!resolver_ask(resolver, &job->queries, scratch, view->zone->name, DNS_NS, on_servers, view))
            on_servers(view, NULL, "out of memory");
    }
    for (size_t i = 0; i < request->name_count; i++) {
        struct name_view *view = &job->name_views[i];
        *view = (struct name_view){.job = job, .name = &request->names[i], .finding = &job->names[i]};
        start_name(view);
    }
    return job;
}

void resolver_cancel(struct resolver_job *job) {
    free_job(job);
}

struct resolver *resolver_new(struct event_base *base, const struct config_address *address,
                              const struct resolver_settings *settings, struct error *error) {
    struct resolver *resolver = calloc(1, sizeof *resolver);
    if (resolver == NULL) {
        error_set(error, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    resolver->base = base;
    resolver->address = *address;
    resolver->settings = *settings;
    TAILQ_INIT(&resolver->waiting);
    TAILQ_INIT(&resolver->jobs);
    return resolver;
}

void resolver_free(struct resolver *resolver) {
    if (resolver == NULL)
        return;
    for (struct resolver_job *job; (job = TAILQ_FIRST(&resolver->jobs)) != NULL;)
        free_job(job);
    free(resolver);
}
