/* Why a certificate is revoked, and how much that says of its key. */
#include "originca/revocation.h"

#include <string.h>

#include "originca/crl.h"

static const struct {
    const char *name;
    enum revocation_reason number;
} reasons[] = {{"unspecified", REASON_UNSPECIFIED},
               {"keyCompromise", REASON_KEY_COMPROMISE},
               {"affiliationChanged", REASON_AFFILIATION_CHANGED},
               {"superseded", REASON_SUPERSEDED},
               {"cessationOfOperation", REASON_CESSATION_OF_OPERATION},
               {"privilegeWithdrawn", REASON_PRIVILEGE_WITHDRAWN}};
#define REASONS (sizeof reasons / sizeof reasons[0])

bool revocation_reason_is_known(int64_t reason) {
    for (size_t i = 0; i < REASONS; i++)
        if ((int64_t)reasons[i].number == reason)
            return true;
    return false;
}

const char *revocation_reason_name(uint32_t reason) {
    for (size_t i = 0; i < REASONS; i++)
        if (reasons[i].number == reason)
            return reasons[i].name;
    return reasons[0].name;
}

static bool is_number(const char *text, unsigned number) {
    return text[0] == (char)('0' + number) && text[1] == '\0'; /* they have one digit */
}

bool revocation_reason_parse(const char *name, uint32_t *reason) {
    for (size_t i = 0; i < REASONS; i++)
        if (strcmp(reasons[i].name, name) == 0 || is_number(name, reasons[i].number)) {
            *reason = reasons[i].number;
            return true;
        }
    return false;
}

bool revocation_reason_read(const json_t *value, uint32_t *reason) {
    *reason = REASON_UNSPECIFIED;
    if (value == NULL)
        return true;
    if (json_is_string(value))
        return revocation_reason_parse(json_string_value(value), reason);
    *reason = (uint32_t)json_integer_value(value);
    return json_is_integer(value) && revocation_reason_is_known(json_integer_value(value));
}

enum revocation_rank revocation_rank(uint32_t reason, const char *by) {
    if (reason != REASON_KEY_COMPROMISE)
        return REVOCATION_OF_CERTIFICATE;
    return strcmp(by, "certificate-key") == 0 || strncmp(by, "admin", 5) == 0 ? REVOCATION_OF_KEY_PROVEN
                                                                              : REVOCATION_OF_KEY;
}

bool crl_entry_is_good(const struct crl_entry *entry) {
    return entry->serial[0] >= 1 && entry->serial[0] <= 0x7F && revocation_reason_is_known(entry->reason);
}
