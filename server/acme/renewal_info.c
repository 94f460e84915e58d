/* Renewal information (RFC 9773): when a client should renew. Unauthenticated and cheap: one load by serial.
 */
#include "internal.h"

#include <time.h>

#include "originca/text.h"

struct renewal_state {
    struct acme_post post; /* for acme_fail; nothing of it is used */
    struct store_certificate certificate;
    const struct acme_issuer *issuer;
    char serial[SERIAL_HEX_MAX];
};

/* certID: base64url(AKI key identifier) "." base64url(serial). Some clients send a leading zero octet that
 * our serials never need: taken away again. */
bool acme_parse_certificate_id(const struct acme *acme, struct arena *arena, const char *text,
                               uint8_t serial[SERIAL_BYTES], const struct acme_issuer **issuer,
                               struct error *error) {
    const char *dot = strchr(text, '.');
    struct bytes key_id, number;
    if (dot == NULL || strchr(dot + 1, '.') != NULL ||
        !base64url_decode(arena, text, (size_t)(dot - text), &key_id) ||
        !base64url_decode(arena, dot + 1, strlen(dot + 1), &number) || key_id.length == 0)
        return error_set(error, ERROR_INVALID,
                         "a certificate id is base64url(key identifier).base64url(serial), without padding");
    if (number.length == SERIAL_BYTES + 1 && number.data[0] == 0) {
        number.data++;
        number.length--;
    }
    if (number.length == 0 || number.length > 20)
        return error_set(error, ERROR_INVALID, "the serial of the certificate id is empty or too long");
    for (size_t i = 0; i < acme->issuer_count && number.length == SERIAL_BYTES; i++) {
        const struct bytes *ours = &acme->issuers[i].key_id;
        if (ours->length == key_id.length && memcmp(ours->data, key_id.data, key_id.length) == 0) {
            memcpy(serial, number.data, SERIAL_BYTES);
            *issuer = &acme->issuers[i];
            return true;
        }
    }
    return error_set(error, ERROR_NOT_FOUND, "the certificate id is of no issuer of this server");
}

/* From two thirds of the lifetime on, one twelfth of it wide; where in the last third it begins depends on
 * the serial, so that certificates made together do not come back together. */
void acme_renewal_window(const char *serial, time_t not_before, time_t not_after, time_t *start,
                         time_t *end) {
    uint8_t digest[SHA256_BYTES];
    time_t lifetime = not_after - not_before, width = lifetime / 12;
    sha256(serial, strlen(serial), digest);
    time_t jitter = (time_t)(digest[0] << 8 | digest[1]) * (lifetime / 12) / 65536;
    *start = not_after - lifetime / 3 + jitter;
    *end = *start + (width > 0 ? width : 1);
}

static enum step_result load_certificate(struct operation *operation) {
    struct renewal_state *state = operation->state;
    uint8_t serial[SERIAL_BYTES];
    if (!acme_parse_certificate_id(operation->request->service_context, operation->arena,
                                   operation->request->params[0], serial,
                                   &((struct renewal_state *)operation->state)->issuer, &operation->error))
        return STEP_FAIL;
    if (!operation->worker->is_ready) {
        error_set(&operation->error, ERROR_UNAVAILABLE, "The server cannot work at the moment; try again");
        return STEP_FAIL;
    }
    hex_encode(serial, sizeof serial, state->serial);
    store_load_certificate(operation->worker->store, operation->arena, state->serial, &state->certificate,
                           acme_done, operation);
    return STEP_WAIT;
}

static enum step_result reply(struct operation *operation) {
    struct renewal_state *state = operation->state;
    const struct store_certificate *certificate = &state->certificate;
    char from[TIME_TEXT_MAX], to[TIME_TEXT_MAX], retry[16];
    time_t start, end;
    if (certificate->status == CERTIFICATE_VOID || strcmp(certificate->issuer, state->issuer->name) != 0)
        return acme_refuse_absent(operation);
    acme_renewal_window(state->serial, certificate->not_before, certificate->not_after, &start, &end);
    if (certificate->status == CERTIFICATE_REVOKED) { /* RFC 9773 4.2: a window in the past means at once */
        end = certificate->revoked_at != 0 ? certificate->revoked_at : time(NULL) - 60;
        start = end - 3600;
    }
    time_format(start, from);
    time_format(end, to);
    snprintf(retry, sizeof retry, "%u", operation->worker->config->ari_retry_after_seconds);
    http_reply_header(operation->request, "Retry-After", retry);
    json_t *json = arena_own_json(operation->arena,
                                  json_pack("{s:{s:s, s:s}}", "suggestedWindow", "start", from, "end", to));
    http_reply_json(operation->request, 200, json);
    return STEP_REPLIED;
}

static const struct step steps[] = {
    {"await Redis", operation_await_ready}, {"load certificate", load_certificate}, {"reply", reply}};
static const struct operation_kind renewal_info =
    OPERATION_KIND("renewalInfo", steps, struct renewal_state, acme_fail);

void acme_renewal_info(struct http_request *request) {
    operation_start(request, &renewal_info);
}
