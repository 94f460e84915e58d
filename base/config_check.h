/* Complaints about a configuration, and the rules that span several settings. */
#pragma once

#include "originca/config.h"

struct config_complaints {
    const char *path;
    FILE *out;                   /* or NULL */
    const struct config *config; /* once it is read: where it knows a setting's line */
    const char *title;           /* of the issuer or profile that is judged, or NULL */
    size_t count;
    char first[256];
};

/* Prints "file:line: section.key: message"; line 0 takes that of the setting; one that is missing has none.
 */
void config_complain(struct config_complaints *complaints, int line, const char *section, const char *key,
                     const char *format, ...) PRINTF_LIKE(5, 6);
/* Fills what depends on the machine or on other settings: host name, built-in profiles. */
bool config_complete(struct config *config, struct error *error) MUST_CHECK;
void config_check(const struct config *config, struct config_complaints *complaints);
/* config_values_check.c: values that are well-formed and cannot be meant */
void config_check_addresses(const struct config *config, struct config_complaints *complaints);
void config_check_names(const struct config *config, struct config_complaints *complaints);
/* config_perspective.c */
void config_check_perspectives(const struct config *config, struct config_complaints *complaints);
