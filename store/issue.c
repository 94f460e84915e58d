/* Recording what was issued: the commit of a certificate, and the arguments that it shares with the ledger's
 * replay. */
#include <stdio.h>
#include <string.h>

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
    call_add(call, certificate->crl_url);
}

/* "sequence:hash", or the sequence alone. */
static void add_mark(struct store_call *call, uint64_t sequence, const uint8_t *hash) {
    static const uint8_t unknown[SHA256_BYTES];
    char text[24 + 2 * SHA256_BYTES];
    int length = snprintf(text, sizeof text, "%llu", (unsigned long long)sequence);
    if (hash != NULL && memcmp(hash, unknown, sizeof unknown) != 0) {
        text[length] = ':';
        hex_encode(hash, SHA256_BYTES, text + length + 1);
    }
    call_add(call, text);
}

void issue_add_mark(struct store_call *call, const struct store_ledger_mark *mark) {
    call_add(call, mark == NULL ? "" : mark->host);
    if (mark != NULL)
        issue_add_marks(call, mark);
}

void issue_add_marks(struct store_call *call, const struct store_ledger_mark *mark) {
    for (size_t i = 0; i < mark->count; i++)
        add_mark(call, mark->sequences[i], mark->hashes == NULL ? NULL : mark->hashes + i * SHA256_BYTES);
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
