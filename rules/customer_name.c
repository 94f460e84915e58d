#include "originca/customer_name.h"

#include <string.h>

#define HEX_DIGITS "0123456789abcdefABCDEF"
#define LETTERS_AND_DIGITS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

bool customer_name_check(const char *name, struct error *error) {
    size_t length = strlen(name);
    if (length == 0 || length > CUSTOMER_NAME_MAX || name[strspn(name, LETTERS_AND_DIGITS "._@-")] != '\0')
        return error_set(error, ERROR_INVALID, "the name must be 1 to %d letters, digits and . _ @ -",
                         CUSTOMER_NAME_MAX);
    if (*name == '-' || *name == '.')
        return error_set(error, ERROR_INVALID,
                         "the name must not begin with - or .; begin it with a letter or digit");
    if (length == CUSTOMER_ID_LENGTH && name[strspn(name, HEX_DIGITS)] == '\0')
        return error_set(
            error, ERROR_INVALID,
            "the name must not have the form of a customer's id (%d hex digits); choose a shorter "
            "or longer one, or one with a letter from g to z",
            CUSTOMER_ID_LENGTH);
    return true;
}
