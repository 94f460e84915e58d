/* Records that give rights and take them away (doc/ledger.md, "Rights"): one table of their forms, the
 * judgement of what somebody asks to be written, and the record's members. */
#pragma once

#include "originca/json.h"
#include "originca/signer.h"
#include "zones.h"

enum right_kind {
    RIGHT_ZONES_KNOWN,
    RIGHT_ZONE_ADDED,
    RIGHT_ZONE_ENDED,
    RIGHT_ZONE_PAUSED,
    RIGHT_ZONE_RESUMED,
    RIGHT_ZONE_MOVED,
    RIGHT_ZONE_RETURNED,
    RIGHT_CUSTOMER_SUSPENDED,
    RIGHT_CUSTOMER_RESUMED,
    RIGHT_ISSUANCE_STOPPED,
    RIGHT_ISSUANCE_ALLOWED,
    RIGHT_ISSUER_STOPPED,
    RIGHT_ISSUER_ALLOWED,
    RIGHT_API_KEY_ENDED,
    RIGHT_EAB_KEY_ENDED,
    RIGHT_ACCOUNT_DEACTIVATED,
    RIGHT_ACCOUNT_KEY_CHANGED,
    RIGHT_HOST_EXCUSED,
    RIGHT_EMPTIED_ACCEPTED,
    RIGHT_SECRETS_ACCEPTED,
    RIGHT_KINDS
};

struct right_form {
    const char *type;           /* of the record, and the change's `kind` */
    const char *subject_member; /* NULL: it has none */
    bool is_for_workers;        /* else operators alone may say it */
    const char *words;          /* for a person: "zone %s was added" without the subject */
};
const struct right_form *right_form(enum right_kind kind);
/* False where no record of rights has that type. */
bool right_kind_of(const char *type, enum right_kind *kind) MUST_CHECK;

/* Are the texts of the change those of its kind, each in its form and bounds? `details` is the JSON value of
 * the record's `detail` or `jwk`, owned by the arena; NULL for none. */
bool right_judge(struct arena *arena, const struct signer_change *change, enum right_kind kind,
                 json_t **details, struct error *error) MUST_CHECK;
/* The record's members; a new reference, NULL when out of memory. */
json_t *right_describe(const struct signer_change *change, enum right_kind kind, json_t *details);
/* What the change means to what the signer knows of zones and their holders, once it counts. */
bool right_apply(struct zones *zones, enum right_kind kind, const char *subject, const char *name,
                 const char *customer, int64_t at_ms) MUST_CHECK;
