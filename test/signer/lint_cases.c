/* Bad certificates, a few for every rule of lint.c. The default sample (test_lint.c): template origin, an RSA
 * subject key, a P-256 issuer, 2026-06-01 to 2026-08-30, the names www.example.com, *.example.com and
 * example.com, a CRL and an OCSP address. Where a comment says "necessarily", `also` lists what cannot stay
 * whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lint_cases.h"

#include <stdlib.h>
#include <string.h>

#define SAN LITERAL("\x55\x1D\x11")
#define EKU LITERAL("\x55\x1D\x25")
#define KU LITERAL("\x55\x1D\x0F")
#define BC LITERAL("\x55\x1D\x13")
#define AKI LITERAL("\x55\x1D\x23")
#define SKI LITERAL("\x55\x1D\x0E")
#define CRL LITERAL("\x55\x1D\x1F")
#define AIA LITERAL("\x2B\x06\x01\x05\x05\x07\x01\x01")

#define SERVER "\x06\x08\x2B\x06\x01\x05\x05\x07\x03\x01"
#define CLIENT "\x06\x08\x2B\x06\x01\x05\x05\x07\x03\x02"
#define ANY "\x06\x04\x55\x1D\x25\x00"
#define DAY 86400
/* Name { commonName "x" } */
#define OTHER_NAME "\x30\x0C\x31\x0A\x30\x08\x06\x03\x55\x04\x03\x0C\x01x"
#define FIXED_TEXT_ELSEWHERE "\x30\x1D\x31\x1B\x30\x19\x06\x03\x55\x04\x0A\x0C\x12Origin Certificate"
/* Whole extensions */
#define EKU_EXTENSION "\x30\x13\x06\x03\x55\x1D\x25\x04\x0C\x30\x0A" SERVER
#define POLICIES_EXTENSION "\x30\x0F\x06\x03\x55\x1D\x20\x04\x08\x30\x06\x30\x04\x06\x02\x2A\x03"
#define TLS_FEATURE_EXTENSION "\x30\x11\x06\x08\x2B\x06\x01\x05\x05\x07\x01\x18\x04\x05\x30\x03\x02\x01\x05"
#define LONGER_SAN_OID_EXTENSION "\x30\x0A\x06\x04\x55\x1D\x11\x00\x04\x02\x30\x00"
#define BC_EXTENSION "\x30\x09\x06\x03\x55\x1D\x13\x04\x02\x30\x00"
#define KU_EXTENSION "\x30\x0E\x06\x03\x55\x1D\x0F\x01\x01\xFF\x04\x04\x03\x02\x05\xA0"
#define SKI_EXTENSION "\x30\x0B\x06\x03\x55\x1D\x0E\x04\x04\x04\x02\x01\x02"
#define CRL_EXTENSION "\x30\x1A\x06\x03\x55\x1D\x1F\x04\x13\x30\x11\x30\x0F\xA0\x0D\xA0\x0B\x86\x09http://x/"
#define AIA_EXTENSION                                                                                        \
    "\x30\x25\x06\x08\x2B\x06\x01\x05\x05\x07\x01\x01\x04\x19\x30\x17\x30\x15"                               \
    "\x06\x08\x2B\x06\x01\x05\x05\x07\x30\x01\x86\x09http://x/"

/* --- finding --- */

struct der_node *lint_case_find(struct der_node *tbs, struct bytes oid, size_t *at) {
    struct der_node *list = tbs->parts[FIELD_EXTENSIONS]->parts[0];
    for (size_t i = 0; i < list->count; i++) {
        struct bytes found = list->parts[i]->parts[0]->content;
        if (found.length == oid.length && memcmp(found.data, oid.data, oid.length) == 0) {
            if (at != NULL)
                *at = i;
            return list->parts[i];
        }
    }
    fail_msg("the good certificate lacks the extension to change");
    abort(); /* never reached: the compiler does not know that a failed test does not come back */
}

static struct der_node *value_of(struct der_node *extension) {
    return extension->parts[extension->count - 1];
}

/* The value of an extension as a tree, to be put back. */
static struct der_node *open_value(struct sample *sample, struct der_node *tbs, struct bytes oid) {
    return der_read(sample->arena, value_of(lint_case_find(tbs, oid, NULL))->content);
}

static void close_value(struct sample *sample, struct der_node *tbs, struct bytes oid,
                        const struct der_node *tree) {
    value_of(lint_case_find(tbs, oid, NULL))->content = der_write(sample->arena, tree);
}

static void flip_last(struct sample *sample, struct bytes *bytes) {
    uint8_t *copy = arena_copy(sample->arena, bytes->data, bytes->length);
    assert_non_null(copy);
    copy[bytes->length - 1] ^= 1;
    bytes->data = copy;
}

/* --- wishes: what is asked for is bad, and is built as asked --- */

static void wish_350_long_names(struct sample *sample) {
    char b[61] = {0}, c[61] = {0};
    memset(b, 'b', 60);
    memset(c, 'c', 60);
    for (size_t i = 0; i < 350; i++)
        sample->names[i] = arena_printf(sample->arena, "n%03zu%.56s.%s.%s.example.com", i, b, b, c);
    sample->wanted.name_count = 350;
}

static void wish_name_of_254_bytes(struct sample *sample) {
    char label[64] = {0};
    memset(label, 'a', 60);
    char *name = arena_printf(sample->arena, "%s.%s.%s.%.59s.example.com", label, label, label, label);
    assert_int_equal(strlen(name), 254);
    sample->names[0] = name;
}

static void wish_negative_serial(struct sample *sample) {
    sample->serial[0] = 0x80;
}

static void wish_serial_with_leading_zero(struct sample *sample) {
    sample->serial[0] = 0;
}

static void wish_no_time(struct sample *sample) {
    sample->wanted.not_after = sample->wanted.not_before;
}

static void wish_backward_time(struct sample *sample) {
    sample->wanted.not_after = sample->wanted.not_before - DAY;
}

static void wish_end_after_issuer(struct sample *sample) {
    sample->wanted.not_after = sample->issuer.not_after + 1;
    sample->wanted.not_before = sample->wanted.not_after - 90 * DAY;
}

static void wish_begin_long_before_issuer(struct sample *sample) {
    sample->wanted.not_before = sample->issuer.not_before - DAY - 1;
}

static void wish_5475_days_and_a_second(struct sample *sample) {
    sample->wanted.not_after = sample->wanted.not_before + (time_t)5475 * DAY + 1;
}

static void wish_no_names(struct sample *sample) {
    sample->wanted.name_count = 0;
}

static void wish_name_twice(struct sample *sample) {
    sample->names[2] = sample->names[0];
}

static void wish_no_addresses(struct sample *sample) {
    sample->config.crl_url = sample->config.ocsp_url = NULL;
}

/* SubjectPublicKeyInfo { algorithm { oid, parameters }, key }: another oid, other parameters ("" drops them).
 */
static void change_key_algorithm(struct sample *sample, const struct bytes *oid, struct bytes parameters) {
    struct der_node *spki = der_read(sample->arena, sample->wanted.spki), *algorithm = spki->parts[0];
    if (oid != NULL)
        algorithm->parts[0]->content = *oid;
    algorithm->parts[1] = der_raw(sample->arena, parameters);
    sample->wanted.spki = der_write(sample->arena, spki);
}

static void wish_key_without_parameters(struct sample *sample) {
    change_key_algorithm(sample, NULL, (struct bytes)LITERAL(""));
}

static void wish_key_with_two_parameters(struct sample *sample) {
    change_key_algorithm(sample, NULL, (struct bytes)LITERAL("\x05\x00\x05\x00"));
}

static void wish_pss_key(struct sample *sample) {
    static const struct bytes pss = LITERAL("\x2A\x86\x48\x86\xF7\x0D\x01\x01\x0A");
    change_key_algorithm(sample, &pss, (struct bytes)LITERAL(""));
}

static void wish_key_on_secp256k1(struct sample *sample) {
    change_key_algorithm(sample, NULL, (struct bytes)LITERAL("\x06\x05\x2B\x81\x04\x00\x0A"));
}

static void wish_key_with_explicit_curve(struct sample *sample) {
    change_key_algorithm(sample, NULL, (struct bytes)LITERAL("\x30\x03\x02\x01\x01"));
}

static void wish_other_kind_of_key(struct sample *sample) {
    sample->wanted.is_rsa = !sample->wanted.is_rsa;
}

/* --- edits of what was built --- */

static void drop_version(struct sample *sample, struct der_node *tbs) {
    (void)sample;
    der_remove(tbs, FIELD_VERSION);
}

static void drop_extensions(struct sample *sample, struct der_node *tbs) {
    (void)sample;
    der_remove(tbs, FIELD_EXTENSIONS);
}

static void third_time(struct sample *sample, struct der_node *tbs) {
    struct der_node *validity = tbs->parts[FIELD_VALIDITY];
    der_insert(sample->arena, validity, 2, validity->parts[1]);
}

static void seventeen_extensions(struct sample *sample, struct der_node *tbs) {
    struct der_node *list = tbs->parts[FIELD_EXTENSIONS]->parts[0];
    while (list->count < 17)
        der_insert(sample->arena, list, 0, list->parts[0]);
}

static void fourth_part_of_an_extension(struct sample *sample, struct der_node *tbs) {
    struct der_node *extension = tbs->parts[FIELD_EXTENSIONS]->parts[0]->parts[0];
    der_insert(sample->arena, extension, extension->count, extension->parts[0]);
}

static void list_behind_the_extensions(struct sample *sample, struct der_node *tbs) {
    struct der_node *extensions = tbs->parts[FIELD_EXTENSIONS];
    der_insert(sample->arena, extensions, 1, der_raw(sample->arena, (struct bytes)LITERAL("\x30\x00")));
}

static void issuer_unique_id(struct sample *sample, struct der_node *tbs) {
    der_insert(sample->arena, tbs, FIELD_EXTENSIONS,
               der_raw(sample->arena, (struct bytes)LITERAL("\x81\x02\x00\x01")));
}

static void subject_unique_id(struct sample *sample, struct der_node *tbs) {
    der_insert(sample->arena, tbs, FIELD_EXTENSIONS,
               der_raw(sample->arena, (struct bytes)LITERAL("\x82\x02\x00\x01")));
}

static void attribute_more(struct sample *sample, struct der_node *tbs) {
    struct der_node *subject = tbs->parts[FIELD_SUBJECT];
    struct der_node *more = der_read(sample->arena, (struct bytes)LITERAL(OTHER_NAME));
    der_insert(sample->arena, subject, subject->count, more->parts[0]);
}

static void other_key(struct sample *sample, struct der_node *tbs) {
    flip_last(sample, &tbs->parts[FIELD_SPKI]->parts[1]->content);
}

/* The name at `at` becomes `item`, a whole element; at the end of the list it is one more. */
static void put_name(struct sample *sample, struct der_node *tbs, size_t at, struct bytes item) {
    static const struct bytes oid = SAN;
    struct der_node *names = open_value(sample, tbs, oid);
    if (at < names->count)
        der_remove(names, at);
    der_insert(sample->arena, names, at, der_raw(sample->arena, item));
    close_value(sample, tbs, oid, names);
}

static void name_as_mail_address(struct sample *sample, struct der_node *tbs) {
    put_name(sample, tbs, 0, (struct bytes)LITERAL("\x81\x0Fwww.example.com"));
}

static void name_as_uri(struct sample *sample, struct der_node *tbs) {
    put_name(sample, tbs, 2,
             (struct bytes)LITERAL("\x86\x0B"
                                   "example.com"));
}

static void address_more(struct sample *sample, struct der_node *tbs) {
    put_name(sample, tbs, 3, (struct bytes)LITERAL("\x87\x04\xC0\x00\x02\x01"));
}

static void half_a_name_more(struct sample *sample, struct der_node *tbs) {
    put_name(sample, tbs, 3,
             (struct bytes)LITERAL("\x82\x05"
                                   "ab"));
}

static void name_with_nul(struct sample *sample, struct der_node *tbs) {
    put_name(sample, tbs, 0, (struct bytes)LITERAL("\x82\x12www.example.com\0.x"));
}

static void name_with_nul_at_end(struct sample *sample, struct der_node *tbs) {
    put_name(sample, tbs, 0, (struct bytes)LITERAL("\x82\x10www.example.com\0"));
}

static void other_name(struct sample *sample, struct der_node *tbs) {
    put_name(sample, tbs, 0, (struct bytes)LITERAL("\x82\x0Fwwx.example.com"));
}

static void shorter_name(struct sample *sample, struct der_node *tbs) {
    put_name(sample, tbs, 0, (struct bytes)LITERAL("\x82\x0Ewww.example.co"));
}

static void longer_name(struct sample *sample, struct der_node *tbs) {
    put_name(sample, tbs, 2,
             (struct bytes)LITERAL("\x82\x10"
                                   "example.com.shop"));
}

static void name_more(struct sample *sample, struct der_node *tbs) {
    put_name(sample, tbs, 3, (struct bytes)LITERAL("\x82\x10mail.example.com"));
}

static void name_less(struct sample *sample, struct der_node *tbs) {
    static const struct bytes oid = SAN;
    struct der_node *names = open_value(sample, tbs, oid);
    der_remove(names, 2);
    close_value(sample, tbs, oid, names);
}

static void names_in_other_order(struct sample *sample, struct der_node *tbs) {
    static const struct bytes oid = SAN;
    struct der_node *names = open_value(sample, tbs, oid), *first = names->parts[0];
    names->parts[0] = names->parts[1];
    names->parts[1] = first;
    close_value(sample, tbs, oid, names);
}

/* More behind or inside of what an extension wraps. */
static void grow_value(struct sample *sample, struct der_node *tbs, struct bytes oid, struct bytes behind,
                       struct bytes inside) {
    struct der_node *tree = open_value(sample, tbs, oid);
    struct text text;
    if (inside.length > 0)
        der_insert(sample->arena, tree, tree->count, der_raw(sample->arena, inside));
    struct bytes grown = der_write(sample->arena, tree);
    text_init(&text, sample->arena);
    text_append_bytes(&text, grown.data, grown.length);
    text_append_bytes(&text, behind.data, behind.length);
    value_of(lint_case_find(tbs, oid, NULL))->content =
        (struct bytes){(const uint8_t *)text.data, text.length};
}

#define GROW(function, oid, behind, inside)                                                                  \
    static void function(struct sample *sample, struct der_node *tbs) {                                      \
        grow_value(sample, tbs, (struct bytes)oid, (struct bytes)LITERAL(behind),                            \
                   (struct bytes)LITERAL(inside));                                                           \
    }
GROW(null_behind_names, SAN, "\x05\x00", "")
GROW(null_behind_key_id, AKI, "\x05\x00", "")
GROW(issuer_serial_in_key_id, AKI, "", "\x82\x01\x05")
GROW(second_point, CRL, "", "\x30\x0D\xA0\x0B\xA0\x09\x86\x07http://")
GROW(null_behind_points, CRL, "\x05\x00", "")
GROW(null_behind_access, AIA, "\x05\x00", "")
GROW(second_access, AIA, "", "\x30\x15\x06\x08\x2B\x06\x01\x05\x05\x07\x30\x02\x86\x09http://x/")

static void short_key_id(struct sample *sample, struct der_node *tbs) {
    static const struct bytes oid = AKI;
    struct der_node *id = open_value(sample, tbs, oid);
    id->parts[0]->content.length--;
    close_value(sample, tbs, oid, id);
}

static void key_id_with_other_tag(struct sample *sample, struct der_node *tbs) {
    static const struct bytes oid = AKI;
    struct der_node *id = open_value(sample, tbs, oid);
    id->parts[0]->tag = 0x82;
    close_value(sample, tbs, oid, id);
}

static void other_end_of_value(struct sample *sample, struct der_node *tbs, struct bytes oid) {
    flip_last(sample, &value_of(lint_case_find(tbs, oid, NULL))->content);
}

static void other_subject_key_id(struct sample *sample, struct der_node *tbs) {
    other_end_of_value(sample, tbs, (struct bytes)SKI);
}

static void other_key_id(struct sample *sample, struct der_node *tbs) {
    other_end_of_value(sample, tbs, (struct bytes)AKI);
}

static void other_point(struct sample *sample, struct der_node *tbs) {
    other_end_of_value(sample, tbs, (struct bytes)CRL);
}

/* Another address with what the sample's begins with. */
static void put_point(struct sample *sample, struct der_node *tbs, const char *end) {
    static const struct bytes oid = CRL;
    struct der_node *points = open_value(sample, tbs, oid);
    const char *url = arena_printf(sample->arena, "http://crl.example.net/c%s", end);
    points->parts[0]->parts[0]->parts[0]->parts[0]->content =
        (struct bytes){(const uint8_t *)url, strlen(url)};
    close_value(sample, tbs, oid, points);
}
#define POINT(name, end)                                                                                     \
    static void name(struct sample *sample, struct der_node *tbs) {                                          \
        put_point(sample, tbs, end);                                                                         \
    }
POINT(mark_as_it_is, "{shard}")
POINT(shard_left_out, "")
POINT(shard_with_zero, "0b")
POINT(shard_in_capitals, "B")
POINT(shard_in_decimal, "11")
POINT(shard_with_more_behind, "b/")

static void other_access(struct sample *sample, struct der_node *tbs) {
    other_end_of_value(sample, tbs, (struct bytes)AIA);
}

/* The right address one more time, before the right point: the end of the value is as it should be. */
static void point_twice(struct sample *sample, struct der_node *tbs) {
    static const struct bytes oid = CRL;
    struct der_node *points = open_value(sample, tbs, oid);
    der_insert(sample->arena, points, 0, points->parts[0]);
    close_value(sample, tbs, oid, points);
}

static void point_relative_to_issuer(struct sample *sample, struct der_node *tbs) {
    static const struct bytes oid = CRL;
    struct der_node *points = open_value(sample, tbs, oid);
    points->parts[0]->parts[0]->parts[0]->tag = 0xA1;
    close_value(sample, tbs, oid, points);
}

static void access_to_issuer_certificate(struct sample *sample, struct der_node *tbs) {
    static const struct bytes oid = AIA;
    struct der_node *access = open_value(sample, tbs, oid);
    flip_last(sample, &access->parts[0]->parts[0]->content);
    close_value(sample, tbs, oid, access);
}

static void description_before_access(struct sample *sample, struct der_node *tbs) {
    static const struct bytes oid = AIA;
    struct der_node *access = open_value(sample, tbs, oid);
    der_insert(sample->arena, access, 0, access->parts[0]);
    close_value(sample, tbs, oid, access);
}

/* --- applying --- */

static void mark(struct sample *sample, struct der_node *extension, struct bytes flag) {
    struct der_node *node = NULL;
    if (flag.length > 0) {
        node = arena_alloc(sample->arena, sizeof *node);
        assert_non_null(node);
        *node = (struct der_node){.tag = 0x01, .content = flag};
    }
    if (extension->count == 3)
        der_remove(extension, 1);
    if (node != NULL)
        der_insert(sample->arena, extension, 1, node);
}

struct bytes lint_case_apply(const struct lint_case *one, struct sample *sample, struct bytes good) {
    struct der_node *tbs = der_read(sample->arena, good), *list = tbs->parts[FIELD_EXTENSIONS]->parts[0];
    struct text text;
    size_t at = 0;
    text_init(&text, sample->arena);
    switch (one->operation) {
    case OPERATION_NONE:
        return good;
    case OPERATION_REPLACE:
        tbs->parts[one->field] = der_raw(sample->arena, one->bytes);
        break;
    case OPERATION_VALUE:
        value_of(lint_case_find(tbs, one->oid, NULL))->content = one->bytes;
        break;
    case OPERATION_REMOVE:
        lint_case_find(tbs, one->oid, &at);
        der_remove(list, at);
        break;
    case OPERATION_MARK:
        mark(sample, lint_case_find(tbs, one->oid, NULL), one->bytes);
        break;
    case OPERATION_ADD:
        der_insert(sample->arena, list, list->count, der_raw(sample->arena, one->bytes));
        break;
    case OPERATION_BEHIND:
        text_append_bytes(&text, good.data, good.length);
        text_append_bytes(&text, one->bytes.data, one->bytes.length);
        return (struct bytes){(const uint8_t *)text.data, text.length};
    case OPERATION_EDIT:
        one->edit(sample, tbs);
        break;
    }
    return der_write(sample->arena, tbs);
}

/* --- the table --- */

#define ORIGIN .shape = TEMPLATE_ORIGIN
#define COMPACT .shape = TEMPLATE_COMPACT
#define CLASSIC .shape = TEMPLATE_CLASSIC
#define WISH(function) .wish = (function)
#define EDIT(function) .operation = OPERATION_EDIT, .edit = (function)
#define REPLACE(place, text) .operation = OPERATION_REPLACE, .field = (place), .bytes = LITERAL(text)
#define VALUE(name, text) .operation = OPERATION_VALUE, .oid = name, .bytes = LITERAL(text)
#define REMOVE(name) .operation = OPERATION_REMOVE, .oid = name
#define MARK(name, text) .operation = OPERATION_MARK, .oid = name, .bytes = LITERAL(text)
#define ADD(text) .operation = OPERATION_ADD, .bytes = LITERAL(text)
#define BEHIND(text) .operation = OPERATION_BEHIND, .bytes = LITERAL(text)
#define ALSO(rules) .also = (rules)
#define NAME(text) .name = (text)

const struct lint_case lint_cases[] = {
    /* What cannot be parsed has nothing for the other rules to look at. */
    {"well-formed", "no extensions", EDIT(drop_extensions)},
    {"well-formed", "three times in the validity", EDIT(third_time)},
    {"well-formed", "seventeen extensions", EDIT(seventeen_extensions)},
    {"well-formed", "a fourth part of an extension", EDIT(fourth_part_of_an_extension)},
    {"well-formed", "something behind the list of extensions", EDIT(list_behind_the_extensions)},
    {"well-formed", "a length that is not minimal", REPLACE(FIELD_SUBJECT, "\x30\x81\x00")},
    {"well-formed", "an indefinite length", REPLACE(FIELD_SUBJECT, "\x30\x80\x00\x00")},
    {"well-formed", "a serial that is no INTEGER", REPLACE(FIELD_SERIAL, "\x04\x01\x05")},
    {"well-formed", "an extension without a value", ADD("\x30\x05\x06\x03\x55\x1D\x25")},
    {"well-formed", "an extension that wraps no OCTET STRING", ADD("\x30\x07\x06\x03\x55\x1D\x25\x05\x00")},
    {"well-formed", "an element that is no extension", ADD("\x05\x00")},
    {"nothing-behind", "a byte behind", BEHIND("\x00")},
    {"nothing-behind", "an element behind", BEHIND("\x05\x00")},
    {"size", "350 names of 194 bytes", WISH(wish_350_long_names)},
    {"version", "no version, which means 1", EDIT(drop_version)},
    {"version", "version 1 written out", REPLACE(FIELD_VERSION, "\xA0\x03\x02\x01\x00")},
    {"version", "version 2", REPLACE(FIELD_VERSION, "\xA0\x03\x02\x01\x01")},
    {"version", "version 4", REPLACE(FIELD_VERSION, "\xA0\x03\x02\x01\x03")},
    {"version", "version 3 in two bytes", REPLACE(FIELD_VERSION, "\xA0\x04\x02\x02\x00\x02")},
    {"version", "version 3 twice", REPLACE(FIELD_VERSION, "\xA0\x06\x02\x01\x02\x02\x01\x02")},
    {"unique-ids", "of the issuer", EDIT(issuer_unique_id)},
    {"unique-ids", "of the subject", EDIT(subject_unique_id)},
    {"serial-positive", "a negative serial", WISH(wish_negative_serial)},
    {"serial-positive", "a serial with a leading zero", WISH(wish_serial_with_leading_zero)},
    /* The wanted serial has 16 bytes in any case, so one of another length is necessarily not the wanted. */
    {"serial-positive", "an empty serial", REPLACE(FIELD_SERIAL, "\x02\x00"),
     ALSO("serial-entropy serial-wanted")},
    {"serial-length", "21 bytes",
     REPLACE(FIELD_SERIAL, "\x02\x15\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0A\x0B\x0C\x0D\x0E\x0F\x10\x11\x12"
                           "\x13\x14\x15"),
     ALSO("serial-wanted")},
    {"serial-entropy", "15 bytes",
     REPLACE(FIELD_SERIAL, "\x02\x0F\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0A\x0B\x0C\x0D\x0E\x0F"),
     ALSO("serial-wanted")},
    {"serial-entropy", "one byte", REPLACE(FIELD_SERIAL, "\x02\x01\x05"), ALSO("serial-wanted")},
    {"serial-wanted", "16 other bytes",
     REPLACE(FIELD_SERIAL, "\x02\x10\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0A\x0B\x0C\x0D\x0E\x0F\x10")},
    {"serial-wanted", "20 bytes",
     REPLACE(FIELD_SERIAL,
             "\x02\x14\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0A\x0B\x0C\x0D\x0E\x0F\x10\x11\x12\x13\x14")},
    {"algorithm", "SHA-384 from a P-256 issuer",
     REPLACE(FIELD_ALGORITHM, "\x30\x0A\x06\x08\x2A\x86\x48\xCE\x3D\x04\x03\x03")},
    {"algorithm", "parameters beside ECDSA",
     REPLACE(FIELD_ALGORITHM, "\x30\x0C\x06\x08\x2A\x86\x48\xCE\x3D\x04\x03\x02\x05\x00")},
    {"algorithm", "SHA-1 with RSA", .has_rsa_issuer = true,
     REPLACE(FIELD_ALGORITHM, "\x30\x0D\x06\x09\x2A\x86\x48\x86\xF7\x0D\x01\x01\x05\x05\x00")},
    {"algorithm", "no NULL beside RSA", .has_rsa_issuer = true,
     REPLACE(FIELD_ALGORITHM, "\x30\x0B\x06\x09\x2A\x86\x48\x86\xF7\x0D\x01\x01\x0B")},
    {"issuer", "another name", REPLACE(FIELD_ISSUER, OTHER_NAME)},
    {"issuer", "an empty name", REPLACE(FIELD_ISSUER, "\x30\x00")},
    {"time-form", "GeneralizedTime before 2050",
     REPLACE(FIELD_VALIDITY, "\x30\x20\x18\x0F"
                             "20260601000000Z"
                             "\x17\x0D"
                             "260830000000Z")},
    {"time-form", "GeneralizedTime for the end before 2050",
     REPLACE(FIELD_VALIDITY, "\x30\x20\x17\x0D"
                             "260601000000Z"
                             "\x18\x0F"
                             "20260830000000Z")},
    /* A time in a form that cannot be read, or that is on no calendar, is necessarily not the wanted time. */
    {"time-form", "month 18 of the year before", ALSO("validity-wanted"),
     REPLACE(FIELD_VALIDITY, "\x30\x1E\x17\x0D"
                             "251801000000Z"
                             "\x17\x0D"
                             "260830000000Z")},
    {"time-form", "day 32 of the month before", ALSO("validity-wanted"),
     REPLACE(FIELD_VALIDITY, "\x30\x1E\x17\x0D"
                             "260532000000Z"
                             "\x17\x0D"
                             "260830000000Z")},
    {"time-form", "hour 24 of the day before", ALSO("validity-wanted"),
     REPLACE(FIELD_VALIDITY, "\x30\x1E\x17\x0D"
                             "260531240000Z"
                             "\x17\x0D"
                             "260830000000Z")},
    {"time-form", "second 60 of the minute before", ALSO("validity-wanted"),
     REPLACE(FIELD_VALIDITY, "\x30\x1E\x17\x0D"
                             "260531235960Z"
                             "\x17\x0D"
                             "260830000000Z")},
    {"time-form", "no seconds", ALSO("validity-wanted"),
     REPLACE(FIELD_VALIDITY, "\x30\x1C\x17\x0B"
                             "2606010000Z"
                             "\x17\x0D"
                             "260830000000Z")},
    {"time-form", "an offset for Z", ALSO("validity-wanted"),
     REPLACE(FIELD_VALIDITY, "\x30\x22\x17\x11"
                             "260601000000+0000"
                             "\x17\x0D"
                             "260830000000Z")},
    {"time-form", "a fraction", ALSO("validity-wanted"),
     REPLACE(FIELD_VALIDITY, "\x30\x22\x18\x11"
                             "20260601000000.0Z"
                             "\x17\x0D"
                             "260830000000Z")},
    {"time-form", "a letter", ALSO("validity-wanted"),
     REPLACE(FIELD_VALIDITY, "\x30\x1E\x17\x0D"
                             "26O601000000Z"
                             "\x17\x0D"
                             "260830000000Z")},
    /* A tag that is no time: its text is read as one with a year of four digits, which it has not. */
    {"time-form", "a text for a time", ALSO("validity-wanted"),
     REPLACE(FIELD_VALIDITY, "\x30\x1E\x16\x0D"
                             "260601000000Z"
                             "\x17\x0D"
                             "260830000000Z")},
    {"validity-wanted", "begins a second later",
     REPLACE(FIELD_VALIDITY, "\x30\x1E\x17\x0D"
                             "260601000001Z"
                             "\x17\x0D"
                             "260830000000Z")},
    {"validity-wanted", "ends a second later",
     REPLACE(FIELD_VALIDITY, "\x30\x1E\x17\x0D"
                             "260601000000Z"
                             "\x17\x0D"
                             "260830000001Z")},
    {"validity-wanted", "never ends (RFC 5280 4.1.2.5)",
     REPLACE(FIELD_VALIDITY, "\x30\x20\x17\x0D"
                             "260601000000Z"
                             "\x18\x0F"
                             "99991231235959Z")},
    {"validity-forward", "ends when it begins", WISH(wish_no_time)},
    {"validity-forward", "ends before it begins", WISH(wish_backward_time)},
    {"validity-issuer", "ends a second after its issuer", WISH(wish_end_after_issuer)},
    {"validity-issuer", "begins more than a day before its issuer", WISH(wish_begin_long_before_issuer)},
    {"validity-bound", "a second more than 5475 days", WISH(wish_5475_days_and_a_second)},
    {"subject", "a subject in template origin", REPLACE(FIELD_SUBJECT, OTHER_NAME)},
    {"subject", "a subject in template compact", COMPACT, REPLACE(FIELD_SUBJECT, OTHER_NAME)},
    {"subject", "the subject of classic in template origin", REPLACE(FIELD_SUBJECT, FIXED_TEXT_ELSEWHERE)},
    {"subject", "no subject in template classic", CLASSIC, REPLACE(FIELD_SUBJECT, "\x30\x00")},
    {"subject", "another subject in template classic", CLASSIC, REPLACE(FIELD_SUBJECT, OTHER_NAME)},
    {"subject", "an attribute more in template classic", CLASSIC, EDIT(attribute_more)},
    {"subject", "the fixed text in another attribute", CLASSIC, REPLACE(FIELD_SUBJECT, FIXED_TEXT_ELSEWHERE)},
    {"spki-wanted", "another RSA key", EDIT(other_key)},
    {"spki-wanted", "another EC key", .key = KIT_P256, EDIT(other_key)},
    {"spki-wanted", "another key in template classic", CLASSIC, EDIT(other_key)},
    {"spki-parameters", "RSA without NULL", WISH(wish_key_without_parameters)},
    {"spki-parameters", "RSA with two NULLs", WISH(wish_key_with_two_parameters)},
    {"spki-parameters", "RSASSA-PSS", WISH(wish_pss_key)},
    {"spki-parameters", "EC without a curve", .key = KIT_P256, WISH(wish_key_without_parameters)},
    {"spki-parameters", "the curve secp256k1", .key = KIT_P256, WISH(wish_key_on_secp256k1)},
    {"spki-parameters", "a curve written out", .key = KIT_P384, WISH(wish_key_with_explicit_curve)},
    {"spki-parameters", "RSA where EC was judged", WISH(wish_other_kind_of_key)},
    {"spki-parameters", "EC where RSA was judged", .key = KIT_P521, WISH(wish_other_kind_of_key)},
    {"extension-unique", "extKeyUsage twice", COMPACT, ADD(EKU_EXTENSION)},
    {"extension-unique", "keyUsage twice", CLASSIC, ADD(KU_EXTENSION)},
    {"extension-known", "certificatePolicies", ADD(POLICIES_EXTENSION)},
    {"extension-known", "the TLS feature extension", COMPACT, ADD(TLS_FEATURE_EXTENSION)},
    {"extension-known", "a longer form of a known OID", CLASSIC, ADD(LONGER_SAN_OID_EXTENSION)},
    {"extension-default", "critical FALSE", MARK(EKU, "\x00")},
    {"extension-default", "critical TRUE that is not FF", MARK(EKU, "\x01")},
    {"extension-default", "critical in two bytes", COMPACT, MARK(AKI, "\xFF\xFF")},
    {"san-critical", "not critical in template origin", MARK(SAN, "")},
    {"san-critical", "not critical in template compact", COMPACT, MARK(SAN, "")},
    /* Without the extension necessarily nothing of it is right. */
    {"san-critical", "no subjectAltName", REMOVE(SAN), ALSO("san-dns san-form san-wanted")},
    {"san-critical", "no subjectAltName in template classic", CLASSIC, REMOVE(SAN),
     ALSO("san-dns san-form san-wanted")},
    {"san-dns", "the name as a mail address", EDIT(name_as_mail_address)},
    {"san-dns", "the name as a URI", CLASSIC, EDIT(name_as_uri)},
    {"san-dns", "no names", WISH(wish_no_names)},
    {"san-dns", "half a name behind the names", EDIT(half_a_name_more)},
    /* An address is no DNS name, and one item more than wanted. */
    {"san-dns", "an address behind the names", EDIT(address_more), ALSO("san-form san-wanted")},
    /* No list of names can be read out of two elements. */
    {"san-dns", "an element behind the list", EDIT(null_behind_names), ALSO("san-form san-wanted")},
    {"san-form", "upper case", NAME("WWW.example.com")},
    {"san-form", "an underscore", NAME("_www.example.com")},
    {"san-form", "a U-label",
     NAME("b\xC3\xBC"
          "cher.example.com")},
    {"san-form", "a label that is no A-label", NAME("xn--0.example.com")},
    {"san-form", "an empty label", NAME("www..example.com")},
    {"san-form", "a leading dot", NAME(".example.com")},
    {"san-form", "a final dot", NAME("www.example.com.")},
    {"san-form", "a space", NAME(" www.example.com")},
    {"san-form", "a hyphen at the end of a label", NAME("www-.example.com")},
    {"san-form", "one label", NAME("example")},
    {"san-form", "an empty name", NAME("")},
    {"san-form", "an address", NAME("192.0.2.1")},
    {"san-form", "a public suffix", NAME("co.uk")},
    {"san-form", "a wildcard below a public suffix", NAME("*.co.uk")},
    {"san-form", "two wildcards", NAME("*.*.example.com")},
    {"san-form", "a wildcard that is part of a label", NAME("w*.example.com")},
    {"san-form", "a wildcard in the middle", NAME("www.*.example.com")},
    {"san-form", "a reserved name", NAME("www.localhost")},
    {"san-form", "254 bytes", WISH(wish_name_of_254_bytes)},
    /* No wish can hold a NUL, so such a name is necessarily not the wanted one. */
    {"san-form", "a NUL", EDIT(name_with_nul), ALSO("san-wanted")},
    {"san-form", "a NUL at the end", EDIT(name_with_nul_at_end), ALSO("san-wanted")},
    {"san-wanted", "another name", EDIT(other_name)},
    {"san-wanted", "the beginning of a name", EDIT(shorter_name)},
    {"san-wanted", "a name with something behind it", EDIT(longer_name)},
    {"san-wanted", "a name more", EDIT(name_more)},
    {"san-wanted", "a name less", EDIT(name_less)},
    {"san-wanted", "another order", CLASSIC, EDIT(names_in_other_order)},
    {"san-unique", "a name twice", WISH(wish_name_twice)},
    {"eku", "missing", REMOVE(EKU)},
    {"eku", "critical", MARK(EKU, "\xFF")},
    {"eku", "client first in template origin", VALUE(EKU, "\x30\x14" CLIENT SERVER)},
    {"eku", "server alone in template origin", VALUE(EKU, "\x30\x0A" SERVER)},
    {"eku", "any purpose beside the right ones", VALUE(EKU, "\x30\x1A" SERVER CLIENT ANY)},
    {"eku", "an element behind", VALUE(EKU, "\x30\x14" SERVER CLIENT "\x05\x00")},
    {"eku", "client in template compact", COMPACT, VALUE(EKU, "\x30\x14" SERVER CLIENT)},
    {"eku", "any purpose in template compact", COMPACT, VALUE(EKU, "\x30\x06" ANY)},
    {"eku", "server first in template classic", CLASSIC, VALUE(EKU, "\x30\x14" SERVER CLIENT)},
    {"eku", "empty in template classic", CLASSIC, VALUE(EKU, "\x30\x00")},
    {"no-ca", "cA TRUE", CLASSIC, VALUE(BC, "\x30\x03\x01\x01\xFF")},
    {"no-ca", "cA TRUE with a path length", CLASSIC, VALUE(BC, "\x30\x06\x01\x01\xFF\x02\x01\x00")},
    {"no-ca", "cA FALSE written out", CLASSIC, VALUE(BC, "\x30\x03\x01\x01\x00")},
    {"no-ca", "a path length", CLASSIC, VALUE(BC, "\x30\x03\x02\x01\x00")},
    {"no-ca", "nothing", CLASSIC, VALUE(BC, "")},
    {"no-ca", "missing", CLASSIC, REMOVE(BC)},
    {"no-ca", "not critical", CLASSIC, MARK(BC, "")},
    {"no-ca", "present in template origin", ADD(BC_EXTENSION)},
    {"no-ca", "present in template compact", COMPACT, ADD(BC_EXTENSION)},
    {"key-usage", "no encipherment for RSA", CLASSIC, VALUE(KU, "\x03\x02\x07\x80")},
    {"key-usage", "keyCertSign for RSA", CLASSIC, VALUE(KU, "\x03\x02\x02\xA4")},
    {"key-usage", "encipherment for EC", CLASSIC, .key = KIT_P256, VALUE(KU, "\x03\x02\x05\xA0")},
    {"key-usage", "a zero bit too many", CLASSIC, .key = KIT_P256, VALUE(KU, "\x03\x02\x06\x80")},
    {"key-usage", "missing", CLASSIC, REMOVE(KU)},
    {"key-usage", "not critical", CLASSIC, MARK(KU, "")},
    {"key-usage", "present in template origin", ADD(KU_EXTENSION)},
    {"key-usage", "present in template compact", COMPACT, ADD(KU_EXTENSION)},
    {"aki", "another key", EDIT(other_key_id)},
    {"aki", "the beginning of the id", EDIT(short_key_id)},
    {"aki", "another tag", EDIT(key_id_with_other_tag)},
    {"aki", "the issuer's serial beside it", CLASSIC, EDIT(issuer_serial_in_key_id)},
    {"aki", "an element behind", COMPACT, EDIT(null_behind_key_id)},
    {"aki", "empty", VALUE(AKI, "\x30\x00")},
    {"aki", "missing", REMOVE(AKI)},
    {"aki", "critical", MARK(AKI, "\xFF")},
    {"ski", "another key", CLASSIC, EDIT(other_subject_key_id)},
    {"ski", "empty", CLASSIC, VALUE(SKI, "\x04\x00")},
    {"ski", "missing", CLASSIC, REMOVE(SKI)},
    {"ski", "critical", CLASSIC, MARK(SKI, "\xFF")},
    {"ski", "present in template origin", ADD(SKI_EXTENSION)},
    {"ski", "present in template compact", COMPACT, ADD(SKI_EXTENSION)},
    {"crl-point", "another address", EDIT(other_point)},
    {"crl-point", "the template's mark as it stands", EDIT(mark_as_it_is)},
    {"crl-point", "no shard", EDIT(shard_left_out)},
    {"crl-point", "the shard with a leading zero", EDIT(shard_with_zero)},
    {"crl-point", "the shard in capitals", EDIT(shard_in_capitals)},
    {"crl-point", "the shard in decimal digits", EDIT(shard_in_decimal)},
    {"crl-point", "more behind the shard", CLASSIC, EDIT(shard_with_more_behind)},
    {"crl-point", "another point behind", EDIT(second_point)},
    {"crl-point", "another point before", EDIT(point_twice)},
    {"crl-point", "a name relative to the issuer", EDIT(point_relative_to_issuer)},
    {"crl-point", "an element behind", EDIT(null_behind_points)},
    {"crl-point", "missing", CLASSIC, REMOVE(CRL)},
    {"crl-point", "critical", MARK(CRL, "\xFF")},
    {"crl-point", "present in template compact", COMPACT, ADD(CRL_EXTENSION)},
    {"crl-point", "present and not configured", WISH(wish_no_addresses), ADD(CRL_EXTENSION)},
    {"aia", "another address", CLASSIC, EDIT(other_access)},
    {"aia", "the address of the issuer's certificate", CLASSIC, EDIT(access_to_issuer_certificate)},
    {"aia", "another description behind", CLASSIC, EDIT(second_access)},
    {"aia", "another description before", CLASSIC, EDIT(description_before_access)},
    {"aia", "an element behind", CLASSIC, EDIT(null_behind_access)},
    {"aia", "missing", CLASSIC, REMOVE(AIA)},
    {"aia", "critical", CLASSIC, MARK(AIA, "\xFF")},
    {"aia", "present in template origin", ADD(AIA_EXTENSION)},
    {"aia", "present in template compact", COMPACT, ADD(AIA_EXTENSION)},
    {"aia", "present and not configured", CLASSIC, WISH(wish_no_addresses), ADD(AIA_EXTENSION)},
};
const size_t lint_case_count = sizeof lint_cases / sizeof lint_cases[0];
