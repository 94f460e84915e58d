/* DNSSEC (RFC 4033 to 4035, 5155, 6840): signatures and denials in one message, judged with the keys of one
 * zone. No I/O: the chain of keys is trust.c's. ldns does the cryptography and the canonical forms. */
#pragma once

#include "packet.h"

struct ldns_struct_rr_list; /* ldns's own name for its list */

/* The keys of a zone as the chain of trust gives them, or the proof that there are none. Shared, counted,
 * unchanged once made. */
struct trust {
    unsigned references;
    bool is_secure;   /* false: the chain proves that the zone is not signed */
    uint32_t valid_s; /* from when it was established: TTLs and signatures of the records that prove it */
    char zone[DNS_NAME_MAX];
    struct ldns_struct_rr_list *keys;
};

struct trust *trust_new(const char *zone, bool is_secure); /* one reference; NULL: out of memory */
struct trust *trust_hold(struct trust *trust);             /* NULL stays NULL */
void trust_release(struct trust *trust);

/* How many signatures may still be verified: colliding key tags must not make a check expensive (KeyTrap). */
struct dnssec_budget {
    time_t now;
    unsigned signatures_left, wrong_signatures;
    unsigned hashes_left; /* of NSEC3 names (CVE-2023-50868) */
    uint32_t valid_s;     /* lowered to how long each set that is verified may be kept */
};

/* Each returns NULL where all is well (always under a trust that is not secure), else what is wrong:
 * "the signature of NAME TYPE has expired". The text lives in the arena. */

/* The record set in `section` is signed by the zone, also where a wildcard made it. `is_opt_out`: one did,
 * and it is proven only that no signed name stands before it. */
const char *dnssec_check_set(struct arena *arena, const struct trust *trust, struct dnssec_budget *budget,
                             const struct dns_message *message, enum dns_section section, const char *owner,
                             uint16_t type, bool *is_opt_out);
/* The message proves that `name` does not exist (is_nxdomain) or has no `type`. `is_opt_out`: it proves only
 * that nothing signed is there (RFC 5155 6). */
const char *dnssec_check_absence(struct arena *arena, const struct trust *trust, struct dnssec_budget *budget,
                                 const struct dns_message *message, const char *name, uint16_t type,
                                 bool is_nxdomain, bool *is_opt_out);

/* What the parent's answer to "DS of child" proves. */
enum ds_outcome {
    DS_BOGUS,         /* nothing: `*failure` says why */
    DS_KEYS,          /* a delegation, with keys that we can use */
    DS_NO_KEYS,       /* a delegation, without such keys */
    DS_OPT_OUT,       /* that no signed delegation is there (RFC 5155 6) */
    DS_NO_DELEGATION, /* as it says; `*failure` is set too, for a child that somebody refers to */
};
enum ds_outcome dnssec_judge_ds(struct arena *arena, const struct trust *parent, struct dnssec_budget *budget,
                                const struct dns_message *message, const char *child, const char **failure);
/* The child's DNSKEY answer against the DS set in `ds_message` (or against trust anchors for the root, where
 * `ds_message` is NULL): the child's trust, one reference; NULL with `*failure`. */
struct trust *dnssec_take_keys(struct arena *arena, const struct dns_message *ds_message,
                               const struct ldns_struct_rr_list *anchors, struct dnssec_budget *budget,
                               const struct dns_message *message, const char *zone, const char **failure);
/* Trust anchors of the root, DS or DNSKEY records in zone-file form. */
struct ldns_struct_rr_list *dnssec_load_anchors(const char *path, struct error *error);
void dnssec_free_anchors(struct ldns_struct_rr_list *anchors);
