/* Jobs that revoke many certificates: this host's admin process works on several at once, so that a slow one
 * keeps back no urgent one; where there are more, they take turns, a page each (doc/revocation.md, "In
 * bulk"). Also makes those that policy wants. */
#pragma once

#include "originca/worker.h"

struct bulk_jobs;

struct bulk_jobs *bulk_jobs_new(struct worker *worker, struct error *error);
void bulk_jobs_free(struct bulk_jobs *jobs);
/* Called every two seconds while the process is ready. */
void bulk_jobs_run(struct bulk_jobs *jobs);
