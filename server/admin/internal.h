/* What the files of the admin service share. */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "originca/admin.h"
#include "originca/dnscheck.h"
#include "originca/json.h"
#include "originca/log.h"
#include "originca/metrics.h"
#include "originca/operation.h"
#include "originca/rights.h"
#include "originca/secrets.h"
#include "originca/signer.h"
#include "originca/store.h"
#include "originca/worker_link.h"
#include "originca/zones.h"

#define LIST_DEFAULT 100
#define LIST_MAX 1000

struct admin {
    struct worker *worker; /* first: operation.h */
    struct http_service service;
};

/* Every operation's state begins with this. */
struct admin_call {
    const json_t *body; /* NULL where there is none */
    struct store_customer customer;
};

/* What a route's data is. The words are apart by spaces; what is not among them is refused. */
struct admin_route {
    void (*handle)(struct http_request *request);
    const char *members, *parameters; /* of the JSON body, of the query */
    bool is_stop;                     /* of two calls with one handler: the one that stops */
};

/* False with ERROR_INVALID where the body is no object or has a member that its route does not take. */
bool admin_check_members(const struct http_request *request, const json_t *body,
                         struct error *error) MUST_CHECK;
void admin_fail(struct operation *operation);
void admin_done(void *context, const struct error *error);
enum step_result admin_refuse(struct operation *operation, enum error_code code, const char *format, ...)
    PRINTF_LIKE(3, 4);
void admin_reply(struct operation *operation, unsigned status, json_t *json); /* takes the reference */
/* Steps that begin calls: the JSON body; the customer named in the body ("customer") or in the path (:id). */
enum step_result admin_read_body(struct operation *operation);
enum step_result admin_find_body_customer(struct operation *operation);
enum step_result admin_find_path_customer(struct operation *operation);
/* ?customer=, by id or name; without it the customer stays empty. */
enum step_result admin_find_query_customer(struct operation *operation);
/* Of what Redis is told after the ledger: a Redis that does not take it leaves ERROR_PENDING. */
void admin_done_recorded(void *context, const struct error *error);
/* What the signer is told of Redis. */
struct signer_position admin_position_of(const struct store_ledger_state *state);
/* Refused while another server writes under this host_name. */
enum step_result admin_require_own_ledger(struct operation *operation,
                                          const struct store_ledger_state *ledger);
/* For what is derived from the secret files: refused where Redis rests on others. */
enum step_result admin_require_secrets(struct operation *operation);
enum step_result admin_require_ready(struct operation *operation);
/* False while the fence is shut: Redis may lack what the ledgers hold, so that something is so already there,
 * or is not there, says nothing. What is asked is recorded then, as the newest word. */
bool admin_may_trust_redis(const struct operation *operation);
bool admin_read_limit(struct operation *operation, uint32_t *limit) MUST_CHECK;
/* A zone's id or name as the store spells it: names are compared without regard to case (RFC 4343), with a
 * final dot or without, U-labels as their A-labels; ids are lower-case hex. For finding alone: a new zone's
 * name is refused, never repaired. NULL without memory. */
const char *admin_zone_key(struct operation *operation, const char *name_or_id);
bool admin_has_issuer(const struct operation *operation, const char *name); /* selection.c */
/* Refuses and names those that there are. */
enum step_result admin_refuse_issuer(struct operation *operation, enum error_code code, const char *name);
/* The end of all accounts that a binding key has bound, some at a call. */
struct admin_account_ends {
    struct operation *operation;
    const char *customer, *eab_kid;
    struct store_account_list page;
    size_t next; /* of the page */
    struct store_account account;
    struct rights rights;
    size_t count;  /* that were ended */
    bool has_more; /* the same call again ends the next ones */
};
/* Resumes the operation where they have ended, or fails it. `ends` lives in its state. */
void admin_end_accounts(struct operation *operation, struct admin_account_ends *ends, const char *customer,
                        const char *eab_kid);
/* Who asks, for a ledger record. */
const char *admin_by(struct operation *operation);
/* Writes the rights to the ledger; waits. */
enum step_result admin_record_rights(struct operation *operation, struct rights *rights);
void admin_set_time(json_t *json, const char *name, time_t when); /* left out where 0 */
void admin_set_document(json_t *json, const char *name,
                        const char *text); /* JSON text; left out where empty */
void admin_set_cursor(json_t *json, const char *cursor);
json_t *admin_strings(const char *const *strings, size_t count);

void admin_create_customer(struct http_request *request);
void admin_list_customers(struct http_request *request);
void admin_show_customer(struct http_request *request);
void admin_suspend_customer(struct http_request *request);
void admin_create_eab_key(struct http_request *request);
void admin_list_eab_keys(struct http_request *request);
void admin_delete_eab_key(struct http_request *request);
void admin_create_api_key(struct http_request *request);
void admin_list_api_keys(struct http_request *request);
void admin_delete_api_key(struct http_request *request);
void admin_create_account(struct http_request *request);
void admin_list_accounts(struct http_request *request);
void admin_list_unbound_accounts(struct http_request *request);
void admin_show_account(struct http_request *request);
void admin_deactivate_account(struct http_request *request);
void admin_create_zone(struct http_request *request);
void admin_list_zones(struct http_request *request);
void admin_show_zone(struct http_request *request);
void admin_check_zone(struct http_request *request);
void admin_delete_zone(struct http_request *request);
void admin_pause_zone(struct http_request *request);
void admin_list_orders(struct http_request *request);
void admin_show_order(struct http_request *request);
void admin_list_crls(struct http_request *request);
void admin_drop_unproven(struct http_request *request);
void admin_list_certificates(struct http_request *request);
void admin_show_certificate(struct http_request *request);
void admin_revoke_certificate(struct http_request *request);
void admin_add_serials(struct http_request *request);
void admin_create_revocation(struct http_request *request);
void admin_list_revocations(struct http_request *request);
void admin_show_revocation(struct http_request *request);
void admin_cancel_revocation(struct http_request *request);
void admin_create_replacement(struct http_request *request);
void admin_list_replacements(struct http_request *request);
void admin_show_replacement(struct http_request *request);
void admin_list_waiting(struct http_request *request);
void admin_cancel_replacement(struct http_request *request);
void admin_show_stats(struct http_request *request);
void admin_set_signing(struct http_request *request);
void admin_stop_issuance(struct http_request *request);
void admin_show_issuance(struct http_request *request);
void admin_retry_token(struct http_request *request);
void admin_confirm_loss(struct http_request *request);
void admin_accept_empty(struct http_request *request);
void admin_accept_secrets(struct http_request *request);
void admin_list_ledger_hosts(struct http_request *request);
void admin_excuse_host(struct http_request *request);
void admin_metrics(struct http_request *request);
void admin_health(struct http_request *request);
void admin_readiness(struct http_request *request);
