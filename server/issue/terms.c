/* What an order asks of its certificate beside names and key: who issues it, when it begins and ends. The
 * same for its first attempt and for one that the reconciler makes. */
#include <string.h>
#include <time.h>

#include "originca/issue.h"
#include "originca/json.h"

static bool has_issuer(const struct config *config, const char *name) {
    for (size_t i = 0; i < config->issuer_count; i++)
        if (strcmp(config->issuers[i].name, name) == 0)
            return true;
    return false;
}

const char *issue_acme_issuer(const struct config *config, bool is_rsa) {
    return is_rsa ? config->acme_rsa_issuer : config->acme_ecc_issuer;
}

const char *issue_acme_issuers(const struct config *config, struct arena *arena) {
    const char *ecc = config->acme_ecc_issuer, *rsa = config->acme_rsa_issuer;
    return strcmp(ecc, rsa) == 0 ? ecc : arena_printf(arena, "%s %s", ecc, rsa);
}

const char *issue_rest_issuer(const struct config *config, const char *request_type) {
    bool is_rsa = strcmp(request_type, "origin-rsa") == 0;
    const char *wanted = is_rsa ? config->rest_rsa_issuer : config->rest_ecc_issuer;
    return has_issuer(config, wanted) ? wanted : issue_acme_issuer(config, is_rsa);
}

/* The order may fix start and end; else the profile's default counts from now, or from the start that was
 * asked for, and ends with the issuer at the latest. */
static void set_acme_terms(struct issue *issue, bool is_rsa) {
    const struct config *config = issue->worker->config;
    const struct store_order *order = issue->order;
    const struct config_profile *profile = config_find_profile(config, order->profile);
    issue->issuer = issue_acme_issuer(config, is_rsa);
    if (profile == NULL)
        return; /* issue_sign says so */
    time_t start = order->not_before != 0 ? order->not_before : time(NULL) - (time_t)config->backdate_seconds;
    /* Back-dating must not push the longest lifetime over the profile's bound. */
    time_t longest = (time_t)profile->max_days * 86400;
    if (order->not_before == 0 && order->not_after - start > longest)
        start = order->not_after - longest;
    bool has_end = order->not_after != 0;
    /* Where the end is given the start is fixed as well, so that it is exact. */
    issue->not_before = has_end ? start : order->not_before;
    issue->validity_seconds = has_end                  ? (uint32_t)(order->not_after - start)
                              : order->not_before != 0 ? SIGNER_DEFAULT_VALIDITY
                                                       : profile->default_days * 86400u;
}

static bool set_rest_terms(struct issue *issue, struct error *error) {
    const struct config *config = issue->worker->config;
    const char *text = issue->order->request == NULL ? "" : issue->order->request;
    const json_t *request = json_parse(issue->arena, text, strlen(text), error);
    const char *type = json_string_value(json_object_get(request, "request_type"));
    json_int_t days = json_integer_value(json_object_get(request, "requested_validity"));
    if (type == NULL || days <= 0 || days > UINT32_MAX / 86400)
        return error_set(error, ERROR_INTERNAL, "the order does not hold what was asked for");
    issue->issuer = issue_rest_issuer(config, type);
    issue->validity_seconds = (uint32_t)days * 86400u;
    return true;
}

bool issue_set_terms(struct issue *issue, bool is_rsa, struct error *error) {
    if (strcmp(issue->order->origin, "rest") == 0)
        return set_rest_terms(issue, error);
    set_acme_terms(issue, is_rsa);
    return true;
}
