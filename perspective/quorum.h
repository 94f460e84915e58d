/* How many perspectives must agree. As the CA/Browser Forum's Baseline Requirements 3.2.2.9 count: the
 * primary must itself agree, and of the others one of up to five may disagree, two of six or more. One that
 * does not answer disagrees. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Of so many besides the primary. A single one must agree, or it would be none. */
unsigned quorum_allowed(size_t remotes);

struct quorum_count { /* about one zone or name; the primary is not in the numbers */
    bool primary_agrees;
    size_t agreeing, disagreeing, pending;
};
enum quorum_state { QUORUM_OPEN, QUORUM_HOLDS, QUORUM_FAILS };
/* What the answers so far decide; never OPEN when none is pending. */
enum quorum_state quorum_judge(const struct quorum_count *count, unsigned allowed);
