/* What OCSP says of certificates, and that a kept answer is given out only while it still says what is so. */
#include <string.h>

#include "sample.h"

static const struct store_ocsp_answer answer = {{(const uint8_t *)"a\0 b\n", 5}, 1000, 2000};

static void ask(struct fixture *f, const char *serial, uint8_t form, struct store_ocsp *item,
                struct store_ocsp_list *list) {
    *item = (struct store_ocsp){.serial = serial};
    *list = (struct store_ocsp_list){.items = item, .count = 1, .is_kept = true, .form = form};
    assert_ok(CALL(f, store_load_ocsp, f->arena, "host", list));
}

static void a_kept_answer_is_given_out_until_the_certificate_is_revoked(void **state) {
    struct fixture *f = *state;
    struct sample s;
    struct store_ocsp item;
    struct store_ocsp_list list, former;
    make_sample(f, &s, "a", "shop.test");
    issue(f, &s, SERIAL_A, ATTEMPT_A, SPKI_A);
    ask(f, SERIAL_A, 1, &item, &list);
    assert_int_equal(item.status, STORE_OCSP_GOOD);
    assert_string_equal(item.issuer, "ecc");
    assert_int_equal(list.kept.der.length, 0);
    assert_ok(CALL(f, store_keep_ocsp, &list, &answer, 60));
    former = list;
    ask(f, SERIAL_A, 2, &item, &list); /* another form of its CertID */
    assert_int_equal(list.kept.der.length, 0);
    ask(f, SERIAL_A, 1, &item, &list);
    assert_int_equal(list.kept.der.length, answer.der.length);
    assert_memory_equal(list.kept.der.data, answer.der.data, answer.der.length);
    assert_int_equal(list.kept.this_update, 1000);
    assert_int_equal(list.kept.next_update, 2000);
    former.items = arena_copy(f->arena, &item, sizeof item);
    assert_ok(CALL(f, store_revoke_certificate, REVOCATION(SERIAL_A, 77, 4, "admin:a"), NULL));
    ask(f, SERIAL_A, 1, &item, &list);
    assert_int_equal(item.status, STORE_OCSP_REVOKED);
    assert_int_equal(item.revoked_at, 77);
    assert_int_equal(item.reason, 4);
    assert_int_equal(list.kept.der.length, 0);
    /* Signed before, to be given out now: no. */
    assert_code(CALL(f, store_keep_ocsp, &former, &answer, 60), ERROR_CONFLICT);
    former.is_kept = false; /* with a nonce */
    assert_code(CALL(f, store_keep_ocsp, &former, &answer, 60), ERROR_CONFLICT);
    assert_ok(CALL(f, store_keep_ocsp, &list, &answer, 60));
    ask(f, SERIAL_A, 1, &item, &list);
    assert_int_equal(list.kept.der.length, answer.der.length);
    /* A worse reason is another status. */
    assert_ok(CALL(f, store_revoke_certificate, REVOCATION(SERIAL_A, 99, 1, "admin:a"), NULL));
    ask(f, SERIAL_A, 1, &item, &list);
    assert_int_equal(item.reason, 1);
    assert_int_equal(item.revoked_at, 77);
    assert_int_equal(list.kept.der.length, 0);
}

static void what_was_never_given_out_is_revoked_and_what_is_unknown_is_nothing(void **state) {
    struct fixture *f = *state;
    struct sample s;
    struct store_ocsp items[2];
    struct store_ocsp_list list;
    make_sample(f, &s, "a", "shop.test");
    make_claimed(f, &s, ATTEMPT_A);
    assert_ok(CALL(f, store_set_zone_paused, f->arena, s.zone.id, true, &s.zone, NULL));
    ask(f, SERIAL_A, 0, items, &list);
    assert_int_equal(items[0].status, STORE_OCSP_UNKNOWN);
    const struct store_certificate certificate = new_certificate(&s, SERIAL_A, SPKI_A);
    assert_code(CALL(f, store_commit_certificate, &certificate, ATTEMPT_A, NULL), ERROR_STOPPED);
    items[0] = (struct store_ocsp){.serial = SERIAL_B};
    items[1] = (struct store_ocsp){.serial = SERIAL_A};
    list = (struct store_ocsp_list){.items = items, .count = 2, .is_kept = true};
    assert_ok(CALL(f, store_load_ocsp, f->arena, "host", &list));
    assert_int_equal(items[0].status, STORE_OCSP_UNKNOWN);
    assert_int_equal(items[1].status, STORE_OCSP_REVOKED);
    assert_int_equal(items[1].revoked_at, certificate.issued_at);
    assert_int_equal(items[1].reason, 0);
    assert_ok(CALL(f, store_keep_ocsp, &list, &answer, 60));
    assert_int_equal(ask_number(f, "EXISTS ocsp:" SERIAL_A ":0 ocsp:" SERIAL_B ":0"), 0);
}

static void the_watermark_comes_along(void **state) {
    struct fixture *f = *state;
    struct store_ocsp item;
    struct store_ocsp_list list;
    assert_ok(CALL(f, store_reset_ledger_state, "host", "id", 41));
    ask(f, SERIAL_A, 0, &item, &list);
    assert_int_equal(list.applied, 41);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        test_case(a_kept_answer_is_given_out_until_the_certificate_is_revoked),
        test_case(what_was_never_given_out_is_revoked_and_what_is_unknown_is_nothing),
        test_case(the_watermark_comes_along),
    };
    return cmocka_run_group_tests(tests, start_group, end_group);
}
