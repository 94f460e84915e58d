/* Proofs that something is not there: NSEC (RFC 4035 5.4, RFC 6840 4) and NSEC3 (RFC 5155 8). Only records
 * whose own signature was verified, and that no wildcard made, count. */
#include <stdlib.h>
#include <string.h>

#include "dnssec_internal.h"

#define ITERATIONS_MAX 150 /* RFC 9276 3.2: more is refused */
#define PROOFS_MAX 16
#define SHA1_BYTES 20

const char denial_no_delegation[] = "the parent proves that there is no delegation";

struct proofs {
    const ldns_rr *items[PROOFS_MAX];
    size_t count;
    const ldns_rdf *zone;
    struct dnssec_budget *budget;
    bool is_nsec3;
    const char *reason; /* where something stopped the look */
};

static bool has_type(const ldns_rr *nsec, ldns_rr_type type) {
    const ldns_rdf *bitmap = ldns_nsec_get_bitmap(nsec);
    return bitmap != NULL && ldns_nsec_bitmap_covers_type(bitmap, type);
}

/* The parent's side of a delegation, or a DNAME: it says nothing about names below it (RFC 6840 4.1). */
static bool ends_zone(const ldns_rr *nsec) {
    return (has_type(nsec, LDNS_RR_TYPE_NS) && !has_type(nsec, LDNS_RR_TYPE_SOA)) ||
           has_type(nsec, LDNS_RR_TYPE_DNAME);
}

/* RFC 5155 8.2: NSEC3 records are used together where their parameters are the same. */
static bool is_same_kind(const ldns_rr *a, const ldns_rr *b) {
    if (ldns_rr_get_type(a) != ldns_rr_get_type(b))
        return false;
    return ldns_rr_get_type(a) != LDNS_RR_TYPE_NSEC3 ||
           (ldns_nsec3_algorithm(a) == ldns_nsec3_algorithm(b) &&
            ldns_nsec3_iterations(a) == ldns_nsec3_iterations(b) &&
            ldns_rdf_compare(ldns_nsec3_salt(a), ldns_nsec3_salt(b)) == 0);
}

/* A zone's owner signs what he likes; ldns asserts the shape of what it is given (RFC 4034 4.1, RFC
 * 5155 3.2, 8.1, 8.2). */
static bool is_well_formed(const ldns_rr *rr, const ldns_rdf *zone) {
    if (ldns_rr_get_type(rr) == LDNS_RR_TYPE_NSEC)
        return ldns_rr_rd_count(rr) >= 1 && ldns_rdf_get_type(ldns_rr_rdf(rr, 0)) == LDNS_RDF_TYPE_DNAME;
    if (ldns_rr_rd_count(rr) < 5 ||
        /* without the bitmap where no type is there */ ldns_nsec3_algorithm(rr) != LDNS_SHA1 ||
        (ldns_nsec3_flags(rr) & ~LDNS_NSEC3_VARS_OPTOUT_MASK) != 0 ||
        ldns_dname_label_count(ldns_rr_owner(rr)) != ldns_dname_label_count(zone) + 1)
        return false;
    const ldns_rdf *next = ldns_nsec3_next_owner(rr);
    return next != NULL && ldns_rdf_size(next) == SHA1_BYTES + 1 && ldns_rdf_data(next)[0] == SHA1_BYTES;
}

static const char *gather(const struct trust *trust, const ldns_pkt *packet, struct proofs *proofs) {
    const ldns_rr_list *list = ldns_pkt_authority(packet);
    const char *reason = "the proof of absence is missing";
    for (size_t i = 0; i < ldns_rr_list_rr_count(list) && proofs->count < PROOFS_MAX; i++) {
        const ldns_rr *rr = ldns_rr_list_rr(list, i);
        ldns_rr_type type = ldns_rr_get_type(rr);
        unsigned labels = 0;
        if ((type != LDNS_RR_TYPE_NSEC && type != LDNS_RR_TYPE_NSEC3) ||
            !(ldns_dname_is_subdomain(ldns_rr_owner(rr), proofs->zone) ||
              ldns_dname_compare(ldns_rr_owner(rr), proofs->zone) == 0) ||
            !is_well_formed(rr, proofs->zone) || (proofs->count > 0 && !is_same_kind(proofs->items[0], rr)))
            continue;
        if (type == LDNS_RR_TYPE_NSEC3 && ldns_nsec3_iterations(rr) > ITERATIONS_MAX)
            return "NSEC3 with too many iterations";
        const char *fault =
            dnssec_verify(trust->keys, proofs->zone, proofs->budget, list, ldns_rr_owner(rr), type, &labels);
        bool is_star = ldns_rdf_data(ldns_rr_owner(rr))[0] == 1 && ldns_rdf_data(ldns_rr_owner(rr))[1] == '*';
        if (fault == NULL && labels + (is_star ? 1u : 0u) != ldns_dname_label_count(ldns_rr_owner(rr)))
            fault = "the proof of absence was made by a wildcard";
        if (fault != NULL) {
            reason = fault;
            continue;
        }
        proofs->is_nsec3 = type == LDNS_RR_TYPE_NSEC3;
        proofs->items[proofs->count++] = rr;
    }
    return proofs->count > 0 ? NULL : reason;
}

/* --- what both kinds have in common: a proof matches a name, or covers it --- */

/* The name as the owners of proofs have it; free with ldns_rdf_deep_free. */
static ldns_rdf *key_of(struct proofs *proofs, const ldns_rdf *name) {
    if (!proofs->is_nsec3)
        return ldns_rdf_clone(name);
    if (proofs->budget->hashes_left == 0) {
        proofs->reason = "more NSEC3 hashes than a check computes";
        return NULL;
    }
    proofs->budget->hashes_left--;
    ldns_rdf *hash = ldns_nsec3_hash_name_frm_nsec3(proofs->items[0], name);
    if (hash != NULL && ldns_dname_cat(hash, proofs->zone) != LDNS_STATUS_OK) {
        ldns_rdf_deep_free(hash);
        return NULL;
    }
    return hash;
}

/* Behind the last NSEC of a zone is its apex, and only that (RFC 4034 4.1.1). */
static bool covers(struct proofs *proofs, const ldns_rr *proof, const ldns_rdf *key) {
    if (proofs->is_nsec3)
        return ldns_nsec_covers_name(proof, key);
    const ldns_rdf *owner = ldns_rr_owner(proof), *next = ldns_rr_rdf(proof, 0);
    if (ldns_dname_compare(owner, key) >= 0 ||
        (ldns_dname_compare(key, next) >= 0 && ldns_dname_compare(next, proofs->zone) != 0))
        return false;
    if (!ends_zone(proof) || !ldns_dname_is_subdomain(key, owner))
        return true;
    proofs->reason = "the proof of absence is the parent's side of a delegation";
    return false;
}

static const ldns_rr *find(struct proofs *proofs, const ldns_rdf *name, bool wants_match) {
    const ldns_rr *found = NULL;
    ldns_rdf *key = key_of(proofs, name);
    for (size_t i = 0; key != NULL && i < proofs->count && found == NULL; i++) {
        const ldns_rr *proof = proofs->items[i];
        bool is_match = ldns_dname_compare(ldns_rr_owner(proof), key) == 0;
        if (wants_match ? is_match : !is_match && covers(proofs, proof, key))
            found = proof;
    }
    ldns_rdf_deep_free(key);
    return found;
}

/* The last `labels` labels of a name. */
static ldns_rdf *tail(const ldns_rdf *name, unsigned labels) {
    return ldns_dname_clone_from(name, (uint16_t)(ldns_dname_label_count(name) - labels));
}

static ldns_rdf *star_of(const ldns_rdf *encloser) {
    ldns_rdf *star = ldns_dname_new_frm_str("*");
    if (star != NULL && ldns_dname_cat(star, encloser) != LDNS_STATUS_OK) {
        ldns_rdf_deep_free(star);
        return NULL;
    }
    return star;
}

/* --- no such type at a name that is there --- */

static const char *judge_match(const ldns_rr *proof, ldns_rr_type type) {
    if (has_type(proof, type) || has_type(proof, LDNS_RR_TYPE_CNAME))
        return "the proof of absence says that the type is there";
    if (type == LDNS_RR_TYPE_DS && has_type(proof, LDNS_RR_TYPE_SOA))
        return "the proof that there is no DS is the child's own";
    /* RFC 6840 4.4: else any name of a signed zone could be made an unsigned zone. */
    if (type == LDNS_RR_TYPE_DS && !has_type(proof, LDNS_RR_TYPE_NS))
        return denial_no_delegation;
    if (type != LDNS_RR_TYPE_DS && has_type(proof, LDNS_RR_TYPE_NS) && !has_type(proof, LDNS_RR_TYPE_SOA))
        return "the proof of absence is the parent's side of a delegation";
    return NULL;
}

/* --- NSEC --- */

static unsigned common_labels(const ldns_rdf *a, const ldns_rdf *b) {
    unsigned count = 0, most_a = ldns_dname_label_count(a), most_b = ldns_dname_label_count(b);
    for (unsigned labels = 1; labels <= most_a && labels <= most_b; labels++) {
        ldns_rdf *tail_a = tail(a, labels), *tail_b = tail(b, labels);
        bool is_same = tail_a != NULL && tail_b != NULL && ldns_dname_compare(tail_a, tail_b) == 0;
        ldns_rdf_deep_free(tail_a);
        ldns_rdf_deep_free(tail_b);
        if (!is_same)
            break;
        count = labels;
    }
    return count;
}

/* Labels of the closest name above that is there, by the record that covers the name. */
static unsigned labels_of_encloser(const ldns_rdf *name, const ldns_rr *cover) {
    unsigned by_owner = common_labels(name, ldns_rr_owner(cover));
    unsigned by_next = common_labels(name, ldns_rr_rdf(cover, 0));
    return by_owner > by_next ? by_owner : by_next;
}

static const char *nsec_absence(struct proofs *proofs, const ldns_rdf *name, ldns_rr_type type,
                                bool is_nxdomain) {
    const ldns_rr *match = find(proofs, name, true);
    if (match != NULL)
        return is_nxdomain ? "the proof says that the name is there" : judge_match(match, type);
    const ldns_rr *cover = find(proofs, name, false);
    if (cover == NULL)
        return proofs->reason != NULL ? proofs->reason : "no proof of absence is about the name";
    if (type == LDNS_RR_TYPE_DS && !is_nxdomain)
        return denial_no_delegation;
    const ldns_rdf *next = ldns_rr_rdf(cover, 0);
    if (ldns_dname_is_subdomain(next, name)) /* an empty non-terminal: it is there, and has nothing */
        return is_nxdomain ? "the proof says that there are names below" : NULL;
    ldns_rdf *encloser = tail(name, labels_of_encloser(name, cover));
    ldns_rdf *star = encloser == NULL ? NULL : star_of(encloser);
    const char *reason = "out of memory";
    if (star != NULL) {
        const ldns_rr *at_star = find(proofs, star, true);
        if (at_star != NULL)
            reason = is_nxdomain ? "the proof says that a wildcard is there" : judge_match(at_star, type);
        else
            reason = find(proofs, star, false) == NULL ? "no proof of absence is about the wildcard"
                     : is_nxdomain                     ? NULL
                                                       : "the proof says that the name does not exist at all";
    }
    ldns_rdf_deep_free(encloser);
    ldns_rdf_deep_free(star);
    return reason;
}

/* --- NSEC3 --- */

static const char *nsec3_star(struct proofs *proofs, const ldns_rdf *encloser, ldns_rr_type type,
                              bool is_nxdomain) {
    ldns_rdf *star = star_of(encloser);
    if (star == NULL)
        return "out of memory";
    const ldns_rr *at_star = find(proofs, star, true);
    const char *reason;
    if (is_nxdomain)
        reason = at_star == NULL && find(proofs, star, false) != NULL
                     ? NULL
                     : "no proof of absence is about the wildcard";
    else
        reason = at_star != NULL ? judge_match(at_star, type) : "no proof of absence is about the name";
    ldns_rdf_deep_free(star);
    return reason;
}

/* RFC 5155 8.3: the closest name that is there, and that the one below it is not. */
static const char *nsec3_absence(struct proofs *proofs, const ldns_rdf *name, ldns_rr_type type,
                                 bool is_nxdomain, bool *is_opt_out) {
    const ldns_rr *match = find(proofs, name, true);
    if (match != NULL)
        return is_nxdomain ? "the proof says that the name is there" : judge_match(match, type);
    unsigned own = ldns_dname_label_count(name), zone = ldns_dname_label_count(proofs->zone);
    for (unsigned labels = own - 1; own > zone && labels >= zone && proofs->reason == NULL; labels--) {
        ldns_rdf *encloser = tail(name, labels), *closer = tail(name, labels + 1);
        const ldns_rr *at_encloser = encloser == NULL ? NULL : find(proofs, encloser, true);
        const char *reason = NULL;
        bool is_found = at_encloser != NULL && closer != NULL;
        if (is_found) {
            const ldns_rr *cover = find(proofs, closer, false);
            *is_opt_out = cover != NULL && ldns_nsec3_optout(cover);
            if (ends_zone(at_encloser))
                reason = "the proof of absence is the parent's side of a delegation";
            else if (cover == NULL)
                reason = "no proof of absence is about the name";
            else if (*is_opt_out && !is_nxdomain)
                reason = NULL; /* nothing signed is there; something unsigned may be */
            else if (type == LDNS_RR_TYPE_DS && !is_nxdomain)
                reason = denial_no_delegation;
            else
                reason = nsec3_star(proofs, encloser, type, is_nxdomain);
        }
        ldns_rdf_deep_free(encloser);
        ldns_rdf_deep_free(closer);
        if (is_found)
            return reason;
        if (labels == 0)
            break;
    }
    return proofs->reason != NULL ? proofs->reason : "no proof of absence is about the name";
}

const char *denial_check(const struct trust *trust, const ldns_rdf *zone, struct dnssec_budget *budget,
                         const ldns_pkt *packet, const ldns_rdf *name, ldns_rr_type type, bool is_nxdomain,
                         bool *is_opt_out) {
    struct proofs proofs = {.zone = zone, .budget = budget};
    const char *reason = gather(trust, packet, &proofs);
    if (reason != NULL)
        return reason;
    return proofs.is_nsec3 ? nsec3_absence(&proofs, name, type, is_nxdomain, is_opt_out)
                           : nsec_absence(&proofs, name, type, is_nxdomain);
}

const char *denial_check_wildcard(const struct trust *trust, const ldns_rdf *zone,
                                  struct dnssec_budget *budget, const ldns_pkt *packet, const ldns_rdf *name,
                                  unsigned labels, bool *is_opt_out) {
    struct proofs proofs = {.zone = zone, .budget = budget};
    const char *reason = gather(trust, packet, &proofs);
    if (reason != NULL)
        return reason;
    ldns_rdf *closer = proofs.is_nsec3 ? tail(name, labels + 1) : ldns_rdf_clone(name);
    const ldns_rr *cover = closer == NULL ? NULL : find(&proofs, closer, false);
    ldns_rdf_deep_free(closer);
    if (cover == NULL)
        return proofs.reason != NULL
                   ? proofs.reason
                   : "a wildcard answers, but it is not proven that the name itself is absent";
    if (!proofs.is_nsec3 && labels_of_encloser(name, cover) > labels)
        return "a wildcard answers although a closer name is there"; /* RFC 4592 3.3.1 */
    *is_opt_out = proofs.is_nsec3 && ldns_nsec3_optout(cover);
    return NULL;
}
