/* Authorizations: every transition and every refused one, what the order makes of them, which names an
 * account holds. */
#include <string.h>

#include "sample.h"

static enum error_code change(struct fixture *f, const char *order_id, size_t index,
                              enum store_authorization_status status, struct store_order *out) {
    const struct store_authorization_change change = {
        .order_id = order_id,
        .index = index,
        .status = status,
        .checked_at = now_seconds() - 5 + (time_t)index,
        .expires_at = now_seconds() + 1000,
        .evidence = status == AUTHORIZATION_VALID ? "{\"v\":1}" : "",
        .error = status == AUTHORIZATION_INVALID ? "{\"type\":\"dns\"}" : ""};
    return CALL(f, store_change_authorization, f->arena, &change, out);
}

static const char *make_order(struct fixture *f, struct sample *s, enum store_order_status status,
                              size_t names) {
    fill_order(f, s, status, names);
    assert_ok(CALL(f, store_create_order, &s->order, "{\"all\":1}"));
    return s->order.id;
}

static void order_is_ready_when_all_are_valid(void **state) {
    struct fixture *f = *state;
    struct sample s;
    struct store_order out;
    const char *evidence;
    make_sample(f, &s, "a", "shop.test");
    const char *id = make_order(f, &s, ORDER_PENDING, 2);
    assert_ok(change(f, id, 0, AUTHORIZATION_VALID, &out)); /* the older proof */
    assert_int_equal(out.status, ORDER_PENDING);
    assert_int_equal(out.authorizations[0].status, AUTHORIZATION_VALID);
    assert_ok(change(f, id, 0, AUTHORIZATION_VALID, &out)); /* repeated */
    assert_ok(change(f, id, 1, AUTHORIZATION_VALID, &out));
    assert_int_equal(out.status, ORDER_READY);
    /* As fresh as the oldest proof, or a recheck would be skipped for the other names. */
    assert_int_equal(out.checked_at, out.authorizations[0].validated_at);
    assert_ok(CALL(f, store_load_evidence, f->arena, id, &evidence));
    assert_string_equal(evidence, "[{\"all\":1},{\"v\":1},{\"v\":1}]");
    assert_ok(CALL(f, store_record_recheck, id, now_seconds(), "{\"new\":1}"));
    assert_ok(CALL(f, store_load_evidence, f->arena, id, &evidence));
    assert_string_equal(evidence, "{\"new\":1}");
    assert_ok(CALL(f, store_load_order, f->arena, id, &out));
    assert_true(out.checked_at >= now_seconds() - 2);
}

static void older_recheck_does_not_replace_a_newer_one(void **state) {
    struct fixture *f = *state;
    struct sample s;
    const char *evidence;
    make_sample(f, &s, "a", "shop.test");
    const char *id = make_order(f, &s, ORDER_READY, 1);
    assert_ok(CALL(f, store_record_recheck, id, now_seconds() + 10, "{\"new\":1}"));
    assert_ok(CALL(f, store_record_recheck, id, now_seconds() + 5, "{\"old\":1}"));
    assert_ok(CALL(f, store_load_evidence, f->arena, id, &evidence));
    assert_string_equal(evidence, "{\"new\":1}");
    assert_code(CALL(f, store_record_recheck, "nothing", now_seconds(), "{}"), ERROR_NOT_FOUND);
    struct store_order out;
    assert_ok(change(f, id, 0, AUTHORIZATION_DEACTIVATED, &out));
    assert_code(CALL(f, store_record_recheck, id, now_seconds() + 20, "{}"), ERROR_CONFLICT);
}

static void one_lost_authorization_makes_the_order_invalid(void **state) {
    struct fixture *f = *state;
    struct sample s;
    struct store_order out;
    make_sample(f, &s, "a", "shop.test");
    const char *id = make_order(f, &s, ORDER_PENDING, 2);
    assert_ok(change(f, id, 0, AUTHORIZATION_INVALID, &out));
    assert_int_equal(out.status, ORDER_INVALID);
    assert_string_equal(out.authorizations[0].error, "{\"type\":\"dns\"}");
    assert_string_equal(out.error, "{\"type\":\"dns\"}");
    assert_ok(change(f, id, 0, AUTHORIZATION_INVALID, &out));
    assert_code(change(f, id, 0, AUTHORIZATION_VALID, &out), ERROR_CONFLICT);
    assert_code(change(f, id, 1, AUTHORIZATION_VALID, &out), ERROR_CONFLICT);
    assert_code(change(f, id, 0, AUTHORIZATION_DEACTIVATED, &out), ERROR_CONFLICT);
    assert_int_equal(out.status, ORDER_INVALID);
}

static void refused_transitions_change_nothing(void **state) {
    struct fixture *f = *state;
    struct sample s;
    struct store_order out;
    make_sample(f, &s, "a", "shop.test");
    const char *ready = make_order(f, &s, ORDER_READY, 1);
    assert_code(change(f, ready, 0, AUTHORIZATION_INVALID, &out), ERROR_CONFLICT);
    assert_code(change(f, ready, 0, AUTHORIZATION_PENDING, &out), ERROR_CONFLICT);
    assert_code(change(f, ready, 1, AUTHORIZATION_VALID, &out), ERROR_NOT_FOUND);
    assert_code(change(f, "nothing", 0, AUTHORIZATION_VALID, &out), ERROR_NOT_FOUND);
    fill_order(f, &s, ORDER_PENDING, 1);
    s.order.expires_at = now_seconds() - 1;
    assert_ok(CALL(f, store_create_order, &s.order, ""));
    assert_code(change(f, s.order.id, 0, AUTHORIZATION_VALID, &out), ERROR_CONFLICT);
    assert_int_equal(out.status, ORDER_INVALID);
    assert_int_equal(out.authorizations[0].status, AUTHORIZATION_EXPIRED);
    const char *paused = make_order(f, &s, ORDER_PENDING, 1);
    assert_ok(CALL(f, store_set_zone_paused, f->arena, s.zone.id, true, &s.zone, NULL));
    assert_code(change(f, paused, 0, AUTHORIZATION_VALID, &out), ERROR_REFUSED);
    assert_ok(CALL(f, store_load_order, f->arena, paused, &out));
    assert_int_equal(out.authorizations[0].status, AUTHORIZATION_PENDING);
}

static void tries_are_counted(void **state) {
    struct fixture *f = *state;
    struct sample s;
    struct store_order out;
    make_sample(f, &s, "a", "shop.test");
    const char *id = make_order(f, &s, ORDER_PENDING, 1);
    const struct store_authorization_change try_again = {.order_id = id,
                                                         .status = AUTHORIZATION_PENDING,
                                                         .count_try = true,
                                                         .error = "{\"type\":\"incorrectResponse\"}"};
    assert_ok(CALL(f, store_change_authorization, f->arena, &try_again, &out));
    assert_ok(CALL(f, store_change_authorization, f->arena, &try_again, &out));
    assert_int_equal(out.authorizations[0].tries, 2);
    assert_int_equal(out.authorizations[0].status, AUTHORIZATION_PENDING);
    assert_string_equal(out.authorizations[0].error, "{\"type\":\"incorrectResponse\"}");
    assert_int_equal(out.status, ORDER_PENDING);
    assert_true(out.authorizations[0].expires_at > now_seconds());
}

static void deactivation_spoils_every_order_but_a_valid_one(void **state) {
    struct fixture *f = *state;
    struct sample s;
    struct store_order out;
    make_sample(f, &s, "a", "shop.test");
    assert_ok(change(f, make_order(f, &s, ORDER_PENDING, 2), 1, AUTHORIZATION_DEACTIVATED, &out));
    assert_int_equal(out.status, ORDER_INVALID);
    assert_ok(change(f, make_order(f, &s, ORDER_READY, 2), 1, AUTHORIZATION_DEACTIVATED, &out));
    assert_int_equal(out.status, ORDER_INVALID);
    issue(f, &s, SERIAL_A, ATTEMPT_A, SPKI_A);
    assert_ok(change(f, s.order.id, 0, AUTHORIZATION_DEACTIVATED, &out));
    assert_int_equal(out.status, ORDER_VALID);
    assert_int_equal(out.authorizations[0].status, AUTHORIZATION_DEACTIVATED);
    /* In the middle of an issuance: the certificate that is being signed must not be given out. */
    make_claimed(f, &s, ATTEMPT_B);
    const struct store_certificate certificate = new_certificate(&s, SERIAL_B, SPKI_A);
    assert_ok(change(f, s.order.id, 0, AUTHORIZATION_DEACTIVATED, &out));
    assert_int_equal(out.status, ORDER_INVALID);
    assert_code(CALL(f, store_commit_certificate, &certificate, ATTEMPT_B, NULL), ERROR_CONFLICT);
}

static bool holds(struct fixture *f, const char *account, const char *a, const char *b) {
    const char *names[] = {a, b};
    struct store_zone zones[2];
    size_t count = b == NULL ? 1 : 2;
    assert_ok(CALL(f, store_zones_held, f->arena, account, names, count, zones));
    return zones[0].id != NULL && zones[count - 1].id != NULL;
}

static void account_holds_the_names_it_has_proven(void **state) {
    struct fixture *f = *state;
    struct sample s;
    struct store_order out;
    make_sample(f, &s, "a", "shop.test");
    const char *id = make_order(f, &s, ORDER_PENDING, 2);
    assert_false(holds(f, s.account.id, "shop.test", NULL));
    assert_ok(change(f, id, 0, AUTHORIZATION_VALID, &out));
    assert_true(holds(f, s.account.id, "shop.test", NULL));
    assert_false(holds(f, s.account.id, "shop.test", "host1.shop.test"));
    make_order(f, &s, ORDER_READY, 2); /* valid from the start, and for longer */
    assert_true(holds(f, s.account.id, "shop.test", "host1.shop.test"));
    assert_false(holds(f, "nobody", "shop.test", NULL));
    /* Giving up the older proof leaves the newer one. */
    assert_ok(change(f, id, 0, AUTHORIZATION_DEACTIVATED, &out));
    assert_true(holds(f, s.account.id, "shop.test", NULL));
    assert_ok(change(f, s.order.id, 0, AUTHORIZATION_DEACTIVATED, &out));
    assert_false(holds(f, s.account.id, "shop.test", NULL));
    ask_number(f, "ZADD account-names:%s %lld %s", s.account.id, (long long)now_seconds() - 1,
               arena_printf(f->arena, "host1.shop.test %s", s.zone.id));
    assert_false(holds(f, s.account.id, "host1.shop.test", NULL));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        test_case(order_is_ready_when_all_are_valid),
        test_case(older_recheck_does_not_replace_a_newer_one),
        test_case(one_lost_authorization_makes_the_order_invalid),
        test_case(refused_transitions_change_nothing),
        test_case(tries_are_counted),
        test_case(deactivation_spoils_every_order_but_a_valid_one),
        test_case(account_holds_the_names_it_has_proven),
    };
    return cmocka_run_group_tests(tests, start_group, end_group);
}
