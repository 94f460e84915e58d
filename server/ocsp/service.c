/* Requests: their two forms in HTTP, whose certificates they are about, and what needs a signature of its
 * own. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <gnutls/abstract.h>
#include <gnutls/x509.h>

#define CONTENT_TYPE "application/ocsp-request"

/* --- reading --- */

/* Without parameters: there are none that mean anything. */
static bool has_content_type(const struct http_request *request) {
    const char *type = http_header(request, "Content-Type");
    size_t length = strlen(CONTENT_TYPE);
    return type != NULL && strncasecmp(type, CONTENT_TYPE, length) == 0 &&
           (type[length] == '\0' || strchr("; \t", type[length]) != NULL);
}

static bool read_der(const struct operation *operation, struct bytes *der) {
    const struct http_request *request = operation->request;
    if (request->method != HTTP_METHOD_POST)
        return ocsp_request_decode(operation->arena, request->params[0],
                                   operation->worker->config->ocsp_max_request_bytes, der);
    *der = request->body;
    return true;
}

static enum step_result refuse(struct operation *operation, enum ocsp_outcome outcome) {
    ocsp_reply_error(operation, outcome);
    return STEP_REPLIED;
}

static enum step_result read_request(struct operation *operation) {
    struct ocsp_call *call = ocsp_call_of(operation);
    struct http_request *request = operation->request;
    struct bytes der;
    call->ocsp = request->service_context;
    if (request->method == HTTP_METHOD_POST && !has_content_type(request)) {
        static const char text[] = "Send an OCSPRequest as " CONTENT_TYPE ".\n";
        http_reply(request, 415, "text/plain; charset=utf-8", text, sizeof text - 1);
        return STEP_REPLIED;
    }
    return read_der(operation, &der) && ocsp_request_parse(der, operation->worker->config->ocsp_max_requests,
                                                           &call->request, &operation->error)
               ? STEP_DONE
               : refuse(operation, OCSP_MALFORMED);
}

/* --- whose certificates? --- */

static const struct ocsp_issuer *find_issuer(const struct ocsp *ocsp, const struct ocsp_cert_id *id) {
    for (size_t i = 0; i < ocsp->issuer_count; i++)
        if (ocsp_is_of_issuer(id, &ocsp->issuers[i].id))
            return &ocsp->issuers[i];
    return NULL;
}

/* Serials that are given here are 16 bytes and positive without a leading zero. */
static bool can_be_ours(struct bytes serial) {
    return serial.length == SERIAL_BYTES && serial.data[0] > 0 && serial.data[0] <= 0x7F;
}

/* One response has one signer: certificates of several issuers, or of none of ours, are not answered (RFC
 * 5019 2.2.3), and cost nothing but this. */
static enum step_result find_certificates(struct operation *operation) {
    struct ocsp_call *call = ocsp_call_of(operation);
    const struct ocsp_request *request = &call->request;
    size_t count = request->count;
    call->list.items = arena_alloc(operation->arena, count * sizeof *call->list.items);
    call->statuses = arena_alloc(operation->arena, count * sizeof *call->statuses);
    call->issuer = find_issuer(call->ocsp, &request->ids[0]);
    if (call->list.items == NULL || call->statuses == NULL)
        return refuse(operation, OCSP_INTERNAL);
    for (size_t i = 0; i < count; i++) {
        const struct ocsp_cert_id *id = &request->ids[i];
        char *serial = arena_alloc(operation->arena, SERIAL_HEX_MAX);
        if (call->issuer == NULL || !can_be_ours(id->serial) || !ocsp_is_of_issuer(id, &call->issuer->id))
            return refuse(operation, OCSP_UNAUTHORIZED);
        if (serial == NULL)
            return refuse(operation, OCSP_INTERNAL);
        hex_encode(id->serial.data, SERIAL_BYTES, serial);
        memcpy(call->statuses[i].serial, id->serial.data, SERIAL_BYTES);
        call->statuses[i].form = id->form;
        call->list.items[i].serial = serial;
    }
    call->list.count = count;
    return STEP_DONE;
}

/* --- signatures of its own --- */

static void note_limits(void *context, const struct error *error) {
    struct operation *operation = context;
    struct ocsp_call *call = ocsp_call_of(operation);
    if (error != NULL) {
        operation_fail(operation, error);
        return;
    }
    if (call->limits.outcome.exceeded > 0) {
        metric_add(call->ocsp->limited_total, 1);
        call->request.has_nonce = false; /* allowed: who insists on it fails by himself (RFC 6960 4.4.1) */
        if (call->request.count > 1) {
            error_set(&operation->error, ERROR_LIMIT, "%s", limits_text(operation->arena, &call->limits));
            operation_fail(operation, NULL);
            return;
        }
    }
    operation_resume(operation);
}

static enum step_result take_limits(struct operation *operation) {
    struct ocsp_call *call = ocsp_call_of(operation);
    if (!call->request.has_nonce && call->request.count == 1)
        return STEP_DONE;
    if (!limits_for_ocsp(operation->arena, operation->worker->config, &operation->request->peer,
                         &call->limits))
        return refuse(operation, OCSP_INTERNAL);
    return limits_take(operation->worker, &call->limits, note_limits, operation) ? STEP_WAIT : STEP_DONE;
}

static void fail(struct operation *operation) {
    enum error_code code = operation->error.code;
    ocsp_reply_error(operation, code == ERROR_INTERNAL    ? OCSP_INTERNAL
                                : code == ERROR_NOT_FOUND ? OCSP_UNAUTHORIZED
                                                          : OCSP_TRY_LATER);
}

static const struct step steps[] = {
    {"read_request", read_request},        {"find_certificates", find_certificates},
    {"load_statuses", ocsp_load_statuses}, {"take_limits", take_limits},
    {"find_answer", ocsp_find_answer},     {"reply", ocsp_reply_answer},
};
static const struct operation_kind kind = OPERATION_KIND("ocsp", steps, struct ocsp_call, fail);

static void answer(struct http_request *request) {
    operation_start(request, &kind);
}

/* --- the service --- */

static const struct http_route routes[] = {
    {HTTP_METHOD_POST, "/ocsp", answer, NULL},
    {HTTP_METHOD_POST, "/ocsp/", answer, NULL},
    {HTTP_METHOD_GET, "/ocsp/*", answer, NULL},
};

static void answer_plainly(struct http_request *request, unsigned status, const char *detail) {
    http_reply(request, status, "text/plain; charset=utf-8", detail, strlen(detail));
}

static bool identify(gnutls_x509_crt_t certificate, struct ocsp_issuer_id *id) {
    gnutls_datum_t subject = {0}, spki = {0};
    gnutls_pubkey_t key = NULL;
    bool is_known = gnutls_x509_crt_get_raw_dn(certificate, &subject) >= 0 && gnutls_pubkey_init(&key) >= 0 &&
                    gnutls_pubkey_import_x509(key, certificate, 0) >= 0 &&
                    gnutls_pubkey_export2(key, GNUTLS_X509_FMT_DER, &spki) >= 0 &&
                    ocsp_identify_issuer((struct bytes){subject.data, subject.size},
                                         (struct bytes){spki.data, spki.size}, id);
    if (key != NULL)
        gnutls_pubkey_deinit(key);
    gnutls_free(subject.data);
    gnutls_free(spki.data);
    return is_known;
}

static bool load_issuer(const struct config_issuer *config, struct ocsp_issuer *issuer, struct error *error) {
    gnutls_x509_crt_t certificate;
    gnutls_datum_t file = {0};
    if (gnutls_x509_crt_init(&certificate) < 0)
        return error_set(error, ERROR_INTERNAL, "out of memory");
    issuer->name = config->name;
    bool is_read = gnutls_load_file(config->certificate_file, &file) >= 0 &&
                   gnutls_x509_crt_import(certificate, &file, GNUTLS_X509_FMT_PEM) >= 0 &&
                   identify(certificate, &issuer->id);
    gnutls_free(file.data);
    gnutls_x509_crt_deinit(certificate);
    return is_read || error_set(error, ERROR_INVALID,
                                "cannot read the issuing certificate %s; `originca-server ca init` makes it",
                                config->certificate_file);
}

static void register_metrics(struct ocsp *ocsp) {
    static const char help[] = "OCSP requests by their answer";
    struct metrics *metrics = ocsp->worker->metrics;
    ocsp->outcomes[OCSP_SUCCESSFUL] =
        metrics_counter(metrics, "originca_ocsp_answers_total{outcome=\"successful\"}", help);
    ocsp->outcomes[OCSP_MALFORMED] =
        metrics_counter(metrics, "originca_ocsp_answers_total{outcome=\"malformedRequest\"}", help);
    ocsp->outcomes[OCSP_INTERNAL] =
        metrics_counter(metrics, "originca_ocsp_answers_total{outcome=\"internalError\"}", help);
    ocsp->outcomes[OCSP_TRY_LATER] =
        metrics_counter(metrics, "originca_ocsp_answers_total{outcome=\"tryLater\"}", help);
    ocsp->outcomes[OCSP_UNAUTHORIZED] =
        metrics_counter(metrics, "originca_ocsp_answers_total{outcome=\"unauthorized\"}", help);
    ocsp->kept_total = metrics_counter(metrics, "originca_ocsp_kept_total",
                                       "OCSP answers given out that were signed before");
    ocsp->signed_total =
        metrics_counter(metrics, "originca_ocsp_signed_total", "OCSP answers signed for a request");
    ocsp->limited_total = metrics_counter(metrics, "originca_ocsp_limited_total",
                                          "OCSP requests above limits.ocsp_signed_per_address");
}

struct ocsp *ocsp_new(struct worker *worker, struct error *error) {
    const struct config *config = worker->config;
    struct ocsp *ocsp = calloc(1, sizeof *ocsp);
    struct arena *arena = arena_new(0);
    error_set(error, ERROR_INTERNAL, "out of memory");
    if (ocsp == NULL || arena == NULL) {
        free(ocsp);
        arena_free(arena);
        return NULL;
    }
    ocsp->worker = worker;
    ocsp->arena = arena;
    ocsp->kept = ocsp_kept_new(config->ocsp_kept_bytes);
    ocsp->issuers = arena_alloc(arena, (config->issuer_count + 1) * sizeof *ocsp->issuers);
    while (ocsp->issuers != NULL && ocsp->issuer_count < config->issuer_count &&
           load_issuer(&config->issuers[ocsp->issuer_count], &ocsp->issuers[ocsp->issuer_count], error))
        ocsp->issuer_count++;
    if (ocsp->kept == NULL || ocsp->issuers == NULL || ocsp->issuer_count < config->issuer_count) {
        ocsp_free(ocsp);
        return NULL;
    }
    register_metrics(ocsp);
    ocsp->service = (struct http_service){.prefix = "/ocsp",
                                          .routes = routes,
                                          .route_count = sizeof routes / sizeof routes[0],
                                          .max_body_bytes = config->ocsp_max_request_bytes,
                                          .takes_any_tail = true,
                                          .fail = answer_plainly,
                                          .context = ocsp};
    return ocsp;
}

void ocsp_free(struct ocsp *ocsp) {
    if (ocsp == NULL)
        return;
    ocsp_kept_free(ocsp->kept);
    arena_free(ocsp->arena);
    free(ocsp);
}

const struct http_service *ocsp_service(struct ocsp *ocsp) {
    return &ocsp->service;
}
