/* `originca certinfo`: what a certificate or a CSR holds, for a person or, in cfssl's member names, as JSON.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "customer_commands.h"
#include "keymaker.h"

#define VALUE_MAX 1024

static json_t *hex_colons(const unsigned char *bytes, size_t length) {
    char text[3 * 64 + 1] = "";
    for (size_t i = 0; i < length && i < 64; i++)
        snprintf(text + 3 * i, 4, "%02X%s", bytes[i], i + 1 < length ? ":" : "");
    return json_string(text);
}

typedef int (*dn_reader)(void *object, const char *oid, unsigned index, unsigned raw, void *out,
                         size_t *size);

static int read_subject(void *object, const char *oid, unsigned index, unsigned raw, void *out,
                        size_t *size) {
    return gnutls_x509_crt_get_dn_by_oid(object, oid, index, raw, out, size);
}
static int read_issuer(void *object, const char *oid, unsigned index, unsigned raw, void *out, size_t *size) {
    return gnutls_x509_crt_get_issuer_dn_by_oid(object, oid, index, raw, out, size);
}
static int read_request(void *object, const char *oid, unsigned index, unsigned raw, void *out,
                        size_t *size) {
    return gnutls_x509_crq_get_dn_by_oid(object, oid, index, raw, out, size);
}

/* GnuTLS hands out values escaped as in RFC 4514. */
static json_t *unescape(const char *text, size_t length) {
    char plain[VALUE_MAX];
    size_t used = 0;
    for (size_t i = 0; i < length && used < sizeof plain; i++) {
        if (text[i] == '\\' && i + 1 < length)
            i++;
        plain[used++] = text[i];
    }
    return json_stringn(plain, used);
}

static json_t *name_object(void *object, dn_reader read) {
    static const struct {
        const char *member, *oid;
    } parts[] = {{"country", GNUTLS_OID_X520_COUNTRY_NAME},
                 {"province", GNUTLS_OID_X520_STATE_OR_PROVINCE_NAME},
                 {"locality", GNUTLS_OID_X520_LOCALITY_NAME},
                 {"organization", GNUTLS_OID_X520_ORGANIZATION_NAME},
                 {"organizational_unit", GNUTLS_OID_X520_ORGANIZATIONAL_UNIT_NAME},
                 {"common_name", GNUTLS_OID_X520_COMMON_NAME}};
    json_t *out = json_object(), *names = json_array();
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        char text[VALUE_MAX];
        size_t size = sizeof text;
        for (unsigned n = 0; n < 8 && read(object, parts[i].oid, n, 0, text, &size) >= 0;
             n++, size = sizeof text) {
            if (n == 0)
                json_object_set_new(out, parts[i].member, unescape(text, size));
            json_array_append_new(names, unescape(text, size));
        }
    }
    json_object_set_new(out, "names", names);
    return out;
}

static void add_san(json_t *sans, int type, const unsigned char *data, size_t size) {
    char text[VALUE_MAX];
    if (type == GNUTLS_SAN_IPADDRESS && (size == 4 || size == 16)) {
        inet_ntop(size == 4 ? AF_INET : AF_INET6, data, text, sizeof text);
        json_array_append_new(sans, json_string(text));
    } else if (type == GNUTLS_SAN_DNSNAME || type == GNUTLS_SAN_RFC822NAME || type == GNUTLS_SAN_URI) {
        json_array_append_new(sans, json_stringn((const char *)data, size));
    }
}

static json_t *certificate_sans(gnutls_x509_crt_t certificate) {
    json_t *sans = json_array();
    for (unsigned i = 0; i < 1000; i++) {
        unsigned char data[VALUE_MAX];
        size_t size = sizeof data;
        int type = gnutls_x509_crt_get_subject_alt_name(certificate, i, data, &size, NULL);
        if (type == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE)
            break;
        add_san(sans, type, data, type < 0 ? 0 : size);
    }
    return sans;
}

static void set_time(json_t *json, const char *member, time_t when) {
    char text[TIME_TEXT_MAX];
    time_format(when, text);
    json_object_set_new(json, member, json_string(text));
}

static void set_key(json_t *json, int algorithm, unsigned bits) {
    json_object_set_new(json, "key_type",
                        json_string(algorithm == GNUTLS_PK_RSA ? "rsa"
                                    : algorithm == GNUTLS_PK_ECDSA
                                        ? "ecdsa"
                                        : gnutls_pk_get_name((gnutls_pk_algorithm_t)algorithm)));
    json_object_set_new(json, "key_size", json_integer(bits));
}

/* Go's names, which cfssl prints. */
static const char *signature_name(int algorithm) {
    switch (algorithm) {
    case GNUTLS_SIGN_RSA_SHA256:
        return "SHA256WithRSA";
    case GNUTLS_SIGN_RSA_SHA384:
        return "SHA384WithRSA";
    case GNUTLS_SIGN_RSA_SHA512:
        return "SHA512WithRSA";
    case GNUTLS_SIGN_ECDSA_SHA256:
        return "ECDSAWithSHA256";
    case GNUTLS_SIGN_ECDSA_SHA384:
        return "ECDSAWithSHA384";
    case GNUTLS_SIGN_ECDSA_SHA512:
        return "ECDSAWithSHA512";
    default: {
        const char *name = gnutls_sign_get_name((gnutls_sign_algorithm_t)algorithm);
        return name == NULL ? "unknown" : name;
    }
    }
}

static void set_identifiers(json_t *json, gnutls_x509_crt_t certificate) {
    unsigned char bytes[64];
    size_t size = sizeof bytes;
    bool has = gnutls_x509_crt_get_authority_key_id(certificate, bytes, &size, NULL) >= 0;
    json_object_set_new(json, "authority_key_id", hex_colons(bytes, has ? size : 0));
    size = sizeof bytes;
    has = gnutls_x509_crt_get_subject_key_id(certificate, bytes, &size, NULL) >= 0;
    json_object_set_new(json, "subject_key_id", hex_colons(bytes, has ? size : 0));
    size = sizeof bytes;
    has = gnutls_x509_crt_get_fingerprint(certificate, GNUTLS_DIG_SHA256, bytes, &size) >= 0;
    json_object_set_new(json, "sha256", hex_colons(bytes, has ? size : 0));
}

static void set_urls(json_t *json, gnutls_x509_crt_t certificate) {
    char url[VALUE_MAX];
    size_t size = sizeof url;
    gnutls_datum_t ocsp = {0};
    if (gnutls_x509_crt_get_crl_dist_points(certificate, 0, url, &size, NULL, NULL) >= 0)
        json_object_set_new(json, "crl", json_stringn(url, size));
    if (gnutls_x509_crt_get_authority_info_access(certificate, 0, GNUTLS_IA_OCSP_URI, &ocsp, NULL) >= 0)
        json_object_set_new(json, "ocsp", json_stringn((const char *)ocsp.data, ocsp.size));
    gnutls_free(ocsp.data);
}

static json_t *describe(struct arena *arena, gnutls_x509_crt_t certificate) {
    unsigned bits = 0;
    gnutls_datum_t pem = {0};
    time_t from = gnutls_x509_crt_get_activation_time(certificate),
           to = gnutls_x509_crt_get_expiration_time(certificate);
    const char *serial = certificate_serial(arena, certificate);
    json_t *json = arena_own_json(arena, json_object());
    json_object_set_new(json, "subject", name_object(certificate, read_subject));
    json_object_set_new(json, "issuer", name_object(certificate, read_issuer));
    json_object_set_new(json, "serial_number", json_string(serial == NULL ? "" : serial));
    json_object_set_new(json, "sans", certificate_sans(certificate));
    set_time(json, "not_before", from);
    set_time(json, "not_after", to);
    json_object_set_new(json, "days_left", json_integer((to - time(NULL)) / 86400));
    json_object_set_new(json, "sigalg",
                        json_string(signature_name(gnutls_x509_crt_get_signature_algorithm(certificate))));
    int algorithm = gnutls_x509_crt_get_pk_algorithm(certificate, &bits);
    set_key(json, algorithm, bits);
    set_identifiers(json, certificate);
    set_urls(json, certificate);
    if (gnutls_x509_crt_export2(certificate, GNUTLS_X509_FMT_PEM, &pem) >= 0)
        json_object_set_new(json, "pem", json_stringn((const char *)pem.data, pem.size));
    gnutls_free(pem.data);
    return json;
}

static json_t *describe_request(struct customer *customer, struct bytes file) {
    gnutls_x509_crq_t request;
    unsigned bits = 0;
    gnutls_datum_t datum = {(unsigned char *)file.data, (unsigned)file.length};
    bool is_pem = memmem(file.data, file.length, "-----BEGIN", 10) != NULL;
    json_t *json = NULL, *sans = json_array();
    if (gnutls_x509_crq_init(&request) < 0)
        return NULL;
    int code = gnutls_x509_crq_import(request, &datum, is_pem ? GNUTLS_X509_FMT_PEM : GNUTLS_X509_FMT_DER);
    for (unsigned i = 0; code >= 0 && i < 1000; i++) {
        unsigned char data[VALUE_MAX];
        size_t size = sizeof data;
        int type = gnutls_x509_crq_get_subject_alt_name(request, i, data, &size, NULL, NULL);
        if (type == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE || type == GNUTLS_E_ASN1_ELEMENT_NOT_FOUND)
            break;
        add_san(sans, type, data, type < 0 ? 0 : size);
    }
    if (code >= 0) {
        json = arena_own_json(customer->arena, json_object());
        json_object_set_new(json, "subject", name_object(request, read_request));
        json_object_set(json, "sans", sans);
        json_object_set_new(json, "sigalg",
                            json_string(signature_name(gnutls_x509_crq_get_signature_algorithm(request))));
        int algorithm = gnutls_x509_crq_get_pk_algorithm(request, &bits);
        set_key(json, algorithm, bits);
        json_object_set_new(json, "signature_is_valid",
                            json_boolean(gnutls_x509_crq_verify(request, 0) >= 0));
    } else {
        error_set(&customer->error, ERROR_INVALID, "not a CSR in PEM or DER: %s", gnutls_strerror(code));
    }
    json_decref(sans);
    gnutls_x509_crq_deinit(request);
    return json;
}

/* --- for people --- */

static void print_value(const char *label, const json_t *value) {
    if (json_is_string(value) && json_string_length(value) > 0)
        printf("%-13s %s\n", label, json_string_value(value));
    else if (json_is_integer(value))
        printf("%-13s %lld\n", label, (long long)json_integer_value(value));
}

static void print_name(const char *label, const json_t *name) {
    static const char *const members[][2] = {{"C", "country"},
                                             {"ST", "province"},
                                             {"L", "locality"},
                                             {"O", "organization"},
                                             {"OU", "organizational_unit"},
                                             {"CN", "common_name"}};
    const char *separator = "";
    printf("%-13s ", label);
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++)
        if (*json_text(name, members[i][1]) != '\0') {
            printf("%s%s=%s", separator, members[i][0], json_text(name, members[i][1]));
            separator = ", ";
        }
    puts(*separator == '\0' ? "(empty)" : "");
}

static void print_description(const struct customer *customer, const json_t *json) {
    size_t i;
    const json_t *name, *left = json_object_get(json, "days_left");
    print_name("subject", json_object_get(json, "subject"));
    json_array_foreach(json_object_get(json, "sans"), i, name) print_value(i == 0 ? "names" : "", name);
    if (json_object_get(json, "issuer") != NULL)
        print_name("issuer", json_object_get(json, "issuer"));
    print_value("serial", json_object_get(json, "serial_number"));
    print_value("not before", json_object_get(json, "not_before"));
    if (left != NULL) {
        long long days = (long long)json_integer_value(left);
        printf("%-13s %s%s (%lld days left)%s\n", "not after",
               !customer->has_colour ? ""
               : days < 0            ? "\033[31m"
               : days < 14           ? "\033[33m"
                                     : "",
               json_text(json, "not_after"), days, customer->has_colour ? "\033[0m" : "");
    }
    printf("%-13s %s-%lld\n", "key", json_text(json, "key_type"),
           (long long)json_integer_value(json_object_get(json, "key_size")));
    print_value("signature", json_object_get(json, "sigalg"));
    if (json_is_boolean(json_object_get(json, "signature_is_valid")))
        printf("%-13s %s\n", "proof",
               json_is_true(json_object_get(json, "signature_is_valid")) ? "signed by its key"
                                                                         : "the signature does not verify");
    print_value("crl", json_object_get(json, "crl"));
    print_value("ocsp", json_object_get(json, "ocsp"));
    print_value("sha256", json_object_get(json, "sha256"));
}

static json_t *describe_all(struct customer *customer, struct bytes file) {
    gnutls_x509_crt_t *list;
    unsigned count = certificates_read(file, &list, &customer->error);
    json_t *first = NULL, *chain = arena_own_json(customer->arena, json_array());
    for (unsigned i = 0; i < count; i++) {
        json_t *json = describe(customer->arena, list[i]);
        if (i == 0)
            first = json;
        else
            json_array_append(chain, json);
        gnutls_x509_crt_deinit(list[i]);
    }
    gnutls_free(list);
    if (json_array_size(chain) > 0) /* cfssl prints the first alone: the others are an addition to it */
        json_object_set(first, "chain", chain);
    return first;
}

int certinfo_command(struct customer *customer) {
    const struct options *options = &customer->options;
    struct bytes file;
    size_t i;
    const json_t *other;
    const char *path = options->csr != NULL           ? options->csr
                       : options->certificate != NULL ? options->certificate
                       : customer->operand_count > 0  ? customer->operands[0]
                                                      : "-";
    if (customer->operand_count > 1) {
        error_set(&customer->error, ERROR_INVALID, "usage: originca certinfo [FILE|-] [-csr FILE]");
        return EXIT_USAGE;
    }
    if (!file_read(customer->arena, path, &file, &customer->error))
        return EXIT_USAGE;
    bool is_request =
        options->csr != NULL || memmem(file.data, file.length, "CERTIFICATE REQUEST", 19) != NULL;
    json_t *json = is_request ? describe_request(customer, file) : describe_all(customer, file);
    if (json == NULL) {
        error_prefix(&customer->error, "%s", strcmp(path, "-") == 0 ? "standard input" : path);
        return EXIT_USAGE;
    }
    if (options->as_json) {
        print_json(json);
        return EXIT_OK;
    }
    print_description(customer, json);
    json_array_foreach(json_object_get(json, "chain"), i, other) {
        putchar('\n');
        print_description(customer, other);
    }
    return EXIT_OK;
}
