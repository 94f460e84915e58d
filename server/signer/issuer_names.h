/* Which key and which subject name each issuer's configured name stands for, by the ledger. Certificates,
 * revocation lists and OCSP answers are found by that name alone: under another key it would leave all that
 * the former key signed without revocation, and vouch for what the new one never issued. So the first key
 * under a name keeps it for ever, as a record of the ledger that the head of each further segment repeats
 * (doc/ledger.md): the last segment alone tells all. */
#pragma once

#include "certificate.h"
#include "ledger.h"

#define ISSUER_NAME_MAX 64

struct issuer_names;

struct issuer_name {
    char name[ISSUER_NAME_MAX + 1];
    bool is_bound; /* else the ledger is of a version without such records */
    struct issuer_identity identity;
    uint64_t issued; /* the newest record of a certificate that came before it was bound; 0: none */
};

struct issuer_names *issuer_names_new(void);
void issuer_names_free(struct issuer_names *names);
/* NULL: the ledger does not know it. Valid until the next change. */
const struct issuer_name *issuer_names_find(const struct issuer_names *names, const char *name);
/* ERROR_INVALID: no name, or bound to another key or subject; ERROR_INTERNAL. */
bool issuer_names_bind(struct issuer_names *names, const char *name, const struct issuer_identity *identity,
                       struct error *error) MUST_CHECK;
/* What a record, or the head of a segment, says of issuers; others change nothing. */
bool issuer_names_read(struct issuer_names *names, const struct ledger_record *record,
                       struct error *error) MUST_CHECK;
/* The same of a record that is parsed. */
bool issuer_names_take(struct issuer_names *names, const json_t *record, struct error *error) MUST_CHECK;
/* Of a name that is not bound; false when out of memory. */
bool issuer_names_note_issued(struct issuer_names *names, const char *name, uint64_t sequence) MUST_CHECK;
/* The members of an `issuer` record, and all that are bound for the head of a segment; NULL when out of
 * memory. */
json_t *issuer_name_describe(const char *name, const struct issuer_identity *identity);
json_t *issuer_names_describe(const struct issuer_names *names);
/* ERROR_CONFLICT: the ledger knows another key or subject under this issuer's name; the message says what to
 * do. */
bool issuer_names_judge(const struct issuer_names *names, const struct issuer *issuer,
                        struct error *error) MUST_CHECK;
bool issuer_name_is_anothers(const struct issuer *issuer, const char *what, struct error *error) MUST_CHECK;

/* Of the ledger in this folder, beside a signer that may be writing it: its last segment is read. Nothing
 * where there is none. */
bool issuer_names_load_ledger(struct issuer_names *names, const char *directory,
                              struct error *error) MUST_CHECK;

/* For the checkpoint: all of it as bytes, and back into an empty memory. */
size_t issuer_names_saved_length(const struct issuer_names *names);
void issuer_names_save(const struct issuer_names *names, uint8_t *out);
bool issuer_names_load(struct issuer_names *names, const uint8_t *bytes, size_t length) MUST_CHECK;
