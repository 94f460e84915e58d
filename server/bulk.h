/* Work on one job that revokes many certificates (doc/revocation.md, "In bulk"), page by page, through the
 * one path of revocation. What it has done stands in Redis, so another process or host goes on where it
 * ended. bulk_jobs.h holds several. */
#pragma once

#include "originca/worker.h"

struct bulk_runner;

/* `holder` names it and nobody else, in any process; `has_room` says whether another runner of this process
 * is free, so that this one need not make room for a job that waits. */
struct bulk_runner *bulk_runner_new(struct worker *worker, const char *holder,
                                    bool (*has_room)(const void *context), const void *context,
                                    struct error *error);
void bulk_runner_free(struct bulk_runner *runner); /* drops its page: whoever comes next does it again */
/* Called every two seconds while the process is ready: keeps the job that it has, or looks for one. */
void bulk_runner_run(struct bulk_runner *runner);
bool bulk_runner_is_free(const struct bulk_runner *runner);
