/* Fuzz target: OCSP requests, which anybody may send: as DER, and as the text of a GET's path. */
#include "originca/der.h"
#include "originca/ocsp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_inside(struct bytes part, struct bytes whole) {
    return part.data >= whole.data && part.data + part.length <= whole.data + whole.length;
}

static void check(struct bytes der, size_t max) {
    struct ocsp_request request;
    struct ocsp_issuer_id id = {.name = {{0}}};
    struct error error;
    if (!ocsp_request_parse(der, max, &request, &error))
        return;
    if (request.count == 0 || request.count > max)
        __builtin_trap();
    if (request.has_nonce && (request.nonce.length == 0 || request.nonce.length > OCSP_NONCE_MAX ||
                              !is_inside(request.nonce, der)))
        __builtin_trap();
    for (size_t i = 0; i < request.count; i++) {
        const struct ocsp_cert_id *each = &request.ids[i];
        if (!is_inside(each->serial, der) || !is_inside(each->issuer_name_hash, der) ||
            !is_inside(each->issuer_key_hash, der) || each->form > OCSP_FORMS || each->serial.length == 0)
            __builtin_trap();
        (void)!ocsp_is_of_issuer(each, &id);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct arena *arena = arena_new(0);
    struct bytes der;
    check((struct bytes){data, size}, 1 + size % OCSP_REQUESTS_MAX);
    char *path = arena_strndup(arena, (const char *)data, size);
    if (path != NULL && ocsp_request_decode(arena, path, 1024, &der)) {
        if (der.length > 1024)
            __builtin_trap();
        check(der, OCSP_REQUESTS_MAX);
    }
    arena_free(arena);
    return 0;
}
