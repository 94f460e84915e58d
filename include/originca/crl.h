/* Certificate revocation lists (RFC 5280 5): which list a certificate belongs to. A list is identified by the
 * URL that stands in the certificate's CRL distribution point, whatever the configuration says today; ""
 * stands for none, which is its issuer's complete list alone. doc/revocation.md.
 *
 * An issuer's `crl_url` is a template: where it holds CRL_SHARD_MARK, a certificate's URL has there the
 * number of its shard, so that whoever checks one certificate fetches a small list. */
#pragma once

#include "originca/text.h"

#define CRL_URL_MAX 500 /* bytes */
#define CRL_SHARD_MARK "{shard}"
#define CRL_SHARDS_MAX                                                                                       \
    1024 /* each is made once at first, empty: with more the first revocation waits too long */
#define CRL_ENTRY_AHEAD_SECONDS 3600 /* a revocation's time may be so late: another host's clock told it */

struct crl_entry {
    uint8_t serial[SERIAL_BYTES]; /* the first byte 1 to 0x7F, as all of ours */
    uint32_t revoked_at;          /* seconds since 1970; of a void serial, when it became void */
    uint8_t reason;               /* RFC 5280 5.3.1: 0, 1, 3, 4, 5, 9 */
};

/* Can it stand in a list of ours? Asked where a revocation comes in and wherever a list is made. */
bool crl_entry_is_good(const struct crl_entry *entry) MUST_CHECK;
/* A plain http URL of at most CRL_URL_MAX printable ASCII bytes that needs no escaping in JSON. */
bool crl_url_is_good(const char *url) MUST_CHECK;

/* The serial's last two bytes, big-endian, modulo `shards` (1 to CRL_SHARDS_MAX). */
uint32_t crl_shard_of(const uint8_t serial[SERIAL_BYTES], uint32_t shards);
/* How many lists the template gives: 1 where it has no mark. */
uint32_t crl_url_count(const char *url_template, uint32_t shards);
/* The template with the shard's number in lower-case hex digits without leading zeros; the template itself
 * where it has no mark. NULL when out of memory. */
const char *crl_url_fill(struct arena *arena, const char *url_template, uint32_t shard);
/* Is it what a certificate of that issuer gets, with one of its shards? `shard` may be NULL. */
bool crl_url_is_fill(const char *url, const char *url_template, uint32_t shards, uint32_t *shard) MUST_CHECK;

/* The one URI of the certificate's one distribution point, in the arena. "" where it has none, where that is
 * no good URL, or where `der` is no certificate; NULL when out of memory. Some microseconds: nothing but the
 * DER is read. */
const char *crl_url_of_certificate(struct arena *arena, struct bytes der);
const char *crl_url_of_tbs(struct arena *arena, struct bytes tbs);
