/* The body of a create: JSON as many generations of clients write it. Types first, then values, in an order
 * that gives each mistake its own code. Subject, names and extensions of the CSR are not looked at: the names
 * come from the JSON. */
#include "internal.h"

#include <stdlib.h>
#include <strings.h>

#include "originca/names.h"

#define DAYS_DEFAULT 5475
#define TEXT_BAD_VALIDITY                                                                                    \
    "Permitted values for requested_validity (days): 7, 30, 90, 365, 730, 1095, 5475 (default)"
#define WALK_DEPTH_MAX 33 /* the parser allows 32 */

/* --- private keys --- */

static bool mentions_private_key(const char *text, size_t length) {
    static const char mark[] = "private key";
    for (size_t i = 0; i + sizeof mark - 1 <= length; i++)
        if (strncasecmp(text + i, mark, sizeof mark - 1) == 0)
            return true;
    return false;
}

/* In any string of it, also where JSON escapes hid it from a look at the bytes. */
static bool holds_private_key(const json_t *json, unsigned depth) {
    size_t i;
    const char *key;
    json_t *item;
    if (depth > WALK_DEPTH_MAX)
        return true;
    if (json_is_string(json))
        return mentions_private_key(json_string_value(json), json_string_length(json));
    if (json_is_array(json))
        json_array_foreach(json, i, item) if (holds_private_key(item, depth + 1)) return true;
    if (json_is_object(json))
        json_object_foreach((json_t *)(uintptr_t)json, key,
                            item) if (mentions_private_key(key, strlen(key)) ||
                                      holds_private_key(item, depth + 1)) return true;
    return false;
}

static void refuse_private_key(struct operation *operation) {
    struct bytes body = operation->request->body;
    bytes_wipe((void *)(uintptr_t)body.data, body.length);
    rest_refuse(operation, 400, REST_BAD_CSR,
                "Failed to parse CSR: the request holds a private key. Send the certificate signing request "
                "alone, and make a new key: this one has left your machine. It was not kept.");
}

json_t *rest_read_body(struct operation *operation) {
    struct bytes body = operation->request->body;
    if (body.length == 0) {
        rest_refuse(operation, 400, REST_BAD_BODY, "Failed to read contents of HTTP request: it has no body");
        return NULL;
    }
    if (mentions_private_key((const char *)body.data, body.length)) {
        refuse_private_key(operation);
        return NULL;
    }
    struct error error;
    json_t *json = json_parse(operation->reading, body.data, body.length, &error);
    if (json == NULL) {
        rest_refuse(operation, 400, REST_BAD_JSON, "Failed to parse request JSON: %s", error.message);
        return NULL;
    }
    if (!json_is_object(json)) {
        rest_refuse(operation, 400, REST_BAD_JSON, "Failed to parse request JSON: it must be an object");
        return NULL;
    }
    if (holds_private_key(json, 0)) {
        refuse_private_key(operation);
        return NULL;
    }
    return json;
}

/* --- the members --- */

static bool has_type(const json_t *json, bool is_right) {
    return json == NULL || json_is_null(json) || is_right;
}

static enum step_result check_types(struct operation *operation, const json_t *body) {
    const json_t *csr = json_object_get(body, "csr"), *type = json_object_get(body, "request_type"),
                 *validity = json_object_get(body, "requested_validity"),
                 *hostnames = json_object_get(body, "hostnames"), *item;
    const char *wrong = NULL;
    size_t i;
    if (!has_type(csr, json_is_string(csr)))
        wrong = "csr must be a string";
    else if (!has_type(type, json_is_string(type)))
        wrong = "request_type must be a string";
    else if (!has_type(validity, json_is_number(validity) || json_is_string(validity)))
        wrong = "requested_validity must be a number";
    else if (!has_type(hostnames, json_is_array(hostnames)))
        wrong = "hostnames must be an array of strings";
    json_array_foreach(hostnames, i, item) {
        if (!json_is_string(item))
            wrong = "hostnames must be an array of strings";
    }
    return wrong == NULL
               ? STEP_DONE
               : rest_refuse(operation, 400, REST_BAD_JSON, "Failed to parse request JSON: %s", wrong);
}

static bool read_days(const json_t *json, uint32_t *days) {
    static const uint32_t permitted[] = {7, 30, 90, 365, 730, 1095, 5475};
    double value = DAYS_DEFAULT;
    char *end;
    if (json_is_string(json)) {
        const char *text = json_string_value(json);
        value = strspn(text, "0123456789.") == strlen(text) && *text != '\0' ? strtod(text, &end) : -1;
        if (value >= 0 && *end != '\0')
            return false;
    } else if (json_is_number(json)) {
        value = json_number_value(json);
        if (value == 0) /* what a typed client sends for "not set" */
            value = DAYS_DEFAULT;
    }
    for (size_t i = 0; i < sizeof permitted / sizeof *permitted; i++)
        if (value == permitted[i]) {
            *days = permitted[i];
            return true;
        }
    return false;
}

static const char *read_type(const json_t *body) {
    static const char *const types[] = {"origin-rsa", "origin-ecc", "keyless-certificate"};
    const char *text = json_string_value(json_object_get(body, "request_type"));
    for (size_t i = 0; text != NULL && i < sizeof types / sizeof *types; i++)
        if (strcasecmp(text, types[i]) == 0)
            return types[i];
    return NULL;
}

/* PEM whose line ends became the two characters "\n" on their way through a shell. */
static char *unescape_lines(struct arena *arena, const char *text) {
    char *copy = arena_strdup(arena, text), *write = copy;
    for (const char *read = copy; read != NULL && *read != '\0';) {
        bool is_escape = read[0] == '\\' && (read[1] == 'n' || read[1] == 'r');
        *write++ = is_escape ? '\n' : *read;
        read += is_escape ? 2 : 1;
    }
    if (write != NULL)
        *write = '\0';
    return copy;
}

static enum step_result read_csr(struct operation *operation, const json_t *body, struct rest_create *out) {
    const json_t *csr = json_object_get(body, "csr");
    const char *sent = json_string_value(csr);
    out->csr_text = sent == NULL ? NULL : arena_strdup(operation->arena, sent);
    char *text = out->csr_text == NULL ? NULL : unescape_lines(operation->reading, out->csr_text);
    if (text == NULL || strstr(text, "-----BEGIN") == NULL)
        return rest_refuse(operation, 400, REST_EMPTY_CSR,
                           "CSR parsed as empty: a PEM block CERTIFICATE REQUEST is needed");
    if (pem_decode(operation->arena, "CERTIFICATE REQUEST", text, strlen(text), &out->csr_der) ||
        pem_decode(operation->arena, "NEW CERTIFICATE REQUEST", text, strlen(text), &out->csr_der))
        return out->csr_der.length > 0 ? STEP_DONE
                                       : rest_refuse(operation, 400, REST_EMPTY_CSR, "CSR parsed as empty");
    return rest_refuse(operation, 400, REST_BAD_CSR,
                       "Failed to parse CSR: it is no PEM block CERTIFICATE REQUEST");
}

/* --- hostnames --- */

static enum step_result refuse_hostname(struct operation *operation, const char *name, const char *why) {
    return rest_refuse(operation, 400, REST_BAD_HOSTNAME, "Failed to validate requested hostname %.253s: %s",
                       name, why);
}

static enum step_result add_hostname(struct operation *operation, const char *text, struct rest_create *out) {
    char canonical[NAME_MAX_BYTES + 1];
    struct error error;
    const char *ascii = name_to_ascii(operation->arena, text);
    if (ascii == NULL)
        return refuse_hostname(operation, text, "it cannot be written as an internationalized domain name");
    if (!name_check(ascii, canonical, &error))
        return refuse_hostname(operation, text, error.message);
    for (size_t i = 0; i < out->name_count; i++)
        if (strcmp(out->names[i], canonical) == 0)
            return STEP_DONE; /* duplicates are dropped without a word: see reply.c about messages */
    out->names[out->name_count] = arena_strdup(operation->arena, canonical);
    if (out->names[out->name_count++] != NULL)
        return STEP_DONE;
    error_set(&operation->error, ERROR_UNAVAILABLE, "API errors encountered: out of memory");
    return STEP_FAIL;
}

static enum step_result read_hostnames(struct operation *operation, const json_t *body,
                                       struct rest_create *out) {
    const json_t *hostnames = json_object_get(body, "hostnames"), *item;
    size_t i, count = json_array_size(hostnames), max = operation->worker->config->rest_max_hostnames;
    if (count == 0)
        return refuse_hostname(operation, "", "at least one hostname is needed");
    if (count > max)
        return rest_refuse(operation, 400, REST_TOO_MANY_HOSTNAMES,
                           "Too many hostnames requested: %zu; at most %zu are allowed", count, max);
    out->names = arena_alloc(operation->arena, count * sizeof *out->names);
    json_array_foreach(hostnames, i, item) {
        enum step_result result =
            strlen(json_string_value(item)) != json_string_length(item) || out->names == NULL
                ? refuse_hostname(operation, "", "it holds a NUL")
                : add_hostname(operation, json_string_value(item), out);
        if (result != STEP_DONE)
            return result;
    }
    return STEP_DONE;
}

enum step_result rest_read_create(struct operation *operation, const json_t *body, struct rest_create *out) {
    enum step_result result = check_types(operation, body);
    if (result != STEP_DONE)
        return result;
    out->request_type = read_type(body);
    if (out->request_type == NULL)
        return rest_refuse(
            operation, 400, REST_BAD_REQUEST_TYPE,
            "Unsupported request_type: origin-rsa, origin-ecc and keyless-certificate are known");
    if (!read_days(json_object_get(body, "requested_validity"), &out->validity_days))
        return rest_refuse(operation, 400, REST_BAD_VALIDITY, TEXT_BAD_VALIDITY);
    result = read_csr(operation, body, out);
    return result == STEP_DONE ? read_hostnames(operation, body, out) : result;
}
