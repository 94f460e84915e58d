/* One certificate: what is wanted, how it is got, what is remembered for its renewal. */
#pragma once

#include "customer.h"
#include "keymaker.h"

struct order {
    const char *name;  /* of the state file */
    json_t *hostnames; /* array of strings, in the order they were given */
    unsigned days;
    struct key_choice choice;
    const char *key_format, *request_type, *format, *key_out, *certificate_out, *key_group, *reload_hook,
        *issuer_file;
    const char *csr;      /* a request to use: no key is made then */
    const char *kept_key; /* a key to use again, NULL makes one */
    bool may_replace, has_state;
};

/* The whole way: key, request, POST, check, files, state, hook. The files are in place when it succeeds, and
 * none has changed when it fails. `summary` is what --json prints. A hook that fails is no failure: the
 * summary says "hook": "failed". */
bool issue_certificate(struct customer *customer, const struct order *order, json_t **summary) MUST_CHECK;
/* Runs the hook once more; true when it ended with 0. */
bool issue_run_hook(const struct order *order, const char *id);

/* state.c: one JSON file a certificate, NAME.json, mode 0600, without any secret. */
const char *state_directory(struct customer *customer);
bool state_name_check(const char *name, struct error *error) MUST_CHECK;
bool state_prepare(struct customer *customer) MUST_CHECK; /* makes the folder */
bool state_save(struct customer *customer, const struct order *order, const char *id, time_t not_before,
                time_t not_after, bool has_hook_failed) MUST_CHECK;
/* NULL with ERROR_NOT_FOUND where there is none. */
json_t *state_load(struct customer *customer, const char *name);
bool state_order(struct customer *customer, const json_t *state, struct order *order) MUST_CHECK;
/* Array of names, sorted. */
json_t *state_names(struct customer *customer);
/* Two `renew` at a time would renew twice. The lock ends with the process. */
bool state_lock(struct customer *customer) MUST_CHECK;
/* A moment for renewal: two thirds into the life, spread over a twelfth of it by the id, as the server's ARI.
 */
void state_window(const char *id, time_t not_before, time_t not_after, time_t *start, time_t *end);
