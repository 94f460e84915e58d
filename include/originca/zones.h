/* Domain rules about zones and names: plain functions that a test calls without any server. */
#pragma once

#include "originca/config.h"
#include "originca/dnscheck.h"
#include "originca/secrets.h"
#include "originca/store.h"

/* The pool in the order of preference for this (zone, customer): by a keyed hash, so nobody can choose or
 * foresee another customer's name servers. ERROR_INVALID for a zone at, above or below a name server of the
 * pool. */
bool zones_order_name_servers(struct arena *arena, const struct config *config, const struct secrets *secrets,
                              const char *zone, const char *customer, struct store_name_server_pool *out,
                              struct error *error) MUST_CHECK;

/* What the check of a zone saw at the parent; lives as long as the result. */
struct store_delegation zones_delegation(const struct dnscheck_finding *finding);
/* Does it name any of the zone's name servers? */
bool zones_delegation_meets(const struct store_delegation *delegation, const struct store_zone *zone);
/* What to do for a zone that was just added, from the look at its delegation before; a sentence. */
const char *zones_advice(struct arena *arena, const struct store_zone *zone,
                         const struct dnscheck_finding *look);

/* The question that the check of a zone asks; of one without name servers, what it is delegated to. */
struct dnscheck_zone zones_asked(const struct store_zone *zone);
/* Builds the DNS check of these names; zones[i] is the zone of names[i] and may repeat. */
bool zones_build_check(struct arena *arena, const struct store_zone *zones, const char *const *names,
                       const char *const *txt_values, size_t count, struct dnscheck_request *out,
                       struct error *error) MUST_CHECK;
