#include "quorum.h"

unsigned quorum_allowed(size_t remotes) {
    if (remotes < 2)
        return 0;
    return remotes < 6 ? 1 : 2;
}

enum quorum_state quorum_judge(const struct quorum_count *count, unsigned allowed) {
    size_t remotes = count->agreeing + count->disagreeing + count->pending;
    if (!count->primary_agrees || count->disagreeing > allowed)
        return QUORUM_FAILS;
    /* Whatever is allowed, somebody else must have seen it. */
    if (remotes > 0 && count->agreeing + count->pending == 0)
        return QUORUM_FAILS;
    bool is_seen = remotes == 0 || count->agreeing > 0;
    return is_seen && count->disagreeing + count->pending <= allowed ? QUORUM_HOLDS : QUORUM_OPEN;
}
