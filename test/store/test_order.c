/* Orders: round trip, the checks at creation, claiming and releasing, lists, expiry, the cap on refused
 * attempts. */
#include <string.h>

#include "sample.h"

static void order_comes_back_as_it_was_stored(void **state) {
    struct fixture *f = *state;
    struct sample s;
    struct store_order out;
    const char *evidence;
    make_sample(f, &s, "a", "shop.test");
    fill_order(f, &s, ORDER_PENDING, 3);
    s.order.authorizations[1].identifier = "HOST1.shop.test";
    s.order.authorizations[1].error = "{\"type\":\"x y\"}";
    s.order.authorizations[1].tries = 2;
    s.order.authorizations[2].identifier = "*.host2.shop.test";
    s.order.authorizations[2].name = "*.host2.shop.test";
    s.order.authorizations[2].zone = "";
    s.order.authorizations[2].token = "";
    s.order.not_after = 1900000000;
    s.order.replaces = "AAAA.BBBB";
    assert_ok(CALL(f, store_create_order, &s.order, "{\"a\":\"b c\"}"));
    assert_ok(CALL(f, store_create_order, &s.order, "{\"other\":1}")); /* repeated: nothing changes */
    assert_ok(CALL(f, store_load_order, f->arena, s.order.id, &out));
    assert_string_equal(out.account, s.account.id);
    assert_string_equal(out.customer, s.customer.id);
    assert_int_equal(out.status, ORDER_PENDING);
    assert_string_equal(out.profile, "origin");
    assert_string_equal(out.origin, "acme");
    assert_int_equal(out.not_before, 0);
    assert_int_equal(out.not_after, 1900000000);
    assert_string_equal(out.replaces, "AAAA.BBBB");
    assert_string_equal(out.serial, "");
    assert_int_equal(out.created_at, s.order.created_at);
    assert_int_equal(out.authorization_count, 3);
    for (size_t i = 0; i < 3; i++) {
        const struct store_authorization *in = &s.order.authorizations[i], *back = &out.authorizations[i];
        assert_string_equal(back->identifier, in->identifier);
        assert_string_equal(back->name, in->name);
        assert_string_equal(back->zone, in->zone);
        assert_string_equal(back->token, in->token);
        assert_string_equal(back->error, in->error == NULL ? "" : in->error);
        assert_int_equal(back->status, in->status);
        assert_int_equal(back->tries, in->tries);
        assert_int_equal(back->expires_at, in->expires_at);
    }
    assert_ok(CALL(f, store_load_evidence, f->arena, s.order.id, &evidence));
    assert_string_equal(evidence, "{\"a\":\"b c\"}");
    assert_code(CALL(f, store_load_order, f->arena, "nothing", &out), ERROR_NOT_FOUND);
    assert_code(CALL(f, store_load_evidence, f->arena, "nothing", &evidence), ERROR_NOT_FOUND);
}

static void a_hundred_names_fit(void **state) {
    struct fixture *f = *state;
    struct sample s;
    struct store_order out;
    make_sample(f, &s, "a", "shop.test");
    fill_order(f, &s, ORDER_READY, 100);
    assert_ok(CALL(f, store_create_order, &s.order, ""));
    assert_ok(CALL(f, store_load_order, f->arena, s.order.id, &out));
    assert_int_equal(out.authorization_count, 100);
    assert_string_equal(out.authorizations[99].name, "host99.shop.test");
    assert_string_equal(out.authorizations[99].zone, s.zone.id);
}

static void creation_checks_account_and_zones(void **state) {
    struct fixture *f = *state;
    struct sample s, other;
    make_sample(f, &s, "a", "shop.test");
    make_sample(f, &other, "b", "other.test");
    fill_order(f, &s, ORDER_READY, 1);
    s.order.authorizations[0].zone = other.zone.id;
    assert_code(CALL(f, store_create_order, &s.order, ""), ERROR_REFUSED);
    s.order.authorizations[0].zone = "00000000000000000000000000000000";
    assert_code(CALL(f, store_create_order, &s.order, ""), ERROR_REFUSED);
    s.order.authorizations[0].zone = s.zone.id;
    s.order.account = other.account.id; /* an account of another customer */
    assert_code(CALL(f, store_create_order, &s.order, ""), ERROR_REFUSED);
    s.order.account = "nobody";
    assert_code(CALL(f, store_create_order, &s.order, ""), ERROR_REFUSED);
    s.order.account = s.account.id;
    assert_ok(CALL(f, store_set_zone_paused, f->arena, s.zone.id, true, &s.zone, NULL));
    assert_code(CALL(f, store_create_order, &s.order, ""), ERROR_STOPPED);
    assert_int_equal(ask_number(f, "ZCARD orders"), 0);
    assert_ok(CALL(f, store_set_zone_paused, f->arena, s.zone.id, false, &s.zone, NULL));
    s.order.account = ""; /* REST */
    assert_ok(CALL(f, store_create_order, &s.order, ""));
}

static void certificate_is_replaced_by_one_live_order(void **state) {
    struct fixture *f = *state;
    struct sample s;
    struct store_order out;
    struct store_certificate certificate;
    make_sample(f, &s, "a", "shop.test");
    issue(f, &s, SERIAL_A, ATTEMPT_A, SPKI_A);
    fill_order(f, &s, ORDER_PENDING, 1);
    s.order.replaces_serial = SERIAL_A;
    assert_ok(CALL(f, store_create_order, &s.order, ""));
    assert_ok(CALL(f, store_create_order, &s.order, ""));
    const char *first = s.order.id;
    fill_order(f, &s, ORDER_READY, 1);
    s.order.replaces_serial = SERIAL_A;
    assert_code(CALL(f, store_create_order, &s.order, ""), ERROR_CONFLICT);
    const struct store_authorization_change lost = {
        .order_id = first, .status = AUTHORIZATION_INVALID, .error = "{}"};
    assert_ok(CALL(f, store_change_authorization, f->arena, &lost, &out));
    assert_ok(CALL(f, store_create_order, &s.order, "")); /* the first one lives no more */
    assert_ok(CALL(f, store_claim_order, f->arena, s.order.id, ATTEMPT_B, clock_wall_ms(), SPKI_A, SPKI_B,
                   CSR, "ecc", &out));
    const struct store_certificate next = new_certificate(&s, SERIAL_B, SPKI_B);
    assert_ok(CALL(f, store_commit_certificate, &next, ATTEMPT_B, NULL));
    assert_ok(CALL(f, store_load_certificate, f->arena, SERIAL_A, &certificate));
    assert_string_equal(certificate.replaced_by, s.order.id);
    fill_order(f, &s, ORDER_READY, 1);
    s.order.replaces_serial = SERIAL_A;
    assert_code(CALL(f, store_create_order, &s.order, ""), ERROR_CONFLICT);
}

static void claim_has_one_winner(void **state) {
    struct fixture *f = *state;
    struct sample s;
    struct store_order out;
    make_sample(f, &s, "a", "shop.test");
    fill_order(f, &s, ORDER_READY, 2);
    assert_ok(CALL(f, store_create_order, &s.order, ""));
    assert_ok(CALL(f, store_claim_order, f->arena, s.order.id, ATTEMPT_A, 1234567890123, SPKI_B, SPKI_A, CSR,
                   "ecc", &out));
    assert_int_equal(out.status, ORDER_PROCESSING);
    assert_string_equal(out.attempt, ATTEMPT_A);
    assert_true(out.claimed_at_ms == 1234567890123);
    assert_string_equal(out.csr_sha256, SPKI_B);
    assert_ok(CALL(f, store_claim_order, f->arena, s.order.id, ATTEMPT_A, 5, SPKI_B, SPKI_A, CSR, "ecc",
                   &out)); /* repeated */
    assert_true(out.claimed_at_ms == 1234567890123);
    assert_code(
        CALL(f, store_claim_order, f->arena, s.order.id, ATTEMPT_B, 5, SPKI_B, SPKI_A, CSR, "ecc", &out),
        ERROR_CONFLICT);
    assert_string_equal(out.attempt, ATTEMPT_A);
    assert_code(
        CALL(f, store_claim_order, f->arena, "nothing", ATTEMPT_B, 5, SPKI_B, SPKI_A, CSR, "ecc", &out),
        ERROR_NOT_FOUND);
}

static void claim_checks_everything_again(void **state) {
    struct fixture *f = *state;
    struct sample s;
    struct store_order out;
    make_sample(f, &s, "a", "shop.test");
    fill_order(f, &s, ORDER_PENDING, 1);
    assert_ok(CALL(f, store_create_order, &s.order, ""));
    assert_code(
        CALL(f, store_claim_order, f->arena, s.order.id, ATTEMPT_A, 1, SPKI_B, SPKI_A, CSR, "ecc", &out),
        ERROR_CONFLICT);
    assert_int_equal(out.status, ORDER_PENDING);
    fill_order(f, &s, ORDER_READY, 1);
    s.order.expires_at = now_seconds() - 1;
    assert_ok(CALL(f, store_create_order, &s.order, ""));
    assert_code(
        CALL(f, store_claim_order, f->arena, s.order.id, ATTEMPT_A, 1, SPKI_B, SPKI_A, CSR, "ecc", &out),
        ERROR_CONFLICT);
    assert_int_equal(out.status, ORDER_INVALID);
    fill_order(f, &s, ORDER_READY, 2);
    s.order.authorizations[1].expires_at = now_seconds() - 1;
    assert_ok(CALL(f, store_create_order, &s.order, ""));
    assert_code(
        CALL(f, store_claim_order, f->arena, s.order.id, ATTEMPT_A, 1, SPKI_B, SPKI_A, CSR, "ecc", &out),
        ERROR_CONFLICT);
    assert_int_equal(out.authorizations[1].status, AUTHORIZATION_EXPIRED);
    fill_order(f, &s, ORDER_READY, 1);
    assert_ok(CALL(f, store_create_order, &s.order, ""));
    ask_number(f, "SADD blocked-keys " SPKI_A);
    assert_code(
        CALL(f, store_claim_order, f->arena, s.order.id, ATTEMPT_A, 1, SPKI_B, SPKI_A, CSR, "ecc", &out),
        ERROR_REFUSED);
    assert_ok(CALL(f, store_set_zone_paused, f->arena, s.zone.id, true, &s.zone, NULL));
    assert_code(
        CALL(f, store_claim_order, f->arena, s.order.id, ATTEMPT_A, 1, SPKI_B, SPKI_B, CSR, "ecc", &out),
        ERROR_STOPPED);
    assert_int_equal(out.status, ORDER_READY);
}

static void stop(struct fixture *f, const char *issuer, bool is_stopped) {
    assert_ok(CALL(f, store_set_issuer_stopped, issuer, is_stopped, NULL));
}

/* Neither begins while issuance is stopped for everybody, or for all issuers that it could come from. */
static void stops_of_issuers_refuse_creation_and_claim(void **state) {
    struct fixture *f = *state;
    struct sample s;
    struct store_order out;
    struct store_stop_list stops;
    make_sample(f, &s, "a", "shop.test");
    fill_order(f, &s, ORDER_READY, 1);
    s.order.issuers = "ecc rsa";
    stop(f, "ecc", true);
    assert_ok(CALL(f, store_create_order, &s.order, ""));
    assert_code(
        CALL(f, store_claim_order, f->arena, s.order.id, ATTEMPT_A, 1, SPKI_B, SPKI_A, CSR, "ecc", &out),
        ERROR_STOPPED);
    assert_int_equal(out.status, ORDER_READY);
    stop(f, "rsa", true);
    fill_order(f, &s, ORDER_READY, 1);
    s.order.issuers = "ecc rsa";
    assert_code(CALL(f, store_create_order, &s.order, ""), ERROR_STOPPED);
    stop(f, "ecc", false);
    assert_ok(CALL(f, store_create_order, &s.order, ""));
    stop(f, STORE_EVERY_ISSUER, true);
    assert_code(
        CALL(f, store_claim_order, f->arena, s.order.id, ATTEMPT_A, 1, SPKI_B, SPKI_A, CSR, "ecc", &out),
        ERROR_STOPPED);
    assert_ok(CALL(f, store_load_stops, f->arena, 10, &stops));
    assert_int_equal(stops.count, 3); /* with the one that was allowed again */
    stop(f, STORE_EVERY_ISSUER, false);
    assert_ok(
        CALL(f, store_claim_order, f->arena, s.order.id, ATTEMPT_A, 1, SPKI_B, SPKI_A, CSR, "ecc", &out));
}

static void stops_of_customers_and_zones_are_told_by_whom(void **state) {
    struct fixture *f = *state;
    struct sample s;
    struct store_stop_list stops;
    const struct store_right right = {.kind = "x", .at_ms = clock_wall_ms(), .by = "admin:uid=7"};
    make_sample(f, &s, "a", "shop.test");
    assert_ok(CALL(f, store_set_customer_suspended, f->arena, s.customer.id, true, &s.customer, &right));
    assert_ok(CALL(f, store_set_zone_paused, f->arena, s.zone.id, true, &s.zone, &right));
    assert_ok(CALL(f, store_load_stops, f->arena, 0, &stops));
    assert_true(stops.count == 0 && stops.customers == 1 && stops.zones == 1);
    assert_ok(CALL(f, store_load_stops, f->arena, 10, &stops));
    assert_int_equal(stops.count, 2);
    assert_string_equal(stops.items[0].of, "customer");
    assert_string_equal(stops.items[0].name, "a");
    assert_string_equal(stops.items[1].of, "zone");
    assert_string_equal(stops.items[1].name, "shop.test");
    assert_string_equal(stops.items[1].by, "admin:uid=7");
    assert_int_equal(stops.items[1].since_ms / 1000, right.at_ms / 1000);
    assert_ok(CALL(f, store_set_customer_suspended, f->arena, s.customer.id, false, &s.customer, NULL));
    assert_ok(CALL(f, store_load_stops, f->arena, 10, &stops));
    assert_int_equal(stops.count, 1);
}

static void released_order_can_be_claimed_again_but_not_by_that_attempt(void **state) {
    struct fixture *f = *state;
    struct sample s;
    struct store_order out;
    make_sample(f, &s, "a", "shop.test");
    make_claimed(f, &s, ATTEMPT_A);
    assert_code(CALL(f, store_release_order, s.order.id, ATTEMPT_B, NULL), ERROR_CONFLICT);
    assert_ok(CALL(f, store_release_order, s.order.id, ATTEMPT_A, NULL));
    assert_ok(CALL(f, store_release_order, s.order.id, ATTEMPT_A, NULL));
    assert_ok(CALL(f, store_load_order, f->arena, s.order.id, &out));
    assert_int_equal(out.status, ORDER_PROCESSING); /* it never goes back to ready */
    assert_string_equal(out.attempt, "");
    assert_memory_equal(out.csr.data, CSR.data, CSR.length);
    assert_int_equal(out.csr.length, CSR.length);
    assert_code(
        CALL(f, store_claim_order, f->arena, s.order.id, ATTEMPT_B, 1, SPKI_B, SPKI_A, CSR, "ecc", &out),
        ERROR_CONFLICT); /* another CSR */
    assert_code(
        CALL(f, store_claim_order, f->arena, s.order.id, ATTEMPT_A, 1, SPKI_A, SPKI_A, CSR, "ecc", &out),
        ERROR_CONFLICT);
    assert_ok(
        CALL(f, store_claim_order, f->arena, s.order.id, ATTEMPT_B, 1, SPKI_A, SPKI_A, CSR, "ecc", &out));
    assert_ok(CALL(f, store_release_order, s.order.id, ATTEMPT_B, "{\"type\":\"serverInternal\"}"));
    assert_ok(CALL(f, store_release_order, s.order.id, ATTEMPT_B, "{\"type\":\"serverInternal\"}"));
    assert_ok(CALL(f, store_load_order, f->arena, s.order.id, &out));
    assert_int_equal(out.status, ORDER_INVALID);
    assert_string_equal(out.error, "{\"type\":\"serverInternal\"}");
    assert_int_equal(out.csr.length, 0);
    assert_int_equal(ask_number(f, "ZCARD orders-waiting"), 0);
    assert_code(CALL(f, store_release_order, "nothing", ATTEMPT_B, NULL), ERROR_NOT_FOUND);
}

static void an_order_that_waits_is_due_after_longer_and_longer_pauses(void **state) {
    struct fixture *f = *state;
    struct sample s;
    struct store_name_list list;
    long long last = 0;
    make_sample(f, &s, "a", "shop.test");
    make_claimed(f, &s, ATTEMPT_A);
    for (int i = 0; i < 3; i++) {
        long long now = (long long)clock_wall_ms();
        assert_ok(CALL(f, store_release_order, s.order.id, i == 0 ? ATTEMPT_A : "", NULL));
        assert_ok(CALL(f, store_waiting_orders, f->arena, 10, 60000, &list));
        assert_int_equal(list.count, 0);
        long long due = ask_number(f, "ZSCORE orders-waiting %s", s.order.id);
        assert_true(due >= now + (2000 << i) && due > last);
        last = due;
    }
    ask_number(f, "ZADD orders-waiting 1 %s", s.order.id);
    ask_number(f, "ZADD orders-waiting 1 nothing");
    assert_ok(CALL(f, store_waiting_orders, f->arena, 10, 60000, &list));
    assert_int_equal(list.count, 1);
    assert_string_equal(list.items[0], s.order.id);
    assert_ok(CALL(f, store_waiting_orders, f->arena, 10, 60000, &list)); /* leased */
    assert_int_equal(list.count, 0);
    assert_int_equal(ask_number(f, "ZCARD orders-waiting"), 1);
}

/* A host that never came back: the end of the order's life is the end of its attempt. */
static void attempts_of_another_host_are_stale_when_their_order_has_ended(void **state) {
    struct fixture *f = *state;
    struct sample s;
    struct store_attempt_list list;
    make_sample(f, &s, "a", "shop.test");
    make_claimed(f, &s, ATTEMPT_A);
    time_t ends = s.order.expires_at;
    int64_t later = clock_wall_ms() + 1000;
    assert_ok(CALL(f, store_stale_attempts, f->arena, later, 10, "another", ends, &list));
    assert_int_equal(list.count, 0);
    assert_ok(CALL(f, store_stale_attempts, f->arena, later, 10, "another", ends + 1, &list));
    assert_int_equal(list.count, 1);
    assert_true(list.items[0].expires_at == ends);
}

/* The reconciler ends it with a reason; until then its client finds it. */
static void the_sweep_keeps_an_order_in_processing(void **state) {
    struct fixture *f = *state;
    struct sample s;
    struct store_order out;
    uint64_t removed;
    make_sample(f, &s, "a", "shop.test");
    make_claimed(f, &s, ATTEMPT_A);
    ask_number(f, "ZADD orders-by-expiry 1 %s", s.order.id);
    assert_ok(CALL(f, store_sweep, 10, &removed));
    assert_int_equal(removed, 0);
    assert_ok(CALL(f, store_load_order, f->arena, s.order.id, &out));
    assert_int_equal(out.status, ORDER_PROCESSING);
}

static void stale_attempts_are_those_still_in_processing(void **state) {
    struct fixture *f = *state;
    struct sample s;
    struct store_order out;
    struct store_attempt_list list;
    const char *ids[3];
    make_sample(f, &s, "a", "shop.test");
    for (int i = 0; i < 3; i++) {
        fill_order(f, &s, ORDER_READY, 1);
        ids[i] = s.order.id;
        assert_ok(CALL(f, store_create_order, &s.order, ""));
        const char *attempt = arena_printf(f->arena, "attempt-%d", i);
        assert_ok(CALL(f, store_claim_order, f->arena, ids[i], attempt, 1000 * (i + 1), SPKI_B, SPKI_A, CSR,
                       "ecc", &out));
    }
    assert_ok(CALL(f, store_release_order, ids[1], "attempt-1", NULL));
    assert_ok(CALL(f, store_stale_attempts, f->arena, 3000, 10, "attempt-", 1, &list));
    assert_int_equal(list.count, 1);
    assert_string_equal(list.items[0].order, ids[0]);
    assert_string_equal(list.items[0].attempt, "attempt-0");
    assert_true(list.items[0].claimed_at_ms == 1000);
    assert_ok(CALL(f, store_stale_attempts, f->arena, 3001, 10, "attempt-", 1, &list));
    assert_int_equal(list.count, 2);
    assert_ok(CALL(f, store_stale_attempts, f->arena, 3001, 1, "attempt-", 1, &list));
    assert_int_equal(list.count, 1);
    ask_number(f, "DEL order:%s", ids[0]);
    assert_ok(CALL(f, store_stale_attempts, f->arena, 3001, 10, "attempt-", 1, &list));
    assert_int_equal(list.count, 1);
    assert_string_equal(list.items[0].order, ids[2]);
    assert_int_equal(ask_number(f, "ZCARD attempts"), 1);
}

static size_t count_orders(struct fixture *f, struct store_order_filter filter, uint32_t page) {
    struct store_order_list list;
    size_t count = 0;
    filter.limit = page;
    do {
        assert_ok(CALL(f, store_list_orders, f->arena, &filter, &list));
        assert_true(list.count <= page);
        count += list.count;
        filter.cursor = list.next_cursor;
    } while (filter.cursor != NULL);
    return count;
}

static void list_filters_combine(void **state) {
    struct fixture *f = *state;
    struct sample s, other;
    make_sample(f, &s, "a", "shop.test");
    make_sample(f, &other, "b", "other.test");
    for (int i = 0; i < 10; i++) {
        fill_order(f, &s, i < 4 ? ORDER_PENDING : i < 7 ? ORDER_READY : ORDER_REFUSED, 1);
        if (i == 0)
            s.order.expires_at = now_seconds() - 1;
        if (i == 1)
            s.order.created_at = now_seconds() - 1000;
        assert_ok(CALL(f, store_create_order, &s.order, ""));
    }
    fill_order(f, &other, ORDER_READY, 1);
    assert_ok(CALL(f, store_create_order, &other.order, ""));
    const struct store_order_filter all = {.status = -1};
    assert_int_equal(count_orders(f, all, 3), 11);
    assert_int_equal(count_orders(f, (struct store_order_filter){.status = ORDER_PENDING}, 2), 3);
    assert_int_equal(count_orders(f, (struct store_order_filter){.status = ORDER_INVALID}, 2), 1);
    assert_int_equal(count_orders(f, (struct store_order_filter){.status = ORDER_REFUSED}, 2), 3);
    assert_int_equal(
        count_orders(f, (struct store_order_filter){.status = ORDER_READY, .zone = s.zone.id}, 2), 3);
    assert_int_equal(
        count_orders(f, (struct store_order_filter){.status = ORDER_READY, .customer = other.customer.id}, 2),
        1);
    assert_int_equal(
        count_orders(
            f, (struct store_order_filter){.status = -1, .zone = s.zone.id, .customer = other.customer.id},
            2),
        0);
    assert_int_equal(
        count_orders(f, (struct store_order_filter){.status = -1, .since = now_seconds() - 500}, 4), 10);
}

static void page_looks_at_a_bounded_number_of_entries(void **state) {
    struct fixture *f = *state;
    struct sample s;
    struct store_order_list list;
    struct store_order_filter filter = {.status = -1, .limit = 10, .since = now_seconds() - 500};
    make_sample(f, &s, "a", "shop.test");
    for (int i = 0; i < 2101; i++) {
        fill_order(f, &s, ORDER_READY, 1);
        if (i > 0)
            s.order.created_at = now_seconds() - 1000;
        assert_ok(CALL(f, store_create_order, &s.order, ""));
    }
    assert_ok(CALL(f, store_list_orders, f->arena, &filter, &list));
    assert_int_equal(list.count, 0);
    assert_non_null(list.next_cursor);
    filter.cursor = list.next_cursor;
    assert_ok(CALL(f, store_list_orders, f->arena, &filter, &list));
    assert_int_equal(list.count, 1);
    assert_null(list.next_cursor);
}

static void refused_attempts_are_capped_per_customer(void **state) {
    struct fixture *f = *state;
    struct sample s, other;
    const char *first = NULL;
    const char *evidence;
    f->config.max_refused_per_customer = 3;
    make_sample(f, &s, "a", "shop.test");
    make_sample(f, &other, "b", "other.test");
    for (int i = 0; i < 5; i++) {
        fill_order(f, &s, ORDER_REFUSED, 1);
        s.order.authorizations[0].zone = "";
        s.order.error = "{\"type\":\"unauthorized\"}";
        if (first == NULL)
            first = s.order.id;
        assert_ok(CALL(f, store_create_order, &s.order, "{\"e\":1}"));
    }
    fill_order(f, &other, ORDER_REFUSED, 1);
    assert_ok(CALL(f, store_create_order, &other.order, ""));
    assert_int_equal(ask_number(f, "ZCARD orders:refused"), 4);
    assert_int_equal(ask_number(f, "ZCARD orders"), 4);
    assert_int_equal(ask_number(f, "ZCARD customer-orders:%s", s.customer.id), 3);
    assert_int_equal(ask_number(f, "EXISTS order:%s evidence:%s", first, first), 0);
    assert_ok(CALL(f, store_load_evidence, f->arena, s.order.id, &evidence));
    struct store_order out;
    const struct store_authorization_change change = {.order_id = s.order.id,
                                                      .status = AUTHORIZATION_DEACTIVATED};
    assert_code(CALL(f, store_change_authorization, f->arena, &change, &out), ERROR_CONFLICT);
}

static void every_order_has_an_end(void **state) {
    struct fixture *f = *state;
    struct sample s;
    struct store_order out;
    uint64_t removed;
    const int64_t grace = 86400;
    make_sample(f, &s, "a", "shop.test");
    fill_order(f, &s, ORDER_READY, 1);
    assert_ok(CALL(f, store_create_order, &s.order, "{}"));
    assert_in_range(ask_number(f, "TTL order:%s", s.order.id), 3600 + grace - 10, 3600 + grace);
    assert_in_range(ask_number(f, "TTL evidence:%s", s.order.id), 3600 + grace - 10, 3600 + grace);
    const char *ready = s.order.id;
    issue(f, &s, SERIAL_A, ATTEMPT_A, SPKI_A);
    assert_in_range(ask_number(f, "TTL order:%s", s.order.id),
                    f->config.evidence_retention_seconds + grace - 10,
                    f->config.evidence_retention_seconds + grace);
    fill_order(f, &s, ORDER_REFUSED, 1);
    assert_ok(CALL(f, store_create_order, &s.order, ""));
    assert_in_range(ask_number(f, "TTL order:%s", s.order.id),
                    f->config.refused_retention_seconds + grace - 10,
                    f->config.refused_retention_seconds + grace);
    /* The end comes. */
    ask_number(f, "ZADD orders-by-expiry 1 %s", ready);
    ask_number(f, "ZADD orders-by-expiry 1 %s", s.order.id);
    assert_ok(CALL(f, store_sweep, 1, &removed));
    assert_int_equal(removed, 1);
    assert_ok(CALL(f, store_sweep, 10, &removed));
    assert_int_equal(removed, 1);
    assert_code(CALL(f, store_load_order, f->arena, ready, &out), ERROR_NOT_FOUND);
    assert_int_equal(ask_number(f, "ZCARD orders"), 1);
    assert_int_equal(ask_number(f, "ZCARD zone-orders:%s", s.zone.id), 1);
    assert_int_equal(ask_number(f, "ZCARD account-orders:%s", s.account.id), 1);
    assert_int_equal(ask_number(f, "ZCARD customer-orders:%s", s.customer.id), 1);
    assert_int_equal(ask_number(f, "ZCARD orders:ready"), 0);
    assert_int_equal(ask_number(f, "ZCARD orders:refused"), 0);
}

static void index_entries_of_lost_orders_go_when_they_are_met(void **state) {
    struct fixture *f = *state;
    struct sample s;
    make_sample(f, &s, "a", "shop.test");
    for (int i = 0; i < 4; i++) {
        fill_order(f, &s, ORDER_READY, 1);
        assert_ok(CALL(f, store_create_order, &s.order, ""));
    }
    ask_number(f, "DEL order:%s", s.order.id);
    assert_int_equal(count_orders(f, (struct store_order_filter){.status = -1, .zone = s.zone.id}, 10), 3);
    assert_int_equal(ask_number(f, "ZCARD zone-orders:%s", s.zone.id), 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        test_case(order_comes_back_as_it_was_stored),
        test_case(a_hundred_names_fit),
        test_case(creation_checks_account_and_zones),
        test_case(certificate_is_replaced_by_one_live_order),
        test_case(claim_has_one_winner),
        test_case(claim_checks_everything_again),
        test_case(stops_of_issuers_refuse_creation_and_claim),
        test_case(stops_of_customers_and_zones_are_told_by_whom),
        test_case(released_order_can_be_claimed_again_but_not_by_that_attempt),
        test_case(an_order_that_waits_is_due_after_longer_and_longer_pauses),
        test_case(attempts_of_another_host_are_stale_when_their_order_has_ended),
        test_case(the_sweep_keeps_an_order_in_processing),
        test_case(stale_attempts_are_those_still_in_processing),
        test_case(list_filters_combine),
        test_case(page_looks_at_a_bounded_number_of_entries),
        test_case(refused_attempts_are_capped_per_customer),
        test_case(every_order_has_an_end),
        test_case(index_entries_of_lost_orders_go_when_they_are_met),
    };
    return cmocka_run_group_tests(tests, start_group, end_group);
}
