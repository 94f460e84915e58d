/* Lint of revocation lists. Head and tail are taken apart by a strict DER reader into one plain struct, an
 * entry into another; each rule is one function over one of them, and the first broken one is named. */
#include "lint_crl.h"

#include <stdio.h>
#include <string.h>

#include "lint_parts.h"
#include "originca/der.h"

#define EXTENSIONS_MAX 8

struct parts {
    const struct crl_contents *wanted;
    bool is_parsed;
    uint64_t said_length, real_length; /* of the whole */
    bool has_list;
    uint64_t list_length;
    struct bytes version, algorithm, issuer, behind;
    struct der_item this_update, next_update;
    bool has_next_update;
    struct lint_extension extensions[EXTENSIONS_MAX];
    size_t extension_count;
};

struct entry_parts {
    const struct crl_entry *wanted;
    const uint8_t *last_serial; /* NULL: it is the first */
    bool is_parsed, has_extensions, has_other_extension, is_reason_critical;
    struct bytes serial, reason;
    struct der_item time;
};

#define AKI "\x55\x1D\x23"
#define NUMBER "\x55\x1D\x14"
#define IDP "\x55\x1D\x1C"
#define REASON "\x55\x1D\x15"

/* --- taking apart --- */

/* Tag and length of an element whose content is not all there. */
static bool take_header(struct bytes *input, uint8_t tag, uint64_t *length) {
    if (input->length < 2 || input->data[0] != tag)
        return false;
    size_t octets = input->data[1] < 0x80 ? 0 : input->data[1] & 0x7Fu;
    *length = octets == 0 ? input->data[1] : 0;
    if (octets > 5 || input->length < 2 + octets || (octets == 0 && input->data[1] >= 0x80))
        return false;
    for (size_t i = 0; i < octets; i++)
        *length = *length << 8 | input->data[2 + i];
    if (octets > 0 && (*length < 0x80 || input->data[2] == 0))
        return false;
    input->data += 2 + octets;
    input->length -= 2 + octets;
    return true;
}

static bool split_tail(struct parts *parts, struct bytes tail) {
    struct der_item outer, list, extension;
    if (!der_expect(&tail, 0xA0, &outer) || tail.length != 0 || !der_expect(&outer.content, 0x30, &list) ||
        outer.content.length != 0)
        return false;
    while (list.content.length > 0)
        if (parts->extension_count == EXTENSIONS_MAX || !der_expect(&list.content, 0x30, &extension) ||
            !lint_split_extension(extension.content, &parts->extensions[parts->extension_count++]))
            return false;
    return true;
}

static bool is_time(struct bytes input) {
    return input.length > 0 && (input.data[0] == 0x17 || input.data[0] == 0x18);
}

static bool split_head(struct parts *parts, struct bytes head) {
    struct der_item version, algorithm, issuer;
    if (!take_header(&head, 0x30, &parts->said_length))
        return false;
    parts->real_length = head.length;
    if (head.length > 0 && head.data[0] == 0x02) {
        if (!der_next(&head, &version))
            return false;
        parts->version = version.content;
    }
    if (!der_expect(&head, 0x30, &algorithm) || !der_expect(&head, 0x30, &issuer) ||
        !der_next(&head, &parts->this_update))
        return false;
    parts->algorithm = algorithm.whole;
    parts->issuer = issuer.whole;
    parts->has_next_update = is_time(head);
    if (parts->has_next_update && !der_next(&head, &parts->next_update))
        return false;
    parts->has_list = head.length > 0 && take_header(&head, 0x30, &parts->list_length);
    parts->behind = head;
    return true;
}

/* --- rules on head and tail: NULL where kept, else what is wrong --- */

static const char *is_well_formed(const struct parts *parts) {
    return parts->is_parsed && parts->behind.length == 0 ? NULL : "it is not the DER of a revocation list";
}

static const char *lengths_fit(const struct parts *parts) {
    return parts->said_length == parts->real_length ? NULL : "the whole is not as long as its header says";
}

static const char *is_version_2(const struct parts *parts) {
    return IS(parts->version, "\x01") ? NULL : "the version is not 2";
}

static const char *algorithm_fits_issuer(const struct parts *parts) {
    const struct bytes wanted = parts->wanted->signature_identifier;
    return lint_same(parts->algorithm, wanted.data, wanted.length)
               ? NULL
               : "the algorithm is not that of the issuer";
}

static const char *issuer_is_wanted(const struct parts *parts) {
    return lint_same(parts->issuer, parts->wanted->issuer.data, parts->wanted->issuer.length)
               ? NULL
               : "the issuer is not byte for byte that of the certificates";
}

static bool are_digits(const uint8_t *at, int value) {
    return at[0] == '0' + value / 10 && at[1] == '0' + value % 10;
}

/* The year has four digits in GeneralizedTime, which begins with 2050; X.690 11.7, 11.8: seconds and Z. */
static bool is_moment(const struct der_item *item, time_t wanted) {
    struct tm parts;
    const uint8_t *at = item->content.data;
    if (gmtime_r(&wanted, &parts) == NULL)
        return false;
    bool is_late = parts.tm_year >= 150;
    if (item->tag != (is_late ? 0x18 : 0x17) || item->content.length != (is_late ? 15u : 13u))
        return false;
    if (is_late && !are_digits(at, (parts.tm_year + 1900) / 100))
        return false;
    at += is_late ? 2 : 0;
    return are_digits(at, parts.tm_year % 100) && are_digits(at + 2, parts.tm_mon + 1) &&
           are_digits(at + 4, parts.tm_mday) && are_digits(at + 6, parts.tm_hour) &&
           are_digits(at + 8, parts.tm_min) && are_digits(at + 10, parts.tm_sec) && at[12] == 'Z';
}

static const char *this_update_is_wanted(const struct parts *parts) {
    return is_moment(&parts->this_update, parts->wanted->this_update)
               ? NULL
               : "thisUpdate is another moment or not in the form of its year";
}

static const char *next_update_is_wanted(const struct parts *parts) {
    return parts->has_next_update && is_moment(&parts->next_update, parts->wanted->next_update)
               ? NULL
               : "nextUpdate is missing, another moment or not in the form of its year";
}

static const char *update_is_forward(const struct parts *parts) {
    return parts->wanted->this_update < parts->wanted->next_update ? NULL
                                                                   : "nextUpdate is not after thisUpdate";
}

static const char *list_is_absent_or_filled(const struct parts *parts) {
    if (parts->wanted->entry_bytes == 0)
        return parts->has_list ? "there is a list of nothing" : NULL;
    return parts->has_list && parts->list_length == parts->wanted->entry_bytes
               ? NULL
               : "the list of entries is missing or of another length than they have";
}

static const char *extensions_are_unique(const struct parts *parts) {
    for (size_t i = 0; i < parts->extension_count; i++)
        for (size_t k = 0; k < i; k++)
            if (lint_same(parts->extensions[i].oid, parts->extensions[k].oid.data,
                          parts->extensions[k].oid.length))
                return "an extension stands there twice";
    return NULL;
}

static const char *extensions_are_known(const struct parts *parts) {
    for (size_t i = 0; i < parts->extension_count; i++) {
        const struct bytes oid = parts->extensions[i].oid;
        if (!IS(oid, AKI) && !IS(oid, NUMBER) && !IS(oid, IDP))
            return "an extension that does not belong here";
    }
    return NULL;
}

static const char *defaults_are_left_out(const struct parts *parts) {
    for (size_t i = 0; i < parts->extension_count; i++)
        if (parts->extensions[i].has_explicit_default)
            return "\"critical\" is written as FALSE";
    return NULL;
}

static const char *authority_key_id_fits(const struct parts *parts) {
    const struct lint_extension *extension = FIND(parts, AKI);
    struct der_item list, id;
    struct bytes value = extension == NULL ? (struct bytes){0} : extension->value;
    bool fits = extension != NULL && !extension->is_critical && der_expect(&value, 0x30, &list) &&
                value.length == 0 && der_expect(&list.content, 0x80, &id) && list.content.length == 0 &&
                lint_same(id.content, parts->wanted->key_id.data, parts->wanted->key_id.length);
    return fits ? NULL : "the authority key identifier is missing, critical or another key's";
}

static const char *number_is_wanted(const struct parts *parts) {
    const struct lint_extension *extension = FIND(parts, NUMBER);
    struct der_item number;
    struct bytes value = extension == NULL ? (struct bytes){0} : extension->value;
    if (extension == NULL || extension->is_critical || !der_expect(&value, 0x02, &number) ||
        value.length != 0)
        return "cRLNumber is missing, critical or no number";
    const struct bytes digits = number.content;
    bool is_minimal =
        digits.length == 1 || (digits.length > 1 && !(digits.data[0] == 0 && digits.data[1] < 0x80));
    uint64_t found = 0;
    bool is_large = digits.length > 9 || (digits.length == 9 && digits.data[0] != 0);
    if (!is_minimal || is_large || digits.data[0] >= 0x80)
        return "cRLNumber is negative, padded or too long";
    for (size_t i = 0; i < digits.length; i++)
        found = found << 8 | digits.data[i];
    return found == parts->wanted->number ? NULL : "cRLNumber is not the one that was asked for";
}

static const char *point_is_critical(const struct parts *parts) {
    const struct lint_extension *extension = FIND(parts, IDP);
    return extension != NULL && extension->is_critical
               ? NULL
               : "issuingDistributionPoint is missing or not critical";
}

/* Takes [0] { [0] { [6] URI } } off the sequence; the text. */
static bool take_point(struct bytes *list, struct bytes *url) {
    struct der_item point, name, uri;
    if (!der_expect(list, 0xA0, &point) || !der_expect(&point.content, 0xA0, &name) ||
        point.content.length != 0 || !der_expect(&name.content, 0x86, &uri) || name.content.length != 0)
        return false;
    *url = uri.content;
    return true;
}

static bool open_point(const struct parts *parts, struct bytes *content) {
    const struct lint_extension *extension = FIND(parts, IDP);
    struct der_item list;
    struct bytes value = extension == NULL ? (struct bytes){0} : extension->value;
    bool is_open = extension != NULL && der_expect(&value, 0x30, &list) && value.length == 0;
    if (is_open)
        *content = list.content;
    return is_open;
}

static const char *point_is_the_certificates_url(const struct parts *parts) {
    struct bytes content = {0}, url = {0};
    const char *wanted = parts->wanted->url;
    bool is_open = open_point(parts, &content), has_point = content.length > 0 && content.data[0] == 0xA0;
    if (*wanted == '\0')
        return is_open && !has_point ? NULL : "the complete list has the address of another";
    return is_open && take_point(&content, &url) && lint_same(url, wanted, strlen(wanted))
               ? NULL
               : "the distribution point is not the URL of the list's certificates";
}

static const char *scope_is_user_certificates(const struct parts *parts) {
    struct bytes content = {0}, ignored;
    struct der_item only;
    bool is_open = open_point(parts, &content);
    if (is_open && content.length > 0 && content.data[0] == 0xA0)
        is_open = take_point(&content, &ignored);
    return is_open && der_expect(&content, 0x81, &only) && IS(only.content, "\xFF") && content.length == 0
               ? NULL
               : "the scope is not user certificates alone, for all reasons";
}

static const struct {
    struct lint_rule rule;
    const char *(*check)(const struct parts *parts);
} table[] = {
    {{"crl-well-formed", "RFC 5280 5.1, X.690 10"}, is_well_formed},
    {{"crl-list", "RFC 5280 5.1.2.6"}, list_is_absent_or_filled},
    {{"crl-length", "X.690 8.1.3"}, lengths_fit},
    {{"crl-version", "RFC 5280 5.1.2.1"}, is_version_2},
    {{"crl-algorithm", "RFC 5280 5.1.2.2"}, algorithm_fits_issuer},
    {{"crl-issuer", "RFC 5280 5.1.2.3"}, issuer_is_wanted},
    {{"crl-this-update", "RFC 5280 5.1.2.4"}, this_update_is_wanted},
    {{"crl-next-update", "RFC 5280 5.1.2.5"}, next_update_is_wanted},
    {{"crl-forward", "RFC 5280 5.1.2.5"}, update_is_forward},
    {{"crl-extension-unique", "RFC 5280 4.2"}, extensions_are_unique},
    {{"crl-extension-known", "profile"}, extensions_are_known},
    {{"crl-extension-default", "X.690 11.5"}, defaults_are_left_out},
    {{"crl-aki", "RFC 5280 5.2.1"}, authority_key_id_fits},
    {{"crl-number", "RFC 5280 5.2.3"}, number_is_wanted},
    {{"crl-point-critical", "RFC 5280 5.2.5"}, point_is_critical},
    {{"crl-point", "RFC 5280 5.2.5, 6.3.3"}, point_is_the_certificates_url},
    {{"crl-scope", "RFC 5280 5.2.5"}, scope_is_user_certificates},
};
#define RULES (sizeof table / sizeof table[0])

/* --- rules on an entry --- */

static bool split_entry(struct entry_parts *parts, struct bytes input) {
    struct der_item serial, list, item;
    struct lint_extension extension;
    if (!der_expect(&input, 0x02, &serial) || !der_next(&input, &parts->time))
        return false;
    parts->serial = serial.content;
    if (input.length == 0)
        return true;
    parts->has_extensions = true;
    if (!der_expect(&input, 0x30, &list) || input.length != 0 || !der_expect(&list.content, 0x30, &item) ||
        !lint_split_extension(item.content, &extension))
        return false;
    parts->is_reason_critical = extension.is_critical || extension.has_explicit_default;
    parts->has_other_extension = list.content.length != 0 || !IS(extension.oid, REASON);
    struct der_item reason;
    if (!parts->has_other_extension && der_expect(&extension.value, 0x0A, &reason) &&
        extension.value.length == 0)
        parts->reason = reason.content;
    return true;
}

static const char *entry_is_well_formed(const struct entry_parts *parts) {
    return parts->is_parsed ? NULL : "an entry is not the DER of one";
}

static const char *serial_is_positive(const struct entry_parts *parts) {
    return parts->serial.length == SERIAL_BYTES && parts->serial.data[0] >= 1 && parts->serial.data[0] < 0x80
               ? NULL
               : "a serial is not of the form of ours";
}

static const char *serial_is_wanted(const struct entry_parts *parts) {
    return lint_same(parts->serial, parts->wanted->serial, SERIAL_BYTES)
               ? NULL
               : "a serial is not the one that was given";
}

static const char *serials_rise(const struct entry_parts *parts) {
    return parts->last_serial == NULL || memcmp(parts->last_serial, parts->serial.data, SERIAL_BYTES) < 0
               ? NULL
               : "a serial stands there twice or behind a larger one";
}

static const char *entry_time_is_wanted(const struct entry_parts *parts) {
    return is_moment(&parts->time, (time_t)parts->wanted->revoked_at)
               ? NULL
               : "a revocation date is another moment or not in the form of its year";
}

static const char *entry_has_nothing_else(const struct entry_parts *parts) {
    return parts->has_other_extension || parts->is_reason_critical
               ? "an entry's extension is critical or another than the reason"
               : NULL;
}

/* RFC 5280 5.3.1: absent rather than unspecified; 8 only in delta lists, 6 is no end. */
static const char *reason_is_wanted(const struct entry_parts *parts) {
    static const char allowed[] = {1, 3, 4, 5, 9};
    if (!parts->has_extensions)
        return parts->wanted->reason == 0 ? NULL : "a reason is missing";
    return parts->reason.length == 1 && parts->reason.data[0] == parts->wanted->reason &&
                   memchr(allowed, parts->reason.data[0], sizeof allowed) != NULL
               ? NULL
               : "a reason is another, or none that belongs there";
}

static const struct {
    struct lint_rule rule;
    const char *(*check)(const struct entry_parts *parts);
} entry_table[] = {
    {{"crl-entry", "RFC 5280 5.1"}, entry_is_well_formed},
    {{"crl-entry-serial", "RFC 5280 5.1.2.6"}, serial_is_positive},
    {{"crl-entry-wanted", "profile"}, serial_is_wanted},
    {{"crl-entry-order", "profile"}, serials_rise},
    {{"crl-entry-time", "RFC 5280 5.1.2.6"}, entry_time_is_wanted},
    {{"crl-entry-extension", "RFC 5280 5.3"}, entry_has_nothing_else},
    {{"crl-entry-reason", "RFC 5280 5.3.1"}, reason_is_wanted},
};
#define ENTRY_RULES (sizeof entry_table / sizeof entry_table[0])
static const struct lint_rule sum_rule = {"crl-entries", "profile"};

size_t lint_crl_rules(const struct lint_rule **rules) {
    static struct lint_rule list[RULES + ENTRY_RULES + 1];
    for (size_t i = 0; i < RULES; i++)
        list[i] = table[i].rule;
    for (size_t i = 0; i < ENTRY_RULES; i++)
        list[RULES + i] = entry_table[i].rule;
    list[RULES + ENTRY_RULES] = sum_rule;
    *rules = list;
    return RULES + ENTRY_RULES + 1;
}

/* --- the look --- */

static bool complain(const struct lint_rule *rule, const char *complaint, struct error *error) {
    return error_set(error, ERROR_INTERNAL, "lint: %s: %s (%s)", rule->id, complaint, rule->citation);
}

bool lint_crl_begin(struct lint_crl *lint, const struct crl_frame *frame, const struct crl_contents *wanted,
                    struct error *error) {
    struct parts parts = {.wanted = wanted};
    *lint = (struct lint_crl){.wanted = wanted};
    parts.is_parsed = split_head(&parts, frame->head) && split_tail(&parts, frame->tail);
    parts.real_length += wanted->entry_bytes + frame->tail.length;
    for (size_t i = 0; i < RULES; i++) {
        const char *complaint = table[i].check(&parts);
        if (complaint != NULL)
            return complain(&table[i].rule, complaint, error);
    }
    return true;
}

bool lint_crl_entries(struct lint_crl *lint, struct bytes der, const struct crl_entry *wanted, size_t count,
                      struct error *error) {
    lint->bytes += der.length;
    for (size_t at = 0; at < count; at++) {
        struct entry_parts parts = {.wanted = &wanted[at]};
        struct der_item item;
        parts.last_serial = lint->entries == 0 ? NULL : lint->last_serial;
        parts.is_parsed = der_expect(&der, 0x30, &item) && split_entry(&parts, item.content);
        for (size_t i = 0; i < ENTRY_RULES; i++) {
            const char *complaint = entry_table[i].check(&parts);
            if (complaint != NULL)
                return complain(&entry_table[i].rule, complaint, error);
        }
        memcpy(lint->last_serial, parts.serial.data, SERIAL_BYTES);
        lint->entries++;
    }
    return der.length == 0 || complain(&sum_rule, "there are more entries than were given", error);
}

bool lint_crl_end(const struct lint_crl *lint, struct error *error) {
    return lint->bytes == lint->wanted->entry_bytes ||
           complain(&sum_rule, "the entries are not as long as the list's header says", error);
}

/* Where the entries begin and end: behind the times, of the length that the list's header says. */
static bool cut(struct bytes tbs, const struct crl_contents *wanted, struct crl_frame *frame,
                struct bytes *entries) {
    struct parts parts = {.wanted = wanted};
    if (!split_head(&parts, tbs))
        return false;
    size_t head = tbs.length - parts.behind.length, length = parts.has_list ? (size_t)parts.list_length : 0;
    if (length > parts.behind.length)
        return false;
    *frame = (struct crl_frame){{tbs.data, head}, {tbs.data + head + length, parts.behind.length - length}};
    *entries = (struct bytes){tbs.data + head, length};
    return true;
}

bool lint_crl_tbs(struct bytes tbs, const struct crl_contents *wanted, const struct crl_entry *entries,
                  size_t count, struct error *error) {
    struct crl_frame frame;
    struct bytes list;
    struct lint_crl lint;
    if (!cut(tbs, wanted, &frame, &list))
        return complain(&table[0].rule, "it is not the DER of a revocation list", error);
    return lint_crl_begin(&lint, &frame, wanted, error) &&
           lint_crl_entries(&lint, list, entries, count, error) && lint_crl_end(&lint, error);
}
