/* Customers and external account binding keys. */
#include <string.h>

#include "sample.h"

static void customer_is_found_by_id_and_by_name(void **state) {
    struct fixture *f = *state;
    struct store_customer made, found;
    assert_ok(CALL(f, store_create_customer, f->arena, "alice", &made));
    assert_int_equal(strlen(made.id), 32);
    assert_true(made.created_at >= now_seconds() - 5);
    assert_ok(CALL(f, store_find_customer, f->arena, "alice", &found));
    assert_string_equal(found.id, made.id);
    assert_ok(CALL(f, store_find_customer, f->arena, made.id, &found));
    assert_string_equal(found.name, "alice");
    assert_int_equal(found.created_at, made.created_at);
    assert_code(CALL(f, store_find_customer, f->arena, "bob", &found), ERROR_NOT_FOUND);
    assert_ok(CALL(f, store_load_customer, f->arena, made.id, &found));
    assert_string_equal(found.name, "alice");
    assert_code(CALL(f, store_load_customer, f->arena, "alice", &found), ERROR_NOT_FOUND);
}

static void name_that_is_anothers_id_finds_neither(void **state) {
    struct fixture *f = *state;
    struct store_customer victim, other, found;
    assert_ok(CALL(f, store_create_customer, f->arena, "alice", &victim));
    assert_ok(CALL(f, store_create_customer, f->arena, victim.id, &other));
    assert_code(CALL(f, store_find_customer, f->arena, victim.id, &found), ERROR_CONFLICT);
    assert_ok(CALL(f, store_load_customer, f->arena, victim.id, &found));
    assert_string_equal(found.name, "alice");
    assert_ok(CALL(f, store_find_customer, f->arena, other.id, &found));
    assert_string_equal(found.name, victim.id);
}

static void customer_name_is_taken_once(void **state) {
    struct fixture *f = *state;
    struct store_customer made, again;
    assert_ok(CALL(f, store_create_customer, f->arena, "alice", &made));
    assert_code(CALL(f, store_create_customer, f->arena, "alice", &again), ERROR_CONFLICT);
    assert_int_equal(ask_number(f, "ZCARD customers"), 1);
}

static void pages_show_each_customer_once_while_others_are_added(void **state) {
    struct fixture *f = *state;
    struct store_customer customer;
    struct store_customer_list list;
    for (int i = 0; i < 25; i++)
        assert_ok(
            CALL(f, store_create_customer, f->arena, arena_printf(f->arena, "customer%02d", i), &customer));
    const char *cursor = NULL;
    int seen = 0;
    do {
        assert_ok(CALL(f, store_list_customers, f->arena, cursor, 10, &list));
        for (size_t i = 0; i < list.count; i++)
            assert_string_equal(list.items[i].name, arena_printf(f->arena, "customer%02d", 24 - seen++));
        cursor = list.next_cursor;
        /* A newer one belongs to the pages before; it must not shift the ones that follow. */
        assert_ok(
            CALL(f, store_create_customer, f->arena, arena_printf(f->arena, "late%d", seen), &customer));
    } while (cursor != NULL);
    assert_int_equal(seen, 25);
}

static void foreign_cursor_is_refused(void **state) {
    struct fixture *f = *state;
    struct store_customer_list list;
    static const char *const bad[] = {"x",    "1",    "1,", ",a", "1,a b", "1,a\n", "99999999999999999999,a",
                                      "-1,a", "1,a;b"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_code(CALL(f, store_list_customers, f->arena, bad[i], 10, &list), ERROR_INVALID);
}

static void eab_key_lives_until_it_is_revoked(void **state) {
    struct fixture *f = *state;
    struct store_customer customer, other;
    struct store_eab_key key, second, found;
    struct store_eab_key_list list;
    assert_ok(CALL(f, store_create_customer, f->arena, "alice", &customer));
    assert_ok(CALL(f, store_create_customer, f->arena, "bob", &other));
    assert_ok(CALL(f, store_create_eab_key, f->arena, customer.id, &key));
    assert_ok(CALL(f, store_create_eab_key, f->arena, customer.id, &second));
    assert_ok(CALL(f, store_load_eab_key, f->arena, key.kid, &found));
    assert_string_equal(found.customer, customer.id);
    assert_false(found.is_revoked);
    assert_code(CALL(f, store_revoke_eab_key, other.id, key.kid, NULL), ERROR_NOT_FOUND);
    assert_ok(CALL(f, store_revoke_eab_key, customer.id, key.kid, NULL));
    assert_ok(CALL(f, store_revoke_eab_key, customer.id, key.kid, NULL));
    assert_ok(CALL(f, store_load_eab_key, f->arena, key.kid, &found));
    assert_true(found.is_revoked);
    assert_ok(CALL(f, store_list_eab_keys, f->arena, customer.id, &list));
    assert_int_equal(list.count, 2);
    assert_string_equal(list.items[0].kid, second.kid);
    assert_true(list.items[1].is_revoked);
    assert_code(CALL(f, store_create_eab_key, f->arena, "nobody", &key), ERROR_NOT_FOUND);
    assert_code(CALL(f, store_load_eab_key, f->arena, "nothing", &found), ERROR_NOT_FOUND);
}

static void api_key_ends_once_and_for_its_own_customer_only(void **state) {
    struct fixture *f = *state;
    struct store_customer customer, other;
    struct store_api_key found;
    struct store_api_key_list list;
    time_t created;
    const char *zones[] = {"0123456789abcdef0123456789abcdef"};
    assert_ok(CALL(f, store_create_customer, f->arena, "alice", &customer));
    assert_ok(CALL(f, store_create_customer, f->arena, "bob", &other));
    struct store_api_key key = {.id = "0123456789abcdef01234567",
                                .customer = customer.id,
                                .kind = "token",
                                .hash = SPKI_A,
                                .rights = "certificates:read zones:read",
                                .zones = zones,
                                .zone_count = 1,
                                .name = "deploy"};
    assert_ok(CALL(f, store_create_api_key, f->arena, &key, &created));
    assert_ok(CALL(f, store_create_api_key, f->arena, &key, &created));
    assert_int_equal(ask_number(f, "ZCARD customer-api-keys:%s", customer.id), 1);
    assert_ok(CALL(f, store_load_api_key, f->arena, key.id, &found));
    assert_string_equal(found.customer, customer.id);
    assert_string_equal(found.hash, SPKI_A);
    assert_string_equal(found.rights, key.rights);
    assert_int_equal(found.zone_count, 1);
    assert_string_equal(found.zones[0], zones[0]);
    assert_int_equal(found.revoked_at, 0);
    assert_code(CALL(f, store_revoke_api_key, other.id, key.id, NULL), ERROR_NOT_FOUND);
    assert_ok(CALL(f, store_revoke_api_key, customer.id, key.id, NULL));
    assert_ok(CALL(f, store_revoke_api_key, customer.id, key.id, NULL));
    assert_ok(CALL(f, store_load_api_key, f->arena, key.id, &found));
    assert_string_equal(found.hash, "");
    assert_true(found.revoked_at >= now_seconds() - 5);
    assert_ok(CALL(f, store_list_api_keys, f->arena, customer.id, &list));
    assert_int_equal(list.count, 1);
    assert_string_equal(list.items[0].name, "deploy");
    assert_ok(CALL(f, store_list_api_keys, f->arena, other.id, &list));
    assert_int_equal(list.count, 0);
    /* Whoever repeats the creation of an ended key does not bring it back. */
    assert_ok(CALL(f, store_create_api_key, f->arena, &key, &created));
    assert_ok(CALL(f, store_load_api_key, f->arena, key.id, &found));
    assert_string_equal(found.hash, "");
    key.customer = "nobody";
    assert_code(CALL(f, store_create_api_key, f->arena, &key, &created), ERROR_NOT_FOUND);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        test_case(customer_is_found_by_id_and_by_name),
        test_case(name_that_is_anothers_id_finds_neither),
        test_case(customer_name_is_taken_once),
        test_case(pages_show_each_customer_once_while_others_are_added),
        test_case(foreign_cursor_is_refused),
        test_case(eab_key_lives_until_it_is_revoked),
        test_case(api_key_ends_once_and_for_its_own_customer_only),
    };
    return cmocka_run_group_tests(tests, start_group, end_group);
}
