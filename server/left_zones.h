/* By policy (doc/revocation.md, "By policy: a zone that was left"): jobs for the certificates of zones that
 * moved away or were deleted long ago. Which ones Redis says; whether it is so the signer's ledger does: one
 * that never left by it keeps its certificates. */
#pragma once

#include "originca/worker.h"

struct left_zones;

struct left_zones *left_zones_new(struct worker *worker, struct error *error);
void left_zones_free(struct left_zones *zones); /* not while a look is under way */
/* Called again and again while the process is ready; looks now and then, where the policy is to revoke. */
void left_zones_run(struct left_zones *zones);
