/* What an object costs Redis in bytes, with its index entries: prints the table of doc/redis.md and holds it
 * to limits. Measured as the growth of MEMORY USAGE of all keys over many objects. */
#include <stdio.h>
#include <string.h>

#include "sample.h"

#define MANY 1000

static long long memory_of_all_keys(struct fixture *f) {
    long long total = 0;
    redisReply *keys = redisCommand(f->admin, "KEYS *");
    for (size_t i = 0; i < keys->elements; i++)
        total += ask_number(f, "MEMORY USAGE %s SAMPLES 0", keys->element[i]->str);
    freeReplyObject(keys);
    return total;
}

static void report(const char *what, long long bytes, long long at_most) {
    print_message("| %-36s | %5lld |\n", what, bytes);
    assert_in_range(bytes, 1, at_most);
}

static long long each(struct fixture *f, long long before) {
    return (memory_of_all_keys(f) - before) / MANY;
}

static long long measure_orders(struct fixture *f, struct sample *s, size_t names, const char *evidence) {
    long long before = memory_of_all_keys(f);
    for (int i = 0; i < MANY; i++) {
        fill_order(f, s, ORDER_READY, names);
        assert_ok(CALL(f, store_create_order, &s->order, evidence));
    }
    return each(f, before);
}

static long long measure_certificates(struct fixture *f, struct sample *s) {
    struct store_order out;
    const char *orders[MANY];
    for (int i = 0; i < MANY; i++) {
        fill_order(f, s, ORDER_READY, 1);
        orders[i] = s->order.id;
        assert_ok(CALL(f, store_create_order, &s->order, ""));
        const char *attempt = arena_printf(f->arena, "0011223344556677-%d", i);
        assert_ok(CALL(f, store_claim_order, f->arena, orders[i], attempt, clock_wall_ms(), SPKI_A, SPKI_A,
                       CSR, "ecc", &out));
    }
    long long before = memory_of_all_keys(f);
    for (int i = 0; i < MANY; i++) {
        s->order.id = orders[i];
        struct store_certificate certificate =
            new_certificate(s, arena_printf(f->arena, "01%030d", i),
                            arena_printf(f->arena, "%064d", i)); /* each its own key */
        assert_ok(CALL(f, store_commit_certificate, &certificate,
                       arena_printf(f->arena, "0011223344556677-%d", i), NULL));
    }
    return each(f, before);
}

static void objects_cost_what_the_document_says(void **state) {
    struct fixture *f = *state;
    struct sample s;
    struct store_customer customer;
    struct store_zone zone;
    struct store_account account;
    bool was_created;
    arena_free(f->arena);
    f->arena = arena_new(256 * 1024 * 1024);
    make_sample(f, &s, "sample", "shop.test");
    print_message("| object, with its index entries        | bytes |\n|---|---|\n");
    long long before = memory_of_all_keys(f);
    for (int i = 0; i < MANY; i++)
        assert_ok(
            CALL(f, store_create_customer, f->arena, arena_printf(f->arena, "customer-%04d", i), &customer));
    report("customer", each(f, before), 700);
    before = memory_of_all_keys(f);
    for (int i = 0; i < MANY; i++)
        make_zone(f, arena_printf(f->arena, "shop-%04d.test", i), s.customer.id, &zone);
    report("zone (pending, two name servers)", each(f, before), 1200);
    before = memory_of_all_keys(f);
    for (int i = 0; i < MANY; i++) {
        const struct store_account new = new_account(f, s.customer.id);
        assert_ok(CALL(f, store_create_account, f->arena, &new, &account, &was_created));
    }
    report("ACME account (P-256, one contact)", each(f, before), 1300);
    long long bare = measure_orders(f, &s, 1, "");
    report("order, 1 name", bare, 1300);
    report("order, 10 names", measure_orders(f, &s, 10, ""), 2600);
    char evidence[1001];
    memset(evidence, 'e', 1000);
    evidence[1000] = '\0';
    report("evidence of 1000 bytes", measure_orders(f, &s, 1, evidence) - bare, 1500);
    report("certificate, 1 name, 400 bytes of DER", measure_certificates(f, &s), 2600);
    before = memory_of_all_keys(f);
    struct nonce nonce = {.block_hex = "000102030405060708090a0b", .expires_at = now_seconds() + 60};
    for (nonce.index = 0; nonce.index < MANY; nonce.index++)
        assert_ok(CALL(f, store_authenticate, f->arena, &nonce, NULL, NULL, &account));
    report("nonce, 1000 spent of one block", memory_of_all_keys(f) - before, 400);
}

int main(void) {
    const struct CMUnitTest tests[] = {test_case(objects_cost_what_the_document_says)};
    return cmocka_run_group_tests(tests, start_group, end_group);
}
