/* Rate limits of newAccount and newOrder (RFC 8555 6.6): rateLimited with Retry-After and the limit's name.
 */
#include "originca/limits.h"
#include "internal.h"

/* Of the three cases of RFC 8555 6.6 this is the refusal: nothing was taken. */
enum step_result acme_judge_limits(struct operation *operation, const struct limits *limits) {
    if (limits->outcome.exceeded == 0)
        return STEP_DONE;
    acme_post_of(operation)->retry_after = limits->outcome.retry_after_seconds;
    return acme_refuse(operation, 429, "rateLimited", "%s", limits_text(operation->arena, limits));
}

enum step_result acme_take_limits(struct operation *operation, bool is_built, struct limits *limits) {
    if (!is_built) {
        error_set(&operation->error, ERROR_INTERNAL, "out of memory");
        return STEP_FAIL;
    }
    if (limits->count == 0)
        return STEP_DONE;
    store_take_limits(operation->worker->store, limits->items, limits->count, &limits->outcome, acme_done,
                      operation);
    return STEP_WAIT;
}
