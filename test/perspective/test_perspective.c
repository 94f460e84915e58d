/* Unit tests: the quorum rule as a table, entries of the configuration, frames and messages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../perspective/frame.h"
#include "../../perspective/message.h"
#include "../../perspective/quorum.h"
#include "originca/json.h"

/* --- quorum --- */

static void rule_allows_one_of_five_and_two_of_six(void **state) {
    (void)state;
    static const unsigned expected[] = {0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2};
    for (size_t remotes = 0; remotes < sizeof expected / sizeof expected[0]; remotes++)
        assert_int_equal(quorum_allowed(remotes), expected[remotes]);
}

static void every_count_is_judged_by_the_rule(void **state) {
    (void)state;
    for (size_t remotes = 0; remotes <= 15; remotes++)
        for (size_t disagreeing = 0; disagreeing <= remotes; disagreeing++) {
            struct quorum_count count = {true, remotes - disagreeing, disagreeing, 0};
            bool should_hold =
                disagreeing == 0 || (remotes >= 6 && disagreeing <= 2) || (remotes >= 2 && disagreeing <= 1);
            assert_int_equal(quorum_judge(&count, quorum_allowed(remotes)),
                             should_hold ? QUORUM_HOLDS : QUORUM_FAILS);
            count.primary_agrees = false;
            assert_int_equal(quorum_judge(&count, quorum_allowed(remotes)), QUORUM_FAILS);
        }
}

static void pending_answers_keep_it_open_only_while_they_matter(void **state) {
    (void)state;
    static const struct {
        struct quorum_count count;
        unsigned allowed;
        enum quorum_state expected;
    } table[] = {
        {{true, 0, 0, 1}, 0, QUORUM_OPEN},   {{true, 0, 0, 2}, 1, QUORUM_OPEN},
        {{true, 1, 0, 1}, 1, QUORUM_HOLDS},  {{true, 0, 1, 1}, 1, QUORUM_OPEN},
        {{true, 0, 2, 1}, 1, QUORUM_FAILS},  {{true, 3, 0, 2}, 1, QUORUM_OPEN},
        {{true, 4, 1, 1}, 2, QUORUM_HOLDS},  {{true, 0, 0, 1}, 1, QUORUM_OPEN},
        {{true, 0, 1, 0}, 1, QUORUM_FAILS}, /* whatever is allowed, one other must agree */
        {{false, 3, 0, 2}, 2, QUORUM_FAILS},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        assert_int_equal(quorum_judge(&table[i].count, table[i].allowed), table[i].expected);
}

/* The judgement so far is never taken back by what comes later. */
static void a_judgement_stays_whatever_follows(void **state) {
    (void)state;
    for (size_t agreeing = 0; agreeing < 6; agreeing++)
        for (size_t disagreeing = 0; disagreeing < 6; disagreeing++)
            for (size_t pending = 1; pending < 6; pending++)
                for (unsigned allowed = 0; allowed < 4; allowed++) {
                    struct quorum_count now = {true, agreeing, disagreeing, pending};
                    enum quorum_state judged = quorum_judge(&now, allowed);
                    struct quorum_count yes = {true, agreeing + 1, disagreeing, pending - 1};
                    struct quorum_count no = {true, agreeing, disagreeing + 1, pending - 1};
                    if (judged == QUORUM_OPEN)
                        continue;
                    assert_int_equal(quorum_judge(&yes, allowed), judged);
                    assert_int_equal(quorum_judge(&no, allowed), judged);
                }
}

/* --- entries --- */

static void entries_are_parsed(void **state) {
    (void)state;
    struct config_perspective entry;
    struct error error;
    assert_true(config_parse_perspective("local", &entry, &error));
    assert_int_equal(entry.kind, CONFIG_PERSPECTIVE_LOCAL);
    assert_true(config_parse_perspective("udp://192.0.2.1:53", &entry, &error));
    assert_int_equal(entry.kind, CONFIG_PERSPECTIVE_RESOLVER);
    assert_true(config_parse_perspective("udp://[2001:db8::1]:53", &entry, &error));
    assert_int_equal(entry.address.address.ss_family, AF_INET6);
    assert_true(config_parse_perspective("tls://osaka.example:8853", &entry, &error));
    assert_int_equal(entry.kind, CONFIG_PERSPECTIVE_TLS);
    assert_int_equal(entry.address.length, 0);
    assert_int_equal(entry.port, 8853);
    assert_string_equal(entry.host, "osaka.example");
    assert_string_equal(entry.certificate_name, "osaka.example");
    assert_true(config_parse_perspective("tls://[2001:db8::1]:8853", &entry, &error));
    assert_string_equal(entry.certificate_name, "2001:db8::1");
    assert_true(config_parse_perspective("tls://192.0.2.1:8853#lima.example", &entry, &error));
    assert_string_equal(entry.certificate_name, "lima.example");
    assert_true(config_parse_perspective("unix:/run/p.sock", &entry, &error));
    assert_int_equal(entry.kind, CONFIG_PERSPECTIVE_UNIX);
    assert_string_equal(entry.certificate_name, "localhost");
    assert_true(config_parse_perspective("unix:/run/p.sock#oslo.example", &entry, &error));
    assert_string_equal(entry.certificate_name, "oslo.example");
}

static void wrong_entries_are_refused(void **state) {
    (void)state;
    static const char *const wrong[] = {
        "",
        "locale",
        "udp://",
        "udp://192.0.2.1",
        "udp://resolver.example:53",
        "udp://:53",
        "udp://192.0.2.1:0",
        "udp://192.0.2.1:65536",
        "udp://unix:/x",
        "tls://unix:/x:1",
        "tls://:1",
        "tls://host:0",
        "tls://host:x",
        "tls://host:1x",
        "tls://ho st:1",
        "unix:run/x",
        "tls://host:1#",
        "unix:/run/x#a b",
        "udp://192.0.2.1:53#name",
        "http://host:1",
    };
    struct config_perspective entry;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct error error = {.code = ERROR_NONE};
        if (config_parse_perspective(wrong[i], &entry, &error))
            fail_msg("\"%s\" was taken", wrong[i]);
        assert_int_equal(error.code, ERROR_INVALID);
    }
}

/* --- frames --- */

static void frames_come_whole_out_of_any_pieces(void **state) {
    (void)state;
    uint8_t wire[] = {0, 0, 0, 2, 'a', 'b', 0, 0, 0, 1, 'c', 0, 0, 0, 3, 'd', 'e', 'f'};
    for (size_t piece = 1; piece <= sizeof wire; piece++) {
        struct frame_reader reader = {.max = 100};
        char seen[8] = "";
        size_t seen_length = 0;
        struct bytes payload;
        for (size_t at = 0; at < sizeof wire; at += piece) {
            size_t length = sizeof wire - at < piece ? sizeof wire - at : piece;
            assert_true(frame_reader_add(&reader, wire + at, length));
            while (frame_reader_next(&reader, &payload) == FRAME_WHOLE) {
                memcpy(seen + seen_length, payload.data, payload.length);
                seen_length += payload.length;
            }
        }
        assert_string_equal(seen, "abcdef");
        assert_false(frame_reader_is_inside(&reader));
        frame_reader_clear(&reader);
    }
}

static void impossible_lengths_end_it(void **state) {
    (void)state;
    static const uint8_t heads[][4] = {
        {0, 0, 0, 0}, {0, 0, 0, 101}, {0xFF, 0xFF, 0xFF, 0xFF}, {0x80, 0, 0, 1}};
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++) {
        struct frame_reader reader = {.max = 100};
        struct bytes payload;
        assert_true(frame_reader_add(&reader, heads[i], 4));
        assert_int_equal(frame_reader_next(&reader, &payload), FRAME_IMPOSSIBLE);
        frame_reader_clear(&reader);
    }
}

/* --- messages --- */

static const char *const servers[] = {"ns1.provider.test", "ns2.provider.test"};
static const char *const zones_above[] = {"below.above.test=!ns1.provider.test|ns1.provider.test,ns2.p.test",
                                          "above.test=ns1.provider.test,ns3.provider.test",
                                          "test=", "a.test=ns1.p.test!ns2.p.test|ns3.p.test",
                                          "b.test=|ns3.p.test"};
static const char *const rivals[] = {"ns1.provider.test", "ns1.provider.test,ns2.provider.test"};
static const struct dnscheck_zone asked_zones[] = {
    {.name = "shop.test",
     .name_servers = servers,
     .name_server_count = 2,
     .zones_above = zones_above,
     .zones_above_count = 5,
     .rivals = rivals,
     .rival_count = 2},
    {.name = "blog.test", .name_servers = servers, .name_server_count = 1}};
static const struct dnscheck_name names[] = {{"www.shop.test", 0, NULL}, {"*.shop.test", 0, "token"}};

static void a_request_arrives_as_it_was_sent(void **state) {
    (void)state;
    struct arena *arena = arena_new(0);
    struct config_prefix prefixes[2];
    struct message_request read, request = {.id = 7,
                                            .check = {.zones = asked_zones,
                                                      .zone_count = 2,
                                                      .names = names,
                                                      .name_count = 2,
                                                      .deadline_ms = 4500,
                                                      .account_uri = "https://ca.test/acme/account/1",
                                                      .method = "dns-01"},
                                            .caa_mode = DNSCHECK_CAA_STRICT,
                                            .caa_identities = servers,
                                            .caa_identity_count = 1,
                                            .edge_prefixes = prefixes,
                                            .edge_prefix_count = 2,
                                            .name_server_pool = servers,
                                            .name_server_pool_count = 2};
    size_t length = 0;
    struct error error;
    assert_true(config_parse_prefix("203.0.113.0/24", &prefixes[0], &error));
    assert_true(config_parse_prefix("2001:db8::/32", &prefixes[1], &error));
    uint8_t *frame = message_write_request(&request, &length);
    assert_non_null(frame);
    assert_true(message_read_request(arena, (struct bytes){frame + 4, length - 4}, &read, &error));
    assert_int_equal(read.id, 7);
    assert_int_equal(read.check.deadline_ms, 4500);
    assert_string_equal(read.check.zones[0].name, "shop.test");
    assert_string_equal(read.check.zones[0].name_servers[1], "ns2.provider.test");
    assert_int_equal(read.check.zones[0].zones_above_count, 5);
    for (size_t i = 0; i < 5; i++)
        assert_string_equal(read.check.zones[0].zones_above[i], zones_above[i]);
    assert_int_equal(read.check.zones[1].zones_above_count, 0);
    assert_int_equal(read.check.zones[0].rival_count, 2);
    assert_string_equal(read.check.zones[0].rivals[1], rivals[1]);
    assert_int_equal(read.check.zones[1].rival_count, 0);
    assert_int_equal(read.name_server_pool_count, 2);
    assert_string_equal(read.name_server_pool[1], "ns2.provider.test");
    assert_string_equal(read.check.names[1].name, "*.shop.test");
    assert_string_equal(read.check.names[1].txt_value, "token");
    assert_null(read.check.names[0].txt_value);
    assert_string_equal(read.check.method, "dns-01");
    assert_string_equal(read.check.account_uri, "https://ca.test/acme/account/1");
    assert_int_equal(read.caa_mode, DNSCHECK_CAA_STRICT);
    assert_int_equal(read.edge_prefix_count, 2);
    assert_memory_equal(&read.edge_prefixes[1].bytes, &prefixes[1].bytes, 16);
    assert_int_equal(read.edge_prefixes[1].bits, 32);
    free(frame);
    arena_free(arena);
}

#define HEAD                                                                                                 \
    "{\"version\":2,\"id\":3,\"deadline_ms\":1,\"caa_mode\":\"off\",\"caa_identities\":[],"                  \
    "\"name_server_pool\":[\"ns1.test\",\"ns2.test\"],"
#define ZONES "\"zones\":[{\"name\":\"shop.test\",\"name_servers\":[\"ns1.test\"]}],"
#define ABOVE(list)                                                                                          \
    "\"zones\":[{\"name\":\"shop.test\",\"name_servers\":[\"ns1.test\"],\"zones_above\":" list               \
    "}],\"names\":[]}"
#define PREFIXES "\"edge_prefixes\":[\"203.0.113.0/24\"],"

static void requests_that_are_none_are_refused(void **state) {
    (void)state;
    static const char *const good =
        HEAD ZONES PREFIXES "\"names\":[{\"name\":\"www.shop.test\",\"zone\":0}]}";
    static const char *const wrong[] = {
        "",
        "[]",
        "null",
        "{}",
        "{\"id\":1}",
        "{\"version\":1,\"id\":1}",
        "{\"version\":2,\"id\":-1}",
        HEAD ZONES PREFIXES "\"names\":[{\"name\":\"www.shop.test\",\"zone\":1}]}",
        HEAD ZONES PREFIXES "\"names\":[{\"name\":\"www.other.test\",\"zone\":0}]}",
        HEAD ZONES PREFIXES "\"names\":[{\"name\":\"WWW.shop.test\",\"zone\":0}]}",
        HEAD ZONES PREFIXES "\"names\":[{\"name\":\"www..shop.test\",\"zone\":0}]}",
        HEAD ZONES PREFIXES "\"names\":[\"www.shop.test\"]}",
        HEAD ZONES PREFIXES "\"names\":7}",
        HEAD ZONES "\"edge_prefixes\":[\"203.0.113.1/24\"],\"names\":[]}",
        HEAD ZONES "\"names\":[]}",
        HEAD PREFIXES "\"zones\":[],\"names\":[]}",
        HEAD PREFIXES "\"zones\":[{\"name\":\"shop.test\",\"name_servers\":[]}],\"names\":[]}",
        HEAD PREFIXES ABOVE("7"),
        HEAD PREFIXES ABOVE("[7]"),
        HEAD PREFIXES ABOVE("[\"test\"]"),
        HEAD PREFIXES ABOVE("[\"test=!\"]"),
        HEAD PREFIXES ABOVE("[\"=ns1.test\"]"),
        HEAD PREFIXES ABOVE("[\"above.test=ns1.test,\"]"),
        HEAD PREFIXES ABOVE("[\"above.test=NS1.test\"]"),
        HEAD PREFIXES ABOVE("[\"above.test=ns1.test!\"]"),
        HEAD PREFIXES ABOVE("[\"above.test=ns1.test|\"]"),
        HEAD PREFIXES ABOVE("[\"above.test=|ns1.test!ns2.test\"]"),
        HEAD PREFIXES ABOVE("[],\"rivals\":[7]"),
        HEAD PREFIXES ABOVE("[],\"rivals\":[\"ns1.test,\"]"),
        HEAD ZONES PREFIXES "\"method\":\"http-01\",\"names\":[]}",
        HEAD ZONES PREFIXES "\"names\":[],\"names\":[]}",
    };
    struct message_request request;
    struct error error;
    struct arena *arena = arena_new(0);
    assert_true(
        message_read_request(arena, (struct bytes){(const uint8_t *)good, strlen(good)}, &request, &error));
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        if (message_read_request(arena, (struct bytes){(const uint8_t *)wrong[i], strlen(wrong[i])}, &request,
                                 &error))
            fail_msg("taken: %s", wrong[i]);
    arena_free(arena);
}

/* What the JSON of messages takes, now and at most. */
static size_t json_bytes, json_bytes_most;

static void *count_alloc(size_t size) {
    size_t *block = malloc(size + 16);
    *block = size;
    json_bytes += size;
    json_bytes_most = json_bytes > json_bytes_most ? json_bytes : json_bytes_most;
    return (char *)block + 16;
}

static void count_free(void *place) {
    if (place == NULL)
        return;
    size_t *block = (size_t *)(void *)((char *)place - 16);
    json_bytes -= *block;
    free(block);
}

/* `head` without its closing brace, and a member that nobody knows, of so many empty objects. */
static struct bytes inflate(struct arena *arena, const char *head, size_t objects) {
    struct text text;
    text_init(&text, arena);
    text_printf(&text, "%s,\"more\":[{}", head);
    for (size_t i = 1; i < objects; i++)
        text_append_bytes(&text, ",{}", 3);
    text_append_bytes(&text, "]}", 2);
    assert_false(text.failed);
    return (struct bytes){(const uint8_t *)text.data, text.length};
}

#define REPLY_HEAD                                                                                           \
    "{\"version\":2,\"id\":1,\"queries\":1,\"duration_ms\":1,\"names\":[],\"zones\":[{\"verdict\":\"ok\","   \
    "\"reason\":\"x\"}]"

/* A check lasts, and many are under way: what a hostile side wraps around a message must not last with them.
 */
static void documents_are_gone_when_they_are_read(void **state) {
    (void)state;
    struct arena *arena = arena_new(0), *large = arena_new(64u * 1024 * 1024);
    struct message_request request;
    struct message_reply reply;
    struct error error;
    const struct bytes asked = inflate(large,
                                       HEAD ZONES PREFIXES "\"account_uri\":\"https://a.test/1\",\"names\":"
                                                           "[{\"name\":\"www.shop.test\",\"zone\":0,\"txt\":"
                                                           "\"token\"}]",
                                       10000);
    const struct bytes answered = inflate(large, REPLY_HEAD, 49000);
    const struct bytes bomb = inflate(large, REPLY_HEAD, 600000);
    json_set_alloc_funcs(count_alloc, count_free);
    assert_true(message_read_request(arena, asked, &request, &error));
    assert_true(message_read_reply(arena, answered, &reply, &error));
    size_t kept = json_bytes;
    assert_true(json_bytes_most > 0);
    assert_false(message_read_reply(arena, bomb, &reply, &error));
    size_t most = json_bytes_most;
    json_set_alloc_funcs(malloc, free);
    assert_int_equal(kept, 0);
    assert_in_range(most, 1, 64u * 1024 * 1024);
    assert_string_equal(request.check.account_uri, "https://a.test/1");
    assert_string_equal(request.check.names[0].txt_value, "token");
    arena_free(large);
    arena_free(arena);
}

static void a_reply_arrives_as_it_was_sent(void **state) {
    (void)state;
    struct arena *arena = arena_new(0);
    const struct dnscheck_finding zones[] = {{"shop.test", DNSCHECK_OK, "delegated", "fine", true}};
    const struct dnscheck_finding found[] = {{"a", DNSCHECK_REFUSED, "gray", "points\nelsewhere", false},
                                             {"b", DNSCHECK_FAILED, "timeout", "late", false}};
    struct message_reply read, reply = {.id = 9,
                                        .zones = zones,
                                        .zone_count = 1,
                                        .names = found,
                                        .name_count = 2,
                                        .queries = 12,
                                        .duration_ms = 34};
    size_t length = 0;
    struct error error;
    uint8_t *frame = message_write_reply(&reply, &length);
    assert_true(message_read_reply(arena, (struct bytes){frame + 4, length - 4}, &read, &error));
    assert_int_equal(read.id, 9);
    assert_null(read.error);
    assert_int_equal(read.zones[0].verdict, DNSCHECK_OK);
    assert_true(read.zones[0].is_secure);
    assert_int_equal(read.names[0].verdict, DNSCHECK_REFUSED);
    assert_string_equal(read.names[0].reason, "gray");
    assert_string_equal(read.names[0].text, "points?elsewhere"); /* fit for a log line */
    assert_int_equal(read.names[1].verdict, DNSCHECK_FAILED);
    free(frame);
    reply = (struct message_reply){.id = 10, .error = "busy", .error_text = "later"};
    frame = message_write_reply(&reply, &length);
    assert_true(message_read_reply(arena, (struct bytes){frame + 4, length - 4}, &read, &error));
    assert_string_equal(read.error, "busy");
    free(frame);
    arena_free(arena);
}

static void replies_that_are_none_are_refused(void **state) {
    (void)state;
    static const char *const wrong[] = {
        "{\"version\":2,\"id\":1}",
        "{\"version\":2,\"id\":1,\"zones\":[],\"names\":[]}",
        "{\"version\":2,\"id\":1,\"zones\":[{}],\"names\":[],\"queries\":1,\"duration_ms\":1}",
        "{\"version\":2,\"id\":1,\"zones\":[{\"verdict\":\"fine\",\"reason\":\"x\"}],\"names\":[],"
        "\"queries\":1,"
        "\"duration_ms\":1}",
        "{\"version\":2,\"id\":1,\"zones\":[{\"verdict\":\"ok\",\"reason\":\"\"}],\"names\":[],\"queries\":1,"
        "\"duration_ms\":1}",
        "{\"version\":2,\"id\":1,\"zones\":[{\"verdict\":\"ok\",\"reason\":\"A "
        "b\"}],\"names\":[],\"queries\":1,"
        "\"duration_ms\":1}",
        "{\"version\":2,\"id\":1,\"error\":5}",
    };
    struct message_reply reply;
    struct error error;
    struct arena *arena = arena_new(0);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        if (message_read_reply(arena, (struct bytes){(const uint8_t *)wrong[i], strlen(wrong[i])}, &reply,
                               &error))
            fail_msg("taken: %s", wrong[i]);
    arena_free(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rule_allows_one_of_five_and_two_of_six),
        cmocka_unit_test(every_count_is_judged_by_the_rule),
        cmocka_unit_test(pending_answers_keep_it_open_only_while_they_matter),
        cmocka_unit_test(a_judgement_stays_whatever_follows),
        cmocka_unit_test(entries_are_parsed),
        cmocka_unit_test(wrong_entries_are_refused),
        cmocka_unit_test(frames_come_whole_out_of_any_pieces),
        cmocka_unit_test(impossible_lengths_end_it),
        cmocka_unit_test(a_request_arrives_as_it_was_sent),
        cmocka_unit_test(requests_that_are_none_are_refused),
        cmocka_unit_test(documents_are_gone_when_they_are_read),
        cmocka_unit_test(a_reply_arrives_as_it_was_sent),
        cmocka_unit_test(replies_that_are_none_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
