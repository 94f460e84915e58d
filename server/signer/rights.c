/* One table of kinds; everything else looks there. */
#include "rights.h"

#include <string.h>

#include "originca/jose.h"
#include "originca/names.h"

#define ID_MAX 128
#define DETAIL_MAX 500
#define JWK_MAX 2048 /* RSA-8192 takes 1,400 */

static const struct right_form forms[RIGHT_KINDS] = {
    [RIGHT_ZONES_KNOWN] = {"zones-known", NULL, false, "the signer knows all zones from here on"},
    [RIGHT_ZONE_ADDED] = {"zone-added", "zone", false, "zone added"},
    [RIGHT_ZONE_ENDED] = {"zone-ended", "zone", false, "zone deleted"},
    [RIGHT_ZONE_PAUSED] = {"zone-paused", "zone", false, "zone paused"},
    [RIGHT_ZONE_RESUMED] = {"zone-resumed", "zone", false, "zone resumed"},
    [RIGHT_ZONE_MOVED] = {"zone-moved", "zone", true, "zone delegated elsewhere"},
    [RIGHT_ZONE_RETURNED] = {"zone-returned", "zone", true, "zone delegated here again"},
    [RIGHT_CUSTOMER_SUSPENDED] = {"customer-suspended", "customer", false, "customer suspended"},
    [RIGHT_CUSTOMER_RESUMED] = {"customer-resumed", "customer", false, "customer resumed"},
    [RIGHT_ISSUANCE_STOPPED] = {"issuance-stopped", NULL, false, "issuance stopped"},
    [RIGHT_ISSUANCE_ALLOWED] = {"issuance-allowed", NULL, false, "issuance allowed"},
    [RIGHT_ISSUER_STOPPED] = {"issuer-stopped", "issuer", false, "issuance stopped for an issuer"},
    [RIGHT_ISSUER_ALLOWED] = {"issuer-allowed", "issuer", false, "issuance allowed for an issuer"},
    [RIGHT_API_KEY_ENDED] = {"api-key-ended", "key", false, "API key ended"},
    [RIGHT_EAB_KEY_ENDED] = {"eab-key-ended", "kid", false, "EAB key revoked"},
    [RIGHT_ACCOUNT_DEACTIVATED] = {"account-deactivated", "account", true, "account deactivated"},
    [RIGHT_ACCOUNT_KEY_CHANGED] = {"account-key-changed", "account", true, "account key changed"},
    [RIGHT_HOST_EXCUSED] = {"host-excused", "excused_host", false, "the ledger of a host is not awaited"},
    [RIGHT_EMPTIED_ACCEPTED] = {"emptied-accepted", NULL, false, "an emptied Redis was accepted"},
    [RIGHT_SECRETS_ACCEPTED] = {"secrets-accepted", NULL, false, "other secret files were accepted"},
};

const struct right_form *right_form(enum right_kind kind) {
    return &forms[kind];
}

bool right_kind_of(const char *type, enum right_kind *kind) {
    for (size_t i = 0; i < RIGHT_KINDS; i++)
        if (strcmp(forms[i].type, type) == 0) {
            *kind = (enum right_kind)i;
            return true;
        }
    return false;
}

static const char *text(const char *given) {
    return given == NULL ? "" : given;
}

static bool is_id(const char *id) {
    size_t length = strlen(id);
    return length > 0 && length <= ID_MAX &&
           strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") == length;
}

/* What people read, and logs: UTF-8 without control characters. */
static bool is_plain(const char *given, size_t max) {
    size_t length = strlen(given);
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)given[i] < ' ' || given[i] == 127)
            return false;
    json_t *json = length > max ? NULL : json_string(given);
    json_decref(json);
    return json != NULL;
}

static bool judge_zone(const struct signer_change *change, struct error *error) {
    char canonical[NAME_MAX_BYTES + 1];
    const char *name = text(change->name);
    if (!name_check_host(name, canonical, error) || strcmp(canonical, name) != 0 ||
        !is_id(text(change->customer)))
        return error_set(error, ERROR_INVALID, "a zone needs a canonical name and a customer");
    return true;
}

/* The new key itself: a replay gives the account that key and no other. */
static bool judge_key(struct arena *arena, const struct signer_change *change, json_t **details,
                      struct error *error) {
    const char *detail = text(change->detail);
    struct jwk jwk;
    const json_t *json = strlen(detail) > JWK_MAX ? NULL : json_parse(arena, detail, strlen(detail), error);
    if (json == NULL || !jwk_import(arena, json, &jwk, error) ||
        strcmp(jwk.thumbprint, text(change->name)) != 0)
        return error_set(error, ERROR_INVALID, "a key change needs the public key and its thumbprint");
    *details = json_parse(arena, jwk.canonical, strlen(jwk.canonical), error);
    return *details != NULL;
}

bool right_judge(struct arena *arena, const struct signer_change *change, enum right_kind kind,
                 json_t **details, struct error *error) {
    bool has_subject = forms[kind].subject_member != NULL;
    *details = NULL;
    if (has_subject ? !is_id(text(change->subject)) : *text(change->subject) != '\0')
        return error_set(error, ERROR_INVALID, "%s: the subject is no id", forms[kind].type);
    if (*text(change->by) == '\0' || !is_plain(change->by, SIGNER_BY_MAX))
        return error_set(error, ERROR_INVALID, "%s: it does not say who asks", forms[kind].type);
    if (change->at_ms < 0 || change->at_ms > ZONES_TIME_MAX)
        return error_set(error, ERROR_INVALID, "%s: its time is out of bounds", forms[kind].type);
    if (kind == RIGHT_ACCOUNT_KEY_CHANGED)
        return *text(change->customer) == '\0'
                   ? judge_key(arena, change, details, error)
                   : error_set(error, ERROR_INVALID, "a key change has no customer");
    if (kind == RIGHT_ZONE_ADDED ? !judge_zone(change, error)
                                 : *text(change->name) != '\0' || *text(change->customer) != '\0')
        return error_set(error, ERROR_INVALID, "%s: a text of the change is malformed or none of its kind",
                         forms[kind].type);
    if (*text(change->detail) == '\0')
        return true;
    *details =
        is_plain(change->detail, DETAIL_MAX) ? arena_own_json(arena, json_string(change->detail)) : NULL;
    return *details != NULL ||
           error_set(error, ERROR_INVALID, "%s: the detail is no text of at most %d bytes", forms[kind].type,
                     DETAIL_MAX);
}

json_t *right_describe(const struct signer_change *change, enum right_kind kind, json_t *details) {
    json_t *fields = json_object();
    int outcome = fields == NULL ? -1 : 0;
    if (forms[kind].subject_member != NULL)
        outcome |= json_object_set_new(fields, forms[kind].subject_member, json_string(change->subject));
    if (kind == RIGHT_ZONE_ADDED) {
        outcome |= json_object_set_new(fields, "name", json_string(change->name));
        outcome |= json_object_set_new(fields, "customer", json_string(change->customer));
    }
    if (kind == RIGHT_ACCOUNT_KEY_CHANGED)
        outcome |= json_object_set_new(fields, "thumbprint", json_string(change->name));
    if (details != NULL)
        outcome |= json_object_set(fields, kind == RIGHT_ACCOUNT_KEY_CHANGED ? "jwk" : "detail", details);
    outcome |= json_object_set_new(fields, "at_ms", json_integer((json_int_t)change->at_ms));
    outcome |= json_object_set_new(fields, "by", json_string(change->by));
    if (outcome == 0)
        return fields;
    json_decref(fields);
    return NULL;
}

bool right_apply(struct zones *zones, enum right_kind kind, const char *subject, const char *name,
                 const char *customer, int64_t at_ms) {
    switch (kind) {
    case RIGHT_ZONES_KNOWN:
        zones_set_known(zones);
        return true;
    case RIGHT_ZONE_ADDED:
        return zones_add(zones, subject, name, customer, at_ms);
    case RIGHT_ZONE_ENDED:
        return zones_end(zones, subject, at_ms);
    case RIGHT_ZONE_PAUSED:
    case RIGHT_ZONE_RESUMED:
        return zones_set_paused(zones, subject, kind == RIGHT_ZONE_PAUSED, at_ms);
    case RIGHT_ZONE_MOVED:
    case RIGHT_ZONE_RETURNED:
        return zones_set_moved(zones, subject, kind == RIGHT_ZONE_MOVED, at_ms);
    case RIGHT_CUSTOMER_SUSPENDED:
    case RIGHT_CUSTOMER_RESUMED:
        return zones_set_suspended(zones, subject, kind == RIGHT_CUSTOMER_SUSPENDED, at_ms);
    case RIGHT_ACCOUNT_DEACTIVATED:
        return zones_end_account(zones, subject, at_ms);
    case RIGHT_ISSUANCE_STOPPED:
    case RIGHT_ISSUANCE_ALLOWED:
        return zones_set_stopped(zones, ZONES_EVERY_ISSUER, kind == RIGHT_ISSUANCE_STOPPED, at_ms);
    case RIGHT_ISSUER_STOPPED:
    case RIGHT_ISSUER_ALLOWED:
        return zones_set_stopped(zones, subject, kind == RIGHT_ISSUER_STOPPED, at_ms);
    default:
        return true; /* nothing that a signature is asked by */
    }
}
