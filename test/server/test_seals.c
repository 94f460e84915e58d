/* What hosts tell each other by Redis counts only under the operators' secret: each field is sealed, in its
 * place and whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_seal_of_the_same_secret_is_good),
        cmocka_unit_test(another_secret_or_none_makes_no_good_seal),
        cmocka_unit_test(every_field_is_sealed),
        cmocka_unit_test(a_text_does_not_pass_into_the_next_field),
        cmocka_unit_test(a_seal_that_was_cut_or_changed_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
