/* Judging DNS names: one place, used by orders, CSRs, zones, DNS and the signer. Names are refused, never
 * repaired. */
#include "originca/names.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <idn2.h>
#include <libpsl.h>

static const psl_ctx_t *suffixes;
static psl_ctx_t *own_suffixes;
static char **allowed_special;
static size_t allowed_special_count;

/* RFC 6761, RFC 6762, RFC 7686, RFC 9476 and the reverse trees: no origin server has such a name. */
static const char *const special[] = {"localhost", "local",   "onion", "arpa",    "invalid",
                                      "test",      "example", "alt",   "internal"};

bool names_load_suffixes(const char *path, struct error *error) {
    psl_ctx_t *loaded = path != NULL ? psl_load_file(path) : psl_latest(NULL);
    if (loaded == NULL && psl_builtin() == NULL)
        return error_set(error, ERROR_INVALID, "cannot load the public suffix list %s",
                         path != NULL ? path : "");
    if (loaded == NULL && path != NULL)
        return error_set(error, ERROR_INVALID, "cannot load the public suffix list %s", path);
    psl_free(own_suffixes);
    own_suffixes = loaded;
    suffixes = loaded != NULL ? loaded : psl_builtin();
    return true;
}

bool names_allow_special(const char *const *names, size_t count) {
    char **copy = calloc(count + 1, sizeof *copy);
    if (copy == NULL)
        return false;
    for (size_t i = 0; i < count; i++)
        if ((copy[i] = strdup(names[i])) == NULL)
            return false;
    for (size_t i = 0; i < allowed_special_count; i++)
        free(allowed_special[i]);
    free(allowed_special);
    allowed_special = copy;
    allowed_special_count = count;
    return true;
}

static bool is_ascii(const char *text) {
    while (*text != '\0')
        if ((unsigned char)*text++ >= 0x80)
            return false;
    return true;
}

const char *name_to_ascii(struct arena *arena, const char *name) {
    bool is_wildcard = strncmp(name, "*.", 2) == 0;
    char *ascii = NULL;
    if (is_ascii(name))
        return name;
    if (strlen(name) > 4 * NAME_MAX_BYTES ||
        idn2_to_ascii_8z(is_wildcard ? name + 2 : name, &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) !=
            IDN2_OK)
        return NULL;
    const char *made = arena_printf(arena, "%s%s", is_wildcard ? "*." : "", ascii);
    idn2_free(ascii);
    return made;
}

bool name_is_wildcard(const char *name) {
    return name[0] == '*' && name[1] == '.';
}

const char *name_base(const char *name) {
    return name_is_wildcard(name) ? name + 2 : name;
}

bool name_is_below(const char *name, const char *zone) {
    size_t name_length = strlen(name), zone_length = strlen(zone);
    if (name_length < zone_length || strcmp(name + name_length - zone_length, zone) != 0)
        return false;
    return name_length == zone_length || name[name_length - zone_length - 1] == '.';
}

bool name_covers(const char *pattern, const char *name) {
    if (!name_is_wildcard(pattern))
        return strcmp(pattern, name) == 0;
    const char *dot = strchr(name, '.');
    return dot != NULL && dot != name && !name_is_wildcard(name) && strcmp(dot + 1, pattern + 2) == 0;
}

static bool is_letter_or_digit(char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool check_label(const char *label, size_t length, bool allows_underscore, const char *name,
                        struct error *error) {
    if (length == 0)
        return error_set(error, ERROR_INVALID,
                         "\"%s\" has an empty label; write the name without a leading, doubled or final dot",
                         name);
    if (length > 63)
        return error_set(error, ERROR_INVALID, "\"%s\" has a label of %zu characters; at most 63 are allowed",
                         name, length);
    for (size_t i = 0; i < length; i++)
        if (!is_letter_or_digit(label[i]) && label[i] != '-' && !(allows_underscore && label[i] == '_'))
            return error_set(error, ERROR_INVALID,
                             (unsigned char)label[i] >= 0x80
                                 ? "\"%s\" holds non-ASCII characters; send its A-label (xn--...)"
                                 : "\"%s\" holds a character that host names cannot have; letters, digits "
                                   "and hyphens are allowed",
                             name);
    if (label[0] == '-' || label[length - 1] == '-')
        return error_set(error, ERROR_INVALID, "\"%s\" has a label that begins or ends with a hyphen", name);
    return true;
}

/* Copies in lower case and checks each label; the number of labels comes back, 0 for an error. */
static size_t check_syntax(const char *name, char canonical[NAME_MAX_BYTES + 1], bool allows_underscore,
                           struct error *error) {
    size_t length = strnlen(name, NAME_MAX_BYTES + 1), labels = 0;
    if (length == 0 || length > NAME_MAX_BYTES) {
        error_set(error, ERROR_INVALID,
                  length == 0 ? "the name is empty" : "the name is longer than 253 characters");
        return 0;
    }
    for (size_t i = 0; i <= length; i++)
        canonical[i] = name[i] >= 'A' && name[i] <= 'Z' ? (char)(name[i] + 32) : name[i];
    for (const char *label = canonical;; labels++) {
        size_t piece = strcspn(label, ".");
        if (!check_label(label, piece, allows_underscore, name, error))
            return 0;
        if (label[piece] == '\0')
            break;
        label += piece + 1;
    }
    return labels + 1;
}

/* Any spelling of an address that a resolver might take for one: dotted, one number, hex; all-numeric last
 * labels. */
static bool looks_like_address(const char *canonical) {
    struct in_addr address;
    const char *last = strrchr(canonical, '.');
    last = last == NULL ? canonical : last + 1;
    if (inet_aton(canonical, &address) != 0 || last[strspn(last, "0123456789")] == '\0')
        return true;
    return last[0] == '0' && last[1] == 'x' && last[2 + strspn(last + 2, "0123456789abcdef")] == '\0';
}

/* RFC 5891 4.2.3.1 and 5.4: "??--" is reserved for A-labels, and an A-label must be the form that its U-label
 * gives. */
static bool check_a_labels(const char *canonical, const char *name, struct error *error) {
    bool has_a_label = false;
    for (const char *label = canonical; label != NULL;
         label = strchr(label, '.') == NULL ? NULL : strchr(label, '.') + 1) {
        if (strcspn(label, ".") < 4 || label[2] != '-' || label[3] != '-')
            continue;
        if (strncmp(label, "xn--", 4) != 0)
            return error_set(error, ERROR_INVALID,
                             "\"%s\" has a label with hyphens in third and fourth place that is no A-label",
                             name);
        has_a_label = true;
    }
    if (!has_a_label)
        return true;
    char *unicode = NULL, *again = NULL;
    bool is_same =
        idn2_to_unicode_8z8z(canonical, &unicode, 0) == IDN2_OK &&
        idn2_to_ascii_8z(unicode, &again, IDN2_NONTRANSITIONAL) == IDN2_OK && strcmp(again, canonical) == 0 &&
        idn2_lookup_u8((const uint8_t *)canonical, NULL, IDN2_NONTRANSITIONAL | IDN2_NO_ALABEL_ROUNDTRIP) ==
            IDN2_OK;
    idn2_free(unicode);
    idn2_free(again);
    return is_same || error_set(error, ERROR_INVALID,
                                "\"%s\" holds an A-label (xn--) that IDNA2008 does not know", name);
}

static bool check_special(const char *canonical, const char *name, struct error *error) {
    const char *top = strrchr(canonical, '.');
    top = top == NULL ? canonical : top + 1;
    for (size_t i = 0; i < allowed_special_count; i++)
        if (strcmp(top, allowed_special[i]) == 0)
            return true;
    for (size_t i = 0; i < sizeof special / sizeof special[0]; i++)
        if (strcmp(top, special[i]) == 0)
            return error_set(error, ERROR_REFUSED,
                             "\"%s\" is below .%s, which is reserved (RFC 6761) and has no public owner",
                             name, top);
    return true;
}

static bool check_host_name(const char *name, size_t labels_min, char canonical[NAME_MAX_BYTES + 1],
                            struct error *error) {
    size_t labels = check_syntax(name, canonical, false, error);
    if (labels == 0)
        return false;
    if (looks_like_address(canonical))
        return error_set(error, ERROR_INVALID, "\"%s\" is an IP address; certificates are for host names",
                         name);
    if (labels < labels_min)
        return error_set(error, ERROR_INVALID, "\"%s\" has one label only; a fully qualified name is needed",
                         name);
    if (labels > NAME_MAX_LABELS)
        return error_set(error, ERROR_INVALID, "\"%s\" has %zu labels; at most %d are allowed", name, labels,
                         NAME_MAX_LABELS);
    return check_a_labels(canonical, name, error) && check_special(canonical, name, error);
}

static bool is_public_suffix(const char *canonical) {
    return suffixes != NULL && psl_is_public_suffix2(suffixes, canonical, PSL_TYPE_ANY) != 0;
}

bool name_check_zone(const char *name, char canonical[NAME_MAX_BYTES + 1], struct error *error) {
    if (name_is_wildcard(name))
        return error_set(error, ERROR_INVALID, "\"%s\" is a wildcard; a zone has a plain name", name);
    if (!check_host_name(name, 2, canonical, error))
        return false;
    if (is_public_suffix(canonical))
        return error_set(error, ERROR_REFUSED, "\"%s\" is a public suffix; nobody's zone can be all of it",
                         name);
    return true;
}

bool name_check(const char *name, char canonical[NAME_MAX_BYTES + 1], struct error *error) {
    char base[NAME_MAX_BYTES + 1];
    if (!name_is_wildcard(name)) {
        if (strchr(name, '*') != NULL)
            return error_set(error, ERROR_INVALID,
                             "\"%.253s\" has a wildcard that is not the whole first label; only \"*.\" "
                             "before a name is allowed",
                             name);
        if (!check_host_name(name, 2, canonical, error))
            return false;
        return !is_public_suffix(canonical) ||
               error_set(error, ERROR_REFUSED, "\"%s\" is a public suffix", name);
    }
    if (strchr(name + 1, '*') != NULL)
        return error_set(error, ERROR_INVALID, "\"%.253s\" has more than one wildcard", name);
    /* A base of one label is told apart below: "*.com" is refused for what it is. */
    if (!check_host_name(name + 2, 1, base, error))
        return false;
    if (strlen(base) + 2 > NAME_MAX_BYTES)
        return error_set(error, ERROR_INVALID, "the name is longer than 253 characters");
    if (strlen(base) > NAME_MAX_WILDCARD_BASE_BYTES)
        return error_set(
            error, ERROR_REFUSED,
            "the name behind \"*.\" has %zu characters; at most %d are allowed, for DNS is asked "
            "for a name below it",
            strlen(base), NAME_MAX_WILDCARD_BASE_BYTES);
    if (is_public_suffix(base))
        return error_set(error, ERROR_REFUSED, "\"%s\" is a wildcard directly below a public suffix", name);
    canonical[0] = '*';
    canonical[1] = '.';
    memcpy(canonical + 2, base, strlen(base) + 1);
    return true;
}

bool name_check_host(const char *name, char canonical[NAME_MAX_BYTES + 1], struct error *error) {
    char undotted[NAME_MAX_BYTES + 2];
    size_t length = strnlen(name, NAME_MAX_BYTES + 2);
    if (length > NAME_MAX_BYTES + 1)
        return error_set(error, ERROR_INVALID, "the name is longer than 253 characters");
    memcpy(undotted, name, length);
    undotted[length] = '\0';
    if (length > 1 && undotted[length - 1] == '.')
        undotted[length - 1] = '\0';
    return check_syntax(undotted, canonical, true, error) > 0;
}
