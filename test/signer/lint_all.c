/* The table of rules is private to lint.c, and should be. So this file takes lint.c in whole; the linker then
 * uses the functions from here and leaves the same ones in the library alone. */
#include "../../server/signer/lint.c" /* NOLINT(bugprone-suspicious-include) */

#include "lint_all.h"

void lint_all(struct bytes tbs, const struct certificate_contents *wanted, char list[LINT_LIST_MAX]) {
    struct parts parts = {.wanted = wanted, .tbs = tbs};
    size_t used = 0;
    list[0] = '\0';
    parts.is_parsed = split(&parts);
    for (size_t i = 0; i < RULES && (i == 0 || parts.is_parsed); i++)
        if (table[i].check(&parts) != NULL)
            used += (size_t)snprintf(list + used, LINT_LIST_MAX - used, "%s%s", used == 0 ? "" : " ",
                                     table[i].rule.id);
}
