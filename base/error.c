/* The error type: filling it, prefixing it, naming its codes. */
#include "originca/error.h"

#include <stdio.h>
#include <string.h>

/* Foreign bytes may reach a message: control characters become '?', and a cut message ends in "...". */
static void tidy(struct error *error, int wanted) {
    for (char *p = error->message; *p != '\0'; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7F)
            *p = '?';
    if (wanted >= ERROR_MESSAGE_MAX)
        memcpy(error->message + ERROR_MESSAGE_MAX - 4, "...", 4);
}

bool error_set(struct error *error, enum error_code code, const char *format, ...) {
    if (error == NULL)
        return false;
    va_list arguments;
    va_start(arguments, format);
    error->code = code;
    int wanted = vsnprintf(error->message, sizeof error->message, format, arguments);
    va_end(arguments);
    tidy(error, wanted);
    return false;
}

void error_prefix(struct error *error, const char *format, ...) {
    if (error == NULL)
        return;
    char prefix[ERROR_MESSAGE_MAX / 2], rest[ERROR_MESSAGE_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(prefix, sizeof prefix, format, arguments);
    va_end(arguments);
    memcpy(rest, error->message, sizeof rest);
    rest[sizeof rest - 1] = '\0';
    int wanted = snprintf(error->message, sizeof error->message, "%s: %s", prefix, rest);
    tidy(error, wanted);
}

const char *error_code_name(enum error_code code) {
    switch (code) {
    case ERROR_NONE:
        return "none";
    case ERROR_INVALID:
        return "invalid";
    case ERROR_NOT_FOUND:
        return "not-found";
    case ERROR_CONFLICT:
        return "conflict";
    case ERROR_REFUSED:
        return "refused";
    case ERROR_LIMIT:
        return "limit";
    case ERROR_UNAVAILABLE:
        return "unavailable";
    case ERROR_UNKNOWN:
        return "unknown-outcome";
    case ERROR_INTERNAL:
        return "internal";
    }
    return "internal";
}
