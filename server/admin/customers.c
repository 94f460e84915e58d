/* Customers. */
#include "internal.h"

#include "originca/customer_name.h"

struct customer_state {
    struct admin_call call;
    struct store_customer created;
    struct store_customer_list list;
    struct rights rights;
};

static json_t *customer_json(const struct store_customer *customer) {
    json_t *json = json_pack("{s:s, s:s}", "id", customer->id, "name", customer->name);
    admin_set_time(json, "created_at", customer->created_at);
    admin_set_time(json, "suspended_at", customer->suspended_at);
    return json;
}

/* --- customers --- */

static enum step_result create(struct operation *operation) {
    struct customer_state *state = operation->state;
    const char *name = json_get_string(state->call.body, "name", &operation->error);
    if (name == NULL || !customer_name_check(name, &operation->error))
        return STEP_FAIL;
    name = arena_strdup(operation->arena, name);
    operation_forget_request(operation);
    if (name == NULL)
        return admin_refuse(operation, ERROR_INTERNAL, "out of memory");
    store_create_customer(operation->worker->store, operation->arena, name, &state->created, admin_done,
                          operation);
    return STEP_WAIT;
}

static enum step_result reply_created(struct operation *operation) {
    struct customer_state *state = operation->state;
    admin_reply(operation, 201, customer_json(&state->created));
    return STEP_REPLIED;
}

static const struct step create_steps[] = {
    {"read body", admin_read_body}, {"create", create}, {"reply", reply_created}};
static const struct operation_kind create_customer =
    OPERATION_KIND("create customer", create_steps, struct customer_state, admin_fail);

void admin_create_customer(struct http_request *request) {
    operation_start(request, &create_customer);
}

static enum step_result list(struct operation *operation) {
    struct customer_state *state = operation->state;
    uint32_t limit;
    if (!admin_read_limit(operation, &limit))
        return STEP_FAIL;
    store_list_customers(operation->worker->store, operation->arena,
                         http_query_parameter(operation->request, "cursor"), limit, &state->list, admin_done,
                         operation);
    return STEP_WAIT;
}

static enum step_result reply_list(struct operation *operation) {
    struct customer_state *state = operation->state;
    json_t *items = json_array(), *json;
    for (size_t i = 0; i < state->list.count; i++)
        json_array_append_new(items, customer_json(&state->list.items[i]));
    json = json_pack("{s:o}", "items", items);
    admin_set_cursor(json, state->list.next_cursor);
    admin_reply(operation, 200, json);
    return STEP_REPLIED;
}

static const struct step list_steps[] = {
    {"require Redis", admin_require_ready}, {"list", list}, {"reply", reply_list}};
static const struct operation_kind list_customers =
    OPERATION_KIND("list customers", list_steps, struct customer_state, admin_fail);

void admin_list_customers(struct http_request *request) {
    operation_start(request, &list_customers);
}

static enum step_result reply_shown(struct operation *operation) {
    struct customer_state *state = operation->state;
    admin_reply(operation, 200, customer_json(&state->call.customer));
    return STEP_REPLIED;
}

static const struct step show_steps[] = {{"require Redis", admin_require_ready},
                                         {"find customer", admin_find_path_customer},
                                         {"reply", reply_shown}};
static const struct operation_kind show_customer =
    OPERATION_KIND("show customer", show_steps, struct customer_state, admin_fail);

void admin_show_customer(struct http_request *request) {
    operation_start(request, &show_customer);
}

/* --- the stop switch --- */

static bool is_to_suspend(const struct operation *operation) {
    return ((const struct admin_route *)operation->request->route->data)->is_stop;
}

static enum step_result record_suspension(struct operation *operation) {
    struct customer_state *state = operation->state;
    const struct store_customer *customer = &state->call.customer;
    bool is_so = (customer->suspended_at != 0) == is_to_suspend(operation);
    if (is_so && admin_may_trust_redis(operation))
        return STEP_DONE;
    struct signer_change *change =
        rights_add(&state->rights, is_to_suspend(operation) ? "customer-suspended" : "customer-resumed",
                   customer->id, admin_by(operation));
    rights_set_after(change, customer->right_at_ms);
    return admin_record_rights(operation, &state->rights);
}

static enum step_result suspend(struct operation *operation) {
    struct customer_state *state = operation->state;
    if (state->rights.count == 0) /* it is so already */
        return STEP_DONE;
    store_set_customer_suspended(operation->worker->store, operation->arena, state->call.customer.id,
                                 is_to_suspend(operation), &state->call.customer, state->rights.given,
                                 admin_done_recorded, operation);
    return STEP_WAIT;
}

static const struct step suspend_steps[] = {{"require Redis", admin_require_ready},
                                            {"find customer", admin_find_path_customer},
                                            {"record suspension", record_suspension},
                                            {"suspend", suspend},
                                            {"reply", reply_shown}};
static const struct operation_kind suspend_customer =
    OPERATION_KIND("suspend customer", suspend_steps, struct customer_state, admin_fail);

void admin_suspend_customer(struct http_request *request) {
    operation_start(request, &suspend_customer);
}
