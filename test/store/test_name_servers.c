/* Which name servers a new zone is assigned: never such that a delegation which may have been left behind, or
 * the one of today, would prove it; and how sets are kept and given up. */
#include <string.h>

#include "sample.h"

static const char *const names[] = {"ns1.p.test", "ns2.p.test", "ns3.p.test", "ns4.p.test", "ns5.p.test"};
static const struct store_delegation unknown = {.is_known = false};

static struct store_name_server_pool pool_of(size_t count, size_t per_zone) {
    return (struct store_name_server_pool){names, count, per_zone};
}

static struct store_delegation to(const char *const *servers, size_t count) {
    return (struct store_delegation){true, servers, count};
}

/* Each customer has a name of one letter. */
static const char *customer_of(struct fixture *f, const char *name) {
    struct store_customer customer;
    if (CALL(f, store_find_customer, f->arena, name, &customer) == ERROR_NOT_FOUND)
        assert_ok(CALL(f, store_create_customer, f->arena, name, &customer));
    return customer.id;
}

static struct store_zone add(struct fixture *f, const char *customer, struct store_name_server_pool pool,
                             struct store_delegation delegation) {
    struct store_zone zone;
    const char *id = customer_of(f, customer);
    assert_ok(CALL(f, store_create_zone, f->arena, "shop.test", id, &pool, &delegation, &zone, NULL));
    return zone;
}

static struct store_zone add_below(struct fixture *f, const char *customer) {
    const struct store_name_server_pool pool = pool_of(5, 2);
    const struct store_delegation none = {.is_known = true};
    struct store_zone zone;
    const char *id = customer_of(f, customer);
    assert_ok(CALL(f, store_create_zone, f->arena, "www.shop.test", id, &pool, &none, &zone, NULL));
    return zone;
}

static void refuse(struct fixture *f, const char *customer, struct store_name_server_pool pool,
                   struct store_delegation delegation, const char *text) {
    struct store_zone zone;
    const char *id = customer_of(f, customer);
    assert_code(CALL(f, store_create_zone, f->arena, "shop.test", id, &pool, &delegation, &zone, NULL),
                ERROR_LIMIT);
    if (strstr(f->error.message, text) == NULL)
        fail_msg("not \"%s\": %s", text, f->error.message);
}

static void check(struct fixture *f, struct store_zone *zone, bool is_ok,
                  struct store_delegation delegation) {
    static unsigned counter;
    const struct store_zone_check check = {.zone_id = zone->id,
                                           .is_ok = is_ok,
                                           .is_definite_no = !is_ok && delegation.is_known,
                                           .reason = "because",
                                           .evidence = arena_printf(f->arena, "{\"n\":%u}", counter++),
                                           .checked_at = now_seconds(),
                                           .moved_after = 3,
                                           .delegation = delegation};
    assert_ok(CALL(f, store_record_zone_check, f->arena, &check, zone));
}

static void drop(struct fixture *f, const struct store_zone *zone) {
    assert_ok(CALL(f, store_delete_zone, zone->id, NULL));
}

static void look(struct fixture *f, struct store_delegation delegation) {
    assert_ok(CALL(f, store_record_delegation, "shop.test", &delegation));
}

static const char *set_of(struct fixture *f, const struct store_zone *zone) {
    const char *text = "";
    for (size_t i = 0; i < zone->name_server_count; i++)
        text = arena_printf(f->arena, "%s%.3s", text, zone->name_servers[i]);
    return text;
}

/* As it is loaded for a check. */
static const char *rivals_of(struct fixture *f, const struct store_zone *zone) {
    struct store_zone found;
    const char *text = "";
    assert_ok(CALL(f, store_find_zone, f->arena, zone->id, NULL, &found));
    for (size_t i = 0; i < found.rival_count; i++)
        text = arena_printf(f->arena, "%s%s%s", text, i == 0 ? "" : " ", found.rivals[i]);
    return text;
}

/* Off-boarded, with its delegation left behind. */
static struct store_zone leave_behind(struct fixture *f, const char *customer,
                                      struct store_name_server_pool pool, const char *const *servers,
                                      size_t count) {
    struct store_zone zone = add(f, customer, pool, not_delegated);
    check(f, &zone, true, to(servers, count));
    assert_int_equal(zone.status, ZONE_ACTIVE);
    drop(f, &zone);
    return zone;
}

static void what_is_left_behind_goes_to_nobody_but_the_former_holder(void **state) {
    struct fixture *f = *state;
    leave_behind(f, "v", pool_of(3, 2), names, 2);
    for (int i = 0; i < 2; i++) {
        struct store_zone zone = add(f, i == 0 ? "a" : "b", pool_of(3, 2), not_delegated);
        assert_string_not_equal(set_of(f, &zone), "ns1ns2");
    }
    refuse(f, "c", pool_of(3, 2), not_delegated, "needs a pool of 4");
    struct store_zone back = add(f, "v", pool_of(3, 2), to(names, 2));
    assert_string_equal(set_of(f, &back), "ns1ns2");
    assert_string_equal(rivals_of(f, &back), "ns1.p.test ns2.p.test"); /* alone, these are a's and b's too */
    check(f, &back, true, to(names, 2));
    assert_int_equal(back.status, ZONE_ACTIVE);
}

static void left_behind_in_part_takes_every_set_that_it_fits(void **state) {
    static const char *const one[] = {"ns2.p.test"};
    struct fixture *f = *state;
    leave_behind(f, "v", pool_of(4, 3), names, 2); /* of three */
    struct store_zone zone = add(f, "a", pool_of(4, 3), not_delegated);
    assert_string_equal(set_of(f, &zone), "ns1ns3ns4");
    drop(f, &zone);
    look(f, to(one, 1)); /* of v's two servers one is left */
    zone = add(f, "b", pool_of(5, 2), to(one, 1));
    assert_string_equal(set_of(f, &zone), "ns1ns3");
}

static void delegation_of_today_is_nobodys_proof(void **state) {
    struct fixture *f = *state;
    struct store_zone zone = add(f, "a", pool_of(3, 2), to(names, 2));
    assert_string_equal(set_of(f, &zone), "ns1ns3");
    zone = add(f, "b", pool_of(5, 2), to(names, 1));
    assert_string_equal(set_of(f, &zone), "ns2ns4");
    refuse(f, "c", pool_of(2, 2), to(names, 2), "pool of 3");
}

static void sets_that_hold_one_another_are_one(void **state) {
    struct fixture *f = *state;
    struct store_zone zone = add(f, "a", pool_of(5, 2), not_delegated);
    assert_string_equal(set_of(f, &zone), "ns1ns2");
    zone = add(f, "b", pool_of(5, 3), not_delegated);   /* name_servers_per_zone was changed */
    assert_string_equal(set_of(f, &zone), "ns3ns4ns5"); /* with none of the other's */
    zone = add(f, "c", pool_of(5, 2), not_delegated);
    assert_string_equal(set_of(f, &zone), "ns1ns3");
}

static void sets_that_were_never_delegated_are_free(void **state) {
    struct fixture *f = *state;
    for (int i = 0; i < 12; i++) {
        struct store_zone zone = add(f, arena_printf(f->arena, "%c", 'a' + i), pool_of(3, 2), not_delegated);
        check(f, &zone, false, not_delegated);
        drop(f, &zone);
    }
    assert_in_range(ask_number(f, "HLEN name-sets:shop.test"), 1, 3);
    f->config.name_server_look_seconds = 0;
    look(f, not_delegated);
    assert_int_equal(ask_number(f, "EXISTS name-sets:shop.test"), 0);
    assert_int_equal(ask_number(f, "ZCARD names-due"), 0);
}

static void told_sets_are_passed_over_while_there_are_others(void **state) {
    struct fixture *f = *state;
    struct store_zone zone = add(f, "a", pool_of(3, 2), not_delegated);
    drop(f, &zone);
    struct store_zone other = add(f, "b", pool_of(3, 2), not_delegated);
    assert_string_equal(set_of(f, &zone), "ns1ns2");
    assert_string_equal(set_of(f, &other), "ns1ns3");
    zone = add(f, "a", pool_of(3, 2), not_delegated);
    assert_string_equal(set_of(f, &zone), "ns1ns2");
}

static void delegation_that_comes_after_the_deletion_is_seen(void **state) {
    struct fixture *f = *state;
    struct store_zone_list due;
    struct store_zone zone = add(f, "a", pool_of(3, 2), not_delegated);
    check(f, &zone, false, not_delegated);
    drop(f, &zone);
    assert_ok(CALL(f, store_due_names, f->arena, 10, 60, &due));
    assert_int_equal(due.count, 1);
    assert_string_equal(due.items[0].name, "shop.test");
    assert_ok(CALL(f, store_due_names, f->arena, 10, 60, &due));
    assert_int_equal(due.count, 0);
    look(f, to(names, 2));
    assert_in_range(ask_number(f, "ZSCORE names-due shop.test"), now_seconds() + 500000,
                    now_seconds() + 700000);
    zone = add(f, "b", pool_of(3, 2), not_delegated);
    assert_string_equal(set_of(f, &zone), "ns1ns3");
    zone = add(f, "c", pool_of(3, 2), not_delegated);
    assert_string_equal(set_of(f, &zone), "ns2ns3");
    refuse(f, "d", pool_of(3, 2), not_delegated, "pool of 4");
}

static void partly_left_behind_is_not_given_up(void **state) {
    static const char *const partly[] = {"ns1.p.test", "ns.other.test"};
    struct fixture *f = *state;
    leave_behind(f, "v", pool_of(3, 2), names, 2);
    f->config.name_server_release_seconds = 0;
    look(f, to(partly, 2));
    assert_int_equal(ask_number(f, "HLEN name-sets:shop.test"), 1);
}

static void held_sets_are_given_up_when_seen_elsewhere_long_enough(void **state) {
    static const char *const elsewhere[] = {"ns.other.test"};
    struct fixture *f = *state;
    leave_behind(f, "v", pool_of(3, 2), names, 2);
    look(f, to(elsewhere, 1));
    assert_int_equal(ask_number(f, "HLEN name-sets:shop.test"), 1);
    f->config.name_server_release_seconds = 0;
    look(f, unknown); /* proves nothing */
    assert_int_equal(ask_number(f, "HLEN name-sets:shop.test"), 1);
    assert_in_range(ask_number(f, "ZSCORE names-due shop.test"), now_seconds() + 5000, now_seconds() + 7000);
    look(f, not_delegated);
    assert_int_equal(ask_number(f, "HLEN name-sets:shop.test"), 0);
    struct store_zone zone = add(f, "a", pool_of(3, 2), not_delegated);
    assert_string_equal(set_of(f, &zone), "ns1ns2");
}

static void coming_back_begins_the_time_elsewhere_anew(void **state) {
    struct fixture *f = *state;
    leave_behind(f, "v", pool_of(3, 2), names, 2);
    look(f, not_delegated);
    look(f, to(names, 2));
    assert_int_equal(ask_number(f, "ZADD names-due 1 shop.test"), 0);
    f->config.name_server_release_seconds = 1000;
    look(f, not_delegated);
    assert_int_equal(ask_number(f, "HLEN name-sets:shop.test"), 1);
    f->config.name_server_hold_seconds = 0; /* nothing is for ever */
    look(f, unknown);
    assert_int_equal(ask_number(f, "HLEN name-sets:shop.test"), 0);
}

static void new_holder_does_not_keep_the_former_ones_set(void **state) {
    static const char *const next[] = {"ns1.p.test", "ns3.p.test"};
    struct fixture *f = *state;
    leave_behind(f, "v", pool_of(3, 2), names, 2);
    struct store_zone zone = add(f, "a", pool_of(3, 2), not_delegated);
    assert_string_equal(set_of(f, &zone), "ns1ns3"); /* shares ns1 with what v left behind */
    check(f, &zone, true, to(next, 2));
    f->config.name_server_release_seconds = 0;
    check(f, &zone, true, to(next, 2));
    assert_int_equal(ask_number(f, "HEXISTS name-sets:shop.test %b", "ns1.p.test ns2.p.test", (size_t)21), 0);
    assert_int_equal(ask_number(f, "HLEN name-sets:shop.test"), 1);
}

static void squatter_beside_the_owner_uses_up_nothing(void **state) {
    struct fixture *f = *state;
    struct store_zone owner = add(f, "v", pool_of(3, 2), not_delegated);
    check(f, &owner, true, to(names, 2));
    for (int i = 0; i < 6; i++) { /* each shares one server with the owner */
        struct store_zone zone = add(f, arena_printf(f->arena, "%c", 'a' + i), pool_of(3, 2), to(names, 2));
        check(f, &zone, false, to(names, 2));
        drop(f, &zone);
    }
    struct store_zone zone = add(f, "x", pool_of(3, 2), to(names, 2));
    assert_string_not_equal(set_of(f, &zone), "ns1ns2");
}

static void zone_added_while_dns_was_away_needs_a_change(void **state) {
    struct fixture *f = *state;
    struct store_zone zone = add(f, "a", pool_of(3, 2), unknown);
    assert_string_equal(rivals_of(f, &zone), "ns1.p.test,ns2.p.test"); /* no delegation to these is a proof */
    check(f, &zone, false, unknown);
    assert_string_equal(rivals_of(f, &zone), "ns1.p.test,ns2.p.test");
    check(f, &zone, false, to(names, 2));
    assert_string_not_equal(rivals_of(f, &zone), "");
    drop(f, &zone);
    zone = add(f, "a", pool_of(3, 2), to(names, 2)); /* that was not his */
    assert_string_equal(set_of(f, &zone), "ns1ns3");
    drop(f, &zone);
    zone = add(f, "b", pool_of(3, 2), unknown);
    check(f, &zone, false, not_delegated);
    assert_null(strstr(rivals_of(f, &zone), ","));
}

static void former_holder_is_not_blind(void **state) {
    struct fixture *f = *state;
    leave_behind(f, "v", pool_of(3, 2), names, 2);
    struct store_zone zone = add(f, "v", pool_of(3, 2), unknown);
    assert_string_equal(set_of(f, &zone), "ns1ns2");
    assert_string_equal(rivals_of(f, &zone), "");
}

static void large_pool_serves_more_customers_than_any_list(void **state) {
    struct fixture *f = *state;
    const char *many[20];
    for (int i = 0; i < 20; i++)
        many[i] = arena_printf(f->arena, "ns%02d.p.test", i);
    const struct store_name_server_pool pool = {many, 20, 2};
    for (int i = 0; i < 190; i++)
        add(f, arena_printf(f->arena, "c%d", i), pool, not_delegated);
    refuse(f, "last", pool, not_delegated, "needs a pool of 21");
    assert_non_null(strstr(f->error.message, "190"));
}

/* One server with two zones of a name, or with a zone and another customer's below, hinders the owner. */
static void many_who_add_a_name_share_with_one_another_before_the_owner(void **state) {
    static const char *const expected[] = {"ns3ns4", "ns3ns5", "ns4ns5", "ns1ns3"};
    struct fixture *f = *state;
    struct store_zone owners = add(f, "o", pool_of(5, 2), not_delegated);
    check(f, &owners, true, to(names, 2));
    for (int i = 0; i < 3; i++) { /* then none is left */
        struct store_zone below = add_below(f, arena_printf(f->arena, "m%d", i));
        assert_string_equal(set_of(f, &below), expected[i]);
    }
    for (int i = 0; i < 4; i++) {
        struct store_zone same = add(f, arena_printf(f->arena, "m%d", i), pool_of(5, 2), not_delegated);
        assert_string_equal(set_of(f, &same), expected[i]);
    }
}

/* Where all servers of an active zone had other zones of its name, no zone below could be proven. */
static void owner_keeps_a_server_that_no_other_zone_of_the_name_has(void **state) {
    static const char *const expected[] = {"ns3ns4", "ns1ns3", "ns1ns4"};
    struct fixture *f = *state;
    struct store_zone owners = add(f, "v", pool_of(4, 2), not_delegated), last;
    check(f, &owners, true, to(names, 2));
    for (int i = 0; i < 3; i++) {
        last = add(f, arena_printf(f->arena, "%c", 'a' + i), pool_of(4, 2), to(names, 2));
        assert_string_equal(set_of(f, &last), expected[i]);
    }
    refuse(f, "x", pool_of(4, 2), to(names, 2),
           "keeps free of further zones of this name; another one needs a pool of 5");
    assert_ok(CALL(f, store_set_zone_paused, f->arena, owners.id, true, &owners, NULL));
    refuse(f, "x", pool_of(4, 2), to(names, 2), "or that one which was never delegated is deleted");
    drop(f, &last); /* servers may still have it */
    struct store_zone again = add(f, "x", pool_of(4, 2), to(names, 2));
    assert_string_equal(set_of(f, &again), "ns1ns4");
    refuse(f, "y", pool_of(4, 2), to(names, 2), "needs a pool of 5");
}

static void the_server_that_an_owner_keeps_has_no_active_zone_below(void **state) {
    struct fixture *f = *state;
    struct store_zone owners = add(f, "v", pool_of(3, 2), not_delegated);
    check(f, &owners, true, to(names, 2));
    struct store_zone below = add_below(f, "d");
    ask_number(f, "HSET zone:%s servers %b activated 1", below.id, "ns2.p.test ns3.p.test", (size_t)21);
    struct store_zone zone = add(f, "a", pool_of(3, 2), to(names, 2));
    assert_string_equal(set_of(f, &zone), "ns2ns3");
    refuse(f, "b", pool_of(3, 2), to(names, 2), "needs a pool of 4");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        test_case(what_is_left_behind_goes_to_nobody_but_the_former_holder),
        test_case(left_behind_in_part_takes_every_set_that_it_fits),
        test_case(delegation_of_today_is_nobodys_proof),
        test_case(sets_that_hold_one_another_are_one),
        test_case(sets_that_were_never_delegated_are_free),
        test_case(told_sets_are_passed_over_while_there_are_others),
        test_case(delegation_that_comes_after_the_deletion_is_seen),
        test_case(partly_left_behind_is_not_given_up),
        test_case(held_sets_are_given_up_when_seen_elsewhere_long_enough),
        test_case(coming_back_begins_the_time_elsewhere_anew),
        test_case(new_holder_does_not_keep_the_former_ones_set),
        test_case(squatter_beside_the_owner_uses_up_nothing),
        test_case(zone_added_while_dns_was_away_needs_a_change),
        test_case(former_holder_is_not_blind),
        test_case(many_who_add_a_name_share_with_one_another_before_the_owner),
        test_case(owner_keeps_a_server_that_no_other_zone_of_the_name_has),
        test_case(the_server_that_an_owner_keeps_has_no_active_zone_below),
        test_case(large_pool_serves_more_customers_than_any_list),
    };
    return cmocka_run_group_tests(tests, start_group, end_group);
}
