/* Unit tests of the configuration: defaults, values, and one complaint a mistake with file, line and key. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <netinet/in.h>

#include <cmocka.h>

#include "originca/addresses.h"

static char directory[] = "/tmp/originca-config-XXXXXX";
static char config_path[64];
static char complaints[16384];

static void write_file(const char *name, const char *text) {
    char path[96];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static int set_up(void **state) {
    (void)state;
    if (mkdtemp(directory) == NULL)
        return -1;
    snprintf(config_path, sizeof config_path, "%s/originca.conf", directory);
    write_file("tls.pem", "x");
    write_file("hints", "x");
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    static const char *const names[] = {"tls.pem", "hints", "originca.conf", "pin"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[96];
        snprintf(path, sizeof path, "%s/%s", directory, names[i]);
        unlink(path);
    }
    return rmdir(directory);
}

#define GOOD_SERVER                                                                                          \
    "server { base_url = \"https://ca.test\"\n tls_certificate_file = tls.pem\n tls_key_file = "             \
    "\"tls.pem\"\n"
#define GOOD_REST                                                                                            \
    "redis { redis_socket = /run/redis.sock }\n"                                                             \
    "dns { root_hints_file = hints  name_server_pool = {ns1.test, ns2.test}  edge_prefixes = "               \
    "{\"203.0.113.0/24\", "                                                                                  \
    "\"2001:db8::/32\"} }\n"                                                                                 \
    "signer { issuer ecc { key_uri = \"pkcs11:token=t;object=ecc\"  certificate_file = ecc.pem } }\n"

static struct config *load(const char *text) {
    struct error error;
    write_file("originca.conf", text);
    memset(complaints, 0, sizeof complaints);
    FILE *stream = fmemopen(complaints, sizeof complaints - 1, "w");
    struct config *config = config_load(config_path, stream, &error);
    fclose(stream);
    return config;
}

static void good_file_gives_values_and_defaults(void **state) {
    (void)state;
    struct config *config =
        load("# a comment\n" GOOD_SERVER "https_listen = {\"127.0.0.1:8443\", \"[::1]:8443\"}\n"
             "workers = 3 admin_socket_mode = 0600 }\nacme { max_names = 7 }\n"
             "profile short { template = compact default_days = 7 max_days = 30 }\n" GOOD_REST);
    assert_string_equal(complaints, "");
    assert_non_null(config);
    assert_int_equal(config->workers, 3);
    assert_int_equal(config->max_names, 7);
    assert_int_equal(config->nonce_lifetime_seconds, 86400);
    assert_int_equal(config->admin_socket_mode, 0600);
    assert_true(config->external_account_required);
    assert_int_equal(config->https_listen_count, 2);
    assert_int_equal(config->https_listen[1].address.ss_family, AF_INET6);
    assert_int_equal(ntohs(((struct sockaddr_in *)&config->https_listen[0].address)->sin_port), 8443);
    assert_int_equal(config->edge_prefix_count, 2);
    assert_int_equal(config->edge_prefixes[0].bits, 24);
    assert_int_equal(config->edge_prefixes[1].family, AF_INET6);
    char expected[96];
    snprintf(expected, sizeof expected, "%s/tls.pem", directory);
    assert_string_equal(config->tls_key_file, expected);
    const struct config_profile *profile = config_find_profile(config, "short");
    assert_string_equal(profile->template_name, "compact");
    assert_int_equal(profile->default_days, 7);
    assert_non_null(config_find_profile(config, "origin"));
    assert_non_null(config_find_profile(config, "classic"));
    assert_string_equal(config->issuers[0].name, "ecc");
    config_free(config);
}

static void each_mistake_is_named_with_line_and_key(void **state) {
    (void)state;
    static const struct {
        const char *text, *expected;
    } cases[] = {
        {GOOD_SERVER "workers = many }\n" GOOD_REST,
         "conf:4: server.workers: \"many\" is not a number; expected 0 to 256"},
        {GOOD_SERVER "workers = 999 }\n" GOOD_REST, "conf:4: server.workers: 999 is out of bounds"},
        {GOOD_SERVER "https_listen = {nonsense} }\n" GOOD_REST,
         "conf:4: server.https_listen: \"nonsense\": expected"},
        {"# one\n// two\n/* three\nfour */ " GOOD_SERVER "workers = x }\n" GOOD_REST,
         "conf:7: server.workers: \"x\""},
        {GOOD_SERVER "}\n" GOOD_REST "acme {\n", ": a brace that is opened here is not closed"},
        {GOOD_SERVER "}\n" GOOD_REST "}\n", ": a closing brace that nothing was opened for"},
        {GOOD_SERVER "log_level = \"info }\n" GOOD_REST, "a string that begins here has no closing quote"},
        {GOOD_SERVER "wrokers = 3 }\n" GOOD_REST, "conf:4: server.wrokers: is no setting"},
        {GOOD_SERVER "workers = 1\nworkers = 2 }\n" GOOD_REST,
         "conf:5: server.workers: is set twice (first in line 4)"},
        {GOOD_SERVER "workers = 1 }\nserver { workers = 1 }\n" GOOD_REST,
         "conf:5: server.workers: is set twice (first in line 4)"},
        {GOOD_SERVER
         "}\nacme { caa_identities = {\"a.test\",\n\"b.test\"}\ncaa_identities = \"a.test\" }\n" GOOD_REST,
         "conf:7: acme.caa_identities: is set twice (first in line 5)"},
        {GOOD_SERVER "}\nacme { caa_identities = {\"a = } b\"} caa_identities\n=\n{} }\n" GOOD_REST,
         "conf:5: acme.caa_identities: is set twice (first in line 5)"},
        {GOOD_SERVER "}\nprofile x { max_days = 9\nmax_days = 9 }\n" GOOD_REST,
         "conf:6: profile.max_days: is set twice (first in line 5)"},
        {GOOD_SERVER "}\nacme { default_profile = gone }\n" GOOD_REST,
         "acme.default_profile: no profile is named \"gone\""},
        {GOOD_SERVER "}\nprofile x { template = y }\n" GOOD_REST, "profile.template: of \"x\" is \"y\""},
        {GOOD_SERVER "}\ndns { edge_prefixes = {\"203.0.113.1/24\"} }\n",
         "conf:5: dns.edge_prefixes: \"203.0.113.1/24\" has bits set"},
        {GOOD_SERVER "admin_listen = \"127.0.0.1:1\" }\n" GOOD_REST,
         "server.admin_listen: must be a unix socket"},
        {GOOD_SERVER "}\nacme { external_account_required = maybe }\n" GOOD_REST,
         "conf:5: acme.external_account_required: \"maybe\" is neither true nor false"},
        {GOOD_SERVER "log_level = loud }\n" GOOD_REST, "server.log_level: \"loud\" is none of"},
        {"server { base_url = \"http://ca\" }\n" GOOD_REST, "server.base_url: must be the https:// origin"},
        {"server { base_url = \"https://ca/x\" }\n" GOOD_REST,
         "server.base_url: must be the https:// origin"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_null(load(cases[i].text));
        if (strstr(complaints, cases[i].expected) == NULL)
            fail_msg("case %zu: \"%s\" is not in:\n%s", i, cases[i].expected, complaints);
    }
}

static void all_mistakes_are_reported_in_one_go(void **state) {
    (void)state;
    assert_null(
        load(GOOD_SERVER
             "unknown_one = 1\nworkers = -1\nunknown_two = {a, b}\n}\nacme { max_names = 0 }\n" GOOD_REST));
    assert_non_null(strstr(complaints, ":4: server.unknown_one"));
    assert_non_null(strstr(complaints, ":5: server.workers"));
    assert_non_null(strstr(complaints, ":8: acme.max_names"));
}

static void broken_syntax_names_its_line(void **state) {
    (void)state;
    assert_null(load(GOOD_SERVER "workers = \n}}\n"));
    assert_non_null(strstr(complaints, "originca.conf:"));
    assert_null(load("server {"));
    assert_true(strlen(complaints) > 0);
}

static void orders_may_not_ask_for_later_begins_than_the_signer_gives(void **state) {
    (void)state;
    assert_null(load(GOOD_SERVER "}\nacme { not_before_max_ahead_hours = 25 }\n" GOOD_REST));
    assert_non_null(strstr(complaints, "signer.signer_not_before_max_ahead_hours"));
    struct config *config = load(GOOD_SERVER "}\nacme { not_before_max_ahead_hours = 0 }\n" GOOD_REST);
    assert_non_null(config);
    assert_int_equal(config->not_before_max_ahead_hours, 0);
    assert_int_equal(config->signer_not_before_max_ahead_hours, 24);
    config_free(config);
}

static void missing_file_is_an_error(void **state) {
    (void)state;
    struct error error;
    assert_null(config_load("/nonexistent/originca.conf", NULL, &error));
    assert_non_null(strstr(error.message, "/nonexistent/originca.conf"));
}

static void secret_files_lose_their_newline_and_are_bounded(void **state) {
    (void)state;
    struct error error;
    char path[96];
    snprintf(path, sizeof path, "%s/pin", directory);
    write_file("pin", "1234\n");
    chmod(path, 0600);
    char *pin = config_read_secret(path, 64, &error);
    assert_string_equal(pin, "1234");
    free(pin);
    assert_null(config_read_secret(path, 3, &error));
    assert_null(strstr(error.message, "1234"));
}

static void signer_settings_are_compared(void **state) {
    (void)state;
    struct config *a = load(GOOD_SERVER "}\n" GOOD_REST);
    struct config *b = load(GOOD_SERVER "drain_seconds = 9 }\n" GOOD_REST);
    struct config *c = load(GOOD_SERVER "}\nprofile origin { default_days = 30 }\n" GOOD_REST);
    assert_non_null(a);
    assert_non_null(b);
    assert_non_null(c);
    assert_false(config_signer_differs(a, b));
    assert_true(config_signer_differs(a, c));
    config_free(a);
    config_free(b);
    config_free(c);
}

static bool prefix_holds(const char *prefix_text, const char *address_text) {
    struct config_prefix prefix;
    struct error error;
    uint8_t address[16] = {0};
    int family = strchr(address_text, ':') != NULL ? AF_INET6 : AF_INET;
    assert_true(config_parse_prefix(prefix_text, &prefix, &error));
    assert_int_equal(inet_pton(family, address_text, address), 1);
    return config_prefixes_hold_address(&prefix, 1, family, address);
}

static void prefixes_hold_the_addresses_that_share_their_bits(void **state) {
    (void)state;
    static const struct {
        const char *prefix, *address;
        bool is_held;
    } cases[] = {
        {"203.0.113.0/24", "203.0.113.0", true},
        {"203.0.113.0/24", "203.0.113.255", true},
        {"203.0.113.0/24", "203.0.112.255", false},
        {"203.0.113.0/24", "203.0.114.0", false},
        {"198.51.100.64/27", "198.51.100.64", true},
        {"198.51.100.64/27", "198.51.100.95", true},
        {"198.51.100.64/27", "198.51.100.96", false},
        {"198.51.100.64/27", "198.51.100.63", false},
        {"128.0.0.0/1", "255.0.0.1", true},
        {"128.0.0.0/1", "127.255.255.255", false},
        {"203.0.113.8/31", "203.0.113.9", true},
        {"203.0.113.8/31", "203.0.113.10", false},
        {"203.0.113.8/32", "203.0.113.8", true},
        {"203.0.113.8/32", "203.0.113.9", false},
        {"0.0.0.0/0", "192.0.2.1", true},
        {"2001:db8::/32", "2001:db8:ffff::1", true},
        {"2001:db8::/32", "2001:db9::1", false},
        {"2001:db8:8000::/33", "2001:db8:8000::", true},
        {"2001:db8:8000::/33", "2001:db8:7fff::1", false},
        {"2001:db8::2/127", "2001:db8::3", true},
        {"2001:db8::2/127", "2001:db8::4", false},
        {"2001:db8::2/128", "2001:db8::2", true},
        {"2001:db8::2/128", "2001:db8::3", false},
        {"::/0", "2001:db8::1", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        if (prefix_holds(cases[i].prefix, cases[i].address) != cases[i].is_held)
            fail_msg("%s and %s: expected %d", cases[i].prefix, cases[i].address, cases[i].is_held);
}

static void a_prefix_holds_no_address_of_the_other_family(void **state) {
    (void)state;
    assert_false(prefix_holds("0.0.0.0/0", "2001:db8::1"));
    assert_false(prefix_holds("::/0", "192.0.2.1"));
    /* the same bytes */
    assert_false(prefix_holds("32.1.13.184/32", "2001:db8::"));
    assert_false(prefix_holds("2001:db8::/32", "32.1.13.184"));
}

static void a_mapped_address_is_the_ipv4_address(void **state) {
    struct config_prefix block;
    struct error error;
    (void)state;
    assert_true(prefix_holds("203.0.113.0/24", "::ffff:203.0.113.7"));
    assert_false(prefix_holds("203.0.113.0/24", "::ffff:203.0.114.7"));
    assert_true(prefix_holds("0.0.0.0/0", "::ffff:192.0.2.1"));
    assert_false(prefix_holds("::/0", "::ffff:203.0.113.7"));
    assert_false(config_parse_prefix("::ffff:0:0/96", &block, &error)); /* it would hold nothing */
    /* the deprecated IPv4-compatible form and NAT64 are no mapped addresses */
    assert_false(prefix_holds("203.0.113.0/24", "::203.0.113.7"));
    assert_false(prefix_holds("203.0.113.0/24", "64:ff9b::203.0.113.7"));
    assert_true(prefix_holds("::/96", "::203.0.113.7"));
}

static void any_one_of_the_prefixes_is_enough(void **state) {
    (void)state;
    struct config_prefix prefixes[3];
    struct error error;
    static const uint8_t first[4] = {192, 0, 2, 9}, last[4] = {203, 0, 113, 9}, none[4] = {198, 51, 100, 9};
    assert_true(config_parse_prefix("192.0.2.0/24", &prefixes[0], &error));
    assert_true(config_parse_prefix("2001:db8::/32", &prefixes[1], &error));
    assert_true(config_parse_prefix("203.0.113.0/24", &prefixes[2], &error));
    assert_true(config_prefixes_hold_address(prefixes, 3, AF_INET, first));
    assert_true(config_prefixes_hold_address(prefixes, 3, AF_INET, last));
    assert_false(config_prefixes_hold_address(prefixes, 3, AF_INET, none));
    assert_false(config_prefixes_hold_address(prefixes, 2, AF_INET, last));
    assert_false(config_prefixes_hold_address(NULL, 0, AF_INET, first));
}

static bool is_special(const char *text) {
    uint8_t bytes[16];
    int family = strchr(text, ':') != NULL ? AF_INET6 : AF_INET;
    assert_int_equal(inet_pton(family, text, bytes), 1);
    return address_is_special(family, bytes);
}

static void special_purpose_addresses_end_where_their_blocks_end(void **state) {
    (void)state;
    static const char *const special[] = {
        "0.0.0.0",
        "0.255.255.255",
        "10.0.0.0",
        "10.255.255.255",
        "100.64.0.0",
        "100.127.255.255",
        "127.0.0.1",
        "127.255.0.1",
        "169.254.169.254",
        "172.16.0.0",
        "172.31.255.255",
        "192.0.0.255",
        "192.0.2.7",
        "192.88.99.1",
        "192.168.255.255",
        "198.18.0.0",
        "198.19.255.255",
        "198.51.100.9",
        "203.0.113.9",
        "224.0.0.0",
        "239.1.1.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:8.8.8.8",
        "::8.8.8.8",
        "64:ff9b::808:808",
        "64:ff9b:1::1",
        "100::1",
        "1fff:ffff::",
        "2001::1",
        "2001:1ff::1",
        "2001:db8::1",
        "2002:808:808::1",
        "3fff::1",
        "3fff:fff::1",
        "4000::",
        "5f00::1",
        "fc00::1",
        "fdff::1",
        "fe80::1",
        "fec0::1",
        "ff02::1",
    };
    static const char *const public[] = {
        "1.0.0.0",   "9.255.255.255", "11.0.0.0",    "100.63.255.255", "100.128.0.0", "126.255.255.255",
        "128.0.0.0", "169.253.0.1",   "169.255.0.1", "172.15.255.255", "172.32.0.0",  "192.0.1.0",
        "192.0.3.0", "192.167.0.1",   "192.169.0.1", "198.17.255.255", "198.20.0.0",  "223.255.255.255",
        "2000::1",   "2001:200::1",   "2001:db7::1", "2001:db9::1",    "2003::1",     "2606:4700::1",
        "3ffe::1",   "3fff:1000::1",
    };
    for (size_t i = 0; i < sizeof special / sizeof special[0]; i++)
        if (!is_special(special[i]))
            fail_msg("%s is not special", special[i]);
    for (size_t i = 0; i < sizeof public / sizeof public[0]; i++)
        if (is_special(public[i]))
            fail_msg("%s is special", public[i]);
}

static bool is_asked(const struct address_rules *rules, const char *text) {
    uint8_t bytes[16];
    int family = strchr(text, ':') != NULL ? AF_INET6 : AF_INET;
    assert_int_equal(inet_pton(family, text, bytes), 1);
    return address_is_asked(rules, family, bytes);
}

static void what_is_denied_is_not_asked_and_what_is_allowed_is(void **state) {
    (void)state;
    struct config_prefix allowed = {AF_INET, {10}, 8},
                         denied[] = {{AF_INET, {10, 1}, 16}, {AF_INET, {8, 8}, 16}};
    const struct address_rules none = {0}, rules = {&allowed, denied, 1, 2};
    assert_true(is_asked(&none, "8.8.8.8"));
    assert_false(is_asked(&none, "10.0.0.1"));
    assert_true(is_asked(&rules, "10.0.0.1"));
    assert_true(is_asked(&rules, "9.9.9.9"));
    assert_false(is_asked(&rules, "10.1.0.1"));
    assert_false(is_asked(&rules, "8.8.8.8"));
    assert_false(is_asked(&rules, "::ffff:10.1.0.1"));
    assert_false(is_asked(&rules, "192.168.0.1"));
}

static void root_hints_name_no_address_that_is_not_asked(void **state) {
    (void)state;
    char path[96];
    struct error error;
    const struct address_rules none = {0};
    struct config_prefix loopback = {AF_INET, {127}, 8};
    const struct address_rules rules = {.allowed = &loopback, .allowed_count = 1};
    write_file("hints", "; comment\n. 3600 NS A.Root.\nA.Root. 3600 A 127.0.0.1\n");
    snprintf(path, sizeof path, "%s/hints", directory);
    assert_false(root_hints_read(path, &none, NULL, NULL, &error));
    assert_non_null(strstr(error.message, "hints:3: the root server A.Root. has the address 127.0.0.1"));
    assert_true(root_hints_read(path, &rules, NULL, NULL, &error));
    assert_null(load(GOOD_SERVER "}\n" GOOD_REST));
    assert_non_null(strstr(complaints, "dns.root_hints_file"));
    write_file("hints", "a.root. 3600 A 127.0.0\n");
    assert_false(root_hints_read(path, &rules, NULL, NULL, &error));
    write_file("hints", "");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_file_gives_values_and_defaults),
        cmocka_unit_test(each_mistake_is_named_with_line_and_key),
        cmocka_unit_test(all_mistakes_are_reported_in_one_go),
        cmocka_unit_test(broken_syntax_names_its_line),
        cmocka_unit_test(orders_may_not_ask_for_later_begins_than_the_signer_gives),
        cmocka_unit_test(missing_file_is_an_error),
        cmocka_unit_test(secret_files_lose_their_newline_and_are_bounded),
        cmocka_unit_test(signer_settings_are_compared),
        cmocka_unit_test(prefixes_hold_the_addresses_that_share_their_bits),
        cmocka_unit_test(a_prefix_holds_no_address_of_the_other_family),
        cmocka_unit_test(a_mapped_address_is_the_ipv4_address),
        cmocka_unit_test(special_purpose_addresses_end_where_their_blocks_end),
        cmocka_unit_test(what_is_denied_is_not_asked_and_what_is_allowed_is),
        cmocka_unit_test(root_hints_name_no_address_that_is_not_asked),
        cmocka_unit_test(any_one_of_the_prefixes_is_enough),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
