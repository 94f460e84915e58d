/* Jobs that revoke many certificates (doc/revocation.md, "In bulk"): this host's admin process takes up one
 * at a time, page by page, through the one path of revocation. What it has done stands in Redis, so another
 * process or host goes on where it ended. */
#pragma once

#include "originca/worker.h"

struct bulk_runner;

struct bulk_runner *bulk_runner_new(struct worker *worker, struct error *error);
void bulk_runner_free(struct bulk_runner *runner); /* drops its page: whoever comes next does it again */
/* Called every two seconds while the process is ready: keeps the job that it has, or looks for one. */
void bulk_runner_run(struct bulk_runner *runner);
