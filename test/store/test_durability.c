/* The judgement of a server's durability settings, from the texts that Redis gives. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "durability.h"

#define GOOD                                                                                                 \
    "# Memory\r\nmaxmemory_policy:noeviction\r\n# Persistence\r\nloading:0\r\naof_enabled:1\r\n"             \
    "aof_last_write_status:ok\r\n# Replication\r\nrole:master\r\n"

static bool judge(const char *info, const char *appendfsync, bool allow_unsafe, char *remark, char *reason) {
    struct durability facts = {.role = ""};
    struct error error = {.code = ERROR_NONE};
    durability_read_info(&facts, info, strlen(info));
    if (appendfsync != NULL) {
        snprintf(facts.appendfsync, sizeof facts.appendfsync, "%s", appendfsync);
        facts.knows_appendfsync = true;
    }
    bool is_fine = durability_judge(&facts, allow_unsafe, remark, &error);
    snprintf(reason, ERROR_MESSAGE_MAX, "%s", is_fine ? "" : error.message);
    assert_true(is_fine || error.code == ERROR_UNAVAILABLE);
    return is_fine;
}

static void safe_settings_pass_without_remark(void **state) {
    char remark[ERROR_MESSAGE_MAX], reason[ERROR_MESSAGE_MAX];
    (void)state;
    assert_true(judge(GOOD, "always", false, remark, reason));
    assert_string_equal(remark, "");
}

static void what_cannot_be_checked_is_said(void **state) {
    char remark[ERROR_MESSAGE_MAX], reason[ERROR_MESSAGE_MAX];
    (void)state;
    assert_true(judge(GOOD, NULL, false, remark, reason));
    assert_non_null(strstr(remark, "CONFIG GET"));
}

static void unsafe_settings_stop_unless_allowed(void **state) {
    static const struct {
        const char *info, *appendfsync, *expected;
    } cases[] = {
        {"maxmemory_policy:noeviction\r\nloading:0\r\naof_enabled:0\r\nrole:master\r\n", "always",
         "appendonly yes"},
        {GOOD, "everysec", "appendfsync everysec"},
        {GOOD, "no", "appendfsync no"},
        {"maxmemory_policy:allkeys-lru\r\nloading:0\r\naof_enabled:1\r\nrole:master\r\n", "always",
         "noeviction"},
    };
    char remark[ERROR_MESSAGE_MAX], reason[ERROR_MESSAGE_MAX];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_false(judge(cases[i].info, cases[i].appendfsync, false, remark, reason));
        assert_non_null(strstr(reason, cases[i].expected));
        assert_true(judge(cases[i].info, cases[i].appendfsync, true, remark, reason));
        assert_non_null(strstr(remark, cases[i].expected));
    }
}

static void what_cannot_serve_at_all_is_never_allowed(void **state) {
    static const struct {
        const char *info, *expected;
    } cases[] = {
        {"", "allow the user INFO"},
        {"role:master\r\n", "allow the user INFO"},
        {"maxmemory_policy:noeviction\r\nloading:1\r\naof_enabled:1\r\nrole:master\r\n", "loading"},
        {"maxmemory_policy:noeviction\r\nloading:0\r\naof_enabled:1\r\nrole:slave\r\n", "replica"},
        {"maxmemory_policy:noeviction\r\nloading:0\r\naof_enabled:1\r\naof_last_write_status:err\r\nrole:"
         "master\r\n",
         "could not write"},
        {"role:a very long role that fits no buffer at all\nmaxmemory_policy:noeviction\naof_enabled:1",
         "replica"},
    };
    char remark[ERROR_MESSAGE_MAX], reason[ERROR_MESSAGE_MAX];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_false(judge(cases[i].info, "always", true, remark, reason));
        assert_non_null(strstr(reason, cases[i].expected));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(safe_settings_pass_without_remark),
        cmocka_unit_test(what_cannot_be_checked_is_said),
        cmocka_unit_test(unsafe_settings_stop_unless_allowed),
        cmocka_unit_test(what_cannot_serve_at_all_is_never_allowed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
