/* The OCSP responder of a worker (RFC 6960, RFC 5019, RFC 9654): POST /ocsp and GET /ocsp/BASE64 on the plain
 * listener. doc/ocsp.md. */
#pragma once

#include "originca/http.h"
#include "originca/worker.h"

struct ocsp;

/* ERROR_INVALID where an issuing certificate cannot be read. */
struct ocsp *ocsp_new(struct worker *worker, struct error *error);
void ocsp_free(struct ocsp *ocsp);
const struct http_service *ocsp_service(struct ocsp *ocsp);
