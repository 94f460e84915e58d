/* Orders (RFC 8555 7.4): creation with the DNS check that replaces challenges, and reading. */
#include "internal.h"

#include <time.h>

#include "originca/issue.h"
#include "originca/limits.h"
#include "originca/names.h"
#include "originca/recheck.h"
#include "originca/store_bulk.h"
#include "originca/zones.h"

#define SHORTEST_LIFE_S 3600 /* of a certificate; the signer has the same */

struct order_state {
    struct acme_post post;
    struct store_order order;
    const char **names; /* canonical */
    struct store_zone *zones;
    const char *asked_replaces; /* NULL where it replaces none */
    const struct acme_issuer *replaced_issuer;
    struct store_certificate replaced;
    struct store_renewal replacement;
    const char *evidence;
    const char *made_id;      /* of the order that stands for the request: ours, or an earlier one */
    const char *request_hash; /* of an order that replaces a certificate */
    struct limits_order asked;
    struct limits limits;
    const struct dnscheck_result *result;
    struct store_order earlier;
    bool was_refused, is_given_again;
};

/* --- reading the request --- */

static bool read_identifier(struct operation *operation, const json_t *json,
                            struct store_authorization *authorization) {
    const char *type = json_string_value(json_object_get(json, "type")),
               *value = json_string_value(json_object_get(json, "value"));
    char canonical[NAME_MAX_BYTES + 1];
    struct error error;
    if (type == NULL || value == NULL)
        return error_set(&operation->error, ERROR_INVALID,
                         "each identifier must have \"type\" and \"value\", both strings");
    authorization->identifier = arena_strdup(operation->arena, value);
    if (authorization->identifier == NULL)
        return error_set(&operation->error, ERROR_INTERNAL, "out of memory");
    if (strcmp(type, "dns") != 0) {
        error_set(&error, ERROR_INVALID, "identifiers of type \"%.40s\" are not supported; only dns is",
                  type);
        acme_add_subproblem_for(operation, "unsupportedIdentifier", type, value, error.message);
    } else if (!name_check(value, canonical, &error)) {
        acme_add_subproblem(operation, error.code == ERROR_REFUSED ? "rejectedIdentifier" : "malformed",
                            value, error.message);
    } else if (*acme_post_of(operation)->account.customer == '\0' &&
               strlen(name_base(canonical)) > NAME_MAX_CHALLENGE_BASE_BYTES) {
        error_set(&error, ERROR_REFUSED,
                  "the name has %zu characters; at most %zu are allowed, for \"" NAME_CHALLENGE_PREFIX
                  "\" before it must fit as well",
                  strlen(name_base(canonical)), NAME_MAX_CHALLENGE_BASE_BYTES);
        acme_add_subproblem(operation, "rejectedIdentifier", value, error.message);
    } else {
        authorization->name = arena_strdup(operation->arena, canonical);
    }
    return true;
}

static enum step_result refuse_identifiers(struct operation *operation) {
    const json_t *first = json_array_get(acme_post_of(operation)->subproblems, 0);
    if (first == NULL)
        return acme_refuse(operation, 503, "serverInternal", "out of memory");
    const char *type = strrchr(json_string_value(json_object_get(first, "type")), ':') + 1;
    const char *detail = json_string_value(json_object_get(first, "detail"));
    size_t count = json_array_size(acme_post_of(operation)->subproblems);
    if (count == 1)
        return acme_refuse(operation, 400, type, "%s", detail);
    return acme_refuse(operation, 400, type, "%zu identifiers are refused, the first: %s", count, detail);
}

static enum step_result read_identifiers(struct operation *operation) {
    struct order_state *state = operation->state;
    struct store_order *order = &state->order;
    const json_t *identifiers = json_object_get(state->post.payload, "identifiers"), *json;
    size_t i, max = operation->worker->config->max_names, count = json_array_size(identifiers);
    if (!json_is_array(identifiers) || count == 0)
        return acme_refuse(operation, 400, "malformed",
                           "\"identifiers\" must be an array with at least one identifier");
    if (count > max)
        return acme_refuse(operation, 400, "malformed",
                           "%zu identifiers are too many; at most %zu are allowed in an order", count, max);
    order->authorizations = arena_alloc(operation->arena, count * sizeof *order->authorizations);
    state->names = arena_alloc(operation->arena, count * sizeof *state->names);
    state->zones = arena_alloc(operation->arena, count * sizeof *state->zones);
    if (order->authorizations == NULL || state->names == NULL || state->zones == NULL)
        return acme_refuse(operation, 503, "serverInternal", "out of memory");
    json_array_foreach(identifiers, i, json) {
        if (!read_identifier(operation, json, &order->authorizations[i]))
            return STEP_FAIL;
    }
    order->authorization_count = count;
    if (state->post.subproblems != NULL)
        return refuse_identifiers(operation);
    for (i = 0; i < count; i++) {
        state->names[i] = order->authorizations[i].name;
        for (size_t k = 0; k < i; k++)
            if (strcmp(state->names[i], state->names[k]) == 0)
                return acme_refuse(operation, 400, "malformed", "The identifier %s is there twice",
                                   state->names[i]);
    }
    return STEP_DONE;
}

static bool read_time(struct operation *operation, const char *name, time_t *out) {
    const char *text;
    *out = 0;
    if (!json_get_optional_string(acme_post_of(operation)->payload, name, &text, &operation->error))
        return false;
    if (text == NULL || (time_parse(text, out) && *out > 0)) /* 0 stands for "not asked" */
        return true;
    return error_set(&operation->error, ERROR_INVALID, "\"%s\" is no RFC 3339 time after 1970", name);
}

/* Times that no issuer outlives are refused here: at finalize they would cost the client its order. */
static enum step_result check_issuer_end(struct operation *operation, time_t start) {
    const struct order_state *state = operation->state;
    const struct config *config = operation->worker->config;
    const struct acme_issuer *ecc = acme_find_issuer(state->post.acme, config->acme_ecc_issuer),
                             *rsa = acme_find_issuer(state->post.acme, config->acme_rsa_issuer);
    /* Without an end of its own a certificate ends with its issuer, and lives an hour at least. */
    time_t end = state->order.not_after != 0 ? state->order.not_after : start + SHORTEST_LIFE_S;
    time_t now = time(NULL);
    if (!acme_issuer_is_in_force(ecc, now) && !acme_issuer_is_in_force(rsa, now))
        return acme_refuse(operation, 503, "serverInternal",
                           "No certificate can be issued at the moment; try again later");
    bool has_times = state->order.not_before != 0 || state->order.not_after != 0;
    if (has_times && (ecc == NULL || ecc->not_after < end) && (rsa == NULL || rsa->not_after < end))
        return acme_refuse(operation, 400, "malformed",
                           "The certificate would outlive its issuer; ask for an earlier end");
    return STEP_DONE;
}

static enum step_result read_profile(struct operation *operation) {
    struct order_state *state = operation->state;
    struct store_order *order = &state->order;
    const struct config *config = operation->worker->config;
    const char *name;
    time_t now = time(NULL);
    if (!json_get_optional_string(state->post.payload, "profile", &name, &operation->error) ||
        !read_time(operation, "notBefore", &order->not_before) ||
        !read_time(operation, "notAfter", &order->not_after))
        return STEP_FAIL;
    const struct config_profile *profile =
        config_find_profile(config, name == NULL ? config->default_profile : name);
    if (profile == NULL)
        return acme_refuse(operation, 400, "invalidProfile",
                           "There is no profile \"%.60s\"; the directory lists them in meta.profiles",
                           name == NULL ? config->default_profile : name);
    order->profile = profile->name;
    time_t start = order->not_before != 0 ? order->not_before : now,
           longest = (time_t)profile->max_days * 86400,
           ahead = (time_t)config->not_before_max_ahead_hours * 3600;
    if (order->not_before != 0 && (order->not_before < now - 86400 || order->not_before > now + ahead))
        return acme_refuse(operation, 400, "malformed",
                           "\"notBefore\" must lie between a day ago and %u hours ahead",
                           config->not_before_max_ahead_hours);
    if (order->not_after != 0 &&
        (order->not_after < start + SHORTEST_LIFE_S || order->not_after > start + longest))
        return acme_refuse(operation, 400, "malformed",
                           "\"notAfter\" must lie between one hour and %u days after the start",
                           profile->max_days);
    return check_issuer_end(operation, start);
}

static enum step_result read_replaces(struct operation *operation) {
    struct order_state *state = operation->state;
    const char *id;
    if (!json_get_optional_string(state->post.payload, "replaces", &id, &operation->error))
        return STEP_FAIL;
    if (id != NULL && (state->asked_replaces = arena_strdup(operation->arena, id)) == NULL)
        return acme_refuse(operation, 503, "serverInternal", "out of memory");
    return STEP_DONE;
}

static enum step_result read_order(struct operation *operation) {
    struct order_state *state = operation->state;
    struct store_order *order = &state->order;
    if (state->post.payload == NULL)
        return acme_refuse(operation, 400, "malformed", "newOrder needs a payload");
    order->id = random_id(operation->arena);
    order->account = state->post.account.id;
    order->customer = state->post.account.customer;
    order->origin = "acme";
    order->replaces = order->replaces_serial = order->error = order->serial = order->attempt =
        order->csr_sha256 = "";
    order->created_at = time(NULL);
    order->expires_at = order->created_at + (time_t)operation->worker->config->order_lifetime_seconds;
    enum step_result result = read_identifiers(operation);
    if (result == STEP_DONE)
        result = read_profile(operation);
    if (result == STEP_DONE)
        result = read_replaces(operation);
    return result == STEP_DONE ? acme_forget_request(operation) : result;
}

/* --- the certificate it replaces (RFC 9773 5) --- */

static void note_replaced(void *context, const struct error *error) {
    struct operation *operation = context;
    if (error != NULL && error->code == ERROR_NOT_FOUND) {
        acme_refuse(operation, 400, "malformed", "\"replaces\" names no certificate of this server");
        operation_fail(operation, NULL);
        return;
    }
    acme_done(context, error);
}

static enum step_result load_replaced(struct operation *operation) {
    struct order_state *state = operation->state;
    const char *id = state->asked_replaces;
    uint8_t serial[SERIAL_BYTES];
    char hex[SERIAL_HEX_MAX];
    if (id == NULL)
        return STEP_DONE;
    if (!acme_parse_certificate_id(state->post.acme, operation->arena, id, serial, &state->replaced_issuer,
                                   &operation->error))
        return acme_refuse(operation, 400, "malformed", "\"replaces\": %s", operation->error.message);
    hex_encode(serial, sizeof serial, hex);
    state->order.replaces = id;
    state->order.replaces_serial = arena_strdup(operation->arena, hex);
    store_load_renewal(operation->worker->store, operation->arena, hex, &state->replaced, &state->replacement,
                       note_replaced, operation);
    return STEP_WAIT;
}

static bool shares_name(const struct order_state *state) {
    for (size_t i = 0; i < state->order.authorization_count; i++)
        for (size_t k = 0; k < state->replaced.name_count; k++)
            if (strcmp(state->names[i], state->replaced.names[k]) == 0)
                return true;
    return false;
}

static enum step_result check_replaced(struct operation *operation) {
    struct order_state *state = operation->state;
    if (*state->order.replaces == '\0')
        return STEP_DONE;
    if (strcmp(state->replaced.issuer, state->replaced_issuer->name) != 0)
        return acme_refuse(operation, 400, "malformed", "\"replaces\" names no certificate of this server");
    if (strcmp(state->replaced.account, state->post.account.id) != 0)
        return acme_refuse(operation, 403, "unauthorized",
                           "\"replaces\" names a certificate of another account");
    if (!shares_name(state))
        return acme_refuse(operation, 400, "malformed",
                           "\"replaces\" names a certificate that has no name in common with the order");
    if (*state->replaced.replaced_by != '\0')
        return acme_refuse(operation, 409, "alreadyReplaced",
                           "The certificate was replaced by order %s already", state->replaced.replaced_by);
    return STEP_DONE;
}

/* --- who may have these names --- */

static enum step_result find_zones(struct operation *operation) {
    struct order_state *state = operation->state;
    const char *customer = *state->order.customer == '\0' ? NULL : state->order.customer;
    state->order.issuers = issue_acme_issuers(operation->worker->config, operation->arena);
    if (state->order.issuers == NULL)
        return acme_refuse(operation, 503, "serverInternal", "out of memory");
    store_zones_of_names(operation->worker->store, operation->arena, customer, state->order.issuers,
                         state->names, state->order.authorization_count, state->zones, acme_done, operation);
    return STEP_WAIT;
}

static void keep_refusal(struct operation *operation, unsigned status, const char *type, const char *detail) {
    struct order_state *state = operation->state;
    const char *text = acme_problem_text(operation, type, status, detail, state->post.subproblems);
    acme_refuse(operation, status, type, "%s", detail);
    state->order.status = ORDER_REFUSED;
    state->order.error = text == NULL ? "" : text;
    state->was_refused = true;
}

static enum step_result match_zones(struct operation *operation) {
    struct order_state *state = operation->state;
    bool has_customer = *state->order.customer != '\0';
    for (size_t i = 0; i < state->order.authorization_count; i++) {
        const struct store_zone *zone = &state->zones[i];
        state->order.authorizations[i].zone = zone->id == NULL ? "" : zone->id;
        if (zone->id == NULL)
            acme_add_subproblem(
                operation, "rejectedIdentifier", state->order.authorizations[i].identifier,
                has_customer ? "This name is on none of your zones; add the zone at your provider first"
                             : "This name is on no zone of this provider");
    }
    if (state->post.subproblems == NULL)
        return STEP_DONE;
    const json_t *first = json_array_get(state->post.subproblems, 0);
    const char *name = json_string_value(json_object_get(json_object_get(first, "identifier"), "value"));
    keep_refusal(
        operation, 403, "rejectedIdentifier",
        arena_printf(operation->arena, "%s: %s", name, json_string_value(json_object_get(first, "detail"))));
    return STEP_DONE;
}

/* --- an earlier request of the same content --- */

/* What makes two requests the same one. */
static const char *hash_request(struct operation *operation) {
    struct order_state *state = operation->state;
    struct text text;
    uint8_t digest[SHA256_BYTES];
    char *hash = arena_alloc(operation->arena, 2 * sizeof digest + 1);
    text_init(&text, operation->arena);
    text_printf(&text, "newOrder\n%s\n%s\n%s\n%lld\n%lld\n", state->order.account, state->order.replaces,
                state->order.profile, (long long)state->order.not_before, (long long)state->order.not_after);
    for (size_t i = 0; i < state->order.authorization_count; i++)
        text_printf(&text, "%s\n", state->names[i]);
    if (hash == NULL || text.failed)
        return NULL;
    sha256(text.data, text.length, digest);
    hex_encode(digest, sizeof digest, hash);
    return hash;
}

static void note_earlier(void *context, const struct error *error) {
    struct order_state *state = ((struct operation *)context)->state;
    state->is_given_again = error == NULL;
    acme_done(context, error != NULL && error->code == ERROR_NOT_FOUND ? NULL : error);
}

/* A certificate is replaced once: who has lost his order, or the reply that named it, is given it again
 * instead of alreadyReplaced for as long as it is open. That asks DNS nothing, and takes from no limit. */
static enum step_result find_earlier(struct operation *operation) {
    struct order_state *state = operation->state;
    if (state->was_refused || *state->order.replaces == '\0')
        return STEP_DONE;
    if ((state->request_hash = hash_request(operation)) == NULL) {
        error_set(&operation->error, ERROR_UNAVAILABLE, "out of memory");
        return STEP_FAIL;
    }
    store_find_retry(operation->worker->store, operation->arena, state->request_hash, &state->earlier,
                     note_earlier, operation);
    return STEP_WAIT;
}

static enum step_result reply_new_order(struct operation *operation);

static enum step_result give_again(struct operation *operation) {
    struct order_state *state = operation->state;
    if (!state->is_given_again)
        return STEP_DONE;
    state->order = state->earlier;
    return reply_new_order(operation);
}

/* --- limits and the check --- */

/* A renewal inside its window (RFC 9773) is work that we asked for. */
static bool is_due_renewal(const struct order_state *state) {
    time_t start, end;
    if (*state->order.replaces == '\0')
        return false;
    acme_renewal_window(state->order.replaces_serial, &state->replaced, &state->replacement, &start, &end);
    return state->replaced.status == CERTIFICATE_REVOKED || time(NULL) >= start;
}

/* What is refused already is an order all the same, as it is kept; nothing of its names is asked. */
static enum step_result take_limits(struct operation *operation) {
    struct order_state *state = operation->state;
    state->asked =
        (struct limits_order){.names = state->names,
                              .zones = state->zones,
                              .count = state->was_refused ? 0 : state->order.authorization_count,
                              .is_checked = !state->was_refused && *state->order.customer != '\0',
                              .due = !state->was_refused && is_due_renewal(state) ? &state->replaced : NULL};
    bool is_built =
        acme_set_asker(operation, &state->asked, state->order.customer) &&
        limits_for_order(operation->arena, operation->worker->config, &state->asked, &state->limits);
    return acme_take_limits(operation, is_built, &state->limits);
}

static enum step_result judge_limits(struct operation *operation) {
    struct order_state *state = operation->state;
    return acme_judge_limits(operation, &state->limits);
}

/* Names whose check failed wait before the next one: a check costs other people's servers something. */
static enum step_result note_failures(struct operation *operation) {
    struct order_state *state = operation->state;
    return acme_note_failures(operation, &state->limits, &state->asked, state->result);
}

static void describe_findings(struct operation *operation, const struct dnscheck_result *result) {
    struct order_state *state = operation->state;
    const struct dnscheck_finding *worst = NULL;
    for (size_t i = 0; i < result->name_count; i++) {
        const struct dnscheck_finding *finding = &result->names[i];
        if (finding->verdict == DNSCHECK_OK)
            continue;
        acme_add_subproblem(operation, finding->verdict == DNSCHECK_REFUSED ? "unauthorized" : "dns",
                            state->order.authorizations[i].identifier, finding->text);
        if (worst == NULL || (worst->verdict != DNSCHECK_REFUSED && finding->verdict == DNSCHECK_REFUSED))
            worst = finding;
    }
    const char *detail = worst == NULL ? "DNS does not show that these names are yours" : worst->text;
    if (result->verdict == DNSCHECK_REFUSED) {
        keep_refusal(operation, 403, "unauthorized", detail);
    } else {
        keep_refusal(operation, 400, "dns", detail);
        state->post.retry_after = DNS_RETRY_SECONDS;
    }
}

static void note_checked(void *context, const struct dnscheck_result *result) {
    struct operation *operation = context;
    struct order_state *state = operation->state;
    time_t expires = result->checked_at + (time_t)operation->worker->config->authorization_lifetime_seconds;
    state->evidence = json_to_text(operation->arena, result->evidence);
    state->order.checked_at = result->checked_at;
    state->result = result;
    if (result->verdict != DNSCHECK_OK || result->name_count != state->order.authorization_count) {
        describe_findings(operation, result);
    } else {
        state->order.status = ORDER_READY;
        for (size_t i = 0; i < state->order.authorization_count; i++) {
            state->order.authorizations[i].status = AUTHORIZATION_VALID;
            state->order.authorizations[i].validated_at = result->checked_at;
            state->order.authorizations[i].expires_at = expires;
        }
    }
    operation_resume(operation);
}

static bool fill_authorizations(struct operation *operation) {
    struct order_state *state = operation->state;
    for (size_t i = 0; i < state->order.authorization_count; i++) {
        struct store_authorization *authorization = &state->order.authorizations[i];
        uint8_t token[32];
        random_bytes(token, sizeof token);
        authorization->token = base64url_encode(operation->arena, token, sizeof token);
        authorization->error = "";
        authorization->status = AUTHORIZATION_PENDING;
        authorization->expires_at = state->order.expires_at;
        if (authorization->token == NULL)
            return error_set(&operation->error, ERROR_INTERNAL, "out of memory");
    }
    return true;
}

static enum step_result check_dns(struct operation *operation) {
    struct order_state *state = operation->state;
    struct dnscheck_request request;
    if (!fill_authorizations(operation))
        return STEP_FAIL;
    if (state->was_refused)
        return STEP_DONE;
    state->order.status = ORDER_PENDING;
    if (*state->order.customer == '\0')
        return STEP_DONE; /* dns-01 will be asked for */
    if (!zones_build_check(operation->arena, state->zones, state->names, NULL,
                           state->order.authorization_count, &request, &operation->error))
        return STEP_FAIL;
    acme_describe_check(operation, &request);
    return recheck_start_step(operation, &request, note_checked);
}

static void note_created(void *context, const struct error *error) {
    struct operation *operation = context;
    struct order_state *state = operation->state;
    if (state->was_refused) {
        /* Keeping the attempt is for admins; that it failed must not change the answer. */
        if (error != NULL)
            log_event(LOG_LEVEL_WARNING, "a refused attempt was not kept", "request", operation->request->id,
                      "reason", error->message, NULL);
        operation_resume(operation);
        return;
    }
    if (error != NULL && error->code == ERROR_CONFLICT && *state->order.replaces != '\0') {
        acme_refuse(operation, 409, "alreadyReplaced",
                    "The certificate is replaced by another order already");
        operation_fail(operation, NULL);
        return;
    }
    if (error != NULL &&
        (error->code == ERROR_CONFLICT || error->code == ERROR_REFUSED || error->code == ERROR_NOT_FOUND)) {
        acme_refuse(operation, 403, "unauthorized", "%s", error->message);
        operation_fail(operation, NULL);
        return;
    }
    acme_done(context, error);
}

/* The same request may come twice at once: both get one order. */
static enum step_result create_order(struct operation *operation) {
    struct order_state *state = operation->state;
    const char *evidence = state->evidence == NULL ? "" : state->evidence;
    state->made_id = state->order.id;
    if (state->was_refused || *state->order.replaces == '\0')
        store_create_order(operation->worker->store, &state->order, evidence, note_created, operation);
    else
        store_create_order_once(operation->worker->store, operation->arena, &state->order, evidence,
                                state->request_hash, operation->worker->config->order_lifetime_seconds,
                                &state->made_id, note_created, operation);
    return STEP_WAIT;
}

static enum step_result load_made_order(struct operation *operation) {
    struct order_state *state = operation->state;
    if (state->was_refused || strcmp(state->made_id, state->order.id) == 0)
        return STEP_DONE;
    state->is_given_again = true;
    store_load_order(operation->worker->store, operation->arena, state->made_id, &state->order, acme_done,
                     operation);
    return STEP_WAIT;
}

static enum step_result reply_new_order(struct operation *operation) {
    struct order_state *state = operation->state;
    if (state->was_refused)
        return STEP_FAIL;
    log_event(LOG_LEVEL_INFO, state->is_given_again ? "order given again" : "order created", "request",
              operation->request->id, "order", state->order.id, "account", state->order.account, "customer",
              state->order.customer, "name", state->names[0], "status",
              store_order_status_name(state->order.status), NULL);
    acme_reply_order(operation, 201, &state->order);
    return STEP_REPLIED;
}

static const struct step new_order_steps[] = {
    ACME_AUTHENTICATE,
    {"read order", read_order},
    {"load replaced certificate", load_replaced},
    {"check replaced certificate", check_replaced},
    {"find zones", find_zones},
    {"match zones", match_zones},
    {"find an earlier one", find_earlier},
    {"give it again", give_again},
    {"take limits", take_limits},
    {"judge limits", judge_limits},
    {"check DNS", check_dns},
    {"note failures", note_failures},
    {"create order", create_order},
    {"load made order", load_made_order},
    {"reply", reply_new_order},
};
static const struct operation_kind new_order =
    OPERATION_KIND("newOrder", new_order_steps, struct order_state, acme_fail);

void acme_new_order(struct http_request *request) {
    operation_start(request, &new_order);
}

/* --- reading an order --- */

static enum step_result load_order(struct operation *operation) {
    struct order_state *state = operation->state;
    store_load_order(operation->worker->store, operation->arena, operation->request->params[0], &state->order,
                     acme_done, operation);
    return STEP_WAIT;
}

static enum step_result reply_order(struct operation *operation) {
    struct order_state *state = operation->state;
    if (state->order.status == ORDER_REFUSED || strcmp(state->order.account, state->post.account.id) != 0)
        return acme_refuse_absent(operation);
    acme_reply_order(operation, 200, &state->order);
    return STEP_REPLIED;
}

static const struct step order_steps[] = {ACME_AUTHENTICATE,
                                          {"require empty", acme_require_empty},
                                          {"load order", load_order},
                                          {"reply", reply_order}};
static const struct operation_kind order =
    OPERATION_KIND("order", order_steps, struct order_state, acme_fail);

void acme_order(struct http_request *request) {
    operation_start(request, &order);
}
