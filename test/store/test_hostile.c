/* A Redis that answers what no Redis would: every call ends with an error or a result, nothing crashes (R24;
 * CVE-2021-32765, CVE-2020-7105). A proxy stands between the store and a real server. */
#include <stdio.h>
#include <string.h>

#include "proxy.h"
#include "walk.h"

static struct proxy *stand_between(struct fixture *f, char path[128]) {
    snprintf(path, 128, "%s/proxy.sock", f->server.directory);
    struct proxy *proxy = proxy_new(f, path);
    store_free(f->store);
    f->config.redis_socket = path;
    f->config.redis_command_timeout_ms = 40;
    f->config.redis_connect_timeout_ms = 1000;
    f->config.redis_reconnect_min_ms = 1;
    f->config.redis_reconnect_max_ms = 2;
    f->store = open_store(f);
    wait_ready(f, true);
    return proxy;
}

static void leave(struct fixture *f, struct proxy *proxy) {
    store_free(f->store);
    f->store = NULL;
    run_for(f, 5);
    proxy_free(proxy);
    f->config.redis_socket = f->server.socket;
}

static const char *const answers[] = {
    "*4294967295\r\n",
    "*4294967297\r\n",
    "*2147483647\r\n",
    "*65537\r\n",
    "*-2\r\n",
    "*99999999999999999999999\r\n",
    "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n",
    "$4294967295\r\nabc\r\n",
    "$-5\r\n",
    "$2147483648\r\n",
    "$99999999999999999999\r\n",
    "$3\r\nabcdef\r\n",
    "$1048576\r\ntruncated",
    ":\r\n",
    ":abc\r\n",
    ":99999999999999999999999\r\n",
    "+\r\n",
    "+OK\r\n",
    "-\r\n",
    "-ERR\r\n",
    "-NOSCRIPT\r\n",
    "-READONLY\r\n",
    "-LOADING\r\n",
    "?what\r\n",
    "\r\n",
    "\n",
    "HTTP/1.1 400 Bad Request\r\n\r\n",
    "*0\r\n",
    "*-1\r\n",
    "$-1\r\n",
    "$0\r\n\r\n",
    ":1\r\n",
    "*1\r\n$2\r\nok\r\n",
    "*2\r\n$2\r\nok\r\n$-1\r\n",
    "*2\r\n$2\r\nok\r\n*-1\r\n",
    "*2\r\n$2\r\nok\r\n:5\r\n",
    "*3\r\n$2\r\nok\r\n$1\r\na\r\n*-1\r\n",
    "*3\r\n$2\r\nok\r\n$1\r\na\r\n*1\r\n:1\r\n",
    "*3\r\n$2\r\nok\r\n$1\r\na\r\n*2\r\n$5\r\ncount\r\n$10\r\n4294967295\r\n",
    "*3\r\n$2\r\nok\r\n$1\r\na\r\n*2\r\n$6\r\nstatus\r\n$3\r\nodd\r\n",
    "*3\r\n$2\r\nok\r\n$1\r\na\r\n*4\r\n$5\r\ncount\r\n$1\r\n1\r\n$1\r\n0\r\n$3\r\na b\r\n",
    "*3\r\n$2\r\nok\r\n$1\r\na\r\n*4\r\n$5\r\ncount\r\n$1\r\n1\r\n$1\r\n0\r\n$9\r\na 7 t = x\r\n",
    "*3\r\n$2\r\nok\r\n$1\r\na\r\n*4\r\n$5\r\ncount\r\n$1\r\n1\r\n$2\r\n0s\r\n$7\r\nvalid x\r\n",
    "*4\r\n$5\r\ncount\r\n$1\r\n2\r\n$2\r\n0s\r\n$11\r\nvalid 1 x 2\r\n",
    "*2\r\n$3\r\nder\r\n:1\r\n",
    "*3\r\n:1\r\n:2\r\n:3\r\n",
    "*2\r\n$8\r\nconflict\r\n$1\r\nx\r\n",
    "*1\r\n$8\r\nconflict\r\n",
    "*3\r\n$8\r\nconflict\r\n$1\r\nx\r\n:1\r\n",
    "*2\r\n$7\r\nunknown\r\n$1\r\nx\r\n",
    "*2\r\n$2\r\nok\r\n*2\r\n:-1\r\n:99\r\n",
    "*2\r\n$2\r\nok\r\n*2\r\n:1\r\n:1\r\n",
    "+A\r\n+B\r\n+C\r\n+D\r\n",
    "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nx\r\n*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nx\r\n",
};

static void call_some(struct fixture *f, struct proxy *proxy, const char *answer, int which) {
    struct store_order order;
    struct store_certificate certificate;
    struct store_order_list orders;
    struct store_zone zones[2];
    struct store_stats stats;
    struct store_account account;
    struct store_ledger_state fence;
    struct store_attempt_list attempts;
    const char *text;
    static const char *const names[] = {"a.shop.test", "b.shop.test"};
    const struct store_order_filter filter = {.status = -1, .limit = 10};
    struct nonce nonce = {
        .block_hex = "000102030405060708090a0b", .index = 1, .expires_at = now_seconds() + 60};
    proxy_set(proxy, PROXY_PASS, NULL, 0);
    wait_ready(f, true);
    proxy_set(proxy, PROXY_ANSWER, answer, strlen(answer));
    switch (which) {
    case 0:
        (void)CALL(f, store_load_order, f->arena, "x", &order);
        break;
    case 1:
        (void)CALL(f, store_claim_order, f->arena, "x", "y", 1, "c", "k", CSR, "ecc", &order);
        break;
    case 2:
        (void)CALL(f, store_load_certificate, f->arena, SERIAL_A, &certificate);
        break;
    case 3:
        (void)CALL(f, store_list_orders, f->arena, &filter, &orders);
        break;
    case 4:
        (void)CALL(f, store_zones_of_names, f->arena, NULL, "", names, 2, zones);
        break;
    case 5:
        (void)CALL(f, store_load_stats, f->arena, &stats);
        break;
    case 6:
        (void)CALL(f, store_authenticate, f->arena, &nonce, "x", NULL, &account);
        break;
    case 7:
        (void)CALL(f, store_load_ledger_state, f->arena, "host", &fence);
        break;
    case 8:
        (void)CALL(f, store_stale_attempts, f->arena, 1, 10, "x", 1, &attempts);
        break;
    default:
        (void)CALL(f, store_load_evidence, f->arena, "x", &text);
        break;
    }
}

static void no_answer_crashes_a_call(void **state) {
    struct fixture *f = *state;
    char path[128];
    struct proxy *proxy = stand_between(f, path);
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++)
        for (int which = 0; which < 10; which++)
            call_some(f, proxy, answers[i], which);
    proxy_set(proxy, PROXY_PASS, NULL, 0);
    wait_ready(f, true);
    walk_all(f, true);
    leave(f, proxy);
}

static void no_answer_to_the_set_up_makes_it_ready(void **state) {
    struct fixture *f = *state;
    char path[128];
    struct proxy *proxy = stand_between(f, path);
    f->config.redis_connect_timeout_ms = 30;
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        store_free(f->store);
        unsigned before = proxy_connections(proxy);
        proxy_set(proxy, PROXY_ANSWER, answers[i], strlen(answers[i]));
        f->store = open_store(f);
        while (proxy_connections(proxy) < before + 3)
            run_for(f, 2);
        assert_false(store_is_ready(f->store, NULL));
    }
    leave(f, proxy);
}

static void changed_bytes_crash_nothing(void **state) {
    struct fixture *f = *state;
    char path[128];
    struct proxy *proxy = stand_between(f, path);
    for (int round = 0; round < 15; round++) {
        proxy_set(proxy, PROXY_PASS, NULL, 0);
        wait_ready(f, true);
        ask_text(f, "FLUSHALL");
        proxy_set(proxy, PROXY_MUTATE, NULL, 0);
        walk_all(f, false);
    }
    proxy_set(proxy, PROXY_PASS, NULL, 0);
    wait_ready(f, true);
    leave(f, proxy);
}

static void unasked_answer_drops_the_connection(void **state) {
    struct fixture *f = *state;
    char path[128];
    struct store_customer customer;
    struct proxy *proxy = stand_between(f, path);
    static const char more[] = "*2\r\n$8\r\nnotfound\r\n$1\r\nx\r\n+AND MORE\r\n";
    proxy_set(proxy, PROXY_ANSWER, more, sizeof more - 1);
    (void)CALL(f, store_find_customer, f->arena, "a", &customer);
    wait_ready(f, false);
    proxy_set(proxy, PROXY_PASS, NULL, 0);
    wait_ready(f, true);
    leave(f, proxy);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        test_case(no_answer_crashes_a_call),
        test_case(no_answer_to_the_set_up_makes_it_ready),
        test_case(changed_bytes_crash_nothing),
        test_case(unasked_answer_drops_the_connection),
    };
    return cmocka_run_group_tests(tests, start_group, end_group);
}
