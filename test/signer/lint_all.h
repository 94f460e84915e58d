/* Every rule of lint.c that a TBS breaks, not only the first one, which is all that lint_tbs names. */
#pragma once

#include "../../server/signer/lint.h"

#define LINT_LIST_MAX 1024

/* The ids, in the order of the table, with a space between them. Where the TBS cannot be parsed the other
 * rules have nothing to look at: then it is the first id alone. */
void lint_all(struct bytes tbs, const struct certificate_contents *wanted, char list[LINT_LIST_MAX]);
