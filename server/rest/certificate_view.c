/* Certificates as clients see them: the JSON object, and the files (PEM, chain, DER, PKCS#7). Everything that
 * a client compares with what it asked for comes back exactly as asked: the CSR byte for byte, the names in
 * their order, the lifetime as a number. */
#include "internal.h"
#include "originca/revocation.h"

#include <strings.h>

#include <gnutls/pkcs7.h>

enum format { FORMAT_JSON, FORMAT_PEM, FORMAT_CHAIN, FORMAT_DER, FORMAT_PKCS7, FORMAT_PKCS7_DER };

static const struct {
    enum format format;
    const char *name; /* of ?format= */
    const char *type; /* of Accept and of the answer */
} formats[] = {
    {FORMAT_JSON, "json", "application/json"},
    {FORMAT_PEM, "pem", "application/x-pem-file"},
    {FORMAT_CHAIN, "chain", "application/pem-certificate-chain"},
    {FORMAT_DER, "der", "application/pkix-cert"},
    {FORMAT_PKCS7, "pkcs7", "application/x-pkcs7-certificates"},
    {FORMAT_PKCS7_DER, "pkcs7-der", "application/pkcs7-mime"},
};
#define FORMATS (sizeof formats / sizeof *formats)

bool rest_serial_text(const char *hex, char decimal[SERIAL_DECIMAL_MAX]) {
    uint8_t serial[SERIAL_BYTES];
    if (!hex_decode(hex, serial, sizeof serial))
        return false;
    serial_to_decimal(serial, decimal);
    return true;
}

/* Go's default rendering of a time, which is what clients of the API were written for. */
static const char *expires_text(struct operation *operation, time_t when) {
    char text[TIME_TEXT_MAX];
    struct tm parts;
    if (operation->worker->config->rest_rfc3339_dates) {
        time_format(when, text);
        return arena_strdup(operation->arena, text);
    }
    gmtime_r(&when, &parts);
    return arena_printf(operation->arena, "%04d-%02d-%02d %02d:%02d:%02d +0000 UTC", parts.tm_year + 1900,
                        parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec);
}

static json_t *names_json(const struct store_certificate *certificate) {
    json_t *names = json_array();
    for (size_t i = 0; i < certificate->name_count; i++)
        json_array_append_new(names, json_string(certificate->names[i]));
    return names;
}

/* A certificate that came another way (ACME, or from the ledger alone) has no request: what can be told from
 * the certificate is told. */
static const char *type_of(const struct operation *operation, const struct store_certificate *certificate) {
    const struct config *config = operation->worker->config;
    bool is_rsa = strcmp(certificate->issuer, config->rest_rsa_issuer) == 0 &&
                  strcmp(config->rest_rsa_issuer, config->rest_ecc_issuer) != 0;
    return is_rsa ? "origin-rsa" : "origin-ecc";
}

json_t *rest_certificate_json(struct operation *operation, const struct store_certificate *certificate,
                              const char *csr, bool as_strings) {
    const char *asked = certificate->request == NULL ? "" : certificate->request;
    json_t *request = *asked == '\0' ? NULL : arena_own_json(operation->arena, json_loads(asked, 0, NULL));
    const char *type = json_string_value(json_object_get(request, "request_type"));
    json_int_t days = json_integer_value(json_object_get(request, "requested_validity"));
    char id[SERIAL_DECIMAL_MAX] = "";
    const char *pem =
        pem_encode(operation->arena, "CERTIFICATE", certificate->der.data, certificate->der.length);
    const char *expires = expires_text(operation, certificate->not_after);
    if (pem == NULL || expires == NULL || !rest_serial_text(certificate->serial, id))
        return NULL;
    if (type == NULL)
        type = type_of(operation, certificate);
    if (days == 0)
        days = (json_int_t)(certificate->not_after - certificate->not_before + 86399) / 86400;
    if (as_strings) /* gokeyless decodes the result as a map of strings */
        return json_pack("{s:s, s:s, s:s, s:s}", "certificate", pem, "expires_on", expires, "id", id,
                         "request_type", type);
    if (csr == NULL)
        csr = json_string_value(json_object_get(request, "csr"));
    json_t *json =
        json_pack("{s:s, s:s, s:s, s:o, s:s, s:s, s:I}", "certificate", pem, "csr", csr == NULL ? "" : csr,
                  "expires_on", expires, "hostnames", names_json(certificate), "id", id, "request_type", type,
                  "requested_validity", days);
    if (json != NULL && certificate->revoked_at != 0) {
        char text[TIME_TEXT_MAX];
        time_format(certificate->revoked_at, text);
        json_object_set_new(json, "revoked_at", json_string(text));
        if (certificate->reason != REASON_UNSPECIFIED)
            json_object_set_new(json, "revocation_reason",
                                json_string(revocation_reason_name(certificate->reason)));
    }
    return json;
}

/* --- revocation --- */

/* An operator is not named to customers, nor an account that is another's. */
static const char *revoker_shown(struct operation *operation, const char *by) {
    const char *customer = strstr(by, " customer:");
    bool is_own = customer != NULL && strcmp(customer + 10, rest_call_of(operation)->key.customer) == 0;
    if (strncmp(by, "admin", 5) == 0)
        return "operator";
    if (is_own)
        return arena_strndup(operation->arena, by, (size_t)(customer - by));
    return strcmp(by, "certificate-key") == 0 || strcmp(by, "recovery") == 0 ? by : "account";
}

json_t *rest_revocation_json(struct operation *operation, const struct store_certificate *certificate,
                             const struct store_crl *crl) {
    json_t *json = arena_own_json(operation->arena,
                                  json_pack("{s:s}", "reason", revocation_reason_name(certificate->reason)));
    if (certificate->by != NULL && *certificate->by != '\0')
        json_object_set_new(json, "revoked_by", json_string(revoker_shown(operation, certificate->by)));
    if (crl->id == NULL)
        return json;
    char text[TIME_TEXT_MAX];
    time_format(crl->this_update, text);
    json_t *list = json_pack("{s:b, s:I, s:s}", "listed", crl->number > (uint64_t)certificate->listed_ms,
                             "number", (json_int_t)crl->number, "this_update", text);
    if (*crl->url != '\0')
        json_object_set_new(list, "url", json_string(crl->url));
    json_object_set_new(json, "crl", list);
    return json;
}

/* --- files --- */

/* The first known type in Accept; what is not known there, and "any", mean JSON. */
static enum format format_of_accept(const char *accept) {
    while (accept != NULL && *accept != '\0') {
        accept += strspn(accept, " \t,");
        size_t length = strcspn(accept, " \t,;");
        for (size_t i = 0; i < FORMATS; i++)
            if (length == strlen(formats[i].type) && strncasecmp(accept, formats[i].type, length) == 0)
                return formats[i].format;
        accept += strcspn(accept, ",");
    }
    return FORMAT_JSON;
}

static bool choose_format(struct operation *operation, enum format *format) {
    const char *name = http_query_parameter(operation->request, "format");
    if (name == NULL || *name == '\0') {
        *format = format_of_accept(http_header(operation->request, "Accept"));
        return true;
    }
    for (size_t i = 0; i < FORMATS; i++)
        if (strcmp(name, formats[i].name) == 0) {
            *format = formats[i].format;
            return true;
        }
    rest_refuse(operation, 400, REST_API_ERROR,
                "Invalid value for format: json, pem, chain, der, pkcs7 and pkcs7-der are known");
    return false;
}

bool rest_check_format(struct operation *operation) {
    enum format format;
    return choose_format(operation, &format);
}

/* Certificates alone, without signers (RFC 2315 9.1): leaf and issuer. It cannot hold a key. */
static bool make_pkcs7(struct bytes leaf, struct bytes issuer, gnutls_x509_crt_fmt_t form,
                       gnutls_datum_t *out) {
    const gnutls_datum_t first = {(unsigned char *)(uintptr_t)leaf.data, (unsigned)leaf.length},
                         second = {(unsigned char *)(uintptr_t)issuer.data, (unsigned)issuer.length};
    gnutls_pkcs7_t pkcs7;
    if (gnutls_pkcs7_init(&pkcs7) < 0)
        return false;
    bool is_made = gnutls_pkcs7_set_crt_raw(pkcs7, &first) >= 0 &&
                   (issuer.length == 0 || gnutls_pkcs7_set_crt_raw(pkcs7, &second) >= 0) &&
                   gnutls_pkcs7_export2(pkcs7, form, out) >= 0;
    gnutls_pkcs7_deinit(pkcs7);
    return is_made;
}

/* The file in the arena; data NULL when out of memory. */
static struct bytes make_file(struct operation *operation, const struct store_certificate *certificate,
                              enum format format) {
    const struct rest_issuer *issuer = rest_find_issuer(rest_call_of(operation)->rest, certificate->issuer);
    struct bytes issuer_der = issuer == NULL ? (struct bytes){NULL, 0} : issuer->der;
    if (format == FORMAT_DER)
        return certificate->der;
    if (format == FORMAT_PKCS7 || format == FORMAT_PKCS7_DER) {
        gnutls_datum_t made = {0};
        struct bytes file = {NULL, 0};
        if (make_pkcs7(certificate->der, issuer_der,
                       format == FORMAT_PKCS7 ? GNUTLS_X509_FMT_PEM : GNUTLS_X509_FMT_DER, &made))
            file = (struct bytes){arena_copy(operation->arena, made.data, made.size), made.size};
        gnutls_free(made.data);
        return file;
    }
    const char *leaf =
        pem_encode(operation->arena, "CERTIFICATE", certificate->der.data, certificate->der.length);
    const char *chain = format == FORMAT_CHAIN && issuer_der.length > 0
                            ? pem_encode(operation->arena, "CERTIFICATE", issuer_der.data, issuer_der.length)
                            : "";
    const char *text =
        leaf == NULL || chain == NULL ? NULL : arena_printf(operation->arena, "%s%s", leaf, chain);
    return (struct bytes){(const uint8_t *)text, text == NULL ? 0 : strlen(text)};
}

enum step_result rest_reply_certificate(struct operation *operation,
                                        const struct store_certificate *certificate, const char *csr,
                                        bool as_strings, const json_t *revocation) {
    enum format format;
    if (!choose_format(operation, &format))
        return STEP_FAIL;
    if (format == FORMAT_JSON) {
        json_t *json = rest_certificate_json(operation, certificate, csr, as_strings);
        if (json == NULL) {
            error_set(&operation->error, ERROR_UNAVAILABLE, "API errors encountered: out of memory");
            return STEP_FAIL;
        }
        if (revocation != NULL)
            json_object_set(json, "revocation", (json_t *)(uintptr_t)revocation);
        return rest_reply(operation, json, NULL);
    }
    struct bytes file = make_file(operation, certificate, format);
    if (file.data == NULL) {
        error_set(&operation->error, ERROR_UNAVAILABLE, "API errors encountered: out of memory");
        return STEP_FAIL;
    }
    rest_add_headers(operation->request);
    http_reply(operation->request, 200, formats[format].type, file.data, file.length);
    return STEP_REPLIED;
}
