/* One module normalises and judges DNS names: orders, CSRs, zones, CAA and the signer all ask it.
 *
 * RFC 1034 3.1, RFC 1123 2.1, RFC 5890 2.3.1, RFC 8555 7.1.3. Names are refused, never repaired. Case is the
 * one exception: upper-case ASCII letters are the same name (RFC 4343); the canonical form is lower case and
 * the caller keeps the spelling of the request where a client compares it (lego does). */
#pragma once

#include "originca/arena.h"

#define NAME_MAX_BYTES 253 /* presentation form without the final dot */
#define NAME_MAX_LABELS 16 /* more is a trick, not a host */
/* What DNS is asked for below a name must fit as well: a random label of so many bytes, and the TXT record of
 * dns-01 (RFC 8555 8.4). */
#define NAME_PROBE_BYTES 16
#define NAME_MAX_WILDCARD_BASE_BYTES (NAME_MAX_BYTES - NAME_PROBE_BYTES - 1)
#define NAME_CHALLENGE_PREFIX "_acme-challenge."
#define NAME_MAX_CHALLENGE_BASE_BYTES (NAME_MAX_BYTES - (sizeof NAME_CHALLENGE_PREFIX - 1))

/* What may stand in a certificate: a host name on a public-suffix-free-standing name, or "*." before one.
 * `canonical` (NAME_MAX_BYTES + 1 bytes) receives the lower-case form. On refusal the error names the rule:
 * empty or over-long label, character outside LDH, leading or trailing hyphen, "??--" label that is no valid
 * A-label (IDNA2008, RFC 5891), U-label (says: send the A-label), trailing dot, IP address in any spelling
 * (also decimal and hex), single label, public suffix or a wildcard directly under one, wildcard anywhere but
 * as the whole first label or before a name too long to be asked for below, special-use names (RFC 6761:
 * localhost, local, onion, arpa, invalid; `test` and `example` only when names_allow_special() named them).
 */
bool name_check(const char *name, char canonical[NAME_MAX_BYTES + 1], struct error *error) MUST_CHECK;

/* Like name_check for a zone's name: no wildcard. */
bool name_check_zone(const char *name, char canonical[NAME_MAX_BYTES + 1], struct error *error) MUST_CHECK;

/* Syntax alone, for name servers and DNS owner names: LDH labels and underscores, no policy, final dot
 * allowed and dropped. */
bool name_check_host(const char *name, char canonical[NAME_MAX_BYTES + 1], struct error *error) MUST_CHECK;

/* For what looks a name up, and for the hostnames of the REST API: with its U-labels as A-labels (IDNA2008,
 * non-transitional; a "*." stays), and otherwise as it is. NULL where that is not possible, or without
 * memory. */
const char *name_to_ascii(struct arena *arena, const char *name) MUST_CHECK;

bool name_is_wildcard(const char *name);
/* The name without its "*.". */
const char *name_base(const char *name);
/* True where `name` (canonical) is `zone` or below it. */
bool name_is_below(const char *name, const char *zone);
/* Does `pattern` (maybe a wildcard, one label deep) cover the host `name`? */
bool name_covers(const char *pattern, const char *name);

/* Loads the public suffix list once per process; `path` NULL takes libpsl's built-in or the system's file. */
bool names_load_suffixes(const char *path, struct error *error) MUST_CHECK;
/* Settings: extra top-level names that may be used ("test" in the sandbox) although RFC 6761 reserves them.
 * The strings are copied. */
bool names_allow_special(const char *const *names, size_t count) MUST_CHECK;
