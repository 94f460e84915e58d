/* Domain rules about zones and names: plain functions that a test calls without any server. */
#pragma once

#include "originca/config.h"
#include "originca/dnscheck.h"
#include "originca/secrets.h"
#include "originca/store.h"

/* All sets of `per_zone` name servers of the pool in the order of preference for this (zone, customer): a
 * keyed hash, so nobody can choose or foresee another customer's pair. At most 64 sets. */
bool zones_assign_name_servers(struct arena *arena, const struct config *config,
                               const struct secrets *secrets, const char *zone, const char *customer,
                               struct store_zone_candidates *out, struct error *error) MUST_CHECK;

/* Builds the DNS check of these names; zones[i] is the zone of names[i] and may repeat. */
bool zones_build_check(struct arena *arena, const struct store_zone *zones, const char *const *names,
                       const char *const *txt_values, size_t count, struct dnscheck_request *out,
                       struct error *error) MUST_CHECK;
