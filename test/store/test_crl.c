/* What the store keeps for revocation lists: which serial is on which list, when a list is due, what was
 * published. */
#include <stdio.h>
#include <string.h>

#include "sample.h"

#define LIST SAMPLE_LIST
#define HOST "host-a"
#define CEILING 3000000000000u /* of numbers, in the year 2065 */

static void commit(struct fixture *f, struct sample *s, const char *serial, const char *attempt,
                   const char *url) {
    make_claimed(f, s, attempt);
    struct store_certificate certificate = new_certificate(s, serial, SPKI_A);
    certificate.crl_url = url;
    assert_ok(CALL(f, store_commit_certificate, &certificate, attempt, NULL));
}

static void claim(struct fixture *f, struct store_crl_claim *out) {
    static const char *const issuers[] = {"ecc", "rsa"};
    assert_ok(CALL(f, store_claim_crl, f->arena, 0, 60000, HOST, true, issuers, 2, out));
}

/* All entries of one list, by its id. */
static void scan(struct fixture *f, const char *id, struct store_crl_page *page) {
    assert_ok(CALL(f, store_scan_crl, f->arena, id, "0", 1000, page));
    assert_string_equal(page->next_cursor, "0");
}

static const char *find(struct fixture *f, const char *url) {
    static char name[256];
    redisReply *reply;
    snprintf(name, sizeof name, "ecc %s", url);
    reply = redisCommand(f->admin, "HGET crl-lists %s", name);
    const char *id = reply->type == REDIS_REPLY_STRING ? arena_strdup(f->arena, reply->str) : NULL;
    freeReplyObject(reply);
    return id;
}

static bool publish(struct fixture *f, const struct store_crl_claim *claim, uint64_t number) {
    const struct store_crl crl = {.issuer = claim->issuer,
                                  .url = claim->url,
                                  .number = number,
                                  .this_update = now_seconds() - 60,
                                  .next_update = now_seconds() + 3600,
                                  .entry_count = 1};
    return CALL(f, store_publish_crl, &crl, ((struct bytes){(const uint8_t *)"DER", 3}), claim->changes,
                claim->run, 0, CEILING, NULL) == ERROR_NONE;
}

/* Publishes whatever is due. */
static size_t drain(struct fixture *f) {
    struct store_crl_claim out;
    size_t count = 0;
    for (claim(f, &out); out.id != NULL; claim(f, &out), count++)
        assert_true(publish(f, &out, (uint64_t)out.begun_us / 1000 + 1));
    return count;
}

static void revoked_serial_is_on_its_list_and_on_the_complete_one(void **state) {
    struct fixture *f = *state;
    struct sample s;
    struct store_crl_page page;
    make_sample(f, &s, "a", "shop.test");
    commit(f, &s, SERIAL_A, ATTEMPT_A, LIST);
    commit(f, &s, SERIAL_B, ATTEMPT_B, "");
    assert_int_equal(drain(f), 2); /* both are there, and empty */
    assert_ok(CALL(f, store_revoke_certificate, REVOCATION(SERIAL_A, 1700000001, 4, "admin"), NULL));
    scan(f, find(f, LIST), &page);
    assert_int_equal(page.count, 1);
    assert_int_equal(page.entries[0].revoked_at, 1700000001);
    assert_int_equal(page.entries[0].reason, 4);
    assert_int_equal(page.entries[0].serial[0], 1);
    assert_ok(CALL(f, store_revoke_certificate, REVOCATION(SERIAL_B, 1700000002, 0, "admin"), NULL));
    scan(f, find(f, LIST), &page);
    assert_int_equal(page.count, 1);
    scan(f, find(f, ""), &page);
    assert_int_equal(page.count, 2);
    assert_int_equal(drain(f), 2);
    assert_int_equal(drain(f), 0);
    /* Another reason replaces the entry; a repeated revocation changes nothing. */
    assert_ok(CALL(f, store_revoke_certificate, REVOCATION(SERIAL_A, 1700000005, 5, "admin"), NULL));
    assert_int_equal(drain(f), 0);
    assert_ok(CALL(f, store_revoke_certificate, REVOCATION(SERIAL_A, 1700000006, 1, "admin"), NULL));
    scan(f, find(f, LIST), &page); /* both: a reading that began before finds one of the two */
    assert_int_equal(page.count, 2);
    assert_int_equal(drain(f), 2);
    scan(f, find(f, LIST), &page);
    assert_int_equal(page.count, 1);
    assert_int_equal(page.entries[0].revoked_at, 1700000001);
    assert_int_equal(page.entries[0].reason, 1);
}

static void list_of_an_older_certificate_is_read_in_it_before_any_is_made(void **state) {
    struct fixture *f = *state;
    struct sample s;
    struct store_crl_claim out;
    struct store_crl_page page;
    make_sample(f, &s, "a", "shop.test");
    commit(f, &s, SERIAL_A, ATTEMPT_A, "?");
    assert_ok(CALL(f, store_revoke_certificate, REVOCATION(SERIAL_A, 1700000001, 4, "admin"), NULL));
    claim(f, &out);
    assert_null(out.id);
    assert_int_equal(out.unsorted_count, 1);
    assert_string_equal(out.unsorted[0], SERIAL_A);
    assert_ok(CALL(f, store_sort_revocation, SERIAL_A, LIST));
    scan(f, find(f, LIST), &page);
    assert_int_equal(page.count, 1);
    claim(f, &out);
    assert_int_equal(out.unsorted_count, 0);
    assert_non_null(out.id);
}

static void list_that_changed_while_it_was_made_is_due_again(void **state) {
    struct fixture *f = *state;
    struct sample s;
    struct store_crl_claim out, again;
    make_sample(f, &s, "a", "shop.test");
    commit(f, &s, SERIAL_A, ATTEMPT_A, "");
    claim(f, &out);
    assert_string_equal(out.url, "");
    claim(f, &again); /* it is claimed */
    assert_null(again.id);
    run_for(f, 5);
    assert_ok(CALL(f, store_revoke_certificate, REVOCATION(SERIAL_A, 1700000001, 4, "admin"), NULL));
    assert_true(publish(f, &out, 7));
    claim(f, &again);
    assert_non_null(again.id);
    assert_int_equal(again.number, 7);
    assert_false(publish(f, &again, 7)); /* never the same number, nor a lower one */
    assert_false(publish(f, &again, 6));
    assert_true(publish(f, &again, 8));
    claim(f, &again);
    assert_null(again.id);
}

static void lists_that_cannot_be_made_do_not_keep_others_waiting(void **state) {
    struct fixture *f = *state;
    struct store_crl_claim out;
    bool is_found = false;
    for (unsigned i = 0; i < 60; i++) {
        const struct store_crl_name name = {"gone",
                                            arena_printf(f->arena, "http://crl.example/crl/gone%u", i)};
        assert_ok(CALL(f, store_register_crls, &name, 1));
    }
    run_for(f, 5);
    const struct store_crl_name last = {"ecc", LIST};
    assert_ok(CALL(f, store_register_crls, &last, 1));
    /* As often as each is claimed and given up once; the lease holds all the while. */
    for (unsigned i = 0; i < 70 && !is_found; i++) {
        claim(f, &out);
        is_found = out.id != NULL && strcmp(out.url, LIST) == 0;
    }
    assert_true(is_found);
}

static void list_of_another_run_of_redis_is_not_published(void **state) {
    struct fixture *f = *state;
    struct store_crl_claim out;
    const struct store_crl_name name = {"ecc", LIST};
    assert_ok(CALL(f, store_register_crls, &name, 1));
    claim(f, &out);
    assert_non_null(out.id);
    out.run = "0123456789012345678901234567890123456789";
    assert_false(publish(f, &out, 5));
    /* A host whose ledger nobody has compared with this Redis may know revocations that are missing here. */
    struct store_crl_claim whole;
    assert_int_equal(ask_number(f, "DEL crl:1 crl:2 crl-lists"), 3);
    assert_ok(CALL(f, store_register_crls, &name, 1));
    ask_number(f, "ZADD ledger-hosts 1 host-b");
    ask_number(f, "ZADD crls-due 0 1");
    claim(f, &whole);
    if (whole.id != NULL)
        assert_false(publish(f, &whole, 5));
}

static void entry_leaves_after_one_list_past_its_certificates_end(void **state) {
    struct fixture *f = *state;
    struct sample s;
    struct store_crl_page page;
    make_sample(f, &s, "a", "shop.test");
    commit(f, &s, SERIAL_A, ATTEMPT_A, LIST);
    assert_ok(CALL(f, store_revoke_certificate, REVOCATION(SERIAL_A, 1700000001, 4, "admin"), NULL));
    drain(f);
    scan(f, find(f, LIST), &page);
    assert_int_equal(page.count, 1);
    /* As if it had ended an hour ago. */
    ask_number(f, "ZADD crl-entries:%s %lld " SERIAL_A ":1700000001:4", find(f, LIST),
               (long long)now_seconds() - 3600);
    ask_number(f, "ZADD crls-due 0 %s", find(f, LIST));
    scan(f, find(f, LIST), &page);
    assert_int_equal(page.count, 1); /* on the next one it still is */
    assert_int_equal(drain(f), 1);
    scan(f, find(f, LIST), &page);
    assert_int_equal(page.count, 0);
}

static void published_lists_are_found_by_whoever_knows_former_ones(void **state) {
    struct fixture *f = *state;
    struct store_crl_list list;
    struct store_crl_loaded loaded;
    const struct store_crl_name names[] = {{"ecc", LIST}, {"rsa", ""}};
    assert_ok(CALL(f, store_register_crls, names, 2));
    assert_ok(CALL(f, store_list_crls, f->arena, 0, 100, &list));
    assert_int_equal(list.count, 3); /* none of them was published */
    assert_int_equal(list.items[0].number + list.items[1].number + list.items[2].number, 0);
    assert_int_equal(drain(f), 3);
    assert_ok(CALL(f, store_list_crls, f->arena, 0, 100, &list));
    assert_int_equal(list.count, 3);
    assert_true(list.items[0].sequence < list.items[1].sequence);
    assert_true(list.items[2].number > 0);
    assert_ok(CALL(f, store_list_crls, f->arena, list.items[1].sequence, 100, &list));
    assert_int_equal(list.count, 1);
    assert_ok(CALL(f, store_load_crl, f->arena, list.items[0].id, &loaded));
    assert_int_equal(loaded.der.length, 3);
    assert_int_equal(loaded.number, list.items[0].number);
    assert_code(CALL(f, store_load_crl, f->arena, "99", &loaded), ERROR_NOT_FOUND);
}

static bool publish_instead(struct fixture *f, const struct store_crl_claim *claim, uint64_t number,
                            const char *changes, uint64_t refused) {
    const struct store_crl crl = {.issuer = claim->issuer,
                                  .url = claim->url,
                                  .number = number,
                                  .this_update = now_seconds() - 60,
                                  .next_update = now_seconds() + 3600};
    return CALL(f, store_publish_crl, &crl, ((struct bytes){(const uint8_t *)"DER", 3}), changes, claim->run,
                refused, CEILING, NULL) == ERROR_NONE;
}

static void planted_number_gives_way_to_who_has_refused_it(void **state) {
    static const char *const planted[] = {"999999999999999", "9223372036854775807", "1e300", "nan", "x"};
    struct fixture *f = *state;
    struct store_crl_claim out;
    struct store_crl_list list;
    const struct store_crl_name name = {"ecc", ""};
    assert_ok(CALL(f, store_register_crls, &name, 1));
    for (size_t i = 0; i < sizeof planted / sizeof *planted; i++) {
        ask_number(f, "HSET crl:1 number %s this_update %s claimed %s changed %s", planted[i], planted[i],
                   planted[i], planted[i]);
        ask_number(f, "ZADD crls-published 1 1");
        ask_number(f, "ZADD crls-due 0 1");
        claim(f, &out);
        assert_non_null(out.id);
        assert_int_equal(out.number, 999999999999999);
        assert_ok(CALL(f, store_list_crls, f->arena, 0, 100, &list));
        assert_int_equal(list.count, 1);
        assert_int_equal(list.items[0].number, out.number);
        assert_false(publish(f, &out, 5));
        assert_false(publish_instead(f, &out, 5, out.changes, 4));
        assert_true(publish_instead(f, &out, 5, out.changes, out.number));
        assert_true(publish(f, &out, 6));
        claim(f, &out); /* at half of its life, whatever was said of its changes */
        assert_null(out.id);
        assert_true(ask_number(f, "ZCOUNT crls-due -inf %lld000", (long long)now_seconds() + 3600) == 1);
    }
    ask_number(f, "DEL crl:1");
    ask_number(f, "SADD crl:1 text"); /* neither this nor what is none of ours hides the others */
    assert_ok(CALL(f, store_list_crls, f->arena, 0, 100, &list));
    assert_int_equal(list.count, 0);
}

static void nothing_below_what_a_signer_has_signed_is_published(void **state) {
    struct fixture *f = *state;
    struct store_crl_claim out;
    struct store_crl_list list;
    uint64_t older;
    const struct store_crl_name name = {"ecc", ""};
    struct store_crl_floor floors[] = {{"ecc", "", 500}, {"ecc", LIST, 700}};
    assert_ok(CALL(f, store_register_crls, &name, 1));
    claim(f, &out);
    assert_int_equal(out.floor, 0);
    assert_true(publish(f, &out, 400));
    claim(f, &out);
    assert_null(out.id);
    assert_ok(CALL(f, store_floor_crls, floors, 2, CEILING, &older));
    assert_int_equal(older, 2); /* one of them this Redis never had */
    floors[0].number = 450;     /* another host's: the higher one stays */
    assert_ok(CALL(f, store_floor_crls, floors, 1, CEILING, &older));
    assert_ok(CALL(f, store_list_crls, f->arena, 0, 100, &list));
    assert_int_equal(list.count, 2);
    for (size_t i = 0; i < 2; i++) {
        claim(f, &out); /* both are due at once */
        assert_non_null(out.id);
        uint64_t floor = *out.url == '\0' ? 500 : 700;
        assert_int_equal(out.floor, floor);
        assert_false(publish(f, &out, floor - 1));
        assert_false(publish_instead(f, &out, floor - 1, 0, 0));
        assert_true(publish_instead(f, &out, floor, 0, 0)); /* a host that serves the very list brings it */
        assert_true(publish(f, &out, floor + 1));
    }
    assert_ok(CALL(f, store_floor_crls, floors, 2, CEILING, &older));
    assert_int_equal(older, 0);
    claim(f, &out);
    assert_null(out.id);
}

static void planted_floor_counts_for_nothing(void **state) {
    static const char *const planted[] = {"999999999999999", "9223372036854775807", "-1", "nan", "x"};
    struct fixture *f = *state;
    struct store_crl_claim out;
    uint64_t older, number = 400;
    const struct store_crl_name name = {"ecc", ""};
    struct store_crl_floor floor = {"ecc", "", CEILING + 1};
    assert_ok(CALL(f, store_register_crls, &name, 1));
    for (size_t i = 0; i < sizeof planted / sizeof *planted; i++) {
        ask_number(f, "HSET crl:1 floor %s", planted[i]);
        ask_number(f, "ZADD crls-due 0 1");
        claim(f, &out);
        assert_int_equal(out.floor, 999999999999999);
        assert_true(publish(f, &out, ++number));
    }
    assert_ok(CALL(f, store_floor_crls, &floor, 1, CEILING, &older)); /* nor does it hide a true one */
    floor.number = ++number;
    assert_ok(CALL(f, store_floor_crls, &floor, 1, CEILING, &older));
    claim(f, &out);
    assert_int_equal(out.floor, number);
    assert_false(publish(f, &out, number - 1));
}

static void list_that_was_published_again_is_due(void **state) {
    struct fixture *f = *state;
    struct store_crl_claim out, again;
    const struct store_crl_name name = {"ecc", ""};
    assert_ok(CALL(f, store_register_crls, &name, 1));
    claim(f, &out);
    assert_true(publish(f, &out, 7));
    claim(f, &again);
    assert_null(again.id);
    assert_true(publish_instead(f, &out, 9, 0, 0));
    run_for(f, 5);
    claim(f, &again);
    assert_non_null(again.id);
    assert_int_equal(again.number, 9);
}

static void list_that_nobody_would_make_is_made(void **state) {
    struct fixture *f = *state;
    struct store_crl_claim out;
    struct store_crl_list list;
    const struct store_crl_name name = {"ecc", ""};
    assert_ok(CALL(f, store_register_crls, &name, 1));
    assert_int_equal(drain(f), 1);
    for (unsigned i = 0; i < 2; i++) {
        ask_number(f, i == 0 ? "ZADD crls-due 99999999999999 1" : "ZREM crls-due 1");
        assert_ok(CALL(f, store_renew_crls, 0, 60000, &name, 1));
        run_for(f, 5);
        claim(f, &out);
        assert_non_null(out.id);
        assert_ok(CALL(f, store_renew_crls, 0, 60000, &name, 1));
        claim(f, &out); /* somebody has it */
        assert_null(out.id);
        ask_number(f, "HDEL crl:1 claimed");
    }
    assert_ok(CALL(f, store_fail_crl, "1", HOST, "no room"));
    assert_ok(CALL(f, store_list_crls, f->arena, 0, 100, &list));
    assert_string_equal(list.items[0].problem, "no room");
    ask_number(f, "ZADD crls-due 0 1");
    assert_int_equal(drain(f), 1);
    assert_ok(CALL(f, store_list_crls, f->arena, 0, 100, &list));
    assert_string_equal(list.items[0].problem, "");
}

static void what_was_revoked_before_there_were_lists_goes_on_them(void **state) {
    struct fixture *f = *state;
    struct sample s;
    struct store_crl_claim out;
    bool is_done = false;
    make_sample(f, &s, "a", "shop.test");
    commit(f, &s, SERIAL_A, ATTEMPT_A, "?");
    assert_ok(CALL(f, store_revoke_certificate, REVOCATION(SERIAL_A, 1700000001, 4, "admin"), NULL));
    /* As the version before left it. */
    ask_number(f, "HDEL certificate:" SERIAL_A " entry crl listed_ms");
    ask_number(f, "DEL crl-lists crl-unsorted crls-due crl-entries:1 crl:1");
    for (unsigned i = 0; i < 10 && !is_done; i++)
        assert_ok(CALL(f, store_adopt_revocations, 1, &is_done));
    assert_true(is_done);
    claim(f, &out);
    assert_int_equal(out.unsorted_count, 1);
    assert_ok(CALL(f, store_sort_revocation, SERIAL_A, LIST));
    assert_int_equal(drain(f), 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        test_case(revoked_serial_is_on_its_list_and_on_the_complete_one),
        test_case(list_of_an_older_certificate_is_read_in_it_before_any_is_made),
        test_case(list_that_changed_while_it_was_made_is_due_again),
        test_case(lists_that_cannot_be_made_do_not_keep_others_waiting),
        test_case(list_of_another_run_of_redis_is_not_published),
        test_case(entry_leaves_after_one_list_past_its_certificates_end),
        test_case(published_lists_are_found_by_whoever_knows_former_ones),
        test_case(planted_number_gives_way_to_who_has_refused_it),
        test_case(nothing_below_what_a_signer_has_signed_is_published),
        test_case(planted_floor_counts_for_nothing),
        test_case(list_that_was_published_again_is_due),
        test_case(list_that_nobody_would_make_is_made),
        test_case(what_was_revoked_before_there_were_lists_goes_on_them),
    };
    return cmocka_run_group_tests(tests, start_group, end_group);
}
