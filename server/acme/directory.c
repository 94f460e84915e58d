/* Directory (RFC 8555 7.1.1) and newNonce (7.2): GET is answered without any store access; POST-as-GET must
 * be offered too (6.3). A nonce made while Redis is away could be refused after its return, because it may be
 * older than Redis's new data, and some clients never send a request again: so newNonce waits for Redis as
 * the request would, and is refused as it would be. */
#include "internal.h"

char *acme_directory_text(struct acme *acme, struct error *error) {
    const struct config *config = acme->worker->config;
    json_t *meta = json_pack("{s:b}", "externalAccountRequired", config->external_account_required);
    json_t *profiles = json_object(), *identities = json_array();
    for (size_t i = 0; i < config->profile_count; i++) {
        const struct config_profile *profile = &config->profiles[i];
        json_object_set_new(profiles, profile->name,
                            json_string(profile->description == NULL ? profile->name : profile->description));
    }
    for (size_t i = 0; i < config->caa_identities.count; i++)
        json_array_append_new(identities, json_string(config->caa_identities.items[i]));
    if (config->terms_of_service != NULL)
        json_object_set_new(meta, "termsOfService", json_string(config->terms_of_service));
    if (config->website != NULL)
        json_object_set_new(meta, "website", json_string(config->website));
    if (json_array_size(identities) > 0)
        json_object_set(meta, "caaIdentities", identities);
    json_decref(identities);
    json_object_set_new(meta, "profiles", profiles);
    static const struct {
        const char *name, *path;
    } resources[] = {{"newNonce", "new-nonce"},   {"newAccount", "new-account"},
                     {"newOrder", "new-order"},   {"revokeCert", "revoke-cert"},
                     {"keyChange", "key-change"}, {"renewalInfo", "renewal-info"}};
    json_t *directory = json_object();
    for (size_t i = 0; i < sizeof resources / sizeof resources[0]; i++)
        json_object_set_new(directory, resources[i].name,
                            json_sprintf("%s/acme/%s", config->base_url, resources[i].path));
    json_object_set_new(directory, "meta", meta);
    json_t *owned = arena_own_json(acme->arena, directory);
    char *text = owned == NULL ? NULL : json_to_text(acme->arena, owned);
    if (text == NULL)
        error_set(error, ERROR_INTERNAL, "out of memory");
    return text;
}

void acme_directory(struct http_request *request) {
    struct acme *acme = request->service_context;
    http_reply_header(request, "Cache-Control", "public, max-age=300");
    http_reply(request, 200, "application/json", acme->directory, strlen(acme->directory));
}

static enum step_result give_nonce(struct operation *operation) {
    acme_reply(operation, operation->request->method == HTTP_METHOD_HEAD ? 200 : 204, NULL, "", 0);
    return STEP_REPLIED;
}

static const struct step new_nonce_steps[] = {
    {"await Redis", operation_await_ready}, {"require readiness", acme_require_ready}, {"reply", give_nonce}};
static const struct operation_kind new_nonce =
    OPERATION_KIND("newNonce", new_nonce_steps, struct acme_post, acme_fail);

void acme_new_nonce(struct http_request *request) {
    operation_start(request, &new_nonce);
}

static enum step_result reply_directory(struct operation *operation) {
    const struct acme *acme = operation->request->service_context;
    acme_reply(operation, 200, "application/json", acme->directory, strlen(acme->directory));
    return STEP_REPLIED;
}

static enum step_result reply_nonce(struct operation *operation) {
    acme_reply(operation, 200, NULL, "", 0);
    return STEP_REPLIED;
}

static const struct step directory_steps[] = {
    ACME_AUTHENTICATE, {"require empty", acme_require_empty}, {"reply", reply_directory}};
static const struct operation_kind directory =
    OPERATION_KIND("directory", directory_steps, struct acme_post, acme_fail);

void acme_post_directory(struct http_request *request) {
    operation_start(request, &directory);
}

static const struct step nonce_steps[] = {
    ACME_AUTHENTICATE, {"require empty", acme_require_empty}, {"reply", reply_nonce}};
static const struct operation_kind nonce =
    OPERATION_KIND("newNonce", nonce_steps, struct acme_post, acme_fail);

void acme_post_new_nonce(struct http_request *request) {
    operation_start(request, &nonce);
}
