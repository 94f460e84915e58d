/* Certificates: search, one with its PEM, revocation (ledger first, as everywhere). */
#include "internal.h"
#include "originca/crl_service.h"
#include "originca/revoke.h"

struct certificates_state {
    struct admin_call call;
    struct store_certificate certificate;
    struct store_certificate_list list;
    struct store_zone zone;
    struct store_crl crl;
    char serial[SERIAL_HEX_MAX];
    uint32_t reason;
    bool was_revoked_before;
    struct revoke revoke;
};

static json_t *certificate_json(struct operation *operation, const struct store_certificate *certificate,
                                bool with_pem) {
    uint8_t serial[SERIAL_BYTES];
    char decimal[SERIAL_DECIMAL_MAX] = "";
    enum store_certificate_status status = certificate->status;
    if (hex_decode(certificate->serial, serial, sizeof serial))
        serial_to_decimal(serial, decimal);
    if (status == CERTIFICATE_VALID && certificate->not_after <= time(NULL))
        status = CERTIFICATE_EXPIRED;
    json_t *json =
        json_pack("{s:s, s:s, s:o, s:s, s:s, s:s, s:s, s:s}", "serial", decimal, "status",
                  store_certificate_status_name(status), "names",
                  admin_strings(certificate->names, certificate->name_count), "issuer", certificate->issuer,
                  "profile", certificate->profile, "order", certificate->order, "account",
                  certificate->account, "customer", certificate->customer);
    json_object_set_new(json, "zones", admin_strings(certificate->zones, certificate->zone_count));
    json_object_set_new(json, "spki_sha256", json_string(certificate->spki_sha256));
    admin_set_time(json, "not_before", certificate->not_before);
    admin_set_time(json, "not_after", certificate->not_after);
    admin_set_time(json, "issued_at", certificate->issued_at);
    if (status == CERTIFICATE_REVOKED || certificate->revoked_at != 0) {
        admin_set_time(json, "revoked_at", certificate->revoked_at);
        json_object_set_new(json, "reason", json_string(revocation_reason_name(certificate->reason)));
        if (certificate->by != NULL && *certificate->by != '\0')
            json_object_set_new(json, "revoked_by", json_string(certificate->by));
    }
    if (certificate->replaced_by != NULL && *certificate->replaced_by != '\0')
        json_object_set_new(json, "replaced_by", json_string(certificate->replaced_by));
    if (with_pem && certificate->der.length > 0) {
        const char *pem =
            pem_encode(operation->arena, "CERTIFICATE", certificate->der.data, certificate->der.length);
        json_object_set_new(json, "pem", json_string(pem == NULL ? "" : pem));
    }
    return json;
}

static enum step_result load(struct operation *operation) {
    struct certificates_state *state = operation->state;
    uint8_t serial[SERIAL_BYTES];
    if (!serial_read(http_path_parameter(operation->request, 0), serial, &operation->error))
        return STEP_FAIL;
    hex_encode(serial, sizeof serial, state->serial);
    store_load_certificate(operation->worker->store, operation->arena, state->serial, &state->certificate,
                           admin_done, operation);
    return STEP_WAIT;
}

static enum step_result load_list(struct operation *operation) {
    struct certificates_state *state = operation->state;
    if (*state->certificate.crl == '\0' || state->certificate.listed_ms == 0)
        return STEP_DONE;
    store_find_crl(operation->worker->store, operation->arena, state->certificate.crl, &state->crl,
                   admin_done, operation);
    return STEP_WAIT;
}

/* Who checks the certificate learns of its revocation by OCSP with the next question; by its list as soon as
 * one is served here whose number, a time, is past the revocation. */
static void set_list(const struct worker *worker, json_t *json, const struct certificates_state *state) {
    if (state->crl.id == NULL)
        return;
    bool is_listed = crl_keeper_served(worker->crls, state->crl.issuer, state->crl.url) >
                     (uint64_t)state->certificate.listed_ms;
    json_t *crl = json_pack("{s:b, s:I}", "listed", is_listed, "number", (json_int_t)state->crl.number);
    if (*state->crl.url != '\0')
        json_object_set_new(crl, "url", json_string(state->crl.url));
    admin_set_time(crl, "this_update", state->crl.this_update);
    json_object_set_new(json, "crl", crl);
}

static enum step_result reply_one(struct operation *operation) {
    struct certificates_state *state = operation->state;
    json_t *json = certificate_json(operation, &state->certificate, true);
    set_list(operation->worker, json, state);
    admin_reply(operation, 200, json);
    return STEP_REPLIED;
}

static const struct step show_steps[] = {
    {"require Redis", admin_require_ready}, {"load", load}, {"load list", load_list}, {"reply", reply_one}};
static const struct operation_kind show =
    OPERATION_KIND("show certificate", show_steps, struct certificates_state, admin_fail);

void admin_show_certificate(struct http_request *request) {
    operation_start(request, &show);
}

static enum step_result find_zone(struct operation *operation) {
    struct certificates_state *state = operation->state;
    const char *zone = http_query_parameter(operation->request, "zone");
    if (zone == NULL || *zone == '\0')
        return STEP_DONE;
    zone = admin_zone_key(operation, zone);
    if (zone == NULL)
        return admin_refuse(operation, ERROR_INTERNAL, "out of memory");
    store_find_zone(operation->worker->store, operation->arena, zone, state->call.customer.id, &state->zone,
                    admin_done, operation);
    return STEP_WAIT;
}

static enum step_result list(struct operation *operation) {
    struct certificates_state *state = operation->state;
    struct store_certificate_filter filter = {
        .status = -1, .zone = state->zone.id, .customer = state->call.customer.id};
    const char *status = http_query_parameter(operation->request, "status");
    const char *before = http_query_parameter(operation->request, "expires_before");
    if (status != NULL && *status != '\0' && !store_certificate_status_parse(status, &filter.status))
        return admin_refuse(operation, ERROR_INVALID, "status must be valid, revoked, void or expired");
    if (before != NULL && *before != '\0' && !time_parse(before, &filter.expires_before))
        return admin_refuse(operation, ERROR_INVALID, "expires_before must be an RFC 3339 time");
    if (!admin_read_limit(operation, &filter.limit))
        return STEP_FAIL;
    filter.cursor = http_query_parameter(operation->request, "cursor");
    store_list_certificates(operation->worker->store, operation->arena, &filter, &state->list, admin_done,
                            operation);
    return STEP_WAIT;
}

static enum step_result reply_list(struct operation *operation) {
    struct certificates_state *state = operation->state;
    json_t *items = json_array(), *json;
    for (size_t i = 0; i < state->list.count; i++)
        json_array_append_new(items, certificate_json(operation, &state->list.items[i], false));
    json = json_pack("{s:o}", "items", items);
    admin_set_cursor(json, state->list.next_cursor);
    admin_reply(operation, 200, json);
    return STEP_REPLIED;
}

static const struct step list_steps[] = {{"find customer", admin_find_query_customer},
                                         {"find zone", find_zone},
                                         {"list", list},
                                         {"reply", reply_list}};
static const struct operation_kind list_kind =
    OPERATION_KIND("list certificates", list_steps, struct certificates_state, admin_fail);

void admin_list_certificates(struct http_request *request) {
    operation_start(request, &list_kind);
}

static enum step_result read_reason(struct operation *operation) {
    struct certificates_state *state = operation->state;
    if (!revocation_reason_read(json_object_get(state->call.body, "reason"), &state->reason))
        return admin_refuse(operation, ERROR_INVALID,
                            "reason must be " REVOCATION_REASON_NAMES ", or its number");
    return operation_forget_request(operation);
}

static enum step_result revoke_certificate(struct operation *operation) {
    struct certificates_state *state = operation->state;
    const char *by = arena_printf(operation->arena, "admin:%s", operation->request->peer_text);
    bool is_worse = state->certificate.status == CERTIFICATE_REVOKED &&
                    revocation_rank(state->reason, "admin") >
                        revocation_rank(state->certificate.reason, state->certificate.by);
    bool is_trusted =
        state->certificate.status == CERTIFICATE_VALID || state->certificate.status == CERTIFICATE_EXPIRED;
    if (!is_trusted && !is_worse) {
        state->was_revoked_before = true;
        return STEP_DONE;
    }
    state->revoke = (struct revoke){.worker = operation->worker,
                                    .arena = operation->arena,
                                    .request_id = operation->request->id,
                                    .certificate = &state->certificate,
                                    .reason = state->reason,
                                    .by = by == NULL ? "admin" : by};
    revoke_start(&state->revoke, admin_done, operation);
    return STEP_WAIT;
}

static enum step_result reply_revoked(struct operation *operation) {
    struct certificates_state *state = operation->state;
    if (!state->was_revoked_before) {
        state->certificate.status = CERTIFICATE_REVOKED;
        state->certificate.revoked_at = state->revoke.revoked_at;
        state->certificate.reason = state->revoke.known_reason;
        if (!state->revoke.was_revoked_before)
            state->certificate.by = state->revoke.by;
    }
    json_t *json = certificate_json(operation, &state->certificate, false);
    json_object_set_new(json, "was_revoked_before", json_boolean(state->was_revoked_before));
    admin_reply(operation, 200, json);
    return STEP_REPLIED;
}

static const struct step revoke_steps[] = {{"read body", admin_read_body},
                                           {"read reason", read_reason},
                                           {"load", load},
                                           {"revoke", revoke_certificate},
                                           {"reply", reply_revoked}};
static const struct operation_kind revoke_kind =
    OPERATION_KIND("revoke certificate", revoke_steps, struct certificates_state, admin_fail);

void admin_revoke_certificate(struct http_request *request) {
    operation_start(request, &revoke_kind);
}
