/* One look: a page of zones from the signer, the newest records of the ledger, one question to Redis. */
#include "lost_data.h"

#include <stdlib.h>
#include <string.h>

#include "originca/json.h"
#include "originca/log.h"

#define SUSPECTS_MAX 64
#define WAITING_PAGES 2 /* while nobody is served the zones are gone through faster */
/* An account lives on from its last use, renewed once a day: whoever got a certificate within a day is there,
 * however its life was set since. */
#define ACCOUNT_DAY 86400
#define LIFE_MIN (3 * ACCOUNT_DAY)
#define TRACES_OF_RECORD 5

struct lost_data {
    struct worker *worker;
    uint64_t cursor;       /* of the signer's zones */
    struct arena *suspect; /* what was missed; NULL: nothing was */
    struct store_trace *suspects;
    size_t suspect_count;
    uint64_t target; /* record that Redis must have applied before they are looked for again; 0: not set */
    bool is_confirmed;
    struct lost_data_verdict verdict;
    /* of the look at work */
    struct arena *arena;
    const struct store_ledger_state *state;
    const struct signer_status *status;
    struct signer_zone_list zones;
    json_t *records;
    struct store_trace *traces;
    size_t count;
    bool is_untold;
    lost_data_done *done;
    void *context;
};

static void end_look(struct lost_data *lost, const struct error *error) {
    arena_free(lost->arena);
    lost->arena = NULL;
    lost->done(lost->context, error, &lost->verdict);
}

static void fail_look(struct lost_data *lost) {
    const struct error error = {ERROR_INTERNAL, "out of memory"};
    end_look(lost, &error);
}

void lost_data_forget(struct lost_data *lost) {
    arena_free(lost->suspect);
    lost->suspect = NULL;
    lost->suspect_count = 0;
    lost->target = lost->cursor = 0;
    lost->is_confirmed = false;
    lost->verdict = (struct lost_data_verdict){.reason = ""};
}

/* --- what was missed, once more --- */

static void tell(struct lost_data *lost) {
    const struct store_trace *first = &lost->suspects[0];
    char others[48] = "";
    if (lost->suspect_count > 1)
        snprintf(others, sizeof others, " and %zu%s more", lost->suspect_count - 1,
                 lost->suspect_count == SUSPECTS_MAX ? " or" : "");
    snprintf(lost->verdict.reason, sizeof lost->verdict.reason,
             "Redis lost data: it lacks %s %.48s%s of the ledger; restore a backup of Redis (doc/redis.md), "
             "or go on without by `originca admin ledger accept-empty`",
             first->kind, strcmp(first->kind, "zone") == 0 ? first->name : first->id, others);
}

static size_t keep_lost(struct store_trace *traces, size_t count) {
    size_t kept = 0;
    for (size_t i = 0; i < count; i++)
        if (traces[i].is_lost)
            traces[kept++] = traces[i];
    return kept;
}

static void note_searched_again(void *context, const struct error *error) {
    struct lost_data *lost = context;
    if (error != NULL || lost->is_untold) {
        end_look(lost, error);
        return;
    }
    lost->suspect_count = keep_lost(lost->suspects, lost->suspect_count);
    if (lost->suspect_count == 0) {
        lost_data_forget(lost);
    } else if (!lost->is_confirmed) {
        lost->is_confirmed = true;
        tell(lost);
    }
    lost->verdict.is_open = false;
    end_look(lost, NULL);
}

/* What was under way when they were missed stood in the ledger by now at the latest. */
static void search_again(struct lost_data *lost) {
    if (lost->target == 0)
        lost->target = lost->status->last_sequence;
    if (lost->state->applied < lost->target)
        end_look(lost, NULL);
    else
        store_find_lost(lost->worker->store, lost->worker->config->host_name, lost->suspects,
                        lost->suspect_count, &lost->is_untold, note_searched_again, lost);
}

static const char *copy(struct arena *arena, const char *text) {
    return text == NULL ? NULL : arena_copy(arena, text, strlen(text) + 1);
}

static bool suspect(struct lost_data *lost) {
    lost->suspect = arena_new(0);
    lost->suspects =
        lost->suspect == NULL ? NULL : arena_alloc(lost->suspect, SUSPECTS_MAX * sizeof *lost->suspects);
    if (lost->suspects == NULL)
        return false;
    for (size_t i = 0; i < lost->count && lost->suspect_count < SUSPECTS_MAX; i++) {
        const struct store_trace *trace = &lost->traces[i];
        lost->suspects[lost->suspect_count++] =
            (struct store_trace){.kind = trace->kind,
                                 .id = copy(lost->suspect, trace->id),
                                 .name = copy(lost->suspect, trace->name),
                                 .customer = copy(lost->suspect, trace->customer)};
    }
    lost->target = 0;
    lost->verdict.is_open = true;
    return true;
}

/* --- the look --- */

static void note_searched(void *context, const struct error *error) {
    struct lost_data *lost = context;
    const struct lost_data_verdict none = {.reason = ""};
    if (error != NULL) {
        end_look(lost, error);
        return;
    }
    lost->count = keep_lost(lost->traces, lost->count);
    if (lost->count > 0 && !suspect(lost)) {
        fail_look(lost);
        return;
    }
    /* What a former process found missing is there only when all zones were gone through. */
    if (lost->count == 0 && (*lost->state->lost == '\0' || lost->cursor == 0))
        lost->verdict = none;
    else
        snprintf(lost->verdict.reason, sizeof lost->verdict.reason, "%s", lost->state->lost);
    end_look(lost, NULL);
}

static void add(struct lost_data *lost, const char *kind, const char *id, const char *name,
                const char *customer) {
    if (id != NULL && *id != '\0')
        lost->traces[lost->count++] =
            (struct store_trace){.kind = kind, .id = id, .name = name, .customer = customer};
}

static const char *text_of(const json_t *record, const char *member) {
    return json_string_value(json_object_get(record, member));
}

static time_t time_of(const json_t *record, const char *member) {
    const char *text = text_of(record, member);
    time_t when = 0;
    return text != NULL && time_parse(text, &when) ? when : 0;
}

/* A certificate that has not expired, for whom it is, and by which order and key; no key has a record of its
 * own before it ends. */
static void add_issued(struct lost_data *lost, const json_t *record) {
    const struct config *config = lost->worker->config;
    time_t now = (time_t)(clock_wall_ms() / 1000);
    const char *customer = text_of(record, "customer"), *account = text_of(record, "account");
    const char *order = text_of(record, "order"), *serial = text_of(record, "serial");
    bool is_of_today = time_of(record, "time") > now - ACCOUNT_DAY;
    if (time_of(record, "not_after") > now)
        add(lost, "certificate", serial, NULL, customer);
    add(lost, "customer", customer, serial, NULL);
    if (is_of_today && config->account_idle_seconds >= LIFE_MIN) {
        add(lost, "account", account, serial, NULL);
        add(lost, "EAB key of account", account, serial, NULL);
    }
    if (is_of_today && config->evidence_retention_seconds >= LIFE_MIN) {
        add(lost, "order", order, serial, NULL);
        if (account == NULL || *account == '\0')
            add(lost, "API key of order", order, serial, NULL);
    }
}

static void add_record(struct lost_data *lost, const json_t *record) {
    const char *type = text_of(record, "type");
    uint64_t sequence = (uint64_t)json_integer_value(json_object_get(record, "seq"));
    if (type == NULL || sequence > lost->state->applied)
        return;
    if (strcmp(type, "issued") == 0)
        add_issued(lost, record);
    else if (strcmp(type, "api-key-ended") == 0)
        add(lost, "API key", text_of(record, "key"), NULL, NULL);
    else if (strcmp(type, "eab-key-ended") == 0)
        add(lost, "EAB key", text_of(record, "kid"), NULL, NULL);
}

static void search(struct lost_data *lost) {
    size_t records = json_array_size(lost->records);
    size_t most = lost->zones.count + TRACES_OF_RECORD * records + 1;
    lost->traces = arena_alloc(lost->arena, most * sizeof *lost->traces);
    if (lost->traces == NULL) {
        fail_look(lost);
        return;
    }
    for (size_t i = 0; i < lost->zones.count; i++)
        add(lost, "zone", lost->zones.items[i].id, lost->zones.items[i].name, lost->zones.items[i].customer);
    for (size_t i = 0; i < records; i++)
        add_record(lost, json_array_get(lost->records, i));
    store_find_lost(lost->worker->store, lost->worker->config->host_name, lost->traces, lost->count,
                    &lost->is_untold, note_searched, lost);
}

static void note_records(void *context, const struct error *error) {
    struct lost_data *lost = context;
    if (error != NULL)
        end_look(lost, error);
    else
        search(lost);
}

/* Those that were applied as they were written; who a replayed one speaks of may be gone. */
static void read_newest(struct lost_data *lost) {
    uint64_t max = lost->worker->config->redis_compare_records, last = lost->state->applied;
    uint64_t from = last > max ? last - max : 0;
    if (from < lost->state->replayed)
        from = lost->state->replayed;
    if (max == 0 || from >= last)
        search(lost);
    else
        signer_read_ledger(lost->worker->operator_signer, lost->arena, from + 1, (uint32_t)(last - from),
                           &lost->records, note_records, lost);
}

static void note_zones(void *context, const struct error *error) {
    struct lost_data *lost = context;
    if (error != NULL) {
        end_look(lost, error);
        return;
    }
    lost->cursor = lost->zones.next_cursor;
    read_newest(lost);
}

static void look(struct lost_data *lost, bool knows_zones) {
    uint32_t page = lost->worker->config->redis_compare_zones;
    lost->zones = (struct signer_zone_list){.count = 0};
    lost->records = NULL;
    lost->count = 0;
    if (!knows_zones || page == 0) {
        lost->cursor = 0;
        read_newest(lost);
        return;
    }
    signer_list_zones(lost->worker->operator_signer, lost->arena, lost->cursor,
                      lost->worker->is_ready ? page : WAITING_PAGES * page, &lost->zones, note_zones, lost);
}

void lost_data_look(struct lost_data *lost, const struct store_ledger_state *state,
                    const struct signer_status *status, bool knows_zones, lost_data_done *done,
                    void *context) {
    lost->state = state;
    lost->status = status;
    lost->done = done;
    lost->context = context;
    lost->arena = arena_new(0);
    if (lost->arena == NULL)
        fail_look(lost);
    else if (lost->suspect != NULL)
        search_again(lost);
    else
        look(lost, knows_zones);
}

struct lost_data *lost_data_new(struct worker *worker) {
    struct lost_data *lost = calloc(1, sizeof *lost);
    if (lost != NULL)
        lost->worker = worker;
    return lost;
}

void lost_data_free(struct lost_data *lost) {
    if (lost == NULL)
        return;
    arena_free(lost->suspect);
    arena_free(lost->arena);
    free(lost);
}
