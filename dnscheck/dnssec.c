/* Signatures, keys and DS records. Denials are in denial.c. */
#include "dnssec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dnssec_internal.h"
#include "originca/error.h"

#define KEYS_MAX 24 /* of one zone; more is no zone but an attack */
#define SIGNATURES_MAX 12
#define WRONG_MAX 20         /* signatures of one check; more is no accident but work that is made for us */
#define EXPONENT_BYTES_MAX 8 /* of RSA keys: with long ones a verification costs what a signature does */
#define MODULUS_BYTES_MAX 512
#define KEY_ZONE 0x0100
#define KEY_REVOKED 0x0080

/* --- trust --- */

struct trust *trust_new(const char *zone, bool is_secure) {
    struct trust *trust = calloc(1, sizeof *trust);
    if (trust == NULL)
        return NULL;
    trust->references = 1;
    trust->is_secure = is_secure;
    snprintf(trust->zone, sizeof trust->zone, "%s", zone);
    return trust;
}

struct trust *trust_hold(struct trust *trust) {
    if (trust != NULL)
        trust->references++;
    return trust;
}

void trust_release(struct trust *trust) {
    if (trust == NULL || --trust->references > 0)
        return;
    if (trust->keys != NULL)
        ldns_rr_list_deep_free(trust->keys);
    free(trust);
}

/* --- parts of messages --- */

ldns_pkt *dnssec_open(const struct dns_message *message) {
    ldns_pkt *packet = NULL;
    return ldns_wire2pkt(&packet, message->wire.data, message->wire.length) == LDNS_STATUS_OK ? packet : NULL;
}

ldns_rdf *dnssec_name(const char *name) {
    return ldns_dname_new_frm_str(*name == '\0' ? "." : name);
}

const ldns_rr_list *dnssec_section(const ldns_pkt *packet, enum dns_section section) {
    return section == DNS_ANSWER      ? ldns_pkt_answer(packet)
           : section == DNS_AUTHORITY ? ldns_pkt_authority(packet)
                                      : ldns_pkt_additional(packet);
}

static bool is_of(const ldns_rr *rr, const ldns_rdf *owner, ldns_rr_type type) {
    return ldns_rr_get_class(rr) == LDNS_RR_CLASS_IN && ldns_rr_get_type(rr) == type &&
           ldns_dname_compare(ldns_rr_owner(rr), owner) == 0;
}

static bool has_same_data(const ldns_rr *a, const ldns_rr *b) {
    if (ldns_rr_rd_count(a) != ldns_rr_rd_count(b))
        return false;
    for (size_t i = 0; i < ldns_rr_rd_count(a); i++)
        if (ldns_rdf_compare(ldns_rr_rdf(a, i), ldns_rr_rdf(b, i)) != 0)
            return false;
    return true;
}

static bool has_data_of(const ldns_rr_list *set, const ldns_rr *rr) {
    for (size_t i = 0; i < ldns_rr_list_rr_count(set); i++)
        if (has_same_data(ldns_rr_list_rr(set, i), rr))
            return true;
    return false;
}

/* The records of one set, each once (RFC 4034 6.3). They are those of `list`: free with ldns_rr_list_free. */
static ldns_rr_list *collect(const ldns_rr_list *list, const ldns_rdf *owner, ldns_rr_type type) {
    ldns_rr_list *set = ldns_rr_list_new();
    for (size_t i = 0; set != NULL && i < ldns_rr_list_rr_count(list); i++)
        if (is_of(ldns_rr_list_rr(list, i), owner, type) && !has_data_of(set, ldns_rr_list_rr(list, i)))
            ldns_rr_list_push_rr(set, ldns_rr_list_rr(list, i));
    return set;
}

static ldns_rr_list *collect_signatures(const ldns_rr_list *list, const ldns_rdf *owner, ldns_rr_type type) {
    ldns_rr_list *set = ldns_rr_list_new();
    for (size_t i = 0; set != NULL && i < ldns_rr_list_rr_count(list); i++) {
        const ldns_rr *rr = ldns_rr_list_rr(list, i);
        if (is_of(rr, owner, LDNS_RR_TYPE_RRSIG) && ldns_rr_rd_count(rr) == 9 &&
            ldns_rdf2rr_type(ldns_rr_rrsig_typecovered(rr)) == type)
            ldns_rr_list_push_rr(set, ldns_rr_list_rr(list, i));
    }
    return set;
}

/* --- signatures --- */

/* RFC 3110 2: the exponent's length in one byte, or zero and two bytes; exponent; modulus. */
static bool is_costly_rsa(const ldns_rr *key, uint8_t algorithm) {
    static const uint8_t rsa[] = {5, 7, 8, 10};
    const ldns_rdf *rdf = ldns_rr_dnskey_key(key);
    size_t size = rdf == NULL ? 0 : ldns_rdf_size(rdf);
    const uint8_t *data = size == 0 ? NULL : ldns_rdf_data(rdf);
    if (memchr(rsa, algorithm, sizeof rsa) == NULL)
        return false;
    return size < 1 || data[0] == 0 || data[0] > EXPONENT_BYTES_MAX ||
           size > 1u + data[0] + MODULUS_BYTES_MAX;
}

static bool fits_signature(const ldns_rr *key, const ldns_rr *signature) {
    if (ldns_rr_rd_count(key) != 4) /* cut short; ldns ends the process where a field is not there */
        return false;
    uint16_t flags = ldns_rdf2native_int16(ldns_rr_dnskey_flags(key));
    uint8_t algorithm = ldns_rdf2native_int8(ldns_rr_dnskey_algorithm(key));
    return (flags & KEY_ZONE) != 0 && (flags & KEY_REVOKED) == 0 &&
           ldns_rdf2native_int8(ldns_rr_dnskey_protocol(key)) == 3 &&
           algorithm == ldns_rdf2native_int8(ldns_rr_rrsig_algorithm(signature)) &&
           !is_costly_rsa(key, algorithm) &&
           ldns_calc_keytag(key) == ldns_rdf2native_int16(ldns_rr_rrsig_keytag(signature));
}

static bool is_wildcard_owner(const ldns_rdf *owner) {
    return ldns_rdf_size(owner) > 2 && ldns_rdf_data(owner)[0] == 1 && ldns_rdf_data(owner)[1] == '*';
}

/* Labels as signatures count them: the asterisk is none (RFC 4034 3.1.3). */
static unsigned labels_of(const ldns_rdf *owner) {
    return ldns_dname_label_count(owner) - (is_wildcard_owner(owner) ? 1u : 0u);
}

/* RFC 4034 3.1.5: serial numbers, which ldns compares as signed ones. */
static const char *judge_time(const ldns_rr *signature, time_t now) {
    uint32_t begin = ldns_rdf2native_int32(ldns_rr_rrsig_inception(signature));
    uint32_t end = ldns_rdf2native_int32(ldns_rr_rrsig_expiration(signature));
    if ((int32_t)(end - begin) < 0)
        return "the signature ends before it begins";
    if ((int32_t)((uint32_t)now - begin) < 0)
        return "the signature is not valid yet";
    return (int32_t)(end - (uint32_t)now) < 0 ? "the signature has expired" : NULL;
}

/* What can be said of it without keys (RFC 4035 5.3.1). */
static const char *judge_signature(const ldns_rr *signature, const ldns_rdf *zone, const ldns_rdf *owner,
                                   time_t now) {
    if (ldns_dname_compare(ldns_rr_rrsig_signame(signature), zone) != 0)
        return "the signature is another zone's";
    if (ldns_rdf2native_int8(ldns_rr_rrsig_labels(signature)) > labels_of(owner))
        return "the signature is about a name with more labels";
    return judge_time(signature, now);
}

/* RFC 4035 5.3.3 */
static uint32_t seconds_valid(const ldns_rr_list *set, const ldns_rr *signature, time_t now) {
    uint32_t valid = ldns_rdf2native_int32(ldns_rr_rrsig_expiration(signature)) - (uint32_t)now;
    uint32_t ttl = ldns_rdf2native_int32(ldns_rr_rrsig_origttl(signature));
    valid = ttl < valid ? ttl : valid;
    for (size_t i = 0; i < ldns_rr_list_rr_count(set); i++) {
        ttl = ldns_rr_ttl(ldns_rr_list_rr(set, i));
        valid = ttl < valid ? ttl : valid;
    }
    return valid;
}

static bool is_good_signature(const ldns_rr_list *set, const ldns_rr *signature, ldns_rr *key) {
    ldns_rr_list *one = ldns_rr_list_new();
    bool is_good = one != NULL && ldns_rr_list_push_rr(one, key) &&
                   ldns_verify_rrsig_keylist_notime(set, signature, one, NULL) == LDNS_STATUS_OK;
    ldns_rr_list_free(one);
    return is_good;
}

const char *dnssec_verify(const ldns_rr_list *keys, const ldns_rdf *zone, struct dnssec_budget *budget,
                          const ldns_rr_list *list, const ldns_rdf *owner, ldns_rr_type type,
                          unsigned *labels) {
    const char *reason = "there is no signature";
    ldns_rr_list *set = collect(list, owner, type), *signatures = collect_signatures(list, owner, type);
    bool is_good = false;
    size_t count = signatures == NULL ? 0 : ldns_rr_list_rr_count(signatures);
    for (size_t i = 0; set != NULL && !is_good && i < count && i < SIGNATURES_MAX; i++) {
        ldns_rr *signature = ldns_rr_list_rr(signatures, i);
        const char *fault = judge_signature(signature, zone, owner, budget->now);
        if (fault != NULL) {
            reason = fault;
            continue;
        }
        if (i == 0)
            reason = "no key of the zone fits the signature";
        for (size_t k = 0; !is_good && k < ldns_rr_list_rr_count(keys); k++) {
            ldns_rr *key = ldns_rr_list_rr(keys, k);
            if (!fits_signature(key, signature))
                continue;
            if (budget->signatures_left == 0 || budget->wrong_signatures == WRONG_MAX) {
                reason = "there are more signatures than a check verifies";
                break;
            }
            budget->signatures_left--;
            is_good = is_good_signature(set, signature, key);
            if (is_good) {
                uint32_t valid = seconds_valid(set, signature, budget->now);
                budget->valid_s = valid < budget->valid_s ? valid : budget->valid_s;
                *labels = ldns_rdf2native_int8(ldns_rr_rrsig_labels(signature));
            } else {
                budget->wrong_signatures++;
                reason = "the signature is wrong";
            }
        }
    }
    ldns_rr_list_free(set);
    ldns_rr_list_free(signatures);
    return is_good ? NULL : reason;
}

static const char *say(struct arena *arena, const char *reason, const char *owner, uint16_t type) {
    const char *text =
        arena_printf(arena, "%s (%s %s)", reason, *owner == '\0' ? "." : owner, dns_type_name(type));
    return text == NULL ? reason : text;
}

const char *dnssec_check_set(struct arena *arena, const struct trust *trust, struct dnssec_budget *budget,
                             const struct dns_message *message, enum dns_section section, const char *owner,
                             uint16_t type, bool *is_opt_out) {
    *is_opt_out = false;
    if (!trust->is_secure)
        return NULL;
    ldns_pkt *packet = dnssec_open(message);
    ldns_rdf *name = dnssec_name(owner), *zone = dnssec_name(trust->zone);
    const char *reason = "out of memory";
    if (packet != NULL && name != NULL && zone != NULL) {
        unsigned labels = 0;
        reason = dnssec_verify(trust->keys, zone, budget, dnssec_section(packet, section), name,
                               (ldns_rr_type)type, &labels);
        /* RFC 4035 5.3.4: made by a wildcard, so the name itself must be proven not to exist. */
        if (reason == NULL && labels < labels_of(name))
            reason = denial_check_wildcard(trust, zone, budget, packet, name, labels, is_opt_out);
    }
    ldns_rdf_deep_free(name);
    ldns_rdf_deep_free(zone);
    ldns_pkt_free(packet);
    return reason == NULL ? NULL : say(arena, reason, owner, type);
}

/* The reason as denial.c has it. */
static const char *find_absence(const struct trust *trust, struct dnssec_budget *budget,
                                const struct dns_message *message, const char *owner, uint16_t type,
                                bool is_nxdomain, bool *is_opt_out) {
    *is_opt_out = false;
    if (!trust->is_secure)
        return NULL;
    ldns_pkt *packet = dnssec_open(message);
    ldns_rdf *name = dnssec_name(owner), *zone = dnssec_name(trust->zone);
    const char *reason = "out of memory";
    if (packet != NULL && name != NULL && zone != NULL)
        reason = denial_check(trust, zone, budget, packet, name, (ldns_rr_type)type, is_nxdomain, is_opt_out);
    ldns_rdf_deep_free(name);
    ldns_rdf_deep_free(zone);
    ldns_pkt_free(packet);
    return reason;
}

const char *dnssec_check_absence(struct arena *arena, const struct trust *trust, struct dnssec_budget *budget,
                                 const struct dns_message *message, const char *owner, uint16_t type,
                                 bool is_nxdomain, bool *is_opt_out) {
    const char *reason = find_absence(trust, budget, message, owner, type, is_nxdomain, is_opt_out);
    return reason == NULL ? NULL : say(arena, reason, owner, type);
}

/* --- DS and DNSKEY --- */

static bool is_usable_ds(const ldns_rr *ds) {
    static const uint8_t algorithms[] = {5, 7, 8, 10, 13, 14, 15}, digests[] = {1, 2, 4};
    if (ldns_rr_rd_count(ds) != 4)
        return false;
    uint8_t algorithm = ldns_rdf2native_int8(ldns_rr_rdf(ds, 1));
    uint8_t digest = ldns_rdf2native_int8(ldns_rr_rdf(ds, 2));
    return memchr(algorithms, algorithm, sizeof algorithms) != NULL &&
           memchr(digests, digest, sizeof digests) != NULL;
}

static bool is_sha1_ds(const ldns_rr *ds) {
    return ldns_rdf2native_int8(ldns_rr_rdf(ds, 2)) == LDNS_SHA1;
}

/* Those that count. RFC 4509 3: SHA-1 only where there is nothing better. Free as collect's. */
static ldns_rr_list *collect_ds(const ldns_pkt *packet, const ldns_rdf *child) {
    ldns_rr_list *all = collect(ldns_pkt_answer(packet), child, LDNS_RR_TYPE_DS), *set = ldns_rr_list_new();
    bool has_better = false;
    for (size_t i = 0; all != NULL && i < ldns_rr_list_rr_count(all); i++)
        has_better =
            has_better || (is_usable_ds(ldns_rr_list_rr(all, i)) && !is_sha1_ds(ldns_rr_list_rr(all, i)));
    for (size_t i = 0; all != NULL && set != NULL && i < ldns_rr_list_rr_count(all); i++) {
        ldns_rr *ds = ldns_rr_list_rr(all, i);
        if (is_usable_ds(ds) && !(has_better && is_sha1_ds(ds)))
            ldns_rr_list_push_rr(set, ds);
    }
    ldns_rr_list_free(all);
    return set;
}

static enum ds_outcome judge_no_ds(struct arena *arena, const struct trust *parent,
                                   struct dnssec_budget *budget, const struct dns_message *message,
                                   const char *child, const char **failure) {
    bool is_nxdomain = message->rcode == DNS_NXDOMAIN, is_opt_out;
    const char *reason = find_absence(parent, budget, message, child, DNS_DS, is_nxdomain, &is_opt_out);
    if (reason == NULL && is_nxdomain) /* somebody else made the referral */
        reason = denial_no_delegation;
    if (reason == NULL)
        return is_opt_out ? DS_OPT_OUT : DS_NO_KEYS;
    *failure = say(arena, reason, child, DNS_DS);
    return reason == denial_no_delegation ? DS_NO_DELEGATION : DS_BOGUS;
}

enum ds_outcome dnssec_judge_ds(struct arena *arena, const struct trust *parent, struct dnssec_budget *budget,
                                const struct dns_message *message, const char *child, const char **failure) {
    bool is_opt_out;
    if (!parent->is_secure)
        return DS_NO_KEYS;
    if (dns_find(message, DNS_ANSWER, child, DNS_DS, NULL) == NULL)
        return judge_no_ds(arena, parent, budget, message, child, failure);
    *failure = dnssec_check_set(arena, parent, budget, message, DNS_ANSWER, child, DNS_DS, &is_opt_out);
    if (*failure != NULL)
        return DS_BOGUS;
    ldns_pkt *packet = dnssec_open(message);
    ldns_rdf *name = dnssec_name(child);
    ldns_rr_list *set = packet == NULL || name == NULL ? NULL : collect_ds(packet, name);
    size_t count = set == NULL ? 0 : ldns_rr_list_rr_count(set);
    bool is_taken = set != NULL && count <= KEYS_MAX;
    if (!is_taken)
        *failure = set == NULL
                       ? "out of memory"
                       : say(arena, "the parent names more keys than a check looks at", child, DNS_DS);
    ldns_rr_list_free(set);
    ldns_rdf_deep_free(name);
    ldns_pkt_free(packet);
    return !is_taken   ? DS_BOGUS
           : count > 0 ? DS_KEYS
                       : DS_NO_KEYS; /* RFC 4035 5.2: none that we know is as good as none */
}

/* What costs nothing is compared before the digest. */
static bool is_ds_of(const ldns_rr *ds, const ldns_rr *key, uint16_t tag) {
    return is_usable_ds(ds) && ldns_rdf2native_int16(ldns_rr_rdf(ds, 0)) == tag &&
           ldns_rdf_compare(ldns_rr_rdf(ds, 1), ldns_rr_dnskey_algorithm(key)) == 0 &&
           ldns_rr_compare_ds(ds, key);
}

static bool is_anchored(const ldns_rr *key, const ldns_rr_list *anchors) {
    uint16_t tag = ldns_calc_keytag(key);
    for (size_t i = 0; anchors != NULL && i < ldns_rr_list_rr_count(anchors); i++) {
        const ldns_rr *anchor = ldns_rr_list_rr(anchors, i);
        if (ldns_rr_get_type(anchor) == LDNS_RR_TYPE_DS ? is_ds_of(anchor, key, tag)
                                                        : ldns_rr_compare(anchor, key) == 0)
            return true;
    }
    return false;
}

static const char *judge_keys(const ldns_rr_list *ds, const ldns_rr_list *set, const ldns_rr_list *section,
                              const ldns_rdf *name, struct dnssec_budget *budget) {
    unsigned labels;
    if (set == NULL || ldns_rr_list_rr_count(set) == 0)
        return "the zone has no keys although its parent names some";
    if (ldns_rr_list_rr_count(set) > KEYS_MAX)
        return "the zone has more keys than a check looks at";
    ldns_rr_list *entry = ldns_rr_list_new();
    for (size_t i = 0; entry != NULL && i < ldns_rr_list_rr_count(set); i++)
        if (ldns_rr_rd_count(ldns_rr_list_rr(set, i)) == 4 && is_anchored(ldns_rr_list_rr(set, i), ds))
            ldns_rr_list_push_rr(entry, ldns_rr_list_rr(set, i));
    const char *reason =
        entry == NULL ? "out of memory"
        : ldns_rr_list_rr_count(entry) == 0
            ? "no key of the zone is the one its parent names"
            : dnssec_verify(entry, name, budget, section, name, LDNS_RR_TYPE_DNSKEY, &labels);
    ldns_rr_list_free(entry);
    return reason;
}

struct trust *dnssec_take_keys(struct arena *arena, const struct dns_message *ds_message,
                               const struct ldns_struct_rr_list *anchors, struct dnssec_budget *budget,
                               const struct dns_message *message, const char *zone, const char **failure) {
    ldns_pkt *packet = dnssec_open(message), *parent = ds_message == NULL ? NULL : dnssec_open(ds_message);
    ldns_rdf *name = dnssec_name(zone);
    ldns_rr_list *set = NULL, *ds = NULL;
    struct trust *trust = NULL;
    const char *reason = "out of memory";
    if (packet != NULL && name != NULL && (ds_message == NULL || parent != NULL)) {
        set = collect(ldns_pkt_answer(packet), name, LDNS_RR_TYPE_DNSKEY);
        if (parent != NULL)
            ds = collect_ds(parent, name);
        reason = judge_keys(parent != NULL ? ds : anchors, set, ldns_pkt_answer(packet), name, budget);
    }
    if (reason == NULL) {
        trust = trust_new(zone, true);
        if (trust != NULL && (trust->keys = ldns_rr_list_clone(set)) == NULL) {
            trust_release(trust);
            trust = NULL;
        }
        reason = "out of memory";
    }
    ldns_rr_list_free(set);
    ldns_rr_list_free(ds);
    ldns_rdf_deep_free(name);
    ldns_pkt_free(packet);
    ldns_pkt_free(parent);
    if (trust == NULL)
        *failure = say(arena, reason, zone, DNS_DNSKEY);
    return trust;
}

/* --- anchors --- */

ldns_rr_list *dnssec_load_anchors(const char *path, struct error *error) {
    FILE *file = fopen(path, "re");
    char line[4096];
    ldns_rr_list *list = ldns_rr_list_new();
    if (file == NULL || list == NULL) {
        error_set(error, ERROR_INVALID, "cannot read the trust anchor %s: %m", path);
        if (file != NULL)
            fclose(file);
        ldns_rr_list_free(list);
        return NULL;
    }
    bool is_good = true;
    for (unsigned number = 1; is_good && fgets(line, sizeof line, file) != NULL; number++) {
        ldns_rr *rr = NULL;
        line[strcspn(line, ";\r\n")] = '\0';
        if (line[strspn(line, " \t")] == '\0')
            continue;
        is_good = ldns_rr_new_frm_str(&rr, line, 0, NULL, NULL) == LDNS_STATUS_OK &&
                  (ldns_rr_get_type(rr) == LDNS_RR_TYPE_DS || ldns_rr_get_type(rr) == LDNS_RR_TYPE_DNSKEY) &&
                  ldns_dname_label_count(ldns_rr_owner(rr)) == 0;
        if (is_good)
            ldns_rr_list_push_rr(list, rr);
        else
            error_set(error, ERROR_INVALID, "%s:%u: expected a DS or DNSKEY record of the root", path,
                      number);
        if (!is_good && rr != NULL)
            ldns_rr_free(rr);
    }
    fclose(file);
    if (is_good && ldns_rr_list_rr_count(list) == 0)
        is_good = error_set(error, ERROR_INVALID, "%s holds no DS or DNSKEY record", path);
    if (is_good)
        return list;
    ldns_rr_list_deep_free(list);
    return NULL;
}

void dnssec_free_anchors(ldns_rr_list *anchors) {
    if (anchors != NULL)
        ldns_rr_list_deep_free(anchors);
}
