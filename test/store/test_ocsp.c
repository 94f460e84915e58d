/* What OCSP says of certificates, and that an answer is given out only while it still says what is so. */
#include <string.h>

#include "sample.h"

static void ask(struct fixture *f, const char *serial, struct store_ocsp *item,
                struct store_ocsp_list *list) {
    *item = (struct store_ocsp){.serial = serial};
    *list = (struct store_ocsp_list){.items = item, .count = 1};
    assert_ok(CALL(f, store_load_ocsp, f->arena, "host", list));
}

static void an_answer_may_be_given_out_until_the_certificate_is_revoked(void **state) {
    struct fixture *f = *state;
    struct sample s;
    struct store_ocsp item, former_item;
    struct store_ocsp_list list, former;
    make_sample(f, &s, "a", "shop.test");
    issue(f, &s, SERIAL_A, ATTEMPT_A, SPKI_A);
    ask(f, SERIAL_A, &former_item, &former);
    assert_int_equal(former_item.status, STORE_OCSP_GOOD);
    assert_string_equal(former_item.issuer, "ecc");
    assert_ok(CALL(f, store_confirm_ocsp, &former));
    assert_ok(CALL(f, store_revoke_certificate, REVOCATION(SERIAL_A, 77, 4, "admin:a"), NULL));
    assert_code(CALL(f, store_confirm_ocsp, &former), ERROR_CONFLICT);
    ask(f, SERIAL_A, &item, &list);
    assert_int_equal(item.status, STORE_OCSP_REVOKED);
    assert_int_equal(item.revoked_at, 77);
    assert_int_equal(item.reason, 4);
    assert_ok(CALL(f, store_confirm_ocsp, &list));
    /* A worse reason is another status. */
    assert_ok(CALL(f, store_revoke_certificate, REVOCATION(SERIAL_A, 99, 1, "admin:a"), NULL));
    assert_code(CALL(f, store_confirm_ocsp, &list), ERROR_CONFLICT);
    ask(f, SERIAL_A, &item, &list);
    assert_int_equal(item.reason, 1);
    assert_int_equal(item.revoked_at, 77);
    assert_ok(CALL(f, store_confirm_ocsp, &list));
}

static void what_was_never_given_out_is_revoked_and_what_is_unknown_is_nothing(void **state) {
    struct fixture *f = *state;
    struct sample s;
    struct store_ocsp items[2];
    struct store_ocsp_list list;
    make_sample(f, &s, "a", "shop.test");
    make_claimed(f, &s, ATTEMPT_A);
    assert_ok(CALL(f, store_set_zone_paused, f->arena, s.zone.id, true, &s.zone, NULL));
    ask(f, SERIAL_A, items, &list);
    assert_int_equal(items[0].status, STORE_OCSP_UNKNOWN);
    const struct store_certificate certificate = new_certificate(&s, SERIAL_A, SPKI_A);
    assert_code(CALL(f, store_commit_certificate, &certificate, ATTEMPT_A, NULL), ERROR_STOPPED);
    items[0] = (struct store_ocsp){.serial = SERIAL_B};
    items[1] = (struct store_ocsp){.serial = SERIAL_A};
    list = (struct store_ocsp_list){.items = items, .count = 2};
    assert_ok(CALL(f, store_load_ocsp, f->arena, "host", &list));
    assert_int_equal(items[0].status, STORE_OCSP_UNKNOWN);
    assert_int_equal(items[1].status, STORE_OCSP_REVOKED);
    assert_int_equal(items[1].revoked_at, certificate.issued_at);
    assert_int_equal(items[1].reason, 0);
    assert_ok(CALL(f, store_confirm_ocsp, &list));
}

static void the_watermark_comes_along(void **state) {
    struct fixture *f = *state;
    struct store_ocsp item;
    struct store_ocsp_list list;
    assert_ok(CALL(f, store_reset_ledger_state, "host", "id", 41));
    ask(f, SERIAL_A, &item, &list);
    assert_int_equal(list.applied, 41);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        test_case(an_answer_may_be_given_out_until_the_certificate_is_revoked),
        test_case(what_was_never_given_out_is_revoked_and_what_is_unknown_is_nothing),
        test_case(the_watermark_comes_along),
    };
    return cmocka_run_group_tests(tests, start_group, end_group);
}
