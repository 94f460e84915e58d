/* /issuer/NAME.pem and /issuer/NAME.der: the issuing certificates, on the HTTP and the HTTPS listener. */
#pragma once

#include "originca/http.h"
#include "originca/worker.h"

struct issuer_files;

struct issuer_files *issuer_files_new(struct worker *worker, struct error *error);
void issuer_files_free(struct issuer_files *files);
const struct http_service *issuer_files_service(struct issuer_files *files);
