/* Recording what was issued: the commit of a certificate, and the arguments that it shares with the ledger's
 * replay. */
#include "call.h"
#include "link.h"

void issue_add(struct store_call *call, const struct store_certificate *certificate, const char *attempt) {
    call_add(call, certificate->serial);
    call_add(call, attempt);
    call_add(call, certificate->order);
    call_add(call, certificate->account);
    call_add(call, certificate->customer);
    call_add_joined(call, certificate->names, certificate->name_count);
    call_add_joined(call, certificate->zones, certificate->zone_count);
    call_add(call, certificate->profile);
    call_add(call, certificate->issuer);
    call_add(call, certificate->spki_sha256);
    call_add_number(call, certificate->not_before);
    call_add_number(call, certificate->not_after);
    call_add_number(call, certificate->issued_at);
    call_add_bytes(call, certificate->der.data, certificate->der.length);
}

void issue_add_mark(struct store_call *call, const struct store_ledger_mark *mark) {
    call_add(call, mark == NULL ? "" : mark->host);
    for (size_t i = 0; mark != NULL && i < mark->count; i++)
        call_add_number(call, (int64_t)mark->sequences[i]);
}

void store_commit_certificate(struct store *store, const struct store_certificate *certificate,
                              const char *attempt, const struct store_ledger_mark *mark, store_done *done,
                              void *context) {
    const struct config *config = store_config(store);
    struct store_call *call = call_new(store, SCRIPT_COMMIT_CERTIFICATE, NULL, NULL, NULL, done, context);
    if (call == NULL)
        return;
    call->is_durable = true;
    call_add_number(call, config->certificate_retention_seconds);
    call_add_number(call, config->evidence_retention_seconds);
    issue_add(call, certificate, attempt);
    issue_add_mark(call, mark);
    call_send(call);
}
