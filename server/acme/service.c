/* The ACME service: routes, URLs, what every reply carries. */
#include "internal.h"

#include <stdarg.h>
#include <stdlib.h>

#include <gnutls/x509.h>

#include "originca/dnscheck.h"
#include "originca/secrets.h"

static const struct http_route routes[] = {
    {HTTP_METHOD_GET, "/acme/directory", acme_directory, NULL},
    {HTTP_METHOD_GET, "/acme/new-nonce", acme_new_nonce, NULL},
    {HTTP_METHOD_POST, "/acme/directory", acme_post_directory, NULL},
    {HTTP_METHOD_POST, "/acme/new-nonce", acme_post_new_nonce, NULL},
    {HTTP_METHOD_POST, "/acme/new-account", acme_new_account, NULL},
    {HTTP_METHOD_POST, "/acme/new-order", acme_new_order, NULL},
    {HTTP_METHOD_POST, "/acme/revoke-cert", acme_revoke, NULL},
    {HTTP_METHOD_POST, "/acme/key-change", acme_key_change, NULL},
    {HTTP_METHOD_POST, "/acme/account/:id", acme_account, NULL},
    {HTTP_METHOD_POST, "/acme/account/:id/orders", acme_account_orders, NULL},
    {HTTP_METHOD_POST, "/acme/order/:id", acme_order, NULL},
    {HTTP_METHOD_POST, "/acme/authz/:order/:index", acme_authorization, NULL},
    {HTTP_METHOD_POST, "/acme/chall/:order/:index", acme_challenge, NULL},
    {HTTP_METHOD_POST, "/acme/finalize/:order", acme_finalize, NULL},
    {HTTP_METHOD_POST, "/acme/cert/:serial", acme_certificate, NULL},
    {HTTP_METHOD_GET, "/acme/renewal-info/:id", acme_renewal_info, NULL},
};

const char *acme_url(struct operation *operation, const char *format, ...) {
    char path[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(path, sizeof path, format, arguments);
    va_end(arguments);
    const char *url = arena_printf(operation->arena, "%s/acme/%s", operation->worker->config->base_url, path);
    return url == NULL ? "" : url;
}

void acme_describe_check(struct operation *operation, struct dnscheck_request *request) {
    const struct acme_post *post = acme_post_of(operation);
    request->account_uri = acme_url(operation, "account/%s", post->account.id);
    request->method = operation->worker->config->external_account_required ? "ca-delegation" : "dns-01";
}

void acme_add_nonce(struct http_request *request, struct acme *acme) {
    char nonce[NONCE_TEXT_LENGTH + 1];
    nonce_issue(&acme->nonces, nonce);
    http_reply_header(request, "Replay-Nonce", nonce);
    http_reply_header(request, "Cache-Control", "no-store");
    /* RFC 8555 7.1: every resource but the directory points to it. */
    const char *link =
        arena_printf(request->arena, "<%s/acme/directory>;rel=\"index\"", acme->worker->config->base_url);
    if (link != NULL)
        http_reply_header(request, "Link", link);
}

void acme_reply(struct operation *operation, unsigned status, const char *content_type, const void *body,
                size_t length) {
    acme_add_nonce(operation->request, operation->request->service_context);
    http_reply(operation->request, status, content_type, body, length);
}

void acme_reply_json(struct operation *operation, unsigned status, json_t *json) {
    json_t *owned = arena_own_json(operation->arena, json);
    char *text = owned == NULL ? NULL : json_to_text(operation->arena, owned);
    if (text == NULL) {
        error_set(&operation->error, ERROR_INTERNAL, "out of memory");
        acme_fail(operation);
        return;
    }
    acme_reply(operation, status, "application/json", text, strlen(text));
}

void acme_done(void *context, const struct error *error) {
    if (error != NULL && error->code == ERROR_NOT_FOUND) {
        acme_refuse_absent(context);
        operation_fail(context, NULL);
    } else if (error != NULL)
        operation_fail(context, error);
    else
        operation_resume(context);
}

/* What the HTTP layer refuses, as problem documents. */
static void fail(struct http_request *request, unsigned status, const char *detail) {
    acme_send_problem(request, request->service_context, status,
                      status >= 500 ? "serverInternal" : "malformed", detail, NULL);
}

const struct acme_issuer *acme_find_issuer(const struct acme *acme, const char *name) {
    for (size_t i = 0; i < acme->issuer_count; i++)
        if (strcmp(acme->issuers[i].name, name) == 0)
            return &acme->issuers[i];
    return NULL;
}

bool acme_issuer_is_in_force(const struct acme_issuer *issuer, time_t now) {
    return issuer != NULL && issuer->not_before <= now && now < issuer->not_after;
}

static bool load_issuer(struct acme *acme, const struct config_issuer *config, struct acme_issuer *issuer,
                        struct error *error) {
    gnutls_x509_crt_t certificate;
    gnutls_datum_t file = {0}, pem = {0};
    uint8_t key_id[64];
    size_t length = sizeof key_id;
    unsigned critical;
    issuer->name = config->name;
    if (gnutls_x509_crt_init(&certificate) < 0)
        return error_set(error, ERROR_INTERNAL, "out of memory");
    bool is_read = gnutls_load_file(config->certificate_file, &file) >= 0 &&
                   gnutls_x509_crt_import(certificate, &file, GNUTLS_X509_FMT_PEM) >= 0 &&
                   gnutls_x509_crt_export2(certificate, GNUTLS_X509_FMT_PEM, &pem) >= 0 &&
                   gnutls_x509_crt_get_subject_key_id(certificate, key_id, &length, &critical) >= 0;
    if (is_read) {
        issuer->pem = arena_strndup(acme->arena, (const char *)pem.data, pem.size);
        issuer->key_id = (struct bytes){arena_copy(acme->arena, key_id, length), length};
        issuer->not_before = gnutls_x509_crt_get_activation_time(certificate);
        issuer->not_after = gnutls_x509_crt_get_expiration_time(certificate);
        is_read = issuer->pem != NULL && issuer->key_id.data != NULL;
    }
    gnutls_free(file.data);
    gnutls_free(pem.data);
    gnutls_x509_crt_deinit(certificate);
    return is_read || error_set(error, ERROR_INVALID,
                                "cannot read the issuing certificate %s; `originca-server ca init` makes it",
                                config->certificate_file);
}

struct acme *acme_new(struct worker *worker, struct error *error) {
    struct acme *acme = calloc(1, sizeof *acme);
    struct arena *arena = arena_new(0);
    error_set(error, ERROR_INTERNAL, "out of memory");
    if (acme == NULL || arena == NULL) {
        free(acme);
        arena_free(arena);
        return NULL;
    }
    acme->worker = worker;
    acme->arena = arena;
    nonce_issuer_init(&acme->nonces, worker->secrets, worker->config->nonce_lifetime_seconds);
    acme->issuers = arena_alloc(arena, (worker->config->issuer_count + 1) * sizeof *acme->issuers);
    for (size_t i = 0; acme->issuers != NULL && i < worker->config->issuer_count; i++, acme->issuer_count++)
        if (!load_issuer(acme, &worker->config->issuers[i], &acme->issuers[i], error)) {
            acme_free(acme);
            return NULL;
        }
    acme->directory = acme_directory_text(acme, error);
    if (acme->issuers == NULL || acme->directory == NULL) {
        acme_free(acme);
        return NULL;
    }
    acme->service = (struct http_service){.prefix = "/acme/",
                                          .routes = routes,
                                          .route_count = sizeof routes / sizeof routes[0],
                                          .fail = fail,
                                          .context = acme};
    return acme;
}

void acme_free(struct acme *acme) {
    if (acme == NULL)
        return;
    bytes_wipe(acme->nonces.key, sizeof acme->nonces.key);
    arena_free(acme->arena);
    free(acme);
}

const struct http_service *acme_service(struct acme *acme) {
    return &acme->service;
}
