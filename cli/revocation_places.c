/* Where the revocation of a certificate is told, for people: its list, its OCSP address, and whether they
 * have it.
 */
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "keymaker.h"

#define URL_MAX 512

static void print_list(gnutls_x509_crt_t certificate, const json_t *crl) {
    char url[URL_MAX];
    size_t size = sizeof url;
    unsigned reasons;
    bool has_url = gnutls_x509_crt_get_crl_dist_points(certificate, 0, url, &size, &reasons, NULL) >= 0;
    const char *shown = has_url                       ? url
                        : *json_text(crl, "url") != 0 ? json_text(crl, "url")
                                                      : "none named; the issuer's complete list has it";
    printf("%-13s %s\n", "list", shown);
    if (!json_is_object(crl))
        return;
    bool is_listed = json_is_true(json_object_get(crl, "listed"));
    printf("%-13s %s (number %lld of %s)\n", "in the list", is_listed ? "yes" : "not yet",
           (long long)json_integer_value(json_object_get(crl, "number")), json_text(crl, "this_update"));
}

/* It reads the same Redis that says so here. */
static void print_ocsp(gnutls_x509_crt_t certificate, bool is_revoked) {
    gnutls_datum_t url = {0};
    if (gnutls_x509_crt_get_authority_info_access(certificate, 0, GNUTLS_IA_OCSP_URI, &url, NULL) >= 0)
        printf("%-13s %.*s%s\n", "OCSP", (int)url.size, (const char *)url.data,
               is_revoked ? " (says revoked)" : "");
    else
        printf("%-13s %s\n", "OCSP", "none named");
    gnutls_free(url.data);
}

void print_revocation_places(const char *pem, const json_t *crl) {
    struct error ignored;
    gnutls_x509_crt_t certificate =
        *pem == '\0' ? NULL : certificate_read((struct bytes){(const uint8_t *)pem, strlen(pem)}, &ignored);
    if (certificate == NULL)
        return;
    print_list(certificate, crl);
    print_ocsp(certificate, json_is_object(crl));
    gnutls_x509_crt_deinit(certificate);
}
