/* Bad revocation lists. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "crl_cases.h"

#include <stdlib.h>
#include <string.h>

#define BEGIN 1780272000 /* 2026-06-01T00:00:00Z */
#define YEAR_2050 2524608000

enum { VERSION, ALGORITHM, ISSUER, THIS_UPDATE, NEXT_UPDATE, LIST, EXTENSIONS };
enum { AKI, NUMBER, IDP };
enum { SERIAL, TIME, ENTRY_EXTENSIONS };

static struct der_node *leaf(struct arena *arena, uint8_t tag, const char *bytes, size_t length) {
    struct der_node *node = arena_alloc(arena, sizeof *node);
    assert_non_null(node);
    *node = (struct der_node){.tag = tag, .content = {(const uint8_t *)bytes, length}};
    return node;
}
#define LEAF(arena, tag, text) leaf(arena, tag, text, sizeof(text) - 1)
#define RAW(arena, text) der_raw(arena, (struct bytes)LITERAL(text))
#define EDIT(name) static void name(struct arena *arena, struct der_node *tbs)

static struct der_node *extensions(const struct der_node *tbs) {
    return tbs->parts[tbs->count - 1]->parts[0];
}

/* What the extension wraps. */
static struct bytes *value_of(const struct der_node *tbs, size_t at) {
    struct der_node *extension = extensions(tbs)->parts[at];
    return &extension->parts[extension->count - 1]->content;
}

static struct der_node *entry(const struct der_node *tbs, size_t at) {
    return tbs->parts[LIST]->parts[at];
}

static void flip_last(struct arena *arena, struct bytes *bytes) {
    uint8_t *copy = arena_copy(arena, bytes->data, bytes->length);
    copy[bytes->length - 1] ^= 1;
    bytes->data = copy;
}

/* --- edits of head and tail --- */

EDIT(unknown_element_at_the_end) {
    der_insert(arena, tbs, tbs->count, LEAF(arena, 0x05, ""));
}

EDIT(no_version) {
    (void)arena;
    der_remove(tbs, VERSION);
}

EDIT(version_3) {
    tbs->parts[VERSION] = LEAF(arena, 0x02, "\x02");
}

EDIT(other_algorithm) {
    tbs->parts[ALGORITHM] = RAW(arena, "\x30\x0A\x06\x08\x2A\x86\x48\xCE\x3D\x04\x03\x03");
}

EDIT(other_issuer) {
    flip_last(arena, &tbs->parts[ISSUER]->parts[0]->parts[0]->parts[1]->content);
}

EDIT(other_this_update) {
    tbs->parts[THIS_UPDATE] = LEAF(arena, 0x17, "260601000001Z");
}

EDIT(this_update_in_the_wrong_form) {
    tbs->parts[THIS_UPDATE] = LEAF(arena, 0x18, "20260601000000Z");
}

EDIT(this_update_without_seconds) {
    tbs->parts[THIS_UPDATE] = LEAF(arena, 0x17, "2606010000Z");
}

EDIT(no_next_update) {
    (void)arena;
    der_remove(tbs, NEXT_UPDATE);
}

EDIT(other_next_update) {
    tbs->parts[NEXT_UPDATE] = LEAF(arena, 0x17, "260608000001Z");
}

static void end_before_begin(struct crl_contents *contents) {
    contents->next_update = contents->this_update;
}

EDIT(list_of_nothing) {
    der_insert(arena, tbs, LIST, RAW(arena, "\x30\x00"));
}

EDIT(no_list) {
    (void)arena;
    der_remove(tbs, LIST);
}

EDIT(number_twice) {
    der_insert(arena, extensions(tbs), 0, extensions(tbs)->parts[NUMBER]);
}

EDIT(another_extension) {
    der_insert(arena, extensions(tbs), 3, RAW(arena, "\x30\x0A\x06\x03\x55\x1D\x1B\x04\x03\x02\x01\x01"));
}

EDIT(critical_false) {
    der_insert(arena, extensions(tbs)->parts[NUMBER], 1, LEAF(arena, 0x01, "\x00"));
}

EDIT(no_key_id) {
    (void)arena;
    der_remove(extensions(tbs), AKI);
}

EDIT(other_key_id) {
    flip_last(arena, value_of(tbs, AKI));
}

EDIT(critical_key_id) {
    der_insert(arena, extensions(tbs)->parts[AKI], 1, LEAF(arena, 0x01, "\xFF"));
}

EDIT(no_number) {
    (void)arena;
    der_remove(extensions(tbs), NUMBER);
}

EDIT(other_number) {
    flip_last(arena, value_of(tbs, NUMBER));
}

EDIT(critical_number) {
    der_insert(arena, extensions(tbs)->parts[NUMBER], 1, LEAF(arena, 0x01, "\xFF"));
}

EDIT(negative_number) {
    (void)arena;
    *value_of(tbs, NUMBER) = (struct bytes)LITERAL("\x02\x01\xFF");
}

EDIT(padded_number) {
    (void)arena;
    *value_of(tbs, NUMBER) = (struct bytes)LITERAL("\x02\x02\x00\x01");
}

/* With the right one in its lower 64 bits. */
EDIT(large_number) {
    (void)arena;
    *value_of(tbs, NUMBER) = (struct bytes)LITERAL("\x02\x09\x01\x00\x00\x01\xA2\x21\x7A\x68\xFA");
}

EDIT(no_point) {
    (void)arena;
    der_remove(extensions(tbs), IDP);
}

EDIT(point_not_critical) {
    (void)arena;
    der_remove(extensions(tbs)->parts[IDP], 1);
}

EDIT(other_point) {
    (void)arena;
    *value_of(tbs, IDP) = (struct bytes)LITERAL("\x30\x12\xA0\x0D\xA0\x0B\x86\x09http://a/\x81\x01\xFF");
}

EDIT(point_left_out) {
    (void)arena;
    *value_of(tbs, IDP) = (struct bytes)LITERAL("\x30\x03\x81\x01\xFF");
}

static void complete(struct crl_contents *contents) {
    contents->url = "";
}

EDIT(scope_left_out) {
    struct der_node *point = der_read(arena, *value_of(tbs, IDP));
    der_remove(point, 1);
    *value_of(tbs, IDP) = der_write(arena, point);
}

EDIT(scope_of_authorities) {
    struct der_node *point = der_read(arena, *value_of(tbs, IDP));
    point->parts[1]->tag = 0x82;
    *value_of(tbs, IDP) = der_write(arena, point);
}

EDIT(some_reasons) {
    struct der_node *point = der_read(arena, *value_of(tbs, IDP));
    der_insert(arena, point, 2, LEAF(arena, 0x83, "\x06\x40"));
    *value_of(tbs, IDP) = der_write(arena, point);
}

EDIT(indirect) {
    struct der_node *point = der_read(arena, *value_of(tbs, IDP));
    der_insert(arena, point, 2, LEAF(arena, 0x84, "\xFF"));
    *value_of(tbs, IDP) = der_write(arena, point);
}

/* --- edits of entries --- */

EDIT(entry_without_time) {
    (void)arena;
    der_remove(entry(tbs, 0), TIME);
}

EDIT(entry_with_more_behind) {
    der_insert(arena, entry(tbs, 1), entry(tbs, 1)->count, LEAF(arena, 0x05, ""));
}

EDIT(negative_serial) {
    uint8_t *copy = arena_copy(arena, entry(tbs, 0)->parts[SERIAL]->content.data, SERIAL_BYTES);
    copy[0] = 0x80;
    entry(tbs, 0)->parts[SERIAL]->content.data = copy;
}

EDIT(short_serial) {
    (void)arena;
    entry(tbs, 0)->parts[SERIAL]->content.length--;
}

EDIT(other_serial) {
    flip_last(arena, &entry(tbs, 1)->parts[SERIAL]->content);
}

EDIT(other_time) {
    entry(tbs, 1)->parts[TIME] = LEAF(arena, 0x17, "260601000001Z");
}

EDIT(time_in_the_wrong_form) {
    entry(tbs, 1)->parts[TIME] = LEAF(arena, 0x18, "20260601000000Z");
}

EDIT(late_time_in_the_wrong_form) {
    entry(tbs, 2)->parts[TIME] = LEAF(arena, 0x17, "500101000000Z");
}

EDIT(critical_reason) {
    der_insert(arena, entry(tbs, 1)->parts[ENTRY_EXTENSIONS]->parts[0], 1, LEAF(arena, 0x01, "\xFF"));
}

EDIT(invalidity_date) {
    der_insert(arena, entry(tbs, 1)->parts[ENTRY_EXTENSIONS], 1,
               RAW(arena, "\x30\x18\x06\x03\x55\x1D\x18\x04\x11\x18\x0F"
                          "20260601000000Z"));
}

EDIT(no_reason) {
    (void)arena;
    der_remove(entry(tbs, 1), ENTRY_EXTENSIONS);
}

EDIT(other_reason) {
    flip_last(arena, &entry(tbs, 1)->parts[ENTRY_EXTENSIONS]->parts[0]->parts[1]->content);
}

EDIT(unspecified_reason) {
    der_insert(arena, entry(tbs, 0), ENTRY_EXTENSIONS,
               RAW(arena, "\x30\x0C\x30\x0A\x06\x03\x55\x1D\x15\x04\x03\x0A\x01\x00"));
}

EDIT(one_more_entry) {
    der_insert(arena, tbs->parts[LIST], CASE_ENTRIES, entry(tbs, 0));
}

const struct crl_case crl_cases[] = {
    {"crl-well-formed", "an element behind the extensions", .edit = unknown_element_at_the_end},
    {"crl-length", "the header says another length", .flip = 3},
    {"crl-version", "none, which is 1", .edit = no_version},
    {"crl-version", "3", .edit = version_3},
    {"crl-algorithm", "another hash", .edit = other_algorithm},
    {"crl-issuer", "another name", .edit = other_issuer},
    {"crl-this-update", "another second", .edit = other_this_update},
    {"crl-this-update", "GeneralizedTime before 2050", .edit = this_update_in_the_wrong_form},
    {"crl-this-update", "without seconds", .edit = this_update_without_seconds},
    {"crl-next-update", "missing", .edit = no_next_update},
    {"crl-next-update", "another second", .edit = other_next_update},
    {"crl-forward", "both the same", .wish = end_before_begin},
    {"crl-list", "of nothing", .edit = list_of_nothing, .is_empty = true},
    {"crl-list", "missing", .edit = no_list},
    {"crl-extension-unique", "the number twice", .edit = number_twice},
    {"crl-extension-known", "a delta's indicator", .edit = another_extension},
    {"crl-extension-default", "critical is FALSE", .edit = critical_false},
    {"crl-aki", "missing", .edit = no_key_id},
    {"crl-aki", "another key's", .edit = other_key_id},
    {"crl-aki", "critical", .edit = critical_key_id},
    {"crl-number", "missing", .edit = no_number},
    {"crl-number", "another", .edit = other_number},
    {"crl-number", "critical", .edit = critical_number},
    {"crl-number", "negative", .edit = negative_number},
    {"crl-number", "padded", .edit = padded_number},
    {"crl-number", "longer than 64 bits", .edit = large_number},
    {"crl-point-critical", "missing", .edit = no_point},
    {"crl-point-critical", "not critical", .edit = point_not_critical},
    {"crl-point", "another address", .edit = other_point},
    {"crl-point", "no address", .edit = point_left_out},
    {"crl-point", "an address of the complete list", .wish = complete, .edit = other_point},
    {"crl-scope", "every certificate", .edit = scope_left_out},
    {"crl-scope", "authorities", .edit = scope_of_authorities},
    {"crl-scope", "some reasons", .edit = some_reasons},
    {"crl-scope", "indirect", .edit = indirect},
    {"crl-entry", "without date", .edit = entry_without_time, .is_entry = true},
    {"crl-entry", "an element behind", .edit = entry_with_more_behind, .is_entry = true},
    {"crl-entry-serial", "negative", .edit = negative_serial},
    {"crl-entry-serial", "too short", .edit = short_serial, .is_entry = true},
    {"crl-entry-wanted", "another serial", .edit = other_serial},
    {"crl-entry-time", "another second", .edit = other_time},
    {"crl-entry-time", "GeneralizedTime before 2050", .edit = time_in_the_wrong_form, .is_entry = true},
    {"crl-entry-time", "UTCTime from 2050 on", .edit = late_time_in_the_wrong_form, .is_entry = true},
    {"crl-entry-extension", "a critical reason", .edit = critical_reason, .is_entry = true},
    {"crl-entry-extension", "an invalidity date", .edit = invalidity_date, .is_entry = true},
    {"crl-entry-reason", "missing", .edit = no_reason, .is_entry = true},
    {"crl-entry-reason", "another", .edit = other_reason},
    {"crl-entry-reason", "unspecified, written", .edit = unspecified_reason, .is_entry = true},
    {"crl-entries", "one more than were given", .edit = one_more_entry, .is_entry = true},
    {"crl-entry-order", "the same serial twice", .edit = NULL},
};
const size_t crl_case_count = sizeof crl_cases / sizeof crl_cases[0];

static void make_entries(const struct crl_case *one, struct crl_entry entries[CASE_ENTRIES]) {
    static const uint8_t reasons[CASE_ENTRIES] = {0, 4, 0};
    memset(entries, 0, CASE_ENTRIES * sizeof *entries);
    for (size_t i = 0; i < CASE_ENTRIES; i++) {
        entries[i].serial[0] = 0x42;
        entries[i].serial[SERIAL_BYTES - 1] =
            (uint8_t)(strcmp(one->rule, "crl-entry-order") == 0 ? 2 : 2 * i + 2);
        entries[i].revoked_at = i == 2 ? YEAR_2050 : BEGIN;
        entries[i].reason = reasons[i];
    }
}

/* Bytes of the entries that stand in the tree's list. */
static uint64_t length_of_list(struct arena *arena, const struct der_node *tbs) {
    uint64_t length = 0;
    for (size_t i = 0; i < tbs->parts[LIST]->count; i++)
        length += der_write(arena, tbs->parts[LIST]->parts[i]).length;
    return length;
}

struct bytes crl_case_make(const struct crl_case *one, struct arena *arena, const struct issuer *issuer,
                           struct crl_entry entries[CASE_ENTRIES], struct crl_contents *contents) {
    static const uint8_t none[] = {0};
    size_t count = one->is_empty ? 0 : CASE_ENTRIES, length;
    struct crl_frame frame;
    struct bytes tbs;
    struct error error;
    make_entries(one, entries);
    *contents = (struct crl_contents){.issuer = issuer->subject,
                                      .key_id = issuer->key_id,
                                      .signature_identifier = issuer->signature_identifier,
                                      .url = "http://crl.example.net/c1",
                                      .number = 1795858000122,
                                      .this_update = BEGIN,
                                      .next_update = BEGIN + 7 * 86400,
                                      .entry_bytes = crl_entries_length(entries, count)};
    if (one->wish != NULL)
        one->wish(contents);
    assert_true(crl_build_frame(arena, contents, &frame, &error));
    uint8_t *der = crl_assemble(&frame, entries, count, contents->signature_identifier,
                                (struct bytes){none, 1}, &length, &tbs);
    assert_non_null(der);
    uint8_t *copy = arena_copy(arena, tbs.data, tbs.length);
    struct der_node *tree = der_read(arena, (struct bytes){copy, tbs.length});
    free(der);
    if (one->flip > 0)
        copy[one->flip] ^= 1;
    if (one->edit == NULL)
        return (struct bytes){copy, tbs.length};
    one->edit(arena, tree);
    if (one->is_entry)
        contents->entry_bytes = length_of_list(arena, tree);
    return der_write(arena, tree);
}
