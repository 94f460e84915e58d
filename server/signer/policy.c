/* The signer's own judgement. Every comparison is against the signer's configuration and clock; unknown means
 * no. */
#include "policy.h"

#include <stdio.h>
#include <string.h>

#include <gnutls/x509.h>

#include "originca/keys.h"
#include "originca/names.h"

#define ID_MAX 128
#define NAMES_MAX 1000
#define SPKI_MAX_BYTES 2048

static bool is_id(const char *text, bool may_be_empty) {
    size_t length = strlen(text);
    return length <= ID_MAX && (length > 0 || may_be_empty) &&
           strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == length;
}

static bool judge_ids(const struct signer_certificate_request *request, struct error *error) {
    bool is_good = is_id(request->attempt, false) && is_id(request->order, false) &&
                   is_id(request->account, true) && is_id(request->customer, true) &&
                   is_id(request->request_id, true) && request->zone_count > 0;
    for (size_t i = 0; i < request->zone_count; i++)
        is_good = is_good && is_id(request->zones[i], false);
    return is_good || error_set(error, ERROR_REFUSED, "an id of the request is malformed or missing");
}

static bool judge_names(const struct signer_certificate_request *request, struct error *error) {
    char canonical[NAME_MAX_BYTES + 1];
    if (request->name_count == 0 || request->name_count > NAMES_MAX)
        return error_set(error, ERROR_REFUSED, "a certificate has 1 to %d names, not %zu", NAMES_MAX,
                         request->name_count);
    if (request->zone_count > request->name_count)
        return error_set(error, ERROR_REFUSED, "there are %zu zones for %zu names; a name is in one zone",
                         request->zone_count, request->name_count);
    for (size_t i = 0; i < request->name_count; i++) {
        if (!name_check(request->names[i], canonical, error)) {
            if (error != NULL)
                error->code = ERROR_REFUSED;
            return false;
        }
        if (strcmp(canonical, request->names[i]) != 0)
            return error_set(error, ERROR_REFUSED, "the name %s is not in its canonical form", canonical);
        for (size_t k = 0; k < i; k++)
            if (strcmp(request->names[i], request->names[k]) == 0)
                return error_set(error, ERROR_REFUSED, "the name %s is there twice", canonical);
    }
    return true;
}

/* Exactly one piece of evidence for each name, none of the future, none too old: one name checked N times is
 * not N names checked (Let's Encrypt, 2020-02-29). */
static bool judge_evidence(const struct config *config, int64_t now_ms,
                           const struct signer_certificate_request *request, struct error *error) {
    if (request->evidence_count != request->name_count)
        return error_set(error, ERROR_REFUSED, "there are %zu proofs of ownership for %zu names",
                         request->evidence_count, request->name_count);
    for (size_t i = 0; i < request->name_count; i++) {
        const struct signer_evidence *evidence = &request->evidence[i];
        int64_t age = now_ms / 1000 - (evidence->checked_at < 0 ? 0 : evidence->checked_at);
        if (strcmp(evidence->name, request->names[i]) != 0)
            return error_set(error, ERROR_REFUSED, "there is no proof of ownership for %s",
                             request->names[i]);
        if (age < -5 || age > config->evidence_max_age_seconds)
            return error_set(error, ERROR_UNAVAILABLE, /* a fresh check will do */
                             "the proof of ownership for %s is %lld seconds old; at most %u are allowed",
                             request->names[i], (long long)age, config->evidence_max_age_seconds);
        if (strcmp(evidence->method, "dns-delegation") != 0 && strcmp(evidence->method, "dns-01") != 0)
            return error_set(error, ERROR_REFUSED, "the method of proof for %s is unknown",
                             request->names[i]);
    }
    return true;
}

static bool judge_key(struct arena *arena, struct sign_job *job, struct error *error) {
    struct key_facts facts;
    gnutls_pubkey_t key;
    const struct bytes *spki = &job->request.spki;
    if (spki->length > SPKI_MAX_BYTES)
        return error_set(error, ERROR_REFUSED, "the public key is larger than %d bytes", SPKI_MAX_BYTES);
    if (gnutls_pubkey_init(&key) < 0)
        return error_set(error, ERROR_INTERNAL, "out of memory");
    gnutls_datum_t data = {(unsigned char *)(uintptr_t)spki->data, (unsigned)spki->length};
    bool is_good = gnutls_pubkey_import(key, &data, GNUTLS_X509_FMT_DER) >= 0
                       ? key_judge(arena, key, KEY_USE_CERTIFICATE, &facts, error)
                       : error_set(error, ERROR_REFUSED, "the public key is no SubjectPublicKeyInfo");
    gnutls_pubkey_deinit(key);
    if (!is_good)
        return false;
    /* The one DER form of the key goes into the certificate, not what came over the wire. */
    job->contents.spki = facts.spki;
    job->contents.is_rsa = facts.kind == KEY_KIND_RSA;
    return true;
}

static bool judge_validity(const struct config *config, int64_t now_ms, struct sign_job *job,
                           struct error *error) {
    const struct signer_certificate_request *request = &job->request;
    time_t now = (time_t)(now_ms / 1000);
    /* Another certificate for it comes, and then the same order is good. */
    if (job->issuer->not_before > now || job->issuer->not_after <= now)
        return error_set(error, ERROR_UNAVAILABLE, "the issuing certificate \"%s\" %s",
                         job->issuer->config->name,
                         job->issuer->not_before > now ? "has not begun" : "has ended");
    time_t not_before =
        request->not_before != 0 ? request->not_before : now - (time_t)config->backdate_seconds;
    bool is_default = request->validity_seconds == SIGNER_DEFAULT_VALIDITY;
    uint32_t lifetime = is_default ? job->profile->default_days * 86400u : request->validity_seconds;
    if (lifetime < 3600 || lifetime > job->profile->max_days * 86400u)
        return error_set(error, ERROR_REFUSED,
                         "a lifetime of %u seconds is outside the profile's bounds (1 hour to %u days)",
                         lifetime, job->profile->max_days);
    /* Whoever gets certificates of the future keeps them when the zone is no longer his. */
    if (not_before < now - 2 * 86400 ||
        not_before > now + (time_t)config->signer_not_before_max_ahead_hours * 3600)
        return error_set(error, ERROR_REFUSED, "notBefore is more than two days back or %u hours ahead",
                         config->signer_not_before_max_ahead_hours);
    job->contents.not_before = not_before;
    job->contents.not_after = not_before + (time_t)lifetime;
    /* A default lifetime ends with the issuer; fixed times are exact or refused. */
    if ((is_default || request->not_before == 0) && job->contents.not_after > job->issuer->not_after)
        job->contents.not_after = job->issuer->not_after;
    if (job->contents.not_after > job->issuer->not_after) {
        char end[TIME_TEXT_MAX];
        time_format(job->issuer->not_after, end);
        return error_set(
            error, ERROR_REFUSED,
            "the certificate would outlive its issuer, which ends %s; ask for a shorter lifetime", end);
    }
    return (job->contents.not_after > now && job->contents.not_after > not_before) ||
           error_set(error, ERROR_REFUSED, "the certificate would have expired already");
}

/* By this host's own knowledge, whatever a worker says Redis holds. */
static bool judge_stops(const struct zones *zones, const char *issuer, struct error *error) {
    struct stop_state stop;
    if (zones == NULL)
        return true;
    zones_find_stop(zones, ZONES_EVERY_ISSUER, &stop);
    if (stop.is_stopped)
        return error_set(error, ERROR_STOPPED, "issuance is stopped for everybody");
    zones_find_stop(zones, issuer, &stop);
    return !stop.is_stopped ||
           error_set(error, ERROR_STOPPED, "issuance is stopped for the issuer %s", issuer);
}

/* Whatever a worker says of it: what operators gave to whom is in the ledger. */
static bool judge_zone(const struct zones *zones, const char *id, const char *customer,
                       struct zone_state *zone, struct error *error) {
    if (!zones_find(zones, id, zone) || (!zone->is_known && !zone->is_ended))
        return error_set(error, ERROR_UNAVAILABLE, "the signer does not know zone %s yet; try again", id);
    if (zone->is_ended)
        return error_set(error, ERROR_REFUSED, "zone %s was deleted", id);
    if (*customer != '\0' && strcmp(zone->customer, customer) != 0)
        return error_set(error, ERROR_REFUSED, "zone %s is another customer's", id);
    if (zone->is_paused)
        return error_set(error, ERROR_STOPPED, "issuance is stopped for the zone %s: it is paused",
                         zone->name);
    return !zone->is_suspended || error_set(error, ERROR_STOPPED, "issuance is stopped for this customer");
}

/* Without customer the account alone proved the names, in a zone that somebody has here: only where this
 * signer's own configuration lets such accounts in. */
static bool judge_without_customer(const struct config *config,
                                   const struct signer_certificate_request *request, struct error *error) {
    bool is_by_text = true;
    for (size_t i = 0; i < request->evidence_count; i++)
        is_by_text = is_by_text && strcmp(request->evidence[i].method, "dns-01") == 0;
    return (!config->external_account_required && is_by_text) ||
           error_set(error, ERROR_REFUSED,
                     "a request without customer needs dns-01 and a server that lets in "
                     "accounts without external binding");
}

/* The ledger says so whatever a worker does not look at. */
static bool judge_account(const struct zones *zones, const char *account, struct error *error) {
    return zones == NULL || *account == '\0' || zones_account_end(zones, account) == 0 ||
           error_set(error, ERROR_REFUSED, "account %s was deactivated", account);
}

static bool judge_zones(struct arena *arena, const struct config *config, const struct zones *zones,
                        const struct signer_certificate_request *request, struct error *error) {
    if (zones == NULL || !zones_are_known(zones))
        return true;
    struct zone_state *own = arena_alloc(arena, request->zone_count * sizeof *own);
    if (own == NULL)
        return error_set(error, ERROR_INTERNAL, "out of memory");
    if (*request->customer == '\0' && !judge_without_customer(config, request, error))
        return false;
    for (size_t i = 0; i < request->zone_count; i++)
        if (!judge_zone(zones, request->zones[i], request->customer, &own[i], error))
            return false;
    for (size_t i = 0, k = 0; i < request->name_count; i++) { /* the next name is mostly in the same zone */
        size_t tried = 0;
        while (tried < request->zone_count && !name_is_below(name_base(request->names[i]), own[k].name)) {
            k = (k + 1) % request->zone_count;
            tried++;
        }
        if (tried == request->zone_count)
            return error_set(error, ERROR_REFUSED, "the name %s is on none of the request's zones",
                             request->names[i]);
    }
    return true;
}

bool policy_judge(struct arena *arena, const struct config *config, const struct zones *zones,
                  const struct issuer *issuers, size_t issuer_count, int64_t now_ms, struct sign_job *job,
                  struct error *error) {
    const struct signer_certificate_request *request = &job->request;
    int64_t claim_age = now_ms - (request->claimed_at_ms < 0 ? 0 : request->claimed_at_ms);
    job->profile = config_find_profile(config, request->profile);
    job->issuer = NULL;
    for (size_t i = 0; i < issuer_count; i++)
        if (strcmp(issuers[i].config->name, request->issuer) == 0)
            job->issuer = &issuers[i];
    if (job->profile == NULL ||
        !certificate_template_parse(job->profile->template_name, &job->contents.shape))
        return error_set(error, ERROR_UNAVAILABLE,
                         "the profile is unknown to the signer"); /* until it, too, */
    if (job->issuer == NULL)
        return error_set(error, ERROR_UNAVAILABLE, "the issuer is unknown to the signer"); /* was reloaded */
    if (!judge_stops(zones, request->issuer, error))
        return false;
    if (claim_age < -5000 || claim_age > (int64_t)config->claim_timeout_seconds * 1000)
        return error_set(error, ERROR_UNAVAILABLE, /* and so will another attempt */
                         "the claim of the order is %lld ms old; at most %u seconds are allowed",
                         (long long)claim_age, config->claim_timeout_seconds);
    if (!judge_ids(request, error) || !judge_names(request, error) ||
        !judge_evidence(config, now_ms, request, error) || !judge_account(zones, request->account, error) ||
        !judge_zones(arena, config, zones, request, error) || !judge_key(arena, job, error) ||
        !judge_validity(config, now_ms, job, error))
        return false;
    job->contents.issuer = job->issuer;
    job->contents.names = request->names;
    job->contents.name_count = request->name_count;
    job->contents.serial = job->serial;
    return true;
}
