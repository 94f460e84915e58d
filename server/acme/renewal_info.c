/* Renewal information (RFC 9773): when a client should renew. Unauthenticated and cheap: one load by serial.
 */
#include "internal.h"

#include <time.h>

#include "originca/store_bulk.h"
#include "originca/text.h"

#define REPLACEMENT_WINDOW_SECONDS 600 /* at least; a client wakes up a few times a day */
#define REPLACEMENT_ASKS_MIN 60        /* seconds, of Retry-After */

struct renewal_state {
    struct acme_post post; /* for acme_fail; nothing of it is used */
    struct store_certificate certificate;
    struct store_renewal replacement;
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
 * the serial, so that certificates made together do not come back together. A mass replacement spreads them
 * over its time in the same way, but never later than they would come by themselves. */
void acme_renewal_window(const char *serial, const struct store_certificate *certificate,
                         const struct store_renewal *replacement, time_t *start, time_t *end) {
    uint8_t digest[SHA256_BYTES];
    time_t lifetime = certificate->not_after - certificate->not_before, width = lifetime / 12;
    sha256(serial, strlen(serial), digest);
    time_t place = (time_t)(digest[0] << 8 | digest[1]);
    *start = certificate->not_after - lifetime / 3 + place * (lifetime / 12) / 65536;
    *end = *start + (width > 0 ? width : 1);
    time_t asked = replacement->from + (time_t)replacement->over_seconds * place / 65536;
    if (replacement->from == 0 || asked >= *start)
        return;
    width = (time_t)replacement->over_seconds / 12;
    *start = asked;
    *end = asked + (width > REPLACEMENT_WINDOW_SECONDS ? width : REPLACEMENT_WINDOW_SECONDS);
}

/* Where a mass replacement is under way a client comes back sooner, as the operator may change his mind. */
static unsigned asks_again_after(const struct renewal_state *state, unsigned usual) {
    unsigned sooner = state->replacement.over_seconds / 12;
    if (state->replacement.from == 0)
        return usual;
    sooner = sooner < REPLACEMENT_ASKS_MIN ? REPLACEMENT_ASKS_MIN : sooner;
    return sooner < usual ? sooner : usual;
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
    store_load_renewal(operation->worker->store, operation->arena, state->serial, &state->certificate,
                       &state->replacement, acme_done, operation);
    return STEP_WAIT;
}

static enum step_result reply(struct operation *operation) {
    struct renewal_state *state = operation->state;
    const struct store_certificate *certificate = &state->certificate;
    char from[TIME_TEXT_MAX], to[TIME_TEXT_MAX], retry[16];
    time_t start, end;
    if (certificate->status == CERTIFICATE_VOID || strcmp(certificate->issuer, state->issuer->name) != 0)
        return acme_refuse_absent(operation);
    acme_renewal_window(state->serial, certificate, &state->replacement, &start, &end);
    if (certificate->status == CERTIFICATE_REVOKED) { /* RFC 9773 4.2: a window in the past means at once */
        end = certificate->revoked_at != 0 ? certificate->revoked_at : time(NULL) - 60;
        start = end - 3600;
    }
    time_format(start, from);
    time_format(end, to);
    snprintf(retry, sizeof retry, "%u",
             asks_again_after(state, operation->worker->config->ari_retry_after_seconds));
    http_reply_header(operation->request, "Retry-After", retry);
    json_t *json = arena_own_json(operation->arena,
                                  json_pack("{s:{s:s, s:s}}", "suggestedWindow", "start", from, "end", to));
    if (state->replacement.from != 0 && *state->replacement.explanation_url != '\0')
        json_object_set_new(json, "explanationURL", json_string(state->replacement.explanation_url));
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
