/* Revocation (RFC 8555 7.6): by the account that ordered, by an account that holds all names now (looked up
 * immediately before the ledger is written), or by the certificate's own key. The ledger comes first: once it
 * has the record, nothing undoes the revocation.
 *
 * Who revokes a certificate of somebody else by his authorizations must own the names at this moment: DNS is
 * asked whether their zones are still delegated to him. */
#include "originca/revoke.h"
#include "internal.h"
#include "originca/limits.h"
#include "originca/recheck.h"
#include "originca/worker_link.h"
#include "originca/zones.h"

#include <gnutls/x509.h>

struct revoke_state {
    struct acme_post post;
    struct bytes der;
    char serial[SERIAL_HEX_MAX];
    uint32_t reason;
    struct store_certificate certificate;
    bool is_by_key;           /* signed by the certificate's key, not by an account */
    bool is_own;              /* its key's, or the account's that ordered it */
    struct store_zone *zones; /* else: by which the account holds the names */
    struct limits_order asked;
    struct limits limits;
    const struct dnscheck_result *result;
    struct revoke revoke;
    char by[128];
};

static bool read_serial(struct bytes der, char serial[SERIAL_HEX_MAX]) {
    gnutls_x509_crt_t certificate;
    gnutls_datum_t data = {(unsigned char *)(uintptr_t)der.data, (unsigned)der.length};
    uint8_t bytes[SERIAL_BYTES + 8];
    size_t length = sizeof bytes;
    if (gnutls_x509_crt_init(&certificate) < 0)
        return false;
    bool is_read = gnutls_x509_crt_import(certificate, &data, GNUTLS_X509_FMT_DER) >= 0 &&
                   gnutls_x509_crt_get_serial(certificate, bytes, &length) >= 0 && length == SERIAL_BYTES;
    gnutls_x509_crt_deinit(certificate);
    if (is_read)
        hex_encode(bytes, SERIAL_BYTES, serial);
    return is_read;
}

static enum step_result read_request(struct operation *operation) {
    struct revoke_state *state = operation->state;
    const json_t *reason = json_object_get(state->post.payload, "reason");
    if (state->post.jws.kid != NULL && state->post.account.id == NULL)
        return acme_refuse(operation, 400, "accountDoesNotExist", "There is no such account");
    const char *text = json_get_string(state->post.payload, "certificate", &operation->error);
    if (text == NULL)
        return STEP_FAIL;
    if (!base64url_decode(operation->arena, text, strlen(text), &state->der) ||
        !read_serial(state->der, state->serial))
        return acme_refuse(operation, 404, "malformed",
                           "\"certificate\" is no certificate of this server (base64url of the DER form)");
    if (reason != NULL && !json_is_integer(reason))
        return acme_refuse(operation, 400, "badRevocationReason",
                           "\"reason\" must be a number (RFC 5280 5.3.1)");
    json_int_t number = reason == NULL ? 0 : json_integer_value(reason);
    if (!revocation_reason_is_known(number))
        return acme_refuse(operation, 400, "badRevocationReason",
                           "The reason must be 0 (unspecified), 1 (keyCompromise), 3 (affiliationChanged), 4 "
                           "(superseded), 5 "
                           "(cessationOfOperation) or 9 (privilegeWithdrawn)");
    state->reason = (uint32_t)number;
    state->is_by_key = state->post.jws.kid == NULL;
    return acme_forget_request(operation);
}

static void note_loaded(void *context, const struct error *error) {
    struct operation *operation = context;
    if (error != NULL && error->code == ERROR_NOT_FOUND) {
        acme_refuse(operation, 404, "malformed", "This server has no such certificate");
        operation_fail(operation, NULL);
        return;
    }
    acme_done(context, error);
}

static enum step_result load_certificate(struct operation *operation) {
    struct revoke_state *state = operation->state;
    store_load_certificate(operation->worker->store, operation->arena, state->serial, &state->certificate,
                           note_loaded, operation);
    return STEP_WAIT;
}

static enum step_result refuse_strangers(struct operation *operation) {
    return acme_refuse(operation, 403, "unauthorized",
                       "Only the account that ordered the certificate, an account that holds valid "
                       "authorizations for all its names, or "
                       "its own key can revoke it");
}

/* The whole certificate must be ours, not just its serial. */
static enum step_result authorize(struct operation *operation) {
    struct revoke_state *state = operation->state;
    const struct store_certificate *certificate = &state->certificate;
    if (certificate->der.length != state->der.length ||
        memcmp(certificate->der.data, state->der.data, state->der.length) != 0)
        return acme_refuse(operation, 404, "malformed", "This server has no such certificate");
    if (state->is_by_key) {
        char spki[2 * SHA256_BYTES + 1];
        hex_encode(state->post.key.facts.spki_sha256, SHA256_BYTES, spki);
        state->is_own = strcmp(spki, certificate->spki_sha256) == 0;
        snprintf(state->by, sizeof state->by, "certificate-key");
        return state->is_own ? STEP_DONE : refuse_strangers(operation);
    }
    /* Enough for a replay to know whose word it is, when Redis has lost the account. */
    bool has_customer = *state->post.account.customer != '\0';
    snprintf(state->by, sizeof state->by, "account:%s%s%s", state->post.account.id,
             has_customer ? " customer:" : "", state->post.account.customer);
    state->is_own = strcmp(certificate->account, state->post.account.id) == 0;
    return STEP_DONE;
}

/* --- somebody else's certificate --- */

static enum step_result find_zones_held(struct operation *operation) {
    struct revoke_state *state = operation->state;
    const struct store_certificate *certificate = &state->certificate;
    if (state->is_own)
        return STEP_DONE;
    state->zones = arena_alloc(operation->arena, certificate->name_count * sizeof *state->zones);
    if (state->zones == NULL || certificate->name_count == 0)
        return acme_refuse(operation, 503, "serverInternal", "out of memory");
    store_zones_held(operation->worker->store, operation->arena, state->post.account.id, certificate->names,
                     certificate->name_count, state->zones, acme_done, operation);
    return STEP_WAIT;
}

static enum step_result require_zones(struct operation *operation) {
    struct revoke_state *state = operation->state;
    for (size_t i = 0; !state->is_own && i < state->certificate.name_count; i++)
        if (state->zones[i].id == NULL)
            return refuse_strangers(operation);
    return STEP_DONE;
}

static enum step_result require_news(struct operation *operation) {
    const struct revoke_state *state = operation->state;
    bool is_worse = revocation_rank(state->reason, state->by) >
                    revocation_rank(state->certificate.reason, state->certificate.by);
    if (state->certificate.status == CERTIFICATE_REVOKED && !is_worse &&
        !revoke_is_repetition(&state->certificate, state->reason, state->by))
        return acme_refuse(operation, 400, "alreadyRevoked", "The certificate is revoked already");
    return STEP_DONE;
}

static enum step_result take_limits(struct operation *operation) {
    struct revoke_state *state = operation->state;
    if (state->is_own)
        return STEP_DONE;
    state->asked = (struct limits_order){
        .names = state->certificate.names, .zones = state->zones, .count = state->certificate.name_count};
    bool is_built =
        acme_set_asker(operation, &state->asked, state->post.account.customer) &&
        limits_for_check(operation->arena, operation->worker->config, &state->asked, &state->limits);
    return acme_take_limits(operation, is_built, &state->limits);
}

static enum step_result judge_limits(struct operation *operation) {
    return acme_judge_limits(operation, &((struct revoke_state *)operation->state)->limits);
}

static void note_checked(void *context, const struct dnscheck_result *result) {
    struct operation *operation = context;
    ((struct revoke_state *)operation->state)->result = result;
    operation_resume(operation);
}

/* The zones alone: a name that has left DNS, or the edge, may have its certificates revoked. */
static enum step_result check_zones(struct operation *operation) {
    struct revoke_state *state = operation->state;
    struct dnscheck_request request;
    if (state->is_own)
        return STEP_DONE;
    if (!zones_build_check(operation->arena, state->zones, state->certificate.names, NULL,
                           state->certificate.name_count, &request, &operation->error))
        return STEP_FAIL;
    request.name_count = 0;
    return recheck_start_step(operation, &request, note_checked);
}

static enum step_result note_failures(struct operation *operation) {
    struct revoke_state *state = operation->state;
    return acme_note_failures(operation, &state->limits, &state->asked, state->result);
}

static enum step_result require_ownership(struct operation *operation) {
    const struct revoke_state *state = operation->state;
    const struct dnscheck_result *result = state->result;
    if (state->is_own)
        return STEP_DONE;
    for (size_t i = 0; i < result->zone_count; i++) {
        const struct dnscheck_finding *finding = &result->zones[i];
        if (finding->verdict == DNSCHECK_REFUSED)
            return acme_refuse(operation, 403, "unauthorized", "%s", finding->text);
        if (finding->verdict != DNSCHECK_OK)
            return acme_refuse_for_dns(operation, finding->text);
    }
    if (result->zone_count == 0 || result->verdict != DNSCHECK_OK)
        return acme_refuse_for_dns(operation, "DNS could not be checked");
    return STEP_DONE;
}

/* --- the revocation --- */

static enum step_result take_share(struct operation *operation) {
    struct revoke_state *state = operation->state;
    bool is_built = limits_for_revocation(operation->arena, operation->worker->config, &state->certificate,
                                          &state->limits);
    return acme_take_limits(operation, is_built, &state->limits);
}

static enum step_result revoke_certificate(struct operation *operation) {
    struct revoke_state *state = operation->state;
    state->revoke = (struct revoke){.worker = operation->worker,
                                    .arena = operation->arena,
                                    .request_id = operation->request->id,
                                    .certificate = &state->certificate,
                                    .reason = state->reason,
                                    .by = state->by};
    revoke_start(&state->revoke, acme_done, operation);
    return STEP_WAIT;
}

static enum step_result reply(struct operation *operation) {
    acme_reply(operation, 200, NULL, "", 0);
    return STEP_REPLIED;
}

static const struct step steps[] = {
    {"await Redis", operation_await_ready},
    {"parse", acme_parse_with_either},
    {"load account", acme_load_account},
    {"verify", acme_verify},
    {"read request", read_request},
    {"load certificate", load_certificate},
    {"authorize", authorize},
    {"find zones held", find_zones_held},
    {"require zones", require_zones},
    {"require news", require_news},
    {"take limits", take_limits},
    {"judge limits", judge_limits},
    {"check zones", check_zones},
    {"note failures", note_failures},
    {"require ownership", require_ownership},
    {"find zones held now", find_zones_held},
    {"require zones now", require_zones},
    {"take the customer's share", take_share},
    {"judge it", judge_limits},
    {"revoke", revoke_certificate},
    {"reply", reply},
};
static const struct operation_kind revoke_kind =
    OPERATION_KIND("revokeCert", steps, struct revoke_state, acme_fail);

void acme_revoke(struct http_request *request) {
    operation_start(request, &revoke_kind);
}
