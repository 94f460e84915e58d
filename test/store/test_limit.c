/* Limits: all or none, the one exemption of a certificate whose renewal is due, the pause of failed names. */
#include <string.h>

#include "sample.h"

#define HOLD_MS 150
#define WINDOW 3600

static struct store_limit orders(uint32_t cost, uint32_t exempt_cost) {
    return (struct store_limit){.kind = "orders",
                                .subject = "c",
                                .cost = cost,
                                .exempt_cost = exempt_cost,
                                .allowed = 2,
                                .window_seconds = WINDOW};
}

static const struct store_limit pause_of_a = {
    .kind = "failed-checks", .subject = "c:a.test", .mode = STORE_LIMIT_PAUSE, .allowed = 300};

static struct store_limit_outcome take(struct fixture *f, const struct store_limit *limits, size_t count,
                                       const char *serial) {
    struct store_limit_outcome outcome;
    assert_ok(CALL(f, store_take_limits, limits, count, serial, HOLD_MS, &outcome));
    return outcome;
}

static struct store_limit_outcome take_order(struct fixture *f, uint32_t exempt_cost, const char *serial) {
    const struct store_limit limit = orders(1, exempt_cost);
    return take(f, &limit, 1, serial);
}

static void note(struct fixture *f, const char *name, uint32_t allowed, const char *serial) {
    const struct store_failures failures = {
        .subjects = &name,
        .count = name == NULL ? 0 : 1,
        .first_pause_seconds = 2,
        .longest_pause_seconds = 300,
        .limit = {.kind = "failures", .subject = "c", .allowed = allowed, .window_seconds = WINDOW},
        .exempt_serial = serial};
    assert_ok(CALL(f, store_note_failures, &failures));
}

/* A certificate of an order that replaced nothing, with the limit of orders used up. */
static void make_due(struct fixture *f, struct sample *s) {
    make_sample(f, s, "a", "shop.test");
    issue(f, s, SERIAL_A, ATTEMPT_A, SPKI_A);
    for (int i = 0; i < 2; i++)
        assert_int_equal(take_order(f, 1, NULL).exceeded, 0);
    assert_int_equal(take_order(f, 1, NULL).exceeded, 1);
}

static void nothing_is_taken_where_one_limit_is_exceeded(void **state) {
    struct fixture *f = *state;
    const struct store_limit both[] = {{.kind = "names",
                                        .subject = "z",
                                        .cost = 1,
                                        .exempt_cost = 1,
                                        .allowed = 5,
                                        .window_seconds = WINDOW},
                                       orders(3, 3)};
    struct store_limit_outcome outcome = take(f, both, 2, NULL);
    assert_int_equal(outcome.exceeded, 2);
    assert_in_range(outcome.retry_after_seconds, WINDOW / 2 - 1, WINDOW / 2 + 1);
    assert_int_equal(ask_number(f, "EXISTS limit:names:z"), 0);
}

static struct store_limit one_check_of(const char *subject) {
    return (struct store_limit){.kind = "name-checks",
                                .subject = subject,
                                .cost = 1,
                                .exempt_cost = 1,
                                .allowed = 1,
                                .window_seconds = WINDOW};
}

/* Limits that differ only in their subject go to the script as one group. */
static void exceeded_limit_is_told_by_its_number_among_its_likes(void **state) {
    struct fixture *f = *state;
    const struct store_limit many[] = {orders(1, 1), one_check_of("c:a.test"), one_check_of("c:b.test"),
                                       one_check_of("c:c.test"), pause_of_a};
    assert_int_equal(take(f, &many[3], 1, NULL).exceeded, 0);
    assert_int_equal(take(f, many, 5, NULL).exceeded, 4);
    assert_int_equal(ask_number(f, "EXISTS limit:name-checks:c:a.test limit:orders:c"), 0);
    assert_int_equal(take(f, many, 3, NULL).exceeded, 0);
    assert_int_equal(take(f, many, 5, NULL).exceeded, 2);
    note(f, "c:a.test", 0, NULL);
    assert_int_equal(take(f, &many[4], 1, NULL).exceeded, 1);
}

static void exemption_is_held_by_one_request_given_back_or_ended_by_time(void **state) {
    struct fixture *f = *state;
    struct sample s;
    make_due(f, &s);
    assert_true(take_order(f, 0, SERIAL_A).is_exempt);
    assert_int_equal(take_order(f, 0, SERIAL_A).exceeded, 1);
    note(f, NULL, 0, SERIAL_A);
    assert_true(take_order(f, 0, SERIAL_A).is_exempt);
    assert_int_equal(take_order(f, 0, SERIAL_A).exceeded, 1);
    run_for(f, 2 * HOLD_MS); /* a worker that died */
    assert_true(take_order(f, 0, SERIAL_A).is_exempt);
}

static void exemption_is_not_for_what_goes_beyond_the_certificate(void **state) {
    struct fixture *f = *state;
    struct sample s;
    make_due(f, &s);
    assert_int_equal(take_order(f, 1, SERIAL_A).exceeded, 1);
    assert_int_equal(ask_number(f, "EXISTS limit:renewal:" SERIAL_A), 0); /* nor used up by that */
    assert_true(take_order(f, 0, SERIAL_A).is_exempt);
    assert_false(take_order(f, 0, SERIAL_B).is_exempt); /* no such certificate */
}

static void exemption_is_used_up_by_the_order_that_is_made(void **state) {
    struct fixture *f = *state;
    struct sample s;
    make_due(f, &s);
    assert_true(take_order(f, 0, SERIAL_A).is_exempt);
    fill_order(f, &s, ORDER_READY, 1);
    s.order.replaces = "x.y";
    s.order.replaces_serial = SERIAL_A;
    assert_ok(CALL(f, store_create_order, &s.order, "{}"));
    run_for(f, 2 * HOLD_MS);
    ask_number(f, "HSET order:%s expires 1", s.order.id); /* also where it comes to nothing */
    assert_int_equal(take_order(f, 0, SERIAL_A).exceeded, 1);
}

static void renewal_of_a_renewal_waits_for_the_longest_window(void **state) {
    struct fixture *f = *state;
    struct sample s;
    make_due(f, &s);
    const char *order = arena_strdup(f->arena, s.order.id);
    ask_number(f, "HSET order:%s replaces_serial " SERIAL_B, order);
    assert_int_equal(take_order(f, 0, SERIAL_A).exceeded, 1);
    ask_number(f, "HSET certificate:" SERIAL_A " issued %lld", (long long)now_seconds() - WINDOW - 1);
    assert_true(take_order(f, 0, SERIAL_A).is_exempt);
    note(f, NULL, 0, SERIAL_A);
    /* Who revokes his own renewals, again and again, pays; where we revoked we asked for the work. */
    ask_number(f, "HSET certificate:" SERIAL_A " status revoked by account:x");
    assert_int_equal(take_order(f, 0, SERIAL_A).exceeded, 1);
    ask_number(f, "HSET certificate:" SERIAL_A " by admin");
    assert_true(take_order(f, 0, SERIAL_A).is_exempt);
    note(f, NULL, 0, SERIAL_A);
    /* Its order is forgotten: only the age is left to go by. */
    ask_number(f, "DEL order:%s", order);
    assert_true(take_order(f, 0, SERIAL_A).is_exempt);
    note(f, NULL, 0, SERIAL_A);
    ask_number(f, "HSET certificate:" SERIAL_A " issued %lld", (long long)now_seconds());
    assert_int_equal(take_order(f, 0, SERIAL_A).exceeded, 1);
}

static void failed_name_pauses_ever_longer_and_failures_at_one_time_are_one(void **state) {
    struct fixture *f = *state;
    assert_int_equal(take(f, &pause_of_a, 1, NULL).exceeded, 0);
    for (int i = 0; i < 10; i++)
        note(f, "c:a.test", 0, NULL);
    assert_in_range(take(f, &pause_of_a, 1, NULL).retry_after_seconds, 1, 2);
    for (int i = 0; i < 3; i++) {
        ask_text(f, "SET limit:failed-checks:c:a.test 1:%d", i + 1);
        note(f, "c:a.test", 0, NULL);
    }
    assert_in_range(take(f, &pause_of_a, 1, NULL).retry_after_seconds, 15, 16);
    /* A clock that was set back by a day. */
    ask_text(f, "SET limit:failed-checks:c:a.test %lld:4", (now_seconds() + 86400LL) * 1000);
    assert_in_range(take(f, &pause_of_a, 1, NULL).retry_after_seconds, 299, 300);
}

static void failures_count_and_need_room_beforehand(void **state) {
    struct fixture *f = *state;
    const struct store_limit room = {.kind = "failures",
                                     .subject = "c",
                                     .mode = STORE_LIMIT_ROOM,
                                     .cost = 1,
                                     .exempt_cost = 1,
                                     .allowed = 3,
                                     .window_seconds = WINDOW};
    const char *names[] = {"c:1.test", "c:2.test", "c:3.test", "c:4.test", "c:5.test", "c:6.test"};
    for (int i = 0; i < 9; i++)
        assert_int_equal(take(f, &room, 1, NULL).exceeded, 0);
    for (size_t i = 0; i < 6; i++)
        note(f, names[i], 3, NULL);
    /* However many ran at the same time: no longer than the window until all room is back. */
    assert_in_range(take(f, &room, 1, NULL).retry_after_seconds, WINDOW / 3 - 1, WINDOW / 3);
    ask_text(f, "SET limit:failures:c %lld", (now_seconds() + 86400LL) * 1000);
    assert_in_range(take(f, &room, 1, NULL).retry_after_seconds, WINDOW / 3 - 1, WINDOW / 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        test_case(nothing_is_taken_where_one_limit_is_exceeded),
        test_case(exceeded_limit_is_told_by_its_number_among_its_likes),
        test_case(exemption_is_held_by_one_request_given_back_or_ended_by_time),
        test_case(exemption_is_not_for_what_goes_beyond_the_certificate),
        test_case(exemption_is_used_up_by_the_order_that_is_made),
        test_case(renewal_of_a_renewal_waits_for_the_longest_window),
        test_case(failed_name_pauses_ever_longer_and_failures_at_one_time_are_one),
        test_case(failures_count_and_need_room_beforehand),
    };
    return cmocka_run_group_tests(tests, start_group, end_group);
}
