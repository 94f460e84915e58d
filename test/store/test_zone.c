/* Zones: uniqueness, name servers, status changes, the search for a name's zone, deletion, leases. */
#include <string.h>

#include "sample.h"

static const char *const servers[] = {"ns1.p.test", "ns2.p.test", "ns3.p.test"};
static const struct store_name_server_pool three_sets = {servers, 3, 2};

static void record(struct fixture *f, struct store_zone *zone, bool is_ok, bool is_no, time_t checked_at) {
    static unsigned counter;
    const struct store_zone_check check = {.zone_id = zone->id,
                                           .is_ok = is_ok,
                                           .is_definite_no = is_no,
                                           .reason = "because",
                                           .evidence = arena_printf(f->arena, "{\"n\":%u}", counter++),
                                           .checked_at = checked_at,
                                           .moved_after = 3};
    assert_ok(CALL(f, store_record_zone_check, f->arena, &check, zone));
}

static void customers_sharing_a_name_get_different_servers(void **state) {
    struct fixture *f = *state;
    struct store_customer a, b, c, d;
    struct store_zone za, zb, zc, again;
    assert_ok(CALL(f, store_create_customer, f->arena, "a", &a));
    assert_ok(CALL(f, store_create_customer, f->arena, "b", &b));
    assert_ok(CALL(f, store_create_customer, f->arena, "c", &c));
    assert_ok(CALL(f, store_create_customer, f->arena, "d", &d));
    assert_ok(
        CALL(f, store_create_zone, f->arena, "shop.test", a.id, &three_sets, &not_delegated, &za, NULL));
    assert_ok(
        CALL(f, store_create_zone, f->arena, "shop.test", b.id, &three_sets, &not_delegated, &zb, NULL));
    assert_int_equal(za.name_server_count, 2);
    assert_string_equal(za.name_servers[1], "ns2.p.test");
    assert_string_equal(zb.name_servers[1], "ns3.p.test");
    assert_int_equal(za.status, ZONE_PENDING);
    assert_code(
        CALL(f, store_create_zone, f->arena, "shop.test", a.id, &three_sets, &not_delegated, &again, NULL),
        ERROR_CONFLICT);
    assert_string_equal(again.id, za.id);
    assert_ok(
        CALL(f, store_create_zone, f->arena, "shop.test", c.id, &three_sets, &not_delegated, &zc, NULL));
    assert_code(
        CALL(f, store_create_zone, f->arena, "shop.test", d.id, &three_sets, &not_delegated, &again, NULL),
        ERROR_LIMIT);
    assert_non_null(strstr(f->error.message, "needs a pool of 4"));
    assert_code(
        CALL(f, store_create_zone, f->arena, "x.test", "nobody", &three_sets, &not_delegated, &again, NULL),
        ERROR_NOT_FOUND);
}

static void zone_below_another_customers_shares_no_server_with_it_where_that_can_be(void **state) {
    static const char *const apart[] = {"ns1.p.test", "ns4.p.test", "ns3.p.test", "ns5.p.test"};
    static const struct store_name_server_pool sets = {apart, 4, 2}, shared_sets = {apart, 2, 2};
    struct fixture *f = *state;
    struct store_customer a, b;
    struct store_zone above, below;
    assert_ok(CALL(f, store_create_customer, f->arena, "a", &a));
    assert_ok(CALL(f, store_create_customer, f->arena, "b", &b));
    assert_ok(
        CALL(f, store_create_zone, f->arena, "shop.test", a.id, &three_sets, &not_delegated, &above, NULL));
    assert_ok(
        CALL(f, store_create_zone, f->arena, "one.shop.test", b.id, &sets, &not_delegated, &below, NULL));
    assert_string_equal(below.name_servers[0], "ns3.p.test"); /* although nobody has proven the one above */
    record(f, &above, true, false, now_seconds());
    assert_ok(
        CALL(f, store_create_zone, f->arena, "two.shop.test", b.id, &sets, &not_delegated, &below, NULL));
    assert_string_equal(below.name_servers[0], "ns3.p.test");
    assert_ok(
        CALL(f, store_create_zone, f->arena, "three.shop.test", a.id, &sets, &not_delegated, &below, NULL));
    assert_string_equal(below.name_servers[0], "ns1.p.test");
    assert_ok(CALL(f, store_create_zone, f->arena, "four.shop.test", b.id, &shared_sets, &not_delegated,
                   &below, NULL));
    assert_string_equal(below.name_servers[0], "ns1.p.test"); /* there is no other */
}

static void zone_above_another_customers_shares_no_server_with_it_where_that_can_be(void **state) {
    static const char *const pool[] = {"ns1.p.test", "ns2.p.test", "ns3.p.test",
                                       "ns4.p.test", "ns5.p.test", "ns6.p.test"};
    static const struct store_name_server_pool first = {pool, 2, 2}, second = {pool + 2, 2, 2},
                                               whole = {pool, 6, 2}, both = {pool, 4, 2};
    struct fixture *f = *state;
    struct store_customer a, b;
    struct store_zone stray, active, zone;
    assert_ok(CALL(f, store_create_customer, f->arena, "a", &a));
    assert_ok(CALL(f, store_create_customer, f->arena, "b", &b));
    assert_ok(
        CALL(f, store_create_zone, f->arena, "www.shop.test", a.id, &first, &not_delegated, &stray, NULL));
    assert_ok(CALL(f, store_create_zone, f->arena, "x.app.shop.test", a.id, &second, &not_delegated, &active,
                   NULL));
    record(f, &active, true, false, now_seconds());
    /* Names that look like one below but are none. */
    assert_ok(CALL(f, store_create_zone, f->arena, "shop-x.test", b.id, &whole, &not_delegated, &zone, NULL));
    assert_string_equal(zone.name_servers[0], "ns1.p.test");
    assert_ok(CALL(f, store_create_zone, f->arena, "shop.test", b.id, &whole, &not_delegated, &zone, NULL));
    assert_string_equal(zone.name_servers[0], "ns5.p.test");
    /* Rather with the one that was never active: the delegation of the other would be hidden. */
    assert_ok(CALL(f, store_delete_zone, zone.id, NULL));
    assert_ok(CALL(f, store_create_zone, f->arena, "shop.test", b.id, &both, &not_delegated, &zone, NULL));
    assert_string_equal(zone.name_servers[0], "ns1.p.test");
}

static void zone_below_from_before_the_index_is_known_after_its_next_check(void **state) {
    static const char *const pool[] = {"ns1.p.test", "ns2.p.test", "ns3.p.test", "ns4.p.test"};
    static const struct store_name_server_pool sets = {pool, 4, 2};
    struct fixture *f = *state;
    struct store_customer a, b;
    struct store_zone below, above;
    assert_ok(CALL(f, store_create_customer, f->arena, "a", &a));
    assert_ok(CALL(f, store_create_customer, f->arena, "b", &b));
    assert_ok(
        CALL(f, store_create_zone, f->arena, "www.shop.test", a.id, &sets, &not_delegated, &below, NULL));
    assert_int_equal(ask_number(f, "DEL zones-by-name"), 1);
    record(f, &below, false, false, now_seconds());
    assert_ok(CALL(f, store_create_zone, f->arena, "shop.test", b.id, &sets, &not_delegated, &above, NULL));
    assert_string_equal(above.name_servers[0], "ns3.p.test");
}

static void zone_is_found_by_id_name_and_customer(void **state) {
    struct fixture *f = *state;
    struct store_customer a, b;
    struct store_zone za, zb, found;
    assert_ok(CALL(f, store_create_customer, f->arena, "a", &a));
    assert_ok(CALL(f, store_create_customer, f->arena, "b", &b));
    make_zone(f, "shop.test", a.id, &za);
    assert_ok(CALL(f, store_find_zone, f->arena, "shop.test", NULL, &found));
    assert_string_equal(found.id, za.id);
    make_zone(f, "shop.test", b.id, &zb);
    assert_code(CALL(f, store_find_zone, f->arena, "shop.test", NULL, &found), ERROR_CONFLICT);
    assert_ok(CALL(f, store_find_zone, f->arena, "shop.test", b.id, &found));
    assert_string_equal(found.id, zb.id);
    activate_zone(f, &zb);
    assert_ok(CALL(f, store_find_zone, f->arena, "shop.test", NULL, &found));
    assert_string_equal(found.id, zb.id);
    assert_ok(CALL(f, store_find_zone, f->arena, za.id, NULL, &found));
    assert_string_equal(found.customer, a.id);
    assert_code(CALL(f, store_find_zone, f->arena, za.id, b.id, &found), ERROR_NOT_FOUND);
    assert_code(CALL(f, store_find_zone, f->arena, "other.test", NULL, &found), ERROR_NOT_FOUND);
    assert_ok(CALL(f, store_load_zone, f->arena, zb.id, &found));
    assert_int_equal(found.status, ZONE_ACTIVE);
    assert_string_equal(found.evidence, "{\"ok\":1}");
}

static void status_follows_the_checks(void **state) {
    struct fixture *f = *state;
    struct store_customer a;
    struct store_zone zone;
    time_t at = now_seconds();
    assert_ok(CALL(f, store_create_customer, f->arena, "a", &a));
    make_zone(f, "shop.test", a.id, &zone);
    record(f, &zone, false, true, at);
    assert_int_equal(zone.status, ZONE_PENDING);
    assert_int_equal(zone.negatives, 1);
    record(f, &zone, true, false, ++at);
    assert_int_equal(zone.status, ZONE_ACTIVE);
    assert_int_equal(zone.negatives, 0);
    assert_true(zone.activated_at > 0);
    record(f, &zone, false, true, ++at);
    record(f, &zone, false, false, ++at); /* a failure of DNS is no answer */
    record(f, &zone, false, true, ++at);
    assert_int_equal(zone.status, ZONE_ACTIVE);
    assert_int_equal(zone.negatives, 2);
    record(f, &zone, false, true, ++at);
    assert_int_equal(zone.status, ZONE_MOVED);
    record(f, &zone, true, false, at - 3); /* older than what is known */
    assert_int_equal(zone.status, ZONE_MOVED);
    record(f, &zone, true, false, ++at);
    assert_int_equal(zone.status, ZONE_ACTIVE);
}

static void repeated_check_counts_once(void **state) {
    struct fixture *f = *state;
    struct store_customer a;
    struct store_zone zone;
    assert_ok(CALL(f, store_create_customer, f->arena, "a", &a));
    make_zone(f, "shop.test", a.id, &zone);
    const struct store_zone_check check = {.zone_id = zone.id,
                                           .is_definite_no = true,
                                           .reason = "no",
                                           .evidence = "{}",
                                           .checked_at = now_seconds(),
                                           .moved_after = 3};
    for (int i = 0; i < 3; i++)
        assert_ok(CALL(f, store_record_zone_check, f->arena, &check, &zone));
    assert_int_equal(zone.negatives, 1);
}

static void becoming_active_moves_the_other_customers_zone(void **state) {
    struct fixture *f = *state;
    struct store_customer a, b;
    struct store_zone za, zb;
    struct store_stats stats;
    assert_ok(CALL(f, store_create_customer, f->arena, "a", &a));
    assert_ok(CALL(f, store_create_customer, f->arena, "b", &b));
    make_zone(f, "shop.test", a.id, &za);
    make_zone(f, "shop.test", b.id, &zb);
    activate_zone(f, &za);
    activate_zone(f, &zb);
    assert_ok(CALL(f, store_load_zone, f->arena, za.id, &za));
    assert_int_equal(za.status, ZONE_MOVED);
    assert_ok(CALL(f, store_load_stats, f->arena, &stats));
    assert_int_equal(stats.zones, 2);
    assert_int_equal(stats.zones_by_status[ZONE_ACTIVE], 1);
    assert_int_equal(stats.zones_by_status[ZONE_MOVED], 1);
}

static void pausing_keeps_the_former_status(void **state) {
    struct fixture *f = *state;
    struct sample s;
    struct store_customer b;
    struct store_zone zb, zones[1];
    static const char *const names[] = {"www.shop.test"};
    make_sample(f, &s, "a", "shop.test");
    assert_ok(CALL(f, store_set_zone_paused, f->arena, s.zone.id, true, &s.zone, NULL));
    assert_ok(CALL(f, store_set_zone_paused, f->arena, s.zone.id, true, &s.zone, NULL));
    assert_int_equal(s.zone.status, ZONE_PAUSED);
    assert_code(CALL(f, store_zones_of_names, f->arena, NULL, "", names, 1, zones), ERROR_STOPPED);
    record(f, &s.zone, true, false, now_seconds() + 1);
    assert_int_equal(s.zone.status, ZONE_PAUSED);
    assert_ok(CALL(f, store_set_zone_paused, f->arena, s.zone.id, false, &s.zone, NULL));
    assert_int_equal(s.zone.status, ZONE_ACTIVE);
    assert_ok(CALL(f, store_zones_of_names, f->arena, NULL, "", names, 1, zones));
    assert_string_equal(zones[0].id, s.zone.id);
    /* Whoever became active meanwhile keeps the name. */
    assert_ok(CALL(f, store_set_zone_paused, f->arena, s.zone.id, true, &s.zone, NULL));
    assert_ok(CALL(f, store_create_customer, f->arena, "b", &b));
    make_zone(f, "shop.test", b.id, &zb);
    activate_zone(f, &zb);
    assert_ok(CALL(f, store_set_zone_paused, f->arena, s.zone.id, false, &s.zone, NULL));
    assert_int_equal(s.zone.status, ZONE_MOVED);
}

static void name_belongs_to_the_zone_of_its_longest_suffix(void **state) {
    struct fixture *f = *state;
    struct sample s, other;
    struct store_zone sub, found[6];
    static const char *const names[] = {"shop.test",         "www.shop.test", "*.dev.shop.test",
                                        "a.b.dev.shop.test", "xshop.test",    "www.other.test"};
    make_sample(f, &s, "a", "shop.test");
    make_sample(f, &other, "b", "other.test");
    make_zone(f, "dev.shop.test", s.customer.id, &sub);
    assert_ok(CALL(f, store_zones_of_names, f->arena, s.customer.id, "", names, 6, found));
    assert_string_equal(found[0].id, s.zone.id);
    assert_string_equal(found[1].id, s.zone.id);
    assert_string_equal(found[2].id, sub.id);
    assert_string_equal(found[3].id, sub.id);
    assert_int_equal(found[3].name_server_count, 2);
    assert_null(found[4].id);
    assert_null(found[5].id);
    /* Anybody's, but active: the pending zone below does not count. */
    assert_ok(CALL(f, store_zones_of_names, f->arena, NULL, "", names, 6, found));
    assert_string_equal(found[3].id, s.zone.id);
    assert_string_equal(found[5].id, other.zone.id);
    assert_null(found[4].id);
}

static void deleted_zone_is_gone_and_its_open_orders_are_invalid(void **state) {
    struct fixture *f = *state;
    struct sample s;
    struct store_order order;
    struct store_zone found, again;
    make_sample(f, &s, "a", "shop.test");
    issue(f, &s, SERIAL_A, ATTEMPT_A, SPKI_A);
    const char *valid = s.order.id, *ready = NULL;
    for (int i = 0; i < 501; i++) { /* more than one call's worth */
        fill_order(f, &s, i % 2 == 0 ? ORDER_READY : ORDER_PENDING, 1);
        assert_ok(CALL(f, store_create_order, &s.order, ""));
        if (i == 500)
            ready = s.order.id;
    }
    assert_ok(CALL(f, store_delete_zone, s.zone.id, NULL));
    assert_ok(CALL(f, store_delete_zone, s.zone.id, NULL));
    assert_int_equal(ask_number(f, "ZCARD orders:invalid"), 501);
    assert_ok(CALL(f, store_load_order, f->arena, valid, &order));
    assert_int_equal(order.status, ORDER_VALID);
    assert_ok(CALL(f, store_load_order, f->arena, ready, &order));
    assert_int_equal(order.status, ORDER_INVALID);
    assert_non_null(strstr(order.error, "rejectedIdentifier"));
    assert_code(CALL(f, store_find_zone, f->arena, "shop.test", s.customer.id, &found), ERROR_NOT_FOUND);
    assert_ok(CALL(f, store_load_zone, f->arena, s.zone.id, &found));
    assert_int_equal(found.status, ZONE_DELETED);
    fill_order(f, &s, ORDER_READY, 1);
    assert_code(CALL(f, store_create_order, &s.order, ""), ERROR_REFUSED);
    make_zone(f, "shop.test", s.customer.id, &again);
    assert_string_not_equal(again.id, s.zone.id);
    assert_code(CALL(f, store_delete_zone, "nothing", NULL), ERROR_NOT_FOUND);
    const struct store_zone_check check = {
        .zone_id = s.zone.id, .is_ok = true, .reason = "", .evidence = "", .moved_after = 3};
    assert_code(CALL(f, store_record_zone_check, f->arena, &check, &found), ERROR_NOT_FOUND);
}

static void due_zones_are_leased_to_one_caller(void **state) {
    struct fixture *f = *state;
    struct store_customer a;
    struct store_zone zone;
    struct store_zone_list list;
    assert_ok(CALL(f, store_create_customer, f->arena, "a", &a));
    for (int i = 0; i < 3; i++)
        make_zone(f, arena_printf(f->arena, "zone%d.test", i), a.id, &zone);
    assert_ok(CALL(f, store_due_zones, f->arena, 2, 60, &list));
    assert_int_equal(list.count, 2);
    assert_ok(CALL(f, store_due_zones, f->arena, 10, 60, &list));
    assert_int_equal(list.count, 1);
    assert_ok(CALL(f, store_due_zones, f->arena, 10, 60, &list));
    assert_int_equal(list.count, 0);
    record(f, &zone, false, true, now_seconds());
    long long next = ask_number(f, "ZSCORE zones-due %s", zone.id);
    assert_in_range(next, now_seconds() + 18, now_seconds() + 20);
    record(f, &zone, true, false, now_seconds() + 1);
    next = ask_number(f, "ZSCORE zones-due %s", zone.id);
    assert_in_range(next, now_seconds() + 3200, now_seconds() + 4000);
}

static const char *joined(struct fixture *f, const struct store_zone *zone) {
    const char *text = "";
    for (size_t i = 0; i < zone->zones_above_count; i++)
        text = arena_printf(f->arena, "%s%s ", text, zone->zones_above[i]);
    return text;
}

/* However the zone is loaded for a check. */
static const char *zones_above(struct fixture *f, const struct store_zone *zone) {
    struct store_zone found, of_name;
    struct store_zone_list due;
    const char *name = arena_printf(f->arena, "www.%s", zone->name);
    assert_ok(CALL(f, store_find_zone, f->arena, zone->name, zone->customer, &found));
    assert_ok(CALL(f, store_zones_of_names, f->arena, zone->customer, "", &name, 1, &of_name));
    assert_string_equal(of_name.name, zone->name);
    assert_string_equal(joined(f, &of_name), joined(f, &found));
    ask_number(f, "ZADD zones-due 1 %s", zone->id);
    assert_ok(CALL(f, store_due_zones, f->arena, 1, 60, &due));
    assert_string_equal(due.items[0].id, zone->id);
    assert_string_equal(joined(f, &due.items[0]), joined(f, &found));
    return joined(f, &found);
}

static const char *as_own(struct fixture *f, const struct store_zone *zone) {
    return arena_printf(f->arena, "%s=%s,%s ", zone->name, zone->name_servers[0], zone->name_servers[1]);
}

static const char *and_others(struct fixture *f, const char *own, const char *others) {
    return arena_printf(f->arena, "%.*s%s ", (int)strlen(own) - 1, own, others);
}

static void all_zones_above_come_with_a_zone_and_the_servers_of_the_customers_own(void **state) {
    struct fixture *f = *state;
    struct store_customer a, b;
    struct store_zone above, foreign, below, between;
    assert_ok(CALL(f, store_create_customer, f->arena, "a", &a));
    assert_ok(CALL(f, store_create_customer, f->arena, "b", &b));
    make_zone(f, "shop.test", b.id, &foreign);
    ask_number(f, "HSET zone:%s servers ns9.provider.test", foreign.id);
    record(f, &foreign, true, false, now_seconds());
    make_zone(f, "x.y.shop.test", a.id, &below);
    assert_string_equal(zones_above(f, &below), "shop.test=|ns9.provider.test ");
    make_zone(f, "shop.test", a.id, &above); /* pending, and the other customer's is active */
    const char *closest_last = and_others(f, as_own(f, &above), "|ns9.provider.test");
    assert_string_equal(zones_above(f, &below), closest_last);
    make_zone(f, "y.shop.test", a.id, &between);
    assert_string_equal(joined(f, &between), closest_last); /* as created */
    const char *both = arena_printf(f->arena, "%s%s", as_own(f, &between), closest_last);
    record(f, &between, true, false, now_seconds());
    assert_string_equal(zones_above(f, &below), both);
    assert_ok(CALL(f, store_set_zone_paused, f->arena, between.id, true, &between, NULL));
    assert_string_equal(zones_above(f, &below), both);
    assert_string_equal(zones_above(f, &above), "");
    assert_ok(CALL(f, store_delete_zone, above.id, NULL));
    const char *left = arena_printf(f->arena, "%sshop.test=|%s,%s|ns9.provider.test ", as_own(f, &between),
                                    above.name_servers[0], above.name_servers[1]);
    assert_string_equal(zones_above(f, &below), left);
}

static void a_zone_above_that_is_not_active_is_nobodys_where_others_have_its_servers(void **state) {
    struct fixture *f = *state;
    struct store_customer a, b;
    struct store_zone above, foreign, below;
    assert_ok(CALL(f, store_create_customer, f->arena, "a", &a));
    assert_ok(CALL(f, store_create_customer, f->arena, "b", &b));
    make_zone(f, "shop.test", a.id, &above);
    make_zone(f, "shop.test", b.id, &foreign);
    make_zone(f, "www.shop.test", a.id, &below);
    ask_number(f, "HSET zone:%s servers %s", foreign.id, above.name_servers[0]);
    const char *contested = arena_printf(f->arena, "shop.test=!%s|%s,%s ", above.name_servers[0],
                                         above.name_servers[0], above.name_servers[1]);
    assert_string_equal(zones_above(f, &below), contested);
    record(f, &above, true, false, now_seconds() + 1); /* it is his now */
    const char *others = arena_printf(f->arena, "!%s", above.name_servers[0]);
    assert_string_equal(zones_above(f, &below), and_others(f, as_own(f, &above), others));
    assert_ok(CALL(f, store_delete_zone, foreign.id, NULL));
    ask_number(f, "HSET zone:%s status pending", above.id);
    ask_number(f, "HSET zone:%s blind 1", above.id); /* DNS was away when it was assigned */
    const char *anybodys =
        arena_printf(f->arena, "shop.test=!%s,%s ", above.name_servers[0], above.name_servers[1]);
    assert_string_equal(zones_above(f, &below), anybodys);
}

static void names_added_and_deleted_over_and_over_leave_one_trace_for_each_set(void **state) {
    struct fixture *f = *state;
    struct store_customer customers[3];
    struct store_zone zone, active;
    for (size_t i = 0; i < 3; i++)
        assert_ok(CALL(f, store_create_customer, f->arena, arena_printf(f->arena, "c%zu", i), &customers[i]));
    make_zone(f, "shop.test", customers[0].id, &active);
    record(f, &active, true, false, now_seconds());
    assert_ok(CALL(f, store_delete_zone, active.id, NULL));
    for (size_t i = 0; i < 12; i++) {
        make_zone(f, "shop.test", customers[i % 3].id, &zone);
        assert_ok(CALL(f, store_delete_zone, zone.id, NULL));
    }
    assert_true(ask_number(f, "HLEN zones-left:shop.test") <= 1 + 3); /* three sets of two of three */
    assert_int_equal(ask_number(f, "HEXISTS zones-left:shop.test %s", active.id), 1);
}

static void pending_zones_are_checked_as_often_as_the_rate_allows(void **state) {
    struct fixture *f = *state;
    struct store_customer a;
    struct store_zone fresh, old, other;
    assert_ok(CALL(f, store_create_customer, f->arena, "a", &a));
    make_zone(f, "fresh.test", a.id, &fresh);
    make_zone(f, "old.test", a.id, &old);
    ask_number(f, "HSET zone:%s created %lld", old.id, (long long)now_seconds() - 86400);
    record(f, &old, false, true, now_seconds());
    long long next = ask_number(f, "ZSCORE zones-due %s", old.id);
    assert_in_range(next, now_seconds() + 18, now_seconds() + 20);
    for (int i = 0; i < 78; i++)
        make_zone(f, arena_printf(f->arena, "zone%d.test", i), a.id, &other);
    f->config.zone_checks_per_second = 1; /* 80 zones, 0.8 a second */
    record(f, &old, false, true, now_seconds() + 1);
    next = ask_number(f, "ZSCORE zones-due %s", old.id);
    assert_in_range(next, now_seconds() + 98, now_seconds() + 100);
    record(f, &fresh, false, true, now_seconds() + 1);
    next = ask_number(f, "ZSCORE zones-due %s", fresh.id);
    assert_in_range(next, now_seconds() + 18, now_seconds() + 20);
}

static void zones_page_by_customer(void **state) {
    struct fixture *f = *state;
    struct store_customer a, b;
    struct store_zone zone;
    struct store_zone_list list;
    assert_ok(CALL(f, store_create_customer, f->arena, "a", &a));
    assert_ok(CALL(f, store_create_customer, f->arena, "b", &b));
    for (int i = 0; i < 5; i++)
        make_zone(f, arena_printf(f->arena, "zone%d.test", i), i % 2 == 0 ? a.id : b.id, &zone);
    assert_ok(CALL(f, store_list_zones, f->arena, NULL, NULL, 3, &list));
    assert_int_equal(list.count, 3);
    assert_ok(CALL(f, store_list_zones, f->arena, NULL, list.next_cursor, 3, &list));
    assert_int_equal(list.count, 2);
    assert_null(list.next_cursor);
    assert_ok(CALL(f, store_list_zones, f->arena, a.id, NULL, 10, &list));
    assert_int_equal(list.count, 3);
    assert_string_equal(list.items[0].name, "zone4.test");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        test_case(customers_sharing_a_name_get_different_servers),
        test_case(zone_below_another_customers_shares_no_server_with_it_where_that_can_be),
        test_case(zone_above_another_customers_shares_no_server_with_it_where_that_can_be),
        test_case(zone_below_from_before_the_index_is_known_after_its_next_check),
        test_case(zone_is_found_by_id_name_and_customer),
        test_case(status_follows_the_checks),
        test_case(repeated_check_counts_once),
        test_case(becoming_active_moves_the_other_customers_zone),
        test_case(pausing_keeps_the_former_status),
        test_case(name_belongs_to_the_zone_of_its_longest_suffix),
        test_case(deleted_zone_is_gone_and_its_open_orders_are_invalid),
        test_case(due_zones_are_leased_to_one_caller),
        test_case(a_zone_above_that_is_not_active_is_nobodys_where_others_have_its_servers),
        test_case(all_zones_above_come_with_a_zone_and_the_servers_of_the_customers_own),
        test_case(names_added_and_deleted_over_and_over_leave_one_trace_for_each_set),
        test_case(pending_zones_are_checked_as_often_as_the_rate_allows),
        test_case(zones_page_by_customer),
    };
    return cmocka_run_group_tests(tests, start_group, end_group);
}
