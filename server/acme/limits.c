/* Rate limits (RFC 8555 6.6): rateLimited with Retry-After and the limit's name. */
#include "originca/limits.h"
#include "internal.h"

/* Of the three cases of RFC 8555 6.6 this is the refusal: nothing was taken. */
enum step_result acme_judge_limits(struct operation *operation, const struct limits *limits) {
    if (limits->outcome.exceeded == 0)
        return STEP_DONE;
    acme_post_of(operation)->retry_after = limits->outcome.retry_after_seconds;
    acme_post_of(operation)->subproblems = NULL; /* of an order that is refused for another reason as well */
    return acme_refuse(operation, 429, "rateLimited", "%s", limits_text(operation->arena, limits));
}

enum step_result acme_take_limits(struct operation *operation, bool is_built, struct limits *limits) {
    if (!is_built) {
        error_set(&operation->error, ERROR_INTERNAL, "out of memory");
        return STEP_FAIL;
    }
    return limits_take(operation->worker, limits, acme_done, operation) ? STEP_WAIT : STEP_DONE;
}

/* Accounts cost nothing: without a customer behind it a check counts for the address that asked. */
bool acme_set_asker(struct operation *operation, struct limits_order *order, const char *customer) {
    const struct acme_post *post = acme_post_of(operation);
    order->orderer = order->checker = customer;
    if (*customer != '\0')
        return true;
    order->orderer = post->account.id;
    order->checker = limits_address(operation->arena, &operation->request->peer);
    if (order->checker != NULL && *order->checker == '\0')
        order->checker = post->account.id;
    return order->checker != NULL;
}

enum step_result acme_note_failures(struct operation *operation, const struct limits *taken,
                                    const struct limits_order *order, const struct dnscheck_result *result) {
    if (result == NULL || result->verdict == DNSCHECK_OK)
        return STEP_DONE;
    return limits_note_failures(operation->worker, operation->arena, taken, order, result, acme_done,
                                operation)
               ? STEP_WAIT
               : STEP_DONE;
}
