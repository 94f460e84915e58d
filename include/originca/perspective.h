/* More than one view: the same check from several places of the network, with a quorum (doc/perspectives.md).
 *
 * A worker's own check is the primary: it must itself find everything in order. What it finds in order must
 * be seen so by enough of the other perspectives as well, or it becomes DNSCHECK_FAILED with the reason
 * "quorum". With `local` alone this is dnscheck_start and nothing more. */
#pragma once

#include "originca/dnscheck.h"

struct perspectives;
struct perspective_job;

struct perspective_counters {
    uint64_t checks; /* with others than local */
    uint64_t quorum_failures;
    uint64_t disagreements; /* of single perspectives, unanswered ones included */
    uint64_t unanswered;
};

/* Connects to the perspectives of the configuration, which must outlive it, as must `dnscheck`. A perspective
 * that is away is no error. */
struct perspectives *perspectives_new(struct event_base *base, const struct config *config,
                                      struct dnscheck *dnscheck, struct error *error);
void perspectives_free(struct perspectives *perspectives); /* cancels what is pending */

/* As dnscheck_start, with the same contract for arena, request and callback. The evidence gets a member
 * "perspectives": [{"name", "verdict", "reason", "text", "ms", "disagrees_about": [names]}]. */
struct perspective_job *perspectives_start(struct perspectives *perspectives, struct arena *arena,
                                           const struct dnscheck_request *request,
                                           dnscheck_callback *callback, void *context, struct error *error);
void perspectives_cancel(struct perspective_job *job);
const struct perspective_counters *perspectives_counters(const struct perspectives *perspectives);
