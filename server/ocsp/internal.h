/* Between the files of the responder: request (service.c), status and signature (answer.c), HTTP (reply.c).
 */
#pragma once

#include "originca/http.h"
#include "originca/limits.h"
#include "originca/metrics.h"
#include "originca/ocsp.h"
#include "originca/ocsp_service.h"
#include "originca/operation.h"
#include "originca/signer.h"
#include "originca/store.h"

#include "kept.h"

/* OCSPResponseStatus (RFC 6960 4.2.1). */
enum ocsp_outcome {
    OCSP_SUCCESSFUL = 0,
    OCSP_MALFORMED = 1,
    OCSP_INTERNAL = 2,
    OCSP_TRY_LATER = 3,
    OCSP_UNAUTHORIZED = 6
};
#define OCSP_OUTCOMES 7

struct ocsp_issuer {
    const char *name;
    struct ocsp_issuer_id id;
};

struct ocsp {
    struct worker *worker; /* first: what services share (operation.h) */
    struct arena *arena;
    struct ocsp_issuer *issuers;
    size_t issuer_count;
    struct ocsp_kept *kept;
    uint32_t signing; /* answers that the signer is making for this worker */
    struct http_service service;
    struct metric *outcomes[OCSP_OUTCOMES]; /* NULL where there is no such */
    struct metric *kept_total, *signed_total, *limited_total;
};

struct ocsp_call {
    struct ocsp *ocsp;
    struct ocsp_request request; /* views into the body, or into the arena */
    const struct ocsp_issuer *issuer;
    struct limits limits;
    struct store_ocsp_list list;
    struct signer_ocsp_status *statuses;
    struct signer_ocsp_response signed_response;
    struct ocsp_answer answer;
    time_t known_at;
    int64_t loaded_ms; /* the same moment, monotonic */
    unsigned tries;
    bool is_past_limits; /* from the step after them on: a status that is read again goes to the answer */
};

static inline struct ocsp_call *ocsp_call_of(const struct operation *operation) {
    return operation->state;
}

/* Steps (answer.c): all of them end the request, or go on. The first one ends those that name something that
 * was never issued here. */
enum step_result ocsp_load_statuses(struct operation *operation);
enum step_result ocsp_find_answer(struct operation *operation);
/* Replies (reply.c). An outcome other than OCSP_SUCCESSFUL is five bytes without a signature, which nobody
 * may keep. */
void ocsp_reply_error(struct operation *operation, enum ocsp_outcome outcome);
enum step_result ocsp_reply_answer(struct operation *operation);
