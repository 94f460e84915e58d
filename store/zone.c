/* Zones: several customers may add one name, each with other name servers; at most one of them is active. */
#include <string.h>

#include "call.h"
#include "link.h"
#include "originca/names.h"

bool zone_read(struct arena *arena, const struct redisReply *id, const struct redisReply *pairs, void *object,
               struct error *error) {
    static const struct store_field fields[] = {
        {"name", FIELD_TEXT, offsetof(struct store_zone, name), NULL},
        {"customer", FIELD_TEXT, offsetof(struct store_zone, customer), NULL},
        {"status", FIELD_ENUM, offsetof(struct store_zone, status), store_zone_statuses},
        {"servers", FIELD_WORDS, offsetof(struct store_zone, name_servers), NULL},
        {"created", FIELD_TIME, offsetof(struct store_zone, created_at), NULL},
        {"activated", FIELD_TIME, offsetof(struct store_zone, activated_at), NULL},
        {"checked", FIELD_TIME, offsetof(struct store_zone, checked_at), NULL},
        {"negatives", FIELD_UINT32, offsetof(struct store_zone, negatives), NULL},
        {"reason", FIELD_TEXT, offsetof(struct store_zone, reason), NULL},
        {"evidence", FIELD_TEXT, offsetof(struct store_zone, evidence), NULL},
        {"resumes", FIELD_TEXT, offsetof(struct store_zone, resumes), NULL},
        {"zones_above", FIELD_WORDS, offsetof(struct store_zone, zones_above), NULL},
        {"rivals", FIELD_WORDS, offsetof(struct store_zone, rivals), NULL},
        {"anothers", FIELD_TEXT, offsetof(struct store_zone, anothers), NULL},
        {"right_at", FIELD_INT64, offsetof(struct store_zone, right_at_ms), NULL},
        {"ssl", FIELD_TEXT, offsetof(struct store_zone, ssl_mode), NULL},
        {"ssl_changed", FIELD_TIME, offsetof(struct store_zone, ssl_changed_at), NULL},
    };
    _Static_assert(offsetof(struct store_zone, name_server_count) ==
                           offsetof(struct store_zone, name_servers) + sizeof(const char **) &&
                       offsetof(struct store_zone, zones_above_count) ==
                           offsetof(struct store_zone, zones_above) + sizeof(const char **),
                   "FIELD_WORDS writes pointer and count");
    _Static_assert(offsetof(struct store_zone, rival_count) ==
                       offsetof(struct store_zone, rivals) + sizeof(const char **),
                   "FIELD_WORDS writes pointer and count");
    struct store_zone *zone = object;
    *zone = (struct store_zone){.id = reply_text(arena, id, error)};
    return zone->id != NULL &&
           reply_read_fields(arena, pairs, fields, sizeof fields / sizeof *fields, zone, error);
}

static bool parse_zone(struct store_call *call, struct redisReply *const *items, size_t count,
                       struct error *error) {
    return reply_read_one(call, items, count, zone_read, error);
}

static bool parse_list(struct store_call *call, struct redisReply *const *items, size_t count,
                       struct error *error) {
    struct store_zone_list *list = call->out;
    return reply_read_page(call, items, count, zone_read, sizeof *list->items, (void **)&list->items,
                           &list->count, &list->next_cursor, error);
}

static void add_delegation(struct store_call *call, const struct store_delegation *delegation) {
    call_add_number(call, delegation->is_known);
    call_add_joined(call, delegation->name_servers, delegation->count);
}

/* How long name servers stay taken that a name was seen delegated to. */
static void add_hold(struct store_call *call) {
    const struct config *config = store_config(call->store);
    call_add_number(call, config->name_server_hold_seconds);
    call_add_number(call, config->name_server_release_seconds);
}

static void send_new_zone(struct store_call *call, const char *name, const char *customer,
                          const struct store_name_server_pool *pool,
                          const struct store_delegation *delegation, bool is_plan,
                          const struct store_right *right) {
    const char *id = right != NULL ? right->subject : random_hex(call->own, 16);
    if (id == NULL) {
        call_refuse(call, ERROR_INTERNAL, "out of memory");
        return;
    }
    call_add(call, id);
    call_add(call, name);
    call_add(call, customer);
    add_delegation(call, delegation);
    call_add_number(call, (int64_t)pool->per_zone);
    call_add_number(call, is_plan);
    right_add(call, right);
    for (size_t i = 0; i < pool->count; i++)
        call_add(call, pool->names[i]);
    call_send(call);
}

void store_create_zone(struct store *store, struct arena *arena, const char *name, const char *customer,
                       const struct store_name_server_pool *pool, const struct store_delegation *delegation,
                       struct store_zone *out, const struct store_right *right, store_done *done,
                       void *context) {
    struct store_call *call = call_new(store, SCRIPT_CREATE_ZONE, arena, parse_zone, out, done, context);
    if (call == NULL)
        return;
    call->is_durable = right != NULL;
    send_new_zone(call, name, customer, pool, delegation, false, right);
}

/* Without a zone where it would be created. */
static bool parse_plan(struct store_call *call, struct redisReply *const *items, size_t count,
                       struct error *error) {
    if (count >= 2 && items[1]->type == REDIS_REPLY_ARRAY && items[1]->elements == 0)
        return true;
    return parse_zone(call, items, count, error);
}

void store_plan_zone(struct store *store, struct arena *arena, const char *name, const char *customer,
                     const struct store_name_server_pool *pool, const struct store_delegation *delegation,
                     struct store_zone *out, store_done *done, void *context) {
    struct store_call *call = call_new(store, SCRIPT_CREATE_ZONE, arena, parse_plan, out, done, context);
    if (call != NULL)
        send_new_zone(call, name, customer, pool, delegation, true, NULL);
}

static bool parse_loaded(struct store_call *call, struct redisReply *const *items, size_t count,
                         struct error *error) {
    return reply_read_hash(call, items, count, zone_read, "zone", error);
}

void store_load_zone(struct store *store, struct arena *arena, const char *zone_id, struct store_zone *out,
                     store_done *done, void *context) {
    call_load_hash(store, arena, "zone:", zone_id, parse_loaded, out, done, context);
}

static void find_zone(struct store *store, struct arena *arena, const char *name_or_id, const char *customer,
                      bool must_be_only, struct store_zone *out, store_done *done, void *context) {
    struct store_call *call = call_new(store, SCRIPT_FIND_ZONE, arena, parse_zone, out, done, context);
    if (call == NULL)
        return;
    call_add(call, name_or_id);
    call_add(call, customer);
    call_add_number(call, must_be_only);
    call_send(call);
}

void store_find_zone(struct store *store, struct arena *arena, const char *name_or_id, const char *customer,
                     struct store_zone *out, store_done *done, void *context) {
    find_zone(store, arena, name_or_id, customer, false, out, done, context);
}

void store_find_only_zone(struct store *store, struct arena *arena, const char *name_or_id,
                          const char *customer, struct store_zone *out, store_done *done, void *context) {
    find_zone(store, arena, name_or_id, customer, true, out, done, context);
}

void store_zones_above(struct store *store, struct arena *arena, const char *name, const char *customer,
                       struct store_zone *out, store_done *done, void *context) {
    struct store_call *call = call_new(store, SCRIPT_ZONES_ABOVE, arena, parse_zone, out, done, context);
    if (call == NULL)
        return;
    call_add(call, name);
    call_add(call, customer);
    call_send(call);
}

/* --- the zones of names --- */

static bool parse_zones_of_names(struct store_call *call, struct redisReply *const *items, size_t count,
                                 struct error *error) {
    size_t names = *(size_t *)call->extra;
    struct store_zone *out = call->out;
    if (count < 1 || !reply_is_array(items[0], names, error) || items[0]->elements != names)
        return error_set(error, ERROR_INTERNAL, "Redis answered for another number of names than asked");
    struct store_zone *zones = arena_alloc(call->own, count * sizeof *zones);
    if (zones == NULL)
        return reply_out_of_memory(error);
    for (size_t i = 1; i < count; i++)
        if (!reply_is_array(items[i], 2, error) ||
            !zone_read(call->arena, items[i]->element[0], items[i]->element[1], &zones[i - 1], error))
            return false;
    for (size_t i = 0; i < names; i++) {
        int64_t number = 0;
        if (!reply_number(items[0]->element[i], &number, error))
            return false;
        if (number < 0 || (size_t)number >= count)
            return error_set(error, ERROR_INTERNAL, "Redis named a zone it did not send");
        out[i] = number == 0 ? (struct store_zone){.id = NULL} : zones[number - 1];
    }
    return true;
}

/* The name itself and what is left of it behind each dot; a zone has two labels at least. */
static void add_suffixes(struct store_call *call, const char *name) {
    const char *suffixes[NAME_MAX_LABELS + 1];
    size_t count = 0;
    const char *suffix = strncmp(name, "*.", 2) == 0 ? name + 2 : name;
    while (suffix != NULL && count < NAME_MAX_LABELS + 1) {
        suffixes[count++] = suffix;
        suffix = strchr(suffix, '.');
        if (suffix != NULL)
            suffix++;
    }
    call_add_number(call, (int64_t)count);
    for (size_t i = 0; i < count; i++)
        call_add(call, suffixes[i]);
}

/* NULL: `done` was called, or will be. */
static struct store_call *call_for_names(struct store *store, enum store_script_id script,
                                         struct arena *arena, size_t count, struct store_zone *out,
                                         store_done *done, void *context) {
    struct store_call *call = call_new(store, script, arena, parse_zones_of_names, out, done, context);
    if (call == NULL)
        return NULL;
    call->extra = arena_copy(call->own, &count, sizeof count);
    if (call->extra == NULL) {
        call_refuse(call, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    return call;
}

void store_zones_of_names(struct store *store, struct arena *arena, const char *customer, const char *issuers,
                          const char *const *names, size_t count, struct store_zone *out, store_done *done,
                          void *context) {
    struct store_call *call = call_for_names(store, SCRIPT_ZONES_OF_NAMES, arena, count, out, done, context);
    if (call == NULL)
        return;
    call_add(call, customer);
    call_add(call, issuers);
    for (size_t i = 0; i < count; i++)
        add_suffixes(call, names[i]);
    call_send(call);
}

void store_zones_held(struct store *store, struct arena *arena, const char *account_id,
                      const char *const *names, size_t count, struct store_zone *out, store_done *done,
                      void *context) {
    struct store_call *call = call_for_names(store, SCRIPT_HOLDS_NAMES, arena, count, out, done, context);
    if (call == NULL)
        return;
    call_add(call, account_id);
    call_add_number(call, store_config(store)->revocation_proof_seconds);
    for (size_t i = 0; i < count; i++) {
        add_suffixes(call, names[i]);
        call_add(call, names[i]);
    }
    call_send(call);
}

void store_list_zones(struct store *store, struct arena *arena, const char *customer, const char *cursor,
                      uint32_t limit, struct store_zone_list *out, store_done *done, void *context) {
    struct store_call *call = call_new(store, SCRIPT_LIST_ZONES, arena, parse_list, out, done, context);
    if (call == NULL)
        return;
    call_add(call, customer);
    call_add_cursor(call, cursor);
    call_add_limit(call, limit);
    call_send(call);
}

/* --- changes --- */

/* A tenth more or less, so that zones added together are not checked together for ever. */
static int64_t with_jitter(uint32_t seconds) {
    uint32_t dice, spread = seconds / 5;
    random_bytes(&dice, sizeof dice);
    return (int64_t)seconds - spread / 2 + dice % (spread + 1);
}

static bool parse_recorded(struct store_call *call, struct redisReply *const *items, size_t count,
                           struct error *error) {
    struct store_needed_rights *needed = call->extra;
    if (count < 3)
        return error_set(error, ERROR_INTERNAL, "Redis does not say what a zone check needs");
    return parse_zone(call, items, count, error) &&
           (needed == NULL || reply_texts(call->arena, items[2], &needed->words, &needed->count, error));
}

void store_record_zone_check(struct store *store, struct arena *arena, const struct store_zone_check *check,
                             struct store_zone *out, store_done *done, void *context) {
    const struct config *config = store_config(store);
    struct store_call *call =
        call_new(store, SCRIPT_RECORD_ZONE_CHECK, arena, parse_recorded, out, done, context);
    if (call == NULL)
        return;
    call_add(call, check->zone_id);
    call_add_number(call, check->is_ok);
    call_add_number(call, !check->is_definite_no ? 0 : check->is_inferred ? 2 : 1);
    call_add(call, check->reason);
    call_add(call, check->evidence);
    call_add_number(call, check->checked_at);
    call_add_number(call, check->moved_after);
    call_add_number(call, config->zone_pending_interval_seconds);
    call_add_number(call, with_jitter(config->zone_sweep_interval_seconds));
    call_add_number(call, strcmp(config->moved_zone_certificates, "keep") != 0);
    call_add_number(call, config->zone_checks_per_second);
    add_delegation(call, &check->delegation);
    add_hold(call);
    call_add_number(call, config->name_server_look_seconds);
    call_add_number(call, check->needed == NULL ? -1 : (int64_t)check->right_count);
    for (size_t i = 0; check->needed != NULL && i < check->right_count; i++)
        right_add(call, &check->rights[i]);
    call->is_durable = check->right_count > 0;
    call->extra = check->needed;
    call_send(call);
}

void store_set_zone_ssl(struct store *store, struct arena *arena, const char *zone_id, const char *mode,
                        struct store_zone *out, store_done *done, void *context) {
    struct store_call *call = call_new(store, SCRIPT_SET_ZONE_SSL, arena, parse_zone, out, done, context);
    if (call == NULL)
        return;
    call_add(call, zone_id);
    call_add(call, mode);
    call_send(call);
}

void store_set_zone_paused(struct store *store, struct arena *arena, const char *zone_id, bool is_paused,
                           struct store_zone *out, const struct store_right *right, store_done *done,
                           void *context) {
    struct store_call *call = call_new(store, SCRIPT_PAUSE_ZONE, arena, parse_zone, out, done, context);
    if (call == NULL)
        return;
    call->is_durable = true;
    call_add(call, zone_id);
    call_add_number(call, is_paused);
    right_add(call, right);
    call_send(call);
}

/* The script invalidates a bounded number of orders a call; this repeats it until none is left. */
struct deletion {
    struct store *store;
    struct arena *arena; /* holds this */
    const char *zone_id;
    const struct store_right *right; /* the caller's, that waits; of the first call */
    int64_t orders_done;
    store_done *done;
    void *context;
};

static bool parse_deletion(struct store_call *call, struct redisReply *const *items, size_t count,
                           struct error *error) {
    struct deletion *deletion = call->context;
    return count >= 1 && reply_number(items[0], &deletion->orders_done, error);
}

static void delete_some(struct deletion *deletion);

static void note_deleted(void *context, const struct error *error) {
    struct deletion *deletion = context;
    if (error == NULL && deletion->orders_done >= 0) {
        delete_some(deletion);
        return;
    }
    store_done *done = deletion->done;
    void *done_context = deletion->context;
    arena_free(deletion->arena);
    done(done_context, error);
}

static void delete_some(struct deletion *deletion) {
    const struct config *config = store_config(deletion->store);
    struct store_call *call =
        call_new(deletion->store, SCRIPT_DELETE_ZONE, NULL, parse_deletion, NULL, note_deleted, deletion);
    if (call == NULL)
        return;
    call_add(call, deletion->zone_id);
    call_add_number(call, config->evidence_retention_seconds);
    call_add_number(call, deletion->orders_done);
    call_add_number(call, config->refused_retention_seconds);
    call_add_number(call, config->name_server_look_seconds);
    call->is_durable = deletion->right != NULL;
    right_add(call, deletion->right);
    deletion->right = NULL;
    call_send(call);
}

void store_delete_zone(struct store *store, const char *zone_id, const struct store_right *right,
                       store_done *done, void *context) {
    struct arena *arena = arena_new(0);
    struct deletion *deletion = arena == NULL ? NULL : arena_alloc(arena, sizeof *deletion);
    const char *copy = deletion == NULL ? NULL : arena_strdup(arena, zone_id);
    if (copy == NULL) {
        const struct error error = {ERROR_INTERNAL, "out of memory"};
        arena_free(arena);
        done(context, &error);
        return;
    }
    *deletion = (struct deletion){
        .store = store, .arena = arena, .zone_id = copy, .right = right, .done = done, .context = context};
    delete_some(deletion);
}

void store_due_zones(struct store *store, struct arena *arena, uint32_t limit, uint32_t lease_seconds,
                     struct store_zone_list *out, store_done *done, void *context) {
    struct store_call *call = call_new(store, SCRIPT_DUE_ZONES, arena, parse_list, out, done, context);
    if (call == NULL)
        return;
    call_add_limit(call, limit);
    call_add_number(call, lease_seconds);
    call_send(call);
}

void store_due_names(struct store *store, struct arena *arena, uint32_t limit, uint32_t lease_seconds,
                     struct store_zone_list *out, store_done *done, void *context) {
    struct store_call *call = call_new(store, SCRIPT_DUE_NAMES, arena, parse_list, out, done, context);
    if (call == NULL)
        return;
    call_add_limit(call, limit);
    call_add_number(call, lease_seconds);
    call_send(call);
}

void store_record_delegation(struct store *store, const char *name, const struct store_delegation *delegation,
                             store_done *done, void *context) {
    struct store_call *call = call_new(store, SCRIPT_RECORD_DELEGATION, NULL, NULL, NULL, done, context);
    if (call == NULL)
        return;
    call_add(call, name);
    add_delegation(call, delegation);
    add_hold(call);
    call_add_number(call, with_jitter(store_config(store)->name_server_look_seconds));
    call_send(call);
}
