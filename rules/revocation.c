/* How much a revocation says of the certificate's key. */
#include "originca/revocation.h"

#include <string.h>

enum revocation_rank revocation_rank(uint32_t reason, const char *by) {
    if (reason != REASON_KEY_COMPROMISE)
        return REVOCATION_OF_CERTIFICATE;
    return strcmp(by, "certificate-key") == 0 || strncmp(by, "admin", 5) == 0 ? REVOCATION_OF_KEY_PROVEN
                                                                              : REVOCATION_OF_KEY;
}
