/* Reading and revoking certificates. What is another customer's, what is outside the key's zones and what
 * does not exist look the same. */
#include "internal.h"

#include "originca/revoke.h"

struct certificates_state {
    struct rest_call call;
    struct store_zone zone;
    struct rest_paging paging;
    struct store_certificate_list list;
    uint64_t total;
    char serial[SERIAL_HEX_MAX];
    struct store_certificate certificate;
    struct revoke revoke;
    uint32_t reason;
    const char *by;
    struct store_crl crl;
};

static enum step_result require_read(struct operation *operation) {
    return rest_require(operation, API_KEY_CERTIFICATES_READ);
}

static enum step_result require_edit(struct operation *operation) {
    return rest_require(operation, API_KEY_CERTIFICATES_EDIT);
}

/* --- list --- */

static void note_zone(void *context, const struct error *error) {
    struct operation *operation = context;
    struct certificates_state *state = operation->state;
    bool is_absent = error != NULL && error->code == ERROR_NOT_FOUND;
    if (error != NULL && !is_absent) {
        operation_fail(operation, error);
    } else if (is_absent || strcmp(state->zone.customer, state->call.key.customer) != 0 ||
               !rest_may_use_zone(&state->call, state->zone.id)) {
        rest_refuse(operation, 403, REST_NOT_AUTHORIZED, TEXT_NOT_AUTHORIZED);
        operation_fail(operation, NULL);
    } else {
        operation_resume(operation);
    }
}

static enum step_result find_zone(struct operation *operation) {
    struct certificates_state *state = operation->state;
    const char *id = http_query_parameter(operation->request, "zone_id");
    if (id == NULL || strlen(id) != 32 || strspn(id, "0123456789abcdef") != 32)
        return rest_refuse(operation, 400, REST_ZONE_NEEDED,
                           "zone id needed to list, or fetch by serial number");
    if (!rest_read_paging(operation, &state->paging))
        return STEP_FAIL;
    store_load_zone(operation->worker->store, operation->arena, id, &state->zone, note_zone, operation);
    return STEP_WAIT;
}

static enum step_result list(struct operation *operation) {
    struct certificates_state *state = operation->state;
    store_page_certificates(operation->worker->store, operation->arena, state->zone.id, state->paging.offset,
                            state->paging.limit, &state->list, &state->total, rest_done, operation);
    return STEP_WAIT;
}

static enum step_result reply_list(struct operation *operation) {
    struct certificates_state *state = operation->state;
    json_t *items = json_array();
    for (size_t i = 0; i < state->list.count; i++) {
        const struct store_certificate *certificate = &state->list.items[i];
        json_t *json =
            certificate->der.length == 0 ? NULL : rest_certificate_json(operation, certificate, NULL, false);
        if (json != NULL)
            json_array_append_new(items, json);
    }
    size_t count = json_array_size(items);
    return rest_reply(operation, items, rest_result_info(&state->paging, count, state->total));
}

static const struct step list_steps[] = {REST_AUTHENTICATE,
                                         {"require right", require_read},
                                         {"find zone", find_zone},
                                         {"list", list},
                                         {"reply", reply_list}};
static const struct operation_kind list_kind =
    OPERATION_KIND("REST list certificates", list_steps, struct certificates_state, rest_fail);

void rest_list_certificates(struct http_request *request) {
    operation_start(request, &list_kind);
}

/* --- one --- */

static enum step_result refuse_absent(struct operation *operation) {
    return rest_refuse(operation, 404, REST_NOT_FOUND, TEXT_NOT_FOUND);
}

static bool is_visible(const struct certificates_state *state) {
    const struct store_certificate *certificate = &state->certificate;
    bool has_zone = state->call.key.zone_count == 0;
    for (size_t i = 0; i < certificate->zone_count && !has_zone; i++)
        has_zone = rest_may_use_zone(&state->call, certificate->zones[i]);
    return has_zone && certificate->status != CERTIFICATE_VOID && certificate->der.length > 0 &&
           strcmp(certificate->customer, state->call.key.customer) == 0;
}

static void note_loaded(void *context, const struct error *error) {
    struct operation *operation = context;
    struct certificates_state *state = operation->state;
    if (error != NULL && error->code != ERROR_NOT_FOUND) {
        operation_fail(operation, error);
    } else if (error != NULL || !is_visible(state)) {
        refuse_absent(operation);
        operation_fail(operation, NULL);
    } else {
        operation_resume(operation);
    }
}

static enum step_result load(struct operation *operation) {
    struct certificates_state *state = operation->state;
    uint8_t serial[SERIAL_BYTES];
    if (!rest_check_format(operation))
        return STEP_FAIL;
    if (!serial_parse(operation->request->params[0], serial))
        return refuse_absent(operation);
    hex_encode(serial, sizeof serial, state->serial);
    store_load_certificate(operation->worker->store, operation->arena, state->serial, &state->certificate,
                           note_loaded, operation);
    return STEP_WAIT;
}

/* More than Cloudflare's API tells, so only who asks for it gets it. */
static bool wants_revocation(const struct operation *operation) {
    const struct certificates_state *state = operation->state;
    const char *asked = http_query_parameter(operation->request, "revocation");
    return asked != NULL && strcmp(asked, "true") == 0 && state->certificate.status == CERTIFICATE_REVOKED;
}

/* A list that is not known now is left out. */
static void note_crl(void *context, const struct error *error) {
    struct operation *operation = context;
    struct certificates_state *state = operation->state;
    if (error != NULL)
        state->crl.id = NULL;
    operation_resume(operation);
}

static enum step_result load_crl(struct operation *operation) {
    struct certificates_state *state = operation->state;
    const struct store_certificate *certificate = &state->certificate;
    if (!wants_revocation(operation) || *certificate->crl == '\0' || certificate->listed_ms == 0)
        return STEP_DONE;
    store_find_crl(operation->worker->store, operation->arena, certificate->crl, &state->crl, note_crl,
                   operation);
    return STEP_WAIT;
}

static enum step_result reply_one(struct operation *operation) {
    struct certificates_state *state = operation->state;
    const json_t *revocation = wants_revocation(operation)
                                   ? rest_revocation_json(operation, &state->certificate, &state->crl)
                                   : NULL;
    return rest_reply_certificate(operation, &state->certificate, NULL, false, revocation);
}

static const struct step get_steps[] = {REST_AUTHENTICATE,
                                        {"require right", require_read},
                                        {"load", load},
                                        {"load list", load_crl},
                                        {"reply", reply_one}};
static const struct operation_kind get_kind =
    OPERATION_KIND("REST get certificate", get_steps, struct certificates_state, rest_fail);

void rest_get_certificate(struct http_request *request) {
    operation_start(request, &get_kind);
}

/* --- revoke --- */

#define TEXT_UNREADABLE "Failed to parse request JSON: "

/* What is misspelt would revoke for another reason than was meant, for ever. */
static bool check_query(struct operation *operation) {
    size_t reasons = 0, length;
    for (const char *pair = operation->request->query; *pair != '\0';
         pair += length + (pair[length] == '&' ? 1 : 0)) {
        length = strcspn(pair, "&");
        size_t name = strcspn(pair, "=&");
        bool is_reason = name == 6 && strncmp(pair, "reason", name) == 0;
        bool is_format = name == 6 && strncmp(pair, "format", name) == 0;
        if ((length > 0 && !is_reason && !is_format) || (is_reason && ++reasons > 1)) {
            rest_refuse(operation, 400, REST_API_ERROR,
                        "Invalid value for the query: it takes one reason, and not %.60s",
                        arena_strndup(operation->arena, pair, name > 60 ? 60 : name));
            return false;
        }
    }
    return true;
}

/* Clients send no body, {} or null: Cloudflare's API has none. A body with more is ours. */
static bool read_body(struct operation *operation, const json_t **out) {
    const struct bytes body = operation->request->body;
    struct error error = {.code = ERROR_NONE};
    const char *key;
    json_t *value;
    *out = NULL;
    if (body.length == 0 || (body.length == 4 && memcmp(body.data, "null", 4) == 0))
        return true;
    json_t *json = json_parse(operation->reading, body.data, body.length, &error);
    if (!json_is_object(json)) {
        rest_refuse(operation, 400, REST_BAD_JSON, TEXT_UNREADABLE "%s",
                    json == NULL ? error.message : "it must be an object");
        return false;
    }
    json_object_foreach(json, key, value) {
        if (strcmp(key, "reason") != 0) {
            rest_refuse(operation, 400, REST_BAD_JSON,
                        TEXT_UNREADABLE "a revocation has no member \"%.60s\", only reason", key);
            return false;
        }
    }
    *out = json_object_get(json, "reason");
    return true;
}

/* Cloudflare's API knows no reasons: `reason` is ours, in a JSON body or, for who cannot send one with
 * DELETE, in the query. */
static enum step_result read_reason(struct operation *operation) {
    struct certificates_state *state = operation->state;
    const char *asked = http_query_parameter(operation->request, "reason");
    const json_t *said;
    uint32_t in_query = REASON_UNSPECIFIED;
    if (!check_query(operation) || !read_body(operation, &said))
        return STEP_FAIL;
    if (!revocation_reason_read(said, &state->reason) ||
        (asked != NULL && !revocation_reason_parse(asked, &in_query)))
        return rest_refuse(operation, 400, REST_BAD_JSON,
                           TEXT_UNREADABLE "reason must be " REVOCATION_REASON_NAMES ", or its number");
    if (asked != NULL && said != NULL && in_query != state->reason)
        return rest_refuse(operation, 400, REST_BAD_JSON,
                           TEXT_UNREADABLE "reason is %s in the body and %s in the query",
                           revocation_reason_name(state->reason), revocation_reason_name(in_query));
    if (asked != NULL)
        state->reason = in_query;
    return operation_forget_request(operation);
}

/* Whose word it is; with the customer, so that a replay knows for whom keyCompromise blocks the key. */
static const char *revoker(struct operation *operation) {
    const struct certificates_state *state = operation->state;
    const char *by = arena_printf(operation->arena, "api-key:%s customer:%s", state->call.key.id,
                                  state->call.key.customer);
    return by == NULL ? "api-key" : by;
}

static enum step_result check_revocable(struct operation *operation) {
    struct certificates_state *state = operation->state;
    const struct store_certificate *certificate = &state->certificate;
    state->by = revoker(operation);
    for (size_t i = 0; i < certificate->zone_count; i++)
        if (!rest_may_use_zone(&state->call, certificate->zones[i]))
            return rest_refuse(operation, 403, REST_NOT_AUTHORIZED, TEXT_NOT_AUTHORIZED);
    bool is_worse =
        revocation_rank(state->reason, state->by) > revocation_rank(certificate->reason, certificate->by);
    if (certificate->status == CERTIFICATE_REVOKED && !is_worse &&
        !revoke_is_repetition(certificate, state->reason, state->by))
        return rest_refuse(operation, 400, REST_REVOKED_ALREADY, "Certificate already revoked");
    return STEP_DONE;
}

static enum step_result take_share(struct operation *operation) {
    const struct certificates_state *state = operation->state;
    return rest_take_revocation_limits(operation, &state->certificate);
}

static enum step_result revoke_certificate(struct operation *operation) {
    struct certificates_state *state = operation->state;
    state->revoke = (struct revoke){.worker = operation->worker,
                                    .arena = operation->arena,
                                    .request_id = operation->request->id,
                                    .certificate = &state->certificate,
                                    .reason = state->reason,
                                    .by = state->by};
    revoke_start(&state->revoke, rest_done, operation);
    return STEP_WAIT;
}

static enum step_result reply_revoked(struct operation *operation) {
    struct certificates_state *state = operation->state;
    char id[SERIAL_DECIMAL_MAX] = "", text[TIME_TEXT_MAX];
    (void)!rest_serial_text(state->serial, id);
    time_format(state->revoke.revoked_at, text);
    json_t *result = json_pack("{s:s, s:s}", "id", id, "revoked_at", text);
    if (state->reason !=
        REASON_UNSPECIFIED) /* beyond what Cloudflare's clients know: only who asked gets it */
        json_object_set_new(result, "reason",
                            json_string(revocation_reason_name(state->revoke.known_reason)));
    return rest_reply(operation, result, NULL);
}

static const struct step revoke_steps[] = {REST_AUTHENTICATE,
                                           {"require right", require_edit},
                                           {"read reason", read_reason},
                                           {"load", load},
                                           {"check", check_revocable},
                                           {"take the customer's share", take_share},
                                           {"judge it", rest_judge_limits},
                                           {"revoke", revoke_certificate},
                                           {"reply", reply_revoked}};
static const struct operation_kind revoke_kind =
    OPERATION_KIND("REST revoke certificate", revoke_steps, struct certificates_state, rest_fail);

void rest_revoke_certificate(struct http_request *request) {
    operation_start(request, &revoke_kind);
}

/* --- an operation on one certificate that names none --- */

static enum step_result refuse_without_serial(struct operation *operation) {
    return rest_refuse(operation, 400, REST_SERIAL_NEEDED,
                       "serial number needed for a single-certificate operation");
}

static const struct step serial_steps[] = {REST_AUTHENTICATE, {"refuse", refuse_without_serial}};
static const struct operation_kind serial_kind =
    OPERATION_KIND("REST without serial", serial_steps, struct certificates_state, rest_fail);

void rest_serial_needed(struct http_request *request) {
    operation_start(request, &serial_kind);
}
