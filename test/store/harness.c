/* The fixture: server, loop, store, and a plain connection to look at Redis with. */
#include "harness.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "originca/log.h"

#define PATIENCE_MS 10000

void config_defaults(struct config *config, const char *socket) {
    *config = (struct config){
        .redis_socket = (char *)socket,
        .redis_port = 6379,
        .redis_connect_timeout_ms = 2000,
        .redis_command_timeout_ms = 3000,
        .redis_reconnect_min_ms = 5,
        .redis_reconnect_max_ms = 50,
        .redis_max_pending = 10000,
        .redis_wait_timeout_ms = 1000,
        .resume_first_seconds = 2,
        .resume_longest_seconds = 60,
        .refused_retention_seconds = 604800,
        .account_idle_seconds = 94608000,
        .key_change_seconds = 30,
        .certificate_retention_seconds = 2592000,
        .evidence_retention_seconds = 7776000,
        .serial_list_max = 1000,
        .max_refused_per_customer = 1000,
        .claim_timeout_seconds = 10,
        .zone_pending_interval_seconds = 20,
        .moved_zone_certificates = "keep",
        .zone_sweep_interval_seconds = 3600,
        .zone_moved_after = 3,
        .zone_checks_per_second = 200,
        .name_server_hold_seconds = 157680000,
        .name_server_release_seconds = 10368000,
        .name_server_look_seconds = 604800,
    };
}

/* --- the loop --- */

static void end_loop(evutil_socket_t fd, short what, void *context) {
    (void)fd;
    (void)what;
    *(bool *)context = true;
}

void run_until(struct fixture *fixture, const bool *flag) {
    bool is_late = false;
    const struct timeval patience = {.tv_sec = PATIENCE_MS / 1000};
    struct event *timer = evtimer_new(fixture->base, end_loop, &is_late);
    event_add(timer, &patience);
    while (!*flag && !is_late)
        event_base_loop(fixture->base, EVLOOP_ONCE);
    event_free(timer);
    if (!*flag)
        fail_msg("waited ten seconds in vain");
}

void run_for(struct fixture *fixture, int milliseconds) {
    bool is_over = false;
    const struct timeval span = {.tv_sec = milliseconds / 1000, .tv_usec = milliseconds % 1000 * 1000};
    struct event *timer = evtimer_new(fixture->base, end_loop, &is_over);
    event_add(timer, &span);
    while (!is_over)
        event_base_loop(fixture->base, EVLOOP_ONCE);
    event_free(timer);
}

static void note_ready(void *context, bool is_ready, const char *reason) {
    (void)reason;
    struct fixture *fixture = context;
    fixture->is_ready = is_ready;
    fixture->ready_changes++;
}

void wait_store_ready(struct fixture *fixture, struct store *store) {
    const char *reason = "";
    int64_t until = clock_monotonic_ms() + PATIENCE_MS;
    while (!store_is_ready(store, &reason) && clock_monotonic_ms() < until)
        run_for(fixture, 2);
    if (!store_is_ready(store, &reason))
        fail_msg("the store does not get ready: %s", reason);
}

void wait_ready(struct fixture *fixture, bool is_ready) {
    int64_t until = clock_monotonic_ms() + PATIENCE_MS;
    while (store_is_ready(fixture->store, NULL) != is_ready && clock_monotonic_ms() < until)
        run_for(fixture, 2);
    const char *reason = "";
    if (store_is_ready(fixture->store, &reason) != is_ready)
        fail_msg("the store's readiness does not change: %s", reason);
}

struct store *open_store(struct fixture *fixture) {
    struct error error = {.code = ERROR_NONE};
    struct store *store = store_new(fixture->base, &fixture->config, &error);
    if (store == NULL)
        fail_msg("store_new: %s", error.message);
    return store;
}

/* --- set-up --- */

static void connect_admin(struct fixture *fixture) {
    fixture->admin = redisConnectUnix(fixture->server.socket);
    assert_true(fixture->admin != NULL && fixture->admin->err == 0);
}

int start_group(void **state) {
    signal(SIGPIPE, SIG_IGN);
    log_set_level(LOG_LEVEL_ERROR);
    struct fixture *fixture = calloc(1, sizeof *fixture);
    server_make_directory(&fixture->server);
    server_start(&fixture->server, NULL);
    *state = fixture;
    return 0;
}

int end_group(void **state) {
    struct fixture *fixture = *state;
    server_remove(&fixture->server);
    free(fixture);
    return 0;
}

int start_test(void **state) {
    struct fixture *fixture = *state;
    config_defaults(&fixture->config, fixture->server.socket);
    fixture->base = event_base_new();
    fixture->arena = arena_new(0);
    fixture->is_ready = false;
    fixture->ready_changes = 0;
    connect_admin(fixture);
    ask_text(fixture, "FLUSHALL");
    fixture->store = open_store(fixture);
    store_on_ready(fixture->store, note_ready, fixture);
    wait_ready(fixture, true);
    return 0;
}

int end_test(void **state) {
    struct fixture *fixture = *state;
    kill(fixture->server.pid, SIGCONT); /* a failed test may have left it stopped */
    store_free(fixture->store);
    arena_free(fixture->arena);
    event_base_free(fixture->base);
    ask_text(fixture, NULL);
    if (fixture->admin != NULL)
        redisFree(fixture->admin);
    fixture->admin = NULL;
    return 0;
}

/* --- one call --- */

void begin_call(struct fixture *fixture) {
    fixture->is_done = false;
    fixture->error = (struct error){.code = ERROR_NONE};
}

void note_done(void *context, const struct error *error) {
    struct fixture *fixture = context;
    assert_false(fixture->is_done);
    fixture->is_done = true;
    if (error != NULL)
        fixture->error = *error;
}

enum error_code await(struct fixture *fixture) {
    assert_false(fixture->is_done); /* never before the function has returned */
    run_until(fixture, &fixture->is_done);
    return fixture->error.code;
}

/* --- looking at Redis --- */

static redisReply *last_reply;

static redisReply *ask(struct fixture *fixture, const char *format, va_list arguments) {
    if (last_reply != NULL)
        freeReplyObject(last_reply);
    last_reply = format == NULL ? NULL : redisvCommand(fixture->admin, format, arguments);
    return last_reply;
}

long long ask_number(struct fixture *fixture, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    redisReply *reply = ask(fixture, format, arguments);
    va_end(arguments);
    if (reply == NULL) {
        fail_msg("%s: the connection is gone", format);
        return 0;
    }
    if (reply->type == REDIS_REPLY_STRING)
        return atoll(reply->str);
    if (reply->type != REDIS_REPLY_INTEGER)
        fail_msg("%s: %s", format, reply->str == NULL ? "no number" : reply->str);
    return reply->integer;
}

const char *ask_text(struct fixture *fixture, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    redisReply *reply = ask(fixture, format, arguments);
    va_end(arguments);
    return reply == NULL ? NULL : reply->str;
}

static int compare_lines(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void add_line(char ***lines, size_t *count, const char *key, const char *field, const char *value) {
    char *line = NULL;
    *lines = realloc(*lines, (*count + 1) * sizeof **lines);
    if (asprintf(&line, "%s | %s | %s\n", key, field, value) < 0)
        abort();
    (*lines)[(*count)++] = line;
}

static void add_key(struct fixture *fixture, char ***lines, size_t *count, const char *key) {
    redisReply *type = redisCommand(fixture->admin, "TYPE %s", key);
    const char *command = strcmp(type->str, "hash") == 0   ? "HGETALL %s"
                          : strcmp(type->str, "zset") == 0 ? "ZRANGE %s 0 -1 WITHSCORES"
                          : strcmp(type->str, "set") == 0  ? "SMEMBERS %s"
                                                           : "GET %s";
    redisReply *reply = strcmp(type->str, "stream") == 0 ? NULL : redisCommand(fixture->admin, command, key);
    bool is_pairs = command[0] != 'S';
    for (size_t i = 0; reply != NULL && reply->type == REDIS_REPLY_ARRAY && i < reply->elements;
         i += is_pairs ? 2 : 1)
        add_line(lines, count, key, reply->element[i]->str, is_pairs ? reply->element[i + 1]->str : "");
    if (reply != NULL && reply->type == REDIS_REPLY_STRING)
        add_line(lines, count, key, "", reply->str);
    if (reply != NULL)
        freeReplyObject(reply);
    freeReplyObject(type);
}

char *dump_keys(struct fixture *fixture, const char *pattern) {
    char **lines = NULL, *text = strdup("");
    size_t count = 0;
    redisReply *keys = redisCommand(fixture->admin, "KEYS %s", pattern);
    for (size_t i = 0; i < keys->elements; i++)
        add_key(fixture, &lines, &count, keys->element[i]->str);
    freeReplyObject(keys);
    if (count > 0)
        qsort(lines, count, sizeof *lines, compare_lines);
    for (size_t i = 0; i < count; i++) {
        text = realloc(text, strlen(text) + strlen(lines[i]) + 1);
        strcat(text, lines[i]);
        free(lines[i]);
    }
    free(lines);
    return text;
}
