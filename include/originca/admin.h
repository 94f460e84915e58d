/* The admin service: /admin/v1/, /metrics, /healthz, /readyz on the admin listener (INTERFACE). JSON in and
 * out; errors are {"error": {"code", "message", "request"}}. Every change is logged with the peer's user id.
 */
#pragma once

#include "originca/http.h"
#include "originca/worker.h"

struct admin;

struct admin *admin_new(struct worker *worker, struct error *error);
void admin_free(struct admin *admin);
const struct http_service *admin_service(struct admin *admin);
