/* The ACME service (RFC 8555, RFC 9773, draft-ietf-acme-profiles): its routes, to be mounted at "/acme/". */
#pragma once

#include "originca/http.h"
#include "originca/worker.h"

struct acme; /* per worker: nonce issuer, URLs, directory document */

struct acme *acme_new(struct worker *worker, struct error *error);
void acme_free(struct acme *acme);
/* The service whose context is `acme`'s worker-wide state; valid until acme_free. */
const struct http_service *acme_service(struct acme *acme);
