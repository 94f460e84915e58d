#include "views.h"

#include <stdlib.h>
#include <string.h>

#define VIEWS_MAX 8

struct view {
    struct dnscheck *dnscheck; /* NULL: the place is free */
    struct arena *arena;       /* what its settings point to */
    uint8_t key[SHA256_BYTES];
    uint64_t used;
};

struct views {
    struct event_base *base;
    const struct options *options;
    struct view items[VIEWS_MAX];
    uint64_t clock;
};

static void clear(struct view *view) {
    dnscheck_free(view->dnscheck);
    arena_free(view->arena);
    *view = (struct view){0};
}

/* Prefixes are compared field by field: structs have padding. */
static bool make_key(const struct message_request *request, uint8_t key[SHA256_BYTES]) {
    struct arena *arena = arena_new(0);
    struct text text;
    text_init(&text, arena);
    text_printf(&text, "%d", (int)request->caa_mode);
    for (size_t i = 0; i < request->caa_identity_count; i++)
        text_printf(&text, " %s", request->caa_identities[i]);
    for (size_t i = 0; i < request->name_server_pool_count; i++)
        text_printf(&text, ",%s", request->name_server_pool[i]);
    for (size_t i = 0; i < request->edge_prefix_count; i++) {
        const struct config_prefix *prefix = &request->edge_prefixes[i];
        char bytes[2 * sizeof prefix->bytes + 1];
        hex_encode(prefix->bytes, sizeof prefix->bytes, bytes);
        text_printf(&text, ";%d %u %s", prefix->family, prefix->bits, bytes);
    }
    bool is_made = arena != NULL && !text.failed;
    if (is_made)
        sha256(text.data, text.length, key);
    arena_free(arena);
    return is_made;
}

static const char **copy_names(struct arena *arena, const char *const *names, size_t count) {
    const char **copy = arena_alloc(arena, (count + 1) * sizeof *copy);
    for (size_t i = 0; copy != NULL && i < count; i++)
        if ((copy[i] = arena_strdup(arena, names[i])) == NULL)
            return NULL;
    return copy;
}

static bool fill(struct views *views, struct view *view, const struct message_request *request,
                 struct error *error) {
    const struct options *options = views->options;
    view->arena = arena_new(0);
    if (view->arena == NULL)
        return error_set(error, ERROR_INTERNAL, "out of memory");
    const char **identities = copy_names(view->arena, request->caa_identities, request->caa_identity_count);
    const char **pool = copy_names(view->arena, request->name_server_pool, request->name_server_pool_count);
    const struct config_prefix *prefixes =
        arena_copy(view->arena, request->edge_prefixes, request->edge_prefix_count * sizeof *prefixes);
    if (identities == NULL || pool == NULL || prefixes == NULL)
        return error_set(error, ERROR_INTERNAL, "out of memory");
    const struct dnscheck_settings settings = {
        .root_hints_file = options->root_hints_file,
        .trust_anchor_file = options->trust_anchor_file,
        .caa_mode = request->caa_mode,
        .caa_identities = identities,
        .caa_identity_count = request->caa_identity_count,
        .name_server_pool = pool,
        .name_server_pool_count = request->name_server_pool_count,
        .port = (uint16_t)options->dns_port,
        .edge_prefixes = prefixes,
        .edge_prefix_count = request->edge_prefix_count,
        .address_rules = options->address_rules,
        .deadline_ms = options->max_deadline_ms,
        .query_timeout_ms = options->query_timeout_ms,
        .max_queries = options->max_queries,
        .tries = options->tries,
        .max_cname = options->max_cname,
        .referral_cache_entries = options->referral_cache_entries,
        .referral_max_ttl = options->referral_max_ttl,
        .max_concurrent_checks = options->max_checks,
        .max_per_server = options->max_per_server,
    };
    view->dnscheck = dnscheck_new(views->base, &settings, error);
    return view->dnscheck != NULL;
}

static bool is_idle(const struct view *view) {
    return view->dnscheck == NULL || dnscheck_counters(view->dnscheck)->checks_in_progress == 0;
}

struct dnscheck *views_find(struct views *views, const struct message_request *request, struct error *error) {
    uint8_t key[SHA256_BYTES];
    struct view *oldest = NULL;
    if (!make_key(request, key)) {
        error_set(error, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    for (size_t i = 0; i < VIEWS_MAX; i++) {
        struct view *view = &views->items[i];
        if (view->dnscheck != NULL && memcmp(view->key, key, sizeof key) == 0) {
            view->used = ++views->clock;
            return view->dnscheck;
        }
        if (is_idle(view) && (oldest == NULL || view->used < oldest->used))
            oldest = view;
    }
    if (oldest == NULL) {
        error_set(error, ERROR_LIMIT, "checks with %d other sets of edge prefixes are under way", VIEWS_MAX);
        return NULL;
    }
    clear(oldest);
    if (!fill(views, oldest, request, error)) {
        clear(oldest);
        return NULL;
    }
    memcpy(oldest->key, key, sizeof key);
    oldest->used = ++views->clock;
    return oldest->dnscheck;
}

/* One is made at once, so that wrong hints or anchors are found at start. */
struct views *views_new(struct event_base *base, const struct options *options, struct error *error) {
    static const struct message_request none;
    struct views *views = calloc(1, sizeof *views);
    if (views == NULL) {
        error_set(error, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    views->base = base;
    views->options = options;
    if (views_find(views, &none, error) != NULL)
        return views;
    views_free(views);
    return NULL;
}

void views_free(struct views *views) {
    if (views == NULL)
        return;
    for (size_t i = 0; i < VIEWS_MAX; i++)
        clear(&views->items[i]);
    free(views);
}
