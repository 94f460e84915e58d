/* Answers in HTTP (RFC 6960 A.2, RFC 5019 6): which of them may be kept by whom, and for how long. */
#include "internal.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "originca/log.h"

#define RESPONSE_TYPE "application/ocsp-response"
#define ETAG_BYTES 16

static void log_error(const struct operation *operation, enum ocsp_outcome outcome) {
    if (outcome != OCSP_INTERNAL && outcome != OCSP_TRY_LATER)
        return; /* strangers may send what they like: counted, not told */
    log_event(outcome == OCSP_INTERNAL ? LOG_LEVEL_WARNING : LOG_LEVEL_DEBUG, "OCSP request not answered",
              "request", operation->request->id, "peer", operation->request->peer_text, "reason",
              operation->error.message, NULL);
}

void ocsp_reply_error(struct operation *operation, enum ocsp_outcome outcome) {
    const uint8_t response[] = {0x30, 0x03, 0x0A, 0x01, (uint8_t)outcome};
    metric_add(ocsp_call_of(operation)->ocsp->outcomes[outcome], 1);
    log_error(operation, outcome);
    http_reply_header(operation->request, "Cache-Control", "no-store");
    http_reply(operation->request, 200, RESPONSE_TYPE, response, sizeof response);
}

static void make_etag(struct bytes der, char etag[2 * ETAG_BYTES + 3]) {
    uint8_t digest[SHA256_BYTES];
    char hex[2 * ETAG_BYTES + 1];
    sha256(der.data, der.length, digest);
    hex_encode(digest, ETAG_BYTES, hex);
    snprintf(etag, 2 * ETAG_BYTES + 3, "\"%s\"", hex);
}

/* Never longer than the answer holds, nor so long that a revocation would be hidden for more than the
 * setting. */
static void put_max_age(struct operation *operation, time_t next_update) {
    char text[96];
    time_t left = next_update - (time_t)(clock_wall_ms() / 1000) - 1,
           age = (time_t)operation->worker->config->ocsp_max_age_seconds;
    if (age > left)
        age = left < 0 ? 0 : left;
    snprintf(text, sizeof text, "max-age=%lld, public, no-transform, must-revalidate", (long long)age);
    http_reply_header(operation->request, "Cache-Control", text);
}

enum step_result ocsp_reply_answer(struct operation *operation) {
    struct ocsp_call *call = ocsp_call_of(operation);
    struct http_request *request = operation->request;
    const struct ocsp_answer *answer = &call->answer;
    char etag[2 * ETAG_BYTES + 3];
    unsigned status = 200;
    metric_add(call->ocsp->outcomes[OCSP_SUCCESSFUL], 1);
    if (request->method == HTTP_METHOD_POST || call->request.has_nonce) {
        http_reply_header(request, "Cache-Control", "no-cache, no-store");
    } else {
        make_etag(answer->der, etag);
        put_max_age(operation, answer->next_update);
        http_reply_date(request, "Expires", answer->next_update);
        status = http_is_not_modified(request, etag, answer->this_update) ? 304 : 200;
    }
    http_reply(request, status, RESPONSE_TYPE, answer->der.data, answer->der.length);
    return STEP_REPLIED;
}
