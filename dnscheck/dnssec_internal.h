/* What dnssec.c and denial.c share: both work on ldns's own structures. */
#pragma once

#include <ldns/ldns.h>

#include "dnssec.h"

ldns_pkt *dnssec_open(const struct dns_message *message);
ldns_rdf *dnssec_name(const char *name);
const ldns_rr_list *dnssec_section(const ldns_pkt *packet, enum dns_section section);
/* Is the set of that owner and type in `list` signed by one of the keys? `labels` of the signature that is.
 * NULL: yes; else the reason. */
const char *dnssec_verify(const ldns_rr_list *keys, const ldns_rdf *zone, struct dnssec_budget *budget,
                          const ldns_rr_list *list, const ldns_rdf *owner, ldns_rr_type type,
                          unsigned *labels);

/* denial.c */
extern const char denial_no_delegation[]; /* the reason of its functions where just that is proven */
const char *denial_check(const struct trust *trust, const ldns_rdf *zone, struct dnssec_budget *budget,
                         const ldns_pkt *packet, const ldns_rdf *name, ldns_rr_type type, bool is_nxdomain,
                         bool *is_opt_out);
/* A wildcard of `labels` labels made an answer for `name`: is it proven that no closer name exists? */
const char *denial_check_wildcard(const struct trust *trust, const ldns_rdf *zone,
                                  struct dnssec_budget *budget, const ldns_pkt *packet, const ldns_rdf *name,
                                  unsigned labels, bool *is_opt_out);
