/* What the files of the REST API share. */
#pragma once

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "originca/api_key.h"
#include "originca/json.h"
#include "originca/limits.h"
#include "originca/log.h"
#include "originca/operation.h"
#include "originca/rest.h"
#include "originca/store.h"

/* Codes of the API this one is compatible with; clients look at some of them. */
enum rest_code {
    REST_RATE_LIMITED = 971,
    REST_API_ERROR = 1000,
    REST_NO_AUTHORIZATION = 1001,
    REST_BAD_REQUEST_TYPE = 1002,
    REST_BAD_BODY = 1003,
    REST_BAD_JSON = 1004,
    REST_TOO_MANY_HOSTNAMES = 1005,
    REST_EMPTY_CSR = 1007,
    REST_BAD_VALIDITY = 1009,
    REST_BAD_HOSTNAME = 1010,
    REST_BAD_CSR = 1011,
    REST_ZONE_NEEDED = 1012,
    REST_SERIAL_NEEDED = 1013,
    REST_REVOKED_ALREADY = 1014,
    REST_NOT_AUTHORIZED = 1016,
    REST_NOT_WRITTEN = 1100,
    REST_NOT_FOUND = 1101,
    REST_CA_REFUSED = 1200,
    REST_CA_FAILED = 1201,
    REST_STOPPED = 1202, /* issuance; the message says by which stop */
    REST_NO_ROUTE = 7000,
    REST_BAD_METHOD = 7001,
    REST_NO_OBJECT = 7003,
    REST_AUTHENTICATION = 10000,
};

#define TEXT_NOT_FOUND "Failed to read certificate from Database"
#define TEXT_NOT_AUTHORIZED "User is not authorized to perform this action"
#define TEXT_ZONE_UNKNOWN                                                                                    \
    "This zone is either not part of your account, or you do not have access to it. Please contact support " \
    "if using a multi-user organization."

struct rest_issuer {
    const char *name;
    struct bytes der;
    time_t not_before, not_after;
};

struct rest {
    struct worker *worker; /* first: operation.h */
    struct arena *arena;
    struct rest_issuer *issuers;
    size_t issuer_count;
    struct http_service service;
};

/* Where in the request a key was found. */
enum rest_auth_form { REST_AUTH_SERVICE_KEY, REST_AUTH_BEARER, REST_AUTH_EMAIL, REST_AUTH_KEY_ALONE };
#define REST_AUTH_FORMS 3 /* that one request can carry at once */

struct rest_candidate {
    enum rest_auth_form form;
    const char *text;
    char id[API_KEY_ID_HEX + 1];
};

/* Every operation's state begins with this. */
struct rest_call {
    struct rest *rest;
    struct rest_candidate candidates[REST_AUTH_FORMS];
    size_t candidate_count, next_candidate;
    bool has_credentials; /* any at all, well-formed or not */
    enum rest_auth_form form;
    struct store_api_key key; /* of the caller */
    unsigned rights;
    struct limits limits;
    /* what a failure becomes; code 0 lets the error's code decide */
    unsigned status;
    enum rest_code code;
    unsigned retry_after;
    json_t *errors; /* further ones, behind the first */
};

struct rest_paging {
    uint32_t offset, limit, page;
};

static inline struct rest_call *rest_call_of(struct operation *operation) {
    return operation->state;
}

/* service.c */
const struct rest_issuer *rest_find_issuer(const struct rest *rest, const char *name);
const char *rest_openapi_text(void);

/* reply.c: the envelope of every answer */
void rest_fail(struct operation *operation);
enum step_result rest_refuse(struct operation *operation, unsigned status, enum rest_code code,
                             const char *format, ...) PRINTF_LIKE(4, 5);
void rest_send_error(struct http_request *request, unsigned status, enum rest_code code, const char *message,
                     const json_t *more);
/* Takes both references; `info` may be NULL. Always the last thing of an operation. */
enum step_result rest_reply(struct operation *operation, json_t *result, json_t *info);
enum step_result rest_reply_messages(struct operation *operation, json_t *result, json_t *messages);
/* The headers that every answer carries. */
void rest_add_headers(struct http_request *request);
void rest_done(void *context, const struct error *error);
json_t *rest_result_info(const struct rest_paging *paging, size_t count, uint64_t total);
bool rest_read_paging(struct operation *operation, struct rest_paging *paging) MUST_CHECK;

/* authenticate.c: steps that begin every call */
enum step_result rest_read_credentials(struct operation *operation);
enum step_result rest_check_credentials(struct operation *operation);
/* limits.c */
enum step_result rest_take_key_limit(struct operation *operation);
/* `is_new`: an order of its own; else only a check for one that is there. */
enum step_result rest_take_order_limits(struct operation *operation, const struct limits_order *order,
                                        bool is_new);
enum step_result rest_take_revocation_limits(struct operation *operation,
                                             const struct store_certificate *certificate);
enum step_result rest_judge_limits(struct operation *operation);
/* After a check; `result` NULL: there was none. */
enum step_result rest_note_failures(struct operation *operation, const struct limits_order *order,
                                    const struct dnscheck_result *result);
#define REST_AUTHENTICATE                                                                                    \
    {"await Redis", operation_await_ready}, {"read credentials", rest_read_credentials},                     \
        {"check credentials", rest_check_credentials}, {"take limit of the key", rest_take_key_limit}, {     \
        "judge limit of the key", rest_judge_limits                                                          \
    }
enum step_result rest_require(struct operation *operation, enum api_key_right right);
bool rest_may_use_zone(const struct rest_call *call, const char *zone_id);

/* request.c: the body of a create */
struct rest_create {
    const char *csr_text; /* as sent */
    struct bytes csr_der;
    const char *request_type;
    uint32_t validity_days;
    const char **names; /* canonical, in the order of the request, without duplicates */
    size_t name_count;
};
/* The body as a JSON object, or NULL after rest_refuse. What holds a private key is refused and wiped. */
json_t *rest_read_body(struct operation *operation);
enum step_result rest_read_create(struct operation *operation, const json_t *body, struct rest_create *out);

/* certificate_view.c */
json_t *rest_certificate_json(struct operation *operation, const struct store_certificate *certificate,
                              const char *csr, bool as_strings);
/* Who revoked it, why, and whether `crl`, its list, has it (its id NULL: not known); the arena's. */
json_t *rest_revocation_json(struct operation *operation, const struct store_certificate *certificate,
                             const struct store_crl *crl);
/* Answers in the form that ?format= or Accept asks for; JSON by default, with `revocation` where that is not
 * NULL. */
enum step_result rest_reply_certificate(struct operation *operation,
                                        const struct store_certificate *certificate, const char *csr,
                                        bool as_strings, const json_t *revocation);
bool rest_check_format(struct operation *operation) MUST_CHECK;
bool rest_serial_text(const char *hex, char decimal[SERIAL_DECIMAL_MAX]);

/* handlers */
void rest_create_certificate(struct http_request *request);
void rest_list_certificates(struct http_request *request);
void rest_get_certificate(struct http_request *request);
void rest_revoke_certificate(struct http_request *request);
void rest_serial_needed(struct http_request *request);
void rest_list_zones(struct http_request *request);
void rest_get_zone(struct http_request *request);
void rest_get_ssl(struct http_request *request);
void rest_set_ssl(struct http_request *request);
void rest_verify_token(struct http_request *request);
void rest_openapi(struct http_request *request);
