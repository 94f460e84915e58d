/* Certificate revocation lists (RFC 5280 5): which list a certificate belongs to. A list is identified by the
 * URL that stands in the certificate's CRL distribution point, whatever the configuration says today; ""
 * stands for none, which is its issuer's complete list alone. doc/revocation.md. */
#pragma once

#include "originca/text.h"

#define CRL_URL_MAX 500 /* bytes */

/* A plain http URL of at most CRL_URL_MAX printable ASCII bytes that needs no escaping in JSON. */
bool crl_url_is_good(const char *url) MUST_CHECK;
/* The one URI of the certificate's one distribution point, in the arena. "" where it has none, where that is
 * no good URL, or where `der` is no certificate; NULL when out of memory. Some microseconds: nothing but the
 * DER is read. */
const char *crl_url_of_certificate(struct arena *arena, struct bytes der);
const char *crl_url_of_tbs(struct arena *arena, struct bytes tbs);
