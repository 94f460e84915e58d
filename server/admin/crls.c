/* Revocation lists: what was published last of each (doc/revocation.md). */
#include "internal.h"
#include "originca/crl_service.h"

#define LISTS_MAX 10000
#define COPY_MS 30000 /* from publishing a list to serving it here: far more than it takes */

struct crls_state {
    struct admin_call call;
    struct store_crl_list list;
};

static enum step_result load(struct operation *operation) {
    struct crls_state *state = operation->state;
    store_list_crls(operation->worker->store, operation->arena, 0, LISTS_MAX, &state->list, admin_done,
                    operation);
    return STEP_WAIT;
}

static int by_name(const void *a, const void *b) {
    const struct store_crl *x = a, *y = b;
    int order = strcmp(x->issuer, y->issuer);
    return order != 0 ? order : strcmp(x->url, y->url);
}

static bool is_configured(const struct config *config, const char *issuer) {
    for (size_t i = 0; i < config->issuer_count; i++)
        if (strcmp(config->issuers[i].name, issuer) == 0)
            return true;
    return false;
}

static bool is_stale(const struct worker *worker, const struct store_crl *crl) {
    return crl_keeper_served(worker->crls, crl->issuer, crl->url) < crl->number &&
           (int64_t)crl->number + COPY_MS < clock_wall_ms();
}

/* Its age is since its entries were read, which its number tells. */
static json_t *crl_json(const struct worker *worker, const struct store_crl *crl, time_t now) {
    json_t *json =
        json_pack("{s:s, s:s}", "issuer", crl->issuer, "url", *crl->url == '\0' ? "(complete)" : crl->url);
    if (*crl->problem != '\0')
        json_object_set_new(json, "problem", json_sprintf("%s: %s", crl->problem_host, crl->problem));
    else if (is_stale(worker, crl))
        json_object_set_new(
            json, "problem",
            json_string("this host serves none so new; its log says why (originca_crls_stale)"));
    if (!is_configured(worker->config, crl->issuer))
        json_object_set_new(json, "problem", json_string("the issuer is not in the configuration"));
    if (crl->number == 0) /* not made yet */
        return json;
    time_t made = (time_t)(crl->number / 1000);
    json_object_set_new(json, "number", json_integer((json_int_t)crl->number));
    json_object_set_new(json, "entries", json_integer((json_int_t)crl->entry_count));
    json_object_set_new(json, "unproven", json_integer((json_int_t)crl->unproven));
    if (crl->left_out > 0)
        json_object_set_new(json, "left_out", json_integer((json_int_t)crl->left_out));
    json_object_set_new(json, "bytes", json_integer((json_int_t)crl->bytes));
    json_object_set_new(json, "age_seconds", json_integer(made < now ? (json_int_t)(now - made) : 0));
    admin_set_time(json, "this_update", crl->this_update);
    admin_set_time(json, "next_update", crl->next_update);
    return json;
}

static enum step_result reply_list(struct operation *operation) {
    struct crls_state *state = operation->state;
    json_t *items = json_array();
    time_t now = time(NULL);
    if (state->list.count > 0)
        qsort(state->list.items, state->list.count, sizeof *state->list.items, by_name);
    for (size_t i = 0; i < state->list.count; i++)
        json_array_append_new(items, crl_json(operation->worker, &state->list.items[i], now));
    admin_reply(operation, 200, json_pack("{s:o}", "items", items));
    return STEP_REPLIED;
}

static const struct step list_steps[] = {
    {"require Redis", admin_require_ready}, {"load", load}, {"reply", reply_list}};
static const struct operation_kind list_kind =
    OPERATION_KIND("list CRLs", list_steps, struct crls_state, admin_fail);

void admin_list_crls(struct http_request *request) {
    operation_start(request, &list_kind);
}
