/* Unit tests of the zones that the signer knows: what counts of words that come in any order, that nothing is
 * lost over the checkpoint, and that bytes which are no such memory are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../server/signer/rights.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int set_up(void **state) {
    *state = zones_new();
    return *state == NULL;
}

static int tear_down(void **state) {
    zones_free(*state);
    return 0;
}

static struct zone_state find(const struct zones *zones, const char *id) {
    struct zone_state zone;
    (void)zones_find(zones, id, &zone);
    return zone;
}

static void a_zone_is_what_it_was_added_as(void **state) {
    struct zones *zones = *state;
    struct zone_state zone;
    assert_false(zones_find(zones, "z1", &zone));
    assert_true(zones_add(zones, "z1", "shop.test", "c1", 10));
    assert_true(zones_find(zones, "z1", &zone));
    assert_string_equal(zone.name, "shop.test");
    assert_string_equal(zone.customer, "c1");
    assert_true(zone.is_known && !zone.is_ended && !zone.is_paused && !zone.is_suspended);
    assert_true(zones_add(zones, "z1", "other.test", "c2", 20)); /* stays what it was */
    assert_string_equal(find(zones, "z1").name, "shop.test");
    assert_int_equal(zones_count_living(zones), 1);
}

static void the_newest_word_counts_in_any_order(void **state) {
    struct zones *zones = *state;
    assert_true(zones_add(zones, "z1", "shop.test", "c1", 10));
    assert_true(zones_set_paused(zones, "z1", false, 30));
    assert_true(zones_set_paused(zones, "z1", true, 20)); /* came late */
    assert_false(find(zones, "z1").is_paused);
    assert_true(zones_set_paused(zones, "z1", true, 30)); /* the later of two in one millisecond */
    assert_true(find(zones, "z1").is_paused);
    assert_int_equal(find(zones, "z1").at_ms, 30);
}

static void a_walk_meets_each_living_zone_once(void **state) {
    struct zones *zones = *state;
    struct zone_state page[7];
    char id[16], met[64] = "";
    uint64_t cursor = 0;
    size_t count = 0;
    for (int i = 0; i < 50; i++) {
        snprintf(id, sizeof id, "z%d", i);
        assert_true(zones_add(zones, id, "shop.test", "c1", 10));
    }
    assert_true(zones_end(zones, "z7", 20));
    assert_true(zones_set_paused(zones, "heard", true, 20)); /* never added */
    do {
        size_t found = zones_walk(zones, &cursor, 7, page);
        for (size_t i = 0; i < found; i++, count++) {
            assert_string_equal(page[i].customer, "c1");
            assert_int_equal(met[atoi(page[i].id + 1)]++, 0);
        }
    } while (cursor != 0);
    assert_int_equal(count, 49);
    assert_int_equal(met[7], 0);
    cursor = UINT64_MAX;
    assert_int_equal(zones_walk(zones, &cursor, 7, page), 0);
    assert_int_equal(cursor, 0);
}

static void an_end_is_final_whenever_it_comes(void **state) {
    struct zones *zones = *state;
    assert_true(zones_add(zones, "z1", "shop.test", "c1", 10));
    assert_true(zones_set_paused(zones, "z1", false, 50));
    assert_true(zones_end(zones, "z1", 20));
    assert_true(find(zones, "z1").is_ended);
    assert_int_equal(zones_count_living(zones), 0);
    assert_true(zones_end(zones, "z1", 60));
    assert_int_equal(zones_count_living(zones), 0);
    assert_true(zones_add(zones, "z1", "shop.test", "c1", 70));
    assert_true(find(zones, "z1").is_ended);
}

static void what_is_heard_before_a_zone_is_added_counts(void **state) {
    struct zones *zones = *state;
    assert_true(zones_set_paused(zones, "z1", true, 20));
    assert_true(zones_end(zones, "z2", 20));
    assert_false(find(zones, "z1").is_known);
    assert_true(zones_add(zones, "z1", "shop.test", "c1", 10));
    assert_true(zones_add(zones, "z2", "blog.test", "c1", 10));
    assert_true(find(zones, "z1").is_known && find(zones, "z1").is_paused);
    assert_int_equal(find(zones, "z1").at_ms, 20);
    assert_true(find(zones, "z2").is_ended);
    assert_int_equal(zones_count_living(zones), 1);
}

static void a_customer_is_suspended_with_all_zones(void **state) {
    struct zones *zones = *state;
    struct customer_state customer;
    assert_true(zones_set_suspended(zones, "c1", true, 5));
    assert_true(zones_add(zones, "z1", "shop.test", "c1", 10));
    assert_true(zones_add(zones, "z2", "blog.test", "c2", 10));
    assert_true(find(zones, "z1").is_suspended);
    assert_false(find(zones, "z2").is_suspended);
    assert_true(zones_set_suspended(zones, "c1", false, 4)); /* older */
    assert_true(find(zones, "z1").is_suspended);
    assert_true(zones_set_suspended(zones, "c1", false, 6));
    assert_false(find(zones, "z1").is_suspended);
    zones_find_customer(zones, "c1", &customer);
    assert_true(!customer.is_suspended && customer.at_ms == 6);
    zones_find_customer(zones, "c3", &customer);
    assert_int_equal(customer.at_ms, 0);
}

static void stops_of_everybody_and_of_an_issuer_are_two(void **state) {
    struct zones *zones = *state;
    struct stop_state stop;
    zones_find_stop(zones, "ecc", &stop);
    assert_true(!stop.is_stopped && stop.at_ms == 0);
    assert_true(zones_set_stopped(zones, "ecc", true, 5));
    assert_true(zones_set_stopped(zones, "ecc", false, 4)); /* older */
    zones_find_stop(zones, "ecc", &stop);
    assert_true(stop.is_stopped && stop.at_ms == 5);
    zones_find_stop(zones, ZONES_EVERY_ISSUER, &stop);
    assert_false(stop.is_stopped);
    assert_true(zones_set_stopped(zones, ZONES_EVERY_ISSUER, true, 6));
    assert_true(zones_set_stopped(zones, "ecc", false, 7));
    zones_find_stop(zones, ZONES_EVERY_ISSUER, &stop);
    assert_true(stop.is_stopped && stop.at_ms == 6);
}

#define MANY 20000

static void fill(struct zones *zones) {
    for (int i = 0; i < MANY; i++) {
        char id[40], name[40], customer[40];
        snprintf(id, sizeof id, "%032x", (unsigned)i);
        snprintf(name, sizeof name, "z%d.test", i);
        snprintf(customer, sizeof customer, "customer-%d", i % 700);
        if (i % 11 == 0)
            assert_true(zones_set_paused(zones, id, true, 5000)); /* heard of before: its first entry dies */
        assert_true(zones_add(zones, id, name, customer, 1000 + i));
        if (i % 5 == 0)
            assert_true(zones_end(zones, id, 100000));
    }
    assert_true(zones_set_suspended(zones, "customer-3", true, 7));
    assert_true(zones_set_stopped(zones, ZONES_EVERY_ISSUER, true, 8));
    assert_true(zones_set_stopped(zones, "rsa", true, 9));
    zones_set_known(zones);
}

static void many_come_back_from_the_checkpoint(void **state) {
    struct zones *zones = *state, *back = zones_new();
    fill(zones);
    assert_true(zones_end_account(zones, "account-1", 77));
    size_t length = zones_saved_length(zones);
    uint8_t *bytes = malloc(length);
    assert_non_null(bytes);
    zones_save(zones, bytes);
    assert_true(zones_load(back, bytes, length));
    assert_true(zones_are_known(back));
    assert_int_equal(zones_account_end(back, "account-1"), 77);
    assert_int_equal(zones_account_end(back, "account-2"), 0);
    assert_int_equal(zones_count_living(back), MANY - MANY / 5);
    for (int i = 0; i < MANY; i++) {
        char id[40];
        snprintf(id, sizeof id, "%032x", (unsigned)i);
        struct zone_state one = find(zones, id), other = find(back, id);
        assert_string_equal(one.name, other.name);
        assert_string_equal(one.customer, other.customer);
        assert_true(other.is_known && other.is_ended == (i % 5 == 0) && other.is_paused == (i % 11 == 0) &&
                    other.is_suspended == (i % 700 == 3) && other.at_ms == one.at_ms);
    }
    struct stop_state stop;
    zones_find_stop(back, ZONES_EVERY_ISSUER, &stop);
    assert_true(stop.is_stopped && stop.at_ms == 8);
    zones_find_stop(back, "rsa", &stop);
    assert_true(stop.is_stopped && stop.at_ms == 9);
    assert_false(zones_load(back, bytes, length)); /* into one that is not empty */
    free(bytes);
    zones_free(back);
}

static void a_zone_is_left_since_its_newest_word_or_its_end(void **state) {
    struct zones *zones = *state;
    struct left_state left;
    assert_true(zones_add(zones, "z1", "shop.test", "c1", 10));
    zones_find_left(zones, "z1", &left);
    assert_false(left.has_left);
    assert_true(zones_set_moved(zones, "z1", true, 20));
    assert_true(zones_set_moved(zones, "z1", false, 19)); /* late */
    zones_find_left(zones, "z1", &left);
    assert_true(left.has_left && left.at_ms == 20);
    assert_true(zones_set_moved(zones, "z1", false, 30));
    zones_find_left(zones, "z1", &left);
    assert_true(!left.has_left && left.word_ms == 30);
    assert_true(zones_end(zones, "z1", 40));
    size_t length = zones_saved_length(zones);
    uint8_t bytes[256];
    struct zones *again = zones_new();
    assert_true(length < sizeof bytes);
    zones_save(zones, bytes);
    assert_true(zones_load(again, bytes, length));
    zones_find_left(again, "z1", &left);
    assert_true(left.has_left && left.at_ms == 40 && left.word_ms == 30);
    zones_find_left(again, "z2", &left);
    assert_false(left.has_left);
    zones_free(again);
}

static bool loads(const uint8_t *bytes, size_t length) {
    struct zones *zones = zones_new();
    uint8_t *copy = malloc(length + 1); /* of that size: reading behind it is found */
    assert_non_null(copy);
    memcpy(copy, bytes, length);
    bool does_load = zones_load(zones, copy, length);
    free(copy);
    zones_free(zones);
    return does_load;
}

static void other_bytes_are_refused(void **state) {
    struct zones *zones = *state;
    assert_true(zones_add(zones, "z1", "shop.test", "c1", 10));
    assert_true(zones_add(zones, "z2", "blog.test", "c2", 10));
    size_t length = zones_saved_length(zones);
    uint8_t bytes[256];
    assert_true(length < sizeof bytes - 1);
    zones_save(zones, bytes);
    assert_true(loads(bytes, length));
    for (size_t i = 0; i < length; i++)
        assert_false(loads(bytes, i));
    bytes[length] = 0;
    assert_false(loads(bytes, length + 1));
    for (size_t i = 0; i < length; i++)
        for (unsigned bit = 0; bit < 8; bit++) { /* no crash, whatever is wrong */
            bytes[i] = (uint8_t)(bytes[i] ^ 1u << bit);
            (void)loads(bytes, length);
            bytes[i] = (uint8_t)(bytes[i] ^ 1u << bit);
        }
    size_t first = 33 + (13 + 2 + 1 + 0 + 1) * 2; /* the first zone's entry, behind two customers */
    bytes[first + 10] = 2;                        /* leads into the middle of a customer */
    assert_false(loads(bytes, length));
    zones_save(zones, bytes);
    bytes[first] = 0; /* not added, and has a customer */
    assert_false(loads(bytes, length));
}

static struct signer_change change_of(const char *kind) {
    return (struct signer_change){.kind = kind, .subject = "x1", .by = "admin:0"};
}

/* Every kind has its record, which says what was asked, and no other text. */
static void each_kind_has_its_form(void **state) {
    (void)state;
    struct arena *arena = arena_new(0);
    for (size_t i = 0; i < RIGHT_KINDS; i++) {
        const struct right_form *form = right_form((enum right_kind)i);
        struct signer_change change = change_of(form->type);
        enum right_kind kind;
        struct error error;
        json_t *details;
        assert_true(right_kind_of(form->type, &kind));
        assert_int_equal(kind, i);
        if (form->subject_member == NULL)
            change.subject = "";
        if (kind == RIGHT_ZONE_ADDED) {
            assert_false(right_judge(arena, &change, kind, &details, &error));
            change.name = "shop.test";
            change.customer = "c1";
        }
        if (kind == RIGHT_ACCOUNT_KEY_CHANGED) /* test_signer_attacks.py */
            continue;
        assert_true(right_judge(arena, &change, kind, &details, &error));
        json_t *record = right_describe(&change, kind, details);
        assert_non_null(record);
        if (form->subject_member != NULL)
            assert_string_equal(json_string_value(json_object_get(record, form->subject_member)), "x1");
        assert_string_equal(json_string_value(json_object_get(record, "by")), "admin:0");
        json_decref(record);
        change.subject = form->subject_member == NULL ? "x1" : "";
        assert_false(right_judge(arena, &change, kind, &details, &error));
    }
    enum right_kind kind;
    assert_false(right_kind_of("issued", &kind));
    arena_free(arena);
}

int main(void) {
#define ZONES(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        ZONES(a_zone_is_what_it_was_added_as),
        ZONES(the_newest_word_counts_in_any_order),
        ZONES(a_walk_meets_each_living_zone_once),
        ZONES(an_end_is_final_whenever_it_comes),
        ZONES(what_is_heard_before_a_zone_is_added_counts),
        ZONES(a_customer_is_suspended_with_all_zones),
        ZONES(stops_of_everybody_and_of_an_issuer_are_two),
        ZONES(many_come_back_from_the_checkpoint),
        ZONES(a_zone_is_left_since_its_newest_word_or_its_end),
        ZONES(other_bytes_are_refused),
        cmocka_unit_test(each_kind_has_its_form),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
