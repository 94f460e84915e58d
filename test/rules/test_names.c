/* Unit tests of names: what is accepted, each refusal, the relations between names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "originca/names.h"

static int set_up(void **state) {
    static const char *const special[] = {"test"};
    (void)state;
    return names_load_suffixes(NULL, NULL) && names_allow_special(special, 1) ? 0 : -1;
}

#define LABEL(letter) letter "234567890123456789012345678901234567890123456789"
#define TWO_HUNDRED LABEL("a") "." LABEL("b") "." LABEL("c") "." LABEL("d")

static void good_names_come_out_in_lower_case(void **state) {
    static const struct {
        const char *name, *canonical;
    } cases[] = {{"www.shop.test", "www.shop.test"},
                 {"WWW.Shop.Test", "www.shop.test"},
                 {"*.shop.test", "*.shop.test"},
                 {"a-b.c--d.example.com", "a-b.c--d.example.com"},
                 {"xn--bcher-kva.shop.test", "xn--bcher-kva.shop.test"},
                 {"1.2.shop.test", "1.2.shop.test"},
                 {"*." TWO_HUNDRED ".e234567890123456789012345678901.test",
                  "*." TWO_HUNDRED ".e234567890123456789012345678901.test"}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char canonical[NAME_MAX_BYTES + 1];
        struct error error = {0};
        if (!name_check(cases[i].name, canonical, &error))
            fail_msg("%s: %s", cases[i].name, error.message);
        assert_string_equal(canonical, cases[i].canonical);
    }
}

static void bad_names_are_refused_with_the_rule(void **state) {
    static const struct {
        const char *name, *rule;
    } cases[] = {{"", "empty"},
                 {"shop", "one label"},
                 {"www.shop.test.", "empty label"},
                 {".shop.test", "empty label"},
                 {"www..shop.test", "empty label"},
                 {"-a.shop.test", "hyphen"},
                 {"a-.shop.test", "hyphen"},
                 {"a_b.shop.test", "character"},
                 {"a b.shop.test", "character"},
                 {"a/b.shop.test", "character"},
                 {"b\xc3\xbc"
                  "cher.shop.test",
                  "A-label"},
                 {"ab--cd.shop.test", "no A-label"},
                 {"xn--0.shop.test", "IDNA2008"},
                 {"1.2.3.4", "IP address"},
                 {"0x7f.1", "IP address"},
                 {"1.2.3.0x4", "IP address"},
                 {"2130706433", "IP address"},
                 {"a.1", "IP address"},
                 {"*", "wildcard"},
                 {"a.*.shop.test", "wildcard"},
                 {"w*.shop.test", "wildcard"},
                 {"*.*.shop.test", "wildcard"},
                 {"*." TWO_HUNDRED ".e2345678901234567890123456789012.test", "at most 236"},
                 {"*.com", "public suffix"},
                 {"co.uk", "public suffix"},
                 {"*.co.uk", "public suffix"},
                 {"printer.local", "reserved"},
                 {"a.localhost", "reserved"},
                 {"1.0.0.127.in-addr.arpa", "reserved"},
                 {"a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.shop.test", "labels"},
                 {"a23456789012345678901234567890123456789012345678901234567890123x.shop.test", "63"}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char canonical[NAME_MAX_BYTES + 1];
        struct error error = {0};
        if (name_check(cases[i].name, canonical, &error))
            fail_msg("\"%s\" was accepted", cases[i].name);
        if (strstr(error.message, cases[i].rule) == NULL)
            fail_msg("\"%s\": \"%s\" does not speak of %s", cases[i].name, error.message, cases[i].rule);
    }
    char longer[300], canonical[NAME_MAX_BYTES + 1];
    memset(longer, 'a', sizeof longer);
    longer[sizeof longer - 1] = '\0';
    assert_false(name_check(longer, canonical, NULL));
}

static void zones_are_no_wildcards_and_no_suffixes(void **state) {
    char canonical[NAME_MAX_BYTES + 1];
    (void)state;
    assert_true(name_check_zone("Shop.test", canonical, NULL));
    assert_string_equal(canonical, "shop.test");
    assert_false(name_check_zone("*.shop.test", canonical, NULL));
    assert_false(name_check_zone("com", canonical, NULL));
    assert_false(name_check_zone("co.uk", canonical, NULL));
}

static void hosts_may_have_underscores_and_a_final_dot(void **state) {
    char canonical[NAME_MAX_BYTES + 1];
    (void)state;
    assert_true(name_check_host("_acme-challenge.Shop.test.", canonical, NULL));
    assert_string_equal(canonical, "_acme-challenge.shop.test");
    assert_true(name_check_host("ns1", canonical, NULL));
    assert_false(name_check_host("a..b", canonical, NULL));
    assert_false(name_check_host(".", canonical, NULL));
}

static void relations_hold(void **state) {
    (void)state;
    assert_true(name_is_below("www.shop.test", "shop.test"));
    assert_true(name_is_below("shop.test", "shop.test"));
    assert_false(name_is_below("ashop.test", "shop.test"));
    assert_false(name_is_below("test", "shop.test"));
    assert_true(name_covers("*.shop.test", "www.shop.test"));
    assert_false(name_covers("*.shop.test", "shop.test"));
    assert_false(name_covers("*.shop.test", "a.b.shop.test"));
    assert_false(name_covers("*.shop.test", "*.shop.test"));
    assert_true(name_covers("www.shop.test", "www.shop.test"));
    assert_string_equal(name_base("*.shop.test"), "shop.test");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(good_names_come_out_in_lower_case),
                                       cmocka_unit_test(bad_names_are_refused_with_the_rule),
                                       cmocka_unit_test(zones_are_no_wildcards_and_no_suffixes),
                                       cmocka_unit_test(hosts_may_have_underscores_and_a_final_dot),
                                       cmocka_unit_test(relations_hold)};
    return cmocka_run_group_tests(tests, set_up, NULL);
}
