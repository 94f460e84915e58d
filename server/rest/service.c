/* The REST API: routes, issuing certificates, what the HTTP layer refuses. */
#include "internal.h"

#include <stdlib.h>

#include <gnutls/x509.h>

#define BODY_MAX (256 * 1024) /* 1000 hostnames of full length */

static const struct http_route routes[] = {
    {HTTP_METHOD_POST, "/client/v4/certificates", rest_create_certificate, NULL},
    {HTTP_METHOD_GET, "/client/v4/certificates", rest_list_certificates, NULL},
    {HTTP_METHOD_DELETE, "/client/v4/certificates", rest_serial_needed, NULL},
    {HTTP_METHOD_GET | HTTP_METHOD_DELETE, "/client/v4/certificates/", rest_serial_needed, NULL},
    {HTTP_METHOD_GET, "/client/v4/certificates/:id", rest_get_certificate, NULL},
    {HTTP_METHOD_DELETE, "/client/v4/certificates/:id", rest_revoke_certificate, NULL},
    {HTTP_METHOD_GET, "/client/v4/user/tokens/verify", rest_verify_token, NULL},
    {HTTP_METHOD_GET, "/client/v4/zones", rest_list_zones, NULL},
    {HTTP_METHOD_GET, "/client/v4/zones/:id", rest_get_zone, NULL},
    {HTTP_METHOD_GET, "/client/v4/zones/:id/settings/ssl", rest_get_ssl, NULL},
    {HTTP_METHOD_PATCH, "/client/v4/zones/:id/settings/ssl", rest_set_ssl, NULL},
    {HTTP_METHOD_GET, "/client/v4/openapi.json", rest_openapi, NULL},
};

static void fail(struct http_request *request, unsigned status, const char *detail) {
    enum rest_code code = status == 404   ? REST_NO_ROUTE
                          : status == 405 ? REST_BAD_METHOD
                          : status >= 500 ? REST_API_ERROR
                                          : REST_BAD_BODY;
    const char *message = status == 404   ? "No route for that URI"
                          : status == 405 ? "Method not available for that URI"
                                          : detail;
    if (code == REST_BAD_BODY || code == REST_API_ERROR) {
        const char *text = arena_printf(request->arena, "%s: %s",
                                        code == REST_BAD_BODY ? "Failed to read contents of HTTP request"
                                                              : "API errors encountered",
                                        detail);
        message = text == NULL ? detail : text;
    }
    rest_send_error(request, status, code, message, NULL);
}

void rest_openapi(struct http_request *request) {
    const char *text = rest_openapi_text();
    http_reply(request, 200, "application/json", text, strlen(text));
}

const struct rest_issuer *rest_find_issuer(const struct rest *rest, const char *name) {
    for (size_t i = 0; i < rest->issuer_count; i++)
        if (strcmp(rest->issuers[i].name, name) == 0)
            return &rest->issuers[i];
    return NULL;
}

static bool load_issuer(struct rest *rest, const struct config_issuer *config, struct rest_issuer *issuer,
                        struct error *error) {
    gnutls_x509_crt_t certificate;
    gnutls_datum_t file = {0}, der = {0};
    if (gnutls_x509_crt_init(&certificate) < 0)
        return error_set(error, ERROR_INTERNAL, "out of memory");
    bool is_read = gnutls_load_file(config->certificate_file, &file) >= 0 &&
                   gnutls_x509_crt_import(certificate, &file, GNUTLS_X509_FMT_PEM) >= 0 &&
                   gnutls_x509_crt_export2(certificate, GNUTLS_X509_FMT_DER, &der) >= 0;
    issuer->name = config->name;
    issuer->not_before = is_read ? gnutls_x509_crt_get_activation_time(certificate) : 0;
    issuer->not_after = is_read ? gnutls_x509_crt_get_expiration_time(certificate) : 0;
    if (is_read)
        issuer->der = (struct bytes){arena_copy(rest->arena, der.data, der.size), der.size};
    gnutls_free(file.data);
    gnutls_free(der.data);
    gnutls_x509_crt_deinit(certificate);
    return (is_read && issuer->der.data != NULL) ||
           error_set(error, ERROR_INVALID,
                     "cannot read the issuing certificate %s; `originca-server ca init` makes it",
                     config->certificate_file);
}

struct rest *rest_new(struct worker *worker, struct error *error) {
    struct rest *rest = calloc(1, sizeof *rest);
    struct arena *arena = arena_new(0);
    size_t count = worker->config->issuer_count;
    error_set(error, ERROR_INTERNAL, "out of memory");
    if (rest == NULL || arena == NULL) {
        free(rest);
        arena_free(arena);
        return NULL;
    }
    rest->worker = worker;
    rest->arena = arena;
    rest->issuers = arena_alloc(arena, (count + 1) * sizeof *rest->issuers);
    for (; rest->issuers != NULL && rest->issuer_count < count; rest->issuer_count++)
        if (!load_issuer(rest, &worker->config->issuers[rest->issuer_count],
                         &rest->issuers[rest->issuer_count], error))
            break;
    if (rest->issuers == NULL || rest->issuer_count < count) {
        rest_free(rest);
        return NULL;
    }
    rest->service = (struct http_service){.prefix = "/client/v4/",
                                          .routes = routes,
                                          .route_count = sizeof routes / sizeof routes[0],
                                          .max_body_bytes = BODY_MAX,
                                          .fail = fail,
                                          .context = rest};
    return rest;
}

void rest_free(struct rest *rest) {
    if (rest == NULL)
        return;
    arena_free(rest->arena);
    free(rest);
}

const struct http_service *rest_service(struct rest *rest) {
    return &rest->service;
}
