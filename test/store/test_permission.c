/* The ACL line of doc/redis.md is enough for everything the store does, and allows nothing that an intruder
 * wants. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "call.h"
#include "walk.h"

#define PASSWORD "walker-password"

/* The documented line, "user originca on >PASSWORD ...", given to ACL SETUSER word by word. */
static void set_user_from_document(struct fixture *f) {
    FILE *file = fopen(DOCUMENT, "r");
    char line[2048];
    const char *words[256] = {"ACL", "SETUSER"};
    int count = 2;
    assert_non_null(file);
    while (fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, "user originca ", 14) == 0)
            break;
    fclose(file);
    assert_memory_equal(line, "user originca ", 14);
    line[strcspn(line, "\n")] = '\0';
    for (char *word = strtok(line + 5, " "); word != NULL && count < 256; word = strtok(NULL, " "))
        words[count++] = word[0] == '>' ? ">" PASSWORD : word;
    redisReply *reply = redisCommandArgv(f->admin, count, words, NULL);
    assert_non_null(reply);
    if (reply->type != REDIS_REPLY_STATUS)
        fail_msg("ACL SETUSER: %s", reply->str);
    freeReplyObject(reply);
}

static void documented_user_can_do_everything_the_store_does(void **state) {
    struct fixture *f = *state;
    char path[128];
    snprintf(path, sizeof path, "%s/acl-password", f->server.directory);
    FILE *file = fopen(path, "w");
    fputs(PASSWORD, file);
    fclose(file);
    set_user_from_document(f);
    f->config.redis_user = "originca";
    f->config.redis_password_file = path;
    store_free(f->store);
    f->store = open_store(f);
    wait_ready(f, true);
    walk_all(f, true);
}

static char document_line[2048];

static void read_line_of_document(void) {
    FILE *file = fopen(DOCUMENT, "r");
    assert_non_null(file);
    while (fgets(document_line, sizeof document_line, file) != NULL &&
           strncmp(document_line, "user originca ", 14) != 0) {
    }
    fclose(file);
    document_line[strcspn(document_line, "\n")] = ' ';
}

static bool allows_command(const char *name, size_t length) {
    char word[40];
    snprintf(word, sizeof word, " +%.*s ", (int)length, name);
    for (char *p = word; *p != '\0'; p++)
        *p = (char)tolower((unsigned char)*p);
    return strstr(document_line, word) != NULL;
}

/* `begin` is how a key begins, or a whole one. */
static bool allows_key(const char *begin, size_t length) {
    for (const char *at = document_line; (at = strstr(at, " ~")) != NULL;) {
        at += 2;
        size_t pattern = strcspn(at, " ");
        bool is_open = at[pattern - 1] == '*';
        if (is_open ? length >= pattern - 1 && memcmp(at, begin, pattern - 1) == 0
                    : length == pattern && memcmp(at, begin, length) == 0)
            return true;
    }
    return false;
}

/* Also on paths that no walk takes: each command of each script, and each key that is spelt out in it. */
static void documented_user_may_run_every_line_of_every_script(void **state) {
    (void)state;
    static const char call[] = "redis.call('";
    read_line_of_document();
    for (size_t i = 0; i < SCRIPT_COUNT; i++)
        for (const char *at = store_scripts[i].text; (at = strstr(at, call)) != NULL;) {
            at += sizeof call - 1;
            size_t length = strcspn(at, "'");
            const char *key = at + length + 1;
            if (!allows_command(at, length))
                fail_msg("%s: +%.*s is missing in doc/redis.md", store_scripts[i].name, (int)length, at);
            if (strncmp(key, ", '", 3) == 0 && strncmp(at, "INFO", 4) != 0 &&
                !allows_key(key + 3, strcspn(key + 3, "'")))
                fail_msg("%s: ~%.*s is missing in doc/redis.md", store_scripts[i].name,
                         (int)strcspn(key + 3, "'"), key + 3);
        }
}

static void documented_user_can_do_no_more(void **state) {
    struct fixture *f = *state;
    static const char *const forbidden[] = {
        "FLUSHALL",       "FLUSHDB",           "KEYS *",       "SCAN 0",       "CONFIG SET appendfsync no",
        "CONFIG REWRITE", "DEBUG SLEEP 0",     "SHUTDOWN",     "SAVE",         "EVAL x 0",
        "EVAL_RO x 0",    "MODULE LIST",       "ACL LIST",     "SCRIPT FLUSH", "REPLICAOF NO ONE",
        "MONITOR",        "SUBSCRIBE x",       "SET other 1",  "GET other",    "RENAME orders x",
        "CLIENT LIST",    "MIGRATE h 1 k 0 1", "FUNCTION LIST"};
    set_user_from_document(f);
    for (size_t i = 0; i < sizeof forbidden / sizeof forbidden[0]; i++) {
        char command[128];
        /* Asks the ACL alone: some of these would be refused for other reasons, or do harm. */
        snprintf(command, sizeof command, "ACL DRYRUN originca %s", forbidden[i]);
        const char *answer = ask_text(f, command);
        assert_non_null(answer);
        if (strstr(answer, "no permissions") == NULL)
            fail_msg("%s: %s", forbidden[i], answer);
    }
}

static void user_without_config_is_served_without_the_check(void **state) {
    struct fixture *f = *state;
    struct store_customer customer;
    ask_text(f, "ACL SETUSER narrow on nopass ~* +@all -config");
    ask_text(f, "CONFIG SET appendfsync everysec"); /* which it cannot see */
    f->config.redis_user = "narrow";
    f->config.redis_password_file = NULL;
    store_free(f->store);
    f->store = open_store(f);
    wait_ready(f, true);
    assert_code(CALL(f, store_find_customer, f->arena, "alice", &customer), ERROR_NOT_FOUND);
    ask_text(f, "CONFIG SET appendfsync always");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        test_case(documented_user_can_do_everything_the_store_does),
        test_case(documented_user_may_run_every_line_of_every_script),
        test_case(documented_user_can_do_no_more),
        test_case(user_without_config_is_served_without_the_check),
    };
    return cmocka_run_group_tests(tests, start_group, end_group);
}
