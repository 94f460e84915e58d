/* The Origin CA REST API (doc/rest-api.md): its routes, to be mounted at "/client/v4/" on the HTTPS listener.
 * Clients written for Cloudflare's API work with it unchanged. */
#pragma once

#include "originca/http.h"
#include "originca/worker.h"

struct rest; /* per worker: the issuing certificates */

struct rest *rest_new(struct worker *worker, struct error *error);
void rest_free(struct rest *rest);
/* Valid until rest_free. */
const struct http_service *rest_service(struct rest *rest);
