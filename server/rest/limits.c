/* Rate limits (doc/limits.md): each key's requests, each customer's orders and DNS checks, the pause of names
 * whose check failed. They are shared with ACME. */
#include "internal.h"

static enum step_result take(struct operation *operation, bool is_built) {
    struct rest_call *call = rest_call_of(operation);
    if (!is_built) {
        error_set(&operation->error, ERROR_UNAVAILABLE, "API errors encountered: out of memory");
        return STEP_FAIL;
    }
    return limits_take(operation->worker, &call->limits, rest_done, operation) ? STEP_WAIT : STEP_DONE;
}

enum step_result rest_take_key_limit(struct operation *operation) {
    struct rest_call *call = rest_call_of(operation);
    return take(operation,
                limits_for_key(operation->arena, operation->worker->config, call->key.id, &call->limits));
}

enum step_result rest_take_order_limits(struct operation *operation, const struct limits_order *order,
                                        bool is_new) {
    struct rest_call *call = rest_call_of(operation);
    const struct config *config = operation->worker->config;
    return take(operation, is_new ? limits_for_order(operation->arena, config, order, &call->limits)
                                  : limits_for_check(operation->arena, config, order, &call->limits));
}

enum step_result rest_take_revocation_limits(struct operation *operation,
                                             const struct store_certificate *certificate) {
    struct rest_call *call = rest_call_of(operation);
    return take(operation, limits_for_revocation(operation->arena, operation->worker->config, certificate,
                                                 &call->limits));
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

enum step_result rest_note_failures(struct operation *operation, const struct limits_order *order,
                                    const struct dnscheck_result *result) {
    struct rest_call *call = rest_call_of(operation);
    if (result == NULL || result->verdict == DNSCHECK_OK)
        return STEP_DONE;
    return limits_note_failures(operation->worker, operation->arena, &call->limits, order, result, rest_done,
                                operation)
               ? STEP_WAIT
               : STEP_DONE;
}
