/* Rights that a replay brings (apply_right.lua): what is not here gets nothing, the newest word counts in
 * whatever order they come, and the same twice changes nothing. */
#include <stdlib.h>
#include <string.h>

#include "originca/json.h"
#include "sample.h"

static unsigned long long sequence;

/* A record about `subject` that counts from `at_ms` on. */
static void replay(struct fixture *f, const char *kind, const char *member, const char *subject,
                   long long at_ms) {
    struct error error;
    const char *text = arena_printf(
        f->arena, "{\"seq\":%llu,\"type\":\"%s\",\"%s\":\"%s\",\"at_ms\":%lld,\"by\":\"admin:0\"}",
        ++sequence, kind, member, subject, at_ms);
    json_t *record = json_parse(f->arena, text, strlen(text), &error);
    assert_non_null(record);
    assert_ok(CALL(f, store_apply_ledger_record, "host", record, 60));
}

static long long now_ms(void) {
    return (long long)now_seconds() * 1000;
}

static enum store_zone_status status_of(struct fixture *f, const struct store_zone *zone) {
    struct store_zone found;
    assert_ok(CALL(f, store_load_zone, f->arena, zone->id, &found));
    return found.status;
}

static void the_newest_word_about_a_zone_counts_in_any_order(void **state) {
    struct fixture *f = *state;
    struct sample s;
    make_sample(f, &s, "a", "shop.test");
    long long now = now_ms();
    replay(f, "zone-resumed", "zone", s.zone.id, now + 20);
    replay(f, "zone-paused", "zone", s.zone.id, now + 10); /* another host's, that came late */
    assert_int_equal(status_of(f, &s.zone), ZONE_ACTIVE);
    replay(f, "zone-paused", "zone", s.zone.id, now + 20); /* of two of one moment the one that takes away */
    assert_int_equal(status_of(f, &s.zone), ZONE_PAUSED);
    replay(f, "zone-resumed", "zone", s.zone.id, now + 20);
    assert_int_equal(status_of(f, &s.zone), ZONE_PAUSED);
    replay(f, "zone-resumed", "zone", s.zone.id, now + 21);
    assert_int_equal(status_of(f, &s.zone), ZONE_ACTIVE);
}

static void an_end_is_final(void **state) {
    struct fixture *f = *state;
    struct sample s;
    make_sample(f, &s, "a", "shop.test");
    replay(f, "zone-ended", "zone", s.zone.id, 1); /* however old the word */
    assert_int_equal(status_of(f, &s.zone), ZONE_DELETED);
    for (size_t i = 0; i < 3; i++) {
        static const char *const kinds[] = {"zone-resumed", "zone-returned", "zone-added"};
        replay(f, kinds[i], "zone", s.zone.id, now_ms() + 1000);
        assert_int_equal(status_of(f, &s.zone), ZONE_DELETED);
    }
    replay(f, "account-deactivated", "account", s.account.id, 1);
    assert_string_equal(ask_text(f, "HGET account:%s status", s.account.id), "deactivated");
}

static void a_check_that_is_newer_than_a_move_knows_better(void **state) {
    struct fixture *f = *state;
    struct sample s;
    make_sample(f, &s, "a", "shop.test");
    long long checked = strtoll(ask_text(f, "HGET zone:%s checked", s.zone.id), NULL, 10) * 1000;
    replay(f, "zone-moved", "zone", s.zone.id, checked - 1);
    assert_int_equal(status_of(f, &s.zone), ZONE_ACTIVE);
    replay(f, "zone-moved", "zone", s.zone.id, checked + 1);
    assert_int_equal(status_of(f, &s.zone), ZONE_MOVED);
    replay(f, "zone-returned", "zone", s.zone.id, checked + 1); /* not newer, and it gives */
    assert_int_equal(status_of(f, &s.zone), ZONE_MOVED);
    replay(f, "zone-returned", "zone", s.zone.id, checked + 2);
    assert_int_equal(status_of(f, &s.zone), ZONE_ACTIVE);
}

static void a_move_tells_of_a_check_that_is_newer_than_an_orders(void **state) {
    struct fixture *f = *state;
    struct sample s;
    make_sample(f, &s, "a", "shop.test");
    long long checked = strtoll(ask_text(f, "HGET zone:%s checked", s.zone.id), NULL, 10);
    replay(f, "zone-moved", "zone", s.zone.id, (checked + 5) * 1000 + 7);
    assert_int_equal(ask_number(f, "HGET zone:%s checked", s.zone.id), checked + 5);
    assert_int_equal(ask_number(f, "HGET zone:%s negatives", s.zone.id), 1);
    replay(f, "zone-returned", "zone", s.zone.id, (checked + 6) * 1000);
    assert_int_equal(ask_number(f, "HGET zone:%s negatives", s.zone.id), 0);
}

static void a_customer_is_suspended_by_the_newest_word(void **state) {
    struct fixture *f = *state;
    struct sample s;
    make_sample(f, &s, "a", "shop.test");
    long long now = now_ms();
    replay(f, "customer-suspended", "customer", s.customer.id, now);
    assert_int_equal(ask_number(f, "HEXISTS customer:%s suspended", s.customer.id), 1);
    replay(f, "customer-resumed", "customer", s.customer.id, now - 1);
    assert_int_equal(ask_number(f, "HEXISTS customer:%s suspended", s.customer.id), 1);
    replay(f, "customer-resumed", "customer", s.customer.id, now + 1);
    assert_int_equal(ask_number(f, "HEXISTS customer:%s suspended", s.customer.id), 0);
}

static void what_is_not_here_gets_nothing(void **state) {
    struct fixture *f = *state;
    static const char *const words[][2] = {
        {"zone-paused", "zone"},           {"zone-resumed", "zone"}, {"zone-moved", "zone"},
        {"zone-returned", "zone"},         {"zone-ended", "zone"},   {"customer-suspended", "customer"},
        {"customer-resumed", "customer"},  {"api-key-ended", "key"}, {"eab-key-ended", "kid"},
        {"account-deactivated", "account"}};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        replay(f, words[i][0], words[i][1], "nobody", now_ms());
    assert_int_equal(
        ask_number(f, "EXISTS zone:nobody customer:nobody api-key:nobody eab:nobody account:nobody"), 0);
    assert_int_equal(ask_number(f, "EXISTS zones zones:deleted zones-lost customers accounts"), 0);
}

static void the_same_twice_changes_nothing(void **state) {
    struct fixture *f = *state;
    struct sample s;
    make_sample(f, &s, "a", "shop.test");
    long long at = now_ms();
    for (int round = 0; round < 2; round++) {
        replay(f, "zone-paused", "zone", s.zone.id, at);
        replay(f, "account-deactivated", "account", s.account.id, at);
    }
    assert_int_equal(status_of(f, &s.zone), ZONE_PAUSED);
    assert_string_equal(ask_text(f, "HGET zone:%s resumes", s.zone.id), "active");
    assert_int_equal(ask_number(f, "ZCARD zones:paused"), 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        test_case(the_newest_word_about_a_zone_counts_in_any_order),
        test_case(an_end_is_final),
        test_case(a_check_that_is_newer_than_a_move_knows_better),
        test_case(a_move_tells_of_a_check_that_is_newer_than_an_orders),
        test_case(a_customer_is_suspended_by_the_newest_word),
        test_case(what_is_not_here_gets_nothing),
        test_case(the_same_twice_changes_nothing),
    };
    return cmocka_run_group_tests(tests, start_group, end_group);
}
