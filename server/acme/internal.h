/* What the files of the ACME service share. */
#pragma once

#include <stdio.h>
#include <string.h>

#include "originca/acme.h"
#include "originca/jose.h"
#include "originca/json.h"
#include "originca/log.h"
#include "originca/nonce.h"
#include "originca/operation.h"
#include "originca/signer.h"
#include "originca/store.h"

struct acme_issuer {
    const char *name, *pem;
    struct bytes key_id;
    time_t not_before, not_after;
};

struct acme {
    struct worker *worker; /* first: operation.h */
    struct arena *arena;
    struct nonce_issuer nonces;
    const char *directory; /* JSON text */
    struct acme_issuer *issuers;
    size_t issuer_count;
    struct http_service service;
};

/* The common beginning of every POST's state. */
struct acme_post {
    struct acme *acme;
    struct jws jws;
    struct nonce nonce;
    struct jwk key;               /* of the header's jwk; kid: imported from the account */
    struct store_account account; /* id NULL where there is none (only with jwk) */
    const json_t *payload;        /* NULL for POST-as-GET, and once the request is forgotten */
    /* what a failure becomes; type NULL lets the error's code decide */
    const char *type;
    unsigned status, retry_after;
    json_t *subproblems;
    const char *location; /* of a 409 in a key change */
};

/* problem.c (RFC 8555 6.7) */
void acme_fail(struct operation *operation);
/* Sets type and status of the coming failure and the error; returns STEP_FAIL. */
enum step_result acme_refuse(struct operation *operation, unsigned status, const char *type,
                             const char *format, ...) PRINTF_LIKE(4, 5);
#define DNS_RETRY_SECONDS 30
/* DNS does not say: 400 dns, worth a retry. */
enum step_result acme_refuse_for_dns(struct operation *operation, const char *text);
/* What is not there and what is another account's look the same. */
enum step_result acme_refuse_absent(struct operation *operation);
/* A problem document for a dns identifier. */
void acme_add_subproblem(struct operation *operation, const char *type, const char *identifier,
                         const char *detail);
/* The same for an identifier of any type. */
void acme_add_subproblem_for(struct operation *operation, const char *type, const char *identifier_type,
                             const char *identifier, const char *detail);
char *acme_problem_text(struct operation *operation, const char *type, unsigned status, const char *detail,
                        json_t *subproblems);
void acme_send_problem(struct http_request *request, struct acme *acme, unsigned status, const char *type,
                       const char *detail, json_t *subproblems);

/* service.c */
const char *acme_url(struct operation *operation, const char *format, ...) PRINTF_LIKE(2, 3);
void acme_add_nonce(struct http_request *request, struct acme *acme);
/* Index link, nonce, then the JSON. */
void acme_reply_json(struct operation *operation, unsigned status, json_t *json);
void acme_reply(struct operation *operation, unsigned status, const char *content_type, const void *body,
                size_t length);
/* A completion for every store and signer call: resumes or fails the operation. */
void acme_done(void *context, const struct error *error);
static inline struct acme_post *acme_post_of(struct operation *operation) {
    return operation->state;
}

struct dnscheck_request;
/* Says for CAA whose order it is and how its names are proven (RFC 8657). */
void acme_describe_check(struct operation *operation, struct dnscheck_request *request);

struct dnscheck_result;
struct limits;
struct limits_order;
/* limits.c: a step that takes them, and the next one that judges. */
enum step_result acme_take_limits(struct operation *operation, bool is_built, struct limits *limits);
enum step_result acme_judge_limits(struct operation *operation, const struct limits *limits);
/* Whose orders and checks count; `customer` may be "". False: out of memory. */
bool acme_set_asker(struct operation *operation, struct limits_order *order, const char *customer) MUST_CHECK;
/* A step after each check (`result` NULL: there was none): what it found amiss pauses. */
enum step_result acme_note_failures(struct operation *operation, const struct limits *taken,
                                    const struct limits_order *order, const struct dnscheck_result *result);

/* authenticate.c (RFC 8555 6.2 to 6.5): steps that begin every POST */
/* ERROR_UNAVAILABLE with the reason while the worker does not serve. */
enum step_result acme_require_ready(struct operation *operation);
enum step_result acme_parse_with_kid(struct operation *operation);
enum step_result acme_parse_with_jwk(struct operation *operation);
enum step_result acme_parse_with_either(struct operation *operation);
enum step_result acme_load_account(struct operation *operation);
enum step_result acme_verify(struct operation *operation);
/* Frees payload, JWS and body: after it nothing of `jws` may be used. A POST-as-GET is forgotten by
 * acme_verify. */
enum step_result acme_forget_request(struct operation *operation);
/* POST-as-GET: the payload must be empty. */
enum step_result acme_require_empty(struct operation *operation);
#define ACME_AUTHENTICATE                                                                                    \
    {"await Redis", operation_await_ready}, {"parse", acme_parse_with_kid},                                  \
        {"load account", acme_load_account}, {                                                               \
        "verify", acme_verify                                                                                \
    }

/* order_view.c: objects as clients see them */
json_t *acme_order_json(struct operation *operation, const struct store_order *order);
json_t *acme_authorization_json(struct operation *operation, const struct store_order *order, size_t index);
json_t *acme_challenge_json(struct operation *operation, const struct store_order *order, size_t index);
void acme_reply_order(struct operation *operation, unsigned status, const struct store_order *order);
/* Status as of now: pending and ready orders expire (RFC 8555 7.1.6). */
enum store_order_status acme_order_status(const struct store_order *order);
enum store_authorization_status acme_authorization_status(const struct store_authorization *authorization);

/* handlers: one file a resource */
void acme_directory(struct http_request *request);
void acme_post_directory(struct http_request *request);
void acme_new_nonce(struct http_request *request);
void acme_post_new_nonce(struct http_request *request);
void acme_new_account(struct http_request *request);
void acme_account(struct http_request *request);
void acme_account_orders(struct http_request *request);
void acme_key_change(struct http_request *request);
void acme_new_order(struct http_request *request);
void acme_order(struct http_request *request);
void acme_authorization(struct http_request *request);
void acme_challenge(struct http_request *request);
void acme_finalize(struct http_request *request);
void acme_certificate(struct http_request *request);
void acme_revoke(struct http_request *request);
void acme_renewal_info(struct http_request *request);

char *acme_directory_text(struct acme *acme, struct error *error);
/* renewal_info.c (RFC 9773 4.1): certID to serial and issuer. */
bool acme_parse_certificate_id(const struct acme *acme, struct arena *arena, const char *text,
                               uint8_t serial[SERIAL_BYTES], const struct acme_issuer **issuer,
                               struct error *error) MUST_CHECK;
const struct acme_issuer *acme_find_issuer(const struct acme *acme, const char *name);
/* False for NULL. */
bool acme_issuer_is_in_force(const struct acme_issuer *issuer, time_t now);
/* RFC 9773 4.2: deterministic for a certificate, spread over its window. */
struct store_renewal;
void acme_renewal_window(const char *serial, const struct store_certificate *certificate,
                         const struct store_renewal *replacement, time_t *start, time_t *end);
/* Contacts of newAccount and update: JSON array text, checked. */
const char *acme_read_contacts(struct operation *operation, const json_t *payload);
