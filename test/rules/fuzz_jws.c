/* Fuzz target: a JWS as a client sends it, in all three places, with its key imported and its signature
 * checked. */
#include "originca/jose.h"
#include "originca/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const enum jws_place places[] = {JWS_OUTER, JWS_INNER_KEY_CHANGE, JWS_INNER_EAB};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        struct arena *arena = arena_new(0);
        struct jws jws;
        struct jwk jwk;
        enum jws_fault fault;
        struct error error;
        if (jws_parse(arena, (struct bytes){data, size}, places[i], &jws, &fault, &error) &&
            jws.jwk != NULL && jwk_import(arena, jws.jwk, &jwk, &error)) {
            bool is_good = jws_verify(&jws, &jwk, &fault, &error);
            (void)is_good;
        }
        arena_free(arena);
    }
    return 0;
}
