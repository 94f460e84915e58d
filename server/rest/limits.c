/* Rate limits (doc/limits.md): each key's requests, each customer's orders, the pause of names whose DNS
 * check failed. They are shared with ACME. */
#include "internal.h"

static enum step_result take(struct operation *operation, bool is_built) {
    struct rest_call *call = rest_call_of(operation);
    if (!is_built) {
        error_set(&operation->error, ERROR_UNAVAILABLE, "API errors encountered: out of memory");
        return STEP_FAIL;
    }
    if (call->limits.count == 0)
        return STEP_DONE;
    store_take_limits(operation->worker->store, call->limits.items, call->limits.count, &call->limits.outcome,
                      rest_done, operation);
    return STEP_WAIT;
}

enum step_result rest_take_key_limit(struct operation *operation) {
    struct rest_call *call = rest_call_of(operation);
    return take(operation,
                limits_for_key(operation->arena, operation->worker->config, call->key.id, &call->limits));
}

enum step_result rest_take_order_limits(struct operation *operation, const char *const *names,
                                        const struct store_zone *zones, size_t count) {
    struct rest_call *call = rest_call_of(operation);
    call->limits = (struct limits){.items = NULL};
    return take(operation, limits_for_order(operation->arena, operation->worker->config, call->key.customer,
                                            names, zones, count, &call->limits));
}

enum step_result rest_judge_limits(struct operation *operation) {
    struct rest_call *call = rest_call_of(operation);
    if (call->limits.outcome.exceeded == 0)
        return STEP_DONE;
    call->retry_after = call->limits.outcome.retry_after_seconds;
    return rest_refuse(operation, 429, REST_RATE_LIMITED,
                       "Please wait and consider throttling your request speed: %s",
                       limits_text(operation->arena, &call->limits));
}
