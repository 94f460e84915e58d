/* Customers' names, which stand wherever a customer's id may: in paths, on command lines, in tables. */
#pragma once

#include "originca/error.h"

#define CUSTOMER_NAME_MAX 100
#define CUSTOMER_ID_LENGTH 32 /* lower-case hex digits */

/* ERROR_INVALID, with what a name may be, for every name that could be taken for an id, a flag or a part of a
 * path, and for characters that a terminal or a table does not show as they are. */
bool customer_name_check(const char *name, struct error *error) MUST_CHECK;
