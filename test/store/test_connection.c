/* The connection: losing Redis in every way and coming back, deadlines, refusals, passwords, databases,
 * replicas. */
#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sample.h"

static void restart_store(struct fixture *f) {
    store_free(f->store);
    f->store = open_store(f);
}

static const char *not_ready_reason(struct fixture *f) {
    const char *reason = "";
    assert_false(store_is_ready(f->store, &reason));
    return reason;
}

/* Until the store says that it is not ready for a reason with these words. */
static void wait_reason(struct fixture *f, const char *words) {
    const char *reason = "";
    int64_t until = clock_monotonic_ms() + 10000;
    while (clock_monotonic_ms() < until) {
        if (!store_is_ready(f->store, &reason) && strstr(reason, words) != NULL)
            return;
        run_for(f, 2);
    }
    fail_msg("the reason never was \"%s\" but \"%s\"", words, reason);
}

static void call_without_redis_is_refused_from_the_loop(void **state) {
    struct fixture *f = *state;
    struct store_customer customer;
    restart_store(f); /* not connected yet */
    assert_code(CALL(f, store_find_customer, f->arena, "alice", &customer), ERROR_UNAVAILABLE);
}

static void killed_redis_keeps_what_was_acknowledged(void **state) {
    struct fixture *f = *state;
    struct store_customer customer;
    f->config.redis_command_timeout_ms = 5000;
    assert_ok(CALL(f, store_create_customer, f->arena, "acknowledged", &customer));
    kill(f->server.pid, SIGSTOP); /* so that the next call is certainly under way when it dies */
    begin_call(f);
    store_create_customer(f->store, f->arena, "unknown", &customer, note_done, f);
    run_for(f, 20);
    assert_int_equal(store_counters(f->store)->pending, 1);
    redisFree(f->admin);
    f->admin = NULL;
    server_kill(&f->server);
    assert_code(await(f), ERROR_UNKNOWN);
    assert_false(f->is_ready);
    assert_int_equal(store_counters(f->store)->pending, 0);
    assert_code(CALL(f, store_find_customer, f->arena, "acknowledged", &customer), ERROR_UNAVAILABLE);
    server_start(&f->server, NULL);
    f->admin = redisConnectUnix(f->server.socket);
    wait_ready(f, true);
    assert_true(f->is_ready);
    assert_int_equal(f->ready_changes, 3);
    assert_true(store_counters(f->store)->reconnects > 0);
    assert_ok(CALL(f, store_find_customer, f->arena, "acknowledged", &customer));
    /* Whether "unknown" exists is not known; repeating settles it. */
    enum error_code code = CALL(f, store_create_customer, f->arena, "unknown", &customer);
    assert_true(code == ERROR_NONE || code == ERROR_CONFLICT);
    assert_ok(CALL(f, store_find_customer, f->arena, "unknown", &customer));
}

#define LOAD 5000 /* more than the sockets hold at once */

struct load {
    struct fixture *f;
    struct load_item {
        struct load *load;
        struct store_customer customer;
        bool is_acknowledged;
    } items[LOAD];
    size_t left, acknowledged;
    bool is_over;
};

static void note_load(void *context, const struct error *error) {
    struct load_item *item = context;
    struct load *load = item->load;
    item->is_acknowledged = error == NULL;
    if (error == NULL && ++load->acknowledged == 100)
        kill(load->f->server.pid, SIGKILL); /* the others are under way */
    if (--load->left == 0)
        load->is_over = true;
}

static void redis_killed_under_load_keeps_what_was_acknowledged(void **state) {
    struct fixture *f = *state;
    struct store_customer customer;
    static struct load load;
    load = (struct load){.f = f, .left = LOAD};
    for (size_t i = 0; i < LOAD; i++) {
        load.items[i].load = &load;
        store_create_customer(f->store, f->arena, arena_printf(f->arena, "customer-%zu", i),
                              &load.items[i].customer, note_load, &load.items[i]);
    }
    run_until(f, &load.is_over);
    assert_in_range(load.acknowledged, 100, LOAD - 1);
    wait_ready(f, false);
    redisFree(f->admin);
    server_kill(&f->server); /* waits for its end */
    server_start(&f->server, NULL);
    f->admin = redisConnectUnix(f->server.socket);
    wait_ready(f, true);
    for (size_t i = 0; i < LOAD; i++) {
        if (!load.items[i].is_acknowledged)
            continue;
        assert_ok(CALL(f, store_find_customer, f->arena, load.items[i].customer.id, &customer));
        assert_string_equal(customer.name, load.items[i].customer.name);
    }
}

static void silent_redis_runs_into_the_deadline(void **state) {
    struct fixture *f = *state;
    struct store_customer customer;
    struct store_zone zone;
    f->config.redis_command_timeout_ms = 150;
    f->config.redis_connect_timeout_ms = 80;
    kill(f->server.pid, SIGSTOP);
    int64_t started = clock_monotonic_ms();
    begin_call(f);
    store_find_customer(f->store, f->arena, "alice", &customer, note_done, f);
    assert_code(await(f), ERROR_UNKNOWN);
    assert_in_range(clock_monotonic_ms() - started, 140, 1000);
    assert_int_equal(store_counters(f->store)->timeouts, 1);
    assert_code(CALL(f, store_load_zone, f->arena, "x", &zone), ERROR_UNAVAILABLE);
    wait_reason(f, "took too long"); /* the kernel takes the connection, the server never answers */
    kill(f->server.pid, SIGCONT);
    wait_ready(f, true);
    assert_code(CALL(f, store_find_customer, f->arena, "alice", &customer), ERROR_NOT_FOUND);
}

static void what_never_left_is_known_not_to_have_happened(void **state) {
    struct fixture *f = *state;
    f->config.redis_command_timeout_ms = 150;
    kill(f->server.pid, SIGSTOP);
    /* More than the sockets take: the last ones stay in this process. */
    struct sample s = {
        .customer = {.id = "c"}, .account = {.id = ""}, .zone = {.id = "z", .name = "shop.test"}};
    char *evidence = malloc(200001);
    memset(evidence, 'e', 200000);
    evidence[200000] = '\0';
    struct fixture calls[40];
    for (int i = 0; i < 40; i++) {
        fill_order(f, &s, ORDER_REFUSED, 1);
        begin_call(&calls[i]);
        store_create_order(f->store, &s.order, evidence, note_done, &calls[i]);
    }
    run_until(f, &calls[39].is_done);
    assert_int_equal(calls[0].error.code, ERROR_UNKNOWN);
    assert_int_equal(calls[39].error.code, ERROR_UNAVAILABLE);
    kill(f->server.pid, SIGCONT);
    wait_ready(f, true);
    free(evidence);
}

static void too_many_pending_calls_are_refused(void **state) {
    struct fixture *f = *state;
    struct fixture calls[3];
    struct store_customer customers[3];
    f->config.redis_max_pending = 2;
    for (int i = 0; i < 3; i++) {
        begin_call(&calls[i]);
        store_find_customer(f->store, f->arena, "alice", &customers[i], note_done, &calls[i]);
        assert_false(calls[i].is_done);
    }
    for (int i = 0; i < 3; i++)
        run_until(f, &calls[i].is_done);
    assert_int_equal(calls[1].error.code, ERROR_NOT_FOUND);
    assert_int_equal(calls[2].error.code, ERROR_UNAVAILABLE);
}

static void freeing_the_store_ends_its_calls(void **state) {
    struct fixture *f = *state;
    struct store_customer customer;
    struct fixture sent, refused;
    f->config.redis_max_pending = 1;
    begin_call(&sent);
    begin_call(&refused);
    store_find_customer(f->store, f->arena, "alice", &customer, note_done, &sent);
    store_find_customer(f->store, f->arena, "alice", &customer, note_done, &refused);
    store_free(f->store);
    f->store = NULL;
    assert_true(sent.is_done && refused.is_done);
    assert_int_equal(sent.error.code, ERROR_UNKNOWN);
    assert_int_equal(refused.error.code, ERROR_UNAVAILABLE);
}

static void flushed_scripts_are_loaded_again(void **state) {
    struct fixture *f = *state;
    struct store_customer customer;
    struct sample s;
    ask_text(f, "SCRIPT FLUSH");
    assert_ok(CALL(f, store_create_customer, f->arena, "alice", &customer));
    ask_text(f, "SCRIPT FLUSH");
    make_sample(f, &s, "bob", "shop.test");
    assert_int_equal(f->ready_changes, 1);
}

static void redis_that_refuses_writes_is_unavailable(void **state) {
    struct fixture *f = *state;
    struct store_customer customer;
    assert_ok(CALL(f, store_create_customer, f->arena, "alice", &customer));
    ask_text(f, "CONFIG SET maxmemory 1");
    assert_code(CALL(f, store_create_customer, f->arena, "bob", &customer), ERROR_UNAVAILABLE);
    wait_reason(f, "no memory left"); /* not one that is ready and refuses */
    ask_text(f, "CONFIG SET maxmemory 0");
    wait_ready(f, true);
    assert_int_equal(f->ready_changes, 3);
    ask_text(f, "CONFIG SET min-replicas-to-write 1");
    assert_code(CALL(f, store_create_customer, f->arena, "bob", &customer), ERROR_UNAVAILABLE);
    ask_text(f, "CONFIG SET min-replicas-to-write 0");
    assert_ok(CALL(f, store_create_customer, f->arena, "bob", &customer));
    assert_int_equal(ask_number(f, "ZCARD customers"), 2);
    assert_int_equal(f->ready_changes, 3);
}

static void demoted_redis_is_left_until_it_is_primary_again(void **state) {
    struct fixture *f = *state;
    struct store_customer customer;
    ask_text(f, "REPLICAOF 127.0.0.1 1");
    assert_code(CALL(f, store_create_customer, f->arena, "alice", &customer), ERROR_UNAVAILABLE);
    wait_reason(f, "replica");
    assert_code(CALL(f, store_find_customer, f->arena, "alice", &customer), ERROR_UNAVAILABLE);
    ask_text(f, "REPLICAOF NO ONE");
    wait_ready(f, true);
    assert_ok(CALL(f, store_create_customer, f->arena, "alice", &customer));
}

static void unsafe_durability_is_not_served_unless_allowed(void **state) {
    struct fixture *f = *state;
    ask_text(f, "CONFIG SET appendfsync everysec");
    restart_store(f);
    wait_reason(f, "appendfsync everysec");
    f->config.redis_allow_unsafe_durability = true;
    wait_ready(f, true);
    f->config.redis_allow_unsafe_durability = false;
    ask_text(f, "CONFIG SET appendfsync always");
    ask_text(f, "CONFIG SET maxmemory-policy allkeys-lru");
    restart_store(f);
    wait_reason(f, "noeviction");
    ask_text(f, "CONFIG SET maxmemory-policy noeviction");
    wait_ready(f, true);
}

static void write_file(const char *path, const char *text) {
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    chmod(path, 0600);
}

static void password_is_given_and_never_told(void **state) {
    struct fixture *f = *state;
    struct store_customer customer;
    char path[128];
    snprintf(path, sizeof path, "%s/password", f->server.directory);
    write_file(path, "wrong-secret\n");
    ask_text(f, "CONFIG SET requirepass open-sesame");
    f->config.redis_password_file = path;
    restart_store(f);
    wait_reason(f, "WRONGPASS");
    assert_null(strstr(not_ready_reason(f), "wrong-secret"));
    write_file(path, "open-sesame\n"); /* read again at each connect */
    wait_ready(f, true);
    assert_ok(CALL(f, store_create_customer, f->arena, "alice", &customer));
    f->config.redis_password_file = NULL;
    restart_store(f);
    wait_reason(f, "NOAUTH");
    f->config.redis_password_file = "/nonexistent/password";
    restart_store(f);
    wait_reason(f, "/nonexistent/password");
    ask_text(f, "CONFIG SET requirepass %s", "");
}

static void database_number_is_selected(void **state) {
    struct fixture *f = *state;
    struct store_customer customer;
    f->config.redis_database = 3;
    restart_store(f);
    wait_ready(f, true);
    assert_ok(CALL(f, store_create_customer, f->arena, "alice", &customer));
    assert_int_equal(ask_number(f, "DBSIZE"), 0);
    ask_text(f, "SELECT 3");
    assert_int_equal(ask_number(f, "ZCARD customers"), 1);
    f->config.redis_database = 9999;
    restart_store(f);
    wait_reason(f, "out of range");
}

static uint32_t free_port(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, length), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
    close(fd);
    return ntohs(address.sin_port);
}

static enum error_code look(struct fixture *f) {
    begin_call(f);
    store_look(f->store, note_done, f);
    return await(f);
}

static void commit_waits_for_its_replicas(void **state) {
    struct fixture *f = *state;
    struct server primary = {.pid = 0}, replica = {.pid = 0};
    struct sample s;
    char port[12];
    snprintf(port, sizeof port, "%u", free_port());
    server_make_directory(&primary);
    server_start(&primary, (const char *const[]){"--port", port, "--bind", "127.0.0.1",
                                                 "--repl-diskless-sync-delay", "0", NULL});
    f->config.redis_socket = NULL;
    f->config.redis_host = "127.0.0.1";
    f->config.redis_port = (uint32_t)atoi(port);
    f->config.redis_wait_replicas = 1;
    f->config.redis_wait_timeout_ms = 200;
    restart_store(f);
    wait_ready(f, true);
    make_sample(f, &s, "alice", "shop.test");
    fill_order(f, &s, ORDER_READY, 1);
    assert_ok(CALL(f, store_create_order, &s.order, ""));
    struct store_order out;
    enum error_code code =
        CALL(f, store_claim_order, f->arena, s.order.id, ATTEMPT_A, 1, SPKI_B, SPKI_A, CSR, "ecc", &out);
    assert_int_equal(code, ERROR_UNKNOWN);
    assert_non_null(strstr(f->error.message, "0 of 1"));
    assert_code(look(f), ERROR_UNAVAILABLE);
    assert_non_null(strstr(f->error.message, "redis_wait_replicas"));
    assert_ok(CALL(f, store_load_order, f->arena, s.order.id, &out));
    assert_int_equal(out.status, ORDER_PROCESSING); /* it has happened here: repeating is safe */
    server_make_directory(&replica);
    server_start(&replica, (const char *const[]){"--replicaof", "127.0.0.1", port, NULL});
    int64_t until = clock_monotonic_ms() + 10000;
    do
        code =
            CALL(f, store_claim_order, f->arena, s.order.id, ATTEMPT_A, 1, SPKI_B, SPKI_A, CSR, "ecc", &out);
    while (code == ERROR_UNKNOWN && clock_monotonic_ms() < until);
    assert_ok(code);
    assert_ok(look(f));
    const struct store_certificate certificate = new_certificate(&s, SERIAL_A, SPKI_A);
    do /* a replica that has just synchronised may take longer than the 200 ms once more */
        code = CALL(f, store_commit_certificate, &certificate, ATTEMPT_A, NULL);
    while (code == ERROR_UNKNOWN && clock_monotonic_ms() < until);
    assert_ok(code);
    redisContext *other = redisConnectUnix(replica.socket);
    redisReply *reply = redisCommand(other, "EXISTS certificate:" SERIAL_A);
    assert_int_equal(reply->integer, 1);
    freeReplyObject(reply);
    redisFree(other);
    server_remove(&replica);
    server_remove(&primary);
}

static void wrong_address_is_said_at_start_or_tried_for_ever(void **state) {
    struct fixture *f = *state;
    struct error error = {.code = ERROR_NONE};
    f->config.redis_socket = "/nonexistent/redis.sock";
    restart_store(f);
    wait_reason(f, "cannot connect");
    assert_true(store_counters(f->store)->reconnects < 20);
    f->config.redis_socket = NULL;
    f->config.redis_host = "127.0.0.1";
    f->config.redis_port = free_port();
    restart_store(f);
    wait_reason(f, "refused");
    f->config.redis_host = "no such host";
    assert_null(store_new(f->base, &f->config, &error));
    assert_non_null(strstr(error.message, "no such host"));
    char path[200];
    memset(path, 'x', sizeof path);
    path[199] = '\0';
    f->config.redis_socket = path;
    assert_null(store_new(f->base, &f->config, &error));
    f->config.redis_socket = f->server.socket;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        test_case(call_without_redis_is_refused_from_the_loop),
        test_case(killed_redis_keeps_what_was_acknowledged),
        test_case(redis_killed_under_load_keeps_what_was_acknowledged),
        test_case(silent_redis_runs_into_the_deadline),
        test_case(what_never_left_is_known_not_to_have_happened),
        test_case(too_many_pending_calls_are_refused),
        test_case(freeing_the_store_ends_its_calls),
        test_case(flushed_scripts_are_loaded_again),
        test_case(redis_that_refuses_writes_is_unavailable),
        test_case(demoted_redis_is_left_until_it_is_primary_again),
        test_case(unsafe_durability_is_not_served_unless_allowed),
        test_case(password_is_given_and_never_told),
        test_case(database_number_is_selected),
        test_case(commit_waits_for_its_replicas),
        test_case(wrong_address_is_said_at_start_or_tried_for_ever),
    };
    return cmocka_run_group_tests(tests, start_group, end_group);
}
