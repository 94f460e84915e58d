/* What the REST API needs of the store: one order a request however often it is sent, numbered pages, what
 * was asked kept with the certificate, a zone's SSL mode. */
#include <string.h>

#include "sample.h"

#define HASH SPKI_B
#define REQUEST "{\"csr\":\"-----BEGIN\\n\",\"request_type\":\"origin-ecc\",\"requested_validity\":7}"

static void fill_rest_order(struct fixture *f, struct sample *s) {
    fill_order(f, s, ORDER_READY, 1);
    s->order.account = "";
    s->order.origin = "rest";
    s->order.request = REQUEST;
}

static const char *create_once(struct fixture *f, struct sample *s, uint32_t seconds) {
    const char *id = NULL;
    fill_rest_order(f, s);
    assert_ok(CALL(f, store_create_order_once, f->arena, &s->order, "{}", HASH, seconds, &id));
    return id;
}

static void request_sent_again_joins_the_order_of_the_first(void **state) {
    struct fixture *f = *state;
    struct sample s, again;
    struct store_order found;
    make_sample(f, &s, "a", "shop.test");
    again = s;
    assert_code(CALL(f, store_find_retry, f->arena, HASH, &found), ERROR_NOT_FOUND);
    const char *first = create_once(f, &s, 60);
    assert_string_equal(first, s.order.id);
    assert_string_equal(create_once(f, &again, 60), first);
    assert_int_equal(ask_number(f, "ZCARD orders"), 1);
    assert_ok(CALL(f, store_find_retry, f->arena, HASH, &found));
    assert_string_equal(found.id, first);
    assert_string_equal(found.request, REQUEST);
    /* While it is made, and while its certificate is good. */
    assert_ok(CALL(f, store_claim_order, f->arena, first, ATTEMPT_A, 1, SPKI_B, SPKI_A, CSR, "ecc", &found));
    assert_string_equal(create_once(f, &again, 60), first);
    struct store_certificate certificate = new_certificate(&s, SERIAL_A, SPKI_A);
    certificate.account = "";
    assert_ok(CALL(f, store_commit_certificate, &certificate, ATTEMPT_A, NULL));
    assert_string_equal(create_once(f, &again, 60), first);
    /* Once revoked it stands for nothing. */
    assert_ok(CALL(f, store_revoke_certificate, REVOCATION(SERIAL_A, now_seconds(), 0, "admin"), NULL));
    assert_code(CALL(f, store_find_retry, f->arena, HASH, &found), ERROR_NOT_FOUND);
    assert_string_not_equal(create_once(f, &again, 60), first);
    assert_int_equal(ask_number(f, "ZCARD orders"), 2);
}

static void failed_or_expired_order_is_not_joined(void **state) {
    struct fixture *f = *state;
    struct sample s, again;
    struct store_order found;
    make_sample(f, &s, "a", "shop.test");
    again = s;
    const char *first = create_once(f, &s, 60);
    assert_ok(CALL(f, store_claim_order, f->arena, first, ATTEMPT_A, 1, SPKI_B, SPKI_A, CSR, "ecc", &found));
    assert_ok(CALL(f, store_release_order, first, ATTEMPT_A, "{}"));
    assert_code(CALL(f, store_find_retry, f->arena, HASH, &found), ERROR_NOT_FOUND);
    const char *second = create_once(f, &again, 60);
    assert_string_not_equal(second, first);
    ask_number(f, "HSET order:%s expires 1", second);
    assert_string_not_equal(create_once(f, &again, 60), second);
    assert_true(ask_number(f, "TTL retry:" HASH) <= 60);
}

static void request_is_kept_with_the_certificate_through_commit_and_order_loss(void **state) {
    struct fixture *f = *state;
    struct sample s;
    struct store_order order;
    struct store_certificate found;
    make_sample(f, &s, "a", "shop.test");
    create_once(f, &s, 60);
    assert_ok(
        CALL(f, store_claim_order, f->arena, s.order.id, ATTEMPT_A, 1, SPKI_B, SPKI_A, CSR, "ecc", &order));
    struct store_certificate certificate = new_certificate(&s, SERIAL_A, SPKI_A);
    certificate.account = "";
    assert_ok(CALL(f, store_commit_certificate, &certificate, ATTEMPT_A, NULL));
    ask_number(f, "DEL order:%s", s.order.id);
    assert_ok(CALL(f, store_load_certificate, f->arena, SERIAL_A, &found));
    assert_string_equal(found.request, REQUEST);
    assert_string_equal(found.account, "");
}

static void numbered_pages_count_certificates_without_voids(void **state) {
    struct fixture *f = *state;
    struct sample s;
    struct store_certificate_list list;
    uint64_t total;
    make_sample(f, &s, "a", "shop.test");
    for (int i = 0; i < 7; i++)
        issue(f, &s, arena_printf(f->arena, "0%d23456789abcdef0123456789abcdef", i),
              arena_printf(f->arena, "00112233445566778899aabbccddeeff-%d", i), SPKI_A);
    assert_ok(CALL(f, store_page_certificates, f->arena, s.zone.id, 2, 3, &list, &total));
    assert_int_equal(total, 7);
    assert_int_equal(list.count, 3);
    assert_ok(CALL(f, store_page_certificates, f->arena, s.zone.id, 6, 3, &list, &total));
    assert_int_equal(list.count, 1);
    assert_ok(CALL(f, store_page_certificates, f->arena, s.zone.id, 7, 3, &list, &total));
    assert_int_equal(list.count, 0);
    /* One of them turns out to be an intent without a certificate. */
    ask_number(f, "HSET certificate:0323456789abcdef0123456789abcdef status void");
    ask_number(f, "ZADD certificates:void 1 0323456789abcdef0123456789abcdef");
    size_t seen = 0;
    for (uint32_t offset = 0; offset < 9; offset += 2) {
        assert_ok(CALL(f, store_page_certificates, f->arena, s.zone.id, offset, 2, &list, &total));
        assert_int_equal(total, 6);
        for (size_t i = 0; i < list.count; i++)
            assert_int_equal(list.items[i].status, CERTIFICATE_VALID);
        seen += list.count;
    }
    assert_int_equal(seen, 6);
    assert_ok(CALL(f, store_page_certificates, f->arena, "nozone", 0, 2, &list, &total));
    assert_int_equal(total, 0);
}

static void zones_are_paged_by_name_status_and_permission(void **state) {
    struct fixture *f = *state;
    struct sample s, other;
    struct store_zone zones[5];
    struct store_zone_list list;
    uint64_t total;
    make_sample(f, &s, "a", "shop.test");
    make_sample(f, &other, "b", "rival.test");
    for (int i = 0; i < 5; i++)
        make_zone(f, arena_printf(f->arena, "z%d.test", i), s.customer.id, &zones[i]);
    struct store_zone_filter filter = {.customer = s.customer.id, .limit = 4};
    assert_ok(CALL(f, store_page_zones, f->arena, &filter, &list, &total));
    assert_int_equal(total, 6);
    assert_int_equal(list.count, 4);
    filter.offset = 4;
    assert_ok(CALL(f, store_page_zones, f->arena, &filter, &list, &total));
    assert_int_equal(list.count, 2);
    filter = (struct store_zone_filter){.customer = s.customer.id, .limit = 9, .status = "active"};
    assert_ok(CALL(f, store_page_zones, f->arena, &filter, &list, &total));
    assert_int_equal(total, 1);
    /* A paused zone counts by what it was. */
    assert_ok(CALL(f, store_set_zone_paused, f->arena, s.zone.id, true, &s.zone, NULL));
    assert_string_equal(s.zone.resumes, "active");
    assert_ok(CALL(f, store_page_zones, f->arena, &filter, &list, &total));
    assert_int_equal(total, 1);
    filter = (struct store_zone_filter){.customer = s.customer.id, .limit = 9, .name = "rival.test"};
    assert_ok(CALL(f, store_page_zones, f->arena, &filter, &list, &total));
    assert_int_equal(total, 0);
    const char *allowed[] = {zones[1].id, zones[3].id, other.zone.id};
    filter =
        (struct store_zone_filter){.customer = s.customer.id, .limit = 9, .zones = allowed, .zone_count = 3};
    assert_ok(CALL(f, store_page_zones, f->arena, &filter, &list, &total));
    assert_int_equal(total, 2);
    assert_string_equal(list.items[0].id, zones[3].id);
    assert_ok(CALL(f, store_delete_zone, zones[3].id, NULL));
    assert_ok(CALL(f, store_page_zones, f->arena, &filter, &list, &total));
    assert_int_equal(total, 1);
}

static void ssl_mode_stays_as_it_was_set(void **state) {
    struct fixture *f = *state;
    struct sample s;
    struct store_zone zone;
    make_sample(f, &s, "a", "shop.test");
    assert_ok(CALL(f, store_load_zone, f->arena, s.zone.id, &zone));
    assert_string_equal(zone.ssl_mode, "");
    assert_ok(CALL(f, store_set_zone_ssl, f->arena, s.zone.id, "strict", &zone));
    assert_string_equal(zone.ssl_mode, "strict");
    assert_true(zone.ssl_changed_at >= now_seconds() - 5);
    ask_number(f, "HSET zone:%s ssl_changed 5", s.zone.id);
    assert_ok(CALL(f, store_set_zone_ssl, f->arena, s.zone.id, "strict", &zone));
    assert_int_equal(zone.ssl_changed_at, 5);
    assert_ok(CALL(f, store_delete_zone, s.zone.id, NULL));
    assert_code(CALL(f, store_set_zone_ssl, f->arena, s.zone.id, "off", &zone), ERROR_NOT_FOUND);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        test_case(request_sent_again_joins_the_order_of_the_first),
        test_case(failed_or_expired_order_is_not_joined),
        test_case(request_is_kept_with_the_certificate_through_commit_and_order_loss),
        test_case(numbered_pages_count_certificates_without_voids),
        test_case(zones_are_paged_by_name_status_and_permission),
        test_case(ssl_mode_stays_as_it_was_set),
    };
    return cmocka_run_group_tests(tests, start_group, end_group);
}
