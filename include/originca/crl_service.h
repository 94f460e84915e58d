/* Certificate revocation lists, from Redis to who asks for them (doc/revocation.md).
 *
 * The admin process keeps them (crl_keeper): whichever host takes a list that is due makes it from all hosts'
 * revocations, has its signer sign it and publishes it in Redis; each host copies what was published to
 * RUN_DIRECTORY/crl/. Workers map these files and serve them (crl_files), also while Redis or the signer are
 * away. */
#pragma once

#include "originca/http.h"
#include "originca/worker.h"

struct crl_keeper;
/* Of the admin process; works while it serves. */
struct crl_keeper *crl_keeper_new(struct worker *worker, struct error *error);
void crl_keeper_free(struct crl_keeper *keeper);
/* The number of the list that this host serves; 0: none. */
uint64_t crl_keeper_served(const struct crl_keeper *keeper, const char *issuer, const char *url) MUST_CHECK;

struct crl_service;
/* Of a worker: GET and HEAD of /crl/NAME on its plain listener, by the whole URL that certificates name. */
struct crl_service *crl_service_new(struct worker *worker, struct error *error);
void crl_service_free(struct crl_service *service);
const struct http_service *crl_service_http(struct crl_service *service);
