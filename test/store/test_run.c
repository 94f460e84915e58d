/* Which run of Redis it is, which hosts have compared their ledgers with it, and the nonces of before. */
#include <stdio.h>
#include <string.h>

#include "originca/json.h"
#include "sample.h"

static struct store_ledger_state state_of(struct fixture *f, const char *host) {
    struct store_ledger_state state;
    assert_ok(CALL(f, store_load_ledger_state, f->arena, host, &state));
    return state;
}

static const char *run_of(struct fixture *f) {
    const char *run = state_of(f, "a").run;
    assert_int_equal(strlen(run), 40);
    return run;
}

static enum error_code verify(struct fixture *f, const char *host, const char *run, const char *known) {
    const char *const hosts[] = {known};
    return CALL(f, store_verify_ledger, host, run, hosts, known == NULL ? 0 : 1);
}

/* As if Redis had been started again since. */
static void forget_run(struct fixture *f) {
    ask_text(f, "SET ledger-run former");
    ask_text(f, "HSET ledger:a verified former");
    ask_text(f, "HSET ledger:b verified former");
}

static void a_run_is_whole_when_all_hosts_have_verified_it(void **state) {
    struct fixture *f = *state;
    const char *run = run_of(f);
    assert_ok(verify(f, "a", run, NULL));
    assert_ok(verify(f, "b", run, NULL));
    assert_int_equal(state_of(f, "a").host_count, 2);
    assert_int_equal(state_of(f, "a").missing_count, 0);
    assert_string_equal(state_of(f, "b").verified, run);
    forget_run(f);
    assert_int_equal(state_of(f, "a").missing_count, 2);
    assert_ok(verify(f, "b", run, NULL));
    struct store_ledger_state found = state_of(f, "b");
    assert_int_equal(found.missing_count, 1);
    assert_string_equal(found.missing[0], "a");
    assert_ok(verify(f, "a", run, NULL));
    assert_int_equal(state_of(f, "b").missing_count, 0);
    assert_code(verify(f, "a", "0000", NULL), ERROR_CONFLICT);
}

static enum error_code compare(struct fixture *f, const char *name, const char *digest, bool binds,
                               uint64_t *unknown) {
    struct store_issuer issuers[2] = {{.name = "rsa", .digest = "aa"}, {.name = name}};
    snprintf(issuers[1].digest, sizeof issuers[1].digest, "%s", digest);
    *unknown = 99;
    return CALL(f, store_compare_issuers, issuers, 2, binds, unknown);
}

static void an_issuers_name_is_the_first_hosts(void **state) {
    struct fixture *f = *state;
    uint64_t unknown;
    assert_ok(compare(f, "ecc", "00", false, &unknown));
    assert_int_equal(unknown, 2); /* looking changes nothing */
    assert_ok(compare(f, "ecc", "00", true, &unknown));
    assert_int_equal(unknown, 0);
    assert_ok(compare(f, "ecc", "00", false, &unknown));
    assert_int_equal(unknown, 0);
    assert_code(compare(f, "ecc", "11", false, &unknown), ERROR_CONFLICT);
    assert_code(compare(f, "ecc", "11", true, &unknown), ERROR_CONFLICT);
    assert_ok(compare(f, "ecc-2026", "11", false, &unknown));
    assert_int_equal(unknown, 1);
    assert_ok(compare(f, "ecc", "00", false, &unknown));
}

static void hosts_that_an_older_copy_does_not_know_are_missing_too(void **state) {
    struct fixture *f = *state;
    assert_ok(verify(f, "a", run_of(f), "b"));
    struct store_ledger_state found = state_of(f, "a");
    assert_int_equal(found.missing_count, 1);
    assert_string_equal(found.missing[0], "b");
    /* Only the first of a run says so: a host that was given up since does not come back by the others. */
    assert_ok(CALL(f, store_excuse_host, "b", "admin", true));
    assert_ok(verify(f, "a", run_of(f), "b"));
    assert_int_equal(state_of(f, "a").host_count, 1);
}

static void a_host_is_excused_from_one_run_or_for_good(void **state) {
    struct fixture *f = *state;
    const char *run = run_of(f);
    assert_code(CALL(f, store_excuse_host, "b", "admin", false), ERROR_NOT_FOUND);
    assert_ok(verify(f, "a", run, NULL));
    assert_ok(verify(f, "b", run, NULL));
    assert_code(CALL(f, store_excuse_host, "b", "admin", false), ERROR_CONFLICT);
    forget_run(f);
    assert_ok(verify(f, "a", run, NULL));
    assert_ok(CALL(f, store_excuse_host, "b", "admin:uid 0", false));
    assert_int_equal(state_of(f, "a").missing_count, 0);
    assert_string_equal(ask_text(f, "HGET ledger:b excused_by"), "admin:uid 0");
    ask_text(f, "HSET ledger:b excused former");
    assert_int_equal(state_of(f, "a").missing_count, 1);
    assert_ok(verify(f, "b", run, NULL));
    assert_null(ask_text(f, "HGET ledger:b excused_by"));
}

static void data_that_goes_back_under_one_run_is_verified_anew(void **state) {
    struct fixture *f = *state;
    assert_ok(verify(f, "a", run_of(f), NULL));
    begin_call(f);
    store_doubt_ledgers(f->store, note_done, f);
    assert_ok(await(f));
    assert_int_equal(state_of(f, "a").missing_count, 1);
    assert_string_equal(state_of(f, "a").verified, "");
}

static void nonces_of_before_a_run_are_spent(void **state) {
    struct fixture *f = *state;
    struct store_account account;
    struct nonce nonce = {.block_hex = "000102030405060708090a0b",
                          .index = 1,
                          .issued_at = now_seconds(),
                          .expires_at = now_seconds() + 60};
    assert_int_equal(state_of(f, "a").nonces_wait_seconds, 0);
    assert_ok(verify(f, "a", run_of(f), NULL)); /* all is new */
    assert_int_equal(state_of(f, "a").nonces_wait_seconds, 0);
    forget_run(f);
    assert_ok(verify(f, "a", run_of(f), NULL));
    assert_int_equal(state_of(f, "a").nonces_wait_seconds, 1);
    assert_code(CALL(f, store_authenticate, f->arena, &nonce, NULL, NULL, &account), ERROR_CONFLICT);
    assert_int_equal(ask_number(f, "EXISTS nonce:000102030405060708090a0b"), 0);
    nonce.issued_at = now_seconds() + 1;
    assert_ok(CALL(f, store_authenticate, f->arena, &nonce, NULL, NULL, &account));
    const char *not_before = arena_strdup(f->arena, ask_text(f, "GET nonces:not-before"));
    assert_ok(verify(f, "b", run_of(f), NULL)); /* the second of a run ends none */
    assert_string_equal(ask_text(f, "GET nonces:not-before"), not_before);
}

/* --- what vanished --- */

static bool is_lost(struct fixture *f, const char *kind, const char *id, const char *name,
                    const char *customer) {
    struct store_trace trace = {.kind = kind, .id = id, .name = name, .customer = customer};
    bool is_untold = true;
    assert_ok(CALL(f, store_find_lost, "a", &trace, 1, &is_untold));
    assert_false(is_untold);
    return trace.is_lost;
}

static bool is_zone_lost(struct fixture *f, const struct store_zone *zone) {
    return is_lost(f, "zone", zone->id, zone->name, zone->customer);
}

static void a_zone_is_lost_with_any_of_its_indexes(void **state) {
    struct fixture *f = *state;
    struct sample s;
    make_sample(f, &s, "a", "shop.test");
    const struct store_zone *zone = &s.zone;
    assert_false(is_zone_lost(f, zone));
    const struct {
        const char *take, *give;
    } losses[] = {
        {arena_printf(f->arena, "ZREM zones %s", zone->id),
         arena_printf(f->arena, "ZADD zones 1 %s", zone->id)},
        {arena_printf(f->arena, "ZREM customer-zones:%s %s", zone->customer, zone->id),
         arena_printf(f->arena, "ZADD customer-zones:%s 1 %s", zone->customer, zone->id)},
        {arena_printf(f->arena, "HDEL zone-name:shop.test %s", zone->customer),
         arena_printf(f->arena, "HSET zone-name:shop.test %s %s", zone->customer, zone->id)},
        {arena_printf(f->arena, "RENAME customer:%s away", zone->customer),
         arena_printf(f->arena, "RENAME away customer:%s", zone->customer)},
        {arena_printf(f->arena, "RENAME zone:%s away", zone->id),
         arena_printf(f->arena, "RENAME away zone:%s", zone->id)},
    };
    for (size_t i = 0; i < sizeof losses / sizeof losses[0]; i++) {
        ask_text(f, losses[i].take);
        assert_true(is_zone_lost(f, zone));
        ask_text(f, losses[i].give);
        assert_false(is_zone_lost(f, zone));
    }
    assert_ok(CALL(f, store_delete_zone, zone->id, NULL));
    assert_false(is_zone_lost(f, zone));
    assert_true(is_lost(f, "account", "nobody", NULL, NULL));
    assert_false(is_lost(f, "account", s.account.id, NULL, NULL));
}

static void a_zone_that_a_replay_did_not_find_is_no_news(void **state) {
    struct fixture *f = *state;
    struct error error;
    const char *const text = "{\"seq\":1,\"type\":\"zone-added\",\"zone\":\"z\",\"name\":\"z.test\","
                             "\"customer\":\"c\",\"at_ms\":1,\"by\":\"admin:0\"}";
    assert_true(is_lost(f, "zone", "z", "z.test", "c"));
    assert_ok(CALL(f, store_apply_ledger_record, "a", json_parse(f->arena, text, strlen(text), &error), 60));
    assert_false(is_lost(f, "zone", "z", "z.test", "c"));
}

static void a_host_that_misses_something_has_the_others_wait(void **state) {
    struct fixture *f = *state;
    const char *run = run_of(f);
    assert_ok(verify(f, "a", run, NULL));
    assert_ok(verify(f, "b", run, NULL));
    assert_ok(CALL(f, store_note_lost, "b", "zone z"));
    assert_string_equal(state_of(f, "b").lost, "zone z");
    assert_int_equal(state_of(f, "a").missing_count, 1);
    assert_ok(CALL(f, store_note_lost, "b", ""));
    assert_string_equal(state_of(f, "b").lost, "");
    assert_int_equal(state_of(f, "a").missing_count, 1); /* until it has compared */
    assert_ok(CALL(f, store_begin_replay, "b", 7));
    assert_ok(CALL(f, store_begin_replay, "b", 5));
    assert_int_equal(state_of(f, "b").replayed, 7);
}

/* What another host ended and this host was not told may be what is missing. */
static void what_was_not_told_yet_is_said(void **state) {
    struct fixture *f = *state;
    struct store_trace trace = {.kind = "customer", .id = "c"};
    bool is_untold = false;
    ask_text(f, "XADD ledger-rights 5-1 kind zone-ended subject z at 1 seal x");
    assert_ok(CALL(f, store_find_lost, "a", &trace, 1, &is_untold));
    assert_true(is_untold && trace.is_lost);
    ask_text(f, "HSET ledger:a rights_seen 5-1");
    assert_ok(CALL(f, store_find_lost, "a", &trace, 1, &is_untold));
    assert_false(is_untold);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        test_case(a_run_is_whole_when_all_hosts_have_verified_it),
        test_case(an_issuers_name_is_the_first_hosts),
        test_case(hosts_that_an_older_copy_does_not_know_are_missing_too),
        test_case(a_host_is_excused_from_one_run_or_for_good),
        test_case(data_that_goes_back_under_one_run_is_verified_anew),
        test_case(nonces_of_before_a_run_are_spent),
        test_case(a_zone_is_lost_with_any_of_its_indexes),
        test_case(a_zone_that_a_replay_did_not_find_is_no_news),
        test_case(a_host_that_misses_something_has_the_others_wait),
        test_case(what_was_not_told_yet_is_said),
    };
    return cmocka_run_group_tests(tests, start_group, end_group);
}
