/* Downloading a certificate (RFC 8555 7.4.2): leaf and issuing certificate, because certbot refuses a chain
 * of one. */
#include "internal.h"

struct certificate_state {
    struct acme_post post;
    struct store_certificate certificate;
};

static enum step_result load_certificate(struct operation *operation) {
    struct certificate_state *state = operation->state;
    uint8_t serial[SERIAL_BYTES];
    if (!hex_decode(operation->request->params[0], serial, sizeof serial))
        return acme_refuse_absent(operation);
    store_load_certificate(operation->worker->store, operation->arena, operation->request->params[0],
                           &state->certificate, acme_done, operation);
    return STEP_WAIT;
}

static enum step_result reply(struct operation *operation) {
    struct certificate_state *state = operation->state;
    const struct acme_issuer *issuer = acme_find_issuer(state->post.acme, state->certificate.issuer);
    if (strcmp(state->certificate.account, state->post.account.id) != 0 ||
        state->certificate.status == CERTIFICATE_VOID)
        return acme_refuse_absent(operation);
    if (issuer == NULL)
        return acme_refuse(operation, 500, "serverInternal",
                           "the issuer of the certificate is not configured any more");
    char *leaf = pem_encode(operation->arena, "CERTIFICATE", state->certificate.der.data,
                            state->certificate.der.length);
    char *chain = leaf == NULL ? NULL : arena_printf(operation->arena, "%s%s", leaf, issuer->pem);
    if (chain == NULL)
        return acme_refuse(operation, 503, "serverInternal", "out of memory");
    acme_reply(operation, 200, "application/pem-certificate-chain", chain, strlen(chain));
    return STEP_REPLIED;
}

static const struct step steps[] = {ACME_AUTHENTICATE,
                                    {"require empty", acme_require_empty},
                                    {"load certificate", load_certificate},
                                    {"reply", reply}};
static const struct operation_kind certificate =
    OPERATION_KIND("certificate", steps, struct certificate_state, acme_fail);

void acme_certificate(struct http_request *request) {
    operation_start(request, &certificate);
}
