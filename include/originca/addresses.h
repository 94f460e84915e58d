/* Which addresses our DNS check sends packets to. A hostile zone may name any address for its name servers:
 * this host's, those of the network around it, or one that speaks to everybody. */
#pragma once

#include "originca/config.h"

/* Is it none that a public name server can have: outside of global unicast (RFC 4291, RFC 1122), or in a
 * block of the IANA registries of special-purpose addresses (RFC 6890)? IPv6 addresses that hold an IPv4
 * address count as special whatever that is. 4 bytes of AF_INET or 16 of AF_INET6. */
bool address_is_special(int family, const uint8_t *address) MUST_CHECK;
/* What is denied is never asked; what is allowed is asked although it is special. */
bool address_is_asked(const struct address_rules *rules, int family, const uint8_t *address) MUST_CHECK;

/* Root hints: lines of a zone file, "NAME TTL [IN] A|AAAA ADDRESS"; others are passed over. `take` (NULL:
 * they are only checked) gets each name in lower case without its final dot. Fails where an address has no
 * form, or is one that is not asked. */
typedef void root_hint_taker(void *context, const char *name, int family, const uint8_t *address);
bool root_hints_read(const char *path, const struct address_rules *rules, root_hint_taker *take,
                     void *context, struct error *error) MUST_CHECK;
