/* The error type: filling it, prefixing it, naming its codes. */
#include "originca/error.h"

#include <stdio.h>
#include <string.h>

/* The length of the UTF-8 sequence (RFC 3629) at `text`, 0 where there is none. */
static size_t utf8_length(const unsigned char *text) {
    unsigned char lead = text[0];
    size_t length = lead < 0x80   ? 1
                    : lead < 0xC2 ? 0
                    : lead < 0xE0 ? 2
                    : lead < 0xF0 ? 3
                    : lead < 0xF5 ? 4
                                  : 0;
    for (size_t i = 1; i < length; i++)
        if ((text[i] & 0xC0) != 0x80)
            return 0;
    bool is_overlong = (lead == 0xE0 && text[1] < 0xA0) || (lead == 0xF0 && text[1] < 0x90);
    bool is_outside = (lead == 0xED && text[1] >= 0xA0) || (lead == 0xF4 && text[1] >= 0x90);
    return is_overlong || is_outside ? 0 : length;
}

/* Foreign bytes may reach a message, cut anywhere: control characters and what is no UTF-8 become '?' (a JSON
 * writer refuses such text), and a cut message ends in "...". */
static void tidy(struct error *error, int wanted) {
    if (wanted >= ERROR_MESSAGE_MAX)
        memcpy(error->message + ERROR_MESSAGE_MAX - 4, "...", 4);
    for (char *p = error->message; *p != '\0';) {
        size_t length = utf8_length((const unsigned char *)p);
        if (length == 0 || (unsigned char)*p < 0x20 || *p == 0x7F) {
            *p = '?';
            length = 1;
        }
        p += length;
    }
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
    case ERROR_STOPPED:
        return "stopped";
    case ERROR_PENDING:
        return "pending";
    }
    return "internal";
}
