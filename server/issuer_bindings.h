/* Hosts that share a Redis answer for each other's certificates and list each other's revocations, and find
 * the issuer by its name alone. So Redis keeps which key and subject the first host had under a name, and one
 * that has others serves nobody and says so. (What this host's own signer had is in its ledger:
 * doc/ledger.md.)
 */
#pragma once

#include "originca/signer.h"
#include "originca/store.h"
#include "originca/worker.h"

struct issuer_bindings;

/* Reads the issuing certificates; ERROR_INVALID names the one that cannot be read. */
struct issuer_bindings *issuer_bindings_new(struct worker *worker, struct error *error);
void issuer_bindings_free(struct issuer_bindings *bindings);
/* ERROR_CONFLICT with a reason for the operator: another is known under one of the names. */
void issuer_bindings_compare(struct issuer_bindings *bindings, store_done *done, void *context);
/* By which the signer tells whether it has the same ones. */
struct signer_issuers_hash issuer_bindings_hash(const struct issuer_bindings *bindings);
/* Did the last comparison find all of them? */
bool issuer_bindings_are_known(const struct issuer_bindings *bindings);
/* Compares, and keeps those that are not known. */
void issuer_bindings_bind(struct issuer_bindings *bindings, store_done *done, void *context);
