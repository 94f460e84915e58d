/* What the store's tests share: a store on its own event loop against a private Redis, and waiting for one
 * call. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <hiredis/hiredis.h>

#include "originca/store.h"
#include "server.h"

struct fixture {
    struct server server;
    struct config config;
    struct event_base *base;
    struct store *store;
    struct arena *arena;
    redisContext *admin; /* a plain blocking connection: what a person with redis-cli would see */
    bool is_ready;
    unsigned ready_changes;
    bool is_done;
    struct error error; /* of the last call */
};

/* Group set-up: one server for all tests of a program. Then each test begins with an empty Redis and a ready
 * store. */
int start_group(void **state);
int end_group(void **state);
int start_test(void **state);
int end_test(void **state);

void config_defaults(struct config *config, const char *socket);
struct store *open_store(struct fixture *fixture); /* another one on the same loop */
void wait_ready(struct fixture *fixture, bool is_ready);
void wait_store_ready(struct fixture *fixture, struct store *store);
/* Runs the loop until *flag, at most ten seconds. */
void run_until(struct fixture *fixture, const bool *flag);
void run_for(struct fixture *fixture, int milliseconds);

void begin_call(struct fixture *fixture);
void note_done(void *context, const struct error *error);
enum error_code await(struct fixture *fixture);

/* The error code of store_<function>(store, ...): CALL(f, store_load_order, f->arena, id, &order). */
#define CALL(fixture, function, ...)                                                                         \
    (begin_call(fixture), function((fixture)->store, __VA_ARGS__, note_done, (fixture)), await(fixture))
#define assert_ok(expression) assert_code(expression, ERROR_NONE)
#define assert_code(expression, code)                                                                        \
    do {                                                                                                     \
        enum error_code found_ = (expression);                                                               \
        if (found_ != (code))                                                                                \
            fail_msg("%s: got %s (%s)", #expression, error_code_name(found_), f->error.message);             \
    } while (0)

/* Runs a command with the admin's connection: an integer, or the text kept until the next call, or NULL. */
long long ask_number(struct fixture *fixture, const char *format, ...);
const char *ask_text(struct fixture *fixture, const char *format, ...);
/* Everything Redis holds, one line a key and field, sorted: for comparing two states. Free it. */
char *dump_keys(struct fixture *fixture, const char *pattern);

#define test_case(function) cmocka_unit_test_setup_teardown(function, start_test, end_test)
