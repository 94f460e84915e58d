/* Certificates: commit with all its refusals, revocation that never goes back, lists, the end of their life.
 */
#include <string.h>

#include "sample.h"

static void commit_makes_certificate_and_order_valid(void **state) {
    struct fixture *f = *state;
    struct sample s;
    struct store_order order;
    struct store_certificate out;
    make_sample(f, &s, "a", "shop.test");
    issue(f, &s, SERIAL_A, ATTEMPT_A, SPKI_A);
    const struct store_certificate in = new_certificate(&s, SERIAL_A, SPKI_A);
    assert_ok(CALL(f, store_load_certificate, f->arena, SERIAL_A, &out));
    assert_int_equal(out.status, CERTIFICATE_VALID);
    assert_int_equal(out.der.length, in.der.length);
    assert_memory_equal(out.der.data, in.der.data, in.der.length);
    assert_string_equal(out.order, s.order.id);
    assert_string_equal(out.issuer, "ecc");
    assert_string_equal(out.spki_sha256, SPKI_A);
    assert_int_equal(out.name_count, 1);
    assert_string_equal(out.names[0], "shop.test");
    assert_string_equal(out.zones[0], s.zone.id);
    assert_int_equal(out.not_after - out.not_before, 90 * 86400);
    assert_ok(CALL(f, store_load_order, f->arena, s.order.id, &order));
    assert_int_equal(order.status, ORDER_VALID);
    assert_string_equal(order.serial, SERIAL_A);
    assert_int_equal(ask_number(f, "XLEN edge-events"), 1);
    assert_int_equal(ask_number(f, "ZCARD attempts"), 0);
    assert_code(CALL(f, store_load_certificate, f->arena, SERIAL_B, &out), ERROR_NOT_FOUND);
}

static void repeated_commit_succeeds_and_adds_nothing(void **state) {
    struct fixture *f = *state;
    struct sample s;
    struct store_certificate again;
    make_sample(f, &s, "a", "shop.test");
    issue(f, &s, SERIAL_A, ATTEMPT_A, SPKI_A);
    again = new_certificate(&s, SERIAL_A, SPKI_A);
    assert_ok(CALL(f, store_commit_certificate, &again, ATTEMPT_A, NULL));
    assert_int_equal(ask_number(f, "XLEN edge-events"), 1);
    assert_int_equal(ask_number(f, "ZCARD certificates"), 1);
    assert_code(CALL(f, store_commit_certificate, &again, ATTEMPT_B, NULL), ERROR_CONFLICT);
    again.serial = SERIAL_B; /* a second certificate for the order */
    assert_code(CALL(f, store_commit_certificate, &again, ATTEMPT_A, NULL), ERROR_CONFLICT);
    assert_code(CALL(f, store_commit_certificate, &again, ATTEMPT_B, NULL), ERROR_CONFLICT);
}

/* Signed and refused: it is known as void, so that the revocation that must follow finds it. */
static void check_orphan(struct fixture *f, struct sample *s, const char *attempt, enum error_code code) {
    const struct store_certificate certificate = new_certificate(s, SERIAL_A, SPKI_A);
    struct store_certificate out;
    assert_code(CALL(f, store_commit_certificate, &certificate, attempt, NULL), code);
    assert_ok(CALL(f, store_load_certificate, f->arena, SERIAL_A, &out));
    assert_int_equal(out.status, CERTIFICATE_VOID);
    assert_int_equal(ask_number(f, "XLEN edge-events"), 0);
    assert_code(CALL(f, store_commit_certificate, &certificate, attempt, NULL), ERROR_CONFLICT);
    assert_ok(CALL(f, store_revoke_certificate, REVOCATION(SERIAL_A, now_seconds(), 5, "recovery"), NULL));
    assert_code(CALL(f, store_commit_certificate, &certificate, attempt, NULL), ERROR_CONFLICT);
    assert_ok(CALL(f, store_load_certificate, f->arena, SERIAL_A, &out));
    assert_int_equal(out.status, CERTIFICATE_REVOKED);
}

static void commit_for_a_paused_zone_is_refused(void **state) {
    struct fixture *f = *state;
    struct sample s;
    struct store_order order;
    make_sample(f, &s, "a", "shop.test");
    make_claimed(f, &s, ATTEMPT_A);
    assert_ok(CALL(f, store_set_zone_paused, f->arena, s.zone.id, true, &s.zone, NULL));
    check_orphan(f, &s, ATTEMPT_A, ERROR_STOPPED);
    /* Its revocation leaves the order to another attempt; the late one cannot end it any more. */
    assert_ok(CALL(f, store_load_order, f->arena, s.order.id, &order));
    assert_int_equal(order.status, ORDER_PROCESSING);
    assert_code(CALL(f, store_release_order, s.order.id, ATTEMPT_A, "{\"type\":\"x\"}"), ERROR_CONFLICT);
    assert_ok(CALL(f, store_release_order, s.order.id, "", "{\"type\":\"x\"}"));
    assert_ok(CALL(f, store_load_order, f->arena, s.order.id, &order));
    assert_int_equal(order.status, ORDER_INVALID);
}

static void stop(struct fixture *f, const char *issuer, bool is_stopped) {
    assert_ok(CALL(f, store_set_issuer_stopped, issuer, is_stopped, NULL));
}

static void commit_under_a_stop_is_refused_and_leaves_the_order_waiting(void **state) {
    struct fixture *f = *state;
    struct sample s;
    struct store_order order;
    make_sample(f, &s, "a", "shop.test");
    make_claimed(f, &s, ATTEMPT_A);
    stop(f, STORE_EVERY_ISSUER, true);
    check_orphan(f, &s, ATTEMPT_A, ERROR_STOPPED);
    assert_ok(CALL(f, store_load_order, f->arena, s.order.id, &order));
    assert_int_equal(order.status, ORDER_PROCESSING);
    /* Another attempt waits as well, until it is allowed. */
    assert_code(CALL(f, store_claim_order, f->arena, s.order.id, ATTEMPT_B, clock_wall_ms(), SPKI_A, SPKI_A,
                     CSR, "ecc", &order),
                ERROR_STOPPED);
    stop(f, STORE_EVERY_ISSUER, false);
    assert_ok(CALL(f, store_claim_order, f->arena, s.order.id, ATTEMPT_B, clock_wall_ms(), SPKI_A, SPKI_A,
                   CSR, "ecc", &order));
}

static void commit_for_a_deleted_zone_is_refused(void **state) {
    struct fixture *f = *state;
    struct sample s;
    make_sample(f, &s, "a", "shop.test");
    make_claimed(f, &s, ATTEMPT_A);
    assert_ok(CALL(f, store_delete_zone, s.zone.id, NULL));
    check_orphan(f, &s, ATTEMPT_A, ERROR_CONFLICT);
}

static void commit_of_a_released_attempt_is_refused(void **state) {
    struct fixture *f = *state;
    struct sample s;
    make_sample(f, &s, "a", "shop.test");
    make_claimed(f, &s, ATTEMPT_A);
    assert_ok(CALL(f, store_release_order, s.order.id, ATTEMPT_A, NULL));
    check_orphan(f, &s, ATTEMPT_A, ERROR_CONFLICT);
}

static void commit_of_another_attempt_than_the_one_in_processing_is_refused(void **state) {
    struct fixture *f = *state;
    struct sample s;
    struct store_order order;
    make_sample(f, &s, "a", "shop.test");
    make_claimed(f, &s, ATTEMPT_A);
    assert_ok(CALL(f, store_release_order, s.order.id, ATTEMPT_A, NULL));
    assert_ok(CALL(f, store_claim_order, f->arena, s.order.id, ATTEMPT_B, clock_wall_ms(), SPKI_A, SPKI_A,
                   CSR, "ecc", &order));
    check_orphan(f, &s, ATTEMPT_A, ERROR_CONFLICT);
    assert_ok(CALL(f, store_load_order, f->arena, s.order.id, &order));
    assert_string_equal(order.attempt, ATTEMPT_B); /* untouched by the other's failure */
    const struct store_certificate certificate = new_certificate(&s, SERIAL_B, SPKI_A);
    assert_ok(CALL(f, store_commit_certificate, &certificate, ATTEMPT_B, NULL));
}

static void commit_without_its_order_is_refused(void **state) {
    struct fixture *f = *state;
    struct sample s;
    make_sample(f, &s, "a", "shop.test");
    make_claimed(f, &s, ATTEMPT_A);
    ask_number(f, "DEL order:%s", s.order.id);
    check_orphan(f, &s, ATTEMPT_A, ERROR_CONFLICT);
}

static void rest_certificate_needs_no_account(void **state) {
    struct fixture *f = *state;
    struct sample s;
    struct store_order out;
    make_sample(f, &s, "a", "shop.test");
    s.account.id = "";
    fill_order(f, &s, ORDER_READY, 1);
    s.order.origin = "rest";
    assert_ok(CALL(f, store_create_order, &s.order, ""));
    assert_ok(
        CALL(f, store_claim_order, f->arena, s.order.id, ATTEMPT_A, 1, SPKI_B, SPKI_A, CSR, "ecc", &out));
    const struct store_certificate certificate = new_certificate(&s, SERIAL_A, SPKI_A);
    assert_ok(CALL(f, store_commit_certificate, &certificate, ATTEMPT_A, NULL));
}

static void revocation_is_set_once(void **state) {
    struct fixture *f = *state;
    struct sample s;
    struct store_certificate out;
    struct store_order order;
    bool is_blocked, is_account_key;
    make_sample(f, &s, "a", "shop.test");
    issue(f, &s, SERIAL_A, ATTEMPT_A, SPKI_A);
    assert_ok(CALL(f, store_revoke_certificate, REVOCATION(SERIAL_A, 1700000001, 4, "admin"), NULL));
    assert_ok(CALL(f, store_revoke_certificate, REVOCATION(SERIAL_A, 1700000002, 5, "admin"), NULL));
    assert_ok(CALL(f, store_load_certificate, f->arena, SERIAL_A, &out));
    assert_int_equal(out.status, CERTIFICATE_REVOKED);
    assert_int_equal(out.revoked_at, 1700000001);
    assert_int_equal(out.reason, 4);
    assert_ok(CALL(f, store_key_status, SPKI_A, s.customer.id, s.account.id, &is_blocked, &is_account_key));
    assert_false(is_blocked);
    assert_ok(
        CALL(f, store_revoke_certificate, REVOCATION(SERIAL_A, 1700000003, 1, "certificate-key"), NULL));
    assert_ok(CALL(f, store_revoke_certificate, REVOCATION(SERIAL_A, 1700000004, 4, "admin"), NULL));
    assert_ok(CALL(f, store_load_certificate, f->arena, SERIAL_A, &out));
    assert_int_equal(out.revoked_at, 1700000001);
    assert_int_equal(out.reason, 1);
    assert_ok(CALL(f, store_key_status, SPKI_A, s.customer.id, s.account.id, &is_blocked, &is_account_key));
    assert_true(is_blocked);
    assert_int_equal(ask_number(f, "XLEN edge-events"), 2); /* issued, revoked once */
    assert_code(CALL(f, store_revoke_certificate, REVOCATION(SERIAL_B, 1, 0, "admin"), NULL),
                ERROR_NOT_FOUND);
    fill_order(f, &s, ORDER_READY, 1);
    assert_ok(CALL(f, store_create_order, &s.order, ""));
    assert_code(
        CALL(f, store_claim_order, f->arena, s.order.id, ATTEMPT_B, 1, SPKI_B, SPKI_A, CSR, "ecc", &order),
        ERROR_REFUSED);
}

static size_t count_certificates(struct fixture *f, struct store_certificate_filter filter) {
    struct store_certificate_list list;
    size_t count = 0;
    filter.limit = 2;
    do {
        assert_ok(CALL(f, store_list_certificates, f->arena, &filter, &list));
        count += list.count;
        filter.cursor = list.next_cursor;
    } while (filter.cursor != NULL);
    return count;
}

static void list_filters_combine(void **state) {
    struct fixture *f = *state;
    struct sample s, other;
    struct store_order order;
    make_sample(f, &s, "a", "shop.test");
    make_sample(f, &other, "b", "other.test");
    for (int i = 0; i < 6; i++) {
        struct sample *owner = i < 4 ? &s : &other;
        fill_order(f, owner, ORDER_READY, 1);
        assert_ok(CALL(f, store_create_order, &owner->order, ""));
        const char *attempt = arena_printf(f->arena, "attempt-%d", i);
        assert_ok(CALL(f, store_claim_order, f->arena, owner->order.id, attempt, 1, SPKI_B, SPKI_A, CSR,
                       "ecc", &order));
        struct store_certificate certificate =
            new_certificate(owner, arena_printf(f->arena, "0%d23456789abcdef0123456789abcdef", i), SPKI_A);
        certificate.not_after = now_seconds() + (i - 1) * 86400 + 1800;
        assert_ok(CALL(f, store_commit_certificate, &certificate, attempt, NULL));
    }
    assert_ok(CALL(f, store_revoke_certificate,
                   REVOCATION("0323456789abcdef0123456789abcdef", now_seconds(), 0, "admin"), NULL));
    const time_t soon = now_seconds() + 2 * 86400 + 3600;
    assert_int_equal(count_certificates(f, (struct store_certificate_filter){.status = -1}), 6);
    assert_int_equal(
        count_certificates(f, (struct store_certificate_filter){.status = -1, .zone = s.zone.id}), 4);
    assert_int_equal(
        count_certificates(f, (struct store_certificate_filter){.status = -1, .customer = other.customer.id}),
        2);
    assert_int_equal(count_certificates(f, (struct store_certificate_filter){.status = CERTIFICATE_REVOKED}),
                     1);
    assert_int_equal(count_certificates(f, (struct store_certificate_filter){.status = CERTIFICATE_EXPIRED}),
                     1);
    assert_int_equal(count_certificates(f, (struct store_certificate_filter){.status = CERTIFICATE_VOID}), 0);
    assert_int_equal(count_certificates(f, (struct store_certificate_filter){.status = CERTIFICATE_REVOKED,
                                                                             .zone = other.zone.id}),
                     0);
    assert_int_equal(
        count_certificates(f, (struct store_certificate_filter){.status = -1, .expires_before = soon}), 4);
    assert_int_equal(count_certificates(f, (struct store_certificate_filter){.status = CERTIFICATE_VALID,
                                                                             .expires_before = soon}),
                     2);
    struct store_stats stats;
    assert_ok(CALL(f, store_load_stats, f->arena, &stats));
    assert_int_equal(stats.customers, 2);
    assert_int_equal(stats.certificates, 6);
    assert_int_equal(stats.certificates_revoked, 1);
    assert_int_equal(stats.certificates_expiring_7d, 5);
    assert_int_equal(stats.orders_by_status[ORDER_VALID], 6);
    assert_int_equal(stats.accounts, 2);
    assert_true(stats.redis_memory_bytes > 100000);
    assert_true(stats.edge_sequence > 1000000);
}

static void expired_certificate_leaves_after_its_retention(void **state) {
    struct fixture *f = *state;
    struct sample s;
    struct store_certificate out;
    uint64_t removed;
    make_sample(f, &s, "a", "shop.test");
    issue(f, &s, SERIAL_A, ATTEMPT_A, SPKI_A);
    assert_ok(CALL(f, store_revoke_certificate, REVOCATION(SERIAL_A, now_seconds(), 0, "admin"), NULL));
    assert_true(ask_number(f, "TTL certificate:" SERIAL_A) >
                89 * 86400 + f->config.certificate_retention_seconds);
    assert_true(ask_number(f, "TTL key-certificates:" SPKI_A) >
                89 * 86400 + f->config.certificate_retention_seconds);
    ask_number(f, "ZADD certificates-by-expiry %lld " SERIAL_A,
               (long long)now_seconds() - f->config.certificate_retention_seconds + 60);
    assert_ok(CALL(f, store_sweep, 100, &removed));
    assert_int_equal(removed, 0);
    ask_number(f, "ZADD certificates-by-expiry %lld " SERIAL_A,
               (long long)now_seconds() - f->config.certificate_retention_seconds - 60);
    assert_ok(CALL(f, store_sweep, 100, &removed));
    assert_int_equal(removed, 1);
    assert_code(CALL(f, store_load_certificate, f->arena, SERIAL_A, &out), ERROR_NOT_FOUND);
    assert_int_equal(
        ask_number(f,
                   "EXISTS certificates certificates-by-expiry certificates:revoked certificates:void "
                   "customer-certificates:%s zone-certificates:%s key-certificates:" SPKI_A,
                   s.customer.id, s.zone.id),
        0);
}

static void edge_sequence_grows_with_every_event(void **state) {
    struct fixture *f = *state;
    struct sample s;
    make_sample(f, &s, "a", "shop.test");
    issue(f, &s, SERIAL_A, ATTEMPT_A, SPKI_A);
    long long first = ask_number(f, "GET edge-sequence");
    /* A clock that went back does not repeat a number. */
    ask_text(f, "SET edge-sequence 4000000000000000");
    ask_text(f, "XADD edge-events 4000000000000000-0 event x");
    assert_ok(CALL(f, store_revoke_certificate, REVOCATION(SERIAL_A, now_seconds(), 0, "admin"), NULL));
    assert_true(first > 1000000000000000);
    assert_true(ask_number(f, "GET edge-sequence") == 4000000000000001);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        test_case(commit_makes_certificate_and_order_valid),
        test_case(repeated_commit_succeeds_and_adds_nothing),
        test_case(commit_for_a_paused_zone_is_refused),
        test_case(commit_under_a_stop_is_refused_and_leaves_the_order_waiting),
        test_case(commit_for_a_deleted_zone_is_refused),
        test_case(commit_of_a_released_attempt_is_refused),
        test_case(commit_of_another_attempt_than_the_one_in_processing_is_refused),
        test_case(commit_without_its_order_is_refused),
        test_case(rest_certificate_needs_no_account),
        test_case(revocation_is_set_once),
        test_case(list_filters_combine),
        test_case(expired_certificate_leaves_after_its_retention),
        test_case(edge_sequence_grows_with_every_event),
    };
    return cmocka_run_group_tests(tests, start_group, end_group);
}
