/* Rights end when the ownership ends, in the script that acts (doc/rights.md): what is held by a zone is
 * looked up against who has the name now, at each step of an order, in held names and retries. */
#include <string.h>

#include "sample.h"

#define HASH SPKI_B
#define ORDER_EVIDENCE "{\"order\":1}"

static enum error_code record_check(struct fixture *f, const struct store_zone *zone, bool is_ok, time_t when,
                                    enum store_zone_status *status) {
    struct store_zone out;
    const struct store_zone_check check = {.zone_id = zone->id,
                                           .is_ok = is_ok,
                                           .is_definite_no = !is_ok,
                                           .reason = is_ok ? "delegated" : "lame",
                                           .evidence = "{}",
                                           .checked_at = when,
                                           .moved_after = 1};
    enum error_code code = CALL(f, store_record_zone_check, f->arena, &check, &out);
    *status = code == ERROR_NONE ? out.status : ZONE_DELETED;
    return code;
}

/* Another customer has this zone, active. */
static void give_away(struct fixture *f, const char *name, struct store_zone *zone) {
    struct store_customer customer;
    const char *who = arena_printf(f->arena, "rival of %s", name);
    assert_ok(CALL(f, store_create_customer, f->arena, who, &customer));
    make_zone(f, name, customer.id, zone);
    activate_zone(f, zone);
}

static void move_away(struct fixture *f, const struct store_zone *zone) {
    enum store_zone_status status;
    assert_ok(record_check(f, zone, false, now_seconds(), &status));
    assert_int_equal(status, ZONE_MOVED);
}

static enum error_code create(struct fixture *f, struct sample *s, size_t names) {
    fill_order(f, s, ORDER_READY, names);
    return CALL(f, store_create_order, &s->order, ORDER_EVIDENCE);
}

static enum error_code claim(struct fixture *f, const struct sample *s) {
    struct store_order out;
    return CALL(f, store_claim_order, f->arena, s->order.id, ATTEMPT_A, 1, SPKI_B, SPKI_A, CSR, "ecc", &out);
}

static enum error_code commit(struct fixture *f, const struct sample *s) {
    const struct store_certificate certificate = new_certificate(s, SERIAL_A, SPKI_A);
    return CALL(f, store_commit_certificate, &certificate, ATTEMPT_A, NULL);
}

static bool holds(struct fixture *f, const struct sample *s, const char *name) {
    struct store_zone zone;
    assert_ok(CALL(f, store_zones_held, f->arena, s->account.id, &name, 1, &zone));
    return zone.id != NULL;
}

static void names_of_anothers_active_zone_end_each_step(void **state) {
    struct fixture *f = *state;
    struct sample s;
    struct store_zone other;
    make_sample(f, &s, "a", "shop.test");
    assert_ok(create(f, &s, 2));
    const char *ready = s.order.id;
    make_claimed(f, &s, ATTEMPT_A);
    const char *claimed = s.order.id;
    assert_true(holds(f, &s, "shop.test"));
    give_away(f, "shop.test", &other);
    assert_code(create(f, &s, 1), ERROR_REFUSED);
    assert_non_null(strstr(f->error.message, "shop.test belongs to another customer's active zone"));
    s.order.id = ready;
    assert_code(claim(f, &s), ERROR_REFUSED);
    s.order.id = claimed;
    assert_code(commit(f, &s), ERROR_CONFLICT);
    assert_false(holds(f, &s, "shop.test"));
}

static void zone_between_ends_the_names_below_it_alone(void **state) {
    struct fixture *f = *state;
    struct sample s;
    struct store_zone other, own;
    make_sample(f, &s, "a", "shop.test");
    make_zone(f, "host2.shop.test", s.customer.id, &own);
    activate_zone(f, &own); /* one's own zone in between takes nothing away */
    assert_ok(create(f, &s, 3));
    const char *both = s.order.id;
    make_claimed(f, &s, ATTEMPT_A); /* the apex alone */
    give_away(f, "host1.shop.test", &other);
    assert_ok(commit(f, &s));
    s.order.id = both;
    assert_code(
        CALL(f, store_claim_order, f->arena, both, ATTEMPT_B, 1, SPKI_B, SPKI_A, CSR, "ecc", &s.order),
        ERROR_REFUSED);
    assert_false(holds(f, &s, "host1.shop.test"));
    assert_true(holds(f, &s, "host2.shop.test"));
    assert_true(holds(f, &s, "shop.test"));
    /* Above the zone that proves a name, and beside it, others may have what they want. */
    give_away(f, "otherhost2.shop.test", &other);
    assert_true(holds(f, &s, "host2.shop.test"));
    /* Pending, it takes nothing either: who delegates to it is not known yet. */
    struct store_customer third;
    assert_ok(CALL(f, store_create_customer, f->arena, "third", &third));
    make_zone(f, "shop.test", third.id, &other);
    assert_true(holds(f, &s, "shop.test"));
}

static void moved_alone_is_no_refusal_and_a_good_check_makes_the_zone_active(void **state) {
    struct fixture *f = *state;
    struct sample s;
    struct store_zone zone;
    f->config.moved_zone_certificates = "withdraw";
    make_sample(f, &s, "a", "shop.test");
    assert_ok(create(f, &s, 1));
    const char *ready = s.order.id;
    move_away(f, &s.zone);
    assert_false(holds(f, &s, "shop.test")); /* what no check precedes waits for one */
    /* A check that is not newer than the zone's own shows nothing of what DNS says now. */
    fill_order(f, &s, ORDER_READY, 1);
    s.order.checked_at = now_seconds() - 5;
    assert_code(CALL(f, store_create_order, &s.order, ORDER_EVIDENCE), ERROR_REFUSED);
    assert_ok(CALL(f, store_load_zone, f->arena, s.zone.id, &zone));
    assert_int_equal(zone.status, ZONE_MOVED);
    fill_order(f, &s, ORDER_READY, 1);
    s.order.checked_at = now_seconds() + 1;
    assert_ok(CALL(f, store_create_order, &s.order, ORDER_EVIDENCE));
    assert_ok(CALL(f, store_load_zone, f->arena, s.zone.id, &zone));
    assert_int_equal(zone.status, ZONE_ACTIVE);
    assert_int_equal(zone.negatives, 0);
    assert_true(holds(f, &s, "shop.test"));
    assert_non_null(strstr(zone.reason, s.order.id));
    assert_string_equal(ask_text(f, "HGET zone-name:shop.test active"), s.zone.id);
    assert_int_equal(ask_number(f, "XLEN edge-events"), 2); /* withdrawn, restored */
    /* Likewise the check of a finalize. */
    ask_number(f, "HSET zone:%s checked 5", s.zone.id);
    move_away(f, &s.zone);
    assert_ok(CALL(f, store_record_recheck, ready, now_seconds() + 2, ORDER_EVIDENCE));
    assert_ok(CALL(f, store_load_zone, f->arena, s.zone.id, &zone));
    assert_int_equal(zone.status, ZONE_ACTIVE);
    s.order.id = ready;
    assert_ok(claim(f, &s));
}

static void orders_check_takes_nothing_from_another_but_has_the_zone_checked(void **state) {
    struct fixture *f = *state;
    struct sample s;
    struct store_zone other;
    make_sample(f, &s, "a", "shop.test");
    give_away(f, "shop.test", &other); /* ours has moved */
    ask_number(f, "ZADD zones-due 99999999999 %s", s.zone.id);
    fill_order(f, &s, ORDER_READY, 1);
    s.order.checked_at = now_seconds() + 1;
    assert_code(CALL(f, store_create_order, &s.order, ORDER_EVIDENCE), ERROR_REFUSED);
    assert_string_equal(ask_text(f, "HGET zone-name:shop.test active"), other.id);
    assert_true(ask_number(f, "ZSCORE zones-due %s", s.zone.id) <= now_seconds());
}

static void check_that_was_overtaken_takes_nothing(void **state) {
    struct fixture *f = *state;
    struct sample s;
    struct store_zone other;
    enum store_zone_status status;
    make_sample(f, &s, "a", "shop.test");
    give_away(f, "shop.test", &other);
    /* Began before the other's check held, came back after it. */
    ask_number(f, "HSET zone:%s checked %lld", other.id, (long long)now_seconds() + 10);
    assert_ok(record_check(f, &s.zone, true, now_seconds() + 5, &status));
    assert_int_equal(status, ZONE_MOVED);
    assert_ok(record_check(f, &s.zone, true, now_seconds() + 15, &status));
    assert_int_equal(status, ZONE_ACTIVE);
}

static void check_that_was_overtaken_takes_nothing_after_the_others_end_either(void **state) {
    struct fixture *f = *state;
    struct sample s;
    struct store_zone other;
    enum store_zone_status status;
    make_sample(f, &s, "a", "shop.test");
    give_away(f, "shop.test", &other);
    assert_ok(CALL(f, store_delete_zone, other.id, NULL)); /* since when he has it no more */
    ask_number(f, "HSET zone:%s checked 1", s.zone.id);
    ask_number(f, "HSET zone-held:shop.test %s %lld", other.customer, (long long)now_seconds() + 10);
    assert_ok(record_check(f, &s.zone, true, now_seconds() + 5, &status));
    assert_int_equal(status, ZONE_MOVED);
    fill_order(f, &s, ORDER_READY, 1);
    s.order.checked_at = now_seconds() + 6;
    assert_code(CALL(f, store_create_order, &s.order, ORDER_EVIDENCE), ERROR_REFUSED);
    assert_int_equal(ask_number(f, "HEXISTS zone-name:shop.test active"), 0);
    assert_ok(record_check(f, &s.zone, true, now_seconds() + 15, &status));
    assert_int_equal(status, ZONE_ACTIVE);
}

static void held_names_rest_on_the_zone_they_were_proven_in(void **state) {
    struct fixture *f = *state;
    struct sample s;
    struct store_zone again, other;
    struct store_account out;
    make_sample(f, &s, "a", "shop.test");
    assert_ok(create(f, &s, 2));
    assert_ok(CALL(f, store_set_zone_paused, f->arena, s.zone.id, true, &s.zone, NULL));
    assert_false(holds(f, &s, "host1.shop.test"));
    assert_ok(CALL(f, store_set_zone_paused, f->arena, s.zone.id, false, &s.zone, NULL));
    assert_true(holds(f, &s, "host1.shop.test"));
    give_away(f, "shop.test", &other);
    assert_ok(CALL(f, store_delete_zone, other.id, NULL)); /* nobody has it now, we neither */
    assert_false(holds(f, &s, "host1.shop.test"));
    ask_number(f, "HSET zone:%s checked 1", s.zone.id);
    /* Before the proof, though the second may have changed since. */
    ask_number(f, "HSET zone-held:shop.test %s 1", other.customer);
    activate_zone(f, &s.zone);
    assert_true(holds(f, &s, "host1.shop.test"));
    assert_ok(CALL(f, store_delete_zone, s.zone.id, NULL));
    assert_false(holds(f, &s, "host1.shop.test"));
    make_zone(f, "shop.test", s.customer.id, &again);
    ask_number(f, "HSET zone:%s checked 1", again.id);
    activate_zone(f, &again);
    assert_false(holds(f, &s, "host1.shop.test")); /* another zone, another proof */
    s.zone = again;
    assert_ok(create(f, &s, 2));
    assert_true(holds(f, &s, "host1.shop.test"));
    assert_ok(CALL(f, store_update_account, f->arena, s.account.id, NULL, false, true, &out, NULL));
    assert_false(holds(f, &s, "host1.shop.test"));
}

static void account_without_customer_has_rights_in_active_zones_only(void **state) {
    struct fixture *f = *state;
    struct sample s;
    struct store_order out;
    bool was_created;
    make_sample(f, &s, "a", "shop.test");
    const struct store_account account = new_account(f, "");
    assert_ok(CALL(f, store_create_account, f->arena, &account, &s.account, &was_created));
    s.customer.id = "";
    fill_order(f, &s, ORDER_PENDING, 1);
    assert_ok(CALL(f, store_create_order, &s.order, ORDER_EVIDENCE));
    const struct store_authorization_change proven = {.order_id = s.order.id,
                                                      .status = AUTHORIZATION_VALID,
                                                      .checked_at = now_seconds(),
                                                      .expires_at = now_seconds() + 60};
    move_away(f, &s.zone);
    assert_code(CALL(f, store_change_authorization, f->arena, &proven, &out), ERROR_REFUSED);
    ask_number(f, "HSET zone:%s checked 1", s.zone.id);
    activate_zone(f, &s.zone);
    assert_ok(CALL(f, store_change_authorization, f->arena, &proven, &out));
    assert_true(holds(f, &s, "shop.test"));
    ask_number(f, "HSET zone:%s checked 1", s.zone.id);
    move_away(f, &s.zone);
    assert_false(holds(f, &s, "shop.test"));
    assert_code(claim(f, &s), ERROR_REFUSED);
    assert_code(create(f, &s, 1), ERROR_REFUSED);
}

static void order_of_a_retry_stands_only_while_the_names_are_the_askers(void **state) {
    struct fixture *f = *state;
    struct sample s, again;
    struct store_zone other;
    struct store_order found;
    const char *id = NULL;
    make_sample(f, &s, "a", "shop.test");
    again = s;
    fill_order(f, &s, ORDER_READY, 1);
    assert_ok(CALL(f, store_create_order_once, f->arena, &s.order, "{}", HASH, 60, &id));
    assert_ok(claim(f, &s));
    assert_ok(commit(f, &s));
    assert_ok(CALL(f, store_find_retry, f->arena, HASH, &found));
    give_away(f, "shop.test", &other);
    assert_code(CALL(f, store_find_retry, f->arena, HASH, &found), ERROR_NOT_FOUND);
    fill_order(f, &again, ORDER_READY, 1);
    assert_code(CALL(f, store_create_order_once, f->arena, &again.order, "{}", HASH, 60, &id), ERROR_REFUSED);
    assert_ok(CALL(f, store_delete_zone, other.id, NULL));
    assert_ok(CALL(f, store_find_retry, f->arena, HASH, &found));
}

static void order_ends_with_the_key_that_made_it(void **state) {
    struct fixture *f = *state;
    struct sample s;
    time_t created;
    make_sample(f, &s, "a", "shop.test");
    const struct store_api_key key = {.id = "0123456789abcdef01234567",
                                      .customer = s.customer.id,
                                      .kind = "token",
                                      .hash = "h",
                                      .rights = "certificates:edit",
                                      .zones = &s.zone.id,
                                      .zone_count = 1,
                                      .name = ""};
    assert_ok(CALL(f, store_create_api_key, f->arena, &key, &created));
    s.account.id = "";
    fill_order(f, &s, ORDER_READY, 1);
    s.order.api_key = key.id;
    assert_ok(CALL(f, store_create_order, &s.order, "{}"));
    const char *ready = s.order.id;
    fill_order(f, &s, ORDER_READY, 1);
    s.order.api_key = key.id;
    assert_ok(CALL(f, store_create_order, &s.order, "{}"));
    assert_ok(claim(f, &s));
    const char *claimed = s.order.id;
    assert_ok(CALL(f, store_revoke_api_key, s.customer.id, key.id, NULL));
    assert_code(commit(f, &s), ERROR_CONFLICT);
    s.order.id = ready;
    assert_code(claim(f, &s), ERROR_REFUSED);
    fill_order(f, &s, ORDER_READY, 1);
    s.order.api_key = key.id;
    assert_code(CALL(f, store_create_order, &s.order, "{}"), ERROR_REFUSED);
    assert_int_equal(ask_number(f, "EXISTS order:%s order:%s", ready, claimed), 2);
}

static void order_of_a_scoped_key_stays_in_its_zones(void **state) {
    struct fixture *f = *state;
    struct sample s;
    struct store_zone elsewhere;
    time_t created;
    make_sample(f, &s, "a", "shop.test");
    make_zone(f, "elsewhere.test", s.customer.id, &elsewhere);
    const struct store_api_key key = {.id = "0123456789abcdef01234567",
                                      .customer = s.customer.id,
                                      .kind = "token",
                                      .hash = "h",
                                      .rights = "certificates:edit",
                                      .zones = &elsewhere.id,
                                      .zone_count = 1,
                                      .name = ""};
    assert_ok(CALL(f, store_create_api_key, f->arena, &key, &created));
    fill_order(f, &s, ORDER_READY, 1);
    s.order.account = "";
    s.order.api_key = key.id;
    assert_code(CALL(f, store_create_order, &s.order, "{}"), ERROR_REFUSED);
}

static void deleted_zone_stays_readable_while_it_has_certificates(void **state) {
    struct fixture *f = *state;
    struct sample s;
    struct store_zone zone;
    uint64_t removed;
    make_sample(f, &s, "a", "shop.test");
    issue(f, &s, SERIAL_A, ATTEMPT_A, SPKI_A);
    assert_ok(CALL(f, store_delete_zone, s.zone.id, NULL));
    ask_number(f, "ZADD zones:deleted 1 %s", s.zone.id);
    assert_ok(CALL(f, store_sweep, 10, &removed));
    assert_int_equal(removed, 0);
    assert_ok(CALL(f, store_load_zone, f->arena, s.zone.id, &zone));
    assert_int_equal(zone.status, ZONE_DELETED);
    assert_true(ask_number(f, "TTL zone:%s", s.zone.id) > 86400);
    ask_number(f, "ZADD certificates-by-expiry 1 " SERIAL_A);
    ask_number(f, "ZADD zones:deleted 1 %s", s.zone.id);
    assert_ok(CALL(f, store_sweep, 10, &removed));
    assert_int_equal(removed, 2);
    assert_code(CALL(f, store_load_zone, f->arena, s.zone.id, &zone), ERROR_NOT_FOUND);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        test_case(names_of_anothers_active_zone_end_each_step),
        test_case(zone_between_ends_the_names_below_it_alone),
        test_case(moved_alone_is_no_refusal_and_a_good_check_makes_the_zone_active),
        test_case(orders_check_takes_nothing_from_another_but_has_the_zone_checked),
        test_case(check_that_was_overtaken_takes_nothing),
        test_case(check_that_was_overtaken_takes_nothing_after_the_others_end_either),
        test_case(held_names_rest_on_the_zone_they_were_proven_in),
        test_case(account_without_customer_has_rights_in_active_zones_only),
        test_case(order_of_a_retry_stands_only_while_the_names_are_the_askers),
        test_case(order_ends_with_the_key_that_made_it),
        test_case(order_of_a_scoped_key_stays_in_its_zones),
        test_case(deleted_zone_stays_readable_while_it_has_certificates),
    };
    return cmocka_run_group_tests(tests, start_group, end_group);
}
