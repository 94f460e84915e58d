/* Reading certification requests (RFC 2986). The bytes are walked by our own strict reader first, which takes
 * out the names and refuses what has no place; GnuTLS then parses the key and checks the signature. So no
 * extension of a stranger reaches GnuTLS's parsers of names (CVE-2025-32988 was one of them). */
#include "originca/csr.h"

#include <stdlib.h>
#include <string.h>

#include <gnutls/x509.h>

#include "originca/der.h"
#include "originca/names.h"

enum {
    TAG_INTEGER = 2,
    TAG_BIT_STRING = 3,
    TAG_OCTET_STRING = 4,
    TAG_OID = 6,
    TAG_BOOLEAN = 1,
    TAG_SEQUENCE = 0x30,
    TAG_SET = 0x31,
    TAG_ATTRIBUTES = 0xA0,
    TAG_DNS_NAME = 0x82
};

/* GnuTLS decodes the whole list anew for each extension that it looks at: 2,000 of them in 31 kB cost it 5
 * seconds. */
#define EXTENSIONS_MAX 64
#define ATTRIBUTES_MAX 32

struct walk {
    struct arena *arena;
    struct csr *csr;
    size_t max_names, capacity, extension_count, attribute_count;
    const char *common_name;
    bool has_names, ignores_names;
    struct error *error;
};

static bool is_oid(struct bytes oid, const char *bytes, size_t length) {
    return oid.length == length && memcmp(oid.data, bytes, length) == 0;
}
#define IS_OID(oid, text) is_oid(oid, text, sizeof(text) - 1)

#define OID_COMMON_NAME "\x55\x04\x03"
#define OID_SUBJECT_ALT_NAME "\x55\x1D\x11"
#define OID_BASIC_CONSTRAINTS "\x55\x1D\x13"
#define OID_KEY_USAGE "\x55\x1D\x0F"
#define OID_EXTENDED_KEY_USAGE "\x55\x1D\x25"
#define OID_EXTENSION_REQUEST "\x2A\x86\x48\x86\xF7\x0D\x01\x09\x0E"

static bool broken(struct walk *walk, const char *where) {
    return error_set(walk->error, ERROR_INVALID, "the CSR is not valid DER in its %s", where);
}

static bool add_name(struct walk *walk, struct bytes text) {
    char name[NAME_MAX_BYTES + 1], canonical[NAME_MAX_BYTES + 1];
    if (text.length > NAME_MAX_BYTES || memchr(text.data, '\0', text.length) != NULL)
        return error_set(walk->error, ERROR_INVALID,
                         "the CSR holds a name that is longer than 253 bytes or has a NUL in it");
    memcpy(name, text.data, text.length);
    name[text.length] = '\0';
    if (!name_check(name, canonical, walk->error)) {
        error_prefix(walk->error, "the CSR's name");
        return false;
    }
    if (walk->csr->name_count == walk->capacity)
        return error_set(walk->error, ERROR_LIMIT, "the CSR holds more than %zu names", walk->max_names);
    const char *copy = arena_strdup(walk->arena, canonical);
    if (copy == NULL)
        return error_set(walk->error, ERROR_INTERNAL, "out of memory");
    walk->csr->names[walk->csr->name_count++] = copy;
    return true;
}

static bool walk_alternative_names(struct walk *walk, struct bytes value) {
    static const char *const kinds[] = {"otherName",     "e-mail address", "DNS name",
                                        "X.400 address", "directory name", "EDI name",
                                        "URI",           "IP address",     "registered id"};
    struct der_item names, name;
    if (!der_expect(&value, TAG_SEQUENCE, &names) || value.length > 0 || names.content.length == 0)
        return broken(walk, "subjectAltName");
    while (names.content.length > 0) {
        if (!der_next(&names.content, &name))
            return broken(walk, "subjectAltName");
        unsigned kind = name.tag & 0x1F;
        if (name.tag != TAG_DNS_NAME)
            return error_set(walk->error, ERROR_INVALID,
                             "the CSR's subjectAltName holds a name of type %s; only DNS names are allowed",
                             kind < 9 ? kinds[kind] : "unknown");
        if (!add_name(walk, name.content))
            return false;
    }
    walk->has_names = true;
    return true;
}

static bool walk_basic_constraints(struct walk *walk, struct bytes value) {
    struct der_item sequence, flag;
    if (!der_expect(&value, TAG_SEQUENCE, &sequence) || value.length > 0)
        return broken(walk, "basicConstraints");
    if (sequence.content.length > 0 && der_next(&sequence.content, &flag) && flag.tag == TAG_BOOLEAN &&
        flag.content.length == 1 && flag.content.data[0] != 0)
        return error_set(walk->error, ERROR_REFUSED,
                         "the CSR asks for a CA certificate; remove basicConstraints CA:TRUE");
    return true;
}

static bool walk_extension(struct walk *walk, struct bytes extension) {
    struct der_item oid, next;
    bool is_critical = false;
    if (!der_expect(&extension, TAG_OID, &oid) || !der_next(&extension, &next))
        return broken(walk, "extensions");
    if (next.tag == TAG_BOOLEAN) {
        is_critical = next.content.length == 1 && next.content.data[0] != 0;
        if (!der_next(&extension, &next))
            return broken(walk, "extensions");
    }
    if (next.tag != TAG_OCTET_STRING || extension.length > 0)
        return broken(walk, "extensions");
    if (walk->ignores_names)
        return true;
    if (IS_OID(oid.content, OID_SUBJECT_ALT_NAME))
        return walk->has_names ? error_set(walk->error, ERROR_INVALID, "the CSR holds subjectAltName twice")
                               : walk_alternative_names(walk, next.content);
    if (IS_OID(oid.content, OID_BASIC_CONSTRAINTS))
        return walk_basic_constraints(walk, next.content);
    if (is_critical && !IS_OID(oid.content, OID_KEY_USAGE) && !IS_OID(oid.content, OID_EXTENDED_KEY_USAGE))
        return error_set(walk->error, ERROR_INVALID,
                         "the CSR demands a critical extension that we do not issue");
    return true;
}

static bool walk_attribute(struct walk *walk, struct bytes attribute) {
    struct der_item oid, set, list, extension;
    if (!der_expect(&attribute, TAG_OID, &oid) || !der_expect(&attribute, TAG_SET, &set) ||
        attribute.length > 0)
        return broken(walk, "attributes");
    if (!IS_OID(oid.content, OID_EXTENSION_REQUEST))
        return true;
    if (!der_expect(&set.content, TAG_SEQUENCE, &list) || set.content.length > 0)
        return broken(walk, "extension request");
    while (list.content.length > 0) {
        if (!der_expect(&list.content, TAG_SEQUENCE, &extension))
            return broken(walk, "extensions");
        if (++walk->extension_count > EXTENSIONS_MAX)
            return error_set(walk->error, ERROR_LIMIT, "the CSR asks for more than %d extensions",
                             EXTENSIONS_MAX);
        if (!walk_extension(walk, extension.content))
            return false;
    }
    return true;
}

static bool walk_subject(struct walk *walk, struct bytes subject) {
    struct der_item set, pair, oid, value;
    while (subject.length > 0) {
        if (!der_expect(&subject, TAG_SET, &set))
            return broken(walk, "subject");
        while (set.content.length > 0) {
            if (!der_expect(&set.content, TAG_SEQUENCE, &pair) || !der_expect(&pair.content, TAG_OID, &oid) ||
                !der_next(&pair.content, &value))
                return broken(walk, "subject");
            if (!IS_OID(oid.content, OID_COMMON_NAME))
                continue;
            if (walk->common_name != NULL)
                return error_set(walk->error, ERROR_INVALID, "the CSR's subject holds several common names");
            if (memchr(value.content.data, '\0', value.content.length) != NULL)
                return error_set(walk->error, ERROR_INVALID, "the CSR's common name holds a NUL");
            walk->common_name =
                arena_strndup(walk->arena, (const char *)value.content.data, value.content.length);
        }
    }
    return true;
}

/* With subjectAltName the common name must be one of its names; alone it is the name, where it is one. Some
 * clients put their company there: what is no host name and stands beside names is ignored, as nothing of it
 * is copied. */
static bool merge_common_name(struct walk *walk) {
    char canonical[NAME_MAX_BYTES + 1];
    struct error ignored;
    if (walk->common_name == NULL || *walk->common_name == '\0')
        return true;
    if (!walk->has_names)
        return add_name(walk, (struct bytes){(const uint8_t *)walk->common_name, strlen(walk->common_name)});
    if (!name_check(walk->common_name, canonical, &ignored))
        return true;
    for (size_t i = 0; i < walk->csr->name_count; i++)
        if (strcmp(walk->csr->names[i], canonical) == 0)
            return true;
    return error_set(walk->error, ERROR_INVALID,
                     "the CSR's common name \"%s\" is not among its subjectAltName", canonical);
}

static int compare(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void sort_names(struct csr *csr) {
    size_t kept = 0;
    if (csr->name_count > 0)
        qsort(csr->names, csr->name_count, sizeof *csr->names, compare);
    for (size_t i = 0; i < csr->name_count; i++)
        if (kept == 0 || strcmp(csr->names[kept - 1], csr->names[i]) != 0)
            csr->names[kept++] = csr->names[i];
    csr->name_count = kept;
}

static bool walk_request(struct walk *walk, struct bytes der) {
    struct der_item request, info, version, subject, spki, attributes, attribute, algorithm, signature;
    if (!der_expect(&der, TAG_SEQUENCE, &request))
        return broken(walk, "outer sequence");
    if (der.length > 0)
        return error_set(walk->error, ERROR_INVALID, "there are %zu bytes behind the CSR", der.length);
    if (!der_expect(&request.content, TAG_SEQUENCE, &info) ||
        !der_expect(&request.content, TAG_SEQUENCE, &algorithm) ||
        !der_expect(&request.content, TAG_BIT_STRING, &signature) || request.content.length > 0)
        return broken(walk, "outer sequence");
    if (!der_expect(&info.content, TAG_INTEGER, &version) ||
        !der_expect(&info.content, TAG_SEQUENCE, &subject) || !der_expect(&info.content, TAG_SEQUENCE, &spki))
        return broken(walk, "request info");
    if (version.content.length != 1 || version.content.data[0] != 0)
        return error_set(walk->error, ERROR_INVALID, "the CSR's version is not 1");
    if (!walk->ignores_names && !walk_subject(walk, subject.content))
        return false;
    if (info.content.length == 0)
        return walk->ignores_names || merge_common_name(walk);
    if (!der_expect(&info.content, TAG_ATTRIBUTES, &attributes) || info.content.length > 0)
        return broken(walk, "attributes");
    while (attributes.content.length > 0) {
        if (!der_expect(&attributes.content, TAG_SEQUENCE, &attribute))
            return broken(walk, "attributes");
        if (++walk->attribute_count > ATTRIBUTES_MAX)
            return error_set(walk->error, ERROR_LIMIT, "the CSR holds more than %d attributes",
                             ATTRIBUTES_MAX);
        if (!walk_attribute(walk, attribute.content))
            return false;
    }
    return walk->ignores_names || merge_common_name(walk);
}

static bool check_signature(gnutls_x509_crq_t request, struct error *error) {
    int algorithm = gnutls_x509_crq_get_signature_algorithm(request);
    gnutls_digest_algorithm_t digest =
        algorithm < 0 ? GNUTLS_DIG_UNKNOWN : gnutls_sign_get_hash_algorithm(algorithm);
    if (digest != GNUTLS_DIG_SHA256 && digest != GNUTLS_DIG_SHA384 && digest != GNUTLS_DIG_SHA512)
        return error_set(error, ERROR_REFUSED,
                         "the CSR is signed with an unsupported algorithm; use SHA-256 with RSA or ECDSA");
    if (gnutls_x509_crq_verify(request, 0) < 0)
        return error_set(error, ERROR_INVALID,
                         "the CSR's signature is wrong: it was not made with the key in the CSR");
    return true;
}

static bool judge_key(struct arena *arena, struct bytes der, struct csr *csr, struct error *error) {
    gnutls_x509_crq_t request = NULL;
    gnutls_pubkey_t key = NULL;
    gnutls_datum_t data = {(unsigned char *)(uintptr_t)der.data, (unsigned)der.length};
    bool is_good = false;
    if (gnutls_x509_crq_init(&request) < 0 || gnutls_pubkey_init(&key) < 0)
        error_set(error, ERROR_INTERNAL, "out of memory");
    else if (gnutls_x509_crq_import(request, &data, GNUTLS_X509_FMT_DER) < 0)
        error_set(error, ERROR_INVALID, "the CSR cannot be parsed");
    else if (gnutls_pubkey_import_x509_crq(key, request, 0) < 0)
        error_set(error, ERROR_REFUSED, "the CSR's public key is of no supported kind");
    else
        is_good =
            key_judge(arena, key, KEY_USE_CERTIFICATE, &csr->key, error) && check_signature(request, error);
    if (key != NULL)
        gnutls_pubkey_deinit(key);
    if (request != NULL)
        gnutls_x509_crq_deinit(request);
    return is_good;
}

static bool check_size(struct bytes der, struct error *error) {
    return der.length <= CSR_MAX_BYTES ||
           error_set(error, ERROR_LIMIT, "the CSR has %zu bytes; at most %d are allowed", der.length,
                     CSR_MAX_BYTES);
}

bool csr_parse_key(struct arena *arena, struct bytes der, struct csr *csr, struct error *error) {
    *csr = (struct csr){0};
    struct walk walk = {.arena = arena, .csr = csr, .ignores_names = true, .error = error};
    return check_size(der, error) && walk_request(&walk, der) && judge_key(arena, der, csr, error);
}

bool csr_parse(struct arena *arena, struct bytes der, size_t max_names, struct csr *csr,
               struct error *error) {
    if (!check_size(der, error))
        return false;
    *csr = (struct csr){0};
    /* One more than allowed, for a common name that repeats a name. */
    struct walk walk = {
        .arena = arena, .csr = csr, .max_names = max_names, .capacity = max_names + 1, .error = error};
    csr->names = arena_alloc(arena, walk.capacity * sizeof *csr->names);
    if (csr->names == NULL)
        return error_set(error, ERROR_INTERNAL, "out of memory");
    if (!walk_request(&walk, der))
        return false;
    sort_names(csr);
    if (csr->name_count > max_names)
        return error_set(error, ERROR_LIMIT, "the CSR holds more than %zu names", max_names);
    return judge_key(arena, der, csr, error);
}

bool csr_check_names(const struct csr *csr, const char *const *canonical, size_t count, struct error *error) {
    for (size_t i = 0; i < count; i++)
        if (bsearch(&canonical[i], csr->names, csr->name_count, sizeof *csr->names, compare) == NULL)
            return error_set(error, ERROR_INVALID, "the order's name \"%s\" is missing in the CSR",
                             canonical[i]);
    for (size_t i = 0; i < csr->name_count; i++) {
        bool is_ordered = false;
        for (size_t k = 0; k < count && !is_ordered; k++)
            is_ordered = strcmp(csr->names[i], canonical[k]) == 0;
        if (!is_ordered)
            return error_set(error, ERROR_INVALID, "the CSR's name \"%s\" is not in the order",
                             csr->names[i]);
    }
    return true;
}
