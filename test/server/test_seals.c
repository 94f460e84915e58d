/* What hosts tell each other by Redis counts only under the operators' secret: each field is sealed, in its
 * place and whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "originca/bulk_seal.h"
#include "originca/rights.h"

static const uint8_t secret[SHA256_BYTES] = {1}, other_secret[SHA256_BYTES] = {2};
static const struct worker host = {.operator_key = secret}, stranger = {.operator_key = other_secret};
static const struct worker without_secret = {.operator_key = NULL};

static const struct store_right said = {
    .kind = "zone-added", .subject = "z1", .name = "shop.test", .customer = "c1", .at_ms = 1234};

static struct store_right sealed(char seal[STORE_SEAL_MAX]) {
    struct store_right right = said;
    rights_seal(&host, &right, seal);
    right.seal = seal;
    return right;
}

static void a_seal_of_the_same_secret_is_good(void **state) {
    (void)state;
    char seal[STORE_SEAL_MAX];
    const struct store_right right = sealed(seal);
    assert_int_equal(strlen(seal), 2 * SHA256_BYTES);
    assert_true(rights_seal_is_good(&host, &right));
}

static void another_secret_or_none_makes_no_good_seal(void **state) {
    (void)state;
    char seal[STORE_SEAL_MAX];
    struct store_right right = sealed(seal);
    assert_false(rights_seal_is_good(&stranger, &right));
    assert_false(rights_seal_is_good(&without_secret, &right));
    rights_seal(&stranger, &said, seal);
    assert_false(rights_seal_is_good(&host, &right));
    rights_seal(&without_secret, &said, seal);
    assert_string_equal(seal, "");
    assert_false(rights_seal_is_good(&host, &right));
    assert_false(rights_seal_is_good(&without_secret, &right));
}

static void every_field_is_sealed(void **state) {
    (void)state;
    char seal[STORE_SEAL_MAX];
    const struct store_right right = sealed(seal);
    struct store_right forged[] = {right, right, right, right, right};
    forged[0].kind = "zone-ended";
    forged[1].subject = "z2";
    forged[2].name = "bank.test";
    forged[3].customer = "c2";
    forged[4].at_ms++;
    for (size_t i = 0; i < sizeof forged / sizeof forged[0]; i++)
        assert_false(rights_seal_is_good(&host, &forged[i]));
}

/* The same bytes in all, cut elsewhere. */
static void a_text_does_not_pass_into_the_next_field(void **state) {
    (void)state;
    char seal[STORE_SEAL_MAX];
    struct store_right right = sealed(seal);
    right.subject = "z1shop";
    right.name = ".test";
    assert_false(rights_seal_is_good(&host, &right));
    right = sealed(seal);
    right.name = "";
    right.customer = "shop.testc1";
    assert_false(rights_seal_is_good(&host, &right));
}

static void a_seal_that_was_cut_or_changed_is_none(void **state) {
    (void)state;
    char seal[STORE_SEAL_MAX];
    struct store_right right = sealed(seal);
    for (size_t i = 0; i < 2 * SHA256_BYTES; i++) {
        char before = seal[i];
        seal[i] = before == '0' ? '1' : '0';
        assert_false(rights_seal_is_good(&host, &right));
        seal[i] = '\0';
        assert_false(rights_seal_is_good(&host, &right));
        seal[i] = before;
    }
    assert_true(rights_seal_is_good(&host, &right));
    right.seal = NULL;
    assert_false(rights_seal_is_good(&host, &right));
}

/* --- jobs --- */

#define SERIAL "0123456789abcdef0123456789abcdef"
#define OTHER_SERIAL "1123456789abcdef0123456789abcdef"

static const struct store_bulk confirmed = {.id = "j1",
                                            .selection = {.customer = "c1",
                                                          .zone = "z1",
                                                          .account = "a1",
                                                          .issuer = "ecc",
                                                          .profile = "p1",
                                                          .key = "k1",
                                                          .serials = "s1",
                                                          .issued_since = 1,
                                                          .issued_before = 2,
                                                          .cut_off = 3},
                                            .reason = 4,
                                            .rate = 5,
                                            .by = "admin",
                                            .total = 2,
                                            .created_at = 7,
                                            .plan = "l1",
                                            .position = 1,
                                            .done = 1,
                                            .failed = 0};

static struct store_bulk sealed_job(char seal[STORE_SEAL_MAX], char progress[STORE_SEAL_MAX]) {
    struct store_bulk job = confirmed;
    bulk_seal_job(&host, &job, seal);
    bulk_seal_progress(&host, &job, progress);
    job.seal = seal;
    job.progress_seal = progress;
    return job;
}

static void every_field_of_a_job_and_how_far_it_came_is_sealed(void **state) {
    (void)state;
    char seal[STORE_SEAL_MAX], progress[STORE_SEAL_MAX];
    const struct store_bulk job = sealed_job(seal, progress);
    struct store_bulk forged[20];
    assert_null(bulk_seal_fault(&host, &job));
    assert_non_null(bulk_seal_fault(&stranger, &job));
    assert_non_null(bulk_seal_fault(&without_secret, &job));
    for (size_t i = 0; i < 20; i++)
        forged[i] = job;
    forged[0].id = "j2";
    forged[1].selection.customer = "c2";
    forged[2].selection.zone = "";
    forged[3].selection.account = "";
    forged[4].selection.issuer = "rsa";
    forged[5].selection.profile = "";
    forged[6].selection.key = "";
    forged[7].selection.serials = "";
    forged[8].selection.issued_since++;
    forged[9].selection.issued_before = 0;
    forged[10].selection.cut_off++;
    forged[11].reason = 1;
    forged[12].rate = 1000;
    forged[13].by = "admin:other";
    forged[14].total++;
    forged[15].created_at++;
    forged[16].plan = "l2";
    forged[17].position++;
    forged[18].done++;
    forged[19].state = BULK_DONE; /* before its end */
    for (size_t i = 0; i < 20; i++)
        assert_non_null(bulk_seal_fault(&host, &forged[i]));
}

static const char *fault_of(const char *piece, const char *seal, const char *given) {
    struct store_certificate certificate = {.serial = given};
    struct store_bulk_page page = {
        .limit = 10, .items = &certificate, .count = 1, .piece = piece, .piece_seal = seal};
    const char *fault = bulk_page_fault(&host, &confirmed, &page);
    assert_true(fault != NULL || page.span == 1);
    return fault;
}

static void a_page_is_of_a_list_that_is_sealed(void **state) {
    (void)state;
    char seal[STORE_SEAL_MAX], elsewhere[STORE_SEAL_MAX];
    bulk_seal_piece(&host, "l1", 0, OTHER_SERIAL SERIAL, seal);
    assert_null(fault_of(OTHER_SERIAL SERIAL, seal, SERIAL));
    assert_non_null(fault_of(OTHER_SERIAL SERIAL, seal, OTHER_SERIAL)); /* which was done before */
    assert_non_null(fault_of(SERIAL SERIAL, seal, SERIAL));
    assert_non_null(fault_of("", "", SERIAL));
    bulk_seal_piece(&host, "l2", 0, OTHER_SERIAL SERIAL, elsewhere);
    assert_non_null(fault_of(OTHER_SERIAL SERIAL, elsewhere, SERIAL));
    bulk_seal_piece(&host, "l1", 1, OTHER_SERIAL SERIAL, elsewhere);
    assert_non_null(fault_of(OTHER_SERIAL SERIAL, elsewhere, SERIAL));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_seal_of_the_same_secret_is_good),
        cmocka_unit_test(another_secret_or_none_makes_no_good_seal),
        cmocka_unit_test(every_field_is_sealed),
        cmocka_unit_test(every_field_of_a_job_and_how_far_it_came_is_sealed),
        cmocka_unit_test(a_page_is_of_a_list_that_is_sealed),
        cmocka_unit_test(a_text_does_not_pass_into_the_next_field),
        cmocka_unit_test(a_seal_that_was_cut_or_changed_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
