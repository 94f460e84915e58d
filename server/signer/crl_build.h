/* Building certificate revocation lists (RFC 5280 5) byte by byte. A list is made of a head, its entries, and
 * a tail, in that order, so that signer and client make the same bytes of the same entries and nobody holds
 * or sends more than one copy: the signer hashes the entries as they come, its client puts them between head
 * and tail. doc/certificates.md, "Revocation lists". */
#pragma once

#include "originca/crl.h"

#define CRL_ENTRY_DER_MAX 52

struct crl_contents {
    struct bytes issuer;               /* DER Name, byte for byte the certificates' issuer */
    struct bytes key_id;               /* the issuer's SubjectKeyIdentifier */
    struct bytes signature_identifier; /* DER AlgorithmIdentifier */
    const char *url;                   /* "": the complete list of the issuer */
    uint64_t number;                   /* cRLNumber */
    time_t this_update, next_update;
    uint64_t entry_bytes; /* of all entries in DER; 0: there are none, and then no list of them */
};

struct crl_frame {
    struct bytes head; /* of the TBSCertList, from its first byte to where the entries begin */
    struct bytes tail; /* behind them, to its end */
};

/* In the arena. */
bool crl_build_frame(struct arena *arena, const struct crl_contents *contents, struct crl_frame *out,
                     struct error *error) MUST_CHECK;
/* One element of revokedCertificates; its length. The entry is a good one. */
size_t crl_put_entry(const struct crl_entry *entry, uint8_t out[CRL_ENTRY_DER_MAX]);
uint64_t crl_entries_length(const struct crl_entry *entries, size_t count);

/* CertificateList ::= SEQUENCE { tbs, signatureAlgorithm, signature }, to be freed with free(); NULL when out
 * of memory. `tbs` points into it. */
uint8_t *crl_assemble(const struct crl_frame *frame, const struct crl_entry *entries, size_t count,
                      struct bytes signature_identifier, struct bytes signature, size_t *length,
                      struct bytes *tbs);
