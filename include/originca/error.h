/* The one error type of the program.
 *
 * A function that can fail returns bool (or a pointer) and fills a `struct error` that its caller owns. The
 * message is a sentence for a person: what was expected, what was found, what to do. It never holds a secret.
 * The error is said once, at the edge where it becomes an ACME problem, a REST error, a log line or an exit
 * message. */
#pragma once

#include <stdarg.h>
#include <stdbool.h>

#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(text_at, first_at) __attribute__((format(printf, text_at, first_at)))

enum error_code {
    ERROR_NONE = 0,
    ERROR_INVALID,     /* the input is malformed or out of bounds: the caller's user must change it */
    ERROR_NOT_FOUND,   /* no such object, or not yours: the two are never told apart to a customer */
    ERROR_CONFLICT,    /* the object is in another state than the operation needs, or exists already */
    ERROR_REFUSED,     /* policy or proof says no: definite, trying again changes nothing */
    ERROR_LIMIT,       /* a named limit is reached */
    ERROR_UNAVAILABLE, /* Redis, signer, DNS or token is away: the same request may succeed later */
    ERROR_UNKNOWN,     /* a time-out after sending: the outcome is not known, read before deciding */
    ERROR_INTERNAL,    /* a broken invariant or allocation failure */
    ERROR_STOPPED,     /* an operator has stopped issuance; the message says by which stop. Another time */
    ERROR_PENDING,     /* recorded for good, and does not hold everywhere yet: the same request later tells */
};

#define ERROR_MESSAGE_MAX 512

struct error {
    enum error_code code;
    char message[ERROR_MESSAGE_MAX]; /* UTF-8, no control characters, cut with "..." where longer */
};

/* Sets code and message; always returns false so that `return error_set(...)` reads well. `error` may be
 * NULL. */
bool error_set(struct error *error, enum error_code code, const char *format, ...) PRINTF_LIKE(3, 4);

/* Puts "context: " before the message. */
void error_prefix(struct error *error, const char *format, ...) PRINTF_LIKE(2, 3);

/* "invalid", "not-found", ...: for logs and JSON. */
const char *error_code_name(enum error_code code);
